/* tests/unit/base/test_id.c - ids, hex digits, and the clocks. */
#include "core/base/clock.h"
#include "core/base/id.h"
#include "tests/unit/check.h"

static void ids_are_compared_byte_by_byte(void)
{
	for (size_t at = 0; at < 32; at++) {
		struct id16 a16 = { { 0 } }, b16 = { { 0 } };
		struct id32 a32 = { { 0 } }, b32 = { { 0 } };
		CHECK(id16_eq(&a16, &b16) && id32_eq(&a32, &b32));
		CHECK(id16_is_zero(&b16) && id32_is_zero(&b32));
		CHECK_INT(id32_cmp(&a32, &b32), ==, 0);
		b32.b[at] = 0x80; /* bytes have no sign */
		a32.b[at] = 0x7f;
		CHECK(!id32_eq(&a32, &b32) && !id32_is_zero(&b32));
		CHECK(id32_cmp(&a32, &b32) < 0 && id32_cmp(&b32, &a32) > 0);
		if (at >= sizeof(a16.b))
			continue;
		b16.b[at] = 0x80;
		a16.b[at] = 0x7f;
		CHECK(!id16_eq(&a16, &b16) && !id16_is_zero(&b16));
		CHECK(id16_cmp(&a16, &b16) < 0 && id16_cmp(&b16, &a16) > 0);
	}
}

static void the_first_byte_that_differs_decides(void)
{
	const struct id16 a = { { 1, 0xff, 0xff } }, b = { { 2, 0, 0 } };
	CHECK(id16_cmp(&a, &b) < 0);
}

static void hex_goes_there_and_back(void)
{
	char text[HEX32_SIZE];
	hex_encode("\x00\x9a\xff", 3, text);
	CHECK_STR(text, "009aff");
	hex_encode("", 0, text);
	CHECK_STR(text, "");
	for (int i = 0; i < 1000; i++) {
		struct id32 in, out;
		check_random_bytes(&in, sizeof(in));
		hex_encode(in.b, sizeof(in.b), text);
		CHECK_INT(strlen(text), ==, HEX32_SIZE - 1);
		CHECK(hex_decode(text, out.b, sizeof(out.b)));
		CHECK(id32_eq(&in, &out));
	}
}

static void what_is_not_hex_is_refused(void)
{
	static const char *const bad[] = { "", "00ff0", "00ff0g", "00ff 1", "00ff012", "00ff0122", "0x00ff", "-0ff01", "00ff0\xb9" };
	uint8_t out[3];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!hex_decode(bad[i], out, sizeof(out)));
	CHECK(hex_decode("00Ff0a", out, sizeof(out)) && out[1] == 0xff && out[2] == 0x0a);
}

static void the_tail_is_the_first_thirty_bits(void)
{
	char tail[7];
	id_alias_tail("\x00\x00\x00\x00", tail);
	CHECK_STR(tail, "aaaaaa");
	id_alias_tail("\xff\xff\xff\xff", tail);
	CHECK_STR(tail, "777777");
	id_alias_tail("\x00\x00\x00\x03", tail); /* the last two bits do not count */
	CHECK_STR(tail, "aaaaaa");
	id_alias_tail("\x00\x44\x32\x14", tail); /* 00000 00001 00010 00011 00100 00101 */
	CHECK_STR(tail, "abcdef");
}

static void clocks_go_forward_and_agree(void)
{
	uint64_t ms = clock_mono_ms(), us = clock_mono_us();
	CHECK_INT(us / 1000, >=, ms);
	for (int i = 0; i < 10000; i++) {
		uint64_t now = clock_mono_us();
		CHECK(now >= us);
		us = now;
	}
	CHECK_INT(clock_mono_ms(), >=, us / 1000);
	CHECK_INT(clock_wall_ms(), >, 1700000000000); /* milliseconds, and since 1970: after this was written */
	CHECK_INT(clock_wall_ms(), <, 10000000000000);
}

static const struct CMUnitTest tests[] = {
	TEST(ids_are_compared_byte_by_byte), TEST(the_first_byte_that_differs_decides), TEST(hex_goes_there_and_back),
	TEST(what_is_not_hex_is_refused), TEST(the_tail_is_the_first_thirty_bits), TEST(clocks_go_forward_and_agree),
};
CHECK_MAIN(tests)
