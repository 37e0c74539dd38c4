/* tracker/command_group.c - groups: make, join, accept, leave, hand over, list. The group manager decides who may. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "tracker/core.h"

static enum shoal_err no_memory(struct error *e)
{
	return error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
}

static void put_gid(struct command *cmd, const struct id16 *gid)
{
	struct rep_gid r = { .gid = *gid };
	rep_gid_put(&cmd->reply, &r);
}

/* Commits what a manager appended, or throws it away when it refused. */
static enum shoal_err end_op(struct command *cmd, struct op *op, enum shoal_err rc, struct error *e)
{
	if (rc == SHOAL_OK)
		return command_commit(cmd, op, e);
	op_fini(op);
	return rc;
}

enum shoal_err command_create_group(struct command *cmd, struct error *e)
{
	struct req_group r;
	struct id16 gid;
	struct op op;

	req_group_get(&cmd->fields, &r);
	if (cmd->replay) {
		gid_of(&cmd->uid, r.group, &cmd->head.request, &gid);
		put_gid(cmd, &gid);
		return SHOAL_OK;
	}
	command_op_begin(cmd, OP_CREATE_GROUP, &op);
	enum shoal_err rc = end_op(cmd, &op, group_create(cmd->t->reg, &op, &cmd->uid, r.group, &gid, e), e);
	if (rc == SHOAL_OK)
		put_gid(cmd, &gid);
	return rc;
}

/* The group of the request that a repeated command made: its name may mean another by now. */
static bool joined_by(struct command *cmd, struct id16 *gid)
{
	struct registry_iter it = registry_by(cmd->t->reg, INDEX_USER_MEMS, cmd->uid.b, sizeof(cmd->uid.b), NULL, 0);
	const struct mem_row *m;

	while ((m = registry_next(&it)) != NULL)
		if (dot_eq(m->key.dot, cmd->stamp.dot)) {
			*gid = m->key.gid;
			return true;
		}
	return false;
}

enum shoal_err command_join_group(struct command *cmd, struct error *e)
{
	struct req_group r;
	struct id16 gid;
	struct op op;

	req_group_get(&cmd->fields, &r);
	if (cmd->replay && joined_by(cmd, &gid)) {
		put_gid(cmd, &gid);
		return SHOAL_OK;
	}
	enum shoal_err rc = group_lookup(cmd->t->reg, r.group, &gid, e);
	if (cmd->replay && rc != SHOAL_OK) { /* it was done; the group has ended since */
		gid = (struct id16){ { 0 } };
		rc = SHOAL_OK;
	} else if (rc == SHOAL_OK && !cmd->replay) {
		command_op_begin(cmd, OP_JOIN_GROUP, &op);
		rc = end_op(cmd, &op, group_join(cmd->t->reg, &op, &cmd->uid, &gid, e), e);
	}
	if (rc == SHOAL_OK)
		put_gid(cmd, &gid);
	return rc;
}

/* The group and, if named, the user of a request. */
struct target {
	struct req_group_user r;
	struct id16 gid, who;
};

static enum shoal_err find_target(struct command *cmd, struct target *to, bool need_user, struct error *e)
{
	req_group_user_get(&cmd->fields, &to->r);
	if (to->r.text.len > REASON_MAX || !utf8_valid(to->r.text.data, to->r.text.len))
		return error_set(e, SHOAL_EUSAGE, "a reason has at most %d bytes of UTF-8", REASON_MAX);
	enum shoal_err rc = group_lookup(cmd->t->reg, to->r.group, &to->gid, e);
	if (rc == SHOAL_OK && (need_user || to->r.user.len != 0))
		rc = user_lookup(cmd->t, to->r.user, &to->who, e);
	return rc;
}

/* The shares of `who` that do not fit beside his departure, in records before it. */
static enum shoal_err stop_many(struct command *cmd, enum op_kind kind, const struct id16 *gid, const struct id16 *who,
                                struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	for (bool more = true; more && rc == SHOAL_OK;) {
		struct op op;
		command_op_begin_part(cmd, kind, &op);
		group_stop_shares(cmd->t->reg, &op, &cmd->uid, gid, who);
		more = !op_is_empty(&op);
		rc = command_commit(cmd, &op, e);
	}
	return rc;
}

/* What is still open in a deleted group, in records behind the one that says so; the stamp is the last one's. */
static enum shoal_err sweep(struct command *cmd, const struct id16 *gid, struct error *e)
{
	struct stamp stamp = cmd->stamp;
	enum shoal_err rc = SHOAL_OK;
	for (bool more = true; more && rc == SHOAL_OK;) {
		struct op op;
		command_op_begin_part(cmd, OP_DELETE_GROUP, &op);
		group_sweep(cmd->t->reg, &op, &cmd->uid, gid);
		more = !op_is_empty(&op);
		rc = command_commit(cmd, &op, e);
		if (rc == SHOAL_OK && more)
			stamp = cmd->stamp;
	}
	cmd->stamp = stamp;
	return rc;
}

