/* tracker/load.c */
#include "tracker/load.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tracker/load_rows.h"
#include "tracker/recover.h"
#include "tracker/store_sqlite.h"

enum { FETCH_STEP = 128 << 10 }; /* as much as the kernel takes at once on any disk */

struct load_ctx {
	struct loaded *out;
	uint64_t wall_ms;
	struct vvec vector;
	uint64_t hlc;
	struct buf contents; /* ids of those that are complete: for the rows, which may come later */
	struct vvec logged;  /* up to where the log has been read */
	struct error *e;
};

/* -- beside the rows, on the thread that reads them: the registry is not ours there */

static enum shoal_err on_vector(void *ctx, uint64_t log, uint64_t seq)
{
	struct load_ctx *l = ctx;
	return vvec_raise(&l->vector, log, seq);
}

static enum shoal_err on_floor(void *ctx, uint64_t log, uint64_t seq)
{
	struct load_ctx *l = ctx;
	return vvec_raise(&l->out->floor, log, seq);
}

static enum shoal_err on_hlc(void *ctx, uint64_t hlc)
{
	struct load_ctx *l = ctx;
	l->hlc = hlc > l->hlc ? hlc : l->hlc;
	return SHOAL_OK;
}

static enum shoal_err on_content(void *ctx, const struct id32 *id)
{
	struct load_ctx *l = ctx;
	buf_put(&l->contents, id->b, sizeof(id->b));
	return l->contents.failed ? SHOAL_EBUSY : SHOAL_OK;
}

/* -- when all rows are there */

static enum shoal_err take_vector(struct load_ctx *l)
{
	enum shoal_err rc = SHOAL_OK;

	registry_load_hlc(l->out->registry, l->hlc);
	for (size_t i = 0; rc == SHOAL_OK && i < l->vector.n; i++)
		rc = registry_load_vector(l->out->registry, l->vector.entries[i].log, l->vector.entries[i].seq);
	return rc;
}

/* These have their piece hashes. */
static enum shoal_err mark_held(struct load_ctx *l)
{
	for (size_t at = 0; at < l->contents.len; at += sizeof(struct id32)) {
		struct id32 id;
		memcpy(id.b, l->contents.data + at, sizeof(id.b));
		enum shoal_err rc = registry_set_held(l->out->registry, &id, true);
		if (rc != SHOAL_OK && rc != SHOAL_ENOTFOUND) /* verified, but no file has come of it */
			return rc;
	}
	return SHOAL_OK;
}

/* Each log is whole from its floor on, or other trackers would never get what is missing here. */
static enum shoal_err follow(struct load_ctx *l, const struct dot *dot)
{
	uint64_t floor = vvec_get(&l->out->floor, dot->log), last = vvec_get(&l->logged, dot->log);
	if (dot->seq <= floor)
		return SHOAL_OK;
	if (dot->seq != (last > floor ? last : floor) + 1)
		return error_set(l->e, SHOAL_EINTEGRITY, "record %llu of log %llu is missing",
		                 (unsigned long long)(last > floor ? last : floor) + 1, (unsigned long long)dot->log);
	return vvec_raise(&l->logged, dot->log, dot->seq);
}

static enum shoal_err on_record(void *ctx, uint64_t position, struct slice bytes)
{
	struct load_ctx *l = ctx;
	struct record rec;
	(void)position;
	if (record_get(bytes, &rec) != SHOAL_OK)
		return SHOAL_EINTEGRITY;
	enum shoal_err rc = follow(l, &rec.stamp.dot);
	if (rc != SHOAL_OK || stamp_wall_ms(&rec.stamp) + REQUEST_MEMORY_MS < l->wall_ms)
		return rc;
	return registry_load_request(l->out->registry, &rec);
}

/* The log ends where the vector says. */
static enum shoal_err check_ends(struct load_ctx *l)
{
	const struct vvec *have = registry_vector(l->out->registry);
	for (size_t i = 0; i < have->n; i++) {
		uint64_t log = have->entries[i].log, last = vvec_get(&l->logged, log);
		uint64_t floor = vvec_get(&l->out->floor, log);
		if ((last > floor ? last : floor) < have->entries[i].seq)
			return error_set(l->e, SHOAL_EINTEGRITY, "the end of log %llu is missing", (unsigned long long)log);
	}
	return SHOAL_OK;
}

