/* tests/fuzz/fuzz_tracker_step.c - a whole tracker in a made-up world: clients and other trackers say what the input
 * says, cut anywhere; disks fail, memory runs out, connections break, time passes.
 *
 * What must hold: every byte it sends is a whole frame that its reader accepts; every command gets its reply or the
 * connection is closed; it does not spin; whoever says nothing is closed in time; afterwards it still serves; and what is
 * on the disk gives, loaded again, the registry that it had. The instructions: enum step in fuzz_step.h; FUZZ_SHOW=1 shows
 * what they led to. */
#include "tests/fuzz/fuzz_step.h"

#include "core/sync/sync.h"
#include "core/wire/sync_msg.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/tracker/rig.h"

enum { STEPS_MAX = 96, SERIALS = 200, CLIENTS_MAX = 6, TRACKERS_MAX = 4, CHUNKS_MAX = 300 };
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

static struct world *world_new(void)
{
	struct world *w = xalloc(sizeof(*w));
	struct rig *r = &w->rig;
	const uint8_t seed[SEED_SIZE] = { 7 };

	w->last_id = 1000;
	for (uint16_t i = 0; i < 3; i++)
		w->lines[i] = (struct tracker_line){ .addr = { .host = "127.0.0.1", .port = (uint16_t)(4000 + i) },
			                             .id = (uint16_t)(i + 1) };
	r->now = 1000;
	r->wall = UINT64_C(1700000000000);
	r->env = (struct env){ .ctx = r, .mono_ms = rig_mono, .wall_ms = rig_wall, .random = rig_random, .dial = env_dial,
		               .send = env_send, .queued = rig_env_queued, .close = rig_env_close, .commit = env_commit,
		               .content = env_content, .work = rig_env_work };
	r->disk = mem_disk_new();
	r->ticket_key = key_from_seed(seed);
	r->log_id = 100;
	r->config = (struct tracker_config){ .env = &r->env, .self = 1, .trackers = w->lines, .n_trackers = 3,
		                             .cluster.b = { 5 }, .token_key = { 9 }, .ticket_key = r->ticket_key,
		                             .version = "test" };
	rig_start(r);
	return w;
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
	CHECK(!c.bad && (head.flags & ~(RPLY_MORE | RPLY_STAMP)) == 0);
	CHECK(head.code == SHOAL_OK || (head.message.len != 0 && head.flags == 0 && cursor_left(&c) == 0));
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
static size_t pick(const struct world *w, enum kind kind, unsigned n)
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
	req_hello_put(&fields, &(struct req_hello){ .version = PROTOCOL_VERSION, .listen = S("0.0.0.0:5000"), .token = token });
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

/* -- instructions */

CMD_REQUESTS(FUZZ_DEFINE)
#define X(num, NAME, word, fields, row) FUZZ_DEFINE(sync_##word, fields)
SYNC_KINDS(X)
#undef X
FUZZ_DEFINE(sync_lease_row, SYNC_LEASE_ROW_FIELDS)
FUZZ_DEFINE(sync_peer_row, SYNC_PEER_ROW_FIELDS)

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
	for (uint64_t size = 0; size <= 600000; size += 300000) { /* contents of 0, 1 and 2 pieces of no hashes to speak of */
		static const uint8_t hashes[64];
		struct content_hash h;
		content_hash_begin(&h, size, &(struct id32){ { 1 } });
		content_hash_add(&h, hashes, content_pieces(size) * 32);
		content_hash_end(&h, &p->ids32[p->n32++]);
	}
}

static void do_cmd(struct world *w, struct cursor *in)
{
	struct fuzz_pool *pool = &w->pool;
	struct buf fields = { 0 };
	size_t i = pick(w, CLIENT, get_u8(in));
	unsigned verb = get_u8(in), request = get_u8(in), cut = get_u8(in);

	if (i == SIZE_MAX)
		return;
	if ((verb & 0x80) != 0) {
		struct slice raw = fuzz_take(in, 8192);
		buf_put(&fields, raw.data, raw.len);
	}
	switch (verb & 0x7f) {
#define X(num, NAME, word, req, rep, row, login, change) \
	case num: any_##req(pool, in, &fields); break;
		CMD_VERBS(X)
#undef X
	}
	command(w, i, verb & 0x7f, request, &fields, cut);
	buf_free(&fields);
}

