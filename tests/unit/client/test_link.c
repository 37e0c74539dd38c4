/* tests/unit/client/test_link.c - the tracker link, in virtual time against scripted trackers. */
#include "tests/unit/client/link_world.h"

static struct world *begin(size_t n, enum auto_login how)
{
	struct world *w = calloc(1, sizeof(*w));
	w_init(w, n, how);
	return w;
}

static void end(struct world *w)
{
	w_fini(w);
	free(w);
}

static void done_with(struct outcome *o)
{
	buf_free(&o->fields);
}

static struct world *begin_logged_in(size_t n, enum auto_login how)
{
	struct world *w = begin(n, how);
	struct outcome o = { 0 };
	w_login(w, "secret", &o);
	w_run(w, 3000);
	CHECK_INT(o.code, ==, SHOAL_OK);
	CHECK_INT(o.finals, ==, 1);
	CHECK(w_status(w).logged_in);
	done_with(&o);
	return w;
}

static void a_command_gets_its_answer(void)
{
	struct world *w = begin(2, AUTO_LOGIN_YES);
	struct outcome login = { 0 }, group = { 0 };
	w_login(w, "secret", &login);
	w_create_group(w, "band", &group);
	w_run(w, 100);
	CHECK_INT(login.code, ==, SHOAL_OK);
	CHECK(!stamp_is_zero(&login.stamp));
	CHECK_INT(group.code, ==, SHOAL_OK);
	CHECK_INT(group.finals, ==, 1);
	CHECK(!stamp_is_zero(&group.stamp));
	CHECK_INT(group.fields.len, ==, 16);
	CHECK_INT(w->cmds[0].head.verb, ==, VERB_HELLO);
	CHECK_INT(w->cmds[1].head.verb, ==, VERB_LOGIN);
	CHECK_INT(w->cmds[2].head.verb, ==, VERB_CREATE_GROUP);
	CHECK(id16_is_zero(&w->cmds[0].head.request));
	CHECK(!id16_is_zero(&w->cmds[2].head.request));
	struct link_status status = w_status(w);
	CHECK(status.up && status.logged_in);
	CHECK_STR(status.user, "ann");
	CHECK_INT(status.tracker, ==, 1);
	CHECK_INT(status.clock_offset_ms, ==, 5000);
	CHECK_STR(status.you.host, "127.0.0.1");
	CHECK_INT(w_count_news(w, LINK_UP), ==, 1);
	CHECK_INT(w_count_news(w, LINK_LOGGED_IN), ==, 1);
	done_with(&login);
	done_with(&group);
	end(w);
}

static void what_needs_a_login_waits_for_it(void)
{
	struct world *w = begin(1, AUTO_LOGIN_YES);
	struct outcome login = { 0 }, group = { 0 };
	w->trackers[0].hold = true;
	w_login(w, "secret", &login);
	w_create_group(w, "band", &group);
	w_run(w, 100);
	CHECK_INT(w_count_cmds(w, VERB_LOGIN, 0), ==, 1);
	CHECK_INT(w_count_cmds(w, VERB_CREATE_GROUP, 0), ==, 0);
	w_refuse(w, w_last_cmd(w, VERB_LOGIN), SHOAL_EAUTH, "wrong");
	w_run(w, 100);
	CHECK_INT(login.code, ==, SHOAL_EAUTH);
	CHECK_INT(group.code, ==, SHOAL_EAUTH);
	CHECK_INT(group.finals, ==, 1);
	CHECK_INT(w_count_cmds(w, VERB_CREATE_GROUP, 0), ==, 0);
	done_with(&login);
	done_with(&group);
	end(w);
}

static void failover_sends_the_same_request_again(void)
{
	struct world *w = begin_logged_in(3, AUTO_LOGIN_YES);
	struct outcome group = { 0 };
	w->trackers[0].hold = true;
	w_create_group(w, "band", &group);
	w_run(w, 50);
	struct id16 request = w_last_cmd(w, VERB_CREATE_GROUP)->head.request;
	w_apply(w, &request); /* it took effect, and then the tracker died */
	size_t applied = w->n_applied;
	uint64_t before = w->now;
	w_kill(w, 0);
	w_run(w, 1000);
	CHECK_INT(group.code, ==, SHOAL_OK);
	CHECK_INT(group.finals, ==, 1);
	CHECK_INT(group.at_ms, ==, before); /* at once */
	CHECK(id16_eq(&w_last_cmd(w, VERB_CREATE_GROUP)->head.request, &request));
	CHECK_INT(w_last_cmd(w, VERB_CREATE_GROUP)->tracker, ==, 1);
	CHECK_INT(w->n_applied, ==, applied);
	CHECK(w_hello_had_token(w));
	CHECK_INT(w_count_cmds(w, VERB_LOGIN, -1), ==, 1);
	CHECK_INT(w_count_news(w, LINK_LOST), ==, 1);
	CHECK_INT(w_count_news(w, LINK_LOGGED_IN), ==, 2);
	CHECK_INT(w_count_news(w, LINK_LOGGED_OUT), ==, 0);
	done_with(&group);
	end(w);
}

