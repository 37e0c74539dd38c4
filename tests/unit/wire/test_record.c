/* tests/unit/wire/test_record.c */
#include "core/wire/record.h"

#include "core/base/mem.h"
#include "tests/unit/check.h"

static struct record sample(struct buf *rows)
{
	static const uint8_t key[16] = { 0xaa, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xbb };
	struct buf columns = { 0 };
	struct wire_column name = { .id = 1, .join = JOIN_FIXED, .value = slice_str("ann") };
	struct wire_column yielded = { .id = 3, .join = JOIN_MAX, .value = slice_of("\x01", 1) };

	wire_column_put(&columns, &name);
	wire_column_put(&columns, &yielded);
	struct wire_row row = { TABLE_USER, slice_of(key, sizeof(key)), slice_of(columns.data, columns.len) };
	wire_row_put(rows, &row);
	buf_free(&columns);
	struct record r = { .version = 1, .op = OP_CREATE_USER, .flags = 0x0102,
		            .stamp = { .hlc = 0x1122334455667788, .tracker = 7, .dot = { .log = 0xfeed, .seq = 9 } },
		            .rows = slice_of(rows->data, rows->len) };
	memset(r.request.b, 0x5a, sizeof(r.request.b));
	return r;
}

static void put_sample(struct buf *b)
{
	struct buf rows = { 0 };
	struct record r = sample(&rows);
	CHECK_INT(record_put(b, &r), ==, SHOAL_OK);
	buf_free(&rows);
}

static void golden_bytes(void)
{
	static const char golden[] =
		"01" "01" "0102" "000000000000feed" "0000000000000009" "1122334455667788" "0007"
		"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a" "00000022"
		"0001" "0010" "aa0102030405060708090a0b0c0d0ebb" "000c" "01010003616e6e" "0303000101";
	struct buf b = { 0 };
	char hex[512];

	put_sample(&b);
	CHECK_INT(b.len, ==, 50 + 34 + 8);
	hex_encode(b.data, b.len - 8, hex);
	CHECK_STR(hex, golden);
	hex_encode(b.data + b.len - 8, 8, hex);
	CHECK_STR(hex, "dd2fb98422d415b6"); /* SHA-256 of the bytes before it, by sha256sum */
	buf_free(&b);
}

static void what_goes_in_comes_out(void)
{
	struct buf b = { 0 };
	struct record r = { 0 };
	struct wire_row row;
	struct wire_column col;

	put_sample(&b);
	CHECK_INT(record_get(slice_of(b.data, b.len), &r), ==, SHOAL_OK);
	CHECK_INT(r.op, ==, OP_CREATE_USER);
	CHECK_INT(r.flags, ==, 0x0102);
	CHECK_INT(r.stamp.tracker, ==, 7);
	CHECK_INT(r.stamp.dot.log, ==, 0xfeed);
	CHECK_INT(r.stamp.dot.seq, ==, 9);
	CHECK(r.stamp.hlc == 0x1122334455667788);
	CHECK_INT(r.request.b[15], ==, 0x5a);
	struct cursor c = cursor_of(r.rows.data, r.rows.len);
	wire_row_get(&c, &row);
	CHECK_INT(cursor_end(&c), ==, SHOAL_OK);
	CHECK_INT(row.table, ==, TABLE_USER);
	CHECK_INT(row.key.len, ==, 16);
	c = cursor_of(row.columns.data, row.columns.len);
	wire_column_get(&c, &col);
	CHECK(col.id == 1 && col.join == JOIN_FIXED && slice_eq_str(col.value, "ann"));
	wire_column_get(&c, &col);
	CHECK(col.id == 3 && col.join == JOIN_MAX && slice_eq(col.value, slice_of("\x01", 1)));
	CHECK_INT(cursor_end(&c), ==, SHOAL_OK);
	buf_free(&b);
}

static void every_prefix_is_refused(void)
{
	struct buf b = { 0 };
	struct record r;

	put_sample(&b);
	for (size_t n = 0; n < b.len; n++) {
		uint8_t *exact = try_memdup(b.data, n); /* so that a sanitizer sees a step too far */
		CHECK(record_get(slice_of(exact, n), &r) != SHOAL_OK);
		free(exact);
	}
	buf_put_u8(&b, 0);
	CHECK(record_get(slice_of(b.data, b.len), &r) != SHOAL_OK);
	buf_free(&b);
}

