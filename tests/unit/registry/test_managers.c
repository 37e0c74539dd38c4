/* tests/unit/registry/test_managers.c - every command, done and refused; every view. */
#include "tests/unit/registry/lab.h"

static char shown[NAME_SHOWN_MAX];

#define SAYS(lab, rc, code, text)                  \
	do {                                       \
		CHECK_INT(rc, ==, code);           \
		CHECK_STR((lab)->e.message, text); \
	} while (0)

static void users_are_created_once(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), other;
	const struct user_row *row = user_find(t->reg, slice_str("ann"));

	CHECK(row != NULL && id16_eq(&row->uid, &ann));
	CHECK(slice_eq_str(row->password, "$scrypt$x"));
	CHECK_STR(user_shown(t->reg, &ann, shown), "ann");
	SAYS(t, RUN(t, OP_CREATE_USER, user_create(t->reg, &t->op, slice_str("ann"), slice_str("p"), &other, &t->e)),
	     SHOAL_EEXISTS, "user 'ann' exists already");
	CHECK_INT(RUN(t, OP_CREATE_USER, user_create(t->reg, &t->op, slice_str("a\nb"), slice_str("p"), &other, &t->e)),
	          ==, SHOAL_EUSAGE);
	CHECK_INT(RUN(t, OP_CREATE_USER, user_create(t->reg, &t->op, slice_str(""), slice_str("p"), &other, &t->e)), ==,
	          SHOAL_EUSAGE);
	CHECK(user_find(t->reg, slice_str("bob")) == NULL);
	CHECK_INT(registry_count(t->reg, TABLE_USER), ==, 1);
	lab_free(t);
}

static void sessions_open_and_close(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann");
	struct dot one = lab_login(t, &ann, 1), two = lab_login(t, &ann, 2);

	CHECK_INT(user_session_state(t->reg, &ann, one), ==, SESSION_OPEN);
	struct dot again = lab_login(t, &ann, 1); /* the same device: the older ends */
	CHECK_INT(user_session_state(t->reg, &ann, one), ==, SESSION_ENDED);
	CHECK_INT(user_session_state(t->reg, &ann, again), ==, SESSION_OPEN);
	CHECK_INT(user_session_state(t->reg, &ann, two), ==, SESSION_OPEN);
	CHECK(registry_sess(t->reg, &ann, one) == NULL); /* closed and covered: dropped */
	CHECK_INT(user_session_state(t->reg, &ann, (struct dot){ 0x9999, 1 }), ==, SESSION_UNKNOWN);

	CHECK_INT(RUN(t, OP_LOGOUT, user_logout(t->reg, &t->op, &ann, again, &t->e)), ==, SHOAL_OK);
	CHECK_INT(user_session_state(t->reg, &ann, again), ==, SESSION_ENDED);
	CHECK_INT(RUN(t, OP_LOGOUT, user_logout(t->reg, &t->op, &ann, again, &t->e)), ==, SHOAL_EAUTH);
	CHECK_INT(RUN(t, OP_END_SESSION, user_end_session(t->reg, &t->op, &ann, two, &t->e)), ==, SHOAL_OK);
	CHECK_INT(user_session_state(t->reg, &ann, two), ==, SESSION_ENDED);
	CHECK_INT(RUN(t, OP_END_SESSION, user_end_session(t->reg, &t->op, &ann, two, &t->e)), ==, SHOAL_ENOTFOUND);
	CHECK_INT(registry_count(t->reg, TABLE_SESS), ==, 0);
	lab_free(t);
}

static void the_ninth_device_ends_the_oldest_session(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann");
	struct dot dots[9];
	const struct sess_row **list;
	size_t n;

	for (unsigned i = 0; i < 9; i++)
		dots[i] = lab_login(t, &ann, i);
	CHECK_INT(user_sessions(t->reg, &ann, &list, &n), ==, SHOAL_OK);
	CHECK_INT(n, ==, 8);
	CHECK(dot_eq(list[0]->key.dot, dots[1]) && dot_eq(list[7]->key.dot, dots[8]));
	free(list);
	CHECK_INT(user_session_state(t->reg, &ann, dots[0]), ==, SESSION_ENDED);
	lab_free(t);
}

