/* tests/unit/sync/test_sync.c */
#include "core/sync/sync.h"

#include "core/base/fs.h"
#include "core/registry/file_manager.h"
#include "tests/unit/sync/content_lab.h"

static void an_op_reaches_the_other_and_is_acknowledged(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	struct stamp stamp;
	lab_run(lab, 500);
	CHECK(!sync_joining(a->sync) && !sync_joining(b->sync));
	CHECK_INT(lab_create_user(a, "ann", &stamp), ==, SHOAL_OK);
	CHECK_INT(sync_count_acked(a->sync, &stamp, 1), ==, 0);
	lab_run(lab, 200);
	CHECK(lab_knows(b, "ann"));
	CHECK_INT(sync_count_acked(a->sync, &stamp, 1), ==, 1);
	CHECK_INT(a->acked_calls, >, 0);
	CHECK_INT(mem_disk_records(b->disk), ==, 1);
	lab_free(lab);
}

/* Every second the one tells what it has acknowledged: the other has taken note of each ACK, or the link begins anew. */
static void a_link_on_which_changes_are_acknowledged_stays(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	lab_run(lab, 3000);
	const uint64_t lost = sync_counters(a->sync)->lost + sync_counters(b->sync)->lost;
	for (int k = 0; k < 10; k++) {
		char name[8];
		snprintf(name, sizeof(name), "u%d", k);
		CHECK_INT(lab_create_user(k % 2 == 0 ? a : b, name, NULL), ==, SHOAL_OK);
		lab_run(lab, 1500);
	}
	CHECK(lab_knows(b, "u8") && lab_knows(a, "u9"));
	CHECK_INT(sync_counters(a->sync)->lost + sync_counters(b->sync)->lost, ==, lost);
	lab_free(lab);
}

static void nothing_leaves_before_it_is_durable(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	lab_run(lab, 500);
	a->hold = true;
	CHECK_INT(lab_create_user(a, "ann", NULL), ==, SHOAL_OK);
	lab_run(lab, 3000);
	CHECK(!lab_knows(b, "ann"));
	lab_answer_commit(a);
	lab_run(lab, 200);
	CHECK(lab_knows(b, "ann"));
	lab_free(lab);
}

static void nothing_is_acknowledged_before_it_is_durable(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	struct stamp stamp;
	lab_run(lab, 500);
	b->hold = true;
	CHECK_INT(lab_create_user(a, "ann", &stamp), ==, SHOAL_OK);
	lab_run(lab, 3000);
	CHECK(lab_knows(b, "ann"));
	CHECK_INT(sync_count_acked(a->sync, &stamp, 1), ==, 0);
	lab_answer_commit(b);
	lab_run(lab, 200);
	CHECK_INT(sync_count_acked(a->sync, &stamp, 1), ==, 1);
	lab_free(lab);
}

static void a_late_third_gets_everything_from_one_who_did_not_make_it(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 3), *b = lab_up(lab, 2, 3), *c;
	lab_run(lab, 500);
	CHECK_INT(lab_create_user(a, "ann", NULL), ==, SHOAL_OK);
	lab_run(lab, 500);
	lab_down(a);
	CHECK_INT(lab_create_user(b, "bob", NULL), ==, SHOAL_OK);
	c = lab_up(lab, 3, 3);
	lab_run(lab, 10000);
	CHECK(lab_knows(c, "ann") && lab_knows(c, "bob"));
	lab_free(lab);
}

static void in_a_full_mesh_nothing_is_sent_twice(void)
{
	struct lab *lab = lab_new();
	struct lab_node *n[3];
	uint64_t sent = 0;
	for (uint16_t i = 0; i < 3; i++)
		n[i] = lab_up(lab, (uint16_t)(i + 1), 3);
	lab_run(lab, 3000);
	for (int k = 0; k < 10; k++) {
		char name[8];
		snprintf(name, sizeof(name), "u%d", k);
		CHECK_INT(lab_create_user(n[0], name, NULL), ==, SHOAL_OK);
		lab_run(lab, 300);
	}
	lab_run(lab, 3000);
	CHECK(lab_knows(n[1], "u9") && lab_knows(n[2], "u9"));
	for (int i = 0; i < 3; i++)
		sent += sync_counters(n[i]->sync)->ops_sent;
	CHECK_INT(sent, ==, 20);
	lab_free(lab);
}

