/* tests/sim/commands.c */
#include "tests/sim/commands.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"
#include "core/registry/user_manager.h"

#define USERS 5
#define GROUPS 3
#define FILES 3

struct actor {
	struct site *site;
	struct history *h;
	struct command_counts *counts;
	struct op op;
	struct id16 uid; /* who acts */
	struct id16 gid; /* on which group */
	struct error e;
};

static uint32_t roll(struct actor *a, uint32_t below)
{
	return sim_random(a->site->sim, below);
}

/* -- choosing */

static bool choose_user(struct actor *a, struct id16 *out)
{
	size_t n = registry_count(a->site->reg, TABLE_USER);
	struct registry_iter it = registry_all(a->site->reg, TABLE_USER);
	const struct user_row *u;
	if (n == 0)
		return false;
	for (size_t skip = roll(a, (uint32_t)n); (u = registry_next(&it)) != NULL && skip > 0; skip--)
		;
	*out = u->uid;
	return true;
}

/* By the name that is shown, so that aliases are used too. */
static bool choose_group(struct actor *a)
{
	struct shown_group *groups = NULL;
	size_t n = 0;
	bool ok = false;

	if (group_list(a->site->reg, &groups, &n) != SHOAL_OK)
		abort();
	if (n != 0) {
		const char *name = groups[roll(a, (uint32_t)n)].name;
		const struct group_row *g = group_find(a->site->reg, slice_str(name));
		ok = g != NULL;
		if (ok)
			a->gid = g->gid;
		a->counts->aliases_used += ok && strchr(name, '~') != NULL;
	}
	free(groups);
	return ok;
}

typedef enum shoal_err list_fn(const struct registry *reg, const struct id16 *gid, struct member **out, size_t *n);

static bool choose_of(struct actor *a, list_fn *list, struct id16 *out)
{
	struct member *m = NULL;
	size_t n = 0;
	if (list(a->site->reg, &a->gid, &m, &n) != SHOAL_OK)
		abort();
	if (n != 0)
		*out = m[roll(a, (uint32_t)n)].uid;
	free(m);
	return n != 0;
}

static struct id32 device_of(const struct id16 *uid, unsigned number)
{
	struct id32 d = { { 0 } };
	memcpy(d.b, uid->b, sizeof(uid->b));
	d.b[31] = (uint8_t)number;
	return d;
}

static bool half_are_online(void *ctx, const struct id16 *uid, const struct id32 *device)
{
	(void)ctx;
	(void)device;
	return uid->b[0] & 1;
}

/* -- contents: a few sizes, each with its real content id */

static const uint64_t sizes[] = { 0, 100, 600000, UINT64_C(700) << 20 };

static void hashes_of(unsigned which, struct buf *out)
{
	for (uint64_t i = 0; i < content_pieces(sizes[which]); i++) {
		struct id32 h;
		sha256_of(&i, sizeof(i), &h);
		h.b[0] ^= (uint8_t)which;
		buf_put(out, h.b, sizeof(h.b));
	}
}

/* On the site's disk, as the upload of a client would leave it: before the op. */
static void store_content_of(struct actor *a, unsigned which, struct upload *up)
{
	struct buf hashes = { 0 };
	struct content_hash ch;
	struct error e = { 0 };

	up->size = sizes[which];
	up->piece_size = CONTENT_PIECE_SIZE;
	memset(&up->file_hash, (int)which + 1, sizeof(up->file_hash));
	hashes_of(which, &hashes);
	content_hash_begin(&ch, up->size, &up->file_hash);
	content_hash_add(&ch, hashes.data, hashes.len);
	content_hash_end(&ch, &up->content);
	for (size_t at = 0; at < hashes.len; at += CONTENT_CHUNK * sizeof(struct id32)) {
		struct content_op *put = content_op_new(CONTENT_PUT);
		size_t left = hashes.len - at, max = CONTENT_CHUNK * sizeof(struct id32);
		put->id = up->content;
		put->size = up->size;
		put->first = (uint32_t)(at / sizeof(struct id32));
		buf_put(&put->data, hashes.data + at, left < max ? left : max);
		if (store_content(&store_mem_ops, a->site->store, put, &e) != SHOAL_OK)
			abort();
		content_op_free(put);
	}
	struct content_op *check = content_op_new(CONTENT_CHECK);
	check->id = up->content;
	check->size = up->size;
	check->file_hash = up->file_hash;
	if (store_content(&store_mem_ops, a->site->store, check, &e) != SHOAL_OK)
		abort();
	content_op_free(check);
	buf_free(&hashes);
}

