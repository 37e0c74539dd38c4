/* tests/unit/net/test_stream.c: two streams at the ends of one socket pair, driven by hand. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>

#include "core/base/mem.h"
#include "core/net/stream.h"
#include "tests/unit/net/net_check.h"

static const char *const alpns[] = { "shoal-client/1", "shoal-sync/1" };

struct pair {
	struct tls_identity *ids[2];
	struct tls_ctx *server_ctx, *client_ctx;
	struct stream *server, *client;
	struct error server_error, client_error;
};

static void pair_fds(int fds[2])
{
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), ==, 0);
}

/* client_alpn NULL: plain streams. */
static void pair_open(struct pair *p, const char *client_alpn)
{
	int fds[2];

	net_init();
	*p = (struct pair){ 0 };
	pair_fds(fds);
	if (client_alpn == NULL) {
		p->server = stream_new_plain(fds[0]);
		p->client = stream_new_plain(fds[1]);
		return;
	}
	p->ids[0] = identity_of(0);
	p->ids[1] = identity_of(1);
	p->server_ctx = tls_ctx_server(p->ids[0], alpns, 2, &p->server_error);
	p->client_ctx = tls_ctx_client(p->ids[1], client_alpn, &p->client_error);
	CHECK(p->server_ctx != NULL && p->client_ctx != NULL);
	p->server = stream_new_tls(fds[0], p->server_ctx);
	p->client = stream_new_tls(fds[1], p->client_ctx);
	CHECK(p->server != NULL && p->client != NULL);
}

static void pair_close(struct pair *p)
{
	stream_free(p->server);
	stream_free(p->client);
	tls_ctx_free(p->server_ctx);
	tls_ctx_free(p->client_ctx);
	tls_identity_free(p->ids[0]);
	tls_identity_free(p->ids[1]);
}

/* Drives both handshakes as far as they go. */
static void pair_shake(struct pair *p, enum stream_status *server, enum stream_status *client)
{
	*server = *client = STREAM_AGAIN;
	for (int i = 0; i < 10; i++) {
		if (*client == STREAM_AGAIN)
			*client = stream_handshake(p->client, &p->client_error);
		if (*server == STREAM_AGAIN)
			*server = stream_handshake(p->server, &p->server_error);
	}
}

static void pair_open_and_shake(struct pair *p)
{
	enum stream_status server, client;

	pair_open(p, "shoal-sync/1");
	pair_shake(p, &server, &client);
	CHECK_INT(server, ==, STREAM_OK);
	CHECK_INT(client, ==, STREAM_OK);
}

static void put_all(struct stream *s, const void *data, size_t len)
{
	size_t put;
	struct error e;

	CHECK_INT(stream_write(s, data, len, &put, &e), ==, STREAM_OK);
	CHECK_INT(put, ==, len);
}

static void one_seed_is_one_identity(void)
{
	struct tls_identity *a = identity_of(7), *b = identity_of(7), *c = identity_of(8);

	CHECK(id32_eq(&a->id, &b->id));
	CHECK(!id32_eq(&a->id, &c->id));
	tls_identity_free(a);
	tls_identity_free(b);
	tls_identity_free(c);
	tls_identity_free(NULL);
}

static void each_side_sees_who_the_other_is(void)
{
	struct pair p;
	struct id32 seen;

	pair_open_and_shake(&p);
	CHECK(stream_peer_identity(p.server, &seen) && id32_eq(&seen, &p.ids[1]->id));
	CHECK(stream_peer_identity(p.client, &seen) && id32_eq(&seen, &p.ids[0]->id));
	CHECK_STR(stream_alpn(p.server), "shoal-sync/1");
	CHECK_STR(stream_alpn(p.client), "shoal-sync/1");
	CHECK(stream_is_tls(p.server));
	pair_close(&p);
}

