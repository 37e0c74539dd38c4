/* core/registry/group_view.c - what groups there are, and who is in them. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/registry/claims.h"
#include "core/registry/group_manager.h"

const struct group_row *group_find(const struct registry *reg, struct slice shown)
{
	const struct group_row *group = claims_resolve(reg, NAME_GROUP, NULL, shown);
	return group != NULL && group_lives(reg, &group->gid) ? group : NULL;
}

enum shoal_err group_lookup(const struct registry *reg, struct slice shown, struct id16 *gid, struct error *e)
{
	enum shoal_err rc = name_check_lookup(NAME_GROUP, shown.data, shown.len, e);
	if (rc != SHOAL_OK)
		return rc;
	const struct group_row *group = group_find(reg, shown);
	if (group == NULL)
		return error_set(e, SHOAL_ENOTFOUND, "no group '%.*s'", (int)shown.len, (const char *)shown.data);
	*gid = group->gid;
	return SHOAL_OK;
}

char *group_shown(const struct registry *reg, const struct id16 *gid, char out[NAME_SHOWN_MAX])
{
	const struct group_row *group = registry_group(reg, gid);

	if (group == NULL) {
		memcpy(out, "?", 2);
		return out;
	}
	return claims_shown(reg, NAME_GROUP, NULL, group->name, gid, out);
}

bool group_lives(const struct registry *reg, const struct id16 *gid)
{
	const struct group_row *group = registry_group(reg, gid);
	return group != NULL && !group->deleted && !stamp_is_zero(&group->claim) &&
	       registry_group_summary(reg, gid).members != 0;
}

/* The instance of a user that counts: a member's with the earliest accept, else the earliest request; NULL: none. */
static const struct mem_row *instance_of(const struct registry *reg, const struct id16 *gid, const struct id16 *uid)
{
	struct registry_iter it = registry_by(reg, INDEX_MEMBER, gid->b, 16, uid->b, 16);
	const struct mem_row *best = NULL, *m;

	while ((m = registry_next(&it)) != NULL) {
		bool better = best == NULL || m->phase > best->phase;
		if (!better && m->phase == best->phase)
			better = m->phase == MEM_MEMBER ? stamp_cmp(&m->accept, &best->accept) < 0 :
			                                  stamp_cmp(&m->since, &best->since) < 0;
		if (better)
			best = m;
	}
	return best;
}

static bool in_phase(const struct registry *reg, const struct id16 *gid, const struct id16 *uid, enum mem_phase phase)
{
	const struct group_row *group = registry_group(reg, gid);
	const struct mem_row *m = instance_of(reg, gid, uid);
	return m != NULL && m->phase == phase && group != NULL && !group->deleted;
}

bool group_is_member(const struct registry *reg, const struct id16 *gid, const struct id16 *uid)
{
	return in_phase(reg, gid, uid, MEM_MEMBER);
}

bool group_has_asked(const struct registry *reg, const struct id16 *gid, const struct id16 *uid)
{
	return in_phase(reg, gid, uid, MEM_ASKED);
}

bool group_owner(const struct registry *reg, const struct id16 *gid, struct id16 *uid)
{
	const struct group_row *group = registry_group(reg, gid);
	struct group_summary s = registry_group_summary(reg, gid);

	if (!group_lives(reg, gid))
		return false;
	*uid = group->owner_generation != 0 && group_is_member(reg, gid, &group->owner) ? group->owner : s.first;
	return true;
}

bool group_is_owner(const struct registry *reg, const struct id16 *gid, const struct id16 *uid)
{
	struct id16 owner;
	return group_owner(reg, gid, &owner) && id16_eq(&owner, uid);
}

enum shoal_err group_check_member(const struct registry *reg, const struct id16 *gid, const struct id16 *uid,
                                  struct error *e)
{
	char name[NAME_SHOWN_MAX];
	if (group_is_member(reg, gid, uid))
		return SHOAL_OK;
	return error_set(e, SHOAL_EDENIED, "not a member of '%s'", group_shown(reg, gid, name));
}

/* The role that was given to a member in this membership; the owner's counts for nothing as long as he is that. */
enum member_role group_given_role(const struct registry *reg, const struct id16 *gid, const struct id16 *uid)
{
	const struct role_row *role = registry_role(reg, gid, uid);

	if (role == NULL || stamp_cmp(&role->at, &instance_of(reg, gid, uid)->accept) < 0)
		return ROLE_MEMBER;
	return role->role == ROLE_ADMIN || role->role == ROLE_READER ? (enum member_role)role->role : ROLE_MEMBER;
}

bool group_is_admin(const struct registry *reg, const struct id16 *gid, const struct id16 *uid)
{
	return group_is_member(reg, gid, uid) &&
	       (group_is_owner(reg, gid, uid) || group_given_role(reg, gid, uid) == ROLE_ADMIN);
}

bool group_may_share(const struct registry *reg, const struct id16 *gid, const struct id16 *uid)
{
	return group_is_member(reg, gid, uid) &&
	       (group_given_role(reg, gid, uid) != ROLE_READER || group_is_owner(reg, gid, uid));
}

