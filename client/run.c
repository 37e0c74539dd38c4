/* client/run.c - the ways in which the program runs. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lauxlib.h>

#include "client/app.h"
#include "client/interrupt.h"
#include "client/prompt.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/name.h"

enum { EXIT_UNREAD = 3, EXIT_EMPTY = 15, EXIT_TESTS = 16, LINE_LIMIT = 1 << 20 };

int run_signal_code(void)
{
	int sig = interrupt_pending();
	if (sig == SIGALRM)
		return error_exit_code(SHOAL_ETIMEOUT);
	return sig != 0 ? 128 + sig : 0;
}

static bool job_of_shell(void *owner, uint64_t id, struct job_info *out)
{
	return shell_job(owner, id, out);
}

static struct format_opts format_of(struct app *app)
{
	return (struct format_opts){ .json = app->options.json,
		                     .full = app->options.plain || !isatty(STDOUT_FILENO),
		                     .job = job_of_shell,
		                     .owner = app->shell };
}

/* One round of everything, for as long as nothing else runs. */
static void round_of(struct app *app)
{
	lua_host_pump(app->host);
	shell_step(app->shell, lua_host_timeout(app->host));
}

/* -- the end */

static bool is_running(const struct job_info *job)
{
	return !job_state_final(job->state) && job->state != JOB_STATE_PAUSED;
}

/* Waits for one job; false if a signal came first. */
static bool wait_job(struct app *app, uint64_t id)
{
	struct cmd_run *run = cmd_run_new(cmd_find("job_wait"));
	if (run == NULL)
		return false;
	run->argv[0] = value_job(id);
	shell_start(app->shell, run, NULL, NULL);
	while (!run->finished && interrupt_pending() == 0 && !app->stopped)
		round_of(app);
	bool over = run->finished;
	shell_abandon(app->shell, run);
	return over;
}

/* Handlers may begin new jobs: until there is none. */
static void wait_jobs(struct app *app)
{
	for (bool again = true; again && interrupt_pending() == 0 && !app->stopped;) {
		struct job_info *jobs;
		size_t n = shell_jobs(app->shell, &jobs);
		again = false;
		for (size_t i = 0; i < n && !again; i++)
			if (is_running(&jobs[i]))
				again = wait_job(app, jobs[i].id);
		free(jobs);
		while (!again && lua_host_works(app->host) && interrupt_pending() == 0 && !app->stopped) {
			lua_host_pump(app->host);
			again = !lua_host_works(app->host); /* it may have left jobs */
			if (!again)
				shell_step(app->shell, lua_host_timeout(app->host));
		}
	}
}

/* One line for all that is stopped half-way; true if there is any. What is paused was stopped by the user. */
static bool tell_unfinished(struct app *app)
{
	enum { NAMED = 3 };
	struct job_info *jobs;
	struct buf b = { 0 };
	char file[200];
	size_t n = shell_jobs(app->shell, &jobs), downloads = 0, uploads = 0;
	for (size_t i = 0; i < n; i++) {
		if (!is_running(&jobs[i]))
			continue;
		size_t before = downloads + uploads;
		*(jobs[i].kind == JOB_UPLOAD ? &uploads : &downloads) += 1;
		if (before < NAMED)
			buf_printf(&b, "%s'%s' (%u%%)", before != 0 ? ", " : "",
			           text_escape(jobs[i].file, strlen(jobs[i].file), file, sizeof(file)), format_percent(&jobs[i]));
	}
	free(jobs);
	size_t all = downloads + uploads;
	const char *why = interrupt_pending() == SIGALRM ? "the time of --timeout is over" : "stopped";
	if (all != 0)
		fprintf(stderr, "shoal: %s, unfinished: %.*s%s; the same command %s\n", why, (int)b.len,
		        b.data != NULL ? (const char *)b.data : "", all > NAMED ? " and others" : "",
		        downloads != 0 ? "resumes" : "shares again");
	else if (interrupt_pending() == SIGALRM)
		fprintf(stderr, "shoal: %s\n", why);
	buf_free(&b);
	return all != 0;
}

int run_to_end(struct app *app, int code, bool script)
{
	int unread = 0;
	if (interrupt_pending() == 0 && !app->options.no_wait)
		wait_jobs(app);
	progress_clear(app->progress);
	bool left = (app->options.no_wait || interrupt_pending() != 0) && tell_unfinished(app);
	if (interrupt_pending() != 0)
		return run_signal_code();
	unsigned n = lua_host_report(app->host, &unread);
	if (n != 0)
		code = script ? (code != 0 ? code : EXIT_UNREAD) : exit_code_join(code, unread);
	return code == 0 && left ? error_exit_code(SHOAL_ECANCELLED) : code;
}

/* -- scripts and -e */

