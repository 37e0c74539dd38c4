/* core/net/conn.c
 *
 * A callback is always the last thing a function does, because the connection may be gone after it. What is found out
 * in conn_send() or conn_close() is told in the next turn of the loop. */
#include "core/net/conn.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/net/sockaddr.h"
#include "core/net/stream.h"

enum {
	WRITE_AT_ONCE = 64 * 1024, /* less than that waits for the end of the turn, so that small sends share a record */
	READS_PER_TURN = 32,       /* who sends tiny records does not get the loop to itself */
};

enum conn_state {
	CONN_SHAKING,
	CONN_OPEN,
	CONN_FLUSHING, /* conn_close(): what is queued goes out, what comes in is dropped */
	CONN_LEAVING,  /* goodbye is said: waiting for the other side to end it too */
	CONN_CLOSED,   /* closed() has been called */
};

struct conn {
	struct loop *loop;
	struct stream *stream;
	struct loop_watch *watch;
	struct loop_timer *deadline; /* of the handshake, later of the farewell */
	struct loop_timer *turn;     /* 0 ms: flush, tell a failure, read on what TLS holds back */
	const struct conn_handler *handler;
	void *arg;
	enum conn_state state;
	bool accepted;
	bool read_ended; /* FLUSHING: the other side has said goodbye already */
	bool failed;     /* closed() is due, with these: */
	enum shoal_err result;
	char *message;   /* NULL: the default sentence */
	struct buf out;  /* bytes from out.data + sent on are still to be sent */
	size_t sent;
};

size_t conn_queued(const struct conn *c)
{
	return c->out.len - c->sent;
}

/* -- the end */

static void drop_queue(struct conn *c)
{
	buf_free(&c->out);
	c->sent = 0;
}

static void tell_closed(struct conn *c, enum shoal_err result, const char *message)
{
	c->state = CONN_CLOSED;
	loop_watch_set(c->watch, false, false);
	loop_timer_cancel(c->deadline);
	loop_timer_cancel(c->turn);
	drop_queue(c);
	c->handler->closed(c->arg, result, message);
}

static void fail_later(struct conn *c, enum shoal_err result, const char *message)
{
	if (c->failed)
		return;
	c->failed = true;
	c->result = result;
	c->message = try_strdup(message);
	loop_watch_set(c->watch, false, false);
	loop_timer_set_ms(c->turn, 0);
}

/* Closing a socket with unread bytes in it sends a reset, which may overtake our alert. */
static void swallow_rest(struct conn *c)
{
	int fd = stream_fd(c->stream);

	stream_close(c->stream);
	for (int i = 0; i < 4 && recv(fd, loop_scratch(c->loop), LOOP_SCRATCH_SIZE, MSG_DONTWAIT) > 0; i++)
		;
}

/* -- what to wait for */

static bool paused(const struct conn *c)
{
	return c->accepted && conn_queued(c) > CONN_QUEUE_PAUSE;
}

static bool wants_to_read(const struct conn *c)
{
	return !c->read_ended && (c->state != CONN_OPEN || !paused(c));
}

static bool wants_to_write(const struct conn *c)
{
	return c->state == CONN_FLUSHING || (c->state == CONN_OPEN && conn_queued(c) > 0);
}

static void update_watch(struct conn *c)
{
	unsigned wants;

	if (c->failed || c->state == CONN_CLOSED)
		return;
	wants = stream_wants(c->stream, wants_to_read(c), wants_to_write(c));
	if (!loop_watch_set(c->watch, (wants & STREAM_READABLE) != 0, (wants & STREAM_WRITABLE) != 0))
		fail_later(c, SHOAL_EBUSY, "the system has no room to watch the connection");
	else if (c->state != CONN_SHAKING && wants_to_read(c) && stream_pending(c->stream) > 0)
		loop_timer_set_ms(c->turn, 0);
}

/* -- writing */

