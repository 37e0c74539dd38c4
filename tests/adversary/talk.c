/* tests/adversary/talk.c - what is said to trackers and to peers, and what comes back. */
#include "adversary.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

enum { ANSWER_MS = 20000, FRAME_MOST = 1 << 20 };

const struct verb verbs[] = {
	{ 1, "hello", "wlsBB", false, false },
	{ 2, "resume", "B", false, false },
	{ 10, "create_user", "ss", false, true },
	{ 11, "login", "ss", false, true },
	{ 12, "logout", "", true, true },
	{ 13, "change_password", "ss", true, true },
	{ 14, "whoami", "", true, false },
	{ 15, "list_sessions", "", true, false },
	{ 16, "end_session", "s", true, true },
	{ 20, "create_group", "s", true, true },
	{ 21, "join_group", "s", true, true },
	{ 22, "leave_group", "sss", true, true },
	{ 23, "accept_request", "sss", true, true },
	{ 24, "reject_request", "sss", true, true },
	{ 25, "remove_member", "sss", true, true },
	{ 26, "transfer_group", "sss", true, true },
	{ 27, "delete_group", "s", true, true },
	{ 28, "list_groups", "s", true, false },
	{ 29, "list_requests", "s", true, false },
	{ 30, "list_members", "s", true, false },
	{ 31, "set_role", "sss", true, true },
	{ 40, "upload_check", "ssq", true, false },
	{ 41, "put_hashes", "dqlB", true, false },
	{ 42, "upload_file_data", "isqldd", true, true },
	{ 43, "update_file_info", "ii", true, true },
	{ 44, "stop_share", "ss", true, true },
	{ 45, "list_files", "sc", true, false },
	{ 46, "find", "ss", true, false },
	{ 47, "get_hashes", "iil", true, false },
	{ 48, "announce", "iilc", true, false },
	{ 49, "ticket", "i", true, false },
	{ 50, "my_shares", "", true, false },
	{ 51, "unreachable", "id", true, false },
	{ 60, "heartbeat", "lq", false, false },
	{ 61, "trackers", "", false, false },
	{ 62, "wait_synced", "Bwl", false, false },
	{ 63, "list_conflicts", "", true, false },
	{ 0, NULL, NULL, false, false },
};

static const struct verb *verb_of(unsigned number)
{
	const struct verb *v = verbs;
	while (v->number != 0 && v->number != number)
		v++;
	return v;
}

/* -- trackers */
bool session_open_bare(struct session *s, const char *addr, const uint8_t seed[32], const char *from)
{
	*s = (struct session){ .link = link_open(&(struct dial){ .addr = addr, .from = from, .alpn = "shoal-client/1", .seed = seed }) };
	return s->link != NULL;
}

bool session_open(struct session *s, const char *addr, const uint8_t seed[32], const char *from)
{
	return session_open_bare(s, addr, seed, from) && session_hello(s, NULL, 0, NULL) == OK;
}

void session_close(struct session *s)
{
	link_close(s->link);
	*s = (struct session){ 0 };
}

void frame_send(struct session *s, const char tag[4], const struct bytes *body)
{
	struct bytes frame = { 0 };
	put_int(&frame, body->len + 4, 4);
	put(&frame, tag, 4);
	put(&frame, body->p, body->len);
	(void)link_send(s->link, frame.p, frame.len); /* who has hung up says so when he is read */
	bytes_free(&frame);
}

void reply_free(struct reply *r)
{
	bytes_free(&r->fields);
}

/* A whole frame; its tag in `tag`. 0, CLOSED, SILENT. */
static int frame_receive(struct link *l, char tag[4], struct bytes *body, unsigned ms)
{
	uint8_t head[8];
	int rc = link_recv(l, head, sizeof(head), ms);
	if (rc != 0)
		return rc;
	struct bytes h = { .p = head, .len = sizeof(head) };
	size_t len = (size_t)get_int(&h, 4);
	if (len < 4 || len > FRAME_MOST)
		die("a frame of %zu bytes", len);
	memcpy(tag, head + 4, 4);
	bytes_free(body);
	body->p = malloc(len);
	if (body->p == NULL)
		die("out of memory");
	body->cap = body->len = len - 4;
	return link_recv(l, body->p, body->len, ms);
}