static size_t pick_sync(const struct world *w, unsigned n)
{
	size_t i = pick(w, n % 2 == 0 ? ACCEPTED : DIALLED, n / 2);
	return i != SIZE_MAX && (w->sides[i].kind == ACCEPTED || w->sides[i].connected) ? i : SIZE_MAX;
}

static void do_sync(struct world *w, struct cursor *in)
{
	struct fuzz_pool *pool = &w->pool;
	struct buf body = { 0 };
	size_t i = pick_sync(w, get_u8(in));
	unsigned kind = get_u8(in), cut = get_u8(in);

	if (i == SIZE_MAX)
		return;
	buf_put_u8(&body, (uint8_t)(kind & 0x7f));
	if ((kind & 0x80) != 0) {
		struct slice raw = fuzz_take(in, 8192);
		buf_put(&body, raw.data, raw.len);
	} else {
		size_t at = body.len;
		switch (kind) {
#define X(num, NAME, word, fields, row) \
	case num: any_sync_##word(pool, in, &body); break;
			SYNC_KINDS(X)
#undef X
		}
		unsigned rows = kind == SYNC_LEASE || kind == SYNC_PEER ? body.data[at + 1] % 4 : 0;
		if (kind == SYNC_LEASE || kind == SYNC_PEER)
			body.data[at] = 0, body.data[at + 1] = (uint8_t)rows;
		for (; rows > 0; rows--)
			kind == SYNC_LEASE ? any_sync_lease_row(pool, in, &body) : any_sync_peer_row(pool, in, &body);
	}
	deliver_frame(w, i, TAG_SYNC, &body, cut);
	buf_free(&body);
}

static void put_rows(struct world *w, struct cursor *in, unsigned n, struct buf *rows)
{
	while (n-- > 0)
		fuzz_put_row(&w->pool, in, rows);
}

/* An op with a right checksum, mostly the next of its log. */
static void do_op(struct world *w, struct cursor *in)
{
	struct buf rows = { 0 }, record = { 0 }, body = { 0 };
	size_t i = pick_sync(w, get_u8(in));
	struct record r = { .version = RECORD_VERSION, .op = get_u8(in) };
	uint8_t log = get_u8(in), flags = get_u8(in);

	r.stamp.dot.log = 0x2000 + log % 4;
	r.stamp.dot.seq = (flags & 1) != 0 ? get_u8(in) : vvec_get(registry_vector(w->rig.reg), r.stamp.dot.log) + 1;
	r.stamp.hlc = (flags & 2) != 0 ? get_u64(in) : (w->pool.wall_ms << 16) + r.stamp.dot.seq;
	r.stamp.tracker = (uint16_t)(2 + log % 2);
	r.request.b[0] = (flags & 4) != 0 ? get_u8(in) : 0;
	put_rows(w, in, flags >> 4, &rows);
	r.rows = slice_of(rows.data, rows.len);
	if (i != SIZE_MAX && record_put(&record, &r) == SHOAL_OK) {
		buf_put_u8(&body, SYNC_OP);
		sync_op_put(&body, &(struct sync_op){ slice_of(record.data, record.len) });
		deliver_frame(w, i, TAG_SYNC, &body, (flags & 8) != 0 ? 7 : 0);
	}
	buf_free(&rows);
	buf_free(&record);
	buf_free(&body);
}

static void put_vector(struct cursor *in, unsigned n, struct buf *vector)
{
	for (unsigned i = 0; i < n; i++) {
		buf_put_u64(vector, 0x2000 + i);
		buf_put_u64(vector, 1 + get_u8(in));
	}
}