static void a_new_password_ends_other_sessions_everywhere(void)
{
	struct lab *a = lab_new(1), *b = lab_new(2);
	struct id16 ann = lab_user(a, "ann");
	struct id32 device = device_of(1);

	lab_ship(a, b);
	struct dot here = lab_login(a, &ann, 1), there = lab_login(b, &ann, 2); /* b's is not known to a */
	CHECK_INT(RUN(a, OP_CHANGE_PASSWORD,
	              user_change_password(a->reg, &a->op, &ann, &device, slice_str("$scrypt$new"), &a->e)),
	          ==, SHOAL_OK);
	struct dot fresh = a->op.stamp.dot;
	CHECK_INT(user_session_state(a->reg, &ann, here), ==, SESSION_ENDED);
	CHECK_INT(user_session_state(a->reg, &ann, fresh), ==, SESSION_OPEN);
	lab_meet(a, b);
	for (int i = 0; i < 2; i++) {
		struct registry *reg = (i == 0 ? a : b)->reg;
		CHECK_INT(user_session_state(reg, &ann, there), ==, SESSION_ENDED);
		CHECK_INT(user_session_state(reg, &ann, fresh), ==, SESSION_OPEN);
		CHECK(slice_eq_str(registry_user(reg, &ann)->password, "$scrypt$new"));
		CHECK(slice_eq_str(registry_user(reg, &ann)->name, "ann"));
	}
	lab_free(a);
	lab_free(b);
}

static void a_lost_name_shows_as_an_alias_that_works(void)
{
	struct lab *a = lab_new(1), *b = lab_new(2);
	struct id16 first = lab_user(a, "ann");
	const struct user_row *claims[3];
	char alias[NAME_SHOWN_MAX], of_winner[NAME_SHOWN_MAX];

	b->wall_ms += 500;
	struct id16 second = lab_user(b, "ann");
	lab_meet(a, b);
	for (int i = 0; i < 2; i++) {
		struct registry *reg = (i == 0 ? a : b)->reg;
		CHECK(id16_eq(&user_find(reg, slice_str("ann"))->uid, &first));
		CHECK_STR(user_shown(reg, &first, shown), "ann");
		name_alias(NAME_USER, "ann", second.b, alias);
		name_alias(NAME_USER, "ann", first.b, of_winner);
		CHECK_STR(user_shown(reg, &second, shown), alias);
		CHECK(id16_eq(&user_find(reg, slice_str(alias))->uid, &second));
		CHECK(id16_eq(&user_find(reg, slice_str(of_winner))->uid, &first));
		CHECK(user_find(reg, slice_str("ann~zzzzzz")) == NULL);
		CHECK_INT(user_claims(reg, slice_str("ann"), claims, 3), ==, 2);
		CHECK(id16_eq(&claims[0]->uid, &first) && id16_eq(&claims[1]->uid, &second));
		CHECK_INT(user_claims(reg, slice_str("ann"), claims, 1), ==, 1);
		CHECK(id16_eq(&claims[0]->uid, &first));
	}
	lab_free(a);
	lab_free(b);
}

static void joining_takes_a_request_and_an_accept(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), bob = lab_user(t, "bob"), cho = lab_user(t, "cho");
	struct id16 gid = lab_group(t, &ann, "team"), other;
	struct member *list;
	size_t n;

	SAYS(t, RUN(t, OP_CREATE_GROUP, group_create(t->reg, &t->op, &bob, slice_str("team"), &other, &t->e)),
	     SHOAL_EEXISTS, "group 'team' exists already");
	SAYS(t, lab_join(t, &ann, &gid), SHOAL_EEXISTS, "a member of 'team' already");
	CHECK_INT(lab_join(t, &bob, &gid), ==, SHOAL_OK);
	SAYS(t, lab_join(t, &bob, &gid), SHOAL_EEXISTS, "asked to join 'team' already");
	CHECK(!group_is_member(t->reg, &gid, &bob) && group_has_asked(t->reg, &gid, &bob));
	CHECK_STR(group_role(t->reg, &gid, &bob), "asked");
	SAYS(t, lab_accept(t, &bob, &gid, &bob), SHOAL_EDENIED, "not a member of 'team'");
	SAYS(t, lab_accept(t, &ann, &gid, &cho), SHOAL_ENOTFOUND, "no request of 'cho' to join 'team'");
	CHECK_INT(group_asked(t->reg, &gid, &list, &n), ==, SHOAL_OK);
	CHECK(n == 1 && id16_eq(&list[0].uid, &bob));
	free(list);
	CHECK_INT(lab_accept(t, &ann, &gid, &bob), ==, SHOAL_OK);
	CHECK(group_is_member(t->reg, &gid, &bob) && !group_has_asked(t->reg, &gid, &bob));
	SAYS(t, lab_accept(t, &ann, &gid, &bob), SHOAL_EEXISTS, "'bob' is a member of 'team' already");
	CHECK_INT(lab_join(t, &cho, &gid), ==, SHOAL_OK);
	SAYS(t, lab_accept(t, &bob, &gid, &cho), SHOAL_EDENIED, "only the owner or an admin of 'team' may accept requests");
	CHECK_INT(group_members(t->reg, &gid, &list, &n), ==, SHOAL_OK);
	CHECK(n == 2 && id16_eq(&list[0].uid, &ann) && id16_eq(&list[1].uid, &bob));
	free(list);
	CHECK_INT(group_member_count(t->reg, &gid), ==, 2);
	CHECK_INT(group_asked_count(t->reg, &gid), ==, 1);
	CHECK_STR(group_role(t->reg, &gid, &ann), "owner");
	CHECK_STR(group_role(t->reg, &gid, &bob), "member");
	lab_free(t);
}

