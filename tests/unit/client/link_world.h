/* tests/unit/client/link_world.h - virtual time, up to three scripted trackers of one cluster, and a link among them.
 *
 * The fake env delivers events later, never from within a call, and cuts bytes at random places. The trackers share one
 * state, as trackers do: what was applied, by request id. */
#ifndef SHOAL_TESTS_LINK_WORLD_H
#define SHOAL_TESTS_LINK_WORLD_H
#include "client/link.h"
#include "core/base/mem.h"
#include "tests/unit/check.h"

enum { TRACKERS = 3, EVENTS_MAX = 4096, CMDS_MAX = 4096, NEWS_MAX = 512, CONNS_MAX = 4096 };

struct fake_tracker {
	bool up;              /* dials come through */
	bool hold;            /* commands after HELLO are noted, not answered */
	bool mute;            /* not even HELLO is answered */
	bool slow;            /* only HELLO and heartbeats are answered */
	bool nameless;        /* a session is known by its token only */
	bool refuse_token;    /* tokens are not accepted */
	bool refuse_login;
	enum shoal_err busy_code; /* ... or with this one; 0: SHOAL_EBUSY */
	unsigned busy;        /* so many commands are answered with busy; UINT_MAX: all */
	unsigned close_after; /* the connection breaks after so many more replies; 0: never */
	struct id32 identity;
	uint32_t heartbeat_ms;
};

struct fake_conn {
	int tracker;
	bool open;
	struct frame_reader reader;
};

struct fake_cmd {
	int tracker;
	conn_id conn;
	struct cmd_head head;
	struct buf fields;
	uint64_t at_ms;
};

struct fake_event {
	struct env_event ev;
	uint8_t *bytes;
};

struct applied {
	struct id16 request;
	struct stamp stamp;
	unsigned times; /* effects, not tries */
};

struct world {
	uint64_t now;
	struct env env;
	struct fake_tracker trackers[TRACKERS];
	struct tracker_line lines[TRACKERS];
	struct tracker_info info;
	struct fake_conn conns[CONNS_MAX];
	size_t n_conns; /* conn ids are index + 1 */
	struct fake_event events[EVENTS_MAX];
	size_t n_events;
	struct fake_cmd cmds[CMDS_MAX];
	size_t n_cmds;
	struct applied applied[CMDS_MAX];
	size_t n_applied;
	size_t queued; /* what env->queued() says */
	/* the link and what it told */
	struct link *link;
	uint64_t deadline;
	struct id32 cluster;
	enum link_news_type news[NEWS_MAX];
	char news_text[NEWS_MAX][160];
	size_t n_news;
	void (*watch)(void *owner, const struct link_news *news); /* may be NULL */
	void *watch_owner;
	bool woken;
};

/* A call's outcome. */
struct outcome {
	unsigned frames, finals;
	enum shoal_err code;
	char message[ERROR_TEXT_MAX];
	struct stamp stamp;
	struct buf fields; /* of all frames */
	uint64_t at_ms;
	struct world *w;
	uint64_t cancel; /* this call, at the first frame */
};

/* -- env */

static uint64_t w_now(void *ctx)
{
	return ((struct world *)ctx)->now;
}

static uint64_t w_wall(void *ctx)
{
	return 1700000000000 + ((struct world *)ctx)->now;
}

static void w_random(void *ctx, void *out, size_t len)
{
	(void)ctx;
	check_random_bytes(out, len);
}

static void w_post(struct world *w, struct env_event ev, const void *bytes, size_t len)
{
	CHECK(w->n_events < EVENTS_MAX);
	struct fake_event *fe = &w->events[w->n_events++];
	*fe = (struct fake_event){ .ev = ev };
	if (len > 0) {
		fe->bytes = try_memdup(bytes, len);
		fe->ev.data = fe->bytes;
		fe->ev.len = len;
	}
}

