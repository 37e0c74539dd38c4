/* tests/sim/site_tracker.c */
#include "tests/sim/site_tracker.h"

#include "core/base/crypto.h"
#include "tracker/tracker.h"

static uint64_t step_whole(void *owner, const struct env_event *ev)
{
	struct site *s = owner;
	uint64_t deadline = tracker_step(s->tracker, ev);
	(void)vvec_copy(&s->durable, registry_durable_vector(s->reg));
	return deadline;
}

static void boot_whole(struct site *s, const struct vvec *floor)
{
	static const uint8_t seed[SEED_SIZE] = { 1 };
	EVP_PKEY *key = key_from_seed(seed);
	struct tracker_config config = { .env = sim_node_env(s->node),
		                         .registry = s->reg,
		                         .self = s->id,
		                         .trackers = s->lines,
		                         .n_trackers = s->n_lines,
		                         .cluster = { { 0xc1, 0x05 } },
		                         .token_key = { 2 },
		                         .ticket_key = key,
		                         .version = "sim" };

	s->ticket_key = key;
	s->tracker = tracker_new(&config);
	if (s->tracker == NULL)
		abort();
	for (size_t i = 0; i < floor->n; i++)
		site_must(tracker_load_floor(s->tracker, floor->entries[i].log, floor->entries[i].seq), "floor");
}

static void halt_whole(struct site *s)
{
	tracker_free(s->tracker);
	EVP_PKEY_free(s->ticket_key);
	s->tracker = NULL;
	s->ticket_key = NULL;
}

const struct site_kind site_tracker = { boot_whole, halt_whole, step_whole };
