/* tracker/events.c - what the changed rows mean to those who are online here.
 *
 * Own commands and what comes from other trackers go the same way: the commit queue tells which rows changed, before
 * and after, and from that follows who is to know. A closed row that is dropped at once (after is NULL) means the same as
 * one that is closed. Nothing is told before it is durable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tracker/core.h"

size_t event_begin(struct buf *b, enum cmd_event kind)
{
	size_t start = frame_begin(b, TAG_EVNT);
	buf_put_u16(b, (uint16_t)kind);
	return start;
}

/* -- sending */
struct pending_event {
	struct tracker *t;
	struct id16 uid;
	struct dot ended;         /* with a reason: that session has ended */
	const char *reason;       /* NULL: send the frame */
	struct buf frame;
};

static void free_event(struct pending_event *p)
{
	buf_free(&p->frame);
	free(p);
}

static void send_to(void *arg, const struct online *o)
{
	struct pending_event *p = arg;
	struct client *c = client_find(p->t, o->conn);
	struct buf copy = { 0 };

	if (c == NULL)
		return;
	if (c->owed > OWED_MAX) {
		client_doom(p->t, c, "does not read what it is sent");
		return;
	}
	buf_put(&copy, p->frame.data, p->frame.len);
	client_send(p->t, c, &copy);
}

static void on_durable(void *arg, enum shoal_err result)
{
	struct pending_event *p = arg;
	if (result == SHOAL_OK && p->reason != NULL)
		session_ended(p->t, &p->uid, p->ended, p->reason);
	else if (result == SHOAL_OK)
		presence_each_of(p->t->presence, &p->uid, send_to, p);
	free_event(p);
}

static void post(struct pending_event *p)
{
	if (p->frame.failed || commit_barrier(p->t->commit, on_durable, p) != SHOAL_OK)
		free_event(p); /* an event is a courtesy: whoever needs certainty asks */
}

struct local {
	struct tracker *t;
	bool found;
};

static void look_for_local(void *arg, const struct online *o)
{
	struct local *l = arg;
	l->found |= client_find(l->t, o->conn) != NULL;
}

static bool is_here(struct tracker *t, const struct id16 *uid)
{
	struct local l = { .t = t };
	presence_each_of(t->presence, uid, look_for_local, &l);
	return l.found;
}

void event_send(struct tracker *t, const struct id16 *uid, struct buf *frame)
{
	struct pending_event *p = is_here(t, uid) ? try_alloc(sizeof(*p)) : NULL;
	if (p == NULL) {
		buf_free(frame);
		return;
	}
	*p = (struct pending_event){ .t = t, .uid = *uid, .frame = *frame };
	*frame = (struct buf){ 0 };
	post(p);
}

static void end_session(struct tracker *t, const struct id16 *uid, struct dot dot, const char *reason)
{
	struct pending_event *p = presence_by_dot(t->presence, dot) != NULL ? try_alloc(sizeof(*p)) : NULL;
	if (p == NULL)
		return;
	*p = (struct pending_event){ .t = t, .uid = *uid, .ended = dot, .reason = reason };
	post(p);
}

