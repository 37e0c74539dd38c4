/* core/sync/peers.c - the other trackers of the list: added, taken out, and how they are. */
#include <stdio.h>

#include "core/sync/sync_state.h"

struct sync_tracker *sync_peer_by_id(struct sync *s, uint16_t id)
{
	struct sync_tracker *p;
	LIST_FOREACH(p, &s->peers, next)
		if (p->id == id)
			return p;
	return NULL;
}

void sync_peer_free(struct sync_tracker *p)
{
	LIST_REMOVE(p, next);
	vvec_fini(&p->acked);
	free(p);
}

static void drop_peer(struct sync_tracker *p, const char *why)
{
	if (p->out != NULL)
		sync_link_doom(p->out, "%s", why);
	if (p->in != NULL)
		sync_link_doom(p->in, "%s", why);
	sync_peer_free(p);
}

static const struct tracker_line *line_of(const struct tracker_line *lines, size_t n, uint16_t id)
{
	for (size_t i = 0; i < n; i++)
		if (lines[i].id == id)
			return &lines[i];
	return NULL;
}

static bool same_address(const struct address *a, const struct address *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static void add_peer(struct sync *s, const struct tracker_line *line)
{
	struct sync_tracker *p = try_alloc(sizeof(*p));
	if (p == NULL) {
		log_line(s->env->log, LOG_ERROR, "sync", "no memory for tracker %u", line->id);
		return;
	}
	p->id = line->id;
	p->addr = line->addr;
	p->backoff_ms = SYNC_BACKOFF_MIN_MS;
	p->dial_at = 0;
	snprintf(p->reason, sizeof(p->reason), "not reached yet");
	LIST_INSERT_HEAD(&s->peers, p, next);
}

void sync_set_peers(struct sync *s, const struct tracker_line *trackers, size_t n)
{
	struct sync_tracker *p, *next;

	for (p = LIST_FIRST(&s->peers); p != NULL; p = next) {
		next = LIST_NEXT(p, next);
		const struct tracker_line *line = line_of(trackers, n, p->id);
		if (line == NULL)
			drop_peer(p, "its line is gone from the list");
		else if (!same_address(&line->addr, &p->addr))
			drop_peer(p, "its address in the list has changed");
	}
	for (size_t i = 0; i < n; i++)
		if (trackers[i].id != s->config.self && sync_peer_by_id(s, trackers[i].id) == NULL)
			add_peer(s, &trackers[i]);
}

void sync_now(struct sync *s)
{
	struct sync_tracker *p;
	struct sync_link *l;
	LIST_FOREACH(p, &s->peers, next) {
		p->dial_at = 0;
		p->backoff_ms = SYNC_BACKOFF_MIN_MS;
	}
	LIST_FOREACH(l, &s->links, next)
		l->ping_at = 0;
}

size_t sync_peer_count(const struct sync *s)
{
	size_t n = 0;
	struct sync_tracker *p;
	LIST_FOREACH(p, &s->peers, next)
		n++;
	return n;
}

size_t sync_count_acked(const struct sync *s, const struct stamp *stamps, size_t n)
{
	return sync_list_acked(s, stamps, n, NULL, 0);
}

size_t sync_list_acked(const struct sync *s, const struct stamp *stamps, size_t n, uint16_t *ids, size_t max)
{
	size_t have = 0;
	struct sync_tracker *p;
	LIST_FOREACH(p, &s->peers, next) {
		size_t i = 0;
		while (i < n && vvec_covers(&p->acked, stamps[i].dot))
			i++;
		if (i < n)
			continue;
		if (have < max)
			ids[have] = p->id;
		have++;
	}
	return have;
}

/* Both are running: the one that is linked, and one that was refused a moment ago. */
static bool has_double(const struct sync *s, const struct sync_tracker *p)
{
	return sync_peer_link(p) != NULL && p->double_at != 0 && s->env->mono_ms(s->env->ctx) < p->double_at + SYNC_DOUBLE_MS;
}

static const char *state_word(const struct sync *s, const struct sync_tracker *p)
{
	if (p->refused || has_double(s, p))
		return "refused";
	if (sync_peer_link(p) == NULL)
		return p->out != NULL && p->heard_at == 0 ? "connecting" : "lost";
	if (p->clock_offset_ms > SYNC_CLOCK_WARN_MS || p->clock_offset_ms < -SYNC_CLOCK_WARN_MS)
		return "clock";
	if (p->told_state == SYNC_TOLD_JOINING)
		return "joining";
	return p->told_state == SYNC_TOLD_READONLY ? "read-only" : "connected";
}

size_t sync_status(const struct sync *s, struct sync_status *out, size_t max)
{
	size_t n = 0;
	uint64_t now = s->env->mono_ms(s->env->ctx);
	struct sync_tracker *p;

	LIST_FOREACH(p, &s->peers, next) {
		if (n < max) {
			struct sync_status *st = &out[n];
			*st = (struct sync_status){ .id = p->id, .addr = p->addr, .state = state_word(s, p) };
			st->behind = vvec_ahead(registry_durable_vector(s->config.registry), &p->acked);
			st->contact_ms = p->heard_at == 0 ? UINT64_MAX : now - p->heard_at;
			st->clock_offset_ms = p->clock_offset_ms;
			st->clock_known = p->clock_known;
			st->digests = p->digests;
			snprintf(st->version, sizeof(st->version), "%s", p->version);
			snprintf(st->reason, sizeof(st->reason), "%s", sync_peer_link(p) == NULL ? p->reason : "");
			if (has_double(s, p))
				snprintf(st->reason, sizeof(st->reason), "two trackers have the id %u, both are running", p->id);
		}
		n++;
	}
	return n;
}

const struct sync_counters *sync_counters(const struct sync *s)
{
	return &s->counters;
}
