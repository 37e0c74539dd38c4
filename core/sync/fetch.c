/* core/sync/fetch.c - piece hashes of files that came from others, by content id.
 *
 * For each file whose content is not held: CHECK what the store has of it; ask some peer for the next chunk of 1024
 * hashes; PUT it; and so on; the last CHECK verifies the whole against the id and marks it as held. At most 8 at once.
 * A peer that does not have it says so, and another is asked; when all were asked in vain, again a little later. What
 * there was no memory to note is found by looking at all files again, 10 s later. */
#include "core/sync/sync_state.h"

#include "core/base/planted.h"

#define FETCH_RETRY_MS 500
#define FETCH_RETRY_MAX_MS 10000

static uint32_t chunks_of(uint64_t size)
{
	return (uint32_t)((content_pieces(size) + CONTENT_CHUNK - 1) / CONTENT_CHUNK);
}

static size_t chunk_len(uint64_t size, uint32_t chunk)
{
	uint64_t left = content_pieces(size) - (uint64_t)chunk * CONTENT_CHUNK;
	return (left < CONTENT_CHUNK ? (size_t)left : CONTENT_CHUNK) * sizeof(struct id32);
}

static struct fetch *find(struct sync *s, const struct id32 *content)
{
	struct fetch *f;
	HASH_FIND(hh, s->fetches, content, sizeof(*content), f);
	return f;
}

static bool is_held(struct sync *s, const struct id32 *content)
{
	const struct content_row *row = registry_content(s->config.registry, content);
	return row != NULL && row->held;
}

/* One could not be noted. */
static void look_at_all_later(struct sync *s)
{
	s->fetch_all_at = s->now + FETCH_RETRY_MAX_MS;
}

void sync_fetch_want(struct sync *s, const struct file_row *file)
{
	if (is_held(s, &file->content) || find(s, &file->content) != NULL || file->size > CONTENT_SIZE_MAX)
		return;
	struct fetch *f = try_alloc(sizeof(*f));
	if (f == NULL) {
		look_at_all_later(s);
		return;
	}
	f->content = file->content;
	f->file_hash = file->hash;
	f->size = file->size;
	f->at = s->now;
	HASH_ADD(hh, s->fetches, content, sizeof(f->content), f);
	if (f->hh.tbl == NULL) {
		look_at_all_later(s);
		free(f);
		return;
	}
	s->fetch_at = s->now;
}

void sync_fetch_all(struct sync *s)
{
	struct registry_iter it = registry_all(s->config.registry, TABLE_FILE);
	const struct file_row *file;

	s->fetch_all_at = ENV_NEVER;
	while (s->fetch_all_at == ENV_NEVER && (file = registry_next(&it)) != NULL)
		sync_fetch_want(s, file);
}

/* Whoever has just come may have what others had not. */
void sync_fetch_link_up(struct sync *s)
{
	struct fetch *f, *next;
	HASH_ITER(hh, s->fetches, f, next)
		if (f->state == FETCH_WAITING)
			f->at = s->now;
	s->fetch_at = s->now;
}

void sync_fetch_fini(struct sync *s)
{
	struct fetch *f, *next;
	HASH_ITER(hh, s->fetches, f, next) {
		HASH_DEL(s->fetches, f);
		free(f);
	}
}

static void end(struct sync *s, struct fetch *f)
{
	if (f->state != FETCH_WAITING)
		s->fetching--;
	HASH_DEL(s->fetches, f);
	free(f);
	s->fetch_at = s->now; /* another one's turn */
}

/* Later again, the later the more often it was in vain. */
static void wait_and_retry(struct sync *s, struct fetch *f)
{
	uint64_t wait = (uint64_t)FETCH_RETRY_MS << (f->tries < 5 ? f->tries : 5);
	if (f->state != FETCH_WAITING)
		s->fetching--;
	f->state = FETCH_WAITING;
	f->tries++;
	f->at = s->now + sync_jitter(s, wait < FETCH_RETRY_MAX_MS ? (uint32_t)wait : FETCH_RETRY_MAX_MS);
	s->fetch_at = s->now; /* another one's turn */
}

/* -- asking */

