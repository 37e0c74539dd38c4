/* tests/unit/client/test_link_failover.c - what a client may count on when it moves to another tracker. */
#include "tests/unit/client/link_world.h"

static struct world *begin_logged_in(size_t n)
{
	struct world *w = calloc(1, sizeof(*w));
	struct outcome o = { 0 };

	w_init(w, n, AUTO_LOGIN_YES);
	w_login(w, "secret", &o);
	w_run(w, 3000);
	CHECK_INT(o.code, ==, SHOAL_OK);
	CHECK(w_status(w).logged_in);
	buf_free(&o.fields);
	return w;
}

static void end(struct world *w)
{
	w_fini(w);
	free(w);
}

static size_t seen_in_last_hello(const struct world *w)
{
	const struct fake_cmd *hello = w_last_cmd(w, VERB_HELLO);
	struct cursor c = cursor_of(hello->fields.data, hello->fields.len);
	struct req_hello req;

	req_hello_get(&c, &req);
	return req.seen.len / STAMP_WIRE_SIZE;
}

static void refuse_lacking(struct world *w, struct fake_cmd cmd)
{
	w_reply(w, &cmd, (struct rply_head){ .flags = RPLY_LACKS, .code = SHOAL_EBUSY, .message = slice_str("not here yet") },
	        NULL);
}

/* Unlike any other busy it is no reason to try again by oneself: the user is to know. */
static void what_a_tracker_lacks_is_told_once(void)
{
	struct world *w = begin_logged_in(2);
	struct outcome one = { 0 }, two = { 0 }, again = { 0 };

	w_kill(w, 0);
	w->trackers[1].hold = true;
	w_create_group(w, "one", &one);
	w_create_group(w, "two", &two);
	w_run(w, 5000);
	CHECK_INT(seen_in_last_hello(w), ==, 1);
	CHECK_INT(one.finals, ==, 0);
	refuse_lacking(w, w->cmds[w->n_cmds - 2]);
	refuse_lacking(w, w->cmds[w->n_cmds - 1]);
	w_run(w, 10);
	CHECK_INT(one.code, ==, SHOAL_EBUSY);
	CHECK_STR(one.message, "not here yet");
	CHECK_INT(two.finals, ==, 1);
	CHECK_INT(w_count_news(w, LINK_LACKS), ==, 1);
	CHECK_INT(w_count_cmds(w, VERB_CREATE_GROUP, 1), ==, 2); /* not tried again */
	CHECK(w_status(w).logged_in);
	w->trackers[1].hold = false;
	w_create_group(w, "one", &again);
	w_run(w, 10);
	CHECK_INT(again.code, ==, SHOAL_OK);
	w->trackers[0].up = true;
	w_kill(w, 1);
	w_run(w, 1000);
	CHECK_INT(w_status(w).tracker, ==, 1);
	CHECK_INT(seen_in_last_hello(w), ==, 1); /* the new change; what was told is not waited for again */
	buf_free(&one.fields);
	buf_free(&two.fields);
	buf_free(&again.fields);
	end(w);
}

/* A tracker that knows the session by its token only does not know the name: that stays. */
static void a_session_without_a_name_keeps_its_own(void)
{
	struct world *w = begin_logged_in(2);

	w->trackers[1].nameless = true;
	w_kill(w, 0);
	w_run(w, 1000);
	CHECK(w_status(w).logged_in);
	CHECK_STR(w_status(w).user, "ann");
	CHECK_INT(w_count_cmds(w, VERB_LOGIN, 1), ==, 0);
	end(w);
}

/* Packets get lost without a word, nobody asks anything: 20 s after the last sign of life another tracker is there. */
static void silence_is_noticed_within_20_s(void)
{
	for (uint32_t quiet_ms = 0; quiet_ms < 10000; quiet_ms += 700) {
		struct world *w = begin_logged_in(2);

		w_run(w, 20000 + quiet_ms);
		CHECK_INT(w_status(w).tracker, ==, 1);
		w->trackers[0].mute = w->trackers[0].hold = true;
		uint64_t lost = w->now;
		while (w_status(w).tracker != 2 && w->now < lost + 60000)
			w_run(w, 100);
		CHECK_INT(w->now - lost, <=, 20100);
		CHECK(w_status(w).logged_in);
		CHECK_INT(w_count_cmds(w, VERB_LOGIN, -1), ==, 1);
		end(w);
	}
}

/* A command that waits for long (wait_synced) is no silence: heartbeats are answered. */
static void a_slow_answer_is_no_silence(void)
{
	struct world *w = begin_logged_in(2);
	struct outcome group = { 0 };

	w->trackers[0].slow = true;
	w_create_group(w, "band", &group);
	w_run(w, 9000);
	struct fake_cmd late = *w_last_cmd(w, VERB_CREATE_GROUP);
	w_run(w, 51000);
	CHECK_INT(w->n_conns, ==, 1);
	w_answer(w, &late);
	end(w);
	buf_free(&group.fields);
}

