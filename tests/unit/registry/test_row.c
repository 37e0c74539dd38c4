/* tests/unit/registry/test_row.c - the join: in any order, any number of times, the same row. */
#include "core/base/mem.h"
#include "core/registry/row.h"
#include "tests/unit/check.h"

/* -- random rows of one key: known columns with plausible values, unknown ones with anything */

struct spec {
	uint8_t id, join;
	uint16_t least, most;
};

/* The table of row.h again, as data: which columns a table has. */
static const struct {
	uint16_t table;
	struct spec spec;
} columns[] = {
#define X(TABLE, COLUMN, num, join, least, most) { TABLE_##TABLE, { num, JOIN_##join, least, most } },
	ROW_COLUMNS(X)
#undef X
};

static size_t key_size(unsigned table)
{
	static const size_t sizes[] = { 0, 16, 16, 48, 32, 64, 32, 32, 32, 16 };
	return table < COUNT_OF(sizes) ? sizes[table] : 5;
}

static void put_value(struct buf *b, unsigned table, const struct spec *s)
{
	uint8_t value[400];
	size_t len = s->least + check_random((uint32_t)(s->most - s->least) + 1);
	bool phase = s->id == 1 && table_has_dots(table);
	bool name = s->id == 1 && (table == TABLE_USER || table == TABLE_GROUP || table == TABLE_FILE);

	for (size_t i = 0; i < len; i++) /* few different bytes: ties and common beginnings are frequent */
		value[i] = (uint8_t)(name ? 'a' + check_random(2) : check_random(3));
	if (phase)
		value[0] = (uint8_t)(1 + check_random(table == TABLE_MEM ? 3 : 2));
	struct wire_column col = { s->id, s->join, slice_of(value, len) };
	wire_column_put(b, &col);
}

static struct row *random_row(unsigned table, bool odd)
{
	struct buf b = { 0 };
	uint8_t key[64];
	struct row *row = NULL;

	memset(key, 7, sizeof(key));
	for (size_t i = 0; i < COUNT_OF(columns); i++)
		if (columns[i].table == table && check_random(3) != 0)
			put_value(&b, table, &columns[i].spec);
	for (unsigned id = 20; odd && id < 24; id++) {
		struct spec s = { (uint8_t)id, (uint8_t)(1 + check_random(3)), 0, 4 };
		if (check_random(2) != 0)
			put_value(&b, TABLE_END, &s);
	}
	struct wire_row wire = { (uint16_t)table, slice_of(key, key_size(table)), slice_of(b.data, b.len) };
	CHECK_INT(row_new(&wire, &row), ==, SHOAL_OK);
	buf_free(&b);
	return row;
}

static bool same(const struct row *a, const struct row *b)
{
	return slice_eq(row_wire(a), row_wire(b));
}

static struct row *joined(struct row *a, struct row *b)
{
	struct row *r = row_merge(a, b);
	CHECK(r != NULL);
	return r;
}

static void the_join_is_commutative_associative_idempotent(void)
{
	for (int i = 0; i < 20000; i++) {
		unsigned table = 1 + check_random(TABLE_END + 3);
		bool odd = check_random(2) != 0;
		struct row *a = random_row(table, odd), *b = random_row(table, odd), *c = random_row(table, odd);
		struct row *ab = joined(a, b), *ba = joined(b, a), *bc = joined(b, c);
		struct row *ab_c = joined(ab, c), *a_bc = joined(a, bc), *aa = joined(a, a), *ab_b = joined(ab, b);

		CHECK(same(ab, ba));
		CHECK(same(ab_c, a_bc));
		CHECK(aa == a);
		CHECK(ab_b == ab);
		CHECK(row_hash(ab) == row_hash(ba));
		struct row *all[] = { a, b, c, ab, ba, bc, ab_c, a_bc, aa, ab_b };
		for (size_t k = 0; k < COUNT_OF(all); k++)
			row_unref(all[k]);
	}
}

