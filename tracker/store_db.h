/* tracker/store_db.h - what the store_*.c over SQLite share: the connection and its prepared statements.
 *
 * All SQL is here, constant; values are bound, never printed into it. Private to them. */
#ifndef SHOAL_TRACKER_STORE_DB_H
#define SHOAL_TRACKER_STORE_DB_H
#include <sqlite3.h>

#include "core/registry/store.h"

#define DB_SQL(X)                                                                                                    \
	X(DB_BEGIN, "BEGIN IMMEDIATE")                                                                               \
	X(DB_COMMIT, "COMMIT")                                                                                       \
	X(DB_ROLLBACK, "ROLLBACK")                                                                                   \
	X(DB_ROW_PUT, "INSERT INTO row VALUES (?1, ?2, ?3, ?4)"                                                      \
	              " ON CONFLICT DO UPDATE SET columns = excluded.columns, sum = excluded.sum")                   \
	X(DB_ROW_DEL, "DELETE FROM row WHERE tab = ?1 AND key = ?2")                                                 \
	X(DB_ROW_ALL, "SELECT tab, key, columns, sum FROM row")                                                      \
	X(DB_STAGE_PUT, "INSERT INTO staged VALUES (?1, ?2, ?3, ?4, ?5)"                                             \
	                " ON CONFLICT DO UPDATE SET columns = excluded.columns, sum = excluded.sum")                 \
	X(DB_STAGE_READ, "SELECT tab, key, columns, sum FROM staged WHERE stage = ?1 AND (tab, key) > (?2, ?3)"      \
	                 " ORDER BY tab, key")                                                                       \
	X(DB_STAGE_ADOPT, "INSERT INTO row SELECT tab, key, columns, sum FROM staged WHERE stage = ?1"               \
	                  " ORDER BY tab, key"                                                                       \
	                  " ON CONFLICT DO UPDATE SET columns = excluded.columns, sum = excluded.sum")               \
	X(DB_STAGE_DROP_SOME, "DELETE FROM staged WHERE stage = ?1 AND (tab, key) <="                                \
	                      " (SELECT tab, key FROM staged WHERE stage = ?1 ORDER BY tab, key LIMIT 1 OFFSET ?2)") \
	X(DB_STAGE_DROP, "DELETE FROM staged WHERE stage = ?1")                                                      \
	X(DB_STAGE_NONE, "DELETE FROM staged")                                                                       \
	X(DB_LOG_ADD, "INSERT INTO log (log, seq, record) VALUES (?1, ?2, ?3)")                                      \
	X(DB_LOG_READ, "SELECT position, record FROM log WHERE position > ?1 ORDER BY position LIMIT ?2")            \
	X(DB_LOG_CUT, "DELETE FROM log WHERE log = ?1 AND seq <= ?2")                                                \
	X(DB_LOG_BYTES, "SELECT coalesce(sum(length(record)), 0) FROM log")                                          \
	X(DB_VECTOR_PUT, "INSERT INTO vector VALUES (?1, ?2)"                                                        \
	                 " ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)")                                  \
	X(DB_VECTOR_GET, "SELECT seq FROM vector WHERE log = ?1")                                                    \
	X(DB_VECTOR_ALL, "SELECT log, seq FROM vector")                                                              \
	X(DB_FLOOR_PUT, "INSERT INTO floor VALUES (?1, ?2)"                                                          \
	                " ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)")                                   \
	X(DB_FLOOR_ALL, "SELECT log, seq FROM floor")                                                                \
	X(DB_HLC_PUT, "UPDATE meta SET value = max(value, ?1) WHERE name = 'hlc'")                                   \
	X(DB_PROBE, "INSERT INTO meta VALUES ('probe', 1) ON CONFLICT DO UPDATE SET value = value + 1")              \
	X(DB_HLC_GET, "SELECT value FROM meta WHERE name = 'hlc'")                                                   \
	X(DB_CONTENT_GET, "SELECT size, have, complete FROM content WHERE id = ?1")                                  \
	X(DB_CONTENT_PUT, "INSERT INTO content VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE"                        \
	                  " SET size = excluded.size, have = excluded.have, complete = excluded.complete")           \
	X(DB_CONTENT_DEL, "DELETE FROM content WHERE id = ?1")                                                       \
	X(DB_CONTENT_COMPLETE_ALL, "SELECT id FROM content WHERE complete = 1")                                      \
	X(DB_CHUNK_GET, "SELECT filled, hashes FROM chunk WHERE id = ?1 AND chunk = ?2")                             \
	X(DB_CHUNK_PUT, "INSERT INTO chunk VALUES (?1, ?2, ?3, ?4)"                                                  \
	                " ON CONFLICT DO UPDATE SET filled = excluded.filled, hashes = excluded.hashes")             \
	X(DB_CHUNK_DEL, "DELETE FROM chunk WHERE id = ?1")                                                           \
	X(DB_CHUNK_FORGET, "DELETE FROM chunk WHERE id IN (SELECT id FROM content WHERE complete = 0)")              \
	X(DB_CONTENT_FORGET, "DELETE FROM content WHERE complete = 0")

