/* tests/unit/registry/store_conformance.h - what every backend of core/registry/store.h must do.
 *
 * store_conformance(ops, where): `where` names an empty store, which is opened and closed many times. Faults are each
 * backend's own affair and tested beside it; so is backup(). */
#ifndef SHOAL_TESTS_STORE_CONFORMANCE_H
#define SHOAL_TESTS_STORE_CONFORMANCE_H
#include "core/base/mem.h"
#include "core/registry/store.h"
#include "tests/unit/check.h"

struct conf {
	const struct store_ops *ops;
	const char *where;
	struct store *store;
	struct error e;
};

/* What load() told; rows and the rest as they came. */
struct conf_seen {
	struct buf rows; /* wire rows */
	size_t n;
	struct vvec vector, floor;
	uint64_t hlc;
	size_t contents;
	struct id32 content;
	enum shoal_err answer; /* what row() says */
};

static inline enum shoal_err conf_on_row(void *ctx, const struct wire_row *row)
{
	struct conf_seen *seen = ctx;
	seen->n++;
	wire_row_put(&seen->rows, row);
	return seen->answer;
}
static inline enum shoal_err conf_on_vector(void *ctx, uint64_t log, uint64_t seq)
{
	return vvec_raise(&((struct conf_seen *)ctx)->vector, log, seq);
}
static inline enum shoal_err conf_on_floor(void *ctx, uint64_t log, uint64_t seq)
{
	return vvec_raise(&((struct conf_seen *)ctx)->floor, log, seq);
}
static inline enum shoal_err conf_on_hlc(void *ctx, uint64_t hlc)
{
	((struct conf_seen *)ctx)->hlc = hlc;
	return SHOAL_OK;
}
static inline enum shoal_err conf_on_content(void *ctx, const struct id32 *id)
{
	struct conf_seen *seen = ctx;
	seen->contents++;
	seen->content = *id;
	return SHOAL_OK;
}

static inline void conf_open(struct conf *c)
{
	CHECK_INT(c->ops->open(c->where, &c->store, &c->e), ==, SHOAL_OK);
}

static inline void conf_reopen(struct conf *c)
{
	c->ops->close(c->store);
	c->store = NULL;
	conf_open(c);
}

static inline enum shoal_err conf_load_into(struct conf *c, struct conf_seen *seen)
{
	struct store_sink sink = { seen, conf_on_row, conf_on_vector, conf_on_floor, conf_on_hlc, conf_on_content };
	return c->ops->load(c->store, &sink, &c->e);
}

static inline struct conf_seen conf_load(struct conf *c)
{
	struct conf_seen seen = { 0 };
	CHECK_INT(conf_load_into(c, &seen), ==, SHOAL_OK);
	return seen;
}

static inline void conf_seen_fini(struct conf_seen *seen)
{
	buf_free(&seen->rows);
	vvec_fini(&seen->vector);
	vvec_fini(&seen->floor);
}

/* The columns that were loaded for a key; NULL data if it was not there. */
static inline struct slice conf_value(const struct conf_seen *seen, uint16_t table, const char *key)
{
	struct cursor c = cursor_of(seen->rows.data, seen->rows.len);
	struct slice value = slice_of(NULL, 0);

	while (cursor_left(&c) != 0) {
		struct wire_row row;
		wire_row_get(&c, &row);
		if (row.table == table && slice_eq_str(row.key, key)) {
			CHECK(value.data == NULL); /* once */
			value = row.columns;
		}
	}
	CHECK(!c.bad);
	return value;
}

static inline struct slice conf_columns(const char *text, struct buf *b)
{
	struct wire_column col = { 9, JOIN_MAX, slice_str(text) };
	buf_reset(b);
	wire_column_put(b, &col);
	return slice_of(b->data, b->len);
}

static inline bool conf_has(const struct conf_seen *seen, uint16_t table, const char *key, const char *text)
{
	struct buf b = { 0 };
	bool has = slice_eq(conf_value(seen, table, key), conf_columns(text, &b));
	buf_free(&b);
	return has;
}

static inline void conf_put(struct store_txn *txn, uint16_t table, const char *key, const char *text)
{
	struct buf b = { 0 };
	struct wire_row row = { table, slice_str(key), conf_columns(text, &b) };
	store_txn_put(txn, &row);
	buf_free(&b);
}

