/* core/swarm/swarm_request.c - requests: asked, cancelled, ended; and which pieces thereby are free to be asked for. */
#include <string.h>

#include "core/base/mem.h"
#include "core/swarm/swarm_internal.h"

/* -- Actions */

bool swarm_act(struct swarm *sw, enum swarm_action_type type, struct swarm_peer *peer, uint32_t piece)
{
	if (sw->nactions == sw->actions_cap) {
		size_t cap = sw->actions_cap * 2 + 64;
		struct swarm_action *more = try_realloc(sw->actions, cap * sizeof(*more));
		if (more == NULL)
			return false;
		sw->actions = more;
		sw->actions_cap = cap;
	}
	sw->actions[sw->nactions++] =
		(struct swarm_action){ .type = type, .peer = peer, .owner = peer->owner, .piece = piece };
	return true;
}

/* -- Requests and flights */

struct flight *flight_find(struct swarm *sw, uint32_t piece)
{
	for (uint32_t i = 0; i < sw->nflights; i++)
		if (sw->flights[i].piece == piece)
			return &sw->flights[i];
	return NULL;
}

bool request_live(const struct request *rq)
{
	return !rq->peer->snubbed;
}

unsigned peer_owes(const struct swarm_peer *peer)
{
	unsigned n = 0;
	for (int i = 0; i < OWED_MAX; i++)
		n += peer->owed[i].peer != NULL && !peer->owed[i].full;
	return n;
}

struct request *request_find(struct swarm_peer *peer, uint32_t piece)
{
	for (int i = 0; i < OWED_MAX; i++)
		if (peer->owed[i].peer != NULL && peer->owed[i].piece == piece)
			return &peer->owed[i];
	return NULL;
}

static void count_wanted(struct swarm *sw, uint32_t piece, bool more)
{
	for (uint32_t i = 0; i < sw->npeers; i++)
		if (bitfield_has(sw->peers[i]->has, piece))
			sw->peers[i]->wanted += more ? 1 : UINT32_MAX; /* minus one */
}

void piece_refresh(struct swarm *sw, uint32_t piece)
{
	bool belongs = !bitfield_has(sw->have, piece);
	const struct flight *f = flight_find(sw, piece);

	for (unsigned s = 0; f != NULL && s < f->n; s++)
		belongs = belongs && !request_live(f->source[s]);
	if (belongs == pool_has(&sw->pool, piece))
		return;
	if (belongs)
		pool_add(&sw->pool, piece);
	else
		pool_remove(&sw->pool, piece);
	count_wanted(sw, piece, belongs);
}

bool budget_take(struct swarm *sw, uint32_t bytes)
{
	if (sw->budget < bytes)
		return false;
	if (sw->budget != UINT64_MAX)
		sw->budget -= bytes;
	return true;
}

void budget_give_back(struct swarm *sw, uint32_t bytes)
{
	if (sw->budget < UINT64_MAX - bytes)
		sw->budget += bytes;
}

bool request_ask(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, uint64_t now_us)
{
	struct request *rq = NULL;
	for (int i = 0; i < OWED_MAX && rq == NULL; i++)
		if (peer->owed[i].peer == NULL)
			rq = &peer->owed[i];
	if (rq == NULL || request_find(peer, piece) != NULL || !swarm_act(sw, SWARM_REQUEST, peer, piece))
		return false;

	struct flight *f = flight_find(sw, piece);
	if (f != NULL && f->n == SOURCES_MAX) { /* only if all of them are silent: the oldest has had its time */
		sw->nactions--;
		request_cancel(sw, f->source[0]);
		return request_ask(sw, peer, piece, now_us);
	}
	if (f == NULL) {
		f = &sw->flights[sw->nflights++];
		*f = (struct flight){ .piece = piece };
	}
	*rq = (struct request){ .peer = peer, .piece = piece, .asked_us = now_us };
	f->source[f->n++] = rq;
	for (int i = 0; i < CANCELLED_KEPT; i++)
		if (peer->cancelled[i] == piece)
			peer->cancelled[i] = BITFIELD_NONE;
	piece_refresh(sw, piece);
	return true;
}

void request_end(struct swarm *sw, struct request *rq)
{
	struct flight *f = flight_find(sw, rq->piece);
	uint32_t piece = rq->piece;
	unsigned at = 0;

	while (f->source[at] != rq)
		at++;
	memmove(&f->source[at], &f->source[at + 1], (f->n - at - 1) * sizeof(f->source[0]));
	if (--f->n == 0)
		*f = sw->flights[--sw->nflights];
	if (!rq->begun) /* of what has begun the rest may be on its way */
		budget_give_back(sw, swarm_piece_len(sw, piece));
	rq->peer = NULL;
	piece_refresh(sw, piece);
}

void request_cancel(struct swarm *sw, struct request *rq)
{
	struct swarm_peer *peer = rq->peer;

	peer->cancelled[peer->cancelled_at++ % CANCELLED_KEPT] = rq->piece;
	sw->wasted += rq->got;
	(void)swarm_act(sw, SWARM_CANCEL, peer, rq->piece); /* untold, it comes and is thrown away */
	request_end(sw, rq);
}

bool request_was_cancelled(const struct swarm_peer *peer, uint32_t piece)
{
	for (int i = 0; i < CANCELLED_KEPT; i++)
		if (peer->cancelled[i] == piece)
			return true;
	return false;
}

void request_cancel_others(struct swarm *sw, uint32_t piece, const struct request *except, bool all)
{
	struct request *others[SOURCES_MAX];
	unsigned n = 0;
	struct flight *f = flight_find(sw, piece);

	for (unsigned s = 0; f != NULL && s < f->n; s++)
		if (f->source[s] != except && (all || !f->source[s]->begun))
			others[n++] = f->source[s];
	while (n != 0)
		request_cancel(sw, others[--n]);
}
