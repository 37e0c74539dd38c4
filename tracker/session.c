/* tracker/session.c - who is logged in on which connection; tokens; presence of our clients and of other trackers'.
 *
 * A session is a row; being online is presence on top of it: a lease that every frame of the client renews, 2 s of
 * grace when the connection breaks, gone at once at logout. A token says that this device has logged in as that user: with it
 * a connection resumes the session here or on any other tracker, which changes presence only. */
#include <stdio.h>
#include <string.h>

#include "core/base/name.h"
#include "tracker/core.h"

/* -- telling the other trackers */
static void tell(struct tracker *t, const struct online *o, uint32_t left_ms)
{
	char text[ADDRESS_MAX];
	struct sync_session s = {
		.dot = o->dot, .uid = o->uid, .device = o->device, .home = o->home, .epoch = o->epoch, .left_ms = left_ms,
		.address = slice_str(address_format(&o->addr, text)),
	};
	sync_send_session(t->sync, &s);
}

static uint32_t left_of(uint64_t until_ms, uint64_t now_ms)
{
	uint64_t left = until_ms > now_ms ? until_ms - now_ms : 0;
	return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

void announce_tell(struct tracker *t, const struct leecher *l, uint32_t left_ms)
{
	char text[ADDRESS_MAX];
	struct sync_announce a = {
		.gid = l->gid, .fid = l->fid, .uid = l->uid, .device = l->device, .home = l->home, .epoch = l->epoch,
		.beat = l->beat, .pieces = l->pieces, .left_ms = left_ms,
		.address = slice_str(address_format(&l->addr, text)),
	};
	sync_send_announce(t->sync, &a);
}

static void renew_own(void *arg, const struct online *o)
{
	struct tracker *t = arg;
	struct sync_session s = { .dot = o->dot, .home = o->home, .epoch = o->epoch,
		                  .left_ms = left_of(o->until_ms, tracker_now(t)) };
	if (s.left_ms != 0 && o->home == t->config.self && !sync_renew_session(t->sync, &s))
		tell(t, o, s.left_ms);
}

static void refresh_announce(void *arg, const struct leecher *l)
{
	struct tracker *t = arg;
	uint32_t left = left_of(l->until_ms, tracker_now(t));
	if (left != 0)
		announce_tell(t, l, left);
}

void presence_leases(struct tracker *t)
{
	presence_each(t->presence, renew_own, t);
}

void presence_refresh(struct tracker *t)
{
	presence_each_announce(t->presence, refresh_announce, t);
}

/* -- hearing from them */
/* Somebody who resumed at another tracker: his connection here is a leftover. */
static void drop_leftover(struct tracker *t, struct dot dot, const struct sync_session *s)
{
	const struct online *o = presence_by_dot(t->presence, dot);
	struct client *c = o != NULL ? client_find(t, o->conn) : NULL;
	if (c == NULL || s->home == t->config.self || s->epoch <= o->epoch)
		return;
	c->logged_in = false; /* his presence is the other tracker's now */
	client_doom(t, c, "went to tracker %u", s->home);
}

/* Where to reach somebody, as another tracker says: what cannot be read is nowhere. */
static struct address address_of(struct slice text)
{
	char s[ADDRESS_MAX];
	struct address a = { 0 };
	if (!slice_to_str(text, s, sizeof(s)) || address_parse(s, true, &a, NULL) != SHOAL_OK)
		a = (struct address){ .host = "0.0.0.0" };
	return a;
}

/* Of the many that are only renewed the address need not be read again: another one comes with another epoch. */
static struct address address_of_session(const struct tracker *t, const struct sync_session *s)
{
	const struct online *known = presence_by_dot(t->presence, s->dot);
	bool same = known != NULL && known->home == s->home && known->epoch == s->epoch;
	return same ? known->addr : address_of(s->address);
}

void session_on_remote(struct tracker *t, const struct sync_session *s)
{
	bool fresh;
	uint64_t now = tracker_now(t);

	if (s->left_ms != 0)
		drop_leftover(t, s->dot, s);
	if (s->home == t->config.self) /* an echo; of ourselves we know better */
		return;
	if (s->left_ms == 0) {
		presence_end(t->presence, s->dot, s->epoch, s->beat, now);
		return;
	}
	struct online o = {
		.uid = s->uid, .dot = s->dot, .device = s->device, .home = s->home, .epoch = s->epoch, .beat = s->beat,
		.until_ms = now + (s->left_ms < LEASE_MS ? s->left_ms : LEASE_MS),
		.addr = address_of_session(t, s),
	};
	if (presence_put(t->presence, &o, &fresh) == SHOAL_OK && fresh) /* else old news, or no memory: it will be renewed again */
		stale_sessions_seen(t->stale, s->dot);
}

void announce_on_remote(struct tracker *t, const struct sync_announce *a)
{
	uint64_t now = tracker_now(t);
	uint32_t left = a->left_ms < SYNC_ANNOUNCE_LEASE_MS ? a->left_ms : SYNC_ANNOUNCE_LEASE_MS;
	struct leecher l = {
		.gid = a->gid, .fid = a->fid, .uid = a->uid, .device = a->device, .home = a->home, .epoch = a->epoch,
		.beat = a->beat, .pieces = a->pieces, .until_ms = now + left, .addr = address_of(a->address),
	};
	if (a->home == t->config.self)
		return;
	peers_changed(t, &l.gid, &l.fid);
	if (a->left_ms == 0)
		(void)presence_announce_stop(t->presence, &l, now);
	else
		(void)presence_announce(t->presence, &l);
}

/* -- our own clients */
static uint64_t hybrid_now(struct tracker *t)
{
	struct op op;
	op_begin(t->reg, OP_LOGIN, NULL, tracker_wall(t), &op);
	uint64_t hlc = op.stamp.hlc;
	op_fini(&op);
	return hlc;
}

static void put_online(struct tracker *t, struct client *c)
{
	bool fresh;
	const struct online *known = presence_by_dot(t->presence, c->dot);
	struct client *old = known != NULL ? client_find(t, known->conn) : NULL;
	struct online o = {
		.uid = c->uid,
		.dot = c->dot,
		.device = c->device,
		.addr = c->listen,
		.home = t->config.self,
		.conn = c->conn,
		.until_ms = tracker_now(t) + LEASE_MS,
	};

	if (old != NULL && old != c) {
		old->logged_in = false;
		client_doom(t, old, "resumed on another connection");
	}
	c->epoch = o.epoch = presence_next_epoch(t->presence, c->dot, hybrid_now(t));
	if (presence_put(t->presence, &o, &fresh) == SHOAL_OK)
		tell(t, &o, LEASE_MS);
	stale_sessions_seen(t->stale, c->dot);
}

void session_attach(struct tracker *t, struct client *c, const struct id16 *uid, struct dot dot)
{
	if (c->logged_in)
		session_detach(t, c);
	c->logged_in = true;
	c->uid = *uid;
	c->dot = dot;
	c->shares_dirty = true;
	c->since_ms = tracker_wall(t);
	c->token_ms = tracker_now(t);
	c->reader.phase = FRAMES_CLIENT;
	put_online(t, c);
	if (t->config.established != NULL)
		t->config.established(t->config.owner, c->conn);
}

static void end_presence(struct tracker *t, struct dot dot)
{
	const struct online *o = presence_by_dot(t->presence, dot);
	if (o == NULL)
		return;
	struct online gone = *o;
	gone.beat++;
	if (presence_end(t->presence, dot, gone.epoch, gone.beat, tracker_now(t)))
		tell(t, &gone, 0);
}

void session_detach(struct tracker *t, struct client *c)
{
	if (!c->logged_in)
		return;
	c->logged_in = false;
	c->reader.phase = FRAMES_STRANGER;
	end_presence(t, c->dot);
}

void session_lost(struct tracker *t, struct client *c)
{
	if (!c->logged_in)
		return;
	c->logged_in = false;
	presence_detach(t->presence, c->dot, tracker_now(t) + GRACE_MS);
	const struct online *o = presence_by_dot(t->presence, c->dot);
	if (o != NULL)
		tell(t, o, GRACE_MS);
}

void session_beat(struct tracker *t, struct client *c)
{
	if (!presence_beat(t->presence, c->dot, tracker_now(t) + LEASE_MS))
		put_online(t, c);
}

void session_ended(struct tracker *t, const struct id16 *uid, struct dot dot, const char *reason)
{
	const struct online *o = presence_by_dot(t->presence, dot);
	struct client *c = o != NULL ? client_find(t, o->conn) : NULL;
	struct buf frame = { 0 };

	(void)uid;
	if (c == NULL || !c->logged_in || !dot_eq(c->dot, dot)) {
		end_presence(t, dot);
		return;
	}
	struct ev_session_ended ev = { .reason = slice_str(reason) };
	size_t start = event_begin(&frame, EVENT_SESSION_ENDED);
	ev_session_ended_put(&frame, &ev);
	if (frame_end(&frame, start) != SHOAL_OK)
		frame.failed = true;
	session_detach(t, c);
	client_send(t, c, &frame);
}

static void on_expired(void *arg, const struct online *o)
{
	struct tracker *t = arg;
	if (o->home != t->config.self)
		return;
	struct online gone = *o;
	gone.beat++;
	tell(t, &gone, 0);
}

void sessions_expire(struct tracker *t)
{
	presence_expire(t->presence, tracker_now(t), on_expired, t);
}

/* -- tokens */
void session_token(struct tracker *t, const struct id16 *uid, const struct id32 *device, struct dot dot,
                   struct buf *out)
{
	uint64_t wall = tracker_wall(t);
	struct token token = {
		.key_number = 1, .uid = *uid, .device = *device, .log = dot.log, .seq = dot.seq, .issued_ms = wall,
		.expires_ms = wall + TOKEN_LIFE_MS,
	};
	if (token_seal(out, &token, t->config.token_key) != SHOAL_OK)
		buf_reset(out);
}

enum shoal_err session_resume(struct tracker *t, struct client *c, struct slice sealed, struct error *e)
{
	struct token token;
	uint64_t wall = tracker_wall(t);

	if (token_open(sealed, t->config.token_key, &token) != SHOAL_OK || token.key_number != 1 ||
	    !id32_eq(&token.device, &c->device))
		return error_set(e, SHOAL_EAUTH, "this token is not one of this device, log in again");
	if (wall > token.expires_ms)
		return error_set(e, SHOAL_EAUTH, "the session has expired, log in again");
	struct dot dot = { .log = token.log, .seq = token.seq };
	/* not heard of that login yet: the token itself decides */
	if (user_session_state(t->reg, &token.uid, dot) == SESSION_ENDED)
		return error_set(e, SHOAL_EAUTH, "the session was ended, log in again");
	session_attach(t, c, &token.uid, dot);
	return SHOAL_OK;
}

void session_welcome(struct tracker *t, struct client *c)
{
	const struct notice_row **notices;
	char text[NOTICE_TEXT_MAX], kind[40];
	size_t n;

	if (notice_list(t->reg, &c->uid, &notices, &n) != SHOAL_OK)
		return;
	for (size_t i = 0; i < n; i++)
		if (slice_to_str(notices[i]->kind, kind, sizeof(kind)))
			event_note(t, &c->uid, kind, notice_text(notices[i], text));
	free(notices);
}

void session_id_text(struct dot dot, char out[48])
{
	snprintf(out, 48, "%016llx.%llu", (unsigned long long)dot.log, (unsigned long long)dot.seq);
}

bool session_id_parse(struct slice text, struct dot *out)
{
	char s[48], again[48];
	unsigned long long log, seq;
	if (!slice_to_str(text, s, sizeof(s)) || sscanf(s, "%16llx.%20llu", &log, &seq) != 2)
		return false;
	*out = (struct dot){ .log = log, .seq = seq };
	session_id_text(*out, again);
	return strcmp(s, again) == 0;
}

/* -- what the file manager asks */
static bool is_online(void *ctx, const struct id16 *uid, const struct id32 *device)
{
	const struct tracker *t = ctx;
	return presence_endpoint(t->presence, uid, device) != NULL;
}

struct presence tracker_presence(struct tracker *t)
{
	return (struct presence){ .online = is_online, .ctx = t };
}
