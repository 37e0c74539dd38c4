/* tests/sim/network.c - connections: bytes in order, cut anywhere, delayed, held back, or reset. */
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/wire/sync_msg.h"

#define RETRY_MS 40          /* how often a held-back delivery looks again */
#define DIAL_TIMEOUT_MS 5000

static struct sim_conn *find(struct sim *sim, conn_id id)
{
	struct sim_conn *c;
	HASH_FIND(hh, sim->conns, &id, sizeof(id), c);
	return c;
}

static struct sim_conn *add_conn(struct sim_node *node, struct sim_node *target, const char *alpn)
{
	struct sim *sim = node->sim;
	struct sim_conn *c = xalloc(sizeof(*c));
	c->id = ++sim->last_conn;
	c->node = node;
	c->target = target;
	snprintf(c->alpn, sizeof(c->alpn), "%s", alpn);
	HASH_ADD(hh, sim->conns, id, sizeof(c->id), c);
	return c;
}

static void drop_conn(struct sim *sim, struct sim_conn *c)
{
	if (c->peer != NULL)
		c->peer->peer = NULL;
	HASH_DEL(sim->conns, c);
	buf_free(&c->out);
	free(c);
}

static bool is_blocked(const struct sim_node *from, const struct sim_node *to)
{
	return from->sim->blocked[from->index][to->index];
}

static uint32_t latency(struct sim *sim)
{
	return 1 + sim_random(sim, sim->config.latency_max_ms);
}

/* The other end will be told that the connection is gone. */
static void tell_closed(struct sim *sim, struct sim_conn *c, uint32_t delay)
{
	if (c->told_closed)
		return;
	c->told_closed = true;
	sim_schedule(sim, delay, &(struct sim_event){ .kind = SIM_CLOSED, .node = c->node, .conn = c->id });
}

static void schedule_delivery(struct sim *sim, struct sim_conn *c, uint32_t delay)
{
	if (c->delivering)
		return;
	c->delivering = true;
	/* The receiver's life is looked at on arrival; the bytes travel even if the sender has died. */
	sim_schedule(sim, delay, &(struct sim_event){ .kind = SIM_DELIVER, .conn = c->id });
}

/* -- env */

static bool speaks(const struct sim_node *node, const char *alpn)
{
	for (const char *const *a = node->program.alpns; a != NULL && *a != NULL; a++)
		if (strcmp(*a, alpn) == 0)
			return true;
	return false;
}

static struct sim_node *listener_at(struct sim *sim, const struct address *addr)
{
	for (unsigned i = 0; i < sim->n_nodes; i++) {
		struct sim_node *n = sim->nodes[i];
		if (n->program.alpns != NULL && n->program.addr.port == addr->port &&
		    strcmp(n->program.addr.host, addr->host) == 0)
			return n;
	}
	return NULL;
}

conn_id sim_dial(void *ctx, const struct address *addr, const char *alpn)
{
	struct sim_node *node = ctx;
	struct sim *sim = node->sim;
	struct sim_node *target = listener_at(sim, addr);
	struct sim_conn *c = add_conn(node, target, alpn);
	bool dark = target != NULL && (is_blocked(node, target) || is_blocked(target, node));

	sim->counts.dials++;
	sim_schedule(sim, dark ? DIAL_TIMEOUT_MS : 2 * latency(sim),
	             &(struct sim_event){ .kind = SIM_ANSWER_DIAL, .node = node, .conn = c->id,
		                          .result = dark ? SHOAL_ETIMEOUT : SHOAL_OK });
	return c->id;
}

static void dial_failed(struct sim *sim, struct sim_conn *c, const char *why)
{
	struct sim_node *node = c->node;
	struct env_event out = { .type = ENV_CLOSED, .conn = c->id, .result = SHOAL_EOFFLINE, .message = why };
	sim->counts.dials_failed++;
	drop_conn(sim, c);
	sim_step(node, &out);
}

