/* tests/bench/load/fleet.c */
#include "tests/bench/load/fleet.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "core/base/clock.h"
#include "core/base/crypto.h"
#include "core/base/mem.h"
#include "core/net/net_env.h"
#include "core/net/stream.h"

enum { AT_ONCE = 48, BEAT_MS = 10000, BEAT_TURN_MS = 20, LOGIN_AGAIN_MS = 5 };

enum client_state { CLIENT_OUT, CLIENT_DIALLING, CLIENT_GREETING, CLIENT_LOGGING_IN, CLIENT_IN };

struct sent {
	enum cmd_verb verb;
	uint64_t since_us;
};

struct fleet_client {
	struct fleet *fleet;
	size_t number;
	conn_id conn;
	UT_hash_handle hh;
	enum client_state state;
	bool again; /* the tracker was too busy to log it in */
	struct frame_reader reader;
	uint32_t serial;
	unsigned in_flight;
	struct sent sent[FLEET_DEPTH]; /* by serial */
	uint64_t beat_ms;
};

struct fleet {
	struct fleet_config config;
	struct loop *loop;
	struct tls_identity *identity;
	struct net_env *ne;
	struct env *env;
	struct fleet_client *clients, *by_conn;
	size_t n_begun, n_in; /* dialled; logged in */
	size_t beat_at;       /* whose heartbeat is looked at next */
	struct loop_timer *timer;
	struct buf frame;
	bool stopped;
};

