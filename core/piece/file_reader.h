/* core/piece/file_reader.h - a descriptor of one's own to read a file with, and the marks by which one knows it again.
 *
 * A file_reader belongs to one thread at a time, which reads at offsets with lseek and read; sendfile(2) with an offset
 * pointer may use its descriptor directly. Two readers of one file never share a file position. */
#ifndef SHOAL_PIECE_FILE_READER_H
#define SHOAL_PIECE_FILE_READER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

/* What tells that a file has not been changed or replaced. */
struct file_stamp {
	uint64_t size;
	int64_t mtime_ns;
	uint64_t inode;
	uint64_t device; /* not stable over a reboot on every file system: compared only within one run */
};

/* Of an open descriptor. Not a regular file: SHOAL_EUSAGE. `shown` names it in the sentence. */
enum shoal_err file_stamp_of(int fd, const char *shown, struct file_stamp *out, struct error *e);
/* Size, mtime and inode are equal (the device is not looked at). */
bool file_stamp_eq(const struct file_stamp *a, const struct file_stamp *b);

struct file_reader {
	int fd;       /* for sendfile(2); -1: not open */
	uint64_t pos; /* private: where the descriptor stands */
};

/* Exactly len bytes at offset; fewer (the file was cut) is SHOAL_ECONFLICT, a read error SHOAL_EIO. */
enum shoal_err file_reader_read(struct file_reader *r, uint64_t offset, void *out, size_t len, struct error *e);
void file_reader_close(struct file_reader *r); /* twice is fine */
#endif
