/* tests/unit/client/test_transfer.c - whole clients' transfers in one process; the tracker is played by this file.
 *
 * link_call() and its friends are defined here, so that client/link.c is not linked: a struct link is one client's way
 * to the little tracker below, which answers in the loop's next turn. */
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
	bool (*until)(struct world *w);
	uint64_t deadline_ms;
	bool late;
};

/* -- the tracker */

static struct tracked *file_named(struct world *w, struct slice name)
{
	for (unsigned i = 0; i < FILES; i++)
		if (w->files[i].used && slice_eq_str(name, w->files[i].name))
			return &w->files[i];
	return NULL;
}

static struct tracked *file_of(struct world *w, struct id16 fid)
{
	for (unsigned i = 0; i < FILES; i++)
		if (w->files[i].used && id16_eq(&w->files[i].fid, &fid))
			return &w->files[i];
	return NULL;
}

static void put_ticket(struct world *w, struct link *l, struct buf *b)
{
	uint64_t now = clock_wall_ms();
	struct ticket t = { .uid = l->uid, .device = l->identity->id, .gid = w->gid, .not_before_ms = now,
		            .not_after_ms = now + w->ticket_ms, .user = slice_str("somebody"),
		            .flags = w->status.plaintext ? TICKET_PLAINTEXT : 0 };
	CHECK_INT(ticket_seal(b, &t, w->key), ==, SHOAL_OK);
}

static void put_rows(struct world *w, struct link *l, const struct tracked *f, struct buf *b)
{
	char text[ADDRESS_MAX];
	size_t at = b->len;
	uint16_t n = 0;

	buf_put_u16(b, 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct link *other = &w->clients[i];
		if (other == l || other->t == NULL || other->offline || (!f->shares[i] && !f->wants[i]))
			continue;
		struct address a = transfers_listen_address(other->t);
		struct row_peer row = { .uid = other->uid, .user = slice_str("somebody"),
			                .address = slice_str(address_format(&a, text)),
			                .identity = other->identity->id, .complete = f->shares[i] };
		row_peer_put(b, &row);
		n++;
	}
	b->data[at] = (uint8_t)(n >> 8);
	b->data[at + 1] = (uint8_t)n;
}

static enum shoal_err on_put_hashes(struct world *w, struct cursor *c, struct buf *b)
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

static enum shoal_err on_upload(struct world *w, struct link *l, struct cursor *c, struct buf *b)
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

static enum shoal_err on_find(struct world *w, struct link *l, struct cursor *c, struct buf *b)
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

static enum shoal_err on_get_hashes(struct world *w, struct cursor *c, struct buf *b)
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

static enum shoal_err on_announce(struct world *w, struct link *l, struct cursor *c, struct buf *b)
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

static enum shoal_err answer(struct world *w, struct link *l, enum cmd_verb verb, struct cursor *c, struct buf *b)
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

static void on_turn(void *arg)
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

static void job_event(void *owner, const char *word, const struct job_info *job)
{
	struct link *l = owner;

	if (strcmp(word, "job.stalled") == 0) {
		l->nstalled++;
		l->stall = job->error.code;
	}
}

static void shared(void *owner, const struct share_info *share, const struct id32 *content, uint64_t job)
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

static void unshared(void *owner, const struct id16 *gid, const struct id16 *fid, const char *why)
{
	struct link *l = owner;
	struct tracked *f = file_of(l->w, *fid);

	CHECK(why[0] != '\0');
	CHECK(id16_eq(gid, &l->w->gid));
	f->shares[l->number] = false;
	l->nunshared++;
}

static void client_start(struct world *w, unsigned i)
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
	l->config.plaintext = w->status.plaintext;
	struct transfers_config config = {
		.client = &l->config, .loop = w->loop, .link = l, .identity = l->identity, .meta_folder = l->folder,
		.job_event = job_event, .shared = shared, .unshared = unshared, .owner = l,
	};
	l->t = transfers_new(&config, &e);
	CHECK(l->t != NULL);
	transfers_on_login(l->t);
}

