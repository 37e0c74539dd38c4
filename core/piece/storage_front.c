/* core/piece/storage_front.c - the whole-file hash keeps up with the pieces, so that the end has no second pass. */
#include <assert.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/piece/storage_internal.h"

struct storage_front {
	/* immutable */
	struct storage *st; /* its front_bytes, and its mark under the lock, and nothing else that changes */
	/* its thread */
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

enum shoal_err storage_front_step(struct storage_front *f, uint64_t max_bytes, bool *more, struct error *e)
{
	uint64_t start = atomic_load(&f->done), done = start;
	enum shoal_err rc = SHOAL_OK;

	while (done - start < max_bytes) {
		uint64_t rest = atomic_load(&f->st->front_bytes);
		rest = rest > done ? rest - done : 0;
		size_t len = rest < PIECE_SIZE ? (size_t)rest : PIECE_SIZE;
		if (len == 0)
			break;
		rc = file_reader_read(&f->reader, done, f->buffer, len, e);
		if (rc != SHOAL_OK)
			break;
		sha256_update(&f->hash, f->buffer, len);
		done += len;
		atomic_store(&f->done, done);
	}
	if (done != start)
		leave_mark(f, done);
	*more = storage_front_behind(f) != 0;
	return rc;
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
