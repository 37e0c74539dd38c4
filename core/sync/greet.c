/* core/sync/greet.c - HELLO: who the other side is, which run of it, what it has; and REFUSED, when we do not want it. */
#include "core/sync/sync_state.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/base/name.h"

void sync_greet(struct sync_link *l)
{
	struct sync *s = l->sync;
	struct buf vector = { 0 };
	struct buf *b = &s->scratch;
	const struct vvec *have = registry_durable_vector(s->config.registry);

	sync_vector_to_wire(&vector, have);
	size_t start = sync_begin(b, SYNC_HELLO);
	sync_hello_put(b, &(struct sync_hello){ .cluster = s->config.cluster,
	                                        .version = SYNC_VERSION,
	                                        .from = s->config.self,
	                                        .to = l->peer->id,
	                                        .log = registry_log(s->config.registry),
	                                        .wall_ms = s->env->wall_ms(s->env->ctx),
	                                        .frame_max = FRAME_MAX,
	                                        .software = slice_str(s->config.version),
	                                        .vector = slice_of(vector.data, vector.len) });
	bool ok = !vector.failed && frame_end(b, start) == SHOAL_OK;
	buf_free(&vector);
	if (!ok) {
		buf_reset(b);
		sync_link_doom(l, "no memory for a HELLO");
		return;
	}
	if (!l->dialled && vvec_copy(&l->told, have) != SHOAL_OK) {
		sync_link_doom(l, "no memory");
		return;
	}
	sync_link_send(l, b);
}

void sync_note_clock(struct sync_link *l, uint64_t wall_ms)
{
	struct sync *s = l->sync;
	struct sync_tracker *p = l->peer;
	int64_t offset = (int64_t)(wall_ms - s->env->wall_ms(s->env->ctx));
	bool bad = offset > SYNC_CLOCK_WARN_MS || offset < -SYNC_CLOCK_WARN_MS;
	bool was_bad = p->clock_known && (p->clock_offset_ms > SYNC_CLOCK_WARN_MS || p->clock_offset_ms < -SYNC_CLOCK_WARN_MS);

	if (bad && !was_bad)
		log_line(s->env->log, LOG_WARN, "sync", "tracker %u's clock is %lld ms from ours", p->id, (long long)offset);
	p->clock_offset_ms = offset;
	p->clock_known = true;
}