/* -e. With --json its values are printed, a line each. */
static int run_code(struct app *app, const char *code)
{
	struct format_opts format = format_of(app);
	lua_State *L = lua_host_state(app->host);
	bool expression;
	struct error e;
	int n, rc = 0;
	if (!app->options.json)
		return lua_host_code(app->host, "=-e", code);
	if (lua_host_compile(app->host, "=-e", code, &expression, &e) != LINE_OK) {
		fprintf(stderr, "shoal: %s\n", e.message);
		return error_exit_code(SHOAL_EUSAGE);
	}
	if (!lua_host_call(app->host, 0, &n, &rc))
		return rc;
	bool failed = n >= 2 && lua_isnil(L, -n) && lua_is_err(L, 1 - n); /* told at the end, as it is not looked at here */
	for (int i = lua_gettop(L) - n + 1; i <= lua_gettop(L) && !failed; i++) {
		struct buf b = { 0 };
		struct value v = lua_to_value(L, i);
		if (!v.failed)
			format_value(&b, &v, &format);
		if (b.data != NULL)
			fwrite(b.data, 1, b.len, stdout);
		value_free(&v);
		buf_free(&b);
	}
	lua_pop(L, n);
	return 0;
}

int run_scripts(struct app *app)
{
	const struct options *o = &app->options;
	int code = 0;
	lua_host_strict_globals(app->host, true);
	lua_host_args(app->host, o->script != NULL ? o->script : NULL, o->args, o->nargs);
	for (unsigned i = 0; i < o->nmodules && code == 0; i++)
		code = lua_host_require(app->host, o->modules[i]);
	for (unsigned i = 0; i < o->ncode && code == 0; i++)
		code = run_code(app, o->code[i]);
	if (code == 0 && o->script != NULL)
		code = lua_host_script(app->host, o->script);
	lua_host_strict_globals(app->host, false);
	return code;
}

/* -- piped standard input */

/* One line without its newline; NULL at the end. A line that is too long is cut into several. */
static char *read_input_line(FILE *in, char **buffer, size_t *size)
{
	ssize_t n;
	do {
		clearerr(in);
		n = getline(buffer, size, in);
	} while (n < 0 && errno == EINTR && interrupt_pending() == 0 && !feof(in));
	if (n < 0)
		return NULL;
	if (n > 0 && (*buffer)[n - 1] == '\n')
		(*buffer)[--n] = '\0';
	if (n > 0 && (*buffer)[n - 1] == '\r')
		(*buffer)[--n] = '\0';
	return *buffer;
}

int run_piped(struct app *app)
{
	struct session s = { .host = app->host, .shell = app->shell, .format = format_of(app), .piped = true };
	char *buffer = NULL, *line;
	size_t size = 0;
	while (interrupt_pending() == 0 && !app->stopped && (line = read_input_line(stdin, &buffer, &size)) != NULL) {
		progress_clear(app->progress);
		if (session_line(&s, line) == SESSION_QUIT)
			break;
	}
	session_end(&s);
	session_free(&s);
	free(buffer);
	return s.code;
}

/* -- the prompt */

static bool is_stopped(void *owner)
{
	const struct app *app = owner;
	return app->stopped;
}

int run_prompt(struct app *app)
{
	struct session s = { .host = app->host, .shell = app->shell, .format = format_of(app) };
	struct prompt_config config = { .session = &s, .history = app->history, .quiet = app->options.quiet,
		                        .stopped = is_stopped, .owner = app };
	lua_State *L = lua_host_state(app->host);
	lua_createtable(L, 0, 0);
	lua_setglobal(L, "out");
	lua_host_asking(app->host, app->options.no_input ? ASK_NOTHING : ASK_ALL);
	if (app->rc != NULL && access(app->rc, F_OK) == 0)
		lua_host_script(app->host, app->rc);
	int code = prompt_run(&config);
	session_free(&s);
	return code;
}

int run_served(struct app *app)
{
	while (interrupt_pending() == 0 && !app->stopped)
		round_of(app);
	return run_signal_code();
}

int run_daemon(struct app *app)
{
	int unread = 0;
	while (interrupt_pending() == 0 && !app->stopped)
		round_of(app);
	unsigned n = lua_host_report(app->host, &unread);
	if (interrupt_pending() == SIGALRM)
		return run_signal_code();
	return n != 0 ? EXIT_UNREAD : 0;
}

/* -- batch */

struct batch {
	struct app *app;
	const char *name;
	unsigned line, n;
	int code;
};

static void batch_failed(struct batch *b, const struct error *e)
{
	progress_clear(b->app->progress);
	fprintf(stderr, "shoal: %s:%u: %s (%s)\n", b->name, b->line, e->message, error_word(e->code));
	b->code = exit_code_join(b->code, error_exit_code(e->code));
}

