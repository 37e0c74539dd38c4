/* core/swarm/swarm.h - the leecher's side of one file: which piece is asked of whom, and when.
 *
 * Pure logic (docs/swarm.md, "The leecher"): no clock, no socket, no thread. The caller tells what happened
 * (swarm_on_x), then calls swarm_run() and carries out the actions it returns. All of it on one thread, the engine's.
 * Time is monotonic, in microseconds, handed in, and never goes back.
 *
 * A piece is always asked whole of one peer, so a bad one is exactly that peer's fault; the same piece may be asked of
 * a second peer that is idle (take-over). What a REQUEST leads to: on_piece_begin, on_piece_bytes..., on_piece_done;
 * or on_reject; or nothing, if it was cancelled. A piece that crosses with its CANCEL is no offence.
 *
 * Blame: a first bad piece is a strike, and that piece is fetched elsewhere if anybody else has it; a second drops the
 * identity for an hour. Silent for 3 s while others deliver: snubbed, and a strike of the other kind; three of those:
 * five minutes. Unasked piece, wrong length, eight false HAVEs: an hour. */
#ifndef SHOAL_SWARM_SWARM_H
#define SHOAL_SWARM_SWARM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/id.h"
#include "core/piece/bitfield.h"

enum swarm_order { SWARM_RAREST, SWARM_SEQUENTIAL, SWARM_RANDOM };

struct swarm_config {
	uint64_t size;         /* of the file, > 0: an empty file needs no swarm */
	uint32_t piece_size;
	enum swarm_order order;
	uint32_t inflight_max; /* pieces asked for at a time over all peers; 0: 32 (16 MiB of buffers) */
	const struct bitfield *have; /* verified already (storage_bitfield()); copied; NULL: none */
	uint64_t (*random)(void *ctx);
	void *random_ctx;
};

struct swarm;
struct swarm_peer; /* one connected peer of this file */

enum swarm_action_type {
	SWARM_REQUEST, /* send REQUEST for the whole piece */
	SWARM_CANCEL,  /* send CANCEL; bytes of it that still come are to be thrown away */
	SWARM_NONE,    /* the peer was removed while the actions were gone through: skip it */
	SWARM_DROP,    /* close this file's channel (reason), report if it is a bad one, then swarm_peer_remove() */
};

enum swarm_reason {
	SWARM_FINE,
	SWARM_BAD_PIECES, /* twice data that does not match its hash: dropped for an hour, to be reported */
	SWARM_SILENT,     /* snubbed three times: five minutes */
	SWARM_LIAR,       /* announced eight pieces that it then refused: an hour */
	SWARM_VIOLATION,  /* a piece nobody asked for, wrong length, ...: an hour */
};
const char *swarm_reason_text(enum swarm_reason reason); /* "sent two damaged pieces", ... */

struct swarm_action {
	enum swarm_action_type type;
	struct swarm_peer *peer;
	void *owner;    /* as given to swarm_peer_add() */
	uint32_t piece; /* REQUEST, CANCEL */
	enum swarm_reason reason; /* DROP */
};

/* NULL when there is no memory. The caller owns it. */
struct swarm *swarm_new(const struct swarm_config *config);
/* Frees the peers that are still in it, too. NULL is fine. */
void swarm_free(struct swarm *sw);

/* Whether one may connect to that identity, or is it off this file for now? *until_us (may be NULL): till when. */
enum swarm_reason swarm_banned(const struct swarm *sw, const struct id32 *identity, uint64_t now_us, uint64_t *until_us);
/* A peer whose channel is open. It has nothing until its BITFIELD or HAVEs come. NULL: no memory. */
struct swarm_peer *swarm_peer_add(struct swarm *sw, const struct id32 *identity, void *owner, uint64_t now_us);
/* Gone, for whatever reason: its requests are free again, its strikes are remembered by its identity. Frees it. */
void swarm_peer_remove(struct swarm *sw, struct swarm_peer *peer, uint64_t now_us);
bool swarm_peer_has(const struct swarm_peer *peer, uint32_t piece); /* no HAVE needs to be sent to it */
bool swarm_peer_complete(const struct swarm_peer *peer);
/* How many of its pieces we have not verified yet: 0 = not interested in it. */
uint32_t swarm_peer_interest(const struct swarm *sw, const struct swarm_peer *peer);

/* What a message brought. SHOAL_EPROTO: it makes no sense; a DROP for that peer comes with the next run. */
enum shoal_err swarm_on_bitfield(struct swarm *sw, struct swarm_peer *peer, uint32_t first, const uint8_t *bits,
                                 size_t len);
enum shoal_err swarm_on_have(struct swarm *sw, struct swarm_peer *peer, uint32_t piece);

enum swarm_take {
	SWARM_TAKE,    /* asked for: keep the bytes */
	SWARM_IGNORE,  /* was asked for and cancelled, or we have it by now: throw the bytes away (or let it finish) */
	SWARM_UNASKED, /* an offence: a DROP comes with the next run */
};
/* The first PIECE frame of a piece; waiting: its field (0 from a peer that does not send it). */
enum swarm_take swarm_on_piece_begin(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, uint16_t waiting,
                                     uint64_t now_us);
