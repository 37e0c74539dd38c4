/* tests/adversary/case_tracker.c - a tracker's port: the door, strangers, others' groups, names, metadata, tokens. */
#include "adversary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

enum { AT_ONCE_MS = 10000 }; /* for what happens at once, on a loaded machine */

/* Fields of a verb that stand for nothing in particular. */
static void put_anything(struct bytes *b, const struct verb *v, const char *group, const char *user)
{
	static const uint8_t zero[64];
	unsigned strings = 0;
	for (const char *p = v->letters; *p != '\0'; p++) {
		char one[2] = { *p, '\0' };
		switch (*p) {
		case 's': put_fields(b, one, strings == 0 ? group : strings == 1 ? user : ""); strings++; break;
		case 'q': put_fields(b, one, (uint64_t)1); break;
		case 'c': case 'w': case 'l': put_fields(b, one, 0u); break;
		case 'B': put_fields(b, one, zero, (size_t)0); break;
		default: put_fields(b, one, zero); break;
		}
	}
}

/* -- the door */
static void bad_frame(struct world *w, const char *what, const void *data, size_t len)
{
	struct session s;
	if (!session_open_bare(&s, w->tracker, w->seed, NULL))
		die("the tracker takes nobody");
	(void)link_send(s.link, data, len);
	check(link_is_closed(s.link, AT_ONCE_MS), "closed: %s", what);
	session_close(&s);
}

static void bad_handshake(struct world *w, const char *what, const char *alpn, const uint8_t *seed)
{
	struct link *l = link_open(&(struct dial){ .addr = w->tracker, .alpn = alpn, .seed = seed });
	check(link_is_closed(l, AT_ONCE_MS), "refused: %s", what);
	link_close(l);
}

void case_door(struct world *w)
{
	uint8_t big[5000] = { 0 };
	struct bytes b = { 0 };

	bad_handshake(w, "no certificate", "shoal-client/1", NULL);
	bad_handshake(w, "no protocol named", NULL, w->seed);
	bad_handshake(w, "an unknown protocol", "http/1.1", w->seed);
	bad_handshake(w, "the protocol of peers", "shoal-peer/1", w->seed);
	bad_frame(w, "the longest length", "\xff\xff\xff\xff" "CMD ", 8);
	bad_frame(w, "a length of zero", "\0\0\0\0CMD ", 8);
	bad_frame(w, "an unknown tag", "\0\0\0\5EVIL\0", 9);
	bad_frame(w, "SYNC on a client's connection", "\0\0\0\11SYNC\1\0\0\0\0", 13);
	bad_frame(w, "a reply instead of a command", "\0\0\0\5RPLY\0", 9);
	put_int(&b, 4097 + 4, 4);
	put(&b, "CMD ", 4);
	put(&b, big, 4097);
	bad_frame(w, "4097 bytes before login", b.p, b.len);
	bytes_free(&b);
	for (const struct verb *v = verbs; v->number != 0; v++) { /* whatever comes before HELLO */
		struct session s;
		struct reply r = { 0 };
		if (v->number == 1)
			continue;
		if (!session_open_bare(&s, w->tracker, w->seed, NULL))
			die("the tracker takes nobody");
		put_anything(&b, v, "team", "alice");
		int code = session_call_as(&s, v->number, NULL, &b, &r);
		check(code != OK && link_is_closed(s.link, AT_ONCE_MS), "%s before hello: not done, and closed", v->name);
		bytes_free(&b);
		reply_free(&r);
		session_close(&s);
	}
}

/* -- commands before login */
void case_strangers(struct world *w)
{
	for (const struct verb *v = verbs; v->number != 0; v++) {
		struct session s;
		struct reply r = { 0 };
		struct bytes b = { 0 };
		if (!v->login)
			continue;
		if (!session_open(&s, w->tracker, w->seed, NULL))
			die("the tracker takes nobody");
		put_anything(&b, v, "team", "alice");
		check(session_call_as(&s, v->number, NULL, &b, &r) == AUTH, "%s before login: auth (%d %s)", v->name, r.code, r.message);
		bytes_free(&b);
		reply_free(&r);
		session_close(&s);
	}
}

