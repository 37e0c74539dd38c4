/* tests/unit/tracker/test_load.c - a database that is damaged, in each way: found, said, set aside, never served. */
#include "tracker/load.h"

#include <fcntl.h>
#include <glob.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "tests/unit/registry/store_conformance.h"
#include "tracker/recover.h"
#include "tracker/store_sqlite.h"

enum { RECORDS = 300, LOG = 7 };

/* A path in a fresh folder. The caller frees it. */
static char *fresh_path(void)
{
	uint32_t n = check_random(UINT32_MAX);
	char *folder = str_printf("%s/%08x", check_folder(), n), *path = str_printf("%s/tracker.db", folder);
	CHECK_INT(mkdir(folder, 0700), ==, 0);
	free(folder);
	return path;
}

static void write_garbage(const char *path, off_t at, size_t len)
{
	uint8_t noise[4096];
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0);
	CHECK(lseek(fd, at, SEEK_SET) == at);
	while (len != 0) {
		size_t n = len < sizeof(noise) ? len : sizeof(noise);
		check_random_bytes(noise, n);
		CHECK(fs_write_all(fd, noise, n));
		len -= n;
	}
	CHECK_INT(close(fd), ==, 0);
}

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *db;
	CHECK_INT(sqlite3_open(path, &db), ==, SQLITE_OK);
	CHECK_INT(sqlite3_exec(db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
	sqlite3_close(db);
}

/* A user, and records enough for some pages. killed: as it is left by kill -9, with all of it in the WAL. */
static void make_database(const char *path, bool killed)
{
	struct conf c = { .ops = &store_sqlite_ops, .where = path };
	char *kept = str_printf("%s.kept", path), *wal = str_printf("%s-wal", path), *kept_wal = str_printf("%s-wal", kept);

	conf_open(&c);
	for (unsigned i = 1; i <= RECORDS; i += 10) {
		struct store_txn *txn = store_txn_new();
		for (unsigned k = i; k < i + 10; k++)
			conf_record(txn, LOG, k, 200);
		conf_commit(&c, txn);
	}
	if (killed)
		CHECK(link(path, kept) == 0 && link(wal, kept_wal) == 0);
	c.ops->close(c.store);
	if (killed)
		CHECK(rename(kept, path) == 0 && rename(kept_wal, wal) == 0);
	free(kept);
	free(wal);
	free(kept_wal);
}

/* -- the ways */
static void header(const char *path)
{
	write_garbage(path, 0, 100);
}

static void page_in_the_middle(const char *path)
{
	struct stat st;
	CHECK_INT(stat(path, &st), ==, 0);
	write_garbage(path, st.st_size / 8192 * 4096, 4096);
}

static void not_a_database(const char *path)
{
	CHECK_INT(unlink(path), ==, 0);
	write_garbage(path, 0, 20000);
}

static void cut_short(const char *path)
{
	CHECK_INT(truncate(path, 4096 * 3), ==, 0);
}

static void empty(const char *path)
{
	CHECK_INT(truncate(path, 0), ==, 0);
}

static void a_folder(const char *path)
{
	CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
}

static void wal_header(const char *path)
{
	char *wal = str_printf("%s-wal", path);
	write_garbage(wal, 0, 32);
	free(wal);
}

static void only_a_wal(const char *path)
{
	CHECK_INT(unlink(path), ==, 0);
}

static void row_check(const char *path)
{
	run_sql(path, "INSERT INTO row VALUES (1, x'00', x'', 12345)");
}

static void record_check(const char *path)
{
	run_sql(path, "UPDATE log SET record = x'01' || substr(record, 2) || x'00' WHERE position = 20");
}

static void record_missing(const char *path)
{
	run_sql(path, "DELETE FROM log WHERE position = 20");
}

static void last_record_missing(const char *path)
{
	run_sql(path, "DELETE FROM log WHERE position = (SELECT max(position) FROM log)");
}

static void no_clock(const char *path)
{
	run_sql(path, "DELETE FROM meta WHERE name = 'hlc'");
}

static const struct way {
	const char *name, *says;
	void (*damage)(const char *path);
	bool killed;
} ways[] = {
	{ "header", "tracker.db'", header },
	{ "page", "is damaged", page_in_the_middle },
	{ "noise", "not a database", not_a_database },
	{ "short", "tracker.db'", cut_short },
	{ "empty", "is empty", empty },
	{ "empty, with a WAL", "is empty", empty, true },
	{ "folder", "is a folder", a_folder },
	{ "WAL", "-wal' is damaged", wal_header, true },
	{ "missing", "is missing", only_a_wal, true },
	{ "row", "does not fit its check", row_check },
	{ "record", "is damaged: record", record_check },
	{ "gap", "record 20 of log 7 is missing", record_missing },
	{ "end", "the end of log 7 is missing", last_record_missing },
	{ "clock", "does not know the time", no_clock },
};

/* Files that were set aside, WALs not counted. */
static size_t set_aside(const char *path)
{
	char *pattern = str_printf("%s.damaged-*", path);
	glob_t found;
	size_t n = 0;
	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			n += strstr(found.gl_pathv[i], "-wal") == NULL;
		globfree(&found);
	}
	free(pattern);
	return n;
}

