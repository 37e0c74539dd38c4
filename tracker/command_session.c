/* tracker/command_session.c - hello, resume, heartbeat, and the sessions of one's own account. */
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "tracker/core.h"

enum { WAIT_SYNCED_MAX_MS = 600 * 1000, WAIT_STAMPS_MAX = 16, WAIT_TRACKERS_MAX = 256 };

bool stamps_are_here(struct tracker *t, struct slice stamps, bool *bad)
{
	struct cursor c = cursor_of(stamps.data, stamps.len);
	*bad = stamps.len % STAMP_WIRE_SIZE != 0;
	while (!*bad && cursor_left(&c) != 0) {
		struct stamp s = get_stamp(&c);
		if (!vvec_covers(registry_durable_vector(t->reg), s.dot))
			return false;
	}
	return true;
}

/* Empty: the login is known by its token only, its user has not come here yet. */
static struct slice shown_if_known(struct tracker *t, const struct id16 *uid, char out[NAME_SHOWN_MAX])
{
	return slice_str(registry_user(t->reg, uid) != NULL ? user_shown(t->reg, uid, out) : "");
}

/* -- hello */
static void put_hello_reply(struct command *cmd)
{
	struct tracker *t = cmd->t;
	struct client *c = cmd->c;
	char name[NAME_SHOWN_MAX], you[ADDRESS_MAX];
	struct buf token = { 0 };
	struct rep_hello r = {
		.version = PROTOCOL_VERSION, .tracker = t->config.self, .wall_ms = tracker_wall(t),
		.plaintext = t->config.plaintext, .heartbeat_ms = HEARTBEAT_MS, .resumed = c->logged_in,
		.you = slice_str(address_format(&c->seen, you)),
	};

	memcpy(r.ticket_key.b, t->ticket_key_raw, sizeof(r.ticket_key.b));
	if (c->logged_in) {
		session_token(t, &c->uid, &c->device, c->dot, &token);
		r.uid = c->uid;
		r.user = shown_if_known(t, &c->uid, name);
		c->welcome = true;
	}
	r.token = slice_of(token.data, token.len);
	rep_hello_put(&cmd->reply, &r);
	buf_free(&token);
}

static void answer_hello(struct command *cmd)
{
	struct req_hello r;
	struct error ignored;
	struct cursor fields = cmd->fields;

	req_hello_get(&fields, &r);
	if (cmd->c == NULL)
		return;
	if (r.token.len != 0 && !cmd->c->logged_in)
		(void)session_resume(cmd->t, cmd->c, r.token, &ignored); /* `resumed` tells */
	put_hello_reply(cmd);
}

/* "0.0.0.0:5000" means: at the address that we see. */
static enum shoal_err set_listen(struct client *c, struct slice listen, struct error *e)
{
	char text[ADDRESS_MAX];
	if (!slice_to_str(listen, text, sizeof(text)))
		return error_set(e, SHOAL_EPROTO, "the listen address is not an address");
	if (address_parse(text, true, &c->listen, e) != SHOAL_OK)
		return e->code = SHOAL_EPROTO;
	if (strcmp(c->listen.host, "0.0.0.0") == 0 || strcmp(c->listen.host, "::") == 0)
		memcpy(c->listen.host, c->seen.host, sizeof(c->listen.host));
	return SHOAL_OK;
}

enum shoal_err command_hello(struct command *cmd, struct error *e)
{
	struct req_hello r;
	struct cursor fields = cmd->fields;

	req_hello_get(&fields, &r);
	if (cmd->c->greeted)
		return error_set(e, SHOAL_EPROTO, "a second hello");
	if (r.version != PROTOCOL_VERSION)
		return error_set(e, SHOAL_EPROTO, "protocol version %u is not spoken here, %u is", r.version,
		                 PROTOCOL_VERSION);
	enum shoal_err rc = set_listen(cmd->c, r.listen, e);
	if (rc != SHOAL_OK)
		return rc;
	if (r.seen.len % STAMP_WIRE_SIZE != 0)
		return error_set(e, SHOAL_EPROTO, "'seen' holds no stamps");
	cmd->c->greeted = true;
	lacks_begin(cmd->t, cmd->c, r.seen);
	answer_hello(cmd);
	return SHOAL_OK;
}

void put_session_reply(struct command *cmd, const struct id16 *uid, struct dot dot)
{
	char name[NAME_SHOWN_MAX];
	struct buf token = { 0 };
	struct rep_session r = { .uid = *uid, .user = shown_if_known(cmd->t, uid, name) };

	if (cmd->c != NULL)
		session_token(cmd->t, uid, &cmd->c->device, dot, &token);
	r.token = slice_of(token.data, token.len);
	rep_session_put(&cmd->reply, &r);
	buf_free(&token);
}

enum shoal_err command_resume(struct command *cmd, struct error *e)
{
	struct req_resume r;
	req_resume_get(&cmd->fields, &r);
	enum shoal_err rc = session_resume(cmd->t, cmd->c, r.token, e);
	if (rc != SHOAL_OK)
		return rc;
	cmd->c->welcome = true;
	put_session_reply(cmd, &cmd->c->uid, cmd->c->dot);
	return SHOAL_OK;
}

