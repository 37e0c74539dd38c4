/* tests/unit/registry/test_pairs_user.c - the rows create_user, login and logout of docs/sync.md's table: 27 cells. */
#include "tests/unit/registry/pairs.h"

/* -- create_user with ..: 'zoe' is made on both sides; whatever the left one does belongs to the left one */

static void zoe_is_made(struct world *w, struct lab *on)
{
	w->zoe = lab_user(on, "zoe");
}

static void another_zoe(struct world *w, struct lab *on)
{
	w->right = lab_user(on, "zoe");
}

static void left_zoe(struct world *w, struct lab *on)
{
	w->left = lab_user(on, "zoe");
}

static void one_zoe_has_the_name(struct world *w, struct lab *t, const struct id16 *left)
{
	CHECK(!id16_eq(left, &w->right));
	user_name_went_to(w, t, "zoe", w->left_first ? left : &w->right, w->left_first ? &w->right : left);
	CHECK_INT(registry_count(t->reg, TABLE_USER), ==, 5);
	team_is_untouched(w, t);
	nobody_told(w, t);
}

static void both_accounts_stand(struct world *w, struct lab *t)
{
	one_zoe_has_the_name(w, t, &w->left);
}
PAIR(create_user, create_user, .left = left_zoe, .right = another_zoe, .expect = both_accounts_stand)

/* 1a: the same request, sent to both sides: one account, nobody is told. */
static void zoe_by_one_request(struct world *w, struct lab *on, struct id16 *uid)
{
	static const struct id16 request = { { 0x1a } };
	(void)w;
	lab_begin(on, OP_CREATE_USER);
	on->op.request = request;
	OK(lab_end(on, user_create(on->reg, &on->op, slice_str("zoe"), slice_str("p"), uid, &on->e)));
}

static void zoe_asked_left(struct world *w, struct lab *on) { zoe_by_one_request(w, on, &w->left); }
static void zoe_asked_right(struct world *w, struct lab *on) { zoe_by_one_request(w, on, &w->right); }

static void one_account(struct world *w, struct lab *t)
{
	struct conflict *list;
	size_t n;
	CHECK(id16_eq(&w->left, &w->right));
	CHECK_INT(registry_count(t->reg, TABLE_USER), ==, 4);
	TOLD(w, t, &w->left, "");
	OK(conflict_list(t->reg, &w->left, &list, &n));
	CHECK_INT(n, ==, 0);
	free(list);
}
PAIR(create_user_by_one_request, create_user, .left = zoe_asked_left, .right = zoe_asked_right, .expect = one_account)

static void zoe_logs_in(struct world *w, struct lab *on)
{
	w->left_dot = lab_login(on, &w->zoe, ZOE_DEVICE);
}

static void the_session_is_left_zoes(struct world *w, struct lab *t)
{
	one_zoe_has_the_name(w, t, &w->zoe);
	CHECK_INT(user_session_state(t->reg, &w->zoe, w->left_dot), ==, SESSION_OPEN);
	CHECK(registry_sess(t->reg, &w->right, w->left_dot) == NULL);
}
PAIR(create_user, login, .before = zoe_is_made, .left = zoe_logs_in, .right = another_zoe,
     .expect = the_session_is_left_zoes)

static void zoe_made_and_logged_in(struct world *w, struct lab *on)
{
	zoe_is_made(w, on);
	w->before_dot = lab_login(on, &w->zoe, ZOE_DEVICE);
}

static void zoe_logs_out(struct world *w, struct lab *on)
{
	OK(RUN(on, OP_LOGOUT, user_logout(on->reg, &on->op, &w->zoe, w->before_dot, &on->e)));
}

static void left_zoe_is_logged_out(struct world *w, struct lab *t)
{
	one_zoe_has_the_name(w, t, &w->zoe);
	CHECK_INT(user_session_state(t->reg, &w->zoe, w->before_dot), ==, SESSION_ENDED);
}
PAIR(create_user, logout, .before = zoe_made_and_logged_in, .left = zoe_logs_out, .right = another_zoe,
     .expect = left_zoe_is_logged_out)