static enum shoal_err load_all(struct load_ctx *ctx, const char *path, struct error *e)
{
	struct store_sink sink = { .ctx = ctx, .vector = on_vector, .floor = on_floor, .hlc = on_hlc, .content = on_content };
	struct error found = { 0 };
	ctx->e = &found;
	ctx->hlc = 0;
	enum shoal_err rc = load_rows(&store_sqlite_ops, ctx->out->store, &sink, ctx->out->registry, e);
	if (rc == SHOAL_OK)
		rc = take_vector(ctx);
	if (rc == SHOAL_OK)
		rc = mark_held(ctx);
	if (rc == SHOAL_OK)
		rc = store_sqlite_ops.log_read(ctx->out->store, 0, SIZE_MAX, on_record, ctx, e);
	if (rc == SHOAL_OK)
		rc = check_ends(ctx);
	buf_free(&ctx->contents);
	vvec_fini(&ctx->vector);
	vvec_fini(&ctx->logged);
	if (rc == SHOAL_EINTEGRITY && found.code != SHOAL_OK)
		error_set(e, rc, "'%s' is damaged: %.400s", path, found.message);
	else if (rc != SHOAL_OK && e->code == SHOAL_OK)
		error_set(e, rc, "cannot load '%s': %s", path, error_default(rc));
	return rc;
}

void loaded_free(struct loaded *l)
{
	store_sqlite_ops.close(l->store);
	registry_free(l->registry);
	vvec_fini(&l->floor);
	l->store = NULL;
	l->registry = NULL;
}

/* All of it will be read, page by page in the order of keys, which is none on the disk: in the order of the disk that is ten
 * times as fast. It only helps what fits into memory. Before SQLite has it: closing a file gives up all locks on it. */
static void fetch_ahead(const char *path)
{
	off_t most = (off_t)sysconf(_SC_PHYS_PAGES) / 2 * sysconf(_SC_PAGESIZE);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= most)
		for (off_t at = 0; at < st.st_size; at += FETCH_STEP)
			if (posix_fadvise(fd, at, FETCH_STEP, POSIX_FADV_WILLNEED) != 0)
				break; /* it is only slower */
	if (fd >= 0)
		close(fd);
}

static enum shoal_err open_and_load(const char *path, uint16_t tracker, uint64_t log_id, struct load_ctx *ctx,
                                    struct error *e)
{
	*e = (struct error){ 0 };
	fetch_ahead(path);
	enum shoal_err rc = recover_look(path, e);
	if (rc == SHOAL_OK)
		rc = recover_make(path, e);
	if (rc == SHOAL_OK)
		rc = store_sqlite_ops.open(path, &ctx->out->store, e);
	if (rc != SHOAL_OK)
		return rc;
	ctx->out->registry = registry_new(tracker, log_id);
	rc = load_all(ctx, path, e);
	if (rc == SHOAL_OK)
		rc = store_sqlite_forget_unfinished(ctx->out->store, e);
	if (rc != SHOAL_OK)
		loaded_free(ctx->out);
	return rc;
}

enum shoal_err load_as_it_is(const char *path, struct loaded *out, struct error *e)
{
	struct load_ctx ctx = { .out = out, .wall_ms = 0 };
	*out = (struct loaded){ 0 };
	return open_and_load(path, 1, 1, &ctx, e);
}

/* The damaged one goes aside, an empty one takes its place. */
static enum shoal_err start_anew(const char *path, struct log *log, struct error *e)
{
	char *name = NULL;
	enum shoal_err rc;

	log_line(log, LOG_ERROR, "store", "%s", e->message);
	rc = recover_begin(path, e);
	if (rc == SHOAL_OK)
		rc = store_sqlite_set_aside(path, &name, e);
	if (rc == SHOAL_OK)
		log_line(log, LOG_ERROR, "store",
		         "the damaged database is kept as '%s'; this tracker starts empty and fetches "
		         "everything from the others",
		         name);
	free(name);
	return rc;
}

enum shoal_err load_store(const char *path, uint16_t tracker, uint64_t log_id, uint64_t wall_ms, bool others,
                          struct log *log, struct loaded *out, struct error *e)
{
	struct load_ctx ctx = { .out = out, .wall_ms = wall_ms };

	*out = (struct loaded){ 0 };
	enum shoal_err rc = open_and_load(path, tracker, log_id, &ctx, e);
	if (rc == SHOAL_EINTEGRITY && others) {
		rc = start_anew(path, log, e);
		if (rc == SHOAL_OK)
			rc = open_and_load(path, tracker, log_id, &ctx, e);
	} else if (rc == SHOAL_EINTEGRITY) {
		struct error why = *e;
		return error_set(e, rc, "%.280s; no other tracker has a copy: put a backup in its place, or move it and its "
		                 "'-wal' away to start empty", why.message);
	}
	if (rc == SHOAL_OK)
		out->set_aside = others && recover_pending(path);
	return rc;
}
