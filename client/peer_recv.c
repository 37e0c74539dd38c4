/* client/peer_recv.c - from a stream to messages and pieces. */
#include <stdlib.h>
#include <string.h>

#include "client/peer_conn.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/planted.h"

/* -- PIECE */

static void tell_bytes(struct peer_conn *c)
{
	struct peer_event *ev = c->untold == 0 || c->into == NULL ? NULL : conn_event(c, PEER_PIECE_BYTES);

	if (ev != NULL) {
		ev->ch = c->into->ch;
		ev->piece = c->into->piece;
		ev->n = c->untold;
		conn_post(c, ev);
	}
	c->untold = 0;
	c->told_ms = c->last_in_ms;
}

static void tell_piece(struct peer_conn *c, enum peer_event_type type, const struct peer_piece *m)
{
	struct peer_event *ev = conn_event(c, type);

	if (ev == NULL)
		return;
	ev->ch = m->ch;
	ev->piece = m->piece;
	ev->waiting = m->waiting;
	conn_post(c, ev);
}

/* Data that nobody here asked for: the engine decides what it means; we only do not want too much of it. */
static void begin_stray(struct peer_conn *c, const struct peer_piece *m)
{
	if (c->data_left == 0)
		return; /* the end of something that was given up long ago */
	c->unasked += c->data_left;
	if (c->unasked > UNASKED_MAX)
		conn_fail(c, SHOAL_EPROTO, "it sends what nobody asked for");
	else if (m->offset == 0)
		tell_piece(c, PEER_UNASKED, m);
}

static void begin_data(struct peer_conn *c, const struct peer_piece *m, uint32_t len)
{
	struct piece_ask *ask = conn_find_ask(c, m->ch, m->piece);

	c->data_left = len;
	c->into = NULL;
	c->untold = 0;
	if (conn_cancelled_data(c, m->ch, m->piece, len))
		return;
	c->into = ask;
	if (ask == NULL) {
		begin_stray(c, m);
	} else if (len == 0) {
		conn_drop_ask(c, ask);
	} else if (m->offset != ask->got || len > ask->length - ask->got) {
		conn_fail(c, SHOAL_EPROTO, "piece %u: bytes %u to %u where %u of %u were there", m->piece, m->offset,
		          m->offset + len, ask->got, ask->length);
	} else if (!ask->begun) {
		ask->begun = true;
		tell_piece(c, PEER_PIECE_BEGIN, m);
	}
}

/* n bytes have come into the buffer. */
static void took_data(struct peer_conn *c, size_t n)
{
	struct piece_ask *ask = c->into;

	c->data_left -= (uint32_t)n;
	if (ask == NULL)
		return;
	ask->got += (uint32_t)n;
	c->untold += (uint32_t)n;
	if (ask->got == ask->length || PLANTED(piece_short)) {
		tell_bytes(c);
		if (c->phase == CONN_DOWN)
			return;
		TAILQ_REMOVE(&c->asks, ask, entry);
		c->into = NULL;
		verify_put(c->thread, ask);
	} else if (c->data_left == 0 || c->last_in_ms >= c->told_ms + TELL_MS) {
		tell_bytes(c);
	}
}

/* How much of `want` the limits allow now; 0: reading is paused. */
static size_t allowed(struct peer_conn *c, struct piece_ask *ask, size_t want)
{
	uint64_t wait_us = 1000, now = clock_mono_us();
	size_t n = peer_rate_take(ask->sink->limit, want, now, &wait_us);

	if (n > 0) {
		size_t m = peer_rate_take(c->thread->io->config.down, n, now, &wait_us);
		peer_rate_give_back(ask->sink->limit, n - m);
		n = m;
	}
	if (n == 0) {
		c->read_paused = true;
		conn_sleep(c, wait_us);
	}
	return n;
}

/* A place for the next bytes of data: *room of them. NULL: paused. */
static uint8_t *data_place(struct peer_conn *c, size_t *room)
{
	struct piece_ask *ask = c->into;

	if (ask == NULL) {
		*room = c->data_left < LOOP_SCRATCH_SIZE ? c->data_left : LOOP_SCRATCH_SIZE;
		return loop_scratch(c->thread->loop);
	}
	if (ask->buf == NULL)
		ask->buf = piece_pool_take(ask->io->pool);
	if (ask->buf == NULL) {
		c->read_paused = true;
		conn_sleep(c, RETRY_MS * UINT64_C(1000));
		return NULL;
	}
	*room = allowed(c, ask, c->data_left);
	return *room == 0 ? NULL : ask->buf + ask->got;
}

