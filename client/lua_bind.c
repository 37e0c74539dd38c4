/* client/lua_bind.c - the commands as Lua functions: written once, with the table's entry as upvalue. */
#include <string.h>

#include "client/lua_internal.h"

/* A run hangs on a userdata on the stack of whoever waits for it: however the function is left, it is given up. */
static int box_gc(lua_State *L)
{
	struct cmd_run **box = luaL_checkudata(L, 1, RUN_TYPE);
	if (*box != NULL) {
		struct cmd_run *run = *box;
		*box = NULL;
		shell_abandon(host_of(L)->config.shell, run);
	}
	return 0;
}

static struct cmd_run **push_box(lua_State *L)
{
	struct cmd_run **box = lua_newuserdatauv(L, sizeof(struct cmd_run *), 0);
	*box = NULL;
	luaL_setmetatable(L, RUN_TYPE);
	return box;
}

void lua_where(lua_State *L, int level, char *out, size_t size)
{
	lua_Debug ar;
	out[0] = '\0';
	for (; lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "Sl", &ar);
		if (ar.currentline > 0 && strncmp(ar.short_src, "shoal.", 6) != 0) {
			snprintf(out, size, "%s:%d", ar.short_src, ar.currentline);
			return;
		}
	}
}

static const char *shown_name(const struct cmd *cmd, char out[64])
{
	bool method = (cmd->flags & CMD_METHOD) != 0;
	snprintf(out, 64, "%s%s", method ? "job:" : (cmd->flags & CMD_MODULE) != 0 ? "shoal." : "",
	         method ? cmd->name + strlen("job_") : cmd->name);
	return out;
}

/* Marks the jobs that a script has waited for; remembers those that it has begun. */
static void note_jobs(lua_State *L, const struct cmd_run *run)
{
	struct lua_host *h = host_of(L);
	const struct value *arg = &run->argv[0];
	if (strcmp(run->cmd->name, "job_wait") == 0 && run->error.code != SHOAL_ETIMEOUT)
		lua_host_looked(h, arg->job);
	if (strcmp(run->cmd->name, "wait_all") == 0 && run->error.code != SHOAL_ETIMEOUT)
		for (size_t i = 0; i < arg->table.n; i++)
			lua_host_looked(h, arg->table.items[i].job);
	bool begins = strcmp(run->cmd->name, "download_file") == 0 || strcmp(run->cmd->name, "upload_file") == 0;
	if (begins && run->result.type == VALUE_JOB)
		host_own_job(h, run->result.job, run->where);
}

static int push_outcome(lua_State *L, struct cmd_run *run)
{
	char name[64];
	note_jobs(L, run);
	if (run->error.code == SHOAL_EUSAGE && !run->asked) {
		lua_pushfstring(L, "%s%s%s: %s", run->where, run->where[0] != '\0' ? ": " : "", shown_name(run->cmd, name),
		                run->error.message);
		return lua_error(L);
	}
	if (run->error.code != SHOAL_OK)
		return lua_fail(L, &run->error, run, run->cmd->name);
	if ((run->cmd->flags & CMD_SPREAD) == 0) {
		lua_push_value(L, &run->result);
		return 1;
	}
	luaL_checkstack(L, (int)run->result.table.n, NULL);
	for (size_t i = 0; i < run->result.table.n; i++)
		lua_push_value(L, &run->result.table.items[i]);
	return (int)run->result.table.n;
}

static int command_done(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	struct cmd_run **box = luaL_checkudata(L, (int)ctx, RUN_TYPE);
	int n = push_outcome(L, *box);
	struct cmd_run *run = *box;
	*box = NULL;
	shell_abandon(host_of(L)->config.shell, run);
	return n;
}

