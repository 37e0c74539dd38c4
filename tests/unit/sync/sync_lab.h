/* tests/unit/sync/sync_lab.h - a few trackers' sync in one process: bytes and events in a queue, time by hand.
 *
 * Nodes 1 to LAB_NODES; one without a registry is raw: the test speaks for it, frame by frame. */
#ifndef SHOAL_TESTS_SYNC_LAB_H
#define SHOAL_TESTS_SYNC_LAB_H
#include "core/base/mem.h"
#include "core/registry/group_manager.h"
#include "core/registry/store_mem.h"
#include "core/registry/user_manager.h"
#include "core/sync/commit.h"
#include "core/sync/sync.h"
#include "core/wire/sync_msg.h"
#include "tests/unit/check.h"

#define LAB_NODES 3
#define LAB_CONNS 256
#define LAB_QUEUE 65536
#define LAB_OPS 4096
#define LAB_QUEUED_MAX (1 << 20) /* bytes on the way on one connection past which nothing more is taken */

struct lab_node {
	struct lab *lab;
	uint16_t id;
	bool up, raw;
	bool cut_off;            /* from all others: bytes are swallowed, who dials is refused */
	struct env env;
	struct id32 identity;
	int64_t skew_ms;
	struct mem_disk *disk;
	struct store *store;
	struct registry *reg;
	struct commit *commit;
	struct sync *sync;
	/* commits: by hand if hold, failing if fail is not OK */
	bool hold;
	enum shoal_err fail;
	struct store_txn *txn;
	uint64_t cookie;
	/* content ops: one every 10 ms of lab_run() if slow, else at once */
	bool slow;
	struct content_op *ops[LAB_OPS];
	uint64_t op_cookies[LAB_OPS];
	size_t op_head, op_tail;
	/* raw: what came in, and the last connection */
	struct buf in;
	conn_id conn;
	bool closed;
	/* callbacks */
	unsigned acked_calls, sessions, announces, contents;
	struct sync_session last;
	uint64_t last_at;        /* when it was told */
	void (*leases)(struct lab_node *n); /* sends those of its own sessions; NULL: it has none */
};

struct lab_event {
	struct lab_node *to;
	struct env_event ev;
	uint8_t *bytes;
};

struct lab {
	uint64_t now;
	struct lab_node nodes[LAB_NODES + 1]; /* [0] is not used */
	struct {
		struct lab_node *from, *to;
		size_t queued;   /* from -> to, not delivered yet */
	} conns[LAB_CONNS * 2];  /* conn_id: index; an even one's other end is the odd one behind it */
	conn_id last;
	struct lab_event queue[LAB_QUEUE];
	size_t head, tail;
	bool dark;               /* bytes are swallowed */
	bool lossy;              /* dark: who dials gets no answer, rather than a refusal; it is tried again after 1 s and 3 s */
	struct {
		struct lab_node *from, *to;
		conn_id conn;
		uint64_t since;
	} hanging[LAB_NODES * LAB_NODES];
	size_t mtu;
	size_t log_bytes;        /* for lab_up(); 0: as a tracker has it */
	struct tracker_line lines[LAB_NODES];
};

static inline struct lab_event *lab_put(struct lab_node *to, struct env_event ev)
{
	struct lab *lab = to->lab;
	struct lab_event *e = &lab->queue[lab->tail++ % LAB_QUEUE];
	CHECK(lab->tail - lab->head < LAB_QUEUE);
	*e = (struct lab_event){ .to = to, .ev = ev };
	return e;
}

/* -- env */

static inline uint64_t lab_mono(void *ctx)
{
	return ((struct lab_node *)ctx)->lab->now;
}

static inline uint64_t lab_wall(void *ctx)
{
	struct lab_node *n = ctx;
	return (uint64_t)((int64_t)(1700000000000 + n->lab->now) + n->skew_ms);
}

static inline void lab_random(void *ctx, void *out, size_t len)
{
	(void)ctx;
	check_random_bytes(out, len);
}

