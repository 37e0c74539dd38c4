/* core/registry/row_view.c - a row's columns taken apart, and put together. */
#include "core/registry/row.h"

#include <assert.h>
#include <string.h>

/* -- reading: what is not there stays zero */

static struct cursor column_cursor(const struct row *row, uint8_t column)
{
	struct slice v = row_column(row, column);
	return cursor_of(v.data, v.len);
}

static uint64_t read_integer(const struct row *row, uint8_t column)
{
	struct slice v = row_column(row, column);
	uint64_t n = 0;
	for (size_t i = 0; i < v.len; i++)
		n = n << 8 | v.data[i];
	return n;
}

static void read_stamp(const struct row *row, uint8_t column, struct stamp *out)
{
	struct cursor c = column_cursor(row, column);
	*out = get_stamp(&c);
}

static void read_stamp_id(const struct row *row, uint8_t column, struct stamp *stamp, struct id16 *id)
{
	struct cursor c = column_cursor(row, column);
	*stamp = get_stamp(&c);
	*id = get_id16(&c);
}

static void read_closing(const struct row *row, uint8_t column, struct closing *out)
{
	struct cursor c = column_cursor(row, column);
	out->at = get_stamp(&c);
	out->by = get_id16(&c);
	out->reason = (enum close_reason)get_u8(&c);
	out->text = get_rest(&c);
}

static struct id16 read_id16(const struct row *row, uint8_t column)
{
	struct cursor c = column_cursor(row, column);
	return get_id16(&c);
}

static struct id32 read_id32(const struct row *row, uint8_t column)
{
	struct cursor c = column_cursor(row, column);
	return get_id32(&c);
}

static struct cursor key_cursor(const struct row *row)
{
	struct slice key = row_key(row);
	return cursor_of(key.data, key.len);
}

static struct dot get_dot(struct cursor *c)
{
	struct dot dot;
	dot.log = get_u64(c);
	dot.seq = get_u64(c);
	return dot;
}

void user_row_read(const struct row *row, struct user_row *out)
{
	struct cursor key = key_cursor(row), password = column_cursor(row, USER_PASSWORD);
	*out = (struct user_row){ .uid = get_id16(&key), .name = row_column(row, USER_NAME) };
	read_stamp(row, USER_CLAIM, &out->claim);
	out->yielded = read_integer(row, USER_YIELDED) != 0;
	out->password_at = get_stamp(&password);
	out->password = get_rest(&password);
}

void group_row_read(const struct row *row, struct group_row *out)
{
	struct cursor key = key_cursor(row), owner = column_cursor(row, GROUP_OWNER);
	struct stamp deleted_at;
	*out = (struct group_row){ .gid = get_id16(&key), .name = row_column(row, GROUP_NAME) };
	out->creator = read_id16(row, GROUP_CREATOR);
	read_stamp(row, GROUP_CLAIM, &out->claim);
	out->yielded = read_integer(row, GROUP_YIELDED) != 0;
	out->deleted = row_column(row, GROUP_DELETED).len != 0;
	read_stamp_id(row, GROUP_DELETED, &deleted_at, &out->deleted_by);
	out->owner_generation = get_u32(&owner);
	get_stamp(&owner);
	out->owner = get_id16(&owner);
}

void mem_row_read(const struct row *row, struct mem_row *out)
{
	struct cursor key = key_cursor(row);
	*out = (struct mem_row){ 0 };
	out->key.gid = get_id16(&key);
	out->key.uid = get_id16(&key);
	out->key.dot = get_dot(&key);
	out->phase = (enum mem_phase)read_integer(row, MEM_PHASE);
	read_stamp(row, MEM_SINCE, &out->since);
	read_stamp_id(row, MEM_ACCEPT, &out->accept, &out->accepted_by);
	read_closing(row, MEM_CLOSE, &out->close);
}

void file_row_read(const struct row *row, struct file_row *out)
{
	struct cursor key = key_cursor(row);
	*out = (struct file_row){ 0 };
	out->gid = get_id16(&key);
	out->fid = get_id16(&key);
	out->name = row_column(row, FILE_NAME);
	out->content = read_id32(row, FILE_CONTENT);
	out->size = read_integer(row, FILE_SIZE);
	out->hash = read_id32(row, FILE_HASH);
	read_stamp_id(row, FILE_CLAIM, &out->claim, &out->uploader);
	out->yielded = read_integer(row, FILE_YIELDED) != 0;
}

void share_row_read(const struct row *row, struct share_row *out)
{
	struct cursor key = key_cursor(row);
	*out = (struct share_row){ 0 };
	out->key.gid = get_id16(&key);
	out->key.fid = get_id16(&key);
	out->key.uid = get_id16(&key);
	out->key.dot = get_dot(&key);
	out->phase = (enum open_phase)read_integer(row, SHARE_PHASE);
	out->device = read_id32(row, SHARE_DEVICE);
	read_stamp(row, SHARE_SINCE, &out->since);
	read_closing(row, SHARE_STOP, &out->stop);
}

void sess_row_read(const struct row *row, struct sess_row *out)
{
	struct cursor key = key_cursor(row);
	*out = (struct sess_row){ 0 };
	out->key.uid = get_id16(&key);
	out->key.dot = get_dot(&key);
	out->phase = (enum open_phase)read_integer(row, SESS_PHASE);
	out->device = read_id32(row, SESS_DEVICE);
	read_stamp(row, SESS_PASSWORD_AT, &out->password_at);
	read_stamp(row, SESS_SINCE, &out->since);
	read_closing(row, SESS_CLOSE, &out->close);
}

