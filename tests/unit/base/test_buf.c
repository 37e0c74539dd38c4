/* tests/unit/base/test_buf.c */
#include "core/base/buf.h"
#include "core/base/mem.h"
#include "tests/unit/check.h"

static void agrees_with_an_array(void)
{
	uint8_t model[4096];
	size_t len = 0;
	struct buf b = { 0 };
	for (int step = 0; step < 500; step++) {
		uint8_t some[64];
		size_t n = check_random(sizeof(some));
		if (check_random(3) == 0 || len + n > sizeof(model)) {
			size_t drop = check_random((uint32_t)len + 1);
			buf_consume(&b, drop);
			memmove(model, model + drop, len - drop);
			len -= drop;
		} else {
			check_random_bytes(some, n);
			buf_put(&b, some, n);
			memcpy(model + len, some, n);
			len += n;
		}
		CHECK_INT(b.len, ==, len);
		CHECK(len == 0 || memcmp(b.data, model, len) == 0);
	}
	buf_free(&b);
}

static void integers_are_big_endian(void)
{
	struct buf b = { 0 };
	static const uint8_t want[] = { 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 2, 'h', 'i', 0, 0, 0, 1, 'x' };
	buf_put_u8(&b, 1);
	buf_put_u16(&b, 0x0203);
	buf_put_u32(&b, 0x04050607);
	buf_put_u64(&b, 8);
	buf_put_str(&b, "hi", 2);
	buf_put_blob(&b, "x", 1);
	CHECK_INT(b.len, ==, sizeof(want));
	CHECK(memcmp(b.data, want, sizeof(want)) == 0);
	buf_free(&b);
}

static void a_failed_allocation_sticks(void)
{
	struct buf b = { 0 };
	mem_fail_after(1);
	buf_put_u32(&b, 7);
	CHECK(b.failed);
	buf_put_u32(&b, 8);
	CHECK_INT(b.len, ==, 0);
	CHECK(buf_steal_str(&b) == NULL);
	buf_put_u8(&b, 1); /* freed is fresh */
	CHECK_INT(b.len, ==, 1);
	buf_free(&b);
}

static void a_string_over_65535_bytes_fails(void)
{
	struct buf b = { 0 };
	static uint8_t zeros[70000];
	buf_put_str(&b, zeros, 65536);
	CHECK(b.failed);
	buf_free(&b);
}

static void prints(void)
{
	struct buf b = { 0 };
	buf_printf(&b, "%s-%d", "a", 7);
	buf_printf(&b, "%0200d", 1);
	CHECK_INT(b.len, ==, 203);
	char *s = buf_steal_str(&b);
	CHECK(strncmp(s, "a-7000", 6) == 0);
	free(s);
}

static void slices_compare_and_copy(void)
{
	char out[4];
	CHECK(slice_eq_str(slice_str("abc"), "abc"));
	CHECK(!slice_eq_str(slice_str("abc"), "abd"));
	CHECK(slice_to_str(slice_str("abc"), out, sizeof(out)));
	CHECK_STR(out, "abc");
	CHECK(!slice_to_str(slice_str("abcd"), out, sizeof(out)));
	CHECK_STR(out, "");
	CHECK(!slice_to_str(slice_of("a\0b", 3), out, sizeof(out)));
	CHECK(slice_to_str(slice_of(NULL, 0), out, sizeof(out)));
}

static const struct CMUnitTest tests[] = {
	TEST(agrees_with_an_array), TEST(integers_are_big_endian), TEST(a_failed_allocation_sticks),
	TEST(a_string_over_65535_bytes_fails), TEST(prints), TEST(slices_compare_and_copy),
};
CHECK_MAIN(tests)
