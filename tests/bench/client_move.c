/* tests/bench/client_move.c - thousands of the client's real tracker links in one process, whose tracker dies.
 *
 * usage: client_move TRACKER_INFO CLIENTS
 * Client i logs in as a user of tracker_fill. When all are in it says "ready" and waits for their tracker to be killed.
 * Each then asks its new tracker for its groups. At the end: how long after the break each was answered, how often it
 * dialled, and the longest that one went on without a try. Links, back-off and jitter are those of client/link.c; only the
 * clocks are looked at together, every 5 ms. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "client/link.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/net/loop.h"
#include "core/net/net_env.h"
#include "tests/bench/load/fleet.h" /* names of users, their password, die() */
#include "tests/bench/load/meter.h"

enum { LOOK_MS = 5, LOGIN_MS = 180000, GIVE_UP_MS = 120000, DEVICE = 0x42 };

struct herd;

struct member {
	struct herd *herd;
	struct env env;        /* the herd's, with this member as context */
	struct link *link;
	size_t number;
	uint64_t deadline_ms;
	uint64_t broke_ms;     /* its tracker was lost then; 0: not yet */
	uint64_t dialled_ms;   /* the last time */
	unsigned dials;        /* since the break */
	bool in, served;
};

struct owner {
	conn_id conn;
	struct member *member;
	UT_hash_handle hh;
};

struct herd {
	struct loop *loop;
	struct net_env *net;
	struct env *env;
	struct tracker_info trackers;
	struct member *members;
	struct owner *owners; /* of connections */
	size_t n, n_in, n_broken, n_served;
	uint64_t look_ms;
	uint64_t born_ms, first_break_ms;
	struct times times;   /* from the break to the answer */
	uint64_t longest_pause_ms;
	unsigned most_dials;
	bool moving;
};

/* -- env: the herd's, but it is noted who dialled */

static struct env *base_of(void *ctx)
{
	return ((struct member *)ctx)->herd->env;
}

static uint64_t m_mono(void *ctx)
{
	return base_of(ctx)->mono_ms(base_of(ctx)->ctx);
}

static uint64_t m_wall(void *ctx)
{
	return base_of(ctx)->wall_ms(base_of(ctx)->ctx);
}

static void m_random(void *ctx, void *out, size_t len)
{
	base_of(ctx)->random(base_of(ctx)->ctx, out, len);
}

static conn_id m_dial(void *ctx, const struct address *addr, const char *alpn)
{
	struct member *m = ctx;
	struct owner *o = xalloc(sizeof(*o));
	uint64_t now = m_mono(ctx), since = m->dialled_ms > m->broke_ms ? m->dialled_ms : m->broke_ms;

	if (m->broke_ms != 0 && !m->served && now - since > m->herd->longest_pause_ms)
		m->herd->longest_pause_ms = now - since;
	m->dialled_ms = now;
	m->dials++;
	o->conn = m->herd->env->dial(m->herd->env->ctx, addr, alpn);
	o->member = m;
	HASH_ADD(hh, m->herd->owners, conn, sizeof(o->conn), o);
	return o->conn;
}

static enum shoal_err m_send(void *ctx, conn_id conn, const void *bytes, size_t len)
{
	return base_of(ctx)->send(base_of(ctx)->ctx, conn, bytes, len);
}

static size_t m_queued(void *ctx, conn_id conn)
{
	return base_of(ctx)->queued(base_of(ctx)->ctx, conn);
}

static void forget(struct herd *h, conn_id conn)
{
	struct owner *o;

	HASH_FIND(hh, h->owners, &conn, sizeof(conn), o);
	if (o == NULL)
		return;
	HASH_DEL(h->owners, o);
	free(o);
}

static void m_close(void *ctx, conn_id conn)
{
	forget(((struct member *)ctx)->herd, conn);
	base_of(ctx)->close(base_of(ctx)->ctx, conn);
}

/* -- what the links tell */

static void finish(struct herd *h)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	printf("RESULT clients=%zu served=%zu median=%.2f p90=%.2f p99=%.2f worst=%.2f dials_most=%u longest_pause=%.2f cpu=%.1f\n", h->n,
	       h->n_served, times_ms(&h->times, 0.5) / 1e3, times_ms(&h->times, 0.9) / 1e3, times_ms(&h->times, 0.99) / 1e3,
	       times_ms(&h->times, 1.0) / 1e3, h->most_dials, (double)h->longest_pause_ms / 1e3,
	       (double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec);
	fflush(stdout);
	loop_stop(h->loop);
}

static void on_groups(void *arg, const struct link_reply *reply)
{
	struct member *m = arg;
	struct herd *h = m->herd;

	if (reply->code != SHOAL_OK)
		die("client %zu: its command failed: %s", m->number, reply->message);
	if (reply->more || m->served)
		return;
	m->served = true;
	times_add(&h->times, (m_mono(m) - m->broke_ms) * 1000);
	h->most_dials = m->dials > h->most_dials ? m->dials : h->most_dials;
	if (++h->n_served == h->n)
		finish(h);
}

static void on_login(void *arg, const struct link_reply *reply)
{
	struct member *m = arg;
	struct herd *h = m->herd;

	if (reply->code != SHOAL_OK)
		die("client %zu: the login failed: %s", m->number, reply->message);
	m->in = true;
	if (++h->n_in < h->n)
		return;
	printf("ready after %.1f s\n", (double)(m_mono(m) - h->born_ms) / 1e3);
	fflush(stdout);
	h->moving = true;
}

