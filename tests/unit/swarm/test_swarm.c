/* tests/unit/swarm/test_swarm.c - the leecher's rules in docs/swarm.md, one by one, and the lists behind them against naive
 * ones. Time is a number here; a piece has 16 bytes. */
#include "core/swarm/swarm.h"

#include <time.h>

#include "core/base/mem.h"
#include "core/swarm/swarm_internal.h"
#include "tests/unit/check.h"

enum { PIECE = 16 };
#define SECOND UINT64_C(1000000)

static uint64_t dice(void *ctx)
{
	(void)ctx;
	return (uint64_t)check_random(1u << 30) << 30 | check_random(1u << 30);
}

static struct swarm *make(uint32_t npieces, enum swarm_order order, uint32_t inflight)
{
	struct swarm_config c = { .size = (uint64_t)npieces * PIECE, .piece_size = PIECE, .order = order,
		                  .inflight_max = inflight, .random = dice };
	struct swarm *sw = swarm_new(&c);
	CHECK(sw != NULL);
	return sw;
}

static struct swarm_peer *add(struct swarm *sw, uint8_t id, bool complete, uint64_t now)
{
	struct id32 identity = { { id } };
	struct swarm_peer *peer = swarm_peer_add(sw, &identity, NULL, now);
	CHECK(peer != NULL);
	if (complete) {
		struct bitfield *all = bitfield_new(sw->npieces);
		const uint8_t *bits;
		size_t len;
		bitfield_fill(all);
		for (uint32_t f = 0; (len = bitfield_to_wire(all, f, &bits)) != 0; f += (uint32_t)(8 * len))
			CHECK_INT(swarm_on_bitfield(sw, peer, f, bits, len), ==, SHOAL_OK);
		bitfield_free(all);
	}
	return peer;
}

/* What a run asked of a peer, CANCELs and DROPs of all. */
struct outcome {
	size_t n;
	const struct swarm_action *a;
	uint64_t next;
	uint32_t requests, cancels, drops;
};

static struct outcome run(struct swarm *sw, uint64_t now)
{
	struct outcome o = { 0 };
	o.a = swarm_run(sw, now, &o.n, &o.next);
	for (size_t i = 0; i < o.n; i++) {
		o.requests += o.a[i].type == SWARM_REQUEST;
		o.cancels += o.a[i].type == SWARM_CANCEL;
		o.drops += o.a[i].type == SWARM_DROP;
	}
	return o;
}

static uint32_t asked(const struct outcome *o, const struct swarm_peer *peer)
{
	for (size_t i = 0; i < o->n; i++)
		if (o->a[i].type == SWARM_REQUEST && o->a[i].peer == peer)
			return o->a[i].piece;
	return BITFIELD_NONE;
}

static void deliver(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, uint16_t waiting, uint64_t from, uint64_t to)
{
	CHECK_INT(swarm_on_piece_begin(sw, peer, piece, waiting, from), ==, SWARM_TAKE);
	swarm_on_piece_bytes(sw, peer, piece, PIECE, to);
	swarm_on_piece_done(sw, peer, piece, SWARM_OK, to);
}

/* -- The lists against naive ones */

static void check_lists(struct swarm *sw)
{
	for (uint32_t i = 0; i < sw->npieces; i++) {
		uint16_t copies = 0;
		bool live = false;
		for (uint32_t p = 0; p < sw->npeers; p++) {
			const struct swarm_peer *peer = sw->peers[p];
			copies += bitfield_has(peer->has, i) && !peer->complete && !peer->snubbed;
			for (int r = 0; r < OWED_MAX; r++)
				live = live || (peer->owed[r].peer != NULL && peer->owed[r].piece == i && !peer->snubbed);
		}
		CHECK_INT(sw->pool.copies[i], ==, copies);
		CHECK_INT(pool_has(&sw->pool, i), ==, !live && !bitfield_has(sw->have, i));
		CHECK_INT(bitfield_has(sw->pool.set, i), ==, pool_has(&sw->pool, i));
		if (!pool_has(&sw->pool, i))
			continue;
		unsigned b = copies < POOL_BUCKETS ? copies : POOL_BUCKETS - 1;
		CHECK_INT(sw->pool.order[sw->pool.at[i]], ==, i);
		CHECK_INT(sw->pool.at[i], >=, sw->pool.start[b]);
		CHECK_INT(sw->pool.at[i], <, sw->pool.start[b + 1]);
	}
	uint32_t seeders = 0;
	for (uint32_t p = 0; p < sw->npeers; p++) {
		uint32_t wanted = 0;
		for (uint32_t i = 0; i < sw->npieces; i++)
			wanted += pool_has(&sw->pool, i) && bitfield_has(sw->peers[p]->has, i);
		CHECK_INT(sw->peers[p]->wanted, ==, wanted);
		CHECK_INT(sw->peers[p]->complete, ==, bitfield_full(sw->peers[p]->has));
		seeders += sw->peers[p]->complete;
	}
	CHECK_INT(sw->nseeders, ==, seeders);
}

