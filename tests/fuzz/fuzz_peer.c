/* tests/fuzz/fuzz_peer.c - a peer's bytes: head, then body. */
#include "core/wire/peer_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum peer_type type;
	uint32_t len;
	while (size >= PEER_HEAD_SIZE && peer_head_check(data, &type, &len) == SHOAL_OK) {
		data += PEER_HEAD_SIZE;
		size -= PEER_HEAD_SIZE;
		size_t n = len < size ? len : size;
		struct buf text = { 0 };
		peer_check(type, slice_of(data, n));
		peer_print(&text, type, slice_of(data, n));
		buf_free(&text);
		data += n;
		size -= n;
	}
	return 0;
}