/* user: to whom the owner hands the group, may be empty. */
enum shoal_err command_leave_group(struct command *cmd, struct error *e)
{
	struct target to;
	struct op op;

	if (cmd->replay)
		return SHOAL_OK;
	enum shoal_err rc = find_target(cmd, &to, false, e);
	if (rc != SHOAL_OK)
		return rc;
	const struct id16 *successor = to.r.user.len != 0 ? &to.who : NULL;
	command_op_begin_part(cmd, OP_LEAVE_GROUP, &op); /* only to ask whether he may */
	rc = group_leave(cmd->t->reg, &op, &cmd->uid, &to.gid, successor, e);
	op_fini(&op);
	if (rc == SHOAL_OK)
		rc = stop_many(cmd, OP_LEAVE_GROUP, &to.gid, &cmd->uid, e);
	if (rc != SHOAL_OK)
		return rc;
	command_op_begin(cmd, OP_LEAVE_GROUP, &op);
	return end_op(cmd, &op, group_leave(cmd->t->reg, &op, &cmd->uid, &to.gid, successor, e), e);
}

enum shoal_err command_accept_request(struct command *cmd, struct error *e)
{
	struct target to;
	struct op op;

	if (cmd->replay)
		return SHOAL_OK;
	enum shoal_err rc = find_target(cmd, &to, true, e);
	if (rc != SHOAL_OK)
		return rc;
	enum member_role role = ROLE_MEMBER;
	if (to.r.text.len != 0)
		rc = group_role_parse(to.r.text, &role, e);
	if (rc != SHOAL_OK)
		return rc;
	command_op_begin(cmd, OP_ACCEPT_REQUEST, &op);
	return end_op(cmd, &op, group_accept_as(cmd->t->reg, &op, &cmd->uid, &to.gid, &to.who, role, e), e);
}

enum shoal_err command_set_role(struct command *cmd, struct error *e)
{
	enum member_role role;
	struct target to;
	struct op op;

	if (cmd->replay)
		return SHOAL_OK;
	enum shoal_err rc = find_target(cmd, &to, true, e);
	if (rc == SHOAL_OK)
		rc = group_role_parse(to.r.text, &role, e);
	if (rc != SHOAL_OK)
		return rc;
	command_op_begin(cmd, OP_SET_ROLE, &op);
	return end_op(cmd, &op, group_set_role(cmd->t->reg, &op, &cmd->uid, &to.gid, &to.who, role, e), e);
}

enum shoal_err command_reject_request(struct command *cmd, struct error *e)
{
	struct target to;
	struct op op;

	if (cmd->replay)
		return SHOAL_OK;
	enum shoal_err rc = find_target(cmd, &to, true, e);
	if (rc != SHOAL_OK)
		return rc;
	command_op_begin(cmd, OP_REJECT_REQUEST, &op);
	return end_op(cmd, &op, group_reject(cmd->t->reg, &op, &cmd->uid, &to.gid, &to.who, to.r.text, e), e);
}

enum shoal_err command_remove_member(struct command *cmd, struct error *e)
{
	struct target to;
	struct op op;

	if (cmd->replay)
		return SHOAL_OK;
	enum shoal_err rc = find_target(cmd, &to, true, e);
	if (rc != SHOAL_OK)
		return rc;
	command_op_begin_part(cmd, OP_REMOVE_MEMBER, &op); /* only to ask whether he may */
	rc = group_remove_member(cmd->t->reg, &op, &cmd->uid, &to.gid, &to.who, to.r.text, e);
	op_fini(&op);
	if (rc == SHOAL_OK)
		rc = stop_many(cmd, OP_REMOVE_MEMBER, &to.gid, &to.who, e);
	if (rc != SHOAL_OK)
		return rc;
	command_op_begin(cmd, OP_REMOVE_MEMBER, &op);
	return end_op(cmd, &op, group_remove_member(cmd->t->reg, &op, &cmd->uid, &to.gid, &to.who, to.r.text, e), e);
}

enum shoal_err command_transfer_group(struct command *cmd, struct error *e)
{
	struct target to;
	struct op op;

	if (cmd->replay)
		return SHOAL_OK;
	enum shoal_err rc = find_target(cmd, &to, true, e);
	if (rc != SHOAL_OK)
		return rc;
	command_op_begin(cmd, OP_TRANSFER_GROUP, &op);
	return end_op(cmd, &op, group_transfer(cmd->t->reg, &op, &cmd->uid, &to.gid, &to.who, e), e);
}

enum shoal_err command_delete_group(struct command *cmd, struct error *e)
{
	struct req_group r;
	struct id16 gid;
	struct op op;

