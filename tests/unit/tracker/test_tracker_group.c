/* tests/unit/tracker/test_tracker_group.c - groups through frames: who may, and who is told. */
#include "tests/unit/tracker/rig.h"

/* ann owns 'team', bob is a member, cho a stranger. */
struct people {
	struct rig *r;
	struct rig_conn *ann, *bob, *cho;
	struct id16 gid;
};

static struct people start(void)
{
	struct people p = { .r = rig_new() };
	p.ann = rig_login(p.r, "ann", 1);
	p.bob = rig_login(p.r, "bob", 2);
	p.cho = rig_login(p.r, "cho", 3);
	REPLY(rep_gid, g, CALL(p.r, p.ann, CREATE_GROUP, req_group, .group = S("team")));
	p.gid = g.gid;
	CHECK_INT(CODE(p.r, p.bob, JOIN_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.ann, ACCEPT_REQUEST, req_group_user, .group = S("team"), .user = S("bob")), ==, SHOAL_OK);
	rig_forget_events(p.ann);
	rig_forget_events(p.bob);
	rig_forget_events(p.cho);
	return p;
}

static unsigned members(struct people *p, struct rig_conn *c)
{
	struct rig_reply list = CALL(p->r, c, LIST_MEMBERS, req_group, .group = S("team"));
	return list.head.code == SHOAL_OK ? get_u16(&list.fields) : 0;
}

static void joining_is_asked_told_and_accepted(void)
{
	struct people p = start();
	REPLY(rep_gid, g, CALL(p.r, p.cho, JOIN_GROUP, req_group, .group = S("team")));
	CHECK(id16_eq(&g.gid, &p.gid));
	EVENT(ev_member_requested, asked, p.ann, MEMBER_REQUESTED);
	CHECK(slice_eq_str(asked.group, "team") && slice_eq_str(asked.user, "cho"));
	NO_EVENT(p.bob, MEMBER_REQUESTED);

	CHECK_INT(CODE(p.r, p.bob, LIST_REQUESTS, req_group, .group = S("team")), ==, SHOAL_EDENIED);
	struct rig_reply list = CALL(p.r, p.ann, LIST_REQUESTS, req_group, .group = S("team"));
	struct row_request row;
	CHECK_INT(get_u16(&list.fields), ==, 1);
	row_request_get(&list.fields, &row);
	CHECK(slice_eq_str(row.user, "cho"));
	CHECK_INT(row.asked_ms, >=, p.r->wall);

	CHECK_INT(CODE(p.r, p.bob, ACCEPT_REQUEST, req_group_user, .group = S("team"), .user = S("cho")), ==,
	          SHOAL_EDENIED);
	CHECK_INT(CODE(p.r, p.ann, ACCEPT_REQUEST, req_group_user, .group = S("team"), .user = S("nobody")), ==,
	          SHOAL_ENOTFOUND);
	CHECK_INT(CODE(p.r, p.cho, LIST_MEMBERS, req_group, .group = S("team")), ==, SHOAL_EDENIED);
	CHECK_INT(CODE(p.r, p.ann, ACCEPT_REQUEST, req_group_user, .group = S("team"), .user = S("cho")), ==, SHOAL_OK);
	EVENT(ev_member_joined, joined, p.cho, MEMBER_JOINED);
	CHECK(slice_eq_str(joined.group, "team") && slice_eq_str(joined.user, "cho"));
	CHECK(rig_event(p.bob, EVENT_MEMBER_JOINED) != NULL);
	CHECK_INT(members(&p, p.cho), ==, 3);
	CHECK_INT(CODE(p.r, p.cho, JOIN_GROUP, req_group, .group = S("team")), ==, SHOAL_EEXISTS);
	rig_free(p.r);
}

static void names_are_checked(void)
{
	struct people p = start();
	CHECK_INT(CODE(p.r, p.bob, CREATE_GROUP, req_group, .group = S("team")), ==, SHOAL_EEXISTS);
	CHECK_INT(CODE(p.r, p.bob, CREATE_GROUP, req_group, .group = S("")), ==, SHOAL_EUSAGE);
	CHECK_INT(CODE(p.r, p.bob, CREATE_GROUP, req_group, .group = S("team~abcdef")), ==, SHOAL_EUSAGE);
	CHECK_INT(CODE(p.r, p.bob, JOIN_GROUP, req_group, .group = S("none")), ==, SHOAL_ENOTFOUND);
	CHECK_INT(CODE(p.r, p.bob, LEAVE_GROUP, req_group_user, .group = S("none")), ==, SHOAL_ENOTFOUND);
	CHECK_INT(CODE(p.r, p.bob, LIST_MEMBERS, req_group, .group = S("none")), ==, SHOAL_ENOTFOUND);
	rig_free(p.r);
}

static void a_retry_gives_the_same_group(void)
{
	struct people p = start();
	struct id16 id = rig_request();
	REPLY(rep_gid, one, CALL_AS(p.r, p.cho, &id, CREATE_GROUP, req_group, .group = S("mine")));
	REPLY(rep_gid, two, CALL_AS(p.r, p.cho, &id, CREATE_GROUP, req_group, .group = S("mine")));
	CHECK(id16_eq(&one.gid, &two.gid));
	CHECK(stamp_cmp(&one_reply.head.stamp, &two_reply.head.stamp) == 0);
	rig_free(p.r);
}

