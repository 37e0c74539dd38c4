/* core/piece/bitfield.h - which pieces somebody has.
 *
 * One bit a piece, piece 0 in the high bit of the first byte, as in a BITFIELD message. A message carries at most
 * 64 KiB of bits and says where they begin, so a file of more than 524,288 pieces needs several.
 * A plain value: no lock, no I/O. Pointers handed in are borrowed for the call. A piece number past the end is the
 * caller's own mistake (assert): what comes from outside is compared with bitfield_size() first. */
#ifndef SHOAL_PIECE_BITFIELD_H
#define SHOAL_PIECE_BITFIELD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

#define BITFIELD_WIRE_MAX 65536u /* bytes of bits in one BITFIELD message */
#define BITFIELD_NONE UINT32_MAX /* "there is no such piece" */

struct bitfield;

/* An empty field of `nbits` > 0; NULL when there is no memory. The caller owns it: bitfield_free(). */
struct bitfield *bitfield_new(uint32_t nbits);
struct bitfield *bitfield_dup(const struct bitfield *bf);
void bitfield_free(struct bitfield *bf); /* NULL is fine */

/* A whole field from its bytes, which are copied. A wrong length or a spare bit set is SHOAL_EPROTO and leaves *out
 * alone: past this door no code needs to doubt a bitfield. No memory: SHOAL_EBUSY. */
enum shoal_err bitfield_from_wire(struct bitfield **out, uint32_t nbits, const uint8_t *data, size_t len);
/* The bits of one BITFIELD message over those of pieces first, first + 1, ...: `first` must be a multiple of 8, the
 * bytes must end within the field, spare bits must be zero, and there must be 1 to BITFIELD_WIRE_MAX bytes; else
 * SHOAL_EPROTO and nothing has changed. */
enum shoal_err bitfield_put_range(struct bitfield *bf, uint32_t first, const uint8_t *data, size_t len);
/* How many bytes the message that begins at `first` carries (0: past the end), and those bytes, borrowed until the
 * field changes. All messages of a field: first = 0, then first += 8 * len until len is 0. */
size_t bitfield_to_wire(const struct bitfield *bf, uint32_t first, const uint8_t **data);

void bitfield_set(struct bitfield *bf, uint32_t piece);
void bitfield_clear(struct bitfield *bf, uint32_t piece);
void bitfield_fill(struct bitfield *bf); /* every bit set */
bool bitfield_has(const struct bitfield *bf, uint32_t piece);
uint32_t bitfield_size(const struct bitfield *bf);
uint32_t bitfield_count(const struct bitfield *bf); /* O(1) */
bool bitfield_full(const struct bitfield *bf);      /* O(1): true for a seeder */

/* The first piece >= from that is set, is not set, or is set in both fields (of equal size); BITFIELD_NONE if there is
 * none. 64 bits a step. `from` may be past the end. */
uint32_t bitfield_next_set(const struct bitfield *bf, uint32_t from);
uint32_t bitfield_next_unset(const struct bitfield *bf, uint32_t from);
uint32_t bitfield_next_common(const struct bitfield *a, const struct bitfield *b, uint32_t from);
#endif
