/* client/lua_sandbox.c - --sandbox: scripts of others. What they may do stands in docs/scripting.md.
 *
 * The library is cut down to what reaches no file, program or C function; commands and the module shoal take paths
 * below the working directory only; memory and instructions have an end that no pcall() can get past. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lua_internal.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/name.h"

#define MEMORY_MOST ((size_t)256 << 20)
#define INSTRUCTIONS_MOST UINT64_C(500000000) /* some 5 s of computing */
#define COROUTINE_COSTS 10000u                 /* it counts its own instructions, in steps of so many */

struct lua_sandbox {
	char *root;      /* the working directory, without symbolic links */
	size_t memory;   /* in use by Lua */
	uint64_t spent;  /* instructions */
};

struct lua_sandbox *lua_sandbox_new(void)
{
	struct lua_sandbox *s = xalloc(sizeof(*s));

	s->root = realpath(".", NULL);
	if (s->root == NULL) /* a working directory that is gone: nothing is below it */
		s->root = xstrdup("/nowhere/at/all");
	return s;
}

void lua_sandbox_free(struct lua_sandbox *s)
{
	if (s == NULL)
		return;
	free(s->root);
	free(s);
}

/* lua_Alloc. What is there can always be made smaller. */
void *lua_sandbox_alloc(void *ud, void *ptr, size_t old, size_t size)
{
	struct lua_sandbox *s = ud;
	size_t was = ptr != NULL ? old : 0; /* without a block, `old` is its kind */

	if (size == 0) {
		free(ptr);
		s->memory -= was;
		return NULL;
	}
	if (size > was && size - was > MEMORY_MOST - s->memory)
		return NULL;
	void *p = realloc(ptr, size);
	if (p != NULL)
		s->memory = s->memory - was + size;
	return p;
}

bool lua_sandbox_spend(struct lua_sandbox *s, unsigned n)
{
	s->spent += n;
	return s->spent < INSTRUCTIONS_MOST;
}

/* -- paths */

static bool is_below(const char *root, const char *real)
{
	size_t len = strlen(root);
	return strcmp(root, "/") == 0 || (strncmp(real, root, len) == 0 && (real[len] == '/' || real[len] == '\0'));
}

/* Where `path` is, or would be made: what is there of it is taken without symbolic links. */
static bool is_inside(const struct lua_sandbox *s, const char *path)
{
	char *rest = path[0] == '/' ? xstrdup(path) : str_printf("%s/%s", s->root, path), *real, *slash;
	bool inside = false;

	while ((real = realpath(rest, NULL)) == NULL && errno == ENOENT && (slash = strrchr(rest, '/')) != NULL && slash != rest) {
		if (strcmp(slash, "/..") == 0)
			break; /* of something that is not there */
		*slash = '\0';
	}
	if (real != NULL)
		inside = is_below(s->root, real);
	free(real);
	free(rest);
	return inside;
}

void lua_sandbox_check_path(lua_State *L, const char *path)
{
	const struct lua_sandbox *s = host_of(L)->sandbox;
	char shown[200];

	if (s != NULL && (path[0] == '~' || !is_inside(s, path)))
		luaL_error(L, "--sandbox: '%s' is not below the working directory", text_escape(path, strlen(path), shown, sizeof(shown)));
}

void lua_sandbox_check_run(lua_State *L, const struct cmd_run *run)
{
	if (host_of(L)->sandbox == NULL)
		return;
	if (run->cmd->module != NULL)
		luaL_error(L, "--sandbox: '%s' is not to be had: it works on files by itself", run->cmd->name);
	for (unsigned i = 0; i < cmd_count_args(run->cmd); i++)
		if (run->cmd->args[i].kind == ARG_PATH && run->argv[i].type == VALUE_STR)
			lua_sandbox_check_path(L, value_text(&run->argv[i], ""));
}

/* -- the library */