/* A request is for something that we lack and the peer has; picked from the pool, it is a rarest one of those. */
static void check_request(struct swarm *sw, const struct swarm_action *a)
{
	CHECK(swarm_peer_has(a->peer, a->piece));
	CHECK(!bitfield_has(sw->have, a->piece));
}

static struct request *random_request(struct swarm *sw)
{
	if (sw->nflights == 0)
		return NULL;
	struct flight *f = &sw->flights[check_random(sw->nflights)];
	return f->source[check_random(f->n)];
}

static void random_step(struct swarm *sw, uint64_t *now)
{
	struct request *rq = random_request(sw);
	struct swarm_peer *any = sw->npeers != 0 ? sw->peers[check_random(sw->npeers)] : NULL;

	*now += check_random(400000);
	switch (check_random(12)) {
	case 0:
		if (sw->npeers < 12)
			add(sw, (uint8_t)check_random(20), check_random(3) == 0, *now);
		break;
	case 1:
		if (any != NULL && check_random(3) == 0)
			swarm_peer_remove(sw, any, *now);
		break;
	case 2:
	case 3:
		for (int i = 0; any != NULL && i < 5; i++)
			swarm_on_have(sw, any, check_random(sw->npieces));
		break;
	case 4:
		if (rq != NULL)
			swarm_on_reject(sw, rq->peer, rq->piece, (enum swarm_reject)check_random(4), *now);
		break;
	case 5:
		if (any != NULL)
			swarm_on_pause(sw, any, check_random(4) == 0, *now);
		break;
	case 6:
		swarm_on_lost(sw, check_random(sw->npieces));
		break;
	case 7:
		if (rq != NULL && check_random(10) == 0)
			swarm_on_piece_done(sw, rq->peer, rq->piece, SWARM_BAD, *now);
		break;
	default:
		if (rq == NULL)
			break;
		swarm_on_piece_begin(sw, rq->peer, rq->piece, (uint16_t)check_random(3), *now);
		swarm_on_piece_bytes(sw, rq->peer, rq->piece, check_random(2) ? PIECE : 3, *now);
		if (rq->full)
			swarm_on_piece_done(sw, rq->peer, rq->piece, check_random(20) ? SWARM_OK : SWARM_LOST, *now);
	}
}

static void random_steps_keep_the_lists_right(void)
{
	for (int round = 0; round < 12; round++) {
		struct swarm *sw = make(1 + check_random(round % 2 ? 700 : 60), (enum swarm_order)(round % 3),
		                        round % 4 ? 0 : 5);
		uint64_t now = SECOND;
		for (int step = 0; step < 400; step++) {
			random_step(sw, &now);
			struct outcome o = run(sw, now);
			for (size_t i = 0; i < o.n; i++)
				if (o.a[i].type == SWARM_REQUEST)
					check_request(sw, &o.a[i]);
			check_lists(sw);
			for (size_t i = 0; i < o.n; i++)
				if (o.a[i].type == SWARM_DROP) /* the list stays readable while peers are removed */
					swarm_peer_remove(sw, o.a[i].peer, now);
			CHECK(o.next > now);
		}
		swarm_free(sw);
	}
}

/* -- 1.2 */

