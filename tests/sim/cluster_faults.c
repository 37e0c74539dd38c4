/* tests/sim/cluster_faults.c - what goes wrong. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/cluster.h"

#define ALONE_MS 3800000

/* -- which faults this seed has */

static uint32_t sometimes(struct sim *sim, uint32_t most)
{
	return sim_percent(sim, 50) ? 1 + sim_random(sim, most) : 0;
}

void cluster_choose_mix(struct cluster *c, struct sim_config *config)
{
	static const uint32_t latencies[] = { 2, 20, 200, 2000 }, commits[] = { 2, 20, 200 }, steps[] = { 10, 40, 40, 150 };
	struct sim *sim = c->sim = sim_new(config);
	struct fault_mix *m = &c->mix;

	config->latency_max_ms = latencies[sim_random(sim, 4)];
	config->commit_max_ms = commits[sim_random(sim, 3)];
	config->cut_percent = sim_percent(sim, 50) ? 40 : 0;
	config->reset_per_10000 = sometimes(sim, 60);
	config->frame_per_10000 = sometimes(sim, 60);
	config->snapshot_percent = sometimes(sim, 30);
	sim_configure(sim, config);
	c->n = sim_percent(sim, 50) ? 3 : 4 + sim_random(sim, 2);
	m->step_ms = steps[sim_random(sim, 4)];
	m->partition_every = sim_percent(sim, 70) ? 25 : 0;
	m->one_way = sometimes(sim, 100);
	m->crash = sometimes(sim, 3);
	m->boot = 1 + sim_random(sim, 10);
	m->cut_log = sometimes(sim, 8);
	m->fail_commit = sometimes(sim, 2);
	m->lose_disk = sometimes(sim, 8);
	m->backup = m->lose_disk != 0 ? 1 : 0;
	m->clock_jump = sim_percent(sim, 20) ? 1 : 0;
	m->skew_ms = sim_percent(sim, 60) ? 1 + sim_random(sim, 28000) : 0;
	m->grain_ms = sim_percent(sim, 30) ? 2000 : 0; /* so that claims fall on one time */
	m->retry = sometimes(sim, 10);
	m->merge_bytes = sim_percent(sim, 70) ? 100 + sim_random(sim, 1000) : 0;
	m->no_memory = sim_percent(sim, 20) ? 1 + sim_random(sim, 50) : 0;
	m->lonely = c->seed % 250 == 77;
}

/* -- the faults */

static void crash(struct cluster *c, struct site *s)
{
	CLUSTER_SAY(c, "crash of %u", s->id);
	c->met[SOMETIMES_crash_while_joining] += sync_joining(s->sync);
	c->met[SOMETIMES_crash_while_merging] += sync_merging(s->sync);
	c->met[SOMETIMES_restart]++;
	site_crash(s);
}

/* What no other disk has is lost with this one; the old one, if any, has what it has. */
static void mark_lost(struct cluster *c, const struct site *s, const struct vvec *old)
{
	for (size_t i = 0; i < c->history.n; i++) {
		struct past_op *p = c->history.ops[i];
		bool safe = vvec_covers(old, p->stamp.dot);
		for (size_t k = 0; k < c->n; k++)
			safe |= &c->sites[k] != s && vvec_covers(mem_disk_vector(c->sites[k].disk), p->stamp.dot);
		p->lost |= !safe;
		c->met[SOMETIMES_operation_lost_with_its_disk] += !safe && p->fate == FATE_ACKED;
	}
}

static void lose_disk(struct cluster *c, struct site *s)
{
	struct vvec old = { 0 };

	c->disk_lost = true;
	if (site_up(s))
		crash(c, s);
	mem_disk_free(s->disk);
	if (s->backup != NULL) {
		CLUSTER_SAY(c, "backup of %u restored", s->id);
		c->met[SOMETIMES_backup_restored]++;
		s->disk = s->backup;
		s->backup = NULL;
		if (vvec_copy(&old, mem_disk_vector(s->disk)) != SHOAL_OK)
			abort();
	} else {
		CLUSTER_SAY(c, "disk of %u lost", s->id);
		c->met[SOMETIMES_disk_lost]++;
		s->disk = mem_disk_new();
	}
	mark_lost(c, s, &old);
	vvec_fini(&s->durable);
	vvec_fini(&old);
	cluster_boot(c, s);
}

