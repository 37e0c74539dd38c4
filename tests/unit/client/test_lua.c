/* tests/unit/client/test_lua.c - the language: results and errors, what was looked at, tasks, events, strictness. */
#include "client/lua_host.h"
#include "client/session.h"
#include "tests/unit/check.h"
#include "tests/unit/client/fake_engine.h"

#include <lauxlib.h>

#include "core/base/clock.h"

struct bench {
	struct fake_engine fake;
	struct shell *shell;
	struct lua_host *host;
};

static void answer_usual(struct fake_engine *fake, struct call *c)
{
	c->stamp = (struct stamp){ .hlc = 9, .tracker = 1, .dot = { 1, 2 } };
	if (c->kind == CALL_VERB && c->verb == VERB_JOIN_GROUP)
		error_set(&c->error, SHOAL_ENOTFOUND, "no group of that name");
	if (c->kind == CALL_VERB && c->verb == VERB_CREATE_GROUP)
		error_set(&c->error, SHOAL_EEXISTS, "group exists already");
	if (c->kind == CALL_VERB && c->verb == VERB_WAIT_SYNCED)
		rep_wait_synced_put(fake_frame(c), &(struct rep_wait_synced){ 1, 1, slice_of("\0\1\0\2", 4) });
	if (c->kind == CALL_DOWNLOAD || c->kind == CALL_UPLOAD)
		c->job = 7;
	if (c->kind == CALL_JOB || c->kind == CALL_JOB_WAIT)
		fake_give_job(fake, c);
}

static void open_bench(struct bench *b, bool strict)
{
	*b = (struct bench){ .fake = { .answer = answer_usual } };
	b->fake.job = (struct job_info){ .state = JOB_STATE_FAILED, .group = "g", .file = "f", .pieces = 3, .pieces_total = 4 };
	error_set(&b->fake.job.error, SHOAL_EINTEGRITY, "damaged");
	b->shell = fake_shell(&b->fake);
	b->host = lua_host_new(&(struct lua_host_config){ .shell = b->shell, .strict = strict, .settings = value_table() });
}

static void close_bench(struct bench *b)
{
	lua_host_free(b->host);
	fake_close(&b->fake, b->shell);
}

/* Runs the code, which must not raise; then what nobody looked at. */
static unsigned unread_after(const char *code, int *exit_code)
{
	struct bench b;
	open_bench(&b, false);
	*exit_code = 0;
	lua_host_strict_globals(b.host, true);
	int rc = lua_host_code(b.host, "=test", code);
	if (rc != 0)
		fprintf(stderr, "in: %s\n", code);
	CHECK_INT(rc, ==, 0);
	unsigned n = lua_host_report(b.host, exit_code);
	close_bench(&b);
	return n;
}

static void runs(const char *code)
{
	int exit_code;
	CHECK_INT(unread_after(code, &exit_code), ==, 0);
}

/* The exit code of code that raises. */
static int raises(const char *code, bool strict)
{
	struct bench b;
	open_bench(&b, strict);
	int rc = lua_host_code(b.host, "=test", code);
	close_bench(&b);
	return rc;
}

static void a_stamp_is_true_and_prints_as_ok(void)
{
	runs("local s = login('ann', 'pw') assert(s) assert(tostring(s) == 'ok') assert(type(s.text) == 'string')"
	     " assert(wait_synced(s) == true) assert(wait_synced(s.text) == true)");
}

static void a_failure_is_nil_and_err(void)
{
	runs("local ok, err = create_group('team') assert(ok == nil) assert(err.code == 'exists')"
	     " assert(tostring(err) == 'group exists already') assert(err.op == 'create_group') assert(err.group == 'team')"
	     " assert(err.retryable == false) assert(err.where == 'test:1') assert(type(err) == 'table')"
	     " local n = 0 for k, v in pairs(err) do n = n + 1 end assert(n >= 6) assert('x ' .. err == 'x group exists already')");
}

static void a_failure_that_nobody_looked_at_is_reported(void)
{
	int code;
	CHECK_INT(unread_after("create_group('team')", &code), ==, 1);
	CHECK_INT(code, ==, 12);
	CHECK_INT(unread_after("create_group('team') join_group('x')", &code), ==, 2);
	CHECK_INT(code, ==, 20);
	CHECK_INT(unread_after("local ok, err = create_group('team') if not ok then end", &code), ==, 1);
	CHECK_INT(unread_after("local ok, err = create_group('team') local c = err.code", &code), ==, 0);
	CHECK_INT(unread_after("pcall(function() assert(create_group('team')) end)", &code), ==, 0);
	CHECK_INT(unread_after("local _, err = create_group('team') io.stderr:write(tostring(err):sub(1, 0))", &code), ==, 0);
}