/* The next peer in the order of ids behind the one that was asked last. */
static struct sync_link *whom_to_ask(struct sync *s, struct fetch *f)
{
	struct sync_tracker *p, *after = NULL, *first = NULL;
	LIST_FOREACH(p, &s->peers, next) {
		if (sync_peer_link(p) == NULL)
			continue;
		if (first == NULL || p->id < first->id)
			first = p;
		if (p->id > f->asked && (after == NULL || p->id < after->id))
			after = p;
	}
	p = after != NULL ? after : first;
	if (p == NULL)
		return NULL;
	f->asked = p->id;
	return sync_peer_link(p);
}

static void ask_peer(struct sync *s, struct fetch *f)
{
	struct sync_link *l = whom_to_ask(s, f);
	struct buf *b = &s->scratch;

	if (l == NULL) {
		wait_and_retry(s, f);
		return;
	}
	f->state = FETCH_ASKING;
	f->at = s->now + SYNC_FETCH_MS;
	s->fetch_at = f->at < s->fetch_at ? f->at : s->fetch_at;
	size_t start = sync_begin(b, SYNC_BLOB_WANT);
	sync_blob_want_put(b, &(struct sync_blob_want){ .content = f->content, .chunk = f->chunk });
	(void)frame_end(b, start);
	sync_link_send(l, b); /* doomed: the deadline asks another one */
}

static void check(struct sync *s, struct fetch *f)
{
	struct content_op *op = content_op_new(CONTENT_CHECK);
	if (op != NULL) {
		op->id = f->content;
		op->file_hash = f->file_hash;
		op->size = f->size;
	}
	if (f->state == FETCH_WAITING)
		s->fetching++;
	f->state = FETCH_CHECKING;
	if (!sync_ask(s, &(struct ask){ .kind = ASK_FETCH, .content = f->content }, op))
		wait_and_retry(s, f);
}

enum shoal_err sync_fetch_on_data(struct sync_link *l, struct slice body, struct error *e)
{
	struct sync *s = l->sync;
	struct cursor c = cursor_of(body.data, body.len);
	struct sync_blob_data m;

	sync_blob_data_get(&c, &m);
	struct fetch *f = find(s, &m.content);
	if (f == NULL || f->state != FETCH_ASKING || m.chunk != f->chunk || l->peer->id != f->asked)
		return SHOAL_OK; /* too late, or another one was asked meanwhile */
	if (!m.have) {
		wait_and_retry(s, f);
		return SHOAL_OK;
	}
	if (m.hashes.len != chunk_len(f->size, f->chunk))
		return error_set(e, SHOAL_EPROTO, "hashes of a wrong length");
	struct content_op *op = content_op_new(CONTENT_PUT);
	if (op != NULL) {
		op->id = f->content;
		op->size = f->size;
		op->first = f->chunk * CONTENT_CHUNK;
		buf_put(&op->data, m.hashes.data, m.hashes.len);
	}
	f->state = FETCH_STORING;
	if ((op != NULL && op->data.failed) || !sync_ask(s, &(struct ask){ .kind = ASK_FETCH, .content = f->content }, op))
		wait_and_retry(s, f);
	return SHOAL_OK;
}

static void on_checked(struct sync *s, struct fetch *f, const struct content_op *op, enum shoal_err rc)
{
	struct id32 content = f->content;

	if (rc == SHOAL_OK) {
		rc = registry_set_held(s->config.registry, &content, true);
		if (rc != SHOAL_OK && sync_merging(s) && !PLANTED(fetch_once)) {
			wait_and_retry(s, f); /* its row comes with a later portion than the file's */
			return;
		}
		end(s, f);
		if (rc != SHOAL_OK)
			return; /* its row was undone meanwhile: it is asked for again when it comes again */
		s->counters.contents_fetched++;
		if (s->config.on_content != NULL)
			s->config.on_content(s->config.owner, &content);
	} else if (rc == SHOAL_ENOTFOUND) {
		f->chunk = (uint32_t)(op->have / CONTENT_CHUNK);
		if (f->chunk >= chunks_of(f->size))
			f->chunk = 0;
		ask_peer(s, f);
	} else {
		if (rc == SHOAL_EINTEGRITY)
			log_line(s->env->log, LOG_ERROR, "sync", "piece hashes from tracker %u do not give their content id",
			         f->asked);
		wait_and_retry(s, f);
	}
}

