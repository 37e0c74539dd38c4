/* client/shell.c */
#include "client/shell.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

enum hook_kind { HOOK_GONE, HOOK_LISTENER, HOOK_FD, HOOK_TIMER };

struct hook {
	enum hook_kind kind; /* HOOK_GONE: dropped; swept after the step */
	unsigned handle;
	short events;
	int fd;
	int slot; /* in this round's poll array, -1: none */
	uint64_t at_ms;
	void *arg;
	union {
		shell_event_fn *on_event;
		shell_fd_fn *on_fd;
		void (*on_time)(void *arg);
	};
	TAILQ_ENTRY(hook) link;
};

struct seen_job {
	uint64_t id;
	enum job_kind kind;
};

/* What the cookie of a call points to while the engine has the call. */
struct asked {
	struct cmd_run *run; /* NULL: shell_ask() or shell_tell() */
	struct call *answer;
	bool on_stack; /* of shell_ask(), which waits */
	TAILQ_ENTRY(asked) link;
};

struct shell {
	struct shell_config config;
	struct shell_state state;
	TAILQ_HEAD(, cmd_run) runs; /* started and not yet freed by the shell */
	TAILQ_HEAD(, hook) hooks;
	TAILQ_HEAD(, asked) asked; /* those on the heap */
	unsigned last_handle;
	unsigned depth; /* of dispatching: hooks are swept at 0 */
	struct seen_job *running;
	size_t nrunning;
	struct pollfd *fds;
	size_t nfds;
};

struct shell *shell_new(const struct shell_config *config)
{
	struct shell *sh = xalloc(sizeof(*sh));
	sh->config = *config;
	TAILQ_INIT(&sh->runs);
	TAILQ_INIT(&sh->hooks);
	TAILQ_INIT(&sh->asked);
	return sh;
}

static void sweep(struct shell *sh)
{
	struct hook *h = TAILQ_FIRST(&sh->hooks);
	while (h != NULL) {
		struct hook *next = TAILQ_NEXT(h, link);
		if (h->kind == HOOK_GONE) {
			TAILQ_REMOVE(&sh->hooks, h, link);
			free(h);
		}
		h = next;
	}
}

void shell_free(struct shell *sh)
{
	struct cmd_run *run;
	struct hook *h;
	if (sh == NULL)
		return;
	while ((run = TAILQ_FIRST(&sh->runs)) != NULL) {
		TAILQ_REMOVE(&sh->runs, run, link);
		run->outstanding = 0;
		cmd_run_free(run);
	}
	while ((h = TAILQ_FIRST(&sh->hooks)) != NULL) {
		TAILQ_REMOVE(&sh->hooks, h, link);
		free(h);
	}
	struct asked *asked;
	while ((asked = TAILQ_FIRST(&sh->asked)) != NULL) {
		TAILQ_REMOVE(&sh->asked, asked, link);
		free(asked);
	}
	free(sh->running);
	free(sh->fds);
	free(sh);
}

const struct shell_config *shell_config(const struct shell *sh)
{
	return &sh->config;
}

const struct shell_state *shell_state(const struct shell *sh)
{
	return &sh->state;
}

/* -- runs */

static void run_over(struct shell *sh, struct cmd_run *run)
{
	run->finished = true;
	if (run->error.code == SHOAL_OK && run->result.failed)
		error_set(&run->error, SHOAL_EBUSY, "out of memory");
	if (run->outstanding == 0) {
		TAILQ_REMOVE(&sh->runs, run, link);
		run->shell = NULL;
	}
	if (run->abandoned) {
		if (run->outstanding == 0)
			cmd_run_free(run);
		return;
	}
	void (*done)(void *, struct cmd_run *) = run->done;
	run->done = NULL;
	if (done != NULL)
		done(run->arg, run);
}

