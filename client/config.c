/* client/config.c */
#include "client/config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lualib.h>

const struct cmd_opt config_keys[] = {
	{ "listen", ARG_STRING },
	{ "trackers", ARG_PATH },
	{ "announce", ARG_STRING },
	{ "cluster", ARG_STRING },
	{ "plaintext", ARG_BOOL },
	{ "threads", ARG_INT },
	{ "max_active", ARG_INT },
	{ "auto_login", ARG_BOOL },
	{ "down", ARG_SIZE },
	{ "up", ARG_SIZE },
	{ "timeout", ARG_SECONDS },
	{ "strict", ARG_BOOL },
	{ "progress", ARG_STRING, "auto|line|json|none" },
	{ "color", ARG_STRING, "auto|always|never" },
	{ "history", ARG_PATH },
	{ "log_file", ARG_PATH },
	{ "password_file", ARG_PATH },
	{ 0 },
};

/* The scalars of the table on top of the stack; anything else cannot be a setting. */
static enum shoal_err read_settings(lua_State *L, const char *path, struct value *out, struct error *e)
{
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		struct value v = { .failed = true };
		if (lua_isboolean(L, -1))
			v = value_bool(lua_toboolean(L, -1));
		else if (lua_isinteger(L, -1))
			v = value_int(lua_tointeger(L, -1));
		else if (lua_type(L, -1) == LUA_TNUMBER)
			v = value_number(lua_tonumber(L, -1));
		else if (lua_type(L, -1) == LUA_TSTRING)
			v = value_str(lua_tostring(L, -1));
		if (v.failed || lua_type(L, -2) != LUA_TSTRING)
			return error_set(e, SHOAL_EUSAGE, "%s: a setting is a name with true, false, a number or text", path);
		value_set(out, lua_tostring(L, -2), v);
		lua_pop(L, 1);
	}
	struct error why;
	if (out->failed || cmd_check_table(config_keys, out, &why) != SHOAL_OK)
		return error_set(e, SHOAL_EUSAGE, "%s: %.400s", path, out->failed ? "out of memory" : why.message);
	return SHOAL_OK;
}

static void open_little(lua_State *L)
{
	luaL_requiref(L, "string", luaopen_string, 1);
	luaL_requiref(L, "table", luaopen_table, 1);
	luaL_requiref(L, "math", luaopen_math, 1);
	luaL_requiref(L, "os", luaopen_os, 0);
	lua_createtable(L, 0, 1);
	lua_getfield(L, -2, "getenv");
	lua_setfield(L, -2, "getenv");
	lua_setglobal(L, "os");
	lua_settop(L, 0);
}

enum shoal_err config_load(const char *path, bool must, struct value *out, struct error *e)
{
	enum shoal_err rc;
	*out = value_table();
	if (!must && access(path, F_OK) != 0)
		return SHOAL_OK;
	lua_State *L = luaL_newstate();
	if (L == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	open_little(L);
	if (luaL_loadfilex(L, path, "t") != LUA_OK || lua_pcall(L, 0, 1, 0) != LUA_OK)
		rc = error_set(e, SHOAL_EUSAGE, "%s", lua_tostring(L, -1) != NULL ? lua_tostring(L, -1) : path);
	else if (!lua_istable(L, -1))
		rc = error_set(e, SHOAL_EUSAGE, "%s: must return a table: return { listen = \"0.0.0.0:5000\" }", path);
	else
		rc = read_settings(L, path, out, e);
	lua_close(L);
	if (rc != SHOAL_OK)
		value_free(out);
	return rc;
}
