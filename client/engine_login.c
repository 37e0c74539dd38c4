/* client/engine_login.c - LOGIN, as the engine sees it.
 *
 * A user's shares are his on this device as long as he is logged in, so they are locked before the tracker is asked:
 * 1. the cluster's identity has to be known, since shares are kept by cluster (a first contact may have to be made);
 * 2. the disk thread opens and locks shares.db: held by another process means `busy`, and the tracker hears nothing;
 * 3. LOGIN goes to the tracker; LINK_LOGGED_IN brings the new list into use. */
#include <stdio.h>
#include <string.h>

#include "client/engine_impl.h"
#include "core/base/mem.h"

static void free_login(struct engine_login *login)
{
	shares_close(login->shares);
	free(login->folder);
	free(login);
}

/* Ends the login under way; the caller answers its call. */
static struct call *end_login(struct engine *en)
{
	struct call *call = en->login->call;

	free_login(en->login);
	en->login = NULL;
	return call;
}

static void on_login_reply(void *arg, const struct link_reply *reply)
{
	struct engine *en = arg;
	struct call *call = end_login(en);

	call->stamp = reply->stamp;
	call->synced = reply->synced;
	if (reply->code != SHOAL_OK)
		engine_fail(en, call, reply->code, reply->message[0] != '\0' ? reply->message : error_default(reply->code));
	else if (!engine_add_frame(call, reply->fields))
		engine_fail(en, call, SHOAL_EBUSY, "out of memory");
	else
		engine_answer(en, call);
}

static void ask_tracker(struct engine *en)
{
	struct call *call = en->login->call;

	en->login->asked = true;
	link_call(en->link, VERB_LOGIN, &call->fields, call->timeout_ms, on_login_reply, en);
}

/* Disk thread. */
static void open_shares(struct work *work)
{
	struct engine_login *login = container_of(work, struct engine_login, work);

	login->shares = shares_open(login->folder, login->user, login->en->log, &login->error);
}

void engine_take_opened(void *arg, struct queue_node *nodes)
{
	struct engine *en = arg;

	for (struct queue_node *next; nodes != NULL; nodes = next) {
		next = nodes->next;
		struct work *work = container_of(nodes, struct work, node);
		struct engine_login *login = container_of(work, struct engine_login, work);
		struct error error = login->error;
		if (en->stopping)
			engine_fail(en, end_login(en), SHOAL_ECANCELLED, "shoal is stopping");
		else if (login->shares == NULL)
			engine_fail(en, end_login(en), error.code, error.message);
		else
			ask_tracker(en);
	}
}

static void with_cluster(struct engine *en, const struct id32 *cluster)
{
	struct engine_login *login = en->login;

	if (en->shares != NULL && strcmp(shares_user(en->shares), login->user) == 0) {
		ask_tracker(en); /* the same user once more */
		return;
	}
	login->folder = shares_folder(en->state_folder, cluster, login->user);
	login->work = (struct work){ .run = open_shares, .done = en->opened };
	workers_post(en->disk, &login->work);
}

/* Any answer will do: that a tracker gave it means that its identity is known. */
static void on_contact(void *arg, const struct link_reply *reply)
{
	struct engine *en = arg;
	struct id32 cluster;

	if (reply->more)
		return;
	if (known_trackers_cluster(en->known, &cluster))
		with_cluster(en, &cluster);
	else
		engine_fail(en, end_login(en), reply->code != SHOAL_OK ? reply->code : SHOAL_EOFFLINE, reply->message);
}

/* The name from the fields of LOGIN. False: it cannot be one, and the call was answered. */
static bool get_user(struct engine *en, struct call *call, char user[NAME_SHOWN_MAX])
{
	struct cursor c = cursor_of(call->fields.data, call->fields.len);
	struct req_user_password req;
	struct error e = { 0 };

	req_user_password_get(&c, &req);
	if (call->fields.failed || cursor_end(&c) != SHOAL_OK)
		engine_fail(en, call, SHOAL_EUSAGE, "a login needs a user and a password");
	else if (name_check_lookup(NAME_USER, req.user.data, req.user.len, &e) != SHOAL_OK)
		engine_fail(en, call, e.code, e.message);
	else
		return slice_to_str(req.user, user, NAME_SHOWN_MAX);
	return false;
}

void engine_login(struct engine *en, struct call *call)
{
	char user[NAME_SHOWN_MAX];
	struct id32 cluster;

	if (en->login != NULL) {
		engine_fail(en, call, SHOAL_EBUSY, "another login is under way");
		return;
	}
	if (!get_user(en, call, user))
		return;
	en->login = xalloc(sizeof(*en->login));
	en->login->en = en;
	en->login->call = call;
	memcpy(en->login->user, user, sizeof(user));
	if (known_trackers_cluster(en->known, &cluster))
		with_cluster(en, &cluster);
	else
		link_call(en->link, VERB_TRACKERS, NULL, call->timeout_ms, on_contact, en);
}

/* -- what the link tells */

void engine_on_logged_in(struct engine *en)
{
	if (en->login != NULL && en->login->asked && en->login->shares != NULL) {
		shares_close(en->shares);
		en->shares = en->login->shares;
		en->login->shares = NULL;
		engine_shares_changed(en);
	}
	if (en->transfers != NULL)
		transfers_on_login(en->transfers);
	engine_compare_shares(en);
}

/* The same user is just logging in once more: the list goes on, but nothing of it is served by now. */
static void keep_for_login(struct engine *en)
{
	struct share *share = NULL;

	if (en->shares == NULL || en->login == NULL || !en->login->asked || en->login->shares != NULL)
		return;
	while ((share = shares_next(en->shares, share)) != NULL)
		share->served = false;
	en->login->shares = en->shares;
	en->shares = NULL;
}

void engine_on_logged_out(struct engine *en)
{
	if (en->transfers != NULL)
		transfers_unserve_all(en->transfers);
	if (en->comparing != 0)
		link_cancel(en->link, en->comparing);
	en->comparing = 0;
	en->compare_stale = en->compared = false;
	loop_timer_cancel(en->compare_timer);
	keep_for_login(en);
	shares_close(en->shares);
	en->shares = NULL;
	engine_shares_changed(en);
}

void engine_login_free(struct engine *en)
{
	if (en->login != NULL)
		call_free(end_login(en));
}
