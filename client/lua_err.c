/* client/lua_err.c - err objects: what went wrong, and whether anybody has looked.
 *
 * An err is a table without fields of its own; they lie in a second table behind a key that scripts cannot name, so
 * that every look goes through the metatable. It is on the host's list of failures until somebody looks. */
#include <stdlib.h>
#include <string.h>

#include "client/lua_internal.h"
#include "core/base/mem.h"

static const char hidden; /* its address is the key */

/* Pushes the table of fields of the err at index. */
static void push_fields(lua_State *L, int index)
{
	lua_rawgetp(L, index, &hidden);
}

bool lua_is_err(lua_State *L, int index)
{
	if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index))
		return false;
	luaL_getmetatable(L, ERR_TYPE);
	bool same = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return same;
}

void host_note_failure(struct lua_host *h, uint64_t serial, enum shoal_err code, const char *text)
{
	struct failure *f = try_alloc(sizeof(*f));
	if (f == NULL)
		return;
	f->serial = serial;
	f->code = code;
	f->text = try_strdup(text);
	TAILQ_INSERT_TAIL(&h->failures, f, link);
}

void host_forget_failure(struct lua_host *h, uint64_t serial)
{
	struct failure *f;
	TAILQ_FOREACH_REVERSE(f, &h->failures, failure_list, link)
		if (f->serial == serial) {
			TAILQ_REMOVE(&h->failures, f, link);
			free(f->text);
			free(f);
			return;
		}
}

void lua_err_read(lua_State *L, int index)
{
	push_fields(L, index);
	lua_rawgetp(L, -1, &hidden); /* its serial, until it has been read */
	if (lua_isinteger(L, -1)) {
		host_forget_failure(host_of(L), (uint64_t)lua_tointeger(L, -1));
		lua_pushnil(L);
		lua_rawsetp(L, -3, &hidden);
	}
	lua_pop(L, 2);
}

struct value lua_err_value(lua_State *L, int index)
{
	static const char *const names[] = { "code", "message", "op", "group", "file", "user", "tracker", "retryable", "where" };
	struct value out = value_table();
	index = lua_absindex(L, index);
	lua_err_read(L, index);
	push_fields(L, index);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		lua_pushstring(L, names[i]);
		lua_rawget(L, -2);
		if (!lua_isnil(L, -1))
			value_set(&out, names[i], lua_to_value(L, -1));
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return out;
}

static int err_index(lua_State *L)
{
	lua_err_read(L, 1);
	push_fields(L, 1);
	lua_pushvalue(L, 2);
	lua_rawget(L, -2);
	return 1;
}

static int err_tostring(lua_State *L)
{
	lua_err_read(L, 1);
	push_fields(L, 1);
	lua_getfield(L, -1, "message");
	return 1;
}

static int err_concat(lua_State *L)
{
	luaL_tolstring(L, 1, NULL);
	luaL_tolstring(L, 2, NULL);
	lua_concat(L, 2);
	return 1;
}

static int err_next(lua_State *L)
{
	lua_settop(L, 2);
	while (lua_next(L, 1) != 0) {
		if (lua_type(L, -2) != LUA_TLIGHTUSERDATA)
			return 2;
		lua_pop(L, 1); /* the serial is not for showing */
	}
	return 0;
}

static int err_pairs(lua_State *L)
{
	lua_err_read(L, 1);
	lua_pushcfunction(L, err_next);
	push_fields(L, 1);
	return 2;
}

static bool retryable(enum shoal_err code)
{
	return code == SHOAL_EOFFLINE || code == SHOAL_EBUSY || code == SHOAL_ETIMEOUT || code == SHOAL_ENOSEEDER ||
	       code == SHOAL_ESTALLED || code == SHOAL_EDISKFULL || code == SHOAL_EQUOTA;
}

