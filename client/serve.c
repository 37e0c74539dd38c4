/* client/serve.c - the files that are served, and whose turn it is. */
#include <stdlib.h>
#include <string.h>

#include "client/transfer_impl.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

/* -- the table of files */

/* An id is random. */
static unsigned slot_of(const struct id16 *fid)
{
	return (fid->b[0] | (unsigned)fid->b[1] << 8) % TABLE_SIZE;
}

struct file *file_find(struct transfers *t, const struct id16 *fid)
{
	struct file *f;

	LIST_FOREACH(f, &t->file_table[slot_of(fid)], in_table)
		if (id16_eq(&f->fid, fid))
			return f;
	return NULL;
}

struct file *file_get(struct transfers *t, const struct id16 *gid, const struct id16 *fid, const struct id32 *content,
                      uint64_t size)
{
	struct file *f = file_find(t, fid);

	if (f != NULL)
		return f;
	f = size <= METAINFO_SIZE_MAX ? try_alloc(sizeof(*f)) : NULL;
	if (f == NULL)
		return NULL;
	f->t = t;
	f->gid = *gid;
	f->fid = *fid;
	f->content = *content;
	f->size = size;
	f->npieces = metainfo_pieces_of(size);
	TAILQ_INIT(&f->channels);
	TAILQ_INSERT_TAIL(&t->files, f, entry);
	LIST_INSERT_HEAD(&t->file_table[slot_of(fid)], f, in_table);
	return f;
}

static void source_unref(struct piece_source *s)
{
	if (--s->refs > 0)
		return;
	for (unsigned i = 0; i < s->nslots; i++)
		file_reader_close(&s->slots[i].reader);
	shared_file_close(s->shared);
	free(s);
}

void file_drop_source(struct file *f)
{
	if (f->source != NULL)
		source_unref(f->source);
	f->source = NULL;
}

void file_close_channels(struct file *f, enum shoal_err code)
{
	struct channel *ch, *next;

	f->nchannels++; /* keeps it: the caller decides with file_release() */
	for (ch = TAILQ_FIRST(&f->channels); ch != NULL; ch = next) {
		next = TAILQ_NEXT(ch, in_file);
		channel_close(ch, CHANNEL_TELL, code);
	}
	f->nchannels--;
}

void file_release(struct file *f)
{
	if (f->complete || f->download != NULL || f->nchannels > 0)
		return;
	file_drop_source(f);
	if (f->upload != NULL)
		upload_file_remove(f->t->upload, f->upload);
	TAILQ_REMOVE(&f->t->files, f, entry);
	LIST_REMOVE(f, in_table);
	free(f->path);
	free(f);
}

void file_set_complete(struct file *f, const char *path)
{
	char *copy = try_strdup(path);

	if (copy == NULL)
		return;
	free(f->path);
	f->path = copy;
	f->complete = true;
	f->has_stamp = false;
	file_drop_source(f); /* what is being sent out of the part file goes on: it is the same file */
}

bool file_has_piece(const struct file *f, uint32_t piece)
{
	const struct bitfield *have = f->download != NULL ? download_have(f->download) : NULL;

	return f->complete || (have != NULL && bitfield_has(have, piece));
}

bool file_make_upload(struct file *f)
{
	if (f->upload == NULL)
		f->upload = upload_file_add(f->t->upload, f->size, PIECE_SIZE);
	return f->upload != NULL;
}

/* -- descriptors to read from: one per transfer thread, opened when it first serves the file */

static enum shoal_err open_source(struct file *f, struct error *e)
{
	unsigned n = peer_io_threads(f->t->io);
	struct piece_source *s = try_alloc(sizeof(*s) + n * sizeof(s->slots[0]));

