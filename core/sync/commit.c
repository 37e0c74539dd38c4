/* core/sync/commit.c
 *
 * Two groups of changes exist at most: one is with the store (flight), one gathers (open). COMMITTED ok: flight's undos
 * are dropped, its records enter the oplog, open takes off. COMMITTED with a failure: open and flight are undone,
 * newest first; so memory is again what the store has. */
#include "core/sync/commit.h"

#include <assert.h>
#include <sys/queue.h>

#include "core/base/mem.h"
#include "core/base/planted.h"
#include "core/registry/notice.h"
#include "core/sync/oplog.h"

#define HOOKS_MAX 4
#define PROBE_EVERY_MS 1000
#define OPLOG_BYTES (32u << 20)

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

struct commit *commit_new(struct env *env, struct registry *reg)
{
	struct commit *c = try_alloc(sizeof(*c));
	if (c == NULL)
		return NULL;
	c->oplog = oplog_new(OPLOG_BYTES);
	if (c->oplog == NULL) {
		free(c);
		return NULL;
	}
	c->env = env;
	c->reg = reg;
	c->open.number = 1;
	TAILQ_INIT(&c->open.changes);
	TAILQ_INIT(&c->flight.changes);
	STAILQ_INIT(&c->waiters);
	return c;
}

static void release(struct commit *c, uint64_t upto, enum shoal_err result)
{
	struct waiter *w;
	while ((w = STAILQ_FIRST(&c->waiters)) != NULL && w->group <= upto) {
		STAILQ_REMOVE_HEAD(&c->waiters, next);
		if (w->fn != NULL)
			w->fn(w->arg, w->doomed ? SHOAL_EBUSY : result);
		free(w);
	}
}

static void undo_group(struct commit *c, struct group *g)
{
	struct change *ch;
	while ((ch = TAILQ_LAST(&g->changes, changes)) != NULL) {
		TAILQ_REMOVE(&g->changes, ch, next);
		registry_undo(c->reg, ch->undo);
		free(ch);
	}
	store_txn_free(g->txn);
	g->txn = NULL;
	buf_free(&g->records);
	vvec_fini(&g->floor);
}

/* What was merged of it is in the open group, which is undone. */
static void drop_snapshot(struct commit *c)
{
	registry_snapshot_free(c->snapshot);
	c->snapshot = NULL;
}

void commit_free(struct commit *c)
{
	if (c == NULL)
		return;
	drop_snapshot(c);
	release(c, UINT64_MAX, SHOAL_ECANCELLED);
	undo_group(c, &c->open);
	undo_group(c, &c->flight);
	oplog_free(c->oplog);
	vvec_fini(&c->floor);
	free(c);
}

enum shoal_err commit_load_floor(struct commit *c, uint64_t log, uint64_t seq)
{
	return vvec_raise(&c->floor, log, seq);
}

void commit_add_hooks(struct commit *c, const struct commit_hooks *hooks, void *owner)
{
	assert(c->n_hooks < HOOKS_MAX);
	c->hooks[c->n_hooks].fn = *hooks;
	c->hooks[c->n_hooks++].owner = owner;
}

bool commit_idle(const struct commit *c)
{
	return TAILQ_EMPTY(&c->open.changes) && TAILQ_EMPTY(&c->flight.changes);
}

const struct oplog *commit_oplog(const struct commit *c)
{
	return c->oplog;
}

const struct vvec *commit_floor(const struct commit *c)
{
	return &c->floor;
}

void commit_raise_floor(struct commit *c, const struct vvec *upto)
{
	/* Without memory it stays too low: a peer below the real floor then finds a gap, and comes again. */
	(void)vvec_merge(&c->floor, upto);
}

static size_t pending_bytes(const struct group *g)
{
	return g->txn == NULL ? 0 : g->txn->rows.len + g->txn->records.len;
}

enum shoal_err commit_check_writable(const struct commit *c, struct error *e)
{
	if (c->readonly == SHOAL_EDISKFULL)
		return error_set(e, SHOAL_EDISKFULL, "the tracker's disk is full: it only answers questions until there is room");
	if (c->readonly != SHOAL_OK)
		return error_set(e, c->readonly, "the tracker cannot write its data: it only answers questions until it can");
	if (pending_bytes(&c->open) > COMMIT_PENDING_MAX)
		return error_set(e, SHOAL_EBUSY, "the tracker's disk does not keep up, try again");
	return SHOAL_OK;
}

/* -- to the store */

static void fly(struct commit *c, struct store_txn *txn)
{
	c->flying = true;
	c->env->commit(c->env->ctx, txn, ++c->cookie);
}