static void each_way_is_found_and_set_aside(void)
{
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		char *path = fresh_path();
		struct loaded l;
		struct error e = { 0 };
		print_message("%s\n", ways[i].name);
		make_database(path, ways[i].killed);
		ways[i].damage(path);
		CHECK_INT(load_store(path, 1, 5, 1000, true, NULL, &l, &e), ==, SHOAL_OK);
		CHECK(l.set_aside);
		CHECK_INT(registry_vector(l.registry)->n, ==, 0);
		loaded_free(&l);
		CHECK_INT(set_aside(path), ==, ways[i].damage != only_a_wal);
		free(path);
	}
}

/* Stopped before all had been fetched again: it still has not what it once had. */
static void it_stays_so_until_it_is_rebuilt(void)
{
	char *path = fresh_path();
	struct loaded l;
	struct error e;

	make_database(path, false);
	page_in_the_middle(path);
	for (int start = 0; start < 3; start++) {
		CHECK_INT(load_store(path, 1, 5, 1000, true, NULL, &l, &e), ==, SHOAL_OK);
		CHECK(l.set_aside);
		loaded_free(&l);
	}
	CHECK_INT(set_aside(path), ==, 1);
	CHECK_INT(recover_done(path, &e), ==, SHOAL_OK);
	CHECK_INT(load_store(path, 1, 5, 1000, true, NULL, &l, &e), ==, SHOAL_OK);
	CHECK(!l.set_aside);
	loaded_free(&l);
	free(path);
}

static void what_was_set_aside_is_not_written_over(void)
{
	char *path = fresh_path();
	struct loaded l;
	struct error e;

	for (int i = 0; i < 3; i++) { /* within a second, mostly */
		make_database(path, false);
		page_in_the_middle(path);
		CHECK_INT(load_store(path, 1, 5, 1000, true, NULL, &l, &e), ==, SHOAL_OK);
		loaded_free(&l);
		CHECK_INT(unlink(path), ==, 0);
		CHECK_INT(set_aside(path), ==, i + 1);
	}
	free(path);
}

/* Nobody could give back what is in it: that is for a human to decide. */
static void the_only_copy_is_left_alone(void)
{
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		char *path = fresh_path();
		struct buf before = { 0 }, after = { 0 };
		struct loaded l;
		struct error e = { 0 };

		make_database(path, ways[i].killed);
		ways[i].damage(path);
		(void)fs_read_file(path, 1 << 20, &before, NULL);
		CHECK_INT(load_store(path, 1, 5, 1000, false, NULL, &l, &e), ==, SHOAL_EINTEGRITY);
		print_message("%s: %s\n", ways[i].name, e.message);
		CHECK(strstr(e.message, ways[i].says) != NULL);
		CHECK(strstr(e.message, "no other tracker has a copy") != NULL && strchr(e.message, '\n') == NULL);
		(void)fs_read_file(path, 1 << 20, &after, NULL);
		CHECK_INT(before.len, ==, after.len);
		CHECK(before.len == 0 || memcmp(before.data, after.data, before.len) == 0);
		CHECK_INT(set_aside(path), ==, 0);
		buf_free(&before);
		buf_free(&after);
		free(path);
	}
}

static void a_first_start_is_no_damage(void)
{
	char *path = fresh_path(), *attempt = str_printf("%s.new", path), *wal = str_printf("%s.new-wal", path);
	struct loaded l;
	struct error e;

	write_garbage(attempt, 0, 5000); /* an earlier one broke off */
	write_garbage(wal, 0, 5000);
	CHECK_INT(load_store(path, 1, 5, 1000, false, NULL, &l, &e), ==, SHOAL_OK);
	CHECK(!l.set_aside);
	loaded_free(&l);
	CHECK(access(attempt, F_OK) != 0 && access(wal, F_OK) != 0);
	make_database(path, true); /* and neither is kill -9 */
	CHECK_INT(load_store(path, 1, 5, 1000, false, NULL, &l, &e), ==, SHOAL_OK);
	CHECK_INT(vvec_get(registry_vector(l.registry), LOG), ==, RECORDS);
	loaded_free(&l);
	free(path);
	free(attempt);
	free(wal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_way_is_found_and_set_aside),        TEST(it_stays_so_until_it_is_rebuilt),
		TEST(what_was_set_aside_is_not_written_over), TEST(the_only_copy_is_left_alone),
		TEST(a_first_start_is_no_damage),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
