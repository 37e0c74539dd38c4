/* core/sync/yield.c - a tracker that was alone for long gives way.
 *
 * Out of contact with every other tracker of the list for over an hour, then back: the names claimed here that nobody else
 * has heard of are marked as yielded before they are shipped, so that people who have used a name elsewhere for weeks do not
 * lose it to an older claim that was hidden. The marks must not come behind the claims: nobody would keep a name for the
 * moment in between. So what was hidden goes out as a snapshot, which is one change, and not from the log. */
#include "core/sync/sync_state.h"

#define ROWS_BYTES (RECORD_MAX / 2) /* of marks in one record */

struct yield {
	struct sync *sync;
	struct vvec known;    /* elsewhere */
	struct op op;
	bool begun;
	uint64_t claims;
	enum shoal_err rc;
};

void sync_yield_contact(struct sync *s)
{
	struct sync_tracker *p;

	if (LIST_EMPTY(&s->peers)) /* nobody to be out of contact with */
		s->contact_at = s->now;
	LIST_FOREACH(p, &s->peers, next)
		if (sync_peer_link(p) != NULL)
			s->contact_at = s->now;
}

static void begin(struct yield *y)
{
	struct sync *s = y->sync;
	op_begin(s->config.registry, OP_YIELD, NULL, s->env->wall_ms(s->env->ctx), &y->op);
	y->begun = true;
}

static void commit_marks(struct yield *y)
{
	if (y->begun && y->rc == SHOAL_OK)
		y->rc = commit_op(y->sync->config.commit, &y->op, NULL, NULL);
	else if (y->begun)
		op_fini(&y->op);
	y->begun = false;
}

static void mark(struct yield *y, uint16_t table, const void *key, size_t key_len, uint8_t column)
{
	struct row_build rb;

	if (!y->begun)
		begin(y);
	row_begin(&rb, &y->op.rows, table, key, key_len);
	row_put_u8(&rb, column, 1);
	row_end(&rb);
	y->claims++;
}

static bool is_hidden(const struct yield *y, const struct stamp *claim, bool yielded)
{
	return !yielded && !stamp_is_zero(claim) && !vvec_covers(&y->known, claim->dot);
}

/* One record's worth of a table; true: there may be more. Each record's claims are marked when the next is looked for. */
static bool mark_some(struct yield *y, enum table table)
{
	struct registry_iter it = registry_all(y->sync->config.registry, table);
	const void *view;

	while (y->rc == SHOAL_OK && (view = registry_next(&it)) != NULL) {
		const struct user_row *u = view;
		const struct group_row *g = view;
		const struct file_row *f = view;
		uint8_t key[2 * sizeof(struct id16)];
		if (table == TABLE_USER && is_hidden(y, &u->claim, u->yielded))
			mark(y, table, &u->uid, sizeof(u->uid), USER_YIELDED);
		else if (table == TABLE_GROUP && is_hidden(y, &g->claim, g->yielded))
			mark(y, table, &g->gid, sizeof(g->gid), GROUP_YIELDED);
		else if (table == TABLE_FILE && is_hidden(y, &f->claim, f->yielded)) {
			memcpy(key, &f->gid, sizeof(f->gid));
			memcpy(key + sizeof(f->gid), &f->fid, sizeof(f->fid));
			mark(y, table, key, sizeof(key), FILE_YIELDED);
		}
		if (y->begun && y->op.rows.len >= ROWS_BYTES)
			return true;
	}
	return false;
}

static void mark_all(struct yield *y)
{
	static const enum table tables[] = { TABLE_USER, TABLE_GROUP, TABLE_FILE };

	for (size_t i = 0; i < COUNT_OF(tables); i++) {
		while (mark_some(y, tables[i]) && y->rc == SHOAL_OK)
			commit_marks(y);
	}
	commit_marks(y);
}

/* What the others have told in this life, and what the one that is here now has. */
static enum shoal_err note_known(struct yield *y, const struct vvec *vector)
{
	struct sync_tracker *p;
	enum shoal_err rc = vvec_copy(&y->known, vector);

	LIST_FOREACH(p, &y->sync->peers, next)
		if (rc == SHOAL_OK)
			rc = vvec_merge(&y->known, &p->acked);
	return rc;
}

/* Whoever lacks what was hidden gets it by a snapshot: as if it were in no log. */
static enum shoal_err hide_log(struct yield *y)
{
	struct sync *s = y->sync;
	const struct vvec *have = registry_vector(s->config.registry);
	struct vvec floor = { 0 };
	enum shoal_err rc = SHOAL_OK;

	for (size_t i = 0; rc == SHOAL_OK && i < have->n; i++)
		if (have->entries[i].seq > vvec_get(&y->known, have->entries[i].log))
			rc = vvec_raise(&floor, have->entries[i].log, have->entries[i].seq);
	if (rc == SHOAL_OK)
		commit_raise_floor(s->config.commit, &floor);
	vvec_fini(&floor);
	return rc;
}

bool sync_yield_if_alone(struct sync *s, const struct vvec *vector)
{
	struct yield y = { .sync = s };

	if (s->now < s->contact_at + SYNC_ALONE_MS)
		return true;
	y.rc = note_known(&y, vector);
	if (y.rc == SHOAL_OK)
		mark_all(&y);
	if (y.rc == SHOAL_OK && y.claims != 0)
		y.rc = hide_log(&y);
	if (y.claims != 0)
		log_line(s->env->log, y.rc == SHOAL_OK ? LOG_WARN : LOG_ERROR, "sync",
		         "this tracker was alone for over an hour: %llu names that were claimed here %s%s",
		         (unsigned long long)y.claims,
		         y.rc == SHOAL_OK ? "rank behind those of the others" : "cannot be marked: ",
		         y.rc == SHOAL_OK ? "" : error_default(y.rc));
	vvec_fini(&y.known);
	return y.rc == SHOAL_OK;
}