static inline void conf_record(struct store_txn *txn, uint64_t log, uint64_t seq, size_t rows_len)
{
	struct record r = { .version = RECORD_VERSION, .op = OP_LOGIN, .stamp = { .hlc = 5, .tracker = 1 } };
	struct buf rows = { 0 }, b = { 0 };

	while (rows.len + 7 <= rows_len) {
		struct wire_row row = { 99, slice_str("k"), slice_of(NULL, 0) };
		wire_row_put(&rows, &row);
	}
	r.stamp.dot = (struct dot){ log, seq };
	r.rows = slice_of(rows.data, rows.len);
	CHECK_INT(record_put(&b, &r), ==, SHOAL_OK);
	store_txn_record(txn, slice_of(b.data, b.len));
	CHECK_INT(vvec_raise(&txn->vector, log, seq), ==, SHOAL_OK);
	buf_free(&rows);
	buf_free(&b);
}

static inline void conf_commit(struct conf *c, struct store_txn *txn)
{
	CHECK(store_txn_ok(txn));
	CHECK_INT(c->ops->commit(c->store, &txn, 1, &c->e), ==, SHOAL_OK);
	store_txn_free(txn);
}

/* -- rows, vector, clock */

static inline void conf_empty(struct conf *c)
{
	struct conf_seen seen = conf_load(c);
	CHECK(seen.n == 0 && seen.vector.n == 0 && seen.floor.n == 0 && seen.hlc == 0 && seen.contents == 0);
	conf_seen_fini(&seen);
}

static inline void conf_rows(struct conf *c)
{
	struct store_txn *txn = store_txn_new();

	conf_put(txn, 1, "ann", "old");
	conf_put(txn, 2, "ann", "another table");
	conf_put(txn, 1, "bob", "gone soon");
	conf_put(txn, 999, "x", "a table from the future");
	vvec_raise(&txn->vector, UINT64_MAX, 7); /* log ids use all 64 bits */
	txn->hlc = UINT64_MAX - 1;
	conf_commit(c, txn);
	txn = store_txn_new();
	conf_put(txn, 1, "ann", "new");
	conf_put(txn, 1, "cho", "x");
	store_txn_del(txn, 1, slice_str("bob"));
	store_txn_del(txn, 1, slice_str("cho")); /* in the order given */
	store_txn_del(txn, 1, slice_str("never was"));
	vvec_raise(&txn->vector, UINT64_MAX, 3); /* the larger stays */
	vvec_raise(&txn->vector, 12, 1);
	txn->hlc = 5;
	conf_commit(c, txn);
	for (int i = 0; i < 2; i++) {
		struct conf_seen seen = conf_load(c);
		CHECK_INT(seen.n, ==, 3);
		CHECK(conf_has(&seen, 1, "ann", "new"));
		CHECK(conf_has(&seen, 2, "ann", "another table"));
		CHECK(conf_has(&seen, 999, "x", "a table from the future"));
		CHECK(vvec_get(&seen.vector, UINT64_MAX) == 7 && vvec_get(&seen.vector, 12) == 1 && seen.vector.n == 2);
		CHECK(seen.hlc == UINT64_MAX - 1);
		conf_seen_fini(&seen);
		conf_reopen(c);
	}
	struct conf_seen stopped = { .answer = SHOAL_EPROTO };
	CHECK_INT(conf_load_into(c, &stopped), ==, SHOAL_EPROTO);
	CHECK_INT(stopped.n, ==, 1);
	conf_seen_fini(&stopped);
}

static inline void conf_batches(struct conf *c)
{
	struct store_txn *txns[3] = { store_txn_new(), store_txn_new(), store_txn_new() };

	conf_put(txns[0], 3, "k", "first");
	conf_put(txns[1], 3, "k", "second");
	conf_put(txns[2], 3, "k", "third");
	conf_put(txns[1], 3, "l", "here");
	CHECK_INT(c->ops->commit(c->store, txns, 3, &c->e), ==, SHOAL_OK);
	conf_reopen(c);
	struct conf_seen seen = conf_load(c);
	CHECK(conf_has(&seen, 3, "k", "third") && conf_has(&seen, 3, "l", "here"));
	conf_seen_fini(&seen);
	for (int i = 0; i < 3; i++)
		store_txn_free(txns[i]);
}