static void a_failed_job_that_nobody_looked_at_is_reported(void)
{
	int code = 0;
	CHECK_INT(unread_after("download_file('g', 'f')", &code), ==, 1);
	CHECK_INT(code, ==, 10);
	CHECK_INT(unread_after("local r, err = download_file('g', 'f'):wait() assert(err.code == 'integrity')", &code), ==, 0);
	CHECK_INT(unread_after("download_file('g', 'f'):wait()", &code), ==, 1);
	CHECK_INT(unread_after("local j = download_file('g', 'f') assert(j.error.code == 'integrity')", &code), ==, 0);
}

static void jobs_are_read_live(void)
{
	runs("local j = download_file('g', 'f') assert(j.id == 7) assert(j.state == 'failed') assert(j.pieces == 3)"
	     " assert(j.pieces_total == 4) assert(j.nothing == nil) assert(j == shoal.job(7)) j:pause() j:resume() j:cancel()"
	     " j:limit('5M')");
}

static void wrong_calls_raise_with_the_callers_line(void)
{
	runs("local ok, e = pcall(function()\n download_file('g') end)"
	     " assert(e == \"test:2: download_file: argument 2 'file' must be a string, got nil\", e)");
	runs("local ok, e = pcall(login, 'a', 'b', 'c') assert(e:find('at most 2 arguments'), e)");
	runs("local ok, e = pcall(function() shoal.job(1):limit({}) end) assert(e:find(\"job:limit: argument 1 'size'\"), e)");
	runs("local ok, e = pcall(create_group, print) assert(e:find('argument 1 cannot be a function'), e)");
}

static void exit_codes_of_what_was_not_caught(void)
{
	CHECK_INT(raises("error('x')", false), ==, 1);
	CHECK_INT(raises("assert(create_group('g'))", false), ==, 12);
	CHECK_INT(raises("local _, e = join_group('g') error(e)", false), ==, 6);
	CHECK_INT(raises("create_group('g')", true), ==, 12); /* --strict */
	CHECK_INT(raises("shoal.strict = true create_group('g')", false), ==, 12);
	CHECK_INT(raises("x = = 2", false), ==, 2);
}

static void undeclared_globals_are_told_in_scripts(void)
{
	runs("local ok, e = pcall(function() return dowload_file end)"
	     " assert(e:find(\"undeclared global 'dowload_file': did you mean 'download_file'\"), e)");
	runs("declared = nil assert(declared == nil)");
	struct bench b;
	open_bench(&b, false);
	CHECK_INT(lua_host_code(b.host, "=prompt", "assert(nothing_of_that_name == nil)"), ==, 0);
	close_bench(&b);
}

static void tasks_run_at_the_same_time(void)
{
	runs("local t = {} local order = {}"
	     " for i = 1, 3 do t[i] = shoal.spawn(function(x) shoal.sleep(0.03 * (4 - x)) order[#order + 1] = x return x, login('a', 'b') end, i) end"
	     " for i = 1, 3 do local x, s = t[i]:wait() assert(x == i and tostring(s) == 'ok') end"
	     " assert(order[1] == 3 and order[3] == 1)");
	runs("local t = shoal.spawn(function() error('boom', 0) end) local ok, e = pcall(t.wait, t) assert(not ok and e == 'boom')");
	runs("local t = shoal.spawn(function() shoal.sleep(60) end) local v, e = t:wait(0.01) assert(e.code == 'timeout') t:cancel()"
	     " v, e = t:wait() assert(e.code == 'cancelled')");
	runs("local t = shoal.spawn(function() coroutine.yield() return 5 end) assert(t:wait() == 5)");
	runs("local co = coroutine.wrap(function() shoal.sleep(0.01) return 4 end) assert(co() == 4)");
}

static void events_come_to_handlers_in_order(void)
{
	runs("local got = {} local sub = shoal.on('ping', function(e) got[#got + 1] = e.n end)"
	     " for i = 1, 5 do shoal.fire('ping', { n = i }) end shoal.sleep(0) shoal.sleep(0.01)"
	     " assert(#got == 5 and got[1] == 1 and got[5] == 5) sub:off() shoal.fire('ping', { n = 6 }) shoal.sleep(0.01)"
	     " assert(#got == 5)");
	runs("shoal.after(0.01, function() shoal.fire('pong', { n = 1 }) shoal.fire('pong', { n = 2 }) end)"
	     " local e = shoal.wait_event('pong', { n = 2 }, 5) assert(e.n == 2)");
	runs("local e, err = shoal.wait_event('never', 0.01) assert(e == nil and err.code == 'timeout')");
	runs("local n = 0 local t t = shoal.every(0.005, function() n = n + 1 if n == 3 then t:stop() end end) shoal.sleep(0.1)"
	     " assert(n == 3)");
}

