/* client/serve_channel.c - channels: one file on one connection. */
#include <stdlib.h>
#include <string.h>

#include "client/transfer_impl.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

enum { FRAMES_STRAY_MOST = 65536 };

struct channel *channel_find(struct peer *p, uint32_t number)
{
	struct channel *ch;

	TAILQ_FOREACH(ch, &p->channels, in_peer)
		if (ch->number == number)
			return ch;
	return NULL;
}

static struct channel *on_file(struct peer *p, const struct file *f)
{
	struct channel *ch;

	TAILQ_FOREACH(ch, &p->channels, in_peer)
		if (ch->file == f)
			return ch;
	return NULL;
}

/* -- making and ending */

static struct channel *channel_new(struct peer *p, struct file *f, uint32_t number, bool ours)
{
	struct channel *ch = try_alloc(sizeof(*ch));

	if (ch == NULL)
		return NULL;
	ch->t = p->t;
	ch->peer = p;
	ch->file = f;
	ch->number = number;
	ch->ours = ours;
	TAILQ_INSERT_TAIL(&p->channels, ch, in_peer);
	TAILQ_INSERT_TAIL(&f->channels, ch, in_file);
	f->nchannels++;
	p->idle_since_ms = 0;
	return ch;
}

static void channel_free(struct channel *ch)
{
	TAILQ_REMOVE(&ch->t->closed, ch, in_peer);
	free(ch);
}

void channel_out_done(struct channel *ch)
{
	ch->out--;
	if (ch->out == 0 && ch->peer == NULL)
		channel_free(ch);
}

static void put_close(struct peer *p, uint32_t number, enum shoal_err code)
{
	struct peer_close m = { .ch = number, .code = (uint16_t)code };
	struct buf b = { 0 };
	size_t start = peer_begin(&b, PEER_CLOSE);

	peer_close_put(&b, &m);
	peer_end(&b, start, 0);
	peer_send(p, &b);
}

/* It stays in `closed` as long as threads hold something that points to it. */
void channel_close(struct channel *ch, unsigned flags, enum shoal_err code)
{
	struct peer *p = ch->peer;
	struct file *f = ch->file;
	struct transfers *t = p->t;

	if ((flags & CHANNEL_TELL) != 0)
		put_close(p, ch->number, code);
	if (p->conn != NULL && p->state == PEER_STATE_READY)
		peer_conn_forget(p->conn, ch->number);
	TAILQ_REMOVE(&p->channels, ch, in_peer);
	TAILQ_REMOVE(&f->channels, ch, in_file);
	f->nchannels--;
	if (TAILQ_EMPTY(&p->channels))
		p->idle_since_ms = clock_mono_ms();
	download_channel_gone(ch, code);
	if (ch->upload != NULL)
		upload_channel_remove(t->upload, ch->upload, clock_mono_us());
	ch->upload = NULL;
	ch->peer = NULL;
	ch->file = NULL;
	TAILQ_INSERT_TAIL(&t->closed, ch, in_peer);
	if (ch->out == 0)
		channel_free(ch);
	file_release(f);
	serve_pump(t);
}

/* -- saying */

static void put_opened(struct channel *ch, struct slice ticket)
{
	struct peer_opened m = { .ch = ch->number, .ticket = ticket };
	struct buf b = { 0 };
	size_t start = peer_begin(&b, PEER_OPENED);

	peer_opened_put(&b, &m);
	peer_end(&b, start, 0);
	peer_send(ch->peer, &b);
}

static void put_range(struct channel *ch, uint32_t first, const uint8_t *bits, size_t len)
{
	struct peer_bitfield m = { .ch = ch->number, .first = first, .bits = { bits, len } };
	struct buf b = { 0 };
	size_t start = peer_begin(&b, PEER_BITFIELD);

	peer_bitfield_put(&b, &m);
	peer_end(&b, start, 0);
	peer_send(ch->peer, &b);
}

/* What we have: nothing is said if that is nothing, or if we may not give it. */
static void send_bitfield(struct channel *ch)
{
	const struct file *f = ch->file;
	const struct bitfield *have = f->download != NULL ? download_have(f->download) : NULL;
	struct bitfield *all = NULL;
	const uint8_t *bits;
	size_t len;

	if (tickets_reader(ch->t, &f->gid))
		return;
	if (f->complete && (all = bitfield_new(f->npieces)) != NULL) {
		bitfield_fill(all);
		have = all;
	}
	if (have != NULL && bitfield_count(have) > 0)
		for (uint32_t first = 0; (len = bitfield_to_wire(have, first, &bits)) > 0; first += 8 * (uint32_t)len)
			put_range(ch, first, bits, len);
	bitfield_free(all);
}

