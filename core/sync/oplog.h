/* core/sync/oplog.h - the newest durable records, in the order in which they came here.
 *
 * A window of the store's log kept in memory, so that a peer that keeps up is served without a look at the disk. Each
 * record has an index that only grows; the oldest go when the window is over its bytes. Loop thread only. */
#ifndef SHOAL_SYNC_OPLOG_H
#define SHOAL_SYNC_OPLOG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/wire/stamp.h"

struct oplog_record {
	struct dot dot;
	uint64_t at_ms; /* env->mono_ms when it became durable here */
	struct slice bytes;
};

struct oplog;
struct oplog *oplog_new(size_t bytes_max); /* NULL: no memory */
void oplog_free(struct oplog *log);        /* NULL is fine */
/* Copies. Without memory the whole window is dropped: who needs it reads the store. */
void oplog_push(struct oplog *log, struct dot dot, uint64_t at_ms, struct slice bytes);
uint64_t oplog_begin(const struct oplog *log); /* index of the oldest kept */
uint64_t oplog_end(const struct oplog *log);   /* the index that the next one will have */
/* begin <= index < end; good until the next push. */
const struct oplog_record *oplog_at(const struct oplog *log, uint64_t index);
#endif
