/* tests/fuzz/fuzz_snapshot.c - snapshots from trackers that are broken or mean no good: wrong counts, wrong hashes, other
 * serials, begun twice, broken off, rows that are none; and sound ones. The store answers late, in small portions, fails or
 * is killed meanwhile.
 *
 * What must hold beside what tracker_world.h asks: what is not sound ends its link and leaves nothing, no row, no entry of
 * the vector, nothing put aside; what is sound is merged if nothing went wrong. Half of the inputs have a SQLite store
 * beside the one in memory: both must answer alike and hold the same at the end. The instructions: enum snap_op in
 * fuzz_step.h. */
#include "tests/fuzz/snapshot_lab.h"

enum { STEPS_MAX = 64, WAIT_MAX = 20000 };
enum { OTHER_SERIAL = 1, WRONG_COUNT = 2, SOME_TABLES = 4, WRONG_HASH = 4, CUT_SHORT = 8, OWN_LOG = 16, OTHER_TIME = 32 };

/* -- the other trackers */

static void forget_snapshot(struct peer *p)
{
	p->begun = false;
	p->announced = p->n = 0;
	buf_reset(&p->vector);
	buf_reset(&p->rows);
}

static bool is_open(const struct lab *lab, const struct peer *p)
{
	const struct rig_conn *c = p->conn != SIZE_MAX ? &lab->w.rig.conns[p->conn] : NULL;
	return c != NULL && c->id == p->id && !c->closed;
}

static struct peer *connected(struct lab *lab, uint8_t which)
{
	struct peer *p = &lab->peers[which % PEERS];

	if (is_open(lab, p))
		return p;
	forget_snapshot(p);
	p->conn = accept_conn(&lab->w, ACCEPTED, lab->w.rig.config.cluster);
	p->id = lab->w.rig.conns[p->conn].id;
	if (is_open(lab, p))
		sync_hello(&lab->w, p->conn, 2 + which % PEERS, slice_of(NULL, 0));
	return is_open(lab, p) ? p : NULL;
}

/* True: the link still stands. */
static bool say(struct lab *lab, struct peer *p, struct buf *body, unsigned how)
{
	if ((how & CUT_SHORT) != 0 && body->len > 1)
		body->len--;
	deliver_frame(&lab->w, p->conn, TAG_SYNC, body, 0);
	buf_reset(body);
	if (!is_open(lab, p))
		forget_snapshot(p);
	return is_open(lab, p);
}

static bool begin(struct lab *lab, struct peer *p, unsigned how, uint64_t rows, unsigned tables, const struct buf *vector)
{
	struct buf body = { 0 };
	struct sync_snap_begin m = { .serial = ++lab->last_serial, .rows = rows, .hlc = lab->hlc,
		                     .tables = (uint16_t)tables, .vector = slice_of(vector->data, vector->len) };

	forget_snapshot(p);
	buf_put_u8(&body, SYNC_SNAP_BEGIN);
	sync_snap_begin_put(&body, &m);
	bool ok = say(lab, p, &body, how);
	buf_free(&body);
	CHECK(!ok || (how & (CUT_SHORT | OWN_LOG)) == 0); /* it has written nothing itself */
	if (!ok)
		return false;
	p->begun = true;
	p->serial = m.serial;
	p->tables = tables;
	p->announced = rows;
	sha256_init(&p->hash);
	buf_put(&p->vector, vector->data, vector->len);
	return true;
}

static bool send_rows(struct lab *lab, struct peer *p, unsigned how, const struct buf *rows, unsigned n)
{
	bool begun = p->begun && (how & OTHER_SERIAL) == 0 && (how & CUT_SHORT) == 0;
	struct buf body = { 0 };
	struct sync_snap_rows m = { .serial = p->serial + ((how & OTHER_SERIAL) != 0), .rows = slice_of(rows->data, rows->len) };

	buf_put_u8(&body, SYNC_SNAP_ROWS);
	sync_snap_rows_put(&body, &m);
	bool ok = say(lab, p, &body, how);
	buf_free(&body);
	CHECK(!ok || (begun && p->n + n <= p->announced));
	if (!ok)
		return false;
	sha256_update(&p->hash, rows->data, rows->len);
	buf_put(&p->rows, rows->data, rows->len);
	p->n += n;
	return true;
}

