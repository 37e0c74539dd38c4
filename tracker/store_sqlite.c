/* tracker/store_sqlite.c - loading, committing; store_open.c opens, store_log.c has the log, store_content.c the hashes.
 *
 * Rows carry a check of their own, since SQLite has no page checksums; records have theirs inside. What does not fit is
 * SHOAL_EINTEGRITY when it is read: the owner sets the database aside and fetches everything from the peers.
 * A commit that failed at its very end may or may not be on disk. Then the database is closed, opened anew and asked:
 * what it has after a checkpoint is durable, what it has not is not. If even that fails there is no honest answer but
 * to stop: kill -9 loses nothing that was acknowledged. */
#include "tracker/store_sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "tracker/store_db.h"

enum { CHECKPOINT_PAGES = 8192 }; /* 32 MiB of WAL: long enough that a page which is written again and again is copied once */

enum shoal_err db_error(struct store *s, struct error *e, const char *doing)
{
	int code = s->db != NULL ? sqlite3_errcode(s->db) : SQLITE_NOMEM;
	const char *text = s->db != NULL ? sqlite3_errmsg(s->db) : "out of memory";
	switch (code & 0xff) {
	case SQLITE_NOMEM: return error_set(e, SHOAL_EBUSY, "cannot %s '%s': out of memory", doing, s->path);
	case SQLITE_FULL: return error_set(e, SHOAL_EDISKFULL, "cannot %s '%s': %s", doing, s->path, text);
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return error_set(e, SHOAL_EBUSY, "cannot %s '%s': another process has it", doing, s->path);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return error_set(e, SHOAL_EINTEGRITY, "cannot %s '%s': %s", doing, s->path, text);
	default: return error_set(e, SHOAL_EIO, "cannot %s '%s': %s", doing, s->path, text);
	}
}

enum shoal_err db_unreadable(struct store *s, struct error *e, const char *doing)
{
	enum shoal_err rc = db_error(s, e, doing);
	if (rc == SHOAL_EIO && s->db != NULL && sqlite3_extended_errcode(s->db) == SQLITE_IOERR_READ)
		rc = e->code = SHOAL_EINTEGRITY;
	return rc;
}

sqlite3_stmt *db_begin(struct store *s, enum db_statement which)
{
	sqlite3_stmt *st = s->stmt[which];
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return st;
}

bool db_bind_blob(sqlite3_stmt *st, int at, struct slice v)
{
	/* borrowed until the reset; an empty blob must not become NULL */
	return sqlite3_bind_blob64(st, at, v.len != 0 ? v.data : (const uint8_t *)"", v.len, SQLITE_STATIC) ==
	       SQLITE_OK;
}

bool db_bind_int(sqlite3_stmt *st, int at, uint64_t v)
{
	return sqlite3_bind_int64(st, at, (sqlite3_int64)v) == SQLITE_OK;
}

/* SQLite's integers are signed: the top bit is turned over, so that their order is the unsigned one. */
static bool bind_ordered(sqlite3_stmt *st, int at, uint64_t v)
{
	return db_bind_int(st, at, v ^ UINT64_C(1) << 63);
}

static uint64_t column_ordered(sqlite3_stmt *st, int at)
{
	return (uint64_t)sqlite3_column_int64(st, at) ^ UINT64_C(1) << 63;
}

struct slice db_column_blob(sqlite3_stmt *st, int at)
{
	return slice_of(sqlite3_column_blob(st, at), (size_t)sqlite3_column_bytes(st, at));
}

bool db_done(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);
	sqlite3_reset(st);
	return rc == SQLITE_DONE;
}

bool db_run(struct store *s, enum db_statement which)
{
	return db_done(db_begin(s, which));
}

static void sqlite_close(struct store *s)
{
	if (s == NULL)
		return;
	db_close(s);
	free(s->path);
	free(s);
}

static enum shoal_err sqlite_open(const char *where, struct store **out, struct error *e)
{
	struct store *s = try_alloc(sizeof(*s));
	if (s == NULL || (s->path = try_strdup(where)) == NULL) {
		free(s);
		return error_set(e, SHOAL_EBUSY, "out of memory");
	}
	enum shoal_err rc = db_open(s, e);
	if (rc != SHOAL_OK) {
		sqlite_close(s);
		return rc;
	}
	*out = s;
	return SHOAL_OK;
}

/* -- loading */
uint64_t db_row_sum(const struct wire_row *row)
{
	struct sha256 h;
	struct id32 out;
	uint64_t sum;

	sha256_init(&h);
	tuple_add_u32(&h, row->table);
	tuple_add(&h, row->key.data, row->key.len);
	sha256_update(&h, row->columns.data, row->columns.len);
	sha256_final(&h, &out);
	memcpy(&sum, out.b, sizeof(sum));
	return sum;
}

static enum shoal_err load_rows(struct store *s, const struct store_sink *sink, struct error *e)
{
	sqlite3_stmt *st = db_begin(s, DB_ROW_ALL);
	enum shoal_err rc = SHOAL_OK;
	int step = SQLITE_DONE;

