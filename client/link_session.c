/* client/link_session.c - who we are to the tracker: HELLO, the token, logging in again, heartbeats.
 *
 * A session survives its connection: it is resumed with its token on the next tracker (HELLO carries it), or, if that is
 * refused, made anew with the password, as far as auto_login allows. With AUTO_LOGIN_ASK the first break asks: HELLO goes
 * without the token, and RESUME follows when the answer is yes. Both answers hold for the rest of the process. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "client/link_impl.h"
#include "core/base/name.h"

/* -- the session's own state */

static void wipe_password(struct link *l)
{
	if (l->password.data != NULL)
		OPENSSL_cleanse(l->password.data, l->password.cap);
	buf_free(&l->password);
}

void link_session_wipe(struct link *l)
{
	wipe_password(l);
	OPENSSL_cleanse(l->token, sizeof(l->token));
	l->token_len = 0;
	l->has_session = l->logged_in = l->resuming = l->ask_open = l->resume_once = false;
	memset(l->status.user, 0, sizeof(l->status.user));
	memset(&l->status.uid, 0, sizeof(l->status.uid));
	l->status.since_ms = 0;
}

void link_session_forget(struct link *l, const char *why)
{
	bool had = l->has_session;
	char user[sizeof(l->status.user)];

	memcpy(user, l->status.user, sizeof(user));
	link_session_wipe(l);
	if (had)
		link_tell(l, &(struct link_news){ .type = LINK_LOGGED_OUT, .user = user, .text = why });
}

bool link_session_pending(const struct link *l)
{
	return l->has_session && !l->logged_in;
}

static bool keep_token(struct link *l, struct slice token)
{
	if (token.len == 0 || token.len > sizeof(l->token))
		return false;
	OPENSSL_cleanse(l->token, sizeof(l->token));
	memcpy(l->token, token.data, token.len);
	l->token_len = token.len;
	return true;
}

static void keep_password(struct link *l, struct slice password)
{
	wipe_password(l);
	if (l->auto_login != AUTO_LOGIN_NO)
		buf_put(&l->password, password.data, password.len);
	if (l->password.failed)
		buf_free(&l->password);
}

/* `user` is empty where a tracker knows the session by its token only: then the name stays as it was. */
static void now_logged_in(struct link *l, struct slice user, const struct id16 *uid)
{
	if (user.len > 0)
		slice_to_str(user, l->status.user, sizeof(l->status.user));
	l->status.uid = *uid;
	l->has_session = l->logged_in = true;
	l->resuming = l->ask_open = l->resume_once = false;
	if (l->status.since_ms == 0)
		l->status.since_ms = l->config.env->wall_ms(l->config.env->ctx);
	link_tell(l, &(struct link_news){
	    .type = LINK_LOGGED_IN, .tracker = link_tracker_id(l), .user = l->status.user, .uid = l->status.uid });
}

static bool is_user(const struct link *l, struct slice user, const struct id16 *uid)
{
	bool same = l->has_session && id16_eq(uid, &l->status.uid);

	return user.len < sizeof(l->status.user) && (user.len > 0 || same);
}

/* The answer of LOGIN, RESUME and CHANGE_PASSWORD. False if it cannot be read. */
static bool get_session(const struct link *l, struct slice fields, struct rep_session *out)
{
	struct cursor c = cursor_of(fields.data, fields.len);
	rep_session_get(&c, out);
	return cursor_end(&c) == SHOAL_OK && out->token.len > 0 && out->token.len <= LINK_TOKEN_MAX &&
	       is_user(l, out->user, &out->uid);
}

/* -- resuming */

static void login_again(struct link *l);

static void on_login_again(void *arg, const struct link_reply *reply)
{
	struct link *l = arg;
	struct rep_session session;
	char why[ERROR_TEXT_MAX];

	l->resuming = false;
	if (reply->code == SHOAL_OK && get_session(l, reply->fields, &session)) {
		keep_token(l, session.token);
		now_logged_in(l, session.user, &session.uid);
	} else if (reply->code == SHOAL_EBUSY || reply->code == SHOAL_ETIMEOUT || reply->code == SHOAL_EOFFLINE ||
	           reply->code == SHOAL_EQUOTA || reply->code == SHOAL_OK) {
		link_drop(l, reply->code == SHOAL_OK ? "it answers a login with nonsense" : "it cannot log us in again");
	} else {
		snprintf(why, sizeof(why), "cannot log in again: %.400s", reply->message);
		link_session_forget(l, why);
	}
}

static void login_again(struct link *l)
{
	struct buf fields = { 0 };
	struct req_user_password req = { .user = slice_str(l->status.user),
		                         .password = slice_of(l->password.data, l->password.len) };

	if (l->password.len == 0 || l->auto_login == AUTO_LOGIN_NO) {
		link_session_forget(l, "the tracker does not accept the session any more");
		return;
	}
	l->resuming = true;
	buf_reserve(&fields, req.user.len + req.password.len + 8);
	req_user_password_put(&fields, &req);
	link_call_add(l, VERB_LOGIN, &fields, 0, true, on_login_again, l);
	if (fields.data != NULL)
		OPENSSL_cleanse(fields.data, fields.cap);
	buf_free(&fields);
}