static void bytes_go_both_ways_and_end_cleanly(void)
{
	struct pair p;
	char buf[16];
	size_t got;
	struct error e;

	pair_open_and_shake(&p);
	CHECK_INT(stream_read(p.server, buf, sizeof(buf), &got, &e), ==, STREAM_AGAIN);
	CHECK_INT(stream_wants(p.server, true, false), ==, STREAM_READABLE);
	put_all(p.client, "hello, tracker", 14);
	CHECK_INT(stream_read(p.server, buf, 5, &got, &e), ==, STREAM_OK);
	CHECK_INT(got, ==, 5);
	CHECK(memcmp(buf, "hello", 5) == 0);
	CHECK_INT(stream_pending(p.server), ==, 9); /* the descriptor knows nothing of these */
	CHECK_INT(stream_read(p.server, buf, sizeof(buf), &got, &e), ==, STREAM_OK);
	CHECK_INT(got, ==, 9);
	CHECK_INT(stream_pending(p.server), ==, 0);

	CHECK_INT(stream_close(p.client), ==, STREAM_OK);
	CHECK_INT(stream_read(p.server, buf, sizeof(buf), &got, &e), ==, STREAM_END);
	put_all(p.server, "late", 4); /* the other direction is still open */
	CHECK_INT(stream_read(p.client, buf, sizeof(buf), &got, &e), ==, STREAM_OK);
	CHECK_INT(got, ==, 4);
	pair_close(&p);
}

static void a_cut_is_not_an_end(void)
{
	struct pair p;
	char buf[16];
	size_t got;
	struct error e = { 0 };

	pair_open_and_shake(&p);
	put_all(p.client, "half a pie", 10);
	stream_free(p.client); /* gone without a word */
	p.client = NULL;
	CHECK_INT(stream_read(p.server, buf, sizeof(buf), &got, &e), ==, STREAM_OK);
	CHECK_INT(got, ==, 10);
	CHECK_INT(stream_read(p.server, buf, sizeof(buf), &got, &e), ==, STREAM_FAILED);
	CHECK_INT(e.code, ==, SHOAL_EIO);
	CHECK_STR(e.message, "the connection was cut");
	CHECK_INT(stream_read(p.server, buf, sizeof(buf), &got, &e), ==, STREAM_FAILED);
	CHECK_INT(stream_write(p.server, buf, sizeof(buf), &got, &e), ==, STREAM_FAILED);
	pair_close(&p);
}

/* Would kill the program if SIGPIPE were not ignored. */
static void writing_to_nobody_is_an_error_and_no_signal(void)
{
	for (int tls = 0; tls < 2; tls++) {
		struct pair p;
		size_t put;
		struct error e = { 0 };

		if (tls)
			pair_open_and_shake(&p);
		else
			pair_open(&p, NULL);
		stream_free(p.client);
		p.client = NULL;
		CHECK_INT(stream_write(p.server, "x", 1, &put, &e), ==, STREAM_FAILED);
		CHECK_INT(e.code, ==, SHOAL_EIO);
		CHECK_INT(put, ==, 0);
		pair_close(&p);
	}
}

static void an_unknown_protocol_is_refused(void)
{
	struct pair p;
	enum stream_status server, client;

	pair_open(&p, "shoal-nonsense/9");
	pair_shake(&p, &server, &client);
	CHECK_INT(server, ==, STREAM_FAILED);
	CHECK_INT(client, ==, STREAM_FAILED);
	CHECK_INT(p.server_error.code, ==, SHOAL_EPROTO);
	CHECK_INT(p.client_error.code, ==, SHOAL_EPROTO);
	pair_close(&p);
}

/* -- strangers with an OpenSSL of their own */

enum stranger_kind { NO_CERT, EC_CERT, NO_ALPN, TLS_1_2, CHAIN };

