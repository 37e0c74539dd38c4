/* client/control.c */
#include "client/control_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/event_value.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/planted.h"

enum { LINE_LIMIT = 1 << 20, OUT_LIMIT = 64 << 20, READ_SIZE = 65536 };

static bool is_alive(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool alive = fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0;
	if (fd >= 0)
		close(fd);
	return alive;
}

struct control *control_open(const char *path, struct error *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sa.sun_path)) {
		error_set(e, SHOAL_EUSAGE, "--control: '%.80s...' is too long for a socket: at most %zu bytes", path,
		          sizeof(sa.sun_path) - 1);
		return NULL;
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	char *folder = fs_dirname(path);
	enum shoal_err rc = fs_mkdirs(folder, 0700, e);
	free(folder);
	if (rc != SHOAL_OK)
		return NULL;
	if (is_alive(&sa)) {
		error_set(e, SHOAL_EBUSY, "--control: somebody else serves '%s'", path);
		return NULL;
	}
	struct stat st;
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t old = umask(0177);
	bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
	int number = errno;
	umask(old);
	errno = number;
	if (!bound || listen(fd, 64) != 0) {
		error_errno(e, "--control: cannot serve '%s'", path);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	struct control *c = xalloc(sizeof(*c));
	c->fd = fd;
	c->path = xstrdup(path);
	TAILQ_INIT(&c->visitors);
	TAILQ_INIT(&c->requests);
	TAILQ_INIT(&c->lines);
	return c;
}

/* -- visitors */

static void visitor_free(struct visitor *v)
{
	TAILQ_REMOVE(&v->control->visitors, v, link);
	console_free(v->console);
	buf_free(&v->in);
	buf_free(&v->out);
	free(v);
}

void control_release(struct visitor *v)
{
	if (--v->requests == 0 && v->gone)
		visitor_free(v);
}

static void visitor_leave(struct visitor *v)
{
	if (v->gone)
		return;
	v->gone = true;
	if (v->console != NULL)
		console_interrupt(v->console);
	shell_drop(v->control->shell, v->watch);
	if (v->listener != 0)
		shell_drop(v->control->shell, v->listener);
	close(v->fd);
	v->fd = -1;
}

static void visitor_flush(struct visitor *v)
{
	while (!v->gone && v->out.len != 0) {
		ssize_t n = send(v->fd, v->out.data, v->out.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n <= 0) {
			visitor_leave(v);
			return;
		}
		buf_consume(&v->out, (size_t)n);
	}
	if (!v->gone)
		shell_watch_events(v->control->shell, v->watch, POLLIN | (v->out.len != 0 ? POLLOUT : 0));
}

/* Takes the object over. A visitor who does not read what he asked for is dropped. */
void control_say(struct visitor *v, json_t *line)
{
	char *text = line != NULL && !v->gone ? json_dumps(line, JSON_COMPACT) : NULL;
	json_decref(line);
	if (v->gone)
		return;
	if (text == NULL || v->out.len > OUT_LIMIT) {
		free(text);
		visitor_leave(v);
		return;
	}
	buf_put(&v->out, text, strlen(text));
	buf_put(&v->out, "\n", 1);
	free(text);
	if (v->out.failed)
		visitor_leave(v);
	else
		visitor_flush(v);
}

static json_t *err_json(const struct error *e, const char *op, const struct value *details)
{
	json_t *j = details != NULL && details->type == VALUE_TABLE ? value_to_json(details) : json_object();
	bool retry = e->code == SHOAL_EOFFLINE || e->code == SHOAL_EBUSY || e->code == SHOAL_ETIMEOUT ||
	             e->code == SHOAL_ENOSEEDER || e->code == SHOAL_ESTALLED || e->code == SHOAL_EDISKFULL ||
	             e->code == SHOAL_EQUOTA;
	struct value message = value_str(e->message);
	json_object_set_new(j, "code", json_string(error_word(e->code)));
	json_object_set_new(j, "message", value_to_json(&message));
	if (json_object_get(j, "op") == NULL)
		json_object_set_new(j, "op", json_string(op));
	json_object_set_new(j, "retryable", json_boolean(retry));
	value_free(&message);
	return j;
}

/* Takes `id` and `what` over. */
void control_answer(struct visitor *v, json_t *id, const char *key, json_t *what)
{
	json_t *line = json_object();
	json_object_set_new(line, "id", id != NULL ? id : json_null());
	json_object_set_new(line, key, what != NULL ? what : json_null());
	control_say(v, line);
}

void control_refuse(struct visitor *v, json_t *id, const char *op, const struct error *e)
{
	control_answer(v, id, "err", err_json(e, op, NULL));
}

static void request_free(struct request *r)
{
	struct visitor *v = r->visitor;
	TAILQ_REMOVE(&v->control->requests, r, link);
	json_decref(r->id);
	free(r);
	control_release(v);
}

static void request_done(void *arg, struct cmd_run *run)
{
	struct request *r = arg;
	json_t *id = json_incref(r->id);
	if (run->error.code != SHOAL_OK)
		control_answer(r->visitor, id, "err", err_json(&run->error, run->cmd->name, &run->details));
	else
		control_answer(r->visitor, id, run->result.type == VALUE_JOB ? "job" : "value", value_to_json(&run->result));
	struct shell *sh = r->visitor->control->shell;
	request_free(r);
	shell_abandon(sh, run);
}

static void remote_done(void *arg, struct value *result, const struct error *e)
{
	struct request *r = arg;
	json_t *id = json_incref(r->id);
	if (e->code != SHOAL_OK)
		control_refuse(r->visitor, id, r->cmd->name, e);
	else
		control_answer(r->visitor, id, "value", value_to_json(result));
	request_free(r);
}

/* -- requests */

static void on_event(void *arg, const struct client_event *ev)
{
	struct visitor *v = arg;
	char name[EVENT_NAME_MAX];
	if (client_event_name(ev, name) == NULL)
		return;
	struct value t = client_event_value(ev);
	control_say(v, value_to_json(&t));
	value_free(&t);
}

static json_t *status_json(const struct control *c)
{
	const struct shell_state *st = shell_state(c->shell);
	char addr[ADDRESS_MAX];
	return json_pack("{ss sb si sb ss ss si}", "addr", address_format(&c->config.listen, addr), "up", st->up, "tracker",
	                 st->tracker, "logged_in", st->logged_in, "user", st->user, "version", SHOAL_VERSION, "pid",
	                 (int)getpid());
}

/* Calls that are no commands; false if it is none of them. */
static bool own_call(struct visitor *v, json_t *id, const char *call, const json_t *args)
{
	struct control *c = v->control;
	if (strcmp(call, "status") == 0) {
		control_answer(v, json_incref(id), "value", status_json(c));
	} else if (strcmp(call, "events") == 0) {
		if (v->listener == 0)
			v->listener = shell_listen(c->shell, on_event, v);
		control_answer(v, json_incref(id), "value", json_true());
	} else if (strcmp(call, "line") == 0) {
		control_queue_line(v, id, args);
	} else if (strcmp(call, "drop") == 0 || strcmp(call, "interrupt") == 0) {
		if (v->console != NULL)
			(call[0] == 'd' ? console_drop_pending : console_interrupt)(v->console);
		control_answer(v, json_incref(id), "value", json_true());
	} else if (strcmp(call, "json") == 0) {
		v->json = true;
		control_answer(v, json_incref(id), "value", json_true());
	} else if (strcmp(call, "quit") == 0) {
		control_answer(v, json_incref(id), "value", json_true());
		c->config.quit(c->config.owner);
	} else {
		return false;
	}
	return true;
}

/* The command checks its arguments once more: it gets them as they came. Frees the run, which was for the check. */
static bool start_lua(struct visitor *v, struct request *r, const json_t *args, size_t n, struct error *e)
{
	struct lua_host *host = v->control->config.host;
	struct value argv[CMD_MAX_ARGS] = { { 0 } };
	cmd_run_free(r->run);
	r->run = NULL;
	for (size_t i = 0; i < n; i++)
		argv[i] = value_from_json(json_array_get(args, i));
	r->remote = host != NULL ? lua_host_start(host, r->cmd, argv, (unsigned)n, remote_done, r) : NULL;
	for (size_t i = 0; i < n; i++)
		value_free(&argv[i]);
	if (r->remote == NULL)
		error_set(e, SHOAL_EBUSY, "%s cannot be run now", r->cmd->name);
	return r->remote != NULL;
}

static void start(struct visitor *v, json_t *id, const struct cmd *cmd, const json_t *args)
{
	struct error e = { 0 };
	struct cmd_run *run = cmd_run_new(cmd);
	struct request *r = run != NULL ? try_alloc(sizeof(*r)) : NULL;
	size_t n = json_array_size(args);
	if (r == NULL) {
		cmd_run_free(run);
		error_set(&e, SHOAL_EBUSY, "out of memory");
		control_refuse(v, json_incref(id), cmd->name, &e);
		return;
	}
	while (n > 0 && json_is_null(json_array_get(args, n - 1)))
		n--;
	for (size_t i = 0; i < n && i < CMD_MAX_ARGS; i++)
		run->argv[i] = value_from_json(json_array_get(args, i));
	if (cmd_check_args(run, (unsigned)n, &e) != SHOAL_OK) {
		control_refuse(v, json_incref(id), cmd->name, &e);
		cmd_run_free(run);
		free(r);
		return;
	}
	*r = (struct request){ .visitor = v, .id = json_incref(id), .run = run, .cmd = cmd };
	if (cmd->module != NULL && !start_lua(v, r, args, n, &e)) {
		control_refuse(v, r->id, cmd->name, &e);
		free(r);
		return;
	}
	v->requests++;
	TAILQ_INSERT_TAIL(&v->control->requests, r, link);
	if (cmd->module == NULL)
		shell_start(v->control->shell, run, request_done, r);
}

static void handle(struct visitor *v, const char *text, size_t len)
{
	json_error_t why;
	struct error e;
	json_t *line = json_loadb(text, len, 0, &why);
	json_t *id = json_object_get(line, "id"), *args = json_object_get(line, "args");
	const char *call = json_string_value(json_object_get(line, "call"));
	const struct cmd *cmd = call != NULL ? cmd_find(call) : NULL;
	if (call == NULL || (args != NULL && !json_is_array(args))) {
		error_set(&e, SHOAL_EUSAGE, "a line must be {\"id\": ..., \"call\": name, \"args\": [...]}%s%s",
		          line == NULL ? ": " : "", line == NULL ? why.text : "");
		if (!PLANTED(control_silent))
			control_refuse(v, json_incref(id), "?", &e);
	} else if (cmd == NULL && !own_call(v, id, call, args)) {
		const char *near = cmd_suggest(call);
		error_set(&e, SHOAL_EUSAGE, near != NULL ? "no call '%.60s': did you mean '%s'?" : "no call '%.60s'", call, near);
		control_refuse(v, json_incref(id), "?", &e);
	} else if (cmd != NULL) {
		start(v, id, cmd, args);
	}
	json_decref(line);
}

static void on_readable(struct visitor *v)
{
	if (!buf_reserve(&v->in, READ_SIZE)) {
		visitor_leave(v);
		return;
	}
	ssize_t n = recv(v->fd, v->in.data + v->in.len, v->in.cap - v->in.len, 0);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		visitor_leave(v);
		return;
	}
	v->in.len += (size_t)n;
	uint8_t *nl;
	size_t at = 0;
	while (!v->gone && (nl = memchr(v->in.data + at, '\n', v->in.len - at)) != NULL) {
		size_t end = (size_t)(nl - v->in.data);
		handle(v, (char *)v->in.data + at, end - at);
		at = end + 1;
	}
	buf_consume(&v->in, at);
	if (v->in.len > LINE_LIMIT)
		visitor_leave(v);
}

