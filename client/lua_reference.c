/* client/lua_reference.c - shoal.reference(): commands, program options and error codes as data. The manual pages, the
 * reference in docs/ and the files for editors are made from it. */
#include <string.h>

#include "client/lua_internal.h"
#include "client/options.h"

static void set_text(lua_State *L, const char *key, const char *text)
{
	if (text == NULL)
		return;
	lua_pushstring(L, text);
	lua_setfield(L, -2, key);
}

static void set_flag(lua_State *L, const char *key, bool on)
{
	lua_pushboolean(L, on);
	lua_setfield(L, -2, key);
}

static void push_opt(lua_State *L, const struct cmd_opt *o)
{
	lua_createtable(L, 0, 4);
	set_text(L, "name", o->name);
	set_text(L, "kind", cmd_kind_word(o->kind));
	set_text(L, "choices", o->choices);
	set_text(L, "help", o->help);
}

static void push_arg(lua_State *L, const struct cmd_arg *arg)
{
	lua_createtable(L, 0, 4);
	set_text(L, "name", arg->name);
	set_text(L, "kind", cmd_kind_word(arg->kind));
	set_flag(L, "optional", arg->optional);
	if (arg->opts == NULL)
		return;
	lua_createtable(L, 4, 0);
	for (int i = 0; arg->opts[i].name != NULL; i++) {
		push_opt(L, &arg->opts[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "opts");
}

static void set_usage(lua_State *L, const char *key, void (*usage)(const struct cmd *cmd, struct buf *out),
                      const struct cmd *cmd)
{
	struct buf b = { 0 };
	usage(cmd, &b);
	if (b.data != NULL && !b.failed)
		lua_pushlstring(L, (const char *)b.data, b.len);
	else
		lua_pushstring(L, cmd->name);
	buf_free(&b);
	lua_setfield(L, -2, key);
}

static void push_cmd(lua_State *L, const struct cmd *cmd)
{
	bool method = (cmd->flags & CMD_METHOD) != 0, module = (cmd->flags & CMD_MODULE) != 0;
	lua_createtable(L, 0, 16);
	set_text(L, "name", cmd->name);
	set_text(L, "call", method ? cmd->name + strlen("job_") : cmd->name);
	set_text(L, "of", method ? "job" : module ? "shoal" : NULL);
	set_text(L, "spaced", cmd->spaced);
	set_text(L, "summary", cmd->summary);
	set_text(L, "gives", cmd->gives);
	set_text(L, "example", cmd->example);
	set_text(L, "since", cmd->since);
	set_flag(L, "login", (cmd->flags & CMD_NEEDS_LOGIN) != 0);
	set_flag(L, "secret", (cmd->flags & CMD_SECRET) != 0);
	set_usage(L, "usage", cmd_usage, cmd);
	if (!method && !module)
		set_usage(L, "typed", cmd_usage_typed, cmd);
	lua_createtable(L, CMD_MAX_ARGS, 0);
	for (unsigned i = method, n = 0; i < cmd_count_args(cmd); i++) {
		push_arg(L, &cmd->args[i]);
		lua_rawseti(L, -2, (lua_Integer)++n);
	}
	lua_setfield(L, -2, "args");
}

static void push_commands(lua_State *L)
{
	const struct cmd *cmd = NULL;
	lua_Integer n = 0;
	lua_createtable(L, 64, 0);
	while ((cmd = cmd_next(cmd)) != NULL)
		if ((cmd->flags & CMD_HIDDEN) == 0) {
			push_cmd(L, cmd);
			lua_rawseti(L, -2, ++n);
		}
}

static void push_options(lua_State *L)
{
	struct option_text o;
	lua_createtable(L, 32, 0);
	for (size_t i = 0; options_text(i, &o); i++) {
		lua_createtable(L, 0, 4);
		set_text(L, "name", o.name);
		set_text(L, "letter", o.letter);
		set_text(L, "value", o.value);
		set_text(L, "help", o.help);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

static void push_errors(lua_State *L)
{
	lua_createtable(L, SHOAL_ERR_COUNT, 0);
	for (int code = SHOAL_OK + 1; code < SHOAL_ERR_COUNT; code++) {
		lua_createtable(L, 0, 3);
		set_text(L, "code", error_word((enum shoal_err)code));
		set_text(L, "text", error_default((enum shoal_err)code));
		lua_pushinteger(L, error_exit_code((enum shoal_err)code));
		lua_setfield(L, -2, "exit");
		lua_rawseti(L, -2, code);
	}
}

int lua_reference(lua_State *L)
{
	lua_createtable(L, 0, 3);
	push_commands(L);
	lua_setfield(L, -2, "commands");
	push_options(L);
	lua_setfield(L, -2, "options");
	push_errors(L);
	lua_setfield(L, -2, "errors");
	return 1;
}
