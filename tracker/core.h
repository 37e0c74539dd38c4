/* tracker/core.h - what the files of the tracker's core share: struct tracker and its parts. Private to tracker/.
 *
 *     tracker.c          events in, deadlines out
 *     client_manager.c   one connected client: frames in, replies and events out, its time limits
 *     command_manager.c  the one table of commands; exactly once, commit barrier, paging
 *     command_*.c        the commands by kind
 *     facts.c            how the trackers are, for whoever asks
 *     lacks.c            commands of who comes from another tracker wait for what he did there
 *     stale_sessions.c   closes what nobody has used for days
 *     session.c          who is logged in on which connection; tokens; presence of our own clients
 *     events.c           what the changed rows mean to those who are online
 *     leftovers.c        a deletion that was broken off is finished
 *
 * Everything hangs on struct tracker. A struct client is good until the end of the step: whoever ends it marks it
 * (client_doom()), and it goes when the step is over. Code that comes back later looks it up by its conn. */
#ifndef SHOAL_TRACKER_CORE_H
#define SHOAL_TRACKER_CORE_H
#include <sys/queue.h>

#include "core/base/table.h"
#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"
#include "core/registry/notice.h"
#include "core/registry/registry.h"
#include "core/registry/user_manager.h"
#include "core/sync/commit.h"
#include "core/sync/sync.h"
#include "core/wire/cmd.h"
#include "core/wire/frame.h"
#include "core/wire/ticket.h"
#include "tracker/limits.h"
#include "tracker/presence.h"
#include "tracker/tracker.h"

enum {
	LEASE_MS = 30 * 1000,
	GRACE_MS = 2 * 1000,
	HEARTBEAT_MS = 10 * 1000,
	IDLE_MS = 45 * 1000,
	FIRST_FRAME_MS = 5 * 1000,
	BEGUN_FRAME_MS = 10 * 1000,
	PINGED_MS = 2 * 1000,
	TICK_MS = 1000,
	PUMP_MS = 20,               /* while somebody's replies wait for his socket */
	OWED_PAUSE = 512 * 1024,    /* owed bytes beyond which no further command is taken */
	OWED_MAX = 8 * 1024 * 1024, /* of events to one who does not read: the connection is closed */
	HELD_MAX = 1024 * 1024,     /* bytes that wait to be looked at */
	MIN_SYNC_MS = 1000,         /* that long a change's reply waits for other trackers */
	WAITS_MAX = 8,                      /* wait_synced of one client at once */
	IN_FLIGHT_MAX = 32,         /* commands of one client that wait for the pool or the store */
	TURN_COMMANDS = 64,         /* commands of one client, then the others' turn comes */
	PAGE_BYTES = 200 * 1024,    /* a page of a list ends after that; with its last row it is under 256 KiB */
	TOKEN_LIFE_MS = 24 * 3600 * 1000,
	TOKEN_RENEW_MS = 12 * 3600 * 1000,
	PEERS_MAX = 50,
	UPLOAD_FORGET_MS = 3600 * 1000, /* an unfinished upload that nobody goes on with */
	UPLOADS_PER_USER = 16,          /* unfinished at once */
};

/* A whole frame that is to go out. */
struct out_frame {
	TAILQ_ENTRY(out_frame) link;
	struct buf bytes;
};
TAILQ_HEAD(out_frames, out_frame);

struct client {
	conn_id conn;
	UT_hash_handle hh;             /* tracker.clients, by conn */
	TAILQ_ENTRY(client) doomed_link;
	TAILQ_ENTRY(client) heard_link, watched_link;
	bool watched;                  /* in tracker.watched */
	struct id32 device;            /* identity of its TLS key */
	struct address seen;           /* where it comes from */
	struct address listen;         /* where peers reach it; from HELLO */
	struct frame_reader reader;
	struct buf held;               /* received, not looked at while too much is owed */
	struct out_frames out;         /* waits for the socket */
	size_t owed;                   /* bytes in `out` and in replies that wait for the store */
	unsigned in_flight;            /* commands begun and not yet answered */
	unsigned waits;                /* of them in tracker.synced */
	uint64_t born_ms, heard_ms;    /* heard: last whole frame */
	uint64_t begun_ms;             /* a frame has begun and is not whole; 0: none */
	uint64_t pinged_ms;            /* since then it is to say something; 0: it has */
	uint64_t reports_until_ms;     /* UNREACHABLE: when it may say as many at once again */
	bool greeted, doomed;
	bool welcome;                  /* logged in by the reply under way: session_welcome() follows it */
	bool lacks_told;               /* it was told that `lacks` is not here */
	struct buf lacks;              /* stamps of its own changes that HELLO showed and that are not here yet */
	uint64_t lacks_until_ms;       /* its commands wait for them until then */
	char why[128];                 /* doomed: for the log; empty: not worth a line */
	/* -- logged in */
	bool logged_in;
	bool shares_dirty;             /* shares_* are to be computed anew */
	struct id16 uid;
	struct dot dot;                /* of the session row */
	uint64_t since_ms, token_ms;   /* wall clock of the login; env time when the token was made */
	uint64_t epoch;
	uint64_t announce_beat;
	uint32_t shares_count;
	uint64_t shares_digest;
};

