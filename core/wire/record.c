/* core/wire/record.c */
#include "core/wire/record.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/planted.h"

static const struct {
	uint8_t number;
	const char *word;
} ops[] = {
#define X(num, NAME, word) { num, #word },
	RECORD_OPS(X)
#undef X
};

static const char *const tables[] = {
#define X(num, NAME, word) [num] = #word,
	RECORD_TABLES(X)
#undef X
};

const char *op_word(unsigned op)
{
	for (size_t i = 0; i < COUNT_OF(ops); i++)
		if (ops[i].number == op)
			return ops[i].word;
	return NULL;
}

bool op_from_word(const char *word, enum op_kind *out)
{
	for (size_t i = 0; i < COUNT_OF(ops); i++) {
		if (strcmp(ops[i].word, word) == 0) {
			*out = (enum op_kind)ops[i].number;
			return true;
		}
	}
	return false;
}

const char *table_word(unsigned table)
{
	return table < COUNT_OF(tables) ? tables[table] : NULL;
}

/* -- rows */

void wire_row_put(struct buf *b, const struct wire_row *row)
{
	buf_put_u16(b, row->table);
	buf_put_str(b, row->key.data, row->key.len);
	buf_put_str(b, row->columns.data, row->columns.len);
}

void wire_row_get(struct cursor *c, struct wire_row *row)
{
	row->table = get_u16(c);
	row->key = get_str(c);
	row->columns = get_str(c);
	if (row->key.len == 0 || row->key.len > ROW_KEY_MAX || !wire_columns_check(row->columns))
		c->bad = true;
}

void wire_column_put(struct buf *b, const struct wire_column *col)
{
	buf_put_u8(b, col->id);
	buf_put_u8(b, col->join);
	buf_put_str(b, col->value.data, col->value.len);
}

void wire_column_get(struct cursor *c, struct wire_column *col)
{
	col->id = get_u8(c);
	col->join = get_u8(c);
	col->value = get_str(c);
	if (col->id == 0 || col->join < JOIN_FIXED || col->join > JOIN_MAX)
		c->bad = true;
}

bool wire_columns_check(struct slice columns)
{
	struct cursor c = cursor_of(columns.data, columns.len);
	unsigned last = 0;

	while (!c.bad && cursor_left(&c) != 0) {
		struct wire_column col;
		wire_column_get(&c, &col);
		if (col.id <= last)
			c.bad = true;
		last = col.id;
	}
	return !c.bad;
}

/* -- records */

static void check_of(const uint8_t *data, size_t len, uint8_t out[RECORD_CHECK_SIZE])
{
	struct id32 hash;
	sha256_of(data, len, &hash);
	memcpy(out, hash.b, RECORD_CHECK_SIZE);
}

enum shoal_err record_put(struct buf *b, const struct record *r)
{
	uint8_t check[RECORD_CHECK_SIZE];
	size_t start = b->len;

	if (r->rows.len > RECORD_ROWS_MAX)
		return SHOAL_EQUOTA;
	if (!buf_reserve(b, RECORD_HEAD_SIZE + r->rows.len + RECORD_CHECK_SIZE))
		return SHOAL_EBUSY;
	buf_put_u8(b, r->version);
	buf_put_u8(b, r->op);
	buf_put_u16(b, r->flags);
	buf_put_u64(b, r->stamp.dot.log);
	buf_put_u64(b, r->stamp.dot.seq);
	buf_put_u64(b, r->stamp.hlc);
	buf_put_u16(b, r->stamp.tracker);
	buf_put(b, r->request.b, sizeof(r->request.b));
	buf_put_blob(b, r->rows.data, r->rows.len);
	check_of(b->data + start, b->len - start, check);
	buf_put(b, check, sizeof(check));
	return SHOAL_OK;
}

/* Everything but the rows' insides and the check. */
static struct record get_head(struct cursor *c)
{
	struct record r = { 0 };