enum db_statement {
#define X(NAME, sql) NAME,
	DB_SQL(X)
#undef X
	DB_STATEMENTS
};

struct db_backup;

struct store {
	char *path;
	sqlite3 *db;
	sqlite3_stmt *stmt[DB_STATEMENTS];
	int wal_pages;     /* in the WAL after the last commit */
	int checkpoint_at; /* the next one when the WAL has so many */
	bool dirty;        /* there may be something in the WAL */
	struct db_backup *backup; /* one that is being made */
};

/* store_open.c. Failed: it is closed. */
enum shoal_err db_open(struct store *s, struct error *e);
void db_close(struct store *s);       /* closed already: nothing */
void db_close_as_is(struct store *s); /* without the checkpoint that closing does */

/* What SQLite says, with the path: disk_full, busy, integrity or io. */
enum shoal_err db_error(struct store *s, struct error *e, const char *doing);
/* The same while a database is opened or loaded: a disk that cannot read it is damage. */
enum shoal_err db_unreadable(struct store *s, struct error *e, const char *doing);
/* The same after a failed write, and what was begun is rolled back. */
enum shoal_err db_write_failed(struct store *s, struct error *e);
sqlite3_stmt *db_begin(struct store *s, enum db_statement which); /* reset, nothing bound */
bool db_bind_blob(sqlite3_stmt *st, int at, struct slice v);      /* borrowed until the statement is run */
bool db_bind_int(sqlite3_stmt *st, int at, uint64_t v);
struct slice db_column_blob(sqlite3_stmt *st, int at);            /* good until the next step */
bool db_done(sqlite3_stmt *st);                                   /* runs a statement that gives no rows */
bool db_run(struct store *s, enum db_statement which);            /* one without values */

/* The entries of a vector into VECTOR_PUT, FLOOR_PUT or LOG_CUT. */
bool db_write_dots(struct store *s, enum db_statement which, const struct vvec *v);

uint64_t db_row_sum(const struct wire_row *row); /* the check that is kept beside a row */
/* After every commit: empties the WAL into the database once it is long enough. */
void db_wrote(struct store *s);

/* store_log.c, store_content.c, store_staging.c: functions of the ops. */
enum shoal_err db_log_read(struct store *s, uint64_t after, size_t max, store_record_fn *fn, void *ctx,
                           struct error *e);
enum shoal_err db_log_cut(struct store *s, const struct vvec *upto, struct error *e);
enum shoal_err db_log_bytes(struct store *s, uint64_t *bytes, struct error *e);
void db_backup_abandon(struct store *s); /* what there is of it goes */
enum shoal_err db_backup(struct store *s, const char *path, struct error *e);
enum shoal_err db_stage(struct store *s, struct content_op *op, struct error *e);
bool db_stage_adopt(struct store *s, uint64_t stage); /* within a transaction; 0: nothing to do */
enum shoal_err db_content(struct store *s, struct content_op *op, struct error *e);
#endif
