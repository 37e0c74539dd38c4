/* tests/sim/battery.h - the main() of a simulation: which seeds, what was met on the way, how to see a failure again.
 *
 *     PROGRAM                        its own number of seeds; every rare state must have been met
 *     PROGRAM SEED                   that one, telling what happens
 *     PROGRAM FROM TO                these
 *     PROGRAM --for SECONDS FROM     fresh seeds from FROM until the time is over
 *     PROGRAM --first COUNT          seeds 1 to COUNT, until one fails: for planted bugs
 *
 * A rare state that was never met makes a run worth less than it says, so it fails a whole run. */
#ifndef SHOAL_TESTS_BATTERY_H
#define SHOAL_TESTS_BATTERY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a seed came to: oracle NULL is well; otherwise who found what. The first finding stands. */
struct verdict {
	const char *oracle;
	char text[400];
};

struct battery {
	const char *promise;           /* what holds for every seed */
	uint64_t seeds;                /* of a whole run */
	const char *const *sometimes;  /* names of the rare states */
	uint64_t *met;                 /* how often each was */
	size_t n_sometimes;
	void *owner;
	void (*run)(void *owner, uint64_t seed, bool talk, struct verdict *v);
	void (*tell)(void *owner);     /* sums of the run: a line; may be NULL */
};

/* False, so that `return verdict_fail(...)` reads well. */
bool verdict_fail(struct verdict *v, const char *oracle, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int battery_main(const struct battery *b, int argc, char **argv);
#endif