static void every_flipped_bit_is_noticed(void)
{
	struct buf b = { 0 };
	struct record r;

	put_sample(&b);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		enum shoal_err rc = record_get(slice_of(b.data, b.len), &r);
		CHECK(rc == SHOAL_EINTEGRITY || rc == SHOAL_EPROTO);
		b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	CHECK_INT(record_get(slice_of(b.data, b.len), &r), ==, SHOAL_OK);
	buf_free(&b);
}

static enum shoal_err with_rows(struct slice rows)
{
	struct record r = { .version = 1, .op = 1, .stamp = { .hlc = 1, .dot = { 1, 1 } }, .rows = rows }, out;
	struct buf b = { 0 };
	enum shoal_err rc = record_put(&b, &r);
	if (rc == SHOAL_OK)
		rc = record_get(slice_of(b.data, b.len), &out);
	buf_free(&b);
	return rc;
}

static void rows_are_looked_into(void)
{
	CHECK_INT(with_rows(slice_of(NULL, 0)), ==, SHOAL_OK);
	CHECK_INT(with_rows(slice_of("\0\1\0\1k\0\0", 7)), ==, SHOAL_OK);
	CHECK_INT(with_rows(slice_of("\0\1\0\0\0\0", 6)), ==, SHOAL_EPROTO);              /* no key */
	CHECK_INT(with_rows(slice_of("\0\1\0\1k\0\5\1\1\0\1x", 12)), ==, SHOAL_OK);
	CHECK_INT(with_rows(slice_of("\0\1\0\1k\0\5\1\4\0\1x", 12)), ==, SHOAL_EPROTO);    /* no such join */
	CHECK_INT(with_rows(slice_of("\0\1\0\1k\0\5\0\1\0\1x", 12)), ==, SHOAL_EPROTO);    /* column 0 */
	CHECK_INT(with_rows(slice_of("\0\1\0\1k\0\5\1\1\0\2x", 12)), ==, SHOAL_EPROTO);    /* runs over */
	CHECK_INT(with_rows(slice_of("\0\1\0\1k\0\10\2\1\0\0\2\1\0\0", 15)), ==, SHOAL_EPROTO); /* twice */
	CHECK_INT(with_rows(slice_of("\0\1\0\1k\0\10\2\1\0\0\1\1\0\0", 15)), ==, SHOAL_EPROTO); /* falling */
}

static void the_largest_fits_and_one_more_does_not(void)
{
	struct buf rows = { 0 };
	uint8_t key[1] = { 1 };

	while (rows.len + 7 <= RECORD_ROWS_MAX) {
		struct wire_row row = { 99, slice_of(key, 1), slice_of(NULL, 0) };
		wire_row_put(&rows, &row);
	}
	CHECK_INT(with_rows(slice_of(rows.data, rows.len)), ==, SHOAL_OK);
	struct record r = { .version = 1, .op = 1, .stamp = { .hlc = 1, .dot = { 1, 1 } } };
	buf_reserve(&rows, 64);
	memset(rows.data + rows.len, 0, RECORD_ROWS_MAX + 1 - rows.len);
	r.rows = slice_of(rows.data, RECORD_ROWS_MAX + 1);
	struct buf b = { 0 };
	CHECK_INT(record_put(&b, &r), ==, SHOAL_EQUOTA);
	CHECK_INT(b.len, ==, 0);
	buf_free(&b);
	buf_free(&rows);
}

static void heads_that_cannot_be(void)
{
	struct record good = { .version = 1, .op = 1, .stamp = { .hlc = 1, .dot = { 1, 1 } } }, out;
	struct record bad[6] = { good, good, good, good, good, good };

	bad[1].version = 2;
	bad[2].op = 0;
	bad[3].stamp.hlc = 0;
	bad[4].stamp.dot.log = 0;
	bad[5].stamp.dot.seq = 0;
	for (int i = 0; i < 6; i++) {
		struct buf b = { 0 };
		CHECK_INT(record_put(&b, &bad[i]), ==, SHOAL_OK);
		CHECK_INT(record_get(slice_of(b.data, b.len), &out), ==, i == 0 ? SHOAL_OK : SHOAL_EPROTO);
		buf_free(&b);
	}
}

