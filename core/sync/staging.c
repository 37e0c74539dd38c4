/* core/sync/staging.c - a snapshot from a peer: put aside on disk as it comes, merged in portions when it is whole.
 *
 *   FILLING   frames come in; each is put aside by the store and acknowledged
 *   WHOLE     count and hash were right; it waits until all of it is put aside and no other is being merged
 *   MERGING   read back portion by portion and merged; others are served in between
 *   SAVING    its end is with the store: rows and vector in one transaction
 *   GOING     forgotten, some of it at a time
 *
 * Until SAVING is over nothing of it is durable; whatever goes wrong before that leaves nothing of it behind. A link that
 * breaks takes what it was FILLING with it; what is WHOLE needs no link any more. */
#include "core/sync/sync_state.h"

#include "core/base/planted.h"

enum stage_state { STAGE_FILLING, STAGE_WHOLE, STAGE_MERGING, STAGE_SAVING, STAGE_GOING };

struct stage {
	struct sync *sync;
	uint64_t number;         /* in the store */
	enum stage_state state;
	uint16_t from;
	uint32_t serial;
	struct vvec vector;
	uint64_t hlc;
	unsigned tables;
	uint64_t announced, rows, put; /* put: of rows, those that the store has */
	struct sha256 hash;
	struct buf last;         /* MERGING: the row behind which to go on */
	bool asked;              /* MERGING, GOING: the store has a question of ours */
	struct buf planted;      /* planted.h: rows that should not be kept */
	LIST_ENTRY(stage) next;
};

static void free_stage(struct stage *st)
{
	LIST_REMOVE(st, next);
	vvec_fini(&st->vector);
	buf_free(&st->last);
	buf_free(&st->planted);
	free(st);
}

/* Everything ends: the store is asked nothing any more, it forgets by itself at the next start. */
void sync_staging_fini(struct sync *s)
{
	struct sync_link *l;
	struct stage *st;

	LIST_FOREACH(l, &s->links, next)
		l->staging = NULL;
	while ((st = LIST_FIRST(&s->stages)) != NULL) {
		commit_forget(s->config.commit, st);
		free_stage(st);
	}
}

bool sync_merging(const struct sync *s)
{
	const struct stage *st;
	LIST_FOREACH(st, &s->stages, next)
		if (st->state == STAGE_MERGING || st->state == STAGE_SAVING)
			return true;
	return false;
}

static struct stage *find_stage(const struct sync *s, uint64_t number)
{
	struct stage *st;
	LIST_FOREACH(st, &s->stages, next)
		if (st->number == number)
			return st;
	return NULL;
}

static bool ask(struct stage *st, enum content_op_kind kind, struct slice rows, uint32_t n)
{
	struct content_op *op = content_op_new(kind);

	if (op != NULL) {
		op->stage = st->number;
		op->limit = st->sync->config.merge_bytes;
		buf_put(&op->data, rows.data, rows.len);
		if (op->data.failed) {
			content_op_free(op);
			op = NULL;
		}
	}
	return sync_ask(st->sync, &(struct ask){ .kind = ASK_STAGE, .stage = st->number, .chunk = n }, op);
}

/* -- the end of one */

/* Without memory for the question it stays in the store until the next start. It is freed by the answer only: whoever
 * calls this may still look at it. */
static void forget_some(struct stage *st)
{
	if (!st->asked && st->put == st->rows) /* else an answer is on its way */
		st->asked = ask(st, CONTENT_STAGE_DROP, slice_of(NULL, 0), 0);
}

static void let_go(struct stage *st)
{
	st->state = STAGE_GOING;
	forget_some(st);
}

void sync_staging_break_off(struct sync_link *l)
{
	struct stage *st = l->staging;

	l->staging = NULL;
	if (st == NULL)
		return;
	l->sync->counters.snapshots_broken++;
	let_go(st);
}

/* What was merged and is not durable has been undone. Who sent it begins anew: its link is doomed by now. */
void sync_staging_undone(struct sync *s)
{
	struct stage *st, *next;
	for (st = LIST_FIRST(&s->stages); st != NULL; st = next) {
		next = LIST_NEXT(st, next);
		if (st->state == STAGE_WHOLE || st->state == STAGE_MERGING || st->state == STAGE_SAVING) {
			s->counters.merges_undone += st->state != STAGE_WHOLE;
			commit_forget(s->config.commit, st);
			s->counters.snapshots_broken++;
			let_go(st);
		}
	}
}

static void fail(struct stage *st, const char *why)
{
	struct sync *s = st->sync;
	struct sync_tracker *p = sync_peer_by_id(s, st->from);

	if (st->state != STAGE_GOING) /* undone with something else, and counted */
		s->counters.snapshots_broken++;
	log_line(s->env->log, LOG_ERROR, "sync", "the snapshot from tracker %u could not be merged: %s", st->from, why);
	let_go(st);
	commit_snapshot_cancel(s->config.commit); /* calls sync_staging_undone(): this one is GOING already */
	if (p != NULL && p->in != NULL)
		sync_link_doom(p->in, "its snapshot could not be merged: %s", why);
}

/* -- merging */