static void requests_can_be_refused_and_withdrawn(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), bob = lab_user(t, "bob");
	struct id16 gid = lab_group(t, &ann, "team");

	CHECK_INT(lab_join(t, &bob, &gid), ==, SHOAL_OK);
	CHECK_INT(RUN(t, OP_REJECT_REQUEST, group_reject(t->reg, &t->op, &bob, &gid, &bob, slice_str(""), &t->e)), ==,
	          SHOAL_EDENIED);
	CHECK_INT(RUN(t, OP_REJECT_REQUEST, group_reject(t->reg, &t->op, &ann, &gid, &bob, slice_str("no"), &t->e)), ==,
	          SHOAL_OK);
	CHECK(!group_has_asked(t->reg, &gid, &bob));
	CHECK_INT(RUN(t, OP_REJECT_REQUEST, group_reject(t->reg, &t->op, &ann, &gid, &bob, slice_str(""), &t->e)), ==,
	          SHOAL_ENOTFOUND);
	CHECK_INT(lab_join(t, &bob, &gid), ==, SHOAL_OK);
	CHECK_INT(lab_leave(t, &bob, &gid), ==, SHOAL_OK);
	SAYS(t, lab_leave(t, &bob, &gid), SHOAL_EDENIED, "not a member of 'team'");
	CHECK_INT(registry_count(t->reg, TABLE_MEM), ==, 1);
	lab_free(t);
}

static void the_owner_leaves_and_the_earliest_takes_over(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), bob = lab_user(t, "bob"), cho = lab_user(t, "cho"), owner;
	struct id16 gid = lab_group(t, &ann, "team");
	char kinds[128];

	lab_member(t, &ann, &gid, &cho);
	lab_member(t, &ann, &gid, &bob);
	CHECK_INT(lab_leave(t, &ann, &gid), ==, SHOAL_OK);
	CHECK(group_owner(t->reg, &gid, &owner) && id16_eq(&owner, &cho));
	CHECK_STR(lab_notices(t, &cho, kinds, sizeof(kinds)), "owner-now");
	CHECK_STR(lab_notices(t, &bob, kinds, sizeof(kinds)), "");
	CHECK_INT(lab_leave(t, &cho, &gid), ==, SHOAL_OK);
	CHECK(group_is_owner(t->reg, &gid, &bob));
	CHECK_INT(lab_leave(t, &bob, &gid), ==, SHOAL_OK);
	CHECK(!group_lives(t->reg, &gid) && !group_owner(t->reg, &gid, &owner));
	CHECK(group_find(t->reg, slice_str("team")) == NULL);
	SAYS(t, lab_join(t, &bob, &gid), SHOAL_ENOTFOUND, "group 'team' has ended");
	struct id16 again = lab_group(t, &bob, "team"); /* its name is free */
	CHECK(!id16_eq(&again, &gid));
	CHECK(id16_eq(&group_find(t->reg, slice_str("team"))->gid, &again));
	lab_free(t);
}

