/* tests/unit/registry/store_conformance_sync.h - what core/sync asks of a store beside the log itself: what is to go from
 * it, and rows put aside. Run by each backend's test behind store_conformance(), on an empty store. */
#ifndef SHOAL_TESTS_STORE_CONFORMANCE_SYNC_H
#define SHOAL_TESTS_STORE_CONFORMANCE_SYNC_H
#include "tests/unit/registry/store_conformance.h"

/* What is to go of logs 7 and 8 (10 records each, alternating) if `may7` and `may8` of them may. */
static inline void conf_plan(struct conf *c, uint64_t may7, uint64_t may8, size_t limit, uint64_t before, uint64_t goes7,
                             uint64_t goes8)
{
	struct content_op *op = content_op_new(CONTENT_LOG_PLAN);

	CHECK(may7 == 0 || vvec_raise(&op->vector, 7, may7) == SHOAL_OK);
	CHECK(may8 == 0 || vvec_raise(&op->vector, 8, may8) == SHOAL_OK);
	op->limit = limit;
	op->after = before;
	CHECK_INT(store_content(c->ops, c->store, op, &c->e), ==, SHOAL_OK);
	CHECK_INT(vvec_get(&op->vector, 7), ==, goes7);
	CHECK_INT(vvec_get(&op->vector, 8), ==, goes8);
	CHECK_INT(op->vector.n, ==, (goes7 != 0) + (goes8 != 0));
	content_op_free(op);
}

static inline void conf_plans(struct conf *c)
{
	struct store_txn *txn = store_txn_new();
	uint64_t all;

	CHECK_INT(c->ops->log_bytes(c->store, &all, &c->e), ==, SHOAL_OK);
	CHECK_INT(all, ==, 0);
	conf_plan(c, 10, 10, 0, UINT64_MAX, 0, 0); /* an empty log */
	for (uint64_t seq = 1; seq <= 10; seq++) {
		conf_record(txn, 7, seq, 100);
		conf_record(txn, 8, seq, 100);
	}
	conf_commit(c, txn); /* of the time 5, each of the same length */
	CHECK_INT(c->ops->log_bytes(c->store, &all, &c->e), ==, SHOAL_OK);
	size_t each = all / 20;
	CHECK_INT(each * 20, ==, all);
	conf_plan(c, 10, 10, all, 5, 0, 0);              /* neither too much nor too old */
	conf_plan(c, 10, 10, all, 6, 10, 10);            /* too old */
	conf_plan(c, 3, 0, all, 6, 3, 0);                /* but no more than may go */
	conf_plan(c, 10, 10, all - 1, 0, 1, 0);          /* a byte too much: the oldest */
	conf_plan(c, 10, 10, all - 4 * each, 0, 2, 2);
	conf_plan(c, 10, 0, all - 4 * each, 0, 4, 0);    /* log 8 may not: more of the other */
	conf_plan(c, 1, 2, 0, 0, 1, 2);
	conf_plan(c, 0, 0, 0, UINT64_MAX, 0, 0);
}

/* -- rows put aside */

static inline enum shoal_err conf_stage(struct conf *c, enum content_op_kind kind, uint64_t stage, struct buf *rows,
                                        bool *more)
{
	struct content_op *op = content_op_new(kind);

	op->stage = stage;
	op->limit = 30; /* a row or two */
	if (kind != CONTENT_STAGE_DROP)
		buf_put(&op->data, rows->data, rows->len);
	enum shoal_err rc = store_content(c->ops, c->store, op, &c->e);
	if (kind == CONTENT_STAGE_READ) {
		buf_reset(rows);
		buf_put(rows, op->data.data, op->data.len);
	}
	*more = op->more;
	content_op_free(op);
	return rc;
}

static inline void conf_row(struct buf *rows, uint16_t table, const char *key, const char *text)
{
	struct buf columns = { 0 };
	struct wire_row row = { table, slice_str(key), conf_columns(text, &columns) };
	wire_row_put(rows, &row);
	buf_free(&columns);
}