static void on_saved(void *arg, enum shoal_err result)
{
	struct stage *st = arg;
	struct sync *s = st->sync;
	struct sync_tracker *p = sync_peer_by_id(s, st->from);

	if (result != SHOAL_OK)
		return; /* sync_staging_undone() was called, or everything ends */
	s->counters.snapshots_merged++;
	log_line(s->env->log, LOG_INFO, "sync", "a snapshot of %llu rows came from tracker %u",
	         (unsigned long long)st->rows, st->from);
	if (p != NULL && st->tables == REGISTRY_ALL_TABLES)
		sync_receive_note_has(p, &st->vector);
	let_go(st);
	sync_staging_next(s);
}

static void read_on(struct stage *st)
{
	st->asked = ask(st, CONTENT_STAGE_READ, slice_of(st->last.data, st->last.len), 0);
	if (!st->asked)
		fail(st, "no memory");
}

static void save(struct stage *st)
{
	struct error e = { 0 };

	if (commit_snapshot_end(st->sync->config.commit, st->from, &e) != SHOAL_OK) {
		fail(st, e.message);
		return;
	}
	st->state = STAGE_SAVING;
	if (commit_barrier(st->sync->config.commit, on_saved, st) != SHOAL_OK)
		let_go(st); /* no memory to wait for it: that it is durable shows in the vector */
}

static bool remember_last(struct stage *st, struct slice rows)
{
	struct cursor c = cursor_of(rows.data, rows.len);
	struct wire_row wire = { 0 };

	while (cursor_left(&c) != 0)
		wire_row_get(&c, &wire);
	buf_reset(&st->last);
	wire_row_put(&st->last, &(struct wire_row){ .table = wire.table, .key = wire.key });
	return !c.bad && !st->last.failed;
}

/* Planted bug: the last row of a portion is left out, as if it came again with the next one. */
static struct slice all_but_planted(struct slice rows)
{
	struct cursor c = cursor_of(rows.data, rows.len);
	struct wire_row wire;
	size_t last = 0;

	while (PLANTED(portion_short) && cursor_left(&c) != 0) {
		last = rows.len - cursor_left(&c);
		wire_row_get(&c, &wire);
	}
	return PLANTED(portion_short) ? slice_of(rows.data, last) : rows;
}

/* Changes and replies wait from the first portion to the end: it begins when the first is at hand. */
static void merge_portion(struct stage *st, const struct content_op *op, enum shoal_err rc)
{
	struct slice rows = slice_of(op->data.data, op->data.len);
	struct commit *commit = st->sync->config.commit;
	struct error e = { 0 };

	st->sync->counters.portions_merged++;
	if (rc != SHOAL_OK)
		fail(st, "what was put aside cannot be read");
	else if (st->last.len == 0 &&
	         commit_snapshot_begin(commit, &st->vector, st->hlc, st->tables, st->number, &e) != SHOAL_OK)
		fail(st, e.message);
	else if (commit_snapshot_rows(commit, op->more ? all_but_planted(rows) : rows, st->from, &e) != SHOAL_OK)
		fail(st, e.message);
	else if (!op->more)
		save(st);
	else if (!remember_last(st, rows))
		fail(st, "no memory");
	else
		read_on(st);
}

/* The turn of the next one, if one is whole and nothing else is being merged. */
void sync_staging_next(struct sync *s)
{
	struct stage *st;

	if (sync_merging(s))
		return;
	LIST_FOREACH(st, &s->stages, next)
		if (st->state == STAGE_WHOLE && st->put == st->rows)
			break;
	if (st == NULL)
		return;
	st->state = STAGE_MERGING;
	read_on(st);
}

/* -- what the store answers */

static void on_put(struct stage *st, uint32_t n, enum shoal_err rc)
{
	struct sync *s = st->sync;
	struct sync_link *l;

	st->put += n;
	if (st->state == STAGE_GOING) {
		forget_some(st);
		return;
	}
	LIST_FOREACH(l, &s->links, next)
		if (l->staging == st)
			break;
	if (rc != SHOAL_OK && l != NULL) {
		sync_link_doom(l, "its snapshot could not be put aside: %s", error_default(rc));
	} else if (rc != SHOAL_OK) {
		fail(st, "it could not be put aside");
	} else if (l != NULL && !l->doomed) {
		struct buf *b = &s->scratch;
		size_t start = sync_begin(b, SYNC_SNAP_ACK);
		sync_snap_ack_put(b, &(struct sync_snap_ack){ .serial = st->serial, .rows = st->put });
		(void)frame_end(b, start);
		sync_link_send(l, b);
	} else {
		sync_staging_next(s);
	}
}

void sync_staging_on_answer(struct sync *s, const struct ask *asked, const struct content_op *op, enum shoal_err rc)
{
	struct stage *st = find_stage(s, asked->stage);

	if (st == NULL)
		return;
	if (op->kind == CONTENT_STAGE_PUT) {
		on_put(st, asked->chunk, rc);
		return;
	}
	st->asked = false;
	if (op->kind == CONTENT_STAGE_READ && st->state == STAGE_MERGING)
		merge_portion(st, op, rc);
	else if (op->kind == CONTENT_STAGE_READ || (rc == SHOAL_OK && op->more))
		forget_some(st);
	else
		free_stage(st); /* what a failing disk still has goes at the next start */
}

