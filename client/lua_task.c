/* client/lua_task.c - waiting, and tasks: coroutines that the host resumes when what they wait for has come.
 *
 * Code of a task yields when it waits. Everything else (the main chunk, the prompt's line, a coroutine of the user's
 * own) runs the loop where it stands, and tasks, handlers and timers run inside that. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "client/interrupt.h"
#include "client/lua_internal.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/units.h"

enum { PUMP_DEPTH_MAX = 16 }; /* of loops inside handlers inside loops; each takes C stack */

static bool await_ready(const struct await *a, uint64_t now)
{
	bool late = a->deadline_ms != 0 && now >= a->deadline_ms;
	switch (a->kind) {
	case AWAIT_NOTHING: return true;
	case AWAIT_RUN: return a->run->finished;
	case AWAIT_TIME: return late;
	case AWAIT_EVENT: return a->got != LUA_NOREF || late;
	case AWAIT_TASK: return a->task->over || late;
	}
	return true;
}

/* -- tasks */

static void task_unref(struct task *t)
{
	if (--t->refs == 0)
		free(t);
}

static void task_end(struct lua_host *h, struct task *t)
{
	t->over = true;
	luaL_unref(h->L, LUA_REGISTRYINDEX, t->thread);
	luaL_unref(h->L, LUA_REGISTRYINDEX, t->await.match);
	t->thread = t->await.match = LUA_NOREF;
	t->co = NULL;
	TAILQ_REMOVE(&h->tasks, t, link);
	task_unref(t);
}

struct task *host_spawn(lua_State *L, unsigned nargs, bool handler)
{
	struct lua_host *h = host_of(L);
	struct task *t = try_alloc(sizeof(*t));
	if (t == NULL) {
		lua_pop(L, (int)nargs + 1);
		return NULL;
	}
	t->thread = t->results = t->await.match = t->await.got = LUA_NOREF;
	t->nargs = nargs;
	t->handler = handler;
	t->refs = 1;
	t->co = lua_newthread(L);
	t->thread = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_xmove(L, t->co, (int)nargs + 1);
	TAILQ_INSERT_TAIL(&h->tasks, t, link);
	return t;
}

/* The task's code raised: told at once for handlers, kept for task:wait() otherwise. */
static void task_failed(struct lua_host *h, struct task *t)
{
	lua_State *co = t->co;
	t->failed = true;
	if (!t->handler) {
		lua_createtable(co, 1, 0);
		lua_insert(co, -2);
		lua_rawseti(co, -2, 1);
		t->results = luaL_ref(co, LUA_REGISTRYINDEX);
		return;
	}
	h->handler_errors++;
	host_print_error(h, co, -1, "in a handler");
	if (h->config.strict && h->fatal == LUA_NOREF) {
		lua_pushvalue(co, -1);
		h->fatal = luaL_ref(co, LUA_REGISTRYINDEX);
	}
	struct value ev = value_table();
	value_set(&ev, "event", value_str("script.error"));
	value_set(&ev, "time", value_number((double)clock_wall_ms() / 1000));
	value_set(&ev, "text", value_str(luaL_tolstring(co, -1, NULL)));
	host_fire(h, ev);
}

static void task_resume(struct lua_host *h, lua_State *from, struct task *t)
{
	struct task *outer = h->current;
	int n = 0;
	h->woken = t->await;
	t->await = (struct await){ .kind = AWAIT_NOTHING, .match = LUA_NOREF, .got = LUA_NOREF };
	h->current = t;
	t->running = true;
	t->refs++;
	int rc = lua_resume(t->co, from, t->started ? 0 : (int)t->nargs, &n);
	t->started = true;
	t->running = false;
	h->current = outer;
	if (rc == LUA_YIELD && !t->cancelled) {
		/* a yield of the user's own inside a task: it goes on in the next round */
		lua_pop(t->co, n);
		task_unref(t);
		return;
	}
	if (rc == LUA_OK) {
		lua_createtable(t->co, n, 0);
		lua_insert(t->co, -n - 1);
		for (int i = n; i >= 1; i--)
			lua_rawseti(t->co, -i - 1, i);
		lua_pushinteger(t->co, n);
		lua_setfield(t->co, -2, "n");
		t->results = luaL_ref(t->co, LUA_REGISTRYINDEX);
	} else if (rc != LUA_YIELD) {
		task_failed(h, t);
	}
	if (rc != LUA_OK)
		lua_resetthread(t->co);
	task_end(h, t);
	task_unref(t);
}

