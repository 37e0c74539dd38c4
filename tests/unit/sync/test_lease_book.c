/* tests/unit/sync/test_lease_book.c - what one tracker believes of another's sessions. */
#include "core/sync/lease_book.h"
#include "tests/unit/check.h"

static struct sync_session told(uint64_t beat, uint32_t left_ms)
{
	return (struct sync_session){ .dot = { 77, 1 }, .home = 2, .epoch = 1, .beat = beat, .left_ms = left_ms };
}

static void nobody_grants_more_than_a_lease(void)
{
	struct lease_book b = { 0 };
	struct sync_session s = told(5, 10 * LEASE_MAX_MS);

	CHECK(lease_book_take(&b, &s, true, 1000));
	const struct lease *l = LIST_FIRST(&lease_book_home(&b, 2)->leases);
	CHECK(l != NULL);
	CHECK_INT(lease_left(l, 1000), ==, LEASE_MAX_MS);
	lease_book_expire(&b, 1000 + LEASE_MAX_MS);
	CHECK(LIST_EMPTY(&lease_book_home(&b, 2)->leases));
	lease_book_fini(&b);
}

/* What is told late, round about another tracker, says nothing of how the lease is now. */
static void an_older_word_does_not_make_it_steady(void)
{
	struct lease_book b = { 0 };
	struct sync_session now = told(5, 2000), before = told(4, LEASE_MAX_MS);

	CHECK(lease_book_take(&b, &now, false, 1000));
	CHECK(!lease_book_take(&b, &before, true, 1000));
	CHECK_INT(lease_book_home(&b, 2)->steady, ==, 0);
	CHECK(!lease_book_take(&b, &now, true, 1000)); /* of the same time: as it says */
	CHECK_INT(lease_book_home(&b, 2)->steady, ==, 1);
	lease_book_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_grants_more_than_a_lease),
		TEST(an_older_word_does_not_make_it_steady),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
