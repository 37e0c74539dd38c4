/* core/sync/commit.h - the only way in which the registry changes: apply, make durable, then tell.
 *
 * A change (a live command, a batch of foreign ops, a snapshot) is merged into the registry at once, so that reads see
 * it, and is *pending* until the store has it. At most one transaction is with the store; what comes meanwhile gathers
 * into the next one: group commit by itself. When one fails, every pending change is undone, newest first, the waiters
 * are told disk_full or io, and the tracker is read-only until a probe (a transaction without rows) succeeds.
 *
 * The rule for whoever answers a client: a reply or event that shows or makes a change must not leave before everything
 * that was pending when it was made is durable: hand it to commit_barrier(). Nothing is shipped to another tracker
 * before it is durable: core/sync reads only the store's log and struct oplog.
 *
 *     struct op op;
 *     op_begin(reg, OP_JOIN_GROUP, &request, wall_ms, &op);
 *     rc = group_join(reg, &op, ...);                  failure: op_fini(); nothing changed: answer at once
 *     rc = commit_op(c, &op, &stamp, &e);              finishes the op in any case
 *     commit_barrier(c, send_reply, request);
 *
 * Loop thread only. No clock, dice, file or socket of its own: struct env. ENV_COMMITTED events are all for here. */
#ifndef SHOAL_SYNC_COMMIT_H
#define SHOAL_SYNC_COMMIT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/env.h"
#include "core/base/error.h"
#include "core/registry/registry.h"

struct commit;
struct oplog;

/* Any may be NULL. None may make a change (commit_op, ...) from within. */
struct commit_hooks {
	/* Rows changed: undo_each() tells which. from: 0 for an own op, else the tracker it came from. Pending still:
	 * what is told about it goes through commit_barrier(). */
	void (*applied)(void *owner, const struct undo *what, uint16_t from);
	/* More is durable: registry_durable_vector() and the oplog have grown. */
	void (*durable)(void *owner);
	/* The pending changes were undone: what was computed from rows is to be computed anew. */
	void (*undone)(void *owner, enum shoal_err why);
};

/* env and registry (already loaded from the store) are borrowed. NULL: no memory. */
struct commit *commit_new(struct env *env, struct registry *reg);
/* Waiters still there are called with SHOAL_ECANCELLED; what is with the store may still become durable. */
void commit_free(struct commit *c);
/* At start, from store_sink.floor. SHOAL_EBUSY: no memory. */
enum shoal_err commit_load_floor(struct commit *c, uint64_t log, uint64_t seq);
/* core/sync adds its own; at most 4 in all. */
void commit_add_hooks(struct commit *c, const struct commit_hooks *hooks, void *owner);

/* Applies an own op, which is finished (op_fini) in any case; an empty one changes nothing and is SHOAL_OK.
 * *stamp (may be NULL): the op's. SHOAL_EDISKFULL, SHOAL_EIO: read-only now. SHOAL_EBUSY: no memory, or the store lags
 * by COMMIT_PENDING_MAX. SHOAL_EQUOTA: too large for one record. After a failure nothing has changed. */
#define COMMIT_PENDING_MAX (64u << 20) /* bytes */
enum shoal_err commit_op(struct commit *c, struct op *op, struct stamp *stamp, struct error *e);

/* Foreign ops: begin, any number of adds, end: one batch, one call of `applied`. commit_batch_add() fails as
 * registry_apply() does, and as commit_op(); the batch goes on with what was added before. */
void commit_batch_begin(struct commit *c);
enum shoal_err commit_batch_add(struct commit *c, struct slice record, struct error *e);
void commit_batch_end(struct commit *c, uint16_t from);
/* A snapshot in portions, between which anything else may happen: begin, rows as often as needed, end. What is pending by
 * then waits for the end and becomes durable with it, in one transaction, in which the store adopts `stage` (where the
 * same rows were put aside). tables: as registry_snapshot_new(). After a failure of any of them, commit_snapshot_cancel(),
 * or a failed store, the snapshot is over and nothing of it is left; the next call then says SHOAL_ECANCELLED. */
enum shoal_err commit_snapshot_begin(struct commit *c, const struct vvec *vector, uint64_t hlc, unsigned tables,
                                     uint64_t stage, struct error *e);
enum shoal_err commit_snapshot_rows(struct commit *c, struct slice rows, uint16_t from, struct error *e);
enum shoal_err commit_snapshot_end(struct commit *c, uint16_t from, struct error *e);
void commit_snapshot_cancel(struct commit *c); /* no-op if none is under way */
/* A whole one as one change. rows stay the caller's. */
enum shoal_err commit_snapshot(struct commit *c, const struct registry_cut *snapshot, uint16_t from, struct error *e);

/* fn(arg, SHOAL_OK) when everything pending now is durable (at once, from within, if nothing is pending);
 * fn(arg, disk_full | io) when it was undone. SHOAL_EBUSY, no memory: fn is never called. fn may call everything here. */
typedef void commit_fn(void *arg, enum shoal_err result);
enum shoal_err commit_barrier(struct commit *c, commit_fn *fn, void *arg);
/* The one who waits went away: its waiters (with that arg) are dropped without a call. */
void commit_forget(struct commit *c, const void *arg);

bool commit_idle(const struct commit *c); /* nothing is pending */
/* SHOAL_OK, or why no change can be made now (disk_full, io, busy), with a sentence. */
enum shoal_err commit_check_writable(const struct commit *c, struct error *e);

/* True if it was an ENV_COMMITTED. */
bool commit_on_event(struct commit *c, const struct env_event *ev);
/* The probe of a read-only tracker; returns the next deadline (env->mono_ms), ENV_NEVER mostly. */
uint64_t commit_tick(struct commit *c, uint64_t now_ms);

/* For core/sync: the newest durable records, and up to where records are no longer in the log. */
const struct oplog *commit_oplog(const struct commit *c);
const struct vvec *commit_floor(const struct commit *c);
/* A LOG_CUT was done up to there. */
void commit_raise_floor(struct commit *c, const struct vvec *upto);
#endif
