/* tracker/command_swarm.c - who has a file: find, announce, tickets, piece hashes, peers that cannot be reached. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tracker/core.h"
#include "tracker/memo.h"

enum { TICKET_YOUNG = 10 }; /* up to this part of its life a ticket is given out again */

static enum shoal_err no_memory(struct error *e)
{
	return error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
}

/* -- tickets */
/* A ticket that was made a moment ago for the same member and device is as good: signing takes longer than all the rest
 * of a command. Its name and its expiry are the ones of then. */
static bool ticket_again(struct command *cmd, const struct memo_ticket *mt, const struct ticket *wanted, struct buf *out,
                         uint32_t *life_ms)
{
	uint32_t life = cmd->t->config.ticket_life_s * 1000;
	uint64_t wall = wanted->not_before_ms;

	if (mt == NULL || mt->sealed.len == 0 || wall < mt->made_ms || wall - mt->made_ms > life / TICKET_YOUNG ||
	    !id16_eq(&mt->uid, &cmd->uid) || !id32_eq(&mt->device, &cmd->c->device) || !id16_eq(&mt->gid, &wanted->gid) ||
	    mt->flags != wanted->flags)
		return false;
	*life_ms = life - (uint32_t)(wall - mt->made_ms);
	buf_put(out, mt->sealed.data, mt->sealed.len);
	return true;
}

static void keep_ticket(struct memo_ticket *mt, const struct ticket *t, const struct buf *sealed)
{
	if (mt == NULL)
		return;
	mt->uid = t->uid;
	mt->gid = t->gid;
	mt->device = t->device;
	mt->flags = t->flags;
	mt->made_ms = t->not_before_ms;
	buf_reset(&mt->sealed);
	buf_put(&mt->sealed, sealed->data, sealed->len);
	if (mt->sealed.failed)
		buf_free(&mt->sealed);
}

static uint16_t ticket_flags(const struct command *cmd, const struct id16 *gid)
{
	bool reader = !group_may_share(cmd->t->reg, gid, &cmd->uid);
	return (cmd->t->config.plaintext ? TICKET_PLAINTEXT : 0) | (reader ? TICKET_READER : 0);
}

enum shoal_err ticket_issue(struct command *cmd, const struct id16 *gid, struct buf *out, uint32_t *life_ms,
                            struct error *e)
{
	struct tracker *t = cmd->t;
	char name[NAME_SHOWN_MAX];
	enum shoal_err rc = group_check_member(t->reg, gid, &cmd->uid, e);

	if (rc != SHOAL_OK)
		return rc;
	uint64_t wall = tracker_wall(t);
	struct memo_ticket *mt = memo_ticket(tracker_memo(t), &cmd->uid, &cmd->c->device, gid);
	*life_ms = t->config.ticket_life_s * 1000;
	struct ticket ticket = {
		.key_number = 1, .flags = ticket_flags(cmd, gid), .uid = cmd->uid,
		.device = cmd->c->device, .gid = *gid, .not_before_ms = wall, .not_after_ms = wall + *life_ms,
		.user = slice_str(user_shown(t->reg, &cmd->uid, name)),
	};
	if (ticket_again(cmd, mt, &ticket, out, life_ms))
		return SHOAL_OK;
	if (ticket_seal(out, &ticket, t->config.ticket_key) != SHOAL_OK || out->failed)
		return error_set(e, SHOAL_EINTERNAL, "the ticket cannot be signed");
	keep_ticket(mt, &ticket, out);
	return SHOAL_OK;
}

enum shoal_err command_ticket(struct command *cmd, struct error *e)
{
	struct req_gid r;
	struct rep_ticket rep;
	struct buf ticket = { 0 };

	req_gid_get(&cmd->fields, &r);
	enum shoal_err rc = ticket_issue(cmd, &r.gid, &ticket, &rep.ticket_ms, e);
	if (rc == SHOAL_OK) {
		rep.ticket = slice_of(ticket.data, ticket.len);
		rep_ticket_put(&cmd->reply, &rep);
	}
	buf_free(&ticket);
	return rc;
}

/* -- peers */
struct found_peer {
	struct id16 uid;
	struct id32 device;
	struct address addr;
	bool complete;
};

/* Those who have a file or parts of it, as rows that any asker can be given. */
struct peers {
	struct tracker *t;
	struct memo_answer answer;
	size_t cap;
	bool failed;
};

