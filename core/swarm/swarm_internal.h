/* core/swarm/swarm_internal.h - what the files of the swarm share; nobody else includes it.
 *
 *   swarm.c         peers, their messages
 *   swarm_record.c  strikes and bans, kept by identity
 *   swarm_request.c requests and their end
 *   swarm_pool.c    the pieces that nobody has been asked for, by number of copies
 *   swarm_pick.c    which of them, for this peer (rule 2)
 *   swarm_policy.c  how deep, take-over, snub, tick (rules 3, 5, 6, 7)
 *   swarm_stats.c   numbers for people */
#ifndef SHOAL_SWARM_SWARM_INTERNAL_H
#define SHOAL_SWARM_SWARM_INTERNAL_H
#include "core/swarm/swarm.h"

enum {
	INFLIGHT_MAX = 32,   /* requests per download, unless the caller says otherwise */
	DEPTH_MAX = 8,       /* requests owed by one peer */
	OWED_MAX = 16,       /* the same and those whose bytes are all here but not verified yet */
	SOURCES_MAX = 6,     /* requests for one piece, ever */
	SOURCES_GOOD = 2,    /* of them, sources that count */
	CANCELLED_KEPT = 32, /* cancelled requests whose data may still be on its way, per peer */
	POOL_BUCKETS = 64,   /* pieces with 63 copies and more are equally common */
	WINDOW = 64,         /* pieces after the verified front, while all are seeders */
	STRIKES_BAD = 2,
	STRIKES_SILENT = 3,
	LIES_MAX = 8,
	RECORDS_MAX = 1024,  /* identities with strikes that are remembered */
};

#define MS UINT64_C(1000) /* in microseconds */
#define TICK_US (100 * MS)
#define TAKEOVER_US (100 * MS)
#define SOURCE_GOOD_US (3000 * MS)  /* a source that has not delivered by then does not count */
#define SNUB_US (3000 * MS)
#define PROBE_US (6000 * MS)
#define SNUBBED_STRIKE_US (30000 * MS) /* who stays silent that long gets another strike */
#define FORGIVE_US (60000 * MS)        /* a good piece so long after the last silence clears them */
#define FAST_PIECE_US (4 * MS) /* 128 MiB/s: where pieces are that quick and nobody waits, the window is all 8 */
#define BACKOFF_US (1000 * MS)
#define BACKOFF_MAX_US (30000 * MS)
#define BAN_LONG_US (UINT64_C(3600) * 1000 * MS)
#define BAN_SHORT_US (UINT64_C(300) * 1000 * MS)

/* One piece asked of one peer. */
struct request {
	struct swarm_peer *peer; /* NULL: the slot is free */
	uint32_t piece;
	uint32_t got; /* bytes */
	uint64_t asked_us, begun_us;
	bool begun, full; /* full: all bytes are here; the hash is being checked */
};

/* A piece that somebody owes us, and all who do. */
struct flight {
	uint32_t piece;
	unsigned n;
	struct request *source[SOURCES_MAX]; /* oldest first */
};

struct rate {
	uint64_t since_us, bytes, per_s;
};

struct swarm_peer {
	struct id32 identity;
	void *owner;
	struct bitfield *has;
	bool complete;
	uint32_t number;   /* among the complete peers */
	uint32_t wanted;   /* pieces of the pool that it has */
	uint32_t bad_piece; /* it sent this one damaged; BITFIELD_NONE */
	struct request owed[OWED_MAX];
	uint32_t cancelled[CANCELLED_KEPT]; /* a ring; BITFIELD_NONE: unused */
	unsigned cancelled_at;
	/* how quick */
	bool known;         /* a piece has come: the times below mean something */
	uint64_t piece_us;  /* first to last byte */
	uint64_t answer_us; /* REQUEST to last byte */
	uint64_t rtt_us;    /* least seen; 0: unknown */
	uint64_t last_byte_us;
	uint16_t waiting;
	struct rate rate;
	/* how good */
	bool paused, snubbed;
	enum swarm_reason drop; /* not SWARM_FINE: to be dropped */
	bool dropped;           /* and the caller has been told */
	uint64_t strike_us;     /* last silence that was counted */
	uint64_t probe_us;      /* snubbed: when it may be asked one piece again */
	uint64_t backoff_us, refused_until_us;
	unsigned silences, bad, lies;
	uint64_t bytes;
	uint32_t pieces, bad_total;
};

/* What is remembered of an identity with strikes. */
struct record {
	struct id32 identity;
	unsigned silences, bad;
	uint64_t banned_until_us;
	enum swarm_reason reason;
};

/* Pieces that we lack and have asked of nobody (or only of the snubbed), sorted by copies; in random order among equals. */
struct pool {
	uint32_t n;
	uint32_t *order;   /* n pieces, bucket after bucket */
	uint32_t *at;      /* piece -> index in order; BITFIELD_NONE: not in the pool */
	uint16_t *copies;  /* piece -> incomplete peers, not snubbed, that have it; of every piece */
	uint32_t start[POOL_BUCKETS + 1]; /* bucket b is order[start[b]] .. order[start[b + 1] - 1] */
	struct bitfield *set; /* the same as a set */
};

