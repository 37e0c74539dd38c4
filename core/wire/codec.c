/* core/wire/codec.c */
#include "core/wire/codec.h"

#include "core/base/name.h"

static void separate(struct buf *b)
{
	if (b->len != 0 && b->data[b->len - 1] != ' ')
		buf_put_u8(b, ' ');
}

void codec_print_u64(struct buf *b, const char *name, uint64_t v)
{
	separate(b);
	buf_printf(b, "%s=%llu", name, (unsigned long long)v);
}

void codec_print_bytes(struct buf *b, const char *name, const void *data, size_t len)
{
	char hex[2 * 32 + 1];
	size_t shown = len < 32 ? len : 32;
	separate(b);
	hex_encode(data, shown, hex);
	if (shown < len)
		buf_printf(b, "%s=%s...(%zu bytes)", name, hex, len);
	else
		buf_printf(b, "%s=%s", name, hex);
}

void codec_print_text(struct buf *b, const char *name, struct slice s)
{
	char text[512];
	separate(b);
	buf_printf(b, "%s=\"%s\"", name, text_escape(s.data, s.len, text, sizeof(text)));
}