static void add_peer(struct peers *p, const struct found_peer *peer)
{
	struct memo_answer *a = &p->answer;
	char user[NAME_SHOWN_MAX], address[ADDRESS_MAX];

	if (p->failed || peer->addr.port == 0)
		return;
	if (a->n == p->cap) {
		size_t cap = p->cap != 0 ? 2 * p->cap : 32;
		struct memo_peer *more = try_realloc(a->peers, cap * sizeof(*more));
		if (more == NULL) {
			p->failed = true;
			return;
		}
		a->peers = more;
		p->cap = cap;
	}
	struct row_peer row = { .uid = peer->uid,
		                .user = slice_str(user_shown(p->t->reg, &peer->uid, user)),
		                .address = slice_str(address_format(&peer->addr, address)),
		                .identity = peer->device,
		                .complete = peer->complete };
	struct memo_peer mp = { .device = peer->device, .at = (uint32_t)a->bytes.len };
	row_peer_put(&a->bytes, &row);
	mp.len = (uint32_t)a->bytes.len - mp.at;
	a->peers[a->n++] = mp;
}

static void add_seeders(struct peers *p, const struct id16 *gid, const struct id16 *fid)
{
	struct tracker *t = p->t;
	struct presence online = tracker_presence(t);
	struct seeder *seeders;
	size_t n;

	if (file_seeders(t->reg, gid, fid, &online, &seeders, &n) != SHOAL_OK) {
		p->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct online *o = presence_endpoint(t->presence, &seeders[i].uid, &seeders[i].device);
		if (o == NULL)
			continue;
		struct found_peer peer = { .uid = o->uid, .device = o->device, .addr = o->addr, .complete = true };
		add_peer(p, &peer);
	}
	free(seeders);
}

static void add_leecher(void *arg, const struct leecher *l)
{
	struct peers *p = arg;
	struct tracker *t = p->t;
	const struct online *o = presence_endpoint(t->presence, &l->uid, &l->device);

	if (!group_may_share(t->reg, &l->gid, &l->uid) ||
	    file_shared_by(t->reg, &l->gid, &l->fid, &l->uid, &l->device)) /* it has become a seeder */
		return;
	struct found_peer peer = { .uid = l->uid, .device = l->device, .addr = o != NULL ? o->addr : l->addr };
	add_peer(p, &peer);
}

static struct slice file_key(const struct id16 *gid, const struct id16 *fid, uint8_t out[32])
{
	memcpy(out, gid->b, 16);
	memcpy(out + 16, fid->b, 16);
	return slice_of(out, 32);
}

/* NULL: no memory. */
static struct memo_answer *peers_of(struct tracker *t, const struct id16 *gid, const struct id16 *fid)
{
	uint8_t bytes[32];
	struct slice key = file_key(gid, fid, bytes);
	struct memo_answer *known = memo_find(tracker_memo(t), MEMO_PEERS, key, tracker_now(t));
	struct peers p = { .t = t };

	if (known != NULL)
		return known;
	add_seeders(&p, gid, fid);
	presence_each_leecher(t->presence, gid, fid, add_leecher, &p);
	if (!p.failed)
		return memo_keep(tracker_memo(t), MEMO_PEERS, key, &p.answer, tracker_now(t));
	memo_answer_fini(&p.answer);
	return NULL;
}

void peers_changed(struct tracker *t, const struct id16 *gid, const struct id16 *fid)
{
	uint8_t bytes[32];
	memo_forget(tracker_memo(t), MEMO_PEERS, file_key(gid, fid, bytes));
	for (uint8_t all = 0; all < 2; all++) { /* lists count them */
		memcpy(bytes, gid->b, 16);
		bytes[16] = all;
		memo_forget(tracker_memo(t), MEMO_FILES, slice_of(bytes, 17));
	}
}

/* Rows for a random choice of at most PEERS_MAX of those who have the file or parts of it, the asker excepted. The
 * order of the list does not matter: who has been chosen changes places with the first that has not. */
static enum shoal_err put_peers(struct command *cmd, const struct id16 *gid, const struct id16 *fid, struct error *e)
{
	struct memo_answer *a = peers_of(cmd->t, gid, fid);
	struct memo *memo = tracker_memo(cmd->t);
	unsigned chosen = 0;

