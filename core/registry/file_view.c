/* core/registry/file_view.c - what files a group has, and who shares them. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/registry/claims.h"
#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"

static struct registry_iter shares_of_file(const struct registry *reg, const struct id16 *gid, const struct id16 *fid)
{
	return registry_by(reg, INDEX_FILE_SHARES, gid->b, 16, fid->b, 16);
}

static bool counts(const struct registry *reg, const struct share_row *s, const struct presence *presence)
{
	return s->phase == PHASE_OPEN && group_may_share(reg, &s->key.gid, &s->key.uid) &&
	       (presence == NULL || presence->online(presence->ctx, &s->key.uid, &s->device));
}

bool file_has_seeder(const struct registry *reg, const struct id16 *gid, const struct id16 *fid)
{
	return file_listed(reg, gid, fid, NULL);
}

bool file_listed(const struct registry *reg, const struct id16 *gid, const struct id16 *fid,
                 const struct presence *presence)
{
	struct registry_iter it = shares_of_file(reg, gid, fid);
	const struct share_row *s;

	while ((s = registry_next(&it)) != NULL)
		if (counts(reg, s, presence))
			return true;
	return false;
}

bool file_shared_by(const struct registry *reg, const struct id16 *gid, const struct id16 *fid, const struct id16 *uid,
                    const struct id32 *device)
{
	struct registry_iter it = shares_of_file(reg, gid, fid);
	const struct share_row *s;

	while ((s = registry_next(&it)) != NULL)
		if (id16_eq(&s->key.uid, uid) && id32_eq(&s->device, device) && counts(reg, s, NULL))
			return true;
	return false;
}

/* -- names */

const struct file_row *file_find(const struct registry *reg, const struct id16 *gid, struct slice shown)
{
	return claims_resolve(reg, NAME_FILE, gid, shown);
}

enum shoal_err file_lookup(const struct registry *reg, const struct id16 *gid, struct slice shown, struct id16 *fid,
                           struct error *e)
{
	char group[NAME_SHOWN_MAX];
	enum shoal_err rc = name_check_lookup(NAME_FILE, shown.data, shown.len, e);

	if (rc != SHOAL_OK)
		return rc;
	const struct file_row *file = file_find(reg, gid, shown);
	if (file == NULL)
		return error_set(e, SHOAL_ENOTFOUND, "no file '%.*s' in '%s'", (int)shown.len, (const char *)shown.data,
		                 group_shown(reg, gid, group));
	*fid = file->fid;
	return SHOAL_OK;
}

char *file_shown(const struct registry *reg, const struct id16 *gid, const struct id16 *fid, char out[NAME_SHOWN_MAX])
{
	const struct file_row *file = registry_file(reg, gid, fid);

	if (file == NULL) {
		memcpy(out, "?", 2);
		return out;
	}
	return claims_shown(reg, NAME_FILE, gid, file->name, fid, out);
}

/* -- seeders */

static int by_device(const void *a, const void *b)
{
	const struct seeder *x = a, *y = b;
	int order = id16_cmp(&x->uid, &y->uid);
	if (order == 0)
		order = id32_cmp(&x->device, &y->device);
	return order != 0 ? order : stamp_cmp(&x->since, &y->since);
}

static int by_since(const void *a, const void *b)
{
	const struct seeder *x = a, *y = b;
	int order = stamp_cmp(&x->since, &y->since);
	return order != 0 ? order : by_device(a, b);
}

enum shoal_err file_seeders(const struct registry *reg, const struct id16 *gid, const struct id16 *fid,
                            const struct presence *presence, struct seeder **out, size_t *n)
{
	struct registry_iter it = shares_of_file(reg, gid, fid), count = it;
	const struct share_row *s;
	size_t all = 0, kept = 0;

	while (registry_next(&count) != NULL)
		all++;
	struct seeder *list = try_alloc((all + 1) * sizeof(*list));
	if (list == NULL)
		return SHOAL_EBUSY;
	all = 0;
	while ((s = registry_next(&it)) != NULL)
		if (counts(reg, s, presence))
			list[all++] = (struct seeder){ s->key.uid, s->device, s->since };
	qsort(list, all, sizeof(*list), by_device);
	for (size_t i = 0; i < all; i++)
		if (kept == 0 || !id16_eq(&list[kept - 1].uid, &list[i].uid) ||
		    !id32_eq(&list[kept - 1].device, &list[i].device))
			list[kept++] = list[i];
	qsort(list, kept, sizeof(*list), by_since);
	*out = list;
	*n = kept;
	return SHOAL_OK;
}

/* -- lists */