static void give_back(struct peer_conn *c, size_t n)
{
	if (c->into == NULL)
		return;
	peer_rate_give_back(c->into->sink->limit, n);
	peer_rate_give_back(c->thread->io->config.down, n);
}

/* -- control messages */

/* A REJECT for something that is not wanted any more is no news. */
static bool rejects_cancelled(struct peer_conn *c, struct slice body)
{
	struct cursor cur = cursor_of(body.data, body.len);
	struct peer_reject m;

	peer_reject_get(&cur, &m);
	return conn_cancelled_reject(c, m.ch, m.piece);
}

static void tell_frame(struct peer_conn *c, enum peer_type type, struct slice body)
{
	if (type == PEER_KEEPALIVE || (type == PEER_REJECT && rejects_cancelled(c, body)))
		return;
	struct peer_event *ev = conn_event(c, PEER_FRAME);
	if (ev == NULL)
		return;
	ev->frame = type;
	buf_put(&ev->body, body.data, body.len);
	if (ev->body.failed) {
		peer_event_free(ev);
		conn_fail(c, SHOAL_EBUSY, "out of memory");
		return;
	}
	conn_post(c, ev);
}

static void go_up(struct peer_conn *c)
{
	struct peer_event *ev;

	if (id32_eq(&c->identity, &c->thread->io->config.identity->id)) {
		conn_fail(c, SHOAL_EDENIED, "this is ourselves");
		return;
	}
	ev = conn_event(c, PEER_UP);
	if (ev == NULL)
		return;
	c->phase = CONN_OPEN;
	ev->identity = c->identity;
	ev->plain = c->plain;
	conn_post(c, ev);
}

static void on_hello(struct peer_conn *c, struct slice body)
{
	struct cursor cur = cursor_of(body.data, body.len);
	const struct tls_identity *me = c->thread->io->config.identity;
	struct peer_hello hello;

	peer_hello_get(&cur, &hello);
	if (hello.version != PROTOCOL_VERSION) {
		conn_fail(c, SHOAL_EPROTO, "it speaks version %u", hello.version);
		return;
	}
	*(c->how.dialler ? &c->about.acceptor_nonce : &c->about.dialler_nonce) = hello.nonce;
	if (!c->plain) {
		go_up(c);
		return;
	}
	c->phase = CONN_AUTH;
	if (!c->how.dialler)
		return;
	c->about.dialler = me->id;
	c->about.acceptor = c->how.identity;
	if (!auth_sign(&c->out, me, &c->about, true))
		conn_fail(c, SHOAL_EINTERNAL, "cannot sign");
}

static void on_auth(struct peer_conn *c, struct slice body)
{
	struct cursor cur = cursor_of(body.data, body.len);
	const struct tls_identity *me = c->thread->io->config.identity;
	struct peer_auth auth;

	peer_auth_get(&cur, &auth);
	if (!auth_identity(&auth, &c->identity)) {
		conn_fail(c, SHOAL_EPROTO, "its key is none");
		return;
	}
	if (c->how.dialler && !id32_eq(&c->identity, &c->how.identity)) {
		conn_fail(c, SHOAL_EDENIED, "another device than the tracker named answers there");
		return;
	}
	if (!c->how.dialler) {
		c->about.dialler = c->identity;
		c->about.acceptor = me->id;
	}
	if (!auth_check(&auth, &c->about, !c->how.dialler))
		conn_fail(c, SHOAL_EDENIED, "its signature is wrong");
	else if (!c->how.dialler && !auth_sign(&c->out, me, &c->about, false))
		conn_fail(c, SHOAL_EINTERNAL, "cannot sign");
	else
		go_up(c);
}

static void on_frame(struct peer_conn *c, enum peer_type type, struct slice body)
{
	if (peer_check(type, body) != SHOAL_OK)
		conn_fail(c, SHOAL_EPROTO, "a %s message that cannot be read", peer_word(type));
	else if (c->phase == CONN_HELLO && type == PEER_HELLO)
		on_hello(c, body);
	else if (c->phase == CONN_AUTH && type == PEER_AUTH)
		on_auth(c, body);
	else if (c->phase == CONN_OPEN && type != PEER_HELLO && type != PEER_AUTH)
		tell_frame(c, type, body);
	else
		conn_fail(c, SHOAL_EPROTO, "a %s message out of place", peer_word(type));
}

/* -- the stream */

/* Copies what rx holds of a piece's data into its place. False: paused. */
static bool drain_rx_data(struct peer_conn *c)
{
	size_t room, have = c->rx_len - c->rx_at;
	uint8_t *to = data_place(c, &room);

	if (to == NULL)
		return false;
	size_t n = have < room ? have : room;
	memcpy(to, c->rx + c->rx_at, n);
	give_back(c, room - n);
	c->rx_at += n;
	took_data(c, n);
	return true;
}

