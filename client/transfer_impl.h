/* client/transfer_impl.h - what the parts of the transfers share. Not for others: they include client/transfer.h.
 *
 *	transfer.c      the struct, the engine's calls
 *	transfer_job.c  jobs: numbers, states, limits, places
 *	transfer_peer.c peers: one connection per pair of devices, whoever dialled
 *	serve_channel.c one file on one connection
 *	serve_ticket.c  who may have it
 *	serve.c         files that are served, upload slots
 *	download*.c     a download, from FIND to the finished file
 *	meta.c          its metainfo: cache, chunks from the tracker
 *	upload_job.c    hash a file, tell the tracker
 *
 * Everything here belongs to the engine thread. What blocks is a struct task on the pool; whoever owns a task lives until
 * it is done. */
#ifndef SHOAL_CLIENT_TRANSFER_IMPL_H
#define SHOAL_CLIENT_TRANSFER_IMPL_H
#include <sys/queue.h>

#include "client/peer_io.h"
#include "client/transfer.h"
#include "core/base/workers.h"
#include "core/net/dial.h"
#include "core/net/listener.h"
#include "core/swarm/swarm.h"
#include "core/swarm/upload.h"

enum {
	PEERS_WANTED = 20,           /* connected per download */
	PEERS_ACCEPTED = 40,         /* channels per file, ours and theirs */
	PEERS_FEW = 10,              /* fewer: ask the tracker again */
	PEERS_KNOWN = 200,           /* per download */
	UNOPENED_PER_ADDRESS = 64,   /* accepted connections without a channel */
	DIAL_MS = 5000,
	IDLE_MS = 60000,             /* a connection without channels */
	TICK_MS = 250,
	DEFAULT_ACTIVE = 16,
	ENDED_KEPT = 1000,           /* jobs that have ended and can still be looked at */
	PIECE_BUFFERS = 128,
	TABLE_SIZE = 1024,           /* of jobs by number, of files by id: lists as long as there are thousands more */
	RETRY_LEAST_MS = 1000,
	RETRY_MOST_MS = 30000,
	REVOKED_KEPT = 1024,         /* members who were removed, the last ones, and who came since */
	OVERASKED_NUM = 3, OVERASKED_DEN = 2, /* bytes served on a channel: so many times the file ... */
	OVERASKED_PIECES = 8,        /* ... and so many pieces */
};

/* -- blocking work */
struct task {
	struct work work;
	void (*run)(struct task *task);  /* on the pool */
	void (*done)(struct task *task); /* on the engine thread */
};
void task_start(struct transfers *t, struct task *task);

/* -- peers */
enum peer_state { PEER_STATE_DIALLING, PEER_STATE_SHAKING, PEER_STATE_READY, PEER_STATE_GOING };

struct channel;
TAILQ_HEAD(channel_list, channel);

/* The last ticket whose signature was found right, and the key that it was checked with. */
struct proven_ticket {
	uint8_t bytes[TICKET_MAX];
	size_t len; /* 0: none yet */
	struct id32 key;
};

/* A connection to another device, from its beginning on. */
struct peer {
	TAILQ_ENTRY(peer) entry;
	struct transfers *t;
	enum peer_state state;
	bool dialled, plain;
	struct id32 identity;     /* dialled: who it must be; else known once it is READY */
	struct address addr;
	struct dial *dial;
	struct peer_conn *conn;
	uint8_t limit_key[16];
	bool unopened;            /* accepted, and no channel was opened yet */
	uint32_t next_channel;
	struct channel_list channels;
	struct upload_conn *upload;
	uint64_t idle_since_ms;   /* 0: it has channels */
	unsigned strays;          /* messages for channels that do not exist */
	struct proven_ticket proven;
};
TAILQ_HEAD(peer_list, peer);

void peers_accept(void *arg, int fd, const struct sockaddr *from); /* listener_fn */
void peers_event(struct transfers *t, struct peer_event *ev);
void peers_tick(struct transfers *t, uint64_t now_ms);
void peers_stop(struct transfers *t); /* dials are given up; connections end with peer_io_stop() */
/* The connection to that device: READY, or on its way. NULL: there is none. */
struct peer *peer_find(struct transfers *t, const struct id32 *identity);
/* Dials. NULL: no memory or descriptors. Ends in download_peer_ready() or download_peer_lost(). */
struct peer *peer_dial(struct transfers *t, const struct id32 *identity, const struct address *addr, bool plain);
/* The other side broke the protocol, or is not needed. */
void peer_close(struct peer *p, const char *why);
void peer_send(struct peer *p, struct buf *frame);

/* -- channels: serve_channel.c */
struct channel {
	TAILQ_ENTRY(channel) in_peer, in_file;
	struct transfers *t;
	struct peer *peer;          /* NULL: closed, waits for what is out; so is file */
	struct file *file;
	uint32_t number;
	bool ours;                  /* we sent OPEN */
	bool opened;                /* OPENED was sent or received */
	unsigned out;               /* asks and serves that the threads have */
	uint64_t served;            /* bytes of pieces that have gone out on it */
	unsigned serving;
	/* -- what the other side may do here */
	bool may_ask;
	struct id16 uid;
	char user[72];
	uint64_t until_ms;          /* tracker's time */
	bool ending;                /* its ticket is over: closed after the piece in flight */
	/* -- both directions' policy; NULL if there is none */
	struct swarm_peer *source;
	struct upload_channel *upload;
};

