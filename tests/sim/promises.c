/* tests/sim/promises.c */
#include "tests/sim/promises.h"

#include <inttypes.h>

#define MIN_SYNC_MS 1000
#define HOUR_MS 3600000

static size_t disks_with(const struct site *sites, size_t n, struct dot dot)
{
	size_t disks = 0;
	for (size_t i = 0; i < n; i++)
		disks += vvec_covers(&sites[i].durable, dot);
	return disks;
}

bool promise_synced(const struct site *sites, size_t n, const struct synced_reply *r, struct verdict *v)
{
	size_t disks = disks_with(sites, n, r->stamp->dot);

	if (r->min_sync == 0)
		return r->synced < 0 || verdict_fail(v, "synced", "nobody asked for others, and an answer speaks of %d", r->synced);
	if (r->synced < 0)
		return verdict_fail(v, "synced", "a change was answered without a word of the others");
	if (disks < (size_t)r->synced + 1)
		return verdict_fail(v, "synced", "tracker %u's op %" PRIx64 ".%" PRIu64 " is on %zu disks, the answer says on %d besides "
		                    "its own", r->stamp->tracker, r->stamp->dot.log, r->stamp->dot.seq, disks, r->synced);
	if ((unsigned)r->synced < r->min_sync && r->took_ms < MIN_SYNC_MS)
		return verdict_fail(v, "synced", "an answer did not wait: %d others after %" PRIu64 " ms, %u are wanted", r->synced,
		                    r->took_ms, r->min_sync);
	return true;
}

void promise_cut(const struct site *s, const struct vvec *upto)
{
	uint64_t now = sim_now(s->sim);

	for (size_t i = 0; i < s->history->n; i++) {
		const struct past_op *p = s->history->ops[i];
		if (!history_stands(p, upto))
			continue;
		if (now - p->at < HOUR_MS)
			verdict_fail(s->verdict, "log", "tracker %u cuts %s of tracker %u out of its log after %" PRIu64 " s", s->id,
			             op_word(p->kind), p->stamp.tracker, (now - p->at) / 1000);
		if (disks_with(s->others, s->n_lines, p->stamp.dot) < 2)
			verdict_fail(s->verdict, "log", "tracker %u cuts %s of tracker %u out of its log, and nobody else has it",
			             s->id, op_word(p->kind), p->stamp.tracker);
	}
}

bool promise_has_copies(const struct site *s, struct dot sworn)
{
	for (size_t i = 0; i < s->history->n; i++) {
		const struct past_op *p = s->history->ops[i];
		if (history_stands(p, &s->durable) && !dot_eq(p->stamp.dot, sworn) &&
		    disks_with(s->others, s->n_lines, p->stamp.dot) < 2)
			return false;
	}
	return true;
}
