/* tests/sim/effects.c */
#include "tests/sim/effects.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/name.h"
#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"
#include "core/registry/user_manager.h"

/* -- reading what an op wrote: by hand, from the bytes */

static struct slice column_of(const struct wire_row *row, uint8_t id)
{
	struct cursor c = cursor_of(row->columns.data, row->columns.len);
	while (cursor_left(&c) != 0) {
		struct wire_column col;
		wire_column_get(&c, &col);
		if (col.id == id)
			return col.value;
	}
	return (struct slice){ 0 };
}

static unsigned phase_of(const struct wire_row *row)
{
	struct slice c = column_of(row, 1); /* PHASE is column 1 of mem, share and sess */
	return c.len == 1 ? c.data[0] : 0;
}

static bool closes(const struct wire_row *row)
{
	return (row->table == TABLE_MEM && phase_of(row) == MEM_CLOSED) ||
	       ((row->table == TABLE_SHARE || row->table == TABLE_SESS) && phase_of(row) == PHASE_CLOSED);
}

static struct id16 id_at(struct slice key, size_t at)
{
	struct id16 id;
	memcpy(id.b, key.data + at, sizeof(id.b));
	return id;
}

/* The instances that some op has closed. */
struct gone {
	UT_hash_handle hh;
	size_t len;
	uint8_t key[2 + ROW_KEY_MAX];
};

struct check {
	const struct history *h;
	const struct registry *reg;
	struct gone *gone;
	struct verdict *v;
};

static size_t gone_key(const struct wire_row *row, uint8_t out[2 + ROW_KEY_MAX])
{
	out[0] = (uint8_t)(row->table >> 8);
	out[1] = (uint8_t)row->table;
	memcpy(out + 2, row->key.data, row->key.len);
	return 2 + row->key.len;
}

static bool is_gone(const struct check *ck, const struct wire_row *row)
{
	uint8_t key[2 + ROW_KEY_MAX];
	struct gone *g;
	size_t len = gone_key(row, key);
	HASH_FIND(hh, ck->gone, key, len, g);
	return g != NULL;
}

static void collect_gone(struct check *ck, const struct past_op *p)
{
	struct cursor c = cursor_of(p->rows.data, p->rows.len);
	while (cursor_left(&c) != 0) {
		struct wire_row row;
		wire_row_get(&c, &row);
		if (!closes(&row) || is_gone(ck, &row))
			continue;
		struct gone *g = xalloc(sizeof(*g));
		g->len = gone_key(&row, g->key);
		HASH_ADD_KEYPTR(hh, ck->gone, g->key, g->len, g);
	}
}

__attribute__((format(printf, 3, 4))) static bool fail(struct check *ck, const struct past_op *p, const char *fmt, ...)
{
	char text[200];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return verdict_fail(ck->v, "effects", "%s of tracker %u, op %llx.%llu: %s", op_word(p->kind), p->stamp.tracker,
	                    (unsigned long long)p->stamp.dot.log, (unsigned long long)p->stamp.dot.seq, text);
}

/* Whether the op explains things: it is known where the state is from. */
static bool stands(const struct check *ck, const struct past_op *p)
{
	return history_stands(p, registry_vector(ck->reg));
}

/* -- users */

/* The first claim of all has the plain name. */
static bool check_user_name(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	struct slice name = column_of(row, USER_NAME);
	const struct past_op *first = p;
	struct id16 uid = id_at(row->key, 0), winner = uid;
	char alias[NAME_SHOWN_MAX];
	bool yielded = false;

	for (size_t i = 0; i < ck->h->n; i++) {
		const struct past_op *q = ck->h->ops[i];
		struct cursor c = cursor_of(q->rows.data, q->rows.len);
		struct wire_row other;
		yielded |= q->kind == OP_YIELD && stands(ck, q);
		if (q->kind != OP_CREATE_USER || !stands(ck, q))
			continue;
		wire_row_get(&c, &other);
		if (slice_eq(column_of(&other, USER_NAME), name) && stamp_cmp(&q->stamp, &first->stamp) < 0) {
			first = q;
			winner = id_at(other.key, 0);
		}
	}
	const struct user_row *found = user_find(ck->reg, name);
	if (found == NULL || (!yielded && !id16_eq(&found->uid, &winner)))
		return fail(ck, p, "'%.*s' is %s, not the first claim's", (int)name.len, (const char *)name.data,
		            found == NULL ? "nobody" : "another");
	found = user_find(ck->reg, slice_str(user_shown(ck->reg, &uid, alias)));
	if (found == NULL || !id16_eq(&found->uid, &uid))
		return fail(ck, p, "the user is not found by the name that is shown, '%s'", alias);
	return true;
}

