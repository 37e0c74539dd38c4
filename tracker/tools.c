/* tracker/tools.c */
#include "tracker/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "tracker/cluster_key.h"
#include "tracker/control.h"
#include "tracker/load.h"
#include "tracker/store_sqlite.h"

static int say(const struct error *e)
{
	fprintf(stderr, "shoal-tracker: %s\n", e->message);
	return error_exit_code(e->code);
}

static enum shoal_err ask(const char *folder, const char *line, struct buf *out, struct error *e)
{
	enum shoal_err rc = control_ask(folder, line, out, e);
	if (rc == SHOAL_OK && out->failed)
		rc = error_set(e, SHOAL_EBUSY, "out of memory");
	return rc;
}

static int status(const struct options *o)
{
	struct buf out = { 0 };
	struct error e = { 0 };
	enum shoal_err rc = ask(o->data, "status", &out, &e);
	if (rc == SHOAL_OK && out.len != 0)
		fwrite(out.data, 1, out.len, stdout);
	buf_free(&out);
	return rc == SHOAL_OK ? 0 : say(&e);
}

/* The tracker has a working folder of its own: it is told the whole path. */
static enum shoal_err absolute(const char *file, char **out, struct error *e)
{
	char *folder = fs_dirname(file), *real = realpath(folder, NULL);
	enum shoal_err rc = SHOAL_OK;

	if (real == NULL)
		rc = error_errno(e, "cannot find the folder '%s'", folder);
	else if (strchr(file, '\n') != NULL || fs_basename(file)[0] == '\0')
		rc = error_set(e, SHOAL_EUSAGE, "this is no name for a backup");
	else
		*out = str_printf("%s/%s", strcmp(real, "/") == 0 ? "" : real, fs_basename(file));
	free(real);
	free(folder);
	return rc;
}

static int backup(const struct options *o)
{
	struct buf out = { 0 };
	struct error e = { 0 };
	char *path = NULL;
	enum shoal_err rc = absolute(o->backup_file, &path, &e);

	if (rc == SHOAL_OK) {
		char *line = str_printf("backup %s", path);
		if (strlen(line) + 2 > CONTROL_LINE_MAX)
			rc = error_set(&e, SHOAL_EUSAGE, "the name of the backup is too long");
		else
			rc = ask(o->data, line, &out, &e);
		free(line);
	}
	if (rc == SHOAL_OK)
		printf("backed up to %s\n", path);
	buf_free(&out);
	free(path);
	return rc == SHOAL_OK ? 0 : say(&e);
}

/* -- checking a stopped tracker's data */
static enum shoal_err lock(const char *folder, int *fd, struct error *e)
{
	char *path = str_printf("%s/lock", folder);
	enum shoal_err rc = SHOAL_OK;

	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*fd < 0)
		rc = error_errno(e, "cannot open '%s'", path);
	else if (flock(*fd, LOCK_EX | LOCK_NB) != 0)
		rc = error_set(e, SHOAL_EBUSY, "a tracker runs with the data folder '%s': stop it first, or ask it with "
		               "--status", folder);
	free(path);
	return rc;
}

/* Each content once more against its id. */
static enum shoal_err check_contents(struct loaded *l, size_t *n, struct error *e)
{
	struct registry_iter it = registry_all(l->registry, TABLE_FILE);
	const struct file_row *file;
	enum shoal_err rc = SHOAL_OK;

	while (rc == SHOAL_OK && (file = registry_next(&it)) != NULL) {
		const struct content_row *content = registry_content(l->registry, &file->content);
		struct content_op *op;
		if (content == NULL || !content->held)
			continue;
		op = content_op_new(CONTENT_CHECK);
		if (op == NULL)
			return error_set(e, SHOAL_EBUSY, "out of memory");
		op->id = file->content;
		op->size = file->size;
		op->file_hash = file->hash;
		rc = store_content(&store_sqlite_ops, l->store, op, e);
		content_op_free(op);
		(*n)++;
	}
	return rc;
}

static enum shoal_err check_database(const char *path, struct error *e)
{
	struct loaded l = { 0 };
	size_t rows = 0, contents = 0;

	if (access(path, F_OK) != 0)
		return error_errno(e, "cannot open '%s'", path);
	enum shoal_err rc = load_as_it_is(path, &l, e);
	if (rc != SHOAL_OK)
		return rc;
	for (unsigned table = 1; table < TABLE_END; table++)
		rows += registry_count(l.registry, table);
	rc = check_contents(&l, &contents, e);
	loaded_free(&l);
	if (rc == SHOAL_OK)
		printf("%s is whole: %zu rows, piece hashes of %zu files\n", path, rows, contents);
	return rc;
}

/* Or nothing is to be made there, not even a lock. */
static enum shoal_err check_is_there(const char *folder, const char *db, struct error *e)
{
	char *lock_file = str_printf("%s/lock", folder);
	bool absent = access(db, F_OK) != 0 && errno == ENOENT && access(lock_file, F_OK) != 0 && errno == ENOENT;

	free(lock_file);
	return absent ? error_set(e, SHOAL_ENOTFOUND, "'%s' is no tracker's data folder: there is no '%s'", folder, db)
	              : SHOAL_OK;
}

static int check(const struct options *o)
{
	struct error e = { 0 };
	char *path = str_printf("%s/tracker.db", o->data);
	int fd = -1;
	enum shoal_err rc = check_is_there(o->data, path, &e);
	if (rc == SHOAL_OK)
		rc = lock(o->data, &fd, &e);
	if (rc == SHOAL_OK)
		rc = check_database(path, &e);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc == SHOAL_OK ? 0 : say(&e);
}

/* -- the cluster's key */
static int show_identity(const struct options *o, bool fresh)
{
	struct cluster_keys keys;
	struct error e = { 0 };
	struct id32 id;
	char hex[HEX32_SIZE];
	enum shoal_err rc = fresh ? cluster_key_make(o->cluster_key, &e) : SHOAL_OK;

	if (rc == SHOAL_EEXISTS)
		error_set(&e, rc, "'%s' is there already: it is never written over; move it away, or give another "
		          "--cluster-key", o->cluster_key);
	if (rc == SHOAL_OK)
		rc = cluster_key_read(o->cluster_key, &keys, &e);
	if (rc != SHOAL_OK)
		return say(&e);
	EVP_PKEY *key = key_from_seed(keys.identity_seed);
	bool ok = key != NULL && key_identity(key, &id);
	EVP_PKEY_free(key);
	cluster_keys_wipe(&keys);
	if (!ok) {
		error_set(&e, SHOAL_EINTERNAL, "cannot derive the identity from '%s'", o->cluster_key);
		return say(&e);
	}
	hex_encode(id.b, sizeof(id.b), hex);
	printf("cluster sha256:%s\n", hex);
	return 0;
}

int tools_main(const struct options *o)
{
	switch (o->task) {
	case TASK_STATUS: return status(o);
	case TASK_BACKUP: return backup(o);
	case TASK_CHECK: return check(o);
	case TASK_NEW_KEY: return show_identity(o, true);
	case TASK_SHOW_IDENTITY: return show_identity(o, false);
	default: return error_exit_code(SHOAL_EUSAGE);
	}
}
