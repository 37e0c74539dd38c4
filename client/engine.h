/* client/engine.h - the engine thread, and how the prompt thread talks to it.
 *
 * The engine decides everything: the tracker link, jobs, swarms, shares. The prompt thread (readline, the one lua_State)
 * posts calls and gets them back answered, in one queue with the events; it may wait for one call or go on. Threads
 * share nothing but the two queues. The engine never waits for the prompt. */
#ifndef SHOAL_CLIENT_ENGINE_H
#define SHOAL_CLIENT_ENGINE_H
#include "client/job.h"
#include "client/link.h"
#include "core/base/queue.h"

/* Everything decided before the engine starts; owned by main, outlives the engine. */
struct client_config {
	struct address listen;           /* where peers reach us; port 0: any */
	struct tracker_info trackers;
	bool has_announce;
	struct address announce;         /* --announce */
	bool pinned;
	struct id32 cluster;             /* --cluster, or the line in the tracker file */
	const char *root;                /* --data DIR, or NULL: the XDG folders */
	bool plaintext;                  /* --plaintext: peer links in the clear, if the cluster allows it */
	enum auto_login auto_login;
	unsigned threads;                /* transfer threads; 0: max(2, min(10, cores)) */
	unsigned max_active;             /* downloads at a time; the rest is queued; 0: 16 */
	struct log *log;
};

enum call_kind {
	CALL_VERB,       /* to the tracker as it is: verb, fields -> frames. LOGIN and LOGOUT too: the engine looks on */
	CALL_UPLOAD,     /* path, group, opts -> job (its number) */
	CALL_DOWNLOAD,   /* group, file, path (dest), opts -> job */
	CALL_JOBS,       /* -> jobs[n] */
	CALL_JOB,        /* job -> jobs[1] */
	CALL_JOB_PEERS,  /* job -> peers[n] */
	CALL_JOB_EXPLAIN, /* job -> text */
	CALL_JOB_PAUSE, CALL_JOB_RESUME, CALL_JOB_CANCEL, /* job; CANCEL: opts.keep_part */
	CALL_JOB_LIMIT,  /* job, opts.limit bytes a second; 0: none */
	CALL_JOB_WAIT,   /* job -> jobs[1], answered when the job has ended; timeout_ms 0: however long that takes */
	CALL_LIMITS,     /* opts.down, opts.up (UINT64_MAX: leave) -> opts as they are now */
	CALL_STOP_SHARE, /* group, file -> frames of STOP_SHARE; the engine forgets the share */
	CALL_HAVE,       /* -> shares[n]: what this device shares (to fill list_files' `have`) */
	CALL_STATUS,     /* -> status */
	CALL_ANSWER,     /* yes: to EVENT_ASK */
	CALL_USE_TRACKER, /* job: the tracker's number */
	CALL_STOP,       /* leave: save the state of running jobs, stop sharing, tell the tracker; answered when done */
};

enum download_order { ORDER_DEFAULT, ORDER_RAREST, ORDER_SEQUENTIAL, ORDER_RANDOM };
enum on_exists { EXISTS_RESUME, EXISTS_SKIP, EXISTS_REPLACE, EXISTS_RENAME, EXISTS_FAIL };

struct call_opts {
	enum download_order order;
	enum on_exists on_exists;
	uint64_t limit;           /* bytes a second; 0: none */
	uint64_t down, up;
	uint32_t timeout_ms;      /* the job's; 0: none */
	uint32_t wait_for_seeder_ms;
	bool no_share;            /* keep_sharing = false */
	bool pieces_only;         /* verify = "pieces" */
	bool keep_part;
	char name[JOB_NAME_MAX];  /* upload: share under this name; empty: the file's own */
	uint64_t size;            /* upload: as the asker saw it, shown until the job has looked itself */
};

struct share_info {
	struct id16 gid, fid;
	char group[JOB_NAME_MAX], file[JOB_NAME_MAX];
	char *path; /* owned by the call */
	uint64_t size;
	int64_t mtime_ns; /* of the file as it was hashed; 0 (with inode 0): unknown, whoever needs it looks */
	uint64_t inode;
};

struct call {
	struct queue_node node;
	enum call_kind kind;
	/* -- question */
	enum cmd_verb verb;
	struct buf fields;
	char group[JOB_NAME_MAX], file[JOB_NAME_MAX];
	char *path;
	uint64_t job;
	bool yes;
	struct call_opts opts;
	uint32_t timeout_ms;
	/* -- answer: *frames is valid if error.code is SHOAL_OK */
	struct error error;
	struct stamp stamp;
	int synced;         /* as in struct link_reply */
	struct buf *frames; /* the fields of each RPLY frame, one buf a frame */
	size_t nframes;
	struct job_info *jobs;
	struct job_peer *peers;
	struct share_info *shares;
	size_t n;
	char *text;
	struct link_status status;
	/* -- the asker's own */
	void *cookie;
};

struct call *call_new(enum call_kind kind); /* NULL: no memory */
void call_free(struct call *c);             /* wipes the fields: there may be a password in them */

/* News for the prompt thread, in order. Progress is merged: at most 4 a second per job. */
enum client_event_type {
	EVENT_ANSWER,       /* call: answered, now the receiver's again */
	EVENT_JOB,          /* word ("job.queued", "job.started", "job.progress", "job.stalled", ...), job */
	EVENT_TRACKER_UP,   /* tracker */
	EVENT_TRACKER_LOST, /* tracker, text */
	EVENT_TRACKER_REFUSED, /* tracker, text: its identity is wrong, it is not used */
	EVENT_TRACKER_LACKS, /* tracker, text: it has not got what we did at another one */
	EVENT_LOGGED_IN,    /* user */
	EVENT_LOGGED_OUT,   /* text */
	EVENT_ASK_LOGIN,    /* user: log in again automatically? answer with CALL_ANSWER */
	/* word = event_word() of the EVNT; group, file, user, text as far as it has them. What a merge did to somebody
	 * ("name-lost-user" ..) is a "conflict" with its kind, every other note a "note", a first contact too. */
	EVENT_TRACKER,
	/* A share of ours, group, file, text. word: "file.removed": the tracker lists it no longer; "file.changed": it was
	 * changed on disk and is given up; "file.missing": it is not where it was; "file.unknown": the tracker lists it for
	 * this device, which does not know it. */
	EVENT_SHARE,
};

struct client_event {
	struct queue_node node;
	enum client_event_type type;
	struct call *call;
	const char *word;
	struct job_info *job; /* owned by the event */
	uint16_t tracker;
	char group[JOB_NAME_MAX], file[JOB_NAME_MAX], user[72], text[ERROR_TEXT_MAX];
	char kind[40];        /* of a conflict or note, may be empty */
	uint64_t wall_ms;
};
void client_event_free(struct client_event *ev); /* a call in it is not freed */

struct engine;
/* Starts the thread, listens, opens the device key. NULL and *e set: nothing was started. */
struct engine *engine_start(const struct client_config *config, struct error *e);
/* Post CALL_STOP first for a clean end. Joins the thread and frees everything; unanswered calls are freed. */
void engine_free(struct engine *en);
void engine_post(struct engine *en, struct call *c); /* hands the call over */
struct queue *engine_events(struct engine *en);      /* struct client_event; its queue_fd() sits in the prompt's poll() */
struct address engine_listen_address(const struct engine *en); /* with the real port */
#endif
