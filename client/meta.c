/* client/meta.c */
#include "client/meta.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"

enum {
	CHUNKS_IN_FLIGHT = 4,
	RETRY_MS = 1000, /* the tracker has not got them yet, or cannot be reached */
	RETRIES = 60,
};

struct chunk_call {
	struct meta_fetch *mf;
	uint32_t chunk;
	uint64_t call; /* 0: free */
};

struct meta_fetch {
	struct transfers *t;
	struct meta_wanted wanted;
	meta_fn *fn; /* NULL: cancelled */
	void *arg;
	struct metainfo *meta;
	char *path;  /* of the cache file */
	struct task task;
	bool busy;   /* the task is out */
	enum shoal_err rc;
	struct error error;
	struct chunk_call calls[CHUNKS_IN_FLIGHT];
	uint32_t next;
	unsigned retries;
	struct loop_timer *retry;
};

static void fetch_free(struct meta_fetch *mf)
{
	loop_timer_free(mf->retry);
	metainfo_free(mf->meta);
	free(mf->path);
	free(mf);
}

static void stop_calls(struct meta_fetch *mf)
{
	for (unsigned i = 0; i < CHUNKS_IN_FLIGHT; i++) {
		if (mf->calls[i].call != 0)
			link_cancel(mf->t->config.link, mf->calls[i].call);
		mf->calls[i].call = 0;
	}
}

static void finish(struct meta_fetch *mf, const struct error *e)
{
	struct metainfo *meta = mf->meta;
	meta_fn *fn = mf->fn;
	void *arg = mf->arg;
	struct error copy = e != NULL ? *e : (struct error){ 0 };

	stop_calls(mf);
	if (e == NULL)
		mf->meta = NULL;
	fetch_free(mf);
	if (fn != NULL)
		fn(arg, copy.code == SHOAL_OK ? meta : NULL, &copy);
	else if (copy.code == SHOAL_OK)
		metainfo_free(meta);
}

void meta_fetch_cancel(struct meta_fetch *mf)
{
	if (mf == NULL)
		return;
	mf->fn = NULL;
	stop_calls(mf);
	loop_timer_cancel(mf->retry);
	if (!mf->busy)
		fetch_free(mf);
}

uint32_t meta_fetch_have(const struct meta_fetch *mf, uint32_t *of)
{
	uint32_t have = 0, n;

	*of = 0;
	if (mf->busy) /* the pool has it in its hands */
		return 0;
	*of = metainfo_chunk_count(mf->meta);
	for (uint32_t i = 0; i < *of; i++)
		have += metainfo_get_chunk(mf->meta, i, &n) != NULL;
	return have;
}

/* -- verified, and into the cache */

static void verify(struct task *task)
{
	struct meta_fetch *mf = container_of(task, struct meta_fetch, task);
	struct error ignored;

	mf->rc = metainfo_verify(mf->meta, &mf->error);
	if (mf->rc == SHOAL_OK && mf->path != NULL && mf->meta->npieces > 0)
		metainfo_save(mf->meta, mf->path, &ignored); /* a cache that cannot be written only costs time */
}

static void verified(struct task *task)
{
	struct meta_fetch *mf = container_of(task, struct meta_fetch, task);

	mf->busy = false;
	finish(mf, mf->rc == SHOAL_OK ? NULL : &mf->error);
}

/* -- chunks */

static void ask_more(struct meta_fetch *mf);

static bool worth_retrying(enum shoal_err code)
{
	return code == SHOAL_EBUSY || code == SHOAL_EOFFLINE || code == SHOAL_ENOTFOUND || code == SHOAL_ETIMEOUT ||
	       code == SHOAL_EAUTH;
}

