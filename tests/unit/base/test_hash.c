/* tests/unit/base/test_hash.c - hashes, keys and passwords against known values and libcrypto's other interface. */
#include <openssl/evp.h>

#include "core/base/crypto.h"
#include "core/base/hash.h"
#include "tests/unit/check.h"

static void agrees_with_evp_in_any_cut(void)
{
	static uint8_t data[10000];
	check_random_bytes(data, sizeof(data));
	for (int i = 0; i < 50; i++) {
		size_t len = check_random(sizeof(data));
		struct id32 got, want;
		struct sha256 h;
		sha256_init(&h);
		for (size_t at = 0; at < len;) {
			size_t n = 1 + check_random(700);
			n = n < len - at ? n : len - at;
			sha256_update(&h, data + at, n);
			at += n;
		}
		sha256_final(&h, &got);
		CHECK(EVP_Digest(data, len, want.b, NULL, EVP_sha256(), NULL) == 1);
		CHECK(id32_eq(&got, &want));
	}
}

/* Both chains against one at a time, from any state and with any length; a pair of one and the same data, too. */
static void a_pair_is_two_hashes(void)
{
	static uint8_t data[2][20000];
	check_random_bytes(data, sizeof(data));
	for (int i = 0; i < 300; i++) {
		struct sha256 pair[2], alone[2];
		struct id32 got, want;
		const uint8_t *from[2] = { data[0] + check_random(64), data[i % 3 == 0 ? 0 : 1] + check_random(64) };
		size_t len[2] = { check_random(sizeof(data[0]) - 64), check_random(sizeof(data[0]) - 64) };
		if (i % 4 == 0)
			len[i % 2] = check_random(200);
		if (i % 5 == 0)
			len[1] = len[0];
		for (int k = 0; k < 2; k++) {
			size_t before = check_random(2) * 64 * check_random(9) + (check_random(4) == 0 ? check_random(64) : 0);
			sha256_init(&alone[k]);
			sha256_update(&alone[k], data[k], before);
			pair[k] = alone[k];
		}
		sha256_update_pair(&pair[0], from[0], len[0], &pair[1], from[1], len[1]);
		for (int k = 0; k < 2; k++) {
			sha256_update(&alone[k], from[k], len[k]);
			sha256_update(&alone[k], data[k], 77);
			sha256_update(&pair[k], data[k], 77);
			sha256_final(&alone[k], &want);
			sha256_final(&pair[k], &got);
			CHECK(id32_eq(&got, &want));
		}
	}
}

static void a_pair_counts_past_512_mib(void)
{
	static uint8_t block[1 << 20];
	struct sha256 pair[2], alone;
	struct id32 got, want;
	sha256_init(&pair[0]);
	sha256_init(&pair[1]);
	sha256_init(&alone);
	for (int i = 0; i < 513; i++) {
		sha256_update_pair(&pair[0], block, sizeof(block), &pair[1], block, sizeof(block));
		sha256_update(&alone, block, sizeof(block));
	}
	sha256_final(&alone, &want);
	for (int k = 0; k < 2; k++) {
		sha256_final(&pair[k], &got);
		CHECK(id32_eq(&got, &want));
	}
}

static void a_saved_state_goes_on(void)
{
	static uint8_t data[4096];
	uint8_t state[32];
	struct sha256 h, again;
	struct id32 want, got;
	check_random_bytes(data, sizeof(data));
	sha256_of(data, sizeof(data), &want);
	for (size_t cut = 0; cut <= sizeof(data); cut += 64) {
		sha256_init(&h);
		sha256_update(&h, data, cut);
		CHECK(sha256_save(&h, state));
		sha256_load(&again, state, cut);
		sha256_update(&again, data + cut, sizeof(data) - cut);
		sha256_final(&again, &got);
		CHECK(id32_eq(&got, &want));
	}
	sha256_init(&h);
	sha256_update(&h, data, 63);
	CHECK(!sha256_save(&h, state));
}

static void a_saved_state_goes_on_past_512_mib(void)
{
	/* the bit counter has two words: past 2^32 bits the second must be right */
	static uint8_t block[1 << 20];
	struct sha256 h, again;
	struct id32 want, got;
	uint8_t state[32];
	sha256_init(&h);
	for (int i = 0; i < 520; i++)
		sha256_update(&h, block, sizeof(block));
	CHECK(sha256_save(&h, state));
	sha256_load(&again, state, UINT64_C(520) << 20);
	sha256_final(&h, &want);
	sha256_final(&again, &got);
	CHECK(id32_eq(&got, &want));
}

static void tuples_keep_fields_apart(void)
{
	struct sha256 a, b;
	struct id32 x, y;
	sha256_init(&a);
	tuple_add_str(&a, "ab");
	tuple_add_str(&a, "c");
	sha256_final(&a, &x);
	sha256_init(&b);
	tuple_add_str(&b, "a");
	tuple_add_str(&b, "bc");
	sha256_final(&b, &y);
	CHECK(!id32_eq(&x, &y));
}

static void a_seed_gives_one_identity(void)
{
	uint8_t seed[SEED_SIZE] = { 1, 2, 3 }, sig[SIGNATURE_SIZE], raw[32];
	struct id32 one, two;
	EVP_PKEY *a = key_from_seed(seed), *b = key_from_seed(seed);
	CHECK(key_identity(a, &one) && key_identity(b, &two) && id32_eq(&one, &two));
	CHECK(key_sign(a, "text", 4, sig));
	CHECK(key_public_raw(a, raw));
	EVP_PKEY *public = key_from_public(raw);
	CHECK(key_verify(public, "text", 4, sig));
	CHECK(!key_verify(public, "texT", 4, sig));
	CHECK(key_identity(public, &two) && id32_eq(&one, &two));
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
	EVP_PKEY_free(public);
}

static void passwords_verify(void)
{
	char record[PASSWORD_RECORD_MAX], other[PASSWORD_RECORD_MAX];
	CHECK_INT(password_hash("secret", 6, 10, record), ==, SHOAL_OK);
	CHECK_INT(password_hash("secret", 6, 10, other), ==, SHOAL_OK);
	CHECK(strcmp(record, other) != 0); /* salted */
	CHECK(password_verify("secret", 6, record, 10));
	CHECK(!password_verify("Secret", 6, record, 10));
	CHECK(!password_verify("secret", 6, "", 10));
	CHECK(!password_verify("secret", 6, "$scrypt$ln=40,r=8,p=3$00$00", 10));
	CHECK(strstr(record, "$scrypt$ln=10,r=8,p=3$") == record);
}

static void hex_and_ids(void)
{
	uint8_t out[3];
	char text[7];
	CHECK(hex_decode("00fFa1", out, 3) && out[0] == 0 && out[1] == 0xff && out[2] == 0xa1);
	CHECK(!hex_decode("00fFa", out, 3));
	CHECK(!hex_decode("00fFa1b2", out, 3));
	CHECK(!hex_decode("00fFag", out, 3));
	hex_encode(out, 3, text);
	CHECK_STR(text, "00ffa1");
}

static const struct CMUnitTest tests[] = {
	TEST(agrees_with_evp_in_any_cut), TEST(a_pair_is_two_hashes), TEST(a_pair_counts_past_512_mib),
	TEST(a_saved_state_goes_on), TEST(a_saved_state_goes_on_past_512_mib),
	TEST(tuples_keep_fields_apart), TEST(a_seed_gives_one_identity), TEST(passwords_verify), TEST(hex_and_ids),
};
CHECK_MAIN(tests)
