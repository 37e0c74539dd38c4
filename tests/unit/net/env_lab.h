/* tests/unit/net/env_lab.h - a listening and a dialling net_env on one loop, and what their steps were told. */
#ifndef SHOAL_TESTS_ENV_LAB_H
#define SHOAL_TESTS_ENV_LAB_H
#include "core/base/buf.h"
#include "core/net/net_env.h"
#include "core/net/stream.h"
#include "tests/unit/net/net_check.h"

enum { EVENT_TYPES = ENV_SIGNAL + 1 };

struct lab;

struct side {
	struct lab *lab;
	struct tls_identity *identity;
	struct net_env *ne;
	struct env *env;
	void (*react)(struct side *side, const struct env_event *ev); /* within the step; may be NULL */
	uint64_t deadline; /* what the step returns */
	bool in_step;
	/* what came */
	int n[EVENT_TYPES];
	conn_id conn; /* of the last ACCEPTED or CONNECTED */
	struct id32 seen;
	struct address addr;
	char alpn[32];
	struct buf bytes;
	enum shoal_err result; /* of the last CLOSED, COMMITTED or WORKED */
	char message[256];
	char record[200];
	uint64_t cookies[64];
	int n_cookies;
};

struct lab {
	struct loop *loop;
	struct side server, client;
	struct address bound;
	bool (*until)(struct lab *lab); /* NULL: a callback stops the loop */
	bool barked;
	struct loop_timer *watchdog, *pause;
};

static uint64_t side_step(void *owner, const struct env_event *ev)
{
	struct side *side = owner;

	CHECK(!side->in_step);
	side->in_step = true;
	side->n[ev->type]++;
	if (ev->type == ENV_ACCEPTED || ev->type == ENV_CONNECTED) {
		side->conn = ev->conn;
		side->seen = ev->identity;
		side->addr = ev->addr;
		snprintf(side->alpn, sizeof(side->alpn), "%s", ev->alpn);
	} else if (ev->type == ENV_BYTES) {
		CHECK(ev->len > 0 && ev->len <= 65536);
		buf_put(&side->bytes, ev->data, ev->len);
	} else {
		side->result = ev->result;
		snprintf(side->message, sizeof(side->message), "%s", ev->message != NULL ? ev->message : "");
		snprintf(side->record, sizeof(side->record), "%s", ev->record != NULL ? ev->record : "");
		if (side->n_cookies < 64)
			side->cookies[side->n_cookies++] = ev->cookie;
	}
	if (side->react != NULL)
		side->react(side, ev);
	side->in_step = false;
	if (side->lab->until != NULL && side->lab->until(side->lab))
		loop_stop(side->lab->loop);
	return side->deadline;
}

static void lab_bark(void *arg)
{
	struct lab *lab = arg;
	lab->barked = true;
	loop_stop(lab->loop);
}

static void lab_pause_over(void *arg)
{
	struct lab *lab = arg;
	loop_stop(lab->loop);
}

static void side_open(struct lab *lab, struct side *side, uint8_t number, struct net_env_config config)
{
	struct error e = { 0 };

	side->lab = lab;
	side->identity = identity_of(number);
	side->deadline = ENV_NEVER;
	config.loop = lab->loop;
	config.identity = side->identity;
	config.step = side_step;
	config.owner = side;
	side->ne = net_env_new(&config, &e);
	CHECK_STR(e.message, "");
	side->env = net_env_env(side->ne);
}

static const char *const lab_alpns[] = { ALPN_CLIENT, ALPN_SYNC };

/* `server`: limits and the like for the listening side. */
static __attribute__((unused)) void lab_open(struct lab *lab, struct net_env_config server)
{
	struct error e = { 0 };
	struct address any = loopback(0);
	const struct net_env_config client = { 0 };

	net_init();
	*lab = (struct lab){ .loop = loop_new(&e) };
	CHECK(lab->loop != NULL);
	lab->watchdog = loop_timer_new(lab->loop, lab_bark, lab);
	lab->pause = loop_timer_new(lab->loop, lab_pause_over, lab);
	server.accept_alpns = lab_alpns;
	server.n_accept_alpns = 2;
	side_open(lab, &lab->server, 0, server);
	side_open(lab, &lab->client, 1, client);
	net_env_listen(lab->server.ne, &any, &lab->bound, &e);
	CHECK_STR(e.message, "");
}

static void side_close(struct side *side)
{
	net_env_free(side->ne);
	tls_identity_free(side->identity);
	buf_free(&side->bytes);
}

static __attribute__((unused)) void lab_close(struct lab *lab)
{
	side_close(&lab->client);
	side_close(&lab->server);
	loop_timer_free(lab->watchdog);
	loop_timer_free(lab->pause);
	loop_free(lab->loop);
}

/* Runs until the condition holds; it is looked at after each step. */
static __attribute__((unused)) void lab_run(struct lab *lab, bool (*until)(struct lab *lab))
{
	lab->until = until;
	lab->barked = false;
	loop_timer_set_ms(lab->watchdog, PATIENCE_MS);
	while (!until(lab) && !lab->barked)
		loop_run(lab->loop);
	loop_timer_cancel(lab->watchdog);
	lab->until = NULL;
	CHECK(until(lab));
}

/* Lets the loop do what there is to do now (and up to 1 ms). */
static __attribute__((unused)) void lab_turn(struct lab *lab)
{
	loop_timer_set_ms(lab->pause, 1);
	loop_run(lab->loop);
}

static __attribute__((unused)) bool both_open(struct lab *lab)
{
	return lab->server.n[ENV_ACCEPTED] > 0 && lab->client.n[ENV_CONNECTED] > 0;
}

static __attribute__((unused)) bool server_closed(struct lab *lab)
{
	return lab->server.n[ENV_CLOSED] > 0;
}

static __attribute__((unused)) bool client_closed(struct lab *lab)
{
	return lab->client.n[ENV_CLOSED] > 0;
}

static __attribute__((unused)) conn_id lab_dial(struct lab *lab, const char *alpn)
{
	return lab->client.env->dial(lab->client.env->ctx, &lab->bound, alpn);
}

static __attribute__((unused)) void lab_connect(struct lab *lab)
{
	CHECK(lab_dial(lab, ALPN_CLIENT) != 0);
	lab_run(lab, both_open);
}

static __attribute__((unused)) enum shoal_err side_send(struct side *side, const void *data, size_t len)
{
	return side->env->send(side->env->ctx, side->conn, data, len);
}

static __attribute__((unused)) void side_hang_up(struct side *side)
{
	side->env->close(side->env->ctx, side->conn);
}

static __attribute__((unused)) void echo(struct side *side, const struct env_event *ev)
{
	if (ev->type == ENV_BYTES)
		CHECK_INT(side->env->send(side->env->ctx, ev->conn, ev->data, ev->len), ==, SHOAL_OK);
}
#endif
