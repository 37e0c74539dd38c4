/* core/piece/storage_internal.h - what the files of storage share; nobody else includes it.
 *
 *   storage.c          open, close, discard, accessors, the bitfield
 *   storage_folder.c   names below the destination folder: opened, chosen, renamed, without following a link
 *   storage_journal.c  NAME.part.state: format, load, flush
 *   storage_io.c       writers and readers
 *   storage_front.c    the whole-file hash behind the verified front
 *   storage_finish.c   finish, recheck */
#ifndef SHOAL_PIECE_STORAGE_INTERNAL_H
#define SHOAL_PIECE_STORAGE_INTERNAL_H
#include <pthread.h>
#include <stdatomic.h>

#include "core/base/hash.h"
#include "core/piece/storage.h"

#define PART_SUFFIX ".part"
#define STATE_SUFFIX ".part.state"
#define STORED_NAME_MAX 244 /* so that NAME.part.state is at most NAME_MAX, 255 */

/* How far the whole-file hash is, and its state there. bytes is a multiple of PIECE_SIZE. */
struct front_mark {
	uint64_t bytes;
	uint8_t state[32]; /* valid if bytes > 0 */
};

struct storage {
	/* -- immutable after storage_open() */
	const struct metainfo *meta;
	struct log *log;
	enum storage_exists on_exists;
	bool pieces_only;
	enum storage_start start;
	char asked[STORED_NAME_MAX + 1]; /* the name as it was asked for, which RENAME numbers */
	uint64_t flush_bytes;
	int folder;         /* the destination folder; everything is opened below it */
	char *folder_shown;
	int part;           /* carries the lock; written through writers only. -1: nothing is to be fetched */
	uint64_t device, inode; /* of the part file */
	/* -- owner thread (finish and recheck have it while they run) */
	char name[STORED_NAME_MAX + 1];
	char part_name[STORED_NAME_MAX + sizeof(PART_SUFFIX)];
	char state_name[STORED_NAME_MAX + sizeof(STATE_SUFFIX)];
	char *path;         /* folder/name */
	struct bitfield *have; /* NULL for an empty file */
	uint64_t verified;  /* bytes */
	uint64_t unflushed; /* bytes verified since the last snapshot for the journal */
	uint64_t seq;       /* of the journal's newest entry, 0: none */
	bool flushing;      /* a struct storage_flush is out */
	bool finished;      /* it has its name */
	bool settled;       /* and that is on the disk */
	/* -- the one flush that is out, else the owner */
	int journal;
	/* -- any thread */
	_Atomic uint64_t front_bytes; /* verified in one run from the start */
	pthread_mutex_t lock; /* a leaf, below storage_front's; for: */
	struct front_mark mark;
};

/* -- storage_folder.c */
/* openat() that cannot leave the folder or follow a link; -1 and errno. */
int folder_open_file(int folder, const char *name, int flags);
/* The n-th name to try for `name`: itself, "name.1.ext", "name.2.ext", ...; at most 240 bytes if n > 0. */
void folder_candidate(const char *name, unsigned n, char out[STORED_NAME_MAX + 1]);
bool folder_has(int folder, const char *name);
/* Whether name leads to that file now. */
bool folder_leads_to(int folder, const char *name, uint64_t device, uint64_t inode);
/* Opens (O_RDWR), or makes, a plain file of ours: a link, a folder, a device or a file with a second name is refused. */
enum shoal_err folder_open_plain(const struct storage *st, const char *name, bool *created, int *out, struct error *e);
/* rename(2) that replaces nothing unless told to. SHOAL_EEXISTS. */
enum shoal_err folder_rename(int folder, const char *from, const char *to, bool replace, struct error *e);

/* -- storage.c */
/* Takes name as the one that is written to. SHOAL_EBUSY: no memory. */
enum shoal_err storage_set_name(struct storage *st, const char *name, struct error *e);
/* Counts the bitfield anew: verified bytes and front. */
void storage_recount(struct storage *st);
void storage_lock(const struct storage *st);
void storage_unlock(const struct storage *st);

/* -- storage_journal.c */
/* Makes room for both entries, so that writing one later cannot meet a full disk. */
enum shoal_err journal_prepare(struct storage *st, struct error *e);
/* Takes over bitfield, mark and seq of the newest good entry of this content; false: there is none. */
bool journal_load(struct storage *st);
/* Forgets every entry, on the disk as well. */
enum shoal_err journal_reset(struct storage *st, struct error *e);

/* The file is there, whole, and no part file: a journal that a crash has left between the two steps goes, too. */
void journal_forget_stale(const struct storage *st);

/* -- storage_front.c */
/* Hashes to the end; the whole file must be verified. */
enum shoal_err front_complete(struct storage_front *f, struct id32 *hash, struct error *e);
#endif