static conn_id w_dial(void *ctx, const struct address *addr, const char *alpn)
{
	struct world *w = ctx;
	int t = addr->port - 1;
	CHECK_STR(alpn, ALPN_CLIENT);
	CHECK(w->n_conns < CONNS_MAX);
	struct fake_conn *conn = &w->conns[w->n_conns++];
	conn_id id = w->n_conns;
	conn->tracker = t;
	frame_reader_init(&conn->reader, FRAMES_CLIENT);
	if (w->trackers[t].up) {
		conn->open = true;
		w_post(w, (struct env_event){ .type = ENV_CONNECTED, .conn = id, .identity = w->trackers[t].identity }, NULL, 0);
	} else {
		w_post(w, (struct env_event){ .type = ENV_CLOSED, .conn = id, .message = "connection refused" }, NULL, 0);
	}
	return id;
}

static void w_close(void *ctx, conn_id id)
{
	struct world *w = ctx;
	if (id > 0 && id <= w->n_conns) {
		w->conns[id - 1].open = false;
		frame_reader_fini(&w->conns[id - 1].reader);
	}
}

static size_t w_queued(void *ctx, conn_id id)
{
	(void)id;
	return ((struct world *)ctx)->queued;
}

/* The tracker's end breaks. */
static void w_break(struct world *w, conn_id id)
{
	if (!w->conns[id - 1].open)
		return;
	w_close(w, id);
	w_post(w, (struct env_event){ .type = ENV_CLOSED, .conn = id, .message = "connection reset" }, NULL, 0);
}

static void w_kill(struct world *w, int tracker)
{
	w->trackers[tracker].up = false;
	for (size_t i = 0; i < w->n_conns; i++)
		if (w->conns[i].tracker == tracker)
			w_break(w, i + 1);
}

/* Bytes for the link, cut anywhere. */
static void w_bytes(struct world *w, conn_id id, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t n = 1 + check_random(len > 4096 ? 4096 : (uint32_t)len);
		w_post(w, (struct env_event){ .type = ENV_BYTES, .conn = id }, data, n);
		data += n;
		len -= n;
	}
}

static void w_frame(struct world *w, conn_id id, enum frame_tag tag, const struct buf *body)
{
	struct buf out = { 0 };
	size_t start = frame_begin(&out, tag);
	buf_put(&out, body->data, body->len);
	CHECK_INT(frame_end(&out, start), ==, SHOAL_OK);
	w_bytes(w, id, out.data, out.len);
	buf_free(&out);
}

static void w_reply(struct world *w, const struct fake_cmd *cmd, struct rply_head head, const struct buf *fields)
{
	struct buf body = { 0 };
	struct fake_tracker *t = &w->trackers[cmd->tracker];
	head.serial = cmd->head.serial;
	rply_head_put(&body, &head);
	if (fields != NULL)
		buf_put(&body, fields->data, fields->len);
	w_frame(w, cmd->conn, TAG_RPLY, &body);
	buf_free(&body);
	if (t->close_after > 0 && --t->close_after == 0)
		w_break(w, cmd->conn);
}

static void w_refuse(struct world *w, const struct fake_cmd *cmd, enum shoal_err code, const char *text)
{
	w_reply(w, cmd, (struct rply_head){ .code = code, .message = slice_str(text) }, NULL);
}

static struct stamp w_apply(struct world *w, const struct id16 *request)
{
	for (size_t i = 0; i < w->n_applied; i++)
		if (id16_eq(&w->applied[i].request, request))
			return w->applied[i].stamp; /* a retry */
	CHECK(w->n_applied < CMDS_MAX);
	struct applied *a = &w->applied[w->n_applied++];
	a->request = *request;
	a->stamp = (struct stamp){ .hlc = w->n_applied, .tracker = 1, .dot = { .log = 7, .seq = w->n_applied } };
	a->times = 1;
	return a->stamp;
}

static void w_answer_session(struct world *w, const struct fake_cmd *cmd, bool stamped)
{
	struct buf out = { 0 };
	struct rep_session rep = { .user = slice_str("ann"), .token = slice_str("token-1"), .uid = { .b = { 1 } } };
	struct rply_head head = { 0 };
	if (stamped) {
		head.flags = RPLY_STAMP;
		head.stamp = w_apply(w, &cmd->head.request);
	}
	rep_session_put(&out, &rep);
	w_reply(w, cmd, head, &out);
	buf_free(&out);
}

