/* tracker/presence.h - who is online now, where, and which leechers have announced themselves.
 *
 * Memory only; nothing here is an op. A session is online as long as its lease lasts: its home tracker renews it with
 * every frame of the client, the others learn of it through SYNC LEASE, with the time that is left. Who moved to
 * another tracker is known by the epoch: the newest (re)connect wins. Look-ups are O(1) (a user has a handful of sessions).
 * Times are env's monotonic clock, handed in. What presence_* returns is borrowed until the next changing call. */
#ifndef SHOAL_TRACKER_PRESENCE_H
#define SHOAL_TRACKER_PRESENCE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/env.h"
#include "core/base/error.h"
#include "core/base/id.h"
#include "core/wire/stamp.h"

struct presence_map;

struct online {
	struct id16 uid;
	struct dot dot;       /* of the session row */
	struct id32 device;   /* identity of its TLS key */
	struct address addr;  /* where peers reach it; port 0: nowhere */
	uint16_t home;        /* the tracker it is connected to */
	uint64_t epoch;       /* hlc of its (re)connect: the newest wins */
	uint64_t beat;        /* grows with each sign of life that its home saw */
	uint64_t until_ms;    /* end of the lease */
	conn_id conn;         /* the connection here; 0: elsewhere, or in its grace */
};

struct leecher {
	struct id16 gid, fid, uid;
	struct id32 device;
	struct address addr;
	uint16_t home;
	uint64_t epoch, beat;
	uint32_t pieces;
	uint64_t until_ms;
};

struct presence_map *presence_new(void);
void presence_free(struct presence_map *p);

/* Puts or renews a session, by its dot. What is not newer by (epoch, beat) than what is known, or was known until
 * presence_end(), is dropped: SHOAL_ECONFLICT. *fresh: it was not online before, or has another home or address now.
 * SHOAL_EBUSY: no memory. */
enum shoal_err presence_put(struct presence_map *p, const struct online *o, bool *fresh);
/* The home tracker's own: one more beat, and a lease until then; false if it is not online. */
bool presence_beat(struct presence_map *p, struct dot dot, uint64_t until_ms);
/* The connection is gone, the lease shortened to the grace. */
void presence_detach(struct presence_map *p, struct dot dot, uint64_t until_ms);
/* Offline at once. What its end was worth is remembered for a while, so that news that were under way do not bring it
 * back. (epoch, beat) older than what is known: nothing happens. False if it was not online. */
bool presence_end(struct presence_map *p, struct dot dot, uint64_t epoch, uint64_t beat, uint64_t now_ms);
/* An epoch for a (re)connect at hybrid time `hlc` that is newer than what is known of that session. */
uint64_t presence_next_epoch(const struct presence_map *p, struct dot dot, uint64_t hlc);
const struct online *presence_by_dot(const struct presence_map *p, struct dot dot);
bool presence_user_online(const struct presence_map *p, const struct id16 *uid);
/* The newest session of that user on that device; NULL if there is none. */
const struct online *presence_endpoint(const struct presence_map *p, const struct id16 *uid, const struct id32 *device);
/* fn for each online session of the user. It must not change the presence. */
typedef void presence_fn(void *arg, const struct online *o);
void presence_each_of(const struct presence_map *p, const struct id16 *uid, presence_fn *fn, void *arg);
void presence_each(const struct presence_map *p, presence_fn *fn, void *arg);
size_t presence_count(const struct presence_map *p);
/* Another number whenever somebody has come online, gone, or is at another address; announces do not count. */
uint64_t presence_version(const struct presence_map *p);

/* Drops what has expired, calling ended() for each session (after it is gone). Returns when the next one may expire,
 * ENV_NEVER if none. At most once a second does it look through all. */
uint64_t presence_expire(struct presence_map *p, uint64_t now_ms, presence_fn *ended, void *arg);

/* A leecher announces itself, or says again that it is there. Older than what is known: SHOAL_ECONFLICT. */
enum shoal_err presence_announce(struct presence_map *p, const struct leecher *l);
/* It has stopped; remembered for a while as in presence_end(). SHOAL_ECONFLICT: unknown, or older than known. */
enum shoal_err presence_announce_stop(struct presence_map *p, const struct leecher *l, uint64_t now_ms);
typedef void leecher_fn(void *arg, const struct leecher *l);
void presence_each_leecher(const struct presence_map *p, const struct id16 *gid, const struct id16 *fid, leecher_fn *fn,
                           void *arg);
void presence_each_announce(const struct presence_map *p, leecher_fn *fn, void *arg); /* of all files */
size_t presence_leechers(const struct presence_map *p, const struct id16 *gid, const struct id16 *fid);
#endif
