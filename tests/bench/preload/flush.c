/* tests/bench/preload/flush.c - a disk whose flush takes a known time, for LD_PRELOAD: FLUSH_US=5000 makes fsync and
 * fdatasync take that much longer, FLUSH_US=none leaves them out (to fill a database that nobody will miss). Figures of a
 * machine whose flush costs next to nothing say little about others; with this both sides of a ratio pay the same. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int flush(const char *name, int fd)
{
	const char *text = getenv("FLUSH_US");
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);

	if (text == NULL || real == NULL)
		return real != NULL ? real(fd) : -1;
	if (strcmp(text, "none") == 0)
		return 0;
	long us = strtol(text, NULL, 10);
	struct timespec left = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };
	int rc = real(fd), saved = errno;
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
	errno = saved;
	return rc;
}

__attribute__((visibility("default"))) int fsync(int fd)
{
	return flush("fsync", fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
	return flush("fdatasync", fd);
}
