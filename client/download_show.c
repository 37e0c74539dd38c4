/* client/download_show.c - what people see of a download, and what time brings. */
#include <string.h>

#include "client/download.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/units.h"

enum {
	FIRST_SEEDER_MS = 30000, /* how long a download waits for the first one, if nobody says otherwise */
	STILL_MS = 3000,         /* no piece for so long: why? */
	OBSTACLE_TEXT = 160,
};

void download_look(struct job *j)
{
	struct download *dl = download_of(j);
	struct swarm_stats s;

	j->info.peers = dl->nchannels;
	if (dl->swarm == NULL || dl->st == NULL)
		return;
	swarm_stats(dl->swarm, clock_mono_us(), &s);
	j->info.pieces = s.have;
	j->info.twice = s.wasted;
}

/* -- time */

static bool link_is_up(struct transfers *t)
{
	struct link_status s;

	link_status(t->config.link, &s);
	return s.up && t->logged_in;
}

/* Why that peer gives nothing although the tracker names it; false: nothing is known against it. */
static bool obstacle(const struct download *dl, const struct source *src, char out[OBSTACLE_TEXT])
{
	uint64_t until_us = 0, now_us = clock_mono_us();
	enum swarm_reason banned = swarm_banned(dl->swarm, &src->identity, now_us, &until_us);
	char time[UNITS_TEXT];

	if (src->channel != NULL || (banned == SWARM_FINE && src->last == NULL))
		return false;
	if (banned != SWARM_FINE)
		snprintf(out, OBSTACLE_TEXT, "%s, and is not asked again for %s", swarm_reason_text(banned),
		         units_time((until_us - now_us) / 1000000 + 1, time));
	else
		snprintf(out, OBSTACLE_TEXT, "%s", src->last);
	return true;
}

/* Nobody has it, or those who have it are of no use: the first of them is named. */
static void stall_for_lack_of_seeders(struct download *dl)
{
	char why[OBSTACLE_TEXT], address[ADDRESS_MAX], text[ERROR_TEXT_MAX];
	const struct source *src;

	TAILQ_FOREACH(src, &dl->sources, entry) {
		if (!obstacle(dl, src, why))
			continue;
		snprintf(text, sizeof(text), "nobody who is online gives what is missing; %s (%s): %s", src->user,
		         address_format(&src->addr, address), why);
		job_stall(&dl->job, SHOAL_ENOSEEDER, text);
		return;
	}
	job_stall(&dl->job, SHOAL_ENOSEEDER, "nobody who is online has what is missing");
}

/* Nothing has come for some time: says why, so that it can be shown and waited for. */
static void see_why_still(struct download *dl)
{
	struct swarm_stats s;

	swarm_stats(dl->swarm, clock_mono_us(), &s);
	if (dl->nchannels == 0 && !link_is_up(dl->job.t))
		job_stall(&dl->job, SHOAL_EOFFLINE, "no tracker can be reached, and no peer is connected");
	else if (s.stall == SWARM_NO_PEERS || s.stall == SWARM_NO_HOLDER)
		stall_for_lack_of_seeders(dl);
	else if (s.stall == SWARM_ALL_SNUBBED || s.stall == SWARM_ALL_REFUSE)
		job_stall(&dl->job, SHOAL_ESTALLED, swarm_stall_text(s.stall));
}

static void check_time(struct download *dl)
{
	struct job *j = &dl->job;
	uint64_t since = (clock_mono_us() - j->started_us) / 1000, patience = j->opts.wait_for_seeder_ms;
	struct error e = { 0 };
	bool nobody = j->info.state == JOB_STATE_STALLED && j->info.error.code == SHOAL_ENOSEEDER;

	if (patience == 0)
		patience = FIRST_SEEDER_MS;
	if (j->opts.timeout_ms > 0 && since > j->opts.timeout_ms)
		error_set(&e, nobody ? SHOAL_ENOSEEDER : SHOAL_ETIMEOUT, "'%s' did not arrive within %u ms%s%s", j->info.file,
		          j->opts.timeout_ms, j->info.error.code != SHOAL_OK ? ": " : "",
		          j->info.error.code != SHOAL_OK ? j->info.error.message : "");
	else if (nobody && !dl->met && since > patience)
		error_set(&e, SHOAL_ENOSEEDER, "nobody who is online has '%s'", j->info.file);
	if (e.code != SHOAL_OK)
		download_fail(dl, &e);
}

