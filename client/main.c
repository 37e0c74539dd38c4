/* client/main.c - shoal: sets everything up, runs what was asked for, takes everything down. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/app.h"
#include "client/attach.h"
#include "client/interrupt.h"
#include "client/notify.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"

enum { STOP_MS = 3000, SELF_PATH_MAX = 4096 };

static int complain(const struct error *e)
{
	fprintf(stderr, "shoal: %s\n", e->message);
	return error_exit_code(e->code);
}

/* The program's own files: whatever keeps it from using them is the disk's matter, not a group that does not exist. */
static int complain_of_start(const struct error *e)
{
	bool own = e->code == SHOAL_ENOTFOUND || e->code == SHOAL_EDENIED || e->code == SHOAL_EEXISTS;
	int code = complain(e);
	return own ? error_exit_code(SHOAL_EIO) : code;
}

/* Has all that was printed arrived? If not, `code` cannot say that all is well. A reader that has gone (| head) is told
 * as by any program that SIGPIPE ends: by the code alone. */
static int end_output(int code)
{
	int rc = fflush(stdout), why = errno;
	if (rc == 0 && !ferror(stdout))
		return code;
	if (interrupt_reader_gone())
		return code != 0 ? code : 128 + SIGPIPE;
	fprintf(stderr, "shoal: cannot write the standard output%s%s\n", rc != 0 ? ": " : "", rc != 0 ? strerror(why) : "");
	return code == 0 || code == 128 + SIGPIPE ? error_exit_code(SHOAL_EIO) : code;
}

/* -- what the engine gets */

/* An address that no interface can have is a mistake of the command line; that it is in use is not. */
static enum shoal_err check_listen(const char *text, struct address *out, struct error *e)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *list = NULL;
	enum shoal_err rc = address_parse(text, true, out, e);
	if (rc != SHOAL_OK)
		return rc;
	int failed = getaddrinfo(out->host, NULL, &hints, &list);
	if (failed == 0)
		freeaddrinfo(list);
	return failed == 0 ? SHOAL_OK
	                   : error_set(e, SHOAL_EUSAGE, "cannot listen on %.200s: %s", text,
	                               failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
}

static enum shoal_err read_trackers(const char *path, struct tracker_info *out, struct error *e)
{
	enum shoal_err rc = tracker_info_read(path, out, e);
	if (rc == SHOAL_ENOTFOUND)
		return error_set(e, SHOAL_EUSAGE, "there is no tracker file '%.300s'", path);
	if (rc == SHOAL_EIO || rc == SHOAL_EDENIED)
		rc = e->code = SHOAL_EUSAGE; /* a folder, or not ours to read: another file was meant */
	return rc;
}

/* Only looked at: it is read when a password is asked for, and may be a pipe that can be read once. */
static enum shoal_err check_password_source(const struct options *o, struct error *e)
{
	struct stat st;
	if (o->password_fd >= 0 && fcntl(o->password_fd, F_GETFD) < 0)
		return error_set(e, SHOAL_EUSAGE, "--password-fd %d: %s", o->password_fd, strerror(errno));
	if (o->password_file == NULL)
		return SHOAL_OK;
	if (stat(o->password_file, &st) != 0 || access(o->password_file, R_OK) != 0)
		return error_set(e, SHOAL_EUSAGE, "cannot read the password file '%.300s': %s", o->password_file, strerror(errno));
	return S_ISDIR(st.st_mode) ? error_set(e, SHOAL_EUSAGE, "the password file '%.300s' is a folder", o->password_file)
	                           : SHOAL_OK;
}

