/* tests/adversary/adversary.h - somebody who means no good, on raw sockets.
 *
 * Written from docs/protocol.md: nothing of shoal is linked, so that a mistake in its encoders cannot hide one in its
 * decoders. One thread, blocking calls with deadlines; out of memory ends it. Each case prints a line for each thing that must
 * hold, "ok" or "not ok"; the exit code says whether all of them did. */
#ifndef ADVERSARY_H
#define ADVERSARY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>

/* -- what is said */
bool check(bool holds, const char *what, ...) __attribute__((format(printf, 2, 3)));
unsigned check_failures(void);
void die(const char *what, ...) __attribute__((format(printf, 1, 2), noreturn)); /* the test itself cannot go on */

/* -- bytes: big endian, as docs/protocol.md section 1 */
struct bytes {
	uint8_t *p;
	size_t len, cap, at; /* at: the next to be read */
	bool bad;            /* read past the end; reads give zeros */
};
void bytes_free(struct bytes *b);
void put(struct bytes *b, const void *data, size_t len);
void put_int(struct bytes *b, uint64_t v, unsigned size);
/* One argument for each letter: c w l q integers of 1, 2, 4, 8 bytes (uint64_t for q, unsigned for the others); i d ids of 16 and 32
 * bytes; s a string that ends with 0; S and B pointer and size_t: str and blob. */
void put_fields(struct bytes *b, const char *letters, ...);
uint64_t get_int(struct bytes *b, unsigned size);
void get(struct bytes *b, void *out, size_t len);
size_t get_blob(struct bytes *b, unsigned size_of_length, uint8_t *out, size_t cap); /* what does not fit is left out */

/* -- keys */
void hkdf(const uint8_t *secret, size_t len, const char *label, uint8_t out[32]);
EVP_PKEY *key_of(const uint8_t seed[32]);
void identity_of(EVP_PKEY *key, uint8_t out[32]);
void sha256(const void *data, size_t len, uint8_t out[32]);
uint64_t mono_ms(void);
uint64_t wall_ms(void);

/* -- links */
enum { CLOSED = -1, SILENT = -2 }; /* the other side hung up; nothing came in time */
struct link {
	int fd;
	SSL *ssl; /* NULL: in the clear */
	SSL_CTX *ctx;
};
struct dial {
	const char *addr, *from; /* HOST:PORT; from: the address to come from, or NULL */
	const char *alpn;        /* NULL: none is offered */
	const uint8_t *seed;     /* of the Ed25519 key; NULL: no certificate */
	bool plain;
};
/* NULL: refused. A refused certificate may show only when something is read. */
struct link *link_open(const struct dial *how);
void link_close(struct link *l);
bool link_send(struct link *l, const void *data, size_t len);
int link_recv(struct link *l, void *out, size_t len, unsigned ms); /* 0: all of it; CLOSED; SILENT */
bool link_is_closed(struct link *l, unsigned ms);                  /* reads on until it is */
int tcp_open(const char *addr, const char *from, bool block);      /* -1: refused */

/* -- a client of a tracker */
struct session {
	struct link *link;
	uint32_t serial;
	uint8_t uid[16], token[256];
	size_t token_len;
};
struct reply {
	int code; /* of docs/protocol.md, CLOSED or SILENT */
	char message[256];
	struct bytes fields; /* valid until the next call with this reply; reply_free() */
};
enum { OK, AUTH, DENIED, NOT_FOUND, EXISTS, OFFLINE, INTEGRITY = 11, BUSY = 15, QUOTA = 10, USAGE = 18 };
struct verb {
	unsigned number;
	const char *name, *letters;
	bool login, changes;
};
extern const struct verb verbs[]; /* ends with number 0 */
bool session_open(struct session *s, const char *addr, const uint8_t seed[32], const char *from); /* with HELLO */
bool session_open_bare(struct session *s, const char *addr, const uint8_t seed[32], const char *from);
void session_close(struct session *s);
void frame_send(struct session *s, const char tag[4], const struct bytes *body);
/* `request` NULL: a random one for verbs that change something. */
int session_call_as(struct session *s, unsigned verb, const uint8_t *request, const struct bytes *fields, struct reply *r);
int session_call(struct session *s, struct reply *r, unsigned verb, const char *letters, ...);
void reply_free(struct reply *r);
int session_hello(struct session *s, const uint8_t *token, size_t len, bool *resumed);
int session_login(struct session *s, const char *user, const char *password);
/* Logged in, the account made if it is not there, or dies. */
void session_as(struct session *s, const char *addr, const uint8_t seed[32], const char *user, const char *password);

/* -- what FIND says */
struct found {
	uint8_t gid[16], fid[16], content[32], file_hash[32], ticket[512], identity[32];
	size_t ticket_len;
	uint64_t size;
	char address[128]; /* of the first peer; empty: none */
};
int session_find(struct session *s, const char *group, const char *file, struct found *out);

/* -- a peer */
struct peer {
	struct link *link;
	uint8_t type;
	struct bytes body; /* of the last frame */
};
bool peer_open(struct peer *p, const char *addr, const uint8_t seed[32], bool plain); /* with HELLO, both ways */
void peer_close(struct peer *p);
bool peer_say(struct peer *p, unsigned type, const char *letters, ...);
int peer_hear(struct peer *p, unsigned ms); /* 0: type and body are set */
/* The next frame of that kind; others are passed over. */
int peer_hear_type(struct peer *p, unsigned type, unsigned ms);
/* OPEN: OK if OPENED came, the code of CLOSE, CLOSED, SILENT. */
int peer_ask_open(struct peer *p, unsigned ch, const uint8_t fid[16], const uint8_t *ticket, size_t len);
enum { P_HELLO, P_AUTH, P_OPEN, P_OPENED, P_HAVE, P_BITFIELD, P_REQUEST, P_PIECE, P_CANCEL, P_REJECT, P_TICKET, P_CLOSE };

/* -- tickets of one's own making */
struct ticket {
	uint8_t uid[16], device[32], gid[16];
	uint64_t not_before, not_after;
	const char *user;
	unsigned flags;
};
size_t ticket_make(const struct ticket *t, const uint8_t seed[32], uint8_t out[512]);

/* -- cases */
struct world {
	const char *tracker, *peer, *key_file; /* addresses; the cluster's secret, for tickets that only a tracker can make */
	unsigned count, seconds;
	uint8_t seed[32], seed2[32];           /* the adversary's devices */
};
typedef void case_fn(struct world *w);
case_fn case_door, case_strangers, case_others, case_names, case_metadata, case_sync, case_tokens, case_tickets, case_requests,
	case_removed, case_overask, case_loris, case_half_open, case_flood, case_guess, case_timing, case_starve;
#endif
