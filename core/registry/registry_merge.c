/* core/registry/registry_merge.c - the one way in for rows: merging, and the rules about dots (docs/sync.md). */
#include <assert.h>
#include <string.h>

#include "core/base/planted.h"
#include "core/registry/registry_change.h"

/* A foreign time moves the clock on, but at most a minute ahead of the wall. */
void change_hear_hlc(struct registry *reg, uint64_t hlc, uint64_t wall_ms)
{
	uint64_t most = (wall_ms + HLC_AHEAD_MAX_MS) << 16;
	if (hlc > most)
		hlc = most;
	if (hlc > reg->hlc)
		reg->hlc = hlc;
}

/* -- merging */

enum shoal_err change_begin(struct change *ch, struct registry *reg, struct store_txn *txn, struct undo **undo)
{
	if (txn != NULL && !store_txn_ok(txn))
		return SHOAL_EBUSY;
	views_trim(reg->views);
	*ch = (struct change){ .reg = reg, .txn = txn, .new_undo = *undo == NULL, .found = reg->found.len };
	ch->u = undo_get(reg, undo);
	if (ch->u == NULL)
		return SHOAL_EBUSY;
	ch->steps = ch->u->n;
	if (txn != NULL) {
		ch->txn_rows = txn->rows.len;
		ch->txn_records = txn->records.len;
		ch->txn_hlc = txn->hlc;
	}
	return SHOAL_OK;
}

static void txn_back(struct change *ch)
{
	struct store_txn *txn = ch->txn;
	if (txn == NULL)
		return;
	txn->rows.len = ch->txn_rows;
	txn->records.len = ch->txn_records;
	txn->rows.failed = txn->records.failed = false;
	txn->hlc = ch->txn_hlc;
}

enum shoal_err change_fail(struct change *ch, struct undo **undo, enum shoal_err rc)
{
	undo_back_to(ch->reg, ch->u, ch->steps);
	ch->reg->found.len = ch->found;
	ch->reg->found.failed = false;
	txn_back(ch);
	undo_discard_if_empty(ch->reg, undo, ch->new_undo);
	return rc;
}

/* Rule (a): an instance that I lack although I know the operation that made it was closed and dropped here. */
static bool dropped_before(const struct registry *reg, const struct entry *e, const struct row *incoming)
{
	struct dot dot;
	return (e == NULL || entry_row(e) == NULL) && row_dot(incoming, &dot) && vvec_covers(&reg->vector, dot);
}

/* Planted: for operations, for snapshots; or for shares, whose closed version is the one that is not there. */
static bool rule_a_forgotten(const struct change *ch, const struct row *incoming)
{
	bool snapshot = ch->rec != NULL && ch->rec->stamp.dot.log == 0;
	bool for_all = snapshot ? PLANTED(no_filter_snap) : PLANTED(no_filter_op);
	return ch->rec != NULL && (for_all || (PLANTED(share_last) && incoming->table == TABLE_SHARE));
}

/* The merge. Consumes the caller's reference to `incoming`. */
static enum shoal_err merge_into(struct change *ch, struct row *incoming)
{
	struct registry *reg = ch->reg;
	struct entry *e = entry_get(reg, incoming);
	struct row *merged;

	if (e == NULL) {
		row_unref(incoming);
		return SHOAL_EBUSY;
	}
	entry_pin(e); /* so that it stays while we work on it */
	struct row *had = entry_row(e);
	if (had != NULL) {
		merged = row_merge(had, incoming);
		row_unref(incoming);
	} else {
		merged = incoming;
	}
	enum shoal_err rc = SHOAL_OK;
	if (merged == NULL || !undo_reserve(ch->u, 1) || !entry_prepare(reg, merged)) {
		row_unref(merged);
		rc = SHOAL_EBUSY;
	} else if (merged == had) {
		row_unref(merged); /* nothing new */
	} else {
		undo_row(ch->u, e, entry_set(reg, e, merged), merged);
	}
	entry_unpin(reg, e);
	return rc;
}

enum shoal_err change_merge_row(struct change *ch, struct row *incoming)
{
	struct registry *reg = ch->reg;
	const struct entry *e = entry_find(reg, incoming->table, row_key(incoming));
	bool ignored = dropped_before(reg, e, incoming) && !rule_a_forgotten(ch, incoming);
	struct row *before = e != NULL && entry_row(e) != NULL ? row_ref(entry_row(e)) : NULL;
	enum shoal_err rc = SHOAL_OK;

	if (!ignored)
		rc = merge_into(ch, row_ref(incoming));
	if (rc == SHOAL_OK && ch->rec != NULL)
		notice_merged(reg, ch->rec, before, incoming, ignored);
	row_unref(before);
	return rc;
}

