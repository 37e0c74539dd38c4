/* core/base/id.c */
#include "core/base/id.h"

#include <string.h>

#include <openssl/crypto.h>

bool id16_eq(const struct id16 *a, const struct id16 *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool id32_eq(const struct id32 *a, const struct id32 *b)
{
	return CRYPTO_memcmp(a, b, sizeof(*a)) == 0;
}

int id16_cmp(const struct id16 *a, const struct id16 *b)
{
	return memcmp(a, b, sizeof(*a));
}

int id32_cmp(const struct id32 *a, const struct id32 *b)
{
	return memcmp(a, b, sizeof(*a));
}

bool id16_is_zero(const struct id16 *a)
{
	static const struct id16 zero;
	return id16_eq(a, &zero);
}

bool id32_is_zero(const struct id32 *a)
{
	static const struct id32 zero;
	return memcmp(a, &zero, sizeof(zero)) == 0;
}

void hex_encode(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = data;
	for (size_t i = 0; i < len; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool hex_decode(const char *hex, void *out, size_t len)
{
	uint8_t *p = out;
	if (strlen(hex) != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int hi = hex_digit(hex[2 * i]), lo = hex_digit(hex[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		p[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

void id_alias_tail(const void *id, char out[7])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	const uint8_t *p = id;
	uint32_t bits = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	for (int i = 0; i < 6; i++)
		out[i] = alphabet[bits >> (27 - 5 * i) & 31];
	out[6] = '\0';
}
