/* core/piece/shared_file.h - a complete file on disk that is being served.
 *
 * Immutable after shared_file_open(), so any thread may use it; whoever opened it closes it, when no reader is being
 * opened any more. Readers are descriptors of their own (one per thread) and outlive it. Opening and checking touch the
 * disk, but only its metadata. */
#ifndef SHOAL_PIECE_SHARED_FILE_H
#define SHOAL_PIECE_SHARED_FILE_H
#include <stdint.h>

#include "core/base/error.h"
#include "core/piece/file_reader.h"

struct shared_file;

/* A regular file, never through a symbolic link as the last step of path. expected: the stamp remembered when it was
 * hashed; another one now is SHOAL_ECONFLICT. NULL: whatever is there. */
enum shoal_err shared_file_open(const char *path, const struct file_stamp *expected, struct shared_file **out,
                                struct error *e);
void shared_file_close(struct shared_file *sf); /* NULL is fine */
const struct file_stamp *shared_file_stamp(const struct shared_file *sf);

/* SHOAL_ECONFLICT if the file was written to, cut, replaced or removed since it was opened: it is not served any more.
 * An open and a stat: once a second, or at the beginning of a piece, are both fine. */
enum shoal_err shared_file_check(const struct shared_file *sf, struct error *e);

/* A descriptor of one's own: file_reader_read(), or sendfile(2) on its fd; file_reader_close() it. */
enum shoal_err shared_file_reader(const struct shared_file *sf, struct file_reader *out, struct error *e);
#endif
