/* core/net/loop.c */
#include "core/net/loop.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <sys/time.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

struct signal_watch {
	LIST_ENTRY(signal_watch) entry;
	struct event *ev;
	loop_signal_fn *fn;
	void *arg;
};

struct loop {
	struct event_base *base;
	struct evdns_base *dns; /* NULL until somebody needs it */
	uint8_t *scratch;
	LIST_HEAD(, signal_watch) signals;
	bool stopping;
};

struct loop_timer {
	struct event ev;
	uint64_t due_us; /* monotonic; 0: when it fires, it fires */
	loop_timer_fn *fn;
	void *arg;
};

struct loop_watch {
	struct event read_ev, write_ev;
	bool reading, writing; /* which of the two are added */
	loop_watch_fn *fn;
	void *arg;
	struct queue *queue; /* loop_watch_queue() only */
	loop_queue_fn *queue_fn;
};

struct loop *loop_new(struct error *e)
{
	struct event_config *config = event_config_new();
	struct loop *loop = xalloc(sizeof(*loop));

	loop->scratch = xalloc(LOOP_SCRATCH_SIZE);
	LIST_INIT(&loop->signals);
	if (config != NULL) {
		/* One thread: no lock. A fresh look at the clock for each timer, or they would be early after a long
		 * callback. */
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
		event_config_require_features(config, EV_FEATURE_O1);
		loop->base = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (loop->base == NULL) {
		error_errno(e, "cannot make an event loop");
		loop_free(loop);
		return NULL;
	}
	return loop;
}

/* Lookups that were cancelled still have their last callback waiting in the base. */
static void dns_free(struct loop *loop)
{
	if (loop->dns == NULL)
		return;
	event_base_loop(loop->base, EVLOOP_NONBLOCK);
	evdns_base_free(loop->dns, 1);
	event_base_loop(loop->base, EVLOOP_NONBLOCK);
}

void loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	while (!LIST_EMPTY(&loop->signals)) {
		struct signal_watch *sw = LIST_FIRST(&loop->signals);
		LIST_REMOVE(sw, entry);
		event_free(sw->ev);
		free(sw);
	}
	dns_free(loop);
	if (loop->base != NULL)
		event_base_free(loop->base);
	free(loop->scratch);
	free(loop);
}

void loop_run(struct loop *loop)
{
	while (!loop->stopping)
		event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
	loop->stopping = false;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
	event_base_loopbreak(loop->base);
}

/* -- timers */

/* Fails only when the timer heap cannot grow. A timer that never fires would leave a connection for ever, so it fires
 * at once instead: that needs no memory. */
static void add_timer(struct loop_timer *t, uint64_t delay_us)
{
	struct timeval tv = { .tv_sec = (time_t)(delay_us / 1000000), .tv_usec = (suseconds_t)(delay_us % 1000000) };

	if (event_add(&t->ev, &tv) != 0) {
		t->due_us = 0;
		event_active(&t->ev, EV_TIMEOUT, 1);
	}
}

/* libevent's clock is a coarse one that lags by up to some milliseconds, so that its timers can be early. */
static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;
	uint64_t now = t->due_us != 0 ? clock_mono_us() : 0;
	(void)fd, (void)what;

	if (now < t->due_us)
		add_timer(t, t->due_us - now);
	else
		t->fn(t->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_fn *fn, void *arg)
{
	struct loop_timer *t = try_alloc(sizeof(*t));

	if (t == NULL)
		return NULL;
	t->fn = fn;
	t->arg = arg;
	if (event_assign(&t->ev, loop->base, -1, 0, timer_fired, t) != 0) {
		free(t);
		return NULL;
	}
	return t;
}

void loop_timer_set_ms(struct loop_timer *t, uint64_t delay_ms)
{
	const uint64_t year_ms = (uint64_t)365 * 24 * 3600 * 1000;
	uint64_t ms = delay_ms < year_ms ? delay_ms : year_ms; /* so that nothing can overflow */

	t->due_us = ms == 0 ? 0 : clock_mono_us() + ms * 1000;
	add_timer(t, ms * 1000);
}

