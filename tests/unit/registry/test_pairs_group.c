/* tests/unit/registry/test_pairs_group.c - the rows create_group, join_group, accept_request and leave_group of
 * docs/sync.md's table: 22 cells. */
#include "tests/unit/registry/pairs.h"

/* -- create_group with ..: 'club' is made on both sides; whatever is done in the left one belongs to the left one */

static void ann_makes_club(struct world *w, struct lab *on)
{
	w->left_gid = lab_group(on, &w->ann, "club");
}

static void one_club_has_the_name(struct world *w, struct lab *t)
{
	bool left = w->left_first;
	group_name_went_to(w, t, "club", left ? &w->left_gid : &w->right, left ? &w->right : &w->left_gid);
	CHECK(group_is_owner(t->reg, &w->right, &w->bob));
	CHECK_INT(group_member_count(t->reg, &w->right), ==, 1);
	TOLD(w, t, left ? &w->bob : &w->ann, "name-lost-group");
	TOLD(w, t, left ? &w->ann : &w->bob, "");
}

static void both_clubs_stand(struct world *w, struct lab *t)
{
	one_club_has_the_name(w, t);
	CHECK(group_is_owner(t->reg, &w->left_gid, &w->ann));
	team_is_untouched(w, t);
}
PAIR(create_group, create_group, .left = ann_makes_club, .right = bob_makes_club, .expect = both_clubs_stand)

static void cho_asks_club(struct world *w, struct lab *on)
{
	OK(lab_join(on, &w->cho, &w->left_gid));
}

static void the_request_stays_with_the_left_club(struct world *w, struct lab *t)
{
	one_club_has_the_name(w, t);
	CHECK(group_has_asked(t->reg, &w->left_gid, &w->cho));
	CHECK(!group_has_asked(t->reg, &w->right, &w->cho));
}
PAIR(create_group, join_group, .before = ann_makes_club, .left = cho_asks_club, .right = bob_makes_club,
     .expect = the_request_stays_with_the_left_club)

static void club_with_a_request(struct world *w, struct lab *on)
{
	ann_makes_club(w, on);
	cho_asks_club(w, on);
}

static void club_accepts_cho(struct world *w, struct lab *on)
{
	OK(lab_accept(on, &w->ann, &w->left_gid, &w->cho));
}

static void cho_is_in_the_left_club(struct world *w, struct lab *t)
{
	one_club_has_the_name(w, t);
	CHECK(group_is_member(t->reg, &w->left_gid, &w->cho));
	CHECK(!group_is_member(t->reg, &w->right, &w->cho));
}
PAIR(create_group, accept_request, .before = club_with_a_request, .left = club_accepts_cho, .right = bob_makes_club,
     .expect = cho_is_in_the_left_club)

/* 11: the group ends here, its name is claimed there: a dead group has no claim. */
static void ann_leaves_club(struct world *w, struct lab *on)
{
	OK(lab_leave(on, &w->ann, &w->left_gid));
}

static void the_new_club_has_the_name(struct world *w, struct lab *t)
{
	char shown[NAME_SHOWN_MAX];
	CHECK(!group_lives(t->reg, &w->left_gid));
	CHECK_STR(group_shown(t->reg, &w->right, shown), "club");
	CHECK(id16_eq(&group_find(t->reg, slice_str("club"))->gid, &w->right));
	/* tracker 2 heard of the group before it heard of its end: for that moment one of them was an alias */
	TOLD(w, t, &w->ann, w->left_first ? "" : "name-lost-group");
	TOLD(w, t, &w->bob, w->left_first ? "name-lost-group name-won-back-group" : "");
}
PAIR(create_group, leave_group, .before = ann_makes_club, .left = ann_leaves_club, .right = bob_makes_club,
     .expect = the_new_club_has_the_name)

static void ann_uploads_to_club(struct world *w, struct lab *on)
{
	w->left = do_upload(on, &w->ann, ANN_DEVICE, &w->left_gid, "map", 5);
}

static void the_map_is_in_the_left_club(struct world *w, struct lab *t)
{
	one_club_has_the_name(w, t);
	CHECK_INT(seeders_of(t, &w->left_gid, &w->left), ==, 1);
	CHECK_INT(file_count(t->reg, &w->right, NULL), ==, 0);
}
PAIR(create_group, upload_file_data, .before = ann_makes_club, .left = ann_uploads_to_club, .right = bob_makes_club,
     .expect = the_map_is_in_the_left_club)

static void club_with_a_map(struct world *w, struct lab *on)
{
	ann_makes_club(w, on);
	ann_uploads_to_club(w, on);
}

