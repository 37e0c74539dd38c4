/* client/attach.c */
#include "client/attach.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <readline/history.h>
#include <readline/readline.h>

#include "client/interrupt.h"
#include "client/prompt.h"
#include "client/secret.h"
#include "client/typed.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/name.h"

enum { READ_SIZE = 65536, NOBODY = 7, ANSWER_MAX = 128 << 20 };

struct attach {
	const struct options *options;
	int fd;
	struct buf in;
	char prompt[PROMPT_TEXT_MAX];
	char *history;
	bool gone, quit, more, waiting; /* waiting: for the answer to a line */
	int code;
	unsigned last_id;
	/* -- readline */
	bool installed, eof;
	char *line;
};

/* readline's callbacks carry no argument; there is one readline, and so one prompt. */
static struct attach *the_attach;

char *attach_path(const struct options *o)
{
	if (o->control != NULL)
		return xstrdup(o->control);
	char *folder = fs_xdg(XDG_RUNTIME, o->data);
	char *path = folder != NULL ? str_printf("%s/control", folder) : NULL;
	free(folder);
	return path;
}

/* -- the socket */

static int dial(const char *path, struct error *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sa.sun_path)) {
		error_set(e, SHOAL_EUSAGE, "'%.100s...' is too long for a socket", path);
		return -1;
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	error_set(e, SHOAL_EOFFLINE, "no shoal serves '%.300s': start one with --daemon, or say where with --control", path);
	if (fd >= 0)
		close(fd);
	return -1;
}

