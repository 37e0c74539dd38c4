/* core/swarm/swarm.c - peers, and what their messages change. */
#include "core/swarm/swarm.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/swarm/swarm_internal.h"

uint32_t swarm_piece_len(const struct swarm *sw, uint32_t piece)
{
	uint64_t rest = sw->config.size - (uint64_t)piece * sw->config.piece_size;
	return rest < sw->config.piece_size ? (uint32_t)rest : sw->config.piece_size;
}

uint64_t swarm_random(const struct swarm *sw, uint64_t below)
{
	return sw->config.random(sw->config.random_ctx) % below;
}

/* -- Peers */

static void number_seeders(struct swarm *sw)
{
	sw->nseeders = 0;
	for (uint32_t i = 0; i < sw->npeers; i++)
		if (sw->peers[i]->complete)
			sw->peers[i]->number = sw->nseeders++;
}

/* Copies are counted of the incomplete who are not snubbed. */
static bool counts(const struct swarm_peer *peer)
{
	return !peer->complete && !peer->snubbed;
}

/* After its bits changed, with its copies not counted: seeder or not, what it has for us. */
static void peer_reckon(struct swarm *sw, struct swarm_peer *peer)
{
	peer->complete = bitfield_full(peer->has);
	if (counts(peer))
		pool_count(&sw->pool, peer->has, true);
	peer->wanted = 0;
	if (peer->complete)
		peer->wanted = sw->pool.n;
	else
		for (uint32_t i = bitfield_next_common(sw->pool.set, peer->has, 0); i != BITFIELD_NONE;
		     i = bitfield_next_common(sw->pool.set, peer->has, i + 1))
			peer->wanted++;
	number_seeders(sw);
}

static void peer_uncount(struct swarm *sw, const struct swarm_peer *peer)
{
	if (counts(peer))
		pool_count(&sw->pool, peer->has, false);
}

void peer_snub(struct swarm *sw, struct swarm_peer *peer, bool snubbed)
{
	if (peer->snubbed == snubbed)
		return;
	peer_uncount(sw, peer);
	peer->snubbed = snubbed;
	if (counts(peer))
		pool_count(&sw->pool, peer->has, true);
	for (int i = 0; i < OWED_MAX; i++)
		if (peer->owed[i].peer != NULL)
			piece_refresh(sw, peer->owed[i].piece);
}

/* Room for a peer more in every list, so that nothing can fail later. */
static bool make_room(struct swarm *sw)
{
	if (sw->npeers < sw->peers_cap)
		return true;
	uint32_t cap = sw->peers_cap * 2 + 8;
	struct swarm_peer **peers = try_realloc(sw->peers, cap * sizeof(struct swarm_peer *));
	if (peers == NULL)
		return false;
	sw->peers = peers;
	struct flight *flights = try_realloc(sw->flights, (size_t)cap * OWED_MAX * sizeof(*flights));
	if (flights == NULL)
		return false;
	sw->flights = flights;
	sw->peers_cap = cap;
	return true;
}

struct swarm_peer *swarm_peer_add(struct swarm *sw, const struct id32 *identity, void *owner, uint64_t now_us)
{
	struct swarm_peer *peer = make_room(sw) ? try_alloc(sizeof(*peer)) : NULL;
	if (peer == NULL)
		return NULL;
	peer->has = bitfield_new(sw->npieces);
	if (peer->has == NULL) {
		free(peer);
		return NULL;
	}
	peer->identity = *identity;
	peer->owner = owner;
	peer->bad_piece = BITFIELD_NONE;
	for (int i = 0; i < CANCELLED_KEPT; i++)
		peer->cancelled[i] = BITFIELD_NONE;
	peer->rate.since_us = now_us;
	const struct record *r = record_find(sw, identity);
	if (r != NULL) {
		peer->silences = r->silences;
		peer->bad = r->bad;
		if (now_us < r->banned_until_us)
			peer->drop = r->reason; /* who asks swarm_banned() first never gets here */
	}
	sw->peers[sw->npeers++] = peer;
	return peer;
}