static void an_admin_is_asked_and_accepts(void)
{
	struct people p = start();
	CHECK_INT(CODE(p.r, p.bob, SET_ROLE, req_group_user, .group = S("team"), .user = S("bob"), .text = S("admin")), ==,
	          SHOAL_EDENIED);
	CHECK_INT(CODE(p.r, p.ann, SET_ROLE, req_group_user, .group = S("team"), .user = S("bob"), .text = S("king")), ==,
	          SHOAL_EUSAGE);
	CHECK_INT(CODE(p.r, p.ann, SET_ROLE, req_group_user, .group = S("team"), .user = S("bob"), .text = S("admin")), ==,
	          SHOAL_OK);
	CHECK_INT(CODE(p.r, p.cho, JOIN_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK(rig_event(p.ann, EVENT_MEMBER_REQUESTED) != NULL);
	CHECK(rig_event(p.bob, EVENT_MEMBER_REQUESTED) != NULL);
	CHECK_INT(CODE(p.r, p.bob, LIST_REQUESTS, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.bob, ACCEPT_REQUEST, req_group_user, .group = S("team"), .user = S("cho"),
	               .text = S("admin")), ==, SHOAL_EDENIED); /* roles are the owner's to give */
	CHECK_INT(CODE(p.r, p.bob, ACCEPT_REQUEST, req_group_user, .group = S("team"), .user = S("cho")), ==, SHOAL_OK);
	CHECK_INT(members(&p, p.cho), ==, 3);
	CHECK_INT(CODE(p.r, p.ann, SET_ROLE, req_group_user, .group = S("team"), .user = S("bob"), .text = S("member")),
	          ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.bob, LIST_REQUESTS, req_group, .group = S("team")), ==, SHOAL_EDENIED);
	rig_free(p.r);
}

static void a_refused_request_is_told_with_its_reason(void)
{
	struct people p = start();
	CHECK_INT(CODE(p.r, p.cho, JOIN_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.bob, REJECT_REQUEST, req_group_user, .group = S("team"), .user = S("cho")), ==,
	          SHOAL_EDENIED);
	CHECK_INT(CODE(p.r, p.ann, REJECT_REQUEST, req_group_user, .group = S("team"), .user = S("cho"),
	               .text = S("we are full")), ==, SHOAL_OK);
	EVENT(ev_note, note, p.cho, NOTE);
	CHECK(slice_eq_str(note.kind, "rejected"));
	char text[300];
	CHECK(slice_to_str(note.text, text, sizeof(text)) && strstr(text, "we are full") != NULL);
	CHECK_INT(members(&p, p.ann), ==, 2);
	CHECK_INT(CODE(p.r, p.cho, JOIN_GROUP, req_group, .group = S("team")), ==, SHOAL_OK); /* may ask again */
	rig_free(p.r);
}

static void leaving_is_revoked_everywhere(void)
{
	struct people p = start();
	REPLY(rep_whoami, me, CALL(p.r, p.bob, WHOAMI, req_none));
	CHECK_INT(CODE(p.r, p.bob, TICKET, req_gid, .gid = p.gid), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.cho, LEAVE_GROUP, req_group_user, .group = S("team")), !=, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.bob, LEAVE_GROUP, req_group_user, .group = S("team")), ==, SHOAL_OK);
	EVENT(ev_revoke, to_ann, p.ann, REVOKE);
	CHECK(id16_eq(&to_ann.gid, &p.gid) && id16_eq(&to_ann.uid, &me.uid));
	EVENT(ev_revoke, to_bob, p.bob, REVOKE);
	CHECK(id16_eq(&to_bob.uid, &me.uid));
	EVENT(ev_member_left, left, p.ann, MEMBER_LEFT);
	CHECK(slice_eq_str(left.user, "bob"));
	NO_EVENT(p.cho, REVOKE);
	CHECK_INT(CODE(p.r, p.bob, TICKET, req_gid, .gid = p.gid), ==, SHOAL_EDENIED);
	rig_free(p.r);
}

static void the_owner_removes_and_nobody_else(void)
{
	struct people p = start();
	CHECK_INT(CODE(p.r, p.bob, REMOVE_MEMBER, req_group_user, .group = S("team"), .user = S("ann")), ==,
	          SHOAL_EDENIED);
	CHECK_INT(CODE(p.r, p.ann, REMOVE_MEMBER, req_group_user, .group = S("team"), .user = S("cho")), !=, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.ann, REMOVE_MEMBER, req_group_user, .group = S("team"), .user = S("bob")), ==, SHOAL_OK);
	CHECK(rig_event(p.bob, EVENT_REVOKE) != NULL);
	CHECK_INT(CODE(p.r, p.bob, LIST_MEMBERS, req_group, .group = S("team")), ==, SHOAL_EDENIED);
	rig_free(p.r);
}

