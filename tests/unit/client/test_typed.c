/* tests/unit/client/test_typed.c */
#include "client/typed.h"
#include "client/prompt.h"
#include "tests/unit/check.h"

#include <readline/readline.h>

static void check_words(const char *line, const char *cmd, unsigned n, const char *const *words)
{
	struct typed t;
	struct error e;
	CHECK_INT(typed_parse(line, &t, &e), ==, SHOAL_OK);
	CHECK_STR(t.cmd->name, cmd);
	CHECK_INT(t.n, ==, n);
	for (unsigned i = 0; i < n; i++)
		CHECK_STR(value_text(&t.argv[i], NULL), words[i]);
	typed_free(&t);
}

static void words_are_split_as_in_a_shell(void)
{
	check_words("create_user alice password123", "create_user", 2, (const char *const[]){ "alice", "password123" });
	check_words("  login  ann   \"pass word\"  ", "login", 2, (const char *const[]){ "ann", "pass word" });
	check_words("upload_file 'a \"b\" c' te\\ am", "upload_file", 2, (const char *const[]){ "a \"b\" c", "te am" });
	check_words("login ann 'it''s'", "login", 2, (const char *const[]){ "ann", "its" });
	check_words("login ann \"\\$x\\\"\"", "login", 2, (const char *const[]){ "ann", "\\$x\"" });
	check_words("list_groups", "list_groups", 0, NULL);
}

static void spaced_spellings_are_the_same_commands(void)
{
	check_words("create user ann pw", "create_user", 2, (const char *const[]){ "ann", "pw" });
	check_words("accept   request team bob", "accept_request", 2, (const char *const[]){ "team", "bob" });
	check_words("list groups", "list_groups", 0, NULL);
	check_words("list requests team", "list_requests", 1, (const char *const[]){ "team" });
}

static void a_tilde_is_the_home_folder(void)
{
	setenv("HOME", "/home/ann", 1);
	check_words("upload_file ~/x team", "upload_file", 2, (const char *const[]){ "/home/ann/x", "team" });
	check_words("upload_file a~/x team", "upload_file", 2, (const char *const[]){ "a~/x", "team" });
}

static void options_are_key_value_words(void)
{
	struct typed t;
	struct error e;
	CHECK_INT(typed_parse("download_file team a.iso limit=5M order=sequential", &t, &e), ==, SHOAL_OK);
	CHECK_INT(t.n, ==, 4);
	CHECK_INT(t.argv[2].type, ==, VALUE_NIL);
	CHECK_STR(value_get_text(&t.argv[3], "limit", NULL), "5M");
	CHECK_STR(value_get_text(&t.argv[3], "order", NULL), "sequential");
	typed_free(&t);
	check_words("join_group a=b", "join_group", 1, (const char *const[]){ "a=b" });
}

static void what_is_quoted_is_read_back(void)
{
	static const char letters[] = "ab1_ \"'\\~=.#\xc3\xa4-";
	struct buf b = { 0 };
	typed_quote(&b, "team");
	buf_put_u8(&b, 0);
	CHECK_STR((const char *)b.data, "team");
	buf_reset(&b);
	typed_quote(&b, "two words");
	buf_put_u8(&b, 0);
	CHECK_STR((const char *)b.data, "\"two words\"");
	for (int round = 0; round < 3000; round++) {
		char group[12], user[12];
		size_t n = 1 + check_random(10), m = 1 + check_random(10);
		for (size_t i = 0; i < n; i++)
			group[i] = letters[check_random(sizeof(letters) - 1)];
		for (size_t i = 0; i < m; i++)
			user[i] = letters[check_random(sizeof(letters) - 1)];
		group[n] = user[m] = '\0';
		buf_reset(&b);
		buf_printf(&b, "accept_request ");
		typed_quote(&b, group);
		buf_put_u8(&b, ' ');
		typed_quote(&b, user);
		buf_put_u8(&b, 0);
		check_words((const char *)b.data, "accept_request", 2, (const char *const[]){ group, user });
	}
	buf_free(&b);
}

static void mistakes_are_told(void)
{
	struct typed t;
	struct error e;
	CHECK_INT(typed_parse("login \"ann", &t, &e), ==, SHOAL_EUSAGE);
	CHECK(strstr(e.message, "quote") != NULL);
	CHECK_INT(typed_parse("join_group my team", &t, &e), ==, SHOAL_EUSAGE);
	CHECK(strstr(e.message, "'team'") != NULL);
}