/* No action may name a peer that is gone. */
static void purge_actions(struct swarm *sw, const struct swarm_peer *peer)
{
	for (size_t i = 0; i < sw->nactions; i++)
		if (sw->actions[i].peer == peer)
			sw->actions[i] = (struct swarm_action){ .type = SWARM_NONE };
}

void swarm_peer_remove(struct swarm *sw, struct swarm_peer *peer, uint64_t now_us)
{
	uint32_t at = 0;

	for (int i = 0; i < OWED_MAX; i++)
		if (peer->owed[i].peer != NULL) {
			sw->wasted += peer->owed[i].got;
			request_end(sw, &peer->owed[i]);
		}
	peer_uncount(sw, peer);
	if (peer->bad + peer->silences != 0 && swarm_banned(sw, &peer->identity, now_us, NULL) == SWARM_FINE)
		record_keep(sw, peer, 0);
	while (sw->peers[at] != peer)
		at++;
	sw->peers[at] = sw->peers[--sw->npeers];
	number_seeders(sw);
	purge_actions(sw, peer);
	bitfield_free(peer->has);
	free(peer);
}

bool swarm_peer_has(const struct swarm_peer *peer, uint32_t piece)
{
	return bitfield_has(peer->has, piece);
}

bool swarm_peer_complete(const struct swarm_peer *peer)
{
	return peer->complete;
}

uint32_t swarm_peer_interest(const struct swarm *sw, const struct swarm_peer *peer)
{
	uint32_t n = 0;
	if (peer->complete)
		return sw->npieces - bitfield_count(sw->have);
	for (uint32_t i = bitfield_next_set(peer->has, 0); i != BITFIELD_NONE; i = bitfield_next_set(peer->has, i + 1))
		n += !bitfield_has(sw->have, i);
	return n;
}

/* -- Messages */

static void offend(struct swarm_peer *peer, enum swarm_reason reason)
{
	if (peer->drop == SWARM_FINE)
		peer->drop = reason;
}

void swarm_on_violation(struct swarm *sw, struct swarm_peer *peer)
{
	(void)sw;
	offend(peer, SWARM_VIOLATION);
}

enum shoal_err swarm_on_bitfield(struct swarm *sw, struct swarm_peer *peer, uint32_t first, const uint8_t *bits,
                                 size_t len)
{
	peer_uncount(sw, peer);
	enum shoal_err rc = bitfield_put_range(peer->has, first, bits, len);
	peer_reckon(sw, peer);
	if (rc != SHOAL_OK)
		offend(peer, SWARM_VIOLATION);
	return rc;
}

enum shoal_err swarm_on_have(struct swarm *sw, struct swarm_peer *peer, uint32_t piece)
{
	if (piece >= sw->npieces) {
		offend(peer, SWARM_VIOLATION);
		return SHOAL_EPROTO;
	}
	if (bitfield_has(peer->has, piece))
		return SHOAL_OK;
	if (bitfield_count(peer->has) + 1 == sw->npieces) { /* it becomes a seeder: its copies count no more */
		peer_uncount(sw, peer);
		bitfield_set(peer->has, piece);
		peer_reckon(sw, peer);
		return SHOAL_OK;
	}
	bitfield_set(peer->has, piece);
	if (counts(peer))
		pool_set_copies(&sw->pool, piece, sw->pool.copies[piece] + 1);
	peer->wanted += pool_has(&sw->pool, piece);
	return SHOAL_OK;
}

static void lose_bit(struct swarm *sw, struct swarm_peer *peer, uint32_t piece)
{
	if (!bitfield_has(peer->has, piece))
		return;
	peer_uncount(sw, peer);
	bitfield_clear(peer->has, piece);
	peer_reckon(sw, peer);
	if (++peer->lies >= LIES_MAX)
		offend(peer, SWARM_LIAR);
}

