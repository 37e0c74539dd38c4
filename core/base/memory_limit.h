/* core/base/memory_limit.h - how much memory this process may have, and whether it is near that.
 *
 * What the system was told to allow: RLIMIT_AS (ulimit -v), and memory.max of its cgroup and of those above it. Whoever takes
 * in new work asks before: at 80 % new work is refused, so that what is there can go on. A plain value, one thread. */
#ifndef SHOAL_BASE_MEMORY_LIMIT_H
#define SHOAL_BASE_MEMORY_LIMIT_H
#include <stdbool.h>
#include <stdint.h>

struct memory_limit {
	uint64_t resident_most; /* bytes in memory; UINT64_MAX: no limit */
	uint64_t space_most;    /* bytes of addresses, but those that were freed; UINT64_MAX: no limit */
	uint64_t looked_ms, trimmed_ms;
	bool near;
};

/* Looks the limits up. */
void memory_limit_init(struct memory_limit *m);
/* Is it time to refuse new work? Looks anew every 20 ms; without a limit it costs nothing. */
bool memory_limit_near(struct memory_limit *m, uint64_t now_ms);
/* For tests: the smallest memory.max of a cgroup below `mounted` and those above it, as /proc/self/cgroup names it. */
uint64_t memory_limit_of_cgroup(const char *mounted, const char *proc_self_cgroup);
#endif
