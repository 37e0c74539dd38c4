/* client/peer_send.c - from messages and files to a stream: control frames between the frames of a piece. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "client/peer_conn.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

enum {
	FILE_CHECK_MS = 1000, /* how often a served file is looked at */
	LOWAT_BYTES = 131072, /* unsent in the kernel while others wait: who gets the next piece is decided late */
	TELL_BYTES = 131072,
};

static bool mid_frame(const struct peer_conn *c)
{
	return c->stage_at < c->stage_len || c->frame_left > 0;
}

bool conn_has_output(const struct peer_conn *c)
{
	return c->out_at < c->out.len || mid_frame(c) || !TAILQ_EMPTY(&c->serves);
}

void conn_put(struct peer_conn *c, const struct buf *frames)
{
	if (c->phase != CONN_OPEN)
		return;
	if (c->out.len - c->out_at + frames->len > OUT_MAX) {
		conn_fail(c, SHOAL_ETIMEOUT, "the other side does not read");
		return;
	}
	buf_put(&c->out, frames->data, frames->len);
	if (c->out.failed)
		conn_fail(c, SHOAL_EBUSY, "out of memory");
}

/* -- serves */

void conn_serve_back(struct peer_conn *c, struct piece_serve *serve, bool whole)
{
	TAILQ_REMOVE(&c->serves, serve, entry);
	serve->whole = whole;
	serve->ev.type = PEER_SERVE_DONE;
	conn_post(c, &serve->ev);
}

void conn_take_serves(struct peer_conn *c)
{
	while (!TAILQ_EMPTY(&c->serves))
		conn_serve_back(c, TAILQ_FIRST(&c->serves), false);
}

void conn_serve(struct peer_conn *c, struct piece_serve *serve)
{
	TAILQ_INSERT_TAIL(&c->serves, serve, entry);
	if (c->phase != CONN_OPEN)
		conn_serve_back(c, serve, false);
}

void conn_serve_stop(struct peer_conn *c, uint32_t ch, uint32_t piece)
{
	struct piece_serve *serve;

	TAILQ_FOREACH(serve, &c->serves, entry)
		if (serve->ch == ch && serve->piece == piece) {
			serve->stop = true;
			return;
		}
}

/* While others wait for their turn nothing much may lie in the kernel; otherwise let it grow. */
static void set_lowat(struct peer_conn *c, bool on)
{
	int bytes = on ? LOWAT_BYTES : INT32_MAX;

	if (on != c->lowat && setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes)) == 0)
		c->lowat = on;
}

static bool file_unchanged(struct peer_conn *c, struct piece_serve *s)
{
	struct source_slot *slot = &s->source->slots[c->thread->index];
	uint64_t now = clock_mono_ms();

	if (s->source->shared == NULL || (slot->checked_ms != 0 && now < slot->checked_ms + FILE_CHECK_MS))
		return true;
	if (shared_file_check(s->source->shared, &s->error) != SHOAL_OK)
		return false;
	slot->checked_ms = now;
	return true;
}

/* -- frames */

static void put_head(struct peer_conn *c, uint8_t *to, const struct piece_serve *s, uint32_t len)
{
	struct buf head = { .data = c->head, .cap = sizeof(c->head) };
	struct peer_piece m = { .ch = s->ch, .piece = s->piece, .offset = s->sent, .waiting = s->waiting };
	size_t start = peer_begin(&head, PEER_PIECE);

	peer_piece_put(&head, &m); /* exactly sizeof(c->head) bytes: the buffer never grows */
	peer_end(&head, start, len);
	if (to != c->head)
		memcpy(to, c->head, sizeof(c->head));
	c->stage_at = 0;
	c->stage_len = sizeof(c->head);
}

static uint32_t frame_length(const struct peer_conn *c, const struct piece_serve *s)
{
	uint32_t left = s->length - s->sent, n = FRAME_LEAST;
	double carried = c->speed * FRAME_MS * 1000;

	if (carried > PIECE_SIZE)
		n = PIECE_SIZE;
	else if (carried > FRAME_LEAST)
		n = (uint32_t)carried / FRAME_LEAST * FRAME_LEAST;
	return n < left ? n : left;
}

/* Over TLS the data goes through a buffer of 64 KiB, which stays as it is until OpenSSL has taken it. */
static bool stage_more(struct peer_conn *c, struct piece_serve *s)
{
	size_t room = STAGE_SIZE - c->stage_len, n = c->frame_left < room ? c->frame_left : room;
	uint64_t at = s->offset + s->sent - c->frame_left;
	struct file_reader *r = &s->source->slots[c->thread->index].reader;

	if (file_reader_read(r, at, c->stage + c->stage_len, n, &s->error) != SHOAL_OK)
		return false;
	c->stage_len += n;
	c->frame_left -= (uint32_t)n;
	return true;
}

/* The short-end mark: what was asked for does not come (any further). */
static void break_off(struct peer_conn *c, struct piece_serve *s)
{
	struct peer_piece m = { .ch = s->ch, .piece = s->piece, .offset = s->sent };
	size_t start = peer_begin(&c->out, PEER_PIECE);

	peer_piece_put(&c->out, &m);
	peer_end(&c->out, start, 0);
	conn_serve_back(c, s, false);
}

static void begin_frame(struct peer_conn *c, struct piece_serve *s)
{
	if (s->stop || (!s->begun && !file_unchanged(c, s))) {
		break_off(c, s);
		return;
	}
	if (!c->plain && c->stage == NULL)
		c->stage = malloc(STAGE_SIZE);
	if (!c->plain && c->stage == NULL) {
		break_off(c, s);
		return;
	}
	if (!s->begun)
		set_lowat(c, s->waiting > 0);
	s->begun = true;
	c->frame_len = c->frame_left = frame_length(c, s);
	c->frame_us = clock_mono_us();
	put_head(c, c->plain ? c->head : c->stage, s, c->frame_len);
	s->sent += c->frame_len;
}

