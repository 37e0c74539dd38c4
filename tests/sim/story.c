/* tests/sim/story.c */
#include "tests/sim/story.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/crash_disk.h"
#include "tracker/store_sqlite.h"

enum { TABLE = 1, PIECES = 1100, HASHES = 32 * PIECES };
#define CONTENT_SIZE ((uint64_t)PIECES * CONTENT_PIECE_SIZE)

/* As they are in life: any 64 bits. */
static const uint64_t logs[STORY_LOGS] = { 7, UINT64_MAX - 3 };

/* -- what stands in a row, in a record, in a content: all of it follows from a number */
static size_t key_of(unsigned i, uint8_t out[8])
{
	return (size_t)snprintf((char *)out, 8, "k%u", i);
}

/* Short and long ones, so that pages fill and overflow. */
static void columns_of(unsigned key, uint64_t version, struct buf *out)
{
	uint64_t dice = version * 64 + key;
	uint32_t len = 8 + crash_random(&dice, version % 7 == 0 ? 9000 : 300);
	struct buf value = { 0 };
	buf_put_u64(&value, version);
	while (value.len < len)
		buf_put_u8(&value, (uint8_t)crash_random(&dice, 256));
	struct wire_column column = { 9, JOIN_MAX, slice_of(value.data, value.len) };
	buf_reset(out);
	wire_column_put(out, &column);
	buf_free(&value);
}

static void record_of(unsigned log, uint64_t seq, struct buf *out)
{
	uint64_t dice = seq * 2 + log;
	struct buf rows = { 0 };
	struct wire_row row = { 99, slice_str("k"), slice_of(NULL, 0) };
	for (uint32_t n = crash_random(&dice, 40); n != 0; n--)
		wire_row_put(&rows, &row);
	struct record r = { .version = RECORD_VERSION, .op = OP_LOGIN,
		            .stamp = { .hlc = seq, .tracker = 1, .dot = { logs[log], seq } },
		            .rows = slice_of(rows.data, rows.len) };
	buf_reset(out);
	if (record_put(out, &r) != SHOAL_OK)
		abort();
	buf_free(&rows);
}

struct content {
	uint8_t hashes[HASHES];
	struct id32 id, file_hash;
};

static void make_content(unsigned i, struct content *c)
{
	struct content_hash ch;
	uint64_t dice = i;
	for (size_t k = 0; k < HASHES; k++)
		c->hashes[k] = (uint8_t)crash_random(&dice, 256);
	memset(c->file_hash.b, (int)i, sizeof(c->file_hash.b));
	content_hash_begin(&ch, CONTENT_SIZE, &c->file_hash);
	content_hash_add(&ch, c->hashes, HASHES);
	content_hash_end(&ch, &c->id);
}

/* Always the same: made at first use. */
static const struct content *content_of(unsigned i)
{
	static struct content all[STORY_CONTENTS];
	static bool made;
	for (unsigned k = 0; !made && k < STORY_CONTENTS; k++)
		make_content(k, &all[k]);
	made = true;
	return &all[i];
}

/* -- telling it */
static uint32_t any(struct story *s, uint32_t below)
{
	return crash_random(&s->dice, below);
}

static void add_row(struct story *s, struct store_txn *txn, struct facts *f)
{
	struct buf b = { 0 };
	uint8_t key[8];
	unsigned i = any(s, STORY_KEYS);
	struct slice k = slice_of(key, key_of(i, key));

	if (any(s, 5) == 0) {
		f->version[i] = 0;
		store_txn_del(txn, TABLE, k);
		return;
	}
	f->version[i] = ++s->versions;
	columns_of(i, f->version[i], &b);
	struct wire_row row = { TABLE, k, slice_of(b.data, b.len) };
	store_txn_put(txn, &row);
	buf_free(&b);
}

static void add_record(struct story *s, struct store_txn *txn, struct facts *f)
{
	struct buf b = { 0 };
	unsigned log = any(s, STORY_LOGS);
	uint64_t seq = ++f->vector[log];
	record_of(log, seq, &b);
	store_txn_record(txn, slice_of(b.data, b.len));
	if (vvec_raise(&txn->vector, logs[log], seq) != SHOAL_OK)
		abort();
	buf_free(&b);
}

static enum shoal_err commit(struct story *s, struct store *st, unsigned n, struct facts *f, struct error *e)
{
	struct store_txn **txns = xalloc(n * sizeof(*txns));
	for (unsigned i = 0; i < n; i++) {
		txns[i] = store_txn_new();
		for (uint32_t rows = any(s, 4); rows != 0; rows--)
			add_row(s, txns[i], f);
		add_record(s, txns[i], f);
		txns[i]->hlc = f->hlc += 1 + any(s, 100);
	}
	mem_fail_after(s->fail_try);
	enum shoal_err rc = store_sqlite_ops.commit(st, txns, n, e);
	mem_fail_after(0);
	for (unsigned i = 0; i < n; i++)
		store_txn_free(txns[i]);
	free(txns);
	return rc;
}