static void rarest_first_and_by_lot(void)
{
	int seen[100] = { 0 };
	for (int round = 0; round < 400; round++) {
		struct swarm *sw = make(100, SWARM_RAREST, 0);
		struct swarm_peer *seeder = add(sw, 1, true, 0), *leecher = add(sw, 2, false, 0);
		for (uint32_t i = 0; i < 100; i++)
			if (i % 10 != 3)
				swarm_on_have(sw, leecher, i);
		uint32_t piece = swarm_pick(sw, seeder);
		CHECK_INT(piece % 10, ==, 3); /* those of which there is no copy yet */
		CHECK_INT(swarm_pick(sw, leecher) % 10, !=, 3);
		seen[piece]++;
		swarm_free(sw);
	}
	for (uint32_t i = 3; i < 100; i += 10)
		CHECK(seen[i] > 10 && seen[i] < 90); /* 40 expected */
}

static void seeders_alone_stay_in_the_window(void)
{
	struct swarm *sw = make(1000, SWARM_RAREST, 0);
	struct swarm_peer *peer[3];
	for (int i = 0; i < 3; i++)
		peer[i] = add(sw, (uint8_t)(i + 1), true, 0);
	for (int round = 0; round < 300; round++) {
		for (uint32_t i = 0; i < 3; i++) {
			uint32_t piece = swarm_pick(sw, peer[i]);
			CHECK_INT(piece, >=, sw->front);
			CHECK_INT(piece, <, sw->front + WINDOW);
			bool own_left = false;
			for (uint32_t k = sw->front; k < sw->front + WINDOW && k < 1000; k++)
				own_left = own_left || (pool_has(&sw->pool, k) && k % 3 == peer[i]->number);
			CHECK(!own_left || piece % 3 == peer[i]->number);
			CHECK(request_ask(sw, peer[i], piece, 0));
			swarm_on_piece_done(sw, peer[i], piece, SWARM_OK, 0);
		}
	}
	swarm_free(sw);
}

static void sequential_is_sequential(void)
{
	struct swarm *sw = make(40, SWARM_SEQUENTIAL, 0);
	struct swarm_peer *peer = add(sw, 1, true, 0);
	for (uint32_t i = 0; i < 40; i++) {
		CHECK_INT(swarm_pick(sw, peer), ==, i);
		CHECK(request_ask(sw, peer, i, 0));
		swarm_on_piece_done(sw, peer, i, SWARM_OK, 0);
	}
	CHECK(swarm_done(sw));
	CHECK_INT(run(sw, SECOND).next, ==, UINT64_MAX);
	swarm_free(sw);
}

/* -- 1.3 */

static void depth_follows_the_formula(void)
{
	static const struct { uint64_t t, rtt; uint16_t waiting; unsigned depth; } table[] = {
		{ 21000, 200, 0, 2 },  { 21000, 40000, 0, 3 },  { 21000, 200, 3, 1 },   { 21000, 40000, 1, 2 },
		{ 21000, 43000, 1, 3 }, { 5000, 100000, 0, 8 }, { 5000, 5000, 65535, 1 },
		{ 1000, 50, 0, 8 }, { 1000, 50, 1, 1 }, { 10000, 40000, 3, 2 }, { 10000, 30000, 3, 1 },
	};
	struct swarm *sw = make(100, SWARM_RAREST, 0);
	struct swarm_peer *peer = add(sw, 1, true, 0);
	CHECK_INT(swarm_depth(sw, peer, 0), ==, 1); /* before its first piece */
	peer->known = true;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		peer->piece_us = table[i].t;
		peer->rtt_us = table[i].rtt;
		peer->waiting = table[i].waiting;
		CHECK_INT(swarm_depth(sw, peer, 0), ==, table[i].depth);
	}
	swarm_free(sw);
}

static void at_most_32_are_in_flight(void)
{
	struct swarm *sw = make(1000, SWARM_RAREST, 0);
	for (int i = 0; i < 40; i++)
		add(sw, (uint8_t)i, true, 0);
	CHECK_INT(run(sw, SECOND).requests, ==, 32);
	CHECK_INT(run(sw, SECOND).requests, ==, 0);
	swarm_free(sw);
}

/* -- 1.4 and 1.5 */

