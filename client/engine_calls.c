/* client/engine_calls.c - what the prompt asks, and how it is answered. */
#include <string.h>

#include "client/engine_impl.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

void engine_answer(struct engine *en, struct call *call)
{
	struct client_event *ev = engine_event(en, EVENT_ANSWER);

	ev->call = call;
	engine_tell(en, ev);
}

enum shoal_err engine_fail(struct engine *en, struct call *call, enum shoal_err code, const char *text)
{
	error_set(&call->error, code, "%s", text);
	engine_answer(en, call);
	return code;
}

bool engine_add_frame(struct call *call, struct slice fields)
{
	struct buf *frames = try_realloc(call->frames, (call->nframes + 1) * sizeof(*frames));

	if (frames == NULL)
		return false;
	call->frames = frames;
	struct buf *frame = &frames[call->nframes++];
	*frame = (struct buf){ 0 };
	buf_put(frame, fields.data, fields.len);
	return !frame->failed;
}

/* -- verbs */

static struct open_call *add_open(struct engine *en, struct open_calls *list, struct call *call)
{
	struct open_call *open = try_alloc(sizeof(*open));

	if (open == NULL) {
		engine_fail(en, call, SHOAL_EBUSY, "out of memory");
		return NULL;
	}
	open->en = en;
	open->call = call;
	TAILQ_INSERT_TAIL(list, open, entry);
	return open;
}

/* Takes the call out of its list; the caller answers it. */
static struct call *close_open(struct open_calls *list, struct open_call *open)
{
	struct call *call = open->call;

	TAILQ_REMOVE(list, open, entry);
	free(open);
	return call;
}

/* STOP_SHARE went through: the engine forgets the share. */
static void on_share_stopped(struct engine *en, const struct call *call)
{
	struct cursor c = cursor_of(call->frames[0].data, call->frames[0].len);
	struct rep_stop_share reply;

	rep_stop_share_get(&c, &reply);
	if (cursor_end(&c) == SHOAL_OK)
		engine_forget_share(en, &reply.gid, &reply.fid);
}

static void on_verb_reply(void *arg, const struct link_reply *reply)
{
	struct open_call *open = arg;
	struct engine *en = open->en;
	struct call *call = open->call;

	if (reply->code != SHOAL_OK) {
		error_set(&call->error, reply->code, "%s",
		          reply->message[0] != '\0' ? reply->message : error_default(reply->code));
	} else if (call->error.code == SHOAL_OK && !engine_add_frame(call, reply->fields)) {
		error_set(&call->error, SHOAL_EBUSY, "out of memory");
	}
	if (reply->more)
		return;
	call->stamp = reply->stamp;
	call->synced = reply->synced;
	close_open(&en->verbs, open);
	if (call->error.code == SHOAL_OK && call->verb == VERB_STOP_SHARE)
		on_share_stopped(en, call);
	engine_answer(en, call);
}

void engine_verb(struct engine *en, struct call *call)
{
	if (call->fields.failed) {
		engine_fail(en, call, SHOAL_EUSAGE, "an argument of the command is too long");
		return;
	}
	struct open_call *open = add_open(en, &en->verbs, call);
	if (open != NULL)
		link_call(en->link, call->verb, &call->fields, call->timeout_ms, on_verb_reply, open);
}

static void stop_share(struct engine *en, struct call *call)
{
	struct req_file req = { .group = slice_str(call->group), .file = slice_str(call->file) };

	buf_reset(&call->fields);
	req_file_put(&call->fields, &req);
	call->verb = VERB_STOP_SHARE;
	engine_verb(en, call);
}

bool engine_stops_share(const struct engine *en, const char *group, const char *file)
{
	const struct open_call *open;

	TAILQ_FOREACH(open, &en->verbs, entry) {
		struct cursor c = cursor_of(open->call->fields.data, open->call->fields.len);
		struct req_file req;
		if (open->call->verb != VERB_STOP_SHARE)
			continue;
		req_file_get(&c, &req);
		if (slice_eq_str(req.group, group) && slice_eq_str(req.file, file))
			return true;
	}
	return false;
}

/* -- jobs */

static void give_job(struct engine *en, struct call *call, const struct job_info *job)
{
	call->jobs = try_memdup(job, sizeof(*job));
	if (call->jobs == NULL) {
		engine_fail(en, call, SHOAL_EBUSY, "out of memory");
		return;
	}
	call->n = 1;
	engine_answer(en, call);
}

static void set_waits_timer(struct engine *en)
{
	uint64_t now = clock_mono_ms(), first = UINT64_MAX;
	const struct open_call *open;

	TAILQ_FOREACH(open, &en->waits, entry)
		if (open->deadline_ms != 0 && open->deadline_ms < first)
			first = open->deadline_ms;
	if (first == UINT64_MAX)
		loop_timer_cancel(en->waits_timer);
	else
		loop_timer_set_ms(en->waits_timer, first > now ? first - now : 0);
}

static void wait_for_job(struct engine *en, struct call *call)
{
	struct job_info job;

	if (!transfers_job_info(en->transfers, call->job, &job)) {
		engine_fail(en, call, SHOAL_ENOTFOUND, "there is no such job");
	} else if (job_state_final(job.state)) {
		give_job(en, call, &job);
	} else {
		struct open_call *open = add_open(en, &en->waits, call);
		if (open != NULL && call->timeout_ms != 0)
			open->deadline_ms = clock_mono_ms() + call->timeout_ms;
		set_waits_timer(en);
	}
}