static void client_stop(struct world *w, unsigned i)
{
	transfers_free(w->clients[i].t);
	w->clients[i].t = NULL;
	for (unsigned f = 0; f < FILES; f++)
		w->files[f].shares[i] = w->files[f].wants[i] = false;
}

static struct world *world_new(unsigned clients, bool plain)
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

static void world_free(struct world *w)
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

static void on_watch(void *arg)
{
	struct world *w = arg;

	w->late = clock_mono_ms() > w->deadline_ms;
	if (w->until(w) || w->late)
		loop_stop(w->loop);
	else
		loop_timer_set_ms(w->watch, 5);
}

/* Runs everybody until that holds. */
static void run_until(struct world *w, bool (*until)(struct world *w))
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

static bool all_ended(struct world *w)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (w->clients[i].t != NULL && transfers_running(w->clients[i].t) > 0)
			return false;
	return true;
}

/* -- what a user does */

static char *make_file(struct world *w, unsigned client, const char *name, size_t size)
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

static uint64_t upload(struct world *w, unsigned client, const char *path)
{
	struct call c = { .kind = CALL_UPLOAD, .group = "g", .path = (char *)path };

	return transfers_upload(w->clients[client].t, &c);
}

static uint64_t download_to(struct world *w, unsigned client, const char *name, const char *dest, struct call_opts opts)
{
	struct call c = { .kind = CALL_DOWNLOAD, .group = "g", .path = (char *)dest, .opts = opts };

	snprintf(c.file, sizeof(c.file), "%s", name);
	return transfers_download(w->clients[client].t, &c);
}

/* Into the client's own folder, under "got-NAME". */
static uint64_t download(struct world *w, unsigned client, const char *name, struct call_opts opts)
{
	struct link *l = &w->clients[client];

	snprintf(l->path, sizeof(l->path), "%s/got-%s", l->folder, name);
	return download_to(w, client, name, l->path, opts);
}

static struct job_info job_of(struct world *w, unsigned client, uint64_t job)
{
	struct job_info info;

	CHECK(transfers_job_info(w->clients[client].t, job, &info));
	return info;
}

static void expect_done(struct world *w, unsigned client, uint64_t job)
{
	struct job_info info = job_of(w, client, job);

	if (info.state != JOB_STATE_DONE)
		fprintf(stderr, "client %u: %s\n", client, info.error.message);
	CHECK_STR(job_state_word(info.state), "done");
}

static void same_bytes(const char *a, const char *b)
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

static char *upload_done(struct world *w, unsigned client, const char *name, size_t size)
{
	char *path = make_file(w, client, name, size);
	uint64_t job = upload(w, client, path);

	run_until(w, all_ended);
	expect_done(w, client, job);
	return path;
}

/* -- the stories */

static void one_to_one(bool plain, size_t size)
{
	struct world *w = world_new(2, plain);
	char *path = upload_done(w, 0, "song", size);
	uint64_t job = download(w, 1, "song", defaults);

	run_until(w, all_ended);
	expect_done(w, 1, job);
	same_bytes(path, w->clients[1].path);
	CHECK_INT(job_of(w, 1, job).bytes, ==, size);
	CHECK_INT(w->clients[1].nshared, ==, 1);
	free(path);
	world_free(w);
}

static void a_file_goes_from_one_to_another(void)
{
	one_to_one(false, 5 * PIECE_SIZE + 17);
	one_to_one(true, 20 * PIECE_SIZE);
}

static void odd_sizes_arrive(void)
{
	static const size_t sizes[] = { 0, 1, PIECE_SIZE - 1, PIECE_SIZE, PIECE_SIZE + 1 };

	for (size_t i = 0; i < COUNT_OF(sizes); i++)
		one_to_one(i % 2 == 0, sizes[i]);
}