static void tell_served(struct peer_conn *c, struct piece_serve *s)
{
	struct peer_event *ev = conn_event(c, PEER_SERVED);

	if (ev == NULL)
		return;
	ev->ch = s->ch;
	ev->piece = s->piece;
	ev->n = s->untold;
	s->untold = 0;
	conn_post(c, ev);
}

static void end_frame(struct peer_conn *c, struct piece_serve *s)
{
	uint64_t took = clock_mono_us() - c->frame_us;
	double speed = (double)c->frame_len / (double)(took == 0 ? 1 : took);

	c->speed = c->speed == 0 ? speed : 0.7 * c->speed + 0.3 * speed;
	s->untold += c->frame_len;
	if (s->sent == s->length)
		conn_serve_back(c, s, true);
	else if (s->untold >= TELL_BYTES)
		tell_served(c, s);
}

/* -- writing */

/* What n bytes of piece data the limit lets pass; 0: paused. */
static size_t up_allowed(struct peer_conn *c, size_t n)
{
	uint64_t wait_us = 1000;
	size_t took = peer_rate_take(c->thread->io->config.up, n, clock_mono_us(), &wait_us);

	if (took == 0) {
		c->write_paused = true;
		conn_sleep(c, wait_us);
	}
	return took;
}

static enum stream_status write_stage(struct peer_conn *c, size_t *put, struct error *e)
{
	const uint8_t *from = c->plain ? c->head : c->stage;
	size_t want = c->stage_len - c->stage_at, n = want;

	*put = 0;
	if (!c->plain && peer_rate_get(c->thread->io->config.up) > 0) {
		/* OpenSSL wants a begun write repeated with at least as much: whole stages are paid for at once */
		if (c->stage_at == 0 && (n = up_allowed(c, want)) == 0)
			return STREAM_AGAIN;
		peer_rate_owe(c->thread->io->config.up, c->stage_at == 0 ? want - n : 0);
		n = want;
	}
	enum stream_status st = stream_write(c->stream, from + c->stage_at, n, put, e);
	c->stage_at += *put;
	return st;
}

/* sendfile() does not tell whether it was the file or the socket: a byte of the file is read, which leaves an error. */
static void blame_file(struct file_reader *r, uint64_t at, struct piece_serve *s)
{
	uint8_t byte;

	(void)file_reader_read(r, at, &byte, 1, &s->error);
}

static enum stream_status write_file(struct peer_conn *c, struct piece_serve *s, size_t *put, struct error *e)
{
	off_t at = (off_t)(s->offset + s->sent - c->frame_left);
	size_t n = up_allowed(c, c->frame_left);

	*put = 0;
	if (n == 0)
		return STREAM_AGAIN;
	struct file_reader *r = &s->source->slots[c->thread->index].reader;
	enum stream_status st = stream_sendfile(c->stream, r->fd, &at, n, put, e);
	peer_rate_give_back(c->thread->io->config.up, n - *put);
	c->frame_left -= (uint32_t)*put;
	if (st != STREAM_OK && st != STREAM_AGAIN)
		blame_file(r, (uint64_t)at, s);
	return st;
}

/* Goes on with the frame that was begun. */
static enum stream_status write_frame(struct peer_conn *c, struct piece_serve *s, size_t *put, struct error *e)
{
	if (!c->plain && c->stage_at == c->stage_len) {
		c->stage_at = c->stage_len = 0;
		if (!stage_more(c, s)) {
			*e = s->error; /* the frame cannot be finished: the connection is good for nothing */
			return STREAM_FAILED;
		}
	} else if (!c->plain && c->stage_at == 0 && c->stage_len == sizeof(c->head) && c->frame_left > 0) {
		if (!stage_more(c, s)) { /* behind the head, in one go */
			*e = s->error;
			return STREAM_FAILED;
		}
	}
	if (c->stage_at < c->stage_len)
		return write_stage(c, put, e);
	return write_file(c, s, put, e);
}

static enum stream_status write_out(struct peer_conn *c, size_t *put, struct error *e)
{
	enum stream_status st = stream_write(c->stream, c->out.data + c->out_at, c->out.len - c->out_at, put, e);

	c->out_at += *put;
	if (c->out_at == c->out.len) {
		c->out_at = 0;
		if (c->out.cap > RX_SIZE)
			buf_free(&c->out); /* idle connections hold little */
		else
			buf_reset(&c->out);
	}
	return st;
}

void conn_write(struct peer_conn *c)
{
	struct error e = { 0 };
	size_t put, turn = 0;

	while (conn_has_output(c) && c->phase != CONN_DOWN && turn < WRITE_TURN) {
		struct piece_serve *s = TAILQ_FIRST(&c->serves);
		enum stream_status st;

		put = 0;
		if (c->out.failed) {
			conn_fail(c, SHOAL_EBUSY, "out of memory");
			return;
		}
		if (mid_frame(c)) {
			if (c->write_paused)
				return;
			st = write_frame(c, s, &put, &e);
			if (put > 0 && !mid_frame(c))
				end_frame(c, s);
		} else if (c->out_at < c->out.len) {
			st = write_out(c, &put, &e);
		} else {
			begin_frame(c, s);
			continue;
		}
		if (put > 0)
			c->last_out_ms = clock_mono_ms();
		turn += put;
		if (st == STREAM_AGAIN)
			return;
		if (st != STREAM_OK) {
			if (c->phase != CONN_DOWN)
				conn_fail(c, e.code == SHOAL_OK ? SHOAL_EIO : e.code, "%s", e.message);
			return;
		}
	}
}
