/* core/piece/storage_journal.c - NAME.part.state.
 *
 * Two entries of equal size in one file, written in turn, each with a checksum of its own. A write that is cut short
 * spoils only the older entry; the other still holds. (A temporary file and rename(2) would do, too, but need a longer
 * name than NAME_MAX leaves us, a flush of the folder each time, and room on a disk that may be full.)
 * An entry: "SHOALPS1" | seq u64 | content id | size u64 | front bytes u64 | midstate 32 | bitfield | SHA-256 of all that.
 * The bitfield holds only pieces that were flushed to the disk before. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/planted.h"
#include "core/piece/storage_internal.h"

#define MAGIC "SHOALPS1"
#define SEQ_MAX (UINT64_MAX / 2) /* none of ours comes near it; behind a larger one there would soon be no newer */
enum {
	AT_SEQ = 8,
	AT_CONTENT = 16,
	AT_SIZE = 48,
	AT_FRONT = 56,
	AT_STATE = 64,
	AT_BITS = 96,
	CHECKSUM_LEN = 32,
	ENTRY_ALIGN = 4096, /* two entries never share a sector or page */
};

struct storage_flush {
	struct storage *st; /* its descriptors, and nothing else, are used by storage_flush_run() */
	uint64_t seq;
	uint64_t covers; /* bytes of st->unflushed that it takes care of */
	bool written;
	struct buf entry;
};

static size_t bits_len(const struct storage *st)
{
	return ((size_t)st->meta->npieces + 7) / 8;
}

static size_t entry_len(const struct storage *st)
{
	return AT_BITS + bits_len(st) + CHECKSUM_LEN;
}

static uint64_t entry_offset(const struct storage *st, uint64_t seq)
{
	uint64_t room = (entry_len(st) + ENTRY_ALIGN - 1) / ENTRY_ALIGN * ENTRY_ALIGN;
	return seq % 2 * room;
}

static uint64_t get_u64(const uint8_t *p)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

enum shoal_err journal_prepare(struct storage *st, struct error *e)
{
	off_t len = (off_t)(entry_offset(st, 1) * 2);
	int rc;

	do
		rc = fallocate(st->journal, 0, 0, len);
	while (rc != 0 && errno == EINTR);
	if (rc != 0 && (errno == ENOSPC || errno == EDQUOT))
		return error_errno(e, "cannot create '%s/%s'", st->folder_shown, st->state_name);
	return SHOAL_OK; /* not supported there: the writes themselves will make the room */
}

enum shoal_err journal_reset(struct storage *st, struct error *e)
{
	st->seq = 0;
	st->mark.bytes = 0;
	if (ftruncate(st->journal, 0) != 0 || fdatasync(st->journal) != 0)
		return error_errno(e, "cannot write '%s/%s'", st->folder_shown, st->state_name);
	return SHOAL_OK;
}

/* Whether these bytes are a whole entry about this very content. */
static bool entry_good(const struct storage *st, const uint8_t *p)
{
	struct id32 sum;
	size_t len = entry_len(st) - CHECKSUM_LEN;

	if (memcmp(p, MAGIC, 8) != 0 || memcmp(p + AT_CONTENT, st->meta->content_id.b, 32) != 0 ||
	    get_u64(p + AT_SIZE) != st->meta->size)
		return false;
	sha256_of(p, len, &sum);
	return memcmp(p + len, sum.b, CHECKSUM_LEN) == 0;
}

static void take_entry(struct storage *st, struct bitfield *bits, const uint8_t *p)
{
	bitfield_free(st->have);
	st->have = bits;
	st->seq = get_u64(p + AT_SEQ);
	st->mark.bytes = get_u64(p + AT_FRONT);
	memcpy(st->mark.state, p + AT_STATE, sizeof(st->mark.state));
}

bool journal_load(struct storage *st)
{
	struct file_reader r = { .fd = st->journal, .pos = UINT64_MAX };
	uint8_t *p = try_alloc(entry_len(st));
	bool found = false;

	for (uint64_t slot = 0; p != NULL && slot < 2; slot++) {
		struct bitfield *bits = NULL;
		if (file_reader_read(&r, entry_offset(st, slot), p, entry_len(st), NULL) != SHOAL_OK)
			continue;
		uint64_t seq = get_u64(p + AT_SEQ);
		if (!entry_good(st, p) || seq % 2 != slot || (seq <= st->seq && !PLANTED(journal_older)) || seq > SEQ_MAX)
			continue;
		if (bitfield_from_wire(&bits, st->meta->npieces, p + AT_BITS, bits_len(st)) != SHOAL_OK)
			continue;
		take_entry(st, bits, p);
		found = true;
	}
	free(p);
	storage_recount(st);
	/* the midstate is good only for a front that is vouched for */
	if (st->mark.bytes % PIECE_SIZE != 0 || st->mark.bytes > atomic_load(&st->front_bytes))
		st->mark.bytes = 0;
	return found;
}