/* Trackers that are restarted one after the other: each break is answered at the next one at once, without a pause. */
static void breaks_in_a_row_are_no_bad_luck(void)
{
	struct world *w = begin_logged_in(2);

	for (int i = 0; i < 20; i++) {
		int here = i % 2;
		struct outcome o = { 0 }, before = { 0 };
		w_create_group(w, "before", &before);
		w_run(w, 50);
		CHECK_INT(before.code, ==, SHOAL_OK);
		CHECK_INT(w_status(w).tracker, ==, here + 1);
		w_kill(w, here);
		uint64_t lost = w->now;
		w_create_group(w, "band", &o);
		w_run(w, 10);
		CHECK_INT(o.code, ==, SHOAL_OK);
		CHECK_INT(o.at_ms, ==, lost);
		w->trackers[here].up = true;
		buf_free(&o.fields);
		buf_free(&before.fields);
	}
	end(w);
}

/* ... but one that breaks off at once each time is not dialled without end. */
static void a_tracker_that_always_breaks_off_is_given_time(void)
{
	struct world *w = begin_logged_in(1);

	for (int i = 0; i < 4000; i++) {
		if (w_status(w).up)
			w_break(w, w->n_conns);
		w_run(w, 10);
	}
	CHECK_INT(w->n_conns, <=, 60); /* 40 s, a pause of 2 s or so */
	end(w);
}

/* All clients of a tracker that died come back, but not all at one time: after 2 s and a quarter more or less. */
static void pauses_between_dials_differ(void)
{
	struct world *w = begin_logged_in(1);
	uint64_t last = 0, shortest = UINT64_MAX, longest = 0;

	w_kill(w, 0);
	w_run(w, 20000);
	for (size_t dials = w->n_conns; dials < 60; w_run(w, 10)) {
		if (w->n_conns == dials)
			continue;
		dials = w->n_conns;
		uint64_t pause = w->now - last;
		shortest = last != 0 && pause < shortest ? pause : shortest;
		longest = last != 0 && pause > longest ? pause : longest;
		last = w->now;
	}
	CHECK(longest >= shortest + 250);
	CHECK(shortest + 10 >= 1500 && longest <= 2500 + 10);
	end(w);
}

/* Somebody could not reach us: the tracker asks whether we are there, and gets a heartbeat, but not one for each. */
static void who_is_asked_to_dial_gives_a_sign_of_life(void)
{
	struct world *w = begin_logged_in(1);
	struct buf fields = { 0 };

	w_run(w, 5000);
	size_t before = w_count_cmds(w, VERB_HEARTBEAT, 0);
	ev_dial_put(&fields, &(struct ev_dial){ .address = slice_str("127.0.0.1:5") });
	for (int i = 0; i < 10; i++)
		w_event(w, EVENT_DIAL, &fields);
	w_run(w, 10);
	CHECK_INT(w_count_cmds(w, VERB_HEARTBEAT, 0), ==, before + 1);
	for (int i = 0; i < 30; i++) {
		w_event(w, EVENT_DIAL, &fields);
		w_run(w, 100);
	}
	CHECK_INT(w_count_cmds(w, VERB_HEARTBEAT, 0), ==, before + 4); /* one a second */
	buf_free(&fields);
	end(w);
}

struct meddler {
	struct world *w;
	uint64_t victim;
	unsigned told;
};

static void on_never(void *arg, const struct link_reply *reply)
{
	(void)reply;
	((struct meddler *)arg)->told++;
}

static void cancel_at_news(void *owner, const struct link_news *news)
{
	struct meddler *m = owner;
	if (news->type == LINK_LACKS || news->type == LINK_LOGGED_OUT || news->type == LINK_LOGGED_IN)
		link_cancel(m->w->link, m->victim);
}

/* News come before the answer that they are about: whoever cancels the call then is not called any more. */
static void a_call_may_be_cancelled_at_its_news(void)
{
	static const struct { enum cmd_verb verb; bool lacks; } cases[] = {
		{ VERB_LOGOUT, false }, { VERB_LOGIN, false }, { VERB_LOGIN, true }, { VERB_WHOAMI, true },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct world *w = begin_logged_in(1);
		struct meddler m = { .w = w };
		struct buf fields = { 0 };

		w->trackers[0].hold = true;
		if (cases[i].verb == VERB_LOGIN)
			req_user_password_put(&fields, &(struct req_user_password){ slice_str("ann"), slice_str("secret") });
		m.victim = link_call(w->link, cases[i].verb, &fields, 0, on_never, &m);
		w_run(w, 10);
		w->watch = cancel_at_news;
		w->watch_owner = &m;
		if (cases[i].lacks)
			refuse_lacking(w, *w_last_cmd(w, cases[i].verb));
		else
			w_answer(w, w_last_cmd(w, cases[i].verb));
		w_run(w, 10);
		CHECK_INT(m.told, ==, 0);
		buf_free(&fields);
		end(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_a_tracker_lacks_is_told_once), TEST(a_session_without_a_name_keeps_its_own),
		TEST(silence_is_noticed_within_20_s), TEST(a_slow_answer_is_no_silence),
		TEST(breaks_in_a_row_are_no_bad_luck), TEST(who_is_asked_to_dial_gives_a_sign_of_life), TEST(a_tracker_that_always_breaks_off_is_given_time),
		TEST(pauses_between_dials_differ),
		TEST(a_call_may_be_cancelled_at_its_news),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
