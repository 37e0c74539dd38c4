/* client/relay.h - a network that can be broken, for scenarios (shoal --test): TCP connections on loopback go through it.
 *
 * Each route is a port of its own that leads to another one. One thread serves all of them; the functions may be called
 * from any other thread, and when one returns what it asked for is so. */
#ifndef SHOAL_CLIENT_RELAY_H
#define SHOAL_CLIENT_RELAY_H
#include <stdint.h>

#include "core/base/error.h"

enum relay_mode {
	RELAY_PASS, /* everything gets through */
	RELAY_MUTE, /* only what the dialling side says gets through: answers wait until RELAY_PASS */
	RELAY_CUT,  /* connections are reset, new ones too */
	RELAY_HOLD, /* nothing gets through, and nobody is told: packets that get lost. What waits goes on after RELAY_PASS */
};

struct relay;
struct relay *relay_new(struct error *e); /* NULL: *e says why */
void relay_free(struct relay *r);         /* closes everything; NULL is fine */
/* A new route to 127.0.0.1:to_port, in RELAY_PASS; its port is in *port. */
enum shoal_err relay_add(struct relay *r, uint16_t to_port, uint16_t *port, struct error *e);
enum shoal_err relay_set(struct relay *r, uint16_t port, enum relay_mode mode, struct error *e);
#endif
