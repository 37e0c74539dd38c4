/* core/net/dial.c */
#include "core/net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/dns.h>
#include <event2/util.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/net/sockaddr.h"

enum { ADDRESSES_MAX = 8 };

struct target {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* A question to the resolver. It outlives a dial that is given up: the resolver answers it even then. */
struct lookup {
	struct dial *dial; /* NULL: nobody wants to know any more */
	struct evdns_getaddrinfo_request *request;
};

struct dial {
	struct loop *loop;
	struct address addr;
	uint64_t deadline_ms;      /* of it all, monotonic */
	struct loop_timer *timer;  /* the begin, then the deadline of this attempt or of the lookup */
	bool begun;
	struct lookup *lookup;     /* while the name is being looked up */
	struct target targets[ADDRESSES_MAX];
	size_t n_targets, next;
	int fd;                    /* of this attempt, or -1 */
	struct loop_watch *watch;
	struct error last;         /* why the attempt before failed */
	dial_fn *fn;
	void *arg;
};

static void stop_attempt(struct dial *d)
{
	loop_watch_free(d->watch);
	d->watch = NULL;
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

static void stop_lookup(struct dial *d)
{
	struct lookup *lookup = d->lookup;

	if (lookup == NULL)
		return;
	d->lookup = NULL;
	lookup->dial = NULL;
	if (lookup->request != NULL)
		evdns_getaddrinfo_cancel(lookup->request);
}

void dial_cancel(struct dial *d)
{
	if (d == NULL)
		return;
	stop_attempt(d);
	stop_lookup(d);
	loop_timer_free(d->timer);
	free(d);
}

static void finish(struct dial *d, int fd)
{
	struct error e = d->last;
	dial_fn *fn = d->fn;
	void *arg = d->arg;

	dial_cancel(d);
	fn(arg, fd, fd >= 0 ? NULL : &e);
}

static uint64_t left_ms(const struct dial *d)
{
	uint64_t now = clock_mono_ms();
	return now < d->deadline_ms ? d->deadline_ms - now : 0;
}

static void attempt_failed(struct dial *d, int err)
{
	char text[ADDRESS_MAX];

	stop_attempt(d);
	error_set(&d->last, err == ETIMEDOUT ? SHOAL_ETIMEOUT : SHOAL_EOFFLINE, "cannot reach %s: %s",
	          address_format(&d->addr, text), strerror(err));
}

static void connect_done(void *arg, unsigned ready);

/* True if this attempt is under way. */
static bool begin_attempt(struct dial *d, const struct target *target)
{
	d->fd = socket(target->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0)
		goto fail;
	sockaddr_tune(d->fd);
	if (connect(d->fd, (const struct sockaddr *)&target->ss, target->len) != 0 && errno != EINPROGRESS)
		goto fail;
	d->watch = loop_watch_new(d->loop, d->fd, connect_done, d);
	if (d->watch == NULL || !loop_watch_set(d->watch, false, true)) {
		errno = ENOMEM;
		goto fail;
	}
	loop_timer_set_ms(d->timer, left_ms(d) / (d->n_targets - d->next + 1));
	return true;
fail:
	attempt_failed(d, errno);
	return false;
}

/* The next address, or the end of the story. */
static void try_next(struct dial *d)
{
	while (d->next < d->n_targets)
		if (begin_attempt(d, &d->targets[d->next++]))
			return;
	finish(d, -1);
}

static void connect_done(void *arg, unsigned ready)
{
	struct dial *d = arg;
	int err = 0, fd = d->fd;
	socklen_t len = sizeof(err);
	(void)ready;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
		err = errno;
	if (err != 0) {
		attempt_failed(d, err);
		try_next(d);
		return;
	}
	loop_watch_free(d->watch);
	d->watch = NULL;
	d->fd = -1; /* it is fn's now */
	finish(d, fd);
}

/* -- names */

static void add_target(struct dial *d, const struct sockaddr *sa, socklen_t len)
{
	if (d->n_targets == ADDRESSES_MAX || len > sizeof(d->targets[0].ss))
		return;
	memcpy(&d->targets[d->n_targets].ss, sa, len);
	d->targets[d->n_targets++].len = len;
}

static void looked_up(int result, struct evutil_addrinfo *list, void *arg)
{
	struct lookup *lookup = arg;
	struct dial *d = lookup->dial;
	char text[ADDRESS_MAX];

	free(lookup);
	if (d != NULL) {
		d->lookup = NULL;
		for (const struct evutil_addrinfo *ai = list; ai != NULL; ai = ai->ai_next)
			add_target(d, ai->ai_addr, (socklen_t)ai->ai_addrlen);
		error_set(&d->last, SHOAL_EOFFLINE, "cannot reach %s: %s", address_format(&d->addr, text),
		          result != 0 ? evutil_gai_strerror(result) : "the name has no address");
	}
	if (list != NULL)
		evutil_freeaddrinfo(list);
	if (d != NULL)
		try_next(d);
}

/* The answer may come from within (hosts file): d may be gone when this returns. */
static void look_up(struct dial *d)
{
	const struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
		                               .ai_protocol = IPPROTO_TCP };
	struct evdns_base *dns = loop_dns(d->loop);
	struct lookup *lookup = dns == NULL ? NULL : try_alloc(sizeof(*lookup));
	char port[8];

	if (lookup == NULL) {
		attempt_failed(d, ENOMEM);
		finish(d, -1);
		return;
	}
	lookup->dial = d;
	d->lookup = lookup;
	loop_timer_set_ms(d->timer, left_ms(d));
	snprintf(port, sizeof(port), "%u", d->addr.port);
	struct evdns_getaddrinfo_request *request =
		evdns_getaddrinfo(dns, d->addr.host, port, &hints, looked_up, lookup);
	if (request != NULL)
		lookup->request = request; /* not answered yet, so both are still there */
}

static void timer_fired(void *arg)
{
	struct dial *d = arg;
	struct target numeric;

	if (d->begun && d->lookup == NULL) { /* this attempt took too long */
		attempt_failed(d, ETIMEDOUT);
		try_next(d);
		return;
	}
	if (d->begun) {
		attempt_failed(d, ETIMEDOUT);
		finish(d, -1);
		return;
	}
	d->begun = true;
	if (!sockaddr_from_numeric(&d->addr, &numeric.ss, &numeric.len)) {
		look_up(d);
		return;
	}
	add_target(d, (const struct sockaddr *)&numeric.ss, numeric.len);
	try_next(d);
}

struct dial *dial_start(struct loop *loop, const struct address *addr, uint64_t timeout_ms, dial_fn *fn, void *arg)
{
	struct dial *d = try_alloc(sizeof(*d));

	if (d == NULL)
		return NULL;
	d->loop = loop;
	d->addr = *addr;
	d->deadline_ms = clock_mono_ms() + timeout_ms;
	d->fd = -1;
	d->fn = fn;
	d->arg = arg;
	d->timer = loop_timer_new(loop, timer_fired, d);
	if (d->timer == NULL) {
		free(d);
		return NULL;
	}
	loop_timer_set_ms(d->timer, 0);
	return d;
}
