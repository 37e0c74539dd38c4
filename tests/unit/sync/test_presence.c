/* tests/unit/sync/test_presence.c - leases told by sums: they last while the home says so, and never longer. */
#include "core/sync/lease_book.h"
#include "tests/unit/sync/sync_lab.h"

#define ADDR "10.0.0.1:77"

static struct sync_session session(uint64_t seq, uint16_t home, uint64_t epoch, uint32_t left_ms)
{
	return (struct sync_session){ .dot = { 9, seq }, .home = home, .epoch = epoch, .left_ms = left_ms,
		                      .address = slice_str(ADDR) };
}

/* -- one book tells another */

static struct lease *lease_of(const struct lease_book *b, uint64_t seq)
{
	struct dot dot = { 9, seq };
	struct lease *l;
	HASH_FIND(hh, b->leases, &dot, sizeof(dot), l);
	return l != NULL && !l->gone ? l : NULL;
}

static bool own(struct lease_book *b, struct lease_book *to, struct sync_session s, uint64_t now)
{
	bool steady, told = lease_book_put_own(b, &s, now, &s.beat, &steady);
	if (told && to != NULL)
		(void)lease_book_take(to, &s, steady, now);
	return told;
}

static void none(void *arg, const struct lease *l)
{
	(void)l;
	(*(unsigned *)arg)++;
}

/* What `to` makes of what `from` says of that home. */
static bool tell_sum(struct lease_book *from, struct lease_book *to, uint16_t home, bool is_home, uint64_t now)
{
	struct lease_home *h = lease_book_need_home(from, home), *there = lease_book_need_home(to, home);
	unsigned renewed = 0;
	if (is_home)
		lease_book_beat(from, h);
	struct lease_sum sum = lease_home_sum(h, now);
	return lease_home_renew(there, &sum, now, none, &renewed);
}

static void tell_all(const struct lease_book *from, struct lease_book *to, uint16_t home, uint64_t now)
{
	const struct lease *l;
	lease_home_begin_answer(lease_book_need_home(to, home), 1, now);
	LIST_FOREACH(l, &lease_book_home(from, home)->leases, of_home) {
		struct sync_session s = l->session;
		s.left_ms = lease_left(l, now);
		if (s.left_ms != 0)
			(void)lease_book_take(to, &s, l->steady, now);
	}
	lease_home_end_answer(lease_book_home(to, home));
}

static void a_sum_renews_what_both_hold_to_the_least_that_is_left(void)
{
	struct lease_book a = { 0 }, b = { 0 };
	CHECK(own(&a, &b, session(1, 1, 5, 30000), 0));
	CHECK(own(&a, &b, session(2, 1, 6, 30000), 0));
	CHECK(!own(&a, &b, session(1, 1, 5, 28000), 10000)); /* renewed: no news */
	CHECK(!own(&a, &b, session(2, 1, 6, 20000), 10000));
	CHECK(tell_sum(&a, &b, 1, true, 10000));
	CHECK_INT(lease_of(&b, 1)->until_ms, ==, 30000);
	CHECK(!own(&a, &b, session(1, 1, 5, 30000), 20000));
	CHECK(!own(&a, &b, session(2, 1, 6, 29000), 20000));
	CHECK(tell_sum(&a, &b, 1, true, 20000));
	CHECK_INT(lease_of(&b, 1)->until_ms, ==, 49000);
	CHECK_INT(lease_of(&b, 2)->until_ms, ==, 49000);
	lease_book_fini(&a);
	lease_book_fini(&b);
}

