/* core/registry/registry_undo.c - what a change did, so that it can be taken back, and the fate of changes. */
#include <assert.h>
#include <string.h>

#include "core/registry/registry_internal.h"

static void enter_newest(struct registry *reg, struct undo *u)
{
	u->prev = reg->newest;
	if (reg->newest != NULL)
		reg->newest->next = u;
	else
		reg->oldest = u;
	reg->newest = u;
	u->number = ++reg->made;
	reg->pending++;
}

static void leave(struct registry *reg, struct undo *u)
{
	if (u->prev != NULL)
		u->prev->next = u->next;
	else
		reg->oldest = u->next;
	if (u->next != NULL)
		u->next->prev = u->prev;
	else
		reg->newest = u->prev;
	reg->pending--;
}

struct undo *undo_get(struct registry *reg, struct undo **u)
{
	if (*u != NULL) {
		assert(*u == reg->newest); /* a transaction is added to only while it is the newest */
		return *u;
	}
	*u = try_alloc(sizeof(**u));
	if (*u != NULL)
		enter_newest(reg, *u);
	return *u;
}

void undo_discard_if_empty(struct registry *reg, struct undo **u, bool was_new)
{
	if (!was_new || *u == NULL || (*u)->n != 0)
		return;
	leave(reg, *u);
	reg->made--;
	free((*u)->steps);
	free(*u);
	*u = NULL;
}

bool undo_reserve(struct undo *u, size_t n)
{
	size_t cap = u->cap != 0 ? u->cap : 8;

	if (u->cap - u->n >= n)
		return true;
	while (cap - u->n < n)
		cap *= 2;
	struct step *steps = try_realloc(u->steps, cap * sizeof(*steps));
	if (steps == NULL)
		return false;
	u->steps = steps;
	u->cap = cap;
	return true;
}

void undo_row(struct undo *u, struct entry *e, struct row *before, struct row *after)
{
	assert(u->n < u->cap);
	struct step *s = &u->steps[u->n++];
	*s = (struct step){ .kind = STEP_ROW };
	s->row.entry = e;
	s->row.before = before;
	s->row.after = after != NULL ? row_ref(after) : NULL;
	entry_pin(e);
}

static void end_row_step(struct registry *reg, struct step *s)
{
	row_unref(s->row.before);
	row_unref(s->row.after);
	entry_unpin(reg, s->row.entry);
}

static void take_back(struct registry *reg, struct step *s)
{
	switch (s->kind) {
	case STEP_ROW:
		row_unref(entry_set(reg, s->row.entry, s->row.before));
		s->row.before = NULL; /* it is in its place again */
		end_row_step(reg, s);
		break;
	case STEP_VECTOR: vvec_lower(&reg->vector, s->vector.log, s->vector.seq); break;
	case STEP_REQUEST: request_remove(reg, &s->request); break;
	}
}

void undo_back_to(struct registry *reg, struct undo *u, size_t n)
{
	while (u->n > n)
		take_back(reg, &u->steps[--u->n]);
}

static void undo_free(struct undo *u)
{
	free(u->steps);
	free(u);
}

void registry_commit_done(struct registry *reg, struct undo *u)
{
	if (u == NULL)
		return;
	assert(u == reg->oldest);
	for (size_t i = 0; i < u->n; i++) {
		struct step *s = &u->steps[i];
		if (s->kind == STEP_ROW) {
			end_row_step(reg, s);
		} else if (s->kind == STEP_VECTOR) {
			enum shoal_err rc = vvec_raise(&reg->durable_vector, s->vector.log, s->seq_after);
			assert(rc == SHOAL_OK); /* there is room since it was applied */
			(void)rc;
		}
	}
	leave(reg, u);
	reg->durable = u->number;
	undo_free(u);
}

void registry_undo(struct registry *reg, struct undo *u)
{
	if (u == NULL)
		return;
	assert(u == reg->newest);
	undo_back_to(reg, u, 0);
	leave(reg, u);
	reg->made = u->number - 1;
	undo_free(u);
}

size_t registry_pending(const struct registry *reg)
{
	return reg->pending;
}

uint64_t registry_made(const struct registry *reg)
{
	return reg->made;
}

uint64_t registry_durable(const struct registry *reg)
{
	return reg->durable;
}

void undo_each(const struct undo *u, undo_fn *fn, void *ctx)
{
	for (size_t i = 0; u != NULL && i < u->n; i++)
		if (u->steps[i].kind == STEP_ROW)
			fn(ctx, u->steps[i].row.before, u->steps[i].row.after);
}
