/* client/peer_buf.h - the buffers that pieces are received into: a bounded number of PIECE_SIZE each.
 *
 * Any thread; the lock is a leaf. Some that were given back are kept, since a fresh half MiB costs 128 page faults. */
#ifndef SHOAL_CLIENT_PEER_BUF_H
#define SHOAL_CLIENT_PEER_BUF_H
#include <stdint.h>

struct piece_pool;

struct piece_pool *piece_pool_new(unsigned most); /* start-up */
void piece_pool_free(struct piece_pool *p);       /* all must have been given back; NULL is fine */
uint8_t *piece_pool_take(struct piece_pool *p);   /* NULL: `most` are out, or no memory: try again later */
void piece_pool_give(struct piece_pool *p, uint8_t *buf); /* NULL is fine */
#endif
