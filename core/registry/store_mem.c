/* core/registry/store_mem.c - a disk in memory. Everything on it is made with xalloc: it is a test's, not a tracker's. */
#include "core/registry/store_mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <uthash.h>

#include "core/base/mem.h"

struct disk_row {
	UT_hash_handle hh;
	uint16_t table;
	size_t key_len, columns_len; /* key_len: with the two bytes of the table before it */
	uint8_t bytes[];             /* table and key, columns */
};

/* Rows put aside; in the order of their keys once that was asked for. */
struct disk_stage {
	struct disk_stage *next;
	uint64_t number;
	struct disk_row *rows;
	bool sorted;
};

struct disk_record {
	uint64_t position;
	struct dot dot;
	size_t len;
	uint8_t *bytes;
};

struct disk_content {
	UT_hash_handle hh;
	struct id32 id;
	bool complete;
	uint64_t pieces; /* room: of the largest piece put so far */
	uint8_t *hashes;
	uint8_t *known; /* a byte a piece */
};

struct mem_disk {
	char where[32];
	struct disk_row *rows;
	struct disk_stage *stages;
	struct disk_record *records;
	size_t nrecords, cap;
	uint64_t next_position;
	struct vvec vector, floor;
	uint64_t hlc;
	struct disk_content *contents;
	enum shoal_err fail_code;
	unsigned fail_times;
};

struct store {
	struct mem_disk *disk;
	bool broken; /* after an I/O error: only close() helps */
};

/* -- the disk */

static void must(enum shoal_err rc)
{
	if (rc != SHOAL_OK) {
		fputs("store_mem: out of memory\n", stderr);
		abort();
	}
}

struct mem_disk *mem_disk_new(void)
{
	struct mem_disk *d = xalloc(sizeof(*d));
	snprintf(d->where, sizeof(d->where), "%" PRIxPTR, (uintptr_t)d);
	d->next_position = 1;
	return d;
}

static void free_row(struct disk_row **rows, struct disk_row *row)
{
	HASH_DEL(*rows, row);
	free(row);
}

static void free_stages(struct mem_disk *d)
{
	struct disk_stage *st;
	while ((st = d->stages) != NULL) {
		d->stages = st->next;
		while (st->rows != NULL)
			free_row(&st->rows, st->rows);
		free(st);
	}
}

static void free_content(struct mem_disk *d, struct disk_content *c)
{
	HASH_DEL(d->contents, c);
	free(c->hashes);
	free(c->known);
	free(c);
}

void mem_disk_free(struct mem_disk *d)
{
	if (d == NULL)
		return;
	while (d->rows != NULL)
		free_row(&d->rows, d->rows);
	free_stages(d);
	while (d->contents != NULL)
		free_content(d, d->contents);
	for (size_t i = 0; i < d->nrecords; i++)
		free(d->records[i].bytes);
	free(d->records);
	vvec_fini(&d->vector);
	vvec_fini(&d->floor);
	free(d);
}

const char *mem_disk_where(const struct mem_disk *d)
{
	return d->where;
}

static void *xmemdup(const void *p, size_t n)
{
	void *copy = xalloc(n);
	if (n != 0)
		memcpy(copy, p, n);
	return copy;
}

static void add_row_copy(struct mem_disk *d, const struct disk_row *row)
{
	struct disk_row *copy = xmemdup(row, sizeof(*row) + row->key_len + row->columns_len);
	HASH_ADD_KEYPTR(hh, d->rows, copy->bytes, copy->key_len, copy);
}

static void add_record(struct mem_disk *d, uint64_t position, struct dot dot, struct slice bytes)
{
	if (d->nrecords == d->cap) {
		size_t cap = d->cap != 0 ? d->cap * 2 : 16;
		struct disk_record *bigger = xalloc(cap * sizeof(*bigger));
		if (d->nrecords != 0)
			memcpy(bigger, d->records, d->nrecords * sizeof(*bigger));
		free(d->records);
		d->records = bigger;
		d->cap = cap;
	}
	d->records[d->nrecords++] = (struct disk_record){ .position = position, .dot = dot, .len = bytes.len,
		                                         .bytes = xmemdup(bytes.data, bytes.len) };
}

struct mem_disk *mem_disk_copy(const struct mem_disk *d)
{
	struct mem_disk *copy = mem_disk_new();

