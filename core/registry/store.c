/* core/registry/store.c - transactions, content ops, and what every backend needs. */
#include "core/registry/store.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum { ROW_PUT = 1, ROW_DEL = 2 };

struct store_txn *store_txn_new(void)
{
	return try_alloc(sizeof(struct store_txn));
}

void store_txn_free(struct store_txn *txn)
{
	if (txn == NULL)
		return;
	buf_free(&txn->rows);
	buf_free(&txn->records);
	vvec_fini(&txn->vector);
	vvec_fini(&txn->floor);
	free(txn);
}

bool store_txn_ok(const struct store_txn *txn)
{
	return !txn->rows.failed && !txn->records.failed;
}

void store_txn_put(struct store_txn *txn, const struct wire_row *row)
{
	buf_put_u8(&txn->rows, ROW_PUT);
	wire_row_put(&txn->rows, row);
}

void store_txn_del(struct store_txn *txn, uint16_t table, struct slice key)
{
	struct wire_row row = { .table = table, .key = key };
	buf_put_u8(&txn->rows, ROW_DEL);
	wire_row_put(&txn->rows, &row);
}

void store_txn_record(struct store_txn *txn, struct slice record)
{
	buf_put_blob(&txn->records, record.data, record.len);
}

bool store_txn_next_row(struct cursor *c, struct store_row *out)
{
	if (c->bad || cursor_left(c) == 0)
		return false;
	out->gone = get_u8(c) == ROW_DEL;
	wire_row_get(c, &out->row);
	return !c->bad;
}

bool store_txn_next_record(struct cursor *c, struct slice *out)
{
	if (c->bad || cursor_left(c) == 0)
		return false;
	*out = get_blob(c);
	return !c->bad;
}

struct content_op *content_op_new(enum content_op_kind kind)
{
	struct content_op *op = try_alloc(sizeof(*op));
	if (op != NULL)
		op->kind = kind;
	return op;
}

void content_op_free(struct content_op *op)
{
	if (op == NULL)
		return;
	vvec_fini(&op->vector);
	free(op->path);
	buf_free(&op->data);
	free(op);
}

/* -- reading the log for a content op */

/* Stops once the limit is reached: SHOAL_ECANCELLED is our own word for "enough". */
static enum shoal_err collect_record(void *ctx, uint64_t position, struct slice record)
{
	struct content_op *op = ctx;

	if (op->data.len != 0 && op->data.len + 4 + record.len > op->limit) {
		op->more = true;
		return SHOAL_ECANCELLED;
	}
	buf_put_blob(&op->data, record.data, record.len);
	if (op->data.failed)
		return SHOAL_EBUSY;
	op->next = position;
	return SHOAL_OK;
}

static enum shoal_err read_log(const struct store_ops *ops, struct store *s, struct content_op *op, struct error *e)
{
	buf_reset(&op->data);
	op->next = op->after;
	op->more = false;
	enum shoal_err rc = ops->log_read(s, op->after, SIZE_MAX, collect_record, op, e);
	return rc == SHOAL_ECANCELLED && op->more ? SHOAL_OK : rc;
}

/* -- what of the log is to go */

struct log_plan {
	const struct vvec *may;
	uint64_t surplus, before_hlc;
	struct vvec goes;
};

/* The first that is neither too much nor too old ends it. */
static enum shoal_err plan_record(void *ctx, uint64_t position, struct slice bytes)
{
	struct log_plan *plan = ctx;
	struct record rec;
	enum shoal_err rc = record_get(bytes, &rec);

	(void)position;
	if (rc != SHOAL_OK)
		return rc;
	if (plan->surplus == 0 && rec.stamp.hlc >= plan->before_hlc)
		return SHOAL_ECANCELLED;
	if (!vvec_covers(plan->may, rec.stamp.dot))
		return SHOAL_OK;
	plan->surplus -= bytes.len < plan->surplus ? bytes.len : plan->surplus;
	return vvec_raise(&plan->goes, rec.stamp.dot.log, rec.stamp.dot.seq);
}

static enum shoal_err plan_cut(const struct store_ops *ops, struct store *s, struct content_op *op, struct error *e)
{
	struct log_plan plan = { .may = &op->vector, .before_hlc = op->after };
	uint64_t bytes;
	enum shoal_err rc = ops->log_bytes(s, &bytes, e);

	if (rc != SHOAL_OK)
		return rc;
	plan.surplus = bytes > op->limit ? bytes - op->limit : 0;
	rc = ops->log_read(s, 0, SIZE_MAX, plan_record, &plan, e);
	vvec_fini(&op->vector);
	op->vector = plan.goes;
	return rc == SHOAL_ECANCELLED ? SHOAL_OK : rc;
}

static bool hashes_ok(const struct content_op *op, struct error *e)
{
	uint64_t pieces = content_pieces(op->size), n = op->data.len / 32;

	if (op->size > CONTENT_SIZE_MAX)
		return error_set(e, SHOAL_EUSAGE, "a file of that size cannot be shared"), false;
	if (op->data.len % 32 != 0 || op->first > pieces || n > pieces - op->first)
		return error_set(e, SHOAL_EPROTO, "hashes of pieces that the file does not have"), false;
	return true;
}

enum shoal_err store_content(const struct store_ops *ops, struct store *s, struct content_op *op, struct error *e)
{
	switch (op->kind) {
	case CONTENT_LOG_READ: return read_log(ops, s, op, e);
	case CONTENT_LOG_CUT: return ops->log_cut(s, &op->vector, e);
	case CONTENT_LOG_PLAN: return plan_cut(ops, s, op, e);
	case CONTENT_BACKUP: return ops->backup(s, op->path, e);
	case CONTENT_STAGE_PUT:
	case CONTENT_STAGE_READ:
	case CONTENT_STAGE_DROP: return ops->stage(s, op, e);
	case CONTENT_PUT:
		if (!hashes_ok(op, e))
			return op->size > CONTENT_SIZE_MAX ? SHOAL_EUSAGE : SHOAL_EPROTO;
		return ops->content(s, op, e);
	case CONTENT_CHECK:
		if (op->size > CONTENT_SIZE_MAX)
			return error_set(e, SHOAL_EUSAGE, "a file of that size cannot be shared");
		return ops->content(s, op, e);
	case CONTENT_GET:
		if (op->count > CONTENT_CHUNK)
			return error_set(e, SHOAL_EPROTO, "more than %u hashes at once", CONTENT_CHUNK);
		return ops->content(s, op, e);
	case CONTENT_DROP: return ops->content(s, op, e);
	}
	return error_set(e, SHOAL_EINTERNAL, "no such content operation");
}

/* -- content ids */

uint64_t content_pieces(uint64_t size)
{
	return size / CONTENT_PIECE_SIZE + (size % CONTENT_PIECE_SIZE != 0);
}

void content_hash_begin(struct content_hash *ch, uint64_t size, const struct id32 *file_hash)
{
	sha256_init(&ch->h);
	tuple_add_str(&ch->h, "content");
	tuple_add_u64(&ch->h, size);
	tuple_add_u32(&ch->h, CONTENT_PIECE_SIZE);
	tuple_add(&ch->h, file_hash->b, sizeof(file_hash->b));
}

void content_hash_add(struct content_hash *ch, const void *hashes, size_t len)
{
	const uint8_t *p = hashes;
	for (size_t i = 0; i + 32 <= len; i += 32)
		tuple_add(&ch->h, p + i, 32);
}

void content_hash_end(struct content_hash *ch, struct id32 *out)
{
	sha256_final(&ch->h, out);
}