static void hello_tells_the_stamps_of_our_changes(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	struct req_hello req;
	w_kill(w, 0);
	w_run(w, 100);
	const struct fake_cmd *hello = w_last_cmd(w, VERB_HELLO);
	struct cursor c = cursor_of(hello->fields.data, hello->fields.len);
	req_hello_get(&c, &req);
	CHECK_INT(req.seen.len, ==, STAMP_WIRE_SIZE);
	CHECK(slice_eq_str(req.listen, "0.0.0.0:4000"));
	end(w);
}

static void a_wrong_identity_is_told_nothing(void)
{
	struct world *w = begin(2, AUTO_LOGIN_YES);
	struct outcome login = { 0 };
	w->trackers[0].identity.b[0] = 1;
	w_login(w, "secret", &login);
	w_run(w, 100);
	CHECK_INT(login.code, ==, SHOAL_OK);
	CHECK_INT(w_status(w).tracker, ==, 2);
	CHECK_INT(w_count_cmds(w, VERB_HELLO, 0), ==, 0);
	CHECK_INT(w_count_news(w, LINK_REFUSED), ==, 1);
	done_with(&login);
	end(w);
}

static void only_wrong_identities_is_an_answer_at_once(void)
{
	struct world *w = begin(2, AUTO_LOGIN_YES);
	struct outcome login = { 0 };
	w->trackers[0].identity.b[0] = w->trackers[1].identity.b[0] = 1;
	w_login(w, "secret", &login);
	w_run(w, 100);
	CHECK_INT(login.code, ==, SHOAL_EDENIED);
	CHECK(strstr(login.message, "wrong identity") != NULL);
	w_run(w, 20000);
	CHECK_INT(w_count_news(w, LINK_REFUSED), ==, 2); /* loud, but not for ever */
	CHECK_INT(w->n_cmds, ==, 0);
	w->trackers[1].identity = w->cluster; /* repaired */
	w_run(w, 3000);
	CHECK(w_status(w).up);
	done_with(&login);
	end(w);
}

static void a_refused_token_means_a_new_login(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	struct outcome group = { 0 };
	w->trackers[1].refuse_token = true;
	w_kill(w, 0);
	w_create_group(w, "band", &group);
	w_run(w, 1000);
	CHECK_INT(group.code, ==, SHOAL_OK);
	CHECK_INT(w_count_cmds(w, VERB_LOGIN, 1), ==, 1);
	CHECK(w_status(w).logged_in);
	CHECK_INT(w_count_news(w, LINK_LOGGED_OUT), ==, 0);
	done_with(&group);
	end(w);
}

static void a_refused_login_after_that_is_the_end(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	struct outcome group = { 0 };
	w->trackers[1].refuse_token = w->trackers[1].refuse_login = true;
	w_kill(w, 0);
	w_create_group(w, "band", &group);
	w_run(w, 1000);
	CHECK_INT(group.code, ==, SHOAL_EAUTH);
	CHECK(!w_status(w).logged_in);
	CHECK_INT(w_count_news(w, LINK_LOGGED_OUT), ==, 1);
	done_with(&group);
	end(w);
}

static void without_auto_login_a_break_logs_out(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_NO);
	struct outcome group = { 0 };
	w->trackers[0].hold = true;
	w_create_group(w, "band", &group);
	w_run(w, 50);
	w_kill(w, 0);
	w_run(w, 1000);
	CHECK_INT(group.code, ==, SHOAL_EAUTH);
	CHECK_INT(w_count_news(w, LINK_LOGGED_OUT), ==, 1);
	CHECK(!w_hello_had_token(w));
	CHECK(w_status(w).up && !w_status(w).logged_in);
	done_with(&group);
	end(w);
}

static void the_question_is_asked_once(void)
{
	struct world *w = begin_logged_in(3, AUTO_LOGIN_ASK);
	struct outcome group = { 0 };
	w_kill(w, 0);
	w_create_group(w, "band", &group);
	w_run(w, 500);
	CHECK_INT(w_count_news(w, LINK_ASK), ==, 1);
	CHECK(!w_hello_had_token(w));
	CHECK_INT(group.finals, ==, 0);
	w_kill(w, 1); /* while the question is open */
	w_run(w, 500);
	CHECK_INT(w_count_news(w, LINK_ASK), ==, 1);
	link_answer(w->link, true);
	w_run(w, 500);
	CHECK_INT(w_count_cmds(w, VERB_RESUME, 2), ==, 1);
	CHECK_INT(group.code, ==, SHOAL_OK);
	CHECK_INT(group.finals, ==, 1);
	w->trackers[0].up = true;
	w_run(w, 5000);
	w_kill(w, 2);
	w_run(w, 500);
	CHECK(w_status(w).logged_in); /* the answer is remembered */
	CHECK(w_hello_had_token(w));
	CHECK_INT(w_count_news(w, LINK_ASK), ==, 1);
	done_with(&group);
	end(w);
}

