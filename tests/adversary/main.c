/* tests/adversary/main.c - adversary CASE tracker=H:P [peer=H:P] [key=FILE] [n=COUNT] [seconds=S] */
#include "adversary.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

static unsigned failures; /* of this process, which runs one case on one thread */

bool check(bool holds, const char *what, ...)
{
	va_list ap;
	va_start(ap, what);
	printf("%s - ", holds ? "ok" : "not ok");
	vprintf(what, ap);
	printf("\n");
	va_end(ap);
	fflush(stdout);
	failures += !holds;
	return holds;
}

unsigned check_failures(void)
{
	return failures;
}

void die(const char *what, ...)
{
	va_list ap;
	va_start(ap, what);
	printf("not ok - the case cannot go on: ");
	vprintf(what, ap);
	printf("\n");
	va_end(ap);
	fflush(stdout);
	_Exit(2);
}

static const struct {
	const char *name;
	case_fn *run;
} cases[] = {
	{ "door", case_door },         { "strangers", case_strangers }, { "others", case_others },     { "names", case_names },
	{ "metadata", case_metadata }, { "sync", case_sync },           { "tokens", case_tokens },     { "tickets", case_tickets },
	{ "requests", case_requests }, { "removed", case_removed },     { "overask", case_overask },   { "loris", case_loris },
	{ "half-open", case_half_open }, { "flood", case_flood },       { "guess", case_guess },       { "timing", case_timing },
	{ "starve", case_starve },
};

static void set(struct world *w, const char *word)
{
	const char *value = strchr(word, '=');
	size_t len = value != NULL ? (size_t)(value - word) : 0;
	if (len == 0)
		die("what is '%s'?", word);
	value++;
	if (strncmp(word, "tracker", len) == 0)
		w->tracker = value;
	else if (strncmp(word, "peer", len) == 0)
		w->peer = value;
	else if (strncmp(word, "key", len) == 0)
		w->key_file = value;
	else if (strncmp(word, "n", len) == 0)
		w->count = (unsigned)strtoul(value, NULL, 10);
	else if (strncmp(word, "seconds", len) == 0)
		w->seconds = (unsigned)strtoul(value, NULL, 10);
	else
		die("what is '%s'?", word);
}

int main(int argc, char **argv)
{
	struct world w = { .count = 100, .seconds = 5 };
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2)
		die("which case?");
	for (int i = 2; i < argc; i++)
		set(&w, argv[i]);
	RAND_bytes(w.seed, sizeof(w.seed));
	RAND_bytes(w.seed2, sizeof(w.seed2));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(cases[i].name, argv[1]) == 0) {
			cases[i].run(&w);
			return failures == 0 ? 0 : 1;
		}
	die("no case '%s'", argv[1]);
}
