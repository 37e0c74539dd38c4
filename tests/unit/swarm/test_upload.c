/* tests/unit/swarm/test_upload.c - the rules of docs/swarm.md for the serving side. A piece has 1000 bytes. */
#include "core/swarm/upload.h"

#include "core/base/mem.h"
#include "tests/unit/check.h"

enum { PIECE = 1000, NPIECES = 40, PEERS = 12 };
#define MS UINT64_C(1000)

struct lab {
	struct upload *up;
	struct upload_file *file;
	struct upload_conn *conn[PEERS];
	struct upload_channel *ch[PEERS];
};

static uint64_t dice(void *ctx)
{
	(void)ctx;
	return (uint64_t)check_random(1u << 30) << 30 | check_random(1u << 30);
}

static struct lab lab_new(void)
{
	struct lab l = { .up = upload_new(dice, NULL) };
	l.file = upload_file_add(l.up, NPIECES * PIECE - 300, PIECE);
	for (int i = 0; i < PEERS; i++) {
		l.conn[i] = upload_conn_add(l.up);
		l.ch[i] = upload_channel_add(l.up, l.file, l.conn[i], (void *)(intptr_t)i);
		CHECK(l.ch[i] != NULL);
	}
	return l;
}

static void lab_free(struct lab *l)
{
	for (int i = 0; i < PEERS; i++) {
		upload_channel_remove(l->up, l->ch[i], 0);
		upload_conn_remove(l->up, l->conn[i]);
	}
	upload_file_remove(l->up, l->file);
	upload_free(l->up);
}

static void want(struct lab *l, int peer, uint32_t piece)
{
	CHECK_INT(upload_request(l->up, l->ch[peer], piece), ==, SHOAL_OK);
}

/* Which peer starts now; -1: nobody. */
static int next(struct lab *l, uint64_t now, uint32_t *piece)
{
	struct upload_start s;
	if (!upload_next(l->up, now, &s))
		return -1;
	*piece = s.piece;
	return (int)(intptr_t)s.owner;
}

static void serve(struct lab *l, int peer, uint32_t piece, uint64_t now)
{
	uint32_t got = UINT32_MAX;
	want(l, peer, piece);
	CHECK_INT(next(l, now, &got), ==, peer);
	CHECK_INT(got, ==, piece);
	upload_finished(l->up, l->ch[peer], piece, true, now);
}

static void one_at_a_time(void)
{
	struct lab l = lab_new();
	struct upload_start s;
	uint32_t piece = UINT32_MAX;
	want(&l, 0, 1);
	want(&l, 1, 2);
	want(&l, 2, 3);
	want(&l, 2, 4);
	CHECK(upload_next(l.up, 0, &s));
	int first = (int)(intptr_t)s.owner;
	CHECK_INT(s.waiting, ==, first == 2 ? 2 : 3); /* requests of others */
	CHECK(!s.behind);
	CHECK_INT(next(&l, 10 * MS, &piece), ==, -1);
	CHECK_INT(upload_deadline(l.up), ==, 50 * MS);
	upload_finished(l.up, l.ch[first], s.piece, true, 10 * MS);
	CHECK_INT(next(&l, 10 * MS, &piece), !=, -1);
	CHECK_INT(next(&l, 10 * MS, &piece), ==, -1);
	lab_free(&l);
}

static void alone_its_pipeline_stays_full(void)
{
	struct lab l = lab_new();
	struct upload_start s;
	uint32_t piece = UINT32_MAX;
	want(&l, 0, 1);
	want(&l, 0, 2);
	want(&l, 0, 3);
	CHECK(upload_next(l.up, 0, &s) && !s.behind);
	uint32_t first = s.piece;
	CHECK(upload_next(l.up, 0, &s) && s.behind);
	CHECK(!upload_next(l.up, 0, &s)); /* not three */
	upload_finished(l.up, l.ch[0], first, true, 1 * MS);
	CHECK(upload_next(l.up, 1 * MS, &s) && s.behind);
	want(&l, 1, 5); /* somebody else comes: that much is handed out ahead, and no more */
	want(&l, 0, 6);
	CHECK_INT(next(&l, 1 * MS, &piece), ==, -1);
	lab_free(&l);
}

