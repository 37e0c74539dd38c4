/* tests/unit/net/net_check.h - what the tests of core/net share. Included once by each of them. */
#ifndef SHOAL_TESTS_NET_CHECK_H
#define SHOAL_TESTS_NET_CHECK_H
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/address.h"
#include "core/base/clock.h"
#include "core/net/loop.h"
#include "core/net/tls.h"
#include "tests/unit/check.h"

/* A test that waits for something waits no longer than this. */
#define PATIENCE_MS 10000

struct watchdog {
	struct loop *loop;
	bool barked;
};

static __attribute__((unused)) void watchdog_bark(void *arg)
{
	struct watchdog *dog = arg;

	dog->barked = true;
	loop_stop(dog->loop);
}

/* Runs the loop until *done, which some callback sets before it calls loop_stop(). */
static __attribute__((unused)) void run_until(struct loop *loop, const bool *done)
{
	struct watchdog dog = { .loop = loop };
	struct loop_timer *timer = loop_timer_new(loop, watchdog_bark, &dog);

	loop_timer_set_ms(timer, PATIENCE_MS);
	while (!*done && !dog.barked)
		loop_run(loop);
	loop_timer_free(timer);
	CHECK(*done);
}

static __attribute__((unused)) struct tls_identity *identity_of(uint8_t number)
{
	uint8_t seed[SEED_SIZE] = { 1, 2, 3, number };
	struct error e;
	struct tls_identity *identity = tls_identity_new(seed, &e);

	CHECK(identity != NULL);
	return identity;
}

static __attribute__((unused)) struct address loopback(uint16_t port)
{
	struct address addr = { .host = "127.0.0.1", .port = port };
	return addr;
}

static __attribute__((unused)) int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			n++;
	return n;
}

/* A blocking connection to the port, from outside of any loop. */
static __attribute__((unused)) int connect_to(uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK_INT(connect(fd, (struct sockaddr *)&in, sizeof(in)), ==, 0);
	return fd;
}

/* A port where nobody listens, and nobody else will as long as the descriptor is open. */
static __attribute__((unused)) uint16_t closed_port(int *fd)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(bind(*fd, (struct sockaddr *)&in, sizeof(in)), ==, 0);
	CHECK_INT(getsockname(*fd, (struct sockaddr *)&in, &len), ==, 0);
	return ntohs(in.sin_port);
}
#endif