/* BEGIN, one frame of ROWS, END, with the right count and hash. */
static void do_snapshot(struct world *w, struct cursor *in)
{
	struct buf rows = { 0 }, vector = { 0 }, body = { 0 };
	size_t i = pick_sync(w, get_u8(in));
	unsigned n = get_u8(in) % 16;
	struct sync_snap_end end = { .serial = 1, .rows = n };

	put_vector(in, get_u8(in) % 4, &vector);
	put_rows(w, in, n, &rows);
	sha256_of(rows.data, rows.len, &end.hash);
	for (int part = 0; part < 3 && i != SIZE_MAX && !w->rig.conns[i].closed; part++) {
		buf_reset(&body);
		buf_put_u8(&body, (uint8_t)(SYNC_SNAP_BEGIN + part));
		if (part == 0)
			sync_snap_begin_put(&body, &(struct sync_snap_begin){ .serial = 1, .rows = n, .hlc = w->pool.wall_ms << 16,
			                                                      .vector = slice_of(vector.data, vector.len) });
		else if (part == 1)
			sync_snap_rows_put(&body, &(struct sync_snap_rows){ .serial = 1, .rows = slice_of(rows.data, rows.len) });
		else
			sync_snap_end_put(&body, &end);
		deliver_frame(w, i, TAG_SYNC, &body, 0);
	}
	buf_free(&rows);
	buf_free(&vector);
	buf_free(&body);
}

static void do_raw(struct world *w, struct cursor *in)
{
	unsigned which = get_u8(in), cut = get_u8(in);
	size_t i = which % 2 == 0 ? pick(w, CLIENT, which / 2) : pick_sync(w, which / 2);
	struct slice raw = fuzz_take(in, 8192);

	if (i == SIZE_MAX)
		return;
	w->sides[i].raw = true;
	deliver(w, i, raw, cut);
}

static void do_client(struct world *w, struct cursor *in)
{
	uint8_t how = get_u8(in);
	if (count_kind(w, CLIENT) >= CLIENTS_MAX)
		return;
	size_t i = accept_conn(w, CLIENT, (struct id32){ { (uint8_t)(how % 4) } });
	if ((how & 0x80) == 0)
		hello(w, i, (how & 0x40) != 0 ? w->pool.token : (struct slice){ 0 });
}

static void do_login(struct world *w, struct cursor *in)
{
	static const char *const users[] = { "ann", "bob", "cho", "dan" };
	size_t i = pick(w, CLIENT, get_u8(in));
	uint8_t who = get_u8(in) % 4;
	if (i == SIZE_MAX)
		return;
	user_command(w, i, VERB_CREATE_USER, 100u + who, users[who]);
	if (!w->rig.conns[i].closed)
		user_command(w, i, VERB_LOGIN, get_u8(in), users[who]);
}

