/* tests/fuzz/fuzz_metainfo.c - the cache file of a metainfo: what loads is right, and is written as the same bytes.
 *
 * The first byte says whether the content id is made right, so that the fuzzer gets past it; the second how many hashes
 * the head is made to announce. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/hash.h"
#include "core/piece/metainfo.h"
#include "tests/fuzz/fuzz.h"

enum { AT_SIZE = 8, AT_PIECES = 20, AT_FILE_HASH = 24, AT_CONTENT = 56, AT_HASHES = 88 };

/* Size and number of pieces as the length of the file wants them, and the content id of that. */
static void make_right(uint8_t *p, size_t len)
{
	struct sha256 h;
	struct id32 id;
	uint32_t n = (uint32_t)((len - AT_HASHES) / 32);
	uint64_t size = n != 0 ? (uint64_t)(n - 1) * PIECE_SIZE + 1 + p[AT_SIZE + 7] : 0;

	for (int i = 0; i < 8; i++)
		p[AT_SIZE + i] = (uint8_t)(size >> (56 - 8 * i));
	for (int i = 0; i < 4; i++)
		p[AT_PIECES + i] = (uint8_t)(n >> (24 - 8 * i));
	sha256_init(&h);
	tuple_add_str(&h, "content");
	tuple_add_u64(&h, size);
	tuple_add_u32(&h, PIECE_SIZE);
	tuple_add(&h, p + AT_FILE_HASH, 32);
	for (uint32_t i = 0; i < n; i++)
		tuple_add(&h, p + AT_HASHES + 32 * (size_t)i, 32);
	sha256_final(&h, &id);
	memcpy(p + AT_CONTENT, id.b, sizeof(id.b));
}

static void check_loaded(const struct metainfo *mi, struct slice bytes)
{
	struct buf again = { 0 };
	struct error e;
	char path[96];

	snprintf(path, sizeof(path), "%s/meta", fuzz_folder());
	CHECK_INT(metainfo_verify(mi, &e), ==, SHOAL_OK);
	CHECK_INT(mi->npieces, ==, metainfo_pieces_of(mi->size));
	CHECK_INT(metainfo_save(mi, path, &e), ==, SHOAL_OK);
	CHECK_INT(fs_read_file(path, bytes.len, &again, &e), ==, SHOAL_OK);
	CHECK(slice_eq(slice_of(again.data, again.len), bytes));
	buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct metainfo *mi = NULL;
	struct error e;
	char path[48];

	if (size < 1)
		return 0;
	struct slice bytes = slice_of(data + 1, size - 1);
	uint8_t *copy = fuzz_copy(bytes);
	if ((data[0] & 1) != 0 && bytes.len >= AT_HASHES)
		make_right(copy, bytes.len);
	bytes.data = copy;
	int fd = memfd_create("meta", MFD_CLOEXEC);
	CHECK(fd >= 0 && fs_write_all(fd, copy, bytes.len));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	enum shoal_err rc = metainfo_load(path, NULL, &mi, &e);
	if (rc == SHOAL_OK)
		check_loaded(mi, bytes);
	else
		CHECK(rc == SHOAL_EINTEGRITY && mi == NULL);
	metainfo_free(mi);
	close(fd);
	free(copy);
	return 0;
}
