/* client/lua_run.c - the host: making the lua_State, running scripts and lines, errors, exit codes. */
#include <stdlib.h>
#include <string.h>

#include "client/interrupt.h"
#include "client/lua_internal.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/name.h"
#include "lua_embedded.h"

enum { HOOK_COUNT = 10000 }; /* instructions between two looks for Ctrl-C */

/* Code that computes without ever waiting: whoever typed it elsewhere must be able to stop it. */
static void look_around(struct lua_host *h)
{
	enum { LOOK_MS = 100 };
	uint64_t now = clock_mono_ms();
	if (h->idle == NULL || now - h->looked_ms < LOOK_MS)
		return;
	h->looked_ms = now;
	shell_step(h->config.shell, 0);
}

/* How often to look; at each return as well while a line of the prompt runs. */
static void set_hook(lua_State *L, int count)
{
	lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT | (host_of(L)->line != NULL ? LUA_MASKRET : 0), count);
}

/* The line returns: its locals become globals, so that the next line finds them. */
static void keep_locals(lua_State *L, lua_Debug *ar)
{
	struct lua_host *h = host_of(L);
	const char *name;
	lua_getinfo(L, "f", ar);
	bool ours = lua_topointer(L, -1) == h->line;
	lua_pop(L, 1);
	if (!ours)
		return;
	lua_pushglobaltable(L);
	for (int i = 1; (name = lua_getlocal(L, ar, i)) != NULL; i++) {
		if (name[0] == '(') { /* not the user's */
			lua_pop(L, 1);
			continue;
		}
		lua_pushstring(L, name);
		lua_insert(L, -2);
		lua_rawset(L, -3);
	}
	lua_pop(L, 1);
	h->line = NULL;
	set_hook(L, lua_gethookcount(L));
}

void lua_host_keep_locals(struct lua_host *h)
{
	h->line = lua_topointer(h->L, -1);
	set_hook(h->L, lua_gethookcount(h->L));
}

/* While there is something to be raised it is raised at each instruction: a loop around pcall() ends with the first one that
 * is outside of it. */
static void hook(lua_State *L, lua_Debug *ar)
{
	struct lua_host *h = host_of(L);
	if (ar->event == LUA_HOOKRET) {
		if (h->line != NULL)
			keep_locals(L, ar);
		return;
	}
	bool spent = h->sandbox != NULL && !lua_sandbox_spend(h->sandbox, (unsigned)lua_gethookcount(L));
	look_around(h);
	if (ferror(stdout))
		interrupt_output_lost();
	bool raise = spent || (interrupt_pending() != 0 && !h->config.testing);
	if (raise != (lua_gethookcount(L) == 1))
		set_hook(L, raise ? 1 : HOOK_COUNT);
	if (interrupt_pending() != 0)
		lua_check_interrupt(L);
	if (spent)
		luaL_error(L, LUA_SANDBOX_SPENT);
}

/* -- errors */

static bool is_ours(const char *line, size_t len)
{
	static const char *const marks[] = { "\t[C]:", "\tshoal.", "\t[string \"shoal.", "\t(...tail calls...)" };
	for (size_t i = 0; i < COUNT_OF(marks); i++)
		if (len >= strlen(marks[i]) && strncmp(line, marks[i], strlen(marks[i])) == 0)
			return true;
	return false;
}

