/* client/relay.c
 *
 * The lock guards the routes and `asked`, `done`, `stop`; pairs belong to the thread. A caller changes what it wants under
 * the lock, raises `asked`, and waits until the thread has seen it: the thread does its work with the lock held, and lets it
 * go only while it sleeps in poll(). */
#include "client/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/mem.h"

enum { BUFFER = 64 * 1024, BACKLOG = 128 };

struct route {
	LIST_ENTRY(route) link;
	int fd;
	uint16_t port, to_port;
	enum relay_mode mode;
};

/* One direction of a connection. */
struct flow {
	int from, to;
	bool dialled; /* from the dialling side */
	uint8_t bytes[BUFFER];
	size_t len;   /* waiting to be written */
	bool ended;   /* nothing more comes */
	bool told;    /* and the other side knows */
};

struct pair {
	LIST_ENTRY(pair) link;
	struct route *route;
	struct flow flows[2];
};

struct relay {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t seen;
	int wake;
	bool stop;
	uint64_t asked, done;
	LIST_HEAD(, route) routes;
	LIST_HEAD(, pair) pairs; /* the thread's */
	size_t n_routes, n_pairs;
};

/* -- connections */

static void reset_fd(int fd)
{
	struct linger hard = { .l_onoff = 1 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}

static void drop_pair(struct relay *r, struct pair *p, bool hard)
{
	for (int i = 0; i < 2; i++) {
		if (hard)
			reset_fd(p->flows[i].from);
		else
			close(p->flows[i].from);
	}
	LIST_REMOVE(p, link);
	r->n_pairs--;
	free(p);
}

static int dial(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void accept_one(struct relay *r, struct route *route)
{
	int fd = accept4(route->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int other = fd >= 0 && route->mode != RELAY_CUT ? dial(route->to_port) : -1;
	struct pair *p = other >= 0 ? try_alloc(sizeof(*p)) : NULL;

	if (p == NULL) {
		if (other >= 0)
			close(other);
		if (fd >= 0)
			reset_fd(fd);
		return;
	}
	p->route = route;
	p->flows[0].from = p->flows[1].to = fd;
	p->flows[0].to = p->flows[1].from = other;
	p->flows[0].dialled = true;
	LIST_INSERT_HEAD(&r->pairs, p, link);
	r->n_pairs++;
}

static bool again(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* False: the connection is broken. */
static bool read_some(struct flow *f)
{
	ssize_t n = recv(f->from, f->bytes + f->len, sizeof(f->bytes) - f->len, 0);

	if (n > 0)
		f->len += (size_t)n;
	else if (n == 0)
		f->ended = true;
	return n >= 0 || again();
}

static bool write_some(struct flow *f, enum relay_mode mode)
{
	if (mode == RELAY_MUTE && !f->dialled)
		return true;
	ssize_t n = f->len > 0 ? send(f->to, f->bytes, f->len, MSG_NOSIGNAL) : 0;

	if (n > 0) {
		memmove(f->bytes, f->bytes + n, f->len - (size_t)n);
		f->len -= (size_t)n;
	}
	if (n < 0 && !again())
		return false;
	if (f->ended && f->len == 0 && !f->told) {
		f->told = true;
		shutdown(f->to, SHUT_WR);
	}
	return true;
}

/* `ready`: what poll() said of the two sides. */
static void serve_pair(struct relay *r, struct pair *p, const struct pollfd ready[2])
{
	bool whole = true;

	for (int i = 0; i < 2 && whole; i++) {
		struct flow *f = &p->flows[i];
		if ((ready[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !f->ended && f->len < sizeof(f->bytes))
			whole = read_some(f);
		if (whole)
			whole = write_some(f, p->route->mode);
	}
	if (!whole)
		drop_pair(r, p, true);
	else if (p->flows[0].told && p->flows[1].told)
		drop_pair(r, p, false);
}

/* -- the thread */

static void cut_pairs(struct relay *r)
{
	struct pair *p, *next;

	for (p = LIST_FIRST(&r->pairs); p != NULL; p = next) {
		next = LIST_NEXT(p, link);
		if (p->route->mode == RELAY_CUT)
			drop_pair(r, p, true);
	}
}

static short wanted(const struct flow *in, const struct flow *out, enum relay_mode mode)
{
	bool more = !in->ended && in->len < sizeof(in->bytes), held = mode == RELAY_MUTE && !out->dialled;
	return (short)((more ? POLLIN : 0) | (out->len > 0 && !held ? POLLOUT : 0));
}

/* The wake descriptor, the routes, then two for each pair, in the order of the lists; -1: not looked at. */
static size_t fill(const struct relay *r, struct pollfd *fds)
{
	const struct route *route;
	const struct pair *p;
	size_t n = 0;

	fds[n++] = (struct pollfd){ .fd = r->wake, .events = POLLIN };
	LIST_FOREACH(route, &r->routes, link)
		fds[n++] = (struct pollfd){ .fd = route->mode == RELAY_HOLD ? -1 : route->fd, .events = POLLIN };
	LIST_FOREACH(p, &r->pairs, link)
		for (int i = 0; i < 2; i++) {
			short events = wanted(&p->flows[i], &p->flows[!i], p->route->mode);
			bool idle = p->route->mode == RELAY_HOLD || events == 0;
			fds[n++] = (struct pollfd){ .fd = idle ? -1 : p->flows[i].from, .events = events };
		}
	return n;
}

/* It says no more than that there is something to see. */
static void drain_wake(struct relay *r)
{
	uint64_t count;
	ssize_t n = read(r->wake, &count, sizeof(count));
	(void)n;
}

static void serve(struct relay *r, const struct pollfd *fds)
{
	const struct pollfd *fd = fds + 1;
	struct route *route;
	struct pair *p, *next;
	size_t old = r->n_pairs;
	struct pair *first = LIST_FIRST(&r->pairs); /* new ones come before it, and have not been polled */
	LIST_FOREACH(route, &r->routes, link)
		if ((fd++)->revents != 0)
			accept_one(r, route);
	for (p = first; p != NULL && old > 0; p = next, old--) {
		next = LIST_NEXT(p, link);
		if (p->route->mode == RELAY_PASS || p->route->mode == RELAY_MUTE)
			serve_pair(r, p, fd);
		fd += 2;
	}
}

static void *run(void *arg)
{
	struct relay *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!r->stop) {
		cut_pairs(r);
		uint64_t seen = r->asked;
		r->done = seen;
		pthread_cond_broadcast(&r->seen);
		struct pollfd *fds = xalloc((1 + r->n_routes + 2 * r->n_pairs) * sizeof(*fds));
		size_t n = fill(r, fds);
		pthread_mutex_unlock(&r->lock);
		int ready = poll(fds, n, -1);
		pthread_mutex_lock(&r->lock);
		if (ready > 0 && r->asked == seen) /* else the routes are others now: look again */
			serve(r, fds);
		else
			drain_wake(r);
		free(fds);
	}
	while (LIST_FIRST(&r->pairs) != NULL)
		drop_pair(r, LIST_FIRST(&r->pairs), true);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* -- the rest of the face */

/* With the lock; until the thread works with what is so now. */
static void await_thread(struct relay *r)
{
	const uint64_t one = 1;
	uint64_t mine = ++r->asked;

	if (write(r->wake, &one, sizeof(one)) < 0)
		abort(); /* an eventfd that takes no 1 is not one */
	while (r->done < mine)
		pthread_cond_wait(&r->seen, &r->lock);
}

struct relay *relay_new(struct error *e)
{
	struct relay *r = xalloc(sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->seen, NULL);
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake < 0 || pthread_create(&r->thread, NULL, run, r) != 0) {
		error_errno(e, "cannot start the relay");
		if (r->wake >= 0)
			close(r->wake);
		free(r);
		return NULL;
	}
	return r;
}

void relay_free(struct relay *r)
{
	const uint64_t one = 1;
	struct route *route;

	if (r == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	if (write(r->wake, &one, sizeof(one)) < 0)
		abort();
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	while ((route = LIST_FIRST(&r->routes)) != NULL) {
		LIST_REMOVE(route, link);
		close(route->fd);
		free(route);
	}
	close(r->wake);
	pthread_cond_destroy(&r->seen);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static int listen_anywhere(uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, BACKLOG) != 0 ||
	                getsockname(fd, (struct sockaddr *)&sa, &len) != 0)) {
		close(fd);
		return -1;
	}
	*port = ntohs(sa.sin_port);
	return fd;
}

enum shoal_err relay_add(struct relay *r, uint16_t to_port, uint16_t *port, struct error *e)
{
	int fd = listen_anywhere(port);

	if (fd < 0)
		return error_errno(e, "cannot listen on loopback");
	struct route *route = xalloc(sizeof(*route));
	*route = (struct route){ .fd = fd, .port = *port, .to_port = to_port };
	pthread_mutex_lock(&r->lock);
	LIST_INSERT_HEAD(&r->routes, route, link);
	r->n_routes++;
	await_thread(r);
	pthread_mutex_unlock(&r->lock);
	return SHOAL_OK;
}

enum shoal_err relay_set(struct relay *r, uint16_t port, enum relay_mode mode, struct error *e)
{
	struct route *route;
	enum shoal_err rc = SHOAL_ENOTFOUND;

	pthread_mutex_lock(&r->lock);
	LIST_FOREACH(route, &r->routes, link)
		if (route->port == port) {
			route->mode = mode;
			rc = SHOAL_OK;
		}
	if (rc == SHOAL_OK)
		await_thread(r);
	pthread_mutex_unlock(&r->lock);
	return rc == SHOAL_OK ? rc : error_set(e, rc, "no route has port %u", port);
}
