/* client/peer_rate.c */
#include "client/peer_rate.h"

enum {
	LEAST_TAKE = 4096,   /* fewer bytes than this are not worth a system call */
	LEAST_BURST = 16384,
};

static double burst_of(uint64_t limit)
{
	double burst = (double)limit / 10;
	return burst < LEAST_BURST ? LEAST_BURST : burst;
}

void peer_rate_init(struct peer_rate *r, uint64_t bytes_per_s)
{
	atomic_init(&r->limit, bytes_per_s);
	pthread_mutex_init(&r->lock, NULL);
	r->tokens = 0;
	r->at_us = 0;
}

void peer_rate_fini(struct peer_rate *r)
{
	pthread_mutex_destroy(&r->lock);
}

void peer_rate_set(struct peer_rate *r, uint64_t bytes_per_s)
{
	pthread_mutex_lock(&r->lock);
	atomic_store_explicit(&r->limit, bytes_per_s, memory_order_relaxed);
	r->tokens = 0;
	r->at_us = 0;
	pthread_mutex_unlock(&r->lock);
}

uint64_t peer_rate_get(struct peer_rate *r)
{
	return atomic_load_explicit(&r->limit, memory_order_relaxed);
}

/* With the lock held: what has come in since the last look. */
static void refill(struct peer_rate *r, uint64_t limit, uint64_t now_us)
{
	if (r->at_us != 0 && now_us > r->at_us)
		r->tokens += (double)(now_us - r->at_us) * (double)limit / 1e6;
	if (r->at_us == 0 || now_us > r->at_us)
		r->at_us = now_us; /* two threads may look at the clock in another order than they come here */
	if (r->tokens > burst_of(limit))
		r->tokens = burst_of(limit);
}

size_t peer_rate_take(struct peer_rate *r, size_t want, uint64_t now_us, uint64_t *wait_us)
{
	if (peer_rate_get(r) == 0)
		return want;
	pthread_mutex_lock(&r->lock);
	uint64_t limit = peer_rate_get(r);
	size_t least = want < LEAST_TAKE ? want : LEAST_TAKE, took = 0;

	if (limit == 0) {
		took = want;
	} else {
		refill(r, limit, now_us);
		if (r->tokens >= (double)least)
			took = r->tokens < (double)want ? (size_t)r->tokens : want;
		else /* a little more than the least, so that who waits finds something worth the trip */
			*wait_us = 1000 + (uint64_t)(((double)least - r->tokens) * 1e6 / (double)limit);
		r->tokens -= (double)took;
	}
	pthread_mutex_unlock(&r->lock);
	return took;
}

void peer_rate_owe(struct peer_rate *r, size_t n)
{
	if (peer_rate_get(r) == 0)
		return;
	pthread_mutex_lock(&r->lock);
	r->tokens -= (double)n;
	pthread_mutex_unlock(&r->lock);
}

void peer_rate_give_back(struct peer_rate *r, size_t n)
{
	if (n == 0 || peer_rate_get(r) == 0)
		return;
	pthread_mutex_lock(&r->lock);
	r->tokens += (double)n;
	pthread_mutex_unlock(&r->lock);
}