static void run_on(struct shell *sh, struct cmd_run *run, struct call *answered)
{
	struct error e = { 0 };
	enum shoal_err rc = answered == NULL ? cmd_check_lengths(run, &e) : SHOAL_OK;
	run->asked |= rc != SHOAL_OK;
	if (rc == SHOAL_OK)
		rc = run->cmd->run(run, answered, &e);
	if (rc != SHOAL_OK) {
		run->error = e;
		run->error.code = rc;
		if (run->error.message[0] == '\0')
			error_set(&run->error, rc, "%s", error_default(rc));
	}
	if (rc != SHOAL_OK || run->finished || run->outstanding == 0)
		run_over(sh, run);
}

void shell_start(struct shell *sh, struct cmd_run *run, void (*done)(void *arg, struct cmd_run *run), void *arg)
{
	run->shell = sh;
	run->done = done;
	run->arg = arg;
	TAILQ_INSERT_TAIL(&sh->runs, run, link);
	run_on(sh, run, NULL);
}

void shell_abandon(struct shell *sh, struct cmd_run *run)
{
	(void)sh;
	run->abandoned = true;
	run->done = NULL;
	if (run->shell == NULL || (run->finished && run->outstanding == 0))
		cmd_run_free(run);
}

/* Takes the call over; false when there is no memory. */
static bool post(struct shell *sh, struct call *c, struct cmd_run *run)
{
	struct asked *asked = c != NULL && !c->fields.failed ? try_alloc(sizeof(*asked)) : NULL;
	if (asked == NULL) {
		if (c != NULL)
			call_free(c);
		return false;
	}
	asked->run = run;
	c->cookie = asked;
	TAILQ_INSERT_TAIL(&sh->asked, asked, link);
	sh->config.post(sh->config.engine, c);
	return true;
}

enum shoal_err cmd_ask(struct cmd_run *run, struct call *c, struct error *e)
{
	if (!post(run->shell, c, run))
		return error_set(e, SHOAL_EBUSY, "out of memory");
	run->outstanding++;
	run->asked = true;
	return SHOAL_OK;
}

static void answered(struct shell *sh, struct call *c)
{
	struct asked *asked = c->cookie;
	struct cmd_run *run = asked->run;
	if (asked->on_stack) {
		asked->answer = c;
		return;
	}
	TAILQ_REMOVE(&sh->asked, asked, link);
	free(asked);
	if (run != NULL) {
		run->outstanding--;
		if (!run->finished && !run->abandoned)
			run_on(sh, run, c);
		else if (run->outstanding == 0) {
			TAILQ_REMOVE(&sh->runs, run, link);
			run->shell = NULL;
			if (run->abandoned)
				cmd_run_free(run);
		}
	}
	call_free(c);
}

static void check_deadlines(struct shell *sh, uint64_t now)
{
	struct cmd_run *run = TAILQ_FIRST(&sh->runs);
	while (run != NULL) {
		struct cmd_run *next = TAILQ_NEXT(run, link);
		if (!run->finished && !run->abandoned && run->deadline_ms != 0 && now >= run->deadline_ms) {
			error_set(&run->error, SHOAL_ETIMEOUT, "%s: the time is over", run->cmd->name);
			run_over(sh, run);
		}
		run = next;
	}
}

/* -- hooks */

static unsigned hook_add(struct shell *sh, struct hook proto)
{
	struct hook *h = xalloc(sizeof(*h));
	*h = proto;
	h->slot = -1;
	h->handle = ++sh->last_handle;
	TAILQ_INSERT_TAIL(&sh->hooks, h, link);
	return h->handle;
}

unsigned shell_listen(struct shell *sh, shell_event_fn *fn, void *arg)
{
	return hook_add(sh, (struct hook){ .kind = HOOK_LISTENER, .on_event = fn, .arg = arg });
}

unsigned shell_watch(struct shell *sh, int fd, short events, shell_fd_fn *fn, void *arg)
{
	return hook_add(sh, (struct hook){ .kind = HOOK_FD, .fd = fd, .events = events, .on_fd = fn, .arg = arg });
}