static void fire_timers(struct lua_host *h, uint64_t now)
{
	struct lua_timer *t = TAILQ_FIRST(&h->timers);
	while (t != NULL) {
		struct lua_timer *next = TAILQ_NEXT(t, link);
		if (!t->dead && now >= t->at_ms) {
			lua_rawgeti(h->L, LUA_REGISTRYINDEX, t->fn);
			host_spawn(h->L, 0, true);
			t->at_ms = now + t->every_ms;
			t->dead = t->every_ms == 0;
		}
		if (t->dead) {
			luaL_unref(h->L, LUA_REGISTRYINDEX, t->fn);
			TAILQ_REMOVE(&h->timers, t, link);
			free(t);
		}
		t = next;
	}
}

static void pump(struct lua_host *h, lua_State *L)
{
	if (h->pump_depth >= PUMP_DEPTH_MAX)
		return;
	h->pump_depth++;
	if (h->idle != NULL)
		h->idle(h->idle_arg);
	uint64_t now = clock_mono_ms();
	host_dispatch(h);
	fire_timers(h, now);
	for (bool again = true; again;) { /* a resumed task may end others: begin anew after each */
		struct task *t;
		again = false;
		TAILQ_FOREACH(t, &h->tasks, link)
			if (!t->running && await_ready(&t->await, now) && t->await.kind != AWAIT_NOTHING)
				break;
			else if (!t->running && !t->started)
				break;
		if (t != NULL) {
			task_resume(h, L, t);
			again = true;
		}
	}
	h->pump_depth--;
}

/* Tasks that yielded on their own account wait for the next round. */
static bool someone_yielded(struct lua_host *h)
{
	struct task *t;
	TAILQ_FOREACH(t, &h->tasks, link)
		if (!t->running && t->started && t->await.kind == AWAIT_NOTHING)
			return true;
	return false;
}

static void resume_yielded(struct lua_host *h, lua_State *L)
{
	struct task *t = TAILQ_FIRST(&h->tasks);
	while (t != NULL) {
		struct task *next = TAILQ_NEXT(t, link);
		if (!t->running && t->started && t->await.kind == AWAIT_NOTHING) {
			task_resume(h, L, t);
			return; /* one a round */
		}
		t = next;
	}
}

void lua_host_pump(struct lua_host *h)
{
	pump(h, h->L);
	resume_yielded(h, h->L);
}

static int sooner(int timeout_ms, uint64_t now, uint64_t at)
{
	uint64_t left = at > now ? at - now : 0;
	if (left > 1000000)
		left = 1000000;
	return timeout_ms < 0 || left < (uint64_t)timeout_ms ? (int)left : timeout_ms;
}

void lua_host_idle(struct lua_host *h, void (*fn)(void *arg), void *arg)
{
	h->idle = fn;
	h->idle_arg = arg;
}

bool lua_host_works(const struct lua_host *h)
{
	const struct task *t;
	TAILQ_FOREACH(t, &h->tasks, link)
		if (t->work)
			return true;
	return false;
}

int lua_host_timeout(struct lua_host *h)
{
	uint64_t now = clock_mono_ms();
	int timeout = TAILQ_EMPTY(&h->events) && !someone_yielded(h) ? -1 : 0;
	struct task *t;
	struct lua_timer *timer;
	struct await *a;
	TAILQ_FOREACH(t, &h->tasks, link) {
		if (!t->running && (!t->started || await_ready(&t->await, now)))
			timeout = 0;
		else if (!t->running && t->await.deadline_ms != 0)
			timeout = sooner(timeout, now, t->await.deadline_ms);
	}
	TAILQ_FOREACH(timer, &h->timers, link)
		timeout = sooner(timeout, now, timer->dead ? now : timer->at_ms);
	TAILQ_FOREACH(a, &h->awaits, link)
		if (a->deadline_ms != 0)
			timeout = sooner(timeout, now, a->deadline_ms);
	return timeout;
}

/* -- waiting */

