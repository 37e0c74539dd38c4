/* tests/sim/users.c */
#include "tests/sim/users.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

#define LOGIN_PAUSE_MS 8000

/* -- a user's link */

static enum shoal_err on_pin(void *owner, const struct address *dialled, const struct id32 *identity, struct error *e)
{
	(void)owner;
	(void)dialled;
	(void)e;
	return identity->b[0] == 0xc1 ? SHOAL_OK : SHOAL_EINTEGRITY;
}

static void on_news(void *owner, const struct link_news *news)
{
	struct user *u = owner;
	u->losses += news->type == LINK_LOST;
	if (news->type == LINK_LOST || news->type == LINK_UP)
		u->moved_at = sim_now(u->all->sim);
	u->all->counts.failovers += news->type == LINK_LOST;
	u->all->counts.resumed += news->type == LINK_UP && news->logged_in;
	u->all->counts.events += news->type == LINK_EVENT;
	if (news->type == LINK_LOGGED_IN)
		u->uid = news->uid;
}

static void on_wake(void *owner)
{
	sim_wake(((struct user *)owner)->node);
}

static uint64_t step(void *owner, const struct env_event *ev)
{
	return link_step(((struct user *)owner)->link, ev);
}

void users_init(struct users *all, struct sim *sim, const struct tracker_info *trackers, unsigned n)
{
	*all = (struct users){ .sim = sim, .trackers = trackers, .n = n };
	for (unsigned i = 0; i < n; i++) {
		struct user *u = &all->user[i];
		u->all = all;
		u->number = i;
		snprintf(u->name, sizeof(u->name), "user%u", i);
		snprintf(u->password, sizeof(u->password), "secret");
		u->node = sim_node_new(sim, "client");
		struct link_config config = { .env = sim_node_env(u->node), .trackers = trackers,
			                      .listen = { .host = "0.0.0.0", .port = (uint16_t)(7000 + i) },
			                      .auto_login = AUTO_LOGIN_YES, .pin = on_pin, .news = on_news,
			                      .wake = on_wake, .owner = u };
		u->link = link_new(&config);
		struct sim_program program = { .name = "client", .step = step, .owner = u, .device = { { (uint8_t)(i + 1) } } };
		snprintf(program.addr.host, sizeof(program.addr.host), "10.0.1.%u", i + 1);
		sim_start(u->node, &program);
	}
}

void users_fini(struct users *all)
{
	for (unsigned i = 0; i < all->n; i++) {
		sim_crash(all->user[i].node);
		link_free(all->user[i].link);
	}
}

/* -- answers */

static void on_reply(void *arg, const struct link_reply *r)
{
	struct user *u = arg;
	if (!r->more && u->all->answered != NULL)
		u->all->answered(u->all->owner, u, r);
	u->reply(u, r);
}

static void call(struct user *u, enum cmd_verb verb, struct buf *fields, link_reply_fn *fn)
{
	u->busy = true;
	u->given = sim_now(u->all->sim);
	u->given_losses = u->losses;
	u->reply = fn;
	u->all->counts.commands++;
	(void)link_call(u->link, verb, fields, 0, on_reply, u);
	buf_free(fields);
}

/* What ended without a tracker's word may have happened. */
static bool is_unknown(enum shoal_err code)
{
	return code == SHOAL_EOFFLINE || code == SHOAL_ETIMEOUT || code == SHOAL_ECANCELLED || code == SHOAL_EBUSY ||
	       code == SHOAL_EDISKFULL || code == SHOAL_EIO;
}

static void on_plain(void *arg, const struct link_reply *r)
{
	struct user *u = arg;
	if (r->more)
		return;
	u->busy = false;
	u->alive |= r->code == SHOAL_OK;
}

static void on_created(void *arg, const struct link_reply *r)
{
	struct user *u = arg;
	u->busy = false;
	u->created |= r->code == SHOAL_OK;
	if (!u->created)
		snprintf(u->name, sizeof(u->name), "user%u.%u", u->number, ++u->names);
}

