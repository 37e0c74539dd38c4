/* tests/unit/net/test_net_env.c */
#include <pthread.h>
#include <signal.h>

#include "core/base/crypto.h"
#include "core/base/mem.h"
#include "tests/unit/net/env_lab.h"

static const struct net_env_config plain = { 0 };

static bool client_has_5(struct lab *lab)
{
	return lab->client.bytes.len >= 5;
}

static void both_sides_learn_who_is_there_and_talk(void)
{
	struct lab lab;

	lab_open(&lab, plain);
	lab.server.react = echo;
	CHECK_INT(lab_dial(&lab, ALPN_SYNC), !=, 0);
	CHECK_INT(lab.client.n[ENV_CONNECTED] + lab.client.n[ENV_CLOSED], ==, 0); /* never from within */
	lab_run(&lab, both_open);
	CHECK(id32_eq(&lab.server.seen, &lab.client.identity->id));
	CHECK(id32_eq(&lab.client.seen, &lab.server.identity->id));
	CHECK_STR(lab.server.alpn, ALPN_SYNC);
	CHECK_STR(lab.client.alpn, ALPN_SYNC);
	CHECK_STR(lab.server.addr.host, "127.0.0.1");
	CHECK_INT(lab.client.addr.port, ==, lab.bound.port);
	CHECK_INT(side_send(&lab.client, "hello", 5), ==, SHOAL_OK);
	lab_run(&lab, client_has_5);
	CHECK(memcmp(lab.client.bytes.data, "hello", 5) == 0);
	CHECK_INT(lab.client.env->queued(lab.client.env->ctx, lab.client.conn), ==, 0);
	lab_close(&lab);
}

static bool server_heard_and_closed(struct lab *lab)
{
	return lab->server.n[ENV_CLOSED] > 0;
}

/* A program that says its last word and ends within the same turn: for the others that is a clean end. */
static void an_end_right_after_close_is_a_clean_one(void)
{
	for (int hang_up = 0; hang_up < 2; hang_up++) {
		struct lab lab;
		lab_open(&lab, plain);
		lab_connect(&lab);
		CHECK_INT(side_send(&lab.client, "bye", 3), ==, SHOAL_OK);
		if (hang_up)
			side_hang_up(&lab.client);
		net_env_free(lab.client.ne);
		lab.client.ne = NULL;
		lab_run(&lab, server_heard_and_closed);
		CHECK_INT(lab.server.bytes.len, ==, 3);
		CHECK_INT(lab.server.result, ==, SHOAL_OK);
		CHECK_STR(lab.server.message, "closed by the other side");
		lab_close(&lab);
	}
}

static bool server_has_900k(struct lab *lab)
{
	return lab->server.bytes.len >= 900000 && lab->server.n[ENV_CLOSED] > 0;
}

static void close_still_sends_what_was_queued(void)
{
	struct lab lab;
	uint8_t *data = xalloc(900000);

	check_random_bytes(data, 900000);
	lab_open(&lab, plain);
	lab_connect(&lab);
	CHECK_INT(side_send(&lab.client, data, 900000), ==, SHOAL_OK);
	side_hang_up(&lab.client);
	CHECK_INT(side_send(&lab.client, "x", 1), ==, SHOAL_EIO); /* too late */
	lab_run(&lab, server_has_900k);
	CHECK(memcmp(lab.server.bytes.data, data, 900000) == 0);
	CHECK_INT(lab.server.bytes.len, ==, 900000);
	CHECK_INT(lab.server.result, ==, SHOAL_OK);
	CHECK_STR(lab.server.message, "closed by the other side");
	while (net_env_conn_count(lab.client.ne) > 0)
		lab_turn(&lab);
	CHECK_INT(lab.client.n[ENV_CLOSED], ==, 0); /* no event follows one's own close */
	side_hang_up(&lab.client);                  /* unknown ids are fine */
	free(data);
	lab_close(&lab);
}

static void a_closed_port_gives_closed_within_a_second(void)
{
	struct lab lab;
	int keep;
	uint64_t begin_ms = clock_mono_ms();

	lab_open(&lab, plain);
	lab.bound.port = closed_port(&keep);
	CHECK_INT(lab_dial(&lab, ALPN_CLIENT), !=, 0);
	lab_run(&lab, client_closed);
	CHECK_INT(clock_mono_ms() - begin_ms, <, 1000);
	CHECK_INT(lab.client.result, ==, SHOAL_EOFFLINE);
	CHECK(strstr(lab.client.message, "Connection refused") != NULL);
	CHECK_INT(net_env_conn_count(lab.client.ne), ==, 0);
	close(keep);
	lab_close(&lab);
}

