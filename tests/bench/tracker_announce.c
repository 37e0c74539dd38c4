/* tests/bench/tracker_announce.c - announces to a BitTorrent tracker over UDP (BEP 15), as fast as it answers.
 *
 * usage: tracker_announce ADDRESS [--clients N] [--depth N] [--seconds N] [--pid PID]
 *        tracker_announce hashes   prints the info hashes, for a tracker that wants a list of them
 * As many sockets as clients, each with `depth` announces under way, for one of a hundred info hashes: what a leecher
 * says every half an hour, and the nearest thing to shoal's `find`. What is not answered within RESEND_MS is asked
 * again, and counted as lost. Prints answers a second, and what the process PID used for each. One thread. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/address.h"
#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/crypto.h"
#include "core/base/mem.h"
#include "core/wire/cursor.h"
#include "tests/bench/load/fleet.h"
#include "tests/bench/load/meter.h"

enum { ACTION_CONNECT, ACTION_ANNOUNCE, CONNECT_BYTES = 16, ANNOUNCE_BYTES = 20 };
enum { HASHES = 100, HASH_SIZE = 20, PEERS_WANTED = 50, CLIENTS_MAX = 500, FIRST_PORT = 10000, ANSWER_MAX = 2048 };
enum { RESEND_MS = 200, WARM_UP_MS = 500 };
#define PROTOCOL UINT64_C(0x41727101980)

struct client {
	int fd;
	uint64_t connection; /* 0: none yet */
	uint64_t heard_us;   /* or, before that, asked */
	size_t under_way;
	uint8_t peer_id[HASH_SIZE];
};

struct load {
	size_t clients, depth, seconds;
	pid_t pid;
	struct client client[CLIENTS_MAX];
	struct pollfd polled[CLIENTS_MAX];
	uint64_t sent, answered, bytes, lost;
	bool counting;
};

static void send_to_tracker(struct client *c, struct buf *b)
{
	if (b->failed || (send(c->fd, b->data, b->len, 0) < 0 && errno != ECONNREFUSED)) /* it may only be starting */
		die("cannot send to the tracker");
	buf_free(b);
}

static void ask_connection(struct client *c)
{
	struct buf b = { 0 };

	buf_put_u64(&b, PROTOCOL);
	buf_put_u32(&b, ACTION_CONNECT);
	buf_put_u32(&b, 1);
	c->heard_us = clock_mono_us();
	send_to_tracker(c, &b);
}

static void hash_number(uint64_t n, uint8_t hash[HASH_SIZE])
{
	memset(hash, 0x5a, HASH_SIZE);
	hash[0] = (uint8_t)(n % HASHES);
}

static void announce(struct load *l, struct client *c)
{
	uint8_t info_hash[HASH_SIZE];
	struct buf b = { 0 };

	hash_number(l->sent++, info_hash);
	buf_put_u64(&b, c->connection);
	buf_put_u32(&b, ACTION_ANNOUNCE);
	buf_put_u32(&b, 2);
	buf_put(&b, info_hash, sizeof(info_hash));
	buf_put(&b, c->peer_id, sizeof(c->peer_id));
	buf_put_u64(&b, 0);            /* downloaded */
	buf_put_u64(&b, 1 << 20);      /* left */
	buf_put_u64(&b, 0);            /* uploaded */
	buf_put_u32(&b, 0);            /* no event */
	buf_put_u32(&b, 0);            /* the address it comes from */
	buf_put_u32(&b, 1);            /* key */
	buf_put_u32(&b, PEERS_WANTED);
	buf_put_u16(&b, (uint16_t)(FIRST_PORT + (c - l->client))); /* each is another peer */
	c->under_way++;
	send_to_tracker(c, &b);
}

static void fill_up(struct load *l, struct client *c)
{
	while (c->under_way < l->depth)
		announce(l, c);
}

/* One datagram; false: there is none. */
static bool take_answer(struct load *l, struct client *c)
{
	uint8_t answer[ANSWER_MAX];
	ssize_t n = recv(c->fd, answer, sizeof(answer), MSG_DONTWAIT);
	struct cursor in = cursor_of(answer, n > 0 ? (size_t)n : 0);

	if (n < 0)
		return false;
	uint32_t action = get_u32(&in);
	(void)get_u32(&in);
	if (action == ACTION_CONNECT && n >= CONNECT_BYTES) {
		c->connection = get_u64(&in);
	} else if (action == ACTION_ANNOUNCE && n >= ANNOUNCE_BYTES) {
		c->under_way -= c->under_way != 0;
		l->answered += l->counting;
		l->bytes += l->counting ? (size_t)n : 0;
	} else {
		die("the tracker refuses: action %u, %zd bytes", action, n);
	}
	c->heard_us = clock_mono_us();
	return true;
}

