/* core/registry/store_mem_impl.h - what store_mem.c and store_mem_content.c share; nobody else includes it. */
#ifndef SHOAL_REGISTRY_STORE_MEM_IMPL_H
#define SHOAL_REGISTRY_STORE_MEM_IMPL_H
#include <uthash.h>

#include "core/registry/store_mem.h"

struct disk_row {
	UT_hash_handle hh;
	uint16_t table;
	size_t key_len, columns_len; /* key_len: with the two bytes of the table before it */
	uint8_t bytes[];             /* table and key, columns */
};

/* Rows put aside; in the order of their keys once that was asked for. */
struct disk_stage {
	struct disk_stage *next;
	uint64_t number;
	struct disk_row *rows;
	bool sorted;
};

struct disk_record {
	uint64_t position;
	struct dot dot;
	size_t len;
	uint8_t *bytes;
};

struct disk_content {
	UT_hash_handle hh;
	struct id32 id;
	bool complete;
	uint64_t pieces; /* room: of the largest piece put so far */
	uint8_t *hashes;
	uint8_t *known; /* a byte a piece */
};

struct mem_disk {
	char where[32];
	struct disk_row *rows;
	struct disk_stage *stages;
	struct disk_record *records;
	size_t nrecords, cap;
	uint64_t next_position;
	struct vvec vector, floor;
	uint64_t hlc;
	struct disk_content *contents;
	enum shoal_err fail_code;
	unsigned fail_times;
};

struct store {
	struct mem_disk *disk;
	bool broken; /* after an I/O error: only close() helps */
};

/* store_mem.c */
void mem_put_row(struct disk_row **rows, const struct store_row *sr);
void mem_free_row(struct disk_row **rows, struct disk_row *row);
struct wire_row mem_wire_of(const struct disk_row *r); /* points into the row */

/* store_mem_content.c */
enum shoal_err mem_content(struct store *s, struct content_op *op, struct error *e);
enum shoal_err mem_stage(struct store *s, struct content_op *op, struct error *e);
struct disk_stage *mem_find_stage(const struct mem_disk *d, uint64_t number);
void mem_free_stages(struct mem_disk *d);
void mem_free_content(struct mem_disk *d, struct disk_content *c);
#endif
