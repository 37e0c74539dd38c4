/* tests/sim/model_view.c - what the rows of the model show, and whether a registry shows the same. */
#include <stdlib.h>
#include <string.h>

#include "core/base/name.h"
#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"
#include "core/registry/user_manager.h"
#include "tests/sim/model.h"

#define LIST_MAX 512

struct viewer {
	const struct model *m;
	const struct registry *reg;
	unsigned tracker;
	struct verdict *v;
};

static struct id16 id_at(struct slice bytes, size_t at)
{
	struct id16 id = { { 0 } };
	if (bytes.len >= at + sizeof(id.b))
		memcpy(id.b, bytes.data + at, sizeof(id.b));
	return id;
}

static bool key_begins(const struct model_row *r, const struct id16 *a, const struct id16 *b)
{
	return memcmp(r->key.data, a->b, 16) == 0 && (b == NULL || memcmp(r->key.data + 16, b->b, 16) == 0);
}

static const struct model_row *find_group(const struct model *m, const struct id16 *gid)
{
	const struct model_row *g = m->tables[TABLE_GROUP];
	while (g != NULL && !key_begins(g, gid, NULL))
		g = g->next;
	return g;
}

static bool deleted(const struct model_row *g)
{
	return g == NULL || g->value[GROUP_DELETED].data != NULL;
}

/* Whether the user has an instance in that phase, in a group that was not deleted. */
static bool in_phase(const struct model *m, const struct id16 *gid, const struct id16 *uid, unsigned phase)
{
	for (const struct model_row *r = m->tables[TABLE_MEM]; r != NULL; r = r->next)
		if (key_begins(r, gid, uid) && model_u8(r->value[MEM_PHASE]) == phase)
			return !deleted(find_group(m, gid));
	return false;
}

static bool is_member(const struct model *m, const struct id16 *gid, const struct id16 *uid)
{
	return in_phase(m, gid, uid, MEM_MEMBER);
}

/* The earliest accepted member; false: there is none. */
static bool first_member(const struct model *m, const struct id16 *gid, struct id16 *uid)
{
	struct stamp first = { 0 };

	for (const struct model_row *r = m->tables[TABLE_MEM]; r != NULL; r = r->next) {
		struct stamp at = model_stamp(r->value[MEM_ACCEPT], 0);
		if (!key_begins(r, gid, NULL) || model_u8(r->value[MEM_PHASE]) != MEM_MEMBER)
			continue;
		if (stamp_is_zero(&first) || stamp_cmp(&at, &first) < 0) {
			first = at;
			*uid = id_at(r->key, 16);
		}
	}
	return !stamp_is_zero(&first);
}

static bool seeds(const struct model *m, const struct model_row *share)
{
	struct id16 gid = id_at(share->key, 0), uid = id_at(share->key, 32);
	return !model_closed(share) && is_member(m, &gid, &uid);
}

static bool file_lives(const struct model *m, const struct model_row *f)
{
	for (const struct model_row *s = m->tables[TABLE_SHARE]; s != NULL; s = s->next)
		if (memcmp(s->key.data, f->key.data, 32) == 0 && seeds(m, s))
			return true;
	return false;
}

static bool lives(const struct model *m, const struct model_row *r)
{
	struct id16 id = id_at(r->key, 0), owner;
	switch (r->table) {
	case TABLE_GROUP: return !deleted(r) && first_member(m, &id, &owner);
	case TABLE_FILE: return file_lives(m, r);
	default: return true;
	}
}

/* -- names: the live claim with the smallest (yielded, stamp) */

struct claim {
	unsigned yielded;
	struct stamp at;
};

static struct claim claim_of(const struct model_row *r)
{
	switch (r->table) {
	case TABLE_USER: return (struct claim){ model_u8(r->value[USER_YIELDED]), model_stamp(r->value[USER_CLAIM], 0) };
	case TABLE_GROUP: return (struct claim){ model_u8(r->value[GROUP_YIELDED]), model_stamp(r->value[GROUP_CLAIM], 0) };
	default: return (struct claim){ model_u8(r->value[FILE_YIELDED]), model_stamp(r->value[FILE_CLAIM], 0) };
	}
}

static bool before(const struct claim *a, const struct claim *b)
{
	return a->yielded != b->yielded ? a->yielded < b->yielded : stamp_cmp(&a->at, &b->at) < 0;
}

static bool same_name(const struct model_row *a, const struct model_row *b)
{
	return slice_eq(a->value[1], b->value[1]) && (a->table != TABLE_FILE || memcmp(a->key.data, b->key.data, 16) == 0);
}

