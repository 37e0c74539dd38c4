/* tests/unit/tracker/test_tracker_door.c - strangers' bytes, time limits, pipelining, slow readers. */
#include "tests/unit/tracker/rig.h"

static void send_raw(struct rig *r, struct rig_conn *c, const char *bytes, size_t len)
{
	rig_bytes(r, c, bytes, len);
}

static void garbage_is_closed(void)
{
	struct rig *r = rig_new();
	struct rig_conn *ann = rig_login(r, "ann", 1), *c = rig_connect(r, 2);
	send_raw(r, c, "GET / HTTP/1.0\r\n\r\n", 18);
	CHECK(c->closed);
	for (int i = 0; i < 40; i++) {
		uint8_t noise[300];
		c = rig_connect(r, 3);
		check_random_bytes(noise, sizeof(noise));
		rig_bytes(r, c, noise, 1 + check_random(sizeof(noise) - 1));
		rig_pass(r, 100);
		if (!c->closed) /* it looked like the beginning of a frame */
			rig_break(r, c);
	}
	CHECK_INT(CODE(r, ann, HEARTBEAT, req_heartbeat, 0), ==, SHOAL_OK);
	rig_free(r);
}

/* Whole frames with a good tag and any body: a clean close, or an answer. */
static void any_body_is_survived(void)
{
	struct rig *r = rig_new();
	for (int i = 0; i < 600; i++) {
		struct buf frame = { 0 }, fields = { 0 };
		uint8_t noise[120];
		r->n_conns = r->n_conns > 50 ? 0 : r->n_conns;
		struct rig_conn *c = rig_connect(r, (uint8_t)check_random(4));
		for (size_t k = 0; k < RIG_EVENTS; k++)
			c->events[k] = (struct rig_event){ 0 };
		c->closed = false;
		if (check_random(2) == 0)
			rig_hello(r, c, (struct slice){ 0 });
		size_t len = check_random(sizeof(noise));
		check_random_bytes(noise, len);
		buf_put(&fields, noise, len);
		struct id16 id = rig_request();
		rig_put_cmd(&frame, 9, check_random(70), &id, &fields);
		rig_bytes(r, c, frame.data, frame.len);
		if (!c->closed)
			rig_break(r, c);
		buf_free(&c->out);
		buf_free(&c->reply);
		buf_free(&fields);
		buf_free(&frame);
	}
	r->n_conns = 0;
	rig_free(r);
}

static void frames_over_the_limit_are_closed(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_connect(r, 1), *ann = rig_login(r, "ann", 2);
	char big[70000];
	rig_hello(r, c, (struct slice){ 0 });
	memset(big, 'x', sizeof(big));
	struct id16 id = rig_request();
	struct buf fields = { 0 }, frame = { 0 };
	buf_put_str(&fields, "ann", 3);
	buf_put_str(&fields, big, 5000);
	rig_put_cmd(&frame, 1, VERB_LOGIN, &id, &fields); /* a stranger: 4 KiB */
	rig_bytes(r, c, frame.data, 12);
	CHECK(c->closed);
	buf_reset(&frame);
	rig_put_cmd(&frame, 1, VERB_LOGIN, &id, &fields); /* logged in: 64 KiB, and this is merely wrong */
	rig_bytes(r, ann, frame.data, frame.len);
	CHECK(!ann->closed);
	buf_reset(&frame);
	buf_put_u32(&frame, 65536 + 1);
	buf_put(&frame, "CMD ", 4);
	rig_bytes(r, ann, frame.data, frame.len);
	CHECK(ann->closed);
	buf_free(&fields);
	buf_free(&frame);
	rig_free(r);
}

static void frames_may_come_byte_by_byte(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_connect(r, 1);
	struct req_hello q = { .version = 1, .listen = S("10.0.0.1:77") };
	struct buf fields = { 0 }, frame = { 0 };
	struct rig_reply reply;
	const struct id16 none = { { 0 } };
	req_hello_put(&fields, &q);
	rig_put_cmd(&frame, 5, VERB_HELLO, &none, &fields);
	for (size_t i = 0; i < frame.len; i++)
		rig_bytes(r, c, frame.data + i, 1);
	CHECK(rig_take(c, 5, &reply) && reply.head.code == SHOAL_OK);
	buf_free(&fields);
	buf_free(&frame);
	rig_free(r);
}

static void the_silent_and_the_slow_are_closed(void)
{
	struct rig *r = rig_new();
	struct rig_conn *silent = rig_connect(r, 1), *slow = rig_connect(r, 2), *fine = rig_connect(r, 3);
	rig_hello(r, slow, (struct slice){ 0 });
	rig_hello(r, fine, (struct slice){ 0 });
	rig_pass(r, 4000);
	CHECK(!silent->closed);
	rig_bytes(r, slow, "\0\0", 2); /* begins a frame */
	rig_pass(r, 2100);
	CHECK(silent->closed);
	rig_pass(r, 7000);
	CHECK(!slow->closed);
	rig_pass(r, 2100);
	CHECK(slow->closed);
	CHECK(!fine->closed);
	rig_pass(r, 31000);
	CHECK(fine->closed); /* 45 s without a frame */
	rig_free(r);
}

