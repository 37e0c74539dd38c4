/* core/sync/receive.c - a peer's ops to us, and our ACKs back; a peer's ACKs to us.
 *
 * What one read of the connection brings is one batch (at most 256 ops), one transaction, one ACK. Per log strictly
 * contiguous: a gap ends the link, and the HELLO of the next one tells where we are. */
#include "core/base/planted.h"
#include "core/sync/sync_state.h"

static struct dot dot_of(struct slice record)
{
	struct cursor c = cursor_of(record.data, record.len);
	struct dot dot;

	(void)get_u32(&c); /* version, op, flags: core/wire/record.h */
	dot.log = get_u64(&c);
	dot.seq = get_u64(&c);
	return dot;
}

/* Whoever sends an op has it: our own link need not bring it back. */
static void note_sender(struct sync_link *l, struct dot dot)
{
	struct vvec has = { 0 };

	if (vvec_raise(&has, dot.log, dot.seq) == SHOAL_OK)
		sync_receive_note_has(l->peer, &has);
	vvec_fini(&has);
}

/* Nobody can know of an operation of this run that was not written here: believed, it would take the numbers of the next. */
static bool invented(const struct sync *s, struct dot dot)
{
	return dot.log == registry_log(s->config.registry) && !vvec_covers(registry_vector(s->config.registry), dot);
}

enum shoal_err sync_receive_vector(const struct sync *s, struct slice entries, struct vvec *out, struct error *e)
{
	const uint64_t own = registry_log(s->config.registry);

	if (!sync_vector_from_wire(out, entries))
		return error_set(e, SHOAL_EBUSY, "no memory for its vector");
	if (invented(s, (struct dot){ own, vvec_get(out, own) }))
		return error_set(e, SHOAL_EPROTO, "it says that it has operations of this tracker that were never written here");
	return SHOAL_OK;
}

void sync_receive_note_has(struct sync_tracker *p, const struct vvec *has)
{
	if (p == NULL)
		return;
	/* Without memory it is only told what it knows. */
	(void)vvec_merge(&p->acked, has);
	if (p->out != NULL && p->out->state == LINK_UP)
		(void)vvec_merge(&p->out->ship.sent, has);
}

enum shoal_err sync_receive_op(struct sync_link *l, struct slice record, struct error *e)
{
	struct sync *s = l->sync;
	struct dot dot = dot_of(record);

	if (invented(s, dot))
		return error_set(e, SHOAL_EPROTO, "it is of this tracker, and was never written here");
	if (s->batch_ops == 0)
		commit_batch_begin(s->config.commit);
	s->batch_ops++;
	enum shoal_err rc = commit_batch_add(s->config.commit, record, e);
	if (rc == SHOAL_OK)
		s->counters.ops_received++;
	if (rc == SHOAL_EEXISTS)
		rc = SHOAL_OK; /* another peer was quicker */
	if (rc == SHOAL_OK)
		note_sender(l, dot);
	if (rc == SHOAL_ECONFLICT) {
		s->counters.gaps++;
		(void)error_set(e, rc, "there is a gap before it");
	}
	if (s->batch_ops == SYNC_BATCH_OPS)
		sync_receive_end(l);
	return rc;
}

void sync_receive_end(struct sync_link *l)
{
	struct sync *s = l->sync;
	if (s->batch_ops == 0)
		return;
	s->batch_ops = 0;
	commit_batch_end(s->config.commit, l->batch_from);
}

/* -- ACKs out */

void sync_receive_durable(struct sync_link *l)
{
	if (l->ack_at == ENV_NEVER)
		l->ack_at = l->acked_at + SYNC_ACK_EVERY_MS > l->sync->now ? l->acked_at + SYNC_ACK_EVERY_MS : l->sync->now;
}

static void put_changed(struct buf *b, const struct vvec *now, const struct vvec *told)
{
	for (size_t i = 0; i < now->n; i++) {
		if (vvec_get(told, now->entries[i].log) >= now->entries[i].seq)
			continue;
		buf_put_u64(b, now->entries[i].log);
		buf_put_u64(b, now->entries[i].seq);
	}
}

void sync_receive_send_ack(struct sync_link *l)
{
	struct sync *s = l->sync;
	const struct vvec *now = PLANTED(ack_early) ? registry_vector(s->config.registry)
	                                            : registry_durable_vector(s->config.registry);
	struct buf changed = { 0 };
	struct buf *b = &s->scratch;

	l->ack_at = ENV_NEVER;
	l->acked_at = s->now;
	put_changed(&changed, now, &l->told);
	if (changed.failed || vvec_merge(&l->told, now) != SHOAL_OK) {
		sync_link_doom(l, "no memory for an ACK");
	} else if (changed.len != 0) {
		size_t start = sync_begin(b, SYNC_ACK);
		sync_ack_put(b, &(struct sync_ack){ .vector = slice_of(changed.data, changed.len) });
		(void)frame_end(b, start);
		sync_link_send(l, b);
	}
	buf_free(&changed);
}

/* -- ACKs in */

enum shoal_err sync_receive_ack(struct sync_link *l, struct slice vector, struct error *e)
{
	struct vvec changed = { 0 };
	enum shoal_err rc = sync_receive_vector(l->sync, vector, &changed, e);

	if (rc == SHOAL_OK &&
	    (vvec_merge(&l->told, &changed) != SHOAL_OK || !sync_note_vector(l->sync, l->peer, &changed)))
		rc = error_set(e, SHOAL_EBUSY, "no memory for its vector");
	if (rc == SHOAL_OK)
		sync_ship_on_ack(l, &changed);
	vvec_fini(&changed);
	return rc;
}