static void allow(struct lab *lab, const struct peer *p)
{
	struct cursor c = cursor_of(p->vector.data, p->vector.len);

	buf_put(&lab->allowed, p->rows.data, p->rows.len);
	while (p->tables == 0xffff && cursor_left(&c) != 0) {
		uint64_t log = get_u64(&c), seq = get_u64(&c);
		CHECK_INT(vvec_raise(&lab->known, log, seq), ==, SHOAL_OK);
		CHECK_INT(vvec_raise(&lab->promised, log, seq), ==, SHOAL_OK);
	}
}

static void end(struct lab *lab, struct peer *p, unsigned how)
{
	bool sound = p->begun && (how & (OTHER_SERIAL | WRONG_COUNT | WRONG_HASH | CUT_SHORT)) == 0 && p->n == p->announced;
	struct buf body = { 0 };
	struct sync_snap_end m = { .serial = p->serial + ((how & OTHER_SERIAL) != 0), .rows = p->n + ((how & WRONG_COUNT) != 0) };

	if (p->begun)
		sha256_final(&p->hash, &m.hash);
	m.hash.b[7] ^= (how & WRONG_HASH) != 0;
	if (sound)
		allow(lab, p);
	buf_put_u8(&body, SYNC_SNAP_END);
	sync_snap_end_put(&body, &m);
	CHECK(!say(lab, p, &body, how) || sound);
	buf_free(&body);
	CHECK(!sound || lab->disturbed || is_open(lab, p));
	forget_snapshot(p);
}

/* -- instructions */

static void do_begin(struct lab *lab, struct cursor *in)
{
	struct peer *p = connected(lab, get_u8(in));
	unsigned how = get_u8(in), tables = (how & SOME_TABLES) != 0 ? get_u8(in) : 0xffff;
	uint64_t rows = (how & WRONG_COUNT) != 0 ? get_u64(in) : get_u8(in) % 32;
	struct buf vector = { 0 };

	if ((how & OWN_LOG) != 0) {
		uint64_t seq = get_u64(in);
		buf_put_u64(&vector, registry_log(lab->w.rig.reg));
		buf_put_u64(&vector, seq != 0 ? seq : 1);
	}
	lab->hlc = (how & OTHER_TIME) != 0 ? get_u64(in) : lab->w.pool.wall_ms << 16;
	put_vector(in, get_u8(in) % 4, &vector);
	if (p != NULL)
		(void)begin(lab, p, how, rows, tables, &vector);
	buf_free(&vector);
}

static void do_rows(struct lab *lab, struct cursor *in)
{
	struct peer *p = connected(lab, get_u8(in));
	unsigned how = get_u8(in), n = get_u8(in) % 16;
	struct buf rows = { 0 };

	put_rows(&lab->w, in, n, &rows);
	if (p != NULL)
		(void)send_rows(lab, p, how, &rows, n);
	buf_free(&rows);
}

static void do_end(struct lab *lab, struct cursor *in)
{
	struct peer *p = connected(lab, get_u8(in));
	unsigned how = get_u8(in);

	if (p != NULL)
		end(lab, p, how);
}

/* True: each is a row, though the input chose its bytes. */
static bool are_rows(const struct buf *rows)
{
	struct cursor c = cursor_of(rows->data, rows->len);

	while (cursor_left(&c) != 0) {
		struct wire_row wire;
		struct row *row = NULL;
		wire_row_get(&c, &wire);
		if (c.bad || row_new(&wire, &row) != SHOAL_OK)
			return false;
		row_unref(row);
	}
	return true;
}

