/* tracker/load.h - opening the store and filling a registry from it. Start-up only, blocking. */
#ifndef SHOAL_TRACKER_LOAD_H
#define SHOAL_TRACKER_LOAD_H
#include "core/base/log.h"
#include "core/registry/registry.h"
#include "core/registry/store.h"

struct loaded {
	struct store *store;
	struct registry *registry;
	struct vvec floor;      /* for tracker_load_floor() */
	bool set_aside;         /* the database was damaged, now or earlier, and not all has been fetched again */
};

/* Opens the SQLite database at `path` and loads it into a registry for that tracker and log. If there are others to fetch
 * everything from, a damaged one is set aside under a dated name, which is logged, and an empty one takes its place;
 * if there are none, it is left alone and *e says what can be done. On failure nothing is left to free. */
enum shoal_err load_store(const char *path, uint16_t tracker, uint64_t log_id, uint64_t wall_ms, bool others,
                          struct log *log, struct loaded *out, struct error *e);
/* Only to look at it: nothing is set aside; which tracker it is does not matter. */
enum shoal_err load_as_it_is(const char *path, struct loaded *out, struct error *e);
/* What a failed start is not going to use. */
void loaded_free(struct loaded *l);
#endif
