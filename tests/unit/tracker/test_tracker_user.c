/* tests/unit/tracker/test_tracker_user.c - accounts, sessions, tokens, through frames. */
#include "tests/unit/tracker/rig.h"

static void hello_comes_first_and_once(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_connect(r, 1);
	CHECK_INT(CODE(r, c, LOGIN, req_user_password, .user = S("ann"), .password = S("x")), ==, SHOAL_EPROTO);
	CHECK(c->closed);
	c = rig_connect(r, 1);
	struct rep_hello h = rig_hello(r, c, (struct slice){ 0 });
	CHECK_INT(h.version, ==, PROTOCOL_VERSION);
	CHECK_INT(h.tracker, ==, 1);
	CHECK_INT(h.resumed, ==, 0);
	CHECK_INT(h.token.len, ==, 0);
	CHECK(slice_eq_str(h.you, "127.0.0.9:999"));
	uint8_t raw[32];
	CHECK(key_public_raw(r->ticket_key, raw) && memcmp(raw, h.ticket_key.b, 32) == 0);
	CHECK_INT(CODE(r, c, HELLO, req_hello, .version = PROTOCOL_VERSION, .listen = S("0.0.0.0:1")), ==,
	          SHOAL_EPROTO);
	CHECK(c->closed);
	c = rig_connect(r, 1);
	CHECK_INT(CODE(r, c, HELLO, req_hello, .version = 99, .listen = S("0.0.0.0:1")), ==, SHOAL_EPROTO);
	c = rig_connect(r, 1);
	CHECK_INT(CODE(r, c, HELLO, req_hello, .version = 1, .listen = S("nonsense")), ==, SHOAL_EPROTO);
	rig_free(r);
}

static void most_commands_need_a_login(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_connect(r, 1);
	rig_hello(r, c, (struct slice){ 0 });
	CHECK_INT(CODE(r, c, WHOAMI, req_none), ==, SHOAL_EAUTH);
	CHECK_INT(CODE(r, c, CREATE_GROUP, req_group, .group = S("g")), ==, SHOAL_EAUTH);
	CHECK_INT(CODE(r, c, LIST_FILES, req_list_files, .group = S("g")), ==, SHOAL_EAUTH);
	CHECK_INT(CODE(r, c, LOGOUT, req_none), ==, SHOAL_EAUTH);
	CHECK_INT(CODE(r, c, HEARTBEAT, req_heartbeat, 0), ==, SHOAL_OK);
	CHECK_INT(CODE(r, c, TRACKERS, req_none), ==, SHOAL_OK);
	CHECK(!c->closed);
	rig_free(r);
}

static void accounts_are_made_once(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_connect(r, 1);
	rig_hello(r, c, (struct slice){ 0 });
	CHECK_INT(CODE(r, c, CREATE_USER, req_user_password, .user = S("ann"), .password = S("pw")), ==, SHOAL_OK);
	CHECK_INT(CODE(r, c, CREATE_USER, req_user_password, .user = S("ann"), .password = S("pw")), ==, SHOAL_EEXISTS);
	CHECK_INT(CODE(r, c, CREATE_USER, req_user_password, .user = S(" ann"), .password = S("pw")), ==, SHOAL_EUSAGE);
	CHECK_INT(CODE(r, c, CREATE_USER, req_user_password, .user = S("bob"), .password = S("")), ==, SHOAL_EUSAGE);
	CHECK_INT(CODE(r, c, CREATE_USER, req_user_password, .user = S("a\nb"), .password = S("pw")), ==, SHOAL_EUSAGE);
	rig_free(r);
}

static void wrong_passwords_and_strangers_get_one_sentence(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_login(r, "ann", 1);
	char first[200];
	unsigned works = r->works;
	struct rig_reply a = CALL(r, c, LOGIN, req_user_password, .user = S("ann"), .password = S("no"));
	CHECK_INT(a.head.code, ==, SHOAL_EAUTH);
	CHECK(slice_to_str(a.head.message, first, sizeof(first)));
	CHECK_INT(r->works, ==, works + 1);
	struct rig_reply b = CALL(r, c, LOGIN, req_user_password, .user = S("nobody"), .password = S("no"));
	CHECK_INT(b.head.code, ==, SHOAL_EAUTH);
	CHECK(slice_eq_str(b.head.message, first));
	CHECK_INT(r->works, ==, works + 2); /* as much work as for one who exists */
	rig_free(r);
}

