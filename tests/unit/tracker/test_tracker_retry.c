/* tests/unit/tracker/test_tracker_retry.c - every verb that changes something, told twice: once it is done.
 *
 * Told twice to a tracker that runs, and again after the tracker was killed between its commit and its reply. The answer is
 * the old one, stamp included, and no operation is made. */
#define RIG_EVENTS 8192 /* somebody leaves with all his files */
#include "core/registry/group_manager.h"
#include "tests/unit/tracker/rig.h"

struct people {
	struct rig *r;
	struct rig_conn *ann, *bob, *cho; /* ann owns 'team', bob is in it, cho has asked */
	struct id16 gid, fid;             /* 'plan' in 'team', of ann's */
	struct id32 hash, content;        /* of 'plan' and of 'draft', whose hashes are here */
	char session[48];                 /* another session of bob's */
};

/* An empty file: its content id needs no hashes. */
static void empty_content(struct id32 *hash, struct id32 *content)
{
	struct content_hash ch;
	sha256_of("", 0, hash);
	content_hash_begin(&ch, 0, hash);
	content_hash_end(&ch, content);
}

static struct rig_reply upload(struct people *p, struct rig_conn *c, const struct id16 *request, const char *name)
{
	return CALL_AS(p->r, c, request, UPLOAD_FILE_DATA, req_upload_file_data, .gid = p->gid, .name = S(name), .size = 0,
	               .piece_size = PIECE_SIZE, .file_hash = p->hash, .content = p->content);
}

static struct people start(void)
{
	struct people p = { .r = rig_new() };
	struct row_session row = { .id = S("") };

