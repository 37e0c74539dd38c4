/* tests/unit/client/test_peer_io.c - two sets of transfer threads talk over socketpairs. */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/peer_io.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/net/stream.h"
#include "tests/unit/check.h"

enum { WAIT_MS = 10000, LENGTH = 3 * PIECE_SIZE + 17 };

/* One program's end. */
struct side {
	struct tls_identity *identity;
	struct queue *events;
	struct queue_node *taken; /* not looked at yet */
	struct peer_event *kept[16]; /* looked at by expect() and not wanted yet */
	unsigned nkept;
	struct peer_rate up, down;
	struct peer_io *io;
};

static void side_init(struct side *s, uint8_t seed, uint32_t handshake_ms)
{
	uint8_t bytes[SEED_SIZE] = { seed };
	struct error e = { 0 };

	net_init();
	memset(s, 0, sizeof(*s));
	s->identity = tls_identity_new(bytes, &e);
	CHECK(s->identity != NULL);
	s->events = queue_new();
	peer_rate_init(&s->up, 0);
	peer_rate_init(&s->down, 0);
	struct peer_io_config config = {
		.threads = 2, .identity = s->identity, .events = s->events, .up = &s->up, .down = &s->down, .buffers = 8,
		.handshake_ms = handshake_ms,
	};
	s->io = peer_io_new(&config, &e);
	CHECK(s->io != NULL);
}

/* The next event, whatever it is. */
static struct peer_event *next_event(struct side *s)
{
	uint64_t until = clock_mono_ms() + WAIT_MS;

	while (s->taken == NULL && clock_mono_ms() < until) {
		queue_wait(s->events, 100);
		s->taken = queue_take_all(s->events);
	}
	CHECK(s->taken != NULL);
	struct peer_event *ev = container_of(s->taken, struct peer_event, node);
	s->taken = s->taken->next;
	return ev;
}

/* The next event of that type. Progress is passed over; the rest is kept for later. */
static struct peer_event *expect(struct side *s, enum peer_event_type type)
{
	struct peer_event *ev;

	for (unsigned i = 0; i < s->nkept; i++)
		if (s->kept[i]->type == type) {
			ev = s->kept[i];
			memmove(&s->kept[i], &s->kept[i + 1], (--s->nkept - i) * sizeof(ev));
			return ev;
		}
	for (;;) {
		ev = next_event(s);
		if (ev->type == type)
			return ev;
		if (ev->type == PEER_PIECE_BEGIN || ev->type == PEER_PIECE_BYTES || ev->type == PEER_SERVED) {
			peer_event_free(ev);
			continue;
		}
		if (ev->type == PEER_DOWN)
			fprintf(stderr, "down: %s\n", ev->why->message);
		CHECK(ev->type != PEER_DOWN && s->nkept < 16);
		s->kept[s->nkept++] = ev;
	}
}

static enum shoal_err expect_down(struct side *s)
{
	struct peer_event *ev = expect(s, PEER_DOWN);
	enum shoal_err code = ev->why->code;

	peer_conn_release(ev->conn);
	return code;
}

static void dispose(struct peer_event *ev)
{
	if (ev->type == PEER_DOWN)
		peer_conn_release(ev->conn);
	else if (ev->type == PEER_ASK_DONE)
		free(peer_event_ask(ev));
	else if (ev->type == PEER_SERVE_DONE)
		free(peer_event_serve(ev));
	else
		peer_event_free(ev);
}

static void side_fini(struct side *s)
{
	peer_io_stop(s->io);
	while (s->nkept > 0)
		dispose(s->kept[--s->nkept]);
	struct queue_node *n = s->taken;
	for (int round = 0; round < 2; round++, n = queue_take_all(s->events))
		for (struct queue_node *next; n != NULL; n = next) {
			next = n->next;
			dispose(container_of(n, struct peer_event, node));
		}
	peer_io_free(s->io);
	queue_free(s->events);
	tls_identity_free(s->identity);
	peer_rate_fini(&s->up);
	peer_rate_fini(&s->down);
}

struct pair {
	struct side a, b;
	struct peer_conn *ac, *bc; /* a dialled */
};

