/* tests/bench/tracker_port.c - prints free ports of the loopback address, one a line. usage: tracker_port COUNT
 * A tracker file wants numbers; nothing keeps them free, but the system does not give the same one again soon. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/bench/load/fleet.h"

int main(int argc, char **argv)
{
	long n = argc == 2 ? strtol(argv[1], NULL, 10) : 0;

	if (n < 1 || n > 64)
		die("usage: tracker_port COUNT");
	while (n-- > 0) { /* the sockets stay open until the end, so that no port comes twice */
		struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t len = sizeof(sa);
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (fd < 0 || bind(fd, (void *)&sa, sizeof(sa)) != 0 || getsockname(fd, (void *)&sa, &len) != 0)
			die("no port to be had");
		printf("%u\n", ntohs(sa.sin_port));
	}
	return 0;
}
