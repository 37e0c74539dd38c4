/* tests/unit/registry/test_store_mem.c */
#include "core/registry/store_mem.h"

#include "tests/unit/registry/store_conformance_sync.h"

static void it_conforms(void)
{
	struct mem_disk *d = mem_disk_new();
	store_conformance(&store_mem_ops, mem_disk_where(d));
	mem_disk_free(d);
	d = mem_disk_new();
	store_conformance_sync(&store_mem_ops, mem_disk_where(d));
	mem_disk_free(d);
}

static struct conf on(const struct mem_disk *d)
{
	struct conf c = { .ops = &store_mem_ops, .where = mem_disk_where(d) };
	conf_open(&c);
	return c;
}

static enum shoal_err commit_k(struct conf *c, const char *text)
{
	struct store_txn *txn = store_txn_new();
	conf_put(txn, 1, "k", text);
	enum shoal_err rc = c->ops->commit(c->store, &txn, 1, &c->e);
	store_txn_free(txn);
	return rc;
}

static void faults_change_nothing(void)
{
	struct mem_disk *d = mem_disk_new();
	struct conf c = on(d);

	CHECK_INT(commit_k(&c, "old"), ==, SHOAL_OK);
	mem_disk_fail_commits(d, SHOAL_EDISKFULL, 2);
	CHECK_INT(commit_k(&c, "new"), ==, SHOAL_EDISKFULL);
	CHECK_INT(commit_k(&c, "new"), ==, SHOAL_EDISKFULL);
	struct conf_seen seen = conf_load(&c);
	CHECK(conf_has(&seen, 1, "k", "old"));
	conf_seen_fini(&seen);
	CHECK_INT(commit_k(&c, "newer"), ==, SHOAL_OK); /* there is room again */
	mem_disk_fail_commits(d, SHOAL_EIO, 1);
	CHECK_INT(commit_k(&c, "newest"), ==, SHOAL_EIO);
	CHECK_INT(commit_k(&c, "newest"), ==, SHOAL_EIO); /* until it is opened anew */
	conf_reopen(&c);
	seen = conf_load(&c);
	CHECK(conf_has(&seen, 1, "k", "newer"));
	conf_seen_fini(&seen);
	CHECK_INT(commit_k(&c, "newest"), ==, SHOAL_OK);
	c.ops->close(c.store);
	mem_disk_free(d);
}

static void a_damaged_record_is_noticed(void)
{
	struct mem_disk *d = mem_disk_new();
	struct conf c = on(d);
	struct conf_log log = { 0 };
	struct store_txn *txn = store_txn_new();

	conf_record(txn, 1, 1, 50);
	conf_record(txn, 1, 2, 50);
	conf_commit(&c, txn);
	CHECK_INT(mem_disk_records(d), ==, 2);
	CHECK(mem_disk_corrupt_record(d, 1) && !mem_disk_corrupt_record(d, 2));
	CHECK_INT(c.ops->log_read(c.store, 0, SIZE_MAX, conf_on_record, &log, &c.e), ==, SHOAL_EINTEGRITY);
	CHECK_INT(log.n, ==, 1);
	c.ops->close(c.store);
	mem_disk_free(d);
}

static void a_copy_is_a_backup(void)
{
	struct mem_disk *d = mem_disk_new();
	struct conf c = on(d);

	CHECK_INT(commit_k(&c, "then"), ==, SHOAL_OK);
	struct mem_disk *copy = mem_disk_copy(d);
	CHECK_INT(commit_k(&c, "now"), ==, SHOAL_OK);
	struct conf old = on(copy);
	struct conf_seen seen = conf_load(&old);
	CHECK(conf_has(&seen, 1, "k", "then"));
	conf_seen_fini(&seen);
	c.ops->close(c.store);
	old.ops->close(old.store);
	mem_disk_free(d);
	mem_disk_free(copy);
}

static const struct CMUnitTest tests[] = {
	TEST(it_conforms), TEST(faults_change_nothing), TEST(a_damaged_record_is_noticed), TEST(a_copy_is_a_backup),
};
CHECK_MAIN(tests)
