/* tests/adversary/case_peer.c - a seeder's port: tickets, requests, removal. */
#include "adversary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

enum { AT_ONCE_MS = 10000, PIECE = 524288, GRACE_MS = 30000 };

/* mallory, a member of "team" where alice shares "song"; alice shares "secret" in "other", where he is not. */
struct scene {
	struct session mallory;
	struct found song, secret;
	char addr[128];
	uint8_t ticket_seed[32], device[32];
};

static void read_secret(const char *path, uint8_t out[32])
{
	FILE *f = fopen(path, "rb");
	if (f == NULL || fread(out, 1, 32, f) != 32)
		die("cannot read %s", path);
	fclose(f);
}

static void scene_open(struct scene *sc, struct world *w)
{
	struct session alice;
	uint8_t secret[32];
	EVP_PKEY *key = key_of(w->seed);
	identity_of(key, sc->device);
	EVP_PKEY_free(key);
	read_secret(w->key_file, secret);
	hkdf(secret, sizeof(secret), "shoal ticket key v1", sc->ticket_seed);
	session_as(&alice, w->tracker, w->seed2, "alice", "pw-alice");
	if (session_find(&alice, "other", "secret", &sc->secret) != OK)
		die("there is no secret");
	session_close(&alice);
	session_as(&sc->mallory, w->tracker, w->seed, "mallory", "m");
	if (session_find(&sc->mallory, "team", "song", &sc->song) != OK || sc->song.address[0] == '\0')
		die("there is no song, or nobody has it");
	snprintf(sc->addr, sizeof(sc->addr), "%s", w->peer != NULL ? w->peer : sc->song.address);
}

static void scene_close(struct scene *sc)
{
	session_close(&sc->mallory);
}

/* What OPEN with that ticket gives: the code of CLOSE, or that the connection ended. Never a piece. */
static int try_ticket(struct world *w, const struct scene *sc, const uint8_t *fid, const uint8_t *ticket, size_t len, const uint8_t seed[32])
{
	struct peer p;
	if (!peer_open(&p, sc->addr, seed, false))
		die("the seeder takes nobody");
	int code = peer_ask_open(&p, 0, fid, ticket, len);
	if (code == OK) { /* is it worth anything? */
		peer_say(&p, P_REQUEST, "llll", 0u, 0u, 0u, (unsigned)PIECE);
		code = peer_hear_type(&p, P_PIECE, AT_ONCE_MS) == 0 ? OK : DENIED;
	}
	peer_close(&p);
	(void)w;
	return code;
}

static void altered_tickets(struct world *w, const struct scene *sc)
{
	const struct found *f = &sc->song;
	uint8_t ticket[512];
	unsigned taken = 0;
	for (size_t i = 0; i < f->ticket_len; i += i < 110 ? 3 : 9) {
		memcpy(ticket, f->ticket, f->ticket_len);
		ticket[i] ^= 1u << (i % 8);
		taken += try_ticket(w, sc, f->fid, ticket, f->ticket_len, w->seed) == OK;
	}
	check(taken == 0, "altered tickets are refused (%u were taken)", taken);
	for (size_t len = 0; len < f->ticket_len; len += 13)
		taken += try_ticket(w, sc, f->fid, f->ticket, len, w->seed) == OK;
	check(taken == 0, "truncated tickets are refused (%u were taken)", taken);
	memcpy(ticket, f->ticket, f->ticket_len);
	ticket[f->ticket_len] = 0;
	check(try_ticket(w, sc, f->fid, ticket, f->ticket_len + 1, w->seed) != OK, "a ticket with a byte more is refused");
	check(try_ticket(w, sc, f->fid, ticket, 256, w->seed) != OK, "a ticket of the longest length is refused");
}

static void made_tickets(struct world *w, const struct scene *sc)
{
	const struct found *f = &sc->song;
	struct ticket t = { .not_before = wall_ms(), .not_after = wall_ms() + 300000, .user = "mallory" };
	uint8_t out[512], other[32];
	memcpy(t.uid, sc->mallory.uid, 16);
	memcpy(t.device, sc->device, 32);
	memcpy(t.gid, f->gid, 16);
	size_t len = ticket_make(&t, sc->ticket_seed, out);
	check(try_ticket(w, sc, f->fid, out, len, w->seed) == OK, "one that is made as a tracker makes it is good: the rest tells something");
	check(try_ticket(w, sc, f->fid, out, len, w->seed2) == DENIED, "a ticket of another device, replayed");
	RAND_bytes(other, sizeof(other));
	len = ticket_make(&t, other, out);
	check(try_ticket(w, sc, f->fid, out, len, w->seed) == DENIED, "a ticket signed with another key");
	t.not_before = wall_ms() - 600000;
	t.not_after = wall_ms() - GRACE_MS - 5000;
	len = ticket_make(&t, sc->ticket_seed, out);
	check(try_ticket(w, sc, f->fid, out, len, w->seed) == DENIED, "an expired ticket");
	t.not_before = wall_ms() + GRACE_MS + 60000;
	t.not_after = t.not_before + 300000;
	len = ticket_make(&t, sc->ticket_seed, out);
	check(try_ticket(w, sc, f->fid, out, len, w->seed) == DENIED, "a ticket of the future");
	t.not_before = wall_ms();
	t.not_after = wall_ms() + 300000;
	memcpy(t.gid, sc->secret.gid, 16);
	len = ticket_make(&t, sc->ticket_seed, out);
	check(try_ticket(w, sc, f->fid, out, len, w->seed) == DENIED, "a ticket of another group than the file's");
}

