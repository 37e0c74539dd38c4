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
	TRIES_AT_ONCE = 16,
	SOON_MS = 1000,
};

struct limit_entry {
	uint64_t key;     /* 0: free */
	uint64_t used_ms; /* the last time it was changed */
	uint64_t value;   /* address: when the bucket is full again; else failures */
	unsigned pending; /* tries under way */
};

/* The tables behind those of the addresses. */
enum { TABLE_USERS = LIMIT_KINDS, TABLE_DEVICES, TABLES };

struct limits {
	struct limits_config config;
	struct limit_entry tables[TABLES][BUCKETS][WAYS];
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

static uint64_t key_of_device(const struct limits *l, const char *user, const struct id32 *device)
{
	uint8_t both[sizeof(uint64_t) + sizeof(device->b)];
	uint64_t key = key_of(l, user, strlen(user));

	memcpy(both, &key, sizeof(key));
	memcpy(both + sizeof(key), device->b, sizeof(device->b));
	return key_of(l, both, sizeof(both));
}

static struct limit_entry *who_entry(struct limits *l, const struct limits_who *who)
{
	return who->device == NULL ? entry_of(l, TABLE_USERS, key_of(l, who->user, strlen(who->user)))
	                           : entry_of(l, TABLE_DEVICES, key_of_device(l, who->user, who->device));
}

static uint64_t wait_after(uint64_t failures)
{
	uint64_t doublings = failures - FREE_FAILURES;
	return doublings < 6 ? UINT64_C(1000) << doublings : LONGEST_WAIT_MS;
}

uint64_t limits_try(struct limits *l, const struct limits_who *who, uint64_t now_ms)
{
	struct limit_entry *en = who_entry(l, who);
	bool slow = en->value >= FREE_FAILURES && now_ms < en->used_ms + FORGET_FAILURES_MS;
	uint64_t until = slow ? en->used_ms + wait_after(en->value) : 0;

	if (until > now_ms)
		return until - now_ms;
	if (en->pending >= (slow ? 1u : TRIES_AT_ONCE))
		return SOON_MS;
	en->pending++;
	return 0;
}

void limits_tried(struct limits *l, const struct limits_who *who, enum limits_tried how, uint64_t now_ms)
{
	struct limit_entry *en = who_entry(l, who);

	if (en->pending != 0) /* 0: it was forgotten meanwhile */
		en->pending--;
	if (how == TRIED_NOT)
		return;
	if (how == TRIED_RIGHT || now_ms >= en->used_ms + FORGET_FAILURES_MS)
		en->value = 0;
	en->value += how == TRIED_WRONG;
	en->used_ms = now_ms;
}

void limits_know_device(struct limits *l, const char *user, const struct id32 *device, uint64_t now_ms)
{
	who_entry(l, &(struct limits_who){ user, device })->used_ms = now_ms;
}

bool limits_knows_device(struct limits *l, const char *user, const struct id32 *device)
{
	uint64_t key = key_of_device(l, user, device);
	const struct limit_entry *bucket = l->tables[TABLE_DEVICES][(key >> 1) % BUCKETS];

	for (unsigned i = 0; i < WAYS; i++)
		if (bucket[i].key == key)
			return true;
	return false;
}
