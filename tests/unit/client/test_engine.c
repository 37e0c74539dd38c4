/* tests/unit/client/test_engine.c - the engine with its real link and shares, a tracker that is a stub, and transfers
 * that are the fake below: the linker takes these instead of the library's. */
#include <unistd.h>

#include "client/transfer.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "tests/unit/client/tracker_stub.h"

/* -- fake transfers: an upload ends when its share is kept if its path exists, else it waits for CALL_JOB_CANCEL */

struct transfers {
	struct transfers_config config;
	struct job_info jobs[8]; /* job n is jobs[n - 1] */
	size_t n_jobs;
};

/* What the fake was told; touched by engine threads. */
static atomic_uint served, unserved, unserved_all, logins;

struct transfers *transfers_new(const struct transfers_config *config, struct error *e)
{
	struct transfers *t = xalloc(sizeof(*t));
	(void)e;
	t->config = *config;
	return t;
}

void transfers_free(struct transfers *t)
{
	free(t);
}

struct address transfers_listen_address(const struct transfers *t)
{
	struct address a = t->config.client->listen;
	a.port = 4242;
	return a;
}

uint64_t transfers_upload(struct transfers *t, const struct call *c)
{
	struct job_info *job = &t->jobs[t->n_jobs++];
	struct id32 content = { 0 };

	*job = (struct job_info){ .id = t->n_jobs, .kind = JOB_UPLOAD };
	t->config.job_event(t->config.owner, "job.queued", job);
	for (unsigned i = 1; i <= 1000; i++) {
		job->bytes = i;
		t->config.job_event(t->config.owner, "job.progress", job);
	}
	if (access(c->path, R_OK) != 0)
		return job->id;
	struct share_info share = { .gid.b = { 1 }, .fid.b = { 5 }, .group = "band", .file = "song", .size = 5 };
	share.path = c->path;
	t->config.shared(t->config.owner, &share, &content, job->id); /* transfers_kept() ends it */
	return job->id;
}

void transfers_kept(struct transfers *t, uint64_t job)
{
	t->jobs[job - 1].state = JOB_STATE_DONE;
	t->config.job_event(t->config.owner, "job.done", &t->jobs[job - 1]);
}

uint64_t transfers_download(struct transfers *t, const struct call *c)
{
	return transfers_upload(t, c);
}

void transfers_answer(struct transfers *t, struct call *c)
{
	struct job_info *job = &t->jobs[c->job - 1];
	if (c->kind != CALL_JOB_CANCEL)
		return;
	job->state = JOB_STATE_CANCELLED;
	t->config.job_event(t->config.owner, "job.cancelled", job);
}

bool transfers_job_info(struct transfers *t, uint64_t job, struct job_info *out)
{
	if (job == 0 || job > t->n_jobs)
		return false;
	*out = t->jobs[job - 1];
	return true;
}

unsigned transfers_running(const struct transfers *t)
{
	(void)t;
	return 0;
}

void transfers_serve(struct transfers *t, const struct share_info *share, const struct id32 *content)
{
	(void)t, (void)share, (void)content;
	atomic_fetch_add(&served, 1);
}

void transfers_unserve(struct transfers *t, const struct id16 *gid, const struct id16 *fid)
{
	(void)t, (void)gid, (void)fid;
	atomic_fetch_add(&unserved, 1);
}

void transfers_unserve_all(struct transfers *t)
{
	(void)t;
	atomic_fetch_add(&unserved_all, 1);
}

void transfers_on_login(struct transfers *t)
{
	(void)t;
	atomic_fetch_add(&logins, 1);
}

void transfers_on_revoke(struct transfers *t, const struct id16 *gid, const struct id16 *uid)
{
	(void)t, (void)gid, (void)uid;
}

void transfers_on_joined(struct transfers *t, const struct id16 *gid, struct slice user)
{
	(void)t, (void)gid, (void)user;
}

