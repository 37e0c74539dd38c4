/* core/piece/storage_folder.c - names that others chose, below a folder that the user chose. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/name.h"
#include "core/piece/storage_internal.h"

enum { TRIES_MAX = 16, EXTENSION_MAX = 32 };

int folder_open_file(int folder, const char *name, int flags)
{
	flags |= O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	struct open_how how = {
		.flags = (uint64_t)flags,
		.mode = (flags & O_CREAT) != 0 ? 0666 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	int fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));

	/* an old kernel, or a filter that knows no openat2; name_check() let no slash through, so this is as narrow */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM) && strchr(name, '/') == NULL)
		fd = openat(folder, name, flags, 0666);
	return fd;
}

void folder_candidate(const char *name, unsigned n, char out[STORED_NAME_MAX + 1])
{
	if (n == 0) {
		snprintf(out, STORED_NAME_MAX + 1, "%s", name);
		return;
	}
	const char *dot = strrchr(name, '.');
	if (dot == NULL || dot == name || strlen(dot) > EXTENSION_MAX)
		dot = name + strlen(name);
	size_t stem = (size_t)(dot - name);
	char number[16];
	size_t tail = (size_t)snprintf(number, sizeof(number), ".%u", n) + strlen(dot);
	while (stem + tail > NAME_FILE_MAX || (stem > 0 && ((unsigned char)name[stem] & 0xc0) == 0x80))
		stem--; /* never in the middle of a character */
	snprintf(out, STORED_NAME_MAX + 1, "%.*s%s%s", (int)stem, name, number, dot);
}

bool folder_has(int folder, const char *name)
{
	struct stat st;
	return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool folder_leads_to(int folder, const char *name, uint64_t device, uint64_t inode)
{
	struct stat st;
	return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* A second name for the same file could be anybody's file elsewhere: we would write into that. */
static enum shoal_err check_plain(const struct storage *st, int fd, const char *name, struct error *e)
{
	struct stat s;
	if (fstat(fd, &s) != 0)
		return error_errno(e, "cannot look at '%s/%s'", st->folder_shown, name);
	if (!S_ISREG(s.st_mode) || s.st_nlink > 1)
		return error_set(e, SHOAL_EDENIED, "'%s/%s' is in the way: it is not a plain file with one name",
		                 st->folder_shown, name);
	return SHOAL_OK;
}

enum shoal_err folder_open_plain(const struct storage *st, const char *name, bool *created, int *out, struct error *e)
{
	int fd = -1;

	*created = false;
	for (int i = 0; i < TRIES_MAX && fd < 0; i++) {
		fd = folder_open_file(st->folder, name, O_RDWR);
		if (fd >= 0 || errno != ENOENT)
			break;
		fd = folder_open_file(st->folder, name, O_RDWR | O_CREAT | O_EXCL);
		*created = fd >= 0;
		if (fd < 0 && errno != EEXIST) /* EEXIST: somebody else has made it this very moment */
			break;
	}
	if (fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO || errno == EXDEV))
		return error_set(e, SHOAL_EDENIED, "'%s/%s' is in the way: it is a link, a folder or a device",
		                 st->folder_shown, name);
	if (fd < 0)
		return error_errno(e, "cannot create '%s/%s'", st->folder_shown, name);
	enum shoal_err rc = check_plain(st, fd, name, e);
	if (rc != SHOAL_OK) {
		close(fd);
		return rc;
	}
	*out = fd;
	return SHOAL_OK;
}

/* For file systems without RENAME_NOREPLACE: link(2) does not replace either. */
static int rename_by_link(int folder, const char *from, const char *to)
{
	if (linkat(folder, from, folder, to, 0) == 0)
		return unlinkat(folder, from, 0);
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
		return -1;
	if (folder_has(folder, to)) { /* no links either (FAT): a check, and a moment's trust */
		errno = EEXIST;
		return -1;
	}
	return renameat(folder, from, folder, to);
}

enum shoal_err folder_rename(int folder, const char *from, const char *to, bool replace, struct error *e)
{
	int rc = replace ? renameat(folder, from, folder, to) : renameat2(folder, from, folder, to, RENAME_NOREPLACE);

	if (rc != 0 && !replace && (errno == EINVAL || errno == ENOSYS))
		rc = rename_by_link(folder, from, to);
	if (rc != 0 && errno == EEXIST)
		return error_set(e, SHOAL_EEXISTS, "a file '%s' has appeared meanwhile", to);
	return rc == 0 ? SHOAL_OK : error_errno(e, "cannot rename '%s' to '%s'", from, to);
}
