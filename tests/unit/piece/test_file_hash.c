/* tests/unit/piece/test_file_hash.c - hashing for an upload, and the file that is then served. */
#include "core/piece/file_hash.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/piece/shared_file.h"
#include "tests/unit/check.h"

static char *make_file(const char *name, const uint8_t *data, size_t len)
{
	char *path = str_printf("%s/%s", check_folder(), name);
	CHECK_INT(fs_write_file(path, data, len, 0600, NULL), ==, SHOAL_OK);
	return path;
}

static uint8_t *noise(size_t len)
{
	uint8_t *p = malloc(len + 1);
	uint64_t x = check_random(1u << 30) | 1;
	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(x >> 56);
	}
	return p;
}

static void agrees_with_hashing_one_by_one(void)
{
	static const size_t sizes[] = {
		0, 1, PIECE_SIZE - 1, PIECE_SIZE, PIECE_SIZE + 1, 40 * PIECE_SIZE, 33 * PIECE_SIZE + 99,
	};
	for (size_t i = 0; i < COUNT_OF(sizes) * 3; i++) {
		size_t size = sizes[i % COUNT_OF(sizes)];
		struct workers *pool = i / COUNT_OF(sizes) == 0 ? NULL : workers_new(i / COUNT_OF(sizes) * 3 - 2, 0);
		uint8_t *data = noise(size);
		char *path = make_file("whole", data, size);
		struct metainfo *mi = NULL;
		struct file_stamp stamp;
		struct file_hash_progress progress = { 0 };
		struct id32 hash;

		CHECK_INT(file_hash_run(path, pool, &progress, &mi, &stamp, NULL), ==, SHOAL_OK);
		CHECK_INT(mi->size, ==, size);
		CHECK_INT(stamp.size, ==, size);
		CHECK_INT(atomic_load(&progress.done), ==, size);
		sha256_of(data, size, &hash);
		CHECK(id32_eq(&hash, &mi->file_hash));
		for (uint32_t p = 0; p < mi->npieces; p++)
			CHECK(metainfo_piece_ok(mi, p, data + metainfo_piece_offset(mi, p), metainfo_piece_len(mi, p)));
		CHECK_INT(metainfo_verify(mi, NULL), ==, SHOAL_OK);
		workers_free(pool);
		metainfo_free(mi);
		free(data);
		free(path);
	}
}

struct blocker {
	struct work work;
	pthread_mutex_t *lock;
};

static void block(struct work *w)
{
	struct blocker *b = container_of(container_of(w, struct work, node), struct blocker, work);
	pthread_mutex_lock(b->lock);
	pthread_mutex_unlock(b->lock);
}

/* Every thread of the pool is busy and stays so: the caller does it alone. Helpers that start later find it over. */
static void a_busy_pool_does_not_stop_it(void)
{
	struct workers *pool = workers_new(2, 0);
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct blocker blockers[2] = { { { .run = block }, &lock }, { { .run = block }, &lock } };
	uint8_t *data = noise(20 * PIECE_SIZE);
	char *path = make_file("busy", data, 20 * PIECE_SIZE);
	struct metainfo *mi = NULL;
	struct file_stamp stamp;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < 2; i++)
		CHECK(workers_post(pool, &blockers[i].work));
	CHECK_INT(file_hash_run(path, pool, NULL, &mi, &stamp, NULL), ==, SHOAL_OK);
	metainfo_free(mi); /* late helpers must not touch it */
	pthread_mutex_unlock(&lock);
	workers_free(pool);
	free(data);
	free(path);
}

static void a_cancel_is_heard(void)
{
	uint8_t *data = noise(8 * PIECE_SIZE);
	char *path = make_file("cancelled", data, 8 * PIECE_SIZE);
	struct file_hash_progress progress = { 0 };
	struct metainfo *mi = NULL;
	struct file_stamp stamp;
	struct error e = { 0 };

	atomic_store(&progress.cancel, true);
	CHECK_INT(file_hash_run(path, NULL, &progress, &mi, &stamp, &e), ==, SHOAL_ECANCELLED);
	CHECK(mi == NULL);
	free(data);
	free(path);
}

struct meddler {
	const char *path;
	struct file_hash_progress *progress;
	int how;
	uint64_t done; /* how far the hashing was when the file had been spoilt */
};

/* Waits until hashing is under way, then spoils the file. */
static void *meddle(void *arg)
{
	struct meddler *m = arg;
	while (atomic_load(&m->progress->done) == 0)
		sched_yield();
	int fd = open(m->path, O_WRONLY);
	if (m->how == 0)
		(void)!ftruncate(fd, PIECE_SIZE);
	else if (m->how == 1)
		(void)!write(fd, "x", 1);
	else
		unlink(m->path);
	close(fd);
	m->done = atomic_load(&m->progress->done);
	return NULL;
}

/* One try; false: the meddler's thread came too late to prove anything. */
static bool try_meddling(const uint8_t *data, size_t len, int how)
{
	char *path = make_file("restless", data, len);
	struct file_hash_progress progress = { 0 };
	struct meddler m = { path, &progress, how, 0 };
	struct metainfo *mi = NULL;
	struct file_stamp stamp;
	struct error e = { 0 };
	pthread_t thread;

	CHECK_INT(pthread_create(&thread, NULL, meddle, &m), ==, 0);
	enum shoal_err rc = file_hash_run(path, NULL, &progress, &mi, &stamp, &e);
	pthread_join(thread, NULL);
	free(path);
	metainfo_free(mi);
	if (m.done >= len)
		return false;
	CHECK_INT(rc, ==, SHOAL_ECONFLICT);
	CHECK(strstr(e.message, "restless") != NULL);
	return true;
}

