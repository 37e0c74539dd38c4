/* tests/unit/tracker/rig.h - a struct tracker in a made-up world: virtual time, a disk in memory, passwords that are not
 * hashed, connections that are buffers. CMD frames go in, RPLY and EVNT frames come out. One test file includes it. */
#ifndef SHOAL_TESTS_TRACKER_RIG_H
#define SHOAL_TESTS_TRACKER_RIG_H
#include <openssl/crypto.h>

#include "core/base/crypto.h"
#include "core/base/mem.h"
#include "core/registry/registry.h"
#include "core/registry/user_manager.h"
#include "core/registry/store_mem.h"
#include "core/wire/cmd.h"
#include "core/wire/ticket.h"
#include "tests/unit/check.h"
#include "tracker/tracker.h"

#define RIG __attribute__((unused)) static

#ifndef RIG_EVENTS
#define RIG_EVENTS 32 /* a connection's, not looked at */
#endif
enum { RIG_CONNS = 64, RIG_QUEUE = 256 };

struct rig_event {
	unsigned kind;
	struct buf body; /* the fields */
};

struct rig_conn {
	conn_id id;
	struct id32 device;
	bool closed;       /* by the tracker */
	struct buf out;    /* bytes sent to the client, not taken apart yet */
	struct buf reply;  /* the last RPLY body taken */
	struct rig_event events[RIG_EVENTS];
	size_t n_events;
	uint32_t serial;
	size_t queued;     /* what the tracker is told is queued */
};

struct rig {
	struct env env;
	uint64_t now, wall;
	struct mem_disk *disk;
	struct store *store;
	struct registry *reg;
	struct tracker *t;
	EVP_PKEY *ticket_key;
	struct tracker_config config;
	struct tracker_line line;
	struct rig_conn conns[RIG_CONNS];
	size_t n_conns;
	struct env_event queue[RIG_QUEUE];
	char records[RIG_QUEUE][80];
	size_t head, tail;
	uint64_t deadline;
	uint64_t log_id;
	unsigned works;    /* how many computations were asked for */
	bool hold_commits; /* the disk does not answer */
	size_t held[RIG_QUEUE], n_held;
};

struct rig_reply {
	struct rply_head head;
	struct cursor fields;
};

/* -- env */
RIG uint64_t rig_mono(void *ctx)
{
	return ((struct rig *)ctx)->now;
}

RIG uint64_t rig_wall(void *ctx)
{
	struct rig *r = ctx;
	return r->wall + r->now;
}

RIG void rig_random(void *ctx, void *out, size_t len)
{
	(void)ctx;
	check_random_bytes(out, len);
}

RIG struct rig_conn *rig_find(struct rig *r, conn_id id)
{
	for (size_t i = 0; i < r->n_conns; i++)
		if (r->conns[i].id == id)
			return &r->conns[i];
	return NULL;
}

RIG enum shoal_err rig_env_send(void *ctx, conn_id id, const void *bytes, size_t len)
{
	struct rig_conn *c = rig_find(ctx, id);
	CHECK(c != NULL && !c->closed);
	buf_put(&c->out, bytes, len);
	return SHOAL_OK;
}

RIG size_t rig_env_queued(void *ctx, conn_id id)
{
	struct rig_conn *c = rig_find(ctx, id);
	return c != NULL ? c->queued : 0;
}

RIG void rig_env_close(void *ctx, conn_id id)
{
	struct rig_conn *c = rig_find(ctx, id);
	if (c != NULL)
		c->closed = true;
}

RIG conn_id rig_env_dial(void *ctx, const struct address *addr, const char *alpn)
{
	(void)ctx;
	(void)addr;
	(void)alpn;
	check_that(false, "nobody is to be dialled", __FILE__, __LINE__);
	return 1;
}

RIG struct env_event *rig_push(struct rig *r, const struct env_event *ev)
{
	struct env_event *slot = &r->queue[r->tail++ % RIG_QUEUE];
	CHECK(r->tail - r->head <= RIG_QUEUE);
	*slot = *ev;
	return slot;
}

RIG void rig_env_commit(void *ctx, struct store_txn *txn, uint64_t cookie)
{
	struct rig *r = ctx;
	struct error e = { 0 };
	struct env_event ev = { .type = ENV_COMMITTED, .cookie = cookie };
	ev.result = store_mem_ops.commit(r->store, &txn, 1, &e);
	store_txn_free(txn);
	if (ev.result == SHOAL_EIO) {
		store_mem_ops.close(r->store);
		CHECK_INT(store_mem_ops.open(mem_disk_where(r->disk), &r->store, &e), ==, SHOAL_OK);
	}
	rig_push(r, &ev);
}