/* -- heartbeat */
static uint64_t share_hash(const struct file_row *f)
{
	uint8_t both[32];
	struct id32 out;
	uint64_t v = 0;
	memcpy(both, f->gid.b, 16);
	memcpy(both + 16, f->fid.b, 16);
	sha256_of(both, sizeof(both), &out);
	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | out.b[i];
	return v;
}

/* Count and digest of the shares that the registry has of this device, as cmd.h defines them. False: no memory. */
static bool count_shares(struct tracker *t, struct client *c)
{
	struct my_share *shares;
	size_t n;

	if (!c->shares_dirty)
		return true;
	if (file_shares_of(t->reg, &c->uid, &c->device, &shares, &n) != SHOAL_OK)
		return false;
	c->shares_count = (uint32_t)n;
	c->shares_digest = 0;
	for (size_t i = 0; i < n; i++)
		c->shares_digest += share_hash(shares[i].file);
	free(shares);
	c->shares_dirty = false;
	return true;
}

enum shoal_err command_heartbeat(struct command *cmd, struct error *e)
{
	struct tracker *t = cmd->t;
	struct client *c = cmd->c;
	struct req_heartbeat r;
	struct buf token = { 0 };
	struct rep_heartbeat rep = { .wall_ms = tracker_wall(t) };

	(void)e;
	req_heartbeat_get(&cmd->fields, &r);
	if (c->logged_in && count_shares(t, c))
		rep.differ = r.shares != c->shares_count || r.shares_digest != c->shares_digest;
	if (c->logged_in && tracker_now(t) >= c->token_ms + TOKEN_RENEW_MS) {
		session_token(t, &c->uid, &c->device, c->dot, &token);
		c->token_ms = tracker_now(t);
	}
	rep.token = slice_of(token.data, token.len);
	rep_heartbeat_put(&cmd->reply, &rep);
	buf_free(&token);
	return SHOAL_OK;
}

/* -- who am I, and where else */
enum shoal_err command_whoami(struct command *cmd, struct error *e)
{
	struct tracker *t = cmd->t;
	char name[NAME_SHOWN_MAX];
	const struct sess_row *s = registry_sess(t->reg, &cmd->uid, cmd->c->dot);
	struct rep_whoami r = {
		.uid = cmd->uid, .user = slice_str(user_shown(t->reg, &cmd->uid, name)), .tracker = t->config.self,
		.since_ms = s != NULL ? stamp_wall_ms(&s->since) : cmd->c->since_ms,
	};
	(void)e;
	rep_whoami_put(&cmd->reply, &r);
	return SHOAL_OK;
}

static void put_session_row(struct command *cmd, const struct sess_row *s)
{
	const struct online *o = presence_by_dot(cmd->t->presence, s->key.dot);
	char id[48], address[ADDRESS_MAX] = "";
	struct buf *b = command_row(cmd);

	if (b == NULL)
		return;
	session_id_text(s->key.dot, id);
	if (o != NULL)
		address_format(&o->addr, address);
	struct row_session row = { .id = slice_str(id), .device = s->device, .address = slice_str(address),
		                   .since_ms = stamp_wall_ms(&s->since), .current = dot_eq(s->key.dot, cmd->c->dot),
		                   .online = o != NULL };
	row_session_put(b, &row);
	command_row_done(cmd);
}

enum shoal_err command_list_sessions(struct command *cmd, struct error *e)
{
	const struct sess_row **sessions;
	size_t n;

	if (user_sessions(cmd->t->reg, &cmd->uid, &sessions, &n) != SHOAL_OK)
		return error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
	for (size_t i = 0; i < n; i++)
		put_session_row(cmd, sessions[i]);
	free(sessions);
	return SHOAL_OK;
}

static void detach_if_ended(struct command *cmd)
{
	struct client *c = cmd->c;
	if (c != NULL && c->logged_in && user_session_state(cmd->t->reg, &c->uid, c->dot) == SESSION_ENDED)
		session_detach(cmd->t, c);
}

enum shoal_err command_end_session(struct command *cmd, struct error *e)
{
	struct req_id r;
	struct dot dot;
	struct op op;

	if (cmd->replay)
		return SHOAL_OK;
	req_id_get(&cmd->fields, &r);
	if (!session_id_parse(r.id, &dot))
		return error_set(e, SHOAL_EUSAGE, "that is not the id of a session: list_sessions shows them");
	command_op_begin(cmd, OP_END_SESSION, &op);
	enum shoal_err rc = user_end_session(cmd->t->reg, &op, &cmd->uid, dot, e);
	if (rc != SHOAL_OK) {
		op_fini(&op);
		return rc;
	}
	cmd->durable = detach_if_ended;
	return command_commit(cmd, &op, e);
}

