/* client/lua_internal.h - what the client/lua_*.c files share. Nobody else includes it. */
#ifndef SHOAL_CLIENT_LUA_INTERNAL_H
#define SHOAL_CLIENT_LUA_INTERNAL_H
#include <lauxlib.h>
#include <lualib.h>

#include "client/lua_host.h"

/* Something that Lua code waits for. */
enum await_kind { AWAIT_NOTHING, AWAIT_RUN, AWAIT_TIME, AWAIT_EVENT, AWAIT_TASK };

struct await {
	enum await_kind kind;
	struct cmd_run *run;  /* AWAIT_RUN; owned by a box on the Lua stack */
	uint64_t deadline_ms; /* 0: none */
	char event[48];       /* AWAIT_EVENT */
	int match;            /* registry: a table or function; LUA_NOREF: none */
	int got;              /* registry: the event's table; LUA_NOREF: not yet */
	struct task *task;    /* AWAIT_TASK */
	TAILQ_ENTRY(await) link;
};

/* A coroutine that the host resumes; its userdata in Lua and the list in the host may each hold it. */
struct task {
	lua_State *co;
	int thread;  /* registry: keeps co alive; LUA_NOREF when it is over */
	int results; /* registry: table of results, or {error}; LUA_NOREF */
	unsigned nargs;
	bool started, running, over, failed, cancelled;
	bool handler;     /* nobody will ask: an error is told at once */
	bool work;        /* the program does not end before it */
	unsigned refs;
	struct await await;
	TAILQ_ENTRY(task) link;
};

struct subscription {
	unsigned id;
	char event[48];
	uint64_t job; /* 0: any */
	int fn;       /* registry */
	bool dead;
	TAILQ_ENTRY(subscription) link;
};

struct lua_timer {
	unsigned id;
	uint64_t at_ms, every_ms; /* every 0: once */
	int fn;
	bool dead;
	TAILQ_ENTRY(lua_timer) link;
};

struct pending_event {
	struct value value;
	bool progress;
	uint64_t job;
	TAILQ_ENTRY(pending_event) link;
};

struct failure {
	uint64_t serial;
	enum shoal_err code;
	char *text;
	TAILQ_ENTRY(failure) link;
};

struct own_job {
	uint64_t id;
	char where[80];
	TAILQ_ENTRY(own_job) link;
};

struct lua_host {
	lua_State *L;
	struct lua_host_config config;
	const void *line; /* the prompt's line whose locals are to be kept */
	void (*idle)(void *arg);
	void *idle_arg;
	uint64_t looked_ms; /* when code that never waits was last made to look around */
	struct await woken; /* what has just come, for the continuation */
	struct task *current;
	unsigned pump_depth;
	unsigned last_id;
	unsigned listener;
	uint64_t last_failure;
	unsigned handler_errors;
	int fatal; /* registry: an error that ends the main chunk (strict handlers); LUA_NOREF */
	bool strict_globals;
	bool interrupted; /* a signal has ended what was running */
	struct lua_sandbox *sandbox; /* NULL: there is none */
	TAILQ_HEAD(, task) tasks;
	TAILQ_HEAD(, await) awaits; /* of code that is not a task, innermost first */
	TAILQ_HEAD(, subscription) subscriptions;
	TAILQ_HEAD(, lua_timer) timers;
	TAILQ_HEAD(, pending_event) events;
	TAILQ_HEAD(failure_list, failure) failures;
	TAILQ_HEAD(, own_job) jobs;
};

static inline struct lua_host *host_of(lua_State *L)
{
	return *(struct lua_host **)lua_getextraspace(L);
}

#define STAMP_TYPE "shoal.stamp"
#define JOB_TYPE "shoal.job"
#define ERR_TYPE "shoal.err"
#define RUN_TYPE "shoal.run"
#define TASK_TYPE "shoal.task"

