/* core/base/queue.c */
#include "core/base/queue.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/mem.h"

struct queue {
	int fd; /* immutable */
	/* -- protected by lock */
	pthread_mutex_t lock;
	struct queue_node *first, **last;
};

struct queue *queue_new(void)
{
	struct queue *q = xalloc(sizeof(*q));
	q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->fd < 0) {
		perror("shoal: eventfd");
		abort();
	}
	pthread_mutex_init(&q->lock, NULL);
	q->last = &q->first;
	return q;
}

void queue_free(struct queue *q)
{
	if (q == NULL)
		return;
	assert(q->first == NULL);
	close(q->fd);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

void queue_post(struct queue *q, struct queue_node *node)
{
	node->next = NULL;
	pthread_mutex_lock(&q->lock);
	bool was_empty = q->first == NULL;
	*q->last = node;
	q->last = &node->next;
	pthread_mutex_unlock(&q->lock);
	if (was_empty && eventfd_write(q->fd, 1) != 0)
		abort(); /* a counter of 2^64 is never reached, and the descriptor is ours */
}

struct queue_node *queue_take_all(struct queue *q)
{
	eventfd_t count;
	if (eventfd_read(q->fd, &count) != 0 && errno != EAGAIN)
		abort();
	pthread_mutex_lock(&q->lock);
	struct queue_node *first = q->first;
	q->first = NULL;
	q->last = &q->first;
	pthread_mutex_unlock(&q->lock);
	return first;
}

int queue_fd(const struct queue *q)
{
	return q->fd;
}

bool queue_wait(struct queue *q, int timeout_ms)
{
	struct pollfd p = { .fd = q->fd, .events = POLLIN };
	return poll(&p, 1, timeout_ms) > 0;
}
