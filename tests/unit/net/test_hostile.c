/* tests/unit/net/test_hostile.c: what strangers, slow readers and crowds do to a listening net_env. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "core/base/mem.h"
#include "tests/unit/net/env_lab.h"

static const struct net_env_config plain = { 0 };

static void until_server_has(struct lab *lab, size_t conns)
{
	uint64_t begin_ms = clock_mono_ms();

	while (net_env_conn_count(lab->server.ne) != conns && clock_mono_ms() - begin_ms < PATIENCE_MS)
		lab_turn(lab);
	CHECK_INT(net_env_conn_count(lab->server.ne), ==, conns);
}

/* True if the other side has closed cleanly: an alert perhaps, then the end, and no reset. */
static bool ends_cleanly(struct lab *lab, int fd)
{
	char buf[256];
	ssize_t n = -1;
	uint64_t begin_ms = clock_mono_ms();

	fcntl(fd, F_SETFL, O_NONBLOCK);
	do {
		lab_turn(lab);
		n = recv(fd, buf, sizeof(buf), 0);
	} while ((n > 0 || (n < 0 && errno == EAGAIN)) && clock_mono_ms() - begin_ms < PATIENCE_MS);
	return n == 0;
}

static void garbage_gets_a_clean_close_and_leaves_nothing(void)
{
	struct lab lab;
	uint8_t junk[4096];

	lab_open(&lab, plain);
	int before = open_fds();
	for (int i = 0; i < 100; i++) {
		size_t len = 16 + check_random(sizeof(junk) - 16);
		int fd = connect_to(lab.bound.port);
		check_random_bytes(junk, len);
		junk[0] = (uint8_t)('A' + i % 26); /* these two: not the head of a record that might still come */
		junk[1] = 'x';
		if (i % 3 == 0)
			memcpy(junk, "GET / HTTP/1.0\r\n", 16);
		CHECK_INT(send(fd, junk, len, MSG_NOSIGNAL), ==, len);
		CHECK(ends_cleanly(&lab, fd));
		close(fd);
	}
	until_server_has(&lab, 0);
	CHECK_INT(open_fds(), ==, before);
	for (int type = 0; type < EVENT_TYPES; type++)
		CHECK_INT(lab.server.n[type], ==, 0); /* the step never heard of them */
	lab_connect(&lab);
	lab_close(&lab);
}

static void a_stranger_who_leaves_in_the_handshake_leaves_nothing(void)
{
	struct lab lab;

	lab_open(&lab, plain);
	int before = open_fds();
	for (int i = 0; i < 20; i++) {
		const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
		int fd = connect_to(lab.bound.port);
		if (i % 2 == 0)
			CHECK_INT(send(fd, "\x16\x03\x01", 3, MSG_NOSIGNAL), ==, 3);
		if (i % 3 == 0)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		lab_turn(&lab);
		close(fd);
	}
	until_server_has(&lab, 0);
	CHECK_INT(open_fds(), ==, before);
	lab_close(&lab);
}

static void who_does_not_finish_the_handshake_is_closed(void)
{
	struct lab lab;

	lab_open(&lab, (struct net_env_config){ .handshake_ms = 50 });
	uint64_t begin_ms = clock_mono_ms();
	int fd = connect_to(lab.bound.port);
	CHECK_INT(send(fd, "\x16", 1, MSG_NOSIGNAL), ==, 1);
	CHECK(ends_cleanly(&lab, fd));
	CHECK_INT(clock_mono_ms() - begin_ms, >=, 50);
	CHECK_INT(lab.server.n[ENV_CLOSED], ==, 0);
	close(fd);
	lab_close(&lab);
}

/* -- crowds */

enum { CROWD = 1000, ROUNDS = 100 };

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static bool client_has_all(struct lab *lab)
{
	return lab->client.bytes.len >= (size_t)lab->client.cookies[0];
}

static void a_thousand_half_open_do_not_disturb_a_good_one(void)
{
	struct lab lab;
	struct rlimit limit;
	int fds[CROWD];
	uint64_t us[ROUNDS];

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < 2 * CROWD + 200)
		skip(); /* this machine does not let us */
	lab_open(&lab, (struct net_env_config){ .max_per_address = CROWD + 2 });
	lab.server.react = echo;
	for (int i = 0; i < CROWD; i++) {
		fds[i] = connect_to(lab.bound.port);
		if (i % 2 == 0)
			CHECK_INT(send(fds[i], "\x16\x03\x01\x02\x00\x01", 6, MSG_NOSIGNAL), ==, 6);
		if (i % 50 == 0)
			lab_turn(&lab);
	}
	until_server_has(&lab, CROWD);
	lab_connect(&lab);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t begin_us = clock_mono_us();
		lab.client.cookies[0] = (uint64_t)(i + 1) * 5;
		CHECK_INT(side_send(&lab.client, "hello", 5), ==, SHOAL_OK);
		lab_run(&lab, client_has_all);
		us[i] = clock_mono_us() - begin_us;
	}
	qsort(us, ROUNDS, sizeof(us[0]), by_value);
	CHECK_INT(us[ROUNDS - 2], <, 50000); /* p99 */
	CHECK_INT(net_env_conn_count(lab.server.ne), ==, CROWD + 1);
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
	until_server_has(&lab, 1);
	lab_close(&lab);
}

