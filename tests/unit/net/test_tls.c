/* tests/unit/net/test_tls.c - identities and contexts as they are made; what they do on a link is in test_stream.c. */
#include <openssl/x509.h>

#include "core/base/hash.h"
#include "tests/unit/net/net_check.h"

static const uint8_t seed[SEED_SIZE] = { 1, 2, 3 };

/* What docs/protocol.md says an identity is, counted by hand. */
static void an_identity_is_the_hash_of_the_public_key(void)
{
	struct error e = { 0 };
	struct tls_identity *identity = tls_identity_new(seed, &e);
	unsigned char *der = NULL;
	struct sha256 h;
	struct id32 id;

	CHECK(identity != NULL);
	int len = i2d_PUBKEY(X509_get0_pubkey(identity->cert), &der);
	CHECK_INT(len, ==, 44);
	sha256_init(&h);
	sha256_update(&h, der, (size_t)len);
	sha256_final(&h, &id);
	CHECK(id32_eq(&id, &identity->id));
	OPENSSL_free(der);
	tls_identity_free(identity);
}

static void the_certificate_is_its_own_issuer_and_always_valid(void)
{
	struct tls_identity *identity = tls_identity_new(seed, NULL);

	CHECK(identity != NULL);
	CHECK_INT(X509_self_signed(identity->cert, 1), ==, 1);
	CHECK_INT(EVP_PKEY_get_base_id(X509_get0_pubkey(identity->cert)), ==, EVP_PKEY_ED25519);
	CHECK_INT(X509_cmp_current_time(X509_get0_notBefore(identity->cert)), <, 0);
	CHECK_INT(X509_cmp_current_time(X509_get0_notAfter(identity->cert)), >, 0);
	CHECK_INT(X509_check_private_key(identity->cert, identity->key), ==, 1);
	tls_identity_free(identity);
}

static void check_settings(const struct tls_ctx *ctx)
{
	SSL_CTX *ssl = tls_ctx_ssl(ctx);

	CHECK_INT(SSL_CTX_get_min_proto_version(ssl), ==, TLS1_3_VERSION);
	CHECK_INT(SSL_CTX_get_max_proto_version(ssl), ==, TLS1_3_VERSION);
	CHECK_INT(SSL_CTX_get_verify_mode(ssl), ==, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
	CHECK_INT(SSL_CTX_get_session_cache_mode(ssl), ==, SSL_SESS_CACHE_OFF);
	CHECK_INT(SSL_CTX_get_num_tickets(ssl), ==, 0);
	CHECK((SSL_CTX_get_options(ssl) & SSL_OP_NO_TICKET) != 0);
	CHECK((SSL_CTX_get_mode(ssl) & SSL_MODE_AUTO_RETRY) == 0);
	CHECK_INT(SSL_CTX_get_max_cert_list(ssl), <=, 4096);
}

static void both_sides_are_as_strict(void)
{
	static const char *const alpns[] = { "one", "two" };
	struct tls_identity *identity = tls_identity_new(seed, NULL);
	struct error e = { 0 };
	struct tls_ctx *server = tls_ctx_server(identity, alpns, 2, &e), *client = tls_ctx_client(identity, "two", &e);

	CHECK(server != NULL && client != NULL);
	CHECK(tls_ctx_is_server(server) && !tls_ctx_is_server(client));
	check_settings(server);
	check_settings(client);
	CHECK(SSL_CTX_get0_privatekey(tls_ctx_ssl(server)) == identity->key);
	tls_ctx_free(server);
	tls_ctx_free(client);
	tls_ctx_free(NULL);
	tls_identity_free(identity);
}

static void before_a_handshake_no_protocol_is_agreed(void)
{
	struct tls_identity *identity = tls_identity_new(seed, NULL);
	struct tls_ctx *client = tls_ctx_client(identity, "two", NULL);
	SSL *ssl = SSL_new(tls_ctx_ssl(client));

	CHECK(ssl != NULL);
	CHECK(tls_ctx_alpn_of(client, ssl) == NULL);
	SSL_free(ssl);
	tls_ctx_free(client);
	tls_identity_free(identity);
}

static const struct CMUnitTest tests[] = {
	TEST(an_identity_is_the_hash_of_the_public_key), TEST(the_certificate_is_its_own_issuer_and_always_valid),
	TEST(both_sides_are_as_strict), TEST(before_a_handshake_no_protocol_is_agreed),
};
CHECK_MAIN(tests)