static void commands_are_pipelined(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_login(r, "ann", 1);
	enum { N = 500 };
	struct buf all = { 0 };
	struct rig_reply reply;
	for (uint32_t i = 0; i < N; i++) {
		struct buf fields = { 0 };
		struct id16 id = rig_request();
		char name[32];
		snprintf(name, sizeof(name), "group %u", i);
		buf_put_str(&fields, name, strlen(name));
		rig_put_cmd(&all, 1000 + i, VERB_CREATE_GROUP, &id, &fields);
		buf_free(&fields);
	}
	r->hold_commits = true; /* nothing is answered: only so many are begun, the rest waits unread */
	rig_bytes(r, c, all.data, all.len);
	CHECK_INT(c->out.len, ==, 0);
	r->hold_commits = false;
	rig_run(r);
	rig_pass(r, 1000);
	for (uint32_t i = 0; i < N; i++)
		CHECK(rig_take(c, 1000 + i, &reply) && reply.head.code == SHOAL_OK);
	buf_free(&all);
	rig_free(r);
}

static void who_does_not_read_is_not_served_on(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_login(r, "ann", 1);
	struct rig_reply reply;
	struct buf fields = { 0 };
	const struct id16 none = { { 0 } };
	c->queued = 600 * 1024; /* the socket is full */
	buf_put_str(&fields, "", 0);
	uint32_t serial = rig_post(r, c, VERB_LIST_GROUPS, &none, &fields);
	rig_pass(r, 500);
	CHECK(!rig_take(c, serial, &reply));
	c->queued = 0;
	rig_pass(r, 100);
	CHECK(rig_take(c, serial, &reply) && reply.head.code == SHOAL_OK);

	c->queued = 600 * 1024; /* and who goes on sending all the same is closed */
	char block[60000];
	memset(block, 0, sizeof(block));
	for (int i = 0; i < 20 && !c->closed; i++)
		rig_bytes(r, c, block, sizeof(block));
	CHECK(c->closed);
	rig_free(r);
}

static void the_tracker_says_when_it_leaves(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_login(r, "ann", 1);
	rig_forget_events(c);
	tracker_leave(r->t);
	CHECK(rig_event(c, EVENT_LEAVING) != NULL);
	rig_free(r);
}

static void the_console_answers(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_login(r, "ann", 1);
	struct buf out = { 0 };
	CHECK_INT(CODE(r, c, CREATE_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK(tracker_console(r->t, "users", &out));
	CHECK(tracker_console(r->t, "groups", &out));
	CHECK(tracker_console(r->t, "files", &out));
	CHECK(tracker_console(r->t, "sync", &out));
	CHECK(tracker_console(r->t, "\x1b[2Jx", &out));
	char *text = buf_steal_str(&out);
	CHECK(strstr(text, "ann  online") != NULL);
	CHECK(strstr(text, "team  owner ann, 1 members") != NULL);
	CHECK(strstr(text, "0 other trackers") != NULL);
	CHECK(strstr(text, "no command '\\x1b[2Jx'") != NULL);
	CHECK(!tracker_console(r->t, "quit", &out));
	free(text);
	buf_free(&out);
	rig_free(r);
}

/* Whatever allocation fails: done, refused, or a closed connection; and the tracker goes on. */
static void memory_may_run_out_anywhere(void)
{
	for (unsigned n = 1; n < 120; n++) {
		struct rig *r = rig_new();
		struct rig_conn *c = rig_login(r, "ann", 1), *other = rig_login(r, "bob", 2);
		struct buf fields = { 0 }, frame = { 0 };
		struct rig_reply reply;
		struct id16 id = rig_request();
		buf_put_str(&fields, "team", 4);
		rig_put_cmd(&frame, 77, VERB_CREATE_GROUP, &id, &fields);
		buf_reserve(&c->out, 4096);
		mem_fail_after(n);
		rig_bytes(r, c, frame.data, frame.len);
		mem_fail_after(0);
		if (!c->closed) {
			CHECK(rig_take(c, 77, &reply));
			CHECK(reply.head.code == SHOAL_OK || reply.head.code == SHOAL_EBUSY ||
			      reply.head.code == SHOAL_EIO);
		}
		rig_pass(r, 3000);
		struct rig_reply again = CALL_AS(r, other, &id, CREATE_GROUP, req_group, .group = S("other"));
		CHECK(again.head.code == SHOAL_OK);
		buf_free(&frame);
		buf_free(&fields);
		rig_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(garbage_is_closed), TEST(any_body_is_survived), TEST(frames_over_the_limit_are_closed),
		TEST(frames_may_come_byte_by_byte), TEST(the_silent_and_the_slow_are_closed), TEST(commands_are_pipelined),
		TEST(who_does_not_read_is_not_served_on), TEST(the_tracker_says_when_it_leaves), TEST(the_console_answers),
		TEST(memory_may_run_out_anywhere),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