static void on_resume(void *arg, const struct link_reply *reply)
{
	struct link *l = arg;
	struct rep_session session;

	l->resuming = false;
	if (reply->code == SHOAL_OK && get_session(l, reply->fields, &session)) {
		keep_token(l, session.token);
		now_logged_in(l, session.user, &session.uid);
	} else if (reply->code == SHOAL_OK || reply->code == SHOAL_EBUSY || reply->code == SHOAL_ETIMEOUT ||
	           reply->code == SHOAL_EOFFLINE) {
		link_drop(l, "it cannot resume the session");
	} else {
		login_again(l);
	}
}

static void resume(struct link *l)
{
	struct buf fields = { 0 };
	struct req_resume req = { .token = slice_of(l->token, l->token_len) };

	l->resuming = true;
	req_resume_put(&fields, &req);
	link_call_add(l, VERB_RESUME, &fields, 0, true, on_resume, l);
	if (fields.data != NULL)
		OPENSSL_cleanse(fields.data, fields.cap);
	buf_free(&fields);
}

void link_session_on_break(struct link *l)
{
	l->logged_in = l->resuming = false;
	if (l->has_session && l->auto_login == AUTO_LOGIN_NO && !l->resume_once)
		link_session_forget(l, "the connection to the tracker broke, and auto_login is off");
}

void link_answer(struct link *l, bool yes)
{
	if (!l->ask_open)
		return;
	l->ask_open = false;
	link_set_auto_login(l, yes ? AUTO_LOGIN_YES : AUTO_LOGIN_NO);
	if (!yes)
		link_session_forget(l, "not logged in again, as wished");
	else if (l->state == LINK_READY && link_session_pending(l) && !l->resuming)
		resume(l);
	link_calls_pump(l);
	link_wake(l);
}

void link_set_auto_login(struct link *l, enum auto_login how)
{
	l->auto_login = how;
	if (how == AUTO_LOGIN_NO)
		wipe_password(l);
}

/* -- HELLO */

/* The tracker's clock in an answer, taken to be that of the middle between question and answer. */
static void take_clock(struct link *l, uint64_t tracker_wall_ms)
{
	uint64_t now = l->config.env->wall_ms(l->config.env->ctx);
	uint64_t rtt = now > l->clock_asked_ms ? now - l->clock_asked_ms : 0;

	if (rtt > l->clock_rtt_ms)
		return;
	l->clock_rtt_ms = rtt;
	l->status.clock_offset_ms = (int64_t)(tracker_wall_ms - (now - rtt / 2));
}

static void take_hello(struct link *l, const struct rep_hello *hello)
{
	struct env *env = l->config.env;
	char you[ADDRESS_MAX];

	l->status.plaintext = hello->plaintext != 0;
	l->status.ticket_key = hello->ticket_key;
	l->clock_rtt_ms = UINT64_MAX;
	take_clock(l, hello->wall_ms);
	memset(&l->status.you, 0, sizeof(l->status.you));
	if (slice_to_str(hello->you, you, sizeof(you)))
		address_parse(you, true, &l->status.you, NULL);
	l->heartbeat_ms = hello->heartbeat_ms != 0 ? hello->heartbeat_ms : LINK_HEARTBEAT_MS;
	if (l->heartbeat_ms < LINK_HEARTBEAT_MIN_MS)
		l->heartbeat_ms = LINK_HEARTBEAT_MIN_MS;
	if (l->heartbeat_ms > LINK_HEARTBEAT_MAX_MS)
		l->heartbeat_ms = LINK_HEARTBEAT_MAX_MS;
	l->heartbeat_at_ms = link_now(l) + l->heartbeat_ms;
	if (hello->tracker != link_tracker_id(l))
		log_line(env->log, LOG_WARN, "link", "the tracker listed as %u says that it is %u", link_tracker_id(l),
		         hello->tracker);
}

/* What becomes of the session now that a tracker is there again. */
static void after_hello(struct link *l, const struct rep_hello *hello, bool resumed)
{
	link_tell(l, &(struct link_news){ .type = LINK_UP, .tracker = link_tracker_id(l), .logged_in = resumed });
	if (resumed) {
		keep_token(l, hello->token);
		now_logged_in(l, hello->user, &hello->uid);
	} else if (l->has_session && l->token_told) {
		login_again(l);
	} else if (l->has_session && l->auto_login == AUTO_LOGIN_YES) {
		resume(l); /* the answer to the question came between HELLO and its reply */
	} else if (l->has_session && !l->ask_open) {
		l->ask_open = true;
		link_tell(l, &(struct link_news){ .type = LINK_ASK, .user = l->status.user });
	}
}

