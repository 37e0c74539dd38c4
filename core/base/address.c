/* core/base/address.c */
#include "core/base/address.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/name.h"
#include "core/base/planted.h"

enum { INFO_FILE_MAX = 1 << 20 };

static bool parse_number(const char *text, unsigned long max, unsigned long *out)
{
	if (!isdigit((unsigned char)text[0]))
		return false;
	char *end;
	errno = 0;
	*out = strtoul(text, &end, 10);
	return errno == 0 && *end == '\0' && *out <= max;
}

/* Splits into host and port text; false if it has no such shape. */
static bool split(const char *text, const char **host, size_t *host_len, const char **port)
{
	if (text[0] == '[') {
		const char *close = strchr(text, ']');
		if (close == NULL || close[1] != ':')
			return false;
		*host = text + 1;
		*host_len = (size_t)(close - text - 1);
		*port = close + 2;
		return memchr(*host, ':', *host_len) != NULL;
	}
	const char *colon = strrchr(text, ':');
	if (colon == NULL || memchr(text, ':', (size_t)(colon - text)) != NULL)
		return false;
	*host = text;
	*host_len = (size_t)(colon - text);
	*port = colon + 1;
	return true;
}

static bool host_ok(const char *host, size_t len)
{
	if (len == 0 || len >= HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)host[i]) && strchr(".-_:%", host[i]) == NULL)
			return false;
	return true;
}

/* A host, and nothing else: "tracker.example", "127.0.0.1:", "[::1]". */
static bool lacks_port(const char *text)
{
	size_t len = strlen(text);

	if (text[0] == '[')
		return len > 2 && strchr(text, ']') == text + len - 1 && host_ok(text + 1, len - 2);
	const char *colon = strchr(text, ':');
	return (colon == NULL || colon == text + len - 1) && host_ok(text, colon == NULL ? len : len - 1);
}

enum shoal_err address_parse(const char *text, bool allow_zero, struct address *out, struct error *e)
{
	const char *host, *port;
	size_t host_len;
	unsigned long number;
	char shown[128];

	text_escape(text, strlen(text), shown, sizeof(shown));
	if (lacks_port(text))
		return error_set(e, SHOAL_EUSAGE, "'%s': the port is missing: write HOST:PORT, as in 127.0.0.1:5000 or [::1]:5000",
		                 shown);
	if (!split(text, &host, &host_len, &port) || !host_ok(host, host_len))
		return error_set(e, SHOAL_EUSAGE, "'%s' is not an address: write HOST:PORT, as in 127.0.0.1:5000 or [::1]:5000",
		                 shown);
	if (!parse_number(port, 65535, &number) || (number == 0 && !allow_zero))
		return error_set(e, SHOAL_EUSAGE, "'%s': the port must be a number from %d to 65535", shown, allow_zero ? 0 : 1);
	memcpy(out->host, host, host_len);
	out->host[host_len] = '\0';
	out->port = (uint16_t)number;
	return SHOAL_OK;
}

char *address_format(const struct address *a, char out[ADDRESS_MAX])
{
	bool v6 = strchr(a->host, ':') != NULL && !PLANTED(address_bare);
	snprintf(out, ADDRESS_MAX, "%s%s%s:%u", v6 ? "[" : "", a->host, v6 ? "]" : "", a->port);
	return out;
}

bool address_looks_like(const char *text)
{
	const char *host, *port;
	size_t host_len;
	unsigned long number;
	return split(text, &host, &host_len, &port) && host_ok(host, host_len) && parse_number(port, 999999, &number);
}

bool identity_parse(const char *text, struct id32 *out)
{
	return strncmp(text, "sha256:", 7) == 0 && hex_decode(text + 7, out->b, sizeof(out->b));
}

static enum shoal_err parse_cluster(struct tracker_info *ti, const char *where, const char *value, struct error *e)
{
	if (ti->pinned)
		return error_set(e, SHOAL_EUSAGE, "%s: a second 'cluster' line", where);
	if (!identity_parse(value, &ti->cluster))
		return error_set(e, SHOAL_EUSAGE, "%s: 'cluster' needs sha256: and 64 hex digits", where);
	ti->pinned = true;
	return SHOAL_OK;
}

