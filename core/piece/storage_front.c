/* core/piece/storage_front.c - the whole-file hash keeps up with the pieces, so that the end has no second pass.
 *
 * The chain cannot be shared out, so one thread at a time holds it: the pool's, that catches up, or one that has a piece
 * to verify anyway and takes a piece of the chain along, which costs it little (sha256_update_pair()). */
#include <assert.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/piece/storage_internal.h"

struct storage_front {
	/* immutable */
	struct storage *st; /* its front_bytes, and its mark under the lock, and nothing else that changes */
	/* who holds it */
	pthread_mutex_t held; /* st's lock may be taken within */
	struct file_reader reader;
	struct sha256 hash;
	uint8_t *buffer; /* a piece */
	/* any thread */
	_Atomic uint64_t done; /* bytes hashed */
};

enum shoal_err storage_front_new(struct storage *st, struct storage_front **out, struct error *e)
{
	struct storage_front *f = try_alloc(sizeof(*f));
	uint8_t *buffer = malloc(PIECE_SIZE);
	enum shoal_err rc;

	if (f == NULL || buffer == NULL)
		rc = error_set(e, SHOAL_EBUSY, "out of memory hashing '%s'", st->path);
	else
		rc = storage_reader_open(st, &f->reader, e);
	if (rc != SHOAL_OK) {
		free(buffer);
		free(f);
		return rc;
	}
	f->st = st;
	f->buffer = buffer;
	pthread_mutex_init(&f->held, NULL);
	storage_lock(st);
	struct front_mark mark = st->mark;
	storage_unlock(st);
	if (mark.bytes != 0)
		sha256_load(&f->hash, mark.state, mark.bytes);
	else
		sha256_init(&f->hash);
	atomic_store(&f->done, mark.bytes);
	*out = f;
	return SHOAL_OK;
}

void storage_front_free(struct storage_front *f)
{
	if (f == NULL)
		return;
	file_reader_close(&f->reader);
	pthread_mutex_destroy(&f->held);
	free(f->buffer);
	free(f);
}

uint64_t storage_front_behind(const struct storage_front *f)
{
	uint64_t front = atomic_load(&f->st->front_bytes), done = atomic_load(&f->done);
	return front > done ? front - done : 0;
}

/* Leaves the midstate where the next journal entry finds it. */
static void leave_mark(struct storage_front *f, uint64_t done)
{
	struct front_mark mark = { .bytes = done };
	if (done % PIECE_SIZE != 0 || !sha256_save(&f->hash, mark.state))
		return; /* behind a short last piece there is nothing to go on with */
	storage_lock(f->st);
	f->st->mark = mark;
	storage_unlock(f->st);
}

/* Held. The next piece of the front into the buffer; *len 0: there is none yet. */
static enum shoal_err read_next(struct storage_front *f, size_t *len, struct error *e)
{
	uint64_t behind = storage_front_behind(f);

	*len = behind < PIECE_SIZE ? (size_t)behind : PIECE_SIZE;
	return *len == 0 ? SHOAL_OK : file_reader_read(&f->reader, atomic_load(&f->done), f->buffer, *len, e);
}

enum shoal_err storage_front_step(struct storage_front *f, uint64_t max_bytes, bool *more, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	size_t len;

	pthread_mutex_lock(&f->held);
	uint64_t start = atomic_load(&f->done), done = start;
	while (done - start < max_bytes && (rc = read_next(f, &len, e)) == SHOAL_OK && len != 0) {
		sha256_update(&f->hash, f->buffer, len);
		done += len;
		atomic_store(&f->done, done);
	}
	if (done != start)
		leave_mark(f, done);
	pthread_mutex_unlock(&f->held);
	*more = storage_front_behind(f) != 0;
	return rc;
}

/* Held. Hashes `data`, and the len bytes in the buffer. */
static void hash_both(struct storage_front *f, size_t len, const void *data, size_t data_len, struct id32 *out)
{
	struct sha256 h;

	sha256_init(&h);
	sha256_update_pair(&h, data, data_len, &f->hash, f->buffer, len);
	sha256_final(&h, out);
	uint64_t done = atomic_load(&f->done) + len;
	atomic_store(&f->done, done);
	leave_mark(f, done);
}

bool storage_front_along(struct storage_front *f, uint32_t piece, const void *data, size_t len, bool *ok)
{
	struct error ignored = { 0 }; /* storage_front_step() will meet it again, and tell */
	struct id32 hash;
	size_t next = 0;

	if (storage_front_behind(f) == 0 || pthread_mutex_trylock(&f->held) != 0)
		return false;
	bool along = read_next(f, &next, &ignored) == SHOAL_OK && next != 0;
	if (along)
		hash_both(f, next, data, len, &hash);
	pthread_mutex_unlock(&f->held);
	*ok = along && metainfo_piece_is(f->st->meta, piece, len, &hash);
	return along;
}

enum shoal_err front_complete(struct storage_front *f, struct id32 *hash, struct error *e)
{
	for (bool more = storage_front_behind(f) != 0; more;) {
		enum shoal_err rc = storage_front_step(f, STORAGE_FRONT_STEP, &more, e);
		if (rc != SHOAL_OK)
			return rc;
	}
	assert(atomic_load(&f->done) == f->st->meta->size);
	struct sha256 copy = f->hash; /* finish may be called again */
	sha256_final(&copy, hash);
	return SHOAL_OK;
}
