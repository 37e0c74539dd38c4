/* core/sync/sync_state.h - inside core/sync: what its files share. Nobody else includes it.
 *
 *   sync.c           joining, what is due when, whose event it is
 *   peers.c          the other trackers of the list, and how they are
 *   link.c           one connection: dialled or accepted, PING, frames in
 *   greet.c          HELLO and REFUSED
 *   ship.c           outgoing: ops in the order of their arrival here, from the oplog or the store
 *   log_cut.c        what may go from the stored log
 *   receive.c        incoming: ops, ACKs
 *   snapshot.c       all rows, or those of some tables, out
 *   staging.c        the same in: put aside, then merged
 *   yield.c          after an hour alone
 *   presence.c       LEASE, its sums, PEER and DIAL
 *   lease_book.c     what is known of sessions
 *   fetch.c          piece hashes by content id, both directions
 *   digest.c         do equal vectors mean equal rows?
 *
 * A link that went wrong is doomed (sync_link_doom), its struct lives until the end of the step (sweep in sync.c), so
 * that nobody up the stack holds a dangling pointer. */
#ifndef SHOAL_SYNC_STATE_H
#define SHOAL_SYNC_STATE_H
#include <sys/queue.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/table.h"
#include "core/registry/registry.h"
#include "core/sync/lease_book.h"
#include "core/sync/oplog.h"
#include "core/sync/sync.h"
#include "core/wire/sync_msg.h"

#ifndef SYNC_LOG_KEPT_S
#define SYNC_LOG_KEPT_S 4000 /* over an hour: request ids are found again in the log at a restart; tests/chaos has less */
#endif

enum sync_limits {
	SYNC_BACKOFF_MIN_MS = 200,
	SYNC_BACKOFF_MAX_MS = 2000,
	SYNC_COMPLAINTS = 16,       /* addresses of which we remember what we said about them */
	SYNC_COMPLAIN_MS = 60000,   /* the same about the same address is said again after that */
	SYNC_GREETING_MS = 5000,    /* from connected to HELLO */
	SYNC_PING_MS = 1000,        /* +-25 % */
	SYNC_LOST_MS = 5000,        /* of silence */
	SYNC_ALIVE_MS = 1500,       /* heard of within: alive, for it says something every 1.25 s */
	SYNC_DOUBLE_MS = 5000,      /* that long after a double was refused it is shown: it knocks every 2.5 s */
	SYNC_JOIN_MS = 5000,
	SYNC_FOREIGN_WAIT_MS = 1000,
	SYNC_ACK_EVERY_MS = 50,
	SYNC_BATCH_OPS = 256,
	SYNC_UNACKED_MAX = 4 << 20, /* bytes of ops under way on one link */
	SYNC_QUEUED_MAX = 1 << 19,  /* bytes that the kernel has not taken: then snapshots and presence wait */
	SYNC_READ_BYTES = 1 << 19,  /* one read of the stored log */
	SYNC_SNAP_FRAME = 1 << 17,
	SYNC_SNAP_TICK_MS = 20,
	SYNC_SNAP_TICK_FRAMES = 5,  /* with the above: 32 MiB/s */
	SYNC_SNAP_AHEAD = 1 << 15,  /* rows of a snapshot that are sent before the peer has put them aside */
	SYNC_SNAP_STUCK_MS = 60000, /* without a word that more was put aside */
	SYNC_MERGE_BYTES = 1 << 17, /* of rows merged at once: some milliseconds */
	SYNC_LEASE_ASK_MS = 2000,   /* for all leases of one home, at most once in that time */
	SYNC_LEASE_ANSWER_MS = 30000, /* to the end of the answer; then it is asked again */
	SYNC_LEASE_TICK_MS = 20,    /* between the frames of an answer */
	SYNC_DIGEST_MS = 60000,
	SYNC_CUT_MS = SYNC_LOG_KEPT_S < 240 ? SYNC_LOG_KEPT_S * 250 : 60000,
	SYNC_PLAN_MS = 600000,      /* a look for what is too much or too old of the log reads it */
	SYNC_LOG_AGE_MS = 7 * 24 * 3600 * 1000,
	SYNC_LOG_BYTES = 256 << 20,
	SYNC_KEEP_LOG_MS = SYNC_LOG_KEPT_S * 1000,
	SYNC_ALONE_MS = 3600000,
	SYNC_FETCHES = 8,           /* contents asked for at once */
	SYNC_FETCH_MS = 5000,       /* for one chunk */
	SYNC_SERVING_MAX = 64,      /* chunks that one link may have us read at once */
	SYNC_CLOCK_WARN_MS = 5000,
	SYNC_CLOCK_MAX_MS = 60000,
};

