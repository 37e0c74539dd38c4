/* tests/unit/sync/test_log_cut.c - what may go from the log, and what never; in virtual time. */
#include "tests/unit/sync/sync_lab.h"

#define HOUR_MS UINT64_C(3600000)

/* Time jumps; then links are found again, and what is due at the log is done. */
static void pass(struct lab *lab, uint64_t ms)
{
	lab->now += ms;
	lab_run(lab, 4000);
}

/* Over an hour, and what was durable before it is known to be. */
static void let_it_grow_old(struct lab *lab)
{
	for (int i = 0; i < 3; i++)
		pass(lab, 4000000);
}

static void create(struct lab_node *n, const char *prefix, int count)
{
	for (int k = 0; k < count; k++) {
		char name[32];
		snprintf(name, sizeof(name), "%s%d", prefix, k);
		CHECK_INT(lab_create_user(n, name, NULL), ==, SHOAL_OK);
		lab_deliver(n->lab);
	}
	lab_run(n->lab, 300);
}

static uint64_t floor_of_own(const struct lab_node *n)
{
	return vvec_get(commit_floor(n->commit), registry_log(n->reg));
}

static void what_all_have_goes_after_an_hour(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2);
	(void)lab_up(lab, 2, 2);
	lab_run(lab, 500);
	create(a, "u", 20);
	pass(lab, HOUR_MS); /* a retry may still come: its request id must be found at a restart */
	CHECK_INT(mem_disk_records(a->disk), ==, 20);
	let_it_grow_old(lab);
	CHECK_INT(mem_disk_records(a->disk), ==, 0);
	CHECK_INT(floor_of_own(a), ==, 20);
	CHECK_INT(sync_counters(a->sync)->log_cuts, ==, 1);
	lab_free(lab);
}

/* What may go is decided by what was durable at two moments: the younger of them says nothing of age. */
static void what_was_written_just_before_a_look_is_as_young(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2);
	(void)lab_up(lab, 2, 2);
	lab_run(lab, 500);
	pass(lab, 3900000);
	create(a, "u", 20);
	for (int i = 0; i < 30; i++)
		pass(lab, 100000);
	CHECK_INT(mem_disk_records(a->disk), ==, 20);
	CHECK_INT(floor_of_own(a), ==, 0);
	let_it_grow_old(lab);
	CHECK_INT(mem_disk_records(a->disk), ==, 0);
	lab_free(lab);
}

static void a_log_that_is_too_long_is_cut_over_one_who_is_down(void)
{
	struct lab *lab = lab_new();
	lab->log_bytes = 2000;
	struct lab_node *a = lab_up(lab, 1, 3), *b = lab_up(lab, 2, 3), *c;
	lab_run(lab, 6000);
	create(a, "u", 40);
	pass(lab, HOUR_MS); /* however long it is: not within the hour */
	CHECK_INT(mem_disk_records(a->disk), ==, 40);
	let_it_grow_old(lab);
	size_t left = mem_disk_records(a->disk);
	CHECK_INT(left, >, 0); /* the newest 2,000 bytes stay */
	CHECK_INT(left, <, 20);
	CHECK_INT(floor_of_own(a), ==, 40 - left);
	lab_down(b);
	c = lab_up(lab, 3, 3);
	pass(lab, 3000);
	CHECK_INT(sync_counters(a->sync)->snapshots_sent, ==, 1);
	CHECK(lab_knows(c, "u0") && lab_knows(c, "u39"));
	lab_free(lab);
}

static void a_log_that_is_not_too_long_waits_for_one_who_is_down(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 3);
	(void)lab_up(lab, 2, 3);
	lab_run(lab, 6000);
	create(a, "u", 40);
	let_it_grow_old(lab);
	pass(lab, 5 * 24 * HOUR_MS);
	CHECK_INT(mem_disk_records(a->disk), ==, 40);
	pass(lab, 2 * 24 * HOUR_MS); /* the week is over */
	CHECK_INT(mem_disk_records(a->disk), ==, 0);
	create(a, "v", 5);
	pass(lab, HOUR_MS);
	CHECK_INT(mem_disk_records(a->disk), ==, 5);
	lab_free(lab);
}

static void what_only_we_have_never_goes(void)
{
	struct lab *lab = lab_new();
	lab->log_bytes = 1;
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	lab_run(lab, 500);
	create(a, "shared", 10);
	lab_down(b);
	lab_run(lab, 6000);
	create(a, "alone", 10);
	let_it_grow_old(lab);
	pass(lab, 8 * 24 * HOUR_MS);
	CHECK_INT(floor_of_own(a), ==, 10);
	CHECK_INT(mem_disk_records(a->disk), ==, 10);
	b = lab_up(lab, 2, 2); /* its disk was lost: there is no other copy of it */
	pass(lab, 3000);
	CHECK(lab_knows(b, "alone0") && lab_knows(b, "alone9"));
	lab_free(lab);
}

/* After a restart nobody has acknowledged anything yet: what the disk says is old may still be in no other log. */
static void without_a_word_of_the_others_nothing_goes(void)
{
	struct lab *lab = lab_new();
	lab->log_bytes = 1;
	struct lab_node *a = lab_up(lab, 1, 3);
	lab_run(lab, 6000);
	create(a, "u", 10);
	let_it_grow_old(lab);
	pass(lab, 8 * 24 * HOUR_MS);
	CHECK_INT(mem_disk_records(a->disk), ==, 10);
	CHECK_INT(sync_counters(a->sync)->log_cuts, ==, 0);
	lab_free(lab);
}

static void a_line_that_is_taken_out_is_not_waited_for(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 3);
	(void)lab_up(lab, 2, 3);
	lab_run(lab, 6000);
	create(a, "u", 10);
	let_it_grow_old(lab);
	CHECK_INT(mem_disk_records(a->disk), ==, 10);
	sync_set_peers(a->sync, lab->lines, 2);
	pass(lab, 60000);
	CHECK_INT(mem_disk_records(a->disk), ==, 0);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_all_have_goes_after_an_hour),
		TEST(what_was_written_just_before_a_look_is_as_young),
		TEST(a_log_that_is_too_long_is_cut_over_one_who_is_down),
		TEST(a_log_that_is_not_too_long_waits_for_one_who_is_down),
		TEST(what_only_we_have_never_goes),
		TEST(without_a_word_of_the_others_nothing_goes),
		TEST(a_line_that_is_taken_out_is_not_waited_for),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
