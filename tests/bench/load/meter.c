/* tests/bench/load/meter.c */
#include "tests/bench/load/meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/load/fleet.h"

void times_add(struct times *t, uint64_t us)
{
	if (t->n == t->cap) {
		t->cap = t->cap != 0 ? 2 * t->cap : 4096;
		t->us = realloc(t->us, t->cap * sizeof(*t->us));
		if (t->us == NULL)
			die("no memory");
	}
	t->us[t->n++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void times_reset(struct times *t)
{
	t->n = 0;
}

void times_free(struct times *t)
{
	free(t->us);
	*t = (struct times){ 0 };
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

double times_ms(struct times *t, double part)
{
	if (t->n == 0)
		return 0;
	qsort(t->us, t->n, sizeof(*t->us), by_size);
	size_t at = (size_t)(part * (double)t->n);
	return t->us[at < t->n ? at : t->n - 1] / 1e3;
}

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	FILE *f = fopen(path, "re");
	if (f == NULL)
		die("cannot read %s", path);
	return f;
}

struct usage usage_of(pid_t pid)
{
	struct usage u = { 0 };
	unsigned long long user = 0, sys = 0;
	char line[1024];
	FILE *f = open_proc(pid, "status");

	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			u.rss_kib = strtoull(line + 6, NULL, 10);
		else if (strncmp(line, "RssAnon:", 8) == 0)
			u.anon_kib = strtoull(line + 8, NULL, 10);
	}
	fclose(f);
	f = open_proc(pid, "stat");
	if (fgets(line, sizeof(line), f) == NULL || strrchr(line, ')') == NULL ||
	    sscanf(strrchr(line, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys) != 2)
		die("cannot read what process %ld uses", (long)pid);
	fclose(f);
	u.cpu_us = (user + sys) * 1000000u / (uint64_t)sysconf(_SC_CLK_TCK);
	return u;
}
