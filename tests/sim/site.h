/* tests/sim/site.h - one tracker's machine in the simulated world: a disk that lasts, and what runs on it when it is up:
 * a registry with either the commit queue and the links alone (core/sync), or the whole tracker (tracker/). */
#ifndef SHOAL_TESTS_SITE_H
#define SHOAL_TESTS_SITE_H
#include "core/registry/registry.h"
#include "core/registry/store_mem.h"
#include "core/sync/commit.h"
#include "core/sync/sync.h"
#include "tests/sim/sim_env.h"
#include "tracker/tracker.h"

#define SITES_MAX 5

struct site {
	struct sim *sim;
	struct sim_node *node;
	uint16_t id;
	struct tracker_line line;
	const struct tracker_line *lines; /* of all */
	size_t n_lines;
	int64_t skew_ms;
	bool whole; /* set before site_boot(): run tracker_step() */
	struct mem_disk *disk;
	struct mem_disk *backup; /* NULL: none was made */
	struct vvec durable;     /* as last seen */
	struct sync_counters before; /* of earlier lives */
	uint64_t leases;             /* sessions heard of */
	/* -- while it is up */
	struct store *store;
	struct registry *reg;
	struct commit *commit; /* these two unless whole */
	struct sync *sync;
	struct tracker *tracker; /* this one if whole */
	EVP_PKEY *ticket_key;
};

void site_init(struct site *s, struct sim *sim, uint16_t id, const struct tracker_line *lines, size_t n_lines);
void site_fini(struct site *s);
void site_boot(struct site *s);  /* loads what the disk has, with a new log id */
void site_crash(struct site *s);
bool site_up(const struct site *s);
/* Counters over all its lives. */
void site_counters(const struct site *s, struct sync_counters *out);
#endif
