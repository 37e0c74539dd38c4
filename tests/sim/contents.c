/* tests/sim/contents.c */
#include "tests/sim/contents.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/registry/store_mem.h"

static const uint64_t sizes[] = { 0, 100, 600000, UINT64_C(700) << 20 };

unsigned content_choose(struct sim *sim)
{
	return sim_random(sim, sim_random(sim, 40) == 0 ? COUNT_OF(sizes) : COUNT_OF(sizes) - 1);
}

static void hashes_of(unsigned which, struct buf *out)
{
	for (uint64_t i = 0; i < content_pieces(sizes[which]); i++) {
		struct id32 h = { { (uint8_t)which, (uint8_t)(i >> 8), (uint8_t)i } };
		buf_put(out, h.b, sizeof(h.b));
	}
}

static void must_store(struct store *store, struct content_op *op)
{
	struct error e = { 0 };
	if (store_content(&store_mem_ops, store, op, &e) != SHOAL_OK)
		abort();
	content_op_free(op);
}

void content_store(struct store *store, unsigned which, struct upload *up)
{
	struct buf hashes = { 0 };
	struct content_hash ch;

	up->size = sizes[which];
	up->piece_size = CONTENT_PIECE_SIZE;
	memset(&up->file_hash, (int)which + 1, sizeof(up->file_hash));
	hashes_of(which, &hashes);
	content_hash_begin(&ch, up->size, &up->file_hash);
	content_hash_add(&ch, hashes.data, hashes.len);
	content_hash_end(&ch, &up->content);
	for (size_t at = 0; at < hashes.len; at += CONTENT_CHUNK * sizeof(struct id32)) {
		struct content_op *put = content_op_new(CONTENT_PUT);
		size_t left = hashes.len - at, max = CONTENT_CHUNK * sizeof(struct id32);
		put->id = up->content;
		put->size = up->size;
		put->first = (uint32_t)(at / sizeof(struct id32));
		buf_put(&put->data, hashes.data + at, left < max ? left : max);
		must_store(store, put);
	}
	struct content_op *check = content_op_new(CONTENT_CHECK);
	check->id = up->content;
	check->size = up->size;
	check->file_hash = up->file_hash;
	must_store(store, check);
	buf_free(&hashes);
}

static bool holds(const struct site *s, const struct id32 *content)
{
	const struct content_row *c = registry_content(s->reg, content);
	return c != NULL && c->held;
}

bool contents_everywhere(const struct site *sites, size_t n, bool may_be_lost, char *why, size_t size)
{
	for (size_t i = 0; i < n; i++) {
		struct registry_iter it = registry_all(sites[i].reg, TABLE_FILE);
		const struct file_row *f;
		while ((f = registry_next(&it)) != NULL) {
			bool somebody = false;
			for (size_t k = 0; k < n; k++)
				somebody |= holds(&sites[k], &f->content);
			if (holds(&sites[i], &f->content) || (!somebody && may_be_lost))
				continue;
			snprintf(why, size, "tracker %u misses the content of '%.*s' (%llu bytes)", sites[i].id,
			         (int)f->name.len, (const char *)f->name.data, (unsigned long long)f->size);
			return false;
		}
	}
	return true;
}