static void a_slow_one_gives_up_the_slot(void)
{
	struct lab l = lab_new();
	struct upload_stats stats;
	uint32_t piece = UINT32_MAX;
	upload_set_limit(l.up, 25000); /* a piece in 40 ms, patience 50 ms */
	for (int i = 0; i < 6; i++)
		want(&l, i, (uint32_t)i);
	uint64_t now = 0;
	for (int i = 0; i < 4; i++, now += 50 * MS) {
		CHECK_INT(next(&l, now, &piece), !=, -1);
		CHECK_INT(next(&l, now + 49 * MS, &piece), ==, -1);
		for (uint32_t k = 0; k < 6; k++) /* they move, but slowly */
			upload_progress(l.up, l.ch[k], k, 1, now + 49 * MS);
	}
	CHECK_INT(next(&l, now, &piece), ==, -1); /* four in all */
	upload_stats(l.up, &stats);
	CHECK_INT(stats.active, ==, 4);
	CHECK_INT(stats.slow, ==, 4);
	uint64_t at = upload_deadline(l.up);
	CHECK(at > now && at <= now + 1000 * MS);
	CHECK_INT(next(&l, at - 1, &piece), ==, -1);
	CHECK_INT(next(&l, at, &piece), !=, -1); /* nothing has moved for a second: stalled ones do not count */
	lab_free(&l);
}

static void a_slow_first_receiver_does_not_pass_for_the_uplink(void)
{
	struct lab l = lab_new();
	uint32_t piece = UINT32_MAX;
	want(&l, 0, 1);
	CHECK_INT(next(&l, 0, &piece), ==, 0);
	for (uint64_t t = 1; t <= 1000; t += 37)
		upload_progress(l.up, l.ch[0], 1, 1, t * MS); /* 27 bytes/s: at that rate a piece takes 37 s */
	want(&l, 1, 2);
	CHECK_INT(next(&l, 2000 * MS, &piece), ==, 1);
	lab_free(&l);
}

static void a_stalled_pipeline_does_not_keep_the_slot(void)
{
	struct lab l = lab_new();
	struct upload_start s;
	uint32_t piece = UINT32_MAX;
	want(&l, 0, 1);
	want(&l, 0, 2);
	CHECK(upload_next(l.up, 0, &s) && upload_next(l.up, 0, &s) && s.behind);
	want(&l, 1, 3);
	CHECK_INT(next(&l, 49 * MS, &piece), ==, -1);
	CHECK_INT(next(&l, 50 * MS, &piece), ==, 1);
	lab_free(&l);
}

static void least_sent_then_unspread_then_poorest(void)
{
	uint32_t piece = UINT32_MAX;
	for (int round = 0; round < 20; round++) {
		struct lab l = lab_new();
		serve(&l, 0, 1, 0); /* piece 1 was sent once, first to 0 */
		want(&l, 1, 1);
		want(&l, 2, 2);
		CHECK_INT(next(&l, 0, &piece), ==, 2); /* (a) */
		upload_finished(l.up, l.ch[2], 2, true, 0);
		upload_cancel(l.up, l.ch[1], 1);
		want(&l, 0, 3); /* 0 has not passed on piece 1 */
		want(&l, 3, 4);
		CHECK_INT(next(&l, 0, &piece), ==, 3); /* (b) */
		upload_finished(l.up, l.ch[3], 4, true, 0);
		upload_on_have(l.up, l.ch[0], 1);      /* its own HAVE does not count */
		want(&l, 4, 5);
		upload_on_bitfield(l.ch[4], 20);
		CHECK_INT(next(&l, 0, &piece), ==, 4);
		upload_finished(l.up, l.ch[4], 5, true, 0);
		upload_on_have(l.up, l.ch[5], 1); /* now it has been passed on */
		want(&l, 5, 6);
		upload_on_bitfield(l.ch[5], 30);
		CHECK_INT(next(&l, 0, &piece), ==, 0); /* (c): it has fewer pieces */
		lab_free(&l);
	}
}

