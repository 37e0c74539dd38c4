/* core/sync/snapshot.c - all rows to a peer that is behind the kept log, and from one.
 *
 * Sending: one cut of memory (references to the rows), sent when everything in it is durable, at most 32 MiB/s, one at
 * a time. Receiving: rows are staged; at the end, if count and hash are right, they and the sender's vector become one
 * change. A snapshot that is broken off leaves nothing behind. */
#include "core/base/planted.h"
#include "core/sync/sync_state.h"

/* -- sending */

static void on_cut_durable(void *arg, enum shoal_err result)
{
	struct sync_link *l = arg;

	if (l->doomed || l->ship.state != SHIP_CUT)
		return;
	if (result != SHOAL_OK) {
		sync_link_doom(l, "the snapshot for it was undone");
		return;
	}
	struct buf vector = { 0 };
	struct buf *b = &l->sync->scratch;
	sync_vector_to_wire(&vector, &l->ship.cut->vector);
	size_t start = sync_begin(b, SYNC_SNAP_BEGIN);
	sync_snap_begin_put(b, &(struct sync_snap_begin){ .serial = l->ship.serial,
	                                                 .vector = slice_of(vector.data, vector.len),
	                                                 .rows = l->ship.cut->n,
	                                                 .hlc = l->ship.cut->hlc });
	if (vector.failed || frame_end(b, start) != SHOAL_OK)
		b->failed = true;
	buf_free(&vector);
	if (!sync_link_send(l, b))
		return;
	l->ship.state = SHIP_SNAPSHOT;
	l->ship.snap_at = l->sync->now;
	sync_snapshot_pump(l);
}

void sync_snapshot_begin(struct sync_link *l)
{
	struct sync *s = l->sync;

	if (s->snapshot_to != NULL && s->snapshot_to != l) {
		l->ship.state = SHIP_TURN;
		return;
	}
	l->ship.cut = registry_cut_new(s->config.registry);
	if (l->ship.cut == NULL) {
		sync_link_doom(l, "no memory for a snapshot");
		return;
	}
	s->snapshot_to = l;
	l->ship.cut_next = 0;
	l->ship.serial = ++s->last_serial;
	sha256_init(&l->ship.cut_hash);
	l->ship.state = SHIP_CUT;
	log_line(s->env->log, LOG_INFO, "sync", "tracker %u gets a snapshot of %zu rows", l->peer->id, l->ship.cut->n);
	if (commit_barrier(s->config.commit, on_cut_durable, l) != SHOAL_OK)
		sync_link_doom(l, "no memory for a snapshot");
}

/* The link goes, or the snapshot is done. */
void sync_snapshot_stop(struct sync_link *l)
{
	struct sync *s = l->sync;

	commit_forget(s->config.commit, l);
	if (s->snapshot_to != l)
		return;
	s->snapshot_to = NULL;
	registry_cut_free(l->ship.cut);
	l->ship.cut = NULL;
}

static bool send_rows(struct sync_link *l)
{
	struct ship *sh = &l->ship;
	struct buf rows = { 0 };
	struct buf *b = &l->sync->scratch;

	for (; sh->cut_next < sh->cut->n && rows.len < l->sync->config.snapshot_frame; sh->cut_next++) {
		struct slice row = row_wire(sh->cut->rows[sh->cut_next]);
		buf_put(&rows, row.data, row.len);
	}
	sha256_update(&sh->cut_hash, rows.data, rows.len);
	size_t start = sync_begin(b, SYNC_SNAP_ROWS);
	sync_snap_rows_put(b, &(struct sync_snap_rows){ .serial = sh->serial, .rows = slice_of(rows.data, rows.len) });
	if (rows.failed || frame_end(b, start) != SHOAL_OK)
		b->failed = true;
	buf_free(&rows);
	return sync_link_send(l, b);
}

static void finish(struct sync_link *l)
{
	struct ship *sh = &l->ship;
	struct sync_snap_end end = { .serial = sh->serial, .rows = sh->cut->n };
	struct buf *b = &l->sync->scratch;

	sha256_final(&sh->cut_hash, &end.hash);
	size_t start = sync_begin(b, SYNC_SNAP_END);
	sync_snap_end_put(b, &end);
	(void)frame_end(b, start);
	if (!sync_link_send(l, b))
		return;
	if (vvec_merge(&sh->sent, &sh->cut->vector) != SHOAL_OK) {
		sync_link_doom(l, "no memory");
		return;
	}
	l->sync->counters.snapshots_sent++;
	sh->state = SHIP_STORE; /* what came here since then; read again from the beginning, sent once */
	sh->store_pos = 0;
	sync_snapshot_stop(l);
	sync_ship_pump(l);
}

void sync_snapshot_pump(struct sync_link *l)
{
	if (l->sync->now < l->ship.snap_at)
		return;
	l->ship.snap_at = l->sync->now + SYNC_SNAP_TICK_MS;
	for (unsigned frames = 0; l->ship.cut_next < l->ship.cut->n; frames++)
		if (frames == SYNC_SNAP_TICK_FRAMES || sync_link_crowded(l) || !send_rows(l))
			return;
	finish(l);
}

