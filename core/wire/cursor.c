/* core/wire/cursor.c */
#include "core/wire/cursor.h"

#include <string.h>

struct cursor cursor_of(const void *data, size_t len)
{
	static const uint8_t nothing[1];
	const uint8_t *p = len != 0 ? data : nothing;
	return (struct cursor){ .p = p, .end = p + len };
}

size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

struct slice get_bytes(struct cursor *c, size_t n)
{
	if (c->bad || cursor_left(c) < n) {
		c->bad = true;
		return slice_of(c->end, 0);
	}
	struct slice s = slice_of(c->p, n);
	c->p += n;
	return s;
}

static uint64_t get_integer(struct cursor *c, size_t n)
{
	struct slice s = get_bytes(c, n);
	uint64_t v = 0;
	for (size_t i = 0; i < s.len; i++)
		v = v << 8 | s.data[i];
	return v;
}

uint8_t get_u8(struct cursor *c)
{
	return (uint8_t)get_integer(c, 1);
}

uint16_t get_u16(struct cursor *c)
{
	return (uint16_t)get_integer(c, 2);
}

uint32_t get_u32(struct cursor *c)
{
	return (uint32_t)get_integer(c, 4);
}

uint64_t get_u64(struct cursor *c)
{
	return get_integer(c, 8);
}

struct id16 get_id16(struct cursor *c)
{
	struct id16 id = { 0 };
	struct slice s = get_bytes(c, sizeof(id.b));
	if (s.len != 0)
		memcpy(id.b, s.data, s.len);
	return id;
}

struct id32 get_id32(struct cursor *c)
{
	struct id32 id = { 0 };
	struct slice s = get_bytes(c, sizeof(id.b));
	if (s.len != 0)
		memcpy(id.b, s.data, s.len);
	return id;
}

struct slice get_str(struct cursor *c)
{
	return get_bytes(c, get_u16(c));
}

struct slice get_blob(struct cursor *c)
{
	return get_bytes(c, get_u32(c));
}

struct slice get_rest(struct cursor *c)
{
	return get_bytes(c, cursor_left(c));
}

enum shoal_err cursor_end(const struct cursor *c)
{
	return c->bad || c->p != c->end ? SHOAL_EPROTO : SHOAL_OK;
}
