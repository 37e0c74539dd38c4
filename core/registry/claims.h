/* core/registry/claims.h - who has a name: the view that users, groups and files share. For the managers only.
 *
 * Of the live claims on a name the one with the smallest (yielded, stamp) has it; the others show as an alias. A user
 * always lives, a group while it has members, a file while it has a seeder. `gid` counts for files only. Loop thread. */
#ifndef SHOAL_REGISTRY_CLAIMS_H
#define SHOAL_REGISTRY_CLAIMS_H
#include "core/base/name.h"
#include "core/registry/registry.h"

struct claim {
	struct id16 id;
	struct stamp at;
	bool yielded;
	const void *view; /* struct user_row, group_row, file_row; NULL: no claim */
};

/* The live claims, the winner first, at most max (>= 1). Their number. */
size_t claims_list(const struct registry *reg, enum name_kind kind, const struct id16 *gid, struct slice name,
                   struct claim *out, size_t max);
struct claim claims_winner(const struct registry *reg, enum name_kind kind, const struct id16 *gid, struct slice name);
/* What a shown name means: the winner of a plain name, or the row of an alias (live or not); NULL: nothing. */
const void *claims_resolve(const struct registry *reg, enum name_kind kind, const struct id16 *gid, struct slice shown);
/* What the row with that name and id shows as. Returns out. */
char *claims_shown(const struct registry *reg, enum name_kind kind, const struct id16 *gid, struct slice name,
                   const struct id16 *id, char out[NAME_SHOWN_MAX]);
#endif
