/* tests/unit/registry/test_pairs_file.c - the rows upload_file_data, update_file_info and stop_share of docs/sync.md's
 * table: 6 cells. */
#include "tests/unit/registry/pairs.h"

/* -- upload_file_data with .. */

static void ann_uploads_draft(struct world *w, struct lab *on)
{
	w->left = do_upload(on, &w->ann, ANN_DEVICE, &w->gid, "draft.pdf", 3);
}

static void bob_uploads_other_draft(struct world *w, struct lab *on)
{
	w->right = do_upload(on, &w->bob, BOB_DEVICE, &w->gid, "draft.pdf", 4);
}

/* 22 */
static void both_drafts_can_be_read(struct world *w, struct lab *t)
{
	const struct id16 *first = w->left_first ? &w->left : &w->right, *second = w->left_first ? &w->right : &w->left;
	char shown[NAME_SHOWN_MAX], alias[NAME_SHOWN_MAX];

	CHECK_STR(file_shown(t->reg, &w->gid, first, shown), "draft.pdf");
	CHECK(id16_eq(&file_find(t->reg, &w->gid, slice_str("draft.pdf"))->fid, first));
	name_alias(NAME_FILE, "draft.pdf", second->b, alias);
	CHECK_STR(file_shown(t->reg, &w->gid, second, shown), alias);
	CHECK(id16_eq(&file_find(t->reg, &w->gid, slice_str(alias))->fid, second));
	name_alias(NAME_FILE, "draft.pdf", first->b, alias);
	CHECK(id16_eq(&file_find(t->reg, &w->gid, slice_str(alias))->fid, first));
	CHECK_INT(file_count(t->reg, &w->gid, NULL), ==, 3);
	TOLD(w, t, w->left_first ? &w->bob : &w->ann, "name-lost-file");
	struct conflict *list; /* both uploaders see both claims */
	size_t n;
	OK(conflict_list(t->reg, &w->ann, &list, &n));
	CHECK_INT(n, ==, 2);
	free(list);
	OK(conflict_list(t->reg, &w->bob, &list, &n));
	CHECK_INT(n, ==, 2);
	free(list);
}
PAIR(upload_file_data, upload_file_data, .left = ann_uploads_draft, .right = bob_uploads_other_draft,
     .expect = both_drafts_can_be_read)

/* 23 */
static void bob_uploads_the_draft(struct world *w, struct lab *on)
{
	w->right = do_upload(on, &w->bob, BOB_DEVICE, &w->gid, "draft.pdf", 3);
}

static void one_file_two_seeders(struct world *w, struct lab *t)
{
	CHECK(id16_eq(&w->left, &w->right));
	CHECK_INT(seeders_of(t, &w->gid, &w->left), ==, 2);
	CHECK(id16_eq(&registry_file(t->reg, &w->gid, &w->left)->uploader, w->left_first ? &w->ann : &w->bob));
	nobody_told(w, t);
}
PAIR(upload_of_the_same, upload_file_data, .left = ann_uploads_draft, .right = bob_uploads_the_draft,
     .expect = one_file_two_seeders)

/* 24 */
static void bob_uploads_plan(struct world *w, struct lab *on)
{
	w->right = do_upload(on, &w->bob, BOB_DEVICE, &w->gid, "plan", 1);
}

static void cho_is_a_member(struct world *w, struct lab *on) { cho_accepted(w, on); }

static void cho_shares(struct world *w, struct lab *on)
{
	OK(do_share(on, &w->cho, CHO_DEVICE, &w->gid, &w->fid));
}

static void union_of_seeders(struct world *w, struct lab *t)
{
	CHECK(id16_eq(&w->right, &w->fid));
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 3);
	CHECK(id16_eq(&registry_file(t->reg, &w->gid, &w->fid)->uploader, &w->ann)); /* the first upload */
	nobody_told(w, t);
}
PAIR(upload_file_data, update_file_info, .shared = cho_is_a_member, .left = bob_uploads_plan, .right = cho_shares,
     .expect = union_of_seeders)

