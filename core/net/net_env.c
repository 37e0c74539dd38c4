/* core/net/net_env.c */
#include "core/net/net_env_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "core/base/clock.h"
#include "core/base/crypto.h"
#include "core/base/mem.h"

/* -- events and the deadline */

static void arm_tick(struct net_env *ne)
{
	uint64_t now = clock_mono_ms();

	if (ne->deadline_ms == ENV_NEVER)
		loop_timer_cancel(ne->tick);
	else
		loop_timer_set_ms(ne->tick, ne->deadline_ms > now ? ne->deadline_ms - now : 0);
}

void net_env_deliver(struct net_env *ne, const struct env_event *ev)
{
	assert(!ne->in_step);
	ne->in_step = true;
	uint64_t deadline = ne->config.step(ne->config.owner, ev);
	ne->in_step = false;
	if (deadline == ne->deadline_ms)
		return;
	ne->deadline_ms = deadline;
	arm_tick(ne);
}

static void deliver_tick(struct net_env *ne)
{
	const struct env_event ev = { .type = ENV_TICK };

	ne->deadline_ms = ENV_NEVER; /* whatever the step returns is new */
	loop_timer_cancel(ne->tick);
	net_env_deliver(ne, &ev);
}

static void tick_came(void *arg)
{
	struct net_env *ne = arg;

	if (clock_mono_ms() < ne->deadline_ms)
		arm_tick(ne);
	else
		deliver_tick(ne);
}

/* -- the rest of env */

static enum shoal_err env_send(void *arg, conn_id id, const void *bytes, size_t len)
{
	struct entry *entry = net_env_find(arg, id);

	return entry != NULL && entry->state == ENTRY_OPEN ? conn_send(entry->conn, bytes, len) : SHOAL_EIO;
}

static size_t env_queued(void *arg, conn_id id)
{
	struct entry *entry = net_env_find(arg, id);

	return entry != NULL && entry->conn != NULL ? conn_queued(entry->conn) : 0;
}

static void env_close(void *arg, conn_id id)
{
	struct net_env *ne = arg;
	struct entry *entry = net_env_find(ne, id);

	if (entry != NULL) {
		net_env_close_entry(entry);
		return;
	}
	for (size_t i = 0; i < ne->n_failed_dials; i++) /* the event is not wanted any more */
		if (ne->failed_dials[i].id == id)
			ne->failed_dials[i].id = 0;
}

static void env_commit(void *arg, struct store_txn *txn, uint64_t cookie)
{
	struct net_env *ne = arg;
	ne->config.commit(ne->config.owner, txn, cookie);
}

static void env_content(void *arg, struct content_op *op, uint64_t cookie)
{
	struct net_env *ne = arg;
	ne->config.content(ne->config.owner, op, cookie);
}

static uint64_t env_mono_ms(void *arg)
{
	(void)arg;
	return clock_mono_ms();
}

static uint64_t env_wall_ms(void *arg)
{
	(void)arg;
	return clock_wall_ms();
}

static void env_random(void *arg, void *out, size_t len)
{
	(void)arg;
	random_bytes(out, len);
}

static enum shoal_err env_work(void *arg, const struct env_work *work, uint64_t cookie)
{
	struct net_env *ne = arg;
	return answers_work(ne->answers, work, cookie);
}

struct env *net_env_env(struct net_env *ne)
{
	return &ne->env;
}

/* -- what the owner asks of the net_env itself */

void net_env_mark_established(struct net_env *ne, conn_id conn)
{
	struct entry *entry = net_env_find(ne, conn);

	if (entry == NULL)
		return;
	address_limit_give(ne->limit, entry->count);
	entry->count = NULL;
}

size_t net_env_conn_count(const struct net_env *ne)
{
	return ne->entries.n_used;
}

static void signal_came(void *arg, int signo)
{
	const struct env_event ev = { .type = ENV_SIGNAL, .cookie = (uint64_t)signo };

	net_env_deliver(arg, &ev);
}

bool net_env_on_signal(struct net_env *ne, int signo)
{
	return loop_on_signal(ne->config.loop, signo, signal_came, ne);
}