void transfers_on_dial(struct transfers *t, const struct id16 *fid, const struct address *addr, const struct id32 *identity)
{
	(void)t, (void)fid, (void)addr, (void)identity;
}

/* -- a client: what the prompt thread would do */

struct client {
	struct client_config config;
	struct tracker_line line;
	struct engine *engine;
	char *root;
	struct client_event *log[256]; /* every event but answers */
	size_t n_log;
};

static struct client *client_start(const struct tracker_stub *t, const char *root)
{
	struct client *c = calloc(1, sizeof(*c));
	struct error e = { 0 };

	c->root = str_printf("%s/%s", check_folder(), root);
	c->line = (struct tracker_line){ .id = 1 };
	if (t != NULL)
		c->line.addr = t->address;
	else
		c->line.addr = (struct address){ "127.0.0.1", 1 }; /* nobody listens there */
	c->config = (struct client_config){ .listen = { "127.0.0.1", 0 }, .trackers = { .trackers = &c->line, .n = 1 },
		                            .root = c->root, .auto_login = AUTO_LOGIN_YES };
	c->engine = engine_start(&c->config, &e);
	if (c->engine == NULL)
		fprintf(stderr, "%s\n", e.message);
	CHECK(c->engine != NULL);
	return c;
}

static void client_end(struct client *c)
{
	engine_free(c->engine);
	for (size_t i = 0; i < c->n_log; i++)
		client_event_free(c->log[i]);
	free(c->root);
	free(c);
}

static struct queue_node *wait_some(struct client *c)
{
	CHECK(queue_wait(engine_events(c->engine), 15000));
	return queue_take_all(engine_events(c->engine));
}

/* Takes what has come; returns `wanted` if its answer was among it. */
static struct call *take_events(struct client *c, const struct call *wanted)
{
	struct call *answered = NULL;
	struct queue_node *next;

	for (struct queue_node *node = wait_some(c); node != NULL; node = next) {
		struct client_event *ev = container_of(node, struct client_event, node);
		next = node->next;
		if (ev->type == EVENT_ANSWER) {
			if (ev->call == wanted)
				answered = ev->call;
			else
				call_free(ev->call);
			client_event_free(ev);
		} else {
			CHECK(c->n_log < COUNT_OF(c->log));
			c->log[c->n_log++] = ev;
		}
	}
	return answered;
}

static struct call *ask(struct client *c, struct call *call)
{
	engine_post(c->engine, call);
	for (;;) {
		struct call *answered = take_events(c, call);
		if (answered != NULL)
			return answered;
	}
}

static enum shoal_err ask_code(struct client *c, struct call *call)
{
	struct call *answered = ask(c, call);
	enum shoal_err code = answered->error.code;
	call_free(answered);
	return code;
}

static size_t find_event(const struct client *c, enum client_event_type type, const char *word)
{
	for (size_t i = 0; i < c->n_log; i++)
		if (c->log[i]->type == type && strcmp(c->log[i]->word, word) == 0)
			return i;
	return SIZE_MAX;
}

static const struct client_event *await_event(struct client *c, enum client_event_type type, const char *word)
{
	while (find_event(c, type, word) == SIZE_MAX)
		call_free(take_events(c, NULL));
	return c->log[find_event(c, type, word)];
}

static struct call *login_call(const char *user, const char *password)
{
	struct call *call = call_new(CALL_VERB);
	call->verb = VERB_LOGIN;
	req_user_password_put(&call->fields, &(struct req_user_password){ slice_str(user), slice_str(password) });
	return call;
}

static struct call *job_call(enum call_kind kind, uint64_t job)
{
	struct call *call = call_new(kind);
	call->job = job;
	return call;
}

static uint64_t upload(struct client *c, const char *path)
{
	struct call *call = call_new(CALL_UPLOAD);
	call->path = xstrdup(path);
	call = ask(c, call);
	uint64_t job = call->job;
	call_free(call);
	return job;
}