static void open_pair(struct pair *p, bool plain, bool allowed, const struct id32 *wanted)
{
	int fds[2];

	side_init(&p->a, 1, 0);
	side_init(&p->b, 2, 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
	struct peer_how how = { .fd = fds[0], .dialler = true, .plain = plain };
	how.identity = wanted != NULL ? *wanted : p->b.identity->id;
	p->ac = peer_io_open(p->a.io, &how, &p->a);
	how = (struct peer_how){ .fd = fds[1], .plain = allowed };
	p->bc = peer_io_open(p->b.io, &how, &p->b);
	CHECK(p->ac != NULL && p->bc != NULL);
}

static void go_up(struct pair *p, bool plain)
{
	struct peer_event *ev;

	open_pair(p, plain, true, NULL);
	ev = expect(&p->a, PEER_UP);
	CHECK(id32_eq(&ev->identity, &p->b.identity->id));
	CHECK_INT(ev->plain, ==, plain);
	CHECK(ev->owner == &p->a);
	peer_event_free(ev);
	ev = expect(&p->b, PEER_UP);
	CHECK(id32_eq(&ev->identity, &p->a.identity->id));
	peer_event_free(ev);
}

static void close_pair(struct pair *p)
{
	side_fini(&p->a);
	side_fini(&p->b);
}

/* -- a file to serve and a place to put it */
struct files {
	uint8_t *bytes;
	struct metainfo *meta;
	struct piece_source *source;
	struct storage *st;
	struct piece_sink sink;
	struct peer_rate limit;
};

static void files_init(struct files *f, unsigned nthreads)
{
	struct error e = { 0 };
	char *path = str_printf("%s/source-%u", check_folder(), check_random(1u << 30));
	char *name = str_printf("dest-%u", check_random(1u << 30));
	struct file_stamp stamp;

	f->bytes = xalloc(LENGTH);
	check_random_bytes(f->bytes, LENGTH);
	CHECK_INT(fs_write_file(path, f->bytes, LENGTH, 0600, &e), ==, SHOAL_OK);
	CHECK_INT(file_hash_run(path, NULL, NULL, &f->meta, &stamp, &e), ==, SHOAL_OK);
	f->source = xalloc(sizeof(*f->source) + nthreads * sizeof(struct source_slot));
	f->source->nslots = nthreads;
	CHECK_INT(shared_file_open(path, &stamp, &f->source->shared, &e), ==, SHOAL_OK);
	for (unsigned i = 0; i < nthreads; i++)
		CHECK_INT(shared_file_reader(f->source->shared, &f->source->slots[i].reader, &e), ==, SHOAL_OK);
	struct storage_options o = { .folder = check_folder(), .name = name, .meta = f->meta };
	CHECK_INT(storage_open(&o, &f->st, &e), ==, SHOAL_OK);
	peer_rate_init(&f->limit, 0);
	CHECK_INT(piece_sink_init(&f->sink, f->st, f->meta, NULL, &f->limit, &e), ==, SHOAL_OK);
	free(path);
	free(name);
}

static void files_fini(struct files *f)
{
	piece_sink_fini(&f->sink);
	storage_discard(f->st);
	for (unsigned i = 0; i < f->source->nslots; i++)
		file_reader_close(&f->source->slots[i].reader);
	shared_file_close(f->source->shared);
	free(f->source);
	metainfo_free(f->meta);
	free(f->bytes);
	peer_rate_fini(&f->limit);
}

static void ask(struct pair *p, struct files *f, uint32_t piece)
{
	struct piece_ask *a = xalloc(sizeof(*a));

	a->ch = 2;
	a->piece = piece;
	a->length = metainfo_piece_len(f->meta, piece);
	a->sink = &f->sink;
	peer_conn_ask(p->ac, a);
}

/* b has read a REQUEST and serves it, `lie` bytes further on. */
static void serve_one(struct pair *p, struct files *f, uint64_t lie)
{
	struct peer_event *ev = expect(&p->b, PEER_FRAME);
	CHECK_INT(ev->frame, ==, PEER_REQUEST);
	struct cursor c = cursor_of(ev->body.data, ev->body.len);
	struct peer_request m;
	peer_request_get(&c, &m);
	CHECK_INT(m.ch, ==, 2);
	CHECK_INT(m.offset, ==, 0);
	struct piece_serve *s = xalloc(sizeof(*s));
	s->ch = m.ch;
	s->piece = m.piece;
	s->length = m.length;
	s->offset = metainfo_piece_offset(f->meta, m.piece) + lie;
	s->source = f->source;
	peer_conn_serve(p->bc, s);
	peer_event_free(ev);
}

static enum ask_result asked(struct pair *p)
{
	struct piece_ask *a = peer_event_ask(expect(&p->a, PEER_ASK_DONE));
	enum ask_result result = a->result;

	free(a);
	return result;
}

static void served(struct pair *p, bool whole)
{
	struct piece_serve *s = peer_event_serve(expect(&p->b, PEER_SERVE_DONE));

	CHECK_INT(s->whole, ==, whole);
	free(s);
}

static void whole_file(bool plain)
{
	struct pair p;
	struct files f;

	go_up(&p, plain);
	files_init(&f, peer_io_threads(p.b.io));
	for (uint32_t i = 0; i < f.meta->npieces; i++)
		ask(&p, &f, i);
	for (uint32_t i = 0; i < f.meta->npieces; i++)
		serve_one(&p, &f, 0);
	for (uint32_t i = 0; i < f.meta->npieces; i++) {
		CHECK_INT(asked(&p), ==, ASK_OK);
		served(&p, true);
		storage_mark_verified(f.st, i);
	}
	struct file_reader r;
	struct error e = { 0 };
	uint8_t *got = xalloc(LENGTH);
	CHECK_INT(storage_reader_open(f.st, &r, &e), ==, SHOAL_OK);
	CHECK_INT(file_reader_read(&r, 0, got, LENGTH, &e), ==, SHOAL_OK);
	CHECK(memcmp(got, f.bytes, LENGTH) == 0);
	free(got);
	file_reader_close(&r);
	close_pair(&p);
	files_fini(&f);
}

static void a_file_goes_over_tls(void)
{
	whole_file(false);
}

static void a_file_goes_in_the_clear(void)
{
	whole_file(true);
}

/* What the disk does not give: the engine learns that it is the file, so that it is served no longer. */
static void unreadable_file(bool plain)
{
	struct pair p;
	struct files f;

	go_up(&p, plain);
	files_init(&f, peer_io_threads(p.b.io));
	for (unsigned i = 0; i < f.source->nslots; i++) {
		file_reader_close(&f.source->slots[i].reader);
		f.source->slots[i].reader = (struct file_reader){ .fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC) };
		CHECK(f.source->slots[i].reader.fd >= 0); /* nothing is mapped at 0: EIO */
	}
	ask(&p, &f, 0);
	serve_one(&p, &f, 0);
	struct piece_serve *s = peer_event_serve(expect(&p.b, PEER_SERVE_DONE));
	CHECK(!s->whole);
	CHECK_INT(s->error.code, ==, SHOAL_EIO);
	free(s);
	CHECK_INT(asked(&p), ==, ASK_LOST);
	expect_down(&p.a);
	expect_down(&p.b);
	close_pair(&p);
	files_fini(&f);
}

