/* core/swarm/upload.h - the serving side: one queue over all files and connections of a process.
 *
 * Pure logic (docs/swarm.md, "The serving side"): no clock, no socket; one thread only, the engine's. Time is
 * monotonic, in microseconds. The caller tells of channels, requests, cancels and progress; upload_next() says which waiting request
 * starts now. One transfer holds the slot; one that takes too long (slow lane) goes on without it.
 *
 * So that the slot never idles a fast link: (1) while all who wait are one connection, it is given a second transfer to
 * start when the first ends; (2) the slot is free for the next when what is left of the transfer takes less than
 * 0.5 ms at the best rate seen, the time the news needs from thread to thread.
 *
 * Ownership: a file, connection or channel is freed by its remove; channels go before their file and connection, and all
 * before upload_free(). */
#ifndef SHOAL_SWARM_UPLOAD_H
#define SHOAL_SWARM_UPLOAD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

#define UPLOAD_WAITING_MAX 16u /* requests per channel; one more is SHOAL_EBUSY */

struct upload;
struct upload_file;    /* a file that is served: how often each piece was sent */
struct upload_conn;    /* a connection: one transfer at a time on it */
struct upload_channel; /* one file on one connection */

struct upload *upload_new(uint64_t (*random)(void *ctx), void *random_ctx); /* NULL: no memory */
void upload_free(struct upload *up); /* no channel may be left; NULL is fine */
/* A rate limit of the process in bytes/s takes the place of the best rate seen; 0: no limit. */
void upload_set_limit(struct upload *up, uint64_t bytes_per_s);

/* NULL: no memory. piece_size and size tell how long each piece is. */
struct upload_file *upload_file_add(struct upload *up, uint64_t size, uint32_t piece_size);
void upload_file_remove(struct upload *up, struct upload_file *file);
struct upload_conn *upload_conn_add(struct upload *up);
void upload_conn_remove(struct upload *up, struct upload_conn *conn);
struct upload_channel *upload_channel_add(struct upload *up, struct upload_file *file, struct upload_conn *conn,
                                          void *owner);
/* The peer, its ticket or the file is gone: its requests are forgotten, its transfers count as broken off. */
void upload_channel_remove(struct upload *up, struct upload_channel *ch, uint64_t now_us);

/* The other side announced pieces: `have` in all (its BITFIELD), or one more (a HAVE). Needed for rules 4 b and c. */
void upload_on_bitfield(struct upload_channel *ch, uint32_t have);
void upload_on_have(struct upload *up, struct upload_channel *ch, uint32_t piece);

/* A REQUEST for a whole piece that we have. SHOAL_EBUSY: 16 wait already, or no memory: answer REJECT(busy).
 * SHOAL_EPROTO: no such piece. The same piece again is SHOAL_OK and counts once. */
enum shoal_err upload_request(struct upload *up, struct upload_channel *ch, uint32_t piece);

enum upload_cancelled {
	UPLOAD_UNKNOWN,   /* never asked, or answered already: nothing to do */
	UPLOAD_FORGOTTEN, /* it was waiting and is not any more */
	UPLOAD_BEGUN,     /* it is under way: stop at the next frame, short-end mark, then upload_finished(.., false) */
};
enum upload_cancelled upload_cancel(struct upload *up, struct upload_channel *ch, uint32_t piece);

struct upload_start {
	struct upload_channel *channel;
	void *owner; /* of the channel */
	uint32_t piece;
	uint16_t waiting; /* for the head of PIECE: requests of other connections that wait */
	bool behind; /* a transfer of this connection is still under way: start this one when that has ended */
};
/* The next request to start now, which thereby is under way; false: none may start. Call it until it says false after
 * upload_request(), _progress(), _finished(), _channel_remove() and at the time of upload_deadline(). */
bool upload_next(struct upload *up, uint64_t now_us, struct upload_start *out);
/* When the slot will be given up by a slow transfer though nothing else happens; UINT64_MAX: nobody waits for that. */
uint64_t upload_deadline(const struct upload *up);

/* n more bytes were handed to the kernel. Once a frame, or a few times a piece. */
void upload_progress(struct upload *up, struct upload_channel *ch, uint32_t piece, uint32_t n, uint64_t now_us);
/* The transfer has ended; whole: every byte was handed over, else it was broken off (CANCEL, error). */
void upload_finished(struct upload *up, struct upload_channel *ch, uint32_t piece, bool whole, uint64_t now_us);

struct upload_stats {
	uint64_t bytes;   /* handed to the kernel in all */
	uint64_t rate;    /* bytes/s in the last full 100 ms */
	uint64_t best;    /* bytes/s; 0: not known yet */
	uint32_t waiting; /* requests */
	uint32_t active;  /* transfers under way */
	uint64_t pieces, slow; /* started in all; of these, moved to the slow lane */
};
void upload_stats(const struct upload *up, struct upload_stats *out);
uint64_t upload_channel_bytes(const struct upload_channel *ch);
#endif
