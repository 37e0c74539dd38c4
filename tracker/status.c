/* tracker/status.c - what `shoal-tracker --status` shows: this tracker, what it holds, the others. */
#include <stdlib.h>

#include "tracker/core.h"

/* Operations that the log still has: what is durable less what was cut, or never there since a snapshot brought it. */
static uint64_t log_length(const struct tracker *t)
{
	const struct vvec *have = registry_durable_vector(t->reg), *floor = commit_floor(t->commit);
	uint64_t n = 0;
	for (size_t i = 0; i < have->n; i++) {
		uint64_t cut = vvec_get(floor, have->entries[i].log);
		n += have->entries[i].seq > cut ? have->entries[i].seq - cut : 0;
	}
	return n;
}

static void put_rows(const struct tracker *t, struct buf *out)
{
	size_t sum = 0;
	buf_printf(out, "rows:");
	for (unsigned i = 1; i < TABLE_END; i++) {
		size_t n = registry_count(t->reg, i);
		sum += n;
		buf_printf(out, " %s %zu,", table_word(i), n);
	}
	buf_printf(out, " in all %zu\n", sum);
}

/* Two trackers that show the same line know the same operations and have the same rows. */
static void put_digest(const struct tracker *t, struct buf *out)
{
	uint64_t all = 0;
	for (unsigned i = 1; i < TABLE_END; i++) {
		struct digest d = registry_digest(t->reg, i);
		all = (all * 31 + d.count) * 31 + d.sum;
	}
	buf_printf(out, "digest: %016llx at %016llx\n", (unsigned long long)all,
	           (unsigned long long)vvec_hash(registry_durable_vector(t->reg)));
}

void tracker_status(struct tracker *t, struct buf *out)
{
	struct error e = { 0 };
	size_t n = 0;
	struct tracker_fact *facts = tracker_facts(t, &n);
	bool takes = sync_check_writable(t->sync, &e) == SHOAL_OK && commit_check_writable(t->commit, &e) == SHOAL_OK;

	for (size_t i = 0; i < n; i++)
		tracker_fact_print(out, &facts[i]);
	if (facts == NULL)
		buf_printf(out, "the trackers cannot be told: out of memory\n");
	free(facts);
	buf_printf(out, "changes: %s%s\n", takes ? "taken" : "refused: ", takes ? "" : e.message);
	buf_printf(out, "sessions online: %zu, connections here: %u\n", presence_count(t->presence),
	           HASH_COUNT(t->clients));
	put_rows(t, out);
	put_digest(t, out);
	buf_printf(out, "log: %llu operations\n", (unsigned long long)log_length(t));
}