void sim_on_answer_dial(struct sim *sim, const struct sim_event *ev)
{
	struct sim_conn *c = find(sim, ev->conn);
	if (c == NULL)
		return; /* closed meanwhile by the one who dialled */
	if (ev->result != SHOAL_OK) {
		dial_failed(sim, c, "no answer within 5 s");
		return;
	}
	if (c->target == NULL || !c->target->up || !speaks(c->target, c->alpn)) {
		dial_failed(sim, c, "connection refused");
		return;
	}
	struct sim_conn *other = add_conn(c->target, c->node, c->alpn);
	bool sync = strcmp(c->alpn, ALPN_SYNC) == 0;
	struct env_event accepted = { .type = ENV_ACCEPTED, .conn = other->id, .addr = c->node->program.addr,
		                      .identity = sync ? c->node->program.identity : c->node->program.device,
		                      .alpn = other->alpn };
	struct env_event connected = { .type = ENV_CONNECTED, .conn = c->id, .addr = c->target->program.addr,
		                       .identity = c->target->program.identity, .alpn = c->alpn };
	struct sim_node *dialler = c->node;
	char alpn[sizeof(c->alpn)];

	memcpy(alpn, c->alpn, sizeof(alpn)); /* either end may be gone after the first step */
	accepted.alpn = connected.alpn = alpn;
	c->peer = other;
	other->peer = c;
	c->connected = other->connected = true;
	sim_step(c->target, &accepted);
	sim_step(dialler, &connected);
}

enum shoal_err sim_send(void *ctx, conn_id id, const void *bytes, size_t len)
{
	struct sim_node *node = ctx;
	struct sim_conn *c = find(node->sim, id);

	if (c == NULL || c->closing || !c->connected)
		return SHOAL_EOFFLINE;
	if (sim_queued(ctx, id) > SIM_QUEUE_MAX)
		return SHOAL_EBUSY;
	buf_put(&c->out, bytes, len);
	if (c->out.failed)
		return SHOAL_EBUSY; /* no memory: from now on, as env.h says */
	schedule_delivery(node->sim, c, latency(node->sim));
	return SHOAL_OK;
}

size_t sim_queued(void *ctx, conn_id id)
{
	struct sim_node *node = ctx;
	struct sim_conn *c = find(node->sim, id);
	return c == NULL || c->out.len <= SIM_KERNEL_BYTES ? 0 : c->out.len - SIM_KERNEL_BYTES;
}

void sim_close(void *ctx, conn_id id)
{
	struct sim_node *node = ctx;
	struct sim_conn *c = find(node->sim, id);

	if (c == NULL)
		return;
	c->closing = true;
	if (c->connected)
		schedule_delivery(node->sim, c, latency(node->sim)); /* what is queued, then the end */
	else
		drop_conn(node->sim, c);
}

/* -- events */

/* Both ends lose it; bytes under way are gone. */
static void reset(struct sim *sim, struct sim_conn *c)
{
	struct sim_conn *other = c->peer;
	sim->counts.resets++;
	if (other != NULL)
		tell_closed(sim, other, 1);
	if (c->closing)
		drop_conn(sim, c);
	else {
		buf_free(&c->out);
		tell_closed(sim, c, 1);
	}
}

static size_t how_much(struct sim *sim, size_t len)
{
	if (len > SIM_KERNEL_BYTES)
		len = SIM_KERNEL_BYTES;
	if (sim->calm || len < 2 || !sim_percent(sim, sim->config.cut_percent))
		return len;
	sim->counts.cuts++;
	return 1 + sim_random(sim, (uint32_t)len - 1);
}

/* -- frames that do not come as they were sent */

static uint32_t frame_at(const struct buf *out, size_t at)
{
	uint32_t len = 4;
	for (unsigned i = 0; i < 4; i++)
		len += (uint32_t)out->data[at + i] << (24 - 8 * i);
	return len;
}

/* The size of the whole frame at `at`, 0 if it is not there whole. */
static uint32_t whole_frame(const struct buf *out, size_t at)
{
	if (out->len < at + 4)
		return 0;
	uint32_t len = frame_at(out, at);
	return out->len - at >= len ? len : 0;
}

static void tamper(struct sim *sim, struct sim_conn *c)
{
	uint32_t first = whole_frame(&c->out, 0), second = first != 0 ? whole_frame(&c->out, first) : 0;
	struct buf other = { 0 };

	if (first == 0)
		return;
	switch (sim_random(sim, 3)) {
	case 0:
		buf_consume(&c->out, first);
		sim->counts.frames_lost++;
		break;
	case 1:
		buf_put(&other, c->out.data, first);
		buf_put(&other, c->out.data, c->out.len);
		sim->counts.frames_doubled++;
		break;
	case 2:
		buf_put(&other, c->out.data + first, second);
		buf_put(&other, c->out.data, first);
		buf_put(&other, c->out.data + first + second, c->out.len - first - second);
		sim->counts.frames_swapped += second != 0;
		break;
	}
	if (other.len != 0) {
		buf_free(&c->out);
		c->out = other;
	}
	c->broken = true;
	sim_schedule(sim, sim_random(sim, 3000), &(struct sim_event){ .kind = SIM_RESET, .conn = c->id });
}