static void a_known_request_id_changes_nothing(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_connect(r, 1);
	struct id16 id = rig_request(), login = rig_request();
	rig_hello(r, c, (struct slice){ 0 });
	REPLY(rep_uid, one, CALL_AS(r, c, &id, CREATE_USER, req_user_password, .user = S("ann"), .password = S("pw")));
	CHECK_INT(one_reply.head.flags, ==, RPLY_STAMP);
	size_t records = mem_disk_records(r->disk);
	REPLY(rep_uid, two, CALL_AS(r, c, &id, CREATE_USER, req_user_password, .user = S("ann"), .password = S("pw")));
	CHECK(stamp_cmp(&one_reply.head.stamp, &two_reply.head.stamp) == 0);
	CHECK(id16_eq(&one.uid, &two.uid));
	CHECK_INT(mem_disk_records(r->disk), ==, records);

	REPLY(rep_session, s1, CALL_AS(r, c, &login, LOGIN, req_user_password, .user = S("ann"), .password = S("pw")));
	records = mem_disk_records(r->disk);
	rig_break(r, c);
	rig_stop(r); /* and it is known after a restart, too */
	rig_start(r);
	c = rig_connect(r, 1);
	rig_hello(r, c, (struct slice){ 0 });
	REPLY(rep_session, s2, CALL_AS(r, c, &login, LOGIN, req_user_password, .user = S("ann"), .password = S("pw")));
	CHECK(stamp_cmp(&s1_reply.head.stamp, &s2_reply.head.stamp) == 0);
	CHECK_INT(mem_disk_records(r->disk), ==, records);
	CHECK_INT(CODE(r, c, WHOAMI, req_none), ==, SHOAL_OK);
	struct rig_conn *other = rig_connect(r, 2); /* the id alone is worth nothing on another device */
	rig_hello(r, other, (struct slice){ 0 });
	CHECK_INT(CALL_AS(r, other, &login, LOGIN, req_user_password, .user = S("ann"), .password = S("pw")).head.code,
	          ==, SHOAL_EAUTH);
	rig_free(r);
}

static void changes_without_a_request_id_are_refused(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_login(r, "ann", 1);
	const struct id16 none = { { 0 } };
	CHECK_INT(CALL_AS(r, c, &none, CREATE_GROUP, req_group, .group = S("g")).head.code, ==, SHOAL_EPROTO);
	rig_free(r);
}

static void replies_wait_for_the_disk(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_login(r, "ann", 1);
	struct id16 id = rig_request();
	struct rig_reply reply;
	struct buf group = { 0 }, none = { 0 };

	r->hold_commits = true;
	buf_put_str(&group, "team", 4);
	uint32_t create = rig_post(r, c, VERB_CREATE_GROUP, &id, &group);
	buf_put_str(&none, "", 0);
	uint32_t list = rig_post(r, c, VERB_LIST_GROUPS, &(struct id16){ { 0 } }, &none);
	CHECK_INT(c->out.len, ==, 0); /* neither the change nor the read that shows it */
	r->hold_commits = false;
	rig_run(r);
	CHECK(rig_take(c, create, &reply) && reply.head.code == SHOAL_OK);
	CHECK(rig_take(c, list, &reply) && reply.head.code == SHOAL_OK);
	rig_free(r);
}

