/* core/sync/presence.c - who is online and who leeches, told to the other trackers; whom one of them is asked to have
 * dial.
 *
 * Rows are gathered during a step and sent at its end to every peer. Of sessions only news are told (lease_book.h); every
 * 2.5 s a sum for each home says that the rest still holds. Whose sessions are others than the sum's asks for all of that
 * home: the home itself, or while that is out of reach whoever told the sum. Announces are all told every 5 s. A link
 * that is crowded misses a turn: the next one comes in time. */
#include "core/sync/sync_state.h"

#define ROWS_BYTES_MAX (1u << 18) /* of one frame */

/* -- rows */

static bool is_full(const struct sync_rows *r)
{
	return r->bytes.len > ROWS_BYTES_MAX || r->count == UINT16_MAX;
}

static void send_rows_on(struct sync_link *l, enum sync_kind kind, const struct sync_rows *r)
{
	struct buf *b = &l->sync->scratch;
	size_t start = sync_begin(b, kind);

	buf_put_u16(b, r->count); /* the only field of all lists */
	buf_put(b, r->bytes.data, r->bytes.len);
	if (r->bytes.failed || frame_end(b, start) != SHOAL_OK)
		b->failed = true;
	sync_link_send(l, b);
}

static void empty_rows(struct sync_rows *r)
{
	if (r->bytes.failed)
		buf_free(&r->bytes);
	buf_reset(&r->bytes);
	r->count = 0;
}

/* One frame of the gathered rows to everybody. */
static void send_rows(struct sync *s, enum sync_kind kind, struct sync_rows *r)
{
	struct sync_tracker *p;

	LIST_FOREACH(p, &s->peers, next) {
		struct sync_link *l = sync_peer_link(p);
		if (r->count != 0 && !r->bytes.failed && l != NULL && !sync_link_crowded(l))
			send_rows_on(l, kind, r);
	}
	empty_rows(r);
}

static void put_lease(struct sync_rows *r, const struct sync_session *se, uint64_t beat, uint32_t left_ms, bool steady)
{
	sync_lease_row_put(&r->bytes, &(struct sync_lease_row){ .log = se->dot.log,
	                                                       .seq = se->dot.seq,
	                                                       .uid = se->uid,
	                                                       .device = se->device,
	                                                       .home = se->home,
	                                                       .epoch = se->epoch,
	                                                       .beat = beat,
	                                                       .left_ms = left_ms,
	                                                       .steady = steady,
	                                                       .address = se->address });
	r->count++;
}

void sync_send_session(struct sync *s, const struct sync_session *se)
{
	uint64_t beat;
	bool steady;

	if (se->home != s->config.self || !lease_book_put_own(&s->book, se, s->now, &beat, &steady))
		return;
	if (is_full(&s->lease_rows))
		send_rows(s, SYNC_LEASE, &s->lease_rows);
	put_lease(&s->lease_rows, se, beat, se->left_ms, steady);
	s->counters.leases_told++;
}

bool sync_renew_session(struct sync *s, const struct sync_session *se)
{
	return lease_book_renew_own(&s->book, se, s->now);
}

void sync_send_announce(struct sync *s, const struct sync_announce *a)
{
	if (is_full(&s->peer_rows))
		send_rows(s, SYNC_PEER, &s->peer_rows);
	sync_peer_row_put(&s->peer_rows.bytes, &(struct sync_peer_row){ .gid = a->gid,
	                                                               .fid = a->fid,
	                                                               .uid = a->uid,
	                                                               .device = a->device,
	                                                               .home = a->home,
	                                                               .epoch = a->epoch,
	                                                               .beat = a->beat,
	                                                               .pieces = a->pieces,
	                                                               .left_ms = a->left_ms,
	                                                               .address = a->address });
	s->peer_rows.count++;
}

/* -- sums */

static void put_sum(struct sync_rows *r, const struct lease_home *h, bool all)
{
	struct lease_sum sum = h->told;

	sync_lease_sum_row_put(&r->bytes, &(struct sync_lease_sum_row){ .home = h->id,
	                                                               .beat = sum.beat,
	                                                               .steady = sum.steady,
	                                                               .sum = sum.sum,
	                                                               .left_ms = sum.left_ms,
	                                                               .all = all });
	r->count++;
}

