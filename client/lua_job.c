/* client/lua_job.c - jobs and stamps as Lua sees them: a number, and opaque bytes. */
#include <stdlib.h>
#include <string.h>

#include "client/lua_internal.h"
#include "core/base/mem.h"

void host_own_job(struct lua_host *h, uint64_t id, const char *where)
{
	struct own_job *j = try_alloc(sizeof(*j));
	if (j == NULL)
		return;
	j->id = id;
	snprintf(j->where, sizeof(j->where), "%s", where);
	TAILQ_INSERT_TAIL(&h->jobs, j, link);
}

void lua_host_looked(struct lua_host *h, uint64_t id)
{
	struct own_job *j;
	TAILQ_FOREACH(j, &h->jobs, link)
		if (j->id == id) {
			TAILQ_REMOVE(&h->jobs, j, link);
			free(j);
			return;
		}
}

void lua_push_job(lua_State *L, uint64_t id)
{
	uint64_t *u = lua_newuserdatauv(L, sizeof(*u), 0);
	*u = id;
	luaL_setmetatable(L, JOB_TYPE);
}

/* Its user value is how many other trackers had it, if that was waited for. */
void lua_push_stamp(lua_State *L, const struct stamp *s, int synced)
{
	struct stamp *u = lua_newuserdatauv(L, sizeof(*u), 1);
	*u = *s;
	if (synced >= 0) {
		lua_pushinteger(L, synced);
		lua_setiuservalue(L, -2, 1);
	}
	luaL_setmetatable(L, STAMP_TYPE);
}

static int push_field(lua_State *L, uint64_t id, const char *key)
{
	struct lua_host *h = host_of(L);
	struct job_info job;
	if (strcmp(key, "id") == 0) {
		lua_pushinteger(L, (lua_Integer)id);
		return 1;
	}
	if (!shell_job(h->config.shell, id, &job)) {
		luaL_pushfail(L);
		return 1;
	}
	bool outcome = strcmp(key, "error") == 0 || strcmp(key, "state") == 0;
	if (outcome && job_state_final(job.state))
		lua_host_looked(h, id);
	if (strcmp(key, "error") == 0) {
		if (job.error.code == SHOAL_OK) {
			lua_pushnil(L);
		} else {
			lua_push_err(L, &job.error, NULL, job.kind == JOB_UPLOAD ? "upload_file" : "download_file", "");
			lua_err_read(L, -1);
		}
		return 1;
	}
	struct value info = value_job_info(&job);
	const struct value *v = value_get(&info, key);
	if (v != NULL)
		lua_push_value(L, v);
	else
		lua_pushnil(L);
	value_free(&info);
	return 1;
}

static int job_index(lua_State *L)
{
	const uint64_t *id = luaL_checkudata(L, 1, JOB_TYPE);
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	char name[64];
	snprintf(name, sizeof(name), "job_%s", key);
	const struct cmd *cmd = cmd_find(name);
	if (strcmp(key, "on") == 0) {
		lua_pushcfunction(L, l_job_on);
		return 1;
	}
	if (cmd != NULL && (cmd->flags & CMD_METHOD) != 0) {
		lua_push_command(L, cmd);
		return 1;
	}
	return push_field(L, *id, key);
}

static int job_tostring(lua_State *L)
{
	const uint64_t *id = luaL_checkudata(L, 1, JOB_TYPE);
	struct job_info job;
	if (shell_job(host_of(L)->config.shell, *id, &job))
		lua_pushfstring(L, "job %I: %s '%s', %s", (lua_Integer)*id, job.kind == JOB_UPLOAD ? "upload" : "download", job.file,
		                job_state_word(job.state));
	else
		lua_pushfstring(L, "job %I", (lua_Integer)*id);
	return 1;
}

static int job_eq(lua_State *L)
{
	const uint64_t *a = luaL_testudata(L, 1, JOB_TYPE), *b = luaL_testudata(L, 2, JOB_TYPE);
	lua_pushboolean(L, a != NULL && b != NULL && *a == *b);
	return 1;
}

static int stamp_tostring(lua_State *L)
{
	lua_pushliteral(L, "ok");
	return 1;
}

static int stamp_index(lua_State *L)
{
	const struct stamp *s = luaL_checkudata(L, 1, STAMP_TYPE);
	char text[STAMP_TEXT_SIZE];
	if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "text") == 0)
		lua_pushstring(L, stamp_format(s, text));
	else if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "synced") == 0)
		lua_getiuservalue(L, 1, 1);
	else
		lua_pushnil(L);
	return 1;
}

static int stamp_eq(lua_State *L)
{
	const struct stamp *a = luaL_testudata(L, 1, STAMP_TYPE), *b = luaL_testudata(L, 2, STAMP_TYPE);
	lua_pushboolean(L, a != NULL && b != NULL && stamp_cmp(a, b) == 0);
	return 1;
}

void lua_job_open(lua_State *L)
{
	static const luaL_Reg job[] = {
		{ "__index", job_index }, { "__tostring", job_tostring }, { "__eq", job_eq }, { NULL, NULL }
	};
	static const luaL_Reg stamp[] = {
		{ "__index", stamp_index }, { "__tostring", stamp_tostring }, { "__eq", stamp_eq }, { NULL, NULL }
	};
	luaL_newmetatable(L, JOB_TYPE);
	luaL_setfuncs(L, job, 0);
	luaL_newmetatable(L, STAMP_TYPE);
	luaL_setfuncs(L, stamp, 0);
	lua_pop(L, 2);
}