RIG void rig_env_content(void *ctx, struct content_op *op, uint64_t cookie)
{
	struct rig *r = ctx;
	struct error e = { 0 };
	struct env_event ev = { .type = ENV_CONTENT, .cookie = cookie, .content = op };
	ev.result = store_content(&store_mem_ops, r->store, op, &e);
	rig_push(r, &ev);
}

/* "plain:<password>" instead of a hash. */
RIG enum shoal_err rig_env_work(void *ctx, const struct env_work *w, uint64_t cookie)
{
	struct rig *r = ctx;
	struct env_event ev = { .type = ENV_WORKED, .cookie = cookie };
	char *record = r->records[r->tail % RIG_QUEUE];
	r->works++;
	snprintf(record, sizeof(r->records[0]), "plain:%.*s", (int)w->password_len, w->password);
	if (w->kind == WORK_HASH_PASSWORD)
		ev.record = record;
	else
		ev.result = strcmp(record, w->record) == 0 ? SHOAL_OK : SHOAL_EAUTH;
	free(w->password);
	free(w->record);
	rig_push(r, &ev);
	return SHOAL_OK;
}

/* -- running */
/* Delivers what is queued; with hold_commits the disk's answers stay where they are. */
RIG void rig_run(struct rig *r)
{
	size_t skipped = 0;
	while (r->tail - r->head > skipped) {
		struct env_event ev = r->queue[r->head++ % RIG_QUEUE];
		if (ev.type == ENV_COMMITTED && r->hold_commits) {
			rig_push(r, &ev);
			skipped++;
			continue;
		}
		r->deadline = tracker_step(r->t, &ev);
	}
}

RIG void rig_step(struct rig *r, const struct env_event *ev)
{
	r->deadline = tracker_step(r->t, ev);
	rig_run(r);
}

/* Time passes, with a TICK at each deadline. */
RIG void rig_pass(struct rig *r, uint64_t ms)
{
	const struct env_event tick = { .type = ENV_TICK };
	uint64_t end = r->now + ms;
	while (r->deadline <= end) {
		CHECK(r->deadline != ENV_NEVER);
		r->now = r->deadline > r->now ? r->deadline : r->now + 1;
		rig_step(r, &tick);
	}
	r->now = end;
	rig_step(r, &tick);
}

RIG enum shoal_err rig_load_row(void *ctx, const struct wire_row *row)
{
	return registry_load(((struct rig *)ctx)->reg, row);
}

RIG enum shoal_err rig_load_vector(void *ctx, uint64_t log, uint64_t seq)
{
	return registry_load_vector(((struct rig *)ctx)->reg, log, seq);
}

RIG enum shoal_err rig_load_floor(void *ctx, uint64_t log, uint64_t seq)
{
	(void)ctx;
	(void)log;
	(void)seq;
	return SHOAL_OK;
}

RIG enum shoal_err rig_load_hlc(void *ctx, uint64_t hlc)
{
	registry_load_hlc(((struct rig *)ctx)->reg, hlc);
	return SHOAL_OK;
}

RIG enum shoal_err rig_load_content(void *ctx, const struct id32 *id)
{
	registry_set_held(((struct rig *)ctx)->reg, id, true);
	return SHOAL_OK;
}

RIG enum shoal_err rig_load_record(void *ctx, uint64_t position, struct slice bytes)
{
	struct record rec;
	(void)position;
	CHECK_INT(record_get(bytes, &rec), ==, SHOAL_OK);
	return registry_load_request(((struct rig *)ctx)->reg, &rec);
}

/* Starts the tracker on what the disk holds. */
RIG void rig_start(struct rig *r)
{
	struct error e = { 0 };
	const struct env_event tick = { .type = ENV_TICK };
	struct store_sink sink = { .ctx = r, .row = rig_load_row, .vector = rig_load_vector, .floor = rig_load_floor,
		                   .hlc = rig_load_hlc, .content = rig_load_content };
	CHECK_INT(store_mem_ops.open(mem_disk_where(r->disk), &r->store, &e), ==, SHOAL_OK);
	r->reg = registry_new(1, ++r->log_id);
	CHECK_INT(store_mem_ops.load(r->store, &sink, &e), ==, SHOAL_OK);
	CHECK_INT(store_mem_ops.log_read(r->store, 0, SIZE_MAX, rig_load_record, r, &e), ==, SHOAL_OK);
	r->config.registry = r->reg;
	r->t = tracker_new(&r->config);
	CHECK(r->t != NULL);
	rig_step(r, &tick);
}

/* kill -9: nothing is told to anybody. */
RIG void rig_stop(struct rig *r)
{
	for (; r->head != r->tail; r->head++)
		if (r->queue[r->head % RIG_QUEUE].type == ENV_CONTENT)
			content_op_free(r->queue[r->head % RIG_QUEUE].content);
	tracker_free(r->t);
	registry_free(r->reg);
	store_mem_ops.close(r->store);
	for (size_t i = 0; i < r->n_conns; i++)
		r->conns[i].closed = true;
}

