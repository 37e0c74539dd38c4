/* tests/fuzz/fuzz_link.c - the client's tracker link, and trackers that say what the input says, cut anywhere.
 *
 * What must hold: what it sends are whole, well-formed commands within their limits; every call ends exactly once, in
 * time, and not from within link_call(); news name what they must; it does not spin; without any tracker everything
 * ends. The instructions: enum link_op in fuzz_step.h. */
#include "tests/fuzz/fuzz_step.h"

#include "client/link.h"
#include "core/base/mem.h"
#include "tests/fuzz/fuzz_reply.h"

enum { OPS_MAX = 128, CALLS_MAX = 64, SENT_MAX = 256, CALL_MS_MAX = 30000, TRACKERS = 2 };

struct call {
	bool made, ended, cancelled;
	uint64_t number;
	uint64_t until_ms; /* it must have ended by then */
	struct world *w;
};

struct sent {
	uint32_t serial;
	uint16_t verb;
};

struct world {
	struct env env;
	uint64_t now, deadline;
	struct tracker_line lines[TRACKERS];
	struct tracker_info info;
	struct link *link;
	conn_id last_conn;
	conn_id conn;    /* the last one dialled; 0: none is open */
	bool connected, dead; /* dead: trackers cannot be reached any more */
	bool inside;     /* in a call of link_call() */
	bool woken;
	size_t queued;
	bool send_fails;
	unsigned fail_after;
	struct frame_reader reader;
	struct call calls[CALLS_MAX];
	size_t n_calls;
	struct sent sent[SENT_MAX]; /* on this connection, the last of them */
	size_t n_sent;
	struct fuzz_pool pool;
};

/* -- env */

static uint64_t env_now(void *ctx)
{
	return ((struct world *)ctx)->now;
}

static uint64_t env_wall(void *ctx)
{
	return UINT64_C(1700000000000) + ((struct world *)ctx)->now;
}

static void env_random(void *ctx, void *out, size_t len)
{
	(void)ctx;
	check_random_bytes(out, len);
}

static conn_id env_dial(void *ctx, const struct address *addr, const char *alpn)
{
	struct world *w = ctx;
	CHECK_STR(alpn, ALPN_CLIENT);
	CHECK(addr->port == 4000 || addr->port == 4001);
	CHECK(w->conn == 0); /* one connection at a time */
	w->conn = ++w->last_conn;
	w->connected = false;
	w->n_sent = 0;
	frame_reader_fini(&w->reader);
	frame_reader_init(&w->reader, FRAMES_CLIENT);
	return w->conn;
}

static void on_sent(struct world *w, const struct frame *f)
{
	struct cursor c = cursor_of(f->body.data, f->body.len);
	struct cmd_head head;

	CHECK_INT(f->tag, ==, TAG_CMD);
	CHECK_INT(cmd_check(f->body), ==, SHOAL_OK);
	cmd_head_get(&c, &head);
	CHECK((w->n_sent == 0) == (head.verb == VERB_HELLO)); /* first, and only then */
	CHECK(verb_changes(head.verb) != id16_is_zero(&head.request));
	w->sent[w->n_sent < SENT_MAX ? w->n_sent++ : SENT_MAX - 1] = (struct sent){ head.serial, head.verb };
}

static enum shoal_err env_send(void *ctx, conn_id id, const void *bytes, size_t len)
{
	struct world *w = ctx;
	struct slice in = slice_of(bytes, len);
	struct frame f;
	struct error e;

	CHECK(id == w->conn && w->connected);
	if (w->send_fails)
		return SHOAL_EBUSY;
	mem_fail_after(0); /* the reader here is not what runs out of memory */
	while (frame_read(&w->reader, &in, &f, &e) == SHOAL_OK)
		on_sent(w, &f);
	CHECK(!w->reader.bad && w->reader.held.len == 0);
	return SHOAL_OK;
}

