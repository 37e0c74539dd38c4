/* tests/sim/site.c */
#include "tests/sim/site.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/promises.h"

static const char *const alpns[] = { ALPN_SYNC, ALPN_CLIENT, NULL };
static const struct id32 cluster = { { 0xc1, 0x05 } };

void site_init(struct site *s, struct sim *sim, uint16_t id, const struct tracker_line *lines, size_t n_lines)
{
	static const char *const names[] = { "tracker 1", "tracker 2", "tracker 3", "tracker 4", "tracker 5" };
	*s = (struct site){ .sim = sim, .id = id, .kind = &site_core, .medium = &site_memory };
	s->lines = lines;
	s->n_lines = n_lines;
	for (size_t i = 0; i < n_lines; i++)
		if (lines[i].id == id)
			s->line = lines[i];
	s->node = sim_node_new(sim, names[id - 1]);
	s->disk = mem_disk_new();
}

/* -- loading */

struct loading {
	struct site *site;
	struct id32 *held;
	size_t n_held;
	struct vvec floor;
};

static enum shoal_err load_row(void *ctx, const struct wire_row *row)
{
	struct loading *l = ctx;
	return registry_load(l->site->reg, row);
}

static enum shoal_err load_vector(void *ctx, uint64_t log, uint64_t seq)
{
	struct loading *l = ctx;
	return registry_load_vector(l->site->reg, log, seq);
}

static enum shoal_err load_floor(void *ctx, uint64_t log, uint64_t seq)
{
	struct loading *l = ctx;
	return vvec_raise(&l->floor, log, seq);
}

static enum shoal_err load_hlc(void *ctx, uint64_t hlc)
{
	struct loading *l = ctx;
	registry_load_hlc(l->site->reg, hlc);
	return SHOAL_OK;
}

static enum shoal_err load_content(void *ctx, const struct id32 *id)
{
	struct loading *l = ctx;
	l->held = realloc(l->held, (l->n_held + 1) * sizeof(*l->held));
	l->held[l->n_held++] = *id;
	return SHOAL_OK;
}

void site_must(enum shoal_err rc, const char *what)
{
	if (rc == SHOAL_OK)
		return;
	fprintf(stderr, "# %s: %s\n", what, error_default(rc));
	abort();
}

static enum shoal_err load_request(void *ctx, uint64_t position, struct slice record)
{
	struct loading *l = ctx;
	struct record rec;
	(void)position;
	site_must(record_get(record, &rec), "a stored record");
	return registry_load_request(l->site->reg, &rec);
}

void site_load(struct site *s, uint64_t log, struct vvec *floor)
{
	const struct store_ops *ops = s->medium->ops;
	struct loading l = { .site = s };
	struct store_sink sink = { .ctx = &l, .row = load_row, .vector = load_vector, .floor = load_floor,
		                   .hlc = load_hlc, .content = load_content };
	struct error e = { 0 };

	s->reg = registry_new(s->id, log);
	site_must(ops->load(s->store, &sink, &e), "load");
	site_must(ops->log_read(s->store, 0, SIZE_MAX, load_request, &l, &e), "log");
	for (size_t i = 0; i < l.n_held; i++)
		(void)registry_set_held(s->reg, &l.held[i], true); /* not found: content whose op was lost with a crash */
	free(l.held);
	*floor = l.floor;
}

static void open_memory(struct site *s, uint64_t log, struct vvec *floor)
{
	struct error e = { 0 };
	site_must(store_mem_ops.open(mem_disk_where(s->disk), &s->store, &e), "open");
	site_load(s, log, floor);
}

/* What is committed is on the disk at once. */
static void cut_memory(struct site *s)
{
	store_mem_ops.close(s->store);
}

static void lose_memory(struct site *s)
{
	mem_disk_free(s->disk);
	s->disk = mem_disk_new();
}

static void fini_memory(struct site *s)
{
	mem_disk_free(s->disk);
	mem_disk_free(s->backup);
}

const struct site_medium site_memory = { &store_mem_ops, open_memory, cut_memory, lose_memory, fini_memory };

/* -- presence: each site has one session of its own, so that one can see leases travel */

#define LEASE_MS 30000

static void send_lease(struct site *s, uint64_t left_ms)
{
	const struct site_lease *l = &s->leases[s->id];
	sync_send_session(s->sync, &(struct sync_session){ .dot = { s->id, 1 },
	                                                   .home = s->id,
	                                                   .epoch = l->epoch,
	                                                   .beat = l->beat,
	                                                   .left_ms = (uint32_t)left_ms,
	                                                   .address = slice_str("10.1.1.1:9") });
}

static void renew(void *owner)
{
	struct site *s = owner;
	uint64_t now = sim_now(s->sim);

	s->leases[s->id].beat++;
	s->leases[s->id].until = now + LEASE_MS;
	send_lease(s, LEASE_MS);
}

/* However often it was relayed: what is told of a session is over 30 s after its own tracker last renewed it. What is
 * under way (a connection is silent for 5 s at most before it is given up) comes on top, for each hop. */
static void on_session(void *owner, const struct sync_session *session)
{
	struct site *s = owner;
	struct site_lease *l = &s->leases[session->home];
	uint64_t now = sim_now(s->sim), until = now + session->left_ms;
	uint64_t source = s->others[session->home - 1].leases[session->home].until;

	s->leases_heard++;
	if (session->home == s->id || !slice_eq_str(session->address, "10.1.1.1:9") || session->dot.log != session->home)
		verdict_fail(s->verdict, "leases", "tracker %u heard of a session that is none", s->id);
	if (until > source + 5000 * s->n_lines)
		verdict_fail(s->verdict, "leases", "tracker %u takes %u's session for %llu ms longer than its home does", s->id,
		             session->home, (unsigned long long)(until - source));
	if (session->epoch < l->epoch || (session->epoch == l->epoch && session->beat <= l->beat))
		return;
	s->leases_relayed += l->epoch == session->epoch;
	*l = (struct site_lease){ .epoch = session->epoch, .beat = session->beat, .until = until };
}