/* A transaction that could not be built to its end is not committed, nor is anything beside it. */
static inline void conf_unfinished(struct conf *c)
{
	struct store_txn *txns[2] = { store_txn_new(), store_txn_new() };

	conf_put(txns[0], 3, "beside", "x");
	conf_put(txns[1], 3, "k", "broken");
	mem_fail_after(1);
	for (int i = 0; i < 100 && store_txn_ok(txns[1]); i++)
		store_txn_del(txns[1], 3, slice_str("k"));
	mem_fail_after(0);
	CHECK(!store_txn_ok(txns[1]));
	CHECK(c->ops->commit(c->store, txns, 2, &c->e) != SHOAL_OK);
	conf_reopen(c);
	struct conf_seen seen = conf_load(c);
	CHECK(conf_has(&seen, 3, "k", "third") && conf_value(&seen, 3, "beside").data == NULL);
	conf_seen_fini(&seen);
	store_txn_free(txns[0]);
	store_txn_free(txns[1]);
}

/* -- the log */

struct conf_log {
	size_t n, stop_at;
	uint64_t last;
	struct dot dots[64];
};

static inline enum shoal_err conf_on_record(void *ctx, uint64_t position, struct slice bytes)
{
	struct conf_log *log = ctx;
	struct record r;

	CHECK(position > log->last);
	log->last = position;
	CHECK_INT(record_get(bytes, &r), ==, SHOAL_OK);
	CHECK(log->n < 64);
	log->dots[log->n++] = r.stamp.dot;
	return log->stop_at != 0 && log->n == log->stop_at ? SHOAL_ECANCELLED : SHOAL_OK;
}

static inline struct conf_log conf_read(struct conf *c, uint64_t after, size_t max)
{
	struct conf_log log = { .last = after };
	CHECK_INT(c->ops->log_read(c->store, after, max, conf_on_record, &log, &c->e), ==, SHOAL_OK);
	return log;
}

static inline void conf_logs(struct conf *c)
{
	struct store_txn *txn = store_txn_new();
	struct conf_log log;
	struct vvec upto = { 0 };

	conf_record(txn, 50, 1, 0);
	conf_record(txn, 40, 1, 100); /* order of arrival, not of log ids */
	conf_commit(c, txn);
	for (uint64_t seq = 2; seq <= 5; seq++) {
		txn = store_txn_new();
		conf_record(txn, 50, seq, 10 * seq);
		conf_commit(c, txn);
	}
	log = conf_read(c, 0, SIZE_MAX);
	CHECK_INT(log.n, ==, 6);
	CHECK(log.dots[0].log == 50 && log.dots[1].log == 40 && log.dots[2].seq == 2 && log.dots[5].seq == 5);
	uint64_t end = log.last;
	CHECK_INT(conf_read(c, end, SIZE_MAX).n, ==, 0);
	log = conf_read(c, 0, 2);
	CHECK_INT(log.n, ==, 2);
	log = conf_read(c, log.last, 2);
	CHECK(log.n == 2 && log.dots[0].seq == 2 && log.dots[1].seq == 3);
	struct conf_log stopped = { .stop_at = 1 };
	CHECK_INT(c->ops->log_read(c->store, 0, SIZE_MAX, conf_on_record, &stopped, &c->e), ==, SHOAL_ECANCELLED);
	CHECK_INT(stopped.n, ==, 1);

	vvec_raise(&upto, 50, 3);
	CHECK_INT(c->ops->log_cut(c->store, &upto, &c->e), ==, SHOAL_OK);
	conf_reopen(c);
	log = conf_read(c, 0, SIZE_MAX);
	CHECK(log.n == 3 && log.dots[0].log == 40 && log.dots[1].seq == 4);
	CHECK(log.last == end); /* positions stay */
	struct conf_seen seen = conf_load(c);
	CHECK(vvec_get(&seen.floor, 50) == 3 && vvec_get(&seen.vector, 50) == 5 && seen.floor.n == 1);
	conf_seen_fini(&seen);
	vvec_raise(&upto, 50, 9);
	vvec_raise(&upto, 40, 9);
	CHECK_INT(c->ops->log_cut(c->store, &upto, &c->e), ==, SHOAL_OK);
	CHECK_INT(conf_read(c, 0, SIZE_MAX).n, ==, 0);
	conf_reopen(c);
	txn = store_txn_new();
	conf_record(txn, 50, 10, 0);
	vvec_raise(&txn->floor, 77, 4); /* a snapshot came */
	conf_commit(c, txn);
	log = conf_read(c, end, SIZE_MAX);
	CHECK(log.n == 1 && log.last > end); /* not used again, though the log was empty */
	seen = conf_load(c);
	CHECK(vvec_get(&seen.floor, 77) == 4);
	conf_seen_fini(&seen);
	vvec_fini(&upto);
}

