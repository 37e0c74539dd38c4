/* tests/unit/client/test_options.c */
#include "client/options.h"
#include "tests/unit/check.h"

#include "core/base/fs.h"
#include "core/base/mem.h"

/* Parses "shoal" and the words, in an environment of its own. */
static enum shoal_err parse(struct options *o, struct error *e, int n, const char *const *words)
{
	static char *argv[20]; /* o->args points into it */
	memset(argv, 0, sizeof(argv));
	argv[0] = (char *)"shoal";
	for (int i = 0; i < n; i++)
		argv[i + 1] = (char *)words[i];
	return options_parse(o, n + 1, argv, e);
}
#define PARSE(o, e, ...) parse(o, e, (int)(sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *)), (const char *[]){ __VA_ARGS__ })

static void clean(void)
{
	char *none = str_printf("%s/config-of-nobody", check_folder());
	setenv("XDG_CONFIG_HOME", none, 1);
	unsetenv("SHOAL_CONFIG");
	unsetenv("SHOAL_LISTEN");
	unsetenv("SHOAL_TRACKERS");
	unsetenv("SHOAL_PROGRESS");
	free(none);
}

static void the_positionals_of_the_specification(void)
{
	struct options o;
	struct error e;
	clean();
	CHECK_INT(PARSE(&o, &e, "127.0.0.1:5000", "tracker_info.txt"), ==, SHOAL_OK);
	CHECK_STR(o.listen, "127.0.0.1:5000");
	CHECK_STR(o.trackers, "tracker_info.txt");
	CHECK(o.script == NULL);
	options_free(&o);
	CHECK_INT(PARSE(&o, &e, "--strict", "[::1]:0", "t", "job.lua", "a", "--b"), ==, SHOAL_OK);
	CHECK(o.strict);
	CHECK_STR(o.script, "job.lua");
	CHECK_INT(o.nargs, ==, 2);
	CHECK_STR(o.args[1], "--b"); /* behind the script they are the script's */
	options_free(&o);
}

static void environment_and_config_may_give_them(void)
{
	struct options o;
	struct error e;
	clean();
	setenv("SHOAL_LISTEN", "127.0.0.1:7000", 1);
	setenv("SHOAL_TRACKERS", "env.txt", 1);
	CHECK_INT(PARSE(&o, &e, "job.lua", "x"), ==, SHOAL_OK);
	CHECK_STR(o.listen, "127.0.0.1:7000");
	CHECK_STR(o.trackers, "env.txt");
	CHECK_STR(o.script, "job.lua");
	options_free(&o);
	CHECK_INT(PARSE(&o, &e, "127.0.0.1:1", "arg.txt"), ==, SHOAL_OK);
	CHECK_STR(o.listen, "127.0.0.1:1"); /* what is written wins */
	CHECK_STR(o.trackers, "arg.txt");
	options_free(&o);
	clean();
}

static char *write_config(const char *text)
{
	struct error e;
	char *path = str_printf("%s/config.lua", check_folder());
	CHECK_INT(fs_write_file(path, text, strlen(text), 0600, &e), ==, SHOAL_OK);
	setenv("SHOAL_CONFIG", path, 1);
	return path;
}

