/* core/wire/sync_msg.h - what two trackers say to each other, after the tag `SYNC`: u8 kind | fields.
 *
 * The one who dialled says HELLO first and then ships ops; the one who accepted answers HELLO, then ACKs what is durable
 * with it. PING, LEASE and its sums, PEER and BLOB go both ways. Fields are listed once below; docs/protocol.md explains them. A plain
 * module: no socket, no clock. Slices point into the received bytes. */
#ifndef SHOAL_WIRE_SYNC_MSG_H
#define SHOAL_WIRE_SYNC_MSG_H
#include "core/wire/codec.h"
#include "core/wire/frame.h"
#include "core/wire/stamp.h"

#define SYNC_VERSION 2
#define SYNC_VECTOR_ENTRY 16 /* a vector on the wire: this many bytes each: u64 log, u64 seq; logs ascending */

/* cluster: identity of the cluster, as the certificate shows it; from, to: tracker ids of the sender and of whom it means
 * to talk to; log: the sender's log id; vector: what is durable with the sender. */
#define SYNC_HELLO_FIELDS(F)                                                                                 \
	F(id32, cluster) F(u16, version) F(u32, features) F(u16, from) F(u16, to) F(u64, log) F(u64, wall_ms) \
	F(u32, frame_max) F(str, software) F(blob, vector)
/* One log record (core/wire/record.h), as it was first written, check included. */
#define SYNC_OP_FIELDS(F) F(blob, record)
/* The entries of the sender's durable vector that changed since its HELLO or last ACK. */
#define SYNC_ACK_FIELDS(F) F(blob, vector)
/* A snapshot: what it covers; its rows in as many frames as it takes; how many there were. serial tells two apart.
 * tables: bit t: all rows of table t, bit 0: of all tables that the sender does not know; 0xffff: everything. */
#define SYNC_SNAP_BEGIN_FIELDS(F) F(u32, serial) F(blob, vector) F(u64, rows) F(u64, hlc) F(u16, tables)
#define SYNC_SNAP_ROWS_FIELDS(F) F(u32, serial) F(blob, rows)
#define SYNC_SNAP_END_FIELDS(F) F(u32, serial) F(u64, rows) F(id32, hash) /* SHA-256 over all `rows` blobs */
/* How many of its rows are put aside: the sender is never far ahead of that. */
#define SYNC_SNAP_ACK_FIELDS(F) F(u32, serial) F(u64, rows)
/* Why the sender closes the link at HELLO; for people. */
#define SYNC_REFUSED_FIELDS(F) F(str, reason)
/* Piece hashes of a content: a chunk is HASHES_PER_CHUNK of them. have 0: not here; then the rest is empty. */
#define SYNC_BLOB_WANT_FIELDS(F) F(id32, content) F(u32, chunk)
#define SYNC_BLOB_DATA_FIELDS(F) F(id32, content) F(u32, chunk) F(u8, have) F(blob, hashes)
/* Presence: u16 count, then that many rows. */
#define SYNC_LEASE_FIELDS(F) F(u16, count)
#define SYNC_LEASE_SUM_FIELDS(F) F(u16, count)
#define SYNC_LEASE_WANT_FIELDS(F) F(u16, home) /* answered with all LEASE rows of that home, then a LEASE_SUM with all 1 */
#define SYNC_PEER_FIELDS(F) F(u16, count)
/* To the tracker that `uid` on the device `peer` is connected to: somebody of `identity` at `address` cannot reach it for
 * that file, and it shall dial. The sender has checked that both may have the file. */
#define SYNC_DIAL_FIELDS(F) F(id16, fid) F(id16, uid) F(id32, peer) F(id32, identity) F(str, address)
/* vector: hash of all that the sender has acknowledged on this link (HELLO and ACKs), 0 from the one who dialled. */
#define SYNC_PING_FIELDS(F) F(u64, wall_ms) F(u64, vector)
/* state: enum sync_state_told; what is unknown counts as ready. */
#define SYNC_PONG_FIELDS(F) F(u64, wall_ms) F(u8, state)
/* Valid only where the vector hashes the same: per table u64 count, u64 sum of row hashes. */
#define SYNC_DIGEST_FIELDS(F) F(u64, vector) F(blob, tables)

