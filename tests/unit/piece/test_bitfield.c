/* tests/unit/piece/test_bitfield.c */
#include "core/piece/bitfield.h"

#include "core/base/mem.h"
#include "tests/unit/check.h"

static void spare_bits_are_refused(void)
{
	const uint8_t wire[] = { 0xff, 0xe1 }; /* 11 bits: the low five must be zero */
	struct bitfield *bf = NULL;
	CHECK_INT(bitfield_from_wire(&bf, 11, wire, sizeof(wire)), ==, SHOAL_EPROTO);
	CHECK_INT(bitfield_from_wire(&bf, 17, wire, sizeof(wire)), ==, SHOAL_EPROTO);
	CHECK_INT(bitfield_from_wire(&bf, 8, wire, sizeof(wire)), ==, SHOAL_EPROTO);
	CHECK(bf == NULL);
	CHECK_INT(bitfield_from_wire(&bf, 16, wire, sizeof(wire)), ==, SHOAL_OK);
	CHECK_INT(bitfield_count(bf), ==, 12);
	bitfield_free(bf);
}

static uint32_t model_next(const bool *model, uint32_t n, uint32_t from, bool value)
{
	while (from < n && model[from] != value)
		from++;
	return from < n ? from : BITFIELD_NONE;
}

/* Sizes around the borders of bytes and words. */
static void agrees_with_an_array_of_bool(void)
{
	static const uint32_t sizes[] = { 1, 7, 8, 9, 37, 63, 64, 65, 128, 130 };
	for (size_t s = 0; s < COUNT_OF(sizes); s++) {
		uint32_t n = sizes[s], count = 0;
		bool model[130] = { false };
		struct bitfield *bf = bitfield_new(n), *other = bitfield_new(n);
		for (int step = 0; step < 300; step++) {
			uint32_t i = check_random(n);
			bool value = check_random(3) != 0;
			count += (uint32_t)value - model[i];
			model[i] = value;
			(value ? bitfield_set : bitfield_clear)(bf, i);
			bitfield_set(other, check_random(n));
			CHECK_INT(bitfield_count(bf), ==, count);
			CHECK_INT(bitfield_full(bf), ==, count == n);
			for (uint32_t j = 0; j < n; j++)
				CHECK_INT(bitfield_has(bf, j), ==, model[j]);
			uint32_t from = check_random(n + 2), common = from;
			CHECK_INT(bitfield_next_set(bf, from), ==, model_next(model, n, from, true));
			CHECK_INT(bitfield_next_unset(bf, from), ==, model_next(model, n, from, false));
			while (common < n && !(model[common] && bitfield_has(other, common)))
				common++;
			CHECK_INT(bitfield_next_common(bf, other, from), ==, common < n ? common : BITFIELD_NONE);
		}
		bitfield_fill(bf);
		CHECK(bitfield_full(bf));
		CHECK_INT(bitfield_next_unset(bf, 0), ==, BITFIELD_NONE);
		bitfield_free(bf);
		bitfield_free(other);
	}
}

static void travels_in_several_messages(void)
{
	const uint32_t n = 8 * BITFIELD_WIRE_MAX + 13;
	struct bitfield *a = bitfield_new(n), *b = bitfield_new(n);
	const uint8_t *data;
	size_t len;
	int messages = 0;

	for (int i = 0; i < 1000; i++) {
		bitfield_set(a, check_random(n));
		bitfield_set(b, check_random(n)); /* what was there is overwritten */
	}
	bitfield_set(a, n - 1);
	for (uint32_t first = 0; (len = bitfield_to_wire(a, first, &data)) != 0; first += (uint32_t)(8 * len), messages++) {
		CHECK_INT(len, <=, BITFIELD_WIRE_MAX);
		CHECK_INT(bitfield_put_range(b, first, data, len), ==, SHOAL_OK);
	}
	CHECK_INT(messages, ==, 2);
	CHECK_INT(bitfield_count(a), ==, bitfield_count(b));
	for (uint32_t i = 0; i < n; i++)
		CHECK_INT(bitfield_has(a, i), ==, bitfield_has(b, i));
	bitfield_free(a);
	bitfield_free(b);
}

static void a_bad_range_changes_nothing(void)
{
	struct bitfield *bf = bitfield_new(20);
	const uint8_t ones[4] = { 0xff, 0xff, 0xff, 0xff };

	CHECK_INT(bitfield_put_range(bf, 4, ones, 1), ==, SHOAL_EPROTO);          /* not on a byte */
	CHECK_INT(bitfield_put_range(bf, 8, ones, 3), ==, SHOAL_EPROTO);          /* past the end */
	CHECK_INT(bitfield_put_range(bf, 24, ones, 1), ==, SHOAL_EPROTO);
	CHECK_INT(bitfield_put_range(bf, UINT32_MAX - 7, ones, 1), ==, SHOAL_EPROTO);
	CHECK_INT(bitfield_put_range(bf, 16, ones, 1), ==, SHOAL_EPROTO);         /* spare bits */
	CHECK_INT(bitfield_put_range(bf, 0, ones, 0), ==, SHOAL_EPROTO);
	CHECK_INT(bitfield_put_range(bf, 0, ones, (size_t)-1), ==, SHOAL_EPROTO);
	CHECK_INT(bitfield_count(bf), ==, 0);
	CHECK_INT(bitfield_put_range(bf, 8, ones, 1), ==, SHOAL_OK);
	CHECK_INT(bitfield_count(bf), ==, 8);
	CHECK_INT(bitfield_next_set(bf, 0), ==, 8);
	bitfield_free(bf);
}

static void no_memory_is_an_answer(void)
{
	mem_fail_after(1);
	CHECK(bitfield_new(100) == NULL);
	struct bitfield *bf = NULL;
	mem_fail_after(1);
	CHECK_INT(bitfield_from_wire(&bf, 8, (const uint8_t *)"a", 1), ==, SHOAL_EBUSY);
	mem_fail_after(0);
	CHECK(bf == NULL);
}

static const struct CMUnitTest tests[] = {
	TEST(spare_bits_are_refused),
	TEST(agrees_with_an_array_of_bool),
	TEST(travels_in_several_messages),
	TEST(a_bad_range_changes_nothing),
	TEST(no_memory_is_an_answer),
};
CHECK_MAIN(tests)
