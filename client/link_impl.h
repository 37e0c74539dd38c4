/* client/link_impl.h - what the parts of the tracker link share: link.c (connection), link_calls.c (calls and replies),
 * link_session.c (HELLO, token, password). Not for others: they include client/link.h. */
#ifndef SHOAL_CLIENT_LINK_IMPL_H
#define SHOAL_CLIENT_LINK_IMPL_H
#include <sys/queue.h>

#include "client/link.h"

enum {
	LINK_CALL_MS = 10000,        /* a call's deadline if nobody says otherwise */
	LINK_OFFLINE_CALL_MS = 1000, /* ... if no tracker has been there for longer than that: time for one more round */
	LINK_OFFLINE_TELL_MS = 1000, /* never connected so far: told then, once a round has failed */
	LINK_HELLO_MS = 5000,        /* a tracker that does not answer HELLO by then is left */
	LINK_SILENT_MS = 20000,      /* nothing came for so long, and what was asked is open for */
	LINK_UNANSWERED_MS = 10000,  /* so long: the connection is dead */
	LINK_BUSY_MS = 10000,        /* how long SHOAL_EBUSY is tried again */
	LINK_BUSY_PAUSE_MIN_MS = 100,
	LINK_BUSY_PAUSE_MAX_MS = 1000,
	LINK_ROUND_PAUSE_MIN_MS = 200, /* after a round without luck, doubling to */
	LINK_ROUND_PAUSE_MAX_MS = 2000,
	LINK_LUCK_MS = 2000,         /* a connection that lived that long, or answered a call, was luck */
	LINK_HEARTBEAT_MS = 10000,
	LINK_HEARTBEAT_AGAIN_MS = 1000, /* one that is asked for comes so long after the last */
	LINK_HEARTBEAT_MIN_MS = 100,
	LINK_HEARTBEAT_MAX_MS = 60000,
	LINK_QUEUED_MAX = 256 * 1024, /* bytes the connection may hold before calls wait */
	LINK_QUEUED_LOOK_MS = 10,     /* and how soon to look again */
	LINK_PAGES_MAX = 64 << 20,    /* bytes of one call's pages */
	LINK_SEEN_MAX = 16,           /* logs of which HELLO tells the last stamp */
	LINK_TOKEN_MAX = 1024,
};

enum link_state {
	LINK_IDLE,     /* no connection; the next dial is at retry_at_ms */
	LINK_DIALLING,
	LINK_GREETING, /* HELLO is on its way */
	LINK_READY,
};

enum link_call_state {
	LCALL_QUEUED,  /* not sent on this connection */
	LCALL_SENT,
	LCALL_RESTING, /* the tracker was busy: sent again at retry_at_ms */
};

/* A page of a reply: the whole RPLY body. */
struct link_page {
	STAILQ_ENTRY(link_page) entry;
	struct buf body;
};
STAILQ_HEAD(link_pages, link_page);

struct link_call {
	TAILQ_ENTRY(link_call) entry; /* in calls, or in ended */
	uint64_t number;
	enum cmd_verb verb;
	enum link_call_state state;
	bool own;                /* the link's own: dies with the connection */
	bool cancelled;          /* while its pages were handed over */
	uint32_t serial;         /* on this connection, while SENT */
	struct id16 request;     /* the same on every tracker; zero for what changes nothing */
	struct buf fields;
	uint64_t deadline_ms;
	uint64_t offline_until_ms; /* over then if there is still no connection; 0: deadline_ms holds in any case */
	uint64_t busy_until_ms;  /* 0: the tracker was not busy yet */
	uint64_t retry_at_ms;
	uint32_t busy_pause_ms;
	struct link_pages pages;
	size_t pages_len;
	struct error result;     /* in ended: not OK, it is the answer; OK: the pages are. RESTING: the busy sentence */
	link_reply_fn *fn;
	void *arg;
};
TAILQ_HEAD(link_calls, link_call);