	if (s == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	s->refs = 1;
	s->nslots = n;
	for (unsigned i = 0; i < n; i++)
		s->slots[i].reader.fd = -1;
	f->source = s;
	if (!f->complete)
		return SHOAL_OK;
	enum shoal_err rc = shared_file_open(f->path, f->has_stamp ? &f->stamp : NULL, &s->shared, e);
	if (rc != SHOAL_OK)
		return rc;
	if (shared_file_stamp(s->shared)->size != f->size)
		return error_set(e, SHOAL_ECONFLICT, "'%s' has another size now", f->path);
	f->stamp = *shared_file_stamp(s->shared);
	f->has_stamp = true;
	return SHOAL_OK;
}

static enum shoal_err ready_source(struct file *f, unsigned thread, struct error *e)
{
	enum shoal_err rc = f->source == NULL ? open_source(f, e) : SHOAL_OK;

	if (rc == SHOAL_OK && f->source->slots[thread].reader.fd < 0) {
		struct file_reader *r = &f->source->slots[thread].reader;
		rc = f->complete ? shared_file_reader(f->source->shared, r, e)
		                 : storage_reader_open(download_storage(f->download), r, e);
	}
	if (rc != SHOAL_OK)
		file_drop_source(f);
	return rc;
}

/* The file on the disk is not what was shared any more. */
static void stop_sharing(struct file *f, const struct error *why)
{
	struct transfers *t = f->t;
	struct id16 gid = f->gid, fid = f->fid;
	bool was_shared = f->complete && why->code != SHOAL_EBUSY;

	log_line(t->log, LOG_WARN, "serve", "%s", why->message);
	if (was_shared)
		f->complete = false;
	file_drop_source(f);
	file_close_channels(f, was_shared ? SHOAL_ENOTFOUND : SHOAL_EBUSY);
	file_release(f);
	if (was_shared)
		t->config.unshared(t->config.owner, &gid, &fid, why->message);
}

/* -- requests */

static void put_reject(struct channel *ch, uint32_t piece, enum shoal_err code)
{
	struct peer_reject m = { .ch = ch->number, .piece = piece, .code = (uint16_t)code };
	struct buf b = { 0 };
	size_t start = peer_begin(&b, PEER_REJECT);

	peer_reject_put(&b, &m);
	peer_end(&b, start, 0);
	peer_send(ch->peer, &b);
}

static uint32_t piece_length(const struct file *f, uint32_t piece)
{
	uint64_t at = (uint64_t)piece * PIECE_SIZE;
	return f->size - at < PIECE_SIZE ? (uint32_t)(f->size - at) : PIECE_SIZE;
}

/* Once each piece, and some again that arrived broken: who asks for more wants the uplink, not the file. */
static bool asks_too_much(const struct channel *ch)
{
	const struct file *f = ch->file;
	return ch->served > f->size / OVERASKED_DEN * OVERASKED_NUM + (uint64_t)OVERASKED_PIECES * PIECE_SIZE;
}

void serve_request(struct channel *ch, const struct peer_request *m)
{
	struct transfers *t = ch->peer->t;
	struct file *f = ch->file;
	enum shoal_err rc = SHOAL_OK;

	if (m->piece >= f->npieces) {
		peer_close(ch->peer, "a piece that does not exist");
		return;
	}
	if (m->offset != 0 || m->length != piece_length(f, m->piece))
		rc = SHOAL_EUSAGE; /* version 1 serves whole pieces */
	else if (!ch->may_ask || ch->ending)
		rc = SHOAL_EDENIED;
	else if (!file_has_piece(f, m->piece))
		rc = SHOAL_ENOTFOUND;
	else if (ch->upload == NULL)
		rc = SHOAL_EBUSY;
	else
		rc = upload_request(t->upload, ch->upload, m->piece);
	if (rc == SHOAL_OK && asks_too_much(ch)) {
		struct peer *p = ch->peer;
		log_line(t->log, LOG_WARN, "serve", "%s asks for more than 1.5 times a file: its connection is closed", ch->user);
		peer_close(p, "asks for more than 1.5 times the file");
		return;
	}
	if (rc != SHOAL_OK)
		put_reject(ch, m->piece, rc);
	else
		serve_pump(t);
}

/* Every request ends in one way that the asker sees: its last byte, a REJECT, or this. */
static void put_short_end(struct channel *ch, uint32_t piece)
{
	struct peer_piece m = { .ch = ch->number, .piece = piece };
	struct buf b = { 0 };
	size_t start = peer_begin(&b, PEER_PIECE);

	peer_piece_put(&b, &m);
	peer_end(&b, start, 0);
	peer_send(ch->peer, &b);
}

void serve_cancel(struct channel *ch, uint32_t piece)
{
	struct transfers *t = ch->peer->t;

	if (ch->upload == NULL || piece >= ch->file->npieces)
		return;
	switch (upload_cancel(t->upload, ch->upload, piece)) {
	case UPLOAD_FORGOTTEN: put_short_end(ch, piece); break;
	case UPLOAD_BEGUN: peer_conn_serve_stop(ch->peer->conn, ch->number, piece); break;
	case UPLOAD_UNKNOWN: break; /* it has ended already */
	}
	serve_pump(t);
}

/* -- transfers */

static enum shoal_err start_one(struct channel *ch, const struct upload_start *start, struct error *e)
{
	struct file *f = ch->file;
	struct piece_serve *s;
	unsigned thread = peer_conn_thread(ch->peer->conn);

