/* core/registry/notice_watch.c - what a merge undoes of somebody's acknowledged work. */
#include <stdlib.h>
#include <string.h>

#include "core/base/name.h"
#include "core/registry/claims.h"
#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"
#include "core/registry/notice_rows.h"
#include "core/registry/registry_internal.h"

/* -- an accept of somebody who is gone */

static void accept_void(struct registry *reg, const struct mem_row *m, const struct stamp *at)
{
	uint8_t about[MEM_KEY_SIZE];

	mem_key_pack(&m->key, about);
	notice_put(&reg->found, &(struct notice_draft){ "accept-void", &m->accepted_by, slice_of(about, sizeof(about)),
	                                                notice_group_name(reg, &m->key.gid),
	                                                notice_user_name(reg, &m->key.uid), at });
}

/* Either side may be the one that comes in. A close says which accept it knew; of a row dropped here that is not known
 * any more, but an accept that arrives behind the close was not known to it: operations come in causal order. */
static void watch_mem(struct registry *reg, const struct record *rec, const struct row *before,
                      const struct row *incoming, bool ignored)
{
	struct mem_row mine = { 0 }, theirs;

	mem_row_read(incoming, &theirs);
	if (before != NULL)
		mem_row_read(before, &mine);
	if (theirs.phase == MEM_CLOSED && mine.phase == MEM_MEMBER && stamp_is_zero(&theirs.accept))
		accept_void(reg, &mine, &rec->stamp);
	if (theirs.phase != MEM_MEMBER || stamp_is_zero(&theirs.accept))
		return;
	if ((ignored && rec->op == OP_ACCEPT_REQUEST) || (mine.phase == MEM_CLOSED && stamp_is_zero(&mine.accept)))
		accept_void(reg, &theirs, &rec->stamp);
}

/* -- two sessions of one device */

static void watch_sess(struct registry *reg, const struct record *rec, const struct row *incoming)
{
	struct sess_row theirs;
	const struct sess_row *s;
	struct stamp known;

	sess_row_read(incoming, &theirs);
	if (theirs.phase != PHASE_OPEN || registry_known_request(reg, &rec->request, &known))
		return; /* the second half: one login that was repeated on another tracker */
	struct registry_iter it = registry_by(reg, INDEX_USER_SESSIONS, theirs.key.uid.b, 16, NULL, 0);
	while ((s = registry_next(&it)) != NULL) {
		uint8_t about[SESS_KEY_SIZE];
		if (!id32_eq(&s->device, &theirs.device) || dot_eq(s->key.dot, theirs.key.dot))
			continue;
		sess_key_pack(stamp_cmp(&s->since, &theirs.since) < 0 ? &s->key : &theirs.key, about);
		notice_put(&reg->found,
		           &(struct notice_draft){ "session-superseded", &s->key.uid, slice_of(about, sizeof(about)),
		                                   slice_of(NULL, 0), slice_of(NULL, 0), &rec->stamp });
	}
}

/* -- roles */

static struct slice role_word(uint8_t role)
{
	return slice_str(role == ROLE_ADMIN ? "admin" : role == ROLE_READER ? "reader" : "member");
}

/* A role that comes behind a later one was given on another side at the same time: operations come in causal order. So was
 * one for somebody who is no member: he had left there. */
static void watch_role(struct registry *reg, const struct record *rec, const struct row *before,
                       const struct row *incoming)
{
	struct role_row mine = { .role = 0 }, theirs;
	uint8_t about[32 + STAMP_WIRE_SIZE];
	struct buf at = { 0 };
	struct id16 owner;

	role_row_read(incoming, &theirs);
	if (before != NULL)
		role_row_read(before, &mine);
	stamp_put(&at, &theirs.at);
	if (at.failed) {
		reg->found.failed = true;
		buf_free(&at);
		return;
	}
	memcpy(about, theirs.gid.b, 16);
	memcpy(about + 16, theirs.uid.b, 16);
	memcpy(about + 32, at.data, STAMP_WIRE_SIZE);
	buf_free(&at);
	if (!group_is_member(reg, &theirs.gid, &theirs.uid)) {
		if (group_owner(reg, &theirs.gid, &owner))
			notice_put(&reg->found,
			           &(struct notice_draft){ "role-void", &owner, slice_of(about, sizeof(about)),
			                                   notice_group_name(reg, &theirs.gid),
			                                   notice_user_name(reg, &theirs.uid), &rec->stamp });
	} else if (mine.role != theirs.role && stamp_cmp(&mine.at, &theirs.at) > 0) {
		notice_put(&reg->found, &(struct notice_draft){ "role-lost", &theirs.uid, slice_of(about, sizeof(about)),
		                                                notice_group_name(reg, &theirs.gid),
		                                                role_word(theirs.role),
		                                                &rec->stamp });
	}
}

