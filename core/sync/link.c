/* core/sync/link.c - one connection with another tracker.
 *
 * Dialled:  DIALLING -> connected, our HELLO -> GREETING -> its HELLO -> UP: ops go out, ACKs come in.
 * Accepted: GREETING -> its HELLO, ours -> UP: ops come in, ACKs go out.
 * Both: PING every second; silent for 5 s: lost. Whatever is wrong dooms the link; dialled ones are dialled again. */
#include "core/sync/sync_state.h"

#include <stdarg.h>
#include <stdio.h>


bool sync_link_crowded(const struct sync_link *l)
{
	return l->sync->env->queued(l->sync->env->ctx, l->conn) > SYNC_QUEUED_MAX;
}

struct sync_link *sync_peer_link(const struct sync_tracker *p)
{
	if (p->out != NULL && p->out->state == LINK_UP)
		return p->out;
	return p->in != NULL && p->in->state == LINK_UP ? p->in : NULL;
}

static struct sync_link *new_link(struct sync *s, struct sync_tracker *p, conn_id conn, bool dialled)
{
	struct sync_link *l = try_alloc(sizeof(*l));
	if (l == NULL)
		return NULL;
	l->sync = s;
	l->peer = p;
	l->conn = conn;
	l->dialled = dialled;
	l->state = dialled ? LINK_DIALLING : LINK_GREETING;
	l->since = l->heard_at = s->now;
	l->ack_at = ENV_NEVER;
	STAILQ_INIT(&l->ship.unacked);
	frame_reader_init(&l->reader, FRAMES_SYNC);
	HASH_ADD(hh, s->by_conn, conn, sizeof(l->conn), l);
	if (l->hh.tbl == NULL) {
		frame_reader_fini(&l->reader);
		free(l);
		return NULL;
	}
	LIST_INSERT_HEAD(&s->links, l, next);
	return l;
}

/* Takes the link away from its peer, which is dialled again later. */
static void detach(struct sync_link *l)
{
	struct sync_tracker *p = l->peer;

	if (l->dialled)
		sync_snapshot_stop(l);
	l->peer = NULL;
	if (p == NULL)
		return;
	if (p->in == l)
		p->in = NULL;
	if (p->out != l)
		return;
	p->out = NULL;
	if (l->state == LINK_UP && l->sync->now >= l->since + SYNC_BACKOFF_MAX_MS)
		p->backoff_ms = SYNC_BACKOFF_MIN_MS;
	/* An attempt that nobody answered took its 5 s already: that counts as waiting. */
	uint64_t began = l->state == LINK_DIALLING ? l->since : l->sync->now;
	uint64_t soonest = l->sync->now + sync_jitter(l->sync, SYNC_BACKOFF_MIN_MS);
	p->dial_at = began + sync_jitter(l->sync, p->backoff_ms);
	if (p->dial_at < soonest)
		p->dial_at = soonest;
	p->backoff_ms = p->backoff_ms * 2 < SYNC_BACKOFF_MAX_MS ? p->backoff_ms * 2 : SYNC_BACKOFF_MAX_MS;
}

/* Remembers why, and logs it once: the same reason at each attempt would fill the log. */
static void tell(struct sync_link *l, enum log_level level, const char *why)
{
	struct sync_tracker *p = l->peer;

	if (p == NULL) {
		sync_complain(l->sync, level, l->host, why);
		return;
	}
	if (strcmp(p->reason, why) != 0 || l->state == LINK_UP)
		log_line(l->sync->env->log, level, "sync", "tracker %u %s: %s", p->id,
		         l->dialled ? "is not reached" : "is no longer heard", why);
	snprintf(p->reason, sizeof(p->reason), "%s", why);
}

static void doom(struct sync_link *l, enum log_level level, const char *why)
{
	if (l->doomed)
		return;
	tell(l, level, why);
	l->doomed = true;
	detach(l);
	l->sync->env->close(l->sync->env->ctx, l->conn);
}

