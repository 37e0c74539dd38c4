/* core/wire/ticket.h - a tracker's signed words: tickets for peers, tokens for itself and its fellows.
 *
 * Ticket: this device belongs to a member of that group, until then. Signed with Ed25519, so that every peer can check
 * it against the key that HELLO gave. Token: this device has logged in as that user; HMAC-SHA-256, since only trackers
 * check it. Both name a device identity: whoever holds a copy can do nothing with it. Plain values, any thread. */
#ifndef SHOAL_WIRE_TICKET_H
#define SHOAL_WIRE_TICKET_H
#include <openssl/evp.h>

#include "core/wire/codec.h"
#include "core/wire/stamp.h"

#define TICKET_MAX 256 /* sealed */
#define TOKEN_MAX 256

enum { /* flags */
	TICKET_PLAINTEXT = 1, /* the cluster lets its peers talk in the clear */
	TICKET_READER = 2,    /* its holder gives nothing to others */
};

#define TICKET_FIELDS(F)                                                                                \
	F(u16, key_number) F(u16, flags) F(id16, uid) F(id32, device) F(id16, gid) F(u64, not_before_ms) \
	F(u64, not_after_ms) F(str, user)
CODEC_DECLARE(ticket, TICKET_FIELDS)

/* Appends the ticket with its signature. SHOAL_EINTERNAL if it cannot be signed. */
enum shoal_err ticket_seal(struct buf *b, const struct ticket *t, EVP_PKEY *key);
/* Decodes and checks the signature; times and device are the caller's to check: ticket_valid(). t->user points into
 * `sealed`. SHOAL_EDENIED if it is not what a tracker signed. */
enum shoal_err ticket_open(struct slice sealed, EVP_PKEY *key, struct ticket *t);
/* Names this device and is good now, with 30 s of grace for clocks. */
bool ticket_valid(const struct ticket *t, const struct id32 *device, uint64_t wall_ms);

#define TICKET_GRACE_MS 30000

#define TOKEN_FIELDS(F)                                                                          \
	F(u16, key_number) F(id16, uid) F(id32, device) F(u64, log) F(u64, seq) F(u64, issued_ms) \
	F(u64, expires_ms)
CODEC_DECLARE(token, TOKEN_FIELDS)

enum shoal_err token_seal(struct buf *b, const struct token *t, const uint8_t key[32]);
/* SHOAL_EAUTH if it was not made with this key. Expiry and device are the caller's to check. */
enum shoal_err token_open(struct slice sealed, const uint8_t key[32], struct token *t);
#endif
