/* tests/sim/effects.h - every acknowledged operation shows, or another operation explains why not: an oracle.
 *
 * It reads what each operation wrote and asks the final state as a user would. No merging is done here: an effect that
 * is not there must have been ended by an operation that names it. Fails [effects]. */
#ifndef SHOAL_TESTS_EFFECTS_H
#define SHOAL_TESTS_EFFECTS_H
#include "tests/sim/history.h"

bool effects_check(const struct history *h, const struct registry *reg, struct verdict *v);
/* On any tracker at any moment: the owner of each group is a member of it, each name shows one thing, and what is shown
 * is found by that name. Fails [names]. */
bool effects_check_names(const struct registry *reg, unsigned tracker, struct verdict *v);
#endif
