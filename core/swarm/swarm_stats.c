/* core/swarm/swarm_stats.c - what job:peers(), job:explain() and the progress line show. */
#include <string.h>

#include "core/swarm/swarm_internal.h"

#define RATE_US (1000 * MS)
#define SLOW_US (60000 * MS) /* a piece takes longer than that */

/* The mean of whole seconds, half of it the last one. */
void rate_add(struct rate *r, uint64_t bytes, uint64_t now_us)
{
	uint64_t took = now_us - r->since_us;
	if (took >= RATE_US) {
		r->per_s = (r->per_s + r->bytes * 1000000 / took) / (r->per_s != 0 ? 2 : 1);
		r->bytes = 0;
		r->since_us = now_us;
	}
	r->bytes += bytes;
}

uint64_t rate_now(const struct rate *r, uint64_t now_us)
{
	uint64_t took = now_us - r->since_us;
	if (took < RATE_US && r->per_s != 0)
		return r->per_s;
	return r->bytes * 1000000 / (took > 100 * MS ? took : 100 * MS); /* the first second; a silence that grows */
}

const char *swarm_reason_text(enum swarm_reason reason)
{
	switch (reason) {
	case SWARM_BAD_PIECES:
		return "sent two damaged pieces";
	case SWARM_SILENT:
		return "fell silent three times";
	case SWARM_LIAR:
		return "announced pieces that it does not have";
	case SWARM_VIOLATION:
		return "broke the protocol";
	case SWARM_FINE:
		break;
	}
	return "nothing against it";
}

const char *swarm_stall_text(enum swarm_stall stall)
{
	switch (stall) {
	case SWARM_NO_PEERS:
		return "no peer is connected";
	case SWARM_NO_HOLDER:
		return "no connected peer has a piece that is lacking";
	case SWARM_ALL_SNUBBED:
		return "every peer that has a lacking piece is silent";
	case SWARM_ALL_REFUSE:
		return "every peer that has a lacking piece refuses for now";
	case SWARM_WAITING:
		return "asked, and waiting for the first bytes";
	case SWARM_MOVING:
		break;
	}
	return "pieces arrive";
}

/* It owes something, keeps us waiting, and does not say that it serves others meanwhile: at its rate a piece takes
 * minutes, or its silences are interrupted by a few bytes only. */
static bool is_slow(const struct swarm *sw, const struct swarm_peer *peer, uint64_t now_us)
{
	bool late = peer->silences != 0;

	for (int i = 0; i < OWED_MAX; i++)
		late = late || (peer->owed[i].peer != NULL && now_us - peer->owed[i].asked_us >= SNUB_US);
	return late && peer->drop == SWARM_FINE && !peer->snubbed && !peer->paused && peer->waiting == 0 &&
	       peer_owes(peer) != 0 && rate_now(&peer->rate, now_us) * (SLOW_US / 1000000) < sw->config.piece_size;
}

static const char *peer_state(const struct swarm *sw, const struct swarm_peer *peer, uint64_t now_us)
{
	if (peer->drop != SWARM_FINE)
		return "dropped";
	if (peer->paused)
		return "paused";
	if (peer->snubbed)
		return "snubbed";
	if (now_us < peer->refused_until_us)
		return "refused";
	if (is_slow(sw, peer, now_us))
		return "slow";
	for (int i = 0; i < OWED_MAX; i++)
		if (peer->owed[i].peer != NULL && peer->owed[i].begun)
			return "receiving";
	return peer_owes(peer) != 0 ? "asked" : "idle";
}

void swarm_peer_stats(const struct swarm *sw, const struct swarm_peer *peer, uint64_t now_us,
                      struct swarm_peer_stats *out)
{
	*out = (struct swarm_peer_stats){
		.rate = rate_now(&peer->rate, now_us),
		.bytes = peer->bytes,
		.pieces = peer->pieces,
		.bad_pieces = peer->bad_total,
		.strikes = peer->bad + peer->silences,
		.owed = peer_owes(peer),
		.depth = swarm_depth(sw, peer, now_us),
		.has = bitfield_count(peer->has),
		.waiting = peer->waiting,
		.complete = peer->complete,
		.snubbed = peer->snubbed,
		.state = peer_state(sw, peer, now_us),
	};
}

/* Pieces we lack that no connected peer has. */
static uint32_t count_unavailable(const struct swarm *sw)
{
	uint32_t n = 0;
	if (sw->nseeders != 0)
		return 0;
	for (uint32_t i = bitfield_next_unset(sw->have, 0); i != BITFIELD_NONE; i = bitfield_next_unset(sw->have, i + 1)) {
		bool held = sw->pool.copies[i] != 0;
		for (uint32_t p = 0; p < sw->npeers && !held; p++)
			held = bitfield_has(sw->peers[p]->has, i);
		n += !held;
	}
	return n;
}

static enum swarm_stall stall_of(const struct swarm *sw, uint64_t now_us)
{
	uint32_t holders = 0, silent = 0, refusing = 0;

	if (swarm_done(sw) || sw->held || (sw->last_byte_us != 0 && now_us - sw->last_byte_us < SNUB_US))
		return SWARM_MOVING;
	if (sw->npeers == 0)
		return SWARM_NO_PEERS;
	for (uint32_t i = 0; i < sw->npeers; i++) {
		const struct swarm_peer *peer = sw->peers[i];
		if (peer->drop != SWARM_FINE || swarm_peer_interest(sw, peer) == 0)
			continue;
		holders++;
		silent += peer->snubbed;
		refusing += !peer->snubbed && now_us < peer->refused_until_us;
	}
	if (holders == 0)
		return SWARM_NO_HOLDER;
	if (silent + refusing < holders)
		return SWARM_WAITING;
	return refusing != 0 ? SWARM_ALL_REFUSE : SWARM_ALL_SNUBBED;
}

void swarm_stats(const struct swarm *sw, uint64_t now_us, struct swarm_stats *out)
{
	*out = (struct swarm_stats){
		.npieces = sw->npieces,
		.have = bitfield_count(sw->have),
		.asked = sw->nflights,
		.peers = sw->npeers,
		.seeders = sw->nseeders,
		.unavailable = count_unavailable(sw),
		.rate = rate_now(&sw->rate, now_us),
		.bytes = sw->bytes,
		.wasted = sw->wasted,
		.takeovers = sw->takeovers,
		.rejects = sw->rejects,
		.stall = stall_of(sw, now_us),
	};
	for (uint32_t i = 0; i < sw->npeers; i++) {
		out->snubbed += sw->peers[i]->snubbed;
		out->refused += now_us < sw->peers[i]->refused_until_us;
		out->slow += is_slow(sw, sw->peers[i], now_us);
	}
}
