/* tests/bench/tracker_load.c - puts a tracker under load and says how it did.
 *
 * usage: tracker_load CASE ADDRESS [--clients N] [--depth N] [--seconds N] [--rate N] [--groups N] [--pid PID]
 *   crowd    N clients log in; memory of process PID for each, its CPU while they are idle for the seconds given, then
 *            list_files and find at --rate a second for 10 s
 *   find, list_files   of group 0, --depth of them under way on each connection; echo: the same bytes as find, against
 *            tracker_echo (--bytes: as a reply of list_files is asked for)
 *   change   create_group, --depth under way on each connection; with --rate: so many a second, evenly
 * Prints one line, name=value; times in ms. The database is one of tracker_fill, the clients are load/fleet.h's. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/crypto.h"
#include "core/base/mem.h"
#include "tests/bench/load/fleet.h"
#include "tests/bench/load/meter.h"

enum { WARM_UP_MS = 1000, SETTLE_MS = 3000, LOOKUP_MS = 10000, TURN_MS = 1, READ_FILES = 100, HOSTS = 3 };

enum stage { COMING_IN, SETTLING, IDLE, RUNNING, DONE };

struct load {
	const char *name;
	size_t clients, depth, seconds, rate, groups;
	pid_t pid;
	struct fleet_config config;
	struct fleet *fleet, *hosts;  /* hosts: those who share group 0's files, from another device; NULL: not needed */
	struct loop_timer *timer;
	enum stage stage;
	uint64_t begun_us, until_us;  /* of the stage */
	uint64_t warm_us;             /* replies before that are not counted */
	uint64_t due_us;              /* of the next command of a schedule */
	uint64_t done, refused, bytes;
	struct times times;
	struct usage start, now;
	double login_s, kib_each, anon_each, idle_cpu;
	uint64_t run;                 /* makes names of this run */
	uint64_t made;
	void (*send)(struct load *l, struct fleet_client *c);
};

/* -- commands */
static void send_text(struct fleet_client *c, enum cmd_verb verb, struct buf *fields)
{
	fleet_send(c, verb, fields);
	buf_free(fields);
}

static void send_find_in(struct fleet_client *c, size_t group, size_t file)
{
	char group_name[32], file_name[32];
	struct buf b = { 0 };

	snprintf(group_name, sizeof(group_name), FLEET_GROUP, group);
	snprintf(file_name, sizeof(file_name), FLEET_FILE, file);
	struct req_file r = { .group = slice_str(group_name), .file = slice_str(file_name) };
	req_file_put(&b, &r);
	send_text(c, VERB_FIND, &b);
}

static void send_list_in(struct fleet_client *c, size_t group)
{
	char group_name[32];
	struct buf b = { 0 };

	snprintf(group_name, sizeof(group_name), FLEET_GROUP, group);
	struct req_list_files r = { .group = slice_str(group_name) };
	req_list_files_put(&b, &r);
	send_text(c, VERB_LIST_FILES, &b);
}

static void send_find(struct load *l, struct fleet_client *c)
{
	send_find_in(c, 0, l->made++ % READ_FILES);
}

static void send_list(struct load *l, struct fleet_client *c)
{
	(void)l;
	send_list_in(c, 0);
}

/* tracker_fill's group g belongs to user g, and its first file is the 99 + g-th. */
static void send_lookup(struct load *l, struct fleet_client *c)
{
	size_t most = l->groups < l->clients ? l->groups : l->clients, group = 1 + (size_t)(random_u64() % (most - 1));

	c = fleet_client(l->fleet, group);
	if (l->made++ % 2 == 0)
		send_list_in(c, group);
	else
		send_find_in(c, group, READ_FILES - 1 + group);
}

static void send_change(struct load *l, struct fleet_client *c)
{
	char name[64];
	struct buf b = { 0 };

	snprintf(name, sizeof(name), "load-%08llx-%llu", (unsigned long long)l->run, (unsigned long long)l->made++);
	struct req_group r = { .group = slice_str(name) };
	req_group_put(&b, &r);
	send_text(c, VERB_CREATE_GROUP, &b);
}

/* The sharers are there: now those who ask. */
static void on_hosts(void *arg)
{
	struct load *l = arg;
	fleet_start(l->fleet);
}

static void on_host_reply(void *arg, const struct fleet_reply *r)
{
	(void)arg, (void)r;
}