	if (a == NULL)
		return no_memory(e);
	for (uint32_t i = 0; i < a->n && chosen < PEERS_MAX; i++) {
		uint32_t k = i + memo_dice(memo, a->n - i);
		struct memo_peer peer = a->peers[k];
		a->peers[k] = a->peers[i];
		a->peers[i] = peer;
		if (id32_eq(&peer.device, &cmd->c->device))
			continue;
		struct buf *b = command_row(cmd);
		if (b == NULL)
			break;
		buf_put(b, a->bytes.data + peer.at, peer.len);
		command_row_done(cmd);
		chosen++;
	}
	return SHOAL_OK;
}

/* -- find */
/* The part of FIND's reply that is the same for every member: all fields but the last two, the ticket and its life. */
static void put_found(struct tracker *t, const struct id16 *gid, const struct id16 *fid, struct buf *out)
{
	const struct file_row *f = registry_file(t->reg, gid, fid);
	const struct content_row *content = registry_content(t->reg, &f->content);
	char group[NAME_SHOWN_MAX], name[NAME_SHOWN_MAX];
	struct rep_find rep = {
		.gid = *gid,
		.fid = *fid,
		.group = slice_str(group_shown(t->reg, gid, group)),
		.name = slice_str(file_shown(t->reg, gid, fid, name)),
		.size = f->size,
		.piece_size = PIECE_SIZE,
		.file_hash = f->hash,
		.content = f->content,
		.state = slice_str(content != NULL && content->held ? "ok" : "syncing"),
	};
	rep_find_put(out, &rep);
	out->len -= out->failed ? 0 : sizeof(uint32_t) + sizeof(uint32_t); /* the empty ticket's length, and its life */
}

/* Works it out anew; NULL and *e: it cannot be found. */
static struct memo_answer *look_up(struct command *cmd, const struct req_file *r, struct slice key, struct error *e)
{
	struct tracker *t = cmd->t;
	struct memo_answer a = { 0 };
	enum shoal_err rc = group_lookup(t->reg, r->group, &a.gid, e);

	if (rc == SHOAL_OK)
		rc = group_check_member(t->reg, &a.gid, &cmd->uid, e);
	if (rc == SHOAL_OK)
		rc = file_lookup(t->reg, &a.gid, r->file, &a.fid, e);
	if (rc != SHOAL_OK)
		return NULL;
	put_found(t, &a.gid, &a.fid, &a.bytes);
	struct memo_answer *kept = memo_keep(tracker_memo(t), MEMO_FOUND, key, &a, tracker_now(t));
	if (kept == NULL)
		no_memory(e);
	return kept;
}

enum shoal_err command_find(struct command *cmd, struct error *e)
{
	struct tracker *t = cmd->t;
	struct req_file r;
	struct buf key = { 0 }, ticket = { 0 };
	uint32_t ticket_ms;

	req_file_get(&cmd->fields, &r);
	buf_put(&key, r.group.data, r.group.len);
	buf_put_u8(&key, 0);
	buf_put(&key, r.file.data, r.file.len);
	struct slice k = slice_of(key.data, key.len);
	struct memo_answer *a = key.failed ? NULL : memo_find(tracker_memo(t), MEMO_FOUND, k, tracker_now(t));
	if (a == NULL && !key.failed)
		a = look_up(cmd, &r, k, e);
	else if (a == NULL)
		no_memory(e);
	enum shoal_err rc = a != NULL ? ticket_issue(cmd, &a->gid, &ticket, &ticket_ms, e) : e->code;
	if (a != NULL && rc == SHOAL_OK) {
		struct id16 gid = a->gid, fid = a->fid;
		buf_put(&cmd->reply, a->bytes.data, a->bytes.len);
		buf_put_blob(&cmd->reply, ticket.data, ticket.len);
		buf_put_u32(&cmd->reply, ticket_ms);
		rc = put_peers(cmd, &gid, &fid, e);
	}
	buf_free(&key);
	buf_free(&ticket);
	return rc;
}

static enum shoal_err find_by_id(struct command *cmd, const struct id16 *gid, const struct id16 *fid,
                                 const struct file_row **out, struct error *e)
{
	enum shoal_err rc = group_check_member(cmd->t->reg, gid, &cmd->uid, e);
	if (rc != SHOAL_OK)
		return rc;
	*out = registry_file(cmd->t->reg, gid, fid);
	return *out != NULL ? SHOAL_OK : error_set(e, SHOAL_ENOTFOUND, "that file is not in the group any more");
}

