/* tests/bench/limit.c - what this machine can do: sendfile -> recv -> SHA-256 of each piece -> write, over two loopback
 * connections, and nothing else. usage: limit FILE OUTPUT; prints seconds and CPU seconds as all contenders do (see
 * transfers.lua). shoal's cases are measured against it. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

enum { CONNECTIONS = 2, PIECE = 524288 };

struct lane {
	pthread_t thread;
	int fd;
	const char *path;
	off_t from, to;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *send_lane(void *arg)
{
	struct lane *l = arg;
	int file = open(l->path, O_RDONLY);
	if (file < 0)
		die(l->path);
	for (off_t at = l->from; at < l->to;)
		if (sendfile(l->fd, file, &at, (size_t)(l->to - at < PIECE ? l->to - at : PIECE)) <= 0)
			die("sendfile");
	close(file);
	return NULL;
}

static void *receive_lane(void *arg)
{
	struct lane *l = arg;
	int file = open(l->path, O_WRONLY);
	char *piece = malloc(PIECE);
	unsigned char hash[32];
	if (file < 0 || piece == NULL || lseek(file, l->from, SEEK_SET) < 0)
		die(l->path);
	for (off_t at = l->from; at < l->to;) {
		size_t want = (size_t)(l->to - at < PIECE ? l->to - at : PIECE);
		if (recv(l->fd, piece, want, MSG_WAITALL) != (ssize_t)want)
			die("recv");
		EVP_Digest(piece, want, hash, NULL, EVP_sha256(), NULL);
		if (write(file, piece, want) != (ssize_t)want)
			die("write");
		at += (off_t)want;
	}
	free(piece);
	close(file);
	return NULL;
}

static void run_lanes(struct lane *lanes, void *(*fn)(void *))
{
	for (int i = 0; i < CONNECTIONS; i++)
		if (pthread_create(&lanes[i].thread, NULL, fn, &lanes[i]) != 0)
			die("pthread_create");
	for (int i = 0; i < CONNECTIONS; i++)
		pthread_join(lanes[i].thread, NULL);
}

static double cpu_seconds(int who)
{
	struct rusage u;
	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	struct stat st;
	struct lane out[CONNECTIONS], in[CONNECTIONS];
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	struct timespec t0, t1;

	if (argc != 3 || stat(argv[1], &st) != 0)
		return fprintf(stderr, "usage: limit FILE OUTPUT\n"), 2;
	int door = socket(AF_INET, SOCK_STREAM, 0), made = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (made < 0 || bind(door, (void *)&sa, sizeof(sa)) != 0 || listen(door, 8) != 0 ||
	    getsockname(door, (void *)&sa, &len) != 0)
		die("setup");
	close(made);
	for (int i = 0; i < CONNECTIONS; i++) {
		off_t half = st.st_size / PIECE / CONNECTIONS * PIECE;
		out[i] = (struct lane){ .path = argv[1], .from = half * i, .to = i + 1 < CONNECTIONS ? half * (i + 1) : st.st_size };
		in[i] = out[i];
		in[i].path = argv[2];
		in[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(in[i].fd, (void *)&sa, sizeof(sa)) != 0 || (out[i].fd = accept(door, NULL, NULL)) < 0)
			die("connect");
	}
	clock_gettime(CLOCK_MONOTONIC, &t0);
	pid_t seeder = fork();
	if (seeder == 0) {
		run_lanes(out, send_lane);
		_exit(0);
	}
	run_lanes(in, receive_lane);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	waitpid(seeder, NULL, 0);
	printf("RESULT seconds=%.3f seeder_cpu=%.2f leecher_cpu=%.2f\n",
	       (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9, cpu_seconds(RUSAGE_CHILDREN),
	       cpu_seconds(RUSAGE_SELF));
	return 0;
}
