/* core/sync/ship.c - our ops to a peer, in the order in which they came here, nothing before it is durable.
 *
 * After HELLO the stored log is read from its beginning (STORE, READING) and what the peer lacks is sent; at its end
 * the link keeps up with the oplog (TAIL). `sent` knows for each log how far the peer is or will be: what comes twice
 * by the two ways is sent once, and what would leave a gap is never sent. Foreign ops in the tail wait up to 1 s, or until an
 * own one follows: in a full mesh their own tracker has mostly brought them by then. */
#include "core/base/planted.h"
#include "core/sync/sync_state.h"

#define SHIP_CHUNK 65536 /* bytes handed to env at once */

static void forget_unacked(struct ship *sh)
{
	struct sent_op *op;
	while ((op = STAILQ_FIRST(&sh->unacked)) != NULL) {
		STAILQ_REMOVE_HEAD(&sh->unacked, next);
		free(op);
	}
	sh->unacked_bytes = 0;
}

void sync_ship_fini(struct sync_link *l)
{
	forget_unacked(&l->ship);
	vvec_fini(&l->ship.sent);
	vvec_fini(&l->ship.covered);
	registry_cut_free(l->ship.cut);
	l->ship.cut = NULL;
}

/* The log here begins behind something that the peer lacks. */
bool sync_ship_needs_snapshot(const struct sync_link *l)
{
	return !vvec_covers_all(&l->ship.sent, commit_floor(l->sync->config.commit));
}

void sync_ship_begin(struct sync_link *l, const struct vvec *peer_has)
{
	if (vvec_copy(&l->ship.sent, peer_has) != SHOAL_OK) {
		sync_link_doom(l, "no memory for its vector");
		return;
	}
	l->ship.store_pos = 0;
	l->ship.state = SHIP_STORE;
	if (vvec_covers_all(peer_has, registry_durable_vector(l->sync->config.registry))) {
		l->ship.state = SHIP_TAIL; /* it has everything: no need to read */
		l->ship.tail_next = oplog_end(commit_oplog(l->sync->config.commit));
	}
	sync_ship_pump(l);
}

/* -- one op */

static bool remember(struct ship *sh, struct dot dot, size_t bytes)
{
	struct sent_op *op = try_alloc(sizeof(*op));
	if (op == NULL)
		return false;
	if (vvec_raise(&sh->sent, dot.log, dot.seq) != SHOAL_OK) {
		free(op);
		return false;
	}
	*op = (struct sent_op){ .dot = dot, .bytes = bytes };
	STAILQ_INSERT_TAIL(&sh->unacked, op, next);
	sh->unacked_bytes += bytes;
	return true;
}

/* Adds the op to b unless the peer has it. False: the link is doomed. */
static bool ship_one(struct sync_link *l, struct buf *b, struct dot dot, struct slice record)
{
	uint64_t have = vvec_get(&l->ship.sent, dot.log);

	if (dot.seq <= have)
		return true;
	if (dot.seq != have + 1) {
		l->sync->counters.gaps++;
		sync_link_doom(l, "our log has a gap for it");
		return false;
	}
	if (!remember(&l->ship, dot, record.len)) {
		sync_link_doom(l, "no memory");
		return false;
	}
	size_t start = sync_begin(b, SYNC_OP);
	sync_op_put(b, &(struct sync_op){ .record = record });
	(void)frame_end(b, start); /* a failure is sticky in b: sync_link_send() sees it */
	l->sync->counters.ops_sent++;
	return b->len < SHIP_CHUNK || sync_link_send(l, b);
}

static bool window_full(const struct sync_link *l)
{
	return l->ship.unacked_bytes >= SYNC_UNACKED_MAX || sync_link_crowded(l);
}

/* -- from the store */

static void ask_log(struct sync_link *l)
{
	struct sync *s = l->sync;
	struct content_op *op = content_op_new(CONTENT_LOG_READ);

	if (op != NULL) {
		op->after = l->ship.store_pos;
		op->limit = SYNC_READ_BYTES;
	}
	l->ship.tail_at_read = oplog_end(commit_oplog(s->config.commit));
	l->ship.state = SHIP_READING;
	if (!sync_ask(s, &(struct ask){ .kind = ASK_LOG, .conn = l->conn }, op))
		sync_link_doom(l, "no memory to read the log");
}

void sync_ship_on_read(struct sync *s, struct sync_link *l, struct content_op *op, enum shoal_err rc)
{
	struct cursor c = cursor_of(op->data.data, op->data.len);
	struct buf *b = &s->scratch;

	if (l->doomed || l->ship.state != SHIP_READING)
		return;
	if (rc != SHOAL_OK) {
		sync_link_doom(l, "our log cannot be read: %s", error_default(rc));
		return;
	}
	if (sync_ship_needs_snapshot(l)) { /* the log was cut meanwhile */
		sync_snapshot_begin(l, REGISTRY_ALL_TABLES);
		return;
	}
	while (cursor_left(&c) != 0) {
		struct slice bytes = get_blob(&c);
		struct record rec;
		if (c.bad || record_get(bytes, &rec) != SHOAL_OK) {
			log_line(s->env->log, LOG_ERROR, "sync", "a record of our own log is damaged: it is not shipped");
			sync_link_doom(l, "our log is damaged");
			break;
		}
		if (!ship_one(l, b, rec.stamp.dot, bytes))
			break;
	}
	if (l->doomed) {
		buf_reset(b);
		return;
	}
	if (b->len != 0 && !sync_link_send(l, b))
		return;
	l->ship.store_pos = op->next;
	l->ship.state = op->more ? SHIP_STORE : SHIP_TAIL;
	l->ship.tail_next = l->ship.tail_at_read;
	sync_ship_pump(l);
}