static void do_whole(struct lab *lab, struct cursor *in)
{
	struct peer *p = connected(lab, get_u8(in));
	unsigned n[2] = { get_u8(in) % 16, get_u8(in) % 16 };
	struct buf vector = { 0 }, rows[2] = { { 0 } };

	put_vector(in, get_u8(in) % 4, &vector);
	for (int i = 0; i < 2; i++)
		put_rows(&lab->w, in, n[i], &rows[i]);
	lab->hlc = lab->w.pool.wall_ms << 16;
	if (p != NULL && are_rows(&rows[0]) && are_rows(&rows[1]) && begin(lab, p, 0, n[0] + n[1], 0xffff, &vector) &&
	    send_rows(lab, p, 0, &rows[0], n[0]) && send_rows(lab, p, 0, &rows[1], n[1]))
		end(lab, p, 0);
	buf_free(&vector);
	buf_free(&rows[0]);
	buf_free(&rows[1]);
}

/* A user whom nobody else has, as the next operation of that tracker's log. */
static void do_op(struct lab *lab, struct cursor *in)
{
	uint8_t which = get_u8(in);
	struct peer *p = connected(lab, which);
	struct buf rows = { 0 }, record = { 0 }, body = { 0 };
	struct row_build rb;
	struct record r = { .version = RECORD_VERSION, .op = OP_CREATE_USER };
	char name[16];
	const uint8_t uid[16] = { 0xee, (uint8_t)++lab->names };

	r.stamp.tracker = (uint16_t)(2 + which % PEERS);
	r.stamp.dot.log = 0x3000 + which % PEERS;
	r.stamp.dot.seq = vvec_get(registry_vector(lab->w.rig.reg), r.stamp.dot.log) + 1;
	r.stamp.hlc = (lab->w.pool.wall_ms << 16) + lab->names;
	snprintf(name, sizeof(name), "op%u", lab->names);
	row_begin(&rb, &rows, TABLE_USER, uid, sizeof(uid));
	row_put(&rb, USER_NAME, name, strlen(name));
	row_put_stamp(&rb, USER_CLAIM, &r.stamp);
	row_end(&rb);
	r.rows = slice_of(rows.data, rows.len);
	CHECK_INT(record_put(&record, &r), ==, SHOAL_OK);
	buf_put(&lab->allowed, rows.data, rows.len);
	CHECK_INT(vvec_raise(&lab->known, r.stamp.dot.log, r.stamp.dot.seq), ==, SHOAL_OK);
	buf_put_u8(&body, SYNC_OP);
	sync_op_put(&body, &(struct sync_op){ slice_of(record.data, record.len) });
	if (p != NULL)
		(void)say(lab, p, &body, 0);
	buf_free(&rows);
	buf_free(&record);
	buf_free(&body);
}

static void do_break(struct lab *lab, struct cursor *in)
{
	struct peer *p = &lab->peers[get_u8(in) % PEERS];

	if (is_open(lab, p))
		break_conn(&lab->w, p->conn);
	forget_snapshot(p);
}

static void do_fault(struct lab *lab, struct cursor *in)
{
	uint8_t what = get_u8(in), n = get_u8(in);
	struct rig *r = &lab->w.rig;

	switch (what % 5) {
	case 0:
	case 1:
		mem_disk_fail_commits(r->disk, what % 5 == 0 ? SHOAL_EDISKFULL : SHOAL_EIO, n % 4);
		lab->disturbed = true;
		break;
	case 2: r->hold_commits = n % 2 != 0; break;
	case 3:
		lab->w.fail_after = n;
		lab->disturbed = lab->forgetful = true;
		break;
	case 4:
		lab->hold = n % 2 != 0;
		if (!lab->hold)
			let_answers_come(lab);
		break;
	}
}

/* What was on its way to the disk got there, its answer is lost. */
static void do_kill(struct lab *lab)
{
	for (size_t i = 0; i < lab->n_held; i++)
		content_op_free(lab->held[i].content);
	lab->n_held = 0;
	lab->disturbed = true;
	for (int i = 0; i < PEERS; i++)
		forget_snapshot(&lab->peers[i]);
	rig_stop(&lab->w.rig);
	rig_start(&lab->w.rig);
	CHECK_INT(mem_disk_staged(lab->w.rig.disk), ==, 0);
}

