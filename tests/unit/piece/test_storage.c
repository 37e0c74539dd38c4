/* tests/unit/piece/test_storage.c - the part file, its journal, and what may stand in the way. A program that is killed
 * is a real one: a child that ends with _exit() in the middle. */
#include "core/piece/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "tests/unit/check.h"

struct lab {
	char *folder;
	uint8_t *data;
	struct metainfo *mi;
	struct storage_options options;
};

static char *at(const struct lab *l, const char *name)
{
	return str_printf("%s/%s", l->folder, name);
}

static struct metainfo *describe(const uint8_t *data, uint64_t size)
{
	struct metainfo *mi = NULL;
	struct id32 hash;
	sha256_of(data, size, &hash);
	CHECK_INT(metainfo_new(size, PIECE_SIZE, &hash, NULL, &mi, NULL), ==, SHOAL_OK);
	for (uint32_t i = 0; i < mi->npieces; i++)
		sha256_of(data + metainfo_piece_offset(mi, i), metainfo_piece_len(mi, i), &mi->hashes[i]);
	metainfo_seal(mi);
	return mi;
}

static struct lab lab_new(uint64_t size)
{
	struct lab l = { .data = malloc(size + 1) };
	l.folder = str_printf("%s/%08x%08x", check_folder(), check_random(1u << 31), check_random(1u << 31));
	CHECK_INT(mkdir(l.folder, 0700), ==, 0);
	uint64_t x = check_random(1u << 31) | 1;
	for (uint64_t i = 0; i < size; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		l.data[i] = (uint8_t)(x >> 56);
	}
	l.mi = describe(l.data, size);
	l.options = (struct storage_options){ .folder = l.folder, .name = "song.flac", .meta = l.mi };
	return l;
}

static void lab_free(struct lab *l)
{
	metainfo_free(l->mi);
	free(l->data);
	free(l->folder);
}

static bool exists(const struct lab *l, const char *name)
{
	struct stat st;
	char *path = at(l, name);
	bool found = lstat(path, &st) == 0;
	free(path);
	return found;
}

static void put_file(const struct lab *l, const char *name, const void *data, size_t len)
{
	char *path = at(l, name);
	CHECK_INT(fs_write_file(path, data, len, 0600, NULL), ==, SHOAL_OK);
	free(path);
}

static bool holds(const struct lab *l, const char *name, const void *data, size_t len)
{
	char *path = at(l, name);
	struct buf b = { 0 };
	bool same = fs_read_file(path, 1 << 30, &b, NULL) == SHOAL_OK && b.len == len &&
	            (len == 0 || memcmp(b.data, data, len) == 0);
	buf_free(&b);
	free(path);
	return same;
}

static struct storage *must_open(const struct lab *l, enum storage_start start)
{
	struct storage *st = NULL;
	struct error e = { 0 };
	if (storage_open(&l->options, &st, &e) != SHOAL_OK)
		CHECK_STR(e.message, "");
	CHECK_INT(storage_start(st), ==, start);
	return st;
}

static void fetch(const struct lab *l, struct storage *st, uint32_t from, uint32_t to)
{
	struct storage_writer *w = NULL;
	CHECK_INT(storage_writer_open(st, &w, NULL), ==, SHOAL_OK);
	for (uint32_t i = from; i < to; i++) {
		CHECK_INT(storage_write_piece(w, i, l->data + metainfo_piece_offset(l->mi, i), metainfo_piece_len(l->mi, i),
		                              NULL), ==, SHOAL_OK);
		storage_mark_verified(st, i);
	}
	storage_writer_close(w);
}

static void flush(struct storage *st)
{
	struct storage_flush *fl = storage_flush_new(st);
	CHECK(fl != NULL);
	CHECK(storage_flush_new(st) == NULL); /* one at a time */
	CHECK_INT(storage_flush_run(fl, NULL), ==, SHOAL_OK);
	storage_flush_free(fl);
}

static void every_odd_size_arrives(void)
{
	static const uint64_t sizes[] = {
		0, 1, PIECE_SIZE - 1, PIECE_SIZE, PIECE_SIZE + 1, 3 * PIECE_SIZE, 2 * PIECE_SIZE + 17,
	};
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		for (int with_front = 0; with_front < 2; with_front++) {
			struct lab l = lab_new(sizes[i]);
			struct storage *st = must_open(&l, STORAGE_FRESH);
			struct storage_front *front = NULL;
			struct error e = { 0 };
			bool more = true;
			if (with_front)
				CHECK_INT(storage_front_new(st, &front, NULL), ==, SHOAL_OK);
			CHECK_INT(storage_has_all(st), ==, sizes[i] == 0);
			fetch(&l, st, 0, l.mi->npieces);
			CHECK_INT(storage_verified_bytes(st), ==, sizes[i]);
			while (with_front && more)
				CHECK_INT(storage_front_step(front, 1, &more, NULL), ==, SHOAL_OK);
			CHECK(!exists(&l, "song.flac"));
			CHECK_INT(storage_finish(st, front, &e), ==, SHOAL_OK);
			CHECK(holds(&l, "song.flac", l.data, sizes[i]));
			CHECK(!exists(&l, "song.flac.part") && !exists(&l, "song.flac.part.state"));
			struct file_reader r;
			uint8_t byte;
			CHECK_INT(storage_reader_open(st, &r, NULL), ==, SHOAL_OK); /* it can be served at once */
			CHECK_INT(file_reader_read(&r, 0, &byte, 1, NULL), ==, sizes[i] ? SHOAL_OK : SHOAL_ECONFLICT);
			file_reader_close(&r);
			CHECK_INT(storage_finish(st, front, NULL), ==, SHOAL_OK);
			storage_front_free(front);
			CHECK_INT(storage_close(st, NULL), ==, SHOAL_OK);
			lab_free(&l);
		}
	}
}

