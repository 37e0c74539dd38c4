/* tests/unit/sync/test_commit.c */
#include "core/sync/commit.h"

#include "core/sync/oplog.h"
#include "tests/unit/sync/sync_lab.h"

struct answer {
	unsigned calls;
	enum shoal_err result;
	struct commit *again; /* makes another barrier from within */
};

static void on_answer(void *arg, enum shoal_err result)
{
	struct answer *a = arg;
	a->calls++;
	a->result = result;
	if (a->again != NULL) {
		struct commit *c = a->again;
		a->again = NULL;
		CHECK_INT(commit_barrier(c, on_answer, a), ==, SHOAL_OK);
	}
}

static struct lab_node *alone(struct lab **lab)
{
	*lab = lab_new();
	struct lab_node *n = lab_up(*lab, 1, 1);
	lab_run(*lab, 20);
	return n;
}

static void without_changes_a_barrier_is_open(void)
{
	struct lab *lab;
	struct lab_node *n = alone(&lab);
	struct answer a = { 0 };
	CHECK_INT(commit_barrier(n->commit, on_answer, &a), ==, SHOAL_OK);
	CHECK_INT(a.calls, ==, 1);
	CHECK_INT(a.result, ==, SHOAL_OK);
	lab_free(lab);
}

static void a_reply_waits_for_all_that_was_pending(void)
{
	struct lab *lab;
	struct lab_node *n = alone(&lab);
	struct answer first = { 0 }, reader = { 0 };

	n->hold = true;
	CHECK_INT(lab_create_user(n, "ann", NULL), ==, SHOAL_OK);
	CHECK_INT(commit_barrier(n->commit, on_answer, &first), ==, SHOAL_OK);
	CHECK_INT(lab_create_user(n, "bob", NULL), ==, SHOAL_OK);
	CHECK(lab_knows(n, "bob")); /* reads see it, */
	CHECK_INT(commit_barrier(n->commit, on_answer, &reader), ==, SHOAL_OK);
	CHECK_INT(first.calls + reader.calls, ==, 0); /* nobody is told */
	lab_answer_commit(n);
	lab_deliver(lab);
	CHECK_INT(first.calls, ==, 1);
	CHECK_INT(reader.calls, ==, 0); /* bob is with the store only now */
	lab_answer_commit(n);
	lab_deliver(lab);
	CHECK_INT(reader.calls, ==, 1);
	CHECK_INT(reader.result, ==, SHOAL_OK);
	CHECK(commit_idle(n->commit));
	lab_free(lab);
}

static void what_gathers_goes_in_one_transaction(void)
{
	struct lab *lab;
	struct lab_node *n = alone(&lab);
	n->hold = true;
	CHECK_INT(lab_create_user(n, "u0", NULL), ==, SHOAL_OK);
	for (int i = 1; i <= 20; i++) {
		char name[8];
		snprintf(name, sizeof(name), "u%d", i);
		CHECK_INT(lab_create_user(n, name, NULL), ==, SHOAL_OK);
	}
	lab_answer_commit(n);
	lab_deliver(lab);
	CHECK_INT(mem_disk_records(n->disk), ==, 1);
	lab_answer_commit(n);
	lab_deliver(lab);
	CHECK_INT(mem_disk_records(n->disk), ==, 21);
	CHECK_INT(oplog_end(commit_oplog(n->commit)), ==, 21);
	CHECK(commit_idle(n->commit));
	lab_free(lab);
}

static void a_failure_undoes_everything_pending(void)
{
	struct lab *lab;
	struct lab_node *n = alone(&lab);
	struct answer a = { 0 }, b = { 0 };
	struct error e;

	CHECK_INT(lab_create_user(n, "old", NULL), ==, SHOAL_OK);
	lab_deliver(lab);
	n->hold = true;
	n->fail = SHOAL_EDISKFULL;
	CHECK_INT(lab_create_user(n, "ann", NULL), ==, SHOAL_OK);
	CHECK_INT(commit_barrier(n->commit, on_answer, &a), ==, SHOAL_OK);
	CHECK_INT(lab_create_user(n, "bob", NULL), ==, SHOAL_OK);
	CHECK_INT(commit_barrier(n->commit, on_answer, &b), ==, SHOAL_OK);
	lab_answer_commit(n);
	lab_deliver(lab);
	CHECK_INT(a.result, ==, SHOAL_EDISKFULL);
	CHECK_INT(b.result, ==, SHOAL_EDISKFULL);
	CHECK(lab_knows(n, "old") && !lab_knows(n, "ann") && !lab_knows(n, "bob"));
	CHECK(n->txn == NULL); /* bob's never went to the store */
	CHECK_INT(vvec_get(registry_vector(n->reg), 1001), ==, 1);
	CHECK_INT(lab_create_user(n, "cho", NULL), ==, SHOAL_EDISKFULL);
	CHECK_INT(commit_check_writable(n->commit, &e), ==, SHOAL_EDISKFULL);

	n->hold = false;
	lab_run(lab, 2500); /* probes, in vain */
	CHECK_INT(commit_check_writable(n->commit, &e), ==, SHOAL_EDISKFULL);
	n->fail = SHOAL_OK;
	lab_run(lab, 1500);
	CHECK_INT(commit_check_writable(n->commit, &e), ==, SHOAL_OK);
	CHECK_INT(lab_create_user(n, "ann", NULL), ==, SHOAL_OK);
	lab_deliver(lab);
	CHECK_INT(mem_disk_records(n->disk), ==, 2);
	lab_free(lab);
}