static void ann_shares_the_map_elsewhere(struct world *w, struct lab *on)
{
	OK(do_share(on, &w->ann, 9, &w->left_gid, &w->left));
}

static void the_map_has_two_seeders(struct world *w, struct lab *t)
{
	one_club_has_the_name(w, t);
	CHECK_INT(seeders_of(t, &w->left_gid, &w->left), ==, 2);
}
PAIR(create_group, update_file_info, .before = club_with_a_map, .left = ann_shares_the_map_elsewhere,
     .right = bob_makes_club, .expect = the_map_has_two_seeders)

static void ann_stops_the_map(struct world *w, struct lab *on)
{
	OK(do_stop(on, &w->ann, &w->left_gid, &w->left, everybody));
}

static void the_map_is_gone(struct world *w, struct lab *t)
{
	one_club_has_the_name(w, t);
	CHECK(!file_has_seeder(t->reg, &w->left_gid, &w->left));
}
PAIR(create_group, stop_share, .before = club_with_a_map, .left = ann_stops_the_map, .right = bob_makes_club,
     .expect = the_map_is_gone)

/* -- join_group with .. */

static void dan_is_there(struct world *w, struct lab *on) { w->zoe = lab_user(on, "dan"); }
static void dan_asks(struct world *w, struct lab *on) { OK(lab_join(on, &w->zoe, &w->gid)); }

static void dan_has_asked_once(struct world *w, struct lab *t)
{
	struct member *list;
	size_t n;
	CHECK(group_has_asked(t->reg, &w->gid, &w->zoe));
	CHECK_INT(group_asked_count(t->reg, &w->gid), ==, 2); /* and cho */
	OK(group_asked(t->reg, &w->gid, &list, &n));
	CHECK_INT(n, ==, 2);
	free(list);
	nobody_told(w, t);
	lab_begin(t, OP_ACCEPT_REQUEST); /* an accept takes all it sees */
	OK(group_accept(t->reg, &t->op, &w->ann, &w->gid, &w->zoe, &t->e));
	struct cursor c = cursor_of(t->op.rows.data, t->op.rows.len);
	for (n = 0; cursor_left(&c) != 0; n++) {
		struct wire_row row;
		wire_row_get(&c, &row);
	}
	CHECK_INT(n, ==, 2);
	op_fini(&t->op);
}
PAIR(join_group, join_group, .shared = dan_is_there, .left = dan_asks, .right = dan_asks, .expect = dan_has_asked_once)

/* 13: cho has asked; here he withdraws and asks again, there his first request is accepted. */
static void cho_asks_again(struct world *w, struct lab *on)
{
	OK(lab_leave(on, &w->cho, &w->gid));
	OK(lab_join(on, &w->cho, &w->gid));
}

static void dan_asked_on_both_sides(struct world *w, struct lab *on)
{
	dan_asks(w, on);
	OK(lab_accept(on, &w->ann, &w->gid, &w->zoe));
}

static void dan_is_a_member_once(struct world *w, struct lab *t)
{
	struct member *list;
	size_t n;
	CHECK(group_is_member(t->reg, &w->gid, &w->zoe));
	CHECK(!group_has_asked(t->reg, &w->gid, &w->zoe)); /* the second request is not seen while he is one */
	CHECK_INT(group_asked_count(t->reg, &w->gid), ==, 1);
	CHECK_INT(group_member_count(t->reg, &w->gid), ==, 3);
	OK(group_members(t->reg, &w->gid, &list, &n));
	CHECK_INT(n, ==, 3);
	free(list);
	nobody_told(w, t);
}
PAIR(join_group, accept_request, .shared = dan_is_there, .left = dan_asks, .right = dan_asked_on_both_sides,
     .expect = dan_is_a_member_once)

/* 14: withdrawn here, withdrawn and asked again there. */
static void only_the_fresh_request_is_open(struct world *w, struct lab *t)
{
	struct registry_iter it = registry_by(t->reg, INDEX_MEMBER, w->gid.b, 16, w->cho.b, 16);
	unsigned n = 0;
	while (registry_next(&it) != NULL)
		n++;
	CHECK_INT(n, ==, 1);
	CHECK(group_has_asked(t->reg, &w->gid, &w->cho));
	CHECK(!group_is_member(t->reg, &w->gid, &w->cho));
	nobody_told(w, t);
}
PAIR(join_group, leave_group, .left = cho_asks_again, .right = cho_withdraws, .expect = only_the_fresh_request_is_open)