static void leechers_serve_each_other(void)
{
	struct world *w = world_new(4, false);
	char *path = upload_done(w, 0, "film", 24 * PIECE_SIZE + 5);
	uint64_t jobs[4] = { 0 };

	for (unsigned i = 1; i < 4; i++)
		jobs[i] = download(w, i, "film", defaults);
	run_until(w, all_ended);
	uint32_t relayed = 0;
	for (unsigned i = 1; i < 4; i++) {
		expect_done(w, i, jobs[i]);
		same_bytes(path, w->clients[i].path);
		relayed += job_of(w, i, jobs[i]).sources > 1;
	}
	CHECK_INT(relayed, >, 0);
	free(path);
	world_free(w);
}

static void who_has_finished_serves_the_next(void)
{
	struct world *w = world_new(3, true);
	char *path = upload_done(w, 0, "song", 3 * PIECE_SIZE + 17);
	uint64_t first = download(w, 1, "song", defaults);

	run_until(w, all_ended);
	expect_done(w, 1, first);
	client_stop(w, 0);
	uint64_t second = download(w, 2, "song", defaults);
	run_until(w, all_ended);
	expect_done(w, 2, second);
	same_bytes(path, w->clients[2].path);
	free(path);
	world_free(w);
}

static void many_files_share_one_connection(void)
{
	struct world *w = world_new(2, false);
	char *paths[30], name[16];
	uint64_t jobs[30];

	for (unsigned i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		paths[i] = upload_done(w, 0, name, 1 + check_random(2 * PIECE_SIZE));
	}
	for (unsigned i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		jobs[i] = download(w, 1, name, defaults);
	}
	run_until(w, all_ended);
	for (unsigned i = 0; i < 30; i++) {
		expect_done(w, 1, jobs[i]);
		same_bytes(paths[i], job_of(w, 1, jobs[i]).path);
		free(paths[i]);
	}
	world_free(w);
}

static bool deaf_was_asked(struct world *w)
{
	return w->deaf_asked;
}

static bool first_client_hashes(struct world *w)
{
	for (uint64_t n = 1; n < 10; n++) {
		struct job_info info;
		if (transfers_job_info(w->clients[0].t, n, &info) && info.state == JOB_STATE_HASHING)
			return true;
	}
	return all_ended(w);
}

static bool half_there(struct world *w)
{
	struct job_info info = job_of(w, 1, 1);
	return info.bytes > info.total / 4;
}

static void a_dead_seeder_is_replaced(void)
{
	struct world *w = world_new(3, true);
	char *path = upload_done(w, 0, "film", 16 * PIECE_SIZE);
	uint64_t copy = download(w, 2, "film", defaults);

	run_until(w, all_ended);
	expect_done(w, 2, copy);
	uint64_t job = download(w, 1, "film", (struct call_opts){ .limit = 8u << 20 });
	run_until(w, half_there);
	client_stop(w, 0);
	run_until(w, all_ended);
	expect_done(w, 1, job);
	same_bytes(path, w->clients[1].path);
	free(path);
	world_free(w);
}

static bool stalled(struct world *w)
{
	return w->clients[1].nstalled > 0;
}

static void it_waits_for_a_seeder_and_goes_on(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", 3 * PIECE_SIZE);

	w->clients[0].offline = true;
	uint64_t job = download(w, 1, "song", defaults);
	run_until(w, stalled);
	CHECK_INT(w->clients[1].stall, ==, SHOAL_ENOSEEDER);
	w->clients[0].offline = false;
	run_until(w, all_ended);
	expect_done(w, 1, job);
	free(path);
	world_free(w);
}

static void without_a_seeder_it_fails_in_time(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", 3 * PIECE_SIZE);

	w->clients[0].offline = true;
	uint64_t job = download(w, 1, "song", (struct call_opts){ .wait_for_seeder_ms = 4000 });
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 1, job).error.code, ==, SHOAL_ENOSEEDER);
	free(path);
	world_free(w);
}

