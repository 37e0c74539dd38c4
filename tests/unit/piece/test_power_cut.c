/* tests/unit/piece/test_power_cut.c - a download whose power fails, or whose disk does: what the journal vouches for is
 * there and right, and a file under its final name is whole. */
#include "core/piece/storage.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "tests/unit/check.h"
#include "tests/unit/power.h"

enum { PIECES = 7, SIZE = 6 * PIECE_SIZE + 1000, PROMISES_MAX = 16 };
static const uint32_t order[PIECES] = { 1, 0, 4, 5, 2, 3, 6 };

struct lab {
	uint8_t data[SIZE];
	struct metainfo *mi;
	struct storage_options options;
	struct {
		size_t calls; /* after that many calls ... */
		bool have[PIECES]; /* ... these were safe */
	} promises[PROMISES_MAX];
	size_t npromises, published; /* published: after that many calls the whole file was; 0: it never was */
};

static struct lab *lab_new(enum storage_exists on_exists)
{
	struct lab *l = xalloc(sizeof(*l));
	struct id32 hash;

	check_random_bytes(l->data, SIZE);
	sha256_of(l->data, SIZE, &hash);
	CHECK_INT(metainfo_new(SIZE, PIECE_SIZE, &hash, NULL, &l->mi, NULL), ==, SHOAL_OK);
	for (uint32_t i = 0; i < l->mi->npieces; i++)
		sha256_of(l->data + metainfo_piece_offset(l->mi, i), metainfo_piece_len(l->mi, i), &l->mi->hashes[i]);
	metainfo_seal(l->mi);
	l->options = (struct storage_options){
		.name = "build.tar", .meta = l->mi, .flush_bytes = 2 * PIECE_SIZE, .on_exists = on_exists
	};
	return l;
}

static void lab_free(struct lab *l)
{
	metainfo_free(l->mi);
	free(l);
}

static char *folder_new(const char *name)
{
	char *folder = str_printf("%s/%s-%08x", check_folder(), name, check_random(1u << 31));
	CHECK_INT(mkdir(folder, 0700), ==, 0);
	return folder;
}

static void promise(struct lab *l, const struct storage *st, bool whole)
{
	CHECK(l->npromises < PROMISES_MAX);
	l->promises[l->npromises].calls = power_calls();
	for (uint32_t i = 0; i < PIECES; i++)
		l->promises[l->npromises].have[i] = bitfield_has(storage_bitfield(st), i);
	l->npromises++;
	if (whole)
		l->published = power_calls();
}

/* Fetches what is missing, as a client would: every step may fail, and then it is given up. */
static enum shoal_err download(struct lab *l, const char *folder, bool keep_promises)
{
	struct storage *st = NULL;
	struct storage_writer *w = NULL;
	struct error e;

	l->options.folder = folder;
	enum shoal_err rc = storage_open(&l->options, &st, &e);
	if (rc != SHOAL_OK)
		return rc;
	bool complete = storage_start(st) == STORAGE_COMPLETE;
	if (!complete)
		rc = storage_writer_open(st, &w, &e);
	for (int n = 0; n < PIECES && !complete && rc == SHOAL_OK; n++) {
		uint32_t i = order[n];
		if (bitfield_has(storage_bitfield(st), i))
			continue;
		rc = storage_write_piece(w, i, l->data + metainfo_piece_offset(l->mi, i), metainfo_piece_len(l->mi, i), &e);
		if (rc == SHOAL_OK)
			storage_mark_verified(st, i);
		struct storage_flush *fl = rc == SHOAL_OK && storage_flush_due(st) ? storage_flush_new(st) : NULL;
		if (fl == NULL)
			continue;
		rc = storage_flush_run(fl, &e);
		storage_flush_free(fl);
		if (rc == SHOAL_OK && keep_promises)
			promise(l, st, false);
	}
	storage_writer_close(w);
	if (rc == SHOAL_OK)
		rc = storage_finish(st, NULL, &e);
	if (rc == SHOAL_OK && keep_promises)
		promise(l, st, true);
	enum shoal_err closed = storage_close(st, &e);
	return rc != SHOAL_OK ? rc : closed;
}

static bool whole_there(const struct lab *l, const char *folder)
{
	struct buf got = { 0 };
	char *path = str_printf("%s/%s", folder, l->options.name);
	bool found = fs_read_file(path, SIZE + 1, &got, NULL) == SHOAL_OK;

	/* whatever has that name is the whole content, or the older file that it replaces */
	if (found && !(got.len == 3 && memcmp(got.data, "old", 3) == 0))
		CHECK(got.len == SIZE && memcmp(got.data, l->data, SIZE) == 0);
	found = found && got.len == SIZE;
	buf_free(&got);
	free(path);
	return found;
}

