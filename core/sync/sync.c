/* core/sync/sync.c - joining, what is due when, and whose event it is. */
#include "core/sync/sync_state.h"

#include <inttypes.h>
#include <stdio.h>

/* -- small things that the other files use */

uint32_t sync_jitter(struct sync *s, uint32_t ms)
{
	uint32_t dice;
	s->env->random(s->env->ctx, &dice, sizeof(dice));
	return ms - ms / 4 + dice % (ms / 2 + 1);
}

void sync_vector_to_wire(struct buf *b, const struct vvec *v)
{
	for (size_t i = 0; i < v->n; i++) {
		buf_put_u64(b, v->entries[i].log);
		buf_put_u64(b, v->entries[i].seq);
	}
}

bool sync_vector_from_wire(struct vvec *v, struct slice entries)
{
	struct cursor c = cursor_of(entries.data, entries.len);

	if (entries.len / SYNC_VECTOR_ENTRY > VVEC_LOGS_MAX)
		return false;
	while (cursor_left(&c) != 0) {
		uint64_t log = get_u64(&c);
		if (vvec_raise(v, log, get_u64(&c)) != SHOAL_OK)
			return false;
	}
	return true;
}

bool sync_ask(struct sync *s, const struct ask *what, struct content_op *op)
{
	struct ask *ask = try_memdup(what, sizeof(*what));
	if (ask != NULL && op != NULL) {
		ask->cookie = SYNC_COOKIE_TAG << 56 | ++s->last_ask;
		HASH_ADD(hh, s->asks, cookie, sizeof(ask->cookie), ask);
	}
	if (ask == NULL || op == NULL || ask->hh.tbl == NULL) {
		free(ask);
		content_op_free(op);
		return false;
	}
	s->env->content(s->env->ctx, op, ask->cookie);
	return true;
}

bool sync_note_vector(struct sync *s, struct sync_tracker *p, const struct vvec *v)
{
	if (vvec_merge(&p->acked, v) != SHOAL_OK)
		return false;
	if (s->config.on_acked != NULL)
		s->config.on_acked(s->config.owner);
	return true;
}

/* -- joining */

bool sync_joining(const struct sync *s)
{
	return s->joining;
}

static void joined(struct sync *s, const char *how)
{
	s->joining = false;
	vvec_fini(&s->join_target);
	log_line(s->env->log, LOG_INFO, "sync", "joined: %s", how);
}

void sync_check_joined(struct sync *s)
{
	if (s->joining && s->join_has_target &&
	    vvec_covers_all(registry_durable_vector(s->config.registry), &s->join_target))
		joined(s, "everything that a peer had is here");
}

bool sync_join_target(struct sync *s, const struct sync_tracker *p, const struct vvec *vector)
{
	s->join_from = p->id;
	s->join_has_target = vvec_copy(&s->join_target, vector) == SHOAL_OK;
	return s->join_has_target;
}

/* Who gave us the target is gone, maybe with its disk: nobody else need have all that it had. */
static void retarget(struct sync *s)
{
	const struct sync_tracker *p = sync_peer_by_id(s, s->join_from);

	if (s->join_has_target && p != NULL && sync_peer_link(p) != NULL)
		return;
	s->join_has_target = false;
	LIST_FOREACH(p, &s->peers, next)
		if (sync_peer_link(p) != NULL && sync_join_target(s, p, &p->acked))
			return;
}

static uint64_t join_tick(struct sync *s)
{
	struct sync_tracker *p;

	if (!s->joining)
		return ENV_NEVER;
	retarget(s);
	sync_check_joined(s);
	if (LIST_EMPTY(&s->peers) && s->joining)
		joined(s, "no other tracker in the list");
	if (!s->joining || s->join_must)
		return ENV_NEVER;
	LIST_FOREACH(p, &s->peers, next)
		if (sync_peer_link(p) != NULL)
			s->join_since = s->now;
	if (s->now < s->join_since + SYNC_JOIN_MS)
		return s->join_since + SYNC_JOIN_MS;
	joined(s, "no other tracker answers");
	return ENV_NEVER;
}

enum shoal_err sync_check_writable(const struct sync *s, struct error *e)
{
	unsigned reached = 0, off = 0;
	struct sync_tracker *p;

