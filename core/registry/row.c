/* core/registry/row.c - rows as bytes: checking, merging, hashing. Taking them apart is row_view.c. */
#include "core/registry/row.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/name.h"
#include "core/base/planted.h"

enum {
	COLUMN_HEAD = 4,       /* id, join, length */
	UNKNOWN_VALUE_MAX = 240, /* so that 255 columns of any origin fit into a row's u16 length */
	COLUMNS_KNOWN = 7,
};

static const struct column_spec {
	uint8_t join; /* 0: there is no such column */
	uint16_t least, most;
} specs[TABLE_END][COLUMNS_KNOWN] = {
#define X(TABLE, COLUMN, num, join, least, most) [TABLE_##TABLE][num] = { JOIN_##join, least, most },
	ROW_COLUMNS(X)
#undef X
};

static const uint8_t key_sizes[TABLE_END] = {
	[TABLE_USER] = 16,  [TABLE_GROUP] = 16, [TABLE_MEM] = MEM_KEY_SIZE, [TABLE_FILE] = 32,
	[TABLE_SHARE] = SHARE_KEY_SIZE, [TABLE_SESS] = SESS_KEY_SIZE, [TABLE_ROLE] = 32, [TABLE_CONTENT] = 32,
	[TABLE_NOTICE] = 16,
};

static bool table_known(unsigned table)
{
	return table != 0 && table < TABLE_END;
}

static const struct column_spec *spec_of(unsigned table, unsigned column)
{
	if (!table_known(table) || column >= COLUMNS_KNOWN || specs[table][column].join == 0)
		return NULL;
	return &specs[table][column];
}

bool table_has_dots(unsigned table)
{
	return table == TABLE_MEM || table == TABLE_SHARE || table == TABLE_SESS;
}

/* -- columns of a row that was checked */

struct column {
	uint8_t id, join;
	uint16_t len;
	const uint8_t *value;
};

/* The column at *p, which is moved behind it; id 0 at the end. */
static struct column next_column(const uint8_t **p, const uint8_t *end)
{
	const uint8_t *at = *p;
	if (at == end)
		return (struct column){ 0 };
	struct column c = { at[0], at[1], (uint16_t)(at[2] << 8 | at[3]), at + COLUMN_HEAD };
	*p = c.value + c.len;
	return c;
}

struct slice row_key(const struct row *row)
{
	return slice_of(row->wire + 4, row->key_len);
}

struct slice row_columns(const struct row *row)
{
	return slice_of(row->wire + 6 + row->key_len, row->columns_len);
}

struct slice row_wire(const struct row *row)
{
	return slice_of(row->wire, 6u + row->key_len + row->columns_len);
}

struct slice row_column(const struct row *row, uint8_t column)
{
	struct slice all = row_columns(row);
	const uint8_t *p = all.data, *end = all.data + all.len;
	struct column c;

	while ((c = next_column(&p, end)).id != 0)
		if (c.id == column)
			return slice_of(c.value, c.len);
	return slice_of(NULL, 0);
}

/* -- checking */

static enum name_kind name_kind_of(unsigned table)
{
	return table == TABLE_USER ? NAME_USER : table == TABLE_GROUP ? NAME_GROUP : NAME_FILE;
}

static bool is_name(unsigned table, unsigned column)
{
	return (table == TABLE_USER && column == USER_NAME) || (table == TABLE_GROUP && column == GROUP_NAME) ||
	       (table == TABLE_FILE && column == FILE_NAME);
}

static bool is_phase(unsigned table, unsigned column)
{
	return column == MEM_PHASE && table_has_dots(table);
}

static bool column_ok(unsigned table, const struct wire_column *col)
{
	const struct column_spec *spec = spec_of(table, col->id);

	if (spec == NULL)
		return col->value.len <= UNKNOWN_VALUE_MAX;
	if (col->join != spec->join || col->value.len < spec->least || col->value.len > spec->most)
		return false;
	if (is_name(table, col->id))
		return name_check(name_kind_of(table), col->value.data, col->value.len, NULL) == SHOAL_OK;
	if (is_phase(table, col->id))
		return col->value.data[0] >= 1 && col->value.data[0] <= (table == TABLE_MEM ? MEM_CLOSED : PHASE_CLOSED);
	return true;
}

static struct dot dot_at_end(struct slice key)
{
	struct cursor c = cursor_of(key.data + key.len - 16, 16);
	struct dot dot;
	dot.log = get_u64(&c);
	dot.seq = get_u64(&c);
	return dot;
}

static bool key_ok(unsigned table, struct slice key)
{
	if (!table_known(table))
		return table != 0 && key.len != 0 && key.len <= ROW_KEY_MAX;
	if (key.len != key_sizes[table])
		return false;
	if (!table_has_dots(table))
		return true;
	struct dot dot = dot_at_end(key);
	return dot.log != 0 && dot.seq != 0;
}

