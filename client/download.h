/* client/download.h - a download: FIND, metainfo, part file, pieces from many peers, the finished file.
 *
 * Private to client/download*.c. Engine thread, except what the tasks do on the pool with what they were handed.
 *
 * download.c        making one, phases, ending it
 * download_run.c    pieces: what the swarm decides, what the peers bring
 * download_peers.c  whom to connect to; what the tracker is asked and told
 * download_own.c    what this device shares already is copied
 * download_limit.c  its own rate limit
 * download_disk.c   opening, journal, whole-file hash, publishing, closing
 * download_show.c   peers(), explain(), states for people */
#ifndef SHOAL_CLIENT_DOWNLOAD_H
#define SHOAL_CLIENT_DOWNLOAD_H
#include "client/meta.h"
#include "client/transfer_impl.h"

enum { DISK_RETRY_MS = 2000 }; /* a full disk is tried again so often */

enum download_phase {
	PHASE_FIND,
	PHASE_META,
	PHASE_OPEN,   /* the destination */
	PHASE_COPY,   /* what this device shares already */
	PHASE_RUN,
	PHASE_DRAIN,  /* all is there: what is out comes back */
	PHASE_FINISH, /* the rest of the whole-file hash, fsync, rename */
	PHASE_TELL,   /* UPDATE_FILE_INFO */
	PHASE_KEEP,   /* the list of shares is being written */
	PHASE_CLOSE,  /* failed or cancelled: what is out comes back, then the part file is closed or removed */
	PHASE_OVER,
};

/* A peer that the tracker named, or that came by itself. */
struct source {
	TAILQ_ENTRY(source) entry;
	struct id32 identity;
	struct address addr;
	char user[72];
	bool complete;
	bool no_plain;            /* it refused a link in the clear */
	bool trying;              /* dialled or opening */
	struct channel *channel;
	uint64_t retry_at_ms;
	unsigned fails;
	uint64_t unreachable_ms;  /* when the tracker was told; 0: not yet */
	uint32_t pieces, bad_pieces;
	const char *last;         /* what became of the last try; NULL: nothing yet */
};

struct download {
	struct job job;
	enum download_phase phase;
	char *dest;
	bool paused;              /* by the user */
	bool disk_full;
	uint64_t disk_retry_ms;
	/* -- from FIND */
	bool found;
	char *name;               /* as others call it */
	struct id16 gid, fid;
	struct meta_wanted wanted;
	struct file *file;        /* while it may be served or channels exist for it */
	/* -- tracker */
	uint64_t find_call, announce_call, update_call;
	uint64_t ask_at_ms;       /* FIND or ANNOUNCE again */
	uint32_t ask_pause_ms;
	bool announced;
	/* -- data */
	struct meta_fetch *fetch;
	struct metainfo *meta;
	struct storage *st;
	struct piece_sink sink;
	bool sink_ready;
	struct storage_front *front;
	struct storage_flush *flush;
	struct own_copy *own;     /* PHASE_COPY */
	struct swarm *swarm;
	uint64_t swarm_at_us;     /* when it wants to be run again */
	bool swarm_due;           /* something has happened */
	uint64_t rate_limit;      /* bytes a second, as the user wants it; 0: none */
	uint64_t rate_at_us;      /* up to here the swarm's budget has its share; 0: begins anew */
	struct peer_rate limit;   /* of reading: while nobody else uses our connections */
	unsigned asks;            /* out in the threads: the sink is in use */
	unsigned tasks;           /* on the pool: the storage is in use */
	struct task open_task, front_task, flush_task, close_task, recheck_task;
	bool front_busy, flush_busy;
	bool front_broken;        /* it could not be read: storage_finish() will say why */
	enum shoal_err task_rc;
	enum shoal_err front_rc;  /* while front_busy: the pool's */
	struct error task_error, front_error;
	uint32_t nbad;
	struct file_hash_progress progress; /* of a finished file that is looked at in storage_open() */
	/* -- sources */
	TAILQ_HEAD(, source) sources;
	unsigned nsources, nchannels;
	bool met;                 /* a channel was open once */
	uint64_t moved_ms;        /* when the last piece came, or the run began */
	/* -- how it ends */
	enum job_state end_state;
	struct error end_error;
	bool keep_part;
};

static inline struct download *download_of(struct job *j)
{
	return container_of(j, struct download, job);
}

/* -- download.c */
void download_fail(struct download *dl, const struct error *e); /* the part file stays */
void download_wind_down(struct download *dl, enum job_state state, const struct error *e, bool keep_part);
void download_settle(struct download *dl); /* DRAIN and CLOSE: goes on when nothing is out */
void download_done(struct download *dl);   /* published, told */
void download_hold(struct download *dl);   /* tells the swarm whether it may ask for pieces */

bool download_waits_to_finish(const struct job *j); /* complete, and in nobody's hands */

/* -- download_run.c */
enum shoal_err download_make_swarm(struct download *dl, struct error *e);
void download_run(struct download *dl, uint64_t *next_us);

/* -- download_peers.c */
void download_ask_tracker(struct download *dl);
void download_announce(struct download *dl, bool stopped);
void download_connect(struct download *dl, uint64_t now_ms);
void download_attach(struct download *dl, struct channel *ch); /* to its source, which is made if need be */
struct source *download_source_of(struct download *dl, const struct channel *ch);
const char *download_why_lost(enum shoal_err code, bool dialled); /* in words; dialled: there was a connection */
void download_free_sources(struct download *dl);
void download_drop_calls(struct download *dl);

/* -- download_own.c */
bool download_own_begin(struct download *dl); /* false: nothing to copy from; else download_begin() follows */
void download_own_step(struct download *dl);  /* goes on, unless it is paused or at it */
void download_own_free(struct download *dl);  /* its task is not out */

/* -- download_limit.c */
void download_limit_set(struct download *dl, uint64_t bytes_per_s);
/* Before the swarm is run: what time has brought. After it: when the next piece can be paid for, if that is sooner. */
void download_limit_fill(struct download *dl, uint64_t now_us);
/* The disk is full: one piece is asked for, to see whether there is room again. */
void download_limit_try(struct download *dl);
void download_limit_wait(struct download *dl, uint64_t now_us);

/* -- download_disk.c */
void download_open(struct download *dl);
void download_begin(struct download *dl); /* asks for what is missing; if that is nothing, on to the end */
void download_kick_disk(struct download *dl); /* front and journal, if they are behind */
void download_finish(struct download *dl);
void download_close(struct download *dl);
void download_disk_free(struct download *dl); /* at the end of the program: saves and closes what is open */

/* -- download_show.c */
void download_tick(struct job *j, uint64_t now_ms);
void download_peers(struct job *j, struct call *c);
void download_explain(struct job *j, struct buf *b);
void download_look(struct job *j);
#endif