static void what_is_no_verb_is_no_typed_form(void)
{
	const char *rest;
	CHECK(typed_verb("list_groups", &rest) != NULL);
	CHECK(typed_verb("list_groups()", &rest) == NULL);
	CHECK(typed_verb("list_groupsx", &rest) == NULL);
	CHECK(typed_verb("create groups", &rest) == NULL);
	CHECK(typed_verb("print 'x'", &rest) == NULL);
	CHECK(typed_verb("jobs", &rest) == NULL); /* shoal.jobs is no verb */
}

static void random_lines_never_harm(void)
{
	static const char letters[] = "login ab\"'\\~= \tupload_file";
	for (int round = 0; round < 5000; round++) {
		char line[80] = "download_file ";
		size_t n = strlen(line);
		for (unsigned i = check_random(60); i > 0; i--)
			line[n++] = letters[check_random(sizeof(letters) - 1)];
		line[n] = '\0';
		struct typed t;
		struct error e;
		if (typed_parse(line, &t, &e) == SHOAL_OK)
			typed_free(&t);
	}
}

static void secrets_are_not_kept(void)
{
	CHECK(history_may_keep("list_files team"));
	CHECK(!history_may_keep("login ann pw"));
	CHECK(!history_may_keep("create  user ann pw"));
	CHECK(!history_may_keep("x = pcall(create_user, 'ann', 'pw')"));
	CHECK(!history_may_keep("change_password old new"));
	CHECK(!history_may_keep("logn alice topsecret7"));
	CHECK(!history_may_keep("lgoin alice topsecret7"));
	CHECK(!history_may_keep("Login alice topsecret7"));
	CHECK(!history_may_keep(".lgin alice topsecret7"));
	CHECK(!history_may_keep("log in alice topsecret7"));
	CHECK(!history_may_keep("logn('alice', 'topsecret7')"));
	CHECK(!history_may_keep("create usr alice topsecret7"));
	CHECK(!history_may_keep("crate   user alice topsecret7"));
	CHECK(!history_may_keep("createuser alice topsecret7"));
	CHECK(!history_may_keep("change pasword old new"));
	CHECK(!history_may_keep("chang_passwrd old new"));
	CHECK(!history_may_keep("x = 1\nlogn alice topsecret7"));
	CHECK(history_may_keep("logout"));
	CHECK(history_may_keep("create_group team"));
	CHECK(history_may_keep("create group team"));
	CHECK(history_may_keep("local x = 1"));
	CHECK(history_may_keep("for i = 1, 3 do print(i) end"));
	CHECK(!history_may_keep(" list_files team"));
	CHECK(!history_may_keep("   "));
}

/* The candidates for the last word of the line, joined with blanks; the first is their common beginning. */
static void check_completed(const char *line, int start, const char *want)
{
	struct buf b = { 0 };
	rl_replace_line(line, 0);
	char **found = prompt_complete(line + start, start, (int)strlen(line));
	for (size_t i = 0; found != NULL && found[i] != NULL; i++) {
		buf_printf(&b, i != 0 ? " %s" : "%s", found[i]);
		free(found[i]);
	}
	free(found);
	buf_put_u8(&b, 0);
	CHECK_STR((const char *)b.data, want);
	buf_free(&b);
}

static void tab_completes_what_is_known(void)
{
	check_completed("upload_f", 0, "upload_file");
	check_completed("upl", 0, "upload_ upload_file upload_dir");
	check_completed("  .j", 2, ".jobs");
	check_completed(".help list_g", 6, "list_groups");
	check_completed("reject_request team x list_me", 22, "");
	check_completed("x = list_me", 4, "list_members");
	check_completed("list_files team ", 16, " all= glob= sort=");
	check_completed("download_file team x ", 21, " wait= order= limit= on_exists= timeout= wait_for_seeder= keep_sharing= verify=");
	check_completed("download_file team x wait", 21, "wait wait= wait_for_seeder=");
	check_completed("logi", 0, "login");
	check_completed("log", 0, "log login logout");
	check_completed("nothing", 0, "");
	check_completed("x('/tm", 3, "");
}

static const struct CMUnitTest tests[] = {
	TEST(tab_completes_what_is_known),
	TEST(words_are_split_as_in_a_shell),  TEST(spaced_spellings_are_the_same_commands), TEST(a_tilde_is_the_home_folder),
	TEST(options_are_key_value_words),    TEST(mistakes_are_told),                      TEST(what_is_no_verb_is_no_typed_form),
	TEST(random_lines_never_harm),        TEST(secrets_are_not_kept),                   TEST(what_is_quoted_is_read_back),
};
CHECK_MAIN(tests)
