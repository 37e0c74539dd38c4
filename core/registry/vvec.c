/* core/registry/vvec.c */
#include "core/registry/vvec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

void vvec_fini(struct vvec *v)
{
	free(v->entries);
	*v = (struct vvec){ 0 };
}

/* Where the log is, or where it would have to be put. */
static size_t place_of(const struct vvec *v, uint64_t log)
{
	size_t lo = 0, hi = v->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (v->entries[mid].log < log)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint64_t vvec_get(const struct vvec *v, uint64_t log)
{
	size_t i = place_of(v, log);
	return i < v->n && v->entries[i].log == log ? v->entries[i].seq : 0;
}

bool vvec_covers(const struct vvec *v, struct dot dot)
{
	return dot.seq <= vvec_get(v, dot.log);
}

bool vvec_covers_all(const struct vvec *v, const struct vvec *other)
{
	for (size_t i = 0; i < other->n; i++)
		if (!vvec_covers(v, other->entries[i]))
			return false;
	return true;
}

bool vvec_eq(const struct vvec *a, const struct vvec *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!dot_eq(a->entries[i], b->entries[i]))
			return false;
	return true;
}

uint64_t vvec_ahead(const struct vvec *v, const struct vvec *other)
{
	uint64_t n = 0;

	for (size_t i = 0; i < v->n; i++) {
		uint64_t theirs = vvec_get(other, v->entries[i].log);
		if (v->entries[i].seq > theirs)
			n += v->entries[i].seq - theirs;
	}
	return n;
}

enum shoal_err vvec_reserve(struct vvec *v, size_t more)
{
	size_t cap = v->cap != 0 ? v->cap : 8;

	if (v->cap - v->n >= more)
		return SHOAL_OK;
	while (cap - v->n < more)
		cap *= 2;
	struct dot *entries = try_realloc(v->entries, cap * sizeof(*entries));
	if (entries == NULL)
		return SHOAL_EBUSY;
	v->entries = entries;
	v->cap = cap;
	return SHOAL_OK;
}

enum shoal_err vvec_raise(struct vvec *v, uint64_t log, uint64_t seq)
{
	size_t i = place_of(v, log);

	if (i < v->n && v->entries[i].log == log) {
		if (v->entries[i].seq < seq)
			v->entries[i].seq = seq;
		return SHOAL_OK;
	}
	if (seq == 0)
		return SHOAL_OK;
	if (vvec_reserve(v, 1) != SHOAL_OK)
		return SHOAL_EBUSY;
	memmove(v->entries + i + 1, v->entries + i, (v->n - i) * sizeof(*v->entries));
	v->entries[i] = (struct dot){ .log = log, .seq = seq };
	v->n++;
	return SHOAL_OK;
}

void vvec_lower(struct vvec *v, uint64_t log, uint64_t seq)
{
	size_t i = place_of(v, log);

	if (i == v->n || v->entries[i].log != log)
		return;
	v->entries[i].seq = seq;
	if (seq != 0)
		return;
	v->n--;
	memmove(v->entries + i, v->entries + i + 1, (v->n - i) * sizeof(*v->entries));
}

enum shoal_err vvec_merge(struct vvec *v, const struct vvec *other)
{
	if (other->n != 0 && vvec_reserve(v, other->n) != SHOAL_OK)
		return SHOAL_EBUSY;
	for (size_t i = 0; i < other->n; i++) {
		enum shoal_err rc = vvec_raise(v, other->entries[i].log, other->entries[i].seq);
		assert(rc == SHOAL_OK); /* there is room */
		(void)rc;
	}
	return SHOAL_OK;
}

enum shoal_err vvec_copy(struct vvec *out, const struct vvec *v)
{
	struct dot *entries = NULL;

	if (v->n != 0) {
		entries = try_memdup(v->entries, v->n * sizeof(*entries));
		if (entries == NULL)
			return SHOAL_EBUSY;
	}
	free(out->entries);
	*out = (struct vvec){ .entries = entries, .n = v->n, .cap = v->n };
	return SHOAL_OK;
}

void vvec_put(struct buf *b, const struct vvec *v)
{
	buf_put_u32(b, (uint32_t)v->n);
	for (size_t i = 0; i < v->n; i++) {
		buf_put_u64(b, v->entries[i].log);
		buf_put_u64(b, v->entries[i].seq);
	}
}

enum shoal_err vvec_read(struct cursor *c, struct vvec *out)
{
	struct vvec v = { 0 };
	uint32_t n = get_u32(c);

	if (c->bad || n > VVEC_LOGS_MAX || cursor_left(c) < (size_t)n * 16)
		return SHOAL_EPROTO;
	if (n != 0 && vvec_reserve(&v, n) != SHOAL_OK)
		return SHOAL_EBUSY;
	for (uint32_t i = 0; i < n; i++) {
		struct dot dot;
		dot.log = get_u64(c);
		dot.seq = get_u64(c);
		if (dot.log == 0 || dot.seq == 0 || (i != 0 && dot.log <= v.entries[i - 1].log)) {
			vvec_fini(&v);
			return SHOAL_EPROTO;
		}
		v.entries[v.n++] = dot;
	}
	vvec_fini(out);
	*out = v;
	return SHOAL_OK;
}

static void hash_u64(struct sha256 *h, uint64_t v)
{
	uint8_t w[8];
	for (int i = 0; i < 8; i++)
		w[i] = (uint8_t)(v >> (56 - 8 * i));
	sha256_update(h, w, sizeof(w));
}

uint64_t vvec_hash(const struct vvec *v)
{
	uint8_t head[4] = { (uint8_t)(v->n >> 24), (uint8_t)(v->n >> 16), (uint8_t)(v->n >> 8), (uint8_t)v->n };
	struct sha256 h;
	struct id32 hash;

	sha256_init(&h);
	sha256_update(&h, head, sizeof(head));
	for (size_t i = 0; i < v->n; i++) {
		hash_u64(&h, v->entries[i].log);
		hash_u64(&h, v->entries[i].seq);
	}
	sha256_final(&h, &hash);
	struct cursor c = cursor_of(hash.b, 8);
	return get_u64(&c);
}