static void a_host_name_can_be_dialled(void)
{
	struct lab lab;

	lab_open(&lab, plain);
	snprintf(lab.bound.host, sizeof(lab.bound.host), "localhost");
	lab_connect(&lab);
	lab_close(&lab);
}

static void a_protocol_that_is_not_spoken_gives_closed_and_nothing_at_the_server(void)
{
	struct lab lab;

	lab_open(&lab, plain);
	CHECK_INT(lab_dial(&lab, ALPN_PEER), !=, 0);
	lab_run(&lab, client_closed);
	CHECK_INT(lab.client.result, ==, SHOAL_EPROTO);
	while (net_env_conn_count(lab.server.ne) > 0)
		lab_turn(&lab);
	CHECK_INT(lab.server.n[ENV_ACCEPTED] + lab.server.n[ENV_CLOSED], ==, 0);
	lab_close(&lab);
}

static void a_dial_that_is_closed_again_is_never_heard_of(void)
{
	struct lab lab;

	lab_open(&lab, plain);
	conn_id id = lab_dial(&lab, ALPN_CLIENT);
	lab.client.env->close(lab.client.env->ctx, id);
	for (int i = 0; i < 5; i++) {
		id = lab_dial(&lab, ALPN_CLIENT);
		for (int turns = 0; turns < i; turns++)
			lab_turn(&lab);
		if (lab.client.n[ENV_CONNECTED] == 0)
			lab.client.env->close(lab.client.env->ctx, id);
		lab.client.n[ENV_CONNECTED] = 0;
	}
	lab_turn(&lab);
	CHECK_INT(lab.client.n[ENV_CLOSED], ==, 0);
	lab_close(&lab);
}

/* Everything a step may do to its own connections, from within the step; side_step() checks that it is not entered
 * again, and the table that dead ids stay dead. */
static void meddle(struct side *side, const struct env_event *ev)
{
	struct env *env = side->env;

	if (ev->type == ENV_TICK)
		return;
	uint64_t before = (uint64_t)side->n[ENV_CLOSED];
	env->send(env->ctx, ev->conn, "abc", 3);
	if (check_random(3) == 0)
		env->close(env->ctx, ev->conn);
	env->send(env->ctx, ev->conn, "def", 3);
	if (check_random(3) != 0 && side->n[ENV_CONNECTED] + side->n[ENV_CLOSED] < 60)
		CHECK_INT(env->dial(env->ctx, &side->lab->bound, ALPN_CLIENT), !=, ev->conn);
	CHECK_INT(side->n[ENV_CLOSED], ==, before);
}

static bool enough_meddling(struct lab *lab)
{
	return lab->client.n[ENV_CONNECTED] + lab->client.n[ENV_CLOSED] >= 60;
}

static void keep_dialling(struct side *side, const struct env_event *ev)
{
	meddle(side, ev);
	lab_dial(side->lab, ALPN_CLIENT);
}

static void a_step_is_never_entered_again(void)
{
	struct lab lab;

	lab_open(&lab, plain);
	lab.server.react = meddle;
	lab.client.react = keep_dialling;
	lab_dial(&lab, ALPN_CLIENT);
	lab_run(&lab, enough_meddling);
	lab.client.react = lab.server.react = NULL;
	lab_close(&lab);
}

/* -- the deadline */

static bool client_ticked(struct lab *lab)
{
	return lab->client.n[ENV_TICK] > 0;
}

static void no_further_deadline(struct side *side, const struct env_event *ev)
{
	if (ev->type == ENV_TICK && side->n[ENV_TICK] > 1)
		side->deadline = ENV_NEVER;
}