/* A password that was set is the one in force, or a later one is. */
static bool check_password(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	struct id16 uid = id_at(row->key, 0);
	const struct user_row *user = registry_user(ck->reg, &uid);

	if (column_of(row, USER_PASSWORD).data == NULL)
		return true;
	if (user == NULL)
		return fail(ck, p, "the user is missing");
	return stamp_cmp(&user->password_at, &p->stamp) >= 0 || fail(ck, p, "an older password is in force");
}

/* -- groups */

static bool was_deleted(const struct check *ck, const struct id16 *gid)
{
	for (size_t i = 0; i < ck->h->n; i++) {
		const struct past_op *q = ck->h->ops[i];
		if (q->kind == OP_DELETE_GROUP && stands(ck, q) && memcmp(q->rows.data + 4, gid->b, 16) == 0)
			return true;
	}
	return false;
}

static bool check_group(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	struct id16 gid = id_at(row->key, 0);
	char shown[NAME_SHOWN_MAX];

	if (registry_group(ck->reg, &gid) == NULL)
		return fail(ck, p, "the group is missing");
	if (column_of(row, GROUP_DELETED).data != NULL && group_lives(ck->reg, &gid))
		return fail(ck, p, "a deleted group lives");
	if (column_of(row, GROUP_NAME).data == NULL || group_member_count(ck->reg, &gid) == 0)
		return true; /* it has ended: check_row() has looked at each member */
	const struct group_row *found = group_find(ck->reg, slice_str(group_shown(ck->reg, &gid, shown)));
	return (found != NULL && id16_eq(&found->gid, &gid)) ||
	       fail(ck, p, "the group is not found by the name that is shown, '%s'", shown);
}

static bool check_mem(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	const struct row *now = registry_find_row(ck->reg, TABLE_MEM, row->key);
	struct id16 gid = id_at(row->key, 0), uid = id_at(row->key, 16);
	struct mem_row m;

	if (is_gone(ck, row))
		return true;
	if (now == NULL)
		return fail(ck, p, "a membership or request is missing");
	mem_row_read(now, &m);
	if (m.phase < phase_of(row))
		return fail(ck, p, "a membership fell back to a request");
	if (was_deleted(ck, &gid))
		return true;
	return phase_of(row) != MEM_MEMBER || group_is_member(ck->reg, &gid, &uid) ||
	       fail(ck, p, "an accepted user is no member");
}

/* The last word on a role stands. */
static bool check_role(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	struct id16 gid = id_at(row->key, 0), uid = id_at(row->key, 16);
	struct slice value = column_of(row, ROLE_ROLE);
	const struct role_row *role = registry_role(ck->reg, &gid, &uid);

	if (role == NULL || value.len != STAMP_WIRE_SIZE + 1)
		return fail(ck, p, "the role is missing");
	if (stamp_cmp(&role->at, &p->stamp) > 0)
		return true; /* it was given another later */
	return (stamp_cmp(&role->at, &p->stamp) == 0 && role->role == value.data[STAMP_WIRE_SIZE]) ||
	       fail(ck, p, "an older role is in force");
}

/* -- who owns a group: the last of those it was handed to, if a member, else who was accepted earliest */

struct heirs {
	struct stamp first_at, handed_at;
	uint32_t generation;
	struct id16 first, handed;
	bool handed_stays;
};