static void an_idle_peer_takes_over_and_the_first_bytes_decide(void)
{
	struct swarm *sw = make(1, SWARM_RAREST, 0);
	struct swarm_peer *slow = add(sw, 1, true, 0);
	CHECK_INT(run(sw, SECOND).requests, ==, 1);
	struct swarm_peer *idle = add(sw, 2, true, SECOND), *third = add(sw, 3, true, SECOND);
	CHECK_INT(run(sw, SECOND + 100 * MS).requests, ==, 0); /* not before it has waited longer than that */
	struct outcome o = run(sw, SECOND + 101 * MS);
	CHECK_INT(o.requests, ==, 1); /* two sources, and no third */
	CHECK_INT(run(sw, SECOND + 900 * MS).requests, ==, 0);
	struct swarm_peer *second = asked(&o, idle) == 0 ? idle : third;
	CHECK_INT(swarm_on_piece_begin(sw, second, 0, 0, 2 * SECOND), ==, SWARM_TAKE);
	o = run(sw, 2 * SECOND);
	CHECK_INT(o.cancels, ==, 1);
	CHECK(o.a[0].peer == slow);
	CHECK_INT(swarm_on_piece_begin(sw, slow, 0, 0, 2 * SECOND), ==, SWARM_IGNORE); /* crossed with the CANCEL */
	CHECK_INT(run(sw, 2 * SECOND).drops, ==, 0);
	swarm_on_piece_bytes(sw, second, 0, PIECE, 2 * SECOND);
	swarm_on_piece_done(sw, second, 0, SWARM_OK, 2 * SECOND);
	CHECK(swarm_done(sw));
	swarm_free(sw);
}

static void what_comes_soon_is_left_alone(void)
{
	struct swarm *sw = make(1, SWARM_RAREST, 0);
	struct swarm_peer *first = add(sw, 1, true, 0);
	run(sw, SECOND);
	swarm_on_piece_begin(sw, first, 0, 0, SECOND);
	swarm_on_piece_bytes(sw, first, 0, PIECE * 3 / 4, SECOND + 150 * MS); /* a quarter left: 50 ms */
	add(sw, 2, true, SECOND);
	CHECK_INT(run(sw, SECOND + 150 * MS).requests, ==, 0);
	CHECK_INT(run(sw, SECOND + 700 * MS).requests, ==, 1); /* it did not come: at this rate 183 ms */
	swarm_free(sw);
}

static void two_tricklers_do_not_hold_a_piece(void)
{
	struct swarm *sw = make(1, SWARM_RAREST, 0);
	struct swarm_peer *a = add(sw, 1, true, 0);
	run(sw, SECOND);
	struct swarm_peer *b = add(sw, 2, true, SECOND);
	run(sw, SECOND + 200 * MS);
	swarm_on_piece_begin(sw, a, 0, 0, SECOND + 200 * MS);
	run(sw, SECOND + 200 * MS);
	run(sw, SECOND + 400 * MS);
	swarm_on_piece_begin(sw, b, 0, 0, SECOND + 400 * MS);
	swarm_on_piece_bytes(sw, a, 0, 1, SECOND + 500 * MS);
	swarm_on_piece_bytes(sw, b, 0, 1, SECOND + 500 * MS);
	struct swarm_peer *c = add(sw, 3, true, SECOND);
	struct outcome o = run(sw, SECOND + 600 * MS);
	CHECK_INT(asked(&o, c), ==, 0);
	swarm_free(sw);
}

/* -- 1.7 */

static void silence_is_snubbed_and_a_byte_ends_it(void)
{
	struct swarm *sw = make(100, SWARM_RAREST, 0);
	struct swarm_peer *mute = add(sw, 1, true, 0);
	struct outcome o = run(sw, SECOND);
	uint32_t piece = asked(&o, mute);
	CHECK_INT(o.next, ==, SECOND + TICK_US);
	run(sw, 4 * SECOND - 1);
	CHECK(!mute->snubbed);
	run(sw, 4 * SECOND);
	CHECK(mute->snubbed);
	CHECK_INT(mute->silences, ==, 0); /* nobody else delivered: no strike */
	struct swarm_stats s;
	swarm_stats(sw, 4 * SECOND, &s);
	CHECK_INT(s.stall, ==, SWARM_ALL_SNUBBED);
	struct swarm_peer *other = add(sw, 2, true, 4 * SECOND);
	for (int i = 0; i < 100 && swarm_have(sw) != NULL && !bitfield_has(sw->have, piece); i++) {
		o = run(sw, 4 * SECOND);
		uint32_t next = asked(&o, other);
		CHECK(next != BITFIELD_NONE); /* the mute one's piece is free for others */
		for (size_t k = 0; k < o.n; k++)
			if (o.a[k].type == SWARM_REQUEST && o.a[k].peer == other)
				deliver(sw, other, o.a[k].piece, 0, 4 * SECOND, 4 * SECOND + 10);
	}
	CHECK(bitfield_has(sw->have, piece));
	swarm_on_lost(sw, piece);
	o = run(sw, 10 * SECOND); /* and 6 s later it is probed, with one */
	CHECK_INT(peer_owes(mute), ==, 1);
	CHECK_INT(swarm_on_piece_begin(sw, mute, asked(&o, mute), 0, 10 * SECOND), ==, SWARM_TAKE);
	CHECK(!mute->snubbed);
	swarm_free(sw);
}