static void a_tick_comes_when_the_deadline_has_come(void)
{
	struct lab lab;

	lab_open(&lab, plain);
	struct env *env = lab.client.env;
	uint64_t due = env->mono_ms(env->ctx) + 30;
	lab.client.deadline = due;
	net_env_wake(lab.client.ne);
	CHECK_INT(lab.client.n[ENV_TICK], ==, 0);
	lab_run(&lab, client_ticked); /* the wake itself */
	CHECK_INT(env->mono_ms(env->ctx), <, due);
	lab.client.react = no_further_deadline;
	lab.client.n[ENV_TICK] = 1;
	while (lab.client.n[ENV_TICK] < 2)
		lab_turn(&lab);
	CHECK_INT(env->mono_ms(env->ctx), >=, due);
	for (int i = 0; i < 5; i++)
		lab_turn(&lab);
	CHECK_INT(lab.client.n[ENV_TICK], ==, 2); /* and only once */
	lab_close(&lab);
}

static void the_last_step_moves_the_deadline(void)
{
	struct lab lab;

	lab_open(&lab, plain);
	struct env *env = lab.client.env;
	lab.client.deadline = env->mono_ms(env->ctx) + 3600 * 1000;
	net_env_wake(lab.client.ne);
	lab_run(&lab, client_ticked);
	lab.client.deadline = env->mono_ms(env->ctx); /* CONNECTED returns one that is past already */
	lab.client.react = no_further_deadline;
	lab_connect(&lab);
	while (lab.client.n[ENV_TICK] < 2)
		lab_turn(&lab);
	lab_close(&lab);
}

/* -- the pool, the store, signals */

static bool client_worked(struct lab *lab)
{
	return lab->client.n[ENV_WORKED] > 0;
}

static struct env_work password_work(enum env_work_kind kind, const char *password, const char *record)
{
	struct env_work work = { .kind = kind, .password = xstrdup(password), .password_len = strlen(password),
		                 .record = record != NULL ? xstrdup(record) : NULL, .scrypt_ln = 10 };
	return work;
}

static void work(struct side *side, struct env_work job)
{
	side->n[ENV_WORKED] = 0;
	CHECK_INT(side->env->work(side->env->ctx, &job, 77), ==, SHOAL_OK);
	CHECK_INT(side->n[ENV_WORKED], ==, 0);
	lab_run(side->lab, client_worked);
	CHECK_INT(side->cookies[side->n_cookies - 1], ==, 77);
}

static void passwords_are_hashed_and_verified_in_the_pool(void)
{
	struct lab lab;
	struct workers *pool = workers_new(2, 64);
	char record[200];

	lab_open(&lab, plain);
	net_env_free(lab.client.ne);
	tls_identity_free(lab.client.identity);
	side_open(&lab, &lab.client, 1, (struct net_env_config){ .workers = pool });
	work(&lab.client, password_work(WORK_HASH_PASSWORD, "open sesame", NULL));
	CHECK_INT(lab.client.result, ==, SHOAL_OK);
	snprintf(record, sizeof(record), "%s", lab.client.record);
	CHECK(strncmp(record, "$scrypt$ln=10", 13) == 0);
	work(&lab.client, password_work(WORK_VERIFY_PASSWORD, "open sesame", record));
	CHECK_INT(lab.client.result, ==, SHOAL_OK);
	work(&lab.client, password_work(WORK_VERIFY_PASSWORD, "open barley", record));
	CHECK_INT(lab.client.result, ==, SHOAL_EAUTH);
	CHECK_STR(lab.client.record, "");
	workers_free(pool);
	lab_close(&lab);
}

static void a_full_pool_takes_nothing(void)
{
	struct lab lab;
	struct workers *pool = workers_new(1, 2);
	enum shoal_err rc = SHOAL_OK;

	lab_open(&lab, plain);
	net_env_free(lab.client.ne);
	tls_identity_free(lab.client.identity);
	side_open(&lab, &lab.client, 1, (struct net_env_config){ .workers = pool });
	for (int i = 0; i < 10 && rc == SHOAL_OK; i++) {
		struct env_work job = password_work(WORK_HASH_PASSWORD, "slow", NULL);
		job.scrypt_ln = 14;
		rc = lab.client.env->work(lab.client.env->ctx, &job, 1);
		if (rc != SHOAL_OK) {
			CHECK_STR(job.password, "slow"); /* still ours */
			free(job.password);
		}
	}
	CHECK_INT(rc, ==, SHOAL_EBUSY);
	workers_free(pool); /* what was taken ends; nobody receives it: lab_close() frees it */
	struct env_work job = password_work(WORK_HASH_PASSWORD, "x", NULL);
	CHECK_INT(lab.server.env->work(lab.server.env->ctx, &job, 1), ==, SHOAL_EUSAGE); /* has no pool */
	free(job.password);
	lab_close(&lab);
}

