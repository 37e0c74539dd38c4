/* core/registry/group_manager.c - the commands; views are group_view.c. */
#include "core/registry/group_manager.h"

#include <string.h>

#include "core/registry/claims.h"
#include "core/registry/deltas.h"
#include "core/registry/notice.h"
#include "core/registry/user_manager.h"

/* -- rows */

static void put_mem(struct op *op, const struct id16 *gid, const struct id16 *uid, enum mem_phase phase)
{
	struct mem_key key = { .gid = *gid, .uid = *uid, .dot = op->stamp.dot };
	uint8_t packed[MEM_KEY_SIZE];
	struct row_build rb;

	mem_key_pack(&key, packed);
	row_begin(&rb, &op->rows, TABLE_MEM, packed, sizeof(packed));
	row_put_u8(&rb, MEM_PHASE, (uint8_t)phase);
	if (phase == MEM_MEMBER)
		row_put_stamp_id(&rb, MEM_ACCEPT, &op->stamp, uid);
	row_put_stamp(&rb, MEM_SINCE, &op->stamp);
	row_end(&rb);
}

static void put_accept(struct op *op, const struct mem_row *m, const struct id16 *by)
{
	uint8_t packed[MEM_KEY_SIZE];
	struct row_build rb;

	mem_key_pack(&m->key, packed);
	row_begin(&rb, &op->rows, TABLE_MEM, packed, sizeof(packed));
	row_put_u8(&rb, MEM_PHASE, MEM_MEMBER);
	row_put_stamp_id(&rb, MEM_ACCEPT, &op->stamp, by);
	row_end(&rb);
}

/* Says which accept it knew, so that a merge can tell an accept that it undoes. */
static void put_close(struct op *op, const struct mem_row *m, const struct closing *close)
{
	uint8_t packed[MEM_KEY_SIZE];
	struct row_build rb;

	mem_key_pack(&m->key, packed);
	row_begin(&rb, &op->rows, TABLE_MEM, packed, sizeof(packed));
	row_put_u8(&rb, MEM_PHASE, MEM_CLOSED);
	if (!stamp_is_zero(&m->accept))
		row_put_stamp_id(&rb, MEM_ACCEPT, &m->accept, &m->accepted_by);
	row_put_closing(&rb, MEM_CLOSE, close);
	row_end(&rb);
}

/* Every instance of the user in the group, and his shares there. */
static void put_departure(const struct registry *reg, struct op *op, const struct id16 *gid, const struct id16 *uid,
                          const struct closing *close)
{
	struct registry_iter mems = registry_by(reg, INDEX_MEMBER, gid->b, 16, uid->b, 16);
	const struct mem_row *m;

	while ((m = registry_next(&mems)) != NULL)
		put_close(op, m, close);
	(void)delta_put_member_stops(reg, op, gid, uid, &close->by, close->reason); /* group_stop_shares() left what fits */
}

/* Shares, memberships and requests of everybody, as many as fit. */
static void put_end(const struct registry *reg, struct op *op, const struct id16 *gid, const struct id16 *by)
{
	struct closing close = { .at = op->stamp, .by = *by, .reason = CLOSE_DELETED };
	struct registry_iter files = registry_by(reg, INDEX_GROUP_FILES, gid->b, 16, NULL, 0);
	struct registry_iter mems = registry_by(reg, INDEX_GROUP_MEMS, gid->b, 16, NULL, 0);
	const struct file_row *file;
	const struct mem_row *m;

	while ((file = registry_next(&files)) != NULL) {
		struct registry_iter shares = registry_by(reg, INDEX_FILE_SHARES, gid->b, 16, file->fid.b, 16);
		const struct share_row *s;
		while (delta_has_room(op) && (s = registry_next(&shares)) != NULL)
			delta_put_share_stop(op, s, by, CLOSE_DELETED);
	}
	while (delta_has_room(op) && (m = registry_next(&mems)) != NULL)
		put_close(op, m, &close);
}

static void put_owner(struct op *op, const struct id16 *gid, uint32_t generation, const struct id16 *owner)
{
	struct buf b = { 0 };
	struct row_build rb;

	buf_put_u32(&b, generation);
	stamp_put(&b, &op->stamp);
	buf_put(&b, owner->b, sizeof(owner->b));
	if (b.failed)
		op->rows.failed = true;
	row_begin(&rb, &op->rows, TABLE_GROUP, gid->b, sizeof(gid->b));
	row_put(&rb, GROUP_OWNER, b.data, b.len);
	row_end(&rb);
	buf_free(&b);
}

