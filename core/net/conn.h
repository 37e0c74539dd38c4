/* core/net/conn.h - one TLS connection on a loop.
 *
 * Loop thread only. Callbacks come from the loop, never from within a function of this header, so a caller is never
 * re-entered. An idle connection holds no buffers of its own beyond what OpenSSL needs. */
#ifndef SHOAL_NET_CONN_H
#define SHOAL_NET_CONN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/error.h"
#include "core/base/id.h"
#include "core/net/loop.h"
#include "core/net/tls.h"

struct conn;

enum {
	CONN_HANDSHAKE_MS = 5000,
	CONN_FLUSH_MS = 2000,             /* what conn_close() gives the other side to take what is queued */
	CONN_QUEUE_MAX = 1024 * 1024,     /* bytes queued beyond which conn_send() refuses */
	CONN_QUEUE_PAUSE = 512 * 1024,    /* an accepted connection is not read while more than this is queued: who does
	                                     not take its answers gets no further ones. A dialled one is always read, so
	                                     that two of us cannot wait for each other. */
};

struct conn_handler {
	void (*opened)(void *arg);                                 /* the handshake is done */
	void (*bytes)(void *arg, const uint8_t *data, size_t len); /* borrowed; at most 64 KiB a turn */
	/* The last callback, exactly once: the other side ended it (SHOAL_OK), it failed, or conn_close() has run its
	 * course (SHOAL_OK). The owner calls conn_free(), now or later; the message lives until then. */
	void (*closed)(void *arg, enum shoal_err result, const char *message);
};

/* A connection on a connected socket, in the role of its context, with CONN_HANDSHAKE_MS (or handshake_ms if not 0) to
 * finish the handshake. It owns fd from now on. NULL when there is no memory: fd is still the caller's. The handler
 * must outlive it. */
struct conn *conn_new(struct loop *loop, int fd, const struct tls_ctx *ctx, uint64_t handshake_ms,
                      const struct conn_handler *handler, void *arg);
/* Copies and queues. SHOAL_EBUSY: over CONN_QUEUE_MAX already, or no memory. SHOAL_EIO: it is closed or closing. */
enum shoal_err conn_send(struct conn *c, const void *data, size_t len);
size_t conn_queued(const struct conn *c);
/* Sends what is queued, says goodbye; closed() follows within CONN_FLUSH_MS, bytes() does not. */
void conn_close(struct conn *c);
/* At once, without a callback. NULL is fine. */
void conn_free(struct conn *c);

/* Once it is open. */
bool conn_identity(const struct conn *c, struct id32 *out);
const char *conn_alpn(const struct conn *c);
/* The other side's numeric address; false if the socket is gone. */
bool conn_address(const struct conn *c, struct address *out);
#endif
