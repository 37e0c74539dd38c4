/* tests/fuzz/fuzz_peer_conn.c - a peer connection of a transfer thread, and a peer that sends what the input says while
 * pieces are asked for, cancelled, forgotten and served. No thread: the thread's own functions are called in turn.
 *
 * What must hold: every ask and every serve comes back exactly once, what was verified had all its bytes, what goes out
 * are whole, well-formed messages, the end is told once. */
#include "tests/fuzz/fuzz_step.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/peer_conn.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "tests/fuzz/fuzz.h"

enum { OPS_MAX = 200, BUFFERS = 256, TAIL = 200, CHANNELS = 4 };

struct lab {
	struct metainfo *mi;
	struct storage *st;
	struct piece_sink sink;
	struct peer_rate limit, up, down;
	struct piece_source *source;
	struct queue *events;
	struct tls_identity identity;
	struct peer_io io;
	struct io_thread thread;
	struct peer_conn *c;
	int far; /* the peer's end */
	struct buf heard;
	uint32_t data_left; /* of a PIECE frame that is being heard */
	unsigned asks, serves, downs;
};

/* -- the world */

/* PIECE_SIZE + TAIL zeros: the last piece is short enough to be sent in a frame or two. */
static struct metainfo *describe(void)
{
	static uint8_t zeros[PIECE_SIZE];
	struct metainfo *mi = NULL;
	struct id32 hash = { { 3 } };
	CHECK_INT(metainfo_new(PIECE_SIZE + TAIL, PIECE_SIZE, &hash, NULL, &mi, NULL), ==, SHOAL_OK);
	sha256_of(zeros, PIECE_SIZE, &mi->hashes[0]);
	sha256_of(zeros, TAIL, &mi->hashes[1]);
	metainfo_seal(mi);
	return mi;
}

static struct piece_source *make_source(void)
{
	struct piece_source *s = xalloc(sizeof(*s) + sizeof(struct source_slot));
	char path[96];
	snprintf(path, sizeof(path), "%s/source", fuzz_folder());
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, PIECE_SIZE + TAIL) == 0);
	s->nslots = 1;
	s->slots[0].reader = (struct file_reader){ .fd = fd };
	return s;
}

static void begin(struct lab *l)
{
	struct error e;
	struct storage_options o = { .folder = fuzz_folder(), .name = "song", .sparse = true };
	int fds[2];

	l->mi = describe();
	o.meta = l->mi;
	CHECK_INT(storage_open(&o, &l->st, &e), ==, SHOAL_OK);
	peer_rate_init(&l->limit, 0);
	peer_rate_init(&l->up, 0);
	peer_rate_init(&l->down, 0);
	CHECK_INT(piece_sink_init(&l->sink, l->st, l->mi, NULL, &l->limit, &e), ==, SHOAL_OK);
	l->source = make_source();
	l->events = queue_new();
	l->io = (struct peer_io){ .config = { .threads = 1, .identity = &l->identity, .events = l->events, .up = &l->up,
	                                      .down = &l->down, .handshake_ms = 5000, .first_ms = 5000 },
		                  .pool = piece_pool_new(BUFFERS), .nthreads = 1, .threads = &l->thread };
	pthread_mutex_init(&l->io.verify_lock, NULL);
	TAILQ_INIT(&l->io.to_verify);
	l->thread.io = &l->io;
	l->thread.loop = loop_new(&e);
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
	l->far = fds[1];
	l->c = xalloc(sizeof(*l->c));
	l->c->thread = &l->thread;
	l->c->how = (struct peer_how){ .fd = fds[0], .plain = true };
	l->c->fd = fds[0];
	l->c->down.type = PEER_DOWN;
	l->c->down.conn = l->c;
	TAILQ_INIT(&l->c->asks);
	TAILQ_INIT(&l->c->serves);
	conn_start(l->c);
}

/* As if both had shown who they are. */
static void skip_handshake(struct lab *l)
{
	l->c->stream = stream_new_plain(l->c->fd);
	CHECK(l->c->stream != NULL);
	l->c->plain = true;
	l->c->phase = CONN_OPEN;
}

/* -- what comes out */

static void on_ask_done(struct lab *l, struct piece_ask *ask)
{
	CHECK(l->asks-- > 0);
	CHECK(ask->buf == NULL);
	CHECK((ask->result != ASK_OK && ask->result != ASK_BAD) || ask->got == ask->length);
	CHECK(!ask->held || ask->result == ASK_LOST);
	free(ask);
}

