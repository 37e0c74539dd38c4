/* client/cmd_user.c - accounts and sessions. */
#include "client/cmd.h"

#include <stdio.h>
#include <string.h>

static enum shoal_err ask_user_password(struct cmd_run *run, enum cmd_verb verb, bool twice, struct error *e)
{
	char question[128];
	snprintf(question, sizeof(question), "password for %s", cmd_arg_text(run, 0, ""));
	enum shoal_err rc = cmd_need_secret(run, 1, question, twice, e);
	if (rc != SHOAL_OK)
		return rc;
	struct call *c = cmd_verb_call(verb);
	struct req_user_password m = { .user = cmd_arg_slice(run, 0), .password = cmd_arg_slice(run, 1) };
	if (c != NULL)
		req_user_password_put(&c->fields, &m);
	return cmd_ask(run, c, e);
}

static enum shoal_err run_create_user(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? ask_user_password(run, VERB_CREATE_USER, true, e) : cmd_give_stamp(run, answered, e);
}

static enum shoal_err run_login(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? ask_user_password(run, VERB_LOGIN, false, e) : cmd_give_stamp(run, answered, e);
}

static enum shoal_err run_logout(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? cmd_ask(run, cmd_verb_call(VERB_LOGOUT), e) : cmd_give_stamp(run, answered, e);
}

static enum shoal_err run_change_password(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered != NULL)
		return cmd_give_stamp(run, answered, e);
	enum shoal_err rc = cmd_need_secret(run, 0, "old password", false, e);
	if (rc == SHOAL_OK)
		rc = cmd_need_secret(run, 1, "new password", true, e);
	if (rc != SHOAL_OK)
		return rc;
	struct call *c = cmd_verb_call(VERB_CHANGE_PASSWORD);
	struct req_change_password m = { .old = cmd_arg_slice(run, 0), .fresh = cmd_arg_slice(run, 1) };
	if (c != NULL)
		req_change_password_put(&c->fields, &m);
	return cmd_ask(run, c, e);
}

/* -- whoami: three questions at once; the answers come in any order and meet in run->scratch */

static enum shoal_err whoami_self(struct cmd_run *run, const struct call *c, struct error *e)
{
	if (c->nframes != 1)
		return error_set(e, SHOAL_EPROTO, "whoami: the tracker's answer cannot be read");
	struct cursor cur = cursor_of(c->frames[0].data, c->frames[0].len);
	struct rep_whoami m;
	rep_whoami_get(&cur, &m);
	value_set(&run->scratch, "user", value_slice(m.user));
	value_set(&run->scratch, "tracker", value_int(m.tracker));
	value_set(&run->scratch, "since", value_int((int64_t)(m.since_ms / 1000)));
	return cursor_end(&cur) == SHOAL_OK ? SHOAL_OK : error_set(e, SHOAL_EPROTO, "whoami: the answer cannot be read");
}

static void row_my_group(struct cmd_run *run, struct cursor *c)
{
	struct row_group m;
	row_group_get(c, &m);
	if (m.role.len != 0)
		value_add(&run->result, value_slice(m.name));
}

static void row_my_device(struct cmd_run *run, struct cursor *c)
{
	struct row_session m;
	row_session_get(c, &m);
	if (m.current != 0)
		value_set(&run->scratch, "device", value_hex(m.device.b, sizeof(m.device.b)));
}

static enum shoal_err ask_whoami(struct cmd_run *run, struct error *e)
{
	struct call *groups = cmd_verb_call(VERB_LIST_GROUPS);
	run->scratch = value_table();
	if (groups != NULL)
		req_filter_put(&groups->fields, &(struct req_filter){ .filter = slice_str("") });
	enum shoal_err rc = cmd_ask(run, cmd_verb_call(VERB_WHOAMI), e);
	if (rc == SHOAL_OK)
		rc = cmd_ask(run, cmd_verb_call(VERB_LIST_SESSIONS), e);
	if (rc == SHOAL_OK)
		return cmd_ask(run, groups, e);
	if (groups != NULL)
		call_free(groups);
	return rc;
}

