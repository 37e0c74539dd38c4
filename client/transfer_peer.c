/* client/transfer_peer.c - peers: one connection per pair of devices, whoever dialled. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/transfer_impl.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/net/sockaddr.h"

enum { STRAYS_MOST = 4096 }; /* messages for unknown channels: more than can cross with their CLOSE */

struct peer *peer_find(struct transfers *t, const struct id32 *identity)
{
	struct peer *p, *found = NULL;

	TAILQ_FOREACH(p, &t->peers, entry) {
		bool known = p->state == PEER_STATE_READY || (p->dialled && p->state != PEER_STATE_GOING);
		if (known && id32_eq(&p->identity, identity) && (found == NULL || p->state == PEER_STATE_READY))
			found = p;
	}
	return found;
}

static struct peer *peer_new(struct transfers *t)
{
	struct peer *p = t->npeers < t->most_peers ? try_alloc(sizeof(*p)) : NULL;

	if (p == NULL)
		return NULL;
	p->t = t;
	p->idle_since_ms = clock_mono_ms();
	TAILQ_INIT(&p->channels);
	TAILQ_INSERT_TAIL(&t->peers, p, entry);
	t->npeers++;
	return p;
}

static void peer_free(struct peer *p)
{
	TAILQ_REMOVE(&p->t->peers, p, entry);
	if (p->upload != NULL)
		upload_conn_remove(p->t->upload, p->upload);
	p->t->npeers--;
	free(p);
}

/* -- beginnings */

static bool open_conn(struct peer *p, int fd)
{
	struct peer_how how = { .fd = fd, .dialler = p->dialled, .plain = p->plain, .identity = p->identity };

	sockaddr_tune(fd);
	p->conn = peer_io_open(p->t->io, &how, p);
	if (p->conn == NULL)
		close(fd);
	p->state = PEER_STATE_SHAKING;
	return p->conn != NULL;
}

static void on_dialled(void *arg, int fd, const struct error *e)
{
	struct peer *p = arg;
	struct error why = { .code = SHOAL_EBUSY, .message = "out of memory" };

	p->dial = NULL;
	p->t->ndialling--;
	if (fd >= 0 && open_conn(p, fd))
		return;
	p->state = PEER_STATE_GOING;
	download_peer_lost(p->t, p, fd < 0 ? e : &why);
	peer_free(p);
}

struct peer *peer_dial(struct transfers *t, const struct id32 *identity, const struct address *addr, bool plain)
{
	struct peer *p = peer_new(t);

	if (p == NULL)
		return NULL;
	p->state = PEER_STATE_DIALLING;
	p->dialled = true;
	p->plain = plain;
	p->identity = *identity;
	p->addr = *addr;
	p->dial = dial_start(t->config.loop, addr, DIAL_MS, on_dialled, p);
	if (p->dial == NULL) {
		peer_free(p);
		return NULL;
	}
	t->ndialling++;
	return p;
}

void peers_accept(void *arg, int fd, const struct sockaddr *from)
{
	struct transfers *t = arg;
	uint8_t key[16];
	unsigned unopened = 0;
	struct peer *p;

	sockaddr_limit_key(from, key);
	TAILQ_FOREACH(p, &t->peers, entry)
		unopened += p->unopened && memcmp(p->limit_key, key, sizeof(key)) == 0;
	p = unopened < UNOPENED_PER_ADDRESS && !t->stopping ? peer_new(t) : NULL;
	if (p == NULL) {
		close(fd);
		return;
	}
	memcpy(p->limit_key, key, sizeof(key));
	p->unopened = true;
	p->plain = transfers_plain(t);
	sockaddr_to_address(from, &p->addr);
	if (!open_conn(p, fd))
		peer_free(p);
}

/* -- ends */

void peer_close(struct peer *p, const char *why)
{
	char text[ADDRESS_MAX];

	if (p->state == PEER_STATE_GOING || p->conn == NULL)
		return;
	log_line(p->t->log, LOG_DEBUG, "peer", "%s: closing: %s", address_format(&p->addr, text), why);
	p->state = PEER_STATE_GOING;
	peer_conn_close(p->conn);
}

void peer_send(struct peer *p, struct buf *frame)
{
	if (p->state == PEER_STATE_READY)
		peer_conn_send(p->conn, frame);
	else
		buf_free(frame);
}