static const struct model_row *winner_of(const struct model *m, const struct model_row *r)
{
	const struct model_row *best = NULL;
	struct claim first = { 0 };

	for (const struct model_row *o = m->tables[r->table]; o != NULL; o = o->next) {
		struct claim c = claim_of(o);
		if (!same_name(o, r) || stamp_is_zero(&c.at) || (best != NULL && !before(&c, &first)) || !lives(m, o))
			continue;
		best = o;
		first = c;
	}
	return best;
}

static const void *resolve(const struct viewer *w, const struct model_row *r, const char *shown)
{
	struct id16 gid = id_at(r->key, 0);
	switch (r->table) {
	case TABLE_USER: return user_find(w->reg, slice_str(shown));
	case TABLE_GROUP: return group_find(w->reg, slice_str(shown));
	default: return file_find(w->reg, &gid, slice_str(shown));
	}
}

static const void *view_of(const struct viewer *w, const struct model_row *r)
{
	struct id16 a = id_at(r->key, 0), b = id_at(r->key, 16);
	switch (r->table) {
	case TABLE_USER: return registry_user(w->reg, &a);
	case TABLE_GROUP: return registry_group(w->reg, &a);
	default: return registry_file(w->reg, &a, &b);
	}
}

static void shown_by(const struct viewer *w, const struct model_row *r, char out[NAME_SHOWN_MAX])
{
	struct id16 a = id_at(r->key, 0), b = id_at(r->key, 16);
	switch (r->table) {
	case TABLE_USER: user_shown(w->reg, &a, out); return;
	case TABLE_GROUP: group_shown(w->reg, &a, out); return;
	default: file_shown(w->reg, &a, &b, out); return;
	}
}

static bool check_name(const struct viewer *w, const struct model_row *r)
{
	enum name_kind kind = r->table == TABLE_USER ? NAME_USER : r->table == TABLE_GROUP ? NAME_GROUP : NAME_FILE;
	const struct model_row *winner = winner_of(w->m, r);
	char plain[NAME_SHOWN_MAX], want[NAME_SHOWN_MAX], got[NAME_SHOWN_MAX], alias[NAME_SHOWN_MAX];
	const void *view = view_of(w, r);

	if (!slice_to_str(r->value[1], plain, sizeof(plain)))
		return verdict_fail(w->v, "views", "a name that is none");
	name_alias(kind, plain, id_at(r->key, r->table == TABLE_FILE ? 16 : 0).b, alias);
	memcpy(want, winner == NULL || winner == r ? plain : alias, NAME_SHOWN_MAX);
	shown_by(w, r, got);
	if (strcmp(want, got) != 0)
		return verdict_fail(w->v, "views", "on tracker %u '%s' shows as '%s': not the first claim", w->tracker,
		                    want, got);
	if (lives(w->m, r) && (resolve(w, r, want) != view || resolve(w, r, alias) != view))
		return verdict_fail(w->v, "views", "on tracker %u '%s' or '%s' finds another", w->tracker, want, alias);
	return true;
}

/* -- groups */

static void owner_of(const struct model *m, const struct model_row *g, struct id16 *uid)
{
	struct id16 gid = id_at(g->key, 0), handed = id_at(g->value[GROUP_OWNER], 4 + STAMP_WIRE_SIZE);

	if (g->value[GROUP_OWNER].data != NULL && is_member(m, &gid, &handed))
		*uid = handed;
	else
		(void)first_member(m, &gid, uid);
}

/* A user who is a member has not asked. */
static unsigned count_people(const struct model *m, const struct id16 *gid, unsigned phase)
{
	unsigned n = 0;
	for (const struct model_row *u = m->tables[TABLE_USER]; u != NULL; u = u->next) {
		struct id16 uid = id_at(u->key, 0);
		n += in_phase(m, gid, &uid, phase) && (phase == MEM_MEMBER || !is_member(m, gid, &uid));
	}
	return n;
}

typedef enum shoal_err people_fn(const struct registry *reg, const struct id16 *gid, struct member **out, size_t *n);

static bool check_people(const struct viewer *w, const struct id16 *gid, unsigned phase, bool live, people_fn *list)
{
	struct member *m = NULL;
	size_t n = 0;
	bool ok;

	if (list(w->reg, gid, &m, &n) != SHOAL_OK)
		abort();
	ok = n == (live ? count_people(w->m, gid, phase) : 0);
	for (size_t i = 0; i < n && ok; i++)
		ok = in_phase(w->m, gid, &m[i].uid, phase);
	free(m);
	return ok || verdict_fail(w->v, "views", "on tracker %u the %s of a group are not those of the fold", w->tracker,
	                          phase == MEM_MEMBER ? "members" : "requests");
}

