/* client/download_own.c - a file that this device shares already: what it has is copied, the rest is asked of others.
 *
 * Each piece is checked on its way as one from a peer is. What was shared goes on being shared where it is; the copy is
 * the user's, to do with as he likes. The pool does a few pieces at a time, so that pause, cancel and a full disk are
 * seen in between. */
#include <stdlib.h>

#include "client/download.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

enum {
	STEP_PIECES = 32,
};

struct own_copy {
	struct task task;
	struct download *dl;
	bool busy;    /* the task is out */
	bool is_dest; /* the shared file itself is about to be replaced */
	uint32_t at;  /* the next piece to be looked at */
	/* -- the task's while it is out */
	struct shared_file *from;
	struct file_reader reader;
	struct storage_writer *writer;
	uint8_t *buf;
	uint32_t pieces[STEP_PIECES];
	unsigned n, ndone;       /* pieces[0 .. ndone) were tried */
	bool good[STEP_PIECES];
	enum shoal_err read_rc, write_rc;
	struct error error;
};

void download_own_free(struct download *dl)
{
	struct own_copy *own = dl->own;

	dl->own = NULL;
	if (own == NULL)
		return;
	storage_writer_close(own->writer);
	file_reader_close(&own->reader);
	shared_file_close(own->from);
	free(own->buf);
	free(own);
}

static void run_step(struct task *task)
{
	struct own_copy *own = container_of(task, struct own_copy, task);
	const struct metainfo *meta = own->dl->meta;

	while (own->ndone < own->n && own->read_rc == SHOAL_OK && own->write_rc == SHOAL_OK) {
		uint32_t piece = own->pieces[own->ndone], len = metainfo_piece_len(meta, piece);
		bool good = false;
		own->read_rc = file_reader_read(&own->reader, (uint64_t)piece * PIECE_SIZE, own->buf, len, &own->error);
		if (own->read_rc == SHOAL_OK && metainfo_piece_ok(meta, piece, own->buf, len)) {
			own->write_rc = storage_write_piece(own->writer, piece, own->buf, len, &own->error);
			good = own->write_rc == SHOAL_OK;
		}
		own->good[own->ndone] = good;
		own->ndone += own->write_rc == SHOAL_OK;
	}
}

static void take_results(struct download *dl, struct own_copy *own)
{
	for (unsigned i = 0; i < own->ndone; i++) {
		if (own->good[i])
			storage_mark_verified(dl->st, own->pieces[i]);
		own->at = own->pieces[i] + 1;
	}
	dl->job.info.pieces = bitfield_count(storage_bitfield(dl->st));
	job_count(&dl->job, storage_verified_bytes(dl->st));
}

/* Nothing more is to be had from our own file. */
static void copied(struct download *dl)
{
	bool is_dest = dl->own->is_dest;

	download_own_free(dl);
	if (storage_has_all(dl->st) && !is_dest)
		dl->job.opts.no_share = true; /* the one that we share stays the one that we share */
	download_begin(dl);
}

static void step_done(struct task *task)
{
	struct own_copy *own = container_of(task, struct own_copy, task);
	struct download *dl = own->dl;

	own->busy = false;
	dl->tasks--;
	if (dl->job.t->stopping || dl->phase != PHASE_COPY)
		return;
	take_results(dl, own);
	if (own->write_rc == SHOAL_EDISKFULL) {
		dl->disk_full = true;
		dl->disk_retry_ms = clock_mono_ms() + DISK_RETRY_MS;
		job_stall(&dl->job, SHOAL_EDISKFULL, own->error.message);
	} else if (own->write_rc != SHOAL_OK) {
		download_fail(dl, &own->error);
	} else if (own->read_rc != SHOAL_OK || own->at >= dl->meta->npieces) {
		copied(dl);
	} else {
		if (dl->job.info.state == JOB_STATE_STALLED)
			job_set_state(&dl->job, JOB_STATE_DOWNLOADING);
		download_kick_disk(dl);
		download_own_step(dl);
	}
}

void download_own_step(struct download *dl)
{
	struct own_copy *own = dl->own;

	if (own->busy || dl->paused || dl->disk_full)
		return;
	own->n = own->ndone = 0;
	own->read_rc = own->write_rc = SHOAL_OK;
	for (uint32_t i = own->at; i < dl->meta->npieces && own->n < STEP_PIECES; i++)
		if (!bitfield_has(storage_bitfield(dl->st), i))
			own->pieces[own->n++] = i;
	if (own->n == 0) {
		copied(dl);
		return;
	}
	own->busy = true;
	own->task.run = run_step;
	own->task.done = step_done;
	dl->tasks++;
	task_start(dl->job.t, &own->task);
}

static enum shoal_err open_own(struct own_copy *own, const struct file *f, struct error *e)
{
	struct download *dl = own->dl;
	struct shared_file *dest;
	enum shoal_err rc = shared_file_open(f->path, f->has_stamp ? &f->stamp : NULL, &own->from, e);

	if (rc == SHOAL_OK)
		rc = shared_file_reader(own->from, &own->reader, e);
	if (rc == SHOAL_OK)
		rc = storage_writer_open(dl->st, &own->writer, e);
	own->buf = try_alloc(PIECE_SIZE);
	if (rc == SHOAL_OK && own->buf == NULL)
		rc = error_set(e, SHOAL_EBUSY, "out of memory");
	if (rc == SHOAL_OK && shared_file_open(storage_path(dl->st), NULL, &dest, NULL) == SHOAL_OK) {
		const struct file_stamp *a = shared_file_stamp(own->from), *b = shared_file_stamp(dest);
		own->is_dest = a->inode == b->inode && a->device == b->device;
		shared_file_close(dest);
	}
	return rc;
}

bool download_own_begin(struct download *dl)
{
	const struct file *f = file_find(dl->job.t, &dl->fid);
	struct error e = { 0 };

	if (f == NULL || !f->complete || f->path == NULL || !id32_eq(&f->content, &dl->wanted.content))
		return false;
	struct own_copy *own = try_alloc(sizeof(*own));
	if (own == NULL)
		return false;
	own->dl = dl;
	own->reader.fd = -1;
	dl->own = own;
	if (open_own(own, f, &e) != SHOAL_OK) {
		log_line(dl->job.t->log, LOG_INFO, "download", "%s: not copied from our own: %s", dl->job.info.file, e.message);
		download_own_free(dl);
		return false;
	}
	dl->phase = PHASE_COPY;
	if (!dl->paused)
		job_set_state(&dl->job, JOB_STATE_DOWNLOADING);
	download_own_step(dl);
	return true;
}
