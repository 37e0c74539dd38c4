/* core/base/memory_limit.c */
#include "core/base/memory_limit.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/fs.h"

enum { LOOK_MS = 20, TRIM_MS = 1000, SHARE_NUM = 4, SHARE_DEN = 5, FILE_MOST = 4096 };

/* Files of the kernel: short, and there or not. */
static bool read_text(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static uint64_t limit_of(const char *folder)
{
	char *path = str_printf("%s/memory.max", folder), text[64], *end = NULL;
	uint64_t v = 0;

	if (read_text(path, text, sizeof(text)))
		v = strtoull(text, &end, 10); /* "max": none */
	free(path);
	return end != NULL && end != text && *end == '\n' ? v : UINT64_MAX;
}

uint64_t memory_limit_of_cgroup(const char *mounted, const char *proc_self_cgroup)
{
	char text[FILE_MOST];
	uint64_t least = UINT64_MAX;

	if (!read_text(proc_self_cgroup, text, sizeof(text)))
		return least;
	char *at = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");
	if (at == NULL) /* no unified hierarchy */
		return least;
	at = strchr(at, '/');
	at[strcspn(at, "\n")] = '\0';
	char *folder = str_printf("%s%s", mounted, at);
	for (char *slash = folder + strlen(folder); slash != NULL && (size_t)(slash - folder) >= strlen(mounted); slash = strrchr(folder, '/')) {
		*slash = '\0';
		uint64_t v = limit_of(folder);
		least = v < least ? v : least;
	}
	free(folder);
	return least;
}

static uint64_t share_of(uint64_t v)
{
	return v == UINT64_MAX ? v : v / SHARE_DEN * SHARE_NUM;
}

/* Of this process; false if the system does not tell. */
static bool sizes(uint64_t *space, uint64_t *resident)
{
	unsigned long long all, in;
	char text[128];
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!read_text("/proc/self/statm", text, sizeof(text)) || sscanf(text, "%llu %llu", &all, &in) != 2)
		return false;
	*space = all * page;
	*resident = in * page;
	return true;
}

/* Freed addresses stay with the process, and are used again. */
static uint64_t freed(void)
{
	return mallinfo2().fordblks;
}

void memory_limit_init(struct memory_limit *m)
{
	struct rlimit limit;

	*m = (struct memory_limit){ .space_most = UINT64_MAX };
	m->resident_most = share_of(memory_limit_of_cgroup("/sys/fs/cgroup", "/proc/self/cgroup"));
	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		m->space_most = share_of(limit.rlim_cur);
}

static bool is_near(const struct memory_limit *m)
{
	uint64_t space, resident;
	if (!sizes(&space, &resident))
		return false;
	return resident > m->resident_most || (space > m->space_most && space - freed() > m->space_most);
}

bool memory_limit_near(struct memory_limit *m, uint64_t now_ms)
{
	if (m->resident_most == UINT64_MAX && m->space_most == UINT64_MAX)
		return false;
	if (m->looked_ms != 0 && now_ms < m->looked_ms + LOOK_MS)
		return m->near;
	m->looked_ms = now_ms;
	m->near = is_near(m);
	if (m->near && now_ms >= m->trimmed_ms + TRIM_MS) { /* what was freed may still be in memory */
		m->trimmed_ms = now_ms;
		malloc_trim(0);
		m->near = is_near(m);
	}
	return m->near;
}