static void who_falls_silent_is_told_and_runs_out_while_the_others_go_on(void)
{
	struct lease_book a = { 0 }, b = { 0 };
	CHECK(own(&a, &b, session(1, 1, 5, 30000), 0));
	CHECK(own(&a, &b, session(2, 1, 6, 30000), 0));
	CHECK(own(&a, &b, session(1, 1, 5, LEASE_STEADY_MS - 1), 15001));
	CHECK(!own(&a, &b, session(1, 1, 5, LEASE_STEADY_MS - 2), 15002)); /* said already */
	CHECK(!own(&a, &b, session(2, 1, 6, 30000), 20000));
	CHECK(tell_sum(&a, &b, 1, true, 20000));
	CHECK_INT(lease_of(&b, 1)->until_ms, ==, 30000);
	CHECK_INT(lease_of(&b, 2)->until_ms, ==, 50000);
	CHECK(own(&a, &b, session(1, 1, 5, 30000), 21000)); /* there he is */
	CHECK(tell_sum(&a, &b, 1, true, 22000));
	CHECK_INT(lease_of(&b, 1)->until_ms, ==, 51000);
	lease_book_fini(&a);
	lease_book_fini(&b);
}

static void what_was_missed_is_asked_for_and_what_is_too_much_runs_out(void)
{
	struct lease_book a = { 0 }, b = { 0 };
	CHECK(own(&a, &b, session(1, 1, 5, 30000), 0));
	CHECK(own(&a, &b, session(2, 1, 6, 30000), 0));
	CHECK(own(&a, NULL, session(3, 1, 7, 30000), 0)); /* both got lost */
	CHECK(own(&a, NULL, session(1, 1, 5, 0), 1000));
	CHECK(!tell_sum(&a, &b, 1, true, 10000));
	CHECK_INT(lease_of(&b, 2)->until_ms, ==, 30000);
	CHECK(!own(&a, &b, session(2, 1, 6, 30000), 10000));
	CHECK(!own(&a, &b, session(3, 1, 7, 30000), 10000));
	tell_all(&a, &b, 1, 10000);
	CHECK_INT(lease_of(&b, 2)->until_ms, ==, 40000);
	CHECK_INT(lease_of(&b, 3)->until_ms, ==, 40000);
	CHECK(tell_sum(&a, &b, 1, true, 12000)); /* session 1 does not stand in the way */
	CHECK_INT(lease_of(&b, 1)->until_ms, ==, 30000);
	lease_book_expire(&b, 30000);
	CHECK(lease_of(&b, 1) == NULL);
	lease_book_fini(&a);
	lease_book_fini(&b);
}

static size_t known(const struct lease_book *b)
{
	return HASH_COUNT(b->leases);
}

static void who_has_run_out_is_not_brought_back_by_who_holds_it_longer(void)
{
	struct lease_book a = { 0 }, b = { 0 }, c = { 0 };
	struct sync_session s = session(1, 1, 5, 30000);
	CHECK(own(&a, &b, s, 0));
	s.beat = lease_of(&a, 1)->session.beat;
	CHECK(lease_book_take(&c, &s, true, 29000)); /* it was long on its way */
	lease_book_expire(&b, 30000);
	CHECK(lease_of(&b, 1) == NULL);
	for (uint64_t now = 30001; now < 59000; now += 1000) {
		tell_all(&c, &b, 1, now);
		lease_book_expire(&b, now);
		CHECK(lease_of(&b, 1) == NULL);
	}
	s.left_ms = 5000;
	CHECK(!lease_book_take(&b, &s, true, 94999)); /* the last that could be under way */
	lease_book_expire(&b, 94999);
	CHECK_INT(known(&b), ==, 1);
	lease_book_expire(&b, 95000);
	CHECK_INT(known(&b), ==, 0);
	CHECK(own(&a, &b, session(1, 1, 6, 30000), 95000)); /* he himself may come back */
	CHECK(lease_of(&b, 1) != NULL);
	lease_book_fini(&a);
	lease_book_fini(&b);
	lease_book_fini(&c);
}