/* All rows of the stage as "key key key", asked for in portions. */
static inline void conf_stage_keys(struct conf *c, uint64_t stage, char *out, size_t size)
{
	struct buf rows = { 0 }, last = { 0 };
	size_t at = 0;
	bool more = true;

	out[0] = '\0';
	while (more) {
		buf_reset(&rows);
		buf_put(&rows, last.data, last.len);
		CHECK_INT(conf_stage(c, CONTENT_STAGE_READ, stage, &rows, &more), ==, SHOAL_OK);
		CHECK(!more || rows.len != 0);
		for (struct cursor cur = cursor_of(rows.data, rows.len); cursor_left(&cur) != 0;) {
			struct wire_row row;
			wire_row_get(&cur, &row);
			CHECK(!cur.bad);
			at += (size_t)snprintf(out + at, size - at, "%u%.*s ", row.table, (int)row.key.len,
			                       (const char *)row.key.data);
			buf_reset(&last);
			wire_row_put(&last, &row);
		}
	}
	buf_free(&rows);
	buf_free(&last);
}

static inline void conf_stages(struct conf *c)
{
	struct buf rows = { 0 }, none = { 0 };
	struct store_txn *txn;
	char keys[200];
	bool more;

	txn = store_txn_new();
	conf_put(txn, 1, "kept", "old");
	conf_put(txn, 1, "both", "old");
	conf_commit(c, txn);
	conf_row(&rows, 2, "b", "staged");
	conf_row(&rows, 1, "z", "staged");
	conf_row(&rows, 1, "both", "staged");
	CHECK_INT(conf_stage(c, CONTENT_STAGE_PUT, 5, &rows, &more), ==, SHOAL_OK);
	buf_reset(&rows);
	conf_row(&rows, 1, "a", "first");
	conf_row(&rows, 2, "gone", "staged");
	conf_row(&rows, 1, "merged", "staged");
	CHECK_INT(conf_stage(c, CONTENT_STAGE_PUT, 5, &rows, &more), ==, SHOAL_OK);
	buf_reset(&rows);
	conf_row(&rows, 1, "a", "staged"); /* said twice */
	CHECK_INT(conf_stage(c, CONTENT_STAGE_PUT, 5, &rows, &more), ==, SHOAL_OK);
	buf_reset(&rows);
	conf_row(&rows, 1, "other", "staged");
	CHECK_INT(conf_stage(c, CONTENT_STAGE_PUT, 6, &rows, &more), ==, SHOAL_OK);
	conf_stage_keys(c, 5, keys, sizeof(keys));
	CHECK_STR(keys, "1a 1both 1merged 1z 2b 2gone ");
	conf_stage_keys(c, 7, keys, sizeof(keys));
	CHECK_STR(keys, "");
	txn = store_txn_new();
	conf_put(txn, 1, "merged", "more"); /* what the transaction itself has comes after what it adopts */
	store_txn_del(txn, 2, slice_str("gone"));
	txn->adopt = 5;
	conf_commit(c, txn);
	for (more = true; more;)
		CHECK_INT(conf_stage(c, CONTENT_STAGE_DROP, 5, &none, &more), ==, SHOAL_OK);
	conf_stage_keys(c, 5, keys, sizeof(keys));
	CHECK_STR(keys, "");
	conf_stage_keys(c, 6, keys, sizeof(keys));
	CHECK_STR(keys, "1other ");
	conf_reopen(c);
	struct conf_seen seen = conf_load(c);
	CHECK(conf_has(&seen, 1, "kept", "old") && conf_has(&seen, 1, "both", "staged"));
	CHECK(conf_has(&seen, 1, "a", "staged") && conf_has(&seen, 1, "z", "staged") && conf_has(&seen, 2, "b", "staged"));
	CHECK(conf_has(&seen, 1, "merged", "more"));
	CHECK_INT(seen.n, ==, 6); /* neither what was deleted nor what nobody adopted */
	conf_seen_fini(&seen);
	conf_stage_keys(c, 6, keys, sizeof(keys));
	CHECK_STR(keys, ""); /* of another life */
	buf_free(&rows);
}

static inline void store_conformance_sync(const struct store_ops *ops, const char *where)
{
	struct conf c = { .ops = ops, .where = where };

	conf_open(&c);
	conf_plans(&c);
	conf_stages(&c);
	c.ops->close(c.store);
}
#endif