/* The reply to that serial; events and others' replies are passed over. */
static int receive_reply(struct session *s, uint32_t serial, struct reply *r)
{
	char tag[4];
	for (;;) {
		int rc = frame_receive(s->link, tag, &r->fields, ANSWER_MS);
		if (rc != 0)
			return r->code = rc;
		if (memcmp(tag, "RPLY", 4) != 0)
			continue;
		uint32_t of = (uint32_t)get_int(&r->fields, 4);
		unsigned flags = (unsigned)get_int(&r->fields, 1);
		r->code = (int)get_int(&r->fields, 2);
		size_t n = get_blob(&r->fields, 2, (uint8_t *)r->message, sizeof(r->message) - 1);
		r->message[n] = '\0';
		uint8_t stamp[26];
		if ((flags & 2) != 0)
			get(&r->fields, stamp, sizeof(stamp));
		if ((flags & 8) != 0)
			get_int(&r->fields, 2);
		if (of == serial)
			return r->code;
	}
}

int session_call_as(struct session *s, unsigned verb, const uint8_t *request, const struct bytes *fields, struct reply *r)
{
	struct bytes body = { 0 };
	uint8_t id[16] = { 0 };
	if (request != NULL)
		memcpy(id, request, sizeof(id));
	else if (verb_of(verb)->changes)
		RAND_bytes(id, sizeof(id));
	put_int(&body, ++s->serial, 4);
	put(&body, id, sizeof(id));
	put_int(&body, verb, 2);
	put(&body, fields->p, fields->len);
	frame_send(s, "CMD ", &body);
	bytes_free(&body);
	return receive_reply(s, s->serial, r);
}


static void put_va(struct bytes *b, const char *letters, va_list ap)
{
	for (const char *p = letters; *p != '\0'; p++) {
		char one[2] = { *p, '\0' };
		const void *data;
		switch (*p) {
		case 'q': put_fields(b, one, va_arg(ap, uint64_t)); break;
		case 'c': case 'w': case 'l': put_fields(b, one, va_arg(ap, unsigned)); break;
		case 'S': case 'B':
			data = va_arg(ap, const void *);
			put_fields(b, one, data, va_arg(ap, size_t));
			break;
		default: put_fields(b, one, va_arg(ap, const void *)); break;
		}
	}
}

int session_call(struct session *s, struct reply *r, unsigned verb, const char *letters, ...)
{
	struct bytes fields = { 0 };
	va_list ap;
	va_start(ap, letters);
	put_va(&fields, letters, ap);
	va_end(ap);
	session_call_as(s, verb, NULL, &fields, r);
	bytes_free(&fields);
	return r->code;
}

int session_hello(struct session *s, const uint8_t *token, size_t len, bool *resumed)
{
	struct reply r = { 0 };
	uint8_t skip[64];
	int code = session_call(s, &r, 1, "wlsBB", 1u, 0u, "127.0.0.1:9", token, len, NULL, (size_t)0);
	get(&r.fields, skip, 2 + 4 + 2 + 8 + 32 + 1 + 4);
	get_blob(&r.fields, 2, skip, sizeof(skip));
	bool did = code == OK && get_int(&r.fields, 1) == 1;
	get(&r.fields, s->uid, 16);
	if (resumed != NULL)
		*resumed = did;
	reply_free(&r);
	return code;
}

int session_login(struct session *s, const char *user, const char *password)
{
	struct reply r = { 0 };
	uint8_t name[256];
	int code = session_call(s, &r, 11, "ss", user, password);
	if (code == OK) {
		get(&r.fields, s->uid, 16);
		get_blob(&r.fields, 2, name, sizeof(name));
		s->token_len = get_blob(&r.fields, 4, s->token, sizeof(s->token));
	}
	reply_free(&r);
	return code;
}

void session_as(struct session *s, const char *addr, const uint8_t seed[32], const char *user, const char *password)
{
	struct reply r = { 0 };
	if (!session_open(s, addr, seed, NULL))
		die("the tracker does not take %s", user);
	int code = session_call(s, &r, 10, "ss", user, password);
	if (code != OK && code != EXISTS)
		die("no account for %s: %s", user, r.message);
	reply_free(&r);
	code = session_login(s, user, password);
	if (code != OK)
		die("%s cannot log in: code %d", user, code);
}