static void dan_has_asked_and_notes_are_there(struct world *w, struct lab *t)
{
	CHECK(group_has_asked(t->reg, &w->gid, &w->zoe));
	CHECK_INT(seeders_of(t, &w->gid, &w->right), ==, 1);
	team_is_untouched(w, t);
	nobody_told(w, t);
}
PAIR(join_group, upload_file_data, .shared = dan_is_there, .left = dan_asks, .right = bob_uploads_notes,
     .expect = dan_has_asked_and_notes_are_there)

static void dan_has_asked_and_bob_seeds(struct world *w, struct lab *t)
{
	CHECK(group_has_asked(t->reg, &w->gid, &w->zoe));
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 2);
	nobody_told(w, t);
}
PAIR(join_group, update_file_info, .shared = dan_is_there, .left = dan_asks, .right = bob_shares,
     .expect = dan_has_asked_and_bob_seeds)

static void dan_has_asked_and_plan_is_gone(struct world *w, struct lab *t)
{
	CHECK(group_has_asked(t->reg, &w->gid, &w->zoe));
	CHECK(!file_has_seeder(t->reg, &w->gid, &w->fid));
	nobody_told(w, t);
}
PAIR(join_group, stop_share, .shared = dan_is_there, .left = dan_asks, .right = ann_stops,
     .expect = dan_has_asked_and_plan_is_gone)

/* -- accept_request with .. */

static void cho_is_in_since_the_earlier(struct world *w, struct lab *t)
{
	struct member *list;
	size_t n;
	CHECK_INT(group_member_count(t->reg, &w->gid), ==, 3);
	OK(group_members(t->reg, &w->gid, &list, &n));
	CHECK_INT(n, ==, 3);
	CHECK(id16_eq(&list[2].uid, &w->cho));
	CHECK_INT(list[2].since.tracker, ==, w->left_first ? 1 : 2);
	free(list);
	nobody_told(w, t);
}
PAIR(accept_request, accept_request, .left = cho_accepted, .right = cho_accepted,
     .expect = cho_is_in_since_the_earlier)

/* 16 */
static void leave_wins(struct world *w, struct lab *t)
{
	CHECK(!group_is_member(t->reg, &w->gid, &w->cho));
	CHECK(!group_has_asked(t->reg, &w->gid, &w->cho));
	TOLD(w, t, &w->ann, "accept-void");
	TOLD(w, t, &w->cho, "");
}
PAIR(accept_request, leave_group, .left = cho_accepted, .right = cho_withdraws, .expect = leave_wins)

/* 17: the owner accepts here and leaves there: the accept stands. */
static void bob_is_the_owner_and_cho_a_member(struct world *w, struct lab *t)
{
	CHECK(group_is_member(t->reg, &w->gid, &w->cho));
	CHECK(!group_is_member(t->reg, &w->gid, &w->ann));
	CHECK(group_is_owner(t->reg, &w->gid, &w->bob));
	TOLD(w, t, &w->bob, "owner-now");
	TOLD(w, t, &w->cho, "");
}
PAIR(accept_by_a_leaver, leave_group, .left = cho_accepted, .right = ann_leaves,
     .expect = bob_is_the_owner_and_cho_a_member)

/* 17: with nobody else the group had ended there: it lives on with the accepted member as its owner. */
static void bob_had_left(struct world *w, struct lab *on) { bob_leaves(w, on); }

static void cho_owns_the_group(struct world *w, struct lab *t)
{
	CHECK(group_lives(t->reg, &w->gid));
	CHECK(group_is_owner(t->reg, &w->gid, &w->cho));
	TOLD(w, t, &w->cho, "owner-now");
	TOLD(w, t, &w->ann, "");
}
PAIR(accept_in_a_group_that_ends, leave_group, .shared = bob_had_left, .left = cho_accepted, .right = ann_leaves,
     .expect = cho_owns_the_group)

static void cho_is_in_and_notes_are_there(struct world *w, struct lab *t)
{
	CHECK(group_is_member(t->reg, &w->gid, &w->cho));
	CHECK_INT(seeders_of(t, &w->gid, &w->right), ==, 1);
	nobody_told(w, t);
}
PAIR(accept_request, upload_file_data, .left = cho_accepted, .right = bob_uploads_notes,
     .expect = cho_is_in_and_notes_are_there)

static void cho_is_in_and_bob_seeds(struct world *w, struct lab *t)
{
	CHECK(group_is_member(t->reg, &w->gid, &w->cho));
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 2);
	nobody_told(w, t);
}
PAIR(accept_request, update_file_info, .left = cho_accepted, .right = bob_shares, .expect = cho_is_in_and_bob_seeds)