static void nothing_incomplete_gets_the_name(void)
{
	struct lab l = lab_new(3 * PIECE_SIZE);
	struct storage *st = must_open(&l, STORAGE_FRESH);
	struct error e = { 0 };

	fetch(&l, st, 0, 2);
	CHECK_INT(storage_finish(st, NULL, &e), !=, SHOAL_OK);
	CHECK(!exists(&l, "song.flac"));
	storage_mark_verified(st, 2); /* a lie: the whole-file hash finds out */
	CHECK_INT(storage_finish(st, NULL, &e), ==, SHOAL_EINTEGRITY);
	CHECK(!exists(&l, "song.flac"));
	uint32_t bad = 0;
	CHECK_INT(storage_recheck(st, &bad, &e), ==, SHOAL_OK);
	CHECK_INT(bad, ==, 1);
	CHECK(bitfield_has(storage_bitfield(st), 1) && !bitfield_has(storage_bitfield(st), 2));
	fetch(&l, st, 2, 3);
	CHECK_INT(storage_finish(st, NULL, &e), ==, SHOAL_OK);
	CHECK(holds(&l, "song.flac", l.data, 3 * PIECE_SIZE));
	storage_close(st, NULL);
	lab_free(&l);
}

/* verify="pieces": an uploader whose whole-file hash is none of that file is not found out; what is missing is. */
static void if_asked_to_the_pieces_are_enough(void)
{
	struct lab l = lab_new(3 * PIECE_SIZE);
	struct error e = { 0 };

	l.mi->file_hash.b[0] ^= 1;
	for (int only = 0; only <= 1; only++) {
		l.options.pieces_only = only;
		struct storage *st = must_open(&l, STORAGE_FRESH);
		fetch(&l, st, 0, 2);
		CHECK_INT(storage_finish(st, NULL, &e), ==, SHOAL_EINTERNAL);
		fetch(&l, st, 2, 3);
		CHECK_INT(storage_finish(st, NULL, &e), ==, only ? SHOAL_OK : SHOAL_EINTEGRITY);
		CHECK(exists(&l, "song.flac") == only);
		storage_discard(st);
	}
	CHECK(holds(&l, "song.flac", l.data, 3 * PIECE_SIZE));
	lab_free(&l);
}

static void two_never_write_the_same_part(void)
{
	struct lab l = lab_new(2 * PIECE_SIZE);
	struct storage *st = must_open(&l, STORAGE_FRESH), *other = NULL;
	struct error e = { 0 };

	CHECK_INT(storage_open(&l.options, &other, &e), ==, SHOAL_EBUSY);
	CHECK(strstr(e.message, "song.flac.part") != NULL);
	CHECK(other == NULL);
	storage_close(st, NULL);
	st = must_open(&l, STORAGE_RESTARTED); /* nothing was verified, so nothing is vouched for */
	storage_discard(st);
	CHECK(!exists(&l, "song.flac.part") && !exists(&l, "song.flac.part.state"));
	lab_free(&l);
}

/* Runs it in a child that then dies without closing anything. */
static void die_after(void (*story)(const struct lab *), const struct lab *l)
{
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		story(l);
		kill(getpid(), SIGKILL);
	}
	int status;
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void fetch_three_flush_fetch_one(const struct lab *l)
{
	struct storage *st = must_open(l, STORAGE_FRESH);
	struct storage_front *front = NULL;
	bool more;
	storage_front_new(st, &front, NULL);
	fetch(l, st, 0, 2);
	fetch(l, st, 3, 4);
	storage_front_step(front, STORAGE_FRONT_STEP, &more, NULL);
	flush(st);
	fetch(l, st, 4, 5); /* the journal does not know of this one */
}