enum link_state { LINK_DIALLING, LINK_GREETING, LINK_UP };
enum ship_state {
	SHIP_IDLE,     /* no HELLO yet */
	SHIP_STORE,    /* behind: the next read of the stored log is to be asked for */
	SHIP_READING,  /* it was asked for */
	SHIP_TAIL,     /* keeps up: from the oplog */
	SHIP_TURN,     /* needs a snapshot, another link is being sent one */
	SHIP_CUT,      /* the cut is made, parts of it are not durable yet */
	SHIP_SNAPSHOT, /* on its way */
	SHIP_MERGING,  /* it was sent; ops wait until the peer has merged it */
};

struct sent_op {
	struct dot dot;
	size_t bytes;
	STAILQ_ENTRY(sent_op) next;
};

/* The outgoing side of a dialled link. */
struct ship {
	enum ship_state state;
	struct vvec sent;        /* what the peer has, or will have when it reads what is under way */
	uint64_t store_pos;      /* read so far */
	uint64_t tail_next;      /* index in the oplog */
	uint64_t tail_seen;      /* up to there it was searched for own records */
	uint64_t tail_due;       /* what is before that has to go */
	uint64_t tail_at_read;   /* the oplog's end when the last read was asked for */
	STAILQ_HEAD(, sent_op) unacked;
	size_t unacked_bytes;
	struct registry_cut *cut;
	unsigned cut_tables;     /* which tables it is about, as in SNAP_BEGIN */
	uint64_t cut_next, cut_acked; /* rows sent; and put aside there */
	uint32_t serial;
	struct sha256 cut_hash;
	uint64_t snap_at;        /* the next portion */
	uint64_t snap_heard_at;  /* the last word that more was put aside */
	struct vvec covered;     /* MERGING: what the snapshot's vector was */
};

struct stage;                    /* staging.c */

struct sync_link {
	struct sync *sync;
	struct sync_tracker *peer;       /* NULL: accepted, has not said HELLO */
	conn_id conn;
	char host[HOST_MAX];     /* accepted: the address it came from */
	bool dialled;
	bool doomed;
	enum link_state state;
	struct frame_reader reader;
	uint64_t since;          /* of the state */
	uint64_t heard_at, ping_at, digest_at;
	uint64_t log;            /* of the peer's run, from its HELLO */
	struct vvec told;        /* accepted: what we told to be durable here; dialled: what we were told */
	uint64_t ack_at;         /* accepted: an ACK is due then; ENV_NEVER: nothing to tell */
	uint64_t acked_at;       /* accepted: the last one */
	uint16_t batch_from;     /* accepted: the peer's id, also when the link is doomed already */
	struct ship ship;        /* dialled */
	struct stage *staging;   /* accepted: a snapshot that is not whole yet */
	unsigned serving;
	struct lease_home *telling; /* an answer to LEASE_WANT that is under way; NULL: none */
	uint64_t tell_below;     /* from that place on they are told already */
	uint64_t tell_at;        /* the next frame of it */
	LIST_ENTRY(sync_link) next;
	UT_hash_handle hh;       /* by conn */
};

/* greet.c */
void sync_greet(struct sync_link *l); /* sends our HELLO */
void sync_greet_on_hello(struct sync_link *l, struct cursor *c);
void sync_greet_on_refused(struct sync_link *l, struct cursor *c);
void sync_note_clock(struct sync_link *l, uint64_t wall_ms); /* theirs, as a HELLO, PING or PONG says */

/* complain.c */
struct complaint {
	char host[HOST_MAX];     /* a numeric address */
	char why[160];           /* empty: a free place */
	uint64_t at;             /* when it was said */
	unsigned more;           /* how often it was not said since then */
};

struct sync_tracker {
	uint16_t id;
	struct address addr;
	struct sync_link *out, *in;   /* what we dialled, what it dialled; NULL: none */
	uint64_t dial_at;
	uint32_t backoff_ms;
	struct vvec acked;       /* durable there, as far as it told */
	uint64_t heard_at;       /* 0: never */
	int64_t clock_offset_ms;
	uint8_t told_state;      /* enum sync_state_told, by its PONGs */
	enum sync_digest_state digests;
	bool clock_known, refused;
	uint64_t double_at;      /* when another one with its id was refused; 0: never */
	char version[32];
	char reason[160];
	LIST_ENTRY(sync_tracker) next;
};