static inline void lab_connect(struct lab *lab, struct lab_node *from, struct lab_node *to, conn_id a, const char *alpn)
{
	lab->conns[a].from = from;
	lab->conns[a].to = to;
	lab->conns[a + 1].from = to;
	lab->conns[a + 1].to = from;
	lab_put(to, (struct env_event){ .type = ENV_ACCEPTED, .conn = a + 1, .identity = from->identity, .alpn = alpn });
	lab_put(from, (struct env_event){ .type = ENV_CONNECTED, .conn = a, .identity = to->identity, .alpn = alpn });
}

/* Every 10 ms: the dials that nobody has answered yet. */
static inline void lab_retry_dials(struct lab *lab)
{
	for (size_t i = 0; i < COUNT_OF(lab->hanging); i++) {
		uint64_t ms = lab->now - lab->hanging[i].since;
		if (lab->hanging[i].from == NULL)
			continue;
		if (!lab->dark && (ms == 1000 || ms == 3000))
			lab_connect(lab, lab->hanging[i].from, lab->hanging[i].to, lab->hanging[i].conn, ALPN_SYNC);
		else if (ms >= 5000)
			lab_put(lab->hanging[i].from,
			        (struct env_event){ .type = ENV_CLOSED, .conn = lab->hanging[i].conn, .message = "no answer" });
		else
			continue;
		lab->hanging[i].from = NULL;
	}
}

static inline void lab_hang(struct lab *lab, struct lab_node *from, struct lab_node *to, conn_id conn)
{
	size_t i = 0;
	while (lab->hanging[i].from != NULL)
		CHECK(++i < COUNT_OF(lab->hanging));
	lab->hanging[i].from = from;
	lab->hanging[i].to = to;
	lab->hanging[i].conn = conn;
	lab->hanging[i].since = lab->now;
}

static inline conn_id lab_dial(void *ctx, const struct address *addr, const char *alpn)
{
	struct lab_node *from = ctx;
	struct lab *lab = from->lab;
	struct lab_node *to = &lab->nodes[addr->port];
	conn_id a = lab->last += 2;

	CHECK(a + 1 < LAB_CONNS * 2);
	if (lab->dark && lab->lossy) {
		lab_hang(lab, from, to, a);
		return a;
	}
	if (lab->dark || !to->up || from->cut_off || to->cut_off) {
		lab_put(from, (struct env_event){ .type = ENV_CLOSED, .conn = a, .message = "refused" });
		return a;
	}
	lab_connect(lab, from, to, a, alpn);
	return a;
}

static inline enum shoal_err lab_send(void *ctx, conn_id conn, const void *bytes, size_t len)
{
	struct lab_node *n = ctx;
	struct lab *lab = n->lab;
	struct lab_node *to = lab->conns[conn].to;

	if (to == NULL)
		return SHOAL_EOFFLINE;
	if (lab->conns[conn].queued > LAB_QUEUED_MAX)
		return SHOAL_EBUSY;
	for (size_t at = 0; at < len && !lab->dark && !n->cut_off && !to->cut_off; at += lab->mtu) {
		size_t part = len - at < lab->mtu ? len - at : lab->mtu;
		uint8_t *copy = try_memdup((const uint8_t *)bytes + at, part);
		if (copy == NULL)
			return SHOAL_EBUSY; /* what went before is half a frame: whoever sends ends the connection */
		struct lab_event *e = lab_put(to, (struct env_event){ .type = ENV_BYTES, .conn = conn ^ 1, .len = part });
		e->bytes = copy;
		e->ev.data = e->bytes;
		lab->conns[conn].queued += part;
	}
	return SHOAL_OK;
}

static inline size_t lab_queued(void *ctx, conn_id conn)
{
	return ((struct lab_node *)ctx)->lab->conns[conn].queued;
}

static inline void lab_close(void *ctx, conn_id conn)
{
	struct lab_node *n = ctx;
	struct lab *lab = n->lab;
	struct lab_node *to = lab->conns[conn].to;

	lab->conns[conn].to = lab->conns[conn].from = NULL;
	if (to == NULL)
		return;
	lab->conns[conn ^ 1].to = NULL;
	lab_put(to, (struct env_event){ .type = ENV_CLOSED, .conn = conn ^ 1, .message = "closed" });
}

