/* tracker/tracker.c - events in, deadlines out. */
#include "tracker/tracker.h"

#include <string.h>

#include "core/base/crypto.h"
#include "core/base/mem.h"
#include "tracker/core.h"
#include "tracker/memo.h"

uint64_t tracker_now(const struct tracker *t)
{
	return t->env->mono_ms(t->env->ctx);
}

uint64_t tracker_wall(const struct tracker *t)
{
	return t->env->wall_ms(t->env->ctx);
}

uint64_t tracker_random_u64(struct tracker *t)
{
	uint64_t v;
	t->env->random(t->env->ctx, &v, sizeof(v));
	return v;
}

struct memo *tracker_memo(struct tracker *t)
{
	uint64_t now = presence_version(t->presence);
	if (now != t->memo_presence)
		memo_forget_all(t->memo);
	t->memo_presence = now;
	return t->memo;
}

/* -- what commit and sync tell */
static void on_applied(void *owner, const struct undo *what, uint16_t from)
{
	struct tracker *t = owner;
	(void)from;
	memo_forget_all(t->memo);
	events_on_applied(t, what);
}

static void on_durable_or_acked(void *owner)
{
	struct tracker *t = owner;
	t->starved = true;
}

static void on_undone(void *owner, enum shoal_err why)
{
	struct tracker *t = owner;
	(void)why;
	memo_forget_all(t->memo);
	for (struct client *c = t->clients; c != NULL; c = c->hh.next)
		c->shares_dirty = true;
}

static void on_session(void *owner, const struct sync_session *s)
{
	session_on_remote(owner, s);
}

static void on_announce(void *owner, const struct sync_announce *a)
{
	announce_on_remote(owner, a);
}

static void on_dial(void *owner, const struct sync_dial_ask *ask)
{
	dial_on_remote(owner, ask);
}

static void on_leases(void *owner)
{
	presence_leases(owner);
}

static void on_refresh(void *owner)
{
	presence_refresh(owner);
}

static const struct tracker_line *own_line(const struct tracker *t, const struct tracker_line *trackers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (trackers[i].id == t->config.self)
			return &trackers[i];
	return NULL;
}

/* The list was read again. What is listened on stays as it was at the start. */
static void look_at_own_line(struct tracker *t, const struct tracker_line *mine)
{
	char was[ADDRESS_MAX], is[ADDRESS_MAX];

	address_format(&t->addr, was);
	if (mine == NULL)
		log_line(t->env->log, LOG_WARN, "tracker",
		         "the list has no line for this tracker, id %u, any more: where that list is read it is not listened to; "
		         "stop it, or put its line back and send SIGHUP", t->config.self);
	else if (strcmp(address_format(&mine->addr, is), was) != 0)
		log_line(t->env->log, LOG_WARN, "tracker",
		         "the list says %s for this tracker, which listens on %s until it is started again", is, was);
}

static struct sync *make_sync(struct tracker *t, const struct tracker_line *trackers, size_t n)
{
	const struct tracker_config *c = &t->config;
	struct sync_config config = {
		.env = t->env, .registry = t->reg, .commit = t->commit, .self = c->self, .cluster = c->cluster,
		.version = c->version, .snapshot_frame = c->snapshot_frame, .merge_bytes = c->merge_bytes,
		.log_bytes = c->log_bytes, .joining = c->joining, .trackers = trackers, .n_trackers = n,
		.owner = t, .on_session = on_session, .on_announce = on_announce, .on_dial = on_dial, .leases = on_leases,
		.refresh = on_refresh, .on_acked = on_durable_or_acked,
	};
	return sync_new(&config);
}

static void set_defaults(struct tracker_config *c)
{
	if (c->scrypt_ln == 0)
		c->scrypt_ln = 15;
	if (c->ticket_life_s == 0)
		c->ticket_life_s = 300;
	if (c->sessions == 0)
		c->sessions = SESSIONS_DEFAULT;
}

struct tracker *tracker_new(const struct tracker_config *config)
{
	static const struct commit_hooks hooks = { .applied = on_applied,
		                                   .durable = on_durable_or_acked,
		                                   .undone = on_undone };
	struct tracker *t = try_alloc(sizeof(*t));

	if (t == NULL)
		return NULL;
	t->config = *config;
	t->config.trackers = NULL; /* sync has its copy */
	const struct tracker_line *mine = own_line(t, config->trackers, config->n_trackers);
	if (mine != NULL)
		t->addr = mine->addr;
	set_defaults(&t->config);
	t->env = config->env;
	t->reg = config->registry;
	TAILQ_INIT(&t->doomed);
	TAILQ_INIT(&t->heard);
	TAILQ_INIT(&t->watched);
	TAILQ_INIT(&t->synced);
	t->synced_ms = ENV_NEVER;
	t->next_cookie = UINT64_C(1) << 63; /* sync's content ops count from 1 */
	t->presence = presence_new();
	struct limits_config limits = { .per_minute = { [LIMIT_LOGIN] = config->login_rate,
		                                        [LIMIT_CREATE_USER] = config->create_rate },
		                        .seed = tracker_random_u64(t) };
	t->limits = limits_new(&limits);
	t->memo = memo_new(tracker_random_u64(t));
	t->stale = stale_sessions_new(tracker_now(t), tracker_random_u64(t));
	t->commit = commit_new(t->env, t->reg);
	t->sync = t->commit != NULL ? make_sync(t, config->trackers, config->n_trackers) : NULL;
	if (t->limits == NULL || t->memo == NULL || t->stale == NULL || t->sync == NULL ||
	    !key_public_raw(config->ticket_key, t->ticket_key_raw)) {
		tracker_free(t);
		return NULL;
	}
	commit_add_hooks(t->commit, &hooks, t);
	return t;
}