static void on_fetch_answer(struct sync *s, struct fetch *f, const struct content_op *op, enum shoal_err rc)
{
	if (f->state == FETCH_CHECKING) {
		on_checked(s, f, op, rc);
	} else if (f->state == FETCH_STORING) {
		if (rc != SHOAL_OK) {
			wait_and_retry(s, f);
			return;
		}
		f->tries = 0;
		if (++f->chunk < chunks_of(f->size)) {
			f->asked--; /* the same one again: it has it */
			ask_peer(s, f);
		} else {
			check(s, f);
		}
	}
}

/* -- serving */

static void send_data(struct sync_link *l, const struct sync_blob_data *m)
{
	struct buf *b = &l->sync->scratch;
	size_t start = sync_begin(b, SYNC_BLOB_DATA);
	sync_blob_data_put(b, m);
	(void)frame_end(b, start);
	sync_link_send(l, b);
}

enum shoal_err sync_fetch_on_want(struct sync_link *l, struct slice body, struct error *e)
{
	struct sync *s = l->sync;
	struct cursor c = cursor_of(body.data, body.len);
	struct sync_blob_want m;

	sync_blob_want_get(&c, &m);
	const struct content_row *row = registry_content(s->config.registry, &m.content);
	if (l->serving >= SYNC_SERVING_MAX)
		return error_set(e, SHOAL_EPROTO, "too many questions at once");
	if (row == NULL || !row->held || m.chunk >= chunks_of(row->size)) {
		send_data(l, &(struct sync_blob_data){ .content = m.content, .chunk = m.chunk });
		return SHOAL_OK;
	}
	struct content_op *op = content_op_new(CONTENT_GET);
	if (op != NULL) {
		op->id = m.content;
		op->size = row->size;
		op->first = m.chunk * CONTENT_CHUNK;
		op->count = CONTENT_CHUNK;
	}
	l->serving++;
	if (!sync_ask(s, &(struct ask){ .kind = ASK_SERVE, .conn = l->conn, .content = m.content, .chunk = m.chunk }, op))
		return error_set(e, SHOAL_EBUSY, "no memory");
	return SHOAL_OK;
}

void sync_fetch_on_answer(struct sync *s, const struct ask *ask, struct content_op *op, enum shoal_err rc)
{
	struct sync_link *l;

	if (ask->kind == ASK_FETCH) {
		struct fetch *f = find(s, &ask->content);
		if (f != NULL)
			on_fetch_answer(s, f, op, rc);
		return;
	}
	HASH_FIND(hh, s->by_conn, &ask->conn, sizeof(ask->conn), l);
	if (l == NULL || l->doomed)
		return;
	l->serving--;
	struct sync_blob_data m = { .content = ask->content, .chunk = ask->chunk };
	if (rc == SHOAL_OK && op->data.len != 0) {
		m.have = 1;
		m.hashes = slice_of(op->data.data, op->data.len);
	}
	send_data(l, &m);
}

/* -- time */

static uint64_t next_look(const struct sync *s)
{
	return s->fetches != NULL && s->fetch_at < s->fetch_all_at ? s->fetch_at : s->fetch_all_at;
}

uint64_t sync_fetch_tick(struct sync *s)
{
	struct fetch *f, *next;
	unsigned seen = 0; /* of those under way */

	if (s->now >= s->fetch_all_at)
		sync_fetch_all(s);
	if (s->fetches == NULL || s->now < s->fetch_at)
		return next_look(s);
	s->fetch_at = ENV_NEVER;
	HASH_ITER(hh, s->fetches, f, next) {
		if (is_held(s, &f->content)) { /* an upload was quicker */
			if (f->state == FETCH_WAITING || f->state == FETCH_ASKING)
				end(s, f);
			continue;
		}
		if (f->state == FETCH_ASKING && s->now >= f->at)
			wait_and_retry(s, f);
		else if (f->state == FETCH_WAITING && s->now >= f->at && s->fetching < SYNC_FETCHES)
			check(s, f);
		if ((f->state == FETCH_ASKING || (f->state == FETCH_WAITING && f->at > s->now)) && f->at < s->fetch_at)
			s->fetch_at = f->at;
		seen += f->state != FETCH_WAITING;
		if (seen == SYNC_FETCHES && s->fetching == SYNC_FETCHES)
			break; /* whose turn it is next is asked when one of them is done: there may be a million */
	}
	return next_look(s);
}
