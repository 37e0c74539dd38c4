/* core/piece/shared_file.c */
#include "core/piece/shared_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/mem.h"

struct shared_file {
	char *path;
	int fd; /* keeps the inode, so that its number is not given to another file meanwhile */
	struct file_stamp stamp;
};

/* O_NONBLOCK: a FIFO of that name must not hang us before it is seen to be one. */
static int open_plain(const char *path)
{
	return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static enum shoal_err changed(const char *path, struct error *e)
{
	return error_set(e, SHOAL_ECONFLICT, "'%s' has changed on disk since it was shared", path);
}

/* Opens path and looks whether it is the file with that stamp (NULL: any, which is then filled in). */
static enum shoal_err open_same(const char *path, const struct file_stamp *expected, struct file_stamp *found, int *out,
                                struct error *e)
{
	int fd = open_plain(path);

	if (fd < 0 && errno == ELOOP)
		return error_set(e, SHOAL_EDENIED, "'%s' is a symbolic link", path);
	if (fd < 0)
		return error_errno(e, "cannot open '%s'", path);
	enum shoal_err rc = file_stamp_of(fd, path, found, e);
	if (rc == SHOAL_OK && expected != NULL && !file_stamp_eq(found, expected))
		rc = changed(path, e);
	if (rc != SHOAL_OK) {
		close(fd);
		return rc;
	}
	*out = fd;
	return SHOAL_OK;
}

enum shoal_err shared_file_open(const char *path, const struct file_stamp *expected, struct shared_file **out,
                                struct error *e)
{
	struct shared_file *sf = try_alloc(sizeof(*sf));
	char *copy = try_strdup(path);
	enum shoal_err rc;

	if (sf == NULL || copy == NULL)
		rc = error_set(e, SHOAL_EBUSY, "out of memory opening '%s'", path);
	else
		rc = open_same(path, expected, &sf->stamp, &sf->fd, e);
	if (rc != SHOAL_OK) {
		free(copy);
		free(sf);
		return rc;
	}
	sf->path = copy;
	*out = sf;
	return SHOAL_OK;
}

void shared_file_close(struct shared_file *sf)
{
	if (sf == NULL)
		return;
	close(sf->fd);
	free(sf->path);
	free(sf);
}

const struct file_stamp *shared_file_stamp(const struct shared_file *sf)
{
	return &sf->stamp;
}

enum shoal_err shared_file_check(const struct shared_file *sf, struct error *e)
{
	struct file_stamp now;
	int fd;
	enum shoal_err rc = open_same(sf->path, &sf->stamp, &now, &fd, e);

	if (rc != SHOAL_OK) /* gone, or a link now, is as changed as other content */
		return rc == SHOAL_ENOTFOUND || rc == SHOAL_EDENIED || rc == SHOAL_EUSAGE ? changed(sf->path, e) : rc;
	close(fd);
	return now.device == sf->stamp.device ? SHOAL_OK : changed(sf->path, e);
}

enum shoal_err shared_file_reader(const struct shared_file *sf, struct file_reader *out, struct error *e)
{
	struct file_stamp now;
	int fd;
	enum shoal_err rc = open_same(sf->path, &sf->stamp, &now, &fd, e);

	if (rc == SHOAL_OK)
		*out = (struct file_reader){ .fd = fd };
	return rc;
}
