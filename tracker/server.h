/* tracker/server.h - the real tracker: loop, TLS, store thread, pool, console and signals around a struct tracker. */
#ifndef SHOAL_TRACKER_SERVER_H
#define SHOAL_TRACKER_SERVER_H
#include "core/base/log.h"
#include "tracker/options.h"

enum { EXIT_LISTEN = 7, EXIT_DATA = 13 };

/* Opens everything, prints the line that says it is ready, runs until told to stop. Returns the exit code; what went
 * wrong has been printed. */
int server_main(const struct options *o);
#endif
