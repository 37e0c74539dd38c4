/* tests/bench/meter.c - what programs use while something is measured, the same way for all contenders.
 * usage: meter ROLE=PID... ; says "ready", and at SIGTERM one line: for each role the CPU seconds of its processes since
 * "ready" together, and the largest anonymous memory that one of them was seen with, looked at every 10 ms. */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { EVERY_MS = 10, PROCESSES_MAX = 128, ROLE_MAX = 16 };

struct watched {
	char role[ROLE_MAX];
	long pid;
	unsigned long ticks_before, ticks; /* user and system */
	unsigned long anon_kib;            /* the peak */
};

static bool slurp(long pid, const char *name, char *text, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%ld/%s", pid, name);
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return false;
	size_t n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	fclose(f);
	return n > 0;
}

/* A process that has ended keeps what was seen last. */
static void look(struct watched *w)
{
	char text[4096];
	unsigned long user, system, kib;
	const char *at;
	if (slurp(w->pid, "stat", text, sizeof(text)) && (at = strrchr(text, ')')) != NULL &&
	    sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2 &&
	    user + system > w->ticks)
		w->ticks = user + system;
	if (slurp(w->pid, "status", text, sizeof(text)) && (at = strstr(text, "RssAnon:")) != NULL &&
	    sscanf(at, "RssAnon: %lu", &kib) == 1 && kib > w->anon_kib)
		w->anon_kib = kib;
}

static bool parse(const char *word, struct watched *w)
{
	const char *equals = strchr(word, '=');
	char *end;
	if (equals == NULL || equals == word || equals - word >= ROLE_MAX)
		return false;
	memcpy(w->role, word, (size_t)(equals - word));
	w->pid = strtol(equals + 1, &end, 10);
	return *end == '\0' && w->pid > 0;
}

static void report(const struct watched *w, int n)
{
	for (int i = 0; i < n; i++) {
		unsigned long ticks = 0, kib = 0;
		bool told = false;
		for (int k = 0; k < n; k++) {
			if (strcmp(w[k].role, w[i].role) != 0)
				continue;
			told = told || k < i;
			ticks += w[k].ticks - w[k].ticks_before;
			if (w[k].anon_kib > kib)
				kib = w[k].anon_kib;
		}
		if (!told)
			printf("%s_cpu=%.2f %s_kib=%lu ", w[i].role, (double)ticks / (double)sysconf(_SC_CLK_TCK), w[i].role, kib);
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	struct watched w[PROCESSES_MAX] = { 0 };
	sigset_t ends;
	int n = argc - 1;
	if (n < 1 || n > PROCESSES_MAX)
		return fprintf(stderr, "usage: meter ROLE=PID...\n"), 2;
	for (int i = 0; i < n; i++) {
		if (!parse(argv[i + 1], &w[i]))
			return fprintf(stderr, "meter: '%s' is not ROLE=PID\n", argv[i + 1]), 2;
		look(&w[i]);
		w[i].ticks_before = w[i].ticks;
	}
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	struct pollfd told = { .fd = signalfd(-1, &ends, SFD_CLOEXEC), .events = POLLIN };
	if (told.fd < 0)
		return perror("signalfd"), 1;
	printf("ready\n");
	fflush(stdout);
	do
		for (int i = 0; i < n; i++)
			look(&w[i]);
	while (poll(&told, 1, EVERY_MS) == 0);
	for (int i = 0; i < n; i++)
		look(&w[i]);
	report(w, n);
	return fflush(stdout) == 0 ? 0 : 1;
}