enum shoal_err command_logout(struct command *cmd, struct error *e)
{
	struct op op;
	cmd->durable = detach_if_ended;
	if (cmd->replay)
		return SHOAL_OK;
	command_op_begin(cmd, OP_LOGOUT, &op);
	enum shoal_err rc = user_logout(cmd->t->reg, &op, &cmd->uid, cmd->c->dot, e);
	if (rc == SHOAL_OK)
		return command_commit(cmd, &op, e);
	op_fini(&op);
	return rc;
}

/* -- waiting for the other trackers */
struct synced {
	uint16_t ids[WAIT_TRACKERS_MAX]; /* who has them */
	size_t n, peers;                 /* n: of the others */
	bool here;
};

static bool has_id(const struct synced *sy, uint16_t id)
{
	for (size_t i = 0; i < sy->n && i < COUNT_OF(sy->ids); i++)
		if (sy->ids[i] == id)
			return true;
	return false;
}

static int by_number(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* Who has them, this tracker among them, lowest first. */
static void put_synced(struct command *cmd, struct synced *sy)
{
	struct buf ids = { 0 };
	struct rep_wait_synced r = { .have = (uint16_t)sy->n, .trackers = (uint16_t)sy->peers };
	size_t n = sy->n < COUNT_OF(sy->ids) - 1 ? sy->n : COUNT_OF(sy->ids) - 1;

	sy->ids[n++] = cmd->t->config.self;
	qsort(sy->ids, n, sizeof(sy->ids[0]), by_number);
	for (size_t i = 0; i < n; i++)
		buf_put_u16(&ids, sy->ids[i]);
	r.ids = slice_of(ids.data, ids.failed ? 0 : ids.len);
	rep_wait_synced_put(&cmd->reply, &r);
	buf_free(&ids);
}

/* "tracker 3 (lost) has not got it", for the first few. */
static void say_lacking(struct command *cmd, const struct synced *sy, struct error *e)
{
	size_t n = 0, told = 0;
	struct tracker_fact *facts = tracker_facts(cmd->t, &n);
	struct buf text = { 0 };

	if (!sy->here)
		buf_printf(&text, "tracker %u itself has not got it", cmd->t->config.self);
	for (size_t i = 1; i < n; i++)
		if (!has_id(sy, facts[i].id) && told++ < 5)
			buf_printf(&text, "%stracker %u has not got it (%s)", text.len != 0 ? ", " : "", facts[i].id,
			           facts[i].state);
	error_set(e, SHOAL_ETIMEOUT, "%zu of %zu other trackers have it after the time given%s%.*s", sy->n, sy->peers,
	          text.len != 0 ? ": " : "", (int)text.len, text.len != 0 ? (const char *)text.data : "");
	buf_free(&text);
	free(facts);
}

static bool poll_synced(struct command *cmd)
{
	struct stamp stamps[WAIT_STAMPS_MAX];
	struct synced sy = { .peers = sync_peer_count(cmd->t->sync) };
	struct req_wait_synced r;
	struct cursor fields = cmd->fields;
	struct error e;
	size_t n = 0;
	bool bad;

	req_wait_synced_get(&fields, &r);
	struct cursor c = cursor_of(r.stamps.data, r.stamps.len);
	while (cursor_left(&c) != 0 && n < WAIT_STAMPS_MAX)
		stamps[n++] = get_stamp(&c);
	sy.n = sync_list_acked(cmd->t->sync, stamps, n, sy.ids, COUNT_OF(sy.ids) - 1);
	sy.here = stamps_are_here(cmd->t, r.stamps, &bad);
	if (sy.here && sy.n >= (r.count == 0 ? sy.peers : r.count)) {
		put_synced(cmd, &sy);
		command_finish(cmd, SHOAL_OK, NULL);
		return true;
	}
	if (tracker_now(cmd->t) < cmd->deadline_ms)
		return false;
	say_lacking(cmd, &sy, &e);
	command_finish(cmd, SHOAL_ETIMEOUT, &e);
	return true;
}

enum shoal_err command_wait_synced(struct command *cmd, struct error *e)
{
	struct req_wait_synced r;
	struct cursor fields = cmd->fields;
	uint32_t timeout;

	req_wait_synced_get(&fields, &r);
	if (r.stamps.len == 0 || r.stamps.len % STAMP_WIRE_SIZE != 0 || r.stamps.len > (size_t)WAIT_STAMPS_MAX * STAMP_WIRE_SIZE)
		return error_set(e, SHOAL_EUSAGE, "wait_synced needs 1 to %d stamps", WAIT_STAMPS_MAX);
	if (r.count > sync_peer_count(cmd->t->sync))
		return error_set(e, SHOAL_EUSAGE, "there are only %zu other trackers", sync_peer_count(cmd->t->sync));
	timeout = r.timeout_ms < WAIT_SYNCED_MAX_MS ? r.timeout_ms : WAIT_SYNCED_MAX_MS;
	return command_await_synced(cmd, tracker_now(cmd->t) + timeout, poll_synced, e);
}
