/* tests/sim/sim_clients.c - the full simulation: three whole trackers (tracker_step) and four clients (client/link.c) in
 * virtual time; in a quarter of the seeds with the real SQLite store, on disks that lose what was not flushed.
 *
 * The clients make accounts, groups, requests and uploads, log in and out, and are told how that went, while trackers
 * crash and come back, are parted from each other and from clients, connections are cut and reset, and stores fail.
 * In some seeds answers wait for other trackers (--min-sync), and who has sworn that they have it may be killed at once,
 * disk and all; in some hours pass, so that logs are cut.
 * Then everything is healed: within 60 virtual seconds every client gets an answer, the trackers agree, each user who is
 * logged in is online everywhere, and what each client was told is so, exactly once, however often its link had to send
 * it (users.c). docs/testing.md says what each oracle looks at; battery.h says how to call it. */
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/battery.h"
#include "tests/sim/oracles.h"
#include "tests/sim/site_sqlite.h"
#include "tests/sim/site_tracker.h"
#include "tests/sim/whole.h"

#define SEEDS 300
#define STEPS 250
#define LIVENESS_MS 60000
#define LEASE_MS 30000
/* A lease is told with what is left of it, counted from its arrival: each hop adds what a message may be under way
 * before its connection is given up. */
#define UNDER_WAY_MS (5000 * (TRACKERS - 1))
#define LONG_EVERY 25 /* seeds */
#define HOURS_STEPS 120
#define HOURS_STEP_MS 120000

/* -- who is online */

struct online_check {
	struct run *r;
	const struct site *site;
	bool seen[USERS_MAX];
};

static struct user *user_by_uid(struct run *r, const struct id16 *uid)
{
	for (unsigned i = 0; i < r->users.n; i++)
		if (id16_eq(&r->users.user[i].uid, uid))
			return &r->users.user[i];
	return NULL;
}

/* No tracker takes anybody for online longer than 30 s after any tracker last heard of him. */
static void check_lease(void *arg, const struct id16 *uid, uint16_t home, uint64_t until)
{
	struct online_check *c = arg;
	struct user *u = user_by_uid(c->r, uid);
	uint64_t heard = 0;

	if (u == NULL)
		return; /* logged in, and the answer has not come to him yet */
	for (unsigned i = 0; i < TRACKERS; i++)
		if (sim_heard(c->r->sites[i].node, u->node) > heard)
			heard = sim_heard(c->r->sites[i].node, u->node);
	c->seen[u->number] = true;
	c->r->sums->met[SOMETIMES_online_elsewhere] += home != c->site->id;
	if (until > heard + LEASE_MS + UNDER_WAY_MS)
		verdict_fail(c->r->verdict, "leases", "tracker %u takes %s for online until %" PRIu64 ", nobody has heard "
		             "of him since %" PRIu64, c->site->id, u->name, until, heard);
}

static void check_online(struct run *r)
{
	for (unsigned i = 0; i < TRACKERS; i++) {
		struct online_check c = { .r = r, .site = &r->sites[i] };
		if (!site_up(c.site))
			continue;
		site_each_online(c.site, check_lease, &c);
		for (unsigned u = 0; u < r->users.n; u++)
			r->sums->met[SOMETIMES_lease_over] += r->seen_online[i][u] && !c.seen[u];
		memcpy(r->seen_online[i], c.seen, sizeof(c.seen));
	}
}

static bool all_online(struct run *r, char *why, size_t size)
{
	check_online(r);
	for (unsigned i = 0; i < TRACKERS; i++)
		for (unsigned u = 0; u < r->users.n; u++) {
			struct link_status st;
			link_status(r->users.user[u].link, &st);
			if (!st.logged_in || r->seen_online[i][u])
				continue;
			snprintf(why, size, "tracker %u does not take %s for online", i + 1, r->users.user[u].name);
			return false;
		}
	return true;
}

/* -- hours, with somebody who does something now and then */

static void let_hours_pass(struct run *r)
{
	SAY(r, "hours pass");
	whole_join_all(r);
	for (unsigned i = 0; i < TRACKERS; i++)
		if (!site_up(&r->sites[i]))
			site_boot(&r->sites[i]);
	for (int i = 0; i < HOURS_STEPS && r->verdict->oracle == NULL; i++) {
		sim_run(r->sim, sim_now(r->sim) + HOURS_STEP_MS);
		users_act(&r->users);
		check_online(r);
		if (i == HOURS_STEPS / 4)
			whole_lose_sight(r);
	}
	r->sums->met[SOMETIMES_hours]++;
}

