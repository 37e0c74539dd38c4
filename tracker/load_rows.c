/* tracker/load_rows.c - a ring of portions between the thread that reads and the one that takes them in.
 *
 * Reading is SQLite and checksums, taking in is waiting for memory that is far away: each takes about half of the time. */
#include "tracker/load_rows.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/mem.h"

enum { PORTION = 512, PORTIONS = 16, NEAR = 8 }; /* NEAR: rows that are fetched from the other core's cache ahead */

struct portion {
	struct row *rows[PORTION];
	size_t n;
};

struct feed {
	/* -- immutable */
	const struct store_ops *ops;
	struct store *store;
	struct store_sink rest;
	/* -- the reader's until it has ended */
	struct error *e;
	enum shoal_err rc;
	/* -- protected by lock; a portion belongs to the reader before it is filled, then to the taker until it is taken */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t filled, taken; /* portions so far: the i-th is in i % PORTIONS */
	bool ended;           /* the reader has */
	bool stop;            /* the taker has given up */
	struct portion ring[PORTIONS];
};

/* -- the reader */

/* The portion that is being filled is done with. False: nobody wants more. */
static bool pass_on(struct feed *f)
{
	pthread_mutex_lock(&f->lock);
	f->filled++;
	pthread_cond_signal(&f->changed);
	while (f->filled - f->taken == PORTIONS && !f->stop)
		pthread_cond_wait(&f->changed, &f->lock);
	bool go_on = !f->stop;
	pthread_mutex_unlock(&f->lock);
	return go_on;
}

static enum shoal_err on_row(void *ctx, const struct wire_row *wire)
{
	struct feed *f = ctx;
	struct portion *p = &f->ring[f->filled % PORTIONS];
	enum shoal_err rc = row_new(wire, &p->rows[p->n]);

	if (rc != SHOAL_OK)
		return rc == SHOAL_EPROTO ? SHOAL_EINTEGRITY : rc;
	p->n++;
	return p->n < PORTION || pass_on(f) ? SHOAL_OK : SHOAL_ECANCELLED;
}

static enum shoal_err on_vector(void *ctx, uint64_t log, uint64_t seq)
{
	struct feed *f = ctx;
	return f->rest.vector(f->rest.ctx, log, seq);
}

static enum shoal_err on_floor(void *ctx, uint64_t log, uint64_t seq)
{
	struct feed *f = ctx;
	return f->rest.floor(f->rest.ctx, log, seq);
}

static enum shoal_err on_hlc(void *ctx, uint64_t hlc)
{
	struct feed *f = ctx;
	return f->rest.hlc(f->rest.ctx, hlc);
}

static enum shoal_err on_content(void *ctx, const struct id32 *id)
{
	struct feed *f = ctx;
	return f->rest.content(f->rest.ctx, id);
}

static void *read_all(void *arg)
{
	struct feed *f = arg;
	struct store_sink sink = { f, on_row, on_vector, on_floor, on_hlc, on_content };

	f->rc = f->ops->load(f->store, &sink, f->e);
	pthread_mutex_lock(&f->lock);
	f->filled++;
	f->ended = true;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* -- the taker */

/* NULL: that was all. */
static struct portion *next_portion(struct feed *f)
{
	pthread_mutex_lock(&f->lock);
	while (f->filled == f->taken && !f->ended)
		pthread_cond_wait(&f->changed, &f->lock);
	bool more = f->filled != f->taken;
	pthread_mutex_unlock(&f->lock);
	return more ? &f->ring[f->taken % PORTIONS] : NULL;
}

static void give_back(struct feed *f, struct portion *p, bool stop)
{
	p->n = 0;
	pthread_mutex_lock(&f->lock);
	f->taken++;
	f->stop = f->stop || stop;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static enum shoal_err take(struct portion *p, struct registry_loader *loader)
{
	enum shoal_err rc = SHOAL_OK;

	for (size_t i = 0; i < p->n; i++) {
		if (i + NEAR < p->n)
			__builtin_prefetch(p->rows[i + NEAR]);
		if (rc == SHOAL_OK)
			rc = registry_loader_add_row(loader, p->rows[i]);
		else
			row_unref(p->rows[i]);
	}
	return rc;
}

static enum shoal_err take_all(struct feed *f, struct registry_loader *loader)
{
	enum shoal_err rc = SHOAL_OK;
	struct portion *p;

	while ((p = next_portion(f)) != NULL) {
		enum shoal_err one = take(p, loader);
		rc = rc == SHOAL_OK ? one : rc;
		give_back(f, p, rc != SHOAL_OK);
	}
	return rc;
}

enum shoal_err load_rows(const struct store_ops *ops, struct store *store, const struct store_sink *rest,
                         struct registry *reg, struct error *e)
{
	struct registry_loader *loader = registry_loader_new(reg);
	struct feed *f = try_alloc(sizeof(*f));
	pthread_t reader;
	enum shoal_err rc = SHOAL_EBUSY, end;

	if (loader == NULL || f == NULL)
		goto out;
	*f = (struct feed){ .ops = ops, .store = store, .rest = *rest, .e = e };
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	if (pthread_create(&reader, NULL, read_all, f) == 0) {
		rc = take_all(f, loader);
		pthread_join(reader, NULL);
		if (rc == SHOAL_OK)
			rc = f->rc;
	} else {
		rc = error_set(e, SHOAL_EBUSY, "cannot start a thread to read the database");
	}
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
out:
	end = registry_loader_end(loader);
	free(f);
	return rc == SHOAL_OK ? end : rc;
}
