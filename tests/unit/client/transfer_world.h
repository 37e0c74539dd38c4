/* tests/unit/client/transfer_world.h - whole clients' transfers in one process; the tracker is played by this file.
 *
 * link_call() and its friends are defined here, so that client/link.c is not linked: a struct link is one client's way
 * to the little tracker below, which answers in the loop's next turn. Included by one .c file of a test. */
#ifndef SHOAL_TESTS_TRANSFER_WORLD_H
#define SHOAL_TESTS_TRANSFER_WORLD_H
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/transfer.h"
#include "core/base/clock.h"
#include "core/base/crypto.h"
#include "core/base/fs.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/net/stream.h"
#include "core/net/tls.h"
#include "core/piece/metainfo.h"
#include "core/wire/ticket.h"
#include "tests/unit/check.h"

#define NOT_DEAF ((enum cmd_verb)0)
enum { CLIENTS = 5, FILES = 40, PENDING = 256, WAIT_MS = 20000 };

struct world;

struct link { /* one client */
	struct world *w;
	unsigned number;
	struct tls_identity *identity;
	struct client_config config;
	struct transfers *t;
	char folder[256];
	bool offline;
	struct address shown; /* what the tracker says its address is; port 0: the true one */
	bool played;          /* by the test itself: no struct transfers, but the tracker names it, at `shown` */
	bool no_plain;        /* talks TLS only, whatever the cluster allows */
	unsigned nunreachable;
	struct id16 uid;
	unsigned nshared, nunshared, nstalled;
	bool slow_disk;   /* the list of shares is not written by itself: */
	uint64_t to_keep; /* this job waits for it */
	enum shoal_err stall;
	char path[300]; /* scratch */
};

struct tracked {
	bool used;
	char name[64];
	struct id16 fid;
	struct req_upload_file_data head;
	struct id32 *hashes;
	bool shares[CLIENTS], wants[CLIENTS];
};

struct pending {
	struct link *link;
	uint64_t number; /* 0: free */
	enum cmd_verb verb;
	struct buf fields;
	link_reply_fn *fn;
	void *arg;
};

struct world {
	struct loop *loop;
	struct loop_timer *turn, *watch;
	EVP_PKEY *key;
	struct link_status status;
	struct id16 gid;
	uint32_t ticket_ms;
	struct link clients[CLIENTS];
	struct tracked files[FILES];
	struct { struct id32 content, *hashes; uint32_t n; } staged;
	struct pending pending[PENDING];
	uint64_t next;
	enum cmd_verb deaf; /* it answers this one never; NOT_DEAF: it answers all */
	bool deaf_asked;
	void *scratch; /* a test's own, for its until() */
	bool (*until)(struct world *w);
	uint64_t deadline_ms;
	bool late;
};

/* -- the tracker */

static inline struct tracked *file_named(struct world *w, struct slice name)
{
	for (unsigned i = 0; i < FILES; i++)
		if (w->files[i].used && slice_eq_str(name, w->files[i].name))
			return &w->files[i];
	return NULL;
}

static inline struct tracked *file_of(struct world *w, struct id16 fid)
{
	for (unsigned i = 0; i < FILES; i++)
		if (w->files[i].used && id16_eq(&w->files[i].fid, &fid))
			return &w->files[i];
	return NULL;
}

static inline void put_ticket(struct world *w, struct link *l, struct buf *b)
{
	uint64_t now = clock_wall_ms();
	struct ticket t = { .uid = l->uid, .device = l->identity->id, .gid = w->gid, .not_before_ms = now,
		            .not_after_ms = now + w->ticket_ms, .user = slice_str("somebody"),
		            .flags = w->status.plaintext ? TICKET_PLAINTEXT : 0 };
	CHECK_INT(ticket_seal(b, &t, w->key), ==, SHOAL_OK);
}