static inline void conf_log_pages(struct conf *c)
{
	struct content_op *op = content_op_new(CONTENT_LOG_READ);
	struct store_txn *txn = store_txn_new();
	size_t n = 0;

	op->after = conf_read(c, 0, SIZE_MAX).last;
	conf_record(txn, 60, 1, 20000);
	conf_record(txn, 60, 2, 200); /* goes with the next: the two are over the limit together */
	conf_record(txn, 60, 3, 200);
	conf_commit(c, txn);
	op->limit = 1000;
	for (int page = 0; page < 2; page++) {
		struct slice bytes;
		CHECK_INT(store_content(c->ops, c->store, op, &c->e), ==, SHOAL_OK);
		struct cursor cur = cursor_of(op->data.data, op->data.len);
		while (store_txn_next_record(&cur, &bytes))
			n++;
		CHECK_INT(n, ==, page == 0 ? 1 : 3);
		CHECK(op->more == (page == 0) && op->next > op->after);
		op->after = op->next;
	}
	CHECK_INT(store_content(c->ops, c->store, op, &c->e), ==, SHOAL_OK);
	CHECK(op->data.len == 0 && !op->more && op->next == op->after);
	content_op_free(op);
}

/* -- content */

static inline struct content_op *conf_content(enum content_op_kind kind, const struct id32 *id, uint64_t size)
{
	struct content_op *op = content_op_new(kind);
	op->id = *id;
	op->size = size;
	return op;
}

static inline enum shoal_err conf_put_hashes(struct conf *c, const struct id32 *id, uint64_t size, uint32_t first,
                                             const uint8_t *hashes, size_t n, uint64_t *have)
{
	struct content_op *op = conf_content(CONTENT_PUT, id, size);
	op->first = first;
	buf_put(&op->data, hashes + (size_t)first * 32, n * 32);
	enum shoal_err rc = store_content(c->ops, c->store, op, &c->e);
	*have = op->have;
	content_op_free(op);
	return rc;
}

static inline enum shoal_err conf_check(struct conf *c, const struct id32 *id, uint64_t size, uint64_t *have)
{
	struct content_op *op = conf_content(CONTENT_CHECK, id, size);
	enum shoal_err rc = store_content(c->ops, c->store, op, &c->e);
	*have = op->have;
	content_op_free(op);
	return rc;
}

static inline size_t conf_get_hashes(struct conf *c, const struct id32 *id, uint32_t first, uint32_t count,
                                     const uint8_t *expected)
{
	struct content_op *op = conf_content(CONTENT_GET, id, 0);
	op->first = first;
	op->count = count;
	CHECK_INT(store_content(c->ops, c->store, op, &c->e), ==, SHOAL_OK);
	size_t n = op->data.len / 32;
	CHECK(op->data.len % 32 == 0 && n <= count);
	CHECK(n == 0 || memcmp(op->data.data, expected + (size_t)first * 32, n * 32) == 0);
	content_op_free(op);
	return n;
}

static inline struct id32 conf_id(uint64_t size, const uint8_t *hashes)
{
	struct id32 file_hash = { { 0 } }, id;
	struct content_hash ch;
	content_hash_begin(&ch, size, &file_hash);
	content_hash_add(&ch, hashes, content_pieces(size) * 32);
	content_hash_end(&ch, &id);
	return id;
}

