/* core/registry/user_manager.h - accounts and sessions: the commands, and who is who.
 *
 * Commands check against the registry and append rows to an op; they change nothing themselves. A command that finds
 * nothing to change leaves the op empty (op_is_empty()) and is SHOAL_OK. Failures leave the op unusable: op_fini().
 * Sentences in *e are for people. Hashing and checking passwords is the tracker's: here they are records. */
#ifndef SHOAL_REGISTRY_USER_MANAGER_H
#define SHOAL_REGISTRY_USER_MANAGER_H
#include "core/base/name.h"
#include "core/registry/registry.h"

#define SESSIONS_DEFAULT 8u

/* -- commands */
/* SHOAL_EEXISTS "user 'ann' exists already", SHOAL_EUSAGE for a bad name. */
enum shoal_err user_create(const struct registry *reg, struct op *op, struct slice name, struct slice password,
                           struct id16 *uid, struct error *e);
/* A session of that device (its dot is the op's); closes the open ones of the same device, and the oldest beyond
 * max_sessions. The password has been checked by the caller. */
enum shoal_err user_login(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id32 *device,
                          unsigned max_sessions, struct error *e);
/* Closes that session and the other open ones of its device. */
enum shoal_err user_logout(const struct registry *reg, struct op *op, const struct id16 *uid, struct dot session,
                           struct error *e);
/* Closes one session of the user. SHOAL_ENOTFOUND. */
enum shoal_err user_end_session(const struct registry *reg, struct op *op, const struct id16 *uid, struct dot session,
                                struct error *e);
/* Closes one that nobody has used for days. SHOAL_ENOTFOUND. */
enum shoal_err user_expire_session(const struct registry *reg, struct op *op, const struct id16 *uid, struct dot session,
                                   struct error *e);
/* The new password; closes every open session and opens a fresh one (dot of the op) for the device that asked. */
enum shoal_err user_change_password(const struct registry *reg, struct op *op, const struct id16 *uid,
                                    const struct id32 *device, struct slice password, struct error *e);

/* -- views */
/* By shown name: plain (the first live claim) or alias (always resolves, for the winner too). NULL: there is none. */
const struct user_row *user_find(const struct registry *reg, struct slice shown);
/* Claims on a plain name, the winner first, at most max: login tries the password of up to 3 losers. Their number. */
size_t user_claims(const struct registry *reg, struct slice name, const struct user_row **out, size_t max);
/* The name to show: plain for the winner, alias for others, "?" if the user is not known. Returns out. */
char *user_shown(const struct registry *reg, const struct id16 *uid, char out[NAME_SHOWN_MAX]);

enum session_state {
	SESSION_OPEN,    /* the row is open and its password is the current one */
	SESSION_ENDED,   /* closed, closed and dropped, or opened with an old password */
	SESSION_UNKNOWN, /* this tracker has not heard of that login yet: the token decides */
};
enum session_state user_session_state(const struct registry *reg, const struct id16 *uid, struct dot session);
/* Open sessions (state OPEN), oldest first; free() the array. SHOAL_EBUSY: no memory. */
enum shoal_err user_sessions(const struct registry *reg, const struct id16 *uid, const struct sess_row ***out, size_t *n);
#endif
