/* tests/sim/promises.h - what a tracker says about the disks of others, held against those disks at that moment. */
#ifndef SHOAL_TESTS_PROMISES_H
#define SHOAL_TESTS_PROMISES_H
#include "client/link.h"
#include "tests/sim/site.h"

/* An answer of a cluster with --min-sync: so many others have it as it says, and it says so before the time is over only
 * if these are enough. Fails [synced]. */
struct synced_reply {
	unsigned min_sync;
	uint64_t took_ms;          /* from the command to its answer, as its user sees it */
	const struct stamp *stamp;
	int synced;                /* link.h */
};
bool promise_synced(const struct site *sites, size_t n, const struct synced_reply *reply, struct verdict *v);

/* Records up to `upto` are about to go from this site's log: each is over an hour old, and on another disk. Fails [log]. */
void promise_cut(const struct site *s, const struct vvec *upto);

/* True if nothing would be lost with this site's disk, but for the operation `sworn`, of which others have sworn. */
bool promise_has_copies(const struct site *s, struct dot sworn);
#endif
