/* core/net/conn_table.c */
#include "core/net/conn_table.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/mem.h"

static conn_id make_id(struct conn_table *t, size_t slot)
{
	return ++t->serial * CONN_TABLE_MAX + slot;
}

static struct conn_slot *find_slot(const struct conn_table *t, conn_id id)
{
	size_t slot = id % CONN_TABLE_MAX;

	return id != 0 && slot < t->n_slots && t->slots[slot].id == id ? &t->slots[slot] : NULL;
}

static bool grow(struct conn_table *t)
{
	size_t n = t->n_slots == 0 ? 16 : t->n_slots * 2;
	struct conn_slot *slots = n > CONN_TABLE_MAX ? NULL : try_realloc(t->slots, n * sizeof(*slots));

	if (slots == NULL)
		return false;
	for (size_t i = t->n_slots; i < n; i++)
		slots[i] = (struct conn_slot){ .next_free = i + 1 < n ? (uint32_t)i + 2 : 0 };
	t->first_free = (uint32_t)t->n_slots + 1;
	t->slots = slots;
	t->n_slots = n;
	return true;
}

void conn_table_fini(struct conn_table *t)
{
	assert(t->n_used == 0);
	free(t->slots);
	*t = (struct conn_table){ 0 };
}

conn_id conn_table_add(struct conn_table *t, void *what)
{
	if (t->first_free == 0 && !grow(t))
		return 0;
	size_t slot = t->first_free - 1;
	t->first_free = t->slots[slot].next_free;
	t->slots[slot] = (struct conn_slot){ .id = make_id(t, slot), .what = what };
	t->n_used++;
	return t->slots[slot].id;
}

void *conn_table_find(const struct conn_table *t, conn_id id)
{
	const struct conn_slot *slot = find_slot(t, id);
	return slot == NULL ? NULL : slot->what;
}

void conn_table_remove(struct conn_table *t, conn_id id)
{
	struct conn_slot *slot = find_slot(t, id);

	assert(slot != NULL);
	*slot = (struct conn_slot){ .next_free = t->first_free };
	t->first_free = (uint32_t)(slot - t->slots) + 1;
	t->n_used--;
}

conn_id conn_table_burn(struct conn_table *t)
{
	return make_id(t, 0);
}

void *conn_table_next(const struct conn_table *t, size_t *at)
{
	while (*at < t->n_slots) {
		const struct conn_slot *slot = &t->slots[(*at)++];
		if (slot->id != 0)
			return slot->what;
	}
	return NULL;
}