static enum shoal_err fill_config(struct app *app, struct error *e)
{
	const struct options *o = &app->options;
	struct client_config *c = &app->config;
	enum shoal_err rc = check_listen(o->listen, &c->listen, e);
	if (rc == SHOAL_OK)
		rc = read_trackers(o->trackers, &c->trackers, e);
	if (rc == SHOAL_OK)
		rc = check_password_source(o, e);
	if (rc == SHOAL_OK && o->announce != NULL) {
		c->has_announce = true;
		rc = address_parse(o->announce, false, &c->announce, e);
	}
	if (rc != SHOAL_OK)
		return rc;
	c->pinned = c->trackers.pinned;
	c->cluster = c->trackers.cluster;
	if (o->cluster != NULL && !identity_parse(o->cluster, &c->cluster))
		return error_set(e, SHOAL_EUSAGE, "--cluster needs sha256: and 64 hex digits, not '%.100s'", o->cluster);
	c->pinned |= o->cluster != NULL;
	c->root = o->data;
	c->plaintext = o->plaintext;
	c->threads = o->threads;
	c->max_active = o->max_active;
	bool asks = isatty(STDIN_FILENO) && !o->no_input && o->script == NULL && o->ncode == 0 && o->batch == NULL;
	c->auto_login = o->auto_login >= 0 ? (enum auto_login)o->auto_login : asks ? AUTO_LOGIN_ASK : AUTO_LOGIN_YES;
	c->log = app->log;
	return SHOAL_OK;
}

/* The log goes to the state folder unless said otherwise; on standard error only with -v. */
static enum shoal_err open_log(struct app *app, struct error *e)
{
	const struct options *o = &app->options;
	char *folder = o->log_file == NULL && o->test == NULL ? fs_xdg(XDG_STATE, o->data) : NULL;
	char *path = folder != NULL ? str_printf("%s/shoal.log", folder) : NULL;
	enum shoal_err rc = folder != NULL ? fs_mkdirs(folder, 0700, e) : SHOAL_OK;
	if (rc == SHOAL_OK) {
		app->log = log_open(o->log_file != NULL ? o->log_file : path, o->verbose ? LOG_DEBUG : LOG_ERROR,
		                    o->verbose ? LOG_DEBUG : LOG_INFO, e);
		rc = app->log != NULL ? SHOAL_OK : e->code;
	}
	free(path);
	free(folder);
	return rc;
}