static void on_visitor(void *arg, short revents)
{
	struct visitor *v = arg;
	v->requests++; /* keeps it alive until the end of this function */
	if (!v->gone && (revents & POLLOUT) != 0)
		visitor_flush(v);
	if (!v->gone && (revents & (POLLIN | POLLHUP | POLLERR)) != 0)
		on_readable(v);
	control_release(v);
}

static void on_listener(void *arg, short revents)
{
	struct control *c = arg;
	(void)revents;
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct visitor *v = fd >= 0 ? try_alloc(sizeof(*v)) : NULL;
	if (v == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	v->control = c;
	v->fd = fd;
	v->watch = shell_watch(c->shell, fd, POLLIN, on_visitor, v);
	TAILQ_INSERT_TAIL(&c->visitors, v, link);
}

void control_serve(struct control *c, struct shell *sh, const struct control_config *config)
{
	c->config = *config;
	c->shell = sh;
	c->watch = shell_watch(sh, c->fd, POLLIN, on_listener, c);
	if (config->host != NULL)
		lua_host_idle(config->host, control_idle, c);
}

void control_close(struct control *c)
{
	struct request *r;
	struct visitor *v;
	if (c == NULL)
		return;
	TAILQ_FOREACH(v, &c->visitors, link) {
		visitor_flush(v);
		visitor_leave(v);
	}
	while ((r = TAILQ_FIRST(&c->requests)) != NULL) {
		struct cmd_run *run = r->run;
		r->visitor->requests++; /* so that it is freed below, not here */
		if (r->remote != NULL)
			lua_remote_forget(r->remote);
		request_free(r);
		if (run != NULL)
			shell_abandon(c->shell, run);
	}
	control_drop_lines(c);
	while ((v = TAILQ_FIRST(&c->visitors)) != NULL)
		visitor_free(v);
	if (c->config.host != NULL)
		lua_host_idle(c->config.host, NULL, NULL);
	if (c->shell != NULL)
		shell_drop(c->shell, c->watch);
	close(c->fd);
	unlink(c->path);
	free(c->path);
	free(c);
}
