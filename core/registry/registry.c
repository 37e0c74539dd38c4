/* core/registry/registry.c - a registry's life, its ops, loading it, cuts of it. Merging is registry_merge.c. */
#include "core/registry/registry.h"

#include <assert.h>
#include <string.h>

#include "core/base/planted.h"
#include "core/registry/registry_internal.h"

struct registry *registry_new(uint16_t tracker, uint64_t log)
{
	assert(log != 0);
	struct registry *reg = xalloc(sizeof(*reg));
	reg->tracker = tracker;
	reg->views = views_new();
	reg->log = PLANTED(stable_logid) ? tracker : log;
	return reg;
}

void registry_free(struct registry *reg)
{
	if (reg == NULL)
		return;
	while (reg->oldest != NULL)
		registry_commit_done(reg, reg->oldest); /* nobody will ask any more: only to free it */
	registry_free_rows(reg);
	views_free(reg->views);
	registry_free_requests(reg);
	vvec_fini(&reg->vector);
	vvec_fini(&reg->durable_vector);
	buf_free(&reg->found);
	free(reg);
}

uint16_t registry_tracker(const struct registry *reg)
{
	return reg->tracker;
}

uint64_t registry_log(const struct registry *reg)
{
	return reg->log;
}

const struct vvec *registry_vector(const struct registry *reg)
{
	return &reg->vector;
}

const struct vvec *registry_durable_vector(const struct registry *reg)
{
	return &reg->durable_vector;
}

uint64_t registry_hlc(const struct registry *reg)
{
	return reg->hlc;
}

struct digest registry_digest(const struct registry *reg, enum table table)
{
	return reg->digests[table];
}

bool digest_eq(struct digest a, struct digest b)
{
	return a.count == b.count && a.sum == b.sum;
}

/* -- own operations: only begun here */

void op_begin(struct registry *reg, enum op_kind kind, const struct id16 *request, uint64_t wall_ms, struct op *op)
{
	uint64_t now = wall_ms << 16;

	reg->hlc = reg->hlc + 1 > now ? reg->hlc + 1 : now;
	*op = (struct op){ .kind = kind, .wall_ms = wall_ms };
	op->stamp = (struct stamp){ .hlc = reg->hlc, .tracker = reg->tracker };
	op->stamp.dot = (struct dot){ .log = reg->log, .seq = vvec_get(&reg->vector, reg->log) + 1 };
	if (request != NULL)
		op->request = *request;
}

void op_fini(struct op *op)
{
	buf_free(&op->rows);
}

bool op_is_empty(const struct op *op)
{
	return op->rows.len == 0 && !op->rows.failed;
}

/* -- loading */

void registry_load_hlc(struct registry *reg, uint64_t hlc)
{
	if (hlc > reg->hlc)
		reg->hlc = hlc;
}

enum shoal_err registry_load(struct registry *reg, const struct wire_row *wire)
{
	struct row *row = NULL;
	enum shoal_err rc = row_new(wire, &row);

	return rc == SHOAL_OK ? registry_take_row(reg, row) : rc;
}

enum shoal_err registry_take_row(struct registry *reg, struct row *row)
{
	views_trim(reg->views);
	struct entry *e = entry_get(reg, row);
	if (e == NULL || !entry_prepare(reg, row)) {
		if (e != NULL)
			entry_release(reg, e);
		row_unref(row);
		return SHOAL_EBUSY;
	}
	registry_load_hlc(reg, row_hlc(row));
	row_unref(entry_set(reg, e, row));
	return SHOAL_OK;
}

enum shoal_err registry_load_vector(struct registry *reg, uint64_t log, uint64_t seq)
{
	enum shoal_err rc = vvec_raise(&reg->vector, log, seq);
	return rc == SHOAL_OK ? vvec_raise(&reg->durable_vector, log, seq) : rc;
}

/* -- cuts */

static size_t entries_of(const struct registry *reg)
{
	size_t n = 0;
	for (unsigned slot = 0; slot < TABLE_END; slot++)
		n += reg->tables[slot].n;
	return n;
}

/* Who gets the cut puts it into a tree in the order of keys. Rows in no order touch a page of it each, and each is written
 * forty times; rows by the first bytes of their keys touch few. Only slower without memory; a table that is small fits into a few pages anyway. */
enum { KEY_STARTS = 1 << 16, WORTH_ORDERING = 4096 };

static uint16_t key_start(const struct row *row)
{
	struct slice key = row_key(row);
	return (uint16_t)(key.data[0] << 8 | (key.len > 1 ? key.data[1] : 0));
}

/* rows[i] begins with starts[i]. */
static void order_by_start(struct row **rows, const uint16_t *starts, size_t n)
{
	struct row **ordered = try_alloc((n + 1) * sizeof(struct row *));
	size_t *place = try_alloc(KEY_STARTS * sizeof(*place)), sum = 0;

	if (ordered != NULL && place != NULL) {
		for (size_t i = 0; i < n; i++)
			place[starts[i]]++;
		for (size_t k = 0; k < KEY_STARTS; k++) {
			size_t count = place[k];
			place[k] = sum;
			sum += count;
		}
		for (size_t i = 0; i < n; i++)
			ordered[place[starts[i]]++] = rows[i];
		memcpy(rows, ordered, n * sizeof(struct row *));
	}
	free(ordered);
	free(place);
}

/* The key is read while the row is near anyway: for its reference. */
static void cut_table(const struct registry *reg, unsigned slot, struct registry_cut *cut)
{
	size_t n = reg->tables[slot].n;
	uint16_t *starts = n >= WORTH_ORDERING ? try_alloc(n * sizeof(*starts)) : NULL;
	size_t first = cut->n;

	for (const struct entry *e = entry_first(reg, slot); e != NULL; e = entry_after(reg, e)) {
		if (entry_row(e) == NULL)
			continue;
		if (starts != NULL)
			starts[cut->n - first] = key_start(e->last);
		cut->rows[cut->n++] = row_ref(e->last);
	}
	if (starts != NULL)
		order_by_start(cut->rows + first, starts, cut->n - first);
	free(starts);
}

struct registry_cut *registry_cut_new(const struct registry *reg)
{
	struct registry_cut *cut = try_alloc(sizeof(*cut));
	if (cut == NULL)
		return NULL;
	cut->hlc = reg->hlc;
	cut->rows = try_alloc((entries_of(reg) + 1) * sizeof(struct row *));
	if (cut->rows == NULL || vvec_copy(&cut->vector, &reg->vector) != SHOAL_OK) {
		registry_cut_free(cut);
		return NULL;
	}
	for (unsigned slot = 0; slot < TABLE_END; slot++)
		cut_table(reg, slot, cut);
	return cut;
}

void registry_cut_free(struct registry_cut *cut)
{
	if (cut == NULL)
		return;
	assert(cut->rows != NULL || cut->n == 0);
	for (size_t i = 0; i < cut->n; i++)
		row_unref(cut->rows[i]);
	free(cut->rows);
	vvec_fini(&cut->vector);
	free(cut);
}
