/* client/link_calls.c - commands on their way: serials, request ids, pages, deadlines, and another try when a tracker
 * was busy or a connection broke.
 *
 * A call is QUEUED until it may be sent, SENT until its last page is there, RESTING after SHOAL_EBUSY. Then it moves to
 * `ended` and its owner is told by link_calls_deliver() at the end of the step, or at once when the answer is one frame
 * that has just come. It keeps its request id on every tracker, so that it takes effect once. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "client/link_impl.h"
#include "core/base/mem.h"
#include "core/base/name.h"
#include "core/base/planted.h"

#define TOO_LONG "an argument of the command is too long"

static void drop_pages(struct link_call *call)
{
	struct link_page *page;

	while ((page = STAILQ_FIRST(&call->pages)) != NULL) {
		STAILQ_REMOVE_HEAD(&call->pages, entry);
		buf_free(&page->body);
		free(page);
	}
	call->pages_len = 0;
}

static void free_call(struct link_call *call)
{
	drop_pages(call);
	if (call->fields.data != NULL)
		OPENSSL_cleanse(call->fields.data, call->fields.cap); /* there may be a password in it */
	buf_free(&call->fields);
	free(call);
}

/* Over, with an error of ours or with its pages: told by link_calls_deliver(). */
static void end_call(struct link *l, struct link_call *call, enum shoal_err code, const char *text)
{
	if (code != SHOAL_OK)
		error_set(&call->result, code, "%s", text);
	TAILQ_REMOVE(&l->calls, call, entry);
	TAILQ_INSERT_TAIL(&l->ended, call, entry);
}

static const char *offline_text(const struct link *l, char out[ERROR_TEXT_MAX])
{
	const char *what = error_default(SHOAL_EOFFLINE);
	const char *refusal = link_any_refused(l) ? l->refusal : "";
	const char *between = l->trouble[0] != '\0' && refusal[0] != '\0' ? "; " : "";

	if (l->trouble[0] == '\0' && refusal[0] == '\0')
		snprintf(out, ERROR_TEXT_MAX, "%s", what);
	else
		snprintf(out, ERROR_TEXT_MAX, "%s (%.150s%s%.280s)", what, l->trouble, between, refusal);
	return out;
}

/* -- making */

struct link_call *link_call_add(struct link *l, enum cmd_verb verb, const struct buf *fields, uint32_t timeout_ms,
                                bool own, link_reply_fn *fn, void *arg)
{
	struct link_call *call = xalloc(sizeof(*call));
	uint32_t usual = l->config.call_timeout_ms != 0 ? l->config.call_timeout_ms : LINK_CALL_MS;

	call->number = ++l->next_number;
	call->verb = verb;
	call->own = own;
	call->fn = fn;
	call->arg = arg;
	call->deadline_ms = link_now(l) + (timeout_ms != 0 ? timeout_ms : usual);
	if (timeout_ms == 0 && link_known_offline(l)) {
		call->offline_until_ms = link_now(l) + LINK_OFFLINE_CALL_MS;
		link_dial_soon(l);
	}
	STAILQ_INIT(&call->pages);
	if (verb_changes(verb))
		l->config.env->random(l->config.env->ctx, call->request.b, sizeof(call->request.b));
	if (fields != NULL)
		buf_put(&call->fields, fields->data, fields->len);
	TAILQ_INSERT_TAIL(&l->calls, call, entry);
	if (fields != NULL && fields->failed) /* what an encoder refuses is a length over its field's limit */
		end_call(l, call, SHOAL_EUSAGE, TOO_LONG);
	else if (call->fields.failed)
		end_call(l, call, SHOAL_EBUSY, "out of memory");
	return call;
}

uint64_t link_call(struct link *l, enum cmd_verb verb, const struct buf *fields, uint32_t timeout_ms, link_reply_fn *fn,
                   void *arg)
{
	uint64_t number = link_call_add(l, verb, fields, timeout_ms, false, fn, arg)->number;

	link_calls_pump(l);
	link_wake(l);
	return number;
}

