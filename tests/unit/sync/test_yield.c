/* tests/unit/sync/test_yield.c - who was alone for long gives way; in virtual time. */
#include "core/registry/notice.h"
#include "core/registry/user_manager.h"
#include "tests/unit/sync/content_lab.h"

/* In portions: links that are there are never seen to be silent for an hour. */
static void pass(struct lab *lab, unsigned minutes)
{
	for (unsigned i = 0; i < minutes; i += 10) {
		lab->now += 600000;
		lab_run(lab, 4000);
	}
}

static struct lab *three(struct lab_node *n[3])
{
	struct lab *lab = lab_new();
	lab->now = 90000000; /* the machine has been up for a day: the hour counts from the tracker's start */
	for (uint16_t i = 0; i < 3; i++)
		n[i] = lab_up(lab, (uint16_t)(i + 1), 3);
	lab_run(lab, 3000);
	return lab;
}

static struct id16 owner_of(const struct lab_node *n, const char *name)
{
	const struct user_row *u = user_find(n->reg, slice_str(name));
	CHECK(u != NULL);
	return u->uid;
}

static bool is_yielded(const struct lab_node *n, struct id16 uid)
{
	const struct user_row *u = registry_user(n->reg, &uid);
	CHECK(u != NULL);
	return u->yielded;
}

static size_t notices_of(const struct lab_node *n, struct id16 uid)
{
	const struct notice_row **list;
	size_t count;
	CHECK_INT(notice_list(n->reg, &uid, &list, &count), ==, SHOAL_OK);
	free(list);
	return count;
}

/* Tracker 1 is cut off; "ann" is claimed there first, then on 2. Then it is back. */
static void check(unsigned minutes, bool yields)
{
	struct lab_node *n[3];
	struct lab *lab = three(n);

	n[0]->cut_off = true;
	lab_run(lab, 6000);
	CHECK_INT(lab_create_user(n[0], "ann", NULL), ==, SHOAL_OK);
	CHECK_INT(lab_create_user(n[0], "alone", NULL), ==, SHOAL_OK);
	pass(lab, minutes);
	CHECK_INT(lab_create_user(n[1], "ann", NULL), ==, SHOAL_OK);
	lab_run(lab, 3000);
	struct id16 hidden = owner_of(n[0], "ann"), used = owner_of(n[1], "ann");
	n[0]->cut_off = false;
	lab_run(lab, 8000);
	for (int i = 0; i < 3; i++) {
		struct id16 winner = owner_of(n[i], "ann");
		CHECK(id16_eq(&winner, yields ? &used : &hidden));
		CHECK_INT(is_yielded(n[i], hidden), ==, yields);
		CHECK(!is_yielded(n[i], used));
		CHECK(lab_knows(n[i], "alone")); /* nobody else wants that name */
		/* the one who keeps his name is told nothing, at no time */
		CHECK_INT(notices_of(n[i], yields ? used : hidden), ==, 0);
		CHECK_INT(notices_of(n[i], yields ? hidden : used), ==, 1);
	}
	CHECK(vvec_eq(registry_durable_vector(n[0]->reg), registry_durable_vector(n[1]->reg)));
	CHECK(vvec_eq(registry_durable_vector(n[0]->reg), registry_durable_vector(n[2]->reg)));
	lab_free(lab);
}

static void after_half_an_hour_the_first_claim_has_the_name(void)
{
	check(30, false);
}

static void after_an_hour_alone_it_gives_way(void)
{
	check(70, true);
}

/* A user, a group and a file in it. */
static void each_kind_of_name_is_marked(void)
{
	struct lab_node *n[3];
	struct lab *lab = three(n);
	struct id32 content;
	struct registry_iter groups, files;
	const struct group_row *group;
	const struct file_row *file;

	n[0]->cut_off = true;
	lab_run(lab, 6000);
	content_lab_upload(n[0], &content);
	pass(lab, 70);
	n[0]->cut_off = false;
	lab_run(lab, 8000);
	for (int i = 0; i < 3; i++) {
		CHECK(is_yielded(n[i], owner_of(n[i], "ann")));
		groups = registry_all(n[i]->reg, TABLE_GROUP);
		group = registry_next(&groups);
		CHECK(group != NULL && slice_eq_str(group->name, "team") && group->yielded);
		files = registry_all(n[i]->reg, TABLE_FILE);
		file = registry_next(&files);
		CHECK(file != NULL && slice_eq_str(file->name, "big") && file->yielded);
	}
	CHECK_INT(sync_counters(n[0]->sync)->snapshots_sent, >, 0); /* claims and marks came at once, not from the log */
	lab_free(lab);
}