static void on_down(struct peer *p, const struct error *why)
{
	char text[ADDRESS_MAX];
	struct error copy = *why;
	struct channel *ch;

	log_line(p->t->log, copy.code == SHOAL_EPROTO ? LOG_WARN : LOG_DEBUG, "peer", "%s: connection ended: %s",
	         address_format(&p->addr, text), copy.message);
	p->state = PEER_STATE_GOING;
	while ((ch = TAILQ_FIRST(&p->channels)) != NULL) {
		if (copy.code == SHOAL_EPROTO)
			download_offence(ch);
		if (TAILQ_FIRST(&p->channels) == ch)
			channel_close(ch, 0, copy.code);
	}
	if (p->dialled)
		download_peer_lost(p->t, p, &copy);
	peer_conn_release(p->conn);
	peer_free(p);
}

/* -- two connections of one pair: the one that the smaller identity dialled stands */

static void on_up(struct peer *p, const struct peer_event *ev)
{
	const struct id32 *self = &p->t->config.identity->id;
	struct peer *other;

	if (p->state != PEER_STATE_SHAKING)
		return;
	p->identity = ev->identity;
	p->plain = ev->plain;
	bool we_are_smaller = id32_cmp(self, &p->identity) < 0;
	TAILQ_FOREACH(other, &p->t->peers, entry)
		if (other != p && other->state == PEER_STATE_READY && id32_eq(&other->identity, &p->identity))
			break;
	p->next_channel = p->dialled ? 0 : 1;
	if (other != NULL && p->dialled != other->dialled && p->dialled != we_are_smaller) {
		peer_close(p, "there is another connection to it");
		return;
	}
	p->state = PEER_STATE_READY;
	if (other != NULL) { /* its channels are opened anew on this one */
		struct channel *ch;
		while ((ch = TAILQ_FIRST(&other->channels)) != NULL)
			channel_close(ch, 0, SHOAL_OK);
		peer_close(other, "there is another connection to it");
	}
	download_peer_ready(p->t, p);
}

/* -- events of the transfer threads */

static void on_frame(struct peer *p, const struct peer_event *ev)
{
	if (p->state == PEER_STATE_READY)
		channel_on_frame(p, ev->frame, slice_of(ev->body.data, ev->body.len));
}

static void on_piece_event(struct peer *p, const struct peer_event *ev)
{
	struct channel *ch = channel_find(p, ev->ch);

	if (ch == NULL) {
		if (ev->type == PEER_UNASKED && ++p->strays > STRAYS_MOST)
			peer_close(p, "too much that nobody asked for");
		return;
	}
	switch (ev->type) {
	case PEER_PIECE_BEGIN: download_on_begin(ch, ev->piece, ev->waiting); break;
	case PEER_PIECE_BYTES: download_on_bytes(ch, ev->piece, ev->n); break;
	case PEER_UNASKED: download_offence(ch); break;
	case PEER_SERVED: serve_progress(ch, ev->piece, ev->n); break;
	default: break;
	}
}

void peers_event(struct transfers *t, struct peer_event *ev)
{
	struct piece_ask *ask;
	struct piece_serve *serve;

	switch (ev->type) {
	case PEER_ASK_DONE:
		ask = peer_event_ask(ev);
		download_ask_done(ask->channel, ask); /* frees it */
		return;
	case PEER_SERVE_DONE:
		serve = peer_event_serve(ev);
		serve_done(serve->channel, serve);
		return;
	case PEER_DOWN:
		on_down(ev->owner, ev->why);
		return;
	case PEER_UP: on_up(ev->owner, ev); break;
	case PEER_FRAME: on_frame(ev->owner, ev); break;
	default: on_piece_event(ev->owner, ev); break;
	}
	peer_event_free(ev);
	(void)t;
}

void peers_tick(struct transfers *t, uint64_t now_ms)
{
	struct peer *p;

	TAILQ_FOREACH(p, &t->peers, entry)
		if (p->state == PEER_STATE_READY && TAILQ_EMPTY(&p->channels) && now_ms > p->idle_since_ms + IDLE_MS)
			peer_close(p, "idle");
}

void peers_stop(struct transfers *t)
{
	struct peer *p, *next;

	for (p = TAILQ_FIRST(&t->peers); p != NULL; p = next) {
		next = TAILQ_NEXT(p, entry);
		if (p->dial == NULL)
			continue;
		dial_cancel(p->dial);
		peer_free(p);
	}
}
