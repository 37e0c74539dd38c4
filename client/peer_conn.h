/* client/peer_conn.h - private to client/peer_*.c: a connection as its transfer thread sees it.
 *
 * peer_conn.c opens and reads, peer_send.c writes, peer_verify.c checks and stores, peer_io.c has the threads. Everything here happens
 * on the connection's thread, except peer_io_open() and the release, before and after that thread knows it. */
#ifndef SHOAL_CLIENT_PEER_CONN_H
#define SHOAL_CLIENT_PEER_CONN_H
#include "client/peer_auth.h"
#include "client/peer_buf.h"
#include "client/peer_io.h"
#include "core/net/loop.h"
#include "core/net/stream.h"

enum {
	HANDSHAKE_MS = 5000,
	FIRST_MESSAGE_MS = 5000,
	SILENCE_MS = 45000,     /* nothing at all came in: the other side is gone */
	KEEPALIVE_MS = 15000,   /* nothing went out: say so */
	STUCK_MS = 60000,       /* bytes wait and none has left: the other side does not read */
	OUT_MAX = 4 << 20,      /* control bytes queued; the bitfield of the largest file is 2 MiB */
	RX_SIZE = 2048,         /* every control frame but BITFIELD fits */
	READ_AHEAD = 128 << 10, /* of TLS, from the socket in one call */
	READ_TURN = 4 << 20,    /* bytes read before other connections get their turn */
	WRITE_TURN = 4 << 20,
	UNASKED_MAX = 16 << 20, /* bytes of data that was never asked for */
	CANCELLED_KEPT = 64,    /* how many cancelled asks are remembered, so that what crossed is no offence */
	FRAME_LEAST = 65536,    /* data in a PIECE frame; the last of a piece may have less */
	TELL_MS = 20,           /* the engine hears of what comes in no more often, but at the end of each frame */
	FRAME_MS = 5,           /* at most what the link carries in this time */
	STAGE_SIZE = 65536 + PEER_HEAD_SIZE + PIECE_HEAD_SIZE,
	RETRY_MS = 5,           /* all piece buffers are out */
};

struct io_thread {
	struct peer_io *io;
	unsigned index;
	pthread_t id;
	struct queue *cmds;        /* struct io_cmd, from the engine and from threads that call for help */
	struct io_cmd verify;      /* in cmds while called */
	bool called;               /* protected by verify_lock: to verify pieces */
	/* -- this thread only */
	struct loop *loop;
	struct loop_watch *watch;
	struct loop_timer *tick;
	LIST_HEAD(, peer_conn) conns;
	struct io_cmd stop;
};

struct peer_io {
	/* -- immutable */
	struct peer_io_config config;
	struct tls_ctx *client_tls, *server_tls;
	struct piece_pool *pool;
	unsigned nthreads;
	struct io_thread *threads;
	/* -- protected by verify_lock, a leaf */
	pthread_mutex_t verify_lock;
	TAILQ_HEAD(, piece_ask) to_verify; /* whole pieces, the oldest first */
	unsigned nto_verify;
	/* -- engine only */
	unsigned *load; /* connections per thread */
	bool stopped;
};

enum conn_phase { CONN_NEW, CONN_SNIFF, CONN_TLS, CONN_HELLO, CONN_AUTH, CONN_OPEN, CONN_DOWN };

struct cancelled_ask {
	uint32_t ch, piece;
	uint32_t left; /* bytes of it that have not come */
	bool used;
};

