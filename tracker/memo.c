/* tracker/memo.c */
#include "tracker/memo.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/table.h"

enum { KEY_MAX = 1 + 320 + 320 };

struct entry {
	UT_hash_handle hh;
	struct memo_answer answer;
	uint64_t made_ms;
	size_t size;
	uint16_t key_len;
	uint8_t key[];
};

struct memo {
	struct entry *entries;
	size_t bytes;
	uint64_t dice;
	struct memo_ticket *tickets[TICKET_SLOTS];
};

struct memo *memo_new(uint64_t seed)
{
	struct memo *m = try_alloc(sizeof(*m));
	if (m != NULL)
		m->dice = seed;
	return m;
}

void memo_answer_fini(struct memo_answer *answer)
{
	buf_free(&answer->bytes);
	free(answer->peers);
	*answer = (struct memo_answer){ 0 };
}

static void drop(struct memo *m, struct entry *en)
{
	HASH_DEL(m->entries, en);
	m->bytes -= en->size;
	memo_answer_fini(&en->answer);
	free(en);
}

void memo_forget_all(struct memo *m)
{
	struct entry *en, *next;
	HASH_ITER(hh, m->entries, en, next)
		drop(m, en);
}

void memo_free(struct memo *m)
{
	if (m == NULL)
		return;
	memo_forget_all(m);
	for (size_t i = 0; i < TICKET_SLOTS; i++) {
		if (m->tickets[i] != NULL)
			buf_free(&m->tickets[i]->sealed);
		free(m->tickets[i]);
	}
	free(m);
}

/* -- answers */
/* 0: too long to be kept. */
static size_t make_key(uint8_t out[KEY_MAX], enum memo_kind kind, struct slice key)
{
	out[0] = (uint8_t)kind;
	if (key.len > KEY_MAX - 1)
		return 0;
	memcpy(out + 1, key.data, key.len);
	return key.len + 1;
}

static struct entry *find(const struct memo *m, const uint8_t *key, size_t len)
{
	struct entry *en = NULL;
	if (len != 0)
		HASH_FIND(hh, m->entries, key, len, en);
	return en;
}

struct memo_answer *memo_find(struct memo *m, enum memo_kind kind, struct slice key, uint64_t now_ms)
{
	uint8_t k[KEY_MAX];
	struct entry *en = find(m, k, make_key(k, kind, key));

	if (en == NULL)
		return NULL;
	if (now_ms < en->made_ms + MEMO_MS)
		return &en->answer;
	drop(m, en);
	return NULL;
}

struct memo_answer *memo_keep(struct memo *m, enum memo_kind kind, struct slice key, struct memo_answer *answer,
                              uint64_t now_ms)
{
	uint8_t k[KEY_MAX];
	size_t len = make_key(k, kind, key);
	struct entry *en = find(m, k, len);

	if (en != NULL)
		drop(m, en);
	en = len != 0 && !answer->bytes.failed ? try_alloc(sizeof(*en) + len) : NULL;
	if (en == NULL) {
		memo_answer_fini(answer);
		return NULL;
	}
	en->answer = *answer;
	*answer = (struct memo_answer){ 0 };
	en->made_ms = now_ms;
	en->size = sizeof(*en) + len + en->answer.bytes.cap;
	en->size += en->answer.peers != NULL ? en->answer.n * sizeof(*en->answer.peers) : 0;
	en->key_len = (uint16_t)len;
	memcpy(en->key, k, len);
	if (m->bytes + en->size > MEMO_BYTES)
		memo_forget_all(m);
	HASH_ADD_KEYPTR(hh, m->entries, en->key, en->key_len, en);
	if (en->hh.tbl == NULL) {
		memo_answer_fini(&en->answer);
		free(en);
		return NULL;
	}
	m->bytes += en->size;
	return &en->answer;
}

void memo_forget(struct memo *m, enum memo_kind kind, struct slice key)
{
	uint8_t k[KEY_MAX];
	struct entry *en = find(m, k, make_key(k, kind, key));
	if (en != NULL)
		drop(m, en);
}

/* -- tickets */
struct memo_ticket *memo_ticket(struct memo *m, const struct id16 *uid, const struct id32 *device, const struct id16 *gid)
{
	uint64_t a, b, c; /* ids are hashes: any of their bytes will do */
	memcpy(&a, uid->b, sizeof(a));
	memcpy(&b, device->b, sizeof(b));
	memcpy(&c, gid->b, sizeof(c));
	struct memo_ticket **slot = &m->tickets[(a ^ b ^ c * 0x9e3779b97f4a7c15u) % TICKET_SLOTS];
	if (*slot == NULL)
		*slot = try_alloc(sizeof(**slot));
	return *slot;
}

/* splitmix64 */
uint32_t memo_dice(struct memo *m, uint32_t n)
{
	uint64_t z = m->dice += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % n);
}
