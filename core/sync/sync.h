/* core/sync/sync.h - how the trackers of a cluster agree.
 *
 * Both sides dial: my link to you carries my ops to you, yours to me your ops. Each link is a state machine that never
 * holds anybody up: dial (5 s), HELLO, then whatever the other side's version vector lacks, in the order in which it
 * came here. What comes in goes through core/sync/commit.h like any change and is acknowledged when it is durable.
 * A tracker that lags behind the kept log gets a snapshot. Presence (who is online, who leeches) is relayed; the piece
 * hashes of files that came from others are fetched by content id, verified, and marked by registry_set_held().
 * docs/sync.md says why. What came in is told by commit_hooks.applied.
 *
 * Loop thread only; everything is behind struct env: events come in by sync_on_event(), the time by sync_tick(). */
#ifndef SHOAL_SYNC_SYNC_H
#define SHOAL_SYNC_SYNC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/env.h"
#include "core/sync/commit.h"
#include "core/wire/stamp.h"

struct registry;
struct sync;

#define SYNC_PRESENCE_EVERY_MS 5000
#define SYNC_LEASES_EVERY_MS 2500
#define SYNC_ANNOUNCE_LEASE_MS 60000

/* One online session, as its home tracker knows it. Whoever keeps the table takes an entry if (epoch, beat) is larger
 * than what it has for that dot, and counts left_ms down from its arrival; so a lease never grows by being relayed. */
struct sync_session {
	struct dot dot;       /* the session row's */
	struct id16 uid;
	struct id32 device;
	uint16_t home;        /* the tracker it is connected to */
	uint64_t epoch;       /* hlc of the (re)connect: the largest is the newest */
	uint64_t beat;        /* grows with what the home tracker tells; sync_send_session() makes its own */
	uint32_t left_ms;     /* 0: gone */
	struct slice address; /* where peers reach it, HOST:PORT; borrowed */
};

/* One leecher of one file. left_ms 0: stopped. */
struct sync_announce {
	struct id16 gid, fid, uid;
	struct id32 device;
	uint16_t home;
	uint64_t epoch, beat;
	uint32_t pieces;      /* how many it has verified */
	uint32_t left_ms;
	struct slice address;
};

/* `uid` on the device `peer` is asked to dial who has `identity`, at `address`, for a file. */
struct sync_dial_ask {
	struct id16 fid, uid;
	struct id32 peer, identity;
	struct slice address;
};

struct sync_config {
	struct env *env;
	struct registry *registry;
	struct commit *commit;
	uint16_t self;
	struct id32 cluster;         /* our own identity: a peer's certificate must show the same */
	const char *version;         /* told to the peers; for trackers() */
	size_t snapshot_frame;       /* bytes of rows in one frame; 0: 128 KiB (tests: less) */
	size_t merge_bytes;          /* of a snapshot's rows merged at once; 0: 128 KiB */
	size_t log_bytes;            /* the log may grow to that over a tracker that is down; 0: 256 MiB */
	bool joining;                /* the database was set aside: stay JOINING until one exchange is complete */
	const struct tracker_line *trackers; /* copied; our own line is skipped */
	size_t n_trackers;
	void *owner;                 /* for the callbacks, each of which may be NULL */
	void (*on_session)(void *owner, const struct sync_session *s);
	void (*on_announce)(void *owner, const struct sync_announce *a);
	void (*on_dial)(void *owner, const struct sync_dial_ask *d);
	/* Every 2.5 s and when a link comes up: call sync_renew_session() for all whose home we are, with the time that is
	 * left, and sync_send_session() where it says so. */
	void (*leases)(void *owner);
	/* Every 5 s and when a link comes up: call sync_send_announce() for all that are known, own and relayed, with the
	 * time that is left. */
	void (*refresh)(void *owner);
	void (*on_acked)(void *owner);   /* some tracker has more than before: ask sync_count_acked() again */
	void (*on_content)(void *owner, const struct id32 *content); /* arrived, verified and marked as held */
};

