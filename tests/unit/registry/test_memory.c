/* tests/unit/registry/test_memory.c - what rows cost in memory, and how fast they are loaded.
 *
 * 20,000 rows of each table by default; REGISTRY_ROWS=1000000 for the figures of docs/performance.md. Of the time only
 * a report is made, of the bytes a limit is checked: a tracker with a million users, files, shares and contents and a tenth
 * as many groups and members is to fit into 1.5 GiB. */
#include <malloc.h>
#include <time.h>

#include "tests/unit/registry/lab.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* their allocators keep no such books */
#else
#define SANITIZED 0
#endif

static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* -- rows as the managers write them: the i-th of everything hangs on the i-th of the others */

static struct id16 id_number(unsigned kind, size_t i)
{
	struct sha256 h;
	struct id32 hash;
	struct id16 id;

	sha256_init(&h);
	tuple_add_u32(&h, kind);
	tuple_add_u64(&h, i);
	sha256_final(&h, &hash);
	memcpy(id.b, hash.b, sizeof(id.b));
	return id;
}

static struct stamp stamp_number(size_t i)
{
	return (struct stamp){ .hlc = 1000000 + i, .tracker = 1, .dot = { 0x77, i + 1 } };
}

struct maker {
	struct buf b;
	size_t groups; /* files and members go round over as many */
};

static void make_user(struct maker *mk, size_t i)
{
	static const char record[] = "$scrypt$ln=15,r=8,p=3$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	struct id16 uid = id_number(TABLE_USER, i);
	struct stamp at = stamp_number(i);
	struct row_build rb;
	struct buf password = { 0 };
	char name[32];

	stamp_put(&password, &at);
	buf_put(&password, record, strlen(record));
	row_begin(&rb, &mk->b, TABLE_USER, uid.b, sizeof(uid.b));
	row_put(&rb, USER_NAME, name, (size_t)snprintf(name, sizeof(name), "user%zu", i));
	row_put_stamp(&rb, USER_CLAIM, &at);
	row_put(&rb, USER_PASSWORD, password.data, password.len);
	row_end(&rb);
	buf_free(&password);
}

static void make_group(struct maker *mk, size_t i)
{
	struct id16 gid = id_number(TABLE_GROUP, i), uid = id_number(TABLE_USER, i);
	struct stamp at = stamp_number(i);
	struct row_build rb;
	char name[32];

	row_begin(&rb, &mk->b, TABLE_GROUP, gid.b, sizeof(gid.b));
	row_put(&rb, GROUP_NAME, name, (size_t)snprintf(name, sizeof(name), "group%zu", i));
	row_put(&rb, GROUP_CREATOR, uid.b, sizeof(uid.b));
	row_put_stamp(&rb, GROUP_CLAIM, &at);
	row_end(&rb);
}

static void make_mem(struct maker *mk, size_t i)
{
	struct stamp at = stamp_number(i);
	struct mem_key key = { id_number(TABLE_GROUP, i % mk->groups), id_number(TABLE_USER, i), at.dot };
	uint8_t packed[MEM_KEY_SIZE];
	struct row_build rb;

	mem_key_pack(&key, packed);
	row_begin(&rb, &mk->b, TABLE_MEM, packed, sizeof(packed));
	row_put_u8(&rb, MEM_PHASE, MEM_MEMBER);
	row_put_stamp_id(&rb, MEM_ACCEPT, &at, &key.uid);
	row_put_stamp(&rb, MEM_SINCE, &at);
	row_end(&rb);
}

static struct id32 content_number(size_t i)
{
	struct id16 half = id_number(TABLE_CONTENT, i);
	struct id32 id;

	memcpy(id.b, half.b, 16);
	memcpy(id.b + 16, half.b, 16);
	return id;
}

static void make_file(struct maker *mk, size_t i)
{
	struct id16 gid = id_number(TABLE_GROUP, i % mk->groups), fid = id_number(TABLE_FILE, i), uid = id_number(TABLE_USER, i);
	struct id32 content = content_number(i);
	struct stamp at = stamp_number(i);
	struct row_build rb;
	uint8_t key[32];
	char name[32];

	memcpy(key, gid.b, 16);
	memcpy(key + 16, fid.b, 16);
	row_begin(&rb, &mk->b, TABLE_FILE, key, sizeof(key));
	row_put(&rb, FILE_NAME, name, (size_t)snprintf(name, sizeof(name), "file%zu.bin", i));
	row_put(&rb, FILE_CONTENT, content.b, sizeof(content.b));
	row_put_u64(&rb, FILE_SIZE, 1000000);
	row_put(&rb, FILE_HASH, content.b, sizeof(content.b));
	row_put_stamp_id(&rb, FILE_CLAIM, &at, &uid);
	row_end(&rb);
}

