/* client/download.c - making a download, its phases, its end. */
#include "client/download.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

static const struct job_ops download_ops;

/* -- ends */

void download_wind_down(struct download *dl, enum job_state state, const struct error *e, bool keep_part)
{
	if (dl->phase == PHASE_CLOSE || dl->phase == PHASE_OVER || dl->phase == PHASE_TELL ||
	    dl->phase == PHASE_KEEP)
		return;
	if (dl->phase == PHASE_FINISH && dl->tasks > 0)
		return; /* it is being published this moment: that is not undone */
	dl->end_state = state;
	dl->end_error = e != NULL ? *e : (struct error){ 0 };
	dl->keep_part = keep_part;
	dl->phase = PHASE_CLOSE;
	if (dl->announced)
		download_announce(dl, true);
	download_drop_calls(dl);
	meta_fetch_cancel(dl->fetch);
	dl->fetch = NULL;
	atomic_store(&dl->progress.cancel, true);
	struct file *f = dl->file;
	if (f != NULL) {
		file_close_channels(f, SHOAL_ENOTFOUND);
		file_drop_source(f);
	}
	loop_timer_set_ms(dl->job.t->swarm_timer, 0);
}

void download_fail(struct download *dl, const struct error *e)
{
	download_wind_down(dl, JOB_STATE_FAILED, e, true);
}

/* The file is nobody's part file any more. */
static void leave_file(struct download *dl)
{
	struct file *f = dl->file;

	dl->file = NULL;
	if (f == NULL)
		return;
	f->download = NULL;
	file_release(f);
}

static void forget_policy(struct download *dl)
{
	swarm_free(dl->swarm);
	dl->swarm = NULL;
	download_free_sources(dl);
}

void download_settle(struct download *dl)
{
	if (dl->asks > 0 || dl->tasks > 0)
		return;
	if (dl->phase == PHASE_DRAIN) {
		dl->phase = PHASE_FINISH;
		download_finish(dl);
	} else if (dl->phase == PHASE_CLOSE) {
		download_look(&dl->job);
		leave_file(dl);
		forget_policy(dl);
		dl->phase = PHASE_OVER;
		download_close(dl);
	}
}

static void kept(struct job *j)
{
	struct download *dl = download_of(j);

	if (dl->phase != PHASE_KEEP)
		return;
	dl->phase = PHASE_OVER;
	download_close(dl);
}

/* Between two who have everything there is nothing to say: the place is for others. */
static void close_idle_channels(struct file *f)
{
	struct channel *ch, *next;

	for (ch = TAILQ_FIRST(&f->channels); ch != NULL; ch = next) {
		next = TAILQ_NEXT(ch, in_file);
		if (ch->source != NULL && swarm_peer_complete(ch->source) && ch->serving == 0)
			channel_close(ch, CHANNEL_TELL, SHOAL_OK);
	}
}

/* What others may ask of it from now on is asked of the finished file. */
void download_done(struct download *dl)
{
	struct transfers *t = dl->job.t;
	bool share = dl->found && !dl->job.opts.no_share;
	struct file *f = dl->file;
	struct channel *ch;

	dl->phase = PHASE_KEEP;
	download_look(&dl->job);
	dl->job.info.bytes = dl->job.info.total;
	dl->job.info.pieces = dl->job.info.pieces_total; /* also of a file that was there already */
	download_drop_calls(dl);
	if (share && f != NULL) {
		file_set_complete(f, dl->job.info.path);
		close_idle_channels(f);
		f->download = NULL;
		dl->file = NULL;
		TAILQ_FOREACH(ch, &f->channels, in_file)
			ch->source = NULL; /* freed with the swarm */
	} else if (f != NULL) {
		file_close_channels(f, SHOAL_ENOTFOUND);
		leave_file(dl);
	}
	forget_policy(dl);
	dl->end_state = JOB_STATE_DONE;
	if (share) {
		struct share_info info = { .gid = dl->gid, .fid = dl->fid, .path = dl->job.info.path,
			                   .size = dl->wanted.size };
		memcpy(info.group, dl->job.info.group, sizeof(info.group));
		memcpy(info.file, dl->name, strlen(dl->name) + 1);
		if (f == NULL) /* it was there already, or is empty: nobody has met it yet */
			transfers_serve(t, &info, &dl->wanted.content);
		t->config.shared(t->config.owner, &info, &dl->wanted.content, dl->job.info.id);
	} else {
		kept(&dl->job);
	}
}

bool download_waits_to_finish(const struct job *j)
{
	const struct download *dl = container_of(j, struct download, job);

	return j->ops == &download_ops && dl->phase == PHASE_FINISH && dl->tasks == 0 && !dl->disk_full;
}

/* -- pause and go on */

void download_hold(struct download *dl)
{
	if (dl->swarm == NULL)
		return;
	swarm_hold(dl->swarm, dl->paused || dl->disk_full);
	dl->swarm_due = true;
}

static void pause_job(struct job *j)
{
	struct download *dl = download_of(j);
	struct channel *ch;

	if (dl->phase > PHASE_RUN)
		return;
	dl->paused = true;
	download_hold(dl);
	if (dl->file != NULL && dl->phase == PHASE_RUN) /* at once: what is under way is given up */
		TAILQ_FOREACH(ch, &dl->file->channels, in_file)
			if (ch->source != NULL)
				swarm_on_pause(dl->swarm, ch->source, true, clock_mono_us());
	job_set_state(j, JOB_STATE_PAUSED);
}