static void put_role(struct op *op, const struct id16 *gid, const struct id16 *who, enum member_role role)
{
	uint8_t key[32];
	struct buf b = { 0 };
	struct row_build rb;

	memcpy(key, gid->b, 16);
	memcpy(key + 16, who->b, 16);
	stamp_put(&b, &op->stamp);
	buf_put_u8(&b, (uint8_t)role);
	if (b.failed)
		op->rows.failed = true;
	row_begin(&rb, &op->rows, TABLE_ROLE, key, sizeof(key));
	row_put(&rb, ROLE_ROLE, b.data, b.len);
	row_end(&rb);
	buf_free(&b);
}

/* -- who may */

static enum shoal_err check_lives(const struct registry *reg, const struct id16 *gid, struct error *e)
{
	char name[NAME_SHOWN_MAX];
	if (group_lives(reg, gid))
		return SHOAL_OK;
	if (registry_group(reg, gid) == NULL)
		return error_set(e, SHOAL_ENOTFOUND, "no such group");
	return error_set(e, SHOAL_ENOTFOUND, "group '%s' has ended", group_shown(reg, gid, name));
}

static enum shoal_err check_owner(const struct registry *reg, const struct id16 *gid, const struct id16 *uid,
                                  const char *what, struct error *e)
{
	char name[NAME_SHOWN_MAX];
	enum shoal_err rc = check_lives(reg, gid, e);

	if (rc == SHOAL_OK)
		rc = group_check_member(reg, gid, uid, e);
	if (rc != SHOAL_OK || group_is_owner(reg, gid, uid))
		return rc;
	return error_set(e, SHOAL_EDENIED, "only the owner of '%s' may %s", group_shown(reg, gid, name), what);
}

static enum shoal_err check_admin(const struct registry *reg, const struct id16 *gid, const struct id16 *uid,
                                  const char *what, struct error *e)
{
	char name[NAME_SHOWN_MAX];
	enum shoal_err rc = check_lives(reg, gid, e);

	if (rc == SHOAL_OK)
		rc = group_check_member(reg, gid, uid, e);
	if (rc != SHOAL_OK || group_is_admin(reg, gid, uid))
		return rc;
	return error_set(e, SHOAL_EDENIED, "only the owner or an admin of '%s' may %s", group_shown(reg, gid, name), what);
}

static enum shoal_err check_asked(const struct registry *reg, const struct id16 *gid, const struct id16 *who,
                                  struct error *e)
{
	char group[NAME_SHOWN_MAX], user[NAME_SHOWN_MAX];

	if (group_is_member(reg, gid, who))
		return error_set(e, SHOAL_EEXISTS, "'%s' is a member of '%s' already", user_shown(reg, who, user),
		                 group_shown(reg, gid, group));
	if (!group_has_asked(reg, gid, who))
		return error_set(e, SHOAL_ENOTFOUND, "no request of '%s' to join '%s'", user_shown(reg, who, user),
		                 group_shown(reg, gid, group));
	return SHOAL_OK;
}

static enum shoal_err check_other_member(const struct registry *reg, const struct id16 *gid, const struct id16 *who,
                                         struct error *e)
{
	char group[NAME_SHOWN_MAX], user[NAME_SHOWN_MAX];

	if (group_is_member(reg, gid, who))
		return SHOAL_OK;
	return error_set(e, SHOAL_ENOTFOUND, "'%s' is not a member of '%s'", user_shown(reg, who, user),
	                 group_shown(reg, gid, group));
}

static enum shoal_err check_reason(struct slice reason, struct error *e)
{
	if (reason.len > REASON_MAX || !utf8_valid(reason.data, reason.len))
		return error_set(e, SHOAL_EUSAGE, "a reason is UTF-8 text of at most %d bytes", REASON_MAX);
	return SHOAL_OK;
}

/* -- commands */

enum shoal_err group_create(const struct registry *reg, struct op *op, const struct id16 *uid, struct slice name,
                            struct id16 *gid, struct error *e)
{
	enum shoal_err rc = name_check(NAME_GROUP, name.data, name.len, e);
	struct row_build rb;

