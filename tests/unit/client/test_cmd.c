/* tests/unit/client/test_cmd.c - the table is complete, arguments are checked, calls say what was meant. */
#include "client/cmd.h"
#include "tests/unit/check.h"
#include "tests/unit/client/fake_engine.h"

static void every_entry_is_complete(void)
{
	const struct cmd *cmd = NULL;
	unsigned n = 0;
	while ((cmd = cmd_next(cmd)) != NULL) {
		n++;
		CHECK(cmd->name != NULL && cmd->summary != NULL && cmd->example != NULL && cmd->since != NULL);
		CHECK(cmd->gives != NULL);
		CHECK((cmd->run != NULL) != (cmd->module != NULL));
		CHECK(cmd_find(cmd->name) == cmd); /* no name twice */
		CHECK(cmd->summary[strlen(cmd->summary) - 1] == '.');
		bool optional = false;
		for (unsigned i = 0; i < cmd_count_args(cmd); i++) {
			CHECK(cmd->args[i].kind != ARG_NONE);
			CHECK(!optional || cmd->args[i].optional); /* none that must be there behind one that need not */
			optional = cmd->args[i].optional;
			CHECK((cmd->args[i].kind != ARG_OPTS && cmd->args[i].kind != ARG_FILTER) || cmd->args[i].opts != NULL);
			CHECK(cmd->args[i].kind != ARG_SECRET || (cmd->flags & CMD_SECRET) != 0);
		}
	}
	CHECK_INT(n, >, 35);
}

static void every_command_of_the_specification_is_there(void)
{
	static const char *const names[] = { "create_user", "login", "logout", "create_group", "join_group", "leave_group",
		                             "list_groups", "list_requests", "accept_request", "upload_file", "download_file",
		                             "list_files", "stop_share", "show_downloads" };
	for (size_t i = 0; i < COUNT_OF(names); i++)
		CHECK(cmd_find(names[i]) != NULL);
	CHECK_STR(cmd_suggest("dowload_file"), "download_file");
	CHECK(cmd_suggest("xyzzyplugh") == NULL);
}

static enum shoal_err check(const char *name, unsigned n, struct value a, struct value b, struct error *e)
{
	struct cmd_run *run = cmd_run_new(cmd_find(name));
	run->argv[0] = a;
	run->argv[1] = b;
	enum shoal_err rc = cmd_check_args(run, n, e);
	cmd_run_free(run);
	return rc;
}

static void wrong_arguments_are_named(void)
{
	struct error e;
	struct value nil = { 0 };
	CHECK_INT(check("download_file", 2, value_str("g"), nil, &e), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "argument 2 'file' must be a string, got nil");
	CHECK_INT(check("download_file", 2, value_str("g"), value_int(3), &e), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "argument 2 'file' must be a string, got a number");
	CHECK_INT(check("login", 2, value_str("ann"), value_table(), &e), ==, SHOAL_EUSAGE);
	CHECK_INT(check("create_group", 2, value_str("g"), value_str("x"), &e), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "takes at most 1 argument, got 2: create_group(group)");
	CHECK_INT(check("create_group", 1, value_str(""), nil, &e), ==, SHOAL_EUSAGE);
	CHECK_INT(check("create_group", 1, value_strn("a\0b", 3), nil, &e), ==, SHOAL_EUSAGE);
	CHECK_INT(check("use_tracker", 1, value_str("two"), nil, &e), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "argument 1 'id' must be a number, got 'two'");
	struct value opts = value_table();
	value_set(&opts, "glub", value_str("*"));
	CHECK_INT(check("list_files", 2, value_str("g"), opts, &e), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "no option 'glub': did you mean 'glob'?");
	opts = value_table();
	value_set(&opts, "sort", value_str("colour"));
	CHECK_INT(check("list_files", 2, value_str("g"), opts, &e), ==, SHOAL_EUSAGE);
	CHECK(strstr(e.message, "one of name|size") != NULL);
}

static void a_secret_is_not_in_the_message(void)
{
	struct error e;
	struct value list = value_list();
	value_add(&list, value_str("hunter2"));
	CHECK_INT(check("login", 2, value_str("ann"), list, &e), ==, SHOAL_EUSAGE);
	CHECK(strstr(e.message, "hunter2") == NULL);
}

static void sizes_and_times_may_be_text(void)
{
	struct error e;
	struct cmd_run *run = cmd_run_new(cmd_find("download_file"));
	run->argv[0] = value_str("g");
	run->argv[1] = value_str("f");
	run->argv[3] = value_table();
	value_set(&run->argv[3], "limit", value_str("20M"));
	value_set(&run->argv[3], "timeout", value_str("1.5s"));
	value_set(&run->argv[3], "wait", value_str("true"));
	CHECK_INT(cmd_check_args(run, 4, &e), ==, SHOAL_OK);
	CHECK_INT(value_get_int(&run->argv[3], "limit", 0), ==, 20 << 20);
	CHECK_INT(value_get_int(&run->argv[3], "timeout", 0), ==, 1500);
	CHECK(value_get_bool(&run->argv[3], "wait", false));
	cmd_run_free(run);
}

