/* core/net/stream.h - a non-blocking byte stream over a connected socket, plain or TLS; no event loop.
 *
 * Whoever drives it waits for raw readiness (stream_wants) and then calls. Three things to know:
 *  - Level triggered readiness only. Before going to wait, read until AGAIN or look at stream_pending(): TLS may hold
 *    bytes that the descriptor knows nothing of.
 *  - TLS may need to write in order to read and the other way round: on any readiness retry whatever said AGAIN.
 *  - After stream_write() took less than it was given, the next write begins with the bytes that were not taken and
 *    brings at least as many of them, up to 16 KiB (they may have moved in memory).
 *
 * A TLS stream that ends without close_notify was cut: FAILED, never END. A stream belongs to one thread at a time. */
#ifndef SHOAL_NET_STREAM_H
#define SHOAL_NET_STREAM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/error.h"
#include "core/base/id.h"
#include "core/net/tls.h"

struct stream;

enum stream_status {
	STREAM_OK,          /* done; for read and write: at least one byte */
	STREAM_AGAIN,       /* nothing now: wait for stream_wants() */
	STREAM_END,         /* read: the other side has said that nothing more comes */
	STREAM_FAILED,      /* *e says why; only stream_free() is left */
	STREAM_UNSUPPORTED, /* sendfile over TLS: read and write instead */
};

#define STREAM_READABLE 1u
#define STREAM_WRITABLE 2u

/* Called once by each program before it opens a stream: a broken connection must not raise SIGPIPE. */
void net_init(void);

/* The descriptor is a connected (or connecting) non-blocking socket; the stream owns it from now on. NULL: no memory,
 * and the descriptor is still the caller's. A TLS stream begins with its handshake, in the role of its context. */
struct stream *stream_new_plain(int fd);
struct stream *stream_new_tls(int fd, const struct tls_ctx *ctx);
/* Before the handshake: take up to n bytes from the socket in one call, not each record's head and body apart. For
 * streams that carry much: the memory is there while something is being read. Plain: nothing to do. */
void stream_read_ahead(struct stream *s, size_t n);
/* Closes the descriptor, whatever the state. NULL is fine. */
void stream_free(struct stream *s);

/* OK when done (a plain stream always is). On the dialling side OK does not yet mean that the other side has
 * accepted us: if it refuses, the first read fails. `e` may be NULL here and below. */
enum stream_status stream_handshake(struct stream *s, struct error *e);
/* OK: *got > 0 bytes are in buf. */
enum stream_status stream_read(struct stream *s, void *buf, size_t n, size_t *got, struct error *e);
/* OK: *put > 0 bytes were taken, all n unless the socket is full. */
enum stream_status stream_write(struct stream *s, const void *buf, size_t n, size_t *put, struct error *e);
/* Plain: sends up to n bytes of the file from *offset on and moves *offset; the descriptor's own offset is not used.
 * FAILED with SHOAL_EINTEGRITY if the file ends before *offset. TLS: UNSUPPORTED. */
enum stream_status stream_sendfile(struct stream *s, int file_fd, off_t *offset, size_t n, size_t *put,
                                   struct error *e);
/* Says "nothing more comes from here" (close_notify, FIN). AGAIN: call again when writable. Reading goes on. */
enum stream_status stream_close(struct stream *s);

/* Bytes that a read would give without the descriptor being readable. */
size_t stream_pending(const struct stream *s);
/* What readiness to wait for, by somebody who wants to read and/or write (during a handshake both are ignored). */
unsigned stream_wants(const struct stream *s, bool to_read, bool to_write);

bool stream_is_tls(const struct stream *s);
int stream_fd(const struct stream *s);
/* After the handshake; false for a plain stream. */
bool stream_peer_identity(const struct stream *s, struct id32 *out);
const char *stream_alpn(const struct stream *s); /* NULL for a plain stream */
#endif