/* lua_err.c */
void lua_err_open(lua_State *L);
/* `run` may be NULL; `op` is then used. */
void lua_push_err(lua_State *L, const struct error *e, const struct cmd_run *run, const char *op, const char *where);
void lua_err_read(lua_State *L, int index); /* counts as looked at */
void host_note_failure(struct lua_host *h, uint64_t serial, enum shoal_err code, const char *text);
void host_forget_failure(struct lua_host *h, uint64_t serial);
/* nil, err on the stack, or (strict) raises it. */
int lua_fail(lua_State *L, const struct error *e, const struct cmd_run *run, const char *op);

/* lua_bind.c */
void lua_bind_open(lua_State *L); /* the commands, as globals and in the table `shoal` on top of the stack */
void lua_push_command(lua_State *L, const struct cmd *cmd);
void lua_where(lua_State *L, int level, char *out, size_t size); /* "job.lua:12", or empty */

/* lua_job.c */
void lua_job_open(lua_State *L);
void lua_push_job(lua_State *L, uint64_t id);
void lua_push_stamp(lua_State *L, const struct stamp *s, int synced); /* synced: as in struct value */
void host_own_job(struct lua_host *h, uint64_t id, const char *where);

/* lua_task.c, lua_event.c */
void lua_task_open(lua_State *L);  /* into the table on top of the stack */
void lua_event_open(lua_State *L);
void host_listen(struct lua_host *h);
void host_close_tasks(struct lua_host *h);
void host_fire(struct lua_host *h, struct value event); /* takes it over */
/* Sends what waits to subscriptions and awaits. */
void host_dispatch(struct lua_host *h);
unsigned host_subscribe(lua_State *L, const char *event, uint64_t job, int fn_index);
/* Starts a task of the function and nargs arguments on top of L's stack, which are popped. NULL: no memory. */
struct task *host_spawn(lua_State *L, unsigned nargs, bool handler);
/* Waits; then goes on in k, with h->woken. A task yields, everything else runs the loop here. */
int lua_await(lua_State *L, const struct await *a, lua_KFunction k, lua_KContext ctx);
int l_job_on(lua_State *L);

/* lua_sandbox.c: --sandbox. What raises says so. */
#define LUA_SANDBOX_SPENT "--sandbox: the script has used up its instructions"
struct lua_sandbox *lua_sandbox_new(void);
void lua_sandbox_free(struct lua_sandbox *s); /* after lua_close(); NULL is fine */
void *lua_sandbox_alloc(void *ud, void *ptr, size_t old, size_t size); /* ud: the sandbox */
bool lua_sandbox_spend(struct lua_sandbox *s, unsigned n); /* false: there are no more instructions */
void lua_sandbox_open(lua_State *L); /* takes away what is not to be had; the last one of those that open something */
/* Both raise, unless there is no sandbox. */
void lua_sandbox_check_path(lua_State *L, const char *path);
void lua_sandbox_check_run(lua_State *L, const struct cmd_run *run);
void lua_push_package(lua_State *L); /* the table `package`, whatever scripts see of it */

/* lua_args.c */
void lua_watch_globals(lua_State *L); /* those that a script reads and nobody set are errors, with a suggestion */

int lua_reference(lua_State *L); /* lua_reference.c: shoal.reference() */

/* lua_shoal.c, lua_proc.c, lua_run.c */
void lua_shoal_open(lua_State *L);
int luaopen_shoal_proc(lua_State *L);
int luaopen_shoal_fs(lua_State *L);
int lua_relay_network(lua_State *L); /* lua_relay.c */
/* lua_pty.c: terminals of scenarios. What is at `index` need not be one: -1 then, and nothing. */
void lua_pty_types(lua_State *L);
int lua_pty_open(lua_State *L);
int lua_pty_slave(lua_State *L, int index);
void lua_pty_given(lua_State *L, int index);
void lua_run_open(lua_State *L); /* hook, strict globals, embedded modules, os.exit, assert */
int lua_traceback(lua_State *L); /* a message handler */
void host_print_error(struct lua_host *h, lua_State *L, int index, const char *prefix);
int host_error_code(lua_State *L, int index);
/* Raises if a signal is pending that ends what is running. */
void lua_check_interrupt(lua_State *L);
#endif
