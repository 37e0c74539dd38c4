/* client/peer_verify.c - a whole piece has come in: hashed, written, handed back.
 *
 * Pieces wait in one list for whichever transfer thread has time: the receiver calls another one, and lends a hand itself
 * when too many wait. Hashes are made two at a time where there are two to make (sha256_update_pair()): the piece and
 * the next one of the whole-file chain, or two pieces. */
#include <assert.h>

#include "client/peer_conn.h"
#include "core/base/hash.h"

enum { WAITING_MAX = 4 }; /* pieces that wait; past that the receiver does some itself */

/* -- sinks */

enum shoal_err piece_sink_init(struct piece_sink *sink, struct storage *st, const struct metainfo *meta,
                               struct storage_front *front, struct peer_rate *limit, struct error *e)
{
	*sink = (struct piece_sink){ .meta = meta, .front = front, .limit = limit };
	pthread_mutex_init(&sink->lock, NULL);
	pthread_cond_init(&sink->idle, NULL);
	while (sink->nwriters < SINK_WRITERS) {
		enum shoal_err rc = storage_writer_open(st, &sink->writers[sink->nwriters], e);
		if (rc != SHOAL_OK && sink->nwriters == 0) {
			piece_sink_fini(sink);
			return rc;
		}
		if (rc != SHOAL_OK)
			break; /* fewer will do */
		sink->nidle = ++sink->nwriters;
	}
	return SHOAL_OK;
}

void piece_sink_fini(struct piece_sink *sink)
{
	assert(sink->nidle == sink->nwriters);
	for (unsigned i = 0; i < sink->nwriters; i++)
		storage_writer_close(sink->writers[i]);
	sink->nwriters = sink->nidle = 0;
	pthread_cond_destroy(&sink->idle);
	pthread_mutex_destroy(&sink->lock);
}

static enum shoal_err sink_write(struct piece_sink *sink, uint32_t piece, const uint8_t *data, size_t len,
                                 struct error *e)
{
	pthread_mutex_lock(&sink->lock);
	while (sink->nidle == 0)
		pthread_cond_wait(&sink->idle, &sink->lock);
	struct storage_writer *w = sink->writers[--sink->nidle];
	pthread_mutex_unlock(&sink->lock);

	enum shoal_err rc = storage_write_piece(w, piece, data, len, e);

	pthread_mutex_lock(&sink->lock);
	sink->writers[sink->nidle++] = w;
	pthread_cond_signal(&sink->idle);
	pthread_mutex_unlock(&sink->lock);
	return rc;
}

/* -- verifying */

void ask_back(struct piece_ask *ask, enum ask_result result)
{
	piece_pool_give(ask->io->pool, ask->buf);
	ask->buf = NULL;
	ask->result = result;
	ask->ev.type = PEER_ASK_DONE;
	queue_post(ask->io->config.events, &ask->ev.node);
}

static void verified(struct piece_ask *ask, bool ok)
{
	enum ask_result result = ASK_OK;

	if (!ok)
		result = ASK_BAD;
	else if (sink_write(ask->sink, ask->piece, ask->buf, ask->length, &ask->error) != SHOAL_OK)
		result = ASK_DISK;
	ask_back(ask, result);
}

static struct piece_ask *take_one(struct peer_io *io)
{
	pthread_mutex_lock(&io->verify_lock);
	struct piece_ask *ask = TAILQ_FIRST(&io->to_verify);
	if (ask != NULL) {
		TAILQ_REMOVE(&io->to_verify, ask, entry);
		io->nto_verify--;
	}
	pthread_mutex_unlock(&io->verify_lock);
	return ask;
}

static void verify_two(struct piece_ask *a, struct piece_ask *b)
{
	struct sha256 ha, hb;
	struct id32 hash;

	sha256_init(&ha);
	sha256_init(&hb);
	sha256_update_pair(&ha, a->buf, a->length, &hb, b->buf, b->length);
	sha256_final(&ha, &hash);
	verified(a, metainfo_piece_is(a->sink->meta, a->piece, a->length, &hash));
	sha256_final(&hb, &hash);
	verified(b, metainfo_piece_is(b->sink->meta, b->piece, b->length, &hash));
}

bool verify_some(struct peer_io *io)
{
	struct piece_ask *a = take_one(io), *b;
	bool ok;

	if (a == NULL)
		return false;
	if (a->sink->front != NULL && storage_front_along(a->sink->front, a->piece, a->buf, a->length, &ok))
		verified(a, ok);
	else if ((b = take_one(io)) != NULL)
		verify_two(a, b);
	else
		verified(a, metainfo_piece_ok(a->sink->meta, a->piece, a->buf, a->length));
	return true;
}

/* Locked. Another thread that has not been called yet; NULL: all have. */
static struct io_thread *whom_to_call(struct io_thread *t)
{
	struct peer_io *io = t->io;

	for (unsigned i = 1; i < io->nthreads; i++) {
		struct io_thread *other = &io->threads[(t->index + i) % io->nthreads];
		if (!other->called)
			return other;
	}
	return NULL;
}

void verify_put(struct io_thread *t, struct piece_ask *ask)
{
	struct peer_io *io = t->io;

	pthread_mutex_lock(&io->verify_lock);
	TAILQ_INSERT_TAIL(&io->to_verify, ask, entry);
	bool help = ++io->nto_verify > WAITING_MAX || io->nthreads == 1;
	struct io_thread *other = whom_to_call(t);
	if (other != NULL)
		other->called = true;
	pthread_mutex_unlock(&io->verify_lock);
	if (other != NULL)
		queue_post(other->cmds, &other->verify.node);
	if (help)
		verify_some(io);
}

void verify_on_call(struct io_thread *t)
{
	struct peer_io *io = t->io;

	verify_some(io);
	pthread_mutex_lock(&io->verify_lock);
	bool again = io->nto_verify > 0; /* behind what else waits for this thread */
	t->called = again;
	pthread_mutex_unlock(&io->verify_lock);
	if (again)
		queue_post(t->cmds, &t->verify.node);
}
