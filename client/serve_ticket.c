/* client/serve_ticket.c - our tickets, and other people's. */
#include <stdlib.h>
#include <string.h>

#include "client/transfer_impl.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/name.h"

enum { RETRY_MS = 2000 };

uint64_t tracker_wall_ms(struct transfers *t)
{
	struct link_status s;

	link_status(t->config.link, &s);
	return (uint64_t)((int64_t)clock_wall_ms() + s.clock_offset_ms);
}

static struct group_ticket *find(struct transfers *t, const struct id16 *gid)
{
	struct group_ticket *gt;

	TAILQ_FOREACH(gt, &t->tickets, entry)
		if (id16_eq(&gt->gid, gid))
			return gt;
	return NULL;
}

static EVP_PKEY *ticket_key(struct transfers *t)
{
	struct link_status s;

	link_status(t->config.link, &s);
	if (t->ticket_key == NULL || !id32_eq(&t->ticket_key_raw, &s.ticket_key)) {
		EVP_PKEY_free(t->ticket_key);
		t->ticket_key_raw = s.ticket_key;
		t->ticket_key = id32_is_zero(&s.ticket_key) ? NULL : key_from_public(s.ticket_key.b);
	}
	return t->ticket_key;
}

/* ticket_open() for the same bytes and key as the last time costs no second look at the signature: a thousand files that
 * two devices exchange come with one ticket. What it says, and when, is the caller's to check each time. */
static bool open_sealed(struct transfers *t, struct proven_ticket *proven, struct slice sealed, struct ticket *out)
{
	EVP_PKEY *key = ticket_key(t);

	if (key == NULL)
		return false;
	if (proven->len != 0 && slice_eq(sealed, slice_of(proven->bytes, proven->len)) &&
	    id32_eq(&proven->key, &t->ticket_key_raw)) {
		struct cursor c = cursor_of(sealed.data, sealed.len - SIGNATURE_SIZE);
		ticket_get(&c, out);
		return cursor_end(&c) == SHOAL_OK;
	}
	if (ticket_open(sealed, key, out) != SHOAL_OK)
		return false;
	memcpy(proven->bytes, sealed.data, sealed.len); /* no longer than TICKET_MAX, or it would not be open */
	proven->len = sealed.len;
	proven->key = t->ticket_key_raw;
	return true;
}

void tickets_put(struct transfers *t, const struct id16 *gid, struct slice ticket, uint32_t life_ms)
{
	struct group_ticket *gt = find(t, gid);

	if (ticket.len == 0 || ticket.len > TICKET_MAX)
		return;
	if (gt == NULL) {
		gt = try_alloc(sizeof(*gt));
		if (gt == NULL)
			return;
		gt->t = t;
		gt->gid = *gid;
		TAILQ_INSERT_TAIL(&t->tickets, gt, entry);
	}
	struct ticket ours;
	gt->reader = open_sealed(t, &gt->proven, ticket, &ours) && (ours.flags & TICKET_READER) != 0;
	memcpy(gt->bytes, ticket.data, ticket.len);
	gt->len = ticket.len;
	gt->got_ms = clock_mono_ms();
	gt->life_ms = life_ms;
}

bool tickets_reader(struct transfers *t, const struct id16 *gid)
{
	const struct group_ticket *gt = find(t, gid);
	return gt != NULL && gt->reader;
}

struct slice tickets_get(struct transfers *t, const struct id16 *gid)
{
	struct group_ticket *gt = find(t, gid);

	if (gt == NULL || gt->len == 0 || clock_mono_ms() > gt->got_ms + gt->life_ms)
		return slice_of(NULL, 0);
	return slice_of(gt->bytes, gt->len);
}

/* -- renewing */

static void send_everywhere(struct transfers *t, const struct group_ticket *gt)
{
	struct file *f;
	struct channel *ch;

	TAILQ_FOREACH(f, &t->files, entry)
		if (f->download != NULL && id16_eq(&f->gid, &gt->gid))
			TAILQ_FOREACH(ch, &f->channels, in_file)
				channel_send_ticket(ch, slice_of(gt->bytes, gt->len));
}

static void on_ticket(void *arg, const struct link_reply *reply)
{
	struct group_ticket *gt = arg;
	struct rep_ticket rep;

	gt->call = 0;
	if (reply->code != SHOAL_OK) {
		gt->retry_at_ms = clock_mono_ms() + RETRY_MS;
		return;
	}
	struct cursor c = cursor_of(reply->fields.data, reply->fields.len);
	rep_ticket_get(&c, &rep);
	if (c.bad)
		return;
	tickets_put(gt->t, &gt->gid, rep.ticket, rep.ticket_ms);
	send_everywhere(gt->t, gt);
}