static void a_killed_download_goes_on(void)
{
	struct lab l = lab_new(5 * PIECE_SIZE + 5);
	die_after(fetch_three_flush_fetch_one, &l);

	struct storage *st = must_open(&l, STORAGE_RESUMED);
	CHECK_INT(bitfield_count(storage_bitfield(st)), ==, 3);
	CHECK(bitfield_has(storage_bitfield(st), 3) && !bitfield_has(storage_bitfield(st), 4));
	CHECK_INT(storage_verified_bytes(st), ==, 3 * PIECE_SIZE);
	struct storage_front *front = NULL;
	CHECK_INT(storage_front_new(st, &front, NULL), ==, SHOAL_OK);
	CHECK_INT(storage_front_behind(front), ==, 0); /* the midstate was kept: no second hashing */
	fetch(&l, st, 2, 3);
	CHECK_INT(storage_front_behind(front), ==, 2 * PIECE_SIZE);
	CHECK_INT(storage_close(NULL, NULL), ==, SHOAL_OK);
	storage_front_free(front);
	CHECK_INT(storage_close(st, NULL), ==, SHOAL_OK);

	st = must_open(&l, STORAGE_RESUMED); /* closing wrote the journal */
	CHECK_INT(bitfield_count(storage_bitfield(st)), ==, 4);
	fetch(&l, st, 4, 6);
	CHECK_INT(storage_finish(st, NULL, NULL), ==, SHOAL_OK);
	CHECK(holds(&l, "song.flac", l.data, l.mi->size));
	storage_close(st, NULL);
	lab_free(&l);
}

static void another_content_starts_over(void)
{
	struct lab l = lab_new(5 * PIECE_SIZE + 5);
	die_after(fetch_three_flush_fetch_one, &l);
	l.data[0] ^= 1;
	metainfo_free(l.mi);
	l.options.meta = l.mi = describe(l.data, 5 * PIECE_SIZE + 5);

	struct storage *st = must_open(&l, STORAGE_RESTARTED);
	CHECK_INT(bitfield_count(storage_bitfield(st)), ==, 0);
	fetch(&l, st, 0, 6);
	CHECK_INT(storage_finish(st, NULL, NULL), ==, SHOAL_OK);
	CHECK(holds(&l, "song.flac", l.data, l.mi->size));
	storage_close(st, NULL);
	lab_free(&l);
}

/* Puts back a part file and this journal, opens, and says what was believed. */
static uint32_t believed(const struct lab *l, const uint8_t *journal, size_t len)
{
	struct storage *st = NULL;
	struct error e = { 0 };
	char *path = at(l, "song.flac.part.state");
	CHECK_INT(fs_write_file(path, journal, len, 0600, NULL), ==, SHOAL_OK);
	free(path);
	if (storage_open(&l->options, &st, &e) != SHOAL_OK)
		CHECK_STR(e.message, "");
	uint32_t n = bitfield_count(storage_bitfield(st));
	for (uint32_t i = 0; i < n; i++)
		CHECK(bitfield_has(storage_bitfield(st), i));
	storage_close(st, NULL);
	return n;
}

/* Two entries: the older says 1 piece, the newer 2. Whatever is cut off or flipped, what is believed is one of them or
 * nothing, and never a mixture. */
static void a_torn_journal_is_never_half_believed(void)
{
	struct lab l = lab_new(3 * PIECE_SIZE);
	struct storage *st = must_open(&l, STORAGE_FRESH);
	struct buf j = { 0 };
	char *path = at(&l, "song.flac.part.state");
	bool seen[3] = { false };

	fetch(&l, st, 0, 1);
	flush(st);
	fetch(&l, st, 1, 2);
	flush(st);
	storage_close(st, NULL);
	CHECK_INT(fs_read_file(path, 1 << 20, &j, NULL), ==, SHOAL_OK);
	CHECK_INT(believed(&l, j.data, j.len), ==, 2);
	for (size_t len = 0; len <= j.len; len += len < 200 || (len >= 4000 && len < 4400) ? 1 : 97)
		seen[believed(&l, j.data, len)] = true;
	CHECK(seen[0] && seen[2]); /* seq 2 lies in front of seq 1 */
	for (size_t i = 0; i < 4096 + 160; i += i < 160 || i >= 4096 ? 1 : 3936) {
		j.data[i] ^= 0x10;
		uint32_t n = believed(&l, j.data, j.len);
		CHECK_INT(n, ==, i < 129 ? 1 : 2); /* the newer entry damaged: the older holds */
		j.data[i] ^= 0x10;
	}
	j.data[100] ^= 1;
	j.data[4096 + 100] ^= 1;
	CHECK_INT(believed(&l, j.data, j.len), ==, 0);
	buf_free(&j);
	free(path);
	lab_free(&l);
}

/* Found by fuzz_journal: behind the largest number there is no newer entry, so what was fetched next was forgotten. */
static void an_entry_with_an_absurd_number_is_not_believed(void)
{
	struct lab l = lab_new(3 * PIECE_SIZE);
	struct storage *st = must_open(&l, STORAGE_FRESH);
	struct buf j = { 0 };
	struct id32 sum;
	char *path = at(&l, "song.flac.part.state");

	fetch(&l, st, 0, 1);
	flush(st);
	storage_close(st, NULL);
	CHECK_INT(fs_read_file(path, 1 << 20, &j, NULL), ==, SHOAL_OK);
	memset(j.data + 4096 + 8, 0xff, 8);
	sha256_of(j.data + 4096, 97, &sum);
	memcpy(j.data + 4096 + 97, sum.b, sizeof(sum.b));
	CHECK_INT(believed(&l, j.data, j.len), ==, 0);
	buf_free(&j);
	free(path);
	lab_free(&l);
}

