/* core/piece/storage.c - opening, resuming, closing; the bitfield.
 *
 * What makes a resume trustworthy is an order: a new part file is locked while it is still empty, the old journal is
 * emptied on the disk, and only then the part file gets its size. A journal counts only beside a part file of the right
 * size, so no crash leaves an old journal that vouches for new, empty blocks. */
#include "core/piece/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "core/base/mem.h"
#include "core/base/name.h"
#include "core/piece/storage_internal.h"

enum { CANDIDATES_MAX = 10000, LOCK_TRIES_MAX = 16 };

void storage_lock(const struct storage *st)
{
	pthread_mutex_lock((pthread_mutex_t *)&st->lock);
}

void storage_unlock(const struct storage *st)
{
	pthread_mutex_unlock((pthread_mutex_t *)&st->lock);
}

enum shoal_err storage_set_name(struct storage *st, const char *name, struct error *e)
{
	size_t folder_len = strlen(st->folder_shown), size = folder_len + strlen(name) + 2;
	char *path = try_alloc(size);

	if (path == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory opening '%s'", name);
	bool slash = folder_len == 0 || st->folder_shown[folder_len - 1] != '/';
	snprintf(path, size, "%s%s%s", st->folder_shown, slash ? "/" : "", name);
	free(st->path);
	st->path = path;
	snprintf(st->name, sizeof(st->name), "%s", name);
	return SHOAL_OK;
}

static void set_part_names(struct storage *st)
{
	snprintf(st->part_name, sizeof(st->part_name), "%s" PART_SUFFIX, st->name);
	snprintf(st->state_name, sizeof(st->state_name), "%s" STATE_SUFFIX, st->name);
}

static void publish_front(struct storage *st, uint32_t from)
{
	uint32_t front = bitfield_next_unset(st->have, from);
	atomic_store(&st->front_bytes,
	             front == BITFIELD_NONE ? st->meta->size : metainfo_piece_offset(st->meta, front));
}

void storage_recount(struct storage *st)
{
	if (st->have == NULL)
		return;
	uint32_t count = bitfield_count(st->have), last = st->meta->npieces - 1;
	st->verified = (uint64_t)count * PIECE_SIZE;
	if (bitfield_has(st->have, last))
		st->verified -= PIECE_SIZE - metainfo_piece_len(st->meta, last);
	publish_front(st, 0);
}

void storage_mark_verified(struct storage *st, uint32_t piece)
{
	if (st->have == NULL || bitfield_has(st->have, piece))
		return;
	uint32_t len = metainfo_piece_len(st->meta, piece);
	bitfield_set(st->have, piece);
	st->verified += len;
	st->unflushed += len;
	if (metainfo_piece_offset(st->meta, piece) == atomic_load(&st->front_bytes))
		publish_front(st, piece);
}

enum storage_start storage_start(const struct storage *st)
{
	return st->start;
}

const struct bitfield *storage_bitfield(const struct storage *st)
{
	return st->have;
}

bool storage_has_all(const struct storage *st)
{
	return st->have == NULL || bitfield_full(st->have);
}

uint64_t storage_verified_bytes(const struct storage *st)
{
	return st->verified;
}

const char *storage_path(const struct storage *st)
{
	return st->path;
}

/* -- What is there already */

/* RESUME: whether the finished file is this content. SHOAL_EEXISTS if it is another. */
static enum shoal_err check_finished(struct storage *st, const struct storage_options *o, struct error *e)
{
	struct metainfo *mi = NULL;
	struct file_stamp stamp = { 0 };
	int fd = folder_open_file(st->folder, st->name, O_RDONLY);

