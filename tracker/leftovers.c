/* tracker/leftovers.c - what a tracker that died in the middle of a deletion has left.
 *
 * delete_group says so in one record and closes what was open in the group in those behind it. Whoever starts later looks
 * through the groups that are deleted, once, as soon as changes are taken, some at a time, and closes what is open in them:
 * the tracker that was to do it, or another one that has heard of the deletion. Two who do it at once do no harm. */
#include <stdlib.h>

#include "core/base/mem.h"
#include "tracker/core.h"

enum { GROUPS_AT_ONCE = 256, RECORDS_AT_ONCE = 4 };

struct leftovers {
	size_t n, at;
	struct id16 gids[];
};

/* NULL: no memory, to be tried again. */
static struct leftovers *deleted_groups(const struct registry *reg)
{
	struct registry_iter it = registry_all(reg, TABLE_GROUP), again = it;
	const struct group_row *group;
	size_t n = 0;

	while ((group = registry_next(&it)) != NULL)
		n += group->deleted;
	struct leftovers *left = try_alloc(sizeof(*left) + n * sizeof(left->gids[0]));
	while (left != NULL && left->n < n && (group = registry_next(&again)) != NULL)
		if (group->deleted)
			left->gids[left->n++] = group->gid;
	return left;
}

/* One record of what is open in a group; false: nothing, or it cannot be written now and *rc says so. */
static bool close_some(struct tracker *t, const struct id16 *gid, enum shoal_err *rc)
{
	const struct group_row *group = registry_group(t->reg, gid);
	struct id16 by = group->deleted_by;
	struct op op;

	op_begin(t->reg, OP_DELETE_GROUP, NULL, tracker_wall(t), &op);
	group_sweep(t->reg, &op, &by, gid);
	if (op_is_empty(&op)) {
		op_fini(&op);
		return false;
	}
	*rc = commit_op(t->commit, &op, NULL, NULL);
	return *rc == SHOAL_OK;
}

void leftovers_sweep(struct tracker *t)
{
	enum shoal_err rc = SHOAL_OK;
	unsigned records = 0;

	if (t->tidy || sync_check_writable(t->sync, NULL) != SHOAL_OK || commit_check_writable(t->commit, NULL) != SHOAL_OK)
		return;
	if (t->leftovers == NULL)
		t->leftovers = deleted_groups(t->reg);
	struct leftovers *left = t->leftovers;
	if (left == NULL)
		return;
	for (unsigned i = 0; i < GROUPS_AT_ONCE && left->at < left->n && rc == SHOAL_OK && records < RECORDS_AT_ONCE;)
		if (close_some(t, &left->gids[left->at], &rc)) {
			records++;
		} else if (rc == SHOAL_OK) {
			left->at++;
			i++;
		}
	if (left->at == left->n) {
		t->tidy = true;
		leftovers_free(t);
	}
}

void leftovers_free(struct tracker *t)
{
	free(t->leftovers);
	t->leftovers = NULL;
}
