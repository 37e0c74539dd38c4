/* tests/unit/wire/test_sync_msg.c */
#include "core/wire/sync_msg.h"

#include "core/base/mem.h"
#include "core/wire/record.h"

#include "tests/unit/check.h"

static struct slice body_of(const struct buf *b)
{
	return slice_of(b->data + 8, b->len - 8); /* behind length and tag */
}

static void put_vector(struct buf *b, uint64_t log, uint64_t seq)
{
	buf_put_u64(b, log);
	buf_put_u64(b, seq);
}

static void put_hello(struct buf *b, struct slice vector)
{
	struct sync_hello m = { .version = SYNC_VERSION, .from = 1, .to = 2, .log = 77, .wall_ms = 1000,
		                .frame_max = FRAME_MAX, .software = slice_str("shoal 1"), .vector = vector };
	size_t start = sync_begin(b, SYNC_HELLO);
	sync_hello_put(b, &m);
	CHECK_INT(frame_end(b, start), ==, SHOAL_OK);
}

static void hello_comes_back_as_it_was(void)
{
	struct buf vector = { 0 }, b = { 0 };
	put_vector(&vector, 5, 10);
	put_vector(&vector, 6, 1);
	put_hello(&b, slice_of(vector.data, vector.len));
	CHECK_INT(sync_check(body_of(&b)), ==, SHOAL_OK);

	struct cursor c = cursor_of(b.data + 9, b.len - 9);
	struct sync_hello m;
	sync_hello_get(&c, &m);
	CHECK_INT(cursor_end(&c), ==, SHOAL_OK);
	CHECK_INT(m.from, ==, 1);
	CHECK_INT(m.to, ==, 2);
	CHECK_INT(m.log, ==, 77);
	CHECK(slice_eq_str(m.software, "shoal 1"));
	CHECK(slice_eq(m.vector, slice_of(vector.data, vector.len)));
	buf_free(&vector);
	buf_free(&b);
}

static void golden_bytes_of_an_ack(void)
{
	static const uint8_t golden[] = { 0, 0, 0, 25, 'S', 'Y', 'N', 'C', 3, 0, 0, 0, 16, 0, 0, 0, 0,
		                          0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 1, 2 };
	struct buf vector = { 0 }, b = { 0 };
	put_vector(&vector, 7, 258);
	size_t start = sync_begin(&b, SYNC_ACK);
	sync_ack_put(&b, &(struct sync_ack){ .vector = slice_of(vector.data, vector.len) });
	CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
	CHECK(slice_eq(slice_of(b.data, b.len), slice_of(golden, sizeof(golden))));
	buf_free(&vector);
	buf_free(&b);
}

