/* tests/sim/model.c - the fold and its rows. */
#include "tests/sim/model.h"

#include <string.h>

#include "core/base/mem.h"

/* How each column is joined, as docs/sync.md, "Rows", has it: f fixed, m least stamp, M largest stamp (either with what
 * stands behind it, as one pair), x largest number, g largest (generation, stamp). */
static const char *const joins[TABLE_END] = {
	[TABLE_USER] = "fmxM",   [TABLE_GROUP] = "ffmxMg", [TABLE_MEM] = "xmmf",   [TABLE_FILE] = "ffffmx",
	[TABLE_SHARE] = "xfmf",  [TABLE_SESS] = "xfffm",   [TABLE_ROLE] = "M",     [TABLE_CONTENT] = "ff",
	[TABLE_NOTICE] = "ffffmx",
};

struct stamp model_stamp(struct slice value, size_t at)
{
	struct cursor c;

	if (value.data == NULL || value.len < at + STAMP_WIRE_SIZE)
		return (struct stamp){ 0 };
	c = cursor_of(value.data + at, STAMP_WIRE_SIZE);
	return get_stamp(&c);
}

unsigned model_u8(struct slice value)
{
	return value.len == 0 ? 0 : value.data[0];
}

bool model_closed(const struct model_row *r)
{
	if (r->table == TABLE_MEM)
		return model_u8(r->value[MEM_PHASE]) == MEM_CLOSED;
	return (r->table == TABLE_SHARE || r->table == TABLE_SESS) && model_u8(r->value[SHARE_PHASE]) == PHASE_CLOSED;
}

static char join_of(unsigned table, unsigned column)
{
	const char *of = table < TABLE_END ? joins[table] : NULL;
	return of == NULL || column == 0 || column > strlen(of) ? '?' : of[column - 1];
}

static int cmp_generations(struct slice a, struct slice b)
{
	struct cursor ac = cursor_of(a.data, a.len), bc = cursor_of(b.data, b.len);
	uint32_t ag = get_u32(&ac), bg = get_u32(&bc);
	struct stamp as = get_stamp(&ac), bs = get_stamp(&bc);
	return ag != bg ? (ag < bg ? -1 : 1) : stamp_cmp(&as, &bs);
}

static int cmp_stamps(struct slice a, struct slice b)
{
	struct stamp as = model_stamp(a, 0), bs = model_stamp(b, 0);
	return stamp_cmp(&as, &bs);
}

static int cmp_bytes(struct slice a, struct slice b)
{
	int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static struct slice joined(const struct model_row *r, unsigned column, struct slice b, struct verdict *v)
{
	struct slice a = r->value[column];

	if (a.data == NULL)
		return b;
	switch (join_of(r->table, column)) {
	case 'm': return cmp_stamps(a, b) <= 0 ? a : b;
	case 'M': return cmp_stamps(a, b) >= 0 ? a : b;
	case 'g': return cmp_generations(a, b) >= 0 ? a : b;
	case 'x': return model_u8(a) >= model_u8(b) ? a : b;
	case 'f':
		/* The texts of a notice are as its writer saw the names: of two, the smaller stands. */
		if (r->table != TABLE_NOTICE && !slice_eq(a, b))
			verdict_fail(v, "fold", "column %u of a row of table %s is fixed and has two values", column,
			             table_word(r->table));
		return cmp_bytes(a, b) <= 0 ? a : b;
	default:
		verdict_fail(v, "fold", "tests/sim/model.c does not know column %u of table %u", column, r->table);
		return a;
	}
}

static struct model_row *row_of(struct model *m, uint16_t table, struct slice key)
{
	struct model_row *r;
	uint8_t id[2 + ROW_KEY_MAX] = { (uint8_t)(table >> 8), (uint8_t)table };

	memcpy(id + 2, key.data, key.len);
	HASH_FIND(hh, m->rows, id, 2 + key.len, r);
	if (r != NULL)
		return r;
	r = xalloc(sizeof(*r));
	r->table = table;
	r->key = key;
	r->id_len = 2 + key.len;
	memcpy(r->id, id, r->id_len);
	HASH_ADD_KEYPTR(hh, m->rows, r->id, r->id_len, r);
	if (table < TABLE_END) {
		r->next = m->tables[table];
		m->tables[table] = r;
	}
	return r;
}

static void fold_row(struct model *m, const struct wire_row *wire, struct verdict *v)
{
	struct model_row *r = row_of(m, wire->table, wire->key);
	struct cursor c = cursor_of(wire->columns.data, wire->columns.len);

	while (cursor_left(&c) != 0) {
		struct wire_column col;
		wire_column_get(&c, &col);
		if (c.bad || col.id >= MODEL_COLUMNS) {
			verdict_fail(v, "fold", "a row of table %s cannot be read", table_word(wire->table));
			return;
		}
		r->value[col.id] = joined(r, col.id, col.value, v);
	}
}

void model_fold(struct model *m, const struct history *h, const struct vvec *vector, struct verdict *v)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct past_op *p = h->ops[i];
		struct cursor c = cursor_of(p->rows.data, p->rows.len);
		struct wire_row wire;
		if (!history_stands(p, vector))
			continue;
		while (cursor_left(&c) != 0) {
			wire_row_get(&c, &wire);
			fold_row(m, &wire, v);
		}
	}
	for (const struct model_row *r = m->rows; r != NULL; r = r->hh.next)
		m->open[r->table] += !model_closed(r);
}

void model_free(struct model *m)
{
	struct model_row *r, *next;
	HASH_ITER(hh, m->rows, r, next) {
		HASH_DEL(m->rows, r);
		free(r);
	}
}

static bool check_row(const struct model_row *r, const struct registry *reg, unsigned tracker, struct verdict *v)
{
	const struct row *row = registry_find_row(reg, r->table, r->key);
	struct dot dot = { 0 };

	if (row != NULL)
		(void)row_dot(row, &dot);
	if (model_closed(r))
		return row == NULL || verdict_fail(v, "fold", "tracker %u still has a closed row of table %s, %llx.%llu",
		                                   tracker, table_word(r->table), (unsigned long long)dot.log,
		                                   (unsigned long long)dot.seq);
	if (row == NULL)
		return verdict_fail(v, "fold", "tracker %u lacks a row of table %s", tracker, table_word(r->table));
	for (unsigned column = 1; column < MODEL_COLUMNS; column++)
		if (!slice_eq(row_column(row, (uint8_t)column), r->value[column]))
			return verdict_fail(v, "fold", "on tracker %u column %u of a row of table %s is not what was written",
			                    tracker, column, table_word(r->table));
	return true;
}

bool model_check_rows(const struct model *m, const struct registry *reg, unsigned tracker, struct verdict *v)
{
	for (const struct model_row *r = m->rows; r != NULL; r = r->hh.next)
		if (!check_row(r, reg, tracker, v))
			return false;
	for (unsigned table = 1; table < TABLE_END; table++)
		if (registry_count(reg, table) != m->open[table])
			return verdict_fail(v, "fold", "tracker %u has %zu rows in table %s that nobody wrote", tracker,
			                    registry_count(reg, table) - m->open[table], table_word(table));
	return true;
}
