/* tracker/recover.c */
#include "tracker/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "tracker/store_sqlite.h"

static bool has_wal(const char *path)
{
	char *wal = str_printf("%s-wal", path);
	struct stat st;
	bool has = stat(wal, &st) == 0 && st.st_size != 0;
	free(wal);
	return has;
}

enum shoal_err recover_look(const char *path, struct error *e)
{
	struct stat st;

	if (stat(path, &st) != 0 && errno == ENOENT)
		return has_wal(path) ? error_set(e, SHOAL_EINTEGRITY, "'%s' is missing, though its '-wal' is there", path)
		                     : SHOAL_OK;
	if (stat(path, &st) != 0)
		return error_errno(e, "cannot open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return error_set(e, SHOAL_EINTEGRITY, "'%s' is %s, not a database", path,
		                 S_ISDIR(st.st_mode) ? "a folder" : "no file");
	if (st.st_size == 0)
		return error_set(e, SHOAL_EINTEGRITY, "'%s' is empty", path);
	if (access(path, R_OK | W_OK) != 0 && errno == EACCES)
		return error_set(e, SHOAL_EINTEGRITY, "'%s' cannot be read and written: permission denied", path);
	return SHOAL_OK;
}

/* What an earlier attempt has left: nothing was ever kept in it. */
static void remove_attempt(const char *temp)
{
	static const char *const parts[] = { "", "-wal", "-journal" };
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		char *name = str_printf("%s%s", temp, parts[i]);
		unlink(name);
		free(name);
	}
}

enum shoal_err recover_make(const char *path, struct error *e)
{
	struct store *s = NULL;
	enum shoal_err rc;

	if (access(path, F_OK) == 0)
		return SHOAL_OK;
	char *temp = str_printf("%s.new", path);
	remove_attempt(temp);
	rc = store_sqlite_ops.open(temp, &s, e);
	store_sqlite_ops.close(s);
	if (rc == SHOAL_OK && rename(temp, path) != 0)
		rc = error_errno(e, "cannot make '%s'", path);
	if (rc == SHOAL_OK)
		rc = fs_sync_folder(path, e);
	free(temp);
	return rc;
}

static char *mark_of(const char *path)
{
	return str_printf("%s.rebuilding", path);
}

enum shoal_err recover_begin(const char *path, struct error *e)
{
	static const char text[] = "This tracker has lost its database and fetches everything from the others.\n";
	char *mark = mark_of(path);
	enum shoal_err rc = fs_write_file(mark, text, sizeof(text) - 1, 0600, e);
	free(mark);
	return rc;
}

bool recover_pending(const char *path)
{
	char *mark = mark_of(path);
	bool pending = access(mark, F_OK) == 0;
	free(mark);
	return pending;
}

enum shoal_err recover_done(const char *path, struct error *e)
{
	char *mark = mark_of(path);
	enum shoal_err rc = SHOAL_OK;
	if (unlink(mark) != 0 && errno != ENOENT)
		rc = error_errno(e, "cannot remove '%s'", mark);
	free(mark);
	return rc;
}
