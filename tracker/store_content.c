/* tracker/store_content.c - piece hashes in SQLite: a row for the content, a row for each chunk of 1024 hashes.
 *
 * A chunk has a bit for each hash that is there, so that they may come in any order and portion; the content counts how
 * many there are in a row from 0, so that going on does not read what is there already. What is complete is verified
 * and never changed again. */
#include <string.h>

#include "core/base/mem.h"
#include "tracker/store_db.h"
#include "tracker/store_sqlite.h"

enum { HASH_SIZE = 32, FILLED_SIZE = CONTENT_CHUNK / 8, CHUNK_BYTES = CONTENT_CHUNK * HASH_SIZE };

struct content {
	uint64_t size, have;
	bool known, complete;
};

struct chunk {
	uint8_t filled[FILLED_SIZE]; /* bit i: hash i is there */
	uint8_t hashes[CHUNK_BYTES];
};

static bool chunk_has(const struct chunk *ch, uint32_t i)
{
	return (ch->filled[i / 8] >> (i % 8) & 1) != 0;
}

static enum shoal_err read_content(struct store *s, const struct id32 *id, struct content *out, struct error *e)
{
	sqlite3_stmt *st = db_begin(s, DB_CONTENT_GET);
	*out = (struct content){ 0 };
	if (!db_bind_blob(st, 1, slice_of(id->b, sizeof(id->b))))
		return db_error(s, e, "read");
	int step = sqlite3_step(st);
	if (step == SQLITE_ROW)
		*out = (struct content){ .size = (uint64_t)sqlite3_column_int64(st, 0),
			                 .have = (uint64_t)sqlite3_column_int64(st, 1),
			                 .complete = sqlite3_column_int(st, 2) != 0,
			                 .known = true };
	sqlite3_reset(st);
	return step == SQLITE_ROW || step == SQLITE_DONE ? SHOAL_OK : db_error(s, e, "read");
}

static bool write_content(struct store *s, const struct id32 *id, const struct content *c)
{
	sqlite3_stmt *st = db_begin(s, DB_CONTENT_PUT);
	return db_bind_blob(st, 1, slice_of(id->b, sizeof(id->b))) && db_bind_int(st, 2, c->size) &&
	       db_bind_int(st, 3, c->have) && db_bind_int(st, 4, c->complete) && db_done(st);
}

/* Hashes up to the last that is there: only these are stored, since most files have few pieces. */
static uint32_t chunk_count(const struct chunk *ch)
{
	uint32_t n = CONTENT_CHUNK;
	while (n != 0 && !chunk_has(ch, n - 1))
		n--;
	return n;
}

/* False: that was not written by write_chunk(). */
static bool unpack_chunk(struct slice filled, struct slice hashes, struct chunk *out)
{
	if (filled.len > FILLED_SIZE || hashes.len > CHUNK_BYTES || hashes.len % HASH_SIZE != 0)
		return false;
	memcpy(out->filled, filled.data, filled.len);
	memcpy(out->hashes, hashes.data, hashes.len);
	return chunk_count(out) <= hashes.len / HASH_SIZE;
}

/* A chunk that is not there reads as empty. */
static enum shoal_err read_chunk(struct store *s, const struct id32 *id, uint32_t number, struct chunk *out,
                                 struct error *e)
{
	sqlite3_stmt *st = db_begin(s, DB_CHUNK_GET);
	enum shoal_err rc = SHOAL_OK;

	memset(out, 0, sizeof(*out));
	if (!db_bind_blob(st, 1, slice_of(id->b, sizeof(id->b))) || !db_bind_int(st, 2, number))
		return db_error(s, e, "read");
	int step = sqlite3_step(st);
	if (step == SQLITE_ROW) {
		if (!unpack_chunk(db_column_blob(st, 0), db_column_blob(st, 1), out))
			rc = error_set(e, SHOAL_EINTEGRITY, "'%s' is damaged: a chunk of piece hashes", s->path);
	} else if (step != SQLITE_DONE) {
		rc = db_error(s, e, "read");
	}
	sqlite3_reset(st);
	return rc;
}

static bool write_chunk(struct store *s, const struct id32 *id, uint32_t number, const struct chunk *ch)
{
	sqlite3_stmt *st = db_begin(s, DB_CHUNK_PUT);
	uint32_t n = chunk_count(ch);
	return db_bind_blob(st, 1, slice_of(id->b, sizeof(id->b))) && db_bind_int(st, 2, number) &&
	       db_bind_blob(st, 3, slice_of(ch->filled, (n + 7) / 8)) &&
	       db_bind_blob(st, 4, slice_of(ch->hashes, (size_t)n * HASH_SIZE)) && db_done(st);
}