/* GROUP <tab> FILE [<tab> DEST] [<tab> key=value ...] becomes the arguments of download_file. */
static enum shoal_err batch_args(struct cmd_run *run, char *line, struct error *e)
{
	unsigned n = 0;
	char *field;
	run->argv[3] = value_table();
	while ((field = strsep(&line, "\t")) != NULL) {
		char *eq = strchr(field, '=');
		if (n >= 2 && eq != NULL && eq != field && strspn(field, "abcdefghijklmnopqrstuvwxyz_") == (size_t)(eq - field)) {
			*eq = '\0';
			value_set(&run->argv[3], field, value_str(eq + 1));
		} else if (n < 3) {
			run->argv[n++] = value_str(field);
		} else {
			return error_set(e, SHOAL_EUSAGE, "too many fields: GROUP <tab> FILE <tab> DEST [<tab> key=value ...]");
		}
	}
	if (n < 2)
		return error_set(e, SHOAL_EUSAGE, "write GROUP <tab> FILE <tab> DEST [<tab> key=value ...]");
	return cmd_check_args(run, 4, e);
}

static uint64_t batch_begin(struct batch *b, char *line)
{
	struct error e;
	struct cmd_run *run = cmd_run_new(cmd_find("download_file"));
	uint64_t id = 0;
	if (run == NULL)
		return 0;
	if (batch_args(run, line, &e) != SHOAL_OK) {
		batch_failed(b, &e);
		cmd_run_free(run);
		return 0;
	}
	shell_start(b->app->shell, run, NULL, NULL);
	shell_finish(b->app->shell, run);
	if (run->error.code != SHOAL_OK)
		batch_failed(b, &run->error);
	else if (run->result.type == VALUE_JOB)
		id = run->result.job;
	shell_abandon(b->app->shell, run);
	return id;
}

struct batch_job {
	uint64_t id;
	unsigned line;
};

int run_batch(struct app *app)
{
	const char *path = app->options.batch;
	struct batch b = { .app = app, .name = path };
	struct batch_job *jobs = NULL;
	char *buffer = NULL, *line;
	size_t size = 0, n = 0;
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (in == NULL) {
		fprintf(stderr, "shoal: cannot read '%s': %s\n", path, strerror(errno));
		return error_exit_code(SHOAL_EUSAGE);
	}
	while (interrupt_pending() == 0 && (line = read_input_line(in, &buffer, &size)) != NULL) {
		b.line++;
		if (line[0] == '\0' || line[0] == '#')
			continue;
		b.n++;
		uint64_t id = batch_begin(&b, line);
		struct batch_job *more = id != 0 ? try_realloc(jobs, (n + 1) * sizeof(*more)) : NULL;
		if (more != NULL) {
			jobs = more;
			jobs[n++] = (struct batch_job){ .id = id, .line = b.line };
		}
	}
	for (size_t i = 0; i < n && wait_job(app, jobs[i].id); i++) {
		struct job_info info;
		b.line = jobs[i].line;
		if (shell_job(app->shell, jobs[i].id, &info) && info.state != JOB_STATE_DONE)
			batch_failed(&b, &info.error);
	}
	if (in != stdin)
		fclose(in);
	free(buffer);
	free(jobs);
	return b.code == 0 && b.n == 0 && app->options.fail_if_empty ? EXIT_EMPTY : b.code;
}

/* -- scenarios */

static int lua_file_only(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return n > 4 && strcmp(d->d_name + n - 4, ".lua") == 0;
}

/* T.finish(): prints the plan; how many cases failed. */
static int tests_failed(struct app *app)
{
	lua_State *L = lua_host_state(app->host);
	int n = 0, code = 0, failed = 1;
	lua_getglobal(L, "require");
	lua_pushliteral(L, "shoal.test");
	if (lua_host_call(app->host, 1, &n, &code)) {
		lua_settop(L, lua_gettop(L) - n + 1);
		lua_getfield(L, -1, "finish");
		lua_remove(L, -2);
		if (lua_host_call(app->host, 0, &n, &code)) {
			failed = n > 0 ? (int)lua_tointeger(L, -n) : 1;
			lua_pop(L, n);
		}
	}
	return failed;
}

int run_tests(struct app *app)
{
	const char *path = app->options.test;
	struct stat st;
	struct dirent **names = NULL;
	int code = 0, n = 0;
	lua_host_strict_globals(app->host, true);
	lua_host_args(app->host, path, app->options.args, app->options.nargs);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		n = scandir(path, &names, lua_file_only, alphasort);
		for (int i = 0; i < n; i++) {
			char *file = str_printf("%s/%s", path, names[i]->d_name);
			if (code == 0 && interrupt_pending() == 0)
				code = lua_host_script(app->host, file);
			free(file);
			free(names[i]);
		}
		free(names);
	} else {
		code = lua_host_script(app->host, path);
	}
	int sig = run_signal_code();
	int failed = sig == 0 ? tests_failed(app) : 0;
	if (sig != 0)
		return sig;
	return code == error_exit_code(SHOAL_EUSAGE) ? code : code != 0 || failed != 0 ? EXIT_TESTS : 0;
}
