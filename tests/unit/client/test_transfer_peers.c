/* tests/unit/client/test_transfer_peers.c - connections between clients: who dials, how many, how they end. */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "client/transfer_impl.h"
#include "tests/unit/client/transfer_world.h"

static struct peer *only_peer(struct world *w, unsigned client)
{
	CHECK_INT(w->clients[client].t->npeers, ==, 1);
	return TAILQ_FIRST(&w->clients[client].t->peers);
}

static bool one_connection(struct world *w)
{
	return w->clients[0].t->npeers == 1 && w->clients[1].t->npeers == 1;
}

static bool no_connection(struct world *w)
{
	return w->clients[0].t->npeers == 0 && w->clients[1].t->npeers == 0;
}

static bool no_channel(struct world *w)
{
	return one_connection(w) && TAILQ_EMPTY(&only_peer(w, 0)->channels) && TAILQ_EMPTY(&only_peer(w, 1)->channels);
}

/* -- both at once */

static void a_pair_that_dials_at_once_keeps_one_connection(void)
{
	for (unsigned round = 0; round < 8; round++) {
		struct world *w = world_new(2, round % 2 == 0);
		char *a = upload_done(w, 0, "a", 3 * PIECE_SIZE), *b = upload_done(w, 1, "b", 3 * PIECE_SIZE);
		uint64_t from_a = download(w, 1, "a", defaults), from_b = download(w, 0, "b", defaults);

		wait_and_expect(w, 1, from_a);
		expect_done(w, 0, from_b);
		same_bytes(a, job_of(w, 1, from_a).path);
		same_bytes(b, job_of(w, 0, from_b).path);
		run_until(w, one_connection);
		free(a);
		free(b);
		world_free(w);
	}
}

/* -- ends */

static void nothing_stays_open_for_nothing(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", 3 * PIECE_SIZE);

	wait_and_expect(w, 1, download(w, 1, "song", defaults));
	run_until(w, no_channel); /* both have it: its places are free for others */
	struct peer *p = only_peer(w, 1);
	CHECK(p->idle_since_ms > 0);
	peers_tick(w->clients[1].t, p->idle_since_ms + IDLE_MS);
	CHECK(p->state == PEER_STATE_READY);
	peers_tick(w->clients[1].t, p->idle_since_ms + IDLE_MS + 1);
	CHECK(p->state == PEER_STATE_GOING);
	run_until(w, no_connection);
	free(path);
	world_free(w);
}

/* -- one cannot be reached */

/* An address where nobody listens; the socket keeps it free of others. */
static int nobodys(struct address *out)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0 && getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	*out = (struct address){ .host = "127.0.0.1", .port = ntohs(at.sin_port) };
	return fd;
}

static void who_cannot_be_reached_is_asked_to_dial(void)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, 0, "song", 3 * PIECE_SIZE);
	int fd = nobodys(&w->clients[0].shown);
	uint64_t job = download(w, 1, "song", defaults);

	wait_and_expect(w, 1, job);
	CHECK_INT(w->clients[1].nunreachable, ==, 1);
	CHECK(!only_peer(w, 1)->dialled);
	CHECK(only_peer(w, 0)->dialled);
	same_bytes(path, w->clients[1].path);
	close(fd);
	free(path);
	world_free(w);
}

/* A tracker cannot make us knock anywhere: only for files that we have to do with, and not at our own door. */
static void we_do_not_dial_for_nothing(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", PIECE_SIZE);
	struct address a = transfers_listen_address(w->clients[1].t);
	struct transfers *t = w->clients[0].t;
	struct id16 unknown = { .b = { 1 } };

	transfers_on_dial(t, &unknown, &a, &w->clients[1].identity->id);
	CHECK_INT(t->npeers, ==, 0);
	transfers_on_dial(t, &w->files[0].fid, &a, &w->clients[0].identity->id);
	CHECK_INT(t->npeers, ==, 0);
	transfers_on_dial(t, &w->files[0].fid, &a, &w->clients[1].identity->id);
	transfers_on_dial(t, &w->files[0].fid, &a, &w->clients[1].identity->id);
	CHECK_INT(t->npeers, ==, 1);
	run_until(w, one_connection);
	free(path);
	world_free(w);
}