static void a_group_is_handed_over(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), bob = lab_user(t, "bob"), cho = lab_user(t, "cho"), dan = lab_user(t, "dan");
	struct id16 gid = lab_group(t, &ann, "team");

	lab_member(t, &ann, &gid, &bob);
	lab_member(t, &ann, &gid, &cho);
	SAYS(t, RUN(t, OP_TRANSFER_GROUP, group_transfer(t->reg, &t->op, &ann, &gid, &dan, &t->e)), SHOAL_ENOTFOUND,
	     "'dan' is not a member of 'team'");
	SAYS(t, RUN(t, OP_TRANSFER_GROUP, group_transfer(t->reg, &t->op, &bob, &gid, &cho, &t->e)), SHOAL_EDENIED,
	     "only the owner of 'team' may hand it over");
	CHECK_INT(RUN(t, OP_TRANSFER_GROUP, group_transfer(t->reg, &t->op, &ann, &gid, &ann, &t->e)), ==, SHOAL_EEXISTS);
	CHECK_INT(RUN(t, OP_TRANSFER_GROUP, group_transfer(t->reg, &t->op, &ann, &gid, &cho, &t->e)), ==, SHOAL_OK);
	CHECK(group_is_owner(t->reg, &gid, &cho) && !group_is_owner(t->reg, &gid, &ann));
	CHECK_INT(RUN(t, OP_TRANSFER_GROUP, group_transfer(t->reg, &t->op, &cho, &gid, &bob, &t->e)), ==, SHOAL_OK);
	CHECK(group_is_owner(t->reg, &gid, &bob));
	CHECK_INT(lab_leave(t, &bob, &gid), ==, SHOAL_OK); /* the one it was handed to goes: the earliest member */
	CHECK(group_is_owner(t->reg, &gid, &ann));
	CHECK_INT(RUN(t, OP_LEAVE_GROUP, group_leave(t->reg, &t->op, &ann, &gid, &cho, &t->e)), ==, SHOAL_OK);
	CHECK(group_is_owner(t->reg, &gid, &cho) && !group_is_member(t->reg, &gid, &ann));
	CHECK_INT(RUN(t, OP_LEAVE_GROUP, group_leave(t->reg, &t->op, &cho, &gid, &dan, &t->e)), ==, SHOAL_ENOTFOUND);
	lab_free(t);
}

static void members_are_removed_and_groups_deleted(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), bob = lab_user(t, "bob"), fid, owner;
	struct id16 gid = lab_group(t, &ann, "team");
	bool joined;

	lab_member(t, &ann, &gid, &bob);
	CHECK_INT(lab_upload(t, &bob, 2, &gid, "f", 1, &fid, &joined), ==, SHOAL_OK);
	CHECK_INT(RUN(t, OP_REMOVE_MEMBER, group_remove_member(t->reg, &t->op, &bob, &gid, &ann, slice_str(""), &t->e)),
	          ==, SHOAL_EDENIED);
	CHECK_INT(RUN(t, OP_REMOVE_MEMBER, group_remove_member(t->reg, &t->op, &ann, &gid, &ann, slice_str(""), &t->e)),
	          ==, SHOAL_EUSAGE);
	CHECK_INT(RUN(t, OP_REMOVE_MEMBER, group_remove_member(t->reg, &t->op, &ann, &gid, &bob, slice_str("x"), &t->e)),
	          ==, SHOAL_OK);
	CHECK(!group_is_member(t->reg, &gid, &bob));
	CHECK_INT(registry_count(t->reg, TABLE_SHARE), ==, 0);
	lab_member(t, &ann, &gid, &bob);
	CHECK_INT(RUN(t, OP_DELETE_GROUP, group_delete(t->reg, &t->op, &bob, &gid, &t->e)), ==, SHOAL_EDENIED);
	CHECK_INT(RUN(t, OP_DELETE_GROUP, group_delete(t->reg, &t->op, &ann, &gid, &t->e)), ==, SHOAL_OK);
	CHECK(!group_lives(t->reg, &gid) && !group_is_member(t->reg, &gid, &ann) && !group_owner(t->reg, &gid, &owner));
	CHECK_INT(group_member_count(t->reg, &gid), ==, 0);
	CHECK_INT(RUN(t, OP_DELETE_GROUP, group_delete(t->reg, &t->op, &ann, &gid, &t->e)), ==, SHOAL_ENOTFOUND);
	lab_group(t, &bob, "team");
	lab_free(t);
}

static enum shoal_err give_role(struct lab *t, const struct id16 *by, const struct id16 *gid, const struct id16 *who,
                                enum member_role role)
{
	return RUN(t, OP_SET_ROLE, group_set_role(t->reg, &t->op, by, gid, who, role, &t->e));
}

