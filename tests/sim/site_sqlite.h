/* tests/sim/site_sqlite.h - a site with the real SQLite store on a disk that loses power: what was not flushed may be
 * there, or gone, or torn (crash_vfs.h). */
#ifndef SHOAL_TESTS_SITE_SQLITE_H
#define SHOAL_TESTS_SITE_SQLITE_H
#include "tests/sim/site.h"

extern const struct site_medium site_sqlite;
#endif
