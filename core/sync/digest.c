/* core/sync/digest.c - do equal vectors mean equal rows?
 *
 * Every 60 s the one who accepted tells count and hash sum of each table at its vector. The one who dialled compares,
 * if it stands at the same vector with nothing pending. A difference is a bug or a rotten disk: it is said loudly, and the
 * rows of the tables that differ are sent and merged; the link the other way does the same. */
#include "core/sync/sync_state.h"

void sync_digest_send(struct sync_link *l)
{
	struct sync *s = l->sync;
	struct buf tables = { 0 };
	struct buf *b = &s->scratch;

	l->digest_at = s->now + (commit_idle(s->config.commit) ? SYNC_DIGEST_MS : SYNC_PING_MS);
	if (!commit_idle(s->config.commit))
		return;
	for (unsigned table = TABLE_USER; table < TABLE_END; table++) {
		struct digest d = registry_digest(s->config.registry, table);
		buf_put_u64(&tables, d.count);
		buf_put_u64(&tables, d.sum);
	}
	size_t start = sync_begin(b, SYNC_DIGEST);
	sync_digest_put(b, &(struct sync_digest){ .vector = vvec_hash(registry_durable_vector(s->config.registry)),
	                                          .tables = slice_of(tables.data, tables.len) });
	if (tables.failed || frame_end(b, start) != SHOAL_OK)
		b->failed = true;
	buf_free(&tables);
	sync_link_send(l, b);
}

enum shoal_err sync_digest_on(struct sync_link *l, struct slice body, struct error *e)
{
	struct sync *s = l->sync;
	struct cursor c = cursor_of(body.data, body.len);
	struct sync_digest m;
	unsigned differ = 0; /* tables, as in SNAP_BEGIN */

	(void)e;
	sync_digest_get(&c, &m);
	if (!commit_idle(s->config.commit) || m.vector != vvec_hash(registry_durable_vector(s->config.registry)))
		return SHOAL_OK; /* not comparable now */
	c = cursor_of(m.tables.data, m.tables.len);
	for (unsigned table = TABLE_USER; table < TABLE_END && cursor_left(&c) != 0; table++) {
		struct digest theirs = { .count = get_u64(&c), .sum = 0 };
		theirs.sum = get_u64(&c);
		struct digest ours = registry_digest(s->config.registry, table);
		if (c.bad || digest_eq(ours, theirs))
			continue;
		differ |= 1u << table;
		log_line(s->env->log, LOG_ERROR, "sync",
		         "table %s differs from tracker %u's though both know the same operations (%llu and %llu rows): "
		         "a bug or a damaged disk; its rows are exchanged",
		         table_word(table), l->peer->id, (unsigned long long)ours.count, (unsigned long long)theirs.count);
	}
	l->peer->digests = differ != 0 ? SYNC_DIGEST_DIFFERS : SYNC_DIGEST_EQUAL;
	if (differ == 0) {
		s->counters.digests_equal++;
		return SHOAL_OK;
	}
	s->counters.digests_differ++;
	if (l->ship.state == SHIP_TAIL || l->ship.state == SHIP_STORE)
		sync_snapshot_begin(l, differ);
	return SHOAL_OK;
}