static void a_file_that_changes_meanwhile_is_refused(void)
{
	size_t len = 64 * PIECE_SIZE;
	uint8_t *data = noise(len);
	for (int how = 0; how < 3; how++) {
		int tries = 0;
		while (!try_meddling(data, len, how))
			CHECK_INT(++tries, <, 50);
	}
	free(data);
}

static void only_regular_files(void)
{
	char *fifo = str_printf("%s/fifo", check_folder());
	struct metainfo *mi = NULL;
	struct file_stamp stamp;
	struct shared_file *sf = NULL;
	struct error e = { 0 };

	CHECK_INT(mkfifo(fifo, 0600), ==, 0);
	CHECK_INT(file_hash_run(fifo, NULL, NULL, &mi, &stamp, &e), ==, SHOAL_EUSAGE);
	CHECK_INT(file_hash_run(check_folder(), NULL, NULL, &mi, &stamp, &e), ==, SHOAL_EUSAGE);
	CHECK_INT(file_hash_run("/dev/zero", NULL, NULL, &mi, &stamp, &e), ==, SHOAL_EUSAGE);
	CHECK_INT(file_hash_run("/nowhere", NULL, NULL, &mi, &stamp, &e), ==, SHOAL_ENOTFOUND);
	CHECK_INT(shared_file_open(fifo, NULL, &sf, &e), ==, SHOAL_EUSAGE);
	free(fifo);
}

static void a_served_file_is_watched(void)
{
	struct shared_file *sf = NULL;
	struct file_reader a, b;
	struct error e = { 0 };
	char out[4];
	char *path = make_file("served", (const uint8_t *)"0123456789", 10);
	struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000, .tv_nsec = 5 } };

	CHECK_INT(utimensat(AT_FDCWD, path, times, 0), ==, 0);
	CHECK_INT(shared_file_open(path, NULL, &sf, &e), ==, SHOAL_OK);
	struct file_stamp stamp = *shared_file_stamp(sf);
	CHECK_INT(stamp.mtime_ns, ==, INT64_C(1000000000005));
	CHECK_INT(shared_file_reader(sf, &a, &e), ==, SHOAL_OK);
	CHECK_INT(shared_file_reader(sf, &b, &e), ==, SHOAL_OK);
	CHECK_INT(file_reader_read(&a, 2, out, 3, &e), ==, SHOAL_OK); /* two readers, two positions */
	CHECK(memcmp(out, "234", 3) == 0);
	CHECK_INT(file_reader_read(&b, 0, out, 2, &e), ==, SHOAL_OK);
	CHECK(memcmp(out, "01", 2) == 0);
	CHECK_INT(file_reader_read(&a, 5, out, 4, &e), ==, SHOAL_OK);
	CHECK(memcmp(out, "5678", 4) == 0);
	CHECK_INT(file_reader_read(&a, 8, out, 4, &e), ==, SHOAL_ECONFLICT);
	CHECK_INT(file_reader_read(&a, 9, out, 1, &e), ==, SHOAL_OK);
	CHECK(out[0] == '9');
	CHECK_INT(shared_file_check(sf, &e), ==, SHOAL_OK);

	times[1].tv_nsec = 6; /* one nanosecond is a change */
	CHECK_INT(utimensat(AT_FDCWD, path, times, 0), ==, 0);
	CHECK_INT(shared_file_check(sf, &e), ==, SHOAL_ECONFLICT);
	struct shared_file *again = NULL;
	CHECK_INT(shared_file_open(path, &stamp, &again, &e), ==, SHOAL_ECONFLICT);
	times[1].tv_nsec = 5;
	CHECK_INT(utimensat(AT_FDCWD, path, times, 0), ==, 0);
	CHECK_INT(shared_file_check(sf, &e), ==, SHOAL_OK);
	free(make_file("served", (const uint8_t *)"0123456789", 10)); /* replaced by its like */
	CHECK_INT(utimensat(AT_FDCWD, path, times, 0), ==, 0);
	CHECK_INT(shared_file_check(sf, &e), ==, SHOAL_ECONFLICT);
	CHECK_INT(unlink(path), ==, 0);
	CHECK_INT(shared_file_check(sf, &e), ==, SHOAL_ECONFLICT);
	CHECK_INT(symlink("/etc/passwd", path), ==, 0);
	CHECK_INT(shared_file_check(sf, &e), ==, SHOAL_ECONFLICT);
	CHECK_INT(shared_file_open(path, NULL, &again, &e), ==, SHOAL_EDENIED);
	file_reader_close(&a);
	file_reader_close(&b);
	shared_file_close(sf);
	free(path);
}

static const struct CMUnitTest tests[] = {
	TEST(agrees_with_hashing_one_by_one),
	TEST(a_busy_pool_does_not_stop_it),
	TEST(a_cancel_is_heard),
	TEST(a_file_that_changes_meanwhile_is_refused),
	TEST(only_regular_files),
	TEST(a_served_file_is_watched),
};
CHECK_MAIN(tests)
