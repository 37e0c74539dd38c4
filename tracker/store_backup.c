/* tracker/store_backup.c - a copy of the database while it is in use, a portion at a time.
 *
 * Commits may come between two portions: SQLite writes what they change into the copy as well, since they are made on
 * the same connection. The copy grows under a name of its own and gets the one that was asked for when it is whole and
 * flushed, so that a file of that name is always a backup one can start from. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/crypto.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "tracker/store_db.h"
#include "tracker/store_sqlite.h"

enum { PAGES = 256 };

struct db_backup {
	char *part; /* the name it has until it is whole */
	struct store copy;
	sqlite3_backup *run;
};

void db_backup_abandon(struct store *s)
{
	struct db_backup *b = s->backup;
	if (b == NULL)
		return;
	sqlite3_backup_finish(b->run); /* NULL is fine */
	sqlite3_close(b->copy.db);
	if (b->part != NULL)
		unlink(b->part);
	free(b->part);
	free(b);
	s->backup = NULL;
}

static enum shoal_err begin(struct store *s, const char *path, struct error *e)
{
	/* what becomes of a half-written copy does not matter: it is thrown away */
	static const char pragmas[] = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-1024";
	struct db_backup *b;

	if (access(path, F_OK) == 0)
		return error_set(e, SHOAL_EEXISTS, "cannot back up to '%s': it exists already", path);
	b = s->backup = try_alloc(sizeof(*b));
	if (b == NULL)
		return error_set(e, SHOAL_EBUSY, "cannot back up: out of memory");
	b->part = str_printf("%s.%016llx.part", path, (unsigned long long)random_u64());
	b->copy.path = b->part;
	if (sqlite3_open_v2(b->part, &b->copy.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK ||
	    sqlite3_exec(b->copy.db, pragmas, NULL, NULL, NULL) != SQLITE_OK)
		return db_error(&b->copy, e, "make");
	b->run = sqlite3_backup_init(b->copy.db, "main", s->db, "main");
	return b->run != NULL ? SHOAL_OK : db_error(&b->copy, e, "write");
}

/* It is all there: from now on under its own name, and for good. */
static enum shoal_err publish(struct db_backup *b, const char *path, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	int fd = open(b->part, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fsync(fd) != 0)
		rc = error_errno(e, "cannot flush '%s'", b->part);
	else if (link(b->part, path) != 0)
		rc = errno == EEXIST ? error_set(e, SHOAL_EEXISTS, "cannot back up to '%s': it exists already", path)
		                     : error_errno(e, "cannot make '%s'", path);
	else
		rc = fs_sync_folder(path, e);
	if (fd >= 0)
		close(fd);
	return rc;
}

static enum shoal_err finish(struct store *s, const char *path, struct error *e)
{
	struct db_backup *b = s->backup;
	int rc = sqlite3_backup_finish(b->run);
	b->run = NULL;
	if (rc != SQLITE_OK)
		return db_error(&b->copy, e, "write");
	rc = sqlite3_close(b->copy.db);
	b->copy.db = NULL;
	if (rc != SQLITE_OK)
		return error_set(e, SHOAL_EIO, "cannot close '%s'", b->part);
	return publish(b, path, e);
}

bool store_sqlite_backup(struct store *s, struct content_op *op, enum shoal_err *rc, struct error *e)
{
	int step = SQLITE_OK;

	*rc = SHOAL_OK;
	if (op->next++ == 0)
		*rc = s->backup == NULL ? begin(s, op->path, e)
		                        : error_set(e, SHOAL_EBUSY, "a backup is being made already");
	else if (s->backup == NULL)
		*rc = error_set(e, SHOAL_EIO, "the backup broke off: the database had to be opened anew");
	if (*rc == SHOAL_EBUSY && s->backup != NULL && s->backup->run != NULL)
		return true; /* that one goes on */
	if (*rc == SHOAL_OK)
		step = sqlite3_backup_step(s->backup->run, PAGES);
	if (*rc == SHOAL_OK && step == SQLITE_OK)
		return false;
	if (*rc == SHOAL_OK)
		*rc = step == SQLITE_DONE ? finish(s, op->path, e) : db_error(&s->backup->copy, e, "write");
	db_backup_abandon(s); /* the copy has its own name by now, or is of no use */
	return true;
}

enum shoal_err db_backup(struct store *s, const char *path, struct error *e)
{
	struct content_op op = { .kind = CONTENT_BACKUP, .path = (char *)(uintptr_t)path };
	enum shoal_err rc;
	while (!store_sqlite_backup(s, &op, &rc, e))
		continue;
	return rc;
}
