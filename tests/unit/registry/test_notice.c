/* tests/unit/registry/test_notice.c - whoever loses something by a merge is told, once, on every tracker. */
#include "tests/unit/registry/random_ops.h"

/* Two trackers that both know ann, bob, cho and ann's group, and are then cut off from each other. */
struct split {
	struct lab *a, *b;
	struct id16 ann, bob, cho, gid;
	char told[256];
};

static struct split split_new(void)
{
	struct split s = { .a = lab_new(1), .b = lab_new(2) };
	s.ann = lab_user(s.a, "ann");
	s.bob = lab_user(s.a, "bob");
	s.cho = lab_user(s.a, "cho");
	s.gid = lab_group(s.a, &s.ann, "team");
	lab_ship(s.a, s.b);
	s.b->wall_ms = s.a->wall_ms + 50;
	return s;
}

static void split_heal(struct split *s)
{
	lab_meet(s->a, s->b);
	CHECK(lab_same(s->a, s->b));
}

static void split_free(struct split *s)
{
	lab_free(s->a);
	lab_free(s->b);
}

/* The same on both sides. */
#define TOLD(s, uid, kinds)                                                          \
	do {                                                                         \
		CHECK_STR(lab_notices((s).a, uid, (s).told, sizeof((s).told)), kinds); \
		CHECK_STR(lab_notices((s).b, uid, (s).told, sizeof((s).told)), kinds); \
	} while (0)

static void an_accept_of_one_who_withdrew(void)
{
	for (int order = 0; order < 2; order++) {
		struct split s = split_new();
		CHECK_INT(lab_join(s.a, &s.bob, &s.gid), ==, SHOAL_OK);
		lab_ship(s.a, s.b);
		CHECK_INT(lab_accept(s.a, &s.ann, &s.gid, &s.bob), ==, SHOAL_OK);
		CHECK_INT(lab_leave(s.b, &s.bob, &s.gid), ==, SHOAL_OK);
		if (order == 0)
			lab_ship(s.a, s.b);
		split_heal(&s);
		CHECK(!group_is_member(s.a->reg, &s.gid, &s.bob));
		TOLD(s, &s.ann, "accept-void");
		TOLD(s, &s.bob, "");
		split_free(&s);
	}
}

static void an_accept_that_was_known_is_not_void(void)
{
	struct split s = split_new();
	lab_member(s.a, &s.ann, &s.gid, &s.bob);
	lab_ship(s.a, s.b);
	CHECK_INT(lab_leave(s.b, &s.bob, &s.gid), ==, SHOAL_OK);
	split_heal(&s);
	TOLD(s, &s.ann, "");
	split_free(&s);
}

static void names_that_two_claim(void)
{
	struct split s = split_new();
	struct id16 early = lab_user(s.a, "dan"), late, fid, gid;
	bool joined;

	s.b->wall_ms = s.a->wall_ms + 100;
	late = lab_user(s.b, "dan");
	CHECK_INT(lab_upload(s.a, &s.ann, 1, &s.gid, "f", 1, &fid, &joined), ==, SHOAL_OK);
	s.b->wall_ms = s.a->wall_ms + 100;
	CHECK_INT(lab_upload(s.b, &s.ann, 1, &s.gid, "f", 2, &fid, &joined), ==, SHOAL_OK);
	lab_group(s.a, &s.bob, "club");
	s.b->wall_ms = s.a->wall_ms + 100;
	gid = lab_group(s.b, &s.cho, "club");
	split_heal(&s);
	TOLD(s, &early, "");
	TOLD(s, &late, "name-lost-user");
	TOLD(s, &s.ann, "name-lost-file");
	TOLD(s, &s.bob, "");
	TOLD(s, &s.cho, "name-lost-group");

	struct conflict *list;
	char shown[NAME_SHOWN_MAX];
	size_t n;
	CHECK_INT(conflict_list(s.a->reg, &s.ann, &list, &n), ==, SHOAL_OK);
	CHECK_INT(n, ==, 2); /* both claims on f */
	CHECK(list[0].kind == NAME_FILE && list[0].has_name && !list[1].has_name);
	CHECK_STR(list[0].shown, "f");
	CHECK_STR(list[0].group, "team");
	CHECK_STR(list[1].shown, file_shown(s.a->reg, &s.gid, &fid, shown));
	free(list);
	CHECK_INT(conflict_list(s.b->reg, &s.cho, &list, &n), ==, SHOAL_OK);
	CHECK_INT(n, ==, 2);
	CHECK_STR(list[1].shown, group_shown(s.a->reg, &gid, shown));
	free(list);
	CHECK_INT(conflict_list(s.b->reg, &early, &list, &n), ==, SHOAL_OK);
	CHECK_INT(n, ==, 2);
	free(list);
	split_free(&s);
}

