/* tests/bench/load/fleet.h - many clients of one tracker in one process: TLS, HELLO, login, then commands.
 *
 * One thread, one loop, the real wire and net floors. Client i is the user "user-0000000" + i of tracker_fill, whose
 * password is FLEET_PASSWORD; all have one device identity, FLEET_SEED's unless told otherwise, so that the shares that
 * tracker_fill makes are theirs. Commands may be pipelined up to FLEET_DEPTH; each reply says how long it took. Whatever goes wrong ends the
 * program with a sentence: a measurement with lost clients is none. Each client says HEARTBEAT every 10 s, as real ones
 * do, unless it is quiet. */
#ifndef SHOAL_TESTS_BENCH_FLEET_H
#define SHOAL_TESTS_BENCH_FLEET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"
#include "core/net/loop.h"
#include "core/wire/cmd.h"

#define FLEET_PASSWORD "shoal-load"
#define FLEET_SEED 0x42 /* 32 times this byte is the seed of the device's key */
#define FLEET_USER "user-%07zu"
#define FLEET_GROUP "group-%06zu"
#define FLEET_FILE "file-%07zu.bin"
#define FLEET_DEPTH 64u

struct fleet;
struct fleet_client;

struct fleet_reply {
	struct fleet_client *client;
	enum cmd_verb verb;
	struct rply_head head;
	struct cursor fields;
	size_t bytes;    /* of the frame, length word included */
	uint64_t took_us; /* since fleet_send() */
};

struct fleet_config {
	struct address tracker;
	size_t n;        /* clients */
	size_t first;    /* number of the first one's user */
	size_t at_once;  /* clients that are on their way in at the same time; 0: 48 */
	bool echo;       /* the other side is tracker_echo: no HELLO, no login, no heartbeats */
	bool visitor;    /* HELLO, but no login */
	uint8_t seed;    /* of the device's key; 0: FLEET_SEED */
	struct loop *loop; /* another fleet's, to run on too; NULL: one of its own */
	void (*ready)(void *arg);                               /* all are in */
	void (*reply)(void *arg, const struct fleet_reply *r);  /* to fleet_send() */
	void *arg;
};

struct fleet *fleet_new(const struct fleet_config *config);
void fleet_free(struct fleet *f);
void fleet_start(struct fleet *f); /* they begin to come in when the loop runs */
void fleet_run(struct fleet *f);   /* the loop, until fleet_stop() of any fleet on it */
void fleet_stop(struct fleet *f);
struct loop *fleet_loop(struct fleet *f);

struct fleet_client *fleet_client(struct fleet *f, size_t i);
size_t fleet_number(const struct fleet_client *c);    /* i */
unsigned fleet_in_flight(const struct fleet_client *c);
/* `fields`: the verb's, put together by its codec; copied. A request id is made for what changes something. */
void fleet_send(struct fleet_client *c, enum cmd_verb verb, const struct buf *fields);

/* Says it on standard error and ends the program. */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
#endif
