/* tests/sim/history.h - what was told to users, and whether the trackers still know it: the oracle.
 *
 * It shares no merge code with core/registry: it reads the rows that each operation wrote and asks the final state, for
 * each acknowledged one, whether its effect shows or another operation explains why not (docs/sync.md). */
#ifndef SHOAL_TESTS_HISTORY_H
#define SHOAL_TESTS_HISTORY_H
#include "core/registry/registry.h"

enum fate {
	FATE_PENDING, /* the answer has not left */
	FATE_ACKED,
	FATE_FAILED,  /* told to have failed: it was undone */
	FATE_UNKNOWN, /* the tracker died first: may be there or not */
};

struct past_op {
	enum op_kind kind;
	struct stamp stamp;
	struct id16 who;
	struct buf rows;
	enum fate fate;
	bool lost; /* the only disk that had it is gone */
	struct history *history;
};

struct history {
	struct past_op **ops;
	size_t n, cap;
	char failure[300]; /* empty: none */
};

void history_fini(struct history *h);
struct past_op *history_add(struct history *h, const struct op *op, const struct id16 *who);

/* What really happened, by the final vector: unknown fates are settled. Then all checks, on one tracker's registry (after
 * quiet, where all are equal). False: h->failure says what is wrong. */
bool history_check(struct history *h, const struct registry *reg);

/* The views of a registry as text: names, owners, members, requests, files, seeders. */
void history_views(const struct registry *reg, struct buf *out);
#endif
