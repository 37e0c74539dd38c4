/* tests/sim/history.c */
#include "tests/sim/history.h"

#include <string.h>

#include "core/base/mem.h"

void history_fini(struct history *h)
{
	HASH_CLEAR(hh, h->durable);
	for (size_t i = 0; i < h->n; i++) {
		buf_free(&h->ops[i]->rows);
		free(h->ops[i]);
	}
	free(h->ops);
}

static struct past_op *enter(struct history *h, enum op_kind kind, const struct stamp *stamp, struct slice rows)
{
	struct past_op *p = xalloc(sizeof(*p));

	p->kind = kind;
	p->stamp = *stamp;
	buf_put(&p->rows, rows.data, rows.len);
	if (p->rows.failed)
		abort();
	if (h->n == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 64;
		h->ops = realloc(h->ops, h->cap * sizeof(struct past_op *));
		if (h->ops == NULL)
			abort();
	}
	h->ops[h->n++] = p;
	return p;
}

struct past_op *history_add(struct history *h, const struct op *op, const struct id16 *who)
{
	struct past_op *p = enter(h, op->kind, &op->stamp, slice_of(op->rows.data, op->rows.len));
	p->who = *who;
	return p;
}

struct past_op *history_find(const struct history *h, struct dot dot)
{
	struct past_op *p;
	HASH_FIND(hh, h->durable, &dot, sizeof(dot), p);
	return p;
}

/* A command that failed has taken the same dot before: the time tells them apart. */
static struct past_op *find_command(const struct history *h, const struct stamp *stamp)
{
	for (size_t i = h->n; i-- > 0;)
		if (stamp_cmp(&h->ops[i]->stamp, stamp) == 0)
			return h->ops[i];
	return NULL;
}

void history_durable(struct history *h, struct slice bytes, uint64_t now, struct verdict *v)
{
	struct cursor head = cursor_of(bytes.data + 4, 16), tail = cursor_of(bytes.data + bytes.len - 8, 8);
	struct dot dot;
	dot.log = get_u64(&head);
	dot.seq = get_u64(&head);
	uint64_t check = get_u64(&tail);
	struct past_op *p = history_find(h, dot);
	struct record rec;

	if (p != NULL) {
		if (p->check != check)
			verdict_fail(v, "dots", "op %llx.%llu means two things: %s of tracker %u, and another",
			             (unsigned long long)dot.log, (unsigned long long)dot.seq, op_word(p->kind),
			             p->stamp.tracker);
		return;
	}
	if (record_get(bytes, &rec) != SHOAL_OK) {
		verdict_fail(v, "dots", "a record that is none was written");
		return;
	}
	p = find_command(h, &rec.stamp);
	if (p == NULL) {
		p = enter(h, rec.op, &rec.stamp, rec.rows);
		p->fate = FATE_OWN;
	} else if (!slice_eq(rec.rows, slice_of(p->rows.data, p->rows.len))) {
		verdict_fail(v, "dots", "%s of tracker %u was written otherwise than it was made", op_word(p->kind),
		             p->stamp.tracker);
	}
	p->durable = true;
	p->at = now;
	p->check = check;
	HASH_ADD(hh, h->durable, stamp.dot, sizeof(struct dot), p);
}

bool history_stands(const struct past_op *p, const struct vvec *vector)
{
	return p->durable && vvec_covers(vector, p->stamp.dot);
}