static void config_is_read_and_checked(void)
{
	struct options o;
	struct error e;
	clean();
	char *path = write_config("return { listen = '127.0.0.1:9', trackers = 't', auto_login = true, timeout = '90s', progress = 'json' }");
	CHECK_INT(PARSE(&o, &e, "--strict"), ==, SHOAL_OK);
	CHECK_STR(o.listen, "127.0.0.1:9");
	CHECK_INT(o.auto_login, ==, AUTO_LOGIN_YES);
	CHECK_INT(o.timeout_ms, ==, 90000);
	CHECK_INT(o.progress, ==, PROGRESS_JSON);
	options_free(&o);
	free(path);
	free(write_config("return { listn = '127.0.0.1:9' }"));
	CHECK_INT(PARSE(&o, &e, "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	CHECK(strstr(e.message, "did you mean 'listen'") != NULL);
	free(write_config("return 5"));
	CHECK_INT(PARSE(&o, &e, "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	free(write_config("os.execute('true')"));
	CHECK_INT(PARSE(&o, &e, "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	free(write_config("return { progress = 'loud' }"));
	CHECK_INT(PARSE(&o, &e, "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	clean();
}

static void mistakes_get_one_line(void)
{
	struct options o;
	struct error e;
	clean();
	CHECK_INT(PARSE(&o, &e, "--stric", "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "no option '--stric': did you mean '--strict'?");
	CHECK_INT(PARSE(&o, &e, "127.0.0.1:0"), ==, SHOAL_EUSAGE);
	CHECK(strstr(e.message, "tracker file") != NULL);
	CHECK_INT(PARSE(&o, &e, "job.lua"), ==, SHOAL_EUSAGE);
	CHECK(strstr(e.message, "'job.lua' is not an address") != NULL);
	CHECK_INT(PARSE(&o, &e, "--threads", "many", "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	CHECK_INT(PARSE(&o, &e, "--threads", "1", "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "--threads needs a number from 2 to 10, not '1'");
	CHECK_INT(PARSE(&o, &e, "--threads=11", "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	CHECK_INT(PARSE(&o, &e, "127.0.0.1", "t"), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "'127.0.0.1': the port is missing: write 127.0.0.1:0 for any free one");
	CHECK_INT(PARSE(&o, &e, "::1", "t"), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "'::1': the port is missing: write [::1]:0 for any free one");
	CHECK_INT(PARSE(&o, &e, "--treads", "2", "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	CHECK(strstr(e.message, "'--threads'") != NULL);
	CHECK_INT(PARSE(&o, &e, "--nothing", "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "no option '--nothing': see shoal --help");
	CHECK_INT(PARSE(&o, &e, "--progress=loud", "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	CHECK_INT(PARSE(&o, &e, "--strict=yes", "127.0.0.1:0", "t"), ==, SHOAL_EUSAGE);
	CHECK_INT(PARSE(&o, &e, "127.0.0.1:0", "t", "--data"), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "--data needs a value: DIR");
}

static void options_of_every_kind(void)
{
	struct options o;
	struct error e;
	clean();
	CHECK_INT(PARSE(&o, &e, "-e", "x()", "--timeout=5m", "-e", "y()", "-i", "--password-fd", "7", "--no-progress",
	                "127.0.0.1:0", "t", "-q"), ==, SHOAL_OK);
	CHECK_INT(o.ncode, ==, 2);
	CHECK_STR(o.code[1], "y()");
	CHECK_INT(o.timeout_ms, ==, 300000);
	CHECK(o.interactive && o.quiet);
	CHECK_INT(o.password_fd, ==, 7);
	CHECK_INT(o.progress, ==, PROGRESS_NONE);
	options_free(&o);
	CHECK_INT(PARSE(&o, &e, "--test", "x.lua", "--", "a"), ==, SHOAL_OK);
	CHECK_STR(o.test, "x.lua");
	CHECK_INT(o.nargs, ==, 1);
	CHECK_STR(o.args[0], "a");
	options_free(&o);
}

static void help_names_every_option(void)
{
	char *text = options_help();
	static const char *const names[] = { "-e CODE", "--control", "--password-file", "--no-input", "--batch", "--test" };
	for (size_t i = 0; i < COUNT_OF(names); i++)
		CHECK(strstr(text, names[i]) != NULL);
	free(text);
}

static const struct CMUnitTest tests[] = {
	TEST(the_positionals_of_the_specification), TEST(environment_and_config_may_give_them), TEST(config_is_read_and_checked),
	TEST(mistakes_get_one_line), TEST(options_of_every_kind), TEST(help_names_every_option),
};
CHECK_MAIN(tests)
