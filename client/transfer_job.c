/* client/transfer_job.c - jobs: numbers, places, states, rates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/transfer_impl.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

#define RATE_TAU_US 5e6

struct job *job_find(struct transfers *t, uint64_t id)
{
	struct job *j;

	LIST_FOREACH(j, &t->job_table[id % TABLE_SIZE], in_table)
		if (j->info.id == id)
			return j;
	return NULL;
}

/* -- rate */

void job_count(struct job *j, uint64_t bytes)
{
	uint64_t now = clock_mono_us();

	if (j->rate_us == 0) { /* what was there at the start does not count */
		j->rate_us = now;
		j->rate_bytes = bytes;
	}
	j->info.bytes = bytes;
}

/* Exponential mean with a time constant of 5 s; `weight` is how much of it stands on something, so that the first
 * seconds do not look slow. */
static void reckon_rate(struct job *j)
{
	uint64_t now = clock_mono_us();

	if (j->rate_us == 0 || now <= j->rate_us)
		return;
	double dt = (double)(now - j->rate_us), fade = exp(-dt / RATE_TAU_US);
	uint64_t more = j->info.bytes > j->rate_bytes ? j->info.bytes - j->rate_bytes : 0;
	j->rate = j->rate * fade + (1 - fade) * ((double)more * 1e6 / dt);
	j->weight = j->weight * fade + (1 - fade);
	j->rate_us = now;
	j->rate_bytes = j->info.bytes;
	j->info.rate = j->weight > 0 ? (uint64_t)(j->rate / j->weight) : 0;
	uint64_t left = j->info.total > j->info.bytes ? j->info.total - j->info.bytes : 0;
	j->info.eta = left == 0 ? 0 : j->info.rate == 0 ? -1 : (int64_t)(left / j->info.rate) + 1;
}

static void look(struct job *j)
{
	if (j->started && !job_state_final(j->info.state))
		j->info.took_ms = (clock_mono_us() - j->started_us) / 1000;
	if (j->ops->look != NULL)
		j->ops->look(j);
}

/* -- states */

void job_emit(struct job *j, const char *word)
{
	struct transfers *t = j->t;

	look(j);
	j->told_bytes = j->info.bytes;
	if (!t->stopping && t->config.job_event != NULL)
		t->config.job_event(t->config.owner, word, &j->info);
}

void job_set_state(struct job *j, enum job_state state)
{
	enum job_state old = j->info.state;

	if (old == state)
		return;
	j->info.state = state;
	if (state == JOB_STATE_PAUSED)
		job_emit(j, "job.paused");
	else if (old == JOB_STATE_PAUSED || old == JOB_STATE_STALLED) {
		j->info.error = (struct error){ 0 };
		job_emit(j, "job.resumed");
	}
}

void job_stall(struct job *j, enum shoal_err code, const char *why)
{
	if (j->held || (j->info.state == JOB_STATE_STALLED && j->info.error.code == code))
		return;
	j->info.state = JOB_STATE_STALLED;
	error_set(&j->info.error, code, "%s", why);
	job_emit(j, "job.stalled");
}

static void give_place(struct job *j)
{
	if (!j->active)
		return;
	j->active = false;
	j->t->nactive--;
	jobs_start_waiting(j->t);
}

/* The oldest of those that have ended are forgotten. */
static void forget_old(struct transfers *t)
{
	struct job *j, *next;

	for (j = TAILQ_FIRST(&t->jobs); j != NULL && t->nended > ENDED_KEPT; j = next) {
		next = TAILQ_NEXT(j, entry);
		if (!job_state_final(j->info.state))
			continue;
		TAILQ_REMOVE(&t->jobs, j, entry);
		LIST_REMOVE(j, in_table);
		t->nended--;
		j->ops->free(j);
	}
}