/* Times were brought into milliseconds: a module, which hands them on, gets seconds again. */
static void seconds_again(struct cmd_run *run)
{
	for (unsigned i = 0; i < cmd_count_args(run->cmd); i++) {
		const struct cmd_arg *arg = &run->cmd->args[i];
		if (arg->kind == ARG_SECONDS && run->argv[i].type == VALUE_INT)
			run->argv[i] = value_number((double)run->argv[i].integer / 1000);
		for (const struct cmd_opt *o = arg->opts; o != NULL && o->name != NULL; o++) {
			const struct value *v = o->kind == ARG_SECONDS ? value_get(&run->argv[i], o->name) : NULL;
			if (v != NULL)
				value_set(&run->argv[i], o->name, value_number((double)v->integer / 1000));
		}
	}
}

static int module_done(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	return lua_gettop(L) - (int)ctx;
}

/* A command that is written in Lua. */
static int call_module(lua_State *L, struct cmd_run *run)
{
	unsigned n = cmd_count_args(run->cmd);
	seconds_again(run);
	luaL_checkstack(L, (int)n + 8, NULL);
	int base = lua_gettop(L);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	if (lua_getfield(L, -1, run->cmd->module) == LUA_TNIL) {
		lua_getglobal(L, "require");
		lua_pushstring(L, run->cmd->module);
		lua_call(L, 1, 1);
	}
	lua_getfield(L, -1, run->cmd->name);
	lua_replace(L, base + 1);
	lua_settop(L, base + 1);
	for (unsigned i = 0; i < n; i++)
		lua_push_value(L, &run->argv[i]);
	lua_callk(L, (int)n, LUA_MULTRET, base, module_done);
	return module_done(L, LUA_OK, base);
}

static int l_command(lua_State *L)
{
	const struct cmd *cmd = lua_touserdata(L, lua_upvalueindex(1));
	struct lua_host *h = host_of(L);
	struct error e = { 0 };
	char name[64];
	int n = lua_gettop(L);

	struct cmd_run **box = push_box(L);
	int at = lua_gettop(L);
	struct cmd_run *run = *box = cmd_run_new(cmd);
	if (run == NULL)
		return luaL_error(L, "%s: out of memory", cmd->name);
	while (n > 0 && lua_isnil(L, n)) /* what is left out at the end may as well be written as nil */
		n--;
	lua_where(L, 1, run->where, sizeof(run->where));
	run->asking = h->config.asking;
	for (int i = 0; i < n && i < CMD_MAX_ARGS; i++) {
		run->argv[i] = lua_to_value(L, i + 1);
		if (run->argv[i].failed)
			return luaL_error(L, "%s: argument %d cannot be a %s", shown_name(cmd, name), i + 1, luaL_typename(L, i + 1));
	}
	if (cmd_check_args(run, (unsigned)n, &e) != SHOAL_OK) {
		lua_pushfstring(L, "%s%s%s: %s", run->where, run->where[0] != '\0' ? ": " : "", shown_name(cmd, name), e.message);
		return lua_error(L);
	}
	lua_sandbox_check_run(L, run);
	if (cmd->module != NULL)
		return call_module(L, run);
	shell_start(h->config.shell, run, NULL, NULL);
	struct await a = { .kind = AWAIT_RUN, .run = run, .match = LUA_NOREF, .got = LUA_NOREF };
	return lua_await(L, &a, command_done, at);
}

void lua_push_command(lua_State *L, const struct cmd *cmd)
{
	lua_pushlightuserdata(L, (void *)cmd);
	lua_pushcclosure(L, l_command, 1);
}

void lua_bind_open(lua_State *L)
{
	const struct cmd *cmd = NULL;
	luaL_newmetatable(L, RUN_TYPE);
	lua_pushcfunction(L, box_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	while ((cmd = cmd_next(cmd)) != NULL) {
		if ((cmd->flags & (CMD_METHOD | CMD_HIDDEN)) != 0)
			continue;
		lua_push_command(L, cmd);
		if ((cmd->flags & CMD_MODULE) != 0)
			lua_setfield(L, -2, cmd->name);
		else
			lua_setglobal(L, cmd->name);
	}
}
