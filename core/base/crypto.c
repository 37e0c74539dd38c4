/* core/base/crypto.c */
#include "core/base/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "core/base/hash.h"

enum { SALT_SIZE = 16, SCRYPT_R = 8, SCRYPT_P = 3 };

void random_bytes(void *out, size_t len)
{
	if (RAND_bytes(out, (int)len) != 1) {
		fputs("shoal: the system gives no random numbers\n", stderr);
		abort();
	}
}

uint64_t random_u64(void)
{
	uint64_t v;
	random_bytes(&v, sizeof(v));
	return v;
}

EVP_PKEY *key_from_seed(const uint8_t seed[SEED_SIZE])
{
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SEED_SIZE);
}

EVP_PKEY *key_from_public(const uint8_t raw[32])
{
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, 32);
}

bool key_public_raw(const EVP_PKEY *key, uint8_t raw[32])
{
	size_t len = 32;
	return EVP_PKEY_get_raw_public_key(key, raw, &len) == 1 && len == 32;
}

bool key_identity(const EVP_PKEY *key, struct id32 *identity)
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key, &der);
	if (len <= 0)
		return false;
	sha256_of(der, (size_t)len, identity);
	OPENSSL_free(der);
	return true;
}

bool key_sign(EVP_PKEY *key, const void *data, size_t len, uint8_t sig[SIGNATURE_SIZE])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t sig_len = SIGNATURE_SIZE;
	bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
	          EVP_DigestSign(ctx, sig, &sig_len, data, len) == 1 && sig_len == SIGNATURE_SIZE;
	EVP_MD_CTX_free(ctx);
	return ok;
}

bool key_verify(EVP_PKEY *key, const void *data, size_t len, const uint8_t sig[SIGNATURE_SIZE])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
	          EVP_DigestVerify(ctx, sig, SIGNATURE_SIZE, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

bool hkdf_derive(const uint8_t *secret, size_t secret_len, const char *label, uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, secret_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)label, strlen(label)),
		OSSL_PARAM_construct_end(),
	};
	bool ok = ctx != NULL && EVP_KDF_derive(ctx, out, len, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

bool hmac_sha256(const uint8_t key[32], const void *data, size_t len, uint8_t out[32])
{
	unsigned int out_len = 32;
	return HMAC(EVP_sha256(), key, 32, data, len, out, &out_len) != NULL && out_len == 32;
}

static bool scrypt(const char *password, size_t len, const uint8_t salt[SALT_SIZE], unsigned ln, unsigned p,
                   uint8_t out[32])
{
	/* maxmem must be given: OpenSSL's default of 32 MiB refuses N=2^15 */
	uint64_t maxmem = ((uint64_t)128 * SCRYPT_R << ln) + (32u << 20);
	return EVP_PBE_scrypt(password, len, salt, SALT_SIZE, UINT64_C(1) << ln, SCRYPT_R, p, maxmem, out, 32) == 1;
}

enum shoal_err password_hash(const char *password, size_t len, unsigned ln, char record[PASSWORD_RECORD_MAX])
{
	uint8_t salt[SALT_SIZE], hash[32];
	char salt_hex[2 * SALT_SIZE + 1], hash_hex[HEX32_SIZE];

	random_bytes(salt, sizeof(salt));
	if (!scrypt(password, len, salt, ln, SCRYPT_P, hash))
		return SHOAL_EBUSY;
	hex_encode(salt, sizeof(salt), salt_hex);
	hex_encode(hash, sizeof(hash), hash_hex);
	snprintf(record, PASSWORD_RECORD_MAX, "$scrypt$ln=%u,r=%d,p=%d$%s$%s", ln, SCRYPT_R, SCRYPT_P, salt_hex, hash_hex);
	OPENSSL_cleanse(hash, sizeof(hash));
	return SHOAL_OK;
}

bool password_verify(const char *password, size_t len, const char *record, unsigned ln)
{
	unsigned rec_ln = 0, r = 0, p = 0;
	char salt_hex[33] = "", hash_hex[65] = "";
	uint8_t salt[SALT_SIZE], want[32], got[32];
	bool readable = sscanf(record, "$scrypt$ln=%2u,r=%2u,p=%2u$%32[0-9a-f]$%64[0-9a-f]", &rec_ln, &r, &p, salt_hex,
	                       hash_hex) == 5 &&
	                rec_ln >= 4 && rec_ln <= 20 && r == SCRYPT_R && p >= 1 && p <= 16 &&
	                hex_decode(salt_hex, salt, sizeof(salt)) && hex_decode(hash_hex, want, sizeof(want));
	if (!readable) { /* the same time passes, so that nobody learns which names exist */
		memset(salt, 0, sizeof(salt));
		rec_ln = ln;
		p = SCRYPT_P;
	}
	bool same = scrypt(password, len, salt, rec_ln, p, got) && readable && CRYPTO_memcmp(want, got, 32) == 0;
	OPENSSL_cleanse(got, sizeof(got));
	return same;
}