void sim_on_reset(struct sim *sim, const struct sim_event *ev)
{
	struct sim_conn *c = find(sim, ev->conn);
	if (c != NULL && c->connected && !c->told_closed)
		reset(sim, c);
}

/* Where the next frame begins, after n bytes more. */
static void follow_frames(struct sim_conn *c, size_t n)
{
	size_t at = c->frame_left;

	while (at < n && c->out.len >= at + 4)
		at += frame_at(&c->out, at);
	c->frame_left = at >= n ? (uint32_t)(at - n) : UINT32_MAX; /* cut within a length: not known any more */
}

/* Whether what comes next is the middle or the end of a snapshot: u32 length, "SYNC", u8 kind. */
static bool goes_on_with_snapshot(const struct sim_conn *c)
{
	return c->frame_left == 0 && c->out.len > 8 && strcmp(c->alpn, ALPN_SYNC) == 0 &&
	       (c->out.data[8] == SYNC_SNAP_ROWS || c->out.data[8] == SYNC_SNAP_END);
}

static bool is_reset_now(struct sim *sim, const struct sim_conn *c)
{
	if (sim->calm || c->out.len == 0)
		return false;
	return sim_random(sim, 10000) < sim->config.reset_per_10000 ||
	       (sim->config.snapshot_percent != 0 && goes_on_with_snapshot(c) &&
	        sim_percent(sim, sim->config.snapshot_percent));
}

static void maybe_tamper(struct sim *sim, struct sim_conn *c)
{
	if (!sim->calm && !c->broken && c->frame_left == 0 && sim->config.frame_per_10000 != 0 &&
	    strcmp(c->alpn, ALPN_SYNC) == 0 && sim_random(sim, 10000) < sim->config.frame_per_10000)
		tamper(sim, c);
}

void sim_on_deliver(struct sim *sim, const struct sim_event *ev)
{
	struct sim_conn *c = find(sim, ev->conn);
	if (c == NULL)
		return;
	c->delivering = false;
	if (is_blocked(c->node, c->target)) {
		schedule_delivery(sim, c, RETRY_MS);
		return;
	}
	struct sim_conn *other = c->peer;
	if (other == NULL || other->told_closed) { /* the other end is gone: a reset comes back */
		if (c->closing)
			drop_conn(sim, c);
		else
			tell_closed(sim, c, latency(sim));
		return;
	}
	if (is_reset_now(sim, c)) {
		reset(sim, c);
		return;
	}
	if (c->out.len == 0) {
		if (c->closing) {
			tell_closed(sim, other, 1);
			drop_conn(sim, c);
		}
		return;
	}
	maybe_tamper(sim, c);
	struct buf taken = { 0 };
	size_t n = how_much(sim, c->out.len);
	if (n == 0) {
		if (c->closing)
			schedule_delivery(sim, c, latency(sim));
		return;
	}
	if (sim->config.frame_per_10000 + sim->config.snapshot_percent != 0 && c->frame_left != UINT32_MAX)
		follow_frames(c, n);
	buf_put(&taken, c->out.data, n);
	buf_consume(&c->out, n);
	sim->counts.bytes += n;
	sim->heard[other->node->index][c->node->index] = sim->now;
	if (c->out.len != 0 || c->closing)
		schedule_delivery(sim, c, latency(sim));
	if (!other->closing)
		sim_step(other->node, &(struct env_event){ .type = ENV_BYTES, .conn = other->id, .data = taken.data,
		                                          .len = taken.len });
	buf_free(&taken);
}

void sim_on_closed(struct sim *sim, const struct sim_event *ev)
{
	struct sim_conn *c = find(sim, ev->conn);
	if (c == NULL)
		return;
	struct sim_node *node = c->node;
	bool closing = c->closing;
	if (c->peer == NULL && is_blocked(c->target, node)) { /* a crash is not heard through a partition */
		sim_schedule(sim, RETRY_MS, ev);
		return;
	}
	drop_conn(sim, c);
	if (!closing)
		sim_step(node, &(struct env_event){ .type = ENV_CLOSED, .conn = ev->conn, .result = SHOAL_EOFFLINE,
		                                    .message = "the other side closed the connection" });
}

void sim_break_all(struct sim_node *node)
{
	struct sim_conn *c, *next;
	HASH_ITER(hh, node->sim->conns, c, next) {
		if (c->node != node)
			continue;
		if (c->peer != NULL)
			tell_closed(node->sim, c->peer, latency(node->sim));
		drop_conn(node->sim, c);
	}
}

void sim_free_conns(struct sim *sim)
{
	struct sim_conn *c, *next;
	HASH_ITER(hh, sim->conns, c, next)
		drop_conn(sim, c);
}
