/* core/base/workers.h - a pool of threads for work that blocks or computes: password hashes, file hashes.
 *
 * A job runs once on some thread of the pool, then its `done` is posted to the queue it names, if any. At most
 * `limit` jobs wait (0: no limit): past that workers_post() refuses, and the caller answers SHOAL_EBUSY. */
#ifndef SHOAL_BASE_WORKERS_H
#define SHOAL_BASE_WORKERS_H
#include <stdbool.h>

#include "core/base/queue.h"

struct workers;

struct work {
	struct queue_node node;       /* first used inside the pool, then in `done`'s queue */
	void (*run)(struct work *w);  /* on a pool thread */
	struct queue *done;           /* NULL: nobody is told; run() then owns and frees it */
};

/* max(2, min(10, cores)), as the specification asks. */
unsigned workers_default_count(void);
struct workers *workers_new(unsigned threads, unsigned limit);
/* Runs what was posted, then ends the threads. */
void workers_free(struct workers *w);
bool workers_post(struct workers *w, struct work *job);
#endif