/* -- piece hashes */
static void on_hashes(struct command *cmd, const struct env_event *ev)
{
	struct error e = { 0 };
	struct content_op *op = ev->content;
	struct rep_hashes rep = { .chunk = op->first / HASHES_PER_CHUNK,
		                  .hashes = slice_of(op->data.data, op->data.len) };
	enum shoal_err rc = ev->result;

	if (rc == SHOAL_OK && op->data.len != (size_t)op->count * 32)
		rc = SHOAL_ENOTFOUND;
	if (rc == SHOAL_OK)
		rep_hashes_put(&cmd->reply, &rep);
	else
		rc = error_set(&e, rc == SHOAL_ENOTFOUND ? SHOAL_EBUSY : rc,
		               "the piece hashes are not here yet, try again");
	content_op_free(op);
	command_finish(cmd, rc, &e);
}

enum shoal_err command_get_hashes(struct command *cmd, struct error *e)
{
	struct req_get_hashes r;
	const struct file_row *f;

	req_get_hashes_get(&cmd->fields, &r);
	enum shoal_err rc = find_by_id(cmd, &r.gid, &r.fid, &f, e);
	if (rc != SHOAL_OK)
		return rc;
	uint64_t pieces = content_pieces(f->size), first = (uint64_t)r.chunk * HASHES_PER_CHUNK;
	const struct content_row *row = registry_content(cmd->t->reg, &f->content);
	if (first >= pieces)
		return error_set(e, SHOAL_EUSAGE, "there is no chunk %u: the file has %llu pieces", r.chunk,
		                 (unsigned long long)pieces);
	if (row == NULL || !row->held)
		return error_set(e, SHOAL_EBUSY, "the piece hashes are not here yet, try again");
	struct content_op *op = content_op_new(CONTENT_GET);
	if (op == NULL)
		return no_memory(e);
	op->id = f->content;
	op->first = (uint32_t)first;
	op->count = (uint32_t)(pieces - first < HASHES_PER_CHUNK ? pieces - first : HASHES_PER_CHUNK);
	return command_await_content(cmd, op, on_hashes, e);
}

/* -- announce */
enum shoal_err command_announce(struct command *cmd, struct error *e)
{
	struct tracker *t = cmd->t;
	struct client *c = cmd->c;
	struct req_announce r;
	struct rep_announce rep = { .interval_ms = SYNC_ANNOUNCE_LEASE_MS / 2 };
	const struct file_row *f;

	req_announce_get(&cmd->fields, &r);
	enum shoal_err rc = find_by_id(cmd, &r.gid, &r.fid, &f, e);
	if (rc != SHOAL_OK)
		return rc;
	if (r.pieces > content_pieces(f->size))
		return error_set(e, SHOAL_EUSAGE, "%u pieces of a file that has %llu", r.pieces,
		                 (unsigned long long)content_pieces(f->size));
	struct leecher l = {
		.gid = r.gid,
		.fid = r.fid,
		.uid = cmd->uid,
		.device = c->device,
		.addr = c->listen,
		.home = t->config.self,
		.epoch = c->epoch,
		.beat = ++c->announce_beat,
		.pieces = r.pieces,
		.until_ms = tracker_now(t) + SYNC_ANNOUNCE_LEASE_MS,
	};
	peers_changed(t, &r.gid, &r.fid);
	if (r.stopped == 0 && !group_may_share(t->reg, &r.gid, &cmd->uid)) { /* he asks for peers, and is none himself */
		rep_announce_put(&cmd->reply, &rep);
		return put_peers(cmd, &r.gid, &r.fid, e);
	}
	if (r.stopped != 0) {
		(void)presence_announce_stop(t->presence, &l, tracker_now(t)); /* it may have run out by itself */
		announce_tell(t, &l, 0);
	} else {
		rc = presence_announce(t->presence, &l);
		if (rc == SHOAL_EBUSY)
			return no_memory(e);
		announce_tell(t, &l, SYNC_ANNOUNCE_LEASE_MS);
	}
	rep_announce_put(&cmd->reply, &rep);
	return r.stopped != 0 ? SHOAL_OK : put_peers(cmd, &r.gid, &r.fid, e);
}

