/* tests/sim/site_tracker.c */
#include "tracker/core.h" /* first: it says how uthash fails */

#include "tests/sim/site_tracker.h"

#include "core/base/crypto.h"

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
		                         .min_sync = s->min_sync,
		                         .snapshot_frame = s->snapshot_frame,
		                         .merge_bytes = s->merge_bytes,
		                         .log_bytes = s->log_bytes,
		                         .version = "sim" };

	s->ticket_key = key;
	s->tracker = tracker_new(&config);
	if (s->tracker == NULL)
		abort();
	s->sync = s->tracker->sync;
	for (size_t i = 0; i < floor->n; i++)
		site_must(tracker_load_floor(s->tracker, floor->entries[i].log, floor->entries[i].seq), "floor");
}

static void halt_whole(struct site *s)
{
	site_add_counters(&s->before, sync_counters(s->sync));
	s->sync = NULL;
	tracker_free(s->tracker);
	EVP_PKEY_free(s->ticket_key);
	s->tracker = NULL;
	s->ticket_key = NULL;
}

struct each_online {
	site_online_fn *fn;
	void *arg;
	uint64_t began; /* of the site's monotonic clock */
};

static void on_online(void *arg, const struct online *o)
{
	struct each_online *each = arg;
	each->fn(each->arg, &o->uid, o->home, o->until_ms > each->began ? o->until_ms - each->began : 0);
}

void site_each_online(const struct site *s, site_online_fn *fn, void *arg)
{
	struct env *env = sim_node_env(s->node);
	struct each_online each = { fn, arg, env->mono_ms(env->ctx) - sim_now(s->sim) };
	presence_each(s->tracker->presence, on_online, &each);
}

const struct site_kind site_tracker = { boot_whole, halt_whole, step_whole };
