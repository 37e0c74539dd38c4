/* tests/unit/client/test_transfer_hostile.c - peers that shake hands, say that they have everything, and then misbehave.
 *
 * Client 2 is played here, with the transfer threads of the program itself for its connection: only what it answers to
 * a REQUEST is its own. Client 0 is honest, client 1 downloads. */
#include "client/peer_io.h"
#include "core/net/listener.h"
#include "tests/unit/client/transfer_world.h"

enum { SEEDER, LEECHER, HOSTILE, PIECES = 12 };

enum manner {
	SENDS_OTHER_BYTES,  /* a whole piece, with the wrong hash */
	SENDS_HALF,         /* half a piece, then the mark that it ends there */
	STOPS_HALFWAY,      /* half a piece, then nothing more */
	SENDS_TOO_MUCH,     /* a piece that goes on behind its end */
	SENDS_ANOTHER,      /* a piece that nobody asked it for */
	SAYS_NOTHING,
	KNOWS_NOTHING,      /* refuses each piece that it has announced */
};

struct hostile {
	struct world *w;
	enum manner manner;
	struct peer_rate up, down;
	struct peer_io *io;
	struct queue *events;
	struct loop_watch *watch;
	struct listener *listener;
	unsigned asked;
	uint64_t job;
	struct job_peer seen;  /* it, as the leecher shows it */
	char explained[4096];
	const char *state;     /* to be waited for */
};

/* -- what it says */

static void say(struct hostile *h, struct peer_conn *c, struct buf *b, size_t start)
{
	(void)h;
	peer_end(b, start, 0);
	CHECK(!b->failed);
	peer_conn_send(c, b);
}

static void say_piece(struct hostile *h, struct peer_conn *c, uint32_t ch, uint32_t piece, uint32_t offset, size_t len)
{
	struct peer_piece m = { .ch = ch, .piece = piece, .offset = offset };
	struct buf b = { 0 };
	size_t start = peer_begin(&b, PEER_PIECE);
	uint8_t *bytes = xalloc(len + 1);

	peer_piece_put(&b, &m);
	buf_put(&b, bytes, len);
	free(bytes);
	say(h, c, &b, start);
}

static void say_all(struct hostile *h, struct peer_conn *c, const struct peer_open *open)
{
	struct peer_opened opened = { .ch = open->ch };
	uint8_t bits[(PIECES + 7) / 8];
	struct buf b = { 0 };

	size_t start = peer_begin(&b, PEER_OPENED);
	peer_opened_put(&b, &opened);
	say(h, c, &b, start);
	for (unsigned i = 0; i < PIECES; i++)
		bits[i / 8] = (uint8_t)(i % 8 == 0 ? 0x80 : bits[i / 8] | 0x80 >> i % 8);
	struct peer_bitfield m = { .ch = open->ch, .bits = { bits, sizeof(bits) } };
	b = (struct buf){ 0 };
	start = peer_begin(&b, PEER_BITFIELD);
	peer_bitfield_put(&b, &m);
	say(h, c, &b, start);
}

static void refuse(struct hostile *h, struct peer_conn *c, const struct peer_request *m)
{
	struct peer_reject no = { .ch = m->ch, .piece = m->piece, .code = SHOAL_ENOTFOUND };
	struct buf b = { 0 };
	size_t start = peer_begin(&b, PEER_REJECT);

	peer_reject_put(&b, &no);
	say(h, c, &b, start);
}

static void on_request(struct hostile *h, struct peer_conn *c, const struct peer_request *m)
{
	h->asked++;
	switch (h->manner) {
	case SENDS_OTHER_BYTES: say_piece(h, c, m->ch, m->piece, 0, PIECE_SIZE); break;
	case SENDS_HALF:
		say_piece(h, c, m->ch, m->piece, 0, PIECE_SIZE / 2);
		say_piece(h, c, m->ch, m->piece, PIECE_SIZE / 2, 0);
		break;
	case STOPS_HALFWAY: say_piece(h, c, m->ch, m->piece, 0, PIECE_SIZE / 2); break;
	case SENDS_TOO_MUCH:
		say_piece(h, c, m->ch, m->piece, 0, PIECE_SIZE / 2);
		say_piece(h, c, m->ch, m->piece, PIECE_SIZE / 2, PIECE_SIZE / 2 + 1);
		break;
	case SENDS_ANOTHER: say_piece(h, c, m->ch, (m->piece + 1) % PIECES, 0, PIECE_SIZE); break;
	case SAYS_NOTHING: break;
	case KNOWS_NOTHING: refuse(h, c, m); break;
	}
}

/* -- what it hears */

static void on_frame(struct hostile *h, const struct peer_event *ev)
{
	struct cursor c = cursor_of(ev->body.data, ev->body.len);
	struct peer_request request;
	struct peer_open open;

	if (ev->frame == PEER_OPEN) {
		peer_open_get(&c, &open);
		say_all(h, ev->conn, &open);
	} else if (ev->frame == PEER_REQUEST) {
		peer_request_get(&c, &request);
		on_request(h, ev->conn, &request);
	}
}

static void on_events(void *arg, struct queue_node *nodes)
{
	struct hostile *h = arg;

	while (nodes != NULL) {
		struct peer_event *ev = container_of(nodes, struct peer_event, node);
		nodes = nodes->next;
		if (ev->type == PEER_DOWN) {
			peer_conn_release(ev->conn);
			continue;
		}
		if (ev->type == PEER_FRAME)
			on_frame(h, ev);
		peer_event_free(ev);
	}
}

static void on_accept(void *arg, int fd, const struct sockaddr *from)
{
	struct hostile *h = arg;
	struct peer_how how = { .fd = fd, .plain = true };

	(void)from;
	CHECK(peer_io_open(h->io, &how, h) != NULL);
}

