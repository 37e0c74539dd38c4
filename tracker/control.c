/* tracker/control.c
 *
 * A connection lives from its accept to the last byte of its answer. Few at once; who says nothing for ASK_MS goes. */
#include "tracker/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/net/loop.h"

enum { ASKERS_MAX = 16, ASK_MS = 5000 };

struct asker {
	LIST_ENTRY(asker) link;
	struct control *control;
	uint64_t question;
	int fd;
	struct loop_watch *watch;
	struct loop_timer *timer; /* until the line is there */
	char line[CONTROL_LINE_MAX];
	size_t len;
	bool asked;
	struct buf answer;
	size_t sent;
};

struct control {
	struct loop *loop;
	control_fn *fn;
	void *owner;
	char *path;
	int fd;
	struct loop_watch *watch;
	uint64_t questions;
	unsigned n;
	LIST_HEAD(, asker) askers;
};

static void asker_free(struct asker *a)
{
	LIST_REMOVE(a, link);
	a->control->n--;
	loop_watch_free(a->watch);
	loop_timer_free(a->timer);
	close(a->fd);
	buf_free(&a->answer);
	free(a);
}

static void send_more(struct asker *a)
{
	while (a->sent < a->answer.len) {
		ssize_t n = send(a->fd, a->answer.data + a->sent, a->answer.len - a->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && loop_watch_set(a->watch, false, true))
			return;
		if (n <= 0)
			break; /* it went away */
		a->sent += (size_t)n;
	}
	asker_free(a);
}

/* The line is whole: from now on we only write. */
static void ask(struct asker *a)
{
	a->asked = true;
	loop_timer_cancel(a->timer);
	if (loop_watch_set(a->watch, false, false))
		a->control->fn(a->control->owner, a->question, a->line);
	else
		asker_free(a);
}

static void on_asker(void *arg, unsigned ready)
{
	struct asker *a = arg;
	(void)ready;
	if (a->asked) {
		send_more(a);
		return;
	}
	ssize_t n = recv(a->fd, a->line + a->len, sizeof(a->line) - 1 - a->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		asker_free(a);
		return;
	}
	char *end = memchr(a->line + a->len, '\n', (size_t)n);
	a->len += (size_t)n;
	if (end != NULL) {
		*end = '\0';
		ask(a);
	} else if (a->len == sizeof(a->line) - 1) {
		asker_free(a);
	}
}

static void on_silence(void *arg)
{
	asker_free(arg);
}

static void on_knock(void *arg, unsigned ready)
{
	struct control *c = arg;
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct asker *a = fd >= 0 && c->n < ASKERS_MAX ? try_alloc(sizeof(*a)) : NULL;

	(void)ready;
	if (a == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	a->control = c;
	a->fd = fd;
	a->question = ++c->questions;
	LIST_INSERT_HEAD(&c->askers, a, link);
	c->n++;
	a->watch = loop_watch_new(c->loop, fd, on_asker, a);
	a->timer = loop_timer_new(c->loop, on_silence, a);
	if (a->watch == NULL || a->timer == NULL || !loop_watch_set(a->watch, true, false)) {
		asker_free(a);
		return;
	}
	loop_timer_set_ms(a->timer, ASK_MS);
}

void control_answer(struct control *c, uint64_t question, enum shoal_err rc, const char *sentence, struct slice text)
{
	struct asker *a;
	LIST_FOREACH(a, &c->askers, link)
		if (a->question == question)
			break;
	if (a == NULL || a->answer.len != 0)
		return;
	if (rc == SHOAL_OK)
		buf_printf(&a->answer, "ok\n");
	else
		buf_printf(&a->answer, "error %s %s\n", error_word(rc), sentence);
	buf_put(&a->answer, text.data, text.len);
	if (a->answer.failed)
		asker_free(a);
	else
		send_more(a);
}

/* -- the socket. A folder's name may be longer than a socket's may be: it is reached through a descriptor of it. */
static enum shoal_err socket_in(const char *folder, int *folder_fd, struct sockaddr_un *addr, struct error *e)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*folder_fd < 0)
		return error_errno(e, "cannot open the folder '%s'", folder);
	snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/control", *folder_fd);
	return SHOAL_OK;
}

