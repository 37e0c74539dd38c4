/* client/console.c */
#include "client/console.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/interrupt.h"
#include "client/prompt.h"
#include "core/base/mem.h"

enum { OUT_CHUNK = 65536 };

struct console {
	struct session session;
	struct notes *notes;
	console_out_fn *out;
	void *arg;
	int fd;          /* memory file that standard output and error are while a line runs; -1: none does */
	int saved[2];    /* what they were */
	bool running, stopped;
};

static bool job_of_shell(void *owner, uint64_t id, struct job_info *out)
{
	return shell_job(owner, id, out);
}

struct console *console_new(struct lua_host *host, struct shell *sh, bool json, console_out_fn *out, void *arg)
{
	struct console *c = try_alloc(sizeof(*c));
	if (c == NULL)
		return NULL;
	c->session = (struct session){ .host = host, .shell = sh };
	c->session.format = (struct format_opts){ .json = json, .job = job_of_shell, .owner = sh };
	c->out = out;
	c->arg = arg;
	c->fd = -1;
	c->notes = notes_new(sh);
	return c;
}

void console_free(struct console *c)
{
	if (c == NULL)
		return;
	notes_free(c->notes);
	session_free(&c->session);
	free(c);
}

/* -- what is printed meanwhile */

static bool redirect(struct console *c)
{
	fflush(stdout);
	fflush(stderr);
	c->fd = memfd_create("console", MFD_CLOEXEC);
	c->saved[0] = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	c->saved[1] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	return c->fd >= 0 && c->saved[0] >= 0 && c->saved[1] >= 0 && dup2(c->fd, STDOUT_FILENO) >= 0 &&
	       dup2(c->fd, STDERR_FILENO) >= 0;
}

static void put_back(struct console *c)
{
	for (int i = 0; i < 2; i++) {
		if (c->saved[i] >= 0) {
			dup2(c->saved[i], i == 0 ? STDOUT_FILENO : STDERR_FILENO);
			close(c->saved[i]);
		}
		c->saved[i] = -1;
	}
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* The file is emptied as it is read: a line that prints for hours takes no more memory than what is on its way. */
static void send_printed(struct console *c)
{
	uint8_t chunk[OUT_CHUNK];
	ssize_t n;
	fflush(stdout);
	fflush(stderr);
	if (lseek(c->fd, 0, SEEK_CUR) <= 0 || lseek(c->fd, 0, SEEK_SET) != 0)
		return;
	while ((n = read(c->fd, chunk, sizeof(chunk))) > 0)
		c->out(c->arg, chunk, (size_t)n, false);
	if (ftruncate(c->fd, 0) == 0)
		lseek(c->fd, 0, SEEK_SET);
}

void console_flush(struct console *c)
{
	char *text;
	if (c->running)
		send_printed(c);
	while ((text = notes_take(c->notes)) != NULL) {
		c->out(c->arg, text, strlen(text), true);
		free(text);
	}
}

/* -- lines */

enum session_result console_line(struct console *c, const char *line)
{
	static const char refused[] = "error: too many files are open to run this\n";
	enum session_result r = SESSION_DONE;
	bool strict = lua_host_strict_globals(c->session.host, false); /* a script's; here they are free */
	c->running = true;
	c->stopped = false;
	if (redirect(c)) {
		r = session_line(&c->session, line);
		if (c->stopped && interrupt_pending() == SIGINT) {
			interrupt_take();
			fputs("interrupted\n", stderr);
		}
		send_printed(c);
	} else {
		c->out(c->arg, refused, strlen(refused), false);
	}
	put_back(c);
	lua_host_strict_globals(c->session.host, strict);
	c->running = false;
	return r;
}

void console_drop_pending(struct console *c)
{
	session_drop_pending(&c->session);
}

void console_interrupt(struct console *c)
{
	c->stopped = c->running;
	if (c->running)
		interrupt_ask();
}

bool console_running(const struct console *c)
{
	return c->running;
}

int console_code(const struct console *c)
{
	return c->session.code;
}