static void no_conflict_is_none(void)
{
	struct split s = split_new();
	struct conflict *list;
	size_t n;
	CHECK_INT(conflict_list(s.a->reg, &s.ann, &list, &n), ==, SHOAL_OK);
	CHECK_INT(n, ==, 0);
	free(list);
	split_heal(&s);
	TOLD(s, &s.ann, "");
	split_free(&s);
}

static void an_upload_to_a_group_that_was_left(void)
{
	for (int order = 0; order < 2; order++) {
		struct split s = split_new();
		struct id16 fid;
		bool joined;
		lab_member(s.a, &s.ann, &s.gid, &s.bob);
		lab_ship(s.a, s.b);
		CHECK_INT(lab_upload(s.a, &s.bob, 2, &s.gid, "f", 1, &fid, &joined), ==, SHOAL_OK);
		CHECK_INT(lab_leave(s.b, &s.bob, &s.gid), ==, SHOAL_OK);
		if (order == 0)
			lab_ship(s.a, s.b);
		split_heal(&s);
		CHECK(!file_has_seeder(s.a->reg, &s.gid, &fid));
		TOLD(s, &s.bob, "upload-hidden");
		split_free(&s);
	}
}

static void ownership_that_comes_by_a_merge(void)
{
	struct split s = split_new();
	lab_member(s.a, &s.ann, &s.gid, &s.bob);
	lab_member(s.a, &s.ann, &s.gid, &s.cho);
	lab_ship(s.a, s.b);
	CHECK_INT(lab_leave(s.a, &s.ann, &s.gid), ==, SHOAL_OK); /* bob is told there */
	CHECK_INT(lab_leave(s.b, &s.bob, &s.gid), ==, SHOAL_OK); /* but he is gone: cho */
	split_heal(&s);
	CHECK(group_is_owner(s.a->reg, &s.gid, &s.cho) && group_is_owner(s.b->reg, &s.gid, &s.cho));
	TOLD(s, &s.cho, "owner-now");
	split_free(&s);
}

static void a_group_that_had_ended_lives_on(void)
{
	struct split s = split_new();
	CHECK_INT(lab_join(s.a, &s.bob, &s.gid), ==, SHOAL_OK);
	lab_ship(s.a, s.b);
	CHECK_INT(lab_leave(s.a, &s.ann, &s.gid), ==, SHOAL_OK);
	CHECK(!group_lives(s.a->reg, &s.gid));
	CHECK_INT(lab_accept(s.b, &s.ann, &s.gid, &s.bob), ==, SHOAL_OK);
	split_heal(&s);
	CHECK(group_is_owner(s.a->reg, &s.gid, &s.bob));
	TOLD(s, &s.bob, "owner-now");
	split_free(&s);
}

static void two_logins_of_one_device(void)
{
	struct split s = split_new();
	struct dot older = lab_login(s.a, &s.ann, 1);
	s.b->wall_ms = s.a->wall_ms + 100;
	struct dot newer = lab_login(s.b, &s.ann, 1);
	lab_login(s.b, &s.bob, 2);
	split_heal(&s);
	CHECK_INT(user_session_state(s.a->reg, &s.ann, older), ==, SESSION_ENDED);
	CHECK_INT(user_session_state(s.b->reg, &s.ann, newer), ==, SESSION_OPEN);
	TOLD(s, &s.ann, "session-superseded");
	TOLD(s, &s.bob, "");
	split_free(&s);
}

static bool no_cho(void *ctx, const struct id16 *uid, const struct id32 *device)
{
	(void)uid;
	return device->b[0] != *(const uint8_t *)ctx;
}

static void a_file_removed_over_an_offline_seeder(void)
{
	struct split s = split_new();
	uint8_t away = 3;
	struct presence presence = { no_cho, &away };
	struct id16 fid;
	bool flag;

	lab_member(s.a, &s.ann, &s.gid, &s.cho);
	CHECK_INT(lab_upload(s.a, &s.ann, 1, &s.gid, "f", 1, &fid, &flag), ==, SHOAL_OK);
	CHECK_INT(lab_upload(s.a, &s.cho, 3, &s.gid, "f", 1, &fid, &flag), ==, SHOAL_OK);
	CHECK_INT(RUN(s.a, OP_STOP_SHARE, file_stop(s.a->reg, &s.a->op, &s.ann, &s.gid, &fid, &presence, &flag, &s.a->e)),
	          ==, SHOAL_OK);
	CHECK(flag);
	split_heal(&s);
	TOLD(s, &s.cho, "share-removed");
	TOLD(s, &s.ann, "");
	split_free(&s);
}