/* group, file and user come from the arguments of those kinds. */
static void set_names(lua_State *L, const struct cmd_run *run)
{
	for (unsigned i = 0; i < CMD_MAX_ARGS && run->cmd->args[i].name != NULL; i++) {
		enum arg_kind kind = run->cmd->args[i].kind;
		const char *field = kind == ARG_GROUP ? "group" : kind == ARG_FILE || kind == ARG_PATH ? "file" : "user";
		if (run->argv[i].type == VALUE_STR &&
		    (kind == ARG_GROUP || kind == ARG_FILE || kind == ARG_USER ||
		     (kind == ARG_PATH && run->cmd->args[1].kind != ARG_FILE))) {
			lua_pushstring(L, value_text(&run->argv[i], ""));
			lua_setfield(L, -2, field);
		}
	}
	for (size_t i = 0; run->details.type == VALUE_TABLE && i < run->details.table.n; i++) {
		lua_push_value(L, &run->details.table.items[i]);
		lua_setfield(L, -2, run->details.table.keys[i]);
	}
}

void lua_push_err(lua_State *L, const struct error *e, const struct cmd_run *run, const char *op, const char *where)
{
	struct lua_host *h = host_of(L);
	char text[ERROR_TEXT_MAX + 200];
	uint64_t serial = ++h->last_failure;
	luaL_checkstack(L, 8, NULL);
	lua_createtable(L, 0, 1);
	lua_createtable(L, 0, 10);
	op = run != NULL ? value_get_text(&run->details, "op", op) : op;
	if (run != NULL)
		set_names(L, run);
	lua_pushstring(L, error_word(e->code));
	lua_setfield(L, -2, "code");
	lua_pushstring(L, e->message);
	lua_setfield(L, -2, "message");
	lua_pushstring(L, op);
	lua_setfield(L, -2, "op");
	lua_pushboolean(L, retryable(e->code));
	lua_setfield(L, -2, "retryable");
	if (shell_state(h->config.shell)->tracker != 0) {
		lua_pushinteger(L, shell_state(h->config.shell)->tracker);
		lua_setfield(L, -2, "tracker");
	}
	if (where[0] != '\0') {
		lua_pushstring(L, where);
		lua_setfield(L, -2, "where");
	}
	lua_pushinteger(L, (lua_Integer)serial);
	lua_rawsetp(L, -2, &hidden);
	lua_rawsetp(L, -2, &hidden);
	luaL_setmetatable(L, ERR_TYPE);
	snprintf(text, sizeof(text), "%s%s%s: %s (%s)", where, where[0] != '\0' ? ": " : "", op, e->message,
	         error_word(e->code));
	host_note_failure(h, serial, e->code, text);
}

static bool is_strict(lua_State *L)
{
	int top = lua_gettop(L);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	bool on = lua_getfield(L, -1, "shoal") == LUA_TTABLE && lua_getfield(L, -1, "strict") == LUA_TBOOLEAN &&
	          lua_toboolean(L, -1);
	lua_settop(L, top);
	return on;
}

int lua_fail(lua_State *L, const struct error *e, const struct cmd_run *run, const char *op)
{
	char where[80] = "";
	if (run != NULL)
		snprintf(where, sizeof(where), "%s", run->where);
	else
		lua_where(L, 1, where, sizeof(where));
	bool strict = is_strict(L);
	luaL_pushfail(L);
	lua_push_err(L, e, run, op, where);
	if (strict) {
		lua_err_read(L, -1);
		return lua_error(L);
	}
	return 2;
}

/* assert() as in Lua, and the err counts as looked at: it is on its way to somebody. */
static int l_assert(lua_State *L)
{
	if (lua_toboolean(L, 1))
		return lua_gettop(L);
	luaL_checkany(L, 1);
	lua_remove(L, 1);
	lua_pushliteral(L, "assertion failed!");
	lua_settop(L, 1);
	if (lua_is_err(L, 1))
		lua_err_read(L, 1);
	return lua_error(L);
}

void lua_err_open(lua_State *L)
{
	static const luaL_Reg meta[] = { { "__index", err_index },   { "__tostring", err_tostring },
		                         { "__concat", err_concat }, { "__pairs", err_pairs },
		                         { NULL, NULL } };
	luaL_newmetatable(L, ERR_TYPE);
	luaL_setfuncs(L, meta, 0);
	lua_pop(L, 1);
	lua_register(L, "assert", l_assert);
}
