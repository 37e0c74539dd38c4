/* core/net/net_env.h - the real struct env: a loop, TLS, the two clocks, a worker pool.
 *
 * Every event goes to step() on the loop thread, one at a time: step is never entered again from within a call of
 * env. The deadline that it returns (milliseconds of env->mono_ms, ENV_NEVER: none) holds until the next event; when
 * it has come, ENV_TICK is delivered. Loop thread only, except where a function says otherwise. */
#ifndef SHOAL_NET_NET_ENV_H
#define SHOAL_NET_NET_ENV_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/env.h"
#include "core/base/log.h"
#include "core/base/workers.h"
#include "core/net/loop.h"
#include "core/net/tls.h"

struct net_env;

/* Everything pointed to is borrowed and must outlive the net_env. */
struct net_env_config {
	struct loop *loop;
	const struct tls_identity *identity;
	const char *const *accept_alpns; /* what a listener speaks; 0: this env does not listen */
	size_t n_accept_alpns;
	struct log *log;         /* NULL: silent */
	struct workers *workers; /* for env->work, with a limit of 64; NULL: env->work refuses */
	uint64_t (*step)(void *owner, const struct env_event *ev);
	void *owner; /* handed to the four functions around it */
	/* The tracker's store; NULL where env->commit and env->content are never called. Both answer through
	 * net_env_post_*(), from any thread. content_free: for an answer that nobody is left to receive. */
	void (*commit)(void *owner, struct store_txn *txn, uint64_t cookie);
	void (*content)(void *owner, struct content_op *op, uint64_t cookie);
	void (*content_free)(struct content_op *op);
	unsigned max_conns;        /* accepted and dialled; 0: RLIMIT_NOFILE - 64 */
	unsigned max_per_address;  /* accepted and not yet established; 0: NET_ENV_PER_ADDRESS */
	uint64_t handshake_ms;     /* 0: 5 s; for tests */
};

#define NET_ENV_PER_ADDRESS 64
#define NET_ENV_DIAL_MS 5000 /* name lookup, connect and handshake together */

/* NULL and *e set on failure: start-up. */
struct net_env *net_env_new(const struct net_env_config *config, struct error *e);
/* Closes all connections at once, without events (after a net_env_drain() nothing is lost). The pool and the store are
 * ended before: nothing may post any more. NULL is fine. */
void net_env_free(struct net_env *ne);
/* Stops accepting, closes every connection as env->close does, and calls done(arg) when the last one is gone, 2 s
 * later at most; from the loop. For a stop that still tells everybody. Once. */
void net_env_drain(struct net_env *ne, void (*done)(void *arg), void *arg);

struct env *net_env_env(struct net_env *ne); /* valid as long as the net_env */

/* One listener; port 0: the system chooses. `bound` (may be NULL) gets the real address. */
enum shoal_err net_env_listen(struct net_env *ne, const struct address *addr, struct address *bound, struct error *e);
/* Logged in: counts in the total only, no longer against its address. Unknown ids are fine. */
void net_env_mark_established(struct net_env *ne, conn_id conn);
size_t net_env_conn_count(const struct net_env *ne);
/* ENV_SIGNAL from now on. Only in the main program's loop. */
bool net_env_on_signal(struct net_env *ne, int signo);
/* ENV_TICK in the next turn: after start-up, or when the owner did something outside step() that moves its deadline. */
void net_env_wake(struct net_env *ne);

/* Any thread: the event is delivered on the loop thread, in the order of the calls. They abort the program when there
 * is no memory for the note: going on without the answer would be worse than starting again. */
void net_env_post_committed(struct net_env *ne, uint64_t cookie, enum shoal_err result);
void net_env_post_content(struct net_env *ne, uint64_t cookie, enum shoal_err result, struct content_op *op);
#endif