static void serve(struct load *l, struct client *c)
{
	while (take_answer(l, c))
		continue;
	if (clock_mono_us() > c->heard_us + RESEND_MS * 1000) {
		l->lost += l->counting ? c->under_way : 0;
		c->under_way = 0;
		c->heard_us = clock_mono_us();
		if (c->connection == 0)
			ask_connection(c);
	}
	if (c->connection != 0)
		fill_up(l, c);
}

static void run_for(struct load *l, uint64_t ms)
{
	uint64_t until = clock_mono_us() + ms * 1000;

	while (clock_mono_us() < until) {
		if (poll(l->polled, l->clients, RESEND_MS / 2) < 0)
			die("cannot wait for the tracker");
		for (size_t i = 0; i < l->clients; i++)
			serve(l, &l->client[i]);
	}
}

static void open_clients(struct load *l, const char *tracker)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct address addr;
	struct error e;

	if (address_parse(tracker, false, &addr, &e) != SHOAL_OK || inet_pton(AF_INET, addr.host, &to.sin_addr) != 1)
		die("'%s' is not an IPv4 address and port", tracker);
	to.sin_port = htons(addr.port);
	for (size_t i = 0; i < l->clients; i++) {
		struct client *c = &l->client[i];
		c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
			die("cannot open a socket to %s", tracker);
		random_bytes(c->peer_id, sizeof(c->peer_id));
		l->polled[i] = (struct pollfd){ .fd = c->fd, .events = POLLIN };
		ask_connection(c);
	}
}

static void read_options(struct load *l, int argc, char **argv)
{
	static const struct option names[] = { { "clients", required_argument, NULL, 'c' },
		                               { "depth", required_argument, NULL, 'd' },
		                               { "seconds", required_argument, NULL, 's' },
		                               { "pid", required_argument, NULL, 'p' },
		                               { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		size_t value = option == '?' ? 0 : strtoul(optarg, NULL, 10);
		switch (option) {
		case 'c': l->clients = value; break;
		case 'd': l->depth = value; break;
		case 's': l->seconds = value; break;
		case 'p': l->pid = (pid_t)value; break;
		default: die("see the head of tests/bench/tracker_announce.c");
		}
	}
	if (optind + 1 != argc || l->seconds == 0 || l->clients == 0 || l->clients > CLIENTS_MAX || l->depth == 0)
		die("usage: tracker_announce ADDRESS [--clients N] [--depth N] [--seconds N] [--pid PID]");
}

static void print_hashes(void)
{
	for (uint64_t n = 0; n < HASHES; n++) {
		uint8_t hash[HASH_SIZE];
		hash_number(n, hash);
		for (size_t i = 0; i < HASH_SIZE; i++)
			printf("%02x%s", hash[i], i + 1 == HASH_SIZE ? "\n" : "");
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "hashes") == 0) {
		print_hashes();
		return 0;
	}
	struct load *l = xalloc(sizeof(*l));
	*l = (struct load){ .clients = 50, .depth = 16, .seconds = 3 };
	read_options(l, argc, argv);
	open_clients(l, argv[optind]);
	run_for(l, WARM_UP_MS);
	l->counting = true;
	struct usage before = l->pid != 0 ? usage_of(l->pid) : (struct usage){ 0 };
	uint64_t start = clock_mono_us();
	run_for(l, l->seconds * 1000);
	double s = (double)(clock_mono_us() - start) / 1e6;
	struct usage after = l->pid != 0 ? usage_of(l->pid) : (struct usage){ 0 };
	if (l->answered == 0)
		die("the tracker does not answer");
	printf("per_s=%.0f us_each=%.2f reply_bytes=%.0f lost=%llu\n", (double)l->answered / s,
	       (double)(after.cpu_us - before.cpu_us) / (double)l->answered, (double)l->bytes / (double)l->answered,
	       (unsigned long long)l->lost);
	for (size_t i = 0; i < l->clients; i++)
		close(l->client[i].fd);
	free(l);
	return 0;
}
