/* tests/fuzz/fuzz.c */
#include "tests/fuzz/fuzz.h"

#include <ftw.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/registry/row.h"

static uint64_t dice;
static char folder[64];

/* -- check.h */

void check_that(bool ok, const char *text, const char *file, int line)
{
	if (ok)
		return;
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
	abort();
}

void fuzz_begin(void)
{
	dice = UINT64_C(0x9e3779b97f4a7c15);
}

uint32_t check_random(uint32_t below)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return below != 0 ? (uint32_t)((dice >> 16) % below) : 0;
}

void check_random_bytes(void *out, size_t len)
{
	uint8_t *p = out;
	while (len-- != 0)
		*p++ = (uint8_t)check_random(256);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void remove_folder(void)
{
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_folder(void)
{
	if (folder[0] != '\0')
		return folder;
	const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(folder, sizeof(folder), "%s/shoal-fuzz.XXXXXX", where);
	CHECK(mkdtemp(folder) != NULL);
	atexit(remove_folder);
	return folder;
}

/* -- input */

struct slice fuzz_take(struct cursor *in, size_t most)
{
	size_t n = get_u16(in), left = cursor_left(in);
	n = n % (most + 1);
	return get_bytes(in, n < left ? n : left);
}

uint8_t *fuzz_copy(struct slice s)
{
	uint8_t *copy = malloc(s.len != 0 ? s.len : 1);
	CHECK(copy != NULL);
	if (s.len != 0)
		memcpy(copy, s.data, s.len);
	return copy;
}

char *fuzz_text(struct slice s)
{
	char *text = malloc(s.len + 1);
	CHECK(text != NULL);
	if (s.len != 0)
		memcpy(text, s.data, s.len);
	text[s.len] = '\0';
	return text;
}

void fuzz_check_printable(const struct buf *line)
{
	for (size_t i = 0; i < line->len; i++)
		CHECK(line->data[i] >= 0x20 && line->data[i] != 0x7f);
}

/* -- fields */

enum { RAW = 255, SMALL = 200 };

uint8_t fuzz_u8(const struct fuzz_pool *pool, struct cursor *in)
{
	(void)pool;
	return get_u8(in);
}

uint16_t fuzz_u16(const struct fuzz_pool *pool, struct cursor *in)
{
	(void)pool;
	uint8_t v = get_u8(in);
	return v == RAW ? get_u16(in) : v;
}

uint32_t fuzz_u32(const struct fuzz_pool *pool, struct cursor *in)
{
	(void)pool;
	uint8_t v = get_u8(in);
	return v == RAW ? get_u32(in) : v < SMALL ? v : v == SMALL ? 524288u : UINT32_C(1) << (v - SMALL) % 32;
}

uint64_t fuzz_u64(const struct fuzz_pool *pool, struct cursor *in)
{
	uint8_t v = get_u8(in);
	if (v == RAW)
		return get_u64(in);
	if (v < SMALL)
		return v;
	return v == SMALL ? pool->wall_ms : v == SMALL + 1 ? pool->wall_ms << 16 : UINT64_C(1) << (v - SMALL + 8);
}

struct id16 fuzz_id16(const struct fuzz_pool *pool, struct cursor *in)
{
	uint8_t v = get_u8(in);
	if (v == RAW)
		return get_id16(in);
	return v < pool->n16 ? pool->ids16[v] : (struct id16){ { v } };
}

struct id32 fuzz_id32(const struct fuzz_pool *pool, struct cursor *in)
{
	uint8_t v = get_u8(in);
	if (v == RAW)
		return get_id32(in);
	return v < pool->n32 ? pool->ids32[v] : (struct id32){ { v } };
}

struct slice fuzz_str(const struct fuzz_pool *pool, struct cursor *in)
{
	static const char *const words[] = {
		"",       "ann",           "bob",           "cho",   "ann-pw", "bob-pw", "team",     "band",
		"song",   "plan.pdf",      "0.0.0.0:5000",  "[::]:1", "mine",  "*",      "owner",    "a note",
		"song~aaaaaa", "team~aaaaaa", "ann~aaaaaa", "x",     "\xff",   "\x1b[2J", "10.0.0.1:77", "7.8",
	};
	uint8_t v = get_u8(in);
	if (v == COUNT_OF(words))
		return pool->session;
	return v < COUNT_OF(words) ? slice_str(words[v]) : fuzz_take(in, 1024);
}

struct slice fuzz_blob(const struct fuzz_pool *pool, struct cursor *in)
{
	static const uint8_t zeros[4 * 1024];
	uint8_t v = get_u8(in);
	if (v == 0)
		return slice_of(zeros, 0);
	if (v == 1)
		return pool->token;
	if (v == 16)
		return pool->stamp;
	return v < 16 ? slice_of(zeros, (v - 1u) * 32) : fuzz_take(in, 4096);
}

/* -- rows */

static const struct column {
	uint8_t table, id, join, is_name;
	uint16_t least, most;
} columns[] = {
#define X(TABLE, COLUMN, num, join, least, most) \
	{ TABLE_##TABLE, num, JOIN_##join, sizeof(#COLUMN) == sizeof("NAME") && #COLUMN[0] == 'N', least, most },
	ROW_COLUMNS(X)
#undef X
};

static void put_dot(struct cursor *in, struct buf *b)
{
	buf_put_u64(b, 1 + get_u8(in) % 4);
	buf_put_u64(b, 1 + get_u8(in) % 8);
}

void fuzz_put_key(const struct fuzz_pool *pool, struct cursor *in, unsigned table, struct buf *b)
{
	static const uint8_t ids[TABLE_END] = { [TABLE_USER] = 1,  [TABLE_GROUP] = 1, [TABLE_MEM] = 2,
		                                [TABLE_FILE] = 2,  [TABLE_SHARE] = 3, [TABLE_SESS] = 1,
		                                [TABLE_ROLE] = 2,  [TABLE_NOTICE] = 1 };
	if (table == 0 || table >= TABLE_END) {
		struct slice raw = fuzz_take(in, 300);
		buf_put(b, raw.data, raw.len);
		return;
	}
	for (unsigned i = 0; i < ids[table]; i++) {
		struct id16 id = fuzz_id16(pool, in);
		buf_put(b, id.b, sizeof(id.b));
	}
	if (table == TABLE_CONTENT) {
		struct id32 id = fuzz_id32(pool, in);
		buf_put(b, id.b, sizeof(id.b));
	}
	if (table == TABLE_MEM || table == TABLE_SHARE || table == TABLE_SESS)
		put_dot(in, b);
}

/* least to most bytes: what the input gives, filled up with what is harmless. */
static void put_value(struct cursor *in, const struct column *col, struct buf *b)
{
	size_t len = col->least + (col->most > col->least ? get_u8(in) % (col->most - col->least + 1u) : 0);
	struct slice given = fuzz_take(in, len);
	buf_put_u16(b, (uint16_t)len);
	buf_put(b, given.data, given.len);
	for (size_t i = given.len; i < len; i++)
		buf_put_u8(b, col->is_name ? 'a' : col->least == 1 ? 1 : 0);
}

void fuzz_put_columns(const struct fuzz_pool *pool, struct cursor *in, unsigned table, struct buf *b)
{
	uint8_t which = get_u8(in);
	(void)pool;
	for (size_t i = 0; i < COUNT_OF(columns); i++) {
		const struct column *col = &columns[i];
		if (col->table != table || (which & 1u << col->id % 8) == 0)
			continue;
		buf_put_u8(b, col->id);
		buf_put_u8(b, col->join);
		put_value(in, col, b);
	}
	if ((which & 0x81) == 0)
		return;
	struct slice future = fuzz_take(in, 260); /* a column that nobody here has heard of */
	buf_put_u8(b, (uint8_t)(100 + which % 8));
	buf_put_u8(b, (uint8_t)(get_u8(in) % 5));
	buf_put_str(b, future.data, future.len);
}

void fuzz_put_row(const struct fuzz_pool *pool, struct cursor *in, struct buf *b)
{
	struct buf key = { 0 }, cols = { 0 };
	unsigned table = get_u8(in) % (TABLE_END + 2);
	fuzz_put_key(pool, in, table, &key);
	fuzz_put_columns(pool, in, table, &cols);
	buf_put_u16(b, (uint16_t)table);
	buf_put_str(b, key.data, key.len);
	buf_put_str(b, cols.data, cols.len);
	buf_free(&key);
	buf_free(&cols);
}