static void who_was_told_to_be_gone_is_not_brought_back_by_who_has_not_heard(void)
{
	struct lease_book a = { 0 }, b = { 0 }, c = { 0 };
	CHECK(own(&a, &c, session(1, 1, 5, 30000), 0));
	CHECK(own(&a, &b, session(1, 1, 5, 0), 1000)); /* that is the first that b hears of him */
	tell_all(&c, &b, 1, 1100);
	CHECK(lease_of(&b, 1) == NULL);
	tell_all(&c, &a, 1, 1100); /* nor at his own tracker */
	CHECK(lease_of(&a, 1) == NULL);
	lease_book_fini(&a);
	lease_book_fini(&b);
	lease_book_fini(&c);
}

static void who_moved_is_counted_where_he_is_now(void)
{
	struct lease_book a = { 0 }, b = { 0 };
	CHECK(own(&a, &b, session(1, 1, 5, 30000), 0));
	CHECK(own(&b, &a, session(1, 2, 8, 30000), 1000));
	CHECK(!own(&a, &b, session(1, 1, 5, 0), 1001)); /* the old connection is a leftover */
	CHECK(tell_sum(&a, &b, 1, true, 2000));
	CHECK(tell_sum(&b, &a, 2, true, 20000));
	CHECK_INT(lease_book_home(&a, 1)->steady, ==, 0);
	CHECK_INT(lease_book_home(&a, 2)->steady, ==, 1);
	lease_book_fini(&a);
	lease_book_fini(&b);
}

static void without_memory_nothing_changes(void)
{
	for (unsigned n = 1; n < 5; n++) {
		struct lease_book a = { 0 }, b = { 0 };
		mem_fail_after(n);
		CHECK(own(&a, NULL, session(1, 1, 5, 30000), 0)); /* told in any case */
		mem_fail_after(0);
		if (lease_of(&a, 1) == NULL)
			CHECK(own(&a, NULL, session(1, 1, 5, 30000), 10)); /* and kept when it can be */
		CHECK(lease_of(&a, 1) != NULL);
		struct sync_session s = session(1, 1, 5, 30000);
		s.beat = 3;
		mem_fail_after(n);
		(void)lease_book_take(&b, &s, true, 0);
		mem_fail_after(0);
		(void)lease_book_take(&b, &s, true, 0);
		CHECK(tell_sum(&a, &b, 1, true, 20));
		lease_book_fini(&a);
		lease_book_fini(&b);
	}
}

/* Four books, 1 the home of eight sessions, who come, beat, hang, leave at random. Whatever is told by whom to whom, late
 * by up to 200 ms or not at all: nobody holds a lease for longer than 30 s after the last beat, and three ways. */
enum { BOOKS = 4, SESSIONS = 8, LATE_MS = 200 };

static void exchange(struct lease_book *books, unsigned from, unsigned to, uint64_t now)
{
	struct lease_book *f = &books[from], *t = &books[to];
	struct lease_home *h = lease_book_need_home(f, 1), *there = lease_book_need_home(t, 1);
	uint64_t arrives = now + check_random(LATE_MS + 1);
	unsigned renewed = 0;

	if (from == 0)
		lease_book_beat(f, h);
	struct lease_sum sum = lease_home_sum(h, now);
	if (lease_home_renew(there, &sum, arrives, none, &renewed) || check_random(3) == 0)
		return;
	const struct lease *l;
	lease_home_begin_answer(there, 1, now);
	LIST_FOREACH(l, &h->leases, of_home) {
		struct sync_session s = l->session;
		s.left_ms = lease_left(l, now);
		if (s.left_ms != 0)
			(void)lease_book_take(t, &s, l->steady, arrives);
	}
	if (check_random(4) != 0)
		lease_home_end_answer(there);
}