static void zoe_makes_club(struct world *w, struct lab *on)
{
	w->left = lab_group(on, &w->zoe, "club");
}

static void club_is_left_zoes(struct world *w, struct lab *t)
{
	one_zoe_has_the_name(w, t, &w->zoe);
	CHECK(group_is_owner(t->reg, &w->left, &w->zoe));
	CHECK(!group_is_member(t->reg, &w->left, &w->right));
}
PAIR(create_user, create_group, .before = zoe_is_made, .left = zoe_makes_club, .right = another_zoe,
     .expect = club_is_left_zoes)

static void zoe_asks(struct world *w, struct lab *on)
{
	OK(lab_join(on, &w->zoe, &w->gid));
}

static void the_request_is_left_zoes(struct world *w, struct lab *t)
{
	one_zoe_has_the_name(w, t, &w->zoe);
	CHECK(group_has_asked(t->reg, &w->gid, &w->zoe));
	CHECK(!group_has_asked(t->reg, &w->gid, &w->right));
}
PAIR(create_user, join_group, .before = zoe_is_made, .left = zoe_asks, .right = another_zoe,
     .expect = the_request_is_left_zoes)

static void zoe_made_and_asks(struct world *w, struct lab *on)
{
	zoe_is_made(w, on);
	zoe_asks(w, on);
}

static void zoe_is_accepted(struct world *w, struct lab *on)
{
	OK(lab_accept(on, &w->ann, &w->gid, &w->zoe));
}

static void left_zoe_is_in(struct world *w, struct lab *t)
{
	one_zoe_has_the_name(w, t, &w->zoe);
	CHECK(group_is_member(t->reg, &w->gid, &w->zoe));
	CHECK(!group_is_member(t->reg, &w->gid, &w->right)); /* not the wrong person */
}
PAIR(create_user, accept_request, .before = zoe_made_and_asks, .left = zoe_is_accepted, .right = another_zoe,
     .expect = left_zoe_is_in)

static void zoe_made_and_in(struct world *w, struct lab *on)
{
	zoe_made_and_asks(w, on);
	zoe_is_accepted(w, on);
}

static void zoe_leaves(struct world *w, struct lab *on)
{
	OK(lab_leave(on, &w->zoe, &w->gid));
}

static void left_zoe_is_out(struct world *w, struct lab *t)
{
	one_zoe_has_the_name(w, t, &w->zoe);
	CHECK(!group_is_member(t->reg, &w->gid, &w->zoe));
}
PAIR(create_user, leave_group, .before = zoe_made_and_in, .left = zoe_leaves, .right = another_zoe,
     .expect = left_zoe_is_out)

static void zoe_uploads(struct world *w, struct lab *on)
{
	w->left = do_upload(on, &w->zoe, ZOE_DEVICE, &w->gid, "zoes", 9);
}

static void the_file_is_left_zoes(struct world *w, struct lab *t)
{
	one_zoe_has_the_name(w, t, &w->zoe);
	CHECK(id16_eq(&registry_file(t->reg, &w->gid, &w->left)->uploader, &w->zoe));
	CHECK_INT(seeders_of(t, &w->gid, &w->left), ==, 1);
}
PAIR(create_user, upload_file_data, .before = zoe_made_and_in, .left = zoe_uploads, .right = another_zoe,
     .expect = the_file_is_left_zoes)

static void zoe_shares(struct world *w, struct lab *on)
{
	OK(do_share(on, &w->zoe, ZOE_DEVICE, &w->gid, &w->fid));
}

static void zoe_seeds(struct world *w, struct lab *t)
{
	struct id32 device = device_of(ZOE_DEVICE);
	user_name_went_to(w, t, "zoe", w->left_first ? &w->zoe : &w->right, w->left_first ? &w->right : &w->zoe);
	CHECK(file_shared_by(t->reg, &w->gid, &w->fid, &w->zoe, &device));
	CHECK(!file_shared_by(t->reg, &w->gid, &w->fid, &w->right, &device));
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 2);
}
PAIR(create_user, update_file_info, .before = zoe_made_and_in, .left = zoe_shares, .right = another_zoe,
     .expect = zoe_seeds)