void link_cancel(struct link *l, uint64_t number)
{
	struct link_calls *lists[] = { &l->calls, &l->ended };

	if (l->handing != NULL && l->handing->number == number && !l->handing->own)
		l->handing->cancelled = true;
	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		struct link_call *call;
		TAILQ_FOREACH(call, lists[i], entry)
			if (call->number == number && !call->own)
				break;
		if (call == NULL)
			continue;
		TAILQ_REMOVE(lists[i], call, entry);
		free_call(call);
		return;
	}
}

/* -- sending */

static bool is_session_verb(enum cmd_verb verb)
{
	return verb == VERB_LOGIN || verb == VERB_LOGOUT;
}

enum may { MAY_SEND, MAY_WAIT, MAY_NEVER };

/* session_ahead: an earlier LOGIN or LOGOUT is still open, whose outcome decides about those that need a login. */
static enum may may_send(const struct link *l, const struct link_call *call, bool session_ahead)
{
	if (call->own)
		return l->state == LINK_READY || (l->state == LINK_GREETING && call->verb == VERB_HELLO) ? MAY_SEND : MAY_WAIT;
	bool login_matters = verb_needs_login(call->verb) || call->verb == VERB_LOGIN;
	if (login_matters && session_ahead)
		return MAY_WAIT;
	if (verb_needs_login(call->verb) && (!l->has_session || (call->verb == VERB_LOGOUT && l->ask_open)))
		return MAY_NEVER;
	if (l->state != LINK_READY || (login_matters && l->resuming))
		return MAY_WAIT;
	return !verb_needs_login(call->verb) || l->logged_in ? MAY_SEND : MAY_WAIT;
}

enum sent { SENT_OK, SENT_ENDED, SENT_LATER };

/* SENT_LATER: the connection takes no more for now, or is broken. SENT_ENDED: it cannot be sent, that is its answer. */
static enum sent send_call(struct link *l, struct link_call *call)
{
	struct env *env = l->config.env;
	struct buf out = { 0 };
	struct cmd_head head = { .serial = l->next_serial, .request = call->request, .verb = (uint16_t)call->verb };
	size_t most = l->logged_in ? FRAME_CMD_MAX : FRAME_STRANGER_MAX;

	if (env->queued(env->ctx, l->conn) > LINK_QUEUED_MAX) {
		l->look_again_ms = link_now(l) + LINK_QUEUED_LOOK_MS;
		return SENT_LATER;
	}
	buf_reserve(&out, call->fields.len + 64); /* in one piece: a password leaves no copies behind */
	size_t start = frame_begin(&out, TAG_CMD);
	cmd_head_put(&out, &head);
	buf_put(&out, call->fields.data, call->fields.len);
	enum shoal_err rc = frame_end(&out, start);
	enum sent done = SENT_ENDED;
	if (rc == SHOAL_EINTERNAL || (rc == SHOAL_OK && out.len - 4 > most)) { /* what the length word counts */
		end_call(l, call, SHOAL_EUSAGE, TOO_LONG);
	} else if (rc != SHOAL_OK) {
		end_call(l, call, SHOAL_EBUSY, "out of memory");
	} else {
		call->serial = l->next_serial++;
		call->state = LCALL_SENT;
		call->offline_until_ms = 0; /* there is a tracker: from now on it is as patient as any */
		if (l->asked_ms == 0)
			l->asked_ms = link_now(l);
		l->broken = env->send(env->ctx, l->conn, out.data, out.len) != SHOAL_OK;
		done = l->broken ? SENT_LATER : SENT_OK;
	}
	if (out.data != NULL)
		OPENSSL_cleanse(out.data, out.cap);
	buf_free(&out);
	return done;
}

