/* client/cmd_job.c - jobs: looking at them, steering them, waiting for them. */
#include "client/cmd.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

static enum shoal_err ask_job(struct cmd_run *run, enum call_kind kind, uint64_t id, struct error *e)
{
	struct call *c = call_new(kind);
	if (c != NULL)
		c->job = id;
	return cmd_ask(run, c, e);
}

static enum shoal_err failed(const struct call *c, struct error *e)
{
	*e = c->error;
	return e->code;
}

/* What job:wait() gives of a job that is done; the error of one that is not. */
static enum shoal_err outcome(const struct job_info *job, struct value *result, struct error *e)
{
	if (job->state != JOB_STATE_DONE) {
		*e = job->error;
		if (e->code == SHOAL_OK)
			error_set(e, job->state == JOB_STATE_CANCELLED ? SHOAL_ECANCELLED : SHOAL_EINTERNAL, "%s '%s': %s",
			          job->kind == JOB_UPLOAD ? "upload of" : "download of", job->file, job_state_word(job->state));
		return e->code;
	}
	uint64_t ms = job->took_ms != 0 ? job->took_ms : 1, fetched = job->bytes - (job->resumed < job->bytes ? job->resumed : 0);
	*result = value_table();
	value_set(result, "path", value_str(job->path));
	value_set(result, "bytes", value_int((int64_t)job->bytes));
	value_set(result, "seconds", value_number((double)job->took_ms / 1000));
	value_set(result, "rate", value_int((int64_t)((double)fetched * 1000 / (double)ms)));
	value_set(result, "sources", value_int(job->sources));
	value_set(result, "bad_pieces", value_int(job->bad_pieces));
	value_set(result, "resumed", value_int((int64_t)job->resumed));
	value_set(result, "twice", value_int((int64_t)job->twice));
	return SHOAL_OK;
}

/* What failed was the transfer, not the waiting: op, group and file of the err object. */
static void name_job(struct cmd_run *run, const struct job_info *job)
{
	value_free(&run->details);
	run->details = value_table();
	value_set(&run->details, "op", value_str(job->kind == JOB_UPLOAD ? "upload_file" : "download_file"));
	value_set(&run->details, "group", value_str(job->group));
	value_set(&run->details, "file", value_str(job->file));
	value_set(&run->details, "job", value_job(job->id));
}

static void set_deadline(struct cmd_run *run, unsigned arg)
{
	if (run->argv[arg].type == VALUE_INT)
		run->deadline_ms = clock_mono_ms() + (uint64_t)run->argv[arg].integer + 1;
}

static enum shoal_err run_job_wait(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered == NULL) {
		set_deadline(run, 1);
		return ask_job(run, CALL_JOB_WAIT, run->argv[0].job, e);
	}
	if (answered->error.code != SHOAL_OK || answered->n != 1)
		return failed(answered, e);
	name_job(run, &answered->jobs[0]);
	return outcome(&answered->jobs[0], &run->result, e);
}

static enum shoal_err run_job_info(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered == NULL)
		return ask_job(run, CALL_JOB, run->argv[0].job, e);
	if (answered->error.code != SHOAL_OK || answered->n != 1)
		return failed(answered, e);
	run->result = value_job_info(&answered->jobs[0]);
	return SHOAL_OK;
}

static enum shoal_err steered(struct cmd_run *run, const struct call *answered, struct error *e)
{
	if (answered->error.code != SHOAL_OK)
		return failed(answered, e);
	run->result = value_bool(true);
	return SHOAL_OK;
}

static enum shoal_err run_job_pause(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? ask_job(run, CALL_JOB_PAUSE, run->argv[0].job, e) : steered(run, answered, e);
}

static enum shoal_err run_job_resume(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? ask_job(run, CALL_JOB_RESUME, run->argv[0].job, e) : steered(run, answered, e);
}

static enum shoal_err run_job_cancel(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered != NULL)
		return steered(run, answered, e);
	struct call *c = call_new(CALL_JOB_CANCEL);
	if (c != NULL) {
		c->job = run->argv[0].job;
		c->opts.keep_part = value_get_bool(&run->argv[1], "keep_part", false);
	}
	return cmd_ask(run, c, e);
}

static enum shoal_err run_job_limit(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered != NULL)
		return steered(run, answered, e);
	struct call *c = call_new(CALL_JOB_LIMIT);
	if (c != NULL) {
		c->job = run->argv[0].job;
		c->opts.limit = (uint64_t)run->argv[1].integer;
	}
	return cmd_ask(run, c, e);
}