	while (rc == SHOAL_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		struct wire_row row = { .table = (uint16_t)sqlite3_column_int(st, 0),
			                .key = db_column_blob(st, 1),
			                .columns = db_column_blob(st, 2) };
		if (db_row_sum(&row) != (uint64_t)sqlite3_column_int64(st, 3))
			rc = error_set(e, SHOAL_EINTEGRITY, "'%s' is damaged: a row of table %u does not fit its check",
			               s->path, row.table);
		else
			rc = sink->row(sink->ctx, &row);
	}
	if (rc == SHOAL_OK && step != SQLITE_DONE)
		rc = db_unreadable(s, e, "read");
	sqlite3_reset(st);
	return rc;
}

static enum shoal_err load_dots(struct store *s, enum db_statement which, const struct store_sink *sink,
                                enum shoal_err (*fn)(void *, uint64_t, uint64_t), struct error *e)
{
	sqlite3_stmt *st = db_begin(s, which);
	enum shoal_err rc = SHOAL_OK;
	int step = SQLITE_DONE;

	while (rc == SHOAL_OK && (step = sqlite3_step(st)) == SQLITE_ROW)
		rc = fn(sink->ctx, (uint64_t)sqlite3_column_int64(st, 0), column_ordered(st, 1));
	if (rc == SHOAL_OK && step != SQLITE_DONE)
		rc = db_unreadable(s, e, "read");
	sqlite3_reset(st);
	return rc;
}

static enum shoal_err load_hlc(struct store *s, const struct store_sink *sink, struct error *e)
{
	sqlite3_stmt *st = db_begin(s, DB_HLC_GET);
	enum shoal_err rc = SHOAL_OK;

	int step = sqlite3_step(st);
	if (step == SQLITE_ROW)
		rc = sink->hlc(sink->ctx, column_ordered(st, 0));
	else if (step == SQLITE_DONE)
		rc = error_set(e, SHOAL_EINTEGRITY, "'%s' is damaged: it does not know the time", s->path);
	else
		rc = db_unreadable(s, e, "read");
	sqlite3_reset(st);
	return rc;
}

static enum shoal_err load_content(struct store *s, const struct store_sink *sink, struct error *e)
{
	sqlite3_stmt *st = db_begin(s, DB_CONTENT_COMPLETE_ALL);
	enum shoal_err rc = SHOAL_OK;
	int step = SQLITE_DONE;

	while (rc == SHOAL_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		struct slice id = db_column_blob(st, 0);
		struct id32 content;
		if (id.len != sizeof(content.b)) {
			rc = error_set(e, SHOAL_EINTEGRITY, "'%s' is damaged: a content id of %zu bytes", s->path,
			               id.len);
			break;
		}
		memcpy(content.b, id.data, sizeof(content.b));
		rc = sink->content(sink->ctx, &content);
	}
	if (rc == SHOAL_OK && step != SQLITE_DONE)
		rc = db_unreadable(s, e, "read");
	sqlite3_reset(st);
	return rc;
}

static enum shoal_err sqlite_load(struct store *s, const struct store_sink *sink, struct error *e)
{
	enum shoal_err rc = db_run(s, DB_STAGE_NONE) ? SHOAL_OK : db_write_failed(s, e); /* of another life */
	if (rc == SHOAL_OK)
		rc = load_rows(s, sink, e);
	if (rc == SHOAL_OK)
		rc = load_dots(s, DB_VECTOR_ALL, sink, sink->vector, e);
	if (rc == SHOAL_OK)
		rc = load_dots(s, DB_FLOOR_ALL, sink, sink->floor, e);
	if (rc == SHOAL_OK)
		rc = load_hlc(s, sink, e);
	return rc == SHOAL_OK ? load_content(s, sink, e) : rc;
}

/* -- committing */
static bool write_rows(struct store *s, const struct store_txn *txn)
{
	struct cursor c = cursor_of(txn->rows.data, txn->rows.len);
	struct store_row r;

	while (store_txn_next_row(&c, &r)) {
		sqlite3_stmt *st = db_begin(s, r.gone ? DB_ROW_DEL : DB_ROW_PUT);
		if (!db_bind_int(st, 1, r.row.table) || !db_bind_blob(st, 2, r.row.key))
			return false;
		if (!r.gone && (!db_bind_blob(st, 3, r.row.columns) || !db_bind_int(st, 4, db_row_sum(&r.row))))
			return false;
		if (!db_done(st))
			return false;
	}
	return !c.bad; /* what cannot be read is not left out in silence */
}

static bool write_records(struct store *s, const struct store_txn *txn)
{
	struct cursor c = cursor_of(txn->records.data, txn->records.len);
	struct slice bytes;

	while (store_txn_next_record(&c, &bytes)) {
		struct record rec;
		sqlite3_stmt *st = db_begin(s, DB_LOG_ADD);
		if (record_get(bytes, &rec) != SHOAL_OK || !db_bind_int(st, 1, rec.stamp.dot.log) ||
		    !bind_ordered(st, 2, rec.stamp.dot.seq) || !db_bind_blob(st, 3, bytes) || !db_done(st))
			return false;
	}
	return !c.bad;
}

