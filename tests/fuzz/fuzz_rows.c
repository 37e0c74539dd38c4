/* tests/fuzz/fuzz_rows.c - rows from outside: what is taken merges by the laws, one by one and in a registry. */
#include "core/registry/registry.h"
#include "tests/fuzz/fuzz.h"

enum { ROWS = 12 };

static void read_all(const struct row *row)
{
	union {
		struct user_row user;
		struct group_row group;
		struct mem_row mem;
		struct file_row file;
		struct share_row share;
		struct sess_row sess;
		struct role_row role;
		struct content_row content;
		struct notice_row notice;
	} u;
	switch (row->table) {
	case TABLE_USER: user_row_read(row, &u.user); break;
	case TABLE_GROUP: group_row_read(row, &u.group); break;
	case TABLE_MEM: mem_row_read(row, &u.mem); break;
	case TABLE_FILE: file_row_read(row, &u.file); break;
	case TABLE_SHARE: share_row_read(row, &u.share); break;
	case TABLE_SESS: sess_row_read(row, &u.sess); break;
	case TABLE_ROLE: role_row_read(row, &u.role); break;
	case TABLE_CONTENT: content_row_read(row, &u.content); break;
	case TABLE_NOTICE: notice_row_read(row, &u.notice); break;
	}
	row_closed(row);
	row_hlc(row);
}

static bool same(const struct row *a, const struct row *b)
{
	return slice_eq(row_wire(a), row_wire(b)) && row_hash(a) == row_hash(b);
}

/* What a row is on the wire is a row again. */
static void check_wire(const struct row *row)
{
	struct slice wire = row_wire(row);
	struct cursor c = cursor_of(wire.data, wire.len);
	struct wire_row w;
	struct row *again = NULL;

	wire_row_get(&c, &w);
	CHECK_INT(cursor_end(&c), ==, SHOAL_OK);
	CHECK_INT(row_new(&w, &again), ==, SHOAL_OK);
	CHECK(same(row, again));
	row_unref(again);
}

static void check_laws(struct row *a, struct row *b, struct row *c)
{
	struct row *ab = row_merge(a, b), *ba = row_merge(b, a), *bc = row_merge(b, c);
	struct row *ab_c = row_merge(ab, c), *a_bc = row_merge(a, bc);
	struct row *twice = row_merge(ab, b), *self = row_merge(a, a);

	CHECK(same(ab, ba));
	CHECK(same(ab_c, a_bc));
	CHECK(same(twice, ab));
	CHECK(self == a);
	CHECK(!row_closed(a) || row_closed(ab)); /* what is closed stays closed */
	check_wire(ab_c);
	read_all(ab_c);
	struct row *all[] = { ab, ba, bc, ab_c, a_bc, twice, self };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		row_unref(all[i]);
}

/* Three rows of one key. */
static void fuzz_laws(const struct fuzz_pool *pool, struct cursor *in)
{
	struct buf key = { 0 };
	struct row *rows[3] = { NULL };
	unsigned table = get_u8(in) % (TABLE_END + 2);
	bool all = true;

	fuzz_put_key(pool, in, table, &key);
	for (int i = 0; i < 3; i++) {
		struct buf cols = { 0 };
		fuzz_put_columns(pool, in, table, &cols);
		struct wire_row w = { .table = (uint16_t)table, .key = slice_of(key.data, key.len),
			              .columns = slice_of(cols.data, cols.len) };
		if (row_new(&w, &rows[i]) == SHOAL_OK) {
			check_wire(rows[i]);
			read_all(rows[i]);
		}
		all &= rows[i] != NULL;
		buf_free(&cols);
	}
	if (all)
		check_laws(rows[0], rows[1], rows[2]);
	for (int i = 0; i < 3; i++)
		row_unref(rows[i]);
	buf_free(&key);
}

static struct undo *merge_pending(struct registry *reg, const struct buf *row)
{
	struct undo *undo = NULL;
	return registry_merge(reg, slice_of(row->data, row->len), NULL, &undo) == SHOAL_OK ? undo : NULL;
}

static void merge(struct registry *reg, const struct buf *row)
{
	struct undo *undo = merge_pending(reg, row);
	if (undo != NULL)
		registry_commit_done(reg, undo);
}

static void check_equal(const struct registry *a, const struct registry *b)
{
	for (unsigned t = TABLE_USER; t < TABLE_END; t++) {
		CHECK(digest_eq(registry_digest(a, (enum table)t), registry_digest(b, (enum table)t)));
		CHECK_INT(registry_count(a, (enum table)t), ==, registry_count(b, (enum table)t));
	}
	struct registry_iter it = registry_all(a, TABLE_GROUP);
	const struct group_row *g;
	while ((g = registry_next(&it)) != NULL) {
		struct group_summary sa = registry_group_summary(a, &g->gid), sb = registry_group_summary(b, &g->gid);
		CHECK(sa.members == sb.members && sa.asked == sb.asked);
		CHECK(sa.members == 0 || id16_eq(&sa.first, &sb.first));
	}
}

/* The same rows in both orders, in the second each once in vain before. */
static void fuzz_registry(const struct fuzz_pool *pool, struct cursor *in)
{
	struct registry *a = registry_new(1, 1), *b = registry_new(2, 2);
	struct buf rows[ROWS] = { 0 };
	size_t n = 0;

	while (n < ROWS && cursor_left(in) != 0)
		fuzz_put_row(pool, in, &rows[n++]);
	for (size_t i = 0; i < n; i++)
		merge(a, &rows[i]);
	for (size_t i = n; i > 0; i--) {
		struct undo *undo = merge_pending(b, &rows[i - 1]);
		if (undo != NULL)
			registry_undo(b, undo);
		merge(b, &rows[i - 1]);
	}
	check_equal(a, b);
	for (size_t i = 0; i < n; i++)
		buf_free(&rows[i]);
	registry_free(a);
	registry_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_pool pool = { .wall_ms = UINT64_C(1700000000000) };
	struct cursor in = cursor_of(data, size);
	bool one_key = get_u8(&in) % 2 == 0;

	fuzz_begin();
	if (one_key)
		fuzz_laws(&pool, &in);
	else
		fuzz_registry(&pool, &in);
	return 0;
}
