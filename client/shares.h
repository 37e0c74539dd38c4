/* client/shares.h - what this device shares as one user: the list in shares.db.
 *
 * A folder per cluster and user holds shares.db (SQLite) and the lock file, which is held from login to logout: the
 * same user in a second process is SHOAL_EBUSY with the first one's process number. The list is read once and kept in
 * memory; changes are written behind by a thread of its own, in order. shares_open() blocks and belongs on a pool
 * thread; everything else is for one thread, the engine's.
 *
 * A share that the tracker no longer lists is dropped, not deleted: it is not served and not shown, but comes back if a
 * tracker lists it again (one that had not heard of it yet, for example). */
#ifndef SHOAL_CLIENT_SHARES_H
#define SHOAL_CLIENT_SHARES_H
#include "client/engine.h"
#include "core/base/workers.h"

struct shares;

enum share_state { SHARE_SAME, SHARE_CHANGED, SHARE_MISSING };

struct share {
	struct share_info info; /* path is the share's own */
	struct id32 content;
	bool dropped;           /* not listed by the tracker when last asked */
	bool fresh;             /* put since shares_open() */
	enum share_state state; /* of the file, as share_look() saw it in shares_open() */
	bool listed;            /* scratch of whoever compares with the tracker's list: told for this device, */
	bool elsewhere;         /* ... or for another one of the user */
	bool served;            /* the engine's: transfers know it */
};

/* `folder` is made with mode 0700. NULL and *e set on failure. A damaged database is set aside, and told in the log. */
struct shares *shares_open(const char *folder, const char *user, struct log *log, struct error *e);
/* Waits until everything is written. NULL is fine. */
void shares_close(struct shares *s);
const char *shares_user(const struct shares *s);

/* The folder of a user below `state`, malloc'ed: "<state>/<8 hex digits of the cluster>/<user, %-encoded>". */
char *shares_folder(const char *state, const struct id32 *cluster, const char *user);

/* Adds or replaces. mtime and inode are looked up if info has none. SHOAL_EBUSY: no memory. */
enum shoal_err shares_put(struct shares *s, const struct share_info *info, const struct id32 *content);
void shares_remove(struct shares *s, const struct id16 *gid, const struct id16 *fid);
/* work->run(), on the writer's thread, when everything that was changed so far is in the database; then it goes to
 * work->done. Also when the writing failed, which is in the log. */
void shares_after_writing(struct shares *s, struct work *work);
void shares_set_dropped(struct shares *s, struct share *share, bool dropped);
/* NULL if there is none. Valid until it is put again or removed. */
struct share *shares_find(struct shares *s, const struct id16 *gid, const struct id16 *fid);
/* One after the other in no order, beginning with NULL: ask for the next one before you remove one. */
struct share *shares_next(struct shares *s, const struct share *after);

/* How many are not dropped, and their digest as REQ_HEARTBEAT in core/wire/cmd.h defines it. */
uint32_t shares_count(const struct shares *s);
uint64_t shares_digest(const struct shares *s);

/* Blocking. Whether the file is still the one that was shared: size, modification time, inode. */
enum share_state share_look(const struct share *share);
#endif
