/* core/piece/file_hash.h - for an upload: one pass over a file gives all piece hashes and the whole-file SHA-256.
 *
 * The call blocks until the file is hashed, so it is made on a thread of the caller's choice: one of its own or one of
 * the pool. That thread works along with up to `threads - 1` jobs that are posted to `pool`; it can finish alone, so
 * a pool that is busy or full makes it slower but never stuck. Each byte is read once, into one of a few reused buffers of
 * a piece each; both hashes are made of the same bytes. Progress and cancel may be used by any thread meanwhile. */
#ifndef SHOAL_PIECE_FILE_HASH_H
#define SHOAL_PIECE_FILE_HASH_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/workers.h"
#include "core/piece/file_reader.h"
#include "core/piece/metainfo.h"

struct file_hash_progress {
	_Atomic uint64_t done; /* bytes hashed so far */
	atomic_bool cancel;    /* set it: the call returns SHOAL_ECANCELLED within some milliseconds */
};

/* path: a regular file (a symbolic link is followed: whoever shares a file resolves its path first, since
 * shared_file_open() follows none). pool NULL: this thread alone. progress may be NULL. On success *out is complete and
 * sealed (caller: metainfo_free()) and *stamp says which file it was. Changed, cut or replaced while it was read:
 * SHOAL_ECONFLICT. */
enum shoal_err file_hash_run(const char *path, struct workers *pool, struct file_hash_progress *progress,
                             struct metainfo **out, struct file_stamp *stamp, struct error *e);
/* The same for a descriptor, which is borrowed, read from its start on and not closed. `shown` names it in messages. */
enum shoal_err file_hash_fd(int fd, const char *shown, struct workers *pool, struct file_hash_progress *progress,
                            struct metainfo **out, struct file_stamp *stamp, struct error *e);
#endif
