/* tests/unit/registry/test_vvec.c - a vector against an array. */
#include "core/base/mem.h"
#include "core/base/id.h"
#include "core/registry/vvec.h"
#include "tests/unit/check.h"

static void agrees_with_an_array(void)
{
	uint64_t model[40] = { 0 };
	struct vvec v = { 0 };

	for (int step = 0; step < 3000; step++) {
		uint64_t log = 1 + check_random(39), seq = check_random(6);
		if (check_random(3) == 0) {
			if (model[log] != 0)
				model[log] = seq;
			vvec_lower(&v, log, seq);
		} else {
			if (seq > model[log])
				model[log] = seq;
			CHECK_INT(vvec_raise(&v, log, seq), ==, SHOAL_OK);
		}
		size_t n = 0;
		for (uint64_t l = 1; l < 40; l++) {
			CHECK_INT(vvec_get(&v, l), ==, model[l]);
			CHECK(vvec_covers(&v, (struct dot){ l, model[l] }));
			CHECK(!vvec_covers(&v, (struct dot){ l, model[l] + 1 }));
			n += model[l] != 0;
		}
		CHECK_INT(v.n, ==, n);
	}
	vvec_fini(&v);
}

static void merging_takes_the_larger(void)
{
	struct vvec a = { 0 }, b = { 0 }, m = { 0 };

	vvec_raise(&a, 1, 5);
	vvec_raise(&a, 2, 1);
	vvec_raise(&b, 2, 4);
	vvec_raise(&b, 9, 2);
	CHECK(!vvec_covers_all(&a, &b) && !vvec_covers_all(&b, &a));
	CHECK_INT(vvec_ahead(&a, &b), ==, 5);
	CHECK_INT(vvec_ahead(&b, &a), ==, 5);
	CHECK_INT(vvec_copy(&m, &a), ==, SHOAL_OK);
	CHECK(vvec_eq(&m, &a) && !vvec_eq(&m, &b));
	CHECK_INT(vvec_merge(&m, &b), ==, SHOAL_OK);
	CHECK(vvec_covers_all(&m, &a) && vvec_covers_all(&m, &b));
	CHECK_INT(vvec_get(&m, 1), ==, 5);
	CHECK_INT(vvec_get(&m, 2), ==, 4);
	CHECK_INT(vvec_get(&m, 9), ==, 2);
	vvec_fini(&a);
	vvec_fini(&b);
	vvec_fini(&m);
}

static enum shoal_err read_hex(const char *hex, struct vvec *out)
{
	uint8_t bytes[100];
	size_t len = strlen(hex) / 2;
	CHECK(hex_decode(hex, bytes, len));
	struct cursor c = cursor_of(bytes, len);
	enum shoal_err rc = vvec_read(&c, out);
	return rc == SHOAL_OK ? cursor_end(&c) : rc;
}

static void golden_bytes_and_what_is_refused(void)
{
	static const char golden[] = "00000002" "0000000000000003" "0000000000000007" "000000000000000a" "0000000000000001";
	struct vvec v = { 0 }, back = { 0 };
	struct buf b = { 0 };
	char hex[200];

	vvec_raise(&v, 10, 1);
	vvec_raise(&v, 3, 7);
	vvec_put(&b, &v);
	hex_encode(b.data, b.len, hex);
	CHECK_STR(hex, golden);
	CHECK_INT(read_hex(golden, &back), ==, SHOAL_OK);
	CHECK(vvec_eq(&v, &back));
	CHECK(vvec_hash(&v) == vvec_hash(&back));
	vvec_raise(&back, 3, 8);
	CHECK(vvec_hash(&v) != vvec_hash(&back));
	for (size_t n = 0; n < b.len; n++) {
		struct cursor c = cursor_of(b.data, n);
		struct vvec none = { 0 };
		CHECK_INT(vvec_read(&c, &none), ==, SHOAL_EPROTO);
		CHECK(none.entries == NULL);
	}
	struct vvec none = { 0 };
	CHECK_INT(read_hex("00000002" "0000000000000003" "0000000000000007" "0000000000000003" "0000000000000001", &none), ==,
	          SHOAL_EPROTO); /* not rising */
	CHECK_INT(read_hex("00000001" "0000000000000003" "0000000000000000", &none), ==, SHOAL_EPROTO);
	CHECK_INT(read_hex("00000001" "0000000000000000" "0000000000000001", &none), ==, SHOAL_EPROTO);
	CHECK_INT(read_hex("ffffffff", &none), ==, SHOAL_EPROTO);
	CHECK_INT(read_hex("00000000", &none), ==, SHOAL_OK);
	buf_free(&b);
	vvec_fini(&v);
	vvec_fini(&back);
	vvec_fini(&none);
}

static void without_memory_it_stays_as_it_was(void)
{
	struct vvec v = { 0 }, other = { 0 };

	vvec_raise(&other, 1, 1);
	mem_fail_after(1);
	CHECK_INT(vvec_raise(&v, 1, 1), ==, SHOAL_EBUSY);
	CHECK_INT(v.n, ==, 0);
	mem_fail_after(1);
	CHECK_INT(vvec_merge(&v, &other), ==, SHOAL_EBUSY);
	mem_fail_after(1);
	CHECK_INT(vvec_copy(&v, &other), ==, SHOAL_EBUSY);
	mem_fail_after(0);
	CHECK_INT(v.n, ==, 0);
	CHECK_INT(vvec_reserve(&v, 20), ==, SHOAL_OK);
	mem_fail_after(1);
	for (uint64_t log = 20; log > 0; log--)
		CHECK_INT(vvec_raise(&v, log, 1), ==, SHOAL_OK); /* there is room */
	mem_fail_after(0);
	vvec_fini(&v);
	vvec_fini(&other);
}

static const struct CMUnitTest tests[] = {
	TEST(agrees_with_an_array), TEST(merging_takes_the_larger), TEST(golden_bytes_and_what_is_refused),
	TEST(without_memory_it_stays_as_it_was),
};
CHECK_MAIN(tests)