static void one_address_has_only_so_many_that_are_not_logged_in(void)
{
	struct lab lab;
	int fds[4];

	lab_open(&lab, (struct net_env_config){ .max_per_address = 4 });
	for (int i = 0; i < 3; i++)
		fds[i] = connect_to(lab.bound.port);
	until_server_has(&lab, 3);
	lab_connect(&lab); /* the fourth: open, but it has not logged in */
	fds[3] = connect_to(lab.bound.port);
	CHECK(ends_cleanly(&lab, fds[3]));
	close(fds[3]);
	CHECK_INT(net_env_conn_count(lab.server.ne), ==, 4);

	net_env_mark_established(lab.server.ne, lab.server.conn);
	net_env_mark_established(lab.server.ne, lab.server.conn); /* twice is as good as once */
	net_env_mark_established(lab.server.ne, 12345);
	fds[3] = connect_to(lab.bound.port);
	until_server_has(&lab, 5);
	int fifth = connect_to(lab.bound.port);
	CHECK(ends_cleanly(&lab, fifth));
	close(fifth);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	until_server_has(&lab, 1);
	lab_close(&lab);
}

static void there_is_a_limit_on_all(void)
{
	struct lab lab;
	int fds[3];

	lab_open(&lab, (struct net_env_config){ .max_conns = 2 });
	fds[0] = connect_to(lab.bound.port);
	fds[1] = connect_to(lab.bound.port);
	until_server_has(&lab, 2);
	fds[2] = connect_to(lab.bound.port);
	CHECK(ends_cleanly(&lab, fds[2]));
	CHECK_INT(lab.server.env->dial(lab.server.env->ctx, &lab.bound, ALPN_SYNC), !=, 0);
	lab_run(&lab, server_closed);
	CHECK_INT(lab.server.result, ==, SHOAL_EBUSY);
	close(fds[0]);
	until_server_has(&lab, 1);
	lab_connect(&lab);
	close(fds[1]);
	close(fds[2]);
	lab_close(&lab);
}

/* -- a client that is driven by hand, so that it can refuse to read */

struct hand {
	struct tls_ctx *ctx;
	struct stream *stream;
};

static bool server_accepted(struct lab *lab)
{
	return lab->server.n[ENV_ACCEPTED] > 0;
}

static void hand_open(struct hand *h, struct lab *lab)
{
	enum stream_status status = STREAM_AGAIN;
	struct error e = { 0 };
	int fd = connect_to(lab->bound.port);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	h->ctx = tls_ctx_client(lab->client.identity, ALPN_CLIENT, &e);
	h->stream = stream_new_tls(fd, h->ctx);
	for (int i = 0; i < 200 && status == STREAM_AGAIN; i++) {
		status = stream_handshake(h->stream, &e);
		lab_turn(lab);
	}
	CHECK_STR(e.message, "");
	CHECK_INT(status, ==, STREAM_OK);
	lab_run(lab, server_accepted);
}

static void hand_close(struct hand *h)
{
	stream_free(h->stream);
	tls_ctx_free(h->ctx);
}

static void who_does_not_read_gets_the_limit_and_then_busy(void)
{
	enum { BLOCK = 50000 };
	struct lab lab;
	struct hand hand;
	uint8_t *block = xalloc(BLOCK), *got = xalloc(BLOCK);
	size_t taken = 0, n;
	enum shoal_err rc = SHOAL_OK;
	struct error e;

	lab_open(&lab, plain);
	hand_open(&hand, &lab);
	for (int i = 0; i < 1000 && rc == SHOAL_OK; i++) {
		memset(block, i, BLOCK);
		rc = side_send(&lab.server, block, BLOCK);
		taken += rc == SHOAL_OK;
		if (i % 10 == 0)
			lab_turn(&lab);
	}
	CHECK_INT(rc, ==, SHOAL_EBUSY);
	size_t queued = lab.server.env->queued(lab.server.env->ctx, lab.server.conn);
	CHECK_INT(queued, >, 1024 * 1024);
	CHECK_INT(queued, <=, 1024 * 1024 + BLOCK);

	side_hang_up(&lab.server); /* what was taken still arrives, if it is read now */
	for (size_t i = 0; i < taken; i++) {
		for (size_t len = 0; len < BLOCK;) {
			enum stream_status status = stream_read(hand.stream, got + len, BLOCK - len, &n, &e);
			CHECK(status == STREAM_OK || status == STREAM_AGAIN);
			len += n;
			if (status == STREAM_AGAIN)
				lab_turn(&lab);
		}
		memset(block, (int)i, BLOCK);
		CHECK(memcmp(got, block, BLOCK) == 0);
	}
	lab_turn(&lab);
	CHECK_INT(stream_read(hand.stream, got, 1, &n, &e), ==, STREAM_END);
	hand_close(&hand);
	until_server_has(&lab, 0);
	free(block);
	free(got);
	lab_close(&lab);
}