static void three_silences_cost_five_minutes(void)
{
	struct swarm *sw = make(100000, SWARM_RAREST, 0);
	struct swarm_peer *good = add(sw, 1, true, 0), *mute = add(sw, 2, true, 0);
	uint64_t now = SECOND, until = 0;
	bool dropped = false;
	for (int i = 0; i < 3000 && !dropped; i++, now += 100 * MS) {
		struct outcome o = run(sw, now);
		for (size_t k = 0; k < o.n; k++) {
			if (o.a[k].type == SWARM_DROP) {
				CHECK(o.a[k].peer == mute);
				CHECK_INT(o.a[k].reason, ==, SWARM_SILENT);
				dropped = true;
			} else if (o.a[k].type == SWARM_REQUEST && o.a[k].peer == good)
				deliver(sw, good, o.a[k].piece, 0, now, now + 50 * MS);
		}
	}
	CHECK(dropped);
	CHECK(now < 80 * SECOND);
	swarm_peer_remove(sw, mute, now);
	CHECK_INT(swarm_banned(sw, &(struct id32){ { 2 } }, now, &until), ==, SWARM_SILENT);
	CHECK(until > now + 299 * SECOND && until <= now + 300 * SECOND);
	CHECK_INT(swarm_banned(sw, &(struct id32){ { 2 } }, until, NULL), ==, SWARM_FINE);
	CHECK_INT(swarm_banned(sw, &(struct id32){ { 1 } }, now, NULL), ==, SWARM_FINE);
	swarm_free(sw);
}

static void a_pause_of_ours_is_not_its_silence(void)
{
	struct swarm *sw = make(10, SWARM_RAREST, 0);
	struct swarm_peer *peer = add(sw, 1, true, 0);
	run(sw, SECOND);
	swarm_on_pause(sw, peer, true, SECOND);
	run(sw, 20 * SECOND);
	CHECK(!peer->snubbed);
	swarm_on_pause(sw, peer, false, 20 * SECOND);
	run(sw, 22 * SECOND);
	CHECK(!peer->snubbed);
	run(sw, 23 * SECOND);
	CHECK(peer->snubbed);
	swarm_free(sw);
}

/* -- 1.8 and 1.9 */

static void bad_pieces_strike_and_then_drop(void)
{
	struct swarm *sw = make(2, SWARM_RAREST, 0);
	struct swarm_peer *liar = add(sw, 1, true, 0);
	struct outcome o = run(sw, SECOND);
	uint32_t piece = asked(&o, liar);
	swarm_on_piece_begin(sw, liar, piece, 0, SECOND);
	swarm_on_piece_bytes(sw, liar, piece, PIECE, SECOND);
	struct swarm_peer *honest = add(sw, 2, true, SECOND);
	swarm_on_piece_done(sw, liar, piece, SWARM_BAD, SECOND);
	CHECK_INT(swarm_pick(sw, liar), ==, 1 - piece); /* that one is fetched elsewhere */
	struct swarm_peer_stats s;
	swarm_peer_stats(sw, liar, SECOND, &s);
	CHECK_INT(s.bad_pieces, ==, 1);
	CHECK_INT(s.strikes, ==, 1);
	swarm_peer_remove(sw, liar, SECOND); /* to go and come back does not help */
	liar = add(sw, 1, true, SECOND);
	CHECK(request_ask(sw, liar, 1 - piece, SECOND));
	swarm_on_piece_done(sw, liar, 1 - piece, SWARM_BAD, SECOND);
	o = run(sw, SECOND);
	CHECK_INT(o.drops, ==, 1);
	bool dropped = false;
	for (size_t i = 0; i < o.n; i++) {
		CHECK(!dropped || o.a[i].peer != liar); /* nothing after its DROP */
		dropped = dropped || (o.a[i].type == SWARM_DROP && o.a[i].peer == liar &&
		                      o.a[i].reason == SWARM_BAD_PIECES);
	}
	CHECK(dropped);
	swarm_peer_remove(sw, liar, SECOND);
	uint64_t until = 0;
	CHECK_INT(swarm_banned(sw, &(struct id32){ { 1 } }, 2 * SECOND, &until), ==, SWARM_BAD_PIECES);
	CHECK_INT(until, ==, SECOND + 3600 * SECOND);
	CHECK(honest->drop == SWARM_FINE);
	swarm_free(sw);
}

