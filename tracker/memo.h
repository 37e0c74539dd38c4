/* tracker/memo.h - answers worked out a moment ago: lists of files, who has a file, tickets.
 *
 * Members of a group ask for the same things. What one of them was told about the group is kept for MEMO_MS and given to
 * the next, as long as no row has changed anywhere and the same sessions are online (memo_forget_all()); what concerns
 * one file's peers goes with memo_forget(). Whether the asker may know is asked each time, before. Bounded: past
 * MEMO_BYTES it begins anew. Tickets are signed, which costs more than all the rest of an answer: the same member and
 * device gets the same ticket for a group while it is young. Loop thread only. */
#ifndef SHOAL_TRACKER_MEMO_H
#define SHOAL_TRACKER_MEMO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/id.h"

enum {
	MEMO_MS = 1000,
	MEMO_BYTES = 8 * 1024 * 1024,
	TICKET_SLOTS = 8192,
};

struct memo;

enum memo_kind {
	MEMO_FILES, /* gid, u8 all -> rows of LIST_FILES */
	MEMO_FOUND, /* group name, 0, file name -> FIND's reply up to the ticket */
	MEMO_PEERS, /* gid, fid -> who has the file */
};

/* Somebody who has a file: his row begins at `at` in the answer's bytes. */
struct memo_peer {
	struct id32 device;
	uint32_t at, len;
};

struct memo_answer {
	struct buf bytes;
	uint32_t n;              /* rows, or peers */
	struct id16 gid, fid;    /* FOUND */
	struct memo_peer *peers; /* PEERS; n of them */
};

struct memo *memo_new(uint64_t seed); /* of memo_dice(); NULL: no memory */
void memo_free(struct memo *m); /* NULL is fine */

/* NULL: not known. Good until the next call. */
struct memo_answer *memo_find(struct memo *m, enum memo_kind kind, struct slice key, uint64_t now_ms);
/* Keeps it, and takes over what it holds; NULL if it cannot (what it held is then freed): the caller asks anew. */
struct memo_answer *memo_keep(struct memo *m, enum memo_kind kind, struct slice key, struct memo_answer *answer,
                              uint64_t now_ms);
void memo_answer_fini(struct memo_answer *answer);
void memo_forget(struct memo *m, enum memo_kind kind, struct slice key);
void memo_forget_all(struct memo *m); /* tickets stay */

/* -- tickets */
struct memo_ticket {
	struct id16 uid, gid;
	struct id32 device;
	uint16_t flags;
	uint64_t made_ms; /* wall clock, as in the ticket */
	struct buf sealed;
};
/* The slot for that device and group. What is in it may be somebody else's: compare, and overwrite. NULL: no memory. */
struct memo_ticket *memo_ticket(struct memo *m, const struct id16 *uid, const struct id32 *device, const struct id16 *gid);

/* A number below n, good enough to choose peers with. */
uint32_t memo_dice(struct memo *m, uint32_t n);
#endif
