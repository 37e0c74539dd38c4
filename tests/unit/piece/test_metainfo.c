/* tests/unit/piece/test_metainfo.c */
#include "core/piece/metainfo.h"

#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "tests/unit/check.h"

static struct metainfo *some(uint64_t size)
{
	struct metainfo *mi = NULL;
	struct id32 hash;
	check_random_bytes(&hash, sizeof(hash));
	CHECK_INT(metainfo_new(size, PIECE_SIZE, &hash, NULL, &mi, NULL), ==, SHOAL_OK);
	for (uint32_t i = 0; i < mi->npieces; i++)
		mi->hashes[i] = (struct id32){ { (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16) } };
	metainfo_seal(mi);
	return mi;
}

static void the_content_id_is_the_tuple_hash(void)
{
	struct metainfo *mi = some(PIECE_SIZE + 1);
	uint8_t bytes[2 + 7 + 2 + 8 + 2 + 4 + 3 * (2 + 32)];
	uint8_t *p = bytes;
	struct id32 id;
	/* spelled out, so that a change of the format is noticed */
	memcpy(p, "\0\7content\0\10\0\0\0\0\0\10\0\1\0\4\0\10\0\0", 25);
	p += 25;
	const struct id32 *fields[] = { &mi->file_hash, &mi->hashes[0], &mi->hashes[1] };
	for (int i = 0; i < 3; i++, p += 34) {
		p[0] = 0;
		p[1] = 32;
		memcpy(p + 2, fields[i]->b, 32);
	}
	CHECK_INT(p - bytes, ==, sizeof(bytes));
	sha256_of(bytes, sizeof(bytes), &id);
	CHECK(id32_eq(&id, &mi->content_id));
	metainfo_free(mi);
}

static void sizes_and_borders(void)
{
	struct metainfo *mi = NULL;
	struct error e = { 0 };
	CHECK_INT(metainfo_pieces_of(0), ==, 0);
	CHECK_INT(metainfo_pieces_of(1), ==, 1);
	CHECK_INT(metainfo_pieces_of(PIECE_SIZE), ==, 1);
	CHECK_INT(metainfo_pieces_of(PIECE_SIZE + 1), ==, 2);
	CHECK_INT(metainfo_pieces_of(UINT64_C(1) << 40), ==, 1u << 21);
	CHECK_INT(metainfo_pieces_of(METAINFO_SIZE_MAX), ==, 1u << 24);
	CHECK_INT(metainfo_new(METAINFO_SIZE_MAX + 1, PIECE_SIZE, NULL, NULL, &mi, &e), ==, SHOAL_EUSAGE);
	CHECK_INT(metainfo_new(UINT64_MAX, PIECE_SIZE, NULL, NULL, &mi, &e), ==, SHOAL_EUSAGE);
	CHECK_INT(metainfo_new(1, PIECE_SIZE / 2, NULL, NULL, &mi, &e), ==, SHOAL_EUSAGE);
	CHECK_INT(metainfo_new(1, 0, NULL, NULL, &mi, &e), ==, SHOAL_EUSAGE);
	CHECK(mi == NULL);
	mi = some((UINT64_C(5) << 30) + 7);
	CHECK_INT(metainfo_piece_len(mi, 0), ==, PIECE_SIZE);
	CHECK_INT(metainfo_piece_len(mi, mi->npieces - 1), ==, 7);
	CHECK_INT(metainfo_piece_offset(mi, mi->npieces - 1), ==, UINT64_C(5) << 30);
	metainfo_free(mi);
	mi = some(0);
	CHECK_INT(mi->npieces, ==, 0);
	CHECK(metainfo_complete(mi));
	CHECK_INT(metainfo_verify(mi, NULL), ==, SHOAL_OK);
	metainfo_free(mi);
}

