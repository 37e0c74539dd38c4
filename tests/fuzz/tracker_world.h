/* tests/fuzz/tracker_world.h - the world of fuzz_tracker_step and fuzz_snapshot: the rig of the tracker's unit tests,
 * other trackers, failing memory, a look at every byte that comes out, and what holds at the end. The target includes it. */
#ifndef SHOAL_TESTS_TRACKER_WORLD_H
#define SHOAL_TESTS_TRACKER_WORLD_H
#include "core/sync/sync.h"
#include "core/wire/sync_msg.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/tracker/rig.h"

enum { SERIALS = 200, CHUNKS_MAX = 300 };
enum kind { FREE, CLIENT, ACCEPTED, DIALLED };

/* What the world knows of a connection beside the rig. */
struct side {
	enum kind kind;
	bool connected;             /* DIALLED: the answer was yes */
	bool raw;                   /* bytes went in that were no commands: replies to anything may come */
	uint16_t peer;              /* DIALLED: who should be there */
	uint16_t verbs[SERIALS];    /* by serial: what is not answered yet; 0: nothing */
	uint32_t serial;
};

struct world {
	struct rig rig; /* first: the env's ctx */
	struct side sides[RIG_CONNS];
	struct tracker_line lines[3];
	struct fuzz_pool pool;
	uint8_t token[TOKEN_MAX], stamp[STAMP_WIRE_SIZE];
	char session[64];
	conn_id last_id;
	unsigned fail_after; /* memory, in the next step */
	bool settled;        /* dials are answered by themselves from now on */
	bool show;           /* FUZZ_SHOW=1 in the environment: replies and log go to stderr */
};

/* -- env, where it differs from the rig's */

/* A place for a new connection: its number. */
static size_t new_conn(struct world *w, enum kind kind)
{
	struct rig *r = &w->rig;
	size_t i = 0;
	while (i < r->n_conns && !r->conns[i].closed)
		i++;
	CHECK(i < RIG_CONNS);
	struct rig_conn *c = &r->conns[i];
	if (i == r->n_conns)
		r->n_conns++;
	buf_free(&c->out);
	*c = (struct rig_conn){ .id = ++w->last_id };
	w->sides[i] = (struct side){ .kind = kind };
	return i;
}

static conn_id env_dial(void *ctx, const struct address *addr, const char *alpn)
{
	struct world *w = ctx;
	CHECK_STR(alpn, ALPN_SYNC);
	CHECK(addr->port == 4001 || addr->port == 4002);
	size_t i = new_conn(w, DIALLED);
	w->sides[i].peer = (uint16_t)(addr->port - 3999);
	return w->rig.conns[i].id;
}

/* Not with buf_put(): the memory that runs out is the tracker's. */
static enum shoal_err env_send(void *ctx, conn_id id, const void *bytes, size_t len)
{
	struct rig_conn *c = rig_find(ctx, id);
	CHECK(c != NULL && !c->closed);
	c->out.data = realloc(c->out.data, c->out.len + len + 1);
	CHECK(c->out.data != NULL);
	memcpy(c->out.data + c->out.len, bytes, len);
	c->out.len += len;
	c->out.cap = c->out.len + 1;
	return SHOAL_OK;
}

static void env_commit(void *ctx, struct store_txn *txn, uint64_t cookie)
{
	mem_fail_after(0);
	rig_env_commit(ctx, txn, cookie);
}

static void env_content(void *ctx, struct content_op *op, uint64_t cookie)
{
	mem_fail_after(0);
	rig_env_content(ctx, op, cookie);
}