static void no_to_the_question_logs_out(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_ASK);
	struct outcome group = { 0 };
	w_kill(w, 0);
	w_create_group(w, "band", &group);
	w_run(w, 500);
	link_answer(w->link, false);
	w_run(w, 10);
	CHECK_INT(group.code, ==, SHOAL_EAUTH);
	CHECK_INT(w_count_news(w, LINK_LOGGED_OUT), ==, 1);
	CHECK_INT(w_count_cmds(w, VERB_RESUME, -1), ==, 0);
	done_with(&group);
	end(w);
}

static void yes_with_a_refused_token_logs_in_again(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_ASK);
	w->trackers[1].refuse_token = true;
	w_kill(w, 0);
	w_run(w, 500);
	link_answer(w->link, true);
	w_run(w, 500);
	CHECK_INT(w_count_cmds(w, VERB_RESUME, 1), ==, 1);
	CHECK_INT(w_count_cmds(w, VERB_LOGIN, 1), ==, 1);
	CHECK(w_status(w).logged_in);
	end(w);
}

static void without_any_tracker_a_call_ends_offline(void)
{
	struct world *w = begin(2, AUTO_LOGIN_YES);
	struct outcome login = { 0 };
	w->trackers[0].up = w->trackers[1].up = false;
	w_login(w, "secret", &login);
	w_run(w, 9999);
	CHECK_INT(login.finals, ==, 0);
	w_run(w, 2);
	CHECK_INT(login.finals, ==, 1);
	CHECK_INT(login.code, ==, SHOAL_EOFFLINE);
	CHECK(strstr(login.message, "connection refused") != NULL);
	size_t dials = w->n_conns;
	CHECK_INT(dials, >=, 8);
	CHECK_INT(dials, <=, 30);
	w_run(w, 60000); /* a round every 2 s or so */
	CHECK_INT(w->n_conns - dials, <=, 2 * 60000 / 1500);
	w->trackers[1].up = true;
	w_run(w, 3000);
	CHECK(w_status(w).up);
	done_with(&login);
	end(w);
}

/* Offline for long: who asks then is not held up for 10 s each time. */
static void when_it_is_known_to_be_offline_a_call_is_quick(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	struct outcome group = { 0 };
	w_kill(w, 0);
	w_kill(w, 1);
	w_create_group(w, "band", &group);
	uint64_t asked = w->now;
	w_run(w, 10001);
	CHECK_INT(group.code, ==, SHOAL_EOFFLINE);
	CHECK_INT(group.at_ms - asked, ==, 10000); /* it might have been a failover */

	size_t dials = w->n_conns;
	for (int i = 0; i < 3; i++) {
		w_create_group(w, "band", &group);
		asked = w->now;
		w_run(w, 1500);
		CHECK_INT(group.code, ==, SHOAL_EOFFLINE);
		CHECK_INT(group.at_ms - asked, ==, 1000);
	}
	CHECK_INT(w->n_conns - dials, >=, 6); /* each tracker was tried once more for each */
	CHECK_INT(w_count_news(w, LINK_LOST), ==, 1);
	done_with(&group);
	end(w);
}

/* In that second the call has trackers tried at once, and once there is one it is as patient as any. */
static void a_quick_call_finds_a_tracker_that_is_back(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	struct outcome group = { 0 };
	w_kill(w, 0);
	w_kill(w, 1);
	w_run(w, 30000);
	w->trackers[1].up = true;
	w->trackers[1].hold = true;
	w_create_group(w, "band", &group);
	uint64_t asked = w->now;
	w_run(w, 500);
	CHECK_INT(w_count_cmds(w, VERB_CREATE_GROUP, 1), ==, 1);
	w_run(w, 5000);
	CHECK_INT(group.finals, ==, 0);
	struct fake_cmd cmd = *w_last_cmd(w, VERB_CREATE_GROUP);
	w_answer(w, &cmd);
	w_run(w, 10);
	CHECK_INT(group.code, ==, SHOAL_OK);
	CHECK_INT(group.at_ms - asked, >=, 5000);
	done_with(&group);
	end(w);
}

