/* core/sync/lease_book.c */
#include "core/sync/lease_book.h"

#include <stdlib.h>

static struct lease *find(const struct lease_book *b, struct dot dot)
{
	struct lease *l;
	HASH_FIND(hh, b->leases, &dot, sizeof(dot), l);
	return l;
}

struct lease_home *lease_book_home(const struct lease_book *b, uint16_t id)
{
	struct lease_home *h;
	HASH_FIND(hh, b->homes, &id, sizeof(id), h);
	return h;
}

struct lease_home *lease_book_need_home(struct lease_book *b, uint16_t id)
{
	struct lease_home *h = lease_book_home(b, id);
	if (h != NULL)
		return h;
	h = try_alloc(sizeof(*h));
	if (h == NULL)
		return NULL;
	h->id = id;
	LIST_INIT(&h->leases);
	HASH_ADD(hh, b->homes, id, sizeof(h->id), h);
	if (h->hh.tbl == NULL) {
		free(h);
		return NULL;
	}
	return h;
}

uint32_t lease_left(const struct lease *l, uint64_t now)
{
	return l->until_ms > now ? (uint32_t)(l->until_ms - now) : 0;
}

static bool newer(const struct sync_session *a, const struct sync_session *b)
{
	return a->epoch != b->epoch ? a->epoch > b->epoch : a->beat > b->beat;
}

static uint64_t hash_of(const struct sync_session *s)
{
	struct sha256 h;
	struct id32 out;
	uint64_t first = 0;

	sha256_init(&h);
	tuple_add_u64(&h, s->dot.log);
	tuple_add_u64(&h, s->dot.seq);
	tuple_add_u64(&h, s->epoch);
	sha256_final(&h, &out);
	for (unsigned i = 0; i < 8; i++)
		first = first << 8 | out.b[i];
	return first;
}

/* -- a lease and its home's sum */

static void set_steady(struct lease *l, bool steady)
{
	if (l->steady == steady || l->home == NULL)
		return;
	l->steady = steady;
	l->home->steady += steady ? 1 : UINT32_MAX;
	l->home->sum += steady ? l->hash : 0 - l->hash;
}

static void leave_home(struct lease *l)
{
	if (l->home == NULL)
		return;
	set_steady(l, false);
	LIST_REMOVE(l, of_home);
	l->home = NULL;
}

static void drop(struct lease_book *b, struct lease *l)
{
	leave_home(l);
	HASH_DEL(b->leases, l);
	free((void *)l->session.address.data);
	free(l);
}

void lease_book_fini(struct lease_book *b)
{
	struct lease *l, *next;
	struct lease_home *h, *next_home;

	HASH_ITER(hh, b->leases, l, next)
		drop(b, l);
	HASH_ITER(hh, b->homes, h, next_home) {
		HASH_DEL(b->homes, h);
		free(h);
	}
}

static struct lease *add(struct lease_book *b, struct dot dot)
{
	struct lease *l = try_alloc(sizeof(*l));
	if (l == NULL)
		return NULL;
	l->session.dot = dot;
	HASH_ADD(hh, b->leases, session.dot, sizeof(l->session.dot), l);
	if (l->hh.tbl != NULL)
		return l;
	free(l);
	return NULL;
}

/* l: what is known of it so far, NULL: nothing. False: no memory, nothing has changed. */
static bool put(struct lease_book *b, struct lease *l, const struct sync_session *s, bool steady, uint64_t until_ms)
{
	struct lease_home *h = lease_book_need_home(b, s->home);
	uint8_t *address = s->address.len != 0 ? try_memdup(s->address.data, s->address.len) : NULL;

	if (address == NULL && s->address.len != 0)
		h = NULL;
	if (h != NULL && l == NULL)
		l = add(b, s->dot);
	if (h == NULL || l == NULL) {
		free(address);
		return false;
	}
	leave_home(l);
	free((void *)l->session.address.data);
	l->session = *s;
	l->session.address = slice_of(address, s->address.len);
	l->hash = hash_of(s);
	l->until_ms = until_ms;
	l->gone = false;
	l->answer = h->answer;
	l->home = h;
	l->place = ++h->last_place;
	LIST_INSERT_HEAD(&h->leases, l, of_home);
	set_steady(l, steady);
	return true;
}

/* Not forgotten: who holds it for a moment longer must not bring it back. */
static void end(struct lease *l, uint64_t now)
{
	leave_home(l);
	l->gone = true;
	l->until_ms = now + LEASE_REMEMBER_MS;
}

/* The same of one that is told to be gone. Without memory it may come back until its time has run out. */
static void put_gone(struct lease_book *b, struct lease *l, const struct sync_session *s, uint64_t now)
{
	if (l == NULL)
		l = add(b, s->dot);
	if (l == NULL)
		return;
	l->session.home = s->home;
	l->session.epoch = s->epoch;
	l->session.beat = s->beat;
	end(l, now);
}

