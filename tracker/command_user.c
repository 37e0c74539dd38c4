/* tracker/command_user.c - accounts: create_user, login, change_password.
 *
 * Passwords are hashed and checked in the pool; while that lasts the command waits with its own copy, which is wiped.
 * A user who is not there costs the same time and gets the same sentence as a wrong password. */
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "core/base/mem.h"
#include "tracker/core.h"

enum { ALIASES_TRIED = 3 };

enum shoal_err user_lookup(struct tracker *t, struct slice shown, struct id16 *uid, struct error *e)
{
	char text[2 * NAME_SHOWN_MAX];
	const struct user_row *u;
	enum shoal_err rc = name_check_lookup(NAME_USER, shown.data, shown.len, e);

	if (rc != SHOAL_OK)
		return rc;
	u = user_find(t->reg, shown);
	if (u == NULL)
		return error_set(e, SHOAL_ENOTFOUND, "no user '%s'",
		                 text_escape(shown.data, shown.len, text, sizeof(text)));
	*uid = u->uid;
	return SHOAL_OK;
}

static unsigned seconds(uint64_t ms)
{
	return (unsigned)((ms + 999) / 1000);
}

static enum shoal_err check_password(struct slice password, struct error *e)
{
	if (password.len == 0)
		return error_set(e, SHOAL_EUSAGE, "the password is empty");
	if (password.len > PASSWORD_MAX)
		return error_set(e, SHOAL_EUSAGE, "a password has at most %d bytes", PASSWORD_MAX);
	return SHOAL_OK;
}

/* -- work for the pool */
static void free_work(struct env_work *w)
{
	if (w->password != NULL)
		OPENSSL_cleanse(w->password, w->password_len);
	free(w->password);
	free(w->record);
}

static char *copy_text(struct slice s)
{
	char *copy = try_alloc(s.len + 1);
	if (copy != NULL && s.len != 0)
		memcpy(copy, s.data, s.len);
	return copy;
}

/* `record` (NULL: hash, do not verify) and password are copied. */
static enum shoal_err ask_pool(struct command *cmd, struct slice password, const struct slice *record,
                               command_resume_fn *resume, struct error *e)
{
	struct env_work w = { .kind = record != NULL ? WORK_VERIFY_PASSWORD : WORK_HASH_PASSWORD,
		              .password = copy_text(password),
		              .password_len = password.len, .scrypt_ln = cmd->t->config.scrypt_ln };
	if (record != NULL)
		w.record = copy_text(*record);
	enum shoal_err rc = SHOAL_EBUSY;
	if (w.password == NULL || (record != NULL && w.record == NULL))
		error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
	else
		rc = command_await_work(cmd, &w, resume, e);
	if (rc != SHOAL_OK)
		free_work(&w);
	return rc;
}

/* The pool could not do it: nobody's fault. */
static void finish_busy(struct command *cmd)
{
	struct error e;
	error_set(&e, SHOAL_EBUSY, "the tracker could not check the password, try again");
	command_finish(cmd, SHOAL_EBUSY, &e);
}

/* -- create_user */
static void on_hashed(struct command *cmd, const struct env_event *ev)
{
	struct req_user_password r;
	struct cursor fields = cmd->fields;
	struct error e = { 0 };
	struct rep_uid rep;
	struct op op;

	req_user_password_get(&fields, &r);
	if (ev->result != SHOAL_OK || ev->record == NULL) {
		finish_busy(cmd);
		return;
	}
	enum shoal_err rc = SHOAL_OK;
	if (registry_known_request(cmd->t->reg, &cmd->head.request, &cmd->stamp)) {
		uid_of(r.user, &cmd->head.request, &rep.uid);
	} else {
		command_op_begin(cmd, OP_CREATE_USER, &op);
		rc = user_create(cmd->t->reg, &op, r.user, slice_str(ev->record), &rep.uid, &e);
		if (rc == SHOAL_OK)
			rc = command_commit(cmd, &op, &e);
		else
			op_fini(&op);
	}
	if (rc == SHOAL_OK)
		rep_uid_put(&cmd->reply, &rep);
	command_finish(cmd, rc, &e);
}