/* Trackers that come back within a call's deadline: it has not failed, as often as that happens. */
static void a_failover_within_the_deadline_is_no_failure(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	for (int round = 0; round < 3; round++) {
		struct outcome group = { 0 };
		w_kill(w, 0);
		w_kill(w, 1);
		w_run(w, 4000);
		w_create_group(w, "band", &group);
		w_run(w, 5000);
		CHECK_INT(group.finals, ==, 0);
		w->trackers[round % 2].up = true;
		w_run(w, 4000);
		CHECK_INT(group.code, ==, SHOAL_OK);
		CHECK_INT(group.finals, ==, 1);
		done_with(&group);
	}
	CHECK_INT(w_count_news(w, LINK_LOST), ==, 3);
	end(w);
}

static void no_tracker_at_the_beginning_is_told_once(void)
{
	struct world *w = begin(2, AUTO_LOGIN_YES);
	w->trackers[0].up = w->trackers[1].up = false;
	w_run(w, 990);
	CHECK_INT(w_count_news(w, LINK_LOST), ==, 0);
	w_run(w, 60000);
	CHECK_INT(w_count_news(w, LINK_LOST), ==, 1);
	CHECK(strstr(w->news_text[0], "connection refused") != NULL);
	w->trackers[1].up = true;
	w_run(w, 3000);
	CHECK_INT(w_count_news(w, LINK_UP), ==, 1);
	w_kill(w, 1);
	w_run(w, 60000);
	CHECK_INT(w_count_news(w, LINK_LOST), ==, 2);
	end(w);
}

static void the_end_names_refusal_and_network(void)
{
	struct world *w = begin(2, AUTO_LOGIN_YES);
	struct outcome login = { 0 };
	w->trackers[0].identity.b[0] = 1;
	w->trackers[1].up = false;
	w_login(w, "secret", &login);
	w_run(w, 60000);
	CHECK_INT(login.code, ==, SHOAL_EOFFLINE);
	CHECK(strstr(login.message, "connection refused") != NULL);
	CHECK(strstr(login.message, "tracker 1 is refused: wrong identity at port 1") != NULL);
	CHECK_INT(w_count_news(w, LINK_REFUSED), ==, 1);
	done_with(&login);
	end(w);
}

static void a_tracker_that_does_not_answer_is_a_timeout(void)
{
	struct world *w = begin_logged_in(1, AUTO_LOGIN_YES);
	struct outcome group = { 0 };
	w->trackers[0].hold = true;
	w_create_group(w, "band", &group);
	w_run(w, 10001);
	CHECK_INT(group.code, ==, SHOAL_ETIMEOUT);
	CHECK(strstr(group.message, "create_group") != NULL);
	struct fake_cmd late = *w_last_cmd(w, VERB_CREATE_GROUP);
	w_answer(w, &late); /* too late: nobody listens, nothing breaks */
	w_run(w, 100);
	CHECK_INT(group.finals, ==, 1);
	CHECK_INT(w->n_conns, ==, 1);
	done_with(&group);
	end(w);
}

static void the_pages_of_a_list_come_once(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	struct outcome list = { 0 };
	w->trackers[0].close_after = 2; /* the connection breaks after the second of three pages */
	w_call(w, VERB_LIST_GROUPS, &(struct buf){ .data = (uint8_t *)"\0", .len = 2 }, &list);
	w_run(w, 1000);
	CHECK_INT(w_count_cmds(w, VERB_LIST_GROUPS, -1), ==, 2);
	CHECK_INT(list.code, ==, SHOAL_OK);
	CHECK_INT(list.frames, ==, 3);
	CHECK_INT(list.finals, ==, 1);
	struct cursor c = cursor_of(list.fields.data, list.fields.len);
	for (unsigned i = 0; i < 6; i++) {
		struct row_group row;
		char name[16];
		if (i % 2 == 0)
			CHECK_INT(get_u16(&c), ==, 2);
		row_group_get(&c, &row);
		snprintf(name, sizeof(name), "group-%u", i);
		CHECK(slice_eq_str(row.name, name));
	}
	CHECK_INT(cursor_end(&c), ==, SHOAL_OK);
	done_with(&list);
	end(w);
}

static void a_cancelled_call_is_heard_of_no_more(void)
{
	struct world *w = begin_logged_in(1, AUTO_LOGIN_YES);
	struct outcome group = { 0 }, list = { 0 }, early = { 0 };
	uint64_t number = w_call(w, VERB_CREATE_GROUP, &(struct buf){ .data = (uint8_t *)"\0\1x", .len = 3 }, &group);
	link_cancel(w->link, number);
	list.w = w;
	number = w_call(w, VERB_LIST_GROUPS, &(struct buf){ .data = (uint8_t *)"\0", .len = 2 }, &list);
	list.cancel = number; /* at its first page */
	w_run(w, 1000);
	CHECK_INT(group.frames, ==, 0);
	CHECK_INT(list.frames, ==, 1);
	number = w_call(w, VERB_LOGOUT, NULL, &early);
	link_cancel(w->link, number);
	link_cancel(w->link, 424242); /* unknown: nothing */
	w_run(w, 100);
	CHECK_INT(early.frames, ==, 0);
	done_with(&group);
	done_with(&list);
	end(w);
}

