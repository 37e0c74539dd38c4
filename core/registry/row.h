/* core/registry/row.h - the nine tables of docs/sync.md: keys, columns, and how two versions of a row become one.
 *
 * A row is immutable and counted: table, key and columns in wire form, so that what is stored, shipped, hashed and
 * merged are the same bytes. Every column is a byte string with a join: min and max compare bytes, and stamps are
 * written big endian, so the smaller bytes are the earlier stamp; a pair that is joined as one (claim and uploader) is
 * one column with the stamp first. A column that is not there is "nothing known" and gives way to any other. Fixed
 * columns are equal by construction; should they differ all the same, the smaller bytes stand, everywhere.
 * row_merge() is commutative, associative and idempotent, whatever the columns are, known here or not.
 *
 * The structs below are a row's columns taken apart; their slices point into the row. Loop thread only. */
#ifndef SHOAL_REGISTRY_ROW_H
#define SHOAL_REGISTRY_ROW_H
#include "core/base/buf.h"
#include "core/base/id.h"
#include "core/wire/record.h"
#include "core/wire/stamp.h"

/* TABLE, COLUMN, number, join, shortest and longest value. Numbers are never reused. */
#define ROW_COLUMNS(X)                                                                        \
	X(USER, NAME, 1, FIXED, 1, 64)         /* text */                                     \
	X(USER, CLAIM, 2, MIN, 26, 26)         /* stamp */                                    \
	X(USER, YIELDED, 3, MAX, 1, 1)         /* u8 */                                       \
	X(USER, PASSWORD, 4, MAX, 27, 26 + 160) /* stamp, record */                           \
	X(GROUP, NAME, 1, FIXED, 1, 64)                                                       \
	X(GROUP, CREATOR, 2, FIXED, 16, 16)    /* uid */                                      \
	X(GROUP, CLAIM, 3, MIN, 26, 26)                                                       \
	X(GROUP, YIELDED, 4, MAX, 1, 1)                                                       \
	X(GROUP, DELETED, 5, MAX, 42, 42)      /* stamp, uid of who did it */                 \
	X(GROUP, OWNER, 6, MAX, 46, 46)        /* u32 generation, stamp, uid */               \
	X(MEM, PHASE, 1, MAX, 1, 1)            /* enum mem_phase */                           \
	X(MEM, ACCEPT, 2, MIN, 42, 42)         /* stamp, uid of the owner who accepted */     \
	X(MEM, CLOSE, 3, MIN, 43, 43 + 200)    /* stamp, uid, u8 enum close_reason, text */   \
	X(MEM, SINCE, 4, FIXED, 26, 26)        /* stamp of the op that made the instance */   \
	X(FILE, NAME, 1, FIXED, 1, 240)                                                       \
	X(FILE, CONTENT, 2, FIXED, 32, 32)                                                    \
	X(FILE, SIZE, 3, FIXED, 8, 8)                                                         \
	X(FILE, HASH, 4, FIXED, 32, 32)        /* SHA-256 of the whole file */                \
	X(FILE, CLAIM, 5, MIN, 42, 42)         /* stamp, uid of the uploader: one pair */     \
	X(FILE, YIELDED, 6, MAX, 1, 1)                                                        \
	X(SHARE, PHASE, 1, MAX, 1, 1)          /* enum open_phase */                          \
	X(SHARE, DEVICE, 2, FIXED, 32, 32)                                                    \
	X(SHARE, STOP, 3, MIN, 43, 43)         /* stamp, uid, u8 enum close_reason */         \
	X(SHARE, SINCE, 4, FIXED, 26, 26)                                                     \
	X(SESS, PHASE, 1, MAX, 1, 1)           /* enum open_phase */                          \
	X(SESS, DEVICE, 2, FIXED, 32, 32)                                                     \
	X(SESS, PASSWORD_AT, 3, FIXED, 26, 26) /* stamp of the password it was opened with */ \
	X(SESS, SINCE, 4, FIXED, 26, 26)                                                      \
	X(SESS, CLOSE, 5, MIN, 43, 43)         /* stamp, uid, u8 enum close_reason */         \
	X(ROLE, ROLE, 1, MAX, 27, 27)          /* stamp, u8 role */                           \
	X(CONTENT, SIZE, 1, FIXED, 8, 8)                                                      \
	X(CONTENT, PIECE_LEN, 2, FIXED, 4, 4)                                                \
	X(NOTICE, KIND, 1, FIXED, 1, 32)       /* word */                                     \
	X(NOTICE, WHOM, 2, FIXED, 16, 16)      /* uid */                                      \
	X(NOTICE, GROUP, 3, FIXED, 0, 300)     /* name of the group, may be empty */          \
	X(NOTICE, SUBJECT, 4, FIXED, 0, 300)   /* name of the user or file */                 \
	X(NOTICE, AT, 5, MIN, 26, 26)                                                         \
	X(NOTICE, SEEN, 6, MAX, 1, 1)