int session_find(struct session *s, const char *group, const char *file, struct found *out)
{
	struct reply r = { 0 };
	uint8_t skip[512];
	int code = session_call(s, &r, 46, "ss", group, file);
	*out = (struct found){ 0 };
	if (code == OK) {
		get(&r.fields, out->gid, 16);
		get(&r.fields, out->fid, 16);
		get_blob(&r.fields, 2, skip, sizeof(skip));
		get_blob(&r.fields, 2, skip, sizeof(skip));
		out->size = get_int(&r.fields, 8);
		get_int(&r.fields, 4);
		get(&r.fields, out->file_hash, 32);
		get(&r.fields, out->content, 32);
		get_blob(&r.fields, 2, skip, sizeof(skip));
		out->ticket_len = get_blob(&r.fields, 4, out->ticket, sizeof(out->ticket));
		get_int(&r.fields, 4);
		if (get_int(&r.fields, 2) > 0) {
			get(&r.fields, skip, 16);
			get_blob(&r.fields, 2, skip, sizeof(skip));
			size_t n = get_blob(&r.fields, 2, (uint8_t *)out->address, sizeof(out->address) - 1);
			out->address[n] = '\0';
			get(&r.fields, out->identity, 32);
		}
		if (r.fields.bad)
			die("FIND cannot be read");
	}
	reply_free(&r);
	return code;
}

/* -- peers */
static bool hear_hello(struct peer *p)
{
	return peer_hear(p, ANSWER_MS) == 0 && p->type == P_HELLO;
}

bool peer_open(struct peer *p, const char *addr, const uint8_t seed[32], bool plain)
{
	uint8_t nonce[32] = { 1 };
	*p = (struct peer){ .link = link_open(&(struct dial){ .addr = addr, .alpn = "shoal-peer/1", .seed = seed, .plain = plain }) };
	return p->link != NULL && peer_say(p, P_HELLO, "wld", 1u, 0u, nonce) && (plain || hear_hello(p));
}

void peer_close(struct peer *p)
{
	link_close(p->link);
	bytes_free(&p->body);
	*p = (struct peer){ 0 };
}

bool peer_say(struct peer *p, unsigned type, const char *letters, ...)
{
	struct bytes body = { 0 }, frame = { 0 };
	va_list ap;
	va_start(ap, letters);
	put_va(&body, letters, ap);
	va_end(ap);
	put_int(&frame, body.len + 1, 4);
	put_int(&frame, type, 1);
	put(&frame, body.p, body.len);
	bool ok = link_send(p->link, frame.p, frame.len);
	bytes_free(&body);
	bytes_free(&frame);
	return ok;
}

int peer_hear(struct peer *p, unsigned ms)
{
	uint8_t head[5];
	int rc = link_recv(p->link, head, sizeof(head), ms);
	if (rc != 0)
		return rc;
	struct bytes h = { .p = head, .len = sizeof(head) };
	size_t len = (size_t)get_int(&h, 4);
	if (len == 0 || len > FRAME_MOST)
		die("a peer's frame of %zu bytes", len);
	p->type = head[4];
	bytes_free(&p->body);
	p->body.p = malloc(len);
	if (p->body.p == NULL)
		die("out of memory");
	p->body.cap = p->body.len = len - 1;
	return link_recv(p->link, p->body.p, p->body.len, ms);
}

int peer_hear_type(struct peer *p, unsigned type, unsigned ms)
{
	uint64_t until = mono_ms() + ms;
	for (uint64_t now = mono_ms(); now < until; now = mono_ms()) {
		int rc = peer_hear(p, (unsigned)(until - now));
		if (rc != 0 || p->type == type)
			return rc;
	}
	return SILENT;
}

int peer_ask_open(struct peer *p, unsigned ch, const uint8_t fid[16], const uint8_t *ticket, size_t len)
{
	peer_say(p, P_OPEN, "liS", ch, fid, ticket, len);
	for (;;) {
		int rc = peer_hear(p, ANSWER_MS);
		if (rc != 0)
			return rc;
		if ((p->type == P_OPENED || p->type == P_CLOSE) && get_int(&p->body, 4) == ch)
			return p->type == P_OPENED ? OK : (int)get_int(&p->body, 2);
		if (p->type == P_PIECE)
			die("a piece before OPENED");
	}
}

/* -- tickets */
size_t ticket_make(const struct ticket *t, const uint8_t seed[32], uint8_t out[512])
{
	struct bytes body = { 0 }, whole = { 0 };
	EVP_PKEY *key = key_of(seed);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t sig_len = 64;
	put_fields(&body, "wwidiqqs", 1u, t->flags, t->uid, t->device, t->gid, t->not_before, t->not_after, t->user);
	put_fields(&whole, "s", "shoal ticket v1");
	put(&whole, body.p, body.len);
	memcpy(out, body.p, body.len);
	if (EVP_DigestSignInit(md, NULL, NULL, NULL, key) != 1 || EVP_DigestSign(md, out + body.len, &sig_len, whole.p, whole.len) != 1)
		die("cannot sign");
	size_t len = body.len + 64;
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	bytes_free(&body);
	bytes_free(&whole);
	return len;
}
