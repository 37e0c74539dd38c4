/* core/registry/views.c - blocks of slots, and a list of those that are free. */
#include "core/registry/views.h"

#include <stddef.h>

#include "core/base/mem.h"

#ifndef VIEWS_KEPT
#define VIEWS_KEPT 16384u /* about 4 MB; a build with 0 shows whoever holds a view for too long */
#endif
enum { SLOTS_IN_BLOCK = 64, RING = 256 };

struct slot {
	struct slot *next_free;
	void **owner; /* NULL: free */
	union any_view view;
};

struct block {
	struct block *next;
	struct slot slots[SLOTS_IN_BLOCK];
};

struct views {
	struct block *blocks;
	struct slot *free_slots;
	size_t used;
	uint64_t lent;
	union any_view ring[RING];
};

struct views *views_new(void)
{
	return xalloc(sizeof(struct views));
}

static void free_blocks(struct views *v)
{
	struct block *next;
	for (struct block *b = v->blocks; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	v->blocks = NULL;
	v->free_slots = NULL;
}

void views_free(struct views *v)
{
	if (v == NULL)
		return;
	free_blocks(v);
	free(v);
}

static bool more_slots(struct views *v)
{
	struct block *b = try_alloc(sizeof(*b));
	if (b == NULL)
		return false;
	b->next = v->blocks;
	v->blocks = b;
	for (size_t i = 0; i < SLOTS_IN_BLOCK; i++) {
		b->slots[i].next_free = v->free_slots;
		v->free_slots = &b->slots[i];
	}
	return true;
}

union any_view *views_take(struct views *v, void **owner)
{
	if (v->free_slots == NULL && !more_slots(v))
		return NULL;
	struct slot *s = v->free_slots;
	v->free_slots = s->next_free;
	s->owner = owner;
	v->used++;
	*owner = &s->view;
	return &s->view;
}

union any_view *views_lend(struct views *v)
{
	return &v->ring[v->lent++ % RING];
}

uint64_t views_short(const struct views *v)
{
	return v->lent;
}

static struct slot *slot_of(void *view)
{
	return (struct slot *)((char *)view - offsetof(struct slot, view));
}

void views_give_back(struct views *v, void **owner)
{
	if (*owner == NULL)
		return;
	struct slot *s = slot_of(*owner);
	*owner = NULL;
	s->owner = NULL;
	s->next_free = v->free_slots;
	v->free_slots = s;
	v->used--;
}

void views_trim(struct views *v)
{
	if (v->used <= VIEWS_KEPT)
		return;
	for (struct block *b = v->blocks; b != NULL; b = b->next)
		for (size_t i = 0; i < SLOTS_IN_BLOCK; i++)
			if (b->slots[i].owner != NULL)
				*b->slots[i].owner = NULL;
	free_blocks(v);
	v->used = 0;
}