static void the_only_holder_is_asked_again_for_its_bad_piece(void)
{
	struct swarm *sw = make(1, SWARM_RAREST, 0);
	struct swarm_peer *peer = add(sw, 1, true, 0);
	run(sw, SECOND);
	swarm_on_piece_done(sw, peer, 0, SWARM_BAD, SECOND);
	CHECK_INT(run(sw, SECOND).requests, ==, 1);
	swarm_free(sw);
}

static void offences_drop(void)
{
	const uint8_t ones[3] = { 0xff, 0xff, 0xff };
	for (int what = 0; what < 5; what++) {
		struct swarm *sw = make(10, SWARM_RAREST, 0);
		struct swarm_peer *peer = add(sw, 1, false, 0);
		if (what == 0)
			CHECK_INT(swarm_on_piece_begin(sw, peer, 3, 0, SECOND), ==, SWARM_UNASKED);
		else if (what == 1)
			CHECK_INT(swarm_on_piece_begin(sw, peer, UINT32_MAX, 0, SECOND), ==, SWARM_UNASKED);
		else if (what == 2)
			CHECK_INT(swarm_on_have(sw, peer, 10), ==, SHOAL_EPROTO);
		else if (what == 3)
			CHECK_INT(swarm_on_bitfield(sw, peer, 0, ones, 2), ==, SHOAL_EPROTO);
		else
			swarm_on_violation(sw, peer);
		struct outcome o = run(sw, SECOND);
		CHECK_INT(o.n, ==, 1);
		CHECK_INT(o.a[0].type, ==, SWARM_DROP);
		CHECK_INT(o.a[0].reason, ==, SWARM_VIOLATION);
		CHECK_INT(run(sw, SECOND).n, ==, 0); /* said once */
		swarm_free(sw);
	}
}

static void a_reject_backs_off_longer_each_time(void)
{
	static const uint64_t pauses[] = { 1, 2, 4, 8, 16, 30, 30 };
	struct swarm *sw = make(100, SWARM_RAREST, 0);
	struct swarm_peer *peer = add(sw, 1, true, 0);
	uint64_t now = SECOND;
	for (size_t i = 0; i < COUNT_OF(pauses); i++) {
		struct outcome o = run(sw, now);
		CHECK_INT(o.requests, ==, 1);
		uint32_t piece = asked(&o, peer);
		swarm_on_reject(sw, peer, piece, SWARM_REJECT_BUSY, now);
		CHECK(pool_has(&sw->pool, piece));
		o = run(sw, now);
		CHECK_INT(o.n, ==, 0);
		CHECK_INT(o.next, ==, now + pauses[i] * SECOND);
		CHECK_INT(run(sw, o.next - 1).requests, ==, 0);
		now = o.next;
	}
	struct outcome o = run(sw, now);
	deliver(sw, peer, asked(&o, peer), 0, now, now); /* a piece: all is forgiven */
	CHECK_INT(peer->backoff_us, ==, 0);
	swarm_free(sw);
}

