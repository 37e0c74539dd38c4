/* core/net/stream.c */
#include "core/net/stream.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "core/base/crypto.h"
#include "core/base/mem.h"

/* One sendfile(2) takes no more than this. */
#define SENDFILE_MAX ((size_t)0x7ffff000)

struct stream {
	int fd;
	SSL *ssl; /* NULL: plain */
	const struct tls_ctx *ctx;
	bool secured;                 /* handshake done */
	bool failed;                 /* OpenSSL wants no shutdown after a failure */
	uint8_t read_wants;          /* what the last AGAIN of each direction waits for; 0 if it was none */
	uint8_t write_wants;
};

void net_init(void)
{
	signal(SIGPIPE, SIG_IGN);
}

struct stream *stream_new_plain(int fd)
{
	struct stream *s = try_alloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	s->fd = fd;
	s->secured = true;
	return s;
}

struct stream *stream_new_tls(int fd, const struct tls_ctx *ctx)
{
	struct stream *s = try_alloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	s->fd = fd;
	s->ctx = ctx;
	ERR_clear_error();
	s->ssl = SSL_new(tls_ctx_ssl(ctx));
	if (s->ssl == NULL || SSL_set_fd(s->ssl, fd) != 1) {
		SSL_free(s->ssl); /* does not close fd */
		free(s);
		return NULL;
	}
	if (tls_ctx_is_server(ctx))
		SSL_set_accept_state(s->ssl);
	else
		SSL_set_connect_state(s->ssl);
	s->read_wants = s->write_wants = tls_ctx_is_server(ctx) ? STREAM_READABLE : STREAM_WRITABLE;
	return s;
}

void stream_read_ahead(struct stream *s, size_t n)
{
	if (s->ssl == NULL)
		return;
	SSL_set_read_ahead(s->ssl, 1);
	SSL_set_default_read_buffer_len(s->ssl, n);
}

void stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	SSL_free(s->ssl);
	close(s->fd);
	free(s);
}

/* -- what OpenSSL said, in our words */

static enum stream_status fail_errno(struct stream *s, struct error *e, const char *what)
{
	s->failed = true;
	error_errno(e, "%s", what);
	return STREAM_FAILED;
}

static enum stream_status fail(struct stream *s, struct error *e, enum shoal_err code, const char *text)
{
	s->failed = true;
	error_set(e, code, "%s", text);
	return STREAM_FAILED;
}

static enum stream_status fail_tls(struct stream *s, struct error *e, const char *what)
{
	unsigned long err = ERR_peek_error(); /* the first is the cause */
	const char *reason = ERR_reason_error_string(err);

	s->failed = true;
	ERR_clear_error();
	if (ERR_GET_LIB(err) == ERR_LIB_SSL && ERR_GET_REASON(err) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return fail(s, e, SHOAL_EIO, "the connection was cut");
	error_set(e, SHOAL_EPROTO, "%s: %s", what, reason != NULL ? reason : "unknown TLS error");
	return STREAM_FAILED;
}

/* After an SSL call returned `ret` <= 0; `wants` remembers what AGAIN waits for. */
static enum stream_status tls_status(struct stream *s, int ret, uint8_t *wants, const char *what, struct error *e)
{
	int saved_errno = errno;

	switch (SSL_get_error(s->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		*wants = STREAM_READABLE;
		return STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		*wants = STREAM_WRITABLE;
		return STREAM_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return STREAM_END;
	case SSL_ERROR_SYSCALL:
		if (saved_errno == 0)
			return fail(s, e, SHOAL_EIO, "the connection was cut");
		errno = saved_errno;
		return fail_errno(s, e, what);
	default:
		return fail_tls(s, e, what);
	}
}

/* -- the four things one does with a stream */

enum stream_status stream_handshake(struct stream *s, struct error *e)
{
	uint8_t wants = 0;
	enum stream_status status;