static enum shoal_err merge_rows(struct change *ch, struct slice rows)
{
	struct cursor c = cursor_of(rows.data, rows.len);

	while (cursor_left(&c) != 0) {
		struct wire_row wire;
		struct row *row = NULL;
		wire_row_get(&c, &wire);
		if (c.bad)
			return SHOAL_EPROTO;
		enum shoal_err rc = row_new(&wire, &row);
		if (rc == SHOAL_OK)
			rc = change_merge_row(ch, row);
		row_unref(row);
		if (rc != SHOAL_OK)
			return rc;
	}
	return SHOAL_OK;
}

/* The vector moves on; the durable one gets room to follow. */
enum shoal_err change_raise_vector(struct change *ch, uint64_t log, uint64_t seq)
{
	struct registry *reg = ch->reg;
	uint64_t before = vvec_get(&reg->vector, log);

	if (seq <= before)
		return SHOAL_OK;
	if (!undo_reserve(ch->u, 1) || vvec_reserve(&reg->durable_vector, reg->vector.n + 1) != SHOAL_OK ||
	    vvec_raise(&reg->vector, log, seq) != SHOAL_OK)
		return SHOAL_EBUSY;
	struct step *s = &ch->u->steps[ch->u->n++];
	*s = (struct step){ .kind = STEP_VECTOR, .seq_after = seq };
	s->vector = (struct dot){ .log = log, .seq = before };
	return SHOAL_OK;
}

/* Rule (c): a closed row whose dot is covered is not kept. The step before it has what it was. */
static bool may_drop(const struct registry *reg, const struct entry *e)
{
	struct dot dot;
	return entry_row(e) != NULL && row_closed(e->last) && row_dot(e->last, &dot) &&
	       (vvec_covers(&reg->vector, dot) || PLANTED(gc_uncovered));
}

void change_drop_closed(struct change *ch)
{
	for (size_t i = ch->steps; i < ch->u->n; i++) {
		struct step *s = &ch->u->steps[i];
		if (s->kind == STEP_ROW && may_drop(ch->reg, s->row.entry))
			row_unref(entry_set(ch->reg, s->row.entry, NULL));
	}
}

/* A row goes without a row to merge with: for snapshots. */
enum shoal_err change_drop_entry(struct change *ch, struct entry *e)
{
	if (!undo_reserve(ch->u, 1))
		return SHOAL_EBUSY;
	undo_row(ch->u, e, entry_set(ch->reg, e, NULL), NULL);
	return SHOAL_OK;
}

/* After the vector has jumped, closed rows of any age may have become covered. */
enum shoal_err change_sweep_closed(struct change *ch)
{
	const struct hub *hub = hub_find(ch->reg, INDEX_CLOSED, NULL, 0, NULL, 0);
	struct link *next, *l = hub != NULL ? hub->first : NULL;

	for (; l != NULL; l = next) {
		struct entry *e = link_entry(l, INDEX_CLOSED);
		next = l->next;
		if (!may_drop(ch->reg, e))
			continue;
		enum shoal_err rc = change_drop_entry(ch, e);
		if (rc != SHOAL_OK)
			return rc;
	}
	return SHOAL_OK;
}

static enum shoal_err remember_request(struct change *ch, const struct id16 *id, const struct stamp *stamp,
                                       uint64_t wall_ms)
{
	bool added;

	if (!undo_reserve(ch->u, 1))
		return SHOAL_EBUSY;
	enum shoal_err rc = request_add(ch->reg, id, stamp, wall_ms, &added);
	if (rc == SHOAL_OK && added) {
		struct step *s = &ch->u->steps[ch->u->n++];
		*s = (struct step){ .kind = STEP_REQUEST };
		s->request = *id;
	}
	return rc;
}

void change_put_entry(struct store_txn *txn, const struct entry *e, const struct row *any)
{
	struct wire_row wire = { .table = any->table, .key = row_key(any) };
	if (entry_row(e) == NULL) {
		store_txn_del(txn, wire.table, wire.key);
		return;
	}
	wire.columns = row_columns(e->last);
	store_txn_put(txn, &wire);
}

/* What the change did, for the store: the rows as they are now. */
enum shoal_err change_fill_txn(struct change *ch, struct slice record)
{
	struct store_txn *txn = ch->txn;
	if (txn == NULL)
		return SHOAL_OK;
	for (size_t i = ch->steps; i < ch->u->n; i++) {
		const struct step *s = &ch->u->steps[i];
		if (s->kind == STEP_ROW)
			change_put_entry(txn, s->row.entry, s->row.after != NULL ? s->row.after : s->row.before);
	}
	if (record.len != 0)
		store_txn_record(txn, record);
	if (!store_txn_ok(txn) || vvec_reserve(&txn->vector, ch->u->n - ch->steps) != SHOAL_OK)
		return SHOAL_EBUSY;
	for (size_t i = ch->steps; i < ch->u->n; i++) {
		const struct step *s = &ch->u->steps[i];
		if (s->kind == STEP_VECTOR && vvec_raise(&txn->vector, s->vector.log, s->seq_after) != SHOAL_OK)
			return SHOAL_EBUSY;
	}
	if (ch->reg->hlc > txn->hlc)
		txn->hlc = ch->reg->hlc;
	return SHOAL_OK;
}

