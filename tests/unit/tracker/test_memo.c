/* tests/unit/tracker/test_memo.c - answers worked out a moment ago: by themselves, and as members of a group see them. */
#include "tracker/memo.h"

#include "core/base/hash.h"
#include "tests/unit/tracker/rig.h"

/* -- by themselves */
static struct slice key_of(uint32_t *n)
{
	return slice_of(n, sizeof(*n));
}

static bool keep(struct memo *m, uint32_t n, size_t len, uint64_t now)
{
	static const uint8_t zeros[100000];
	struct memo_answer a = { .n = n };
	buf_put(&a.bytes, zeros, len);
	return memo_keep(m, MEMO_FILES, key_of(&n), &a, now) != NULL;
}

static void an_answer_lasts_a_second(void)
{
	struct memo *m = memo_new(1);
	uint32_t n = 7, other = 8;
	CHECK(keep(m, n, 10, 5000));
	const struct memo_answer *a = memo_find(m, MEMO_FILES, key_of(&n), 5000 + MEMO_MS - 1);
	CHECK(a != NULL && a->n == 7 && a->bytes.len == 10);
	CHECK(memo_find(m, MEMO_FILES, key_of(&other), 5000) == NULL);
	CHECK(memo_find(m, MEMO_PEERS, key_of(&n), 5000) == NULL);
	CHECK(memo_find(m, MEMO_FILES, key_of(&n), 5000 + MEMO_MS) == NULL);
	CHECK(keep(m, n, 10, 9000));
	memo_forget(m, MEMO_FILES, key_of(&other));
	CHECK(memo_find(m, MEMO_FILES, key_of(&n), 9000) != NULL);
	memo_forget(m, MEMO_FILES, key_of(&n));
	CHECK(memo_find(m, MEMO_FILES, key_of(&n), 9000) == NULL);
	memo_free(m);
}

static void memory_is_bounded(void)
{
	struct memo *m = memo_new(1);
	size_t there = 0, all = 3 * MEMO_BYTES / 100000;
	for (uint32_t n = 0; n < all; n++)
		CHECK(keep(m, n, 100000, 1));
	for (uint32_t n = 0; n < all; n++)
		there += memo_find(m, MEMO_FILES, key_of(&n), 1) != NULL;
	CHECK(there > 0 && there <= MEMO_BYTES / 100000);
	memo_forget_all(m);
	for (uint32_t n = 0; n < all; n++)
		CHECK(memo_find(m, MEMO_FILES, key_of(&n), 1) == NULL);
	memo_free(m);
}

static void what_is_too_long_is_not_kept(void)
{
	struct memo *m = memo_new(1);
	uint8_t long_key[2000] = { 1 };
	struct memo_answer a = { .n = 1 };
	CHECK(memo_keep(m, MEMO_FOUND, slice_of(long_key, sizeof(long_key)), &a, 1) == NULL);
	CHECK(memo_find(m, MEMO_FOUND, slice_of(long_key, sizeof(long_key)), 1) == NULL);
	a = (struct memo_answer){ .bytes = { .failed = true } };
	CHECK(memo_keep(m, MEMO_FOUND, slice_of(long_key, 5), &a, 1) == NULL);
	memo_free(m);
}

static void the_dice_reach_everybody(void)
{
	struct memo *m = memo_new(check_random(UINT32_MAX));
	unsigned seen[5] = { 0 };
	for (int i = 0; i < 5000; i++)
		seen[memo_dice(m, 5)]++;
	for (int i = 0; i < 5; i++)
		CHECK(seen[i] > 700 && seen[i] < 1300);
	memo_free(m);
}

/* -- as members see them */
struct team {
	struct rig *r;
	struct rig_conn *ann, *bob;
	struct id16 gid, fid;
};

static void upload_empty(struct team *t, struct rig_conn *c, const char *name)
{
	struct content_hash ch;
	struct id32 hash, content;
	sha256_of("", 0, &hash);
	content_hash_begin(&ch, 0, &hash);
	content_hash_end(&ch, &content);
	REPLY(rep_upload_file_data, up,
	      CALL(t->r, c, UPLOAD_FILE_DATA, req_upload_file_data, .gid = t->gid, .name = S(name), .size = 0,
	           .piece_size = PIECE_SIZE, .file_hash = hash, .content = content));
	t->fid = up.fid;
}