static void act(struct lease_book *books, uint64_t *beaten, uint64_t *until, uint64_t *epoch, unsigned k, uint64_t now)
{
	unsigned what = check_random(20);
	if (what == 0 || until[k] <= now) { /* comes, or comes back */
		epoch[k] = now;
		beaten[k] = now;
		until[k] = now + 30000;
	} else if (what == 1) {
		until[k] = now;
	} else if (what == 2 && until[k] > now + 2000) { /* its connection broke */
		until[k] = now + 2000;
	} else if (what < 16 && k % 4 != 0) { /* every fourth never beats */
		beaten[k] = now;
		until[k] = now + 30000;
	}
	struct sync_session s = session(k + 1, 1, epoch[k], (uint32_t)(until[k] - now));
	bool steady, told = lease_book_put_own(&books[0], &s, now, &s.beat, &steady);
	for (unsigned i = 1; i < BOOKS; i++)
		if (told && check_random(3) != 0)
			(void)lease_book_take(&books[i], &s, steady, now + check_random(LATE_MS + 1));
}

static void a_lease_never_outlives_its_source(void)
{
	struct lease_book books[BOOKS] = { 0 };
	uint64_t beaten[SESSIONS] = { 0 }, until[SESSIONS] = { 0 }, epoch[SESSIONS] = { 0 }, now = 1;
	unsigned held = 0;

	for (unsigned step = 0; step < 20000; step++) {
		now += 100 + check_random(500);
		bool dead = step / 300 % 4 == 3; /* the home says nothing for a while */
		if (!dead && check_random(3) == 0)
			act(books, beaten, until, epoch, check_random(SESSIONS), now);
		unsigned from = check_random(BOOKS), to = 1 + check_random(BOOKS - 1);
		if (from != to && !(dead && from == 0)) {
			lease_book_expire(&books[from], now);
			exchange(books, from, to, now);
		}
		for (unsigned i = 1; i < BOOKS; i++)
			for (unsigned k = 0; k < SESSIONS; k++) {
				const struct lease *l = lease_of(&books[i], k + 1);
				held += l != NULL;
				if (l != NULL)
					CHECK_INT(l->until_ms, <=, beaten[k] + 30000 + (BOOKS - 1) * LATE_MS);
			}
	}
	CHECK_INT(held, >, 1000);
	for (unsigned i = 0; i < BOOKS; i++)
		lease_book_fini(&books[i]);
}

/* -- whole links */

enum { OWN = 50, MANY = 20000 };

static void send_sessions(struct lab_node *n, unsigned count)
{
	for (unsigned k = 1; k <= count; k++) {
		struct sync_session s = session(k, n->id, 100, 25000);
		if (!sync_renew_session(n->sync, &s))
			sync_send_session(n->sync, &s);
	}
}

static void send_own(struct lab_node *n)
{
	send_sessions(n, OWN);
}

static void send_many(struct lab_node *n)
{
	send_sessions(n, MANY);
}

/* The end of the lease of which it was told last. */
static uint64_t until_of(const struct lab_node *n)
{
	return n->last_at + n->last.left_ms;
}

static void who_is_idle_costs_nothing_but_sums(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	a->leases = send_own;
	lab_run(lab, 6000);
	uint64_t told = sync_counters(a->sync)->leases_told, heard = sync_counters(b->sync)->leases_heard;
	CHECK_INT(heard, >=, OWN);
	lab_run(lab, 120000);
	CHECK_INT(sync_counters(a->sync)->leases_told, ==, told);
	CHECK_INT(sync_counters(b->sync)->leases_heard, ==, heard);
	CHECK_INT(sync_counters(b->sync)->leases_renewed, >=, 40 * OWN);
	CHECK_INT(until_of(b), >, lab->now + 15000);
	CHECK_INT(a->sessions, ==, 0);
	lab_free(lab);
}

static void who_is_told_of_by_a_third_lasts_and_ends_with_its_source(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 3), *c = lab_up(lab, 3, 3);
	(void)b; /* 1 does not know 3: they have no link, 2 has one with each */
	a->leases = send_own;
	lab_run(lab, 60000);
	CHECK_INT(c->last.home, ==, 1);
	CHECK_INT(until_of(c), >, lab->now + 10000);
	uint64_t heard = sync_counters(c->sync)->leases_heard;
	lab_run(lab, 60000);
	CHECK_INT(sync_counters(c->sync)->leases_heard, ==, heard); /* by sums alone */
	CHECK_INT(until_of(c), >, lab->now + 10000);
	lab_down(a);
	uint64_t died = lab->now;
	lab_run(lab, 90000);
	CHECK_INT(until_of(c), <=, died + 30000);
	lab_free(lab);
}