static void zoe_made_and_shares(struct world *w, struct lab *on)
{
	zoe_made_and_in(w, on);
	zoe_shares(w, on);
}

static void zoe_stops(struct world *w, struct lab *on)
{
	OK(do_stop(on, &w->zoe, &w->gid, &w->fid, everybody));
}

static void zoe_seeds_no_more(struct world *w, struct lab *t)
{
	one_zoe_has_the_name(w, t, &w->zoe); /* one seeder is left */
}
PAIR(create_user, stop_share, .before = zoe_made_and_shares, .left = zoe_stops, .right = another_zoe,
     .expect = zoe_seeds_no_more)

/* -- login with .. */

static void ann_logs_in_elsewhere(struct world *w, struct lab *on)
{
	w->right_dot = lab_login(on, &w->ann, 9);
}

static void both_sessions_stand(struct world *w, struct lab *t)
{
	CHECK_INT(user_session_state(t->reg, &w->ann, w->left_dot), ==, SESSION_OPEN);
	CHECK_INT(user_session_state(t->reg, &w->ann, w->right_dot), ==, SESSION_OPEN);
	nobody_told(w, t);
}
PAIR(login, login, .left = ann_logs_in, .right = ann_logs_in_elsewhere, .expect = both_sessions_stand)

static void ann_logs_in_again(struct world *w, struct lab *on)
{
	w->right_dot = lab_login(on, &w->ann, ANN_DEVICE);
}

static void the_newer_stands(struct world *w, struct lab *t)
{
	struct dot newer = w->left_first ? w->right_dot : w->left_dot, older = w->left_first ? w->left_dot : w->right_dot;
	CHECK_INT(user_session_state(t->reg, &w->ann, newer), ==, SESSION_OPEN);
	CHECK_INT(user_session_state(t->reg, &w->ann, older), ==, SESSION_ENDED);
	TOLD(w, t, &w->ann, "session-superseded");
	TOLD(w, t, &w->bob, "");
}
PAIR(login_of_one_device, login, .left = ann_logs_in, .right = ann_logs_in_again, .expect = the_newer_stands)

static void bob_logs_in_anew(struct world *w, struct lab *on) { w->left_dot = lab_login(on, &w->bob, 8); }

static void the_login_stands(struct world *w, struct lab *t)
{
	CHECK_INT(user_session_state(t->reg, &w->bob, w->left_dot), ==, SESSION_OPEN);
	CHECK_INT(user_session_state(t->reg, &w->bob, w->before_dot), ==, SESSION_ENDED);
	nobody_told(w, t);
}
PAIR(login, logout, .shared = bob_was_logged_in, .left = bob_logs_in_anew, .right = bob_logs_out,
     .expect = the_login_stands)
/* Even of one device: the logout has not seen the login. The login has closed what it saw, as the logout has. */
static void bob_logs_in_there_again(struct world *w, struct lab *on) { w->left_dot = lab_login(on, &w->bob, BOB_DEVICE); }
PAIR(login_of_one_device, logout, .shared = bob_was_logged_in, .left = bob_logs_in_there_again, .right = bob_logs_out,
     .expect = the_login_stands)

static void ann_is_in(struct world *w, struct lab *t)
{
	CHECK_INT(user_session_state(t->reg, &w->ann, w->left_dot), ==, SESSION_OPEN);
	nobody_told(w, t);
}

static void and_club_is_there(struct world *w, struct lab *t)
{
	ann_is_in(w, t);
	team_is_untouched(w, t);
	CHECK(group_is_owner(t->reg, &w->right, &w->bob));
}
PAIR(login, create_group, .left = ann_logs_in, .right = bob_makes_club, .expect = and_club_is_there)

static void cho_asked_twice_over(struct world *w, struct lab *on)
{
	OK(lab_leave(on, &w->cho, &w->gid));
	OK(lab_join(on, &w->cho, &w->gid));
}