struct content_op {
	struct net_env *ne;
	bool freed;
};

static void store_content_free(struct content_op *op)
{
	op->freed = true;
}

static void *store_main(void *arg)
{
	struct content_op *op = arg;

	for (uint64_t i = 1; i <= 20; i++)
		net_env_post_committed(op->ne, i, i == 20 ? SHOAL_EDISKFULL : SHOAL_OK);
	net_env_post_content(op->ne, 21, SHOAL_OK, op);
	return NULL;
}

static bool server_has_content(struct lab *lab)
{
	return lab->server.n[ENV_CONTENT] > 0;
}

static void store_commit(void *owner, struct store_txn *txn, uint64_t cookie)
{
	struct side *side = owner;
	CHECK(txn == NULL);
	net_env_post_committed(side->ne, cookie, SHOAL_OK);
}

static bool server_committed(struct lab *lab)
{
	return lab->server.n[ENV_COMMITTED] > 20;
}

static void what_the_store_answers_comes_in_order(void)
{
	struct lab lab;
	pthread_t thread;

	lab_open(&lab, (struct net_env_config){ .commit = store_commit, .content_free = store_content_free });
	struct content_op op = { .ne = lab.server.ne };
	CHECK_INT(pthread_create(&thread, NULL, store_main, &op), ==, 0);
	lab_run(&lab, server_has_content);
	pthread_join(thread, NULL);
	CHECK_INT(lab.server.n[ENV_COMMITTED], ==, 20);
	for (int i = 0; i < 21; i++)
		CHECK_INT(lab.server.cookies[i], ==, i + 1);
	CHECK(!op.freed); /* it was received */

	lab.server.env->commit(lab.server.env->ctx, NULL, 5); /* the owner's function; its answer is not delivered within */
	CHECK_INT(lab.server.n[ENV_COMMITTED], ==, 20);
	lab_run(&lab, server_committed);

	net_env_post_content(lab.server.ne, 22, SHOAL_OK, &op); /* nobody is left to receive it */
	lab_close(&lab);
	CHECK(op.freed);
}

static bool client_signalled(struct lab *lab)
{
	return lab->client.n[ENV_SIGNAL] > 0;
}

static void a_signal_is_an_event(void)
{
	struct lab lab;

	lab_open(&lab, plain);
	CHECK(net_env_on_signal(lab.client.ne, SIGUSR2));
	raise(SIGUSR2);
	lab_run(&lab, client_signalled);
	CHECK_INT(lab.client.cookies[0], ==, SIGUSR2);
	lab_close(&lab);
}

/* -- stopping */

static void drained(void *arg)
{
	struct lab *lab = arg;
	lab->server.cookies[0] = 4711;
	loop_stop(lab->loop);
}

static bool client_got_goodbye(struct lab *lab)
{
	return lab->client.n[ENV_CLOSED] > 0 && lab->client.bytes.len == 7 && lab->server.cookies[0] == 4711;
}

static void a_drain_tells_everybody_and_ends(void)
{
	struct lab lab;

	lab_open(&lab, plain);
	lab_connect(&lab);
	int half_open = connect_to(lab.bound.port);
	lab_turn(&lab);
	CHECK_INT(side_send(&lab.server, "goodbye", 7), ==, SHOAL_OK);
	net_env_drain(lab.server.ne, drained, &lab);
	CHECK(lab.server.cookies[0] == 0); /* from the loop */
	conn_id late = lab.server.env->dial(lab.server.env->ctx, &lab.bound, ALPN_SYNC);
	lab_run(&lab, client_got_goodbye);
	CHECK_INT(net_env_conn_count(lab.server.ne), ==, 0);
	CHECK(late != 0);
	CHECK_INT(lab.server.n[ENV_CLOSED], ==, 1); /* the late dial's */
	CHECK_INT(lab.server.result, ==, SHOAL_ECANCELLED);
	close(half_open);
	lab_close(&lab);
}

/* -- two threads, each with a loop of its own */

struct far_side {
	struct queue *stop;
	struct lab lab;
};

static void stop_asked(void *arg, struct queue_node *nodes)
{
	(void)nodes;
	loop_stop(arg);
}

static void *far_main(void *arg)
{
	struct far_side *far = arg;
	loop_run(far->lab.loop);
	return NULL;
}

static bool client_has_2m(struct lab *lab)
{
	return lab->client.bytes.len == 2000000;
}