/* Undoes what has gathered but not yet left: its transaction could not be built. */
static void abandon_open(struct commit *c)
{
	uint64_t number = c->open.number++;
	drop_snapshot(c);
	undo_group(c, &c->open);
	for (unsigned i = 0; i < c->n_hooks; i++)
		if (c->hooks[i].fn.undone != NULL)
			c->hooks[i].fn.undone(c->hooks[i].owner, SHOAL_EBUSY);

	struct waiter *w;
	STAILQ_FOREACH(w, &c->waiters, next)
		if (w->group == number)
			w->doomed = true;
	if (!c->flying)
		release(c, number, SHOAL_EBUSY);
}

/* Sends what has gathered, if nothing is with the store. */
static void submit(struct commit *c)
{
	struct store_txn *txn = c->open.txn;

	if (c->flying || c->in_batch || c->snapshot != NULL || txn == NULL || TAILQ_EMPTY(&c->open.changes))
		return;
	buf_put(&c->flight.records, txn->records.data, txn->records.len);
	if (c->flight.records.failed || vvec_copy(&c->flight.floor, &txn->floor) != SHOAL_OK) {
		buf_free(&c->flight.records);
		abandon_open(c);
		return;
	}
	c->flight.number = c->open.number++;
	TAILQ_CONCAT(&c->flight.changes, &c->open.changes, next);
	c->open.txn = NULL;
	fly(c, txn);
}

/* Opens the group for one more change; NULL without memory. */
static struct change *begin_change(struct commit *c)
{
	if (c->open.txn == NULL)
		c->open.txn = store_txn_new();
	return c->open.txn == NULL ? NULL : try_alloc(sizeof(struct change));
}

/* A change was applied: it belongs to the open group now. */
static enum shoal_err keep_change(struct commit *c, struct change *ch, struct undo *undo, uint16_t from,
                                  struct error *e)
{
	ch->undo = undo;
	TAILQ_INSERT_TAIL(&c->open.changes, ch, next);
	if (!store_txn_ok(c->open.txn)) {
		abandon_open(c);
		return error_set(e, SHOAL_EBUSY, "no memory");
	}
	for (unsigned i = 0; i < c->n_hooks; i++)
		if (c->hooks[i].fn.applied != NULL)
			c->hooks[i].fn.applied(c->hooks[i].owner, undo, from);
	submit(c);
	return SHOAL_OK;
}

/* -- changes */

/* What a change did to somebody else's work is written down in the same transaction. */
static void add_notices(struct commit *c, struct undo **undo)
{
	for (;;) {
		struct op op;
		op_begin(c->reg, OP_NOTICE, NULL, c->env->wall_ms(c->env->ctx), &op);
		if (!registry_take_notices(c->reg, &op) || op_is_empty(&op)) {
			op_fini(&op);
			return;
		}
		if (registry_apply_op(c->reg, &op, c->open.txn, undo) != SHOAL_OK)
			return; /* no memory: the next merge brings what is still to be told */
	}
}

enum shoal_err commit_op(struct commit *c, struct op *op, struct stamp *stamp, struct error *e)
{
	struct undo *undo = NULL;
	struct change *ch = NULL;
	enum shoal_err rc = commit_check_writable(c, e);

	assert(!c->in_batch);
	if (stamp != NULL)
		*stamp = op->stamp;
	if (rc == SHOAL_OK && op_is_empty(op)) {
		if (stamp != NULL)
			*stamp = (struct stamp){ 0 };
		op_fini(op);
		return SHOAL_OK;
	}
	if (rc == SHOAL_OK && (ch = begin_change(c)) == NULL)
		rc = error_set(e, SHOAL_EBUSY, "no memory");
	if (rc != SHOAL_OK) {
		op_fini(op);
		return rc;
	}
	rc = registry_apply_op(c->reg, op, c->open.txn, &undo);
	if (rc != SHOAL_OK) {
		free(ch);
		return error_set(e, rc, rc == SHOAL_EQUOTA ? "too much for one operation" : "no memory");
	}
	add_notices(c, &undo);
	return keep_change(c, ch, undo, 0, e);
}

void commit_batch_begin(struct commit *c)
{
	assert(!c->in_batch);
	c->in_batch = true;
	c->batch = NULL;
}

enum shoal_err commit_batch_add(struct commit *c, struct slice record, struct error *e)
{
	enum shoal_err rc = commit_check_writable(c, e);