	if (rc != SHOAL_OK)
		return rc;
	if (claims_winner(reg, NAME_GROUP, NULL, name).view != NULL)
		return error_set(e, SHOAL_EEXISTS, "group '%.*s' exists already", (int)name.len, (const char *)name.data);
	gid_of(uid, name, &op->request, gid);
	row_begin(&rb, &op->rows, TABLE_GROUP, gid->b, sizeof(gid->b));
	row_put(&rb, GROUP_NAME, name.data, name.len);
	row_put(&rb, GROUP_CREATOR, uid->b, sizeof(uid->b));
	row_put_stamp(&rb, GROUP_CLAIM, &op->stamp);
	row_end(&rb);
	put_mem(op, gid, uid, MEM_MEMBER);
	return SHOAL_OK;
}

enum shoal_err group_join(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                          struct error *e)
{
	char name[NAME_SHOWN_MAX];
	enum shoal_err rc = check_lives(reg, gid, e);

	if (rc != SHOAL_OK)
		return rc;
	if (group_is_member(reg, gid, uid))
		return error_set(e, SHOAL_EEXISTS, "a member of '%s' already", group_shown(reg, gid, name));
	if (group_has_asked(reg, gid, uid))
		return error_set(e, SHOAL_EEXISTS, "asked to join '%s' already", group_shown(reg, gid, name));
	put_mem(op, gid, uid, MEM_ASKED);
	return SHOAL_OK;
}

enum shoal_err group_accept(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                            const struct id16 *who, struct error *e)
{
	struct registry_iter it = registry_by(reg, INDEX_MEMBER, gid->b, 16, who->b, 16);
	enum shoal_err rc = check_admin(reg, gid, uid, "accept requests", e);
	const struct mem_row *m;

	if (rc == SHOAL_OK)
		rc = check_asked(reg, gid, who, e);
	while (rc == SHOAL_OK && (m = registry_next(&it)) != NULL)
		if (m->phase == MEM_ASKED)
			put_accept(op, m, uid);
	return rc;
}

enum shoal_err group_accept_as(const struct registry *reg, struct op *op, const struct id16 *uid,
                               const struct id16 *gid, const struct id16 *who, enum member_role role, struct error *e)
{
	enum shoal_err rc = role == ROLE_MEMBER ? SHOAL_OK : check_owner(reg, gid, uid, "give roles", e);

	if (rc == SHOAL_OK)
		rc = group_accept(reg, op, uid, gid, who, e);
	if (rc == SHOAL_OK && role != ROLE_MEMBER)
		put_role(op, gid, who, role);
	return rc;
}

enum shoal_err group_role_parse(struct slice word, enum member_role *role, struct error *e)
{
	if (slice_eq_str(word, "admin"))
		*role = ROLE_ADMIN;
	else if (slice_eq_str(word, "member"))
		*role = ROLE_MEMBER;
	else if (slice_eq_str(word, "reader"))
		*role = ROLE_READER;
	else
		return error_set(e, SHOAL_EUSAGE, "a role is 'admin', 'member' or 'reader'");
	return SHOAL_OK;
}

enum shoal_err group_set_role(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                              const struct id16 *who, enum member_role role, struct error *e)
{
	char group[NAME_SHOWN_MAX];
	enum shoal_err rc = check_owner(reg, gid, uid, "give roles", e);

	if (rc == SHOAL_OK)
		rc = check_other_member(reg, gid, who, e);
	if (rc == SHOAL_OK && group_is_owner(reg, gid, who))
		rc = error_set(e, SHOAL_EUSAGE, "the owner of '%s' has all rights already: hand the group over first",
		               group_shown(reg, gid, group));
	if (rc == SHOAL_OK && group_given_role(reg, gid, who) != role)
		put_role(op, gid, who, role);
	return rc;
}

enum shoal_err group_reject(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                            const struct id16 *who, struct slice reason, struct error *e)
{
	struct registry_iter it = registry_by(reg, INDEX_MEMBER, gid->b, 16, who->b, 16);
	struct closing close = { .at = op->stamp, .by = *uid, .reason = CLOSE_REJECTED, .text = reason };
	enum shoal_err rc = check_reason(reason, e);
	const struct mem_row *m;

	if (rc == SHOAL_OK)
		rc = check_admin(reg, gid, uid, "reject requests", e);
	if (rc == SHOAL_OK)
		rc = check_asked(reg, gid, who, e);
	while (rc == SHOAL_OK && (m = registry_next(&it)) != NULL)
		put_close(op, m, &close);
	return rc;
}

