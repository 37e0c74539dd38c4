/* core/base/id.h - the two sizes of id, and how they are printed.
 *
 * id16: user, group, file and request ids. id32: identities, content ids, hashes. Plain values, any thread. */
#ifndef SHOAL_BASE_ID_H
#define SHOAL_BASE_ID_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id16 {
	uint8_t b[16];
};

struct id32 {
	uint8_t b[32];
};

#define HEX16_SIZE 33 /* with the NUL */
#define HEX32_SIZE 65

bool id16_eq(const struct id16 *a, const struct id16 *b);
bool id32_eq(const struct id32 *a, const struct id32 *b); /* constant time: identities and hashes may be secrets */
int id16_cmp(const struct id16 *a, const struct id16 *b);
int id32_cmp(const struct id32 *a, const struct id32 *b);
bool id16_is_zero(const struct id16 *a);
bool id32_is_zero(const struct id32 *a);

/* Writes 2 * len lower case digits and a NUL. */
void hex_encode(const void *data, size_t len, char *out);
/* Reads exactly 2 * len digits; false if there are others, more or fewer. */
bool hex_decode(const char *hex, void *out, size_t len);
/* Six base-32 characters (a-z2-7) of the first 30 bits: the tail of an alias, with a NUL. */
void id_alias_tail(const void *id, char out[7]);
#endif