enum { CHANNEL_TELL = 1 }; /* channel_close(): send CLOSE */
struct channel *channel_open(struct peer *p, struct file *file); /* sends OPEN; NULL: no ticket, no memory */
void channel_on_frame(struct peer *p, enum peer_type type, struct slice body);
/* Gone for both policies; freed when nothing of it is out. code: for CLOSE, with CHANNEL_TELL. */
void channel_close(struct channel *ch, unsigned flags, enum shoal_err code);
void channel_out_done(struct channel *ch); /* an ask or a serve has come back */
struct channel *channel_find(struct peer *p, uint32_t number);
void channel_send_have(struct channel *ch, uint32_t piece);
void channels_check_tickets(struct transfers *t);
void channel_send_ticket(struct channel *ch, struct slice ticket);

/* -- our tickets, one per group: serve_ticket.c */
struct group_ticket {
	TAILQ_ENTRY(group_ticket) entry;
	struct transfers *t;
	struct id16 gid;
	uint8_t bytes[TICKET_MAX];
	struct proven_ticket proven;
	size_t len;              /* 0: none */
	uint64_t got_ms, life_ms;
	uint64_t call;           /* TICKET under way; 0: none */
	uint64_t retry_at_ms;
	bool reader;             /* we give nothing in that group */
};
TAILQ_HEAD(group_tickets, group_ticket);
void tickets_put(struct transfers *t, const struct id16 *gid, struct slice ticket, uint32_t life_ms);
bool tickets_reader(struct transfers *t, const struct id16 *gid); /* as the last ticket said */
struct slice tickets_get(struct transfers *t, const struct id16 *gid); /* empty: none, or it is over */
void tickets_tick(struct transfers *t, uint64_t now_ms);               /* renews those of running downloads */
void tickets_drop_all(struct transfers *t);
/* Tickets of that member that were made until now are good for nothing here any more. */
void tickets_revoke(struct transfers *t, const struct id16 *gid, const struct id16 *uid);
void tickets_readmit(struct transfers *t, const struct id16 *gid, struct slice user); /* he is a member again */
/* Reads somebody's ticket: signed, for that device, that group, now. */
enum shoal_err ticket_accept(struct transfers *t, struct slice sealed, struct peer *p, const struct id16 *gid,
                             struct channel *ch);
uint64_t tracker_wall_ms(struct transfers *t);

struct revoked {
	struct id16 gid;
	bool joined;             /* a member who came (again): `user`; else who was removed: `uid` */
	struct id16 uid;
	char user[72];
	uint64_t at_ms;          /* tracker's time */
};

/* -- files: serve.c */
struct file {
	TAILQ_ENTRY(file) entry;
	LIST_ENTRY(file) in_table;
	struct transfers *t;
	struct id16 gid, fid;
	struct id32 content;
	uint64_t size;
	uint32_t npieces;
	/* -- complete: served from its path */
	bool complete;
	char *path;
	bool has_stamp;
	struct file_stamp stamp;
	/* -- or being downloaded: served from the part file */
	struct download *download;
	struct piece_source *source; /* NULL: not open */
	struct upload_file *upload;  /* NULL until the first channel */
	struct channel_list channels;
	unsigned nchannels;
};
TAILQ_HEAD(file_list, file);

struct file *file_find(struct transfers *t, const struct id16 *fid);
struct file *file_get(struct transfers *t, const struct id16 *gid, const struct id16 *fid, const struct id32 *content,
                      uint64_t size); /* finds or makes; NULL: no memory */
void file_drop_source(struct file *f);
void file_close_channels(struct file *f, enum shoal_err code);
void file_release(struct file *f); /* frees it if nobody needs it any more */
void file_set_complete(struct file *f, const char *path);
bool file_has_piece(const struct file *f, uint32_t piece);
bool file_make_upload(struct file *f);
void serve_request(struct channel *ch, const struct peer_request *m);
void serve_cancel(struct channel *ch, uint32_t piece);
void serve_progress(struct channel *ch, uint32_t piece, uint32_t n);
void serve_done(struct channel *ch, struct piece_serve *serve);
void serve_pump(struct transfers *t);

/* -- jobs: transfer_job.c */
struct job;
struct job_ops {
	void (*start)(struct job *j);
	void (*pause)(struct job *j);  /* PAUSED afterwards, if that can be */
	void (*resume)(struct job *j); /* it was PAUSED and has a place again */
	void (*cancel)(struct job *j, bool keep_part);
	void (*tick)(struct job *j, uint64_t now_ms);
	void (*limit)(struct job *j, uint64_t bytes_per_s);
	void (*peers)(struct job *j, struct call *c);
	void (*explain)(struct job *j, struct buf *b);
	void (*kept)(struct job *j); /* its share is in the list on the disk */
	void (*look)(struct job *j); /* brings info up to date */
	void (*free)(struct job *j);
};