void die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("bench: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

struct loop *fleet_loop(struct fleet *f)
{
	return f->loop;
}

struct fleet_client *fleet_client(struct fleet *f, size_t i)
{
	return &f->clients[i];
}

size_t fleet_number(const struct fleet_client *c)
{
	return c->number;
}

unsigned fleet_in_flight(const struct fleet_client *c)
{
	return c->in_flight;
}

/* -- out */
void fleet_send(struct fleet_client *c, enum cmd_verb verb, const struct buf *fields)
{
	struct fleet *f = c->fleet;
	struct cmd_head head = { .serial = ++c->serial, .verb = (uint16_t)verb };

	if (c->in_flight == FLEET_DEPTH)
		die("client %zu has %u commands under way already", c->number, FLEET_DEPTH);
	if (verb_changes(verb))
		random_bytes(head.request.b, sizeof(head.request.b));
	c->in_flight++;
	c->sent[c->serial % FLEET_DEPTH] = (struct sent){ verb, clock_mono_us() };
	buf_reset(&f->frame);
	size_t start = frame_begin(&f->frame, TAG_CMD);
	cmd_head_put(&f->frame, &head);
	buf_put(&f->frame, fields->data, fields->len);
	if (frame_end(&f->frame, start) != SHOAL_OK ||
	    f->env->send(f->env->ctx, c->conn, f->frame.data, f->frame.len) != SHOAL_OK)
		die("client %zu cannot send", c->number);
}

static void say_hello(struct fleet_client *c)
{
	struct buf b = { 0 };
	struct req_hello r = { .version = PROTOCOL_VERSION, .listen = slice_str("0.0.0.0:9") };

	req_hello_put(&b, &r);
	c->state = CLIENT_GREETING;
	fleet_send(c, VERB_HELLO, &b);
	buf_free(&b);
}

static void log_in(struct fleet_client *c)
{
	struct buf b = { 0 };
	char user[32];

	snprintf(user, sizeof(user), FLEET_USER, c->fleet->config.first + c->number);
	struct req_user_password r = { .user = slice_str(user), .password = slice_str(FLEET_PASSWORD) };
	req_user_password_put(&b, &r);
	c->state = CLIENT_LOGGING_IN;
	c->again = false;
	fleet_send(c, VERB_LOGIN, &b);
	buf_free(&b);
}

static void dial_more(struct fleet *f)
{
	size_t most = f->config.at_once != 0 ? f->config.at_once : AT_ONCE;

	while (f->n_begun < f->config.n && f->n_begun - f->n_in < most) {
		struct fleet_client *c = &f->clients[f->n_begun++];
		c->state = CLIENT_DIALLING;
		c->conn = f->env->dial(f->env->ctx, &f->config.tracker, ALPN_CLIENT);
		HASH_ADD(hh, f->by_conn, conn, sizeof(c->conn), c);
	}
}

static void is_in(struct fleet_client *c)
{
	struct fleet *f = c->fleet;

	c->state = CLIENT_IN;
	c->beat_ms = clock_mono_ms() + BEAT_MS;
	if (++f->n_in == f->config.n)
		f->config.ready(f->config.arg);
	else
		dial_more(f);
}

/* -- in */
static void on_way_in(struct fleet_client *c, const struct fleet_reply *r)
{
	if (r->verb == VERB_LOGIN && r->head.code == SHOAL_EBUSY) {
		c->again = true; /* the pool's queue is full */
		return;
	}
	if (r->head.code != SHOAL_OK)
		die("client %zu: %s: %.*s", c->number, verb_word(r->verb), (int)r->head.message.len,
		    (const char *)r->head.message.data);
	if (r->verb == VERB_HELLO && !c->fleet->config.visitor)
		log_in(c);
	else
		is_in(c);
}

static void on_reply(struct fleet_client *c, const struct frame *frame)
{
	struct fleet *f = c->fleet;
	struct fleet_reply r = { .client = c, .fields = cursor_of(frame->body.data, frame->body.len),
		                 .bytes = frame->body.len + 8 };

	rply_head_get(&r.fields, &r.head);
	if (f->config.echo)
		r.head.serial = c->serial - c->in_flight + 1;
	if (c->in_flight == 0 || r.head.serial > c->serial || r.head.serial + FLEET_DEPTH <= c->serial)
		die("client %zu: a reply that nobody waits for", c->number);
	const struct sent *s = &c->sent[r.head.serial % FLEET_DEPTH];
	r.verb = s->verb;
	r.took_us = clock_mono_us() - s->since_us;
	if ((r.head.flags & RPLY_MORE) == 0)
		c->in_flight--;
	if (r.verb == VERB_HEARTBEAT)
		return;
	if (c->state != CLIENT_IN)
		on_way_in(c, &r);
	else
		f->config.reply(f->config.arg, &r);
}

static void on_bytes(struct fleet *f, struct fleet_client *c, struct slice in)
{
	struct error e = { 0 };
	struct frame frame;
	enum shoal_err rc;

	while (!f->stopped && (rc = frame_read(&c->reader, &in, &frame, &e)) != SHOAL_ENOTFOUND) {
		if (rc != SHOAL_OK)
			die("client %zu: %s", c->number, e.message);
		if (frame.tag == TAG_RPLY)
			on_reply(c, &frame);
	}
}

static uint64_t on_step(void *owner, const struct env_event *ev)
{
	struct fleet *f = owner;
	struct fleet_client *c = NULL;

	if (ev->conn != 0)
		HASH_FIND(hh, f->by_conn, &ev->conn, sizeof(ev->conn), c);
	if (c == NULL || f->stopped)
		return ENV_NEVER;
	if (ev->type == ENV_CONNECTED && f->config.echo)
		is_in(c);
	else if (ev->type == ENV_CONNECTED)
		say_hello(c);
	else if (ev->type == ENV_BYTES)
		on_bytes(f, c, slice_of(ev->data, ev->len));
	else if (ev->type == ENV_CLOSED)
		die("client %zu was closed: %s", c->number, ev->message != NULL ? ev->message : "");
	return ENV_NEVER;
}

/* -- time */
static void beat(struct fleet_client *c, uint64_t now)
{
	struct buf b = { 0 };
	struct req_heartbeat r = { 0 };

	if (c->state != CLIENT_IN || now < c->beat_ms || c->in_flight == FLEET_DEPTH)
		return;
	req_heartbeat_put(&b, &r);
	fleet_send(c, VERB_HEARTBEAT, &b);
	buf_free(&b);
	c->beat_ms = now + BEAT_MS;
}

/* Looks at some of the clients each time, so that heartbeats come evenly. */
static void on_timer(void *arg)
{
	struct fleet *f = arg;
	uint64_t now = clock_mono_ms();
	size_t some = f->config.n * BEAT_TURN_MS / 500 + 1;

	for (size_t i = 0; i < some && !f->config.echo; i++) {
		f->beat_at = (f->beat_at + 1) % f->config.n;
		beat(&f->clients[f->beat_at], now);
	}
	for (size_t i = 0; f->n_in < f->n_begun && i < f->n_begun; i++)
		if (f->clients[i].again)
			log_in(&f->clients[i]);
	loop_timer_set_ms(f->timer, f->n_in < f->config.n ? LOGIN_AGAIN_MS : BEAT_TURN_MS);
}

/* -- life */
struct fleet *fleet_new(const struct fleet_config *config)
{
	struct fleet *f = xalloc(sizeof(*f));
	struct error e = { 0 };
	uint8_t seed[SEED_SIZE];

	net_init();
	memset(seed, config->seed != 0 ? config->seed : FLEET_SEED, sizeof(seed));
	f->config = *config;
	f->loop = config->loop != NULL ? config->loop : loop_new(&e);
	f->identity = tls_identity_new(seed, &e);
	if (f->loop == NULL || f->identity == NULL)
		die("%s", e.message);
	struct net_env_config nc = { .loop = f->loop, .identity = f->identity, .step = on_step, .owner = f };
	f->ne = net_env_new(&nc, &e);
	f->timer = loop_timer_new(f->loop, on_timer, f);
	if (f->ne == NULL || f->timer == NULL)
		die("%s", e.message);
	f->env = net_env_env(f->ne);
	f->clients = xalloc(config->n * sizeof(*f->clients));
	for (size_t i = 0; i < config->n; i++) {
		f->clients[i].fleet = f;
		f->clients[i].number = i;
		frame_reader_init(&f->clients[i].reader, FRAMES_TRACKER);
	}
	return f;
}

void fleet_start(struct fleet *f)
{
	dial_more(f);
	loop_timer_set_ms(f->timer, BEAT_TURN_MS);
}

void fleet_run(struct fleet *f)
{
	loop_run(f->loop);
}

void fleet_stop(struct fleet *f)
{
	f->stopped = true;
	loop_stop(f->loop);
}

void fleet_free(struct fleet *f)
{
	HASH_CLEAR(hh, f->by_conn);
	for (size_t i = 0; i < f->config.n; i++)
		frame_reader_fini(&f->clients[i].reader);
	net_env_free(f->ne);
	loop_timer_free(f->timer);
	if (f->config.loop == NULL)
		loop_free(f->loop);
	tls_identity_free(f->identity);
	buf_free(&f->frame);
	free(f->clients);
	free(f);
}