static void damaged_pieces_are_refused_and_found_elsewhere(void)
{
	struct world *w = world_new(3, true);
	char *path = upload_done(w, 0, "song", 24 * PIECE_SIZE);
	char *other = make_file(w, 1, "song", 24 * PIECE_SIZE); /* the same size, other bytes */
	struct share_info share = { .gid = w->gid, .fid = w->files[0].fid, .path = other, .size = 24 * PIECE_SIZE };

	transfers_serve(w->clients[1].t, &share, &w->files[0].head.content);
	w->files[0].shares[1] = true;
	uint64_t job = download(w, 2, "song", (struct call_opts){ .limit = 8u << 20 });
	run_until(w, all_ended);
	expect_done(w, 2, job);
	CHECK_INT(job_of(w, 2, job).bad_pieces, >, 0);
	CHECK_INT(job_of(w, 2, job).bad_pieces, <=, 2);
	same_bytes(path, w->clients[2].path);
	free(path);
	free(other);
	world_free(w);
}

static void a_changed_file_is_not_served(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", 2 * PIECE_SIZE);
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	CHECK_INT(write(fd, "x", 1), ==, 1);
	close(fd);
	uint64_t job = download(w, 1, "song", (struct call_opts){ .timeout_ms = 5000 });
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 1, job).state, ==, JOB_STATE_FAILED);
	CHECK_INT(w->clients[0].nunshared, ==, 1);
	free(path);
	world_free(w);
}

static void a_stranger_is_not_served(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", 2 * PIECE_SIZE);
	uint8_t seed[SEED_SIZE] = { 98 };
	EVP_PKEY *right = w->key;

	w->key = key_from_seed(seed); /* tickets that no tracker of ours has signed */
	uint64_t job = download(w, 1, "song", (struct call_opts){ .timeout_ms = 4000 });
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 1, job).state, ==, JOB_STATE_FAILED);
	CHECK_INT(job_of(w, 1, job).pieces, ==, 0);
	EVP_PKEY_free(w->key);
	w->key = right;
	free(path);
	world_free(w);
}

static void short_tickets_are_renewed_in_time(void)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, 0, "song", 8 * PIECE_SIZE);

	w->ticket_ms = 900;
	uint64_t job = download(w, 1, "song", (struct call_opts){ .limit = 2u << 20 }); /* takes 2 s */
	run_until(w, all_ended);
	expect_done(w, 1, job);
	CHECK_INT(job_of(w, 1, job).took_ms, >, 1500);
	free(path);
	world_free(w);
}

static void command(struct world *w, unsigned client, enum call_kind kind, uint64_t job, struct call_opts opts)
{
	struct call c = { .kind = kind, .job = job, .opts = opts };

	transfers_answer(w->clients[client].t, &c);
	CHECK_INT(c.error.code, ==, SHOAL_OK);
	free(c.jobs);
	free(c.peers);
	free(c.text);
}

static void pause_resume_cancel(void)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, 0, "song", 16 * PIECE_SIZE), *part;
	uint64_t job = download(w, 1, "song", (struct call_opts){ .limit = 4u << 20 });

	run_until(w, half_there);
	command(w, 1, CALL_JOB_PAUSE, job, defaults);
	CHECK_INT(job_of(w, 1, job).state, ==, JOB_STATE_PAUSED);
	run_until(w, all_ended); /* a paused job does not run */
	command(w, 1, CALL_JOB_LIMIT, job, defaults);
	command(w, 1, CALL_JOB_RESUME, job, defaults);
	run_until(w, all_ended);
	expect_done(w, 1, job);
	same_bytes(path, w->clients[1].path);

	snprintf(w->clients[1].path, sizeof(w->clients[1].path), "%s/second", w->clients[1].folder);
	uint64_t again = download_to(w, 1, "song", w->clients[1].path, (struct call_opts){ .limit = 1u << 20 });
	command(w, 1, CALL_JOB_PEERS, again, defaults);
	command(w, 1, CALL_JOB_CANCEL, again, defaults);
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 1, again).state, ==, JOB_STATE_CANCELLED);
	part = str_printf("%s.part", w->clients[1].path);
	CHECK(access(part, F_OK) != 0);
	free(part);
	free(path);
	world_free(w);
}