/* The columns of a table, joined by hand. */
static void each_column_joins_as_the_table_says(void)
{
	for (size_t i = 0; i < COUNT_OF(columns); i++) {
		uint8_t low[400], high[400], key[64] = { 1 };
		struct row *rows[2], *out;
		size_t len = columns[i].spec.most;
		bool max = columns[i].spec.join == JOIN_MAX;

		memset(key, 1, sizeof(key));
		memset(low, 'a', sizeof(low));
		memset(high, 'a', sizeof(high));
		low[0] = 1;
		high[0] = 2;
		if (columns[i].spec.id == 1 && key_size(columns[i].table) < 48 && columns[i].spec.most > 1) {
			low[0] = 'a';
			high[0] = 'b';
		}
		for (int k = 0; k < 2; k++) {
			struct buf b = { 0 };
			struct wire_column col = { columns[i].spec.id, columns[i].spec.join, slice_of(k == 0 ? low : high, len) };
			wire_column_put(&b, &col);
			struct wire_row wire = { columns[i].table, slice_of(key, key_size(columns[i].table)), slice_of(b.data, b.len) };
			CHECK_INT(row_new(&wire, &rows[k]), ==, SHOAL_OK);
			buf_free(&b);
		}
		out = joined(rows[0], rows[1]);
		CHECK(same(out, rows[max]));
		row_unref(out);
		out = joined(rows[1], rows[0]);
		CHECK(same(out, rows[max]));
		row_unref(out);
		row_unref(rows[0]);
		row_unref(rows[1]);
	}
}

static enum shoal_err try_row(unsigned table, size_t key_len, const char *cols, size_t cols_len)
{
	uint8_t key[300];
	struct row *row = NULL;
	memset(key, 1, sizeof(key));
	struct wire_row wire = { (uint16_t)table, slice_of(key, key_len), slice_of(cols, cols_len) };
	enum shoal_err rc = row_new(&wire, &row);
	CHECK((rc == SHOAL_OK) == (row != NULL));
	row_unref(row);
	return rc;
}

static void what_is_no_row_is_refused(void)
{
	struct row *row = NULL;
	uint8_t key[48] = { 0 };

	CHECK_INT(try_row(TABLE_USER, 16, "", 0), ==, SHOAL_OK);
	CHECK_INT(try_row(TABLE_USER, 15, "", 0), ==, SHOAL_EPROTO);
	CHECK_INT(try_row(TABLE_MEM, 32, "", 0), ==, SHOAL_EPROTO);
	CHECK_INT(try_row(0, 16, "", 0), ==, SHOAL_EPROTO);
	CHECK_INT(try_row(77, 255, "", 0), ==, SHOAL_OK); /* a table from the future */
	CHECK_INT(try_row(77, 256, "", 0), ==, SHOAL_EPROTO);
	CHECK_INT(try_row(TABLE_USER, 16, "\1\1\0\3ann", 7), ==, SHOAL_OK);
	CHECK_INT(try_row(TABLE_USER, 16, "\1\2\0\3ann", 7), ==, SHOAL_EPROTO);  /* another join */
	CHECK_INT(try_row(TABLE_USER, 16, "\1\1\0\3a\nn", 7), ==, SHOAL_EPROTO); /* no name */
	CHECK_INT(try_row(TABLE_USER, 16, "\2\2\0\3ann", 7), ==, SHOAL_EPROTO);  /* no stamp */
	CHECK_INT(try_row(TABLE_USER, 16, "\1\1\0\3an", 6), ==, SHOAL_EPROTO);   /* cut off */
	CHECK_INT(try_row(TABLE_USER, 16, "\12\1\0\3ann", 7), ==, SHOAL_OK);     /* a column from the future */
	CHECK_INT(try_row(TABLE_FILE, 32, "\1\1\0\3a/b", 7), ==, SHOAL_EPROTO);
	CHECK_INT(try_row(TABLE_MEM, 48, "\1\3\0\1\3", 5), ==, SHOAL_OK);
	CHECK_INT(try_row(TABLE_MEM, 48, "\1\3\0\1\4", 5), ==, SHOAL_EPROTO); /* no such phase */
	CHECK_INT(try_row(TABLE_MEM, 48, "\1\3\0\1\0", 5), ==, SHOAL_EPROTO);
	CHECK_INT(try_row(TABLE_SHARE, 64, "\1\3\0\1\3", 5), ==, SHOAL_EPROTO);
	struct wire_row no_dot = { TABLE_MEM, slice_of(key, sizeof(key)), slice_of(NULL, 0) };
	CHECK_INT(row_new(&no_dot, &row), ==, SHOAL_EPROTO);
	CHECK(row == NULL);
}