/* -- acting for others */
static bool is_refusal(int code)
{
	return code == DENIED || code == NOT_FOUND || code == AUTH || code == USAGE;
}

static void refused(struct session *s, unsigned verb, const char *what, const struct bytes *fields)
{
	struct reply r = { 0 };
	int code = session_call_as(s, verb, NULL, fields, &r);
	check(is_refusal(code), "%s: refused (%d %s)", what, code, r.message);
	reply_free(&r);
}

#define REFUSED(s, verb, what, letters, ...)                   \
	do {                                                   \
		struct bytes f_ = { 0 };                       \
		put_fields(&f_, letters, __VA_ARGS__);         \
		refused(s, verb, what, &f_);           \
		bytes_free(&f_);                               \
	} while (0)

/* What alice sees of her group: a digest, to be the same afterwards. */
static void view_of(struct session *alice, uint8_t out[32])
{
	static const unsigned lists[] = { 29, 30 };
	struct bytes all = { 0 };
	struct reply r = { 0 };
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (session_call(alice, &r, lists[i], "s", "team") != OK)
			die("alice cannot list: %s", r.message);
		put(&all, r.fields.p + r.fields.at, r.fields.len - r.fields.at);
	}
	if (session_call(alice, &r, 45, "sc", "team", 1u) != OK)
		die("alice cannot list her files: %s", r.message);
	put(&all, r.fields.p + r.fields.at, r.fields.len - r.fields.at);
	sha256(all.p, all.len, out);
	reply_free(&r);
	bytes_free(&all);
}

static void meddle_with_the_group(struct session *s, const struct found *song)
{
	static const uint8_t some_hash[32] = { 1 };
	REFUSED(s, 23, "accept_request by one who is not the owner: of himself", "sss", "team", "mallory", "");
	REFUSED(s, 23, "accept_request by one who is not the owner: of another", "sss", "team", "bob", "");
	REFUSED(s, 24, "reject_request", "sss", "team", "mallory", "");
	REFUSED(s, 25, "remove_member", "sss", "team", "alice", "");
	REFUSED(s, 25, "remove_member of another", "sss", "team", "bob", "");
	REFUSED(s, 26, "transfer_group", "sss", "team", "mallory", "");
	REFUSED(s, 27, "delete_group", "s", "team");
	REFUSED(s, 29, "list_requests", "s", "team");
	REFUSED(s, 30, "list_members", "s", "team");
	REFUSED(s, 31, "set_role", "sss", "team", "mallory", "admin");
	REFUSED(s, 22, "leave_group in which he is not", "sss", "team", "alice", "");
	REFUSED(s, 40, "upload_check", "ssq", "team", "evil", (uint64_t)100);
	REFUSED(s, 42, "upload_file_data", "isqldd", song->gid, "evil", song->size, 524288u, song->file_hash, song->content);
	REFUSED(s, 42, "upload_file_data with no hashes", "isqldd", song->gid, "empty", (uint64_t)0, 524288u, some_hash, some_hash);
	REFUSED(s, 43, "update_file_info: to pass for a seeder", "ii", song->gid, song->fid);
	REFUSED(s, 44, "stop_share of another's file", "ss", "team", "song");
	REFUSED(s, 45, "list_files", "sc", "team", 1u);
	REFUSED(s, 46, "find", "ss", "team", "song");
	REFUSED(s, 46, "find by a path", "ss", "team", "../../etc/passwd");
	REFUSED(s, 47, "get_hashes", "iil", song->gid, song->fid, 0u);
	REFUSED(s, 48, "announce", "iilc", song->gid, song->fid, 1u, 0u);
	REFUSED(s, 49, "ticket", "i", song->gid);
}

/* The id of the first session of the list. */
static void session_id(struct session *s, char out[64])
{
	struct reply r = { 0 };
	if (session_call(s, &r, 15, "") != OK || get_int(&r.fields, 2) == 0)
		die("no sessions");
	out[get_blob(&r.fields, 2, (uint8_t *)out, 63)] = '\0';
	reply_free(&r);
}

