/* core/registry/store.h - the tracker's memory on disk: what the store thread is handed, and the backends' one face.
 *
 * A transaction carries its own copies and goes from the loop thread to the store thread; whoever has it last frees it.
 * Rows are opaque here: table, key, columns. The log keeps records in the order of their arrival, each with a position
 * that only grows. Backends: SQLite (tracker/store_sqlite.c) and memory (store_mem.h); both pass
 * tests/unit/registry/store_conformance.h. The functions of a store are called by one thread at a time. */
#ifndef SHOAL_REGISTRY_STORE_H
#define SHOAL_REGISTRY_STORE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/id.h"
#include "core/registry/vvec.h"
#include "core/wire/record.h"

/* -- a transaction: all of it or nothing */
struct store_txn {
	struct buf rows;    /* store_txn_put/_del, read with store_txn_next_row(), in this order */
	struct buf records; /* blobs, in the order of arrival: store_txn_next_record() */
	struct vvec vector; /* entries to set: the larger of stored and given */
	struct vvec floor;  /* after a snapshot: records up to there are not in the log; the larger of stored and given */
	uint64_t hlc;       /* the clock to continue from; the larger of stored and given */
	uint64_t adopt;     /* a stage whose rows are put first, before `rows`; 0: none */
};

struct store_row {
	bool gone; /* delete this key; columns are empty */
	struct wire_row row;
};

struct store_txn *store_txn_new(void); /* NULL: no memory */
void store_txn_free(struct store_txn *txn);
bool store_txn_ok(const struct store_txn *txn); /* false: an allocation failed while it was built; never commit it */
void store_txn_put(struct store_txn *txn, const struct wire_row *row);
void store_txn_del(struct store_txn *txn, uint16_t table, struct slice key);
void store_txn_record(struct store_txn *txn, struct slice record);
bool store_txn_next_row(struct cursor *c, struct store_row *out);       /* c: cursor_of(rows.data, rows.len) */
bool store_txn_next_record(struct cursor *c, struct slice *out);        /* c: cursor_of(records.data, records.len) */

/* -- bulk data and the log, asked for from the loop through env.content(); the answer comes back in the same struct */
enum content_op_kind {
	CONTENT_PUT,      /* id, size, first, data: whole 32-byte hashes of pieces first .. ; kept though not yet verified */
	CONTENT_GET,      /* id, first, count <= 1024 -> data: the hashes that there are */
	CONTENT_CHECK,    /* id, size, file_hash: all hashes are there and give the id; then it is complete, for ever.
	                   * SHOAL_ENOTFOUND: some are missing (have tells how many there are in a row from 0);
	                   * SHOAL_EINTEGRITY: they do not give the id; they are deleted
	                   * unless they were complete: then size or file_hash is wrong */
	CONTENT_DROP,     /* id: forget it */
	CONTENT_LOG_READ, /* after, limit -> data: records as blobs, at most `limit` bytes but at least one; next, more */
	CONTENT_LOG_CUT,  /* vector: delete records up to there; the floor rises */
	CONTENT_LOG_PLAN, /* vector: what may go, limit: bytes that may stay, after: an hlc; answers in vector what is to go:
	                   * the oldest of what may, until no more than `limit` bytes are left and none before `after` */
	CONTENT_BACKUP,   /* path: a copy of the whole store into a new file */
	/* Rows put aside under a number that is not 0, until a transaction adopts them: a snapshot that is on its way. They
	 * are not durable before that, and gone after a restart. */
	CONTENT_STAGE_PUT,  /* stage, data: rows, one after the other; a key that is there already is put anew */
	CONTENT_STAGE_READ, /* stage, limit, data: the row behind which to go on, or empty -> data: at most `limit` bytes of
	                     * rows in the order of table and key, but at least one if there are more; more */
	CONTENT_STAGE_DROP, /* stage: some of it is forgotten, adopted or not; more: there is something left */
};
struct content_op {
	enum content_op_kind kind;
	struct id32 id, file_hash;
	uint64_t size;
	uint32_t first, count;
	uint64_t after;     /* LOG_READ: positions greater than this; LOG_PLAN */
	size_t limit;
	struct vvec vector; /* LOG_CUT, LOG_PLAN */
	char *path;         /* BACKUP: owned */
	uint64_t stage;     /* STAGE_* */
	struct buf data;
	/* -- answers */
	uint64_t have;      /* PUT, CHECK: pieces whose hashes are there in a row from 0 */
	uint64_t next;      /* LOG_READ: position of the last record given (`after` if none) */
	bool more;          /* LOG_READ, STAGE_*: there is more */
};
struct content_op *content_op_new(enum content_op_kind kind); /* NULL: no memory */
void content_op_free(struct content_op *op);                  /* NULL is fine */