/* NULL: no memory. It does nothing before the first sync_tick(). */
struct sync *sync_new(const struct sync_config *config);
void sync_free(struct sync *s); /* closes its connections */

/* True: the event was for a connection of sync, a content op with its cookie, or an ACCEPTED with ALPN_SYNC. COMMITTED
 * events go to commit_on_event(), first. Content cookies with this top byte are sync's; nobody else uses it. */
#define SYNC_COOKIE_TAG UINT64_C(0x53)
bool sync_on_event(struct sync *s, const struct env_event *ev);
/* What is due; returns the next deadline. To be called at the end of every step, whatever the event was. */
uint64_t sync_tick(struct sync *s, uint64_t now_ms);

/* The list was read again (SIGHUP): links to lines that are gone or changed are closed, new ones are dialled. */
void sync_set_peers(struct sync *s, const struct tracker_line *trackers, size_t n);
void sync_now(struct sync *s); /* the console's `sync`: dial at once, exchange vectors now */

/* To all links; a session only if that is news, and only by its home: others relay it by themselves. Gathered, and sent
 * by the next sync_tick(): the tracker's step ends in one. */
void sync_send_session(struct sync *s, const struct sync_session *session);
/* True: a session whose home we are is as it was (all but the address is looked at) and need not be told. False:
 * sync_send_session() it. */
bool sync_renew_session(struct sync *s, const struct sync_session *session);
void sync_send_announce(struct sync *s, const struct sync_announce *announce);
/* To that tracker alone, at once. Lost if there is no link to it, or a crowded one: who asks will ask again. */
void sync_send_dial(struct sync *s, uint16_t home, const struct sync_dial_ask *ask);

/* True: changes are refused with SHOAL_EBUSY, reads are answered (docs/sync.md, "Joining"). */
bool sync_joining(const struct sync *s);
/* A snapshot is being merged: what is changed meanwhile becomes durable, and is answered, with the end of it. */
bool sync_merging(const struct sync *s);
/* SHOAL_OK, or SHOAL_EBUSY and a sentence: still joining, or this clock is over 60 s off the majority of the peers. */
enum shoal_err sync_check_writable(const struct sync *s, struct error *e);

/* How many other trackers have acknowledged all n of these. sync_peer_count(): how many there are at all. */
size_t sync_count_acked(const struct sync *s, const struct stamp *stamps, size_t n);
size_t sync_peer_count(const struct sync *s);
/* The same, and who: the first `max` of them go into ids, in no order. */
size_t sync_list_acked(const struct sync *s, const struct stamp *stamps, size_t n, uint16_t *ids, size_t max);

/* The rows of both, when they were compared last: only where both know the same operations. */
enum sync_digest_state { SYNC_DIGEST_UNKNOWN, SYNC_DIGEST_EQUAL, SYNC_DIGEST_DIFFERS };

/* For trackers() and the console. */
struct sync_status {
	uint16_t id;
	struct address addr;
	/* "connected", "connecting", "lost", "refused", "clock" (over 5 s off), and as it says of itself: "joining",
	 * "read-only" */
	const char *state;
	uint64_t behind;         /* ops that it has not acknowledged yet */
	uint64_t contact_ms;     /* since we last heard of it; UINT64_MAX: never */
	bool clock_known;
	int64_t clock_offset_ms; /* its wall clock minus ours */
	enum sync_digest_state digests;
	char version[32];
	char reason[160];        /* why it is not connected */
};
size_t sync_status(const struct sync *s, struct sync_status *out, size_t max); /* how many there are */

/* What happened so far: for the console and for tests. */
struct sync_counters {
	uint64_t ops_sent, ops_received, snapshots_sent, snapshots_broken, snapshots_merged, portions_merged, merges_undone,
	        rows_sent, gaps, refused, digests_equal, digests_differ, log_cuts, contents_fetched, lost, claims_looked_at;
	uint64_t leases_told, leases_heard; /* rows */
	uint64_t leases_renewed;            /* by sums */
	uint64_t leases_asked;              /* that all of a home be told */
};
const struct sync_counters *sync_counters(const struct sync *s);
#endif
