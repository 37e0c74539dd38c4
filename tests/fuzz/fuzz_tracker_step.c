/* tests/fuzz/fuzz_tracker_step.c - a whole tracker in a made-up world: clients and other trackers say what the input
 * says, cut anywhere; disks fail, memory runs out, connections break, time passes.
 *
 * What must hold: every byte it sends is in a whole frame that its reader accepts; every command gets its reply or the
 * connection is closed; it does not spin; whoever says nothing is closed in time; afterwards it still serves; and what
 * is on the disk gives, loaded again, the registry that it had. The instructions: enum step in fuzz_step.h; FUZZ_SHOW=1
 * shows what they led to. */
#include "tests/fuzz/fuzz_step.h"
#include "tests/fuzz/tracker_world.h"

enum { STEPS_MAX = 96, CLIENTS_MAX = 6, TRACKERS_MAX = 4 };

/* -- instructions */

CMD_REQUESTS(FUZZ_DEFINE)
#define X(num, NAME, word, fields, row) FUZZ_DEFINE(sync_##word, fields)
SYNC_KINDS(X)
#undef X
FUZZ_DEFINE(sync_lease_row, SYNC_LEASE_ROW_FIELDS)
FUZZ_DEFINE(sync_lease_sum_row, SYNC_LEASE_SUM_ROW_FIELDS)
FUZZ_DEFINE(sync_peer_row, SYNC_PEER_ROW_FIELDS)

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
		unsigned rows = sync_kind_is_list(kind) ? body.data[at + 1] % 4 : 0;
		if (sync_kind_is_list(kind))
			body.data[at] = 0, body.data[at + 1] = (uint8_t)rows;
		for (; rows > 0; rows--) {
			if (kind == SYNC_LEASE)
				any_sync_lease_row(pool, in, &body);
			else if (kind == SYNC_LEASE_SUM)
				any_sync_lease_sum_row(pool, in, &body);
			else
				any_sync_peer_row(pool, in, &body);
		}
	}
	deliver_frame(w, i, TAG_SYNC, &body, cut);
	buf_free(&body);
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

/* BEGIN, one frame of ROWS, END, with the right count and hash. */
static void do_snapshot(struct world *w, struct cursor *in)
{
	struct buf rows = { 0 }, vector = { 0 }, body = { 0 };
	size_t i = pick_sync(w, get_u8(in));
	unsigned n = get_u8(in) % 16;
	struct sync_snap_begin head = { .serial = 1, .rows = n, .hlc = w->pool.wall_ms << 16, .tables = 0xffff };
	struct sync_snap_rows middle = { .serial = 1 };
	struct sync_snap_end end = { .serial = 1, .rows = n };

	put_vector(in, get_u8(in) % 4, &vector);
	put_rows(w, in, n, &rows);
	sha256_of(rows.data, rows.len, &end.hash);
	head.vector = slice_of(vector.data, vector.len);
	middle.rows = slice_of(rows.data, rows.len);
	for (int part = 0; part < 3 && i != SIZE_MAX && !w->rig.conns[i].closed; part++) {
		buf_reset(&body);
		buf_put_u8(&body, (uint8_t)(SYNC_SNAP_BEGIN + part));
		if (part == 0)
			sync_snap_begin_put(&body, &head);
		else if (part == 1)
			sync_snap_rows_put(&body, &middle);
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

static void do_break(struct world *w, struct cursor *in)
{
	unsigned which = get_u8(in);
	size_t i = which % 2 == 0 ? pick(w, CLIENT, which / 2) : pick_sync(w, which / 2);
	if (i != SIZE_MAX)
		break_conn(w, i);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);

	fuzz_begin();
	struct world *w = xalloc(sizeof(*w));
	world_init(w);
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
