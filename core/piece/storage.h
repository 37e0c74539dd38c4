/* core/piece/storage.h - where a download is written: NAME.part, its journal NAME.part.state, in the end NAME.
 *
 * NAME.part is preallocated and gets verified pieces only. The journal says which of them are safely on the disk and
 * holds the SHA-256 midstate of the verified front, so that the same command goes on where it was without hashing
 * again. NAME appears only when every piece and the whole-file hash are right. Two storages never write the same part
 * file (flock).
 *
 * Threads. The *owner* thread holds struct storage: open, mark_verified, flush_new/free, front_new, reader, writer,
 * finish, close. A writer, a reader and a flush are separate objects: each may be used on one other thread at a time,
 * beside the owner; a front by any number. All of them must be back (freed, or at least idle) before finish, close or discard.
 * Blocking calls are marked (disk): run them on the pool; hand the storage itself over for open, finish and close.
 *
 * Life: storage_open -> [writer: storage_write_piece -> owner: storage_mark_verified]* with a flush whenever
 * storage_flush_due() and front steps whenever storage_front_behind() -> storage_finish -> storage_close. */
#ifndef SHOAL_PIECE_STORAGE_H
#define SHOAL_PIECE_STORAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/workers.h"
#include "core/piece/bitfield.h"
#include "core/piece/file_hash.h"
#include "core/piece/file_reader.h"
#include "core/piece/metainfo.h"

#define STORAGE_FLUSH_BYTES (UINT64_C(32) << 20) /* verified data between two journal entries */
#define STORAGE_FRONT_STEP (UINT64_C(8) << 20)   /* a good bound for one storage_front_step() */

/* What to do when a file of that name is there already. */
enum storage_exists {
	STORAGE_EXISTS_FAIL,    /* SHOAL_EEXISTS */
	STORAGE_EXISTS_RESUME,  /* if it has this content: done, nothing to fetch; else SHOAL_EEXISTS */
	STORAGE_EXISTS_REPLACE, /* it stays until the new one is complete, then is replaced in one step */
	STORAGE_EXISTS_RENAME,  /* the new one becomes "name.1.ext", "name.2.ext", ... */
	STORAGE_EXISTS_SKIP,    /* left as it is, nothing is fetched */
};

/* How storage_open() found things. */
enum storage_start {
	STORAGE_FRESH,     /* nothing was there */
	STORAGE_RESUMED,   /* the journal vouches for some pieces */
	STORAGE_RESTARTED, /* a part file was there, its journal damaged or of another content: start over; logged */
	STORAGE_COMPLETE,  /* the finished file is there with this content: finish is a no-op */
	STORAGE_SKIPPED,   /* policy SKIP and a file of that name is there: finish is a no-op */
};

struct storage_options {
	const char *folder;         /* destination folder, chosen by the user; links in it are followed */
	const char *name;           /* file name: may come from others, is checked here (name_check) */
	const struct metainfo *meta; /* complete and verified; borrowed until storage_close() */
	enum storage_exists on_exists;
	bool sparse;                /* do not preallocate */
	bool pieces_only;           /* storage_finish() does not hash the whole file: each piece was verified */
	uint64_t flush_bytes;       /* 0: STORAGE_FLUSH_BYTES */
	struct workers *pool;       /* RESUME has to hash a finished file: helpers for that; NULL: alone */
	struct file_hash_progress *progress; /* its progress and cancel; may be NULL */
	struct log *log;            /* NULL: silent */
};

struct storage;        /* owner thread */
struct storage_writer; /* one thread at a time */
struct storage_front;  /* any thread */
struct storage_flush;  /* one thread at a time */

/* (disk) Opens or resumes. Errors: SHOAL_EUSAGE a bad name; SHOAL_EEXISTS by policy, or when a file that is not ours has
 * the part file's or journal's name; SHOAL_EBUSY another download writes this part file; SHOAL_EDISKFULL no room to
 * preallocate (nothing is left behind, or what was resumable is still there); SHOAL_EDENIED a link, or a file that is
 * not a plain one with one name, stands in the way; SHOAL_EIO. */
enum shoal_err storage_open(const struct storage_options *o, struct storage **out, struct error *e);
/* (disk) A last flush of the journal, then everything is closed; its error is told (the part file stays resumable from
 * the flush before). st is gone either way. NULL is fine. */
