/* tests/sim/model.h - what all operations together mean, worked out apart from core/registry: an oracle.
 *
 * A plain fold: every row of every operation that stands, in any order, joined column by column as docs/sync.md says -
 * by numbers taken out of the bytes, not by comparing bytes. There are no dots, vectors or dropped rows here. From the
 * result follow the views: who has which name, owns a group, is in it, has asked, shares, is logged in. A registry at the
 * end of a run must hold these rows, no others, and show these views. */
#ifndef SHOAL_TESTS_MODEL_H
#define SHOAL_TESTS_MODEL_H
#include <uthash.h>

#include "core/registry/registry.h"
#include "tests/sim/history.h"

#define MODEL_COLUMNS 9

struct model_row {
	UT_hash_handle hh;
	uint16_t table;
	struct slice key;                   /* into the history's bytes, as are the values */
	struct slice value[MODEL_COLUMNS];  /* by column; data NULL: nothing known */
	struct model_row *next;             /* of the same table */
	size_t id_len;
	uint8_t id[2 + ROW_KEY_MAX];
};

struct model {
	struct model_row *rows;
	struct model_row *tables[TABLE_END];
	size_t open[TABLE_END];             /* rows that are not closed */
};

/* All operations of the history that stand where `vector` is from. Fails [fold] if two fixed columns differ. */
void model_fold(struct model *m, const struct history *h, const struct vvec *vector, struct verdict *v);
void model_free(struct model *m);
/* Fails [fold]: rows are missing, too many, or another. */
bool model_check_rows(const struct model *m, const struct registry *reg, unsigned tracker, struct verdict *v);
/* Fails [views]: names, owners, members, requests, seeders, sessions. */
bool model_check_views(const struct model *m, const struct registry *reg, unsigned tracker, struct verdict *v);

/* For model.c and model_view.c. */
bool model_closed(const struct model_row *r);
struct stamp model_stamp(struct slice value, size_t at); /* zero if there is none */
unsigned model_u8(struct slice value);
#endif
