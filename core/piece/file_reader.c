/* core/piece/file_reader.c */
#include "core/piece/file_reader.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum shoal_err file_stamp_of(int fd, const char *shown, struct file_stamp *out, struct error *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return error_errno(e, "cannot look at '%s'", shown);
	if (!S_ISREG(st.st_mode))
		return error_set(e, SHOAL_EUSAGE, "'%s' is not a regular file", shown);
	out->size = (uint64_t)st.st_size;
	out->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	out->inode = st.st_ino;
	out->device = st.st_dev;
	return SHOAL_OK;
}

bool file_stamp_eq(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->size == b->size && a->mtime_ns == b->mtime_ns && a->inode == b->inode;
}

enum shoal_err file_reader_read(struct file_reader *r, uint64_t offset, void *out, size_t len, struct error *e)
{
	uint8_t *p = out;

	if (r->pos != offset) {
		if (lseek(r->fd, (off_t)offset, SEEK_SET) < 0)
			return error_errno(e, "cannot seek to %llu", (unsigned long long)offset);
		r->pos = offset;
	}
	while (len != 0) {
		ssize_t n = read(r->fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			enum shoal_err rc = error_errno(e, "cannot read at %llu", (unsigned long long)r->pos);
			r->pos = UINT64_MAX; /* wherever it stands now: the next read seeks */
			return rc;
		}
		if (n == 0)
			return error_set(e, SHOAL_ECONFLICT, "the file ends at %llu: it was cut",
			                 (unsigned long long)r->pos);
		p += n;
		len -= (size_t)n;
		r->pos += (uint64_t)n;
	}
	return SHOAL_OK;
}

void file_reader_close(struct file_reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}
