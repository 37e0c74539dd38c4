/* core/wire/record.h - one operation as it is logged, shipped and stored.
 *
 * u8 version | u8 op | u16 flags | u64 log | u64 seq | u64 hlc | u16 tracker | u8 request[16] | u32 length | rows | u64 check
 * (big endian; check: the first 8 bytes of the SHA-256 of all that is before it). A record is at most 256 KiB.
 * rows: one after the other, each
 *     u16 table | str key | str columns,   columns: rising ids, each  u8 id | u8 join | str value
 * A column says how it is merged, so that a tracker can keep and merge columns and tables that it has never heard of.
 * What the columns mean is core/registry/row.h's. Plain values, any thread; slices point into the bytes read. */
#ifndef SHOAL_WIRE_RECORD_H
#define SHOAL_WIRE_RECORD_H
#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/wire/cursor.h"
#include "core/wire/stamp.h"

#define RECORD_VERSION 1
#define RECORD_MAX 262144u
#define RECORD_HEAD_SIZE 50u
#define RECORD_CHECK_SIZE 8u
#define RECORD_ROWS_MAX (RECORD_MAX - RECORD_HEAD_SIZE - RECORD_CHECK_SIZE)
#define ROW_KEY_MAX 255u

/* number, NAME, word. The first ten are the ten operations of docs/sync.md; numbers are never reused. */
#define RECORD_OPS(X)                              \
	X(1, CREATE_USER, create_user)             \
	X(2, LOGIN, login)                         \
	X(3, LOGOUT, logout)                       \
	X(4, CREATE_GROUP, create_group)           \
	X(5, JOIN_GROUP, join_group)               \
	X(6, ACCEPT_REQUEST, accept_request)       \
	X(7, LEAVE_GROUP, leave_group)             \
	X(8, UPLOAD_FILE_DATA, upload_file_data)   \
	X(9, UPDATE_FILE_INFO, update_file_info)   \
	X(10, STOP_SHARE, stop_share)              \
	X(20, CHANGE_PASSWORD, change_password)    \
	X(21, REJECT_REQUEST, reject_request)      \
	X(22, REMOVE_MEMBER, remove_member)        \
	X(23, TRANSFER_GROUP, transfer_group)      \
	X(24, DELETE_GROUP, delete_group)          \
	X(25, NOTICE, notice)                      \
	X(26, END_SESSION, end_session)            \
	X(27, YIELD, yield)                        \
	X(28, SET_ROLE, set_role)

enum op_kind {
#define X(num, NAME, word) OP_##NAME = num,
	RECORD_OPS(X)
#undef X
};

/* The tables of docs/protocol.md, 5.2: number, NAME, word. */
#define RECORD_TABLES(X)      \
	X(1, USER, user)       \
	X(2, GROUP, group)     \
	X(3, MEM, mem)         \
	X(4, FILE, file)       \
	X(5, SHARE, share)     \
	X(6, SESS, sess)       \
	X(7, ROLE, role)       \
	X(8, CONTENT, content) \
	X(9, NOTICE, notice)

enum table {
#define X(num, NAME, word) TABLE_##NAME = num,
	RECORD_TABLES(X)
#undef X
	TABLE_END
};

enum column_join { JOIN_FIXED = 1, JOIN_MIN = 2, JOIN_MAX = 3 };

struct record {
	uint8_t version;
	uint8_t op; /* enum op_kind, or a number from the future */
	uint16_t flags;
	struct stamp stamp;
	struct id16 request; /* zero: none */
	struct slice rows;
};

struct wire_row {
	uint16_t table;
	struct slice key;
	struct slice columns;
};

struct wire_column {
	uint8_t id;
	uint8_t join;
	struct slice value;
};

const char *op_word(unsigned op);       /* NULL if there is no such operation */
bool op_from_word(const char *word, enum op_kind *out);
const char *table_word(unsigned table); /* NULL if there is no such table */

/* Appends the record with its check. SHOAL_EQUOTA: over RECORD_MAX, nothing appended; SHOAL_EBUSY: no memory. */
enum shoal_err record_put(struct buf *b, const struct record *r);
/* Reads exactly one record: length, check, and that every row and column is well formed. SHOAL_EINTEGRITY: the check
 * does not fit the bytes; SHOAL_EPROTO: not a record; *out is then untouched. out->rows points into `bytes`. */
enum shoal_err record_get(struct slice bytes, struct record *out);
/* "create_user 1f2e.7 hlc=... user(6a..){1=.. 2=..}": for logs; broken input prints what can be read. */
void record_print(struct buf *b, struct slice bytes);

/* One row or column. get: the cursor turns bad on anything malformed (key of 0 or over ROW_KEY_MAX bytes, join
 * unknown, ids not rising). wire_column_get is for wire_row.columns: call while cursor_left() is not 0. */
void wire_row_put(struct buf *b, const struct wire_row *row);
void wire_row_get(struct cursor *c, struct wire_row *row);
void wire_column_put(struct buf *b, const struct wire_column *col);
void wire_column_get(struct cursor *c, struct wire_column *col);
/* The columns of a row are well formed. */
bool wire_columns_check(struct slice columns);
#endif
