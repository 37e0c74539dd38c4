/* core/registry/claims.c */
#include "core/registry/claims.h"

#include <string.h>

#include "core/base/planted.h"
#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"

static struct registry_iter claims_on(const struct registry *reg, enum name_kind kind, const struct id16 *gid,
                                      struct slice name)
{
	switch (kind) {
	case NAME_USER: return registry_by(reg, INDEX_USERS_NAMED, name.data, name.len, NULL, 0);
	case NAME_GROUP: return registry_by(reg, INDEX_GROUPS_NAMED, name.data, name.len, NULL, 0);
	case NAME_FILE: break;
	}
	return registry_by(reg, INDEX_FILES_NAMED, gid->b, sizeof(gid->b), name.data, name.len);
}

static struct claim claim_of(enum name_kind kind, const void *view)
{
	if (kind == NAME_USER) {
		const struct user_row *u = view;
		return (struct claim){ u->uid, u->claim, u->yielded, view };
	}
	if (kind == NAME_GROUP) {
		const struct group_row *g = view;
		return (struct claim){ g->gid, g->claim, g->yielded, view };
	}
	const struct file_row *f = view;
	return (struct claim){ f->fid, f->claim, f->yielded, view };
}

static bool is_live(const struct registry *reg, enum name_kind kind, const struct id16 *gid, const struct claim *c)
{
	if (stamp_is_zero(&c->at))
		return false;
	return kind == NAME_USER || (kind == NAME_GROUP ? group_lives(reg, &c->id) : file_has_seeder(reg, gid, &c->id));
}

static bool is_before(const struct claim *a, const struct claim *b)
{
	if (a->yielded != b->yielded)
		return b->yielded;
	if (PLANTED(last_claim))
		return stamp_cmp(&a->at, &b->at) > 0;
	if (PLANTED(no_tiebreak))
		return a->at.hlc < b->at.hlc;
	return stamp_cmp(&a->at, &b->at) < 0;
}

size_t claims_list(const struct registry *reg, enum name_kind kind, const struct id16 *gid, struct slice name,
                   struct claim *out, size_t max)
{
	struct registry_iter it = claims_on(reg, kind, gid, name);
	const void *view;
	size_t n = 0;

	while ((view = registry_next(&it)) != NULL) {
		struct claim c = claim_of(kind, view);
		size_t i = n;
		/* Only one that comes before the last of a full list is worth the question whether it lives. */
		if (n == max && !is_before(&c, &out[n - 1]))
			continue;
		if (!is_live(reg, kind, gid, &c))
			continue;
		if (n < max)
			n++;
		else
			i = n - 1;
		for (; i != 0 && is_before(&c, &out[i - 1]); i--)
			out[i] = out[i - 1];
		out[i] = c;
	}
	return n;
}

struct claim claims_winner(const struct registry *reg, enum name_kind kind, const struct id16 *gid, struct slice name)
{
	struct claim first = { 0 };
	claims_list(reg, kind, gid, name, &first, 1);
	return first;
}

static const void *resolve_alias(const struct registry *reg, enum name_kind kind, const struct id16 *gid,
                                 const char *plain, const char *tail)
{
	struct registry_iter it = claims_on(reg, kind, gid, slice_str(plain));
	struct claim best = { 0 };
	const void *view;

	while ((view = registry_next(&it)) != NULL) {
		struct claim c = claim_of(kind, view);
		char its[7];
		id_alias_tail(c.id.b, its);
		if (strcmp(its, tail) == 0 && (best.view == NULL || is_before(&c, &best)))
			best = c;
	}
	return best.view;
}

const void *claims_resolve(const struct registry *reg, enum name_kind kind, const struct id16 *gid, struct slice shown)
{
	char text[NAME_SHOWN_MAX], plain[NAME_SHOWN_MAX], tail[7];

	if (!slice_to_str(shown, text, sizeof(text)))
		return NULL;
	if (name_split_alias(kind, text, plain, tail))
		return resolve_alias(reg, kind, gid, plain, tail);
	return claims_winner(reg, kind, gid, shown).view;
}

char *claims_shown(const struct registry *reg, enum name_kind kind, const struct id16 *gid, struct slice name,
                   const struct id16 *id, char out[NAME_SHOWN_MAX])
{
	char plain[NAME_SHOWN_MAX];
	struct claim winner = claims_winner(reg, kind, gid, name);

	if (!slice_to_str(name, plain, sizeof(plain)) || name.len == 0)
		memcpy(plain, "?", 2);
	if (winner.view == NULL || id16_eq(&winner.id, id))
		memcpy(out, plain, strlen(plain) + 1);
	else
		name_alias(kind, plain, id->b, out);
	return out;
}
