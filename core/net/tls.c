/* core/net/tls.c */
#include "core/net/tls.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "core/base/mem.h"

/* A self-signed certificate of ours has about 250 bytes; a stranger's may not grow a connection. */
#define CERT_BYTES_MAX 4096

struct tls_ctx {
	SSL_CTX *ssl;
	bool server;
	size_t n_alpns;
	const char *alpns[TLS_ALPN_MAX];
};

static enum shoal_err error_ssl(struct error *e, const char *what)
{
	char text[160];

	ERR_error_string_n(ERR_peek_last_error(), text, sizeof(text));
	return error_set(e, SHOAL_EINTERNAL, "%s: %s", what, text);
}

/* Names, serial and dates are there because X.509 wants them; nobody looks. */
static X509 *make_cert(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name;

	if (cert == NULL)
		return NULL;
	name = X509_get_subject_name(cert);
	if (X509_set_version(cert, X509_VERSION_3) != 1 ||
	    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) != 1 ||
	    ASN1_TIME_set_string(X509_getm_notBefore(cert), "20200101000000Z") != 1 ||
	    ASN1_TIME_set_string(X509_getm_notAfter(cert), "99991231235959Z") != 1 ||
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"shoal", -1, -1, 0) != 1 ||
	    X509_set_issuer_name(cert, name) != 1 || X509_set_pubkey(cert, key) != 1 ||
	    X509_sign(cert, key, NULL) == 0) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

struct tls_identity *tls_identity_new(const uint8_t seed[SEED_SIZE], struct error *e)
{
	struct tls_identity *identity = xalloc(sizeof(*identity));

	ERR_clear_error();
	identity->key = key_from_seed(seed);
	if (identity->key != NULL && key_identity(identity->key, &identity->id))
		identity->cert = make_cert(identity->key);
	if (identity->cert == NULL) {
		error_ssl(e, "cannot make a certificate");
		tls_identity_free(identity);
		return NULL;
	}
	return identity;
}

void tls_identity_free(struct tls_identity *identity)
{
	if (identity == NULL)
		return;
	X509_free(identity->cert);
	EVP_PKEY_free(identity->key);
	free(identity);
}

/* In place of OpenSSL's chain building: one certificate, of an Ed25519 key, that names itself as its issuer. That the
 * other side holds the key is proved by the handshake's own signature, whose algorithm is fixed by the context. */
static int check_cert(X509_STORE_CTX *store, void *arg)
{
	X509 *cert = X509_STORE_CTX_get0_cert(store);
	const STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
	EVP_PKEY *key = cert == NULL ? NULL : X509_get0_pubkey(cert);
	(void)arg;

	if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
		return 0;
	}
	if ((sent != NULL && sk_X509_num(sent) > 1) || X509_self_signed(cert, 0) != 1) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_CA);
		return 0;
	}
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

static bool configure(SSL_CTX *ssl, const struct tls_identity *identity)
{
	SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
	                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                              SSL_MODE_RELEASE_BUFFERS);
	/* With it one read would go through as many key updates as the other side likes to send. */
	SSL_CTX_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ssl, check_cert, NULL);
	SSL_CTX_set_max_cert_list(ssl, CERT_BYTES_MAX);
	return SSL_CTX_set_num_tickets(ssl, 0) == 1 && SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(ssl, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:"
	                                     "TLS_AES_256_GCM_SHA384") == 1 &&
	       SSL_CTX_set1_groups_list(ssl, "X25519:P-256") == 1 &&
	       SSL_CTX_set1_sigalgs_list(ssl, "ed25519") == 1 &&
	       SSL_CTX_use_certificate(ssl, identity->cert) == 1 && SSL_CTX_use_PrivateKey(ssl, identity->key) == 1;
}

static struct tls_ctx *ctx_new(const SSL_METHOD *method, const struct tls_identity *identity, struct error *e)
{
	struct tls_ctx *ctx = xalloc(sizeof(*ctx));

	ERR_clear_error();
	ctx->ssl = SSL_CTX_new(method);
	if (ctx->ssl == NULL || !configure(ctx->ssl, identity)) {
		error_ssl(e, "cannot set up TLS");
		tls_ctx_free(ctx);
		return NULL;
	}
	return ctx;
}

/* The server's order decides. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
                       unsigned int offered_len, void *arg)
{
	const struct tls_ctx *ctx = arg;
	(void)ssl;

	for (size_t i = 0; i < ctx->n_alpns; i++) {
		size_t len = strlen(ctx->alpns[i]);
		for (unsigned at = 0; at < offered_len; at += 1u + offered[at]) {
			if (offered[at] == len && len <= offered_len - at - 1 &&
			    memcmp(offered + at + 1, ctx->alpns[i], len) == 0) {
				*out = offered + at + 1;
				*out_len = offered[at];
				return SSL_TLSEXT_ERR_OK;
			}
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* select_alpn() is not asked when a client offers no protocol at all. */
static int demand_alpn(SSL *ssl, int *alert, void *arg)
{
	const unsigned char *ext;
	size_t len;
	(void)arg;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &ext, &len) == 1)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

struct tls_ctx *tls_ctx_server(const struct tls_identity *identity, const char *const alpns[], size_t n,
                               struct error *e)
{
	struct tls_ctx *ctx = ctx_new(TLS_server_method(), identity, e);

	assert(n >= 1 && n <= TLS_ALPN_MAX);
	if (ctx == NULL)
		return NULL;
	ctx->server = true;
	ctx->n_alpns = n;
	memcpy(ctx->alpns, alpns, n * sizeof(alpns[0]));
	SSL_CTX_set_client_hello_cb(ctx->ssl, demand_alpn, NULL);
	SSL_CTX_set_alpn_select_cb(ctx->ssl, select_alpn, ctx);
	return ctx;
}

struct tls_ctx *tls_ctx_client(const struct tls_identity *identity, const char *alpn, struct error *e)
{
	struct tls_ctx *ctx = ctx_new(TLS_client_method(), identity, e);
	unsigned char offer[256];
	size_t len = strlen(alpn);

	assert(len >= 1 && len <= 255);
	if (ctx == NULL)
		return NULL;
	ctx->n_alpns = 1;
	ctx->alpns[0] = alpn;
	offer[0] = (unsigned char)len;
	memcpy(offer + 1, alpn, len);
	if (SSL_CTX_set_alpn_protos(ctx->ssl, offer, (unsigned)len + 1) != 0) { /* 0 is success, here alone */
		error_ssl(e, "cannot set up TLS");
		tls_ctx_free(ctx);
		return NULL;
	}
	return ctx;
}

void tls_ctx_free(struct tls_ctx *ctx)
{
	if (ctx == NULL)
		return;
	SSL_CTX_free(ctx->ssl);
	free(ctx);
}

SSL_CTX *tls_ctx_ssl(const struct tls_ctx *ctx)
{
	return ctx->ssl;
}

bool tls_ctx_is_server(const struct tls_ctx *ctx)
{
	return ctx->server;
}

const char *tls_ctx_alpn_of(const struct tls_ctx *ctx, SSL *ssl)
{
	const unsigned char *name;
	unsigned len;

	SSL_get0_alpn_selected(ssl, &name, &len);
	for (size_t i = 0; i < ctx->n_alpns; i++)
		if (strlen(ctx->alpns[i]) == len && memcmp(ctx->alpns[i], name, len) == 0)
			return ctx->alpns[i];
	return NULL;
}
