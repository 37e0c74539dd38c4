/* tests/sim/history.h - what was asked for, what users were told, and what reached a disk.
 *
 * An operation enters when a command makes it (with its fate open) or, if a tracker made it by itself (a notice), when
 * its record first reaches a disk. From there on its dot means these bytes and no others, wherever it turns up. */
#ifndef SHOAL_TESTS_HISTORY_H
#define SHOAL_TESTS_HISTORY_H
#include <uthash.h>

#include "core/registry/registry.h"
#include "tests/sim/battery.h"

enum fate {
	FATE_PENDING, /* the answer has not left */
	FATE_ACKED,
	FATE_FAILED,  /* told to have failed: it was undone */
	FATE_UNKNOWN, /* the tracker died first: may be there or not */
	FATE_OWN,     /* nobody asked for it: a tracker's own */
};

struct past_op {
	enum op_kind kind;
	struct stamp stamp;
	struct id16 who;
	struct buf rows;
	enum fate fate;
	bool durable;  /* its record has reached a disk, */
	uint64_t at;   /* at that virtual time */
	bool lost;     /* and the only disks that had it are gone */
	uint64_t check; /* of the record */
	UT_hash_handle hh; /* by dot, once durable */
};

struct history {
	struct past_op **ops; /* in the order in which they entered */
	size_t n, cap;
	struct past_op *durable;
};

void history_fini(struct history *h);
struct past_op *history_add(struct history *h, const struct op *op, const struct id16 *who);
/* A tracker has written this record to its disk. Fails [dots] if its dot meant something else before. */
void history_durable(struct history *h, struct slice record, uint64_t now, struct verdict *v);
struct past_op *history_find(const struct history *h, struct dot dot);
/* True if it stands, being known where `vector` is from, whatever its users were told. */
bool history_stands(const struct past_op *p, const struct vvec *vector);
#endif