void loop_timer_cancel(struct loop_timer *t)
{
	event_del(&t->ev);
}

void loop_timer_free(struct loop_timer *t)
{
	if (t == NULL)
		return;
	event_del(&t->ev);
	free(t);
}

/* -- descriptors */

static void fd_readable(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;
	(void)fd, (void)what;
	w->fn(w->arg, LOOP_READ);
}

static void fd_writable(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;
	(void)fd, (void)what;
	w->fn(w->arg, LOOP_WRITE);
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, loop_watch_fn *fn, void *arg)
{
	struct loop_watch *w = try_alloc(sizeof(*w));

	if (w == NULL)
		return NULL;
	w->fn = fn;
	w->arg = arg;
	if (event_assign(&w->read_ev, loop->base, fd, EV_READ | EV_PERSIST, fd_readable, w) != 0 ||
	    event_assign(&w->write_ev, loop->base, fd, EV_WRITE | EV_PERSIST, fd_writable, w) != 0) {
		free(w);
		return NULL;
	}
	return w;
}

static bool switch_event(struct event *ev, bool want, bool *is)
{
	if (want == *is)
		return true;
	*is = want;
	if (!want)
		return event_del(ev) == 0;
	if (event_add(ev, NULL) == 0)
		return true;
	*is = false;
	return false;
}

bool loop_watch_set(struct loop_watch *w, bool want_read, bool want_write)
{
	if (switch_event(&w->read_ev, want_read, &w->reading) && switch_event(&w->write_ev, want_write, &w->writing))
		return true;
	switch_event(&w->read_ev, false, &w->reading);
	switch_event(&w->write_ev, false, &w->writing);
	return false;
}

void loop_watch_free(struct loop_watch *w)
{
	if (w == NULL)
		return;
	event_del(&w->read_ev);
	event_del(&w->write_ev);
	free(w);
}

static void queue_readable(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;
	(void)fd, (void)what;
	struct queue_node *nodes = queue_take_all(w->queue);
	if (nodes != NULL)
		w->queue_fn(w->arg, nodes);
}

struct loop_watch *loop_watch_queue(struct loop *loop, struct queue *queue, loop_queue_fn *fn, void *arg)
{
	struct loop_watch *w = loop_watch_new(loop, queue_fd(queue), NULL, arg);

	if (w == NULL)
		return NULL;
	w->queue = queue;
	w->queue_fn = fn;
	if (event_assign(&w->read_ev, loop->base, queue_fd(queue), EV_READ | EV_PERSIST, queue_readable, w) != 0 ||
	    !loop_watch_set(w, true, false)) {
		loop_watch_free(w);
		return NULL;
	}
	return w;
}

/* -- signals */

static void signal_came(evutil_socket_t signo, short what, void *arg)
{
	struct signal_watch *sw = arg;
	(void)what;
	sw->fn(sw->arg, (int)signo);
}

bool loop_on_signal(struct loop *loop, int signo, loop_signal_fn *fn, void *arg)
{
	struct signal_watch *sw = xalloc(sizeof(*sw));

	sw->fn = fn;
	sw->arg = arg;
	sw->ev = evsignal_new(loop->base, signo, signal_came, sw);
	if (sw->ev == NULL || event_add(sw->ev, NULL) != 0) {
		if (sw->ev != NULL)
			event_free(sw->ev);
		free(sw);
		return false;
	}
	LIST_INSERT_HEAD(&loop->signals, sw, entry);
	return true;
}

/* -- what hangs on a loop */

uint8_t *loop_scratch(struct loop *loop)
{
	return loop->scratch;
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->base;
}

struct evdns_base *loop_dns(struct loop *loop)
{
	if (loop->dns == NULL) {
		/* Not EVDNS_BASE_INITIALIZE_NAMESERVERS: that fails where there is no resolv.conf, and a machine without
		 * a name server still has a hosts file. */
		loop->dns = evdns_base_new(loop->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
		if (loop->dns == NULL)
			return NULL;
		if (evdns_base_resolv_conf_parse(loop->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf") != 0)
			evdns_base_load_hosts(loop->dns, "/etc/hosts");
	}
	return loop->dns;
}
