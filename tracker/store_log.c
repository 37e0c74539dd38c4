/* tracker/store_log.c - the log of records. */
#include "tracker/store_db.h"

enum shoal_err db_log_read(struct store *s, uint64_t after, size_t max, store_record_fn *fn, void *ctx,
                           struct error *e)
{
	sqlite3_stmt *st = db_begin(s, DB_LOG_READ);
	enum shoal_err rc = SHOAL_OK;
	int step = SQLITE_DONE;

	if (!db_bind_int(st, 1, after) || !db_bind_int(st, 2, max > INT64_MAX ? INT64_MAX : max))
		return db_error(s, e, "read");
	while (rc == SHOAL_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		uint64_t position = (uint64_t)sqlite3_column_int64(st, 0);
		struct slice bytes = db_column_blob(st, 1);
		struct record rec;
		if (record_get(bytes, &rec) != SHOAL_OK)
			rc = error_set(e, SHOAL_EINTEGRITY, "'%s' is damaged: record %llu of the log", s->path,
			               (unsigned long long)position);
		else
			rc = fn(ctx, position, bytes);
	}
	if (rc == SHOAL_OK && step != SQLITE_DONE)
		rc = db_error(s, e, "read");
	sqlite3_reset(st);
	return rc;
}

enum shoal_err db_log_cut(struct store *s, const struct vvec *upto, struct error *e)
{
	if (!db_run(s, DB_BEGIN) || !db_write_dots(s, DB_LOG_CUT, upto) || !db_write_dots(s, DB_FLOOR_PUT, upto) ||
	    !db_run(s, DB_COMMIT))
		return db_write_failed(s, e);
	db_wrote(s);
	return SHOAL_OK;
}

enum shoal_err db_log_bytes(struct store *s, uint64_t *bytes, struct error *e)
{
	sqlite3_stmt *st = db_begin(s, DB_LOG_BYTES);
	enum shoal_err rc = SHOAL_OK;

	if (sqlite3_step(st) == SQLITE_ROW)
		*bytes = (uint64_t)sqlite3_column_int64(st, 0);
	else
		rc = db_error(s, e, "read");
	sqlite3_reset(st);
	return rc;
}
