/* core/net/net_env_conn.c - the connections of a net_env: their table, accepting, dialling. */
#include "core/net/net_env_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/net/sockaddr.h"

/* One line about a stranger, unless there were many in this second. */
static void log_stranger(struct net_env *ne, enum log_level level, const struct address *addr, const char *what)
{
	uint64_t second = clock_mono_ms() / 1000;
	char text[ADDRESS_MAX];

	if (!log_wants(ne->config.log, level))
		return;
	if (second != ne->log_second) {
		if (ne->log_dropped > 0)
			log_line(ne->config.log, LOG_INFO, "net", "%u more refusals like that", ne->log_dropped);
		ne->log_second = second;
		ne->log_lines = ne->log_dropped = 0;
	}
	if (ne->log_lines++ < LOG_LINES_PER_S)
		log_line(ne->config.log, level, "net", "%s: %s", address_format(addr, text), what);
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

struct entry *net_env_find(const struct net_env *ne, conn_id id)
{
	return conn_table_find(&ne->entries, id);
}

void net_env_free_entry(struct entry *entry)
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
	/* who hangs up in the middle of a handshake is no news; who speaks nonsense is */
	enum log_level level = result == SHOAL_EPROTO || result == SHOAL_ETIMEOUT ? LOG_INFO : LOG_DEBUG;
	bool told = state == ENTRY_OPEN || (!entry->accepted && state != ENTRY_CLOSING);
	if (!told && state == ENTRY_SHAKING)
		log_stranger(ne, level, &ev.addr, message);
	net_env_free_entry(entry);
	if (told)
		net_env_deliver(ne, &ev);
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
	net_env_deliver(entry->ne, &ev);
}

static void entry_bytes(void *arg, const uint8_t *data, size_t len)
{
	struct entry *entry = arg;
	const struct env_event ev = { .type = ENV_BYTES, .conn = entry->id, .data = data, .len = len };

	net_env_deliver(entry->ne, &ev);
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
	struct entry *entry = NULL;

	if (memory_limit_near(&ne->memory, clock_mono_ms())) {
		why = "refused: 80 % of the memory that this process may have is in use";
		goto refuse;
	}
	entry = new_entry(ne);
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
		net_env_free_entry(entry);
	struct address addr;
	sockaddr_to_address(peer, &addr);
	log_stranger(ne, LOG_INFO, &addr, why);
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

conn_id net_env_dial(void *arg, const struct address *addr, const char *alpn)
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
		net_env_free_entry(entry);
		return dial_failed(ne, SHOAL_EBUSY, "no memory for a connection");
	}
	return entry->id;
}

void net_env_tell_failed_dials(struct net_env *ne)
{
	for (size_t n = ne->n_failed_dials; n > 0; n--) { /* a step may dial again at once: that is for the next turn */
		const struct failed_dial failed = ne->failed_dials[0];
		const struct env_event ev = { .type = ENV_CLOSED, .conn = failed.id, .result = failed.result,
			                      .message = failed.message };
		ne->n_failed_dials--;
		memmove(ne->failed_dials, ne->failed_dials + 1, ne->n_failed_dials * sizeof(failed));
		if (failed.id != 0)
			net_env_deliver(ne, &ev);
	}
}

void net_env_close_entry(struct entry *entry)
{
	if (entry->state == ENTRY_OPEN) {
		entry->state = ENTRY_CLOSING;
		conn_close(entry->conn);
	} else if (entry->state != ENTRY_CLOSING) {
		net_env_free_entry(entry); /* nothing has been said on it yet */
	}
}
