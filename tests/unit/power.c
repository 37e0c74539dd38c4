/* tests/unit/power.c - see power.h. The functions of the C library that change files are defined here anew: the program's
 * own definition comes before the library's. */
#include "tests/unit/power.h"

#include <assert.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/mem.h"

enum kind { MAKE, WRITE, SIZE, NAME, UNNAME, RENAME, SYNC };

struct call {
	enum kind kind;
	int file;        /* number in the order in which files were made; -1: none (the folder is flushed) */
	char *name, *to; /* below the folder */
	uint64_t at;     /* WRITE: offset; SIZE: the new length */
	uint8_t *data;
	size_t len;
};

enum { CALLS_MAX = 4096, FILES_MAX = 256 };

static struct {
	char folder[4096];
	bool recording, failing, forever, failed;
	size_t countdown;
	int error;
	struct call calls[CALLS_MAX];
	size_t n;
	struct {
		dev_t dev;
		ino_t ino;
	} files[FILES_MAX]; /* the newest of a number is meant: numbers are used again */
	int nfiles;
} the;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* -- what happens */

/* The path below the folder, or NULL. */
static const char *below(int dir, const char *path, char out[4096])
{
	char link[64], base[2048];
	ssize_t n = 0;

	if (!the.recording && !the.failing)
		return NULL;
	if (path[0] != '/') {
		snprintf(link, sizeof(link), dir == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir);
		n = readlink(link, base, sizeof(base) - 1);
		if (n < 0)
			return NULL;
		base[n] = '\0';
	}
	snprintf(out, 4096, "%s%s%s", n > 0 ? base : "", n > 0 ? "/" : "", path);
	size_t len = strlen(the.folder);
	return strncmp(out, the.folder, len) == 0 && out[len] == '/' ? out + len + 1 : NULL;
}

static bool fd_below(int fd)
{
	char name[64], path[4096];

	if (!the.recording && !the.failing)
		return false;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(name, path, sizeof(path) - 1);
	size_t len = strlen(the.folder);
	if (n < 0)
		return false;
	path[n] = '\0';
	return strncmp(path, the.folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* True: this call is to fail. */
static bool fails(void)
{
	if (!the.failing || (the.countdown > 0 && --the.countdown > 0))
		return false;
	if (the.failed && !the.forever)
		return false;
	the.failed = true;
	errno = the.error;
	return true;
}

static int file_of(const struct stat *st)
{
	for (int i = the.nfiles; i-- > 0;)
		if (the.files[i].dev == st->st_dev && the.files[i].ino == st->st_ino)
			return i;
	return -1;
}

static int file_of_fd(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? file_of(&st) : -1;
}

static struct call *note(enum kind kind, int file)
{
	assert(the.n < CALLS_MAX);
	struct call *c = &the.calls[the.n++];
	*c = (struct call){ .kind = kind, .file = file };
	return c;
}

static void note_made(int fd, const char *name)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return;
	assert(the.nfiles < FILES_MAX);
	the.files[the.nfiles].dev = st.st_dev;
	the.files[the.nfiles].ino = st.st_ino;
	note(MAKE, the.nfiles++)->name = xstrdup(name);
}

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
	char buffer[4096];
	struct stat st;
	const char *name = (flags & O_CREAT) != 0 ? below(dir, path, buffer) : NULL;
	bool is_new = name != NULL && fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) != 0;

	if (is_new && fails())
		return -1;
	int fd = REAL(openat)(dir, path, flags, mode);
	if (fd >= 0 && is_new && the.recording)
		note_made(fd, name);
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open_at(dir, path, flags, mode);
}

/* Only one caller goes around the library's names: openat2, and it has another way. */
long syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2) {
		errno = ENOSYS;
		return -1;
	}
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

ssize_t write(int fd, const void *data, size_t len)
{
	if (!fd_below(fd))
		return REAL(write)(fd, data, len);
	if (fails()) {
		if (the.error != ENOSPC || len < 2)
			return -1;
		len /= 2;
	}
	bool append = (fcntl(fd, F_GETFL) & O_APPEND) != 0;
	off_t at = lseek(fd, 0, append ? SEEK_END : SEEK_CUR);
	ssize_t n = REAL(write)(fd, data, len);
	int file = n > 0 && the.recording ? file_of_fd(fd) : -1;
	if (file >= 0) {
		struct call *c = note(WRITE, file);
		c->at = (uint64_t)at;
		c->len = (size_t)n;
		c->data = xalloc(c->len);
		memcpy(c->data, data, c->len);
	}
	return n;
}

static int sized(int fd, int rc, uint64_t size)
{
	int file = rc == 0 && the.recording ? file_of_fd(fd) : -1;
	if (file >= 0)
		note(SIZE, file)->at = size;
	return rc;
}