/* -- what is told */

static bool is_steady(const struct sync_session *s)
{
	return s->left_ms >= LEASE_STEADY_MS;
}

bool lease_book_renew_own(struct lease_book *b, const struct sync_session *s, uint64_t now)
{
	struct lease *l = find(b, s->dot);
	uint64_t until_ms = now + s->left_ms;

	if (l == NULL || l->gone || l->session.home != s->home || l->session.epoch != s->epoch || s->left_ms == 0)
		return false;
	if (l->steady != is_steady(s) || (!l->steady && l->until_ms != until_ms))
		return false;
	l->until_ms = until_ms;
	return true;
}

bool lease_book_put_own(struct lease_book *b, const struct sync_session *s, uint64_t now, uint64_t *beat, bool *steady)
{
	struct lease *l = find(b, s->dot);
	struct sync_session told = *s;
	bool known = l != NULL && l->session.home == s->home && l->session.epoch == s->epoch;

	if (l != NULL && !known && l->session.epoch >= s->epoch)
		return false;
	if (lease_book_renew_own(b, s, now))
		return false;
	*steady = is_steady(s);
	told.beat = *beat = ++b->beat;
	if (s->left_ms != 0)
		(void)put(b, l, &told, *steady, now + s->left_ms); /* no memory: it is tried again at the next turn */
	else
		put_gone(b, l, &told, now);
	return true;
}

/* Who answers knows it, too, and what we know is as new. */
static void note_known(struct lease *l, const struct sync_session *s, bool steady)
{
	if (l->gone || l->session.epoch != s->epoch || l->home == NULL)
		return;
	l->answer = l->home->answer;
	if (l->session.beat == s->beat)
		set_steady(l, steady);
}

bool lease_book_take(struct lease_book *b, const struct sync_session *s, bool steady, uint64_t now)
{
	struct lease *l = find(b, s->dot);
	uint32_t left_ms = s->left_ms < LEASE_MAX_MS ? s->left_ms : LEASE_MAX_MS;

	if (l != NULL && !newer(s, &l->session)) {
		note_known(l, s, steady);
		return false;
	}
	if (left_ms != 0)
		return put(b, l, s, steady, now + left_ms);
	put_gone(b, l, s, now);
	return true;
}

bool lease_book_ended_later(const struct lease_book *b, const struct sync_session *s, struct sync_session *end)
{
	const struct lease *l = find(b, s->dot);

	if (l == NULL || !l->gone || l->session.home == s->home || l->session.epoch < s->epoch)
		return false;
	*end = l->session;
	end->left_ms = 0;
	end->address = (struct slice){ 0 };
	return true;
}

void lease_book_expire(struct lease_book *b, uint64_t now)
{
	struct lease *l, *next;

	HASH_ITER(hh, b->leases, l, next) {
		if (l->until_ms > now)
			continue;
		if (l->gone)
			drop(b, l);
		else
			end(l, now);
	}
}

/* -- all of one home */

void lease_book_beat(struct lease_book *b, struct lease_home *own)
{
	struct lease *l;

	b->beat++;
	LIST_FOREACH(l, &own->leases, of_home)
		l->session.beat = b->beat;
}

struct lease_sum lease_home_sum(const struct lease_home *h, uint64_t now)
{
	struct lease_sum sum = { .steady = h->steady, .sum = h->sum, .beat = UINT64_MAX, .left_ms = LEASE_MAX_MS };
	const struct lease *l;

	LIST_FOREACH(l, &h->leases, of_home) {
		if (!l->steady)
			continue;
		uint32_t left_ms = lease_left(l, now);
		if (left_ms < sum.left_ms)
			sum.left_ms = left_ms;
		if (l->session.beat < sum.beat)
			sum.beat = l->session.beat;
	}
	return sum;
}

bool lease_home_renew(struct lease_home *h, const struct lease_sum *sum, uint64_t now, lease_fn *fn, void *arg)
{
	uint64_t until_ms = now + (sum->left_ms < LEASE_MAX_MS ? sum->left_ms : LEASE_MAX_MS);
	struct lease *l;

	if (h->steady != sum->steady || h->sum != sum->sum)
		return false;
	LIST_FOREACH(l, &h->leases, of_home) {
		/* A lease that is longer keeps its own beat: else that time would go round once more under the later one. */
		if (!l->steady || l->session.beat >= sum->beat || l->until_ms >= until_ms)
			continue;
		l->session.beat = sum->beat;
		l->until_ms = until_ms;
		fn(arg, l);
	}
	return true;
}

void lease_home_begin_answer(struct lease_home *h, conn_id from, uint64_t now)
{
	h->asked = from;
	h->asked_at = now;
	h->answer++;
}

void lease_home_end_answer(struct lease_home *h)
{
	struct lease *l;

	h->asked = 0;
	LIST_FOREACH(l, &h->leases, of_home)
		if (l->answer != h->answer)
			set_steady(l, false);
}