	for (const struct disk_row *r = d->rows; r != NULL; r = r->hh.next)
		add_row_copy(copy, r);
	for (size_t i = 0; i < d->nrecords; i++)
		add_record(copy, d->records[i].position, d->records[i].dot,
		           slice_of(d->records[i].bytes, d->records[i].len));
	for (const struct disk_content *c = d->contents; c != NULL; c = c->hh.next) {
		struct disk_content *mine = xmemdup(c, sizeof(*c));
		mine->hashes = xmemdup(c->hashes, c->pieces * 32);
		mine->known = xmemdup(c->known, c->pieces);
		HASH_ADD(hh, copy->contents, id, sizeof(mine->id), mine);
	}
	must(vvec_copy(&copy->vector, &d->vector));
	must(vvec_copy(&copy->floor, &d->floor));
	copy->next_position = d->next_position;
	copy->hlc = d->hlc;
	return copy;
}

void mem_disk_fail_commits(struct mem_disk *d, enum shoal_err code, unsigned times)
{
	d->fail_code = code;
	d->fail_times = times;
}

bool mem_disk_corrupt_record(struct mem_disk *d, size_t n)
{
	if (n >= d->nrecords)
		return false;
	d->records[n].bytes[d->records[n].len / 2] ^= 0x10;
	return true;
}

size_t mem_disk_records(const struct mem_disk *d)
{
	return d->nrecords;
}

const struct vvec *mem_disk_vector(const struct mem_disk *d)
{
	return &d->vector;
}

size_t mem_disk_staged(const struct mem_disk *d)
{
	size_t n = 0;
	for (const struct disk_stage *st = d->stages; st != NULL; st = st->next)
		n += HASH_COUNT(st->rows);
	return n;
}

/* -- the store */

static enum shoal_err mem_open(const char *where, struct store **out, struct error *e)
{
	uintptr_t address;

	if (sscanf(where, "%" SCNxPTR, &address) != 1)
		return error_set(e, SHOAL_EIO, "'%s' is no disk in memory", where);
	struct store *s = try_alloc(sizeof(*s));
	if (s == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	s->disk = (struct mem_disk *)address;
	*out = s;
	return SHOAL_OK;
}

static void mem_close(struct store *s)
{
	free(s);
}

static enum shoal_err load_vectors(const struct mem_disk *d, const struct store_sink *sink)
{
	enum shoal_err rc = SHOAL_OK;
	for (size_t i = 0; rc == SHOAL_OK && i < d->vector.n; i++)
		rc = sink->vector(sink->ctx, d->vector.entries[i].log, d->vector.entries[i].seq);
	for (size_t i = 0; rc == SHOAL_OK && i < d->floor.n; i++)
		rc = sink->floor(sink->ctx, d->floor.entries[i].log, d->floor.entries[i].seq);
	return rc == SHOAL_OK ? sink->hlc(sink->ctx, d->hlc) : rc;
}

static struct wire_row wire_of(const struct disk_row *r)
{
	return (struct wire_row){ .table = r->table, .key = slice_of(r->bytes + 2, r->key_len - 2),
		                  .columns = slice_of(r->bytes + r->key_len, r->columns_len) };
}

static enum shoal_err mem_load(struct store *s, const struct store_sink *sink, struct error *e)
{
	struct mem_disk *d = s->disk;
	enum shoal_err rc = SHOAL_OK;