static void eight_false_haves_drop(void)
{
	struct swarm *sw = make(100, SWARM_SEQUENTIAL, 0);
	struct swarm_peer *peer = add(sw, 1, true, 0);
	uint64_t now = SECOND;
	for (int i = 0; i < LIES_MAX; i++, now += 40 * SECOND) {
		struct outcome o = run(sw, now);
		uint32_t piece = asked(&o, peer);
		CHECK_INT(piece, ==, i);
		swarm_on_reject(sw, peer, piece, SWARM_REJECT_GONE, now);
		CHECK(!swarm_peer_has(peer, piece));
	}
	struct outcome o = run(sw, now);
	CHECK_INT(o.drops, ==, 1);
	CHECK_INT(o.a[0].reason, ==, SWARM_LIAR);
	swarm_free(sw);
}

/* -- Size */

static void two_million_pieces_are_picked_in_microseconds(void)
{
	enum { N = 2000000, PEERS = 40, STEPS = 20000 };
	struct swarm *sw = make(N, SWARM_RAREST, 64);
	uint8_t *bits = malloc(BITFIELD_WIRE_MAX);
	uint64_t now = SECOND;
	for (int p = 0; p < PEERS; p++) {
		struct swarm_peer *peer = add(sw, (uint8_t)p, p < 4, now);
		for (uint32_t first = 0; p >= 4 && first < N; first += 8 * BITFIELD_WIRE_MAX) {
			size_t len = (N - first) / 8 < BITFIELD_WIRE_MAX ? (N - first) / 8 : BITFIELD_WIRE_MAX;
			for (size_t i = 0; i < len; i++)
				bits[i] = (uint8_t)(dice(NULL) & dice(NULL));
			CHECK_INT(swarm_on_bitfield(sw, peer, first, bits, len), ==, SHOAL_OK);
		}
	}
	clock_t start = clock();
	uint32_t steps = 0;
	while (steps < STEPS) {
		struct outcome o = run(sw, now += 1000);
		for (size_t i = 0; i < o.n; i++)
			if (o.a[i].type == SWARM_REQUEST) {
				deliver(sw, o.a[i].peer, o.a[i].piece, 0, now, now + 300);
				steps++;
			}
	}
	double us = (double)(clock() - start) * 1e6 / CLOCKS_PER_SEC / steps;
	printf("# %.1f us of CPU a piece, with 2,000,000 pieces and 40 peers\n", us);
	CHECK(us < 200); /* a full scan would be 2000 and more */
	free(bits);
	swarm_free(sw);
}

static void no_memory_is_an_answer(void)
{
	struct swarm_config c = { .size = 100 * PIECE, .piece_size = PIECE, .random = dice };
	for (unsigned n = 1; n <= 6; n++) {
		mem_fail_after(n);
		struct swarm *sw = swarm_new(&c);
		mem_fail_after(0);
		CHECK_INT(sw == NULL, ==, n <= 6);
		swarm_free(sw);
	}
	struct swarm *sw = make(100, SWARM_RAREST, 0);
	static const unsigned fails[] = { 1, 2, 3, 1, 2 }; /* the lists grow once */
	for (size_t i = 0; i < COUNT_OF(fails); i++) {
		mem_fail_after(fails[i]);
		CHECK(swarm_peer_add(sw, &(struct id32){ { 1 } }, NULL, 0) == NULL);
		mem_fail_after(0);
	}
	struct swarm_peer *peer = add(sw, 1, true, 0);
	mem_fail_after(1);
	CHECK_INT(run(sw, SECOND).requests, ==, 0); /* no room for the action: asked with the next run */
	mem_fail_after(0);
	CHECK_INT(peer_owes(peer), ==, 0);
	CHECK_INT(run(sw, SECOND).requests, ==, 1);
	swarm_free(sw);
}

/* -- a rate limit */

