/* tracker/load.c */
#include "tracker/load.h"

#include <stdlib.h>
#include <string.h>

#include "tracker/recover.h"
#include "tracker/store_sqlite.h"

struct load_ctx {
	struct loaded *out;
	struct registry_loader *rows;
	uint64_t wall_ms;
	struct buf contents; /* ids of those that are complete: for the rows, which may come later */
	struct vvec logged;  /* up to where the log has been read */
	struct error *e;
};

static enum shoal_err on_row(void *ctx, const struct wire_row *row)
{
	struct load_ctx *l = ctx;
	enum shoal_err rc = registry_loader_add(l->rows, row);
	return rc == SHOAL_EPROTO ? SHOAL_EINTEGRITY : rc;
}

static enum shoal_err on_vector(void *ctx, uint64_t log, uint64_t seq)
{
	struct load_ctx *l = ctx;
	return registry_load_vector(l->out->registry, log, seq);
}

static enum shoal_err on_floor(void *ctx, uint64_t log, uint64_t seq)
{
	struct load_ctx *l = ctx;
	return vvec_raise(&l->out->floor, log, seq);
}

static enum shoal_err on_hlc(void *ctx, uint64_t hlc)
{
	struct load_ctx *l = ctx;
	registry_load_hlc(l->out->registry, hlc);
	return SHOAL_OK;
}

static enum shoal_err on_content(void *ctx, const struct id32 *id)
{
	struct load_ctx *l = ctx;
	buf_put(&l->contents, id->b, sizeof(id->b));
	return l->contents.failed ? SHOAL_EBUSY : SHOAL_OK;
}

/* When all rows are there: these have their piece hashes. */
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
	struct store_sink sink = { .ctx = ctx, .row = on_row, .vector = on_vector, .floor = on_floor, .hlc = on_hlc,
		                   .content = on_content };
	struct error found = { 0 };
	ctx->e = &found;
	ctx->rows = registry_loader_new(ctx->out->registry);
	enum shoal_err rc = ctx->rows == NULL ? SHOAL_EBUSY : store_sqlite_ops.load(ctx->out->store, &sink, e);
	enum shoal_err end = registry_loader_end(ctx->rows);
	if (rc == SHOAL_OK)
		rc = end;
	if (rc == SHOAL_OK)
		rc = mark_held(ctx);
	if (rc == SHOAL_OK)
		rc = store_sqlite_ops.log_read(ctx->out->store, 0, SIZE_MAX, on_record, ctx, e);
	if (rc == SHOAL_OK)
		rc = check_ends(ctx);
	buf_free(&ctx->contents);
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

static enum shoal_err open_and_load(const char *path, uint16_t tracker, uint64_t log_id, struct load_ctx *ctx,
                                    struct error *e)
{
	*e = (struct error){ 0 };
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