static void finish_big(struct peer_conn *c)
{
	struct buf whole = c->big;

	c->big = (struct buf){ 0 };
	on_frame(c, c->big_type, slice_of(whole.data, whole.len));
	buf_free(&whole);
}

static void drain_rx_big(struct peer_conn *c)
{
	size_t have = c->rx_len - c->rx_at, n = have < c->big_left ? have : c->big_left;

	buf_put(&c->big, c->rx + c->rx_at, n);
	c->rx_at += n;
	c->big_left -= (uint32_t)n;
	if (c->big.failed)
		conn_fail(c, SHOAL_EBUSY, "out of memory");
	else if (c->big_left == 0)
		finish_big(c);
}

/* One step with what is in rx. False: more bytes are needed, or it is paused or down. */
static bool parse(struct peer_conn *c)
{
	size_t have = c->rx_len - c->rx_at;
	const uint8_t *at = c->rx + c->rx_at;
	enum peer_type type;
	uint32_t len;

	if (c->phase == CONN_DOWN)
		return false;
	if (c->data_left > 0)
		return have > 0 && drain_rx_data(c);
	if (c->big_left > 0) {
		if (have > 0)
			drain_rx_big(c);
		return have > 0;
	}
	if (have < PEER_HEAD_SIZE)
		return false;
	if (peer_head_check(at, &type, &len) != SHOAL_OK || (type == PEER_PIECE && c->phase != CONN_OPEN)) {
		conn_fail(c, SHOAL_EPROTO, "a message of unknown type or wrong length");
		return false;
	}
	if (type == PEER_PIECE) {
		if (have < PEER_HEAD_SIZE + PIECE_HEAD_SIZE)
			return false;
		struct cursor cur = cursor_of(at + PEER_HEAD_SIZE, PIECE_HEAD_SIZE);
		struct peer_piece m;
		peer_piece_get(&cur, &m);
		c->rx_at += PEER_HEAD_SIZE + PIECE_HEAD_SIZE;
		begin_data(c, &m, len - PIECE_HEAD_SIZE);
		return true;
	}
	if (PEER_HEAD_SIZE + len > RX_SIZE) {
		c->rx_at += PEER_HEAD_SIZE;
		c->big_type = type;
		c->big_left = len;
		return true;
	}
	if (have < PEER_HEAD_SIZE + len)
		return false;
	c->rx_at += PEER_HEAD_SIZE + len;
	on_frame(c, type, slice_of(at + PEER_HEAD_SIZE, len));
	return true;
}

/* Reads some: into the piece's buffer if rx is empty and a piece is under way, else into rx. */
static enum stream_status fill(struct peer_conn *c, size_t *got, struct error *e)
{
	*got = 0;
	if (c->data_left > 0 && c->rx_at == c->rx_len) {
		size_t room;
		uint8_t *to = data_place(c, &room);
		if (to == NULL)
			return STREAM_AGAIN;
		enum stream_status st = stream_read(c->stream, to, room, got, e);
		give_back(c, room - *got);
		if (st == STREAM_OK)
			took_data(c, *got);
		return st;
	}
	memmove(c->rx, c->rx + c->rx_at, c->rx_len - c->rx_at);
	c->rx_len -= c->rx_at;
	c->rx_at = 0;
	enum stream_status st = stream_read(c->stream, c->rx + c->rx_len, RX_SIZE - c->rx_len, got, e);
	if (st == STREAM_OK)
		c->rx_len += *got;
	return st;
}

void conn_read(struct peer_conn *c)
{
	struct error e = { 0 };
	size_t got, turn = 0;

	for (;;) {
		while (parse(c))
			;
		if (c->phase == CONN_DOWN || c->read_paused)
			return;
		if (turn >= READ_TURN) { /* TLS may hold bytes that the descriptor knows nothing of */
			if (stream_pending(c->stream) > 0)
				conn_sleep(c, 0);
			return;
		}
		enum stream_status st = fill(c, &got, &e);
		if (c->phase == CONN_DOWN || st == STREAM_AGAIN)
			return;
		if (st == STREAM_END) {
			conn_fail(c, SHOAL_EOFFLINE, "the other side has gone");
			return;
		}
		if (st != STREAM_OK) {
			conn_fail(c, e.code, "%s", e.message);
			return;
		}
		turn += got;
		c->last_in_ms = clock_mono_ms();
	}
}