static void equal_ones_by_lot(void)
{
	int seen[4] = { 0 };
	uint32_t piece = UINT32_MAX;
	for (int round = 0; round < 400; round++) {
		struct lab l = lab_new();
		for (int i = 0; i < 4; i++)
			want(&l, i, (uint32_t)i);
		seen[next(&l, 0, &piece)]++;
		lab_free(&l);
	}
	for (int i = 0; i < 4; i++)
		CHECK(seen[i] > 50 && seen[i] < 150); /* 100 expected */
}

static void a_broken_off_piece_was_not_sent(void)
{
	struct lab l = lab_new();
	uint32_t piece = UINT32_MAX;
	want(&l, 0, 1);
	next(&l, 0, &piece);
	CHECK_INT(upload_cancel(l.up, l.ch[0], 1), ==, UPLOAD_BEGUN);
	upload_finished(l.up, l.ch[0], 1, false, 0);
	serve(&l, 1, 2, 0);
	want(&l, 2, 1);
	want(&l, 3, 2);
	CHECK_INT(next(&l, 0, &piece), ==, 2); /* 1 counts as never sent, 2 as once */
	upload_channel_remove(l.up, l.ch[2], 0); /* gone in the middle: the slot is free */
	l.ch[2] = NULL;
	CHECK_INT(next(&l, 0, &piece), ==, 3);
	lab_free(&l);
}

static void cancels_and_limits(void)
{
	struct lab l = lab_new();
	uint32_t piece = UINT32_MAX;
	CHECK_INT(upload_request(l.up, l.ch[0], NPIECES), ==, SHOAL_EPROTO);
	CHECK_INT(upload_request(l.up, l.ch[0], UINT32_MAX), ==, SHOAL_EPROTO);
	for (uint32_t i = 0; i < UPLOAD_WAITING_MAX; i++) {
		want(&l, 0, i);
		want(&l, 0, i); /* twice is once */
	}
	CHECK_INT(upload_request(l.up, l.ch[0], 20), ==, SHOAL_EBUSY);
	want(&l, 1, 20); /* that is per channel */
	CHECK_INT(upload_cancel(l.up, l.ch[0], 5), ==, UPLOAD_FORGOTTEN);
	CHECK_INT(upload_cancel(l.up, l.ch[0], 5), ==, UPLOAD_UNKNOWN);
	want(&l, 0, 20);
	int who = next(&l, 0, &piece);
	want(&l, who, piece); /* under way: not queued again */
	CHECK_INT(upload_cancel(l.up, l.ch[who], piece), ==, UPLOAD_BEGUN);
	upload_finished(l.up, l.ch[who], piece, true, 0);
	CHECK_INT(upload_cancel(l.up, l.ch[who], piece), ==, UPLOAD_UNKNOWN);
	upload_finished(l.up, l.ch[who], piece, true, 0); /* unknown: nothing happens */
	lab_free(&l);
}

/* At 1 GB/s the news from thread to thread would idle the link: the next starts a little before the end. */
static void a_fast_link_is_never_idle(void)
{
	struct lab l = lab_new();
	uint32_t piece = UINT32_MAX;
	upload_set_limit(l.up, 1000000); /* a byte a microsecond; a piece takes 1 ms, half of it is the lead */
	want(&l, 0, 1);
	int first = next(&l, 0, &piece);
	want(&l, 1, 2);
	upload_progress(l.up, l.ch[first], 1, 400, 400);
	CHECK_INT(next(&l, 400, &piece), ==, -1);
	upload_progress(l.up, l.ch[first], 1, 100, 500);
	CHECK_INT(next(&l, 500, &piece), ==, 1);
	lab_free(&l);
}

static void best_is_remembered_and_fades(void)
{
	struct lab l = lab_new();
	struct upload_stats s;
	for (uint64_t t = 1; t <= 201; t++)
		upload_progress(l.up, l.ch[0], 1, 10000, t * MS); /* 10 MB/s */
	upload_stats(l.up, &s);
	CHECK(s.best > 9900000 && s.best < 10200000);
	uint64_t was = s.best;
	for (uint64_t t = 301; t <= 1301; t += 100)
		upload_progress(l.up, l.ch[0], 1, 1, t * MS);
	upload_stats(l.up, &s);
	CHECK(s.best < was && s.best > was * 98 / 100);
	lab_free(&l);
}