/* -- frames */

/* Planted bugs: the vector before the rows; half the rows of a snapshot that broke off. */
static void take_vector_first(struct sync_link *l)
{
	struct registry_cut *own = registry_cut_new(l->sync->config.registry);
	struct error e;

	if (own != NULL && vvec_copy(&own->vector, &l->staging->vector) == SHOAL_OK)
		(void)commit_snapshot(l->sync->config.commit, own, l->batch_from, &e);
	registry_cut_free(own);
}

void sync_staging_broke_off(struct sync_link *l)
{
	struct stage *st;
	struct error e;

	if (!PLANTED(partial_rows) || (st = l->staging) == NULL || sync_merging(l->sync))
		return;
	if (commit_snapshot_begin(l->sync->config.commit, &(struct vvec){ 0 }, 0, 0, 0, &e) == SHOAL_OK) {
		(void)commit_snapshot_rows(l->sync->config.commit, slice_of(st->planted.data, st->planted.len), l->batch_from, &e);
		(void)commit_snapshot_end(l->sync->config.commit, l->batch_from, &e);
	}
}

enum shoal_err sync_staging_on_begin(struct sync_link *l, struct slice body, struct error *e)
{
	struct sync *s = l->sync;
	struct cursor c = cursor_of(body.data, body.len);
	struct sync_snap_begin m;

	sync_snap_begin_get(&c, &m);
	sync_staging_break_off(l);
	if (m.tables == 0)
		return error_set(e, SHOAL_EPROTO, "a snapshot of no table");
	struct stage *st = try_alloc(sizeof(*st));
	if (st == NULL)
		return error_set(e, SHOAL_EBUSY, "no memory for its snapshot");
	LIST_INSERT_HEAD(&s->stages, st, next);
	l->staging = st;
	st->sync = s;
	st->number = ++s->last_stage;
	st->from = l->batch_from;
	st->serial = m.serial;
	st->announced = m.rows;
	st->hlc = m.hlc;
	st->tables = m.tables;
	sha256_init(&st->hash);
	enum shoal_err rc = sync_receive_vector(s, m.vector, &st->vector, e);
	if (rc != SHOAL_OK)
		return rc;
	if (PLANTED(vv_first))
		take_vector_first(l);
	return SHOAL_OK;
}

/* How many rows there are, each of them sound; or why not. */
static enum shoal_err check_rows(struct slice rows, uint64_t *n)
{
	struct cursor c = cursor_of(rows.data, rows.len);

	for (*n = 0; cursor_left(&c) != 0; ++*n) {
		struct wire_row wire;
		struct row *row = NULL;
		wire_row_get(&c, &wire);
		enum shoal_err rc = c.bad ? SHOAL_EPROTO : row_new(&wire, &row);
		row_unref(row);
		if (rc != SHOAL_OK)
			return rc;
	}
	return SHOAL_OK;
}

enum shoal_err sync_staging_on_rows(struct sync_link *l, struct slice body, struct error *e)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct stage *st = l->staging;
	struct sync_snap_rows m;
	uint64_t n;

	sync_snap_rows_get(&c, &m);
	if (st == NULL || st->serial != m.serial)
		return error_set(e, SHOAL_EPROTO, "rows of a snapshot that was not begun");
	enum shoal_err rc = check_rows(m.rows, &n);
	if (rc == SHOAL_OK && n > st->announced - st->rows)
		rc = SHOAL_EPROTO;
	if (rc != SHOAL_OK)
		return error_set(e, rc, "a row of its snapshot: %s", error_default(rc));
	if (n == 0)
		return SHOAL_OK;
	if (st->rows - st->put > UINT64_C(2) * SYNC_SNAP_AHEAD)
		return error_set(e, SHOAL_EPROTO, "more rows of a snapshot than were asked for");
	sha256_update(&st->hash, m.rows.data, m.rows.len);
	if (!ask(st, CONTENT_STAGE_PUT, m.rows, (uint32_t)n))
		return error_set(e, SHOAL_EBUSY, "no memory for its snapshot");
	if (PLANTED(partial_rows) && st->rows < st->announced / 2)
		buf_put(&st->planted, m.rows.data, m.rows.len);
	st->rows += n;
	return SHOAL_OK;
}

enum shoal_err sync_staging_on_end(struct sync_link *l, struct slice body, struct error *e)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct stage *st = l->staging;
	struct sync_snap_end m;
	struct id32 hash;

	sync_snap_end_get(&c, &m);
	if (st == NULL || st->serial != m.serial)
		return error_set(e, SHOAL_EPROTO, "the end of a snapshot that was not begun");
	sha256_final(&st->hash, &hash);
	if (m.rows != st->rows || m.rows != st->announced || !id32_eq(&hash, &m.hash))
		return error_set(e, SHOAL_EINTEGRITY, "its snapshot is not whole");
	l->staging = NULL;
	st->state = STAGE_WHOLE;
	sync_staging_next(l->sync);
	return SHOAL_OK;
}