static struct team start(void)
{
	struct team t = { .r = rig_new() };
	t.ann = rig_login(t.r, "ann", 1);
	t.bob = rig_login(t.r, "bob", 2);
	REPLY(rep_gid, g, CALL(t.r, t.ann, CREATE_GROUP, req_group, .group = S("team")));
	t.gid = g.gid;
	CHECK_INT(CODE(t.r, t.bob, JOIN_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK_INT(CODE(t.r, t.ann, ACCEPT_REQUEST, req_group_user, .group = S("team"), .user = S("bob")), ==, SHOAL_OK);
	upload_empty(&t, t.ann, "x");
	return t;
}

static int files(struct team *t, struct rig_conn *c, bool all, struct row_file *first)
{
	struct rig_reply list = CALL(t->r, c, LIST_FILES, req_list_files, .group = S("team"), .all = all);
	struct rep_gid gid;
	struct row_file row;
	if (list.head.code != SHOAL_OK)
		return -(int)list.head.code;
	rep_gid_get(&list.fields, &gid);
	int n = get_u16(&list.fields);
	for (int i = 0; i < n; i++) {
		row_file_get(&list.fields, &row);
		if (i == 0 && first != NULL)
			*first = row;
	}
	CHECK_INT(cursor_end(&list.fields), ==, SHOAL_OK);
	return n;
}

/* How many peers find names; the ticket is copied. */
static int find(struct team *t, struct rig_conn *c, struct buf *ticket, uint32_t *ticket_ms)
{
	struct rig_reply found = CALL(t->r, c, FIND, req_file, .group = S("team"), .file = S("x"));
	struct rep_find rep;
	struct row_peer peer;
	if (found.head.code != SHOAL_OK)
		return -(int)found.head.code;
	rep_find_get(&found.fields, &rep);
	CHECK(slice_eq_str(rep.group, "team") && slice_eq_str(rep.name, "x") && slice_eq_str(rep.state, "ok"));
	CHECK(id16_eq(&rep.gid, &t->gid) && id16_eq(&rep.fid, &t->fid) && rep.piece_size == PIECE_SIZE);
	if (ticket != NULL) {
		buf_reset(ticket);
		buf_put(ticket, rep.ticket.data, rep.ticket.len);
		*ticket_ms = rep.ticket_ms;
	}
	int n = get_u16(&found.fields);
	for (int i = 0; i < n; i++)
		row_peer_get(&found.fields, &peer);
	CHECK_INT(cursor_end(&found.fields), ==, SHOAL_OK);
	return n;
}

static void what_has_changed_is_told_at_once(void)
{
	struct team t = start();
	struct row_file row;
	for (int twice = 0; twice < 2; twice++) {
		CHECK_INT(files(&t, t.bob, false, &row), ==, 1);
		CHECK_INT(row.peers, ==, 1);
		CHECK_INT(find(&t, t.bob, NULL, NULL), ==, 1);
		CHECK_INT(find(&t, t.ann, NULL, NULL), ==, 0); /* never the asker */
	}
	CHECK_INT(CODE(t.r, t.bob, ANNOUNCE, req_announce, .gid = t.gid, .fid = t.fid), ==, SHOAL_OK);
	CHECK_INT(find(&t, t.ann, NULL, NULL), ==, 1);
	CHECK_INT(files(&t, t.ann, false, &row), ==, 1);
	CHECK_INT(row.peers, ==, 2);
	CHECK_INT(CODE(t.r, t.bob, ANNOUNCE, req_announce, .gid = t.gid, .fid = t.fid, .stopped = 1), ==, SHOAL_OK);
	CHECK_INT(find(&t, t.ann, NULL, NULL), ==, 0);
	upload_empty(&t, t.bob, "x");
	CHECK_INT(find(&t, t.ann, NULL, NULL), ==, 1);
	CHECK_INT(files(&t, t.ann, false, &row), ==, 1);
	CHECK_INT(row.seeders, ==, 2);
	CHECK_INT(CODE(t.r, t.bob, LOGOUT, req_none), ==, SHOAL_OK);
	CHECK_INT(find(&t, t.ann, NULL, NULL), ==, 0);
	CHECK_INT(files(&t, t.ann, true, &row), ==, 1);
	CHECK_INT(CODE(t.r, t.bob, LOGIN, req_user_password, .user = S("bob"), .password = S("bob-pw")), ==, SHOAL_OK);
	CHECK_INT(find(&t, t.ann, NULL, NULL), ==, 1);
	rig_free(t.r);
}

static bool is_online(struct team *t, const char *user)
{
	struct rig_reply list = CALL(t->r, t->bob, LIST_MEMBERS, req_group, .group = S("team"));
	struct row_member row;
	bool online = false;
	for (unsigned n = get_u16(&list.fields); n != 0; n--) {
		row_member_get(&list.fields, &row);
		online |= slice_eq_str(row.user, user) && row.online;
	}
	return online;
}

/* Without any row that changes: her connection breaks, and some time later she counts as gone. */
static void who_goes_offline_is_no_peer(void)
{
	struct team t = start();
	rig_break(t.r, t.ann);
	bool online = true;
	rig_pass(t.r, 470); /* so that answers are not kept from one sweep of the tracker to the next */
	for (int i = 0; i < 40; i++) {
		online = is_online(&t, "ann");
		CHECK_INT(find(&t, t.bob, NULL, NULL), ==, online);
		CHECK_INT(files(&t, t.bob, false, NULL), ==, online);
		rig_pass(t.r, 100);
	}
	CHECK(!online);
	rig_free(t.r);
}

static void who_is_no_member_is_told_nothing(void)
{
	struct team t = start();
	CHECK_INT(find(&t, t.bob, NULL, NULL), ==, 1);
	CHECK_INT(files(&t, t.bob, false, NULL), ==, 1);
	CHECK_INT(CODE(t.r, t.ann, REMOVE_MEMBER, req_group_user, .group = S("team"), .user = S("bob")), ==, SHOAL_OK);
	CHECK_INT(find(&t, t.ann, NULL, NULL), ==, 0);
	CHECK_INT(files(&t, t.ann, false, NULL), ==, 1);
	CHECK_INT(find(&t, t.bob, NULL, NULL), ==, -(int)SHOAL_EDENIED);
	CHECK_INT(files(&t, t.bob, false, NULL), ==, -(int)SHOAL_EDENIED);
	CHECK_INT(CODE(t.r, t.bob, TICKET, req_gid, .gid = t.gid), ==, SHOAL_EDENIED);
	rig_free(t.r);
}

/* A change that could not be saved is undone: what was told of it meanwhile is not told again. */
static void what_was_undone_is_not_told(void)
{
	struct team t = start();
	CHECK_INT(files(&t, t.bob, false, NULL), ==, 1);
	mem_disk_fail_commits(t.r->disk, SHOAL_EDISKFULL, 1);
	t.r->hold_commits = true;
	struct req_file stop = { .group = S("team"), .file = S("x") };
	struct req_list_files list = { .group = S("team") };
	struct id16 request = rig_request(), none = { { 0 } };
	struct buf fields = { 0 };
	req_file_put(&fields, &stop);
	rig_post(t.r, t.ann, VERB_STOP_SHARE, &request, &fields);
	req_list_files_put(&fields, &list);
	rig_post(t.r, t.bob, VERB_LIST_FILES, &none, &fields);
	t.r->hold_commits = false;
	rig_pass(t.r, 10);
	CHECK_INT(files(&t, t.bob, false, NULL), ==, 1);
	CHECK_INT(find(&t, t.bob, NULL, NULL), ==, 1);
	rig_free(t.r);
}

static void a_young_ticket_is_given_again(void)
{
	struct team t = start();
	struct buf first = { 0 }, again = { 0 }, anns = { 0 };
	struct ticket ticket;
	uint32_t ms, later;

	CHECK_INT(find(&t, t.bob, &first, &ms), ==, 1);
	CHECK_INT(ms, ==, 300000);
	rig_pass(t.r, 5000);
	CHECK_INT(find(&t, t.bob, &again, &later), ==, 1);
	CHECK(slice_eq(slice_of(first.data, first.len), slice_of(again.data, again.len)));
	CHECK_INT(later, <, ms - 4000);
	CHECK_INT(find(&t, t.ann, &anns, &ms), ==, 0);
	CHECK(!slice_eq(slice_of(first.data, first.len), slice_of(anns.data, anns.len)));
	for (int i = 0; i < 4; i++) {
		rig_pass(t.r, 9000);
		CHECK_INT(CODE(t.r, t.bob, HEARTBEAT, req_heartbeat, 0), ==, SHOAL_OK);
		CHECK_INT(CODE(t.r, t.ann, HEARTBEAT, req_heartbeat, 0), ==, SHOAL_OK);
	}
	CHECK_INT(find(&t, t.bob, &again, &later), ==, 1);
	CHECK(!slice_eq(slice_of(first.data, first.len), slice_of(again.data, again.len)));
	CHECK_INT(ticket_open(slice_of(again.data, again.len), t.r->ticket_key, &ticket), ==, SHOAL_OK);
	CHECK_INT(ticket.not_after_ms, ==, t.r->wall + t.r->now + later);
	buf_free(&first);
	buf_free(&again);
	buf_free(&anns);
	rig_free(t.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_lasts_a_second), TEST(memory_is_bounded), TEST(what_is_too_long_is_not_kept),
		TEST(the_dice_reach_everybody), TEST(what_has_changed_is_told_at_once),
		TEST(who_goes_offline_is_no_peer),
		TEST(who_is_no_member_is_told_nothing), TEST(what_was_undone_is_not_told), TEST(a_young_ticket_is_given_again),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