static void what_was_told_while_the_link_was_down_is_told_after_it(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	lab_run(lab, 6000);
	b->cut_off = true;
	lab_run(lab, 8000);
	a->leases = send_own;
	lab_run(lab, 3000);
	CHECK_INT(b->sessions, ==, 0);
	b->cut_off = false;
	lab_run(lab, 6000);
	CHECK_INT(b->sessions, >=, OWN);
	CHECK_INT(sync_counters(b->sync)->leases_asked, ==, 1);
	lab_free(lab);
}

/* He was at 1, whose clock is ahead, while 2 could not hear of it; then he came to 2, and 1 is silent about him. */
static void a_home_is_told_of_an_end_that_counts_as_later(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 3), *b = lab_up(lab, 2, 3), *c = lab_up(lab, 3, 3);
	struct sync_session s = session(1, 1, 200, 25000);

	lab_run(lab, 6000);
	b->cut_off = true;
	lab_run(lab, 8000);
	sync_send_session(a->sync, &s);
	lab_run(lab, 1000);
	CHECK_INT(c->last.epoch, ==, 200);
	s.left_ms = 0;
	sync_send_session(a->sync, &s);
	lab_run(lab, 1000);
	lab_down(a);
	s = session(1, 2, 100, 25000);
	sync_send_session(b->sync, &s);
	b->cut_off = false;
	CHECK_INT(b->sessions, ==, 0);
	lab_run(lab, 8000);
	CHECK_INT(b->sessions, >=, 1);
	CHECK(b->last.home == 1 && b->last.epoch == 200 && b->last.left_ms == 0);
	s.epoch = 201; /* what its owner makes of that when the client says something */
	sync_send_session(b->sync, &s);
	lab_run(lab, 1000);
	CHECK(c->last.home == 2 && c->last.epoch == 201 && c->last.left_ms != 0);
	lab_free(lab);
}

static void more_than_a_link_takes_at_once_are_told_one_after_the_other(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	lab->mtu = 16000;
	lab_run(lab, 3000);
	a->leases = send_many;
	lab_run(lab, 10000);
	CHECK_INT(b->sessions, >=, MANY);
	CHECK_INT(sync_counters(b->sync)->leases_asked, ==, 1);
	CHECK_INT(sync_counters(b->sync)->lost, ==, 0);
	uint64_t heard = sync_counters(b->sync)->leases_heard;
	lab_run(lab, 30000);
	CHECK_INT(sync_counters(b->sync)->leases_heard, ==, heard);
	CHECK_INT(sync_counters(b->sync)->leases_renewed, >=, 2 * MANY);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_sum_renews_what_both_hold_to_the_least_that_is_left),
		TEST(who_falls_silent_is_told_and_runs_out_while_the_others_go_on),
		TEST(what_was_missed_is_asked_for_and_what_is_too_much_runs_out),
		TEST(who_has_run_out_is_not_brought_back_by_who_holds_it_longer),
		TEST(who_was_told_to_be_gone_is_not_brought_back_by_who_has_not_heard),
		TEST(who_moved_is_counted_where_he_is_now),
		TEST(without_memory_nothing_changes),
		TEST(a_lease_never_outlives_its_source),
		TEST(who_is_idle_costs_nothing_but_sums),
		TEST(who_is_told_of_by_a_third_lasts_and_ends_with_its_source),
		TEST(what_was_told_while_the_link_was_down_is_told_after_it),
		TEST(a_home_is_told_of_an_end_that_counts_as_later),
		TEST(more_than_a_link_takes_at_once_are_told_one_after_the_other),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