/* An upload whose hashes are on their way. */
struct upload_node {
	struct id32 content;
	struct id16 uid;
	uint64_t used_ms;
	UT_hash_handle hh;
};

/* A computation or content op under way: its cookie, and who goes on when it is there. */
struct waiting {
	uint64_t cookie;
	struct command *cmd;
	UT_hash_handle hh;
};

struct command;
TAILQ_HEAD(commands, command);

struct tracker {
	struct tracker_config config;
	struct address addr;             /* our own line of the tracker file */
	struct env *env;
	struct registry *reg;
	struct commit *commit;
	struct sync *sync;
	struct presence_map *presence;
	struct stale_sessions *stale;
	struct limits *limits;
	struct memo *memo;               /* through tracker_memo() */
	uint64_t memo_presence;          /* presence_version() when it was looked at last */
	uint8_t ticket_key_raw[32];
	struct client *clients;          /* by conn */
	TAILQ_HEAD(, client) doomed;
	TAILQ_HEAD(, client) heard;      /* all, the longest silent first */
	TAILQ_HEAD(, client) watched;    /* who has not said HELLO yet, or is in the middle of a frame */
	struct upload_node *uploads;     /* by content id */
	struct waiting *waiting;         /* by cookie */
	uint64_t next_cookie;
	struct commands synced;          /* WAIT_SYNCED and HELLO that wait for other trackers' records */
	conn_id acting;                  /* whose command is being applied; 0: nobody's here */
	bool pumping;                    /* somebody's frames or bytes wait */
	bool pump_now;                   /* somebody whose bytes wait has got a reply */
	uint64_t pump_ms;                /* when to look at them the next time */
	bool pump_soon;                  /* somebody has had his turn, and has more: in the loop's next turn */
	uint64_t synced_ms;              /* the first deadline in it; ENV_NEVER: none */
	bool starved;                    /* a wait of `synced` may be over */
	uint64_t swept_ms;
	struct leftovers *leftovers;     /* of deletions; NULL: not begun, or done */
	bool tidy;                       /* done */
};

/* leftovers.c: at each tick, until all is done; and at the end. */
void leftovers_sweep(struct tracker *t);
void leftovers_free(struct tracker *t);

/* A page of rows. */
struct page {
	TAILQ_ENTRY(page) link;
	struct buf rows;
	uint16_t n;
};
TAILQ_HEAD(pages, page);

typedef void command_fn(struct command *cmd);
/* In tracker.synced: true: it went on, and is finished; false: it still waits. */
typedef bool command_poll_fn(struct command *cmd);
/* What an awaited computation gave: goes on with the command, and ends it with command_finish() or awaits again. */
typedef void command_resume_fn(struct command *cmd, const struct env_event *ev);

/* One command from its frame to its reply. */
struct command {
	struct tracker *t;
	struct client *c;           /* NULL if it has gone; valid while a handler or resume function runs */
	conn_id conn;
	struct cmd_head head;
	struct buf body;            /* the frame's body: fields' slices point into it */
	struct cursor fields;
	struct id16 uid;            /* who acts, from the session when the command came */
	bool logged_in;
	bool replay;                /* its request id is known: `stamp` is the old one, nothing is to be changed */
	bool waits_for_others;      /* in t->synced because of --min-sync, everything else is done */
	uint16_t others;            /* how many other trackers had it when the reply left */
	bool later;                 /* awaits something: it will be finished by somebody else */
	bool counted;               /* in t->synced, and counts in the client's `waits` */
	bool lacks;                 /* refused because this tracker lacks what the client has done elsewhere */
	struct stamp stamp;         /* of what it changed; zero: nothing */
	struct buf reply;           /* the verb's reply fields */
	struct pages pages;         /* rows of a list */
	bool is_list;
	size_t reply_bytes;         /* counted in the client's `owed` */
	enum shoal_err code;        /* set by command_finish() */
	struct error error;
	command_fn *durable;        /* if all went well and is durable, before the reply leaves; may be NULL */
	command_resume_fn *resume;
	command_poll_fn *poll;      /* in t->synced */
	uint64_t deadline_ms;       /* in t->synced */
	TAILQ_ENTRY(command) synced_link;
	void *state;                /* the command's own, freed with it by state_free */
	void (*state_free)(void *state);
};