static void retry_disk(struct download *dl, uint64_t now_ms)
{
	if (!dl->disk_full || now_ms < dl->disk_retry_ms || dl->tasks > 0)
		return;
	if (dl->phase == PHASE_RUN) { /* full until a piece has found room */
		dl->disk_retry_ms = now_ms + DISK_RETRY_MS;
		download_limit_try(dl);
		return;
	}
	dl->disk_full = false;
	dl->disk_retry_ms = 0;
	if (dl->phase == PHASE_OPEN)
		download_open(dl);
	else if (dl->phase == PHASE_COPY)
		download_own_step(dl);
	else if (dl->phase == PHASE_FINISH)
		download_finish(dl);
}

void download_tick(struct job *j, uint64_t now_ms)
{
	struct download *dl = download_of(j);

	if (dl->phase == PHASE_CLOSE || dl->phase == PHASE_OVER)
		return;
	retry_disk(dl, now_ms);
	if (dl->paused)
		return;
	if ((dl->phase == PHASE_RUN || dl->phase == PHASE_FIND) && now_ms >= dl->ask_at_ms && dl->job.t->logged_in)
		download_ask_tracker(dl);
	if (dl->phase == PHASE_COPY)
		download_own_step(dl);
	if (dl->phase == PHASE_RUN) {
		download_connect(dl, now_ms);
		download_kick_disk(dl);
		if (!dl->disk_full && now_ms > dl->moved_ms + STILL_MS)
			see_why_still(dl);
		else if (!dl->disk_full && j->info.state == JOB_STATE_STALLED && dl->nchannels > 0)
			job_set_state(j, JOB_STATE_DOWNLOADING);
	}
	if (dl->phase <= PHASE_RUN)
		check_time(dl);
}

/* -- job:peers() */

static const char *source_state(const struct download *dl, const struct source *src, struct job_peer *out)
{
	struct swarm_peer_stats s;

	if (dl->swarm != NULL && src->channel == NULL && swarm_banned(dl->swarm, &src->identity, clock_mono_us(), NULL) != SWARM_FINE)
		return "dropped";
	if (src->channel == NULL)
		return src->trying ? "connecting" : src->last != NULL ? "unreachable" : "known";
	if (dl->swarm == NULL || src->channel->source == NULL)
		return "handshake";
	swarm_peer_stats(dl->swarm, src->channel->source, clock_mono_us(), &s);
	out->rate = s.rate;
	out->strikes = s.strikes;
	return s.state;
}

void download_peers(struct job *j, struct call *c)
{
	struct download *dl = download_of(j);
	struct source *src;

	c->peers = dl->nsources == 0 ? NULL : try_alloc(dl->nsources * sizeof(*c->peers));
	if (c->peers == NULL)
		return; /* an empty list; without memory, too */
	TAILQ_FOREACH(src, &dl->sources, entry) {
		struct job_peer *p = &c->peers[c->n++];
		address_format(&src->addr, p->address);
		memcpy(p->user, src->user, sizeof(p->user));
		snprintf(p->state, sizeof(p->state), "%s", source_state(dl, src, p));
		p->pieces = src->pieces;
		p->bad_pieces = src->bad_pieces;
	}
}

/* -- job:explain() */

static void explain_sources(const struct download *dl, struct buf *b)
{
	const struct source *src;
	char text[ADDRESS_MAX], why[OBSTACLE_TEXT];
	struct job_peer p;

	TAILQ_FOREACH(src, &dl->sources, entry) {
		p = (struct job_peer){ 0 };
		buf_printf(b, "\n  %s (%s): %s", address_format(&src->addr, text), src->user, source_state(dl, src, &p));
		if (obstacle(dl, src, why))
			buf_printf(b, ": %s", why);
		buf_printf(b, ", %u pieces, %u bad", src->pieces, src->bad_pieces);
	}
}

/* Near enough to a limit that nothing else can be what holds it back. */
static bool at_limit(uint64_t rate, uint64_t limit)
{
	return limit != 0 && rate >= limit - limit / 4;
}