void job_end(struct job *j, enum job_state state, const struct error *e)
{
	struct transfers *t = j->t;

	if (job_state_final(j->info.state))
		return;
	look(j);
	j->info.state = state;
	j->info.eta = 0;
	j->info.error = e != NULL ? *e : (struct error){ 0 };
	if (state == JOB_STATE_CANCELLED)
		error_set(&j->info.error, SHOAL_ECANCELLED, "cancelled");
	if (state == JOB_STATE_DONE && j->info.took_ms > 0 && j->info.rate == 0)
		j->info.rate = j->info.bytes * 1000 / j->info.took_ms;
	log_line(t->log, state == JOB_STATE_FAILED ? LOG_WARN : LOG_INFO, "job", "%llu %s %s%s%s",
	         (unsigned long long)j->info.id, j->info.file, job_state_word(state), e != NULL ? ": " : "",
	         e != NULL ? e->message : "");
	t->nended++;
	if (j->started)
		TAILQ_REMOVE(&t->running, j, live);
	else
		TAILQ_REMOVE(&t->waiting, j, live);
	job_emit(j, state == JOB_STATE_DONE ? "job.done" : state == JOB_STATE_FAILED ? "job.failed" : "job.cancelled");
	give_place(j);
	if (!t->stopping)
		loop_timer_set_ms(t->run_timer, 0); /* forget_old() when nobody has it in his hands */
}

/* -- places */

static void start(struct job *j)
{
	TAILQ_REMOVE(&j->t->waiting, j, live);
	TAILQ_INSERT_TAIL(&j->t->running, j, live);
	j->started = true;
	j->started_us = clock_mono_us();
	j->info.started_ms = clock_wall_ms();
	j->info.state = JOB_STATE_STARTING;
	job_emit(j, "job.started");
	j->ops->start(j);
}

void jobs_start_waiting(struct transfers *t)
{
	unsigned most = t->config.client->max_active != 0 ? t->config.client->max_active : DEFAULT_ACTIVE;

	if (t->nactive < most && !t->stopping)
		loop_timer_set_ms(t->run_timer, 0);
}

/* The oldest that waits for a place: never started, or resumed. */
static struct job *next_to_start(struct transfers *t)
{
	struct job *j, *oldest = NULL;

	TAILQ_FOREACH(j, &t->running, live)
		if (j->info.state == JOB_STATE_QUEUED && !j->active && (oldest == NULL || j->info.id < oldest->info.id))
			oldest = j;
	TAILQ_FOREACH(j, &t->waiting, live)
		if (j->info.state == JOB_STATE_QUEUED)
			return oldest == NULL || j->info.id < oldest->info.id ? j : oldest;
	return oldest;
}

static void start_some(struct transfers *t)
{
	unsigned most = t->config.client->max_active != 0 ? t->config.client->max_active : DEFAULT_ACTIVE;
	struct job *j;

	while (t->nactive < most && (j = next_to_start(t)) != NULL) {
		j->active = true;
		t->nactive++;
		if (j->started)
			j->ops->resume(j);
		else
			start(j);
	}
}

/* -- paused by the user */

void job_pause(struct job *j)
{
	if (j->held)
		return;
	j->ops->pause(j);
	j->held = j->info.state == JOB_STATE_PAUSED;
	if (j->held)
		give_place(j);
}

void job_resume(struct job *j)
{
	if (!j->held)
		return;
	j->held = false;
	if (j->info.state == JOB_STATE_PAUSED) /* else nothing was missing any more, and it went on */
		job_set_state(j, JOB_STATE_QUEUED);
	jobs_start_waiting(j->t);
}

uint64_t job_add(struct transfers *t, struct job *j)
{
	j->t = t;
	j->info.id = ++t->next_job;
	j->info.eta = -1;
	j->info.state = JOB_STATE_QUEUED;
	TAILQ_INSERT_TAIL(&t->jobs, j, entry);
	TAILQ_INSERT_TAIL(&t->waiting, j, live);
	LIST_INSERT_HEAD(&t->job_table[j->info.id % TABLE_SIZE], j, in_table);
	job_emit(j, "job.queued");
	jobs_start_waiting(t);
	return j->info.id;
}

void jobs_turn(struct transfers *t)
{
	forget_old(t);
	start_some(t);
}

void jobs_tick(struct transfers *t, uint64_t now_ms)
{
	struct job *j, *next;

	for (j = TAILQ_FIRST(&t->running); j != NULL; j = next) { /* it may end, no other */
		next = TAILQ_NEXT(j, live);
		reckon_rate(j);
		if (j->ops->tick != NULL)
			j->ops->tick(j, now_ms);
		if (!job_state_final(j->info.state) && j->info.bytes != j->told_bytes)
			job_emit(j, "job.progress");
	}
}

void jobs_free(struct transfers *t)
{
	struct job *j;

	while ((j = TAILQ_FIRST(&t->jobs)) != NULL) {
		TAILQ_REMOVE(&t->jobs, j, entry);
		j->ops->free(j);
	}
}
