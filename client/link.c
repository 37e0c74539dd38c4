/* client/link.c - the connection: which tracker, when, and when it is given up.
 *
 * IDLE -> DIALLING -> GREETING -> READY, and back to IDLE from everywhere by link_drop(). The trackers of the list are
 * tried in turn. A round in which none had luck is followed by a pause. Nothing here calls the owner while the state is
 * half changed, so that news and answers may call any public function. */
#include "client/link.h"

#include <stdio.h>
#include <string.h>

#include "client/link_impl.h"
#include "core/base/mem.h"
#include "core/base/name.h"

uint64_t link_now(const struct link *l)
{
	return l->config.env->mono_ms(l->config.env->ctx);
}

uint32_t link_random(struct link *l, uint32_t below)
{
	uint32_t r = 0;
	l->config.env->random(l->config.env->ctx, &r, sizeof(r));
	return below > 0 ? r % below : 0;
}

void link_tell(struct link *l, const struct link_news *news)
{
	l->config.news(l->config.owner, news);
}

void link_wake(struct link *l)
{
	if (l->config.wake != NULL)
		l->config.wake(l->config.owner);
}

uint16_t link_tracker_id(const struct link *l)
{
	return l->config.trackers->trackers[l->at].id;
}

/* Why the last try came to nothing, with the tracker's address: part of the sentence of SHOAL_EOFFLINE. */
static void set_trouble(struct link *l, const char *why)
{
	char address[ADDRESS_MAX], shown[ERROR_TEXT_MAX / 2];

	address_format(&l->config.trackers->trackers[l->at].addr, address);
	text_escape(why, strlen(why), shown, sizeof(shown));
	if (strstr(shown, address) != NULL) /* the sentence names it already */
		snprintf(l->trouble, sizeof(l->trouble), "%s", shown);
	else
		snprintf(l->trouble, sizeof(l->trouble), "%s: %.200s", address, shown);
}

bool link_any_refused(const struct link *l)
{
	for (size_t i = 0; i < l->config.trackers->n; i++)
		if (l->refused[i])
			return true;
	return false;
}

static bool all_refused(const struct link *l)
{
	for (size_t i = 0; i < l->config.trackers->n; i++)
		if (!l->refused[i])
			return false;
	return true;
}

/* round_pause_ms: a round without luck is over since the last connection that lasted. */
bool link_known_offline(const struct link *l)
{
	uint32_t usual = l->config.call_timeout_ms != 0 ? l->config.call_timeout_ms : LINK_CALL_MS;

	return l->state != LINK_READY && l->round_pause_ms > 0 && link_now(l) - l->offline_since_ms >= usual;
}

void link_dial_soon(struct link *l)
{
	uint64_t soon = l->state_since_ms + LINK_ROUND_PAUSE_MIN_MS;

	if (l->state == LINK_IDLE && soon < l->retry_at_ms)
		l->retry_at_ms = soon;
}

static void plan_next_dial(struct link *l, bool luck)
{
	uint64_t now = link_now(l);

	l->failures = luck ? 0 : l->failures + 1;
	if (luck)
		l->round_pause_ms = 0;
	l->at = (l->at + 1) % l->config.trackers->n;
	l->retry_at_ms = now;
	if (l->failures < l->config.trackers->n)
		return;
	uint32_t pause = l->round_pause_ms * 2;
	if (pause < LINK_ROUND_PAUSE_MIN_MS)
		pause = LINK_ROUND_PAUSE_MIN_MS;
	if (pause > LINK_ROUND_PAUSE_MAX_MS)
		pause = LINK_ROUND_PAUSE_MAX_MS;
	l->round_pause_ms = pause;
	l->failures = 0;
	l->retry_at_ms = now + pause * 3 / 4 + link_random(l, pause / 2);
}

/* The connection is over, for whatever reason; the descriptor too unless the other side closed it. */
static void break_off(struct link *l, bool close_it)
{
	struct env *env = l->config.env;

	if (close_it && l->conn != 0)
		env->close(env->ctx, l->conn);
	l->conn = 0;
	l->state = LINK_IDLE;
	l->state_since_ms = link_now(l);
	l->asked_ms = 0;
	l->look_again_ms = 0;
	l->broken = false;
	l->useful = false;
	l->leaving = false;
	frame_reader_fini(&l->reader);
	link_calls_unsend(l);
}

static void leave(struct link *l, bool close_it, const char *why)
{
	bool was_ready = l->state == LINK_READY;
	bool luck = was_ready && (l->useful || link_now(l) - l->state_since_ms >= LINK_LUCK_MS);
	uint16_t tracker = link_tracker_id(l);
	char text[ERROR_TEXT_MAX];

	set_trouble(l, why);
	snprintf(text, sizeof(text), "%s", l->trouble);
	log_line(l->config.env->log, was_ready ? LOG_INFO : LOG_DEBUG, "link", "tracker %u: %s", tracker, text);
	break_off(l, close_it);
	plan_next_dial(l, luck);
	if (was_ready) {
		l->offline_since_ms = link_now(l);
		l->offline_told = true;
		link_tell(l, &(struct link_news){ .type = LINK_LOST, .tracker = tracker, .text = text });
		link_session_on_break(l);
	}
}