/* The flush of a close has its end, too. */
static void who_never_reads_is_gone_after_the_flush_time(void)
{
	struct lab lab;
	struct hand hand;
	uint8_t *block = xalloc(1024 * 1024);
	size_t put;
	struct error e;

	lab_open(&lab, plain);
	hand_open(&hand, &lab);
	while (side_send(&lab.server, block, 1024 * 1024) == SHOAL_OK)
		lab_turn(&lab);
	uint64_t begin_ms = clock_mono_ms();
	side_hang_up(&lab.server);
	CHECK_INT(stream_write(hand.stream, "still there?", 12, &put, &e), ==, STREAM_OK);
	until_server_has(&lab, 0);
	CHECK_INT(clock_mono_ms() - begin_ms, >=, 1900);
	CHECK_INT(clock_mono_ms() - begin_ms, <, 4000);
	CHECK_INT(lab.server.n[ENV_BYTES], ==, 0);
	CHECK_INT(lab.server.n[ENV_CLOSED], ==, 0);
	hand_close(&hand);
	free(block);
	lab_close(&lab);
}

/* A client that asks and asks and does not take the answers is not read any more; when it takes them, it goes on. */
static void who_does_not_take_answers_is_not_read(void)
{
	enum { ASK = 30000 };
	struct lab lab;
	struct hand hand;
	uint8_t *buf = xalloc(ASK);
	size_t put, n, asked = 0, answered = 0;
	enum stream_status status = STREAM_OK;
	struct error e;

	lab_open(&lab, plain);
	lab.server.react = echo; /* CHECKs that send never says busy */
	hand_open(&hand, &lab);
	for (int quiet = 0; quiet < 20; asked += put) {
		status = stream_write(hand.stream, buf, ASK, &put, &e);
		CHECK(status == STREAM_OK || status == STREAM_AGAIN);
		quiet = status == STREAM_OK ? 0 : quiet + 1;
		lab_turn(&lab);
		CHECK_INT(asked, <, 200u * 1024 * 1024);
	}
	CHECK_INT(lab.server.env->queued(lab.server.env->ctx, lab.server.conn), <, 512 * 1024 + 65536 + 1);
	while (answered < asked) {
		status = stream_read(hand.stream, buf, ASK, &n, &e);
		CHECK(status == STREAM_OK || status == STREAM_AGAIN);
		answered += n;
		if (status == STREAM_AGAIN)
			lab_turn(&lab);
	}
	CHECK_INT(answered, ==, asked);
	hand_close(&hand);
	free(buf);
	lab_close(&lab);
}

static void a_cut_connection_is_told_as_one(void)
{
	struct lab lab;
	struct hand hand;
	size_t put;
	struct error e;

	lab_open(&lab, plain);
	hand_open(&hand, &lab);
	CHECK_INT(stream_write(hand.stream, "half a mess", 11, &put, &e), ==, STREAM_OK);
	hand_close(&hand); /* no close_notify */
	lab_run(&lab, server_closed);
	CHECK_INT(lab.server.bytes.len, ==, 11); /* what came before it was told first */
	CHECK_INT(lab.server.result, ==, SHOAL_EIO);
	CHECK_STR(lab.server.message, "the connection was cut");
	CHECK_INT(side_send(&lab.server, "x", 1), ==, SHOAL_EIO); /* the id is dead */
	lab_close(&lab);
}

static void tiny_records_arrive_all_the_same(void)
{
	enum { N = 500 };
	struct lab lab;
	struct hand hand;
	size_t put;
	struct error e;

	lab_open(&lab, plain);
	hand_open(&hand, &lab);
	for (int i = 0; i < N; i++) {
		uint8_t byte = (uint8_t)i;
		CHECK_INT(stream_write(hand.stream, &byte, 1, &put, &e), ==, STREAM_OK);
	}
	for (int i = 0; i < 200 && lab.server.bytes.len < N; i++)
		lab_turn(&lab);
	CHECK_INT(lab.server.bytes.len, ==, N);
	for (int i = 0; i < N; i++)
		CHECK_INT(lab.server.bytes.data[i], ==, i & 0xff);
	CHECK_INT(lab.server.n[ENV_BYTES], >=, N / 32); /* not all of them in one turn */
	hand_close(&hand);
	lab_close(&lab);
}

static const struct CMUnitTest tests[] = {
	TEST(garbage_gets_a_clean_close_and_leaves_nothing),
	TEST(a_stranger_who_leaves_in_the_handshake_leaves_nothing),
	TEST(who_does_not_finish_the_handshake_is_closed),
	TEST(a_thousand_half_open_do_not_disturb_a_good_one),
	TEST(one_address_has_only_so_many_that_are_not_logged_in),
	TEST(there_is_a_limit_on_all),
	TEST(who_does_not_read_gets_the_limit_and_then_busy),
	TEST(who_never_reads_is_gone_after_the_flush_time),
	TEST(who_does_not_take_answers_is_not_read),
	TEST(a_cut_connection_is_told_as_one),
	TEST(tiny_records_arrive_all_the_same),
};
CHECK_MAIN(tests)