static void w_answer_hello(struct world *w, const struct fake_cmd *cmd)
{
	struct fake_tracker *t = &w->trackers[cmd->tracker];
	struct cursor c = cursor_of(cmd->fields.data, cmd->fields.len);
	struct req_hello req;
	struct buf out = { 0 };
	req_hello_get(&c, &req);
	CHECK_INT(cursor_end(&c), ==, SHOAL_OK);
	bool resumed = slice_eq_str(req.token, "token-1") && !t->refuse_token;
	struct rep_hello rep = { .version = PROTOCOL_VERSION, .tracker = (uint16_t)(cmd->tracker + 1),
		                 .wall_ms = w_wall(w) + 5000, .heartbeat_ms = t->heartbeat_ms,
		                 .you = slice_str("127.0.0.1:999"), .resumed = resumed };
	if (resumed) {
		rep.user = slice_str(t->nameless ? "" : "ann");
		rep.uid.b[0] = 1;
		rep.token = slice_str("token-1");
	}
	rep_hello_put(&out, &rep);
	w_reply(w, cmd, (struct rply_head){ 0 }, &out);
	buf_free(&out);
}

/* Three pages with two groups each, named by their number. */
static void w_answer_list(struct world *w, const struct fake_cmd *cmd)
{
	for (unsigned page = 0; page < 3; page++) {
		struct buf out = { 0 };
		char name[16];
		buf_put_u16(&out, 2);
		for (unsigned row = 0; row < 2; row++) {
			snprintf(name, sizeof(name), "group-%u", page * 2 + row);
			row_group_put(&out, &(struct row_group){ .name = slice_str(name) });
		}
		w_reply(w, cmd, (struct rply_head){ .flags = page < 2 ? RPLY_MORE : 0 }, &out);
		buf_free(&out);
		if (!w->conns[cmd->conn - 1].open)
			return;
	}
}

static void w_answer_plain(struct world *w, const struct fake_cmd *cmd)
{
	struct buf out = { 0 };
	struct rply_head head = { 0 };
	if (verb_changes(cmd->head.verb)) {
		head.flags = RPLY_STAMP;
		head.stamp = w_apply(w, &cmd->head.request);
	}
	if (cmd->head.verb == VERB_CREATE_GROUP)
		rep_gid_put(&out, &(struct rep_gid){ .gid = { .b = { 9 } } });
	if (cmd->head.verb == VERB_HEARTBEAT)
		rep_heartbeat_put(&out, &(struct rep_heartbeat){ .wall_ms = w_wall(w) + 5000 });
	w_reply(w, cmd, head, &out);
	buf_free(&out);
}

static void w_answer(struct world *w, const struct fake_cmd *cmd)
{
	struct fake_tracker *t = &w->trackers[cmd->tracker];
	struct cursor c = cursor_of(cmd->fields.data, cmd->fields.len);
	struct req_user_password login;

	if (t->busy > 0 && cmd->head.verb != VERB_HELLO && cmd->head.verb != VERB_HEARTBEAT) {
		t->busy -= t->busy != UINT32_MAX;
		w_refuse(w, cmd, t->busy_code != SHOAL_OK ? t->busy_code : SHOAL_EBUSY, "joining");
		return;
	}
	switch (cmd->head.verb) {
	case VERB_HELLO: w_answer_hello(w, cmd); return;
	case VERB_RESUME:
		if (t->refuse_token)
			w_refuse(w, cmd, SHOAL_EAUTH, "unknown session");
		else
			w_answer_session(w, cmd, false);
		return;
	case VERB_LOGIN:
		req_user_password_get(&c, &login);
		if (t->refuse_login || !slice_eq_str(login.password, "secret"))
			w_refuse(w, cmd, SHOAL_EAUTH, "wrong user or password");
		else
			w_answer_session(w, cmd, true);
		return;
	case VERB_LIST_GROUPS: w_answer_list(w, cmd); return;
	default: w_answer_plain(w, cmd);
	}
}

