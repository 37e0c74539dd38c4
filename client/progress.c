/* client/progress.c */
#include "client/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/format.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/name.h"
#include "core/base/units.h"

enum { STEP_PERCENT = 10, STEP_MS = 30000, REDRAW_MS = 250 };

struct shown_job {
	uint64_t id;
	unsigned percent; /* of the last line */
	uint64_t at_ms;
	struct job_info info;
	TAILQ_ENTRY(shown_job) link;
};

struct progress {
	struct shell *shell;
	enum progress_mode mode; /* AUTO: redraw */
	unsigned listener;
	bool drawn;
	uint64_t drawn_ms;
	TAILQ_HEAD(, shown_job) jobs; /* that have not ended */
};

static unsigned percent_of(const struct job_info *job)
{
	return job->total != 0 ? (unsigned)((double)job->bytes * 100 / (double)job->total) : 0;
}

void progress_clear(struct progress *p)
{
	if (p == NULL || !p->drawn)
		return;
	fputs("\r\033[K", stderr);
	p->drawn = false;
}

static void print_json(const char *word, const struct job_info *job)
{
	struct value t = value_job_info(job);
	value_set(&t, "event", value_str(word));
	value_set(&t, "t", value_number((double)clock_wall_ms() / 1000));
	struct buf b = { 0 };
	format_value(&b, &t, &(struct format_opts){ .json = true });
	if (b.data != NULL)
		fwrite(b.data, 1, b.len, stderr);
	buf_free(&b);
	value_free(&t);
}

static void print_job(struct progress *p, const char *word, const struct job_info *job)
{
	struct buf b = { 0 };
	if (p->mode == PROGRESS_JSON) {
		print_json(word, job);
		return;
	}
	if (p->mode == PROGRESS_AUTO)
		format_job(&b, job);
	else
		format_job_line(&b, job);
	if (b.data != NULL)
		fwrite(b.data, 1, b.len, stderr);
	buf_free(&b);
}

/* " 2 jobs  63%  2.2 GiB/3.6 GiB  430 MiB/s  0:03": all that run, in one line. */
static void draw(struct progress *p, uint64_t now)
{
	uint64_t bytes = 0, total = 0, rate = 0;
	unsigned n = 0;
	char done[UNITS_TEXT], all[UNITS_TEXT], speed[UNITS_TEXT + 4], left[UNITS_TEXT], name[80];
	const struct shown_job *j, *first = TAILQ_FIRST(&p->jobs);
	TAILQ_FOREACH(j, &p->jobs, link) {
		bytes += j->info.bytes;
		total += j->info.total;
		rate += j->info.rate;
		n++;
	}
	progress_clear(p);
	if (n == 0)
		return;
	if (n == 1)
		text_escape(first->info.file, strlen(first->info.file), name, 40);
	else
		snprintf(name, sizeof(name), "%u jobs", n);
	format_rate(rate, speed, sizeof(speed));
	fprintf(stderr, " %s  %u%%  %s/%s  %s  %s", name, total != 0 ? (unsigned)((double)bytes * 100 / (double)total) : 0,
	        units_bytes(bytes, done), units_bytes(total, all), speed,
	        rate != 0 ? units_time((total - bytes) / rate, left) : "-:--");
	struct buf resumed = { 0 };
	if (n == 1)
		format_resumed(&resumed, &first->info);
	fprintf(stderr, "%.*s", (int)resumed.len, resumed.data != NULL ? (const char *)resumed.data : "");
	buf_free(&resumed);
	fflush(stderr);
	p->drawn = true;
	p->drawn_ms = now;
}

static struct shown_job *job_of(struct progress *p, uint64_t id)
{
	struct shown_job *j;
	TAILQ_FOREACH(j, &p->jobs, link)
		if (j->id == id)
			return j;
	return NULL;
}

static void job_ended(struct progress *p, struct shown_job *j, const struct client_event *ev)
{
	progress_clear(p);
	print_job(p, ev->word, ev->job);
	if (j != NULL) {
		TAILQ_REMOVE(&p->jobs, j, link);
		free(j);
	}
}

static void on_event(void *arg, const struct client_event *ev)
{
	struct progress *p = arg;
	uint64_t now = clock_mono_ms();
	if (ev->type != EVENT_JOB || ev->job == NULL)
		return;
	struct shown_job *j = job_of(p, ev->job->id);
	if (job_state_final(ev->job->state)) {
		job_ended(p, j, ev);
		return;
	}
	bool begins = j == NULL;
	if (begins && (j = try_alloc(sizeof(*j))) == NULL)
		return;
	if (begins) {
		j->id = ev->job->id;
		TAILQ_INSERT_TAIL(&p->jobs, j, link);
	}
	unsigned percent = percent_of(ev->job);
	bool news = begins || strcmp(ev->word, "job.stalled") == 0 || strcmp(ev->word, "job.resumed") == 0;
	j->info = *ev->job;
	if (p->mode == PROGRESS_AUTO) {
		if (begins || now - p->drawn_ms >= REDRAW_MS)
			draw(p, now);
	} else if (news || percent >= j->percent + STEP_PERCENT || now - j->at_ms >= STEP_MS) {
		print_job(p, ev->word, ev->job);
		j->percent = percent / STEP_PERCENT * STEP_PERCENT;
		j->at_ms = now;
	}
}

struct progress *progress_new(struct shell *sh, enum progress_mode mode, bool terminal)
{
	if (mode == PROGRESS_NONE)
		return NULL;
	struct progress *p = xalloc(sizeof(*p));
	p->shell = sh;
	p->mode = mode == PROGRESS_AUTO && !terminal ? PROGRESS_LINE : mode;
	TAILQ_INIT(&p->jobs);
	p->listener = shell_listen(sh, on_event, p);
	return p;
}

void progress_free(struct progress *p)
{
	struct shown_job *j;
	if (p == NULL)
		return;
	progress_clear(p);
	shell_drop(p->shell, p->listener);
	while ((j = TAILQ_FIRST(&p->jobs)) != NULL) {
		TAILQ_REMOVE(&p->jobs, j, link);
		free(j);
	}
	free(p);
}