	if (fd < 0)
		return error_set(e, SHOAL_EEXISTS, "'%s' is there already and is not a plain file", st->path);
	enum shoal_err rc = file_stamp_of(fd, st->path, &stamp, NULL);
	bool same = rc == SHOAL_OK && stamp.size == st->meta->size;
	if (same)
		rc = file_hash_fd(fd, st->path, o->pool, o->progress, &mi, &stamp, e);
	close(fd);
	if (same && rc != SHOAL_OK)
		return rc;
	same = same && id32_eq(&mi->content_id, &st->meta->content_id);
	metainfo_free(mi);
	if (!same)
		return error_set(e, SHOAL_EEXISTS, "'%s' is there already with other content", st->path);
	st->start = STORAGE_COMPLETE;
	set_part_names(st);
	if (st->have != NULL)
		journal_forget_stale(st);
	st->device = stamp.device;
	st->inode = stamp.inode;
	if (st->have != NULL)
		bitfield_fill(st->have);
	storage_recount(st);
	return SHOAL_OK;
}

/* The policy for a file that has the name we want. */
static enum shoal_err meet_existing(struct storage *st, const struct storage_options *o, struct error *e)
{
	switch (o->on_exists) {
	case STORAGE_EXISTS_SKIP:
		st->start = STORAGE_SKIPPED;
		return SHOAL_OK;
	case STORAGE_EXISTS_RESUME:
		return check_finished(st, o, e);
	case STORAGE_EXISTS_REPLACE: {
		struct stat s;
		if (fstatat(st->folder, st->name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(s.st_mode))
			return error_set(e, SHOAL_EEXISTS, "'%s' is a folder", st->path);
		return SHOAL_OK;
	}
	case STORAGE_EXISTS_FAIL:
	case STORAGE_EXISTS_RENAME: /* storage_open() looks for a free name itself */
		break;
	}
	return error_set(e, SHOAL_EEXISTS, "'%s' is there already", st->path);
}

/* -- The part file and its journal */

/* Opens or makes the part file, holding its lock, and makes sure that its name leads to it: whoever finished it while we
 * waited at the door has renamed it. */
static enum shoal_err lock_part(struct storage *st, bool *created, struct error *e)
{
	for (int i = 0; i < LOCK_TRIES_MAX; i++) {
		int fd;
		struct file_stamp stamp;
		enum shoal_err rc = folder_open_plain(st, st->part_name, created, &fd, e);
		if (rc != SHOAL_OK)
			return rc;
		if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
			rc = errno == EWOULDBLOCK
			         ? error_set(e, SHOAL_EBUSY, "another download is writing '%s/%s'", st->folder_shown,
			                     st->part_name)
			         : error_errno(e, "cannot lock '%s/%s'", st->folder_shown, st->part_name);
			close(fd);
			return rc;
		}
		rc = file_stamp_of(fd, st->part_name, &stamp, e);
		if (rc == SHOAL_OK && folder_leads_to(st->folder, st->part_name, stamp.device, stamp.inode)) {
			st->part = fd;
			st->device = stamp.device;
			st->inode = stamp.inode;
			return SHOAL_OK;
		}
		close(fd);
		if (rc != SHOAL_OK)
			return rc;
	}
	return error_set(e, SHOAL_EBUSY, "'%s/%s' keeps changing", st->folder_shown, st->part_name);
}

static uint64_t size_of(int fd)
{
	struct stat s;
	return fstat(fd, &s) == 0 ? (uint64_t)s.st_size : 0;
}

/* A user's own file may have such a name by chance: it must not be taken for ours and overwritten. A part file of ours
 * has its journal from before it had any size; a journal of ours begins with its mark, or with zeros. */
static enum shoal_err check_ours(const struct storage *st, bool part_new, bool journal_new, struct error *e)
{
	static const char zeros[8];
	char head[8];
	const char *name = st->part_name;
	bool foreign = !part_new && journal_new && size_of(st->part) != 0;