/* How many requests of others wait at those who give us something. */
static unsigned count_waiting(const struct download *dl)
{
	const struct source *src;
	struct swarm_peer_stats s;
	unsigned n = 0;

	TAILQ_FOREACH(src, &dl->sources, entry)
		if (src->channel != NULL && src->channel->source != NULL) {
			swarm_peer_stats(dl->swarm, src->channel->source, clock_mono_us(), &s);
			n += s.waiting;
		}
	return n;
}

/* What holds it back just now. */
static void explain_brake(const struct download *dl, const struct swarm_stats *s, struct buf *b)
{
	uint64_t all = peer_rate_get(&dl->job.t->down_rate);
	unsigned waiting = count_waiting(dl);
	char text[UNITS_TEXT];

	if (dl->paused)
		buf_printf(b, "until it is resumed nothing is asked for");
	else if (dl->disk_full)
		buf_printf(b, "nothing is asked for until there is room on the disk");
	else if (dl->rate_limit != 0 && (at_limit(s->rate, dl->rate_limit) || s->stall == SWARM_WAITING))
		buf_printf(b, "held back by its limit of %s/s", units_bytes(dl->rate_limit, text));
	else if (at_limit(s->rate, all) || (all != 0 && s->peers > 0 && s->snubbed + s->refused + s->slow == 0))
		buf_printf(b, "held back by the limit of %s/s for all downloads", units_bytes(all, text));
	else if (s->stall == SWARM_MOVING && s->slow > 0 && s->slow + s->snubbed + s->refused == s->peers)
		buf_printf(b, "every peer that is connected is slow: it sends a few bytes at a time");
	else if (s->stall == SWARM_MOVING && waiting > 0)
		buf_printf(b, "pieces arrive; those who give them serve others, too: %u requests wait there", waiting);
	else
		buf_printf(b, "%s", swarm_stall_text(s->stall));
}

static void explain_run(const struct download *dl, struct buf *b)
{
	struct swarm_stats s;
	char rate[UNITS_TEXT];

	swarm_stats(dl->swarm, clock_mono_us(), &s);
	buf_printf(b, "%u of %u pieces, %u asked for; %u peers connected, %u of them complete, %u silent, %u refusing, %u slow; %s/s; ",
	           s.have, s.npieces, s.asked, s.peers, s.seeders, s.snubbed, s.refused, s.slow, units_bytes(s.rate, rate));
	if (s.unavailable > 0)
		buf_printf(b, "%u pieces are with nobody who is connected; ", s.unavailable);
	explain_brake(dl, &s, b);
	explain_sources(dl, b);
}

void download_explain(struct job *j, struct buf *b)
{
	struct download *dl = download_of(j);
	uint32_t have, of;

	buf_printf(b, "%s: ", job_state_word(j->info.state));
	if (dl->paused)
		buf_printf(b, "by the user; ");
	if (j->info.error.code != SHOAL_OK)
		buf_printf(b, "%s; ", j->info.error.message);
	switch (dl->phase) {
	case PHASE_FIND: buf_printf(b, "asking the tracker who has it"); break;
	case PHASE_META:
		have = dl->fetch != NULL ? meta_fetch_have(dl->fetch, &of) : 0;
		buf_printf(b, "fetching piece hashes, %u parts are there", have);
		break;
	case PHASE_OPEN: buf_printf(b, "opening '%s'", dl->dest); break;
	case PHASE_COPY: buf_printf(b, "copying what this device shares already, %u pieces", j->info.pieces); break;
	case PHASE_RUN: explain_run(dl, b); break;
	case PHASE_DRAIN:
	case PHASE_FINISH: buf_printf(b, "every piece is there; the whole file is being verified and flushed"); break;
	case PHASE_TELL: buf_printf(b, "'%s' is complete; telling the tracker", j->info.path); break;
	case PHASE_KEEP: buf_printf(b, "'%s' is complete; writing it into the list of shares", j->info.path); break;
	case PHASE_CLOSE: buf_printf(b, "ending"); break;
	case PHASE_OVER: buf_printf(b, "%s", j->info.path); break;
	}
}