static void settle(struct user *u, const struct link_reply *r)
{
	struct fact *f = u->fact;
	struct user_counts *counts = &u->all->counts;

	u->busy = false;
	u->fact = NULL;
	f->answered = true;
	f->ok = r->code == SHOAL_OK;
	/* A refusal by a second tracker does not say what the first one, which is gone, has done. */
	f->exists = r->code == SHOAL_EEXISTS;
	f->maybe = is_unknown(r->code) || (!f->ok && !f->exists && u->losses != f->losses);
	f->stamp = r->stamp;
	counts->acked += f->ok;
	counts->unknown += f->maybe;
	counts->failed += !f->ok && !f->maybe;
	counts->refused_busy += r->code == SHOAL_EBUSY;
	counts->uploads += f->ok && f->kind == FACT_UPLOAD;
}

static void on_fact(void *arg, const struct link_reply *r)
{
	struct user *u = arg;
	if (!r->more)
		settle(u, r);
}

static struct fact *new_fact(struct user *u, enum fact_kind kind, unsigned group, unsigned other)
{
	struct users *all = u->all;
	if (all->n_facts == FACTS_MAX)
		return NULL;
	struct fact *f = &all->facts[all->n_facts++];
	*f = (struct fact){ .kind = kind, .user = u->number, .group = group, .other = other, .losses = u->losses, .by = u };
	u->fact = f;
	return f;
}

bool users_known(const struct users *all, enum fact_kind kind, unsigned user, unsigned group, unsigned other,
                  bool sure)
{
	for (unsigned i = 0; i < all->n_facts; i++) {
		const struct fact *f = &all->facts[i];
		if (f->kind == kind && f->user == user && f->group == group && (kind != FACT_ACCEPT || f->other == other) &&
		    (f->ok || (!sure && (f->maybe || !f->answered))))
			return true;
	}
	return false;
}

static unsigned owner_of(const struct users *all, unsigned group)
{
	for (unsigned i = 0; i < all->n_facts; i++)
		if (all->facts[i].kind == FACT_GROUP && all->facts[i].group == group)
			return all->facts[i].user;
	return 0;
}

static bool accepted(const struct users *all, unsigned user, unsigned group, bool sure)
{
	return users_known(all, FACT_ACCEPT, owner_of(all, group), group, user, sure);
}

static bool is_member(const struct users *all, unsigned user, unsigned group)
{
	return (users_known(all, FACT_GROUP, user, group, 0, true) || accepted(all, user, group, true)) &&
	       !users_known(all, FACT_LEAVE, user, group, 0, false);
}

struct slice users_group_name(unsigned group, char out[16])
{
	snprintf(out, 16, "group%u", group);
	return slice_str(out);
}

/* -- commands */

static void create_user(struct user *u)
{
	struct buf b = { 0 };
	req_user_password_put(&b, &(struct req_user_password){ .user = slice_str(u->name),
	                                                      .password = slice_str(u->password) });
	call(u, VERB_CREATE_USER, &b, on_created);
}

static void on_login(void *arg, const struct link_reply *r)
{
	struct user *u = arg;

	on_plain(arg, r);
	if (r->code != SHOAL_OK)
		u->not_before = sim_now(u->all->sim) + LOGIN_PAUSE_MS; /* guessing too often only makes the waits longer */
	/* A change of password without an answer may have happened, or is not known here: the other one, the next time. */
	if (r->code == SHOAL_EAUTH && u->other_password[0] != '\0') {
		char other[sizeof(u->password)];
		memcpy(other, u->other_password, sizeof(other));
		memcpy(u->other_password, u->password, sizeof(other));
		memcpy(u->password, other, sizeof(other));
	}
}

static void login(struct user *u)
{
	struct buf b = { 0 };
	if (sim_now(u->all->sim) < u->not_before)
		return;
	req_user_password_put(&b, &(struct req_user_password){ .user = slice_str(u->name),
	                                                      .password = slice_str(u->password) });
	call(u, VERB_LOGIN, &b, on_login);
}

static void logout(struct user *u)
{
	u->all->counts.logouts++;
	call(u, VERB_LOGOUT, &(struct buf){ 0 }, on_plain);
}