struct job {
	TAILQ_ENTRY(job) entry;
	TAILQ_ENTRY(job) live;  /* in running or waiting, until it has ended */
	LIST_ENTRY(job) in_table;
	struct transfers *t;
	const struct job_ops *ops;
	struct job_info info;
	struct call_opts opts;
	bool active;            /* has one of the max_active places */
	bool started;
	bool held;              /* paused by the user: it has no place */
	uint64_t started_us;
	uint64_t told_bytes;    /* as of the last progress event */
	enum job_state told_state;
	/* -- rate over verified bytes: exponential mean, corrected for its short past */
	double rate, weight;
	uint64_t rate_bytes, rate_us;
};
TAILQ_HEAD(job_list, job);

uint64_t job_add(struct transfers *t, struct job *j); /* numbers and queues it */
void job_emit(struct job *j, const char *word);
void job_set_state(struct job *j, enum job_state state);           /* and tells it */
void job_stall(struct job *j, enum shoal_err code, const char *why); /* told when it is news */
void job_end(struct job *j, enum job_state state, const struct error *e);
void job_count(struct job *j, uint64_t bytes); /* bytes verified by now, for the rate */
void job_pause(struct job *j);
void job_resume(struct job *j); /* waits for a place again */
void jobs_start_waiting(struct transfers *t);
void jobs_turn(struct transfers *t); /* in the loop's next turn: starts what may start, forgets the oldest */
void jobs_tick(struct transfers *t, uint64_t now_ms);
struct job *job_find(struct transfers *t, uint64_t id);
void jobs_free(struct transfers *t);

/* -- downloads, as the rest sees them */
struct job *download_new(struct transfers *t, const struct call *c);
void download_peer_ready(struct transfers *t, struct peer *p);
void download_peer_lost(struct transfers *t, struct peer *p, const struct error *why);
void download_channel_open(struct channel *ch);  /* OPENED: pieces may be asked for */
void download_channel_gone(struct channel *ch, enum shoal_err code);
void download_on_bitfield(struct channel *ch, const struct peer_bitfield *m);
void download_on_have(struct channel *ch, uint32_t piece);
void download_on_reject(struct channel *ch, const struct peer_reject *m);
void download_on_begin(struct channel *ch, uint32_t piece, uint16_t waiting);
void download_on_bytes(struct channel *ch, uint32_t piece, uint32_t n);
void download_ask_done(struct channel *ch, struct piece_ask *ask);
void download_offence(struct channel *ch); /* which may be closed by this */
void downloads_run(struct transfers *t);         /* after a batch of events: decide */
void downloads_on_login(struct transfers *t);
void downloads_on_logout(struct transfers *t);
void downloads_on_revoke(struct transfers *t, const struct id16 *gid);
void downloads_know(struct transfers *t, const struct id16 *fid, const struct id32 *identity, const struct address *addr);
void downloads_stop(struct transfers *t);        /* the tracker is asked nothing more */
void downloads_close(struct transfers *t);       /* at the end: what is on the disk is saved */
const struct bitfield *download_have(const struct download *dl);
struct storage *download_storage(const struct download *dl);
bool download_wants_peers(const struct download *dl);

/* -- uploads */
struct job *upload_job_new(struct transfers *t, const struct call *c);
void uploads_stop(struct transfers *t);

struct transfers {
	struct transfers_config config;
	struct log *log;
	bool stopping;
	bool logged_in;
	struct peer_io *io;
	struct queue *io_events, *tasks_done;
	struct loop_watch *io_watch, *tasks_watch;
	struct loop_timer *tick, *upload_timer, *run_timer, *swarm_timer;
	struct workers *workers;
	struct listener *listener;
	struct peer_rate up_rate, down_rate;
	struct upload *upload;
	struct peer_list peers;
	unsigned npeers, most_peers, ndialling;
	struct file_list files;
	LIST_HEAD(, file) file_table[TABLE_SIZE];
	struct channel_list closed; /* channels that wait for what is out; linked by in_peer */
	struct group_tickets tickets;
	struct revoked *revoked;    /* REVOKED_KEPT of them, used as a ring; NULL: nobody yet */
	unsigned nrevoked, next_revoked;
	EVP_PKEY *ticket_key;
	struct id32 ticket_key_raw;
	struct job_list jobs;    /* all that can be looked at */
	struct job_list running; /* of these: started, not ended */
	struct job_list waiting; /* never started */
	LIST_HEAD(, job) job_table[TABLE_SIZE];
	uint64_t next_job;
	unsigned nactive, nended;
	bool finishing; /* a batch of small files is being published: download_disk.c */
};
uint64_t transfers_random(void *unused);
bool transfers_plain(struct transfers *t); /* links in the clear are wanted and allowed */
#endif
