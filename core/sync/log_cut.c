/* core/sync/log_cut.c - the stored log does not grow for ever.
 *
 * A record may go when it is over an hour old (request ids are found again in the log at a restart) and every tracker of
 * the list has acknowledged it. When the log is too large or its records too old, it may go although some are down, if
 * at least one other has it: never one that only we have. Who comes back after that gets a snapshot. */
#include "core/sync/sync_state.h"

#include "core/base/planted.h"

/* What was durable a while ago: kept[0] is older than SYNC_KEEP_LOG_MS, or empty. */
static void remember_vector(struct sync *s)
{
	if (s->now < s->kept[1].at + SYNC_KEEP_LOG_MS)
		return;
	vvec_fini(&s->kept[0].vector);
	s->kept[0] = s->kept[1];
	s->kept[1].vector = (struct vvec){ 0 };
	s->kept[1].at = s->now;
	(void)vvec_copy(&s->kept[1].vector, registry_durable_vector(s->config.registry)); /* empty: nothing is cut */
}

/* How far the log is known elsewhere: by all of the list, or by at least one. With nobody in the list nobody waits for it. */
static uint64_t known_elsewhere(const struct sync *s, uint64_t log, uint64_t most, bool by_all)
{
	const struct sync_tracker *p;
	uint64_t seq = by_all || LIST_EMPTY(&s->peers) ? most : 0;

	if (PLANTED(cut_alone))
		return most;

	LIST_FOREACH(p, &s->peers, next) {
		uint64_t has = vvec_get(&p->acked, log);
		if (has > most)
			has = most;
		if (by_all ? has < seq : has > seq)
			seq = has;
	}
	return seq;
}

/* What may go; false: nothing, or no memory. */
static bool may_go(const struct sync *s, bool by_all, struct vvec *out)
{
	const struct vvec *old = PLANTED(cut_young) ? registry_durable_vector(s->config.registry) : &s->kept[0].vector;
	const struct vvec *floor = commit_floor(s->config.commit);

	for (size_t i = 0; i < old->n; i++) {
		uint64_t log = old->entries[i].log;
		uint64_t seq = known_elsewhere(s, log, old->entries[i].seq, by_all);
		if (seq > vvec_get(floor, log) && vvec_raise(out, log, seq) != SHOAL_OK)
			return false;
	}
	return out->n != 0;
}

/* Takes op->vector out of the log. The floor rises first: from now on nobody below it is served from the log. */
static void cut(struct sync *s, struct content_op *op)
{
	commit_raise_floor(s->config.commit, &op->vector);
	s->cutting = sync_ask(s, &(struct ask){ .kind = ASK_CUT }, op);
}

static bool cut_what_all_have(struct sync *s)
{
	struct content_op *op = content_op_new(CONTENT_LOG_CUT);
	if (op != NULL && may_go(s, true, &op->vector)) {
		cut(s, op);
		return true;
	}
	content_op_free(op);
	return false;
}

/* Asks the store what is too much or too old of what at least one other has. */
static void plan(struct sync *s)
{
	struct content_op *op = content_op_new(CONTENT_LOG_PLAN);
	uint64_t wall = s->env->wall_ms(s->env->ctx);

	if (op == NULL || !may_go(s, false, &op->vector)) {
		content_op_free(op);
		return;
	}
	s->plan_at = s->now + SYNC_PLAN_MS;
	op->limit = s->config.log_bytes;
	op->after = (wall > SYNC_LOG_AGE_MS ? wall - SYNC_LOG_AGE_MS : 0) << 16; /* a hybrid time */
	s->cutting = sync_ask(s, &(struct ask){ .kind = ASK_PLAN }, op);
}

uint64_t sync_log_tick(struct sync *s)
{
	if (s->now < s->cut_at)
		return s->cut_at;
	s->cut_at = s->now + SYNC_CUT_MS;
	remember_vector(s);
	if (!s->cutting && !cut_what_all_have(s) && s->now >= s->plan_at)
		plan(s);
	return s->cut_at;
}

/* A log of which the store says more than we allowed is not cut: kept[] and ACKs only grow, so this is a precaution
 * against a list of trackers that has changed meanwhile. */
void sync_log_on_plan(struct sync *s, const struct content_op *plan_op, enum shoal_err rc)
{
	struct vvec may = { 0 };
	struct content_op *op = content_op_new(CONTENT_LOG_CUT);

	s->cutting = false;
	if (rc != SHOAL_OK)
		log_line(s->env->log, LOG_WARN, "sync", "the log could not be looked through: %s", error_default(rc));
	if (rc == SHOAL_OK && op != NULL && plan_op->vector.n != 0 && may_go(s, false, &may) &&
	    vvec_covers_all(&may, &plan_op->vector) && vvec_copy(&op->vector, &plan_op->vector) == SHOAL_OK) {
		log_line(s->env->log, LOG_INFO, "sync",
		         "the log is too long or too old: what at least one other tracker has goes; who comes back later "
		         "gets a snapshot");
		cut(s, op);
		op = NULL;
	}
	content_op_free(op);
	vvec_fini(&may);
}

void sync_log_on_cut(struct sync *s, enum shoal_err rc)
{
	s->cutting = false;
	if (rc == SHOAL_OK)
		s->counters.log_cuts++;
	else
		log_line(s->env->log, LOG_WARN, "sync", "the log could not be shortened: %s", error_default(rc));
}