static char *song(void)
{
	char *path = str_printf("%s/song", check_folder());
	CHECK_INT(fs_write_file(path, "12345", 5, 0600, NULL), ==, SHOAL_OK);
	return path;
}

/* -- the tests */

static void a_login_and_a_command(void)
{
	struct tracker_stub *t = stub_start();
	struct client *c = client_start(t, "login");
	struct call *call = ask(c, login_call("ann", "secret"));

	CHECK_INT(call->error.code, ==, SHOAL_OK);
	CHECK_INT(call->nframes, ==, 1);
	CHECK(!stamp_is_zero(&call->stamp));
	call_free(call);
	size_t note = find_event(c, EVENT_TRACKER, "note"), up = find_event(c, EVENT_TRACKER_UP, ""),
	       in = find_event(c, EVENT_LOGGED_IN, "");
	CHECK(note < up && up < in && in != SIZE_MAX);
	CHECK(strstr(c->log[note]->text, "sha256:") != NULL);
	CHECK_STR(c->log[in]->user, "ann");
	CHECK_INT(engine_listen_address(c->engine).port, ==, 4242);

	call = call_new(CALL_VERB);
	call->verb = VERB_CREATE_GROUP;
	req_group_put(&call->fields, &(struct req_group){ slice_str("band") });
	CHECK_INT(ask_code(c, call), ==, SHOAL_OK);
	CHECK_STR(await_event(c, EVENT_TRACKER, "member_joined")->user, "bob");
	call = ask(c, call_new(CALL_STATUS));
	CHECK(call->status.up && call->status.logged_in);
	CHECK_STR(call->status.user, "ann");
	call_free(call);
	CHECK_INT(ask_code(c, job_call(CALL_USE_TRACKER, 9)), ==, SHOAL_ENOTFOUND);
	CHECK_INT(ask_code(c, login_call("a\nb", "secret")), ==, SHOAL_EUSAGE);
	CHECK_INT(ask_code(c, login_call("bob", "wrong")), ==, SHOAL_EAUTH);
	call = call_new(CALL_VERB);
	call->verb = VERB_LOGOUT;
	CHECK_INT(ask_code(c, call), ==, SHOAL_OK);
	CHECK(find_event(c, EVENT_LOGGED_OUT, "") != SIZE_MAX);
	client_end(c);
	stub_stop(t);
}

static void a_user_is_logged_in_once_a_home(void)
{
	struct tracker_stub *t = stub_start();
	struct client *a = client_start(t, "twice"), *b = client_start(t, "twice");
	char expected[64];

	CHECK_INT(ask_code(a, login_call("ann", "secret")), ==, SHOAL_OK);
	unsigned before = atomic_load(&t->seen[VERB_LOGIN]);
	struct call *call = ask(b, login_call("ann", "secret"));
	snprintf(expected, sizeof(expected), "ann is logged in by pid %ld", (long)getpid());
	CHECK_INT(call->error.code, ==, SHOAL_EBUSY);
	CHECK_STR(call->error.message, expected);
	CHECK_INT(atomic_load(&t->seen[VERB_LOGIN]), ==, before); /* the tracker heard nothing */
	call_free(call);
	CHECK_INT(ask_code(b, login_call("bob", "secret")), ==, SHOAL_OK);
	CHECK_INT(ask_code(a, login_call("ann", "secret")), ==, SHOAL_OK); /* once more is fine */
	CHECK_INT(ask_code(a, login_call("cho", "secret")), ==, SHOAL_OK); /* which lets ann go */
	CHECK_INT(ask_code(b, login_call("ann", "secret")), ==, SHOAL_OK);
	client_end(a);
	client_end(b);
	stub_stop(t);
}

static uint64_t last_progress(const struct client *c)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < c->n_log; i++)
		if (strcmp(c->log[i]->word, "job.progress") == 0)
			bytes = c->log[i]->job->bytes;
	return bytes;
}