static void a_foreign_op_is_brought_to_one_whom_its_maker_does_not_reach(void)
{
	struct lab *lab = lab_new();
	/* 1 knows only 2; 3 knows only 1 and 2 */
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 3), *c = lab_up(lab, 3, 3);
	(void)b;
	lab_run(lab, 3000);
	CHECK_INT(lab_create_user(a, "ann", NULL), ==, SHOAL_OK);
	lab_run(lab, 500);
	CHECK(!lab_knows(c, "ann")); /* it waits for its maker to bring it, */
	lab_run(lab, 1000);
	CHECK(lab_knows(c, "ann")); /* but not for ever */
	lab_free(lab);
}

/* -- who may talk */

static struct sync_status status_of(const struct lab_node *n, uint16_t id)
{
	struct sync_status st[LAB_NODES];
	size_t count = sync_status(n->sync, st, LAB_NODES);
	for (size_t i = 0; i < count; i++)
		if (st[i].id == id)
			return st[i];
	CHECK(false);
	return st[0];
}

static void check_refused(uint16_t from, uint16_t to, bool as_stranger, bool refused)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *raw = lab_raw(lab, 2);
	if (as_stranger)
		raw->identity.b[5] = 1;
	lab->now += 10;
	lab_dial_raw(raw, 1);
	if (!raw->closed)
		lab_say_hello(raw, from, to, slice_of(NULL, 0));
	CHECK_INT(raw->closed, ==, refused);
	CHECK_INT(sync_counters(a->sync)->refused, ==, refused);
	lab_free(lab);
}

static void only_the_right_tracker_is_listened_to(void)
{
	check_refused(2, 1, false, false);
	check_refused(1, 1, false, true); /* our own id: the way leads back to us, or two share it */
	check_refused(3, 1, false, true); /* not in our list */
	check_refused(2, 3, false, true); /* it means another one */
	check_refused(2, 1, true, true);  /* another cluster's certificate */
}

static unsigned lines_with(const char *path, const char *what)
{
	struct buf text = { 0 };
	unsigned n = 0;

	CHECK_INT(fs_read_file(path, 1 << 20, &text, NULL), ==, SHOAL_OK);
	char *s = buf_steal_str(&text);
	for (const char *p = s; (p = strstr(p, what)) != NULL; p++)
		n++;
	free(s);
	return n;
}

/* One that knocks every two seconds with another cluster's key fills no log. */
static void what_is_wrong_with_a_stranger_is_said_once_a_minute(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *raw = lab_raw(lab, 2);
	char path[300];
	snprintf(path, sizeof(path), "%s/sync.log", check_folder());
	a->env.log = log_open(path, (enum log_level)(LOG_ERROR + 1), LOG_ERROR, NULL);
	CHECK(a->env.log != NULL);
	raw->identity.b[5] = 1;
	for (int i = 0; i < 30; i++) {
		lab->now += 1900;
		lab_dial_raw(raw, 1);
		CHECK(raw->closed);
	}
	CHECK_INT(lines_with(path, "is not a tracker of this cluster"), ==, 1);
	lab->now += 10000;
	lab_dial_raw(raw, 1);
	CHECK_INT(lines_with(path, "is not a tracker of this cluster"), ==, 2);
	CHECK_INT(lines_with(path, "(and 29 more times)"), ==, 1);
	raw->identity.b[5] = 0;
	lab_dial_raw(raw, 1);
	lab_say_hello(raw, 3, 1, slice_of(NULL, 0)); /* something else is wrong with it now */
	CHECK_INT(lines_with(path, "tracker 3 is not in the list of tracker 1: add its line there"), ==, 1);
	CHECK_INT(sync_counters(a->sync)->refused, ==, 32);
	struct log *log = a->env.log;
	lab_free(lab);
	log_close(log);
}

static void the_one_that_we_dial_must_be_the_one_of_the_line(void)
{
	static const uint16_t ids[] = { 1, 3, 2 };
	for (size_t i = 0; i < COUNT_OF(ids); i++) {
		struct lab *lab = lab_new();
		struct lab_node *raw = lab_raw(lab, 2), *a = lab_up(lab, 1, 2);
		lab_run(lab, 10);
		lab_say_hello(raw, ids[i], 1, slice_of(NULL, 0));
		CHECK_INT(raw->closed, ==, ids[i] != 2);
		CHECK_STR(status_of(a, 2).state, ids[i] == 2 ? "connected" : "refused");
		lab_free(lab);
	}
}

