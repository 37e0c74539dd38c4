/* tracker/store_thread.h - the thread that owns the store once the tracker runs.
 *
 * It takes everything that was queued meanwhile; transactions that follow each other become one commit with one flush,
 * so that the busier it gets the more share a flush. Answers come in the order of the questions, on this thread: the
 * two functions of the config must be fit for that (net_env_post_* are). */
#ifndef SHOAL_TRACKER_STORE_THREAD_H
#define SHOAL_TRACKER_STORE_THREAD_H
#include "core/base/log.h"
#include "core/registry/store.h"

struct store_thread;

struct store_thread_config {
	const struct store_ops *ops;
	struct store *store;               /* open; the thread's from now on, which closes it at the end */
	void (*idle)(struct store *store); /* after a second without work, once; may be NULL */
	/* A portion of a CONTENT_BACKUP: true when it is over. Between two the thread does what is queued. NULL: in one go. */
	bool (*backup)(struct store *store, struct content_op *op, enum shoal_err *rc, struct error *e);
	void (*committed)(void *owner, uint64_t cookie, enum shoal_err result);
	void (*content)(void *owner, uint64_t cookie, enum shoal_err result, struct content_op *op);
	/* What was saved cannot be found out (SHOAL_EINTERNAL from a commit): the process must not go on. Does not return. */
	void (*lost)(void *owner, const char *why);
	void *owner;
	struct log *log;
};

/* Aborts when no thread can be had: start-up. */
struct store_thread *store_thread_new(const struct store_thread_config *config);
/* Does what is queued, closes the store, ends the thread. NULL is fine. */
void store_thread_free(struct store_thread *st);

/* Loop thread. The transaction or op goes over to the thread; the op comes back in its answer. */
void store_thread_commit(struct store_thread *st, struct store_txn *txn, uint64_t cookie);
void store_thread_content(struct store_thread *st, struct content_op *op, uint64_t cookie);
#endif
