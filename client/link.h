/* client/link.h - the client's one connection to the trackers: login, token, retry, failover.
 *
 * Behind struct env and link_step(): no clock, dice, socket or file of its own, so that the simulator runs it as it is.
 * Engine thread only. The link dials the trackers of the list in turn (0.2 s doubling to 2 s, jitter, after a round
 * without luck), says HELLO with its token, keeps the connection alive, and when it breaks goes to the next one at once,
 * resumes and sends again what was not answered, with the same request ids, so that it takes effect once.
 * A call without any tracker waits for one until its deadline, then ends with SHOAL_EOFFLINE; only about 1 s, in
 * which all are tried again, if none has been there for longer than such a deadline; if every tracker of the
 * list shows a wrong identity it ends with SHOAL_EDENIED at once. What a tracker cannot know yet, because we did it at
 * another one that it does not reach, is SHOAL_EBUSY after about 5 s, told once as LINK_LACKS; the same call again is
 * answered with what that tracker has. A call that needs a login waits while one is being
 * made or resumed; without any it ends with SHOAL_EAUTH. SHOAL_EBUSY from a tracker is tried again for up to 10 s,
 * SHOAL_EQUOTA (too many logins: try again in N s) is an answer at once.
 * Nothing is dialled before the first step. fn, news and pin may call anything here but link_step() and link_free(). */
#ifndef SHOAL_CLIENT_LINK_H
#define SHOAL_CLIENT_LINK_H
#include "core/base/env.h"
#include "core/wire/cmd.h"

struct link_news;

enum auto_login { AUTO_LOGIN_NO, AUTO_LOGIN_YES, AUTO_LOGIN_ASK };

struct link_config {
	struct env *env;
	const struct tracker_info *trackers; /* borrowed for the link's life */
	struct address listen;               /* as HELLO tells it; --announce or the listener's own */
	enum auto_login auto_login;          /* after a failover; ASK: LINK_ASK is told, link_answer() answers */
	uint32_t call_timeout_ms;            /* without a tracker; 10,000 by default */
	/* The pin, by dialled address: is this identity right for it? Called once per connection before anything is
	 * sent. *e says why not, loudly. */
	enum shoal_err (*pin)(void *owner, const struct address *dialled, const struct id32 *identity, struct error *e);
	/* Something changed or came in; see enum link_news. */
	void (*news)(void *owner, const struct link_news *news);
	/* The deadline moved outside link_step(): deliver a TICK soon, not from within. NULL if steps come anyway. */
	void (*wake)(void *owner);
	void *owner;
};

enum link_news_type {
	LINK_UP,        /* HELLO was answered: tracker, logged_in */
	LINK_LOST,      /* the connection broke, or none could be made at the beginning: tracker, text; once until LINK_UP */
	LINK_LOGGED_IN, /* by login, resume or automatic login: user, uid */
	LINK_LOGGED_OUT, /* by logout, or the session was ended or refused: text says why */
	LINK_ASK,       /* after a failover: log in again automatically? link_answer() */
	LINK_EVENT,     /* an EVNT: kind, body (its fields) */
	LINK_REFUSED,   /* a tracker's identity is wrong: text; that tracker is not used */
	LINK_LACKS,     /* a tracker has not got our last changes, made at another: text; calls ended with SHOAL_EBUSY */
	LINK_SHARES_DIFFER, /* the tracker knows other shares of this device than link_set_shares() told: ask MY_SHARES */
};

struct link_news {
	enum link_news_type type;
	uint16_t tracker;
	bool logged_in;
	const char *user;
	struct id16 uid;
	const char *text;
	unsigned kind;
	struct slice body;
};

/* One RPLY frame. `fields` begins after the head: the reply struct, then for lists u16 count and rows. */
struct link_reply {
	enum shoal_err code;
	const char *message; /* with the tracker's sentence if code is not OK */
	struct stamp stamp;  /* zero if nothing changed */
	int synced;          /* other trackers that had it when the tracker answered; -1: it waited for none */
	bool more;
	struct slice fields;
};
typedef void link_reply_fn(void *arg, const struct link_reply *reply);

struct link;
struct link *link_new(const struct link_config *config);
void link_free(struct link *l); /* every open call ends with SHOAL_ECANCELLED */
uint64_t link_step(struct link *l, const struct env_event *ev); /* events of this link's connections, TICK */

/* Sends one command. `fields` (NULL: none) is copied. fn is called for each frame, the last with more == false, never
 * from within this call; timeout_ms 0: the default. The pages of a list are kept until the last one is there and then
 * delivered together, so that a failover in the middle shows no page twice. Returns the call's number (never 0) for
 * link_cancel(). A call ended by its timeout may still have taken effect. */
uint64_t link_call(struct link *l, enum cmd_verb verb, const struct buf *fields, uint32_t timeout_ms, link_reply_fn *fn,
                   void *arg);
void link_cancel(struct link *l, uint64_t call); /* fn is not called any more */

/* LOGIN through link_call() with these goes through here, so that the link can log in again by itself. The password is
 * kept in memory only when auto_login allows it, and wiped at logout. */
void link_answer(struct link *l, bool yes);
void link_use_tracker(struct link *l, uint16_t id); /* go there now */
void link_set_auto_login(struct link *l, enum auto_login how);
/* Where peers reach us, as the next HELLO tells it: known only when the listener is bound. */
void link_set_listen(struct link *l, const struct address *listen);
/* What heartbeats say about this device's shares: how many, and their digest (client/shares.h). */
void link_set_shares(struct link *l, uint32_t count, uint64_t digest);

/* State, for the prompt and whoami(). */
struct link_status {
	bool up, logged_in;
	uint16_t tracker;
	char user[72];
	struct id16 uid;
	bool plaintext;            /* the cluster's choice, from HELLO */
	struct id32 ticket_key;    /* raw public key */
	int64_t clock_offset_ms;   /* tracker's wall clock minus ours */
	struct address you;        /* as the tracker sees us */
	uint64_t since_ms;         /* wall clock of the login */
};
void link_status(const struct link *l, struct link_status *out);
#endif