enum shoal_err command_create_user(struct command *cmd, struct error *e)
{
	struct tracker *t = cmd->t;
	struct req_user_password r;
	struct cursor fields = cmd->fields;
	struct rep_uid rep;
	struct id16 uid;

	req_user_password_get(&fields, &r);
	if (cmd->replay) {
		uid_of(r.user, &cmd->head.request, &rep.uid);
		rep_uid_put(&cmd->reply, &rep);
		return SHOAL_OK;
	}
	enum shoal_err rc = name_check(NAME_USER, r.user.data, r.user.len, e);
	if (rc == SHOAL_OK)
		rc = check_password(r.password, e);
	if (rc != SHOAL_OK)
		return rc;
	uint64_t wait = limits_take(t->limits, LIMIT_CREATE_USER, cmd->c->seen.host, tracker_now(t));
	if (wait != 0)
		return error_set(e, SHOAL_EQUOTA, "too many accounts were made from your address: try again in %u s",
		                 seconds(wait));
	if (user_lookup(t, r.user, &uid, NULL) == SHOAL_OK)
		return error_set(e, SHOAL_EEXISTS, "user '%.*s' exists already", (int)r.user.len,
		                 (const char *)r.user.data);
	return ask_pool(cmd, r.password, NULL, on_hashed, e);
}

/* -- login */
struct login {
	struct id16 uids[1 + ALIASES_TRIED]; /* the winner of the name, then those who lost it */
	size_t n, at;
	struct id16 uid;                     /* whose password it was */
	char user[NAME_SHOWN_MAX];
	struct id32 device;
	bool known;                          /* the user was let in on this device before */
};

static struct limits_who who_of(const struct login *l)
{
	return (struct limits_who){ .user = l->user, .device = l->known ? &l->device : NULL };
}

static void tried(struct tracker *t, const struct login *l, enum limits_tried how)
{
	struct limits_who who = who_of(l);
	limits_tried(t->limits, &who, how, tracker_now(t));
}

static void on_login_durable(struct command *cmd)
{
	struct login *l = cmd->state;
	if (cmd->c == NULL)
		return;
	session_attach(cmd->t, cmd->c, &l->uid, cmd->stamp.dot);
	cmd->c->welcome = true;
}

static void finish_login(struct command *cmd)
{
	struct tracker *t = cmd->t;
	struct login *l = cmd->state;
	struct error e = { 0 };
	struct op op;

	tried(t, l, TRIED_RIGHT);
	limits_know_device(t->limits, l->user, &l->device, tracker_now(t));
	if (cmd->c == NULL) { /* nobody is left to be logged in */
		command_finish(cmd, SHOAL_ECANCELLED, NULL);
		return;
	}
	enum shoal_err rc = sync_check_writable(t->sync, &e);
	if (rc == SHOAL_OK && !registry_known_request(t->reg, &cmd->head.request, &cmd->stamp)) {
		command_op_begin(cmd, OP_LOGIN, &op);
		rc = user_login(t->reg, &op, &l->uid, &cmd->c->device, t->config.sessions, &e);
		if (rc == SHOAL_OK)
			rc = command_commit(cmd, &op, &e);
		else
			op_fini(&op);
	}
	if (rc == SHOAL_OK) {
		put_session_reply(cmd, &l->uid, cmd->stamp.dot);
		cmd->durable = on_login_durable;
	}
	command_finish(cmd, rc, &e);
}

static void on_verified(struct command *cmd, const struct env_event *ev);

/* The next account of that name; one that is not there is checked like any other. */
static enum shoal_err verify_next(struct command *cmd, struct error *e)
{
	struct login *l = cmd->state;
	struct req_user_password r;
	struct cursor fields = cmd->fields;
	const struct user_row *u = l->at < l->n ? registry_user(cmd->t->reg, &l->uids[l->at]) : NULL;
	struct slice record = u != NULL ? u->password : slice_str("");

	req_user_password_get(&fields, &r);
	return ask_pool(cmd, r.password, &record, on_verified, e);
}

