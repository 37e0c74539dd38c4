/* tests/sim/disk.c - the store behind a node's env, slow and mortal; and the worker pool. */
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

#define WORK_MAX 64

static void free_txns(struct sim_txns *list)
{
	struct sim_txn *t;
	while ((t = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, next);
		store_txn_free(t->txn);
		free(t);
	}
}

/* The store thread takes what is queued, all of it: one flush. */
static void take_group(struct sim_node *node)
{
	struct sim *sim = node->sim;

	if (node->store_busy || STAILQ_EMPTY(&node->queued))
		return;
	STAILQ_CONCAT(&node->writing, &node->queued);
	node->store_busy = true;
	sim_schedule(sim, 1 + sim_random(sim, sim->config.commit_max_ms),
	             &(struct sim_event){ .kind = SIM_GROUP_DONE, .node = node, .result = SHOAL_EBUSY });
}

void sim_commit(void *ctx, struct store_txn *txn, uint64_t cookie)
{
	struct sim_node *node = ctx;
	struct sim_txn *t = xalloc(sizeof(*t));

	if (!store_txn_ok(txn))
		abort(); /* store.h: never commit it */
	t->txn = txn;
	t->cookie = cookie;
	STAILQ_INSERT_TAIL(&node->queued, t, next);
	node->sim->counts.commits++;
	take_group(node);
}

static void tell_records(struct sim_node *node, struct store_txn *const *txns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct cursor c = cursor_of(txns[i]->records.data, txns[i]->records.len);
		struct slice record;
		while (store_txn_next_record(&c, &record))
			node->program.durable(node->program.owner, record);
	}
}

static enum shoal_err write_group(struct sim_node *node)
{
	struct store_txn *txns[256];
	size_t n = 0;
	struct sim_txn *t;
	struct error e;

	STAILQ_FOREACH(t, &node->writing, next) {
		if (n == COUNT_OF(txns))
			abort();
		txns[n++] = t->txn;
	}
	node->sim->counts.groups++;
	if (node->fail_commits != 0) {
		node->fail_commits--;
		node->sim->counts.commits_failed++;
		return node->fail_why;
	}
	enum shoal_err rc = node->program.store_ops->commit(node->program.store, txns, n, &e);
	if (rc == SHOAL_OK && node->program.durable != NULL)
		tell_records(node, txns, n);
	return rc;
}

/* First the bytes become durable; a little later the loop hears of it: a crash may come in between. */
void sim_on_group_done(struct sim *sim, const struct sim_event *ev)
{
	struct sim_node *node = ev->node;
	struct sim_txns done;
	struct sim_txn *t;

	if (ev->result == SHOAL_EBUSY) {
		enum shoal_err result = write_group(node);
		struct sim_event again = *ev;
		again.result = result;
		again.cookie = 1; /* written */
		sim_schedule(sim, sim_random(sim, 1 + sim->config.commit_max_ms / 2), &again);
		node->written = true;
		return;
	}
	node->written = false;
	node->store_busy = false;
	STAILQ_INIT(&done);
	STAILQ_CONCAT(&done, &node->writing);
	uint64_t life = node->life;
	while ((t = STAILQ_FIRST(&done)) != NULL) {
		struct env_event out = { .type = ENV_COMMITTED, .cookie = t->cookie, .result = ev->result };
		STAILQ_REMOVE_HEAD(&done, next);
		store_txn_free(t->txn);
		free(t);
		if (node->life == life)
			sim_step(node, &out);
	}
	if (node->life == life)
		take_group(node);
}

void sim_drop_txns(struct sim_node *node)
{
	struct sim_txn *t;
	STAILQ_FOREACH(t, &node->queued, next)
		node->sim->counts.commits_lost++;
	STAILQ_FOREACH(t, &node->writing, next)
		*(node->written ? &node->sim->counts.committed_unsaid : &node->sim->counts.commits_lost) += 1;
	free_txns(&node->queued);
	free_txns(&node->writing);
	node->written = false;
}

/* -- bulk data */

void sim_content(void *ctx, struct content_op *op, uint64_t cookie)
{
	struct sim_node *node = ctx;
	struct sim *sim = node->sim;
	sim_schedule(sim, 1 + sim_random(sim, sim->config.commit_max_ms),
	             &(struct sim_event){ .kind = SIM_CONTENT, .node = node, .content = op, .cookie = cookie });
}

void sim_on_content(struct sim *sim, const struct sim_event *ev)
{
	struct error e;

	if (ev->content->kind == CONTENT_LOG_CUT && ev->node->program.cut != NULL)
		ev->node->program.cut(ev->node->program.owner, &ev->content->vector);
	enum shoal_err rc = store_content(ev->node->program.store_ops, ev->node->program.store, ev->content, &e);
	(void)sim;
	sim_step(ev->node, &(struct env_event){ .type = ENV_CONTENT, .cookie = ev->cookie, .result = rc,
	                                       .content = ev->content });
}

/* -- the pool: password records are "sim$" and the password */

static void wipe(char *secret, size_t len)
{
	if (secret != NULL)
		memset(secret, 0, len);
	free(secret);
}

enum shoal_err sim_work(void *ctx, const struct env_work *work, uint64_t cookie)
{
	struct sim_node *node = ctx;
	struct sim *sim = node->sim;
	struct sim_event ev = { .kind = SIM_WORKED, .node = node, .cookie = cookie };
	char record[128];

	if (node->working >= WORK_MAX)
		return SHOAL_EBUSY;
	snprintf(record, sizeof(record), "sim$%.*s", (int)work->password_len, work->password);
	if (work->kind == WORK_HASH_PASSWORD)
		ev.record = xstrdup(record);
	else if (work->kind == WORK_VERIFY_PASSWORD && (work->record == NULL || strcmp(work->record, record) != 0))
		ev.result = SHOAL_EAUTH;
	wipe(work->password, work->password_len);
	free(work->record);
	node->working++;
	sim_schedule(sim, 5 + sim_random(sim, 50), &ev);
	return SHOAL_OK;
}

void sim_on_worked(struct sim *sim, const struct sim_event *ev)
{
	(void)sim;
	ev->node->working--;
	sim_step(ev->node, &(struct env_event){ .type = ENV_WORKED, .cookie = ev->cookie, .result = ev->result,
	                                       .record = ev->record });
	free(ev->record);
}