static void do_tracker(struct world *w, struct cursor *in)
{
	uint8_t how = get_u8(in);
	struct buf vector = { 0 };
	struct id32 identity = w->rig.config.cluster;

	if (count_kind(w, ACCEPTED) >= TRACKERS_MAX)
		return;
	identity.b[1] = (how & 0x80) != 0;
	size_t i = accept_conn(w, ACCEPTED, identity);
	put_vector(in, how % 4, &vector);
	if (!w->rig.conns[i].closed && (how & 0x40) == 0)
		sync_hello(w, i, 2 + (how >> 2) % 2, slice_of(vector.data, vector.len));
	buf_free(&vector);
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

static void do_dial(struct world *w, struct cursor *in)
{
	unsigned which = get_u8(in);
	uint8_t how = get_u8(in);
	size_t i = pick(w, DIALLED, which);
	struct buf vector = { 0 };

	if (i == SIZE_MAX || w->sides[i].connected)
		return;
	answer_dial(w, i, how);
	put_vector(in, (how >> 4) % 4, &vector);
	if (!w->rig.conns[i].closed && w->sides[i].connected && (how & 8) == 0)
		sync_hello(w, i, w->sides[i].peer ^ (how >> 2) % 2, slice_of(vector.data, vector.len));
	buf_free(&vector);
}

static void break_conn(struct world *w, size_t i)
{
	struct env_event ev = { .type = ENV_CLOSED, .conn = w->rig.conns[i].id, .message = "reset" };
	w->rig.conns[i].closed = true;
	step(w, &ev);
}

static void do_break(struct world *w, struct cursor *in)
{
	unsigned which = get_u8(in);
	size_t i = which % 2 == 0 ? pick(w, CLIENT, which / 2) : pick_sync(w, which / 2);
	if (i != SIZE_MAX)
		break_conn(w, i);
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

/* Up to a minute, or hours. */
static void do_time(struct world *w, uint16_t v)
{
	enum { LONG = 0xf000 };
	pass(w, v < LONG ? v : (uint64_t)(v - LONG) * 4000);
}

static void do_fault(struct world *w, struct cursor *in)
{
	uint8_t what = get_u8(in), n = get_u8(in);
	size_t i;

	switch (what % 7) {
	case 0: mem_disk_fail_commits(w->rig.disk, SHOAL_EDISKFULL, n % 4); break;
	case 1: mem_disk_fail_commits(w->rig.disk, SHOAL_EIO, n % 4); break;
	case 2: w->rig.hold_commits = n % 2 != 0; break;
	case 3: w->fail_after = n; break;
	case 4:
	case 5:
		i = what % 7 == 4 ? pick(w, CLIENT, n / 4) : pick_sync(w, n / 4);
		if (i != SIZE_MAX)
			w->rig.conns[i].queued = (n % 4) * 400000u;
		break;
	case 6: tracker_set_peers(w->rig.t, w->lines, 1 + n % 3); break;
	}
}

static void do_console(struct world *w, struct cursor *in)
{
	struct buf out = { 0 };
	char *line = fuzz_text(fuzz_take(in, 200));
	tracker_console(w->rig.t, line, &out);
	for (size_t i = 0; i < out.len; i++)
		CHECK((out.data[i] >= 0x20 && out.data[i] != 0x7f) || out.data[i] == '\n');
	buf_free(&out);
	free(line);
}

static void do_step(struct world *w, struct cursor *in)
{
	fill_pool(w);
	switch (get_u8(in) % STEP_COUNT) {
	case STEP_CMD: do_cmd(w, in); break;
	case STEP_RAW: do_raw(w, in); break;
	case STEP_SYNC: do_sync(w, in); break;
	case STEP_OP: do_op(w, in); break;
	case STEP_SNAPSHOT: do_snapshot(w, in); break;
	case STEP_CLIENT: do_client(w, in); break;
	case STEP_LOGIN: do_login(w, in); break;
	case STEP_TRACKER: do_tracker(w, in); break;
	case STEP_DIAL: do_dial(w, in); break;
	case STEP_BREAK: do_break(w, in); break;
	case STEP_TIME: do_time(w, get_u16(in)); break;
	case STEP_FAULT: do_fault(w, in); break;
	case STEP_CONSOLE: do_console(w, in); break;
	}
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

/* A tracker of a cluster looks for the others for 5 s before it lets anybody change something. */
static void wait_until_joined(struct world *w)
{
	w->settled = true;
	pass(w, 6000);
	w->settled = false;
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);

	fuzz_begin();
	struct world *w = world_new();
	w->show = getenv("FUZZ_SHOW") != NULL;
	w->rig.env.log = w->show ? log_open(NULL, LOG_DEBUG, LOG_DEBUG, NULL) : NULL;
	uint8_t how = get_u8(&in);
	if (how % 2 == 0)
		wait_until_joined(w);
	for (int i = 0; i < STEPS_MAX && cursor_left(&in) != 0; i++)
		do_step(w, &in);
	settle(w);
	check_serves(w);
	check_restart(w, (how & 2) != 0);
	world_free(w);
	return 0;
}