static bool drop_rows(struct store *s, const struct id32 *id)
{
	sqlite3_stmt *st = db_begin(s, DB_CHUNK_DEL);
	if (!db_bind_blob(st, 1, slice_of(id->b, sizeof(id->b))) || !db_done(st))
		return false;
	st = db_begin(s, DB_CONTENT_DEL);
	return db_bind_blob(st, 1, slice_of(id->b, sizeof(id->b))) && db_done(st);
}

static enum shoal_err drop(struct store *s, const struct id32 *id, struct error *e)
{
	if (!db_run(s, DB_BEGIN) || !drop_rows(s, id) || !db_run(s, DB_COMMIT))
		return db_write_failed(s, e);
	db_wrote(s);
	return SHOAL_OK;
}

/* Puts op's hashes into the chunks they belong to; `ch` is left holding the last of them. */
static enum shoal_err put_chunks(struct store *s, const struct content_op *op, struct chunk *ch, struct error *e)
{
	uint32_t n = (uint32_t)(op->data.len / HASH_SIZE);
	for (uint32_t done = 0; done < n;) {
		uint32_t piece = op->first + done, number = piece / CONTENT_CHUNK, at = piece % CONTENT_CHUNK;
		uint32_t count = CONTENT_CHUNK - at < n - done ? CONTENT_CHUNK - at : n - done;
		enum shoal_err rc = read_chunk(s, &op->id, number, ch, e);
		if (rc != SHOAL_OK)
			return rc;
		memcpy(ch->hashes + (size_t)at * HASH_SIZE, op->data.data + (size_t)done * HASH_SIZE,
		       (size_t)count * HASH_SIZE);
		for (uint32_t i = at; i < at + count; i++)
			ch->filled[i / 8] |= (uint8_t)(1u << (i % 8));
		if (!write_chunk(s, &op->id, number, ch))
			return db_write_failed(s, e);
		done += count;
	}
	return SHOAL_OK;
}

/* Moves c->have up to the first hash that is not there. */
static enum shoal_err count_have(struct store *s, const struct id32 *id, struct content *c, struct chunk *ch,
                                 struct error *e)
{
	uint64_t pieces = content_pieces(c->size);
	while (c->have < pieces) {
		uint32_t number = (uint32_t)(c->have / CONTENT_CHUNK), i = (uint32_t)(c->have % CONTENT_CHUNK);
		enum shoal_err rc = read_chunk(s, id, number, ch, e);
		if (rc != SHOAL_OK)
			return rc;
		while (i < CONTENT_CHUNK && c->have < pieces && chunk_has(ch, i)) {
			i++;
			c->have++;
		}
		if (i < CONTENT_CHUNK)
			break;
	}
	return SHOAL_OK;
}

static enum shoal_err put(struct store *s, struct content_op *op, struct chunk *ch, struct error *e)
{
	struct content c;
	uint64_t n = op->data.len / HASH_SIZE, pieces = content_pieces(op->size);
	enum shoal_err rc;

	if (op->size > CONTENT_SIZE_MAX || op->data.len % HASH_SIZE != 0 || op->first > pieces ||
	    n > pieces - op->first)
		return error_set(e, SHOAL_EUSAGE, "%llu piece hashes from %u on for a file of %llu pieces",
		                 (unsigned long long)n, op->first, (unsigned long long)pieces);
	rc = read_content(s, &op->id, &c, e);
	if (rc != SHOAL_OK)
		return rc;
	if (c.complete) {
		op->have = c.have;
		return SHOAL_OK;
	}
	if (!db_run(s, DB_BEGIN))
		return db_write_failed(s, e);
	if (c.known && c.size != op->size && !drop_rows(s, &op->id))
		return db_write_failed(s, e);
	if (!c.known || c.size != op->size)
		c = (struct content){ .size = op->size };
	rc = put_chunks(s, op, ch, e);
	if (rc == SHOAL_OK)
		rc = count_have(s, &op->id, &c, ch, e);
	if (rc == SHOAL_OK && (!write_content(s, &op->id, &c) || !db_run(s, DB_COMMIT)))
		return db_write_failed(s, e);
	if (rc != SHOAL_OK) {
		db_run(s, DB_ROLLBACK);
		return rc;
	}
	op->have = c.have;
	db_wrote(s);
	return SHOAL_OK;
}

