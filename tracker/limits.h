/* tracker/limits.h - how often somebody may try: per address and minute, and per user after wrong passwords.
 *
 * Memory is fixed when it is made; a table that is full forgets its oldest entry. Which entries share a bucket depends
 * on a secret seed. A plain value behind struct env: the time is handed in. Loop thread only. */
#ifndef SHOAL_TRACKER_LIMITS_H
#define SHOAL_TRACKER_LIMITS_H
#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"

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

/* Who tries a password: a user name (whether it exists or not), and the device that he tries it on if that user was let
 * in on it before. Such a device has an account of failures of its own: nobody locks its owner out by guessing elsewhere.
 * All other devices of the world share one. */
struct limits_who {
	const char *user;
	const struct id32 *device; /* NULL: any other */
};
/* The first five failures are free, then each costs a wait of 1, 2, 4 .. 60 s before the next try is looked at. Never a
 * lock-out. 0: the try may begin, and ends with limits_tried(); while one is under way that could cost a wait, and never more than
 * TRIES_AT_ONCE, the next has to wait, too. */
uint64_t limits_try(struct limits *l, const struct limits_who *who, uint64_t now_ms);
enum limits_tried { TRIED_WRONG, TRIED_RIGHT, TRIED_NOT }; /* NOT: it could not be looked at */
void limits_tried(struct limits *l, const struct limits_who *who, enum limits_tried how, uint64_t now_ms);
/* That user was let in on that device. In a fixed table: the oldest are forgotten, and all at a restart. */
void limits_know_device(struct limits *l, const char *user, const struct id32 *device, uint64_t now_ms);
bool limits_knows_device(struct limits *l, const char *user, const struct id32 *device);
#endif
