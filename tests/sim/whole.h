/* tests/sim/whole.h - one seed of the full simulation (sim_clients.c): what its files share. */
#ifndef SHOAL_TESTS_WHOLE_H
#define SHOAL_TESTS_WHOLE_H
#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/battery.h"
#include "tests/sim/site.h"
#include "tests/sim/users.h"

#define TRACKERS 3

#define SOMETIMES(X)                                                                                          \
	X(crash) X(power_cut) X(all_down) X(partition) X(client_cut_off) X(commit_failed) X(connection_reset) \
	X(frame_cut) X(failover) X(resumed) X(acknowledged) X(unknown) X(uploaded) X(event)                   \
	X(password_changed) X(logged_out) X(online_elsewhere) X(lease_over) X(commit_lost_in_crash) X(durable_but_unsaid) \
	X(synced) X(synced_too_late) X(killed_when_synced) X(disk_lost_when_synced) X(hours) X(alone_for_hours) X(log_cut)       \
	X(log_cut_over_one_that_lacks_it) X(snapshot_merged) X(snapshot_in_portions) X(content_fetched)

enum {
#define X(name) SOMETIMES_##name,
	SOMETIMES(X)
#undef X
	SOMETIMES_COUNT
};

/* How long answers took that nothing but the tracker itself should delay, in virtual time. */
#define TIMES_MAX 8192
struct times {
	uint64_t n, at[TIMES_MAX];
};

struct whole {
	uint64_t met[SOMETIMES_COUNT];
	struct times calm, trouble; /* all trackers hear each other; one is alone, or down */
	uint64_t commands, answered_ok, unknown, slowest_ms, sqlite_seeds, records;
};

struct run {
	uint64_t seed;
	bool talk;
	struct sim *sim;
	struct tracker_line lines[TRACKERS];
	struct tracker_info info;
	struct site sites[TRACKERS];
	struct users users;
	struct history history;
	bool seen_online[TRACKERS][USERS_MAX];
	bool parted;               /* one tracker is alone */
	uint64_t parted_at;        /* the last change of that */
	uint64_t trouble_at;       /* when one was alone or down */
	bool cut_off[USERS_MAX];   /* does not reach every tracker */
	uint64_t cut_off_at[USERS_MAX];
	unsigned min_sync;
	bool quick;                /* network and disk, and no resets: an answer that waits for somebody stands out */
	struct stamp sworn;        /* of a change that others are said to have: whose tracker is about to be killed */
	bool killing, healed;
	uint64_t disk_lost_at;
	struct whole *sums;
	struct verdict *verdict;
};

/* whole_faults.c */
void whole_join_all(struct run *r);  /* everybody reaches everybody */
void whole_part(struct run *r);      /* another partition, or none */
void whole_fault(struct run *r);     /* something breaks, or comes back */
void whole_lose_sight(struct run *r); /* for hours: one tracker is down, or alone but for its clients, or all is well */

/* whole_answers.c */
bool whole_note_trouble(struct run *r); /* true: a tracker is alone, or down */
void whole_on_answered(void *run, const struct user *u, const struct link_reply *reply); /* users.h */
void whole_judge(void *whole, struct verdict *v); /* the answers of all seeds together */
uint64_t whole_p99(const struct times *t); /* virtual milliseconds under which 99 of 100 are */

#define SAY(r, ...)                                                            \
	do {                                                                   \
		if ((r)->talk) {                                               \
			printf("# %8" PRIu64 " ", sim_now((r)->sim));          \
			printf(__VA_ARGS__);                                   \
			printf("\n");                                          \
		}                                                              \
	} while (0)
#endif