/* A content op that was asked for. */
enum ask_kind { ASK_LOG, ASK_PLAN, ASK_CUT, ASK_SERVE, ASK_FETCH, ASK_STAGE };
struct ask {
	uint64_t cookie;
	enum ask_kind kind;
	conn_id conn;
	struct id32 content;
	uint32_t chunk;          /* ASK_STAGE: rows */
	uint64_t stage;
	UT_hash_handle hh;
};

enum fetch_state { FETCH_WAITING, FETCH_CHECKING, FETCH_ASKING, FETCH_STORING };
struct fetch {
	struct id32 content;
	struct id32 file_hash;
	uint64_t size;
	enum fetch_state state;
	uint32_t chunk;          /* asked for, or the next */
	uint64_t at;             /* WAITING: try then; ASKING: give up then */
	unsigned tries;          /* since something arrived */
	uint16_t asked;          /* the last peer that was asked */
	UT_hash_handle hh;
};

/* Of a list: LEASE, LEASE_SUM, PEER. */
struct sync_rows {
	struct buf bytes;
	uint16_t count;
};

struct sync {
	struct sync_config config;
	struct env *env;
	LIST_HEAD(, sync_tracker) peers;
	LIST_HEAD(, sync_link) links;
	struct sync_link *by_conn;
	uint64_t now;            /* of the event or tick under way */
	bool started;
	unsigned batch_ops;      /* received in the batch that is open in commit; 0: none is */
	struct sync_link *snapshot_to; /* one snapshot at a time */
	uint32_t last_serial;
	LIST_HEAD(, stage) stages;
	uint64_t last_stage;
	uint64_t contact_at;     /* when some other tracker's link was last seen to be up; at first: the start */
	/* JOINING */
	bool joining, join_must;
	uint64_t join_since;
	bool join_has_target;
	uint16_t join_from;      /* whose vector the target is */
	struct vvec join_target;
	/* content ops */
	struct ask *asks;
	uint64_t last_ask;
	struct fetch *fetches;
	unsigned fetching;
	uint64_t fetch_at;
	uint64_t fetch_all_at;   /* all files are looked at then: one was not noted, for want of memory; ENV_NEVER: none */
	/* presence to be sent at the end of the step */
	struct sync_rows lease_rows, peer_rows;
	bool sums_due;
	uint64_t refresh_at, leases_at;
	struct lease_book book;
	/* log cut: what was durable a while ago */
	uint64_t cut_at, plan_at;
	struct {
		uint64_t at;
		struct vvec vector;
	} kept[2];               /* [0] is older than SYNC_KEEP_LOG_MS once [1] is half of that */
	bool cutting;
	struct complaint complaints[SYNC_COMPLAINTS];
	struct buf scratch;
	struct sync_counters counters;
};

/* peers.c */
struct sync_tracker *sync_peer_by_id(struct sync *s, uint16_t id);
void sync_peer_free(struct sync_tracker *p);

/* sync.c */
bool sync_note_vector(struct sync *s, struct sync_tracker *p, const struct vvec *v); /* p has these; false: no memory */
void sync_check_joined(struct sync *s);
/* Joined once we have that; false: no memory. */
bool sync_join_target(struct sync *s, const struct sync_tracker *p, const struct vvec *vector);
uint32_t sync_jitter(struct sync *s, uint32_t ms); /* ms +-25 % */
bool sync_vector_from_wire(struct vvec *v, struct slice entries); /* raises v; false: no memory, or too many */
void sync_vector_to_wire(struct buf *b, const struct vvec *v);
/* Asks the store; false: no memory. `op` is taken in any case. */
bool sync_ask(struct sync *s, const struct ask *what, struct content_op *op);

