/* core/sync/presence.c - who is online and who leeches, told to the other trackers.
 *
 * The tracker keeps the tables; here they only travel. Rows are gathered during a step and sent at its end to every
 * peer; a link that is crowded misses a turn: the next one comes within 5 s, and a lease lasts 30 s or more. */
#include "core/sync/sync_state.h"

#define ROWS_BYTES_MAX (1u << 18) /* of one frame */

static bool is_full(const struct buf *rows, uint16_t count)
{
	return rows->len > ROWS_BYTES_MAX || count == UINT16_MAX;
}

/* One frame of the gathered rows to everybody. */
static void send_rows(struct sync *s, enum sync_kind kind, struct buf *rows, uint16_t *count)
{
	struct sync_tracker *p;

	if (*count == 0 || rows->failed) {
		buf_free(rows);
		*count = 0;
		return;
	}
	LIST_FOREACH(p, &s->peers, next) {
		struct sync_link *l = sync_peer_link(p);
		struct buf *b = &s->scratch;
		if (l == NULL || sync_link_crowded(l))
			continue;
		size_t start = sync_begin(b, kind);
		buf_put_u16(b, *count); /* the only field of both kinds */
		buf_put(b, rows->data, rows->len);
		(void)frame_end(b, start);
		sync_link_send(l, b);
	}
	buf_reset(rows);
	*count = 0;
}

void sync_presence_flush(struct sync *s)
{
	send_rows(s, SYNC_LEASE, &s->lease_rows, &s->lease_count);
	send_rows(s, SYNC_PEER, &s->peer_rows, &s->peer_count);
}

void sync_send_session(struct sync *s, const struct sync_session *se)
{
	if (is_full(&s->lease_rows, s->lease_count))
		send_rows(s, SYNC_LEASE, &s->lease_rows, &s->lease_count);
	sync_lease_row_put(&s->lease_rows, &(struct sync_lease_row){ .log = se->dot.log,
	                                                            .seq = se->dot.seq,
	                                                            .uid = se->uid,
	                                                            .device = se->device,
	                                                            .home = se->home,
	                                                            .epoch = se->epoch,
	                                                            .beat = se->beat,
	                                                            .left_ms = se->left_ms,
	                                                            .address = se->address });
	s->lease_count++;
}

void sync_send_announce(struct sync *s, const struct sync_announce *a)
{
	if (is_full(&s->peer_rows, s->peer_count))
		send_rows(s, SYNC_PEER, &s->peer_rows, &s->peer_count);
	sync_peer_row_put(&s->peer_rows, &(struct sync_peer_row){ .gid = a->gid,
	                                                         .fid = a->fid,
	                                                         .uid = a->uid,
	                                                         .device = a->device,
	                                                         .home = a->home,
	                                                         .epoch = a->epoch,
	                                                         .beat = a->beat,
	                                                         .pieces = a->pieces,
	                                                         .left_ms = a->left_ms,
	                                                         .address = a->address });
	s->peer_count++;
}

enum shoal_err sync_presence_on_lease(struct sync_link *l, struct slice body)
{
	const struct sync_config *config = &l->sync->config;
	struct cursor c = cursor_of(body.data, body.len);
	unsigned count = get_u16(&c);

	for (unsigned i = 0; i < count; i++) {
		struct sync_lease_row row;
		sync_lease_row_get(&c, &row);
		if (row.home == config->self || config->on_session == NULL)
			continue; /* our own, come back */
		config->on_session(config->owner, &(struct sync_session){ .dot = { row.log, row.seq },
		                                                          .uid = row.uid,
		                                                          .device = row.device,
		                                                          .home = row.home,
		                                                          .epoch = row.epoch,
		                                                          .beat = row.beat,
		                                                          .left_ms = row.left_ms,
		                                                          .address = row.address });
	}
	return SHOAL_OK;
}

enum shoal_err sync_presence_on_peer(struct sync_link *l, struct slice body)
{
	const struct sync_config *config = &l->sync->config;
	struct cursor c = cursor_of(body.data, body.len);
	unsigned count = get_u16(&c);

	for (unsigned i = 0; i < count; i++) {
		struct sync_peer_row row;
		sync_peer_row_get(&c, &row);
		if (row.home == config->self || config->on_announce == NULL)
			continue;
		config->on_announce(config->owner, &(struct sync_announce){ .gid = row.gid,
		                                                            .fid = row.fid,
		                                                            .uid = row.uid,
		                                                            .device = row.device,
		                                                            .home = row.home,
		                                                            .epoch = row.epoch,
		                                                            .beat = row.beat,
		                                                            .pieces = row.pieces,
		                                                            .left_ms = row.left_ms,
		                                                            .address = row.address });
	}
	return SHOAL_OK;
}
