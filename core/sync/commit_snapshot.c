/* core/sync/commit_snapshot.c - a snapshot of another tracker becomes a change: portion by portion in the open group, which
 * waits for the end, so that all of it is one transaction. */
#include <assert.h>

#include "core/base/mem.h"
#include "core/sync/commit_impl.h"

enum shoal_err commit_snapshot_begin(struct commit *c, const struct vvec *vector, uint64_t hlc, unsigned tables,
                                     uint64_t stage, struct error *e)
{
	enum shoal_err rc = commit_check_writable(c, e);

	assert(!c->in_batch && c->snapshot == NULL);
	if (rc != SHOAL_OK)
		return rc;
	c->snapshot = registry_snapshot_new(c->reg, vector, hlc, tables, stage != 0);
	c->stage = stage;
	c->snapshot_changed = false;
	return c->snapshot != NULL ? SHOAL_OK : error_set(e, SHOAL_EBUSY, "no memory");
}

/* A portion, or the end of it: what it changed belongs to the open group. */
static enum shoal_err keep_portion(struct commit *c, struct change *ch, struct undo *undo, uint16_t from,
                                   struct error *e)
{
	if (undo == NULL) {
		free(ch);
		return SHOAL_OK;
	}
	c->snapshot_changed = true;
	return commit_keep_change(c, ch, undo, from, e);
}

enum shoal_err commit_snapshot_rows(struct commit *c, struct slice rows, uint16_t from, struct error *e)
{
	struct undo *undo = NULL;
	struct change *ch;

	assert(!c->in_batch);
	if (c->snapshot == NULL)
		return error_set(e, SHOAL_ECANCELLED, "it was undone");
	if ((ch = commit_begin_change(c)) == NULL) {
		commit_snapshot_cancel(c);
		return error_set(e, SHOAL_EBUSY, "no memory");
	}
	enum shoal_err rc = registry_snapshot_rows(c->snapshot, rows, c->env->wall_ms(c->env->ctx), c->open.txn, &undo);
	if (rc == SHOAL_OK)
		return keep_portion(c, ch, undo, from, e);
	free(ch);
	commit_snapshot_cancel(c);
	return error_set(e, rc, "%s", error_default(rc));
}

enum shoal_err commit_snapshot_end(struct commit *c, uint16_t from, struct error *e)
{
	struct undo *undo = NULL;
	struct change *ch;

	assert(!c->in_batch);
	if (c->snapshot == NULL)
		return error_set(e, SHOAL_ECANCELLED, "it was undone");
	if ((ch = commit_begin_change(c)) == NULL) {
		commit_snapshot_cancel(c);
		return error_set(e, SHOAL_EBUSY, "no memory");
	}
	enum shoal_err rc = registry_snapshot_end(c->snapshot, c->env->wall_ms(c->env->ctx), c->open.txn, &undo);
	if (rc != SHOAL_OK) {
		free(ch);
		commit_snapshot_cancel(c);
		return error_set(e, rc, "%s", error_default(rc));
	}
	if (undo != NULL || c->snapshot_changed) {
		commit_add_notices(c, &undo);
		c->open.txn->adopt = c->stage;
	}
	commit_drop_snapshot(c);
	rc = keep_portion(c, ch, undo, from, e);
	commit_submit(c); /* the end itself may have had nothing to change */
	return rc;
}

void commit_snapshot_cancel(struct commit *c)
{
	if (c->snapshot != NULL)
		commit_abandon(c);
}

enum shoal_err commit_snapshot(struct commit *c, const struct registry_cut *snapshot, uint16_t from, struct error *e)
{
	struct undo *undo = NULL;
	struct change *ch;
	enum shoal_err rc = commit_check_writable(c, e);

	assert(!c->in_batch);
	if (rc != SHOAL_OK)
		return rc;
	if ((ch = commit_begin_change(c)) == NULL)
		return error_set(e, SHOAL_EBUSY, "no memory");
	rc = registry_apply_snapshot(c->reg, snapshot->rows, snapshot->n, &snapshot->vector, snapshot->hlc,
	                             c->env->wall_ms(c->env->ctx), c->open.txn, &undo);
	if (rc != SHOAL_OK || undo == NULL) {
		free(ch);
		return rc == SHOAL_OK ? SHOAL_OK : error_set(e, rc, "%s", error_default(rc));
	}
	commit_add_notices(c, &undo);
	return commit_keep_change(c, ch, undo, from, e);
}