void sync_link_doom(struct sync_link *l, const char *fmt, ...)
{
	char why[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	doom(l, LOG_WARN, why);
}

void sync_link_refuse(struct sync_link *l, const char *fmt, ...)
{
	char why[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	l->sync->counters.refused++;
	if (l->peer != NULL) {
		l->peer->refused = true;
		l->peer->backoff_ms = SYNC_BACKOFF_MAX_MS;
	}
	doom(l, LOG_ERROR, why);
}

void sync_link_free(struct sync_link *l)
{
	if (!l->doomed)
		detach(l);
	sync_staging_break_off(l);
	sync_ship_fini(l);
	vvec_fini(&l->told);
	frame_reader_fini(&l->reader);
	HASH_DEL(l->sync->by_conn, l);
	LIST_REMOVE(l, next);
	free(l);
}

bool sync_link_send(struct sync_link *l, struct buf *b)
{
	enum shoal_err rc = SHOAL_EBUSY;

	if (l->doomed)
		return false;
	if (!b->failed)
		rc = l->sync->env->send(l->sync->env->ctx, l->conn, b->data, b->len);
	buf_reset(b);
	if (rc == SHOAL_OK)
		return true;
	sync_link_doom(l, "it does not take what we send");
	return false;
}

void sync_link_dial(struct sync *s, struct sync_tracker *p)
{
	conn_id conn = s->env->dial(s->env->ctx, &p->addr, ALPN_SYNC);
	p->out = new_link(s, p, conn, true);
	if (p->out == NULL) {
		s->env->close(s->env->ctx, conn);
		p->dial_at = s->now + SYNC_BACKOFF_MAX_MS;
	}
}

void sync_link_accept(struct sync *s, const struct env_event *ev)
{
	struct sync_link *l = new_link(s, NULL, ev->conn, false);
	if (l == NULL) {
		s->env->close(s->env->ctx, ev->conn);
		return;
	}
	snprintf(l->host, sizeof(l->host), "%s", ev->addr.host);
	if (!id32_eq(&ev->identity, &s->config.cluster))
		sync_link_refuse(l, "%s is not a tracker of this cluster: its identity is another", ev->addr.host);
}

void sync_link_on_connected(struct sync_link *l, const struct env_event *ev)
{
	char hex[HEX32_SIZE];

	if (!id32_eq(&ev->identity, &l->sync->config.cluster)) {
		hex_encode(&ev->identity, sizeof(ev->identity), hex);
		sync_link_refuse(l, "it has another cluster.key (its identity is sha256:%s): all trackers need the same file", hex);
		return;
	}
	l->state = LINK_GREETING;
	l->since = l->heard_at = l->sync->now;
	sync_greet(l);
}

void sync_link_on_closed(struct sync_link *l, const char *why)
{
	if (l->doomed)
		return;
	if (l->state == LINK_UP)
		l->sync->counters.lost++;
	tell(l, LOG_INFO, why != NULL ? why : "closed");
	l->doomed = true;
	detach(l);
}

/* -- frames */

static uint8_t own_state(const struct sync *s)
{
	if (s->joining)
		return SYNC_TOLD_JOINING;
	enum shoal_err disk = commit_check_writable(s->config.commit, NULL);
	bool writable = sync_check_writable(s, NULL) == SHOAL_OK && (disk == SHOAL_OK || disk == SHOAL_EBUSY);
	return writable ? SYNC_TOLD_READY : SYNC_TOLD_READONLY;
}

static void on_pong(struct sync_link *l, struct cursor *c)
{
	struct sync_pong m;

	sync_pong_get(c, &m);
	sync_note_clock(l, m.wall_ms);
	l->peer->told_state = m.state;
}

static void on_ping(struct sync_link *l, struct cursor *c)
{
	struct sync_ping m;
	struct buf *b = &l->sync->scratch;

	sync_ping_get(c, &m);
	sync_note_clock(l, m.wall_ms);
	if (l->dialled && m.vector != vvec_hash(&l->told)) {
		sync_link_doom(l, "the vectors do not agree");
		return;
	}
	size_t start = sync_begin(b, SYNC_PONG);
	sync_pong_put(b, &(struct sync_pong){ .wall_ms = l->sync->env->wall_ms(l->sync->env->ctx),
	                                      .state = own_state(l->sync) });
	(void)frame_end(b, start);
	sync_link_send(l, b);
}

static void on_op(struct sync_link *l, struct cursor *c, struct error *e)
{
	struct sync_op m;
	sync_op_get(c, &m);
	if (sync_receive_op(l, m.record, e) != SHOAL_OK)
		sync_link_doom(l, "an op of it: %s", e->message);
}

static enum shoal_err on_ack(struct sync_link *l, struct cursor *c, struct error *e)
{
	struct sync_ack m;
	sync_ack_get(c, &m);
	return sync_receive_ack(l, m.vector, e);
}

/* SHOAL_EPROTO: that kind has no business on this side, or at this time. */
static enum shoal_err on_kind(struct sync_link *l, unsigned kind, struct slice body, struct error *e)
{
	struct cursor c = cursor_of(body.data + 1, body.len - 1);
	struct slice fields = slice_of(body.data + 1, body.len - 1);

	if (kind == SYNC_REFUSED && l->dialled) {
		sync_greet_on_refused(l, &c);
		return SHOAL_OK;
	}
	if (kind == SYNC_HELLO && l->state == LINK_GREETING) {
		sync_greet_on_hello(l, &c);
		return SHOAL_OK;
	}
	if (l->state != LINK_UP)
		return error_set(e, SHOAL_EPROTO, "%s before HELLO", sync_kind_word(kind));
	switch (kind) {
	case SYNC_PING: on_ping(l, &c); return SHOAL_OK;
	case SYNC_PONG: on_pong(l, &c); return SHOAL_OK;
	case SYNC_LEASE: return sync_presence_on_lease(l, fields);
	case SYNC_LEASE_SUM: return sync_presence_on_sum(l, fields);
	case SYNC_LEASE_WANT: return sync_presence_on_want(l, fields);
	case SYNC_PEER: return sync_presence_on_peer(l, fields);
	case SYNC_DIAL: return sync_presence_on_dial(l, fields);
	case SYNC_BLOB_WANT: return sync_fetch_on_want(l, fields, e);
	case SYNC_BLOB_DATA: return sync_fetch_on_data(l, fields, e);
	}
	if (l->dialled) {
		switch (kind) {
		case SYNC_ACK: return on_ack(l, &c, e);
		case SYNC_SNAP_ACK: return sync_snapshot_on_ack(l, fields, e);
		case SYNC_DIGEST: return sync_digest_on(l, fields, e);
		}
	} else {
		switch (kind) {
		case SYNC_OP: on_op(l, &c, e); return SHOAL_OK;
		case SYNC_SNAP_BEGIN: return sync_staging_on_begin(l, fields, e);
		case SYNC_SNAP_ROWS: return sync_staging_on_rows(l, fields, e);
		case SYNC_SNAP_END: return sync_staging_on_end(l, fields, e);
		}
	}
	return error_set(e, SHOAL_EPROTO, "%s has no business here", sync_kind_word(kind));
}

static void on_frame(struct sync_link *l, const struct frame *f)
{
	struct error e = { 0 };
	enum shoal_err rc = sync_check(f->body);
	unsigned kind = f->body.len == 0 ? 0 : f->body.data[0];

	if (rc == SHOAL_ENOTFOUND)
		return; /* a kind of a newer version */
	if (rc == SHOAL_OK) {
		if (kind != SYNC_OP)
			sync_receive_end(l); /* the batch ends here: ACKs and snapshots keep their place */
		if (l->doomed)
			return; /* what it brought could not be kept */
		rc = on_kind(l, kind, f->body, &e);
	} else {
		(void)error_set(&e, rc, "a broken frame");
	}
	if (rc != SHOAL_OK)
		sync_link_doom(l, "%s", e.message[0] != '\0' ? e.message : error_default(rc));
}

void sync_link_on_bytes(struct sync_link *l, struct slice in)
{
	struct frame f;
	struct error e = { 0 };
	enum shoal_err rc = SHOAL_OK;

	l->heard_at = l->sync->now;
	if (l->peer != NULL)
		l->peer->heard_at = l->sync->now;
	while (!l->doomed && (rc = frame_read(&l->reader, &in, &f, &e)) == SHOAL_OK)
		on_frame(l, &f);
	sync_receive_end(l);
	if (!l->doomed && rc != SHOAL_ENOTFOUND)
		sync_link_doom(l, "%s", e.message);
}

/* -- time */

static void send_ping(struct sync_link *l)
{
	struct sync *s = l->sync;
	struct buf *b = &s->scratch;
	size_t start = sync_begin(b, SYNC_PING);
	sync_ping_put(b, &(struct sync_ping){ .wall_ms = s->env->wall_ms(s->env->ctx),
	                                      .vector = l->dialled ? 0 : vvec_hash(&l->told) });
	(void)frame_end(b, start);
	sync_link_send(l, b);
	l->ping_at = s->now + sync_jitter(s, SYNC_PING_MS);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t sync_link_tick(struct sync_link *l)
{
	uint64_t now = l->sync->now;
	uint64_t deadline;

	if (l->state == LINK_DIALLING)
		return ENV_NEVER; /* env ends it within 5 s */
	if (l->state == LINK_GREETING) {
		if (now < l->since + SYNC_GREETING_MS)
			return l->since + SYNC_GREETING_MS;
		sync_link_doom(l, "no HELLO within 5 s");
		return now;
	}
	if (now >= l->heard_at + SYNC_LOST_MS) {
		l->sync->counters.lost++;
		sync_link_doom(l, "silent for 5 s");
		return now;
	}
	deadline = l->heard_at + SYNC_LOST_MS;
	if (now >= l->ping_at)
		send_ping(l);
	deadline = sooner(deadline, sync_presence_answer(l));
	if (l->dialled) {
		sync_ship_pump(l);
		deadline = sooner(deadline, sync_ship_deadline(l));
	} else {
		if (now >= l->ack_at)
			sync_receive_send_ack(l);
		if (now >= l->digest_at)
			sync_digest_send(l);
		deadline = sooner(deadline, sooner(l->ack_at, l->digest_at));
	}
	return l->doomed ? now : sooner(deadline, l->ping_at);
}