static void a_file_that_cannot_be_read_is_named_over_tls(void)
{
	unreadable_file(false);
}

static void a_file_that_cannot_be_read_is_named_in_the_clear(void)
{
	unreadable_file(true);
}

/* -- past 4 GiB, where an offset of 32 bits begins anew */

static const uint32_t far_pieces[] = { 0, 8191, 8192, 8193 };
enum { FAR_COUNT = 8194, FAR_LAST = 99 }; /* pieces; bytes in the last one */

static uint8_t *far_bytes(unsigned i)
{
	uint8_t *bytes = xalloc(PIECE_SIZE);

	memset(bytes, 'a' + (int)i, PIECE_SIZE);
	return bytes;
}

/* Only the pieces that are asked for have data, and right hashes. */
static char *far_file(struct metainfo **meta)
{
	char *path = str_printf("%s/far-%u", check_folder(), check_random(1u << 30));
	struct id32 *hashes = xalloc(FAR_COUNT * sizeof(*hashes)), none = { 0 };
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct error e = { 0 };

	CHECK_INT(metainfo_new((uint64_t)(FAR_COUNT - 1) * PIECE_SIZE + FAR_LAST, PIECE_SIZE, &none, NULL, meta, &e), ==, SHOAL_OK);
	for (unsigned i = 0; i < COUNT_OF(far_pieces); i++) {
		uint8_t *bytes = far_bytes(i);
		uint32_t piece = far_pieces[i], len = metainfo_piece_len(*meta, piece);
		CHECK(lseek(fd, (off_t)piece * PIECE_SIZE, SEEK_SET) >= 0);
		CHECK_INT(write(fd, bytes, len), ==, len);
		sha256_of(bytes, len, &hashes[piece]);
		free(bytes);
	}
	close(fd);
	for (uint32_t at = 0; at < FAR_COUNT; at += METAINFO_CHUNK) {
		uint32_t n = FAR_COUNT - at < METAINFO_CHUNK ? FAR_COUNT - at : METAINFO_CHUNK;
		CHECK_INT(metainfo_set_chunk(*meta, at / METAINFO_CHUNK, hashes + at, n), ==, SHOAL_OK);
	}
	metainfo_seal(*meta);
	free(hashes);
	return path;
}

