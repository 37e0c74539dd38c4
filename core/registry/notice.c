/* core/registry/notice.c - notices as rows and as text; conflicts. What makes them is notice_watch.c. */
#include "core/registry/notice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/registry/claims.h"
#include "core/registry/group_manager.h"
#include "core/registry/notice_rows.h"
#include "core/registry/registry_internal.h"

/* -- rows */

void notice_id(const char *kind, const struct id16 *whom, struct slice about, struct id16 *out)
{
	struct sha256 h;
	struct id32 hash;

	sha256_init(&h);
	tuple_add_str(&h, "notice");
	tuple_add_str(&h, kind);
	tuple_add(&h, whom->b, sizeof(whom->b));
	tuple_add(&h, about.data, about.len);
	sha256_final(&h, &hash);
	memcpy(out->b, hash.b, sizeof(out->b));
}

void notice_put(struct buf *rows, const struct notice_draft *d)
{
	struct row_build rb;
	struct id16 id;

	notice_id(d->kind, d->whom, d->about, &id);
	row_begin(&rb, rows, TABLE_NOTICE, id.b, sizeof(id.b));
	row_put(&rb, NOTICE_KIND, d->kind, strlen(d->kind));
	row_put(&rb, NOTICE_WHOM, d->whom->b, sizeof(d->whom->b));
	row_put(&rb, NOTICE_GROUP, d->group.data, d->group.len);
	row_put(&rb, NOTICE_SUBJECT, d->subject.data, d->subject.len);
	row_put_stamp(&rb, NOTICE_AT, d->at);
	row_end(&rb);
}

struct slice notice_group_name(const struct registry *reg, const struct id16 *gid)
{
	const struct group_row *group = registry_group(reg, gid);
	return group != NULL ? group->name : slice_of(NULL, 0);
}

struct slice notice_user_name(const struct registry *reg, const struct id16 *uid)
{
	const struct user_row *user = registry_user(reg, uid);
	return user != NULL ? user->name : slice_of(NULL, 0);
}

struct slice notice_file_name(const struct registry *reg, const struct id16 *gid, const struct id16 *fid)
{
	const struct file_row *file = registry_file(reg, gid, fid);
	return file != NULL ? file->name : slice_of(NULL, 0);
}

void notice_draft_owner(const struct registry *reg, const struct id16 *gid, const struct id16 *owner,
                        const struct stamp *at, struct buf *rows)
{
	uint8_t about[16];
	memcpy(about, gid->b, 16);
	notice_put(rows, &(struct notice_draft){ "owner-now", owner, slice_of(about, sizeof(about)),
	                                         notice_group_name(reg, gid), slice_of(NULL, 0), at });
}

void notice_draft_share(const struct registry *reg, const char *kind, const struct share_row *s, const struct stamp *at,
                        struct buf *rows)
{
	uint8_t about[SHARE_KEY_SIZE];
	share_key_pack(&s->key, about);
	notice_put(rows, &(struct notice_draft){ kind, &s->key.uid, slice_of(about, sizeof(about)),
	                                         notice_group_name(reg, &s->key.gid),
	                                         notice_file_name(reg, &s->key.gid, &s->key.fid), at });
}

/* -- for the managers */

/* The member accepted first among all but one. */
static bool next_in_line(const struct registry *reg, const struct id16 *gid, const struct id16 *but, struct id16 *heir)
{
	struct registry_iter it = registry_by(reg, INDEX_GROUP_MEMS, gid->b, 16, NULL, 0);
	const struct mem_row *m, *best = NULL;

	while ((m = registry_next(&it)) != NULL)
		if (m->phase == MEM_MEMBER && !id16_eq(&m->key.uid, but) &&
		    (best == NULL || stamp_cmp(&m->accept, &best->accept) < 0))
			best = m;
	if (best != NULL)
		*heir = best->key.uid;
	return best != NULL;
}

void notice_put_heir(const struct registry *reg, struct op *op, const struct id16 *gid, const struct id16 *uid,
                     const struct id16 *successor)
{
	struct id16 heir;

	if (!group_is_owner(reg, gid, uid))
		return;
	if (successor != NULL)
		heir = *successor;
	else if (!next_in_line(reg, gid, uid, &heir))
		return;
	notice_draft_owner(reg, gid, &heir, &op->stamp, &op->rows);
}

void notice_put_share_removed(const struct registry *reg, struct op *op, const struct share_row *share)
{
	notice_draft_share(reg, "share-removed", share, &op->stamp, &op->rows);
}

