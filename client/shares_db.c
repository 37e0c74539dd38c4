/* client/shares_db.c */
#include "client/shares_db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"

enum { SHARES_VERSION = 1 };

static const char schema[] = "CREATE TABLE IF NOT EXISTS share("
			     "gid BLOB NOT NULL, fid BLOB NOT NULL, grp TEXT NOT NULL, file TEXT NOT NULL,"
			     "path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
			     "inode INTEGER NOT NULL, content BLOB NOT NULL, dropped INTEGER NOT NULL,"
			     "PRIMARY KEY(gid, fid)) WITHOUT ROWID;"
			     "PRAGMA user_version = 1;";

struct shares_db {
	sqlite3 *sql;
	sqlite3_stmt *put, *remove;
	char *path;
};

static enum shoal_err sql_error(struct shares_db *db, struct error *e)
{
	int code = sqlite3_errcode(db->sql);
	enum shoal_err kind = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? SHOAL_EINTEGRITY
			      : code == SQLITE_FULL                         ? SHOAL_EDISKFULL
			      : code == SQLITE_NOMEM                        ? SHOAL_EBUSY
										  : SHOAL_EIO;

	return error_set(e, kind, "'%s': %s", db->path, sqlite3_errmsg(db->sql));
}

static enum shoal_err check_version(struct shares_db *db, struct error *e)
{
	sqlite3_stmt *st = NULL;
	enum shoal_err rc = SHOAL_OK;

