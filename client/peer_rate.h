/* client/peer_rate.h - a token bucket: how many bytes may pass now.
 *
 * Set by the engine, asked by the transfer threads: any thread. Its lock is a leaf, held for a few instructions. A
 * bucket holds at most a tenth of a second's worth, so bursts stay small; without a limit nothing is locked. */
#ifndef SHOAL_CLIENT_PEER_RATE_H
#define SHOAL_CLIENT_PEER_RATE_H
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct peer_rate {
	_Atomic uint64_t limit; /* bytes a second; 0: none */
	pthread_mutex_t lock;
	/* -- protected by lock */
	double tokens;
	uint64_t at_us;
};

void peer_rate_init(struct peer_rate *r, uint64_t bytes_per_s);
void peer_rate_fini(struct peer_rate *r);
void peer_rate_set(struct peer_rate *r, uint64_t bytes_per_s);
uint64_t peer_rate_get(struct peer_rate *r);
/* Takes at most `want` bytes' worth and returns how much that was; 0: ask again after *wait_us. */
size_t peer_rate_take(struct peer_rate *r, size_t want, uint64_t now_us, uint64_t *wait_us);
/* n bytes pass that cannot wait: they are paid for later. */
void peer_rate_owe(struct peer_rate *r, size_t n);
/* What was taken and not used. */
void peer_rate_give_back(struct peer_rate *r, size_t n);
#endif
