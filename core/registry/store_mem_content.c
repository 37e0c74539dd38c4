/* core/registry/store_mem_content.c - the disk in memory: piece hashes by content id, and rows put aside. */
#include "core/registry/store_mem_impl.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/mem.h"

/* -- content */

void mem_free_content(struct mem_disk *d, struct disk_content *c)
{
	HASH_DEL(d->contents, c);
	free(c->hashes);
	free(c->known);
	free(c);
}

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
			mem_free_content(d, c);
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

enum shoal_err mem_content(struct store *s, struct content_op *op, struct error *e)
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
			mem_free_content(d, c);
		return SHOAL_OK;
	default: return error_set(e, SHOAL_EINTERNAL, "not an operation on content");
	}
}

/* -- rows put aside */

struct disk_stage *mem_find_stage(const struct mem_disk *d, uint64_t number)
{
	struct disk_stage *st = d->stages;
	while (st != NULL && st->number != number)
		st = st->next;
	return st;
}

void mem_free_stages(struct mem_disk *d)
{
	struct disk_stage *st;
	while ((st = d->stages) != NULL) {
		d->stages = st->next;
		while (st->rows != NULL)
			mem_free_row(&st->rows, st->rows);
		free(st);
	}
}

static int by_key(const struct disk_row *a, const struct disk_row *b)
{
	size_t n = a->key_len < b->key_len ? a->key_len : b->key_len;
	int c = memcmp(a->bytes, b->bytes, n);
	return c != 0 ? c : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static enum shoal_err stage_put(struct mem_disk *d, const struct content_op *op)
{
	struct cursor c = cursor_of(op->data.data, op->data.len);
	struct disk_stage *st = mem_find_stage(d, op->stage);

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
		mem_put_row(&st->rows, &row);
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
	struct disk_stage *st = mem_find_stage(d, op->stage);
	const struct disk_row *row = st != NULL ? stage_after(st, slice_of(op->data.data, op->data.len)) : NULL;

	buf_reset(&op->data);
	for (; row != NULL && op->data.len < op->limit; row = row->hh.next) {
		struct wire_row wire = mem_wire_of(row);
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
		mem_free_row(&st->rows, st->rows);
	op->more = st->rows != NULL;
	if (op->more)
		return;
	*at = st->next;
	free(st);
}

enum shoal_err mem_stage(struct store *s, struct content_op *op, struct error *e)
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
