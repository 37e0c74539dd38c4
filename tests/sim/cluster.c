/* tests/sim/cluster.c - a run, step by step. */
#include "tests/sim/cluster.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/effects.h"

#define STEPS 400

void cluster_boot(struct cluster *c, struct site *s)
{
	CLUSTER_SAY(c, "start of %u", s->id);
	site_boot(s);
}

static struct site *any_site(struct cluster *c)
{
	return &c->sites[sim_random(c->sim, (uint32_t)c->n)];
}

/* What a tracker believes to be with all the others is on all their disks. */
static void check_acks(struct cluster *c)
{
	if (c->mix.lose_disk != 0 || c->history.n == 0)
		return;
	size_t recent = c->history.n < 20 ? c->history.n : 20;
	const struct past_op *p = c->history.ops[c->history.n - 1 - sim_random(c->sim, (uint32_t)recent)];
	for (size_t i = 0; i < c->n; i++) {
		struct site *s = &c->sites[i];
		if (p->fate == FATE_FAILED || !site_up(s) || sync_count_acked(s->sync, &p->stamp, 1) != c->n - 1)
			continue;
		c->met[SOMETIMES_acked_by_all]++;
		for (size_t k = 0; k < c->n; k++)
			if (k != i && !vvec_covers(mem_disk_vector(c->sites[k].disk), p->stamp.dot))
				verdict_fail(c->verdict, "acks", "tracker %u takes for stored on %u what is not: %s of tracker %u, "
				             "op %llx.%llu", s->id, c->sites[k].id, op_word(p->kind), p->stamp.tracker,
				             (unsigned long long)p->stamp.dot.log, (unsigned long long)p->stamp.dot.seq);
	}
}

static void watch_snapshots(struct cluster *c)
{
	uint64_t merged = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct sync_counters sc;
		site_counters(&c->sites[i], &sc);
		merged += sc.snapshots_merged;
	}
	c->met[SOMETIMES_snapshot_in_partition] += c->parted && merged > c->snapshots;
	c->snapshots = merged;
}

static void step(struct cluster *c, unsigned number)
{
	struct site *s = any_site(c);

	sim_run(c->sim, sim_now(c->sim) + sim_random(c->sim, c->mix.step_ms));
	watch_snapshots(c);
	if (c->mix.partition_every != 0 && number % c->mix.partition_every == 0)
		cluster_change_partition(c);
	cluster_fault(c);
	if (c->mix.lonely && number == STEPS / 2)
		cluster_leave_alone(c);
	if (sim_percent(c->sim, 60))
		command_random(&c->commands, s);
	if (c->mix.retry != 0 && sim_percent(c->sim, c->mix.retry))
		command_retry(&c->commands, any_site(c));
	if (number % 8 == 0)
		check_acks(c);
	if (number % 50 == 25 && site_up(s))
		effects_check_names(s->reg, s->id, c->verdict);
}

/* -- one seed */

static void build(struct cluster *c)
{
	struct sim_config config = { .seed = c->seed };

	cluster_choose_mix(c, &config);
	for (size_t i = 0; i < c->n; i++) {
		c->lines[i].id = (uint16_t)(i + 1);
		c->lines[i].addr.port = (uint16_t)(5001 + i);
		snprintf(c->lines[i].addr.host, sizeof(c->lines[i].addr.host), "10.0.0.%zu", i + 1);
	}
	c->commands = (struct commands){ .sim = c->sim, .history = &c->history, .verdict = c->verdict,
		                         .reply_ms_max = 3 * config.commit_max_ms + 4,
		                         .read_ms_max = config.commit_max_ms };
	for (size_t i = 0; i < c->n; i++) {
		struct site *s = &c->sites[i];
		site_init(s, c->sim, (uint16_t)(i + 1), c->lines, c->n);
		s->history = &c->history;
		s->verdict = c->verdict;
		s->others = c->sites;
		s->grain_ms = c->mix.grain_ms;
		s->merge_bytes = c->mix.merge_bytes;
		s->no_memory_per_10000 = c->mix.no_memory;
		if (c->mix.skew_ms != 0)
			s->skew_ms = (int64_t)sim_random(c->sim, 2 * c->mix.skew_ms) - c->mix.skew_ms;
	}
	for (size_t i = 0; i < c->n; i++) {
		if (i + 1 < c->n || sim_percent(c->sim, 70))
			cluster_boot(c, &c->sites[i]);
		else
			c->met[SOMETIMES_late_start]++;
	}
}

static void add_sums(struct cluster *c)
{
	struct sums *s = c->sums;

	s->tried += c->commands.tried;
	s->made += c->commands.made;
	s->virtual_ms += sim_now(c->sim);
	for (size_t i = 0; i < c->history.n; i++) {
		const struct past_op *p = c->history.ops[i];
		s->acked += p->fate == FATE_ACKED;
		s->failed += p->fate == FATE_FAILED;
		s->trackers_own += p->fate == FATE_OWN;
		s->lost += p->fate == FATE_ACKED && p->lost;
	}
}

void cluster_run(uint64_t seed, bool talk, uint64_t *met, struct sums *sums, struct verdict *v)
{
	struct cluster *c = xalloc(sizeof(*c));

	c->seed = seed;
	c->talk = talk;
	c->met = met;
	c->sums = sums;
	c->verdict = v;
	build(c);
	for (unsigned i = 1; i <= STEPS && v->oracle == NULL; i++)
		step(c, i);
	if (v->oracle == NULL)
		cluster_end(c);
	cluster_count(c);
	for (size_t i = 0; i < c->n; i++)
		site_fini(&c->sites[i]);
	add_sums(c);
	history_fini(&c->history);
	sim_free(c->sim);
	free(c);
}
