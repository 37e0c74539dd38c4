/* tests/unit/swarm/test_case_e.c - a whole swarm in virtual time: swarm.c and upload.c of five programs, linked by
 * uplinks of 200 Mbit/s and 0.1 ms each way. A piece travels in frames of 16 KiB; whoever sends to several connections
 * at a time shares its uplink among them frame by frame; downlinks are no limit. */
#include "core/base/mem.h"
#include "core/swarm/swarm.h"
#include "core/swarm/upload.h"
#include "tests/unit/check.h"

enum { PIECE = 524288, FRAME = 16384, NODES_MAX = 9, LATENCY_US = 100, VERIFY_US = 250 };
#define UPLINK 25000000.0 /* bytes/s */
#define NEVER UINT64_MAX

enum fault { NONE, SILENT, CORRUPT, LEAVES, TRICKLES };
enum kind { REQUEST, CANCEL, HAVE, DATA, SHORT_END, VERIFIED, SENT, TICK, SLOT };

struct message {
	uint64_t at, order;
	enum kind kind;
	int from, to;
	uint32_t piece, bytes;
	uint16_t waiting;
	bool first, last;
};

struct sending {
	int to;
	uint32_t piece, left;
	uint16_t waiting;
	bool begun, behind, stop;
};

struct node {
	bool here, complete;
	enum fault fault;
	double rate; /* its uplink */
	uint64_t done_us;
	struct swarm *sw; /* NULL: the seeder */
	struct upload *up;
	struct upload_file *file;
	struct upload_conn *conn[NODES_MAX];
	struct upload_channel *channel[NODES_MAX];
	struct swarm_peer *peer[NODES_MAX];
	struct sending sending[2 * NODES_MAX];
	int nsending, turn;
	bool busy; /* a frame is on the uplink */
	uint64_t sent, tick_us, slot_us;
};

struct lab {
	struct node node[NODES_MAX];
	int n;
	uint32_t npieces;
	uint64_t now, order, size;
	struct message *heap;
	size_t nheap, cap;
	int dropped[NODES_MAX];
};

static uint64_t dice(void *ctx)
{
	(void)ctx;
	return (uint64_t)check_random(1u << 30) << 30 | check_random(1u << 30);
}