/* While both run it is shown, but not of one that has just been reached, nor when none is. */
static void two_of_one_id_are_shown_while_both_run(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2), *raw = lab_raw(lab, 3);

	lab_run(lab, 500);
	CHECK_STR(status_of(a, 2).state, "connected");
	lab_dial_raw(raw, 1);
	lab_say_hello(raw, 2, 1, slice_of(NULL, 0));
	CHECK(raw->closed);
	CHECK_STR(status_of(a, 2).state, "refused");
	CHECK_STR(status_of(a, 2).reason, "two trackers have the id 2, both are running");
	lab_down(b);
	b = lab_up(lab, 2, 2);
	lab_run(lab, 1000);
	CHECK_STR(status_of(a, 2).state, "connected"); /* the double is not heard of any more */
	CHECK_STR(status_of(a, 2).reason, "");
	lab_dial_raw(raw, 1);
	lab_say_hello(raw, 2, 1, slice_of(NULL, 0));
	CHECK_STR(status_of(a, 2).state, "refused");
	lab_run(lab, 5100);
	CHECK_STR(status_of(a, 2).state, "connected"); /* nor now: it would have knocked twice */
	lab_free(lab);
}

static void who_is_gone_has_no_double(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2), *raw = lab_raw(lab, 3);

	lab_run(lab, 500);
	b->cut_off = true;
	lab_dial_raw(raw, 1);
	lab_say_hello(raw, 2, 1, slice_of(NULL, 0)); /* b was heard of a moment ago */
	CHECK_STR(status_of(a, 2).state, "refused");
	for (conn_id conn = 2; conn <= lab->last; conn += 2)
		if (lab->conns[conn].to == b || lab->conns[conn].from == b)
			lab_close(lab->conns[conn].from, conn);
	lab_run(lab, 1000);
	CHECK_STR(status_of(a, 2).state, "lost");
	lab_free(lab);
}

static void another_cluster_is_refused_when_dialled(void)
{
	struct lab *lab = lab_new();
	struct lab_node *raw = lab_raw(lab, 2), *a;
	raw->identity.b[0] = 9;
	a = lab_up(lab, 1, 2);
	lab_run(lab, 10);
	CHECK(raw->closed);
	CHECK_INT(raw->in.len, ==, 0); /* it was told nothing */
	CHECK_STR(status_of(a, 2).state, "refused");
	CHECK(strstr(status_of(a, 2).reason, "another cluster") != NULL);
	lab_free(lab);
}

static struct lab *greeted(struct lab_node **a, struct lab_node **raw)
{
	struct lab *lab = lab_new();
	*a = lab_up(lab, 1, 2);
	*raw = lab_raw(lab, 2);
	lab->now += 10;
	lab_dial_raw(*raw, 1);
	lab_say_hello(*raw, 2, 1, slice_of(NULL, 0));
	CHECK(!(*raw)->closed);
	return lab;
}

static void a_gap_is_not_applied_and_ends_the_link(void)
{
	struct lab_node *a, *raw;
	struct lab *lab = greeted(&a, &raw);
	struct buf first = { 0 }, third = { 0 };

	lab_record(&first, "ann", 1);
	lab_record(&third, "cho", 3);
	lab_say_op(raw, &first);
	CHECK(lab_knows(a, "ann"));
	lab_say_op(raw, &first); /* once more: nothing */
	CHECK(!raw->closed);
	lab_say_op(raw, &third);
	CHECK(raw->closed);
	CHECK(!lab_knows(a, "cho"));
	CHECK_INT(sync_counters(a->sync)->gaps, ==, 1);
	CHECK_INT(vvec_get(registry_vector(a->reg), 77), ==, 1);
	buf_free(&first);
	buf_free(&third);
	lab_free(lab);
}

static void a_damaged_op_is_not_applied_and_ends_the_link(void)
{
	struct lab_node *a, *raw;
	struct lab *lab = greeted(&a, &raw);
	struct buf record = { 0 };
	lab_record(&record, "ann", 1);
	record.data[record.len / 2] ^= 4;
	lab_say_op(raw, &record);
	CHECK(raw->closed);
	CHECK_INT(registry_count(a->reg, TABLE_USER), ==, 0);
	buf_free(&record);
	lab_free(lab);
}