	free_stages(d); /* of another life */
	for (const struct disk_row *r = d->rows; rc == SHOAL_OK && r != NULL; r = r->hh.next) {
		struct wire_row row = wire_of(r);
		rc = sink->row(sink->ctx, &row);
	}
	if (rc == SHOAL_OK)
		rc = load_vectors(d, sink);
	for (const struct disk_content *c = d->contents; rc == SHOAL_OK && c != NULL; c = c->hh.next)
		if (c->complete)
			rc = sink->content(sink->ctx, &c->id);
	return rc == SHOAL_OK ? rc : error_set(e, rc, "cannot take in what is stored: %s", error_default(rc));
}

static void put_row(struct disk_row **rows, const struct store_row *sr)
{
	size_t key_len = 2 + sr->row.key.len, columns_len = sr->row.columns.len;
	struct disk_row *row = xalloc(sizeof(*row) + key_len + columns_len), *old = NULL;

	row->table = sr->row.table;
	row->key_len = key_len;
	row->columns_len = columns_len;
	row->bytes[0] = (uint8_t)(sr->row.table >> 8);
	row->bytes[1] = (uint8_t)sr->row.table;
	memcpy(row->bytes + 2, sr->row.key.data, sr->row.key.len);
	if (columns_len != 0)
		memcpy(row->bytes + key_len, sr->row.columns.data, columns_len);
	HASH_FIND(hh, *rows, row->bytes, key_len, old);
	if (old != NULL)
		free_row(rows, old);
	if (sr->gone)
		free(row);
	else
		HASH_ADD_KEYPTR(hh, *rows, row->bytes, key_len, row);
}

static struct disk_stage *find_stage(const struct mem_disk *d, uint64_t number)
{
	struct disk_stage *st = d->stages;
	while (st != NULL && st->number != number)
		st = st->next;
	return st;
}

static void adopt(struct mem_disk *d, uint64_t number)
{
	const struct disk_stage *st = find_stage(d, number);
	for (const struct disk_row *r = st != NULL ? st->rows : NULL; r != NULL; r = r->hh.next)
		put_row(&d->rows, &(struct store_row){ .row = wire_of(r) });
}

static void commit_one(struct mem_disk *d, const struct store_txn *txn)
{
	struct cursor rows = cursor_of(txn->rows.data, txn->rows.len);
	struct cursor records = cursor_of(txn->records.data, txn->records.len);
	struct store_row row;
	struct slice bytes;

	adopt(d, txn->adopt);
	while (store_txn_next_row(&rows, &row))
		put_row(&d->rows, &row);
	while (store_txn_next_record(&records, &bytes)) {
		struct record rec;
		enum shoal_err rc = record_get(bytes, &rec);
		assert(rc == SHOAL_OK);
		(void)rc;
		add_record(d, d->next_position++, rec.stamp.dot, bytes);
	}
	must(vvec_merge(&d->vector, &txn->vector));
	must(vvec_merge(&d->floor, &txn->floor));
	if (txn->hlc > d->hlc)
		d->hlc = txn->hlc;
}

static enum shoal_err mem_commit(struct store *s, struct store_txn *const *txns, size_t n, struct error *e)
{
	struct mem_disk *d = s->disk;

	if (s->broken)
		return error_set(e, SHOAL_EIO, "the store failed before and was not opened anew");
	if (d->fail_times != 0) {
		d->fail_times--;
		s->broken = d->fail_code == SHOAL_EIO;
		return error_set(e, d->fail_code, "a fault: %s", error_default(d->fail_code));
	}
	for (size_t i = 0; i < n; i++)
		if (!store_txn_ok(txns[i]))
			return error_set(e, SHOAL_EINTERNAL, "a transaction that was not built to its end");
	for (size_t i = 0; i < n; i++)
		commit_one(d, txns[i]);
	return SHOAL_OK;
}

/* -- the log */

static enum shoal_err mem_log_read(struct store *s, uint64_t after, size_t max, store_record_fn *fn, void *ctx,
                                   struct error *e)
{
	const struct mem_disk *d = s->disk;
	size_t given = 0;

	for (size_t i = 0; i < d->nrecords && given < max; i++) {
		const struct disk_record *r = &d->records[i];
		struct record rec;
		if (r->position <= after)
			continue;
		if (record_get(slice_of(r->bytes, r->len), &rec) != SHOAL_OK)
			return error_set(e, SHOAL_EINTEGRITY, "record %" PRIu64 " of the log is damaged", r->position);
		enum shoal_err rc = fn(ctx, r->position, slice_of(r->bytes, r->len));
		if (rc != SHOAL_OK)
			return rc;
		given++;
	}
	return SHOAL_OK;
}

static enum shoal_err mem_log_cut(struct store *s, const struct vvec *upto, struct error *e)
{
	struct mem_disk *d = s->disk;
	size_t kept = 0;