static void busy_is_tried_again(void)
{
	struct world *w = begin_logged_in(1, AUTO_LOGIN_YES);
	struct outcome group = { 0 };
	w->trackers[0].busy = 3;
	w_create_group(w, "band", &group);
	w_run(w, 2000);
	CHECK_INT(group.code, ==, SHOAL_OK);
	CHECK_INT(group.finals, ==, 1);
	CHECK_INT(w_count_cmds(w, VERB_CREATE_GROUP, 0), ==, 4);
	struct id16 request = w_last_cmd(w, VERB_CREATE_GROUP)->head.request;
	for (size_t i = 0; i < w->n_cmds; i++)
		if (w->cmds[i].head.verb == VERB_CREATE_GROUP)
			CHECK(id16_eq(&w->cmds[i].head.request, &request));
	w->trackers[0].busy = UINT32_MAX;
	uint64_t asked = w->now;
	w_create_group(w, "other", &group);
	w_run(w, 30000);
	CHECK_INT(group.code, ==, SHOAL_EBUSY);
	CHECK_STR(group.message, "joining");
	CHECK_INT(group.at_ms - asked, >=, 8000);
	CHECK_INT(group.at_ms - asked, <=, 11000);
	CHECK_INT(w_count_cmds(w, VERB_CREATE_GROUP, 0), <=, 30);
	done_with(&group);
	end(w);
}

static void busy_is_not_waited_for_past_the_deadline(void)
{
	struct world *w = begin_logged_in(1, AUTO_LOGIN_YES);
	struct outcome group = { .w = w };
	struct buf fields = { 0 };
	uint64_t asked = w->now;
	w->trackers[0].busy = UINT32_MAX;
	req_group_put(&fields, &(struct req_group){ slice_str("band") });
	link_call(w->link, VERB_CREATE_GROUP, &fields, 70, o_reply, &group); /* the first rest is 75 ms or more */
	w_run(w, 1000);
	CHECK_INT(group.code, ==, SHOAL_EBUSY);
	CHECK_STR(group.message, "joining");
	CHECK_INT(group.at_ms, ==, asked);
	buf_free(&fields);
	done_with(&group);
	end(w);
}

/* "too many logins from your address: try again in 3 s": waiting is for the user to decide. */
static void a_limit_is_an_answer_at_once(void)
{
	struct world *w = begin(1, AUTO_LOGIN_YES);
	struct outcome login = { 0 };
	uint64_t asked = w->now;
	w->trackers[0].busy = 1;
	w->trackers[0].busy_code = SHOAL_EQUOTA;
	w_login(w, "secret", &login);
	w_run(w, 20000);
	CHECK_INT(login.code, ==, SHOAL_EQUOTA);
	CHECK_INT(login.at_ms, ==, asked);
	CHECK_INT(w_count_cmds(w, VERB_LOGIN, 0), ==, 1);
	done_with(&login);
	end(w);
}

/* Our own login after a failover runs into such a limit: the session is kept, and another tracker is asked. */
static void a_limit_does_not_end_the_session(void)
{
	struct world *w = begin_logged_in(3, AUTO_LOGIN_YES);
	w->trackers[1].refuse_token = true;
	w->trackers[1].busy = UINT32_MAX;
	w->trackers[1].busy_code = SHOAL_EQUOTA;
	w_kill(w, 0);
	w_run(w, 1000);
	CHECK_INT(w_count_news(w, LINK_LOGGED_OUT), ==, 0);
	CHECK(w_status(w).logged_in);
	CHECK_INT(w_status(w).tracker, ==, 3);
	end(w);
}

static void a_heartbeat_keeps_the_connection(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	w->trackers[0].heartbeat_ms = 10000;
	link_set_shares(w->link, 3, 77);
	w_run(w, 100000);
	CHECK_INT(w_count_cmds(w, VERB_HEARTBEAT, 0), >=, 9);
	CHECK_INT(w_count_cmds(w, VERB_HEARTBEAT, 0), <=, 11);
	CHECK_INT(w->n_conns, ==, 1);
	const struct fake_cmd *beat = w_last_cmd(w, VERB_HEARTBEAT);
	struct cursor c = cursor_of(beat->fields.data, beat->fields.len);
	struct req_heartbeat req;
	req_heartbeat_get(&c, &req);
	CHECK_INT(req.shares, ==, 3);
	CHECK_INT(req.shares_digest, ==, 77);
	end(w);
}