void link_drop(struct link *l, const char *why)
{
	if (l->state != LINK_IDLE)
		leave(l, true, why);
}

/* -- events */

/* Its identity is wrong. Said once, until a right one has been seen there. Not part of the trouble: both are told. */
static void refuse(struct link *l, uint16_t id, const struct error *e)
{
	bool told = l->refused[l->at];

	l->refused[l->at] = true;
	snprintf(l->refusal, sizeof(l->refusal), "tracker %u is refused: %.400s", id, e->message);
	log_line(l->config.env->log, told ? LOG_DEBUG : LOG_ERROR, "link", "%s", l->refusal);
	break_off(l, true);
	plan_next_dial(l, false);
	if (!told)
		link_tell(l, &(struct link_news){ .type = LINK_REFUSED, .tracker = id, .text = e->message });
}

static void on_connected(struct link *l, const struct env_event *ev)
{
	const struct tracker_line *line = &l->config.trackers->trackers[l->at];
	struct error e = { 0 };

	if (l->config.pin(l->config.owner, &line->addr, &ev->identity, &e) != SHOAL_OK) {
		refuse(l, line->id, &e);
		return;
	}
	l->refused[l->at] = false;
	l->state = LINK_GREETING;
	l->state_since_ms = l->heard_ms = link_now(l);
	l->next_serial = 1;
	frame_reader_init(&l->reader, FRAMES_TRACKER);
	link_session_greet(l);
}

static void heartbeat_soon(struct link *l)
{
	uint64_t soon = l->heartbeat_told_ms + LINK_HEARTBEAT_AGAIN_MS;

	if (soon < l->heartbeat_at_ms)
		l->heartbeat_at_ms = soon;
}

static enum shoal_err on_event_frame(struct link *l, struct slice body, struct error *e)
{
	struct cursor c = cursor_of(body.data, body.len);
	unsigned kind = get_u16(&c);
	struct ev_session_ended ended;

	if (l->state != LINK_READY)
		return error_set(e, SHOAL_EPROTO, "an event before the answer to HELLO");
	if (!c.bad && event_word(kind) == NULL) {
		log_line(l->config.env->log, LOG_DEBUG, "link", "unknown event %u is ignored", kind);
		return SHOAL_OK;
	}
	if (evnt_check(body) != SHOAL_OK)
		return error_set(e, SHOAL_EPROTO, "an event that cannot be read");
	link_tell(l, &(struct link_news){ .type = LINK_EVENT,
	                                  .tracker = link_tracker_id(l),
	                                  .kind = kind,
	                                  .body = slice_of(c.p, cursor_left(&c)) });
	if (kind == EVENT_SESSION_ENDED) {
		char why[128];
		ev_session_ended_get(&c, &ended);
		text_escape(ended.reason.data, ended.reason.len, why, sizeof(why));
		link_session_forget(l, why);
	} else if (kind == EVENT_LEAVING) {
		l->leaving = true;
	} else if (kind == EVENT_DIAL) {
		heartbeat_soon(l); /* somebody could not reach us: the tracker wants to know whether we are there at all */
	}
	return SHOAL_OK;
}

static void on_bytes(struct link *l, const struct env_event *ev)
{
	struct slice in = slice_of(ev->data, ev->len);
	struct frame frame;
	struct error e = { 0 };
	enum shoal_err rc;

	if (l->state != LINK_GREETING && l->state != LINK_READY)
		return;
	l->asked_ms = 0;
	l->heard_ms = link_now(l);
	while ((rc = frame_read(&l->reader, &in, &frame, &e)) == SHOAL_OK) {
		if (frame.tag == TAG_RPLY)
			rc = link_calls_on_reply(l, frame.body, &e);
		else
			rc = on_event_frame(l, frame.body, &e);
		if (l->conn != ev->conn) /* a reply made us leave */
			return;
		if (rc != SHOAL_OK)
			break;
	}
	if (rc != SHOAL_ENOTFOUND)
		link_drop(l, e.message[0] != '\0' ? e.message : error_default(rc));
}

static void take_event(struct link *l, const struct env_event *ev)
{
	if (ev->type == ENV_TICK || l->conn == 0 || ev->conn != l->conn)
		return;
	if (ev->type == ENV_CONNECTED && l->state == LINK_DIALLING)
		on_connected(l, ev);
	else if (ev->type == ENV_BYTES)
		on_bytes(l, ev);
	else if (ev->type == ENV_CLOSED)
		leave(l, false, ev->message != NULL && ev->message[0] != '\0' ? ev->message : "the connection was closed");
}

/* -- what time brings */

