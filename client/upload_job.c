/* client/upload_job.c - sharing a file: ask whether one may, hash it, hand the hashes to the tracker, tell it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "client/transfer_impl.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/name.h"

enum { CHUNKS_IN_FLIGHT = 4 };

struct upload_job;
struct put_call {
	struct upload_job *up;
	uint64_t call; /* 0: free */
};

enum upload_phase { UP_CHECK, UP_HASH, UP_PUT, UP_TELL, UP_KEEP, UP_OVER };

struct upload_job {
	struct job job;
	enum upload_phase phase;
	char *given, *path, *name;
	struct file_stamp stamp;
	struct id16 gid;
	bool exists;
	struct id32 existing;
	struct metainfo *meta;
	struct file_hash_progress progress;
	struct task task;
	bool busy;    /* the task is out */
	bool stopped; /* by the user, or because it is late: ends as soon as it can */
	bool late;
	enum shoal_err rc;
	struct error error;
	uint64_t call;
	struct put_call puts[CHUNKS_IN_FLIGHT];
	uint32_t next_chunk, chunks_done;
};

static const struct job_ops upload_ops;

static struct upload_job *upload_of(struct job *j)
{
	return container_of(j, struct upload_job, job);
}

static void drop_calls(struct upload_job *up)
{
	struct link *link = up->job.t->config.link;

	if (up->call != 0)
		link_cancel(link, up->call);
	up->call = 0;
	for (unsigned i = 0; i < CHUNKS_IN_FLIGHT; i++) {
		if (up->puts[i].call != 0)
			link_cancel(link, up->puts[i].call);
		up->puts[i].call = 0;
	}
}

static void fail(struct upload_job *up, const struct error *e)
{
	drop_calls(up);
	up->phase = UP_OVER;
	job_end(&up->job, JOB_STATE_FAILED, e);
}

/* Cancelled, or its time is over. */
static void end_early(struct upload_job *up)
{
	struct error e = { 0 };

	if (up->late) {
		error_set(&e, SHOAL_ETIMEOUT, "'%s' could not be shared within %u ms", up->job.info.file,
		          up->job.opts.timeout_ms);
		fail(up, &e);
		return;
	}
	drop_calls(up);
	up->phase = UP_OVER;
	job_end(&up->job, JOB_STATE_CANCELLED, NULL);
}

/* Not when the tracker has it already, or may have: who is listed as a seeder has to know it. */
static void stop(struct upload_job *up, bool late)
{
	struct link_status s;

	if (!up->stopped)
		up->late = late;
	up->stopped = true;
	atomic_store(&up->progress.cancel, true);
	link_status(up->job.t->config.link, &s);
	if (!up->busy && up->phase != UP_KEEP && (up->phase != UP_TELL || !s.up))
		end_early(up);
}

static void fail_reply(struct upload_job *up, const struct link_reply *reply)
{
	struct error e = { 0 };

	error_set(&e, reply->code, "%s", reply->message);
	fail(up, &e);
}

static uint64_t call(struct upload_job *up, enum cmd_verb verb, struct buf *b, link_reply_fn *fn, void *arg)
{
	uint64_t number = b->failed ? 0 : link_call(up->job.t->config.link, verb, b, 0, fn, arg);
	struct error e = { 0 };

	buf_free(b);
	if (number == 0) {
		error_set(&e, SHOAL_EBUSY, "out of memory");
		fail(up, &e);
	}
	return number;
}

/* -- 4: tell the tracker, then everybody */

static void on_told(void *arg, const struct link_reply *reply)
{
	struct upload_job *up = arg;
	struct job_info *info = &up->job.info;
	struct transfers *t = up->job.t;
	struct rep_upload_file_data rep;
	struct share_info share = { .gid = up->gid, .path = up->path, .size = up->stamp.size,
		.mtime_ns = up->stamp.mtime_ns, .inode = up->stamp.inode };

	up->call = 0;
	if (reply->code != SHOAL_OK && up->stopped) {
		end_early(up);
		return;
	}
	if (reply->code != SHOAL_OK) {
		fail_reply(up, reply);
		return;
	}
	struct cursor c = cursor_of(reply->fields.data, reply->fields.len);
	rep_upload_file_data_get(&c, &rep);
	share.fid = rep.fid;
	memcpy(share.group, info->group, sizeof(share.group));
	if (!slice_to_str(rep.name, share.file, sizeof(share.file)) || share.file[0] == '\0')
		memcpy(share.file, info->file, sizeof(share.file));
	up->phase = UP_KEEP;
	transfers_serve(t, &share, &up->meta->content_id);
	t->config.shared(t->config.owner, &share, &up->meta->content_id, info->id);
}