static enum shoal_err remove_one(struct lab *t, const struct id16 *by, const struct id16 *gid, const struct id16 *who)
{
	return RUN(t, OP_REMOVE_MEMBER, group_remove_member(t->reg, &t->op, by, gid, who, slice_str(""), &t->e));
}

/* What he shares counts again when he is a member again, and he is not asked for it. */
static void readers_share_nothing(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), bob = lab_user(t, "bob"), fid, other;
	struct id16 gid = lab_group(t, &ann, "team");
	enum member_role role;
	bool joined;

	lab_member(t, &ann, &gid, &bob);
	CHECK_INT(lab_upload(t, &bob, 2, &gid, "plan", 1, &fid, &joined), ==, SHOAL_OK);
	CHECK_INT(give_role(t, &ann, &gid, &bob, ROLE_READER), ==, SHOAL_OK);
	CHECK_STR(group_role(t->reg, &gid, &bob), "reader");
	CHECK(group_is_member(t->reg, &gid, &bob) && !group_is_admin(t->reg, &gid, &bob) && !group_may_share(t->reg, &gid, &bob));
	CHECK(!file_has_seeder(t->reg, &gid, &fid));
	SAYS(t, lab_upload(t, &bob, 2, &gid, "draft", 2, &other, &joined), SHOAL_EDENIED,
	     "a reader of 'team' may not share in it: ask its owner for the role of a member");
	CHECK_INT(lab_upload(t, &ann, 1, &gid, "plan", 1, &fid, &joined), ==, SHOAL_OK);
	CHECK_INT(RUN(t, OP_UPDATE_FILE_INFO,
	              file_share(t->reg, &t->op, &bob, &(struct id32){ { 3 } }, &gid, &fid, &t->e)), ==, SHOAL_EDENIED);
	size_t records = t->n;
	CHECK_INT(give_role(t, &ann, &gid, &bob, ROLE_READER), ==, SHOAL_OK); /* nothing new */
	CHECK_INT(t->n, ==, records);

	CHECK_INT(give_role(t, &ann, &gid, &bob, ROLE_MEMBER), ==, SHOAL_OK);
	CHECK(group_may_share(t->reg, &gid, &bob));
	CHECK(file_shared_by(t->reg, &gid, &fid, &bob, &(struct id32){ { 2, 0, 0xde } }));
	CHECK_INT(give_role(t, &ann, &gid, &bob, ROLE_READER), ==, SHOAL_OK);
	CHECK_INT(lab_leave(t, &ann, &gid), ==, SHOAL_OK); /* bob has inherited the group: an owner may do everything */
	CHECK_STR(group_role(t->reg, &gid, &bob), "owner");
	CHECK(group_may_share(t->reg, &gid, &bob));
	CHECK_INT(group_role_parse(slice_str("reader"), &role, NULL), ==, SHOAL_OK);
	CHECK_INT(role, ==, ROLE_READER);
	lab_free(t);
}

static void admins_answer_requests_and_remove_members(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), bob = lab_user(t, "bob"), cho = lab_user(t, "cho"), dan = lab_user(t, "dan");
	struct id16 gid = lab_group(t, &ann, "team");
	enum member_role role;

	lab_member(t, &ann, &gid, &bob);
	lab_member(t, &ann, &gid, &cho);
	SAYS(t, give_role(t, &bob, &gid, &bob, ROLE_ADMIN), SHOAL_EDENIED, "only the owner of 'team' may give roles");
	SAYS(t, give_role(t, &ann, &gid, &dan, ROLE_ADMIN), SHOAL_ENOTFOUND, "'dan' is not a member of 'team'");
	CHECK_INT(give_role(t, &ann, &gid, &ann, ROLE_ADMIN), ==, SHOAL_EUSAGE);
	CHECK_INT(give_role(t, &ann, &gid, &bob, ROLE_ADMIN), ==, SHOAL_OK);
	CHECK_STR(group_role(t->reg, &gid, &bob), "admin");
	size_t records = t->n;
	CHECK_INT(give_role(t, &ann, &gid, &bob, ROLE_ADMIN), ==, SHOAL_OK); /* nothing new */
	CHECK_INT(t->n, ==, records);

	CHECK_INT(lab_join(t, &dan, &gid), ==, SHOAL_OK);
	CHECK_INT(lab_accept(t, &bob, &gid, &dan), ==, SHOAL_OK);
	CHECK_INT(remove_one(t, &bob, &gid, &dan), ==, SHOAL_OK);
	CHECK_INT(remove_one(t, &bob, &gid, &ann), ==, SHOAL_EUSAGE);
	CHECK_INT(give_role(t, &ann, &gid, &cho, ROLE_ADMIN), ==, SHOAL_OK);
	SAYS(t, remove_one(t, &bob, &gid, &cho), SHOAL_EDENIED, "only the owner of 'team' may remove an admin");
	CHECK_INT(give_role(t, &ann, &gid, &cho, ROLE_MEMBER), ==, SHOAL_OK);
	CHECK_STR(group_role(t->reg, &gid, &cho), "member");

	CHECK_INT(lab_leave(t, &bob, &gid), ==, SHOAL_OK); /* the role ends with the membership */
	lab_member(t, &ann, &gid, &bob);
	CHECK_STR(group_role(t->reg, &gid, &bob), "member");
	CHECK_INT(lab_join(t, &dan, &gid), ==, SHOAL_OK);
	CHECK_INT(RUN(t, OP_ACCEPT_REQUEST, group_accept_as(t->reg, &t->op, &ann, &gid, &dan, ROLE_ADMIN, &t->e)), ==,
	          SHOAL_OK);
	CHECK_STR(group_role(t->reg, &gid, &dan), "admin");
	CHECK_INT(group_role_parse(slice_str("admin"), &role, NULL), ==, SHOAL_OK);
	CHECK_INT(role, ==, ROLE_ADMIN);
	CHECK_INT(group_role_parse(slice_str("king"), &role, NULL), ==, SHOAL_EUSAGE);
	lab_free(t);
}

