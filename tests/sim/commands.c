/* tests/sim/commands.c - choosing and asking. What users upload is contents.c. */
#include "tests/sim/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"
#include "core/registry/user_manager.h"
#include "tests/sim/contents.h"

#define USERS 5
#define GROUPS 3
#define FILES 3
#define SESSIONS 3

struct actor {
	struct commands *c;
	struct site *site;
	struct registry *reg;
	struct intent in;
	struct error e;
};

static uint32_t roll(struct actor *a, uint32_t below)
{
	return sim_random(a->c->sim, below);
}

/* -- choosing */

static bool choose_user(struct actor *a, struct id16 *out)
{
	size_t n = registry_count(a->reg, TABLE_USER);
	struct registry_iter it = registry_all(a->reg, TABLE_USER);
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

	if (group_list(a->reg, &groups, &n) != SHOAL_OK)
		abort();
	if (n != 0) {
		const char *name = groups[roll(a, (uint32_t)n)].name;
		const struct group_row *g = group_find(a->reg, slice_str(name));
		ok = g != NULL;
		if (ok)
			a->in.gid = g->gid;
		a->c->aliases_used += ok && strchr(name, '~') != NULL;
	}
	free(groups);
	return ok;
}

typedef enum shoal_err list_fn(const struct registry *reg, const struct id16 *gid, struct member **out, size_t *n);

static bool choose_of(struct actor *a, list_fn *list, struct id16 *out)
{
	struct member *m = NULL;
	size_t n = 0;
	if (list(a->reg, &a->in.gid, &m, &n) != SHOAL_OK)
		abort();
	if (n != 0)
		*out = m[roll(a, (uint32_t)n)].uid;
	free(m);
	return n != 0;
}

static bool choose_file(struct actor *a)
{
	struct shown_file *files = NULL;
	size_t n = 0;
	if (file_list(a->reg, &a->in.gid, NULL, true, &files, &n) != SHOAL_OK)
		abort();
	if (n != 0) {
		uint32_t i = roll(a, (uint32_t)n);
		a->in.fid = files[i].file->fid;
		a->c->aliases_used += strchr(files[i].name, '~') != NULL;
	}
	free(files);
	return n != 0;
}

static bool choose_seeder(struct actor *a)
{
	struct seeder *seeders = NULL;
	size_t n = 0;
	if (file_seeders(a->reg, &a->in.gid, &a->in.fid, NULL, &seeders, &n) != SHOAL_OK)
		abort();
	if (n != 0)
		a->in.uid = seeders[roll(a, (uint32_t)n)].uid;
	free(seeders);
	return n != 0;
}

static bool choose_session(struct actor *a)
{
	const struct sess_row **sessions = NULL;
	size_t n = 0;
	if (user_sessions(a->reg, &a->in.uid, &sessions, &n) != SHOAL_OK)
		abort();
	if (n != 0)
		a->in.session = sessions[roll(a, (uint32_t)n)]->key.dot;
	free(sessions);
	return n != 0;
}

static void choose_name(struct actor *a, const char *stem, uint32_t many)
{
	snprintf(a->in.name, sizeof(a->in.name), "%s%u", stem, roll(a, many));
}

static bool choose_owned(struct actor *a)
{
	return choose_group(a) && group_owner(a->reg, &a->in.gid, &a->in.uid);
}

/* A group whose name is taken from one that has ended. */
static bool choose_new_group(struct actor *a)
{
	struct registry_iter it = registry_all(a->reg, TABLE_GROUP);
	const struct group_row *g;

	choose_name(a, "group", GROUPS);
	while ((g = registry_next(&it)) != NULL)
		a->c->name_reused += !group_lives(a->reg, &g->gid) && slice_eq_str(g->name, a->in.name) &&
		                     group_find(a->reg, slice_str(a->in.name)) == NULL;
	return true;
}

static bool choose_upload(struct actor *a)
{
	choose_name(a, "file", FILES);
	a->in.content = content_choose(a->c->sim);
	return choose_group(a) && choose_of(a, group_members, &a->in.uid);
}

static bool choose_leave(struct actor *a)
{
	if (!choose_group(a) || (roll(a, 4) != 0 && !choose_of(a, group_members, &a->in.uid)))
		return false;
	a->in.successor = group_is_owner(a->reg, &a->in.gid, &a->in.uid) && roll(a, 3) == 0 &&
	                  choose_of(a, group_members, &a->in.who) && !id16_eq(&a->in.who, &a->in.uid);
	return true;
}