unsigned shell_timer(struct shell *sh, uint64_t at_ms, void (*fn)(void *arg), void *arg)
{
	return hook_add(sh, (struct hook){ .kind = HOOK_TIMER, .at_ms = at_ms, .on_time = fn, .arg = arg });
}

static struct hook *hook_find(struct shell *sh, unsigned handle)
{
	struct hook *h;
	TAILQ_FOREACH(h, &sh->hooks, link)
		if (h->handle == handle && h->kind != HOOK_GONE)
			return h;
	return NULL;
}

void shell_watch_events(struct shell *sh, unsigned handle, short events)
{
	struct hook *h = hook_find(sh, handle);
	if (h != NULL)
		h->events = events;
}

void shell_drop(struct shell *sh, unsigned handle)
{
	struct hook *h = hook_find(sh, handle);
	if (h != NULL)
		h->kind = HOOK_GONE;
	if (sh->depth == 0)
		sweep(sh);
}

/* -- events of the engine */

static void count_job(struct shell *sh, const struct job_info *job)
{
	size_t i = 0;
	while (i < sh->nrunning && sh->running[i].id != job->id)
		i++;
	bool known = i < sh->nrunning, over = job_state_final(job->state);
	if (known && over) {
		sh->running[i] = sh->running[--sh->nrunning];
	} else if (!known && !over) {
		struct seen_job *more = try_realloc(sh->running, (sh->nrunning + 1) * sizeof(*more));
		if (more == NULL)
			return;
		sh->running = more;
		sh->running[sh->nrunning++] = (struct seen_job){ .id = job->id, .kind = job->kind };
	}
	sh->state.downloads = sh->state.uploads = 0;
	for (i = 0; i < sh->nrunning; i++)
		if (sh->running[i].kind == JOB_UPLOAD)
			sh->state.uploads++;
		else
			sh->state.downloads++;
}

static void remember(struct shell *sh, const struct client_event *ev)
{
	switch (ev->type) {
	case EVENT_TRACKER_UP:
		sh->state.up = true;
		sh->state.tracker = ev->tracker;
		break;
	case EVENT_TRACKER_LOST: sh->state.up = false; break;
	case EVENT_LOGGED_IN:
		sh->state.logged_in = true;
		snprintf(sh->state.user, sizeof(sh->state.user), "%s", ev->user);
		break;
	case EVENT_LOGGED_OUT:
		sh->state.logged_in = false;
		sh->state.user[0] = '\0';
		break;
	case EVENT_JOB:
		if (ev->job != NULL)
			count_job(sh, ev->job);
		break;
	case EVENT_ANSWER:
	case EVENT_ASK_LOGIN:
	case EVENT_TRACKER_REFUSED:
	case EVENT_TRACKER_LACKS:
	case EVENT_TRACKER:
	case EVENT_SHARE: break;
	}
}

static void take_events(struct shell *sh)
{
	struct queue_node *node = queue_take_all(sh->config.events);
	while (node != NULL) {
		struct client_event *ev = container_of(node, struct client_event, node);
		node = node->next;
		remember(sh, ev);
		if (ev->type == EVENT_ANSWER) {
			answered(sh, ev->call);
		} else {
			struct hook *h;
			TAILQ_FOREACH(h, &sh->hooks, link)
				if (h->kind == HOOK_LISTENER)
					h->on_event(h->arg, ev);
		}
		client_event_free(ev);
	}
}

/* -- the round */

static bool fds_add(struct shell *sh, size_t *n, int fd, short events)
{
	if (*n == sh->nfds) {
		size_t more = sh->nfds != 0 ? 2 * sh->nfds : 8;
		struct pollfd *fds = try_realloc(sh->fds, more * sizeof(*fds));
		if (fds == NULL)
			return false;
		sh->fds = fds;
		sh->nfds = more;
	}
	sh->fds[(*n)++] = (struct pollfd){ .fd = fd, .events = events };
	return true;
}

