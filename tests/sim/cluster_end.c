/* tests/sim/cluster_end.c - everything is healed: the trackers agree, and the oracles have nothing to say. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/registry/group_manager.h"
#include "core/registry/user_manager.h"
#include "tests/sim/cluster.h"
#include "tests/sim/contents.h"
#include "tests/sim/effects.h"
#include "tests/sim/oracles.h"

#define LIVENESS_MS 60000
#define DIGESTS_MS 70000 /* they are compared each minute */

/* -- liveness */

static bool vectors_equal(struct cluster *c, char *why, size_t size)
{
	const struct site *first = &c->sites[0];

	for (size_t i = 0; i < c->n; i++) {
		const struct site *s = &c->sites[i];
		if (commit_idle(s->commit) && registry_pending(s->reg) == 0 &&
		    vvec_eq(registry_durable_vector(s->reg), registry_durable_vector(first->reg)))
			continue;
		snprintf(why, size, "the vectors of trackers 1 and %u are not equal", s->id);
		return false;
	}
	return true;
}

static bool all_writable(struct cluster *c, char *why, size_t size)
{
	for (size_t i = 0; i < c->n; i++) {
		struct error e = { 0 };
		if (sync_check_writable(c->sites[i].sync, &e) == SHOAL_OK)
			continue;
		snprintf(why, size, "tracker %u says: %.150s", c->sites[i].id, e.message);
		return false;
	}
	return true;
}

static bool agree(struct cluster *c, char *why, size_t size)
{
	return vectors_equal(c, why, size) && contents_everywhere(c->sites, c->n, c->disk_lost, why, size) &&
	       all_writable(c, why, size);
}

static bool heal(struct cluster *c)
{
	uint64_t healed = sim_now(c->sim);
	char why[200] = "";

	CLUSTER_SAY(c, "healed");
	sim_heal(c->sim);
	for (size_t i = 0; i < c->n; i++) {
		struct site *s = &c->sites[i];
		s->no_memory_per_10000 = 0;
		if (!site_up(s))
			cluster_boot(c, s);
		if (s->skew_ms > 30000 || s->skew_ms < -30000)
			sim_set_skew(s->node, s->skew_ms = 0);
	}
	do {
		sim_run(c->sim, sim_now(c->sim) + 100);
	} while (!agree(c, why, sizeof(why)) && sim_now(c->sim) < healed + LIVENESS_MS);
	if (!agree(c, why, sizeof(why)))
		return verdict_fail(c->verdict, "liveness", "%d s after healing %s", LIVENESS_MS / 1000, why);
	if (sim_now(c->sim) - healed > c->sums->slowest_ms)
		c->sums->slowest_ms = sim_now(c->sim) - healed;
	CLUSTER_SAY(c, "equal");
	if (c->seed % 40 == 0)
		sim_run(c->sim, sim_now(c->sim) + DIGESTS_MS);
	return agree(c, why, sizeof(why)) ||
	       verdict_fail(c->verdict, "liveness", "agreement was lost again: %s", why);
}

/* -- what was acknowledged */

/* What is known everywhere was durable, whatever became of its answer. */
static bool check_acknowledged(struct cluster *c)
{
	const struct vvec *vector = registry_durable_vector(c->sites[0].reg);

	for (size_t i = 0; i < c->history.n; i++) {
		struct past_op *p = c->history.ops[i];
		bool here = history_stands(p, vector);
		c->met[SOMETIMES_unknown_found_committed] += p->fate == FATE_UNKNOWN && here;
		c->met[SOMETIMES_unknown_found_not] += p->fate == FATE_UNKNOWN && !here;
		if (here)
			p->lost = false; /* the disk that was lost was not the only one: it was under way */
		if (p->fate == FATE_ACKED && !p->lost && !here)
			return verdict_fail(c->verdict, "acknowledged", "%s of tracker %u, op %llx.%llu, and no tracker knows it",
			                    op_word(p->kind), p->stamp.tracker, (unsigned long long)p->stamp.dot.log,
			                    (unsigned long long)p->stamp.dot.seq);
		if (p->fate == FATE_FAILED && here)
			return verdict_fail(c->verdict, "acknowledged", "%s of tracker %u failed, and shows", op_word(p->kind),
			                    p->stamp.tracker);
	}
	return true;
}

/* -- rare states that only the end shows */

static bool any_alias(const struct registry *reg, unsigned table)
{
	struct registry_iter it = registry_all(reg, table);
	char shown[NAME_SHOWN_MAX];
	const void *view;

	while ((view = registry_next(&it)) != NULL) {
		if (table == TABLE_USER)
			user_shown(reg, &((const struct user_row *)view)->uid, shown);
		else if (table == TABLE_GROUP)
			group_shown(reg, &((const struct group_row *)view)->gid, shown);
		else
			file_shown(reg, &((const struct file_row *)view)->gid, &((const struct file_row *)view)->fid, shown);
		if (strchr(shown, '~') != NULL)
			return true;
	}
	return false;
}

