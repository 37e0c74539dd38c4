/* core/registry/registry_snapshot.c - merging all that another tracker has, in portions.
 *
 * Each row is merged as one of an operation would be. Instances that are in the snapshot are marked; at the end what is
 * not, though the sender knew it, was closed there and goes (rule b). Then the vector is taken. Between two portions
 * rows may be here that no vector covers yet: no cut may be made then, nothing of it becomes durable before the end. */
#include <string.h>

#include "core/base/planted.h"
#include "core/registry/registry_change.h"

static const enum table instances[] = { TABLE_MEM, TABLE_SHARE, TABLE_SESS };

struct registry_snapshot {
	struct registry *reg;
	struct vvec sender;
	struct record as; /* not an operation, but what it brings is noticed as one of the sender's time */
	unsigned tables;
	bool staged;
	struct row **contested; /* rows with a name that others have as well: what is to be told is known at the end */
	size_t n_contested, cap;
};

struct registry_snapshot *registry_snapshot_new(struct registry *reg, const struct vvec *sender, uint64_t hlc,
                                                unsigned tables, bool staged)
{
	struct registry_snapshot *snap = try_alloc(sizeof(*snap));

	if (snap == NULL)
		return NULL;
	snap->reg = reg;
	snap->as = (struct record){ .version = RECORD_VERSION, .stamp = { .hlc = hlc != 0 ? hlc : 1 } };
	snap->tables = tables;
	snap->staged = staged;
	if (vvec_copy(&snap->sender, sender) != SHOAL_OK) {
		free(snap);
		return NULL;
	}
	return snap;
}

static void clear_marks(const struct registry *reg)
{
	for (size_t i = 0; i < COUNT_OF(instances); i++) {
		const struct entry *e = entry_first(reg, instances[i]);
		for (; e != NULL; e = entry_after(reg, e))
			((struct entry *)e)->node.own &= ~(uint32_t)ENTRY_MARKED;
	}
}

void registry_snapshot_free(struct registry_snapshot *snap)
{
	if (snap == NULL)
		return;
	clear_marks(snap->reg);
	for (size_t i = 0; i < snap->n_contested; i++)
		row_unref(snap->contested[i]);
	free(snap->contested);
	vvec_fini(&snap->sender);
	free(snap);
}

/* -- a portion */

/* The hub of those who claim the name of that row; NULL: it has none. */
static const struct hub *claims_of(const struct registry *reg, const struct row *row)
{
	struct slice key = row_key(row), name;

	switch (row->table) {
	case TABLE_USER: name = row_column(row, USER_NAME); return hub_find(reg, INDEX_USERS_NAMED, name.data, name.len, NULL, 0);
	case TABLE_GROUP:
		name = row_column(row, GROUP_NAME);
		return hub_find(reg, INDEX_GROUPS_NAMED, name.data, name.len, NULL, 0);
	case TABLE_FILE:
		name = row_column(row, FILE_NAME);
		return hub_find(reg, INDEX_FILES_NAMED, key.data, sizeof(struct id16), name.data, name.len);
	default: return NULL;
	}
}

static enum shoal_err note_contested(struct registry_snapshot *snap, struct row *row)
{
	const struct hub *hub = claims_of(snap->reg, row);

	if (hub == NULL || hub->first == NULL || hub->first->next == NULL)
		return SHOAL_OK;
	if (snap->n_contested == snap->cap) {
		size_t cap = snap->cap != 0 ? 2 * snap->cap : 16;
		struct row **list = try_realloc(snap->contested, cap * sizeof(*list));
		if (list == NULL)
			return SHOAL_EBUSY;
		snap->contested = list;
		snap->cap = cap;
	}
	snap->contested[snap->n_contested++] = row_ref(row);
	return SHOAL_OK;
}

static enum shoal_err merge_one(struct registry_snapshot *snap, struct change *ch, struct row *row)
{
	struct registry *reg = snap->reg;
	const struct entry *known = entry_find(reg, row->table, row_key(row));
	bool arrives = known == NULL || entry_row(known) == NULL;
	enum shoal_err rc = change_merge_row(ch, row);
	struct entry *e = entry_find(reg, row->table, row_key(row));