void case_others(struct world *w)
{
	struct session alice, mallory;
	struct reply r = { 0 };
	struct found song;
	uint8_t before[32], after[32];
	char id[64];

	session_as(&alice, w->tracker, w->seed2, "alice", "pw-alice");
	session_as(&mallory, w->tracker, w->seed, "mallory", "m");
	if (session_find(&alice, "team", "song", &song) != OK)
		die("alice has no song");
	/* he has asked to join, and has not been accepted */
	int code = session_call(&mallory, &r, 21, "s", "team");
	if (code != OK && code != EXISTS)
		die("mallory cannot ask: %s", r.message);
	view_of(&alice, before);
	meddle_with_the_group(&mallory, &song);
	session_id(&alice, id);
	REFUSED(&mallory, 16, "end_session of another", "s", id);
	REFUSED(&mallory, 16, "end_session of nonsense", "s", "0000000000000001.1");
	REFUSED(&mallory, 13, "change_password without the old one", "ss", "pw-alice", "new");
	check(session_call(&alice, &r, 14, "") == OK, "alice's session goes on");
	view_of(&alice, after);
	check(memcmp(before, after, 32) == 0, "nothing that alice sees has changed");
	check(session_call(&mallory, &r, 22, "sss", "team", "", "") == OK, "he may take his request back (%d %s)", r.code, r.message);
	reply_free(&r);
	session_close(&alice);
	session_close(&mallory);
}

/* -- names */
struct name {
	const char *what, *bytes;
	size_t len;
	bool of_a_file_too; /* no file may be called so either */
};
#define NAME(what, text, file) { what, text, sizeof(text) - 1, file }
static const struct name bad_names[] = {
	NAME("empty", "", true), NAME("a slash", "a/b", true), NAME("from the root", "/etc/passwd", true),
	NAME("up", "..", true), NAME("up and over", "../x", true), NAME("here", ".", true), NAME("NUL", "a\0b", true),
	NAME("a newline", "a\nb", true), NAME("a terminal escape", "a\033[2Jb", true), NAME("a bell", "\007", true), NAME("DEL", "a\177b", true),
	NAME("C1", "a\302\233b", true), NAME("cut UTF-8", "a\303", true), NAME("a surrogate", "\355\240\200", true),
	NAME("overlong slash", "a\300\257b", true), NAME("no UTF-8 at all", "\377\376", true), NAME("a space before", " a", true),
	NAME("a space behind", "a ", true), NAME("turned around", "a\342\200\256b", true), NAME("invisible", "a\342\200\213b", true),
	NAME("past Unicode", "\364\220\200\200", true), NAME("an alias", "bob~abcdef", true),
};
static const char *const good_names[] = { "-rf", "--help", "CON", "aux.txt", "$(reboot)", "a'b\"c", "%n%s", "~", "*", "\xc3\xa9t\xc3\xa9", ".hidden" };

void case_names(struct world *w)
{
	struct session s;
	struct reply r = { 0 };
	char group[64], longest[400];
	uint8_t nonce[6];

	session_as(&s, w->tracker, w->seed, "mallory", "m");
	RAND_bytes(nonce, sizeof(nonce));
	snprintf(group, sizeof(group), "names-%02x%02x%02x", nonce[0], nonce[1], nonce[2]);
	if (session_call(&s, &r, 20, "s", group) != OK)
		die("no group: %s", r.message);
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++) {
		const struct name *n = &bad_names[i];
		bool group_may = strcmp(n->what, "a slash") == 0 || strchr(n->bytes, '/') != NULL || n->bytes[0] == '.';
		if (!group_may) {
			check(session_call(&s, &r, 10, "Ss", n->bytes, n->len, "pw") == USAGE, "a user called so: %s (%d)", n->what, r.code);
			check(session_call(&s, &r, 20, "S", n->bytes, n->len) == USAGE, "a group called so: %s (%d)", n->what, r.code);
		}
		check(session_call(&s, &r, 40, "sSq", group, n->bytes, n->len, (uint64_t)1) == USAGE, "a file called so: %s (%d)", n->what, r.code);
	}
	memset(longest, 'x', sizeof(longest));
	check(session_call(&s, &r, 10, "Ss", longest, (size_t)65, "pw") == USAGE, "a user of 65 bytes");
	check(session_call(&s, &r, 20, "S", longest, (size_t)300) == USAGE, "a group of 300 bytes");
	check(session_call(&s, &r, 40, "sSq", group, longest, (size_t)300, (uint64_t)1) == USAGE, "a file of 300 bytes");
	check(session_call(&s, &r, 40, "sSq", group, longest, (size_t)241, (uint64_t)1) == USAGE, "a file of 241 bytes");
	check(session_call(&s, &r, 40, "sSq", group, longest, (size_t)240, (uint64_t)1) == OK, "a file of 240 bytes is fine");
	for (size_t i = 0; i < sizeof(good_names) / sizeof(good_names[0]); i++)
		check(session_call(&s, &r, 40, "ssq", group, good_names[i], (uint64_t)1) == OK, "harmless: %s (%s)", good_names[i], r.message);
	check(session_call(&s, &r, 10, "sS", "longpw", longest, (size_t)0) == USAGE, "an empty password");
	reply_free(&r);
	session_close(&s);
}

