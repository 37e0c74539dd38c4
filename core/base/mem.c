/* core/base/mem.c */
#include "core/base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The one piece of per-thread state in the program: a fault that tests inject. */
static _Thread_local unsigned fail_countdown;

unsigned mem_fail_after(unsigned n)
{
	unsigned was = fail_countdown;
	fail_countdown = n;
	return was;
}

static bool fails_now(void)
{
	return fail_countdown != 0 && --fail_countdown == 0;
}

static void *or_die(void *p)
{
	if (p == NULL) {
		fputs("shoal: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *xalloc(size_t size)
{
	return or_die(calloc(1, size != 0 ? size : 1));
}

char *xstrdup(const char *s)
{
	return or_die(strdup(s));
}

void *try_alloc(size_t size)
{
	return fails_now() ? NULL : calloc(1, size != 0 ? size : 1);
}

void *try_realloc(void *p, size_t size)
{
	return fails_now() ? NULL : realloc(p, size != 0 ? size : 1);
}

char *try_strdup(const char *s)
{
	return fails_now() ? NULL : strdup(s);
}

char *try_strndup(const char *s, size_t n)
{
	return fails_now() ? NULL : strndup(s, n);
}

void *try_memdup(const void *p, size_t n)
{
	void *copy = try_alloc(n);
	if (copy != NULL && n != 0)
		memcpy(copy, p, n);
	return copy;
}
