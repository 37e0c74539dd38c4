/* tests/fuzz/fuzz.h - what the fuzz targets share.
 *
 * CHECK() and check_random() are those of the unit tests, but a failed check aborts, and the dice fall the same way for
 * each input (fuzz_begin()). Targets of more than one decoder read their input as a list of instructions: a cursor that
 * has run out yields zeros, so every input means something. */
#ifndef SHOAL_TESTS_FUZZ_H
#define SHOAL_TESTS_FUZZ_H
#include "core/wire/cursor.h"
#include "core/wire/record.h"
#include "tests/unit/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void fuzz_begin(void);
/* u16 length, then bytes: at most `most`, and at most what is left. */
struct slice fuzz_take(struct cursor *in, size_t most);
/* A copy that ends where its memory ends, so that a read past it is seen. free(). */
uint8_t *fuzz_copy(struct slice s);
char *fuzz_text(struct slice s); /* with a NUL behind it */
/* Nothing in a line for a log may move a terminal's cursor. */
void fuzz_check_printable(const struct buf *line);
/* A folder in memory if there is one, else under /tmp; made once, removed at exit. */
const char *fuzz_folder(void);

/* Ids that the target has met: an instruction names one by its place. */
enum { FUZZ_IDS = 64 };
struct fuzz_pool {
	struct id16 ids16[FUZZ_IDS];
	struct id32 ids32[FUZZ_IDS];
	size_t n16, n32;
	struct slice token, stamp, session; /* the last ones that were given out; borrowed */
	uint64_t wall_ms;
};

/* A field of each kind of core/wire/codec.h: one byte chooses among likely values, 255 takes them raw from the input.
 * Slices point into the input, the pool or constants. */
uint8_t fuzz_u8(const struct fuzz_pool *pool, struct cursor *in);
uint16_t fuzz_u16(const struct fuzz_pool *pool, struct cursor *in);
uint32_t fuzz_u32(const struct fuzz_pool *pool, struct cursor *in);
uint64_t fuzz_u64(const struct fuzz_pool *pool, struct cursor *in);
struct id16 fuzz_id16(const struct fuzz_pool *pool, struct cursor *in);
struct id32 fuzz_id32(const struct fuzz_pool *pool, struct cursor *in);
struct slice fuzz_str(const struct fuzz_pool *pool, struct cursor *in);
struct slice fuzz_blob(const struct fuzz_pool *pool, struct cursor *in);
#define fuzz_secret fuzz_str
#define FUZZ_FIELD(kind, name) m.name = fuzz_##kind(pool, in);

/* static void any_TYPE(pool, in, b): a message of that kind with fields from the input. */
#define FUZZ_DEFINE(type, FIELDS)                                                                                    \
	__attribute__((unused)) static void any_##type(const struct fuzz_pool *pool, struct cursor *in, struct buf *b) \
	{                                                                                                            \
		struct type m;                                                                                       \
		memset(&m, 0, sizeof(m));                                                                            \
		(void)pool;                                                                                          \
		(void)in;                                                                                            \
		FIELDS(FUZZ_FIELD)                                                                                   \
		type##_put(b, &m);                                                                                   \
	}

/* A row of a table (known ones mostly), with columns of fitting lengths. */
void fuzz_put_row(const struct fuzz_pool *pool, struct cursor *in, struct buf *b);
/* Only its columns, for a row of that table. */
void fuzz_put_columns(const struct fuzz_pool *pool, struct cursor *in, unsigned table, struct buf *b);
/* A key of that table. */
void fuzz_put_key(const struct fuzz_pool *pool, struct cursor *in, unsigned table, struct buf *b);
#endif
