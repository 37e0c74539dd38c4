/* core/swarm/swarm_policy.c - docs/swarm.md: how deep to ask, take-over, tick, snub. */
#include "core/swarm/swarm_internal.h"

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint32_t swarm_inflight(const struct swarm *sw)
{
	uint32_t n = 0;
	for (uint32_t f = 0; f < sw->nflights; f++)
		for (unsigned s = 0; s < sw->flights[f].n; s++)
			n += request_live(sw->flights[f].source[s]);
	return n;
}

/* -- 1.3 */
unsigned swarm_depth(const struct swarm *sw, const struct swarm_peer *peer, uint64_t now_us)
{
	if (sw->held || peer->paused || peer->drop != SWARM_FINE || now_us < peer->refused_until_us)
		return 0;
	if (peer->snubbed) /* one probe, if it owes nothing that could show that it is alive */
		return now_us >= peer->probe_us && peer_owes(peer) == 0 ? 1 : 0;
	if (!peer->known)
		return 1;
	uint64_t t = max_u64(peer->piece_us, 1), w = peer->waiting;
	if (w > 0 && w * t >= peer->rtt_us)
		return 1;
	if (w == 0 && t < FAST_PIECE_US)
		return DEPTH_MAX;
	uint64_t shares = t * (w + 1), depth = 1 + max_u64(1, (peer->rtt_us + shares - 1) / shares);
	return depth < DEPTH_MAX ? (unsigned)depth : DEPTH_MAX;
}

/* -- 1.5 */

/* When the rest of a transfer will have come at the rate it has; UINT64_MAX: nothing has come yet. */
static uint64_t rest_us(const struct swarm *sw, const struct request *rq, uint64_t now_us)
{
	if (!rq->begun || rq->got == 0)
		return UINT64_MAX;
	uint64_t took = max_u64(now_us - rq->begun_us, 1), left = swarm_piece_len(sw, rq->piece) - rq->got;
	return took * left / rq->got;
}

static bool source_counts(const struct swarm *sw, const struct request *rq, uint64_t wait_us, uint64_t now_us)
{
	if (!request_live(rq) || now_us - rq->asked_us >= SOURCE_GOOD_US)
		return false;
	return !rq->begun || rest_us(sw, rq, now_us) <= 4 * wait_us || rq->got == 0;
}

struct waiting_piece {
	uint32_t piece;
	bool begun;
	uint64_t asked_us;
};

/* Whether this peer may double that piece, and how long it has waited. */
static bool may_take(const struct swarm *sw, const struct flight *f, const struct swarm_peer *peer, uint64_t wait_us,
                     uint64_t now_us, struct waiting_piece *out)
{
	unsigned good = 0;

	if (f->n == 0 || f->n >= SOURCES_MAX || !bitfield_has(peer->has, f->piece) || swarm_shuns(sw, peer, f->piece))
		return false;
	*out = (struct waiting_piece){ .piece = f->piece, .asked_us = f->source[0]->asked_us };
	for (unsigned s = 0; s < f->n; s++) {
		const struct request *rq = f->source[s];
		if (rq->peer == peer || rq->full || rest_us(sw, rq, now_us) < wait_us)
			return false;
		if (rq->begun && request_live(rq) && now_us - rq->begun_us < wait_us)
			return false; /* too young to tell how long the rest will take */
		out->begun = out->begun || rq->begun;
		good += source_counts(sw, rq, wait_us, now_us);
	}
	return good < SOURCES_GOOD && now_us - out->asked_us > wait_us;
}

uint32_t swarm_takeover(struct swarm *sw, const struct swarm_peer *peer, uint64_t now_us)
{
	uint64_t wait_us = max_u64(TAKEOVER_US, 2 * peer->answer_us);
	struct waiting_piece best = { .piece = BITFIELD_NONE }, w;
	uint32_t equals = 0;

	for (uint32_t i = 0; i < sw->nflights; i++) {
		if (!may_take(sw, &sw->flights[i], peer, wait_us, now_us, &w))
			continue;
		bool first = best.piece == BITFIELD_NONE;
		bool better = first || (best.begun && !w.begun) || (best.begun == w.begun && w.asked_us < best.asked_us);
		bool equal = !first && best.begun == w.begun && best.asked_us == w.asked_us;
		equals = better ? 1 : equals + equal;
		if (better || (equal && swarm_random(sw, equals) == 0))
			best = w;
	}
	return best.piece;
}

/* -- 1.7 */

/* Since when it has owed us something and given nothing; UINT64_MAX: it owes nothing. */
static uint64_t silent_since(const struct swarm_peer *peer)
{
	uint64_t oldest = UINT64_MAX;
	for (int i = 0; i < OWED_MAX; i++)
		if (peer->owed[i].peer != NULL && !peer->owed[i].full && peer->owed[i].asked_us < oldest)
			oldest = peer->owed[i].asked_us;
	return oldest == UINT64_MAX ? oldest : max_u64(oldest, peer->last_byte_us);
}

static bool others_deliver(const struct swarm *sw, const struct swarm_peer *peer, uint64_t since_us)
{
	for (uint32_t i = 0; i < sw->npeers; i++)
		if (sw->peers[i] != peer && sw->peers[i]->last_byte_us > since_us)
			return true;
	return false;
}

