/* tracker/limits.c */
#include "tracker/limits.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

enum {
	BUCKETS = 2048,
	WAYS = 4,
	FREE_FAILURES = 5,
	FORGET_FAILURES_MS = 15 * 60 * 1000,
	LONGEST_WAIT_MS = 60 * 1000,
	MINUTE_MS = 60 * 1000,
};

struct limit_entry {
	uint64_t key;     /* 0: free */
	uint64_t used_ms; /* the last time it was changed */
	uint64_t value;   /* address: when the bucket is full again; user: failures */
};

struct limits {
	struct limits_config config;
	struct limit_entry tables[LIMIT_KINDS + 1][BUCKETS][WAYS]; /* the last one is the users' */
};

struct limits *limits_new(const struct limits_config *config)
{
	struct limits *l = try_alloc(sizeof(*l));
	if (l != NULL)
		l->config = *config;
	return l;
}

void limits_free(struct limits *l)
{
	free(l);
}

static uint64_t key_of(const struct limits *l, const void *what, size_t len)
{
	struct sha256 h;
	struct id32 out;
	uint64_t key;

	sha256_init(&h);
	tuple_add_u64(&h, l->config.seed);
	tuple_add(&h, what, len);
	sha256_final(&h, &out);
	memcpy(&key, out.b, sizeof(key));
	return key | 1;
}

static uint64_t key_of_host(const struct limits *l, const char *host)
{
	struct in6_addr v6;
	if (inet_pton(AF_INET6, host, &v6) != 1)
		return key_of(l, host, strlen(host));
	if (IN6_IS_ADDR_V4MAPPED(&v6)) {
		char v4[INET_ADDRSTRLEN];
		inet_ntop(AF_INET, &v6.s6_addr[12], v4, sizeof(v4));
		return key_of(l, v4, strlen(v4));
	}
	return key_of(l, &v6, 8);
}

/* The entry of that key, or the place for it (the oldest is forgotten, and what is returned is zeroed but the key). */
static struct limit_entry *entry_of(struct limits *l, unsigned table, uint64_t key)
{
	struct limit_entry *bucket = l->tables[table][(key >> 1) % BUCKETS], *oldest = &bucket[0];
	for (unsigned i = 0; i < WAYS; i++) {
		if (bucket[i].key == key)
			return &bucket[i];
		if (bucket[i].used_ms < oldest->used_ms) /* a free one was used at 0 */
			oldest = &bucket[i];
	}
	*oldest = (struct limit_entry){ .key = key };
	return oldest;
}

/* A bucket of `rate` drops that fills up within a minute, kept as the moment when it will be full. */
uint64_t limits_take(struct limits *l, enum limit_kind kind, const char *host, uint64_t now_ms)
{
	unsigned rate = l->config.per_minute[kind];
	if (rate == 0)
		return 0;
	struct limit_entry *en = entry_of(l, kind, key_of_host(l, host));
	uint64_t drop = MINUTE_MS / rate, full = en->value > now_ms ? en->value : now_ms;

	if (full + drop > now_ms + MINUTE_MS)
		return full + drop - now_ms - MINUTE_MS;
	en->value = full + drop;
	en->used_ms = now_ms;
	return 0;
}

static struct limit_entry *user_entry(struct limits *l, const char *user)
{
	return entry_of(l, LIMIT_KINDS, key_of(l, user, strlen(user)));
}

uint64_t limits_user_wait(struct limits *l, const char *user, uint64_t now_ms)
{
	struct limit_entry *en = user_entry(l, user);
	if (en->value < FREE_FAILURES || now_ms >= en->used_ms + FORGET_FAILURES_MS)
		return 0;
	uint64_t doublings = en->value - FREE_FAILURES;
	uint64_t wait = doublings < 6 ? UINT64_C(1000) << doublings : LONGEST_WAIT_MS;
	return en->used_ms + wait > now_ms ? en->used_ms + wait - now_ms : 0;
}

void limits_user_failed(struct limits *l, const char *user, uint64_t now_ms)
{
	struct limit_entry *en = user_entry(l, user);
	if (now_ms >= en->used_ms + FORGET_FAILURES_MS)
		en->value = 0;
	en->value++;
	en->used_ms = now_ms;
}

void limits_user_succeeded(struct limits *l, const char *user)
{
	*user_entry(l, user) = (struct limit_entry){ 0 };
}
