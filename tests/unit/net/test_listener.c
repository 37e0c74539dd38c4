/* tests/unit/net/test_listener.c: listener, dial and socket addresses. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include <event2/dns.h>

#include "core/base/mem.h"
#include "core/net/address_limit.h"
#include "core/net/conn_table.h"
#include "core/net/dial.h"
#include "core/net/listener.h"
#include "core/net/sockaddr.h"
#include "tests/unit/net/net_check.h"

enum { FDS_MAX = 256 };

struct lab {
	struct loop *loop;
	struct listener *listener;
	int fds[FDS_MAX]; /* accepted */
	int n, wanted;
	struct address peer;
	int dialled; /* -1: failed with e */
	struct error e;
	int n_dialled;
	bool done;
};

static void stop_if(struct lab *lab, bool reason)
{
	if (!reason)
		return;
	lab->done = true;
	loop_stop(lab->loop);
}

static void accepted(void *arg, int fd, const struct sockaddr *peer)
{
	struct lab *lab = arg;

	CHECK(lab->n < FDS_MAX);
	sockaddr_to_address(peer, &lab->peer);
	lab->fds[lab->n++] = fd;
	stop_if(lab, lab->n == lab->wanted);
}

static void dialled(void *arg, int fd, const struct error *e)
{
	struct lab *lab = arg;

	lab->n_dialled++;
	lab->dialled = fd;
	if (fd < 0)
		lab->e = *e;
	stop_if(lab, true);
}

static void lab_open(struct lab *lab, const char *host)
{
	struct address addr = { .port = 0 };
	struct error e = { 0 };

	*lab = (struct lab){ .loop = loop_new(NULL), .dialled = -1 };
	if (host == NULL)
		return;
	snprintf(addr.host, sizeof(addr.host), "%s", host);
	lab->listener = listener_new(lab->loop, &addr, accepted, lab, NULL, &e);
	CHECK_STR(e.message, "");
	CHECK(lab->listener != NULL);
}

static void lab_close(struct lab *lab)
{
	for (int i = 0; i < lab->n; i++)
		close(lab->fds[i]);
	if (lab->dialled >= 0)
		close(lab->dialled);
	listener_free(lab->listener);
	loop_free(lab->loop);
}

static void wait_dialled(struct lab *lab)
{
	lab->done = false;
	run_until(lab->loop, &lab->done);
}

static void port_0_is_chosen_by_the_system_and_told(void)
{
	struct lab lab;
	struct address bound;

	lab_open(&lab, "127.0.0.1");
	listener_address(lab.listener, &bound);
	CHECK_STR(bound.host, "127.0.0.1");
	CHECK_INT(bound.port, >, 0);
	CHECK_INT(bound.port, ==, listener_port(lab.listener));
	lab_close(&lab);
}

static void a_newcomer_is_handed_over_ready_for_use(void)
{
	struct lab lab;
	int on = 0;
	socklen_t len = sizeof(on);

	lab_open(&lab, "localhost");
	lab.wanted = 1;
	int fd = connect_to(listener_port(lab.listener));
	run_until(lab.loop, &lab.done);
	CHECK_STR(lab.peer.host, "127.0.0.1");
	CHECK(fcntl(lab.fds[0], F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(lab.fds[0], F_GETFD) & FD_CLOEXEC);
	CHECK_INT(getsockopt(lab.fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), ==, 0);
	CHECK_INT(on, !=, 0);
	close(fd);
	lab_close(&lab);
}

static void an_address_in_use_is_told_by_name(void)
{
	struct lab lab;
	struct error e = { 0 };
	char wanted[100];

	lab_open(&lab, "127.0.0.1");
	struct address again = loopback(listener_port(lab.listener));
	CHECK(listener_new(lab.loop, &again, accepted, &lab, NULL, &e) == NULL);
	snprintf(wanted, sizeof(wanted), "cannot listen on 127.0.0.1:%u: address in use", again.port);
	CHECK(strncmp(e.message, wanted, strlen(wanted)) == 0);
	CHECK_INT(e.code, ==, SHOAL_EBUSY);
	lab_close(&lab);
}

static void an_address_of_others_or_of_nobody_is_refused(void)
{
	struct lab lab;
	struct error e = { 0 };
	struct address far = { .host = "192.0.2.1" }, none = { .host = "no such host" };

	lab_open(&lab, NULL);
	CHECK(listener_new(lab.loop, &far, accepted, &lab, NULL, &e) == NULL);
	CHECK_INT(e.code, ==, SHOAL_EUSAGE);
	CHECK(strstr(e.message, "192.0.2.1:0") != NULL);
	CHECK(listener_new(lab.loop, &none, accepted, &lab, NULL, &e) == NULL);
	CHECK(strstr(e.message, "cannot listen on no such host:0: ") != NULL);
	lab_close(&lab);
}

/* -- out of descriptors */

struct shortage {
	struct rlimit before;
	int fds[FDS_MAX];
	int n;
};

/* Leaves no descriptor free. */
static void shortage_begin(struct shortage *s)
{
	int highest = open("/dev/null", O_RDONLY | O_CLOEXEC);

	CHECK_INT(getrlimit(RLIMIT_NOFILE, &s->before), ==, 0);
	close(highest);
	struct rlimit low = { .rlim_cur = (rlim_t)highest + 8, .rlim_max = s->before.rlim_max };
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), ==, 0);
	for (s->n = 0; s->n < FDS_MAX && (s->fds[s->n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0; s->n++)
		;
	CHECK_INT(errno, ==, EMFILE);
}

static void shortage_end(struct shortage *s)
{
	while (s->n > 0)
		close(s->fds[--s->n]);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &s->before), ==, 0);
}