/* Only the frames of the user's own code; nothing at all if that is a single one, which the message names already. */
int lua_traceback(lua_State *L)
{
	if (!lua_isstring(L, 1))
		return 1;
	luaL_traceback(L, L, NULL, 1);
	const char *p = lua_tostring(L, -1);
	unsigned frames = 0;
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	while (*p != '\0') {
		size_t len = strcspn(p, "\n");
		if (host_of(L)->config.verbose || !is_ours(p, len)) {
			luaL_addchar(&b, '\n');
			luaL_addlstring(&b, p, len);
			frames += p[0] == '\t';
		}
		p += len + (p[len] == '\n');
	}
	luaL_pushresult(&b);
	if (frames <= 1)
		lua_settop(L, 1);
	else {
		lua_pushvalue(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return 1;
}

static void print_line(const char *text)
{
	char shown[4096];
	while (*text != '\0') { /* a line at a time: what came from others cannot drive the terminal */
		size_t len = strcspn(text, "\n");
		size_t tabs = strspn(text, "\t");
		fprintf(stderr, "%.*s%s\n", (int)tabs, text, text_escape(text + tabs, len - tabs, shown, sizeof(shown)));
		text += len + (text[len] == '\n');
	}
}

void host_print_error(struct lua_host *h, lua_State *L, int index, const char *prefix)
{
	struct buf text = { 0 };
	(void)h;
	index = lua_absindex(L, index);
	buf_printf(&text, "shoal: %s%s", prefix, prefix[0] != '\0' ? ": " : "");
	if (lua_is_err(L, index)) {
		struct value v = lua_err_value(L, index);
		const char *where = value_get_text(&v, "where", "");
		buf_printf(&text, "%s%s%s: %s (%s)", where, where[0] != '\0' ? ": " : "", value_get_text(&v, "op", "?"),
		           value_get_text(&v, "message", "?"), value_get_text(&v, "code", "?"));
		value_free(&v);
	} else {
		buf_printf(&text, "%s", luaL_tolstring(L, index, NULL));
		lua_pop(L, 1);
	}
	char *s = buf_steal_str(&text);
	print_line(s != NULL ? s : "shoal: out of memory");
	free(s);
}

int host_error_code(lua_State *L, int index)
{
	int sig = interrupt_pending();
	if (sig != 0)
		return error_exit_code(SHOAL_EINTERNAL);
	if (!lua_is_err(L, index))
		return 1;
	struct value v = lua_err_value(L, index);
	int code = error_exit_code(error_from_word(value_get_text(&v, "code", "")));
	value_free(&v);
	return code;
}

int exit_code_join(int a, int b)
{
	enum { SEVERAL = 20 };
	return a == 0 || a == b ? b : b == 0 ? a : SEVERAL;
}

unsigned lua_host_report(struct lua_host *h, int *code)
{
	struct own_job *j;
	struct failure *f;
	unsigned n = 0;
	while ((j = TAILQ_FIRST(&h->jobs)) != NULL) {
		struct job_info info;
		char text[sizeof(info.error.message) + 400];
		if (shell_job(h->config.shell, j->id, &info) && info.state == JOB_STATE_FAILED) {
			snprintf(text, sizeof(text), "%s%s%s '%s': %s (%s)", j->where, j->where[0] != '\0' ? ": " : "",
			         info.kind == JOB_UPLOAD ? "upload_file" : "download_file", info.file, info.error.message,
			         error_word(info.error.code));
			host_note_failure(h, ++h->last_failure, info.error.code, text);
		}
		TAILQ_REMOVE(&h->jobs, j, link);
		free(j);
	}
	while ((f = TAILQ_FIRST(&h->failures)) != NULL) {
		char *line = str_printf("shoal: %s", f->text != NULL ? f->text : "a failure");
		print_line(line);
		free(line);
		*code = exit_code_join(*code, error_exit_code(f->code));
		n++;
		TAILQ_REMOVE(&h->failures, f, link);
		free(f->text);
		free(f);
	}
	return n;
}

/* -- running */

bool lua_host_call(struct lua_host *h, int nargs, int *nresults, int *code)
{
	lua_State *L = h->L;
	int base = lua_gettop(L) - nargs;
	lua_pushcfunction(L, lua_traceback);
	lua_insert(L, base);
	int rc = lua_pcall(L, nargs, LUA_MULTRET, base);
	lua_remove(L, base);
	if (h->line != NULL) { /* it raised */
		h->line = NULL;
		set_hook(L, lua_gethookcount(L));
	}
	if (rc == LUA_OK) {
		*nresults = lua_gettop(L) - base + 1;
		return true;
	}
	*code = host_error_code(L, -1);
	if (interrupt_pending() == 0)
		host_print_error(h, L, -1, "");
	lua_settop(L, base - 1);
	return false;
}

static int run_loaded(struct lua_host *h, int nargs)
{
	int code = 0, n;
	if (lua_host_call(h, nargs, &n, &code))
		lua_pop(h->L, n);
	return code;
}

int lua_host_script(struct lua_host *h, const char *path)
{
	lua_State *L = h->L;
	if (luaL_loadfilex(L, path, "t") != LUA_OK) {
		host_print_error(h, L, -1, "");
		lua_pop(L, 1);
		return error_exit_code(SHOAL_EUSAGE);
	}
	if (lua_getglobal(L, "arg") != LUA_TTABLE) { /* at the prompt there is none */
		lua_pop(L, 1);
		lua_createtable(L, 0, 0);
	}
	int n = (int)lua_rawlen(L, -1), table = lua_gettop(L);
	luaL_checkstack(L, n + 4, "too many arguments");
	for (int i = 1; i <= n; i++)
		lua_rawgeti(L, table, i);
	lua_remove(L, table);
	return run_loaded(h, n);
}

enum line_state lua_host_compile(struct lua_host *h, const char *name, const char *code, bool *expression, struct error *e)
{
	lua_State *L = h->L;
	*expression = true;
	lua_pushfstring(L, "return %s", code);
	int rc = luaL_loadbufferx(L, lua_tostring(L, -1), lua_rawlen(L, -1), name, "t");
	lua_remove(L, -2);
	if (rc == LUA_OK)
		return LINE_OK;
	lua_pop(L, 1);
	*expression = false;
	if (luaL_loadbufferx(L, code, strlen(code), name, "t") == LUA_OK)
		return LINE_OK;
	size_t len;
	const char *why = lua_tolstring(L, -1, &len);
	bool unfinished = len >= 5 && strcmp(why + len - 5, "<eof>") == 0;
	error_set(e, SHOAL_EUSAGE, "%s", why);
	lua_pop(L, 1);
	return unfinished ? LINE_INCOMPLETE : LINE_BAD;
}

int lua_host_code(struct lua_host *h, const char *name, const char *code)
{
	bool expression;
	struct error e;
	if (lua_host_compile(h, name, code, &expression, &e) != LINE_OK) {
		fprintf(stderr, "shoal: %s\n", e.message);
		return error_exit_code(SHOAL_EUSAGE);
	}
	return run_loaded(h, 0);
}

/* Loaded, embedded, or a file where require() looks: it would list all these places. */
static bool module_is_there(lua_State *L, const char *module)
{
	static const char *const tables[] = { "loaded", "preload" };
	bool there = false;
	lua_push_package(L);
	for (size_t i = 0; i < COUNT_OF(tables) && !there; i++) {
		lua_getfield(L, -1, tables[i]);
		there = lua_getfield(L, -1, module) != LUA_TNIL;
		lua_pop(L, 2);
	}
	lua_getfield(L, -1, "searchpath");
	lua_pushstring(L, module);
	lua_getfield(L, -3, "path");
	there |= lua_pcall(L, 2, 1, 0) == LUA_OK && !lua_isnil(L, -1);
	lua_pop(L, 2);
	return there;
}

int lua_host_require(struct lua_host *h, const char *module)
{
	int n, code = 0;
	if (!module_is_there(h->L, module)) {
		char *line = str_printf("shoal: module '%s' not found: it is in none of the folders of package.path", module);
		print_line(line);
		free(line);
		return error_exit_code(SHOAL_EUSAGE);
	}
	lua_getglobal(h->L, "require");
	lua_pushstring(h->L, module);
	if (!lua_host_call(h, 1, &n, &code))
		return code;
	lua_settop(h->L, lua_gettop(h->L) - n + 1);
	lua_setglobal(h->L, module);
	return 0;
}

static int l_exit(lua_State *L)
{
	struct lua_host *h = host_of(L);
	int code = lua_isboolean(L, 1) ? !lua_toboolean(L, 1) : (int)luaL_optinteger(L, 1, 0);
	if (h->config.exit != NULL)
		h->config.exit(h->config.owner, code);
	exit(code);
}

void lua_push_package(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "shoal.package");
}

static void set_paths(struct lua_host *h)
{
	lua_State *L = h->L;
	const char *more = getenv("SHOAL_PATH");
	lua_getglobal(L, "package");
	lua_pushvalue(L, -1);
	lua_setfield(L, LUA_REGISTRYINDEX, "shoal.package");
	lua_pushfstring(L, "./?.lua%s%s%s%s%s", more != NULL && more[0] != '\0' ? ";" : "", more != NULL ? more : "",
	                h->config.lua_folder != NULL ? ";" : "", h->config.lua_folder != NULL ? h->config.lua_folder : "",
	                h->config.lua_folder != NULL ? "/?.lua" : "");
	lua_setfield(L, -2, "path");
	lua_pushliteral(L, "");
	lua_setfield(L, -2, "cpath");
	lua_getfield(L, -1, "preload");
	for (size_t i = 0; lua_embedded[i].name != NULL; i++) {
		bool test_only = strcmp(lua_embedded[i].name, "shoal.test") == 0;
		if (test_only && !h->config.testing)
			continue;
		char *chunk = str_printf("=%s", lua_embedded[i].name);
		if (luaL_loadbufferx(L, (const char *)lua_embedded[i].data, lua_embedded[i].len, chunk, "t") == LUA_OK)
			lua_setfield(L, -2, lua_embedded[i].name);
		else
			host_print_error(h, L, -1, "embedded module");
		free(chunk);
	}
	lua_pushcfunction(L, luaopen_shoal_fs);
	lua_setfield(L, -2, "shoal.fs");
	if (h->config.testing) {
		lua_pushcfunction(L, luaopen_shoal_proc);
		lua_setfield(L, -2, "shoal.proc");
	}
	lua_pop(L, 2);
}

static int open_all(lua_State *L)
{
	struct lua_host *h = host_of(L);
	luaL_openlibs(L);
	lua_err_open(L);
	lua_job_open(L);
	lua_createtable(L, 0, 32);
	lua_shoal_open(L);
	lua_task_open(L);
	lua_event_open(L);
	lua_bind_open(L);
	if (h->config.build_folder != NULL) {
		lua_pushstring(L, h->config.build_folder);
		lua_setfield(L, -2, "build_folder");
	}
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, "shoal");
	lua_pop(L, 1);
	lua_setglobal(L, "shoal");
	lua_getglobal(L, "os");
	lua_pushcfunction(L, l_exit);
	lua_setfield(L, -2, "exit");
	lua_pop(L, 1);
	lua_watch_globals(L);
	set_paths(h);
	if (h->sandbox != NULL)
		lua_sandbox_open(L);
	return 0;
}

