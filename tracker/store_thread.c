/* tracker/store_thread.c */
#include "tracker/store_thread.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "core/base/mem.h"
#include "core/base/queue.h"

enum {
	BATCH_MAX = 256, /* transactions in one commit */
	IDLE_MS = 1000,
};

/* One of txn, op, or neither: stop. */
struct store_job {
	struct queue_node node;
	struct store_txn *txn;
	struct content_op *op;
	uint64_t cookie;
	STAILQ_ENTRY(store_job) backup_link;
};

struct store_thread {
	/* -- immutable */
	struct store_thread_config config;
	struct queue *queue;
	pthread_t thread;
	/* -- store thread only */
	struct store_txn *batch[BATCH_MAX];
	uint64_t cookies[BATCH_MAX];
	size_t n;
	bool failing; /* the last commit failed: it has been logged */
	STAILQ_HEAD(, store_job) backups; /* the first is being made */
};

static void log_commit(struct store_thread *st, enum shoal_err rc, const struct error *e)
{
	bool failing = rc != SHOAL_OK;
	if (failing && !st->failing)
		log_line(st->config.log, LOG_ERROR, "store", "%s; changes are refused until it works again",
		         e->message);
	else if (!failing && st->failing)
		log_line(st->config.log, LOG_INFO, "store", "writing works again");
	st->failing = failing;
}

static void flush_batch(struct store_thread *st)
{
	struct error e = { 0 };
	if (st->n == 0)
		return;
	enum shoal_err rc = st->config.ops->commit(st->config.store, st->batch, st->n, &e);
	log_commit(st, rc, &e);
	if (rc == SHOAL_EINTERNAL)
		st->config.lost(st->config.owner, e.message);
	for (size_t i = 0; i < st->n; i++) {
		st->config.committed(st->config.owner, st->cookies[i], rc);
		store_txn_free(st->batch[i]);
	}
	st->n = 0;
}

static void content_done(struct store_thread *st, struct store_job *job, enum shoal_err rc, const struct error *e)
{
	if (rc == SHOAL_EINTERNAL)
		st->config.lost(st->config.owner, e->message);
	if (rc != SHOAL_OK && rc != SHOAL_ENOTFOUND && rc != SHOAL_EUSAGE)
		log_line(st->config.log, LOG_WARN, "store", "%s", e->message);
	st->config.content(st->config.owner, job->cookie, rc, job->op);
	free(job);
}

static void run_content(struct store_thread *st, struct store_job *job)
{
	struct error e = { 0 };
	if (job->op->kind == CONTENT_BACKUP && st->config.backup != NULL) {
		STAILQ_INSERT_TAIL(&st->backups, job, backup_link);
		return;
	}
	enum shoal_err rc = store_content(st->config.ops, st->config.store, job->op, &e);
	content_done(st, job, rc, &e);
}

/* A portion of the oldest backup. */
static void go_on_with_backup(struct store_thread *st)
{
	struct store_job *job = STAILQ_FIRST(&st->backups);
	struct error e = { 0 };
	enum shoal_err rc;

	if (job == NULL || !st->config.backup(st->config.store, job->op, &rc, &e))
		return;
	STAILQ_REMOVE_HEAD(&st->backups, backup_link);
	content_done(st, job, rc, &e);
}

static void end_backups(struct store_thread *st)
{
	const struct error e = { .code = SHOAL_ECANCELLED, .message = "the tracker ends: no backup is made" };
	struct store_job *job;
	while ((job = STAILQ_FIRST(&st->backups)) != NULL) {
		STAILQ_REMOVE_HEAD(&st->backups, backup_link);
		content_done(st, job, SHOAL_ECANCELLED, &e);
	}
}

/* False: it is to stop. */
static bool run_job(struct store_thread *st, struct store_job *job)
{
	bool go_on = job->txn != NULL || job->op != NULL;
	if (job->txn != NULL) {
		st->batch[st->n] = job->txn;
		st->cookies[st->n++] = job->cookie;
	}
	if (job->txn == NULL || st->n == BATCH_MAX)
		flush_batch(st);
	if (job->op != NULL)
		run_content(st, job);
	else
		free(job);
	return go_on;
}

static void *store_main(void *arg)
{
	struct store_thread *st = arg;
	bool go_on = true, idle = true;

	pthread_setname_np(pthread_self(), "shoal store");
	while (go_on) {
		bool copying = !STAILQ_EMPTY(&st->backups);
		if (!queue_wait(st->queue, copying ? 0 : idle ? -1 : IDLE_MS) && !idle && !copying) {
			idle = true;
			if (st->config.idle != NULL)
				st->config.idle(st->config.store);
			continue;
		}
		struct queue_node *node = queue_take_all(st->queue), *next;
		idle = idle && node == NULL;
		for (; node != NULL; node = next) {
			next = node->next;
			go_on = run_job(st, container_of(node, struct store_job, node)) && go_on;
		}
		flush_batch(st);
		go_on_with_backup(st);
	}
	end_backups(st);
	st->config.ops->close(st->config.store);
	return NULL;
}

struct store_thread *store_thread_new(const struct store_thread_config *config)
{
	struct store_thread *st = xalloc(sizeof(*st));
	st->config = *config;
	st->queue = queue_new();
	STAILQ_INIT(&st->backups);
	if (pthread_create(&st->thread, NULL, store_main, st) != 0) {
		fputs("shoal-tracker: cannot start the store thread\n", stderr);
		abort();
	}
	return st;
}

/* A lost transaction would leave memory and disk apart, so there is no going on without this piece of memory. */
static void post(struct store_thread *st, struct store_txn *txn, struct content_op *op, uint64_t cookie)
{
	struct store_job *job = xalloc(sizeof(*job));
	job->txn = txn;
	job->op = op;
	job->cookie = cookie;
	queue_post(st->queue, &job->node);
}

void store_thread_commit(struct store_thread *st, struct store_txn *txn, uint64_t cookie)
{
	post(st, txn, NULL, cookie);
}

void store_thread_content(struct store_thread *st, struct content_op *op, uint64_t cookie)
{
	post(st, NULL, op, cookie);
}

void store_thread_free(struct store_thread *st)
{
	if (st == NULL)
		return;
	post(st, NULL, NULL, 0);
	pthread_join(st->thread, NULL);
	queue_free(st->queue);
	free(st);
}