static void a_full_disk_is_said_and_undone(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_login(r, "ann", 1);
	mem_disk_fail_commits(r->disk, SHOAL_EDISKFULL, 1);
	CHECK_INT(CODE(r, c, CREATE_GROUP, req_group, .group = S("team")), ==, SHOAL_EDISKFULL);
	struct rig_reply list = CALL(r, c, LIST_GROUPS, req_filter, .filter = S(""));
	CHECK_INT(list.head.code, ==, SHOAL_OK);
	CHECK_INT(get_u16(&list.fields), ==, 0);
	rig_pass(r, 12000); /* the probe finds that there is room again */
	CHECK_INT(CODE(r, c, HEARTBEAT, req_heartbeat, 0), ==, SHOAL_OK);
	CHECK_INT(CODE(r, c, CREATE_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	rig_free(r);
}

static void a_token_resumes_on_its_device_only(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_connect(r, 1);
	struct buf token = { 0 }, bad = { 0 };
	rig_hello(r, c, (struct slice){ 0 });
	CHECK_INT(CODE(r, c, CREATE_USER, req_user_password, .user = S("ann"), .password = S("pw")), ==, SHOAL_OK);
	REPLY(rep_session, s, CALL(r, c, LOGIN, req_user_password, .user = S("ann"), .password = S("pw")));
	buf_put(&token, s.token.data, s.token.len);
	rig_break(r, c);

	c = rig_connect(r, 1);
	struct rep_hello h = rig_hello(r, c, slice_of(token.data, token.len));
	CHECK_INT(h.resumed, ==, 1);
	CHECK(slice_eq_str(h.user, "ann"));
	CHECK(h.token.len != 0);
	REPLY(rep_whoami, w, CALL(r, c, WHOAMI, req_none));
	CHECK(slice_eq_str(w.user, "ann"));

	struct rig_conn *thief = rig_connect(r, 2);
	CHECK_INT(rig_hello(r, thief, slice_of(token.data, token.len)).resumed, ==, 0);
	CHECK_INT(CODE(r, thief, RESUME, req_resume, .token = slice_of(token.data, token.len)), ==, SHOAL_EAUTH);
	buf_put(&bad, token.data, token.len);
	bad.data[20] ^= 1;
	struct rig_conn *forger = rig_connect(r, 1);
	rig_hello(r, forger, (struct slice){ 0 });
	CHECK_INT(CODE(r, forger, RESUME, req_resume, .token = slice_of(bad.data, bad.len)), ==, SHOAL_EAUTH);
	CHECK_INT(CODE(r, forger, RESUME, req_resume, .token = slice_of(token.data, token.len)), ==, SHOAL_OK);
	CHECK(c->closed); /* the same session on a newer connection */

	CHECK_INT(CODE(r, forger, LOGOUT, req_none), ==, SHOAL_OK);
	CHECK_INT(CODE(r, forger, WHOAMI, req_none), ==, SHOAL_EAUTH);
	CHECK_INT(CODE(r, forger, RESUME, req_resume, .token = slice_of(token.data, token.len)), ==, SHOAL_EAUTH);
	buf_free(&token);
	buf_free(&bad);
	rig_free(r);
}

static void a_token_ends_after_a_day(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_connect(r, 1);
	struct buf token = { 0 };
	rig_hello(r, c, (struct slice){ 0 });
	CHECK_INT(CODE(r, c, CREATE_USER, req_user_password, .user = S("ann"), .password = S("pw")), ==, SHOAL_OK);
	REPLY(rep_session, s, CALL(r, c, LOGIN, req_user_password, .user = S("ann"), .password = S("pw")));
	buf_put(&token, s.token.data, s.token.len);
	rig_break(r, c);
	r->wall += 24 * 3600 * 1000 + 1;
	c = rig_connect(r, 1);
	CHECK_INT(rig_hello(r, c, slice_of(token.data, token.len)).resumed, ==, 0);
	buf_free(&token);
	rig_free(r);
}

/* The login that a token speaks of may not have come here yet: the token decides. */
static void a_token_of_an_unknown_session_is_believed(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_login(r, "ann", 1);
	REPLY(rep_whoami, w, CALL(r, c, WHOAMI, req_none));
	struct token t = { .key_number = 1, .uid = w.uid, .device = c->device, .log = 4242, .seq = 3,
		           .issued_ms = r->wall, .expires_ms = r->wall + 3600 * 1000 };
	struct buf token = { 0 };
	CHECK_INT(token_seal(&token, &t, r->config.token_key), ==, SHOAL_OK);
	struct rig_conn *d = rig_connect(r, 1);
	CHECK_INT(rig_hello(r, d, slice_of(token.data, token.len)).resumed, ==, 1);
	CHECK_INT(CODE(r, d, WHOAMI, req_none), ==, SHOAL_OK);
	buf_free(&token);
	rig_free(r);
}

static void the_same_device_supersedes_and_is_told(void)
{
	struct rig *r = rig_new();
	struct rig_conn *old = rig_login(r, "ann", 1);
	struct rig_conn *fresh = rig_login(r, "ann", 1);
	EVENT(ev_session_ended, ev, old, SESSION_ENDED);
	CHECK(slice_eq_str(ev.reason, "superseded"));
	CHECK_INT(CODE(r, old, WHOAMI, req_none), ==, SHOAL_EAUTH);
	CHECK_INT(CODE(r, fresh, WHOAMI, req_none), ==, SHOAL_OK);
	rig_free(r);
}

static void eight_devices_and_no_more(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c[9];
	for (uint8_t i = 0; i < 9; i++) {
		rig_pass(r, 5);
		c[i] = rig_login(r, "ann", (uint8_t)(i + 1));
	}
	CHECK(rig_event(c[0], EVENT_SESSION_ENDED) != NULL);
	for (unsigned i = 1; i < 9; i++)
		CHECK_INT(CODE(r, c[i], WHOAMI, req_none), ==, SHOAL_OK);
	struct rig_reply list = CALL(r, c[8], LIST_SESSIONS, req_none);
	CHECK_INT(list.head.code, ==, SHOAL_OK);
	CHECK_INT(get_u16(&list.fields), ==, 8);
	rig_free(r);
}

static void sessions_are_listed_and_ended(void)
{
	struct rig *r = rig_new();
	struct rig_conn *a = rig_login(r, "ann", 1), *b = rig_login(r, "ann", 2);
	struct rig_reply list = CALL(r, b, LIST_SESSIONS, req_none);
	struct row_session first, second;
	char id[64];
	CHECK_INT(get_u16(&list.fields), ==, 2);
	row_session_get(&list.fields, &first);
	row_session_get(&list.fields, &second);
	CHECK_INT(cursor_end(&list.fields), ==, SHOAL_OK);
	CHECK(!first.current && second.current && first.online && second.online);
	CHECK(slice_eq_str(first.address, "127.0.0.9:5000")); /* 0.0.0.0 was told: what the tracker saw */
	CHECK(id32_eq(&first.device, &a->device));
	CHECK(slice_to_str(first.id, id, sizeof(id)));
	CHECK_INT(CODE(r, b, END_SESSION, req_id, .id = S("zz")), ==, SHOAL_EUSAGE);
	CHECK_INT(CODE(r, b, END_SESSION, req_id, .id = S("0000000000000001.77")), ==, SHOAL_ENOTFOUND);
	CHECK_INT(CODE(r, b, END_SESSION, req_id, .id = S(id)), ==, SHOAL_OK);
	EVENT(ev_session_ended, ev, a, SESSION_ENDED);
	CHECK(slice_eq_str(ev.reason, "ended"));
	CHECK_INT(CODE(r, a, WHOAMI, req_none), ==, SHOAL_EAUTH);
	rig_free(r);
}

static void a_new_password_ends_the_other_sessions(void)
{
	struct rig *r = rig_new();
	struct rig_conn *a = rig_login(r, "ann", 1), *b = rig_login(r, "ann", 2);
	CHECK_INT(CODE(r, a, CHANGE_PASSWORD, req_change_password, .old = S("wrong"), .fresh = S("new")), ==,
	          SHOAL_EAUTH);
	REPLY(rep_session, s, CALL(r, a, CHANGE_PASSWORD, req_change_password, .old = S("ann-pw"), .fresh = S("new")));
	CHECK(s.token.len != 0);
	CHECK_INT(CODE(r, a, WHOAMI, req_none), ==, SHOAL_OK);
	NO_EVENT(a, SESSION_ENDED);
	EVENT(ev_session_ended, ev, b, SESSION_ENDED);
	CHECK(slice_eq_str(ev.reason, "password"));
	CHECK_INT(CODE(r, b, WHOAMI, req_none), ==, SHOAL_EAUTH);
	CHECK_INT(CODE(r, b, LOGIN, req_user_password, .user = S("ann"), .password = S("ann-pw")), ==, SHOAL_EAUTH);
	CHECK_INT(CODE(r, b, LOGIN, req_user_password, .user = S("ann"), .password = S("new")), ==, SHOAL_OK);
	rig_free(r);
}

static void guessing_gets_slower(void)
{
	struct rig *r = rig_new();
	struct rig_conn *ann = rig_login(r, "ann", 1), *c = rig_connect(r, 2);
	rig_hello(r, c, (struct slice){ 0 });
	for (int i = 0; i < 5; i++)
		CHECK_INT(CODE(r, c, LOGIN, req_user_password, .user = S("ann"), .password = S("no")), ==, SHOAL_EAUTH);
	CHECK_INT(CODE(r, c, LOGIN, req_user_password, .user = S("ann"), .password = S("ann-pw")), ==, SHOAL_EQUOTA);
	/* her own device is not held up by somebody else's guesses */
	CHECK_INT(CODE(r, ann, LOGIN, req_user_password, .user = S("ann"), .password = S("ann-pw")), ==, SHOAL_OK);
	/* nor when she has logged out there; and her coming in gives the others no further tries */
	CHECK_INT(CODE(r, ann, LOGOUT, req_none), ==, SHOAL_OK);
	CHECK_INT(CODE(r, ann, LOGIN, req_user_password, .user = S("ann"), .password = S("ann-pw")), ==, SHOAL_OK);
	CHECK_INT(CODE(r, c, LOGIN, req_user_password, .user = S("ann"), .password = S("no")), ==, SHOAL_EQUOTA);
	rig_pass(r, 1001);
	CHECK_INT(CODE(r, c, LOGIN, req_user_password, .user = S("ann"), .password = S("ann-pw")), ==, SHOAL_OK);
	rig_free(r);
}

static void addresses_have_a_rate(void)
{
	struct rig *r = rig_new();
	rig_stop(r);
	r->config.login_rate = 3;
	r->config.create_rate = 2;
	rig_start(r);
	struct rig_conn *c = rig_connect(r, 1);
	rig_hello(r, c, (struct slice){ 0 });
	for (int i = 0; i < 4; i++)
		CHECK_INT(CODE(r, c, LOGIN, req_user_password, .user = S("x"), .password = S("y")), ==,
		          i < 3 ? SHOAL_EAUTH : SHOAL_EQUOTA);
	CHECK_INT(CODE(r, c, CREATE_USER, req_user_password, .user = S("a"), .password = S("y")), ==, SHOAL_OK);
	CHECK_INT(CODE(r, c, CREATE_USER, req_user_password, .user = S("b"), .password = S("y")), ==, SHOAL_OK);
	CHECK_INT(CODE(r, c, CREATE_USER, req_user_password, .user = S("c"), .password = S("y")), ==, SHOAL_EQUOTA);
	rig_pass(r, 20001);
	CHECK_INT(CODE(r, c, LOGIN, req_user_password, .user = S("x"), .password = S("y")), ==, SHOAL_EAUTH);
	rig_free(r);
}

/* Two accounts of one name, as a merge of two trackers leaves them: each password finds its own. */
static void the_password_finds_the_alias(void)
{
	struct rig *r = rig_new();
	struct rig_conn *c = rig_login(r, "ann", 1);
	struct buf record = { 0 };
	struct registry *far = registry_new(2, 777);
	struct id16 request = rig_request(), uid;
	struct store_txn *txn = store_txn_new();
	struct undo *undo = NULL;
	struct error e;
	struct op op;

	op_begin(far, OP_CREATE_USER, &request, r->wall + r->now + 50, &op);
	CHECK_INT(user_create(far, &op, S("ann"), S("plain:second"), &uid, &e), ==, SHOAL_OK);
	CHECK_INT(registry_apply_op(far, &op, txn, &undo), ==, SHOAL_OK);
	struct cursor cur = cursor_of(txn->records.data, txn->records.len);
	struct slice bytes;
	CHECK(store_txn_next_record(&cur, &bytes));
	buf_put(&record, bytes.data, bytes.len);
	registry_commit_done(far, undo);
	rig_stop(r); /* it comes in through the disk here; through SYNC elsewhere */
	CHECK_INT(store_mem_ops.open(mem_disk_where(r->disk), &r->store, &e), ==, SHOAL_OK);
	CHECK_INT(store_mem_ops.commit(r->store, &txn, 1, &e), ==, SHOAL_OK);
	store_mem_ops.close(r->store);
	rig_start(r);
	c = rig_connect(r, 3);
	rig_hello(r, c, (struct slice){ 0 });
	REPLY(rep_session, won, CALL(r, c, LOGIN, req_user_password, .user = S("ann"), .password = S("ann-pw")));
	CHECK(slice_eq_str(won.user, "ann"));
	REPLY(rep_session, lost, CALL(r, c, LOGIN, req_user_password, .user = S("ann"), .password = S("second")));
	CHECK(id16_eq(&lost.uid, &uid));
	CHECK_INT(lost.user.len, ==, strlen("ann~abcdef"));
	CHECK_INT(CODE(r, c, LOGIN, req_user_password, .user = S("ann"), .password = S("third")), ==, SHOAL_EAUTH);
	struct rig_reply list = CALL(r, c, LIST_CONFLICTS, req_none);
	CHECK_INT(list.head.code, ==, SHOAL_OK);
	CHECK(get_u16(&list.fields) >= 1);
	store_txn_free(txn);
	registry_free(far);
	buf_free(&record);
	rig_free(r);
}

static void a_broken_connection_has_two_seconds(void)
{
	struct rig *r = rig_new();
	struct rig_conn *a = rig_login(r, "ann", 1), *b = rig_login(r, "bob", 2);
	struct row_member row;
	CHECK_INT(CODE(r, a, CREATE_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK_INT(CODE(r, b, JOIN_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK_INT(CODE(r, a, ACCEPT_REQUEST, req_group_user, .group = S("team"), .user = S("bob")), ==, SHOAL_OK);
	rig_break(r, a);
	for (int late = 0; late < 2; late++) {
		struct rig_reply list = CALL(r, b, LIST_MEMBERS, req_group, .group = S("team"));
		CHECK_INT(get_u16(&list.fields), ==, 2);
		row_member_get(&list.fields, &row);
		CHECK(slice_eq_str(row.user, "ann"));
		CHECK_INT(row.online, ==, !late);
		rig_pass(r, 3100);
	}
	rig_free(r);
}

static void silence_is_offline_then_closed(void)
{
	struct rig *r = rig_new();
	struct rig_conn *a = rig_login(r, "ann", 1);
	for (int i = 0; i < 6; i++) {
		rig_pass(r, 10000);
		REPLY(rep_heartbeat, h, CALL(r, a, HEARTBEAT, req_heartbeat, 0));
		CHECK_INT(h.differ, ==, 0);
	}
	rig_pass(r, 44000);
	CHECK(!a->closed);
	rig_pass(r, 2100);
	CHECK(a->closed);
	rig_free(r);
}

static void heartbeats_renew_the_token(void)
{
	struct rig *r = rig_new();
	struct rig_conn *a = rig_login(r, "ann", 1);
	bool renewed = false;
	for (int i = 0; i < 12 * 3600 / 20 + 2 && !renewed; i++) {
		r->now += 20000;
		REPLY(rep_heartbeat, h, CALL(r, a, HEARTBEAT, req_heartbeat, 0));
		renewed = h.token.len != 0;
	}
	CHECK(renewed);
	CHECK_INT(r->now, >=, 12 * 3600 * 1000);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello_comes_first_and_once), TEST(most_commands_need_a_login), TEST(accounts_are_made_once),
		TEST(wrong_passwords_and_strangers_get_one_sentence), TEST(a_known_request_id_changes_nothing),
		TEST(changes_without_a_request_id_are_refused), TEST(replies_wait_for_the_disk),
		TEST(a_full_disk_is_said_and_undone), TEST(a_token_resumes_on_its_device_only),
		TEST(a_token_ends_after_a_day), TEST(a_token_of_an_unknown_session_is_believed),
		TEST(the_same_device_supersedes_and_is_told), TEST(eight_devices_and_no_more),
		TEST(sessions_are_listed_and_ended), TEST(a_new_password_ends_the_other_sessions),
		TEST(guessing_gets_slower), TEST(addresses_have_a_rate), TEST(the_password_finds_the_alias),
		TEST(a_broken_connection_has_two_seconds), TEST(silence_is_offline_then_closed),
		TEST(heartbeats_renew_the_token),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