static void set_paths(struct app *app)
{
	const struct options *o = &app->options;
	char *data = fs_xdg(XDG_DATA, o->data), *state = fs_xdg(XDG_STATE, o->data), *config = fs_xdg(XDG_CONFIG, o->data);
	char self[SELF_PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *build = getenv("SHOAL_BUILD");
	app->lua_folder = data != NULL ? str_printf("%s/lua", data) : NULL;
	app->state_folder = state != NULL ? xstrdup(state) : NULL;
	if (build != NULL && build[0] != '\0') {
		char *real = realpath(build, NULL);
		app->build_folder = real != NULL ? real : xstrdup(build);
	} else if (n > 0) {
		self[n] = '\0';
		app->build_folder = fs_dirname(self);
	}
	if (o->history != NULL ? o->history[0] != '\0' : state != NULL)
		app->history = o->history != NULL ? xstrdup(o->history) : str_printf("%s/history", state);
	if (!o->no_rc)
		app->rc = o->rc != NULL ? xstrdup(o->rc) : config != NULL ? str_printf("%s/rc.lua", config) : NULL;
	free(data);
	free(state);
	free(config);
}

/* -- callbacks */

static enum shoal_err on_secret(void *owner, const struct secret_question *q, struct value *out, struct error *e)
{
	struct app *app = owner;
	progress_clear(app->progress);
	return secret_get(&app->secrets, q, out, e);
}

static bool on_confirm(void *owner, const char *question)
{
	(void)owner;
	return secret_confirm(question);
}

static void on_quit(void *owner)
{
	struct app *app = owner;
	app->stopped = true;
}

/* Without an engine (--test) nobody is there to ask. */
static void post_nowhere(struct engine *en, struct call *c)
{
	struct queue *events = (struct queue *)(void *)en;
	struct client_event *ev = xalloc(sizeof(*ev));
	error_set(&c->error, SHOAL_EOFFLINE, "this program only runs scenarios: it has no session of its own");
	ev->type = EVENT_ANSWER;
	ev->call = c;
	queue_post(events, &ev->node);
}

/* -- up and down */

static enum shoal_err start_engine(struct app *app, struct error *e)
{
	enum shoal_err rc = fill_config(app, e);
	if (rc == SHOAL_OK && (app->options.control != NULL || app->options.daemon)) {
		char *path = attach_path(&app->options);
		app->control = path != NULL ? control_open(path, e) : NULL;
		rc = app->control != NULL ? SHOAL_OK
		     : path != NULL       ? e->code
		                          : error_set(e, SHOAL_EUSAGE, "there is no folder for sockets: say where with --control");
		free(path);
	}
	if (rc != SHOAL_OK)
		return rc;
	interrupt_block(); /* other threads are not for signals */
	app->engine = engine_start(&app->config, e);
	interrupt_unblock();
	return app->engine != NULL ? SHOAL_OK : e->code;
}

static void start_shell(struct app *app)
{
	struct shell_config config = { .owner = app, .ask_secret = on_secret };
	bool terminal = !app->options.no_input && isatty(STDIN_FILENO);
	if (terminal)
		config.confirm = on_confirm;
	if (app->engine != NULL) {
		config.engine = app->engine;
		config.post = engine_post;
		config.events = engine_events(app->engine);
	} else {
		app->no_events = queue_new();
		config.engine = (struct engine *)(void *)app->no_events;
		config.post = post_nowhere;
		config.events = app->no_events;
	}
	app->shell = shell_new(&config);
	app->secrets = (struct secret_source){ .file = app->options.password_file, .fd = app->options.password_fd,
		                               .terminal = !app->options.no_input };
}

static void serve_control(struct app *app)
{
	struct control_config config = { .host = app->host, .quit = on_quit, .owner = app };
	if (app->control == NULL)
		return;
	config.listen = engine_listen_address(app->engine);
	control_serve(app->control, app->shell, &config);
}

/* Saves the state of running jobs and says goodbye to the tracker, within STOP_MS. */
static void stop_engine(struct app *app)
{
	if (app->engine == NULL)
		return;
	interrupt_take();
	uint64_t until = clock_mono_ms() + STOP_MS;
	struct call *c = call_new(CALL_STOP);
	struct call *stop = c;
	bool answered = c == NULL;
	if (c != NULL)
		engine_post(app->engine, c);
	while (!answered && clock_mono_ms() < until) {
		queue_wait(engine_events(app->engine), 100);
		struct queue_node *node = queue_take_all(engine_events(app->engine));
		while (node != NULL) {
			struct client_event *ev = container_of(node, struct client_event, node);
			node = node->next;
			if (ev->type == EVENT_ANSWER) {
				answered |= ev->call == stop;
				call_free(ev->call);
			}
			client_event_free(ev);
		}
	}
	engine_free(app->engine);
	app->engine = NULL;
}

static void stop(struct app *app)
{
	progress_free(app->progress);
	app->progress = NULL;
	control_close(app->control);
	app->control = NULL;
	stop_engine(app);
}

static void free_all(struct app *app)
{
	lua_host_free(app->host);
	shell_free(app->shell);
	if (app->no_events != NULL)
		queue_free(app->no_events);
	value_free(&app->secrets.known);
	tracker_info_free(&app->config.trackers);
	log_close(app->log);
	free(app->lua_folder);
	free(app->state_folder);
	free(app->build_folder);
	free(app->history);
	free(app->rc);
	options_free(&app->options);
}

/* os.exit(): in good order, but without waiting for jobs. */
static void on_exit_call(void *owner, int code)
{
	struct app *app = owner;
	code = end_output(code);
	stop(app);
	exit(code);
}

static void start_lua(struct app *app)
{
	const struct options *o = &app->options;
	struct lua_host_config config = {
		.shell = app->shell,
		.strict = o->strict,
		.verbose = o->verbose,
		.testing = o->test != NULL,
		.sandbox = o->sandbox,
		.asking = o->no_input ? ASK_NOTHING : ASK_SECRETS,
		.lua_folder = app->lua_folder,
		.state_folder = app->state_folder,
		.build_folder = app->build_folder,
		.log = app->log,
		.settings = value_copy(&o->settings),
		.exit = on_exit_call,
		.owner = app,
	};
	app->host = lua_host_new(&config);
}

/* Limits of config.lua hold from the start. */
static void apply_limits(struct app *app)
{
	int64_t down = value_get_int(&app->options.settings, "down", -1), up = value_get_int(&app->options.settings, "up", -1);
	struct call *c = down >= 0 || up >= 0 ? call_new(CALL_LIMITS) : NULL;
	if (c == NULL)
		return;
	c->opts.down = down >= 0 ? (uint64_t)down : UINT64_MAX;
	c->opts.up = up >= 0 ? (uint64_t)up : UINT64_MAX;
	shell_tell(app->shell, c);
}

static int run(struct app *app)
{
	const struct options *o = &app->options;
	bool terminal = isatty(STDIN_FILENO);
	bool code_given = o->script != NULL || o->ncode != 0;
	bool prompt = o->interactive || (!code_given && o->batch == NULL && !o->no_input && terminal);
	int code = 0;
	if (o->test != NULL)
		return run_tests(app);
	apply_limits(app);
	if (o->daemon)
		notify_state("READY=1");
	if (!o->quiet && (!prompt || code_given) && (!o->daemon || o->progress != PROGRESS_AUTO))
		app->progress = progress_new(app->shell, o->progress, isatty(STDERR_FILENO) && !prompt);
	if (code_given || o->nmodules != 0)
		code = run_scripts(app);
	if (o->batch != NULL && code == 0)
		code = run_batch(app);
	if (o->daemon)
		return code != 0 && interrupt_pending() == 0 ? run_to_end(app, code, o->script != NULL) : run_daemon(app);
	if (prompt && interrupt_pending() == 0) {
		progress_free(app->progress);
		app->progress = NULL;
		return run_prompt(app);
	}
	if (!code_given && o->batch == NULL && !o->no_input)
		code = exit_code_join(code, run_piped(app));
	else if (!code_given && o->batch == NULL && o->control != NULL)
		return run_served(app);
	return run_to_end(app, code, o->script != NULL);
}

int main(int argc, char *argv[])
{
	struct app app = { 0 };
	struct error e = { 0 };
	setlocale(LC_CTYPE, "");
	enum shoal_err rc = options_parse(&app.options, argc, argv, &e);
	if (rc != SHOAL_OK)
		return complain(&e);
	if (app.options.help || app.options.version) {
		char *text = app.options.help ? options_help() : str_printf("shoal " SHOAL_VERSION "\n");
		fputs(text, stdout);
		free(text);
		options_free(&app.options);
		return end_output(0);
	}
	if (app.options.attach) {
		interrupt_install();
		int attached = attach_run(&app.options);
		options_free(&app.options);
		return end_output(attached);
	}
	if (app.options.no_input && !app.options.daemon && app.options.script == NULL && app.options.ncode == 0 && app.options.batch == NULL &&
	    app.options.control == NULL && app.options.test == NULL) {
		error_set(&e, SHOAL_EUSAGE, "nothing to do: --no-input, and no script, -e, --batch or --control");
		options_free(&app.options);
		return complain(&e);
	}
	interrupt_install();
	interrupt_after(app.options.timeout_ms);
	set_paths(&app);
	rc = open_log(&app, &e);
	if (rc == SHOAL_OK && app.options.test == NULL)
		rc = start_engine(&app, &e);
	if (rc != SHOAL_OK) {
		control_close(app.control);
		int failed = complain_of_start(&e);
		free_all(&app);
		return failed;
	}
	start_shell(&app);
	start_lua(&app);
	serve_control(&app);
	int code = run(&app);
	int sig = app.options.daemon ? 0 : run_signal_code();
	code = end_output(sig != 0 ? sig : code);
	if (app.options.daemon)
		notify_state("STOPPING=1");
	stop(&app);
	free_all(&app);
	return code;
}
