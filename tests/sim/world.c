/* tests/sim/world.c - virtual time, dice, nodes. */
#include "tests/sim/world.h"

#include <string.h>

#include "core/base/mem.h"

/* -- dice: xoshiro256**, seeded by splitmix64 */

static uint64_t mix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

static uint64_t roll(struct sim *sim)
{
	uint64_t *s = sim->dice;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint32_t sim_random(struct sim *sim, uint32_t below)
{
	return (uint32_t)(((roll(sim) >> 32) * below) >> 32);
}

bool sim_percent(struct sim *sim, uint32_t percent)
{
	return sim_random(sim, 100) < percent;
}

/* -- the events to come: a binary heap by (when, order) */

static bool sooner(const struct sim_place *a, const struct sim_place *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void *grown(void *p, size_t n, size_t size)
{
	p = realloc(p, n * size);
	if (p == NULL)
		abort();
	return p;
}

static void grow_heap(struct sim *sim)
{
	size_t old = sim->heap_cap, cap = old != 0 ? 2 * old : 64;

	sim->heap = grown(sim->heap, cap, sizeof(*sim->heap));
	sim->slots = grown(sim->slots, cap, sizeof(*sim->slots));
	sim->free_slots = grown(sim->free_slots, cap, sizeof(*sim->free_slots));
	for (size_t i = old; i < cap; i++)
		sim->free_slots[i - old] = (uint32_t)i;
	sim->heap_cap = cap;
}

void sim_schedule(struct sim *sim, uint64_t delay, const struct sim_event *ev)
{
	if (sim->n_heap == sim->heap_cap)
		grow_heap(sim);
	struct sim_place place = { sim->now + delay, sim->order++, sim->free_slots[sim->heap_cap - sim->n_heap - 1] };
	struct sim_event *slot = &sim->slots[place.slot];

	*slot = *ev;
	slot->when = place.when;
	if (ev->node != NULL)
		slot->life = ev->node->life;
	size_t i = sim->n_heap++;
	for (; i > 0 && sooner(&place, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
		sim->heap[i] = sim->heap[(i - 1) / 2];
	sim->heap[i] = place;
}

static struct sim_event next_event(struct sim *sim)
{
	uint32_t slot = sim->heap[0].slot;
	struct sim_place last = sim->heap[--sim->n_heap];
	size_t i = 0;

	for (size_t child = 1; child < sim->n_heap; child = 2 * i + 1) {
		if (child + 1 < sim->n_heap && sooner(&sim->heap[child + 1], &sim->heap[child]))
			child++;
		if (!sooner(&sim->heap[child], &last))
			break;
		sim->heap[i] = sim->heap[child];
		i = child;
	}
	sim->heap[i] = last;
	sim->free_slots[sim->heap_cap - sim->n_heap - 1] = slot;
	return sim->slots[slot];
}

/* -- env: clocks and dice of a node */

static uint64_t node_mono_ms(void *ctx)
{
	struct sim_node *node = ctx;
	return node->sim->now + 1000000 * (node->index + 1); /* everybody's begins elsewhere */
}

static uint64_t node_wall_ms(void *ctx)
{
	struct sim_node *node = ctx;
	uint64_t now = (uint64_t)((int64_t)(1700000000000 + node->sim->now) + node->program.skew_ms);
	return node->program.grain_ms != 0 ? now - now % node->program.grain_ms : now;
}

static void node_random(void *ctx, void *out, size_t len)
{
	struct sim_node *node = ctx;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = (uint8_t)(roll(node->sim) >> 40);
}

/* -- nodes */

struct sim_node *sim_node_new(struct sim *sim, const char *name)
{
	if (sim->n_nodes == SIM_NODES_MAX)
		abort();
	struct sim_node *node = xalloc(sizeof(*node));
	node->sim = sim;
	node->index = sim->n_nodes;
	node->name = name;
	node->env = (struct env){ .ctx = node, .mono_ms = node_mono_ms, .wall_ms = node_wall_ms, .random = node_random,
		                  .dial = sim_dial, .send = sim_send, .queued = sim_queued, .close = sim_close,
		                  .commit = sim_commit, .content = sim_content, .work = sim_work };
	STAILQ_INIT(&node->queued);
	STAILQ_INIT(&node->writing);
	sim->nodes[sim->n_nodes++] = node;
	return node;
}

struct env *sim_node_env(struct sim_node *node)
{
	return &node->env;
}

bool sim_up(const struct sim_node *node)
{
	return node->up;
}

void sim_step(struct sim_node *node, const struct env_event *ev)
{
	struct sim *sim = node->sim;
	uint64_t deadline = node->program.step(node->program.owner, ev);

	if (deadline == ENV_NEVER) {
		node->deadline = ENV_NEVER;
		return;
	}
	uint64_t now = node_mono_ms(node);
	node->deadline = sim->now + (deadline > now ? deadline - now : 1);
	sim_schedule(sim, node->deadline - sim->now, &(struct sim_event){ .kind = SIM_TICK, .node = node });
}

void sim_wake(struct sim_node *node)
{
	if (!node->up)
		return;
	node->deadline = node->sim->now;
	sim_schedule(node->sim, 0, &(struct sim_event){ .kind = SIM_TICK, .node = node });
}

void sim_set_skew(struct sim_node *node, int64_t skew_ms)
{
	node->program.skew_ms = skew_ms;
}

void sim_start(struct sim_node *node, const struct sim_program *program)
{
	node->program = *program;
	node->up = true;
	node->life++;
	node->store_busy = false;
	node->working = 0;
	sim_wake(node);
}

void sim_crash(struct sim_node *node)
{
	node->up = false;
	node->life++;
	sim_break_all(node);
	sim_drop_txns(node);
}

void sim_block(struct sim_node *from, struct sim_node *to, bool blocked)
{
	from->sim->blocked[from->index][to->index] = blocked;
}

void sim_heal(struct sim *sim)
{
	memset(sim->blocked, 0, sizeof(sim->blocked));
	for (unsigned i = 0; i < sim->n_nodes; i++)
		sim->nodes[i]->fail_commits = 0;
	sim->calm = true;
}

void sim_fail_commits(struct sim_node *node, unsigned n, enum shoal_err why)
{
	node->fail_commits = n;
	node->fail_why = why;
}

/* -- the world */

struct sim *sim_new(const struct sim_config *config)
{
	struct sim *sim = xalloc(sizeof(*sim));
	uint64_t state = config->seed;

	sim->config = *config;
	for (int i = 0; i < 4; i++)
		sim->dice[i] = mix(&state);
	return sim;
}

void sim_configure(struct sim *sim, const struct sim_config *config)
{
	sim->config = *config;
}

static void drop_event(struct sim_event *ev)
{
	content_op_free(ev->content);
	free(ev->record);
}

void sim_free(struct sim *sim)
{
	for (unsigned i = 0; i < sim->n_nodes; i++)
		sim_drop_txns(sim->nodes[i]);
	while (sim->n_heap != 0) {
		struct sim_event ev = next_event(sim);
		drop_event(&ev);
	}
	sim_free_conns(sim);
	for (unsigned i = 0; i < sim->n_nodes; i++)
		free(sim->nodes[i]);
	free(sim->heap);
	free(sim->slots);
	free(sim->free_slots);
	free(sim);
}

uint64_t sim_now(const struct sim *sim)
{
	return sim->now;
}

uint64_t sim_heard(const struct sim_node *to, const struct sim_node *from)
{
	return to->sim->heard[to->index][from->index];
}

const struct sim_counts *sim_counts(const struct sim *sim)
{
	return &sim->counts;
}

void sim_at(struct sim *sim, uint64_t when, void (*fn)(void *arg), void *arg)
{
	sim_schedule(sim, when > sim->now ? when - sim->now : 0,
	             &(struct sim_event){ .kind = SIM_CALL, .fn = fn, .arg = arg });
}

static void on_tick(const struct sim_event *ev)
{
	if (ev->node->deadline > ev->when)
		return; /* a later step asked for another time */
	ev->node->deadline = ENV_NEVER;
	sim_step(ev->node, &(struct env_event){ .type = ENV_TICK });
}

void sim_run(struct sim *sim, uint64_t until)
{
	while (sim->n_heap != 0 && sim->heap[0].when <= until) {
		struct sim_event ev = next_event(sim);
		sim->now = ev.when;
		sim->counts.events++;
		if (ev.node != NULL && ev.node->life != ev.life) {
			drop_event(&ev);
			continue;
		}
		switch (ev.kind) {
		case SIM_TICK: on_tick(&ev); break;
		case SIM_DELIVER: sim_on_deliver(sim, &ev); break;
		case SIM_CLOSED: sim_on_closed(sim, &ev); break;
		case SIM_RESET: sim_on_reset(sim, &ev); break;
		case SIM_ANSWER_DIAL: sim_on_answer_dial(sim, &ev); break;
		case SIM_GROUP_DONE: sim_on_group_done(sim, &ev); break;
		case SIM_CONTENT: sim_on_content(sim, &ev); break;
		case SIM_WORKED: sim_on_worked(sim, &ev); break;
		case SIM_CALL: ev.fn(ev.arg); break;
		}
	}
	if (sim->now < until)
		sim->now = until;
}