/* -- names */

enum { LOSERS_MAX = 32 };

static const char *const lost_kinds[] = { [NAME_USER] = "name-lost-user", [NAME_GROUP] = "name-lost-group",
	                                  [NAME_FILE] = "name-lost-file" };
static const char *const won_kinds[] = { [NAME_USER] = "name-won-back-user", [NAME_GROUP] = "name-won-back-group",
	                                 [NAME_FILE] = "name-won-back-file" };

static bool who_claims(const struct registry *reg, enum name_kind kind, const struct claim *c, struct id16 *whom)
{
	switch (kind) {
	case NAME_USER: *whom = c->id; return true;
	case NAME_GROUP: return group_owner(reg, &c->id, whom);
	case NAME_FILE: break;
	}
	*whom = ((const struct file_row *)c->view)->uploader;
	return true;
}

/* Whoever has the name now, if he was told once that he lost it. What ends a claim: the last member leaves a group, or it
 * is deleted; a file loses its last seeder; a claim yields. */
static void watch_freed(struct registry *reg, const struct record *rec, enum name_kind kind, const struct id16 *gid,
                        struct slice name)
{
	struct claim winner = claims_winner(reg, kind, gid, name);
	struct slice about = slice_of(winner.id.b, sizeof(winner.id.b));
	struct id16 whom, id;

	if (winner.view == NULL || !who_claims(reg, kind, &winner, &whom))
		return;
	notice_id(lost_kinds[kind], &whom, about, &id);
	if (registry_notice(reg, &id) == NULL)
		return;
	notice_put(&reg->found, &(struct notice_draft){ won_kinds[kind], &whom, about,
	                                                gid != NULL ? notice_group_name(reg, gid) : slice_of(NULL, 0),
	                                                name, &rec->stamp });
}

/* Every live claim on the name but the first: they show as aliases from now on. */
static void watch_name(struct registry *reg, const struct record *rec, enum name_kind kind, const struct id16 *gid,
                       struct slice name)
{
	struct claim claims[LOSERS_MAX];
	char plain[NAME_SHOWN_MAX], alias[NAME_SHOWN_MAX];
	size_t n = claims_list(reg, kind, gid, name, claims, COUNT_OF(claims));

	slice_to_str(name, plain, sizeof(plain));
	for (size_t i = 1; i < n; i++) {
		struct id16 whom;
		if (!who_claims(reg, kind, &claims[i], &whom))
			continue;
		name_alias(kind, plain, claims[i].id.b, alias);
		notice_put(&reg->found,
		           &(struct notice_draft){ lost_kinds[kind], &whom, slice_of(claims[i].id.b, sizeof(claims[i].id.b)),
		                                   gid != NULL ? notice_group_name(reg, gid) : slice_of(NULL, 0),
		                                   slice_str(alias), &rec->stamp });
	}
}

static void watch_claims(struct registry *reg, const struct record *rec, const struct wire_row *row)
{
	struct id16 id;

	memcpy(id.b, row->key.data, sizeof(id.b));
	if (row->table == TABLE_USER) {
		const struct user_row *user = registry_user(reg, &id);
		if (user != NULL)
			watch_name(reg, rec, NAME_USER, NULL, user->name);
	} else if (row->table == TABLE_GROUP || row->table == TABLE_MEM) {
		const struct group_row *group = registry_group(reg, &id); /* a group may live again by an accept */
		if (group != NULL)
			watch_name(reg, rec, NAME_GROUP, NULL, group->name);
	} else if (row->table == TABLE_FILE) {
		struct id16 fid;
		memcpy(fid.b, row->key.data + 16, sizeof(fid.b));
		const struct file_row *file = registry_file(reg, &id, &fid);
		if (file != NULL)
			watch_name(reg, rec, NAME_FILE, &id, file->name);
	}
}