/* n more bytes of it, the first frame's included; once per frame is fine. */
void swarm_on_piece_bytes(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, uint32_t n, uint64_t now_us);

enum swarm_result {
	SWARM_OK,   /* verified and written: we have it now */
	SWARM_BAD,  /* the hash is wrong */
	SWARM_LOST, /* ended short: the piece is free again, and is better asked for elsewhere */
	SWARM_UNKEPT, /* we could not write it: the piece is free again, and its giver did well */
};
/* A transfer has ended. Also good for one that was told to be ignored: SWARM_OK counts whoever it came from. */
void swarm_on_piece_done(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, enum swarm_result result,
                         uint64_t now_us);

enum swarm_reject { SWARM_REJECT_GONE, SWARM_REJECT_DENIED, SWARM_REJECT_BUSY, SWARM_REJECT_IO };
/* The piece is free again; that peer is asked nothing for 1 s, then 2, 4 .. 30 s; GONE: its bit is cleared. */
void swarm_on_reject(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, enum swarm_reject code,
                     uint64_t now_us);
/* Wrong length, wrong offset, data for a file it does not serve, ...: a DROP comes with the next run. */
void swarm_on_violation(struct swarm *sw, struct swarm_peer *peer);
/* We do not read from it just now (rate limit, disk full): it is not its fault that nothing comes. */
void swarm_on_pause(struct swarm *sw, struct swarm_peer *peer, bool paused, uint64_t now_us);
/* The round trip as the kernel sees it (TCP_INFO's min_rtt), if the caller knows it; without it the least time from
 * REQUEST to first byte is taken. */
void swarm_on_rtt(struct swarm *sw, struct swarm_peer *peer, uint32_t rtt_us);
/* A piece we had is damaged on our own disk (storage_recheck()): fetch it again. */
void swarm_on_lost(struct swarm *sw, uint32_t piece);

/* No new requests (job paused, disk full, offline) until switched off again; what is under way goes on. */
void swarm_hold(struct swarm *sw, bool hold);
/* How many bytes may be asked for from now on (a rate limit: the caller puts in what time brings); what was asked for and
 * refused comes back. UINT64_MAX, as at the start: no limit. */
void swarm_set_budget(struct swarm *sw, uint64_t bytes);
uint64_t swarm_budget(const struct swarm *sw);

/* Decides. *n actions, to be carried out in order, valid until the next call on this swarm (but swarm_peer_remove()
 * may be called while going through them: a peer gets no action after its DROP). Call it after each batch of events
 * and at the time returned through *next_us (UINT64_MAX: only after events). */
const struct swarm_action *swarm_run(struct swarm *sw, uint64_t now_us, size_t *n, uint64_t *next_us);

bool swarm_done(const struct swarm *sw);
const struct bitfield *swarm_have(const struct swarm *sw);

/* For job:peers(). */
struct swarm_peer_stats {
	uint64_t rate;         /* bytes/s, over the last seconds */
	uint64_t bytes;        /* received of it in all */
	uint32_t pieces, bad_pieces;
	uint32_t strikes;      /* bad pieces and silences on its account */
	uint32_t owed;         /* requests it has not answered in full */
	uint32_t depth;        /* how many it may owe */
	uint32_t has;          /* pieces */
	uint16_t waiting;      /* its last word on how many requests of others wait */
	bool complete, snubbed;
	const char *state;     /* "idle", "asked", "receiving", "slow", "snubbed", "refused", "paused", "dropped" */
};
void swarm_peer_stats(const struct swarm *sw, const struct swarm_peer *peer, uint64_t now_us,
                      struct swarm_peer_stats *out);

/* For job:explain(), progress and counters. */
enum swarm_stall {
	SWARM_MOVING,      /* something came within the last 3 s, or nothing is lacking, or it is held */
	SWARM_NO_PEERS,    /* nobody is connected */
	SWARM_NO_HOLDER,   /* nobody connected has any piece we lack */
	SWARM_ALL_SNUBBED, /* whoever has one is silent */
	SWARM_ALL_REFUSE,  /* whoever has one refuses for now */
	SWARM_WAITING,     /* asked, nothing yet */
};
struct swarm_stats {
	uint32_t npieces, have, asked; /* asked: pieces with a request out */
	uint32_t peers, seeders, snubbed, refused, slow;
	uint32_t unavailable;     /* pieces we lack and nobody connected has: walks the file, for people */
	uint64_t rate;            /* bytes/s over all peers */
	uint64_t bytes, wasted;   /* received; of it what was thrown away (bad, double, cancelled) */
	uint32_t takeovers, rejects;
	enum swarm_stall stall;
};
void swarm_stats(const struct swarm *sw, uint64_t now_us, struct swarm_stats *out);
const char *swarm_stall_text(enum swarm_stall stall);
#endif