static int load_text(lua_State *L)
{
	if (lua_gettop(L) < 3)
		lua_settop(L, 3);
	lua_pushliteral(L, "t");
	lua_replace(L, 3);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

static int new_coroutine(lua_State *L)
{
	if (!lua_sandbox_spend(host_of(L)->sandbox, COROUTINE_COSTS))
		return luaL_error(L, LUA_SANDBOX_SPENT);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

/* The message handler runs when the error has gone up: in Lua's own xpcall() it runs where the error is, and for an error
 * that counting instructions has raised there is nobody who counts the handler's. */
static int after_xpcall(lua_State *L, int status, lua_KContext ctx)
{
	(void)ctx;
	if (status == LUA_OK || status == LUA_YIELD)
		return lua_gettop(L) - 1;
	lua_pushvalue(L, 1);
	lua_insert(L, -2);
	lua_call(L, 1, 1);
	lua_pushboolean(L, 0);
	lua_insert(L, -2);
	return 2;
}

static int late_xpcall(lua_State *L)
{
	luaL_checktype(L, 2, LUA_TFUNCTION);
	int nargs = lua_gettop(L) - 2;
	lua_pushvalue(L, 1); /* function, handler, arguments -> handler, true, function, arguments */
	lua_insert(L, 3);
	lua_remove(L, 1);
	lua_pushboolean(L, 1);
	lua_insert(L, 2);
	return after_xpcall(L, lua_pcallk(L, nargs, LUA_MULTRET, 0, 0, after_xpcall), 0);
}

/* Nor does anybody count a finalizer's instructions. */
static int set_metatable(lua_State *L)
{
	if (lua_istable(L, 2)) {
		lua_pushliteral(L, "__gc");
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "--sandbox: a metatable with __gc is not to be had");
		lua_pop(L, 1);
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	return 1;
}

/* Puts a closure around a field of the table on the top. */
static void wrap(lua_State *L, const char *name, lua_CFunction fn)
{
	lua_getfield(L, -1, name);
	lua_pushcclosure(L, fn, 1);
	lua_setfield(L, -2, name);
}

static void drop(lua_State *L, const char *const names[])
{
	for (; *names != NULL; names++) {
		lua_pushnil(L);
		lua_setfield(L, -2, *names);
	}
}

/* Modules: those of the client that touch no file, and Lua text where the command line looks for it. */
static void close_modules(lua_State *L)
{
	static const char *const loaded[] = { "io", "debug", "package", NULL }, *const own[] = { "shoal.fs", "shoal.batch", "shoal.folder", NULL };

	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	drop(L, loaded);
	lua_pop(L, 1);
	lua_push_package(L);
	lua_getfield(L, -1, "preload");
	drop(L, own);
	lua_pop(L, 1);
	lua_getfield(L, -1, "searchers");
	lua_pushnil(L);
	lua_rawseti(L, -2, 4);
	lua_pushnil(L);
	lua_rawseti(L, -2, 3);
	lua_pop(L, 2);
}

void lua_sandbox_open(lua_State *L)
{
	static const char *const globals[] = { "io", "debug", "package", "dofile", "loadfile", NULL };
	static const char *const of_os[] = { "execute", "remove", "rename", "tmpname", "getenv", "setlocale", NULL };
	static const char *const of_string[] = { "dump", NULL };

	close_modules(L);
	lua_pushglobaltable(L);
	drop(L, globals);
	wrap(L, "load", load_text);
	wrap(L, "setmetatable", set_metatable);
	lua_pushcfunction(L, late_xpcall);
	lua_setfield(L, -2, "xpcall");
	lua_getfield(L, -1, "os");
	drop(L, of_os);
	lua_pop(L, 1);
	lua_getfield(L, -1, "string");
	drop(L, of_string);
	lua_pop(L, 1);
	lua_getfield(L, -1, "coroutine");
	wrap(L, "create", new_coroutine);
	wrap(L, "wrap", new_coroutine);
	lua_pop(L, 2);
}