static void over(void *arg)
{
	stop_if(arg, true);
}

/* Newcomers are closed, the processor rests, and it goes on by itself afterwards. */
static void out_of_descriptors_turns_newcomers_away_without_spinning(void)
{
	struct lab lab;
	struct shortage shortage;
	struct rusage before, after;
	int fds[20];
	char c;

	lab_open(&lab, "127.0.0.1");
	struct loop_timer *timer = loop_timer_new(lab.loop, over, &lab);
	for (int i = 0; i < 20; i++)
		fds[i] = connect_to(listener_port(lab.listener)); /* in the backlog; nobody runs the loop yet */
	shortage_begin(&shortage);
	getrusage(RUSAGE_SELF, &before);
	loop_timer_set_ms(timer, 300);
	wait_dialled(&lab);
	getrusage(RUSAGE_SELF, &after);
	CHECK_INT(lab.n, ==, 0);
	for (int i = 0; i < 20; i++) {
		CHECK(recv(fds[i], &c, 1, 0) <= 0); /* blocks for ever if it was left hanging */
		close(fds[i]);
	}
	int64_t used_us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec -
	                  before.ru_utime.tv_usec + (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
	                  after.ru_stime.tv_usec - before.ru_stime.tv_usec;
	CHECK_INT(used_us, <, 150000); /* a loop that spins uses 300 ms */
	shortage_end(&shortage);

	lab.wanted = 1;
	lab.done = false;
	int fd = connect_to(listener_port(lab.listener));
	run_until(lab.loop, &lab.done);
	CHECK_INT(lab.n, ==, 1);
	close(fd);
	loop_timer_free(timer);
	lab_close(&lab);
}

/* -- dial */

static void a_dial_connects(void)
{
	struct lab lab;

	lab_open(&lab, "127.0.0.1");
	struct address addr = loopback(listener_port(lab.listener)), peer;
	CHECK(dial_start(lab.loop, &addr, 5000, dialled, &lab) != NULL);
	CHECK_INT(lab.n_dialled, ==, 0); /* never from within */
	wait_dialled(&lab);
	CHECK_INT(lab.dialled, >=, 0);
	CHECK(fcntl(lab.dialled, F_GETFL) & O_NONBLOCK);
	CHECK(sockaddr_peer_of(lab.dialled, &peer));
	CHECK_INT(peer.port, ==, addr.port);
	lab_close(&lab);
}

static void a_dial_finds_localhost(void)
{
	struct lab lab;

	lab_open(&lab, "127.0.0.1");
	struct address addr = { .host = "localhost", .port = listener_port(lab.listener) };
	CHECK(dial_start(lab.loop, &addr, 5000, dialled, &lab) != NULL);
	wait_dialled(&lab);
	CHECK_STR(lab.e.message, "");
	CHECK_INT(lab.dialled, >=, 0);
	lab_close(&lab);
}

static void a_closed_port_fails_at_once_and_names_it(void)
{
	struct lab lab;
	int keep;
	char wanted[100];

	lab_open(&lab, NULL);
	struct address addr = loopback(closed_port(&keep));
	uint64_t begin_ms = clock_mono_ms();
	CHECK(dial_start(lab.loop, &addr, 5000, dialled, &lab) != NULL);
	wait_dialled(&lab);
	CHECK_INT(lab.dialled, ==, -1);
	CHECK_INT(lab.e.code, ==, SHOAL_EOFFLINE);
	CHECK_INT(clock_mono_ms() - begin_ms, <, 1000);
	snprintf(wanted, sizeof(wanted), "cannot reach 127.0.0.1:%u: Connection refused", addr.port);
	CHECK_STR(lab.e.message, wanted);
	close(keep);
	lab_close(&lab);
}

/* A name server of our own that never answers. */
static int mute_name_server(struct loop *loop)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	CHECK_INT(bind(fd, (struct sockaddr *)&in, sizeof(in)), ==, 0);
	CHECK_INT(getsockname(fd, (struct sockaddr *)&in, &len), ==, 0);
	CHECK_INT(evdns_base_clear_nameservers_and_suspend(loop_dns(loop)), ==, 0);
	CHECK_INT(evdns_base_nameserver_sockaddr_add(loop_dns(loop), (struct sockaddr *)&in, len, 0), ==, 0);
	CHECK_INT(evdns_base_resume(loop_dns(loop)), ==, 0);
	return fd;
}

