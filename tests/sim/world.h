/* tests/sim/world.h - inside the simulator: what world.c (time, nodes), network.c and disk.c share. */
#ifndef SHOAL_TESTS_WORLD_H
#define SHOAL_TESTS_WORLD_H
#include <sys/queue.h>

#include <uthash.h>

#include "core/base/buf.h"
#include "tests/sim/sim_env.h"

#define SIM_NODES_MAX 16
#define SIM_KERNEL_BYTES 65536       /* what "the kernel takes": beyond it, bytes count as queued */
#define SIM_QUEUE_MAX (1u << 20)     /* env.h: more is SHOAL_EBUSY */

/* One end of a connection. `peer` is NULL when the other end is gone for good. */
struct sim_conn {
	conn_id id;
	struct sim_node *node;
	struct sim_conn *peer;
	struct sim_node *target;    /* the other node: known even when it does not answer */
	char alpn[24];
	struct buf out;             /* sent by this end, not yet delivered */
	uint32_t frame_left;        /* of the frame that is partly delivered */
	bool broken;                /* its frames were tampered with: a reset is scheduled */
	bool delivering;            /* a delivery is scheduled */
	bool closing;               /* this end said close(): what is queued is still delivered */
	bool told_closed;
	bool connected;
	UT_hash_handle hh;
};

struct sim_txn {
	struct store_txn *txn;
	uint64_t cookie;
	STAILQ_ENTRY(sim_txn) next;
};
STAILQ_HEAD(sim_txns, sim_txn);

struct sim_node {
	struct sim *sim;
	unsigned index;
	const char *name;
	struct env env;
	struct sim_program program;
	bool up;
	uint64_t life;              /* counts starts: an event of an earlier life is dropped */
	uint64_t deadline;          /* what the last step returned, in virtual time */
	struct sim_txns queued;     /* handed in, not yet taken by the store */
	struct sim_txns writing;    /* the group being written */
	bool store_busy;
	bool written;               /* the group is durable, its answer on the way */
	unsigned fail_commits;
	enum shoal_err fail_why;
	unsigned working;           /* computations in the pool */
};

enum sim_event_kind {
	SIM_TICK,
	SIM_DELIVER,
	SIM_CLOSED,
	SIM_RESET,
	SIM_ANSWER_DIAL,
	SIM_GROUP_DONE,
	SIM_CONTENT,
	SIM_WORKED,
	SIM_CALL,
};

struct sim_event {
	uint64_t when;
	enum sim_event_kind kind;
	struct sim_node *node;      /* whose life must be the same still; NULL: nobody's */
	uint64_t life;
	conn_id conn;
	uint64_t cookie;
	enum shoal_err result;
	struct content_op *content;
	char *record;
	void (*fn)(void *arg);
	void *arg;
};

/* An event's place in the heap: small, since places move a lot. */
struct sim_place {
	uint64_t when, order;
	uint32_t slot;
};

struct sim {
	struct sim_config config;
	uint64_t now, order;
	uint64_t dice[4];
	struct sim_place *heap;      /* the events to come, soonest first */
	struct sim_event *slots;
	uint32_t *free_slots;        /* heap_cap - n_heap of them */
	size_t n_heap, heap_cap;
	struct sim_node *nodes[SIM_NODES_MAX];
	unsigned n_nodes;
	bool blocked[SIM_NODES_MAX][SIM_NODES_MAX];
	uint64_t heard[SIM_NODES_MAX][SIM_NODES_MAX]; /* by, of */
	struct sim_conn *conns;     /* by id */
	conn_id last_conn;
	bool calm;                  /* healed: no more cuts, resets, failures */
	struct sim_counts counts;
};

void sim_schedule(struct sim *sim, uint64_t delay, const struct sim_event *ev);
/* Hands an event to the node's program and remembers the deadline that it returns. */
void sim_step(struct sim_node *node, const struct env_event *ev);

/* network.c */
conn_id sim_dial(void *ctx, const struct address *addr, const char *alpn);
enum shoal_err sim_send(void *ctx, conn_id conn, const void *bytes, size_t len);
size_t sim_queued(void *ctx, conn_id conn);
void sim_close(void *ctx, conn_id conn);
void sim_on_deliver(struct sim *sim, const struct sim_event *ev);
void sim_on_closed(struct sim *sim, const struct sim_event *ev);
void sim_on_reset(struct sim *sim, const struct sim_event *ev);
void sim_on_answer_dial(struct sim *sim, const struct sim_event *ev);
void sim_break_all(struct sim_node *node); /* a crash: no event here, resets there */
void sim_free_conns(struct sim *sim);

/* disk.c */
void sim_commit(void *ctx, struct store_txn *txn, uint64_t cookie);
void sim_content(void *ctx, struct content_op *op, uint64_t cookie);
enum shoal_err sim_work(void *ctx, const struct env_work *work, uint64_t cookie);
void sim_on_group_done(struct sim *sim, const struct sim_event *ev);
void sim_on_content(struct sim *sim, const struct sim_event *ev);
void sim_on_worked(struct sim *sim, const struct sim_event *ev);
void sim_drop_txns(struct sim_node *node);
#endif
