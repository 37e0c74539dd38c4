/* tests/unit/tracker/test_server.c - the whole tracker as real processes on loopback: this program runs itself again as
 * the tracker, and talks to it through core/net. Nothing sleeps: each wait is for an event, with a deadline. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/crypto.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/net/loop.h"
#include "core/net/net_env.h"
#include "core/wire/cmd.h"
#include "tests/unit/check.h"
#include "tracker/options.h"
#include "tracker/server.h"

enum { DEADLINE_MS = 30000, TRACKERS = 2 };

/* -- the cluster */
struct process {
	pid_t pid;
	int in, out;
};

struct cluster {
	char *folder, *info;
	uint16_t ports[TRACKERS];
	int reserved[TRACKERS];
	struct process trackers[TRACKERS];
	struct id32 identity;
};

/* Ports that the system gives. They stay bound here, without listening, so that nobody else is given them; with
 * SO_REUSEADDR on both sides the trackers can bind them all the same. */
static void reserve_ports(struct cluster *c)
{
	const int on = 1;
	for (int i = 0; i < TRACKERS; i++) {
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t len = sizeof(a);
		c->reserved[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK_INT(setsockopt(c->reserved[i], SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), ==, 0);
		CHECK(bind(c->reserved[i], (struct sockaddr *)&a, len) == 0 &&
		      getsockname(c->reserved[i], (struct sockaddr *)&a, &len) == 0);
		c->ports[i] = ntohs(a.sin_port);
	}
}

/* One line of its standard output; false at the end, or when the time is over. */
static bool read_line(int fd, char *line, size_t size)
{
	size_t n = 0;
	uint64_t end = clock_mono_ms() + DEADLINE_MS;
	while (n + 1 < size) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = clock_mono_ms();
		if (now >= end || poll(&p, 1, (int)(end - now)) <= 0 || read(fd, line + n, 1) != 1)
			return false;
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	return true;
}

static struct process spawn(char *const argv[])
{
	struct process p;
	int in[2], out[2];
	CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	p.pid = fork();
	CHECK(p.pid >= 0);
	if (p.pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	p.in = in[1];
	p.out = out[0];
	return p;
}

static struct process launch(struct cluster *c, int i)
{
	char *data = str_printf("%s/data-%d", c->folder, i + 1), *key = str_printf("%s/cluster.key", c->folder);
	char id[12];
	snprintf(id, sizeof(id), "%d", i + 1);
	char *argv[] = { "tracker", "--data", data, "--cluster-key", key, "--scrypt-ln", "10", "--login-rate", "0",
		         "--create-rate", "0", "-q", c->info, id, NULL };
	struct process p = spawn(argv);
	free(data);
	free(key);
	return p;
}

static void start_tracker(struct cluster *c, int i)
{
	char line[300], hex[80];
	unsigned id;
	c->trackers[i] = launch(c, i);
	CHECK(read_line(c->trackers[i].out, line, sizeof(line)));
	CHECK_INT(sscanf(line, "tracker %u listens on 127.0.0.1:%*u, identity sha256:%64[0-9a-f]", &id, hex), ==, 2);
	CHECK_INT(id, ==, i + 1);
	CHECK(hex_decode(hex, c->identity.b, 32));
}

/* Its exit status, or 256 + the signal. */
static int wait_for(struct process *p)
{
	int status;
	CHECK(waitpid(p->pid, &status, 0) == p->pid);
	close(p->in);
	close(p->out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static void kill_tracker(struct cluster *c, int i)
{
	CHECK_INT(kill(c->trackers[i].pid, SIGKILL), ==, 0);
	CHECK_INT(wait_for(&c->trackers[i]), ==, 256 + SIGKILL);
}

/* Two trackers in a fresh folder, running. */
static struct cluster *cluster_new(void)
{
	struct cluster *c = xalloc(sizeof(*c));
	char text[128];
	struct error e;
	c->folder = str_printf("%s/%08x", check_folder(), check_random(UINT32_MAX));
	CHECK_INT(mkdir(c->folder, 0700), ==, 0);
	c->info = str_printf("%s/info.txt", c->folder);
	reserve_ports(c);
	int n = snprintf(text, sizeof(text), "127.0.0.1:%u 1\n127.0.0.1:%u 2\n", c->ports[0], c->ports[1]);
	CHECK_INT(fs_write_file(c->info, text, (size_t)n, 0600, &e), ==, SHOAL_OK);
	for (int i = 0; i < TRACKERS; i++)
		start_tracker(c, i);
	return c;
}

static void cluster_free(struct cluster *c)
{
	for (int i = 0; i < TRACKERS; i++) {
		CHECK_INT(kill(c->trackers[i].pid, SIGTERM), ==, 0);
		CHECK_INT(wait_for(&c->trackers[i]), ==, 0);
		close(c->reserved[i]);
	}
	free(c->info);
	free(c->folder);
	free(c);
}

/* -- a client */
struct test_client {
	struct loop *loop;
	struct loop_timer *timer;
	struct tls_identity *identity;
	struct net_env *env;
	conn_id conn;
	struct id32 server;
	bool open, closed, late;
	struct buf in;     /* received frames, not taken yet */
	struct buf reply;
	uint32_t serial, waiting_for;
	bool answered;
	unsigned event_wanted, events;
};

static void on_late(void *arg)
{
	struct test_client *k = arg;
	k->late = true;
	loop_stop(k->loop);
}

/* Takes whole frames off k->in: the reply that is waited for is kept, events are counted. */
static void take_frames(struct test_client *k)
{
	while (k->in.len >= 8) {
		struct cursor c = cursor_of(k->in.data, k->in.len);
		uint32_t len = get_u32(&c);
		if (k->in.len < 4 + (size_t)len)
			return;
		struct slice tag = get_bytes(&c, 4);
		struct cursor body = cursor_of(c.p, len - 4);
		if (memcmp(tag.data, "EVNT", 4) == 0) {
			k->events += get_u16(&body) == k->event_wanted;
		} else if (get_u32(&body) == k->waiting_for) {
			buf_reset(&k->reply);
			buf_put(&k->reply, c.p, len - 4);
			k->answered = true;
		}
		buf_consume(&k->in, 4 + (size_t)len);
	}
}

static uint64_t client_step(void *owner, const struct env_event *ev)
{
	struct test_client *k = owner;
	if (ev->type == ENV_CONNECTED) {
		k->open = true;
		k->server = ev->identity;
	} else if (ev->type == ENV_CLOSED) {
		k->closed = true;
	} else if (ev->type == ENV_BYTES) {
		buf_put(&k->in, ev->data, ev->len);
		take_frames(k);
	}
	if (ev->type != ENV_TICK)
		loop_stop(k->loop);
	return ENV_NEVER;
}

static void wait_until(struct test_client *k, const bool *flag)
{
	k->late = false;
	loop_timer_set_ms(k->timer, DEADLINE_MS);
	while (!*flag && !k->closed && !k->late)
		loop_run(k->loop);
	loop_timer_cancel(k->timer);
	CHECK(!k->late);
}

static void client_open(struct test_client *k, uint8_t device, uint16_t port)
{
	uint8_t seed[SEED_SIZE] = { device, 77 };
	struct address a = { .host = "127.0.0.1", .port = port };
	struct error e;
	*k = (struct test_client){ 0 };
	k->loop = loop_new(&e);
	k->timer = loop_timer_new(k->loop, on_late, k);
	k->identity = tls_identity_new(seed, &e);
	struct net_env_config config = { .loop = k->loop, .identity = k->identity, .step = client_step, .owner = k };
	k->env = net_env_new(&config, &e);
	CHECK(k->env != NULL);
	k->conn = net_env_env(k->env)->dial(net_env_env(k->env)->ctx, &a, ALPN_CLIENT);
	wait_until(k, &k->open);
	CHECK(k->open);
}

static void client_close(struct test_client *k)
{
	net_env_free(k->env);
	loop_timer_free(k->timer);
	loop_free(k->loop);
	tls_identity_free(k->identity);
	buf_free(&k->in);
	buf_free(&k->reply);
}

/* Sends a command; its fields are freed. */
static void client_post(struct test_client *k, unsigned verb, struct buf *fields)
{
	struct cmd_head head = { .serial = ++k->serial, .verb = (uint16_t)verb };
	struct buf frame = { 0 };
	if (verb_changes(verb))
		random_bytes(head.request.b, sizeof(head.request.b));
	size_t start = frame_begin(&frame, TAG_CMD);
	cmd_head_put(&frame, &head);
	buf_put(&frame, fields->data, fields->len);
	CHECK_INT(frame_end(&frame, start), ==, SHOAL_OK);
	struct env *env = net_env_env(k->env);
	CHECK_INT(env->send(env->ctx, k->conn, frame.data, frame.len), ==, SHOAL_OK);
	buf_free(&frame);
	buf_free(fields);
}

/* The reply's code, its fields in *fields (may be NULL). SHOAL_EOFFLINE: the connection was closed instead. */
static enum shoal_err client_call(struct test_client *k, unsigned verb, struct buf *request, struct cursor *fields,
                                  struct stamp *stamp)
{
	struct rply_head head;
	struct cursor c;
	k->answered = false;
	k->waiting_for = k->serial + 1;
	client_post(k, verb, request);
	wait_until(k, &k->answered);
	if (!k->answered)
		return SHOAL_EOFFLINE;
	c = cursor_of(k->reply.data, k->reply.len);
	rply_head_get(&c, &head);
	if (fields != NULL)
		*fields = c;
	if (stamp != NULL)
		*stamp = head.stamp;
	return head.code;
}

#define CALL(k, VERB, type, fields, stamp, ...)                                   \
	({                                                                        \
		struct type q_ = { __VA_ARGS__ };                                 \
		struct buf request_ = { 0 };                                      \
		type##_put(&request_, &q_);                                       \
		client_call(k, VERB_##VERB, &request_, fields, stamp);            \
	})
#define S(text) slice_str(text)

static void hello(struct test_client *k)
{
	CHECK_INT(CALL(k, HELLO, req_hello, NULL, NULL, .version = PROTOCOL_VERSION, .listen = S("0.0.0.0:5000")), ==,
	          SHOAL_OK);
}

/* Logs in; the account is made if it is not there. A tracker that is still joining says busy for a while. */
static void login(struct test_client *k, const char *user)
{
	enum shoal_err rc;
	uint64_t end = clock_mono_ms() + DEADLINE_MS;
	hello(k);
	do
		rc = CALL(k, CREATE_USER, req_user_password, NULL, NULL, .user = S(user), .password = S("secret"));
	while (rc == SHOAL_EBUSY && clock_mono_ms() < end);
	CHECK(rc == SHOAL_OK || rc == SHOAL_EEXISTS);
	CHECK_INT(CALL(k, LOGIN, req_user_password, NULL, NULL, .user = S(user), .password = S("secret")), ==,
	          SHOAL_OK);
}

static unsigned count_groups(struct test_client *k)
{
	struct cursor c;
	CHECK_INT(CALL(k, LIST_GROUPS, req_filter, &c, NULL, .filter = S("")), ==, SHOAL_OK);
	return get_u16(&c);
}

static void wait_synced(struct test_client *k, const struct stamp *stamp)
{
	struct buf stamps = { 0 };
	stamp_put(&stamps, stamp);
	CHECK_INT(CALL(k, WAIT_SYNCED, req_wait_synced, NULL, NULL, .stamps = slice_of(stamps.data, stamps.len),
	               .timeout_ms = 20000), ==, SHOAL_OK);
	buf_free(&stamps);
}

/* -- the tests */
static void what_one_tracker_knows_the_other_knows(void)
{
	struct cluster *c = cluster_new();
	struct test_client ann, bob;
	struct stamp stamp;
	client_open(&ann, 1, c->ports[0]);
	CHECK(id32_eq(&ann.server, &c->identity));
	login(&ann, "ann");
	CHECK_INT(CALL(&ann, CREATE_GROUP, req_group, NULL, &stamp, .group = S("team")), ==, SHOAL_OK);
	wait_synced(&ann, &stamp);
	client_open(&bob, 2, c->ports[1]);
	CHECK(id32_eq(&bob.server, &c->identity));
	login(&bob, "bob");
	CHECK_INT(count_groups(&bob), ==, 1);
	CHECK_INT(CALL(&bob, JOIN_GROUP, req_group, NULL, &stamp, .group = S("team")), ==, SHOAL_OK);
	wait_synced(&bob, &stamp);
	CHECK_INT(CALL(&ann, ACCEPT_REQUEST, req_group_user, NULL, &stamp, .group = S("team"), .user = S("bob")), ==,
	          SHOAL_OK);
	wait_synced(&ann, &stamp);
	struct cursor rows;
	CHECK_INT(CALL(&bob, LIST_MEMBERS, req_group, &rows, NULL, .group = S("team")), ==, SHOAL_OK);
	CHECK_INT(get_u16(&rows), ==, 2);
	client_close(&ann);
	client_close(&bob);
	cluster_free(c);
}

static void what_was_acknowledged_survives_kill_9(void)
{
	struct cluster *c = cluster_new();
	unsigned acknowledged = 0;
	for (int round = 0; round < 3; round++) {
		struct test_client ann;
		char name[32];
		client_open(&ann, 1, c->ports[0]);
		login(&ann, "ann");
		CHECK(count_groups(&ann) >= acknowledged);
		unsigned before = count_groups(&ann), made = 0, enough = 20 + check_random(40);
		for (; made < enough; made++) {
			snprintf(name, sizeof(name), "group %u", before + made);
			CHECK_INT(CALL(&ann, CREATE_GROUP, req_group, NULL, NULL, .group = S(name)), ==, SHOAL_OK);
		}
		for (int i = 0; i < 30; i++) { /* some more are under way when it dies */
			struct buf fields = { 0 };
			snprintf(name, sizeof(name), "late %d.%d", round, i);
			buf_put_str(&fields, name, strlen(name));
			client_post(&ann, VERB_CREATE_GROUP, &fields);
		}
		acknowledged = before + made;
		kill_tracker(c, 0);
		client_close(&ann);
		start_tracker(c, 0);
	}
	struct test_client ann;
	client_open(&ann, 1, c->ports[0]);
	login(&ann, "ann");
	CHECK(count_groups(&ann) >= acknowledged);
	client_close(&ann);
	cluster_free(c);
}

static void it_stops_when_told_and_says_so(void)
{
	struct cluster *c = cluster_new();
	struct test_client ann;
	char line[200];
	client_open(&ann, 1, c->ports[0]);
	login(&ann, "ann");
	ann.event_wanted = EVENT_LEAVING;
	CHECK(fs_write_all(c->trackers[0].in, "users\n", 6));
	CHECK(read_line(c->trackers[0].out, line, sizeof(line)));
	CHECK_STR(line, "ann  online\n");
	uint64_t began = clock_mono_ms();
	CHECK(fs_write_all(c->trackers[0].in, "quit\n", 5));
	wait_until(&ann, &ann.closed);
	CHECK_INT(ann.events, ==, 1);
	CHECK_INT(wait_for(&c->trackers[0]), ==, 0);
	CHECK(clock_mono_ms() - began < 4000); /* 2 s, and a slow machine */
	client_close(&ann);
	start_tracker(c, 0);

	close(c->trackers[0].in); /* the end of input is no reason to stop */
	c->trackers[0].in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	client_open(&ann, 1, c->ports[0]);
	login(&ann, "ann");
	CHECK_INT(CALL(&ann, WHOAMI, req_none, NULL, NULL), ==, SHOAL_OK);
	CHECK_INT(kill(c->trackers[0].pid, SIGHUP), ==, 0);
	CHECK_INT(CALL(&ann, WHOAMI, req_none, NULL, NULL), ==, SHOAL_OK);
	client_close(&ann);
	cluster_free(c);
}

/* Runs the program with these words behind the options that keep it in the folder; its exit status. */
static int run(struct cluster *c, const char *data, char *a, char *b)
{
	char *folder = str_printf("%s/%s", c->folder, data), *key = str_printf("%s/cluster.key", c->folder);
	char *argv[] = { "tracker", "--data", folder, "--cluster-key", key, "-q", a, b, NULL };
	struct process p = spawn(argv);
	free(folder);
	free(key);
	return wait_for(&p);
}

static void bad_starts_have_their_exit_codes(void)
{
	struct cluster *c = cluster_new();
	struct error e;
	char *broken = str_printf("%s/broken.txt", c->folder), *file = str_printf("%s/file", c->folder);
	CHECK_INT(run(c, "data-x", c->info, "9"), ==, 2);
	CHECK_INT(run(c, "data-x", "/nonexistent/info", "1"), ==, 2);
	CHECK_INT(run(c, "data-x", "--bogus", "1"), ==, 2);
	CHECK_INT(fs_write_file(broken, "127.0.0.1 1\n", 12, 0600, &e), ==, SHOAL_OK);
	CHECK_INT(run(c, "data-x", broken, "1"), ==, 2);
	CHECK_INT(run(c, "data-1", c->info, "1"), ==, 13); /* in use */
	CHECK_INT(fs_write_file(file, "x", 1, 0600, &e), ==, SHOAL_OK);
	CHECK_INT(run(c, "file", c->info, "1"), ==, 13);
	CHECK_INT(run(c, "data-x", c->info, "1"), ==, 7); /* the port is taken */
	free(broken);
	free(file);
	cluster_free(c);
}

static int tracker_main(int argc, char **argv)
{
	struct options o;
	struct error e;
	signal(SIGPIPE, SIG_IGN);
	int code = options_parse(argc, argv, &o, &e) == SHOAL_OK ? server_main(&o) : error_exit_code(SHOAL_EUSAGE);
	options_free(&o);
	return code;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(what_one_tracker_knows_the_other_knows), TEST(what_was_acknowledged_survives_kill_9),
		TEST(it_stops_when_told_and_says_so), TEST(bad_starts_have_their_exit_codes),
	};
	if (argc > 1 && strcmp(argv[0], "tracker") == 0)
		return tracker_main(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
