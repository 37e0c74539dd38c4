/* tests/fuzz/fuzz_sync.c - what another tracker says: checked, printed, and the same bytes when it is written again. */
#include "core/wire/sync_msg.h"
#include "tests/fuzz/fuzz.h"

static void lease_rows(struct cursor *c, struct buf *b, unsigned n)
{
	struct sync_lease_row row;
	for (unsigned i = 0; i < n; i++) {
		sync_lease_row_get(c, &row);
		sync_lease_row_put(b, &row);
	}
}

static void lease_sum_rows(struct cursor *c, struct buf *b, unsigned n)
{
	struct sync_lease_sum_row row;
	for (unsigned i = 0; i < n; i++) {
		sync_lease_sum_row_get(c, &row);
		sync_lease_sum_row_put(b, &row);
	}
}

static void peer_rows(struct cursor *c, struct buf *b, unsigned n)
{
	struct sync_peer_row row;
	for (unsigned i = 0; i < n; i++) {
		sync_peer_row_get(c, &row);
		sync_peer_row_put(b, &row);
	}
}

static void none(struct cursor *c, struct buf *b, unsigned n)
{
	(void)c, (void)b, (void)n;
}

static unsigned count_of(struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	get_u8(&c);
	return get_u16(&c);
}

static void write_again(struct slice body, struct buf *b)
{
	struct cursor c = cursor_of(body.data, body.len);
	unsigned kind = get_u8(&c);
	buf_put_u8(b, (uint8_t)kind);
#define lease_row lease_rows
#define lease_sum_row lease_sum_rows
#define peer_row peer_rows
#define X(num, NAME, word, fields, row)                                    \
	if (kind == num) {                                                 \
		struct sync_##word m;                                      \
		sync_##word##_get(&c, &m);                                 \
		sync_##word##_put(b, &m);                                  \
		row(&c, b, sync_kind_is_list(num) ? count_of(body) : 0); \
	}
	SYNC_KINDS(X)
#undef X
	CHECK_INT(cursor_end(&c), ==, SHOAL_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf line = { 0 }, again = { 0 };
	uint8_t *copy = fuzz_copy(slice_of(data, size));
	struct slice body = slice_of(copy, size);

	if (sync_check(body) == SHOAL_OK) {
		write_again(body, &again);
		CHECK(slice_eq(slice_of(again.data, again.len), body));
	}
	sync_print(&line, body);
	fuzz_check_printable(&line);
	buf_free(&line);
	buf_free(&again);
	free(copy);
	return 0;
}