static void say(struct attach *a, json_t *line)
{
	char *text = line != NULL ? json_dumps(line, JSON_COMPACT) : NULL;
	json_decref(line);
	a->gone |= text == NULL || !fs_write_all(a->fd, text, strlen(text)) || !fs_write_all(a->fd, "\n", 1);
	if (text != NULL)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

static void say_call(struct attach *a, const char *call)
{
	say(a, json_pack("{si ss}", "id", ++a->last_id, "call", call));
}

/* The bytes as they are: what the other side could not tell as UTF-8 it has escaped. */
static void send_line(struct attach *a, const char *text)
{
	struct value v = value_str(text);
	say(a, json_pack("{si ss s[o]}", "id", ++a->last_id, "call", "line", "args", value_to_json(&v)));
	value_free(&v);
	a->waiting = true;
}

static void hide(struct attach *a)
{
	if (a->installed)
		rl_clear_visible_line();
	fflush(stdout);
}

static void show_again(struct attach *a)
{
	fflush(stdout);
	if (a->installed)
		rl_forced_update_display();
}

static void print_note(struct attach *a, const char *text)
{
	if (a->options->quiet || !isatty(STDOUT_FILENO))
		return;
	hide(a);
	printf("%s\n", text);
	show_again(a);
}

static void take_answer(struct attach *a, const json_t *line)
{
	const json_t *value = json_object_get(line, "value");
	const char *why = json_string_value(json_object_get(json_object_get(line, "err"), "message"));
	const char *prompt = json_string_value(json_object_get(value, "prompt"));
	if ((unsigned)json_integer_value(json_object_get(line, "id")) != a->last_id || !a->waiting)
		return;
	a->waiting = false;
	if (why != NULL) {
		fprintf(stderr, "shoal: %s\n", why);
		a->code = error_exit_code(SHOAL_EBUSY);
	}
	if (prompt != NULL)
		snprintf(a->prompt, sizeof(a->prompt), "%s", prompt);
	a->more = json_is_true(json_object_get(value, "more"));
	a->quit = json_is_true(json_object_get(value, "quit"));
	if (value != NULL)
		a->code = (int)json_integer_value(json_object_get(value, "code"));
}

static void take_message(struct attach *a, const char *text, size_t len)
{
	json_error_t why;
	json_t *line = json_loadb(text, len, 0, &why);
	const char *out = json_string_value(json_object_get(line, "out")), *note = json_string_value(json_object_get(line, "note"));
	if (out != NULL) {
		hide(a);
		fputs(out, stdout);
		show_again(a);
	} else if (note != NULL) {
		print_note(a, note);
	} else if (json_object_get(line, "id") != NULL) {
		take_answer(a, line);
	}
	json_decref(line);
}

static void on_readable(struct attach *a)
{
	ssize_t n = buf_reserve(&a->in, READ_SIZE) ? recv(a->fd, a->in.data + a->in.len, a->in.cap - a->in.len, 0) : 0;
	if (n < 0 && errno == EINTR)
		return;
	a->gone |= n <= 0 || a->in.len + (size_t)n > ANSWER_MAX;
	if (a->gone)
		return;
	a->in.len += (size_t)n;
	uint8_t *nl;
	size_t at = 0;
	while ((nl = memchr(a->in.data + at, '\n', a->in.len - at)) != NULL) {
		size_t end = (size_t)(nl - a->in.data);
		take_message(a, (char *)a->in.data + at, end - at);
		at = end + 1;
	}
	buf_consume(&a->in, at);
}

/* -- secrets: asked for here, where there is a terminal, and sent with the line */

static bool ask_secret(const struct cmd_arg *arg, const struct typed *t, struct buf *line, struct error *e)
{
	struct value got = { 0 };
	char question[160], who[100];
	const char *user = value_text(&t->argv[0], "you");
	bool twice = strcmp(t->cmd->name, "create_user") == 0 || strcmp(arg->name, "new") == 0;
	snprintf(question, sizeof(question), "%s for %s", arg->name, text_escape(user, strlen(user), who, sizeof(who)));
	struct secret_source tty = { .fd = -1, .terminal = true };
	struct secret_question q = { .text = question, .twice = twice, .terminal = true };
	if (secret_get(&tty, &q, &got, e) != SHOAL_OK)
		return false;
	buf_put_u8(line, ' ');
	typed_quote(line, value_text(&got, ""));
	value_free(&got);
	return true;
}

/* The line, with the passwords that it lacks; NULL: there is none, and it was told. The caller frees it. */
static char *with_secrets(const char *line)
{
	struct typed t;
	struct error e;
	struct buf out = { 0 };
	const char *rest;
	buf_put(&out, line, strlen(line));
	const struct cmd *cmd = isatty(STDIN_FILENO) ? typed_verb(line, &rest) : NULL;
	bool ok = true;
	if (cmd != NULL && (cmd->flags & CMD_SECRET) != 0 && strpbrk(rest, "(=") == NULL && typed_parse(line, &t, &e) == SHOAL_OK) {
		for (unsigned i = 0; i < cmd_count_args(cmd) && ok; i++)
			if (cmd->args[i].kind == ARG_SECRET && t.argv[i].type == VALUE_NIL)
				ok = (i == 0 || t.argv[0].type != VALUE_NIL || cmd->args[0].kind == ARG_SECRET) &&
				     ask_secret(&cmd->args[i], &t, &out, &e);
		typed_free(&t);
	}
	char *text = buf_steal_str(&out);
	if (!ok)
		fprintf(stderr, "error: %s\n", e.message);
	if (!ok && text != NULL) {
		free(text);
		text = NULL;
	}
	return text;
}

/* -- running lines */

/* Ctrl-C stops what runs there; twice leaves it running. */
static void wait_answer(struct attach *a)
{
	while (a->waiting && !a->gone) {
		struct pollfd p = { .fd = a->fd, .events = POLLIN };
		int n = poll(&p, 1, -1);
		if (interrupt_pending() == SIGINT) {
			interrupt_take();
			unsigned line = a->last_id;
			say_call(a, "interrupt");
			a->last_id = line; /* its own answer is nothing to wait for */
		} else if (interrupt_pending() != 0) {
			return;
		}
		if (n > 0)
			on_readable(a);
	}
}

static void run_line(struct attach *a, const char *line)
{
	char *text = with_secrets(line);
	if (text == NULL)
		return;
	send_line(a, text);
	OPENSSL_cleanse(text, strlen(text));
	free(text);
	wait_answer(a);
}

static void run_input(struct attach *a)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	while (!a->gone && !a->quit && interrupt_pending() == 0 && (n = getline(&line, &size, stdin)) >= 0) {
		if (n > 0 && line[n - 1] == '\n')
			line[n - 1] = '\0';
		run_line(a, line);
	}
	if (a->more && !a->gone) {
		fputs("shoal: the input ends in the middle of a statement\n", stderr);
		a->code = error_exit_code(SHOAL_EUSAGE);
	}
	free(line);
}