enum shoal_err story_probe(struct story *s, struct store *st, struct facts *after, struct error *e)
{
	struct store_txn *txn = store_txn_new();
	*after = s->now;
	txn->hlc = after->hlc;
	enum shoal_err rc = store_sqlite_ops.commit(st, &txn, 1, e);
	store_txn_free(txn);
	return rc;
}

static enum shoal_err cut_log(struct story *s, struct store *st, struct facts *f, struct error *e)
{
	struct vvec upto = { 0 };
	unsigned log = any(s, STORY_LOGS);
	uint64_t seq = f->cut[log] + any(s, (uint32_t)(f->vector[log] - f->cut[log]) + 1);

	if (seq == 0)
		return SHOAL_OK;
	f->cut[log] = f->floor[log] = seq;
	if (vvec_raise(&upto, logs[log], seq) != SHOAL_OK)
		abort();
	mem_fail_after(s->fail_try);
	enum shoal_err rc = store_sqlite_ops.log_cut(st, &upto, e);
	mem_fail_after(0);
	vvec_fini(&upto);
	return rc;
}

static enum shoal_err run_content(const struct story *s, struct store *st, struct content_op *op, struct error *e)
{
	mem_fail_after(s->fail_try);
	enum shoal_err rc = store_content(&store_sqlite_ops, st, op, e);
	mem_fail_after(0);
	return rc;
}

static enum shoal_err put(struct story *s, struct store *st, struct facts *f, struct error *e)
{
	struct content_op *op = content_op_new(CONTENT_PUT);
	unsigned i = any(s, STORY_CONTENTS);
	const struct content *c = content_of(i);

	op->id = c->id;
	op->size = CONTENT_SIZE;
	op->first = (uint32_t)f->have[i];
	uint32_t n = PIECES - op->first < 600 ? PIECES - op->first : 600;
	buf_put(&op->data, c->hashes + (size_t)op->first * 32, (size_t)n * 32);
	enum shoal_err rc = run_content(s, st, op, e);
	f->have[i] += n;
	if (rc == SHOAL_OK && op->have != f->have[i])
		rc = error_set(e, SHOAL_EINTEGRITY, "content %u: %" PRIu64 " hashes, not %" PRIu64, i, op->have, f->have[i]);
	content_op_free(op);
	return rc;
}

static enum shoal_err check(struct story *s, struct store *st, struct facts *f, struct error *e)
{
	struct content_op *op = content_op_new(CONTENT_CHECK);
	unsigned i = any(s, STORY_CONTENTS);
	const struct content *c = content_of(i);

	op->id = c->id;
	op->file_hash = c->file_hash;
	op->size = CONTENT_SIZE;
	enum shoal_err rc = run_content(s, st, op, e);
	if (rc == SHOAL_ENOTFOUND && f->have[i] < PIECES)
		rc = SHOAL_OK;
	else if (f->have[i] == PIECES)
		f->complete[i] = 1;
	content_op_free(op);
	return rc;
}

enum shoal_err story_step(struct story *s, struct store *st, struct facts *after, enum story_kind *kind,
                          struct error *e)
{
	static const uint8_t often[STORY_KINDS] = { 24, 1, 2, 2, 2, 2 };
	uint32_t which = any(s, 24 + 1 + 2 + 2 + 2 + 2);

	*after = s->now;
	for (*kind = 0; which >= often[*kind]; which -= often[(*kind)++])
		continue;
	switch (*kind) {
	case STORY_COMMIT: return commit(s, st, 1 + any(s, 4), after, e);
	case STORY_BIG_COMMIT: return commit(s, st, 256, after, e);
	case STORY_CUT: return cut_log(s, st, after, e);
	case STORY_PUT: return put(s, st, after, e);
	case STORY_CHECK: return check(s, st, after, e);
	default: store_sqlite_idle(st); return SHOAL_OK;
	}
}

/* -- reading it back */
struct reading {
	struct facts *out;
	struct error *e;
	uint64_t last[STORY_LOGS]; /* seq of the last record */
};

static enum shoal_err wrong(struct reading *r, const char *what)
{
	return error_set(r->e, SHOAL_EINTEGRITY, "%s", what);
}

static enum shoal_err on_row(void *ctx, const struct wire_row *row)
{
	struct reading *r = ctx;
	struct buf want = { 0 };
	uint8_t key[8];
	unsigned i = 0;
	struct cursor c = cursor_of(row->columns.data, row->columns.len);
	struct wire_column column;
	wire_column_get(&c, &column);
	c = cursor_of(column.value.data, column.value.len);
	uint64_t version = get_u64(&c);

	while (i < STORY_KEYS && !slice_eq(row->key, slice_of(key, key_of(i, key))))
		i++;
	if (i == STORY_KEYS || row->table != TABLE || version == 0)
		return wrong(r, "a row that nobody wrote");
	columns_of(i, version, &want);
	bool same = slice_eq(row->columns, slice_of(want.data, want.len));
	buf_free(&want);
	r->out->version[i] = version;
	return same ? SHOAL_OK : wrong(r, "a row that is not whole");
}

static int log_number(uint64_t log)
{
	return log == logs[0] ? 0 : log == logs[1] ? 1 : -1;
}

