/* core/net/net_env.c
 *
 * Delivering an event is the last thing a function does with an entry: the step may have closed it. */
#include "core/net/net_env.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/crypto.h"
#include "core/base/mem.h"
#include "core/net/address_limit.h"
#include "core/net/answers.h"
#include "core/net/conn.h"
#include "core/net/conn_table.h"
#include "core/net/dial.h"
#include "core/net/listener.h"
#include "core/net/sockaddr.h"

enum {
	DIAL_ALPNS_MAX = 4,
	FAILED_DIALS_MAX = 64,
	FDS_FOR_OTHERS = 64,  /* descriptors that connections leave to the rest of the program */
	LOG_LINES_PER_S = 10, /* about strangers: they shall not fill the disk */
};

enum entry_state { ENTRY_DIALLING, ENTRY_SHAKING, ENTRY_OPEN, ENTRY_CLOSING };

struct entry {
	struct net_env *ne;
	conn_id id;
	enum entry_state state;
	struct dial *dial;           /* DIALLING */
	struct conn *conn;           /* otherwise */
	const struct tls_ctx *ctx;   /* dialled: for the handshake */
	uint64_t deadline_ms;        /* dialled: by then it is open */
	struct sockaddr_in6 peer;    /* accepted; may hold a sockaddr_in */
	struct address_count *count; /* accepted and not yet established */
	bool accepted;
};

struct dial_ctx {
	const char *alpn;
	struct tls_ctx *ctx;
};

struct failed_dial {
	conn_id id;
	enum shoal_err result;
	const char *message;
};

struct net_env {
	/* -- immutable */
	struct net_env_config config;
	struct env env;
	struct tls_ctx *server_ctx; /* NULL: does not listen */
	struct answers *answers;
	/* -- loop thread */
	struct listener *listener;
	struct loop_timer *tick;
	struct loop_timer *turn; /* 0 ms: wake, failed dials, end of a drain */
	struct dial_ctx dial_ctxs[DIAL_ALPNS_MAX];
	struct conn_table entries;
	struct address_limit *limit;
	struct failed_dial failed_dials[FAILED_DIALS_MAX];
	size_t n_failed_dials;
	uint64_t deadline_ms; /* the last step's */
	bool in_step, wake, draining;
	void (*drained)(void *arg);
	void *drained_arg;
	uint64_t log_second; /* strangers logged in this second, and dropped since the last line */
	unsigned log_lines, log_dropped;
};

/* -- events and the deadline */

static void arm_tick(struct net_env *ne)
{
	uint64_t now = clock_mono_ms();

	if (ne->deadline_ms == ENV_NEVER)
		loop_timer_cancel(ne->tick);
	else
		loop_timer_set_ms(ne->tick, ne->deadline_ms > now ? ne->deadline_ms - now : 0);
}

static void deliver(struct net_env *ne, const struct env_event *ev)
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
	deliver(ne, &ev);
}

static void tick_came(void *arg)
{
	struct net_env *ne = arg;

	if (clock_mono_ms() < ne->deadline_ms)
		arm_tick(ne);
	else
		deliver_tick(ne);
}

/* One line about a stranger, unless there were many in this second. */
static void log_stranger(struct net_env *ne, const struct address *addr, const char *what)
{
	uint64_t second = clock_mono_ms() / 1000;
	char text[ADDRESS_MAX];

	if (second != ne->log_second) {
		if (ne->log_dropped > 0)
			log_line(ne->config.log, LOG_INFO, "net", "%u more refusals like that", ne->log_dropped);
		ne->log_second = second;
		ne->log_lines = ne->log_dropped = 0;
	}
	if (ne->log_lines++ < LOG_LINES_PER_S)
		log_line(ne->config.log, LOG_INFO, "net", "%s: %s", address_format(addr, text), what);
	else
		ne->log_dropped++;
}

/* -- the table of connections */

/* NULL when there is no memory, or no room under max_conns. */
static struct entry *new_entry(struct net_env *ne)
{
	struct entry *entry = ne->entries.n_used < ne->config.max_conns ? try_alloc(sizeof(*entry)) : NULL;

	if (entry == NULL)
		return NULL;
	entry->ne = ne;
	entry->id = conn_table_add(&ne->entries, entry);
	if (entry->id != 0)
		return entry;
	free(entry);
	return NULL;
}

static struct entry *find_entry(const struct net_env *ne, conn_id id)
{
	return conn_table_find(&ne->entries, id);
}

static void free_entry(struct entry *entry)
{
	struct net_env *ne = entry->ne;

	address_limit_give(ne->limit, entry->count);
	dial_cancel(entry->dial);
	conn_free(entry->conn);
	conn_table_remove(&ne->entries, entry->id);
	free(entry);
	if (ne->draining && ne->entries.n_used == 0)
		loop_timer_set_ms(ne->turn, 0);
}