static void a_name_that_nobody_answers_for_ends_at_the_deadline(void)
{
	struct lab lab;
	struct address addr = { .host = "tracker.example", .port = 1 };

	lab_open(&lab, NULL);
	int fd = mute_name_server(lab.loop);
	uint64_t begin_ms = clock_mono_ms();
	CHECK(dial_start(lab.loop, &addr, 100, dialled, &lab) != NULL);
	wait_dialled(&lab);
	CHECK_INT(lab.e.code, ==, SHOAL_ETIMEOUT);
	CHECK_INT(clock_mono_ms() - begin_ms, >=, 100);
	CHECK_INT(clock_mono_ms() - begin_ms, <, 3000);
	CHECK(strstr(lab.e.message, "tracker.example:1") != NULL);
	close(fd);
	lab_close(&lab);
}

static void a_machine_without_name_server_says_so(void)
{
	struct lab lab;
	struct address addr = { .host = "tracker.example", .port = 1 };

	lab_open(&lab, NULL);
	CHECK_INT(evdns_base_clear_nameservers_and_suspend(loop_dns(lab.loop)), ==, 0);
	CHECK_INT(evdns_base_resume(loop_dns(lab.loop)), ==, 0);
	CHECK(dial_start(lab.loop, &addr, 2000, dialled, &lab) != NULL);
	wait_dialled(&lab);
	CHECK_INT(lab.dialled, ==, -1);
	CHECK(lab.e.code == SHOAL_EOFFLINE || lab.e.code == SHOAL_ETIMEOUT);
	lab_close(&lab);
}

struct attempt {
	struct dial *dial; /* NULL once it has ended */
	int fd;
};

static void attempt_ended(void *arg, int fd, const struct error *e)
{
	struct attempt *a = arg;
	(void)e;
	a->dial = NULL;
	a->fd = fd;
}

/* In each state of a dial; what is left behind shows up in the address sanitizer and in the descriptors. */
static void a_dial_can_be_given_up_at_any_time(void)
{
	int before = open_fds();
	for (int turns = 0; turns < 4; turns++) {
		struct lab lab;
		lab_open(&lab, "127.0.0.1");
		int fd = mute_name_server(lab.loop);
		const struct address to[3] = { loopback(listener_port(lab.listener)),
			                       { .host = "tracker.example", .port = 1 },
			                       { .host = "192.0.2.1", .port = 9 } };
		struct attempt attempts[3];
		for (int i = 0; i < 3; i++) {
			attempts[i].fd = -1;
			attempts[i].dial = dial_start(lab.loop, &to[i], 5000, attempt_ended, &attempts[i]);
		}
		struct loop_timer *timer = loop_timer_new(lab.loop, over, &lab);
		for (int i = 0; i < turns; i++) {
			loop_timer_set_ms(timer, 0);
			wait_dialled(&lab);
		}
		CHECK(attempts[1].dial != NULL);
		for (int i = 0; i < 3; i++) {
			dial_cancel(attempts[i].dial);
			if (attempts[i].fd >= 0)
				close(attempts[i].fd);
		}
		loop_timer_free(timer);
		close(fd);
		lab_close(&lab);
	}
	CHECK_INT(open_fds(), ==, before);
}

static void run_out_of_memory(void *arg)
{
	(void)arg;
	mem_fail_after(1);
}

static void no_memory_is_no_dial(void)
{
	struct lab lab;
	struct address addr = loopback(1);

	lab_open(&lab, NULL);
	for (unsigned n = 1; n <= 2; n++) {
		mem_fail_after(n);
		CHECK(dial_start(lab.loop, &addr, 5000, dialled, &lab) == NULL);
		mem_fail_after(0);
	}
	struct loop_timer *timer = loop_timer_new(lab.loop, run_out_of_memory, NULL);
	loop_timer_set_ms(timer, 0); /* before the dial begins: no memory for the watch of its attempt */
	CHECK(dial_start(lab.loop, &addr, 5000, dialled, &lab) != NULL);
	wait_dialled(&lab);
	mem_fail_after(0);
	CHECK_INT(lab.dialled, ==, -1);
	CHECK(strstr(lab.e.message, "annot allocate memory") != NULL);
	loop_timer_free(timer);
	dial_cancel(NULL);
	lab_close(&lab);
}

/* -- small things */

