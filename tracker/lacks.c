/* tracker/lacks.c - reading one's own writes on another tracker.
 *
 * A client that comes from another tracker shows in HELLO the stamps of its last changes. What is not durable here yet is
 * mostly on its way, so its commands wait for it, up to 5 s after the HELLO; then they are answered with SHOAL_EBUSY and
 * RPLY_LACKS, once: who goes on after that works with what this tracker has. HELLO itself does not wait, nor
 * does what keeps the connection and the session alive. */
#include "tracker/core.h"

enum { LACKS_WAIT_MS = 5000 };

void lacks_begin(struct tracker *t, struct client *c, struct slice seen)
{
	bool bad;

	if (stamps_are_here(t, seen, &bad) || bad)
		return;
	buf_put(&c->lacks, seen.data, seen.len);
	if (c->lacks.failed) /* no memory: as if nothing had been shown */
		buf_free(&c->lacks);
	c->lacks_until_ms = tracker_now(t) + LACKS_WAIT_MS;
	c->lacks_told = false;
}

/* What was shown is here now, or was not shown. */
static bool has_all(struct tracker *t, struct client *c)
{
	bool bad;

	if (c->lacks.len != 0 && stamps_are_here(t, slice_of(c->lacks.data, c->lacks.len), &bad))
		buf_free(&c->lacks);
	return c->lacks.len == 0;
}

static bool waits_for_own_changes(unsigned verb)
{
	switch (verb) {
	case VERB_HELLO:
	case VERB_RESUME:
	case VERB_HEARTBEAT:
	case VERB_TRACKERS:
	case VERB_WAIT_SYNCED: return false;
	default: return true;
	}
}

/* The newest of the stamps that are not here. */
static struct stamp newest_lacking(struct tracker *t, const struct client *c)
{
	struct cursor in = cursor_of(c->lacks.data, c->lacks.len);
	struct stamp newest = { 0 };

	while (cursor_left(&in) != 0) {
		struct stamp s = get_stamp(&in);
		if (!vvec_covers(registry_durable_vector(t->reg), s.dot) && stamp_cmp(&s, &newest) > 0)
			newest = s;
	}
	return newest;
}

static enum shoal_err refuse(struct command *cmd, struct error *e)
{
	struct stamp s = newest_lacking(cmd->t, cmd->c);
	uint64_t wall = tracker_wall(cmd->t), at = stamp_wall_ms(&s);

	cmd->lacks = true;
	cmd->c->lacks_told = true;
	return error_set(e, SHOAL_EBUSY,
	                 "tracker %u has not got your last change yet, made at tracker %u %llu s ago: it will show here when "
	                 "that tracker can be reached; try again to go on without it",
	                 cmd->t->config.self, s.tracker, (unsigned long long)(wall > at ? (wall - at) / 1000 : 0));
}

static bool poll(struct command *cmd)
{
	struct error e = { 0 };

	if (cmd->c != NULL && !has_all(cmd->t, cmd->c)) {
		if (tracker_now(cmd->t) < cmd->deadline_ms)
			return false;
		refuse(cmd, &e);
	} else if (cmd->c == NULL) {
		error_set(&e, SHOAL_ECANCELLED, "its client has gone");
	}
	if (e.code != SHOAL_OK)
		command_finish(cmd, e.code, &e);
	else
		command_go_on(cmd);
	return true;
}

bool lacks_hold(struct command *cmd, struct error *e)
{
	struct client *c = cmd->c;

	if (!waits_for_own_changes(cmd->head.verb) || has_all(cmd->t, c) || c->lacks_told)
		return false;
	if (tracker_now(cmd->t) < c->lacks_until_ms)
		command_park(cmd, c->lacks_until_ms, poll);
	else
		refuse(cmd, e);
	return true;
}
