/* core/net/loop.h - an event loop that one thread owns: timers, descriptors, queues, signals.
 *
 * A thin cover over libevent's event_base. Everything here is called on the loop's thread only (before loop_run() any
 * one thread may prepare it); other threads reach it by posting to a queue that it watches. No function calls back
 * from within: callbacks run from loop_run(). A callback may free its own timer or watch. Timers and watches are freed
 * before the loop. What is made per connection returns NULL when there is no memory. */
#ifndef SHOAL_NET_LOOP_H
#define SHOAL_NET_LOOP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/queue.h"

struct event_base;
struct evdns_base;
struct loop;
struct loop_timer;
struct loop_watch;

typedef void loop_timer_fn(void *arg);
typedef void loop_watch_fn(void *arg, unsigned ready); /* LOOP_READ or LOOP_WRITE; an error on the fd shows as both */
typedef void loop_queue_fn(void *arg, struct queue_node *nodes); /* oldest first; fn owns them */
typedef void loop_signal_fn(void *arg, int signo);

#define LOOP_READ 1u
#define LOOP_WRITE 2u

struct loop *loop_new(struct error *e);
void loop_free(struct loop *loop); /* NULL is fine */
/* Runs callbacks until loop_stop(). May be run again afterwards. A stop that came before the run ends it at once. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* loop thread only; the callback that calls it is the last one */

/* One shot, idle at first. Setting it again moves it; 0 ms is "in the next turn of the loop, after I/O has had its
 * chance". It never fires early. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *arg);
void loop_timer_set_ms(struct loop_timer *t, uint64_t delay_ms);
void loop_timer_cancel(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* NULL is fine */

/* Level triggered. Watches nothing until loop_watch_set(); false (and nothing watched) if the kernel refuses.
 * The descriptor stays the caller's, who frees the watch before closing it. */
struct loop_watch *loop_watch_new(struct loop *loop, int fd, loop_watch_fn *fn, void *arg);
bool loop_watch_set(struct loop_watch *w, bool want_read, bool want_write);
void loop_watch_free(struct loop_watch *w); /* NULL is fine */
/* Hands over what is posted to the queue, all of it at once. The queue stays the caller's. */
struct loop_watch *loop_watch_queue(struct loop *loop, struct queue *queue, loop_queue_fn *fn, void *arg);

/* libevent keeps signals for one loop of a process: only the main program asks for them. Ends with the loop. */
bool loop_on_signal(struct loop *loop, int signo, loop_signal_fn *fn, void *arg);

/* A buffer shared by all that reads on this loop: good until the callback returns. */
#define LOOP_SCRATCH_SIZE ((size_t)64 * 1024)
uint8_t *loop_scratch(struct loop *loop);

struct event_base *loop_base(struct loop *loop);
/* The resolver, made at first use from resolv.conf and the hosts file; NULL when there is no memory. */
struct evdns_base *loop_dns(struct loop *loop);
#endif