static void note_override(struct heirs *h, const struct wire_row *row)
{
	struct slice value = column_of(row, GROUP_OWNER);
	struct cursor c = cursor_of(value.data, value.len);

	if (value.data == NULL)
		return;
	uint32_t generation = get_u32(&c);
	struct stamp at = get_stamp(&c);
	if (generation < h->generation || (generation == h->generation && stamp_cmp(&at, &h->handed_at) < 0))
		return;
	h->generation = generation;
	h->handed_at = at;
	h->handed = get_id16(&c);
}

static void note_heirs(struct check *ck, const struct past_op *p, const struct id16 *gid, struct heirs *h, bool second)
{
	struct cursor c = cursor_of(p->rows.data, p->rows.len);
	while (cursor_left(&c) != 0) {
		struct wire_row row;
		wire_row_get(&c, &row);
		if (row.key.len < 16 || memcmp(row.key.data, gid->b, sizeof(gid->b)) != 0)
			continue;
		if (row.table == TABLE_GROUP && !second)
			note_override(h, &row);
		if (row.table != TABLE_MEM || phase_of(&row) != MEM_MEMBER || is_gone(ck, &row))
			continue;
		struct id16 uid = id_at(row.key, 16);
		h->handed_stays |= second && h->generation != 0 && id16_eq(&uid, &h->handed);
		if (stamp_is_zero(&h->first_at) || stamp_cmp(&p->stamp, &h->first_at) < 0) {
			h->first_at = p->stamp;
			h->first = uid;
		}
	}
}

static bool check_owner(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	struct heirs heirs = { 0 };
	struct id16 gid, owner;

	if (row->table != TABLE_GROUP || p->kind != OP_CREATE_GROUP)
		return true;
	gid = id_at(row->key, 0);
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < ck->h->n; i++)
			if (stands(ck, ck->h->ops[i]))
				note_heirs(ck, ck->h->ops[i], &gid, &heirs, pass == 1);
	bool lives = group_owner(ck->reg, &gid, &owner);
	bool should = !stamp_is_zero(&heirs.first_at) && !was_deleted(ck, &gid);
	if (lives != should)
		return fail(ck, p, lives ? "the group lives without anybody accepted" : "the group has ended with a member");
	if (!lives || id16_eq(&owner, heirs.handed_stays ? &heirs.handed : &heirs.first))
		return true;
	return fail(ck, p, heirs.handed_stays ? "the owner is not whom the group was handed to"
	                                      : "the owner is not the member accepted first");
}

/* -- files */

static bool check_share(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	struct id16 gid = id_at(row->key, 0), fid = id_at(row->key, 16), uid = id_at(row->key, 32);
	struct slice device = column_of(row, SHARE_DEVICE);
	struct id32 id;

	if (is_gone(ck, row) || !group_is_member(ck->reg, &gid, &uid))
		return true;
	if (device.len != sizeof(id.b))
		return fail(ck, p, "a share without a device");
	memcpy(id.b, device.data, sizeof(id.b));
	return file_shared_by(ck->reg, &gid, &fid, &uid, &id) || fail(ck, p, "a share was lost silently");
}

static bool check_file(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	struct id16 gid = id_at(row->key, 0), fid = id_at(row->key, 16);
	const struct file_row *f = registry_file(ck->reg, &gid, &fid);
	struct slice claim = column_of(row, FILE_CLAIM);
	struct id16 uploader;

	if (f == NULL)
		return fail(ck, p, "the file is missing");
	if (claim.len != STAMP_WIRE_SIZE + 16 || stamp_cmp(&f->claim, &p->stamp) < 0)
		return true; /* somebody uploaded it earlier */
	uploader = id_at(claim, STAMP_WIRE_SIZE);
	return (stamp_cmp(&f->claim, &p->stamp) == 0 && id16_eq(&f->uploader, &uploader)) ||
	       fail(ck, p, "its first uploader is another");
}

/* -- all of it */

static bool row_is_closed_or_absent(struct check *ck, const struct wire_row *wire)
{
	const struct row *row = registry_find_row(ck->reg, wire->table, wire->key);
	return row == NULL || row_closed(row);
}

