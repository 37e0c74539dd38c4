/* client/download_peers.c - whom to connect to; what the tracker is asked and told. */
#include <stdlib.h>
#include <string.h>

#include "client/download.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/name.h"

enum {
	ANNOUNCE_MS = 45000,     /* presence is a lease of 60 s */
	FEW_MS = 10000,          /* fewer than PEERS_FEW: ask more often */
	ASK_LEAST_MS = 1000,     /* nobody there: 1 s doubling to 5 s */
	ASK_MOST_MS = 5000,
	UNREACHABLE_MS = 30000,  /* the tracker hears of one peer only so often */
	DIALLING_MOST = 32,
};

/* -- sources */

static struct source *find_source(struct download *dl, const struct id32 *identity)
{
	struct source *src;

	TAILQ_FOREACH(src, &dl->sources, entry)
		if (id32_eq(&src->identity, identity))
			return src;
	return NULL;
}

/* Makes room by forgetting one that did not answer. */
static bool make_room(struct download *dl)
{
	struct source *src, *worst = NULL;

	if (dl->nsources < PEERS_KNOWN)
		return true;
	TAILQ_FOREACH(src, &dl->sources, entry)
		if (src->channel == NULL && !src->trying && (worst == NULL || src->fails > worst->fails))
			worst = src;
	if (worst == NULL || worst->fails == 0)
		return false;
	TAILQ_REMOVE(&dl->sources, worst, entry);
	dl->nsources--;
	free(worst);
	return true;
}

static struct source *know(struct download *dl, const struct id32 *identity, const struct address *addr)
{
	struct source *src = find_source(dl, identity);

	if (id32_eq(identity, &dl->job.t->config.identity->id))
		return NULL;
	if (src == NULL) {
		src = make_room(dl) ? try_alloc(sizeof(*src)) : NULL;
		if (src == NULL)
			return NULL;
		src->identity = *identity;
		dl->nsources++;
		/* in no order: peers that all were told the same list should not all begin with the same one */
		if (random_u64() % 2 == 0)
			TAILQ_INSERT_HEAD(&dl->sources, src, entry);
		else
			TAILQ_INSERT_TAIL(&dl->sources, src, entry);
	}
	if (addr->port != src->addr.port || strcmp(addr->host, src->addr.host) != 0)
		src->retry_at_ms = 0; /* it has moved */
	src->addr = *addr;
	return src;
}

struct source *download_source_of(struct download *dl, const struct channel *ch)
{
	return ch->peer == NULL ? NULL : find_source(dl, &ch->peer->identity);
}

void download_attach(struct download *dl, struct channel *ch)
{
	struct source *src = find_source(dl, &ch->peer->identity);

	if (src == NULL)
		src = know(dl, &ch->peer->identity, &ch->peer->addr);
	if (src == NULL)
		return;
	src->channel = ch;
	src->trying = false;
	src->last = NULL;
	if (ch->may_ask)
		memcpy(src->user, ch->user, sizeof(src->user));
}

void download_free_sources(struct download *dl)
{
	struct source *src;

	while ((src = TAILQ_FIRST(&dl->sources)) != NULL) {
		TAILQ_REMOVE(&dl->sources, src, entry);
		free(src);
	}
	dl->nsources = 0;
}

void downloads_know(struct transfers *t, const struct id16 *fid, const struct id32 *identity, const struct address *addr)
{
	struct file *f = file_find(t, fid);

	if (f != NULL && f->download != NULL)
		know(f->download, identity, addr);
}

/* -- connecting */

static void open_channel(struct download *dl, struct source *src, struct peer *p)
{
	struct channel *ch;

	if (p->state != PEER_STATE_READY || dl->file == NULL)
		return;
	ch = channel_open(p, dl->file);
	if (ch == NULL) { /* no ticket just now */
		src->retry_at_ms = clock_mono_ms() + RETRY_LEAST_MS;
		src->trying = false;
		return;
	}
	if (ch->opened) /* the other side was quicker */
		download_channel_open(ch);
}

static void try_source(struct download *dl, struct source *src)
{
	struct transfers *t = dl->job.t;
	struct peer *p = peer_find(t, &src->identity);

	if (p == NULL && t->ndialling >= DIALLING_MOST)
		return;
	src->trying = true;
	if (p == NULL)
		p = peer_dial(t, &src->identity, &src->addr, transfers_plain(t) && !src->no_plain);
	if (p == NULL) {
		src->trying = false;
		src->retry_at_ms = clock_mono_ms() + RETRY_LEAST_MS;
		return;
	}
	open_channel(dl, src, p);
}

void download_connect(struct download *dl, uint64_t now_ms)
{
	struct source *src;
	unsigned busy = 0;

	if (dl->paused || dl->phase != PHASE_RUN || dl->file == NULL || !dl->job.t->logged_in)
		return;
	TAILQ_FOREACH(src, &dl->sources, entry)
		busy += src->channel != NULL || src->trying;
	TAILQ_FOREACH(src, &dl->sources, entry) {
		if (busy >= PEERS_WANTED)
			return;
		if (src->channel != NULL || src->trying || now_ms < src->retry_at_ms)
			continue;
		if (swarm_banned(dl->swarm, &src->identity, now_ms * 1000, NULL) != SWARM_FINE)
			continue;
		try_source(dl, src);
		busy += src->trying;
	}
}

