/* client/download_disk.c - the disk side: opening, journal, whole-file hash, publishing, closing. All of it blocks, so
 * all of it happens on the pool; the storage is handed over for open, finish, recheck and close. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/download.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/name.h"

enum {
	SMALL_FILE = 16 << 20, /* published in batches: one syncfs for many */
	BATCH_MOST = 64,
	FRONT_LATE = 64 << 20, /* twice the window that is fetched at random: the front comes on in leaps */
};

/* -- open */

/* "dir" or "dir/": into it, under the file's own name; else the last part is the new name. */
static enum shoal_err split_dest(const char *dest, const char *own_name, char **folder, char **name, struct error *e)
{
	size_t len = strlen(dest);
	struct stat st;

	if (dest[len - 1] == '/' || (stat(dest, &st) == 0 && S_ISDIR(st.st_mode))) {
		*folder = try_strdup(dest);
		*name = try_strdup(own_name);
	} else {
		*folder = fs_dirname(dest);
		*name = try_strdup(fs_basename(dest));
	}
	if (*folder == NULL || *name == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	return fs_mkdirs(*folder, 0755, e);
}

static void run_open(struct task *task)
{
	static const enum storage_exists policies[] = {
		[EXISTS_RESUME] = STORAGE_EXISTS_RESUME, [EXISTS_SKIP] = STORAGE_EXISTS_SKIP,
		[EXISTS_REPLACE] = STORAGE_EXISTS_REPLACE, [EXISTS_RENAME] = STORAGE_EXISTS_RENAME,
		[EXISTS_FAIL] = STORAGE_EXISTS_FAIL,
	};
	struct download *dl = container_of(task, struct download, open_task);
	char *folder = NULL, *name = NULL;

	dl->task_error = (struct error){ 0 };
	dl->task_rc = split_dest(dl->dest, dl->name, &folder, &name, &dl->task_error);
	if (dl->task_rc == SHOAL_OK) {
		struct storage_options o = {
			.folder = folder, .name = name, .meta = dl->meta, .on_exists = policies[dl->job.opts.on_exists],
			.pieces_only = dl->job.opts.pieces_only, .pool = dl->job.t->workers, .progress = &dl->progress, .log = dl->job.t->log,
		};
		dl->task_rc = storage_open(&o, &dl->st, &dl->task_error);
	}
	free(folder);
	free(name);
}

static void make_front(struct download *dl)
{
	if (dl->front == NULL && !dl->front_broken && !dl->job.opts.pieces_only)
		dl->front_broken = storage_front_new(dl->st, &dl->front, &dl->front_error) != SHOAL_OK;
}

static enum shoal_err make_sink(struct download *dl, struct error *e)
{
	make_front(dl);
	enum shoal_err rc = piece_sink_init(&dl->sink, dl->st, dl->meta, dl->front, &dl->limit, e);
	dl->sink_ready = rc == SHOAL_OK;
	return rc;
}

static enum shoal_err begin_run(struct download *dl, struct error *e)
{
	struct transfers *t = dl->job.t;
	enum shoal_err rc;