/* Sends what the socket takes. */
static void flush(struct conn *c)
{
	struct error e;

	while (conn_queued(c) > 0) {
		size_t put;
		enum stream_status status =
			stream_write(c->stream, c->out.data + c->sent, conn_queued(c), &put, &e);
		if (status == STREAM_AGAIN)
			break;
		if (status != STREAM_OK) {
			fail_later(c, e.code, e.message);
			return;
		}
		c->sent += put;
	}
	if (conn_queued(c) == 0) {
		drop_queue(c);
	} else if (c->sent >= c->out.len / 2) {
		buf_consume(&c->out, c->sent);
		c->sent = 0;
	}
}

enum shoal_err conn_send(struct conn *c, const void *data, size_t len)
{
	bool was_empty = conn_queued(c) == 0;

	if (c->failed || c->state > CONN_OPEN)
		return SHOAL_EIO;
	if (conn_queued(c) > CONN_QUEUE_MAX)
		return SHOAL_EBUSY;
	if (len == 0)
		return SHOAL_OK;
	buf_put(&c->out, data, len);
	if (c->out.failed)
		return SHOAL_EBUSY;
	if (c->state == CONN_OPEN && conn_queued(c) >= WRITE_AT_ONCE) {
		flush(c);
		update_watch(c);
	} else if (c->state == CONN_OPEN && was_empty) {
		loop_timer_set_ms(c->turn, 0);
	}
	return SHOAL_OK;
}

/* -- reading */

/* Reads up to one scratch buffer; END and FAILED come after what was read before them. */
static size_t read_some(struct conn *c, enum stream_status *status, struct error *e)
{
	uint8_t *scratch = loop_scratch(c->loop);
	size_t len = 0;

	*status = STREAM_OK;
	for (int i = 0; i < READS_PER_TURN && len < LOOP_SCRATCH_SIZE && *status == STREAM_OK; i++) {
		size_t got;
		*status = stream_read(c->stream, scratch + len, LOOP_SCRATCH_SIZE - len, &got, e);
		len += got;
	}
	return len;
}

static void read_turn(struct conn *c)
{
	enum stream_status status;
	struct error e;
	size_t len = read_some(c, &status, &e);

	if (status == STREAM_END)
		fail_later(c, SHOAL_OK, "closed by the other side");
	else if (status == STREAM_FAILED)
		fail_later(c, e.code, e.message);
	update_watch(c);
	if (len > 0)
		c->handler->bytes(c->arg, loop_scratch(c->loop), len);
}

/* -- the states */

static void shake_turn(struct conn *c)
{
	struct error e;
	enum stream_status status = stream_handshake(c->stream, &e);

	if (status == STREAM_FAILED) {
		swallow_rest(c);
		tell_closed(c, e.code, e.message);
		return;
	}
	if (status == STREAM_AGAIN) {
		update_watch(c);
		return;
	}
	c->state = CONN_OPEN;
	loop_timer_cancel(c->deadline);
	if (conn_queued(c) > 0)
		loop_timer_set_ms(c->turn, 0);
	update_watch(c);
	if (!c->failed)
		c->handler->opened(c->arg);
}

/* `ready`: which readiness there is. */
static void open_turn(struct conn *c, unsigned ready)
{
	if (conn_queued(c) > 0 && (stream_wants(c->stream, false, true) & ready) != 0)
		flush(c);
	if (!c->failed && wants_to_read(c) && (stream_wants(c->stream, true, false) & ready) != 0)
		read_turn(c);
	else
		update_watch(c);
}

/* FLUSHING and LEAVING: out with the rest, then goodbye, then wait for theirs. */
static void farewell_turn(struct conn *c)
{
	enum stream_status status = STREAM_AGAIN;
	struct error e;

	if (c->state == CONN_FLUSHING && !c->failed) {
		flush(c);
		if (!c->failed && conn_queued(c) == 0 && stream_close(c->stream) == STREAM_OK)
			c->state = CONN_LEAVING;
	}
	if (!c->read_ended && !c->failed)
		read_some(c, &status, &e);
	if (status == STREAM_END)
		c->read_ended = true;
	if (c->failed || status == STREAM_FAILED || (c->read_ended && c->state == CONN_LEAVING))
		tell_closed(c, SHOAL_OK, "closed");
	else
		update_watch(c);
}