static bool needed(struct transfers *t, const struct group_ticket *gt)
{
	struct file *f;

	TAILQ_FOREACH(f, &t->files, entry)
		if (f->download != NULL && id16_eq(&f->gid, &gt->gid) && download_wants_peers(f->download))
			return true;
	return false;
}

void tickets_tick(struct transfers *t, uint64_t now_ms)
{
	struct group_ticket *gt;

	TAILQ_FOREACH(gt, &t->tickets, entry) {
		bool due = gt->len == 0 || now_ms > gt->got_ms + gt->life_ms / 3 * 2;
		if (!t->logged_in || !due || gt->call != 0 || now_ms < gt->retry_at_ms || !needed(t, gt))
			continue;
		struct req_gid req = { .gid = gt->gid };
		struct buf b = { 0 };
		req_gid_put(&b, &req);
		gt->call = b.failed ? 0 : link_call(t->config.link, VERB_TICKET, &b, 0, on_ticket, gt);
		buf_free(&b);
	}
}

void tickets_drop_all(struct transfers *t)
{
	struct group_ticket *gt;

	while ((gt = TAILQ_FIRST(&t->tickets)) != NULL) {
		if (gt->call != 0)
			link_cancel(t->config.link, gt->call);
		TAILQ_REMOVE(&t->tickets, gt, entry);
		free(gt);
	}
}

/* -- theirs */

/* A ticket outlives a removal by its rest of life; who was told of it does not wait so long. The newest news decides: a
 * member who was taken in again may have got his ticket in the same moment, as far as clocks can tell. */
static bool was_revoked(const struct transfers *t, const struct ticket *ticket)
{
	for (unsigned i = 1; i <= t->nrevoked; i++) {
		const struct revoked *r = &t->revoked[(t->next_revoked + REVOKED_KEPT - i) % REVOKED_KEPT];
		if (!id16_eq(&r->gid, &ticket->gid))
			continue;
		if (r->joined && slice_eq(slice_str(r->user), ticket->user))
			return false;
		if (!r->joined && id16_eq(&r->uid, &ticket->uid) && ticket->not_before_ms <= r->at_ms)
			return true;
	}
	return false;
}

static void keep_news(struct transfers *t, const struct revoked *news)
{
	if (t->revoked == NULL)
		t->revoked = try_alloc(REVOKED_KEPT * sizeof(*t->revoked));
	if (t->revoked == NULL)
		return; /* the tickets end by themselves */
	t->revoked[t->next_revoked] = *news;
	t->next_revoked = (t->next_revoked + 1) % REVOKED_KEPT;
	if (t->nrevoked < REVOKED_KEPT)
		t->nrevoked++;
}

void tickets_revoke(struct transfers *t, const struct id16 *gid, const struct id16 *uid)
{
	keep_news(t, &(struct revoked){ .gid = *gid, .uid = *uid, .at_ms = tracker_wall_ms(t) });
}

void tickets_readmit(struct transfers *t, const struct id16 *gid, struct slice user)
{
	struct revoked news = { .gid = *gid, .joined = true };

	if (t->nrevoked != 0 && slice_to_str(user, news.user, sizeof(news.user)))
		keep_news(t, &news);
}

enum shoal_err ticket_accept(struct transfers *t, struct slice sealed, struct peer *p, const struct id16 *gid,
                             struct channel *ch)
{
	struct ticket ticket;

	if (!open_sealed(t, &p->proven, sealed, &ticket))
		return SHOAL_EDENIED;
	if (!id16_eq(&ticket.gid, gid) || !ticket_valid(&ticket, &p->identity, tracker_wall_ms(t)))
		return SHOAL_EDENIED;
	if (was_revoked(t, &ticket))
		return SHOAL_EDENIED;
	if (p->plain && (ticket.flags & TICKET_PLAINTEXT) == 0)
		return SHOAL_EDENIED;
	ch->may_ask = !tickets_reader(t, gid);
	ch->ending = false;
	ch->uid = ticket.uid;
	ch->until_ms = ticket.not_after_ms + TICKET_GRACE_MS;
	text_escape(ticket.user.data, ticket.user.len, ch->user, sizeof(ch->user));
	return SHOAL_OK;
}
