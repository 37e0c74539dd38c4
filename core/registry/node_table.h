/* core/registry/node_table.h - a hash table of things that carry their own link; for the registry's insides.
 *
 * Eight bytes a thing beside the sixteen in it: with millions of rows that is what counts. Grows by doubling; without
 * memory for that its chains only become longer. Nothing is owned. Loop thread only. */
#ifndef SHOAL_REGISTRY_NODE_TABLE_H
#define SHOAL_REGISTRY_NODE_TABLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node {
	struct node *next; /* in its bucket */
	uint32_t hash;
	uint32_t own;      /* the owner's, where there would be a hole */
};

struct node_table {
	struct node **buckets; /* NULL: empty */
	size_t mask, n;
};

void node_table_fini(struct node_table *t); /* the nodes stay the caller's */
/* Brings near what node_find() will look at: first the bucket, some hundred instructions later the first node in it. */
static inline void node_fetch_bucket(const struct node_table *t, uint32_t hash)
{
	if (t->buckets != NULL)
		__builtin_prefetch(&t->buckets[hash & t->mask]);
}
static inline void node_fetch_first(const struct node_table *t, uint32_t hash)
{
	if (t->buckets != NULL)
		__builtin_prefetch(t->buckets[hash & t->mask]);
}
/* The first node of that hash, and the next one; NULL: no more. The caller compares keys. */
struct node *node_find(const struct node_table *t, uint32_t hash);
struct node *node_find_next(const struct node *node);
/* Enters it under its `hash`. false: no memory, only possible for the first. */
bool node_add(struct node_table *t, struct node *node);
void node_remove(struct node_table *t, struct node *node);
/* All of them in no particular order; nothing may be added or removed between the calls. NULL: the end. */
struct node *node_first(const struct node_table *t);
struct node *node_after(const struct node_table *t, const struct node *node);
/* Goes on with a hash: begin with any seed. */
uint64_t node_hash(uint64_t seed, const void *data, size_t len);
uint32_t node_hash_end(uint64_t hash);
#endif