/* -- the ten kinds; false: nothing to do now */

static bool act_create_user(struct actor *a)
{
	char name[16];
	snprintf(name, sizeof(name), "user%u", roll(a, USERS));
	return user_create(a->site->reg, &a->op, slice_str(name), slice_str("record"), &a->uid, &a->e) == SHOAL_OK;
}

static bool act_login(struct actor *a)
{
	struct id32 device = device_of(&a->uid, roll(a, 2));
	return user_login(a->site->reg, &a->op, &a->uid, &device, 3, &a->e) == SHOAL_OK;
}

static bool act_logout(struct actor *a)
{
	const struct sess_row **sessions = NULL;
	size_t n = 0;
	struct dot dot = { 0 };
	if (user_sessions(a->site->reg, &a->uid, &sessions, &n) != SHOAL_OK)
		abort();
	if (n != 0)
		dot = sessions[roll(a, (uint32_t)n)]->key.dot;
	free(sessions);
	return n != 0 && user_logout(a->site->reg, &a->op, &a->uid, dot, &a->e) == SHOAL_OK;
}

static bool act_create_group(struct actor *a)
{
	char name[16];
	snprintf(name, sizeof(name), "group%u", roll(a, GROUPS));
	return group_create(a->site->reg, &a->op, &a->uid, slice_str(name), &a->gid, &a->e) == SHOAL_OK;
}

static bool act_join(struct actor *a)
{
	return choose_group(a) && group_join(a->site->reg, &a->op, &a->uid, &a->gid, &a->e) == SHOAL_OK;
}

static bool act_accept(struct actor *a)
{
	struct id16 who;
	return choose_group(a) && group_owner(a->site->reg, &a->gid, &a->uid) && choose_of(a, group_asked, &who) &&
	       group_accept(a->site->reg, &a->op, &a->uid, &a->gid, &who, &a->e) == SHOAL_OK;
}

static bool act_leave(struct actor *a)
{
	if (!choose_group(a) || (roll(a, 4) != 0 && !choose_of(a, group_members, &a->uid)))
		return false;
	return group_leave(a->site->reg, &a->op, &a->uid, &a->gid, NULL, &a->e) == SHOAL_OK;
}

static bool act_upload(struct actor *a)
{
	struct upload up = { 0 };
	struct id16 fid;
	char name[16];
	bool joined;

	if (!choose_group(a) || !choose_of(a, group_members, &a->uid))
		return false;
	struct id32 device = device_of(&a->uid, roll(a, 2));
	snprintf(name, sizeof(name), "file%u", roll(a, FILES));
	up.name = slice_str(name);
	store_content_of(a, roll(a, roll(a, 4) == 0 ? COUNT_OF(sizes) : COUNT_OF(sizes) - 1), &up);
	return file_upload(a->site->reg, &a->op, &a->uid, &device, &a->gid, &up, &fid, &joined, &a->e) == SHOAL_OK;
}

static bool choose_file(struct actor *a, struct id16 *fid)
{
	struct shown_file *files = NULL;
	size_t n = 0;
	if (file_list(a->site->reg, &a->gid, NULL, true, &files, &n) != SHOAL_OK)
		abort();
	if (n != 0) {
		uint32_t i = roll(a, (uint32_t)n);
		*fid = files[i].file->fid;
		a->counts->aliases_used += strchr(files[i].name, '~') != NULL;
	}
	free(files);
	return n != 0;
}

static bool act_update(struct actor *a)
{
	struct id16 fid;
	if (!choose_group(a) || !choose_of(a, group_members, &a->uid) || !choose_file(a, &fid))
		return false;
	struct id32 device = device_of(&a->uid, roll(a, 2));
	return file_share(a->site->reg, &a->op, &a->uid, &device, &a->gid, &fid, &a->e) == SHOAL_OK;
}

static bool act_stop(struct actor *a)
{
	static const struct presence presence = { .online = half_are_online };
	struct id16 fid;
	struct seeder *seeders = NULL;
	size_t n = 0;
	bool removed;

	if (!choose_group(a) || !choose_file(a, &fid))
		return false;
	if (file_seeders(a->site->reg, &a->gid, &fid, NULL, &seeders, &n) != SHOAL_OK)
		abort();
	if (n != 0)
		a->uid = seeders[roll(a, (uint32_t)n)].uid;
	free(seeders);
	return n != 0 &&
	       file_stop(a->site->reg, &a->op, &a->uid, &a->gid, &fid, &presence, &removed, &a->e) == SHOAL_OK;
}