static void far_files_init(struct files *f, unsigned nthreads)
{
	char *path = far_file(&f->meta);
	struct error e = { 0 };

	f->bytes = NULL;
	f->source = xalloc(sizeof(*f->source) + nthreads * sizeof(struct source_slot));
	f->source->nslots = nthreads;
	CHECK_INT(shared_file_open(path, NULL, &f->source->shared, &e), ==, SHOAL_OK);
	for (unsigned i = 0; i < nthreads; i++)
		CHECK_INT(shared_file_reader(f->source->shared, &f->source->slots[i].reader, &e), ==, SHOAL_OK);
	struct storage_options o = { .folder = check_folder(), .name = "far", .meta = f->meta, .sparse = true };
	CHECK_INT(storage_open(&o, &f->st, &e), ==, SHOAL_OK);
	peer_rate_init(&f->limit, 0);
	CHECK_INT(piece_sink_init(&f->sink, f->st, f->meta, NULL, &f->limit, &e), ==, SHOAL_OK);
	free(path);
}

static void far_pieces_go(bool plain)
{
	struct pair p;
	struct files f;
	struct file_reader r;
	struct error e = { 0 };
	uint8_t *got = xalloc(PIECE_SIZE);

	go_up(&p, plain);
	far_files_init(&f, peer_io_threads(p.b.io));
	for (unsigned i = 0; i < COUNT_OF(far_pieces); i++) {
		ask(&p, &f, far_pieces[i]);
		serve_one(&p, &f, 0);
		CHECK_INT(asked(&p), ==, ASK_OK);
		served(&p, true);
	}
	CHECK_INT(storage_reader_open(f.st, &r, &e), ==, SHOAL_OK);
	for (unsigned i = 0; i < COUNT_OF(far_pieces); i++) {
		uint8_t *bytes = far_bytes(i);
		uint32_t len = metainfo_piece_len(f.meta, far_pieces[i]);
		CHECK_INT(file_reader_read(&r, (uint64_t)far_pieces[i] * PIECE_SIZE, got, len, &e), ==, SHOAL_OK);
		CHECK(memcmp(got, bytes, len) == 0);
		free(bytes);
	}
	file_reader_close(&r);
	free(got);
	close_pair(&p);
	files_fini(&f);
}

static void pieces_past_4_gib_go(void)
{
	far_pieces_go(false);
	far_pieces_go(true);
}

static void wrong_bytes_are_not_written(void)
{
	struct pair p;
	struct files f;

	go_up(&p, true);
	files_init(&f, peer_io_threads(p.b.io));
	ask(&p, &f, 1);
	serve_one(&p, &f, 1);
	CHECK_INT(asked(&p), ==, ASK_BAD);
	served(&p, true);
	ask(&p, &f, 1); /* and the connection is good for another try */
	serve_one(&p, &f, 0);
	CHECK_INT(asked(&p), ==, ASK_OK);
	served(&p, true);
	close_pair(&p);
	files_fini(&f);
}

