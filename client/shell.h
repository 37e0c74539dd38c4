/* client/shell.h - the prompt thread's loop: runs of commands, events of the engine, timers, descriptors.
 *
 * One poll() for everything. Lua, the prompt, the control socket and the progress lines hang on it; it knows none of
 * them. Callbacks run on the prompt thread, inside shell_step(); they must not call shell_step() themselves (Lua code,
 * which may wait, is therefore run between two steps, never inside one). */
#ifndef SHOAL_CLIENT_SHELL_H
#define SHOAL_CLIENT_SHELL_H
#include "client/cmd.h"

struct secret_question {
	const char *text; /* "password for alice" */
	bool twice;       /* and once more, to be sure */
	bool terminal;    /* may be asked there; else only --password-file and the like */
};

struct shell_config {
	struct engine *engine;
	void (*post)(struct engine *engine, struct call *c); /* engine_post(); tests put their own in */
	struct queue *events;                                /* engine_events() */
	/* A secret that was not given; SHOAL_EAUTH if there is none. NULL: never. */
	enum shoal_err (*ask_secret)(void *owner, const struct secret_question *q, struct value *out, struct error *e);
	bool (*confirm)(void *owner, const char *question); /* at the terminal; NULL: no terminal */
	void *owner;
};

struct shell *shell_new(const struct shell_config *config); /* copied */
/* Runs that were not finished are freed without a word. The engine must be gone already, with the calls it held. */
void shell_free(struct shell *sh);

/* Starts a run whose arguments were checked. It may be finished (and done() called) before this returns. */
void shell_start(struct shell *sh, struct cmd_run *run, void (*done)(void *arg, struct cmd_run *run), void *arg);
/* Nobody waits any more: done() is not called, and the run is freed when its last call has come back. */
void shell_abandon(struct shell *sh, struct cmd_run *run);
/* Waits for the run without anything else being called but done() of runs, listeners and descriptors. */
void shell_finish(struct shell *sh, struct cmd_run *run);
/* Asks the engine without a run and waits for the answer; the caller frees it. NULL: no memory. */
struct call *shell_ask(struct shell *sh, struct call *c);
/* Posts a call whose answer nobody needs. */
void shell_tell(struct shell *sh, struct call *c);

/* Waits at most timeout_ms (-1: until something happens) and handles what has come. */
void shell_step(struct shell *sh, int timeout_ms);

/* -- who wants to know. Handles are never 0. */
typedef void shell_event_fn(void *arg, const struct client_event *ev);
unsigned shell_listen(struct shell *sh, shell_event_fn *fn, void *arg);
typedef void shell_fd_fn(void *arg, short revents);
unsigned shell_watch(struct shell *sh, int fd, short events, shell_fd_fn *fn, void *arg);
void shell_watch_events(struct shell *sh, unsigned handle, short events);
/* Once, at that monotonic time. */
unsigned shell_timer(struct shell *sh, uint64_t at_ms, void (*fn)(void *arg), void *arg);
void shell_drop(struct shell *sh, unsigned handle); /* any of the three; also from within its own callback */

/* -- what the last events said, for the prompt */
struct shell_state {
	bool up, logged_in;
	uint16_t tracker;
	char user[72];
	unsigned downloads, uploads; /* that have not ended */
};
const struct shell_state *shell_state(const struct shell *sh);
/* One job as it is now; false if there is none of that number. Waits for the engine's answer. */
bool shell_job(struct shell *sh, uint64_t id, struct job_info *out);
/* All jobs as they are now, oldest first; the caller frees *out. */
size_t shell_jobs(struct shell *sh, struct job_info **out);
const struct shell_config *shell_config(const struct shell *sh);
#endif
