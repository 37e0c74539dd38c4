/* tests/unit/sync/test_no_memory.c - whichever allocation fails between two trackers that meet, they meet a moment later,
 * and what was acknowledged is on both. */
#include "tests/unit/sync/sync_lab.h"

enum { USERS = 12 };

/* The nth allocation after the second one has come fails, once; the two have half a minute. False: so many there were not.
 * by_snapshot: the operations are no longer in the log. */
static bool meet(unsigned nth, bool by_snapshot)
{
	struct lab *lab = lab_new();
	struct lab_node *a, *b, *c;
	char name[16];

	a = lab_up(lab, 1, 3);
	c = lab_up(lab, 3, 3);
	lab_run(lab, 6000);
	for (int i = 0; i < USERS; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		CHECK_INT(lab_create_user(a, name, NULL), ==, SHOAL_OK);
		lab_run(lab, 100);
	}
	if (by_snapshot) {
		lab_cut_log(a);
		lab_cut_log(c);
	}
	b = lab_up(lab, 2, 3);
	mem_fail_after(nth);
	lab_run(lab, 5000);
	bool reached = mem_fail_after(0) == 0;
	lab_run(lab, 30000);
	CHECK(!sync_joining(b->sync));
	for (int i = 0; i < USERS; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		CHECK(lab_knows(b, name));
	}
	CHECK_INT(sync_counters(a->sync)->snapshots_sent + sync_counters(c->sync)->snapshots_sent != 0, ==, by_snapshot);
	CHECK_INT(lab_create_user(b, "bob", NULL), ==, SHOAL_OK);
	lab_run(lab, 2000);
	CHECK(lab_knows(a, "bob") && lab_knows(c, "bob"));
	lab_free(lab);
	return reached;
}

static void try_each(bool by_snapshot)
{
	unsigned nth = 1;

	while (meet(nth, by_snapshot))
		nth++;
	printf("# %u failures\n", nth - 1);
	CHECK_INT(nth, >=, 100);
}

static void any_allocation_may_fail_when_trackers_meet(void)
{
	try_each(false);
}

static void any_allocation_may_fail_in_a_snapshot(void)
{
	try_each(true);
}

static const struct CMUnitTest tests[] = {
	TEST(any_allocation_may_fail_when_trackers_meet),
	TEST(any_allocation_may_fail_in_a_snapshot),
};

CHECK_MAIN(tests)
