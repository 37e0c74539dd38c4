/* tracker/cluster_key.h - the one secret of a cluster, and the keys that are derived from it.
 *
 * cluster.key holds 32 random bytes, mode 0600. Whoever starts first makes it (a temporary file and link(2), so that
 * two trackers that start together agree); the others read it. Start-up only, blocking. */
#ifndef SHOAL_TRACKER_CLUSTER_KEY_H
#define SHOAL_TRACKER_CLUSTER_KEY_H
#include <stdbool.h>
#include <stdint.h>

#include "core/base/crypto.h"
#include "core/base/error.h"

/* Each from HKDF-SHA-256 with a label of its own: none of them tells anything about another. */
struct cluster_keys {
	uint8_t identity_seed[SEED_SIZE]; /* the TLS key that all trackers of the cluster show */
	uint8_t ticket_seed[SEED_SIZE];   /* the Ed25519 key that signs tickets */
	uint8_t token_key[32];            /* HMAC key of tokens */
};

/* Where the key is when nobody says otherwise: $XDG_STATE_HOME/shoal/cluster.key, whatever the data folder is, so that
 * the trackers of one user on one machine share it. malloc'ed; NULL if neither HOME nor XDG_STATE_HOME is set. */
char *cluster_key_default_path(void);

/* Reads the file, or makes it (and its folder) when it is not there; *made says which. Fails with SHOAL_EDENIED when
 * others can read it, SHOAL_EUSAGE when it has another length, or what the system says. */
enum shoal_err cluster_key_load(const char *path, struct cluster_keys *out, bool *made, struct error *e);
/* Makes the file and its folder; SHOAL_EEXISTS if it is there: a key is never written over. */
enum shoal_err cluster_key_make(const char *path, struct error *e);
/* Like cluster_key_load(), but makes nothing. */
enum shoal_err cluster_key_read(const char *path, struct cluster_keys *out, struct error *e);
void cluster_keys_wipe(struct cluster_keys *keys);
#endif