static void take_events(struct lab *l)
{
	struct queue_node *n = queue_take_all(l->events);
	while (n != NULL) {
		struct peer_event *ev = container_of(n, struct peer_event, node);
		n = n->next;
		CHECK(l->downs == 0); /* PEER_DOWN is the last one */
		switch (ev->type) {
		case PEER_ASK_DONE: on_ask_done(l, peer_event_ask(ev)); break;
		case PEER_SERVE_DONE:
			CHECK(l->serves-- > 0);
			free(peer_event_serve(ev));
			break;
		case PEER_DOWN:
			CHECK(ev->why != NULL && ev->why->message[0] != '\0');
			l->downs++;
			break;
		case PEER_FRAME:
			CHECK_INT(peer_check(ev->frame, slice_of(ev->body.data, ev->body.len)), ==, SHOAL_OK);
			peer_event_free(ev);
			break;
		default: peer_event_free(ev);
		}
	}
}

/* Frames in what has come at the far end: each is one that a peer would take. */
static void check_heard(struct lab *l)
{
	struct buf *b = &l->heard;
	for (;;) {
		enum peer_type type;
		uint32_t len;
		size_t skip = l->data_left < b->len ? l->data_left : b->len;
		buf_consume(b, skip);
		l->data_left -= (uint32_t)skip;
		if (l->data_left != 0 || b->len < PEER_HEAD_SIZE)
			return;
		CHECK_INT(peer_head_check(b->data, &type, &len), ==, SHOAL_OK);
		uint32_t need = type == PEER_PIECE ? PIECE_HEAD_SIZE : len;
		if (b->len < PEER_HEAD_SIZE + need)
			return;
		if (type != PEER_PIECE)
			CHECK_INT(peer_check(type, slice_of(b->data + PEER_HEAD_SIZE, len)), ==, SHOAL_OK);
		l->data_left = len - need;
		buf_consume(b, PEER_HEAD_SIZE + need);
	}
}

static void run(struct lab *l)
{
	static uint8_t part[65536];
	ssize_t n;
	do {
		if (l->c->phase != CONN_DOWN)
			conn_run(l->c);
		n = recv(l->far, part, sizeof(part), 0);
		if (n > 0) {
			buf_put(&l->heard, part, (size_t)n);
			check_heard(l);
		}
	} while (n > 0);
	while (verify_some(&l->io))
		continue;
	take_events(l);
}

/* -- what goes in */

#define X(num, NAME, word, fields, least, most) FUZZ_DEFINE(peer_##word, fields)
PEER_MSGS(X)
#undef X

static void say(struct lab *l, struct slice bytes)
{
	while (bytes.len != 0 && l->c->phase != CONN_DOWN) {
		ssize_t n = send(l->far, bytes.data, bytes.len < 4096 ? bytes.len : 4096, MSG_NOSIGNAL);
		run(l);
		if (n <= 0 && l->c->read_paused)
			return;
		if (n > 0)
			bytes = slice_of(bytes.data + n, bytes.len - (size_t)n);
	}
}

static void do_message(struct lab *l, struct cursor *in)
{
	static const struct fuzz_pool pool;
	struct buf b = { 0 };
	unsigned type = get_u8(in) % PEER_TYPES;
	size_t start = peer_begin(&b, (enum peer_type)type);

	switch (type) {
#define X(num, NAME, word, fields, least, most) \
	case num: any_peer_##word(&pool, in, &b); break;
		PEER_MSGS(X)
#undef X
	}
	peer_end(&b, start, 0);
	say(l, slice_of(b.data, b.len));
	buf_free(&b);
}

/* Data of a piece: zeros, so that it is right, unless the input says otherwise. */
static void do_piece(struct lab *l, struct cursor *in)
{
	static const uint8_t zeros[65536];
	struct buf b = { 0 };
	struct peer_piece m = { .ch = get_u8(in) % CHANNELS, .piece = get_u8(in) % 3 };
	uint8_t how = get_u8(in);
	uint32_t n = (how & 0x80) != 0 ? get_u16(in) : (how & 0x40) != 0 ? TAIL : how;
	struct piece_ask *ask = conn_find_ask(l->c, m.ch, m.piece);

	m.offset = (how & 0x20) != 0 ? get_u16(in) : ask != NULL ? ask->got : 0;
	size_t start = peer_begin(&b, PEER_PIECE);
	peer_piece_put(&b, &m);
	peer_end(&b, start, n);
	buf_put(&b, zeros, n);
	if (n != 0 && (how & 0x10) != 0)
		b.data[b.len - 1] = 1;
	say(l, slice_of(b.data, b.len - ((how & 8) != 0 ? n / 2 : 0))); /* the rest, if any, is what comes next */
	buf_free(&b);
}