	assert(c->in_batch);
	if (rc != SHOAL_OK)
		return rc;
	if (c->open.txn == NULL && (c->open.txn = store_txn_new()) == NULL)
		return error_set(e, SHOAL_EBUSY, "no memory");
	rc = registry_apply(c->reg, record, c->env->wall_ms(c->env->ctx), c->open.txn, &c->batch);
	return rc == SHOAL_OK ? SHOAL_OK : error_set(e, rc, "%s", error_default(rc));
}

void commit_batch_end(struct commit *c, uint16_t from)
{
	struct undo *undo = c->batch;

	assert(c->in_batch);
	c->in_batch = false;
	c->batch = NULL;
	if (undo == NULL)
		return;
	struct change *ch = begin_change(c);
	if (ch == NULL) { /* the rows are in the transaction already: all that has gathered goes */
		registry_undo(c->reg, undo);
		abandon_open(c);
		return;
	}
	add_notices(c, &undo);
	(void)keep_change(c, ch, undo, from, NULL);
}

enum shoal_err commit_snapshot_begin(struct commit *c, const struct vvec *vector, uint64_t hlc, unsigned tables,
                                     uint64_t stage, struct error *e)
{
	enum shoal_err rc = commit_check_writable(c, e);

	assert(!c->in_batch && c->snapshot == NULL);
	if (rc != SHOAL_OK)
		return rc;
	c->snapshot = registry_snapshot_new(c->reg, vector, hlc, tables, stage != 0);
	c->stage = stage;
	c->snapshot_changed = false;
	return c->snapshot != NULL ? SHOAL_OK : error_set(e, SHOAL_EBUSY, "no memory");
}

/* A portion, or the end of it: what it changed belongs to the open group. */
static enum shoal_err keep_portion(struct commit *c, struct change *ch, struct undo *undo, uint16_t from,
                                   struct error *e)
{
	if (undo == NULL) {
		free(ch);
		return SHOAL_OK;
	}
	c->snapshot_changed = true;
	return keep_change(c, ch, undo, from, e);
}

enum shoal_err commit_snapshot_rows(struct commit *c, struct slice rows, uint16_t from, struct error *e)
{
	struct undo *undo = NULL;
	struct change *ch;

	assert(!c->in_batch);
	if (c->snapshot == NULL)
		return error_set(e, SHOAL_ECANCELLED, "it was undone");
	if ((ch = begin_change(c)) == NULL) {
		commit_snapshot_cancel(c);
		return error_set(e, SHOAL_EBUSY, "no memory");
	}
	enum shoal_err rc = registry_snapshot_rows(c->snapshot, rows, c->env->wall_ms(c->env->ctx), c->open.txn, &undo);
	if (rc == SHOAL_OK)
		return keep_portion(c, ch, undo, from, e);
	free(ch);
	commit_snapshot_cancel(c);
	return error_set(e, rc, "%s", error_default(rc));
}

enum shoal_err commit_snapshot_end(struct commit *c, uint16_t from, struct error *e)
{
	struct undo *undo = NULL;
	struct change *ch;

	assert(!c->in_batch);
	if (c->snapshot == NULL)
		return error_set(e, SHOAL_ECANCELLED, "it was undone");
	if ((ch = begin_change(c)) == NULL) {
		commit_snapshot_cancel(c);
		return error_set(e, SHOAL_EBUSY, "no memory");
	}
	enum shoal_err rc = registry_snapshot_end(c->snapshot, c->env->wall_ms(c->env->ctx), c->open.txn, &undo);
	if (rc != SHOAL_OK) {
		free(ch);
		commit_snapshot_cancel(c);
		return error_set(e, rc, "%s", error_default(rc));
	}
	if (undo != NULL || c->snapshot_changed) {
		add_notices(c, &undo);
		c->open.txn->adopt = c->stage;
	}
	drop_snapshot(c);
	rc = keep_portion(c, ch, undo, from, e);
	submit(c); /* the end itself may have had nothing to change */
	return rc;
}

void commit_snapshot_cancel(struct commit *c)
{
	if (c->snapshot != NULL)
		abandon_open(c);
}

enum shoal_err commit_snapshot(struct commit *c, const struct registry_cut *snapshot, uint16_t from, struct error *e)
{
	struct undo *undo = NULL;
	struct change *ch;
	enum shoal_err rc = commit_check_writable(c, e);