/* -- shares of those who are no members */

static void watch_left(struct registry *reg, const struct record *rec, const struct wire_row *row)
{
	struct id16 gid, uid;
	const struct share_row *s;

	memcpy(gid.b, row->key.data, sizeof(gid.b));
	memcpy(uid.b, row->key.data + (row->table == TABLE_MEM ? 16 : 32), sizeof(uid.b));
	if (group_is_member(reg, &gid, &uid))
		return;
	struct registry_iter it = registry_by(reg, INDEX_MEMBER_SHARES, gid.b, 16, uid.b, 16);
	while ((s = registry_next(&it)) != NULL)
		notice_draft_share(reg, "upload-hidden", s, &rec->stamp, &reg->found);
}

static bool concerns_shares(const struct record *rec, const struct wire_row *row)
{
	if (row->table == TABLE_MEM)
		return rec->op == OP_LEAVE_GROUP || rec->op == OP_REMOVE_MEMBER || rec->op == OP_DELETE_GROUP;
	return row->table == TABLE_SHARE && (rec->op == OP_UPLOAD_FILE_DATA || rec->op == OP_UPDATE_FILE_INFO);
}

/* -- names that are free again */

static void freed_by_group(struct registry *reg, const struct record *rec, const struct id16 *gid)
{
	const struct group_row *group = registry_group(reg, gid);
	if (group != NULL && !group_lives(reg, gid))
		watch_freed(reg, rec, NAME_GROUP, NULL, group->name);
}

static void freed_by_share(struct registry *reg, const struct record *rec, const struct wire_row *row)
{
	struct id16 gid, fid;

	memcpy(gid.b, row->key.data, sizeof(gid.b));
	memcpy(fid.b, row->key.data + 16, sizeof(fid.b));
	const struct file_row *file = registry_file(reg, &gid, &fid);
	if (file != NULL && group_lives(reg, &gid) && !file_has_seeder(reg, &gid, &fid))
		watch_freed(reg, rec, NAME_FILE, &gid, file->name);
}

static void freed_by_yield(struct registry *reg, const struct record *rec, const struct wire_row *row)
{
	struct id16 id, fid;

	memcpy(id.b, row->key.data, sizeof(id.b));
	const struct user_row *user = row->table == TABLE_USER ? registry_user(reg, &id) : NULL;
	if (user != NULL)
		watch_freed(reg, rec, NAME_USER, NULL, user->name);
	const struct group_row *group = row->table == TABLE_GROUP ? registry_group(reg, &id) : NULL;
	if (group != NULL)
		watch_freed(reg, rec, NAME_GROUP, NULL, group->name);
	if (row->table != TABLE_FILE)
		return;
	memcpy(fid.b, row->key.data + 16, sizeof(fid.b));
	const struct file_row *file = registry_file(reg, &id, &fid);
	if (file != NULL)
		watch_freed(reg, rec, NAME_FILE, &id, file->name);
}

static bool may_free(const struct record *rec)
{
	return rec->op == OP_LEAVE_GROUP || rec->op == OP_REMOVE_MEMBER || rec->op == OP_DELETE_GROUP ||
	       rec->op == OP_STOP_SHARE || rec->op == OP_YIELD;
}

void notice_names_freed(struct registry *reg, const struct record *rec)
{
	struct cursor c = cursor_of(rec->rows.data, rec->rows.len);
	struct id16 last = { { 0 } }, id;

	while (may_free(rec) && cursor_left(&c) != 0) {
		struct wire_row row;
		wire_row_get(&c, &row);
		if (row.key.len < sizeof(id.b))
			continue;
		memcpy(id.b, row.key.data, sizeof(id.b));
		if (row.table == TABLE_SHARE)
			freed_by_share(reg, rec, &row);
		else if (rec->op == OP_YIELD)
			freed_by_yield(reg, rec, &row);
		else if ((row.table == TABLE_MEM || row.table == TABLE_GROUP) && !id16_eq(&last, &id))
			freed_by_group(reg, rec, &id);
		last = id;
	}
}