static inline void put_rows(struct world *w, struct link *l, const struct tracked *f, struct buf *b)
{
	char text[ADDRESS_MAX];
	size_t at = b->len;
	uint16_t n = 0;

	buf_put_u16(b, 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct link *other = &w->clients[i];
		if (other == l || (other->t == NULL && !other->played) || other->offline || (!f->shares[i] && !f->wants[i]))
			continue;
		struct address a = other->shown.port != 0 ? other->shown : transfers_listen_address(other->t);
		struct row_peer row = { .uid = other->uid, .user = slice_str("somebody"),
			                .address = slice_str(address_format(&a, text)),
			                .identity = other->identity->id, .complete = f->shares[i] };
		row_peer_put(b, &row);
		n++;
	}
	b->data[at] = (uint8_t)(n >> 8);
	b->data[at + 1] = (uint8_t)n;
}

static inline enum shoal_err on_put_hashes(struct world *w, struct cursor *c, struct buf *b)
{
	struct req_put_hashes q;
	req_put_hashes_get(c, &q);
	uint32_t n = metainfo_pieces_of(q.size);
	if (!id32_eq(&w->staged.content, &q.content)) {
		free(w->staged.hashes);
		w->staged.hashes = xalloc(n * sizeof(struct id32));
		w->staged.content = q.content;
		w->staged.n = n;
	}
	memcpy(w->staged.hashes + q.first, q.hashes.data, q.hashes.len);
	rep_put_hashes_put(b, &(struct rep_put_hashes){ .have = n });
	return SHOAL_OK;
}

static inline enum shoal_err on_upload(struct world *w, struct link *l, struct cursor *c, struct buf *b)
{
	struct req_upload_file_data q;
	req_upload_file_data_get(c, &q);
	struct tracked *f = file_named(w, q.name);
	bool joined = f != NULL;
	for (unsigned i = 0; f == NULL && i < FILES; i++)
		if (!w->files[i].used)
			f = &w->files[i];
	CHECK(f != NULL);
	if (joined && !id32_eq(&f->head.content, &q.content))
		return SHOAL_EEXISTS;
	if (!joined) {
		f->used = true;
		CHECK(slice_to_str(q.name, f->name, sizeof(f->name)));
		random_bytes(f->fid.b, sizeof(f->fid.b));
		f->head = q;
		if (q.size > 0) {
			CHECK(id32_eq(&w->staged.content, &q.content));
			f->hashes = try_memdup(w->staged.hashes, w->staged.n * sizeof(struct id32));
		}
	}
	f->shares[l->number] = true;
	rep_upload_file_data_put(b, &(struct rep_upload_file_data){ .fid = f->fid, .joined = joined, .name = q.name });
	return SHOAL_OK;
}

static inline enum shoal_err on_find(struct world *w, struct link *l, struct cursor *c, struct buf *b)
{
	struct req_file q;
	struct buf ticket = { 0 };
	req_file_get(c, &q);
	struct tracked *f = file_named(w, q.file);
	if (f == NULL)
		return SHOAL_ENOTFOUND;
	put_ticket(w, l, &ticket);
	struct rep_find r = { .gid = w->gid, .fid = f->fid, .group = q.group, .name = q.file, .size = f->head.size,
		              .piece_size = f->head.piece_size, .file_hash = f->head.file_hash,
		              .content = f->head.content, .state = slice_str("ok"),
		              .ticket = { ticket.data, ticket.len }, .ticket_ms = w->ticket_ms };
	rep_find_put(b, &r);
	put_rows(w, l, f, b);
	buf_free(&ticket);
	return SHOAL_OK;
}

static inline enum shoal_err on_get_hashes(struct world *w, struct cursor *c, struct buf *b)
{
	struct req_get_hashes q;
	req_get_hashes_get(c, &q);
	struct tracked *f = file_of(w, q.fid);
	if (f == NULL)
		return SHOAL_ENOTFOUND;
	uint32_t n = metainfo_pieces_of(f->head.size) - q.chunk * METAINFO_CHUNK;
	n = n < METAINFO_CHUNK ? n : METAINFO_CHUNK;
	struct rep_hashes r = { .chunk = q.chunk,
		                .hashes = { f->hashes[q.chunk * METAINFO_CHUNK].b, n * sizeof(struct id32) } };
	rep_hashes_put(b, &r);
	return SHOAL_OK;
}

static inline enum shoal_err on_announce(struct world *w, struct link *l, struct cursor *c, struct buf *b)
{
	struct req_announce q;
	req_announce_get(c, &q);
	struct tracked *f = file_of(w, q.fid);
	if (f == NULL)
		return SHOAL_ENOTFOUND;
	f->wants[l->number] = !q.stopped;
	rep_announce_put(b, &(struct rep_announce){ .interval_ms = 45000 });
	put_rows(w, l, f, b);
	return SHOAL_OK;
}