static void make_share(struct maker *mk, size_t i)
{
	struct stamp at = stamp_number(i);
	struct share_key key = { id_number(TABLE_GROUP, i % mk->groups), id_number(TABLE_FILE, i),
		                 id_number(TABLE_USER, i % mk->groups), at.dot };
	struct id32 device = content_number(i % mk->groups);
	uint8_t packed[SHARE_KEY_SIZE];
	struct row_build rb;

	share_key_pack(&key, packed);
	row_begin(&rb, &mk->b, TABLE_SHARE, packed, sizeof(packed));
	row_put_u8(&rb, SHARE_PHASE, PHASE_OPEN);
	row_put(&rb, SHARE_DEVICE, device.b, sizeof(device.b));
	row_put_stamp(&rb, SHARE_SINCE, &at);
	row_end(&rb);
}

static void make_sess(struct maker *mk, size_t i)
{
	struct stamp at = stamp_number(i);
	struct sess_key key = { id_number(TABLE_USER, i), at.dot };
	struct id32 device = content_number(i);
	uint8_t packed[SESS_KEY_SIZE];
	struct row_build rb;

	sess_key_pack(&key, packed);
	row_begin(&rb, &mk->b, TABLE_SESS, packed, sizeof(packed));
	row_put_u8(&rb, SESS_PHASE, PHASE_OPEN);
	row_put(&rb, SESS_DEVICE, device.b, sizeof(device.b));
	row_put_stamp(&rb, SESS_PASSWORD_AT, &at);
	row_put_stamp(&rb, SESS_SINCE, &at);
	row_end(&rb);
}

static void make_content(struct maker *mk, size_t i)
{
	static const uint8_t piece_size[4] = { 0, 8, 0, 0 };
	struct id32 id = content_number(i);
	struct row_build rb;

	row_begin(&rb, &mk->b, TABLE_CONTENT, id.b, sizeof(id.b));
	row_put_u64(&rb, CONTENT_SIZE, 1000000);
	row_put(&rb, CONTENT_PIECE_LEN, piece_size, sizeof(piece_size));
	row_end(&rb);
}

/* -- loading and measuring */

static void load_one(struct registry *reg, struct maker *mk)
{
	struct cursor c = cursor_of(mk->b.data, mk->b.len);
	struct wire_row wire;

	wire_row_get(&c, &wire);
	CHECK(!c.bad && !mk->b.failed);
	CHECK_INT(registry_load(reg, &wire), ==, SHOAL_OK);
	buf_consume(&mk->b, mk->b.len);
}

/* Bytes a row, its part of tables and indexes included. */
static size_t load_many(struct registry *reg, struct maker *mk, const char *what,
                        void (*make)(struct maker *mk, size_t i), size_t n, double *seconds)
{
	size_t before = heap_bytes();
	double start = now();

	for (size_t i = 0; i < n; i++) {
		make(mk, i);
		load_one(reg, mk);
	}
	double took = now() - start;
	size_t each = (heap_bytes() - before) / n;
	*seconds += took;
	printf("# %-8s %8zu rows %6zu bytes each %8.0f rows/s\n", what, n, each, (double)n / took);
	return each;
}

static size_t rows_wanted(void)
{
	const char *text = getenv("REGISTRY_ROWS");
	unsigned long n = text != NULL ? strtoul(text, NULL, 10) : 20000;
	return n >= 1000 && n <= 4000000 ? n : 20000;
}

static void a_million_of_everything_fits(void)
{
	struct registry *reg = registry_new(1, 0x1001);
	size_t n = rows_wanted(), user, group, mem, file, share, sess, content;
	struct maker mk = { .groups = n / 10 };
	double seconds = 0, other = 0;

	user = load_many(reg, &mk, "user", make_user, n, &seconds);
	group = load_many(reg, &mk, "group", make_group, n / 10, &seconds);
	mem = load_many(reg, &mk, "member", make_mem, n / 10, &seconds);
	file = load_many(reg, &mk, "file", make_file, n, &seconds);
	content = load_many(reg, &mk, "content", make_content, n, &seconds);
	share = load_many(reg, &mk, "share", make_share, n, &seconds);
	sess = load_many(reg, &mk, "session", make_sess, n / 10, &other);
	size_t million = user + file + content + share + (group + mem) / 10;
	printf("# for a million: %zu MiB, %.1f s without reading them\n", million * 1000000 >> 20,
	       seconds * 1e6 / (double)n);
	CHECK_INT(registry_count(reg, TABLE_SHARE), ==, n);
	if (!SANITIZED) {
		CHECK_INT(million, <, 1400); /* what is left of 1.5 GiB: the store's cache, the window of the log */
		CHECK_INT(sess, <, 700);
	}
	buf_free(&mk.b);
	registry_free(reg);
}

static const struct CMUnitTest tests[] = {
	TEST(a_million_of_everything_fits),
};
CHECK_MAIN(tests)