/* Every download that knows it opens a channel on it, whoever dialled. */
void download_peer_ready(struct transfers *t, struct peer *p)
{
	struct file *f, *next;

	for (f = TAILQ_FIRST(&t->files); f != NULL; f = next) {
		struct download *dl = f->download;
		next = TAILQ_NEXT(f, entry);
		struct source *src = dl == NULL || dl->phase != PHASE_RUN ? NULL : find_source(dl, &p->identity);
		if (src == NULL || src->channel != NULL || dl->paused)
			continue;
		src->trying = true;
		open_channel(dl, src, p);
	}
}

static void on_told(void *arg, const struct link_reply *reply)
{
	(void)arg, (void)reply; /* nothing depends on it */
}

static void tell_unreachable(struct download *dl, struct source *src, uint64_t now_ms)
{
	struct req_unreachable req = { .fid = dl->fid, .peer = src->identity };
	struct buf b = { 0 };

	if (src->unreachable_ms != 0 && now_ms < src->unreachable_ms + UNREACHABLE_MS)
		return;
	src->unreachable_ms = now_ms;
	req_unreachable_put(&b, &req);
	if (!b.failed)
		link_call(dl->job.t->config.link, VERB_UNREACHABLE, &b, 0, on_told, NULL);
	buf_free(&b);
}

const char *download_why_lost(enum shoal_err code, bool dialled)
{
	if (!dialled)
		return "it cannot be dialled, and has not dialled us, which the tracker asks it to do";
	return code == SHOAL_EOFFLINE || code == SHOAL_EIO ? "its connection has ended" : error_default(code);
}

/* A dialled connection did not come to be, or has ended. */
void download_peer_lost(struct transfers *t, struct peer *p, const struct error *why)
{
	uint64_t now = clock_mono_ms();
	struct file *f;

	if (peer_find(t, &p->identity) != NULL)
		return; /* there is another connection */
	TAILQ_FOREACH(f, &t->files, entry) {
		struct download *dl = f->download;
		struct source *src = dl == NULL ? NULL : find_source(dl, &p->identity);
		if (src == NULL || src->channel != NULL)
			continue;
		src->trying = false;
		src->last = download_why_lost(why->code, p->conn != NULL);
		if (p->plain && p->conn != NULL && !src->no_plain) {
			src->no_plain = true; /* it may not want links in the clear: TLS is tried next, at once */
			continue;
		}
		src->retry_at_ms = now + (RETRY_LEAST_MS << (src->fails < 5 ? src->fails : 5));
		src->fails++;
		if (p->conn == NULL && t->logged_in)
			tell_unreachable(dl, src, now);
	}
}

/* -- the tracker */

static void take_rows(struct download *dl, struct cursor *c)
{
	uint16_t n = get_u16(c);
	char text[ADDRESS_MAX];

	for (uint16_t i = 0; i < n && !c->bad; i++) {
		struct row_peer row;
		struct address addr;
		row_peer_get(c, &row);
		if (c->bad || !slice_to_str(row.address, text, sizeof(text)) ||
		    address_parse(text, false, &addr, NULL) != SHOAL_OK)
			continue;
		struct source *src = know(dl, &row.identity, &addr);
		if (src == NULL)
			continue;
		src->complete = row.complete != 0;
		text_escape(row.user.data, row.user.len, src->user, sizeof(src->user));
	}
}

/* When to ask again: soon while nobody is there. */
static void plan_next(struct download *dl)
{
	uint64_t pause = ANNOUNCE_MS;

	if (dl->nchannels == 0) {
		dl->ask_pause_ms = dl->ask_pause_ms == 0 ? ASK_LEAST_MS : dl->ask_pause_ms * 2;
		if (dl->ask_pause_ms > ASK_MOST_MS)
			dl->ask_pause_ms = ASK_MOST_MS;
		pause = dl->ask_pause_ms;
	} else {
		dl->ask_pause_ms = 0;
		if (dl->nchannels < PEERS_FEW)
			pause = FEW_MS;
	}
	dl->ask_at_ms = clock_mono_ms() + pause;
}

static void on_meta(void *arg, struct metainfo *meta, const struct error *e)
{
	struct download *dl = arg;

	dl->fetch = NULL;
	dl->meta = meta;
	if (meta == NULL)
		download_fail(dl, e);
	else
		download_open(dl);
}