static const struct {
	enum op_kind kind;
	bool (*act)(struct actor *a);
	unsigned weight;
} kinds[] = {
	{ OP_CREATE_USER, act_create_user, 2 },  { OP_LOGIN, act_login, 2 },
	{ OP_LOGOUT, act_logout, 1 },            { OP_CREATE_GROUP, act_create_group, 2 },
	{ OP_JOIN_GROUP, act_join, 3 },          { OP_ACCEPT_REQUEST, act_accept, 4 },
	{ OP_LEAVE_GROUP, act_leave, 1 },        { OP_UPLOAD_FILE_DATA, act_upload, 3 },
	{ OP_UPDATE_FILE_INFO, act_update, 2 },  { OP_STOP_SHARE, act_stop, 1 },
};

static size_t choose_kind(struct sim *sim)
{
	unsigned sum = 0, at;
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		sum += kinds[i].weight;
	at = sim_random(sim, sum);
	for (size_t i = 0;; i++) {
		if (at < kinds[i].weight)
			return i;
		at -= kinds[i].weight;
	}
}

static void on_answer(void *arg, enum shoal_err result)
{
	struct past_op *p = arg;
	p->fate = result == SHOAL_OK ? FATE_ACKED : result == SHOAL_ECANCELLED ? FATE_UNKNOWN : FATE_FAILED;
}

/* What the op's own files name is on this disk already. */
static void mark_held(struct actor *a, const struct past_op *p)
{
	struct cursor c = cursor_of(p->rows.data, p->rows.len);
	while (cursor_left(&c) != 0) {
		struct wire_row row;
		struct id32 content;
		wire_row_get(&c, &row);
		if (row.table != TABLE_CONTENT)
			continue;
		memcpy(content.b, row.key.data, sizeof(content.b));
		(void)registry_set_held(a->site->reg, &content, true);
	}
}

static void apply(struct actor *a)
{
	struct past_op *p = history_add(a->h, &a->op, &a->uid);
	enum shoal_err rc = commit_op(a->site->commit, &a->op, NULL, &a->e);

	if (rc != SHOAL_OK) {
		p->fate = FATE_FAILED;
		a->counts->refused_full += rc == SHOAL_EDISKFULL || rc == SHOAL_EIO;
		return;
	}
	a->counts->made++;
	mark_held(a, p);
	if (commit_barrier(a->site->commit, on_answer, p) != SHOAL_OK)
		abort();
}

void command_random(struct site *site, struct history *h, struct command_counts *counts)
{
	struct actor a = { .site = site, .h = h, .counts = counts };
	struct env *env;
	struct id16 request;

	if (!site_up(site))
		return;
	counts->tried++;
	if (sync_check_writable(site->sync, &a.e) != SHOAL_OK) {
		counts->refused_busy++;
		return;
	}
	env = sim_node_env(site->node);
	env->random(env->ctx, &request, sizeof(request));
	size_t kind = choose_kind(site->sim);
	if (kinds[kind].kind != OP_CREATE_USER && !choose_user(&a, &a.uid))
		return;
	op_begin(site->reg, kinds[kind].kind, &request, env->wall_ms(env->ctx), &a.op);
	if (!kinds[kind].act(&a) || op_is_empty(&a.op))
		op_fini(&a.op);
	else
		apply(&a);
	sim_wake(site->node);
}

static bool holds(const struct site *s, const struct id32 *content)
{
	const struct content_row *c = registry_content(s->reg, content);
	return c != NULL && c->held;
}

bool commands_content_everywhere(const struct site *sites, size_t n, bool may_be_lost, char *why, size_t size)
{
	for (size_t i = 0; i < n; i++) {
		struct registry_iter it = registry_all(sites[i].reg, TABLE_FILE);
		const struct file_row *f;
		while ((f = registry_next(&it)) != NULL) {
			bool somebody = false;
			for (size_t k = 0; k < n; k++)
				somebody |= holds(&sites[k], &f->content);
			if (holds(&sites[i], &f->content) || (!somebody && may_be_lost))
				continue;
			snprintf(why, size, "tracker %u misses the content of '%.*s' (%llu bytes)", sites[i].id,
			         (int)f->name.len, (const char *)f->name.data, (unsigned long long)f->size);
			return false;
		}
	}
	return true;
}
