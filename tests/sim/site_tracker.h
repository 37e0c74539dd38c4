/* tests/sim/site_tracker.h - a site that runs the whole tracker (tracker_step). */
#ifndef SHOAL_TESTS_SITE_TRACKER_H
#define SHOAL_TESTS_SITE_TRACKER_H
#include "tests/sim/site.h"

extern const struct site_kind site_tracker;

/* fn for each session that this tracker takes for online, with the end of its lease in virtual time. */
typedef void site_online_fn(void *arg, const struct id16 *uid, uint16_t home, uint64_t until);
void site_each_online(const struct site *s, site_online_fn *fn, void *arg);
#endif