/* -- receiving */

void sync_staging_free(struct staging *st)
{
	if (st == NULL)
		return;
	for (size_t i = 0; i < st->cut.n; i++)
		row_unref(st->cut.rows[i]);
	free(st->cut.rows);
	vvec_fini(&st->cut.vector);
	free(st);
}

/* Planted bugs: the vector before the rows; half the rows of a snapshot that broke off. */
static void take_vector_first(struct sync_link *l)
{
	struct registry_cut *own = registry_cut_new(l->sync->config.registry);
	struct error e;

	if (own != NULL && vvec_copy(&own->vector, &l->staging->cut.vector) == SHOAL_OK)
		(void)commit_snapshot(l->sync->config.commit, own, l->batch_from, &e);
	registry_cut_free(own);
}

void sync_snapshot_broke_off(struct sync_link *l)
{
	struct staging *st = l->staging;
	struct registry_cut half = { 0 };
	struct error e;

	if (!PLANTED(partial_rows) || st == NULL)
		return;
	half.rows = st->cut.rows;
	half.n = st->cut.n / 2;
	(void)commit_snapshot(l->sync->config.commit, &half, l->batch_from, &e);
}

static void drop_staging(struct sync_link *l)
{
	sync_staging_free(l->staging);
	l->staging = NULL;
}

enum shoal_err sync_snapshot_on_begin(struct sync_link *l, struct slice body, struct error *e)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct sync_snap_begin m;

	sync_snap_begin_get(&c, &m);
	if (l->staging != NULL)
		l->sync->counters.snapshots_broken++;
	drop_staging(l);
	struct staging *st = l->staging = try_alloc(sizeof(*st));
	if (st == NULL || !sync_vector_from_wire(&st->cut.vector, m.vector))
		return error_set(e, SHOAL_EBUSY, "no memory for its snapshot");
	st->serial = m.serial;
	st->announced = m.rows;
	st->cut.hlc = m.hlc;
	sha256_init(&st->hash);
	if (PLANTED(vv_first))
		take_vector_first(l);
	return SHOAL_OK;
}

static enum shoal_err stage_row(struct staging *st, const struct wire_row *wire)
{
	if (st->cut.n == st->announced)
		return SHOAL_EPROTO;
	if (st->cut.n == st->cap) {
		size_t cap = st->cap ? 2 * st->cap : 64;
		struct row **rows = try_realloc(st->cut.rows, cap * sizeof(struct row *));
		if (rows == NULL)
			return SHOAL_EBUSY;
		st->cut.rows = rows;
		st->cap = cap;
	}
	enum shoal_err rc = row_new(wire, &st->cut.rows[st->cut.n]);
	if (rc == SHOAL_OK)
		st->cut.n++;
	return rc;
}

enum shoal_err sync_snapshot_on_rows(struct sync_link *l, struct slice body, struct error *e)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct staging *st = l->staging;
	struct sync_snap_rows m;

	sync_snap_rows_get(&c, &m);
	if (st == NULL || st->serial != m.serial)
		return error_set(e, SHOAL_EPROTO, "rows of a snapshot that was not begun");
	sha256_update(&st->hash, m.rows.data, m.rows.len);
	c = cursor_of(m.rows.data, m.rows.len);
	while (cursor_left(&c) != 0) {
		struct wire_row wire;
		wire_row_get(&c, &wire);
		enum shoal_err rc = c.bad ? SHOAL_EPROTO : stage_row(st, &wire);
		if (rc != SHOAL_OK)
			return error_set(e, rc, "a row of its snapshot: %s", error_default(rc));
	}
	return SHOAL_OK;
}

enum shoal_err sync_snapshot_on_end(struct sync_link *l, struct slice body, struct error *e)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct staging *st = l->staging;
	struct sync_snap_end m;
	struct id32 hash;

	sync_snap_end_get(&c, &m);
	if (st == NULL || st->serial != m.serial)
		return error_set(e, SHOAL_EPROTO, "the end of a snapshot that was not begun");
	sha256_final(&st->hash, &hash);
	if (m.rows != st->cut.n || m.rows != st->announced || !id32_eq(&hash, &m.hash))
		return error_set(e, SHOAL_EINTEGRITY, "its snapshot is not whole");
	enum shoal_err rc = commit_snapshot(l->sync->config.commit, &st->cut, l->batch_from, e);
	if (rc == SHOAL_OK) {
		l->sync->counters.snapshots_merged++;
		log_line(l->sync->env->log, LOG_INFO, "sync", "a snapshot of %zu rows came from tracker %u", st->cut.n,
		         l->batch_from);
		sync_receive_note_has(l, &st->cut.vector);
	}
	drop_staging(l);
	return rc;
}