/* For in.kind; in.uid is somebody already. False: nothing to do now. */
static bool choose(struct actor *a)
{
	switch (a->in.kind) {
	case OP_CREATE_USER: choose_name(a, "user", USERS); return true;
	case OP_LOGIN:
	case OP_CHANGE_PASSWORD: return true;
	case OP_LOGOUT:
	case OP_END_SESSION: return choose_session(a);
	case OP_CREATE_GROUP: return choose_new_group(a);
	case OP_JOIN_GROUP: return choose_group(a);
	case OP_ACCEPT_REQUEST:
	case OP_REJECT_REQUEST: return choose_owned(a) && choose_of(a, group_asked, &a->in.who);
	case OP_SET_ROLE: a->in.role = roll(a, 2) == 0 ? ROLE_ADMIN : ROLE_MEMBER; /* fallthrough */
	case OP_TRANSFER_GROUP:
	case OP_REMOVE_MEMBER: return choose_owned(a) && choose_of(a, group_members, &a->in.who);
	case OP_DELETE_GROUP: return choose_owned(a);
	case OP_LEAVE_GROUP: return choose_leave(a);
	case OP_UPLOAD_FILE_DATA: return choose_upload(a);
	case OP_UPDATE_FILE_INFO: return choose_group(a) && choose_of(a, group_members, &a->in.uid) && choose_file(a);
	case OP_STOP_SHARE: return choose_group(a) && choose_file(a) && choose_seeder(a);
	default: return false;
	}
}

/* -- asking */

static bool half_are_online(void *ctx, const struct id16 *uid, const struct id32 *device)
{
	(void)ctx;
	(void)device;
	return uid->b[0] & 1;
}

static enum shoal_err ask_upload(struct actor *a, struct op *op)
{
	struct upload up = { .name = slice_str(a->in.name) };
	struct id16 fid;
	bool joined;

	content_store(a->site->store, a->in.content, &up);
	return file_upload(a->reg, op, &a->in.uid, &a->in.device, &a->in.gid, &up, &fid, &joined, &a->e);
}

static enum shoal_err ask(struct actor *a, struct op *op)
{
	static const struct presence presence = { .online = half_are_online };
	const struct registry *reg = a->reg;
	struct intent *in = &a->in;
	struct slice name = slice_str(in->name), none = slice_of(NULL, 0);
	bool removed;

	switch (in->kind) {
	case OP_CREATE_USER: return user_create(reg, op, name, slice_str("record"), &in->uid, &a->e);
	case OP_LOGIN: return user_login(reg, op, &in->uid, &in->device, SESSIONS, &a->e);
	case OP_LOGOUT: return user_logout(reg, op, &in->uid, in->session, &a->e);
	case OP_END_SESSION: return user_end_session(reg, op, &in->uid, in->session, &a->e);
	case OP_CHANGE_PASSWORD: return user_change_password(reg, op, &in->uid, &in->device, slice_str("new"), &a->e);
	case OP_CREATE_GROUP: return group_create(reg, op, &in->uid, name, &in->gid, &a->e);
	case OP_JOIN_GROUP: return group_join(reg, op, &in->uid, &in->gid, &a->e);
	case OP_ACCEPT_REQUEST: return group_accept(reg, op, &in->uid, &in->gid, &in->who, &a->e);
	case OP_REJECT_REQUEST: return group_reject(reg, op, &in->uid, &in->gid, &in->who, none, &a->e);
	case OP_TRANSFER_GROUP: return group_transfer(reg, op, &in->uid, &in->gid, &in->who, &a->e);
	case OP_SET_ROLE: return group_set_role(reg, op, &in->uid, &in->gid, &in->who, in->role, &a->e);
	case OP_REMOVE_MEMBER: return group_remove_member(reg, op, &in->uid, &in->gid, &in->who, none, &a->e);
	case OP_DELETE_GROUP: return group_delete(reg, op, &in->uid, &in->gid, &a->e);
	case OP_LEAVE_GROUP:
		return group_leave(reg, op, &in->uid, &in->gid, in->successor ? &in->who : NULL, &a->e);
	case OP_UPLOAD_FILE_DATA: return ask_upload(a, op);
	case OP_UPDATE_FILE_INFO: return file_share(reg, op, &in->uid, &in->device, &in->gid, &in->fid, &a->e);
	case OP_STOP_SHARE: return file_stop(reg, op, &in->uid, &in->gid, &in->fid, &presence, &removed, &a->e);
	default: return SHOAL_EUSAGE;
	}
}

/* -- the answer */

struct answer {
	struct commands *c;
	struct past_op *op;
	const struct site *site;
	uint64_t given, portions;
};

static uint64_t portions_of(const struct site *site)
{
	struct sync_counters sc;
	site_counters(site, &sc);
	return sc.portions_merged;
}

/* While a snapshot is being merged an answer waits for its end: for each portion the disk is asked once. */
static void check_reply(const struct answer *w)
{
	uint64_t took = sim_now(w->c->sim) - w->given, portions = portions_of(w->site) - w->portions;
	uint64_t most = w->c->reply_ms_max + portions * w->c->read_ms_max;

	if (took > most)
		verdict_fail(w->c->verdict, "reply", "%s of tracker %u was answered after %" PRIu64 " ms, the disk takes %" PRIu64
		             " at most", op_word(w->op->kind), w->op->stamp.tracker, took, most);
}