static void progress_is_merged_and_the_rest_is_in_order(void)
{
	struct tracker_stub *t = stub_start();
	struct client *c = client_start(t, "jobs");
	uint64_t job = upload(c, "/nowhere"), told = 0;
	struct call *wait = job_call(CALL_JOB_WAIT, job), *brief = job_call(CALL_JOB_WAIT, job);

	CHECK_INT(find_event(c, EVENT_JOB, "job.queued"), !=, SIZE_MAX);
	engine_post(c->engine, wait);
	brief->timeout_ms = 20;
	CHECK_INT(ask_code(c, brief), ==, SHOAL_ETIMEOUT);
	while (last_progress(c) != 1000) /* the first one may be early, the newest comes in the end */
		call_free(take_events(c, NULL));
	for (size_t i = 0; i < c->n_log; i++)
		told += strcmp(c->log[i]->word, "job.progress") == 0;
	CHECK_INT(told, <=, 3);
	engine_post(c->engine, job_call(CALL_JOB_CANCEL, job));
	struct call *answered;
	while ((answered = take_events(c, wait)) == NULL)
		;
	CHECK_INT(answered->error.code, ==, SHOAL_OK);
	CHECK_INT(answered->n, ==, 1);
	CHECK_INT(answered->jobs[0].state, ==, JOB_STATE_CANCELLED);
	call_free(answered);
	CHECK_INT(find_event(c, EVENT_JOB, "job.queued"), <, find_event(c, EVENT_JOB, "job.progress"));
	CHECK_INT(find_event(c, EVENT_JOB, "job.progress"), <, find_event(c, EVENT_JOB, "job.cancelled"));
	CHECK_INT(ask_code(c, job_call(CALL_JOB_WAIT, job)), ==, SHOAL_OK); /* it has ended */
	CHECK_INT(ask_code(c, job_call(CALL_JOB_WAIT, 99)), ==, SHOAL_ENOTFOUND);
	client_end(c);
	stub_stop(t);
}

static void shares_outlive_the_program(void)
{
	struct tracker_stub *t = stub_start();
	struct client *c = client_start(t, "shares");
	char *path = song();

	CHECK_INT(ask_code(c, login_call("ann", "secret")), ==, SHOAL_OK);
	upload(c, path);
	struct call *have = ask(c, call_new(CALL_HAVE));
	CHECK_INT(have->n, ==, 1);
	CHECK_STR(have->shares[0].path, path);
	CHECK_STR(have->shares[0].file, "song");
	call_free(have);
	CHECK_INT(ask_code(c, call_new(CALL_STOP)), ==, SHOAL_OK);
	CHECK_INT(atomic_load(&t->seen[VERB_LOGOUT]), ==, 1);
	client_end(c);

	t->rows[t->n_rows++] = (struct stub_row){ .gid.b = { 1 }, .fid.b = { 5 }, .ours = true };
	t->rows[t->n_rows++] = (struct stub_row){ .gid.b = { 1 }, .fid.b = { 6 }, .ours = true };
	unsigned before = atomic_load(&served);
	c = client_start(t, "shares"); /* listed: served again; and one that nobody here knows */
	CHECK_INT(ask_code(c, login_call("ann", "secret")), ==, SHOAL_OK);
	await_event(c, EVENT_SHARE, "file.unknown");
	while (atomic_load(&served) == before) /* each round asks the engine: no spinning */
		CHECK_INT(ask_code(c, call_new(CALL_STATUS)), ==, SHOAL_OK);
	CHECK_INT(atomic_load(&t->seen[VERB_UPDATE_FILE_INFO]), ==, 0);
	client_end(c);

	t->n_rows = 1;
	t->rows[0].ours = false; /* listed for another device: this one shares it again */
	before = atomic_load(&served);
	c = client_start(t, "shares");
	CHECK_INT(ask_code(c, login_call("ann", "secret")), ==, SHOAL_OK);
	while (atomic_load(&served) == before || atomic_load(&t->seen[VERB_UPDATE_FILE_INFO]) == 0)
		CHECK_INT(ask_code(c, call_new(CALL_STATUS)), ==, SHOAL_OK);
	client_end(c);

	t->n_rows = 0; /* not listed: dropped, and told */
	before = atomic_load(&served);
	c = client_start(t, "shares");
	CHECK_INT(ask_code(c, login_call("ann", "secret")), ==, SHOAL_OK);
	CHECK_STR(await_event(c, EVENT_SHARE, "file.removed")->file, "song");
	have = ask(c, call_new(CALL_HAVE));
	CHECK_INT(have->n, ==, 0);
	CHECK_INT(atomic_load(&served), ==, before);
	call_free(have);
	client_end(c);
	free(path);
	stub_stop(t);
}