static void free_uploads(struct tracker *t)
{
	struct upload_node *u, *next;
	HASH_ITER(hh, t->uploads, u, next) {
		HASH_DEL(t->uploads, u);
		free(u);
	}
}

void tracker_free(struct tracker *t)
{
	if (t == NULL)
		return;
	commands_free(t);
	if (t->sync != NULL)
		sync_free(t->sync);
	if (t->commit != NULL)
		commit_free(t->commit);
	clients_free(t);
	free_uploads(t);
	leftovers_free(t);
	limits_free(t->limits);
	memo_free(t->memo);
	stale_sessions_free(t->stale);
	presence_free(t->presence);
	free(t);
}

enum shoal_err tracker_load_floor(struct tracker *t, uint64_t log, uint64_t seq)
{
	return commit_load_floor(t->commit, log, seq);
}

bool tracker_rebuilt(const struct tracker *t)
{
	return !sync_joining(t->sync) && commit_idle(t->commit);
}

void tracker_set_peers(struct tracker *t, const struct tracker_line *trackers, size_t n)
{
	look_at_own_line(t, own_line(t, trackers, n));
	sync_set_peers(t->sync, trackers, n);
}

/* -- the step */
static void dispatch(struct tracker *t, const struct env_event *ev)
{
	switch (ev->type) {
	case ENV_ACCEPTED:
		if (ev->alpn != NULL && strcmp(ev->alpn, ALPN_CLIENT) == 0)
			client_accepted(t, ev);
		else if (!sync_on_event(t->sync, ev))
			t->env->close(t->env->ctx, ev->conn);
		break;
	case ENV_BYTES:
		if (!client_bytes(t, ev))
			sync_on_event(t->sync, ev);
		break;
	case ENV_CLOSED:
		if (!client_closed(t, ev))
			sync_on_event(t->sync, ev);
		break;
	case ENV_CONNECTED: sync_on_event(t->sync, ev); break;
	case ENV_COMMITTED: commit_on_event(t->commit, ev); break;
	case ENV_WORKED: command_on_event(t, ev); break;
	case ENV_CONTENT:
		if (!command_on_event(t, ev) && !sync_on_event(t->sync, ev))
			content_op_free(ev->content);
		break;
	case ENV_TICK:
	case ENV_SIGNAL: break;
	}
}

/* Unfinished uploads that nobody has gone on with: their hashes are dropped. */
static void forget_uploads(struct tracker *t, uint64_t now)
{
	struct upload_node *u, *next;
	HASH_ITER(hh, t->uploads, u, next) {
		if (now < u->used_ms + UPLOAD_FORGET_MS)
			continue;
		struct content_op *op = content_op_new(CONTENT_DROP);
		if (op == NULL)
			return;
		op->id = u->content;
		const struct content_row *row = registry_content(t->reg, &u->content);
		if (row != NULL && row->held)
			content_op_free(op);
		else
			t->env->content(t->env->ctx, op, t->next_cookie++);
		HASH_DEL(t->uploads, u);
		free(u);
	}
}

static void sweep(struct tracker *t, uint64_t now)
{
	if (now < t->swept_ms + TICK_MS)
		return;
	t->swept_ms = now;
	clients_sweep(t);
	sessions_expire(t);
	stale_sessions_sweep(t, now);
	forget_uploads(t, now);
	registry_expire(t->reg, tracker_wall(t));
	leftovers_sweep(t);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t tracker_step(struct tracker *t, const struct env_event *ev)
{
	bool pump = t->pumping; /* what begins to wait in this step waits for the next one */
	dispatch(t, ev);
	uint64_t now = tracker_now(t);
	sweep(t, now);
	if (t->starved || t->synced_ms <= now)
		commands_poll(t);
	if (t->pump_now || (pump && t->pumping && now >= t->pump_ms))
		clients_pump(t);
	clients_reap(t);
	uint64_t next = earlier(sync_tick(t->sync, now), commit_tick(t->commit, now));
	if (t->starved) /* commit or sync had news */
		commands_poll(t);
	clients_reap(t);
	if (t->clients != NULL || presence_count(t->presence) != 0 || t->uploads != NULL || !t->tidy)
		next = earlier(next, t->swept_ms + TICK_MS);
	uint64_t stale_ms = stale_sessions_due(t->stale);
	next = earlier(next, stale_ms > t->swept_ms + TICK_MS ? stale_ms : t->swept_ms + TICK_MS);
	if (t->pumping)
		next = earlier(next, t->pump_ms);
	return earlier(next, t->synced_ms);
}

static void end_ours(void *arg, const struct online *o)
{
	struct tracker *t = arg;
	struct online gone = *o;
	char text[ADDRESS_MAX];

	if (o->home != t->config.self)
		return;
	struct sync_session s = { .dot = gone.dot, .uid = gone.uid, .device = gone.device, .home = gone.home,
		                  .epoch = gone.epoch, .beat = gone.beat + 1, .left_ms = GRACE_MS,
		                  .address = slice_str(address_format(&gone.addr, text)) };
	sync_send_session(t->sync, &s);
}

void tracker_leave(struct tracker *t)
{
	struct ev_leaving ev = { .reason = slice_str("the tracker is being stopped") };
	struct client *c, *next;

	HASH_ITER(hh, t->clients, c, next) {
		struct buf frame = { 0 };
		size_t start = event_begin(&frame, EVENT_LEAVING);
		ev_leaving_put(&frame, &ev);
		if (frame_end(&frame, start) != SHOAL_OK)
			frame.failed = true;
		client_send(t, c, &frame);
	}
	presence_each(t->presence, end_ours, t);
	sync_tick(t->sync, tracker_now(t));
}
