/* core/registry/notice.h - nothing acknowledged disappears silently: name conflicts and notices.
 *
 * Conflicts are computed from the claims at any time. Notices are rows, written once by every tracker whose merge undoes
 * somebody's acknowledged operation; their id is a hash of kind and ids, so that all write the same row. Kinds:
 *   accept-void         (to the owner who accepted)  the user had withdrawn or left
 *   share-removed       (to the sharer)              somebody else's stop_share took the file away
 *   upload-hidden       (to the sharer)              shared in a group that he had left, or that had ended
 *   owner-now           (to the new owner)           the group's ownership came to him by a merge
 *   role-lost           (to the member)              two roles were given at the same time, the later one counts
 *   role-void           (to the owner)               a role was given to somebody who had left
 *   session-superseded  (to the user)                two logins of one device, the older has ended
 *   name-lost-user, name-lost-group, name-lost-file  (to the user, the group's owner, the uploader) the plain name
 *                       belongs to an earlier claim
 *   name-won-back-user, ..-group, ..-file            (to whoever was told that he lost it) the earlier claim has ended
 * owner-now and share-removed are also written by the very command (leave_group, stop_share) that causes them. */
#ifndef SHOAL_REGISTRY_NOTICE_H
#define SHOAL_REGISTRY_NOTICE_H
#include "core/base/name.h"
#include "core/registry/registry.h"

#define NOTICE_TEXT_MAX 640

/* Notices that registry_apply() and registry_apply_snapshot() found and that are not rows yet are appended to the op
 * (begun by the caller with OP_NOTICE), which is to be applied in the same transaction and undo. At most what fits into
 * a record: call again while it is true. false: there were none, the op is empty. */
bool registry_take_notices(struct registry *reg, struct op *op);

/* For the managers: who loses something by the very command is told in its own record. heir: uid leaves; NULL successor:
 * the next in line. Nothing is appended when nobody is concerned. */
void notice_put_heir(const struct registry *reg, struct op *op, const struct id16 *gid, const struct id16 *uid,
                     const struct id16 *successor);
void notice_put_share_removed(const struct registry *reg, struct op *op, const struct share_row *share);

/* Unseen notices for a user, oldest first. free() the array. */
enum shoal_err notice_list(const struct registry *reg, const struct id16 *uid, const struct notice_row ***out, size_t *n);
/* Marks them seen (op: OP_NOTICE). */
void notice_put_seen(struct op *op, const struct notice_row *const *notices, size_t n);
/* The sentence: "the request of 'bob' to join 'team' was withdrawn before you accepted it". Names are escaped. */
char *notice_text(const struct notice_row *notice, char out[NOTICE_TEXT_MAX]);

struct conflict {
	enum name_kind kind;
	char name[NAME_SHOWN_MAX];  /* that several claim */
	char shown[NAME_SHOWN_MAX]; /* what the one listed here is shown as */
	char group[NAME_SHOWN_MAX]; /* of a file */
	bool has_name;              /* this one has the plain name */
	struct stamp claim;
};
/* All live claims on names that more than one claims, of what concerns the user: his own account, groups he is in, files
 * in them; winners included. free() the array. */
enum shoal_err conflict_list(const struct registry *reg, const struct id16 *uid, struct conflict **out, size_t *n);
#endif