static void on_verified(struct command *cmd, const struct env_event *ev)
{
	struct login *l = cmd->state;
	struct error e = { 0 };

	if (ev->result == SHOAL_OK && l->at < l->n) {
		l->uid = l->uids[l->at];
		finish_login(cmd);
		return;
	}
	if (ev->result != SHOAL_EAUTH && ev->result != SHOAL_OK) {
		tried(cmd->t, l, TRIED_NOT);
		finish_busy(cmd);
		return;
	}
	enum shoal_err rc = error_set(&e, SHOAL_EAUTH, "wrong user name or password");
	if (++l->at < l->n) {
		rc = verify_next(cmd, &e);
		if (rc == SHOAL_OK)
			return;
		tried(cmd->t, l, TRIED_NOT);
	} else {
		tried(cmd->t, l, TRIED_WRONG);
	}
	command_finish(cmd, rc, &e);
}

/* Who was let in on this very device before does not suffer from others' guesses. */
static bool device_is_known(struct tracker *t, const struct login *l, const struct id32 *device)
{
	bool known = limits_knows_device(t->limits, l->user, device);
	for (size_t i = 0; i < l->n && !known; i++) {
		const struct sess_row **sessions;
		size_t n;
		if (user_sessions(t->reg, &l->uids[i], &sessions, &n) != SHOAL_OK)
			return false;
		for (size_t k = 0; k < n; k++)
			known |= id32_eq(&sessions[k]->device, device);
		free(sessions);
	}
	return known;
}

static enum shoal_err check_login_rate(struct command *cmd, struct login *l, struct error *e)
{
	struct tracker *t = cmd->t;
	uint64_t now = tracker_now(t), wait = limits_take(t->limits, LIMIT_LOGIN, cmd->c->seen.host, now);
	if (wait != 0)
		return error_set(e, SHOAL_EQUOTA, "too many logins from your address: try again in %u s", seconds(wait));
	l->device = cmd->c->device;
	l->known = device_is_known(t, l, &l->device);
	struct limits_who who = who_of(l);
	wait = limits_try(t->limits, &who, now);
	if (wait != 0)
		return error_set(e, SHOAL_EQUOTA, "too many wrong passwords for '%s': try again in %u s", l->user,
		                 seconds(wait));
	return SHOAL_OK;
}

/* A name that nobody can have is like one that nobody has. */
static void find_accounts(struct tracker *t, struct slice user, struct login *l)
{
	const struct user_row *rows[1 + ALIASES_TRIED], *u;

	if (name_check_lookup(NAME_USER, user.data, user.len, NULL) != SHOAL_OK ||
	    !slice_to_str(user, l->user, sizeof(l->user)))
		return;
	size_t n = user_claims(t->reg, user, rows, 1 + ALIASES_TRIED);
	for (size_t i = 0; i < n; i++)
		l->uids[l->n++] = rows[i]->uid;
	u = l->n == 0 ? user_find(t->reg, user) : NULL;
	if (u != NULL)
		l->uids[l->n++] = u->uid;
}

/* The login was applied before: if the session it made is this device's, it is the answer. */
static enum shoal_err repeat_login(struct command *cmd, struct error *e)
{
	struct login *l = cmd->state;
	for (size_t i = 0; i < l->n; i++) {
		const struct sess_row *s = registry_sess(cmd->t->reg, &l->uids[i], cmd->stamp.dot);
		if (s == NULL || !id32_eq(&s->device, &cmd->c->device) ||
		    user_session_state(cmd->t->reg, &l->uids[i], cmd->stamp.dot) != SESSION_OPEN)
			continue;
		l->uid = l->uids[i];
		put_session_reply(cmd, &l->uid, cmd->stamp.dot);
		cmd->durable = on_login_durable;
		return SHOAL_OK;
	}
	return error_set(e, SHOAL_EAUTH, "the session was ended, log in again");
}

enum shoal_err command_login(struct command *cmd, struct error *e)
{
	struct req_user_password r;
	struct cursor fields = cmd->fields;
	struct login *l = try_alloc(sizeof(*l));

	if (l == NULL)
		return error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
	cmd->state = l;
	cmd->state_free = free;
	req_user_password_get(&fields, &r);
	find_accounts(cmd->t, r.user, l);
	if (cmd->replay)
		return repeat_login(cmd, e);
	if (r.password.len > PASSWORD_MAX) /* nobody has such a one */
		return error_set(e, SHOAL_EAUTH, "wrong user name or password");
	enum shoal_err rc = check_login_rate(cmd, l, e);
	if (rc != SHOAL_OK)
		return rc;
	rc = verify_next(cmd, e);
	if (rc != SHOAL_OK)
		tried(cmd->t, l, TRIED_NOT);
	return rc;
}

