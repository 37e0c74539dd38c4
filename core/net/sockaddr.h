/* core/net/sockaddr.h - between struct address and the kernel's socket addresses. Plain values, any thread. */
#ifndef SHOAL_NET_SOCKADDR_H
#define SHOAL_NET_SOCKADDR_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/base/address.h"

/* Numeric host and port; an IPv4 address mapped into IPv6 is written as IPv4. An unknown family gives an empty host. */
void sockaddr_to_address(const struct sockaddr *sa, struct address *out);
/* False if the host is not a numeric address. */
bool sockaddr_from_numeric(const struct address *addr, struct sockaddr_storage *out, socklen_t *len);
/* The addresses at the ends of a socket; false if it has none. */
bool sockaddr_peer_of(int fd, struct address *out);
bool sockaddr_local_of(int fd, struct address *out);
/* Who counts as one when strangers are limited: an IPv4 address, or an IPv6 /64, as 16 bytes. */
void sockaddr_limit_key(const struct sockaddr *sa, uint8_t key[16]);
/* No delay for small writes, keepalive 15 s + 3 x 5 s, unacknowledged data given up after 15 s. */
void sockaddr_tune(int fd);
#endif