static struct cmd_run *run_now(struct shell *sh, const char *name, struct value a, struct value b)
{
	struct error e;
	struct cmd_run *run = cmd_run_new(cmd_find(name));
	run->argv[0] = a;
	run->argv[1] = b;
	CHECK_INT(cmd_check_args(run, cmd_count_args(run->cmd) < 2 ? cmd_count_args(run->cmd) : 2, &e), ==, SHOAL_OK);
	shell_start(sh, run, NULL, NULL);
	shell_finish(sh, run);
	return run;
}

static void answer_stamp(struct fake_engine *fake, struct call *c)
{
	(void)fake;
	c->stamp = (struct stamp){ .hlc = 5, .tracker = 1, .dot = { 2, 3 } };
}

static void a_changing_command_gives_its_stamp(void)
{
	struct fake_engine fake = { .answer = answer_stamp };
	struct shell *sh = fake_shell(&fake);
	struct cmd_run *run = run_now(sh, "login", value_str("ann"), value_str("pw"));
	CHECK_INT(run->error.code, ==, SHOAL_OK);
	CHECK_INT(run->result.type, ==, VALUE_STAMP);
	CHECK_INT(run->result.stamp.hlc, ==, 5);
	CHECK_INT(fake.last_verb, ==, VERB_LOGIN);
	struct cursor c = cursor_of(fake.last_fields.data, fake.last_fields.len);
	struct req_user_password m;
	req_user_password_get(&c, &m);
	CHECK_INT(cursor_end(&c), ==, SHOAL_OK);
	CHECK(slice_eq_str(m.user, "ann") && slice_eq_str(m.password, "pw"));
	shell_abandon(sh, run);
	fake_close(&fake, sh);
}

static void answer_groups(struct fake_engine *fake, struct call *c)
{
	(void)fake;
	for (int f = 0; f < 2; f++) { /* a list in two frames */
		struct buf *b = fake_frame(c);
		buf_put_u16(b, 2);
		for (int i = 0; i < 2; i++)
			row_group_put(b, &(struct row_group){ .name = slice_str(i == 0 ? "one" : "two"), .owner = slice_str("ann"),
			                                      .members = 3, .role = slice_str("owner") });
	}
}

static void a_list_may_come_in_several_frames(void)
{
	struct fake_engine fake = { .answer = answer_groups };
	struct shell *sh = fake_shell(&fake);
	struct cmd_run *run = run_now(sh, "list_groups", (struct value){ 0 }, (struct value){ 0 });
	CHECK_INT(run->error.code, ==, SHOAL_OK);
	CHECK_INT(run->result.table.n, ==, 4);
	CHECK_STR(value_get_text(&run->result.table.items[3], "name", ""), "two");
	CHECK_INT(value_get_int(&run->result.table.items[3], "members", 0), ==, 3);
	shell_abandon(sh, run);
	fake_close(&fake, sh);
}

static void answer_garbage(struct fake_engine *fake, struct call *c)
{
	(void)fake;
	struct buf *b = fake_frame(c);
	buf_put_u16(b, 60000); /* rows that are not there */
	buf_put_u8(b, 1);
}

static void an_answer_that_is_cut_off_is_a_protocol_error(void)
{
	static const char *const names[] = { "list_groups", "list_requests", "list_members", "list_files", "trackers",
		                             "list_sessions", "list_conflicts" };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct fake_engine fake = { .answer = answer_garbage };
		struct shell *sh = fake_shell(&fake);
		struct value arg = cmd_count_args(cmd_find(names[i])) != 0 ? value_str("g") : (struct value){ 0 };
		struct cmd_run *run = run_now(sh, names[i], arg, (struct value){ 0 });
		CHECK_INT(run->error.code, ==, SHOAL_EPROTO);
		shell_abandon(sh, run);
		fake_close(&fake, sh);
	}
}

static void answer_held(struct fake_engine *fake, struct call *c)
{
	fake->hold = c->kind == CALL_JOB_WAIT;
	fake_give_job(fake, c);
}

static void waiting_ends_with_its_time(void)
{
	struct fake_engine fake = { .answer = answer_held };
	struct shell *sh = fake_shell(&fake);
	struct cmd_run *run = run_now(sh, "job_wait", value_int(3), value_number(0.01));
	CHECK_INT(run->error.code, ==, SHOAL_ETIMEOUT);
	shell_abandon(sh, run); /* the engine still has the call; the run lives until it comes back */
	fake_close(&fake, sh);
}

