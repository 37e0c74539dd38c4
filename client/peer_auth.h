/* client/peer_auth.h - who is at the other end of a plain link.
 *
 * Each side signs (role, both nonces, both identities) with its device key: a signature is good for this one connection,
 * this direction and these two. The dialler knows whom it wants and signs first. Plain functions, any thread. */
#ifndef SHOAL_CLIENT_PEER_AUTH_H
#define SHOAL_CLIENT_PEER_AUTH_H
#include "core/net/tls.h"
#include "core/wire/peer_msg.h"

struct auth_links {
	struct id32 dialler_nonce, acceptor_nonce;
	struct id32 dialler, acceptor; /* identities */
};

/* Appends an AUTH frame in the role of dialler or acceptor. False: it cannot be signed. */
bool auth_sign(struct buf *out, const struct tls_identity *me, const struct auth_links *about, bool as_dialler);
/* The identity of the key that a received AUTH shows; false if it is no key. */
bool auth_identity(const struct peer_auth *auth, struct id32 *identity);
/* Whether that key has signed for that role. */
bool auth_check(const struct peer_auth *auth, const struct auth_links *about, bool as_dialler);
#endif
