/* tests/bench/tracker_echo.c - what libevent and TLS can do: every frame that comes is answered with a frame of a given
 * size, from one thread, with nothing in between. usage: tracker_echo REPLY_BYTES; says where it listens, and ends with
 * its standard input. The tracker's read commands are measured against it, with the same load and the same bytes; the
 * TLS settings are the tracker's. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/ssl.h>

#include "core/base/env.h"
#include "core/base/mem.h"
#include "core/net/tls.h"
#include "core/wire/frame.h"
#include "core/wire/cursor.h"
#include "tests/bench/load/fleet.h"

enum { IN_MAX = 64 * 1024, OUT_MAX = 512 * 1024 };

struct server {
	struct event_base *base;
	struct tls_ctx *ctx;
	int fd;
	struct event *accept_ev, *stdin_ev;
	struct buf reply;
};

struct link {
	struct server *server;
	SSL *ssl;
	struct event *read_ev, *write_ev;
	struct buf in, out;
	size_t sent;
};

static void drop(struct link *l)
{
	int fd = SSL_get_fd(l->ssl);
	event_free(l->read_ev);
	event_free(l->write_ev);
	SSL_free(l->ssl);
	close(fd);
	buf_free(&l->in);
	buf_free(&l->out);
	free(l);
}

/* False: the link is gone. */
static bool flush(struct link *l)
{
	while (l->sent < l->out.len) {
		size_t put = 0;
		if (SSL_write_ex(l->ssl, l->out.data + l->sent, l->out.len - l->sent, &put) != 1) {
			if (SSL_get_error(l->ssl, 0) != SSL_ERROR_WANT_WRITE) {
				drop(l);
				return false;
			}
			event_add(l->write_ev, NULL);
			return true;
		}
		l->sent += put;
	}
	l->sent = 0;
	buf_reset(&l->out);
	return true;
}

/* One reply for each whole frame. */
static void answer(struct link *l)
{
	size_t at = 0;

	while (l->in.len - at >= 4) {
		struct cursor c = cursor_of(l->in.data + at, 4);
		size_t total = 4 + (size_t)get_u32(&c);
		if (l->in.len - at < total)
			break;
		at += total;
		buf_put(&l->out, l->server->reply.data, l->server->reply.len);
	}
	buf_consume(&l->in, at);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	int ret = 1;
	(void)fd, (void)what;

	while (ret == 1 && l->out.len < OUT_MAX) {
		size_t got = 0;
		if (!buf_reserve(&l->in, IN_MAX))
			die("no memory");
		ret = SSL_read_ex(l->ssl, l->in.data + l->in.len, IN_MAX, &got);
		l->in.len += got;
		answer(l);
	}
	if (ret != 1 && SSL_get_error(l->ssl, ret) != SSL_ERROR_WANT_READ)
		drop(l);
	else
		flush(l);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	flush(arg);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	struct link *l = xalloc(sizeof(*l));
	int one = 1, peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	(void)what;

	if (peer < 0)
		die("accept");
	setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	l->server = s;
	l->ssl = SSL_new(tls_ctx_ssl(s->ctx));
	if (l->ssl == NULL || SSL_set_fd(l->ssl, peer) != 1)
		die("no memory");
	SSL_set_accept_state(l->ssl);
	l->read_ev = event_new(s->base, peer, EV_READ | EV_PERSIST, on_readable, l);
	l->write_ev = event_new(s->base, peer, EV_WRITE, on_writable, l);
	event_add(l->read_ev, NULL);
}

static void on_stdin(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	char c;
	(void)what;
	if (read(fd, &c, 1) <= 0)
		event_base_loopbreak(s->base);
}

static void make_reply(struct server *s, size_t bytes)
{
	struct rply_head head = { .serial = 1 };
	size_t start = frame_begin(&s->reply, TAG_RPLY);

	rply_head_put(&s->reply, &head);
	while (s->reply.len < bytes)
		buf_put_u8(&s->reply, (uint8_t)(s->reply.len * 7));
	if (frame_end(&s->reply, start) != SHOAL_OK)
		die("a reply of %zu bytes", bytes);
}

static void listen_somewhere(struct server *s)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (void *)&sa, sizeof(sa)) != 0 || listen(s->fd, 128) != 0 ||
	    getsockname(s->fd, (void *)&sa, &len) != 0)
		die("cannot listen");
	printf("echo listens on 127.0.0.1:%u\n", ntohs(sa.sin_port));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const char *const alpns[] = { ALPN_CLIENT };
	uint8_t seed[SEED_SIZE] = { 1 };
	struct server s = { 0 };
	struct error e;

	if (argc != 2)
		die("usage: tracker_echo REPLY_BYTES");
	signal(SIGPIPE, SIG_IGN);
	make_reply(&s, strtoul(argv[1], NULL, 10));
	struct tls_identity *identity = tls_identity_new(seed, &e);
	s.base = event_base_new();
	s.ctx = identity != NULL ? tls_ctx_server(identity, alpns, 1, &e) : NULL;
	if (s.base == NULL || s.ctx == NULL)
		die("%s", e.message);
	listen_somewhere(&s);
	s.accept_ev = event_new(s.base, s.fd, EV_READ | EV_PERSIST, on_accept, &s);
	s.stdin_ev = event_new(s.base, STDIN_FILENO, EV_READ | EV_PERSIST, on_stdin, &s);
	event_add(s.accept_ev, NULL);
	event_add(s.stdin_ev, NULL);
	event_base_dispatch(s.base);
	return 0;
}