/* Each peer is told of all homes, but for itself. */
static void send_sums(struct sync *s)
{
	struct lease_home *h = lease_book_need_home(&s->book, s->config.self);
	struct sync_tracker *p;

	if (h != NULL)
		lease_book_beat(&s->book, h);
	for (h = s->book.homes; h != NULL; h = h->hh.next)
		h->told = lease_home_sum(h, s->now);
	LIST_FOREACH(p, &s->peers, next) {
		struct sync_link *l = sync_peer_link(p);
		struct sync_rows rows = { 0 };
		if (l == NULL || sync_link_crowded(l))
			continue;
		for (h = s->book.homes; h != NULL; h = h->hh.next)
			if (h->id != p->id && (h->id == s->config.self || h->steady != 0) && !is_full(&rows))
				put_sum(&rows, h, false);
		send_rows_on(l, SYNC_LEASE_SUM, &rows);
		buf_free(&rows.bytes);
	}
}

void sync_presence_flush(struct sync *s)
{
	send_rows(s, SYNC_LEASE, &s->lease_rows); /* before the sums: they count them */
	send_rows(s, SYNC_PEER, &s->peer_rows);
	if (s->sums_due)
		send_sums(s);
	s->sums_due = false;
}

void sync_presence_renew(struct sync *s)
{
	s->leases_at = s->now + SYNC_LEASES_EVERY_MS;
	lease_book_expire(&s->book, s->now);
	if (s->config.leases != NULL)
		s->config.leases(s->config.owner);
	s->sums_due = true;
}

/* -- what others tell */

static void tell_owner(struct sync *s, const struct sync_session *se)
{
	if (s->config.on_session != NULL)
		s->config.on_session(s->config.owner, se);
}

static void on_renewed(void *arg, const struct lease *lease)
{
	struct sync *s = arg;
	struct sync_session se = lease->session;

	se.left_ms = lease_left(lease, s->now);
	s->counters.leases_renewed++;
	tell_owner(s, &se);
}

enum shoal_err sync_presence_on_lease(struct sync_link *l, struct slice body)
{
	struct sync *s = l->sync;
	struct cursor c = cursor_of(body.data, body.len);
	unsigned count = get_u16(&c);
	struct sync_rows ends = { 0 };

	for (unsigned i = 0; i < count; i++) {
		struct sync_lease_row row;
		struct sync_session end;
		sync_lease_row_get(&c, &row);
		struct sync_session se = { .dot = { row.log, row.seq },
			                   .uid = row.uid,
			                   .device = row.device,
			                   .home = row.home,
			                   .epoch = row.epoch,
			                   .beat = row.beat,
			                   .left_ms = row.left_ms,
			                   .address = row.address };
		if (row.home == s->config.self)
			continue; /* our own, come back */
		s->counters.leases_heard++;
		if (lease_book_take(&s->book, &se, row.steady != 0, s->now))
			tell_owner(s, &se);
		else if (row.home == l->peer->id && !is_full(&ends) && lease_book_ended_later(&s->book, &se, &end))
			put_lease(&ends, &end, end.beat, 0, false);
	}
	if (ends.count != 0 && !sync_link_crowded(l))
		send_rows_on(l, SYNC_LEASE, &ends);
	buf_free(&ends.bytes);
	return SHOAL_OK;
}

/* An answer is under way on that link: one at a time. */
static bool is_answering(const struct sync_link *l)
{
	for (const struct lease_home *h = l->sync->book.homes; h != NULL; h = h->hh.next)
		if (h->asked == l->conn && l->sync->now < h->asked_at + SYNC_LEASE_ANSWER_MS)
			return true;
	return false;
}

/* Our sessions of that home are others than those of the one who told: shall it tell all of them? */
static bool shall_ask(struct sync_link *l, const struct lease_home *h)
{
	struct sync *s = l->sync;
	const struct sync_tracker *home = sync_peer_by_id(s, h->id);

	if ((h->asked_at != 0 && s->now < h->asked_at + SYNC_LEASE_ASK_MS) || is_answering(l))
		return false;
	return home == l->peer || home == NULL || sync_peer_link(home) == NULL;
}

static void ask(struct sync_link *l, struct lease_home *h)
{
	struct buf *b = &l->sync->scratch;
	size_t start = sync_begin(b, SYNC_LEASE_WANT);

	sync_lease_want_put(b, &(struct sync_lease_want){ .home = h->id });
	(void)frame_end(b, start);
	lease_home_begin_answer(h, l->conn, l->sync->now);
	l->sync->counters.leases_asked++;
	sync_link_send(l, b);
}

