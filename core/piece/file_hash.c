/* core/piece/file_hash.c - one pass, two hashes.
 *
 * A ring of buffers, one piece each. A thread that wants work takes, in this order: the next piece of the whole-file
 * chain if it has been read and nobody is at the chain; else the next two pieces of the file, if buffers are free and
 * nobody is reading, which it then also hashes, both at once, while they are in its cache. So the chain, which cannot be
 * shared out, never waits for a thread that could do it, and with n threads n - 1 of them read and hash pieces. One
 * thread alone hashes each piece and the chain at once. */
#include "core/piece/file_hash.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

enum {
	THREADS_MAX = 10,
	SPARE_SLOTS = 5,           /* buffers beyond one a thread: how far reading may be ahead of the chain */
	HELPERS_FROM_PIECES = 4,   /* smaller files are hashed sooner than a helper has woken */
};

struct slot {
	uint8_t *data;
	uint32_t piece;
	uint32_t len;
	bool filled, hashed, chained; /* free again when hashed and chained */
};

struct hasher {
	/* -- immutable after start */
	const char *shown;
	struct metainfo *mi; /* hashes[i] is written by whoever hashes piece i */
	struct file_hash_progress *progress;
	uint32_t nslots;
	bool alone; /* no helpers were asked for */
	/* -- the thread that holds `chaining` */
	struct sha256 chain;
	/* -- the thread that holds `reading` */
	struct file_reader reader;
	/* -- protected by lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct slot slots[THREADS_MAX + SPARE_SLOTS]; /* piece i lies in slot i % nslots */
	uint32_t read_next, chain_next, nhashed;
	bool reading, chaining, over; /* over: done, failed or cancelled; nothing more is begun */
	enum shoal_err rc;
	struct error e;
	unsigned working; /* threads between two locks: their buffers must stay */
	unsigned refs;    /* the caller, and helpers that have not ended or not even begun */
};

struct helper {
	struct work work;
	struct hasher *h;
};