	assert(!c->in_batch);
	if (rc != SHOAL_OK)
		return rc;
	if ((ch = begin_change(c)) == NULL)
		return error_set(e, SHOAL_EBUSY, "no memory");
	rc = registry_apply_snapshot(c->reg, snapshot->rows, snapshot->n, &snapshot->vector, snapshot->hlc,
	                             c->env->wall_ms(c->env->ctx), c->open.txn, &undo);
	if (rc != SHOAL_OK || undo == NULL) {
		free(ch);
		return rc == SHOAL_OK ? SHOAL_OK : error_set(e, rc, "%s", error_default(rc));
	}
	add_notices(c, &undo);
	return keep_change(c, ch, undo, from, e);
}

/* -- waiting */

enum shoal_err commit_barrier(struct commit *c, commit_fn *fn, void *arg)
{
	if (commit_idle(c) || PLANTED(reply_early)) {
		fn(arg, SHOAL_OK);
		return SHOAL_OK;
	}
	struct waiter *w = try_alloc(sizeof(*w));
	if (w == NULL)
		return SHOAL_EBUSY;
	w->group = TAILQ_EMPTY(&c->open.changes) ? c->flight.number : c->open.number;
	w->fn = fn;
	w->arg = arg;
	STAILQ_INSERT_TAIL(&c->waiters, w, next);
	return SHOAL_OK;
}

void commit_forget(struct commit *c, const void *arg)
{
	struct waiter *w;
	STAILQ_FOREACH(w, &c->waiters, next)
		if (w->arg == arg)
			w->fn = NULL;
}

/* -- the store's answer */

static void on_durable(struct commit *c)
{
	struct group *g = &c->flight;
	struct change *ch;
	struct cursor records = cursor_of(g->records.data, g->records.len);
	struct slice bytes;
	uint64_t now = c->env->mono_ms(c->env->ctx);

	while ((ch = TAILQ_FIRST(&g->changes)) != NULL) {
		TAILQ_REMOVE(&g->changes, ch, next);
		registry_commit_done(c->reg, ch->undo);
		free(ch);
	}
	while (store_txn_next_record(&records, &bytes)) {
		struct record rec;
		if (record_get(bytes, &rec) == SHOAL_OK)
			oplog_push(c->oplog, rec.stamp.dot, now, bytes);
	}
	commit_raise_floor(c, &g->floor);
	buf_free(&g->records);
	vvec_fini(&g->floor);
	for (unsigned i = 0; i < c->n_hooks; i++)
		if (c->hooks[i].fn.durable != NULL)
			c->hooks[i].fn.durable(c->hooks[i].owner);
	submit(c);
	release(c, (c->flying ? c->flight.number : c->open.number) - 1, SHOAL_OK);
}

static void on_failed(struct commit *c, enum shoal_err why)
{
	uint64_t upto = c->open.number++;

	log_line(c->env->log, LOG_ERROR, "commit", "the store failed (%s): changes are refused until a probe succeeds",
	         error_word(why));
	drop_snapshot(c);
	undo_group(c, &c->open);
	undo_group(c, &c->flight);
	c->readonly = why == SHOAL_EDISKFULL ? why : SHOAL_EIO;
	c->probe_at = c->env->mono_ms(c->env->ctx) + PROBE_EVERY_MS;
	for (unsigned i = 0; i < c->n_hooks; i++)
		if (c->hooks[i].fn.undone != NULL)
			c->hooks[i].fn.undone(c->hooks[i].owner, c->readonly);
	release(c, upto, c->readonly);
}

static void on_probe(struct commit *c, enum shoal_err result)
{
	if (result == SHOAL_OK) {
		log_line(c->env->log, LOG_INFO, "commit", "the store works again");
		c->readonly = SHOAL_OK;
	} else {
		c->probe_at = c->env->mono_ms(c->env->ctx) + PROBE_EVERY_MS;
	}
}

bool commit_on_event(struct commit *c, const struct env_event *ev)
{
	if (ev->type != ENV_COMMITTED)
		return false;
	if (!c->flying || ev->cookie != c->cookie)
		return true; /* of a transaction that an earlier life of this object sent */
	c->flying = false;
	if (c->readonly != SHOAL_OK)
		on_probe(c, ev->result);
	else if (ev->result == SHOAL_OK)
		on_durable(c);
	else
		on_failed(c, ev->result);
	return true;
}

uint64_t commit_tick(struct commit *c, uint64_t now_ms)
{
	if (c->readonly == SHOAL_OK || c->flying)
		return ENV_NEVER;
	if (now_ms < c->probe_at)
		return c->probe_at;
	struct store_txn *probe = store_txn_new();
	if (probe == NULL) {
		c->probe_at = now_ms + PROBE_EVERY_MS;
		return c->probe_at;
	}
	probe->hlc = registry_hlc(c->reg); /* something to write */
	fly(c, probe);
	return ENV_NEVER;
}
