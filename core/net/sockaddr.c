/* core/net/sockaddr.c */
#include "core/net/sockaddr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

void sockaddr_to_address(const struct sockaddr *sa, struct address *out)
{
	memset(out, 0, sizeof(*out));
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;
		inet_ntop(AF_INET, &in->sin_addr, out->host, sizeof(out->host));
		out->port = ntohs(in->sin_port);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
			inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, out->host, sizeof(out->host));
		else
			inet_ntop(AF_INET6, &in6->sin6_addr, out->host, sizeof(out->host));
		out->port = ntohs(in6->sin6_port);
		if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) && in6->sin6_scope_id != 0) {
			size_t len = strlen(out->host);
			snprintf(out->host + len, sizeof(out->host) - len, "%%%u", in6->sin6_scope_id);
		}
	}
}

/* "fe80::1%eth0" or "fe80::1%2": splits the scope off; 0 if there is none. */
static uint32_t split_scope(char *host)
{
	char *percent = strchr(host, '%');
	unsigned scope = 0;
	char rest;

	if (percent == NULL)
		return 0;
	*percent = '\0';
	if (sscanf(percent + 1, "%u%c", &scope, &rest) != 1)
		scope = if_nametoindex(percent + 1);
	return scope;
}

bool sockaddr_from_numeric(const struct address *addr, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_in *in = (void *)out;
	struct sockaddr_in6 *in6 = (void *)out;
	char host[HOST_MAX];

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, addr->host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(addr->port);
		*len = sizeof(*in);
		return true;
	}
	snprintf(host, sizeof(host), "%s", addr->host);
	in6->sin6_scope_id = split_scope(host);
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(addr->port);
		*len = sizeof(*in6);
		return true;
	}
	return false;
}

bool sockaddr_peer_of(int fd, struct address *out)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	if (getpeername(fd, (struct sockaddr *)&ss, &len) != 0)
		return false;
	sockaddr_to_address((struct sockaddr *)&ss, out);
	return out->host[0] != '\0';
}

bool sockaddr_local_of(int fd, struct address *out)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		return false;
	sockaddr_to_address((struct sockaddr *)&ss, out);
	return out->host[0] != '\0';
}

void sockaddr_limit_key(const struct sockaddr *sa, uint8_t key[16])
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	memset(key, 0, 16);
	if (sa->sa_family == AF_INET) {
		memcpy(key, mapped, 12);
		memcpy(key + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
		memcpy(key, in6->s6_addr, IN6_IS_ADDR_V4MAPPED(in6) ? 16 : 8);
	}
}

void sockaddr_tune(int fd)
{
	const int on = 1, idle_s = 15, interval_s = 5, probes = 3;
	const unsigned unacknowledged_ms = 15000;

	/* Each of them only makes a good connection better: a refusal is no reason to give it up. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof(unacknowledged_ms));
}
