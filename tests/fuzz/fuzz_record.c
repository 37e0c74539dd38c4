/* tests/fuzz/fuzz_record.c - a log record: decode, print, and the same bytes when it is written again.
 *
 * The first byte says whether the checksum is made right, so that the fuzzer gets past it. */
#include "core/base/hash.h"
#include "tests/fuzz/fuzz.h"

static void check_decoded(const struct record *r, struct slice bytes)
{
	struct buf again = { 0 };
	struct cursor c = cursor_of(r->rows.data, r->rows.len);
	struct wire_row row;

	CHECK_INT(record_put(&again, r), ==, SHOAL_OK);
	CHECK(slice_eq(slice_of(again.data, again.len), bytes));
	buf_reset(&again);
	while (cursor_left(&c) != 0) {
		wire_row_get(&c, &row);
		CHECK(!c.bad);
		wire_row_put(&again, &row);
	}
	CHECK(slice_eq(slice_of(again.data, again.len), r->rows));
	buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf line = { 0 };
	struct record r;
	struct id32 hash;

	if (size < 1)
		return 0;
	struct slice bytes = slice_of(data + 1, size - 1);
	uint8_t *copy = fuzz_copy(bytes);
	if ((data[0] & 1) != 0 && bytes.len >= RECORD_CHECK_SIZE) {
		sha256_of(copy, bytes.len - RECORD_CHECK_SIZE, &hash);
		memcpy(copy + bytes.len - RECORD_CHECK_SIZE, hash.b, RECORD_CHECK_SIZE);
	}
	bytes.data = copy;
	if (record_get(bytes, &r) == SHOAL_OK)
		check_decoded(&r, bytes);
	record_print(&line, bytes);
	fuzz_check_printable(&line);
	buf_free(&line);
	free(copy);
	return 0;
}