static void groups_are_listed(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), bob = lab_user(t, "bob"), gid;
	struct id16 zoo = lab_group(t, &ann, "zoo"), ape = lab_group(t, &bob, "ape");
	struct shown_group *list;
	size_t n;

	CHECK_INT(group_list(t->reg, &list, &n), ==, SHOAL_OK);
	CHECK_INT(n, ==, 2);
	CHECK_STR(list[0].name, "ape");
	CHECK_STR(list[1].name, "zoo");
	free(list);
	CHECK_INT(group_list_of(t->reg, &ann, &list, &n), ==, SHOAL_OK);
	CHECK(n == 1 && id16_eq(&list[0].group->gid, &zoo));
	free(list);
	CHECK_INT(lab_join(t, &ann, &ape), ==, SHOAL_OK);
	CHECK_INT(group_list_of(t->reg, &ann, &list, &n), ==, SHOAL_OK);
	CHECK_INT(n, ==, 2);
	free(list);
	CHECK_INT(group_lookup(t->reg, slice_str("ape"), &gid, &t->e), ==, SHOAL_OK);
	CHECK(id16_eq(&gid, &ape));
	SAYS(t, group_lookup(t->reg, slice_str("nix"), &gid, &t->e), SHOAL_ENOTFOUND, "no group 'nix'");
	CHECK_INT(group_lookup(t->reg, slice_str("a\033b"), &gid, &t->e), ==, SHOAL_EUSAGE);
	lab_free(t);
}