/* 25 */
static void the_file_stays_with_bob(struct world *w, struct lab *t)
{
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 1);
	CHECK_INT(file_count(t->reg, &w->gid, NULL), ==, 1);
	nobody_told(w, t);
}
PAIR(upload_file_data, stop_share, .left = bob_uploads_plan, .right = ann_stops, .expect = the_file_stays_with_bob)

static void ann_stops_and_bob_uploads_other_plan(struct world *w, struct lab *on)
{
	OK(do_stop(on, &w->ann, &w->gid, &w->fid, everybody));
	w->left = do_upload(on, &w->bob, BOB_DEVICE, &w->gid, "plan", 2);
}

static void the_new_one_has_the_name(struct world *w, struct lab *t)
{
	char shown[NAME_SHOWN_MAX];
	CHECK_STR(file_shown(t->reg, &w->gid, &w->left, shown), "plan");
	CHECK(id16_eq(&file_find(t->reg, &w->gid, slice_str("plan"))->fid, &w->left));
	CHECK_INT(file_count(t->reg, &w->gid, NULL), ==, 1);
	nobody_told(w, t);
}
PAIR(upload_of_other_content, stop_share, .left = ann_stops_and_bob_uploads_other_plan, .right = ann_stops,
     .expect = the_new_one_has_the_name)

/* -- update_file_info with .. */

/* 26 */
static void bob_counts_once(struct world *w, struct lab *t)
{
	CHECK_INT(registry_count(t->reg, TABLE_SHARE), ==, 3);
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 2);
	nobody_told(w, t);
}
PAIR(update_file_info, update_file_info, .left = bob_shares, .right = bob_shares, .expect = bob_counts_once)

/* 27 */
static void bob_shares_elsewhere(struct world *w, struct lab *on)
{
	OK(do_share(on, &w->bob, 9, &w->gid, &w->fid));
}

static void the_fresh_share_stands(struct world *w, struct lab *t)
{
	struct id32 fresh = device_of(9), old = device_of(BOB_DEVICE);
	CHECK(file_shared_by(t->reg, &w->gid, &w->fid, &w->bob, &fresh));
	CHECK(!file_shared_by(t->reg, &w->gid, &w->fid, &w->bob, &old));
	nobody_told(w, t);
}
PAIR(update_file_info, stop_share, .shared = bob_shares, .left = bob_shares_elsewhere, .right = bob_stops,
     .expect = the_fresh_share_stands)

/* 28: the last seeder stops, bob finishes his download. */
static void the_file_stays(struct world *w, struct lab *t)
{
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 1);
	CHECK(file_has_seeder(t->reg, &w->gid, &w->fid));
	nobody_told(w, t);
}
PAIR(update_by_another, stop_share, .left = bob_shares, .right = ann_stops, .expect = the_file_stays)

/* -- stop_share with .. */

/* 29 */
static void the_file_is_gone(struct world *w, struct lab *t)
{
	CHECK(!file_has_seeder(t->reg, &w->gid, &w->fid));
	CHECK_INT(registry_count(t->reg, TABLE_SHARE), ==, 0);
	CHECK_INT(file_count(t->reg, &w->gid, NULL), ==, 0);
	nobody_told(w, t); /* each saw the other */
}
PAIR(stop_share, stop_share, .shared = bob_shares, .left = ann_stops, .right = bob_stops, .expect = the_file_is_gone)

static const struct CMUnitTest tests[] = {
	TEST(upload_file_data_and_upload_file_data), TEST(upload_of_the_same_and_upload_file_data),
	TEST(upload_file_data_and_update_file_info), TEST(upload_file_data_and_stop_share),
	TEST(upload_of_other_content_and_stop_share), TEST(update_file_info_and_update_file_info),
	TEST(update_file_info_and_stop_share), TEST(update_by_another_and_stop_share), TEST(stop_share_and_stop_share),
};
CHECK_MAIN(tests)