void lua_check_interrupt(lua_State *L)
{
	struct lua_host *h = host_of(L);
	int sig = interrupt_pending();
	if (h->fatal != LUA_NOREF) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, h->fatal);
		luaL_unref(L, LUA_REGISTRYINDEX, h->fatal);
		h->fatal = LUA_NOREF;
		lua_error(L);
	}
	if (sig == 0 || (h->config.testing && h->interrupted))
		return; /* a scenario is told once: what it started must still be ended */
	h->interrupted = true;
	if (sig == SIGALRM)
		luaL_error(L, "the time limit of the program is over");
	else
		luaL_error(L, "interrupted!");
}

static int await_here(lua_State *L, const struct await *wanted, lua_KFunction k, lua_KContext ctx)
{
	struct lua_host *h = host_of(L);
	struct await a = *wanted;
	TAILQ_INSERT_HEAD(&h->awaits, &a, link);
	while (!await_ready(&a, clock_mono_ms()) && interrupt_pending() == 0 && h->fatal == LUA_NOREF) {
		if (h->pump_depth < PUMP_DEPTH_MAX) {
			pump(h, L);
			resume_yielded(h, L);
		}
		if (await_ready(&a, clock_mono_ms()))
			break;
		shell_step(h->config.shell, lua_host_timeout(h));
	}
	TAILQ_REMOVE(&h->awaits, &a, link);
	if (!await_ready(&a, clock_mono_ms())) {
		luaL_unref(L, LUA_REGISTRYINDEX, a.match);
		lua_check_interrupt(L);
	}
	h->woken = a;
	return k(L, LUA_OK, ctx);
}

int lua_await(lua_State *L, const struct await *a, lua_KFunction k, lua_KContext ctx)
{
	struct lua_host *h = host_of(L);
	struct task *t = h->current;
	if (t != NULL && t->co == L && lua_isyieldable(L)) {
		t->await = *a;
		return lua_yieldk(L, 0, ctx, k);
	}
	return await_here(L, a, k, ctx);
}

/* -- what scripts see */

static int nothing(lua_State *L, int status, lua_KContext ctx)
{
	(void)L;
	(void)status;
	(void)ctx;
	return 0;
}

/* Seconds, or text such as "200ms", in milliseconds. */
static uint64_t check_ms(lua_State *L, int arg)
{
	uint64_t ms = 0;
	if (lua_type(L, arg) == LUA_TNUMBER) {
		lua_Number s = lua_tonumber(L, arg);
		luaL_argcheck(L, s >= 0 && s < 1e9, arg, "not a number of seconds");
		return (uint64_t)(s * 1000 + 0.5);
	}
	luaL_argcheck(L, units_parse_ms(luaL_checkstring(L, arg), &ms), arg, "not a time");
	return ms;
}

static int l_sleep(lua_State *L)
{
	struct await a = { .kind = AWAIT_TIME, .match = LUA_NOREF, .got = LUA_NOREF };
	a.deadline_ms = clock_mono_ms() + check_ms(L, 1);
	return lua_await(L, &a, nothing, 0);
}

static struct task *check_task(lua_State *L)
{
	return *(struct task **)luaL_checkudata(L, 1, TASK_TYPE);
}

static int spawn(lua_State *L, bool work)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	int nargs = lua_gettop(L) - 1;
	struct task **u = lua_newuserdatauv(L, sizeof(*u), 0);
	*u = NULL;
	luaL_setmetatable(L, TASK_TYPE);
	lua_insert(L, 1);
	struct task *t = host_spawn(L, (unsigned)nargs, false);
	if (t == NULL)
		return luaL_error(L, "out of memory");
	t->refs++;
	t->work = work;
	*u = t;
	return 1;
}

/* Seconds since 1970. */
static int l_now(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)clock_wall_ms() / 1000);
	return 1;
}

static int l_spawn(lua_State *L)
{
	return spawn(L, false);
}

/* The program waits for it at its end, as it does for jobs. */
static int l_work(lua_State *L)
{
	return spawn(L, true);
}

static int l_mono(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)clock_mono_us() / 1e6);
	return 1;
}

