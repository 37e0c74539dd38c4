/* tests/unit/power.h - power cuts and failing disks for files that are written with plain system calls.
 *
 * power.c stands between the program and the C library: what open, write, ftruncate, fallocate, rename, link, unlink,
 * fsync and their kin do below one folder is written down. power_rebuild() then makes a folder hold what a disk may hold
 * when the power fails after the first n of those calls:
 *   - what an fsync or fdatasync has covered is there: of that file its bytes and its length, and what was done to names
 *     up to the last time that the file got or lost one (a journal of names is kept in order: ext4, xfs, btrfs, f2fs);
 *   - of what is not covered the last POWER_WINDOW writes are there or not, each as it likes, and the names are as they
 *     were any number of calls before; a write that is there may be torn: only its first half is.
 * No fsync reaches the disk, so that thousands of those states cost seconds. One thread; folders, once made, are there. */
#ifndef SHOAL_TESTS_POWER_H
#define SHOAL_TESTS_POWER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POWER_WINDOW = 3 };

/* Writes down from here on what happens below `folder`, which is empty; what was written down before is forgotten. */
void power_record(const char *folder);
void power_stop(void);
size_t power_calls(void); /* written down so far */
/* How many states there are after the first n calls; a state is a number below that. */
unsigned power_states(size_t n);
/* Empties `into` (made if it is not there) and fills it with that state. */
void power_rebuild(const char *into, size_t n, unsigned state);

/* Makes the call number `nth` from now (1: the next) that changes something below `folder` fail with this errno, and, if
 * `forever`, all that follow. A write to a full disk (ENOSPC) does half of its work first. power_stop() ends it. */
void power_fail(const char *folder, size_t nth, int error, bool forever);
bool power_failed(void); /* the call was reached */
#endif