void net_env_wake(struct net_env *ne)
{
	ne->wake = true;
	loop_timer_set_ms(ne->turn, 0);
}

void net_env_post_committed(struct net_env *ne, uint64_t cookie, enum shoal_err result)
{
	answers_post(ne->answers, ENV_COMMITTED, cookie, result, NULL);
}

void net_env_post_content(struct net_env *ne, uint64_t cookie, enum shoal_err result, struct content_op *op)
{
	answers_post(ne->answers, ENV_CONTENT, cookie, result, op);
}

static void answer_came(void *arg, const struct env_event *ev)
{
	net_env_deliver(arg, ev);
}

static void turn_came(void *arg)
{
	struct net_env *ne = arg;

	if (ne->wake) {
		ne->wake = false;
		deliver_tick(ne);
	}
	net_env_tell_failed_dials(ne);
	if (ne->draining && ne->entries.n_used == 0 && ne->drained != NULL) {
		void (*drained)(void *) = ne->drained;
		ne->drained = NULL;
		drained(ne->drained_arg);
	}
}

void net_env_drain(struct net_env *ne, void (*done)(void *arg), void *arg)
{
	struct entry *entry;

	ne->draining = true;
	ne->drained = done;
	ne->drained_arg = arg;
	listener_free(ne->listener);
	ne->listener = NULL;
	for (size_t at = 0; (entry = conn_table_next(&ne->entries, &at)) != NULL;)
		net_env_close_entry(entry);
	loop_timer_set_ms(ne->turn, 0);
}

/* -- life */

static unsigned default_max_conns(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > CONN_TABLE_MAX)
		return CONN_TABLE_MAX;
	return limit.rlim_cur > FDS_FOR_OTHERS + FDS_FOR_OTHERS ? (unsigned)limit.rlim_cur - FDS_FOR_OTHERS : FDS_FOR_OTHERS;
}

struct net_env *net_env_new(const struct net_env_config *config, struct error *e)
{
	struct net_env *ne = xalloc(sizeof(*ne));

	ne->config = *config;
	if (ne->config.max_conns == 0)
		ne->config.max_conns = default_max_conns();
	if (ne->config.max_per_address == 0)
		ne->config.max_per_address = NET_ENV_PER_ADDRESS;
	ne->env = (struct env){ .ctx = ne, .mono_ms = env_mono_ms, .wall_ms = env_wall_ms, .random = env_random,
		                .dial = net_env_dial, .send = env_send, .queued = env_queued, .close = env_close,
		                .commit = env_commit, .content = env_content, .work = env_work,
		                .log = config->log };
	ne->deadline_ms = ENV_NEVER;
	ne->limit = address_limit_new(ne->config.max_per_address);
	memory_limit_init(&ne->memory);
	ne->tick = loop_timer_new(config->loop, tick_came, ne);
	ne->turn = loop_timer_new(config->loop, turn_came, ne);
	ne->answers = answers_new(config->loop, config->workers, answer_came, ne);
	if (ne->tick == NULL || ne->turn == NULL || ne->answers == NULL) {
		error_set(e, SHOAL_EBUSY, "no memory to begin with");
		goto fail;
	}
	if (config->n_accept_alpns > 0) {
		ne->server_ctx = tls_ctx_server(config->identity, config->accept_alpns, config->n_accept_alpns, e);
		if (ne->server_ctx == NULL)
			goto fail;
	}
	return ne;
fail:
	net_env_free(ne);
	return NULL;
}

void net_env_free(struct net_env *ne)
{
	struct entry *entry;

	if (ne == NULL)
		return;
	assert(!ne->in_step);
	listener_free(ne->listener);
	for (size_t at = 0; (entry = conn_table_next(&ne->entries, &at)) != NULL;)
		net_env_free_entry(entry);
	conn_table_fini(&ne->entries);
	address_limit_free(ne->limit);
	answers_free(ne->answers, ne->config.content_free);
	loop_timer_free(ne->tick);
	loop_timer_free(ne->turn);
	for (size_t i = 0; i < DIAL_ALPNS_MAX; i++)
		tls_ctx_free(ne->dial_ctxs[i].ctx);
	tls_ctx_free(ne->server_ctx);
	free(ne);
}
