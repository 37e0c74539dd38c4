/* client/cmd_group.c - groups and who is in them. */
#include "client/cmd.h"

#include <stdio.h>
#include <string.h>

#include "client/shell.h"

static enum shoal_err ask_group(struct cmd_run *run, enum cmd_verb verb, struct error *e)
{
	struct call *c = cmd_verb_call(verb);
	if (c != NULL)
		req_group_put(&c->fields, &(struct req_group){ .group = cmd_arg_slice(run, 0) });
	return cmd_ask(run, c, e);
}

static enum shoal_err ask_group_user(struct cmd_run *run, enum cmd_verb verb, struct slice user, struct error *e)
{
	struct call *c = cmd_verb_call(verb);
	struct req_group_user m = { .group = cmd_arg_slice(run, 0), .user = user, .text = cmd_arg_slice(run, 2) };
	if (c != NULL)
		req_group_user_put(&c->fields, &m);
	return cmd_ask(run, c, e);
}

#define GROUP_COMMAND(word, VERB)                                                                                \
	static enum shoal_err run_##word(struct cmd_run *run, struct call *answered, struct error *e)            \
	{                                                                                                        \
		return answered == NULL ? ask_group(run, VERB, e) : cmd_give_stamp(run, answered, e);            \
	}
GROUP_COMMAND(create_group, VERB_CREATE_GROUP)
GROUP_COMMAND(join_group, VERB_JOIN_GROUP)

#define GROUP_USER_COMMAND(word, VERB)                                                                           \
	static enum shoal_err run_##word(struct cmd_run *run, struct call *answered, struct error *e)            \
	{                                                                                                        \
		return answered == NULL ? ask_group_user(run, VERB, cmd_arg_slice(run, 1), e)                    \
		                        : cmd_give_stamp(run, answered, e);                                      \
	}
GROUP_USER_COMMAND(accept_request, VERB_ACCEPT_REQUEST)
GROUP_USER_COMMAND(reject_request, VERB_REJECT_REQUEST)
GROUP_USER_COMMAND(remove_member, VERB_REMOVE_MEMBER)
GROUP_USER_COMMAND(transfer_group, VERB_TRANSFER_GROUP)
GROUP_USER_COMMAND(set_role, VERB_SET_ROLE)

static enum shoal_err run_leave_group(struct cmd_run *run, struct call *answered, struct error *e)
{
	const char *successor = value_get_text(&run->argv[1], "successor", "");
	return answered == NULL ? ask_group_user(run, VERB_LEAVE_GROUP, slice_str(successor), e)
	                        : cmd_give_stamp(run, answered, e);
}

static enum shoal_err run_delete_group(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered != NULL)
		return cmd_give_stamp(run, answered, e);
	const struct shell_config *sc = shell_config(run->shell);
	const char *group = cmd_arg_text(run, 0, ""), *confirm = value_get_text(&run->argv[1], "confirm", NULL);
	char question[160];
	snprintf(question, sizeof(question), "Delete the group '%.80s' and its list of files for everybody?", group);
	bool asked = confirm == NULL && run->asking == ASK_ALL && sc->confirm != NULL;
	if (asked && !sc->confirm(sc->owner, question))
		return error_set(e, SHOAL_ECANCELLED, "the group '%s' was not deleted", group);
	if (!asked && (confirm == NULL || strcmp(confirm, group) != 0))
		return error_set(e, SHOAL_EUSAGE, "to delete it for everybody, write delete_group(\"%s\", {confirm=\"%s\"})", group,
		                 group);
	return ask_group(run, VERB_DELETE_GROUP, e);
}

static void row_a_group(struct cmd_run *run, struct cursor *c)
{
	struct row_group m;
	row_group_get(c, &m);
	struct value t = value_table();
	value_set(&t, "name", value_slice(m.name));
	value_set(&t, "owner", value_slice(m.owner));
	value_set(&t, "members", value_int(m.members));
	value_set(&t, "files", value_int(m.files));
	value_set(&t, "role", value_slice(m.role));
	value_set(&t, "pending", value_int(m.pending));
	value_add(&run->result, t);
}

static enum shoal_err run_list_groups(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered != NULL)
		return cmd_read_rows(run, answered, NULL, row_a_group, e);
	struct call *c = cmd_verb_call(VERB_LIST_GROUPS);
	if (c != NULL)
		req_filter_put(&c->fields, &(struct req_filter){ .filter = cmd_arg_slice(run, 0) });
	return cmd_ask(run, c, e);
}

static void row_a_request(struct cmd_run *run, struct cursor *c)
{
	struct row_request m;
	row_request_get(c, &m);
	struct value t = value_table();
	value_set(&t, "user", value_slice(m.user));
	value_set(&t, "asked_at", value_int((int64_t)(m.asked_ms / 1000)));
	value_add(&run->result, t);
}

