/* tests/chaos/skew.c - a wall clock that is wrong, for LD_PRELOAD: SKEW_MS=-1500 makes CLOCK_REALTIME 1.5 s late. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *ts)
{
	enum { NS = 1000000000 };
	int rc = (int)syscall(SYS_clock_gettime, id, ts);
	const char *text = id == CLOCK_REALTIME ? getenv("SKEW_MS") : NULL;
	if (rc != 0 || text == NULL)
		return rc;
	long ms = strtol(text, NULL, 10);
	long ns = ts->tv_nsec + ms % 1000 * (NS / 1000);
	ts->tv_sec += ms / 1000 + (ns < 0 ? -1 : ns / NS);
	ts->tv_nsec = ns < 0 ? ns + NS : ns % NS;
	return 0;
}
