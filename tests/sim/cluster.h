/* tests/sim/cluster.h - one seed of the core simulation: three to five trackers (registry, commit queue and links; no
 * clients) in virtual time, and everything that goes wrong between them.
 *
 * Which faults there are, and how often, is the seed's choice: each is on in half of the seeds, so that some runs have
 * many and some have one alone (swarm testing). */
#ifndef SHOAL_TESTS_CLUSTER_H
#define SHOAL_TESTS_CLUSTER_H
#include "tests/sim/commands.h"

/* Rare states: each must have been met in a whole run, or the run proves less than it says. */
#define CLUSTER_SOMETIMES(X)                                                                            \
	X(snapshot_sent) X(snapshot_in_partition) X(snapshot_broken) X(snapshot_in_portions) X(merge_undone) X(restart) \
	X(crash_while_joining) X(crash_while_merging) \
	X(partition) X(one_way) X(late_start) X(five_trackers) X(name_conflict) X(login_as_name_loser)  \
	X(alias_used) X(name_reused) X(file_conflict) X(claims_at_one_time) X(accept_voided) X(owner_handed_over) \
	X(group_deleted) X(role_given) X(password_changed) X(log_cut) X(log_cut_under_a_lagging_peer) X(gap_noticed)  \
	X(own_operations_came_back) X(disk_lost) X(backup_restored) X(operation_lost_with_its_disk)     \
	X(clock_jump) X(refused_for_its_clock) X(refused_joining) X(refused_read_only)                  \
	X(commit_failed) X(commit_lost_in_crash) X(durable_but_unsaid) X(unknown_found_committed)       \
	X(unknown_found_not) X(retry_recognised_elsewhere) X(retry_done_again_elsewhere)                \
	X(connection_reset) X(frame_cut) X(frame_lost) X(frame_doubled) X(frames_swapped)               \
	X(foreign_shipped) X(acked_by_all) X(content_fetched) X(digests_equal) X(notice) X(lease_heard) \
	X(lease_relayed) X(memory_ran_out) X(alone_for_an_hour) X(name_yielded)

enum {
#define X(name) SOMETIMES_##name,
	CLUSTER_SOMETIMES(X)
#undef X
	SOMETIMES_COUNT
};

struct sums {
	uint64_t tried, made, acked, failed, lost, trackers_own, slowest_ms, virtual_ms;
};

/* What can go wrong in this seed; 0: it does not. In a hundred (steps), unless said. */
struct fault_mix {
	uint32_t step_ms;          /* of virtual time between two steps, at most */
	uint32_t partition_every;  /* steps */
	uint32_t one_way;
	uint32_t crash, boot, cut_log, fail_commit, backup;
	uint32_t lose_disk;        /* in 1,000 */
	uint32_t clock_jump, skew_ms, grain_ms;
	uint32_t retry;
	uint32_t no_memory;        /* in 10,000 steps of a tracker */
	size_t merge_bytes;        /* of a snapshot's rows at once; 0: all of these few */
	bool lonely;               /* once, a tracker is alone for over an hour */
};

struct cluster {
	uint64_t seed;
	bool talk;
	struct sim *sim;
	struct fault_mix mix;
	struct tracker_line lines[SITES_MAX];
	struct site sites[SITES_MAX];
	size_t n;
	bool parted, disk_lost;
	uint64_t snapshots;        /* merged so far */
	struct history history;
	struct commands commands;
	uint64_t *met;             /* SOMETIMES_COUNT of them */
	struct sums *sums;
	struct verdict *verdict;
};

void cluster_run(uint64_t seed, bool talk, uint64_t *met, struct sums *sums, struct verdict *v);

/* Between cluster.c, cluster_faults.c and cluster_end.c. */
void cluster_boot(struct cluster *c, struct site *s);
void cluster_choose_mix(struct cluster *c, struct sim_config *config);
void cluster_fault(struct cluster *c);
void cluster_change_partition(struct cluster *c);
void cluster_leave_alone(struct cluster *c); /* one tracker, for over an hour, with people who use it */
void cluster_end(struct cluster *c); /* heals, runs on, and asks all oracles */
void cluster_count(struct cluster *c);

#define CLUSTER_SAY(c, ...)                                                    \
	do {                                                                   \
		if ((c)->talk) {                                               \
			printf("# %8llu ", (unsigned long long)sim_now((c)->sim)); \
			printf(__VA_ARGS__);                                   \
			printf("\n");                                          \
		}                                                              \
	} while (0)
#endif
