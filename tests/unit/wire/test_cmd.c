/* tests/unit/wire/test_cmd.c - messages between client and tracker: golden bytes, and every broken form refused */
#include "core/wire/cmd.h"
#include "tests/unit/check.h"

static struct buf login_body(void)
{
	struct buf b = { 0 };
	struct cmd_head h = { .serial = 7, .request = { { 1, 2, 3 } }, .verb = VERB_LOGIN };
	struct req_user_password m = { slice_str("ann"), slice_str("pw") };
	cmd_head_put(&b, &h);
	req_user_password_put(&b, &m);
	return b;
}

static void login_has_these_bytes(void)
{
	static const uint8_t want[] = { 0, 0, 0, 7, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,   0,   0,   0,
		                        0, 0, 11, 0, 3, 'a', 'n', 'n', 0, 2, 'p', 'w' };
	struct buf b = login_body();
	CHECK_INT(b.len, ==, sizeof(want));
	CHECK(memcmp(b.data, want, b.len) == 0);
	CHECK_INT(cmd_check(slice_of(b.data, b.len)), ==, SHOAL_OK);
	buf_free(&b);
}

static void every_prefix_and_a_byte_more_are_refused(void)
{
	struct buf b = login_body();
	for (size_t n = 0; n < b.len; n++)
		CHECK_INT(cmd_check(slice_of(b.data, n)), ==, SHOAL_EPROTO);
	buf_put_u8(&b, 0);
	CHECK_INT(cmd_check(slice_of(b.data, b.len)), ==, SHOAL_EPROTO);
	buf_free(&b);
}

static void a_password_is_not_printed(void)
{
	struct buf b = login_body(), text = { 0 };
	cmd_print(&text, slice_of(b.data, b.len));
	char *s = buf_steal_str(&text);
	CHECK_STR(s, "login user=\"ann\" password=\"***\"");
	free(s);
	buf_free(&b);
}

static void every_verb_round_trips_when_empty(void)
{
#define X(num, NAME, word, req, rep, row, login, change)                          \
	{                                                                         \
		struct buf b = { 0 };                                             \
		struct cmd_head h = { .serial = num, .verb = VERB_##NAME }, got;  \
		struct req m;                                                     \
		memset(&m, 0, sizeof(m));                                         \
		cmd_head_put(&b, &h);                                             \
		req##_put(&b, &m);                                                \
		CHECK_INT(cmd_check(slice_of(b.data, b.len)), ==, SHOAL_OK);      \
		struct cursor c = cursor_of(b.data, b.len);                       \
		cmd_head_get(&c, &got);                                           \
		CHECK_INT(got.verb, ==, num);                                     \
		CHECK_STR(verb_word(got.verb), #word);                            \
		CHECK_INT(verb_needs_login(num), ==, login);                      \
		CHECK_INT(verb_changes(num), ==, change);                         \
		buf_free(&b);                                                     \
	}
	CMD_VERBS(X)
#undef X
	CHECK(verb_word(0) == NULL && verb_word(9999) == NULL);
}

static void random_bytes_never_harm(void)
{
	uint8_t raw[200];
	for (int i = 0; i < 100000; i++) {
		size_t len = check_random(sizeof(raw));
		struct buf text = { 0 };
		check_random_bytes(raw, len);
		if (len > 22 && check_random(2)) {
			raw[20] = 0;
			raw[21] = (uint8_t)(1 + check_random(64));
		}
		cmd_check(slice_of(raw, len));
		evnt_check(slice_of(raw, len));
		cmd_print(&text, slice_of(raw, len));
		evnt_print(&text, slice_of(raw, len));
		buf_free(&text);
	}
}

static void a_reply_head_carries_a_stamp_only_when_it_says_so(void)
{
	struct buf b = { 0 };
	struct rply_head h = { .serial = 5, .flags = RPLY_STAMP, .code = SHOAL_EEXISTS, .message = slice_str("there"),
		               .stamp = { 9, 2, { 3, 4 } } }, got;
	rply_head_put(&b, &h);
	CHECK_INT(b.len, ==, 4 + 1 + 2 + 2 + 5 + STAMP_WIRE_SIZE);
	struct cursor c = cursor_of(b.data, b.len);
	rply_head_get(&c, &got);
	CHECK_INT(cursor_end(&c), ==, SHOAL_OK);
	CHECK_INT(got.code, ==, SHOAL_EEXISTS);
	CHECK(slice_eq_str(got.message, "there") && stamp_cmp(&got.stamp, &h.stamp) == 0);
	buf_reset(&b);
	h.flags = RPLY_MORE;
	rply_head_put(&b, &h);
	c = cursor_of(b.data, b.len);
	rply_head_get(&c, &got);
	CHECK(cursor_end(&c) == SHOAL_OK && stamp_is_zero(&got.stamp));
	buf_free(&b);
}

static void stamps_are_ordered_and_written(void)
{
	struct stamp a = { 5, 1, { 7, 9 } }, b = { 5, 2, { 1, 1 } }, got;
	char text[STAMP_TEXT_SIZE];
	CHECK(stamp_cmp(&a, &b) < 0 && stamp_cmp(&b, &a) > 0 && stamp_cmp(&a, &a) == 0);
	a.hlc = UINT64_MAX;
	CHECK(stamp_cmp(&a, &b) > 0);
	CHECK(stamp_parse(stamp_format(&a, text), &got) && stamp_cmp(&a, &got) == 0);
	CHECK(!stamp_parse("1.2.3", &got) && !stamp_parse("1.2.3.4x", &got) && !stamp_parse("", &got));
}

static const struct CMUnitTest tests[] = {
	TEST(login_has_these_bytes), TEST(every_prefix_and_a_byte_more_are_refused), TEST(a_password_is_not_printed),
	TEST(every_verb_round_trips_when_empty), TEST(random_bytes_never_harm),
	TEST(a_reply_head_carries_a_stamp_only_when_it_says_so), TEST(stamps_are_ordered_and_written),
};
CHECK_MAIN(tests)