RIG struct rig *rig_new(void)
{
	struct rig *r = xalloc(sizeof(*r));
	const uint8_t seed[SEED_SIZE] = { 7 };
	r->now = 1000;
	r->wall = UINT64_C(1700000000000);
	r->env = (struct env){ .ctx = r,
		               .mono_ms = rig_mono,
		               .wall_ms = rig_wall,
		               .random = rig_random,
		               .dial = rig_env_dial,
		               .send = rig_env_send,
		               .queued = rig_env_queued,
		               .close = rig_env_close,
		               .commit = rig_env_commit,
		               .content = rig_env_content,
		               .work = rig_env_work };
	r->disk = mem_disk_new();
	r->ticket_key = key_from_seed(seed);
	r->line = (struct tracker_line){ .addr = { .host = "127.0.0.1", .port = 4000 }, .id = 1 };
	r->log_id = 100;
	r->config = (struct tracker_config){ .env = &r->env, .self = 1, .trackers = &r->line, .n_trackers = 1,
		                             .token_key = { 9 }, .ticket_key = r->ticket_key, .version = "test" };
	rig_start(r);
	return r;
}

RIG void rig_free(struct rig *r)
{
	rig_stop(r);
	for (size_t i = 0; i < r->n_conns; i++) {
		buf_free(&r->conns[i].out);
		buf_free(&r->conns[i].reply);
		for (size_t k = 0; k < r->conns[i].n_events; k++)
			buf_free(&r->conns[i].events[k].body);
	}
	EVP_PKEY_free(r->ticket_key);
	mem_disk_free(r->disk);
	free(r);
}

/* -- a client */
/* A connection of that device (a number), not greeted. */
RIG struct rig_conn *rig_connect(struct rig *r, uint8_t device)
{
	struct rig_conn *c = &r->conns[r->n_conns++];
	struct env_event ev = { .type = ENV_ACCEPTED,
		                .alpn = ALPN_CLIENT,
		                .addr = { .host = "127.0.0.9", .port = 999 } };
	CHECK(r->n_conns <= RIG_CONNS);
	c->id = 1000 + r->n_conns;
	c->device.b[0] = device;
	c->device.b[31] = 1;
	ev.conn = c->id;
	ev.identity = c->device;
	rig_step(r, &ev);
	return c;
}

RIG void rig_bytes(struct rig *r, struct rig_conn *c, const void *data, size_t len)
{
	struct env_event ev = { .type = ENV_BYTES, .conn = c->id, .data = data, .len = len };
	rig_step(r, &ev);
}

/* The other side's TCP connection breaks. */
RIG void rig_break(struct rig *r, struct rig_conn *c)
{
	struct env_event ev = { .type = ENV_CLOSED, .conn = c->id, .message = "reset" };
	rig_step(r, &ev);
	c->closed = true;
}

/* Takes frames apart until the reply to `serial` (0: all there are); events are kept. False: no such reply. */
RIG bool rig_take(struct rig_conn *c, uint32_t serial, struct rig_reply *out)
{
	struct frame_reader reader;
	struct slice in = slice_of(c->out.data, c->out.len);
	struct error e;
	struct frame f;
	bool found = false;

	frame_reader_init(&reader, FRAMES_TRACKER);
	while (!found && frame_read(&reader, &in, &f, &e) == SHOAL_OK) {
		struct cursor body = cursor_of(f.body.data, f.body.len);
		if (f.tag == TAG_EVNT) {
			CHECK_INT(evnt_check(f.body), ==, SHOAL_OK);
			CHECK(c->n_events < RIG_EVENTS);
			struct rig_event *ev = &c->events[c->n_events++];
			ev->kind = get_u16(&body);
			buf_reset(&ev->body);
			buf_put(&ev->body, body.p, cursor_left(&body));
			continue;
		}
		CHECK_INT(f.tag, ==, TAG_RPLY);
		buf_reset(&c->reply);
		buf_put(&c->reply, f.body.data, f.body.len);
		if (serial == 0)
			continue;
		out->fields = cursor_of(c->reply.data, c->reply.len);
		rply_head_get(&out->fields, &out->head);
		found = out->head.serial == serial;
	}
	buf_consume(&c->out, c->out.len - in.len);
	frame_reader_fini(&reader);
	return found;
}

RIG
void rig_put_cmd(struct buf *b, uint32_t serial, unsigned verb, const struct id16 *request, const struct buf *fields)
{
	struct cmd_head head = { .serial = serial, .request = *request, .verb = (uint16_t)verb };
	size_t start = frame_begin(b, TAG_CMD);
	cmd_head_put(b, &head);
	buf_put(b, fields->data, fields->len);
	CHECK_INT(frame_end(b, start), ==, SHOAL_OK);
}

