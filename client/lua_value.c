/* client/lua_value.c - between Lua and struct value. */
#include <math.h>
#include <string.h>

#include "client/lua_internal.h"

static struct value to_value(lua_State *L, int index, unsigned depth);

static bool is_list(lua_State *L, int index)
{
	lua_Unsigned n = lua_rawlen(L, index), seen = 0; /* an empty table is an empty list: [] in JSON */
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		lua_pop(L, 1);
		seen++;
	}
	return seen == n;
}

static struct value list_value(lua_State *L, int index, unsigned depth)
{
	struct value out = value_list();
	lua_Unsigned n = lua_rawlen(L, index);
	for (lua_Unsigned i = 1; i <= n && !out.failed; i++) {
		lua_rawgeti(L, index, (lua_Integer)i);
		value_add(&out, to_value(L, lua_gettop(L), depth + 1));
		lua_pop(L, 1);
	}
	return out;
}

/* Keys that are no strings: numbers are written out, others cannot be told. */
static struct value table_value(lua_State *L, int index, unsigned depth)
{
	struct value out = value_table();
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		char number[32];
		const char *key = number;
		if (lua_type(L, -2) == LUA_TSTRING)
			key = lua_tostring(L, -2);
		else if (lua_isinteger(L, -2))
			snprintf(number, sizeof(number), "%lld", (long long)lua_tointeger(L, -2));
		else
			out.failed = true;
		if (!out.failed)
			value_set(&out, key, to_value(L, lua_gettop(L), depth + 1));
		lua_pop(L, 1);
		if (out.failed) {
			lua_pop(L, 1);
			return out;
		}
	}
	return out;
}

static struct value userdata_value(lua_State *L, int index)
{
	const struct stamp *stamp = luaL_testudata(L, index, STAMP_TYPE);
	const uint64_t *job = luaL_testudata(L, index, JOB_TYPE);
	if (stamp != NULL)
		return value_stamp(stamp);
	if (job != NULL)
		return value_job(*job);
	return (struct value){ .failed = true };
}

static struct value to_value(lua_State *L, int index, unsigned depth)
{
	size_t len;
	if (depth > VALUE_DEPTH_MAX || !lua_checkstack(L, 6))
		return (struct value){ .failed = true };
	switch (lua_type(L, index)) {
	case LUA_TNONE:
	case LUA_TNIL: return (struct value){ 0 };
	case LUA_TBOOLEAN: return value_bool(lua_toboolean(L, index));
	case LUA_TNUMBER: return lua_isinteger(L, index) ? value_int(lua_tointeger(L, index)) : value_number(lua_tonumber(L, index));
	case LUA_TSTRING: {
		const char *s = lua_tolstring(L, index, &len);
		return value_strn(s, len);
	}
	case LUA_TTABLE:
		if (lua_is_err(L, index))
			return lua_err_value(L, index);
		return is_list(L, index) ? list_value(L, index, depth) : table_value(L, index, depth);
	case LUA_TUSERDATA: return userdata_value(L, index);
	default: return (struct value){ .failed = true };
	}
}

struct value lua_to_value(lua_State *L, int index)
{
	return to_value(L, lua_absindex(L, index), 0);
}

void lua_push_value(lua_State *L, const struct value *v)
{
	luaL_checkstack(L, 6, "values nested too deeply");
	switch (v->type) {
	case VALUE_NIL: lua_pushnil(L); break;
	case VALUE_BOOL: lua_pushboolean(L, v->boolean); break;
	case VALUE_INT: lua_pushinteger(L, v->integer); break;
	case VALUE_NUMBER: lua_pushnumber(L, v->number); break;
	case VALUE_STR: lua_pushlstring(L, v->str.data, v->str.len); break;
	case VALUE_STAMP: lua_push_stamp(L, &v->stamp, v->synced); break;
	case VALUE_JOB: lua_push_job(L, v->job); break;
	case VALUE_LIST:
		lua_createtable(L, (int)v->table.n, 0);
		for (size_t i = 0; i < v->table.n; i++) {
			lua_push_value(L, &v->table.items[i]);
			lua_rawseti(L, -2, (lua_Integer)i + 1);
		}
		break;
	case VALUE_TABLE:
		lua_createtable(L, 0, (int)v->table.n);
		for (size_t i = 0; i < v->table.n; i++) {
			lua_push_value(L, &v->table.items[i]);
			lua_setfield(L, -2, v->table.keys[i]);
		}
		break;
	}
}