bool registry_take_notices(struct registry *reg, struct op *op)
{
	struct cursor c = cursor_of(reg->found.data, reg->found.len);
	size_t taken = 0;

	while (cursor_left(&c) != 0) {
		struct wire_row row;
		wire_row_get(&c, &row);
		size_t end = reg->found.len - cursor_left(&c);
		if (op->rows.len + (end - taken) > RECORD_ROWS_MAX)
			break;
		if (registry_find_row(reg, row.table, row.key) == NULL)
			wire_row_put(&op->rows, &row);
		taken = end;
	}
	if (!op->rows.failed) /* else the caller fails and its change is undone: they are found again */
		buf_consume(&reg->found, taken);
	return !op_is_empty(op);
}

/* -- for whom they are */

static int by_at(const void *a, const void *b)
{
	const struct notice_row *const *x = a, *const *y = b;
	int order = stamp_cmp(&(*x)->at, &(*y)->at);
	return order != 0 ? order : id16_cmp(&(*x)->id, &(*y)->id);
}

enum shoal_err notice_list(const struct registry *reg, const struct id16 *uid, const struct notice_row ***out, size_t *n)
{
	struct registry_iter it = registry_by(reg, INDEX_USER_NOTICES, uid->b, 16, NULL, 0), count = it;
	uint64_t lent = registry_views_short(reg);
	const struct notice_row *notice;
	size_t most = 1;

	while (registry_next(&count) != NULL)
		most++;
	const struct notice_row **list = try_alloc(most * sizeof(struct notice_row *));
	if (list == NULL)
		return SHOAL_EBUSY;
	*n = 0;
	while ((notice = registry_next(&it)) != NULL)
		if (!notice->seen)
			list[(*n)++] = notice;
	if (registry_views_short(reg) != lent) {
		free(list);
		return SHOAL_EBUSY;
	}
	qsort(list, *n, sizeof(struct notice_row *), by_at);
	*out = list;
	return SHOAL_OK;
}

void notice_put_seen(struct op *op, const struct notice_row *const *notices, size_t n)
{
	for (size_t i = 0; i < n && op->rows.len + 64 <= RECORD_ROWS_MAX; i++) {
		struct row_build rb;
		row_begin(&rb, &op->rows, TABLE_NOTICE, notices[i]->id.b, sizeof(notices[i]->id.b));
		row_put_u8(&rb, NOTICE_SEEN, 1);
		row_end(&rb);
	}
}

/* How each kind reads: %1 the group, %2 the subject. */
static const struct {
	const char *kind, *text;
} sentences[] = {
	{ "accept-void", "'%2' had withdrawn from '%1' before you accepted the request" },
	{ "share-removed", "'%2' in '%1' was removed by its last active seeder: your share of it has ended" },
	{ "upload-hidden", "'%2' is not listed in '%1': you are no member of it any more" },
	{ "owner-now", "you are the owner of '%1' now" },
	{ "role-lost", "another role in '%1' was given to you at the same time: you are no longer '%2'" },
	{ "role-void", "'%2' had left '%1' before you gave the role" },
	{ "session-superseded", "this device logged in twice: the older session has ended" },
	{ "name-lost-user", "your user name belongs to an earlier account: you show as '%2'" },
	{ "name-lost-group", "the name of your group belongs to an earlier one: it shows as '%2'" },
	{ "name-won-back-user", "your user name is yours again: you show as '%2'" },
	{ "name-won-back-group", "the name of your group is its own again: it shows as '%2'" },
	{ "name-won-back-file", "the name of your file in '%1' is its own again: it shows as '%2'" },
	{ "name-lost-file", "the name of your file in '%1' belongs to an earlier one: it shows as '%2'" },
};

static void append_text(char *out, size_t *used, const char *text, size_t len)
{
	size_t room = NOTICE_TEXT_MAX - 1 - *used;
	if (len > room)
		len = room;
	memcpy(out + *used, text, len);
	*used += len;
	out[*used] = '\0';
}

char *notice_text(const struct notice_row *notice, char out[NOTICE_TEXT_MAX])
{
	char group[300], subject[300];
	const char *form = "%2 %1";
	size_t used = 0;

	for (size_t i = 0; i < COUNT_OF(sentences); i++)
		if (slice_eq_str(notice->kind, sentences[i].kind))
			form = sentences[i].text;
	text_escape(notice->group.data, notice->group.len, group, sizeof(group));
	text_escape(notice->subject.data, notice->subject.len, subject, sizeof(subject));
	out[0] = '\0';
	for (; *form != '\0'; form++) {
		if (form[0] == '%' && (form[1] == '1' || form[1] == '2')) {
			const char *name = *++form == '1' ? group : subject;
			append_text(out, &used, name, strlen(name));
		} else {
			append_text(out, &used, form, 1);
		}
	}
	return out;
}