/* -- metadata that contradicts itself */
struct story {
	const char *what;
	uint64_t size;       /* as the hashes were put */
	uint64_t said_size;  /* as the file is said to have */
	unsigned said_piece;
	unsigned hashes;     /* that are put */
	bool wrong_id, wrong_hash;
};

static void content_of(const struct story *st, const uint8_t *hashes, const uint8_t file_hash[32], uint8_t out[32])
{
	struct bytes b = { 0 };
	put_fields(&b, "s", "content");
	put_int(&b, 8, 2);
	put_int(&b, st->size, 8);
	put_int(&b, 4, 2);
	put_int(&b, 524288, 4);
	put_int(&b, 32, 2);
	put(&b, file_hash, 32);
	for (unsigned i = 0; i < st->hashes; i++) {
		put_int(&b, 32, 2);
		put(&b, hashes + i * 32, 32);
	}
	sha256(b.p, b.len, out);
	bytes_free(&b);
}

static int tell(struct session *s, const uint8_t gid[16], const struct story *st, const char *name)
{
	uint8_t hashes[32 * 32], file_hash[32], content[32];
	struct reply r = { 0 };
	RAND_bytes(hashes, sizeof(hashes));
	RAND_bytes(file_hash, sizeof(file_hash));
	content_of(st, hashes, file_hash, content);
	content[0] ^= st->wrong_id;
	int code = st->hashes == 0 ? OK : session_call(s, &r, 41, "dqlB", content, st->size, 0u, hashes, (size_t)st->hashes * 32);
	file_hash[0] ^= st->wrong_hash;
	if (code == OK)
		code = session_call(s, &r, 42, "isqldd", gid, name, st->said_size, st->said_piece, file_hash, content);
	reply_free(&r);
	return code;
}

void case_metadata(struct world *w)
{
	enum { P = 524288 };
	static const struct story stories[] = {
		{ "one size for the hashes, another for the file", 2 * P, 2 * P - 1, P, 2, false, false },
		{ "fewer hashes than pieces", 3 * P, 3 * P, P, 2, false, false },
		{ "more hashes than pieces", P, P, P, 2, false, false },
		{ "another piece size", P, P, 1024, 1, false, false },
		{ "a piece size of zero", P, P, 0, 1, false, false },
		{ "a content id that is not theirs", P, P, P, 1, true, false },
		{ "a file hash that is not in the id", P, P, P, 1, false, true },
		{ "an empty file of a wrong hash", 0, 0, P, 0, false, false },
		{ "the largest size there is", UINT64_MAX, UINT64_MAX, P, 1, false, false },
		{ "a size past 2^63", UINT64_C(1) << 63, UINT64_C(1) << 63, P, 1, false, false },
		{ "pieces that overflow 32 bits", (uint64_t)P << 33, (uint64_t)P << 33, P, 1, false, false },
	};
	static const struct story good = { "what fits together", 2 * P + 1, 2 * P + 1, P, 3, false, false };
	struct session s;
	struct reply r = { 0 };
	uint8_t gid[16], hash[40] = { 3 };

	session_as(&s, w->tracker, w->seed, "mallory", "m");
	int code = session_call(&s, &r, 20, "s", "metadata");
	if (code != OK)
		die("no group: %s", r.message);
	get(&r.fields, gid, sizeof(gid));
	for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
		code = tell(&s, gid, &stories[i], "liar");
		check(code != OK && code >= 0, "refused: %s (%d)", stories[i].what, code);
	}
	check(session_call(&s, &r, 41, "dqlB", hash, (uint64_t)P, 0u, hash, (size_t)31) != OK, "half a hash (%d)", r.code);
	check(session_call(&s, &r, 41, "dqlB", hash, (uint64_t)P, 0xffffffffu, hash, (size_t)32) != OK, "a hash of the last piece there can be (%d)", r.code);
	check(session_call(&s, &r, 45, "sc", "metadata", 1u) == OK, "the group can be listed");
	get(&r.fields, gid, 16);
	check(get_int(&r.fields, 2) == 0, "and nothing of it is there");
	check(tell(&s, gid, &good, "fine") == OK, "what fits together is taken");
	reply_free(&r);
	session_close(&s);
}