enum row_column {
#define X(TABLE, COLUMN, num, join, least, most) TABLE##_##COLUMN = num,
	ROW_COLUMNS(X)
#undef X
};

enum mem_phase { MEM_ASKED = 1, MEM_MEMBER = 2, MEM_CLOSED = 3 };
enum open_phase { PHASE_OPEN = 1, PHASE_CLOSED = 2 };
enum close_reason {
	CLOSE_OWN = 1,        /* left, withdrew, stopped, logged out */
	CLOSE_REJECTED = 2,   /* the owner refused the request */
	CLOSE_REMOVED = 3,    /* the owner removed the member; the file was removed with its last online seeder */
	CLOSE_SUPERSEDED = 4, /* a newer session of the same device, or too many sessions */
	CLOSE_PASSWORD = 5,   /* the password was changed */
	CLOSE_ENDED = 6,      /* ended from another session of the user */
	CLOSE_DELETED = 7,    /* the group was deleted */
	CLOSE_UNUSED = 8,     /* a session that nobody has used for days */
};

/* Who is not the owner. A role counts for the membership it was given in, not for a later one. */
enum member_role {
	ROLE_MEMBER = 1,
	ROLE_ADMIN = 2,  /* answers requests, removes members */
	ROLE_READER = 3, /* downloads, shares nothing */
};

/* Keys. Instances (mem, share, sess) end in the dot of the operation that made them; vectors rest on that. */
struct mem_key {
	struct id16 gid, uid;
	struct dot dot;
};
struct share_key {
	struct id16 gid, fid, uid;
	struct dot dot;
};
struct sess_key {
	struct id16 uid;
	struct dot dot;
};

/* A zero stamp or an empty slice: that column is not there. */
struct closing {
	struct stamp at;
	struct id16 by;
	enum close_reason reason;
	struct slice text;
};
struct user_row {
	struct id16 uid;
	struct slice name;
	struct stamp claim;
	bool yielded;
	struct stamp password_at;
	struct slice password;
};
struct group_row {
	struct id16 gid;
	struct slice name;
	struct id16 creator;
	struct stamp claim;
	bool yielded, deleted;
	struct id16 deleted_by;
	uint32_t owner_generation; /* 0: no override */
	struct id16 owner;         /* the override */
};
struct mem_row {
	struct mem_key key;
	enum mem_phase phase;
	struct stamp since;
	struct stamp accept;
	struct id16 accepted_by;
	struct closing close;
};
struct file_row {
	struct id16 gid, fid;
	struct slice name;
	struct id32 content, hash;
	uint64_t size;
	struct stamp claim;
	struct id16 uploader;
	bool yielded;
};
struct share_row {
	struct share_key key;
	enum open_phase phase;
	struct id32 device;
	struct stamp since;
	struct closing stop;
};
struct sess_row {
	struct sess_key key;
	enum open_phase phase;
	struct id32 device;
	struct stamp password_at, since;
	struct closing close;
};
struct role_row {
	struct id16 gid, uid;
	struct stamp at;
	uint8_t role;
};
struct content_row {
	struct id32 content;
	uint64_t size;
	uint32_t piece_size;
	bool held; /* this tracker has the verified hashes: local, not a column */
};
struct notice_row {
	struct id16 id;
	struct slice kind, group, subject;
	struct id16 whom;
	struct stamp at;
	bool seen;
};