static void a_stopped_download_goes_on_where_it_was(void)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, 0, "song", 16 * PIECE_SIZE), *dest;

	download(w, 1, "song", (struct call_opts){ .limit = 6u << 20 });
	dest = xstrdup(w->clients[1].path);
	run_until(w, half_there);
	client_stop(w, 1);
	client_start(w, 1);
	uint64_t job = download_to(w, 1, "song", dest, defaults);
	run_until(w, all_ended);
	expect_done(w, 1, job);
	CHECK_INT(job_of(w, 1, job).resumed, >=, 3 * PIECE_SIZE);
	same_bytes(path, dest);
	free(dest);
	free(path);
	world_free(w);
}

static void the_tracker_goes_and_the_transfer_goes_on(void)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, 0, "song", 16 * PIECE_SIZE);
	uint64_t job = download(w, 1, "song", (struct call_opts){ .limit = 6u << 20 });

	run_until(w, half_there);
	w->clients[0].offline = w->clients[1].offline = true;
	run_until(w, all_ended);
	expect_done(w, 1, job);
	free(path);
	world_free(w);
}

static void a_former_member_is_cut_off(void)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, 0, "song", 16 * PIECE_SIZE);
	uint64_t job = download(w, 1, "song", (struct call_opts){ .limit = 3u << 20, .timeout_ms = 8000 });

	run_until(w, half_there);
	transfers_on_revoke(w->clients[0].t, &w->gid, &w->clients[1].uid);
	transfers_on_revoke(w->clients[1].t, &w->gid, &w->clients[1].uid);
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 1, job).error.code, ==, SHOAL_EDENIED);
	free(path);
	world_free(w);
}

static void wait_and_expect(struct world *w, unsigned client, uint64_t job)
{
	run_until(w, all_ended);
	expect_done(w, client, job);
}

/* What is there already, or empty, comes over no connection; it is served to the next one all the same. */
static void what_was_there_already_is_served(void)
{
	struct world *w = world_new(3, false);
	char *empty = upload_done(w, 0, "empty", 0), *song = upload_done(w, 0, "song", 3 * PIECE_SIZE + 5);

	snprintf(w->clients[1].path, sizeof(w->clients[1].path), "%s/here", w->clients[1].folder);
	char *command = str_printf("cp '%s' '%s'", song, w->clients[1].path);
	CHECK_INT(system(command), ==, 0);
	wait_and_expect(w, 1, download_to(w, 1, "song", w->clients[1].path, defaults));
	CHECK_INT(w->clients[1].nshared, ==, 1);
	client_stop(w, 0);
	wait_and_expect(w, 2, download(w, 2, "song", (struct call_opts){ .timeout_ms = 5000 }));
	same_bytes(song, w->clients[2].path);
	wait_and_expect(w, 2, download(w, 2, "empty", defaults));
	free(command);
	free(empty);
	free(song);
	world_free(w);
}

/* The client stops when the file has its name and the tracker has not heard of it. */
static void a_published_file_is_shared_by_the_next_try(void)
{
	struct world *w = world_new(3, true);
	char *song = upload_done(w, 0, "song", 4 * PIECE_SIZE), *dest;

	w->deaf = VERB_UPDATE_FILE_INFO;
	download(w, 1, "song", defaults);
	dest = xstrdup(w->clients[1].path);
	run_until(w, deaf_was_asked);
	CHECK(access(dest, F_OK) == 0);
	client_stop(w, 1);
	CHECK_INT(w->clients[1].nshared, ==, 0);
	w->deaf = NOT_DEAF;
	client_start(w, 1);
	uint64_t again = download_to(w, 1, "song", dest, defaults);
	wait_and_expect(w, 1, again);
	CHECK_INT(job_of(w, 1, again).resumed, ==, 4 * PIECE_SIZE);
	CHECK_INT(w->clients[1].nshared, ==, 1);
	client_stop(w, 0);
	wait_and_expect(w, 2, download(w, 2, "song", defaults));
	same_bytes(song, w->clients[2].path);
	free(dest);
	free(song);
	world_free(w);
}