/* link.c */
void sync_link_dial(struct sync *s, struct sync_tracker *p);
void sync_link_accept(struct sync *s, const struct env_event *ev);
void sync_link_on_connected(struct sync_link *l, const struct env_event *ev);
void sync_link_on_bytes(struct sync_link *l, struct slice in);
void sync_link_on_closed(struct sync_link *l, const char *why);
void sync_link_doom(struct sync_link *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The other side is not who it should be: said loudly, shown in trackers(). */
void sync_link_refuse(struct sync_link *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sync_link_free(struct sync_link *l);
uint64_t sync_link_tick(struct sync_link *l);
/* Sends what is in b (whole frames) and empties it; false: the link is doomed now. */
bool sync_link_send(struct sync_link *l, struct buf *b);
bool sync_link_crowded(const struct sync_link *l);
/* The link to talk to a peer on, presence and content: what we dialled, else what it dialled. NULL: none is up. */
struct sync_link *sync_peer_link(const struct sync_tracker *p);

/* complain.c */
void sync_complain(struct sync *s, enum log_level level, const char *host, const char *why);

/* ship.c */
void sync_ship_begin(struct sync_link *l, const struct vvec *peer_has);
void sync_ship_fini(struct sync_link *l);
void sync_ship_pump(struct sync_link *l);
void sync_ship_on_ack(struct sync_link *l, const struct vvec *changed);
void sync_ship_on_read(struct sync *s, struct sync_link *l, struct content_op *op, enum shoal_err rc);
uint64_t sync_ship_deadline(const struct sync_link *l);
bool sync_ship_needs_snapshot(const struct sync_link *l);

/* log_cut.c */
uint64_t sync_log_tick(struct sync *s);
void sync_log_on_plan(struct sync *s, const struct content_op *op, enum shoal_err rc);
void sync_log_on_cut(struct sync *s, enum shoal_err rc);

/* receive.c: SHOAL_OK or why the link must go */
enum shoal_err sync_receive_op(struct sync_link *l, struct slice record, struct error *e);
/* A vector as another tracker tells it, raises *out. SHOAL_EPROTO: it has operations of ours that there are not. */
enum shoal_err sync_receive_vector(const struct sync *s, struct slice entries, struct vvec *out, struct error *e);
void sync_receive_end(struct sync_link *l);     /* the ops of one read are a batch; no-op without one */
enum shoal_err sync_receive_ack(struct sync_link *l, struct slice vector, struct error *e);
void sync_receive_note_has(struct sync_tracker *p, const struct vvec *has); /* the peer has shown that it has these */
void sync_receive_durable(struct sync_link *l); /* more is durable: an ACK will be due */
void sync_receive_send_ack(struct sync_link *l);

/* snapshot.c */
void sync_snapshot_begin(struct sync_link *l, unsigned tables); /* wants to send one */
void sync_snapshot_pump(struct sync_link *l);
void sync_snapshot_merging(struct sync_link *l); /* the peer has told that it has more */
void sync_snapshot_stop(struct sync_link *l);
enum shoal_err sync_snapshot_on_ack(struct sync_link *l, struct slice body, struct error *e);

/* staging.c */
enum shoal_err sync_staging_on_begin(struct sync_link *l, struct slice body, struct error *e);
enum shoal_err sync_staging_on_rows(struct sync_link *l, struct slice body, struct error *e);
enum shoal_err sync_staging_on_end(struct sync_link *l, struct slice body, struct error *e);
void sync_staging_on_answer(struct sync *s, const struct ask *asked, const struct content_op *op, enum shoal_err rc);
void sync_staging_break_off(struct sync_link *l);  /* the link goes */
void sync_staging_undone(struct sync *s);          /* what was pending was undone */
void sync_staging_next(struct sync *s);
void sync_staging_fini(struct sync *s);
void sync_staging_broke_off(struct sync_link *l); /* planted.h: does nothing in a normal build */

/* yield.c */
void sync_yield_contact(struct sync *s); /* looks who is there */
/* To be asked before a link may be up: false: what was claimed here could not be marked, the link must wait. */
bool sync_yield_if_alone(struct sync *s, const struct vvec *vector);

/* presence.c */
enum shoal_err sync_presence_on_lease(struct sync_link *l, struct slice body);
enum shoal_err sync_presence_on_sum(struct sync_link *l, struct slice body);
enum shoal_err sync_presence_on_want(struct sync_link *l, struct slice body);
enum shoal_err sync_presence_on_peer(struct sync_link *l, struct slice body);
enum shoal_err sync_presence_on_dial(struct sync_link *l, struct slice body);
void sync_presence_renew(struct sync *s); /* our own leases are looked at again, and sums told at the end of the step */
uint64_t sync_presence_answer(struct sync_link *l); /* goes on with the answer that is under way; when to call it again */
void sync_presence_flush(struct sync *s);

/* fetch.c */
void sync_fetch_want(struct sync *s, const struct file_row *file);
void sync_fetch_all(struct sync *s); /* at start, and when one was missed: what is not held */
void sync_fetch_link_up(struct sync *s);
enum shoal_err sync_fetch_on_want(struct sync_link *l, struct slice body, struct error *e);
enum shoal_err sync_fetch_on_data(struct sync_link *l, struct slice body, struct error *e);
void sync_fetch_on_answer(struct sync *s, const struct ask *ask, struct content_op *op, enum shoal_err rc);
uint64_t sync_fetch_tick(struct sync *s);
void sync_fetch_fini(struct sync *s);

/* digest.c */
void sync_digest_send(struct sync_link *l);
enum shoal_err sync_digest_on(struct sync_link *l, struct slice body, struct error *e);
#endif
