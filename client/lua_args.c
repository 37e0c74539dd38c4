/* client/lua_args.c - what a script finds when it begins: its arguments, and globals that must be declared. */
#include <stdlib.h>
#include <string.h>

#include "client/lua_internal.h"
#include "client/suggest.h"
#include "core/base/fs.h"

/* -- arguments: arg as in lua, shoal.args with "--name value" and "--name=value" taken apart */

static void put_arg(lua_State *L, const char *word, const char *next, bool *took_next)
{
	const char *eq = strchr(word, '=');
	lua_pushlstring(L, word, eq != NULL ? (size_t)(eq - word) : strlen(word));
	*took_next = eq == NULL && next != NULL && strncmp(next, "--", 2) != 0;
	if (eq != NULL)
		lua_pushstring(L, eq + 1);
	else if (*took_next)
		lua_pushstring(L, next);
	else
		lua_pushboolean(L, 1);
	lua_rawset(L, -3);
}

void lua_host_args(struct lua_host *h, const char *script, char *const *argv, int argc)
{
	lua_State *L = h->L;
	lua_createtable(L, argc, 1);
	for (int i = 0; i < argc; i++) {
		lua_pushstring(L, argv[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_pushstring(L, script);
	lua_rawseti(L, -2, 0);
	lua_setglobal(L, "arg");

	lua_getglobal(L, "shoal");
	lua_createtable(L, 0, argc);
	for (int i = 0, n = 0; i < argc; i++) {
		bool took = false;
		if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0') {
			put_arg(L, argv[i] + 2, i + 1 < argc ? argv[i + 1] : NULL, &took);
		} else {
			lua_pushstring(L, argv[i]);
			lua_rawseti(L, -2, ++n);
		}
		i += took;
	}
	lua_setfield(L, -2, "args");
	lua_pop(L, 1);
	if (script == NULL)
		return;
	char *folder = fs_dirname(script);
	lua_push_package(L);
	lua_getfield(L, -1, "path");
	lua_pushfstring(L, "%s/?.lua;%s", folder, lua_tostring(L, -1));
	lua_setfield(L, -3, "path");
	lua_pop(L, 2);
	free(folder);
}

/* -- globals */

static int undeclared(lua_State *L)
{
	if (!host_of(L)->strict_globals || lua_type(L, 2) != LUA_TSTRING)
		return 0;
	const char *name = lua_tostring(L, 2);
	struct suggestion s = { .word = name };
	lua_getfield(L, lua_upvalueindex(1), name);
	if (lua_toboolean(L, -1))
		return 0;
	lua_pushnil(L);
	while (lua_next(L, 1) != 0) {
		if (lua_type(L, -2) == LUA_TSTRING)
			suggest_try(&s, lua_tostring(L, -2));
		lua_pop(L, 1);
	}
	return s.best != NULL ? luaL_error(L, "undeclared global '%s': did you mean '%s'?", name, s.best)
	                      : luaL_error(L, "undeclared global '%s'", name);
}

static int declare(lua_State *L)
{
	if (lua_type(L, 2) == LUA_TSTRING) {
		lua_pushvalue(L, 2);
		lua_pushboolean(L, 1);
		lua_rawset(L, lua_upvalueindex(1));
	}
	lua_settop(L, 3);
	lua_rawset(L, 1);
	return 0;
}

void lua_watch_globals(lua_State *L)
{
	lua_pushglobaltable(L);
	lua_createtable(L, 0, 2);
	lua_createtable(L, 0, 0); /* names that were assigned, be it nil */
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, undeclared, 1);
	lua_setfield(L, -3, "__index");
	lua_pushcclosure(L, declare, 1);
	lua_setfield(L, -2, "__newindex");
	lua_setmetatable(L, -2);
	lua_pop(L, 1);
}