static void bad_vectors_are_refused(void)
{
	static const struct {
		uint64_t log[2], seq[2];
		size_t len;
		bool ok;
	} cases[] = {
		{ { 1, 2 }, { 1, 1 }, 32, true },  { { 0, 0 }, { 0, 0 }, 0, true },   { { 2, 1 }, { 1, 1 }, 32, false },
		{ { 1, 1 }, { 1, 1 }, 32, false }, { { 0, 1 }, { 1, 1 }, 32, false }, { { 1, 2 }, { 1, 0 }, 32, false },
		{ { 1, 2 }, { 1, 1 }, 31, false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf vector = { 0 }, b = { 0 };
		put_vector(&vector, cases[i].log[0], cases[i].seq[0]);
		put_vector(&vector, cases[i].log[1], cases[i].seq[1]);
		put_hello(&b, slice_of(vector.data, cases[i].len));
		CHECK_INT(sync_check(body_of(&b)), ==, cases[i].ok ? SHOAL_OK : SHOAL_EPROTO);
		buf_free(&vector);
		buf_free(&b);
	}
}

static void put_leases(struct buf *b, unsigned count, unsigned rows)
{
	size_t start = sync_begin(b, SYNC_LEASE);
	sync_lease_put(b, &(struct sync_lease){ .count = (uint16_t)count });
	for (unsigned i = 0; i < rows; i++) {
		struct sync_lease_row row = { .log = 9, .seq = i + 1, .home = 2, .epoch = 5, .left_ms = 30000,
			                      .address = slice_str("10.0.0.1:99") };
		sync_lease_row_put(b, &row);
	}
	CHECK_INT(frame_end(b, start), ==, SHOAL_OK);
}

static void put_sums(struct buf *b, unsigned count, unsigned rows)
{
	size_t start = sync_begin(b, SYNC_LEASE_SUM);
	sync_lease_sum_put(b, &(struct sync_lease_sum){ .count = (uint16_t)count });
	for (unsigned i = 0; i < rows; i++)
		sync_lease_sum_row_put(b, &(struct sync_lease_sum_row){ .home = (uint16_t)(i + 1), .beat = 0x0102030405060708,
		                                                        .steady = 10000, .sum = UINT64_MAX - 1,
		                                                        .left_ms = 15000, .all = 1 });
	CHECK_INT(frame_end(b, start), ==, SHOAL_OK);
}

static void a_list_has_exactly_its_rows(void)
{
	for (unsigned count = 0; count < 4; count++) {
		struct buf b = { 0 }, sums = { 0 };
		put_leases(&b, count, 2);
		CHECK_INT(sync_check(body_of(&b)), ==, count == 2 ? SHOAL_OK : SHOAL_EPROTO);
		put_sums(&sums, count, 2);
		CHECK_INT(sync_check(body_of(&sums)), ==, count == 2 ? SHOAL_OK : SHOAL_EPROTO);
		buf_free(&b);
		buf_free(&sums);
	}
}

static void only_presence_comes_in_lists(void)
{
	for (unsigned kind = 0; kind < 256; kind++)
		CHECK_INT(sync_kind_is_list(kind), ==, kind == SYNC_LEASE || kind == SYNC_LEASE_SUM || kind == SYNC_PEER);
}

static void golden_bytes_of_a_lease_sum(void)
{
	static const uint8_t golden[] = { 0, 0, 0, 34, 'S', 'Y', 'N', 'C', 16, 0, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x27,
		                          0x10, 255, 255, 255, 255, 255, 255, 255, 254, 0, 0, 0x3a, 0x98, 1 };
	struct buf b = { 0 }, text = { 0 };
	put_sums(&b, 1, 1);
	CHECK(slice_eq(slice_of(b.data, b.len), slice_of(golden, sizeof(golden))));
	sync_print(&text, body_of(&b));
	buf_put_u8(&text, 0);
	CHECK(strstr((const char *)text.data, "steady=10000") != NULL);
	buf_free(&b);
	buf_free(&text);
}

static void a_lease_comes_back_as_it_was(void)
{
	struct sync_lease_row row = { .log = 9, .seq = UINT64_MAX, .uid = { { 1 } }, .device = { { 2 } }, .home = 65535, .epoch = 5,
		                      .beat = 6, .left_ms = 30000, .steady = 1, .address = slice_str("[::1]:99") }, again;
	struct buf b = { 0 };
	sync_lease_row_put(&b, &row);
	struct cursor c = cursor_of(b.data, b.len);
	sync_lease_row_get(&c, &again);
	CHECK_INT(cursor_end(&c), ==, SHOAL_OK);
	CHECK_INT(again.seq, ==, UINT64_MAX);
	CHECK_INT(again.home, ==, 65535);
	CHECK_INT(again.beat, ==, 6);
	CHECK_INT(again.left_ms, ==, 30000);
	CHECK_INT(again.steady, ==, 1);
	CHECK(slice_eq_str(again.address, "[::1]:99"));
	buf_free(&b);
}

static void every_cut_and_every_extra_byte_is_refused(void)
{
	struct buf list = { 0 }, sums = { 0 }, want = { 0 }, hello = { 0 };
	put_leases(&list, 3, 3);
	put_sums(&sums, 3, 3);
	size_t start = sync_begin(&want, SYNC_LEASE_WANT);
	sync_lease_want_put(&want, &(struct sync_lease_want){ .home = 3 });
	CHECK_INT(frame_end(&want, start), ==, SHOAL_OK);
	put_hello(&hello, slice_of(NULL, 0));
	const struct buf *all[] = { &list, &sums, &want, &hello };
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		struct slice body = body_of(all[i]);
		for (size_t len = 0; len < body.len; len++)
			CHECK_INT(sync_check(slice_of(body.data, len)), ==, SHOAL_EPROTO);
		struct buf more = { 0 };
		buf_put(&more, body.data, body.len);
		buf_put_u8(&more, 0);
		CHECK_INT(sync_check(slice_of(more.data, more.len)), ==, SHOAL_EPROTO);
		buf_free(&more);
	}
	buf_free(&list);
	buf_free(&sums);
	buf_free(&want);
	buf_free(&hello);
}

static void an_unknown_kind_is_told_apart(void)
{
	const uint8_t body[] = { 200, 1, 2, 3 };
	CHECK_INT(sync_check(slice_of(body, sizeof(body))), ==, SHOAL_ENOTFOUND);
	CHECK(sync_kind_word(200) == NULL);
	CHECK_STR(sync_kind_word(SYNC_SNAP_BEGIN), "snap_begin");
}

static void an_op_prints_as_what_it_does(void)
{
	struct record rec = { .version = RECORD_VERSION, .op = OP_JOIN_GROUP, .stamp = { 5 << 16, 1, { 7, 8 } } };
	struct buf record = { 0 }, b = { 0 }, text = { 0 };
	CHECK_INT(record_put(&record, &rec), ==, SHOAL_OK);
	size_t start = sync_begin(&b, SYNC_OP);
	sync_op_put(&b, &(struct sync_op){ .record = slice_of(record.data, record.len) });
	CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
	CHECK_INT(sync_check(body_of(&b)), ==, SHOAL_OK);
	sync_print(&text, body_of(&b));
	CHECK(text.len > 10 && memcmp(text.data, "join_group", 10) == 0);
	buf_free(&record);
	buf_free(&b);
	buf_free(&text);
}

static void random_bytes_do_not_hurt(void)
{
	for (int round = 0; round < 20000; round++) {
		uint8_t body[96];
		size_t len = check_random(sizeof(body));
		struct buf text = { 0 };
		check_random_bytes(body, sizeof(body));
		body[0] = (uint8_t)check_random(SYNC_LEASE_WANT + 3);
		sync_print(&text, slice_of(body, len));
		CHECK(text.len != 0 && !text.failed);
		(void)sync_check(slice_of(body, len));
		buf_free(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello_comes_back_as_it_was),
		TEST(golden_bytes_of_an_ack),
		TEST(bad_vectors_are_refused),
		TEST(a_list_has_exactly_its_rows),
		TEST(only_presence_comes_in_lists),
		TEST(golden_bytes_of_a_lease_sum),
		TEST(a_lease_comes_back_as_it_was),
		TEST(every_cut_and_every_extra_byte_is_refused),
		TEST(an_unknown_kind_is_told_apart),
		TEST(an_op_prints_as_what_it_does),
		TEST(random_bytes_do_not_hurt),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