/* -- our own share */

static void our_own_share_is_copied(void)
{
	struct world *w = world_new(2, true);
	char *song = upload_done(w, 0, "song", 70 * PIECE_SIZE + 9), *inner;
	struct call_opts again = { .on_exists = EXISTS_REPLACE };

	wait_and_expect(w, 0, download(w, 0, "song", defaults));
	same_bytes(song, w->clients[0].path);
	CHECK_INT(w->clients[0].nshared, ==, 1); /* the first one goes on being the one that is shared */
	inner = str_printf("%s.part", w->clients[0].path);
	CHECK(access(inner, F_OK) != 0);
	CHECK_INT(unlink(w->clients[0].path), ==, 0);
	/* over itself: afterwards the new one is served */
	wait_and_expect(w, 0, download_to(w, 0, "song", song, again));
	CHECK_INT(w->clients[0].nshared, ==, 2);
	wait_and_expect(w, 1, download(w, 1, "song", defaults));
	same_bytes(song, w->clients[1].path);
	CHECK_INT(w->clients[0].nunshared, ==, 0);
	free(inner);
	free(song);
	world_free(w);
}

/* Damaged in place, its marks set back: only what is right is taken, the rest comes from others. */
static void a_damaged_share_of_ours_is_not_copied(void)
{
	struct world *w = world_new(2, true);
	char *song = upload_done(w, 0, "song", 6 * PIECE_SIZE);
	struct stat st;

	wait_and_expect(w, 1, download(w, 1, "song", defaults));
	int fd = open(w->clients[1].path, O_WRONLY | O_CLOEXEC);
	CHECK_INT(fstat(fd, &st), ==, 0);
	CHECK(lseek(fd, 2 * PIECE_SIZE + 7, SEEK_SET) > 0);
	CHECK_INT(write(fd, "damaged", 7), ==, 7);
	struct timespec times[2] = { st.st_atim, st.st_mtim };
	CHECK_INT(futimens(fd, times), ==, 0);
	close(fd);
	char *copy = str_printf("%s/copy", w->clients[1].folder);
	uint64_t job = download_to(w, 1, "song", copy, defaults);
	wait_and_expect(w, 1, job);
	same_bytes(song, copy);
	CHECK_INT(job_of(w, 1, job).sources, ==, 1);
	CHECK_INT(w->clients[1].nshared, ==, 2); /* the good one is shared from now on */
	free(copy);
	free(song);
	world_free(w);
}

/* -- a file of that name is there */

static uint64_t over(struct world *w, const char *dest, enum on_exists policy)
{
	uint64_t job = download_to(w, 1, "song", dest, (struct call_opts){ .on_exists = policy });

	run_until(w, all_ended);
	return job;
}

static void every_policy_about_a_file_that_is_there(void)
{
	struct world *w = world_new(2, false);
	char *song = upload_done(w, 0, "song", PIECE_SIZE + 3), *other = make_file(w, 1, "other", PIECE_SIZE + 3);
	char *dest = str_printf("%s/dest", w->clients[1].folder), *renamed = str_printf("%s.1", dest);
	char *command = str_printf("cp '%s' '%s'", other, dest);

	CHECK_INT(system(command), ==, 0);
	uint64_t fail = over(w, dest, EXISTS_FAIL), resume = over(w, dest, EXISTS_RESUME);
	CHECK_INT(job_of(w, 1, fail).error.code, ==, SHOAL_EEXISTS);
	CHECK(strstr(job_of(w, 1, fail).error.message, dest) != NULL);
	CHECK_INT(job_of(w, 1, resume).error.code, ==, SHOAL_EEXISTS);
	same_bytes(other, dest);
	expect_done(w, 1, over(w, dest, EXISTS_SKIP));
	same_bytes(other, dest);
	CHECK_INT(w->clients[1].nshared, ==, 0); /* nobody knows what it is */
	uint64_t rename = over(w, dest, EXISTS_RENAME);
	expect_done(w, 1, rename);
	CHECK_STR(job_of(w, 1, rename).path, renamed);
	same_bytes(other, dest);
	same_bytes(song, renamed);
	expect_done(w, 1, over(w, dest, EXISTS_REPLACE));
	same_bytes(song, dest);
	uint64_t same = over(w, dest, EXISTS_RESUME);
	expect_done(w, 1, same);
	CHECK_INT(job_of(w, 1, same).resumed, ==, PIECE_SIZE + 3);
	CHECK_INT(job_of(w, 1, over(w, dest, EXISTS_FAIL)).error.code, ==, SHOAL_EEXISTS);
	free(command);
	free(renamed);
	free(dest);
	free(other);
	free(song);
	world_free(w);
}

