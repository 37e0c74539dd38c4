/* core/base/hash.h - SHA-256 in the three ways shoal needs it. Any thread, one struct per thread at a time. */
#ifndef SHOAL_BASE_HASH_H
#define SHOAL_BASE_HASH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/sha.h>

#include "core/base/id.h"

struct sha256 {
	SHA256_CTX ctx;
};

void sha256_init(struct sha256 *h);
void sha256_update(struct sha256 *h, const void *data, size_t len);
void sha256_final(struct sha256 *h, struct id32 *out);
void sha256_of(const void *data, size_t len, struct id32 *out);
/* Two hashes at once: the same as two sha256_update(), as far as both reach in not much more than the time of one, if the
 * processor has SHA instructions and both stand between two blocks of 64 bytes. The data may be the same. */
void sha256_update_pair(struct sha256 *a, const void *data_a, size_t len_a, struct sha256 *b, const void *data_b,
                        size_t len_b);

/* The state between two blocks, so that hashing can go on in a later run: only when a multiple of 64 bytes has been
 * hashed (false otherwise). The caller remembers how many bytes that was. */
bool sha256_save(const struct sha256 *h, uint8_t out[32]);
void sha256_load(struct sha256 *h, const uint8_t state[32], uint64_t bytes);

/* Hash of a tuple: each field as u16 length + bytes, so that ("ab","c") and ("a","bc") differ. Fields up to 65535. */
void tuple_add(struct sha256 *h, const void *field, size_t len);
void tuple_add_str(struct sha256 *h, const char *field);
void tuple_add_u64(struct sha256 *h, uint64_t v); /* an 8-byte field, big endian */
void tuple_add_u32(struct sha256 *h, uint32_t v); /* a 4-byte field */
#endif