	if (s->secured)
		return STREAM_OK;
	if (s->failed)
		return fail(s, e, SHOAL_EIO, "the connection has failed");
	ERR_clear_error();
	errno = 0;
	int ret = SSL_do_handshake(s->ssl);
	if (ret != 1) {
		status = tls_status(s, ret, &wants, "the TLS handshake failed", e);
		s->read_wants = s->write_wants = wants;
		return status == STREAM_END ? fail(s, e, SHOAL_EPROTO, "the TLS handshake was broken off") : status;
	}
	s->read_wants = s->write_wants = 0;
	if (tls_ctx_alpn_of(s->ctx, s->ssl) == NULL)
		return fail(s, e, SHOAL_EPROTO, "the other side speaks none of our protocols");
	s->secured = true;
	return STREAM_OK;
}

static enum stream_status read_plain(struct stream *s, void *buf, size_t n, size_t *got, struct error *e)
{
	for (;;) {
		ssize_t r = recv(s->fd, buf, n, 0);
		if (r > 0) {
			*got = (size_t)r;
			return STREAM_OK;
		}
		if (r == 0)
			return STREAM_END;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return STREAM_AGAIN;
		if (errno != EINTR)
			return fail_errno(s, e, "cannot receive");
	}
}

enum stream_status stream_read(struct stream *s, void *buf, size_t n, size_t *got, struct error *e)
{
	*got = 0;
	if (!s->secured || s->failed || n == 0)
		return fail(s, e, SHOAL_EIO, "the connection cannot be read");
	if (s->ssl == NULL)
		return read_plain(s, buf, n, got, e);
	ERR_clear_error();
	errno = 0;
	s->read_wants = 0;
	int ret = SSL_read_ex(s->ssl, buf, n, got);
	return ret == 1 ? STREAM_OK : tls_status(s, ret, &s->read_wants, "cannot receive", e);
}

static enum stream_status write_plain(struct stream *s, const uint8_t *buf, size_t n, size_t *put, struct error *e)
{
	while (*put < n) {
		ssize_t w = send(s->fd, buf + *put, n - *put, MSG_NOSIGNAL);
		if (w >= 0)
			*put += (size_t)w;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return *put > 0 ? STREAM_OK : STREAM_AGAIN;
		else if (errno != EINTR)
			return fail_errno(s, e, "cannot send");
	}
	return STREAM_OK;
}

/* With partial writes on, each call takes one record. */
static enum stream_status write_tls(struct stream *s, const uint8_t *buf, size_t n, size_t *put, struct error *e)
{
	s->write_wants = 0;
	while (*put < n) {
		size_t took = 0;
		ERR_clear_error();
		errno = 0;
		int ret = SSL_write_ex(s->ssl, buf + *put, n - *put, &took);
		if (ret == 1) {
			*put += took;
			continue;
		}
		enum stream_status status = tls_status(s, ret, &s->write_wants, "cannot send", e);
		if (status == STREAM_END)
			return fail(s, e, SHOAL_EIO, "the connection is closed");
		return status == STREAM_AGAIN && *put > 0 ? STREAM_OK : status;
	}
	return STREAM_OK;
}

enum stream_status stream_write(struct stream *s, const void *buf, size_t n, size_t *put, struct error *e)
{
	*put = 0;
	if (!s->secured || s->failed || n == 0)
		return fail(s, e, SHOAL_EIO, "the connection cannot be written");
	return s->ssl == NULL ? write_plain(s, buf, n, put, e) : write_tls(s, buf, n, put, e);
}

enum stream_status stream_sendfile(struct stream *s, int file_fd, off_t *offset, size_t n, size_t *put,
                                   struct error *e)
{
	*put = 0;
	if (s->ssl != NULL)
		return STREAM_UNSUPPORTED;
	if (s->failed)
		return fail(s, e, SHOAL_EIO, "the connection has failed");
	while (*put < n) {
		size_t left = n - *put;
		ssize_t w = sendfile(s->fd, file_fd, offset, left < SENDFILE_MAX ? left : SENDFILE_MAX);
		if (w > 0)
			*put += (size_t)w;
		else if (w == 0)
			return fail(s, e, SHOAL_EINTEGRITY, "the file is shorter than it was");
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return *put > 0 ? STREAM_OK : STREAM_AGAIN;
		else if (errno != EINTR)
			return fail_errno(s, e, "cannot send a file");
	}
	return STREAM_OK;
}

enum stream_status stream_close(struct stream *s)
{
	uint8_t wants = 0;

	if (s->ssl != NULL && s->secured && !s->failed) {
		ERR_clear_error();
		errno = 0;
		int ret = SSL_shutdown(s->ssl); /* 0: ours is out, theirs has not come */
		if (ret < 0 && tls_status(s, ret, &wants, "cannot close", NULL) == STREAM_AGAIN) {
			s->write_wants = wants;
			return STREAM_AGAIN;
		}
	}
	shutdown(s->fd, SHUT_WR);
	return STREAM_OK;
}

/* -- what it is in */

size_t stream_pending(const struct stream *s)
{
	int n = s->ssl == NULL ? 0 : SSL_pending(s->ssl);
	/* Read ahead and not decrypted yet: one byte, since how many it will be is not known. Once a read has said AGAIN it
	 * is less than a record, and the descriptor tells when the rest is there. */
	bool ahead = s->ssl != NULL && s->read_wants == 0 && SSL_has_pending(s->ssl);
	return n > 0 ? (size_t)n : ahead;
}

unsigned stream_wants(const struct stream *s, bool to_read, bool to_write)
{
	unsigned wants = 0;

	if (!s->secured)
		return s->read_wants;
	if (to_read)
		wants |= s->read_wants != 0 ? s->read_wants : STREAM_READABLE;
	if (to_write)
		wants |= s->write_wants != 0 ? s->write_wants : STREAM_WRITABLE;
	return wants;
}

bool stream_is_tls(const struct stream *s)
{
	return s->ssl != NULL;
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}

bool stream_peer_identity(const struct stream *s, struct id32 *out)
{
	X509 *cert = s->ssl != NULL && s->secured ? SSL_get0_peer_certificate(s->ssl) : NULL;
	EVP_PKEY *key = cert == NULL ? NULL : X509_get0_pubkey(cert);

	return key != NULL && key_identity(key, out);
}

const char *stream_alpn(const struct stream *s)
{
	return s->ssl != NULL && s->secured ? tls_ctx_alpn_of(s->ctx, s->ssl) : NULL;
}
