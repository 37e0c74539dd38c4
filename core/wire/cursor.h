/* core/wire/cursor.h - reading fields out of received bytes.
 *
 * A cursor that ran out stays bad and yields zeros, so one check at the end (cursor_end) serves all fields. Slices that
 * it gives point into the bytes it reads. A plain value. */
#ifndef SHOAL_WIRE_CURSOR_H
#define SHOAL_WIRE_CURSOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/base/id.h"

struct cursor {
	const uint8_t *p, *end;
	bool bad;
};

struct cursor cursor_of(const void *data, size_t len);
size_t cursor_left(const struct cursor *c);
uint8_t get_u8(struct cursor *c);
uint16_t get_u16(struct cursor *c);
uint32_t get_u32(struct cursor *c);
uint64_t get_u64(struct cursor *c);
struct id16 get_id16(struct cursor *c);
struct id32 get_id32(struct cursor *c);
struct slice get_bytes(struct cursor *c, size_t n);
struct slice get_str(struct cursor *c);  /* u16 length + bytes */
struct slice get_blob(struct cursor *c); /* u32 length + bytes */
struct slice get_rest(struct cursor *c);
/* SHOAL_EPROTO if bytes were missing, or are left over. */
enum shoal_err cursor_end(const struct cursor *c);
#endif
