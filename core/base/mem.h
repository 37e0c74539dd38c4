/* core/base/mem.h - allocation.
 *
 * xalloc() and friends are for start-up and for memory whose amount is fixed by configuration: they abort the program
 * when there is none. try_alloc() and friends are for everything made per connection, message, row or job: they return
 * NULL and the caller answers SHOAL_EBUSY. Any thread. free() frees both. */
#ifndef SHOAL_BASE_MEM_H
#define SHOAL_BASE_MEM_H
#include <stddef.h>
#include <stdlib.h>

void *xalloc(size_t size); /* zeroed */
char *xstrdup(const char *s);

void *try_alloc(size_t size); /* zeroed; NULL when there is none */
void *try_realloc(void *p, size_t size);
char *try_strdup(const char *s);
char *try_strndup(const char *s, size_t n);
void *try_memdup(const void *p, size_t n);

/* Tests: the n-th try_* call from now on fails, once (0: never). Returns what was left of the count before. Per thread. */
unsigned mem_fail_after(unsigned n);

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#endif
