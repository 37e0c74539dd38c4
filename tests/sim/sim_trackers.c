/* tests/sim/sim_trackers.c - the core simulation: whatever happens between trackers, in the end they agree, have
 * forgotten nothing that was acknowledged, and are what all operations together mean.
 *
 * cluster.h says what happens in a seed, docs/testing.md what each oracle looks at; battery.h says how to call it. */
#include <inttypes.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "tests/sim/cluster.h"

#define SEEDS 2000

struct whole {
	uint64_t met[SOMETIMES_COUNT];
	struct sums sums;
};

static void run(void *owner, uint64_t seed, bool talk, struct verdict *v)
{
	struct whole *w = owner;
	cluster_run(seed, talk, w->met, &w->sums, v);
}

static void tell(void *owner)
{
	const struct sums *s = &((struct whole *)owner)->sums;
	printf("# commands %" PRIu64 ", made %" PRIu64 ", acknowledged %" PRIu64 " (%" PRIu64 " of them lost with the only disk), "
	       "undone %" PRIu64 ", trackers' own %" PRIu64 "; %" PRIu64 " virtual hours; agreed at the latest %.1f s after "
	       "healing\n", s->tried, s->made, s->acked, s->lost, s->failed, s->trackers_own, s->virtual_ms / 3600000,
	       (double)s->slowest_ms / 1000);
}

int main(int argc, char **argv)
{
	static const char *const names[] = {
#define X(name) #name,
		CLUSTER_SOMETIMES(X)
#undef X
	};
	struct whole w = { 0 };
	struct battery b = { .promise = "every seed ends in agreement, nothing acknowledged missing",
		             .seeds = SEEDS,
		             .sometimes = names,
		             .met = w.met,
		             .n_sometimes = COUNT_OF(names),
		             .owner = &w,
		             .run = run,
		             .tell = tell };
	return battery_main(&b, argc, argv);
}