/* -- what runs on it */

static uint64_t step_core(void *owner, const struct env_event *ev)
{
	struct site *s = owner;
	struct env *env = sim_node_env(s->node);
	uint64_t now = env->mono_ms(env->ctx);

	if (s->no_memory_per_10000 != 0 && sim_random(s->sim, 10000) < s->no_memory_per_10000) {
		mem_fail_after(1 + sim_random(s->sim, 30));
		s->memory_ran_out++;
	}
	if (!commit_on_event(s->commit, ev) && !sync_on_event(s->sync, ev) && ev->type != ENV_TICK)
		abort(); /* nothing else can come */
	uint64_t a = commit_tick(s->commit, now);
	uint64_t b = sync_tick(s->sync, now);
	mem_fail_after(0);
	(void)vvec_copy(&s->durable, registry_durable_vector(s->reg));
	return a < b ? a : b;
}

static void boot_core(struct site *s, const struct vvec *floor)
{
	struct env *env = sim_node_env(s->node);

	s->commit = commit_new(env, s->reg);
	for (size_t i = 0; i < floor->n; i++)
		site_must(commit_load_floor(s->commit, floor->entries[i].log, floor->entries[i].seq), "floor");
	s->sync = sync_new(&(struct sync_config){ .env = env,
	                                          .registry = s->reg,
	                                          .commit = s->commit,
	                                          .self = s->id,
	                                          .cluster = cluster,
	                                          .version = "sim",
	                                          .snapshot_frame = 100,
	                                          .merge_bytes = s->merge_bytes,
	                                          .trackers = s->lines,
	                                          .n_trackers = s->n_lines,
	                                          .owner = s,
	                                          .leases = renew,
	                                          .on_session = on_session });
	uint64_t told = s->leases[s->id].until; /* by an earlier life: others may count on it still */
	memset(s->leases, 0, sizeof(s->leases));
	s->leases[s->id] = (struct site_lease){ .epoch = sim_now(s->sim) + 1, .until = told };
}

void site_add_counters(struct sync_counters *sum, const struct sync_counters *c)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)c;
	for (size_t i = 0; i < sizeof(*c) / sizeof(uint64_t); i++)
		to[i] += from[i];
}

static void halt_core(struct site *s)
{
	site_add_counters(&s->before, sync_counters(s->sync));
	sync_free(s->sync);
	commit_free(s->commit);
	s->sync = NULL;
	s->commit = NULL;
}

const struct site_kind site_core = { boot_core, halt_core, step_core };

/* -- life */

/* A record has reached the disk: ours, or one that came from others. */
static void on_durable(void *owner, struct slice record)
{
	struct site *s = owner;
	struct cursor c = cursor_of(record.data + 4, 26); /* log, seq, hlc, tracker: core/wire/record.h */

	if (s->history == NULL)
		return;
	history_durable(s->history, record, sim_now(s->sim), s->verdict);
	bool this_life = get_u64(&c) == registry_log(s->reg);
	(void)get_bytes(&c, 16);
	s->own_back += !this_life && get_u16(&c) == s->id;
}

static void on_cut(void *owner, const struct vvec *upto)
{
	struct site *s = owner;

	if (s->history == NULL)
		return;
	promise_cut(s, upto);
	s->cuts++;
	for (size_t i = 0; i < s->n_lines; i++)
		s->cuts_ahead += !vvec_covers_all(&s->others[i].durable, upto);
}

void site_boot(struct site *s)
{
	struct env *env = sim_node_env(s->node);
	struct vvec floor = { 0 };
	uint64_t log;

	do {
		env->random(env->ctx, &log, sizeof(log));
	} while (log == 0);
	s->medium->open(s, log, &floor);
	(void)vvec_copy(&s->durable, registry_durable_vector(s->reg));
	s->kind->boot(s, &floor);
	vvec_fini(&floor);
	sim_start(s->node, &(struct sim_program){ .name = "tracker",
	                                          .addr = s->line.addr,
	                                          .alpns = alpns,
	                                          .identity = cluster,
	                                          .skew_ms = s->skew_ms,
	                                          .grain_ms = s->grain_ms,
	                                          .step = s->kind->step,
	                                          .durable = on_durable,
	                                          .cut = on_cut,
	                                          .owner = s,
	                                          .store = s->store,
	                                          .store_ops = s->medium->ops });
}

bool site_up(const struct site *s)
{
	return s->reg != NULL;
}

void site_counters(const struct site *s, struct sync_counters *out)
{
	*out = s->before;
	if (s->sync != NULL)
		site_add_counters(out, sync_counters(s->sync));
}

void site_crash(struct site *s)
{
	sim_crash(s->node);
	s->kind->halt(s);
	s->medium->cut(s);
	registry_free(s->reg);
	s->reg = NULL;
	s->store = NULL;
}

void site_lose_disk(struct site *s)
{
	s->medium->lose(s);
	vvec_fini(&s->durable);
}

void site_fini(struct site *s)
{
	if (site_up(s))
		site_crash(s);
	vvec_fini(&s->durable);
	s->medium->fini(s);
}
