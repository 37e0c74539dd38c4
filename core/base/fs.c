/* core/base/fs.c */
#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "core/base/crypto.h"
#include "core/base/mem.h"

char *str_printf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0) {
		fputs("shoal: out of memory\n", stderr);
		abort();
	}
	va_end(ap);
	return s;
}

bool fs_write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;
	while (len != 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

enum shoal_err fs_read_file(const char *path, size_t max, struct buf *out, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, "cannot open '%s'", path);
	for (size_t total = 0;;) {
		if (!buf_reserve(out, 4096)) {
			rc = error_set(e, SHOAL_EBUSY, "out of memory reading '%s'", path);
			break;
		}
		ssize_t n = read(fd, out->data + out->len, out->cap - out->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = error_errno(e, "cannot read '%s'", path);
		if (n <= 0)
			break;
		out->len += (size_t)n;
		total += (size_t)n;
		if (total > max) {
			rc = error_set(e, SHOAL_EUSAGE, "'%s' is too large: over %zu bytes", path, max);
			break;
		}
	}
	close(fd);
	return rc;
}

const char *fs_basename(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash != NULL ? slash + 1 : path;
}

char *fs_dirname(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return xstrdup(".");
	return slash == path ? xstrdup("/") : str_printf("%.*s", (int)(slash - path), path);
}

enum shoal_err fs_sync_folder(const char *path, struct error *e)
{
	char *folder = fs_dirname(path);
	enum shoal_err rc = SHOAL_OK;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		rc = error_errno(e, "cannot flush the folder '%s'", folder);
	if (fd >= 0)
		close(fd);
	free(folder);
	return rc;
}

/* Writes a flushed temporary file beside path and puts it there with `place`: rename(2) or link(2). */
static enum shoal_err write_beside(const char *path, const void *data, size_t len, mode_t mode,
                                   int (*place)(const char *, const char *), struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	char *temp = str_printf("%s.%016llx.tmp", path, (unsigned long long)random_u64());
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0) {
		rc = error_errno(e, "cannot create '%s'", temp);
		goto out;
	}
	if (!fs_write_all(fd, data, len) || fsync(fd) != 0)
		rc = error_errno(e, "cannot write '%s'", temp);
	if (close(fd) != 0 && rc == SHOAL_OK)
		rc = error_errno(e, "cannot write '%s'", temp);
	if (rc == SHOAL_OK && place(temp, path) != 0)
		rc = error_errno(e, "cannot create '%s'", path);
	if (rc != SHOAL_OK || place == link)
		unlink(temp);
	if (rc == SHOAL_OK)
		rc = fs_sync_folder(path, e);
out:
	free(temp);
	return rc;
}

enum shoal_err fs_write_file(const char *path, const void *data, size_t len, mode_t mode, struct error *e)
{
	return write_beside(path, data, len, mode, rename, e);
}

enum shoal_err fs_create_file(const char *path, const void *data, size_t len, mode_t mode, struct error *e)
{
	return write_beside(path, data, len, mode, link, e);
}

enum shoal_err fs_read_secret(const char *path, void *out, size_t len, struct error *e)
{
	struct stat st;
	struct buf data = { 0 };
	enum shoal_err rc;

	if (stat(path, &st) != 0)
		return error_errno(e, "cannot open '%s'", path);
	if ((st.st_mode & 077) != 0)
		return error_set(e, SHOAL_EDENIED, "'%s' can be read by others: chmod 600 it", path);
	rc = fs_read_file(path, len, &data, e);
	if (rc == SHOAL_OK && data.len != len)
		rc = error_set(e, SHOAL_EUSAGE, "'%s' must hold exactly %zu bytes, not %zu", path, len, data.len);
	if (rc == SHOAL_OK)
		memcpy(out, data.data, len);
	if (data.data != NULL)
		OPENSSL_cleanse(data.data, data.cap);
	buf_free(&data);
	return rc;
}

enum shoal_err fs_mkdirs(const char *path, mode_t mode, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	char *copy = xstrdup(path);
	for (char *p = copy + 1; rc == SHOAL_OK; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char was = *p;
		*p = '\0';
		if (mkdir(copy, mode) != 0 && errno != EEXIST)
			rc = error_errno(e, "cannot create the folder '%s'", copy);
		*p = was;
		if (was == '\0')
			break;
	}
	free(copy);
	return rc;
}

static const struct {
	const char *variable, *fallback, *folder;
} xdg_table[] = {
	[XDG_CONFIG] = { "XDG_CONFIG_HOME", ".config", "config" },
	[XDG_DATA] = { "XDG_DATA_HOME", ".local/share", "data" },
	[XDG_STATE] = { "XDG_STATE_HOME", ".local/state", "state" },
	[XDG_CACHE] = { "XDG_CACHE_HOME", ".cache", "cache" },
	[XDG_RUNTIME] = { "XDG_RUNTIME_DIR", NULL, "run" },
};

char *fs_xdg(enum xdg which, const char *root)
{
	if (root != NULL)
		return str_printf("%s/%s", root, xdg_table[which].folder);
	const char *value = getenv(xdg_table[which].variable), *home = getenv("HOME");
	if (value != NULL && value[0] == '/')
		return str_printf("%s/shoal", value);
	if (which == XDG_RUNTIME) {
		char *state = fs_xdg(XDG_STATE, NULL);
		char *run = state != NULL ? str_printf("%s/run", state) : NULL;
		free(state);
		return run;
	}
	if (home == NULL || home[0] == '\0')
		return NULL;
	return str_printf("%s/%s/shoal", home, xdg_table[which].fallback);
}
