/* client/peer_conn.c - a connection's life: handshake, readiness, end. */
#include "client/peer_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

enum { TLS_HANDSHAKE_BYTE = 0x16 }; /* a plain link begins with the length of HELLO, so with a zero */

/* -- news for the engine */

struct peer_event *conn_event(struct peer_conn *c, enum peer_event_type type)
{
	struct peer_event *ev = try_alloc(sizeof(*ev));

	if (ev == NULL) {
		conn_fail(c, SHOAL_EBUSY, "out of memory");
		return NULL;
	}
	ev->type = type;
	ev->conn = c;
	ev->owner = c->owner;
	return ev;
}

void conn_post(struct peer_conn *c, struct peer_event *ev)
{
	queue_post(c->thread->io->config.events, &ev->node);
}

void conn_fail(struct peer_conn *c, enum shoal_err code, const char *fmt, ...)
{
	va_list ap;

	if (c->phase == CONN_DOWN)
		return;
	if (code == SHOAL_OK && c->stream != NULL && c->phase == CONN_OPEN)
		conn_write(c); /* what was said last may still leave; it is not waited for */
	if (c->phase == CONN_DOWN)
		return;
	c->phase = CONN_DOWN;
	c->why.code = code;
	va_start(ap, fmt);
	vsnprintf(c->why.message, sizeof(c->why.message), fmt, ap);
	va_end(ap);
	conn_take_asks(c);
	conn_take_serves(c);
	loop_watch_free(c->watch);
	c->watch = NULL;
	loop_timer_free(c->wake);
	c->wake = NULL;
	if (c->stream != NULL)
		stream_free(c->stream);
	else if (c->fd >= 0)
		close(c->fd);
	c->stream = NULL;
	c->fd = -1;
	buf_free(&c->out);
	buf_free(&c->big);
	free(c->stage);
	c->stage = NULL;
	c->down.why = &c->why;
	conn_post(c, &c->down);
}

void peer_conn_free(struct peer_conn *c)
{
	if (c->phase != CONN_NEW)
		LIST_REMOVE(c, entry);
	free(c);
}

/* -- readiness */

static void arm(struct peer_conn *c)
{
	bool to_read = !c->read_paused, to_write = !c->write_paused && conn_has_output(c);
	unsigned wants = LOOP_READ;

	if (c->stream != NULL) {
		wants = stream_wants(c->stream, to_read, to_write);
		to_read = (wants & STREAM_READABLE) != 0;
		to_write = (wants & STREAM_WRITABLE) != 0;
	}
	if (to_read == c->want_read && to_write == c->want_write)
		return;
	if (!loop_watch_set(c->watch, to_read, to_write)) {
		conn_fail(c, SHOAL_EIO, "the system does not watch the connection");
		return;
	}
	c->want_read = to_read;
	c->want_write = to_write;
}

void conn_sleep(struct peer_conn *c, uint64_t us)
{
	loop_timer_set_ms(c->wake, (us + 999) / 1000);
}

static void on_wake(void *arg)
{
	struct peer_conn *c = arg;

	c->read_paused = c->write_paused = false;
	conn_run(c);
}

static void on_ready(void *arg, unsigned ready)
{
	(void)ready; /* TLS may want either for either: everything is tried again */
	conn_run(arg);
}

/* -- the handshake */

static void put_hello(struct peer_conn *c)
{
	struct peer_hello hello = { .version = PROTOCOL_VERSION };
	struct id32 *mine = c->how.dialler ? &c->about.dialler_nonce : &c->about.acceptor_nonce;

	random_bytes(mine->b, sizeof(mine->b));
	hello.nonce = *mine;
	size_t start = peer_begin(&c->out, PEER_HELLO);
	peer_hello_put(&c->out, &hello);
	peer_end(&c->out, start, 0);
}

static void expect_hello(struct peer_conn *c)
{
	put_hello(c);
	c->phase = CONN_HELLO;
	c->deadline_ms = clock_mono_ms() + c->thread->io->config.first_ms;
}

