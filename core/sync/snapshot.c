/* core/sync/snapshot.c - all rows to a peer that is behind the kept log, or those of tables that differ. staging.c receives.
 *
 * One cut of memory (references to the rows), sent when everything in it is durable, at most 32 MiB/s, never more than
 * SYNC_SNAP_AHEAD rows before the peer has put aside, one at a time. Ops follow when the peer has merged it. */
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
	                                                 .hlc = l->ship.cut->hlc,
	                                                 .tables = (uint16_t)l->ship.cut_tables });
	if (vector.failed || frame_end(b, start) != SHOAL_OK)
		b->failed = true;
	buf_free(&vector);
	if (!sync_link_send(l, b))
		return;
	l->ship.state = SHIP_SNAPSHOT;
	l->ship.snap_at = l->sync->now;
	sync_snapshot_pump(l);
}

/* Only rows of those tables; bit 0: of tables unknown here. */
static void keep_tables(struct registry_cut *cut, unsigned tables)
{
	size_t kept = 0;

	for (size_t i = 0; i < cut->n; i++) {
		unsigned bit = cut->rows[i]->table < TABLE_END ? cut->rows[i]->table : 0;
		if ((tables & 1u << bit) != 0)
			cut->rows[kept++] = cut->rows[i];
		else
			row_unref(cut->rows[i]);
	}
	cut->n = kept;
}

void sync_snapshot_begin(struct sync_link *l, unsigned tables)
{
	struct sync *s = l->sync;

	l->ship.cut_tables = tables;
	/* One that is being merged here would be cut in half. */
	if ((s->snapshot_to != NULL && s->snapshot_to != l) || sync_merging(s)) {
		l->ship.state = SHIP_TURN;
		return;
	}
	l->ship.cut = registry_cut_new(s->config.registry);
	if (l->ship.cut == NULL) {
		sync_link_doom(l, "no memory for a snapshot");
		return;
	}
	keep_tables(l->ship.cut, tables);
	s->snapshot_to = l;
	l->ship.cut_next = l->ship.cut_acked = 0;
	l->ship.snap_heard_at = s->now;
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
	if (vvec_merge(&sh->sent, &sh->cut->vector) != SHOAL_OK || vvec_copy(&sh->covered, &sh->cut->vector) != SHOAL_OK) {
		sync_link_doom(l, "no memory");
		return;
	}
	l->sync->counters.snapshots_sent++;
	l->sync->counters.rows_sent += sh->cut->n;
	sh->state = SHIP_MERGING;
	sync_snapshot_stop(l);
	sync_snapshot_merging(l);
}

/* What came here since the cut goes when the peer has merged it: then the log is read again from the beginning, sent once. */
void sync_snapshot_merging(struct sync_link *l)
{
	if (!vvec_covers_all(&l->told, &l->ship.covered))
		return;
	vvec_fini(&l->ship.covered);
	l->ship.state = SHIP_STORE;
	l->ship.store_pos = 0;
	sync_ship_pump(l);
}

void sync_snapshot_pump(struct sync_link *l)
{
	struct ship *sh = &l->ship;

	if (l->sync->now < sh->snap_at)
		return;
	sh->snap_at = l->sync->now + SYNC_SNAP_TICK_MS;
	if (l->sync->now >= sh->snap_heard_at + SYNC_SNAP_STUCK_MS) {
		sync_link_doom(l, "it takes no more of its snapshot");
		return;
	}
	for (unsigned frames = 0; sh->cut_next < sh->cut->n; frames++)
		if (frames == SYNC_SNAP_TICK_FRAMES || sh->cut_next - sh->cut_acked >= SYNC_SNAP_AHEAD || sync_link_crowded(l) ||
		    !send_rows(l))
			return;
	finish(l);
}

enum shoal_err sync_snapshot_on_ack(struct sync_link *l, struct slice body, struct error *e)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct sync_snap_ack m;

	sync_snap_ack_get(&c, &m);
	if (l->ship.state != SHIP_SNAPSHOT || m.serial != l->ship.serial)
		return SHOAL_OK; /* of an earlier one */
	if (m.rows > l->ship.cut_next)
		return error_set(e, SHOAL_EPROTO, "it has more rows of its snapshot than were sent");
	l->ship.cut_acked = m.rows;
	l->ship.snap_heard_at = l->sync->now;
	return SHOAL_OK;
}
