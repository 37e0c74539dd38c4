/* core/registry/file_manager.c - the commands; views are file_view.c. */
#include "core/registry/file_manager.h"

#include <string.h>

#include "core/registry/claims.h"
#include "core/registry/deltas.h"
#include "core/registry/group_manager.h"
#include "core/registry/notice.h"
#include "core/registry/store.h"

/* -- rows */

static void put_file(struct op *op, const struct id16 *gid, const struct id16 *fid, const struct upload *up,
                     const struct id16 *uploader)
{
	uint8_t key[32];
	struct row_build rb;

	memcpy(key, gid->b, 16);
	memcpy(key + 16, fid->b, 16);
	row_begin(&rb, &op->rows, TABLE_FILE, key, sizeof(key));
	row_put(&rb, FILE_NAME, up->name.data, up->name.len);
	row_put(&rb, FILE_CONTENT, up->content.b, sizeof(up->content.b));
	row_put_u64(&rb, FILE_SIZE, up->size);
	row_put(&rb, FILE_HASH, up->file_hash.b, sizeof(up->file_hash.b));
	row_put_stamp_id(&rb, FILE_CLAIM, &op->stamp, uploader);
	row_end(&rb);
}

static void put_content(struct op *op, const struct upload *up)
{
	uint32_t p = up->piece_size;
	uint8_t piece_size[4] = { (uint8_t)(p >> 24), (uint8_t)(p >> 16), (uint8_t)(p >> 8), (uint8_t)p };
	struct row_build rb;

	row_begin(&rb, &op->rows, TABLE_CONTENT, up->content.b, sizeof(up->content.b));
	row_put_u64(&rb, CONTENT_SIZE, up->size);
	row_put(&rb, CONTENT_PIECE_LEN, piece_size, sizeof(piece_size));
	row_end(&rb);
}

static void put_share(struct op *op, const struct id16 *gid, const struct id16 *fid, const struct id16 *uid,
                      const struct id32 *device)
{
	struct share_key key = { .gid = *gid, .fid = *fid, .uid = *uid, .dot = op->stamp.dot };
	uint8_t packed[SHARE_KEY_SIZE];
	struct row_build rb;

	share_key_pack(&key, packed);
	row_begin(&rb, &op->rows, TABLE_SHARE, packed, sizeof(packed));
	row_put_u8(&rb, SHARE_PHASE, PHASE_OPEN);
	row_put(&rb, SHARE_DEVICE, device->b, sizeof(device->b));
	row_put_stamp(&rb, SHARE_SINCE, &op->stamp);
	row_end(&rb);
}

/* -- commands */

static enum shoal_err check_upload(const struct registry *reg, const struct id16 *gid, const struct id16 *uid,
                                   const struct upload *up, struct error *e)
{
	enum shoal_err rc = name_check(NAME_FILE, up->name.data, up->name.len, e);

	if (rc == SHOAL_OK)
		rc = group_check_share(reg, gid, uid, e);
	if (rc == SHOAL_OK && up->piece_size != CONTENT_PIECE_SIZE)
		rc = error_set(e, SHOAL_EUSAGE, "a piece size of %u: only %u is known", up->piece_size, CONTENT_PIECE_SIZE);
	if (rc == SHOAL_OK && up->size > CONTENT_SIZE_MAX)
		rc = error_set(e, SHOAL_EUSAGE, "files over 8 TiB cannot be shared");
	return rc;
}

enum shoal_err file_upload(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id32 *device,
                           const struct id16 *gid, const struct upload *up, struct id16 *fid, bool *joined,
                           struct error *e)
{
	char group[NAME_SHOWN_MAX];
	enum shoal_err rc = check_upload(reg, gid, uid, up, e);

	if (rc != SHOAL_OK)
		return rc;
	struct claim winner = claims_winner(reg, NAME_FILE, gid, up->name);
	fid_of(gid, up->name, &up->content, fid);
	if (winner.view != NULL && !id16_eq(&winner.id, fid))
		return error_set(e, SHOAL_EEXISTS, "'%.*s' exists already in '%s', with other content", (int)up->name.len,
		                 (const char *)up->name.data, group_shown(reg, gid, group));
	*joined = winner.view != NULL;
	if (file_shared_by(reg, gid, fid, uid, device))
		return SHOAL_OK;
	put_file(op, gid, fid, up, uid);
	put_content(op, up);
	put_share(op, gid, fid, uid, device);
	return SHOAL_OK;
}