static void entry_address(const struct entry *entry, struct address *out)
{
	if (entry->accepted)
		sockaddr_to_address((const struct sockaddr *)&entry->peer, out);
	else if (entry->conn == NULL || !conn_address(entry->conn, out))
		memset(out, 0, sizeof(*out));
}

/* -- what a connection tells */

/* The entry goes first, so that the step finds the id dead already. */
static void entry_ended(struct entry *entry, enum shoal_err result, const char *text)
{
	struct net_env *ne = entry->ne;
	enum entry_state state = entry->state;
	char message[ERROR_TEXT_MAX];
	struct env_event ev = { .type = ENV_CLOSED, .conn = entry->id, .result = result, .message = message };

	snprintf(message, sizeof(message), "%s", text);
	entry_address(entry, &ev.addr);
	bool told = state == ENTRY_OPEN || (!entry->accepted && state != ENTRY_CLOSING);
	if (!told && state == ENTRY_SHAKING)
		log_stranger(ne, &ev.addr, message);
	free_entry(entry);
	if (told)
		deliver(ne, &ev);
}

static void entry_opened(void *arg)
{
	struct entry *entry = arg;
	struct env_event ev = { .type = entry->accepted ? ENV_ACCEPTED : ENV_CONNECTED, .conn = entry->id };

	if (!conn_identity(entry->conn, &ev.identity)) {
		entry_ended(entry, SHOAL_EBUSY, "no memory to tell who the other side is");
		return;
	}
	entry->state = ENTRY_OPEN;
	entry_address(entry, &ev.addr);
	ev.alpn = conn_alpn(entry->conn);
	deliver(entry->ne, &ev);
}

static void entry_bytes(void *arg, const uint8_t *data, size_t len)
{
	struct entry *entry = arg;
	const struct env_event ev = { .type = ENV_BYTES, .conn = entry->id, .data = data, .len = len };

	deliver(entry->ne, &ev);
}

static void entry_closed(void *arg, enum shoal_err result, const char *message)
{
	entry_ended(arg, result, message);
}

static const struct conn_handler entry_handler = { entry_opened, entry_bytes, entry_closed };

/* -- accepting */

static void accepted(void *arg, int fd, const struct sockaddr *peer)
{
	struct net_env *ne = arg;
	const char *why = "refused: too many connections";
	struct entry *entry = new_entry(ne);

	if (entry == NULL)
		goto refuse;
	entry->accepted = true;
	entry->state = ENTRY_SHAKING;
	memcpy(&entry->peer, peer, peer->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(entry->peer));
	entry->count = address_limit_take(ne->limit, peer);
	if (entry->count == NULL) {
		why = "refused: too many connections of this address that are not logged in";
		goto refuse;
	}
	entry->conn = conn_new(ne->config.loop, fd, ne->server_ctx, ne->config.handshake_ms, &entry_handler, entry);
	if (entry->conn != NULL)
		return;
	why = "refused: no memory";
refuse:
	close(fd);
	if (entry != NULL)
		free_entry(entry);
	struct address addr;
	sockaddr_to_address(peer, &addr);
	log_stranger(ne, &addr, why);
}

enum shoal_err net_env_listen(struct net_env *ne, const struct address *addr, struct address *bound, struct error *e)
{
	assert(ne->listener == NULL && ne->server_ctx != NULL);
	struct error why = { 0 };
	ne->listener = listener_new(ne->config.loop, addr, accepted, ne, ne->config.log, &why);
	if (ne->listener == NULL)
		return error_set(e, why.code, "%s", why.message);
	if (bound != NULL)
		listener_address(ne->listener, bound);
	return SHOAL_OK;
}

/* -- dialling */

static void dial_done(void *arg, int fd, const struct error *e)
{
	struct entry *entry = arg;
	uint64_t now = clock_mono_ms();
	uint64_t left = now < entry->deadline_ms ? entry->deadline_ms - now : 1;

	entry->dial = NULL;
	if (fd < 0) {
		entry_ended(entry, e->code, e->message);
		return;
	}
	entry->state = ENTRY_SHAKING;
	entry->conn = conn_new(entry->ne->config.loop, fd, entry->ctx, left, &entry_handler, entry);
	if (entry->conn == NULL) {
		close(fd);
		entry_ended(entry, SHOAL_EBUSY, "no memory for a connection");
	}
}