void role_row_read(const struct row *row, struct role_row *out)
{
	struct cursor key = key_cursor(row), role = column_cursor(row, ROLE_ROLE);
	*out = (struct role_row){ 0 };
	out->gid = get_id16(&key);
	out->uid = get_id16(&key);
	out->at = get_stamp(&role);
	out->role = get_u8(&role);
}

void content_row_read(const struct row *row, struct content_row *out)
{
	struct cursor key = key_cursor(row);
	*out = (struct content_row){ .content = get_id32(&key) };
	out->size = read_integer(row, CONTENT_SIZE);
	out->piece_size = (uint32_t)read_integer(row, CONTENT_PIECE_LEN);
}

void notice_row_read(const struct row *row, struct notice_row *out)
{
	struct cursor key = key_cursor(row);
	*out = (struct notice_row){ .id = get_id16(&key) };
	out->kind = row_column(row, NOTICE_KIND);
	out->group = row_column(row, NOTICE_GROUP);
	out->subject = row_column(row, NOTICE_SUBJECT);
	out->whom = read_id16(row, NOTICE_WHOM);
	read_stamp(row, NOTICE_AT, &out->at);
	out->seen = read_integer(row, NOTICE_SEEN) != 0;
}

/* -- building */

static enum column_join join_of(unsigned table, unsigned column)
{
#define X(TABLE, COLUMN, num, join, least, most)                    \
	if (table == TABLE_##TABLE && column == TABLE##_##COLUMN) \
		return JOIN_##join;
	ROW_COLUMNS(X)
#undef X
	assert(!"a column of the table");
	return JOIN_FIXED;
}

void row_begin(struct row_build *rb, struct buf *b, uint16_t table, const void *key, size_t key_len)
{
	buf_put_u16(b, table);
	buf_put_str(b, key, key_len);
	*rb = (struct row_build){ .b = b, .table = table, .columns_at = b->len };
	buf_put_u16(b, 0); /* filled in by row_end() */
}

void row_put(struct row_build *rb, uint8_t column, const void *value, size_t len)
{
	buf_put_u8(rb->b, column);
	buf_put_u8(rb->b, (uint8_t)join_of(rb->table, column));
	buf_put_str(rb->b, value, len);
}

void row_put_u8(struct row_build *rb, uint8_t column, uint8_t v)
{
	row_put(rb, column, &v, 1);
}

static void write_u64(uint8_t out[8], uint64_t v)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (56 - 8 * i));
}

void row_put_u64(struct row_build *rb, uint8_t column, uint64_t v)
{
	uint8_t w[8];
	write_u64(w, v);
	row_put(rb, column, w, sizeof(w));
}

static void begin_value(struct row_build *rb, uint8_t column, size_t len)
{
	buf_put_u8(rb->b, column);
	buf_put_u8(rb->b, (uint8_t)join_of(rb->table, column));
	buf_put_u16(rb->b, (uint16_t)len);
}

void row_put_stamp(struct row_build *rb, uint8_t column, const struct stamp *s)
{
	begin_value(rb, column, STAMP_WIRE_SIZE);
	stamp_put(rb->b, s);
}

void row_put_stamp_id(struct row_build *rb, uint8_t column, const struct stamp *s, const struct id16 *id)
{
	begin_value(rb, column, STAMP_WIRE_SIZE + sizeof(id->b));
	stamp_put(rb->b, s);
	buf_put(rb->b, id->b, sizeof(id->b));
}

void row_put_closing(struct row_build *rb, uint8_t column, const struct closing *c)
{
	begin_value(rb, column, STAMP_WIRE_SIZE + sizeof(c->by.b) + 1 + c->text.len);
	stamp_put(rb->b, &c->at);
	buf_put(rb->b, c->by.b, sizeof(c->by.b));
	buf_put_u8(rb->b, (uint8_t)c->reason);
	buf_put(rb->b, c->text.data, c->text.len);
}

void row_end(struct row_build *rb)
{
	struct buf *b = rb->b;
	size_t len = b->len - rb->columns_at - 2;

	if (b->failed)
		return;
	assert(len <= UINT16_MAX);
	b->data[rb->columns_at] = (uint8_t)(len >> 8);
	b->data[rb->columns_at + 1] = (uint8_t)len;
}

static void pack_dot(uint8_t out[16], struct dot dot)
{
	write_u64(out, dot.log);
	write_u64(out + 8, dot.seq);
}

void mem_key_pack(const struct mem_key *k, uint8_t out[MEM_KEY_SIZE])
{
	memcpy(out, k->gid.b, 16);
	memcpy(out + 16, k->uid.b, 16);
	pack_dot(out + 32, k->dot);
}

void share_key_pack(const struct share_key *k, uint8_t out[SHARE_KEY_SIZE])
{
	memcpy(out, k->gid.b, 16);
	memcpy(out + 16, k->fid.b, 16);
	memcpy(out + 32, k->uid.b, 16);
	pack_dot(out + 48, k->dot);
}

void sess_key_pack(const struct sess_key *k, uint8_t out[SESS_KEY_SIZE])
{
	memcpy(out, k->uid.b, 16);
	pack_dot(out + 16, k->dot);
}
