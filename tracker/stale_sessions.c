/* tracker/stale_sessions.c - open sessions that nobody has used for days.
 *
 * Nobody closes the session of a machine that was switched off. Its token is worth nothing after a day, but the row would
 * stay for ever. So time is cut into periods of twelve hours; who was online in which period is remembered, and at the end
 * of each a row that was not seen for four whole ones is closed, a few at a time. A tracker that has not itself run that
 * long closes none: the leases that it did not see may have been there. */
#include "core/base/mem.h"
#include "core/registry/user_manager.h"
#include "tracker/core.h"

enum {
	PERIOD_MS = 12 * 3600 * 1000,
	PERIODS = 4,         /* that many whole ones without a lease: 48 h */
	LOOK_AT_ONCE = 2000, /* rows, of any table, a sweep */
	CLOSE_AT_ONCE = 100,
};

struct seen {
	struct dot dot;
	uint32_t period;
	UT_hash_handle hh;
};

struct stale_sessions {
	struct seen *seen;
	uint32_t period;         /* the one that is now; the first is 1 */
	uint64_t ends_ms;
	struct registry_cut *cut; /* being looked through */
	size_t at;
};

struct stale_sessions *stale_sessions_new(uint64_t now_ms, uint64_t random)
{
	struct stale_sessions *st = try_alloc(sizeof(*st));

	if (st == NULL)
		return NULL;
	st->period = 1;
	/* trackers that were started together do not close together: who is first spares the others the work */
	st->ends_ms = now_ms + PERIOD_MS + random % PERIOD_MS;
	return st;
}

/* Without memory nobody is remembered, and none is closed until that is four periods ago. */
static void forget_all(struct stale_sessions *st)
{
	struct seen *s, *next;

	HASH_ITER(hh, st->seen, s, next) {
		HASH_DEL(st->seen, s);
		free(s);
	}
	st->period = 1;
	registry_cut_free(st->cut);
	st->cut = NULL;
}

void stale_sessions_free(struct stale_sessions *st)
{
	if (st == NULL)
		return;
	forget_all(st);
	free(st);
}

static struct seen *find(const struct stale_sessions *st, struct dot dot)
{
	struct seen *s;
	HASH_FIND(hh, st->seen, &dot, sizeof(dot), s);
	return s;
}

void stale_sessions_seen(struct stale_sessions *st, struct dot dot)
{
	struct seen *s = find(st, dot);

	if (s == NULL) {
		s = try_alloc(sizeof(*s));
		if (s != NULL) {
			s->dot = dot;
			HASH_ADD(hh, st->seen, dot, sizeof(s->dot), s);
		}
		if (s == NULL || s->hh.tbl == NULL) {
			free(s);
			forget_all(st);
			return;
		}
	}
	s->period = st->period;
}

static void see_online(void *arg, const struct online *o)
{
	stale_sessions_seen(arg, o->dot);
}

static void begin_period(struct tracker *t, struct stale_sessions *st, uint64_t now_ms)
{
	struct seen *s, *next;

	st->period++;
	st->ends_ms = now_ms + PERIOD_MS;
	presence_each(t->presence, see_online, st);
	HASH_ITER(hh, st->seen, s, next) {
		if (s->period + PERIODS >= st->period)
			continue;
		HASH_DEL(st->seen, s);
		free(s);
	}
	if (st->period <= PERIODS || registry_count(t->reg, TABLE_SESS) <= presence_count(t->presence))
		return;
	registry_cut_free(st->cut);
	st->cut = registry_cut_new(t->reg); /* NULL: next time */
	st->at = 0;
}

/* False: not now. */
static bool close_one(struct tracker *t, const struct row *row)
{
	struct stale_sessions *st = t->stale;
	struct sess_row s;
	struct op op;

	sess_row_read(row, &s);
	const struct sess_row *now = registry_sess(t->reg, &s.key.uid, s.key.dot);
	if (now == NULL || now->phase != PHASE_OPEN || find(st, s.key.dot) != NULL ||
	    presence_by_dot(t->presence, s.key.dot) != NULL)
		return true;
	/* a login of a moment ago may not have its lease yet */
	if (stamp_wall_ms(&now->since) + (uint64_t)PERIODS * PERIOD_MS > tracker_wall(t))
		return true;
	op_begin(t->reg, OP_END_SESSION, NULL, tracker_wall(t), &op);
	if (user_expire_session(t->reg, &op, &s.key.uid, s.key.dot, NULL) != SHOAL_OK) {
		op_fini(&op);
		return true;
	}
	return commit_op(t->commit, &op, NULL, NULL) == SHOAL_OK;
}

uint64_t stale_sessions_due(const struct stale_sessions *st)
{
	return st->cut != NULL ? 0 : st->ends_ms;
}

void stale_sessions_sweep(struct tracker *t, uint64_t now_ms)
{
	struct stale_sessions *st = t->stale;
	unsigned closed = 0;

	if (now_ms >= st->ends_ms)
		begin_period(t, st, now_ms);
	if (st->cut == NULL || sync_check_writable(t->sync, NULL) != SHOAL_OK)
		return;
	for (int i = 0; i < LOOK_AT_ONCE && st->at < st->cut->n && closed < CLOSE_AT_ONCE; i++) {
		if (st->cut->rows[st->at]->table == TABLE_SESS) {
			uint64_t made = registry_made(t->reg);
			if (!close_one(t, st->cut->rows[st->at]))
				return;
			closed += registry_made(t->reg) != made;
		}
		st->at++;
	}
	if (st->at == st->cut->n) {
		registry_cut_free(st->cut);
		st->cut = NULL;
	}
}
