/* client/known_trackers.c */
#include "client/known_trackers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/planted.h"

enum { FILE_SIZE_MAX = 1 << 20, LINE_SIZE = ADDRESS_MAX + 81 };

struct known_trackers {
	char *path;
	const struct tracker_info *trackers;
	bool pinned;
	bool has_cluster;
	struct id32 cluster; /* valid if has_cluster */
	char source[ERROR_TEXT_MAX / 4]; /* who told us the cluster, for the refusal */
};

#define FINGERPRINT_SIZE (7 + HEX32_SIZE)

static const char *fingerprint(const struct id32 *identity, char out[FINGERPRINT_SIZE])
{
	memcpy(out, "sha256:", 7);
	hex_encode(identity->b, sizeof(identity->b), out + 7);
	return out;
}

static bool in_list(const struct known_trackers *k, const char *address)
{
	char listed[ADDRESS_MAX];

	for (size_t i = 0; i < k->trackers->n; i++)
		if (strcmp(address_format(&k->trackers->trackers[i].addr, listed), address) == 0)
			return true;
	return false;
}

static void set_cluster(struct known_trackers *k, const struct id32 *identity, const char *source)
{
	k->has_cluster = true;
	k->cluster = *identity;
	snprintf(k->source, sizeof(k->source), "%s", source);
}

/* The next word of a line, ended with a NUL; NULL if there is none. */
static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t\r");
	char *end = word + strcspn(word, " \t\r");

	*rest = *end != '\0' ? end + 1 : end;
	*end = '\0';
	return *word != '\0' ? word : NULL;
}

/* One line, which may be blank or a comment: *address is empty then. False: it cannot be understood. */
static bool parse_line(char *line, char address[ADDRESS_MAX], struct id32 *identity)
{
	struct address parsed;

	address[0] = '\0';
	line[strcspn(line, "#")] = '\0';
	char *first = next_word(&line), *second = next_word(&line);
	if (first == NULL)
		return true;
	if (second == NULL || next_word(&line) != NULL || !identity_parse(second, identity) ||
	    address_parse(first, false, &parsed, NULL) != SHOAL_OK)
		return false;
	address_format(&parsed, address);
	return true;
}

/* Goes through the file: `known` gets the identity of `wanted` (NULL: of any tracker of the list, which must agree). */
static enum shoal_err look_up(const struct known_trackers *k, const char *wanted, struct id32 *known, bool *found,
                              struct error *e)
{
	struct buf text = { 0 };
	char address[ADDRESS_MAX], a[FINGERPRINT_SIZE], b[FINGERPRINT_SIZE], *next;
	struct id32 identity;

	*found = false;
	enum shoal_err rc = fs_read_file(k->path, FILE_SIZE_MAX, &text, e);
	if (rc != SHOAL_OK) {
		buf_free(&text);
		return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc;
	}
	if (text.len != 0 && memchr(text.data, '\0', text.len) != NULL && !PLANTED(known_zero)) { /* the rest would be read by nobody */
		buf_free(&text);
		return error_set(e, SHOAL_EUSAGE, "'%s' holds a zero byte: it is damaged", k->path);
	}
	char *all = buf_steal_str(&text);
	unsigned number = 1;
	for (char *line = all; rc == SHOAL_OK && line != NULL; line = next, number++) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		if (!parse_line(line, address, &identity)) {
			rc = error_set(e, SHOAL_EUSAGE, "%s:%u: not of the form 'HOST:PORT sha256:HEX'", k->path, number);
		} else if (address[0] == '\0' || (wanted != NULL ? strcmp(address, wanted) != 0 : !in_list(k, address))) {
			continue;
		} else if (*found && !id32_eq(known, &identity)) {
			rc = error_set(e, SHOAL_EDENIED, "%s:%u: %s is known as %s, but another line says %s", k->path,
			               number, address, fingerprint(&identity, a), fingerprint(known, b));
		} else {
			*known = identity;
			*found = true;
		}
	}
	free(all);
	return rc;
}

