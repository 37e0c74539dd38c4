/* tests/fuzz/fuzz_journal.c - NAME.part.state: what a download goes on with is what the newest good entry says.
 *
 * The input is a byte of flags and the two entries; with its flag set an entry gets the right head and checksum. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/hash.h"
#include "core/piece/storage.h"
#include "tests/fuzz/fuzz.h"

enum {
	PIECES = 11,
	AT_SEQ = 8,
	AT_CONTENT = 16,
	AT_SIZE = 48,
	AT_FRONT = 56,
	AT_BITS = 96,
	BITS = 2,
	ENTRY = AT_BITS + BITS + 32,
	ROOM = 4096,
	SPARE = 0x1f, /* bits of the last byte that stand for no piece */
};

struct lab {
	struct metainfo *mi;
	char part[96], state[96];
	uint8_t file[ROOM + ENTRY];
	size_t len;
};

static struct metainfo *describe(void)
{
	struct metainfo *mi = NULL;
	struct id32 hash = { { 3 } };
	uint64_t size = (uint64_t)(PIECES - 1) * PIECE_SIZE + 17;
	CHECK_INT(metainfo_new(size, PIECE_SIZE, &hash, NULL, &mi, NULL), ==, SHOAL_OK);
	metainfo_seal(mi);
	return mi;
}

static uint64_t number(const uint8_t *p)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static void put_number(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (56 - 8 * i));
}

static void make_right(const struct lab *l, uint8_t *p)
{
	struct id32 sum;
	memcpy(p, "SHOALPS1", 8);
	memcpy(p + AT_CONTENT, l->mi->content_id.b, 32);
	put_number(p + AT_SIZE, l->mi->size);
	sha256_of(p, ENTRY - 32, &sum);
	memcpy(p + ENTRY - 32, sum.b, 32);
}

static void fill(struct lab *l, const uint8_t *data, size_t size)
{
	uint8_t flags = size > 0 ? data[0] : 0;
	struct cursor in = cursor_of(data + (size > 0), size - (size > 0));

	for (int slot = 0; slot < 2; slot++) {
		struct slice s = fuzz_take(&in, ENTRY);
		uint8_t *p = l->file + slot * ROOM;
		if (s.len != 0)
			memcpy(p, s.data, s.len);
		if ((flags & 1 << slot) != 0)
			make_right(l, p);
		if ((flags & 4) != 0 && slot == 0)
			p[AT_SEQ] = p[AT_BITS + BITS]; /* and broken again */
	}
	l->len = (flags & 8) != 0 ? size % sizeof(l->file) : sizeof(l->file);
}

/* The entry that counts, found the slow way; NULL: none does. */
static const uint8_t *newest(const struct lab *l)
{
	const uint8_t *best = NULL;

	for (size_t slot = 0; slot < 2; slot++) {
		const uint8_t *p = l->file + slot * ROOM;
		struct id32 sum;
		sha256_of(p, ENTRY - 32, &sum);
		uint64_t seq = number(p + AT_SEQ);
		if (l->len < slot * ROOM + ENTRY || memcmp(p, "SHOALPS1", 8) != 0 ||
		    memcmp(p + AT_CONTENT, l->mi->content_id.b, 32) != 0 || number(p + AT_SIZE) != l->mi->size ||
		    memcmp(p + ENTRY - 32, sum.b, 32) != 0 || seq % 2 != slot || seq == 0 || seq > UINT64_MAX / 2 ||
		    (p[AT_BITS + BITS - 1] & SPARE) != 0)
			continue;
		if (best == NULL || seq > number(best + AT_SEQ))
			best = p;
	}
	return best;
}

static struct storage *open_it(const struct lab *l)
{
	struct storage_options o = { .folder = fuzz_folder(), .name = "song", .meta = l->mi, .sparse = true };
	struct storage *st = NULL;
	struct error e;
	CHECK_INT(storage_open(&o, &st, &e), ==, SHOAL_OK);
	return st;
}

static void write_state(const struct lab *l)
{
	int fd = open(l->state, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && fs_write_all(fd, l->file, l->len));
	close(fd);
	fd = open(l->part, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)l->mi->size) == 0);
	close(fd);
}

static void check_bits(const struct storage *st, const uint8_t *entry)
{
	uint64_t verified = 0;
	for (uint32_t i = 0; i < PIECES; i++) {
		bool there = entry != NULL && (entry[AT_BITS + i / 8] & 0x80 >> i % 8) != 0;
		CHECK_INT(bitfield_has(storage_bitfield(st), i), ==, there);
		verified += there ? (i < PIECES - 1 ? PIECE_SIZE : 17) : 0;
	}
	CHECK_INT(storage_verified_bytes(st), ==, verified);
	CHECK_INT(storage_start(st), ==, entry != NULL ? STORAGE_RESUMED : STORAGE_RESTARTED);
}

static void step_front(struct storage *st)
{
	struct storage_front *front = NULL;
	struct error e;
	bool more;
	CHECK_INT(storage_front_new(st, &front, &e), ==, SHOAL_OK);
	CHECK(storage_front_behind(front) <= storage_verified_bytes(st));
	CHECK_INT(storage_front_step(front, 1, &more, &e), ==, SHOAL_OK);
	storage_front_free(front);
}

/* One piece more, and that is not lost over a restart. */
static void go_on(const struct lab *l, struct storage *st)
{
	struct error e;
	struct bitfield *want = bitfield_dup(storage_bitfield(st));
	uint32_t piece = bitfield_next_unset(want, 0);

	if (piece != BITFIELD_NONE) {
		bitfield_set(want, piece);
		storage_mark_verified(st, piece);
	}
	CHECK_INT(storage_close(st, &e), ==, SHOAL_OK);
	st = open_it(l);
	for (uint32_t i = 0; i < PIECES; i++)
		CHECK_INT(bitfield_has(storage_bitfield(st), i), ==, bitfield_has(want, i));
	storage_discard(st);
	bitfield_free(want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lab l = { .mi = describe() };

	snprintf(l.part, sizeof(l.part), "%s/song.part", fuzz_folder());
	snprintf(l.state, sizeof(l.state), "%s/song.part.state", fuzz_folder());
	fill(&l, data, size);
	write_state(&l);
	struct storage *st = open_it(&l);
	check_bits(st, newest(&l));
	step_front(st);
	go_on(&l, st);
	metainfo_free(l.mi);
	return 0;
}
