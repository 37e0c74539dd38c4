/* core/wire/sync_msg.c */
#include "core/wire/sync_msg.h"

#include "core/base/planted.h"
#include "core/wire/record.h"

#define X(num, NAME, word, fields, row) CODEC_DEFINE(sync_##word, fields)
SYNC_KINDS(X)
#undef X
CODEC_DEFINE(sync_lease_row, SYNC_LEASE_ROW_FIELDS)
CODEC_DEFINE(sync_lease_sum_row, SYNC_LEASE_SUM_ROW_FIELDS)
CODEC_DEFINE(sync_peer_row, SYNC_PEER_ROW_FIELDS)
CODEC_DEFINE(sync_none, SYNC_NONE_FIELDS)

enum row_kind { ROW_none, ROW_lease_row, ROW_lease_sum_row, ROW_peer_row };

const char *sync_kind_word(unsigned kind)
{
	switch (kind) {
#define X(num, NAME, word, fields, row) \
	case num:                       \
		return #word;
		SYNC_KINDS(X)
#undef X
	}
	return NULL;
}

bool sync_kind_is_list(unsigned kind)
{
	switch (kind) {
#define X(num, NAME, word, fields, row) \
	case num:                       \
		return ROW_##row != ROW_none;
		SYNC_KINDS(X)
#undef X
	}
	return false;
}

size_t sync_begin(struct buf *b, enum sync_kind kind)
{
	size_t start = frame_begin(b, TAG_SYNC);
	buf_put_u8(b, (uint8_t)kind);
	return start;
}

bool sync_vector_ok(struct slice vector)
{
	struct cursor c = cursor_of(vector.data, vector.len);
	uint64_t before = 0;

	if (vector.len % SYNC_VECTOR_ENTRY != 0)
		return false;
	while (cursor_left(&c) != 0) {
		uint64_t log = get_u64(&c);
		uint64_t seq = get_u64(&c);
		if (log <= before || seq == 0)
			return false;
		before = log;
	}
	return true;
}

/* Reads the kind's fields; *rows is what kind of rows follow. */
static enum shoal_err get_fields(struct cursor *c, unsigned kind, struct buf *print, enum row_kind *rows)
{
	switch (kind) {
#define X(num, NAME, word, fields, row)                   \
	case num: {                                       \
		struct sync_##word m;                     \
		sync_##word##_get(c, &m);                 \
		if (print != NULL)                        \
			sync_##word##_print(print, &m);   \
		*rows = ROW_##row;                        \
		break;                                    \
	}
		SYNC_KINDS(X)
#undef X
	default:
		return SHOAL_ENOTFOUND;
	}
	return SHOAL_OK;
}

#define GET_ROW(type, c, print)                              \
	do {                                                 \
		struct sync_##type row;                      \
		sync_##type##_get(c, &row);                  \
		if ((print) != NULL && !(c)->bad)            \
			sync_##type##_print(print, &row);    \
	} while (0)

static void get_rows(struct cursor *c, enum row_kind kind, unsigned count, struct buf *print)
{
	for (unsigned i = 0; i < count && !c->bad; i++) {
		if (kind == ROW_lease_row)
			GET_ROW(lease_row, c, print);
		else if (kind == ROW_lease_sum_row)
			GET_ROW(lease_sum_row, c, print);
		else
			GET_ROW(peer_row, c, print);
	}
}

/* A list's count is its only field: the u16 behind the kind. */
static unsigned list_count(struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	get_u8(&c);
	return get_u16(&c);
}

static bool vectors_ok(struct slice body, unsigned kind)
{
	struct cursor c = cursor_of(body.data, body.len);

	get_u8(&c);
	if (kind == SYNC_HELLO) {
		struct sync_hello m;
		sync_hello_get(&c, &m);
		return sync_vector_ok(m.vector);
	}
	if (kind == SYNC_ACK) {
		struct sync_ack m;
		sync_ack_get(&c, &m);
		return sync_vector_ok(m.vector);
	}
	if (kind == SYNC_SNAP_BEGIN) {
		struct sync_snap_begin m;
		sync_snap_begin_get(&c, &m);
		return sync_vector_ok(m.vector);
	}
	return true;
}

enum shoal_err sync_check(struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	enum row_kind rows = ROW_none;
	unsigned kind = get_u8(&c);

	if (c.bad)
		return SHOAL_EPROTO;
	if (get_fields(&c, kind, NULL, &rows) == SHOAL_ENOTFOUND)
		return SHOAL_ENOTFOUND;
	if (rows != ROW_none)
		get_rows(&c, rows, list_count(body), NULL);
	if (cursor_end(&c) != SHOAL_OK && !PLANTED(sync_leftover))
		return SHOAL_EPROTO;
	return vectors_ok(body, kind) ? SHOAL_OK : SHOAL_EPROTO;
}

void sync_print(struct buf *b, struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	enum row_kind rows = ROW_none;
	unsigned kind = get_u8(&c);
	const char *word = sync_kind_word(kind);

	if (word == NULL) {
		buf_printf(b, "kind %u (%zu bytes)", kind, body.len);
		return;
	}
	if (kind == SYNC_OP) { /* begins with the op's name: "create_user ..." */
		struct sync_op op;
		sync_op_get(&c, &op);
		record_print(b, op.record);
		return;
	}
	buf_printf(b, "%s ", word);
	get_fields(&c, kind, b, &rows);
	if (rows != ROW_none)
		get_rows(&c, rows, list_count(body), b);
	if (cursor_end(&c) != SHOAL_OK)
		buf_printf(b, " (broken)");
}