static void who_has_just_started_was_not_alone(void)
{
	struct lab_node *n[3];
	struct lab *lab = three(n);

	n[0]->cut_off = true;
	lab_down(n[0]);
	(void)lab_up(lab, 1, 3);
	lab_run(lab, 6000);
	CHECK_INT(lab_create_user(n[0], "fresh", NULL), ==, SHOAL_OK);
	n[0]->cut_off = false;
	lab_run(lab, 5000);
	CHECK(lab_knows(n[1], "fresh"));
	CHECK(!is_yielded(n[1], owner_of(n[1], "fresh")));
	lab_free(lab);
}

static void what_another_has_heard_of_is_not_given_up(void)
{
	struct lab_node *n[3];
	struct lab *lab = three(n);

	CHECK_INT(lab_create_user(n[0], "known", NULL), ==, SHOAL_OK);
	lab_run(lab, 1000);
	n[0]->cut_off = true;
	pass(lab, 70);
	n[0]->cut_off = false;
	lab_run(lab, 8000);
	CHECK(!is_yielded(n[2], owner_of(n[2], "known")));
	CHECK_INT(registry_hlc(n[0]->reg), >, 0);
	CHECK_INT(sync_counters(n[0]->sync)->snapshots_sent, ==, 0); /* nothing was hidden */
	lab_free(lab);
}

/* It was told to 3, which is down when 2 is met, which knows nothing of it. */
static void what_one_who_is_down_has_heard_of_is_not_given_up(void)
{
	struct lab_node *n[3];
	struct lab *lab = three(n);

	n[1]->cut_off = true;
	lab_run(lab, 6000);
	CHECK_INT(lab_create_user(n[0], "known", NULL), ==, SHOAL_OK);
	lab_run(lab, 1000);
	CHECK(lab_knows(n[2], "known"));
	n[0]->cut_off = true;
	lab_run(lab, 6000);
	CHECK_INT(lab_create_user(n[0], "hidden", NULL), ==, SHOAL_OK);
	lab_down(n[2]);
	pass(lab, 70);
	n[0]->cut_off = n[1]->cut_off = false;
	lab_run(lab, 8000);
	CHECK(!is_yielded(n[1], owner_of(n[1], "known")));
	CHECK(is_yielded(n[1], owner_of(n[1], "hidden")));
	lab_free(lab);
}

static void one_of_a_list_of_one_is_not_alone(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 1);

	lab_run(lab, 100);
	CHECK_INT(lab_create_user(a, "ann", NULL), ==, SHOAL_OK);
	pass(lab, 90);
	sync_set_peers(a->sync, lab->lines, 2);
	(void)lab_up(lab, 2, 2);
	lab_run(lab, 5000);
	CHECK(lab_knows(&lab->nodes[2], "ann"));
	CHECK(!is_yielded(a, owner_of(a, "ann")));
	lab_free(lab);
}

/* More claims than fit into one record; each is looked at once, or a million of them would take minutes. */
static void many_claims_are_marked_all(void)
{
	struct lab_node *n[3];
	struct lab *lab = three(n);

	n[0]->cut_off = true;
	lab_run(lab, 6000);
	for (int k = 0; k < 5000; k++) {
		char name[12];
		snprintf(name, sizeof(name), "u%d", k);
		CHECK_INT(lab_create_user(n[0], name, NULL), ==, SHOAL_OK);
		lab_deliver(lab);
	}
	lab->mtu = 100000;
	pass(lab, 70);
	n[0]->cut_off = false;
	lab_run(lab, 60000);
	CHECK_INT(sync_counters(n[0]->sync)->claims_looked_at, ==, registry_count(n[0]->reg, TABLE_USER));
	CHECK(is_yielded(n[0], owner_of(n[0], "u0")) && is_yielded(n[0], owner_of(n[0], "u4999")));
	CHECK(vvec_eq(registry_durable_vector(n[0]->reg), registry_durable_vector(n[2]->reg)));
	CHECK(digest_eq(registry_digest(n[0]->reg, TABLE_USER), registry_digest(n[2]->reg, TABLE_USER)));
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(after_half_an_hour_the_first_claim_has_the_name),
		TEST(after_an_hour_alone_it_gives_way),
		TEST(each_kind_of_name_is_marked),
		TEST(who_has_just_started_was_not_alone),
		TEST(what_another_has_heard_of_is_not_given_up),
		TEST(what_one_who_is_down_has_heard_of_is_not_given_up),
		TEST(one_of_a_list_of_one_is_not_alone),
		TEST(many_claims_are_marked_all),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