#define EVENT_FRAME(frame, KIND, word, ...)                                \
	do {                                                               \
		struct ev_##word ev_ = { __VA_ARGS__ };                    \
		size_t start_ = event_begin(&(frame), EVENT_##KIND);       \
		ev_##word##_put(&(frame), &ev_);                           \
		if (frame_end(&(frame), start_) != SHOAL_OK)               \
			(frame).failed = true;                             \
	} while (0)

void event_note(struct tracker *t, const struct id16 *uid, const char *kind, const char *text)
{
	struct buf frame = { 0 };
	EVENT_FRAME(frame, NOTE, note, .kind = slice_str(kind), .text = slice_str(text));
	event_send(t, uid, &frame);
}

/* The frame to every member who is online here; `also` (may be NULL) too. The frame is freed. */
static void send_to_members(struct tracker *t, const struct id16 *gid, const struct id16 *also, struct buf *frame)
{
	struct member *members = NULL;
	size_t n = 0;

	if (group_members(t->reg, gid, &members, &n) != SHOAL_OK)
		n = 0;
	for (size_t i = 0; i <= n; i++) {
		const struct id16 *uid = i < n ? &members[i].uid : also;
		struct buf copy = { 0 };
		if (uid == NULL || (i < n && also != NULL && id16_eq(uid, also)) || !is_here(t, uid))
			continue;
		buf_put(&copy, frame->data, frame->len);
		copy.failed |= frame->failed;
		event_send(t, uid, &copy);
	}
	free(members);
	buf_free(frame);
}

/* -- members */
struct change_ctx {
	struct tracker *t;
	struct id16 deleted; /* the group that this change has deleted; its memberships are closed in it or later */
	struct id16 last_gid, last_fid; /* the file whose removal was told last: one removal closes many shares */
};

static void tell_revoked(struct tracker *t, const struct id16 *gid, const struct id16 *uid)
{
	struct buf frame = { 0 };
	EVENT_FRAME(frame, REVOKE, revoke, .gid = *gid, .uid = *uid);
	send_to_members(t, gid, uid, &frame);
}

static void mark_shares(struct tracker *t, const struct id16 *uid);

static void member_frame(struct tracker *t, struct buf *frame, enum cmd_event kind, const struct id16 *gid,
                         const struct id16 *uid)
{
	char group[NAME_SHOWN_MAX], user[NAME_SHOWN_MAX];
	struct ev_member_joined ev = { .gid = *gid, .group = slice_str(group_shown(t->reg, gid, group)),
		                       .user = slice_str(user_shown(t->reg, uid, user)) };
	size_t start = event_begin(frame, kind);
	ev_member_joined_put(frame, &ev); /* the three member events have the same fields */
	if (frame_end(frame, start) != SHOAL_OK)
		frame->failed = true;
}

/* The frame to those who may answer requests and are online here. The frame is freed. */
static void send_to_admins(struct tracker *t, const struct id16 *gid, struct buf *frame)
{
	struct registry_iter it = registry_by(t->reg, INDEX_GROUP_MEMS, gid->b, sizeof(gid->b), NULL, 0);
	struct id16 last = { { 0 } };
	const struct mem_row *m;

	while ((m = registry_next(&it)) != NULL) {
		struct buf copy = { 0 };
		if (m->phase != MEM_MEMBER || id16_eq(&m->key.uid, &last) || !is_here(t, &m->key.uid) ||
		    !group_is_admin(t->reg, gid, &m->key.uid))
			continue;
		last = m->key.uid;
		buf_put(&copy, frame->data, frame->len);
		copy.failed |= frame->failed;
		event_send(t, &m->key.uid, &copy);
	}
	buf_free(frame);
}

static void on_request(struct tracker *t, const struct mem_row *m)
{
	struct buf frame = { 0 };
	if (group_is_member(t->reg, &m->key.gid, &m->key.uid) || !group_lives(t->reg, &m->key.gid))
		return;
	member_frame(t, &frame, EVENT_MEMBER_REQUESTED, &m->key.gid, &m->key.uid);
	send_to_admins(t, &m->key.gid, &frame);
}

static void on_joined(struct tracker *t, const struct mem_row *m)
{
	struct buf frame = { 0 };
	mark_shares(t, &m->key.uid);
	if (group_member_count(t->reg, &m->key.gid) < 2) /* he has just made it */
		return;
	member_frame(t, &frame, EVENT_MEMBER_JOINED, &m->key.gid, &m->key.uid);
	send_to_members(t, &m->key.gid, &m->key.uid, &frame);
}

static void on_left(struct change_ctx *ctx, const struct mem_row *m)
{
	struct tracker *t = ctx->t;
	const struct group_row *group = registry_group(t->reg, &m->key.gid);
	struct buf frame = { 0 };
	mark_shares(t, &m->key.uid);
	if (group != NULL && group->deleted && !id16_eq(&ctx->deleted, &m->key.gid)) /* he was told then */
		return;
	if (group_is_member(t->reg, &m->key.gid, &m->key.uid)) /* by another instance */
		return;
	tell_revoked(t, &m->key.gid, &m->key.uid);
	member_frame(t, &frame, EVENT_MEMBER_LEFT, &m->key.gid, &m->key.uid);
	send_to_members(t, &m->key.gid, &m->key.uid, &frame);
}

static void on_request_closed(struct tracker *t, const struct mem_row *was, const struct mem_row *is)
{
	char group[NAME_SHOWN_MAX], text[NOTICE_TEXT_MAX];
	if (is == NULL || is->close.reason != CLOSE_REJECTED)
		return;
	snprintf(text, sizeof(text), "the request to join '%s' was refused%s%.*s",
	         group_shown(t->reg, &was->key.gid, group), is->close.text.len != 0 ? ": " : "",
	         (int)is->close.text.len, (const char *)is->close.text.data);
	event_note(t, &was->key.uid, "rejected", text);
}

static void on_mem(struct change_ctx *ctx, const struct row *before, const struct row *after)
{
	struct tracker *t = ctx->t;
	struct mem_row was = { .phase = 0 }, is = { .phase = MEM_CLOSED };
	if (before != NULL)
		mem_row_read(before, &was);
	if (after != NULL)
		mem_row_read(after, &is);
	else
		is.key = was.key;
	if (is.phase == MEM_ASKED && before == NULL)
		on_request(t, &is);
	else if (is.phase == MEM_MEMBER && was.phase < MEM_MEMBER)
		on_joined(t, &is);
	else if (is.phase == MEM_CLOSED && was.phase == MEM_MEMBER)
		on_left(ctx, &was);
	else if (is.phase == MEM_CLOSED && was.phase == MEM_ASKED)
		on_request_closed(t, &was, after != NULL ? &is : NULL);
}

static void tell_deleted(struct tracker *t, const struct mem_row *m)
{
	struct buf revoke = { 0 }, left = { 0 };
	mark_shares(t, &m->key.uid);
	EVENT_FRAME(revoke, REVOKE, revoke, .gid = m->key.gid, .uid = m->key.uid);
	event_send(t, &m->key.uid, &revoke);
	member_frame(t, &left, EVENT_MEMBER_LEFT, &m->key.gid, &m->key.uid);
	event_send(t, &m->key.uid, &left);
}

/* A group that was deleted: each of its members is told about himself. */
static void on_group(struct change_ctx *ctx, const struct row *before, const struct row *after)
{
	struct tracker *t = ctx->t;
	struct group_row was = { 0 }, is = { 0 };
	const struct mem_row *m;

	if (after == NULL)
		return;
	group_row_read(after, &is);
	if (before != NULL)
		group_row_read(before, &was);
	if (!is.deleted || was.deleted)
		return;
	ctx->deleted = is.gid;
	struct registry_iter it = registry_by(t->reg, INDEX_GROUP_MEMS, &is.gid, sizeof(is.gid), NULL, 0);
	while ((m = registry_next(&it)) != NULL)
		if (m->phase == MEM_MEMBER)
			tell_deleted(t, m);
}

/* -- files */
static void mark_one(void *arg, const struct online *o)
{
	struct client *c = client_find(arg, o->conn);
	if (c != NULL)
		c->shares_dirty = true;
}

static void mark_shares(struct tracker *t, const struct id16 *uid)
{
	presence_each_of(t->presence, uid, mark_one, t);
}

static void tell_file(struct tracker *t, enum cmd_event kind, const struct share_key *k)
{
	char group[NAME_SHOWN_MAX], file[NAME_SHOWN_MAX], user[NAME_SHOWN_MAX];
	struct buf frame = { 0 };
	struct ev_file_added ev = { .gid = k->gid, .fid = k->fid,
		                    .group = slice_str(group_shown(t->reg, &k->gid, group)),
		                    .file = slice_str(file_shown(t->reg, &k->gid, &k->fid, file)),
		                    .user = slice_str(user_shown(t->reg, &k->uid, user)) };
	size_t start = event_begin(&frame, kind);
	ev_file_added_put(&frame, &ev);
	if (frame_end(&frame, start) != SHOAL_OK)
		frame.failed = true;
	send_to_members(t, &k->gid, NULL, &frame);
}

/* The only one who shares it, as far as rows go: the file has just come. */
static bool is_first_seeder(struct tracker *t, const struct share_row *s)
{
	struct seeder *seeders;
	size_t n = 0;
	if (file_seeders(t->reg, &s->key.gid, &s->key.fid, NULL, &seeders, &n) != SHOAL_OK)
		return false;
	bool first = n == 1 && id16_eq(&seeders[0].uid, &s->key.uid);
	free(seeders);
	return first;
}

static void on_share(struct change_ctx *ctx, const struct row *before, const struct row *after)
{
	struct tracker *t = ctx->t;
	struct share_row was = { .phase = 0 }, is = { .phase = PHASE_CLOSED };
	if (before != NULL)
		share_row_read(before, &was);
	if (after != NULL)
		share_row_read(after, &is);
	else
		is.key = was.key;
	mark_shares(t, &is.key.uid);
	if (is.phase == PHASE_OPEN && before == NULL && is_first_seeder(t, &is))
		tell_file(t, EVENT_FILE_ADDED, &is.key);
	if (is.phase != PHASE_CLOSED || was.phase != PHASE_OPEN ||
	    file_has_seeder(t->reg, &is.key.gid, &is.key.fid) ||
	    (id16_eq(&ctx->last_gid, &is.key.gid) && id16_eq(&ctx->last_fid, &is.key.fid)))
		return;
	ctx->last_gid = is.key.gid;
	ctx->last_fid = is.key.fid;
	tell_file(t, EVENT_FILE_REMOVED, &is.key);
}

/* -- sessions, notices */
static const char *reason_word(const struct sess_row *s)
{
	switch (s->close.reason) {
	case CLOSE_SUPERSEDED: return "superseded";
	case CLOSE_PASSWORD: return "password";
	default: return "ended";
	}
}

static void on_sess(struct tracker *t, const struct row *before, const struct row *after)
{
	struct sess_row was = { .phase = 0 }, is = { .phase = PHASE_CLOSED };
	if (before != NULL)
		sess_row_read(before, &was);
	if (after != NULL)
		sess_row_read(after, &is);
	else
		is.key = was.key;
	if (is.phase != PHASE_CLOSED || (before != NULL && was.phase != PHASE_OPEN))
		return;
	const struct online *o = presence_by_dot(t->presence, is.key.dot);
	if (o != NULL && (t->acting == 0 || o->conn != t->acting)) /* who acts knows, and is answered */
		end_session(t, &is.key.uid, is.key.dot, reason_word(&is));
}

static void on_notice(struct tracker *t, const struct row *before, const struct row *after)
{
	struct notice_row n;
	char kind[40], text[NOTICE_TEXT_MAX];
	if (before != NULL || after == NULL)
		return;
	notice_row_read(after, &n);
	if (!n.seen && slice_to_str(n.kind, kind, sizeof(kind)))
		event_note(t, &n.whom, kind, notice_text(&n, text));
}

/* What he shares counts now, or no longer: his own client compares, the others are told what has come or gone. */
static void on_role(struct tracker *t, const struct row *before, const struct row *after)
{
	struct role_row was = { .role = ROLE_MEMBER }, is;
	char group[NAME_SHOWN_MAX], text[NOTICE_TEXT_MAX];
	const struct share_row *s;

	if (after == NULL)
		return;
	role_row_read(after, &is);
	if (before != NULL)
		role_row_read(before, &was);
	if ((was.role == ROLE_READER) == (is.role == ROLE_READER))
		return;
	mark_shares(t, &is.uid);
	group_shown(t->reg, &is.gid, group);
	if (is.role == ROLE_READER)
		snprintf(text, sizeof(text), "you are a reader of '%s' now: you may download there, and share nothing", group);
	else
		snprintf(text, sizeof(text), "you are no longer only a reader of '%s': you may share there", group);
	event_note(t, &is.uid, "role", text);
	struct registry_iter it = registry_by(t->reg, INDEX_MEMBER_SHARES, is.gid.b, 16, is.uid.b, 16);
	while ((s = registry_next(&it)) != NULL) {
		if (s->phase == PHASE_OPEN && is_first_seeder(t, s))
			tell_file(t, EVENT_FILE_ADDED, &s->key);
		else if (s->phase == PHASE_OPEN && !file_has_seeder(t->reg, &s->key.gid, &s->key.fid))
			tell_file(t, EVENT_FILE_REMOVED, &s->key);
	}
}

/* Sessions that were opened with a password that is not the current one any more. */
static void on_user(struct tracker *t, const struct row *before, const struct row *after)
{
	struct user_row was, is;
	struct client *c, *next;

	if (before == NULL || after == NULL)
		return;
	user_row_read(before, &was);
	user_row_read(after, &is);
	if (stamp_cmp(&was.password_at, &is.password_at) == 0)
		return;
	HASH_ITER(hh, t->clients, c, next)
		if (c->logged_in && id16_eq(&c->uid, &is.uid) && c->conn != t->acting &&
		    user_session_state(t->reg, &c->uid, c->dot) == SESSION_ENDED)
			end_session(t, &c->uid, c->dot, "password");
}

static void on_row(void *arg, const struct row *before, const struct row *after)
{
	struct change_ctx *ctx = arg;
	switch (after != NULL ? after->table : before->table) {
	case TABLE_MEM: on_mem(ctx, before, after); break;
	case TABLE_GROUP: on_group(ctx, before, after); break;
	case TABLE_SHARE: on_share(ctx, before, after); break;
	case TABLE_SESS: on_sess(ctx->t, before, after); break;
	case TABLE_NOTICE: on_notice(ctx->t, before, after); break;
	case TABLE_USER: on_user(ctx->t, before, after); break;
	case TABLE_ROLE: on_role(ctx->t, before, after); break;
	default: break;
	}
}

void events_on_applied(struct tracker *t, const struct undo *what)
{
	struct change_ctx ctx = { .t = t };
	if (t->clients == NULL) /* nobody to tell: a fresh tracker merges millions of rows */
		return;
	undo_each(what, on_row, &ctx);
}
