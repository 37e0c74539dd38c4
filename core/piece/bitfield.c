/* core/piece/bitfield.c */
#include "core/piece/bitfield.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "core/base/mem.h"

struct bitfield {
	uint32_t nbits;
	uint32_t count; /* bits set, kept up to date for bitfield_full() */
	uint8_t bytes[]; /* padded with zeros to a multiple of 8, for the searches */
};

static size_t nbytes(uint32_t nbits)
{
	return ((size_t)nbits + 7) / 8;
}

static size_t nwords(uint32_t nbits)
{
	return ((size_t)nbits + 63) / 64;
}

static uint64_t word_at(const struct bitfield *bf, size_t w)
{
	uint64_t v;
	memcpy(&v, bf->bytes + w * 8, sizeof(v));
	return be64toh(v);
}

/* The bits of the last byte that stand for no piece. */
static uint8_t spare_mask(uint32_t nbits)
{
	return nbits % 8 != 0 ? (uint8_t)(0xff >> (nbits % 8)) : 0;
}

static uint32_t ones(const uint8_t *data, size_t len)
{
	uint32_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += (uint32_t)__builtin_popcount(data[i]);
	return n;
}

struct bitfield *bitfield_new(uint32_t nbits)
{
	assert(nbits > 0);
	struct bitfield *bf = try_alloc(sizeof(*bf) + nwords(nbits) * 8);
	if (bf != NULL)
		bf->nbits = nbits;
	return bf;
}

struct bitfield *bitfield_dup(const struct bitfield *bf)
{
	return try_memdup(bf, sizeof(*bf) + nwords(bf->nbits) * 8);
}

void bitfield_free(struct bitfield *bf)
{
	free(bf);
}

enum shoal_err bitfield_from_wire(struct bitfield **out, uint32_t nbits, const uint8_t *data, size_t len)
{
	if (nbits == 0 || len != nbytes(nbits) || (data[len - 1] & spare_mask(nbits)) != 0)
		return SHOAL_EPROTO;
	struct bitfield *bf = bitfield_new(nbits);
	if (bf == NULL)
		return SHOAL_EBUSY;
	memcpy(bf->bytes, data, len);
	bf->count = ones(data, len);
	*out = bf;
	return SHOAL_OK;
}

enum shoal_err bitfield_put_range(struct bitfield *bf, uint32_t first, const uint8_t *data, size_t len)
{
	size_t at = first / 8, all = nbytes(bf->nbits);

	if (first % 8 != 0 || len == 0 || len > BITFIELD_WIRE_MAX || at >= all || len > all - at)
		return SHOAL_EPROTO;
	if (at + len == all && (data[len - 1] & spare_mask(bf->nbits)) != 0)
		return SHOAL_EPROTO;
	bf->count -= ones(bf->bytes + at, len);
	memcpy(bf->bytes + at, data, len);
	bf->count += ones(data, len);
	return SHOAL_OK;
}

size_t bitfield_to_wire(const struct bitfield *bf, uint32_t first, const uint8_t **data)
{
	assert(first % 8 == 0);
	size_t at = first / 8, all = nbytes(bf->nbits);
	if (at >= all)
		return 0;
	*data = bf->bytes + at;
	return all - at < BITFIELD_WIRE_MAX ? all - at : BITFIELD_WIRE_MAX;
}

static uint8_t mask_of(uint32_t piece)
{
	return (uint8_t)(0x80 >> (piece % 8));
}

void bitfield_set(struct bitfield *bf, uint32_t piece)
{
	assert(piece < bf->nbits);
	bf->count += (bf->bytes[piece / 8] & mask_of(piece)) == 0;
	bf->bytes[piece / 8] |= mask_of(piece);
}

void bitfield_clear(struct bitfield *bf, uint32_t piece)
{
	assert(piece < bf->nbits);
	bf->count -= (bf->bytes[piece / 8] & mask_of(piece)) != 0;
	bf->bytes[piece / 8] &= (uint8_t)~mask_of(piece);
}

void bitfield_fill(struct bitfield *bf)
{
	size_t len = nbytes(bf->nbits);
	memset(bf->bytes, 0xff, len);
	bf->bytes[len - 1] &= (uint8_t)~spare_mask(bf->nbits);
	bf->count = bf->nbits;
}

bool bitfield_has(const struct bitfield *bf, uint32_t piece)
{
	assert(piece < bf->nbits);
	return (bf->bytes[piece / 8] & mask_of(piece)) != 0;
}

uint32_t bitfield_size(const struct bitfield *bf)
{
	return bf->nbits;
}

uint32_t bitfield_count(const struct bitfield *bf)
{
	return bf->count;
}

bool bitfield_full(const struct bitfield *bf)
{
	return bf->count == bf->nbits;
}

/* The first bit >= from of (a ^ flip) & b, b NULL standing for all ones. */
static uint32_t search(const struct bitfield *a, uint64_t flip, const struct bitfield *b, uint32_t from)
{
	if (from >= a->nbits)
		return BITFIELD_NONE;
	uint64_t mask = UINT64_MAX >> (from % 64);
	for (size_t w = from / 64, n = nwords(a->nbits); w < n; w++, mask = UINT64_MAX) {
		uint64_t v = (word_at(a, w) ^ flip) & mask;
		if (b != NULL)
			v &= word_at(b, w);
		if (v == 0)
			continue;
		uint64_t bit = (uint64_t)w * 64 + (uint64_t)__builtin_clzll(v);
		return bit < a->nbits ? (uint32_t)bit : BITFIELD_NONE; /* flipped padding is no piece */
	}
	return BITFIELD_NONE;
}

uint32_t bitfield_next_set(const struct bitfield *bf, uint32_t from)
{
	return search(bf, 0, NULL, from);
}

uint32_t bitfield_next_unset(const struct bitfield *bf, uint32_t from)
{
	return search(bf, UINT64_MAX, NULL, from);
}

uint32_t bitfield_next_common(const struct bitfield *a, const struct bitfield *b, uint32_t from)
{
	assert(a->nbits == b->nbits);
	return search(a, 0, b, from);
}