static bool claims_tie(const struct registry *reg)
{
	struct registry_iter it = registry_all(reg, TABLE_USER);
	const struct user_row *a, *b;

	while ((a = registry_next(&it)) != NULL) {
		struct registry_iter others = registry_all(reg, TABLE_USER);
		while ((b = registry_next(&others)) != NULL)
			if (a != b && a->claim.hlc == b->claim.hlc && slice_eq(a->name, b->name))
				return true;
	}
	return false;
}

static void count_final(struct cluster *c)
{
	const struct registry *reg = c->sites[0].reg;
	struct registry_iter it = registry_all(reg, TABLE_NOTICE);
	const struct notice_row *notice;

	while ((notice = registry_next(&it)) != NULL) {
		c->met[SOMETIMES_notice]++;
		c->met[SOMETIMES_accept_voided] += slice_eq_str(notice->kind, "accept-void");
	}
	for (size_t i = 0; i < c->history.n; i++) {
		const struct past_op *p = c->history.ops[i];
		c->met[SOMETIMES_name_yielded] += p->kind == OP_YIELD && p->durable;
		if (p->fate != FATE_ACKED)
			continue;
		c->met[SOMETIMES_owner_handed_over] += p->kind == OP_TRANSFER_GROUP;
		c->met[SOMETIMES_role_given] += p->kind == OP_SET_ROLE;
		c->met[SOMETIMES_group_deleted] += p->kind == OP_DELETE_GROUP;
		c->met[SOMETIMES_password_changed] += p->kind == OP_CHANGE_PASSWORD;
	}
	c->met[SOMETIMES_name_conflict] += any_alias(reg, TABLE_USER) || any_alias(reg, TABLE_GROUP);
	c->met[SOMETIMES_file_conflict] += any_alias(reg, TABLE_FILE);
	c->met[SOMETIMES_claims_at_one_time] += claims_tie(reg);
}

void cluster_end(struct cluster *c)
{
	if (heal(c) && oracles_digests(c->sites, c->n, c->verdict) && check_acknowledged(c) &&
	    oracles_model(c->sites, c->n, &c->history, c->verdict) &&
	    effects_check(&c->history, c->sites[0].reg, c->verdict))
		count_final(c);
}

void cluster_count(struct cluster *c)
{
	const struct sim_counts *n = sim_counts(c->sim);
	const struct commands *cmd = &c->commands;
	uint64_t *met = c->met;

	met[SOMETIMES_five_trackers] += c->n == 5;
	met[SOMETIMES_commit_failed] += n->commits_failed;
	met[SOMETIMES_connection_reset] += n->resets;
	met[SOMETIMES_frame_cut] += n->cuts;
	met[SOMETIMES_frame_lost] += n->frames_lost;
	met[SOMETIMES_frame_doubled] += n->frames_doubled;
	met[SOMETIMES_frames_swapped] += n->frames_swapped;
	met[SOMETIMES_commit_lost_in_crash] += n->commits_lost;
	met[SOMETIMES_durable_but_unsaid] += n->committed_unsaid;
	met[SOMETIMES_alias_used] += cmd->aliases_used;
	met[SOMETIMES_login_as_name_loser] += cmd->login_as_loser;
	met[SOMETIMES_name_reused] += cmd->name_reused;
	met[SOMETIMES_refused_read_only] += cmd->refused_full;
	met[SOMETIMES_refused_joining] += cmd->refused_busy - cmd->refused_clock;
	met[SOMETIMES_refused_for_its_clock] += cmd->refused_clock;
	met[SOMETIMES_retry_recognised_elsewhere] += cmd->retries_known;
	met[SOMETIMES_retry_done_again_elsewhere] += cmd->retries_again;
	for (size_t i = 0; i < c->n; i++) {
		struct sync_counters sc;
		site_counters(&c->sites[i], &sc);
		met[SOMETIMES_snapshot_sent] += sc.snapshots_sent;
		met[SOMETIMES_snapshot_broken] += sc.snapshots_broken;
		met[SOMETIMES_snapshot_in_portions] += sc.portions_merged > sc.snapshots_merged ? sc.portions_merged - sc.snapshots_merged : 0;
		met[SOMETIMES_merge_undone] += sc.merges_undone;
		met[SOMETIMES_content_fetched] += sc.contents_fetched;
		met[SOMETIMES_digests_equal] += sc.digests_equal;
		met[SOMETIMES_foreign_shipped] += sc.ops_sent;
		met[SOMETIMES_gap_noticed] += sc.gaps;
		met[SOMETIMES_memory_ran_out] += c->sites[i].memory_ran_out;
		met[SOMETIMES_lease_heard] += c->sites[i].leases_heard;
		met[SOMETIMES_lease_relayed] += c->sites[i].leases_relayed;
		met[SOMETIMES_own_operations_came_back] += c->sites[i].own_back;
		if (sc.digests_differ != 0)
			verdict_fail(c->verdict, "agreement", "tracker %u saw digests differ", c->sites[i].id);
	}
}