	if (rc == SHOAL_OK && e != NULL && table_has_dots(row->table))
		e->node.own |= ENTRY_MARKED;
	return rc == SHOAL_OK && arrives ? note_contested(snap, row) : rc;
}

/* Next row of a run; NULL and *rc: the end, or why not. */
static struct row *next_row(struct cursor *c, enum shoal_err *rc)
{
	struct wire_row wire;
	struct row *row = NULL;

	*rc = SHOAL_OK;
	if (cursor_left(c) == 0)
		return NULL;
	wire_row_get(c, &wire);
	*rc = c->bad ? SHOAL_EPROTO : row_new(&wire, &row);
	return row;
}

/* The store will put the rows as they came; what has to be otherwise is written behind that. A row that was here and has
 * changed is written in any case: the same transaction may have an older version of it. */
static enum shoal_err fill_staged(struct change *ch, struct slice rows)
{
	struct cursor c = cursor_of(rows.data, rows.len);
	struct registry *reg = ch->reg;
	enum shoal_err rc;
	struct row *row;

	if (ch->txn == NULL)
		return SHOAL_OK;
	for (size_t i = ch->steps; i < ch->u->n; i++) {
		const struct step *s = &ch->u->steps[i];
		if (s->kind == STEP_ROW && s->row.before != NULL)
			change_put_entry(ch->txn, s->row.entry, s->row.before);
	}
	while ((row = next_row(&c, &rc)) != NULL) {
		const struct entry *e = entry_find(reg, row->table, row_key(row));
		const struct row *now = e != NULL ? entry_row(e) : NULL;
		if (now == NULL)
			store_txn_del(ch->txn, row->table, row_key(row));
		else if (!slice_eq(row_columns(now), row_columns(row)))
			change_put_entry(ch->txn, e, row);
		row_unref(row);
	}
	if (reg->hlc > ch->txn->hlc)
		ch->txn->hlc = reg->hlc;
	return rc == SHOAL_OK && !store_txn_ok(ch->txn) ? SHOAL_EBUSY : rc;
}

static enum shoal_err merge_portion(struct registry_snapshot *snap, struct change *ch, struct slice rows)
{
	struct cursor c = cursor_of(rows.data, rows.len);
	enum shoal_err rc;
	struct row *row;

	while ((row = next_row(&c, &rc)) != NULL) {
		rc = merge_one(snap, ch, row);
		row_unref(row);
		if (rc != SHOAL_OK)
			return rc;
	}
	if (rc != SHOAL_OK)
		return rc;
	change_drop_closed(ch);
	if (snap->reg->found.failed)
		return SHOAL_EBUSY;
	return snap->staged ? fill_staged(ch, rows) : change_fill_txn(ch, slice_of(NULL, 0));
}

enum shoal_err registry_snapshot_rows(struct registry_snapshot *snap, struct slice rows, uint64_t wall_ms,
                                      struct store_txn *txn, struct undo **undo)
{
	struct change ch;
	size_t contested = snap->n_contested;
	enum shoal_err rc = change_begin(&ch, snap->reg, txn, undo);

	if (rc != SHOAL_OK)
		return rc;
	change_hear_hlc(snap->reg, snap->as.stamp.hlc, wall_ms);
	ch.rec = &snap->as;
	rc = merge_portion(snap, &ch, rows);
	if (rc == SHOAL_OK) {
		undo_discard_if_empty(snap->reg, undo, ch.new_undo);
		return rc;
	}
	while (snap->n_contested > contested)
		row_unref(snap->contested[--snap->n_contested]);
	return change_fail(&ch, undo, rc);
}

/* -- the end */

/* Rule (b): instances that I have and the sender has known and no longer has were closed there. */
static enum shoal_err drop_absent(const struct registry_snapshot *snap, struct change *ch)
{
	struct registry *reg = snap->reg;

