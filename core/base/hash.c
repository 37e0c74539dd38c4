/* core/base/hash.c - the low-level SHA-256 of libcrypto: its state can be saved, and it costs no fetch per message.
 * (It uses the processor's SHA instructions where there are any, as EVP does.) */
#include "core/base/hash.h"

#include <assert.h>
#include <string.h>

void sha256_init(struct sha256 *h)
{
	SHA256_Init(&h->ctx);
}

void sha256_update(struct sha256 *h, const void *data, size_t len)
{
	if (len != 0)
		SHA256_Update(&h->ctx, data, len);
}

void sha256_final(struct sha256 *h, struct id32 *out)
{
	SHA256_Final(out->b, &h->ctx);
}

void sha256_of(const void *data, size_t len, struct id32 *out)
{
	struct sha256 h;
	sha256_init(&h);
	sha256_update(&h, data, len);
	sha256_final(&h, out);
}

bool sha256_save(const struct sha256 *h, uint8_t out[32])
{
	if (h->ctx.num != 0)
		return false;
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 4; j++)
			out[4 * i + j] = (uint8_t)(h->ctx.h[i] >> (24 - 8 * j));
	return true;
}

void sha256_load(struct sha256 *h, const uint8_t state[32], uint64_t bytes)
{
	assert(bytes % 64 == 0);
	SHA256_Init(&h->ctx);
	for (int i = 0; i < 8; i++) {
		h->ctx.h[i] = 0;
		for (int j = 0; j < 4; j++)
			h->ctx.h[i] = h->ctx.h[i] << 8 | state[4 * i + j];
	}
	uint64_t bits = bytes * 8;
	h->ctx.Nl = (SHA_LONG)bits;
	h->ctx.Nh = (SHA_LONG)(bits >> 32);
}

void tuple_add(struct sha256 *h, const void *field, size_t len)
{
	assert(len <= UINT16_MAX);
	uint8_t head[2] = { (uint8_t)(len >> 8), (uint8_t)len };
	sha256_update(h, head, sizeof(head));
	sha256_update(h, field, len);
}

void tuple_add_str(struct sha256 *h, const char *field)
{
	tuple_add(h, field, strlen(field));
}

void tuple_add_u64(struct sha256 *h, uint64_t v)
{
	uint8_t w[8];
	for (int i = 0; i < 8; i++)
		w[i] = (uint8_t)(v >> (56 - 8 * i));
	tuple_add(h, w, sizeof(w));
}

void tuple_add_u32(struct sha256 *h, uint32_t v)
{
	uint8_t w[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
	tuple_add(h, w, sizeof(w));
}