static void mean_in(uint64_t *mean, bool known, uint64_t sample)
{
	*mean = known ? (*mean * 7 + sample * 3) / 10 : sample;
}

static void saw_byte(struct swarm *sw, struct swarm_peer *peer, uint64_t now_us)
{
	peer->last_byte_us = now_us;
	sw->last_byte_us = now_us;
	peer_snub(sw, peer, false);
}

enum swarm_take swarm_on_piece_begin(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, uint16_t waiting,
                                     uint64_t now_us)
{
	struct request *rq = request_find(peer, piece);

	if (rq == NULL && piece < sw->npieces && (request_was_cancelled(peer, piece) || bitfield_has(sw->have, piece))) {
		saw_byte(sw, peer, now_us);
		peer->waiting = waiting;
		return SWARM_IGNORE;
	}
	if (rq == NULL) {
		offend(peer, SWARM_VIOLATION);
		return SWARM_UNASKED;
	}
	saw_byte(sw, peer, now_us);
	peer->waiting = waiting;
	if (rq->begun)
		return SWARM_TAKE;
	rq->begun = true;
	rq->begun_us = now_us;
	uint64_t rtt = now_us - rq->asked_us;
	if (peer->rtt_us == 0 || rtt < peer->rtt_us)
		peer->rtt_us = rtt != 0 ? rtt : 1;
	request_cancel_others(sw, piece, rq, false);
	return SWARM_TAKE;
}

void swarm_on_piece_bytes(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, uint32_t n, uint64_t now_us)
{
	struct request *rq = request_find(peer, piece);

	saw_byte(sw, peer, now_us);
	rate_add(&peer->rate, n, now_us);
	rate_add(&sw->rate, n, now_us);
	peer->bytes += n;
	sw->bytes += n;
	if (rq == NULL) {
		sw->wasted += n;
		return;
	}
	uint32_t left = swarm_piece_len(sw, piece) - rq->got;
	rq->got += n < left ? n : left;
	if (n < left || rq->full)
		return;
	rq->full = true;
	mean_in(&peer->piece_us, peer->known, now_us - rq->begun_us);
	mean_in(&peer->answer_us, peer->known, now_us - rq->asked_us);
	peer->known = true;
}

/* Nothing is asked there for a while, longer each time until a piece comes. */
static void back_off(struct swarm_peer *peer, uint64_t now_us)
{
	peer->backoff_us = peer->backoff_us == 0 ? BACKOFF_US : peer->backoff_us * 2;
	if (peer->backoff_us > BACKOFF_MAX_US)
		peer->backoff_us = BACKOFF_MAX_US;
	peer->refused_until_us = now_us + peer->backoff_us;
}

static void take_piece(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, uint64_t now_us)
{
	peer->pieces++;
	peer->backoff_us = 0;
	if (peer->silences != 0 && now_us - peer->strike_us > FORGIVE_US) {
		peer->silences = 0;
		record_keep(sw, peer, 0);
	}
	if (bitfield_has(sw->have, piece)) {
		sw->wasted += swarm_piece_len(sw, piece);
		return;
	}
	bitfield_set(sw->have, piece);
	sw->front = bitfield_next_unset(sw->have, sw->front);
	piece_refresh(sw, piece);
	request_cancel_others(sw, piece, NULL, true);
}

static void blame(struct swarm *sw, struct swarm_peer *peer, uint32_t piece)
{
	peer->bad++;
	peer->bad_total++;
	peer->bad_piece = piece;
	sw->wasted += swarm_piece_len(sw, piece);
	if (peer->bad >= STRIKES_BAD)
		offend(peer, SWARM_BAD_PIECES);
	record_keep(sw, peer, 0);
}