/* -- rows as bytes */
struct row {
	uint32_t refs;
	uint16_t table, key_len, columns_len;
	uint8_t wire[]; /* the row as wire_row_put() writes it */
};

/* A row with one reference, checked: for a known table the key's length, and for known columns join, length and (names)
 * the rules of core/base/name.h. SHOAL_EPROTO or SHOAL_EBUSY (no memory); *out is then untouched. */
enum shoal_err row_new(const struct wire_row *wire, struct row **out);
struct row *row_ref(struct row *row);
void row_unref(struct row *row); /* NULL is fine */
struct slice row_key(const struct row *row);
struct slice row_columns(const struct row *row);
struct slice row_wire(const struct row *row);
/* The value of a column; empty with data NULL if it is not there. */
struct slice row_column(const struct row *row, uint8_t column);

/* The join of two rows of one key, with one reference for the caller; `a` itself (one reference more) if b adds nothing.
 * NULL: no memory. */
struct row *row_merge(struct row *a, const struct row *b);
bool row_closed(const struct row *row); /* a closed instance; always false for other tables */
bool row_dot(const struct row *row, struct dot *dot); /* false: the table has no instances */
bool table_has_dots(unsigned table);
uint64_t row_hash(const struct row *row); /* for digests: first 8 bytes of SHA-256 over the wire form */
/* The largest time in any of its known stamps. */
uint64_t row_hlc(const struct row *row);

void user_row_read(const struct row *row, struct user_row *out);
void group_row_read(const struct row *row, struct group_row *out);
void mem_row_read(const struct row *row, struct mem_row *out);
void file_row_read(const struct row *row, struct file_row *out);
void share_row_read(const struct row *row, struct share_row *out);
void sess_row_read(const struct row *row, struct sess_row *out);
void role_row_read(const struct row *row, struct role_row *out);
void content_row_read(const struct row *row, struct content_row *out);
void notice_row_read(const struct row *row, struct notice_row *out);

/* -- building: row_begin(), row_put_* in rising order of columns, row_end(); a failure is sticky in the buffer. */
struct row_build {
	struct buf *b;
	uint16_t table;
	size_t columns_at;
};
void row_begin(struct row_build *rb, struct buf *b, uint16_t table, const void *key, size_t key_len);
void row_put(struct row_build *rb, uint8_t column, const void *value, size_t len);
void row_put_u8(struct row_build *rb, uint8_t column, uint8_t v);
void row_put_u64(struct row_build *rb, uint8_t column, uint64_t v);
void row_put_stamp(struct row_build *rb, uint8_t column, const struct stamp *s);
void row_put_stamp_id(struct row_build *rb, uint8_t column, const struct stamp *s, const struct id16 *id);
void row_put_closing(struct row_build *rb, uint8_t column, const struct closing *c);
void row_end(struct row_build *rb);

#define MEM_KEY_SIZE 48
#define SHARE_KEY_SIZE 64
#define SESS_KEY_SIZE 32
void mem_key_pack(const struct mem_key *k, uint8_t out[MEM_KEY_SIZE]);
void share_key_pack(const struct share_key *k, uint8_t out[SHARE_KEY_SIZE]);
void sess_key_pack(const struct sess_key *k, uint8_t out[SESS_KEY_SIZE]);

/* The ids, as docs/protocol.md section 1 has them. */
void uid_of(struct slice name, const struct id16 *request, struct id16 *out);
void gid_of(const struct id16 *creator, struct slice name, const struct id16 *request, struct id16 *out);
void fid_of(const struct id16 *gid, struct slice name, const struct id32 *content, struct id16 *out);
#endif