static void files_are_uploaded_joined_and_refused(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), bob = lab_user(t, "bob"), cho = lab_user(t, "cho"), fid, second, third;
	struct id16 gid = lab_group(t, &ann, "team");
	struct presence all = { everybody, NULL }, none = { nobody, NULL };
	struct seeder *seeders;
	struct shown_file *files;
	size_t n;
	bool joined = true;

	lab_member(t, &ann, &gid, &bob);
	CHECK_INT(lab_upload(t, &ann, 1, &gid, "plan.pdf", 1, &fid, &joined), ==, SHOAL_OK);
	CHECK(!joined);
	SAYS(t, lab_upload(t, &cho, 3, &gid, "plan.pdf", 1, &second, &joined), SHOAL_EDENIED, "not a member of 'team'");
	SAYS(t, lab_upload(t, &bob, 2, &gid, "plan.pdf", 2, &second, &joined), SHOAL_EEXISTS,
	     "'plan.pdf' exists already in 'team', with other content");
	CHECK_INT(lab_upload(t, &bob, 2, &gid, "../etc", 2, &second, &joined), ==, SHOAL_EUSAGE);
	CHECK_INT(lab_upload(t, &bob, 2, &gid, "plan.pdf", 1, &second, &joined), ==, SHOAL_OK);
	CHECK(joined && id16_eq(&fid, &second));
	size_t records = t->n;
	CHECK_INT(lab_upload(t, &bob, 2, &gid, "plan.pdf", 1, &third, &joined), ==, SHOAL_OK); /* nothing new */
	CHECK(t->n == records && joined);
	CHECK_INT(file_seeders(t->reg, &gid, &fid, NULL, &seeders, &n), ==, SHOAL_OK);
	CHECK(n == 2 && id16_eq(&seeders[0].uid, &ann) && id16_eq(&seeders[1].uid, &bob));
	free(seeders);
	const struct file_row *file = registry_file(t->reg, &gid, &fid);
	CHECK(id16_eq(&file->uploader, &ann) && file->size == 1001);
	CHECK(file_listed(t->reg, &gid, &fid, &all) && !file_listed(t->reg, &gid, &fid, &none));
	CHECK_INT(file_list(t->reg, &gid, &none, false, &files, &n), ==, SHOAL_OK);
	CHECK_INT(n, ==, 0);
	free(files);
	CHECK_INT(file_list(t->reg, &gid, &none, true, &files, &n), ==, SHOAL_OK);
	CHECK(n == 1 && files[0].seeders == 0 && files[0].syncing);
	CHECK_STR(files[0].name, "plan.pdf");
	free(files);
	CHECK_INT(registry_set_held(t->reg, &file->content, true), ==, SHOAL_OK);
	CHECK_INT(file_list(t->reg, &gid, &all, false, &files, &n), ==, SHOAL_OK);
	CHECK(n == 1 && files[0].seeders == 2 && !files[0].syncing);
	free(files);
	CHECK_INT(file_count(t->reg, &gid, &all), ==, 1);
	lab_free(t);
}

static void a_downloader_becomes_a_seeder(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), bob = lab_user(t, "bob"), cho = lab_user(t, "cho"), fid, no = { { 9 } };
	struct id16 gid = lab_group(t, &ann, "team");
	struct id32 d = device_of(2), d3 = device_of(3);
	struct my_share *mine;
	size_t n;
	bool joined;

	lab_member(t, &ann, &gid, &bob);
	CHECK_INT(lab_upload(t, &ann, 1, &gid, "f", 1, &fid, &joined), ==, SHOAL_OK);
	CHECK_INT(RUN(t, OP_UPDATE_FILE_INFO, file_share(t->reg, &t->op, &cho, &d, &gid, &fid, &t->e)), ==, SHOAL_EDENIED);
	CHECK_INT(RUN(t, OP_UPDATE_FILE_INFO, file_share(t->reg, &t->op, &bob, &d, &gid, &no, &t->e)), ==, SHOAL_ENOTFOUND);
	CHECK_INT(RUN(t, OP_UPDATE_FILE_INFO, file_share(t->reg, &t->op, &bob, &d, &gid, &fid, &t->e)), ==, SHOAL_OK);
	CHECK_INT(RUN(t, OP_UPDATE_FILE_INFO, file_share(t->reg, &t->op, &bob, &d3, &gid, &fid, &t->e)), ==, SHOAL_OK);
	CHECK(file_shared_by(t->reg, &gid, &fid, &bob, &d));
	CHECK_INT(file_shares_of(t->reg, &bob, &d, &mine, &n), ==, SHOAL_OK);
	CHECK(n == 1 && id16_eq(&mine[0].file->fid, &fid));
	free(mine);
	CHECK_INT(file_shares_of(t->reg, &bob, NULL, &mine, &n), ==, SHOAL_OK);
	CHECK_INT(n, ==, 2);
	free(mine);
	CHECK_INT(lab_leave(t, &bob, &gid), ==, SHOAL_OK);
	CHECK_INT(file_shares_of(t->reg, &bob, NULL, &mine, &n), ==, SHOAL_OK);
	CHECK_INT(n, ==, 0);
	free(mine);
	CHECK_INT(registry_count(t->reg, TABLE_SHARE), ==, 1);
	lab_free(t);
}

static bool only_device_1(void *ctx, const struct id16 *uid, const struct id32 *device)
{
	(void)ctx, (void)uid;
	return device->b[0] == 1;
}

