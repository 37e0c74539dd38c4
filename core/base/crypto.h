/* core/base/crypto.h - keys, signatures, passwords, randomness; all of it libcrypto's.
 *
 * An identity is the SHA-256 of a public key's SPKI DER; every program has an Ed25519 key. The functions keep no state
 * and may be called on any thread; scrypt takes 0.2 s and belongs in the worker pool. */
#ifndef SHOAL_BASE_CRYPTO_H
#define SHOAL_BASE_CRYPTO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "core/base/error.h"
#include "core/base/id.h"

#define SEED_SIZE 32
#define SIGNATURE_SIZE 64

/* Aborts the program if the system has no randomness to give. */
void random_bytes(void *out, size_t len);
uint64_t random_u64(void);

/* The key of a 32-byte seed: the same seed gives the same key. NULL on failure. Caller: EVP_PKEY_free(). */
EVP_PKEY *key_from_seed(const uint8_t seed[SEED_SIZE]);
/* The public key alone, from its 32 raw bytes. */
EVP_PKEY *key_from_public(const uint8_t raw[32]);
bool key_public_raw(const EVP_PKEY *key, uint8_t raw[32]);
/* SHA-256 of the SPKI DER. */
bool key_identity(const EVP_PKEY *key, struct id32 *identity);
bool key_sign(EVP_PKEY *key, const void *data, size_t len, uint8_t sig[SIGNATURE_SIZE]);
bool key_verify(EVP_PKEY *key, const void *data, size_t len, const uint8_t sig[SIGNATURE_SIZE]);

/* HKDF-SHA-256 with an empty salt; `label` separates the uses of one secret. */
bool hkdf_derive(const uint8_t *secret, size_t secret_len, const char *label, uint8_t *out, size_t len);
bool hmac_sha256(const uint8_t key[32], const void *data, size_t len, uint8_t out[32]);

#define PASSWORD_RECORD_MAX 160

/* "$scrypt$ln=15,r=8,p=3$salt$hash" of a new random salt. ln: log2 of N, 10 to 20. Slow on purpose. */
enum shoal_err password_hash(const char *password, size_t len, unsigned ln, char record[PASSWORD_RECORD_MAX]);
/* Whether the password gives the record; parameters are the record's. Slow on purpose. A record that cannot be read
 * is "no", after as much work as ln would have cost. */
bool password_verify(const char *password, size_t len, const char *record, unsigned ln);
#endif