static void a_part_file_of_the_wrong_size_is_not_believed(void)
{
	struct lab l = lab_new(5 * PIECE_SIZE + 5);
	die_after(fetch_three_flush_fetch_one, &l);
	char *path = at(&l, "song.flac.part");
	CHECK_INT(truncate(path, PIECE_SIZE), ==, 0);
	struct storage *st = must_open(&l, STORAGE_RESTARTED);
	CHECK_INT(storage_verified_bytes(st), ==, 0);
	storage_close(st, NULL);
	CHECK_INT(unlink(path), ==, 0); /* and a journal without a part file vouches for nothing */
	st = must_open(&l, STORAGE_FRESH);
	CHECK_INT(storage_verified_bytes(st), ==, 0);
	storage_discard(st);
	free(path);
	lab_free(&l);
}

static void policies_for_a_name_that_is_taken(void)
{
	struct lab l = lab_new(PIECE_SIZE + 1);
	struct storage *st = NULL;
	struct error e = { 0 };
	put_file(&l, "song.flac", "old", 3);

	l.options.on_exists = STORAGE_EXISTS_FAIL;
	CHECK_INT(storage_open(&l.options, &st, &e), ==, SHOAL_EEXISTS);
	l.options.on_exists = STORAGE_EXISTS_RESUME;
	CHECK_INT(storage_open(&l.options, &st, &e), ==, SHOAL_EEXISTS);
	l.options.on_exists = STORAGE_EXISTS_SKIP;
	st = must_open(&l, STORAGE_SKIPPED);
	CHECK_INT(storage_finish(st, NULL, NULL), ==, SHOAL_OK);
	storage_close(st, NULL);
	CHECK(holds(&l, "song.flac", "old", 3));

	l.options.on_exists = STORAGE_EXISTS_RENAME;
	put_file(&l, "song.1.flac", "older", 5);
	st = must_open(&l, STORAGE_FRESH);
	fetch(&l, st, 0, 2);
	put_file(&l, "song.2.flac", "late", 4); /* takes the name we had in mind */
	CHECK_INT(storage_finish(st, NULL, NULL), ==, SHOAL_OK);
	storage_close(st, NULL);
	CHECK(holds(&l, "song.2.flac", "late", 4));
	CHECK(holds(&l, "song.3.flac", l.data, l.mi->size));

	l.options.on_exists = STORAGE_EXISTS_REPLACE;
	st = must_open(&l, STORAGE_FRESH);
	fetch(&l, st, 0, 2);
	CHECK(holds(&l, "song.flac", "old", 3)); /* until the last moment */
	CHECK_INT(storage_finish(st, NULL, NULL), ==, SHOAL_OK);
	storage_close(st, NULL);
	CHECK(holds(&l, "song.flac", l.data, l.mi->size));

	l.options.on_exists = STORAGE_EXISTS_RESUME;
	st = must_open(&l, STORAGE_COMPLETE);
	CHECK(storage_has_all(st));
	CHECK_INT(storage_finish(st, NULL, NULL), ==, SHOAL_OK);
	storage_close(st, NULL);
	lab_free(&l);
}

/* Killed between giving the file its name and removing the journal. */
static void a_journal_without_its_part_file_goes(void)
{
	for (unsigned flushed = 0; flushed < 2; flushed++) {
		struct lab l = lab_new(3 * PIECE_SIZE);
		struct storage *st = must_open(&l, STORAGE_FRESH);
		char *part = at(&l, "song.flac.part"), *name = at(&l, "song.flac");
		fetch(&l, st, 0, 3);
		if (flushed == 1) {
			struct storage_flush *fl = storage_flush_new(st);
			CHECK_INT(storage_flush_run(fl, NULL), ==, SHOAL_OK);
			storage_flush_free(fl);
		}
		CHECK_INT(link(part, name), ==, 0);
		CHECK_INT(unlink(part), ==, 0);
		CHECK(exists(&l, "song.flac.part.state"));
		storage_close(st, NULL);
		l.options.on_exists = STORAGE_EXISTS_RESUME;
		st = must_open(&l, STORAGE_COMPLETE);
		CHECK(!exists(&l, "song.flac.part.state"));
		storage_close(st, NULL);
		put_file(&l, "song.flac.part.state", "a user's own", 12); /* is left alone */
		storage_close(must_open(&l, STORAGE_COMPLETE), NULL);
		CHECK(holds(&l, "song.flac.part.state", "a user's own", 12));
		free(part);
		free(name);
		lab_free(&l);
	}
}

