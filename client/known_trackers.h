/* client/known_trackers.h - which identity the trackers have to show.
 *
 * All trackers of one list belong to one cluster and show its one identity. A pinned cluster (--cluster, or the line of
 * the tracker file) is the only one that is trusted. Otherwise the file known_trackers remembers, by dialled address,
 * who was met: lines "HOST:PORT sha256:HEX". The first contact is written down, a changed identity is refused, loudly
 * and without a way to wave it through. One thread. The file is read again at each contact, so that several clients of one
 * home see what the others have met. */
#ifndef SHOAL_CLIENT_KNOWN_TRACKERS_H
#define SHOAL_CLIENT_KNOWN_TRACKERS_H
#include "core/base/address.h"

struct known_trackers;

/* path: of the file, which need not exist; trackers: the list, borrowed. pinned NULL: first contact decides. NULL and *e
 * set if the file cannot be read or understood, or names different identities for trackers of the list. */
struct known_trackers *known_trackers_open(const char *path, const struct tracker_info *trackers,
                                           const struct id32 *pinned, struct error *e);
void known_trackers_close(struct known_trackers *k); /* NULL is fine */
/* SHOAL_OK: it is the right one; *first says that nobody of its cluster was known until now. SHOAL_EDENIED with both fingerprints
 * in the sentence if it is not; SHOAL_EIO and the like if a first contact cannot be written down. */
enum shoal_err known_trackers_check(struct known_trackers *k, const struct address *dialled,
                                    const struct id32 *identity, bool *first, struct error *e);
/* The identity of the cluster; false as long as nobody was met. */
bool known_trackers_cluster(const struct known_trackers *k, struct id32 *out);
#endif