static inline void conf_contents(struct conf *c)
{
	enum { PIECES = 2500 }; /* three chunks, the last not full */
	uint64_t size = (uint64_t)PIECES * CONTENT_PIECE_SIZE - 17, have;
	uint8_t *hashes = xalloc((PIECES + 1) * 32);

	check_random_bytes(hashes, PIECES * 32);
	struct id32 id = conf_id(size, hashes);
	CHECK_INT(conf_check(c, &id, size, &have), ==, SHOAL_ENOTFOUND);
	CHECK_INT(have, ==, 0);
	CHECK_INT(conf_put_hashes(c, &id, size, 0, hashes, 1024, &have), ==, SHOAL_OK);
	CHECK_INT(have, ==, 1024);
	CHECK_INT(conf_put_hashes(c, &id, size, 2048, hashes, 452, &have), ==, SHOAL_OK); /* out of order */
	CHECK_INT(have, ==, 1024);
	CHECK_INT(conf_check(c, &id, size, &have), ==, SHOAL_ENOTFOUND);
	CHECK_INT(have, ==, 1024);
	conf_reopen(c);
	CHECK_INT(conf_put_hashes(c, &id, size, 1024, hashes, 1024, &have), ==, SHOAL_OK);
	CHECK_INT(have, ==, PIECES);
	CHECK_INT(conf_put_hashes(c, &id, size, 2048, hashes, 453, &have), ==, SHOAL_EPROTO); /* one too many */
	struct conf_seen seen = conf_load(c);
	CHECK_INT(seen.contents, ==, 0); /* not complete before it is checked */
	conf_seen_fini(&seen);
	CHECK_INT(conf_check(c, &id, size, &have), ==, SHOAL_OK);
	CHECK_INT(conf_check(c, &id, size, &have), ==, SHOAL_OK);
	conf_reopen(c);
	seen = conf_load(c);
	CHECK(seen.contents == 1 && id32_eq(&seen.content, &id));
	conf_seen_fini(&seen);
	CHECK_INT(conf_get_hashes(c, &id, 0, 1024, hashes), ==, 1024);
	CHECK_INT(conf_get_hashes(c, &id, 2048, 1024, hashes), ==, 452);
	CHECK_INT(conf_get_hashes(c, &id, 1000, 100, hashes), ==, 100); /* across two chunks */
	CHECK_INT(conf_get_hashes(c, &id, 2500, 10, hashes), ==, 0);
	uint8_t zeros[32] = { 0 };
	CHECK_INT(conf_put_hashes(c, &id, size, 0, zeros, 1, &have), ==, SHOAL_OK); /* what is complete stays */
	CHECK_INT(conf_get_hashes(c, &id, 0, 1, hashes), ==, 1);
	free(hashes);
}

static inline void conf_wrong_content(struct conf *c)
{
	uint8_t hashes[3 * 32];
	uint64_t size = 3 * CONTENT_PIECE_SIZE, have;

	check_random_bytes(hashes, sizeof(hashes));
	struct id32 id = conf_id(size, hashes), empty = conf_id(0, hashes);
	hashes[40] ^= 1;
	CHECK_INT(conf_put_hashes(c, &id, size, 0, hashes, 3, &have), ==, SHOAL_OK);
	CHECK_INT(conf_check(c, &id, size, &have), ==, SHOAL_EINTEGRITY);
	CHECK_INT(conf_check(c, &id, size, &have), ==, SHOAL_ENOTFOUND); /* and gone */
	hashes[40] ^= 1;
	CHECK_INT(conf_put_hashes(c, &id, size, 0, hashes, 3, &have), ==, SHOAL_OK);
	CHECK_INT(conf_check(c, &id, size, &have), ==, SHOAL_OK);
	CHECK_INT(conf_check(c, &empty, 0, &have), ==, SHOAL_OK); /* a file without bytes */
	CHECK_INT(conf_check(c, &empty, CONTENT_SIZE_MAX + 1, &have), ==, SHOAL_EUSAGE);
	struct content_op *op = conf_content(CONTENT_DROP, &id, 0);
	CHECK_INT(store_content(c->ops, c->store, op, &c->e), ==, SHOAL_OK);
	CHECK_INT(store_content(c->ops, c->store, op, &c->e), ==, SHOAL_OK); /* twice is fine */
	content_op_free(op);
	CHECK_INT(conf_get_hashes(c, &id, 0, 3, hashes), ==, 0);
	op = conf_content(CONTENT_GET, &id, 0);
	op->count = CONTENT_CHUNK + 1;
	CHECK_INT(store_content(c->ops, c->store, op, &c->e), ==, SHOAL_EPROTO);
	content_op_free(op);
}

static inline void store_conformance(const struct store_ops *ops, const char *where)
{
	struct conf c = { .ops = ops, .where = where };

	conf_open(&c);
	conf_empty(&c);
	conf_rows(&c);
	conf_batches(&c);
	conf_unfinished(&c);
	conf_logs(&c);
	conf_log_pages(&c);
	conf_contents(&c);
	conf_wrong_content(&c);
	c.ops->close(c.store);
	c.ops->close(NULL);
}
#endif
