/* client/lua_event.c - events: shoal.on, shoal.wait_event, shoal.fire, job:on.
 *
 * The engine's news are kept as values until the Lua side has its turn; progress of one job is merged, all else is kept
 * in order. Nothing is kept when nobody listens. */
#include <stdlib.h>
#include <string.h>

#include "client/event_value.h"
#include "client/lua_internal.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

static bool matches(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);
	if (n != 0 && pattern[n - 1] == '*')
		return strncmp(pattern, name, n - 1) == 0;
	return strcmp(pattern, name) == 0;
}

static bool somebody_listens(const struct lua_host *h)
{
	struct await *a;
	struct task *t;
	if (!TAILQ_EMPTY(&h->subscriptions))
		return true;
	TAILQ_FOREACH(a, &h->awaits, link)
		if (a->kind == AWAIT_EVENT)
			return true;
	TAILQ_FOREACH(t, &h->tasks, link)
		if (t->await.kind == AWAIT_EVENT)
			return true;
	return false;
}

static void keep(struct lua_host *h, struct value event)
{
	bool progress = strcmp(value_get_text(&event, "event", ""), "job.progress") == 0;
	const struct value *job = value_get(&event, "job");
	uint64_t id = job != NULL && job->type == VALUE_JOB ? job->job : 0;
	struct pending_event *p;
	TAILQ_FOREACH(p, &h->events, link)
		if (progress && p->progress && p->job == id) {
			value_free(&p->value);
			p->value = event;
			return;
		}
	p = event.failed ? NULL : try_alloc(sizeof(*p));
	if (p == NULL) {
		value_free(&event);
		return;
	}
	*p = (struct pending_event){ .value = event, .progress = progress, .job = id };
	TAILQ_INSERT_TAIL(&h->events, p, link);
}

void host_fire(struct lua_host *h, struct value event)
{
	if (somebody_listens(h))
		keep(h, event);
	else
		value_free(&event);
}

static void on_event(void *arg, const struct client_event *ev)
{
	struct lua_host *h = arg;
	char name[EVENT_NAME_MAX];
	if (client_event_name(ev, name) != NULL && somebody_listens(h))
		keep(h, client_event_value(ev));
}

void host_listen(struct lua_host *h)
{
	h->listener = shell_listen(h->config.shell, on_event, h);
}

/* Does the table on top of the stack fit what is waited for? */
static bool await_matches(lua_State *L, const struct await *a)
{
	if (a->match == LUA_NOREF)
		return true;
	bool fits = true;
	lua_rawgeti(L, LUA_REGISTRYINDEX, a->match);
	if (lua_isfunction(L, -1)) {
		lua_pushvalue(L, -2);
		fits = lua_pcall(L, 1, 1, 0) == LUA_OK && lua_toboolean(L, -1);
		lua_pop(L, 1);
		return fits;
	}
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		lua_pushvalue(L, -2);
		lua_gettable(L, -5);
		fits = fits && lua_compare(L, -1, -2, LUA_OPEQ);
		lua_pop(L, 2);
	}
	lua_pop(L, 1);
	return fits;
}

static void offer(lua_State *L, struct await *a, const char *name)
{
	if (a->kind != AWAIT_EVENT || a->got != LUA_NOREF || !matches(a->event, name) || !await_matches(L, a))
		return;
	lua_pushvalue(L, -1);
	a->got = luaL_ref(L, LUA_REGISTRYINDEX);
}

static void dispatch(struct lua_host *h, const struct pending_event *p)
{
	const char *name = value_get_text(&p->value, "event", "");
	lua_State *L = h->L;
	struct subscription *s;
	struct await *a;
	struct task *t;
	if (!lua_checkstack(L, 10))
		return;
	lua_push_value(L, &p->value);
	TAILQ_FOREACH(s, &h->subscriptions, link)
		if (!s->dead && matches(s->event, name) && (s->job == 0 || s->job == p->job)) {
			lua_rawgeti(L, LUA_REGISTRYINDEX, s->fn);
			lua_pushvalue(L, -2);
			host_spawn(L, 1, true);
		}
	TAILQ_FOREACH(a, &h->awaits, link)
		offer(L, a, name);
	TAILQ_FOREACH(t, &h->tasks, link)
		offer(L, &t->await, name);
	lua_pop(L, 1);
}

static void sweep(struct lua_host *h)
{
	struct subscription *s = TAILQ_FIRST(&h->subscriptions);
	while (s != NULL) {
		struct subscription *next = TAILQ_NEXT(s, link);
		if (s->dead) {
			luaL_unref(h->L, LUA_REGISTRYINDEX, s->fn);
			TAILQ_REMOVE(&h->subscriptions, s, link);
			free(s);
		}
		s = next;
	}
}

