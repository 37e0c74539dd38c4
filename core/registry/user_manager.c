/* core/registry/user_manager.c */
#include "core/registry/user_manager.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/registry/claims.h"

/* -- rows */

static void put_session(struct op *op, const struct id16 *uid, const struct id32 *device, const struct stamp *password_at)
{
	struct sess_key key = { .uid = *uid, .dot = op->stamp.dot };
	uint8_t packed[SESS_KEY_SIZE];
	struct row_build rb;

	sess_key_pack(&key, packed);
	row_begin(&rb, &op->rows, TABLE_SESS, packed, sizeof(packed));
	row_put_u8(&rb, SESS_PHASE, PHASE_OPEN);
	row_put(&rb, SESS_DEVICE, device->b, sizeof(device->b));
	row_put_stamp(&rb, SESS_PASSWORD_AT, password_at);
	row_put_stamp(&rb, SESS_SINCE, &op->stamp);
	row_end(&rb);
}

static void put_session_end(struct op *op, const struct sess_row *s, enum close_reason reason)
{
	struct closing close = { .at = op->stamp, .by = s->key.uid, .reason = reason };
	uint8_t packed[SESS_KEY_SIZE];
	struct row_build rb;

	sess_key_pack(&s->key, packed);
	row_begin(&rb, &op->rows, TABLE_SESS, packed, sizeof(packed));
	row_put_u8(&rb, SESS_PHASE, PHASE_CLOSED);
	row_put_closing(&rb, SESS_CLOSE, &close);
	row_end(&rb);
}

static void put_password(struct op *op, const struct id16 *uid, struct slice password)
{
	uint8_t value[STAMP_WIRE_SIZE + 160];
	struct buf b = { 0 };
	struct row_build rb;

	stamp_put(&b, &op->stamp);
	if (b.failed || password.len > sizeof(value) - STAMP_WIRE_SIZE) {
		op->rows.failed = true;
		buf_free(&b);
		return;
	}
	memcpy(value, b.data, STAMP_WIRE_SIZE);
	memcpy(value + STAMP_WIRE_SIZE, password.data, password.len);
	buf_free(&b);
	row_begin(&rb, &op->rows, TABLE_USER, uid->b, sizeof(uid->b));
	row_put(&rb, USER_PASSWORD, value, STAMP_WIRE_SIZE + password.len);
	row_end(&rb);
}

static void put_user(struct op *op, const struct id16 *uid, struct slice name)
{
	struct row_build rb;
	row_begin(&rb, &op->rows, TABLE_USER, uid->b, sizeof(uid->b));
	row_put(&rb, USER_NAME, name.data, name.len);
	row_put_stamp(&rb, USER_CLAIM, &op->stamp);
	row_end(&rb);
}

static enum shoal_err no_user(struct error *e)
{
	return error_set(e, SHOAL_ENOTFOUND, "the user is not known here");
}

/* -- commands */

enum shoal_err user_create(const struct registry *reg, struct op *op, struct slice name, struct slice password,
                           struct id16 *uid, struct error *e)
{
	enum shoal_err rc = name_check(NAME_USER, name.data, name.len, e);

	if (rc != SHOAL_OK)
		return rc;
	if (password.len == 0 || password.len > 160)
		return error_set(e, SHOAL_EINTERNAL, "a password record of %zu bytes", password.len);
	if (claims_winner(reg, NAME_USER, NULL, name).view != NULL)
		return error_set(e, SHOAL_EEXISTS, "user '%.*s' exists already", (int)name.len, (const char *)name.data);
	uid_of(name, &op->request, uid);
	put_user(op, uid, name);
	put_password(op, uid, password);
	return SHOAL_OK;
}

/* Closes the open sessions of a device, and of the others the oldest, so that `keep` of them stay. */
static enum shoal_err make_room(const struct registry *reg, struct op *op, const struct id16 *uid,
                                const struct id32 *device, size_t keep, struct error *e)
{
	struct registry_iter it = registry_by(reg, INDEX_USER_SESSIONS, uid->b, sizeof(uid->b), NULL, 0);
	const struct sess_row *s, **list;
	size_t n, left = 0;

	while ((s = registry_next(&it)) != NULL)
		if (id32_eq(&s->device, device))
			put_session_end(op, s, CLOSE_SUPERSEDED);
	if (user_sessions(reg, uid, &list, &n) != SHOAL_OK)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	for (size_t i = 0; i < n; i++)
		left += !id32_eq(&list[i]->device, device);
	for (size_t i = 0; i < n && left > keep; i++) {
		if (id32_eq(&list[i]->device, device))
			continue;
		put_session_end(op, list[i], CLOSE_SUPERSEDED);
		left--;
	}
	free(list);
	return SHOAL_OK;
}

enum shoal_err user_login(const struct registry *reg, struct op *op, const struct id16 *uid, const struct id32 *device,
                          unsigned max_sessions, struct error *e)
{
	const struct user_row *user = registry_user(reg, uid);

	if (user == NULL)
		return no_user(e);
	enum shoal_err rc = make_room(reg, op, uid, device, max_sessions != 0 ? max_sessions - 1 : 0, e);
	if (rc == SHOAL_OK)
		put_session(op, uid, device, &user->password_at);
	return rc;
}

enum shoal_err user_logout(const struct registry *reg, struct op *op, const struct id16 *uid, struct dot session,
                           struct error *e)
{
	const struct sess_row *mine = registry_sess(reg, uid, session), *s;
	struct registry_iter it = registry_by(reg, INDEX_USER_SESSIONS, uid->b, sizeof(uid->b), NULL, 0);