	for (size_t i = 0; i < COUNT_OF(instances); i++) {
		const struct entry *e, *next;
		if ((snap->tables & 1u << instances[i]) == 0)
			continue;
		for (e = entry_first(reg, instances[i]); e != NULL; e = next) {
			struct dot dot;
			next = entry_after(reg, e);
			if (entry_row(e) == NULL || (e->node.own & ENTRY_MARKED) != 0 || !row_dot(e->last, &dot) ||
			    !vvec_covers(&snap->sender, dot))
				continue;
			notice_dropped(reg, e->last, &snap->sender, &snap->as.stamp);
			enum shoal_err rc = change_drop_entry(ch, (struct entry *)e);
			if (rc != SHOAL_OK)
				return rc;
		}
	}
	return SHOAL_OK;
}

static enum shoal_err take_vector(const struct registry_snapshot *snap, struct change *ch)
{
	enum shoal_err rc = SHOAL_OK;

	if (snap->tables != REGISTRY_ALL_TABLES)
		return SHOAL_OK;
	for (size_t i = 0; rc == SHOAL_OK && i < snap->sender.n; i++)
		rc = change_raise_vector(ch, snap->sender.entries[i].log, snap->sender.entries[i].seq);
	return rc;
}

static enum shoal_err finish(struct registry_snapshot *snap, struct change *ch)
{
	struct registry *reg = snap->reg;
	enum shoal_err rc = PLANTED(no_absent_drop) ? SHOAL_OK : drop_absent(snap, ch);

	if (rc == SHOAL_OK)
		rc = take_vector(snap, ch);
	if (rc == SHOAL_OK)
		rc = change_sweep_closed(ch);
	for (size_t i = 0; rc == SHOAL_OK && i < snap->n_contested; i++)
		notice_arrived(reg, &snap->as, snap->contested[i]);
	return rc == SHOAL_OK && reg->found.failed ? SHOAL_EBUSY : rc;
}

enum shoal_err registry_snapshot_end(struct registry_snapshot *snap, uint64_t wall_ms, struct store_txn *txn,
                                     struct undo **undo)
{
	struct change ch;
	bool takes_vector = snap->tables == REGISTRY_ALL_TABLES;
	enum shoal_err rc = change_begin(&ch, snap->reg, txn, undo);

	if (rc != SHOAL_OK)
		return rc;
	change_hear_hlc(snap->reg, snap->as.stamp.hlc, wall_ms);
	ch.rec = &snap->as;
	rc = finish(snap, &ch);
	if (rc == SHOAL_OK && txn != NULL && takes_vector)
		rc = vvec_reserve(&txn->floor, snap->sender.n);
	if (rc == SHOAL_OK)
		rc = change_fill_txn(&ch, slice_of(NULL, 0));
	/* What the snapshot brought is not in the log here. Nothing can fail any more: there is room. */
	if (rc == SHOAL_OK && txn != NULL && takes_vector)
		rc = vvec_merge(&txn->floor, &snap->sender);
	if (rc != SHOAL_OK)
		return change_fail(&ch, undo, rc);
	undo_discard_if_empty(snap->reg, undo, ch.new_undo);
	return SHOAL_OK;
}

/* -- all at once */

enum shoal_err registry_apply_snapshot(struct registry *reg, struct row *const *rows, size_t n,
                                       const struct vvec *sender, uint64_t hlc, uint64_t wall_ms,
                                       struct store_txn *txn, struct undo **undo)
{
	struct registry_snapshot *snap = registry_snapshot_new(reg, sender, hlc, REGISTRY_ALL_TABLES, false);
	struct buf wire = { 0 };
	struct change ch;

	for (size_t i = 0; i < n; i++) {
		struct slice row = row_wire(rows[i]);
		buf_put(&wire, row.data, row.len);
	}
	enum shoal_err rc = snap == NULL || wire.failed ? SHOAL_EBUSY : change_begin(&ch, reg, txn, undo);
	if (rc == SHOAL_OK) { /* one change over both: a failure at the end takes the rows back, too */
		rc = registry_snapshot_rows(snap, slice_of(wire.data, wire.len), wall_ms, txn, &ch.u);
		if (rc == SHOAL_OK)
			rc = registry_snapshot_end(snap, wall_ms, txn, &ch.u);
		if (rc != SHOAL_OK)
			(void)change_fail(&ch, undo, rc);
		else
			undo_discard_if_empty(reg, undo, ch.new_undo);
	}
	buf_free(&wire);
	registry_snapshot_free(snap);
	return rc;
}