	if (s->broken)
		return error_set(e, SHOAL_EIO, "the store failed before and was not opened anew");
	for (size_t i = 0; i < d->nrecords; i++) {
		if (vvec_covers(upto, d->records[i].dot))
			free(d->records[i].bytes);
		else
			d->records[kept++] = d->records[i];
	}
	d->nrecords = kept;
	must(vvec_merge(&d->floor, upto));
	return SHOAL_OK;
}

static enum shoal_err mem_log_bytes(struct store *s, uint64_t *bytes, struct error *e)
{
	(void)e;
	*bytes = 0;
	for (size_t i = 0; i < s->disk->nrecords; i++)
		*bytes += s->disk->records[i].len;
	return SHOAL_OK;
}

/* -- content */

static struct disk_content *content_find(const struct mem_disk *d, const struct id32 *id)
{
	struct disk_content *c = NULL;
	HASH_FIND(hh, d->contents, id->b, sizeof(id->b), c);
	return c;
}

static uint64_t content_have(const struct disk_content *c)
{
	uint64_t n = 0;
	while (c != NULL && n < c->pieces && c->known[n])
		n++;
	return n;
}

static void content_grow(struct disk_content *c, uint64_t pieces)
{
	if (pieces <= c->pieces)
		return;
	uint8_t *hashes = xalloc(pieces * 32), *known = xalloc(pieces);
	if (c->pieces != 0) {
		memcpy(hashes, c->hashes, c->pieces * 32);
		memcpy(known, c->known, c->pieces);
	}
	free(c->hashes);
	free(c->known);
	c->hashes = hashes;
	c->known = known;
	c->pieces = pieces;
}

static enum shoal_err content_put(struct mem_disk *d, struct content_op *op)
{
	struct disk_content *c = content_find(d, &op->id);
	size_t n = op->data.len / 32;

	if (c == NULL) {
		c = xalloc(sizeof(*c));
		c->id = op->id;
		HASH_ADD(hh, d->contents, id, sizeof(c->id), c);
	}
	if (!c->complete && n != 0) {
		content_grow(c, op->first + n);
		memcpy(c->hashes + (size_t)op->first * 32, op->data.data, n * 32);
		memset(c->known + op->first, 1, n);
	}
	op->have = content_have(c);
	return SHOAL_OK;
}

static enum shoal_err content_get(const struct mem_disk *d, struct content_op *op, struct error *e)
{
	const struct disk_content *c = content_find(d, &op->id);

	buf_reset(&op->data);
	for (uint64_t i = op->first; c != NULL && i < op->first + (uint64_t)op->count && i < c->pieces && c->known[i]; i++)
		buf_put(&op->data, c->hashes + i * 32, 32);
	return op->data.failed ? error_set(e, SHOAL_EBUSY, "out of memory") : SHOAL_OK;
}

static enum shoal_err content_check(struct mem_disk *d, struct content_op *op, struct error *e)
{
	struct disk_content *c = content_find(d, &op->id);
	uint64_t pieces = content_pieces(op->size);
	struct content_hash ch;
	struct id32 id;

	op->have = content_have(c);
	if (op->have < pieces)
		return error_set(e, SHOAL_ENOTFOUND, "hashes of %" PRIu64 " of %" PRIu64 " pieces are there", op->have, pieces);
	content_hash_begin(&ch, op->size, &op->file_hash);
	if (pieces != 0)
		content_hash_add(&ch, c->hashes, pieces * 32);
	content_hash_end(&ch, &id);
	if (op->have > pieces || !id32_eq(&id, &op->id)) {
		if (c != NULL && !c->complete) /* what gave the id before stays: it is the question that is wrong */
			free_content(d, c);
		return error_set(e, SHOAL_EINTEGRITY, "the hashes do not give the content id");
	}
	if (c == NULL) { /* an empty file has no hashes to put */
		c = xalloc(sizeof(*c));
		c->id = op->id;
		HASH_ADD(hh, d->contents, id, sizeof(c->id), c);
	}
	c->complete = true;
	return SHOAL_OK;
}

static enum shoal_err mem_content(struct store *s, struct content_op *op, struct error *e)
{
	struct mem_disk *d = s->disk;
	struct disk_content *c = content_find(d, &op->id);

