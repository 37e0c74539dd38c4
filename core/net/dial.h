/* core/net/dial.h - opens a TCP connection without blocking: looks the name up, tries each address it has, one after
 * the other (each gets its share of the time that is left). Loop thread only. */
#ifndef SHOAL_NET_DIAL_H
#define SHOAL_NET_DIAL_H
#include <stdint.h>

#include "core/base/address.h"
#include "core/base/error.h"
#include "core/net/loop.h"

struct dial;

/* Called once, never from within dial_start(). fd >= 0: connected, non-blocking, owned by the callee; else *e tells why
 * not (EOFFLINE, or ETIMEOUT), naming the address. The dial is gone after this. */
typedef void dial_fn(void *arg, int fd, const struct error *e);

/* NULL when there is no memory; fn is then not called. */
struct dial *dial_start(struct loop *loop, const struct address *addr, uint64_t timeout_ms, dial_fn *fn, void *arg);
/* Gives up; fn is not called. NULL is fine. */
void dial_cancel(struct dial *d);
#endif