void swarm_on_piece_done(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, enum swarm_result result,
                         uint64_t now_us)
{
	if (piece >= sw->npieces)
		return;
	struct request *rq = request_find(peer, piece);
	uint32_t got = 0;
	if (rq != NULL) {
		got = rq->got;
		request_end(sw, rq);
	}
	switch (result) {
	case SWARM_OK:
		take_piece(sw, peer, piece, now_us);
		break;
	case SWARM_BAD:
		blame(sw, peer, piece);
		break;
	case SWARM_LOST:
		sw->wasted += got;
		if (rq != NULL) /* else it was cancelled: it ends short as it should */
			back_off(peer, now_us);
		break;
	case SWARM_UNKEPT:
		sw->wasted += got;
		break;
	}
}

void swarm_on_reject(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, enum swarm_reject code, uint64_t now_us)
{
	if (piece >= sw->npieces) {
		offend(peer, SWARM_VIOLATION);
		return;
	}
	struct request *rq = request_find(peer, piece);
	if (rq == NULL)
		return; /* crossed with our CANCEL */
	sw->rejects++;
	sw->wasted += rq->got;
	request_end(sw, rq);
	back_off(peer, now_us);
	if (code == SWARM_REJECT_GONE)
		lose_bit(sw, peer, piece);
}

void swarm_on_pause(struct swarm *sw, struct swarm_peer *peer, bool paused, uint64_t now_us)
{
	(void)sw;
	if (peer->paused && !paused)
		peer->last_byte_us = now_us; /* its silence is counted from here */
	peer->paused = paused;
}

void swarm_on_rtt(struct swarm *sw, struct swarm_peer *peer, uint32_t rtt_us)
{
	(void)sw;
	if (rtt_us != 0 && (peer->rtt_us == 0 || rtt_us < peer->rtt_us))
		peer->rtt_us = rtt_us;
}

void swarm_on_lost(struct swarm *sw, uint32_t piece)
{
	if (piece >= sw->npieces || !bitfield_has(sw->have, piece))
		return;
	bitfield_clear(sw->have, piece);
	if (piece < sw->front)
		sw->front = piece;
	piece_refresh(sw, piece);
}

void swarm_hold(struct swarm *sw, bool hold)
{
	sw->held = hold;
}

void swarm_set_budget(struct swarm *sw, uint64_t bytes)
{
	sw->budget = bytes;
}

uint64_t swarm_budget(const struct swarm *sw)
{
	return sw->budget;
}

bool swarm_done(const struct swarm *sw)
{
	return bitfield_full(sw->have);
}

const struct bitfield *swarm_have(const struct swarm *sw)
{
	return sw->have;
}

/* -- The whole */

struct swarm *swarm_new(const struct swarm_config *config)
{
	struct swarm *sw = try_alloc(sizeof(*sw));
	if (sw == NULL)
		return NULL;
	assert(config->size > 0 && config->piece_size > 0);
	sw->config = *config;
	sw->config.have = NULL;
	sw->budget = UINT64_MAX;
	if (sw->config.inflight_max == 0)
		sw->config.inflight_max = INFLIGHT_MAX;
	sw->npieces = (uint32_t)((config->size + config->piece_size - 1) / config->piece_size);
	sw->have = config->have != NULL ? bitfield_dup(config->have) : bitfield_new(sw->npieces);
	if (sw->have == NULL || !pool_init(&sw->pool, sw->npieces)) {
		swarm_free(sw);
		return NULL;
	}
	assert(bitfield_size(sw->have) == sw->npieces);
	for (uint32_t i = bitfield_next_set(sw->have, 0); i != BITFIELD_NONE; i = bitfield_next_set(sw->have, i + 1))
		pool_remove(&sw->pool, i);
	sw->front = bitfield_next_unset(sw->have, 0);
	return sw;
}

void swarm_free(struct swarm *sw)
{
	if (sw == NULL)
		return;
	for (uint32_t i = 0; i < sw->npeers; i++) {
		bitfield_free(sw->peers[i]->has);
		free(sw->peers[i]);
	}
	bitfield_free(sw->have);
	pool_fini(&sw->pool);
	free(sw->peers);
	free(sw->flights);
	free(sw->records);
	free(sw->actions);
	free(sw);
}
