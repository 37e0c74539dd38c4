/* tests/fuzz/fuzz_peer.c - a peer's bytes: head, then body. What passes the check is written as the same bytes again. */
#include "core/wire/peer_msg.h"
#include "tests/fuzz/fuzz.h"

/* PIECE is the fields, then data. */
static void check_again(enum peer_type type, struct slice body)
{
	struct buf again = { 0 };
	struct cursor c = cursor_of(body.data, body.len);
	switch (type) {
#define X(num, NAME, word, fields, least, most)    \
	case PEER_##NAME: {                        \
		struct peer_##word m;              \
		peer_##word##_get(&c, &m);         \
		peer_##word##_put(&again, &m);     \
		break;                             \
	}
		PEER_MSGS(X)
#undef X
	case PEER_TYPES: break;
	}
	CHECK(!c.bad && again.len == body.len - cursor_left(&c));
	CHECK(cursor_left(&c) == 0 || type == PEER_PIECE);
	CHECK(again.len == 0 || memcmp(again.data, body.data, again.len) == 0);
	buf_free(&again);
}

static void check_body(enum peer_type type, struct slice body)
{
	struct buf text = { 0 };
	uint8_t *copy = fuzz_copy(body);
	body.data = copy;
	if (peer_check(type, body) == SHOAL_OK)
		check_again(type, body);
	peer_print(&text, type, body);
	fuzz_check_printable(&text);
	buf_free(&text);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum peer_type type;
	uint32_t len;
	while (size >= PEER_HEAD_SIZE && peer_head_check(data, &type, &len) == SHOAL_OK) {
		data += PEER_HEAD_SIZE;
		size -= PEER_HEAD_SIZE;
		size_t n = len < size ? len : size;
		check_body(type, slice_of(data, n));
		data += n;
		size -= n;
	}
	return 0;
}