	if (cmd->replay)
		return SHOAL_OK; /* had the tracker stopped before it swept, leftovers_sweep() does it */
	req_group_get(&cmd->fields, &r);
	enum shoal_err rc = group_lookup(cmd->t->reg, r.group, &gid, e);
	if (rc != SHOAL_OK)
		return rc;
	command_op_begin(cmd, OP_DELETE_GROUP, &op);
	rc = end_op(cmd, &op, group_delete(cmd->t->reg, &op, &cmd->uid, &gid, e), e);
	return rc == SHOAL_OK ? sweep(cmd, &gid, e) : rc;
}

/* -- lists */
static bool passes(const char *name, const char *filter)
{
	if (filter[0] == '\0' || strcmp(filter, "mine") == 0)
		return true;
	if (strpbrk(filter, "*?[") != NULL)
		return fnmatch(filter, name, 0) == 0;
	return strstr(name, filter) != NULL;
}

static void put_group_row(struct command *cmd, const struct shown_group *g)
{
	struct tracker *t = cmd->t;
	const struct id16 *gid = &g->group->gid;
	char owner[NAME_SHOWN_MAX] = "";
	struct presence online = tracker_presence(t);
	struct id16 uid;
	struct buf *b = command_row(cmd);

	if (b == NULL)
		return;
	bool member = group_is_member(t->reg, gid, &cmd->uid);
	if (group_owner(t->reg, gid, &uid))
		user_shown(t->reg, &uid, owner);
	struct row_group row = {
		.name = slice_str(g->name), .gid = *gid, .owner = slice_str(owner),
		.members = group_member_count(t->reg, gid),
		.files = member ? file_count(t->reg, gid, &online) : 0, /* not a stranger's business */
		.role = slice_str(group_role(t->reg, gid, &cmd->uid)),
		.pending = group_is_admin(t->reg, gid, &cmd->uid) ? group_asked_count(t->reg, gid) : 0,
	};
	row_group_put(b, &row);
	command_row_done(cmd);
}

enum shoal_err command_list_groups(struct command *cmd, struct error *e)
{
	struct req_filter r;
	struct shown_group *groups;
	char filter[NAME_SHOWN_MAX];
	size_t n;

	req_filter_get(&cmd->fields, &r);
	if (!slice_to_str(r.filter, filter, sizeof(filter)))
		return error_set(e, SHOAL_EUSAGE, "the filter is too long");
	enum shoal_err rc = strcmp(filter, "mine") == 0 ? group_list_of(cmd->t->reg, &cmd->uid, &groups, &n)
	                                                : group_list(cmd->t->reg, &groups, &n);
	if (rc != SHOAL_OK)
		return no_memory(e);
	for (size_t i = 0; i < n; i++)
		if (passes(groups[i].name, filter))
			put_group_row(cmd, &groups[i]);
	free(groups);
	return SHOAL_OK;
}

enum shoal_err command_list_requests(struct command *cmd, struct error *e)
{
	struct req_group r;
	struct member *asked;
	char name[NAME_SHOWN_MAX];
	struct id16 gid;
	size_t n;

	req_group_get(&cmd->fields, &r);
	enum shoal_err rc = group_lookup(cmd->t->reg, r.group, &gid, e);
	if (rc != SHOAL_OK)
		return rc;
	if (!group_is_admin(cmd->t->reg, &gid, &cmd->uid))
		return error_set(e, SHOAL_EDENIED, "only the owner or an admin of '%s' may see who has asked to join",
		                 group_shown(cmd->t->reg, &gid, name));
	if (group_asked(cmd->t->reg, &gid, &asked, &n) != SHOAL_OK)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		struct row_request row = { .user = slice_str(user_shown(cmd->t->reg, &asked[i].uid, name)),
			                   .asked_ms = stamp_wall_ms(&asked[i].since) };
		struct buf *b = command_row(cmd);
		if (b == NULL)
			break;
		row_request_put(b, &row);
		command_row_done(cmd);
	}
	free(asked);
	return SHOAL_OK;
}

enum shoal_err command_list_members(struct command *cmd, struct error *e)
{
	struct req_group r;
	struct member *members;
	char name[NAME_SHOWN_MAX];
	struct id16 gid;
	size_t n;

	req_group_get(&cmd->fields, &r);
	enum shoal_err rc = group_lookup(cmd->t->reg, r.group, &gid, e);
	if (rc == SHOAL_OK)
		rc = group_check_member(cmd->t->reg, &gid, &cmd->uid, e);
	if (rc != SHOAL_OK)
		return rc;
	if (group_members(cmd->t->reg, &gid, &members, &n) != SHOAL_OK)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		const struct id16 *uid = &members[i].uid;
		struct row_member row = { .user = slice_str(user_shown(cmd->t->reg, uid, name)),
			                  .role = slice_str(group_role(cmd->t->reg, &gid, uid)),
			                  .online = presence_user_online(cmd->t->presence, uid),
			                  .since_ms = stamp_wall_ms(&members[i].since) };
		struct buf *b = command_row(cmd);
		if (b == NULL)
			break;
		row_member_put(b, &row);
		command_row_done(cmd);
	}
	free(members);
	return SHOAL_OK;
}