static int task_done(lua_State *L, int status, lua_KContext ctx)
{
	struct task *t = check_task(L);
	(void)status;
	(void)ctx;
	if (!t->over || t->cancelled) {
		struct error e;
		error_set(&e, t->over ? SHOAL_ECANCELLED : SHOAL_ETIMEOUT, "the task %s", t->over ? "was cancelled" : "is not over");
		return lua_fail(L, &e, NULL, "task:wait");
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, t->results);
	int at = lua_gettop(L);
	if (t->failed) {
		lua_rawgeti(L, at, 1);
		return lua_error(L);
	}
	lua_getfield(L, at, "n");
	int n = (int)lua_tointeger(L, -1);
	luaL_checkstack(L, n, NULL);
	for (int i = 1; i <= n; i++)
		lua_rawgeti(L, at, i);
	return n;
}

static int l_task_wait(lua_State *L)
{
	struct await a = { .kind = AWAIT_TASK, .match = LUA_NOREF, .got = LUA_NOREF, .task = check_task(L) };
	if (!lua_isnoneornil(L, 2))
		a.deadline_ms = clock_mono_ms() + check_ms(L, 2) + 1;
	return lua_await(L, &a, task_done, 0);
}

static int l_task_cancel(lua_State *L)
{
	struct lua_host *h = host_of(L);
	struct task *t = check_task(L);
	if (t->over)
		return 0;
	t->cancelled = true;
	if (!t->running) {
		lua_resetthread(t->co);
		task_end(h, t);
	}
	return 0;
}

static int task_gc(lua_State *L)
{
	struct task *t = check_task(L);
	if (t == NULL)
		return 0;
	luaL_unref(L, LUA_REGISTRYINDEX, t->over ? t->results : LUA_NOREF);
	if (t->over)
		t->results = LUA_NOREF;
	task_unref(t);
	return 0;
}

static int add_timer(lua_State *L, bool repeat)
{
	struct lua_host *h = host_of(L);
	uint64_t ms = check_ms(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	struct lua_timer *t = try_alloc(sizeof(*t));
	if (t == NULL)
		return luaL_error(L, "out of memory");
	t->id = ++h->last_id;
	t->at_ms = clock_mono_ms() + ms;
	t->every_ms = repeat ? (ms != 0 ? ms : 1) : 0;
	lua_pushvalue(L, 2);
	t->fn = luaL_ref(L, LUA_REGISTRYINDEX);
	TAILQ_INSERT_TAIL(&h->timers, t, link);
	lua_createtable(L, 0, 1);
	lua_pushinteger(L, t->id);
	lua_setfield(L, -2, "id");
	luaL_setmetatable(L, "shoal.timer");
	return 1;
}

static int l_after(lua_State *L)
{
	return add_timer(L, false);
}

static int l_every(lua_State *L)
{
	return add_timer(L, true);
}

static int l_timer_stop(lua_State *L)
{
	struct lua_timer *t;
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_getfield(L, 1, "id");
	TAILQ_FOREACH(t, &host_of(L)->timers, link)
		if (t->id == (unsigned)lua_tointeger(L, -1))
			t->dead = true;
	return 0;
}

void host_close_tasks(struct lua_host *h)
{
	struct task *t;
	struct lua_timer *timer;
	while ((t = TAILQ_FIRST(&h->tasks)) != NULL) {
		lua_resetthread(t->co);
		task_end(h, t);
	}
	while ((timer = TAILQ_FIRST(&h->timers)) != NULL) {
		TAILQ_REMOVE(&h->timers, timer, link);
		free(timer);
	}
}

void lua_task_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "sleep", l_sleep }, { "spawn", l_spawn }, { "work", l_work }, { "mono", l_mono }, { "now", l_now },
		{ "after", l_after }, { "every", l_every }, { NULL, NULL },
	};
	static const luaL_Reg task[] = { { "wait", l_task_wait }, { "cancel", l_task_cancel }, { "__gc", task_gc }, { NULL, NULL } };
	static const luaL_Reg timer[] = { { "stop", l_timer_stop }, { NULL, NULL } };
	luaL_setfuncs(L, functions, 0);
	luaL_newmetatable(L, TASK_TYPE);
	luaL_setfuncs(L, task, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	luaL_newmetatable(L, "shoal.timer");
	luaL_setfuncs(L, timer, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 2);
}
