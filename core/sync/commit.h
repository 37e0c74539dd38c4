/* core/sync/commit.h - the only way in which the registry changes: apply, make durable, then tell.
 *
 * A change (a live command, a batch of foreign ops, a snapshot) is merged into the registry at once, so that reads see
 * it, and is queued to the store as one transaction. It is *pending* until the store has answered. Transactions become
 * durable in order; what gathers while the store is writing goes into one flush with the next (group commit by itself).
 * When one fails, every pending one is undone, newest first, the waiters are told disk_full or io, and the tracker is
 * read-only until a probe write works.
 *
 * The rule for whoever answers a client: a reply that shows or makes a change must not leave before everything that was
 * pending when it was made is durable: hand it to commit_barrier(). Nothing is shipped to another tracker before it is
 * durable; core/sync sees to that by commit_hooks.
 *
 * Loop thread only. No clock, dice, file or socket of its own: struct env. */
#ifndef SHOAL_SYNC_COMMIT_H
#define SHOAL_SYNC_COMMIT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/env.h"
#include "core/base/error.h"
#include "core/wire/record.h"
#include "core/wire/stamp.h"

struct registry;
struct commit;

/* Either may be NULL. Called from commit_on_event(); they may not call commit_op() or commit_batch() themselves. */
struct commit_hooks {
	/* The store has these (and everything before): the log's records up to log position `end` are durable. */
	void (*durable)(void *owner, uint64_t end);
	/* Pending changes were undone: whatever was computed from the registry's rows is to be computed again. */
	void (*undone)(void *owner, enum shoal_err why);
};

struct commit_config {
	struct env *env;
	struct registry *registry; /* as loaded from the store; borrowed */
	uint16_t self;             /* this tracker's id */
	uint64_t log_id;           /* random, never 0, new at every start of the process */
	size_t log_bytes_max;      /* records kept in memory for peers that lag; 0: 64 MiB */
};

/* NULL: no memory. */
struct commit *commit_new(const struct commit_config *config);
/* Waiters still there are called with SHOAL_ECANCELLED. */
void commit_free(struct commit *c);
/* At start: one record of the stored log, in receipt order, before anything else happens. Ownership stays. */
enum shoal_err commit_load_record(struct commit *c, const struct record *rec);
/* core/sync and the tracker each add theirs; at most 4. */
void commit_add_hooks(struct commit *c, const struct commit_hooks *hooks, void *owner);

/* The stamp of the next own op: its hybrid time is later than any stamp seen; the dot is free until commit_op() takes
 * it. The caller builds the op's rows with it. */
struct stamp commit_next_stamp(struct commit *c);

/* Applies an own op: `rec` carries the stamp of the last commit_next_stamp() and the client's request id. Copied.
 * SHOAL_EDISKFULL or SHOAL_EIO while read-only, SHOAL_EBUSY without memory: nothing happened. */
enum shoal_err commit_op(struct commit *c, const struct record *rec, struct error *e);

/* `fn(arg, SHOAL_OK)` when everything pending now is durable (at once, from within, if nothing is);
 * `fn(arg, disk_full | io)` when it was undone. SHOAL_EBUSY without memory: fn is never called. */
typedef void commit_fn(void *arg, enum shoal_err result);
enum shoal_err commit_barrier(struct commit *c, commit_fn *fn, void *arg);
/* The one who waits went away: its waiters are dropped without a call. */
void commit_forget(struct commit *c, void *arg);

bool commit_idle(const struct commit *c); /* nothing is pending */
/* SHOAL_OK, or why no change can be made now (disk_full, io) with a sentence. */
enum shoal_err commit_check_writable(const struct commit *c, struct error *e);

/* COMMITTED events; true if it was for here. */
bool commit_on_event(struct commit *c, const struct env_event *ev);
/* The probe writes of a read-only tracker; returns the next deadline. */
uint64_t commit_tick(struct commit *c, uint64_t now_ms);
#endif