static void on_sum(struct sync_link *l, const struct sync_lease_sum_row *row)
{
	struct sync *s = l->sync;
	struct lease_home *h = lease_book_need_home(&s->book, row->home);
	struct lease_sum sum = { .steady = row->steady, .sum = row->sum, .beat = row->beat, .left_ms = row->left_ms };

	if (h == NULL)
		return; /* no memory: the next one comes */
	bool answered = row->all != 0 && h->asked == l->conn;
	if (answered)
		h->asked = 0;
	if (row->home == l->peer->id)
		h->told_at = s->now;
	else if (h->told_at != 0 && s->now < h->told_at + 2 * SYNC_LEASES_EVERY_MS)
		return; /* from itself we know better */
	if (answered)
		lease_home_end_answer(h);
	if (!lease_home_renew(h, &sum, s->now, on_renewed, s) && row->all == 0 && shall_ask(l, h))
		ask(l, h);
}

enum shoal_err sync_presence_on_sum(struct sync_link *l, struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	unsigned count = get_u16(&c);

	for (unsigned i = 0; i < count && !l->doomed; i++) {
		struct sync_lease_sum_row row;
		sync_lease_sum_row_get(&c, &row);
		if (row.home != l->sync->config.self)
			on_sum(l, &row);
	}
	return SHOAL_OK;
}

static void end_answer(struct sync_link *l, struct sync_rows *rows)
{
	empty_rows(rows);
	l->telling->told = lease_home_sum(l->telling, l->sync->now);
	put_sum(rows, l->telling, true);
	send_rows_on(l, SYNC_LEASE_SUM, rows);
	l->telling = NULL;
}

uint64_t sync_presence_answer(struct sync_link *l)
{
	struct sync *s = l->sync;
	struct sync_rows rows = { 0 };
	const struct lease *lease;

	if (l->telling == NULL || s->now < l->tell_at)
		return l->telling == NULL ? ENV_NEVER : l->tell_at;
	l->tell_at = s->now + SYNC_LEASE_TICK_MS;
	if (sync_link_crowded(l))
		return l->tell_at;
	LIST_FOREACH(lease, &l->telling->leases, of_home) {
		if (is_full(&rows))
			break;
		if (lease->place >= l->tell_below || lease_left(lease, s->now) == 0)
			continue;
		put_lease(&rows, &lease->session, lease->session.beat, lease_left(lease, s->now), lease->steady);
		l->tell_below = lease->place;
		s->counters.leases_told++;
	}
	send_rows_on(l, SYNC_LEASE, &rows);
	if (lease == NULL)
		end_answer(l, &rows);
	buf_free(&rows.bytes);
	return l->telling == NULL ? ENV_NEVER : l->tell_at;
}

enum shoal_err sync_presence_on_want(struct sync_link *l, struct slice body)
{
	struct sync *s = l->sync;
	struct cursor c = cursor_of(body.data, body.len);
	struct sync_lease_want m;

	sync_lease_want_get(&c, &m);
	struct lease_home *h = lease_book_home(&s->book, m.home);
	if (h == NULL)
		return SHOAL_OK; /* nobody said a sum of it */
	if (h->id == s->config.self)
		lease_book_beat(&s->book, h);
	l->telling = h;
	l->tell_below = UINT64_MAX;
	l->tell_at = s->now;
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

void sync_send_dial(struct sync *s, uint16_t home, const struct sync_dial_ask *ask)
{
	struct sync_dial m = { .fid = ask->fid, .uid = ask->uid, .peer = ask->peer, .identity = ask->identity,
		               .address = ask->address };
	struct buf *b = &s->scratch;
	struct sync_tracker *p;

	LIST_FOREACH(p, &s->peers, next) {
		struct sync_link *l = p->id == home ? sync_peer_link(p) : NULL;
		if (l == NULL || sync_link_crowded(l))
			continue;
		size_t start = sync_begin(b, SYNC_DIAL);
		sync_dial_put(b, &m);
		(void)frame_end(b, start);
		sync_link_send(l, b);
	}
}

enum shoal_err sync_presence_on_dial(struct sync_link *l, struct slice body)
{
	const struct sync_config *config = &l->sync->config;
	struct cursor c = cursor_of(body.data, body.len);
	struct sync_dial m;

	sync_dial_get(&c, &m);
	if (config->on_dial != NULL)
		config->on_dial(config->owner, &(struct sync_dial_ask){ .fid = m.fid, .uid = m.uid, .peer = m.peer,
		                                                        .identity = m.identity, .address = m.address });
	return SHOAL_OK;
}