struct known_trackers *known_trackers_open(const char *path, const struct tracker_info *trackers,
                                           const struct id32 *pinned, struct error *e)
{
	struct known_trackers *k = xalloc(sizeof(*k));
	struct id32 known;
	bool found = false;

	k->path = xstrdup(path);
	k->trackers = trackers;
	k->pinned = pinned != NULL;
	if (k->pinned) {
		set_cluster(k, pinned, "the pinned cluster");
	} else if (look_up(k, NULL, &known, &found, e) != SHOAL_OK) {
		known_trackers_close(k);
		return NULL;
	}
	if (found)
		set_cluster(k, &known, path);
	return k;
}

void known_trackers_close(struct known_trackers *k)
{
	if (k == NULL)
		return;
	free(k->path);
	free(k);
}

bool known_trackers_cluster(const struct known_trackers *k, struct id32 *out)
{
	if (k->has_cluster)
		*out = k->cluster;
	return k->has_cluster;
}

/* The file with one more line, put in its place whole: half a line would be an error at each start from then on. */
static enum shoal_err add_line(const char *path, const char *address, const struct id32 *identity, struct error *e)
{
	char print[FINGERPRINT_SIZE], line[LINE_SIZE];
	struct buf text = { 0 };
	enum shoal_err rc = fs_read_file(path, FILE_SIZE_MAX, &text, e);

	if (rc == SHOAL_OK || rc == SHOAL_ENOTFOUND) {
		if (text.len != 0 && text.data[text.len - 1] != '\n') /* somebody's editor left it so */
			buf_put_u8(&text, '\n');
		int len = snprintf(line, sizeof(line), "%s %s\n", address, fingerprint(identity, print));
		buf_put(&text, line, (size_t)len);
		rc = text.failed ? error_set(e, SHOAL_EBUSY, "out of memory writing '%s'", path)
		                 : fs_write_file(path, text.data, text.len, 0600, e);
	}
	buf_free(&text);
	return rc;
}

static enum shoal_err write_down(const struct known_trackers *k, const char *address, const struct id32 *identity,
                                 struct error *e)
{
	char *real = realpath(k->path, NULL); /* a link stays one */
	const char *path = real != NULL ? real : k->path;
	char *folder = fs_dirname(path);
	enum shoal_err rc = fs_mkdirs(folder, 0700, e);
	int lock = rc == SHOAL_OK ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	/* The folder is locked, not the file: that is another one after each line. */
	if (rc == SHOAL_OK && (lock < 0 || flock(lock, LOCK_EX) != 0))
		rc = error_errno(e, "cannot lock the folder '%s'", folder);
	if (rc == SHOAL_OK)
		rc = add_line(path, address, identity, e);
	if (lock >= 0)
		close(lock);
	free(folder);
	free(real);
	return rc;
}

static enum shoal_err refuse(const char *address, const struct id32 *shown, const struct id32 *expected,
                             const char *source, const char *hint, struct error *e)
{
	char a[FINGERPRINT_SIZE], b[FINGERPRINT_SIZE];

	return error_set(e, SHOAL_EDENIED, "%s shows the identity %s, but %s says %s%.120s", address,
	                 fingerprint(shown, a), source, fingerprint(expected, b), hint);
}

enum shoal_err known_trackers_check(struct known_trackers *k, const struct address *dialled,
                                    const struct id32 *identity, bool *first, struct error *e)
{
	char address[ADDRESS_MAX];
	struct id32 known;
	bool found;

	*first = false;
	address_format(dialled, address);
	if (k->pinned)
		return id32_eq(identity, &k->cluster) ? SHOAL_OK : refuse(address, identity, &k->cluster, k->source, "", e);
	enum shoal_err rc = look_up(k, address, &known, &found, e);
	if (rc != SHOAL_OK)
		return rc;
	if (found && !id32_eq(identity, &known))
		return refuse(address, identity, &known, k->path,
		              "; if the cluster's key was changed on purpose, remove its lines there", e);
	if (k->has_cluster && !id32_eq(identity, &k->cluster))
		return refuse(address, identity, &k->cluster, k->source,
		              " for another tracker of the list, and all must be of one cluster", e);
	if (!found) {
		rc = write_down(k, address, identity, e);
		*first = rc == SHOAL_OK && !k->has_cluster;
	}
	if (rc == SHOAL_OK && !k->has_cluster)
		set_cluster(k, identity, k->path);
	return rc;
}