/* Whatever comes in whatever order: who asks is served in the end, one transfer a connection, nothing twice. */
static void random_steps_serve_everything(void)
{
	for (int round = 0; round < 60; round++) {
		struct lab l = lab_new();
		bool waiting[PEERS][NPIECES] = { { false } }, begun[PEERS][NPIECES] = { { false } };
		uint64_t now = 0;
		int left = 0;
		for (int step = 0; step < 1500 || left > 0; step++) {
			int p = (int)check_random(PEERS);
			uint32_t piece = check_random(NPIECES);
			struct upload_start s;
			now += check_random(20000);
			if (step < 1500 && check_random(3) == 0 && !begun[p][piece] && !waiting[p][piece] &&
			    upload_request(l.up, l.ch[p], piece) == SHOAL_OK) {
				waiting[p][piece] = true;
				left++;
			} else if (check_random(10) == 0) {
				enum upload_cancelled c = upload_cancel(l.up, l.ch[p], piece);
				CHECK_INT(c, ==, waiting[p][piece] ? UPLOAD_FORGOTTEN
				                 : begun[p][piece] ? UPLOAD_BEGUN : UPLOAD_UNKNOWN);
				left -= waiting[p][piece];
				waiting[p][piece] = false;
			} else if (begun[p][piece]) {
				upload_progress(l.up, l.ch[p], piece, PIECE, now);
				upload_finished(l.up, l.ch[p], piece, check_random(5) != 0, now);
				begun[p][piece] = false;
				left--;
			} else if (check_random(8) == 0)
				upload_on_have(l.up, l.ch[p], piece);
			while (upload_next(l.up, now, &s)) {
				int to = (int)(intptr_t)s.owner, active = 0;
				for (int i = 0; i < NPIECES; i++)
					active += begun[to][i];
				CHECK_INT(active, ==, s.behind ? 1 : 0);
				CHECK(waiting[to][s.piece] && !begun[to][s.piece]);
				waiting[to][s.piece] = false;
				begun[to][s.piece] = true;
			}
			CHECK_INT(step, <, 200000);
		}
		lab_free(&l);
	}
}

static void no_memory_is_an_answer(void)
{
	mem_fail_after(1);
	CHECK(upload_new(dice, NULL) == NULL);
	struct upload *up = upload_new(dice, NULL);
	for (unsigned n = 1; n <= 3; n++) {
		mem_fail_after(n);
		CHECK(upload_file_add(up, 10000, PIECE) == NULL);
	}
	struct upload_file *file = upload_file_add(up, 10000, PIECE);
	struct upload_conn *conn = upload_conn_add(up);
	static const unsigned fails[] = { 1, 2, 3, 1 };
	for (size_t i = 0; i < COUNT_OF(fails); i++) {
		mem_fail_after(fails[i]);
		CHECK(upload_channel_add(up, file, conn, NULL) == NULL);
		mem_fail_after(0);
	}
	struct upload_channel *ch = upload_channel_add(up, file, conn, NULL);
	CHECK(ch != NULL);
	upload_channel_remove(up, ch, 0);
	upload_conn_remove(up, conn);
	upload_file_remove(up, file);
	upload_free(up);
}

static const struct CMUnitTest tests[] = {
	TEST(one_at_a_time),
	TEST(alone_its_pipeline_stays_full),
	TEST(a_slow_one_gives_up_the_slot),
	TEST(a_slow_first_receiver_does_not_pass_for_the_uplink),
	TEST(a_stalled_pipeline_does_not_keep_the_slot),
	TEST(least_sent_then_unspread_then_poorest),
	TEST(equal_ones_by_lot),
	TEST(a_broken_off_piece_was_not_sent),
	TEST(cancels_and_limits),
	TEST(a_fast_link_is_never_idle),
	TEST(best_is_remembered_and_fades),
	TEST(random_steps_serve_everything),
	TEST(no_memory_is_an_answer),
};
CHECK_MAIN(tests)