/* The journal vouches for nothing that is not so, and for all that was promised. */
static void check_resumed(struct lab *l, const char *folder, size_t calls)
{
	struct storage *st = NULL;
	struct file_reader r;
	struct error e;
	uint8_t *piece = xalloc(PIECE_SIZE);
	bool promised[PIECES] = { 0 };

	for (size_t p = 0; p < l->npromises; p++)
		for (uint32_t i = 0; i < PIECES && l->promises[p].calls <= calls; i++)
			promised[i] |= l->promises[p].have[i];
	l->options.folder = folder;
	CHECK_INT(storage_open(&l->options, &st, &e), ==, SHOAL_OK);
	CHECK_INT(storage_reader_open(st, &r, &e), ==, SHOAL_OK);
	for (uint32_t i = 0; i < PIECES; i++) {
		bool have = bitfield_has(storage_bitfield(st), i);
		CHECK(have || !promised[i]);
		if (!have)
			continue;
		CHECK_INT(file_reader_read(&r, metainfo_piece_offset(l->mi, i), piece, metainfo_piece_len(l->mi, i), &e), ==, SHOAL_OK);
		CHECK(memcmp(piece, l->data + metainfo_piece_offset(l->mi, i), metainfo_piece_len(l->mi, i)) == 0);
	}
	file_reader_close(&r);
	CHECK_INT(storage_close(st, &e), ==, SHOAL_OK);
	free(piece);
}

static void check_state(struct lab *l, const char *folder, size_t calls)
{
	bool there = whole_there(l, folder);

	CHECK(there || l->published == 0 || calls < l->published);
	if (!there)
		check_resumed(l, folder, calls);
	if (!there || l->options.on_exists != STORAGE_EXISTS_FAIL)
		CHECK_INT(download(l, folder, false), ==, SHOAL_OK);
	CHECK(whole_there(l, folder));
	char *journal = str_printf("%s/%s.part.state", folder, l->options.name);
	CHECK(there || access(journal, F_OK) != 0);
	free(journal);
}

static unsigned look_at_all(struct lab *l)
{
	char *folder = folder_new("cut");
	unsigned looked = 0;

	for (size_t n = 0; n <= power_calls(); n++)
		for (unsigned s = 0, states = power_states(n); s < states; s++, looked++) {
			power_rebuild(folder, n, s);
			check_state(l, folder, n);
		}
	printf("# %u states of %zu calls\n", looked, power_calls());
	free(folder);
	return looked;
}

static void a_power_cut_loses_nothing_that_was_flushed(void)
{
	struct lab *l = lab_new(STORAGE_EXISTS_RESUME);
	char *folder = folder_new("disk");

	power_record(folder);
	CHECK_INT(download(l, folder, true), ==, SHOAL_OK);
	power_stop();
	CHECK_INT(l->npromises, >=, 3);
	CHECK_INT(look_at_all(l), >=, 60);
	lab_free(l);
	free(folder);
}

static void a_power_cut_leaves_the_old_file_or_the_new_one(void)
{
	struct lab *l = lab_new(STORAGE_EXISTS_REPLACE);
	char *folder = folder_new("disk"), *path = str_printf("%s/%s", folder, l->options.name);

	power_record(folder);
	CHECK_INT(fs_write_file(path, "old", 3, 0600, NULL), ==, SHOAL_OK);
	CHECK_INT(download(l, folder, true), ==, SHOAL_OK);
	power_stop();
	CHECK_INT(look_at_all(l), >=, 60);
	lab_free(l);
	free(path);
	free(folder);
}

/* The nth call fails, once or from there on; then the disk is well again and the same command is given once more. */
static void a_failing_disk_is_told_and_costs_nothing(void)
{
	static const int errors[] = { EIO, ENOSPC };
	struct lab *l = lab_new(STORAGE_EXISTS_RESUME);
	unsigned runs = 0, told = 0;

	for (unsigned kind = 0; kind < 4; kind++)
		for (size_t nth = 1;; nth++, runs++) {
			char *folder = folder_new("disk");
			power_fail(folder, nth, errors[kind % 2], kind / 2 != 0);
			enum shoal_err rc = download(l, folder, false);
			power_stop();
			told += rc != SHOAL_OK;
			bool failed = power_failed();
			CHECK(rc == SHOAL_OK || failed);
			if (rc == SHOAL_OK)
				CHECK(whole_there(l, folder));
			CHECK_INT(download(l, folder, false), ==, SHOAL_OK);
			CHECK(whole_there(l, folder));
			char *whole = str_printf("%s/%s", folder, l->options.name);
			CHECK_INT(unlink(whole), ==, 0);
			free(whole);
			free(folder);
			if (!failed)
				break;
		}
	printf("# %u failures, %u of them told\n", runs, told);
	CHECK_INT(told, >=, runs / 2);
	lab_free(l);
}

static const struct CMUnitTest tests[] = {
	TEST(a_power_cut_loses_nothing_that_was_flushed),
	TEST(a_power_cut_leaves_the_old_file_or_the_new_one),
	TEST(a_failing_disk_is_told_and_costs_nothing),
};

CHECK_MAIN(tests)