/* -- change_password: who is logged in on a device can be guessing there, and holds nobody else up */
struct change {
	char user[NAME_SHOWN_MAX];
	struct id32 device;
};

static void change_tried(struct command *cmd, enum limits_tried how)
{
	const struct change *ch = cmd->state;
	limits_tried(cmd->t->limits, &(struct limits_who){ ch->user, &ch->device }, how, tracker_now(cmd->t));
}

static void on_changed(struct command *cmd)
{
	if (cmd->c != NULL && cmd->c->logged_in && id16_eq(&cmd->c->uid, &cmd->uid))
		session_attach(cmd->t, cmd->c, &cmd->uid, cmd->stamp.dot);
}

static void on_fresh_hashed(struct command *cmd, const struct env_event *ev)
{
	struct error e = { 0 };
	struct op op;

	if (ev->result != SHOAL_OK || ev->record == NULL || cmd->c == NULL) {
		finish_busy(cmd);
		return;
	}
	enum shoal_err rc = SHOAL_OK;
	if (!registry_known_request(cmd->t->reg, &cmd->head.request, &cmd->stamp)) {
		command_op_begin(cmd, OP_CHANGE_PASSWORD, &op);
		rc = user_change_password(cmd->t->reg, &op, &cmd->uid, &cmd->c->device, slice_str(ev->record), &e);
		if (rc == SHOAL_OK)
			rc = command_commit(cmd, &op, &e);
		else
			op_fini(&op);
	}
	if (rc == SHOAL_OK) {
		put_session_reply(cmd, &cmd->uid, cmd->stamp.dot);
		cmd->durable = on_changed;
	}
	command_finish(cmd, rc, &e);
}

static void on_old_verified(struct command *cmd, const struct env_event *ev)
{
	struct req_change_password r;
	struct cursor fields = cmd->fields;
	struct error e = { 0 };

	req_change_password_get(&fields, &r);
	change_tried(cmd, ev->result == SHOAL_OK ? TRIED_RIGHT : ev->result == SHOAL_EAUTH ? TRIED_WRONG : TRIED_NOT);
	if (ev->result != SHOAL_OK && ev->result != SHOAL_EAUTH) {
		finish_busy(cmd);
		return;
	}
	enum shoal_err rc = SHOAL_EAUTH;
	if (ev->result == SHOAL_EAUTH) {
		error_set(&e, rc, "the old password is wrong");
	} else {
		rc = ask_pool(cmd, r.fresh, NULL, on_fresh_hashed, &e);
	}
	if (rc != SHOAL_OK)
		command_finish(cmd, rc, &e);
}

enum shoal_err command_change_password(struct command *cmd, struct error *e)
{
	struct tracker *t = cmd->t;
	struct req_change_password r;
	struct cursor fields = cmd->fields;

	req_change_password_get(&fields, &r);
	if (cmd->replay) {
		put_session_reply(cmd, &cmd->uid, cmd->stamp.dot);
		cmd->durable = on_changed;
		return SHOAL_OK;
	}
	enum shoal_err rc = check_password(r.fresh, e);
	if (rc != SHOAL_OK)
		return rc;
	const struct user_row *u = registry_user(t->reg, &cmd->uid);
	if (u == NULL) /* a session that this tracker has only the token of */
		return error_set(e, SHOAL_EBUSY, "this tracker does not know your account yet, try again");
	struct change *ch = try_alloc(sizeof(*ch));
	if (ch == NULL)
		return error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
	cmd->state = ch;
	cmd->state_free = free;
	user_shown(t->reg, &cmd->uid, ch->user);
	ch->device = cmd->c->device;
	uint64_t wait = limits_try(t->limits, &(struct limits_who){ ch->user, &ch->device }, tracker_now(t));
	if (wait != 0)
		return error_set(e, SHOAL_EQUOTA, "too many wrong passwords: try again in %u s", seconds(wait));
	rc = ask_pool(cmd, r.old, &u->password, on_old_verified, e);
	if (rc != SHOAL_OK)
		change_tried(cmd, TRIED_NOT);
	return rc;
}