/* The head of the first answer: what the file is. */
static void take_head(struct download *dl, const struct rep_find *rep)
{
	struct job_info *info = &dl->job.info;
	struct error e = { 0 };

	dl->name = try_strndup((const char *)rep->name.data, rep->name.len);
	enum shoal_err rc = name_check_lookup(NAME_FILE, rep->name.data, rep->name.len, &e);
	if (rc == SHOAL_OK && dl->name == NULL)
		rc = error_set(&e, SHOAL_EBUSY, "out of memory");
	if (rc != SHOAL_OK) {
		download_fail(dl, &e);
		return;
	}
	dl->found = true;
	dl->gid = rep->gid;
	dl->fid = rep->fid;
	dl->wanted = (struct meta_wanted){ .gid = rep->gid, .fid = rep->fid, .size = rep->size,
		.piece_size = rep->piece_size, .file_hash = rep->file_hash, .content = rep->content };
	info->total = rep->size;
	info->pieces_total = rep->size <= METAINFO_SIZE_MAX ? metainfo_pieces_of(rep->size) : 0;
	dl->phase = PHASE_META;
	dl->fetch = meta_fetch_start(dl->job.t, &dl->wanted, on_meta, dl, &e);
	if (dl->fetch == NULL)
		download_fail(dl, &e);
}

static void find_failed(struct download *dl, const struct link_reply *reply)
{
	struct error e = { 0 };
	bool again = dl->found || reply->code == SHOAL_ENOSEEDER || reply->code == SHOAL_EBUSY;

	error_set(&e, reply->code, "%s", reply->message);
	plan_next(dl);
	if (reply->code == SHOAL_ENOSEEDER)
		job_stall(&dl->job, reply->code, e.message);
	else if (again && (reply->code == SHOAL_EOFFLINE || reply->code == SHOAL_EAUTH))
		job_stall(&dl->job, SHOAL_EOFFLINE, e.message);
	else if (!again || (reply->code != SHOAL_EBUSY && reply->code != SHOAL_ETIMEOUT))
		download_fail(dl, &e);
}

static void on_find(void *arg, const struct link_reply *reply)
{
	struct download *dl = arg;
	struct rep_find rep;

	if (!reply->more)
		dl->find_call = 0;
	if (reply->code != SHOAL_OK) {
		find_failed(dl, reply);
		return;
	}
	struct cursor c = cursor_of(reply->fields.data, reply->fields.len);
	rep_find_get(&c, &rep);
	if (c.bad)
		return;
	if (dl->found && (!id16_eq(&rep.fid, &dl->fid) || !id32_eq(&rep.content, &dl->wanted.content))) {
		struct error e;
		error_set(&e, SHOAL_ECONFLICT, "another file has that name now");
		download_fail(dl, &e);
		return;
	}
	tickets_put(dl->job.t, &rep.gid, rep.ticket, rep.ticket_ms);
	take_rows(dl, &c);
	if (!reply->more)
		plan_next(dl);
	if (!dl->found && dl->phase == PHASE_FIND)
		take_head(dl, &rep);
	dl->swarm_due = true;
	if (dl->phase == PHASE_RUN)
		download_connect(dl, clock_mono_ms());
}

static void on_announce(void *arg, const struct link_reply *reply)
{
	struct download *dl = arg;
	struct rep_announce rep;

	if (!reply->more)
		dl->announce_call = 0;
	if (reply->code != SHOAL_OK) {
		dl->announced = false;
		plan_next(dl);
		return;
	}
	struct cursor c = cursor_of(reply->fields.data, reply->fields.len);
	rep_announce_get(&c, &rep);
	take_rows(dl, &c);
	if (!reply->more)
		plan_next(dl);
	download_connect(dl, clock_mono_ms());
}

void download_announce(struct download *dl, bool stopped)
{
	struct req_announce req = { .gid = dl->gid, .fid = dl->fid, .stopped = stopped };
	struct buf b = { 0 };
	uint64_t call = 0;

	req.pieces = dl->swarm != NULL ? bitfield_count(swarm_have(dl->swarm)) : 0;
	req_announce_put(&b, &req);
	if (!b.failed)
		call = link_call(dl->job.t->config.link, VERB_ANNOUNCE, &b, 0, stopped ? on_told : on_announce, dl);
	buf_free(&b);
	dl->announced = !stopped;
	if (!stopped)
		dl->announce_call = call;
}

/* FIND at first and when there is no good ticket; else ANNOUNCE, which brings peers, too. */
void download_ask_tracker(struct download *dl)
{
	struct req_file req = { .group = slice_str(dl->job.info.group), .file = slice_str(dl->job.info.file) };
	struct buf b = { 0 };

	dl->ask_at_ms = clock_mono_ms() + ANNOUNCE_MS;
	if (dl->phase == PHASE_RUN && dl->announce_call == 0)
		download_announce(dl, false);
	if (dl->find_call != 0 || (dl->found && dl->nchannels > 0 && tickets_get(dl->job.t, &dl->gid).len > 0))
		return;
	req_file_put(&b, &req);
	if (!b.failed)
		dl->find_call = link_call(dl->job.t->config.link, VERB_FIND, &b, 0, on_find, dl);
	buf_free(&b);
}

void download_drop_calls(struct download *dl)
{
	struct link *link = dl->job.t->config.link;

	if (dl->find_call != 0)
		link_cancel(link, dl->find_call);
	if (dl->announce_call != 0)
		link_cancel(link, dl->announce_call);
	if (dl->update_call != 0)
		link_cancel(link, dl->update_call);
	dl->find_call = dl->announce_call = dl->update_call = 0;
}