/* Tells the other side why, so that both logs say it; then the link goes. */
__attribute__((format(printf, 2, 3))) static void refuse_hello(struct sync_link *l, const char *fmt, ...)
{
	struct buf *b = &l->sync->scratch;
	char why[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	size_t start = sync_begin(b, SYNC_REFUSED);
	sync_refused_put(b, &(struct sync_refused){ .reason = slice_str(why) });
	(void)frame_end(b, start);
	if (sync_link_send(l, b))
		sync_link_refuse(l, "%s", why);
}

void sync_greet_on_refused(struct sync_link *l, struct cursor *c)
{
	struct sync_refused m;
	char why[120];

	sync_refused_get(c, &m);
	sync_link_refuse(l, "it refuses us: %s", text_escape(m.reason.data, m.reason.len, why, sizeof(why)));
}

/* Another run of the peer talks to us now: a link with a log of its own from which we have just heard. (A run that has
 * ended closes its links, or is silent for longer before the next one is there.) */
static bool is_double(const struct sync_link *other, const struct sync_link *l, uint64_t log)
{
	return other != NULL && other != l && other->state == LINK_UP && other->log != log &&
	       l->sync->now < other->heard_at + SYNC_ALIVE_MS;
}

static bool refuse_double(struct sync_link *l, const struct sync_hello *m)
{
	struct sync *s = l->sync;
	struct sync_tracker *p = sync_peer_by_id(s, m->from);
	char text[ADDRESS_MAX];

	if (p == NULL || (!is_double(p->out, l, m->log) && !is_double(p->in, l, m->log)))
		return false;
	p->double_at = s->now;
	refuse_hello(l, "two trackers have the id %u: another one is connected already, its line is %s", m->from,
	             address_format(&p->addr, text));
	return true;
}

/* Is it the one we mean, and does it mean us? (A tracker redirected to itself has our identity, too.) */
static bool check_hello(struct sync_link *l, const struct sync_hello *m)
{
	struct sync *s = l->sync;

	if (m->version != SYNC_VERSION)
		refuse_hello(l, "it speaks version %u of SYNC, we speak %d", m->version, SYNC_VERSION);
	else if (!id32_eq(&m->cluster, &s->config.cluster))
		refuse_hello(l, "it says that it is of another cluster");
	else if (m->from == s->config.self)
		refuse_hello(l, "it has our own id %u: two trackers share an id, or an address leads back to us", m->from);
	else if (m->to != s->config.self)
		refuse_hello(l, "tracker %u takes us for tracker %u: the lists of trackers differ", m->from, m->to);
	else if (l->dialled && m->from != l->peer->id)
		refuse_hello(l, "tracker %u answers there, not tracker %u: the list of trackers is wrong", m->from, l->peer->id);
	else if (!l->dialled && sync_peer_by_id(s, m->from) == NULL)
		refuse_hello(l, "tracker %u is not in the list of tracker %u: add its line there and send tracker %u SIGHUP", m->from,
		             s->config.self, s->config.self);
	else
		(void)refuse_double(l, m);
	return !l->doomed;
}

static void link_up(struct sync_link *l, struct vvec *vector)
{
	struct sync *s = l->sync;
	struct sync_tracker *p = l->peer;

	if (!sync_yield_if_alone(s, vector)) {
		sync_link_doom(l, "after an hour alone the names claimed here cannot be marked");
		return;
	}
	l->state = LINK_UP;
	l->since = s->contact_at = s->now;
	l->ping_at = s->now + sync_jitter(s, SYNC_PING_MS);
	l->digest_at = s->now + SYNC_DIGEST_MS;
	p->refused = false;
	p->double_at = 0; /* who else claims its id will knock again */
	p->told_state = SYNC_TOLD_READY;
	p->digests = SYNC_DIGEST_UNKNOWN;
	p->reason[0] = '\0';
	log_line(s->env->log, LOG_INFO, "sync", "tracker %u is %s", p->id, l->dialled ? "reached" : "heard");
	/* Who can reach us can be reached, most likely: what is acknowledged here should not wait for a back-off. */
	if (!l->dialled && p->out == NULL) {
		p->dial_at = s->now;
		p->backoff_ms = SYNC_BACKOFF_MIN_MS;
	}
	/* What the one that we dialled says now is the truth, even if it is less than before: its disk may be an old one. */
	if (l->dialled)
		vvec_fini(&p->acked);
	bool noted = sync_note_vector(s, p, vector);
	if (s->joining && (!s->join_has_target || s->join_from == p->id)) /* it may have lost its disk since */
		noted = sync_join_target(s, p, vector) && noted;
	if (l->dialled)
		noted = vvec_copy(&l->told, vector) == SHOAL_OK && noted;
	if (!noted) {
		sync_link_doom(l, "no memory for its vector");
		return;
	}
	if (l->dialled)
		sync_ship_begin(l, vector);
	if (s->config.refresh != NULL)
		s->config.refresh(s->config.owner);
	sync_presence_renew(s);
	sync_fetch_link_up(s);
	sync_check_joined(s);
}

void sync_greet_on_hello(struct sync_link *l, struct cursor *c)
{
	struct sync *s = l->sync;
	struct sync_hello m;
	struct vvec vector = { 0 };
	struct error e;

	sync_hello_get(c, &m);
	if (!check_hello(l, &m))
		return;
	l->log = m.log;
	if (!l->dialled) {
		struct sync_tracker *p = sync_peer_by_id(s, m.from);
		if (p->in != NULL)
			sync_link_doom(p->in, "it has connected anew");
		l->peer = p;
		l->batch_from = p->id;
		p->in = l;
	}
	(void)slice_to_str(m.software, l->peer->version, sizeof(l->peer->version));
	l->peer->heard_at = s->now;
	sync_note_clock(l, m.wall_ms);
	if (sync_receive_vector(s, m.vector, &vector, &e) != SHOAL_OK) {
		vvec_fini(&vector);
		sync_link_doom(l, "%s", e.message);
		return;
	}
	if (!l->dialled)
		sync_greet(l);
	if (!l->doomed)
		link_up(l, &vector);
	vvec_fini(&vector);
}