enum shoal_err group_check_share(const struct registry *reg, const struct id16 *gid, const struct id16 *uid,
                                 struct error *e)
{
	char name[NAME_SHOWN_MAX];
	enum shoal_err rc = group_check_member(reg, gid, uid, e);

	if (rc != SHOAL_OK || group_may_share(reg, gid, uid))
		return rc;
	return error_set(e, SHOAL_EDENIED, "a reader of '%s' may not share in it: ask its owner for the role of a member",
	                 group_shown(reg, gid, name));
}

const char *group_role(const struct registry *reg, const struct id16 *gid, const struct id16 *uid)
{
	static const char *const words[] = { [ROLE_MEMBER] = "member", [ROLE_ADMIN] = "admin", [ROLE_READER] = "reader" };

	if (group_is_member(reg, gid, uid))
		return group_is_owner(reg, gid, uid) ? "owner" : words[group_given_role(reg, gid, uid)];
	return group_has_asked(reg, gid, uid) ? "asked" : "";
}

unsigned group_member_count(const struct registry *reg, const struct id16 *gid)
{
	return group_lives(reg, gid) ? registry_group_summary(reg, gid).members : 0;
}

unsigned group_asked_count(const struct registry *reg, const struct id16 *gid)
{
	return group_lives(reg, gid) ? registry_group_summary(reg, gid).asked : 0;
}

/* -- lists */

static int by_since(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int order = stamp_cmp(&x->since, &y->since);
	return order != 0 ? order : id16_cmp(&x->uid, &y->uid);
}

static enum shoal_err list_in_phase(const struct registry *reg, const struct id16 *gid, enum mem_phase phase,
                                    struct member **out, size_t *n)
{
	struct registry_iter it = registry_by(reg, INDEX_GROUP_MEMS, gid->b, 16, NULL, 0);
	struct group_summary s = registry_group_summary(reg, gid);
	struct member *list = try_alloc(((size_t)s.members + s.asked + 1) * sizeof(*list));
	const struct mem_row *m;

	if (list == NULL)
		return SHOAL_EBUSY;
	*n = 0;
	while (group_lives(reg, gid) && (m = registry_next(&it)) != NULL)
		if (m->phase == phase && instance_of(reg, gid, &m->key.uid) == m)
			list[(*n)++] = (struct member){ m->key.uid, phase == MEM_MEMBER ? m->accept : m->since };
	qsort(list, *n, sizeof(*list), by_since);
	*out = list;
	return SHOAL_OK;
}

enum shoal_err group_members(const struct registry *reg, const struct id16 *gid, struct member **out, size_t *n)
{
	return list_in_phase(reg, gid, MEM_MEMBER, out, n);
}

enum shoal_err group_asked(const struct registry *reg, const struct id16 *gid, struct member **out, size_t *n)
{
	return list_in_phase(reg, gid, MEM_ASKED, out, n);
}

static int by_name(const void *a, const void *b)
{
	const struct shown_group *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static void add_group(const struct registry *reg, struct shown_group *list, size_t *n, const struct group_row *group)
{
	list[*n].group = group;
	group_shown(reg, &group->gid, list[*n].name);
	(*n)++;
}

/* Sorted, or given up if memory for the views ran out since `lent`. */
static enum shoal_err finish_list(const struct registry *reg, uint64_t lent, struct shown_group *list, size_t n,
                                  struct shown_group **out)
{
	if (registry_views_short(reg) != lent) {
		free(list);
		return SHOAL_EBUSY;
	}
	qsort(list, n, sizeof(*list), by_name);
	*out = list;
	return SHOAL_OK;
}

enum shoal_err group_list(const struct registry *reg, struct shown_group **out, size_t *n)
{
	struct registry_iter it = registry_all(reg, TABLE_GROUP);
	struct shown_group *list = try_alloc((registry_count(reg, TABLE_GROUP) + 1) * sizeof(*list));
	uint64_t lent = registry_views_short(reg);
	const struct group_row *group;

	if (list == NULL)
		return SHOAL_EBUSY;
	*n = 0;
	while ((group = registry_next(&it)) != NULL)
		if (group_lives(reg, &group->gid))
			add_group(reg, list, n, group);
	return finish_list(reg, lent, list, *n, out);
}

enum shoal_err group_list_of(const struct registry *reg, const struct id16 *uid, struct shown_group **out, size_t *n)
{
	struct registry_iter it = registry_by(reg, INDEX_USER_MEMS, uid->b, 16, NULL, 0), count = it;
	const struct mem_row *m;
	uint64_t lent = registry_views_short(reg);
	size_t most = 1;

	while (registry_next(&count) != NULL)
		most++;
	struct shown_group *list = try_alloc(most * sizeof(*list));
	if (list == NULL)
		return SHOAL_EBUSY;
	*n = 0;
	while ((m = registry_next(&it)) != NULL)
		if (group_lives(reg, &m->key.gid) && instance_of(reg, &m->key.gid, uid) == m)
			add_group(reg, list, n, registry_group(reg, &m->key.gid));
	return finish_list(reg, lent, list, *n, out);
}
