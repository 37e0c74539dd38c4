/* tests/unit/client/test_value.c */
#include "client/value.h"
#include "client/format.h"
#include "tests/unit/check.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

static void json_goes_there_and_back(void)
{
	struct stamp stamp = { .hlc = 77, .tracker = 3, .dot = { .log = 5, .seq = 6 } };
	struct value t = value_table(), list = value_list();
	value_add(&list, value_int(-5));
	value_add(&list, value_bool(true));
	value_add(&list, value_job(9));
	value_add(&list, value_stamp(&stamp));
	value_add(&list, value_str("größe"));
	value_set(&t, "list", list);
	value_set(&t, "n", value_number(1.5));
	json_t *j = value_to_json(&t);
	struct value back = value_from_json(j);
	const struct value *l = value_get(&back, "list");
	CHECK(!t.failed && !back.failed && l != NULL && l->type == VALUE_LIST);
	CHECK_INT(l->table.n, ==, 5);
	CHECK_INT(l->table.items[0].integer, ==, -5);
	CHECK(l->table.items[1].boolean);
	CHECK_INT(l->table.items[2].type, ==, VALUE_JOB);
	CHECK_INT(l->table.items[2].job, ==, 9);
	CHECK_INT(stamp_cmp(&l->table.items[3].stamp, &stamp), ==, 0);
	CHECK_STR(value_text(&l->table.items[4], NULL), "größe");
	json_decref(j);
	value_free(&t);
	value_free(&back);
}

static void text_that_is_no_utf8_is_escaped_in_json(void)
{
	struct value v = value_strn("a\xff", 2);
	json_t *j = value_to_json(&v);
	CHECK_STR(json_string_value(j), "a\\xff");
	json_decref(j);
	value_free(&v);
}

static void a_failed_part_fails_the_whole(void)
{
	struct value t = value_table();
	value_set(&t, "a", value_int(1));
	mem_fail_after(1);
	struct value s = value_str("x");
	mem_fail_after(0);
	CHECK(s.failed);
	value_set(&t, "b", s);
	CHECK(t.failed);
	value_free(&t);
}

static void every_allocation_may_fail(void)
{
	for (unsigned n = 1; n < 12; n++) {
		struct value list = value_list();
		mem_fail_after(n);
		for (int i = 0; i < 3; i++) {
			struct value row = value_table();
			value_set(&row, "name", value_str("x"));
			value_add(&list, row);
		}
		mem_fail_after(0);
		CHECK(list.failed || list.table.n == 3);
		value_free(&list);
	}
}

static void setting_again_replaces(void)
{
	struct value t = value_table();
	value_set(&t, "a", value_str("old"));
	value_set(&t, "a", value_str("new"));
	CHECK_INT(t.table.n, ==, 1);
	CHECK_STR(value_get_text(&t, "a", NULL), "new");
	struct value copy = value_copy(&t);
	value_free(&t);
	CHECK_STR(value_get_text(&copy, "a", NULL), "new");
	value_free(&copy);
}

static const char *printed(const struct value *v, struct buf *b)
{
	buf_reset(b);
	format_value(b, v, &(struct format_opts){ 0 });
	buf_put_u8(b, 0);
	return (const char *)b->data;
}

static void rows_are_an_aligned_table(void)
{
	struct value list = value_list();
	struct buf b = { 0 };
	for (int i = 0; i < 2; i++) {
		struct value row = value_table();
		value_set(&row, "size", value_int(i == 0 ? 5 : 2048));
		value_set(&row, "name", value_str(i == 0 ? "größe" : "b"));
		value_add(&list, row);
	}
	CHECK_STR(printed(&list, &b), "name      size\ngröße      5 B\nb      2.0 KiB\n");
	value_free(&list);
	list = value_list();
	CHECK_STR(printed(&list, &b), "(none)\n");
	buf_free(&b);
	value_free(&list);
}

