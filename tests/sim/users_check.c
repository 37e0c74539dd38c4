/* tests/sim/users_check.c - what users were told against what a tracker has. */
#include <stdio.h>

#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"
#include "core/registry/user_manager.h"
#include "tests/sim/users.h"

static bool wrong(const struct fact *f, char *why, size_t size, const char *text)
{
	static const char *const words[] = { "create_group", "join_group", "accept_request", "leave_group", "upload_file" };
	snprintf(why, size, "%s of user%u, group%u (%u): %s", words[f->kind], f->user, f->group, f->other, text);
	return false;
}

/* However often the link sent it, on however many trackers: a name was claimed once, a user asked once. */
static bool check_once(const struct users *all, const struct registry *reg, char *why, size_t size)
{
	for (unsigned g = 0; g < all->groups; g++) {
		char name[16];
		unsigned rows = 0;
		struct registry_iter it = registry_by(reg, INDEX_GROUPS_NAMED, name, users_group_name(g, name).len, NULL, 0);
		while (registry_next(&it) != NULL)
			rows++;
		if (rows > 1) {
			snprintf(why, size, "group%u was made %u times by one command", g, rows);
			return false;
		}
	}
	for (unsigned i = 0; i < all->n; i++) {
		const struct user_row *claims[4];
		if (user_claims(reg, slice_str(all->user[i].name), claims, 4) > 1) {
			snprintf(why, size, "%s has two accounts", all->user[i].name);
			return false;
		}
	}
	return true;
}

static bool check_fact(const struct users *all, const struct registry *reg, const struct fact *f, char *why,
                       size_t size)
{
	char name[32];
	const struct user_row *user = user_find(reg, slice_str(all->user[f->user].name));
	const struct group_row *group = group_find(reg, users_group_name(f->group, name));
	bool left = users_known(all, FACT_LEAVE, f->kind == FACT_ACCEPT ? f->other : f->user, f->group, 0, false);

	if (!stamp_is_zero(&f->stamp) && !vvec_covers(registry_vector(reg), f->stamp.dot))
		return wrong(f, why, size, "acknowledged, and nobody knows the operation");
	if (user == NULL || group == NULL)
		return wrong(f, why, size, "user or group is missing");
	switch (f->kind) {
	case FACT_GROUP:
		return group_is_owner(reg, &group->gid, &user->uid) || wrong(f, why, size, "not the owner");
	case FACT_JOIN:
		return left || *group_role(reg, &group->gid, &user->uid) != '\0' || wrong(f, why, size, "the request is lost");
	case FACT_ACCEPT:
		user = user_find(reg, slice_str(all->user[f->other].name));
		return left || (user != NULL && group_is_member(reg, &group->gid, &user->uid)) ||
		       wrong(f, why, size, "the membership is lost");
	case FACT_LEAVE:
		return *group_role(reg, &group->gid, &user->uid) == '\0' || wrong(f, why, size, "still there");
	case FACT_UPLOAD: {
		struct upload up;
		uint8_t hashes[64];
		struct id16 fid;
		struct id32 device = { { (uint8_t)(f->user + 1) } };
		users_file_of(&all->user[f->user], f->group, &up, hashes, name);
		fid_of(&group->gid, up.name, &up.content, &fid);
		return left || file_shared_by(reg, &group->gid, &fid, &user->uid, &device) ||
		       wrong(f, why, size, "the file is not shared");
	}
	}
	return true;
}

bool users_check(const struct users *all, const struct registry *reg, char *why, size_t size)
{
	for (unsigned i = 0; i < all->n_facts; i++)
		if (all->facts[i].ok ? !check_fact(all, reg, &all->facts[i], why, size)
		                     : all->facts[i].exists && all->facts[i].kind <= FACT_JOIN &&
		                               !wrong(&all->facts[i], why, size, "a first try was told 'exists'"))
			return false;
	return check_once(all, reg, why, size);
}