/* -- the stages */
static void begin_stage(struct load *l, enum stage stage, uint64_t ms)
{
	l->stage = stage;
	l->begun_us = clock_mono_us();
	l->until_us = l->begun_us + ms * 1000;
	if (l->pid != 0)
		l->start = usage_of(l->pid);
}

static double stage_s(const struct load *l)
{
	return (double)(clock_mono_us() - l->begun_us) / 1e6;
}

static double cpu_share(const struct load *l)
{
	return l->pid == 0 ? 0 : (double)(usage_of(l->pid).cpu_us - l->start.cpu_us) / 1e6 / stage_s(l);
}

static void begin_running(struct load *l, uint64_t ms)
{
	begin_stage(l, RUNNING, ms);
	l->due_us = l->begun_us;
	l->warm_us = l->begun_us + WARM_UP_MS * 1000;
	if (l->rate == 0)
		for (size_t i = 0; i < l->clients; i++)
			for (size_t k = 0; k < l->depth; k++)
				l->send(l, fleet_client(l->fleet, i));
	loop_timer_set_ms(l->timer, TURN_MS);
}

static void on_ready(void *arg)
{
	struct load *l = arg;
	bool crowd = l->send == send_lookup;

	l->login_s = stage_s(l);
	if (!crowd) {
		begin_running(l, WARM_UP_MS + l->seconds * 1000);
		return;
	}
	struct usage before = l->start;
	begin_stage(l, SETTLING, SETTLE_MS);
	l->start = before;
	loop_timer_set_ms(l->timer, SETTLE_MS);
}

static void on_reply(void *arg, const struct fleet_reply *r)
{
	struct load *l = arg;
	uint64_t now = clock_mono_us();

	if (l->stage != RUNNING)
		return;
	if (r->head.code != SHOAL_OK) {
		if (l->refused++ == 0)
			fprintf(stderr, "bench: %s refused: %.*s\n", verb_word(r->verb), (int)r->head.message.len,
			        (const char *)r->head.message.data);
	} else if (now >= l->warm_us) {
		l->done += (r->head.flags & RPLY_MORE) == 0;
		l->bytes += r->bytes;
		times_add(&l->times, r->took_us);
	}
	if (l->rate == 0 && now < l->until_us && (r->head.flags & RPLY_MORE) == 0)
		l->send(l, r->client);
}

/* What the schedule has due by now, on one client after the other. */
static void send_due(struct load *l)
{
	uint64_t now = clock_mono_us(), every = 1000000 / l->rate;

	for (; l->due_us <= now && l->due_us < l->until_us; l->due_us += every) {
		struct fleet_client *c = fleet_client(l->fleet, (size_t)(random_u64() % l->clients));
		if (fleet_in_flight(c) < FLEET_DEPTH / 2)
			l->send(l, c);
		else
			l->refused++;
	}
}

static void settled(struct load *l)
{
	struct usage now = usage_of(l->pid);

	l->kib_each = ((double)now.rss_kib - (double)l->start.rss_kib) / (double)l->clients;
	l->anon_each = ((double)now.anon_kib - (double)l->start.anon_kib) / (double)l->clients;
	begin_stage(l, IDLE, l->seconds * 1000);
	loop_timer_set_ms(l->timer, l->seconds * 1000);
}

static void on_timer(void *arg)
{
	struct load *l = arg;

	if (l->stage == SETTLING) {
		settled(l);
		return;
	}
	if (l->stage == IDLE) {
		l->idle_cpu = cpu_share(l);
		begin_running(l, LOOKUP_MS);
		return;
	}
	if (l->rate != 0)
		send_due(l);
	if (clock_mono_us() < l->until_us) {
		loop_timer_set_ms(l->timer, TURN_MS);
		return;
	}
	l->stage = DONE;
	fleet_stop(l->fleet);
}