	if (s->broken)
		return error_set(e, SHOAL_EIO, "the store failed before and was not opened anew");
	switch (op->kind) {
	case CONTENT_PUT: return content_put(d, op);
	case CONTENT_GET: return content_get(d, op, e);
	case CONTENT_CHECK: return content_check(d, op, e);
	case CONTENT_DROP:
		if (c != NULL)
			free_content(d, c);
		return SHOAL_OK;
	default: return error_set(e, SHOAL_EINTERNAL, "not an operation on content");
	}
}

/* -- rows put aside */

static int by_key(const struct disk_row *a, const struct disk_row *b)
{
	size_t n = a->key_len < b->key_len ? a->key_len : b->key_len;
	int c = memcmp(a->bytes, b->bytes, n);
	return c != 0 ? c : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static enum shoal_err stage_put(struct mem_disk *d, const struct content_op *op)
{
	struct cursor c = cursor_of(op->data.data, op->data.len);
	struct disk_stage *st = find_stage(d, op->stage);

	if (st == NULL) {
		st = xalloc(sizeof(*st));
		*st = (struct disk_stage){ .next = d->stages, .number = op->stage };
		d->stages = st;
	}
	st->sorted = false;
	while (cursor_left(&c) != 0) {
		struct store_row row = { 0 };
		wire_row_get(&c, &row.row);
		if (c.bad)
			return SHOAL_EPROTO;
		put_row(&st->rows, &row);
	}
	return SHOAL_OK;
}

static const struct disk_row *stage_after(struct disk_stage *st, struct slice last)
{
	struct cursor c = cursor_of(last.data, last.len);
	struct disk_row *row = NULL;
	struct wire_row wire;
	uint8_t key[2 + UINT16_MAX];

	if (!st->sorted)
		HASH_SORT(st->rows, by_key);
	st->sorted = true;
	if (last.len == 0)
		return st->rows;
	wire_row_get(&c, &wire);
	key[0] = (uint8_t)(wire.table >> 8);
	key[1] = (uint8_t)wire.table;
	memcpy(key + 2, wire.key.data, wire.key.len);
	HASH_FIND(hh, st->rows, key, 2 + wire.key.len, row);
	return row != NULL ? row->hh.next : NULL;
}

static enum shoal_err stage_read(const struct mem_disk *d, struct content_op *op)
{
	struct disk_stage *st = find_stage(d, op->stage);
	const struct disk_row *row = st != NULL ? stage_after(st, slice_of(op->data.data, op->data.len)) : NULL;

	buf_reset(&op->data);
	for (; row != NULL && op->data.len < op->limit; row = row->hh.next) {
		struct wire_row wire = wire_of(row);
		wire_row_put(&op->data, &wire);
	}
	op->more = row != NULL;
	return op->data.failed ? SHOAL_EBUSY : SHOAL_OK;
}

/* A few at a time, as a disk would. */
static void stage_drop(struct mem_disk *d, struct content_op *op)
{
	struct disk_stage **at = &d->stages;

	op->more = false;
	while (*at != NULL && (*at)->number != op->stage)
		at = &(*at)->next;
	struct disk_stage *st = *at;
	if (st == NULL)
		return;
	for (int i = 0; i < 100 && st->rows != NULL; i++)
		free_row(&st->rows, st->rows);
	op->more = st->rows != NULL;
	if (op->more)
		return;
	*at = st->next;
	free(st);
}

static enum shoal_err mem_stage(struct store *s, struct content_op *op, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;

	if (s->broken)
		return error_set(e, SHOAL_EIO, "the store failed before and was not opened anew");
	if (op->kind == CONTENT_STAGE_PUT)
		rc = stage_put(s->disk, op);
	else if (op->kind == CONTENT_STAGE_READ)
		rc = stage_read(s->disk, op);
	else
		stage_drop(s->disk, op);
	return rc == SHOAL_OK ? rc : error_set(e, rc, "%s", error_default(rc));
}

static enum shoal_err mem_backup(struct store *s, const char *path, struct error *e)
{
	(void)s;
	return error_set(e, SHOAL_EUSAGE, "a store in memory has no files to copy to '%s'", path);
}

const struct store_ops store_mem_ops = {
	.name = "memory",
	.open = mem_open,
	.close = mem_close,
	.load = mem_load,
	.commit = mem_commit,
	.log_read = mem_log_read,
	.log_cut = mem_log_cut,
	.log_bytes = mem_log_bytes,
	.content = mem_content,
	.stage = mem_stage,
	.backup = mem_backup,
};
