/* tracker/presence.c */
#include "tracker/presence.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "core/base/mem.h"
#include "core/base/table.h"

enum {
	SWEEP_MS = 1000,
	REMEMBER_MS = 65 * 1000, /* longer than any lease under way */
	LEECHERS_PER_FILE = 5000, /* past that the oldest announces are as good as any */
};

struct session_node {
	struct online o; /* gone: until_ms is when to forget it */
	bool gone;
	UT_hash_handle hh; /* by dot */
	LIST_ENTRY(session_node) of_user;
};

struct user_node {
	struct id16 uid;
	LIST_HEAD(, session_node) sessions;
	UT_hash_handle hh;
};

struct leecher_node {
	struct leecher l; /* gone: until_ms is when to forget it */
	bool gone;
	TAILQ_ENTRY(leecher_node) link; /* least recently heard first */
};

struct swarm_key {
	struct id16 gid, fid;
};

struct swarm_node {
	struct swarm_key key;
	size_t n, n_here; /* nodes; those that are not gone */
	TAILQ_HEAD(leecher_list, leecher_node) leechers;
	UT_hash_handle hh;
};

struct presence_map {
	struct session_node *sessions;
	struct user_node *users;
	struct swarm_node *swarms;
	size_t n_online;
	uint64_t version;
	uint64_t sweep_ms; /* when to look through all the next time, at the earliest */
	uint64_t due_ms;   /* nothing runs out before that */
};

struct presence_map *presence_new(void)
{
	return xalloc(sizeof(struct presence_map));
}

static void drop_swarm(struct presence_map *p, struct swarm_node *s)
{
	struct leecher_node *l;
	while ((l = TAILQ_FIRST(&s->leechers)) != NULL) {
		TAILQ_REMOVE(&s->leechers, l, link);
		free(l);
	}
	HASH_DEL(p->swarms, s);
	free(s);
}

/* Something new runs out at that time. */
static void due(struct presence_map *p, uint64_t until_ms)
{
	if (until_ms < p->due_ms)
		p->due_ms = until_ms;
}

static struct session_node *find_session(const struct presence_map *p, struct dot dot)
{
	struct session_node *n;
	HASH_FIND(hh, p->sessions, &dot, sizeof(dot), n);
	return n;
}

static struct user_node *find_user(const struct presence_map *p, const struct id16 *uid)
{
	struct user_node *u;
	HASH_FIND(hh, p->users, uid, sizeof(*uid), u);
	return u;
}

/* No longer the user's, but still known by its dot. */
static void leave_user(struct presence_map *p, struct session_node *n)
{
	struct user_node *u = find_user(p, &n->o.uid);
	if (n->gone)
		return;
	n->gone = true;
	p->n_online--;
	p->version++;
	LIST_REMOVE(n, of_user);
	if (u != NULL && LIST_EMPTY(&u->sessions)) {
		HASH_DEL(p->users, u);
		free(u);
	}
}

static void drop_session(struct presence_map *p, struct session_node *n)
{
	leave_user(p, n);
	HASH_DEL(p->sessions, n);
	free(n);
}

void presence_free(struct presence_map *p)
{
	struct session_node *n, *next;
	struct swarm_node *s, *next_swarm;

	if (p == NULL)
		return;
	HASH_ITER(hh, p->sessions, n, next)
		drop_session(p, n);
	HASH_ITER(hh, p->swarms, s, next_swarm)
		drop_swarm(p, s);
	free(p);
}

/* NULL when there is no memory. */
static struct user_node *need_user(struct presence_map *p, const struct id16 *uid)
{
	struct user_node *u = find_user(p, uid);
	if (u != NULL)
		return u;
	u = try_alloc(sizeof(*u));
	if (u == NULL)
		return NULL;
	u->uid = *uid;
	LIST_INIT(&u->sessions);
	HASH_ADD(hh, p->users, uid, sizeof(u->uid), u);
	if (u->hh.tbl == NULL) {
		free(u);
		return NULL;
	}
	return u;
}

/* False when there is no memory. */
static bool join_user(struct presence_map *p, struct session_node *n)
{
	struct user_node *u = need_user(p, &n->o.uid);
	if (u == NULL)
		return false;
	LIST_INSERT_HEAD(&u->sessions, n, of_user);
	n->gone = false;
	p->n_online++;
	p->version++;
	return true;
}

static enum shoal_err add_session(struct presence_map *p, const struct online *o)
{
	struct session_node *n = try_alloc(sizeof(*n));
	if (n == NULL)
		return SHOAL_EBUSY;
	n->o = *o;
	n->gone = true;
	HASH_ADD(hh, p->sessions, o.dot, sizeof(n->o.dot), n);
	if (n->hh.tbl == NULL) {
		free(n);
		return SHOAL_EBUSY;
	}
	if (join_user(p, n))
		return SHOAL_OK;
	drop_session(p, n);
	return SHOAL_EBUSY;
}