static void on_hello(void *arg, const struct link_reply *reply)
{
	struct link *l = arg;
	struct cursor c = cursor_of(reply->fields.data, reply->fields.len);
	struct rep_hello hello;
	char text[ERROR_TEXT_MAX];

	if (reply->code != SHOAL_OK) {
		snprintf(text, sizeof(text), "HELLO was refused: %.400s", reply->message);
		link_drop(l, text);
		return;
	}
	rep_hello_get(&c, &hello);
	if (cursor_end(&c) != SHOAL_OK || hello.version != PROTOCOL_VERSION) {
		link_drop(l, cursor_end(&c) != SHOAL_OK ? "it answers HELLO with nonsense" : "it speaks another version");
		return;
	}
	bool resumed = l->has_session && l->token_told && hello.resumed != 0 && is_user(l, hello.user, &hello.uid);
	l->state = LINK_READY;
	l->offline_told = false;
	l->state_since_ms = link_now(l);
	take_hello(l, &hello);
	after_hello(l, &hello, resumed);
}

void link_session_greet(struct link *l)
{
	struct buf fields = { 0 }, seen = { 0 };
	char listen[ADDRESS_MAX];
	struct req_hello req = { .version = PROTOCOL_VERSION };

	l->token_told = l->has_session && (l->auto_login == AUTO_LOGIN_YES || l->resume_once);
	for (size_t i = 0; i < l->n_seen; i++)
		stamp_put(&seen, &l->seen[i]);
	req.listen = slice_str(address_format(&l->config.listen, listen));
	req.token = slice_of(l->token, l->token_told ? l->token_len : 0);
	req.seen = slice_of(seen.data, seen.failed ? 0 : seen.len);
	req_hello_put(&fields, &req);
	l->clock_asked_ms = l->config.env->wall_ms(l->config.env->ctx);
	link_call_add(l, VERB_HELLO, &fields, LINK_HELLO_MS, true, on_hello, l);
	if (fields.data != NULL)
		OPENSSL_cleanse(fields.data, fields.cap);
	buf_free(&fields);
	buf_free(&seen);
}

/* -- heartbeats */

static void on_heartbeat(void *arg, const struct link_reply *reply)
{
	struct link *l = arg;
	struct cursor c = cursor_of(reply->fields.data, reply->fields.len);
	struct rep_heartbeat beat;

	if (reply->code != SHOAL_OK) /* a dead connection is noticed by its silence */
		return;
	rep_heartbeat_get(&c, &beat);
	if (cursor_end(&c) != SHOAL_OK) {
		link_drop(l, "it answers a heartbeat with nonsense");
		return;
	}
	take_clock(l, beat.wall_ms);
	if (l->logged_in && beat.token.len > 0)
		keep_token(l, beat.token);
	if (l->logged_in && beat.differ != 0)
		link_tell(l, &(struct link_news){ .type = LINK_SHARES_DIFFER, .tracker = link_tracker_id(l) });
}

void link_session_heartbeat(struct link *l)
{
	struct buf fields = { 0 };
	struct req_heartbeat req = { .shares = l->shares, .shares_digest = l->shares_digest };

	l->heartbeat_told_ms = link_now(l);
	l->heartbeat_at_ms = link_now(l) + l->heartbeat_ms;
	l->clock_asked_ms = l->config.env->wall_ms(l->config.env->ctx);
	req_heartbeat_put(&fields, &req);
	link_call_add(l, VERB_HEARTBEAT, &fields, LINK_SILENT_MS * 2, true, on_heartbeat, l);
	buf_free(&fields);
}

/* -- what the owner does himself */

static void on_owner_login(struct link *l, const struct link_call *call, struct slice fields)
{
	struct cursor c = cursor_of(call->fields.data, call->fields.len);
	struct req_user_password asked;
	struct rep_session session;

	if (!get_session(l, fields, &session))
		return; /* the owner finds that out too */
	req_user_password_get(&c, &asked);
	if (l->has_session && !id16_eq(&session.uid, &l->status.uid))
		link_session_forget(l, "another user logs in");
	keep_token(l, session.token);
	keep_password(l, asked.password);
	l->status.since_ms = 0;
	now_logged_in(l, session.user, &session.uid);
}

static void on_owner_password(struct link *l, const struct link_call *call, struct slice fields)
{
	struct cursor c = cursor_of(call->fields.data, call->fields.len);
	struct req_change_password asked;
	struct rep_session session;

	if (!l->has_session || !get_session(l, fields, &session))
		return;
	req_change_password_get(&c, &asked);
	keep_token(l, session.token);
	keep_password(l, asked.fresh);
}

void link_session_on_answer(struct link *l, const struct link_call *call, enum shoal_err code, struct slice fields)
{
	if (call->verb == VERB_LOGIN && code == SHOAL_OK)
		on_owner_login(l, call, fields);
	else if (call->verb == VERB_CHANGE_PASSWORD && code == SHOAL_OK)
		on_owner_password(l, call, fields);
	else if (call->verb == VERB_LOGOUT) /* also when no tracker could be told: the password has to go */
		link_session_forget(l, "logout");
}
