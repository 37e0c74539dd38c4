/* core/registry/store_mem.c - a disk in memory. Everything on it is made with xalloc: it is a test's, not a tracker's. */
#include "core/registry/store_mem_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

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

void mem_free_row(struct disk_row **rows, struct disk_row *row)
{
	HASH_DEL(*rows, row);
	free(row);
}

void mem_disk_free(struct mem_disk *d)
{
	if (d == NULL)
		return;
	while (d->rows != NULL)
		mem_free_row(&d->rows, d->rows);
	mem_free_stages(d);
	while (d->contents != NULL)
		mem_free_content(d, d->contents);
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

struct wire_row mem_wire_of(const struct disk_row *r)
{
	return (struct wire_row){ .table = r->table, .key = slice_of(r->bytes + 2, r->key_len - 2),
		                  .columns = slice_of(r->bytes + r->key_len, r->columns_len) };
}

static enum shoal_err mem_load(struct store *s, const struct store_sink *sink, struct error *e)
{
	struct mem_disk *d = s->disk;
	enum shoal_err rc = SHOAL_OK;

	mem_free_stages(d); /* of another life */
	for (const struct disk_row *r = d->rows; rc == SHOAL_OK && r != NULL; r = r->hh.next) {
		struct wire_row row = mem_wire_of(r);
		rc = sink->row(sink->ctx, &row);
	}
	if (rc == SHOAL_OK)
		rc = load_vectors(d, sink);
	for (const struct disk_content *c = d->contents; rc == SHOAL_OK && c != NULL; c = c->hh.next)
		if (c->complete)
			rc = sink->content(sink->ctx, &c->id);
	return rc == SHOAL_OK ? rc : error_set(e, rc, "cannot take in what is stored: %s", error_default(rc));
}

void mem_put_row(struct disk_row **rows, const struct store_row *sr)
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
		mem_free_row(rows, old);
	if (sr->gone)
		free(row);
	else
		HASH_ADD_KEYPTR(hh, *rows, row->bytes, key_len, row);
}

static void adopt(struct mem_disk *d, uint64_t number)
{
	const struct disk_stage *st = mem_find_stage(d, number);
	for (const struct disk_row *r = st != NULL ? st->rows : NULL; r != NULL; r = r->hh.next)
		mem_put_row(&d->rows, &(struct store_row){ .row = mem_wire_of(r) });
}

static void commit_one(struct mem_disk *d, const struct store_txn *txn)
{
	struct cursor rows = cursor_of(txn->rows.data, txn->rows.len);
	struct cursor records = cursor_of(txn->records.data, txn->records.len);
	struct store_row row;
	struct slice bytes;

	adopt(d, txn->adopt);
	while (store_txn_next_row(&rows, &row))
		mem_put_row(&d->rows, &row);
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