static void printed_it_begins_with_the_word(void)
{
	struct buf b = { 0 }, text = { 0 };

	put_sample(&b);
	record_print(&text, slice_of(b.data, b.len));
	char *s = buf_steal_str(&text);
	CHECK_STR(s, "create_user feed.9 hlc=1122334455667788 tracker=7 request=5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a "
	             "user(aa0102030405060708090a0b0c0d0ebb){1=616e6e 3=01}");
	free(s);
	for (size_t n = 0; n < b.len; n++) { /* cut anywhere, it is still printed, and said to be broken */
		record_print(&text, slice_of(b.data, n));
		s = buf_steal_str(&text);
		CHECK(s != NULL && strstr(s, "(broken)") != NULL);
		free(s);
	}
	buf_free(&b);
}

static void a_password_is_not_printed(void)
{
	struct buf rows = { 0 }, b = { 0 }, text = { 0 }, columns = { 0 };
	struct wire_column password = { .id = 4, .join = JOIN_MAX, .value = slice_str("$scrypt$secret") };

	wire_column_put(&columns, &password);
	struct wire_row row = { TABLE_USER, slice_str("0123456789abcdef"), slice_of(columns.data, columns.len) };
	wire_row_put(&rows, &row);
	struct record r = { .version = 1, .op = 20, .stamp = { .hlc = 1, .dot = { 1, 1 } },
		            .rows = slice_of(rows.data, rows.len) };
	CHECK_INT(record_put(&b, &r), ==, SHOAL_OK);
	record_print(&text, slice_of(b.data, b.len));
	char *s = buf_steal_str(&text);
	CHECK(strstr(s, "4=***") != NULL);
	CHECK(strstr(s, "2473637279") == NULL); /* "$scry" in hex */
	free(s);
	buf_free(&rows);
	buf_free(&columns);
	buf_free(&b);
}

static void words(void)
{
	static const char *const ten[] = { "create_user", "login", "logout", "create_group", "join_group",
		                           "accept_request", "leave_group", "upload_file_data", "update_file_info",
		                           "stop_share" };
	enum op_kind kind;

	for (unsigned i = 0; i < 10; i++) {
		CHECK_STR(op_word(i + 1), ten[i]);
		CHECK(op_from_word(ten[i], &kind) && kind == i + 1);
	}
	CHECK_STR(op_word(OP_END_SESSION), "end_session");
	CHECK(op_word(0) == NULL && op_word(11) == NULL && op_word(255) == NULL);
	CHECK(!op_from_word("drop_table", &kind));
	CHECK_STR(table_word(TABLE_NOTICE), "notice");
	CHECK(table_word(0) == NULL && table_word(TABLE_END) == NULL);
}

static void without_memory_nothing_is_appended(void)
{
	struct buf rows = { 0 }, b = { 0 };
	struct record r = sample(&rows);

	mem_fail_after(1);
	CHECK_INT(record_put(&b, &r), ==, SHOAL_EBUSY);
	mem_fail_after(0);
	CHECK_INT(b.len, ==, 0);
	buf_free(&b);
	buf_free(&rows);
}

static void noise_is_refused(void)
{
	uint8_t noise[200];
	struct record r;

	for (int i = 0; i < 2000; i++) {
		size_t n = check_random(sizeof(noise));
		check_random_bytes(noise, n);
		CHECK(record_get(slice_of(noise, n), &r) != SHOAL_OK);
	}
}

static const struct CMUnitTest tests[] = {
	TEST(golden_bytes), TEST(what_goes_in_comes_out), TEST(every_prefix_is_refused),
	TEST(every_flipped_bit_is_noticed), TEST(rows_are_looked_into), TEST(the_largest_fits_and_one_more_does_not),
	TEST(heads_that_cannot_be), TEST(printed_it_begins_with_the_word), TEST(a_password_is_not_printed), TEST(words),
	TEST(without_memory_nothing_is_appended), TEST(noise_is_refused),
};
CHECK_MAIN(tests)