static void what_has_no_business_here_ends_the_link(void)
{
	for (unsigned kind = 1; kind < 18; kind++) {
		struct lab_node *a, *raw;
		struct lab *lab = greeted(&a, &raw);
		for (int round = 0; round < 40 && !raw->closed; round++) {
			struct buf b = { 0 };
			uint8_t noise[64];
			size_t start = sync_begin(&b, kind);
			check_random_bytes(noise, sizeof(noise));
			buf_put(&b, noise, check_random(sizeof(noise)));
			CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
			lab_say(raw, &b);
		}
		CHECK(raw->closed || kind >= 16); /* unknown kinds are skipped */
		CHECK_INT(registry_count(a->reg, TABLE_USER), ==, 0);
		lab_free(lab);
	}
}

/* -- going wrong */

static void what_could_not_be_stored_comes_again(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	lab_run(lab, 500);
	b->fail = SHOAL_EDISKFULL;
	CHECK_INT(lab_create_user(a, "ann", NULL), ==, SHOAL_OK);
	lab_run(lab, 1000);
	CHECK(!lab_knows(b, "ann"));
	CHECK_INT(lab_create_user(a, "bob", NULL), ==, SHOAL_OK);
	lab_run(lab, 1000);
	b->fail = SHOAL_OK;
	lab_run(lab, 6000);
	CHECK(lab_knows(b, "ann") && lab_knows(b, "bob"));
	CHECK(vvec_eq(registry_durable_vector(a->reg), registry_durable_vector(b->reg)));
	lab_free(lab);
}

static void a_silent_one_is_lost_and_found_again(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	lab_run(lab, 500);
	CHECK_STR(status_of(a, 2).state, "connected");
	lab->dark = true;
	lab_run(lab, 4000);
	CHECK_STR(status_of(a, 2).state, "connected");
	lab_run(lab, 2500);
	CHECK_STR(status_of(a, 2).state, "lost");
	CHECK_INT(lab_create_user(a, "ann", NULL), ==, SHOAL_OK); /* never in the client's way */
	lab_deliver(lab);
	CHECK_INT(status_of(a, 2).behind, ==, 1);
	lab->dark = false;
	lab_run(lab, 4000);
	CHECK(lab_knows(b, "ann"));
	CHECK_INT(status_of(a, 2).behind, ==, 0);
	lab_free(lab);
}

/* However long the network was gone, and whether who dials is refused or hears nothing. */
static void a_link_is_up_within_three_seconds_of_the_network_being_back(void)
{
	for (unsigned out = 5500; out < 30000; out += 777) {
		struct lab *lab = lab_new();
		struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
		lab->lossy = out % 2;
		lab_run(lab, 500);
		lab->dark = true;
		lab_run(lab, out);
		CHECK_STR(status_of(a, 2).state, "lost");
		lab->dark = false;
		lab_run(lab, 3000);
		CHECK_STR(status_of(a, 2).state, "connected");
		CHECK_STR(status_of(b, 1).state, "connected");
		CHECK_INT(lab_create_user(a, "ann", NULL), ==, SHOAL_OK);
		lab_run(lab, 100);
		CHECK(lab_knows(b, "ann")); /* a's own link, not only b's */
		lab_free(lab);
	}
}

static void alone_it_waits_five_seconds_for_the_others(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2);
	struct error e;
	lab_run(lab, 4500);
	CHECK_INT(sync_check_writable(a->sync, &e), ==, SHOAL_EBUSY);
	lab_run(lab, 1000);
	CHECK_INT(sync_check_writable(a->sync, &e), ==, SHOAL_OK);
	lab_free(lab);
}

static void with_a_peer_it_waits_for_what_the_peer_has(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b;
	lab_run(lab, 6000);
	CHECK_INT(lab_create_user(a, "ann", NULL), ==, SHOAL_OK);
	lab_run(lab, 100);
	b = lab_up(lab, 2, 2);
	b->hold = true;
	lab_run(lab, 8000);
	CHECK(lab_knows(b, "ann"));
	CHECK(sync_joining(b->sync)); /* not durable yet */
	lab_answer_commit(b);
	lab_run(lab, 100);
	CHECK(!sync_joining(b->sync));
	lab_free(lab);
}