static size_t env_queued(void *ctx, conn_id id)
{
	struct world *w = ctx;
	CHECK(id == w->conn);
	return w->queued;
}

static void env_close(void *ctx, conn_id id)
{
	struct world *w = ctx;
	CHECK(id == w->conn);
	w->conn = 0;
	w->connected = false;
}

/* -- the owner */

static enum shoal_err on_pin(void *owner, const struct address *dialled, const struct id32 *identity, struct error *e)
{
	(void)owner;
	(void)dialled;
	return identity->b[0] == 5 ? SHOAL_OK : error_set(e, SHOAL_EDENIED, "another cluster");
}

static void on_news(void *owner, const struct link_news *news)
{
	struct world *w = owner;
	struct link_status status;

	link_status(w->link, &status);
	switch (news->type) {
	case LINK_UP: CHECK(status.up && (news->tracker == 1 || news->tracker == 2)); break;
	case LINK_LOST:
	case LINK_REFUSED: CHECK(news->text != NULL && news->text[0] != '\0'); break;
	case LINK_LOGGED_IN: CHECK(news->user != NULL && strlen(news->user) < sizeof(status.user)); break;
	case LINK_LOGGED_OUT: CHECK(news->text != NULL && !status.logged_in); break;
	case LINK_EVENT: CHECK(event_word(news->kind) != NULL); break;
	case LINK_ASK:
	case LINK_SHARES_DIFFER: break;
	}
}

static void on_wake(void *owner)
{
	((struct world *)owner)->woken = true;
}

static void on_reply(void *arg, const struct link_reply *reply)
{
	struct call *c = arg;
	CHECK(!c->w->inside && c->made && !c->ended && !c->cancelled);
	CHECK(reply->code == SHOAL_OK || (reply->message != NULL && !reply->more));
	CHECK(memchr(reply->message != NULL ? reply->message : "", '\0', ERROR_TEXT_MAX) != NULL);
	c->ended = !reply->more;
}

static struct world *world_new(void)
{
	struct world *w = xalloc(sizeof(*w));
	w->now = 1000;
	w->pool.wall_ms = UINT64_C(1700000000000);
	w->env = (struct env){ .ctx = w, .mono_ms = env_now, .wall_ms = env_wall, .random = env_random,
		               .dial = env_dial, .send = env_send, .queued = env_queued, .close = env_close };
	for (uint16_t i = 0; i < TRACKERS; i++)
		w->lines[i] = (struct tracker_line){ .addr = { .host = "127.0.0.1", .port = (uint16_t)(4000 + i) },
			                             .id = (uint16_t)(i + 1) };
	w->info = (struct tracker_info){ .trackers = w->lines, .n = TRACKERS };
	w->link = link_new(&(struct link_config){ .env = &w->env, .trackers = &w->info, .listen = { "0.0.0.0", 5000 },
	                                          .auto_login = AUTO_LOGIN_YES, .pin = on_pin, .news = on_news,
	                                          .wake = on_wake, .owner = w });
	return w;
}

/* -- what goes in */

static void step(struct world *w, const struct env_event *ev)
{
	w->woken = false;
	mem_fail_after(w->fail_after);
	w->fail_after = 0;
	w->deadline = link_step(w->link, ev);
	mem_fail_after(0);
}

static void answer_dial(struct world *w, uint8_t how)
{
	struct env_event ev = { .conn = w->conn, .identity.b = { how % 4 == 1 ? 6 : 5 }, .message = "refused" };

	if (w->conn == 0 || w->connected)
		return;
	ev.type = how % 4 == 0 ? ENV_CLOSED : ENV_CONNECTED;
	w->connected = ev.type == ENV_CONNECTED;
	if (ev.type == ENV_CLOSED)
		w->conn = 0;
	step(w, &ev);
}

