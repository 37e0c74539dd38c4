/* tracker/client_manager.c - one connected client: its bytes, its frames out, its time limits.
 *
 * The login loop is the reader's phase and the table of commands: a stranger may send small frames and the few verbs
 * that need no login. Nobody can make the tracker keep more than it wants: while much is owed to a client (replies that wait
 * for the store or for his socket, computations under way) his bytes wait unread, and the env stops reading. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/planted.h"
#include "tracker/core.h"

static struct client *find_any(const struct tracker *t, conn_id conn)
{
	struct client *c;
	HASH_FIND(hh, t->clients, &conn, sizeof(conn), c);
	return c;
}

struct client *client_find(struct tracker *t, conn_id conn)
{
	struct client *c = conn != 0 ? find_any(t, conn) : NULL;
	return c != NULL && !c->doomed ? c : NULL;
}

static void watch(struct tracker *t, struct client *c)
{
	if (c->watched)
		return;
	c->watched = true;
	TAILQ_INSERT_TAIL(&t->watched, c, watched_link);
}

static void unwatch(struct tracker *t, struct client *c)
{
	if (!c->watched)
		return;
	c->watched = false;
	TAILQ_REMOVE(&t->watched, c, watched_link);
}

void client_accepted(struct tracker *t, const struct env_event *ev)
{
	struct client *c = try_alloc(sizeof(*c));
	if (c == NULL) {
		t->env->close(t->env->ctx, ev->conn);
		return;
	}
	c->conn = ev->conn;
	c->device = ev->identity;
	c->seen = ev->addr;
	c->born_ms = c->heard_ms = tracker_now(t);
	frame_reader_init(&c->reader, FRAMES_STRANGER);
	TAILQ_INIT(&c->out);
	HASH_ADD(hh, t->clients, conn, sizeof(c->conn), c);
	if (c->hh.tbl == NULL) {
		t->env->close(t->env->ctx, ev->conn);
		free(c);
		return;
	}
	TAILQ_INSERT_TAIL(&t->heard, c, heard_link);
	watch(t, c);
}

static void free_client(struct tracker *t, struct client *c)
{
	struct out_frame *f;

	HASH_DEL(t->clients, c);
	TAILQ_REMOVE(&t->heard, c, heard_link);
	unwatch(t, c);
	while ((f = TAILQ_FIRST(&c->out)) != NULL) {
		TAILQ_REMOVE(&c->out, f, link);
		buf_free(&f->bytes);
		free(f);
	}
	frame_reader_fini(&c->reader);
	buf_free(&c->held);
	buf_free(&c->lacks);
	free(c);
}

void client_doom(struct tracker *t, struct client *c, const char *why, ...)
{
	va_list ap;
	if (c->doomed)
		return;
	va_start(ap, why);
	vsnprintf(c->why, sizeof(c->why), why, ap);
	va_end(ap);
	c->doomed = true;
	TAILQ_INSERT_TAIL(&t->doomed, c, doomed_link);
}

void clients_reap(struct tracker *t)
{
	char text[ADDRESS_MAX];
	struct client *c;

	while ((c = TAILQ_FIRST(&t->doomed)) != NULL) {
		TAILQ_REMOVE(&t->doomed, c, doomed_link);
		if (c->why[0] != '\0')
			log_line(t->env->log, LOG_INFO, "client", "%s: closed: %s", address_format(&c->seen, text),
			         c->why);
		else
			log_line(t->env->log, LOG_DEBUG, "client", "%s: closed", address_format(&c->seen, text));
		session_lost(t, c);
		t->env->close(t->env->ctx, c->conn);
		free_client(t, c);
	}
}

bool client_closed(struct tracker *t, const struct env_event *ev)
{
	struct client *c = find_any(t, ev->conn);
	char text[ADDRESS_MAX];
	if (c == NULL)
		return false;
	log_line(t->env->log, LOG_DEBUG, "client", "%s: gone: %s", address_format(&c->seen, text),
	         ev->message != NULL ? ev->message : "closed by the client");
	session_lost(t, c);
	free_client(t, c);
	return true;
}

void clients_free(struct tracker *t)
{
	struct client *c, *next;
	HASH_ITER(hh, t->clients, c, next)
		free_client(t, c);
}

/* -- out */
static void send_now(struct tracker *t, struct client *c, const struct buf *frame)
{
	enum shoal_err rc = t->env->send(t->env->ctx, c->conn, frame->data, frame->len);

	if (rc == SHOAL_EIO) /* it has ended already, that is only not told yet: no news */
		client_doom(t, c, "%s", "");
	else if (rc != SHOAL_OK)
		client_doom(t, c, "cannot send: the connection takes nothing more");
}

static bool socket_is_full(struct tracker *t, const struct client *c)
{
	return t->env->queued(t->env->ctx, c->conn) > OWED_PAUSE;
}

void client_send(struct tracker *t, struct client *c, struct buf *frame)
{
	if (c->doomed) {
		buf_free(frame);
		return;
	}
	if (frame->failed) {
		client_doom(t, c, "out of memory");
	} else if (TAILQ_EMPTY(&c->out) && !socket_is_full(t, c)) {
		send_now(t, c, frame);
	} else {
		struct out_frame *f = try_alloc(sizeof(*f));
		if (f != NULL) {
			f->bytes = *frame;
			*frame = (struct buf){ 0 };
			c->owed += f->bytes.len;
			TAILQ_INSERT_TAIL(&c->out, f, link);
			t->pumping = true;
		} else {
			client_doom(t, c, "out of memory");
		}
	}
	buf_free(frame);
}