static bool is_out(const struct lab *l, uint32_t ch, uint32_t piece)
{
	return l->c->phase != CONN_DOWN && conn_find_ask(l->c, ch, piece) != NULL;
}

static void do_ask(struct lab *l, uint32_t ch, uint32_t piece)
{
	struct piece_ask *ask;
	if (is_out(l, ch, piece) || l->asks >= BUFFERS)
		return; /* the engine does not ask twice */
	ask = xalloc(sizeof(*ask));
	*ask = (struct piece_ask){ .ch = ch, .piece = piece, .length = metainfo_piece_len(l->mi, piece),
		                   .sink = &l->sink, .io = &l->io };
	ask->ev.conn = l->c;
	l->asks++;
	conn_ask(l->c, ask);
}

static void do_serve(struct lab *l, uint32_t ch, uint32_t piece)
{
	struct piece_serve *serve = xalloc(sizeof(*serve));
	*serve = (struct piece_serve){ .ch = ch, .piece = piece, .length = metainfo_piece_len(l->mi, piece),
		                       .offset = metainfo_piece_offset(l->mi, piece), .source = l->source };
	serve->ev.conn = l->c;
	l->serves++;
	conn_serve(l->c, serve);
}

static void do_op(struct lab *l, struct cursor *in)
{
	uint8_t op = get_u8(in) % PEER_OP_COUNT;
	struct slice raw;
	uint32_t ch, piece;

	if (op == PEER_OP_RAW) {
		raw = fuzz_take(in, 8192);
		say(l, raw);
	} else if (op == PEER_OP_MESSAGE) {
		do_message(l, in);
	} else if (op == PEER_OP_PIECE) {
		do_piece(l, in);
	} else {
		ch = get_u8(in) % CHANNELS;
		piece = get_u8(in) % 2;
		switch (op) {
		case PEER_OP_ASK: do_ask(l, ch, piece); break;
		case PEER_OP_CANCEL: conn_cancel(l->c, ch, piece); break;
		case PEER_OP_REJECTED: conn_rejected(l->c, ch, piece); break;
		case PEER_OP_FORGET: conn_forget(l->c, ch); break;
		case PEER_OP_STOP_ASKS: conn_stop_asks(l->c, ch); break;
		case PEER_OP_SERVE: do_serve(l, ch, piece); break;
		case PEER_OP_SERVE_STOP: conn_serve_stop(l->c, ch, piece); break;
		case PEER_OP_NO_MEMORY: mem_fail_after(1 + ch * 2 + piece); break;
		}
	}
	run(l);
	mem_fail_after(0);
}

static void end(struct lab *l)
{
	conn_fail(l->c, SHOAL_OK, "closed");
	while (verify_some(&l->io))
		continue;
	take_events(l);
	CHECK(l->asks == 0 && l->serves == 0 && l->downs == 1);
	peer_conn_free(l->c);
	close(l->far);
	buf_free(&l->heard);
	loop_free(l->thread.loop);
	piece_sink_fini(&l->sink);
	storage_discard(l->st);
	piece_pool_free(l->io.pool);
	pthread_mutex_destroy(&l->io.verify_lock);
	file_reader_close(&l->source->slots[0].reader);
	free(l->source);
	queue_free(l->events);
	metainfo_free(l->mi);
	peer_rate_fini(&l->limit);
	peer_rate_fini(&l->up);
	peer_rate_fini(&l->down);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);
	struct lab l = { 0 };

	fuzz_begin();
	begin(&l);
	if (get_u8(&in) % 2 == 0)
		skip_handshake(&l);
	else
		say(&l, slice_of("\0", 1)); /* in the clear */
	for (int i = 0; i < OPS_MAX && cursor_left(&in) != 0 && l.c->phase != CONN_DOWN; i++)
		do_op(&l, &in);
	end(&l);
	return 0;
}
