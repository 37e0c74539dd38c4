/* client/lua_shoal.c - the module `shoal`: what is neither a command nor an event. */
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <unistd.h>

#include "client/config.h"
#include "client/format.h"
#include "client/lua_internal.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/units.h"

enum { SHOAL_API = 1 };

static int l_require_api(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 1);
	if (n < 1 || n > SHOAL_API)
		return luaL_error(L, "this script needs shoal's API level %d; shoal " SHOAL_VERSION " has level %d", (int)n,
		                  SHOAL_API);
	return 0;
}

/* A value on its way hangs on the Lua stack, so that it is freed when something raises. */
static int value_gc(lua_State *L)
{
	value_free(lua_touserdata(L, 1));
	return 0;
}

static struct value *push_holder(lua_State *L, struct value v)
{
	struct value *held = lua_newuserdatauv(L, sizeof(*held), 0);
	*held = v;
	if (luaL_newmetatable(L, "shoal.value")) {
		lua_pushcfunction(L, value_gc);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return held;
}

static int l_config(lua_State *L)
{
	struct lua_host *h = host_of(L);
	if (!lua_isnoneornil(L, 1)) {
		struct error e;
		luaL_checktype(L, 1, LUA_TTABLE);
		struct value *more = push_holder(L, lua_to_value(L, 1));
		if (more->type == VALUE_LIST && more->table.n == 0)
			more->type = VALUE_TABLE;
		if (more->failed || more->type != VALUE_TABLE || cmd_check_table(config_keys, more, &e) != SHOAL_OK)
			return luaL_error(L, "shoal.config: %s", more->type == VALUE_TABLE && !more->failed ? e.message : "not a table of settings");
		for (size_t i = 0; i < more->table.n; i++)
			value_set(&h->config.settings, more->table.keys[i], value_copy(&more->table.items[i]));
	}
	lua_push_value(L, &h->config.settings);
	return 1;
}

static int l_hash(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	lua_sandbox_check_path(L, path);
	uint8_t block[65536];
	struct error e;
	struct sha256 sum;
	struct id32 id;
	char text[HEX32_SIZE];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	sha256_init(&sum);
	while (fd >= 0 && (n = read(fd, block, sizeof(block))) > 0)
		sha256_update(&sum, block, (size_t)n);
	if (fd < 0 || n < 0) {
		error_errno(&e, "cannot read '%s'", path);
		if (fd >= 0)
			close(fd);
		return lua_fail(L, &e, NULL, "shoal.hash");
	}
	close(fd);
	sha256_final(&sum, &id);
	hex_encode(id.b, sizeof(id.b), text);
	lua_pushstring(L, text);
	return 1;
}

static int l_glob(lua_State *L)
{
	glob_t g = { 0 };
	const char *pattern = luaL_checkstring(L, 1);
	if (host_of(L)->sandbox != NULL)
		return luaL_error(L, "--sandbox: shoal.glob is not to be had: it looks everywhere");
	int rc = glob(pattern, GLOB_TILDE, NULL, &g);
	lua_createtable(L, 0, 0);
	for (size_t i = 0; rc == 0 && i < g.gl_pathc; i++) {
		lua_pushstring(L, g.gl_pathv[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	globfree(&g);
	return 1;
}

/* fail(code, message [, op]): nil, err, as commands give them; so that a function of one's own fails as they do. */
static int l_fail(lua_State *L)
{
	const char *word = luaL_checkstring(L, 1), *message = luaL_checkstring(L, 2);
	struct error e;
	enum shoal_err code = error_from_word(word);
	luaL_argcheck(L, code != SHOAL_OK && (code != SHOAL_EINTERNAL || strcmp(word, "internal") == 0), 1, "no such code");
	error_set(&e, code, "%s", message);
	return lua_fail(L, &e, NULL, luaL_optstring(L, 3, "shoal.fail"));
}

/* -- shoal.fmt */

static uint64_t check_amount(lua_State *L)
{
	lua_Number n = luaL_checknumber(L, 1);
	return n > 0 && n < 1e19 ? (uint64_t)n : 0;
}

static int l_fmt_bytes(lua_State *L)
{
	char text[UNITS_TEXT];
	lua_pushstring(L, units_bytes(check_amount(L), text));
	return 1;
}

static int l_fmt_rate(lua_State *L)
{
	char text[UNITS_TEXT + 4];
	format_rate(check_amount(L), text, sizeof(text));
	lua_pushstring(L, text);
	return 1;
}

static int l_fmt_time(lua_State *L)
{
	char text[UNITS_TEXT];
	lua_pushstring(L, units_time(check_amount(L), text));
	return 1;
}

static int l_fmt_table(lua_State *L)
{
	struct format_opts opts = { .full = true };
	struct buf out = { 0 };
	luaL_checktype(L, 1, LUA_TTABLE);
	struct value *rows = push_holder(L, lua_to_value(L, 1));
	if (rows->failed)
		return luaL_error(L, "shoal.fmt.table: not a list of rows");
	format_value(&out, rows, &opts);
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	if (out.data != NULL)
		luaL_addlstring(&b, (char *)out.data, out.len);
	buf_free(&out);
	luaL_pushresult(&b);
	return 1;
}

/* -- shoal.json */

static int l_json_encode(lua_State *L)
{
	luaL_checkany(L, 1);
	struct value *v = push_holder(L, lua_to_value(L, 1));
	json_t *j = v->failed ? NULL : value_to_json(v);
	char *text = j != NULL ? json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	json_decref(j);
	if (text == NULL)
		return luaL_error(L, "shoal.json.encode: this cannot be written as JSON");
	lua_pushstring(L, text);
	free(text);
	return 1;
}

static int l_json_decode(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	json_error_t why;
	json_t *j = json_loadb(text, len, JSON_DECODE_ANY, &why);
	if (j == NULL) {
		struct error e;
		error_set(&e, SHOAL_EUSAGE, "not JSON: line %d: %s", why.line, why.text);
		return lua_fail(L, &e, NULL, "shoal.json.decode");
	}
	struct value *v = push_holder(L, value_from_json(j));
	json_decref(j);
	lua_push_value(L, v);
	return 1;
}

/* -- shoal.log */

static int l_log(lua_State *L)
{
	enum log_level level = (enum log_level)lua_tointeger(L, lua_upvalueindex(1));
	if (lua_gettop(L) > 1) {
		lua_getglobal(L, "string");
		lua_getfield(L, -1, "format");
		lua_insert(L, 1);
		lua_pop(L, 1);
		lua_call(L, lua_gettop(L) - 1, 1);
	}
	log_line(host_of(L)->config.log, level, "script", "%s", luaL_tolstring(L, 1, NULL));
	return 0;
}

static void add_log(lua_State *L)
{
	static const char *const names[] = { [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn",
		                             [LOG_ERROR] = "error" };
	lua_createtable(L, 0, 4);
	for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
		lua_pushinteger(L, i);
		lua_pushcclosure(L, l_log, 1);
		lua_setfield(L, -2, names[i]);
	}
	lua_setfield(L, -2, "log");
}

void lua_shoal_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "require_api", l_require_api }, { "config", l_config }, { "hash", l_hash },
		                              { "glob", l_glob },               { "fail", l_fail },     { "reference", lua_reference },
		                              { NULL, NULL } };
	static const luaL_Reg fmt[] = { { "bytes", l_fmt_bytes }, { "rate", l_fmt_rate }, { "time", l_fmt_time },
		                        { "table", l_fmt_table }, { NULL, NULL } };
	static const luaL_Reg json[] = { { "encode", l_json_encode }, { "decode", l_json_decode }, { NULL, NULL } };
	luaL_setfuncs(L, functions, 0);
	luaL_newlib(L, fmt);
	lua_setfield(L, -2, "fmt");
	luaL_newlib(L, json);
	lua_setfield(L, -2, "json");
	add_log(L);
	lua_pushinteger(L, SHOAL_API);
	lua_setfield(L, -2, "api");
	lua_pushliteral(L, SHOAL_VERSION);
	lua_setfield(L, -2, "version");
	lua_pushboolean(L, host_of(L)->config.strict);
	lua_setfield(L, -2, "strict");
}
