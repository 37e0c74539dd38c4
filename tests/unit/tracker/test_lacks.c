/* tests/unit/tracker/test_lacks.c - who comes from another tracker reads his own writes here, or is told that they have
 * not come yet. */
#include "tests/unit/tracker/rig.h"

/* A stamp of the op that this tracker will write next: not here yet, and here as soon as somebody changes something. */
static struct stamp next_stamp(struct rig *r)
{
	return (struct stamp){ .hlc = (rig_wall(r) - 3000) << 16,
		               .tracker = 2,
		               .dot = { .log = r->log_id, .seq = vvec_get(registry_vector(r->reg), r->log_id) + 1 } };
}

/* Ann resumes on a new connection and shows that stamp. */
static struct rig_conn *come_over(struct rig *r, struct rig_conn *ann, struct stamp seen)
{
	struct rig_conn *c = rig_connect(r, ann->device.b[0]);
	struct buf stamps = { 0 }, token = { 0 };

	REPLY(rep_session, s, CALL(r, ann, LOGIN, req_user_password, .user = S("ann"), .password = S("ann-pw")));
	buf_put(&token, s.token.data, s.token.len);
	seen.dot.seq += 1; /* that login was one more */
	stamp_put(&stamps, &seen);
	REPLY(rep_hello, h,
	      CALL(r, c, HELLO, req_hello, .version = PROTOCOL_VERSION, .listen = S("0.0.0.0:5000"),
	           .token = slice_of(token.data, token.len), .seen = slice_of(stamps.data, stamps.len)));
	CHECK_INT(h.resumed, ==, 1); /* at once, whatever is lacking */
	CHECK(slice_eq_str(h.user, "ann"));
	buf_free(&stamps);
	buf_free(&token);
	return c;
}

static uint32_t post_group(struct rig *r, struct rig_conn *c, const char *name)
{
	struct buf fields = { 0 };
	struct id16 id = rig_request();
	req_group_put(&fields, &(struct req_group){ .group = S(name) });
	return rig_post(r, c, VERB_CREATE_GROUP, &id, &fields);
}

static void check_told(struct rig_conn *c, uint32_t serial)
{
	struct rig_reply reply;
	char text[ERROR_TEXT_MAX];

	CHECK(rig_take(c, serial, &reply));
	CHECK_INT(reply.head.code, ==, SHOAL_EBUSY);
	CHECK_INT(reply.head.flags, ==, RPLY_LACKS);
	CHECK(slice_to_str(reply.head.message, text, sizeof(text)));
	CHECK(strstr(text, "tracker 1 has not got your last change yet, made at tracker 2 ") != NULL);
}

static void commands_wait_for_ones_own_changes(void)
{
	struct rig *r = rig_new();
	struct rig_conn *ann = rig_login(r, "ann", 1), *bob = rig_login(r, "bob", 2);
	struct rig_conn *c = come_over(r, ann, next_stamp(r));
	struct rig_reply reply;

	uint32_t first = post_group(r, c, "one"), second = post_group(r, c, "two");
	rig_pass(r, 4000);
	CHECK(!rig_take(c, first, &reply));
	CHECK_INT(CODE(r, c, HEARTBEAT, req_heartbeat, 0), ==, SHOAL_OK); /* what keeps it alive does not wait */
	CHECK_INT(CODE(r, c, TRACKERS, req_none), ==, SHOAL_OK);
	CHECK_INT(CODE(r, bob, CREATE_GROUP, req_group, .group = S("now it is here")), ==, SHOAL_OK);
	CHECK(rig_take(c, first, &reply));
	CHECK_INT(reply.head.code, ==, SHOAL_OK);
	CHECK(!stamp_is_zero(&reply.head.stamp));
	CHECK(rig_take(c, second, &reply)); /* in their order */
	CHECK_INT(reply.head.code, ==, SHOAL_OK);
	CHECK_INT(CODE(r, c, CREATE_GROUP, req_group, .group = S("three")), ==, SHOAL_OK);
	rig_free(r);
}