/* -- the end */

static bool trackers_agree(struct run *r, char *why, size_t size)
{
	for (unsigned i = 0; i < TRACKERS; i++) {
		if (registry_pending(r->sites[i].reg) != 0 ||
		    !vvec_eq(registry_durable_vector(r->sites[i].reg), registry_durable_vector(r->sites[0].reg))) {
			snprintf(why, size, "the vectors of trackers 1 and %u are not equal", i + 1);
			return false;
		}
	}
	return true;
}

static bool all_well(struct run *r, char *why, size_t size)
{
	if (users_all_answered(&r->users))
		return trackers_agree(r, why, size) && all_online(r, why, size);
	snprintf(why, size, "a client still has no answer");
	return false;
}

static bool heal(struct run *r)
{
	uint64_t healed = sim_now(r->sim), took;
	char why[200] = "";
	bool well;

	SAY(r, "healed");
	r->healed = true;
	sim_heal(r->sim);
	for (unsigned i = 0; i < TRACKERS; i++)
		if (!site_up(&r->sites[i]))
			site_boot(&r->sites[i]);
	for (unsigned i = 0; i < r->users.n; i++)
		r->users.user[i].alive = false;
	do {
		users_ask_all(&r->users);
		sim_run(r->sim, sim_now(r->sim) + 500);
		well = all_well(r, why, sizeof(why));
		took = sim_now(r->sim) - healed;
	} while (!well && took < LIVENESS_MS);
	if (took > r->sums->slowest_ms)
		r->sums->slowest_ms = took;
	return well || verdict_fail(r->verdict, "liveness", "60 s after healing %s", why);
}

static void check(struct run *r)
{
	char why[300] = "";

	if (!heal(r) || !oracles_digests(r->sites, TRACKERS, r->verdict) ||
	    !oracles_model(r->sites, TRACKERS, &r->history, r->verdict))
		return;
	if (!users_check(&r->users, r->sites[0].reg, why, sizeof(why)))
		verdict_fail(r->verdict, "told", "%s", why);
}

/* -- one seed */

static void count_site(struct run *r, const struct site *s)
{
	struct sync_counters sc;
	uint64_t *met = r->sums->met;

	site_counters(s, &sc);
	met[SOMETIMES_log_cut] += s->cuts;
	met[SOMETIMES_log_cut_over_one_that_lacks_it] += s->cuts_ahead;
	met[SOMETIMES_snapshot_merged] += sc.snapshots_merged;
	met[SOMETIMES_snapshot_in_portions] += sc.portions_merged > sc.snapshots_merged ? sc.portions_merged - sc.snapshots_merged : 0;
	met[SOMETIMES_content_fetched] += sc.contents_fetched;
	if (sc.digests_differ != 0)
		verdict_fail(r->verdict, "agreement", "tracker %u saw digests differ", s->id);
}

static void count(struct run *r)
{
	const struct sim_counts *c = sim_counts(r->sim);
	const struct user_counts *u = &r->users.counts;
	uint64_t *met = r->sums->met;

	met[SOMETIMES_commit_failed] += c->commits_failed;
	met[SOMETIMES_connection_reset] += c->resets;
	met[SOMETIMES_frame_cut] += c->cuts;
	met[SOMETIMES_commit_lost_in_crash] += c->commits_lost;
	met[SOMETIMES_durable_but_unsaid] += c->committed_unsaid;
	met[SOMETIMES_failover] += u->failovers;
	met[SOMETIMES_resumed] += u->resumed;
	met[SOMETIMES_acknowledged] += u->acked;
	met[SOMETIMES_unknown] += u->unknown;
	met[SOMETIMES_uploaded] += u->uploads;
	met[SOMETIMES_event] += u->events;
	met[SOMETIMES_password_changed] += u->passwords;
	met[SOMETIMES_logged_out] += u->logouts;
	for (unsigned i = 0; i < TRACKERS; i++)
		count_site(r, &r->sites[i]);
	r->sums->commands += u->commands;
	r->sums->answered_ok += u->acked;
	r->sums->unknown += u->unknown;
	r->sums->records += HASH_COUNT(r->history.durable);
}

