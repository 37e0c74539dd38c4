/* client/peer_io.h - the transfer threads: they own the peer connections.
 *
 * Each thread has an event loop and any number of connections, none of which pins it: TLS or plain handshake, framing
 * through peer_head_check(), piece bodies straight into pooled buffers, SHA-256 while the piece is hot, writing, serving
 * by sendfile (plain) or read and SSL_write. They decide nothing: what a message means, who may have what, what is asked of
 * whom is the engine's.
 *
 * All functions here are called on the engine thread. Facts come back as struct peer_event in the queue `events`.
 * Threads share queues, the token buckets, the buffer pool and the sinks' writers, each behind a leaf lock of its own. */
#ifndef SHOAL_CLIENT_PEER_IO_H
#define SHOAL_CLIENT_PEER_IO_H
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "client/peer_rate.h"
#include "core/base/log.h"
#include "core/net/tls.h"
#include "core/piece/shared_file.h"
#include "core/piece/storage.h"
#include "core/wire/peer_msg.h"

struct peer_io;
struct peer_conn; /* from peer_io_open() until peer_conn_release(), which comes after PEER_DOWN */

struct peer_io_config {
	unsigned threads;                      /* at least 1 */
	const struct tls_identity *identity;   /* ours; borrowed */
	struct queue *events;                  /* borrowed */
	struct peer_rate *up, *down;           /* of the whole process; borrowed */
	unsigned buffers;                      /* pieces being received or verified at a time, at most */
	uint32_t handshake_ms;                 /* 0: 5 s; for tests */
	uint32_t first_ms;                     /* 0: 5 s from there to the first message; for tests */
	struct log *log;
};

struct peer_io *peer_io_new(const struct peer_io_config *config, struct error *e);
/* Ends the threads. Every connection, ask and serve that is out then waits in `events`, for a last reading; commands given
 * after this take effect at once. */
void peer_io_stop(struct peer_io *io);
void peer_io_free(struct peer_io *io); /* after the last release; NULL is fine */
unsigned peer_io_threads(const struct peer_io *io);

/* -- what comes back */
enum peer_event_type {
	PEER_UP,          /* both have shown who they are: identity, plain */
	PEER_FRAME,       /* a control message: frame, body (already peer_check()ed) */
	PEER_PIECE_BEGIN, /* the first frame of a piece that was asked for: ch, piece, waiting */
	PEER_PIECE_BYTES, /* n more bytes of it */
	PEER_UNASKED,     /* data for a piece that was not asked for: ch, piece; it is thrown away */
	PEER_ASK_DONE,    /* a struct piece_ask comes back: peer_event_ask() */
	PEER_SERVED,      /* n more bytes of a piece were handed to the kernel: ch, piece */
	PEER_SERVE_DONE,  /* a struct piece_serve comes back: peer_event_serve() */
	PEER_DOWN,        /* the last one: why. peer_conn_release() */
};

struct peer_event {
	struct queue_node node;
	enum peer_event_type type;
	struct peer_conn *conn;
	void *owner; /* as given to peer_io_open() */
	struct id32 identity;
	bool plain;
	enum peer_type frame;
	struct buf body;
	uint32_t ch, piece, n;
	uint16_t waiting;
	const struct error *why; /* valid until the release */
};
/* Frees what peer_io allocated for an event: not ASK_DONE, SERVE_DONE and DOWN, which belong to larger things. */
void peer_event_free(struct peer_event *ev);

/* -- commands to a thread (private) */
enum io_cmd_type {
	IO_OPEN, IO_SEND, IO_ASK, IO_CANCEL, IO_FORGET, IO_STOP_ASKS, IO_REJECTED, IO_SERVE, IO_SERVE_STOP, IO_CLOSE, IO_RELEASE, IO_VERIFY, IO_STOP,
};
struct io_cmd {
	struct queue_node node;
	enum io_cmd_type type;
	struct peer_conn *conn;
	uint32_t ch, piece;
	struct buf bytes;
};

/* -- connections */
struct peer_how {
	int fd;                /* connected, non-blocking; taken over */
	bool dialler;
	bool plain;            /* dialler: talk in the clear; acceptor: it is allowed */
	struct id32 identity;  /* dialler: who it must be */
};
/* NULL: no memory; fd is then still the caller's. PEER_UP or PEER_DOWN follows. */
struct peer_conn *peer_io_open(struct peer_io *io, const struct peer_how *how, void *owner);
/* Hands over whole frames; *frames is empty afterwards. If there is no memory the connection goes down. */
void peer_conn_send(struct peer_conn *c, struct buf *frames);
/* PEER_DOWN follows, unless it was posted already. Twice is fine. */
void peer_conn_close(struct peer_conn *c);
void peer_conn_release(struct peer_conn *c);
unsigned peer_conn_thread(const struct peer_conn *c);