struct swarm {
	struct swarm_config config; /* .have is not kept */
	uint32_t npieces;
	uint32_t front; /* the first piece that we lack */
	struct bitfield *have;
	struct pool pool;
	struct swarm_peer **peers;
	uint32_t npeers, peers_cap;
	uint32_t nseeders;
	struct flight *flights; /* room for every request that may be out */
	uint32_t nflights;
	struct record *records;
	uint32_t nrecords, records_cap, records_next; /* next: to be overwritten when the list is full */
	struct swarm_action *actions;
	size_t nactions, actions_cap;
	size_t nreturned; /* of the actions: handed to the caller by the last run */
	bool held;
	uint64_t budget; /* bytes that may be asked for; UINT64_MAX: as many as one likes */
	uint64_t last_byte_us;
	struct rate rate;
	uint64_t bytes, wasted;
	uint32_t takeovers, rejects;
};

/* -- swarm.c */
uint32_t swarm_piece_len(const struct swarm *sw, uint32_t piece);
uint64_t swarm_random(const struct swarm *sw, uint64_t below); /* below > 0 */

/* -- swarm_request.c */
struct flight *flight_find(struct swarm *sw, uint32_t piece);
struct request *request_find(struct swarm_peer *peer, uint32_t piece); /* NULL: it does not owe that piece */
/* Whether that request keeps its piece out of the pool. */
bool request_live(const struct request *rq);
/* The budget holds that much; it is taken out. */
bool budget_take(struct swarm *sw, uint32_t bytes);
void budget_give_back(struct swarm *sw, uint32_t bytes);
unsigned peer_owes(const struct swarm_peer *peer); /* requests whose bytes are not all here */
/* Appends an action; false: no memory. */
bool swarm_act(struct swarm *sw, enum swarm_action_type type, struct swarm_peer *peer, uint32_t piece);
/* Asks; false when there is no memory or no slot. */
bool request_ask(struct swarm *sw, struct swarm_peer *peer, uint32_t piece, uint64_t now_us);
/* Takes it back with a CANCEL. */
void request_cancel(struct swarm *sw, struct request *rq);
/* CANCEL to every source of the piece but `except`; unless all: only those that have not begun (1.4). */
void request_cancel_others(struct swarm *sw, uint32_t piece, const struct request *except, bool all);
bool request_was_cancelled(const struct swarm_peer *peer, uint32_t piece);
/* Forgets it; the piece goes back to the pool if nobody else owes it. */
void request_end(struct swarm *sw, struct request *rq);
/* Puts the piece into the pool or takes it out, as its state says. */
void piece_refresh(struct swarm *sw, uint32_t piece);

/* -- swarm.c, its peers */
void peer_snub(struct swarm *sw, struct swarm_peer *peer, bool snubbed);

/* -- swarm_record.c */
struct record *record_find(const struct swarm *sw, const struct id32 *identity); /* NULL: nothing against it */
/* Writes the strikes into the record of its identity, with a ban (0: none). */
void record_keep(struct swarm *sw, const struct swarm_peer *peer, uint64_t banned_until_us);

/* -- swarm_pool.c */
bool pool_init(struct pool *pool, uint32_t npieces); /* false: no memory */
void pool_fini(struct pool *pool);
bool pool_has(const struct pool *pool, uint32_t piece);
void pool_add(struct pool *pool, uint32_t piece);    /* must not be in it */
void pool_remove(struct pool *pool, uint32_t piece); /* must be in it */
void pool_set_copies(struct pool *pool, uint32_t piece, uint16_t copies);
/* Every piece of the field has one copy more, or one less. */
void pool_count(struct pool *pool, const struct bitfield *pieces, bool more);

/* -- swarm_pick.c */
/* The piece to ask that peer for, or BITFIELD_NONE. */
uint32_t swarm_pick(const struct swarm *sw, const struct swarm_peer *peer);
/* It sent this piece damaged, and somebody else has it. */
bool swarm_shuns(const struct swarm *sw, const struct swarm_peer *peer, uint32_t piece);

/* -- swarm_policy.c */
unsigned swarm_depth(const struct swarm *sw, const struct swarm_peer *peer, uint64_t now_us);
uint32_t swarm_inflight(const struct swarm *sw);
/* Rule 5: the piece that this idle peer should double, or BITFIELD_NONE. */
uint32_t swarm_takeover(struct swarm *sw, const struct swarm_peer *peer, uint64_t now_us);

/* -- swarm_stats.c */
void rate_add(struct rate *r, uint64_t bytes, uint64_t now_us);
uint64_t rate_now(const struct rate *r, uint64_t now_us);
#endif