enum shoal_err file_share(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id32 *device,
                          const struct id16 *gid, const struct id16 *fid, struct error *e)
{
	enum shoal_err rc = group_check_share(reg, gid, uid, e);

	if (rc != SHOAL_OK)
		return rc;
	if (registry_file(reg, gid, fid) == NULL)
		return error_set(e, SHOAL_ENOTFOUND, "no such file");
	if (!file_shared_by(reg, gid, fid, uid, device))
		put_share(op, gid, fid, uid, device);
	return SHOAL_OK;
}

static bool is_online(const struct presence *presence, const struct share_row *s)
{
	return presence == NULL || presence->online(presence->ctx, &s->key.uid, &s->device);
}

/* Whether somebody else who shares the file, and may, is online. */
static bool another_online(const struct registry *reg, const struct id16 *gid, const struct id16 *fid,
                           const struct id16 *uid, const struct presence *presence)
{
	struct registry_iter it = registry_by(reg, INDEX_FILE_SHARES, gid->b, 16, fid->b, 16);
	const struct share_row *s;

	while ((s = registry_next(&it)) != NULL)
		if (!id16_eq(&s->key.uid, uid) && group_may_share(reg, gid, &s->key.uid) && is_online(presence, s))
			return true;
	return false;
}

static bool shares(const struct registry *reg, const struct id16 *gid, const struct id16 *fid, const struct id16 *uid)
{
	struct registry_iter it = registry_by(reg, INDEX_FILE_SHARES, gid->b, 16, fid->b, 16);
	const struct share_row *s;

	while ((s = registry_next(&it)) != NULL)
		if (id16_eq(&s->key.uid, uid))
			return true;
	return false;
}

static void put_stops(const struct registry *reg, struct op *op, const struct id16 *gid, const struct id16 *fid,
                      const struct id16 *uid, bool own)
{
	struct registry_iter it = registry_by(reg, INDEX_FILE_SHARES, gid->b, 16, fid->b, 16);
	const struct share_row *s;

	while ((s = registry_next(&it)) != NULL && delta_has_room(op)) {
		if (id16_eq(&s->key.uid, uid) != own)
			continue;
		delta_put_share_stop(op, s, uid, own ? CLOSE_OWN : CLOSE_REMOVED);
		if (!own)
			notice_put_share_removed(reg, op, s);
	}
}

enum shoal_err file_stop(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                         const struct id16 *fid, const struct presence *presence, bool *removed, struct error *e)
{
	char group[NAME_SHOWN_MAX], file[NAME_SHOWN_MAX];

	enum shoal_err rc = group_check_member(reg, gid, uid, e);
	if (rc != SHOAL_OK)
		return rc;
	if (!shares(reg, gid, fid, uid))
		return error_set(e, SHOAL_ENOTFOUND, "'%s' in '%s' is not shared by you", file_shown(reg, gid, fid, file),
		                 group_shown(reg, gid, group));
	put_stops(reg, op, gid, fid, uid, true);
	*removed = !another_online(reg, gid, fid, uid, presence);
	if (*removed)
		put_stops(reg, op, gid, fid, uid, false);
	return SHOAL_OK;
}

enum { BESIDE_A_STOP = 200 }; /* others' shares, with a notice each: half a record */

void file_stop_others(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id16 *gid,
                      const struct id16 *fid, const struct presence *presence)
{
	struct registry_iter it = registry_by(reg, INDEX_FILE_SHARES, gid->b, 16, fid->b, 16);
	size_t n = 0;

	while (n <= BESIDE_A_STOP && registry_next(&it) != NULL)
		n++;
	if (n > BESIDE_A_STOP && !another_online(reg, gid, fid, uid, presence))
		put_stops(reg, op, gid, fid, uid, false);
}