static enum shoal_err listen_in(struct control *c, const char *folder, struct error *e)
{
	struct sockaddr_un addr;
	int folder_fd;
	enum shoal_err rc = socket_in(folder, &folder_fd, &addr, e);

	if (rc != SHOAL_OK)
		return rc;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if ((unlink(c->path) != 0 && errno != ENOENT) || c->fd < 0 ||
	    bind(c->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(c->fd, ASKERS_MAX) != 0)
		rc = error_errno(e, "cannot make '%s'", c->path);
	close(folder_fd);
	return rc;
}

struct control *control_new(struct loop *loop, const char *folder, control_fn *fn, void *owner, struct error *e)
{
	struct control *c = xalloc(sizeof(*c));
	c->loop = loop;
	c->fn = fn;
	c->owner = owner;
	c->fd = -1;
	c->path = str_printf("%s/control", folder);
	LIST_INIT(&c->askers);
	enum shoal_err rc = listen_in(c, folder, e);
	if (rc == SHOAL_OK) {
		c->watch = loop_watch_new(loop, c->fd, on_knock, c);
		if (c->watch == NULL || !loop_watch_set(c->watch, true, false))
			rc = error_set(e, SHOAL_EIO, "cannot watch '%s'", c->path);
	}
	if (rc == SHOAL_OK)
		return c;
	control_free(c);
	return NULL;
}

void control_free(struct control *c)
{
	struct asker *a;
	if (c == NULL)
		return;
	while ((a = LIST_FIRST(&c->askers)) != NULL)
		asker_free(a);
	loop_watch_free(c->watch);
	if (c->fd >= 0) {
		close(c->fd);
		unlink(c->path);
	}
	free(c->path);
	free(c);
}

/* -- asking */
static enum shoal_err read_all(int fd, struct buf *out)
{
	for (;;) {
		if (!buf_reserve(out, 4096))
			return SHOAL_EBUSY;
		ssize_t n = read(fd, out->data + out->len, out->cap - out->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? SHOAL_OK : SHOAL_EIO;
		out->len += (size_t)n;
	}
}

/* "ok", or "error WORD SENTENCE": the first line, which is taken off. */
static enum shoal_err take_verdict(struct buf *answer, struct error *e)
{
	char *end = answer->len != 0 ? memchr(answer->data, '\n', answer->len) : NULL;
	char line[512], word[32];
	enum shoal_err code = SHOAL_OK;
	int at = 0;

	if (end == NULL)
		return error_set(e, SHOAL_EOFFLINE, "the tracker ended before it had answered");
	snprintf(line, sizeof(line), "%.*s", (int)(end - (char *)answer->data), (char *)answer->data);
	buf_consume(answer, (size_t)(end + 1 - (char *)answer->data));
	if (strcmp(line, "ok") == 0)
		return SHOAL_OK;
	if (sscanf(line, "error %31s %n", word, &at) != 1 || at == 0)
		return error_set(e, SHOAL_EPROTO, "the tracker's answer cannot be understood");
	code = error_from_word(word);
	if (code == SHOAL_OK)
		code = SHOAL_EINTERNAL;
	return error_set(e, code, "%s", line + at);
}

enum shoal_err control_ask(const char *folder, const char *line, struct buf *out, struct error *e)
{
	struct sockaddr_un addr;
	int folder_fd, fd;
	enum shoal_err rc = socket_in(folder, &folder_fd, &addr, e);

	if (rc != SHOAL_OK)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		bool none = errno == ENOENT || errno == ECONNREFUSED;
		rc = error_errno(e, "cannot ask the tracker of '%s'", folder);
		if (none)
			rc = error_set(e, SHOAL_EOFFLINE, "no tracker runs with the data folder '%s'", folder);
	} else if (!fs_write_all(fd, line, strlen(line)) || !fs_write_all(fd, "\n", 1) ||
	           read_all(fd, out) != SHOAL_OK) {
		rc = error_errno(e, "cannot ask the tracker of '%s'", folder);
	} else {
		rc = take_verdict(out, e);
	}
	if (fd >= 0)
		close(fd);
	close(folder_fd);
	return rc;
}