	if (part_new && size_of(st->journal) >= sizeof(head)) {
		struct file_reader r = { .fd = st->journal, .pos = UINT64_MAX };
		enum shoal_err rc = file_reader_read(&r, 0, head, sizeof(head), e);
		if (rc != SHOAL_OK)
			return rc;
		name = st->state_name;
		foreign = memcmp(head, "SHOALPS", 7) != 0 && memcmp(head, zeros, sizeof(head)) != 0;
	}
	if (foreign)
		return error_set(e, SHOAL_EEXISTS, "'%s/%s' is in the way: it does not look like one of shoal's",
		                 st->folder_shown, name);
	return SHOAL_OK;
}

/* A file system in memory has nothing to lay out, and clears every page that is reserved: 0.25 s a GiB before the first
 * piece can come. There it is enough that the room is free now. */
static bool lies_in_memory(int fd, uint64_t size, bool *room)
{
	struct statfs fs;
	if (fstatfs(fd, &fs) != 0 || fs.f_type != TMPFS_MAGIC)
		return false;
	*room = fs.f_blocks == 0 || (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize >= size; /* 0 blocks: no limit */
	return true;
}

static enum shoal_err preallocate(const struct storage *st, bool sparse, struct error *e)
{
	bool room = true;
	int rc;

	if (st->meta->size == 0 || sparse)
		goto set_size;
	if (lies_in_memory(st->part, st->meta->size, &room) && room)
		goto set_size;
	if (room) {
		do
			rc = fallocate(st->part, 0, 0, (off_t)st->meta->size);
		while (rc != 0 && errno == EINTR);
	} else {
		rc = -1;
		errno = ENOSPC;
	}
	if (rc == 0)
		return SHOAL_OK;
	if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
		return error_errno(e, "cannot reserve %llu bytes for '%s'", (unsigned long long)st->meta->size, st->path);
set_size:
	if (ftruncate(st->part, (off_t)st->meta->size) != 0)
		return error_errno(e, "cannot make '%s/%s'", st->folder_shown, st->part_name);
	return SHOAL_OK;
}

/* Nothing of a part file without a good journal is of use. */
static enum shoal_err start_over(struct storage *st, const struct storage_options *o, struct error *e)
{
	enum shoal_err rc = journal_reset(st, e);
	if (rc == SHOAL_OK && size_of(st->part) != st->meta->size && ftruncate(st->part, 0) != 0)
		rc = error_errno(e, "cannot empty '%s/%s'", st->folder_shown, st->part_name);
	if (rc == SHOAL_OK)
		rc = journal_prepare(st, e);
	if (rc == SHOAL_OK)
		rc = preallocate(st, o->sparse, e);
	if (rc != SHOAL_OK) { /* it holds nothing worth keeping */
		unlinkat(st->folder, st->part_name, 0);
		unlinkat(st->folder, st->state_name, 0);
	}
	return rc;
}

static enum shoal_err open_part(struct storage *st, const struct storage_options *o, struct error *e)
{
	bool part_new, journal_new;
	enum shoal_err rc;

	set_part_names(st);
	rc = lock_part(st, &part_new, e);
	if (rc != SHOAL_OK)
		return rc;
	rc = folder_open_plain(st, st->state_name, &journal_new, &st->journal, e);
	if (rc == SHOAL_OK)
		rc = check_ours(st, part_new, journal_new, e);
	if (rc != SHOAL_OK) {
		if (part_new)
			unlinkat(st->folder, st->part_name, 0);
		if (st->journal >= 0 && journal_new)
			unlinkat(st->folder, st->state_name, 0);
		return rc;
	}
	bool good = !part_new && st->meta->size != 0 && size_of(st->part) == st->meta->size && journal_load(st);
	if (good) {
		st->start = STORAGE_RESUMED;
		return SHOAL_OK;
	}
	st->start = part_new ? STORAGE_FRESH : STORAGE_RESTARTED;
	if (!part_new)
		log_line(st->log, LOG_WARN, "storage", "'%s': its journal is damaged or of other content; starting over",
		         st->part_name);
	return start_over(st, o, e);
}

/* RENAME: the first name that is neither there nor being written by another download. */
static enum shoal_err open_free_name(struct storage *st, const struct storage_options *o, struct error *e)
{
	for (unsigned n = 0; n < CANDIDATES_MAX; n++) {
		char name[STORED_NAME_MAX + 1];
		folder_candidate(o->name, n, name);
		if (folder_has(st->folder, name))
			continue;
		enum shoal_err rc = storage_set_name(st, name, e);
		if (rc == SHOAL_OK)
			rc = open_part(st, o, e);
		if (rc != SHOAL_EBUSY)
			return rc;
	}
	return error_set(e, SHOAL_EEXISTS, "'%s': no free name beside it", st->path);
}

static void release(struct storage *st)
{
	if (st->journal >= 0)
		close(st->journal);
	if (st->part >= 0)
		close(st->part); /* and with it the lock */
	if (st->folder >= 0)
		close(st->folder);
	bitfield_free(st->have);
	pthread_mutex_destroy(&st->lock);
	free(st->folder_shown);
	free(st->path);
	free(st);
}

static enum shoal_err check_name(const char *name, struct error *e)
{
	size_t len = strlen(name);
	enum shoal_err rc = name_check_lookup(NAME_FILE, name, len, e); /* an alias is shown as a name, so it may be one */
	if (rc == SHOAL_OK && len > STORED_NAME_MAX)
		rc = error_set(e, SHOAL_EUSAGE, "the file name is too long: %zu bytes, at most %d", len, STORED_NAME_MAX);
	return rc;
}

static struct storage *storage_alloc(const struct storage_options *o)
{
	struct storage *st = try_alloc(sizeof(*st));
	if (st == NULL)
		return NULL;
	st->meta = o->meta;
	st->log = o->log;
	st->on_exists = o->on_exists;
	st->pieces_only = o->pieces_only;
	snprintf(st->asked, sizeof(st->asked), "%s", o->name);
	st->flush_bytes = o->flush_bytes != 0 ? o->flush_bytes : STORAGE_FLUSH_BYTES;
	st->folder = st->part = st->journal = -1;
	pthread_mutex_init(&st->lock, NULL);
	st->folder_shown = try_strdup(o->folder);
	if (o->meta->npieces != 0)
		st->have = bitfield_new(o->meta->npieces);
	if (st->folder_shown == NULL || (o->meta->npieces != 0 && st->have == NULL)) {
		release(st);
		return NULL;
	}
	return st;
}

enum shoal_err storage_open(const struct storage_options *o, struct storage **out, struct error *e)
{
	enum shoal_err rc = check_name(o->name, e);
	if (rc != SHOAL_OK)
		return rc;
	struct storage *st = storage_alloc(o);
	if (st == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory opening '%s'", o->name);

	st->folder = open(o->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (st->folder < 0)
		rc = error_errno(e, "cannot open the folder '%s'", o->folder);
	else if (o->on_exists == STORAGE_EXISTS_RENAME)
		rc = open_free_name(st, o, e);
	else {
		rc = storage_set_name(st, o->name, e);
		st->start = STORAGE_FRESH;
		if (rc == SHOAL_OK && folder_has(st->folder, st->name))
			rc = meet_existing(st, o, e);
		if (rc == SHOAL_OK && st->start == STORAGE_FRESH)
			rc = open_part(st, o, e);
	}
	if (rc != SHOAL_OK) {
		release(st);
		return rc;
	}
	*out = st;
	return SHOAL_OK;
}

enum shoal_err storage_close(struct storage *st, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;

	if (st == NULL)
		return SHOAL_OK;
	struct storage_flush *fl = storage_flush_new(st);
	if (fl != NULL)
		rc = storage_flush_run(fl, e);
	storage_flush_free(fl);
	release(st);
	return rc;
}

void storage_discard(struct storage *st)
{
	if (st->part >= 0 && !st->finished) {
		if (folder_leads_to(st->folder, st->part_name, st->device, st->inode))
			unlinkat(st->folder, st->part_name, 0);
		unlinkat(st->folder, st->state_name, 0);
	}
	release(st);
}
