/* core/base/table.h - hash tables: uthash, set up so that memory may run out.
 *
 * HASH_ADD (any of them) may fail: then element->hh.tbl is NULL, the table is as before, and the element is still the
 * caller's. Ask after each. Its memory comes from try_alloc(), so that mem_fail_after() reaches it. */
#ifndef SHOAL_BASE_TABLE_H
#define SHOAL_BASE_TABLE_H
#include "core/base/mem.h"

#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) try_alloc(size)
#define uthash_free(p, size) free(p)
#include <uthash.h>
#endif
