/* core/net/listener.h - accepts TCP connections on one address. Loop thread only. */
#ifndef SHOAL_NET_LISTENER_H
#define SHOAL_NET_LISTENER_H
#include <stdint.h>
#include <sys/socket.h>

#include "core/base/address.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/net/loop.h"

struct listener;

/* A new connection: non-blocking, close-on-exec, without delay. The callee owns the descriptor; the address is
 * borrowed. The listener must not be freed from within. */
typedef void listener_fn(void *arg, int fd, const struct sockaddr *peer);

/* Binds and listens. Port 0: the system chooses. A host name is looked up, which may block: start-up only. NULL and *e
 * ("cannot listen on 127.0.0.1:5000: ...") on failure. `log` may be NULL.
 * When the process is out of descriptors, newcomers are accepted and closed at once, so that the loop does not spin. */
struct listener *listener_new(struct loop *loop, const struct address *addr, listener_fn *fn, void *arg,
                              struct log *log, struct error *e);
void listener_free(struct listener *l); /* NULL is fine */

/* What was really bound, numeric. */
void listener_address(const struct listener *l, struct address *out);
uint16_t listener_port(const struct listener *l);
#endif
