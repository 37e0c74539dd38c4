/* core/net/net_env_impl.h - what net_env.c (events, the functions of env, life) and net_env_conn.c (the table of
 * connections, accepting, dialling) share. Nobody else includes it. Loop thread only.
 *
 * Delivering an event is the last thing a function does with an entry: the step may have closed it. */
#ifndef SHOAL_NET_NET_ENV_IMPL_H
#define SHOAL_NET_NET_ENV_IMPL_H
#include <netinet/in.h>

#include "core/base/memory_limit.h"
#include "core/net/address_limit.h"
#include "core/net/answers.h"
#include "core/net/conn.h"
#include "core/net/conn_table.h"
#include "core/net/dial.h"
#include "core/net/listener.h"
#include "core/net/net_env.h"

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
	struct memory_limit memory;
	struct failed_dial failed_dials[FAILED_DIALS_MAX];
	size_t n_failed_dials;
	uint64_t deadline_ms; /* the last step's */
	bool in_step, wake, draining;
	void (*drained)(void *arg);
	void *drained_arg;
	uint64_t log_second; /* strangers logged in this second, and dropped since the last line */
	unsigned log_lines, log_dropped;
};

/* net_env.c */
void net_env_deliver(struct net_env *ne, const struct env_event *ev); /* one step; arms the timer for its deadline */

/* net_env_conn.c */
struct entry *net_env_find(const struct net_env *ne, conn_id id); /* NULL if there is none */
void net_env_free_entry(struct entry *entry);                     /* at once, without an event */
void net_env_close_entry(struct entry *entry);                    /* as env->close */
conn_id net_env_dial(void *arg, const struct address *addr, const char *alpn); /* env->dial */
void net_env_tell_failed_dials(struct net_env *ne);
#endif
