/* core/registry/store_mem.h - a store that keeps everything in memory: for the simulation and for tests.
 *
 * A struct mem_disk is the disk: it outlives the stores opened on it, as a disk outlives a process. Opening needs its
 * address as text: mem_disk_where(). What a store has not committed is gone with it. One thread at a time. */
#ifndef SHOAL_REGISTRY_STORE_MEM_H
#define SHOAL_REGISTRY_STORE_MEM_H
#include "core/registry/store.h"

extern const struct store_ops store_mem_ops;

struct mem_disk;

struct mem_disk *mem_disk_new(void); /* aborts without memory */
void mem_disk_free(struct mem_disk *d); /* NULL is fine; no store is open on it */
/* What store_mem_ops.open() takes; good as long as the disk. */
const char *mem_disk_where(const struct mem_disk *d);
/* A copy of what is committed: a backup to restore later. Aborts without memory. */
struct mem_disk *mem_disk_copy(const struct mem_disk *d);

/* Faults. The next `times` commits fail with `code` and change nothing (SHOAL_EIO: the store refuses everything until it
 * is closed and opened again, as after a failed fsync). */
void mem_disk_fail_commits(struct mem_disk *d, enum shoal_err code, unsigned times);
/* Flips a bit in the n-th record of the log, counted from 0: log_read() must notice. false: there is none. */
bool mem_disk_corrupt_record(struct mem_disk *d, size_t n);
size_t mem_disk_records(const struct mem_disk *d);
size_t mem_disk_staged(const struct mem_disk *d); /* rows put aside */
const struct vvec *mem_disk_vector(const struct mem_disk *d); /* of what is committed */
#endif
