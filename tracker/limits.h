/* tracker/limits.h - how often somebody may try: per address and minute, and per user after wrong passwords.
 *
 * Memory is fixed when it is made; a table that is full forgets its oldest entry. Which entries share a bucket depends
 * on a secret seed. A plain value behind struct env: the time is handed in. Loop thread only. */
#ifndef SHOAL_TRACKER_LIMITS_H
#define SHOAL_TRACKER_LIMITS_H
#include <stdbool.h>
#include <stdint.h>

struct limits;

enum limit_kind { LIMIT_LOGIN, LIMIT_CREATE_USER, LIMIT_KINDS };

/* Tries a minute and address (an IPv4 address, or the first 64 bits of an IPv6 one); 0: as often as one likes. */
struct limits_config {
	unsigned per_minute[LIMIT_KINDS];
	uint64_t seed;
};

#define LOGIN_PER_MINUTE 20
#define CREATE_USER_PER_MINUTE 10

/* NULL when there is no memory. Caller: limits_free(). */
struct limits *limits_new(const struct limits_config *config);
void limits_free(struct limits *l);

/* Counts a try; 0 if it may go on, else the milliseconds until the next one may. `host` is a numeric address. */
uint64_t limits_take(struct limits *l, enum limit_kind kind, const char *host, uint64_t now_ms);

/* Wrong passwords for one user name (whether it exists or not): the first five are free, then each costs a wait of
 * 1, 2, 4 .. 60 s before the next try is looked at. Never a lock-out. */
uint64_t limits_user_wait(struct limits *l, const char *user, uint64_t now_ms);
void limits_user_failed(struct limits *l, const char *user, uint64_t now_ms);
void limits_user_succeeded(struct limits *l, const char *user);
#endif
