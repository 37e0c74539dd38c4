/* client/cmd.h - the commands: one table that makes the Lua functions, argument checks, typed forms, help, completion
 * and the calls of the control socket.
 *
 * A command runs as a struct cmd_run: its function is called once with answered == NULL, posts calls to the engine with
 * cmd_ask(), and is called again with each answered one. It is finished when it fails, when it sets run->finished, or
 * when no call is outstanding. So nothing here blocks, and any number of runs may be under way. Prompt thread only. */
#ifndef SHOAL_CLIENT_CMD_H
#define SHOAL_CLIENT_CMD_H
#include <sys/queue.h>

#include "client/engine.h"
#include "client/value.h"

struct shell;

enum { CMD_MAX_ARGS = 4 };

enum arg_kind {
	ARG_NONE,
	ARG_USER, ARG_GROUP, ARG_FILE, ARG_PATH, ARG_STRING, ARG_SECRET, /* strings; each completes differently */
	ARG_INT,
	ARG_SIZE,    /* a number of bytes, or text such as "20M" */
	ARG_SECONDS, /* a number, or text such as "200ms" */
	ARG_BOOL,
	ARG_STAMP,   /* a stamp, its text, or a list of them */
	ARG_JOB,     /* a job, or its number */
	ARG_JOBS,    /* a list of them */
	ARG_OPTS,    /* a table with the names of `opts` */
	ARG_FILTER,  /* a string or a table with the names of `opts` */
	ARG_COUNT,   /* "all" or a number */
	ARG_LIST,    /* a list of tables */
	ARG_GLOBS,   /* a pattern, or a list of them */
};

struct cmd_opt {
	const char *name;
	enum arg_kind kind;
	const char *choices; /* "a|b|c", or NULL */
	const char *help;    /* what it does, for the reference */
};

struct cmd_arg {
	const char *name;
	enum arg_kind kind;
	bool optional;
	const struct cmd_opt *opts; /* up to one without a name */
};

enum cmd_flag {
	CMD_NEEDS_LOGIN = 1,
	CMD_CHANGES = 2,  /* gives a stamp */
	CMD_SECRET = 4,   /* lines with it are not kept */
	CMD_MODULE = 8,   /* a function of the module: shoal.jobs */
	CMD_METHOD = 16,  /* a method of jobs, without the "job_" of its name */
	CMD_SPREAD = 32,  /* the list that it gives becomes several results */
	CMD_HIDDEN = 64,  /* for the control socket only */
};

struct cmd_run;

struct cmd {
	const char *name;
	const char *spaced; /* "create user", as SPEC.md also writes it, or NULL */
	const char *summary;
	const char *gives;   /* what it gives when all went well: "stamp", "{{user, role}, ...}" */
	const char *example; /* a line that runs as it stands: the tests run it */
	const char *since;
	struct cmd_arg args[CMD_MAX_ARGS];
	unsigned flags;
	/* One of the two: code here, or an embedded Lua module whose function of that name gets the checked arguments. */
	enum shoal_err (*run)(struct cmd_run *run, struct call *answered, struct error *e);
	const char *module;
};

/* All commands, in groups; each ends with an entry without a name. */
extern const struct cmd cmd_user_table[], cmd_group_table[], cmd_file_table[], cmd_batch_table[], cmd_job_table[],
	cmd_tracker_table[];

/* Iterates over all: start with NULL, ends with NULL. */
const struct cmd *cmd_next(const struct cmd *cmd);
const struct cmd *cmd_find(const char *name);
/* The name that comes nearest, or NULL when none is near. */
const char *cmd_suggest(const char *name);
unsigned cmd_count_args(const struct cmd *cmd);
/* "download_file(group, file [, dest [, opts]])". */
void cmd_usage(const struct cmd *cmd, struct buf *out);
/* What an argument must be: "a string", "a list of jobs". */
const char *cmd_kind_word(enum arg_kind kind);
/* The same as it is typed: "download_file GROUP FILE [DEST]". */
void cmd_usage_typed(const struct cmd *cmd, struct buf *out);

/* -- a run */
/* What a run may ask at the terminal: nothing, a missing password (scripts), that and whether one is sure (prompt). */
enum cmd_asking { ASK_NOTHING, ASK_SECRETS, ASK_ALL };

struct cmd_run {
	const struct cmd *cmd;
	struct shell *shell;
	struct value argv[CMD_MAX_ARGS]; /* checked and brought into form: sizes are integers, jobs are jobs */
	enum cmd_asking asking;
	char where[80];                  /* "job.lua:12", or empty */
	/* -- while it runs */
	unsigned outstanding;
	bool asked;                      /* the call was right: what fails from here on is an answer, not the script's bug */
	bool finished;
	bool abandoned;                  /* nobody waits for it any more */
	uint64_t deadline_ms;            /* monotonic; 0: none */
	struct value scratch;            /* what the command itself keeps between its calls */
	void (*done)(void *arg, struct cmd_run *run); /* called once, when it has finished; may free it */
	void *arg;
	TAILQ_ENTRY(cmd_run) link;
	/* -- when it has finished */
	struct error error; /* code OK: result is valid */
	struct value result;
	struct value details; /* further fields of the err object: failed = {jobs} */
};

struct cmd_run *cmd_run_new(const struct cmd *cmd); /* NULL: no memory */
void cmd_run_free(struct cmd_run *run);             /* only if it was never started, or has nothing outstanding */

/* Checks number and kinds of the arguments in run->argv (n given) and brings them into form. A mistake is SHOAL_EUSAGE:
 * "argument 2 'file' must be a string, got nil". */
enum shoal_err cmd_check_args(struct cmd_run *run, unsigned n, struct error *e);

/* Text that no tracker would take, and that might not fit a message, is SHOAL_EUSAGE: the start of each run checks it. */
enum shoal_err cmd_check_lengths(const struct cmd_run *run, struct error *e);

/* Checks a table against names and kinds, and brings its values into form: options, settings. */
enum shoal_err cmd_check_table(const struct cmd_opt *opts, struct value *table, struct error *e);

/* -- for the commands themselves */
/* Posts the call; the run's function gets it back answered. NULL (no memory) is SHOAL_EBUSY. */
enum shoal_err cmd_ask(struct cmd_run *run, struct call *c, struct error *e);
/* A call to the tracker; the caller puts the fields. */
struct call *cmd_verb_call(enum cmd_verb verb);
/* The text of a string argument as a slice; empty if it is nil. */
struct slice cmd_arg_slice(const struct cmd_run *run, unsigned i);
const char *cmd_arg_text(const struct cmd_run *run, unsigned i, const char *otherwise);
/* Rows of an answered list: calls `row` for each, which reads one from the cursor and adds it to the result. */
typedef void cmd_row_fn(struct cmd_run *run, struct cursor *c);
enum shoal_err cmd_read_rows(struct cmd_run *run, const struct call *c, void (*head)(struct cursor *c), cmd_row_fn *row,
                             struct error *e);
/* The run of a changing verb is over: its stamp is the result. */
enum shoal_err cmd_give_stamp(struct cmd_run *run, const struct call *answered, struct error *e);
/* argv[i] if it is there, else it is asked for (run->asking allowing), else SHOAL_EAUTH. */
enum shoal_err cmd_need_secret(struct cmd_run *run, unsigned i, const char *question, bool twice, struct error *e);
#endif