static enum shoal_err run_whoami(struct cmd_run *run, struct call *answered, struct error *e)
{
	enum shoal_err rc;
	if (answered == NULL)
		return ask_whoami(run, e);
	if (answered->error.code != SHOAL_OK) {
		*e = answered->error;
		return e->code;
	}
	if (answered->verb == VERB_WHOAMI)
		rc = whoami_self(run, answered, e);
	else
		rc = cmd_read_rows(run, answered, NULL, answered->verb == VERB_LIST_GROUPS ? row_my_group : row_my_device, e);
	if (rc != SHOAL_OK || run->outstanding != 0)
		return rc;
	value_set(&run->scratch, "groups", value_take(&run->result));
	run->result = value_take(&run->scratch);
	return SHOAL_OK;
}

static void row_a_session(struct cmd_run *run, struct cursor *c)
{
	struct row_session m;
	row_session_get(c, &m);
	struct value t = value_table();
	value_set(&t, "id", value_slice(m.id));
	value_set(&t, "device", value_hex(m.device.b, sizeof(m.device.b)));
	value_set(&t, "address", value_slice(m.address));
	value_set(&t, "since", value_int((int64_t)(m.since_ms / 1000)));
	value_set(&t, "current", value_bool(m.current != 0));
	value_set(&t, "online", value_bool(m.online != 0));
	value_add(&run->result, t);
}

static enum shoal_err run_list_sessions(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? cmd_ask(run, cmd_verb_call(VERB_LIST_SESSIONS), e)
	                        : cmd_read_rows(run, answered, NULL, row_a_session, e);
}

static enum shoal_err run_end_session(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered != NULL)
		return cmd_give_stamp(run, answered, e);
	struct call *c = cmd_verb_call(VERB_END_SESSION);
	if (c != NULL)
		req_id_put(&c->fields, &(struct req_id){ .id = cmd_arg_slice(run, 0) });
	return cmd_ask(run, c, e);
}

const struct cmd cmd_user_table[] = {
	{ .name = "create_user",
	  .spaced = "create user",
	  .summary = "Register a new account with the trackers.",
	  .gives = "stamp",
	  .example = "create_user alice",
	  .since = "0.1",
	  .args = { { "user", ARG_USER }, { "password", ARG_SECRET, .optional = true } },
	  .flags = CMD_CHANGES | CMD_SECRET,
	  .run = run_create_user },
	{ .name = "login",
	  .summary = "Begin a session; what was shared before is shared again.",
	  .gives = "stamp",
	  .example = "login alice",
	  .since = "0.1",
	  .args = { { "user", ARG_USER }, { "password", ARG_SECRET, .optional = true } },
	  .flags = CMD_CHANGES | CMD_SECRET,
	  .run = run_login },
	{ .name = "logout",
	  .summary = "End the session; sharing pauses until the next login.",
	  .gives = "stamp",
	  .example = "logout",
	  .since = "0.1",
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_logout },
	{ .name = "whoami",
	  .summary = "Who is logged in, on which device and tracker, in which groups.",
	  .gives = "{user, device, tracker, groups, since}",
	  .example = "whoami",
	  .since = "0.1",
	  .flags = CMD_NEEDS_LOGIN,
	  .run = run_whoami },
	{ .name = "change_password",
	  .spaced = "change password",
	  .summary = "Change the password of the account; other sessions of it end.",
	  .gives = "stamp",
	  .example = "change_password",
	  .since = "0.1",
	  .args = { { "old", ARG_SECRET, .optional = true }, { "new", ARG_SECRET, .optional = true } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES | CMD_SECRET,
	  .run = run_change_password },
	{ .name = "list_sessions",
	  .spaced = "list sessions",
	  .summary = "The devices on which this account is logged in.",
	  .gives = "{{id, device, address, since, current, online}, ...}",
	  .example = "list_sessions",
	  .since = "0.1",
	  .flags = CMD_NEEDS_LOGIN,
	  .run = run_list_sessions },
	{ .name = "end_session",
	  .spaced = "end session",
	  .summary = "Log out one of the account's devices.",
	  .gives = "stamp",
	  .example = "end_session(list_sessions()[1].id)",
	  .since = "0.1",
	  .args = { { "id", ARG_STRING } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_end_session },
	{ 0 },
};