/* The context for that protocol, made at its first use; NULL if that fails. */
static const struct tls_ctx *dial_ctx(struct net_env *ne, const char *alpn)
{
	for (size_t i = 0; i < DIAL_ALPNS_MAX; i++) {
		struct dial_ctx *dc = &ne->dial_ctxs[i];
		if (dc->ctx == NULL) {
			dc->alpn = alpn;
			dc->ctx = tls_ctx_client(ne->config.identity, alpn, NULL);
			return dc->ctx;
		}
		if (strcmp(dc->alpn, alpn) == 0)
			return dc->ctx;
	}
	return NULL;
}

/* CLOSED must follow even when there is no memory to remember the connection with. */
static conn_id dial_failed(struct net_env *ne, enum shoal_err result, const char *message)
{
	conn_id id = conn_table_burn(&ne->entries);

	if (ne->n_failed_dials == FAILED_DIALS_MAX) {
		log_line(ne->config.log, LOG_ERROR, "net", "too many failed dials at once");
		abort();
	}
	ne->failed_dials[ne->n_failed_dials++] = (struct failed_dial){ id, result, message };
	loop_timer_set_ms(ne->turn, 0);
	return id;
}

static conn_id env_dial(void *arg, const struct address *addr, const char *alpn)
{
	struct net_env *ne = arg;
	const struct tls_ctx *ctx = dial_ctx(ne, alpn);

	if (ne->draining)
		return dial_failed(ne, SHOAL_ECANCELLED, "shutting down");
	if (ctx == NULL)
		return dial_failed(ne, SHOAL_EINTERNAL, "cannot set up TLS");
	struct entry *entry = new_entry(ne);
	if (entry == NULL)
		return dial_failed(ne, SHOAL_EBUSY, "too many connections");
	entry->state = ENTRY_DIALLING;
	entry->ctx = ctx;
	entry->deadline_ms = clock_mono_ms() + NET_ENV_DIAL_MS;
	entry->dial = dial_start(ne->config.loop, addr, NET_ENV_DIAL_MS, dial_done, entry);
	if (entry->dial == NULL) {
		free_entry(entry);
		return dial_failed(ne, SHOAL_EBUSY, "no memory for a connection");
	}
	return entry->id;
}

/* -- the rest of env */

static enum shoal_err env_send(void *arg, conn_id id, const void *bytes, size_t len)
{
	struct entry *entry = find_entry(arg, id);

	return entry != NULL && entry->state == ENTRY_OPEN ? conn_send(entry->conn, bytes, len) : SHOAL_EIO;
}

static size_t env_queued(void *arg, conn_id id)
{
	struct entry *entry = find_entry(arg, id);

	return entry != NULL && entry->conn != NULL ? conn_queued(entry->conn) : 0;
}

static void close_entry(struct entry *entry)
{
	if (entry->state == ENTRY_OPEN) {
		entry->state = ENTRY_CLOSING;
		conn_close(entry->conn);
	} else if (entry->state != ENTRY_CLOSING) {
		free_entry(entry); /* nothing has been said on it yet */
	}
}

static void env_close(void *arg, conn_id id)
{
	struct net_env *ne = arg;
	struct entry *entry = find_entry(ne, id);

	if (entry != NULL) {
		close_entry(entry);
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
	struct entry *entry = find_entry(ne, conn);

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

	deliver(arg, &ev);
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
	deliver(arg, ev);
}

static void tell_failed_dials(struct net_env *ne)
{
	for (size_t n = ne->n_failed_dials; n > 0; n--) { /* a step may dial again at once: that is for the next turn */
		const struct failed_dial failed = ne->failed_dials[0];
		const struct env_event ev = { .type = ENV_CLOSED, .conn = failed.id, .result = failed.result,
			                      .message = failed.message };
		ne->n_failed_dials--;
		memmove(ne->failed_dials, ne->failed_dials + 1, ne->n_failed_dials * sizeof(failed));
		if (failed.id != 0)
			deliver(ne, &ev);
	}
}

static void turn_came(void *arg)
{
	struct net_env *ne = arg;

	if (ne->wake) {
		ne->wake = false;
		deliver_tick(ne);
	}
	tell_failed_dials(ne);
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
		close_entry(entry);
	loop_timer_set_ms(ne->turn, 0);
}

/* -- life */

static unsigned default_max_conns(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > CONN_TABLE_MAX)
		return CONN_TABLE_MAX;
	return limit.rlim_cur > 2 * FDS_FOR_OTHERS ? (unsigned)limit.rlim_cur - FDS_FOR_OTHERS : FDS_FOR_OTHERS;
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
		                .dial = env_dial, .send = env_send, .queued = env_queued, .close = env_close,
		                .commit = env_commit, .content = env_content, .work = env_work,
		                .log = config->log };
	ne->deadline_ms = ENV_NEVER;
	ne->limit = address_limit_new(ne->config.max_per_address);
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
		free_entry(entry);
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
