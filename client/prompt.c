/* client/prompt.c */
#include "client/prompt.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

#include "client/interrupt.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"

enum { TWICE_MS = 2000 };

struct prompt {
	struct prompt_config config;
	struct notes *notes;
	unsigned watch, listener;
	bool installed;   /* readline has the terminal */
	bool continued;   /* the statement is not finished */
	char *line;       /* a whole line has come */
	bool eof, leaving; /* leaving: asked whether to leave jobs behind */
	bool asking;      /* "log in again automatically?" */
	char ask_user[72];
	struct buf entry; /* all lines of the statement, for the history */
	char text[PROMPT_TEXT_MAX];
	uint64_t interrupted_ms;
};

/* readline's callbacks carry no argument; there is one readline, and so one prompt. */
static struct prompt *the_prompt;

static void on_line(char *line)
{
	struct prompt *p = the_prompt;
	p->line = line;
	p->eof = line == NULL;
	rl_callback_handler_remove();
	p->installed = false;
}

static void on_input(void *arg, short revents)
{
	struct prompt *p = arg;
	(void)revents;
	if (p->installed)
		rl_callback_read_char();
}

static void on_event(void *arg, const struct client_event *ev)
{
	struct prompt *p = arg;
	if (ev->type == EVENT_LOGGED_IN || ev->type == EVENT_LOGGED_OUT)
		p->asking = false; /* it has settled itself */
	if (ev->type != EVENT_ASK_LOGIN)
		return;
	p->asking = true;
	snprintf(p->ask_user, sizeof(p->ask_user), "%s", ev->user);
}

void prompt_text(const struct shell_state *st, bool continued, char out[PROMPT_TEXT_MAX])
{
	char who[100], jobs[60] = "";
	int n = 0;
	if (st->downloads != 0)
		n = snprintf(jobs, sizeof(jobs), " %uv", st->downloads);
	if (st->uploads != 0)
		snprintf(jobs + n, sizeof(jobs) - (size_t)n, " %u^", st->uploads);
	if (st->up)
		snprintf(who, sizeof(who), "%s%st%u", st->user, st->logged_in ? "@" : "", st->tracker);
	else
		snprintf(who, sizeof(who), "(offline)%s%s", st->user[0] != '\0' ? " " : "", st->user);
	if (continued)
		snprintf(out, PROMPT_TEXT_MAX, "%*s", (int)(strlen(who) + strlen(jobs)) + 2, "...> ");
	else
		snprintf(out, PROMPT_TEXT_MAX, "%s%s> ", who, jobs);
}

static void make_text(const struct prompt *p, char out[PROMPT_TEXT_MAX])
{
	if (p->asking)
		snprintf(out, PROMPT_TEXT_MAX, "the session is lost: log in again automatically as %s? [Y/n] ", p->ask_user);
	else
		prompt_text(shell_state(p->config.session->shell), p->continued, out);
}

static void install(struct prompt *p)
{
	make_text(p, p->text);
	rl_callback_handler_install(p->text, on_line);
	p->installed = true;
}

static void hide(struct prompt *p)
{
	if (p->installed)
		rl_clear_visible_line();
	fflush(stdout);
}

static void show_again(struct prompt *p)
{
	fflush(stdout);
	if (p->installed)
		rl_forced_update_display();
}

static void refresh_text(struct prompt *p)
{
	char text[PROMPT_TEXT_MAX];
	make_text(p, text);
	if (!p->installed || strcmp(text, p->text) == 0)
		return;
	hide(p);
	snprintf(p->text, sizeof(p->text), "%s", text);
	rl_set_prompt(p->text);
	show_again(p);
}

static void print_notes(struct prompt *p)
{
	char *text;
	bool hidden = false;
	while ((text = notes_take(p->notes)) != NULL) {
		if (!p->config.quiet) {
			if (!hidden)
				hide(p);
			hidden = true;
			printf("%s\n", text);
		}
		free(text);
	}
	if (hidden)
		show_again(p);
}

/* -- what was typed */

/* "", y, yes, n, no: an answer. Anything else is a command that was being typed when the question came. */
static bool answer_login(struct prompt *p, const char *line)
{
	bool yes = line[0] == '\0' || strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0;
	bool no = strcasecmp(line, "n") == 0 || strcasecmp(line, "no") == 0;
	struct call *c = yes || no ? call_new(CALL_ANSWER) : NULL;
	if (c == NULL)
		return false;
	c->yes = yes;
	shell_tell(p->config.session->shell, c);
	p->asking = false;
	return true;
}