void link_calls_pump(struct link *l)
{
	struct link_call *call, *next;
	bool session_ahead = false;

	if (l->broken)
		return;
	l->look_again_ms = 0;
	for (call = TAILQ_FIRST(&l->calls); call != NULL; call = next) {
		next = TAILQ_NEXT(call, entry);
		enum may may = call->state == LCALL_QUEUED ? may_send(l, call, session_ahead) : MAY_WAIT;
		enum sent sent = SENT_OK;
		bool session_verb = !call->own && is_session_verb(call->verb);
		if (may == MAY_NEVER)
			end_call(l, call, SHOAL_EAUTH, "not logged in");
		else if (may == MAY_SEND)
			sent = send_call(l, call);
		if (sent == SENT_LATER)
			return;
		if (may != MAY_NEVER && sent == SENT_OK && session_verb)
			session_ahead = true;
	}
}

/* -- answers */

static struct link_call *find_sent(struct link *l, uint32_t serial)
{
	struct link_call *call;

	TAILQ_FOREACH(call, &l->calls, entry)
		if (call->state == LCALL_SENT && call->serial == serial)
			return call;
	return NULL;
}

/* The newest stamp of each log; the oldest of all makes room. */
static void note_stamp(struct link *l, const struct stamp *stamp)
{
	size_t at = 0;

	for (size_t i = 0; i < l->n_seen; i++) {
		if (l->seen[i].dot.log == stamp->dot.log) {
			if (dot_cmp(l->seen[i].dot, stamp->dot) < 0)
				l->seen[i] = *stamp;
			return;
		}
		if (stamp_cmp(&l->seen[i], &l->seen[at]) < 0)
			at = i;
	}
	if (l->n_seen < LINK_SEEN_MAX)
		at = l->n_seen++;
	l->seen[at] = *stamp;
}

static bool lacks(const struct rply_head *head)
{
	return head->code == SHOAL_EBUSY && (head->flags & RPLY_LACKS) != 0;
}

/* The tracker lacks changes that we made elsewhere: that is told, once, and from then on we go on without them. */
static void on_lacks(struct link *l, struct slice message)
{
	char text[ERROR_TEXT_MAX];

	if (l->n_seen == 0)
		return;
	l->n_seen = 0;
	text_escape(message.data, message.len, text, sizeof(text));
	log_line(l->config.env->log, LOG_WARN, "link", "%s", text);
	link_tell(l, &(struct link_news){ .type = LINK_LACKS, .tracker = link_tracker_id(l), .text = text });
}

static enum shoal_err keep_page(struct link_call *call, struct slice body)
{
	struct link_page *page = try_alloc(sizeof(*page));

	if (page == NULL || call->pages_len + body.len > LINK_PAGES_MAX) {
		free(page);
		return SHOAL_EBUSY;
	}
	buf_put(&page->body, body.data, body.len);
	if (page->body.failed) {
		buf_free(&page->body);
		free(page);
		return SHOAL_EBUSY;
	}
	STAILQ_INSERT_TAIL(&call->pages, page, entry);
	call->pages_len += body.len;
	return SHOAL_OK;
}

/* The tracker is busy for a moment (a limit with a wait of its own is SHOAL_EQUOTA, and an answer): rest, and try again.
 * False: it was busy for long enough, or the call would be over before the next try; then that is the answer. */
