/* tests/adversary/wire.c - bytes, keys and links. */
#include "adversary.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/x509.h>

/* -- bytes */
void bytes_free(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){ 0 };
}

void put(struct bytes *b, const void *data, size_t len)
{
	if (b->len + len > b->cap) {
		b->cap = (b->len + len) * 2 + 64;
		b->p = realloc(b->p, b->cap);
		if (b->p == NULL)
			die("out of memory");
	}
	if (len != 0)
		memcpy(b->p + b->len, data, len);
	b->len += len;
}

void put_int(struct bytes *b, uint64_t v, unsigned size)
{
	while (size-- > 0) {
		uint8_t byte = (uint8_t)(v >> (8 * size));
		put(b, &byte, 1);
	}
}

static void put_counted(struct bytes *b, const void *data, size_t len, unsigned size)
{
	put_int(b, len, size);
	put(b, data, len);
}

static void put_list(struct bytes *b, const char *letters, va_list ap)
{
	for (const char *p = letters; *p != '\0'; p++) {
		const void *data = strchr("idsSB", *p) != NULL ? va_arg(ap, const void *) : NULL;
		switch (*p) {
		case 'c': put_int(b, va_arg(ap, unsigned), 1); break;
		case 'w': put_int(b, va_arg(ap, unsigned), 2); break;
		case 'l': put_int(b, va_arg(ap, unsigned), 4); break;
		case 'q': put_int(b, va_arg(ap, uint64_t), 8); break;
		case 'i': put(b, data, 16); break;
		case 'd': put(b, data, 32); break;
		case 's': put_counted(b, data, strlen(data), 2); break;
		case 'S': put_counted(b, data, va_arg(ap, size_t), 2); break;
		case 'B': put_counted(b, data, va_arg(ap, size_t), 4); break;
		default: die("no field '%c'", *p);
		}
	}
}

void put_fields(struct bytes *b, const char *letters, ...)
{
	va_list ap;
	va_start(ap, letters);
	put_list(b, letters, ap);
	va_end(ap);
}

void get(struct bytes *b, void *out, size_t len)
{
	if (b->bad || b->len - b->at < len) {
		b->bad = true;
		memset(out, 0, len);
		return;
	}
	memcpy(out, b->p + b->at, len);
	b->at += len;
}

uint64_t get_int(struct bytes *b, unsigned size)
{
	uint8_t raw[8] = { 0 };
	uint64_t v = 0;
	get(b, raw, size);
	for (unsigned i = 0; i < size; i++)
		v = v << 8 | raw[i];
	return v;
}

size_t get_blob(struct bytes *b, unsigned size_of_length, uint8_t *out, size_t cap)
{
	size_t len = (size_t)get_int(b, size_of_length);
	if (b->bad || b->len - b->at < len) {
		b->bad = true;
		return 0;
	}
	size_t n = len < cap ? len : cap;
	memcpy(out, b->p + b->at, n);
	b->at += len;
	return n;
}

/* -- keys */
void hkdf(const uint8_t *secret, size_t len, const char *label, uint8_t out[32])
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string("digest", (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string("key", (void *)(uintptr_t)secret, len),
		OSSL_PARAM_construct_octet_string("info", (void *)(uintptr_t)label, strlen(label)),
		OSSL_PARAM_construct_end(),
	};
	if (EVP_KDF_derive(ctx, out, 32, params) != 1)
		die("no HKDF");
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

EVP_PKEY *key_of(const uint8_t seed[32])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	if (key == NULL)
		die("no key");
	return key;
}

void sha256(const void *data, size_t len, uint8_t out[32])
{
	EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL);
}

void identity_of(EVP_PKEY *key, uint8_t out[32])
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key, &der);
	sha256(der, (size_t)len, out);
	OPENSSL_free(der);
}