	p.ann = rig_login(p.r, "ann", 1);
	p.bob = rig_login(p.r, "bob", 2);
	p.cho = rig_login(p.r, "cho", 3);
	struct rig_conn *other = rig_login(p.r, "bob", 9);
	struct rig_reply list = CALL(p.r, other, LIST_SESSIONS, req_none);
	for (unsigned n = get_u16(&list.fields); n != 0 && !row.current; n--)
		row_session_get(&list.fields, &row);
	CHECK(row.current && slice_to_str(row.id, p.session, sizeof(p.session)));
	REPLY(rep_gid, g, CALL(p.r, p.ann, CREATE_GROUP, req_group, .group = S("team")));
	p.gid = g.gid;
	CHECK_INT(CODE(p.r, p.bob, JOIN_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.ann, ACCEPT_REQUEST, req_group_user, .group = S("team"), .user = S("bob")), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.cho, JOIN_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	empty_content(&p.hash, &p.content);
	REPLY(rep_upload_file_data, up, upload(&p, p.ann, NULL, "plan"));
	p.fid = up.fid;
	rig_forget_events(p.ann);
	rig_forget_events(p.bob);
	rig_forget_events(p.cho);
	return p;
}

/* -- the verbs: who says it, and what */

#define TELL(VERB, type, ...)                                    \
	({                                                       \
		struct type q_ = { __VA_ARGS__ };                \
		struct buf fields_ = { 0 };                      \
		type##_put(&fields_, &q_);                       \
		rig_post(p->r, c, VERB_##VERB, request, &fields_); \
	})
#define VERB(word, ...)                                                                                     \
	static uint32_t tell_##word(struct people *p, struct rig_conn *c, const struct id16 *request)       \
	{                                                                                                   \
		(void)p;                                                                                    \
		return TELL(__VA_ARGS__);                                                                   \
	}
VERB(create_user, CREATE_USER, req_user_password, .user = S("dora"), .password = S("pw"))
VERB(login, LOGIN, req_user_password, .user = S("bob"), .password = S("bob-pw"))
VERB(logout, LOGOUT, req_none)
VERB(change_password, CHANGE_PASSWORD, req_change_password, .old = S("bob-pw"), .fresh = S("new"))
VERB(end_session, END_SESSION, req_id, .id = S(p->session))
VERB(create_group, CREATE_GROUP, req_group, .group = S("club"))
VERB(join_group, JOIN_GROUP, req_group, .group = S("team"))
VERB(leave_group, LEAVE_GROUP, req_group_user, .group = S("team"))
VERB(accept_request, ACCEPT_REQUEST, req_group_user, .group = S("team"), .user = S("cho"))
VERB(reject_request, REJECT_REQUEST, req_group_user, .group = S("team"), .user = S("cho"))
VERB(remove_member, REMOVE_MEMBER, req_group_user, .group = S("team"), .user = S("bob"))
VERB(transfer_group, TRANSFER_GROUP, req_group_user, .group = S("team"), .user = S("bob"))
VERB(set_role, SET_ROLE, req_group_user, .group = S("team"), .user = S("bob"), .text = S("admin"))
VERB(delete_group, DELETE_GROUP, req_group, .group = S("team"))
VERB(upload_file_data, UPLOAD_FILE_DATA, req_upload_file_data, .gid = p->gid, .name = S("draft"),
     .piece_size = PIECE_SIZE, .file_hash = p->hash, .content = p->content)
VERB(update_file_info, UPDATE_FILE_INFO, req_fid, .gid = p->gid, .fid = p->fid)
VERB(stop_share, STOP_SHARE, req_file, .group = S("team"), .file = S("plan"))

enum who { ANN, BOB, DAN, STRANGER };

static const struct told {
	unsigned verb;
	enum who who;
	uint32_t (*tell)(struct people *p, struct rig_conn *c, const struct id16 *request);
	const char *password; /* to come back with, after a crash; NULL: the old one */
} verbs[] = {
	{ VERB_CREATE_USER, STRANGER, tell_create_user, NULL }, { VERB_LOGIN, STRANGER, tell_login, NULL },
	{ VERB_LOGOUT, BOB, tell_logout, NULL },                { VERB_CHANGE_PASSWORD, BOB, tell_change_password, "new" },
	{ VERB_END_SESSION, BOB, tell_end_session, NULL },      { VERB_CREATE_GROUP, BOB, tell_create_group, NULL },
	{ VERB_JOIN_GROUP, DAN, tell_join_group, NULL },        { VERB_LEAVE_GROUP, BOB, tell_leave_group, NULL },
	{ VERB_ACCEPT_REQUEST, ANN, tell_accept_request, NULL }, { VERB_REJECT_REQUEST, ANN, tell_reject_request, NULL },
	{ VERB_REMOVE_MEMBER, ANN, tell_remove_member, NULL },  { VERB_TRANSFER_GROUP, ANN, tell_transfer_group, NULL },
	{ VERB_SET_ROLE, ANN, tell_set_role, NULL },
	{ VERB_DELETE_GROUP, ANN, tell_delete_group, NULL },    { VERB_UPLOAD_FILE_DATA, ANN, tell_upload_file_data, NULL },
	{ VERB_UPDATE_FILE_INFO, BOB, tell_update_file_info, NULL }, { VERB_STOP_SHARE, ANN, tell_stop_share, NULL },
};

static void every_changing_verb_is_here(void)
{
#define X(num, NAME, word, req, rep, row, login, change)                                 \
	{                                                                                \
		bool found = !(change);                                                  \
		for (size_t i = 0; i < COUNT_OF(verbs); i++)                             \
			found |= verbs[i].verb == (num);                                 \
		check_that(found, #word " is told twice here", __FILE__, __LINE__); \
	}
	CMD_VERBS(X)
#undef X
}

static struct rig_conn *speaker(struct people *p, enum who who)
{
	struct rig_conn *c;
	switch (who) {
	case ANN: return p->ann;
	case BOB: return p->bob;
	case DAN: return rig_login(p->r, "dan", 4);
	case STRANGER: break;
	}
	c = rig_connect(p->r, 7);
	rig_hello(p->r, c, (struct slice){ 0 });
	return c;
}

static uint64_t operations(const struct rig *r)
{
	const struct vvec *v = registry_vector(r->reg);
	uint64_t n = 0;
	for (size_t i = 0; i < v->n; i++)
		n += v->entries[i].seq;
	return n;
}

/* The reply's bytes behind the serial, but for a token, which is new each time: then only the uid before it. */
static void same_answer(unsigned verb, struct rig_reply a, struct buf *kept, struct rig_reply *b)
{
	struct slice was = slice_of(kept->data, kept->len), is = slice_of(b->fields.p, cursor_left(&b->fields));
	bool token = verb == VERB_LOGIN || verb == VERB_CHANGE_PASSWORD;

	CHECK_INT(b->head.code, ==, SHOAL_OK);
	CHECK(!stamp_is_zero(&a.head.stamp) && stamp_cmp(&a.head.stamp, &b->head.stamp) == 0);
	if (token)
		was.len = is.len = 16;
	check_that(slice_eq(was, is), verb_word(verb), __FILE__, __LINE__);
}

static void told_twice(const struct told *v)
{
	struct people p = start();
	struct rig_conn *c = speaker(&p, v->who);
	struct id16 request = rig_request();
	struct rig_reply first, second;
	struct buf kept = { 0 };
	uint64_t before = operations(p.r);

	CHECK(rig_take(c, v->tell(&p, c, &request), &first));
	check_that(first.head.code == SHOAL_OK, verb_word(v->verb), __FILE__, __LINE__);
	buf_put(&kept, first.fields.p, cursor_left(&first.fields));
	uint64_t after = operations(p.r);
	CHECK_INT(after, >, before);
	if (v->verb == VERB_LOGOUT) { /* comes back to ask what became of it */
		CHECK_INT(CODE(p.r, c, LOGIN, req_user_password, .user = S("bob"), .password = S("bob-pw")), ==, SHOAL_OK);
		after = operations(p.r);
	}
	CHECK(rig_take(c, v->tell(&p, c, &request), &second));
	same_answer(v->verb, first, &kept, &second);
	CHECK_INT(operations(p.r), ==, after);
	buf_free(&kept);
	rig_free(p.r);
}

static void each_is_done_once(void)
{
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		told_twice(&verbs[i]);
}

/* As who it was: a session of his own device, where he needs one. */
static struct rig_conn *come_back(struct people *p, const struct told *v)
{
	static const char *const names[] = { "ann", "bob", "dan" };
	struct rig_conn *c = rig_connect(p->r, v->who == STRANGER ? 7 : v->who == DAN ? 4 : v->who + 1);
	char password[32];

	rig_hello(p->r, c, (struct slice){ 0 });
	if (v->who == STRANGER)
		return c;
	snprintf(password, sizeof(password), "%s-pw", names[v->who]);
	CHECK_INT(CODE(p->r, c, LOGIN, req_user_password, .user = S(names[v->who]),
	               .password = S(v->password != NULL ? v->password : password)), ==, SHOAL_OK);
	return c;
}

static void killed_before_the_reply(const struct told *v)
{
	struct people p = start();
	struct rig_conn *c = speaker(&p, v->who);
	struct id16 request = rig_request();
	struct rig_reply reply;
	uint64_t log = registry_log(p.r->reg);

	p.r->hold_commits = true; /* on disk, but nobody is told */
	CHECK(!rig_take(c, v->tell(&p, c, &request), &reply));
	rig_stop(p.r);
	p.r->hold_commits = false;
	rig_start(p.r);
	c = come_back(&p, v);
	uint64_t before = operations(p.r);
	CHECK(rig_take(c, v->tell(&p, c, &request), &reply));
	check_that(reply.head.code == SHOAL_OK, verb_word(v->verb), __FILE__, __LINE__);
	CHECK_INT(operations(p.r), ==, before);
	CHECK_INT(reply.head.stamp.dot.log, ==, log); /* what was done then */
	rig_free(p.r);
}

static void each_is_done_once_though_the_tracker_dies_before_it_says_so(void)
{
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		killed_before_the_reply(&verbs[i]);
}

/* 2,500 shares take several records: the reply's stamp is the last one's, and a retry makes none. */
static void many_records_are_one_command(void)
{
	struct people p = start();
	struct id16 request = rig_request();
	char name[16];

	for (unsigned i = 0; i < 2500; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK_INT(upload(&p, p.bob, NULL, name).head.code, ==, SHOAL_OK);
		rig_forget_events(p.ann);
		rig_forget_events(p.bob);
	}
	uint64_t before = operations(p.r);
	struct rig_reply left = CALL_AS(p.r, p.bob, &request, LEAVE_GROUP, req_group_user, .group = S("team"));
	CHECK_INT(left.head.code, ==, SHOAL_OK);
	uint64_t after = operations(p.r);
	CHECK_INT(after, >, before + 1);
	CHECK_INT(registry_count(p.r->reg, TABLE_SHARE), ==, 1); /* ann's */
	CHECK(vvec_covers(registry_vector(p.r->reg), left.head.stamp.dot));
	CHECK_INT(vvec_get(registry_vector(p.r->reg), left.head.stamp.dot.log), ==, left.head.stamp.dot.seq);
	CHECK_INT(CODE(p.r, p.bob, LIST_MEMBERS, req_group, .group = S("team")), ==, SHOAL_EDENIED);
	struct rig_reply again = CALL_AS(p.r, p.bob, &request, LEAVE_GROUP, req_group_user, .group = S("team"));
	CHECK_INT(again.head.code, ==, SHOAL_OK);
	CHECK_INT(operations(p.r), ==, after);
	rig_free(p.r);
}

/* The first record of a deletion is on the disk when the tracker dies, those that close the rest are not. */
static void a_deletion_that_was_broken_off_is_finished_after_the_start(void)
{
	struct people p = start();
	struct id16 request = rig_request();
	struct rig_reply reply;
	char name[16];

	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK_INT(upload(&p, p.bob, NULL, name).head.code, ==, SHOAL_OK);
		rig_forget_events(p.ann);
		rig_forget_events(p.bob);
	}
	p.r->hold_commits = true;
	CHECK(!rig_take(p.ann, tell_delete_group(&p, p.ann, &request), &reply));
	rig_stop(p.r);
	p.r->hold_commits = false;
	rig_start(p.r);
	CHECK(!group_lives(p.r->reg, &p.gid));
	CHECK_INT(registry_count(p.r->reg, TABLE_SHARE), >, 2000);
	rig_pass(p.r, 3000);
	CHECK_INT(registry_count(p.r->reg, TABLE_SHARE), ==, 0);
	CHECK_INT(registry_count(p.r->reg, TABLE_MEM), ==, 0);
	uint64_t after = operations(p.r);
	rig_stop(p.r);
	rig_start(p.r);
	rig_pass(p.r, 3000);
	CHECK_INT(operations(p.r), ==, after); /* once */
	rig_free(p.r);
}

static const struct CMUnitTest tests[] = {
	TEST(every_changing_verb_is_here), TEST(each_is_done_once),
	TEST(each_is_done_once_though_the_tracker_dies_before_it_says_so), TEST(many_records_are_one_command),
	TEST(a_deletion_that_was_broken_off_is_finished_after_the_start),
};
CHECK_MAIN(tests)