static enum shoal_err give_role(struct lab *on, const struct split *s, const struct id16 *who, enum member_role role)
{
	return RUN(on, OP_SET_ROLE, group_set_role(on->reg, &on->op, &s->ann, &s->gid, who, role, &on->e));
}

static void of_two_roles_the_later_counts(void)
{
	for (int order = 0; order < 2; order++) {
		struct split s = split_new();
		lab_member(s.a, &s.ann, &s.gid, &s.bob);
		CHECK_INT(give_role(s.a, &s, &s.bob, ROLE_ADMIN), ==, SHOAL_OK);
		lab_ship(s.a, s.b);
		CHECK_INT(give_role(s.a, &s, &s.bob, ROLE_MEMBER), ==, SHOAL_OK);
		CHECK_INT(give_role(s.a, &s, &s.bob, ROLE_ADMIN), ==, SHOAL_OK);
		s.b->wall_ms = s.a->wall_ms + 1000;
		CHECK_INT(give_role(s.b, &s, &s.bob, ROLE_MEMBER), ==, SHOAL_OK);
		if (order == 0)
			lab_ship(s.a, s.b);
		split_heal(&s);
		CHECK_STR(group_role(s.a->reg, &s.gid, &s.bob), "member");
		TOLD(s, &s.bob, "role-lost");
		TOLD(s, &s.ann, "");
		split_free(&s);
	}
}

static void a_role_for_one_who_had_left(void)
{
	for (int order = 0; order < 2; order++) {
		struct split s = split_new();
		lab_member(s.a, &s.ann, &s.gid, &s.bob);
		lab_ship(s.a, s.b);
		CHECK_INT(give_role(s.a, &s, &s.bob, ROLE_ADMIN), ==, SHOAL_OK);
		CHECK_INT(lab_leave(s.b, &s.bob, &s.gid), ==, SHOAL_OK);
		if (order == 0)
			lab_ship(s.a, s.b);
		split_heal(&s);
		CHECK(!group_is_admin(s.a->reg, &s.gid, &s.bob));
		TOLD(s, &s.ann, "role-void");
		TOLD(s, &s.bob, "");
		split_free(&s);
	}
}

static void a_name_that_is_free_again(void)
{
	struct split s = split_new();
	struct presence presence = { everybody, NULL };
	struct id16 early = lab_group(s.a, &s.bob, "club"), first, second;
	char shown[NAME_SHOWN_MAX];
	bool flag;

	CHECK_INT(lab_upload(s.a, &s.ann, 1, &s.gid, "f", 1, &first, &flag), ==, SHOAL_OK);
	s.b->wall_ms = s.a->wall_ms + 100;
	struct id16 late = lab_group(s.b, &s.cho, "club");
	CHECK_INT(lab_upload(s.b, &s.ann, 2, &s.gid, "f", 2, &second, &flag), ==, SHOAL_OK);
	split_heal(&s);
	TOLD(s, &s.cho, "name-lost-group");
	TOLD(s, &s.ann, "name-lost-file");
	CHECK_INT(lab_leave(s.a, &s.bob, &early), ==, SHOAL_OK);
	CHECK_STR(lab_notices(s.a, &s.cho, s.told, sizeof(s.told)), "name-lost-group name-won-back-group"); /* at once */
	CHECK_INT(RUN(s.a, OP_STOP_SHARE, file_stop(s.a->reg, &s.a->op, &s.ann, &s.gid, &first, &presence, &flag, &s.a->e)),
	          ==, SHOAL_OK);
	split_heal(&s);
	CHECK_STR(group_shown(s.b->reg, &late, shown), "club");
	CHECK_STR(file_shown(s.b->reg, &s.gid, &second, shown), "f");
	TOLD(s, &s.cho, "name-lost-group name-won-back-group");
	TOLD(s, &s.ann, "name-lost-file name-won-back-file");
	TOLD(s, &s.bob, "");
	split_free(&s);
}

static void a_name_that_nobody_lost_is_no_news(void)
{
	struct split s = split_new();
	struct id16 one = lab_group(s.a, &s.bob, "club");
	CHECK_INT(lab_leave(s.a, &s.bob, &one), ==, SHOAL_OK);
	lab_group(s.a, &s.cho, "club");
	split_heal(&s);
	TOLD(s, &s.cho, "");
	split_free(&s);
}