static int by_name(const void *a, const void *b)
{
	const struct shown_file *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static size_t files_of(const struct registry *reg, const struct id16 *gid)
{
	struct registry_iter it = registry_by(reg, INDEX_GROUP_FILES, gid->b, 16, NULL, 0);
	size_t n = 0;
	while (registry_next(&it) != NULL)
		n++;
	return n;
}

static enum shoal_err fill_shown(const struct registry *reg, const struct file_row *file,
                                 const struct presence *presence, struct shown_file *out)
{
	const struct content_row *content = registry_content(reg, &file->content);
	struct seeder *seeders = NULL;
	size_t n;
	enum shoal_err rc = file_seeders(reg, &file->gid, &file->fid, presence, &seeders, &n);

	if (rc != SHOAL_OK)
		return rc;
	free(seeders);
	out->file = file;
	out->seeders = (unsigned)n;
	out->syncing = content == NULL || !content->held;
	file_shown(reg, &file->gid, &file->fid, out->name);
	return SHOAL_OK;
}

enum shoal_err file_list(const struct registry *reg, const struct id16 *gid, const struct presence *presence, bool all,
                         struct shown_file **out, size_t *n)
{
	struct registry_iter it = registry_by(reg, INDEX_GROUP_FILES, gid->b, 16, NULL, 0);
	struct shown_file *list = try_alloc((files_of(reg, gid) + 1) * sizeof(*list));
	uint64_t lent = registry_views_short(reg);
	const struct file_row *file;
	enum shoal_err rc = SHOAL_OK;

	if (list == NULL)
		return SHOAL_EBUSY;
	*n = 0;
	while (rc == SHOAL_OK && (file = registry_next(&it)) != NULL)
		if (file_listed(reg, gid, &file->fid, all ? NULL : presence))
			rc = fill_shown(reg, file, presence, &list[(*n)++]);
	if (rc == SHOAL_OK && registry_views_short(reg) != lent)
		rc = SHOAL_EBUSY;
	if (rc != SHOAL_OK) {
		free(list);
		return rc;
	}
	qsort(list, *n, sizeof(*list), by_name);
	*out = list;
	return SHOAL_OK;
}

unsigned file_count(const struct registry *reg, const struct id16 *gid, const struct presence *presence)
{
	struct registry_iter it = registry_by(reg, INDEX_GROUP_FILES, gid->b, 16, NULL, 0);
	const struct file_row *file;
	unsigned n = 0;

	while ((file = registry_next(&it)) != NULL)
		n += file_listed(reg, gid, &file->fid, presence);
	return n;
}

/* -- what a user shares */

static int by_file(const void *a, const void *b)
{
	const struct my_share *x = a, *y = b;
	int order = id16_cmp(&x->file->gid, &y->file->gid);
	if (order == 0)
		order = id16_cmp(&x->file->fid, &y->file->fid);
	return order != 0 ? order : id32_cmp(&x->device, &y->device);
}

static size_t drop_doubles(struct my_share *list, size_t n)
{
	size_t kept = 0;

	qsort(list, n, sizeof(*list), by_file);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || by_file(&list[kept - 1], &list[i]) != 0)
			list[kept++] = list[i];
	return kept;
}

struct share_list {
	struct my_share *items;
	size_t n, cap;
};

static enum shoal_err add_share(const struct registry *reg, struct share_list *l, const struct share_row *s)
{
	const struct file_row *file = registry_file(reg, &s->key.gid, &s->key.fid);

	if (file == NULL || !counts(reg, s, NULL))
		return SHOAL_OK;
	if (l->n == l->cap) {
		size_t cap = l->cap != 0 ? l->cap * 2 : 16;
		struct my_share *items = try_realloc(l->items, cap * sizeof(*items));
		if (items == NULL)
			return SHOAL_EBUSY;
		l->items = items;
		l->cap = cap;
	}
	l->items[l->n++] = (struct my_share){ file, s->device };
	return SHOAL_OK;
}

static enum shoal_err add_shares(const struct registry *reg, struct share_list *l, struct registry_iter it)
{
	const struct share_row *s;
	enum shoal_err rc = SHOAL_OK;

	while (rc == SHOAL_OK && (s = registry_next(&it)) != NULL)
		rc = add_share(reg, l, s);
	return rc;
}

/* From any device: through the groups he is in. */
static enum shoal_err add_all_devices(const struct registry *reg, struct share_list *l, const struct id16 *uid)
{
	struct registry_iter mems = registry_by(reg, INDEX_USER_MEMS, uid->b, 16, NULL, 0);
	const struct mem_row *m;
	enum shoal_err rc = SHOAL_OK;

	while (rc == SHOAL_OK && (m = registry_next(&mems)) != NULL)
		rc = add_shares(reg, l, registry_by(reg, INDEX_MEMBER_SHARES, m->key.gid.b, 16, uid->b, 16));
	return rc;
}

enum shoal_err file_shares_of(const struct registry *reg, const struct id16 *uid, const struct id32 *device,
                              struct my_share **out, size_t *n)
{
	struct share_list l = { .items = try_alloc(sizeof(*l.items)), .cap = 1 };
	uint64_t lent = registry_views_short(reg);
	enum shoal_err rc;

	if (l.items == NULL)
		return SHOAL_EBUSY;
	if (device != NULL)
		rc = add_shares(reg, &l, registry_by(reg, INDEX_DEVICE_SHARES, uid->b, 16, device->b, 32));
	else
		rc = add_all_devices(reg, &l, uid);
	if (rc == SHOAL_OK && registry_views_short(reg) != lent)
		rc = SHOAL_EBUSY;
	if (rc != SHOAL_OK) {
		free(l.items);
		return rc;
	}
	*n = drop_doubles(l.items, l.n);
	*out = l.items;
	return SHOAL_OK;
}