static X509 *foreign_cert(EVP_PKEY *key, EVP_PKEY *signer, const EVP_MD *md)
{
	X509 *cert = X509_new();

	X509_set_version(cert, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"x", -1, -1,
	                           0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_set_pubkey(cert, key);
	CHECK(X509_sign(cert, signer, md) != 0);
	return cert;
}

static SSL_CTX *stranger_ctx(enum stranger_kind kind, const struct tls_identity *id)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (kind == TLS_1_2)
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	if (kind == EC_CERT) {
		EVP_PKEY *key = EVP_EC_gen("P-256");
		X509 *cert = foreign_cert(key, key, EVP_sha256());
		CHECK_INT(SSL_CTX_use_certificate(ctx, cert), ==, 1);
		CHECK_INT(SSL_CTX_use_PrivateKey(ctx, key), ==, 1);
		X509_free(cert);
		EVP_PKEY_free(key);
	} else if (kind != NO_CERT) {
		CHECK_INT(SSL_CTX_use_certificate(ctx, id->cert), ==, 1);
		CHECK_INT(SSL_CTX_use_PrivateKey(ctx, id->key), ==, 1);
	}
	if (kind == CHAIN) {
		EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		CHECK_INT(SSL_CTX_add_extra_chain_cert(ctx, foreign_cert(other, other, NULL)), ==, 1);
		EVP_PKEY_free(other);
	}
	if (kind != NO_ALPN)
		SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x0eshoal-client/1", 15);
	return ctx;
}

static void strangers_are_refused(void)
{
	for (int kind = NO_CERT; kind <= CHAIN; kind++) {
		struct pair p;
		int fds[2];
		struct error e = { 0 };
		enum stream_status status = STREAM_AGAIN;

		pair_open(&p, "shoal-sync/1");
		pair_fds(fds);
		struct stream *server = stream_new_tls(fds[0], p.server_ctx);
		SSL_CTX *ctx = stranger_ctx((enum stranger_kind)kind, p.ids[1]);
		SSL *ssl = SSL_new(ctx);
		SSL_set_fd(ssl, fds[1]);
		for (int i = 0; i < 10 && status == STREAM_AGAIN; i++) {
			SSL_connect(ssl);
			status = stream_handshake(server, &e);
		}
		CHECK_INT(status, ==, STREAM_FAILED);
		CHECK_INT(e.code, ==, SHOAL_EPROTO);
		CHECK(strstr(e.message, "TLS handshake failed") != NULL);
		SSL_free(ssl);
		SSL_CTX_free(ctx);
		close(fds[1]);
		stream_free(server);
		pair_close(&p);
	}
	ERR_clear_error();
}

/* The same stranger with nothing wrong about it gets in: the test above refuses for the right reasons. */
static void a_foreign_client_that_follows_the_rules_is_let_in(void)
{
	struct pair p;
	int fds[2];
	struct error e = { 0 };
	struct id32 seen;
	enum stream_status status = STREAM_AGAIN;

	pair_open(&p, "shoal-sync/1");
	pair_fds(fds);
	struct stream *server = stream_new_tls(fds[0], p.server_ctx);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *cert = foreign_cert(key, key, NULL);
	SSL_CTX_use_certificate(ctx, cert);
	SSL_CTX_use_PrivateKey(ctx, key);
	SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x03xyz\x0eshoal-client/1", 19);
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fds[1]);
	for (int i = 0; i < 10 && status == STREAM_AGAIN; i++) {
		SSL_connect(ssl);
		status = stream_handshake(server, &e);
	}
	CHECK_INT(status, ==, STREAM_OK);
	CHECK_STR(stream_alpn(server), "shoal-client/1");
	struct id32 real;
	CHECK(key_identity(key, &real) && stream_peer_identity(server, &seen) && id32_eq(&seen, &real));
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	X509_free(cert);
	EVP_PKEY_free(key);
	close(fds[1]);
	stream_free(server);
	pair_close(&p);
}