static inline void lab_answer_commit(struct lab_node *n)
{
	struct error e;
	enum shoal_err rc = n->fail;
	if (n->txn == NULL)
		return;
	unsigned fails = mem_fail_after(0); /* the disk has memory */
	if (rc == SHOAL_OK)
		rc = store_mem_ops.commit(n->store, &n->txn, 1, &e);
	mem_fail_after(fails);
	store_txn_free(n->txn);
	n->txn = NULL;
	lab_put(n, (struct env_event){ .type = ENV_COMMITTED, .cookie = n->cookie, .result = rc });
}

static inline void lab_commit(void *ctx, struct store_txn *txn, uint64_t cookie)
{
	struct lab_node *n = ctx;
	CHECK(n->txn == NULL); /* one at a time */
	n->txn = txn;
	n->cookie = cookie;
	if (!n->hold)
		lab_answer_commit(n);
}

static inline void lab_answer_content(struct lab_node *n)
{
	struct error e;
	size_t at = n->op_head++ % LAB_OPS;
	struct content_op *op = n->ops[at];
	unsigned fails = mem_fail_after(0);
	enum shoal_err rc = store_content(&store_mem_ops, n->store, op, &e);
	mem_fail_after(fails);
	lab_put(n, (struct env_event){ .type = ENV_CONTENT, .cookie = n->op_cookies[at], .result = rc, .content = op });
}

static inline void lab_content(void *ctx, struct content_op *op, uint64_t cookie)
{
	struct lab_node *n = ctx;
	size_t at = n->op_tail++ % LAB_OPS;
	CHECK(n->op_tail - n->op_head < LAB_OPS);
	n->ops[at] = op;
	n->op_cookies[at] = cookie;
	if (!n->slow)
		lab_answer_content(n);
}

/* -- nodes */

static inline void lab_on_acked(void *owner)
{
	((struct lab_node *)owner)->acked_calls++;
}

static inline void lab_on_session(void *owner, const struct sync_session *s)
{
	struct lab_node *n = owner;
	n->sessions++;
	n->last = *s;
	n->last_at = n->lab->now;
}

static inline void lab_leases(void *owner)
{
	struct lab_node *n = owner;
	if (n->leases != NULL)
		n->leases(n);
}

static inline void lab_on_announce(void *owner, const struct sync_announce *a)
{
	(void)a;
	((struct lab_node *)owner)->announces++;
}

static inline void lab_on_content(void *owner, const struct id32 *content)
{
	(void)content;
	((struct lab_node *)owner)->contents++;
}

static inline struct lab *lab_new(void)
{
	struct lab *lab = xalloc(sizeof(*lab));
	lab->now = 1000;
	lab->mtu = 1000;
	for (uint16_t i = 1; i <= LAB_NODES; i++) {
		struct lab_node *n = &lab->nodes[i];
		*n = (struct lab_node){ .lab = lab, .id = i, .identity = { { 7 } } };
		n->env = (struct env){ .ctx = n, .mono_ms = lab_mono, .wall_ms = lab_wall, .random = lab_random,
			               .dial = lab_dial, .send = lab_send, .queued = lab_queued, .close = lab_close,
			               .commit = lab_commit, .content = lab_content };
		n->disk = mem_disk_new();
		lab->lines[i - 1].id = i;
		lab->lines[i - 1].addr.port = i;
	}
	return lab;
}

/* Up with an empty registry, knowing the first `lines` trackers of the list. */
static inline struct lab_node *lab_up(struct lab *lab, uint16_t id, size_t lines)
{
	struct lab_node *n = &lab->nodes[id];
	struct error e;
	CHECK_INT(store_mem_ops.open(mem_disk_where(n->disk), &n->store, &e), ==, SHOAL_OK);
	n->reg = registry_new(id, 1000u + id);
	n->commit = commit_new(&n->env, n->reg);
	n->sync = sync_new(&(struct sync_config){ .env = &n->env, .registry = n->reg, .commit = n->commit, .self = id,
	                                          .cluster = { { 7 } }, .version = "lab", .snapshot_frame = 100, .merge_bytes = 100,
	                                          .log_bytes = lab->log_bytes,
	                                          .trackers = lab->lines, .n_trackers = lines, .owner = n,
	                                          .on_acked = lab_on_acked, .on_session = lab_on_session,
	                                          .on_announce = lab_on_announce, .on_content = lab_on_content,
	                                          .leases = lab_leases });
	n->up = true;
	return n;
}

