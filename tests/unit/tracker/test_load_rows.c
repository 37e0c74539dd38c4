/* tests/unit/tracker/test_load_rows.c - loading on two threads: all rows come, and whatever stops it stops both. */
#include "tracker/load_rows.h"

#include "core/base/mem.h"
#include "core/registry/store_mem.h"
#include "tests/unit/check.h"

enum { ROWS = 20000 }; /* more than the two threads have between them */

struct setup {
	struct mem_disk *disk;
	struct store *store;
	struct registry *reg;
	uint64_t hlc;
	struct error e;
};

static void put_user(struct store_txn *txn, uint32_t n)
{
	struct buf b = { 0 };
	struct row_build rb;
	struct wire_row row;
	struct id16 uid = { 0 };
	char name[16];

	memcpy(uid.b, &n, sizeof(n));
	snprintf(name, sizeof(name), "user-%u", n);
	row_begin(&rb, &b, TABLE_USER, &uid, sizeof(uid));
	row_put(&rb, USER_NAME, name, strlen(name));
	row_end(&rb);
	struct cursor c = cursor_of(b.data, b.len);
	wire_row_get(&c, &row);
	store_txn_put(txn, &row);
	buf_free(&b);
}

static struct setup new_setup(bool broken)
{
	struct setup s = { .disk = mem_disk_new(), .reg = registry_new(1, 1) };
	struct store_txn *txn = store_txn_new();

	CHECK_INT(store_mem_ops.open(mem_disk_where(s.disk), &s.store, &s.e), ==, SHOAL_OK);
	for (uint32_t i = 0; i < ROWS; i++)
		put_user(txn, i);
	if (broken)
		store_txn_put(txn, &(struct wire_row){ .table = TABLE_USER, .key = slice_str("short") });
	txn->hlc = 77;
	CHECK_INT(store_mem_ops.commit(s.store, &txn, 1, &s.e), ==, SHOAL_OK);
	store_txn_free(txn);
	return s;
}

static enum shoal_err on_dot(void *ctx, uint64_t log, uint64_t seq)
{
	(void)ctx, (void)log, (void)seq;
	return SHOAL_OK;
}

static enum shoal_err on_hlc(void *ctx, uint64_t hlc)
{
	((struct setup *)ctx)->hlc = hlc;
	return SHOAL_OK;
}

static enum shoal_err on_content(void *ctx, const struct id32 *id)
{
	(void)ctx, (void)id;
	return SHOAL_OK;
}

static enum shoal_err load(struct setup *s)
{
	struct store_sink rest = { .ctx = s, .vector = on_dot, .floor = on_dot, .hlc = on_hlc, .content = on_content };
	return load_rows(&store_mem_ops, s->store, &rest, s->reg, &s->e);
}

static void end_setup(struct setup *s)
{
	registry_free(s->reg);
	store_mem_ops.close(s->store);
	mem_disk_free(s->disk);
}

static void all_rows_come(void)
{
	struct setup s = new_setup(false);

	CHECK_INT(load(&s), ==, SHOAL_OK);
	CHECK_INT(registry_count(s.reg, TABLE_USER), ==, ROWS);
	CHECK_INT(s.hlc, ==, 77);
	end_setup(&s);
}

static void what_is_no_row_is_damage(void)
{
	struct setup s = new_setup(true);

	CHECK_INT(load(&s), ==, SHOAL_EINTEGRITY);
	end_setup(&s);
}

/* The one that takes in runs out of memory, sooner or later: the other stops, and what is between them is freed. */
static void without_memory_both_stop(void)
{
	for (unsigned n = 1; n < 2 * ROWS; n = 3 * n + 1) {
		struct setup s = new_setup(false);

		mem_fail_after(n);
		CHECK_INT(load(&s), ==, SHOAL_EBUSY);
		mem_fail_after(0);
		CHECK(registry_count(s.reg, TABLE_USER) < ROWS);
		end_setup(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(all_rows_come), TEST(what_is_no_row_is_damage), TEST(without_memory_both_stop) };
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