void channel_send_have(struct channel *ch, uint32_t piece)
{
	struct peer_have m = { .ch = ch->number, .piece = piece };
	struct buf b = { 0 };

	if (!ch->opened || tickets_reader(ch->t, &ch->file->gid))
		return;
	size_t start = peer_begin(&b, PEER_HAVE);
	peer_have_put(&b, &m);
	peer_end(&b, start, 0);
	peer_send(ch->peer, &b);
}

void channel_send_ticket(struct channel *ch, struct slice ticket)
{
	struct peer_ticket m = { .ch = ch->number, .ticket = ticket };
	struct buf b = { 0 };

	size_t start = peer_begin(&b, PEER_TICKET);
	peer_ticket_put(&b, &m);
	peer_end(&b, start, 0);
	peer_send(ch->peer, &b);
}

struct channel *channel_open(struct peer *p, struct file *f)
{
	struct slice ticket = tickets_get(p->t, &f->gid);
	struct channel *ch = on_file(p, f);
	struct buf b = { 0 };

	if (ch != NULL)
		return ch;
	if (ticket.len == 0 || p->state != PEER_STATE_READY)
		return NULL;
	ch = channel_new(p, f, p->next_channel, true);
	if (ch == NULL)
		return NULL;
	p->next_channel += 2;
	struct peer_open m = { .ch = ch->number, .fid = f->fid, .ticket = ticket };
	size_t start = peer_begin(&b, PEER_OPEN);
	peer_open_put(&b, &m);
	peer_end(&b, start, 0);
	peer_send(p, &b);
	return ch;
}

/* -- hearing */

/* Both policies begin when the channel is open on both sides. */
static void begin(struct channel *ch)
{
	struct transfers *t = ch->peer->t;
	struct file *f = ch->file;

	ch->opened = true;
	ch->peer->unopened = false;
	if (f->upload == NULL && !file_make_upload(f))
		return;
	struct peer *p = ch->peer;
	if (p->upload == NULL)
		p->upload = upload_conn_add(t->upload);
	if (p->upload != NULL)
		ch->upload = upload_channel_add(t->upload, f->upload, p->upload, ch);
	send_bitfield(ch);
	if (f->download != NULL)
		download_channel_open(ch);
}

/* May that OPEN stand? A channel of ours for the same file may be in its way. */
static bool may_open(struct peer *p, struct file *f, uint32_t number)
{
	struct channel *old = on_file(p, f);

	if (number % 2 != (p->dialled ? 1u : 0u) || channel_find(p, number) != NULL) {
		peer_close(p, "a channel number that is not its own");
		return false;
	}
	if (old == NULL)
		return true;
	if (old->ours && !old->opened && id32_cmp(&p->t->config.identity->id, &p->identity) < 0)
		return false; /* they cross, and ours stands: the other side drops its own without a word */
	channel_close(old, old->opened ? CHANNEL_TELL : 0, SHOAL_OK);
	return true;
}

static void on_open(struct peer *p, const struct peer_open *m)
{
	struct transfers *t = p->t;
	struct file *f = file_find(t, &m->fid);
	struct channel *ch;

	if (f == NULL || !t->logged_in) {
		put_close(p, m->ch, SHOAL_ENOTFOUND);
		return;
	}
	if (!may_open(p, f, m->ch))
		return;
	f = file_find(t, &m->fid); /* closing the old one may have been the end of it */
	if (f == NULL || f->nchannels >= PEERS_ACCEPTED || f->npieces == 0) {
		put_close(p, m->ch, f == NULL ? SHOAL_ENOTFOUND : SHOAL_EBUSY);
		return;
	}
	ch = channel_new(p, f, m->ch, false);
	if (ch == NULL) {
		put_close(p, m->ch, SHOAL_EBUSY);
		return;
	}
	enum shoal_err rc = ticket_accept(t, m->ticket, p, &f->gid, ch);
	if (rc != SHOAL_OK) {
		channel_close(ch, CHANNEL_TELL, rc);
		return;
	}
	put_opened(ch, f->download != NULL ? tickets_get(t, &f->gid) : slice_of(NULL, 0));
	begin(ch);
}