/* TLS has told who it is; on a plain link AUTH will. */
static void on_tls_done(struct peer_conn *c)
{
	if (!stream_peer_identity(c->stream, &c->identity))
		conn_fail(c, SHOAL_EPROTO, "the other side shows no identity");
	else if (c->how.dialler && !id32_eq(&c->identity, &c->how.identity))
		conn_fail(c, SHOAL_EDENIED, "another device than the tracker named answers there");
	else
		expect_hello(c);
}

static void make_stream(struct peer_conn *c, bool plain)
{
	struct peer_io *io = c->thread->io;

	c->plain = plain;
	if (plain)
		c->stream = stream_new_plain(c->fd);
	else
		c->stream = stream_new_tls(c->fd, c->how.dialler ? io->client_tls : io->server_tls);
	if (c->stream == NULL)
		conn_fail(c, SHOAL_EBUSY, "out of memory");
	else if (plain)
		expect_hello(c);
	else
		c->phase = CONN_TLS;
	if (c->stream != NULL)
		stream_read_ahead(c->stream, READ_AHEAD);
}

/* The first byte tells whether a newcomer speaks TLS. */
static void sniff(struct peer_conn *c)
{
	uint8_t first;
	ssize_t n = recv(c->fd, &first, 1, MSG_PEEK);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0)
		conn_fail(c, SHOAL_EIO, "it went without a word");
	else if (first == TLS_HANDSHAKE_BYTE)
		make_stream(c, false);
	else if (first == 0 && c->how.plain)
		make_stream(c, true);
	else
		conn_fail(c, SHOAL_EPROTO, first == 0 ? "links in the clear are not allowed here" : "not a peer");
}

static void shake(struct peer_conn *c)
{
	struct error e = { 0 };

	switch (stream_handshake(c->stream, &e)) {
	case STREAM_OK: on_tls_done(c); break;
	case STREAM_AGAIN: break;
	default: conn_fail(c, e.code, "%s", e.message); break;
	}
}

void conn_start(struct peer_conn *c)
{
	struct io_thread *t = c->thread;
	uint64_t now = clock_mono_ms();

	LIST_INSERT_HEAD(&t->conns, c, entry);
	c->phase = CONN_SNIFF;
	c->last_in_ms = c->last_out_ms = now;
	c->deadline_ms = now + t->io->config.handshake_ms;
	c->watch = loop_watch_new(t->loop, c->fd, on_ready, c);
	c->wake = loop_timer_new(t->loop, on_wake, c);
	if (c->watch == NULL || c->wake == NULL)
		conn_fail(c, SHOAL_EBUSY, "out of memory");
	else if (c->how.dialler)
		make_stream(c, c->how.plain);
}

void conn_run(struct peer_conn *c)
{
	if (c->phase == CONN_SNIFF)
		sniff(c);
	if (c->phase == CONN_TLS)
		shake(c);
	if (c->phase >= CONN_HELLO && c->phase != CONN_DOWN)
		conn_write(c);
	if (c->phase >= CONN_HELLO && c->phase != CONN_DOWN && !c->read_paused)
		conn_read(c);
	if (c->phase >= CONN_HELLO && c->phase != CONN_DOWN && conn_has_output(c))
		conn_write(c);
	if (c->phase != CONN_DOWN)
		arm(c);
}

static void put_keepalive(struct peer_conn *c)
{
	size_t start = peer_begin(&c->out, PEER_KEEPALIVE);
	peer_end(&c->out, start, 0);
	conn_run(c);
}

void conn_tick(struct peer_conn *c, uint64_t now_ms)
{
	if (c->phase == CONN_DOWN)
		return;
	if (c->phase != CONN_OPEN) {
		if (now_ms >= c->deadline_ms)
			conn_fail(c, SHOAL_ETIMEOUT, "the handshake took too long");
		return;
	}
	if (c->read_paused)
		c->last_in_ms = now_ms; /* our own doing */
	if (conn_has_output(c) && !c->write_paused && now_ms > c->last_out_ms + STUCK_MS)
		conn_fail(c, SHOAL_ETIMEOUT, "the other side does not read");
	else if (now_ms > c->last_in_ms + SILENCE_MS)
		conn_fail(c, SHOAL_ETIMEOUT, "the other side is silent");
	else if (now_ms > c->last_out_ms + KEEPALIVE_MS && !conn_has_output(c))
		put_keepalive(c);
}
