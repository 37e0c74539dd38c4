/* tracker/command_swarm.c - who has a file: find, announce, tickets, piece hashes, peers that cannot be reached. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tracker/core.h"

static enum shoal_err no_memory(struct error *e)
{
	return error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
}

/* -- tickets */
enum shoal_err ticket_issue(struct command *cmd, const struct id16 *gid, struct buf *out, uint32_t *life_ms,
                            struct error *e)
{
	struct tracker *t = cmd->t;
	char name[NAME_SHOWN_MAX];
	enum shoal_err rc = group_check_member(t->reg, gid, &cmd->uid, e);

	if (rc != SHOAL_OK)
		return rc;
	*life_ms = t->config.ticket_life_s * 1000;
	uint64_t wall = tracker_wall(t);
	struct ticket ticket = {
		.key_number = 1, .flags = t->config.plaintext ? TICKET_PLAINTEXT : 0, .uid = cmd->uid,
		.device = cmd->c->device, .gid = *gid, .not_before_ms = wall, .not_after_ms = wall + *life_ms,
		.user = slice_str(user_shown(t->reg, &cmd->uid, name)),
	};
	if (ticket_seal(out, &ticket, t->config.ticket_key) != SHOAL_OK || out->failed)
		return error_set(e, SHOAL_EINTERNAL, "the ticket cannot be signed");
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

struct peers {
	struct command *cmd;
	struct found_peer *list;
	size_t n, cap;
	bool failed;
};

static void add_peer(struct peers *p, const struct found_peer *peer)
{
	if (p->failed || peer->addr.port == 0 || id32_eq(&peer->device, &p->cmd->c->device))
		return;
	if (p->n == p->cap) {
		size_t cap = p->cap != 0 ? 2 * p->cap : 32;
		struct found_peer *more = try_realloc(p->list, cap * sizeof(*more));
		if (more == NULL) {
			p->failed = true;
			return;
		}
		p->list = more;
		p->cap = cap;
	}
	p->list[p->n++] = *peer;
}

static enum shoal_err add_seeders(struct peers *p, const struct id16 *gid, const struct id16 *fid, struct error *e)
{
	struct tracker *t = p->cmd->t;
	struct presence online = tracker_presence(t);
	struct seeder *seeders;
	size_t n;

	if (file_seeders(t->reg, gid, fid, &online, &seeders, &n) != SHOAL_OK)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		const struct online *o = presence_endpoint(t->presence, &seeders[i].uid, &seeders[i].device);
		if (o == NULL)
			continue;
		struct found_peer peer = { .uid = o->uid, .device = o->device, .addr = o->addr, .complete = true };
		add_peer(p, &peer);
	}
	free(seeders);
	return SHOAL_OK;
}

static void add_leecher(void *arg, const struct leecher *l)
{
	struct peers *p = arg;
	struct tracker *t = p->cmd->t;
	const struct online *o = presence_endpoint(t->presence, &l->uid, &l->device);

	if (!group_is_member(t->reg, &l->gid, &l->uid) ||
	    file_shared_by(t->reg, &l->gid, &l->fid, &l->uid, &l->device)) /* it has become a seeder */
		return;
	struct found_peer peer = { .uid = l->uid, .device = l->device, .addr = o != NULL ? o->addr : l->addr };
	add_peer(p, &peer);
}

/* Moves a random choice of at most PEERS_MAX to the front. */
static size_t choose(struct tracker *t, struct peers *p)
{
	size_t n = p->n < PEERS_MAX ? p->n : PEERS_MAX;
	for (size_t i = 0; i < n; i++) {
		size_t k = i + (size_t)(tracker_random_u64(t) % (p->n - i));
		struct found_peer swap = p->list[i];
		p->list[i] = p->list[k];
		p->list[k] = swap;
	}
	return n;
}

/* Rows for those who have the file or parts of it, the asker excepted. */
static enum shoal_err put_peers(struct command *cmd, const struct id16 *gid, const struct id16 *fid, struct error *e)
{
	struct tracker *t = cmd->t;
	struct peers p = { .cmd = cmd };
	char user[NAME_SHOWN_MAX], address[ADDRESS_MAX];
	enum shoal_err rc = add_seeders(&p, gid, fid, e);

