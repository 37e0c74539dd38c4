/* client/peer_ask.c - what a connection has asked for, and what it no longer wants.
 *
 * A REQUEST ends in exactly one way: with the last byte of the piece, with the short-end mark, or with a REJECT; a CANCEL
 * does not change that, it only makes the mark likely. So a cancelled ask is remembered until its end has come: till then
 * data of that piece on that channel is its, not that of an ask made later, and such an ask is held back. */
#include "client/peer_conn.h"

/* -- cancelled asks */

static struct cancelled_ask *find_cancelled(struct peer_conn *c, uint32_t ch, uint32_t piece)
{
	for (unsigned i = 0; i < CANCELLED_KEPT; i++)
		if (c->cancelled[i].used && c->cancelled[i].ch == ch && c->cancelled[i].piece == piece)
			return &c->cancelled[i];
	return NULL;
}

static void put_request(struct peer_conn *c, enum peer_type type, const struct piece_ask *ask)
{
	struct peer_request m = { .ch = ask->ch, .piece = ask->piece, .length = ask->length };
	size_t start = peer_begin(&c->out, type);

	peer_request_put(&c->out, &m);
	peer_end(&c->out, start, 0);
}

/* The end of a cancelled ask has come: one that was held back for it may go now. */
static void cancelled_ended(struct peer_conn *c, struct cancelled_ask *old)
{
	struct piece_ask *ask = conn_find_ask(c, old->ch, old->piece);

	old->used = false;
	if (ask == NULL || !ask->held)
		return;
	ask->held = false;
	put_request(c, PEER_REQUEST, ask);
}

static void remember_cancelled(struct peer_conn *c, const struct piece_ask *ask)
{
	if (ask->held) /* it was never sent; the one before it is remembered already */
		return;
	c->cancelled[c->next_cancelled++ % CANCELLED_KEPT] = (struct cancelled_ask){
		.ch = ask->ch,
		.piece = ask->piece,
		.left = ask->length - ask->got - (c->into == ask ? c->data_left : 0), /* that is on its way and thrown away */
		.used = true,
	};
}

bool conn_cancelled_data(struct peer_conn *c, uint32_t ch, uint32_t piece, uint32_t len)
{
	struct cancelled_ask *old = find_cancelled(c, ch, piece);

	if (old == NULL)
		return false;
	old->left -= len < old->left ? len : old->left;
	if (len == 0 || old->left == 0)
		cancelled_ended(c, old);
	return true;
}

bool conn_cancelled_reject(struct peer_conn *c, uint32_t ch, uint32_t piece)
{
	struct cancelled_ask *old = find_cancelled(c, ch, piece);

	if (old != NULL)
		cancelled_ended(c, old);
	return old != NULL;
}

/* -- asks */

struct piece_ask *conn_find_ask(struct peer_conn *c, uint32_t ch, uint32_t piece)
{
	struct piece_ask *ask;

	TAILQ_FOREACH(ask, &c->asks, entry)
		if (ask->ch == ch && ask->piece == piece)
			return ask;
	return NULL;
}

void conn_drop_ask(struct peer_conn *c, struct piece_ask *ask)
{
	TAILQ_REMOVE(&c->asks, ask, entry);
	if (c->into == ask)
		c->into = NULL; /* the rest of the frame is thrown away */
	ask_back(ask, ASK_LOST);
}

void conn_take_asks(struct peer_conn *c)
{
	while (!TAILQ_EMPTY(&c->asks))
		conn_drop_ask(c, TAILQ_FIRST(&c->asks));
}

void conn_ask(struct peer_conn *c, struct piece_ask *ask)
{
	TAILQ_INSERT_TAIL(&c->asks, ask, entry);
	if (c->phase != CONN_OPEN) {
		conn_drop_ask(c, ask);
		return;
	}
	ask->held = find_cancelled(c, ask->ch, ask->piece) != NULL;
	if (!ask->held)
		put_request(c, PEER_REQUEST, ask);
}

void conn_cancel(struct peer_conn *c, uint32_t ch, uint32_t piece)
{
	struct piece_ask *ask = conn_find_ask(c, ch, piece);

	if (ask == NULL)
		return; /* it has come meanwhile */
	if (!ask->held)
		put_request(c, PEER_CANCEL, ask);
	if (ask->begun)
		return; /* ends with its last byte or with the short-end mark */
	remember_cancelled(c, ask);
	ask->cancelled = true;
	conn_drop_ask(c, ask);
}

void conn_rejected(struct peer_conn *c, uint32_t ch, uint32_t piece)
{
	struct piece_ask *ask = conn_find_ask(c, ch, piece);

	if (ask == NULL || ask->begun || ask->held)
		return;
	ask->cancelled = true;
	conn_drop_ask(c, ask);
}

static void drop_asks(struct peer_conn *c, uint32_t ch)
{
	struct piece_ask *ask, *next;

	for (ask = TAILQ_FIRST(&c->asks); ask != NULL; ask = next) {
		next = TAILQ_NEXT(ask, entry);
		if (ask->ch != ch)
			continue;
		remember_cancelled(c, ask);
		ask->cancelled = true;
		conn_drop_ask(c, ask);
	}
}

void conn_stop_asks(struct peer_conn *c, uint32_t ch)
{
	struct piece_ask *ask;

	TAILQ_FOREACH(ask, &c->asks, entry)
		if (ask->ch == ch && !ask->held)
			put_request(c, PEER_CANCEL, ask);
	drop_asks(c, ch);
}

void conn_forget(struct peer_conn *c, uint32_t ch)
{
	struct piece_serve *serve;

	TAILQ_FOREACH(serve, &c->serves, entry)
		if (serve->ch == ch)
			serve->stop = true;
	drop_asks(c, ch); /* the other side knows: the channel is closed */
}
