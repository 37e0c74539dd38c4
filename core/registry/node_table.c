/* core/registry/node_table.c */
#include "core/registry/node_table.h"

#include <assert.h>
#include <string.h>

#include "core/base/mem.h"

enum { FIRST_SIZE = 64 };

void node_table_fini(struct node_table *t)
{
	free(t->buckets);
	*t = (struct node_table){ 0 };
}

static struct node *same_hash(struct node *node, uint32_t hash)
{
	while (node != NULL && node->hash != hash)
		node = node->next;
	return node;
}

struct node *node_find(const struct node_table *t, uint32_t hash)
{
	return t->buckets != NULL ? same_hash(t->buckets[hash & t->mask], hash) : NULL;
}

struct node *node_find_next(const struct node *node)
{
	return same_hash(node->next, node->hash);
}

static void push(struct node **buckets, size_t mask, struct node *node)
{
	struct node **at = &buckets[node->hash & mask];
	node->next = *at;
	*at = node;
}

static void grow(struct node_table *t)
{
	size_t size = t->buckets != NULL ? 2 * (t->mask + 1) : FIRST_SIZE;
	struct node **buckets = size <= UINT32_MAX ? try_alloc(size * sizeof(struct node *)) : NULL;

	if (buckets == NULL)
		return;
	for (size_t i = 0; t->buckets != NULL && i <= t->mask; i++) {
		struct node *next;
		for (struct node *node = t->buckets[i]; node != NULL; node = next) {
			next = node->next;
			push(buckets, size - 1, node);
		}
	}
	free(t->buckets);
	t->buckets = buckets;
	t->mask = size - 1;
}

bool node_add(struct node_table *t, struct node *node)
{
	if (t->buckets == NULL || t->n > t->mask)
		grow(t);
	if (t->buckets == NULL)
		return false;
	push(t->buckets, t->mask, node);
	t->n++;
	return true;
}

void node_remove(struct node_table *t, struct node *node)
{
	struct node **at = &t->buckets[node->hash & t->mask];

	while (*at != node) {
		assert(*at != NULL);
		at = &(*at)->next;
	}
	*at = node->next;
	t->n--;
}

static struct node *first_from(const struct node_table *t, size_t bucket)
{
	for (; t->buckets != NULL && bucket <= t->mask; bucket++)
		if (t->buckets[bucket] != NULL)
			return t->buckets[bucket];
	return NULL;
}

struct node *node_first(const struct node_table *t)
{
	return first_from(t, 0);
}

struct node *node_after(const struct node_table *t, const struct node *node)
{
	return node->next != NULL ? node->next : first_from(t, (node->hash & t->mask) + 1);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xe7037ed1a0b428dbu);
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t node_hash(uint64_t seed, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ len, word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		h = mix(h, word);
	}
	word = 0;
	if (len != 0)
		memcpy(&word, p, len);
	return mix(h, word);
}

uint32_t node_hash_end(uint64_t hash)
{
	return (uint32_t)(hash ^ hash >> 32);
}