static void garbage_fails_the_handshake(void)
{
	for (int i = 0; i < 50; i++) {
		struct pair p;
		uint8_t junk[600];
		struct error e = { 0 };

		pair_open(&p, "shoal-sync/1");
		check_random_bytes(junk, sizeof(junk));
		junk[0] = (uint8_t)('A' + i % 26); /* these two: not the head of a record that might still come */
		junk[1] = 'x';
		if (i % 2 == 0)
			memcpy(junk, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9); /* the head of a ClientHello */
		CHECK_INT(write(stream_fd(p.client), junk, sizeof(junk)), ==, sizeof(junk));
		CHECK_INT(stream_handshake(p.server, &e), ==, STREAM_FAILED);
		CHECK_INT(e.code, ==, SHOAL_EPROTO);
		CHECK_INT(stream_handshake(p.server, &e), ==, STREAM_FAILED); /* and stays so */
		pair_close(&p);
	}
}

/* -- full pipes */

enum { LOTS = 3 * 1024 * 1024 + 17 };

static bool readable(const struct stream *s)
{
	struct pollfd p = { .fd = stream_fd(s), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* Writes while the socket takes it, then reads an odd number of bytes, and so on, until all has gone through. The reader
 * reads when the descriptor or stream_pending() says so, as a loop does: neither may be silent while bytes are there. */
static void pump(struct stream *from, struct stream *to, const uint8_t *data, uint8_t *out)
{
	size_t sent = 0, received = 0;
	int stops = 0;
	struct error e;

	while (received < LOTS) {
		size_t n;
		enum stream_status status = STREAM_OK;
		while (sent < LOTS && status == STREAM_OK) {
			status = stream_write(from, data + sent, LOTS - sent, &n, &e);
			CHECK(status == STREAM_OK || status == STREAM_AGAIN);
			sent += n;
		}
		if (status == STREAM_AGAIN) {
			CHECK_INT(stream_wants(from, false, true), ==, STREAM_WRITABLE);
			stops++;
		}
		CHECK(readable(to) || stream_pending(to) > 0);
		status = stream_read(to, out + received, 1 + check_random(40000), &n, &e);
		if (status == STREAM_AGAIN) /* the rest of a record is still with the writer */
			CHECK_INT(stream_pending(to), ==, 0);
		else
			CHECK_INT(status, ==, STREAM_OK);
		received += n;
	}
	CHECK_INT(received, ==, LOTS);
	CHECK_INT(stops, >, 0);
}

static void a_slow_reader_gets_every_byte(void)
{
	uint8_t *data = xalloc(LOTS), *out = xalloc(LOTS + 40000);

	check_random_bytes(data, LOTS);
	for (int how = 0; how < 3; how++) { /* in the clear, TLS, TLS that reads ahead */
		enum stream_status server, client;
		struct pair p;
		pair_open(&p, how == 0 ? NULL : "shoal-sync/1");
		if (how == 2)
			stream_read_ahead(p.server, 100000);
		if (how != 0)
			pair_shake(&p, &server, &client);
		pump(p.client, p.server, data, out);
		CHECK(memcmp(data, out, LOTS) == 0);
		pair_close(&p);
	}
	free(data);
	free(out);
}

static int temporary_file(const void *data, size_t len)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/file", check_folder());
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	CHECK_INT(write(fd, data, len), ==, len);
	return fd;
}

static void sendfile_sends_the_range_and_nothing_else(void)
{
	struct pair p;
	uint8_t *data = xalloc(LOTS), *out = xalloc(LOTS);
	off_t offset = 1000;
	size_t put, got, received = 0, sent = 0, wanted = LOTS - 1000 - 5;
	struct error e = { 0 };

	check_random_bytes(data, LOTS);
	int file = temporary_file(data, LOTS);
	pair_open(&p, NULL);
	while (received < wanted) {
		if (sent < wanted) {
			enum stream_status status = stream_sendfile(p.client, file, &offset, wanted - sent, &put, &e);
			CHECK(status == STREAM_OK || status == STREAM_AGAIN);
			sent += put;
			CHECK_INT(offset, ==, 1000 + sent);
		}
		CHECK_INT(stream_read(p.server, out + received, wanted - received, &got, &e), ==, STREAM_OK);
		received += got;
	}
	CHECK(memcmp(out, data + 1000, wanted) == 0);
	CHECK_INT(stream_read(p.server, out, 1, &got, &e), ==, STREAM_AGAIN); /* not a byte more */

	offset = LOTS; /* as after somebody cut the file short */
	CHECK_INT(stream_sendfile(p.client, file, &offset, 10, &put, &e), ==, STREAM_FAILED);
	CHECK_INT(e.code, ==, SHOAL_EINTEGRITY);
	close(file);
	pair_close(&p);
	free(data);
	free(out);
}

static void sendfile_over_tls_says_that_it_cannot(void)
{
	struct pair p;
	off_t offset = 0;
	size_t put;
	struct error e;
	int file = temporary_file("abc", 3);

	pair_open_and_shake(&p);
	CHECK_INT(stream_sendfile(p.client, file, &offset, 3, &put, &e), ==, STREAM_UNSUPPORTED);
	CHECK_INT(put, ==, 0);
	CHECK_INT(offset, ==, 0);
	put_all(p.client, "abc", 3); /* and is as good as before */
	close(file);
	pair_close(&p);
}

/* A flood of key updates costs the flooder a turn each: a read comes back. */
static void key_updates_do_not_hold_a_read(void)
{
	struct pair p;
	int fds[2];
	struct error e = { 0 };
	char buf[16];
	size_t got;
	int quiet = 0;
	enum stream_status status = STREAM_AGAIN;

	pair_open(&p, "shoal-sync/1");
	pair_fds(fds);
	struct stream *server = stream_new_tls(fds[0], p.server_ctx);
	SSL *ssl = SSL_new(tls_ctx_ssl(p.client_ctx));
	SSL_set_fd(ssl, fds[1]);
	SSL_set_connect_state(ssl);
	for (int i = 0; i < 10 && status == STREAM_AGAIN; i++) {
		SSL_do_handshake(ssl);
		status = stream_handshake(server, &e);
	}
	CHECK_INT(status, ==, STREAM_OK);
	for (int i = 0; i < 100; i++) {
		CHECK_INT(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), ==, 1);
		CHECK_INT(SSL_do_handshake(ssl), ==, 1);
	}
	CHECK_INT(SSL_write(ssl, "x", 1), ==, 1);
	while ((status = stream_read(server, buf, sizeof(buf), &got, &e)) == STREAM_AGAIN)
		quiet++;
	CHECK_INT(status, ==, STREAM_OK);
	CHECK_INT(quiet, ==, 100);
	SSL_free(ssl);
	close(fds[1]);
	stream_free(server);
	pair_close(&p);
}

static void no_memory_leaves_the_descriptor_alone(void)
{
	int fds[2];

	pair_fds(fds);
	mem_fail_after(1);
	CHECK(stream_new_plain(fds[0]) == NULL);
	mem_fail_after(0);
	CHECK(fcntl(fds[0], F_GETFD) >= 0);
	close(fds[0]);
	close(fds[1]);
	stream_free(NULL);
}

static const struct CMUnitTest tests[] = {
	TEST(one_seed_is_one_identity),
	TEST(each_side_sees_who_the_other_is),
	TEST(bytes_go_both_ways_and_end_cleanly),
	TEST(a_cut_is_not_an_end),
	TEST(writing_to_nobody_is_an_error_and_no_signal),
	TEST(an_unknown_protocol_is_refused),
	TEST(strangers_are_refused),
	TEST(a_foreign_client_that_follows_the_rules_is_let_in),
	TEST(garbage_fails_the_handshake),
	TEST(a_slow_reader_gets_every_byte),
	TEST(sendfile_sends_the_range_and_nothing_else),
	TEST(sendfile_over_tls_says_that_it_cannot),
	TEST(key_updates_do_not_hold_a_read),
	TEST(no_memory_leaves_the_descriptor_alone),
};
CHECK_MAIN(tests)