/* A whole record, own or foreign, that is the next of its log. */
static enum shoal_err apply_record(struct change *ch, const struct record *rec, struct slice bytes, uint64_t wall_ms)
{
	struct owners owners = { 0 };
	enum shoal_err rc = ch->rec != NULL ? notice_owners_before(ch->reg, rec, &owners) : SHOAL_OK;

	if (rc == SHOAL_OK)
		rc = merge_rows(ch, rec->rows);
	if (rc == SHOAL_OK)
		rc = change_raise_vector(ch, rec->stamp.dot.log, rec->stamp.dot.seq);
	if (rc == SHOAL_OK)
		rc = remember_request(ch, &rec->request, &rec->stamp, wall_ms);
	if (rc == SHOAL_OK)
		change_drop_closed(ch);
	if (rc == SHOAL_OK && ch->rec != NULL)
		notice_record_done(ch->reg, rec, &owners);
	if (rc == SHOAL_OK)
		notice_names_freed(ch->reg, rec);
	free(owners.list);
	if (rc == SHOAL_OK && ch->reg->found.failed)
		rc = SHOAL_EBUSY;
	return rc == SHOAL_OK ? change_fill_txn(ch, bytes) : rc;
}

/* -- the ways in */

static enum shoal_err apply_own(struct registry *reg, const struct op *op, struct store_txn *txn, struct undo **undo)
{
	struct record rec = { .version = RECORD_VERSION, .op = (uint8_t)op->kind, .stamp = op->stamp,
		              .request = op->request, .rows = slice_of(op->rows.data, op->rows.len) };
	struct buf bytes = { 0 };
	struct change ch;

	assert(op->stamp.dot.seq == vvec_get(&reg->vector, reg->log) + 1); /* one op at a time */
	if (op->rows.failed)
		return SHOAL_EBUSY;
	enum shoal_err rc = record_put(&bytes, &rec);
	if (rc == SHOAL_OK)
		rc = change_begin(&ch, reg, txn, undo);
	if (rc == SHOAL_OK) {
		rc = apply_record(&ch, &rec, slice_of(bytes.data, bytes.len), op->wall_ms);
		if (rc != SHOAL_OK)
			change_fail(&ch, undo, rc);
	}
	buf_free(&bytes);
	assert(rc != SHOAL_EPROTO); /* a manager built a row that is none */
	return rc;
}

enum shoal_err registry_apply_op(struct registry *reg, struct op *op, struct store_txn *txn, struct undo **undo)
{
	enum shoal_err rc = apply_own(reg, op, txn, undo);
	op_fini(op);
	return rc;
}

enum shoal_err registry_apply(struct registry *reg, struct slice bytes, uint64_t wall_ms, struct store_txn *txn,
                              struct undo **undo)
{
	struct record rec;
	struct change ch;
	enum shoal_err rc = record_get(bytes, &rec);

	if (rc != SHOAL_OK)
		return rc;
	uint64_t known = vvec_get(&reg->vector, rec.stamp.dot.log);
	if (rec.stamp.dot.seq <= known)
		return SHOAL_EEXISTS;
	if (rec.stamp.dot.seq != known + 1 && !PLANTED(no_contig))
		return SHOAL_ECONFLICT;
	rc = change_begin(&ch, reg, txn, undo);
	if (rc != SHOAL_OK)
		return rc;
	change_hear_hlc(reg, rec.stamp.hlc, wall_ms);
	ch.rec = &rec;
	rc = apply_record(&ch, &rec, bytes, wall_ms);
	return rc == SHOAL_OK ? rc : change_fail(&ch, undo, rc);
}

enum shoal_err registry_merge(struct registry *reg, struct slice rows, struct store_txn *txn, struct undo **undo)
{
	struct change ch;
	enum shoal_err rc = change_begin(&ch, reg, txn, undo);

	if (rc != SHOAL_OK)
		return rc;
	rc = merge_rows(&ch, rows);
	if (rc == SHOAL_OK) {
		change_drop_closed(&ch);
		rc = change_fill_txn(&ch, slice_of(NULL, 0));
	}
	return rc == SHOAL_OK ? rc : change_fail(&ch, undo, rc);
}
