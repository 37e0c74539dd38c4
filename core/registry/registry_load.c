/* core/registry/registry_load.c - millions of rows, one after the other.
 *
 * Nearly every bucket and node that a row touches is far from the caches by then, and waiting for them is a third of the
 * time. So each row waits for AHEAD later ones: when it comes, its buckets are fetched; half-way the first node in each;
 * when its turn comes all is near. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/registry/registry_internal.h"

enum { AHEAD = 16 }; /* a power of two */

struct registry_loader {
	struct registry *reg;
	size_t come, taken; /* rows so far */
	struct coming {
		struct row *row;
		unsigned n;
		struct place places[PLACES_OF_A_ROW];
	} ring[AHEAD]; /* the i-th row is in i % AHEAD */
};

struct registry_loader *registry_loader_new(struct registry *reg)
{
	struct registry_loader *l = try_alloc(sizeof(*l));

	if (l != NULL)
		l->reg = reg;
	return l;
}

static enum shoal_err take_oldest(struct registry_loader *l)
{
	struct row *row = l->ring[l->taken++ % AHEAD].row;

	return registry_take_row(l->reg, row);
}

enum shoal_err registry_loader_add(struct registry_loader *l, const struct wire_row *wire)
{
	struct row *row = NULL;
	enum shoal_err rc = row_new(wire, &row);

	return rc == SHOAL_OK ? registry_loader_add_row(l, row) : rc;
}

enum shoal_err registry_loader_add_row(struct registry_loader *l, struct row *row)
{
	struct coming *c = &l->ring[l->come % AHEAD], *middle = &l->ring[(l->come + AHEAD / 2) % AHEAD];
	enum shoal_err rc = l->come - l->taken == AHEAD ? take_oldest(l) : SHOAL_OK;

	if (rc != SHOAL_OK) {
		row_unref(row);
		return rc;
	}
	c->row = row;
	c->n = entry_places(l->reg, row, c->places);
	for (unsigned i = 0; i < c->n; i++)
		node_fetch_bucket(c->places[i].table, c->places[i].hash);
	for (unsigned i = 0; l->come >= AHEAD / 2 && i < middle->n; i++)
		node_fetch_first(middle->places[i].table, middle->places[i].hash);
	l->come++;
	return SHOAL_OK;
}

enum shoal_err registry_loader_end(struct registry_loader *l)
{
	enum shoal_err rc = SHOAL_OK;

	while (l != NULL && l->taken < l->come) {
		enum shoal_err one = take_oldest(l);
		rc = rc == SHOAL_OK ? one : rc;
	}
	free(l);
	return rc;
}