static bool newer(uint64_t epoch, uint64_t beat, uint64_t than_epoch, uint64_t than_beat)
{
	return epoch != than_epoch ? epoch > than_epoch : beat > than_beat;
}

static bool same_address(const struct address *a, const struct address *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

enum shoal_err presence_put(struct presence_map *p, const struct online *o, bool *fresh)
{
	struct session_node *n = find_session(p, o->dot);

	due(p, o->until_ms);
	*fresh = n == NULL || n->gone || o->home != n->o.home || !same_address(&o->addr, &n->o.addr);
	if (n == NULL)
		return add_session(p, o);
	if (!newer(o->epoch, o->beat, n->o.epoch, n->o.beat))
		return SHOAL_ECONFLICT;
	if (n->gone && !join_user(p, n))
		return SHOAL_EBUSY;
	p->version += *fresh;
	n->o = *o;
	return SHOAL_OK;
}

bool presence_beat(struct presence_map *p, struct dot dot, uint64_t until_ms)
{
	struct session_node *n = find_session(p, dot);
	if (n == NULL || n->gone)
		return false;
	n->o.beat++;
	n->o.until_ms = until_ms;
	due(p, until_ms);
	return true;
}

void presence_detach(struct presence_map *p, struct dot dot, uint64_t until_ms)
{
	struct session_node *n = find_session(p, dot);
	if (n == NULL || n->gone)
		return;
	n->o.conn = 0;
	n->o.beat++;
	n->o.until_ms = until_ms;
	due(p, until_ms);
}

bool presence_end(struct presence_map *p, struct dot dot, uint64_t epoch, uint64_t beat, uint64_t now_ms)
{
	struct session_node *n = find_session(p, dot);
	if (n == NULL || n->gone || newer(n->o.epoch, n->o.beat, epoch, beat))
		return false;
	n->o.epoch = epoch;
	n->o.beat = beat;
	n->o.conn = 0;
	n->o.until_ms = now_ms + REMEMBER_MS;
	due(p, n->o.until_ms);
	leave_user(p, n);
	return true;
}

uint64_t presence_next_epoch(const struct presence_map *p, struct dot dot, uint64_t hlc)
{
	const struct session_node *n = find_session(p, dot);
	return n != NULL && n->o.epoch >= hlc ? n->o.epoch + 1 : hlc;
}

const struct online *presence_by_dot(const struct presence_map *p, struct dot dot)
{
	const struct session_node *n = find_session(p, dot);
	return n != NULL && !n->gone ? &n->o : NULL;
}

bool presence_user_online(const struct presence_map *p, const struct id16 *uid)
{
	return find_user(p, uid) != NULL;
}

const struct online *presence_endpoint(const struct presence_map *p, const struct id16 *uid, const struct id32 *device)
{
	const struct user_node *u = find_user(p, uid);
	const struct session_node *n, *newest = NULL;

	if (u == NULL)
		return NULL;
	LIST_FOREACH(n, &u->sessions, of_user)
		if (id32_cmp(&n->o.device, device) == 0 && (newest == NULL || n->o.epoch > newest->o.epoch))
			newest = n;
	return newest != NULL ? &newest->o : NULL;
}

void presence_each_of(const struct presence_map *p, const struct id16 *uid, presence_fn *fn, void *arg)
{
	const struct user_node *u = find_user(p, uid);
	const struct session_node *n;

	if (u == NULL)
		return;
	LIST_FOREACH(n, &u->sessions, of_user)
		fn(arg, &n->o);
}

void presence_each(const struct presence_map *p, presence_fn *fn, void *arg)
{
	for (const struct session_node *n = p->sessions; n != NULL; n = n->hh.next)
		if (!n->gone)
			fn(arg, &n->o);
}

size_t presence_count(const struct presence_map *p)
{
	return p->n_online;
}

uint64_t presence_version(const struct presence_map *p)
{
	return p->version;
}

static void drop_leecher(struct presence_map *p, struct swarm_node *s, struct leecher_node *l)
{
	TAILQ_REMOVE(&s->leechers, l, link);
	s->n--;
	s->n_here -= !l->gone;
	free(l);
	if (s->n == 0)
		drop_swarm(p, s);
}

static void expire_leechers(struct presence_map *p, uint64_t now_ms)
{
	struct swarm_node *s, *next_swarm;
	HASH_ITER(hh, p->swarms, s, next_swarm) {
		size_t n = s->n;
		struct leecher_node *l = TAILQ_FIRST(&s->leechers), *next;
		for (; n != 0; n--, l = next) { /* the swarm goes with its last one */
			next = TAILQ_NEXT(l, link);
			if (l->l.until_ms <= now_ms)
				drop_leecher(p, s, l);
			else
				due(p, l->l.until_ms);
		}
	}
}

uint64_t presence_expire(struct presence_map *p, uint64_t now_ms, presence_fn *ended, void *arg)
{
	struct session_node *n, *next;

	if (p->sessions == NULL && p->swarms == NULL)
		return ENV_NEVER;
	if (now_ms < p->sweep_ms || now_ms < p->due_ms)
		return p->due_ms > p->sweep_ms ? p->due_ms : p->sweep_ms;
	p->sweep_ms = now_ms + SWEEP_MS;
	p->due_ms = ENV_NEVER;
	HASH_ITER(hh, p->sessions, n, next) {
		due(p, n->o.until_ms > now_ms ? n->o.until_ms : ENV_NEVER);
		if (n->o.until_ms > now_ms)
			continue;
		struct online o = n->o;
		bool was_gone = n->gone;
		drop_session(p, n);
		if (!was_gone)
			ended(arg, &o);
	}
	expire_leechers(p, now_ms);
	return p->due_ms > p->sweep_ms ? p->due_ms : p->sweep_ms;
}

static struct swarm_node *find_swarm(const struct presence_map *p, const struct id16 *gid, const struct id16 *fid)
{
	struct swarm_key key = { .gid = *gid, .fid = *fid };
	struct swarm_node *s;
	HASH_FIND(hh, p->swarms, &key, sizeof(key), s);
	return s;
}

static struct leecher_node *find_leecher(const struct swarm_node *s, const struct leecher *l)
{
	struct leecher_node *n;
	TAILQ_FOREACH(n, &s->leechers, link)
		if (id16_eq(&n->l.uid, &l->uid) && id32_cmp(&n->l.device, &l->device) == 0)
			return n;
	return NULL;
}

static struct swarm_node *need_swarm(struct presence_map *p, const struct leecher *l)
{
	struct swarm_node *s = find_swarm(p, &l->gid, &l->fid);
	if (s != NULL)
		return s;
	s = try_alloc(sizeof(*s));
	if (s == NULL)
		return NULL;
	s->key = (struct swarm_key){ .gid = l->gid, .fid = l->fid };
	TAILQ_INIT(&s->leechers);
	HASH_ADD(hh, p->swarms, key, sizeof(s->key), s);
	if (s->hh.tbl == NULL) {
		free(s);
		return NULL;
	}
	return s;
}

/* Puts the newest word about that leecher at the end of its file's list. */
static enum shoal_err put_leecher(struct presence_map *p, struct swarm_node *s, const struct leecher *l, bool gone)
{
	struct leecher_node *n = find_leecher(s, l);
	if (n != NULL && !newer(l->epoch, l->beat, n->l.epoch, n->l.beat))
		return SHOAL_ECONFLICT;
	if (n != NULL) {
		TAILQ_REMOVE(&s->leechers, n, link);
		s->n_here -= !n->gone;
	} else {
		n = try_alloc(sizeof(*n));
		if (n == NULL)
			return SHOAL_EBUSY;
		s->n++;
	}
	n->l = *l;
	n->gone = gone;
	due(p, l->until_ms);
	s->n_here += !gone;
	TAILQ_INSERT_TAIL(&s->leechers, n, link);
	if (s->n > LEECHERS_PER_FILE)
		drop_leecher(p, s, TAILQ_FIRST(&s->leechers));
	return SHOAL_OK;
}

enum shoal_err presence_announce(struct presence_map *p, const struct leecher *l)
{
	struct swarm_node *s = need_swarm(p, l);
	if (s == NULL)
		return SHOAL_EBUSY;
	enum shoal_err rc = put_leecher(p, s, l, false);
	if (s->n == 0)
		drop_swarm(p, s);
	return rc;
}

enum shoal_err presence_announce_stop(struct presence_map *p, const struct leecher *l, uint64_t now_ms)
{
	struct swarm_node *s = find_swarm(p, &l->gid, &l->fid);
	struct leecher stopped = *l;
	if (s == NULL || find_leecher(s, l) == NULL)
		return SHOAL_ECONFLICT;
	stopped.until_ms = now_ms + REMEMBER_MS;
	return put_leecher(p, s, &stopped, true);
}

static void each_of_swarm(const struct swarm_node *s, leecher_fn *fn, void *arg)
{
	const struct leecher_node *n;
	TAILQ_FOREACH(n, &s->leechers, link)
		if (!n->gone)
			fn(arg, &n->l);
}

void presence_each_leecher(const struct presence_map *p, const struct id16 *gid, const struct id16 *fid, leecher_fn *fn,
                           void *arg)
{
	const struct swarm_node *s = find_swarm(p, gid, fid);
	if (s != NULL)
		each_of_swarm(s, fn, arg);
}

void presence_each_announce(const struct presence_map *p, leecher_fn *fn, void *arg)
{
	for (const struct swarm_node *s = p->swarms; s != NULL; s = s->hh.next)
		each_of_swarm(s, fn, arg);
}

size_t presence_leechers(const struct presence_map *p, const struct id16 *gid, const struct id16 *fid)
{
	const struct swarm_node *s = find_swarm(p, gid, fid);
	return s != NULL ? s->n_here : 0;
}