static bool rest(struct link *l, struct link_call *call, struct slice message)
{
	uint64_t now = link_now(l);

	if (call->busy_until_ms == 0)
		call->busy_until_ms = now + LINK_BUSY_MS;
	if (now >= call->busy_until_ms || call->verb == VERB_HELLO)
		return false;
	uint32_t pause = call->busy_pause_ms * 2;
	if (pause < LINK_BUSY_PAUSE_MIN_MS)
		pause = LINK_BUSY_PAUSE_MIN_MS;
	if (pause > LINK_BUSY_PAUSE_MAX_MS)
		pause = LINK_BUSY_PAUSE_MAX_MS;
	uint64_t again_ms = now + pause * 3 / 4 + link_random(l, pause / 2);
	if (!call->own && again_ms >= call->deadline_ms)
		return false;
	call->busy_pause_ms = pause;
	call->retry_at_ms = again_ms;
	call->state = LCALL_RESTING;
	drop_pages(call);
	error_set(&call->result, SHOAL_EBUSY, "%.*s", (int)(message.len < ERROR_TEXT_MAX ? message.len : ERROR_TEXT_MAX),
	          message.len > 0 ? (const char *)message.data : "");
	return true;
}

/* Hands one frame to the owner, who may cancel the call at the first of several, or at the news before it. The call is in
 * no list any more, but l->handing. */
static void hand_over(struct link_call *call, struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct rply_head head;
	char message[ERROR_TEXT_MAX];
	struct link_reply reply = { .message = message };

	rply_head_get(&c, &head); /* it could be read when it came */
	size_t len = head.message.len < sizeof(message) ? head.message.len : sizeof(message) - 1;
	memcpy(message, len > 0 ? (const char *)head.message.data : "", len);
	message[len] = '\0';
	reply.code = head.code;
	reply.stamp = head.stamp;
	reply.synced = (head.flags & RPLY_SYNCED) != 0 ? head.synced : -1;
	reply.more = (head.flags & RPLY_MORE) != 0;
	reply.fields = slice_of(c.p, cursor_left(&c));
	if (!call->cancelled)
		call->fn(call->arg, &reply);
}

static void hand_over_error(struct link_call *call)
{
	struct link_reply reply = { .code = call->result.code, .message = call->result.message };

	call->fn(call->arg, &reply);
}

/* The last frame is there. */
static void answered(struct link *l, struct link_call *call, const struct rply_head *head, struct slice body,
                     struct slice fields)
{
	struct link_page *page;

	TAILQ_REMOVE(&l->calls, call, entry);
	l->useful |= !call->own;
	l->handing = call;
	if (!stamp_is_zero(&head->stamp))
		note_stamp(l, &head->stamp);
	if (lacks(head))
		on_lacks(l, head->message);
	if (!call->own)
		link_session_on_answer(l, call, head->code, fields);
	if (head->code == SHOAL_OK) /* an error in the middle of a list is the whole answer */
		STAILQ_FOREACH(page, &call->pages, entry)
			hand_over(call, slice_of(page->body.data, page->body.len));
	hand_over(call, body);
	l->handing = NULL;
	free_call(call);
}

enum shoal_err link_calls_on_reply(struct link *l, struct slice body, struct error *e)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct rply_head head;

	rply_head_get(&c, &head);
	if (c.bad)
		return error_set(e, SHOAL_EPROTO, "a reply that cannot be read");
	if (head.serial == 0 || head.serial >= l->next_serial)
		return error_set(e, SHOAL_EPROTO, "a reply to something that was not asked");
	struct link_call *call = find_sent(l, head.serial);
	if (call == NULL)
		return SHOAL_OK; /* cancelled, or its time was over */
	if (call->own && (head.flags & RPLY_MORE) != 0 && !PLANTED(own_pages)) /* none of ours gives a list; the first page could end the link */
		return error_set(e, SHOAL_EPROTO, "'%s' answered in pages", verb_word(call->verb));
	if (head.code == SHOAL_EBUSY && !lacks(&head) && rest(l, call, head.message))
		return SHOAL_OK;
	if (head.code == SHOAL_OK && (head.flags & RPLY_MORE) != 0) {
		if (keep_page(call, body) != SHOAL_OK)
			end_call(l, call, SHOAL_EBUSY, "the answer is too long for the memory there is");
		return SHOAL_OK;
	}
	if ((head.flags & RPLY_MORE) != 0)
		return error_set(e, SHOAL_EPROTO, "an error with more to follow");
	answered(l, call, &head, body, slice_of(c.p, cursor_left(&c)));
	return SHOAL_OK;
}