/* The other one is to dial. */
static inline void on_unreachable(struct world *w, struct link *l, struct cursor *c)
{
	struct req_unreachable q;
	struct address back = transfers_listen_address(l->t);

	req_unreachable_get(c, &q);
	l->nunreachable++;
	for (unsigned i = 0; i < CLIENTS; i++)
		if (w->clients[i].t != NULL && id32_eq(&w->clients[i].identity->id, &q.peer))
			transfers_on_dial(w->clients[i].t, &q.fid, &back, &l->identity->id);
}

static inline enum shoal_err answer(struct world *w, struct link *l, enum cmd_verb verb, struct cursor *c, struct buf *b)
{
	struct buf ticket = { 0 };
	struct req_fid q;

	switch (verb) {
	case VERB_UPLOAD_CHECK:
		rep_upload_check_put(b, &(struct rep_upload_check){ .gid = w->gid });
		return SHOAL_OK;
	case VERB_PUT_HASHES: return on_put_hashes(w, c, b);
	case VERB_UPLOAD_FILE_DATA: return on_upload(w, l, c, b);
	case VERB_FIND: return on_find(w, l, c, b);
	case VERB_GET_HASHES: return on_get_hashes(w, c, b);
	case VERB_ANNOUNCE: return on_announce(w, l, c, b);
	case VERB_UNREACHABLE: on_unreachable(w, l, c); return SHOAL_OK;
	case VERB_TICKET:
		put_ticket(w, l, &ticket);
		rep_ticket_put(b, &(struct rep_ticket){ .ticket = { ticket.data, ticket.len }, .ticket_ms = w->ticket_ms });
		buf_free(&ticket);
		return SHOAL_OK;
	case VERB_UPDATE_FILE_INFO:
		req_fid_get(c, &q);
		file_of(w, q.fid)->shares[l->number] = true;
		return SHOAL_OK;
	default: return SHOAL_OK;
	}
}

static inline void on_turn(void *arg)
{
	struct world *w = arg;

	for (unsigned i = 0; i < PENDING; i++) {
		struct pending p = w->pending[i];
		struct buf b = { 0 };
		if (p.number == 0)
			continue;
		if (p.verb == w->deaf && w->deaf != NOT_DEAF) {
			w->deaf_asked = true;
			continue;
		}
		w->pending[i].number = 0;
		struct cursor c = cursor_of(p.fields.data, p.fields.len);
		struct link_reply reply = { .message = "no" };
		reply.code = p.link->offline ? SHOAL_EOFFLINE : answer(w, p.link, p.verb, &c, &b);
		reply.fields = slice_of(b.data, b.len);
		p.fn(p.arg, &reply);
		buf_free(&p.fields);
		buf_free(&b);
	}
}

uint64_t link_call(struct link *l, enum cmd_verb verb, const struct buf *fields, uint32_t timeout_ms, link_reply_fn *fn,
                   void *arg)
{
	struct world *w = l->w;

	(void)timeout_ms;
	for (unsigned i = 0; i < PENDING; i++)
		if (w->pending[i].number == 0) {
			struct pending p = { .link = l, .number = ++w->next, .verb = verb, .fn = fn, .arg = arg };
			buf_put(&p.fields, fields->data, fields->len);
			w->pending[i] = p;
			loop_timer_set_ms(w->turn, 0);
			return p.number;
		}
	return 0;
}

void link_cancel(struct link *l, uint64_t call)
{
	for (unsigned i = 0; i < PENDING; i++)
		if (l->w->pending[i].number == call) {
			buf_free(&l->w->pending[i].fields);
			l->w->pending[i].number = 0;
		}
}

void link_status(const struct link *l, struct link_status *out)
{
	*out = l->w->status;
	out->up = !l->offline;
	out->uid = l->uid;
}

/* -- clients */

static inline void job_event(void *owner, const char *word, const struct job_info *job)
{
	struct link *l = owner;

	if (strcmp(word, "job.stalled") == 0) {
		l->nstalled++;
		l->stall = job->error.code;
	}
}