static void the_quickest_answer_sets_the_clock(void)
{
	struct world *w = begin(1, AUTO_LOGIN_YES);
	w->trackers[0].mute = true;
	w_run(w, 1000); /* HELLO waits for a second at a tracker that is slow */
	w->trackers[0].mute = false;
	struct fake_cmd hello = *w_last_cmd(w, VERB_HELLO);
	w_answer(w, &hello);
	w_run(w, 10);
	CHECK_INT(w_status(w).clock_offset_ms, ==, 5500); /* half of it too much */
	w_run(w, 11000);
	CHECK_INT(w_status(w).clock_offset_ms, ==, 5000);
	end(w);
}

static void a_silent_connection_is_given_up(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	w->trackers[0].mute = true; /* the cable was pulled: no FIN, no RST */
	w_run(w, 7000 + 20001);
	CHECK_INT(w_status(w).tracker, ==, 2);
	CHECK(w_status(w).logged_in);
	end(w);
}

static void a_tracker_without_a_hello_is_left(void)
{
	struct world *w = begin(2, AUTO_LOGIN_YES);
	w->trackers[0].mute = true;
	w_run(w, 4990);
	CHECK(!w_status(w).up);
	w_run(w, 20);
	CHECK_INT(w_status(w).tracker, ==, 2);
	end(w);
}

static void garbage_closes_the_connection(void)
{
	static const char *const garbage[] = {
		"\0\0\0\4BLAH",                                    /* a tag that is none */
		"\x7f\xff\xff\xff" "RPLY",                         /* too long */
		"\0\0\0\5RPLYx",                                   /* a reply without a head */
		"\0\0\0\6EVNT\0\1",                                /* an event without its fields */
		"\0\0\0\15RPLY\0\0\xff\xff\0\0\0\0\0",             /* to a command that was never sent */
		"\0\0\0\4CMD ",                                    /* a tracker does not command */
	};
	static const size_t lens[] = { 8, 8, 9, 10, 17, 8 };
	for (size_t i = 0; i < COUNT_OF(garbage); i++) {
		struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
		w_bytes(w, w->n_conns, (const uint8_t *)garbage[i], lens[i]);
		w_run(w, 100);
		CHECK_INT(w_status(w).tracker, ==, 2);
		CHECK(w_status(w).logged_in);
		CHECK(!w->conns[0].open);
		end(w);
	}
}

static void random_bytes_do_no_harm(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	for (unsigned round = 0; round < 300; round++) {
		uint8_t noise[200];
		size_t len = 1 + check_random(sizeof(noise));
		check_random_bytes(noise, len);
		if (check_random(2) == 0) { /* a good frame head, then noise */
			memcpy(noise, "\0\0\0\20RPLY\0\0\0", 11);
			len = len < 20 ? 20 : len;
			noise[11] = (uint8_t)check_random(8);
		}
		if (w_status(w).up)
			w_bytes(w, w->n_conns, noise, len);
		w_run(w, 2500);
		w->n_news = 0;
	}
	w_run(w, 60000);
	CHECK(w_status(w).up);
	end(w);
}

static void hello_answered_with_nonsense_is_left(void)
{
	struct world *w = begin(2, AUTO_LOGIN_YES);
	w->trackers[0].mute = true;
	w_run(w, 10);
	struct buf body = { 0 };
	buf_put(&body, "\0\0\0\1\0\0\0\0\0nonsense", 17);
	w_frame(w, 1, TAG_RPLY, &body);
	buf_free(&body);
	w_run(w, 10);
	CHECK_INT(w_status(w).tracker, ==, 2);
	end(w);
}

static void a_leaving_tracker_is_left_at_once(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	struct buf fields = { 0 };
	ev_leaving_put(&fields, &(struct ev_leaving){ slice_str("quit") });
	w_event(w, EVENT_LEAVING, &fields);
	buf_free(&fields);
	w_run(w, 1);
	CHECK_INT(w_status(w).tracker, ==, 2);
	CHECK(w_status(w).logged_in);
	CHECK_INT(w_count_news(w, LINK_EVENT), ==, 1);
	end(w);
}

static void an_ended_session_is_over(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	struct buf fields = { 0 };
	struct outcome group = { 0 };
	ev_session_ended_put(&fields, &(struct ev_session_ended){ slice_str("superseded") });
	w_event(w, EVENT_SESSION_ENDED, &fields);
	buf_free(&fields);
	w_run(w, 100);
	CHECK(!w_status(w).logged_in);
	CHECK_INT(w->news[w->n_news - 1], ==, LINK_LOGGED_OUT);
	CHECK_STR(w->news_text[w->n_news - 1], "superseded");
	w_kill(w, 0);
	w_create_group(w, "band", &group);
	w_run(w, 100);
	CHECK(!w_hello_had_token(w));
	CHECK_INT(w_count_cmds(w, VERB_LOGIN, 1), ==, 0); /* no login behind the user's back */
	CHECK_INT(group.code, ==, SHOAL_EAUTH);
	done_with(&group);
	end(w);
}