/* -- the play */

static struct hostile *hostile_new(struct world *w, enum manner manner)
{
	struct hostile *h = xalloc(sizeof(*h));
	struct link *l = &w->clients[HOSTILE];
	uint8_t seed[SEED_SIZE] = { HOSTILE + 1 };
	struct address any = { .host = "127.0.0.1" };
	struct error e = { 0 };

	h->w = w;
	h->manner = manner;
	l->w = w;
	l->number = HOSTILE;
	l->identity = tls_identity_new(seed, &e);
	l->played = true;
	peer_rate_init(&h->up, 0);
	peer_rate_init(&h->down, 0);
	h->events = queue_new();
	h->watch = loop_watch_queue(w->loop, h->events, on_events, h);
	struct peer_io_config config = { .threads = 1, .identity = l->identity, .events = h->events, .up = &h->up,
		                         .down = &h->down, .buffers = 4 };
	h->io = peer_io_new(&config, &e);
	h->listener = listener_new(w->loop, &any, on_accept, h, NULL, &e);
	CHECK(h->io != NULL && h->listener != NULL);
	listener_address(h->listener, &l->shown);
	w->files[0].shares[HOSTILE] = true;
	return h;
}

static void hostile_free(struct hostile *h)
{
	struct queue_node *nodes;

	listener_free(h->listener);
	peer_io_stop(h->io);
	h->manner = SAYS_NOTHING;
	while ((nodes = queue_take_all(h->events)) != NULL)
		on_events(h, nodes);
	peer_io_free(h->io);
	loop_watch_free(h->watch);
	queue_free(h->events);
	peer_rate_fini(&h->up);
	peer_rate_fini(&h->down);
	free(h);
}

static void look(struct hostile *h)
{
	struct call peers = { .kind = CALL_JOB_PEERS, .job = h->job }, explain = { .kind = CALL_JOB_EXPLAIN, .job = h->job };
	char address[ADDRESS_MAX];

	transfers_answer(h->w->clients[LEECHER].t, &peers);
	transfers_answer(h->w->clients[LEECHER].t, &explain);
	address_format(&h->w->clients[HOSTILE].shown, address);
	for (size_t i = 0; i < peers.n; i++)
		if (strcmp(peers.peers[i].address, address) == 0) {
			h->seen = peers.peers[i];
			snprintf(h->explained, sizeof(h->explained), "%s", explain.text);
		}
	free(peers.peers);
	free(explain.text);
}

static bool shown_as_wanted(struct world *w)
{
	struct hostile *h = w->scratch;

	look(h);
	return strcmp(h->seen.state, h->state) == 0;
}

struct story {
	enum manner manner;
	const char *state, *why; /* in job:peers(), in job:explain() */
	unsigned bad;
};

/* Beside an honest seeder: the culprit is named, and the file arrives as fast as that one gives it. */
static void beside_an_honest_one(const struct story *s)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, SEEDER, "song", PIECES * PIECE_SIZE);
	struct hostile *h = hostile_new(w, s->manner);

	w->scratch = h;
	h->state = s->state;
	w->clients[SEEDER].offline = true; /* at first it is the only one: so it is asked */
	h->job = download(w, LEECHER, "song", defaults);
	run_until(w, shown_as_wanted);
	CHECK_INT(h->asked, >, 0);
	if (strstr(h->explained, s->why) == NULL)
		CHECK_STR(h->explained, s->why);
	CHECK_INT(h->seen.bad_pieces, >=, s->bad); /* what was on its way when it was dropped counts, too */
	CHECK_INT(h->seen.bad_pieces > 0, ==, s->bad > 0);
	unsigned bad = h->seen.bad_pieces;
	CHECK_INT(h->seen.pieces, ==, 0);
	w->clients[SEEDER].offline = false;
	run_until(w, all_ended);
	expect_done(w, LEECHER, h->job);
	CHECK_INT(job_of(w, LEECHER, h->job).bad_pieces, >=, bad);
	same_bytes(path, w->clients[LEECHER].path);
	free(path);
	hostile_free(h);
	world_free(w);
}

#define STORY(name, ...)                                           \
	static void name(void)                                     \
	{                                                          \
		beside_an_honest_one(&(struct story){ __VA_ARGS__ }); \
	}
STORY(other_bytes_are_counted_and_their_giver_dropped, SENDS_OTHER_BYTES, "dropped", "sent two damaged pieces", 2)
STORY(half_a_piece_is_asked_for_elsewhere, SENDS_HALF, "refused", "refused", 0)
STORY(who_stops_halfway_is_snubbed, STOPS_HALFWAY, "snubbed", "silent", 0)
STORY(too_long_a_piece_ends_it, SENDS_TOO_MUCH, "dropped", "broke the protocol", 0)
STORY(an_unasked_piece_ends_it, SENDS_ANOTHER, "dropped", "broke the protocol", 0)
STORY(silence_is_snubbed, SAYS_NOTHING, "snubbed", "silent", 0)
STORY(who_has_not_what_it_announced_is_refused_to_believe, KNOWS_NOTHING, "refused", "refused", 0)

static const struct CMUnitTest tests[] = {
	TEST(other_bytes_are_counted_and_their_giver_dropped),
	TEST(half_a_piece_is_asked_for_elsewhere),
	TEST(who_stops_halfway_is_snubbed),
	TEST(too_long_a_piece_ends_it),
	TEST(an_unasked_piece_ends_it),
	TEST(silence_is_snubbed),
	TEST(who_has_not_what_it_announced_is_refused_to_believe),
};
CHECK_MAIN(tests)