enum shoal_err storage_close(struct storage *st, struct error *e);
/* (disk) Closes and removes part file and journal. Never touches a finished file. */
void storage_discard(struct storage *st);

enum storage_start storage_start(const struct storage *st);
const struct bitfield *storage_bitfield(const struct storage *st); /* verified pieces, borrowed; NULL: an empty file */
bool storage_has_all(const struct storage *st);
uint64_t storage_verified_bytes(const struct storage *st);
/* The path of the finished file, as folder/name; RENAME may change it in storage_open() and in storage_finish(). */
const char *storage_path(const struct storage *st);

/* A descriptor of one's own to write with (owner thread; the writer is then handed to its thread). */
enum shoal_err storage_writer_open(struct storage *st, struct storage_writer **out, struct error *e);
void storage_writer_close(struct storage_writer *w); /* NULL is fine */
/* (disk) The whole piece, already verified (metainfo_piece_ok()). SHOAL_EDISKFULL: nothing is lost, try again later. */
enum shoal_err storage_write_piece(struct storage_writer *w, uint32_t piece, const void *data, size_t len,
                                   struct error *e);
/* A descriptor of one's own to serve from while the file is incomplete, and after it is finished: the same inode. The
 * caller serves verified pieces only. file_reader_close() it. */
enum shoal_err storage_reader_open(const struct storage *st, struct file_reader *out, struct error *e);

/* The piece has been written. Twice is fine. */
void storage_mark_verified(struct storage *st, uint32_t piece);

/* -- The journal. Due after flush_bytes of newly verified data. flush_new takes what is verified now (NULL: one is under
 * way, nothing is new, or no memory: try again later); run does fdatasync, then writes it (disk, any thread); free hands it
 * back, on the owner thread. SHOAL_EDISKFULL or SHOAL_EIO from run: the entry before still holds. */
bool storage_flush_due(const struct storage *st);
struct storage_flush *storage_flush_new(struct storage *st);
enum shoal_err storage_flush_run(struct storage_flush *fl, struct error *e);
void storage_flush_free(struct storage_flush *fl);

/* -- The whole-file hash, which follows the verified front by reading it again, out of the page cache. At most one front
 * per storage; it starts at the journal's midstate. */
enum shoal_err storage_front_new(struct storage *st, struct storage_front **out, struct error *e);
void storage_front_free(struct storage_front *f); /* owner thread; NULL is fine */
/* (disk, any thread) Hashes at most max_bytes, rounded up to whole pieces, and no further than the front has come.
 * *more: there is more to do right away. */
enum shoal_err storage_front_step(struct storage_front *f, uint64_t max_bytes, bool *more, struct error *e);
/* (disk, any thread) If the front has a piece to go and nobody is at it: hashes that one together with `data`, both in
 * little more than the time of one; *ok is then what metainfo_piece_ok() says of data. False: nothing was done. */
bool storage_front_along(struct storage_front *f, uint32_t piece, const void *data, size_t len, bool *ok);
/* Bytes that are verified in one run from the start and not yet hashed. Any thread. */
uint64_t storage_front_behind(const struct storage_front *f);

/* (disk) All pieces are there: hashes the rest of the front, compares with the whole-file hash, flushes, renames into
 * place, flushes the folder, removes the journal. front may be NULL: then what the journal's midstate does not cover is
 * read again.
 * SHOAL_EINTEGRITY: the hash differs (storage_recheck() finds out which pieces); SHOAL_EEXISTS: a file of that name has
 * appeared meanwhile and the policy is neither REPLACE nor RENAME. After an error st is as it was and finish may be
 * called again. After success the part file is gone; readers stay good. */
enum shoal_err storage_finish(struct storage *st, struct storage_front *front, struct error *e);

/* Many small files: one syncfs per file system instead of an fsync each, then the renames. Each gets its own answer. */
struct storage_finish {
	struct storage *st;
	struct storage_front *front;
	enum shoal_err rc;
	struct error e;
};
void storage_finish_batch(struct storage_finish *items, size_t n);

/* (disk) After SHOAL_EINTEGRITY: reads every verified piece again, forgets those whose hash is wrong (call
 * swarm_on_lost() for them) and writes the journal. The front, if any, must be freed before and made anew.
 * *nbad = 0: all pieces are right, so the metainfo itself was made wrongly. */
enum shoal_err storage_recheck(struct storage *st, uint32_t *nbad, struct error *e);
#endif