	if (s->joining)
		return error_set(e, SHOAL_EBUSY, "this tracker has just started and is catching up, try again");
	LIST_FOREACH(p, &s->peers, next) {
		if (sync_peer_link(p) == NULL || !p->clock_known)
			continue;
		reached++;
		if (p->clock_offset_ms > SYNC_CLOCK_MAX_MS || p->clock_offset_ms < -SYNC_CLOCK_MAX_MS)
			off++;
	}
	if (2 * off > reached)
		return error_set(e, SHOAL_EBUSY, "this tracker's clock is over 60 s off the others': set it");
	return SHOAL_OK;
}

/* -- what commit tells */

static void note_file(void *ctx, const struct row *before, const struct row *after)
{
	if (after == NULL || before != NULL || after->table != TABLE_FILE)
		return;
	struct file_row file;
	file_row_read(after, &file);
	sync_fetch_want(ctx, &file);
}

static void on_applied(void *owner, const struct undo *what, uint16_t from)
{
	if (from != 0)
		undo_each(what, note_file, owner);
}

static void on_durable(void *owner)
{
	struct sync *s = owner;
	struct sync_link *l;
	LIST_FOREACH(l, &s->links, next) {
		if (l->state != LINK_UP || l->doomed)
			continue;
		if (l->dialled)
			sync_ship_pump(l);
		else
			sync_receive_durable(l);
	}
	sync_check_joined(s);
}

/* Peers think that we have what was just undone: they learn better by a new HELLO. */
static void on_undone(void *owner, enum shoal_err why)
{
	struct sync *s = owner;
	struct sync_link *l;
	LIST_FOREACH(l, &s->links, next) {
		if (!l->dialled)
			sync_link_doom(l, "what it sent could not be stored (%s)", error_word(why));
		else if (l->ship.state == SHIP_CUT)
			sync_link_doom(l, "the snapshot for it was undone");
	}
	sync_staging_undone(s);
}

/* -- life */

struct sync *sync_new(const struct sync_config *config)
{
	static const struct commit_hooks hooks = { .applied = on_applied, .durable = on_durable, .undone = on_undone };
	struct sync *s = try_alloc(sizeof(*s));
	if (s == NULL)
		return NULL;
	s->config = *config;
	s->env = config->env;
	if (s->config.snapshot_frame == 0)
		s->config.snapshot_frame = SYNC_SNAP_FRAME;
	if (s->config.merge_bytes == 0)
		s->config.merge_bytes = SYNC_MERGE_BYTES;
	if (s->config.log_bytes == 0)
		s->config.log_bytes = SYNC_LOG_BYTES;
	s->joining = true;
	s->join_must = config->joining;
	LIST_INIT(&s->peers);
	LIST_INIT(&s->links);
	LIST_INIT(&s->stages);
	sync_set_peers(s, config->trackers, config->n_trackers);
	s->config.trackers = NULL;
	commit_add_hooks(config->commit, &hooks, s);
	return s;
}

void sync_free(struct sync *s)
{
	struct sync_link *l;
	struct sync_tracker *p;
	struct ask *ask, *next;

	if (s == NULL)
		return;
	sync_staging_fini(s);
	while ((l = LIST_FIRST(&s->links)) != NULL) {
		if (!l->doomed)
			s->env->close(s->env->ctx, l->conn);
		sync_link_free(l);
	}
	while ((p = LIST_FIRST(&s->peers)) != NULL)
		sync_peer_free(p);
	HASH_ITER(hh, s->asks, ask, next) {
		HASH_DEL(s->asks, ask);
		free(ask);
	}
	sync_fetch_fini(s);
	vvec_fini(&s->join_target);
	vvec_fini(&s->kept[0].vector);
	vvec_fini(&s->kept[1].vector);
	buf_free(&s->lease_rows.bytes);
	buf_free(&s->peer_rows.bytes);
	lease_book_fini(&s->book);
	buf_free(&s->scratch);
	free(s);
}

/* Frees the links that were doomed on the way. */
static void sweep(struct sync *s)
{
	struct sync_link *l, *next;
	for (l = LIST_FIRST(&s->links); l != NULL; l = next) {
		next = LIST_NEXT(l, next);
		if (!l->doomed)
			continue;
		sync_staging_broke_off(l);
		sync_link_free(l);
	}
}

