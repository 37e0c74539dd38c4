/* core/base/buf.h - a growing run of bytes: what is being built to be sent, or has been received and not yet read.
 *
 * Zero-initialised is empty. A failed allocation is sticky: `failed` is set, later puts do nothing, and whoever built
 * the message looks once at the end. Not thread-safe; the owner frees it with buf_free(). */
#ifndef SHOAL_BASE_BUF_H
#define SHOAL_BASE_BUF_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t len, cap;
	bool failed;
};

/* A borrowed view of somebody else's bytes: valid as long as those are. */
struct slice {
	const uint8_t *data;
	size_t len;
};

void buf_free(struct buf *b); /* empty again, and usable */
void buf_reset(struct buf *b); /* empty again, keeps the memory */
bool buf_reserve(struct buf *b, size_t more);
void buf_put(struct buf *b, const void *data, size_t len);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v); /* big endian, as all integers here */
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_str(struct buf *b, const void *data, size_t len);  /* u16 length + bytes; over 65535 bytes: failed */
void buf_put_blob(struct buf *b, const void *data, size_t len); /* u32 length + bytes */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_set_u32(struct buf *b, size_t at, uint32_t v); /* overwrites four bytes that are there already */
void buf_consume(struct buf *b, size_t n);              /* drops the first n bytes */
/* Takes the bytes over from the buffer, with a NUL behind them; NULL if it failed. */
char *buf_steal_str(struct buf *b);

struct slice slice_of(const void *data, size_t len);
struct slice slice_str(const char *s);
bool slice_eq(struct slice a, struct slice b);
bool slice_eq_str(struct slice a, const char *s);
/* Copies into out[size] with a NUL; false (and an empty string) if it does not fit or holds a NUL. */
bool slice_to_str(struct slice s, char *out, size_t size);
#endif
