/* client/device.h - the key of this running client: its identity to trackers and peers.
 *
 * A file of 32 random bytes, mode 0600, made on first start, and held by flock while the program runs, so that two
 * running clients never share an identity: the second one in the same folder takes device-2.key, and so on. Blocking;
 * before the engine's thread starts. */
#ifndef SHOAL_CLIENT_DEVICE_H
#define SHOAL_CLIENT_DEVICE_H
#include "core/base/crypto.h"
#include "core/base/error.h"

struct device;

/* The first key of `folder` (made with mode 0700 if it is not there) that nobody holds. NULL and *e set on failure: a key
 * that others can read is refused, it is not skipped. */
struct device *device_open(const char *folder, struct error *e);
/* Wipes the key and lets go of the file. NULL is fine. */
void device_close(struct device *d);
const uint8_t *device_seed(const struct device *d); /* SEED_SIZE bytes */
const char *device_path(const struct device *d);
#endif
