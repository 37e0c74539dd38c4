/* core/registry/registry_change.h - a change of the registry on its way: for registry_merge.c and registry_snapshot.c only.
 *
 * Begun, filled with steps, and either complete or taken back by change_fail(): registry, transaction and undo are then as
 * before. SHOAL_EBUSY everywhere: no memory. */
#ifndef SHOAL_REGISTRY_REGISTRY_CHANGE_H
#define SHOAL_REGISTRY_REGISTRY_CHANGE_H
#include "core/registry/registry_internal.h"

/* Where everything stood before a change, to return to if it fails. */
struct change {
	struct registry *reg;
	struct undo *u;
	struct store_txn *txn;
	bool new_undo;
	size_t steps, found, txn_rows, txn_records;
	uint64_t txn_hlc;
	const struct record *rec; /* what came from others: what it undoes is noticed */
};

/* txn may be NULL; *undo NULL: one is made, else the change is added to it. */
enum shoal_err change_begin(struct change *ch, struct registry *reg, struct store_txn *txn, struct undo **undo);
/* Takes everything back; returns rc. */
enum shoal_err change_fail(struct change *ch, struct undo **undo, enum shoal_err rc);
/* A foreign time moves the clock on, but at most a minute ahead of the wall. */
void change_hear_hlc(struct registry *reg, uint64_t hlc, uint64_t wall_ms);
/* The merge of one row, with rule (a) about dots; the reference stays the caller's. */
enum shoal_err change_merge_row(struct change *ch, struct row *incoming);
/* A row goes without a row to merge with. */
enum shoal_err change_drop_entry(struct change *ch, struct entry *e);
enum shoal_err change_raise_vector(struct change *ch, uint64_t log, uint64_t seq);
/* Rule (c): closed rows that are covered are not kept: of the rows of this change, and of all that there are. */
void change_drop_closed(struct change *ch);
enum shoal_err change_sweep_closed(struct change *ch);
/* What the change did, for the store: the rows as they are now, the record if there is one, vector and clock. */
enum shoal_err change_fill_txn(struct change *ch, struct slice record);
/* The row of that entry as it is now; `any`: a row of its key. */
void change_put_entry(struct store_txn *txn, const struct entry *e, const struct row *any);
#endif