static void after_5_s_it_is_told_once(void)
{
	struct rig *r = rig_new();
	struct rig_conn *ann = rig_login(r, "ann", 1), *c = come_over(r, ann, next_stamp(r));
	struct rig_reply reply;

	uint32_t first = post_group(r, c, "one"), second = post_group(r, c, "two");
	rig_pass(r, 4990);
	CHECK(!rig_take(c, first, &reply));
	rig_pass(r, 20);
	check_told(c, first);
	check_told(c, second); /* it waited as well */
	REPLY(rep_gid, g, CALL(r, c, CREATE_GROUP, req_group, .group = S("one"))); /* who goes on, goes on */
	CHECK(!id16_is_zero(&g.gid));
	rig_free(r);
}

static void it_is_told_even_if_nobody_asked_in_time(void)
{
	struct rig *r = rig_new();
	struct rig_conn *ann = rig_login(r, "ann", 1), *c = come_over(r, ann, next_stamp(r));

	rig_pass(r, 8000);
	check_told(c, post_group(r, c, "one"));
	CHECK_INT(CODE(r, c, CREATE_GROUP, req_group, .group = S("one")), ==, SHOAL_OK);
	rig_free(r);
}

static void a_stranger_waits_with_his_login(void)
{
	struct rig *r = rig_new();
	struct rig_conn *bob = rig_login(r, "bob", 2), *c = rig_connect(r, 3);
	struct stamp seen = next_stamp(r);
	struct buf stamps = { 0 }, fields = { 0 };
	struct id16 id = rig_request();
	struct rig_reply reply;

	stamp_put(&stamps, &seen);
	CHECK_INT(CODE(r, c, HELLO, req_hello, .version = PROTOCOL_VERSION, .listen = S("0.0.0.0:5000"),
	               .seen = slice_of(stamps.data, stamps.len)), ==, SHOAL_OK);
	req_user_password_put(&fields, &(struct req_user_password){ .user = S("cho"), .password = S("cho-pw") });
	uint32_t login = rig_post(r, c, VERB_LOGIN, &id, &fields);
	rig_pass(r, 1000);
	CHECK(!rig_take(c, login, &reply));
	/* the account that he made elsewhere arrives */
	CHECK_INT(CODE(r, bob, CREATE_USER, req_user_password, .user = S("cho"), .password = S("cho-pw")), ==, SHOAL_OK);
	CHECK(rig_take(c, login, &reply));
	CHECK_INT(reply.head.code, ==, SHOAL_OK);
	buf_free(&stamps);
	rig_free(r);
}

static void whoever_leaves_while_waiting_is_forgotten(void)
{
	struct rig *r = rig_new();
	struct rig_conn *ann = rig_login(r, "ann", 1), *c = come_over(r, ann, next_stamp(r));

	post_group(r, c, "one");
	rig_break(r, c);
	rig_pass(r, 6000);
	c = come_over(r, rig_login(r, "ann", 2), next_stamp(r));
	post_group(r, c, "two"); /* waits when the tracker ends */
	rig_free(r);
}

/* The session's row and its user have not come here: the token decides, and the name is left to the client. */
static void a_token_of_a_user_who_is_not_known_yet(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_connect(r, 5);
	struct token token = { .key_number = 1, .uid = { { 7 } }, .device = c->device, .log = 4444, .seq = 3,
		               .issued_ms = rig_wall(r), .expires_ms = rig_wall(r) + 60000 };
	struct buf sealed = { 0 };

	CHECK_INT(token_seal(&sealed, &token, r->config.token_key), ==, SHOAL_OK);
	struct rep_hello h = rig_hello(r, c, slice_of(sealed.data, sealed.len));
	CHECK_INT(h.resumed, ==, 1);
	CHECK(id16_eq(&h.uid, &token.uid));
	CHECK_INT(h.user.len, ==, 0);
	buf_free(&sealed);
	rig_free(r);
}

static void what_is_no_stamp_is_refused(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_connect(r, 1);

	CHECK_INT(CODE(r, c, HELLO, req_hello, .version = PROTOCOL_VERSION, .listen = S("0.0.0.0:5000"), .seen = S("no stamp")),
	          ==, SHOAL_EPROTO);
	CHECK(c->closed);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(commands_wait_for_ones_own_changes), TEST(after_5_s_it_is_told_once),
		TEST(it_is_told_even_if_nobody_asked_in_time), TEST(a_stranger_waits_with_his_login),
		TEST(whoever_leaves_while_waiting_is_forgotten), TEST(a_token_of_a_user_who_is_not_known_yet),
		TEST(what_is_no_stamp_is_refused),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