static void the_owner_leaves_and_the_group_goes_on(void)
{
	struct people p = start();
	CHECK_INT(CODE(p.r, p.ann, LEAVE_GROUP, req_group_user, .group = S("team")), ==, SHOAL_OK);
	struct rig_reply list = CALL(p.r, p.bob, LIST_GROUPS, req_filter, .filter = S("mine"));
	struct row_group row;
	CHECK_INT(get_u16(&list.fields), ==, 1);
	row_group_get(&list.fields, &row);
	CHECK(slice_eq_str(row.owner, "bob") && slice_eq_str(row.role, "owner"));
	CHECK_INT(CODE(p.r, p.bob, LEAVE_GROUP, req_group_user, .group = S("team")), ==, SHOAL_OK);
	list = CALL(p.r, p.bob, LIST_GROUPS, req_filter, .filter = S(""));
	CHECK_INT(get_u16(&list.fields), ==, 0); /* the last one left: it has ended */
	CHECK_INT(CODE(p.r, p.cho, CREATE_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	rig_free(p.r);
}

static void a_group_is_handed_over(void)
{
	struct people p = start();
	CHECK_INT(CODE(p.r, p.bob, TRANSFER_GROUP, req_group_user, .group = S("team"), .user = S("bob")), ==,
	          SHOAL_EDENIED);
	CHECK_INT(CODE(p.r, p.ann, TRANSFER_GROUP, req_group_user, .group = S("team"), .user = S("cho")), !=, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.ann, TRANSFER_GROUP, req_group_user, .group = S("team"), .user = S("bob")), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.bob, LIST_REQUESTS, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.ann, LIST_REQUESTS, req_group, .group = S("team")), ==, SHOAL_EDENIED);
	CHECK_INT(CODE(p.r, p.bob, LEAVE_GROUP, req_group_user, .group = S("team"), .user = S("ann")), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.ann, LIST_REQUESTS, req_group, .group = S("team")), ==, SHOAL_OK);
	rig_free(p.r);
}

static void a_deleted_group_is_gone_and_told(void)
{
	struct people p = start();
	CHECK_INT(CODE(p.r, p.bob, DELETE_GROUP, req_group, .group = S("team")), ==, SHOAL_EDENIED);
	CHECK_INT(CODE(p.r, p.ann, DELETE_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK(rig_event(p.bob, EVENT_REVOKE) != NULL);
	CHECK(rig_event(p.bob, EVENT_MEMBER_LEFT) != NULL);
	CHECK_INT(CODE(p.r, p.bob, LIST_MEMBERS, req_group, .group = S("team")), ==, SHOAL_ENOTFOUND);
	rig_free(p.r);
}

static void groups_are_filtered(void)
{
	struct people p = start();
	static const struct { const char *filter; unsigned n; } cases[] = {
		{ "", 3 }, { "mine", 1 }, { "a", 2 }, { "*m", 1 }, { "alpha", 1 }, { "x?", 0 },
	};
	CHECK_INT(CODE(p.r, p.bob, CREATE_GROUP, req_group, .group = S("alpha")), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.bob, CREATE_GROUP, req_group, .group = S("zoo")), ==, SHOAL_OK);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct rig_reply list = CALL(p.r, p.ann, LIST_GROUPS, req_filter, .filter = S(cases[i].filter));
		CHECK_INT(get_u16(&list.fields), ==, cases[i].n);
	}
	rig_free(p.r);
}

/* More groups than a page holds: several frames, none over 256 KiB, each group once. */
static void long_lists_come_in_pages(void)
{
	struct people p = start();
	enum { GROUPS = 3000 };
	char name[64];
	for (int i = 0; i < GROUPS; i++) {
		snprintf(name, sizeof(name), "a-group-with-a-long-name-%030d", i);
		CHECK_INT(CODE(p.r, p.ann, CREATE_GROUP, req_group, .group = S(name)), ==, SHOAL_OK);
	}
	struct buf fields = { 0 };
	struct req_filter q = { .filter = S("") };
	struct rig_reply reply;
	unsigned n = 0, pages = 0;
	req_filter_put(&fields, &q);
	uint32_t serial = rig_post(p.r, p.ann, VERB_LIST_GROUPS, &(struct id16){ { 0 } }, &fields);
	rig_pass(p.r, 100);
	do {
		CHECK(rig_take(p.ann, serial, &reply));
		CHECK(p.ann->reply.len <= 256 * 1024);
		n += get_u16(&reply.fields);
		pages++;
	} while ((reply.head.flags & RPLY_MORE) != 0);
	CHECK_INT(n, ==, GROUPS + 1);
	CHECK_INT(pages, >=, 2);
	rig_free(p.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(joining_is_asked_told_and_accepted), TEST(names_are_checked), TEST(a_retry_gives_the_same_group),
		TEST(an_admin_is_asked_and_accepts),
		TEST(a_refused_request_is_told_with_its_reason), TEST(leaving_is_revoked_everywhere),
		TEST(the_owner_removes_and_nobody_else), TEST(the_owner_leaves_and_the_group_goes_on),
		TEST(a_group_is_handed_over), TEST(a_deleted_group_is_gone_and_told), TEST(groups_are_filtered),
		TEST(long_lists_come_in_pages),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
