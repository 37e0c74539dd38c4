/* core/base/queue.h - how threads hand things to each other.
 *
 * Many may post, one takes. To post a thing is to stop touching it. The queue has a lock of its own, a leaf: nothing
 * is called while it is held. Its eventfd becomes readable while something waits, so that it can sit in a poll() or
 * an event loop. A node is embedded in the thing handed over; no allocation, so a post cannot fail. */
#ifndef SHOAL_BASE_QUEUE_H
#define SHOAL_BASE_QUEUE_H
#include <stdbool.h>
#include <stddef.h>

struct queue;

struct queue_node {
	struct queue_node *next;
};

struct queue *queue_new(void); /* aborts when there is no descriptor for it: start-up only */
void queue_free(struct queue *q); /* must be empty */

void queue_post(struct queue *q, struct queue_node *node);
/* Everything that waits, oldest first, linked by ->next (NULL if nothing), and the eventfd is quiet again. */
struct queue_node *queue_take_all(struct queue *q);
int queue_fd(const struct queue *q);
/* Waits at most timeout_ms (-1: for ever) until something waits; false if nothing came. */
bool queue_wait(struct queue *q, int timeout_ms);

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#endif
