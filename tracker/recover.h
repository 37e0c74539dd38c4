/* tracker/recover.h - the database before it is opened: is it there, is it one, may an empty one take its place?
 *
 * A file beside it, PATH.rebuilding, says that everything is being fetched from the other trackers: as long as it is there the
 * tracker has not what it once had, however often it is stopped in between. Start-up only, blocking. */
#ifndef SHOAL_TRACKER_RECOVER_H
#define SHOAL_TRACKER_RECOVER_H
#include <stdbool.h>

#include "core/base/error.h"

/* SHOAL_OK: it is a file that can be opened, or there is none and no trace of one. SHOAL_EINTEGRITY and a sentence: a
 * folder, empty, unreadable, missing though its WAL is there. SQLite would make an empty database of some of these. */
enum shoal_err recover_look(const char *path, struct error *e);
/* If there is none: makes an empty one, which has its name only when it is whole; so an empty file is always damage. */
enum shoal_err recover_make(const char *path, struct error *e);

enum shoal_err recover_begin(const char *path, struct error *e); /* makes the file */
bool recover_pending(const char *path);
enum shoal_err recover_done(const char *path, struct error *e);  /* removes it */
#endif