void host_dispatch(struct lua_host *h)
{
	struct pending_event *p;
	while ((p = TAILQ_FIRST(&h->events)) != NULL) {
		TAILQ_REMOVE(&h->events, p, link);
		dispatch(h, p);
		value_free(&p->value);
		free(p);
	}
	sweep(h);
}

unsigned host_subscribe(lua_State *L, const char *event, uint64_t job, int fn_index)
{
	struct lua_host *h = host_of(L);
	struct subscription *s = try_alloc(sizeof(*s));
	if (s == NULL || strlen(event) >= sizeof(s->event)) {
		free(s);
		luaL_error(L, "no event '%s'", event);
		return 0;
	}
	s->id = ++h->last_id;
	s->job = job;
	snprintf(s->event, sizeof(s->event), "%s", event);
	lua_pushvalue(L, fn_index);
	s->fn = luaL_ref(L, LUA_REGISTRYINDEX);
	TAILQ_INSERT_TAIL(&h->subscriptions, s, link);
	return s->id;
}

static int push_subscription(lua_State *L, unsigned id)
{
	lua_createtable(L, 0, 1);
	lua_pushinteger(L, id);
	lua_setfield(L, -2, "id");
	luaL_setmetatable(L, "shoal.subscription");
	return 1;
}

static int l_on(lua_State *L)
{
	const char *event = luaL_checkstring(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	return push_subscription(L, host_subscribe(L, event, 0, 2));
}

/* job:on("done", fn): "job." may be left out. */
int l_job_on(lua_State *L)
{
	const uint64_t *id = luaL_checkudata(L, 1, JOB_TYPE);
	const char *event = luaL_checkstring(L, 2);
	luaL_checktype(L, 3, LUA_TFUNCTION);
	const char *name = strchr(event, '.') != NULL ? event : lua_pushfstring(L, "job.%s", event);
	return push_subscription(L, host_subscribe(L, name, *id, 3));
}

static int l_off(lua_State *L)
{
	struct subscription *s;
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_getfield(L, 1, "id");
	TAILQ_FOREACH(s, &host_of(L)->subscriptions, link)
		if (s->id == (unsigned)lua_tointeger(L, -1))
			s->dead = true;
	return 0;
}

static int event_came(lua_State *L, int status, lua_KContext ctx)
{
	struct lua_host *h = host_of(L);
	struct await a = h->woken;
	(void)status;
	(void)ctx;
	luaL_unref(L, LUA_REGISTRYINDEX, a.match);
	if (a.got == LUA_NOREF) {
		struct error e;
		error_set(&e, SHOAL_ETIMEOUT, "no event '%s' came in time", a.event);
		return lua_fail(L, &e, NULL, "shoal.wait_event");
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, a.got);
	luaL_unref(L, LUA_REGISTRYINDEX, a.got);
	return 1;
}

static int l_wait_event(lua_State *L)
{
	struct await a = { .kind = AWAIT_EVENT, .match = LUA_NOREF, .got = LUA_NOREF };
	const char *event = luaL_checkstring(L, 1);
	luaL_argcheck(L, strlen(event) < sizeof(a.event), 1, "no such event");
	snprintf(a.event, sizeof(a.event), "%s", event);
	int seconds = 2;
	if (lua_istable(L, 2) || lua_isfunction(L, 2) || (lua_isnil(L, 2) && lua_gettop(L) > 2))
		seconds = 3;
	if (!lua_isnoneornil(L, seconds))
		a.deadline_ms = clock_mono_ms() + (uint64_t)(luaL_checknumber(L, seconds) * 1000) + 1;
	if (seconds == 3 && !lua_isnil(L, 2)) {
		lua_pushvalue(L, 2);
		a.match = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	return lua_await(L, &a, event_came, 0);
}

static int l_fire(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	struct value event = lua_istable(L, 2) ? lua_to_value(L, 2) : value_table();
	if (event.failed || event.type != VALUE_TABLE) {
		value_free(&event);
		event = value_table();
	}
	value_set(&event, "event", value_str(name));
	value_set(&event, "time", value_number((double)clock_wall_ms() / 1000));
	host_fire(host_of(L), event);
	return 0;
}

void lua_event_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "on", l_on }, { "wait_event", l_wait_event }, { "fire", l_fire }, { NULL, NULL }
	};
	static const luaL_Reg sub[] = { { "off", l_off }, { NULL, NULL } };
	luaL_setfuncs(L, functions, 0);
	luaL_newmetatable(L, "shoal.subscription");
	luaL_setfuncs(L, sub, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}
