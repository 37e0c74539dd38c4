/* client/lua_remote.c - commands that are written in Lua, when somebody else than Lua calls them: the control socket.
 *
 * Each runs in a task of its own. What gives a set of jobs is waited for: a set cannot be handed out. */
#include <stdlib.h>
#include <string.h>

#include "client/lua_internal.h"
#include "core/base/mem.h"

struct lua_remote {
	lua_remote_fn *done; /* NULL: nobody waits any more */
	void *arg;
};

static struct lua_remote *remote_of(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

static void tell(lua_State *L, struct value *result, const struct error *e)
{
	struct lua_remote *r = remote_of(L);
	lua_remote_fn *done = r->done;
	r->done = NULL;
	if (done != NULL)
		done(r->arg, result, e);
	value_free(result);
}

/* The error at `index`: an err object, or the text of a wrong call. */
static void tell_error(lua_State *L, int index)
{
	struct error e = { 0 };
	struct value none = { 0 };
	if (lua_is_err(L, index)) {
		struct value v = lua_err_value(L, index);
		error_set(&e, error_from_word(value_get_text(&v, "code", "internal")), "%s", value_get_text(&v, "message", "?"));
		value_free(&v);
	} else {
		error_set(&e, SHOAL_EUSAGE, "%s", luaL_tolstring(L, index, NULL));
		lua_pop(L, 1);
	}
	tell(L, &none, &e);
}

static int is_over(lua_State *L, int status, lua_KContext ctx)
{
	struct error e = { 0 };
	(void)ctx;
	if (status != LUA_OK && status != LUA_YIELD) {
		tell_error(L, -1);
	} else if (lua_gettop(L) >= 2 && lua_isnil(L, 1) && lua_is_err(L, 2)) {
		tell_error(L, 2);
	} else {
		lua_settop(L, 1);
		struct value v = lua_to_value(L, 1);
		if (v.failed)
			v = value_bool(true); /* a handle that only Lua can hold */
		tell(L, &v, &e);
	}
	return 0;
}

static int is_called(lua_State *L, int status, lua_KContext ctx)
{
	if ((status != LUA_OK && status != LUA_YIELD) || lua_gettop(L) == 0 || !lua_istable(L, 1) || lua_is_err(L, 1))
		return is_over(L, status, ctx);
	bool is_set = lua_getfield(L, 1, "report") == LUA_TFUNCTION;
	lua_pop(L, 1);
	if (!is_set)
		return is_over(L, status, ctx);
	lua_getfield(L, 1, "wait");
	lua_insert(L, 1);
	lua_settop(L, 2);
	return is_over(L, lua_pcallk(L, 1, LUA_MULTRET, 0, 0, is_over), 0);
}

/* The command and its arguments lie on the stack. */
static int l_remote(lua_State *L)
{
	return is_called(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, is_called), 0);
}

struct lua_remote *lua_host_start(struct lua_host *h, const struct cmd *cmd, const struct value *argv, unsigned n,
                                  lua_remote_fn *done, void *arg)
{
	lua_State *L = h->L;
	if (!lua_checkstack(L, CMD_MAX_ARGS + 8))
		return NULL;
	struct lua_remote *r = lua_newuserdatauv(L, sizeof(*r), 0);
	*r = (struct lua_remote){ .done = done, .arg = arg };
	lua_pushcclosure(L, l_remote, 1);
	lua_push_command(L, cmd);
	for (unsigned i = 0; i < n; i++)
		lua_push_value(L, &argv[i]);
	struct task *t = host_spawn(L, n + 1, true);
	if (t != NULL)
		t->work = true;
	return t != NULL ? r : NULL;
}

void lua_remote_forget(struct lua_remote *r)
{
	r->done = NULL;
}
