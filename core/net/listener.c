/* core/net/listener.c */
#include "core/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/net/sockaddr.h"

enum {
	ACCEPTS_PER_TURN = 64, /* then the connections that are there get their turn */
	BACKLOG = 1024,
	REST_MS = 100,         /* how long to leave newcomers in the backlog when nothing else helps */
};

struct listener {
	struct log *log;
	int fd;
	int spare_fd; /* given up for a moment to accept and close when descriptors have run out; -1 if lost */
	bool starved; /* it has been logged */
	struct loop_watch *watch;
	struct loop_timer *rest;
	listener_fn *fn;
	void *arg;
};

/* Blocking lookup; NULL and *e set on failure. */
static struct addrinfo *look_up(const struct address *addr, struct error *e)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
		                        .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	char port[8], text[ADDRESS_MAX];

	snprintf(port, sizeof(port), "%u", addr->port);
	int rc = getaddrinfo(addr->host, port, &hints, &list);
	if (rc == 0)
		return list;
	error_set(e, rc == EAI_NONAME ? SHOAL_ENOTFOUND : SHOAL_EIO, "cannot listen on %s: %s",
	          address_format(addr, text), rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	return NULL;
}

/* -1 and errno set on failure. */
static int bind_one(const struct addrinfo *ai)
{
	const int on = 1, off = 0;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (ai->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

static int bind_address(const struct address *addr, struct error *e)
{
	struct addrinfo *list = look_up(addr, e);
	char text[ADDRESS_MAX];
	int fd = -1;

	if (list == NULL)
		return -1;
	for (const struct addrinfo *ai = list; ai != NULL && fd < 0; ai = ai->ai_next)
		fd = bind_one(ai);
	int saved_errno = errno;
	freeaddrinfo(list);
	if (fd >= 0)
		return fd;
	errno = saved_errno;
	address_format(addr, text);
	if (errno == EADDRINUSE)
		error_set(e, SHOAL_EBUSY, "cannot listen on %s: address in use (is another one running there?)", text);
	else if (errno == EADDRNOTAVAIL)
		error_set(e, SHOAL_EUSAGE, "cannot listen on %s: this machine does not have that address", text);
	else
		error_errno(e, "cannot listen on %s", text);
	return -1;
}

/* Nothing can be accepted, not even to be closed: a level-triggered listener would spin. */
static void rest(struct listener *l)
{
	loop_watch_set(l->watch, false, false);
	loop_timer_set_ms(l->rest, REST_MS);
}

static void rest_over(void *arg)
{
	struct listener *l = arg;

	if (l->spare_fd < 0)
		l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!loop_watch_set(l->watch, true, false))
		loop_timer_set_ms(l->rest, REST_MS);
}

/* Out of descriptors: the newcomer is told at once instead of hanging in the backlog. False: nothing can be done, since
 * another thread took the descriptor that was given up. */
static bool turn_away(struct listener *l)
{
	if (!l->starved)
		log_line(l->log, LOG_WARN, "net", "out of descriptors: newcomers are turned away");
	l->starved = true;
	if (l->spare_fd < 0)
		return false;
	close(l->spare_fd);
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return l->spare_fd >= 0;
}

/* One newcomer; false when there is none left, or it makes no sense to go on in this turn. */
static bool accept_one(struct listener *l)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	const int on = 1;
	int fd = accept4(l->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		l->starved = false;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		l->fn(l->arg, fd, (struct sockaddr *)&ss);
		return true;
	}
	switch (errno) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
		if (turn_away(l))
			return true;
		rest(l);
		return false;
	case ENOBUFS:
	case ENOMEM:
		rest(l);
		return false;
	default: /* ECONNABORTED and the network's own errors belong to that one newcomer */
		return true;
	}
}

static void readable(void *arg, unsigned ready)
{
	struct listener *l = arg;
	(void)ready;

	for (int i = 0; i < ACCEPTS_PER_TURN && accept_one(l); i++)
		;
}

struct listener *listener_new(struct loop *loop, const struct address *addr, listener_fn *fn, void *arg,
                              struct log *log, struct error *e)
{
	struct listener *l = xalloc(sizeof(*l));

	*l = (struct listener){ .log = log, .fd = -1, .spare_fd = -1, .fn = fn, .arg = arg };
	l->fd = bind_address(addr, e);
	if (l->fd < 0)
		goto fail;
	l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	l->watch = loop_watch_new(loop, l->fd, readable, l);
	l->rest = loop_timer_new(loop, rest_over, l);
	if (l->spare_fd < 0 || l->watch == NULL || l->rest == NULL || !loop_watch_set(l->watch, true, false)) {
		char text[ADDRESS_MAX];
		error_errno(e, "cannot listen on %s", address_format(addr, text));
		goto fail;
	}
	return l;
fail:
	listener_free(l);
	return NULL;
}

void listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	loop_watch_free(l->watch);
	loop_timer_free(l->rest);
	if (l->fd >= 0)
		close(l->fd);
	if (l->spare_fd >= 0)
		close(l->spare_fd);
	free(l);
}

void listener_address(const struct listener *l, struct address *out)
{
	sockaddr_local_of(l->fd, out);
}

uint16_t listener_port(const struct listener *l)
{
	struct address addr = { .port = 0 };

	listener_address(l, &addr);
	return addr.port;
}