	if (sqlite3_prepare_v2(db->sql, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
		rc = sql_error(db, e);
	else if (sqlite3_column_int(st, 0) != 0 && sqlite3_column_int(st, 0) != SHARES_VERSION)
		rc = error_set(e, SHOAL_EINTEGRITY, "'%s' is of version %d, this shoal knows %d", db->path,
		               sqlite3_column_int(st, 0), SHARES_VERSION);
	sqlite3_finalize(st);
	return rc;
}

/* Which files one shares is nobody else's business: made here with 0600, as SQLite follows the umask and gives the -wal
 * the mode of the file. What an older shoal has made is put right. */
static enum shoal_err make_private(const char *path, struct error *e)
{
	static const char *const tails[] = { "", "-wal" };
	enum shoal_err rc = SHOAL_OK;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	else if (errno != EEXIST)
		return error_errno(e, "cannot create '%s'", path);
	for (size_t i = 0; fd < 0 && i < COUNT_OF(tails); i++) {
		char *file = str_printf("%s%s", path, tails[i]);
		if (chmod(file, 0600) != 0 && errno != ENOENT)
			rc = error_errno(e, "cannot make '%s' private", file);
		free(file);
	}
	return rc;
}

enum shoal_err shares_db_open(const char *path, struct shares_db **out, struct error *e)
{
	struct shares_db *db = xalloc(sizeof(*db));
	enum shoal_err rc = make_private(path, e);

	db->path = xstrdup(path);
	if (rc != SHOAL_OK) {
		shares_db_close(db);
		return rc;
	}
	if (sqlite3_open_v2(path, &db->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) !=
	            SQLITE_OK ||
	    sqlite3_exec(db->sql, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
	                 NULL, NULL, NULL) != SQLITE_OK)
		rc = sql_error(db, e);
	if (rc == SHOAL_OK)
		rc = check_version(db, e);
	if (rc == SHOAL_OK &&
	    (sqlite3_exec(db->sql, schema, NULL, NULL, NULL) != SQLITE_OK ||
	     sqlite3_prepare_v2(db->sql, "INSERT OR REPLACE INTO share VALUES(?,?,?,?,?,?,?,?,?,?)", -1, &db->put, NULL) !=
	             SQLITE_OK ||
	     sqlite3_prepare_v2(db->sql, "DELETE FROM share WHERE gid = ? AND fid = ?", -1, &db->remove, NULL) != SQLITE_OK))
		rc = sql_error(db, e);
	if (rc != SHOAL_OK) {
		shares_db_close(db);
		return rc;
	}
	*out = db;
	return SHOAL_OK;
}

void shares_db_close(struct shares_db *db)
{
	if (db == NULL)
		return;
	sqlite3_finalize(db->put);
	sqlite3_finalize(db->remove);
	sqlite3_close(db->sql);
	free(db->path);
	free(db);
}

static bool column_id(sqlite3_stmt *st, int col, void *out, size_t len)
{
	if (sqlite3_column_bytes(st, col) != (int)len)
		return false;
	memcpy(out, sqlite3_column_blob(st, col), len);
	return true;
}

static bool column_name(sqlite3_stmt *st, int col, char out[JOB_NAME_MAX])
{
	const unsigned char *text = sqlite3_column_text(st, col);
	return text != NULL && slice_to_str(slice_str((const char *)text), out, JOB_NAME_MAX);
}

/* False: a row that cannot be. */
static bool read_row(sqlite3_stmt *st, struct share *row)
{
	*row = (struct share){ 0 };
	row->info.size = (uint64_t)sqlite3_column_int64(st, 5);
	row->info.mtime_ns = sqlite3_column_int64(st, 6);
	row->info.inode = (uint64_t)sqlite3_column_int64(st, 7);
	row->dropped = sqlite3_column_int(st, 9) != 0;
	return column_id(st, 0, row->info.gid.b, sizeof(row->info.gid.b)) &&
	       column_id(st, 1, row->info.fid.b, sizeof(row->info.fid.b)) && column_name(st, 2, row->info.group) &&
	       column_name(st, 3, row->info.file) && column_id(st, 8, row->content.b, sizeof(row->content.b)) &&
	       sqlite3_column_bytes(st, 4) > 0;
}

enum shoal_err shares_db_each(struct shares_db *db, bool (*each)(void *arg, const struct share *row), void *arg,
                              struct error *e)
{
	sqlite3_stmt *st = NULL;
	enum shoal_err rc = SHOAL_OK;
	struct share row;
	int step = SQLITE_DONE;

	if (sqlite3_prepare_v2(db->sql, "SELECT * FROM share", -1, &st, NULL) != SQLITE_OK)
		return sql_error(db, e);
	while (rc == SHOAL_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		if (!read_row(st, &row)) {
			rc = error_set(e, SHOAL_EINTEGRITY, "'%s' has a row that cannot be", db->path);
			break;
		}
		size_t len = (size_t)sqlite3_column_bytes(st, 4);
		row.info.path = try_strndup(sqlite3_column_blob(st, 4), len);
		if (row.info.path == NULL || !each(arg, &row))
			rc = error_set(e, SHOAL_EBUSY, "out of memory");
		free(row.info.path);
	}
	if (rc == SHOAL_OK && step != SQLITE_DONE)
		rc = sql_error(db, e);
	sqlite3_finalize(st);
	return rc;
}

static enum shoal_err run(struct shares_db *db, sqlite3_stmt *st, bool bound, struct error *e)
{
	enum shoal_err rc = bound && sqlite3_step(st) == SQLITE_DONE ? SHOAL_OK : sql_error(db, e);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc;
}

enum shoal_err shares_db_put(struct shares_db *db, const struct share *row, struct error *e)
{
	sqlite3_stmt *st = db->put;
	const struct share_info *in = &row->info;
	bool bound = sqlite3_bind_blob(st, 1, in->gid.b, sizeof(in->gid.b), SQLITE_STATIC) == SQLITE_OK &&
	             sqlite3_bind_blob(st, 2, in->fid.b, sizeof(in->fid.b), SQLITE_STATIC) == SQLITE_OK &&
	             sqlite3_bind_text(st, 3, in->group, -1, SQLITE_STATIC) == SQLITE_OK &&
	             sqlite3_bind_text(st, 4, in->file, -1, SQLITE_STATIC) == SQLITE_OK &&
	             sqlite3_bind_blob(st, 5, in->path, (int)strlen(in->path), SQLITE_STATIC) == SQLITE_OK &&
	             sqlite3_bind_int64(st, 6, (int64_t)in->size) == SQLITE_OK &&
	             sqlite3_bind_int64(st, 7, in->mtime_ns) == SQLITE_OK &&
	             sqlite3_bind_int64(st, 8, (int64_t)in->inode) == SQLITE_OK &&
	             sqlite3_bind_blob(st, 9, row->content.b, sizeof(row->content.b), SQLITE_STATIC) == SQLITE_OK &&
	             sqlite3_bind_int(st, 10, row->dropped) == SQLITE_OK;

	return run(db, st, bound, e);
}

enum shoal_err shares_db_remove(struct shares_db *db, const struct id16 *gid, const struct id16 *fid, struct error *e)
{
	bool bound = sqlite3_bind_blob(db->remove, 1, gid->b, sizeof(gid->b), SQLITE_STATIC) == SQLITE_OK &&
	             sqlite3_bind_blob(db->remove, 2, fid->b, sizeof(fid->b), SQLITE_STATIC) == SQLITE_OK;

	return run(db, db->remove, bound, e);
}
