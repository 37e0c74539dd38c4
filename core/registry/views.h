/* core/registry/views.h - rows taken apart, for as long as somebody looks at them; for the registry's insides.
 *
 * A view is made when it is first asked for and kept until there are too many: most rows are never looked at. What was
 * handed out stays until views_trim(), which the registry calls where a change begins. Without memory a view is lent
 * from a small ring that is used again and again: whoever collects many pointers asks views_short() before and after.
 * Loop thread only. */
#ifndef SHOAL_REGISTRY_VIEWS_H
#define SHOAL_REGISTRY_VIEWS_H
#include "core/registry/row.h"

union any_view {
	struct user_row user;
	struct group_row group;
	struct mem_row mem;
	struct file_row file;
	struct share_row share;
	struct sess_row sess;
	struct role_row role;
	struct content_row content;
	struct notice_row notice;
};

struct views;

struct views *views_new(void); /* aborts without memory (start-up) */
void views_free(struct views *v);
/* A place for the view whose pointer is kept in *owner; *owner is set, and cleared again by views_trim(). NULL: no
 * memory, *owner is not set. */
union any_view *views_take(struct views *v, void **owner);
union any_view *views_lend(struct views *v);
uint64_t views_short(const struct views *v); /* how often one was lent */
void views_give_back(struct views *v, void **owner); /* *owner NULL is fine */
void views_trim(struct views *v);
#endif
