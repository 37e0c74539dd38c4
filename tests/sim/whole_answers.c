/* tests/sim/whole_answers.c - what clients of the full simulation are told about other trackers, and when. */
#include "tests/sim/promises.h"
#include "tests/sim/whole.h"

#define SETTLED_MS 5000 /* that long after it has moved a client's answers may wait for other trackers */
#define DIAL_AGAIN_MS 3000
#define TIMES_ENOUGH 100
#define QUICK_MS 500 /* some ways of 20 ms, some flushes of 30 ms, a password */

/* Right after an answer that others have it too, the tracker that made it is killed; its disk as well, if that is the
 * only thing that could be lost with it. */
static void kill_sworn(void *arg)
{
	struct run *r = arg;
	struct site *s = &r->sites[r->sworn.tracker - 1];

	r->killing = false;
	if (!site_up(s) || r->healed)
		return;
	SAY(r, "crash of %u, whose answer has just said that others have it", s->id);
	site_crash(s);
	r->sums->met[SOMETIMES_killed_when_synced]++;
	if (!promise_has_copies(s, r->sworn.dot))
		return;
	SAY(r, "and its disk is lost");
	site_lose_disk(s);
	r->disk_lost_at = sim_now(r->sim);
	r->sums->met[SOMETIMES_disk_lost_when_synced]++;
}

static void check_synced(struct run *r, const struct user *u, const struct link_reply *reply)
{
	struct synced_reply s = { .min_sync = r->min_sync, .took_ms = sim_now(r->sim) - u->given, .stamp = &reply->stamp,
		                  .synced = reply->synced };

	if (r->disk_lost_at != 0 && sim_now(r->sim) < r->disk_lost_at + DIAL_AGAIN_MS)
		return; /* it may have been one of those that had it */
	promise_synced(r->sites, TRACKERS, &s, r->verdict);
	bool met = r->min_sync != 0 && reply->synced >= (int)r->min_sync;
	r->sums->met[SOMETIMES_synced] += met;
	r->sums->met[SOMETIMES_synced_too_late] += r->min_sync != 0 && !met;
	if (met && !r->killing && sim_percent(r->sim, 10)) {
		r->sworn = reply->stamp;
		r->killing = true;
		sim_at(r->sim, sim_now(r->sim), kill_sworn, r);
	}
}

/* True: a tracker is alone, or down. */
bool whole_note_trouble(struct run *r)
{
	bool trouble = r->parted;
	for (unsigned i = 0; i < TRACKERS; i++)
		trouble |= !site_up(&r->sites[i]);
	if (trouble)
		r->trouble_at = sim_now(r->sim);
	return trouble;
}

/* Only what was given on a link that had been up for a while and stayed so, between partitions: who moves to another
 * tracker waits until that has what he has done (docs/sync.md). */
static void note_time(struct run *r, const struct user *u)
{
	bool trouble = whole_note_trouble(r);
	struct times *t = trouble ? &r->sums->trouble : &r->sums->calm;
	uint64_t now = sim_now(r->sim), took = now - u->given;

	if (r->min_sync != 0 || !r->quick || u->losses != u->given_losses || u->given < u->moved_at + SETTLED_MS ||
	    u->given < r->parted_at || u->given < r->cut_off_at[u->number] || r->cut_off[u->number])
		return; /* between a client and its tracker anything may take time */
	if (!trouble && now < r->trouble_at + SETTLED_MS)
		return;
	t->at[took < TIMES_MAX ? took : TIMES_MAX - 1]++;
	t->n++;
}

void whole_on_answered(void *owner, const struct user *u, const struct link_reply *reply)
{
	struct run *r = owner;

	if (reply->code != SHOAL_OK)
		return;
	if (!stamp_is_zero(&reply->stamp))
		check_synced(r, u, reply);
	note_time(r, u);
}

/* Under which 99 of 100 are. */
uint64_t whole_p99(const struct times *t)
{
	uint64_t seen = 0, ms = 0;
	while (ms < TIMES_MAX - 1 && (seen += t->at[ms]) * 100 < t->n * 99)
		ms++;
	return ms;
}

static void judge_times(const struct times *t, const char *when, uint64_t most, struct verdict *v)
{
	if (t->n >= TIMES_ENOUGH && whole_p99(t) > most)
		verdict_fail(v, "reply", "99 of 100 answers came within %" PRIu64 " ms %s: %" PRIu64 " at most", whole_p99(t), when,
		             most);
}

/* No answer depends on another tracker. */
void whole_judge(void *whole, struct verdict *v)
{
	const struct whole *w = whole;

	judge_times(&w->calm, "while all was well", QUICK_MS, v);
	judge_times(&w->trouble, "while a tracker was alone or down", QUICK_MS, v);
	if (w->calm.n >= TIMES_ENOUGH)
		judge_times(&w->trouble, "while a tracker was alone or down", 2 * whole_p99(&w->calm), v);
}