/* -- time */
uint64_t tracker_now(const struct tracker *t);
uint64_t tracker_wall(const struct tracker *t);
uint64_t tracker_random_u64(struct tracker *t);

/* What was worked out a moment ago, and still holds (memo.h). */
struct memo *tracker_memo(struct tracker *t);

/* -- client_manager.c */
void client_accepted(struct tracker *t, const struct env_event *ev);
bool client_bytes(struct tracker *t, const struct env_event *ev);  /* false: not a client's connection */
bool client_closed(struct tracker *t, const struct env_event *ev);
struct client *client_find(struct tracker *t, conn_id conn);        /* NULL: gone, or going */
/* Sends a frame, or queues it behind those that wait; takes the bytes over in any case. */
void client_send(struct tracker *t, struct client *c, struct buf *frame);
/* Ends the connection when the step is over; `why` goes to the log, "" does not. */
void client_doom(struct tracker *t, struct client *c, const char *why, ...) __attribute__((format(printf, 3, 4)));
/* It was sent something that is answered at once: whoever says nothing within 2 s is gone. */
void client_pinged(struct tracker *t, struct client *c);
void clients_pump(struct tracker *t);   /* frames that wait, then bytes that wait to be looked at */
void clients_sweep(struct tracker *t);  /* time limits; once a tick */
void clients_reap(struct tracker *t);   /* the doomed */
void clients_free(struct tracker *t);

/* -- command_manager.c */
void command_run(struct tracker *t, struct client *c, struct slice body);
/* Ends the command: OK with the reply fields and rows, or an error with its sentence. The reply leaves when all that is
 * pending now is durable. Frees cmd, now or then. */
void command_finish(struct command *cmd, enum shoal_err code, const struct error *e);
/* Commits an op as the command's change. On failure the sentence is in *e. */
enum shoal_err command_commit(struct command *cmd, struct op *op, struct error *e);
/* Hands work to the pool or the store; `resume` goes on. Fails with SHOAL_EBUSY, the command is then still the caller's.
 * The content op is taken over in any case. */
enum shoal_err command_await_work(struct command *cmd, const struct env_work *work, command_resume_fn *resume,
                                  struct error *e);
enum shoal_err command_await_content(struct command *cmd, struct content_op *op, command_resume_fn *resume,
                                     struct error *e);
/* SHOAL_EBUSY: this client waits too often already; the command is then still the caller's. */
enum shoal_err command_await_synced(struct command *cmd, uint64_t deadline_ms, command_poll_fn *poll, struct error *e);
/* The same without that limit: the command had not begun. */
void command_park(struct command *cmd, uint64_t deadline_ms, command_poll_fn *poll);
void command_go_on(struct command *cmd); /* begins a parked command; cmd->c is set */
bool command_on_event(struct tracker *t, const struct env_event *ev); /* WORKED, CONTENT */
void commands_poll(struct tracker *t);                                 /* t->synced */
void commands_free(struct tracker *t);
/* Adds a page: rows that were put together before. */
void command_rows(struct command *cmd, struct slice rows, uint16_t n);
/* Where the next row of the list goes: put it there, then command_row_done(). NULL: no memory. */
struct buf *command_row(struct command *cmd);
void command_row_done(struct command *cmd);
/* Begins an op with the command's request id. */
void command_op_begin(struct command *cmd, enum op_kind kind, struct op *op);
/* One that does not answer for the request: a record before or behind the one that does. */
void command_op_begin_part(struct command *cmd, enum op_kind kind, struct op *op);

/* A handler has the fields in cmd->fields and either returns its result (the reply is in cmd->reply and the rows) or sets
 * cmd->later and will finish the command. */
typedef enum shoal_err command_handler(struct command *cmd, struct error *e);
#define X(num, NAME, word, req, rep, row, login, change) command_handler command_##word;
CMD_VERBS(X)
#undef X

