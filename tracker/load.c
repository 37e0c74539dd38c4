/* tracker/load.c */
#include "tracker/load.h"

#include <stdlib.h>

#include "tracker/store_sqlite.h"

struct load_ctx {
	struct loaded *out;
	uint64_t wall_ms;
};

static enum shoal_err on_row(void *ctx, const struct wire_row *row)
{
	struct load_ctx *l = ctx;
	enum shoal_err rc = registry_load(l->out->registry, row);
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
	enum shoal_err rc = registry_set_held(l->out->registry, id, true);
	return rc == SHOAL_ENOTFOUND ? SHOAL_OK : rc; /* verified, but no file has come of it */
}

static enum shoal_err on_record(void *ctx, uint64_t position, struct slice bytes)
{
	struct load_ctx *l = ctx;
	struct record rec;
	(void)position;
	if (record_get(bytes, &rec) != SHOAL_OK)
		return SHOAL_EINTEGRITY;
	if (stamp_wall_ms(&rec.stamp) + REQUEST_MEMORY_MS < l->wall_ms)
		return SHOAL_OK;
	return registry_load_request(l->out->registry, &rec);
}

static enum shoal_err load_all(struct load_ctx *ctx, const char *path, struct error *e)
{
	struct store_sink sink = { .ctx = ctx, .row = on_row, .vector = on_vector, .floor = on_floor, .hlc = on_hlc,
		                   .content = on_content };
	enum shoal_err rc = store_sqlite_ops.load(ctx->out->store, &sink, e);
	if (rc == SHOAL_OK)
		rc = store_sqlite_ops.log_read(ctx->out->store, 0, SIZE_MAX, on_record, ctx, e);
	if (rc != SHOAL_OK && e->code == SHOAL_OK)
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
	enum shoal_err rc = store_sqlite_ops.open(path, &ctx->out->store, e);
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

enum shoal_err load_store(const char *path, uint16_t tracker, uint64_t log_id, uint64_t wall_ms, bool others,
                          struct log *log, struct loaded *out, struct error *e)
{
	struct load_ctx ctx = { .out = out, .wall_ms = wall_ms };
	char *name = NULL;

	*out = (struct loaded){ 0 };
	enum shoal_err rc = open_and_load(path, tracker, log_id, &ctx, e);
	if (rc != SHOAL_EINTEGRITY)
		return rc;
	if (!others) {
		struct error why = *e;
		return error_set(e, rc, "%.280s; no other tracker has a copy: put a backup in its place, or move it and its "
		                 "'-wal' away to start empty", why.message);
	}
	log_line(log, LOG_ERROR, "store", "%s", e->message);
	rc = store_sqlite_set_aside(path, &name, e);
	if (rc == SHOAL_OK) {
		log_line(log, LOG_ERROR, "store",
		         "the damaged database is kept as '%s'; this tracker starts empty and fetches "
		         "everything from the others",
		         name);
		out->set_aside = true;
		rc = open_and_load(path, tracker, log_id, &ctx, e);
	}
	free(name);
	return rc;
}