/* One row of an acknowledged op: its effect shows, or another op explains why not. */
static bool check_row(struct check *ck, const struct past_op *p, const struct wire_row *row)
{
	if (closes(row))
		return row_is_closed_or_absent(ck, row) ||
		       fail(ck, p, "what it closed in table %s is open", table_word(row->table));
	switch (row->table) {
	case TABLE_USER:
		return check_password(ck, p, row) &&
		       (column_of(row, USER_NAME).data == NULL || check_user_name(ck, p, row));
	case TABLE_GROUP: return check_group(ck, p, row) && check_owner(ck, p, row);
	case TABLE_MEM: return check_mem(ck, p, row);
	case TABLE_FILE: return check_file(ck, p, row);
	case TABLE_SHARE: return check_share(ck, p, row);
	case TABLE_ROLE: return check_role(ck, p, row);
	case TABLE_SESS:
		return is_gone(ck, row) || registry_find_row(ck->reg, TABLE_SESS, row->key) != NULL ||
		       fail(ck, p, "a session was lost silently");
	default:
		return registry_find_row(ck->reg, row->table, row->key) != NULL ||
		       fail(ck, p, "a row of table %s is missing", table_word(row->table));
	}
}

static bool check_op(struct check *ck, const struct past_op *p)
{
	struct cursor c = cursor_of(p->rows.data, p->rows.len);
	while (cursor_left(&c) != 0) {
		struct wire_row row;
		wire_row_get(&c, &row);
		if (!check_row(ck, p, &row))
			return false;
	}
	return true;
}

bool effects_check(const struct history *h, const struct registry *reg, struct verdict *v)
{
	struct check ck = { h, reg, NULL, v };
	struct gone *g, *next;
	bool ok = true;

	for (size_t i = 0; i < h->n; i++)
		if (stands(&ck, h->ops[i]))
			collect_gone(&ck, h->ops[i]);
	for (size_t i = 0; i < h->n && ok; i++)
		ok = h->ops[i]->fate != FATE_ACKED || h->ops[i]->lost || check_op(&ck, h->ops[i]);
	HASH_ITER(hh, ck.gone, g, next) {
		HASH_DEL(ck.gone, g);
		free(g);
	}
	return ok;
}

/* -- at any moment */

static bool owner_is_member(const struct registry *reg, const struct id16 *gid, unsigned tracker, struct verdict *v)
{
	struct id16 owner;
	return !group_owner(reg, gid, &owner) || group_is_member(reg, gid, &owner) ||
	       verdict_fail(v, "names", "on tracker %u the owner of a group is not in it", tracker);
}

static bool files_are_found(const struct registry *reg, const struct id16 *gid, unsigned tracker, struct verdict *v)
{
	struct shown_file *files = NULL;
	size_t n = 0;
	bool ok = true;

	if (file_list(reg, gid, NULL, true, &files, &n) != SHOAL_OK)
		abort();
	for (size_t i = 0; i < n && ok; i++)
		ok = (i == 0 || strcmp(files[i - 1].name, files[i].name) != 0) &&
		     file_find(reg, gid, slice_str(files[i].name)) == files[i].file;
	free(files);
	return ok || verdict_fail(v, "names", "on tracker %u a file's name shows another, or two", tracker);
}

bool effects_check_names(const struct registry *reg, unsigned tracker, struct verdict *v)
{
	struct shown_group *groups = NULL;
	size_t n = 0;
	bool ok = true;

	if (group_list(reg, &groups, &n) != SHOAL_OK)
		abort();
	for (size_t i = 0; i < n && ok; i++) {
		const struct id16 *gid = &groups[i].group->gid;
		ok = (i == 0 || strcmp(groups[i - 1].name, groups[i].name) != 0) &&
		     group_find(reg, slice_str(groups[i].name)) == groups[i].group;
		if (!ok)
			verdict_fail(v, "names", "on tracker %u '%s' shows another, or two", tracker, groups[i].name);
		ok = ok && owner_is_member(reg, gid, tracker, v) && files_are_found(reg, gid, tracker, v);
	}
	free(groups);
	return ok;
}
