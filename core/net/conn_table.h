/* core/net/conn_table.h - from a conn_id to what it stands for.
 *
 * An id is a serial number and a slot, so an old id never finds a new connection, and none is 0. Loop thread only. */
#ifndef SHOAL_NET_CONN_TABLE_H
#define SHOAL_NET_CONN_TABLE_H
#include <stddef.h>
#include <stdint.h>

#include "core/base/env.h"

struct conn_slot {
	conn_id id;         /* 0: free */
	void *what;         /* borrowed */
	uint32_t next_free; /* of a free one */
};

/* Zero-initialised is empty. */
struct conn_table {
	struct conn_slot *slots;
	size_t n_slots, n_used;
	uint32_t first_free; /* slot + 1; 0: none */
	uint64_t serial;
};

#define CONN_TABLE_MAX ((size_t)1 << 20)

void conn_table_fini(struct conn_table *t);
conn_id conn_table_add(struct conn_table *t, void *what); /* 0: no memory, or full */
void *conn_table_find(const struct conn_table *t, conn_id id); /* NULL: unknown */
void conn_table_remove(struct conn_table *t, conn_id id);
/* An id that nothing will ever be found under. */
conn_id conn_table_burn(struct conn_table *t);
/* The first thing at or after slot *at, which moves behind it; NULL at the end. Removing in between is fine. */
void *conn_table_next(const struct conn_table *t, size_t *at);
#endif
