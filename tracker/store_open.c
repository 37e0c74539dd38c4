/* tracker/store_open.c - opening and closing the database, and setting a damaged one aside. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "tracker/store_db.h"
#include "tracker/store_sqlite.h"

enum { FORMAT = 1, WAL_STEP = 65536, WAL_HEAD = 32 };

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS row (tab INTEGER NOT NULL, key BLOB NOT NULL, columns BLOB NOT NULL,"
	" sum INTEGER NOT NULL, PRIMARY KEY (tab, key)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS staged (stage INTEGER NOT NULL, tab INTEGER NOT NULL, key BLOB NOT NULL,"
	" columns BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (stage, tab, key)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS log (position INTEGER PRIMARY KEY AUTOINCREMENT, log INTEGER NOT NULL,"
	" seq INTEGER NOT NULL, record BLOB NOT NULL);"
	"CREATE INDEX IF NOT EXISTS log_by_dot ON log (log, seq);"
	"CREATE TABLE IF NOT EXISTS vector (log INTEGER PRIMARY KEY, seq INTEGER NOT NULL);"
	"CREATE TABLE IF NOT EXISTS floor (log INTEGER PRIMARY KEY, seq INTEGER NOT NULL);"
	"CREATE TABLE IF NOT EXISTS content (id BLOB PRIMARY KEY, size INTEGER NOT NULL, have INTEGER NOT NULL,"
	" complete INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS chunk (id BLOB NOT NULL, chunk INTEGER NOT NULL, filled BLOB NOT NULL,"
	" hashes BLOB NOT NULL, PRIMARY KEY (id, chunk));";

/* the clock begins at 0, see bind_ordered() */
static const char new_meta[] = "INSERT INTO meta VALUES ('format', 1), ('hlc', -9223372036854775807 - 1)";

static const char *const statements[DB_STATEMENTS] = {
#define X(NAME, sql) [NAME] = (sql),
	DB_SQL(X)
#undef X
};

/* -- opening */
/* The first thing that SQLite found; before it may stand a line that says in which database. */
static enum shoal_err say_damage(struct store *s, const char *found, struct error *e)
{
	const char *line = strncmp(found, "***", 3) == 0 && strchr(found, '\n') != NULL ? strchr(found, '\n') + 1 : found;
	return error_set(e, SHOAL_EINTEGRITY, "'%s' is damaged: %.*s", s->path, (int)strcspn(line, "\n"), line);
}

/* What SQLite finds wrong with the file is damage; that it ran out of memory while it looked is not. */
static enum shoal_err quick_check(struct store *s, struct error *e)
{
	sqlite3_stmt *st = NULL;
	enum shoal_err rc = SHOAL_OK;

	if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &st, NULL) != SQLITE_OK ||
	    sqlite3_step(st) != SQLITE_ROW) {
		rc = db_unreadable(s, e, "check");
	} else {
		const char *found = (const char *)sqlite3_column_text(st, 0);
		if (found == NULL)
			rc = db_unreadable(s, e, "check");
		else if (strcmp(found, "ok") != 0)
			rc = say_damage(s, found, e);
	}
	sqlite3_finalize(st);
	return rc;
}

/* 0: a new database. */
static bool read_format(struct store *s, uint64_t *format)
{
	sqlite3_stmt *st = NULL;
	*format = 0;
	bool ok = sqlite3_prepare_v2(s->db, "SELECT value FROM meta WHERE name = 'format'", -1, &st, NULL) == SQLITE_OK;
	if (ok && sqlite3_step(st) == SQLITE_ROW)
		*format = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return ok;
}

/* Called after each commit. */
static int note_wal(void *ctx, sqlite3 *db, const char *name, int pages)
{
	struct store *s = ctx;

	(void)db;
	(void)name;
	s->wal_pages = pages;
	return SQLITE_OK;
}

static enum shoal_err set_up(struct store *s, struct error *e)
{
	/* In this order: with EXCLUSIVE before WAL the index of the WAL lives in the heap, and nobody else gets in. */
	static const char pragmas[] = "PRAGMA page_size=4096; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; "
	                              "PRAGMA synchronous=FULL;"
				      "PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY; PRAGMA "
	                              "cache_size=-65536; PRAGMA foreign_keys=OFF";
	uint64_t format;