static void arrives_in_chunks_in_any_order(void)
{
	struct metainfo *mi = some((uint64_t)(3 * METAINFO_CHUNK + 5) * PIECE_SIZE), *got = NULL;
	static const uint32_t order[] = { 2, 0, 3, 1 };
	struct error e = { 0 };
	uint32_t n;

	CHECK_INT(metainfo_new(mi->size, PIECE_SIZE, &mi->file_hash, &mi->content_id, &got, NULL), ==, SHOAL_OK);
	CHECK_INT(metainfo_chunk_count(got), ==, 4);
	CHECK_INT(metainfo_chunk_len(got, 3), ==, 5);
	CHECK_INT(metainfo_chunk_len(got, 4), ==, 0);
	CHECK(metainfo_get_chunk(got, 0, &n) == NULL && n == 0);
	CHECK_INT(metainfo_set_chunk(got, 4, mi->hashes, 5), ==, SHOAL_EPROTO);
	CHECK_INT(metainfo_set_chunk(got, UINT32_MAX, mi->hashes, 5), ==, SHOAL_EPROTO);
	CHECK_INT(metainfo_set_chunk(got, 3, mi->hashes, METAINFO_CHUNK), ==, SHOAL_EPROTO);
	CHECK_INT(metainfo_set_chunk(got, 0, mi->hashes, 5), ==, SHOAL_EPROTO);
	for (int i = 0; i < 4; i++) {
		CHECK(!metainfo_complete(got));
		CHECK_INT(metainfo_verify(got, &e), ==, SHOAL_EINTEGRITY);
		const struct id32 *chunk = metainfo_get_chunk(mi, order[i], &n);
		CHECK_INT(metainfo_set_chunk(got, order[i], chunk, n), ==, SHOAL_OK);
		CHECK_INT(metainfo_set_chunk(got, order[i], chunk, n), ==, SHOAL_OK);
	}
	CHECK_INT(metainfo_next_missing(got, 0), ==, 4);
	CHECK_INT(metainfo_verify(got, &e), ==, SHOAL_OK);
	got->hashes[2000].b[31] ^= 1;
	CHECK_INT(metainfo_verify(got, &e), ==, SHOAL_EINTEGRITY);
	metainfo_free(mi);
	metainfo_free(got);
}

static void pieces_are_checked_by_length_and_hash(void)
{
	static uint8_t piece[PIECE_SIZE];
	struct metainfo *mi = some(PIECE_SIZE + 10);
	sha256_of(piece, PIECE_SIZE, &mi->hashes[0]);
	sha256_of(piece, 10, &mi->hashes[1]);
	CHECK(metainfo_piece_ok(mi, 0, piece, PIECE_SIZE));
	CHECK(metainfo_piece_ok(mi, 1, piece, 10));
	CHECK(!metainfo_piece_ok(mi, 0, piece, 10));
	CHECK(!metainfo_piece_ok(mi, 1, piece, 9));
	CHECK(!metainfo_piece_ok(mi, 2, piece, 10));
	piece[5] = 1;
	CHECK(!metainfo_piece_ok(mi, 1, piece, 10));
	metainfo_free(mi);
}

static void the_cache_believes_only_what_is_whole(void)
{
	struct metainfo *mi = some(3 * PIECE_SIZE), *got = NULL;
	char *path = str_printf("%s/cached", check_folder());
	struct buf b = { 0 };
	struct error e = { 0 };
	struct id32 other = mi->content_id;

	CHECK_INT(metainfo_load(path, NULL, &got, &e), ==, SHOAL_ENOTFOUND);
	CHECK_INT(metainfo_save(mi, path, &e), ==, SHOAL_OK);
	CHECK_INT(metainfo_load(path, &mi->content_id, &got, &e), ==, SHOAL_OK);
	CHECK_INT(got->size, ==, mi->size);
	CHECK(memcmp(got->hashes, mi->hashes, 3 * 32) == 0);
	metainfo_free(got);
	got = NULL;
	other.b[0] ^= 1;
	CHECK_INT(metainfo_load(path, &other, &got, &e), ==, SHOAL_EINTEGRITY);
	CHECK_INT(fs_read_file(path, 1 << 20, &b, NULL), ==, SHOAL_OK);
	for (size_t len = 0; len < b.len; len++) {
		CHECK_INT(fs_write_file(path, b.data, len, 0600, NULL), ==, SHOAL_OK);
		CHECK_INT(metainfo_load(path, NULL, &got, &e), ==, SHOAL_EINTEGRITY);
	}
	for (int i = 0; i < 60; i++) {
		size_t at = check_random((uint32_t)b.len);
		uint8_t flip = (uint8_t)(1 + check_random(255));
		b.data[at] ^= flip;
		CHECK_INT(fs_write_file(path, b.data, b.len, 0600, NULL), ==, SHOAL_OK);
		CHECK_INT(metainfo_load(path, NULL, &got, &e), ==, SHOAL_EINTEGRITY);
		b.data[at] ^= flip;
	}
	CHECK(got == NULL);
	mi->hashes[0].b[0] ^= 1; /* what is wrong is not even written */
	CHECK_INT(metainfo_save(mi, path, &e), ==, SHOAL_EINTEGRITY);
	buf_free(&b);
	free(path);
	metainfo_free(mi);
}

static const struct CMUnitTest tests[] = {
	TEST(the_content_id_is_the_tuple_hash),
	TEST(sizes_and_borders),
	TEST(arrives_in_chunks_in_any_order),
	TEST(pieces_are_checked_by_length_and_hash),
	TEST(the_cache_believes_only_what_is_whole),
};
CHECK_MAIN(tests)