static void a_name_that_appears_late_is_not_overwritten(void)
{
	struct lab l = lab_new(100);
	struct storage *st = must_open(&l, STORAGE_FRESH);
	struct error e = { 0 };
	fetch(&l, st, 0, 1);
	put_file(&l, "song.flac", "mine", 4);
	CHECK_INT(storage_finish(st, NULL, &e), ==, SHOAL_EEXISTS);
	CHECK(holds(&l, "song.flac", "mine", 4));
	char *path = at(&l, "song.flac");
	CHECK_INT(unlink(path), ==, 0);
	free(path);
	CHECK_INT(storage_finish(st, NULL, &e), ==, SHOAL_OK);
	CHECK(holds(&l, "song.flac", l.data, 100));
	storage_close(st, NULL);
	lab_free(&l);
}

static void names_cannot_leave_the_folder(void)
{
	static const char *const bad[] = { "", ".", "..", "../x", "/etc/x", "a/b", "a\nb", "\xff", " a" };
	struct lab l = lab_new(10);
	struct storage *st = NULL;
	struct error e = { 0 };
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		l.options.name = bad[i];
		CHECK_INT(storage_open(&l.options, &st, &e), ==, SHOAL_EUSAGE);
	}
	char longest[246];
	memset(longest, 'n', sizeof(longest));
	longest[245] = '\0';
	l.options.name = longest;
	CHECK_INT(storage_open(&l.options, &st, &e), ==, SHOAL_EUSAGE);
	longest[240] = '\0';
	st = must_open(&l, STORAGE_FRESH);
	fetch(&l, st, 0, 1);
	CHECK_INT(storage_finish(st, NULL, &e), ==, SHOAL_OK);
	storage_close(st, NULL);
	l.options.on_exists = STORAGE_EXISTS_RENAME; /* the number needs room: the name is cut, not refused */
	st = must_open(&l, STORAGE_FRESH);
	fetch(&l, st, 0, 1);
	CHECK_INT(storage_finish(st, NULL, &e), ==, SHOAL_OK);
	CHECK_INT(strlen(fs_basename(storage_path(st))), ==, 240);
	storage_close(st, NULL);
	lab_free(&l);
}

static void links_in_the_way_are_not_followed(void)
{
	static const char *const names[] = { "song.flac.part", "song.flac.part.state" };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		for (int hard = 0; hard < 2; hard++) {
			struct lab l = lab_new(PIECE_SIZE);
			struct storage *st = NULL;
			struct error e = { 0 };
			char *victim = at(&l, "victim"), *trap = at(&l, names[i]);
			put_file(&l, "victim", "precious", 8);
			CHECK_INT(hard ? link(victim, trap) : symlink(victim, trap), ==, 0);
			CHECK_INT(storage_open(&l.options, &st, &e), ==, SHOAL_EDENIED);
			CHECK(holds(&l, "victim", "precious", 8));
			CHECK(i == 0 || !exists(&l, "song.flac.part"));
			free(victim);
			free(trap);
			lab_free(&l);
		}
	}
}

static void a_link_under_the_final_name_is_not_written_through(void)
{
	struct lab l = lab_new(PIECE_SIZE);
	struct storage *st = NULL;
	struct error e = { 0 };
	char *victim = at(&l, "victim"), *trap = at(&l, "song.flac");
	put_file(&l, "victim", "precious", 8);
	CHECK_INT(symlink(victim, trap), ==, 0);
	CHECK_INT(storage_open(&l.options, &st, &e), ==, SHOAL_EEXISTS);
	l.options.on_exists = STORAGE_EXISTS_RESUME;
	CHECK_INT(storage_open(&l.options, &st, &e), ==, SHOAL_EEXISTS);
	l.options.on_exists = STORAGE_EXISTS_REPLACE; /* the link goes, its target stays */
	st = must_open(&l, STORAGE_FRESH);
	fetch(&l, st, 0, 1);
	CHECK_INT(storage_finish(st, NULL, &e), ==, SHOAL_OK);
	storage_close(st, NULL);
	CHECK(holds(&l, "victim", "precious", 8));
	CHECK(holds(&l, "song.flac", l.data, PIECE_SIZE));
	free(victim);
	free(trap);
	lab_free(&l);
}

static void a_users_own_file_is_not_taken_for_a_part(void)
{
	struct lab l = lab_new(PIECE_SIZE);
	struct storage *st = NULL;
	struct error e = { 0 };
	put_file(&l, "song.flac.part", "a chapter", 9);
	CHECK_INT(storage_open(&l.options, &st, &e), ==, SHOAL_EEXISTS);
	CHECK(holds(&l, "song.flac.part", "a chapter", 9));
	CHECK(!exists(&l, "song.flac.part.state"));
	lab_free(&l);

	l = lab_new(PIECE_SIZE);
	put_file(&l, "song.flac.part.state", "of the art, a long essay", 24);
	CHECK_INT(storage_open(&l.options, &st, &e), ==, SHOAL_EEXISTS);
	CHECK(holds(&l, "song.flac.part.state", "of the art, a long essay", 24));
	CHECK(!exists(&l, "song.flac.part"));
	lab_free(&l);
}