	r.version = get_u8(c);
	r.op = get_u8(c);
	r.flags = get_u16(c);
	r.stamp.dot.log = get_u64(c);
	r.stamp.dot.seq = get_u64(c);
	r.stamp.hlc = get_u64(c);
	r.stamp.tracker = get_u16(c);
	r.request = get_id16(c);
	r.rows = get_blob(c);
	return r;
}

static bool rows_well_formed(struct slice rows)
{
	struct cursor c = cursor_of(rows.data, rows.len);
	struct wire_row row;

	while (!c.bad && cursor_left(&c) != 0)
		wire_row_get(&c, &row);
	return !c.bad;
}

enum shoal_err record_get(struct slice bytes, struct record *out)
{
	uint8_t check[RECORD_CHECK_SIZE];

	if (bytes.len < RECORD_HEAD_SIZE + RECORD_CHECK_SIZE || bytes.len > RECORD_MAX)
		return SHOAL_EPROTO;
	struct cursor c = cursor_of(bytes.data, bytes.len - RECORD_CHECK_SIZE);
	struct record r = get_head(&c);
	if (cursor_end(&c) != SHOAL_OK)
		return SHOAL_EPROTO;
	check_of(bytes.data, bytes.len - RECORD_CHECK_SIZE, check);
	if (memcmp(check, bytes.data + bytes.len - RECORD_CHECK_SIZE, sizeof(check)) != 0)
		return SHOAL_EINTEGRITY;
	if (r.version != RECORD_VERSION || r.op == 0 || r.stamp.dot.log == 0 || r.stamp.dot.seq == 0 || r.stamp.hlc == 0)
		return SHOAL_EPROTO;
	if (!rows_well_formed(r.rows) && !PLANTED(record_rows))
		return SHOAL_EPROTO;
	*out = r;
	return SHOAL_OK;
}

/* -- print */

static void print_hex(struct buf *b, struct slice s, size_t most)
{
	for (size_t i = 0; i < s.len && i < most; i++)
		buf_printf(b, "%02x", s.data[i]);
	if (s.len > most)
		buf_printf(b, "..");
}

static void print_row(struct buf *b, const struct wire_row *row)
{
	struct cursor c = cursor_of(row->columns.data, row->columns.len);
	const char *word = table_word(row->table);

	if (word != NULL)
		buf_printf(b, " %s(", word);
	else
		buf_printf(b, " table-%u(", row->table);
	print_hex(b, row->key, 64);
	buf_printf(b, "){");
	for (const char *gap = ""; !c.bad && cursor_left(&c) != 0; gap = " ") {
		struct wire_column col;
		wire_column_get(&c, &col);
		buf_printf(b, "%s%u=", gap, col.id);
		/* A password record is not for a log. */
		if (row->table == TABLE_USER && col.id == 4)
			buf_printf(b, "***");
		else
			print_hex(b, col.value, 32);
	}
	buf_printf(b, "}");
}

void record_print(struct buf *b, struct slice bytes)
{
	struct record whole;
	size_t body = bytes.len > RECORD_CHECK_SIZE ? bytes.len - RECORD_CHECK_SIZE : 0;
	struct cursor c = cursor_of(bytes.data, body);
	struct record r = get_head(&c);
	struct cursor rows = cursor_of(r.rows.data, r.rows.len);
	struct wire_row row;

	if (op_word(r.op) != NULL)
		buf_printf(b, "%s", op_word(r.op));
	else
		buf_printf(b, "op-%u", r.op);
	buf_printf(b, " %" PRIx64 ".%" PRIu64 " hlc=%" PRIx64 " tracker=%u", r.stamp.dot.log, r.stamp.dot.seq, r.stamp.hlc,
	           r.stamp.tracker);
	if (!id16_is_zero(&r.request)) {
		buf_printf(b, " request=");
		print_hex(b, slice_of(r.request.b, sizeof(r.request.b)), sizeof(r.request.b));
	}
	while (!rows.bad && cursor_left(&rows) != 0) {
		wire_row_get(&rows, &row);
		if (!rows.bad)
			print_row(b, &row);
	}
	if (record_get(bytes, &whole) != SHOAL_OK)
		buf_printf(b, " (broken)");
}
