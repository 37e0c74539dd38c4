/* core/piece/metainfo.h - what a file consists of: size, whole-file hash, piece hashes; and the content id over them.
 *
 * The content id is the SHA-256 of the tuple ("content", size u64, piece size u32, file hash, piece hash 0, 1, ...).
 * A leecher gets the head from its tracker and then the piece hashes in chunks of 1024; nothing of it is believed before
 * metainfo_verify(). Once complete and verified it is not changed any more and any thread may read it.
 * The owner frees it with metainfo_free(). Functions that touch the disk block. */
#ifndef SHOAL_PIECE_METAINFO_H
#define SHOAL_PIECE_METAINFO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/id.h"

#define PIECE_SIZE 524288u                     /* the only piece size of version 1 */
#define METAINFO_CHUNK 1024u                   /* hashes in one chunk; the last may have fewer */
#define METAINFO_SIZE_MAX (UINT64_C(1) << 43)  /* 8 TiB: 16 Mi pieces, 512 MiB of hashes */

struct metainfo {
	uint64_t size;
	uint32_t piece_size;
	uint32_t npieces; /* 0 for an empty file */
	struct id32 file_hash;
	struct id32 content_id;
	struct id32 *hashes;    /* npieces of them */
	uint8_t *chunk_known;   /* private: a byte a chunk */
	uint32_t chunks_missing; /* private */
};

/* A head without hashes. content_id NULL: it is not known yet (upload): metainfo_seal() computes it. A piece size other
 * than PIECE_SIZE or a size over METAINFO_SIZE_MAX is SHOAL_EUSAGE, no memory SHOAL_EBUSY. */
enum shoal_err metainfo_new(uint64_t size, uint32_t piece_size, const struct id32 *file_hash,
                            const struct id32 *content_id, struct metainfo **out, struct error *e);
void metainfo_free(struct metainfo *mi); /* NULL is fine */

/* Pieces of a file of that size; 0 for an empty one. size <= METAINFO_SIZE_MAX. */
uint32_t metainfo_pieces_of(uint64_t size);
/* Bytes of a piece: PIECE_SIZE, for the last one what is left. piece < npieces. */
uint32_t metainfo_piece_len(const struct metainfo *mi, uint32_t piece);
uint64_t metainfo_piece_offset(const struct metainfo *mi, uint32_t piece);

uint32_t metainfo_chunk_count(const struct metainfo *mi);
/* Hashes in that chunk; 0 if there is no such chunk. */
uint32_t metainfo_chunk_len(const struct metainfo *mi, uint32_t chunk);
/* Takes the n hashes of a chunk (copied). No such chunk or another number of hashes: SHOAL_EPROTO. Twice is fine. */
enum shoal_err metainfo_set_chunk(struct metainfo *mi, uint32_t chunk, const void *hashes, size_t n);
/* The hashes of a known chunk, borrowed; *n is 0 and the result NULL if it is missing or does not exist. */
const struct id32 *metainfo_get_chunk(const struct metainfo *mi, uint32_t chunk, uint32_t *n);
/* The lowest chunk that is still missing, from `from` on; metainfo_chunk_count() if none. */
uint32_t metainfo_next_missing(const struct metainfo *mi, uint32_t from);
bool metainfo_complete(const struct metainfo *mi);

/* The content id over what is there. Every chunk must be known. */
void metainfo_compute_id(const struct metainfo *mi, struct id32 *out);
/* Upload: all hashes and the file hash are in place; marks every chunk known and computes the content id. */
void metainfo_seal(struct metainfo *mi);
/* SHOAL_OK if it is complete and its content id is that of its parts; else SHOAL_EINTEGRITY with a sentence. Hashes
 * 34 bytes a piece: 40 ms for 1 TiB. */
enum shoal_err metainfo_verify(const struct metainfo *mi, struct error *e);
/* Whether `data` is that piece: right length and right hash. */
bool metainfo_piece_ok(const struct metainfo *mi, uint32_t piece, const void *data, size_t len);
/* The same for who has made the hash of the len bytes himself. */
bool metainfo_piece_is(const struct metainfo *mi, uint32_t piece, size_t len, const struct id32 *hash);

/* A cache file: written atomically; loading verifies it, and takes it only if it is `content_id` (NULL: any).
 * SHOAL_ENOTFOUND: no such file; SHOAL_EINTEGRITY: damaged or another content. */
enum shoal_err metainfo_save(const struct metainfo *mi, const char *path, struct error *e);
enum shoal_err metainfo_load(const char *path, const struct id32 *content_id, struct metainfo **out, struct error *e);
#endif