/* number, NAME, word, fields, row of a list (or none) */
#define SYNC_KINDS(X)                                             \
	X(1, HELLO, hello, SYNC_HELLO_FIELDS, none)               \
	X(2, OP, op, SYNC_OP_FIELDS, none)                        \
	X(3, ACK, ack, SYNC_ACK_FIELDS, none)                     \
	X(4, SNAP_BEGIN, snap_begin, SYNC_SNAP_BEGIN_FIELDS, none) \
	X(5, SNAP_ROWS, snap_rows, SYNC_SNAP_ROWS_FIELDS, none)   \
	X(6, SNAP_END, snap_end, SYNC_SNAP_END_FIELDS, none)      \
	X(7, BLOB_WANT, blob_want, SYNC_BLOB_WANT_FIELDS, none)   \
	X(8, BLOB_DATA, blob_data, SYNC_BLOB_DATA_FIELDS, none)   \
	X(9, LEASE, lease, SYNC_LEASE_FIELDS, lease_row)          \
	X(10, PING, ping, SYNC_PING_FIELDS, none)                 \
	X(11, PONG, pong, SYNC_PONG_FIELDS, none)                 \
	X(12, PEER, peer, SYNC_PEER_FIELDS, peer_row)             \
	X(13, DIGEST, digest, SYNC_DIGEST_FIELDS, none)           \
	X(14, SNAP_ACK, snap_ack, SYNC_SNAP_ACK_FIELDS, none)     \
	X(15, REFUSED, refused, SYNC_REFUSED_FIELDS, none)        \
	X(16, LEASE_SUM, lease_sum, SYNC_LEASE_SUM_FIELDS, lease_sum_row) \
	X(17, LEASE_WANT, lease_want, SYNC_LEASE_WANT_FIELDS, none) \
	X(18, DIAL, dial, SYNC_DIAL_FIELDS, none)

enum sync_kind {
#define X(num, NAME, word, fields, row) SYNC_##NAME = num,
	SYNC_KINDS(X)
#undef X
};

enum sync_state_told { SYNC_TOLD_READY, SYNC_TOLD_JOINING, SYNC_TOLD_READONLY };

#define X(num, NAME, word, fields, row) CODEC_DECLARE(sync_##word, fields)
SYNC_KINDS(X)
#undef X

/* epoch: hlc of the (re)connect; beat: counts what the home tracker has told; left_ms 0: gone; steady: 1: sums count it. */
#define SYNC_LEASE_ROW_FIELDS(F)                                                                            \
	F(u64, log) F(u64, seq) F(id16, uid) F(id32, device) F(u16, home) F(u64, epoch) F(u64, beat)        \
	F(u32, left_ms) F(u8, steady) F(str, address)
/* All steady sessions of that home that the sender holds: how many, the sum of their hashes, and that each has a beat
 * and a time left of no less than these. all: 1: every session of that home has just been told. */
#define SYNC_LEASE_SUM_ROW_FIELDS(F) F(u16, home) F(u64, beat) F(u32, steady) F(u64, sum) F(u32, left_ms) F(u8, all)
#define SYNC_PEER_ROW_FIELDS(F)                                                                             \
	F(id16, gid) F(id16, fid) F(id16, uid) F(id32, device) F(u16, home) F(u64, epoch) F(u64, beat)      \
	F(u32, pieces) F(u32, left_ms) F(str, address)
#define SYNC_NONE_FIELDS(F)
CODEC_DECLARE(sync_lease_row, SYNC_LEASE_ROW_FIELDS)
CODEC_DECLARE(sync_lease_sum_row, SYNC_LEASE_SUM_ROW_FIELDS)
CODEC_DECLARE(sync_peer_row, SYNC_PEER_ROW_FIELDS)
CODEC_DECLARE(sync_none, SYNC_NONE_FIELDS)

const char *sync_kind_word(unsigned kind); /* NULL if there is no such kind */
bool sync_kind_is_list(unsigned kind);     /* its one field is the count of the rows that follow */

/* A frame of that kind into b: sync_begin(), the kind's _put (and rows), frame_end(). */
size_t sync_begin(struct buf *b, enum sync_kind kind);

/* SHOAL_EPROTO unless the body is a known kind with exactly its fields and rows, and each vector in it is well formed.
 * An unknown kind from a newer version is SHOAL_ENOTFOUND: to be skipped. */
enum shoal_err sync_check(struct slice body);
/* For a log: the kind's word and its fields, an op begins with its own name. Broken input prints what can be read. */
void sync_print(struct buf *b, struct slice body);

/* Vectors: entries ascending by log id, no zero log or seq, each log once. */
bool sync_vector_ok(struct slice vector);
#endif