/* The part file is exchanged under our hands: nothing is written into the other, nothing of it is published. */
static void an_exchanged_part_file_is_noticed(void)
{
	struct lab l = lab_new(PIECE_SIZE);
	struct storage *st = must_open(&l, STORAGE_FRESH);
	struct storage_writer *w = NULL;
	struct error e = { 0 };
	char *part = at(&l, "song.flac.part");
	fetch(&l, st, 0, 1);
	CHECK_INT(unlink(part), ==, 0);
	put_file(&l, "song.flac.part", "evil", 4);
	CHECK_INT(storage_writer_open(st, &w, &e), ==, SHOAL_ECONFLICT);
	CHECK_INT(storage_finish(st, NULL, &e), ==, SHOAL_ECONFLICT);
	CHECK(!exists(&l, "song.flac"));
	storage_close(st, NULL);
	free(part);
	lab_free(&l);
}

static void beyond_four_gigabytes(void)
{
	const uint64_t size = (UINT64_C(9) << 29) + 3; /* 4.5 GiB and a bit */
	struct lab l = lab_new(PIECE_SIZE);
	struct metainfo *big = NULL;
	struct id32 none = { { 0 } };
	CHECK_INT(metainfo_new(size, PIECE_SIZE, &none, NULL, &big, NULL), ==, SHOAL_OK);
	uint32_t last = big->npieces - 1, far = last - 1;
	sha256_of(l.data, PIECE_SIZE, &big->hashes[far]);
	metainfo_seal(big);
	l.options.meta = big;
	l.options.sparse = true;
	struct storage *st = must_open(&l, STORAGE_FRESH);
	struct storage_writer *w = NULL;
	struct file_reader r;
	uint8_t *back = malloc(PIECE_SIZE);
	CHECK_INT(storage_writer_open(st, &w, NULL), ==, SHOAL_OK);
	CHECK_INT(storage_write_piece(w, far, l.data, PIECE_SIZE, NULL), ==, SHOAL_OK);
	CHECK_INT(storage_write_piece(w, last, "end", 3, NULL), ==, SHOAL_OK);
	CHECK_INT(storage_write_piece(w, last, "end!", 4, NULL), !=, SHOAL_OK);
	CHECK_INT(storage_write_piece(w, last + 1, "end", 3, NULL), !=, SHOAL_OK);
	storage_writer_close(w);
	storage_mark_verified(st, far);
	storage_mark_verified(st, last);
	CHECK_INT(storage_verified_bytes(st), ==, PIECE_SIZE + 3);
	storage_close(st, NULL);
	st = must_open(&l, STORAGE_RESUMED);
	CHECK_INT(storage_reader_open(st, &r, NULL), ==, SHOAL_OK);
	CHECK_INT(file_reader_read(&r, metainfo_piece_offset(big, far), back, PIECE_SIZE, NULL), ==, SHOAL_OK);
	CHECK(metainfo_piece_ok(big, far, back, PIECE_SIZE));
	CHECK_INT(file_reader_read(&r, size - 3, back, 3, NULL), ==, SHOAL_OK);
	CHECK(memcmp(back, "end", 3) == 0);
	file_reader_close(&r);
	storage_discard(st);
	free(back);
	metainfo_free(big);
	lab_free(&l);
}

/* A real full disk, where we may mount one: 2 MiB for a file of 4. */
static void a_full_disk_loses_nothing(void)
{
	struct lab l = lab_new(8 * PIECE_SIZE);
	if (geteuid() != 0 || mount("tmpfs", l.folder, "tmpfs", 0, "size=2m") != 0) {
		lab_free(&l);
		skip();
	}
	struct storage *st = NULL;
	struct error e = { 0 };
	enum shoal_err at_open = storage_open(&l.options, &st, &e);
	bool clean = !exists(&l, "song.flac.part") && !exists(&l, "song.flac.part.state");
	enum shoal_err rc = SHOAL_OK;
	uint32_t n = 0, kept = 0;
	bool done = false;
	l.options.sparse = true; /* nothing reserved: it fills up while we write */
	if (storage_open(&l.options, &st, &e) == SHOAL_OK) {
		struct storage_writer *w = NULL;
		storage_writer_open(st, &w, NULL);
		for (; n < 8 && rc == SHOAL_OK; n++) {
			rc = storage_write_piece(w, n, l.data + n * PIECE_SIZE, PIECE_SIZE, &e);
			if (rc == SHOAL_OK)
				storage_mark_verified(st, n);
		}
		kept = bitfield_count(storage_bitfield(st));
		mount("tmpfs", l.folder, "tmpfs", MS_REMOUNT, "size=16m"); /* somebody has made room */
		for (uint32_t i = kept; i < 8; i++)
			if (storage_write_piece(w, i, l.data + i * PIECE_SIZE, PIECE_SIZE, NULL) == SHOAL_OK)
				storage_mark_verified(st, i);
		storage_writer_close(w);
		done = storage_finish(st, NULL, NULL) == SHOAL_OK && holds(&l, "song.flac", l.data, 8 * PIECE_SIZE);
		storage_close(st, NULL);
	}
	umount2(l.folder, MNT_DETACH);
	CHECK_INT(at_open, ==, SHOAL_EDISKFULL);
	CHECK(clean);
	CHECK_INT(rc, ==, SHOAL_EDISKFULL);
	CHECK_INT(kept, >=, 2);
	CHECK_INT(kept, <, 4);
	CHECK(done);
	lab_free(&l);
}