/* w: zeroed, on the heap, what world_free() frees. */
static void world_init(struct world *w)
{
	struct rig *r = &w->rig;
	const uint8_t seed[SEED_SIZE] = { 7 };

	w->last_id = 1000;
	for (uint16_t i = 0; i < 3; i++)
		w->lines[i] = (struct tracker_line){ .addr = { .host = "127.0.0.1", .port = (uint16_t)(4000 + i) },
			                             .id = (uint16_t)(i + 1) };
	r->now = 1000;
	r->wall = UINT64_C(1700000000000);
	r->env = (struct env){ .ctx = r, .mono_ms = rig_mono, .wall_ms = rig_wall, .random = rig_random,
		               .dial = env_dial, .send = env_send, .queued = rig_env_queued,
		               .close = rig_env_close, .commit = env_commit, .content = env_content, .work = rig_env_work };
	r->disk = mem_disk_new();
	r->ticket_key = key_from_seed(seed);
	r->log_id = 100;
	r->config = (struct tracker_config){ .env = &r->env, .self = 1, .trackers = w->lines, .n_trackers = 3,
		                             .cluster.b = { 5 }, .token_key = { 9 }, .ticket_key = r->ticket_key,
		                             .version = "test" };
	rig_start(r);
}

/* -- what comes out */

