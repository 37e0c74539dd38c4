/* tracker/store_sqlite.h - the tracker's memory on disk: struct store_ops over one SQLite file.
 *
 * One connection, exclusive, WAL, synchronous=FULL, checkpoints on the same connection. Called
 * by one thread at a time: at start by the main thread, then by store_thread. Blocking.
 * `where` is the path of the database; its folder is there already. */
#ifndef SHOAL_TRACKER_STORE_SQLITE_H
#define SHOAL_TRACKER_STORE_SQLITE_H
#include "core/registry/store.h"

extern const struct store_ops store_sqlite_ops;

/* Nothing has happened for a while: empties the WAL if there is something in it. */
void store_sqlite_idle(struct store *s);

/* A portion of a CONTENT_BACKUP: true when it is over, *rc tells how. Called again and again with the same op; the store
 * may commit in between. A second backup at the same time is SHOAL_EBUSY. */
bool store_sqlite_backup(struct store *s, struct content_op *op, enum shoal_err *rc, struct error *e);

/* At start: piece hashes of uploads that were never finished are deleted. */
enum shoal_err store_sqlite_forget_unfinished(struct store *s, struct error *e);

/* Renames a database that cannot be read (with its -wal) to PATH.damaged-YYYYMMDD-HHMMSS; *name gets the new name
 * (malloc'ed). */
enum shoal_err store_sqlite_set_aside(const char *path, char **name, struct error *e);
#endif