static void kept(struct job *j)
{
	struct upload_job *up = upload_of(j);

	if (up->phase != UP_KEEP)
		return;
	up->phase = UP_OVER;
	job_end(j, JOB_STATE_DONE, NULL);
}

static void tell(struct upload_job *up)
{
	struct req_upload_file_data req = {
		.gid = up->gid, .name = slice_str(up->name), .size = up->meta->size, .piece_size = up->meta->piece_size,
		.file_hash = up->meta->file_hash, .content = up->meta->content_id,
	};
	struct buf b = { 0 };

	up->phase = UP_TELL;
	req_upload_file_data_put(&b, &req);
	up->call = call(up, VERB_UPLOAD_FILE_DATA, &b, on_told, up);
}

/* -- 3: the piece hashes, a few chunks at a time */

static void put_more(struct upload_job *up);

static void on_put(void *arg, const struct link_reply *reply)
{
	struct put_call *pc = arg;
	struct upload_job *up = pc->up;

	pc->call = 0;
	if (reply->code != SHOAL_OK) {
		fail_reply(up, reply);
		return;
	}
	up->chunks_done++;
	put_more(up);
}

static void put_more(struct upload_job *up)
{
	uint32_t n;

	if (up->chunks_done == metainfo_chunk_count(up->meta)) {
		tell(up);
		return;
	}
	for (unsigned i = 0; i < CHUNKS_IN_FLIGHT && up->phase == UP_PUT; i++) {
		struct put_call *pc = &up->puts[i];
		const struct id32 *hashes = metainfo_get_chunk(up->meta, up->next_chunk, &n);
		if (pc->call != 0 || hashes == NULL)
			continue;
		struct req_put_hashes req = { .content = up->meta->content_id, .size = up->meta->size,
			.first = up->next_chunk * METAINFO_CHUNK, .hashes = { hashes->b, n * sizeof(*hashes) } };
		struct buf b = { 0 };
		req_put_hashes_put(&b, &req);
		pc->up = up;
		up->next_chunk++;
		pc->call = call(up, VERB_PUT_HASHES, &b, on_put, pc);
	}
}

/* -- 2: hash */

static void run_hash(struct task *task)
{
	struct upload_job *up = container_of(task, struct upload_job, task);

	up->rc = file_hash_run(up->path, up->job.t->workers, &up->progress, &up->meta, &up->stamp, &up->error);
}

static void hashed(struct task *task)
{
	struct upload_job *up = container_of(task, struct upload_job, task);

	up->busy = false;
	if (up->job.t->stopping || up->phase != UP_HASH)
		return;
	if (up->stopped) {
		end_early(up);
		return;
	}
	if (up->rc != SHOAL_OK) {
		fail(up, &up->error);
		return;
	}
	up->job.info.total = up->meta->size;
	up->job.info.pieces = up->job.info.pieces_total = up->meta->npieces;
	job_count(&up->job, up->meta->size);
	up->phase = UP_PUT;
	if (up->meta->npieces == 0 || (up->exists && id32_eq(&up->existing, &up->meta->content_id)))
		tell(up); /* the tracker has the hashes, or there are none */
	else
		put_more(up);
}

/* -- 1: may we, and what is it */

static void on_check(void *arg, const struct link_reply *reply)
{
	struct upload_job *up = arg;
	struct rep_upload_check rep;

	up->call = 0;
	if (reply->code != SHOAL_OK) {
		fail_reply(up, reply);
		return;
	}
	struct cursor c = cursor_of(reply->fields.data, reply->fields.len);
	rep_upload_check_get(&c, &rep);
	up->gid = rep.gid;
	up->exists = rep.exists != 0;
	up->existing = rep.content;
	up->phase = UP_HASH;
	job_set_state(&up->job, JOB_STATE_HASHING);
	job_count(&up->job, 0);
	up->task.run = run_hash;
	up->task.done = hashed;
	up->busy = true;
	task_start(up->job.t, &up->task);
}

/* A file of this machine: `not_found` and `denied` are kept for what trackers have and allow. */
static void unreadable(struct upload_job *up)
{
	error_errno(&up->error, "cannot read '%s'", up->given);
	up->rc = up->error.code = SHOAL_EIO;
}