/* -- receiving: where the pieces of a download go. Lives until no ask for it is out. */
#define SINK_WRITERS 4
struct piece_sink {
	/* -- immutable */
	const struct metainfo *meta;
	struct storage_front *front; /* goes along when a piece is verified; NULL: there is none. Borrowed */
	struct peer_rate *limit; /* the job's */
	/* -- protected by lock */
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct storage_writer *writers[SINK_WRITERS];
	unsigned nwriters, nidle; /* writers[0 .. nidle) are in nobody's hands */
};
enum shoal_err piece_sink_init(struct piece_sink *sink, struct storage *st, const struct metainfo *meta,
                               struct storage_front *front, struct peer_rate *limit, struct error *e);
void piece_sink_fini(struct piece_sink *sink);

enum ask_result {
	ASK_OK,        /* verified and written */
	ASK_BAD,       /* the hash is wrong */
	ASK_LOST,      /* cut short, cancelled, forgotten, or the connection went */
	ASK_DISK,      /* could not be written: error */
};

/* One REQUEST. The engine makes it (malloc), hands it over and gets it back exactly once as PEER_ASK_DONE. */
struct piece_ask {
	struct io_cmd cmd;
	struct peer_event ev;
	/* -- the engine's */
	void *channel;
	/* -- question */
	uint32_t ch, piece, length;
	struct piece_sink *sink;
	/* -- answer */
	enum ask_result result;
	struct error error;
	bool begun;     /* PEER_PIECE_BEGIN was told */
	bool cancelled; /* by peer_conn_cancel() or _forget(), before it had begun or for good */
	/* -- thread */
	TAILQ_ENTRY(piece_ask) entry;
	struct peer_io *io;
	uint8_t *buf;
	uint32_t got;
	bool held; /* not sent yet: a cancelled one for the same piece has not ended */
};
void peer_conn_ask(struct peer_conn *c, struct piece_ask *ask); /* sends the REQUEST, too */
/* Sends a CANCEL. What has not begun comes back as ASK_LOST; what has begun may still be finished by the other side. */
void peer_conn_cancel(struct peer_conn *c, uint32_t ch, uint32_t piece);
/* All asks of a channel come back at once; what still arrives for them is thrown away. Its serves are stopped. */
void peer_conn_forget(struct peer_conn *c, uint32_t ch);
/* As forget, but serves go on: we need nothing more, others may. */
void peer_conn_stop_asks(struct peer_conn *c, uint32_t ch);
/* A REJECT has come for it: the ask comes back as ASK_LOST, cancelled. */
void peer_conn_rejected(struct peer_conn *c, uint32_t ch, uint32_t piece);
struct piece_ask *peer_event_ask(struct peer_event *ev);

/* -- serving: where the pieces of a file come from. The engine opens slots[thread].reader before that thread is told. */
struct source_slot {
	struct file_reader reader;
	uint64_t checked_ms; /* the slot's thread: when the file was last seen unchanged */
};
struct piece_source {
	struct shared_file *shared; /* NULL: a part file */
	unsigned refs;              /* engine: the file and each serve that is out */
	unsigned nslots;
	struct source_slot slots[];
};

/* One piece to be sent. Made by the engine, comes back exactly once as PEER_SERVE_DONE. */
struct piece_serve {
	struct io_cmd cmd;
	struct peer_event ev;
	/* -- the engine's */
	void *channel;
	/* -- question */
	uint32_t ch, piece, length;
	uint64_t offset;
	uint16_t waiting;
	struct piece_source *source;
	/* -- answer */
	bool whole;
	struct error error; /* the file cannot be read, or has changed */
	uint32_t untold;    /* bytes not in a PEER_SERVED yet */
	/* -- thread */
	TAILQ_ENTRY(piece_serve) entry;
	uint32_t sent; /* in finished and begun frames */
	bool begun, stop;
};
void peer_conn_serve(struct peer_conn *c, struct piece_serve *serve);
void peer_conn_serve_stop(struct peer_conn *c, uint32_t ch, uint32_t piece); /* at the next frame, with a short-end mark */
struct piece_serve *peer_event_serve(struct peer_event *ev);
#endif