static void stop_share_forgets_the_file(void)
{
	struct tracker_stub *t = stub_start();
	struct client *c = client_start(t, "stop_share");
	char *path = song();
	struct call *stop = call_new(CALL_STOP_SHARE);

	CHECK_INT(ask_code(c, login_call("ann", "secret")), ==, SHOAL_OK);
	upload(c, path);
	unsigned before = atomic_load(&unserved);
	snprintf(stop->group, sizeof(stop->group), "band");
	snprintf(stop->file, sizeof(stop->file), "song");
	stop = ask(c, stop);
	CHECK_INT(stop->error.code, ==, SHOAL_OK);
	CHECK_INT(stop->nframes, ==, 1);
	call_free(stop);
	CHECK_INT(atomic_load(&unserved), ==, before + 1);
	struct call *have = ask(c, call_new(CALL_HAVE));
	CHECK_INT(have->n, ==, 0);
	call_free(have);
	CHECK(find_event(c, EVENT_SHARE, "file.removed") == SIZE_MAX); /* it was our own doing */
	client_end(c);
	free(path);
	stub_stop(t);
}

static void without_a_tracker(void)
{
	struct client *c = client_start(NULL, "offline");
	struct call *call = login_call("ann", "secret");
	uint64_t before = clock_mono_ms();

	call->timeout_ms = 300;
	call = ask(c, call);
	CHECK_INT(call->error.code, ==, SHOAL_EOFFLINE);
	CHECK(strstr(call->error.message, "127.0.0.1:1") != NULL);
	call_free(call);
	CHECK_INT(ask_code(c, call_new(CALL_STOP)), ==, SHOAL_OK);
	CHECK_INT(ask_code(c, call_new(CALL_HAVE)), ==, SHOAL_ECANCELLED); /* it has stopped */
	CHECK_INT(clock_mono_ms() - before, <, 2000);
	client_end(c);
}

static void calls_that_nobody_waits_for_are_freed(void)
{
	struct tracker_stub *t = stub_start();
	struct client *c = client_start(t, "abandon");

	for (unsigned i = 0; i < 50; i++) {
		engine_post(c->engine, login_call("ann", "secret"));
		engine_post(c->engine, job_call(CALL_JOB_WAIT, 1));
		engine_post(c->engine, call_new(CALL_HAVE));
	}
	client_end(c); /* the sanitizer counts */
	stub_stop(t);
}

static void what_cannot_start_says_why(void)
{
	struct client_config config = { .root = "/proc/nothing" };
	struct error e = { 0 };

	CHECK(engine_start(&config, &e) == NULL);
	CHECK(strstr(e.message, "/proc/nothing") != NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_login_and_a_command), TEST(a_user_is_logged_in_once_a_home),
		TEST(progress_is_merged_and_the_rest_is_in_order), TEST(shares_outlive_the_program),
		TEST(stop_share_forgets_the_file), TEST(without_a_tracker), TEST(calls_that_nobody_waits_for_are_freed),
		TEST(what_cannot_start_says_why),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
