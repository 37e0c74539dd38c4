/* client/engine_impl.h - what the parts of the engine share: engine.c (thread, start, end), engine_calls.c (the prompt's
 * calls), engine_login.c (LOGIN and the list of shares), engine_events.c (news for the prompt). Not for others. */
#ifndef SHOAL_CLIENT_ENGINE_IMPL_H
#define SHOAL_CLIENT_ENGINE_IMPL_H
#include <pthread.h>
#include <sys/queue.h>

#include "client/device.h"
#include "client/engine.h"
#include "client/known_trackers.h"
#include "client/shares.h"
#include "client/transfer.h"
#include "core/base/name.h"
#include "core/base/workers.h"
#include "core/net/net_env.h"

enum {
	ENGINE_PROGRESS_MS = 250,    /* between two progress events of a job */
	ENGINE_STOP_MS = 1500,       /* for telling the tracker that we leave */
	ENGINE_COMPARE_AGAIN_MS = 2000, /* until MY_SHARES is asked again, if it failed */
	ENGINE_DIFFER_MS = 60000,    /* a difference that stays is looked into once in that time */
};

/* A call that is not answered yet: a verb on its way, or somebody who waits for a job. */
struct open_call {
	TAILQ_ENTRY(open_call) entry;
	struct engine *en;
	struct call *call;
	uint64_t deadline_ms; /* JOB_WAIT: 0: none; a verb's is the link's business */
};
TAILQ_HEAD(open_calls, open_call);

/* A LOGIN under way: the cluster has to be known, then the user's shares are opened, then the tracker is asked. */
struct engine_login {
	struct work work;       /* opens the shares, on the disk thread */
	struct engine *en;
	struct call *call;
	char user[NAME_SHOWN_MAX];
	char *folder;
	struct shares *shares;  /* opened for this login; NULL: the engine's own are those of this user */
	struct error error;     /* why they could not be opened */
	bool asked;             /* the tracker was */
};

/* A job that is done as soon as its share is in the database. */
struct engine_kept {
	struct work work;
	uint64_t job;
};

struct progress;

struct engine {
	/* -- immutable after engine_start() */
	const struct client_config *config;
	struct log *log;
	char *state_folder, *meta_folder, *known_path;
	struct device *device;
	struct tls_identity *identity;
	struct workers *disk; /* one thread, for what blocks */
	bool thread_runs;
	pthread_t thread;
	struct address listen;
	/* -- any thread */
	struct queue *calls;  /* struct call, or `quit` */
	struct queue *events; /* struct client_event */
	struct queue *opened; /* struct engine_login: disk thread -> engine */
	struct queue *kept;   /* struct engine_kept: writer of the shares -> engine */
	struct queue_node quit;
	/* -- engine thread only */
	struct loop *loop;
	struct net_env *net;
	struct link *link;
	struct transfers *transfers; /* NULL after CALL_STOP */
	struct known_trackers *known;
	struct loop_watch *calls_watch, *opened_watch, *kept_watch;
	struct loop_timer *waits_timer, *progress_timer, *compare_timer;
	struct open_calls verbs, waits;
	struct engine_login *login; /* NULL: none under way */
	struct shares *shares;      /* NULL: not logged in */
	uint64_t comparing;         /* the number of the open MY_SHARES; 0: none */
	bool compare_bad;           /* ... failed, or cannot be read: ask again later */
	bool compared;              /* once at least since the login */
	uint64_t compared_ms;       /* when it was asked last */
	bool compare_stale;         /* ... was asked for once more meanwhile */
	struct progress *progress;  /* by job */
	bool stopping;
};

/* engine_calls.c */
void engine_take_calls(void *arg, struct queue_node *nodes);
void engine_answer(struct engine *en, struct call *call);
enum shoal_err engine_fail(struct engine *en, struct call *call, enum shoal_err code, const char *text);
void engine_verb(struct engine *en, struct call *call); /* sends a CALL_VERB as it is */
void engine_waits_on_job(struct engine *en, const struct job_info *job);
void engine_waits_on_time(void *arg);
void engine_calls_free(struct engine *en);
/* Whether the prompt itself asks just now to stop sharing that file. */
bool engine_stops_share(const struct engine *en, const char *group, const char *file);
/* Puts the frame behind the others of the call. */
bool engine_add_frame(struct call *call, struct slice fields);

/* engine_login.c */
void engine_login(struct engine *en, struct call *call);
void engine_take_opened(void *arg, struct queue_node *nodes);
void engine_on_logged_in(struct engine *en);
void engine_on_logged_out(struct engine *en);
void engine_login_free(struct engine *en);

/* engine_shares.c */
void engine_compare_shares(struct engine *en); /* asks MY_SHARES and acts on it */
void engine_compare_on_time(void *arg);
void engine_on_differ(struct engine *en); /* a heartbeat said that the tracker's list is another one */
void engine_shares_changed(struct engine *en); /* the heartbeat is to tell it */
void engine_share_removed(struct engine *en, const struct id16 *gid, const struct id16 *fid, const char *why);
void engine_forget_share(struct engine *en, const struct id16 *gid, const struct id16 *fid);
void engine_on_shared(void *owner, const struct share_info *share, const struct id32 *content, uint64_t job);
void engine_take_kept(void *arg, struct queue_node *nodes);
void engine_on_unshared(void *owner, const struct id16 *gid, const struct id16 *fid, const char *why);

/* engine_events.c */
struct client_event *engine_event(struct engine *en, enum client_event_type type);
void engine_tell(struct engine *en, struct client_event *ev);
void engine_tell_share(struct engine *en, const char *word, const struct share *share, const char *text);
void engine_on_job_event(void *owner, const char *word, const struct job_info *job);
void engine_on_tracker_event(struct engine *en, const struct link_news *news);
void engine_progress_on_time(void *arg);
void engine_progress_free(struct engine *en);
#endif
