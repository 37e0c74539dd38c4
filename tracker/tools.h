/* tracker/tools.h - shoal-tracker --status DIR, --backup DIR FILE, --check DIR, --new-cluster-key, --show-identity.
 * Blocking; a process of its own. */
#ifndef SHOAL_TRACKER_TOOLS_H
#define SHOAL_TRACKER_TOOLS_H
#include "tracker/options.h"

/* Does the task of the options, prints what there is to say. Returns the exit code. */
int tools_main(const struct options *o);
#endif