/* An error that nobody catches is a mistake of ours. */
static int on_panic(lua_State *L)
{
	fprintf(stderr, "shoal: an error nobody caught: %s\n", lua_tostring(L, -1));
	return 0; /* and Lua aborts */
}

struct lua_host *lua_host_new(const struct lua_host_config *config)
{
	struct lua_host *h = xalloc(sizeof(*h));
	h->config = *config;
	h->fatal = LUA_NOREF;
	h->woken.match = h->woken.got = LUA_NOREF;
	TAILQ_INIT(&h->tasks);
	TAILQ_INIT(&h->awaits);
	TAILQ_INIT(&h->subscriptions);
	TAILQ_INIT(&h->timers);
	TAILQ_INIT(&h->events);
	TAILQ_INIT(&h->failures);
	TAILQ_INIT(&h->jobs);
	h->sandbox = config->sandbox ? lua_sandbox_new() : NULL;
	h->L = h->sandbox != NULL ? lua_newstate(lua_sandbox_alloc, h->sandbox) : luaL_newstate();
	if (h->L == NULL)
		abort();
	lua_atpanic(h->L, on_panic);
	*(struct lua_host **)lua_getextraspace(h->L) = h;
	lua_pushcfunction(h->L, open_all);
	if (lua_pcall(h->L, 0, 0, 0) != LUA_OK) {
		fprintf(stderr, "shoal: cannot start Lua: %s\n", lua_tostring(h->L, -1));
		abort();
	}
	lua_sethook(h->L, hook, LUA_MASKCOUNT, HOOK_COUNT);
	host_listen(h);
	return h;
}