static void a_run_that_nobody_waits_for_is_freed_later(void)
{
	struct fake_engine fake = { .answer = answer_held };
	struct shell *sh = fake_shell(&fake);
	struct cmd_run *run = cmd_run_new(cmd_find("job_wait"));
	run->argv[0] = value_job(1);
	shell_start(sh, run, NULL, NULL);
	shell_abandon(sh, run);
	fake_release(&fake);
	shell_step(sh, 0);
	fake_close(&fake, sh);
}

static void answer_done(struct fake_engine *fake, struct call *c)
{
	fake->job.state = c->job == 2 ? JOB_STATE_FAILED : JOB_STATE_DONE;
	error_set(&fake->job.error, c->job == 2 ? SHOAL_EDENIED : SHOAL_OK, "%s", c->job == 2 ? "not a member" : "");
	fake_give_job(fake, c);
}

static struct value three_jobs(void)
{
	struct value list = value_list();
	for (int i = 1; i <= 3; i++)
		value_add(&list, value_job((uint64_t)i));
	return list;
}

static void wait_all_names_those_that_failed(void)
{
	struct fake_engine fake = { .answer = answer_done };
	struct shell *sh = fake_shell(&fake);
	struct cmd_run *run = run_now(sh, "wait_all", three_jobs(), (struct value){ 0 });
	CHECK_INT(run->error.code, ==, SHOAL_EDENIED);
	const struct value *failed = value_get(&run->details, "failed");
	CHECK(failed != NULL && failed->table.n == 1 && failed->table.items[0].job == 2);
	shell_abandon(sh, run);
	run = run_now(sh, "wait_any", three_jobs(), (struct value){ 0 });
	CHECK_INT(run->error.code, ==, SHOAL_OK);
	CHECK_INT(run->result.table.items[0].job, ==, 1);
	shell_abandon(sh, run);
	fake_close(&fake, sh);
}

static void the_wrong_order_of_upload_file_is_told(void)
{
	struct fake_engine fake = { 0 };
	struct shell *sh = fake_shell(&fake);
	struct cmd_run *run = run_now(sh, "upload_file", value_str("team"), value_str("/proc/self/status"));
	CHECK_INT(run->error.code, ==, SHOAL_EUSAGE);
	CHECK(strstr(run->error.message, "upload_file(\"/proc/self/status\", \"team\")") != NULL);
	CHECK(!run->asked && fake.ncalls == 0);
	shell_abandon(sh, run);
	fake_close(&fake, sh);
}

static void delete_group_needs_confirm(void)
{
	struct fake_engine fake = { 0 };
	struct shell *sh = fake_shell(&fake);
	struct cmd_run *run = run_now(sh, "delete_group", value_str("team"), (struct value){ 0 });
	CHECK_INT(run->error.code, ==, SHOAL_EUSAGE);
	CHECK_INT(fake.ncalls, ==, 0);
	shell_abandon(sh, run);
	struct value opts = value_table();
	value_set(&opts, "confirm", value_str("team"));
	run = run_now(sh, "delete_group", value_str("team"), opts);
	CHECK_INT(run->error.code, ==, SHOAL_OK);
	shell_abandon(sh, run);
	fake_close(&fake, sh);
}

static void without_memory_a_command_is_busy(void)
{
	for (unsigned n = 1; n < 6; n++) {
		struct fake_engine fake = { .answer = answer_groups };
		struct shell *sh = fake_shell(&fake);
		struct cmd_run *run = cmd_run_new(cmd_find("list_groups"));
		mem_fail_after(n);
		shell_start(sh, run, NULL, NULL);
		mem_fail_after(0);
		shell_finish(sh, run);
		CHECK(run->error.code == SHOAL_OK || run->error.code == SHOAL_EBUSY || run->error.code == SHOAL_EPROTO);
		shell_abandon(sh, run);
		fake_close(&fake, sh);
	}
}

static const struct CMUnitTest tests[] = {
	TEST(every_entry_is_complete),
	TEST(every_command_of_the_specification_is_there),
	TEST(wrong_arguments_are_named),
	TEST(a_secret_is_not_in_the_message),
	TEST(sizes_and_times_may_be_text),
	TEST(a_changing_command_gives_its_stamp),
	TEST(a_list_may_come_in_several_frames),
	TEST(an_answer_that_is_cut_off_is_a_protocol_error),
	TEST(waiting_ends_with_its_time),
	TEST(a_run_that_nobody_waits_for_is_freed_later),
	TEST(wait_all_names_those_that_failed),
	TEST(the_wrong_order_of_upload_file_is_told),
	TEST(delete_group_needs_confirm),
	TEST(without_memory_a_command_is_busy),
};
CHECK_MAIN(tests)