/* The fields of a reply, as the verb's list says them. */
static bool reply_ok(unsigned verb, struct cursor *c)
{
	struct row_none {
		int nothing;
	};
#define row_none_get(c, m) ((void)(c), (void)(m))
	switch (verb) {
#define X(num, NAME, word, req, rep, row, login, change)                      \
	case num: {                                                           \
		struct rep m;                                                 \
		rep##_get(c, &m);                                             \
		for (unsigned n = strcmp(#row, "row_none") != 0 ? get_u16(c) : 0; n > 0 && !c->bad; n--) { \
			struct row item;                                      \
			row##_get(c, &item);                                  \
		}                                                             \
		break;                                                        \
	}
		CMD_VERBS(X)
#undef X
	}
	return cursor_end(c) == SHOAL_OK;
}

/* What later commands may want to show again. */
static void note_reply(struct world *w, unsigned verb, const struct rply_head *head, struct cursor c)
{
	struct rep_session m = { 0 };
	struct row_session row = { 0 };
	struct buf b = { 0 };

	if (!stamp_is_zero(&head->stamp)) {
		stamp_put(&b, &head->stamp);
		memcpy(w->stamp, b.data, sizeof(w->stamp));
		buf_free(&b);
		w->pool.stamp = slice_of(w->stamp, sizeof(w->stamp));
	}
	if (verb == VERB_LOGIN || verb == VERB_RESUME)
		rep_session_get(&c, &m);
	if (!c.bad && m.token.len != 0 && m.token.len <= sizeof(w->token)) {
		memcpy(w->token, m.token.data, m.token.len);
		w->pool.token = slice_of(w->token, m.token.len);
	}
	if (verb == VERB_LIST_SESSIONS && get_u16(&c) != 0)
		row_session_get(&c, &row);
	if (!c.bad && row.id.len != 0 && slice_to_str(row.id, w->session, sizeof(w->session)))
		w->pool.session = slice_str(w->session);
}

static void on_reply(struct world *w, struct side *s, struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct rply_head head;

	rply_head_get(&c, &head);
	CHECK(!c.bad && (head.flags & ~(RPLY_MORE | RPLY_STAMP | RPLY_LACKS | RPLY_SYNCED)) == 0);
	CHECK(head.code == SHOAL_OK || (head.message.len != 0 && (head.flags & ~RPLY_LACKS) == 0 && cursor_left(&c) == 0));
	CHECK((head.flags & RPLY_LACKS) == 0 || head.code == SHOAL_EBUSY);
	unsigned verb = head.serial < SERIALS ? s->verbs[head.serial] : 0;
	CHECK(verb != 0 || s->raw);
	if (w->show)
		fprintf(stderr, "%s: %s %.*s\n", verb != 0 ? verb_word(verb) : "?", error_word(head.code),
		        (int)head.message.len, (const char *)head.message.data);
	if (verb == 0)
		return;
	note_reply(w, head.code == SHOAL_OK ? verb : 0, &head, c);
	CHECK(head.code != SHOAL_OK || reply_ok(verb, &c));
	if ((head.flags & RPLY_MORE) == 0)
		s->verbs[head.serial] = 0;
}

static void on_frame(struct world *w, struct side *s, const struct frame *f)
{
	if (s->kind != CLIENT)
		CHECK_INT(sync_check(f->body), ==, SHOAL_OK);
	else if (f->tag == TAG_EVNT)
		CHECK_INT(evnt_check(f->body), ==, SHOAL_OK);
	else
		on_reply(w, s, f->body);
}

static void check_output(struct world *w)
{
	for (size_t i = 0; i < w->rig.n_conns; i++) {
		struct rig_conn *c = &w->rig.conns[i];
		struct side *s = &w->sides[i];
		struct slice in = slice_of(c->out.data, c->out.len);
		struct frame_reader reader;
		struct frame f;
		struct error e;

		frame_reader_init(&reader, s->kind == CLIENT ? FRAMES_TRACKER : FRAMES_SYNC);
		while (frame_read(&reader, &in, &f, &e) == SHOAL_OK)
			on_frame(w, s, &f);
		CHECK(!reader.bad && reader.held.len == 0); /* whole frames only */
		frame_reader_fini(&reader);
		c->out.len = 0;
	}
}

/* -- what goes in */

static void step(struct world *w, const struct env_event *ev)
{
	mem_fail_after(w->fail_after);
	w->fail_after = 0;
	rig_step(&w->rig, ev);
	mem_fail_after(0);
	check_output(w);
}

static void deliver(struct world *w, size_t i, struct slice bytes, unsigned cut)
{
	struct rig_conn *c = &w->rig.conns[i];
	size_t most = cut == 0 ? bytes.len : cut;
	conn_id id = c->id;

	if (bytes.len / (most != 0 ? most : 1) > CHUNKS_MAX)
		most = bytes.len;
	while (bytes.len != 0 && !c->closed && c->id == id) {
		size_t n = most < bytes.len ? most : bytes.len;
		uint8_t *copy = fuzz_copy(slice_of(bytes.data, n));
		struct env_event ev = { .type = ENV_BYTES, .conn = id, .data = copy, .len = n };
		step(w, &ev);
		free(copy);
		bytes = slice_of(bytes.data + n, bytes.len - n);
	}
}

static void deliver_frame(struct world *w, size_t i, enum frame_tag tag, const struct buf *body, unsigned cut)
{
	struct buf frame = { 0 };
	size_t start = frame_begin(&frame, tag);
	buf_put(&frame, body->data, body->len);
	CHECK_INT(frame_end(&frame, start), ==, SHOAL_OK);
	deliver(w, i, slice_of(frame.data, frame.len), cut);
	buf_free(&frame);
}

static void command(struct world *w, size_t i, unsigned verb, unsigned request, const struct buf *fields, unsigned cut)
{
	struct side *s = &w->sides[i];
	struct cmd_head head = { .serial = s->serial + 1, .request.b = { (uint8_t)request }, .verb = (uint16_t)verb };
	struct buf body = { 0 };

	if (s->serial + 1 >= SERIALS)
		return;
	s->serial++;
	s->verbs[s->serial] = (uint16_t)verb;
	cmd_head_put(&body, &head);
	buf_put(&body, fields->data, fields->len);
	deliver_frame(w, i, TAG_CMD, &body, cut);
	buf_free(&body);
}

static size_t count_kind(const struct world *w, enum kind kind)
{
	size_t n = 0;
	for (size_t i = 0; i < w->rig.n_conns; i++)
		n += !w->rig.conns[i].closed && w->sides[i].kind == kind;
	return n;
}

/* The n-th open connection of that kind (counted round), SIZE_MAX if there is none. */
__attribute__((unused)) static size_t pick(const struct world *w, enum kind kind, unsigned n)
{
	size_t count = count_kind(w, kind);
	if (count == 0)
		return SIZE_MAX;
	n %= count;
	for (size_t i = 0;; i++)
		if (!w->rig.conns[i].closed && w->sides[i].kind == kind && n-- == 0)
			return i;
}

static size_t accept_conn(struct world *w, enum kind kind, struct id32 identity)
{
	size_t i = new_conn(w, kind);
	struct env_event ev = { .type = ENV_ACCEPTED, .conn = w->rig.conns[i].id, .identity = identity,
		                .alpn = kind == CLIENT ? ALPN_CLIENT : ALPN_SYNC,
		                .addr = { .host = "127.0.0.9", .port = 999 } };
	step(w, &ev);
	return i;
}

static void hello(struct world *w, size_t i, struct slice token)
{
	struct buf fields = { 0 };
	const struct req_hello req = { .version = PROTOCOL_VERSION, .listen = S("0.0.0.0:5000"), .token = token };
	req_hello_put(&fields, &req);
	command(w, i, VERB_HELLO, 0, &fields, 0);
	buf_free(&fields);
}

static void user_command(struct world *w, size_t i, unsigned verb, unsigned request, const char *user)
{
	struct buf fields = { 0 };
	char password[32];
	snprintf(password, sizeof(password), "%s-pw", user);
	req_user_password_put(&fields, &(struct req_user_password){ S(user), S(password) });
	command(w, i, verb, request, &fields, 0);
	buf_free(&fields);
}

static void sync_hello(struct world *w, size_t i, unsigned from, struct slice vector)
{
	struct buf body = { 0 };
	buf_put_u8(&body, SYNC_HELLO);
	sync_hello_put(&body, &(struct sync_hello){ .cluster = w->rig.config.cluster, .version = SYNC_VERSION,
	                                            .from = (uint16_t)from, .to = 1, .log = 0x2000 + from,
	                                            .wall_ms = w->pool.wall_ms, .frame_max = FRAME_MAX,
	                                            .software = S("fuzz"), .vector = vector });
	deliver_frame(w, i, TAG_SYNC, &body, 0);
	buf_free(&body);
}

/* Ids of what there is now, so that the input can name them by their place. */
static void fill_pool(struct world *w)
{
	struct registry *reg = w->rig.reg;
	struct fuzz_pool *p = &w->pool;
	struct registry_iter it = registry_all(reg, TABLE_USER);
	const struct user_row *u;
	const struct group_row *g;
	const struct file_row *f;

	p->n16 = p->n32 = 0;
	p->wall_ms = rig_wall(&w->rig);
	while ((u = registry_next(&it)) != NULL && p->n16 < 20)
		p->ids16[p->n16++] = u->uid;
	it = registry_all(reg, TABLE_GROUP);
	while ((g = registry_next(&it)) != NULL && p->n16 < 40)
		p->ids16[p->n16++] = g->gid;
	it = registry_all(reg, TABLE_FILE);
	while ((f = registry_next(&it)) != NULL && p->n16 < FUZZ_IDS)
		p->ids16[p->n16++] = f->fid;
	p->ids32[p->n32++] = (struct id32){ { 0 } };
	p->ids32[p->n32++] = (struct id32){ { 1 } };
	p->ids32[p->n32++] = w->rig.config.cluster;
	for (uint64_t size = 0; size <= 600000; size += 300000) { /* contents of 0, 1 and 2 pieces */
		static const uint8_t hashes[64];
		struct content_hash h;
		content_hash_begin(&h, size, &(struct id32){ { 1 } });
		content_hash_add(&h, hashes, content_pieces(size) * 32);
		content_hash_end(&h, &p->ids32[p->n32++]);
	}
}

/* Logs of others. */
static void put_vector(struct cursor *in, unsigned n, struct buf *vector)
{
	for (unsigned i = 0; i < n; i++) {
		buf_put_u64(vector, 0x2000 + i);
		buf_put_u64(vector, 1 + get_u8(in));
	}
}

static void put_rows(struct world *w, struct cursor *in, unsigned n, struct buf *rows)
{
	while (n-- > 0)
		fuzz_put_row(&w->pool, in, rows);
}

static void answer_dial(struct world *w, size_t i, uint8_t how)
{
	struct rig_conn *c = &w->rig.conns[i];
	struct env_event ev = { .conn = c->id, .identity = w->rig.config.cluster, .message = "refused" };

	ev.type = how % 4 == 0 ? ENV_CLOSED : ENV_CONNECTED;
	ev.identity.b[1] = how % 4 == 1;
	c->closed = ev.type == ENV_CLOSED;
	w->sides[i].connected = ev.type == ENV_CONNECTED;
	step(w, &ev);
}

static void break_conn(struct world *w, size_t i)
{
	struct env_event ev = { .type = ENV_CLOSED, .conn = w->rig.conns[i].id, .message = "reset" };
	w->rig.conns[i].closed = true;
	step(w, &ev);
}

/* Time passes; a tracker that asks to be woken again and again without getting on spins. */
static void pass(struct world *w, uint64_t ms)
{
	const struct env_event tick = { .type = ENV_TICK };
	struct rig *r = &w->rig;
	uint64_t end = r->now + ms;

	for (uint64_t ticks = 0; r->deadline <= end; ticks++) {
		CHECK(ticks <= 200 + ms / 4);
		r->now = r->deadline > r->now ? r->deadline : r->now;
		step(w, &tick);
		for (size_t i = 0; w->settled && i < r->n_conns; i++)
			if (w->sides[i].kind == DIALLED && !w->sides[i].connected && !r->conns[i].closed)
				answer_dial(w, i, 0);
	}
	r->now = end;
	step(w, &tick);
}

/* A tracker of a cluster looks for the others for 5 s before it lets anybody change something. */
static void wait_until_joined(struct world *w)
{
	w->settled = true;
	pass(w, 6000);
	w->settled = false;
}

/* -- the end */

static void check_answered(const struct world *w)
{
	for (size_t i = 0; i < w->rig.n_conns; i++)
		for (uint32_t n = 0; n < SERIALS && !w->rig.conns[i].closed; n++)
			CHECK(w->sides[i].verbs[n] == 0 || w->sides[i].verbs[n] == VERB_WAIT_SYNCED || w->sides[i].raw);
}

/* Everything is well again: what is open is answered, who says nothing is closed. */
static void settle(struct world *w)
{
	w->fail_after = 0;
	w->settled = true;
	w->rig.hold_commits = false;
	mem_disk_fail_commits(w->rig.disk, SHOAL_OK, 0);
	for (size_t i = 0; i < w->rig.n_conns; i++)
		w->rig.conns[i].queued = 0;
	pass(w, 3000);
	check_answered(w);
	pass(w, 47000);
	CHECK_INT(count_kind(w, CLIENT), ==, 0);
	CHECK_INT(count_kind(w, ACCEPTED), ==, 0);
}

/* A client that has done nothing wrong. */
static void check_serves(struct world *w)
{
	size_t i = accept_conn(w, CLIENT, (struct id32){ { 77 } });
	struct buf none = { 0 };
	hello(w, i, (struct slice){ 0 });
	user_command(w, i, VERB_CREATE_USER, 200, "zoe");
	user_command(w, i, VERB_LOGIN, 201, "zoe");
	command(w, i, VERB_MY_SHARES, 0, &none, 0);
	CHECK(!w->rig.conns[i].closed);
	check_answered(w);
	break_conn(w, i);
	pass(w, 3000);
}

/* The end, in good order or by kill -9, and a new start. */
static void check_restart(struct world *w, bool in_order)
{
	struct digest before[TABLE_END];
	struct vvec vector = { 0 };

	for (unsigned t = TABLE_USER; t < TABLE_END; t++)
		before[t] = registry_digest(w->rig.reg, (enum table)t);
	CHECK_INT(vvec_copy(&vector, registry_vector(w->rig.reg)), ==, SHOAL_OK);
	CHECK_INT(registry_pending(w->rig.reg), ==, 0);
	if (in_order) {
		tracker_leave(w->rig.t);
		check_output(w);
	}
	rig_stop(&w->rig);
	rig_start(&w->rig);
	for (unsigned t = TABLE_USER; t < TABLE_END; t++)
		CHECK(digest_eq(before[t], registry_digest(w->rig.reg, (enum table)t)));
	CHECK(vvec_eq(&vector, registry_vector(w->rig.reg)));
	vvec_fini(&vector);
}

static void world_free(struct world *w)
{
	for (size_t i = 0; i < w->rig.n_conns; i++)
		buf_free(&w->rig.conns[i].out);
	w->rig.n_conns = 0;
	struct log *log = w->rig.env.log;
	rig_free(&w->rig); /* and with it w */
	log_close(log);
}
#endif