static bool eval(struct prompt *p, const char *line)
{
	if (p->entry.len != 0)
		buf_put(&p->entry, "\n", 1);
	buf_put(&p->entry, line, strlen(line));
	enum session_result r = session_line(p->config.session, line);
	p->continued = r == SESSION_MORE;
	if (p->continued)
		return true;
	char *entry = buf_steal_str(&p->entry);
	if (entry != NULL)
		history_keep(p->config.history, entry);
	free(entry);
	if (interrupt_pending() == SIGINT) {
		interrupt_take();
		p->interrupted_ms = clock_mono_ms();
		fputs("interrupted\n", stderr);
	}
	return r != SESSION_QUIT;
}

/* Ctrl-D. False: leave. */
static bool end_of_file(struct prompt *p)
{
	const struct shell_state *st = shell_state(p->config.session->shell);
	putchar('\n');
	if (p->continued) {
		session_drop_pending(p->config.session);
		buf_reset(&p->entry);
		p->continued = false;
		return true;
	}
	if (p->leaving || st->downloads + st->uploads == 0)
		return false;
	p->leaving = true;
	unsigned n = st->downloads + st->uploads;
	printf("%u job%s running and can be resumed later. Ctrl-D again leaves.\n", n, n == 1 ? " is" : "s are");
	return true;
}

static bool take_line(struct prompt *p)
{
	char *line = p->line;
	bool stay = true;
	p->line = NULL;
	if (p->eof) {
		p->eof = false;
		return end_of_file(p);
	}
	p->leaving = false;
	if (!p->asking || !answer_login(p, line))
		stay = eval(p, line);
	free(line);
	return stay;
}

/* A signal came while nothing ran. The exit code if it ends the program, else -1. */
static int interrupted(struct prompt *p)
{
	int sig = interrupt_take();
	uint64_t now = clock_mono_ms();
	if (sig != SIGINT)
		return 128 + sig;
	bool empty = !p->continued && (!p->installed || rl_end == 0);
	if (empty && p->interrupted_ms != 0 && now - p->interrupted_ms < TWICE_MS)
		return 128 + SIGINT;
	p->interrupted_ms = empty ? now : 0; /* the one that clears what was typed is no step towards the end */
	if (p->installed) {
		rl_callback_sigcleanup();
		fputs(empty ? "^C (again to leave)\n" : "^C\n", stdout);
		rl_replace_line("", 0);
		rl_callback_handler_remove();
		p->installed = false;
	}
	session_drop_pending(p->config.session);
	buf_reset(&p->entry);
	p->continued = false;
	return -1;
}

static void run_due(struct prompt *p)
{
	struct lua_host *host = p->config.session->host;
	bool due = lua_host_timeout(host) == 0;
	if (due)
		hide(p);
	lua_host_pump(host);
	if (due)
		show_again(p);
}

static int earlier(int a, int b)
{
	return a < 0 ? b : b < 0 || a < b ? a : b;
}

static int loop(struct prompt *p)
{
	struct session *s = p->config.session;
	for (;;) {
		if (!p->installed)
			install(p);
		shell_step(s->shell, earlier(lua_host_timeout(s->host), notes_timeout(p->notes)));
		if (interrupt_pending() != 0) {
			int code = interrupted(p);
			if (code >= 0)
				return code;
		}
		if (p->config.stopped(p->config.owner))
			return 0;
		if ((p->line != NULL || p->eof) && !take_line(p))
			return 0;
		print_notes(p);
		run_due(p);
		refresh_text(p);
	}
}

static void show_history(void *owner, unsigned n)
{
	(void)owner;
	int first = n != 0 && (int)n < history_length ? history_length - (int)n : 0;
	for (int i = first; i < history_length; i++) {
		HIST_ENTRY *entry = history_get(history_base + i);
		if (entry != NULL)
			printf("%5d  %s\n", i + 1, entry->line);
	}
	fflush(stdout);
}

int prompt_run(const struct prompt_config *config)
{
	struct prompt p = { .config = *config };
	struct session *s = config->session;
	the_prompt = &p;
	rl_readline_name = "shoal";
	rl_catch_signals = 0;
	rl_attempted_completion_function = prompt_complete;
	rl_completer_word_break_characters = " \t\n\"'`@$><=;|&{(,";
	history_load(config->history);
	s->show_history = show_history;
	p.notes = notes_new(s->shell);
	p.listener = shell_listen(s->shell, on_event, &p);
	p.watch = shell_watch(s->shell, STDIN_FILENO, POLLIN, on_input, &p);
	int code = loop(&p);
	if (p.installed) {
		rl_callback_handler_remove();
		if (code != 0)
			putchar('\n');
	}
	shell_drop(s->shell, p.watch);
	shell_drop(s->shell, p.listener);
	notes_free(p.notes);
	s->show_history = NULL;
	free(p.line);
	buf_free(&p.entry);
	the_prompt = NULL;
	return code;
}