struct peer_conn {
	/* -- immutable */
	struct io_thread *thread;
	void *owner;
	struct peer_how how;
	struct io_cmd open_cmd, close_cmd, release_cmd;
	/* -- engine only */
	bool closing;
	/* -- thread only */
	LIST_ENTRY(peer_conn) entry;
	enum conn_phase phase;
	bool plain;
	struct stream *stream; /* NULL: still sniffing */
	int fd;
	struct loop_watch *watch;
	bool want_read, want_write; /* as the watch has it */
	struct loop_timer *wake;    /* a token bucket or the buffer pool has to be asked again; TLS holds bytes */
	uint64_t deadline_ms, last_in_ms, last_out_ms;
	struct auth_links about;
	struct id32 identity;
	struct peer_event down;
	struct error why;
	/* receiving */
	uint8_t rx[RX_SIZE];
	size_t rx_at, rx_len;       /* bytes rx[rx_at .. rx_len) are not read yet */
	enum peer_type big_type;
	uint32_t big_left;          /* of a frame that does not fit rx; */
	struct buf big;             /* and what has come of it */
	uint32_t data_left;         /* of a PIECE frame */
	struct piece_ask *into;     /* where it goes; NULL: away */
	uint32_t untold;            /* bytes of it not in a PEER_PIECE_BYTES yet */
	uint64_t told_ms;           /* when the last one was posted */
	bool read_paused;           /* wake will go on */
	uint32_t unasked;
	TAILQ_HEAD(, piece_ask) asks;
	struct cancelled_ask cancelled[CANCELLED_KEPT];
	unsigned next_cancelled;
	/* sending */
	struct buf out;
	size_t out_at;
	bool write_paused;
	TAILQ_HEAD(, piece_serve) serves; /* the first one is being sent */
	uint8_t *stage;             /* TLS: the piece of frame that OpenSSL is given; plain: only its head */
	uint8_t head[PEER_HEAD_SIZE + PIECE_HEAD_SIZE];
	size_t stage_at, stage_len; /* of stage (TLS) or head (plain) */
	uint32_t frame_left;        /* data of the frame that is in the file yet */
	uint64_t frame_us;          /* when it was begun */
	uint32_t frame_len;
	double speed;               /* bytes a microsecond, mean */
	bool lowat;                 /* TCP_NOTSENT_LOWAT is set */
};

/* -- peer_conn.c */
void conn_start(struct peer_conn *c);
void conn_run(struct peer_conn *c);  /* reads, writes, arms the watch */
void conn_fail(struct peer_conn *c, enum shoal_err code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void conn_tick(struct peer_conn *c, uint64_t now_ms);
void peer_conn_free(struct peer_conn *c);
struct peer_event *conn_event(struct peer_conn *c, enum peer_event_type type); /* NULL: no memory, the connection failed */
void conn_post(struct peer_conn *c, struct peer_event *ev);
void conn_sleep(struct peer_conn *c, uint64_t us);

/* -- peer_recv.c */
void conn_read(struct peer_conn *c);

/* -- peer_ask.c */
struct piece_ask *conn_find_ask(struct peer_conn *c, uint32_t ch, uint32_t piece);
void conn_drop_ask(struct peer_conn *c, struct piece_ask *ask); /* no longer this connection's: back as ASK_LOST */
/* A PIECE frame's data (0 bytes: the short-end mark), or a REJECT, has come: was it for a cancelled ask? */
bool conn_cancelled_data(struct peer_conn *c, uint32_t ch, uint32_t piece, uint32_t len);
bool conn_cancelled_reject(struct peer_conn *c, uint32_t ch, uint32_t piece);
void conn_take_asks(struct peer_conn *c);      /* the connection is down: all come back */
void conn_ask(struct peer_conn *c, struct piece_ask *ask);
void conn_cancel(struct peer_conn *c, uint32_t ch, uint32_t piece);
void conn_rejected(struct peer_conn *c, uint32_t ch, uint32_t piece);
void conn_forget(struct peer_conn *c, uint32_t ch);
void conn_stop_asks(struct peer_conn *c, uint32_t ch);

/* -- peer_send.c */
void conn_write(struct peer_conn *c);
bool conn_has_output(const struct peer_conn *c);
void conn_put(struct peer_conn *c, const struct buf *frames);
void conn_serve(struct peer_conn *c, struct piece_serve *serve);
void conn_serve_stop(struct peer_conn *c, uint32_t ch, uint32_t piece);
void conn_take_serves(struct peer_conn *c);
void conn_serve_back(struct peer_conn *c, struct piece_serve *serve, bool whole); /* to the engine */

/* -- peer_verify.c */
void ask_back(struct piece_ask *ask, enum ask_result result); /* to the engine; gives the buffer back */
/* A whole piece is in the buffer: hash and write it, here or on a thread that has less to do. */
void verify_put(struct io_thread *t, struct piece_ask *ask);
bool verify_some(struct peer_io *io);        /* one or two of those that wait; false: none did */
void verify_on_call(struct io_thread *t);    /* t was called to help */
#endif