static void build(struct run *r)
{
	static const uint32_t latencies[] = { 2, 20, 150 }, commits[] = { 2, 30, 150 };
	uint64_t seed = r->seed;
	bool sqlite = seed % 4 == 0;

	r->min_sync = seed % 5 == 1 ? 1 : seed % 5 == 3 ? 2 : 0;

	r->sim = sim_new(&(struct sim_config){ .seed = seed,
	                                       .latency_max_ms = latencies[seed % 3],
	                                       .commit_max_ms = commits[seed / 3 % 3],
	                                       .cut_percent = 30,
	                                       .reset_per_10000 = seed % 2 ? 40 : 0 });
	r->quick = latencies[seed % 3] <= 20 && commits[seed / 3 % 3] <= 30 && seed % 2 == 0;
	r->sums->sqlite_seeds += sqlite;
	for (unsigned i = 0; i < TRACKERS; i++) {
		r->lines[i].id = (uint16_t)(i + 1);
		r->lines[i].addr.port = (uint16_t)(5001 + i);
		snprintf(r->lines[i].addr.host, sizeof(r->lines[i].addr.host), "10.0.0.%u", i + 1);
	}
	r->info = (struct tracker_info){ .trackers = r->lines, .n = TRACKERS };
	for (unsigned i = 0; i < TRACKERS; i++) {
		struct site *s = &r->sites[i];
		site_init(s, r->sim, (uint16_t)(i + 1), r->lines, TRACKERS);
		s->kind = &site_tracker;
		s->medium = sqlite ? &site_sqlite : &site_memory;
		s->history = &r->history;
		s->verdict = r->verdict;
		s->others = r->sites;
		s->skew_ms = (int64_t)sim_random(r->sim, 8000) - 4000;
		s->min_sync = r->min_sync;
		s->snapshot_frame = 300;
		s->merge_bytes = seed % 3 == 0 ? 0 : 100 + 200 * (seed % 7);
		s->log_bytes = 2000;
		site_boot(s);
	}
	users_init(&r->users, r->sim, &r->info, USERS_MAX);
	r->users.answered = whole_on_answered;
	r->users.owner = r;
}

static void run_seed(void *owner, uint64_t seed, bool talk, struct verdict *v)
{
	struct run *r = xalloc(sizeof(*r));

	r->seed = seed;
	r->talk = talk;
	r->sums = owner;
	r->verdict = v;
	build(r);
	for (int s = 0; s < STEPS && v->oracle == NULL; s++) {
		sim_run(r->sim, sim_now(r->sim) + sim_random(r->sim, 400));
		if (s % 25 == 24)
			whole_part(r);
		if (sim_percent(r->sim, 15))
			whole_fault(r);
		(void)whole_note_trouble(r);
		users_act(&r->users);
		if (s % 5 == 0)
			check_online(r);
		if (s == STEPS / 2 && seed % LONG_EVERY == 7)
			let_hours_pass(r);
	}
	if (v->oracle == NULL)
		check(r);
	count(r);
	users_fini(&r->users);
	for (unsigned i = 0; i < TRACKERS; i++)
		site_fini(&r->sites[i]);
	history_fini(&r->history);
	sim_free(r->sim);
	free(r);
}

static void tell(void *owner)
{
	const struct whole *w = owner;
	printf("# commands %" PRIu64 ", acknowledged %" PRIu64 ", unknown %" PRIu64 "; records %" PRIu64 "; %" PRIu64
	       " seeds on SQLite; all well at the latest %.1f s after healing\n", w->commands, w->answered_ok, w->unknown,
	       w->records, w->sqlite_seeds, (double)w->slowest_ms / 1000);
	printf("# answers: 99 of 100 within %" PRIu64 " virtual ms of %" PRIu64 ", within %" PRIu64 " of %" PRIu64
	       " while a tracker was alone or down\n", whole_p99(&w->calm), w->calm.n, whole_p99(&w->trouble), w->trouble.n);
}

int main(int argc, char **argv)
{
	static const char *const names[] = {
#define X(name) #name,
		SOMETIMES(X)
#undef X
	};
	struct whole w = { 0 };
	struct battery b = { .promise = "every client was answered, and what it was told is so",
		             .seeds = SEEDS,
		             .sometimes = names,
		             .met = w.met,
		             .n_sometimes = COUNT_OF(names),
		             .owner = &w,
		             .run = run_seed,
		             .judge = whole_judge,
		             .tell = tell };
	return battery_main(&b, argc, argv);
}