static void send_waiting(struct tracker *t, struct client *c)
{
	struct out_frame *f;
	while (!c->doomed && (f = TAILQ_FIRST(&c->out)) != NULL && !socket_is_full(t, c)) {
		TAILQ_REMOVE(&c->out, f, link);
		c->owed -= f->bytes.len;
		send_now(t, c, &f->bytes);
		buf_free(&f->bytes);
		free(f);
	}
}

/* -- in */
static bool must_wait(struct tracker *t, const struct client *c)
{
	return c->in_flight >= IN_FLIGHT_MAX || c->owed + t->env->queued(t->env->ctx, c->conn) > OWED_PAUSE;
}

static void on_frame(struct tracker *t, struct client *c, const struct frame *f)
{
	c->heard_ms = tracker_now(t);
	c->pinged_ms = 0;
	TAILQ_REMOVE(&t->heard, c, heard_link);
	TAILQ_INSERT_TAIL(&t->heard, c, heard_link);
	if (f->tag != TAG_CMD || cmd_check(f->body) != SHOAL_OK) {
		client_doom(t, c, "not a command that there is");
		return;
	}
	if (c->logged_in)
		session_beat(t, c);
	command_run(t, c, f->body);
}

/* Takes whole frames out of `in` until something has to be waited for, or others should have a turn; returns how many
 * bytes were used. */
static size_t take_frames(struct tracker *t, struct client *c, struct slice in)
{
	size_t len = in.len;
	for (unsigned n = 0; !c->doomed && !must_wait(t, c); n++) {
		if (n == TURN_COMMANDS && in.len != 0) {
			t->pump_soon = true;
			break;
		}
		struct frame f;
		struct error e = { 0 };
		enum shoal_err rc = frame_read(&c->reader, &in, &f, &e);
		if (rc == SHOAL_ENOTFOUND) {
			bool begun = c->reader.held.len != 0;
			if (!begun || c->begun_ms == 0)
				c->begun_ms = begun ? tracker_now(t) : 0;
			if (begun)
				watch(t, c);
			return len;
		}
		if (rc != SHOAL_OK) {
			client_doom(t, c, "%.100s", e.message[0] != '\0' ? e.message : error_default(rc));
			return len;
		}
		c->begun_ms = 0;
		on_frame(t, c, &f);
	}
	return len - in.len;
}

bool client_bytes(struct tracker *t, const struct env_event *ev)
{
	struct client *c = find_any(t, ev->conn);
	if (c == NULL)
		return false;
	if (c->doomed)
		return true;
	size_t used = c->held.len == 0 ? take_frames(t, c, slice_of(ev->data, ev->len)) : 0;
	if (used < ev->len && !c->doomed) {
		buf_put(&c->held, ev->data + used, ev->len - used);
		t->pumping = true;
		if (t->pump_soon)
			t->pump_ms = tracker_now(t);
		t->pump_soon = false;
	}
	if (c->held.failed || c->held.len > HELD_MAX)
		client_doom(t, c, "sends more than it waits for");
	return true;
}

void clients_pump(struct tracker *t)
{
	struct client *c, *next;

	t->pumping = false;
	t->pump_now = false;
	HASH_ITER(hh, t->clients, c, next) {
		send_waiting(t, c);
		if (c->held.len != 0 && !c->doomed && !must_wait(t, c)) {
			size_t used = take_frames(t, c, slice_of(c->held.data, c->held.len));
			buf_consume(&c->held, used);
			if (c->held.len == 0)
				buf_free(&c->held);
		}
		if (c->held.len != 0 || !TAILQ_EMPTY(&c->out))
			t->pumping = true;
	}
	t->pump_ms = tracker_now(t) + (t->pump_soon ? 0 : PUMP_MS);
	t->pump_soon = false;
}

void client_pinged(struct tracker *t, struct client *c)
{
	if (c->pinged_ms != 0 || c->doomed)
		return;
	c->pinged_ms = tracker_now(t);
	watch(t, c);
}

/* Looks at those only for whom it may be time: with thousands connected, nearly nobody. */
void clients_sweep(struct tracker *t)
{
	uint64_t now = tracker_now(t);
	struct client *c, *next;

	for (c = TAILQ_FIRST(&t->watched); c != NULL; c = next) {
		next = TAILQ_NEXT(c, watched_link);
		if (c->greeted && c->begun_ms == 0 && c->pinged_ms == 0)
			unwatch(t, c);
		else if (!c->greeted && now >= c->born_ms + FIRST_FRAME_MS)
			client_doom(t, c, "no HELLO within 5 s");
		else if (c->begun_ms != 0 && now >= c->begun_ms + BEGUN_FRAME_MS)
			client_doom(t, c, "began a frame and did not end it within 10 s");
		else if (c->pinged_ms != 0 && now >= c->pinged_ms + PINGED_MS)
			client_doom(t, c, "somebody could not reach it, and it does not answer");
	}
	TAILQ_FOREACH(c, &t->heard, heard_link) {
		if (now < c->heard_ms + IDLE_MS || PLANTED(idle_kept))
			break;
		client_doom(t, c, "silent for 45 s");
	}
}
