/* tests/sim/oracles.h - what both simulations ask of all trackers when everything is healed and quiet. */
#ifndef SHOAL_TESTS_ORACLES_H
#define SHOAL_TESTS_ORACLES_H
#include "tests/sim/site.h"

/* [agreement]: equal count and hash sum of every table. */
bool oracles_digests(const struct site *sites, size_t n, struct verdict *v);
/* [fold], [views], [names]: every tracker's rows and views are what all operations that stand mean together. */
bool oracles_model(const struct site *sites, size_t n, const struct history *h, struct verdict *v);
#endif