static void a_broken_handler_does_not_stop_the_rest(void)
{
	runs("local n = 0 shoal.on('x', function() error('broken') end) shoal.on('x', function() n = n + 1 end)"
	     " local told shoal.on('script.error', function(e) told = e.text end) shoal.fire('x') shoal.sleep(0.02)"
	     " assert(n == 1) assert(told:find('broken'))");
}

static void the_engines_news_reach_scripts(void)
{
	struct bench b;
	open_bench(&b, false);
	CHECK_INT(lua_host_code(b.host, "=t", "seen = {} shoal.on('job.*', function(e) seen[#seen + 1] = e.event end)"
	                                      " shoal.job(7):on('done', function(e) mine = e.file end)"), ==, 0);
	for (int i = 0; i < 3; i++) {
		struct client_event ev = { .type = EVENT_JOB, .word = i < 2 ? "job.progress" : "job.done" };
		ev.job = try_memdup(&b.fake.job, sizeof(b.fake.job));
		ev.job->id = 7;
		fake_event(&b.fake, ev);
	}
	shell_step(b.shell, 0);
	lua_host_pump(b.host);
	lua_host_pump(b.host);
	CHECK_INT(lua_host_code(b.host, "=t", "assert(#seen == 2) assert(seen[1] == 'job.progress') assert(seen[2] == 'job.done')"
	                                      " assert(mine == 'f')"), ==, 0);
	close_bench(&b);
}

static void helpers_work(void)
{
	runs("assert(shoal.api == 1) shoal.require_api(1) assert(not pcall(shoal.require_api, 2))");
	runs("assert(shoal.fmt.bytes(1536) == '1.5 KiB') assert(shoal.fmt.time(63) == '1:03')");
	runs("local t = shoal.json.decode(shoal.json.encode{ a = { 1, 2, 'x' }, b = true }) assert(t.a[3] == 'x' and t.b)");
	runs("assert(shoal.json.encode({}) == '[]') assert(#list_members('g', nil) == 0) login('a', 'b') list_files('g', {})");
	runs("local v, e = shoal.json.decode('{') assert(v == nil and e.code == 'usage')");
	runs("assert(shoal.hash('/dev/null') == 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')");
	runs("local v, e = shoal.hash('/nonexistent') assert(e.code == 'not_found')");
	runs("shoal.config{ progress = 'json' } assert(shoal.config().progress == 'json')"
	     " assert(not pcall(shoal.config, { progres = 'x' }))");
}

static int session(const char *const *lines)
{
	struct bench b;
	open_bench(&b, false);
	struct session s = { .host = b.host, .shell = b.shell, .piped = true };
	for (; *lines != NULL; lines++)
		session_line(&s, *lines);
	session_end(&s);
	int code = s.code;
	int unread = 0;
	lua_host_report(b.host, &unread);
	session_free(&s);
	close_bench(&b);
	return exit_code_join(code, unread);
}

static void lines_are_lua_or_typed(void)
{
	CHECK_INT(session((const char *const[]){ "login ann pw", "x = login('ann', 'pw')", "assert(x)", NULL }), ==, 0);
	CHECK_INT(session((const char *const[]){ "for i = 1, 2 do", "login('a', 'b')", "end", NULL }), ==, 0);
	CHECK_INT(session((const char *const[]){ "create group team", NULL }), ==, 12);
	CHECK_INT(session((const char *const[]){ "create_group team", "join group x", NULL }), ==, 20);
	CHECK_INT(session((const char *const[]){ "login", NULL }), ==, 2);
	CHECK_INT(session((const char *const[]){ "list_grups", NULL }), ==, 2);
	CHECK_INT(session((const char *const[]){ "error('x')", NULL }), ==, 1);
	CHECK_INT(session((const char *const[]){ "if true then", NULL }), ==, 2); /* never finished */
	CHECK_INT(session((const char *const[]){ "-- a comment", "", ".help login", "help", NULL }), ==, 0);
	CHECK_INT(session((const char *const[]){ ".hlep", NULL }), ==, 2);
	CHECK_INT(session((const char *const[]){ "x, err = create_group('team')", "print(err.code == 'exists')", NULL }), ==, 0);
}

static const struct CMUnitTest tests[] = {
	TEST(a_stamp_is_true_and_prints_as_ok),
	TEST(a_failure_is_nil_and_err),
	TEST(a_failure_that_nobody_looked_at_is_reported),
	TEST(a_failed_job_that_nobody_looked_at_is_reported),
	TEST(jobs_are_read_live),
	TEST(wrong_calls_raise_with_the_callers_line),
	TEST(exit_codes_of_what_was_not_caught),
	TEST(undeclared_globals_are_told_in_scripts),
	TEST(tasks_run_at_the_same_time),
	TEST(events_come_to_handlers_in_order),
	TEST(a_broken_handler_does_not_stop_the_rest),
	TEST(the_engines_news_reach_scripts),
	TEST(helpers_work),
	TEST(lines_are_lua_or_typed),
};
CHECK_MAIN(tests)