static void a_budget_pays_for_whole_pieces(void)
{
	struct swarm *sw = make(9, SWARM_SEQUENTIAL, 0);
	struct swarm_peer *a = add(sw, 1, true, 0), *b = add(sw, 2, true, 0);

	swarm_set_budget(sw, PIECE - 1);
	CHECK_INT(run(sw, SECOND).requests, ==, 0);
	swarm_set_budget(sw, 2 * PIECE + 3);
	CHECK_INT(run(sw, SECOND).requests, ==, 2);
	CHECK_INT(swarm_budget(sw), ==, 3);
	deliver(sw, a, a->owed[0].piece, 0, SECOND, SECOND);
	CHECK_INT(run(sw, SECOND).requests, ==, 0); /* free depth, but nothing to pay with */
	swarm_on_reject(sw, b, b->owed[0].piece, SWARM_REJECT_BUSY, SECOND);
	CHECK_INT(swarm_budget(sw), ==, PIECE + 3); /* it will not come: it is not paid for */
	CHECK_INT(run(sw, SECOND).requests, ==, 1);
	CHECK_INT(swarm_on_piece_begin(sw, a, a->owed[0].piece, 0, SECOND), ==, SWARM_TAKE);
	swarm_on_piece_done(sw, a, a->owed[0].piece, SWARM_LOST, SECOND);
	CHECK_INT(swarm_budget(sw), ==, 3); /* part of it has come */
	swarm_set_budget(sw, UINT64_MAX);
	CHECK_INT(run(sw, 20 * SECOND).requests, >=, 2);
	CHECK(swarm_budget(sw) == UINT64_MAX);
	swarm_free(sw);
}

/* Our disk was full: whoever gave the piece is asked again at once. */
static void what_we_could_not_keep_is_nobodys_fault(void)
{
	struct swarm *sw = make(4, SWARM_SEQUENTIAL, 0);
	struct swarm_peer *a = add(sw, 1, true, 0);

	CHECK_INT(run(sw, SECOND).requests, ==, 1);
	CHECK_INT(swarm_on_piece_begin(sw, a, 0, 0, SECOND), ==, SWARM_TAKE);
	swarm_on_piece_bytes(sw, a, 0, PIECE, SECOND);
	swarm_on_piece_done(sw, a, 0, SWARM_UNKEPT, SECOND);
	struct outcome o = run(sw, SECOND);
	CHECK_INT(o.requests, >=, 1);
	CHECK_INT(asked(&o, a), ==, 0);
	CHECK_INT(a->bad + a->silences, ==, 0);
	swarm_free(sw);
}

/* Nobody is silent who was asked for nothing, and what is doubled is paid for, too. */
static void without_a_budget_nobody_is_accused(void)
{
	struct swarm *sw = make(4, SWARM_SEQUENTIAL, 0);
	struct swarm_peer *a = add(sw, 1, true, 0), *b = add(sw, 2, true, 0);

	swarm_set_budget(sw, PIECE);
	CHECK_INT(run(sw, SECOND).requests, ==, 1);
	struct swarm_peer *one = peer_owes(a) != 0 ? a : b, *other = one == a ? b : a;
	CHECK_INT(run(sw, 2 * SECOND).requests, ==, 0);
	deliver(sw, one, one->owed[0].piece, 0, 2 * SECOND, 2 * SECOND);
	for (uint64_t now = 3; now < 60; now++)
		CHECK_INT(run(sw, now * SECOND).requests, ==, 0);
	CHECK(!one->snubbed && !other->snubbed);
	CHECK_INT(one->silences + other->silences, ==, 0);
	swarm_free(sw);
}

static const struct CMUnitTest tests[] = {
	TEST(random_steps_keep_the_lists_right),
	TEST(rarest_first_and_by_lot),
	TEST(seeders_alone_stay_in_the_window),
	TEST(sequential_is_sequential),
	TEST(depth_follows_the_formula),
	TEST(at_most_32_are_in_flight),
	TEST(an_idle_peer_takes_over_and_the_first_bytes_decide),
	TEST(what_comes_soon_is_left_alone),
	TEST(two_tricklers_do_not_hold_a_piece),
	TEST(silence_is_snubbed_and_a_byte_ends_it),
	TEST(three_silences_cost_five_minutes),
	TEST(a_pause_of_ours_is_not_its_silence),
	TEST(bad_pieces_strike_and_then_drop),
	TEST(the_only_holder_is_asked_again_for_its_bad_piece),
	TEST(offences_drop),
	TEST(a_reject_backs_off_longer_each_time),
	TEST(eight_false_haves_drop),
	TEST(two_million_pieces_are_picked_in_microseconds),
	TEST(a_budget_pays_for_whole_pieces),
	TEST(what_we_could_not_keep_is_nobodys_fault),
	TEST(without_a_budget_nobody_is_accused),
	TEST(no_memory_is_an_answer),
};
CHECK_MAIN(tests)