static void unref(struct hasher *h)
{
	pthread_mutex_lock(&h->lock);
	bool last = --h->refs == 0;
	pthread_mutex_unlock(&h->lock);
	if (!last)
		return;
	for (uint32_t i = 0; i < h->nslots; i++)
		free(h->slots[i].data);
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* Locked. The first failure is the one that is told. */
static void fail(struct hasher *h, enum shoal_err rc, const struct error *e)
{
	if (h->rc == SHOAL_OK) {
		h->rc = rc;
		if (e != NULL)
			h->e = *e;
	}
	h->over = true;
}

/* Locked. A buffer whose two hashes are made is free for the piece nslots further on. */
static void release_if_done(struct hasher *h, struct slot *s)
{
	if (s->hashed && s->chained)
		s->filled = s->hashed = s->chained = false;
	if (h->nhashed == h->mi->npieces && h->chain_next == h->mi->npieces)
		h->over = true;
}

/* Locked. The next slot of the chain, if it can go on and nobody is at it. */
static struct slot *chain_ready(struct hasher *h)
{
	struct slot *s = &h->slots[h->chain_next % h->nslots];

	return !h->chaining && s->filled && !s->chained && s->piece == h->chain_next ? s : NULL;
}

/* Locked: the chain has gone through that slot. */
static void chain_done(struct hasher *h, struct slot *s)
{
	if (h->progress != NULL)
		atomic_fetch_add(&h->progress->done, s->len);
	h->chaining = false;
	h->chain_next++;
	s->chained = true;
	release_if_done(h, s);
}

/* Locked on entry and return; lets go of the lock to hash. */
static void do_chain(struct hasher *h, struct slot *s)
{
	h->chaining = true;
	pthread_mutex_unlock(&h->lock);
	sha256_update(&h->chain, s->data, s->len);
	pthread_mutex_lock(&h->lock);
	chain_done(h, s);
}

static bool can_read(const struct hasher *h)
{
	return !h->reading && h->read_next < h->mi->npieces && !h->slots[h->read_next % h->nslots].filled;
}

/* Locked on entry and return. Reads the next piece and gives it to the chain; NULL: it failed, and all is over. */
static struct slot *read_piece(struct hasher *h)
{
	struct slot *s = &h->slots[h->read_next % h->nslots];
	uint32_t piece = h->read_next++, len = metainfo_piece_len(h->mi, piece);
	struct error e = { 0 };

	h->reading = true;
	pthread_mutex_unlock(&h->lock);
	enum shoal_err rc = file_reader_read(&h->reader, metainfo_piece_offset(h->mi, piece), s->data, len, &e);
	pthread_mutex_lock(&h->lock);
	h->reading = false;
	if (rc != SHOAL_OK) {
		error_set(&e, rc, rc == SHOAL_ECONFLICT ? "'%s' changed while it was read" : "cannot read '%s'", h->shown);
		fail(h, rc, &e);
		return NULL;
	}
	s->piece = piece;
	s->len = len;
	s->filled = true;
	pthread_cond_broadcast(&h->changed);
	return s;
}

/* Locked on entry and return. */
static void piece_hashed(struct hasher *h, struct slot *s, struct sha256 *hash)
{
	sha256_final(hash, &h->mi->hashes[s->piece]);
	h->nhashed++;
	s->hashed = true;
	release_if_done(h, s);
}

/* Locked on entry and return. A piece together with the same piece of the chain: for one thread that has to do it all. */
static void do_piece_and_chain(struct hasher *h)
{
	struct slot *s = read_piece(h);
	struct sha256 hash;

	if (s == NULL)
		return;
	assert(s == chain_ready(h));
	h->chaining = true;
	pthread_mutex_unlock(&h->lock);
	sha256_init(&hash);
	sha256_update_pair(&hash, s->data, s->len, &h->chain, s->data, s->len);
	pthread_mutex_lock(&h->lock);
	piece_hashed(h, s, &hash);
	chain_done(h, s);
}

/* Locked on entry and return. Two pieces, or one if there are no more, while others see to the chain. */
static void do_pieces(struct hasher *h)
{
	struct slot *a = read_piece(h), *b = NULL;
	struct sha256 hash[2];

	if (a != NULL && can_read(h))
		b = read_piece(h);
	if (a == NULL || h->over)
		return;
	pthread_mutex_unlock(&h->lock);
	sha256_init(&hash[0]);
	sha256_init(&hash[1]);
	if (b != NULL)
		sha256_update_pair(&hash[0], a->data, a->len, &hash[1], b->data, b->len);
	else
		sha256_update(&hash[0], a->data, a->len);
	pthread_mutex_lock(&h->lock);
	piece_hashed(h, a, &hash[0]);
	if (b != NULL)
		piece_hashed(h, b, &hash[1]);
}

/* Every thread's life: take what can be done until all is done. */
static void work_along(struct hasher *h)
{
	pthread_mutex_lock(&h->lock);
	while (!h->over) {
		struct slot *chain = chain_ready(h);

		if (h->progress != NULL && atomic_load(&h->progress->cancel)) {
			fail(h, SHOAL_ECANCELLED, NULL);
			break;
		}
		if (chain == NULL && !can_read(h)) {
			pthread_cond_wait(&h->changed, &h->lock); /* whoever finishes something wakes us */
			continue;
		}
		h->working++;
		if (chain != NULL)
			do_chain(h, chain);
		else if (h->alone)
			do_piece_and_chain(h);
		else
			do_pieces(h);
		h->working--;
		pthread_cond_broadcast(&h->changed);
	}
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

static void helper_run(struct work *w)
{
	struct helper *helper = container_of(container_of(w, struct work, node), struct helper, work);
	struct hasher *h = helper->h;
	free(helper);
	work_along(h);
	unref(h);
}

static void post_helpers(struct hasher *h, struct workers *pool, unsigned n)
{
	while (n-- != 0) {
		struct helper *helper = try_alloc(sizeof(*helper));
		if (helper == NULL)
			return; /* fewer hands, the same result */
		helper->h = h;
		helper->work.run = helper_run;
		pthread_mutex_lock(&h->lock);
		h->refs++;
		pthread_mutex_unlock(&h->lock);
		if (!workers_post(pool, &helper->work)) {
			free(helper);
			unref(h);
			return;
		}
	}
}

static struct hasher *hasher_new(int fd, const char *shown, struct metainfo *mi, unsigned nthreads)
{
	struct hasher *h = try_alloc(sizeof(*h));
	if (h == NULL)
		return NULL;
	h->shown = shown;
	h->mi = mi;
	h->reader = (struct file_reader){ .fd = fd, .pos = UINT64_MAX };
	h->refs = 1;
	sha256_init(&h->chain);
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->changed, NULL);
	for (uint32_t want = nthreads + SPARE_SLOTS; h->nslots < want && h->nslots < mi->npieces; h->nslots++) {
		struct slot *s = &h->slots[h->nslots];
		s->data = malloc(PIECE_SIZE); /* not try_alloc(): it would be zeroed for nothing */
		if (s->data == NULL)
			break;
	}
	if (h->nslots == 0 && mi->npieces != 0) {
		unref(h);
		return NULL;
	}
	return h;
}

/* Hashes everything into mi; the fd, mi and shown are not touched any more once it has returned. */
static enum shoal_err hash_all(int fd, const char *shown, struct workers *pool, struct file_hash_progress *progress,
                               struct metainfo *mi, struct error *e)
{
	bool helped = pool != NULL && mi->npieces >= HELPERS_FROM_PIECES;
	unsigned nthreads = helped ? workers_default_count() : 1;
	assert(nthreads <= THREADS_MAX);
	struct hasher *h = hasher_new(fd, shown, mi, nthreads);

	if (h == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory hashing '%s'", shown);
	h->progress = progress;
	h->over = mi->npieces == 0;
	h->alone = nthreads == 1;
	post_helpers(h, pool, nthreads - 1);
	work_along(h);

	pthread_mutex_lock(&h->lock);
	while (h->working != 0)
		pthread_cond_wait(&h->changed, &h->lock);
	enum shoal_err rc = h->rc;
	if (rc == SHOAL_OK)
		sha256_final(&h->chain, &mi->file_hash);
	else if (rc == SHOAL_ECANCELLED)
		error_set(e, rc, "hashing '%s' was cancelled", shown);
	else if (e != NULL)
		*e = h->e;
	pthread_mutex_unlock(&h->lock);
	unref(h); /* helpers that the pool has not started yet find it over */
	return rc;
}

enum shoal_err file_hash_fd(int fd, const char *shown, struct workers *pool, struct file_hash_progress *progress,
                            struct metainfo **out, struct file_stamp *stamp, struct error *e)
{
	struct metainfo *mi = NULL;
	struct file_stamp before, after;
	enum shoal_err rc = file_stamp_of(fd, shown, &before, e);

	if (rc == SHOAL_OK)
		rc = metainfo_new(before.size, PIECE_SIZE, NULL, NULL, &mi, e);
	if (rc == SHOAL_OK) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
		rc = hash_all(fd, shown, pool, progress, mi, e);
	}
	if (rc == SHOAL_OK)
		rc = file_stamp_of(fd, shown, &after, e);
	if (rc == SHOAL_OK && !file_stamp_eq(&before, &after))
		rc = error_set(e, SHOAL_ECONFLICT, "'%s' changed while it was read", shown);
	if (rc != SHOAL_OK) {
		metainfo_free(mi);
		return rc;
	}
	metainfo_seal(mi);
	*out = mi;
	*stamp = after;
	return SHOAL_OK;
}

/* Whether the path still leads to the file that was hashed. */
static bool still_there(const char *path, const struct file_stamp *stamp)
{
	struct stat st;
	return stat(path, &st) == 0 && st.st_ino == stamp->inode && st.st_dev == stamp->device;
}

enum shoal_err file_hash_run(const char *path, struct workers *pool, struct file_hash_progress *progress,
                             struct metainfo **out, struct file_stamp *stamp, struct error *e)
{
	/* O_NONBLOCK: a FIFO must be refused, not waited for */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct metainfo *mi = NULL;

	if (fd < 0)
		return error_errno(e, "cannot open '%s'", path);
	enum shoal_err rc = file_hash_fd(fd, path, pool, progress, &mi, stamp, e);
	close(fd);
	if (rc == SHOAL_OK && !still_there(path, stamp)) {
		metainfo_free(mi);
		return error_set(e, SHOAL_ECONFLICT, "'%s' was replaced while it was read", path);
	}
	if (rc == SHOAL_OK)
		*out = mi;
	return rc;
}
