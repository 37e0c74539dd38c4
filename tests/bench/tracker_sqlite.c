/* tests/bench/tracker_sqlite.c - what SQLite and the disk can do with the rows of changes, and nothing else.
 *
 * usage: tracker_sqlite DATABASE OPERATIONS BATCH
 * The rows and records of create_group are made beforehand; then one thread writes them with prepared statements, BATCH
 * operations a transaction, with the tracker's tables and settings (its store makes the empty database). No sums, no
 * checks, no reply. Prints operations a second and what a transaction takes, and what one fdatasync of 4 KiB that were
 * appended to a file takes. The tracker's changes are measured against both. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/crypto.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/registry/group_manager.h"
#include "core/registry/user_manager.h"
#include "tests/bench/load/fleet.h"
#include "tests/bench/load/meter.h"
#include "tracker/store_sqlite.h"

enum { FLUSHES = 200, FLUSH_BYTES = 4096 };

struct work {
	struct store_txn **txns;
	size_t n;
	uint64_t log;
	sqlite3 *db;
	sqlite3_stmt *begin, *commit, *row, *record, *vector, *hlc;
};

/* -- what is to be written */
static struct store_txn *apply(struct registry *reg, struct op *op)
{
	struct store_txn *txn = store_txn_new();
	struct undo *undo = NULL;

	if (txn == NULL || registry_apply_op(reg, op, txn, &undo) != SHOAL_OK)
		die("cannot make an operation");
	registry_commit_done(reg, undo);
	return txn;
}

static void make_work(struct work *w)
{
	struct registry *reg = registry_new(1, w->log = random_u64() | 1);
	struct id16 request, uid, gid;
	struct error e = { 0 };
	char name[64];
	struct op op;

	random_bytes(request.b, sizeof(request.b));
	op_begin(reg, OP_CREATE_USER, &request, clock_wall_ms(), &op);
	if (user_create(reg, &op, slice_str("ann"), slice_str("$scrypt$"), &uid, &e) != SHOAL_OK)
		die("%s", e.message);
	store_txn_free(apply(reg, &op));
	w->txns = xalloc(w->n * sizeof(struct store_txn *));
	for (size_t i = 0; i < w->n; i++) {
		random_bytes(request.b, sizeof(request.b));
		snprintf(name, sizeof(name), "load-%08x-%zu", 0x12345678, i);
		op_begin(reg, OP_CREATE_GROUP, &request, clock_wall_ms(), &op);
		if (group_create(reg, &op, &uid, slice_str(name), &gid, &e) != SHOAL_OK)
			die("%s", e.message);
		w->txns[i] = apply(reg, &op);
	}
	registry_free(reg);
}

/* -- writing it */
static sqlite3_stmt *prepare(struct work *w, const char *sql)
{
	sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v3(w->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK)
		die("%s: %s", sql, sqlite3_errmsg(w->db));
	return st;
}

static void open_db(struct work *w, const char *path)
{
	struct store *s = NULL;
	struct error e = { 0 };

	if (store_sqlite_ops.open(path, &s, &e) != SHOAL_OK)
		die("%s", e.message);
	store_sqlite_ops.close(s);
	if (sqlite3_open_v2(path, &w->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
	    sqlite3_exec(w->db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
	                        "PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-65536",
	                 NULL, NULL, NULL) != SQLITE_OK)
		die("%s", sqlite3_errmsg(w->db));
	w->begin = prepare(w, "BEGIN IMMEDIATE");
	w->commit = prepare(w, "COMMIT");
	w->row = prepare(w, "INSERT INTO row VALUES (?1, ?2, ?3, 0)"
	                    " ON CONFLICT DO UPDATE SET columns = excluded.columns, sum = excluded.sum");
	w->record = prepare(w, "INSERT INTO log (log, seq, record) VALUES (?1, ?2, ?3)");
	w->vector = prepare(w, "INSERT INTO vector VALUES (?1, ?2) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)");
	w->hlc = prepare(w, "UPDATE meta SET value = max(value, ?1) WHERE name = 'hlc'");
}

static void step(struct work *w, sqlite3_stmt *st)
{
	if (sqlite3_step(st) != SQLITE_DONE)
		die("%s", sqlite3_errmsg(w->db));
	sqlite3_reset(st);
}

static void bind_blob(sqlite3_stmt *st, int at, struct slice s)
{
	sqlite3_bind_blob64(st, at, s.data, s.len, SQLITE_STATIC);
}

static void write_op(struct work *w, size_t i)
{
	struct cursor rows = cursor_of(w->txns[i]->rows.data, w->txns[i]->rows.len),
	              records = cursor_of(w->txns[i]->records.data, w->txns[i]->records.len);
	struct store_row r;
	struct slice bytes;

	while (store_txn_next_row(&rows, &r)) {
		sqlite3_bind_int(w->row, 1, r.row.table);
		bind_blob(w->row, 2, r.row.key);
		bind_blob(w->row, 3, r.row.columns);
		step(w, w->row);
	}
	while (store_txn_next_record(&records, &bytes)) {
		sqlite3_bind_int64(w->record, 1, (sqlite3_int64)w->log);
		sqlite3_bind_int64(w->record, 2, (sqlite3_int64)i);
		bind_blob(w->record, 3, bytes);
		step(w, w->record);
	}
}

static void write_batch(struct work *w, size_t from, size_t to)
{
	step(w, w->begin);
	for (size_t i = from; i < to; i++)
		write_op(w, i);
	sqlite3_bind_int64(w->vector, 1, (sqlite3_int64)w->log);
	sqlite3_bind_int64(w->vector, 2, (sqlite3_int64)to);
	step(w, w->vector);
	sqlite3_bind_int64(w->hlc, 1, (sqlite3_int64)to);
	step(w, w->hlc);
	step(w, w->commit);
}

static double flush_ms(const char *path)
{
	char *name = str_printf("%s.flush", path), block[FLUSH_BYTES] = { 1 };
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct times t = { 0 };

	for (int i = 0; i < FLUSHES; i++) {
		uint64_t start = clock_mono_us();
		if (fd < 0 || !fs_write_all(fd, block, sizeof(block)) || fdatasync(fd) != 0)
			die("cannot write '%s'", name);
		times_add(&t, clock_mono_us() - start);
	}
	double ms = times_ms(&t, 0.5);
	close(fd);
	unlink(name);
	free(name);
	times_free(&t);
	return ms;
}

int main(int argc, char **argv)
{
	struct work w = { .n = argc == 4 ? strtoul(argv[2], NULL, 10) : 0 };
	size_t batch = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	struct times t = { 0 };

	if (w.n == 0 || batch == 0)
		die("usage: tracker_sqlite DATABASE OPERATIONS BATCH");
	make_work(&w);
	open_db(&w, argv[1]);
	uint64_t start = clock_mono_us();
	for (size_t i = 0; i < w.n; i += batch) {
		uint64_t begun = clock_mono_us();
		write_batch(&w, i, i + batch < w.n ? i + batch : w.n);
		times_add(&t, clock_mono_us() - begun);
		if (i / 2000 != (i + batch) / 2000)
			sqlite3_wal_checkpoint_v2(w.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	}
	double s = (double)(clock_mono_us() - start) / 1e6;
	printf("batch=%zu per_s=%.0f transaction_ms=%.3f flush_ms=%.3f\n", batch, (double)w.n / s, times_ms(&t, 0.5),
	       flush_ms(argv[1]));
	return 0;
}