static void deliver(struct world *w, struct slice bytes, unsigned cut)
{
	conn_id id = w->conn;
	size_t most = cut == 0 || bytes.len / cut > 300 ? bytes.len : cut;

	while (bytes.len != 0 && w->connected && w->conn == id) {
		size_t n = most < bytes.len ? most : bytes.len;
		uint8_t *copy = fuzz_copy(slice_of(bytes.data, n));
		struct env_event ev = { .type = ENV_BYTES, .conn = id, .data = copy, .len = n };
		step(w, &ev);
		free(copy);
		bytes = slice_of(bytes.data + n, bytes.len - n);
	}
}

static void deliver_frame(struct world *w, enum frame_tag tag, const struct buf *body, unsigned cut)
{
	struct buf frame = { 0 };
	size_t start = frame_begin(&frame, tag);
	buf_put(&frame, body->data, body->len);
	CHECK_INT(frame_end(&frame, start), ==, SHOAL_OK);
	deliver(w, slice_of(frame.data, frame.len), cut);
	buf_free(&frame);
}

CMD_REQUESTS(FUZZ_DEFINE)
#define X(num, NAME, word, fields) FUZZ_DEFINE(ev_##word, fields)
CMD_EVENTS(X)
#undef X
static void do_reply(struct world *w, struct cursor *in)
{
	struct rply_head head = { 0 };
	struct buf body = { 0 };
	uint8_t which = get_u8(in), code = get_u8(in), flags = get_u8(in), cut = get_u8(in);
	const struct sent *s = w->n_sent != 0 ? &w->sent[w->n_sent - 1 - which % w->n_sent] : &(struct sent){ 0 };

	head.serial = (flags & 0x80) != 0 ? get_u8(in) : s->serial;
	head.code = (enum shoal_err)(code % 24);
	head.flags = flags & (RPLY_MORE | RPLY_STAMP | RPLY_LACKS | RPLY_SYNCED);
	if (head.code != SHOAL_OK)
		head.message = fuzz_str(&w->pool, in);
	head.stamp = (struct stamp){ .hlc = which + 1u, .tracker = 1, .dot = { 1u + which % 20, code + 1u } };
	rply_head_put(&body, &head);
	if ((flags & 0x40) != 0) {
		struct slice raw = fuzz_take(in, 4096);
		buf_put(&body, raw.data, raw.len);
	} else if (head.code == SHOAL_OK) {
		any_reply(&w->pool, s->verb, in, &body);
	}
	deliver_frame(w, TAG_RPLY, &body, cut);
	buf_free(&body);
}

static void do_event(struct world *w, struct cursor *in)
{
	const struct fuzz_pool *pool = &w->pool;
	struct buf body = { 0 };
	uint8_t kind = get_u8(in), cut = get_u8(in);

	buf_put_u16(&body, kind & 0x7f);
	if ((kind & 0x80) != 0) {
		struct slice raw = fuzz_take(in, 4096);
		buf_put(&body, raw.data, raw.len);
	}
	switch (kind) {
#define X(num, NAME, word, fields) \
	case num: any_ev_##word(pool, in, &body); break;
		CMD_EVENTS(X)
#undef X
	}
	deliver_frame(w, TAG_EVNT, &body, cut);
	buf_free(&body);
}

static void do_call(struct world *w, struct cursor *in)
{
	const struct fuzz_pool *pool = &w->pool;
	struct buf fields = { 0 };
	unsigned verb = get_u8(in);
	uint32_t timeout_ms = get_u8(in) * 100u;

	if (w->n_calls == CALLS_MAX || verb_word(verb) == NULL || verb == VERB_HELLO)
		return; /* HELLO is the link's own */
	switch (verb) {
#define X(num, NAME, word, req, rep, row, login, change) \
	case num: any_##req(pool, in, &fields); break;
		CMD_VERBS(X)
#undef X
	}
	struct call *c = &w->calls[w->n_calls++];
	*c = (struct call){ .made = true, .w = w, .until_ms = w->now + CALL_MS_MAX };
	w->inside = true;
	c->number = link_call(w->link, (enum cmd_verb)verb, &fields, timeout_ms, on_reply, c);
	w->inside = false;
	CHECK(c->number != 0);
	buf_free(&fields);
}