/* -- conflicts */

enum { CLAIMS_SHOWN_MAX = 64 };

struct conflict_sink {
	struct conflict *items;
	size_t n, cap;
	enum shoal_err rc;
};

static struct conflict *add_conflict(struct conflict_sink *sink)
{
	if (sink->n == sink->cap) {
		size_t cap = sink->cap != 0 ? sink->cap * 2 : 8;
		struct conflict *items = try_realloc(sink->items, cap * sizeof(*items));
		if (items == NULL) {
			sink->rc = SHOAL_EBUSY;
			return NULL;
		}
		sink->items = items;
		sink->cap = cap;
	}
	struct conflict *c = &sink->items[sink->n++];
	memset(c, 0, sizeof(*c));
	return c;
}

/* All live claims on a name, if there are several. Told once a name: only when asked for the claim that comes first
 * among those that concern the user would need a memory; doubles are dropped at the end instead. */
static void conflicts_on(const struct registry *reg, enum name_kind kind, const struct id16 *gid, struct slice name,
                         struct conflict_sink *sink)
{
	struct claim claims[CLAIMS_SHOWN_MAX];
	size_t n = claims_list(reg, kind, gid, name, claims, COUNT_OF(claims));

	for (size_t i = 0; n > 1 && i < n; i++) {
		struct conflict *c = add_conflict(sink);
		if (c == NULL)
			return;
		c->kind = kind;
		slice_to_str(name, c->name, sizeof(c->name));
		c->has_name = i == 0;
		c->claim = claims[i].at;
		claims_shown(reg, kind, gid, name, &claims[i].id, c->shown);
		if (gid != NULL)
			group_shown(reg, gid, c->group);
	}
}

static int cmp_conflicts(const void *a, const void *b)
{
	const struct conflict *x = a, *y = b;
	int order = (int)x->kind - (int)y->kind;
	if (order == 0)
		order = strcmp(x->group, y->group);
	if (order == 0)
		order = strcmp(x->name, y->name);
	if (order == 0)
		order = (int)y->has_name - (int)x->has_name;
	return order != 0 ? order : stamp_cmp(&x->claim, &y->claim);
}

static void conflicts_of_group(const struct registry *reg, const struct id16 *gid, const struct id16 *uid,
                               struct conflict_sink *sink)
{
	struct registry_iter it = registry_by(reg, INDEX_GROUP_FILES, gid->b, 16, NULL, 0);
	const struct group_row *group = registry_group(reg, gid);
	const struct file_row *file;

	if (group == NULL || !group_lives(reg, gid))
		return;
	conflicts_on(reg, NAME_GROUP, NULL, group->name, sink);
	while (group_is_member(reg, gid, uid) && (file = registry_next(&it)) != NULL)
		conflicts_on(reg, NAME_FILE, gid, file->name, sink);
}

enum shoal_err conflict_list(const struct registry *reg, const struct id16 *uid, struct conflict **out, size_t *n)
{
	struct registry_iter mems = registry_by(reg, INDEX_USER_MEMS, uid->b, 16, NULL, 0);
	const struct user_row *user = registry_user(reg, uid);
	struct conflict_sink sink = { .items = try_alloc(sizeof(*sink.items)), .cap = 1 };
	const struct mem_row *m;
	size_t kept = 0;

	if (sink.items == NULL)
		return SHOAL_EBUSY;
	if (user != NULL)
		conflicts_on(reg, NAME_USER, NULL, user->name, &sink);
	while ((m = registry_next(&mems)) != NULL)
		conflicts_of_group(reg, &m->key.gid, uid, &sink);
	if (sink.rc != SHOAL_OK) {
		free(sink.items);
		return sink.rc;
	}
	qsort(sink.items, sink.n, sizeof(*sink.items), cmp_conflicts);
	for (size_t i = 0; i < sink.n; i++)
		if (kept == 0 || cmp_conflicts(&sink.items[kept - 1], &sink.items[i]) != 0)
			sink.items[kept++] = sink.items[i];
	*out = sink.items;
	*n = kept;
	return SHOAL_OK;
}