struct link {
	struct link_config config;
	/* -- connection */
	enum link_state state;
	conn_id conn;
	size_t at;               /* index of the tracker that is dialled now or next */
	bool *refused;           /* by tracker: its identity was wrong when last seen */
	unsigned failures;       /* connections in a row without luck, in this round */
	uint32_t round_pause_ms;
	uint64_t retry_at_ms;
	uint64_t state_since_ms;
	uint64_t offline_since_ms; /* not READY since then */
	bool offline_told;       /* LINK_LOST was told, and LINK_UP not yet again */
	uint64_t asked_ms;       /* since then something is asked and nothing came; 0: nothing is asked */
	uint64_t heard_ms;       /* when something came last, or the connection was made */
	uint64_t heartbeat_at_ms, heartbeat_told_ms; /* the next one, the last one */
	uint32_t heartbeat_ms;
	struct frame_reader reader;
	uint32_t next_serial;
	bool hop;                /* at the end of the step leave for the tracker hop_to: link_use_tracker() */
	size_t hop_to;
	bool leaving;            /* the tracker said that it is going down */
	bool broken;             /* a send failed: drop it in the next step */
	bool useful;             /* this connection has answered a call of the owner */
	uint64_t look_again_ms;  /* the connection's queue was full; 0: it is not */
	char trouble[ERROR_TEXT_MAX]; /* why the last dial or connection came to nothing */
	char refusal[ERROR_TEXT_MAX]; /* what was wrong with the last wrong identity */
	/* -- calls */
	struct link_calls calls, ended;
	struct link_call *handing; /* whose pages are being handed over; in no list */
	uint64_t next_number;
	struct stamp seen[LINK_SEEN_MAX]; /* of our own changes, the newest of each log */
	size_t n_seen;
	/* -- session */
	enum auto_login auto_login;
	bool has_session;        /* token and user below are good, or may be resumed */
	bool logged_in;          /* on this connection */
	bool token_told;         /* HELLO of this connection had the token */
	bool resuming;           /* an own RESUME or LOGIN is open */
	bool ask_open;           /* LINK_ASK was told, link_answer() has not come */
	bool resume_once;        /* the break was our own wish: resume whatever auto_login says */
	uint8_t token[LINK_TOKEN_MAX];
	size_t token_len;
	struct buf password;     /* empty: not kept */
	uint64_t clock_asked_ms;  /* wall clock when HELLO or the last heartbeat was sent */
	uint64_t clock_rtt_ms;   /* of the answer that gave clock_offset_ms; the quickest of a connection is the best */
	uint32_t shares;
	uint64_t shares_digest;
	struct link_status status; /* up and logged_in are filled in when asked for */
};

/* link.c */
uint64_t link_now(const struct link *l);
void link_tell(struct link *l, const struct link_news *news);
void link_wake(struct link *l);
/* Longer offline than a call waits by default, and each tracker has been tried in vain. */
bool link_known_offline(const struct link *l);
void link_dial_soon(struct link *l); /* if a pause between two rounds goes on */
bool link_any_refused(const struct link *l);
uint16_t link_tracker_id(const struct link *l);
/* Ends the connection and goes on with the next tracker. */
void link_drop(struct link *l, const char *why);
uint32_t link_random(struct link *l, uint32_t below);

/* link_calls.c */
struct link_call *link_call_add(struct link *l, enum cmd_verb verb, const struct buf *fields, uint32_t timeout_ms,
                                bool own, link_reply_fn *fn, void *arg);
void link_calls_pump(struct link *l);           /* sends what may be sent */
void link_calls_expire(struct link *l);         /* deadlines, retries */
void link_calls_deliver(struct link *l);        /* tells the owners of ended calls */
void link_calls_unsend(struct link *l);         /* the connection is gone: own calls die, the others wait again */
void link_calls_end_all(struct link *l, enum shoal_err code, const char *text);
uint64_t link_calls_deadline(const struct link *l);
/* One RPLY. SHOAL_EPROTO: close the connection. */
enum shoal_err link_calls_on_reply(struct link *l, struct slice body, struct error *e);
void link_calls_free(struct link *l);

/* link_session.c */
void link_session_greet(struct link *l);
void link_session_on_break(struct link *l);
void link_session_forget(struct link *l, const char *why); /* tells LINK_LOGGED_OUT if there was a session */
bool link_session_pending(const struct link *l);           /* a login is being resumed, or waits for an answer */
/* The answer to a call of the owner that concerns the session; reply NULL: it ended with `code` here. */
void link_session_on_answer(struct link *l, const struct link_call *call, enum shoal_err code, struct slice fields);
void link_session_heartbeat(struct link *l);
void link_session_wipe(struct link *l);
#endif