static inline struct lab_node *lab_raw(struct lab *lab, uint16_t id)
{
	lab->nodes[id].up = lab->nodes[id].raw = true;
	return &lab->nodes[id];
}

static inline void lab_down(struct lab_node *n)
{
	if (n->sync != NULL) {
		sync_free(n->sync);
		commit_free(n->commit);
		registry_free(n->reg);
		store_mem_ops.close(n->store);
		store_txn_free(n->txn);
		while (n->op_head != n->op_tail)
			content_op_free(n->ops[n->op_head++ % LAB_OPS]);
		n->sync = NULL;
		n->txn = NULL;
	}
	n->up = false;
}

static inline void lab_free(struct lab *lab)
{
	for (uint16_t i = 1; i <= LAB_NODES; i++) {
		lab_down(&lab->nodes[i]);
		buf_free(&lab->nodes[i].in);
		mem_disk_free(lab->nodes[i].disk);
	}
	for (; lab->head < lab->tail; lab->head++) {
		free(lab->queue[lab->head % LAB_QUEUE].bytes);
		content_op_free(lab->queue[lab->head % LAB_QUEUE].ev.content);
	}
	free(lab);
}

static inline void lab_raw_event(struct lab_node *n, const struct env_event *ev)
{
	if (ev->type == ENV_ACCEPTED || ev->type == ENV_CONNECTED) {
		n->conn = ev->conn;
		n->closed = false;
		buf_reset(&n->in);
	} else if (ev->type == ENV_BYTES && ev->conn == n->conn) {
		buf_put(&n->in, ev->data, ev->len);
	} else if (ev->type == ENV_CLOSED && ev->conn == n->conn) {
		n->closed = true;
	}
}

static inline void lab_deliver(struct lab *lab)
{
	while (lab->head < lab->tail) {
		struct lab_event e = lab->queue[lab->head++ % LAB_QUEUE];
		struct lab_node *n = e.to;
		if (e.ev.type == ENV_BYTES)
			lab->conns[e.ev.conn ^ 1].queued -= e.ev.len;
		if (n->raw)
			lab_raw_event(n, &e.ev);
		else if (!n->up)
			content_op_free(e.ev.content);
		else if (!commit_on_event(n->commit, &e.ev))
			(void)sync_on_event(n->sync, &e.ev); /* false: of a connection that sync has closed */
		free(e.bytes);
	}
}

/* Time passes, in steps of 10 ms. */
static inline void lab_run(struct lab *lab, uint64_t ms)
{
	for (uint64_t until = lab->now + ms; lab->now <= until; lab->now += 10) {
		lab_retry_dials(lab);
		for (uint16_t i = 1; i <= LAB_NODES; i++) {
			struct lab_node *n = &lab->nodes[i];
			if (!n->up || n->raw)
				continue;
			(void)commit_tick(n->commit, lab->now);
			(void)sync_tick(n->sync, lab->now);
			if (n->slow && n->op_head != n->op_tail)
				lab_answer_content(n);
		}
		lab_deliver(lab);
	}
}

/* -- what the tests do */

static inline enum shoal_err lab_create_user(struct lab_node *n, const char *name, struct stamp *stamp)
{
	struct op op;
	struct id16 uid, request;
	struct error e;
	check_random_bytes(&request, sizeof(request));
	op_begin(n->reg, OP_CREATE_USER, &request, lab_wall(n), &op);
	CHECK_INT(user_create(n->reg, &op, slice_str(name), slice_str("record"), &uid, &e), ==, SHOAL_OK);
	return commit_op(n->commit, &op, stamp, &e);
}

/* What a start would find on that disk. */
static inline enum shoal_err lab_on_row(void *ctx, const struct wire_row *row)
{
	return registry_load(((struct lab_node *)ctx)->reg, row);
}
static inline enum shoal_err lab_on_vector(void *ctx, uint64_t log, uint64_t seq)
{
	return registry_load_vector(((struct lab_node *)ctx)->reg, log, seq);
}
static inline enum shoal_err lab_on_floor(void *ctx, uint64_t log, uint64_t seq)
{
	(void)ctx;
	(void)log;
	(void)seq;
	return SHOAL_OK;
}
static inline enum shoal_err lab_on_hlc(void *ctx, uint64_t hlc)
{
	registry_load_hlc(((struct lab_node *)ctx)->reg, hlc);
	return SHOAL_OK;
}
static inline enum shoal_err lab_on_held(void *ctx, const struct id32 *id)
{
	(void)ctx;
	(void)id;
	return SHOAL_OK;
}