static uint32_t next_generation(const struct registry *reg, const struct id16 *gid)
{
	const struct group_row *group = registry_group(reg, gid);
	return group != NULL && group->owner_generation != UINT32_MAX ? group->owner_generation + 1 : UINT32_MAX;
}

enum shoal_err group_leave(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                           const struct id16 *successor, struct error *e)
{
	struct closing close = { .at = op->stamp, .by = *uid, .reason = CLOSE_OWN };
	char name[NAME_SHOWN_MAX];
	enum shoal_err rc = check_lives(reg, gid, e);

	if (rc != SHOAL_OK)
		return rc;
	if (!group_is_member(reg, gid, uid) && !group_has_asked(reg, gid, uid))
		return error_set(e, SHOAL_EDENIED, "not a member of '%s'", group_shown(reg, gid, name));
	if (successor != NULL) {
		rc = check_owner(reg, gid, uid, "name a successor", e);
		if (rc == SHOAL_OK && id16_eq(successor, uid))
			rc = error_set(e, SHOAL_EUSAGE, "who leaves cannot be the successor");
		if (rc == SHOAL_OK)
			rc = check_other_member(reg, gid, successor, e);
		if (rc != SHOAL_OK)
			return rc;
		put_owner(op, gid, next_generation(reg, gid), successor);
	}
	notice_put_heir(reg, op, gid, uid, successor);
	put_departure(reg, op, gid, uid, &close);
	return SHOAL_OK;
}

enum shoal_err group_remove_member(const struct registry *reg, struct op *op, const struct id16 *uid,
                                   const struct id16 *gid, const struct id16 *who, struct slice reason,
                                   struct error *e)
{
	struct closing close = { .at = op->stamp, .by = *uid, .reason = CLOSE_REMOVED, .text = reason };
	enum shoal_err rc = check_reason(reason, e);

	if (rc == SHOAL_OK)
		rc = check_admin(reg, gid, uid, "remove members", e);
	if (rc == SHOAL_OK && group_is_owner(reg, gid, who))
		rc = error_set(e, SHOAL_EUSAGE, "the owner cannot be removed: leave the group instead");
	if (rc == SHOAL_OK)
		rc = check_other_member(reg, gid, who, e);
	if (rc == SHOAL_OK && group_is_admin(reg, gid, who))
		rc = check_owner(reg, gid, uid, "remove an admin", e);
	if (rc == SHOAL_OK)
		put_departure(reg, op, gid, who, &close);
	return rc;
}

enum shoal_err group_transfer(const struct registry *reg, struct op *op, const struct id16 *uid,
                              const struct id16 *gid, const struct id16 *who, struct error *e)
{
	char group[NAME_SHOWN_MAX];
	enum shoal_err rc = check_owner(reg, gid, uid, "hand it over", e);

	if (rc == SHOAL_OK && id16_eq(uid, who))
		rc = error_set(e, SHOAL_EEXISTS, "owner of '%s' already", group_shown(reg, gid, group));
	if (rc == SHOAL_OK)
		rc = check_other_member(reg, gid, who, e);
	if (rc == SHOAL_OK)
		put_owner(op, gid, next_generation(reg, gid), who);
	return rc;
}

enum shoal_err group_delete(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                            struct error *e)
{
	enum shoal_err rc = check_owner(reg, gid, uid, "delete it", e);
	struct row_build rb;

	if (rc != SHOAL_OK)
		return rc;
	row_begin(&rb, &op->rows, TABLE_GROUP, gid->b, sizeof(gid->b));
	row_put_stamp_id(&rb, GROUP_DELETED, &op->stamp, uid);
	row_end(&rb);
	put_end(reg, op, gid, uid);
	return SHOAL_OK;
}

/* -- in several records */

enum { BESIDE_A_DEPARTURE = 1000 }; /* shares: half a record */

void group_stop_shares(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                       const struct id16 *who)
{
	struct registry_iter shares = registry_by(reg, INDEX_MEMBER_SHARES, gid->b, 16, who->b, 16);
	enum close_reason reason = id16_eq(uid, who) ? CLOSE_OWN : CLOSE_REMOVED;
	size_t n = 0;

	while (n <= BESIDE_A_DEPARTURE && registry_next(&shares) != NULL)
		n++;
	if (n > BESIDE_A_DEPARTURE)
		(void)delta_put_member_stops(reg, op, gid, who, uid, reason);
}

void group_sweep(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid)
{
	const struct group_row *group = registry_group(reg, gid);
	if (group != NULL && group->deleted)
		put_end(reg, op, gid, uid);
}
