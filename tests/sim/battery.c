/* tests/sim/battery.c */
#include "tests/sim/battery.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FAILURES_TOLD 10

struct orders {
	uint64_t from, to;
	double seconds; /* 0: no limit */
	bool whole, first, talk;
};

bool verdict_fail(struct verdict *v, const char *oracle, const char *fmt, ...)
{
	va_list args;

	if (v->oracle != NULL)
		return false;
	v->oracle = oracle;
	va_start(args, fmt);
	vsnprintf(v->text, sizeof(v->text), fmt, args);
	va_end(args);
	return false;
}

static bool read_orders(struct orders *o, const struct battery *b, int argc, char **argv)
{
	*o = (struct orders){ .from = 1, .to = b->seeds / BATTERY_SHARE };
	if (argc == 1) {
		o->whole = BATTERY_SHARE == 1; /* a part of the seeds, with a sanitizer, need not meet all that is rare */
	} else if (argc == 4 && strcmp(argv[1], "--for") == 0) {
		o->seconds = strtod(argv[2], NULL);
		o->from = strtoull(argv[3], NULL, 10);
		o->to = UINT64_MAX;
	} else if (argc == 3 && strcmp(argv[1], "--first") == 0) {
		o->to = strtoull(argv[2], NULL, 10);
		o->first = true;
	} else if (argc <= 3 && argv[1][0] != '-') {
		o->from = strtoull(argv[1], NULL, 10);
		o->to = strtoull(argv[argc - 1], NULL, 10);
		o->talk = argc == 2;
	} else {
		fprintf(stderr, "usage: %s [SEED | FROM TO | --for SECONDS FROM | --first COUNT]\n", argv[0]);
		return false;
	}
	return true;
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool run_seed(const struct battery *b, const char *program, const struct orders *o, uint64_t seed)
{
	struct verdict v = { 0 };

	b->run(b->owner, seed, o->talk, &v);
	if (v.oracle == NULL)
		return true;
	printf("not ok - seed %" PRIu64 ": [%s] %s\n# replay: %s %" PRIu64 "\n", seed, v.oracle, v.text, program, seed);
	fflush(stdout);
	return false;
}

static bool judge(const struct battery *b, const char *program, uint64_t from, uint64_t to)
{
	struct verdict v = { 0 };

	if (b->judge != NULL)
		b->judge(b->owner, &v);
	if (v.oracle != NULL)
		printf("not ok - seed %" PRIu64 ": [%s] %s\n# replay: %s %" PRIu64 " %" PRIu64 "\n", to, v.oracle, v.text, program,
		       from, to);
	return v.oracle == NULL;
}

static bool tell_sometimes(const struct battery *b)
{
	bool all = true;

	printf("# sometimes:");
	for (size_t i = 0; i < b->n_sometimes; i++) {
		printf(" %s=%" PRIu64, b->sometimes[i], b->met[i]);
		all = all && b->met[i] != 0;
	}
	printf("\n");
	return all;
}

int battery_main(const struct battery *b, int argc, char **argv)
{
	struct orders o;
	double start = now_s();
	uint64_t ran = 0;
	unsigned bad = 0;

	if (!read_orders(&o, b, argc, argv))
		return 2;
	for (uint64_t seed = o.from; seed <= o.to && bad < (o.first ? 1 : FAILURES_TOLD); seed++) {
		if (o.seconds > 0 && now_s() - start >= o.seconds)
			break;
		bad += !run_seed(b, argv[0], &o, seed);
		ran++;
	}
	if (bad == 0)
		bad += !judge(b, argv[0], o.from, o.from + ran - 1);
	printf("# seeds: %" PRIu64 " (%" PRIu64 " to %" PRIu64 ") in %.1f s\n", ran, o.from, o.from + ran - 1,
	       now_s() - start);
	if (b->tell != NULL)
		b->tell(b->owner);
	bool all = tell_sometimes(b);
	printf("1..2\n%s 1 - %s\n", bad ? "not ok" : "ok", b->promise);
	printf("%s 2 - every rare state was met%s\n", all || !o.whole ? "ok" : "not ok",
	       o.whole ? "" : " # SKIP not the whole run");
	return bad != 0 || (o.whole && !all);
}
