/* core/registry/notice_rows.h - building notice rows. For notice.c and notice_watch.c only. */
#ifndef SHOAL_REGISTRY_NOTICE_ROWS_H
#define SHOAL_REGISTRY_NOTICE_ROWS_H
#include "core/registry/registry.h"

/* The row's id is a hash of kind, whom and about: who finds the same thing writes the same row. */
struct notice_draft {
	const char *kind;
	const struct id16 *whom;
	struct slice about;
	struct slice group, subject; /* names, plain: the same on every tracker */
	const struct stamp *at;
};
void notice_put(struct buf *rows, const struct notice_draft *d);
void notice_id(const char *kind, const struct id16 *whom, struct slice about, struct id16 *out);
void notice_draft_owner(const struct registry *reg, const struct id16 *gid, const struct id16 *owner,
                        const struct stamp *at, struct buf *rows);
void notice_draft_share(const struct registry *reg, const char *kind, const struct share_row *s, const struct stamp *at,
                        struct buf *rows);
struct slice notice_group_name(const struct registry *reg, const struct id16 *gid);
struct slice notice_user_name(const struct registry *reg, const struct id16 *uid);
struct slice notice_file_name(const struct registry *reg, const struct id16 *gid, const struct id16 *fid);
#endif
