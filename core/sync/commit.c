/* core/sync/commit.c
 *
 * Two groups of changes exist at most: one is with the store (flight), one gathers (open). COMMITTED ok: flight's undos
 * are dropped, its records enter the oplog, open takes off. COMMITTED with a failure: open and flight are undone,
 * newest first; so memory is again what the store has. */
#include <assert.h>

#include "core/base/mem.h"
#include "core/base/planted.h"
#include "core/registry/notice.h"
#include "core/sync/commit_impl.h"

#define PROBE_EVERY_MS 1000
#define OPLOG_BYTES (32u << 20)

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
void commit_drop_snapshot(struct commit *c)
{
	registry_snapshot_free(c->snapshot);
	c->snapshot = NULL;
}

void commit_free(struct commit *c)
{
	if (c == NULL)
		return;
	commit_drop_snapshot(c);
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
void commit_abandon(struct commit *c)
{
	uint64_t number = c->open.number++;
	commit_drop_snapshot(c);
	undo_group(c, &c->open);
	for (unsigned i = 0; i < c->n_hooks; i++)
		if (c->hooks[i].fn.undone != NULL)
			c->hooks[i].fn.undone(c->hooks[i].owner, SHOAL_EBUSY);

	struct waiter *w;
	STAILQ_FOREACH(w, &c->waiters, next)
		if (w->group == number)
			w->doomed = true;
	if (!c->flying && !c->landing)
		release(c, number, SHOAL_EBUSY);
}

/* Sends what has gathered, if nothing is with the store. */
void commit_submit(struct commit *c)
{
	struct store_txn *txn = c->open.txn;

	if (c->flying || c->in_batch || c->snapshot != NULL || txn == NULL || TAILQ_EMPTY(&c->open.changes))
		return;
	buf_put(&c->flight.records, txn->records.data, txn->records.len);
	if (c->flight.records.failed || vvec_copy(&c->flight.floor, &txn->floor) != SHOAL_OK) {
		buf_free(&c->flight.records);
		commit_abandon(c);
		return;
	}
	c->flight.number = c->open.number++;
	TAILQ_CONCAT(&c->flight.changes, &c->open.changes, next);
	c->open.txn = NULL;
	fly(c, txn);
}

/* Opens the group for one more change; NULL without memory. */
struct change *commit_begin_change(struct commit *c)
{
	if (c->open.txn == NULL)
		c->open.txn = store_txn_new();
	return c->open.txn == NULL ? NULL : try_alloc(sizeof(struct change));
}

/* A change was applied: it belongs to the open group now. */
enum shoal_err commit_keep_change(struct commit *c, struct change *ch, struct undo *undo, uint16_t from,
                                  struct error *e)
{
	ch->undo = undo;
	TAILQ_INSERT_TAIL(&c->open.changes, ch, next);
	if (!store_txn_ok(c->open.txn)) {
		commit_abandon(c);
		return error_set(e, SHOAL_EBUSY, "no memory");
	}
	for (unsigned i = 0; i < c->n_hooks; i++)
		if (c->hooks[i].fn.applied != NULL)
			c->hooks[i].fn.applied(c->hooks[i].owner, undo, from);
	commit_submit(c);
	return SHOAL_OK;
}

/* -- changes */

/* What a change did to somebody else's work is written down in the same transaction. */
void commit_add_notices(struct commit *c, struct undo **undo)
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
	if (rc == SHOAL_OK && (ch = commit_begin_change(c)) == NULL)
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
	commit_add_notices(c, &undo);
	return commit_keep_change(c, ch, undo, 0, e);
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
	struct change *ch = commit_begin_change(c);
	if (ch == NULL) { /* the rows are in the transaction already: all that has gathered goes */
		registry_undo(c->reg, undo);
		commit_abandon(c);
		return;
	}
	commit_add_notices(c, &undo);
	(void)commit_keep_change(c, ch, undo, from, NULL);
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
	struct group landed = { .records = c->flight.records, .floor = c->flight.floor };
	struct change *ch;
	struct cursor records = cursor_of(landed.records.data, landed.records.len);
	struct slice bytes;
	uint64_t now = c->env->mono_ms(c->env->ctx);

	/* The next one takes off first, so that the store has something to do meanwhile. */
	TAILQ_INIT(&landed.changes);
	TAILQ_CONCAT(&landed.changes, &c->flight.changes, next);
	c->flight.records = (struct buf){ 0 };
	c->flight.floor = (struct vvec){ 0 };
	c->landing = true; /* if there is no memory for it, those who wait for what has landed must not be told so */
	commit_submit(c);
	c->landing = false;
	while ((ch = TAILQ_FIRST(&landed.changes)) != NULL) {
		TAILQ_REMOVE(&landed.changes, ch, next);
		registry_commit_done(c->reg, ch->undo);
		free(ch);
	}
	while (store_txn_next_record(&records, &bytes)) {
		struct record rec;
		if (record_get(bytes, &rec) == SHOAL_OK)
			oplog_push(c->oplog, rec.stamp.dot, now, bytes);
	}
	commit_raise_floor(c, &landed.floor);
	buf_free(&landed.records);
	vvec_fini(&landed.floor);
	for (unsigned i = 0; i < c->n_hooks; i++)
		if (c->hooks[i].fn.durable != NULL)
			c->hooks[i].fn.durable(c->hooks[i].owner);
	release(c, (c->flying ? c->flight.number : c->open.number) - 1, SHOAL_OK);
}

static void on_failed(struct commit *c, enum shoal_err why)
{
	uint64_t upto = c->open.number++;

	log_line(c->env->log, LOG_ERROR, "commit", "the store failed (%s): changes are refused until a probe succeeds",
	         error_word(why));
	commit_drop_snapshot(c);
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