static void a_clock_that_is_far_off_refuses_changes(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 3), *b = lab_up(lab, 2, 3), *c = lab_up(lab, 3, 3);
	struct error e;
	a->skew_ms = 70000;
	lab_run(lab, 3000);
	CHECK_INT(sync_check_writable(a->sync, &e), ==, SHOAL_EBUSY);
	CHECK_STR(status_of(b, 1).state, "clock");
	CHECK_INT(sync_check_writable(b->sync, &e), ==, SHOAL_OK); /* the majority agrees with it */
	CHECK_INT(sync_check_writable(c->sync, &e), ==, SHOAL_OK);
	lab_free(lab);
}

static void a_line_that_is_gone_is_not_talked_to(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 3), *b = lab_up(lab, 2, 3);
	lab_run(lab, 500);
	CHECK_INT(sync_peer_count(a->sync), ==, 2);
	sync_set_peers(a->sync, lab->lines, 1);
	CHECK_INT(sync_peer_count(a->sync), ==, 0);
	CHECK_INT(lab_create_user(a, "ann", NULL), ==, SHOAL_OK);
	lab_run(lab, 4000);
	CHECK(!lab_knows(b, "ann"));
	sync_set_peers(a->sync, lab->lines, 3);
	lab_run(lab, 4000);
	CHECK(lab_knows(b, "ann"));
	lab_free(lab);
}

/* -- snapshots */

static void who_is_behind_the_cut_log_gets_a_snapshot(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b;
	lab_run(lab, 6000);
	for (int k = 0; k < 30; k++) {
		char name[8];
		snprintf(name, sizeof(name), "u%d", k);
		CHECK_INT(lab_create_user(a, name, NULL), ==, SHOAL_OK);
	}
	lab_run(lab, 100);
	lab_cut_log(a);
	CHECK_INT(lab_create_user(a, "later", NULL), ==, SHOAL_OK);
	b = lab_up(lab, 2, 2);
	lab_run(lab, 5000);
	CHECK_INT(sync_counters(a->sync)->snapshots_sent, ==, 1);
	CHECK(lab_knows(b, "u0") && lab_knows(b, "u29") && lab_knows(b, "later"));
	CHECK(vvec_eq(registry_durable_vector(a->reg), registry_durable_vector(b->reg)));
	CHECK_INT(sync_counters(b->sync)->snapshots_sent, ==, 0); /* it is not sent back */
	lab_free(lab);
}

static void a_snapshot_leaves_only_when_all_of_it_is_durable(void)
{
	for (int fails = 0; fails < 2; fails++) {
		struct lab *lab = lab_new();
		struct lab_node *a = lab_up(lab, 1, 2), *b;
		lab_run(lab, 6000);
		CHECK_INT(lab_create_user(a, "old", NULL), ==, SHOAL_OK);
		lab_run(lab, 100);
		lab_cut_log(a);
		a->hold = true;
		CHECK_INT(lab_create_user(a, "pending", NULL), ==, SHOAL_OK);
		b = lab_up(lab, 2, 2);
		lab_run(lab, 4000);
		CHECK(!lab_knows(b, "pending"));
		a->fail = fails ? SHOAL_EIO : SHOAL_OK;
		lab_answer_commit(a);
		a->hold = false;
		a->fail = SHOAL_OK;
		lab_run(lab, 6000);
		CHECK(lab_knows(b, "old"));
		CHECK_INT(lab_knows(b, "pending"), ==, !fails);
		CHECK(vvec_eq(registry_durable_vector(a->reg), registry_durable_vector(b->reg)));
		lab_free(lab);
	}
}

static void say_snap_begin(struct lab_node *raw, uint64_t rows)
{
	struct buf b = { 0 }, vector = { 0 };
	buf_put_u64(&vector, 77);
	buf_put_u64(&vector, 5);
	size_t start = sync_begin(&b, SYNC_SNAP_BEGIN);
	sync_snap_begin_put(&b, &(struct sync_snap_begin){ .serial = 1, .vector = slice_of(vector.data, vector.len),
	                                                  .rows = rows, .hlc = 1, .tables = 0xffff });
	CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
	buf_free(&vector);
	lab_say(raw, &b);
}

