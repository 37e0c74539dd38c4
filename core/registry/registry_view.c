/* core/registry/registry_view.c - finding rows: by key, by index, all of a table; what a group's memberships amount to. */
#include <assert.h>
#include <string.h>

#include "core/registry/registry_internal.h"

/* -- looking */

static const void *view_by_key(const struct registry *reg, enum table table, const void *a, size_t a_len, const void *b,
                               size_t b_len)
{
	uint8_t key[64];
	assert(a_len + b_len <= sizeof(key));
	memcpy(key, a, a_len);
	if (b_len != 0)
		memcpy(key + a_len, b, b_len);
	const struct entry *e = entry_find(reg, (uint16_t)table, slice_of(key, a_len + b_len));
	return e != NULL && entry_row(e) != NULL ? entry_view(reg, e) : NULL;
}

const struct user_row *registry_user(const struct registry *reg, const struct id16 *uid)
{
	return view_by_key(reg, TABLE_USER, uid->b, 16, NULL, 0);
}

const struct group_row *registry_group(const struct registry *reg, const struct id16 *gid)
{
	return view_by_key(reg, TABLE_GROUP, gid->b, 16, NULL, 0);
}

const struct file_row *registry_file(const struct registry *reg, const struct id16 *gid, const struct id16 *fid)
{
	return view_by_key(reg, TABLE_FILE, gid->b, 16, fid->b, 16);
}

const struct sess_row *registry_sess(const struct registry *reg, const struct id16 *uid, struct dot dot)
{
	uint8_t key[SESS_KEY_SIZE];
	sess_key_pack(&(struct sess_key){ .uid = *uid, .dot = dot }, key);
	return view_by_key(reg, TABLE_SESS, key, sizeof(key), NULL, 0);
}

const struct role_row *registry_role(const struct registry *reg, const struct id16 *gid, const struct id16 *uid)
{
	return view_by_key(reg, TABLE_ROLE, gid->b, 16, uid->b, 16);
}

const struct content_row *registry_content(const struct registry *reg, const struct id32 *content)
{
	return view_by_key(reg, TABLE_CONTENT, content->b, 32, NULL, 0);
}

const struct notice_row *registry_notice(const struct registry *reg, const struct id16 *id)
{
	return view_by_key(reg, TABLE_NOTICE, id->b, 16, NULL, 0);
}

const struct row *registry_find_row(const struct registry *reg, uint16_t table, struct slice key)
{
	const struct entry *e = entry_find(reg, table, key);
	return e != NULL ? entry_row(e) : NULL;
}

size_t registry_count(const struct registry *reg, enum table table)
{
	return (size_t)reg->digests[table].count;
}

enum shoal_err registry_set_held(struct registry *reg, const struct id32 *content, bool held)
{
	struct entry *e = entry_find(reg, TABLE_CONTENT, slice_of(content->b, sizeof(content->b)));
	if (e == NULL || entry_row(e) == NULL)
		return SHOAL_ENOTFOUND;
	entry_set_held(e, held);
	return SHOAL_OK;
}

/* -- iteration */

static const struct entry *skip_empty(const struct registry *reg, const struct entry *e)
{
	while (e != NULL && entry_row(e) == NULL)
		e = entry_after(reg, e);
	return e;
}

struct registry_iter registry_by(const struct registry *reg, enum registry_index index, const void *a, size_t a_len,
                                 const void *b, size_t b_len)
{
	const struct hub *hub = hub_find(reg, index, a, a_len, b, b_len);
	return (struct registry_iter){ .reg = reg, .next = hub != NULL ? hub->first : NULL, .index = index };
}

struct registry_iter registry_all(const struct registry *reg, enum table table)
{
	return (struct registry_iter){ .reg = reg, .next = skip_empty(reg, entry_first(reg, table)), .index = INDEX_COUNT };
}

const void *registry_next(struct registry_iter *it)
{
	if (it->next == NULL)
		return NULL;
	if (it->index != INDEX_COUNT) {
		const struct link *link = it->next;
		it->next = link->next;
		return entry_view(it->reg, link_entry(link, it->index));
	}
	const struct entry *e = it->next;
	it->next = skip_empty(it->reg, entry_after(it->reg, e));
	return entry_view(it->reg, e);
}

uint64_t registry_views_short(const struct registry *reg)
{
	return views_short(reg->views);
}

/* -- what the memberships of a group amount to */

/* The instance that counts among those of one user in one group: the member accepted first, else the first request. */
static const struct mem_row *first_instance(const struct registry *reg, const struct mem_row *mem)
{
	struct registry_iter it = registry_by(reg, INDEX_MEMBER, mem->key.gid.b, 16, mem->key.uid.b, 16);
	const struct mem_row *best = NULL, *m;

	while ((m = registry_next(&it)) != NULL) {
		if (best == NULL || m->phase > best->phase) {
			best = m;
			continue;
		}
		int order = m->phase == MEM_MEMBER ? stamp_cmp(&m->accept, &best->accept) : stamp_cmp(&m->since, &best->since);
		if (m->phase == best->phase && (order < 0 || (order == 0 && dot_cmp(m->key.dot, best->key.dot) < 0)))
			best = m;
	}
	return best;
}

static bool is_earlier(const struct mem_row *m, const struct group_summary *s)
{
	int order = stamp_cmp(&m->accept, &s->first_at);
	return s->members == 0 || order < 0 || (order == 0 && id16_cmp(&m->key.uid, &s->first) < 0);
}

static struct group_summary summarise(const struct registry *reg, const struct hub *hub)
{
	struct group_summary s = { .valid = true };

	for (const struct link *l = hub->first; l != NULL; l = l->next) {
		const struct mem_row *m = entry_view(reg, link_entry(l, INDEX_GROUP_MEMS));
		if (m == NULL || first_instance(reg, m) != m)
			continue;
		if (m->phase == MEM_ASKED) {
			s.asked++;
			continue;
		}
		if (m->phase != MEM_MEMBER)
			continue;
		if (is_earlier(m, &s)) {
			s.first = m->key.uid;
			s.first_at = m->accept;
		}
		s.members++;
	}
	return s;
}

struct group_summary registry_group_summary(const struct registry *reg, const struct id16 *gid)
{
	struct hub *hub = hub_find(reg, INDEX_GROUP_MEMS, gid->b, 16, NULL, 0);
	if (hub == NULL)
		return (struct group_summary){ .valid = true };
	struct group_summary *summary = hub_summary(hub);
	if (!summary->valid)
		*summary = summarise(reg, hub);
	return *summary;
}