static int until(uint64_t now, uint64_t at, int timeout_ms)
{
	uint64_t left = at > now ? at - now : 0;
	return timeout_ms < 0 || left < (uint64_t)timeout_ms ? (int)(left < 1000000 ? left : 1000000) : timeout_ms;
}

/* Builds the poll array and the time to wait. */
static size_t prepare(struct shell *sh, int *timeout_ms)
{
	uint64_t now = clock_mono_ms();
	size_t n = 0;
	struct hook *h;
	struct cmd_run *run;

	fds_add(sh, &n, queue_fd(sh->config.events), POLLIN);
	TAILQ_FOREACH(h, &sh->hooks, link) {
		h->slot = -1;
		if (h->kind == HOOK_FD && h->events != 0 && fds_add(sh, &n, h->fd, h->events))
			h->slot = (int)n - 1;
		if (h->kind == HOOK_TIMER)
			*timeout_ms = until(now, h->at_ms, *timeout_ms);
	}
	TAILQ_FOREACH(run, &sh->runs, link)
		if (run->deadline_ms != 0 && !run->finished && !run->abandoned)
			*timeout_ms = until(now, run->deadline_ms, *timeout_ms);
	return n;
}

void shell_step(struct shell *sh, int timeout_ms)
{
	sh->depth++;
	size_t n = prepare(sh, &timeout_ms);
	int ready = n != 0 ? poll(sh->fds, n, timeout_ms) : 0; /* EINTR: a signal, which the caller looks for */
	take_events(sh);
	uint64_t now = clock_mono_ms();
	check_deadlines(sh, now);
	struct hook *h;
	TAILQ_FOREACH(h, &sh->hooks, link) {
		int slot = h->slot;
		h->slot = -1;
		if (h->kind == HOOK_FD && ready > 0 && slot >= 0 && sh->fds[slot].revents != 0) {
			h->on_fd(h->arg, sh->fds[slot].revents);
		} else if (h->kind == HOOK_TIMER && now >= h->at_ms) {
			h->kind = HOOK_GONE;
			h->on_time(h->arg);
		}
	}
	if (--sh->depth == 0)
		sweep(sh);
}

/* Only what the engine says; descriptors and timers wait. */
static void step_engine(struct shell *sh)
{
	sh->depth++;
	queue_wait(sh->config.events, 100);
	take_events(sh);
	check_deadlines(sh, clock_mono_ms());
	if (--sh->depth == 0)
		sweep(sh);
}

void shell_finish(struct shell *sh, struct cmd_run *run)
{
	while (!run->finished)
		step_engine(sh);
}

struct call *shell_ask(struct shell *sh, struct call *c)
{
	if (c == NULL)
		return NULL;
	struct asked asked = { .on_stack = true };
	c->cookie = &asked;
	sh->config.post(sh->config.engine, c);
	while (asked.answer == NULL)
		step_engine(sh);
	return asked.answer;
}

void shell_tell(struct shell *sh, struct call *c)
{
	post(sh, c, NULL);
}

bool shell_job(struct shell *sh, uint64_t id, struct job_info *out)
{
	struct call *c = call_new(CALL_JOB);
	if (c != NULL)
		c->job = id;
	c = shell_ask(sh, c);
	bool found = c != NULL && c->error.code == SHOAL_OK && c->n == 1;
	if (found)
		*out = c->jobs[0];
	if (c != NULL)
		call_free(c);
	return found;
}

size_t shell_jobs(struct shell *sh, struct job_info **out)
{
	struct call *c = shell_ask(sh, call_new(CALL_JOBS));
	size_t n = 0;
	*out = NULL;
	if (c != NULL && c->error.code == SHOAL_OK) {
		*out = c->jobs;
		n = c->n;
		c->jobs = NULL;
		c->n = 0;
	}
	if (c != NULL)
		call_free(c);
	return n;
}