/* -- places */

static bool second_moves(struct world *w)
{
	return job_of(w, 1, 2).bytes > 0;
}

static bool third_done(struct world *w)
{
	return job_of(w, 1, 3).state == JOB_STATE_DONE;
}

static void a_paused_job_gives_its_place(void)
{
	struct world *w = world_new(1, true);
	char *a = upload_done(w, 0, "a", 8 * PIECE_SIZE), *b = upload_done(w, 0, "b", 8 * PIECE_SIZE);
	char *c = upload_done(w, 0, "c", PIECE_SIZE);
	struct call_opts slow = { .limit = 2u << 20 };

	w->clients[1].config.max_active = 1;
	client_start(w, 1);
	uint64_t first = download(w, 1, "a", slow), second = download(w, 1, "b", slow), third = download(w, 1, "c", defaults);
	run_until(w, half_there);
	CHECK_INT(job_of(w, 1, second).state, ==, JOB_STATE_QUEUED);
	command(w, 1, CALL_JOB_PAUSE, first, defaults);
	run_until(w, second_moves);
	CHECK_INT(job_of(w, 1, first).state, ==, JOB_STATE_PAUSED);
	command(w, 1, CALL_JOB_RESUME, first, defaults); /* there is no place for it */
	CHECK_INT(job_of(w, 1, first).state, ==, JOB_STATE_QUEUED);
	command(w, 1, CALL_JOB_PAUSE, first, defaults);
	command(w, 1, CALL_JOB_PAUSE, third, defaults); /* before it was ever started */
	command(w, 1, CALL_JOB_RESUME, third, defaults);
	command(w, 1, CALL_JOB_CANCEL, second, defaults);
	run_until(w, third_done);
	CHECK_INT(job_of(w, 1, first).state, ==, JOB_STATE_PAUSED);
	command(w, 1, CALL_JOB_LIMIT, first, defaults);
	command(w, 1, CALL_JOB_RESUME, first, defaults);
	wait_and_expect(w, 1, first);
	same_bytes(a, job_of(w, 1, first).path);
	free(a);
	free(b);
	free(c);
	world_free(w);
}

/* -- uploads that are not to be */

static void an_upload_can_be_cancelled_and_be_late(void)
{
	struct world *w = world_new(1, false);
	char *path = make_file(w, 0, "song", 64 * PIECE_SIZE);
	uint64_t cancelled = upload(w, 0, path);

	w->deaf = VERB_UPLOAD_CHECK;
	run_until(w, deaf_was_asked);
	command(w, 0, CALL_JOB_CANCEL, cancelled, defaults);
	CHECK_INT(job_of(w, 0, cancelled).state, ==, JOB_STATE_CANCELLED);
	w->deaf_asked = false;
	struct call c = { .kind = CALL_UPLOAD, .group = "g", .path = path, .opts.timeout_ms = 300 };
	uint64_t late = transfers_upload(w->clients[0].t, &c);
	run_until(w, all_ended);
	CHECK(w->deaf_asked);
	CHECK_INT(job_of(w, 0, late).state, ==, JOB_STATE_FAILED);
	CHECK_INT(job_of(w, 0, late).error.code, ==, SHOAL_ETIMEOUT);
	w->deaf = NOT_DEAF;
	uint64_t hashing = upload(w, 0, path);
	run_until(w, first_client_hashes);
	command(w, 0, CALL_JOB_CANCEL, hashing, defaults);
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 0, hashing).state, ==, JOB_STATE_CANCELLED);
	CHECK_INT(w->clients[0].nshared, ==, 0);
	free(path);
	world_free(w);
}

