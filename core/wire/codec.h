/* core/wire/codec.h - a message's fields are listed once; the list makes its struct, put, get and print.
 *
 *	#define MSG_JOIN_FIELDS(F) F(str, group) F(u64, since)
 *	CODEC_DECLARE(msg_join, MSG_JOIN_FIELDS)       in a header
 *	CODEC_DEFINE(msg_join, MSG_JOIN_FIELDS)        in one .c file
 *
 * gives struct msg_join { struct slice group; uint64_t since; } and
 *	void msg_join_put(struct buf *, const struct msg_join *);
 *	void msg_join_get(struct cursor *, struct msg_join *);     str and blob stay slices into the received bytes
 *	void msg_join_print(struct buf *, const struct msg_join *); "group=\"team\" since=5", escaped; secrets are starred
 *
 * Kinds: u8 u16 u32 u64 id16 id32 str (u16 length) blob (u32 length) secret (a str that is never printed). */
#ifndef SHOAL_WIRE_CODEC_H
#define SHOAL_WIRE_CODEC_H
#include "core/base/buf.h"
#include "core/base/id.h"
#include "core/wire/cursor.h"

typedef uint8_t codec_u8;
typedef uint16_t codec_u16;
typedef uint32_t codec_u32;
typedef uint64_t codec_u64;
typedef struct id16 codec_id16;
typedef struct id32 codec_id32;
typedef struct slice codec_str;
typedef struct slice codec_blob;
typedef struct slice codec_secret;

#define codec_put_u8(b, v) buf_put_u8(b, v)
#define codec_put_u16(b, v) buf_put_u16(b, v)
#define codec_put_u32(b, v) buf_put_u32(b, v)
#define codec_put_u64(b, v) buf_put_u64(b, v)
#define codec_put_id16(b, v) buf_put(b, (v).b, sizeof((v).b))
#define codec_put_id32(b, v) buf_put(b, (v).b, sizeof((v).b))
#define codec_put_str(b, v) buf_put_str(b, (v).data, (v).len)
#define codec_put_blob(b, v) buf_put_blob(b, (v).data, (v).len)
#define codec_put_secret(b, v) buf_put_str(b, (v).data, (v).len)
#define codec_get_u8(c) get_u8(c)
#define codec_get_u16(c) get_u16(c)
#define codec_get_u32(c) get_u32(c)
#define codec_get_u64(c) get_u64(c)
#define codec_get_id16(c) get_id16(c)
#define codec_get_id32(c) get_id32(c)
#define codec_get_str(c) get_str(c)
#define codec_get_blob(c) get_blob(c)
#define codec_get_secret(c) get_str(c)

void codec_print_u64(struct buf *b, const char *name, uint64_t v);
void codec_print_bytes(struct buf *b, const char *name, const void *data, size_t len); /* hex, at most 32 bytes */
void codec_print_text(struct buf *b, const char *name, struct slice s);                /* quoted and escaped */
#define codec_print_u8(b, n, v) codec_print_u64(b, n, v)
#define codec_print_u16(b, n, v) codec_print_u64(b, n, v)
#define codec_print_u32(b, n, v) codec_print_u64(b, n, v)
#define codec_print_id16(b, n, v) codec_print_bytes(b, n, (v).b, sizeof((v).b))
#define codec_print_id32(b, n, v) codec_print_bytes(b, n, (v).b, sizeof((v).b))
#define codec_print_str(b, n, v) codec_print_text(b, n, v)
#define codec_print_blob(b, n, v) codec_print_bytes(b, n, (v).data, (v).len)
#define codec_print_secret(b, n, v) codec_print_text(b, n, slice_str("***"))

#define CODEC_FIELD_STRUCT(kind, name) codec_##kind name;
#define CODEC_FIELD_PUT(kind, name) codec_put_##kind(b, m->name);
#define CODEC_FIELD_GET(kind, name) m->name = codec_get_##kind(c);
#define CODEC_FIELD_PRINT(kind, name) codec_print_##kind(b, #name, m->name);

#define CODEC_DECLARE(type, FIELDS)                              \
	struct type {                                            \
		FIELDS(CODEC_FIELD_STRUCT)                       \
	};                                                       \
	void type##_put(struct buf *b, const struct type *m);    \
	void type##_get(struct cursor *c, struct type *m);       \
	void type##_print(struct buf *b, const struct type *m);

#define CODEC_DEFINE(type, FIELDS)                                                     \
	void type##_put(struct buf *b, const struct type *m)                           \
	{                                                                              \
		(void)b, (void)m;                                                      \
		FIELDS(CODEC_FIELD_PUT)                                                \
	}                                                                              \
	void type##_get(struct cursor *c, struct type *m)                              \
	{                                                                              \
		(void)c, (void)m;                                                      \
		FIELDS(CODEC_FIELD_GET)                                                \
	}                                                                              \
	void type##_print(struct buf *b, const struct type *m)                         \
	{                                                                              \
		(void)b, (void)m;                                                      \
		FIELDS(CODEC_FIELD_PRINT)                                              \
	}
#endif