static void send_more(struct side *side, const struct env_event *ev)
{
	static const uint8_t block[20000] = { 42 };

	if (ev->type == ENV_BYTES || ev->type == ENV_CONNECTED)
		for (; side->n_cookies < 100 && side->env->queued(side->env->ctx, side->conn) < 300000;
		     side->n_cookies++)
			CHECK_INT(side_send(side, block, sizeof(block)), ==, SHOAL_OK);
}

static void two_threads_echo_two_million_bytes(void)
{
	struct far_side far = { .stop = queue_new() };
	struct lab near;
	pthread_t thread;
	struct queue_node stop;

	lab_open(&far.lab, plain);
	far.lab.server.react = echo;
	struct loop_watch *watch = loop_watch_queue(far.lab.loop, far.stop, stop_asked, far.lab.loop);
	lab_open(&near, plain);
	near.client.react = send_more;
	near.bound = far.lab.bound;
	CHECK_INT(pthread_create(&thread, NULL, far_main, &far), ==, 0);
	lab_dial(&near, ALPN_CLIENT);
	lab_run(&near, client_has_2m);
	queue_post(far.stop, &stop);
	pthread_join(thread, NULL);
	loop_watch_free(watch);
	lab_close(&near);
	lab_close(&far.lab);
	queue_free(far.stop);
}

/* Each allocation in turn fails: the connection comes about or is told to be closed, and nothing is left behind. */
static bool client_told(struct lab *lab)
{
	return lab->client.n[ENV_CLOSED] > 0 || lab->client.bytes.len >= 5 || lab->client.bytes.failed;
}

static void say_hello(struct side *side, const struct env_event *ev)
{
	if (ev->type == ENV_CONNECTED && side_send(side, "hello", 5) != SHOAL_OK) {
		side_hang_up(side);
		side->n[ENV_CLOSED]++;
	}
}

static void echo_or_close(struct side *side, const struct env_event *ev)
{
	if (ev->type == ENV_BYTES && side->env->send(side->env->ctx, ev->conn, ev->data, ev->len) != SHOAL_OK)
		side->env->close(side->env->ctx, ev->conn);
}

static void no_memory_closes_one_connection_and_no_more(void)
{
	int before = open_fds(), failures = 0;

	for (unsigned n = 1; n < 40; n++) {
		struct lab lab;
		lab_open(&lab, plain);
		lab.client.react = say_hello;
		lab.server.react = echo_or_close;
		mem_fail_after(n);
		CHECK_INT(lab_dial(&lab, ALPN_CLIENT), !=, 0);
		lab_run(&lab, client_told);
		mem_fail_after(0);
		failures += lab.client.n[ENV_CLOSED];
		lab.client.n[ENV_CLOSED] = 0;
		lab.client.bytes.len = 0;
		lab.client.bytes.failed = lab.server.bytes.failed = false;
		CHECK_INT(lab_dial(&lab, ALPN_CLIENT), !=, 0); /* the next one is as if nothing had been */
		lab_run(&lab, client_told);
		CHECK_INT(lab.client.n[ENV_CLOSED], ==, 0);
		lab_close(&lab);
	}
	CHECK_INT(failures, >, 5);
	CHECK_INT(open_fds(), ==, before);
}

static const struct CMUnitTest tests[] = {
	TEST(both_sides_learn_who_is_there_and_talk),
	TEST(close_still_sends_what_was_queued), TEST(an_end_right_after_close_is_a_clean_one),
	TEST(a_closed_port_gives_closed_within_a_second),
	TEST(a_host_name_can_be_dialled),
	TEST(a_protocol_that_is_not_spoken_gives_closed_and_nothing_at_the_server),
	TEST(a_dial_that_is_closed_again_is_never_heard_of),
	TEST(a_step_is_never_entered_again),
	TEST(a_tick_comes_when_the_deadline_has_come),
	TEST(the_last_step_moves_the_deadline),
	TEST(passwords_are_hashed_and_verified_in_the_pool),
	TEST(a_full_pool_takes_nothing),
	TEST(what_the_store_answers_comes_in_order),
	TEST(a_signal_is_an_event),
	TEST(a_drain_tells_everybody_and_ends),
	TEST(two_threads_echo_two_million_bytes),
	TEST(no_memory_closes_one_connection_and_no_more),
};
CHECK_MAIN(tests)