/* -- a backend */
struct store;

/* What load() tells, in any order. A result other than SHOAL_OK stops it and is handed on. */
struct store_sink {
	void *ctx;
	enum shoal_err (*row)(void *ctx, const struct wire_row *row);
	enum shoal_err (*vector)(void *ctx, uint64_t log, uint64_t seq);
	enum shoal_err (*floor)(void *ctx, uint64_t log, uint64_t seq);
	enum shoal_err (*hlc)(void *ctx, uint64_t hlc);
	enum shoal_err (*content)(void *ctx, const struct id32 *id); /* complete ones */
};
/* One record of the log; the slice is borrowed. A result other than SHOAL_OK stops the reading and is handed on. */
typedef enum shoal_err store_record_fn(void *ctx, uint64_t position, struct slice record);

struct store_ops {
	const char *name;
	/* where: a path or what the backend understands. SHOAL_EIO, SHOAL_EBUSY (another process has it), SHOAL_EINTEGRITY
	 * (what is there cannot be read). */
	enum shoal_err (*open)(const char *where, struct store **out, struct error *e);
	void (*close)(struct store *s); /* NULL is fine; what was not committed is gone */
	enum shoal_err (*load)(struct store *s, const struct store_sink *sink, struct error *e);
	/* All n transactions, in order, durable on return, or none of them: SHOAL_EDISKFULL, SHOAL_EIO. They stay the
	 * caller's. After SHOAL_EIO the store is to be closed and opened anew. */
	enum shoal_err (*commit)(struct store *s, struct store_txn *const *txns, size_t n, struct error *e);
	/* Records with a position > after, in order, at most `max` of them. Each is verified: SHOAL_EINTEGRITY. */
	enum shoal_err (*log_read)(struct store *s, uint64_t after, size_t max, store_record_fn *fn, void *ctx,
	                           struct error *e);
	/* Deletes the records of each log up to the vector's seq, raises the floors to it. */
	enum shoal_err (*log_cut)(struct store *s, const struct vvec *upto, struct error *e);
	/* How many bytes the records in the log have. */
	enum shoal_err (*log_bytes)(struct store *s, uint64_t *bytes, struct error *e);
	/* PUT, GET, CHECK and DROP. store_content() below is the one to call. */
	enum shoal_err (*content)(struct store *s, struct content_op *op, struct error *e);
	enum shoal_err (*stage)(struct store *s, struct content_op *op, struct error *e); /* the STAGE_ ones */
	enum shoal_err (*backup)(struct store *s, const char *path, struct error *e);
};

/* Runs any content_op on a backend: what the store thread calls for env.content(). */
enum shoal_err store_content(const struct store_ops *ops, struct store *s, struct content_op *op, struct error *e);

/* The content id over all hashes, as docs/protocol.md has it: for CHECK in any backend. begin, the hashes in order
 * in any portions of whole hashes, end. */
struct content_hash {
	struct sha256 h;
};
void content_hash_begin(struct content_hash *ch, uint64_t size, const struct id32 *file_hash);
void content_hash_add(struct content_hash *ch, const void *hashes, size_t len);
void content_hash_end(struct content_hash *ch, struct id32 *out);
/* Pieces of a file of that size. */
uint64_t content_pieces(uint64_t size);
#define CONTENT_SIZE_MAX (UINT64_C(1) << 43) /* 8 TiB: what a CHECK accepts */
#define CONTENT_PIECE_SIZE 524288u
#define CONTENT_CHUNK 1024u /* hashes */
#endif