static void strike_silent(struct swarm *sw, struct swarm_peer *peer, uint64_t now_us)
{
	peer->strike_us = now_us;
	peer->silences++;
	if (peer->silences >= STRIKES_SILENT && peer->drop == SWARM_FINE)
		peer->drop = SWARM_SILENT;
	record_keep(sw, peer, 0);
}

static void check_snub(struct swarm *sw, struct swarm_peer *peer, uint64_t now_us)
{
	if (peer->paused || peer->drop != SWARM_FINE)
		return;
	if (peer->snubbed) {
		if (now_us - peer->strike_us >= SNUBBED_STRIKE_US && others_deliver(sw, peer, peer->strike_us))
			strike_silent(sw, peer, now_us);
		return;
	}
	uint64_t since = silent_since(peer);
	if (since == UINT64_MAX || now_us - since < SNUB_US)
		return;
	peer_snub(sw, peer, true);
	peer->probe_us = now_us + PROBE_US;
	peer->strike_us = now_us;
	/* it may simply serve many others on a thin line, and have said so */
	bool queued = peer->known && now_us - since < 2 * ((uint64_t)peer->waiting + 1) * peer->piece_us;
	if (!queued && others_deliver(sw, peer, since))
		strike_silent(sw, peer, now_us);
}

/* -- Drops */

static uint64_t ban_of(enum swarm_reason reason)
{
	return reason == SWARM_SILENT ? BAN_SHORT_US : BAN_LONG_US;
}

static void carry_out_drop(struct swarm *sw, struct swarm_peer *peer, uint64_t now_us)
{
	for (int i = 0; i < OWED_MAX; i++)
		if (peer->owed[i].peer != NULL)
			request_end(sw, &peer->owed[i]);
	if (!swarm_act(sw, SWARM_DROP, peer, 0))
		return; /* no memory: the next run tries again */
	sw->actions[sw->nactions - 1].reason = peer->drop;
	peer->dropped = true;
	peer->bad = peer->silences = 0; /* the ban is the punishment; after it all begins anew */
	record_keep(sw, peer, now_us + ban_of(peer->drop));
}

/* -- 1.6 */

/* One more request for that peer; false: nothing to ask it for. */
static bool ask_one(struct swarm *sw, struct swarm_peer *peer, uint64_t now_us)
{
	uint32_t piece = swarm_pick(sw, peer);
	bool doubled = piece == BITFIELD_NONE;

	if (doubled)
		piece = swarm_takeover(sw, peer, now_us);
	if (piece == BITFIELD_NONE || !budget_take(sw, swarm_piece_len(sw, piece)))
		return false;
	if (!request_ask(sw, peer, piece, now_us)) {
		budget_give_back(sw, swarm_piece_len(sw, piece));
		return false;
	}
	sw->takeovers += doubled;
	if (peer->snubbed)
		peer->probe_us = now_us + PROBE_US;
	return true;
}

/* Connections in random order, a request each in turn, until nobody can take more or the cap is reached. */
static void fill(struct swarm *sw, uint64_t now_us)
{
	uint32_t inflight = swarm_inflight(sw), max = sw->config.inflight_max;

	for (uint32_t i = sw->npeers; i > 1; i--) {
		uint32_t j = (uint32_t)swarm_random(sw, i);
		struct swarm_peer *last = sw->peers[i - 1];
		sw->peers[i - 1] = sw->peers[j];
		sw->peers[j] = last;
	}
	for (bool asked = true; asked;) {
		asked = false;
		for (uint32_t i = 0; i < sw->npeers; i++) {
			struct swarm_peer *peer = sw->peers[i];
			if (!peer->snubbed && inflight >= max) /* a probe is outside the cap: its piece stays free */
				continue;
			if (peer_owes(peer) >= swarm_depth(sw, peer, now_us) || !ask_one(sw, peer, now_us))
				continue;
			asked = true;
			inflight += !peer->snubbed;
		}
	}
}

static uint64_t next_deadline(const struct swarm *sw, uint64_t now_us)
{
	uint64_t next = sw->nflights != 0 ? now_us + TICK_US : UINT64_MAX;

	for (uint32_t i = 0; i < sw->npeers && !sw->held && !swarm_done(sw); i++) {
		const struct swarm_peer *peer = sw->peers[i];
		uint64_t at = peer->snubbed ? peer->probe_us : peer->refused_until_us;
		if (peer->drop == SWARM_FINE && at > now_us && at < next)
			next = at;
	}
	return next;
}

const struct swarm_action *swarm_run(struct swarm *sw, uint64_t now_us, size_t *n, uint64_t *next_us)
{
	for (size_t i = sw->nreturned; i < sw->nactions; i++)
		sw->actions[i - sw->nreturned] = sw->actions[i];
	sw->nactions -= sw->nreturned;
	sw->nreturned = 0;

	for (uint32_t i = 0; i < sw->npeers; i++) {
		check_snub(sw, sw->peers[i], now_us);
		if (sw->peers[i]->drop != SWARM_FINE && !sw->peers[i]->dropped)
			carry_out_drop(sw, sw->peers[i], now_us);
	}
	if (!sw->held && !swarm_done(sw))
		fill(sw, now_us);
	*next_us = next_deadline(sw, now_us);
	*n = sw->nreturned = sw->nactions;
	return sw->actions;
}
