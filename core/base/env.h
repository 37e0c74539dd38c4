/* core/base/env.h - the only way in which the tracker and the client's tracker link touch the world.
 *
 * core/registry, core/sync, the tracker's core and client/link.c never call time, random, socket or file functions:
 * they are handed a struct env and fed events through a step function, which returns the next deadline. The real env
 * (core/net/net_env.h) is libevent and TLS; the simulator's is virtual time. Bytes travel, not messages, so that a
 * simulator can cut frames anywhere; TLS lies below. Everything here happens on the one loop thread. */
#ifndef SHOAL_BASE_ENV_H
#define SHOAL_BASE_ENV_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/error.h"
#include "core/base/id.h"
#include "core/base/log.h"

struct store_txn;  /* core/registry/store.h */
struct content_op; /* core/registry/store.h */

/* One listener; the protocol of a TLS connection is told by its ALPN. */
#define ALPN_CLIENT "shoal-client/1"
#define ALPN_SYNC "shoal-sync/1"
#define ALPN_PEER "shoal-peer/1"

typedef uint64_t conn_id; /* never reused, never 0 */

/* A computation for the worker pool; the env that runs it fills `result`. */
enum env_work_kind { WORK_HASH_PASSWORD, WORK_VERIFY_PASSWORD, WORK_VERIFY_CONTENT };
struct env_work {
	enum env_work_kind kind;
	char *password;   /* owned by the work; wiped and freed by the env */
	size_t password_len;
	char *record;     /* VERIFY_PASSWORD: owned; HASH_PASSWORD: NULL */
	unsigned scrypt_ln;
};

struct env {
	void *ctx;
	uint64_t (*mono_ms)(void *ctx);
	uint64_t (*wall_ms)(void *ctx);
	void (*random)(void *ctx, void *out, size_t len);
	/* Starts to connect (a name is resolved first); at most 5 s, the TLS handshake included. Always answers with
	 * exactly one CONNECTED or CLOSED event, later, never from within the call. */
	conn_id (*dial)(void *ctx, const struct address *addr, const char *alpn);
	/* Queues the bytes, which are copied. SHOAL_EBUSY: over the limit of queued bytes (1 MiB + what one call brings)
	 * or no memory; the connection is then good for nothing but close(). */
	enum shoal_err (*send)(void *ctx, conn_id conn, const void *bytes, size_t len);
	/* Bytes queued on this connection that the kernel has not taken yet: senders of long lists and snapshots look. */
	size_t (*queued)(void *ctx, conn_id conn);
	/* What was queued is still sent if the other side takes it within 2 s; no event follows. Unknown ids are fine. */
	void (*close)(void *ctx, conn_id conn);
	/* Tracker: hands a transaction to the store, which frees it; COMMITTED follows, in order. */
	void (*commit)(void *ctx, struct store_txn *txn, uint64_t cookie);
	/* Tracker: reads or writes piece hashes (bulk data); CONTENT follows. The op is handed back in the event. */
	void (*content)(void *ctx, struct content_op *op, uint64_t cookie);
	/* Hands a computation to the pool; WORKED follows. SHOAL_EBUSY (nothing taken) when 64 wait already. */
	enum shoal_err (*work)(void *ctx, const struct env_work *work, uint64_t cookie);
	struct log *log; /* NULL: silent */
};

enum env_event_type {
	ENV_ACCEPTED,  /* conn, identity, addr, alpn: TLS is done */
	ENV_CONNECTED, /* conn, identity, addr */
	ENV_BYTES,     /* conn, data, len: borrowed for the step */
	ENV_CLOSED,    /* conn, result, message: the other side went, or the dial failed; the id is dead */
	ENV_COMMITTED, /* cookie, result */
	ENV_CONTENT,   /* cookie, result, content: the receiver frees it with content_op_free() */
	ENV_WORKED,    /* cookie, result, record (HASH_PASSWORD: borrowed); result EAUTH: the password is wrong */
	ENV_TICK,      /* the deadline that the last step returned has come */
	ENV_SIGNAL,    /* cookie: the signal's number */
};

struct env_event {
	enum env_event_type type;
	conn_id conn;
	struct id32 identity;  /* of the other side's certificate */
	struct address addr;   /* numeric address of the other side */
	const char *alpn;
	const uint8_t *data;
	size_t len;
	uint64_t cookie;
	enum shoal_err result;
	const char *message;
	struct content_op *content;
	const char *record;
};

#define ENV_NEVER UINT64_MAX /* a step's "no deadline" */
#endif