/* The path without links, the name, and whether it can be read at all. */
static void run_resolve(struct task *task)
{
	struct upload_job *up = container_of(task, struct upload_job, task);
	char *real = realpath(up->given, NULL);
	int fd;

	if (real == NULL) {
		unreadable(up);
		return;
	}
	up->path = real;
	fd = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		unreadable(up);
		return;
	}
	up->rc = file_stamp_of(fd, up->given, &up->stamp, &up->error);
	close(fd);
	if (up->rc != SHOAL_OK)
		return;
	up->name = try_strdup(up->job.opts.name[0] != '\0' ? up->job.opts.name : fs_basename(up->given));
	up->rc = up->name == NULL ? error_set(&up->error, SHOAL_EBUSY, "out of memory")
	                          : name_check(NAME_FILE, up->name, strlen(up->name), &up->error);
}

static void resolved(struct task *task)
{
	struct upload_job *up = container_of(task, struct upload_job, task);
	struct job_info *info = &up->job.info;
	struct buf b = { 0 };

	up->busy = false;
	if (up->job.t->stopping || up->phase != UP_CHECK)
		return;
	if (up->stopped) {
		end_early(up);
		return;
	}
	if (up->rc != SHOAL_OK) {
		fail(up, &up->error);
		return;
	}
	snprintf(info->path, sizeof(info->path), "%s", up->path);
	snprintf(info->file, sizeof(info->file), "%s", up->name);
	info->total = up->stamp.size;
	struct req_upload_check req = { .group = slice_str(info->group), .name = slice_str(up->name),
		.size = up->stamp.size };
	req_upload_check_put(&b, &req);
	up->call = call(up, VERB_UPLOAD_CHECK, &b, on_check, up);
}

static void start_job(struct job *j)
{
	struct upload_job *up = upload_of(j);

	up->phase = UP_CHECK;
	up->task.run = run_resolve;
	up->task.done = resolved;
	up->busy = true;
	task_start(j->t, &up->task);
}

/* -- the other verbs of a job */

static void pause_job(struct job *j)
{
	(void)j; /* an upload only hashes: it is over soon, or cancelled */
}

static void cancel_job(struct job *j, bool keep_part)
{
	(void)keep_part;
	stop(upload_of(j), false);
}

static void look(struct job *j)
{
	struct upload_job *up = upload_of(j);

	if (up->phase == UP_HASH && up->busy)
		j->info.bytes = atomic_load(&up->progress.done);
}

static void explain(struct job *j, struct buf *b)
{
	static const char *const what[] = {
		[UP_CHECK] = "asking the tracker whether it may be shared", [UP_HASH] = "hashing",
		[UP_PUT] = "handing the piece hashes to the tracker", [UP_TELL] = "telling the tracker",
		[UP_KEEP] = "writing it into the list of shares", [UP_OVER] = "over",
	};

	buf_printf(b, "%s: %s", job_state_word(j->info.state), what[upload_of(j)->phase]);
	if (j->info.error.code != SHOAL_OK)
		buf_printf(b, ": %s", j->info.error.message);
}

static void tick(struct job *j, uint64_t now_ms)
{
	(void)now_ms;
	look(j);
	if (j->opts.timeout_ms > 0 && (clock_mono_us() - j->started_us) / 1000 > j->opts.timeout_ms)
		stop(upload_of(j), true);
}

static void free_job(struct job *j)
{
	struct upload_job *up = upload_of(j);

	drop_calls(up);
	metainfo_free(up->meta);
	free(up->given);
	free(up->path);
	free(up->name);
	free(up);
}

static const struct job_ops upload_ops = {
	.start = start_job,
	.pause = pause_job,
	.resume = pause_job,
	.cancel = cancel_job,
	.tick = tick,
	.explain = explain,
	.kept = kept,
	.look = look,
	.free = free_job,
};

struct job *upload_job_new(struct transfers *t, const struct call *c)
{
	struct upload_job *up = try_alloc(sizeof(*up));

	if (up == NULL)
		return NULL;
	up->job.t = t;
	up->job.ops = &upload_ops;
	up->job.opts = c->opts;
	up->job.info.kind = JOB_UPLOAD;
	up->job.info.total = c->opts.size;
	memcpy(up->job.info.group, c->group, sizeof(c->group));
	up->given = try_strdup(c->path != NULL ? c->path : "");
	if (up->given == NULL) {
		free_job(&up->job);
		return NULL;
	}
	snprintf(up->job.info.path, sizeof(up->job.info.path), "%s", up->given);
	snprintf(up->job.info.file, sizeof(up->job.info.file), "%.240s", fs_basename(up->given));
	return &up->job;
}

void uploads_stop(struct transfers *t)
{
	struct job *j;

	TAILQ_FOREACH(j, &t->jobs, entry)
		if (j->ops == &upload_ops) {
			drop_calls(upload_of(j));
			atomic_store(&upload_of(j)->progress.cancel, true);
		}
}