static void what_is_forgotten_comes_back_and_is_thrown_away(void)
{
	struct pair p;
	struct files f;

	go_up(&p, false);
	files_init(&f, peer_io_threads(p.b.io));
	ask(&p, &f, 0);
	ask(&p, &f, 1);
	peer_conn_forget(p.ac, 2);
	CHECK_INT(asked(&p), ==, ASK_LOST);
	CHECK_INT(asked(&p), ==, ASK_LOST);
	serve_one(&p, &f, 0);
	serve_one(&p, &f, 0);
	served(&p, true);
	served(&p, true);
	ask(&p, &f, 2);
	serve_one(&p, &f, 0);
	CHECK_INT(asked(&p), ==, ASK_OK);
	close_pair(&p);
	files_fini(&f);
}

static void a_stopped_transfer_ends_with_the_mark(void)
{
	struct pair p;
	struct files f;

	go_up(&p, true);
	files_init(&f, peer_io_threads(p.b.io));
	peer_rate_set(&p.b.up, 200000); /* so that it is still under way when it is stopped */
	ask(&p, &f, 0);
	serve_one(&p, &f, 0);
	struct peer_event *ev = next_event(&p.a);
	CHECK_INT(ev->type, ==, PEER_PIECE_BEGIN);
	peer_event_free(ev);
	peer_conn_serve_stop(p.bc, 2, 0);
	served(&p, false);
	CHECK_INT(asked(&p), ==, ASK_LOST);
	close_pair(&p);
	files_fini(&f);
}

static void expect_frame(struct side *s, enum peer_type type)
{
	struct peer_event *ev = expect(s, PEER_FRAME);

	CHECK_INT(ev->frame, ==, type);
	peer_event_free(ev);
}

/* a asks for piece 0, gives up, and asks again; b has seen the first request and the CANCEL. */
static void ask_cancel_ask(struct pair *p, struct files *f)
{
	ask(p, f, 0);
	expect_frame(&p->b, PEER_REQUEST);
	peer_conn_cancel(p->ac, 2, 0);
	CHECK_INT(asked(p), ==, ASK_LOST);
	ask(p, f, 0);
	expect_frame(&p->b, PEER_CANCEL);
}

static void data_of_a_cancelled_ask_is_not_the_next_ones(void)
{
	struct pair p;
	struct files f;

	go_up(&p, true);
	files_init(&f, peer_io_threads(p.b.io));
	ask_cancel_ask(&p, &f);
	struct piece_serve *old = xalloc(sizeof(*old)); /* crossed the CANCEL; wrong bytes, to tell it from the new one */
	*old = (struct piece_serve){ .ch = 2, .length = metainfo_piece_len(f.meta, 0), .offset = 1, .source = f.source };
	peer_conn_serve(p.bc, old);
	served(&p, true);
	serve_one(&p, &f, 0); /* the second request comes only now */
	CHECK_INT(asked(&p), ==, ASK_OK);
	close_pair(&p);
	files_fini(&f);
}

static void the_mark_of_a_cancelled_ask_does_not_end_the_next_one(void)
{
	struct pair p;
	struct files f;
	struct buf b = { 0 };
	struct peer_piece mark = { .ch = 2 };

	go_up(&p, false);
	files_init(&f, peer_io_threads(p.b.io));
	ask_cancel_ask(&p, &f);
	size_t start = peer_begin(&b, PEER_PIECE);
	peer_piece_put(&b, &mark);
	peer_end(&b, start, 0);
	peer_conn_send(p.bc, &b);
	serve_one(&p, &f, 0);
	CHECK_INT(asked(&p), ==, ASK_OK);
	close_pair(&p);
	files_fini(&f);
}

static void a_reject_of_a_cancelled_ask_does_not_end_the_next_one(void)
{
	struct pair p;
	struct files f;
	struct buf b = { 0 };
	struct peer_reject no = { .ch = 2, .code = SHOAL_EBUSY };

	go_up(&p, false);
	files_init(&f, peer_io_threads(p.b.io));
	ask_cancel_ask(&p, &f);
	size_t start = peer_begin(&b, PEER_REJECT);
	peer_reject_put(&b, &no);
	peer_end(&b, start, 0);
	peer_conn_send(p.bc, &b);
	serve_one(&p, &f, 0);
	CHECK_INT(asked(&p), ==, ASK_OK);
	close_pair(&p);
	files_fini(&f);
}

