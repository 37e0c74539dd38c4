/* core/net/tls.h - who we are on TLS links, and how those links are set up.
 *
 * TLS 1.3 only, both sides show a self-signed Ed25519 certificate, nothing is resumed. An identity is the SHA-256 of
 * the public key (SPKI DER). A handshake proves that the other side holds the key of the identity it shows; *which*
 * identity is welcome is for the caller to decide afterwards (id32_eq). Names and dates in certificates mean nothing.
 *
 * A struct tls_identity and a struct tls_ctx do not change once made: any thread may use them, several at a time.
 * They must outlive the streams made from them. */
#ifndef SHOAL_NET_TLS_H
#define SHOAL_NET_TLS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "core/base/crypto.h"
#include "core/base/error.h"
#include "core/base/id.h"

struct tls_identity {
	EVP_PKEY *key;
	X509 *cert;
	struct id32 id;
};

/* The same seed gives the same identity. NULL and *e set on failure. */
struct tls_identity *tls_identity_new(const uint8_t seed[SEED_SIZE], struct error *e);
void tls_identity_free(struct tls_identity *identity); /* NULL is fine */

struct tls_ctx;

#define TLS_ALPN_MAX 4

/* For the accepting side: only these protocols are spoken (1 to TLS_ALPN_MAX; the names are borrowed and must outlive
 * it); a client that offers none of them, or no ALPN at all, is refused. The identity is borrowed. */
struct tls_ctx *tls_ctx_server(const struct tls_identity *identity, const char *const alpns[], size_t n,
                               struct error *e);
/* For the dialling side: the other side must agree to this protocol. */
struct tls_ctx *tls_ctx_client(const struct tls_identity *identity, const char *alpn, struct error *e);
void tls_ctx_free(struct tls_ctx *ctx); /* NULL is fine */

/* For stream.c and tests. */
SSL_CTX *tls_ctx_ssl(const struct tls_ctx *ctx);
bool tls_ctx_is_server(const struct tls_ctx *ctx);
/* The context's own spelling of the protocol that the handshake settled on; NULL if it settled on none. */
const char *tls_ctx_alpn_of(const struct tls_ctx *ctx, SSL *ssl);
#endif
