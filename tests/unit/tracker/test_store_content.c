/* tests/unit/tracker/test_store_content.c - piece hashes on disk: what they cost, what was written before, what is damaged. */
#include "tracker/store_sqlite.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "tests/unit/registry/store_conformance.h"

enum { SMALL_FILES = 300, BIG_FILES = 1200 };

static struct conf open_fresh(char **path)
{
	char *folder = str_printf("%s/%08x", check_folder(), check_random(UINT32_MAX));
	CHECK_INT(mkdir(folder, 0700), ==, 0);
	*path = str_printf("%s/tracker.db", folder);
	free(folder);
	struct conf c = { .ops = &store_sqlite_ops, .where = *path };
	conf_open(&c);
	return c;
}

static struct id32 hash_number(uint32_t n)
{
	struct id32 h;
	sha256_of(&n, sizeof(n), &h);
	return h;
}

static enum shoal_err run(struct conf *c, struct content_op *op)
{
	return store_content(c->ops, c->store, op, &c->e);
}

static struct content_op *new_op(enum content_op_kind kind, struct id32 id, uint64_t size)
{
	struct content_op *op = content_op_new(kind);
	CHECK(op != NULL);
	op->id = id;
	op->size = size;
	return op;
}

static void put_hashes(struct conf *c, struct id32 id, uint64_t size, uint32_t first, uint32_t n)
{
	struct content_op *op = new_op(CONTENT_PUT, id, size);
	op->first = first;
	for (uint32_t i = first; i < first + n; i++)
		buf_put(&op->data, hash_number(i).b, 32);
	CHECK_INT(run(c, op), ==, SHOAL_OK);
	content_op_free(op);
}

static void a_small_file_takes_little_room(void)
{
	char *path;
	struct conf c = open_fresh(&path);
	struct stat st;

	for (uint32_t i = 0; i < SMALL_FILES; i++)
		put_hashes(&c, hash_number(1000 + i), 1, 0, 1);
	store_sqlite_idle(c.store);
	CHECK_INT(stat(path, &st), ==, 0);
	CHECK_INT(st.st_size, <, SMALL_FILES * 1024); /* one hash each, not a chunk of 1024 */
	c.ops->close(c.store);
	free(path);
}

/* Hashes are written by themselves, not with changes: they too must not make the WAL grow for ever. */
static void many_hashes_do_not_pile_up(void)
{
	char *path, *wal;
	struct conf c = open_fresh(&path);
	struct stat st;

	for (uint32_t i = 0; i < BIG_FILES; i++)
		put_hashes(&c, hash_number(1000 + i), CONTENT_CHUNK * (uint64_t)CONTENT_PIECE_SIZE, 0, CONTENT_CHUNK);
	wal = str_printf("%s-wal", path);
	CHECK_INT(stat(wal, &st), ==, 0);
	CHECK_INT(st.st_size, <, (uint64_t)BIG_FILES * CONTENT_CHUNK * 32);
	c.ops->close(c.store);
	free(wal);
	free(path);
}

/* Portions in any order, over the border of a chunk and with holes, give what was put. */
static void portions_come_together(void)
{
	static const uint32_t parts[][2] = { { 1020, 10 }, { 5, 1 }, { 0, 5 }, { 1100, 1 }, { 6, 1014 }, { 1030, 70 } };
	const uint64_t size = (uint64_t)1101 * CONTENT_PIECE_SIZE;
	struct id32 id = hash_number(77);
	char *path;
	struct conf c = open_fresh(&path);

	for (size_t i = 0; i < COUNT_OF(parts); i++)
		put_hashes(&c, id, size, parts[i][0], parts[i][1]);
	for (uint32_t first = 0; first < 1101;) {
		struct content_op *op = new_op(CONTENT_GET, id, size);
		op->first = first;
		op->count = 1024;
		CHECK_INT(run(&c, op), ==, SHOAL_OK);
		CHECK_INT(op->have, ==, 1101);
		CHECK(op->data.len != 0);
		for (size_t at = 0; at < op->data.len; at += 32)
			CHECK(memcmp(op->data.data + at, hash_number(first++).b, 32) == 0);
		content_op_free(op);
	}
	c.ops->close(c.store);
	free(path);
}

/* Chunks were once stored at full length, whatever was in them. */
static void full_length_is_still_read(void)
{
	struct id32 id = hash_number(5);
	char *path;
	struct conf c = open_fresh(&path);
	sqlite3 *db;

	put_hashes(&c, id, 1, 0, 1);
	c.ops->close(c.store);
	CHECK_INT(sqlite3_open(path, &db), ==, SQLITE_OK);
	CHECK_INT(sqlite3_exec(db, "UPDATE chunk SET filled = CAST(x'01' || zeroblob(127) AS BLOB),"
	                           " hashes = CAST(hashes || zeroblob(32736) AS BLOB)", NULL, NULL, NULL), ==, SQLITE_OK);
	sqlite3_close(db);
	conf_open(&c);
	struct content_op *op = new_op(CONTENT_GET, id, 1);
	op->count = 1;
	CHECK_INT(run(&c, op), ==, SHOAL_OK);
	CHECK(op->data.len == 32 && memcmp(op->data.data, hash_number(0).b, 32) == 0);
	content_op_free(op);
	c.ops->close(c.store);
	free(path);
}

static void a_chunk_that_does_not_fit_is_damage(void)
{
	static const char *const changes[] = { "UPDATE chunk SET filled = x'03'", "UPDATE chunk SET hashes = x'00'",
		                               "UPDATE chunk SET filled = zeroblob(129)",
		                               "UPDATE chunk SET hashes = zeroblob(32800)" };
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		struct id32 id = hash_number(5);
		char *path;
		struct conf c = open_fresh(&path);
		sqlite3 *db;

		put_hashes(&c, id, 1, 0, 1);
		c.ops->close(c.store);
		CHECK_INT(sqlite3_open(path, &db), ==, SQLITE_OK);
		CHECK_INT(sqlite3_exec(db, changes[i], NULL, NULL, NULL), ==, SQLITE_OK);
		sqlite3_close(db);
		conf_open(&c);
		struct content_op *op = new_op(CONTENT_GET, id, 1);
		op->count = 1;
		CHECK_INT(run(&c, op), ==, SHOAL_EINTEGRITY);
		content_op_free(op);
		c.ops->close(c.store);
		free(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_small_file_takes_little_room), TEST(many_hashes_do_not_pile_up), TEST(portions_come_together),
		TEST(full_length_is_still_read), TEST(a_chunk_that_does_not_fit_is_damage),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