static void data_nobody_asked_for_is_told(void)
{
	struct pair p;
	struct buf b = { 0 };
	uint8_t data[100] = { 0 };

	go_up(&p, true);
	struct peer_piece m = { .ch = 7, .piece = 9 };
	size_t start = peer_begin(&b, PEER_PIECE);
	peer_piece_put(&b, &m);
	buf_put(&b, data, sizeof(data));
	peer_end(&b, start, 0);
	peer_conn_send(p.bc, &b);
	struct peer_event *ev = expect(&p.a, PEER_UNASKED);
	CHECK_INT(ev->ch, ==, 7);
	CHECK_INT(ev->piece, ==, 9);
	peer_event_free(ev);
	close_pair(&p);
}

static void another_device_is_refused(void)
{
	struct pair p;
	struct id32 other = { { 9 } };

	for (int plain = 0; plain < 2; plain++) {
		open_pair(&p, plain, true, &other);
		enum shoal_err a = expect_down(&p.a), b = expect_down(&p.b);
		CHECK(a != SHOAL_OK && b != SHOAL_OK);
		/* in the clear it is the acceptor who sees that another one is meant */
		CHECK_INT(plain ? b : a, ==, SHOAL_EDENIED);
		close_pair(&p);
	}
}

static void plain_links_need_permission(void)
{
	struct pair p;

	open_pair(&p, true, false, NULL);
	CHECK_INT(expect_down(&p.b), ==, SHOAL_EPROTO);
	CHECK_INT(expect_down(&p.a), !=, SHOAL_OK);
	close_pair(&p);
}

static void garbage_and_silence_end_a_connection(void)
{
	struct side s;
	int fds[2];

	side_init(&s, 3, 200);
	for (int kind = 0; kind < 4; kind++) {
		CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
		struct peer_how how = { .fd = fds[0], .plain = true };
		CHECK(peer_io_open(s.io, &how, NULL) != NULL);
		static const uint8_t piece_first[] = { 0, 0, 0, 20, PEER_PIECE, 1, 2, 3 };
		uint8_t junk[64];
		check_random_bytes(junk, sizeof(junk));
		if (kind == 0)
			CHECK_INT(write(fds[1], junk, sizeof(junk)), ==, sizeof(junk));
		else if (kind == 1)
			CHECK_INT(write(fds[1], piece_first, sizeof(piece_first)), ==, sizeof(piece_first));
		else if (kind == 2)
			CHECK_INT(write(fds[1], "\x16", 1), ==, 1); /* half a TLS hello, then silence */
		CHECK_INT(expect_down(&s), !=, SHOAL_OK);
		close(fds[1]);
	}
	side_fini(&s);
}

static void a_limit_is_kept(void)
{
	struct pair p;
	struct files f;

	go_up(&p, true);
	files_init(&f, peer_io_threads(p.b.io));
	peer_rate_set(&f.limit, 2 * PIECE_SIZE); /* three pieces and a bit: 1.5 s */
	uint64_t start = clock_mono_ms();
	for (uint32_t i = 0; i < 3; i++)
		ask(&p, &f, i);
	for (uint32_t i = 0; i < 3; i++)
		serve_one(&p, &f, 0);
	for (uint32_t i = 0; i < 3; i++)
		CHECK_INT(asked(&p), ==, ASK_OK);
	CHECK_INT(clock_mono_ms() - start, >=, 1300); /* a full bucket is worth 0.1 s */
	close_pair(&p);
	files_fini(&f);
}

static const struct CMUnitTest tests[] = {
	TEST(a_file_goes_over_tls),
	TEST(a_file_goes_in_the_clear),
	TEST(a_file_that_cannot_be_read_is_named_over_tls),
	TEST(a_file_that_cannot_be_read_is_named_in_the_clear),
	TEST(pieces_past_4_gib_go),
	TEST(wrong_bytes_are_not_written),
	TEST(what_is_forgotten_comes_back_and_is_thrown_away),
	TEST(a_stopped_transfer_ends_with_the_mark),
	TEST(data_of_a_cancelled_ask_is_not_the_next_ones),
	TEST(the_mark_of_a_cancelled_ask_does_not_end_the_next_one),
	TEST(a_reject_of_a_cancelled_ask_does_not_end_the_next_one),
	TEST(data_nobody_asked_for_is_told),
	TEST(another_device_is_refused),
	TEST(plain_links_need_permission),
	TEST(garbage_and_silence_end_a_connection),
	TEST(a_limit_is_kept),
};
CHECK_MAIN(tests)