/* -- owners */

static bool next_gid(struct cursor *c, struct id16 *gid)
{
	struct wire_row row;

	while (!c->bad && cursor_left(c) != 0) {
		wire_row_get(c, &row);
		if (c->bad || (row.table != TABLE_MEM && row.table != TABLE_GROUP) || row.key.len < sizeof(gid->b))
			continue;
		memcpy(gid->b, row.key.data, sizeof(gid->b));
		return true;
	}
	return false;
}

enum shoal_err notice_owners_before(const struct registry *reg, const struct record *rec, struct owners *out)
{
	struct cursor count = cursor_of(rec->rows.data, rec->rows.len), c = count;
	struct id16 gid;
	size_t most = 0;

	*out = (struct owners){ 0 };
	while (next_gid(&count, &gid))
		most++;
	if (most == 0)
		return SHOAL_OK;
	out->list = try_alloc(most * sizeof(*out->list));
	if (out->list == NULL)
		return SHOAL_EBUSY;
	while (next_gid(&c, &gid)) {
		if (out->n != 0 && id16_eq(&out->list[out->n - 1].gid, &gid))
			continue;
		struct owner_before *o = &out->list[out->n++];
		o->gid = gid;
		o->had = group_owner(reg, &gid, &o->uid);
	}
	return SHOAL_OK;
}

static void watch_owners(struct registry *reg, const struct record *rec, const struct owners *before)
{
	for (size_t i = 0; rec->op != OP_CREATE_GROUP && i < before->n; i++) {
		const struct owner_before *o = &before->list[i];
		struct id16 now;
		if (group_owner(reg, &o->gid, &now) && (!o->had || !id16_eq(&now, &o->uid)))
			notice_draft_owner(reg, &o->gid, &now, &rec->stamp, &reg->found);
	}
}

/* -- the ways in */

void notice_merged(struct registry *reg, const struct record *rec, const struct row *before, const struct row *incoming,
                   bool ignored)
{
	if (incoming->table == TABLE_MEM)
		watch_mem(reg, rec, before, incoming, ignored);
	else if (incoming->table == TABLE_SESS && before == NULL && !ignored && rec->op == OP_LOGIN)
		watch_sess(reg, rec, incoming);
	else if (incoming->table == TABLE_ROLE && rec->op == OP_SET_ROLE)
		watch_role(reg, rec, before, incoming);
}

void notice_dropped(struct registry *reg, const struct row *before, const struct vvec *sender, const struct stamp *at)
{
	struct mem_row m;

	if (before->table != TABLE_MEM)
		return;
	mem_row_read(before, &m);
	if (m.phase == MEM_MEMBER && !vvec_covers(sender, m.accept.dot))
		accept_void(reg, &m, at);
}

void notice_arrived(struct registry *reg, const struct record *rec, const struct row *row)
{
	struct wire_row wire = { .table = row->table, .key = row_key(row) };
	if (row->table == TABLE_USER || row->table == TABLE_GROUP || row->table == TABLE_FILE)
		watch_claims(reg, rec, &wire);
}

void notice_record_done(struct registry *reg, const struct record *rec, const struct owners *before)
{
	struct cursor c = cursor_of(rec->rows.data, rec->rows.len);

	watch_owners(reg, rec, before);
	while (cursor_left(&c) != 0) {
		struct wire_row row;
		wire_row_get(&c, &row);
		if (rec->op == OP_CREATE_USER || rec->op == OP_CREATE_GROUP || rec->op == OP_ACCEPT_REQUEST ||
		    rec->op == OP_UPLOAD_FILE_DATA || rec->op == OP_YIELD)
			watch_claims(reg, rec, &row);
		if (concerns_shares(rec, &row))
			watch_left(reg, rec, &row);
	}
}