	dl->file = file_get(t, &dl->gid, &dl->fid, &dl->wanted.content, dl->wanted.size);
	if (dl->file == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	if (dl->file->download != NULL) {
		dl->file = NULL;
		return error_set(e, SHOAL_EBUSY, "'%s' is being downloaded already", dl->name);
	}
	file_close_channels(dl->file, SHOAL_OK); /* from before: nobody noted who has what; they are opened anew */
	rc = make_sink(dl, e);
	if (rc != SHOAL_OK) {
		file_release(dl->file);
		dl->file = NULL;
		return rc;
	}
	dl->file->download = dl;
	rc = download_make_swarm(dl, e);
	if (rc != SHOAL_OK)
		return rc;
	dl->phase = PHASE_RUN;
	dl->moved_ms = clock_mono_ms();
	if (!dl->paused)
		job_set_state(&dl->job, JOB_STATE_DOWNLOADING);
	download_ask_tracker(dl);
	download_kick_disk(dl);
	return SHOAL_OK;
}

static bool is_complete(const struct download *dl)
{
	enum storage_start how = storage_start(dl->st);

	return how == STORAGE_COMPLETE || how == STORAGE_SKIPPED || dl->meta->npieces == 0 || storage_has_all(dl->st);
}

void download_begin(struct download *dl)
{
	struct error e = { 0 };

	if (is_complete(dl)) {
		dl->phase = PHASE_DRAIN;
		job_set_state(&dl->job, JOB_STATE_VERIFYING);
		download_settle(dl);
	} else if (begin_run(dl, &e) != SHOAL_OK) {
		download_fail(dl, &e);
	}
}

static void opened(struct task *task)
{
	struct download *dl = container_of(task, struct download, open_task);
	struct job_info *info = &dl->job.info;

	dl->tasks--;
	if (dl->phase != PHASE_OPEN || dl->job.t->stopping)
		return; /* cancelled meanwhile */
	if (dl->task_rc == SHOAL_EDISKFULL) {
		dl->disk_full = true;
		dl->disk_retry_ms = clock_mono_ms() + DISK_RETRY_MS;
		job_stall(&dl->job, SHOAL_EDISKFULL, dl->task_error.message);
		return; /* download_tick() tries again */
	}
	if (dl->task_rc != SHOAL_OK) {
		download_fail(dl, &dl->task_error);
		return;
	}
	dl->disk_full = false;
	snprintf(info->path, sizeof(info->path), "%s", storage_path(dl->st));
	info->resumed = storage_verified_bytes(dl->st);
	job_count(&dl->job, info->resumed);
	if (storage_start(dl->st) == STORAGE_SKIPPED)
		dl->job.opts.no_share = true; /* whatever it is, it is not known to be this */
	if (is_complete(dl) || !download_own_begin(dl))
		download_begin(dl);
}

void download_open(struct download *dl)
{
	dl->phase = PHASE_OPEN;
	dl->open_task.run = run_open;
	dl->open_task.done = opened;
	dl->tasks++;
	task_start(dl->job.t, &dl->open_task);
}

/* -- the whole-file hash follows the verified front; the journal follows the data */

static void run_front(struct task *task)
{
	struct download *dl = container_of(task, struct download, front_task);

	bool more;

	dl->front_rc = storage_front_step(dl->front, STORAGE_FRONT_STEP, &more, &dl->front_error);
}

static void front_done(struct task *task)
{
	struct download *dl = container_of(task, struct download, front_task);

	dl->tasks--;
	dl->front_busy = false;
	dl->front_broken = dl->front_rc != SHOAL_OK;
	if (!dl->job.t->stopping)
		download_kick_disk(dl);
}

static void run_flush(struct task *task)
{
	struct download *dl = container_of(task, struct download, flush_task);
	struct error e = { 0 };

	if (storage_flush_run(dl->flush, &e) != SHOAL_OK)
		log_line(dl->job.t->log, LOG_WARN, "download", "journal: %s", e.message);
}

static void flush_done(struct task *task)
{
	struct download *dl = container_of(task, struct download, flush_task);

	dl->tasks--;
	dl->flush_busy = false;
	storage_flush_free(dl->flush);
	dl->flush = NULL;
}

void download_kick_disk(struct download *dl)
{
	if (dl->phase != PHASE_RUN && dl->phase != PHASE_COPY)
		return;
	make_front(dl);
	/* Who verifies a piece takes the front along. The pool is for what that leaves behind: a run of pieces that one
	 * piece has joined, what was there at the start, what came by no connection. */
	uint64_t late = dl->phase == PHASE_COPY ? 1 : FRONT_LATE;
	if (dl->front != NULL && !dl->front_broken && !dl->front_busy && storage_front_behind(dl->front) >= late) {
		dl->front_busy = true;
		dl->front_task.run = run_front;
		dl->front_task.done = front_done;
		dl->tasks++;
		task_start(dl->job.t, &dl->front_task);
	}
	if (!dl->flush_busy && storage_flush_due(dl->st) && (dl->flush = storage_flush_new(dl->st)) != NULL) {
		dl->flush_busy = true;
		dl->flush_task.run = run_flush;
		dl->flush_task.done = flush_done;
		dl->tasks++;
		task_start(dl->job.t, &dl->flush_task);
	}
}

/* -- publishing */

struct finish_batch {
	struct task task;
	struct transfers *t;
	bool small;
	unsigned n;
	struct storage_finish items[BATCH_MOST];
	struct download *downloads[BATCH_MOST];
};

static void finish_some_small(struct transfers *t);

static void run_finish(struct task *task)
{
	struct finish_batch *b = container_of(task, struct finish_batch, task);

	storage_finish_batch(b->items, b->n);
}

static void on_updated(void *arg, const struct link_reply *reply)
{
	struct download *dl = arg;

	dl->update_call = 0;
	if (reply->code != SHOAL_OK) /* the heartbeat's digest will bring it up again */
		log_line(dl->job.t->log, LOG_INFO, "download", "%s: sharing was not told: %s", dl->job.info.file,
		         reply->message);
	if (dl->announced)
		download_announce(dl, true);
	download_done(dl);
}

/* The file is there under its name. */
static void published(struct download *dl)
{
	struct req_fid req = { .gid = dl->gid, .fid = dl->fid };
	struct buf b = { 0 };

	snprintf(dl->job.info.path, sizeof(dl->job.info.path), "%s", storage_path(dl->st));
	dl->phase = PHASE_TELL;
	if (tickets_reader(dl->job.t, &dl->gid)) /* who downloads and does not share */
		dl->job.opts.no_share = true;
	if (!dl->job.opts.no_share) {
		req_fid_put(&b, &req);
		if (!b.failed)
			dl->update_call = link_call(dl->job.t->config.link, VERB_UPDATE_FILE_INFO, &b, 0, on_updated, dl);
		buf_free(&b);
	}
	if (dl->update_call == 0) {
		if (dl->announced)
			download_announce(dl, true);
		download_done(dl);
	}
}

static void run_recheck(struct task *task)
{
	struct download *dl = container_of(task, struct download, recheck_task);

	dl->task_rc = storage_recheck(dl->st, &dl->nbad, &dl->task_error);
}

static void rechecked(struct task *task)
{
	struct download *dl = container_of(task, struct download, recheck_task);
	struct error e = { 0 };

	dl->tasks--;
	if (dl->job.t->stopping)
		return;
	if (dl->task_rc == SHOAL_OK && dl->nbad == 0)
		dl->task_rc = error_set(&dl->task_error, SHOAL_EINTEGRITY,
		                        "every piece is right, but the whole is not: the uploader's metainfo is wrong");
	dl->phase = PHASE_RUN; /* so that it can be ended, or go on */
	if (dl->task_rc != SHOAL_OK) {
		download_fail(dl, &dl->task_error);
		return;
	}
	log_line(dl->job.t->log, LOG_WARN, "download", "%s: %u pieces were damaged on our own disk", dl->job.info.file,
	         dl->nbad);
	for (uint32_t i = 0; dl->swarm != NULL && i < dl->meta->npieces; i++)
		if (!bitfield_has(storage_bitfield(dl->st), i))
			swarm_on_lost(dl->swarm, i);
	job_count(&dl->job, storage_verified_bytes(dl->st));
	if (dl->swarm != NULL && make_sink(dl, &e) == SHOAL_OK) {
		job_set_state(&dl->job, JOB_STATE_DOWNLOADING);
		dl->swarm_due = true;
	} else if (dl->swarm != NULL || begin_run(dl, &e) != SHOAL_OK) {
		download_fail(dl, &e);
	}
}

static void finished(struct download *dl, const struct storage_finish *item)
{
	dl->tasks--;
	storage_front_free(dl->front);
	dl->front = NULL;
	dl->front_broken = false;
	if (dl->job.t->stopping)
		return;
	if (item->rc == SHOAL_OK) {
		published(dl);
	} else if (item->rc == SHOAL_EINTEGRITY) {
		dl->recheck_task.run = run_recheck;
		dl->recheck_task.done = rechecked;
		dl->tasks++;
		task_start(dl->job.t, &dl->recheck_task);
	} else if (item->rc == SHOAL_EDISKFULL) {
		dl->disk_retry_ms = clock_mono_ms() + DISK_RETRY_MS;
		dl->disk_full = true;
		job_stall(&dl->job, item->rc, item->e.message);
	} else {
		dl->phase = PHASE_DRAIN; /* no longer being published: it can be ended */
		download_fail(dl, &item->e);
	}
}

static void batch_done(struct task *task)
{
	struct finish_batch *b = container_of(task, struct finish_batch, task);
	struct transfers *t = b->t;

	for (unsigned i = 0; i < b->n; i++)
		finished(b->downloads[i], &b->items[i]);
	if (b->small)
		t->finishing = false;
	free(b);
	if (!t->stopping)
		finish_some_small(t);
}

static void start_batch(struct transfers *t, struct download **dls, unsigned n, bool small)
{
	struct finish_batch *b = try_alloc(sizeof(*b));

	for (unsigned i = 0; b == NULL && i < n; i++) { /* again at the next tick */
		dls[i]->disk_full = true;
		dls[i]->disk_retry_ms = clock_mono_ms() + DISK_RETRY_MS;
	}
	if (b == NULL)
		return;
	b->t = t;
	b->small = small;
	b->n = n;
	for (unsigned i = 0; i < n; i++) {
		b->downloads[i] = dls[i];
		b->items[i] = (struct storage_finish){ .st = dls[i]->st, .front = dls[i]->front };
		dls[i]->tasks++;
	}
	t->finishing = t->finishing || small;
	b->task.run = run_finish;
	b->task.done = batch_done;
	task_start(t, &b->task);
}

/* Those that wait in PHASE_FINISH and are in nobody's hands. */
static void finish_some_small(struct transfers *t)
{
	struct download *dls[BATCH_MOST];
	unsigned n = 0;
	struct job *j;

	if (t->finishing)
		return;
	TAILQ_FOREACH(j, &t->running, live)
		if (n < BATCH_MOST && download_waits_to_finish(j))
			dls[n++] = download_of(j);
	if (n > 0)
		start_batch(t, dls, n, true);
}

void download_finish(struct download *dl)
{
	if (dl->sink_ready)
		piece_sink_fini(&dl->sink);
	dl->sink_ready = false;
	if (dl->wanted.size > SMALL_FILE)
		start_batch(dl->job.t, &dl, 1, false);
	else
		finish_some_small(dl->job.t);
}

/* -- closing */

static void run_close(struct task *task)
{
	struct download *dl = container_of(task, struct download, close_task);
	struct error e = { 0 };

	if (dl->end_state == JOB_STATE_CANCELLED && !dl->keep_part)
		storage_discard(dl->st);
	else if (storage_close(dl->st, &e) != SHOAL_OK)
		log_line(dl->job.t->log, LOG_WARN, "download", "%s", e.message);
}

static void closed(struct task *task)
{
	struct download *dl = container_of(task, struct download, close_task);

	dl->tasks--;
	dl->st = NULL;
	metainfo_free(dl->meta);
	dl->meta = NULL;
	job_end(&dl->job, dl->end_state, dl->end_state == JOB_STATE_FAILED ? &dl->end_error : NULL);
}

static void put_away(struct download *dl)
{
	if (dl->sink_ready)
		piece_sink_fini(&dl->sink);
	dl->sink_ready = false;
	download_own_free(dl);
	storage_front_free(dl->front);
	dl->front = NULL;
}

void download_close(struct download *dl)
{
	put_away(dl);
	if (dl->st == NULL) {
		job_end(&dl->job, dl->end_state, dl->end_state == JOB_STATE_FAILED ? &dl->end_error : NULL);
		return;
	}
	dl->close_task.run = run_close;
	dl->close_task.done = closed;
	dl->tasks++;
	task_start(dl->job.t, &dl->close_task);
}

void download_disk_free(struct download *dl)
{
	struct error e = { 0 };

	put_away(dl);
	if (dl->st != NULL && storage_close(dl->st, &e) != SHOAL_OK)
		log_line(dl->job.t->log, LOG_WARN, "download", "%s", e.message);
	dl->st = NULL;
}
