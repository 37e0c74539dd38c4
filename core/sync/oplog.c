/* core/sync/oplog.c - a ring of owned records. */
#include "core/sync/oplog.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/mem.h"

struct oplog {
	struct oplog_record *ring;
	size_t cap; /* a power of two */
	uint64_t begin, end;
	size_t bytes, bytes_max;
};

struct oplog *oplog_new(size_t bytes_max)
{
	struct oplog *log = try_alloc(sizeof(*log));
	if (log != NULL)
		log->bytes_max = bytes_max;
	return log;
}

static struct oplog_record *slot(const struct oplog *log, uint64_t index)
{
	return &log->ring[index & (log->cap - 1)];
}

static void drop_oldest(struct oplog *log)
{
	struct oplog_record *r = slot(log, log->begin++);
	log->bytes -= r->bytes.len;
	free((void *)r->bytes.data);
}

void oplog_free(struct oplog *log)
{
	if (log == NULL)
		return;
	while (log->begin != log->end)
		drop_oldest(log);
	free(log->ring);
	free(log);
}

static bool grow(struct oplog *log)
{
	size_t cap = log->cap ? 2 * log->cap : 256;
	struct oplog_record *ring = try_alloc(cap * sizeof(*ring));
	if (ring == NULL)
		return false;
	for (uint64_t i = log->begin; i != log->end; i++)
		ring[i & (cap - 1)] = *slot(log, i);
	free(log->ring);
	log->ring = ring;
	log->cap = cap;
	return true;
}

void oplog_push(struct oplog *log, struct dot dot, uint64_t at_ms, struct slice bytes)
{
	void *copy = try_memdup(bytes.data, bytes.len);
	if (copy == NULL || (log->end - log->begin == log->cap && !grow(log))) {
		free(copy);
		while (log->begin != log->end)
			drop_oldest(log);
		log->begin = ++log->end;
		return;
	}
	*slot(log, log->end++) =
	        (struct oplog_record){ .dot = dot, .at_ms = at_ms, .bytes = slice_of(copy, bytes.len) };
	log->bytes += bytes.len;
	while (log->bytes > log->bytes_max && log->end - log->begin > 1)
		drop_oldest(log);
}

uint64_t oplog_begin(const struct oplog *log)
{
	return log->begin;
}

uint64_t oplog_end(const struct oplog *log)
{
	return log->end;
}

const struct oplog_record *oplog_at(const struct oplog *log, uint64_t index)
{
	assert(index >= log->begin && index < log->end);
	return slot(log, index);
}