/* Entries about this very content, or room for them, and nothing else. */
static bool is_stale(const struct storage *st, int fd, uint8_t *p)
{
	static const uint8_t never[8];
	struct file_reader r = { .fd = fd, .pos = UINT64_MAX };
	unsigned ours = 0;
	struct stat s;

	if (fstat(fd, &s) != 0 || (uint64_t)s.st_size > entry_offset(st, 1) * 2)
		return false;
	for (uint64_t slot = 0; slot < 2 && entry_offset(st, slot) + entry_len(st) <= (uint64_t)s.st_size; slot++) {
		if (file_reader_read(&r, entry_offset(st, slot), p, entry_len(st), NULL) != SHOAL_OK ||
		    (memcmp(p, never, sizeof(never)) != 0 && !entry_good(st, p)))
			return false;
		ours++;
	}
	return ours > 0;
}

void journal_forget_stale(const struct storage *st)
{
	int fd = folder_has(st->folder, st->part_name) ? -1 : folder_open_file(st->folder, st->state_name, O_RDONLY);
	uint8_t *p = fd < 0 ? NULL : try_alloc(entry_len(st));

	if (p != NULL && is_stale(st, fd, p))
		unlinkat(st->folder, st->state_name, 0);
	free(p);
	if (fd >= 0)
		close(fd);
}

bool storage_flush_due(const struct storage *st)
{
	return !st->flushing && !st->finished && st->unflushed >= st->flush_bytes;
}

static void put_bits(const struct storage *st, struct buf *b)
{
	const uint8_t *data;
	size_t len;
	for (uint32_t first = 0; (len = bitfield_to_wire(st->have, first, &data)) != 0; first += (uint32_t)(8 * len))
		buf_put(b, data, len);
}

struct storage_flush *storage_flush_new(struct storage *st)
{
	if (st->flushing || st->finished || st->journal < 0 || st->unflushed == 0)
		return NULL;
	struct storage_flush *fl = try_alloc(sizeof(*fl));
	if (fl == NULL)
		return NULL;
	fl->st = st;
	fl->seq = st->seq + 1;
	fl->covers = st->unflushed;

	storage_lock(st);
	struct front_mark mark = st->mark;
	storage_unlock(st);
	struct buf *b = &fl->entry;
	struct id32 sum;
	buf_put(b, MAGIC, 8);
	buf_put_u64(b, fl->seq);
	buf_put(b, st->meta->content_id.b, 32);
	buf_put_u64(b, st->meta->size);
	buf_put_u64(b, mark.bytes);
	buf_put(b, mark.state, sizeof(mark.state));
	put_bits(st, b);
	if (b->failed) {
		buf_free(b);
		free(fl);
		return NULL;
	}
	sha256_of(b->data, b->len, &sum);
	buf_put(b, sum.b, sizeof(sum.b));
	st->flushing = true;
	return fl;
}

enum shoal_err storage_flush_run(struct storage_flush *fl, struct error *e)
{
	const struct storage *st = fl->st;

	if (fl->entry.failed)
		return error_set(e, SHOAL_EBUSY, "out of memory writing '%s/%s'", st->folder_shown, st->state_name);
	if (fdatasync(st->part) != 0)
		return error_errno(e, "cannot flush '%s/%s'", st->folder_shown, st->part_name);
	if (lseek(st->journal, (off_t)entry_offset(st, fl->seq), SEEK_SET) < 0 ||
	    !fs_write_all(st->journal, fl->entry.data, fl->entry.len) || fdatasync(st->journal) != 0)
		return error_errno(e, "cannot write '%s/%s'", st->folder_shown, st->state_name);
	fl->written = true;
	return SHOAL_OK;
}

void storage_flush_free(struct storage_flush *fl)
{
	if (fl == NULL)
		return;
	if (fl->written) {
		fl->st->seq = fl->seq;
		fl->st->unflushed -= fl->covers;
	}
	fl->st->flushing = false;
	buf_free(&fl->entry);
	free(fl);
}