static void on_content(struct sync *s, const struct env_event *ev)
{
	struct ask *ask;
	struct sync_link *l;

	HASH_FIND(hh, s->asks, &ev->cookie, sizeof(ev->cookie), ask);
	if (ask == NULL) {
		content_op_free(ev->content);
		return;
	}
	HASH_DEL(s->asks, ask);
	HASH_FIND(hh, s->by_conn, &ask->conn, sizeof(ask->conn), l);
	if (ask->kind == ASK_LOG && l != NULL)
		sync_ship_on_read(s, l, ev->content, ev->result);
	else if (ask->kind == ASK_CUT)
		sync_log_on_cut(s, ev->result);
	else if (ask->kind == ASK_STAGE)
		sync_staging_on_answer(s, ask, ev->content, ev->result);
	else if (ask->kind == ASK_PLAN)
		sync_log_on_plan(s, ev->content, ev->result);
	else if (ask->kind == ASK_SERVE || ask->kind == ASK_FETCH)
		sync_fetch_on_answer(s, ask, ev->content, ev->result);
	content_op_free(ev->content);
	free(ask);
}

bool sync_on_event(struct sync *s, const struct env_event *ev)
{
	struct sync_link *l;

	s->now = s->env->mono_ms(s->env->ctx);
	if (ev->type == ENV_CONTENT) {
		if (ev->cookie >> 56 != SYNC_COOKIE_TAG)
			return false;
		on_content(s, ev);
		sweep(s);
		return true;
	}
	if (ev->type == ENV_ACCEPTED) {
		if (strcmp(ev->alpn, ALPN_SYNC) != 0)
			return false;
		sync_link_accept(s, ev);
		sweep(s);
		return true;
	}
	if (ev->type != ENV_CONNECTED && ev->type != ENV_BYTES && ev->type != ENV_CLOSED)
		return false;
	HASH_FIND(hh, s->by_conn, &ev->conn, sizeof(ev->conn), l);
	if (l == NULL)
		return false;
	if (ev->type == ENV_CONNECTED)
		sync_link_on_connected(l, ev);
	else if (ev->type == ENV_BYTES)
		sync_link_on_bytes(l, slice_of(ev->data, ev->len));
	else
		sync_link_on_closed(l, ev->message);
	sweep(s);
	return true;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t refresh_tick(struct sync *s)
{
	if (s->now >= s->refresh_at) {
		s->refresh_at = s->now + SYNC_PRESENCE_EVERY_MS;
		if (s->config.refresh != NULL)
			s->config.refresh(s->config.owner);
	}
	if (s->now >= s->leases_at)
		sync_presence_renew(s);
	return sooner(s->refresh_at, s->leases_at);
}

static void start(struct sync *s)
{
	s->started = true;
	s->join_since = s->contact_at = s->now;
	s->refresh_at = s->now + SYNC_PRESENCE_EVERY_MS;
	s->leases_at = s->now + SYNC_LEASES_EVERY_MS;
	s->cut_at = s->now + SYNC_CUT_MS;
	s->kept[1].at = s->now;
	(void)vvec_copy(&s->kept[1].vector, registry_durable_vector(s->config.registry)); /* empty: nothing is cut */
	sync_fetch_all(s);
}

uint64_t sync_tick(struct sync *s, uint64_t now_ms)
{
	uint64_t deadline;
	struct sync_tracker *p;
	struct sync_link *l;

	s->now = now_ms;
	if (!s->started)
		start(s);
	deadline = join_tick(s);
	sync_yield_contact(s);
	LIST_FOREACH(p, &s->peers, next) {
		if (p->out != NULL)
			continue;
		if (now_ms >= p->dial_at)
			sync_link_dial(s, p);
		if (p->out == NULL)
			deadline = sooner(deadline, p->dial_at);
	}
	LIST_FOREACH(l, &s->links, next)
		if (!l->doomed)
			deadline = sooner(deadline, sync_link_tick(l));
	deadline = sooner(deadline, refresh_tick(s));
	deadline = sooner(deadline, sync_fetch_tick(s));
	deadline = sooner(deadline, sync_log_tick(s));
	sync_presence_flush(s);
	sweep(s);
	LIST_FOREACH(p, &s->peers, next)
		if (p->out == NULL)
			deadline = sooner(deadline, p->dial_at);
	return deadline;
}