/* -- from the oplog */

/* The index behind the last record that has to go now: an own one, or one that has waited. Each is looked at once. */
static uint64_t due_end(struct sync_link *l)
{
	const struct oplog *log = commit_oplog(l->sync->config.commit);
	uint64_t own = registry_log(l->sync->config.registry), end = oplog_end(log);
	struct ship *sh = &l->ship;

	if (sh->tail_seen < sh->tail_next)
		sh->tail_seen = sh->tail_next;
	if (sh->tail_due < sh->tail_next)
		sh->tail_due = sh->tail_next;
	for (; sh->tail_seen < end; sh->tail_seen++)
		if (oplog_at(log, sh->tail_seen)->dot.log == own)
			sh->tail_due = sh->tail_seen + 1;
	while (sh->tail_due < end && oplog_at(log, sh->tail_due)->at_ms + SYNC_FOREIGN_WAIT_MS <= l->sync->now)
		sh->tail_due++;
	return sh->tail_due;
}

static void ship_tail(struct sync_link *l)
{
	const struct oplog *log = commit_oplog(l->sync->config.commit);
	struct buf *b = &l->sync->scratch;

	if (l->ship.tail_next < oplog_begin(log)) {
		l->ship.state = SHIP_STORE; /* it has fallen behind the window */
		sync_ship_pump(l);
		return;
	}
	uint64_t end = due_end(l);
	for (; l->ship.tail_next < end && !window_full(l); l->ship.tail_next++) {
		const struct oplog_record *r = oplog_at(log, l->ship.tail_next);
		if (PLANTED(own_push) && r->dot.log != registry_log(l->sync->config.registry))
			continue;
		if (!ship_one(l, b, r->dot, r->bytes)) {
			buf_reset(b);
			return;
		}
	}
	if (b->len != 0)
		sync_link_send(l, b);
}

void sync_ship_pump(struct sync_link *l)
{
	if (l->doomed || l->state != LINK_UP)
		return;
	switch (l->ship.state) {
	case SHIP_IDLE:
	case SHIP_READING:
	case SHIP_CUT:
		return;
	case SHIP_STORE:
		if (sync_ship_needs_snapshot(l))
			sync_snapshot_begin(l, REGISTRY_ALL_TABLES);
		else if (!window_full(l))
			ask_log(l);
		return;
	case SHIP_TAIL:
		if (sync_ship_needs_snapshot(l)) /* ours came by a snapshot, not by a log */
			sync_snapshot_begin(l, REGISTRY_ALL_TABLES);
		else
			ship_tail(l);
		return;
	case SHIP_TURN:
		sync_snapshot_begin(l, l->ship.cut_tables);
		return;
	case SHIP_SNAPSHOT:
		sync_snapshot_pump(l);
		return;
	case SHIP_MERGING:
		sync_snapshot_merging(l);
		return;
	}
}

uint64_t sync_ship_deadline(const struct sync_link *l)
{
	const struct oplog *log = commit_oplog(l->sync->config.commit);

	if (l->ship.state == SHIP_SNAPSHOT)
		return l->ship.snap_at;
	if (l->ship.state == SHIP_STORE || l->ship.state == SHIP_TURN)
		return l->sync->now + SYNC_SNAP_TICK_MS; /* an ACK, or the end of another snapshot, comes without notice */
	if (l->ship.state != SHIP_TAIL || l->ship.tail_next >= oplog_end(log) || l->ship.tail_next < oplog_begin(log))
		return ENV_NEVER;
	uint64_t due = oplog_at(log, l->ship.tail_next)->at_ms + SYNC_FOREIGN_WAIT_MS;
	return due > l->sync->now ? due : l->sync->now + SYNC_SNAP_TICK_MS;
}

/* -- acknowledged */

void sync_ship_on_ack(struct sync_link *l, const struct vvec *changed)
{
	struct ship *sh = &l->ship;
	struct sent_op *op;

	if (vvec_merge(&sh->sent, changed) != SHOAL_OK) {
		sync_link_doom(l, "no memory for its vector");
		return;
	}
	while ((op = STAILQ_FIRST(&sh->unacked)) != NULL && vvec_covers(&l->told, op->dot)) {
		STAILQ_REMOVE_HEAD(&sh->unacked, next);
		sh->unacked_bytes -= op->bytes;
		free(op);
	}
	sync_ship_pump(l);
}
