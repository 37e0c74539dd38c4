/* client/app.h - the program: what main() sets up, and the ways in which it can run. Prompt thread only. */
#ifndef SHOAL_CLIENT_APP_H
#define SHOAL_CLIENT_APP_H
#include "client/control.h"
#include "client/lua_host.h"
#include "client/options.h"
#include "client/progress.h"
#include "client/secret.h"

struct app {
	struct options options;
	struct client_config config;
	struct log *log;
	struct engine *engine; /* NULL: --test */
	struct queue *no_events; /* --test: what a shell without an engine listens to */
	struct shell *shell;
	struct lua_host *host;
	struct control *control;
	struct progress *progress;
	struct secret_source secrets;
	char *lua_folder, *build_folder, *state_folder, *history, *rc;
	bool stopped; /* `quit` came through the control socket */
};

/* -- run.c: each returns the exit code */
int run_scripts(struct app *app);  /* -l, -e, SCRIPT */
int run_batch(struct app *app);    /* --batch */
int run_piped(struct app *app);    /* standard input that is no terminal */
int run_prompt(struct app *app);   /* -i, or a terminal */
int run_served(struct app *app);   /* nothing but the control socket, until a signal or `quit` */
int run_daemon(struct app *app);   /* the same, after the script; a signal is how it ends: 0 */
int run_tests(struct app *app);    /* --test */
/* Waits for the jobs that run (or stops them: --no-wait), then tells what nobody looked at. `alone`: the code of a
 * script, in which unread failures give 3; else their own kind's code. */
int run_to_end(struct app *app, int code, bool script);
/* The exit code of the signal or time limit that ended the run, 0 if none did. */
int run_signal_code(void);
#endif