static void cho_is_in_and_plan_is_gone(struct world *w, struct lab *t)
{
	CHECK(group_is_member(t->reg, &w->gid, &w->cho));
	CHECK(!file_has_seeder(t->reg, &w->gid, &w->fid));
	nobody_told(w, t);
}
PAIR(accept_request, stop_share, .left = cho_accepted, .right = ann_stops, .expect = cho_is_in_and_plan_is_gone)

/* -- leave_group with .. */

/* 18: owner and next in line; then everybody. */
static void cho_is_a_member_too(struct world *w, struct lab *on) { cho_accepted(w, on); }

static void cho_is_next(struct world *w, struct lab *t)
{
	CHECK(group_is_owner(t->reg, &w->gid, &w->cho));
	CHECK_INT(group_member_count(t->reg, &w->gid), ==, 1);
	TOLD(w, t, &w->cho, "owner-now");
}
PAIR(leave_group, leave_group, .shared = cho_is_a_member_too, .left = ann_leaves, .right = bob_leaves,
     .expect = cho_is_next)

static void the_group_has_ended(struct world *w, struct lab *t)
{
	CHECK(!group_lives(t->reg, &w->gid));
	CHECK(group_find(t->reg, slice_str("team")) == NULL);
	TOLD(w, t, &w->cho, "");
}
PAIR(leave_group_as_the_last, leave_group, .left = ann_leaves, .right = bob_leaves, .expect = the_group_has_ended)

/* 19 */
static void notes_are_hidden(struct world *w, struct lab *t)
{
	CHECK(registry_file(t->reg, &w->gid, &w->right) != NULL);
	CHECK(!file_has_seeder(t->reg, &w->gid, &w->right));
	CHECK_INT(file_count(t->reg, &w->gid, NULL), ==, 1); /* plan */
	TOLD(w, t, &w->bob, "upload-hidden");
	TOLD(w, t, &w->ann, "");
}
PAIR(leave_group, upload_file_data, .left = bob_leaves, .right = bob_uploads_notes, .expect = notes_are_hidden)

/* 19, and the group ends with him. */
static void only_bob_is_left(struct world *w, struct lab *on)
{
	OK(lab_leave(on, &w->ann, &w->gid));
}

static void notes_are_hidden_with_the_group(struct world *w, struct lab *t)
{
	CHECK(!group_lives(t->reg, &w->gid));
	CHECK(strstr(lab_notices(t, &w->bob, w->told, sizeof(w->told)), "upload-hidden") != NULL);
}
PAIR(leave_group_that_ends, upload_file_data, .shared = only_bob_is_left, .left = bob_leaves,
     .right = bob_uploads_notes, .expect = notes_are_hidden_with_the_group)

/* 20 */
static void bobs_share_does_not_count(struct world *w, struct lab *t)
{
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 1);
	TOLD(w, t, &w->bob, "upload-hidden");
}
PAIR(leave_group, update_file_info, .left = bob_leaves, .right = bob_shares, .expect = bobs_share_does_not_count)

/* 21 */
static void both_are_closed(struct world *w, struct lab *t)
{
	CHECK(!group_is_member(t->reg, &w->gid, &w->bob));
	CHECK_INT(registry_count(t->reg, TABLE_SHARE), ==, 1);
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 1);
	nobody_told(w, t);
}
PAIR(leave_group, stop_share, .shared = bob_shares, .left = bob_leaves, .right = bob_stops, .expect = both_are_closed)

static const struct CMUnitTest tests[] = {
	TEST(create_group_and_create_group), TEST(create_group_and_join_group), TEST(create_group_and_accept_request),
	TEST(create_group_and_leave_group), TEST(create_group_and_upload_file_data),
	TEST(create_group_and_update_file_info), TEST(create_group_and_stop_share),
	TEST(join_group_and_join_group), TEST(join_group_and_accept_request), TEST(join_group_and_leave_group),
	TEST(join_group_and_upload_file_data), TEST(join_group_and_update_file_info), TEST(join_group_and_stop_share),
	TEST(accept_request_and_accept_request), TEST(accept_request_and_leave_group),
	TEST(accept_by_a_leaver_and_leave_group), TEST(accept_in_a_group_that_ends_and_leave_group),
	TEST(accept_request_and_upload_file_data), TEST(accept_request_and_update_file_info),
	TEST(accept_request_and_stop_share),
	TEST(leave_group_and_leave_group), TEST(leave_group_as_the_last_and_leave_group),
	TEST(leave_group_and_upload_file_data), TEST(leave_group_that_ends_and_upload_file_data),
	TEST(leave_group_and_update_file_info), TEST(leave_group_and_stop_share),
};
CHECK_MAIN(tests)