static void on_changed(void *arg, const struct link_reply *r)
{
	struct user *u = arg;

	on_plain(arg, r);
	u->all->counts.passwords += r->code == SHOAL_OK;
	u->unsure |= r->code != SHOAL_OK;
	if (r->code != SHOAL_OK) { /* it may have happened all the same */
		char old[sizeof(u->password)];
		memcpy(old, u->other_password, sizeof(old));
		memcpy(u->other_password, u->password, sizeof(old));
		memcpy(u->password, old, sizeof(old));
	}
}

static void change_password(struct user *u)
{
	struct buf b = { 0 };
	if (u->unsure)
		return; /* two that may be right are enough to remember */
	memcpy(u->other_password, u->password, sizeof(u->password));
	snprintf(u->password, sizeof(u->password), "secret%u", ++u->passwords);
	req_change_password_put(&b, &(struct req_change_password){ .old = slice_str(u->other_password),
	                                                          .fresh = slice_str(u->password) });
	call(u, VERB_CHANGE_PASSWORD, &b, on_changed);
}

static void put_group(struct buf *b, unsigned group)
{
	char name[16];
	req_group_put(b, &(struct req_group){ .group = users_group_name(group, name) });
}

static void put_group_user(struct buf *b, unsigned group, const char *who)
{
	char name[16];
	req_group_user_put(b, &(struct req_group_user){ .group = users_group_name(group, name), .user = slice_str(who) });
}

static void create_group(struct user *u)
{
	struct buf b = { 0 };
	unsigned group = u->all->groups;
	if (group >= 8 || new_fact(u, FACT_GROUP, group, 0) == NULL)
		return;
	u->all->groups++;
	put_group(&b, group);
	call(u, VERB_CREATE_GROUP, &b, on_fact);
}

static void join(struct user *u, unsigned group)
{
	struct buf b = { 0 };
	if (!users_known(u->all, FACT_GROUP, owner_of(u->all, group), group, 0, true) || owner_of(u->all, group) == u->number ||
	    users_known(u->all, FACT_JOIN, u->number, group, 0, false) || new_fact(u, FACT_JOIN, group, 0) == NULL)
		return;
	put_group(&b, group);
	call(u, VERB_JOIN_GROUP, &b, on_fact);
}

static void accept_one(struct user *u, unsigned group)
{
	struct buf b = { 0 };
	unsigned who = sim_random(u->all->sim, u->all->n);
	if (owner_of(u->all, group) != u->number || !users_known(u->all, FACT_JOIN, who, group, 0, true) ||
	    users_known(u->all, FACT_ACCEPT, u->number, group, who, true) || new_fact(u, FACT_ACCEPT, group, who) == NULL)
		return;
	put_group_user(&b, group, u->all->user[who].name);
	call(u, VERB_ACCEPT_REQUEST, &b, on_fact);
}

static void leave(struct user *u, unsigned group)
{
	struct buf b = { 0 };
	if (owner_of(u->all, group) == u->number || !is_member(u->all, u->number, group) ||
	    new_fact(u, FACT_LEAVE, group, 0) == NULL)
		return;
	put_group_user(&b, group, "");
	call(u, VERB_LEAVE_GROUP, &b, on_fact);
}

static void list_files(struct user *u, unsigned group)
{
	struct buf b = { 0 };
	char name[16];
	req_list_files_put(&b, &(struct req_list_files){ .group = users_group_name(group, name), .all = 1 });
	call(u, VERB_LIST_FILES, &b, on_plain);
}

void users_file_of(const struct user *u, unsigned group, struct upload *up, uint8_t hashes[64], char name[32])
{
	struct content_hash ch;
	snprintf(name, 32, "file of %s in %u", u->name, group);
	up->name = slice_str(name);
	up->size = 600000;
	up->piece_size = PIECE_SIZE;
	memset(hashes, (int)(u->number * 16 + group + 1), 64);
	memset(&up->file_hash, (int)(u->number * 16 + group + 1), sizeof(up->file_hash));
	content_hash_begin(&ch, up->size, &up->file_hash);
	content_hash_add(&ch, hashes, 64);
	content_hash_end(&ch, &up->content);
}

