/* client/peer_buf.c */
#include "client/peer_buf.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/piece/metainfo.h"

enum { KEPT = 32 };

struct piece_pool {
	unsigned most; /* immutable */
	pthread_mutex_t lock;
	/* -- protected by lock */
	unsigned out, nkept;
	uint8_t *kept[KEPT];
};

struct piece_pool *piece_pool_new(unsigned most)
{
	struct piece_pool *p = xalloc(sizeof(*p));
	p->most = most;
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

void piece_pool_free(struct piece_pool *p)
{
	if (p == NULL)
		return;
	assert(p->out == 0);
	while (p->nkept > 0)
		free(p->kept[--p->nkept]);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

uint8_t *piece_pool_take(struct piece_pool *p)
{
	uint8_t *buf = NULL;
	bool fresh = false;

	pthread_mutex_lock(&p->lock);
	if (p->out < p->most) {
		p->out++;
		if (p->nkept > 0)
			buf = p->kept[--p->nkept];
		else
			fresh = true;
	}
	pthread_mutex_unlock(&p->lock);
	if (!fresh)
		return buf;
	buf = malloc(PIECE_SIZE); /* not zeroed: filled from the socket before anybody looks */
	if (buf == NULL) {
		pthread_mutex_lock(&p->lock);
		p->out--;
		pthread_mutex_unlock(&p->lock);
	}
	return buf;
}

void piece_pool_give(struct piece_pool *p, uint8_t *buf)
{
	if (buf == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->out--;
	if (p->nkept < KEPT) {
		p->kept[p->nkept++] = buf;
		buf = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	free(buf);
}