static void advance(struct conn *c, unsigned ready)
{
	if (c->failed && c->state < CONN_FLUSHING) {
		tell_closed(c, c->result, c->message != NULL ? c->message : error_default(c->result));
		return;
	}
	switch (c->state) {
	case CONN_SHAKING:
		shake_turn(c);
		break;
	case CONN_OPEN:
		open_turn(c, ready);
		break;
	case CONN_FLUSHING:
	case CONN_LEAVING:
		farewell_turn(c);
		break;
	case CONN_CLOSED:
		break;
	}
}

static void fd_ready(void *arg, unsigned ready)
{
	advance(arg, ready == LOOP_READ ? STREAM_READABLE : STREAM_WRITABLE);
}

static void turn_came(void *arg)
{
	advance(arg, STREAM_READABLE | STREAM_WRITABLE);
}

static void deadline_came(void *arg)
{
	struct conn *c = arg;

	if (c->state == CONN_SHAKING) {
		swallow_rest(c);
		tell_closed(c, SHOAL_ETIMEOUT, "the TLS handshake took too long");
	} else {
		tell_closed(c, SHOAL_OK, "closed");
	}
}

/* -- life */

struct conn *conn_new(struct loop *loop, int fd, const struct tls_ctx *ctx, uint64_t handshake_ms,
                      const struct conn_handler *handler, void *arg)
{
	struct conn *c = try_alloc(sizeof(*c));

	if (c == NULL)
		return NULL;
	c->loop = loop;
	c->handler = handler;
	c->arg = arg;
	c->accepted = tls_ctx_is_server(ctx);
	c->watch = loop_watch_new(loop, fd, fd_ready, c);
	c->deadline = loop_timer_new(loop, deadline_came, c);
	c->turn = loop_timer_new(loop, turn_came, c);
	if (c->watch == NULL || c->deadline == NULL || c->turn == NULL)
		goto fail;
	c->stream = stream_new_tls(fd, ctx);
	if (c->stream == NULL)
		goto fail;
	sockaddr_tune(fd);
	loop_timer_set_ms(c->deadline, handshake_ms != 0 ? handshake_ms : CONN_HANDSHAKE_MS);
	update_watch(c);
	return c;
fail:
	loop_watch_free(c->watch);
	loop_timer_free(c->deadline);
	loop_timer_free(c->turn);
	free(c);
	return NULL;
}

void conn_close(struct conn *c)
{
	if (c->state > CONN_OPEN)
		return;
	if (c->state == CONN_SHAKING)
		fail_later(c, SHOAL_OK, "closed");
	c->state = CONN_FLUSHING;
	loop_timer_set_ms(c->deadline, CONN_FLUSH_MS);
	loop_timer_set_ms(c->turn, 0);
}

/* What the socket takes at once of the rest, and a polite word behind it, so that the other side does not take this for a
 * broken connection. */
static void say_goodbye(struct conn *c)
{
	if ((c->state != CONN_OPEN && c->state != CONN_FLUSHING) || c->failed)
		return;
	flush(c);
	if (!c->failed && conn_queued(c) == 0)
		swallow_rest(c);
}

void conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	say_goodbye(c);
	loop_watch_free(c->watch);
	loop_timer_free(c->deadline);
	loop_timer_free(c->turn);
	stream_free(c->stream);
	drop_queue(c);
	free(c->message);
	free(c);
}

bool conn_identity(const struct conn *c, struct id32 *out)
{
	return stream_peer_identity(c->stream, out);
}

const char *conn_alpn(const struct conn *c)
{
	return stream_alpn(c->stream);
}

bool conn_address(const struct conn *c, struct address *out)
{
	return sockaddr_peer_of(stream_fd(c->stream), out);
}