static void do_owner(struct world *w, struct cursor *in)
{
	uint8_t what = get_u8(in);
	struct link_status status;

	switch (what % 8) {
	case 0: link_answer(w->link, (what & 8) != 0); break;
	case 1: link_use_tracker(w->link, what >> 4); break;
	case 2: link_set_auto_login(w->link, (enum auto_login)((what >> 4) % 3)); break;
	case 3: link_set_shares(w->link, what, what); break;
	case 4: link_set_listen(w->link, &(struct address){ "10.0.0.1", what }); break;
	default: link_status(w->link, &status); break;
	}
}

static void do_fault(struct world *w, struct cursor *in)
{
	uint8_t what = get_u8(in), n = get_u8(in);
	switch (what % 3) {
	case 0: w->queued = n * 4096u; break;
	case 1: w->send_fails = n % 2 != 0; break;
	case 2: w->fail_after = n; break;
	}
}

static void break_conn(struct world *w)
{
	struct env_event ev = { .type = ENV_CLOSED, .conn = w->conn, .message = "reset" };
	if (!w->connected)
		return;
	w->conn = 0;
	w->connected = false;
	step(w, &ev);
}

static void check_in_time(const struct world *w)
{
	for (size_t i = 0; i < w->n_calls; i++)
		CHECK(w->calls[i].ended || w->calls[i].cancelled || w->now <= w->calls[i].until_ms);
}

static void pass(struct world *w, uint64_t ms)
{
	const struct env_event tick = { .type = ENV_TICK };
	uint64_t end = w->now + ms;

	for (uint64_t ticks = 0; w->woken || w->deadline <= end; ticks++) {
		CHECK(ticks <= 200 + ms); /* it spins */
		if (w->deadline > w->now && !w->woken)
			w->now = w->deadline;
		step(w, &tick);
		if (w->dead || check_random(4) == 0)
			answer_dial(w, 0);
	}
	w->now = end;
	step(w, &tick);
	check_in_time(w);
}

static void do_op(struct world *w, struct cursor *in)
{
	struct slice raw;
	uint8_t v;

	switch (get_u8(in) % LINK_OP_COUNT) {
	case LINK_OP_DIAL: answer_dial(w, get_u8(in)); break;
	case LINK_OP_REPLY: do_reply(w, in); break;
	case LINK_OP_EVENT: do_event(w, in); break;
	case LINK_OP_RAW:
		v = get_u8(in);
		raw = fuzz_take(in, 8192);
		deliver(w, raw, v);
		break;
	case LINK_OP_BREAK: break_conn(w); break;
	case LINK_OP_TIME: pass(w, get_u16(in) % 20000); break;
	case LINK_OP_CALL: do_call(w, in); break;
	case LINK_OP_CANCEL:
		v = get_u8(in);
		if (v < w->n_calls) {
			w->calls[v].cancelled = true;
			link_cancel(w->link, w->calls[v].number);
		}
		break;
	case LINK_OP_OWNER: do_owner(w, in); break;
	case LINK_OP_FAULT: do_fault(w, in); break;
	}
	if (w->woken)
		step(w, &(struct env_event){ .type = ENV_TICK });
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);

	fuzz_begin();
	struct world *w = world_new();
	step(w, &(struct env_event){ .type = ENV_TICK });
	for (int i = 0; i < OPS_MAX && cursor_left(&in) != 0; i++)
		do_op(w, &in);
	w->queued = 0;
	w->send_fails = false;
	w->dead = true;
	break_conn(w);
	answer_dial(w, 0);
	pass(w, CALL_MS_MAX + 1);
	link_free(w->link);
	frame_reader_fini(&w->reader);
	free(w);
	return 0;
}