static void on_answer(void *arg, enum shoal_err result)
{
	struct answer *w = arg;

	w->op->fate = result == SHOAL_OK ? FATE_ACKED : result == SHOAL_ECANCELLED ? FATE_UNKNOWN : FATE_FAILED;
	if (result != SHOAL_ECANCELLED)
		check_reply(w);
	free(w);
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
		(void)registry_set_held(a->reg, &content, true);
	}
}

static void commit(struct actor *a, struct op *op)
{
	struct past_op *p = history_add(a->c->history, op, &a->in.uid);
	enum shoal_err rc = commit_op(a->site->commit, op, NULL, &a->e);

	if (rc != SHOAL_OK) {
		p->fate = FATE_FAILED;
		a->c->refused_full += rc == SHOAL_EDISKFULL || rc == SHOAL_EIO;
		return;
	}
	a->c->made++;
	mark_held(a, p);
	struct answer *w = xalloc(sizeof(*w));
	*w = (struct answer){ a->c, p, a->site, sim_now(a->c->sim), portions_of(a->site) };
	if (commit_barrier(a->site->commit, on_answer, w) != SHOAL_OK)
		abort();
}

static void perform(struct actor *a)
{
	struct env *env = sim_node_env(a->site->node);
	struct op op;

	op_begin(a->reg, a->in.kind, &a->in.request, env->wall_ms(env->ctx), &op);
	if (ask(a, &op) != SHOAL_OK || op_is_empty(&op))
		op_fini(&op);
	else
		commit(a, &op);
	sim_wake(a->site->node);
}

static bool takes_changes(struct actor *a)
{
	if (sync_check_writable(a->site->sync, &a->e) == SHOAL_OK)
		return true;
	a->c->refused_busy++;
	a->c->refused_clock += strstr(a->e.message, "clock") != NULL;
	return false;
}

static bool shows_as_alias(struct actor *a)
{
	char shown[NAME_SHOWN_MAX];
	return strchr(user_shown(a->reg, &a->in.uid, shown), '~') != NULL;
}

static enum op_kind choose_kind(struct sim *sim)
{
	static const struct {
		enum op_kind kind;
		unsigned weight;
	} kinds[] = {
		{ OP_CREATE_USER, 8 },     { OP_LOGIN, 8 },          { OP_LOGOUT, 4 },        { OP_CREATE_GROUP, 8 },
		{ OP_JOIN_GROUP, 12 },     { OP_ACCEPT_REQUEST, 16 }, { OP_LEAVE_GROUP, 6 },  { OP_UPLOAD_FILE_DATA, 12 },
		{ OP_UPDATE_FILE_INFO, 8 }, { OP_STOP_SHARE, 4 },    { OP_CHANGE_PASSWORD, 1 }, { OP_END_SESSION, 1 },
		{ OP_REJECT_REQUEST, 2 },  { OP_REMOVE_MEMBER, 1 },  { OP_TRANSFER_GROUP, 3 }, { OP_DELETE_GROUP, 1 },
		{ OP_SET_ROLE, 2 },
	};
	unsigned sum = 0, at;

	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		sum += kinds[i].weight;
	at = sim_random(sim, sum);
	for (size_t i = 0;; i++) {
		if (at < kinds[i].weight)
			return kinds[i].kind;
		at -= kinds[i].weight;
	}
}

void command_random(struct commands *c, struct site *site)
{
	struct actor a = { .c = c, .site = site, .reg = site->reg };
	struct env *env = sim_node_env(site->node);

	if (!site_up(site))
		return;
	c->tried++;
	if (!takes_changes(&a))
		return;
	env->random(env->ctx, &a.in.request, sizeof(a.in.request));
	a.in.kind = choose_kind(c->sim);
	if (a.in.kind != OP_CREATE_USER && !choose_user(&a, &a.in.uid))
		return;
	if (!choose(&a))
		return;
	memcpy(a.in.device.b, a.in.uid.b, sizeof(a.in.uid.b));
	a.in.device.b[31] = (uint8_t)roll(&a, 2);
	c->login_as_loser += a.in.kind == OP_LOGIN && shows_as_alias(&a);
	perform(&a);
	c->kept[c->n_kept++ % INTENTS_KEPT] = a.in;
}

void command_retry(struct commands *c, struct site *site)
{
	struct actor a = { .c = c, .site = site, .reg = site->reg };
	size_t n = c->n_kept < INTENTS_KEPT ? c->n_kept : INTENTS_KEPT;
	struct stamp stamp;

	if (!site_up(site) || n == 0 || !takes_changes(&a))
		return;
	a.in = c->kept[sim_random(c->sim, (uint32_t)n)];
	if (registry_known_request(site->reg, &a.in.request, &stamp)) {
		c->retries_known++; /* the answer of the first time */
		return;
	}
	if (a.in.kind != OP_CREATE_USER && registry_user(site->reg, &a.in.uid) == NULL)
		return; /* nobody is logged in here under that id */
	uint64_t made = c->made;
	perform(&a);
	c->retries_again += c->made != made;
}
