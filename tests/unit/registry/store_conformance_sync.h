/* tests/unit/registry/store_conformance_sync.h - what core/sync asks of a store beside the log itself: what is to go from
 * it. Run by each backend's test behind store_conformance(), on an empty store. */
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

static inline void store_conformance_sync(const struct store_ops *ops, const char *where)
{
	struct conf c = { .ops = ops, .where = where };

	conf_open(&c);
	conf_plans(&c);
	c.ops->close(c.store);
}
#endif