static void on_hashes(void *arg, const struct link_reply *r)
{
	struct user *u = arg;
	struct upload up;
	uint8_t hashes[64];
	char name[32];
	struct buf b = { 0 };

	if (r->code != SHOAL_OK) {
		settle(u, r);
		return;
	}
	users_file_of(u, u->fact->group, &up, hashes, name);
	req_upload_file_data_put(&b, &(struct req_upload_file_data){ .gid = u->gid, .name = up.name, .size = up.size,
	                                                            .piece_size = up.piece_size, .file_hash = up.file_hash,
	                                                            .content = up.content });
	call(u, VERB_UPLOAD_FILE_DATA, &b, on_fact);
}

static void on_checked(void *arg, const struct link_reply *r)
{
	struct user *u = arg;
	struct upload up;
	uint8_t hashes[64];
	char name[32];
	struct buf b = { 0 };
	struct rep_upload_check rep;

	if (r->code != SHOAL_OK) {
		settle(u, r);
		return;
	}
	struct cursor c = cursor_of(r->fields.data, r->fields.len);
	rep_upload_check_get(&c, &rep);
	u->gid = rep.gid;
	users_file_of(u, u->fact->group, &up, hashes, name);
	req_put_hashes_put(&b, &(struct req_put_hashes){ .content = up.content, .size = up.size,
	                                                .hashes = slice_of(hashes, sizeof(hashes)) });
	call(u, VERB_PUT_HASHES, &b, on_hashes);
}

static void upload(struct user *u, unsigned group)
{
	struct upload up;
	uint8_t hashes[64];
	char name[32], group_text[16];
	struct buf b = { 0 };

	if (!is_member(u->all, u->number, group) || users_known(u->all, FACT_UPLOAD, u->number, group, 0, true) ||
	    new_fact(u, FACT_UPLOAD, group, 0) == NULL)
		return;
	users_file_of(u, group, &up, hashes, name);
	req_upload_check_put(&b, &(struct req_upload_check){ .group = users_group_name(group, group_text), .name = up.name,
	                                                    .size = up.size });
	call(u, VERB_UPLOAD_CHECK, &b, on_checked);
}

void users_act(struct users *all)
{
	struct user *u = &all->user[sim_random(all->sim, all->n)];
	struct link_status st;
	unsigned group = all->groups == 0 ? 0 : sim_random(all->sim, all->groups);

	if (u->busy)
		return;
	link_status(u->link, &st);
	if (!u->created)
		create_user(u);
	else if (!st.logged_in)
		login(u);
	else
		switch (sim_random(all->sim, 13)) {
		case 0: create_group(u); break;
		case 1:
		case 2:
		case 3: join(u, group); break;
		case 4:
		case 5:
		case 6:
		case 7: accept_one(u, group); break;
		case 8:
		case 9: upload(u, group); break;
		case 10: list_files(u, group); break;
		case 11:
			if (sim_percent(all->sim, 30))
				leave(u, group);
			break;
		case 12:
			if (sim_percent(all->sim, 30))
				logout(u);
			else if (sim_percent(all->sim, 30))
				change_password(u);
			break;
		}
	sim_wake(u->node);
}

/* -- the end */

void users_ask_all(struct users *all)
{
	struct link_status st;
	for (unsigned i = 0; i < all->n; i++) {
		struct user *u = &all->user[i];
		struct buf b = { 0 };
		if (u->busy || u->alive)
			continue;
		link_status(u->link, &st);
		if (!u->created) {
			create_user(u);
		} else if (!st.logged_in) {
			login(u);
			continue;
		} else {
			req_filter_put(&b, &(struct req_filter){ 0 });
			call(u, VERB_LIST_GROUPS, &b, on_plain);
		}
		sim_wake(u->node);
	}
}

bool users_all_answered(const struct users *all)
{
	for (unsigned i = 0; i < all->n; i++)
		if (!all->user[i].alive || all->user[i].busy)
			return false;
	return true;
}
