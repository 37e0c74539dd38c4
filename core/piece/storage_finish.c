/* core/piece/storage_finish.c - makes the finished file appear under its name, or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/piece/storage_internal.h"

enum { CANDIDATES_MAX = 10000 };

static bool nothing_to_do(const struct storage *st)
{
	return st->settled || st->start == STORAGE_COMPLETE || st->start == STORAGE_SKIPPED;
}

/* All pieces, and the whole-file hash unless the pieces are to do. */
static enum shoal_err check_whole(struct storage *st, struct storage_front *front, struct error *e)
{
	struct storage_front *own = NULL;
	struct id32 hash;
	enum shoal_err rc = SHOAL_OK;

	if (st->finished)
		return SHOAL_OK;
	if (!storage_has_all(st))
		return error_set(e, SHOAL_EINTERNAL, "'%s' is not complete", st->path);
	if (st->pieces_only)
		return SHOAL_OK;
	if (front == NULL) {
		rc = storage_front_new(st, &own, e);
		front = own;
	}
	if (rc == SHOAL_OK)
		rc = front_complete(front, &hash, e);
	storage_front_free(own);
	if (rc == SHOAL_OK && !id32_eq(&hash, &st->meta->file_hash))
		rc = error_set(e, SHOAL_EINTEGRITY, "'%s': the whole-file hash is wrong", st->path);
	return rc;
}

/* Under its own name, or under the next free one if the policy is RENAME. */
static enum shoal_err rename_into_place(struct storage *st, struct error *e)
{
	bool replace = st->on_exists == STORAGE_EXISTS_REPLACE;

	if (st->finished) /* only the flush of the folder had failed */
		return SHOAL_OK;
	if (!folder_leads_to(st->folder, st->part_name, st->device, st->inode))
		return error_set(e, SHOAL_ECONFLICT, "'%s/%s' was removed or replaced", st->folder_shown, st->part_name);
	enum shoal_err rc = folder_rename(st->folder, st->part_name, st->name, replace, e);
	for (unsigned n = 1; rc == SHOAL_EEXISTS && st->on_exists == STORAGE_EXISTS_RENAME && n < CANDIDATES_MAX; n++) {
		char name[STORED_NAME_MAX + 1];
		folder_candidate(st->asked, n, name);
		if (folder_has(st->folder, name))
			continue;
		rc = storage_set_name(st, name, e);
		if (rc == SHOAL_OK)
			rc = folder_rename(st->folder, st->part_name, st->name, false, e);
	}
	st->finished = rc == SHOAL_OK;
	return rc;
}

/* The renames are on the disk; the journal has done its work. */
static enum shoal_err settle(struct storage *st, struct error *e)
{
	if (fsync(st->folder) != 0)
		return error_errno(e, "cannot flush the folder '%s'", st->folder_shown);
	st->settled = true;
	unlinkat(st->folder, st->state_name, 0); /* if this fails a stale journal is left, which harms nobody */
	return SHOAL_OK;
}

static enum shoal_err flush_part(const struct storage *st, struct error *e)
{
	if (fsync(st->part) != 0)
		return error_errno(e, "cannot flush '%s/%s'", st->folder_shown, st->part_name);
	return SHOAL_OK;
}

enum shoal_err storage_finish(struct storage *st, struct storage_front *front, struct error *e)
{
	if (nothing_to_do(st))
		return SHOAL_OK;
	enum shoal_err rc = check_whole(st, front, e);
	if (rc == SHOAL_OK)
		rc = flush_part(st, e);
	if (rc == SHOAL_OK)
		rc = rename_into_place(st, e);
	if (rc == SHOAL_OK)
		rc = settle(st, e);
	return rc;
}

/* Flushes the file systems of items[from..], each once: those of the same device as items[from] are answered. */
static void sync_device(struct storage_finish *items, size_t n, size_t from, bool *synced)
{
	uint64_t device = items[from].st->device;
	struct error e = { 0 };
	enum shoal_err rc = SHOAL_OK;

	if (syncfs(items[from].st->part) != 0)
		rc = error_errno(&e, "cannot flush '%s'", items[from].st->folder_shown);
	for (size_t i = from; i < n; i++) {
		if (items[i].rc != SHOAL_OK || nothing_to_do(items[i].st) || items[i].st->device != device)
			continue;
		synced[i] = true;
		items[i].rc = rc;
		items[i].e = e;
	}
}

void storage_finish_batch(struct storage_finish *items, size_t n)
{
	bool *synced = n > 1 ? calloc(n, sizeof(*synced)) : NULL;

	if (synced == NULL) { /* one alone, or no memory: each by itself */
		for (size_t i = 0; i < n; i++)
			items[i].rc = storage_finish(items[i].st, items[i].front, &items[i].e);
		return;
	}
	for (size_t i = 0; i < n; i++)
		items[i].rc = nothing_to_do(items[i].st) ? SHOAL_OK
		                                          : check_whole(items[i].st, items[i].front, &items[i].e);
	for (size_t i = 0; i < n; i++)
		if (items[i].rc == SHOAL_OK && !nothing_to_do(items[i].st) && !synced[i])
			sync_device(items, n, i, synced);
	for (size_t i = 0; i < n; i++)
		if (items[i].rc == SHOAL_OK && synced[i])
			items[i].rc = rename_into_place(items[i].st, &items[i].e);
	for (size_t i = 0; i < n; i++)
		if (items[i].rc == SHOAL_OK && synced[i])
			items[i].rc = settle(items[i].st, &items[i].e);
	free(synced);
}

/* Reads one piece again; false: it is not what its hash says, or cannot be read. */
static bool piece_still_good(const struct storage *st, struct file_reader *r, uint32_t piece, uint8_t *buffer)
{
	uint32_t len = metainfo_piece_len(st->meta, piece);
	return file_reader_read(r, metainfo_piece_offset(st->meta, piece), buffer, len, NULL) == SHOAL_OK &&
	       metainfo_piece_ok(st->meta, piece, buffer, len);
}

enum shoal_err storage_recheck(struct storage *st, uint32_t *nbad, struct error *e)
{
	struct file_reader r = { .fd = -1 };
	uint8_t *buffer = malloc(PIECE_SIZE);
	enum shoal_err rc = SHOAL_OK;

	*nbad = 0;
	if (buffer == NULL)
		rc = error_set(e, SHOAL_EBUSY, "out of memory checking '%s'", st->path);
	else if (st->have != NULL)
		rc = storage_reader_open(st, &r, e);
	if (rc != SHOAL_OK || st->have == NULL)
		goto out;
	for (uint32_t i = bitfield_next_set(st->have, 0); i != BITFIELD_NONE; i = bitfield_next_set(st->have, i + 1)) {
		if (piece_still_good(st, &r, i, buffer))
			continue;
		bitfield_clear(st->have, i);
		++*nbad;
	}
	/* the midstate was made of what was read before: it is not believed any more */
	st->mark.bytes = 0;
	storage_recount(st);
	st->unflushed += 1; /* there is something new to write down, however little */
	struct storage_flush *fl = storage_flush_new(st);
	rc = fl != NULL ? storage_flush_run(fl, e) : error_set(e, SHOAL_EBUSY, "'%s' is being flushed", st->path);
	storage_flush_free(fl);
out:
	file_reader_close(&r);
	free(buffer);
	return rc;
}
