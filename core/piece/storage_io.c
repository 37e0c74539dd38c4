/* core/piece/storage_io.c - descriptors of one's own to the part file. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/piece/storage_internal.h"

struct storage_writer {
	/* immutable */
	int fd;
	const struct metainfo *meta;
	/* its thread */
	uint64_t pos; /* where fd stands; UINT64_MAX: unknown */
};

/* The file that storage_open() locked, and no other that has taken its name since. */
static enum shoal_err reopen(const struct storage *st, int flags, int *out, struct error *e)
{
	const char *name = st->part >= 0 && !st->finished ? st->part_name : st->name;
	struct file_stamp stamp;
	int fd = folder_open_file(st->folder, name, flags);

	if (fd < 0)
		return error_errno(e, "cannot open '%s/%s'", st->folder_shown, name);
	enum shoal_err rc = file_stamp_of(fd, name, &stamp, e);
	if (rc == SHOAL_OK && (stamp.inode != st->inode || stamp.device != st->device))
		rc = error_set(e, SHOAL_ECONFLICT, "'%s/%s' was replaced by another file", st->folder_shown, name);
	if (rc != SHOAL_OK) {
		close(fd);
		return rc;
	}
	*out = fd;
	return SHOAL_OK;
}

enum shoal_err storage_writer_open(struct storage *st, struct storage_writer **out, struct error *e)
{
	if (st->part < 0 || st->finished)
		return error_set(e, SHOAL_EINTERNAL, "'%s' is not being written", st->path);
	struct storage_writer *w = try_alloc(sizeof(*w));
	if (w == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory writing '%s'", st->path);
	enum shoal_err rc = reopen(st, O_WRONLY, &w->fd, e);
	if (rc != SHOAL_OK) {
		free(w);
		return rc;
	}
	w->meta = st->meta;
	*out = w;
	return SHOAL_OK;
}

void storage_writer_close(struct storage_writer *w)
{
	if (w == NULL)
		return;
	close(w->fd); /* whether the data arrived is told by the flush, not here */
	free(w);
}

enum shoal_err storage_write_piece(struct storage_writer *w, uint32_t piece, const void *data, size_t len,
                                   struct error *e)
{
	if (piece >= w->meta->npieces || len != metainfo_piece_len(w->meta, piece))
		return error_set(e, SHOAL_EINTERNAL, "piece %u has not %zu bytes", piece, len);
	uint64_t offset = metainfo_piece_offset(w->meta, piece);
	if (w->pos != offset && lseek(w->fd, (off_t)offset, SEEK_SET) < 0)
		return error_errno(e, "cannot seek to piece %u", piece);
	w->pos = UINT64_MAX;
	if (!fs_write_all(w->fd, data, len))
		return error_errno(e, "cannot write piece %u", piece);
	w->pos = offset + len;
	return SHOAL_OK;
}

enum shoal_err storage_reader_open(const struct storage *st, struct file_reader *out, struct error *e)
{
	int fd;
	enum shoal_err rc = reopen(st, O_RDONLY, &fd, e);
	if (rc == SHOAL_OK)
		*out = (struct file_reader){ .fd = fd };
	return rc;
}