	if (rc == SHOAL_OK)
		presence_each_leecher(t->presence, gid, fid, add_leecher, &p);
	if (p.failed)
		rc = no_memory(e);
	size_t n = rc == SHOAL_OK ? choose(t, &p) : 0;
	for (size_t i = 0; i < n; i++) {
		struct row_peer row = { .uid = p.list[i].uid,
			                .user = slice_str(user_shown(t->reg, &p.list[i].uid, user)),
			                .address = slice_str(address_format(&p.list[i].addr, address)),
			                .identity = p.list[i].device,
			                .complete = p.list[i].complete };
		struct buf *b = command_row(cmd);
		if (b == NULL)
			break;
		row_peer_put(b, &row);
		command_row_done(cmd);
	}
	free(p.list);
	return rc;
}

enum shoal_err command_find(struct command *cmd, struct error *e)
{
	struct tracker *t = cmd->t;
	struct req_file r;
	struct rep_find rep = { .piece_size = PIECE_SIZE };
	char group[NAME_SHOWN_MAX], name[NAME_SHOWN_MAX];
	struct buf ticket = { 0 };

	req_file_get(&cmd->fields, &r);
	enum shoal_err rc = group_lookup(t->reg, r.group, &rep.gid, e);
	if (rc == SHOAL_OK)
		rc = group_check_member(t->reg, &rep.gid, &cmd->uid, e);
	if (rc == SHOAL_OK)
		rc = file_lookup(t->reg, &rep.gid, r.file, &rep.fid, e);
	if (rc == SHOAL_OK)
		rc = ticket_issue(cmd, &rep.gid, &ticket, &rep.ticket_ms, e);
	if (rc == SHOAL_OK) {
		const struct file_row *f = registry_file(t->reg, &rep.gid, &rep.fid);
		const struct content_row *content = registry_content(t->reg, &f->content);
		rep.group = slice_str(group_shown(t->reg, &rep.gid, group));
		rep.name = slice_str(file_shown(t->reg, &rep.gid, &rep.fid, name));
		rep.size = f->size;
		rep.file_hash = f->hash;
		rep.content = f->content;
		rep.state = slice_str(content != NULL && content->held ? "ok" : "syncing");
		rep.ticket = slice_of(ticket.data, ticket.len);
		rep_find_put(&cmd->reply, &rep);
		rc = put_peers(cmd, &rep.gid, &rep.fid, e);
	}
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
};

static bool have_common_file(struct command *cmd, const struct id16 *other, const struct id16 *fid)
{
	const struct registry *reg = cmd->t->reg;
	struct registry_iter it = registry_by(reg, INDEX_USER_MEMS, &cmd->uid, sizeof(cmd->uid), NULL, 0);
	const struct mem_row *m;

	while ((m = registry_next(&it)) != NULL)
		if (m->phase == MEM_MEMBER && group_is_member(reg, &m->key.gid, &cmd->uid) &&
		    group_is_member(reg, &m->key.gid, other) && registry_file(reg, &m->key.gid, fid) != NULL)
			return true;
	return false;
}

static void ask_to_dial(void *arg, const struct online *o)
{
	struct unreachable *u = arg;
	struct command *cmd = u->cmd;
	struct client *peer = client_find(cmd->t, o->conn);
	char address[ADDRESS_MAX];
	struct buf frame = { 0 };

	if (peer == NULL || !id32_eq(&o->device, &u->r->peer) || !have_common_file(cmd, &o->uid, &u->r->fid))
		return;
	struct ev_dial ev = { .fid = u->r->fid, .address = slice_str(address_format(&cmd->c->listen, address)),
		              .identity = cmd->c->device };
	size_t start = event_begin(&frame, EVENT_DIAL);
	ev_dial_put(&frame, &ev);
	if (frame_end(&frame, start) != SHOAL_OK)
		frame.failed = true;
	client_send(cmd->t, peer, &frame);
}

/* Nobody learns from the answer who is connected where. */
enum shoal_err command_unreachable(struct command *cmd, struct error *e)
{
	struct req_unreachable r;
	struct unreachable u = { .cmd = cmd, .r = &r };

	(void)e;
	req_unreachable_get(&cmd->fields, &r);
	if (cmd->c->listen.port != 0)
		presence_each(cmd->t->presence, ask_to_dial, &u);
	return SHOAL_OK;
}
