/* core/swarm/swarm_pool.c - one array, sorted by number of copies, in which every change is a few swaps.
 *
 * Picking thus never looks at the whole file, however many pieces it has: the rarest are at the front. */
#include <assert.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/swarm/swarm_internal.h"

enum { COUNT_ONE_BY_ONE = 512 }; /* for more pieces than that, sorting all anew is cheaper */

bool pool_init(struct pool *pool, uint32_t npieces)
{
	pool->n = npieces;
	pool->order = try_alloc((size_t)npieces * sizeof(*pool->order));
	pool->at = try_alloc((size_t)npieces * sizeof(*pool->at));
	pool->copies = try_alloc((size_t)npieces * sizeof(*pool->copies));
	pool->set = bitfield_new(npieces);
	if (pool->order == NULL || pool->at == NULL || pool->copies == NULL || pool->set == NULL)
		return false;
	bitfield_fill(pool->set);
	for (uint32_t i = 0; i < npieces; i++)
		pool->order[i] = pool->at[i] = i;
	for (unsigned b = 1; b <= POOL_BUCKETS; b++)
		pool->start[b] = npieces;
	return true;
}

void pool_fini(struct pool *pool)
{
	free(pool->order);
	free(pool->at);
	free(pool->copies);
	bitfield_free(pool->set);
}

bool pool_has(const struct pool *pool, uint32_t piece)
{
	return pool->at[piece] != BITFIELD_NONE;
}

static unsigned bucket_of(const struct pool *pool, uint32_t piece)
{
	return pool->copies[piece] < POOL_BUCKETS ? pool->copies[piece] : POOL_BUCKETS - 1;
}

static void place(struct pool *pool, uint32_t index, uint32_t piece)
{
	pool->order[index] = piece;
	pool->at[piece] = index;
}

static void swap(struct pool *pool, uint32_t i, uint32_t j)
{
	uint32_t a = pool->order[i], b = pool->order[j];
	place(pool, i, b);
	place(pool, j, a);
}

/* Moves a piece from bucket to bucket; each step is one swap and one border. */
static void move(struct pool *pool, uint32_t piece, unsigned from, unsigned to)
{
	for (; from < to; from++) {
		swap(pool, pool->at[piece], pool->start[from + 1] - 1);
		pool->start[from + 1]--;
	}
	for (; from > to; from--) {
		swap(pool, pool->at[piece], pool->start[from]);
		pool->start[from]++;
	}
}

void pool_add(struct pool *pool, uint32_t piece)
{
	assert(!pool_has(pool, piece));
	place(pool, pool->n++, piece);
	pool->start[POOL_BUCKETS] = pool->n;
	bitfield_set(pool->set, piece);
	move(pool, piece, POOL_BUCKETS - 1, bucket_of(pool, piece));
}

void pool_remove(struct pool *pool, uint32_t piece)
{
	assert(pool_has(pool, piece));
	move(pool, piece, bucket_of(pool, piece), POOL_BUCKETS - 1);
	swap(pool, pool->at[piece], pool->n - 1);
	pool->start[POOL_BUCKETS] = --pool->n;
	pool->at[piece] = BITFIELD_NONE;
	bitfield_clear(pool->set, piece);
}

void pool_set_copies(struct pool *pool, uint32_t piece, uint16_t copies)
{
	unsigned from = bucket_of(pool, piece);
	pool->copies[piece] = copies;
	if (pool_has(pool, piece))
		move(pool, piece, from, bucket_of(pool, piece));
}

/* Sorts anew by counting: two walks. */
static void sort(struct pool *pool)
{
	uint32_t fill[POOL_BUCKETS] = { 0 };

	for (uint32_t i = bitfield_next_set(pool->set, 0); i != BITFIELD_NONE; i = bitfield_next_set(pool->set, i + 1))
		fill[bucket_of(pool, i)]++;
	for (unsigned b = 0, sum = 0; b < POOL_BUCKETS; b++) {
		pool->start[b] = sum;
		sum += fill[b];
		fill[b] = pool->start[b];
	}
	for (uint32_t i = bitfield_next_set(pool->set, 0); i != BITFIELD_NONE; i = bitfield_next_set(pool->set, i + 1))
		place(pool, fill[bucket_of(pool, i)]++, i);
}

void pool_count(struct pool *pool, const struct bitfield *pieces, bool more)
{
	bool each = bitfield_count(pieces) <= COUNT_ONE_BY_ONE;

	for (uint32_t i = bitfield_next_set(pieces, 0); i != BITFIELD_NONE; i = bitfield_next_set(pieces, i + 1)) {
		assert(more || pool->copies[i] > 0);
		uint16_t copies = (uint16_t)(more ? pool->copies[i] + 1 : pool->copies[i] - 1);
		if (each)
			pool_set_copies(pool, i, copies);
		else
			pool->copies[i] = copies;
	}
	if (!each)
		sort(pool);
}