static void the_last_active_seeder_takes_the_file_away(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), bob = lab_user(t, "bob"), fid;
	struct id16 gid = lab_group(t, &ann, "team");
	struct presence all = { everybody, NULL }, one = { only_device_1, NULL };
	bool joined, removed = true;
	char kinds[128];

	lab_member(t, &ann, &gid, &bob);
	CHECK_INT(lab_upload(t, &ann, 1, &gid, "f", 1, &fid, &joined), ==, SHOAL_OK);
	CHECK_INT(lab_upload(t, &bob, 2, &gid, "f", 1, &fid, &joined), ==, SHOAL_OK);
	CHECK_INT(RUN(t, OP_STOP_SHARE, file_stop(t->reg, &t->op, &ann, &gid, &fid, &all, &removed, &t->e)), ==, SHOAL_OK);
	CHECK(!removed && file_has_seeder(t->reg, &gid, &fid));
	SAYS(t, RUN(t, OP_STOP_SHARE, file_stop(t->reg, &t->op, &ann, &gid, &fid, &all, &removed, &t->e)),
	     SHOAL_ENOTFOUND, "'f' in 'team' is not shared by you");
	CHECK_INT(lab_upload(t, &ann, 1, &gid, "f", 1, &fid, &joined), ==, SHOAL_OK);
	CHECK(joined);
	CHECK_INT(RUN(t, OP_STOP_SHARE, file_stop(t->reg, &t->op, &ann, &gid, &fid, &one, &removed, &t->e)), ==, SHOAL_OK);
	CHECK(removed && !file_has_seeder(t->reg, &gid, &fid));
	CHECK(file_find(t->reg, &gid, slice_str("f")) == NULL);
	CHECK_STR(lab_notices(t, &bob, kinds, sizeof(kinds)), "share-removed");
	CHECK_INT(lab_upload(t, &bob, 2, &gid, "f", 7, &fid, &joined), ==, SHOAL_OK); /* the name is free */
	CHECK(!joined);
	lab_free(t);
}

static void other_content_elsewhere_keeps_both_readable(void)
{
	struct lab *a = lab_new(1), *b = lab_new(2);
	struct id16 ann = lab_user(a, "ann"), one, two, fid;
	struct id16 gid = lab_group(a, &ann, "team");
	char alias[NAME_SHOWN_MAX];
	struct presence all = { everybody, NULL };
	struct shown_file *files;
	size_t n;
	bool joined;

	lab_ship(a, b);
	CHECK_INT(lab_upload(a, &ann, 1, &gid, "plan.pdf", 1, &one, &joined), ==, SHOAL_OK);
	b->wall_ms = a->wall_ms + 100;
	CHECK_INT(lab_upload(b, &ann, 2, &gid, "plan.pdf", 2, &two, &joined), ==, SHOAL_OK);
	lab_meet(a, b);
	CHECK(lab_same(a, b));
	name_alias(NAME_FILE, "plan.pdf", two.b, alias);
	for (int i = 0; i < 2; i++) {
		struct registry *reg = (i == 0 ? a : b)->reg;
		CHECK_INT(file_list(reg, &gid, &all, false, &files, &n), ==, SHOAL_OK);
		CHECK_INT(n, ==, 2);
		CHECK_STR(files[0].name, "plan.pdf");
		CHECK(id16_eq(&files[0].file->fid, &one));
		CHECK_STR(files[1].name, alias);
		free(files);
		CHECK_INT(file_lookup(reg, &gid, slice_str(alias), &fid, &a->e), ==, SHOAL_OK);
		CHECK(id16_eq(&fid, &two));
	}
	SAYS(a, file_lookup(a->reg, &gid, slice_str("nix"), &fid, &a->e), SHOAL_ENOTFOUND, "no file 'nix' in 'team'");
	lab_free(a);
	lab_free(b);
}

static const struct CMUnitTest tests[] = {
	TEST(users_are_created_once), TEST(sessions_open_and_close), TEST(the_ninth_device_ends_the_oldest_session),
	TEST(a_new_password_ends_other_sessions_everywhere), TEST(a_lost_name_shows_as_an_alias_that_works),
	TEST(joining_takes_a_request_and_an_accept), TEST(requests_can_be_refused_and_withdrawn),
	TEST(the_owner_leaves_and_the_earliest_takes_over), TEST(a_group_is_handed_over),
	TEST(members_are_removed_and_groups_deleted), TEST(readers_share_nothing), TEST(admins_answer_requests_and_remove_members), TEST(groups_are_listed),
	TEST(files_are_uploaded_joined_and_refused), TEST(a_downloader_becomes_a_seeder),
	TEST(the_last_active_seeder_takes_the_file_away), TEST(other_content_elsewhere_keeps_both_readable),
};
CHECK_MAIN(tests)