static void say_snap_rows(struct lab_node *raw, struct slice rows)
{
	struct buf b = { 0 };
	size_t start = sync_begin(&b, SYNC_SNAP_ROWS);
	sync_snap_rows_put(&b, &(struct sync_snap_rows){ .serial = 1, .rows = rows });
	CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
	lab_say(raw, &b);
}

static void say_snap_end(struct lab_node *raw, uint64_t rows, const struct id32 *hash)
{
	struct buf b = { 0 };
	size_t start = sync_begin(&b, SYNC_SNAP_END);
	sync_snap_end_put(&b, &(struct sync_snap_end){ .serial = 1, .rows = rows, .hash = *hash });
	CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
	lab_say(raw, &b);
}

/* cut: 0 whole, 1 broken off, 2 a row too few, 3 a wrong hash */
static void check_snapshot(unsigned cut)
{
	struct lab_node *a, *raw;
	struct lab *lab = greeted(&a, &raw);
	struct buf record = { 0 };
	struct record rec;
	struct id32 hash;

	lab_record(&record, "ann", 1);
	CHECK_INT(record_get(slice_of(record.data, record.len), &rec), ==, SHOAL_OK);
	uint64_t rows = 0;
	for (struct cursor c = cursor_of(rec.rows.data, rec.rows.len); cursor_left(&c) != 0; rows++) {
		struct wire_row row;
		wire_row_get(&c, &row);
	}
	sha256_of(rec.rows.data, rec.rows.len, &hash);
	say_snap_begin(raw, cut == 2 ? rows + 1 : rows);
	say_snap_rows(raw, rec.rows);
	CHECK_INT(registry_count(a->reg, TABLE_USER), ==, 0); /* staged only */
	hash.b[0] ^= cut == 3;
	if (cut == 1) {
		lab_close(raw, raw->conn);
		lab_deliver(lab);
		CHECK_INT(sync_counters(a->sync)->snapshots_broken, ==, 1);
	} else {
		say_snap_end(raw, cut == 2 ? rows + 1 : rows, &hash);
	}
	CHECK_INT(registry_count(a->reg, TABLE_USER), ==, cut == 0);
	CHECK_INT(vvec_get(registry_durable_vector(a->reg), 77), ==, cut == 0 ? 5 : 0);
	buf_free(&record);
	lab_free(lab);
}

static void a_snapshot_is_taken_whole_or_not_at_all(void)
{
	for (unsigned cut = 0; cut < 4; cut++)
		check_snapshot(cut);
}

/* a has 40 users and no log of them; b lacks all, and its store takes its time. */
static struct lab *with_a_snapshot_due(struct lab_node **a, struct lab_node **b)
{
	struct lab *lab = lab_new();
	*a = lab_up(lab, 1, 2);
	lab_run(lab, 6000);
	for (int k = 0; k < 40; k++) {
		char name[8];
		snprintf(name, sizeof(name), "u%d", k);
		CHECK_INT(lab_create_user(*a, name, NULL), ==, SHOAL_OK);
	}
	lab_run(lab, 100);
	lab_cut_log(*a);
	*b = lab_up(lab, 2, 2);
	(*b)->slow = true;
	return lab;
}

/* Until that many rows have been merged. */
static void run_until_merged(struct lab *lab, struct lab_node *n, size_t users)
{
	for (int i = 0; i < 2000 && registry_count(n->reg, TABLE_USER) < users; i++)
		lab_run(lab, 0);
	CHECK_INT(registry_count(n->reg, TABLE_USER), >=, users);
}

static void others_are_served_while_a_snapshot_is_merged(void)
{
	struct lab_node *a, *b;
	struct lab *lab = with_a_snapshot_due(&a, &b);
	struct stamp stamp;

	run_until_merged(lab, b, 10);
	CHECK_INT(registry_count(b->reg, TABLE_USER), <, 40);
	CHECK_INT(lab_create_user(b, "served", &stamp), ==, SHOAL_OK);
	CHECK_INT(registry_durable_vector(b->reg)->n, ==, 0); /* it becomes durable with the rest: in one transaction */
	lab_run(lab, 5000);
	CHECK_INT(registry_count(b->reg, TABLE_USER), ==, 41);
	CHECK(lab_knows(a, "served") && lab_knows(b, "u39"));
	CHECK_INT(sync_counters(b->sync)->snapshots_merged, ==, 1);
	CHECK_INT(mem_disk_staged(b->disk), ==, 0);
	struct registry *again = registry_new(9, 9);
	struct lab_node reloaded = { .reg = again };
	lab_load(&reloaded, b->disk);
	for (unsigned table = TABLE_USER; table < TABLE_END; table++)
		CHECK(digest_eq(registry_digest(again, table), registry_digest(b->reg, table)));
	CHECK(vvec_eq(registry_vector(again), registry_vector(b->reg)));
	registry_free(again);
	lab_free(lab);
}

