/* tests/sim/battery.h - the main() of a simulation: which seeds, what was met on the way, how to see a failure again.
 *
 *     PROGRAM                        its own number of seeds; every rare state must have been met (with the address
 *                                    sanitizer half of them, with the thread sanitizer a twentieth, and no such claim)
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

/* Of its seeds a run with a sanitizer takes one in so many. */
#ifdef __SANITIZE_THREAD__
#define BATTERY_SHARE 20 /* there is one thread: this is about the code that it shares with programs of many */
#elif defined(__SANITIZE_ADDRESS__)
#define BATTERY_SHARE 2
#else
#define BATTERY_SHARE 1
#endif

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
	void (*judge)(void *owner, struct verdict *v); /* what only many seeds together show; may be NULL */
	void (*tell)(void *owner);     /* sums of the run: a line; may be NULL */
};

/* False, so that `return verdict_fail(...)` reads well. */
bool verdict_fail(struct verdict *v, const char *oracle, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int battery_main(const struct battery *b, int argc, char **argv);
#endif