	if (sqlite3_exec(s->db, pragmas, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(s->db, "BEGIN EXCLUSIVE; COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		return db_unreadable(s, e, "open");
	enum shoal_err rc = quick_check(s, e);
	if (rc != SHOAL_OK)
		return rc;
	sqlite3_wal_hook(s->db, note_wal, s);
	if (sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK || !read_format(s, &format))
		return db_unreadable(s, e, "open");
	if (format > FORMAT)
		return error_set(e, SHOAL_EIO, "'%s' was written by a newer shoal-tracker", s->path);
	if (format == 0 && sqlite3_exec(s->db, new_meta, NULL, NULL, NULL) != SQLITE_OK)
		return db_unreadable(s, e, "set up");
	for (unsigned i = 0; i < DB_STATEMENTS; i++)
		if (sqlite3_prepare_v3(s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[i], NULL) !=
		    SQLITE_OK)
			return db_unreadable(s, e, "prepare");
	return SHOAL_OK;
}

void db_close(struct store *s)
{
	db_backup_abandon(s); /* or SQLite does not close */
	for (unsigned i = 0; i < DB_STATEMENTS; i++) {
		sqlite3_finalize(s->stmt[i]);
		s->stmt[i] = NULL;
	}
	sqlite3_close(s->db);
	s->db = NULL;
	s->wal_pages = 0;
}

void db_close_as_is(struct store *s)
{
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	db_close(s);
}

/* -- the WAL, before SQLite looks at it */
static uint32_t word_at(const uint8_t *p, bool big)
{
	return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
	           : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* The head of a WAL is flushed before anything follows it. One that does not fit its check is damage; SQLite would take
 * the WAL for empty, and what was acknowledged since the last checkpoint would be gone without a word. */
static bool wal_head_ok(const uint8_t head[WAL_HEAD])
{
	uint32_t magic = word_at(head, true), a = 0, b = 0;
	bool big = magic == 0x377f0683;

	if (!big && magic != 0x377f0682)
		return false;
	for (size_t i = 0; i < 24; i += 8) {
		a += word_at(head + i, big) + b;
		b += word_at(head + i + 4, big) + a;
	}
	return a == word_at(head + 24, true) && b == word_at(head + 28, true);
}

static enum shoal_err rewrite(sqlite3_file *f, sqlite3_int64 size, uint8_t *page, const char *path, struct error *e)
{
	for (sqlite3_int64 at = 0; at < size; at += WAL_STEP) {
		int len = size - at < WAL_STEP ? (int)(size - at) : WAL_STEP;
		if (f->pMethods->xRead(f, page, len, at) != SQLITE_OK)
			return error_set(e, SHOAL_EINTEGRITY, "cannot read '%s-wal'", path);
		if (at == 0 && size > WAL_HEAD && !wal_head_ok(page))
			return error_set(e, SHOAL_EINTEGRITY, "'%s-wal' is damaged", path);
		int rc = f->pMethods->xWrite(f, page, len, at);
		if (rc != SQLITE_OK)
			return error_set(e, rc == SQLITE_FULL ? SHOAL_EDISKFULL : SHOAL_EIO, "cannot write to '%s-wal'", path);
	}
	if (f->pMethods->xSync(f, SQLITE_SYNC_FULL) != SQLITE_OK)
		return error_set(e, SHOAL_EIO, "cannot flush '%s-wal'", path);
	return SHOAL_OK;
}

/* A file of the database through SQLite's own door to the system. `out` has room for it; closed by close_raw(). */
static int open_raw(sqlite3_vfs *vfs, const char *name, sqlite3_file *out, int kind)
{
	memset(out, 0, (size_t)vfs->szOsFile);
	return vfs->xOpen(vfs, name, out, SQLITE_OPEN_READWRITE | kind, NULL);
}

static void close_raw(sqlite3_file *f)
{
	if (f->pMethods != NULL)
		f->pMethods->xClose(f);
}

/* SHOAL_EBUSY: another process has the database, and its WAL is not ours to touch. */
static enum shoal_err check_free(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	if (open_raw(vfs, name, f, SQLITE_OPEN_MAIN_DB) == SQLITE_OK) {
		if (f->pMethods->xLock(f, SQLITE_LOCK_SHARED) == SQLITE_BUSY)
			rc = error_set(e, SHOAL_EBUSY, "cannot open '%s': another process has it", name);
		f->pMethods->xUnlock(f, SQLITE_LOCK_NONE);
	}
	close_raw(f); /* what is wrong with it SQLite will tell */
	return rc;
}

static enum shoal_err rewrite_wal(sqlite3_vfs *vfs, const char *wal, sqlite3_file *f, const char *path, struct error *e)
{
	sqlite3_int64 size = 0;
	uint8_t *page = try_alloc(WAL_STEP);
	enum shoal_err rc;

	if (page == NULL)
		return error_set(e, SHOAL_EBUSY, "cannot open '%s': out of memory", path);
	if (open_raw(vfs, wal, f, SQLITE_OPEN_WAL) != SQLITE_OK || f->pMethods->xFileSize(f, &size) != SQLITE_OK)
		rc = error_set(e, SHOAL_EIO, "cannot open '%s-wal'", path);
	else
		rc = rewrite(f, size, page, path, e);
	close_raw(f);
	free(page);
	return rc;
}

/* A flush of the WAL may have failed, in this process or in one before it. Linux then still shows what was written,
 * and calls the next flush a success, though the disk has nothing of it: SQLite would take it for durable and go on
 * from there. So all of it is written once more, which makes the next flush an honest one. */
static enum shoal_err renew_wal(struct store *s, struct error *e)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	char *journal = str_printf("%s-journal", s->path), *wal = str_printf("%s-wal", s->path);
	const char *name = sqlite3_create_filename(s->path, journal, wal, 0, NULL);
	sqlite3_file *f = try_alloc((size_t)vfs->szOsFile);
	enum shoal_err rc = SHOAL_OK;
	int there = 0;

	if (name == NULL || f == NULL)
		rc = error_set(e, SHOAL_EBUSY, "cannot open '%s': out of memory", s->path);
	else if (vfs->xAccess(vfs, wal, SQLITE_ACCESS_EXISTS, &there) != SQLITE_OK)
		rc = error_set(e, SHOAL_EIO, "cannot look for '%s-wal'", s->path);
	else if (there)
		rc = check_free(vfs, name, f, e);
	if (rc == SHOAL_OK && there)
		rc = rewrite_wal(vfs, sqlite3_filename_wal(name), f, s->path, e);
	sqlite3_free_filename((char *)(uintptr_t)name);
	free(f);
	free(journal);
	free(wal);
	return rc;
}

enum shoal_err db_open(struct store *s, struct error *e)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	enum shoal_err rc = renew_wal(s, e);
	if (rc != SHOAL_OK)
		return rc;
	rc = sqlite3_open_v2(s->path, &s->db, flags, NULL) == SQLITE_OK ? set_up(s, e) : db_unreadable(s, e, "open");
	if (rc != SHOAL_OK)
		db_close(s);
	return rc;
}

/* As path, or path-2, ...: nothing that was set aside before is written over. */
static char *free_name(const char *path)
{
	char *name = str_printf("%s", path);
	for (unsigned i = 2; access(name, F_OK) == 0; i++) {
		free(name);
		name = str_printf("%s-%u", path, i);
	}
	return name;
}

enum shoal_err store_sqlite_set_aside(const char *path, char **name, struct error *e)
{
	static const char *const parts[] = { "", "-wal", "-journal" };
	char stamp[32];
	struct tm tm;
	time_t now = time(NULL);
	enum shoal_err rc = SHOAL_OK;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	char *wanted = str_printf("%s.damaged-%s", path, stamp);
	*name = free_name(wanted);
	free(wanted);
	for (size_t i = 0; rc == SHOAL_OK && i < COUNT_OF(parts); i++) {
		char *from = str_printf("%s%s", path, parts[i]), *to = str_printf("%s%s", *name, parts[i]);
		if (rename(from, to) != 0 && errno != ENOENT)
			rc = error_errno(e, "cannot set '%s' aside", from);
		free(from);
		free(to);
	}
	return rc;
}