static void a_contact_is_an_age(void)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = { { -5, "0 s ago" }, { 20, "20 s ago" }, { 150, "2 min ago" }, { 7300, "2 h ago" } };
	struct value t = value_table();
	struct buf b = { 0 };

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char expected[64];
		value_set(&t, "contact", value_int((int64_t)(clock_wall_ms() / 1000) - cases[i].seconds));
		snprintf(expected, sizeof(expected), "contact  %s\n", cases[i].text);
		/* "20 s ago" may have become "21 s ago" */
		if (cases[i].seconds != 20 || strcmp(printed(&t, &b), "contact  21 s ago\n") != 0)
			CHECK_STR(printed(&t, &b), expected);
	}
	value_set(&t, "contact", value_int(1000000000));
	CHECK(strstr(printed(&t, &b), "contact  2001-09-0") != NULL);
	buf_free(&b);
	value_free(&t);
}

static void a_name_cannot_drive_the_terminal(void)
{
	struct buf b = { 0 };
	struct value v = value_str("a\x1b[2Jb");
	CHECK_STR(printed(&v, &b), "a\\x1b[2Jb\n");
	value_free(&v);
	struct job_info job = { .id = 1, .state = JOB_STATE_FAILED, .group = "g\n", .file = "f\x1b" };
	error_set(&job.error, SHOAL_EDENIED, "no");
	buf_reset(&b);
	format_job(&b, &job);
	buf_put_u8(&b, 0);
	CHECK_STR((char *)b.data, "[F] [g\\x0a] f\\x1b: no\n");
	buf_free(&b);
}

static void a_download_says_how_far_it_is(void)
{
	struct buf b = { 0 };
	struct job_info job = { .id = 1, .state = JOB_STATE_DOWNLOADING, .group = "team", .file = "big.iso", .bytes = 1000,
		                .total = 1000, .rate = 1048576, .eta = 3 };
	format_job(&b, &job);
	buf_put_u8(&b, 0);
	CHECK(strstr((char *)b.data, "[D] [team] big.iso  99%") != NULL); /* 100 only when it is done */
	job.state = JOB_STATE_DONE;
	buf_reset(&b);
	format_job(&b, &job);
	buf_put_u8(&b, 0);
	CHECK_STR((char *)b.data, "[C] [team] big.iso\n");
	buf_free(&b);
}

static void check_job(const struct job_info *job, const char *want)
{
	struct buf b = { 0 };
	format_job(&b, job);
	buf_put_u8(&b, 0);
	CHECK_STR((const char *)b.data, want);
	buf_free(&b);
}

static void a_job_says_only_what_is_known(void)
{
	struct job_info job = { .id = 1, .kind = JOB_UPLOAD, .group = "team", .file = "big.iso", .eta = -1, .total = 2048 };
	check_job(&job, "[U] [team] big.iso  2.0 KiB  queued\n");
	job.kind = JOB_DOWNLOAD;
	job.total = 0;
	check_job(&job, "[D] [team] big.iso  queued\n");
	job.state = JOB_STATE_DOWNLOADING;
	job.total = 4096;
	job.bytes = 2048;
	job.resumed = 1700;
	job.eta = 3;
	check_job(&job, "[D] [team] big.iso  50%  2.0 KiB of 4.0 KiB  0 B/s  0:03  resumed at 41%\n");
	job.state = JOB_STATE_DONE;
	check_job(&job, "[C] [team] big.iso\n");
}

static const struct CMUnitTest tests[] = {
	TEST(a_job_says_only_what_is_known),
	TEST(json_goes_there_and_back), TEST(text_that_is_no_utf8_is_escaped_in_json), TEST(a_failed_part_fails_the_whole),
	TEST(every_allocation_may_fail), TEST(setting_again_replaces), TEST(rows_are_an_aligned_table), TEST(a_contact_is_an_age),
	TEST(a_name_cannot_drive_the_terminal), TEST(a_download_says_how_far_it_is),
};
CHECK_MAIN(tests)