static void logout_forgets_everything(void)
{
	struct world *w = begin_logged_in(2, AUTO_LOGIN_YES);
	struct outcome out = { 0 };
	w_call(w, VERB_LOGOUT, NULL, &out);
	w_run(w, 100);
	CHECK_INT(out.code, ==, SHOAL_OK);
	CHECK(!w_status(w).logged_in);
	CHECK_STR(w_status(w).user, "");
	w_kill(w, 0);
	w_run(w, 100);
	CHECK(!w_hello_had_token(w));
	CHECK_INT(w_count_cmds(w, VERB_LOGIN, 1), ==, 0);
	done_with(&out);
	end(w);
}

static void logout_without_a_tracker_forgets_too(void)
{
	struct world *w = begin_logged_in(1, AUTO_LOGIN_YES);
	struct outcome out = { 0 };
	w_kill(w, 0);
	w_call(w, VERB_LOGOUT, NULL, &out);
	w_run(w, 11000);
	CHECK_INT(out.code, ==, SHOAL_EOFFLINE);
	w->trackers[0].up = true;
	w_run(w, 3000);
	CHECK(w_status(w).up && !w_status(w).logged_in);
	CHECK(!w_hello_had_token(w));
	done_with(&out);
	end(w);
}

static void use_tracker_goes_there_and_stays_logged_in(void)
{
	struct world *w = begin_logged_in(3, AUTO_LOGIN_NO); /* it was the user's wish: no question, no logout */
	link_use_tracker(w->link, 3);
	w_run(w, 10);
	CHECK_INT(w_status(w).tracker, ==, 3);
	CHECK(w_status(w).logged_in);
	size_t conns = w->n_conns;
	link_use_tracker(w->link, 3);
	link_use_tracker(w->link, 99);
	w_run(w, 10);
	CHECK_INT(w->n_conns, ==, conns);
	end(w);
}

static void a_full_connection_is_waited_for(void)
{
	struct world *w = begin_logged_in(1, AUTO_LOGIN_YES);
	struct outcome group = { 0 };
	w->queued = 1 << 20;
	w_create_group(w, "band", &group);
	w_run(w, 500);
	CHECK_INT(w_count_cmds(w, VERB_CREATE_GROUP, 0), ==, 0);
	w->queued = 0;
	w_run(w, 50);
	CHECK_INT(group.code, ==, SHOAL_OK);
	CHECK_INT(group.finals, ==, 1);
	done_with(&group);
	end(w);
}

static void what_is_too_long_is_not_sent(void)
{
	struct world *w = begin_logged_in(1, AUTO_LOGIN_YES);
	struct outcome big = { 0 };
	struct buf fields = { 0 };
	uint8_t *bytes = calloc(1, 70000);
	buf_put(&fields, bytes, 70000);
	w_call(w, VERB_PUT_HASHES, &fields, &big);
	w_run(w, 10);
	CHECK_INT(big.code, ==, SHOAL_EUSAGE);
	CHECK_INT(w->n_conns, ==, 1);
	buf_reset(&fields);
	CHECK(!fields.failed);
	buf_put_str(&fields, bytes, 70000); /* over what its length can say */
	CHECK(fields.failed);
	w_call(w, VERB_PUT_HASHES, &fields, &big);
	w_run(w, 10);
	CHECK_INT(big.code, ==, SHOAL_EUSAGE);
	CHECK(strstr(big.message, "too long") != NULL);
	free(bytes);
	buf_free(&fields);
	done_with(&big);
	end(w);
}

static void freeing_the_link_ends_its_calls(void)
{
	struct world *w = begin_logged_in(1, AUTO_LOGIN_YES);
	struct outcome group = { 0 };
	w->trackers[0].hold = true;
	w_create_group(w, "band", &group);
	w_run(w, 10);
	end(w);
	CHECK_INT(group.code, ==, SHOAL_ECANCELLED);
	CHECK_INT(group.finals, ==, 1);
	done_with(&group);
}