/* -- strangers */

static int knock(struct world *w, unsigned client)
{
	struct address a = transfers_listen_address(w->clients[client].t);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(a.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CHECK(fd >= 0);
	CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS);
	return fd;
}

static bool is_closed(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN);
}

enum { KNOCKS = UNOPENED_PER_ADDRESS + 10 };

static unsigned count_closed(const int *fds)
{
	unsigned n = 0;

	for (unsigned i = 0; i < KNOCKS; i++)
		n += is_closed(fds[i]);
	return n;
}

static bool house_is_full(struct world *w)
{
	return w->clients[0].t->npeers == UNOPENED_PER_ADDRESS && count_closed(w->scratch) == 10;
}

static bool house_is_empty(struct world *w)
{
	return w->clients[0].t->npeers == 0;
}

static void one_address_does_not_fill_the_house(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", PIECE_SIZE);
	int fds[KNOCKS];

	w->scratch = fds;
	for (unsigned i = 0; i < KNOCKS; i++)
		fds[i] = knock(w, 0);
	run_until(w, house_is_full);
	for (unsigned i = 0; i < KNOCKS; i++)
		close(fds[i]);
	run_until(w, house_is_empty);
	wait_and_expect(w, 1, download(w, 1, "song", defaults));
	CHECK(!only_peer(w, 0)->unopened);
	free(path);
	world_free(w);
}

/* -- TLS and plain */

static void plain_only_when_all_three_want_it(void)
{
	static const struct { bool cluster, seeder, leecher; } cases[] = {
		{ true, true, true }, { false, true, true }, { true, false, true }, { true, true, false },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct world *w = world_new(0, true);
		w->clients[0].no_plain = !cases[i].seeder;
		w->clients[1].no_plain = !cases[i].leecher;
		client_start(w, 0);
		client_start(w, 1);
		w->status.plaintext = cases[i].cluster; /* after the clients were told --plaintext */
		char *path = upload_done(w, 0, "song", 3 * PIECE_SIZE);
		uint64_t job = download(w, 1, "song", defaults);
		wait_and_expect(w, 1, job);
		CHECK_INT(only_peer(w, 1)->plain, ==, cases[i].cluster && cases[i].seeder && cases[i].leecher);
		CHECK_INT(job_of(w, 1, job).took_ms, <, 900); /* TLS is tried at once */
		same_bytes(path, w->clients[1].path);
		free(path);
		world_free(w);
	}
}

/* -- no memory */

static void without_memory_there_is_no_connection(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", 2 * PIECE_SIZE);
	struct transfers *t = w->clients[1].t;
	struct address a = transfers_listen_address(w->clients[0].t);
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	unsigned refused = 0;

	for (unsigned n = 1; n <= 4; n++) {
		unsigned before = t->npeers;
		mem_fail_after(n);
		struct peer *p = peer_dial(t, &w->clients[0].identity->id, &a, false);
		mem_fail_after(0);
		CHECK_INT(t->npeers, ==, before + (p != NULL));
		refused += p == NULL;
		int fds[2];
		CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
		before = t->npeers;
		mem_fail_after(n);
		peers_accept(t, fds[0], (struct sockaddr *)&from);
		mem_fail_after(0);
		CHECK_INT(is_closed(fds[1]), ==, t->npeers == before);
		refused += t->npeers == before;
		close(fds[1]);
	}
	CHECK_INT(refused, >=, 3); /* the peer twice, the dial */
	wait_and_expect(w, 1, download(w, 1, "song", defaults));
	same_bytes(path, w->clients[1].path);
	free(path);
	world_free(w);
}

static const struct CMUnitTest tests[] = {
	TEST(a_pair_that_dials_at_once_keeps_one_connection),
	TEST(nothing_stays_open_for_nothing),
	TEST(who_cannot_be_reached_is_asked_to_dial),
	TEST(we_do_not_dial_for_nothing),
	TEST(one_address_does_not_fill_the_house),
	TEST(plain_only_when_all_three_want_it),
	TEST(without_memory_there_is_no_connection),
};
CHECK_MAIN(tests)