void case_tickets(struct world *w)
{
	struct scene sc;
	struct peer p;
	uint8_t path[16] = "/etc/passwd";

	scene_open(&sc, w);
	check(try_ticket(w, &sc, sc.song.fid, sc.song.ticket, sc.song.ticket_len, w->seed) == OK, "his own ticket is good");
	check(try_ticket(w, &sc, sc.song.fid, NULL, 0, w->seed) != OK, "no ticket");
	check(try_ticket(w, &sc, sc.secret.fid, sc.song.ticket, sc.song.ticket_len, w->seed) == DENIED, "a file of a group that he is not in");
	check(try_ticket(w, &sc, path, sc.song.ticket, sc.song.ticket_len, w->seed) == NOT_FOUND, "a path instead of a file");
	check(try_ticket(w, &sc, sc.song.fid, sc.song.ticket, sc.song.ticket_len, w->seed2) == DENIED, "his ticket on another device");
	altered_tickets(w, &sc);
	made_tickets(w, &sc);
	bool up = peer_open(&p, sc.addr, w->seed, true);
	check(!up || link_is_closed(p.link, AT_ONCE_MS), "a connection in the clear");
	peer_close(&p);
	struct link *l = link_open(&(struct dial){ .addr = sc.addr, .alpn = "shoal-peer/1" });
	check(link_is_closed(l, AT_ONCE_MS), "a peer without a key");
	link_close(l);
	l = link_open(&(struct dial){ .addr = sc.addr, .alpn = "shoal-client/1", .seed = w->seed });
	check(link_is_closed(l, AT_ONCE_MS), "a peer with another protocol");
	link_close(l);
	scene_close(&sc);
}

/* -- requests */
static void open_song(struct peer *p, struct world *w, const struct scene *sc)
{
	if (!peer_open(p, sc->addr, w->seed, false) || peer_ask_open(p, 0, sc->song.fid, sc->song.ticket, sc->song.ticket_len) != OK)
		die("the song cannot be opened");
}

/* REJECT with a code, or the end of the connection; a PIECE with data is a failure. */
static int answer_to(struct peer *p, unsigned piece, unsigned offset, unsigned length)
{
	peer_say(p, P_REQUEST, "llll", 0u, piece, offset, length);
	for (;;) {
		int rc = peer_hear(p, AT_ONCE_MS);
		if (rc != 0)
			return rc;
		if (p->type == P_PIECE && p->body.len > 14)
			return OK;
		if (p->type == P_REJECT) {
			get_int(&p->body, 8);
			return (int)get_int(&p->body, 2);
		}
	}
}

static void ends(struct world *w, const struct scene *sc, const char *what, unsigned type, const char *letters, unsigned a, unsigned b,
                 unsigned c, unsigned d)
{
	struct peer p;
	open_song(&p, w, sc);
	if (strcmp(letters, "llll") == 0)
		peer_say(&p, type, letters, a, b, c, d);
	else if (strcmp(letters, "ll") == 0)
		peer_say(&p, type, letters, a, b);
	else
		peer_say(&p, type, "liS", a, sc->song.fid, sc->song.ticket, sc->song.ticket_len);
	check(link_is_closed(p.link, AT_ONCE_MS), "closed: %s", what);
	peer_close(&p);
}