static bool check_group(const struct viewer *w, const struct model_row *g)
{
	struct id16 gid = id_at(g->key, 0), owner = { { 0 } }, got = { { 0 } };
	bool live = lives(w->m, g);

	if (group_owner(w->reg, &gid, &got) != live)
		return verdict_fail(w->v, "views", "on tracker %u a group %s", w->tracker,
		                    live ? "has ended that has members" : "lives that has ended");
	if (live)
		owner_of(w->m, g, &owner);
	if (live && !id16_eq(&owner, &got))
		return verdict_fail(w->v, "views", "on tracker %u the owner of a group is another", w->tracker);
	return check_people(w, &gid, MEM_MEMBER, live, group_members) &&
	       check_people(w, &gid, MEM_ASKED, live, group_asked);
}

/* -- files and sessions */

static unsigned count_seeders(const struct model *m, const struct model_row *f)
{
	const struct model_row *seen[LIST_MAX];
	unsigned n = 0;

	for (const struct model_row *s = m->tables[TABLE_SHARE]; s != NULL; s = s->next) {
		bool known = false;
		if (memcmp(s->key.data, f->key.data, 32) != 0 || !seeds(m, s))
			continue;
		for (unsigned i = 0; i < n && !known; i++)
			known = memcmp(seen[i]->key.data + 32, s->key.data + 32, 16) == 0 &&
			        slice_eq(seen[i]->value[SHARE_DEVICE], s->value[SHARE_DEVICE]);
		if (!known && n < LIST_MAX)
			seen[n++] = s;
	}
	return n;
}

static bool check_file(const struct viewer *w, const struct model_row *f)
{
	struct id16 gid = id_at(f->key, 0), fid = id_at(f->key, 16);
	struct seeder *list = NULL;
	size_t n = 0;
	bool ok;

	if (file_seeders(w->reg, &gid, &fid, NULL, &list, &n) != SHOAL_OK)
		abort();
	ok = n == count_seeders(w->m, f);
	for (size_t i = 0; i < n && ok; i++)
		ok = is_member(w->m, &gid, &list[i].uid);
	free(list);
	return ok || verdict_fail(w->v, "views", "on tracker %u the seeders of a file are not those of the fold", w->tracker);
}

/* Open, opened with the password of today, and the newest of its device. */
static bool session_counts(const struct model *m, const struct model_row *user, const struct model_row *s)
{
	struct stamp password = model_stamp(user->value[USER_PASSWORD], 0), at = model_stamp(s->value[SESS_PASSWORD_AT], 0);
	struct stamp since = model_stamp(s->value[SESS_SINCE], 0);

	if (model_closed(s) || memcmp(s->key.data, user->key.data, 16) != 0 || stamp_cmp(&password, &at) != 0)
		return false;
	for (const struct model_row *o = m->tables[TABLE_SESS]; o != NULL; o = o->next) {
		struct stamp its = model_stamp(o->value[SESS_SINCE], 0);
		if (!model_closed(o) && memcmp(o->key.data, s->key.data, 16) == 0 &&
		    slice_eq(o->value[SESS_DEVICE], s->value[SESS_DEVICE]) && stamp_cmp(&its, &since) > 0)
			return false;
	}
	return true;
}

static bool check_sessions(const struct viewer *w, const struct model_row *user)
{
	struct id16 uid = id_at(user->key, 0);
	const struct sess_row **list = NULL;
	size_t n = 0, want = 0;

	if (user_sessions(w->reg, &uid, &list, &n) != SHOAL_OK)
		abort();
	free(list);
	for (const struct model_row *s = w->m->tables[TABLE_SESS]; s != NULL; s = s->next)
		want += session_counts(w->m, user, s);
	return n == want || verdict_fail(w->v, "views", "on tracker %u a user has %zu sessions, not %zu", w->tracker, n, want);
}

bool model_check_views(const struct model *m, const struct registry *reg, unsigned tracker, struct verdict *v)
{
	static const enum table named[] = { TABLE_USER, TABLE_GROUP, TABLE_FILE };
	struct viewer w = { m, reg, tracker, v };

	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		for (const struct model_row *r = m->tables[named[i]]; r != NULL; r = r->next)
			if (!check_name(&w, r) || (named[i] == TABLE_USER && !check_sessions(&w, r)) ||
			    (named[i] == TABLE_GROUP && !check_group(&w, r)) || (named[i] == TABLE_FILE && !check_file(&w, r)))
				return false;
	return true;
}