static void report(struct load *l)
{
	double s = stage_s(l) - WARM_UP_MS / 1000.0, cpu = cpu_share(l);

	printf("case=%s clients=%zu login_s=%.2f", l->name, l->clients, l->login_s);
	if (l->send == send_lookup)
		printf(" kib_each=%.1f anon_kib_each=%.1f idle_cpu=%.4f", l->kib_each, l->anon_each, l->idle_cpu);
	printf(" done=%llu refused=%llu per_s=%.0f reply_bytes=%.0f p50=%.3f p99=%.3f max=%.3f cpu=%.2f us_each=%.2f\n",
	       (unsigned long long)l->done, (unsigned long long)l->refused, (double)l->done / s,
	       l->done != 0 ? (double)l->bytes / (double)l->done : 0, times_ms(&l->times, 0.5),
	       times_ms(&l->times, 0.99), times_ms(&l->times, 1), cpu,
	       l->done != 0 ? cpu * s * 1e6 / (double)l->done : 0);
}

/* -- arguments */
static size_t number(const char *what, const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);
	if (*text == '\0' || *end != '\0' || v > 10000000)
		die("%s: '%s' is not a number", what, text);
	return v;
}

static void read_options(struct load *l, int argc, char **argv)
{
	static const struct option names[] = { { "clients", required_argument, NULL, 'c' },
		                               { "depth", required_argument, NULL, 'd' },
		                               { "seconds", required_argument, NULL, 's' },
		                               { "rate", required_argument, NULL, 'r' },
		                               { "groups", required_argument, NULL, 'g' },
		                               { "pid", required_argument, NULL, 'p' },
		                               { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 'c': l->clients = number("--clients", optarg); break;
		case 'd': l->depth = number("--depth", optarg); break;
		case 's': l->seconds = number("--seconds", optarg); break;
		case 'r': l->rate = number("--rate", optarg); break;
		case 'g': l->groups = number("--groups", optarg); break;
		case 'p': l->pid = (pid_t)number("--pid", optarg); break;
		default: die("see the head of tests/bench/tracker_load.c");
		}
	}
	if (optind + 2 != argc)
		die("usage: tracker_load CASE ADDRESS [options]");
	l->name = argv[optind];
	if (l->clients == 0 || l->depth == 0 || l->depth > FLEET_DEPTH)
		die("at least one client and at most %u commands under way", FLEET_DEPTH);
}

static void choose_case(struct load *l)
{
	static const struct {
		const char *name;
		void (*send)(struct load *l, struct fleet_client *c);
		bool echo;
	} cases[] = { { "crowd", send_lookup, false },     { "find", send_find, false },
		      { "list_files", send_list, false },  { "change", send_change, false },
		      { "echo-find", send_find, true },    { "echo-list_files", send_list, true } };

	for (size_t i = 0; i < COUNT_OF(cases) && l->send == NULL; i++)
		if (strcmp(cases[i].name, l->name) == 0) {
			l->send = cases[i].send;
			l->config.echo = cases[i].echo;
		}
	if (l->send == NULL)
		die("there is no case '%s'", l->name);
	if (l->send == send_lookup && (l->pid == 0 || l->rate == 0 || l->groups < 2 || l->clients < 2))
		die("crowd needs --pid, --rate and --groups");
}

int main(int argc, char **argv)
{
	struct load l = { .clients = 1, .depth = 1, .seconds = 5, .run = random_u64() >> 32 };
	struct fleet_config hosts = { .n = HOSTS, .ready = on_hosts, .reply = on_host_reply, .arg = &l };
	struct error e;

	read_options(&l, argc, argv);
	l.config = (struct fleet_config){ .n = l.clients, .ready = on_ready, .reply = on_reply, .arg = &l };
	choose_case(&l);
	if (address_parse(argv[optind + 1], false, &l.config.tracker, &e) != SHOAL_OK)
		die("%s", e.message);
	bool reads = l.send == send_find || l.send == send_list;
	if (reads && !l.config.echo) {
		l.config.first = HOSTS;
		l.config.seed = FLEET_SEED + 1;
	}
	l.fleet = fleet_new(&l.config);
	l.timer = loop_timer_new(fleet_loop(l.fleet), on_timer, &l);
	begin_stage(&l, COMING_IN, 0);
	if (l.config.first != 0) {
		hosts.tracker = l.config.tracker;
		hosts.loop = fleet_loop(l.fleet);
		l.hosts = fleet_new(&hosts);
		fleet_start(l.hosts);
	} else {
		fleet_start(l.fleet);
	}
	fleet_run(l.fleet);
	report(&l);
	if (l.hosts != NULL)
		fleet_free(l.hosts);
	loop_timer_free(l.timer);
	fleet_free(l.fleet);
	times_free(&l.times);
	return l.refused != 0;
}