/* A log may be cut where at least one other has it: here, one that is up. */
static void cut_log(struct cluster *c, struct site *s, struct site *other)
{
	struct vvec upto = { 0 };
	struct error e;

	if (!site_up(s) || !site_up(other) || s == other)
		return;
	const struct vvec *mine = registry_durable_vector(s->reg), *has = registry_durable_vector(other->reg);
	for (size_t i = 0; i < mine->n; i++) {
		uint64_t seq = vvec_get(has, mine->entries[i].log);
		seq = seq < mine->entries[i].seq ? seq : mine->entries[i].seq;
		if (seq != 0 && vvec_raise(&upto, mine->entries[i].log, seq) != SHOAL_OK)
			abort();
	}
	commit_raise_floor(s->commit, &upto);
	if (store_mem_ops.log_cut(s->store, &upto, &e) != SHOAL_OK)
		abort();
	for (size_t i = 0; i < c->n; i++)
		c->met[SOMETIMES_log_cut_under_a_lagging_peer] += !vvec_covers_all(&c->sites[i].durable, &upto);
	vvec_fini(&upto);
	c->met[SOMETIMES_log_cut]++;
	CLUSTER_SAY(c, "log of %u cut to what %u has", s->id, other->id);
}

static void jump_clock(struct cluster *c, struct site *s)
{
	s->skew_ms = (int64_t)sim_random(c->sim, 240000) - 120000;
	sim_set_skew(s->node, s->skew_ms);
	c->met[SOMETIMES_clock_jump]++;
	CLUSTER_SAY(c, "clock of %u is %lld ms off", s->id, (long long)s->skew_ms);
}

void cluster_change_partition(struct cluster *c)
{
	bool one_way = sim_percent(c->sim, c->mix.one_way);
	uint32_t side = 1 + sim_random(c->sim, (1u << c->n) - 2);
	bool parted = sim_percent(c->sim, 60);

	for (size_t i = 0; i < c->n; i++)
		for (size_t k = 0; k < c->n; k++) {
			bool across = (side >> i & 1) && !(side >> k & 1);
			bool back = !one_way && !(side >> i & 1) && (side >> k & 1);
			sim_block(c->sites[i].node, c->sites[k].node, parted && (across || back));
		}
	c->parted = parted;
	c->met[SOMETIMES_partition] += parted && !one_way;
	c->met[SOMETIMES_one_way] += parted && one_way;
	CLUSTER_SAY(c, parted ? "partition %x%s" : "no partition %x%s", side, one_way ? " one-way" : "");
}

void cluster_leave_alone(struct cluster *c)
{
	struct site *s = &c->sites[sim_random(c->sim, (uint32_t)c->n)];
	uint64_t until = sim_now(c->sim) + ALONE_MS;

	CLUSTER_SAY(c, "%u is alone for over an hour", s->id);
	for (size_t i = 0; i < c->n; i++)
		for (size_t k = 0; k < c->n; k++)
			sim_block(c->sites[i].node, c->sites[k].node, (&c->sites[i] == s) != (&c->sites[k] == s));
	c->parted = true;
	if (!site_up(s))
		cluster_boot(c, s);
	while (sim_now(c->sim) < until) {
		sim_run(c->sim, sim_now(c->sim) + ALONE_MS / 50);
		command_random(&c->commands, s);
		command_random(&c->commands, &c->sites[sim_random(c->sim, (uint32_t)c->n)]);
	}
	c->met[SOMETIMES_alone_for_an_hour]++;
}

void cluster_fault(struct cluster *c)
{
	struct site *s = &c->sites[sim_random(c->sim, (uint32_t)c->n)];
	struct site *other = &c->sites[sim_random(c->sim, (uint32_t)c->n)];
	const struct fault_mix *m = &c->mix;
	uint32_t dice = sim_random(c->sim, 1000);

	if (!site_up(s)) {
		if (dice < 10 * m->boot)
			cluster_boot(c, s);
	} else if (dice < 10 * m->crash) {
		crash(c, s);
		if (sim_percent(c->sim, 50))
			cluster_boot(c, s);
	} else if ((dice -= 10 * m->crash) < 10 * m->cut_log) {
		cut_log(c, s, other);
	} else if ((dice -= 10 * m->cut_log) < 10 * m->fail_commit) {
		sim_fail_commits(s->node, 1 + sim_random(c->sim, 2), sim_percent(c->sim, 50) ? SHOAL_EDISKFULL : SHOAL_EIO);
	} else if ((dice -= 10 * m->fail_commit) < 10 * m->backup) {
		mem_disk_free(s->backup);
		s->backup = mem_disk_copy(s->disk);
	} else if ((dice -= 10 * m->backup) < m->lose_disk) {
		lose_disk(c, s);
	} else if ((dice -= m->lose_disk) < m->clock_jump) {
		jump_clock(c, s);
	}
}
