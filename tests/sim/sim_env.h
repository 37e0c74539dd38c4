/* tests/sim/sim_env.h - a world in virtual time: N programs behind struct env, one network, one source of dice.
 *
 * Nothing here waits: time jumps from event to event, so an hour takes a moment, and a seed replays a run exactly.
 * The network gives what TCP gives: bytes in order, cut anywhere, delayed, held back by a partition (one-way or full),
 * or a connection reset. Each node has clocks of its own (skewed), and a store that outlives its crashes: what the store
 * had not committed at a crash is gone, what it had committed without having said so is there.
 * One thread. A step function is never entered from within a call of env. */
#ifndef SHOAL_TESTS_SIM_ENV_H
#define SHOAL_TESTS_SIM_ENV_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/env.h"
#include "core/registry/store.h"

struct sim;
struct sim_node;

struct sim_config {
	uint64_t seed;
	uint32_t latency_max_ms;  /* of each delivery, 1 to this */
	uint32_t commit_max_ms;   /* of each group commit */
	uint32_t cut_percent;     /* how many deliveries are cut short at a random byte */
	uint32_t reset_per_10000; /* how many deliveries reset the connection instead */
	uint32_t snapshot_percent; /* how many deliveries that go on with a snapshot reset the connection */
	uint32_t frame_per_10000; /* how many deliveries between trackers lose a frame, double it or swap two: such a
	                           * connection is reset within 3 s, as TLS would have */
};

/* What a node runs. All borrowed. */
struct sim_program {
	const char *name;
	struct address addr;         /* where it listens, if alpns is not NULL; also what others see of it */
	const char *const *alpns;    /* NULL-ended; NULL: it only dials */
	struct id32 identity;        /* shown to those who connect with ALPN_SYNC or are accepted */
	struct id32 device;          /* shown when it dials with another ALPN */
	int64_t skew_ms;             /* of its wall clock */
	uint32_t grain_ms;           /* which moves in steps of that; 0: of a millisecond */
	uint64_t (*step)(void *owner, const struct env_event *ev);
	void (*durable)(void *owner, struct slice record); /* each record that the store has written; may be NULL */
	void (*cut)(void *owner, const struct vvec *upto); /* records up to there are about to go from its log; may be NULL */
	void *owner;
	struct store *store;         /* NULL: commit and content are never called */
	const struct store_ops *store_ops;
};

struct sim *sim_new(const struct sim_config *config);
/* Another seed has no effect any more. */
void sim_configure(struct sim *sim, const struct sim_config *config);
void sim_free(struct sim *sim); /* the nodes too; not their programs, not their stores */

uint32_t sim_random(struct sim *sim, uint32_t below); /* 0 .. below - 1 */
bool sim_percent(struct sim *sim, uint32_t percent);
/* When bytes of `from` last came to `to`, in virtual time; 0: never. */
uint64_t sim_heard(const struct sim_node *to, const struct sim_node *from);
uint64_t sim_now(const struct sim *sim); /* virtual milliseconds since the world began */

/* The node is down until sim_start(). It lives as long as the world. */
struct sim_node *sim_node_new(struct sim *sim, const char *name);
struct env *sim_node_env(struct sim_node *node);
/* Up, running that program: its first event is an ENV_TICK, now. */
void sim_start(struct sim_node *node, const struct sim_program *program);
/* At once: its connections break, its queued events are dropped, the store forgets what it had not committed.
 * Nothing of its program is called any more, so the caller can free it after this. */
void sim_crash(struct sim_node *node);
bool sim_up(const struct sim_node *node);

/* What `from` sends does not reach `to`, from now on, or does again. A blocked direction blocks dialling both ways. */
void sim_block(struct sim_node *from, struct sim_node *to, bool blocked);
void sim_heal(struct sim *sim); /* everything gets through, resets and cuts and store failures end */
/* The next n group commits of this node fail with `why` (the store does nothing of them). */
void sim_fail_commits(struct sim_node *node, unsigned n, enum shoal_err why);

/* Runs events until `until` (virtual time), or until there are none. */
void sim_run(struct sim *sim, uint64_t until);
/* Calls fn(arg) at that time, outside all steps. */
void sim_at(struct sim *sim, uint64_t when, void (*fn)(void *arg), void *arg);
/* The program did something outside its step: ENV_TICK now. */
void sim_wake(struct sim_node *node);
/* Its wall clock jumps. */
void sim_set_skew(struct sim_node *node, int64_t skew_ms);

struct sim_counts {
	uint64_t events, bytes, dials, dials_failed, resets, cuts, commits, groups, commits_failed, commits_lost;
	uint64_t frames_lost, frames_doubled, frames_swapped;
	uint64_t committed_unsaid; /* durable, but the crash came before the answer */
};
const struct sim_counts *sim_counts(const struct sim *sim);
#endif
