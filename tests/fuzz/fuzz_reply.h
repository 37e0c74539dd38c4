/* tests/fuzz/fuzz_reply.h - a tracker's reply to any verb, with fields and up to three rows from the input. */
#ifndef SHOAL_TESTS_FUZZ_REPLY_H
#define SHOAL_TESTS_FUZZ_REPLY_H
#include "core/wire/cmd.h"
#include "tests/fuzz/fuzz.h"

CMD_REPLIES(FUZZ_DEFINE)

static void any_row_none(const struct fuzz_pool *pool, struct cursor *in, struct buf *b)
{
	(void)pool;
	(void)in;
	(void)b;
}

static void any_reply(const struct fuzz_pool *pool, unsigned verb, struct cursor *in, struct buf *b)
{
	switch (verb) {
#define X(num, NAME, word, req, rep, row, login, change)            \
	case num:                                                   \
		any_##rep(pool, in, b);                             \
		if (strcmp(#row, "row_none") != 0) {                \
			unsigned n = get_u8(in) % 4;                \
			buf_put_u16(b, (uint16_t)n);                \
			for (; n > 0; n--)                          \
				any_##row(pool, in, b);             \
		}                                                   \
		break;
		CMD_VERBS(X)
#undef X
	}
}
#endif