static void a_snapshot_that_cannot_be_saved_leaves_nothing_and_comes_again(void)
{
	struct lab_node *a, *b;
	struct lab *lab = with_a_snapshot_due(&a, &b);

	run_until_merged(lab, b, 10);
	b->fail = SHOAL_EDISKFULL;
	lab_run(lab, 3000);
	CHECK_INT(registry_count(b->reg, TABLE_USER), <, 40);
	CHECK_INT(registry_durable_vector(b->reg)->n, ==, 0);
	CHECK_INT(sync_counters(b->sync)->snapshots_merged, ==, 0);
	CHECK_INT(sync_counters(b->sync)->snapshots_broken, >, 0);
	b->fail = SHOAL_OK;
	lab_run(lab, 10000);
	CHECK_INT(registry_count(b->reg, TABLE_USER), ==, 40);
	CHECK_INT(mem_disk_staged(b->disk), ==, 0);
	lab_free(lab);
}

/* What is whole needs its sender no more; what is not goes with the link. */
static void a_sender_that_dies_takes_only_what_was_not_whole(void)
{
	for (int whole = 0; whole < 2; whole++) {
		struct lab_node *a, *b;
		struct lab *lab = with_a_snapshot_due(&a, &b);
		if (whole) {
			run_until_merged(lab, b, 1);
		} else {
			while (mem_disk_staged(b->disk) < 5)
				lab_run(lab, 0);
		}
		lab_down(a);
		lab_run(lab, 12000);
		CHECK_INT(registry_count(b->reg, TABLE_USER), ==, whole ? 40 : 0);
		CHECK_INT(registry_durable_vector(b->reg)->n, ==, whole);
		CHECK_INT(mem_disk_staged(b->disk), ==, 0);
		lab_free(lab);
	}
}

static void a_restart_in_mid_snapshot_begins_with_nothing(void)
{
	struct lab_node *a, *b;
	struct lab *lab = with_a_snapshot_due(&a, &b);

	run_until_merged(lab, b, 20);
	CHECK(mem_disk_staged(b->disk) != 0);
	lab_down(b);
	struct registry *again = registry_new(9, 9);
	struct lab_node reloaded = { .reg = again };
	lab_load(&reloaded, b->disk);
	CHECK_INT(registry_count(again, TABLE_USER), ==, 0);
	CHECK_INT(mem_disk_staged(b->disk), ==, 0);
	registry_free(again);
	lab_free(lab);
}

/* -- digests, presence */

static void rows_that_differ_at_equal_vectors_are_found_and_mended(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	struct buf record = { 0 };
	struct record rec;
	struct undo *undo = NULL;
	struct id32 content;
	lab_run(lab, 500);
	content_lab_upload(a, &content); /* rows of other tables */
	lab_run(lab, 500);
	lab_record(&record, "ghost", 1);
	CHECK_INT(record_get(slice_of(record.data, record.len), &rec), ==, SHOAL_OK);
	CHECK_INT(registry_merge(a->reg, rec.rows, NULL, &undo), ==, SHOAL_OK); /* a row that no vector covers */
	registry_commit_done(a->reg, undo);
	CHECK(!lab_knows(b, "ghost"));
	lab_run(lab, 65000);
	CHECK_INT(sync_counters(a->sync)->digests_differ, >, 0);
	CHECK(lab_knows(b, "ghost"));
	lab_run(lab, 65000);
	CHECK_INT(sync_counters(a->sync)->digests_equal, >, 0);
	CHECK_INT(sync_counters(a->sync)->digests_differ, <=, 2);
	/* the rows of the table that differs, not the 3 of the group */
	CHECK_INT(sync_counters(a->sync)->rows_sent, ==, 2 * sync_counters(a->sync)->snapshots_sent);
	CHECK_INT(sync_counters(a->sync)->snapshots_sent, >, 0);
	CHECK(vvec_eq(registry_durable_vector(a->reg), registry_durable_vector(b->reg)));
	buf_free(&record);
	lab_free(lab);
}

