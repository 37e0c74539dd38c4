/* core/sync/yield.c - a tracker that was alone for long gives way.
 *
 * Out of contact with every other tracker of the list for over an hour, then back: the names claimed here that nobody else
 * has heard of are marked as yielded before they are shipped, so that people who have used a name elsewhere for weeks do not
 * lose it to an older claim that was hidden. The marks must not come behind the claims: nobody would keep a name for the
 * moment in between. So what was hidden goes out as a snapshot, which is one change, and not from the log. */
#include "core/sync/sync_state.h"

#define ROWS_BYTES (RECORD_MAX / 2) /* of marks in one record */
#define KEY_MAX (2 * sizeof(struct id16))

struct yield {
	struct sync *sync;
	struct vvec known;    /* elsewhere */
	struct buf keys;      /* of a table's claims that are to be marked */
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

/* The key of a claim that nobody else has heard of; its length, 0: it is none. */
static size_t hidden_key(const struct yield *y, enum table table, const void *view, uint8_t key[KEY_MAX])
{
	const struct user_row *u = view;
	const struct group_row *g = view;
	const struct file_row *f = view;

	switch (table) {
	case TABLE_USER: memcpy(key, &u->uid, sizeof(u->uid)); return is_hidden(y, &u->claim, u->yielded) ? sizeof(u->uid) : 0;
	case TABLE_GROUP: memcpy(key, &g->gid, sizeof(g->gid)); return is_hidden(y, &g->claim, g->yielded) ? sizeof(g->gid) : 0;
	default:
		memcpy(key, &f->gid, sizeof(f->gid));
		memcpy(key + sizeof(f->gid), &f->fid, sizeof(f->fid));
		return is_hidden(y, &f->claim, f->yielded) ? KEY_MAX : 0;
	}
}

/* They are looked for once, before any is marked: marking is a change, after which one would have to look anew. */
static void find_hidden(struct yield *y, enum table table)
{
	struct registry_iter it = registry_all(y->sync->config.registry, table);
	const void *view;

	while ((view = registry_next(&it)) != NULL) {
		uint8_t key[KEY_MAX];
		buf_put(&y->keys, key, hidden_key(y, table, view, key));
		y->sync->counters.claims_looked_at++;
	}
	if (y->keys.failed)
		y->rc = SHOAL_EBUSY;
}

static void mark_table(struct yield *y, enum table table, uint8_t column)
{
	size_t len = table == TABLE_FILE ? KEY_MAX : sizeof(struct id16);

	buf_reset(&y->keys);
	find_hidden(y, table);
	for (size_t at = 0; y->rc == SHOAL_OK && at < y->keys.len; at += len) {
		mark(y, table, y->keys.data + at, len, column);
		if (y->op.rows.len >= ROWS_BYTES)
			commit_marks(y);
	}
}

static void mark_all(struct yield *y)
{
	mark_table(y, TABLE_USER, USER_YIELDED);
	mark_table(y, TABLE_GROUP, GROUP_YIELDED);
	mark_table(y, TABLE_FILE, FILE_YIELDED);
	commit_marks(y);
	buf_free(&y->keys);
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