static void and_cho_has_asked(struct world *w, struct lab *t)
{
	ann_is_in(w, t);
	team_is_untouched(w, t);
}
PAIR(login, join_group, .left = ann_logs_in, .right = cho_asked_twice_over, .expect = and_cho_has_asked)

static void and_cho_is_member(struct world *w, struct lab *t)
{
	ann_is_in(w, t);
	CHECK(group_is_member(t->reg, &w->gid, &w->cho));
}
PAIR(login, accept_request, .left = ann_logs_in, .right = cho_accepted, .expect = and_cho_is_member)

static void bob_logged_in_left(struct world *w, struct lab *on) { w->left_dot = lab_login(on, &w->bob, BOB_DEVICE); }

static void bob_is_in_but_no_member(struct world *w, struct lab *t)
{
	CHECK_INT(user_session_state(t->reg, &w->bob, w->left_dot), ==, SESSION_OPEN);
	CHECK(!group_is_member(t->reg, &w->gid, &w->bob));
	CHECK_INT(group_check_member(t->reg, &w->gid, &w->bob, NULL), ==, SHOAL_EDENIED); /* what a ticket rests on */
	nobody_told(w, t);
}
PAIR(login, leave_group, .left = bob_logged_in_left, .right = bob_leaves, .expect = bob_is_in_but_no_member)

static void and_notes_are_there(struct world *w, struct lab *t)
{
	ann_is_in(w, t);
	CHECK_INT(seeders_of(t, &w->gid, &w->right), ==, 1);
	team_is_untouched(w, t);
}
PAIR(login, upload_file_data, .left = ann_logs_in, .right = bob_uploads_notes, .expect = and_notes_are_there)

static void and_bob_seeds(struct world *w, struct lab *t)
{
	ann_is_in(w, t);
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 2);
}
PAIR(login, update_file_info, .left = ann_logs_in, .right = bob_shares, .expect = and_bob_seeds)

/* 6: bob, the last one online, stops; ann, who shares too, logs in on the other side. */
static void bob_stops_alone(struct world *w, struct lab *on)
{
	OK(do_stop(on, &w->bob, &w->gid, &w->fid, nobody));
}

static void anns_share_was_closed_and_she_may_share_again(struct world *w, struct lab *t)
{
	CHECK_INT(user_session_state(t->reg, &w->ann, w->left_dot), ==, SESSION_OPEN);
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 0);
	TOLD(w, t, &w->ann, "share-removed");
	TOLD(w, t, &w->bob, "");
	lab_begin(t, OP_UPDATE_FILE_INFO); /* what her client does at the next heartbeat */
	struct id32 device = device_of(ANN_DEVICE);
	OK(file_share(t->reg, &t->op, &w->ann, &device, &w->gid, &w->fid, &t->e));
	CHECK(!op_is_empty(&t->op));
	op_fini(&t->op);
}
PAIR(login, stop_share, .shared = bob_shares, .left = ann_logs_in, .right = bob_stops_alone,
     .expect = anns_share_was_closed_and_she_may_share_again)

/* -- logout with .. */

static void bob_is_out(struct world *w, struct lab *t)
{
	const struct sess_row **list;
	size_t n;
	CHECK_INT(user_session_state(t->reg, &w->bob, w->before_dot), ==, SESSION_ENDED);
	OK(user_sessions(t->reg, &w->bob, &list, &n));
	CHECK_INT(n, ==, 0);
	free(list);
	nobody_told(w, t);
}
PAIR(logout, logout, .shared = bob_was_logged_in, .left = bob_logs_out, .right = bob_logs_out, .expect = bob_is_out)

static void bob_is_out_and_club_there(struct world *w, struct lab *t)
{
	bob_is_out(w, t);
	CHECK(group_is_owner(t->reg, &w->right, &w->bob));
}
PAIR(logout, create_group, .shared = bob_was_logged_in, .left = bob_logs_out, .right = bob_makes_club,
     .expect = bob_is_out_and_club_there)