static bool wire_ok(const struct wire_row *wire)
{
	struct cursor c = cursor_of(wire->columns.data, wire->columns.len);
	unsigned last = 0;

	if (!key_ok(wire->table, wire->key) || wire->columns.len > UINT16_MAX)
		return false;
	while (cursor_left(&c) != 0) {
		struct wire_column col;
		wire_column_get(&c, &col);
		if (c.bad || col.id <= last || !column_ok(wire->table, &col))
			return false;
		last = col.id;
	}
	return true;
}

/* -- life */

static struct row *row_alloc(uint16_t table, struct slice key, size_t columns_len)
{
	struct row *row = try_alloc(sizeof(*row) + 6 + key.len + columns_len);

	if (row == NULL)
		return NULL;
	row->refs = 1;
	row->table = table;
	row->key_len = (uint16_t)key.len;
	row->columns_len = (uint16_t)columns_len;
	row->wire[0] = (uint8_t)(table >> 8);
	row->wire[1] = (uint8_t)table;
	row->wire[3] = (uint8_t)key.len;
	memcpy(row->wire + 4, key.data, key.len);
	row->wire[4 + key.len] = (uint8_t)(columns_len >> 8);
	row->wire[5 + key.len] = (uint8_t)columns_len;
	return row;
}

enum shoal_err row_new(const struct wire_row *wire, struct row **out)
{
	if (!wire_ok(wire))
		return SHOAL_EPROTO;
	struct row *row = row_alloc(wire->table, wire->key, wire->columns.len);
	if (row == NULL)
		return SHOAL_EBUSY;
	if (wire->columns.len != 0)
		memcpy(row->wire + 6 + row->key_len, wire->columns.data, wire->columns.len);
	*out = row;
	return SHOAL_OK;
}

struct row *row_ref(struct row *row)
{
	row->refs++;
	return row;
}

void row_unref(struct row *row)
{
	if (row != NULL && --row->refs == 0)
		free(row);
}

/* -- the join */

