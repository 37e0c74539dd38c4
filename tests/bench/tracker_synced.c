/* tests/bench/tracker_synced.c - waits until another tracker has all that this one has.
 *
 * usage: tracker_synced ADDRESS ID [SECONDS]: asks the tracker at ADDRESS every 10 ms how far tracker ID is, for 60 s at most.
 * Prints how many operations it was behind when it was first seen connected, and the seconds from there until it had them:
 * what was sent in the first moments, before anybody could look, is not counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "tests/bench/load/fleet.h"

enum { LOOK_MS = 10, PATIENCE_S = 60 };

struct wait {
	struct fleet *fleet;
	struct loop_timer *timer;
	uint16_t id;
	uint64_t start_us, connected_us, last_us, deadline_us, behind;
	double seconds;
};

static void ask(void *arg)
{
	struct wait *w = arg;
	struct buf none = { 0 };

	if (clock_mono_us() > w->deadline_us)
		die("tracker %u did not get there in time", w->id);
	fleet_send(fleet_client(w->fleet, 0), VERB_TRACKERS, &none);
}

static bool is_connected(struct slice state)
{
	static const char *const not_yet[] = { "connecting", "lost", "refused", "self" };
	for (size_t i = 0; i < sizeof(not_yet) / sizeof(not_yet[0]); i++)
		if (slice_eq_str(state, not_yet[i]))
			return false;
	return true;
}

/* True: it has everything. */
static bool look(struct wait *w, const struct row_tracker *row)
{
	uint64_t now = clock_mono_us();

	if (row->id != w->id || !is_connected(row->state))
		return false;
	if (w->connected_us == 0) {
		w->connected_us = now;
		w->behind = row->behind;
	}
	w->last_us = now;
	return row->behind == 0;
}

static void on_reply(void *arg, const struct fleet_reply *r)
{
	struct wait *w = arg;
	struct cursor c = r->fields;
	bool done = false;

	if (r->head.code != SHOAL_OK)
		die("trackers: %.*s", (int)r->head.message.len, (const char *)r->head.message.data);
	for (unsigned n = get_u16(&c); n != 0; n--) {
		struct row_tracker row;
		row_tracker_get(&c, &row);
		done |= look(w, &row);
	}
	if (done)
		fleet_stop(w->fleet);
	else
		loop_timer_set_ms(w->timer, LOOK_MS);
}

static void on_ready(void *arg)
{
	ask(arg);
}

int main(int argc, char **argv)
{
	struct wait w = { .start_us = clock_mono_us() };
	struct fleet_config config = { .n = 1, .visitor = true, .ready = on_ready, .reply = on_reply, .arg = &w };
	struct error e;

	if (argc < 3 || argc > 4)
		die("usage: tracker_synced ADDRESS ID [SECONDS]");
	if (address_parse(argv[1], false, &config.tracker, &e) != SHOAL_OK)
		die("%s", e.message);
	w.id = (uint16_t)strtoul(argv[2], NULL, 10);
	w.deadline_us = w.start_us + (argc == 4 ? strtoul(argv[3], NULL, 10) : PATIENCE_S) * 1000000;
	w.fleet = fleet_new(&config);
	w.timer = loop_timer_new(fleet_loop(w.fleet), ask, &w);
	fleet_start(w.fleet);
	fleet_run(w.fleet);
	double s = (double)(w.last_us - w.connected_us) / 1e6;
	printf("connected_s=%.3f behind=%llu seconds=%.3f per_s=%.0f\n", (double)(w.connected_us - w.start_us) / 1e6,
	       (unsigned long long)w.behind, s, s > 0 ? (double)w.behind / s : 0);
	loop_timer_free(w.timer);
	fleet_free(w.fleet);
	return 0;
}
