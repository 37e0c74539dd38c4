/* core/wire/peer_msg.h - what two peers say to each other.
 *
 * u32 length | u8 type | body; length counts type and body. The table gives the shortest and longest body of each type;
 * peer_head_check() is the one door: it is asked before a byte of body is kept. Channels: even numbers are given out by
 * the dialler, odd ones by the acceptor; a number is not used twice on one connection. docs/protocol.md explains. */
#ifndef SHOAL_WIRE_PEER_MSG_H
#define SHOAL_WIRE_PEER_MSG_H
#include "core/wire/cmd.h"
#include "core/wire/codec.h"
#include "core/wire/ticket.h"

#define PEER_HEAD_SIZE 5 /* length and type */
#define PIECE_HEAD_SIZE 14 /* ch, piece, offset, waiting: before the data of a PIECE */
#define BITFIELD_BYTES_MAX 65536u

/* nonce: 32 random bytes, signed by AUTH on plain links. */
#define PEER_HELLO_FIELDS(F) F(u16, version) F(u32, features) F(id32, nonce)
/* public: raw Ed25519 key; signature: 64 bytes over tuple("shoal peer auth v1", role, nonces, identities). */
#define PEER_AUTH_FIELDS(F) F(id32, public) F(str, signature)
#define PEER_OPEN_FIELDS(F) F(u32, ch) F(id16, fid) F(str, ticket)
#define PEER_OPENED_FIELDS(F) F(u32, ch) F(str, ticket)
#define PEER_HAVE_FIELDS(F) F(u32, ch) F(u32, piece)
#define PEER_BITFIELD_FIELDS(F) F(u32, ch) F(u32, first) F(blob, bits)
#define PEER_REQUEST_FIELDS(F) F(u32, ch) F(u32, piece) F(u32, offset) F(u32, length)
#define PEER_PIECE_FIELDS(F) F(u32, ch) F(u32, piece) F(u32, offset) F(u16, waiting)
#define PEER_REJECT_FIELDS(F) F(u32, ch) F(u32, piece) F(u16, code)
#define PEER_TICKET_FIELDS(F) F(u32, ch) F(str, ticket)
#define PEER_CLOSE_FIELDS(F) F(u32, ch) F(u16, code)
#define PEER_KEEPALIVE_FIELDS(F)

/* type, NAME, word, fields, shortest and longest body. PIECE: the fields, then the data to the end of the frame;
 * no data at all is the short-end mark: what was promised does not come (cancelled). */
#define PEER_MSGS(X)                                                                         \
	X(0, HELLO, hello, PEER_HELLO_FIELDS, 38, 38)                                        \
	X(1, AUTH, auth, PEER_AUTH_FIELDS, 98, 98)                                           \
	X(2, OPEN, open, PEER_OPEN_FIELDS, 22, 22 + TICKET_MAX)                              \
	X(3, OPENED, opened, PEER_OPENED_FIELDS, 6, 6 + TICKET_MAX)                          \
	X(4, HAVE, have, PEER_HAVE_FIELDS, 8, 8)                                             \
	X(5, BITFIELD, bitfield, PEER_BITFIELD_FIELDS, 13, 12 + BITFIELD_BYTES_MAX)          \
	X(6, REQUEST, request, PEER_REQUEST_FIELDS, 16, 16)                                  \
	X(7, PIECE, piece, PEER_PIECE_FIELDS, 14, 14 + PIECE_SIZE)                           \
	X(8, CANCEL, cancel, PEER_REQUEST_FIELDS, 16, 16)                                    \
	X(9, REJECT, reject, PEER_REJECT_FIELDS, 10, 10)                                     \
	X(10, TICKET, ticket, PEER_TICKET_FIELDS, 6, 6 + TICKET_MAX)                         \
	X(11, CLOSE, close, PEER_CLOSE_FIELDS, 6, 6)                                         \
	X(12, KEEPALIVE, keepalive, PEER_KEEPALIVE_FIELDS, 0, 0)

enum peer_type {
#define X(num, NAME, word, fields, least, most) PEER_##NAME = num,
	PEER_MSGS(X)
#undef X
	PEER_TYPES
};
#define X(num, NAME, word, fields, least, most) CODEC_DECLARE(peer_##word, fields)
PEER_MSGS(X)
#undef X

/* The five bytes of a head: the body's length in *body_len, or SHOAL_EPROTO if type or length are not allowed. */
enum shoal_err peer_head_check(const uint8_t head[PEER_HEAD_SIZE], enum peer_type *type, uint32_t *body_len);
const char *peer_word(enum peer_type type);
/* Building: peer_begin() puts length and type, peer_end() fills the length in. For PIECE the caller gives the length
 * of the data that follows outside the buffer (`extra`); otherwise 0. */
size_t peer_begin(struct buf *b, enum peer_type type);
void peer_end(struct buf *b, size_t start, uint32_t extra);
void peer_print(struct buf *b, enum peer_type type, struct slice body);
/* SHOAL_EPROTO unless the body is exactly the fields of the type (PIECE: the fields and data). */
enum shoal_err peer_check(enum peer_type type, struct slice body);
#endif