void case_requests(struct world *w)
{
	static const unsigned ranges[][2] = { { 1, PIECE - 1 }, { 0, PIECE + 1 }, { 0, 0 }, { 0, 1 }, { PIECE, 1 }, { 0xffffffff, 2 },
		                              { 0, 0xffffffff }, { 0x80000000, 0x80000000 } };
	struct scene sc;
	struct peer p;
	scene_open(&sc, w);
	open_song(&p, w, &sc);
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		check(answer_to(&p, 0, ranges[i][0], ranges[i][1]) == USAGE, "offset %u, length %u is rejected", ranges[i][0], ranges[i][1]);
	check(answer_to(&p, 0, 0, PIECE) == OK, "a whole piece is served after that");
	/* a channel that is not open: nobody answers, and nothing comes */
	peer_say(&p, P_REQUEST, "llll", 8u, 0u, 0u, (unsigned)PIECE);
	int rc;
	while ((rc = peer_hear(&p, 500)) == 0)
		check(p.type != P_PIECE || get_int(&p.body, 4) == 0, "nothing for a channel that is not open");
	check(rc == SILENT, "and the connection stays");
	peer_close(&p);
	unsigned n = (unsigned)((sc.song.size + PIECE - 1) / PIECE);
	ends(w, &sc, "a request behind the last piece", P_REQUEST, "llll", 0, n, 0, PIECE);
	ends(w, &sc, "a request for the largest piece number", P_REQUEST, "llll", 0, 0xffffffff, 0, PIECE);
	ends(w, &sc, "a HAVE behind the last piece", P_HAVE, "ll", 0, n, 0, 0);
	ends(w, &sc, "a channel number used twice", P_OPEN, "open", 0, 0, 0, 0);
	ends(w, &sc, "a channel number of the other side", P_OPEN, "open", 3, 0, 0, 0);
	ends(w, &sc, "a type that there is not", 13, "ll", 0, 0, 0, 0);
	open_song(&p, w, &sc);
	link_send(p.link, "\x7f\xff\xff\xff\x07", 5);
	check(link_is_closed(p.link, AT_ONCE_MS), "closed: a frame of 2 GiB");
	peer_close(&p);
	scene_close(&sc);
}

/* -- the same pieces again and again */
void case_overask(struct world *w)
{
	struct scene sc;
	struct peer p;
	uint64_t got = 0;
	scene_open(&sc, w);
	open_song(&p, w, &sc);
	uint64_t most = sc.song.size / 2 * 3 + 32u * PIECE; /* what was under way is let through */
	unsigned n = (unsigned)(sc.song.size / PIECE), next = 0;
	int rc = 0;
	for (unsigned i = 0; i < 4; i++)
		peer_say(&p, P_REQUEST, "llll", 0u, next++ % n, 0u, (unsigned)PIECE);
	while (got <= most && (rc = peer_hear(&p, AT_ONCE_MS)) == 0) {
		if (p.type != P_PIECE)
			continue;
		got += p.body.len - 14;
		get_int(&p.body, 8);
		uint64_t offset = get_int(&p.body, 4);
		if (offset + p.body.len - 14 == PIECE)
			peer_say(&p, P_REQUEST, "llll", 0u, next++ % n, 0u, (unsigned)PIECE);
	}
	check(got >= sc.song.size, "the whole file is served (%llu bytes)", (unsigned long long)got);
	check(rc == CLOSED && got <= most, "and not much more than 1.5 times (%.2f, %d)", (double)got / (double)sc.song.size, rc);
	peer_close(&p);
	scene_close(&sc);
}

/* -- a member who was removed a moment ago */
void case_removed(struct world *w)
{
	struct scene sc;
	struct session owner;
	struct reply r = { 0 };
	struct found again;
	struct peer p;

	scene_open(&sc, w);
	session_as(&owner, w->tracker, w->seed2, "alice", "pw-alice");
	open_song(&p, w, &sc);
	check(answer_to(&p, 0, 0, PIECE) == OK, "a member is served");
	if (session_call(&owner, &r, 25, "sss", "team", "mallory", "") != OK)
		die("he cannot be removed: %s", r.message);
	uint64_t since = mono_ms();
	int rc = peer_hear_type(&p, P_CLOSE, AT_ONCE_MS);
	get_int(&p.body, 4);
	check(rc == 0 && get_int(&p.body, 2) == DENIED, "his channel is closed (after %llu ms)", (unsigned long long)(mono_ms() - since));
	check(peer_ask_open(&p, 2, sc.song.fid, sc.song.ticket, sc.song.ticket_len) == DENIED, "his ticket opens no other channel");
	peer_close(&p);
	check(try_ticket(w, &sc, sc.song.fid, sc.song.ticket, sc.song.ticket_len, w->seed) == DENIED, "nor one on another connection");
	check(session_call(&sc.mallory, &r, 49, "i", sc.song.gid) != OK, "he gets no other ticket (%d)", r.code);
	if (session_call(&sc.mallory, &r, 21, "s", "team") != OK || session_call(&owner, &r, 23, "sss", "team", "mallory", "") != OK)
		die("he cannot be taken in again: %s", r.message);
	if (session_find(&sc.mallory, "team", "song", &again) != OK)
		die("he does not find the song");
	check(try_ticket(w, &sc, again.fid, again.ticket, again.ticket_len, w->seed) == OK, "taken in again, he is served again");
	reply_free(&r);
	session_close(&owner);
	scene_close(&sc);
}