int ftruncate(int fd, off_t size)
{
	if (!fd_below(fd))
		return REAL(ftruncate)(fd, size);
	return fails() ? -1 : sized(fd, REAL(ftruncate)(fd, size), (uint64_t)size);
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
	struct stat st;

	if (!fd_below(fd) || mode != 0)
		return REAL(fallocate)(fd, mode, at, len);
	if (fails())
		return -1;
	int rc = REAL(fallocate)(fd, mode, at, len);
	return rc == 0 && fstat(fd, &st) == 0 ? sized(fd, rc, (uint64_t)st.st_size) : rc;
}

static int flush(int fd)
{
	if (!fd_below(fd))
		return 0; /* nothing of a test need be on the disk */
	if (fails())
		return -1;
	if (the.recording)
		note(SYNC, file_of_fd(fd));
	return 0;
}

int fsync(int fd)
{
	return flush(fd);
}

int fdatasync(int fd)
{
	return flush(fd);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	char a[4096], b[4096];
	const char *was = below(from_dir, from, a), *is = below(to_dir, to, b);

	if (was == NULL || is == NULL)
		return REAL(renameat2)(from_dir, from, to_dir, to, flags);
	if (fails())
		return -1;
	int rc = REAL(renameat2)(from_dir, from, to_dir, to, flags);
	if (rc == 0 && the.recording) {
		struct call *c = note(RENAME, -1);
		c->name = xstrdup(was);
		c->to = xstrdup(is);
	}
	return rc;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	char buffer[4096];
	const char *name = below(to_dir, to, buffer);
	struct stat st;

	if (name != NULL && fails())
		return -1;
	int rc = REAL(linkat)(from_dir, from, to_dir, to, flags);
	if (rc == 0 && name != NULL && the.recording && fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
		note(NAME, file_of(&st))->name = xstrdup(name);
	return rc;
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
	char buffer[4096];
	const char *name = below(dir, path, buffer);

	if (name != NULL && fails())
		return -1;
	int rc = REAL(unlinkat)(dir, path, flags);
	if (rc == 0 && name != NULL && the.recording)
		note(UNNAME, -1)->name = xstrdup(name);
	return rc;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

/* -- what is left of it */

static bool is_of_names(const struct call *c)
{
	return c->kind == MAKE || c->kind == NAME || c->kind == UNNAME || c->kind == RENAME;
}

/* Which file a name means just before call `n`, all of them done. */
static int meant(const char *name, size_t n)
{
	for (size_t i = n; i-- > 0;) {
		const struct call *c = &the.calls[i];
		if ((c->kind == MAKE || c->kind == NAME) && strcmp(c->name, name) == 0)
			return c->file;
		if (c->kind == RENAME && strcmp(c->to, name) == 0)
			return meant(c->name, i);
		if (is_of_names(c) && strcmp(c->name, name) == 0)
			return -1;
	}
	return -1;
}

static bool is_about(size_t i, int file)
{
	const struct call *c = &the.calls[i];
	return c->file >= 0 ? c->file == file : meant(c->name, i) == file;
}

struct loose {
	size_t names;                    /* the calls about names from this one on may be missing */
	size_t nnames;                   /* that many are not covered */
	size_t writes[POWER_WINDOW];     /* the last ones that are not covered */
	unsigned nwrites;
};

/* What of the first n calls nothing has covered. */
static struct loose find_loose(size_t n)
{
	struct loose l = { 0 };
	size_t certain = 0;

	for (size_t s = 0; s < n; s++) {
		if (the.calls[s].kind != SYNC)
			continue;
		for (size_t i = certain; i < s; i++)
			if (is_of_names(&the.calls[i]) && (the.calls[s].file < 0 || is_about(i, the.calls[s].file)))
				certain = i + 1;
	}
	l.names = certain;
	for (size_t i = certain; i < n; i++)
		l.nnames += is_of_names(&the.calls[i]);
	for (size_t i = n; i-- > 0 && l.nwrites < POWER_WINDOW;) {
		const struct call *c = &the.calls[i];
		bool covered = c->kind != WRITE && c->kind != SIZE;
		for (size_t s = i + 1; s < n && !covered; s++)
			covered = the.calls[s].kind == SYNC && the.calls[s].file == c->file;
		if (!covered)
			l.writes[l.nwrites++] = i;
	}
	return l;
}

/* Names: all of them, or the last 1 .. all of what is loose missing. Writes: a bit each for missing. Torn: the last one
 * that is there is half there. */
unsigned power_states(size_t n)
{
	struct loose l = find_loose(n);
	return (unsigned)(l.nnames + 1) * (1u << l.nwrites) * 2;
}

struct content {
	uint8_t *data;
	size_t len;
};

static void resize(struct content *c, size_t len)
{
	if (len > c->len) {
		uint8_t *more = xalloc(len);
		if (c->len != 0)
			memcpy(more, c->data, c->len);
		free(c->data);
		c->data = more;
	}
	c->len = len;
}

static void fill(struct content *c, const struct call *call, bool torn)
{
	size_t len = torn ? call->len / 2 : call->len;

	if (call->kind == SIZE) {
		resize(c, (size_t)call->at);
		return;
	}
	/* a torn one has its length: what is missing reads as zeros */
	if (call->at + call->len > c->len)
		resize(c, (size_t)call->at + call->len);
	memcpy(c->data + call->at, call->data, len);
}

static void empty(const char *folder)
{
	char path[8192];
	struct dirent *d;
	DIR *dir = opendir(folder);

	if (dir == NULL) {
		assert(mkdir(folder, 0700) == 0);
		return;
	}
	while ((d = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", folder, d->d_name);
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (d->d_type == DT_DIR)
			empty(path);
		else
			assert(REAL(unlinkat)(AT_FDCWD, path, 0) == 0);
	}
	closedir(dir);
}

static void put(const char *folder, const char *name, const struct content *c)
{
	char path[8192];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
		*slash = '\0';
		(void)mkdir(path, 0700);
	}
	int fd = REAL(openat)(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert(fd >= 0);
	for (size_t done = 0; done < c->len;) {
		ssize_t n = REAL(write)(fd, c->data + done, c->len - done);
		assert(n > 0);
		done += (size_t)n;
	}
	assert(close(fd) == 0);
}

/* The write that may be torn. */
static size_t last_there(const struct loose *l, unsigned missing)
{
	for (unsigned w = 0; w < l->nwrites; w++)
		if ((missing >> w & 1) == 0 && the.calls[l->writes[w]].kind == WRITE)
			return l->writes[w];
	return SIZE_MAX;
}

void power_rebuild(const char *into, size_t n, unsigned state)
{
	struct loose l = find_loose(n);
	unsigned missing = state / 2 % (1u << l.nwrites);
	size_t keep_names = l.nnames - state / 2 / (1u << l.nwrites), names_end = l.names;
	struct content contents[FILES_MAX] = { 0 };

	size_t half = state % 2 != 0 ? last_there(&l, missing) : SIZE_MAX;

	assert(!the.recording && !the.failing);
	for (; names_end < n && keep_names > 0; names_end++)
		keep_names -= is_of_names(&the.calls[names_end]);
	for (size_t i = 0; i < n; i++) {
		bool gone = false;
		if (the.calls[i].kind != WRITE && the.calls[i].kind != SIZE)
			continue;
		for (unsigned w = 0; w < l.nwrites; w++)
			gone |= l.writes[w] == i && (missing >> w & 1) != 0;
		if (!gone)
			fill(&contents[the.calls[i].file], &the.calls[i], i == half);
	}
	empty(into);
	for (size_t i = 0; i < names_end; i++) {
		const struct call *c = &the.calls[i];
		const char *name = c->kind == RENAME ? c->to : c->name;
		bool again = false;
		if (c->kind != MAKE && c->kind != NAME && c->kind != RENAME)
			continue;
		for (size_t k = i + 1; k < names_end && !again; k++)
			again = is_of_names(&the.calls[k]) &&
			        (strcmp(the.calls[k].name, name) == 0 || (the.calls[k].to != NULL && strcmp(the.calls[k].to, name) == 0));
		int file = again ? -1 : meant(name, i + 1);
		if (file >= 0)
			put(into, name, &contents[file]);
	}
	for (int i = 0; i < the.nfiles; i++)
		free(contents[i].data);
}

/* -- on and off */

static void forget(void)
{
	for (size_t i = 0; i < the.n; i++) {
		free(the.calls[i].name);
		free(the.calls[i].to);
		free(the.calls[i].data);
	}
	the.n = 0;
	the.nfiles = 0;
}

void power_record(const char *folder)
{
	forget();
	assert(realpath(folder, the.folder) != NULL);
	the.recording = true;
}

void power_stop(void)
{
	the.recording = the.failing = false;
}

size_t power_calls(void)
{
	return the.n;
}

void power_fail(const char *folder, size_t nth, int error, bool forever)
{
	assert(realpath(folder, the.folder) != NULL);
	the.failing = true;
	the.failed = false;
	the.forever = forever;
	the.countdown = nth;
	the.error = error;
}

bool power_failed(void)
{
	return the.failed;
}