static void on_opened(struct channel *ch, const struct peer_opened *m)
{
	if (!ch->ours || ch->opened) {
		peer_close(ch->peer, "an OPENED that answers nothing");
		return;
	}
	if (m->ticket.len > 0)
		ticket_accept(ch->peer->t, m->ticket, ch->peer, &ch->file->gid, ch);
	begin(ch);
}

static void on_ticket(struct channel *ch, const struct peer_ticket *m)
{
	if (ticket_accept(ch->peer->t, m->ticket, ch->peer, &ch->file->gid, ch) != SHOAL_OK)
		log_line(ch->peer->t->log, LOG_DEBUG, "peer", "a ticket that is not good");
}

static uint32_t count_bits(struct slice bits)
{
	uint32_t n = 0;

	for (size_t i = 0; i < bits.len; i++)
		n += (uint32_t)__builtin_popcount(bits.data[i]);
	return n;
}

static void on_bitfield(struct channel *ch, const struct peer_bitfield *m)
{
	if (ch->upload != NULL)
		upload_on_bitfield(ch->upload, count_bits(m->bits));
	if (ch->source != NULL)
		download_on_bitfield(ch, m);
}

static void on_have(struct channel *ch, const struct peer_have *m)
{
	if (m->piece >= ch->file->npieces) {
		peer_close(ch->peer, "a piece that does not exist");
		return;
	}
	if (ch->upload != NULL)
		upload_on_have(ch->peer->t->upload, ch->upload, m->piece);
	if (ch->source != NULL)
		download_on_have(ch, m->piece);
}

/* A message for a channel that is open here. */
static void on_channel(struct channel *ch, enum peer_type type, struct cursor *c)
{
	struct peer_opened opened;
	struct peer_have have;
	struct peer_bitfield bitfield;
	struct peer_request request;
	struct peer_cancel cancel;
	struct peer_reject reject;
	struct peer_ticket ticket;
	struct peer_close closed;

	if (!ch->opened && type != PEER_OPENED && type != PEER_CLOSE) {
		peer_close(ch->peer, "a channel is used before it is open");
		return;
	}
	switch (type) {
	case PEER_OPENED:
		peer_opened_get(c, &opened);
		on_opened(ch, &opened);
		break;
	case PEER_HAVE:
		peer_have_get(c, &have);
		on_have(ch, &have);
		break;
	case PEER_BITFIELD:
		peer_bitfield_get(c, &bitfield);
		on_bitfield(ch, &bitfield);
		break;
	case PEER_REQUEST:
		peer_request_get(c, &request);
		serve_request(ch, &request);
		break;
	case PEER_CANCEL:
		peer_cancel_get(c, &cancel);
		serve_cancel(ch, cancel.piece);
		break;
	case PEER_REJECT:
		peer_reject_get(c, &reject);
		download_on_reject(ch, &reject);
		break;
	case PEER_TICKET:
		peer_ticket_get(c, &ticket);
		on_ticket(ch, &ticket);
		break;
	case PEER_CLOSE:
		peer_close_get(c, &closed);
		channel_close(ch, 0, error_from_wire(closed.code));
		break;
	default: peer_close(ch->peer, "a message out of place"); break;
	}
}

void channel_on_frame(struct peer *p, enum peer_type type, struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct peer_open open;

	if (type == PEER_OPEN) {
		peer_open_get(&c, &open);
		on_open(p, &open);
		return;
	}
	uint32_t number = cursor_left(&c) >= 4 ? get_u32(&(struct cursor){ c.p, c.end, false }) : 0;
	struct channel *ch = channel_find(p, number);
	if (ch != NULL)
		on_channel(ch, type, &c);
	else if (++p->strays > FRAMES_STRAY_MOST) /* some cross with a CLOSE; not that many */
		peer_close(p, "messages for channels that do not exist");
}

void channels_check_tickets(struct transfers *t)
{
	uint64_t now = tracker_wall_ms(t);
	struct peer *p;
	struct channel *ch, *next;

	TAILQ_FOREACH(p, &t->peers, entry)
		for (ch = TAILQ_FIRST(&p->channels); ch != NULL; ch = next) {
			next = TAILQ_NEXT(ch, in_peer);
			if (!ch->may_ask || now <= ch->until_ms)
				continue;
			ch->ending = true;
			if (ch->serving == 0)
				channel_close(ch, CHANNEL_TELL, SHOAL_EDENIED);
		}
}