static uint64_t clock_ms(clockid_t which)
{
	struct timespec ts;
	clock_gettime(which, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t mono_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

uint64_t wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

/* -- links */
static bool address_of(const char *text, struct sockaddr_in *out)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);
	*out = (struct sockaddr_in){ .sin_family = AF_INET };
	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	out->sin_port = htons(colon != NULL ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0);
	return inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

int tcp_open(const char *addr, const char *from, bool block)
{
	struct sockaddr_in to, source;
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (block ? 0 : SOCK_NONBLOCK), 0);
	if (fd < 0 || !address_of(addr, &to))
		die("cannot dial %s", addr);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (from != NULL && (!address_of(from, &source) || bind(fd, (struct sockaddr *)&source, sizeof(source)) != 0))
		die("cannot come from %s", from);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || (!block && errno == EINPROGRESS))
		return fd;
	close(fd);
	return -1;
}

static X509 *certificate(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"adversary", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	if (X509_sign(cert, key, NULL) == 0)
		die("cannot sign a certificate");
	return cert;
}

static int any(X509_STORE_CTX *store, void *arg)
{
	(void)store, (void)arg;
	return 1;
}

static bool shake(struct link *l, const struct dial *how)
{
	l->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_min_proto_version(l->ctx, TLS1_3_VERSION);
	SSL_CTX_set_verify(l->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(l->ctx, any, NULL);
	if (how->seed != NULL) {
		EVP_PKEY *key = key_of(how->seed);
		X509 *cert = certificate(key);
		SSL_CTX_use_certificate(l->ctx, cert);
		SSL_CTX_use_PrivateKey(l->ctx, key);
		X509_free(cert);
		EVP_PKEY_free(key);
	}
	l->ssl = SSL_new(l->ctx);
	if (how->alpn != NULL) {
		uint8_t offer[64] = { (uint8_t)strlen(how->alpn) };
		memcpy(offer + 1, how->alpn, offer[0]);
		SSL_set_alpn_protos(l->ssl, offer, offer[0] + 1u);
	}
	const struct timeval limit = { .tv_sec = 20 };
	(void)setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	SSL_set_fd(l->ssl, l->fd);
	return SSL_connect(l->ssl) == 1;
}

struct link *link_open(const struct dial *how)
{
	struct link *l = calloc(1, sizeof(*l));
	if (l == NULL)
		die("out of memory");
	ERR_clear_error();
	l->fd = tcp_open(how->addr, how->from, true);
	if (l->fd >= 0 && (how->plain || shake(l, how)))
		return l;
	link_close(l);
	return NULL;
}

void link_close(struct link *l)
{
	if (l == NULL)
		return;
	SSL_free(l->ssl);
	SSL_CTX_free(l->ctx);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

bool link_send(struct link *l, const void *data, size_t len)
{
	const uint8_t *p = data;
	ERR_clear_error();
	while (len > 0) {
		ssize_t n = l->ssl != NULL ? SSL_write(l->ssl, p, (int)(len < 16384 ? len : 16384)) : send(l->fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* > 0: bytes; CLOSED; SILENT */
static ssize_t receive_some(struct link *l, uint8_t *out, size_t len, unsigned ms)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	if ((l->ssl == NULL || SSL_pending(l->ssl) == 0) && poll(&p, 1, (int)ms) <= 0)
		return SILENT;
	ERR_clear_error();
	ssize_t n = l->ssl != NULL ? SSL_read(l->ssl, out, (int)len) : recv(l->fd, out, len, 0);
	return n > 0 ? n : CLOSED;
}

int link_recv(struct link *l, void *out, size_t len, unsigned ms)
{
	uint8_t *p = out;
	uint64_t until = mono_ms() + ms;
	while (len > 0) {
		uint64_t now = mono_ms();
		ssize_t n = receive_some(l, p, len, now < until ? (unsigned)(until - now) : 0);
		if (n < 0)
			return (int)n;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

bool link_is_closed(struct link *l, unsigned ms)
{
	uint8_t rest[65536];
	uint64_t until = mono_ms() + ms;
	if (l == NULL)
		return true;
	for (uint64_t now = mono_ms(); now < until; now = mono_ms()) {
		ssize_t n = receive_some(l, rest, sizeof(rest), (unsigned)(until - now));
		if (n == CLOSED)
			return true;
	}
	return false;
}
