/* client/peer_io.c - the threads and their commands. */
#include "client/peer_io.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/peer_conn.h"
#include "core/base/clock.h"
#include "core/base/env.h"
#include "core/base/mem.h"

enum { TICK_MS = 1000 };

struct piece_ask *peer_event_ask(struct peer_event *ev)
{
	return container_of(ev, struct piece_ask, ev);
}

struct piece_serve *peer_event_serve(struct peer_event *ev)
{
	return container_of(ev, struct piece_serve, ev);
}

void peer_event_free(struct peer_event *ev)
{
	buf_free(&ev->body);
	free(ev);
}

/* -- commands, on the thread (or, once it has ended, on the engine's) */

static void run_command(struct io_thread *t, struct io_cmd *cmd)
{
	struct peer_conn *c = cmd->conn;
	bool owned = false; /* the command is part of something larger */

	switch (cmd->type) {
	case IO_OPEN:
		owned = true;
		conn_start(c);
		break;
	case IO_SEND: conn_put(c, &cmd->bytes); break;
	case IO_ASK:
		owned = true;
		conn_ask(c, container_of(cmd, struct piece_ask, cmd));
		break;
	case IO_CANCEL: conn_cancel(c, cmd->ch, cmd->piece); break;
	case IO_FORGET: conn_forget(c, cmd->ch); break;
	case IO_STOP_ASKS: conn_stop_asks(c, cmd->ch); break;
	case IO_REJECTED: conn_rejected(c, cmd->ch, cmd->piece); break;
	case IO_SERVE:
		owned = true;
		conn_serve(c, container_of(cmd, struct piece_serve, cmd));
		break;
	case IO_SERVE_STOP: conn_serve_stop(c, cmd->ch, cmd->piece); break;
	case IO_CLOSE:
		owned = true;
		conn_fail(c, SHOAL_OK, "closed");
		break;
	case IO_RELEASE: peer_conn_free(c); return;
	case IO_VERIFY:
		owned = true;
		verify_on_call(t);
		break;
	case IO_STOP: loop_stop(t->loop); return;
	}
	if (!owned) {
		buf_free(&cmd->bytes);
		free(cmd);
	}
	if (c != NULL && c->phase != CONN_DOWN)
		conn_run(c);
}

static void on_commands(void *arg, struct queue_node *nodes)
{
	struct io_thread *t = arg;

	while (nodes != NULL) {
		struct queue_node *next = nodes->next;
		run_command(t, container_of(nodes, struct io_cmd, node));
		nodes = next;
	}
}

static void on_tick(void *arg)
{
	struct io_thread *t = arg;
	uint64_t now = clock_mono_ms();
	struct peer_conn *c, *next;

	for (c = LIST_FIRST(&t->conns); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		conn_tick(c, now);
	}
	loop_timer_set_ms(t->tick, TICK_MS);
}

static void *thread_main(void *arg)
{
	struct io_thread *t = arg;

	pthread_setname_np(pthread_self(), "shoal transfer");
	loop_timer_set_ms(t->tick, TICK_MS);
	loop_run(t->loop);
	return NULL;
}

/* -- start and end */

static bool thread_start(struct peer_io *io, struct io_thread *t, struct error *e)
{
	t->io = io;
	t->index = (unsigned)(t - io->threads);
	LIST_INIT(&t->conns);
	t->stop.type = IO_STOP;
	t->verify.type = IO_VERIFY;
	t->loop = loop_new(e);
	if (t->loop == NULL)
		return false;
	t->cmds = queue_new();
	t->watch = loop_watch_queue(t->loop, t->cmds, on_commands, t);
	t->tick = loop_timer_new(t->loop, on_tick, t);
	if (t->watch == NULL || t->tick == NULL || pthread_create(&t->id, NULL, thread_main, t) != 0) {
		error_set(e, SHOAL_EBUSY, "cannot start a transfer thread");
		loop_watch_free(t->watch);
		loop_timer_free(t->tick);
		loop_free(t->loop);
		queue_free(t->cmds);
		return false;
	}
	return true;
}

struct peer_io *peer_io_new(const struct peer_io_config *config, struct error *e)
{
	static const char *const alpns[] = { ALPN_PEER };
	struct peer_io *io = xalloc(sizeof(*io));

	io->config = *config;
	if (io->config.handshake_ms == 0)
		io->config.handshake_ms = HANDSHAKE_MS;
	if (io->config.first_ms == 0)
		io->config.first_ms = FIRST_MESSAGE_MS;
	io->threads = xalloc(config->threads * sizeof(*io->threads));
	io->load = xalloc(config->threads * sizeof(*io->load));
	io->pool = piece_pool_new(config->buffers);
	pthread_mutex_init(&io->verify_lock, NULL);
	TAILQ_INIT(&io->to_verify);
	io->server_tls = tls_ctx_server(config->identity, alpns, COUNT_OF(alpns), e);
	io->client_tls = io->server_tls == NULL ? NULL : tls_ctx_client(config->identity, ALPN_PEER, e);
	bool ok = io->client_tls != NULL;
	while (ok && io->nthreads < config->threads) {
		ok = thread_start(io, &io->threads[io->nthreads], e);
		io->nthreads += ok;
	}
	if (ok)
		return io;
	peer_io_stop(io);
	peer_io_free(io);
	return NULL;
}

