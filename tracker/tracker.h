/* tracker/tracker.h - a tracker behind struct env: accounts, groups, files, presence, sync.
 *
 * tracker_step() is fed every event of the env and returns the next deadline; nothing here reads a clock, throws dice
 * or touches a socket or a file, and there are no globals, so that N trackers run in one process in virtual time. The real
 * one is put together in server.c. Loop thread only. */
#ifndef SHOAL_TRACKER_TRACKER_H
#define SHOAL_TRACKER_TRACKER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "core/base/address.h"
#include "core/base/buf.h"
#include "core/base/env.h"
#include "core/base/id.h"

struct registry;
struct tracker;

/* What is pointed to is borrowed for the tracker's life, except `trackers`, which is copied. */
struct tracker_config {
	struct env *env;
	struct registry *registry;  /* as loaded from the store, requests too */
	uint16_t self;              /* this tracker's id */
	const struct tracker_line *trackers;
	size_t n_trackers;
	struct id32 cluster;        /* the identity that all trackers of the cluster show */
	uint8_t token_key[32];
	EVP_PKEY *ticket_key;
	const char *version;
	bool joining;               /* the database was set aside: no changes until a peer has answered */
	bool plaintext;             /* peers may talk in the clear */
	unsigned scrypt_ln;         /* 0: 15 */
	unsigned ticket_life_s;     /* 0: 300 */
	unsigned sessions;          /* of a user at once; 0: 8 */
	unsigned min_sync;          /* a change's reply waits for that many other trackers, at most a second */
	size_t snapshot_frame, merge_bytes, log_bytes; /* sync.h; 0: as there (tests: less) */
	unsigned login_rate, create_rate; /* tries a minute and address; 0: no limit */
	/* A connection has logged in: it no longer counts against its address. May be NULL. */
	void (*established)(void *owner, conn_id conn);
	void *owner;
};

/* NULL: no memory. */
struct tracker *tracker_new(const struct tracker_config *config);
void tracker_free(struct tracker *t);
/* At start, before the first step: from store_sink.floor. SHOAL_EBUSY: no memory. */
enum shoal_err tracker_load_floor(struct tracker *t, uint64_t log, uint64_t seq);

/* Takes one event; returns the deadline of the next ENV_TICK (ENV_NEVER: none). */
uint64_t tracker_step(struct tracker *t, const struct env_event *ev);

/* An exchange with another tracker is complete, and what it brought is on disk. */
bool tracker_rebuilt(const struct tracker *t);

/* The tracker file was read again. */
void tracker_set_peers(struct tracker *t, const struct tracker_line *trackers, size_t n);
/* Going down in good order: tells every client (EVNT leaving) and the other trackers. No step afterwards. */
void tracker_leave(struct tracker *t);
/* One line of the console; the answer is appended to *out. False: the line asks to quit. */
bool tracker_console(struct tracker *t, const char *line, struct buf *out);
/* What --status shows: the trackers, whether changes are taken, the rows, the log. */
void tracker_status(struct tracker *t, struct buf *out);
#endif
