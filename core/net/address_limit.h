/* core/net/address_limit.h - how many connections of one address are not established yet. Loop thread only. */
#ifndef SHOAL_NET_ADDRESS_LIMIT_H
#define SHOAL_NET_ADDRESS_LIMIT_H
#include <sys/socket.h>

struct address_limit;
struct address_count; /* one address; counted once for each address_limit_take() */

struct address_limit *address_limit_new(unsigned max_per_address);
void address_limit_free(struct address_limit *al); /* everything given back before; NULL is fine */

/* An IPv6 /64 counts as one. NULL: that address has its maximum already, or there is no memory. */
struct address_count *address_limit_take(struct address_limit *al, const struct sockaddr *peer);
void address_limit_give(struct address_limit *al, struct address_count *count); /* NULL is fine */
#endif
