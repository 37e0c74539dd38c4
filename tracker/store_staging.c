/* tracker/store_staging.c - rows put aside in a table of their own, until a transaction adopts them.
 *
 * What is put aside need not survive a power cut by itself, so its transactions do not wait for the disk
 * (synchronous=NORMAL: a WAL without fsync). The one that adopts them does, and its fsync covers all that the WAL has
 * before it. */
#include "tracker/store_db.h"

enum { DROP_ROWS = 10000 }; /* at once: commits come in between */

static bool put_rows(struct store *s, const struct content_op *op)
{
	struct cursor c = cursor_of(op->data.data, op->data.len);

	while (cursor_left(&c) != 0) {
		struct wire_row row;
		sqlite3_stmt *st = db_begin(s, DB_STAGE_PUT);
		wire_row_get(&c, &row);
		if (c.bad || !db_bind_int(st, 1, op->stage) || !db_bind_int(st, 2, row.table) ||
		    !db_bind_blob(st, 3, row.key) || !db_bind_blob(st, 4, row.columns) ||
		    !db_bind_int(st, 5, db_row_sum(&row)) || !db_done(st))
			return false;
	}
	return true;
}

static bool wait_for_disk(struct store *s, bool wait)
{
	return sqlite3_exec(s->db, wait ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", NULL, NULL, NULL) ==
	       SQLITE_OK;
}

static enum shoal_err stage_put(struct store *s, const struct content_op *op, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;

	if (!wait_for_disk(s, false))
		return db_error(s, e, "write to");
	if (!db_run(s, DB_BEGIN) || !put_rows(s, op) || !db_run(s, DB_COMMIT))
		rc = db_write_failed(s, e);
	/* Nothing else may be committed without it: the store thread gives up then. */
	if (!wait_for_disk(s, true))
		return error_set(e, SHOAL_EINTERNAL, "cannot set how '%s' is written", s->path);
	db_wrote(s);
	return rc;
}

static bool bind_last(sqlite3_stmt *st, struct slice last)
{
	struct cursor c = cursor_of(last.data, last.len);
	struct wire_row row = { 0 };

	if (last.len == 0)
		return sqlite3_bind_int(st, 2, -1) == SQLITE_OK && db_bind_blob(st, 3, slice_of(NULL, 0));
	wire_row_get(&c, &row);
	return !c.bad && db_bind_int(st, 2, row.table) && db_bind_blob(st, 3, row.key);
}

static enum shoal_err stage_read(struct store *s, struct content_op *op, struct error *e)
{
	sqlite3_stmt *st = db_begin(s, DB_STAGE_READ);
	struct buf rows = { 0 };
	enum shoal_err rc = SHOAL_OK;
	int step = SQLITE_DONE;

	op->more = false;
	if (!db_bind_int(st, 1, op->stage) || !bind_last(st, slice_of(op->data.data, op->data.len)))
		return db_error(s, e, "read");
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		struct wire_row row = { .table = (uint16_t)sqlite3_column_int(st, 0),
			                .key = db_column_blob(st, 1),
			                .columns = db_column_blob(st, 2) };
		op->more = rows.len >= op->limit;
		if (op->more)
			break;
		if (db_row_sum(&row) != (uint64_t)sqlite3_column_int64(st, 3)) {
			rc = error_set(e, SHOAL_EINTEGRITY, "'%s' is damaged: a staged row does not fit its check", s->path);
			break;
		}
		wire_row_put(&rows, &row);
	}
	if (rc == SHOAL_OK && step != SQLITE_DONE && step != SQLITE_ROW)
		rc = db_error(s, e, "read");
	sqlite3_reset(st);
	if (rc == SHOAL_OK && rows.failed)
		rc = error_set(e, SHOAL_EBUSY, "out of memory");
	buf_free(&op->data);
	op->data = rows;
	return rc;
}

static enum shoal_err stage_drop(struct store *s, struct content_op *op, struct error *e)
{
	sqlite3_stmt *st = db_begin(s, DB_STAGE_DROP_SOME);

	if (!db_bind_int(st, 1, op->stage) || !db_bind_int(st, 2, DROP_ROWS) || !db_done(st))
		return db_write_failed(s, e);
	db_wrote(s);
	op->more = sqlite3_changes(s->db) != 0;
	if (op->more)
		return SHOAL_OK;
	st = db_begin(s, DB_STAGE_DROP); /* fewer than that are left */
	return db_bind_int(st, 1, op->stage) && db_done(st) ? SHOAL_OK : db_write_failed(s, e);
}

enum shoal_err db_stage(struct store *s, struct content_op *op, struct error *e)
{
	switch (op->kind) {
	case CONTENT_STAGE_PUT: return stage_put(s, op, e);
	case CONTENT_STAGE_READ: return stage_read(s, op, e);
	case CONTENT_STAGE_DROP: return stage_drop(s, op, e);
	default: return error_set(e, SHOAL_EINTERNAL, "not an operation on a stage");
	}
}

bool db_stage_adopt(struct store *s, uint64_t stage)
{
	sqlite3_stmt *st;

	if (stage == 0)
		return true;
	st = db_begin(s, DB_STAGE_ADOPT);
	return db_bind_int(st, 1, stage) && db_done(st);
}