static void dial(struct link *l)
{
	struct env *env = l->config.env;

	l->state = LINK_DIALLING;
	l->state_since_ms = link_now(l);
	l->conn = env->dial(env->ctx, &l->config.trackers->trackers[l->at].addr, ALPN_CLIENT);
	if (l->conn == 0)
		leave(l, false, "cannot dial");
}

static void hop(struct link *l)
{
	l->hop = false;
	link_drop(l, "going to another tracker");
	l->at = l->hop_to;
	l->retry_at_ms = link_now(l);
}

/* When to tell that there is no tracker though none was ever lost. */
static uint64_t tell_offline_at(const struct link *l)
{
	if (l->state == LINK_READY || l->offline_told || l->round_pause_ms == 0 || l->trouble[0] == '\0')
		return ENV_NEVER;
	return l->offline_since_ms + LINK_OFFLINE_TELL_MS;
}

static void tell_offline(struct link *l)
{
	char text[ERROR_TEXT_MAX];

	l->offline_told = true;
	snprintf(text, sizeof(text), "%s", l->trouble);
	link_tell(l, &(struct link_news){ .type = LINK_LOST, .tracker = link_tracker_id(l), .text = text });
}

/* When a connection on which nothing comes is given up. A heartbeat asks every 10 s, so that is 20 s after the last sign of
 * life, and never before what was asked has had its time. */
static uint64_t silent_at(const struct link *l)
{
	uint64_t silent = l->heard_ms + LINK_SILENT_MS, unanswered = l->asked_ms + LINK_UNANSWERED_MS;

	if (l->asked_ms == 0)
		return ENV_NEVER;
	return silent > unanswered ? silent : unanswered;
}

static void look_at_clock(struct link *l)
{
	uint64_t now = link_now(l);

	if (l->broken)
		link_drop(l, "too much is waiting to be sent");
	if (l->state == LINK_GREETING && now - l->state_since_ms >= LINK_HELLO_MS)
		link_drop(l, "no answer to HELLO");
	if (now >= silent_at(l))
		link_drop(l, "it fell silent");
	if (l->leaving)
		link_drop(l, "it is going down");
	if (l->hop)
		hop(l);
	if (l->state == LINK_READY && now >= l->heartbeat_at_ms)
		link_session_heartbeat(l);
	if (all_refused(l))
		link_calls_end_all(l, SHOAL_EDENIED, l->refusal);
	link_calls_expire(l);
	if (now >= tell_offline_at(l))
		tell_offline(l);
	if (l->state == LINK_IDLE && now >= l->retry_at_ms)
		dial(l);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_deadline(const struct link *l)
{
	uint64_t at = sooner(link_calls_deadline(l), tell_offline_at(l));

	if (l->state == LINK_IDLE)
		at = sooner(at, l->retry_at_ms);
	if (l->state == LINK_GREETING)
		at = sooner(at, l->state_since_ms + LINK_HELLO_MS);
	if (l->state == LINK_READY)
		at = sooner(at, l->heartbeat_at_ms);
	at = sooner(at, silent_at(l));
	if (l->look_again_ms != 0)
		at = sooner(at, l->look_again_ms);
	if (l->broken || l->hop || l->leaving || !TAILQ_EMPTY(&l->ended))
		at = link_now(l);
	return at;
}

uint64_t link_step(struct link *l, const struct env_event *ev)
{
	take_event(l, ev);
	look_at_clock(l);
	link_calls_pump(l);
	link_calls_deliver(l);
	link_calls_pump(l); /* the end of a login or logout lets others go */
	return next_deadline(l);
}

/* -- the rest of the face */

struct link *link_new(const struct link_config *config)
{
	struct link *l = xalloc(sizeof(*l));

	l->config = *config;
	l->auto_login = config->auto_login;
	l->refused = xalloc(config->trackers->n * sizeof(*l->refused) + 1);
	l->retry_at_ms = l->offline_since_ms = link_now(l);
	TAILQ_INIT(&l->calls);
	TAILQ_INIT(&l->ended);
	return l;
}

void link_free(struct link *l)
{
	if (l == NULL)
		return;
	link_calls_free(l);
	break_off(l, true);
	link_session_wipe(l);
	free(l->refused);
	free(l);
}

void link_use_tracker(struct link *l, uint16_t id)
{
	for (size_t i = 0; i < l->config.trackers->n; i++) {
		if (l->config.trackers->trackers[i].id != id || (i == l->at && l->state != LINK_IDLE))
			continue;
		l->hop = true;
		l->hop_to = i;
		l->resume_once = l->resume_once || l->logged_in;
		link_wake(l);
	}
}

void link_set_listen(struct link *l, const struct address *listen)
{
	l->config.listen = *listen;
}

void link_set_shares(struct link *l, uint32_t count, uint64_t digest)
{
	l->shares = count;
	l->shares_digest = digest;
}

void link_status(const struct link *l, struct link_status *out)
{
	*out = l->status;
	out->up = l->state == LINK_READY;
	out->logged_in = l->logged_in;
	out->tracker = out->up ? link_tracker_id(l) : 0;
}