void peer_io_stop(struct peer_io *io)
{
	for (unsigned i = 0; i < io->nthreads; i++)
		queue_post(io->threads[i].cmds, &io->threads[i].stop.node);
	for (unsigned i = 0; i < io->nthreads; i++)
		pthread_join(io->threads[i].id, NULL);
	io->stopped = true;
	while (verify_some(io))
		;
	for (unsigned i = 0; i < io->nthreads; i++) {
		struct io_thread *t = &io->threads[i];
		struct peer_conn *c;
		/* First what others have left for it: connections to open. */
		for (struct queue_node *n = queue_take_all(t->cmds); n != NULL;) {
			struct queue_node *next = n->next;
			run_command(t, container_of(n, struct io_cmd, node));
			n = next;
		}
		LIST_FOREACH(c, &t->conns, entry)
			conn_fail(c, SHOAL_OK, "the program ends");
	}
}

void peer_io_free(struct peer_io *io)
{
	if (io == NULL)
		return;
	for (unsigned i = 0; i < io->nthreads; i++) {
		struct io_thread *t = &io->threads[i];
		assert(LIST_EMPTY(&t->conns));
		for (struct queue_node *n = queue_take_all(t->cmds); n != NULL; n = n->next)
			assert(!"a command for a thread that has ended");
		loop_watch_free(t->watch);
		loop_timer_free(t->tick);
		loop_free(t->loop);
		queue_free(t->cmds);
	}
	tls_ctx_free(io->client_tls);
	tls_ctx_free(io->server_tls);
	assert(TAILQ_EMPTY(&io->to_verify));
	pthread_mutex_destroy(&io->verify_lock);
	piece_pool_free(io->pool);
	free(io->threads);
	free(io->load);
	free(io);
}

unsigned peer_io_threads(const struct peer_io *io)
{
	return io->nthreads;
}

/* -- commands, on the engine's side */

static void post(struct peer_conn *c, struct io_cmd *cmd)
{
	cmd->conn = c;
	if (c->thread->io->stopped)
		run_command(c->thread, cmd);
	else
		queue_post(c->thread->cmds, &cmd->node);
}

struct peer_conn *peer_io_open(struct peer_io *io, const struct peer_how *how, void *owner)
{
	struct peer_conn *c = try_alloc(sizeof(*c));
	unsigned at = 0;

	if (c == NULL || io->stopped) {
		free(c);
		return NULL;
	}
	for (unsigned i = 1; i < io->nthreads; i++)
		if (io->load[i] < io->load[at])
			at = i;
	io->load[at]++;
	c->thread = &io->threads[at];
	c->owner = owner;
	c->how = *how;
	c->fd = how->fd;
	c->open_cmd.type = IO_OPEN;
	c->close_cmd.type = IO_CLOSE;
	c->release_cmd.type = IO_RELEASE;
	c->down.type = PEER_DOWN;
	c->down.conn = c;
	c->down.owner = owner;
	TAILQ_INIT(&c->asks);
	TAILQ_INIT(&c->serves);
	post(c, &c->open_cmd);
	return c;
}

static struct io_cmd *small_command(struct peer_conn *c, enum io_cmd_type type, uint32_t ch, uint32_t piece)
{
	struct io_cmd *cmd = try_alloc(sizeof(*cmd));

	if (cmd == NULL) { /* what should have been said is lost: so is the connection */
		peer_conn_close(c);
		return NULL;
	}
	cmd->type = type;
	cmd->ch = ch;
	cmd->piece = piece;
	return cmd;
}

void peer_conn_send(struct peer_conn *c, struct buf *frames)
{
	struct io_cmd *cmd = frames->failed ? NULL : small_command(c, IO_SEND, 0, 0);

	if (cmd == NULL) {
		peer_conn_close(c);
		buf_free(frames);
		return;
	}
	cmd->bytes = *frames;
	*frames = (struct buf){ 0 };
	post(c, cmd);
}

void peer_conn_ask(struct peer_conn *c, struct piece_ask *ask)
{
	ask->cmd.type = IO_ASK;
	ask->io = c->thread->io;
	ask->ev.owner = c->owner;
	ask->ev.conn = c;
	post(c, &ask->cmd);
}

void peer_conn_cancel(struct peer_conn *c, uint32_t ch, uint32_t piece)
{
	struct io_cmd *cmd = small_command(c, IO_CANCEL, ch, piece);
	if (cmd != NULL)
		post(c, cmd);
}

void peer_conn_stop_asks(struct peer_conn *c, uint32_t ch)
{
	struct io_cmd *cmd = small_command(c, IO_STOP_ASKS, ch, 0);
	if (cmd != NULL)
		post(c, cmd);
}

void peer_conn_rejected(struct peer_conn *c, uint32_t ch, uint32_t piece)
{
	struct io_cmd *cmd = small_command(c, IO_REJECTED, ch, piece);
	if (cmd != NULL)
		post(c, cmd);
}

void peer_conn_forget(struct peer_conn *c, uint32_t ch)
{
	struct io_cmd *cmd = small_command(c, IO_FORGET, ch, 0);
	if (cmd != NULL)
		post(c, cmd);
}

void peer_conn_serve(struct peer_conn *c, struct piece_serve *serve)
{
	serve->cmd.type = IO_SERVE;
	serve->ev.owner = c->owner;
	serve->ev.conn = c;
	post(c, &serve->cmd);
}

void peer_conn_serve_stop(struct peer_conn *c, uint32_t ch, uint32_t piece)
{
	struct io_cmd *cmd = small_command(c, IO_SERVE_STOP, ch, piece);
	if (cmd != NULL)
		post(c, cmd);
}

void peer_conn_close(struct peer_conn *c)
{
	if (c->closing)
		return;
	c->closing = true;
	post(c, &c->close_cmd);
}

void peer_conn_release(struct peer_conn *c)
{
	struct peer_io *io = c->thread->io;

	io->load[c->thread->index]--;
	post(c, &c->release_cmd);
}

unsigned peer_conn_thread(const struct peer_conn *c)
{
	return c->thread->index;
}