static inline void lab_load(struct lab_node *into, struct mem_disk *disk)
{
	struct store_sink sink = { into, lab_on_row, lab_on_vector, lab_on_floor, lab_on_hlc, lab_on_held };
	struct store *store;
	struct error e;
	CHECK_INT(store_mem_ops.open(mem_disk_where(disk), &store, &e), ==, SHOAL_OK);
	CHECK_INT(store_mem_ops.load(store, &sink, &e), ==, SHOAL_OK);
	store_mem_ops.close(store);
}

/* All that is durable goes from its log: who has not got it needs a snapshot. */
static inline void lab_cut_log(struct lab_node *n)
{
	struct error e;
	struct vvec upto = { 0 };
	CHECK_INT(vvec_copy(&upto, registry_durable_vector(n->reg)), ==, SHOAL_OK);
	commit_raise_floor(n->commit, &upto);
	CHECK_INT(store_mem_ops.log_cut(n->store, &upto, &e), ==, SHOAL_OK);
	vvec_fini(&upto);
}

static inline bool lab_knows(const struct lab_node *n, const char *name)
{
	return user_find(n->reg, slice_str(name)) != NULL;
}

/* -- speaking for a raw node */

static inline void lab_say(struct lab_node *n, struct buf *b)
{
	CHECK(!b->failed);
	CHECK_INT(lab_send(n, n->conn, b->data, b->len), ==, SHOAL_OK);
	buf_free(b);
	lab_deliver(n->lab);
}

static inline void lab_dial_raw(struct lab_node *n, uint16_t to)
{
	struct address addr = { .port = to };
	(void)lab_dial(n, &addr, ALPN_SYNC);
	lab_deliver(n->lab);
}

static inline void lab_say_hello(struct lab_node *n, uint16_t from, uint16_t to, struct slice vector)
{
	struct buf b = { 0 };
	size_t start = sync_begin(&b, SYNC_HELLO);
	sync_hello_put(&b, &(struct sync_hello){ .cluster = { { 7 } }, .version = SYNC_VERSION, .from = from, .to = to,
	                                         .log = 1, .wall_ms = lab_wall(n), .software = slice_str("raw"),
	                                         .vector = vector });
	CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
	lab_say(n, &b);
}

/* A whole op as another tracker would have written it: create_user `name`, seq `seq` of log 77. */
static inline void lab_record(struct buf *out, const char *name, uint64_t seq)
{
	struct registry *reg = registry_new(3, 77);
	struct undo *undo = NULL;
	struct store_txn *txn = NULL;
	struct op op;
	struct id16 uid;
	struct error e;
	struct slice bytes = { 0 };

	for (uint64_t i = 1; i <= seq; i++) {
		char other[32];
		snprintf(other, sizeof(other), "filler%llu", (unsigned long long)i);
		undo = NULL;
		txn = store_txn_new();
		op_begin(reg, OP_CREATE_USER, NULL, 1700000000000, &op);
		CHECK_INT(user_create(reg, &op, slice_str(i == seq ? name : other), slice_str("record"), &uid, &e), ==,
		          SHOAL_OK);
		CHECK_INT(registry_apply_op(reg, &op, txn, &undo), ==, SHOAL_OK);
		struct cursor c = cursor_of(txn->records.data, txn->records.len);
		CHECK(store_txn_next_record(&c, &bytes));
		if (i == seq)
			buf_put(out, bytes.data, bytes.len);
		registry_commit_done(reg, undo);
		store_txn_free(txn);
	}
	registry_free(reg);
}

static inline void lab_say_op(struct lab_node *n, const struct buf *record)
{
	struct buf b = { 0 };
	size_t start = sync_begin(&b, SYNC_OP);
	sync_op_put(&b, &(struct sync_op){ .record = slice_of(record->data, record->len) });
	CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
	lab_say(n, &b);
}
#endif