static void on_line(char *line)
{
	the_attach->line = line;
	the_attach->eof = line == NULL;
	rl_callback_handler_remove();
	the_attach->installed = false;
}

static void take_line(struct attach *a)
{
	char *line = a->line;
	a->line = NULL;
	if (a->eof) {
		putchar('\n');
		a->quit = true;
		return;
	}
	run_line(a, line);
	history_keep(a->history, line);
	free(line);
}

static void clear_typed(struct attach *a)
{
	interrupt_take();
	rl_callback_sigcleanup();
	fputs("^C\n", stdout);
	rl_replace_line("", 0);
	rl_callback_handler_remove();
	a->installed = false;
	if (a->more) {
		say_call(a, "drop");
		a->more = false;
	}
	send_line(a, "");
	wait_answer(a);
}

static void run_prompt(struct attach *a)
{
	the_attach = a;
	rl_readline_name = "shoal";
	rl_catch_signals = 0;
	rl_attempted_completion_function = prompt_complete;
	rl_completer_word_break_characters = " \t\n\"'`@$><=;|&{(,";
	history_load(a->history);
	send_line(a, ""); /* for the prompt */
	wait_answer(a);
	while (!a->gone && !a->quit) {
		if (!a->installed)
			rl_callback_handler_install(a->prompt, on_line);
		a->installed = true;
		struct pollfd p[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = a->fd, .events = POLLIN } };
		int n = poll(p, 2, -1);
		if (interrupt_pending() == SIGINT)
			clear_typed(a);
		else if (interrupt_pending() != 0)
			break;
		if (n > 0 && p[1].revents != 0)
			on_readable(a);
		if (n > 0 && p[0].revents != 0 && a->installed)
			rl_callback_read_char();
		if (a->line != NULL || a->eof)
			take_line(a);
	}
	if (a->installed)
		rl_callback_handler_remove();
	the_attach = NULL;
}

int attach_run(const struct options *o)
{
	struct attach a = { .options = o };
	struct error e;
	char *path = attach_path(o), *state = fs_xdg(XDG_STATE, o->data);
	a.fd = path != NULL ? dial(path, &e) : -1;
	if (a.fd < 0) {
		fprintf(stderr, "shoal: %s\n", path != NULL ? e.message : "there is no folder for sockets: say where with --control");
		free(path);
		free(state);
		return NOBODY;
	}
	const char *set = getenv("SHOAL_HISTORY");
	if (set == NULL ? state != NULL : set[0] != '\0')
		a.history = set != NULL ? xstrdup(set) : str_printf("%s/history", state);
	if (o->json)
		say_call(&a, "json");
	for (unsigned i = 0; i < o->ncode && !a.gone && !a.quit; i++)
		run_line(&a, o->code[i]);
	if (!a.gone && !a.quit && (o->ncode == 0 || o->interactive)) {
		if (isatty(STDIN_FILENO) || o->interactive)
			run_prompt(&a);
		else
			run_input(&a);
	}
	if (a.gone)
		fprintf(stderr, "shoal: the program behind '%s' has ended\n", path);
	close(a.fd);
	buf_free(&a.in);
	free(a.history);
	free(path);
	free(state);
	int sig = interrupt_pending();
	return sig != 0 ? 128 + sig : a.gone ? NOBODY : a.code;
}
