/* tests/unit/registry/random_ops.h - random commands of random users, all ten operations and some more. */
#ifndef SHOAL_TESTS_REGISTRY_RANDOM_OPS_H
#define SHOAL_TESTS_REGISTRY_RANDOM_OPS_H
#include "tests/unit/registry/lab.h"

/* A random row of a table, NULL if there is none. */
static inline const void *pick(const struct lab *lab, enum table table)
{
	size_t n = registry_count(lab->reg, table);
	struct registry_iter it = registry_all(lab->reg, table);
	const void *view = NULL;

	if (n == 0)
		return NULL;
	for (uint32_t i = check_random((uint32_t)n) + 1; i > 0; i--) {
		const void *next = registry_next(&it);
		view = next != NULL ? next : view;
	}
	return view;
}

static inline bool coin(void *ctx, const struct id16 *uid, const struct id32 *device)
{
	(void)ctx, (void)uid, (void)device;
	return check_random(2) != 0;
}

static inline enum shoal_err random_user_op(struct lab *lab, uint32_t what, const struct id16 *uid)
{
	struct registry *reg = lab->reg;
	struct op *op = &lab->op;
	struct id32 device = device_of(check_random(4));
	const struct sess_row *s = pick(lab, TABLE_SESS);

	switch (what) {
	case 0: {
		char name[2] = { (char)('a' + check_random(4)), 0 };
		struct id16 fresh;
		return RUN(lab, OP_CREATE_USER, user_create(reg, op, slice_str(name), slice_str("p"), &fresh, &lab->e));
	}
	case 1: return RUN(lab, OP_LOGIN, user_login(reg, op, uid, &device, 3, &lab->e));
	case 2:
		if (s == NULL)
			return SHOAL_ENOTFOUND;
		return RUN(lab, OP_LOGOUT, user_logout(reg, op, &s->key.uid, s->key.dot, &lab->e));
	case 3:
		if (s == NULL)
			return SHOAL_ENOTFOUND;
		return RUN(lab, OP_END_SESSION, user_end_session(reg, op, &s->key.uid, s->key.dot, &lab->e));
	default:
		return RUN(lab, OP_CHANGE_PASSWORD, user_change_password(reg, op, uid, &device, slice_str("q"), &lab->e));
	}
}

static inline enum shoal_err random_group_op(struct lab *lab, uint32_t what, const struct id16 *uid,
                                             const struct group_row *group)
{
	struct registry *reg = lab->reg;
	struct op *op = &lab->op;
	const struct mem_row *m = pick(lab, TABLE_MEM);
	char name[2] = { (char)('g' + check_random(3)), 0 };
	struct id16 fresh, gid = { { 0 } }, owner, who = m != NULL ? m->key.uid : *uid;

	if (what == 0 || group == NULL)
		return RUN(lab, OP_CREATE_GROUP, group_create(reg, op, uid, slice_str(name), &fresh, &lab->e));
	gid = m != NULL && check_random(2) != 0 ? m->key.gid : group->gid;
	if (!group_owner(reg, &gid, &owner))
		owner = *uid;
	switch (what) {
	case 1: return RUN(lab, OP_JOIN_GROUP, group_join(reg, op, uid, &gid, &lab->e));
	case 2: return RUN(lab, OP_ACCEPT_REQUEST, group_accept(reg, op, &owner, &gid, &who, &lab->e));
	case 3: return RUN(lab, OP_LEAVE_GROUP, group_leave(reg, op, &who, &gid, NULL, &lab->e));
	case 4: return RUN(lab, OP_REJECT_REQUEST, group_reject(reg, op, &owner, &gid, &who, slice_str("no"), &lab->e));
	case 5: return RUN(lab, OP_TRANSFER_GROUP, group_transfer(reg, op, &owner, &gid, &who, &lab->e));
	case 6:
		return RUN(lab, OP_REMOVE_MEMBER, group_remove_member(reg, op, &owner, &gid, &who, slice_str(""), &lab->e));
	case 7:
		return RUN(lab, OP_SET_ROLE,
		           group_set_role(reg, op, &owner, &gid, &who, check_random(2) != 0 ? ROLE_ADMIN : ROLE_MEMBER, &lab->e));
	default:
		if (check_random(8) != 0)
			return SHOAL_ENOTFOUND;
		return RUN(lab, OP_DELETE_GROUP, group_delete(reg, op, &owner, &gid, &lab->e));
	}
}

static inline enum shoal_err random_file_op(struct lab *lab, uint32_t what)
{
	struct registry *reg = lab->reg;
	struct op *op = &lab->op;
	const struct mem_row *m = pick(lab, TABLE_MEM);
	const struct share_row *s = pick(lab, TABLE_SHARE);
	const struct file_row *file = pick(lab, TABLE_FILE);
	struct presence presence = { coin, NULL };
	struct id32 device = device_of(check_random(4));
	char name[6] = { 'f', (char)('0' + check_random(3)), '.', 't', 'x', 0 };
	struct id16 fid;
	bool flag;

	if (m == NULL)
		return SHOAL_ENOTFOUND;
	if (what == 0 || file == NULL || s == NULL) {
		struct upload up = lab_upload_of(name, check_random(3));
		return RUN(lab, OP_UPLOAD_FILE_DATA,
		           file_upload(reg, op, &m->key.uid, &device, &m->key.gid, &up, &fid, &flag, &lab->e));
	}
	if (what == 1)
		return RUN(lab, OP_UPDATE_FILE_INFO,
		           file_share(reg, op, &m->key.uid, &device, &file->gid, &file->fid, &lab->e));
	struct share_key key = s->key;
	return RUN(lab, OP_STOP_SHARE, file_stop(reg, op, &key.uid, &key.gid, &key.fid, &presence, &flag, &lab->e));
}

/* One command; most are refused while there is little to act on. */
static inline enum shoal_err random_op(struct lab *lab)
{
	const struct user_row *user = pick(lab, TABLE_USER);

	lab->wall_ms += check_random(40);
	if (user == NULL)
		return random_user_op(lab, 0, NULL);
	struct id16 uid = user->uid;
	switch (check_random(4)) {
	case 0: return random_user_op(lab, check_random(6), &uid);
	case 1: return random_file_op(lab, check_random(4));
	default: return random_group_op(lab, check_random(10), &uid, pick(lab, TABLE_GROUP));
	}
}
#endif