static void addresses_survive_the_way_to_the_kernel_and_back(void)
{
	static const char *const hosts[] = { "127.0.0.1", "::1", "2001:db8::7", "255.1.2.3" };
	struct sockaddr_storage ss;
	socklen_t len;

	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		struct address addr = { .port = 5001 }, back;
		snprintf(addr.host, sizeof(addr.host), "%s", hosts[i]);
		CHECK(sockaddr_from_numeric(&addr, &ss, &len));
		sockaddr_to_address((struct sockaddr *)&ss, &back);
		CHECK_STR(back.host, hosts[i]);
		CHECK_INT(back.port, ==, 5001);
	}
	struct address mapped = { .host = "::ffff:10.0.0.9", .port = 1 }, back, name = { .host = "localhost" };
	CHECK(sockaddr_from_numeric(&mapped, &ss, &len));
	sockaddr_to_address((struct sockaddr *)&ss, &back);
	CHECK_STR(back.host, "10.0.0.9");
	CHECK(!sockaddr_from_numeric(&name, &ss, &len));
}

static void take_for(struct address_limit *al, const char *host, struct address_count **out)
{
	struct address addr = { .port = 1 };
	struct sockaddr_storage ss;
	socklen_t len;

	snprintf(addr.host, sizeof(addr.host), "%s", host);
	CHECK(sockaddr_from_numeric(&addr, &ss, &len));
	*out = address_limit_take(al, (struct sockaddr *)&ss);
}

static void an_address_has_its_limit_and_a_64_counts_as_one(void)
{
	struct address_limit *al = address_limit_new(2);
	struct address_count *a, *b, *c, *d, *e;

	take_for(al, "10.0.0.1", &a);
	take_for(al, "::ffff:10.0.0.1", &b);
	CHECK(a != NULL && a == b);
	take_for(al, "10.0.0.1", &c);
	CHECK(c == NULL);
	take_for(al, "2001:db8:1:2::1", &c);
	take_for(al, "2001:db8:1:2:ffff::2", &d);
	take_for(al, "2001:db8:1:3::1", &e);
	CHECK(c != NULL && c == d && e != NULL && e != c);
	address_limit_give(al, a);
	take_for(al, "10.0.0.1", &a);
	CHECK(a != NULL);
	mem_fail_after(1);
	struct address_count *none;
	take_for(al, "10.0.0.2", &none);
	mem_fail_after(0);
	CHECK(none == NULL);
	struct address_count *all[] = { a, b, c, d, e, NULL };
	for (size_t i = 0; i < COUNT_OF(all); i++)
		address_limit_give(al, all[i]);
	address_limit_free(al);
}

static void the_table_agrees_with_a_list_and_ids_are_never_reused(void)
{
	enum { N = 300 };
	struct conn_table t = { 0 };
	int things[N];
	conn_id ids[N] = { 0 }, dead = 0;

	for (int step = 0; step < 5000; step++) {
		uint32_t i = check_random(N);
		if (ids[i] == 0) {
			ids[i] = conn_table_add(&t, &things[i]);
			CHECK(ids[i] != 0 && ids[i] != dead);
		} else {
			CHECK(conn_table_find(&t, ids[i]) == &things[i]);
			conn_table_remove(&t, ids[i]);
			dead = ids[i];
			ids[i] = 0;
		}
		CHECK(conn_table_find(&t, dead) == NULL);
		CHECK(conn_table_find(&t, conn_table_burn(&t)) == NULL);
	}
	CHECK(conn_table_find(&t, 0) == NULL);
	size_t at = 0, n = 0;
	for (const int *thing; (thing = conn_table_next(&t, &at)) != NULL; n++)
		conn_table_remove(&t, ids[thing - things]);
	CHECK(n > 0);
	CHECK_INT(t.n_used, ==, 0);
	conn_table_fini(&t);
}

static const struct CMUnitTest tests[] = {
	TEST(port_0_is_chosen_by_the_system_and_told),
	TEST(a_newcomer_is_handed_over_ready_for_use),
	TEST(an_address_in_use_is_told_by_name),
	TEST(an_address_of_others_or_of_nobody_is_refused),
	TEST(out_of_descriptors_turns_newcomers_away_without_spinning),
	TEST(a_dial_connects),
	TEST(a_dial_finds_localhost),
	TEST(a_closed_port_fails_at_once_and_names_it),
	TEST(a_name_that_nobody_answers_for_ends_at_the_deadline),
	TEST(a_machine_without_name_server_says_so),
	TEST(a_dial_can_be_given_up_at_any_time),
	TEST(no_memory_is_no_dial),
	TEST(addresses_survive_the_way_to_the_kernel_and_back),
	TEST(an_address_has_its_limit_and_a_64_counts_as_one),
	TEST(the_table_agrees_with_a_list_and_ids_are_never_reused),
};
CHECK_MAIN(tests)