static void resume_job(struct job *j)
{
	struct download *dl = download_of(j);
	struct channel *ch;

	if (!dl->paused)
		return;
	dl->paused = false;
	dl->moved_ms = clock_mono_ms();
	dl->ask_at_ms = 0;
	download_hold(dl);
	if (dl->file != NULL && dl->phase == PHASE_RUN)
		TAILQ_FOREACH(ch, &dl->file->channels, in_file)
			if (ch->source != NULL)
				swarm_on_pause(dl->swarm, ch->source, false, clock_mono_us());
	if (dl->phase <= PHASE_RUN)
		job_set_state(j, dl->phase >= PHASE_COPY ? JOB_STATE_DOWNLOADING : JOB_STATE_STARTING);
}

static void cancel_job(struct job *j, bool keep_part)
{
	struct download *dl = download_of(j);

	if (j->started)
		download_wind_down(dl, JOB_STATE_CANCELLED, NULL, keep_part);
	else
		job_end(j, JOB_STATE_CANCELLED, NULL);
}

static void start_job(struct job *j)
{
	struct download *dl = download_of(j);

	dl->paused = false;
	dl->moved_ms = clock_mono_ms();
	dl->phase = PHASE_FIND;
	download_ask_tracker(dl);
}

static void limit_job(struct job *j, uint64_t bytes_per_s)
{
	download_limit_set(download_of(j), bytes_per_s);
}

static void free_job(struct job *j)
{
	struct download *dl = download_of(j);

	download_drop_calls(dl);
	meta_fetch_cancel(dl->fetch);
	forget_policy(dl);
	metainfo_free(dl->meta);
	peer_rate_fini(&dl->limit);
	free(dl->dest);
	free(dl->name);
	free(dl);
}

struct job *download_new(struct transfers *t, const struct call *c)
{
	struct download *dl = try_alloc(sizeof(*dl));

	if (dl == NULL)
		return NULL;
	dl->job.t = t;
	dl->job.ops = &download_ops;
	dl->job.opts = c->opts;
	dl->job.info.kind = JOB_DOWNLOAD;
	memcpy(dl->job.info.group, c->group, sizeof(c->group));
	memcpy(dl->job.info.file, c->file, sizeof(c->file));
	dl->dest = try_strdup(c->path != NULL && c->path[0] != '\0' ? c->path : ".");
	TAILQ_INIT(&dl->sources);
	peer_rate_init(&dl->limit, 0);
	download_limit_set(dl, c->opts.limit);
	if (dl->dest == NULL) {
		free_job(&dl->job);
		return NULL;
	}
	return &dl->job;
}

static const struct job_ops download_ops = {
	.start = start_job,
	.pause = pause_job,
	.resume = resume_job,
	.cancel = cancel_job,
	.tick = download_tick,
	.limit = limit_job,
	.peers = download_peers,
	.explain = download_explain,
	.kept = kept,
	.look = download_look,
	.free = free_job,
};

/* -- all downloads */

void downloads_on_login(struct transfers *t)
{
	struct job *j;

	TAILQ_FOREACH(j, &t->running, live)
		if (j->ops == &download_ops) {
			struct download *dl = download_of(j);
			dl->ask_at_ms = 0;
			dl->ask_pause_ms = 0;
			dl->swarm_due = true;
		}
}

void downloads_on_logout(struct transfers *t)
{
	struct job *j;

	TAILQ_FOREACH(j, &t->running, live)
		if (j->ops == &download_ops) {
			struct download *dl = download_of(j);
			dl->announced = false;
			if (dl->phase <= PHASE_RUN && !dl->paused)
				job_stall(j, SHOAL_EOFFLINE, "not logged in");
		}
}

void downloads_on_revoke(struct transfers *t, const struct id16 *gid)
{
	struct error e;
	struct job *j, *next;

	error_set(&e, SHOAL_EDENIED, "not a member of the group any more");
	for (j = TAILQ_FIRST(&t->running); j != NULL; j = next) {
		next = TAILQ_NEXT(j, live);
		if (j->ops == &download_ops && download_of(j)->found && id16_eq(&download_of(j)->gid, gid))
			download_fail(download_of(j), &e);
	}
}

void downloads_run(struct transfers *t)
{
	uint64_t next_us = UINT64_MAX, now;
	struct job *j, *next;

	for (j = TAILQ_FIRST(&t->running); j != NULL; j = next) { /* it may end, no other */
		next = TAILQ_NEXT(j, live);
		if (j->ops == &download_ops)
			download_run(download_of(j), &next_us);
	}
	now = clock_mono_us();
	if (next_us != UINT64_MAX)
		loop_timer_set_ms(t->swarm_timer, next_us > now ? (next_us - now + 999) / 1000 : 1);
}

void downloads_stop(struct transfers *t)
{
	struct job *j;

	TAILQ_FOREACH(j, &t->jobs, entry)
		if (j->ops == &download_ops) {
			struct download *dl = download_of(j);
			download_drop_calls(dl);
			meta_fetch_cancel(dl->fetch);
			dl->fetch = NULL;
			atomic_store(&dl->progress.cancel, true);
		}
}

void downloads_close(struct transfers *t)
{
	struct job *j;

	TAILQ_FOREACH(j, &t->jobs, entry)
		if (j->ops == &download_ops)
			download_disk_free(download_of(j));
}

const struct bitfield *download_have(const struct download *dl)
{
	return dl->st == NULL ? NULL : storage_bitfield(dl->st);
}

struct storage *download_storage(const struct download *dl)
{
	return dl->st;
}

bool download_wants_peers(const struct download *dl)
{
	return dl->phase == PHASE_RUN && !dl->paused;
}
