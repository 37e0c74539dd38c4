/* core/sync/lease_book.h - who is online where and for how long yet, as one tracker knows it and tells it on.
 *
 * A session's home tells it when something changes: it is there, at another address, fell silent, ended. The others keep
 * its lease. A session whose lease is long enough is *steady*; count and sum of hashes over the steady sessions of one
 * home say in a few bytes that each of them still has so much time left.
 *
 * What is known of a session is ordered by (epoch, beat). The home counts its beats over all its sessions: the same number
 * in a row and in a sum says the same moment there. Nobody but the home makes a beat, and nobody takes one twice: so a lease
 * runs on by what the home has said, never by being told to and fro.
 *
 * Memory of its own, no I/O, loop thread only. Times are env's monotonic clock. Zeroed is empty; lease_book_fini(). */
#ifndef SHOAL_SYNC_LEASE_BOOK_H
#define SHOAL_SYNC_LEASE_BOOK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

#include "core/base/env.h"
#include "core/base/table.h"
#include "core/sync/sync.h"

enum lease_times {
	LEASE_MAX_MS = 30000,      /* longer ones are cut to that */
	LEASE_STEADY_MS = 15000,   /* a client says something every 10 s */
	LEASE_REMEMBER_MS = 65000, /* that a session is gone: longer than any lease under way */
};

struct lease_home;

struct lease {
	struct sync_session session; /* left_ms means nothing here; the address is our own */
	uint64_t until_ms;   /* gone: when to forget it */
	uint64_t hash;       /* of dot and epoch */
	uint32_t answer;     /* of the home's: it was in that */
	uint64_t place;      /* in the home's list, which has the highest first */
	bool steady, gone;
	struct lease_home *home; /* gone: NULL */
	LIST_ENTRY(lease) of_home;
	UT_hash_handle hh;   /* by session.dot */
};

/* What a LEASE_SUM says. */
struct lease_sum {
	uint32_t steady;
	uint64_t sum;
	uint64_t beat;       /* no steady session has an earlier one, */
	uint32_t left_ms;    /* or less time */
};

/* The sessions that are connected to one tracker. */
struct lease_home {
	uint16_t id;
	LIST_HEAD(, lease) leases;
	uint64_t last_place;
	uint32_t steady;     /* how many are */
	uint64_t sum;        /* of their hashes */
	struct lease_sum told; /* what we say of it this time */
	uint64_t told_at;    /* by itself; 0: never */
	uint64_t asked_at;   /* that everything be told; 0: never */
	conn_id asked;       /* on that link; 0: no answer is due */
	uint32_t answer;     /* its number */
	UT_hash_handle hh;
};

struct lease_book {
	struct lease *leases;
	struct lease_home *homes;
	uint64_t beat;       /* the last one of our own */
};

void lease_book_fini(struct lease_book *b);

/* A session of our own is as it was, and has so much time left. False: that is news, lease_book_put_own() it. The address
 * is not looked at: another one comes with another epoch. */
bool lease_book_renew_own(struct lease_book *b, const struct sync_session *s, uint64_t now);
/* A session of our own, whose home we are, has so much time left (0: it is over). True: the others must be told, with
 * *beat and *steady. False: the sums will say it, or it has moved to another tracker. */
bool lease_book_put_own(struct lease_book *b, const struct sync_session *s, uint64_t now, uint64_t *beat, bool *steady);
/* Another tracker says so. False: it is not newer than what is known, or there is no memory for it. */
bool lease_book_take(struct lease_book *b, const struct sync_session *s, bool steady, uint64_t now);
/* The home says that it is there, but it ended elsewhere later than that: *end is what to tell the home, which will count
 * from there if it hears from the client again. (It has another clock, and had not heard of that connection.) */
bool lease_book_ended_later(const struct lease_book *b, const struct sync_session *s, struct sync_session *end);
/* Forgets what has run out. */
void lease_book_expire(struct lease_book *b, uint64_t now);

/* NULL: no memory. lease_book_home(): or nothing is known of it. */
struct lease_home *lease_book_need_home(struct lease_book *b, uint16_t id);
struct lease_home *lease_book_home(const struct lease_book *b, uint16_t id);
/* We say of all our own sessions how they are now. */
void lease_book_beat(struct lease_book *b, struct lease_home *own);
struct lease_sum lease_home_sum(const struct lease_home *h, uint64_t now);
/* The sessions of that home are those of the sum, and have as much time left as it says: `fn` for each that is renewed
 * by that. False: they are others. */
typedef void lease_fn(void *arg, const struct lease *l);
bool lease_home_renew(struct lease_home *h, const struct lease_sum *sum, uint64_t now, lease_fn *fn, void *arg);
/* All sessions that another tracker knows of that home will now be told by lease_book_take(); ..._end(): they were: the
 * others of that home count as steady no more, and end when their time has run out. */
void lease_home_begin_answer(struct lease_home *h, conn_id from, uint64_t now);
void lease_home_end_answer(struct lease_home *h);

uint32_t lease_left(const struct lease *l, uint64_t now);
#endif