static void do_step(struct lab *lab, struct cursor *in)
{
	fill_pool(&lab->w);
	switch (get_u8(in) % SNAP_OP_COUNT) {
	case SNAP_OP_BEGIN: do_begin(lab, in); break;
	case SNAP_OP_ROWS: do_rows(lab, in); break;
	case SNAP_OP_END: do_end(lab, in); break;
	case SNAP_OP_WHOLE: do_whole(lab, in); break;
	case SNAP_OP_OP: do_op(lab, in); break;
	case SNAP_OP_BREAK: do_break(lab, in); break;
	case SNAP_OP_TIME: pass(&lab->w, get_u16(in) % WAIT_MAX); break;
	case SNAP_OP_FAULT: do_fault(lab, in); break;
	case SNAP_OP_KILL: do_kill(lab); break;
	}
}

/* -- the end */

static bool is_allowed(const struct lab *lab, const struct row *row)
{
	struct cursor c = cursor_of(lab->allowed.data, lab->allowed.len);
	bool found = false;

	while (!found && cursor_left(&c) != 0) {
		struct wire_row wire;
		wire_row_get(&c, &wire);
		CHECK(!c.bad);
		found = wire.table == row->table && slice_eq(wire.key, row_key(row));
	}
	return found;
}

/* Notices are written by whoever merges; every other row came from somewhere. */
static void check_rows(const struct lab *lab)
{
	struct registry *reg = lab->w.rig.reg;
	const struct vvec *vector = registry_vector(reg);
	struct registry_cut *cut = registry_cut_new(reg);

	CHECK(cut != NULL);
	for (size_t i = 0; i < cut->n; i++)
		CHECK(cut->rows[i]->table == TABLE_NOTICE || is_allowed(lab, cut->rows[i]));
	registry_cut_free(cut);
	for (size_t i = 0; i < vector->n; i++)
		CHECK(vvec_get(&lab->known, vector->entries[i].log) >= vector->entries[i].seq);
	CHECK(lab->disturbed || vvec_covers_all(vector, &lab->promised));
	CHECK(lab->forgetful || mem_disk_staged(lab->w.rig.disk) == 0);
}

static struct lab *lab_new(uint8_t how)
{
	struct lab *lab = xalloc(sizeof(*lab));
	struct error e = { 0 };

	world_init(&lab->w);
	lab->w.show = getenv("FUZZ_SHOW") != NULL;
	lab->w.rig.env.log = lab->w.show ? log_open(NULL, LOG_DEBUG, LOG_DEBUG, NULL) : NULL;
	lab->w.rig.env.content = lab_content;
	lab->w.rig.env.commit = lab_commit;
	for (int i = 0; i < PEERS; i++)
		lab->peers[i].conn = SIZE_MAX;
	lab->portion = (uint8_t)(how >> 2);
	snprintf(lab->path, sizeof(lab->path), "%s/store", fuzz_folder());
	if ((how & 1) != 0)
		CHECK_INT(store_sqlite_ops.open(lab->path, &lab->mirror, &e), ==, SHOAL_OK);
	if ((how & 2) == 0)
		wait_until_joined(&lab->w);
	return lab;
}

static void lab_free(struct lab *lab)
{
	for (int i = 0; i < PEERS; i++) {
		buf_free(&lab->peers[i].vector);
		buf_free(&lab->peers[i].rows);
	}
	buf_free(&lab->allowed);
	vvec_fini(&lab->known);
	vvec_fini(&lab->promised);
	world_free(&lab->w); /* and with it lab */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);

	fuzz_begin();
	struct lab *lab = lab_new(get_u8(&in));
	for (int i = 0; i < STEPS_MAX && cursor_left(&in) != 0; i++)
		do_step(lab, &in);
	lab->w.rig.hold_commits = false;
	let_answers_come(lab);
	settle(&lab->w);
	check_rows(lab);
	check_mirror(lab);
	check_serves(&lab->w);
	check_restart(&lab->w, false);
	lab_free(lab);
	return 0;
}