static enum shoal_err get(struct store *s, struct content_op *op, struct chunk *ch, struct error *e)
{
	struct content c;
	enum shoal_err rc = read_content(s, &op->id, &c, e);
	uint64_t pieces = content_pieces(c.size), piece = op->first;
	uint32_t count = op->count < CONTENT_CHUNK ? op->count : CONTENT_CHUNK;
	uint64_t end = piece + count < pieces ? piece + count : pieces;

	buf_reset(&op->data);
	while (rc == SHOAL_OK && piece < end) {
		uint32_t number = (uint32_t)(piece / CONTENT_CHUNK), i = (uint32_t)(piece % CONTENT_CHUNK);
		rc = read_chunk(s, &op->id, number, ch, e);
		if (rc != SHOAL_OK)
			break;
		for (; i < CONTENT_CHUNK && piece < end && chunk_has(ch, i); i++, piece++)
			buf_put(&op->data, ch->hashes + (size_t)i * HASH_SIZE, HASH_SIZE);
		if (i < CONTENT_CHUNK) /* a hole, or the end */
			break;
	}
	if (rc == SHOAL_OK && op->data.failed)
		rc = error_set(e, SHOAL_EBUSY, "out of memory");
	op->have = c.have;
	return rc;
}

static enum shoal_err hash_all(struct store *s, const struct content_op *op, struct chunk *ch, struct id32 *out,
                               struct error *e)
{
	struct content_hash h;
	uint64_t pieces = content_pieces(op->size);

	content_hash_begin(&h, op->size, &op->file_hash);
	for (uint64_t at = 0; at < pieces; at += CONTENT_CHUNK) {
		uint64_t n = pieces - at < CONTENT_CHUNK ? pieces - at : CONTENT_CHUNK;
		enum shoal_err rc = read_chunk(s, &op->id, (uint32_t)(at / CONTENT_CHUNK), ch, e);
		if (rc != SHOAL_OK)
			return rc;
		content_hash_add(&h, ch->hashes, (size_t)n * HASH_SIZE);
	}
	content_hash_end(&h, out);
	return SHOAL_OK;
}

static enum shoal_err check(struct store *s, struct content_op *op, struct chunk *ch, struct error *e)
{
	struct content c;
	struct id32 id;
	enum shoal_err rc = read_content(s, &op->id, &c, e);

	if (rc != SHOAL_OK)
		return rc;
	if (op->size > CONTENT_SIZE_MAX)
		return error_set(e, SHOAL_EUSAGE, "a file of %llu bytes is too large", (unsigned long long)op->size);
	op->have = c.known && c.size == op->size ? c.have : 0;
	if (op->have < content_pieces(op->size))
		return error_set(e, SHOAL_ENOTFOUND, "%llu of %llu piece hashes are here", (unsigned long long)op->have,
		                 (unsigned long long)content_pieces(op->size));
	rc = hash_all(s, op, ch, &id, e);
	if (rc != SHOAL_OK)
		return rc;
	if (id32_eq(&id, &op->id) && c.complete)
		return SHOAL_OK;
	if (!id32_eq(&id, &op->id)) { /* what is complete gave the id before: it is the question that is wrong */
		rc = c.complete ? SHOAL_OK : drop(s, &op->id, e);
		return rc != SHOAL_OK ? rc
		                      : error_set(e, SHOAL_EINTEGRITY, "the piece hashes do not give the content id");
	}
	c = (struct content){ .size = op->size, .have = op->have, .complete = true };
	if (!db_run(s, DB_BEGIN) || !write_content(s, &op->id, &c) || !db_run(s, DB_COMMIT))
		return db_write_failed(s, e);
	db_wrote(s);
	return SHOAL_OK;
}

enum shoal_err store_sqlite_forget_unfinished(struct store *s, struct error *e)
{
	if (!db_run(s, DB_BEGIN) || !db_run(s, DB_CHUNK_FORGET) || !db_run(s, DB_CONTENT_FORGET) ||
	    !db_run(s, DB_COMMIT))
		return db_write_failed(s, e);
	db_wrote(s);
	return SHOAL_OK;
}

enum shoal_err db_content(struct store *s, struct content_op *op, struct error *e)
{
	if (op->kind == CONTENT_DROP)
		return drop(s, &op->id, e);
	struct chunk *ch = try_alloc(sizeof(*ch));
	enum shoal_err rc;

	if (ch == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	switch (op->kind) {
	case CONTENT_PUT: rc = put(s, op, ch, e); break;
	case CONTENT_GET: rc = get(s, op, ch, e); break;
	case CONTENT_CHECK: rc = check(s, op, ch, e); break;
	default: rc = error_set(e, SHOAL_EINTERNAL, "not a content operation: %d", (int)op->kind); break;
	}
	free(ch);
	return rc;
}
