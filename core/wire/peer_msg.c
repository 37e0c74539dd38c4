/* core/wire/peer_msg.c */
#include "core/wire/peer_msg.h"

#include "core/base/planted.h"

#define X(num, NAME, word, fields, least, most) CODEC_DEFINE(peer_##word, fields)
PEER_MSGS(X)
#undef X

static const struct {
	const char *word;
	uint32_t least, most;
} types[PEER_TYPES] = {
#define X(num, NAME, word_, fields, least_, most_) [num] = { .word = #word_, .least = least_, .most = most_ },
	PEER_MSGS(X)
#undef X
};

enum shoal_err peer_head_check(const uint8_t head[PEER_HEAD_SIZE], enum peer_type *type, uint32_t *body_len)
{
	struct cursor c = cursor_of(head, PEER_HEAD_SIZE);
	uint32_t length = get_u32(&c);
	uint8_t number = get_u8(&c);

	if (number >= PEER_TYPES || length == 0)
		return SHOAL_EPROTO;
	length--;
	if (length < types[number].least || length > types[number].most)
		return SHOAL_EPROTO;
	*type = (enum peer_type)number;
	*body_len = length;
	return SHOAL_OK;
}

const char *peer_word(enum peer_type type)
{
	return (unsigned)type < PEER_TYPES ? types[type].word : "?";
}

size_t peer_begin(struct buf *b, enum peer_type type)
{
	size_t start = b->len;
	buf_put_u32(b, 0);
	buf_put_u8(b, (uint8_t)type);
	return start;
}

void peer_end(struct buf *b, size_t start, uint32_t extra)
{
	buf_set_u32(b, start, (uint32_t)(b->len - start - 4) + extra);
}

/* Reads the fields of one type; prints them if asked to. */
static void walk(enum peer_type type, struct cursor *c, struct buf *print)
{
	switch (type) {
#define X(num, NAME, word, fields, least, most)        \
	case PEER_##NAME: {                            \
		struct peer_##word m;                  \
		peer_##word##_get(c, &m);              \
		if (print != NULL)                     \
			peer_##word##_print(print, &m); \
		break;                                 \
	}
		PEER_MSGS(X)
#undef X
	case PEER_TYPES: break;
	}
}

void peer_print(struct buf *b, enum peer_type type, struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	buf_printf(b, "%s ", peer_word(type));
	walk(type, &c, b);
}

enum shoal_err peer_check(enum peer_type type, struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	if ((unsigned)type >= PEER_TYPES || body.len < types[type].least || body.len > types[type].most)
		return SHOAL_EPROTO;
	walk(type, &c, NULL);
	if (type == PEER_PIECE)
		get_rest(&c);
	return PLANTED(peer_leftover) && !c.bad ? SHOAL_OK : cursor_end(&c);
}
