/* core/piece/metainfo.c - the value itself; its cache file is in metainfo_cache.c. */
#include "core/piece/metainfo.h"

#include <assert.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

enum shoal_err metainfo_new(uint64_t size, uint32_t piece_size, const struct id32 *file_hash,
                            const struct id32 *content_id, struct metainfo **out, struct error *e)
{
	if (piece_size != PIECE_SIZE)
		return error_set(e, SHOAL_EUSAGE, "a piece size of %u is not supported, only %u", piece_size, PIECE_SIZE);
	if (size > METAINFO_SIZE_MAX)
		return error_set(e, SHOAL_EUSAGE, "a file of %llu bytes is too large: the limit is 8 TiB",
		                 (unsigned long long)size);

	struct metainfo *mi = try_alloc(sizeof(*mi));
	if (mi == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory for a file's piece hashes");
	mi->size = size;
	mi->piece_size = piece_size;
	mi->npieces = metainfo_pieces_of(size);
	mi->chunks_missing = metainfo_chunk_count(mi);
	mi->hashes = try_alloc((size_t)mi->npieces * sizeof(*mi->hashes));
	mi->chunk_known = try_alloc(mi->chunks_missing);
	if (mi->hashes == NULL || mi->chunk_known == NULL) {
		metainfo_free(mi);
		return error_set(e, SHOAL_EBUSY, "out of memory for a file's piece hashes");
	}
	if (file_hash != NULL)
		mi->file_hash = *file_hash;
	if (content_id != NULL)
		mi->content_id = *content_id;
	*out = mi;
	return SHOAL_OK;
}

void metainfo_free(struct metainfo *mi)
{
	if (mi == NULL)
		return;
	free(mi->hashes);
	free(mi->chunk_known);
	free(mi);
}

uint32_t metainfo_pieces_of(uint64_t size)
{
	assert(size <= METAINFO_SIZE_MAX);
	return (uint32_t)((size + PIECE_SIZE - 1) / PIECE_SIZE);
}

uint32_t metainfo_piece_len(const struct metainfo *mi, uint32_t piece)
{
	assert(piece < mi->npieces);
	uint64_t rest = mi->size - metainfo_piece_offset(mi, piece);
	return rest < mi->piece_size ? (uint32_t)rest : mi->piece_size;
}

uint64_t metainfo_piece_offset(const struct metainfo *mi, uint32_t piece)
{
	return (uint64_t)piece * mi->piece_size;
}

uint32_t metainfo_chunk_count(const struct metainfo *mi)
{
	return (mi->npieces + METAINFO_CHUNK - 1) / METAINFO_CHUNK;
}

uint32_t metainfo_chunk_len(const struct metainfo *mi, uint32_t chunk)
{
	if (chunk >= metainfo_chunk_count(mi))
		return 0;
	uint32_t rest = mi->npieces - chunk * METAINFO_CHUNK;
	return rest < METAINFO_CHUNK ? rest : METAINFO_CHUNK;
}

enum shoal_err metainfo_set_chunk(struct metainfo *mi, uint32_t chunk, const void *hashes, size_t n)
{
	if (chunk >= metainfo_chunk_count(mi) || n != metainfo_chunk_len(mi, chunk))
		return SHOAL_EPROTO;
	memcpy(mi->hashes + (size_t)chunk * METAINFO_CHUNK, hashes, n * sizeof(*mi->hashes));
	if (mi->chunk_known[chunk] == 0) {
		mi->chunk_known[chunk] = 1;
		mi->chunks_missing--;
	}
	return SHOAL_OK;
}

const struct id32 *metainfo_get_chunk(const struct metainfo *mi, uint32_t chunk, uint32_t *n)
{
	*n = 0;
	if (chunk >= metainfo_chunk_count(mi) || mi->chunk_known[chunk] == 0)
		return NULL;
	*n = metainfo_chunk_len(mi, chunk);
	return mi->hashes + (size_t)chunk * METAINFO_CHUNK;
}

uint32_t metainfo_next_missing(const struct metainfo *mi, uint32_t from)
{
	uint32_t n = metainfo_chunk_count(mi);
	while (from < n && mi->chunk_known[from] != 0)
		from++;
	return from < n ? from : n;
}

bool metainfo_complete(const struct metainfo *mi)
{
	return mi->chunks_missing == 0;
}

void metainfo_compute_id(const struct metainfo *mi, struct id32 *out)
{
	struct sha256 h;

	assert(metainfo_complete(mi));
	sha256_init(&h);
	tuple_add_str(&h, "content");
	tuple_add_u64(&h, mi->size);
	tuple_add_u32(&h, mi->piece_size);
	tuple_add(&h, mi->file_hash.b, sizeof(mi->file_hash.b));
	for (uint32_t i = 0; i < mi->npieces; i++)
		tuple_add(&h, mi->hashes[i].b, sizeof(mi->hashes[i].b));
	sha256_final(&h, out);
}

void metainfo_seal(struct metainfo *mi)
{
	memset(mi->chunk_known, 1, metainfo_chunk_count(mi));
	mi->chunks_missing = 0;
	metainfo_compute_id(mi, &mi->content_id);
}

enum shoal_err metainfo_verify(const struct metainfo *mi, struct error *e)
{
	struct id32 id;

	if (!metainfo_complete(mi))
		return error_set(e, SHOAL_EINTEGRITY, "%u chunks of piece hashes are missing", mi->chunks_missing);
	metainfo_compute_id(mi, &id);
	if (!id32_eq(&id, &mi->content_id))
		return error_set(e, SHOAL_EINTEGRITY, "the piece hashes do not belong to this content id");
	return SHOAL_OK;
}

bool metainfo_piece_is(const struct metainfo *mi, uint32_t piece, size_t len, const struct id32 *hash)
{
	return piece < mi->npieces && len == metainfo_piece_len(mi, piece) && id32_eq(hash, &mi->hashes[piece]);
}

bool metainfo_piece_ok(const struct metainfo *mi, uint32_t piece, const void *data, size_t len)
{
	struct id32 hash;

	if (piece >= mi->npieces || len != metainfo_piece_len(mi, piece))
		return false; /* not worth hashing */
	sha256_of(data, len, &hash);
	return metainfo_piece_is(mi, piece, len, &hash);
}
