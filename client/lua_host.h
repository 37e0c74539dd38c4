/* client/lua_host.h - Lua: the one lua_State, the functions of the command language, scripts and their failures.
 *
 * Prompt thread only. Nothing in Lua points into the engine: a job is a number, a stamp its bytes. Code that waits
 * (a command, job:wait(), shoal.sleep()) runs the shell's loop meanwhile, and with it handlers and tasks. */
#ifndef SHOAL_CLIENT_LUA_HOST_H
#define SHOAL_CLIENT_LUA_HOST_H
#include <lua.h>

#include "client/shell.h"

struct lua_host;

struct lua_host_config {
	struct shell *shell;
	bool strict;             /* --strict: failing commands throw */
	bool verbose;            /* -v: whole tracebacks */
	bool testing;            /* --test: shoal.proc is there */
	bool sandbox;            /* --sandbox: scripts of others */
	enum cmd_asking asking;
	const char *lua_folder;  /* the user's modules, or NULL; borrowed */
	const char *state_folder; /* for lists of shared folders, or NULL; borrowed */
	const char *build_folder; /* where shoal and shoal-tracker are; borrowed */
	struct log *log;
	struct value settings;   /* shoal.config(); taken over */
	void (*exit)(void *owner, int code); /* os.exit(): ends the program in good order; does not return */
	void *owner;
};

struct lua_host *lua_host_new(const struct lua_host_config *config);
void lua_host_free(struct lua_host *h);
lua_State *lua_host_state(struct lua_host *h);
struct shell *lua_host_shell(struct lua_host *h);
void lua_host_asking(struct lua_host *h, enum cmd_asking asking);
/* Reading an undeclared global: an error in scripts, nil at the prompt. */
bool lua_host_strict_globals(struct lua_host *h, bool on); /* what it was */

/* Called by each pump first: what must run where Lua may run. */
void lua_host_idle(struct lua_host *h, void (*fn)(void *arg), void *arg);
/* Runs what is due: handlers of events, timers, tasks. Between two steps of the shell, never inside one. */
void lua_host_pump(struct lua_host *h);
/* Is there a task that the program's end must wait for? */
bool lua_host_works(const struct lua_host *h);
/* Milliseconds until something is due; -1: nothing is. */
int lua_host_timeout(struct lua_host *h);

/* -- running code. A failure has been printed on stderr when these return; the exit code says what kind it was. */
/* `arg` and shoal.args of what is run. */
void lua_host_args(struct lua_host *h, const char *script, char *const *argv, int argc);
int lua_host_script(struct lua_host *h, const char *path);
int lua_host_code(struct lua_host *h, const char *name, const char *code);
int lua_host_require(struct lua_host *h, const char *module);

enum line_state { LINE_OK, LINE_INCOMPLETE, LINE_BAD };
/* Compiles `code` as an expression ("return " before it), then as a statement, and leaves the function on the stack
 * (LINE_OK) or nothing, with the sentence in *e (LINE_BAD). */
enum line_state lua_host_compile(struct lua_host *h, const char *name, const char *code, bool *expression,
                                 struct error *e);
/* Calls the function that lies below `nargs` arguments. True: its results lie on the stack, *nresults of them.
 * False: the error was printed, *code is its exit code. */
bool lua_host_call(struct lua_host *h, int nargs, int *nresults, int *code);

/* -- commands that are written in Lua, for others than Lua */
struct lua_remote;
/* Called once, from lua_host_pump(): with the result (the callee may take it), or with an error whose code is not OK. */
typedef void lua_remote_fn(void *arg, struct value *result, const struct error *e);
/* Starts it with these arguments, which are copied; NULL: no memory. The handle lives until `done` was called, which
 * lua_remote_forget() keeps from happening. */
struct lua_remote *lua_host_start(struct lua_host *h, const struct cmd *cmd, const struct value *argv, unsigned n,
                                  lua_remote_fn *done, void *arg);
void lua_remote_forget(struct lua_remote *r);

/* The function on top of the stack is a line of the prompt: what it declares local is global when it returns. */
void lua_host_keep_locals(struct lua_host *h);

/* -- failures that nobody looked at */
/* Lists them on stderr, with those of failed jobs, and forgets them. *code: that of their kind, 20 if they differ; it
 * goes together with the *code of before (0: none yet). How many. */
unsigned lua_host_report(struct lua_host *h, int *code);
/* Two exit codes become one: the same, or 20. */
int exit_code_join(int a, int b);

/* -- between Lua and values */
/* nil with .failed set if it cannot be told (functions, too deep); never raises. */
struct value lua_to_value(lua_State *L, int index);
void lua_push_value(lua_State *L, const struct value *v);
/* An err object? Gives its fields and counts as having looked at it. */
bool lua_is_err(lua_State *L, int index);
struct value lua_err_value(lua_State *L, int index);
/* The job is printed or otherwise seen: its failure is no longer one that nobody looked at. */
void lua_host_looked(struct lua_host *h, uint64_t job);
#endif
