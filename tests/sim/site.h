/* tests/sim/site.h - one tracker's machine in the simulated world: a disk that lasts, and what runs on it when it is up:
 * a registry with either the commit queue and the links alone (core/sync), or the whole tracker (site_tracker.h). */
#ifndef SHOAL_TESTS_SITE_H
#define SHOAL_TESTS_SITE_H
#include "core/registry/registry.h"
#include "core/registry/store_mem.h"
#include "core/sync/commit.h"
#include "core/sync/sync.h"
#include "tests/sim/history.h"
#include "tests/sim/sim_env.h"

#define SITES_MAX 5

struct site;
struct tracker;

/* What runs on a site. boot: after s->reg is loaded; halt frees what boot made. */
struct site_kind {
	void (*boot)(struct site *s, const struct vvec *floor);
	void (*halt)(struct site *s);
	uint64_t (*step)(void *site, const struct env_event *ev);
};
extern const struct site_kind site_core; /* the commit queue and the links */

/* What a site keeps its memory on. open: s->store, and s->reg with what it knew, in a new log; cut: the power goes. */
struct site_medium {
	const struct store_ops *ops;
	void (*open)(struct site *s, uint64_t log, struct vvec *floor);
	void (*cut)(struct site *s);
	void (*lose)(struct site *s); /* an empty one takes its place; down */
	void (*fini)(struct site *s);
};
extern const struct site_medium site_memory; /* s->disk */

/* What a core site knows of the one session that each site has. */
struct site_lease {
	uint64_t epoch, beat;
	uint64_t until; /* virtual time */
};

struct site {
	struct sim *sim;
	struct sim_node *node;
	uint16_t id;
	struct tracker_line line;
	const struct tracker_line *lines; /* of all */
	size_t n_lines;
	int64_t skew_ms;
	uint32_t grain_ms;
	size_t merge_bytes;           /* of a snapshot's rows merged at once; 0: as many as a real tracker */
	const struct site_kind *kind; /* site_core unless set before site_boot() */
	const struct site_medium *medium; /* site_memory unless set before site_boot() */
	struct history *history;      /* told what reaches the disk; NULL: nobody asks */
	struct verdict *verdict;
	struct mem_disk *disk;
	struct mem_disk *backup; /* NULL: none was made */
	void *flash;             /* site_sqlite.h */
	uint32_t no_memory_per_10000; /* core: steps in which an allocation fails */
	uint64_t memory_ran_out;
	struct vvec durable;     /* as last seen */
	struct sync_counters before; /* of earlier lives */
	struct site_lease leases[SITES_MAX + 1]; /* by home; our own is the truth that others are measured by */
	const struct site *others;   /* all sites, this one too */
	uint64_t leases_heard, leases_relayed, own_back;
	uint64_t cuts, cuts_ahead;   /* of its log; of trackers that lacked some of what was cut */
	size_t snapshot_frame, log_bytes; /* whole: as merge_bytes */
	unsigned min_sync;           /* whole */
	/* -- while it is up */
	struct store *store;
	struct registry *reg;
	struct commit *commit; /* core */
	struct sync *sync;     /* the whole tracker's own, too */
	struct tracker *tracker; /* whole */
	void *ticket_key;        /* whole */
};

void site_init(struct site *s, struct sim *sim, uint16_t id, const struct tracker_line *lines, size_t n_lines);
void site_fini(struct site *s);
/* For media: s->reg from s->store, which is open. */
void site_load(struct site *s, uint64_t log, struct vvec *floor);
void site_must(enum shoal_err rc, const char *what); /* aborts */
void site_boot(struct site *s);  /* loads what the disk has, with a new log id */
void site_crash(struct site *s);
bool site_up(const struct site *s);
void site_lose_disk(struct site *s); /* one that is down: an empty disk takes the place of its own */
void site_add_counters(struct sync_counters *sum, const struct sync_counters *c); /* for kinds: to s->before, at halt */
/* Counters over all its lives. */
void site_counters(const struct site *s, struct sync_counters *out);
#endif