/* -- a peer that could not be reached is asked to dial the one who could not */
struct unreachable {
	struct command *cmd;
	const struct req_unreachable *r;
	bool asked;
};

enum { REPORTS_AT_ONCE = 64, REPORT_EVERY_MS = 500 }; /* of one client; so many at once, when it has been quiet */

static bool may_report(struct client *c, uint64_t now)
{
	uint64_t until = c->reports_until_ms > now ? c->reports_until_ms : now;

	if (until >= now + (uint64_t)REPORTS_AT_ONCE * REPORT_EVERY_MS)
		return false;
	c->reports_until_ms = until + REPORT_EVERY_MS;
	return true;
}

static void tell_to_dial(struct tracker *t, struct client *peer, const struct ev_dial *ev)
{
	struct buf frame = { 0 };
	size_t start = event_begin(&frame, EVENT_DIAL);

	ev_dial_put(&frame, ev);
	if (frame_end(&frame, start) != SHOAL_OK)
		frame.failed = true;
	client_send(t, peer, &frame);
	client_pinged(t, peer); /* it may be gone: the event is answered with a heartbeat, or the connection ends */
}

/* Here, or by the tracker that it is connected to. */
static void ask_to_dial(void *arg, const struct online *o)
{
	struct unreachable *u = arg;
	struct command *cmd = u->cmd;
	char address[ADDRESS_MAX];
	struct slice from = slice_str(address_format(&cmd->c->listen, address));
	struct client *peer = client_find(cmd->t, o->conn);

	if (u->asked || !id32_eq(&o->device, &u->r->peer) || (peer == NULL && o->home == cmd->t->config.self))
		return;
	u->asked = true;
	if (peer != NULL)
		tell_to_dial(cmd->t, peer, &(struct ev_dial){ .fid = u->r->fid, .address = from, .identity = cmd->c->device });
	else
		sync_send_dial(cmd->t->sync, o->home,
		               &(struct sync_dial_ask){ .fid = u->r->fid, .uid = o->uid, .peer = o->device,
		                                        .identity = cmd->c->device, .address = from });
}

void dial_on_remote(struct tracker *t, const struct sync_dial_ask *ask)
{
	const struct online *o = presence_endpoint(t->presence, &ask->uid, &ask->peer);
	struct client *peer = o != NULL ? client_find(t, o->conn) : NULL;

	if (peer != NULL) /* else it has gone or moved: who asks will ask again */
		tell_to_dial(t, peer, &(struct ev_dial){ .fid = ask->fid, .address = ask->address, .identity = ask->identity });
}

/* The peer, if it is a member of that group where both could have the file. */
static void look_in_group(struct unreachable *u, const struct id16 *gid)
{
	const struct tracker *t = u->cmd->t;
	struct registry_iter it = registry_by(t->reg, INDEX_GROUP_MEMS, gid, sizeof(*gid), NULL, 0);
	const struct mem_row *m;

	while (!u->asked && (m = registry_next(&it)) != NULL)
		if (m->phase == MEM_MEMBER)
			presence_each_of(t->presence, &m->key.uid, ask_to_dial, u);
}

/* Nobody learns from the answer who is connected where. */
enum shoal_err command_unreachable(struct command *cmd, struct error *e)
{
	const struct registry *reg = cmd->t->reg;
	struct req_unreachable r;
	struct unreachable u = { .cmd = cmd, .r = &r };
	const struct mem_row *m;

	req_unreachable_get(&cmd->fields, &r);
	if (!may_report(cmd->c, tracker_now(cmd->t)))
		return error_set(e, SHOAL_EQUOTA, "too many peers are said to be out of reach: wait some seconds");
	if (cmd->c->listen.port == 0)
		return SHOAL_OK;
	struct registry_iter it = registry_by(reg, INDEX_USER_MEMS, &cmd->uid, sizeof(cmd->uid), NULL, 0);
	while (!u.asked && (m = registry_next(&it)) != NULL)
		if (m->phase == MEM_MEMBER && registry_file(reg, &m->key.gid, &r.fid) != NULL &&
		    group_is_member(reg, &m->key.gid, &cmd->uid))
			look_in_group(&u, &m->key.gid);
	return SHOAL_OK;
}
