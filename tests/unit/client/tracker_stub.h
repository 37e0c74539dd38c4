/* tests/unit/client/tracker_stub.h - a small tracker on a real port, on a thread of its own, for the engine's test. */
#ifndef SHOAL_TESTS_TRACKER_STUB_H
#define SHOAL_TESTS_TRACKER_STUB_H
#include <pthread.h>
#include <stdatomic.h>

#include "core/net/net_env.h"
#include "core/wire/cmd.h"
#include "tests/unit/check.h"

enum { STUB_CONNS = 32, STUB_ROWS = 8 };

struct stub_conn {
	conn_id id;
	struct frame_reader reader;
	struct id32 device;
};

struct stub_row {
	struct id16 gid, fid;
	bool ours; /* shared by the device that asks */
};

struct tracker_stub {
	pthread_t thread;
	struct loop *loop;
	struct net_env *net;
	struct tls_identity *identity;
	struct address address;
	struct queue *quit;
	struct loop_watch *quit_watch;
	struct queue_node quit_node;
	struct stub_conn conns[STUB_CONNS];
	struct stub_row rows[STUB_ROWS]; /* set while no client is connected */
	size_t n_rows;
	atomic_uint seen[64]; /* commands by verb */
};

static struct stub_conn *stub_find(struct tracker_stub *t, conn_id id)
{
	for (size_t i = 0; i < STUB_CONNS; i++)
		if (t->conns[i].id == id)
			return &t->conns[i];
	return NULL;
}

static void stub_send(struct tracker_stub *t, conn_id id, enum frame_tag tag, const struct buf *body)
{
	struct env *env = net_env_env(t->net);
	struct buf out = { 0 };
	size_t start = frame_begin(&out, tag);
	buf_put(&out, body->data, body->len);
	CHECK_INT(frame_end(&out, start), ==, SHOAL_OK);
	env->send(env->ctx, id, out.data, out.len);
	buf_free(&out);
}

static void stub_put_shares(struct tracker_stub *t, const struct stub_conn *conn, struct buf *out)
{
	struct id32 other = { .b = { 0x77 } };
	buf_put_u16(out, (uint16_t)t->n_rows);
	for (size_t i = 0; i < t->n_rows; i++)
		row_share_put(out, &(struct row_share){ .gid = t->rows[i].gid, .fid = t->rows[i].fid,
		                                        .device = t->rows[i].ours ? conn->device : other,
		                                        .group = slice_str("band"), .file = slice_str("song") });
}

static void stub_command(struct tracker_stub *t, struct stub_conn *conn, struct slice in)
{
	struct cursor c = cursor_of(in.data, in.len);
	struct cmd_head head;
	struct rply_head reply = { .flags = RPLY_STAMP, .stamp = { .hlc = 1, .tracker = 1, .dot = { 1, 1 } } };
	struct req_user_password login;
	struct buf body = { 0 }, event = { 0 };

	cmd_head_get(&c, &head);
	atomic_fetch_add(&t->seen[head.verb], 1);
	reply.serial = head.serial;
	if (head.verb == VERB_LOGIN) {
		req_user_password_get(&c, &login);
		reply.code = slice_eq_str(login.password, "secret") ? SHOAL_OK : SHOAL_EAUTH;
	}
	rply_head_put(&body, &reply);
	if (reply.code != SHOAL_OK)
		;
	else if (head.verb == VERB_HELLO)
		rep_hello_put(&body, &(struct rep_hello){ .version = PROTOCOL_VERSION, .tracker = 1, .heartbeat_ms = 1000 });
	else if (head.verb == VERB_LOGIN)
		rep_session_put(&body, &(struct rep_session){ .user = login.user, .token = slice_str("t"), .uid.b = { 1 } });
	else if (head.verb == VERB_MY_SHARES)
		stub_put_shares(t, conn, &body);
	else if (head.verb == VERB_TRACKERS)
		buf_put_u16(&body, 0);
	else if (head.verb == VERB_STOP_SHARE)
		rep_stop_share_put(&body, &(struct rep_stop_share){ .gid.b = { 1 }, .fid.b = { 5 }, .removed = 1 });
	else if (head.verb == VERB_CREATE_GROUP)
		rep_gid_put(&body, &(struct rep_gid){ .gid.b = { 1 } });
	else if (head.verb == VERB_HEARTBEAT)
		rep_heartbeat_put(&body, &(struct rep_heartbeat){ 0 });
	stub_send(t, conn->id, TAG_RPLY, &body);
	buf_free(&body);
	if (head.verb == VERB_CREATE_GROUP) { /* and news about it */
		buf_put_u16(&event, EVENT_MEMBER_JOINED);
		ev_member_joined_put(&event, &(struct ev_member_joined){ .group = slice_str("band"), .user = slice_str("bob") });
		stub_send(t, conn->id, TAG_EVNT, &event);
		buf_free(&event);
	}
}

static uint64_t stub_step(void *owner, const struct env_event *ev)
{
	struct tracker_stub *t = owner;
	struct slice in = slice_of(ev->data, ev->len);
	struct frame frame;

	if (ev->type == ENV_ACCEPTED) {
		struct stub_conn *conn = stub_find(t, 0);
		CHECK(conn != NULL);
		conn->id = ev->conn;
		conn->device = ev->identity;
		frame_reader_init(&conn->reader, FRAMES_CLIENT);
	} else if (ev->type == ENV_BYTES) {
		struct stub_conn *conn = stub_find(t, ev->conn);
		while (frame_read(&conn->reader, &in, &frame, NULL) == SHOAL_OK)
			stub_command(t, conn, frame.body);
	} else if (ev->type == ENV_CLOSED) {
		struct stub_conn *conn = stub_find(t, ev->conn);
		frame_reader_fini(&conn->reader);
		conn->id = 0;
	}
	return ENV_NEVER;
}

static void stub_on_quit(void *arg, struct queue_node *nodes)
{
	(void)nodes;
	loop_stop(((struct tracker_stub *)arg)->loop);
}

static void *stub_run(void *arg)
{
	loop_run(((struct tracker_stub *)arg)->loop);
	return NULL;
}

static struct tracker_stub *stub_start(void)
{
	static const char *const alpns[] = { ALPN_CLIENT };
	struct tracker_stub *t = calloc(1, sizeof(*t));
	struct address any = { "127.0.0.1", 0 };
	uint8_t seed[SEED_SIZE];

	random_bytes(seed, sizeof(seed));
	t->identity = tls_identity_new(seed, NULL);
	t->loop = loop_new(NULL);
	t->net = net_env_new(&(struct net_env_config){ .loop = t->loop, .identity = t->identity, .accept_alpns = alpns,
	                                               .n_accept_alpns = 1, .step = stub_step, .owner = t }, NULL);
	CHECK(t->net != NULL);
	CHECK_INT(net_env_listen(t->net, &any, &t->address, NULL), ==, SHOAL_OK);
	t->quit = queue_new();
	t->quit_watch = loop_watch_queue(t->loop, t->quit, stub_on_quit, t);
	CHECK_INT(pthread_create(&t->thread, NULL, stub_run, t), ==, 0);
	return t;
}

static void stub_stop(struct tracker_stub *t)
{
	queue_post(t->quit, &t->quit_node);
	pthread_join(t->thread, NULL);
	for (size_t i = 0; i < STUB_CONNS; i++)
		frame_reader_fini(&t->conns[i].reader);
	loop_watch_free(t->quit_watch);
	net_env_free(t->net);
	loop_free(t->loop);
	tls_identity_free(t->identity);
	queue_take_all(t->quit);
	queue_free(t->quit);
	free(t);
}
#endif