static enum shoal_err w_send(void *ctx, conn_id id, const void *bytes, size_t len)
{
	struct world *w = ctx;
	struct fake_conn *conn = &w->conns[id - 1];
	struct slice in = slice_of(bytes, len);
	struct frame frame;

	if (!conn->open)
		return SHOAL_OK; /* its end is on the way */
	while (frame_read(&conn->reader, &in, &frame, NULL) == SHOAL_OK) {
		CHECK_INT(frame.tag, ==, TAG_CMD);
		CHECK_INT(cmd_check(frame.body), ==, SHOAL_OK);
		CHECK(w->n_cmds < CMDS_MAX);
		struct fake_cmd *cmd = &w->cmds[w->n_cmds++];
		struct cursor c = cursor_of(frame.body.data, frame.body.len);
		*cmd = (struct fake_cmd){ .tracker = conn->tracker, .conn = id, .at_ms = w->now };
		cmd_head_get(&c, &cmd->head);
		buf_put(&cmd->fields, c.p, cursor_left(&c));
		struct fake_tracker *t = &w->trackers[conn->tracker];
		bool alive = cmd->head.verb == VERB_HELLO || cmd->head.verb == VERB_HEARTBEAT;
		if (!t->mute && (!t->hold || cmd->head.verb == VERB_HELLO) && (!t->slow || alive))
			w_answer(w, cmd);
		if (!conn->open)
			break;
	}
	return SHOAL_OK;
}

/* -- the owner's side */

static enum shoal_err w_pin(void *owner, const struct address *dialled, const struct id32 *identity, struct error *e)
{
	struct world *w = owner;
	if (id32_eq(identity, &w->cluster))
		return SHOAL_OK;
	return error_set(e, SHOAL_EDENIED, "wrong identity at port %u", dialled->port);
}

static void w_news(void *owner, const struct link_news *news)
{
	struct world *w = owner;
	CHECK(w->n_news < NEWS_MAX);
	snprintf(w->news_text[w->n_news], sizeof(w->news_text[0]), "%s", news->text != NULL ? news->text : "");
	w->news[w->n_news++] = news->type;
	if (w->watch != NULL)
		w->watch(w->watch_owner, news);
}

static void w_wake(void *owner)
{
	((struct world *)owner)->woken = true;
}

static void w_step(struct world *w, const struct env_event *ev)
{
	w->woken = false;
	w->deadline = link_step(w->link, ev);
}

/* Lets time pass; everything that is due happens on the way. */
static void w_run(struct world *w, uint64_t ms)
{
	uint64_t end = w->now + ms;

	for (unsigned steps = 0;; steps++) {
		CHECK(steps < 200000); /* a link that spins */
		if (w->n_events > 0) {
			struct fake_event fe = w->events[0];
			memmove(w->events, w->events + 1, --w->n_events * sizeof(w->events[0]));
			if (fe.ev.type != ENV_BYTES || w->conns[fe.ev.conn - 1].open)
				w_step(w, &fe.ev);
			free(fe.bytes);
		} else if (w->woken || w->deadline <= w->now) {
			w_step(w, &(struct env_event){ .type = ENV_TICK });
		} else if (w->deadline >= end) {
			w->now = end;
			return;
		} else {
			w->now = w->deadline;
		}
	}
}