void link_calls_deliver(struct link *l)
{
	struct link_call *call;

	while ((call = TAILQ_FIRST(&l->ended)) != NULL) {
		TAILQ_REMOVE(&l->ended, call, entry);
		l->handing = call;
		if (!call->own)
			link_session_on_answer(l, call, call->result.code, slice_of(NULL, 0));
		if (!call->cancelled)
			hand_over_error(call);
		l->handing = NULL;
		free_call(call);
	}
}

/* -- time, and the end of connections */

static void time_over(struct link *l, struct link_call *call)
{
	char text[ERROR_TEXT_MAX];

	if (call->busy_until_ms != 0) {
		snprintf(text, sizeof(text), "%s", call->result.message); /* what the tracker said */
		end_call(l, call, SHOAL_EBUSY, text[0] != '\0' ? text : "the tracker is busy");
	} else if (l->state != LINK_READY) {
		end_call(l, call, SHOAL_EOFFLINE, offline_text(l, text));
	} else if (call->state == LCALL_QUEUED && link_session_pending(l)) {
		end_call(l, call, SHOAL_EAUTH, "not logged in again yet");
	} else {
		snprintf(text, sizeof(text), "tracker %u did not answer '%s' in time", link_tracker_id(l),
		         verb_word(call->verb));
		end_call(l, call, SHOAL_ETIMEOUT, text);
	}
}

/* A connection that is being made when the hurried time is over gets the chance to be one. */
static uint64_t deadline_of(const struct link *l, const struct link_call *call)
{
	bool connected = l->state == LINK_GREETING || l->state == LINK_READY;
	bool hurried = call->offline_until_ms != 0 && !connected && call->offline_until_ms < call->deadline_ms;

	return hurried ? call->offline_until_ms : call->deadline_ms;
}

void link_calls_expire(struct link *l)
{
	uint64_t now = link_now(l);
	struct link_call *call, *next;

	for (call = TAILQ_FIRST(&l->calls); call != NULL; call = next) {
		next = TAILQ_NEXT(call, entry);
		if (now >= deadline_of(l, call))
			time_over(l, call);
		else if (call->state == LCALL_RESTING && now >= call->retry_at_ms)
			call->state = LCALL_QUEUED;
	}
}

uint64_t link_calls_deadline(const struct link *l)
{
	uint64_t at = ENV_NEVER;
	const struct link_call *call;

	TAILQ_FOREACH(call, &l->calls, entry) {
		if (deadline_of(l, call) < at)
			at = deadline_of(l, call);
		if (call->state == LCALL_RESTING && call->retry_at_ms < at)
			at = call->retry_at_ms;
	}
	return at;
}

void link_calls_unsend(struct link *l)
{
	struct link_call *call, *next;

	for (call = TAILQ_FIRST(&l->calls); call != NULL; call = next) {
		next = TAILQ_NEXT(call, entry);
		drop_pages(call);
		if (call->own) {
			TAILQ_REMOVE(&l->calls, call, entry);
			free_call(call);
		} else if (call->state == LCALL_SENT) {
			call->state = LCALL_QUEUED;
		}
	}
}

void link_calls_end_all(struct link *l, enum shoal_err code, const char *text)
{
	struct link_call *call;

	while ((call = TAILQ_FIRST(&l->calls)) != NULL)
		end_call(l, call, code, text);
}

void link_calls_free(struct link *l)
{
	struct link_call *call;

	link_calls_end_all(l, SHOAL_ECANCELLED, error_default(SHOAL_ECANCELLED));
	link_calls_deliver(l);
	while ((call = TAILQ_FIRST(&l->calls)) != NULL) { /* made by those who were just told */
		TAILQ_REMOVE(&l->calls, call, entry);
		free_call(call);
	}
}
