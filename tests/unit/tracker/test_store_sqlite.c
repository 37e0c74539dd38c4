/* tests/unit/tracker/test_store_sqlite.c - the store on disk: conformance, a full disk, kill -9. Damage: test_load.c; power cuts: tests/sim. */
#include "tracker/store_sqlite.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "tests/unit/registry/store_conformance_sync.h"
#include "tracker/store_thread.h"

/* A path in a fresh folder. The caller frees it. */
static char *fresh_path(void)
{
	uint32_t n = check_random(UINT32_MAX);
	char *folder = str_printf("%s/%08x", check_folder(), n), *path = str_printf("%s/tracker.db", folder);
	CHECK_INT(mkdir(folder, 0700), ==, 0);
	free(folder);
	return path;
}

static struct conf open_at(const char *path)
{
	struct conf c = { .ops = &store_sqlite_ops, .where = path };
	conf_open(&c);
	return c;
}

static void put_one(struct conf *c, const char *key, const char *text)
{
	struct store_txn *txn = store_txn_new();
	conf_put(txn, 1, key, text);
	conf_commit(c, txn);
}

static void it_conforms(void)
{
	char *path = fresh_path();
	store_conformance(&store_sqlite_ops, path);
	free(path);
	path = fresh_path();
	store_conformance_sync(&store_sqlite_ops, path);
	free(path);
}

static void a_second_opener_is_refused(void)
{
	char *path = fresh_path();
	struct conf c = open_at(path);
	struct store *other = NULL;
	struct error e = { 0 };
	put_one(&c, "k", "v");
	CHECK_INT(store_sqlite_ops.open(path, &other, &e), ==, SHOAL_EBUSY);
	CHECK(other == NULL && strstr(e.message, path) != NULL);
	c.ops->close(c.store);
	free(path);
}

static void a_backup_can_be_opened(void)
{
	char *path = fresh_path(), *copy = fresh_path();
	struct conf c = open_at(path);
	put_one(&c, "k", "v");
	CHECK_INT(c.ops->backup(c.store, copy, &c.e), ==, SHOAL_OK);
	CHECK_INT(c.ops->backup(c.store, copy, &c.e), ==, SHOAL_EEXISTS);
	c.ops->close(c.store);
	c = open_at(copy);
	struct conf_seen seen = conf_load(&c);
	CHECK(conf_has(&seen, 1, "k", "v"));
	conf_seen_fini(&seen);
	c.ops->close(c.store);
	free(path);
	free(copy);
}

/* SQLite sees nothing wrong with it: the row's own check does. */
static void a_changed_row_is_noticed(void)
{
	char *path = fresh_path();
	struct conf c = open_at(path);
	sqlite3 *db;
	put_one(&c, "k", "v");
	c.ops->close(c.store);
	CHECK_INT(sqlite3_open(path, &db), ==, SQLITE_OK);
	CHECK_INT(sqlite3_exec(db, "UPDATE row SET columns = x'0903000177'", NULL, NULL, NULL), ==, SQLITE_OK);
	sqlite3_close(db);
	c = open_at(path);
	struct conf_seen seen = { 0 };
	CHECK_INT(conf_load_into(&c, &seen), ==, SHOAL_EINTEGRITY);
	conf_seen_fini(&seen);
	c.ops->close(c.store);
	free(path);
}

