/* core/sync/commit_impl.h - what commit.c and commit_snapshot.c share; nobody else includes it. */
#ifndef SHOAL_SYNC_COMMIT_IMPL_H
#define SHOAL_SYNC_COMMIT_IMPL_H
#include <sys/queue.h>

#include "core/sync/commit.h"
#include "core/sync/oplog.h"

#define HOOKS_MAX 4

struct change {
	struct undo *undo;
	TAILQ_ENTRY(change) next;
};
TAILQ_HEAD(changes, change);

struct group {
	uint64_t number;        /* rises by one a group */
	struct store_txn *txn;  /* NULL: nothing in it, or with the store */
	struct changes changes; /* oldest first */
	struct buf records;     /* flight: copies of what the store writes, for the oplog */
	struct vvec floor;      /* flight: a snapshot's, to be raised when it is durable */
};

struct waiter {
	uint64_t group; /* released when that one is durable */
	bool doomed;    /* its group was abandoned: whatever becomes of the ones before, the answer is SHOAL_EBUSY */
	commit_fn *fn;  /* NULL: forgotten */
	void *arg;
	STAILQ_ENTRY(waiter) next;
};

struct commit {
	struct env *env;
	struct registry *reg;
	struct oplog *oplog;
	struct vvec floor;
	struct group open, flight;
	bool flying;             /* a transaction, or the probe, is with the store */
	bool landing;            /* one is durable, and who waits for it is not told yet */
	uint64_t cookie;         /* of that one */
	struct registry_snapshot *snapshot; /* between its begin and its end: the open group waits */
	uint64_t stage;
	bool snapshot_changed;
	struct undo *batch;      /* between begin and end; NULL: nothing in it yet */
	bool in_batch;
	enum shoal_err readonly; /* SHOAL_OK: it is not */
	uint64_t probe_at;
	STAILQ_HEAD(, waiter) waiters; /* by group */
	struct {
		struct commit_hooks fn;
		void *owner;
	} hooks[HOOKS_MAX];
	unsigned n_hooks;
};

/* Opens the group for one more change; NULL without memory. */
struct change *commit_begin_change(struct commit *c);
/* A change was applied: it belongs to the open group now. */
enum shoal_err commit_keep_change(struct commit *c, struct change *ch, struct undo *undo, uint16_t from, struct error *e);
/* What a change did to somebody else's work is written down in the same transaction. */
void commit_add_notices(struct commit *c, struct undo **undo);
/* Sends what has gathered, if nothing is with the store. */
void commit_submit(struct commit *c);
/* Undoes what has gathered but not yet left: its transaction could not be built. */
void commit_abandon(struct commit *c);
void commit_drop_snapshot(struct commit *c);
#endif
