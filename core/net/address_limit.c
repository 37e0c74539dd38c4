/* core/net/address_limit.c */
#include "core/net/address_limit.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/table.h"
#include "core/net/sockaddr.h"

struct address_count {
	uint8_t key[16];
	unsigned n; /* > 0 */
	UT_hash_handle hh;
};

struct address_limit {
	unsigned max;
	struct address_count *counts;
};

struct address_limit *address_limit_new(unsigned max_per_address)
{
	struct address_limit *al = xalloc(sizeof(*al));

	al->max = max_per_address;
	return al;
}

void address_limit_free(struct address_limit *al)
{
	if (al == NULL)
		return;
	assert(al->counts == NULL);
	free(al);
}

static struct address_count *add_count(struct address_limit *al, const uint8_t key[16])
{
	struct address_count *count = try_alloc(sizeof(*count));

	if (count == NULL)
		return NULL;
	memcpy(count->key, key, sizeof(count->key));
	HASH_ADD(hh, al->counts, key, sizeof(count->key), count);
	if (count->hh.tbl != NULL)
		return count;
	free(count);
	return NULL;
}

struct address_count *address_limit_take(struct address_limit *al, const struct sockaddr *peer)
{
	uint8_t key[16];
	struct address_count *count;

	sockaddr_limit_key(peer, key);
	HASH_FIND(hh, al->counts, key, sizeof(key), count);
	if (count == NULL)
		count = add_count(al, key);
	else if (count->n >= al->max)
		return NULL;
	if (count != NULL)
		count->n++;
	return count;
}

void address_limit_give(struct address_limit *al, struct address_count *count)
{
	if (count == NULL || --count->n > 0)
		return;
	HASH_DEL(al->counts, count);
	free(count);
}