static enum shoal_err run_list_requests(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? ask_group(run, VERB_LIST_REQUESTS, e) : cmd_read_rows(run, answered, NULL, row_a_request, e);
}

static void row_a_member(struct cmd_run *run, struct cursor *c)
{
	struct row_member m;
	row_member_get(c, &m);
	struct value t = value_table();
	value_set(&t, "user", value_slice(m.user));
	value_set(&t, "role", value_slice(m.role));
	value_set(&t, "online", value_bool(m.online != 0));
	value_set(&t, "since", value_int((int64_t)(m.since_ms / 1000)));
	value_add(&run->result, t);
}

static enum shoal_err run_list_members(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? ask_group(run, VERB_LIST_MEMBERS, e) : cmd_read_rows(run, answered, NULL, row_a_member, e);
}

static const struct cmd_opt leave_opts[] = { { "successor", ARG_USER, .help = "who becomes the owner" }, { 0 } };
static const struct cmd_opt delete_opts[] = { { "confirm", ARG_GROUP, .help = "the group's name once more; the prompt asks instead" }, { 0 } };

const struct cmd cmd_group_table[] = {
	{ .name = "create_group",
	  .spaced = "create group",
	  .summary = "Make a group; you become its owner.",
	  .gives = "stamp",
	  .example = "create_group team",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_create_group },
	{ .name = "join_group",
	  .spaced = "join group",
	  .summary = "Ask to become a member of a group.",
	  .gives = "stamp",
	  .example = "join_group team",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_join_group },
	{ .name = "leave_group",
	  .spaced = "leave group",
	  .summary = "Leave a group; an owner hands it over, the last member ends it.",
	  .gives = "stamp",
	  .example = "leave_group(\"team\", {successor=\"bob\"})",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP }, { "opts", ARG_OPTS, .optional = true, .opts = leave_opts } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_leave_group },
	{ .name = "list_groups",
	  .spaced = "list groups",
	  .summary = "All groups, with your role in them.",
	  .gives = "{{name, owner, members, files, role, pending}, ...}",
	  .example = "list_groups",
	  .since = "0.1",
	  .args = { { "filter", ARG_STRING, .optional = true } },
	  .flags = CMD_NEEDS_LOGIN,
	  .run = run_list_groups },
	{ .name = "list_requests",
	  .spaced = "list requests",
	  .summary = "Who asks to join a group of yours.",
	  .gives = "{{user, asked_at}, ...}",
	  .example = "list_requests team",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP } },
	  .flags = CMD_NEEDS_LOGIN,
	  .run = run_list_requests },
	{ .name = "accept_request",
	  .spaced = "accept request",
	  .summary = "Let somebody who asked into a group of yours.",
	  .gives = "stamp",
	  .example = "accept_request team bob",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP }, { "user", ARG_USER }, { "role", ARG_STRING, .optional = true } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_accept_request },
	{ .name = "reject_request",
	  .spaced = "reject request",
	  .summary = "Turn down somebody who asked to join.",
	  .gives = "stamp",
	  .example = "reject_request team bob",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP }, { "user", ARG_USER }, { "reason", ARG_STRING, .optional = true } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_reject_request },
	{ .name = "list_members",
	  .spaced = "list members",
	  .summary = "Who is in a group, and who of them is online.",
	  .gives = "{{user, role, online, since}, ...}",
	  .example = "list_members team",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP } },
	  .flags = CMD_NEEDS_LOGIN,
	  .run = run_list_members },
	{ .name = "set_role",
	  .spaced = "set role",
	  .summary = "Make a member of a group of yours an admin, who answers requests and removes members, or a member again.",
	  .gives = "stamp",
	  .example = "set_role team bob admin",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP }, { "user", ARG_USER }, { "role", ARG_STRING } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_set_role },
	{ .name = "remove_member",
	  .spaced = "remove member",
	  .summary = "Take somebody out of a group of yours.",
	  .gives = "stamp",
	  .example = "remove_member team bob",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP }, { "user", ARG_USER } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_remove_member },
	{ .name = "transfer_group",
	  .spaced = "transfer group",
	  .summary = "Make another member the owner of a group of yours.",
	  .gives = "stamp",
	  .example = "transfer_group team bob",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP }, { "user", ARG_USER } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_transfer_group },
	{ .name = "delete_group",
	  .spaced = "delete group",
	  .summary = "End a group of yours for everybody; nobody's files are deleted.",
	  .gives = "stamp",
	  .example = "delete_group(\"team\", {confirm=\"team\"})",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP }, { "opts", ARG_OPTS, .optional = true, .opts = delete_opts } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_delete_group },
	{ 0 },
};