void lua_host_free(struct lua_host *h)
{
	struct failure *f;
	struct own_job *j;
	struct pending_event *p;
	struct subscription *s;
	if (h == NULL)
		return;
	shell_drop(h->config.shell, h->listener);
	host_close_tasks(h);
	lua_close(h->L);
	lua_sandbox_free(h->sandbox);
	while ((f = TAILQ_FIRST(&h->failures)) != NULL) {
		TAILQ_REMOVE(&h->failures, f, link);
		free(f->text);
		free(f);
	}
	while ((j = TAILQ_FIRST(&h->jobs)) != NULL) {
		TAILQ_REMOVE(&h->jobs, j, link);
		free(j);
	}
	while ((p = TAILQ_FIRST(&h->events)) != NULL) {
		TAILQ_REMOVE(&h->events, p, link);
		value_free(&p->value);
		free(p);
	}
	while ((s = TAILQ_FIRST(&h->subscriptions)) != NULL) {
		TAILQ_REMOVE(&h->subscriptions, s, link);
		free(s);
	}
	value_free(&h->config.settings);
	free(h);
}

lua_State *lua_host_state(struct lua_host *h)
{
	return h->L;
}

struct shell *lua_host_shell(struct lua_host *h)
{
	return h->config.shell;
}

void lua_host_asking(struct lua_host *h, enum cmd_asking asking)
{
	h->config.asking = asking;
}

bool lua_host_strict_globals(struct lua_host *h, bool on)
{
	bool was = h->strict_globals;
	h->strict_globals = on;
	return was;
}