/* -- session.c */
/* The connection acts for that session from now on: presence, lease, the news to other trackers. */
void session_attach(struct tracker *t, struct client *c, const struct id16 *uid, struct dot dot);
/* No longer logged in: presence ends at once. */
void session_detach(struct tracker *t, struct client *c);
/* The connection broke: 2 s of grace. */
void session_lost(struct tracker *t, struct client *c);
/* A frame has come: the lease is renewed. */
void session_beat(struct tracker *t, struct client *c);
/* The session has ended elsewhere or by another: tells the client, if it is here. */
void session_ended(struct tracker *t, const struct id16 *uid, struct dot dot, const char *reason);
/* SHOAL_OK and the connection is attached, or why not. */
enum shoal_err session_resume(struct tracker *t, struct client *c, struct slice token, struct error *e);
/* Puts a fresh token of the client's session. Empty if it cannot be made. */
void session_token(struct tracker *t, const struct id16 *uid, const struct id32 *device, struct dot dot,
                   struct buf *out);
/* Unseen notices and the like, after a login. */
void session_welcome(struct tracker *t, struct client *c);
void sessions_expire(struct tracker *t);
void session_on_remote(struct tracker *t, const struct sync_session *s);    /* sync's callbacks */
void announce_on_remote(struct tracker *t, const struct sync_announce *a);
void dial_on_remote(struct tracker *t, const struct sync_dial_ask *ask); /* command_swarm.c */
void presence_leases(struct tracker *t);  /* sync wants to know how long our own sessions last */
void presence_refresh(struct tracker *t); /* the same of announces, ours and others' */
void session_id_text(struct dot dot, char out[48]);
bool session_id_parse(struct slice text, struct dot *out);
struct presence tracker_presence(struct tracker *t); /* who is online, as the file manager asks it */
void announce_tell(struct tracker *t, const struct leecher *l, uint32_t left_ms);

/* -- stale_sessions.c: open sessions that had no lease for two days are closed */
struct stale_sessions *stale_sessions_new(uint64_t now_ms, uint64_t random); /* NULL: no memory */
void stale_sessions_free(struct stale_sessions *st);
void stale_sessions_seen(struct stale_sessions *st, struct dot dot); /* it is online */
uint64_t stale_sessions_due(const struct stale_sessions *st);        /* when to sweep again, at the latest */
void stale_sessions_sweep(struct tracker *t, uint64_t now_ms);

/* -- events.c */
void events_on_applied(struct tracker *t, const struct undo *what);
/* `frame` (whole, taken over) goes to all connections of that user here, when what is pending now is durable. */
void event_send(struct tracker *t, const struct id16 *uid, struct buf *frame);
void event_note(struct tracker *t, const struct id16 *uid, const char *kind, const char *text);
/* An EVNT frame: begin, put the fields, end. */
size_t event_begin(struct buf *b, enum cmd_event kind);

/* -- command_user.c, used by others */
/* The user of that shown name. SHOAL_ENOTFOUND "no user 'ann'". */
enum shoal_err user_lookup(struct tracker *t, struct slice shown, struct id16 *uid, struct error *e);
/* rep_session for that session, with a fresh token. */
void put_session_reply(struct command *cmd, const struct id16 *uid, struct dot dot);
/* Whether all these stamps (as on the wire) are durable here; *bad: they are no stamps. */
bool stamps_are_here(struct tracker *t, struct slice stamps, bool *bad);

/* -- lacks.c */
/* HELLO showed these stamps of the client's own changes. */
void lacks_begin(struct tracker *t, struct client *c, struct slice seen);
/* True: not to be begun: it is parked, or *e is its answer. */
bool lacks_hold(struct command *cmd, struct error *e);

/* -- facts.c */
/* A tracker of the list as this one sees it. */
struct tracker_fact {
	uint16_t id;
	struct address addr;
	const char *state;       /* "self" or a word of sync_status; of itself: "joining", "read-only" */
	uint64_t behind;         /* ops that it has not acknowledged yet */
	uint64_t contact_ms;     /* since we last heard of it; UINT64_MAX: never; 0: ourselves */
	bool clock_known;
	int64_t clock_offset_ms; /* its wall clock minus ours */
	const char *rows;        /* "equal", "differ": when they were compared last; "" or NULL: not compared yet */
	char version[32];
	char reason[160];        /* why it is not connected, or takes no changes */
};
/* This tracker first, then the others by id; freed by the caller. NULL: no memory. */
struct tracker_fact *tracker_facts(struct tracker *t, size_t *n);
void tracker_fact_print(struct buf *out, const struct tracker_fact *f); /* one line for a person */

/* -- command_swarm.c, used by others */
/* Somebody has announced himself for that file, or gone. */
void peers_changed(struct tracker *t, const struct id16 *gid, const struct id16 *fid);
/* A ticket for that member and device; SHOAL_EDENIED for others. */
enum shoal_err ticket_issue(struct command *cmd, const struct id16 *gid, struct buf *out, uint32_t *life_ms,
                            struct error *e);
#endif
