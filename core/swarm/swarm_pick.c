/* core/swarm/swarm_pick.c - docs/swarm.md: which piece to ask this peer for.
 *
 * Rarest: bucket after bucket, rarest first. In one, DRAWS random draws find a piece that the peer has almost always; if
 * they do not, a bucket of at most EXACT_MAX pieces is searched in full, so that up to some 8 GiB the choice is exact.
 * After a larger bucket the next is tried, and at last the two bitfields are searched together, 64 pieces a step: a
 * piece that there is to get is always found. No pick walks over a large file piece by piece unless few are left. */
#include "core/swarm/swarm_internal.h"

enum { DRAWS = 64, EXACT_MAX = 16384 };

bool swarm_shuns(const struct swarm *sw, const struct swarm_peer *peer, uint32_t piece)
{
	if (piece != peer->bad_piece)
		return false;
	for (uint32_t i = 0; i < sw->npeers; i++) {
		const struct swarm_peer *other = sw->peers[i];
		if (other != peer && !other->snubbed && other->drop == SWARM_FINE && bitfield_has(other->has, piece))
			return true;
	}
	return false;
}

static bool offers(const struct swarm *sw, const struct swarm_peer *peer, uint32_t piece)
{
	return bitfield_has(peer->has, piece) && !swarm_shuns(sw, peer, piece);
}

/* The first assignment: among several seeders each has its own share of the pieces. */
static bool is_share(const struct swarm *sw, const struct swarm_peer *peer, uint32_t piece)
{
	return peer->complete && piece % sw->nseeders == peer->number;
}

/* A uniform choice among candidates met one by one; those of the peer's own share come before all others. */
struct choice {
	uint32_t piece, nown, nother;
};

static void consider(const struct swarm *sw, const struct swarm_peer *peer, struct choice *c, uint32_t piece)
{
	if (is_share(sw, peer, piece)) {
		if (swarm_random(sw, ++c->nown) == 0)
			c->piece = piece;
	} else if (c->nown == 0 && swarm_random(sw, ++c->nother) == 0)
		c->piece = piece;
}

/* One of order[lo..hi) that the peer has. */
static uint32_t pick_among(const struct swarm *sw, const struct swarm_peer *peer, uint32_t lo, uint32_t hi)
{
	struct choice c = { .piece = BITFIELD_NONE };

	if (hi - lo > DRAWS) {
		for (int i = 0; i < DRAWS; i++) {
			uint32_t piece = sw->pool.order[lo + swarm_random(sw, hi - lo)];
			if (!offers(sw, peer, piece))
				continue;
			if (!peer->complete || is_share(sw, peer, piece))
				return piece;
			c.piece = piece;
		}
		if (c.piece != BITFIELD_NONE || hi - lo > EXACT_MAX)
			return c.piece;
	}
	for (uint32_t i = lo; i < hi; i++)
		if (offers(sw, peer, sw->pool.order[i]))
			consider(sw, peer, &c, sw->pool.order[i]);
	return c.piece;
}

/* One of all that there are to get, found by the bitfields. */
static uint32_t pick_any(const struct swarm *sw, const struct swarm_peer *peer)
{
	struct choice c = { .piece = BITFIELD_NONE };
	for (uint32_t i = bitfield_next_common(sw->pool.set, peer->has, 0); i != BITFIELD_NONE;
	     i = bitfield_next_common(sw->pool.set, peer->has, i + 1))
		if (!swarm_shuns(sw, peer, i))
			consider(sw, peer, &c, i);
	return c.piece;
}

static uint32_t pick_rarest(const struct swarm *sw, const struct swarm_peer *peer)
{
	const uint32_t *start = sw->pool.start;
	for (unsigned b = 0; b < POOL_BUCKETS; b++) {
		uint32_t piece = start[b] != start[b + 1] ? pick_among(sw, peer, start[b], start[b + 1]) : BITFIELD_NONE;
		if (piece != BITFIELD_NONE)
			return piece;
	}
	return pick_any(sw, peer);
}

static uint32_t pick_random(const struct swarm *sw, const struct swarm_peer *peer)
{
	uint32_t piece = pick_among(sw, peer, 0, sw->pool.n);
	return piece != BITFIELD_NONE ? piece : pick_any(sw, peer);
}

static uint32_t pick_lowest(const struct swarm *sw, const struct swarm_peer *peer)
{
	uint32_t i = bitfield_next_common(sw->pool.set, peer->has, sw->front);
	while (i != BITFIELD_NONE && swarm_shuns(sw, peer, i))
		i = bitfield_next_common(sw->pool.set, peer->has, i + 1);
	return i;
}

/* All are seeders, so no piece is scarce: random within a window after the verified front, which the whole-file hash
 * follows. If all of that window is asked for, the window begins at the first piece that is not. */
static uint32_t pick_window(const struct swarm *sw, const struct swarm_peer *peer)
{
	struct choice c = { .piece = BITFIELD_NONE };
	uint32_t i = pick_lowest(sw, peer);
	uint64_t end = (uint64_t)(i == BITFIELD_NONE || i < sw->front + WINDOW ? sw->front : i) + WINDOW;

	for (; i < end; i = bitfield_next_common(sw->pool.set, peer->has, i + 1)) /* NONE is past any end */
		if (!swarm_shuns(sw, peer, i))
			consider(sw, peer, &c, i);
	return c.piece;
}

uint32_t swarm_pick(const struct swarm *sw, const struct swarm_peer *peer)
{
	if (peer->wanted == 0)
		return BITFIELD_NONE;
	switch (sw->config.order) {
	case SWARM_SEQUENTIAL:
		return pick_lowest(sw, peer);
	case SWARM_RANDOM:
		return pick_random(sw, peer);
	case SWARM_RAREST:
		break;
	}
	return sw->nseeders == sw->npeers ? pick_window(sw, peer) : pick_rarest(sw, peer);
}