static bool something_to_keep(struct world *w)
{
	return w->clients[0].to_keep != 0 || w->clients[1].to_keep != 0;
}

/* Whoever is told "done" may be killed the next moment, and shares the file after his next start. */
static void nothing_is_done_before_it_is_kept(void)
{
	struct world *w = world_new(2, true);
	char *path = make_file(w, 0, "song", 2 * PIECE_SIZE);
	struct call cancel = { .kind = CALL_JOB_CANCEL };

	w->clients[0].slow_disk = w->clients[1].slow_disk = true;
	uint64_t up = upload(w, 0, path);
	run_until(w, something_to_keep);
	CHECK(!job_state_final(job_of(w, 0, up).state));
	cancel.job = up;
	transfers_answer(w->clients[0].t, &cancel); /* too late: everybody knows of it */
	CHECK(!job_state_final(job_of(w, 0, up).state));
	transfers_kept(w->clients[0].t, up);
	CHECK_INT(job_of(w, 0, up).state, ==, JOB_STATE_DONE);
	w->clients[0].to_keep = 0;

	uint64_t down = download(w, 1, "song", defaults);
	run_until(w, something_to_keep);
	CHECK(!job_state_final(job_of(w, 1, down).state));
	transfers_kept(w->clients[1].t, down);
	run_until(w, all_ended);
	expect_done(w, 1, down);
	free(path);
	world_free(w);
}

static void refusals_say_why(void)
{
	struct world *w = world_new(1, false);
	uint64_t folder = upload(w, 0, w->clients[0].folder), nothing = upload(w, 0, "/no/such/file");
	uint64_t unknown = download(w, 0, "nobody has this", defaults);

	run_until(w, all_ended);
	CHECK_INT(job_of(w, 0, folder).error.code, ==, SHOAL_EUSAGE);
	CHECK_INT(job_of(w, 0, nothing).error.code, ==, SHOAL_ENOTFOUND);
	CHECK(strstr(job_of(w, 0, nothing).error.message, "/no/such/file") != NULL);
	CHECK_INT(job_of(w, 0, unknown).error.code, ==, SHOAL_ENOTFOUND);
	world_free(w);
}

static const struct CMUnitTest tests[] = {
	TEST(a_file_goes_from_one_to_another),
	TEST(odd_sizes_arrive),
	TEST(leechers_serve_each_other),
	TEST(who_has_finished_serves_the_next),
	TEST(many_files_share_one_connection),
	TEST(a_dead_seeder_is_replaced),
	TEST(it_waits_for_a_seeder_and_goes_on),
	TEST(without_a_seeder_it_fails_in_time),
	TEST(damaged_pieces_are_refused_and_found_elsewhere),
	TEST(a_changed_file_is_not_served),
	TEST(a_stranger_is_not_served),
	TEST(short_tickets_are_renewed_in_time),
	TEST(pause_resume_cancel),
	TEST(a_stopped_download_goes_on_where_it_was),
	TEST(the_tracker_goes_and_the_transfer_goes_on),
	TEST(a_former_member_is_cut_off),
	TEST(what_was_there_already_is_served),
	TEST(a_published_file_is_shared_by_the_next_try),
	TEST(our_own_share_is_copied),
	TEST(a_damaged_share_of_ours_is_not_copied),
	TEST(every_policy_about_a_file_that_is_there),
	TEST(a_paused_job_gives_its_place),
	TEST(an_upload_can_be_cancelled_and_be_late),
	TEST(nothing_is_done_before_it_is_kept),
	TEST(refusals_say_why),
};
CHECK_MAIN(tests)