static enum shoal_err run_job_peers(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered == NULL)
		return ask_job(run, CALL_JOB_PEERS, run->argv[0].job, e);
	if (answered->error.code != SHOAL_OK)
		return failed(answered, e);
	run->result = value_list();
	for (size_t i = 0; i < answered->n; i++) {
		const struct job_peer *p = &answered->peers[i];
		struct value t = value_table();
		value_set(&t, "user", value_str(p->user));
		value_set(&t, "address", value_str(p->address));
		value_set(&t, "state", value_str(p->state));
		value_set(&t, "rate", value_int((int64_t)p->rate));
		value_set(&t, "pieces", value_int(p->pieces));
		value_set(&t, "bad_pieces", value_int(p->bad_pieces));
		value_set(&t, "strikes", value_int(p->strikes));
		value_add(&run->result, t);
	}
	return SHOAL_OK;
}

static enum shoal_err run_job_explain(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered == NULL)
		return ask_job(run, CALL_JOB_EXPLAIN, run->argv[0].job, e);
	if (answered->error.code != SHOAL_OK)
		return failed(answered, e);
	run->result = value_str(answered->text != NULL ? answered->text : "");
	return SHOAL_OK;
}

/* -- lists of jobs */

static bool job_wanted(const struct job_info *job, const struct value *filter, const char *kind)
{
	kind = value_get_text(filter, "kind", kind);
	const char *group = value_get_text(filter, "group", NULL), *state = value_get_text(filter, "state", NULL);
	if (filter->type == VALUE_STR && strcmp(value_text(filter, ""), job_state_word(job->state)) != 0)
		return false;
	return (strcmp(kind, "all") == 0 || (strcmp(kind, "upload") == 0) == (job->kind == JOB_UPLOAD)) &&
	       (group == NULL || strcmp(group, job->group) == 0) &&
	       (state == NULL || strcmp(state, job_state_word(job->state)) == 0);
}

static enum shoal_err list_jobs(struct cmd_run *run, struct call *answered, const char *kind, struct error *e)
{
	if (answered == NULL)
		return cmd_ask(run, call_new(CALL_JOBS), e);
	if (answered->error.code != SHOAL_OK)
		return failed(answered, e);
	run->result = value_list();
	for (size_t i = 0; i < answered->n; i++)
		if (job_wanted(&answered->jobs[i], &run->argv[0], kind))
			value_add(&run->result, value_job(answered->jobs[i].id));
	return SHOAL_OK;
}

static enum shoal_err run_show_downloads(struct cmd_run *run, struct call *answered, struct error *e)
{
	return list_jobs(run, answered, "download", e);
}

static enum shoal_err run_jobs(struct cmd_run *run, struct call *answered, struct error *e)
{
	return list_jobs(run, answered, "all", e);
}

static enum shoal_err run_job(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered == NULL)
		return ask_job(run, CALL_JOB, run->argv[0].job, e);
	if (answered->error.code != SHOAL_OK)
		return failed(answered, e);
	run->result = value_job(run->argv[0].job);
	return SHOAL_OK;
}

/* -- waiting for several: all are asked at once */

static enum shoal_err ask_all(struct cmd_run *run, struct error *e)
{
	const struct value *jobs = &run->argv[0];
	enum shoal_err rc = SHOAL_OK;
	set_deadline(run, 1);
	run->scratch = value_list(); /* the ones that failed */
	run->result = value_list();
	for (size_t i = 0; i < jobs->table.n; i++)
		value_add(&run->result, (struct value){ 0 });
	for (size_t i = 0; i < jobs->table.n && rc == SHOAL_OK; i++)
		rc = ask_job(run, CALL_JOB_WAIT, jobs->table.items[i].job, e);
	return rc;
}

static size_t place_of(const struct value *jobs, uint64_t id, const struct value *results)
{
	size_t i = 0;
	while (i < jobs->table.n && (jobs->table.items[i].job != id || results->table.items[i].type != VALUE_NIL))
		i++;
	return i;
}

static enum shoal_err run_wait_all(struct cmd_run *run, struct call *answered, struct error *e)
{
	struct value result = { 0 };
	struct error why = { 0 };
	if (answered == NULL)
		return ask_all(run, e);
	if (run->result.failed)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	bool known = answered->error.code == SHOAL_OK && answered->n == 1;
	enum shoal_err rc = known ? outcome(&answered->jobs[0], &result, &why) : failed(answered, &why);
	size_t at = place_of(&run->argv[0], answered->job, &run->result);
	if (rc == SHOAL_OK && at < run->result.table.n)
		run->result.table.items[at] = result;
	if (rc != SHOAL_OK) {
		if (run->scratch.table.n == 0) /* the first reason is told; restored at the end */
			run->error = why;
		value_add(&run->scratch, value_job(answered->job));
	}
	if (run->outstanding != 0 || run->scratch.table.n == 0)
		return SHOAL_OK;
	size_t nfailed = run->scratch.table.n;
	error_set(e, run->error.code, "%zu of %zu jobs failed: %.400s", nfailed, run->argv[0].table.n, run->error.message);
	run->details = value_table();
	value_set(&run->details, "failed", value_take(&run->scratch));
	return e->code;
}