static inline void shared(void *owner, const struct share_info *share, const struct id32 *content, uint64_t job)
{
	struct link *l = owner;

	CHECK(access(share->path, R_OK) == 0);
	CHECK(!id32_is_zero(content));
	l->nshared++;
	if (l->slow_disk)
		l->to_keep = job;
	else
		transfers_kept(l->t, job);
}

static inline void unshared(void *owner, const struct id16 *gid, const struct id16 *fid, const char *why)
{
	struct link *l = owner;
	struct tracked *f = file_of(l->w, *fid);

	CHECK(why[0] != '\0');
	CHECK(id16_eq(gid, &l->w->gid));
	f->shares[l->number] = false;
	l->nunshared++;
}

static inline void client_start(struct world *w, unsigned i)
{
	struct link *l = &w->clients[i];
	uint8_t seed[SEED_SIZE] = { (uint8_t)(i + 1) };
	struct error e = { 0 };

	l->w = w;
	l->number = i;
	l->uid.b[0] = (uint8_t)(i + 1);
	if (l->identity == NULL)
		l->identity = tls_identity_new(seed, &e);
	snprintf(l->folder, sizeof(l->folder), "%s/%u-%u", check_folder(), i, check_random(1u << 30));
	CHECK_INT(mkdir(l->folder, 0700), ==, 0);
	snprintf(l->config.listen.host, HOST_MAX, "127.0.0.1");
	l->config.listen.port = 0;
	l->config.threads = 2;
	l->config.plaintext = w->status.plaintext && !l->no_plain;
	struct transfers_config config = {
		.client = &l->config, .loop = w->loop, .link = l, .identity = l->identity, .meta_folder = l->folder,
		.job_event = job_event, .shared = shared, .unshared = unshared, .owner = l,
	};
	l->t = transfers_new(&config, &e);
	CHECK(l->t != NULL);
	transfers_on_login(l->t);
}

static inline void client_stop(struct world *w, unsigned i)
{
	transfers_free(w->clients[i].t);
	w->clients[i].t = NULL;
	for (unsigned f = 0; f < FILES; f++)
		w->files[f].shares[i] = w->files[f].wants[i] = false;
}

static inline struct world *world_new(unsigned clients, bool plain)
{
	struct world *w = xalloc(sizeof(*w));
	uint8_t seed[SEED_SIZE] = { 99 };
	struct error e = { 0 };

	net_init();
	w->loop = loop_new(&e);
	w->turn = loop_timer_new(w->loop, on_turn, w);
	w->key = key_from_seed(seed);
	key_public_raw(w->key, w->status.ticket_key.b);
	w->status.plaintext = plain;
	w->status.logged_in = true;
	w->gid.b[0] = 7;
	w->ticket_ms = 300000;
	for (unsigned i = 0; i < clients; i++)
		client_start(w, i);
	return w;
}

static inline void world_free(struct world *w)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		transfers_free(w->clients[i].t);
		w->clients[i].t = NULL;
		tls_identity_free(w->clients[i].identity);
	}
	for (unsigned i = 0; i < FILES; i++)
		free(w->files[i].hashes);
	for (unsigned i = 0; i < PENDING; i++)
		if (w->pending[i].number != 0)
			buf_free(&w->pending[i].fields);
	free(w->staged.hashes);
	EVP_PKEY_free(w->key);
	loop_timer_free(w->turn);
	loop_timer_free(w->watch);
	loop_free(w->loop);
	free(w);
}

static inline void on_watch(void *arg)
{
	struct world *w = arg;

	w->late = clock_mono_ms() > w->deadline_ms;
	if (w->until(w) || w->late)
		loop_stop(w->loop);
	else
		loop_timer_set_ms(w->watch, 5);
}