static void w_init(struct world *w, size_t n, enum auto_login how)
{
	memset(w, 0, sizeof(*w));
	w->now = 1000;
	w->cluster.b[0] = 0xcc;
	w->env = (struct env){ .ctx = w, .mono_ms = w_now, .wall_ms = w_wall, .random = w_random, .dial = w_dial,
		               .send = w_send, .queued = w_queued, .close = w_close };
	for (size_t i = 0; i < n; i++) {
		w->trackers[i] = (struct fake_tracker){ .up = true, .identity = w->cluster, .heartbeat_ms = 10000 };
		w->lines[i] = (struct tracker_line){ .addr = { "tracker", (uint16_t)(i + 1) }, .id = (uint16_t)(i + 1) };
	}
	w->info = (struct tracker_info){ .trackers = w->lines, .n = n };
	w->link = link_new(&(struct link_config){ .env = &w->env, .trackers = &w->info, .listen = { "0.0.0.0", 4000 },
	                                          .auto_login = how, .pin = w_pin, .news = w_news, .wake = w_wake,
	                                          .owner = w });
	w->woken = true;
}

static void w_fini(struct world *w)
{
	link_free(w->link);
	for (size_t i = 0; i < w->n_events; i++)
		free(w->events[i].bytes);
	for (size_t i = 0; i < w->n_cmds; i++)
		buf_free(&w->cmds[i].fields);
	for (size_t i = 0; i < w->n_conns; i++)
		frame_reader_fini(&w->conns[i].reader);
}

/* -- asking and looking */

static void o_reply(void *arg, const struct link_reply *reply)
{
	struct outcome *o = arg;
	o->frames++;
	o->finals += !reply->more;
	o->code = reply->code;
	snprintf(o->message, sizeof(o->message), "%s", reply->message);
	o->stamp = reply->stamp;
	buf_put(&o->fields, reply->fields.data, reply->fields.len);
	o->at_ms = o->w->now;
	if (o->cancel != 0)
		link_cancel(o->w->link, o->cancel);
}

static uint64_t w_call(struct world *w, enum cmd_verb verb, const struct buf *fields, struct outcome *o)
{
	buf_free(&o->fields);
	*o = (struct outcome){ .w = w };
	uint64_t number = link_call(w->link, verb, fields, 0, o_reply, o);
	CHECK_INT(o->frames, ==, 0); /* never from within the call */
	CHECK(number != 0);
	return number;
}

static void w_login(struct world *w, const char *password, struct outcome *o)
{
	struct buf fields = { 0 };
	req_user_password_put(&fields, &(struct req_user_password){ slice_str("ann"), slice_str(password) });
	w_call(w, VERB_LOGIN, &fields, o);
	buf_free(&fields);
}

static void w_create_group(struct world *w, const char *name, struct outcome *o)
{
	struct buf fields = { 0 };
	req_group_put(&fields, &(struct req_group){ slice_str(name) });
	w_call(w, VERB_CREATE_GROUP, &fields, o);
	buf_free(&fields);
}

static size_t w_count_cmds(const struct world *w, unsigned verb, int tracker)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n_cmds; i++)
		n += w->cmds[i].head.verb == verb && (tracker < 0 || w->cmds[i].tracker == tracker);
	return n;
}

static const struct fake_cmd *w_last_cmd(const struct world *w, unsigned verb)
{
	for (size_t i = w->n_cmds; i > 0; i--)
		if (w->cmds[i - 1].head.verb == verb)
			return &w->cmds[i - 1];
	return NULL;
}

static size_t w_count_news(const struct world *w, enum link_news_type type)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n_news; i++)
		n += w->news[i] == type;
	return n;
}

static struct link_status w_status(const struct world *w)
{
	struct link_status status;
	link_status(w->link, &status);
	return status;
}

__attribute__((unused)) static bool w_hello_had_token(const struct world *w)
{
	const struct fake_cmd *cmd = w_last_cmd(w, VERB_HELLO);
	struct cursor c = cursor_of(cmd->fields.data, cmd->fields.len);
	struct req_hello req;
	req_hello_get(&c, &req);
	return req.token.len > 0;
}

__attribute__((unused)) static void w_event(struct world *w, unsigned kind, const struct buf *fields)
{
	struct buf body = { 0 };
	buf_put_u16(&body, (uint16_t)kind);
	if (fields != NULL)
		buf_put(&body, fields->data, fields->len);
	w_frame(w, w->n_conns, TAG_EVNT, &body);
	buf_free(&body);
}
#endif
