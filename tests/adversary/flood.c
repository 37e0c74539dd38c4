/* tests/adversary/flood.c - many connections, many requests, many passwords; and how others fare meanwhile. */
#include "adversary.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/rand.h>

enum { PROBE_EVERY_MS = 50, PROBES_MOST = 100000 };

/* -- how a good client fares */
struct probe {
	struct world *w;
	struct session s;   /* one that was there before */
	double *ms;
	size_t n;
	unsigned refused;   /* newcomers who did not get in */
	uint64_t next_ms;
};

static double now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void probe_begin(struct probe *p, struct world *w)
{
	*p = (struct probe){ .w = w, .ms = calloc(PROBES_MOST, sizeof(double)) };
	if (p->ms == NULL)
		die("out of memory");
	session_as(&p->s, w->tracker, w->seed2, "good", "pw-good");
}

/* A newcomer from another address, then a question on the old connection. */
static void probe_now(struct probe *p)
{
	struct session fresh;
	struct reply r = { 0 };
	if (mono_ms() < p->next_ms || p->n == PROBES_MOST)
		return;
	double began = now_ms();
	if (!session_open(&fresh, p->w->tracker, p->w->seed, "127.0.0.2"))
		p->refused++;
	session_close(&fresh);
	if (session_call(&p->s, &r, 28, "s", "") != OK)
		die("the good client is not served: %d %s", r.code, r.message);
	p->ms[p->n++] = now_ms() - began;
	p->next_ms = mono_ms() + PROBE_EVERY_MS;
	reply_free(&r);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double at(struct probe *p, double share)
{
	qsort(p->ms, p->n, sizeof(p->ms[0]), by_size);
	return p->n != 0 ? p->ms[(size_t)(share * (double)(p->n - 1))] : 0;
}

static void probe_end(struct probe *p, const char *what)
{
	printf("# %s: a newcomer and a command beside it: %zu times, median %.1f ms, 99%% %.1f ms, longest %.1f ms\n", what, p->n, at(p, 0.5),
	       at(p, 0.99), at(p, 1));
	check(p->n > 0 && p->refused == 0, "%s: every good newcomer is served (%u of %zu were not)", what, p->refused, p->n);
	session_close(&p->s);
	free(p->ms);
}

/* -- connections that say next to nothing */
static void from_of(unsigned i, char out[32])
{
	snprintf(out, 32, "127.%u.%u.%u", 1 + i / 62500 % 200, i / 250 % 250, 1 + i % 250);
}

/* Opens those that are not; `first` is what each says at once. Returns how many hold. */
static unsigned hold(struct world *w, int *fds, unsigned n, const char *first, size_t len)
{
	unsigned held = 0, opened = 0;
	char from[32];
	for (unsigned i = 0; i < n; i++) {
		char c;
		if (fds[i] >= 0 && recv(fds[i], &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) {
			held++;
			continue;
		}
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
		if (opened++ >= 250) /* so that the good client is asked often */
			continue;
		from_of(i / 20, from); /* twenty from each address */
		fds[i] = tcp_open(w->tracker, from, false);
		if (fds[i] >= 0 && len != 0) {
			struct pollfd p = { .fd = fds[i], .events = POLLOUT };
			if (poll(&p, 1, 100) > 0)
				(void)send(fds[i], first, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
	}
	return held;
}

/* Room for so many connections, none of them open. The caller frees it. */
static int *many_fds(unsigned n)
{
	struct rlimit limit;
	int *fds = malloc(n * sizeof(int));
	if (fds == NULL || getrlimit(RLIMIT_NOFILE, &limit) != 0)
		die("out of memory");
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < n + 64)
		die("%u connections need as many descriptors", n);
	memset(fds, 0xff, n * sizeof(int));
	return fds;
}

static void crowd(struct world *w, const char *what, const char *first, size_t len)
{
	struct probe p;
	unsigned most = 0;
	int *fds = many_fds(w->count);
	probe_begin(&p, w);
	for (uint64_t end = mono_ms() + w->seconds * 1000u; mono_ms() < end;) {
		unsigned held = hold(w, fds, w->count, first, len);
		most = held > most ? held : most;
		probe_now(&p);
	}
	printf("# %s: up to %u connections at once\n", what, most);
	probe_end(&p, what);
	for (unsigned i = 0; i < w->count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(fds);
}

void case_loris(struct world *w)
{
	crowd(w, "slow loris", "\x16", 1);
}

void case_half_open(struct world *w)
{
	crowd(w, "half-open", NULL, 0);
}

/* More connections than the tracker has descriptors: who is there goes on, and newcomers come in when it is over. */
void case_starve(struct world *w)
{
	struct session good, late;
	struct reply r = { 0 };
	unsigned asked = 0, refused = 0;
	int *fds = many_fds(w->count);
	session_as(&good, w->tracker, w->seed2, "good", "pw-good");
	for (uint64_t end = mono_ms() + w->seconds * 1000u; mono_ms() < end; asked++) {
		hold(w, fds, w->count, "\x16", 1);
		if (session_call(&good, &r, 28, "s", "") != OK)
			die("who was there is not served: %d %s", r.code, r.message);
		if (!session_open(&late, w->tracker, w->seed, "127.0.0.2"))
			refused++;
		session_close(&late);
	}
	printf("# starve: %u commands beside it, %u of as many newcomers turned away\n", asked, refused);
	check(asked > 0, "who was there is served all the while");
	for (unsigned i = 0; i < w->count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(fds);
	bool in = false;
	for (uint64_t end = mono_ms() + 20000; !in && mono_ms() < end;) {
		in = session_open(&late, w->tracker, w->seed, "127.0.0.2");
		session_close(&late);
	}
	check(in, "newcomers come in when it is over");
	reply_free(&r);
	session_close(&good);
}

/* -- requests that nobody reads the answers of */
enum { FLOODERS = 8 };

/* list_groups, 200 times. */
static void pour(struct session *s)
{
	static const uint8_t no_request[16];
	struct bytes many = { 0 };
	for (unsigned i = 0; i < 200; i++) {
		put_int(&many, 4 + 4 + 16 + 2 + 2, 4);
		put(&many, "CMD ", 4);
		put_int(&many, i, 4);
		put(&many, no_request, sizeof(no_request));
		put_fields(&many, "ws", 28u, "");
	}
	ERR_clear_error();
	(void)SSL_write(s->link->ssl, many.p, (int)many.len); /* what does not go is tried no further */
	bytes_free(&many);
}

void case_flood(struct world *w)
{
	struct session mallory[FLOODERS];
	struct probe p;
	const struct timeval shortly = { .tv_usec = 2000 };
	unsigned ended = 0;

	probe_begin(&p, w);
	for (unsigned i = 0; i < FLOODERS; i++) {
		w->seed[31] = (uint8_t)i;
		session_as(&mallory[i], w->tracker, w->seed, "mallory", "m");
		(void)setsockopt(mallory[i].link->fd, SOL_SOCKET, SO_SNDTIMEO, &shortly, sizeof(shortly));
	}
	for (uint64_t end = mono_ms() + w->seconds * 1000u; mono_ms() < end;) {
		for (unsigned i = 0; i < FLOODERS; i++)
			pour(&mallory[i]);
		probe_now(&p);
	}
	for (unsigned i = 0; i < FLOODERS; i++) {
		ended += link_is_closed(mallory[i].link, 1);
		session_close(&mallory[i]);
	}
	printf("# flood: %u of %u flooders were hung up on\n", ended, FLOODERS);
	probe_end(&p, "flood");
}

/* -- passwords */
void case_guess(struct world *w)
{
	struct session owner, s;
	struct reply r = { 0 };
	char from[32];
	unsigned tried = 0, told[32] = { 0 };

	session_as(&owner, w->tracker, w->seed2, "owner", "pw-owner"); /* and logs out: only the device was seen before */
	session_call(&owner, &r, 12, "");
	session_close(&owner);
	while (tried < w->count) {
		from_of(tried / 100, from);
		RAND_bytes(w->seed, sizeof(w->seed));
		if (!session_open(&s, w->tracker, w->seed, from))
			die("the tracker takes nobody");
		for (unsigned i = 0; i < 100 && tried < w->count; i++, tried++) {
			int code = session_call(&s, &r, 11, "ss", "owner", "guess");
			if (code < 0)
				break;
			told[code < 32 ? code : 31]++;
		}
		session_close(&s);
	}
	printf("# guess: %u tries: %u wrong, %u told to wait, %u busy, %u let in\n", tried, told[AUTH], told[QUOTA], told[BUSY], told[OK]);
	check(told[OK] == 0 && told[QUOTA] > told[AUTH], "guessing is slowed down");
	if (!session_open(&owner, w->tracker, w->seed2, NULL))
		die("the tracker takes nobody");
	int code = session_login(&owner, "owner", "pw-owner");
	check(code == OK, "the owner logs in on a device that he has used before (%d)", code);
	session_close(&owner);
	RAND_bytes(w->seed, sizeof(w->seed));
	if (!session_open(&owner, w->tracker, w->seed, NULL))
		die("the tracker takes nobody");
	code = session_login(&owner, "owner", "pw-owner");
	check(code == QUOTA || code == OK, "on another he may have to wait (%d)", code);
	reply_free(&r);
	session_close(&owner);
}

static double one_login(struct session *s, const char *user)
{
	double began = now_ms();
	int code = session_login(s, user, "wrong");
	if (code != AUTH)
		die("a wrong login of %s gives %d", user, code);
	return now_ms() - began;
}

/* Both kinds by turns: what else this machine does, it does to both. How far the medians are apart, as a share. */
static double compare(struct session *s, unsigned n)
{
	struct probe known = { .ms = calloc(n, sizeof(double)) }, unknown = { .ms = calloc(n, sizeof(double)) };
	char name[64];

	if (known.ms == NULL || unknown.ms == NULL)
		die("out of memory");
	for (unsigned i = 0; i < 2 * n; i++) {
		bool there = (i % 4 == 0 || i % 4 == 3); /* each is as often behind itself as behind the other */
		struct probe *p = there ? &known : &unknown;
		snprintf(name, sizeof(name), "%s-%04zu", there ? "timed" : "never", p->n);
		p->ms[p->n++] = one_login(s, name);
	}
	double a = at(&known, 0.5), b = at(&unknown, 0.5), differ = (a > b ? a / b : b / a) - 1;
	printf("# timing: %u each, median of a wrong password %.2f ms, of an unknown user %.2f ms, %.1f %% apart\n", n, a, b, 100 * differ);
	free(known.ms);
	free(unknown.ms);
	return differ;
}

/* A difference that is there is there each time; one that a busy machine makes is not. */
void case_timing(struct world *w)
{
	enum { ROUNDS = 3 };
	struct session s;
	struct reply r = { 0 };
	char name[64], first[256];
	double least = 1;

	if (!session_open(&s, w->tracker, w->seed, NULL))
		die("the tracker takes nobody");
	for (unsigned i = 0; i < w->count; i++) {
		snprintf(name, sizeof(name), "timed-%04u", i);
		if (session_call(&s, &r, 10, "ss", name, "right") != OK)
			die("no account: %s", r.message);
	}
	session_call(&s, &r, 11, "ss", "timed-0000", "wrong");
	snprintf(first, sizeof(first), "%s", r.message);
	session_call(&s, &r, 11, "ss", "never-there", "wrong");
	check(strcmp(first, r.message) == 0, "one sentence for both: %s", first);
	for (unsigned round = 0; round < ROUNDS && least > 0.05; round++) {
		double differ = compare(&s, w->count);
		least = differ < least ? differ : least;
	}
	check(least <= 0.05, "medians within 5 %% (%.1f %%)", 100 * least);
	reply_free(&r);
	session_close(&s);
}
