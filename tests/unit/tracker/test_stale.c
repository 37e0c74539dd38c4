/* tests/unit/tracker/test_stale.c - sessions that nobody has used for days: closed, and no others. */
#define RIG_EVENTS 64
#include "tests/unit/tracker/rig.h"

enum { HOUR = 3600 * 1000 };

static unsigned open_sessions(struct rig *r)
{
	struct registry_iter it = registry_all(r->reg, TABLE_SESS);
	const struct sess_row *s;
	unsigned n = 0;

	while ((s = registry_next(&it)) != NULL)
		n += s->phase == PHASE_OPEN;
	return n;
}

/* Hours pass in steps of a minute, in which those who are there say something. */
static void pass_hours(struct rig *r, unsigned hours, struct rig_conn *present)
{
	const struct env_event tick = { .type = ENV_TICK };

	for (unsigned i = 0; i < hours * 120; i++) {
		r->now += HOUR / 120;
		if (present != NULL) /* before the step that would find it silent */
			CHECK_INT(CODE(r, present, HEARTBEAT, req_heartbeat, 0), ==, SHOAL_OK);
		rig_step(r, &tick);
		if (present != NULL)
			rig_forget_events(present);
	}
}

static void who_never_comes_back_is_closed_after_two_days(void)
{
	struct rig *r = rig_new();

	rig_break(r, rig_login(r, "ann", 1));
	rig_break(r, rig_login(r, "bob", 2));
	CHECK_INT(open_sessions(r), ==, 2);
	pass_hours(r, 48, NULL);
	CHECK_INT(open_sessions(r), ==, 2);
	pass_hours(r, 25, NULL);
	CHECK_INT(open_sessions(r), ==, 0);
	rig_free(r);
}

static void who_is_there_or_was_lately_stays(void)
{
	struct rig *r = rig_new();
	struct rig_conn *ann = rig_login(r, "ann", 1);

	rig_break(r, rig_login(r, "bob", 2));
	pass_hours(r, 100, ann);
	CHECK_INT(open_sessions(r), ==, 1);
	CHECK(!ann->closed);
	rig_break(r, ann);
	pass_hours(r, 48, NULL);
	CHECK_INT(open_sessions(r), ==, 1);
	pass_hours(r, 25, NULL);
	CHECK_INT(open_sessions(r), ==, 0);
	rig_free(r);
}

static void a_tracker_that_has_just_started_closes_nothing(void)
{
	struct rig *r = rig_new();

	rig_break(r, rig_login(r, "ann", 1));
	for (int i = 0; i < 3; i++) {
		pass_hours(r, 47, NULL);
		rig_stop(r);
		rig_start(r);
		CHECK_INT(open_sessions(r), ==, 1);
	}
	pass_hours(r, 73, NULL);
	CHECK_INT(open_sessions(r), ==, 0);
	rig_free(r);
}

static const struct CMUnitTest tests[] = {
	TEST(who_never_comes_back_is_closed_after_two_days),
	TEST(who_is_there_or_was_lately_stays),
	TEST(a_tracker_that_has_just_started_closes_nothing),
};

CHECK_MAIN(tests)