	if (ch->ending)
		return error_set(e, SHOAL_EDENIED, "the ticket is over");
	enum shoal_err rc = ready_source(f, thread, e);
	if (rc != SHOAL_OK)
		return rc;
	s = try_alloc(sizeof(*s));
	if (s == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	s->channel = ch;
	s->ch = ch->number;
	s->piece = start->piece;
	s->length = piece_length(f, start->piece);
	s->offset = (uint64_t)start->piece * PIECE_SIZE;
	s->waiting = start->waiting;
	s->source = f->source;
	s->source->refs++;
	ch->out++;
	ch->serving++;
	peer_conn_serve(ch->peer->conn, s);
	return SHOAL_OK;
}

static void on_upload_timer(void *arg)
{
	serve_pump(arg);
}

void serve_pump(struct transfers *t)
{
	struct upload_start start;
	struct error e;

	while (!t->stopping && upload_next(t->upload, clock_mono_us(), &start)) {
		struct channel *ch = start.owner;
		e = (struct error){ 0 };
		enum shoal_err rc = start_one(ch, &start, &e);
		if (rc == SHOAL_OK)
			continue;
		upload_finished(t->upload, start.channel, start.piece, false, clock_mono_us());
		put_reject(ch, start.piece, rc);
		if (rc != SHOAL_EDENIED && rc != SHOAL_EBUSY)
			stop_sharing(ch->file, &e);
	}
	uint64_t at = upload_deadline(t->upload), now = clock_mono_us();
	if (t->upload_timer == NULL)
		t->upload_timer = loop_timer_new(t->config.loop, on_upload_timer, t);
	if (t->upload_timer != NULL && at != UINT64_MAX)
		loop_timer_set_ms(t->upload_timer, at > now ? (at - now + 999) / 1000 : 0);
}

void serve_progress(struct channel *ch, uint32_t piece, uint32_t n)
{
	ch->served += n;
	if (ch->upload == NULL)
		return;
	upload_progress(ch->t->upload, ch->upload, piece, n, clock_mono_us());
	serve_pump(ch->t);
}

void serve_done(struct channel *ch, struct piece_serve *serve)
{
	struct transfers *t = ch->t;
	struct file *f = ch->file;
	uint64_t now = clock_mono_us();

	if (ch->upload != NULL) {
		if (serve->untold > 0)
			upload_progress(t->upload, ch->upload, serve->piece, serve->untold, now);
		upload_finished(t->upload, ch->upload, serve->piece, serve->whole, now);
	}
	struct error why = serve->error;
	ch->served += serve->untold;
	source_unref(serve->source);
	free(serve);
	ch->serving--;
	bool over = ch->peer != NULL && ch->ending && ch->serving == 0;
	channel_out_done(ch);
	if (over)
		channel_close(ch, CHANNEL_TELL, SHOAL_EDENIED);
	else if (f != NULL && why.code != SHOAL_OK)
		stop_sharing(f, &why);
	serve_pump(t);
}