/* -- tokens, and the request ids of others */
static bool resumes(struct world *w, const uint8_t seed[32], const uint8_t *token, size_t len)
{
	struct session s;
	bool resumed = false;
	if (!session_open_bare(&s, w->tracker, seed, NULL))
		die("the tracker takes nobody");
	session_hello(&s, token, len, &resumed);
	session_close(&s);
	return resumed;
}

void case_tokens(struct world *w)
{
	struct session alice, mallory;
	struct reply r = { 0 };
	struct bytes fields = { 0 };
	uint8_t request[16], token[256];
	unsigned altered = 0;

	session_as(&alice, w->tracker, w->seed2, "alice", "pw-alice");
	check(resumes(w, w->seed2, alice.token, alice.token_len), "alice's token is good on her device");
	check(!resumes(w, w->seed, alice.token, alice.token_len), "and nowhere else");
	for (size_t i = 0; i < alice.token_len; i++) {
		memcpy(token, alice.token, alice.token_len);
		token[i] ^= 1u << (i % 8);
		altered += resumes(w, w->seed2, token, alice.token_len);
	}
	check(altered == 0, "no altered token is good (%u of %zu were)", altered, alice.token_len);
	for (size_t len = 0; len < alice.token_len; len += 7)
		altered += resumes(w, w->seed2, alice.token, len);
	check(altered == 0, "no cut token is good (%u were)", altered);
	session_close(&alice);

	/* the answer to her login, asked for by another with her request id */
	RAND_bytes(request, sizeof(request));
	if (!session_open(&alice, w->tracker, w->seed2, NULL))
		die("the tracker takes nobody");
	put_fields(&fields, "ss", "alice", "pw-alice");
	check(session_call_as(&alice, 11, request, &fields, &r) == OK, "alice logs in (%s)", r.message);
	bytes_free(&fields);
	if (!session_open(&mallory, w->tracker, w->seed, NULL))
		die("the tracker takes nobody");
	put_fields(&fields, "ss", "alice", "wrong");
	check(session_call_as(&mallory, 11, request, &fields, &r) == AUTH, "her request id opens nothing to others (%d %s)", r.code, r.message);
	check(session_call(&mallory, &r, 14, "") == AUTH, "he is nobody");
	bytes_free(&fields);
	reply_free(&r);
	session_close(&alice);
	session_close(&mallory);
	/* logout ends the token */
	session_as(&alice, w->tracker, w->seed2, "alice", "pw-alice");
	size_t len = alice.token_len;
	memcpy(token, alice.token, len);
	check(session_call(&alice, &r, 12, "") == OK, "alice logs out");
	reply_free(&r);
	session_close(&alice);
	check(!resumes(w, w->seed2, token, len), "her token is worth nothing any more");
}

/* -- posing as a tracker */
void case_sync(struct world *w)
{
	static const char frames[] = "\0\0\0\26SYNC\1create_user eve\0\0";
	for (int i = 0; i < 2; i++) {
		struct link *l = link_open(&(struct dial){ .addr = w->tracker, .alpn = "shoal-sync/1", .seed = i == 0 ? w->seed : NULL });
		if (l != NULL)
			(void)link_send(l, frames, sizeof(frames) - 1);
		check(link_is_closed(l, AT_ONCE_MS), "a tracker %s is refused", i == 0 ? "with another key" : "without a certificate");
		link_close(l);
	}
}