static int cmp_values(const struct column *a, const struct column *b)
{
	int order = memcmp(a->value, b->value, a->len < b->len ? a->len : b->len);
	return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

/* The one that stands. Joins of one column differ only for columns unknown here: the larger join rules. */
static const struct column *join_columns(const struct column *a, const struct column *b)
{
	if (a->join != b->join)
		return a->join > b->join ? a : b;
	int order = cmp_values(a, b);
	return (a->join == JOIN_MAX) == (order >= 0) || order == 0 ? a : b;
}

static size_t write_column(uint8_t *out, const struct column *c)
{
	assert(c->value != NULL);
	if (out != NULL)
		memcpy(out, c->value - COLUMN_HEAD, (size_t)c->len + COLUMN_HEAD);
	return (size_t)c->len + COLUMN_HEAD;
}

/* Joins the columns of a and b into out (NULL: only counts). *same: the result is a's. */
static size_t merge_columns(const struct row *a, const struct row *b, uint8_t *out, bool *same)
{
	struct slice as = row_columns(a), bs = row_columns(b);
	const uint8_t *ap = as.data, *aend = as.data + as.len, *bp = bs.data, *bend = bs.data + bs.len;
	struct column ac = next_column(&ap, aend), bc = next_column(&bp, bend);
	size_t len = 0;

	*same = true;
	while (ac.id != 0 || bc.id != 0) {
		bool take_a = ac.id != 0 && (bc.id == 0 || ac.id <= bc.id);
		bool take_b = bc.id != 0 && (ac.id == 0 || bc.id <= ac.id);
		const struct column *c = take_a && take_b ? join_columns(&ac, &bc) : take_a ? &ac : &bc;
		if (c != &ac)
			*same = false;
		len += write_column(out != NULL ? out + len : NULL, c);
		if (take_a)
			ac = next_column(&ap, aend);
		if (take_b)
			bc = next_column(&bp, bend);
	}
	return len;
}

static struct row *true_merge(struct row *a, const struct row *b)
{
	bool same;
	size_t len = merge_columns(a, b, NULL, &same);

	if (same)
		return row_ref(a);
	assert(len <= UINT16_MAX);
	struct row *row = row_alloc(a->table, row_key(a), len);
	if (row != NULL)
		merge_columns(a, b, row->wire + 6 + row->key_len, &same);
	return row;
}

/* The row with one column's bytes replaced from `at` on, if both have it. */
static struct row *with_bytes(const struct row *row, uint8_t column, size_t at, const struct row *of)
{
	struct row *copy = row_alloc(row->table, row_key(row), row->columns_len);
	struct slice to = row_column(row, column), from = row_column(of, column);

	if (copy == NULL)
		return NULL;
	memcpy(copy->wire, row->wire, row_wire(row).len);
	if (to.len != 0 && from.len == to.len)
		memcpy(copy->wire + (to.data - row->wire) + at, from.data + at, to.len - at);
	return copy;
}

/* What is left of the join with a bug planted in it. Consumes the reference to the true one. */
static struct row *plant_bug(struct row *merged, const struct row *a, const struct row *b)
{
	struct row *bad = NULL;

	if (PLANTED(lww_phase) && a->table == TABLE_MEM)
		bad = with_bytes(row_hlc(a) >= row_hlc(b) ? a : b, 0, 0, a);
	else if (PLANTED(share_last) && a->table == TABLE_SHARE)
		bad = with_bytes(b, 0, 0, a);
	else if (PLANTED(acc_last) && a->table == TABLE_MEM)
		bad = with_bytes(merged, MEM_ACCEPT, 0, b);
	else if (PLANTED(uploader_first) && a->table == TABLE_FILE)
		bad = with_bytes(merged, FILE_CLAIM, STAMP_WIRE_SIZE, a);
	else
		return merged;
	row_unref(merged);
	return bad;
}

struct row *row_merge(struct row *a, const struct row *b)
{
	struct row *merged = true_merge(a, b);
	return MUTANT == MUTANT_none || merged == NULL ? merged : plant_bug(merged, a, b);
}

/* -- what is asked of any row */

bool row_closed(const struct row *row)
{
	if (!table_has_dots(row->table))
		return false;
	struct slice phase = row_column(row, MEM_PHASE);
	return phase.len != 0 && phase.data[0] == (row->table == TABLE_MEM ? (int)MEM_CLOSED : (int)PHASE_CLOSED);
}

bool row_dot(const struct row *row, struct dot *dot)
{
	if (!table_has_dots(row->table))
		return false;
	*dot = dot_at_end(row_key(row));
	return true;
}

uint64_t row_hash(const struct row *row)
{
	struct slice wire = row_wire(row);
	struct id32 hash;

	sha256_of(wire.data, wire.len, &hash);
	struct cursor c = cursor_of(hash.b, 8);
	return get_u64(&c);
}

/* Where a known column has a stamp's time: at its start, behind the generation of an owner override, or nowhere. */
static int hlc_offset(unsigned table, const struct column *c)
{
	if (spec_of(table, c->id) == NULL || c->len < STAMP_WIRE_SIZE)
		return -1;
	if (table == TABLE_GROUP && c->id == GROUP_OWNER)
		return 4;
	bool other = is_name(table, c->id) || (table == TABLE_GROUP && c->id == GROUP_CREATOR) ||
	             (table == TABLE_FILE && c->id <= FILE_HASH) || (table == TABLE_SHARE && c->id == SHARE_DEVICE) ||
	             (table == TABLE_SESS && c->id == SESS_DEVICE) || table == TABLE_CONTENT ||
	             (table == TABLE_NOTICE && c->id != NOTICE_AT);
	return other ? -1 : 0;
}

uint64_t row_hlc(const struct row *row)
{
	struct slice all = row_columns(row);
	const uint8_t *p = all.data, *end = all.data + all.len;
	uint64_t most = 0;
	struct column c;

	while ((c = next_column(&p, end)).id != 0) {
		int at = hlc_offset(row->table, &c);
		if (at < 0)
			continue;
		struct cursor cur = cursor_of(c.value + at, 8);
		uint64_t hlc = get_u64(&cur);
		if (hlc > most)
			most = hlc;
	}
	return most;
}

/* -- ids */

static void id16_of(struct sha256 *h, struct id16 *out)
{
	struct id32 hash;
	sha256_final(h, &hash);
	memcpy(out->b, hash.b, sizeof(out->b));
}

void uid_of(struct slice name, const struct id16 *request, struct id16 *out)
{
	struct sha256 h;
	sha256_init(&h);
	tuple_add_str(&h, "user");
	tuple_add(&h, name.data, name.len);
	tuple_add(&h, request->b, sizeof(request->b));
	id16_of(&h, out);
}

void gid_of(const struct id16 *creator, struct slice name, const struct id16 *request, struct id16 *out)
{
	struct sha256 h;
	sha256_init(&h);
	tuple_add_str(&h, "group");
	tuple_add(&h, creator->b, sizeof(creator->b));
	tuple_add(&h, name.data, name.len);
	tuple_add(&h, request->b, sizeof(request->b));
	id16_of(&h, out);
}

void fid_of(const struct id16 *gid, struct slice name, const struct id32 *content, struct id16 *out)
{
	struct sha256 h;
	sha256_init(&h);
	tuple_add(&h, gid->b, sizeof(gid->b));
	tuple_add(&h, name.data, name.len);
	tuple_add(&h, content->b, sizeof(content->b));
	id16_of(&h, out);
}