static void bob_is_out_and_cho_has_asked(struct world *w, struct lab *t)
{
	bob_is_out(w, t);
	team_is_untouched(w, t);
}
PAIR(logout, join_group, .shared = bob_was_logged_in, .left = bob_logs_out, .right = cho_asked_twice_over,
     .expect = bob_is_out_and_cho_has_asked)

static void bob_is_out_and_cho_member(struct world *w, struct lab *t)
{
	bob_is_out(w, t);
	CHECK(group_is_member(t->reg, &w->gid, &w->cho));
}
PAIR(logout, accept_request, .shared = bob_was_logged_in, .left = bob_logs_out, .right = cho_accepted,
     .expect = bob_is_out_and_cho_member)

static void bob_is_out_of_both(struct world *w, struct lab *t)
{
	bob_is_out(w, t);
	CHECK(!group_is_member(t->reg, &w->gid, &w->bob));
}
PAIR(logout, leave_group, .shared = bob_was_logged_in, .left = bob_logs_out, .right = bob_leaves,
     .expect = bob_is_out_of_both)

static bool only_ann(void *ctx, const struct id16 *uid, const struct id32 *device)
{
	(void)ctx, (void)uid;
	return device->b[0] == ANN_DEVICE;
}

static void bob_is_out_and_his_notes_wait(struct world *w, struct lab *t)
{
	struct presence presence = { only_ann, NULL };
	bob_is_out(w, t);
	CHECK(file_has_seeder(t->reg, &w->gid, &w->right)); /* the row stands; listed is it when he is online */
	CHECK(!file_listed(t->reg, &w->gid, &w->right, &presence));
}
PAIR(logout, upload_file_data, .shared = bob_was_logged_in, .left = bob_logs_out, .right = bob_uploads_notes,
     .expect = bob_is_out_and_his_notes_wait)

static void bob_is_out_and_his_share_waits(struct world *w, struct lab *t)
{
	bob_is_out(w, t);
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 2);
}
PAIR(logout, update_file_info, .shared = bob_was_logged_in, .left = bob_logs_out, .right = bob_shares,
     .expect = bob_is_out_and_his_share_waits)

/* 8: ann's stop counts bob as online, who logs out: the file stays, unlisted until he is back. */
static void bob_in_and_sharing(struct world *w, struct lab *on)
{
	bob_was_logged_in(w, on);
	bob_shares(w, on);
}

static void the_file_waits_for_bob(struct world *w, struct lab *t)
{
	struct presence none = { nobody, NULL }, all = { everybody, NULL };
	bob_is_out(w, t);
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 1);
	CHECK(!file_listed(t->reg, &w->gid, &w->fid, &none));
	CHECK(file_listed(t->reg, &w->gid, &w->fid, &all));
}
PAIR(logout, stop_share, .shared = bob_in_and_sharing, .left = bob_logs_out, .right = ann_stops,
     .expect = the_file_waits_for_bob)

static const struct CMUnitTest tests[] = {
	TEST(create_user_and_create_user), TEST(create_user_by_one_request_and_create_user), TEST(create_user_and_login),
	TEST(create_user_and_logout), TEST(create_user_and_create_group), TEST(create_user_and_join_group),
	TEST(create_user_and_accept_request), TEST(create_user_and_leave_group), TEST(create_user_and_upload_file_data),
	TEST(create_user_and_update_file_info), TEST(create_user_and_stop_share),
	TEST(login_and_login), TEST(login_of_one_device_and_login), TEST(login_and_logout),
	TEST(login_of_one_device_and_logout), TEST(login_and_create_group), TEST(login_and_join_group),
	TEST(login_and_accept_request), TEST(login_and_leave_group), TEST(login_and_upload_file_data),
	TEST(login_and_update_file_info), TEST(login_and_stop_share),
	TEST(logout_and_logout), TEST(logout_and_create_group), TEST(logout_and_join_group),
	TEST(logout_and_accept_request), TEST(logout_and_leave_group), TEST(logout_and_upload_file_data),
	TEST(logout_and_update_file_info), TEST(logout_and_stop_share),
};
CHECK_MAIN(tests)