RIG struct id16 rig_request(void)
{
	struct id16 id;
	check_random_bytes(id.b, sizeof(id.b));
	return id;
}

/* Sends a command without looking for the reply; returns its serial. Frees the fields. */
RIG uint32_t rig_post(struct rig *r, struct rig_conn *c, unsigned verb, const struct id16 *request, struct buf *fields)
{
	struct buf frame = { 0 };
	rig_put_cmd(&frame, ++c->serial, verb, request, fields);
	buf_free(fields);
	rig_bytes(r, c, frame.data, frame.len);
	buf_free(&frame);
	return c->serial;
}

/* Sends a command and takes its reply, which must be there. request NULL: a fresh one if the verb changes something. */
RIG struct rig_reply rig_call(struct rig *r, struct rig_conn *c, unsigned verb, const struct id16 *request,
                              struct buf *fields)
{
	struct rig_reply reply;
	struct id16 fresh = verb_changes(verb) ? rig_request() : (struct id16){ { 0 } };
	uint32_t serial = rig_post(r, c, verb, request != NULL ? request : &fresh, fields);
	if (!rig_take(c, serial, &reply)) {
		char text[96];
		snprintf(text, sizeof(text), "%s was not answered", verb_word(verb));
		check_that(false, text, __FILE__, __LINE__);
	}
	return reply;
}

/* CALL(r, c, LOGIN, req_user_password, .user = ..., .password = ...): the reply. */
#define CALL_AS(r, c, id, VERB, type, ...)                                         \
	({                                                                         \
		struct type q_ = { __VA_ARGS__ };                                \
		struct buf call_fields_ = { 0 };                                           \
		type##_put(&call_fields_, &q_);                                              \
		rig_call(r, c, VERB_##VERB, id, &call_fields_);                              \
	})
#define CALL(r, c, VERB, type, ...) CALL_AS(r, c, NULL, VERB, type, __VA_ARGS__)
#define CODE(r, c, VERB, type, ...) (CALL(r, c, VERB, type, __VA_ARGS__).head.code)
#define S(text) slice_str(text)

/* Reads the reply's fields: REPLY(rep_gid, g, CALL(...)); checks that it was OK. */
#define REPLY(type, name, call)                                      \
	struct type name;                                            \
	struct rig_reply name##_reply = call;                        \
	CHECK_INT(name##_reply.head.code, ==, SHOAL_OK);             \
	type##_get(&name##_reply.fields, &name);                     \
	CHECK(!name##_reply.fields.bad)

RIG struct rep_hello rig_hello(struct rig *r, struct rig_conn *c, struct slice token)
{
	REPLY(rep_hello, h,
	      CALL(r, c, HELLO, req_hello, .version = PROTOCOL_VERSION, .listen = S("0.0.0.0:5000"), .token = token));
	return h;
}

/* A new user's connection, greeted and logged in; user "ann" has the password "ann-pw". */
RIG struct rig_conn *rig_login(struct rig *r, const char *user, uint8_t device)
{
	struct rig_conn *c = rig_connect(r, device);
	char password[64];
	snprintf(password, sizeof(password), "%s-pw", user);
	rig_hello(r, c, (struct slice){ 0 });
	enum shoal_err rc = CODE(r, c, CREATE_USER, req_user_password, .user = S(user), .password = S(password));
	CHECK(rc == SHOAL_OK || rc == SHOAL_EEXISTS);
	CHECK_INT(CODE(r, c, LOGIN, req_user_password, .user = S(user), .password = S(password)), ==, SHOAL_OK);
	rig_take(c, 0, NULL);
	return c;
}

/* The next event of that kind, taken out; its fields. NULL: there is none. */
RIG struct buf *rig_event(struct rig_conn *c, unsigned kind)
{
	rig_take(c, 0, NULL);
	for (size_t i = 0; i < c->n_events; i++) {
		if (c->events[i].kind != kind)
			continue;
		c->events[i].kind = 0;
		return &c->events[i].body;
	}
	return NULL;
}

RIG void rig_forget_events(struct rig_conn *c)
{
	rig_take(c, 0, NULL);
	for (size_t i = 0; i < c->n_events; i++)
		buf_free(&c->events[i].body);
	c->n_events = 0;
}

#define EVENT(type, name, c, KIND)                                                 \
	struct type name;                                                          \
	do {                                                                       \
		struct buf *event_ = rig_event(c, EVENT_##KIND);                      \
		CHECK(event_ != NULL);                                                 \
		struct cursor cur_ = cursor_of(event_->data, event_->len);                 \
		type##_get(&cur_, &name);                                          \
		CHECK_INT(cursor_end(&cur_), ==, SHOAL_OK);                        \
	} while (0)
#define NO_EVENT(c, KIND) CHECK(rig_event(c, EVENT_##KIND) == NULL)
#endif