/* Runs everybody until that holds. */
static inline void run_until(struct world *w, bool (*until)(struct world *w))
{
	if (w->watch == NULL)
		w->watch = loop_timer_new(w->loop, on_watch, w);
	w->until = until;
	w->deadline_ms = clock_mono_ms() + WAIT_MS;
	loop_timer_set_ms(w->watch, 0);
	loop_run(w->loop);
	for (unsigned i = 0; w->late && i < CLIENTS; i++)
		for (uint64_t n = 1; w->clients[i].t != NULL && n < 100; n++) {
			struct call c = { .kind = CALL_JOB_EXPLAIN, .job = n };
			transfers_answer(w->clients[i].t, &c);
			if (c.error.code != SHOAL_OK)
				break;
			fprintf(stderr, "client %u job %llu: %s\n", i, (unsigned long long)n, c.text);
			free(c.text);
		}
	CHECK(!w->late);
}

static inline bool all_ended(struct world *w)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (w->clients[i].t != NULL && transfers_running(w->clients[i].t) > 0)
			return false;
	return true;
}

/* -- what a user does */

static inline char *make_file(struct world *w, unsigned client, const char *name, size_t size)
{
	char *path = str_printf("%s/%s", w->clients[client].folder, name);
	uint8_t *bytes = xalloc(size + 1);
	struct error e = { 0 };

	for (size_t i = 0; i < size; i += 32)
		check_random_bytes(bytes + i, size - i < 32 ? size - i : 32);
	CHECK_INT(fs_write_file(path, bytes, size, 0600, &e), ==, SHOAL_OK);
	free(bytes);
	return path;
}

static inline uint64_t upload(struct world *w, unsigned client, const char *path)
{
	struct call c = { .kind = CALL_UPLOAD, .group = "g", .path = (char *)path };

	return transfers_upload(w->clients[client].t, &c);
}

static inline uint64_t download_to(struct world *w, unsigned client, const char *name, const char *dest, struct call_opts opts)
{
	struct call c = { .kind = CALL_DOWNLOAD, .group = "g", .path = (char *)dest, .opts = opts };

	snprintf(c.file, sizeof(c.file), "%s", name);
	return transfers_download(w->clients[client].t, &c);
}

/* Into the client's own folder, under "got-NAME". */
static inline uint64_t download(struct world *w, unsigned client, const char *name, struct call_opts opts)
{
	struct link *l = &w->clients[client];

	snprintf(l->path, sizeof(l->path), "%s/got-%s", l->folder, name);
	return download_to(w, client, name, l->path, opts);
}

static inline struct job_info job_of(struct world *w, unsigned client, uint64_t job)
{
	struct job_info info;

	CHECK(transfers_job_info(w->clients[client].t, job, &info));
	return info;
}

static inline void expect_done(struct world *w, unsigned client, uint64_t job)
{
	struct job_info info = job_of(w, client, job);

	if (info.state != JOB_STATE_DONE)
		fprintf(stderr, "client %u: %s\n", client, info.error.message);
	CHECK_STR(job_state_word(info.state), "done");
}

static inline void same_bytes(const char *a, const char *b)
{
	struct buf x = { 0 }, y = { 0 };
	struct error e = { 0 };

	CHECK_INT(fs_read_file(a, 1u << 30, &x, &e), ==, SHOAL_OK);
	CHECK_INT(fs_read_file(b, 1u << 30, &y, &e), ==, SHOAL_OK);
	CHECK(slice_eq(slice_of(x.data, x.len), slice_of(y.data, y.len)));
	buf_free(&x);
	buf_free(&y);
}

static const struct call_opts defaults = { 0 };

static inline char *upload_done(struct world *w, unsigned client, const char *name, size_t size)
{
	char *path = make_file(w, client, name, size);
	uint64_t job = upload(w, client, path);

	run_until(w, all_ended);
	expect_done(w, client, job);
	return path;
}

static inline void command(struct world *w, unsigned client, enum call_kind kind, uint64_t job, struct call_opts opts)
{
	struct call c = { .kind = kind, .job = job, .opts = opts };

	transfers_answer(w->clients[client].t, &c);
	CHECK_INT(c.error.code, ==, SHOAL_OK);
	free(c.jobs);
	free(c.peers);
	free(c.text);
}

static inline bool half_there(struct world *w)
{
	struct job_info info = job_of(w, 1, 1);
	return info.bytes > info.total / 4;
}

static inline bool deaf_was_asked(struct world *w)
{
	return w->deaf_asked;
}

static inline void wait_and_expect(struct world *w, unsigned client, uint64_t job)
{
	run_until(w, all_ended);
	expect_done(w, client, job);
}
#endif