static void who_went_away_is_not_called(void)
{
	struct lab *lab;
	struct lab_node *n = alone(&lab);
	struct answer gone = { 0 }, stays = { 0 };
	n->hold = true;
	CHECK_INT(lab_create_user(n, "ann", NULL), ==, SHOAL_OK);
	CHECK_INT(commit_barrier(n->commit, on_answer, &gone), ==, SHOAL_OK);
	CHECK_INT(commit_barrier(n->commit, on_answer, &stays), ==, SHOAL_OK);
	commit_forget(n->commit, &gone);
	lab_answer_commit(n);
	lab_deliver(lab);
	CHECK_INT(gone.calls, ==, 0);
	CHECK_INT(stays.calls, ==, 1);
	lab_free(lab);
}

static void a_waiter_may_wait_again_from_within(void)
{
	struct lab *lab;
	struct lab_node *n = alone(&lab);
	struct answer a = { .again = n->commit };
	n->hold = true;
	CHECK_INT(lab_create_user(n, "ann", NULL), ==, SHOAL_OK);
	CHECK_INT(commit_barrier(n->commit, on_answer, &a), ==, SHOAL_OK);
	lab_answer_commit(n);
	lab_deliver(lab);
	CHECK_INT(a.calls, ==, 2);
	lab_free(lab);
}

static void the_end_tells_those_who_wait(void)
{
	struct lab *lab;
	struct lab_node *n = alone(&lab);
	struct answer a = { 0 };
	n->hold = true;
	CHECK_INT(lab_create_user(n, "ann", NULL), ==, SHOAL_OK);
	CHECK_INT(commit_barrier(n->commit, on_answer, &a), ==, SHOAL_OK);
	lab_free(lab);
	CHECK_INT(a.calls, ==, 1);
	CHECK_INT(a.result, ==, SHOAL_ECANCELLED);
}

/* Each allocation of a change fails in turn: it is refused and nothing has changed, or it is whole. */
static void without_memory_nothing_is_half_done(void)
{
	unsigned refused = 0;
	bool whole = false;
	for (unsigned nth = 1; nth <= 80; nth++) {
		struct lab *lab;
		struct lab_node *n = alone(&lab);
		struct op op;
		struct id16 uid;
		struct error e;
		op_begin(n->reg, OP_CREATE_USER, NULL, lab_wall(n), &op);
		CHECK_INT(user_create(n->reg, &op, slice_str("ann"), slice_str("record"), &uid, &e), ==, SHOAL_OK);
		n->hold = true;
		mem_fail_after(nth);
		enum shoal_err rc = commit_op(n->commit, &op, NULL, &e);
		mem_fail_after(0);
		lab_answer_commit(n);
		lab_deliver(lab);
		whole = rc == SHOAL_OK && lab_knows(n, "ann");
		CHECK(whole || !lab_knows(n, "ann"));
		CHECK(commit_idle(n->commit));
		CHECK_INT(registry_pending(n->reg), ==, 0);
		CHECK_INT(mem_disk_records(n->disk), ==, whole ? 1 : 0);
		refused += !whole;
		lab_free(lab);
	}
	CHECK_INT(refused, >, 5);
	CHECK(whole); /* the 80th is not reached */
}

static void the_oplog_is_a_window(void)
{
	struct oplog *log = oplog_new(1000);
	uint8_t bytes[100];
	for (uint64_t i = 0; i < 700; i++) {
		memset(bytes, (int)i, sizeof(bytes));
		oplog_push(log, (struct dot){ 5, i + 1 }, i, slice_of(bytes, sizeof(bytes)));
		CHECK_INT(oplog_end(log), ==, i + 1);
		CHECK_INT(oplog_end(log) - oplog_begin(log), <=, 10);
		for (uint64_t k = oplog_begin(log); k < oplog_end(log); k++) {
			CHECK_INT(oplog_at(log, k)->dot.seq, ==, k + 1);
			CHECK_INT(oplog_at(log, k)->bytes.data[99], ==, (uint8_t)k);
		}
	}
	oplog_free(log);
}

static void without_memory_the_oplog_is_dropped_not_torn(void)
{
	struct oplog *log = oplog_new(1000);
	oplog_push(log, (struct dot){ 5, 1 }, 0, slice_str("a"));
	mem_fail_after(1);
	oplog_push(log, (struct dot){ 5, 2 }, 0, slice_str("b"));
	mem_fail_after(0);
	CHECK_INT(oplog_end(log), ==, 2);
	CHECK_INT(oplog_begin(log), ==, 2); /* a reader at 0 or 1 sees that it has to go to the store */
	oplog_push(log, (struct dot){ 5, 3 }, 0, slice_str("c"));
	CHECK_INT(oplog_at(log, 2)->dot.seq, ==, 3);
	oplog_free(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_changes_a_barrier_is_open),
		TEST(a_reply_waits_for_all_that_was_pending),
		TEST(what_gathers_goes_in_one_transaction),
		TEST(a_failure_undoes_everything_pending),
		TEST(who_went_away_is_not_called),
		TEST(a_waiter_may_wait_again_from_within),
		TEST(the_end_tells_those_who_wait),
		TEST(without_memory_nothing_is_half_done),
		TEST(the_oplog_is_a_window),
		TEST(without_memory_the_oplog_is_dropped_not_torn),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
