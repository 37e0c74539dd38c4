/* tests/unit/sync/test_fetch.c - piece hashes follow their files, whoever has them. */
#include "tests/unit/sync/content_lab.h"

static void content_follows_its_file(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	struct id32 content;
	lab_run(lab, 500);
	content_lab_upload(a, &content);
	lab_run(lab, 300);
	CHECK(content_lab_holds(b, &content));
	CHECK_INT(b->contents, ==, 1);
	lab_free(lab);
}

static void content_is_asked_of_another_when_the_first_has_gone(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 3), *b = lab_up(lab, 2, 3), *c;
	struct id32 content;
	lab_run(lab, 3000);
	content_lab_upload(a, &content);
	lab_run(lab, 1000);
	CHECK(content_lab_holds(b, &content));
	lab_down(a);
	c = lab_up(lab, 3, 3);
	lab_run(lab, 12000);
	CHECK(content_lab_holds(c, &content));
	lab_free(lab);
}

static void content_that_is_not_what_its_id_says_is_refused(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
	struct id32 content;
	uint8_t wrong[32] = { 9 };
	lab_run(lab, 500);
	content_lab_upload(a, &content);
	/* a's disk has rotted: it thinks that it holds the content, and serves something else */
	struct content_op *put = content_op_new(CONTENT_PUT);
	struct error e;
	put->id = content;
	put->size = 1100 * (uint64_t)CONTENT_PIECE_SIZE;
	buf_put(&put->data, wrong, sizeof(wrong));
	CHECK_INT(store_content(&store_mem_ops, a->store, put, &e), ==, SHOAL_OK);
	content_op_free(put);
	lab_run(lab, 3000);
	CHECK(registry_content(b->reg, &content) != NULL);
	CHECK(!content_lab_holds(b, &content));
	lab_free(lab);
}

static bool is_linked(const struct lab_node *n)
{
	struct sync_status st;
	return sync_status(n->sync, &st, 1) == 1 && strcmp(st.state, "connected") == 0;
}

/* Again later and later while it is asked in vain, but at once of whoever has just come. */
static void who_has_just_come_is_asked_at_once(void)
{
	for (int round = 0; round < 5; round++) {
		struct lab *lab = lab_new();
		struct lab_node *a = lab_up(lab, 1, 2), *b = lab_up(lab, 2, 2);
		struct id32 content;
		lab_run(lab, 500);
		content_lab_upload(a, &content);
		CHECK_INT(registry_set_held(a->reg, &content, false), ==, SHOAL_OK);
		lab_run(lab, 60000);
		CHECK(registry_content(b->reg, &content) != NULL && !content_lab_holds(b, &content));
		CHECK_INT(registry_set_held(a->reg, &content, true), ==, SHOAL_OK);
		a->cut_off = true;
		lab_run(lab, 11000); /* no question to it is open any more */
		a->cut_off = false;
		for (int ms = 0; !is_linked(b); ms += 10) {
			CHECK(ms < 5000);
			lab_run(lab, 0);
		}
		lab_run(lab, 100);
		CHECK(content_lab_holds(b, &content));
		lab_free(lab);
	}
}

static void swallow(void *ctx, struct content_op *op, uint64_t cookie)
{
	(void)ctx;
	(void)cookie;
	content_op_free(op);
}

static void one_who_does_not_answer_is_not_waited_for(void)
{
	struct lab *lab = lab_new();
	struct lab_node *a = lab_up(lab, 1, 3), *b = lab_up(lab, 2, 3), *c;
	struct id32 content;
	lab_run(lab, 500);
	content_lab_upload(a, &content);
	lab_run(lab, 500);
	CHECK(content_lab_holds(b, &content));
	a->env.content = swallow; /* its disk hangs, and it is the first to be asked */
	c = lab_up(lab, 3, 3);
	lab_run(lab, 4000);
	CHECK(!content_lab_holds(c, &content));
	lab_run(lab, 4000);
	CHECK(content_lab_holds(c, &content));
	lab_free(lab);
}

/* The n-th allocation fails, once, while the file comes: its hashes come all the same. (The store is held meanwhile: this
 * one has no memory of its own to fail.) */
static void without_memory_it_is_looked_for_again(void)
{
	for (unsigned n = 1; n <= 150; n++) {
		struct lab *lab = lab_new();
		struct lab_node *a = lab_up(lab, 1, 2), *b;
		struct id32 content;
		lab_run(lab, 500);
		content_lab_upload(a, &content);
		lab_run(lab, 500);
		b = lab_up(lab, 2, 2);
		b->hold = true;
		mem_fail_after(n);
		lab_run(lab, 500);
		mem_fail_after(0);
		b->hold = false;
		lab_answer_commit(b);
		lab_run(lab, 25000);
		CHECK(content_lab_holds(b, &content));
		lab_free(lab);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(content_follows_its_file),
		TEST(content_is_asked_of_another_when_the_first_has_gone),
		TEST(content_that_is_not_what_its_id_says_is_refused),
		TEST(who_has_just_come_is_asked_at_once),
		TEST(one_who_does_not_answer_is_not_waited_for),
		TEST(without_memory_it_is_looked_for_again),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