/* Trackers come and go at random; as long as one is up every call succeeds, once. */
static void storm_of_failovers(void)
{
	struct world *w = begin_logged_in(3, AUTO_LOGIN_YES);
	enum { CALLS = 120 };
	struct outcome *out = calloc(CALLS, sizeof(*out));
	size_t before = w->n_applied;
	for (unsigned i = 0; i < CALLS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "g%u", i);
		w_create_group(w, name, &out[i]);
		unsigned victim = check_random(3);
		for (unsigned t = 0; t < 3; t++) {
			w->trackers[t].up = true;
			w->trackers[t].hold = check_random(4) == 0 && t == victim;
			w->trackers[t].refuse_token = check_random(4) == 0;
		}
		if (check_random(2) == 0)
			w_run(w, check_random(30));
		w_kill(w, (int)victim);
		w_run(w, check_random(3000));
	}
	for (unsigned t = 0; t < 3; t++)
		w->trackers[t] = (struct fake_tracker){ .up = true, .identity = w->cluster };
	w_run(w, 12000);
	unsigned good = 0;
	for (unsigned i = 0; i < CALLS; i++) {
		CHECK_INT(out[i].finals, ==, 1);
		CHECK(out[i].code == SHOAL_OK || out[i].code == SHOAL_ETIMEOUT || out[i].code == SHOAL_EOFFLINE);
		good += out[i].code == SHOAL_OK;
		done_with(&out[i]);
	}
	CHECK_INT(good, >=, CALLS * 9 / 10);
	size_t logins = w_count_cmds(w, VERB_LOGIN, -1) - 1;
	CHECK_INT(w->n_applied - before, <=, CALLS + logins);
	CHECK(w_status(w).logged_in);
	free(out);
	end(w);
}

/* Found by fuzz_link: the first page of an answer to HELLO ended the connection, and with it the memory of the second. */
static void pages_that_were_not_asked_for_end_the_connection(void)
{
	struct world *w = begin(2, AUTO_LOGIN_YES);
	struct buf hello = { 0 };
	w->trackers[0].mute = w->trackers[1].mute = true;
	w_run(w, 10);
	const struct fake_cmd *cmd = w_last_cmd(w, VERB_HELLO);
	CHECK_INT(cmd->tracker, ==, 0);
	rep_hello_put(&hello, &(struct rep_hello){ .version = PROTOCOL_VERSION, .tracker = 1 });
	w_reply(w, cmd, (struct rply_head){ .flags = RPLY_MORE }, &hello);
	w_reply(w, cmd, (struct rply_head){ 0 }, &hello);
	w_run(w, 10);
	CHECK_INT(w_count_news(w, LINK_UP), ==, 0);
	CHECK_INT(w_last_cmd(w, VERB_HELLO)->tracker, ==, 1);

	cmd = w_last_cmd(w, VERB_HELLO);
	w_reply(w, cmd, (struct rply_head){ .flags = RPLY_MORE }, NULL); /* nonsense, in pages */
	w_reply(w, cmd, (struct rply_head){ 0 }, &hello);
	w_run(w, 1000);
	CHECK_INT(w_count_news(w, LINK_UP), ==, 0);
	buf_free(&hello);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_command_gets_its_answer), TEST(what_needs_a_login_waits_for_it),
		TEST(failover_sends_the_same_request_again), TEST(hello_tells_the_stamps_of_our_changes),
		TEST(a_wrong_identity_is_told_nothing), TEST(only_wrong_identities_is_an_answer_at_once),
		TEST(a_refused_token_means_a_new_login), TEST(a_refused_login_after_that_is_the_end),
		TEST(without_auto_login_a_break_logs_out), TEST(the_question_is_asked_once),
		TEST(no_to_the_question_logs_out), TEST(yes_with_a_refused_token_logs_in_again),
		TEST(without_any_tracker_a_call_ends_offline), TEST(a_tracker_that_does_not_answer_is_a_timeout),
		TEST(the_pages_of_a_list_come_once), TEST(a_cancelled_call_is_heard_of_no_more), TEST(busy_is_tried_again),
		TEST(a_heartbeat_keeps_the_connection), TEST(the_quickest_answer_sets_the_clock), TEST(a_silent_connection_is_given_up),
		TEST(a_tracker_without_a_hello_is_left), TEST(garbage_closes_the_connection), TEST(random_bytes_do_no_harm),
		TEST(hello_answered_with_nonsense_is_left), TEST(a_leaving_tracker_is_left_at_once),
		TEST(an_ended_session_is_over), TEST(logout_forgets_everything), TEST(logout_without_a_tracker_forgets_too),
		TEST(use_tracker_goes_there_and_stays_logged_in), TEST(a_full_connection_is_waited_for),
		TEST(what_is_too_long_is_not_sent), TEST(freeing_the_link_ends_its_calls), TEST(storm_of_failovers),
		TEST(when_it_is_known_to_be_offline_a_call_is_quick), TEST(a_quick_call_finds_a_tracker_that_is_back),
		TEST(a_failover_within_the_deadline_is_no_failure), TEST(no_tracker_at_the_beginning_is_told_once),
		TEST(the_end_names_refusal_and_network),
		TEST(busy_is_not_waited_for_past_the_deadline), TEST(a_limit_is_an_answer_at_once),
		TEST(a_limit_does_not_end_the_session),
		TEST(pages_that_were_not_asked_for_end_the_connection),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