void engine_waits_on_job(struct engine *en, const struct job_info *job)
{
	struct open_call *open, *next;

	if (!job_state_final(job->state))
		return;
	for (open = TAILQ_FIRST(&en->waits); open != NULL; open = next) {
		next = TAILQ_NEXT(open, entry);
		if (open->call->job == job->id)
			give_job(en, close_open(&en->waits, open), job);
	}
}

void engine_waits_on_time(void *arg)
{
	struct engine *en = arg;
	uint64_t now = clock_mono_ms();
	struct open_call *open, *next;

	for (open = TAILQ_FIRST(&en->waits); open != NULL; open = next) {
		next = TAILQ_NEXT(open, entry);
		if (open->deadline_ms != 0 && now >= open->deadline_ms)
			engine_fail(en, close_open(&en->waits, open), SHOAL_ETIMEOUT, "the job has not ended in time");
	}
	set_waits_timer(en);
}

/* -- the rest */

static void give_shares(struct engine *en, struct call *call)
{
	struct share *share = NULL;
	size_t count = en->shares != NULL ? shares_count(en->shares) : 0;

	call->shares = try_alloc((count + 1) * sizeof(*call->shares));
	if (call->shares == NULL) {
		engine_fail(en, call, SHOAL_EBUSY, "out of memory");
		return;
	}
	while (en->shares != NULL && call->n < count && (share = shares_next(en->shares, share)) != NULL) {
		if (share->dropped)
			continue;
		struct share_info *out = &call->shares[call->n];
		*out = share->info;
		out->path = try_strdup(share->info.path);
		if (out->path == NULL) {
			engine_fail(en, call, SHOAL_EBUSY, "out of memory");
			return;
		}
		call->n++;
	}
	engine_answer(en, call);
}

static void use_tracker(struct engine *en, struct call *call)
{
	if (call->job > UINT16_MAX || tracker_info_find(&en->config->trackers, (uint16_t)call->job) == NULL) {
		engine_fail(en, call, SHOAL_ENOTFOUND, "there is no tracker of that number in the list");
		return;
	}
	link_use_tracker(en->link, (uint16_t)call->job);
	engine_answer(en, call);
}

static void on_left(void *arg, const struct link_reply *reply)
{
	struct open_call *open = arg;
	struct engine *en = open->en;

	(void)reply; /* leaving is as good without the tracker's blessing: the lease ends by itself */
	engine_answer(en, close_open(&en->verbs, open));
}

static void stop(struct engine *en, struct call *call)
{
	struct link_status status;
	struct open_call *open;

	en->stopping = true;
	transfers_free(en->transfers);
	en->transfers = NULL;
	while ((open = TAILQ_FIRST(&en->waits)) != NULL)
		engine_fail(en, close_open(&en->waits, open), SHOAL_ECANCELLED, "shoal is stopping");
	link_status(en->link, &status);
	if (!status.logged_in)
		engine_answer(en, call);
	else if ((open = add_open(en, &en->verbs, call)) != NULL)
		link_call(en->link, VERB_LOGOUT, NULL, ENGINE_STOP_MS, on_left, open);
}

static void dispatch(struct engine *en, struct call *call)
{
	if (en->stopping) {
		if (call->kind == CALL_STOP)
			engine_answer(en, call);
		else
			engine_fail(en, call, SHOAL_ECANCELLED, "shoal is stopping");
		return;
	}
	switch (call->kind) {
	case CALL_VERB:
		if (call->verb == VERB_LOGIN)
			engine_login(en, call);
		else
			engine_verb(en, call);
		return;
	case CALL_STOP_SHARE: stop_share(en, call); return;
	case CALL_JOB_WAIT: wait_for_job(en, call); return;
	case CALL_HAVE: give_shares(en, call); return;
	case CALL_USE_TRACKER: use_tracker(en, call); return;
	case CALL_STOP: stop(en, call); return;
	case CALL_UPLOAD: call->job = transfers_upload(en->transfers, call); break;
	case CALL_DOWNLOAD: call->job = transfers_download(en->transfers, call); break;
	case CALL_STATUS: link_status(en->link, &call->status); break;
	case CALL_ANSWER: link_answer(en->link, call->yes); break;
	case CALL_JOBS:
	case CALL_JOB:
	case CALL_JOB_PEERS:
	case CALL_JOB_EXPLAIN:
	case CALL_JOB_PAUSE:
	case CALL_JOB_RESUME:
	case CALL_JOB_CANCEL:
	case CALL_JOB_LIMIT:
	case CALL_LIMITS: transfers_answer(en->transfers, call); break;
	}
	engine_answer(en, call);
}

void engine_take_calls(void *arg, struct queue_node *nodes)
{
	struct engine *en = arg;

	for (struct queue_node *next; nodes != NULL; nodes = next) {
		next = nodes->next;
		if (nodes == &en->quit)
			loop_stop(en->loop);
		else
			dispatch(en, container_of(nodes, struct call, node));
	}
}

void engine_calls_free(struct engine *en)
{
	struct open_call *open;

	while ((open = TAILQ_FIRST(&en->verbs)) != NULL)
		call_free(close_open(&en->verbs, open));
	while ((open = TAILQ_FIRST(&en->waits)) != NULL)
		call_free(close_open(&en->waits, open));
}