static void rows_survive_being_written_and_read(void)
{
	struct stamp at = { .hlc = 0x1234567, .tracker = 3, .dot = { 77, 8 } };
	struct id16 gid = { { 1 } }, uid = { { 2 } }, by = { { 3 } };
	struct mem_key key = { gid, uid, { 99, 4 } };
	struct closing close = { .at = at, .by = by, .reason = CLOSE_REJECTED, .text = slice_str("no room") };
	uint8_t packed[MEM_KEY_SIZE];
	struct buf b = { 0 };
	struct row_build rb;
	struct wire_row wire;
	struct row *row = NULL;
	struct mem_row m;
	struct dot dot;

	mem_key_pack(&key, packed);
	row_begin(&rb, &b, TABLE_MEM, packed, sizeof(packed));
	row_put_u8(&rb, MEM_PHASE, MEM_CLOSED);
	row_put_stamp_id(&rb, MEM_ACCEPT, &at, &by);
	row_put_closing(&rb, MEM_CLOSE, &close);
	row_put_stamp(&rb, MEM_SINCE, &at);
	row_end(&rb);
	struct cursor c = cursor_of(b.data, b.len);
	wire_row_get(&c, &wire);
	CHECK_INT(cursor_end(&c), ==, SHOAL_OK);
	CHECK_INT(row_new(&wire, &row), ==, SHOAL_OK);
	CHECK(slice_eq(row_wire(row), slice_of(b.data, b.len)));
	mem_row_read(row, &m);
	CHECK(id16_eq(&m.key.gid, &gid) && id16_eq(&m.key.uid, &uid) && dot_eq(m.key.dot, key.dot));
	CHECK(m.phase == MEM_CLOSED && stamp_cmp(&m.accept, &at) == 0 && id16_eq(&m.accepted_by, &by));
	CHECK(m.close.reason == CLOSE_REJECTED && slice_eq_str(m.close.text, "no room") && id16_eq(&m.close.by, &by));
	CHECK(stamp_cmp(&m.since, &at) == 0 && row_hlc(row) == at.hlc);
	CHECK(row_closed(row) && row_dot(row, &dot) && dot_eq(dot, key.dot));
	row_unref(row);
	buf_free(&b);
}

static void an_earlier_stamp_is_smaller_bytes(void)
{
	for (int i = 0; i < 5000; i++) {
		struct stamp s[2];
		struct buf b[2] = { { 0 } };
		for (int k = 0; k < 2; k++) {
			s[k] = (struct stamp){ .hlc = check_random(3) << check_random(31), .tracker = (uint16_t)check_random(300),
				               .dot = { check_random(3), check_random(70000) } };
			stamp_put(&b[k], &s[k]);
		}
		int bytes = memcmp(b[0].data, b[1].data, STAMP_WIRE_SIZE), order = stamp_cmp(&s[0], &s[1]);
		CHECK_INT((bytes > 0) - (bytes < 0), ==, (order > 0) - (order < 0));
		buf_free(&b[0]);
		buf_free(&b[1]);
	}
}

static void ids_depend_on_every_part(void)
{
	struct id16 r1 = { { 1 } }, r2 = { { 2 } }, a, b;
	struct id32 c1 = { { 1 } };

	uid_of(slice_str("ann"), &r1, &a);
	uid_of(slice_str("ann"), &r1, &b);
	CHECK(id16_eq(&a, &b)); /* a retry elsewhere makes the same account */
	uid_of(slice_str("ann"), &r2, &b);
	CHECK(!id16_eq(&a, &b));
	gid_of(&r1, slice_str("ann"), &r1, &b);
	CHECK(!id16_eq(&a, &b));
	fid_of(&r1, slice_str("f"), &c1, &a);
	c1.b[31] = 1;
	fid_of(&r1, slice_str("f"), &c1, &b);
	CHECK(!id16_eq(&a, &b));
}

static const struct CMUnitTest tests[] = {
	TEST(the_join_is_commutative_associative_idempotent), TEST(each_column_joins_as_the_table_says),
	TEST(what_is_no_row_is_refused), TEST(rows_survive_being_written_and_read),
	TEST(an_earlier_stamp_is_smaller_bytes), TEST(ids_depend_on_every_part),
};
CHECK_MAIN(tests)