static void on_chunk(void *arg, const struct link_reply *reply)
{
	struct chunk_call *cc = arg;
	struct meta_fetch *mf = cc->mf;
	struct error e = { 0 };
	struct rep_hashes rep;

	cc->call = 0;
	if (reply->code != SHOAL_OK && worth_retrying(reply->code) && mf->retries++ < RETRIES) {
		mf->next = metainfo_next_missing(mf->meta, 0);
		stop_calls(mf);
		loop_timer_set_ms(mf->retry, RETRY_MS);
		return;
	}
	if (reply->code != SHOAL_OK) {
		error_set(&e, reply->code, "%s", reply->message);
		finish(mf, &e);
		return;
	}
	struct cursor c = cursor_of(reply->fields.data, reply->fields.len);
	rep_hashes_get(&c, &rep);
	if (c.bad || rep.chunk != cc->chunk || rep.hashes.len % sizeof(struct id32) != 0 ||
	    metainfo_set_chunk(mf->meta, rep.chunk, rep.hashes.data, rep.hashes.len / sizeof(struct id32)) != SHOAL_OK) {
		error_set(&e, SHOAL_EPROTO, "the tracker sent piece hashes that make no sense");
		finish(mf, &e);
		return;
	}
	ask_more(mf);
}

static void ask_more(struct meta_fetch *mf)
{
	if (metainfo_complete(mf->meta)) {
		stop_calls(mf);
		mf->task.run = verify;
		mf->task.done = verified;
		mf->busy = true;
		task_start(mf->t, &mf->task);
		return;
	}
	for (unsigned i = 0; i < CHUNKS_IN_FLIGHT; i++) {
		struct chunk_call *cc = &mf->calls[i];
		uint32_t chunk = metainfo_next_missing(mf->meta, mf->next);
		if (cc->call != 0 || chunk >= metainfo_chunk_count(mf->meta))
			continue;
		struct req_get_hashes req = { .gid = mf->wanted.gid, .fid = mf->wanted.fid, .chunk = chunk };
		struct buf b = { 0 };
		req_get_hashes_put(&b, &req);
		*cc = (struct chunk_call){ .mf = mf, .chunk = chunk };
		cc->call = link_call(mf->t->config.link, VERB_GET_HASHES, &b, 0, on_chunk, cc);
		buf_free(&b);
		mf->next = chunk + 1;
	}
}

static void on_retry(void *arg)
{
	ask_more(arg);
}

/* -- the cache */

static void load(struct task *task)
{
	struct meta_fetch *mf = container_of(task, struct meta_fetch, task);
	struct metainfo *meta = NULL;

	mf->rc = mf->path == NULL ? SHOAL_ENOTFOUND : metainfo_load(mf->path, &mf->wanted.content, &meta, &mf->error);
	if (mf->rc == SHOAL_OK && meta->size != mf->wanted.size) {
		mf->rc = SHOAL_EINTEGRITY;
		metainfo_free(meta);
	}
	if (mf->rc != SHOAL_OK)
		return;
	metainfo_free(mf->meta);
	mf->meta = meta;
}

static void loaded(struct task *task)
{
	struct meta_fetch *mf = container_of(task, struct meta_fetch, task);

	mf->busy = false;
	if (mf->fn == NULL)
		fetch_free(mf);
	else if (mf->rc == SHOAL_OK)
		finish(mf, NULL);
	else
		ask_more(mf);
}

struct meta_fetch *meta_fetch_start(struct transfers *t, const struct meta_wanted *wanted, meta_fn *fn, void *arg,
                                    struct error *e)
{
	struct meta_fetch *mf = try_alloc(sizeof(*mf));
	char hex[HEX32_SIZE];

	if (mf == NULL) {
		error_set(e, SHOAL_EBUSY, "out of memory");
		return NULL;
	}
	mf->t = t;
	mf->wanted = *wanted;
	mf->fn = fn;
	mf->arg = arg;
	mf->retry = loop_timer_new(t->config.loop, on_retry, mf);
	if (mf->retry == NULL)
		error_set(e, SHOAL_EBUSY, "out of memory");
	if (mf->retry == NULL || metainfo_new(wanted->size, wanted->piece_size, &wanted->file_hash, &wanted->content,
	                                      &mf->meta, e) != SHOAL_OK) {
		fetch_free(mf);
		return NULL;
	}
	hex_encode(wanted->content.b, sizeof(wanted->content.b), hex);
	if (t->config.meta_folder != NULL)
		mf->path = str_printf("%s/%s", t->config.meta_folder, hex);
	mf->task.run = load;
	mf->task.done = loaded;
	mf->busy = true;
	task_start(t, &mf->task);
	return mf;
}