	if (mine == NULL || mine->phase != PHASE_OPEN)
		return error_set(e, SHOAL_EAUTH, "this session has ended already");
	while ((s = registry_next(&it)) != NULL)
		if (s == mine || id32_eq(&s->device, &mine->device))
			put_session_end(op, s, CLOSE_OWN);
	return SHOAL_OK;
}

enum shoal_err user_end_session(const struct registry *reg, struct op *op, const struct id16 *uid, struct dot session,
                                struct error *e)
{
	const struct sess_row *s = registry_sess(reg, uid, session);

	if (s == NULL || s->phase != PHASE_OPEN)
		return error_set(e, SHOAL_ENOTFOUND, "no such session");
	put_session_end(op, s, CLOSE_ENDED);
	return SHOAL_OK;
}

enum shoal_err user_expire_session(const struct registry *reg, struct op *op, const struct id16 *uid, struct dot session,
                                   struct error *e)
{
	const struct sess_row *s = registry_sess(reg, uid, session);

	if (s == NULL || s->phase != PHASE_OPEN)
		return error_set(e, SHOAL_ENOTFOUND, "no such session");
	put_session_end(op, s, CLOSE_UNUSED);
	return SHOAL_OK;
}

enum shoal_err user_change_password(const struct registry *reg, struct op *op, const struct id16 *uid,
                                    const struct id32 *device, struct slice password, struct error *e)
{
	struct registry_iter it = registry_by(reg, INDEX_USER_SESSIONS, uid->b, sizeof(uid->b), NULL, 0);
	const struct sess_row *s;

	if (registry_user(reg, uid) == NULL)
		return no_user(e);
	if (password.len == 0 || password.len > 160)
		return error_set(e, SHOAL_EINTERNAL, "a password record of %zu bytes", password.len);
	put_password(op, uid, password);
	while ((s = registry_next(&it)) != NULL)
		put_session_end(op, s, CLOSE_PASSWORD);
	put_session(op, uid, device, &op->stamp);
	return SHOAL_OK;
}

/* -- views */

const struct user_row *user_find(const struct registry *reg, struct slice shown)
{
	return claims_resolve(reg, NAME_USER, NULL, shown);
}

size_t user_claims(const struct registry *reg, struct slice name, const struct user_row **out, size_t max)
{
	struct claim claims[16];
	size_t n = claims_list(reg, NAME_USER, NULL, name, claims, max < COUNT_OF(claims) ? max : COUNT_OF(claims));

	for (size_t i = 0; i < n; i++)
		out[i] = claims[i].view;
	return n;
}

char *user_shown(const struct registry *reg, const struct id16 *uid, char out[NAME_SHOWN_MAX])
{
	const struct user_row *user = registry_user(reg, uid);

	if (user == NULL) {
		memcpy(out, "?", 2);
		return out;
	}
	return claims_shown(reg, NAME_USER, NULL, user->name, uid, out);
}

/* Open, with the current password, and the newest of its device: two logins of one device on two sides of a partition
 * leave two open rows, of which the older counts no more. */
static bool session_counts(const struct registry *reg, const struct sess_row *s)
{
	const struct user_row *user = registry_user(reg, &s->key.uid);
	struct registry_iter it = registry_by(reg, INDEX_USER_SESSIONS, s->key.uid.b, sizeof(s->key.uid.b), NULL, 0);
	const struct sess_row *other;

	if (s->phase != PHASE_OPEN || (user != NULL && stamp_cmp(&user->password_at, &s->password_at) != 0))
		return false;
	while ((other = registry_next(&it)) != NULL)
		if (other != s && id32_eq(&other->device, &s->device) && stamp_cmp(&other->since, &s->since) > 0)
			return false;
	return true;
}

enum session_state user_session_state(const struct registry *reg, const struct id16 *uid, struct dot session)
{
	const struct sess_row *s = registry_sess(reg, uid, session);

	if (s != NULL)
		return session_counts(reg, s) ? SESSION_OPEN : SESSION_ENDED;
	return vvec_covers(registry_vector(reg), session) ? SESSION_ENDED : SESSION_UNKNOWN;
}

static int by_since(const void *a, const void *b)
{
	const struct sess_row *const *x = a, *const *y = b;
	return stamp_cmp(&(*x)->since, &(*y)->since);
}

enum shoal_err user_sessions(const struct registry *reg, const struct id16 *uid, const struct sess_row ***out, size_t *n)
{
	struct registry_iter it = registry_by(reg, INDEX_USER_SESSIONS, uid->b, sizeof(uid->b), NULL, 0), again = it;
	uint64_t lent = registry_views_short(reg);
	const struct sess_row *s;
	size_t most = 0;

	while (registry_next(&it) != NULL)
		most++;
	const struct sess_row **list = try_alloc((most + 1) * sizeof(struct sess_row *));
	if (list == NULL)
		return SHOAL_EBUSY;
	*n = 0;
	while ((s = registry_next(&again)) != NULL)
		if (session_counts(reg, s))
			list[(*n)++] = s;
	if (registry_views_short(reg) != lent) {
		free(list);
		return SHOAL_EBUSY;
	}
	qsort(list, *n, sizeof(struct sess_row *), by_since);
	*out = list;
	return SHOAL_OK;
}