static void seen_notices_are_not_shown_again_anywhere(void)
{
	struct split s = split_new();
	const struct notice_row **list;
	size_t n;

	lab_login(s.a, &s.ann, 1);
	lab_login(s.b, &s.ann, 1);
	split_heal(&s);
	CHECK_INT(notice_list(s.a->reg, &s.ann, &list, &n), ==, SHOAL_OK);
	CHECK_INT(n, ==, 1);
	lab_begin(s.a, OP_NOTICE);
	notice_put_seen(&s.a->op, list, n);
	lab_apply(s.a);
	free(list);
	split_heal(&s);
	TOLD(s, &s.ann, "");
	split_free(&s);
}

static void texts_name_things_and_escape_them(void)
{
	char out[NOTICE_TEXT_MAX];
	struct notice_row notice = { .kind = slice_str("accept-void"), .group = slice_str("team"), .subject = slice_str("bob") };

	CHECK_STR(notice_text(&notice, out), "'bob' had withdrawn from 'team' before you accepted the request");
	notice.kind = slice_str("name-lost-file");
	notice.subject = slice_str("plan~8d2w4c.pdf");
	CHECK_STR(notice_text(&notice, out), "the name of your file in 'team' belongs to an earlier one: it shows as "
	                                     "'plan~8d2w4c.pdf'");
	notice.subject = slice_str("\033[2Jboo");
	CHECK(strstr(notice_text(&notice, out), "\\x1b[2Jboo") != NULL);
	notice.kind = slice_str("from-the-future");
	CHECK(strstr(notice_text(&notice, out), "team") != NULL);
}

/* A snapshot brings the close without its op: the accept that it did not know is void all the same. */
static void an_accept_made_void_by_a_snapshot(void)
{
	struct split s = split_new();
	struct undo *undo = NULL;

	CHECK_INT(lab_join(s.a, &s.bob, &s.gid), ==, SHOAL_OK);
	lab_ship(s.a, s.b);
	CHECK_INT(lab_leave(s.b, &s.bob, &s.gid), ==, SHOAL_OK);
	CHECK_INT(lab_accept(s.a, &s.ann, &s.gid, &s.bob), ==, SHOAL_OK);
	struct registry_cut *cut = registry_cut_new(s.b->reg);
	CHECK_INT(registry_apply_snapshot(s.a->reg, cut->rows, cut->n, &cut->vector, cut->hlc, s.a->wall_ms, NULL, &undo),
	          ==, SHOAL_OK);
	registry_commit_done(s.a->reg, undo);
	registry_cut_free(cut);
	lab_begin(s.a, OP_NOTICE);
	CHECK(registry_take_notices(s.a->reg, &s.a->op));
	lab_apply(s.a);
	CHECK(!group_is_member(s.a->reg, &s.gid, &s.bob));
	CHECK_STR(lab_notices(s.a, &s.ann, s.told, sizeof(s.told)), "accept-void");
	lab_begin(s.a, OP_NOTICE);
	CHECK(!registry_take_notices(s.a->reg, &s.a->op)); /* once */
	op_fini(&s.a->op);
	split_free(&s);
}

static void a_name_lost_to_a_snapshot(void)
{
	struct split s = split_new();
	struct undo *undo = NULL;

	lab_user(s.a, "dan");
	s.b->wall_ms = s.a->wall_ms + 100;
	struct id16 late = lab_user(s.b, "dan");
	struct registry_cut *cut = registry_cut_new(s.a->reg);
	CHECK_INT(registry_apply_snapshot(s.b->reg, cut->rows, cut->n, &cut->vector, cut->hlc, s.b->wall_ms, NULL, &undo),
	          ==, SHOAL_OK);
	registry_commit_done(s.b->reg, undo);
	registry_cut_free(cut);
	lab_begin(s.b, OP_NOTICE);
	CHECK(registry_take_notices(s.b->reg, &s.b->op));
	lab_apply(s.b);
	CHECK_STR(lab_notices(s.b, &late, s.told, sizeof(s.told)), "name-lost-user");
	split_free(&s);
}

static const struct CMUnitTest tests[] = {
	TEST(an_accept_of_one_who_withdrew), TEST(an_accept_that_was_known_is_not_void), TEST(names_that_two_claim),
	TEST(no_conflict_is_none), TEST(an_upload_to_a_group_that_was_left), TEST(ownership_that_comes_by_a_merge),
	TEST(a_group_that_had_ended_lives_on), TEST(two_logins_of_one_device),
	TEST(a_file_removed_over_an_offline_seeder), TEST(seen_notices_are_not_shown_again_anywhere),
	TEST(texts_name_things_and_escape_them), TEST(an_accept_made_void_by_a_snapshot), TEST(a_name_lost_to_a_snapshot),
	TEST(of_two_roles_the_later_counts), TEST(a_role_for_one_who_had_left), TEST(a_name_that_is_free_again),
	TEST(a_name_that_nobody_lost_is_no_news),
};
CHECK_MAIN(tests)
