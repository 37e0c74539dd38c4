/* tests/sim/crash_vfs.h - a disk in memory under SQLite that can lose power at any moment, and fail at any call.
 *
 * While the program lives, files are what was written to them. Each write, truncation, flush and change of a name is an
 * event; crash_disk_cut() makes the disk that a power cut after the first so many events may leave: of what was not
 * flushed anything may be missing, in any order, torn at sectors. A flush that fails does what Linux's does: the data
 * is read back as if nothing was wrong, but it may be lost, and no later flush saves it unless it is written again.
 *
 * One disk at a time is SQLite's default VFS: crash_disk_mount(). One thread. Aborts without memory: it is a test's. */
#ifndef SHOAL_TESTS_CRASH_VFS_H
#define SHOAL_TESTS_CRASH_VFS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crash_disk;

struct crash_disk *crash_disk_new(void); /* empty */
void crash_disk_free(struct crash_disk *d); /* NULL is fine; not while a file of it is open */
/* What SQLite opens from now on is on this disk. NULL: on the system's again. */
void crash_disk_mount(struct crash_disk *d);

size_t crash_disk_events(const struct crash_disk *d);
uint64_t crash_disk_bytes(const struct crash_disk *d); /* in all files */

/* -- a power cut */
enum crash_kind {
	CRASH_NOTHING, /* what was not flushed is gone */
	CRASH_ALL,     /* all of it is there, except what a failed flush has lost */
	CRASH_PREFIX,  /* some first part of it, the last write torn */
	CRASH_ANY,     /* any of it, each sector by itself */
	CRASH_KINDS
};
struct crash_cut {
	size_t events;   /* after so many */
	enum crash_kind kind;
	unsigned sector; /* where writes tear: 512 or 4096 */
	uint64_t seed;
};
/* The disk as it is found when the power is back; d is left as it is. */
struct crash_disk *crash_disk_cut(const struct crash_disk *d, const struct crash_cut *cut);

/* -- faults */
enum crash_call { CRASH_READ, CRASH_WRITE, CRASH_SYNC, CRASH_TRUNCATE, CRASH_OPEN, CRASH_DELETE, CRASH_CALLS };
struct crash_fault {
	enum crash_call call;
	unsigned nth;  /* this call of that kind from now on fails; 0: none */
	bool for_ever; /* and every later one */
	bool full;     /* a write fails because there is no room, not because the disk is broken */
};
void crash_disk_fail(struct crash_disk *d, const struct crash_fault *fault);
unsigned crash_disk_failed(const struct crash_disk *d); /* calls that failed since crash_disk_fail() */
#endif