static enum shoal_err on_vector(void *ctx, uint64_t log, uint64_t seq)
{
	struct reading *r = ctx;
	int i = log_number(log);
	if (i < 0)
		return wrong(r, "a log that nobody wrote");
	r->out->vector[i] = seq;
	return SHOAL_OK;
}

static enum shoal_err on_floor(void *ctx, uint64_t log, uint64_t seq)
{
	struct reading *r = ctx;
	int i = log_number(log);
	if (i < 0)
		return wrong(r, "a floor that nobody wrote");
	r->out->floor[i] = seq;
	return SHOAL_OK;
}

static enum shoal_err on_hlc(void *ctx, uint64_t hlc)
{
	struct reading *r = ctx;
	r->out->hlc = hlc;
	return SHOAL_OK;
}

static enum shoal_err on_content(void *ctx, const struct id32 *id)
{
	struct reading *r = ctx;
	unsigned i = 0;
	while (i < STORY_CONTENTS && !id32_eq(&content_of(i)->id, id))
		i++;
	if (i == STORY_CONTENTS)
		return wrong(r, "a content that nobody wrote");
	r->out->complete[i] = 1;
	return SHOAL_OK;
}

static enum shoal_err on_record(void *ctx, uint64_t position, struct slice bytes)
{
	struct reading *r = ctx;
	struct record rec;
	struct buf want = { 0 };

	(void)position;
	if (record_get(bytes, &rec) != SHOAL_OK)
		return wrong(r, "a record that is not whole");
	int i = log_number(rec.stamp.dot.log);
	if (i < 0)
		return wrong(r, "a record that nobody wrote");
	if (r->last[i] == 0)
		r->out->cut[i] = rec.stamp.dot.seq - 1;
	else if (rec.stamp.dot.seq != r->last[i] + 1)
		return wrong(r, "a gap in the log");
	r->last[i] = rec.stamp.dot.seq;
	record_of((unsigned)i, rec.stamp.dot.seq, &want);
	bool same = slice_eq(bytes, slice_of(want.data, want.len));
	buf_free(&want);
	return same ? SHOAL_OK : wrong(r, "a record that is another");
}

/* What is said to be there must be readable, and the hashes the right ones. */
static enum shoal_err read_content(struct store *st, unsigned i, struct facts *out, struct error *e)
{
	struct content_op *op = content_op_new(CONTENT_GET);
	const uint8_t *hashes = content_of(i)->hashes;
	enum shoal_err rc = SHOAL_OK;
	uint64_t have = 0;

	op->id = content_of(i)->id;
	do {
		op->first = (uint32_t)have;
		op->count = CONTENT_CHUNK;
		rc = store_content(&store_sqlite_ops, st, op, e);
		if (rc == SHOAL_OK && op->data.len != 0 &&
		    (have * 32 + op->data.len > HASHES || memcmp(hashes + have * 32, op->data.data, op->data.len) != 0))
			rc = error_set(e, SHOAL_EINTEGRITY, "wrong piece hashes");
		have += op->data.len / 32;
	} while (rc == SHOAL_OK && op->data.len != 0);
	if (rc == SHOAL_OK && (have != op->have || (out->complete[i] != 0 && have != PIECES)))
		rc = error_set(e, SHOAL_EINTEGRITY, "content %u: %" PRIu64 " hashes of %" PRIu64, i, have, op->have);
	out->have[i] = have;
	content_op_free(op);
	return rc;
}

enum shoal_err story_read(struct store *st, struct facts *out, struct error *e)
{
	*out = (struct facts){ 0 };
	struct reading r = { .out = out, .e = e };
	const struct store_sink sink = { &r, on_row, on_vector, on_floor, on_hlc, on_content };
	enum shoal_err rc = store_sqlite_ops.load(st, &sink, e);

	if (rc == SHOAL_OK)
		rc = store_sqlite_ops.log_read(st, 0, SIZE_MAX, on_record, &r, e);
	for (unsigned i = 0; rc == SHOAL_OK && i < STORY_LOGS; i++) {
		if (r.last[i] == 0)
			out->cut[i] = out->vector[i];
		else if (r.last[i] != out->vector[i])
			rc = error_set(e, SHOAL_EINTEGRITY, "the log ends at %" PRIu64 ", the vector at %" PRIu64,
			               r.last[i], out->vector[i]);
	}
	for (unsigned i = 0; rc == SHOAL_OK && i < STORY_CONTENTS; i++)
		rc = read_content(st, i, out, e);
	return rc;
}

void story_difference(const struct facts *got, const struct facts *want, char *out, size_t size)
{
	const uint64_t *a = (const uint64_t *)got, *b = (const uint64_t *)want;
	size_t n = 0;
	out[0] = '\0';
	for (size_t i = 0; i < sizeof(*got) / sizeof(uint64_t) && n < size; i++)
		if (a[i] != b[i])
			n += (size_t)snprintf(out + n, size - n, " fact %zu is %" PRIu64 ", not %" PRIu64, i, a[i], b[i]);
}