static void on_news(void *owner, const struct link_news *news)
{
	struct member *m = owner;
	struct herd *h = m->herd;
	struct buf fields = { 0 };

	if (news->type == LINK_LOGGED_OUT || news->type == LINK_LACKS)
		die("client %zu: %s", m->number, news->text);
	if (news->type == LINK_LOST && h->moving && m->broke_ms == 0) {
		m->broke_ms = m_mono(m);
		m->dials = 0;
		if (h->n_broken++ == 0)
			h->first_break_ms = m->broke_ms;
	}
	if (news->type != LINK_LOGGED_IN || m->broke_ms == 0)
		return;
	req_filter_put(&fields, &(struct req_filter){ .filter = slice_str("mine") });
	link_call(m->link, VERB_LIST_GROUPS, &fields, 0, on_groups, m);
	buf_free(&fields);
}

static enum shoal_err on_pin(void *owner, const struct address *dialled, const struct id32 *identity, struct error *e)
{
	(void)owner, (void)dialled, (void)identity, (void)e;
	return SHOAL_OK;
}

static void on_wake(void *owner)
{
	((struct member *)owner)->deadline_ms = 0; /* the next look is soon */
}

/* -- time */

static void look(struct herd *h, uint64_t now)
{
	static const struct env_event tick = { .type = ENV_TICK };

	h->look_ms = now + LOOK_MS;
	for (size_t i = 0; i < h->n; i++)
		if (h->members[i].deadline_ms <= now)
			h->members[i].deadline_ms = link_step(h->members[i].link, &tick);
	if (h->moving && h->first_break_ms != 0 && now > h->first_break_ms + GIVE_UP_MS)
		finish(h);
}

static uint64_t step(void *arg, const struct env_event *ev)
{
	struct herd *h = arg;
	struct owner *o = NULL;
	uint64_t now = h->env->mono_ms(h->env->ctx);

	if (ev->type == ENV_CONNECTED || ev->type == ENV_BYTES || ev->type == ENV_CLOSED)
		HASH_FIND(hh, h->owners, &ev->conn, sizeof(ev->conn), o);
	if (o != NULL) {
		struct member *m = o->member;
		if (ev->type == ENV_CLOSED)
			forget(h, ev->conn);
		m->deadline_ms = link_step(m->link, ev);
	}
	if (now >= h->look_ms)
		look(h, now);
	return h->look_ms;
}

/* -- life */

static void add_member(struct herd *h, size_t i)
{
	struct member *m = &h->members[i];
	struct buf fields = { 0 };
	char user[40];

	*m = (struct member){ .herd = h, .number = i };
	m->env = (struct env){ .ctx = m, .mono_ms = m_mono, .wall_ms = m_wall, .random = m_random, .dial = m_dial,
		               .send = m_send, .queued = m_queued, .close = m_close };
	m->link = link_new(&(struct link_config){ .env = &m->env, .trackers = &h->trackers, .listen = { "0.0.0.0", 4000 },
	                                          .auto_login = AUTO_LOGIN_YES, .pin = on_pin, .news = on_news,
	                                          .wake = on_wake, .owner = m });
	snprintf(user, sizeof(user), FLEET_USER, i);
	req_user_password_put(&fields, &(struct req_user_password){ slice_str(user), slice_str(FLEET_PASSWORD) });
	link_call(m->link, VERB_LOGIN, &fields, LOGIN_MS, on_login, m);
	buf_free(&fields);
}

int main(int argc, char **argv)
{
	struct herd h = { 0 };
	struct error e = { 0 };
	uint8_t seed[SEED_SIZE];
	struct rlimit limit;

	if (argc != 3 || (h.n = strtoul(argv[2], NULL, 10)) == 0)
		die("usage: client_move TRACKER_INFO CLIENTS");
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < h.n + 64)
		die("%zu clients need as many descriptors: ulimit -n", h.n);
	if (tracker_info_read(argv[1], &h.trackers, &e) != SHOAL_OK)
		die("%s", e.message);
	signal(SIGPIPE, SIG_IGN);
	memset(seed, DEVICE, sizeof(seed));
	struct tls_identity *identity = tls_identity_new(seed, &e);
	h.loop = loop_new(&e);
	if (identity == NULL || h.loop == NULL)
		die("%s", e.message);
	h.net = net_env_new(&(struct net_env_config){ .loop = h.loop, .identity = identity, .step = step, .owner = &h,
	                                              .max_conns = (unsigned)h.n + 64 }, &e);
	if (h.net == NULL)
		die("%s", e.message);
	h.env = net_env_env(h.net);
	h.born_ms = h.env->mono_ms(h.env->ctx);
	h.members = xalloc(h.n * sizeof(*h.members));
	for (size_t i = 0; i < h.n; i++)
		add_member(&h, i);
	net_env_wake(h.net);
	loop_run(h.loop);
	bool all = h.n_served == h.n;
	for (size_t i = 0; i < h.n; i++)
		link_free(h.members[i].link);
	net_env_free(h.net);
	loop_free(h.loop);
	tls_identity_free(identity);
	tracker_info_free(&h.trackers);
	times_free(&h.times);
	free(h.members);
	return all ? 0 : 1;
}