static enum shoal_err run_wait_any(struct cmd_run *run, struct call *answered, struct error *e)
{
	struct value result = { 0 };
	struct error why;
	if (answered == NULL) {
		if (run->argv[0].table.n == 0)
			return error_set(e, SHOAL_EUSAGE, "the list of jobs is empty");
		return ask_all(run, e);
	}
	value_free(&run->result);
	run->result = value_list();
	if (answered->error.code == SHOAL_OK && answered->n == 1)
		outcome(&answered->jobs[0], &result, &why);
	value_add(&run->result, value_job(answered->job));
	value_add(&run->result, result);
	run->finished = true;
	return SHOAL_OK;
}

static const struct cmd_opt cancel_opts[] = {
	{ "keep_part", ARG_BOOL, .help = "what has come stays, and the same command goes on with it" }, { 0 },
};
static const struct cmd_opt job_filter[] = {
	{ "kind", ARG_STRING, "download|upload|all", "which kind of job" },
	{ "group", ARG_GROUP, .help = "of that group" },
	{ "state", ARG_STRING, .help = "in that state: a text alone means the same" },
	{ 0 },
};

#define JOB_METHOD(word, text, result, sample, ...)                                                             \
	{ .name = "job_" #word, .summary = text, .gives = result, .example = sample, .since = "0.1",            \
	  .args = { { "job", ARG_JOB }, __VA_ARGS__ }, .flags = CMD_METHOD, .run = run_job_##word }

const struct cmd cmd_job_table[] = {
	{ .name = "show_downloads",
	  .spaced = "show downloads",
	  .summary = "Downloads of this client, running and over.",
	  .gives = "{job, ...}",
	  .example = "show_downloads",
	  .since = "0.1",
	  .args = { { "filter", ARG_FILTER, .optional = true, .opts = job_filter } },
	  .run = run_show_downloads },
	{ .name = "wait_all",
	  .summary = "Wait until all jobs have ended; fails if one failed.",
	  .gives = "{result, ...}",
	  .example = "wait_all{download_file(\"team\", \"a\"), download_file(\"team\", \"b\")}",
	  .since = "0.1",
	  .args = { { "jobs", ARG_JOBS }, { "seconds", ARG_SECONDS, .optional = true } },
	  .run = run_wait_all },
	{ .name = "wait_any",
	  .summary = "Wait until one of the jobs has ended; gives it and its result (nil if it failed).",
	  .gives = "job, result",
	  .example = "job, result = wait_any(shoal.jobs())",
	  .since = "0.1",
	  .args = { { "jobs", ARG_JOBS }, { "seconds", ARG_SECONDS, .optional = true } },
	  .flags = CMD_SPREAD,
	  .run = run_wait_any },
	{ .name = "jobs",
	  .summary = "All jobs, uploads too.",
	  .gives = "{job, ...}",
	  .example = "for _, job in ipairs(shoal.jobs()) do print(job.id, job.state) end",
	  .since = "0.1",
	  .args = { { "filter", ARG_FILTER, .optional = true, .opts = job_filter } },
	  .flags = CMD_MODULE,
	  .run = run_jobs },
	{ .name = "job",
	  .summary = "The job of that number.",
	  .gives = "job",
	  .example = "shoal.job(1):pause()",
	  .since = "0.1",
	  .args = { { "id", ARG_JOB } },
	  .flags = CMD_MODULE,
	  .run = run_job },
	JOB_METHOD(wait, "Wait for its end.", "{path, bytes, seconds, rate, sources, bad_pieces, resumed, twice}", "job:wait(60)",
	           { "seconds", ARG_SECONDS, .optional = true }),
	JOB_METHOD(pause, "Pause it.", "true", "job:pause()"),
	JOB_METHOD(resume, "Go on with it.", "true", "job:resume()"),
	JOB_METHOD(cancel, "Give it up; the part file is removed unless it is to be kept.", "true", "job:cancel{keep_part=true}",
	           { "opts", ARG_OPTS, .optional = true, .opts = cancel_opts }),
	JOB_METHOD(limit, "Limit its rate; 0 is no limit.", "true", "job:limit(\"5M\")", { "size", ARG_SIZE }),
	JOB_METHOD(peers, "Who gives to it, and how fast.",
	           "{{user, address, state, rate, pieces, bad_pieces, strikes}, ...}", "job:peers()"),
	JOB_METHOD(explain, "Why it is as slow as it is.", "a sentence", "print(job:explain())"),
	{ .name = "job_info",
	  .summary = "All fields of a job.",
	  .gives = "{id, kind, group, file, ...}",
	  .example = "{\"id\": 1, \"call\": \"job_info\", \"args\": [3]}",
	  .since = "0.1",
	  .args = { { "job", ARG_JOB } },
	  .flags = CMD_HIDDEN,
	  .run = run_job_info },
	{ 0 },
};