/* Where nobody may mount: a limit on file sizes stands for any write that fails. */
static void a_failed_write_can_be_tried_again(void)
{
	struct lab l = lab_new(3 * PIECE_SIZE);
	l.options.sparse = true;
	struct storage *st = must_open(&l, STORAGE_FRESH);
	struct storage_writer *w = NULL;
	struct rlimit was, low;
	CHECK_INT(storage_writer_open(st, &w, NULL), ==, SHOAL_OK);
	CHECK_INT(getrlimit(RLIMIT_FSIZE, &was), ==, 0);
	low = (struct rlimit){ PIECE_SIZE + 1000, was.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &low);
	enum shoal_err first = storage_write_piece(w, 0, l.data, PIECE_SIZE, NULL);
	enum shoal_err second = storage_write_piece(w, 1, l.data + PIECE_SIZE, PIECE_SIZE, NULL);
	setrlimit(RLIMIT_FSIZE, &was);
	CHECK_INT(first, ==, SHOAL_OK);
	CHECK_INT(second, !=, SHOAL_OK);
	storage_writer_close(w);
	fetch(&l, st, 0, 3);
	CHECK_INT(storage_finish(st, NULL, NULL), ==, SHOAL_OK);
	CHECK(holds(&l, "song.flac", l.data, 3 * PIECE_SIZE));
	storage_close(st, NULL);
	lab_free(&l);
}

static void many_are_published_together(void)
{
	enum { N = 20 };
	struct lab l[N];
	struct storage_finish items[N] = { { 0 } };
	for (int i = 0; i < N; i++) {
		l[i] = lab_new(100 + (uint64_t)i);
		items[i].st = must_open(&l[i], STORAGE_FRESH);
		fetch(&l[i], items[i].st, 0, 1);
	}
	put_file(&l[7], "song.flac", "taken", 5);
	storage_finish_batch(items, N);
	for (int i = 0; i < N; i++) {
		CHECK_INT(items[i].rc, ==, i == 7 ? SHOAL_EEXISTS : SHOAL_OK);
		CHECK_INT(holds(&l[i], "song.flac", l[i].data, l[i].mi->size), ==, i != 7);
		storage_close(items[i].st, NULL);
		lab_free(&l[i]);
	}
}

/* Whoever verifies a piece takes the chain a piece further; what he verifies may be wrong, or short. */
static void the_front_goes_along(void)
{
	struct lab l = lab_new(3 * PIECE_SIZE + 100);
	struct storage *st = must_open(&l, STORAGE_FRESH);
	struct storage_front *front = NULL;
	uint8_t *bad = malloc(PIECE_SIZE);
	bool ok = true;

	memcpy(bad, l.data, PIECE_SIZE);
	bad[PIECE_SIZE - 1] ^= 1;
	CHECK_INT(storage_front_new(st, &front, NULL), ==, SHOAL_OK);
	CHECK(!storage_front_along(front, 0, l.data, PIECE_SIZE, &ok)); /* nothing is behind */
	fetch(&l, st, 0, 2);
	CHECK(storage_front_along(front, 0, bad, PIECE_SIZE, &ok) && !ok);
	CHECK_INT(storage_front_behind(front), ==, PIECE_SIZE);
	CHECK(storage_front_along(front, 3, l.data + 3 * PIECE_SIZE, 100, &ok) && ok);
	CHECK_INT(storage_front_behind(front), ==, 0);
	fetch(&l, st, 2, 4);
	CHECK(storage_front_along(front, 3, l.data + 3 * PIECE_SIZE, 99, &ok) && !ok);
	CHECK(storage_front_along(front, 2, l.data + 2 * PIECE_SIZE, PIECE_SIZE, &ok) && ok); /* with the short last one */
	CHECK_INT(storage_front_behind(front), ==, 0);
	CHECK_INT(storage_finish(st, front, NULL), ==, SHOAL_OK);
	CHECK(holds(&l, "song.flac", l.data, l.mi->size));
	storage_front_free(front);
	storage_close(st, NULL);
	free(bad);
	lab_free(&l);
}

struct hand {
	const struct lab *l;
	struct storage_writer *w;
	struct storage_front *front;
	uint32_t first;          /* it writes first, first + 2, ... */
	_Atomic uint32_t written; /* how many of them */
};

static void *write_half(void *arg)
{
	struct hand *h = arg;
	const struct metainfo *mi = h->l->mi;
	for (uint32_t i = h->first; i < mi->npieces; i += 2) {
		const uint8_t *data = h->l->data + metainfo_piece_offset(mi, i);
		uint32_t len = metainfo_piece_len(mi, i);
		bool ok = false;
		CHECK(!storage_front_along(h->front, i, data, len, &ok) || ok);
		CHECK_INT(storage_write_piece(h->w, i, data, len, NULL), ==, SHOAL_OK);
		atomic_fetch_add(&h->written, 1);
	}
	return NULL;
}

