/* core/base/workers.c */
#include "core/base/workers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/mem.h"

struct workers {
	/* -- immutable */
	unsigned nthreads, limit;
	pthread_t *threads;
	/* -- protected by lock */
	pthread_mutex_t lock;
	pthread_cond_t wakeup;
	struct queue_node *first, **last;
	unsigned nwaiting;
	bool stopping;
};

unsigned workers_default_count(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 2 ? 2 : n > 10 ? 10 : (unsigned)n;
}

static void *worker_main(void *arg)
{
	struct workers *w = arg;

	pthread_setname_np(pthread_self(), "shoal worker");
	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (w->first == NULL && !w->stopping)
			pthread_cond_wait(&w->wakeup, &w->lock);
		struct queue_node *node = w->first;
		if (node == NULL)
			break;
		w->first = node->next;
		if (w->first == NULL)
			w->last = &w->first;
		w->nwaiting--;
		pthread_mutex_unlock(&w->lock);

		struct work *job = container_of(node, struct work, node);
		struct queue *done = job->done;
		job->run(job);
		if (done != NULL)
			queue_post(done, &job->node);

		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct workers *workers_new(unsigned threads, unsigned limit)
{
	struct workers *w = xalloc(sizeof(*w));
	w->limit = limit;
	w->last = &w->first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wakeup, NULL);
	w->threads = xalloc(threads * sizeof(*w->threads));
	for (; w->nthreads < threads; w->nthreads++)
		if (pthread_create(&w->threads[w->nthreads], NULL, worker_main, w) != 0) {
			fputs("shoal: cannot start a thread\n", stderr);
			abort();
		}
	return w;
}

void workers_free(struct workers *w)
{
	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->wakeup);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->nthreads; i++)
		pthread_join(w->threads[i], NULL);
	pthread_cond_destroy(&w->wakeup);
	pthread_mutex_destroy(&w->lock);
	free(w->threads);
	free(w);
}

bool workers_post(struct workers *w, struct work *job)
{
	pthread_mutex_lock(&w->lock);
	bool taken = w->limit == 0 || w->nwaiting < w->limit;
	if (taken) {
		job->node.next = NULL;
		*w->last = &job->node;
		w->last = &job->node.next;
		w->nwaiting++;
		pthread_cond_signal(&w->wakeup);
	}
	pthread_mutex_unlock(&w->lock);
	return taken;
}
