/* tests/unit/sync/test_own_log.c - what another tracker claims of this tracker's own log. */
#include "core/wire/record.h"
#include "tests/unit/sync/sync_lab.h"

/* a has made one change; raw, whom the test speaks for, has dialled it. */
static struct lab *greeted(struct lab_node **a, struct lab_node **raw)
{
	struct lab *lab = lab_new();
	*a = lab_up(lab, 1, 2);
	lab_run(lab, 6000);
	CHECK_INT(lab_create_user(*a, "first", NULL), ==, SHOAL_OK);
	lab_run(lab, 100);
	*raw = lab_raw(lab, 2);
	lab_dial_raw(*raw, 1);
	lab_say_hello(*raw, 2, 1, slice_of(NULL, 0));
	CHECK(!(*raw)->closed);
	return lab;
}

/* An empty snapshot that covers the log up to there. */
static void say_snapshot(struct lab_node *raw, uint64_t log, uint64_t seq)
{
	struct buf b = { 0 }, vector = { 0 };
	struct sync_snap_end end = { .serial = 1 };

	buf_put_u64(&vector, log);
	buf_put_u64(&vector, seq);
	sha256_of("", 0, &end.hash);
	size_t start = sync_begin(&b, SYNC_SNAP_BEGIN);
	sync_snap_begin_put(&b, &(struct sync_snap_begin){ .serial = 1, .vector = slice_of(vector.data, vector.len),
	                                                  .hlc = 1, .tables = 0xffff });
	CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
	start = sync_begin(&b, SYNC_SNAP_END);
	sync_snap_end_put(&b, &end);
	CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
	buf_free(&vector);
	lab_say(raw, &b);
}

/* Whatever was claimed, the next change here has the next number, and its record can be read. */
static void check_next_change(struct lab_node *a)
{
	struct stamp stamp;

	CHECK_INT(vvec_get(registry_vector(a->reg), registry_log(a->reg)), ==, 1);
	CHECK_INT(lab_create_user(a, "next", &stamp), ==, SHOAL_OK);
	CHECK_INT(stamp.dot.seq, ==, 2);
	lab_run(a->lab, 100);
	struct registry *again = registry_new(9, 9);
	struct lab_node reloaded = { .reg = again };
	lab_load(&reloaded, a->disk);
	CHECK(lab_knows(&reloaded, "next"));
	registry_free(again);
}

static void a_snapshot_with_operations_of_ours_that_there_are_not_is_refused(void)
{
	static const uint64_t claims[] = { 2, 3, UINT64_MAX - 1, UINT64_MAX };

	for (size_t i = 0; i < COUNT_OF(claims); i++) {
		struct lab_node *a, *raw;
		struct lab *lab = greeted(&a, &raw);
		say_snapshot(raw, registry_log(a->reg), claims[i]);
		CHECK(raw->closed);
		CHECK_INT(sync_counters(a->sync)->snapshots_merged, ==, 0);
		check_next_change(a);
		lab_free(lab);
	}
}

static void a_snapshot_with_those_that_there_are_is_taken(void)
{
	struct lab_node *a, *raw;
	struct lab *lab = greeted(&a, &raw);

	say_snapshot(raw, registry_log(a->reg), 1);
	CHECK(!raw->closed);
	CHECK_INT(sync_counters(a->sync)->snapshots_merged, ==, 1);
	check_next_change(a);
	lab_free(lab);
}

static void put_claim(struct buf *b, uint64_t log, uint64_t seq)
{
	buf_put_u64(b, log);
	buf_put_u64(b, seq);
}

static void a_hello_with_operations_of_ours_that_there_are_not_is_refused(void)
{
	for (uint64_t seq = 1; seq <= 2; seq++) {
		struct lab_node *a, *raw;
		struct lab *lab = greeted(&a, &raw);
		struct buf vector = { 0 };
		put_claim(&vector, registry_log(a->reg), seq);
		lab_dial_raw(raw, 1);
		lab_say_hello(raw, 2, 1, slice_of(vector.data, vector.len));
		CHECK_INT(raw->closed, ==, seq == 2);
		check_next_change(a);
		buf_free(&vector);
		lab_free(lab);
	}
}

/* An ACK counts for min_sync, for wait_synced and for what may be cut from the log. */
static void an_ack_of_what_was_never_written_is_refused(void)
{
	for (uint64_t seq = 1; seq <= 2; seq++) {
		struct lab *lab = lab_new();
		struct lab_node *a = lab_up(lab, 1, 2), *raw = lab_raw(lab, 2);
		struct buf b = { 0 }, vector = { 0 };
		struct stamp stamp;

		lab_run(lab, 6000); /* it dials, and waits for nobody any longer */
		CHECK_INT(lab_create_user(a, "first", &stamp), ==, SHOAL_OK);
		lab_run(lab, 100);
		while (raw->closed || raw->conn == 0)
			lab_run(lab, 100);
		lab_say_hello(raw, 2, 1, slice_of(NULL, 0));
		CHECK(!raw->closed);
		put_claim(&vector, registry_log(a->reg), seq);
		size_t start = sync_begin(&b, SYNC_ACK);
		sync_ack_put(&b, &(struct sync_ack){ .vector = slice_of(vector.data, vector.len) });
		CHECK_INT(frame_end(&b, start), ==, SHOAL_OK);
		lab_say(raw, &b);
		CHECK_INT(raw->closed, ==, seq == 2);
		CHECK_INT(sync_count_acked(a->sync, &stamp, 1), ==, seq == 1);
		buf_free(&vector);
		lab_free(lab);
	}
}

static void an_operation_of_ours_that_was_not_written_here_is_refused(void)
{
	struct lab_node *a, *raw;
	struct lab *lab = greeted(&a, &raw);
	struct buf bytes = { 0 }, forged = { 0 };
	struct record r;

	lab_record(&bytes, "ann", 2);
	CHECK_INT(record_get(slice_of(bytes.data, bytes.len), &r), ==, SHOAL_OK);
	r.stamp.dot.log = registry_log(a->reg);
	CHECK_INT(record_put(&forged, &r), ==, SHOAL_OK);
	lab_say_op(raw, &forged);
	CHECK(raw->closed);
	CHECK(!lab_knows(a, "ann"));
	check_next_change(a);
	buf_free(&bytes);
	buf_free(&forged);
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_snapshot_with_operations_of_ours_that_there_are_not_is_refused),
		TEST(a_snapshot_with_those_that_there_are_is_taken),
		TEST(a_hello_with_operations_of_ours_that_there_are_not_is_refused),
		TEST(an_ack_of_what_was_never_written_is_refused),
		TEST(an_operation_of_ours_that_was_not_written_here_is_refused),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