struct follower {
	struct storage_front *front;
	atomic_bool all_marked;
};

static void *follow_front(void *arg)
{
	struct follower *f = arg;
	bool more = false;
	while (!atomic_load(&f->all_marked) || storage_front_behind(f->front) != 0) {
		CHECK_INT(storage_front_step(f->front, PIECE_SIZE, &more, NULL), ==, SHOAL_OK);
		if (!more)
			sched_yield();
	}
	return NULL;
}

static void *run_flush(void *arg)
{
	CHECK_INT(storage_flush_run(arg, NULL), ==, SHOAL_OK);
	return NULL;
}

/* Two writers, the front and the journal on threads of their own, the owner marking: as the client does it. */
static void many_hands_and_one_owner(void)
{
	struct lab l = lab_new(40 * PIECE_SIZE + 1);
	l.options.flush_bytes = 4 * PIECE_SIZE;
	struct storage *st = must_open(&l, STORAGE_FRESH);
	struct follower follower = { 0 };
	struct hand hands[2] = { { .l = &l, .first = 0 }, { .l = &l, .first = 1 } };
	pthread_t threads[3], flusher;
	uint32_t marked[2] = { 0, 0 };
	int flushes = 0;

	CHECK_INT(storage_front_new(st, &follower.front, NULL), ==, SHOAL_OK);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(storage_writer_open(st, &hands[i].w, NULL), ==, SHOAL_OK);
		hands[i].front = follower.front;
		CHECK_INT(pthread_create(&threads[i], NULL, write_half, &hands[i]), ==, 0);
	}
	CHECK_INT(pthread_create(&threads[2], NULL, follow_front, &follower), ==, 0);
	while (!storage_has_all(st)) {
		struct storage_flush *fl = storage_flush_due(st) ? storage_flush_new(st) : NULL;
		if (fl != NULL)
			CHECK_INT(pthread_create(&flusher, NULL, run_flush, fl), ==, 0);
		for (uint32_t i = 0; i < 2; i++) /* one a turn: however fast the writers are, a flush falls due on the way */
			if (marked[i] < atomic_load(&hands[i].written))
				storage_mark_verified(st, hands[i].first + 2 * marked[i]++);
		if (fl != NULL) {
			pthread_join(flusher, NULL);
			storage_flush_free(fl);
			flushes++;
		}
		sched_yield();
	}
	atomic_store(&follower.all_marked, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 2; i++)
		storage_writer_close(hands[i].w);
	CHECK_INT(flushes, >, 0);
	CHECK_INT(storage_front_behind(follower.front), ==, 0);
	CHECK_INT(storage_finish(st, follower.front, NULL), ==, SHOAL_OK);
	CHECK(holds(&l, "song.flac", l.data, l.mi->size));
	storage_front_free(follower.front);
	storage_close(st, NULL);
	lab_free(&l);
}

static void no_memory_is_an_answer(void)
{
	struct lab l = lab_new(2 * PIECE_SIZE);
	for (unsigned n = 1; n < 30; n++) {
		struct storage *st = NULL;
		mem_fail_after(n);
		enum shoal_err rc = storage_open(&l.options, &st, NULL);
		mem_fail_after(0);
		if (rc == SHOAL_OK) {
			CHECK_INT(n, >, 3);
			storage_discard(st);
			break;
		}
		CHECK_INT(rc, ==, SHOAL_EBUSY);
	}
	lab_free(&l);
}

static const struct CMUnitTest tests[] = {
	TEST(every_odd_size_arrives),
	TEST(nothing_incomplete_gets_the_name), TEST(if_asked_to_the_pieces_are_enough),
	TEST(two_never_write_the_same_part),
	TEST(a_killed_download_goes_on),
	TEST(another_content_starts_over),
	TEST(a_torn_journal_is_never_half_believed),
	TEST(an_entry_with_an_absurd_number_is_not_believed),
	TEST(a_part_file_of_the_wrong_size_is_not_believed),
	TEST(policies_for_a_name_that_is_taken),
	TEST(a_journal_without_its_part_file_goes),
	TEST(a_name_that_appears_late_is_not_overwritten),
	TEST(names_cannot_leave_the_folder),
	TEST(links_in_the_way_are_not_followed),
	TEST(a_link_under_the_final_name_is_not_written_through),
	TEST(a_users_own_file_is_not_taken_for_a_part),
	TEST(an_exchanged_part_file_is_noticed),
	TEST(beyond_four_gigabytes),
	TEST(a_full_disk_loses_nothing),
	TEST(a_failed_write_can_be_tried_again),
	TEST(many_are_published_together),
	TEST(the_front_goes_along),
	TEST(many_hands_and_one_owner),
	TEST(no_memory_is_an_answer),
};
CHECK_MAIN(tests)