static void presence_travels_and_does_not_come_home(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	lab_run(lab, 500);
	sync_send_session(a->sync, &(struct sync_session){ .dot = { 4, 5 }, .home = 1, .epoch = 6, .beat = 7,
	                                                   .left_ms = 30000, .address = slice_str("10.0.0.1:77") });
	sync_send_session(b->sync, &(struct sync_session){ .dot = { 4, 5 }, .home = 1, .left_ms = 1 }); /* relayed */
	sync_send_announce(a->sync, &(struct sync_announce){ .home = 1, .pieces = 9, .left_ms = 60000 });
	lab_run(lab, 50);
	CHECK_INT(b->sessions, ==, 1);
	CHECK_INT(b->announces, ==, 1);
	CHECK_INT(b->last.dot.seq, ==, 5);
	CHECK_INT(b->last.epoch, ==, 6);
	CHECK_INT(b->last.left_ms, ==, 30000);
	CHECK_INT(a->sessions, ==, 0);
	lab_free(lab);
}

/* -- bounds */

static void what_is_under_way_is_bounded(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	lab->mtu = 100000;
	lab_run(lab, 6000);
	b->hold = true;
	for (int k = 0; k < 40000; k++) {
		char name[12];
		snprintf(name, sizeof(name), "u%d", k);
		CHECK_INT(lab_create_user(a, name, NULL), ==, SHOAL_OK);
		if (k % 100 == 0)
			lab_deliver(lab);
	}
	lab_run(lab, 4000);
	uint64_t sent = sync_counters(a->sync)->ops_sent;
	CHECK_INT(sent, >, 1000);
	CHECK_INT(sent, <, 36000); /* about 4 MiB of them */
	b->hold = false;
	lab_answer_commit(b);
	lab_run(lab, 4000);
	CHECK_INT(registry_count(b->reg, TABLE_USER), ==, 40000);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_op_reaches_the_other_and_is_acknowledged),
		TEST(a_link_on_which_changes_are_acknowledged_stays),
		TEST(nothing_leaves_before_it_is_durable),
		TEST(nothing_is_acknowledged_before_it_is_durable),
		TEST(a_late_third_gets_everything_from_one_who_did_not_make_it),
		TEST(in_a_full_mesh_nothing_is_sent_twice),
		TEST(a_foreign_op_is_brought_to_one_whom_its_maker_does_not_reach),
		TEST(only_the_right_tracker_is_listened_to),
		TEST(what_is_wrong_with_a_stranger_is_said_once_a_minute),
		TEST(the_one_that_we_dial_must_be_the_one_of_the_line),
		TEST(two_of_one_id_are_shown_while_both_run),
		TEST(who_is_gone_has_no_double),
		TEST(another_cluster_is_refused_when_dialled),
		TEST(a_gap_is_not_applied_and_ends_the_link),
		TEST(a_damaged_op_is_not_applied_and_ends_the_link),
		TEST(what_has_no_business_here_ends_the_link),
		TEST(what_could_not_be_stored_comes_again),
		TEST(a_silent_one_is_lost_and_found_again),
		TEST(a_link_is_up_within_three_seconds_of_the_network_being_back),
		TEST(alone_it_waits_five_seconds_for_the_others),
		TEST(with_a_peer_it_waits_for_what_the_peer_has),
		TEST(a_clock_that_is_far_off_refuses_changes),
		TEST(a_line_that_is_gone_is_not_talked_to),
		TEST(who_is_behind_the_cut_log_gets_a_snapshot),
		TEST(a_snapshot_leaves_only_when_all_of_it_is_durable),
		TEST(a_snapshot_is_taken_whole_or_not_at_all),
		TEST(others_are_served_while_a_snapshot_is_merged),
		TEST(a_snapshot_that_cannot_be_saved_leaves_nothing_and_comes_again),
		TEST(a_sender_that_dies_takes_only_what_was_not_whole),
		TEST(a_restart_in_mid_snapshot_begins_with_nothing),
		TEST(rows_that_differ_at_equal_vectors_are_found_and_mended),
		TEST(presence_travels_and_does_not_come_home),
		TEST(what_is_under_way_is_bounded),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
