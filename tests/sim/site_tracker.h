/* tests/sim/site_tracker.h - a site that runs the whole tracker (tracker_step). */
#ifndef SHOAL_TESTS_SITE_TRACKER_H
#define SHOAL_TESTS_SITE_TRACKER_H
#include "tests/sim/site.h"

extern const struct site_kind site_tracker;
#endif