/* -- a disk that takes no more: the process may not write files beyond a size */
static void limit_files(rlim_t bytes)
{
	struct rlimit limit;
	CHECK_INT(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
	limit.rlim_cur = bytes;
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}

static void what_cannot_be_written_is_not_there(void)
{
	char *path = fresh_path(), *big = xalloc(60001), key[16];
	struct conf c = open_at(path);
	void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
	bool refused = false;
	int done = 0;

	memset(big, 'x', 60000);
	limit_files(1 << 20);
	while (!refused) {
		struct store_txn *txn = store_txn_new();
		snprintf(key, sizeof(key), "%d", done);
		conf_put(txn, 1, key, big);
		conf_record(txn, 7, (uint64_t)done + 1, 100);
		enum shoal_err rc = c.ops->commit(c.store, &txn, 1, &c.e);
		store_txn_free(txn);
		CHECK(rc == SHOAL_OK || rc == SHOAL_EIO || rc == SHOAL_EDISKFULL);
		refused = rc != SHOAL_OK;
		done += !refused;
		CHECK(done < 1000);
	}
	limit_files(RLIM_INFINITY);
	signal(SIGXFSZ, old);
	put_one(&c, "after", "v"); /* it goes on where it was */
	conf_reopen(&c);
	struct conf_seen seen = conf_load(&c);
	CHECK_INT(seen.n, ==, done + 1);
	CHECK(conf_has(&seen, 1, "after", "v"));
	CHECK_INT(vvec_get(&seen.vector, 7), ==, done);
	conf_seen_fini(&seen);
	c.ops->close(c.store);
	free(big);
	free(path);
}

/* -- piece hashes of something large */
static void a_hundred_gibibytes(void)
{
	enum { PIECES = 200000 };
	char *path = fresh_path();
	struct conf c = open_at(path);
	uint8_t *hashes = xalloc((size_t)PIECES * 32);
	uint64_t size = (uint64_t)PIECES * CONTENT_PIECE_SIZE - 1, have = 0;

	for (uint32_t i = 0; i < PIECES; i++)
		memcpy(hashes + (size_t)i * 32, &i, sizeof(i));
	struct id32 id = conf_id(size, hashes);
	for (uint32_t first = 0; first < PIECES; first += 1024) {
		uint32_t n = PIECES - first < 1024 ? PIECES - first : 1024;
		CHECK_INT(conf_put_hashes(&c, &id, size, first, hashes, n, &have), ==, SHOAL_OK);
		CHECK_INT(have, ==, first + n);
	}
	CHECK_INT(conf_check(&c, &id, size, &have), ==, SHOAL_OK);
	CHECK_INT(conf_get_hashes(&c, &id, 199 * 1000, 1024, hashes), ==, 1000);
	c.ops->close(c.store);
	free(hashes);
	free(path);
}

/* -- kill -9 under load: a child commits through the store thread and writes a byte for each acknowledged row */
struct load_child {
	int fd;
};

static void tell_parent(void *owner, uint64_t cookie, enum shoal_err result)
{
	struct load_child *l = owner;
	if (result == SHOAL_OK && !fs_write_all(l->fd, &cookie, sizeof(cookie)))
		_exit(1);
}

static void no_content(void *owner, uint64_t cookie, enum shoal_err result, struct content_op *op)
{
	(void)owner;
	(void)cookie;
	(void)result;
	content_op_free(op);
}

static void lost(void *owner, const char *why)
{
	(void)owner;
	(void)why;
	_exit(2);
}

static void run_child(const char *path, uint64_t first, int fd)
{
	struct load_child l = { .fd = fd };
	struct store_thread_config config = { .ops = &store_sqlite_ops, .committed = tell_parent, .content = no_content,
		                              .lost = lost, .owner = &l };
	struct error e;
	char key[32];

	if (store_sqlite_ops.open(path, &config.store, &e) != SHOAL_OK)
		_exit(3);
	struct store_thread *st = store_thread_new(&config);
	for (uint64_t i = first;; i++) {
		struct store_txn *txn = store_txn_new();
		snprintf(key, sizeof(key), "%llu", (unsigned long long)i);
		conf_put(txn, 1, key, key);
		conf_record(txn, 7, i + 1, 64);
		store_thread_commit(st, txn, i);
		if (i - first > 20000)
			pause();
	}
}

/* The number behind the last row that the child was told is durable. */
static uint64_t kill_under_load(const char *path, uint64_t first)
{
	int fds[2], status;
	uint64_t cookie, next = first;
	CHECK_INT(pipe(fds), ==, 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		run_child(path, first, fds[1]);
	}
	close(fds[1]);
	uint64_t enough = first + 300 + check_random(1500);
	while (read(fds[0], &cookie, sizeof(cookie)) == (ssize_t)sizeof(cookie)) {
		CHECK_INT(cookie, ==, next);
		next++;
		if (next == enough)
			CHECK_INT(kill(pid, SIGKILL), ==, 0);
	}
	close(fds[0]);
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return next;
}

static enum shoal_err mark_row(void *ctx, const struct wire_row *row)
{
	char key[32];
	struct buf *there = ctx;
	CHECK(slice_to_str(row->key, key, sizeof(key)));
	size_t i = (size_t)strtoull(key, NULL, 10);
	while (there->len <= i)
		buf_put_u8(there, 0);
	there->data[i] = 1;
	return SHOAL_OK;
}

static enum shoal_err skip_dot(void *ctx, uint64_t log, uint64_t seq)
{
	(void)ctx;
	(void)log;
	(void)seq;
	return SHOAL_OK;
}

static enum shoal_err skip_hlc(void *ctx, uint64_t hlc)
{
	(void)ctx;
	(void)hlc;
	return SHOAL_OK;
}

static void kill_9_loses_nothing_acknowledged(void)
{
	char *path = fresh_path();
	uint64_t next = 0;

	for (int round = 0; round < 5; round++) {
		struct buf there = { 0 };
		struct store_sink sink = {
			.ctx = &there, .row = mark_row, .vector = skip_dot, .floor = skip_dot, .hlc = skip_hlc
		};
		uint64_t acknowledged = kill_under_load(path, next);
		struct conf c = open_at(path);
		CHECK_INT(c.ops->load(c.store, &sink, &c.e), ==, SHOAL_OK);
		for (uint64_t i = 0; i < acknowledged; i++)
			CHECK(i < there.len && there.data[i] == 1);
		next = there.len; /* some that were not acknowledged may be there too */
		c.ops->close(c.store);
		buf_free(&there);
	}
	CHECK(next > 1000);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_conforms), TEST(a_second_opener_is_refused), TEST(a_backup_can_be_opened),
		TEST(a_changed_row_is_noticed),
		TEST(what_cannot_be_written_is_not_there), TEST(a_hundred_gibibytes), TEST(kill_9_loses_nothing_acknowledged),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