/* The next run of non-blanks, cut off with a NUL; NULL at the end. */
static char *next_word(char **line)
{
	char *word;
	do
		word = strsep(line, " \t\r");
	while (word != NULL && word[0] == '\0');
	return word;
}

static enum shoal_err parse_line(struct tracker_info *ti, const char *where, char *line, struct error *e)
{
	char *word = next_word(&line);
	if (word == NULL)
		return SHOAL_OK;
	char *second = next_word(&line), *third = next_word(&line);
	if (strcmp(word, "cluster") == 0)
		return parse_cluster(ti, where, second != NULL ? second : "", e);

	struct tracker_line t;
	struct error cause;
	unsigned long id;
	char address[ADDRESS_MAX];
	if (address_parse(word, false, &t.addr, &cause) != SHOAL_OK)
		return error_set(e, SHOAL_EUSAGE, "%s: %.300s", where, cause.message);
	if (second == NULL || third != NULL || !parse_number(second, 65535, &id) || id == 0)
		return error_set(e, SHOAL_EUSAGE, "%s: write 'HOST:PORT  ID' with an id from 1 to 65535", where);
	t.id = (uint16_t)id;
	if (tracker_info_find(ti, t.id) != NULL)
		return error_set(e, SHOAL_EUSAGE, "%s: the id %u is there twice", where, t.id);
	for (size_t i = 0; i < ti->n; i++)
		if (ti->trackers[i].addr.port == t.addr.port && strcasecmp(ti->trackers[i].addr.host, t.addr.host) == 0)
			return error_set(e, SHOAL_EUSAGE, "%s: %s is there twice", where, address_format(&t.addr, address));
	struct tracker_line *more = try_realloc(ti->trackers, (ti->n + 1) * sizeof(*more));
	if (more == NULL)
		return error_set(e, SHOAL_EBUSY, "%s: out of memory", where);
	ti->trackers = more;
	ti->trackers[ti->n++] = t;
	return SHOAL_OK;
}

enum shoal_err tracker_info_parse(const char *name, const char *text, struct tracker_info *out, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	unsigned number = 0;
	char *copy = try_strdup(text), *rest = copy, *line;

	*out = (struct tracker_info){ 0 };
	if (copy == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	while (rc == SHOAL_OK && (line = strsep(&rest, "\n")) != NULL) {
		char where[300];
		snprintf(where, sizeof(where), "%s:%u", name, ++number);
		line[strcspn(line, "#")] = '\0';
		rc = parse_line(out, where, line, e);
	}
	if (rc == SHOAL_OK && out->n == 0)
		rc = error_set(e, SHOAL_EUSAGE, "%s: no tracker in it: write lines of the form 'HOST:PORT  ID'", name);
	if (rc != SHOAL_OK)
		tracker_info_free(out);
	free(copy);
	return rc;
}

enum shoal_err tracker_info_read(const char *path, struct tracker_info *out, struct error *e)
{
	struct buf text = { 0 };
	enum shoal_err rc = fs_read_file(path, INFO_FILE_MAX, &text, e);
	*out = (struct tracker_info){ 0 };
	if (rc != SHOAL_OK) {
		buf_free(&text);
		return rc;
	}
	if (memchr(text.data != NULL ? text.data : (uint8_t *)"", 0, text.len) != NULL)
		rc = error_set(e, SHOAL_EUSAGE, "%s: not a text file", path);
	char *s = rc == SHOAL_OK ? buf_steal_str(&text) : NULL;
	if (rc == SHOAL_OK)
		rc = s != NULL ? tracker_info_parse(path, s, out, e) : error_set(e, SHOAL_EBUSY, "out of memory");
	free(s);
	buf_free(&text);
	return rc;
}

void tracker_info_free(struct tracker_info *ti)
{
	free(ti->trackers);
	*ti = (struct tracker_info){ 0 };
}

const struct tracker_line *tracker_info_find(const struct tracker_info *ti, uint16_t id)
{
	for (size_t i = 0; i < ti->n; i++)
		if (ti->trackers[i].id == id)
			return &ti->trackers[i];
	return NULL;
}