static bool before(const struct message *a, const struct message *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void post(struct lab *l, struct message m)
{
	if (l->nheap == l->cap) {
		l->cap = l->cap * 2 + 1024;
		l->heap = realloc(l->heap, l->cap * sizeof(*l->heap));
		CHECK(l->heap != NULL);
	}
	m.order = l->order++;
	size_t i = l->nheap++;
	for (; i > 0 && before(&m, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
		l->heap[i] = l->heap[(i - 1) / 2];
	l->heap[i] = m;
}

static struct message take(struct lab *l)
{
	struct message top = l->heap[0], last = l->heap[--l->nheap];
	size_t i = 0;
	for (size_t c; (c = 2 * i + 1) < l->nheap; i = c) {
		if (c + 1 < l->nheap && before(&l->heap[c + 1], &l->heap[c]))
			c++;
		if (!before(&l->heap[c], &last))
			break;
		l->heap[i] = l->heap[c];
	}
	l->heap[i] = last;
	return top;
}

static uint32_t piece_len(const struct lab *l, uint32_t piece)
{
	uint64_t rest = l->size - (uint64_t)piece * PIECE;
	return rest < PIECE ? (uint32_t)rest : PIECE;
}

/* -- Serving */

static void send_frame(struct lab *l, int n)
{
	struct node *me = &l->node[n];
	if (me->busy || me->fault == SILENT)
		return;
	for (int tries = 0; tries < me->nsending; tries++) {
		struct sending *s = &me->sending[me->turn++ % me->nsending];
		if (s->behind)
			continue;
		uint32_t bytes = s->stop ? 0 : s->left < FRAME ? s->left : FRAME;
		me->busy = true;
		uint64_t took = (uint64_t)(bytes * 1e6 / me->rate);
		post(l, (struct message){ .at = l->now + took, .kind = SENT, .from = n, .to = s->to, .piece = s->piece,
		                          .bytes = bytes });
		return;
	}
}

static void serve(struct lab *l, int n)
{
	struct node *me = &l->node[n];
	struct upload_start start;

	while (upload_next(me->up, l->now, &start)) {
		int to = (int)(intptr_t)start.owner;
		CHECK_INT(me->nsending, <, 2 * NODES_MAX);
		me->sending[me->nsending++] = (struct sending){ .to = to, .piece = start.piece,
			.left = piece_len(l, start.piece), .waiting = start.waiting, .behind = start.behind };
	}
	uint64_t at = upload_deadline(me->up);
	if (at != NEVER && at != me->slot_us) {
		me->slot_us = at;
		post(l, (struct message){ .at = at > l->now ? at : l->now, .kind = SLOT, .from = n, .to = n });
	}
	send_frame(l, n);
}

/* A frame has left. */
static void on_sent(struct lab *l, const struct message *m)
{
	struct node *me = &l->node[m->from];
	int i = 0;

	me->busy = false;
	while (i < me->nsending && (me->sending[i].to != m->to || me->sending[i].piece != m->piece))
		i++;
	if (i == me->nsending) { /* the peer went meanwhile */
		serve(l, m->from);
		return;
	}
	struct sending *s = &me->sending[i];
	bool cut = s->stop;
	s->left -= m->bytes;
	me->sent += m->bytes;
	upload_progress(me->up, me->channel[m->to], m->piece, m->bytes, l->now);
	post(l, (struct message){ .at = l->now + LATENCY_US, .kind = cut ? SHORT_END : DATA, .from = m->from, .to = m->to,
		.piece = m->piece, .bytes = m->bytes, .waiting = s->waiting, .first = !s->begun, .last = s->left == 0 });
	s->begun = true;
	if (s->left == 0 || cut) {
		me->sending[i] = me->sending[--me->nsending];
		upload_finished(me->up, me->channel[m->to], m->piece, !cut, l->now);
		for (int k = 0; k < me->nsending; k++)
			if (me->sending[k].to == m->to)
				me->sending[k].behind = false;
	}
	serve(l, m->from);
}

static void on_cancel(struct lab *l, const struct message *m)
{
	struct node *me = &l->node[m->to];
	if (upload_cancel(me->up, me->channel[m->from], m->piece) != UPLOAD_BEGUN)
		return;
	for (int i = 0; i < me->nsending; i++)
		if (me->sending[i].to == m->from && me->sending[i].piece == m->piece)
			me->sending[i].stop = true;
}

/* -- Fetching */

static void part(struct lab *l, int a, int b);

static void fetch(struct lab *l, int n)
{
	struct node *me = &l->node[n];
	size_t count;
	uint64_t next;

	if (me->sw == NULL || !me->here)
		return;
	const struct swarm_action *a = swarm_run(me->sw, l->now, &count, &next);
	for (size_t i = 0; i < count; i++) {
		int to = (int)(intptr_t)a[i].owner;
		if (a[i].type == SWARM_DROP) {
			l->dropped[to] = (int)a[i].reason;
			part(l, n, to);
		} else if (a[i].type != SWARM_NONE)
			post(l, (struct message){ .at = l->now + LATENCY_US,
			                          .kind = a[i].type == SWARM_REQUEST ? REQUEST : CANCEL,
			                          .from = n, .to = to, .piece = a[i].piece });
	}
	if (next != NEVER && (next < me->tick_us || me->tick_us <= l->now)) {
		me->tick_us = next;
		post(l, (struct message){ .at = next, .kind = TICK, .from = n, .to = n });
	}
}

static void on_data(struct lab *l, const struct message *m)
{
	struct node *me = &l->node[m->to];
	struct swarm_peer *peer = me->peer[m->from];

	if (m->first)
		CHECK_INT(swarm_on_piece_begin(me->sw, peer, m->piece, m->waiting, l->now), !=, SWARM_UNASKED);
	swarm_on_piece_bytes(me->sw, peer, m->piece, m->bytes, l->now);
	if (m->last)
		post(l, (struct message){ .at = l->now + VERIFY_US, .kind = VERIFIED, .from = m->from, .to = m->to,
		                          .piece = m->piece });
	if (m->first || m->last)
		fetch(l, m->to);
}

static void on_verified(struct lab *l, const struct message *m)
{
	struct node *me = &l->node[m->to];
	bool bad = l->node[m->from].fault == CORRUPT;
	bool had = bitfield_has(swarm_have(me->sw), m->piece);

	swarm_on_piece_done(me->sw, me->peer[m->from], m->piece, bad ? SWARM_BAD : SWARM_OK, l->now);
	for (int i = 0; i < l->n && !bad && !had; i++)
		if (me->peer[i] != NULL || me->channel[i] != NULL)
			post(l, (struct message){ .at = l->now + LATENCY_US, .kind = HAVE, .from = m->to, .to = i,
			                          .piece = m->piece });
	if (swarm_done(me->sw) && me->done_us == 0)
		me->done_us = l->now;
	fetch(l, m->to);
}

static void dispatch(struct lab *l, const struct message *m)
{
	struct node *me = &l->node[m->to];

	bool linked = m->from == m->to || (me->here && me->channel[m->from] != NULL);

	if (!l->node[m->from].here || (m->kind != SENT && !linked))
		return;
	switch (m->kind) {
	case REQUEST:
		CHECK_INT(upload_request(me->up, me->channel[m->from], m->piece), ==, SHOAL_OK);
		serve(l, m->to);
		break;
	case CANCEL:
		on_cancel(l, m);
		serve(l, m->to);
		break;
	case HAVE:
		upload_on_have(me->up, me->channel[m->from], m->piece);
		if (me->sw != NULL)
			CHECK_INT(swarm_on_have(me->sw, me->peer[m->from], m->piece), ==, SHOAL_OK);
		fetch(l, m->to);
		break;
	case DATA:
		on_data(l, m);
		break;
	case SHORT_END:
		swarm_on_piece_done(me->sw, me->peer[m->from], m->piece, SWARM_LOST, l->now);
		fetch(l, m->to);
		break;
	case VERIFIED:
		on_verified(l, m);
		break;
	case SENT:
		on_sent(l, m);
		break;
	case TICK:
		fetch(l, m->to);
		break;
	case SLOT:
		serve(l, m->to);
		break;
	}
}

/* -- Setting up */

static void half_part(struct lab *l, int a, int b)
{
	struct node *me = &l->node[a];
	for (int i = me->nsending - 1; i >= 0; i--)
		if (me->sending[i].to == b)
			me->sending[i] = me->sending[--me->nsending];
	if (me->channel[b] != NULL)
		upload_channel_remove(me->up, me->channel[b], l->now);
	upload_conn_remove(me->up, me->conn[b]);
	if (me->peer[b] != NULL)
		swarm_peer_remove(me->sw, me->peer[b], l->now);
	me->channel[b] = NULL;
	me->conn[b] = NULL;
	me->peer[b] = NULL;
}

static void part(struct lab *l, int a, int b)
{
	half_part(l, a, b);
	half_part(l, b, a);
}

static void half_join(struct lab *l, int a, int b)
{
	struct node *me = &l->node[a];
	struct id32 id = { { (uint8_t)b } };
	me->conn[b] = upload_conn_add(me->up);
	me->channel[b] = upload_channel_add(me->up, me->file, me->conn[b], (void *)(intptr_t)b);
	if (me->sw == NULL)
		return;
	me->peer[b] = swarm_peer_add(me->sw, &id, (void *)(intptr_t)b, l->now);
	if (!l->node[b].complete)
		return;
	struct bitfield *all = bitfield_new(l->npieces);
	const uint8_t *bits;
	bitfield_fill(all);
	size_t len = bitfield_to_wire(all, 0, &bits);
	CHECK_INT(swarm_on_bitfield(me->sw, me->peer[b], 0, bits, len), ==, SHOAL_OK);
	bitfield_free(all);
}

/* Node 0 .. nseeders-1 are complete. */
static struct lab *lab_new(int nseeders, int n, uint64_t size)
{
	struct lab *l = xalloc(sizeof(*l));
	l->n = n;
	l->size = size;
	l->npieces = (uint32_t)((size + PIECE - 1) / PIECE);
	l->now = 1000000;
	for (int i = 0; i < n; i++) {
		struct node *me = &l->node[i];
		struct swarm_config config = { .size = size, .piece_size = PIECE, .random = dice };
		me->here = true;
		me->rate = UPLINK;
		me->complete = i < nseeders;
		me->sw = me->complete ? NULL : swarm_new(&config);
		me->up = upload_new(dice, NULL);
		me->file = upload_file_add(me->up, size, PIECE);
	}
	for (int i = 0; i < n; i++)
		for (int k = 0; k < n; k++)
			if (i != k && (l->node[i].sw != NULL || l->node[k].sw != NULL))
				half_join(l, i, k);
	for (int i = 0; i < n; i++)
		fetch(l, i);
	return l;
}

static void lab_free(struct lab *l)
{
	for (int i = 0; i < l->n; i++) {
		for (int k = 0; k < l->n; k++)
			half_part(l, i, k);
		upload_file_remove(l->node[i].up, l->node[i].file);
		upload_free(l->node[i].up);
		swarm_free(l->node[i].sw);
	}
	free(l->heap);
	free(l);
}

static bool all_done(const struct lab *l)
{
	for (int i = 0; i < l->n; i++)
		if (l->node[i].sw != NULL && l->node[i].here && l->node[i].fault != LEAVES && l->node[i].done_us == 0)
			return false;
	return true;
}

/* Runs until all leechers have everything; the seconds that took. */
static double run(struct lab *l, int leaver, uint64_t leaves_us)
{
	uint64_t start = l->now, limit = start + 600 * UINT64_C(1000000);
	while (!all_done(l)) {
		CHECK(l->nheap != 0); /* nothing would ever happen again */
		struct message m = take(l);
		CHECK(m.at >= l->now && m.at < limit);
		l->now = m.at;
		dispatch(l, &m);
		if (leaver >= 0 && l->node[leaver].here && l->now - start > leaves_us) {
			for (int i = 0; i < l->n; i++)
				if (i != leaver)
					part(l, leaver, i);
			l->node[leaver].here = false;
			for (int i = 0; i < l->n; i++)
				fetch(l, i);
		}
	}
	return (double)(l->now - start) / 1e6;
}

static uint64_t wasted(const struct lab *l)
{
	uint64_t sum = 0;
	for (int i = 0; i < l->n; i++) {
		struct swarm_stats s;
		if (l->node[i].sw == NULL)
			continue;
		swarm_stats(l->node[i].sw, l->now, &s);
		sum += s.wasted;
	}
	return sum;
}

#define MIB (UINT64_C(1) << 20)

static void one_seeder_four_leechers(void)
{
	const uint64_t size = 128 * MIB;
	struct lab *l = lab_new(1, 5, size);
	double bound = (double)size / UPLINK, took = run(l, -1, 0);
	double sends = (double)l->node[0].sent / (double)size, twice = (double)wasted(l) / (4.0 * (double)size);
	struct upload_stats up;

	upload_stats(l->node[0].up, &up);
	printf("# E: last / bound %.3f, seeder sends %.3f F, fetched twice %.2f %%, slow lane %.1f %%\n", took / bound,
	       sends, twice * 100, 100.0 * (double)up.slow / (double)up.pieces);
	CHECK(took / bound <= 1.10);
	CHECK(sends <= 1.06);
	CHECK(twice <= 0.03);
	lab_free(l);
}

static void a_single_pair_is_never_idle(void)
{
	const uint64_t size = 64 * MIB + 17;
	struct lab *l = lab_new(1, 2, size);
	double bound = (double)size / UPLINK, took = run(l, -1, 0);

	CHECK(took / bound <= 1.01);
	CHECK_INT(l->node[0].sent, ==, size); /* not a byte twice */
	lab_free(l);
}

static void four_seeders_share_the_work(void)
{
	const uint64_t size = 64 * MIB;
	struct lab *l = lab_new(4, 5, size);
	double took = run(l, -1, 0);

	CHECK(took / ((double)size / (4 * UPLINK)) <= 1.06);
	for (int i = 0; i < 4; i++)
		CHECK((double)l->node[i].sent / (double)size < 0.30);
	lab_free(l);
}

static void a_silent_peer_costs_little(void)
{
	const uint64_t size = 64 * MIB;
	struct lab *l = lab_new(2, 6, size);
	l->node[1].fault = SILENT; /* says it has everything, sends nothing */
	double took = run(l, -1, 0);

	CHECK(took / ((double)size / UPLINK) <= 1.25);
	lab_free(l);
}

static void a_corrupting_peer_is_dropped(void)
{
	const uint64_t size = 32 * MIB;
	struct lab *l = lab_new(2, 5, size);
	l->node[1].fault = CORRUPT;
	double took = run(l, -1, 0);

	CHECK_INT(l->dropped[1], ==, SWARM_BAD_PIECES);
	CHECK_INT(l->dropped[0], ==, SWARM_FINE);
	CHECK(took / ((double)size / UPLINK) <= 1.3);
	lab_free(l);
}

static void a_leaver_takes_nothing_along(void)
{
	const uint64_t size = 64 * MIB;
	struct lab *l = lab_new(1, 6, size);
	l->node[3].fault = LEAVES;
	double took = run(l, 3, 1000000);

	CHECK(took / ((double)size / UPLINK) <= 1.25);
	lab_free(l);
}

/* A tenth of a second for a piece's kilobyte: without take-over the end would wait minutes for it. */
static void a_trickling_seeder_does_not_hold_up_the_end(void)
{
	const uint64_t size = 32 * MIB;
	struct lab *l = lab_new(2, 4, size);
	l->node[1].rate = 20000;
	double took = run(l, -1, 0);

	CHECK(took / ((double)size / UPLINK) <= 1.5);
	lab_free(l);
}

static const struct CMUnitTest tests[] = {
	TEST(one_seeder_four_leechers),
	TEST(a_single_pair_is_never_idle),
	TEST(four_seeders_share_the_work),
	TEST(a_silent_peer_costs_little),
	TEST(a_corrupting_peer_is_dropped),
	TEST(a_leaver_takes_nothing_along),
	TEST(a_trickling_seeder_does_not_hold_up_the_end),
};
CHECK_MAIN(tests)