bool db_write_dots(struct store *s, enum db_statement which, const struct vvec *v)
{
	for (size_t i = 0; i < v->n; i++) {
		sqlite3_stmt *st = db_begin(s, which);
		if (!db_bind_int(st, 1, v->entries[i].log) || !bind_ordered(st, 2, v->entries[i].seq) || !db_done(st))
			return false;
	}
	return true;
}

static bool write_txn(struct store *s, const struct store_txn *txn)
{
	if (!db_stage_adopt(s, txn->adopt) || !write_rows(s, txn) || !write_records(s, txn) || !db_write_dots(s, DB_VECTOR_PUT, &txn->vector) ||
	    !db_write_dots(s, DB_FLOOR_PUT, &txn->floor))
		return false;
	if (txn->rows.len == 0 && txn->records.len == 0 && !db_run(s, DB_PROBE))
		return false;
	if (txn->hlc == 0)
		return true;
	sqlite3_stmt *st = db_begin(s, DB_HLC_PUT);
	return bind_ordered(st, 1, txn->hlc) && db_done(st);
}

/* Whether the stored vector covers what these transactions bring; SHOAL_ENOTFOUND: it does not. Each of them that
 * matters brings something: an op its own dot, a batch of foreign ones theirs, a snapshot its vector. */
static enum shoal_err has_all(struct store *s, struct store_txn *const *txns, size_t n, struct error *e)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < txns[i]->vector.n; k++) {
			const struct dot *d = &txns[i]->vector.entries[k];
			sqlite3_stmt *st = db_begin(s, DB_VECTOR_GET);
			int step = db_bind_int(st, 1, d->log) ? sqlite3_step(st) : SQLITE_NOMEM;
			bool there = step == SQLITE_ROW && column_ordered(st, 0) >= d->seq;
			sqlite3_reset(st);
			if (step != SQLITE_ROW && step != SQLITE_DONE)
				return db_error(s, e, "read");
			if (!there)
				return SHOAL_ENOTFOUND;
		}
	return SHOAL_OK;
}

/* After a COMMIT that failed: opens anew and finds out. SHOAL_OK: it is there, and durable by the checkpoint. */
static enum shoal_err settle(struct store *s, struct store_txn *const *txns, size_t n, struct error *e)
{
	struct error why = *e;
	enum shoal_err there = SHOAL_EIO;

	db_close_as_is(s);
	if (db_open(s, &why) == SHOAL_OK) {
		if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK)
			there = has_all(s, txns, n, &why);
		else
			db_error(s, &why, "save");
	}
	if (there == SHOAL_OK || there == SHOAL_ENOTFOUND)
		return there == SHOAL_OK ? SHOAL_OK : e->code;
	return error_set(e, SHOAL_EINTERNAL, "cannot find out what was saved: %.400s", why.message);
}

void db_wrote(struct store *s)
{
	s->dirty = true;
	if (s->wal_pages < CHECKPOINT_PAGES)
		s->checkpoint_at = CHECKPOINT_PAGES;
	if (s->wal_pages < s->checkpoint_at)
		return;
	/* One that fails leaves everything in the WAL, which is where it is durable: it is tried again when that has grown. */
	sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	s->checkpoint_at = s->wal_pages + CHECKPOINT_PAGES;
}

enum shoal_err db_write_failed(struct store *s, struct error *e)
{
	enum shoal_err rc = db_error(s, e, "write to");
	sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL); /* fails when SQLite has rolled back already */
	return rc == SHOAL_EBUSY || rc == SHOAL_EINTEGRITY ? (e->code = SHOAL_EIO) : rc;
}

static enum shoal_err sqlite_commit(struct store *s, struct store_txn *const *txns, size_t n, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;

	for (size_t i = 0; i < n; i++)
		if (!store_txn_ok(txns[i]))
			return error_set(e, SHOAL_EIO, "a transaction that is not whole: out of memory");
	if (!db_run(s, DB_BEGIN))
		return db_write_failed(s, e);
	for (size_t i = 0; i < n; i++)
		if (!write_txn(s, txns[i]))
			return db_write_failed(s, e);
	if (!db_run(s, DB_COMMIT)) {
		rc = db_write_failed(s, e);
		if (rc != SHOAL_EDISKFULL)
			rc = settle(s, txns, n, e);
	}
	if (rc != SHOAL_OK)
		return rc;
	db_wrote(s);
	return SHOAL_OK;
}

void store_sqlite_idle(struct store *s)
{
	if (s->db == NULL || !s->dirty)
		return;
	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK)
		s->dirty = false;
}

const struct store_ops store_sqlite_ops = {
	.name = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.load = sqlite_load,
	.commit = sqlite_commit,
	.log_read = db_log_read,
	.log_cut = db_log_cut,
	.log_bytes = db_log_bytes,
	.content = db_content,
	.stage = db_stage,
	.backup = db_backup,
};
