/* tests/sim/story.h - a random life of a store, and what it must know afterwards: for tests that break the disk.
 *
 * The facts are kept apart from the store: whatever is read back is compared with them, byte by byte. */
#ifndef SHOAL_TESTS_STORY_H
#define SHOAL_TESTS_STORY_H
#include <stdbool.h>
#include <stdint.h>

#include "core/registry/store.h"

enum { STORY_KEYS = 40, STORY_LOGS = 2, STORY_CONTENTS = 4 };

/* All that a store knows. Compared with memcmp: no padding, no pointers. */
struct facts {
	uint64_t version[STORY_KEYS]; /* of the row, which tells what is in it; 0: no row */
	uint64_t vector[STORY_LOGS], floor[STORY_LOGS], cut[STORY_LOGS]; /* cut: records up to there are not in the log */
	uint64_t hlc;
	uint64_t have[STORY_CONTENTS], complete[STORY_CONTENTS];
};

struct story {
	struct facts now;
	uint64_t dice;
	uint64_t versions;  /* given so far */
	unsigned fail_try;  /* the so-manyth try_* allocation of each call of the store fails; 0: none */
};

enum story_kind { STORY_COMMIT, STORY_BIG_COMMIT, STORY_CUT, STORY_PUT, STORY_CHECK, STORY_IDLE, STORY_KINDS };

/* One call of the store. The caller looks at the answer: with SHOAL_OK *after is true from now on (and it is its to put
 * into story.now), with a failure story.now is still true. */
enum shoal_err story_step(struct story *s, struct store *st, struct facts *after, enum story_kind *kind,
                          struct error *e);
/* What a probe of a read-only tracker does; changes hlc only. */
enum shoal_err story_probe(struct story *s, struct store *st, struct facts *after, struct error *e);
/* Reads all of it. Something that was never written, or half of it, is SHOAL_EINTEGRITY. */
enum shoal_err story_read(struct store *st, struct facts *out, struct error *e);
/* Says where two differ; static text is not kept. */
void story_difference(const struct facts *got, const struct facts *want, char *out, size_t size);
#endif
