/* client/cmd_tracker.c - trackers, their agreement, and limits. */
#include "client/cmd.h"

#include <string.h>

#include "core/base/clock.h"

static void row_a_tracker(struct cmd_run *run, struct cursor *c)
{
	struct row_tracker m;
	row_tracker_get(c, &m);
	struct value t = value_table();
	value_set(&t, "id", value_int(m.id));
	value_set(&t, "addr", value_slice(m.addr));
	value_set(&t, "state", value_slice(m.state));
	value_set(&t, "behind", value_int((int64_t)m.behind));
	if (m.contact_ms != UINT64_MAX)
		value_set(&t, "contact", value_int((int64_t)((clock_wall_ms() - m.contact_ms) / 1000)));
	if (m.clock_known)
		value_set(&t, "clock", value_number((double)(int64_t)m.clock_offset_ms / 1000));
	value_set(&t, "version", value_slice(m.version));
	if (m.rows.len > 0)
		value_set(&t, "rows", value_slice(m.rows));
	if (m.reason.len > 0)
		value_set(&t, "why", value_slice(m.reason));
	value_add(&run->result, t);
}

static enum shoal_err run_trackers(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? cmd_ask(run, cmd_verb_call(VERB_TRACKERS), e)
	                        : cmd_read_rows(run, answered, NULL, row_a_tracker, e);
}

static enum shoal_err run_use_tracker(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered != NULL)
		return cmd_give_stamp(run, answered, e);
	struct call *c = call_new(CALL_USE_TRACKER);
	if (run->argv[0].integer < 1 || run->argv[0].integer > 65535) {
		if (c != NULL)
			call_free(c);
		return error_set(e, SHOAL_EUSAGE, "a tracker's id is a number from 1 to 65535");
	}
	if (c != NULL)
		c->job = (uint64_t)run->argv[0].integer;
	return cmd_ask(run, c, e);
}

static void put_stamps(struct buf *b, const struct value *v)
{
	if (v->type == VALUE_STAMP && !stamp_is_zero(&v->stamp))
		stamp_put(b, &v->stamp);
	for (size_t i = 0; v->type == VALUE_LIST && i < v->table.n; i++)
		put_stamps(b, &v->table.items[i]);
}

static enum shoal_err ask_wait_synced(struct cmd_run *run, struct error *e)
{
	enum { DEFAULT_MS = 5000, SLACK_MS = 5000, COUNT_MAX = 65535 };
	const struct value *count = value_get(&run->argv[1], "trackers");
	int64_t timeout_ms = value_get_int(&run->argv[1], "timeout", DEFAULT_MS);
	struct buf stamps = { 0 };
	put_stamps(&stamps, &run->argv[0]);
	if (stamps.len == 0 && !stamps.failed) { /* nothing that others could lack */
		run->result = value_bool(true);
		return SHOAL_OK;
	}
	struct req_wait_synced m = { .stamps = slice_of(stamps.data, stamps.len), .timeout_ms = (uint32_t)timeout_ms };
	if (count != NULL && count->type == VALUE_INT) {
		if (count->integer < 1 || count->integer > COUNT_MAX) {
			buf_free(&stamps);
			return error_set(e, SHOAL_EUSAGE, "option 'trackers' must be \"all\" or a number of trackers");
		}
		m.count = (uint16_t)count->integer;
	}
	struct call *c = cmd_verb_call(VERB_WAIT_SYNCED);
	if (c != NULL) {
		req_wait_synced_put(&c->fields, &m);
		c->fields.failed |= stamps.failed;
		c->timeout_ms = (uint32_t)timeout_ms + SLACK_MS;
	}
	buf_free(&stamps);
	return cmd_ask(run, c, e);
}

static enum shoal_err run_wait_synced(struct cmd_run *run, struct call *answered, struct error *e)
{
	struct rep_wait_synced m;

	if (answered == NULL)
		return ask_wait_synced(run, e);
	if (answered->error.code != SHOAL_OK) {
		*e = answered->error;
		return e->code;
	}
	struct slice frame = answered->nframes > 0 ? slice_of(answered->frames[0].data, answered->frames[0].len) : slice_str("");
	struct cursor c = cursor_of(frame.data, frame.len);
	rep_wait_synced_get(&c, &m);
	if (cursor_end(&c) != SHOAL_OK)
		return error_set(e, SHOAL_EPROTO, "wait_synced: the tracker's answer cannot be read");
	run->result = value_bool(true);
	return SHOAL_OK;
}

static void row_a_conflict(struct cmd_run *run, struct cursor *c)
{
	struct row_conflict m;
	row_conflict_get(c, &m);
	struct value t = value_table();
	value_set(&t, "kind", value_slice(m.kind));
	value_set(&t, "name", value_slice(m.name));
	value_set(&t, "shown", value_slice(m.shown));
	value_set(&t, "text", value_slice(m.text));
	value_set(&t, "at", value_int((int64_t)(m.at_ms / 1000)));
	value_add(&run->result, t);
}

static enum shoal_err run_list_conflicts(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? cmd_ask(run, cmd_verb_call(VERB_LIST_CONFLICTS), e)
	                        : cmd_read_rows(run, answered, NULL, row_a_conflict, e);
}

static enum shoal_err run_limits(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered == NULL) {
		const struct value *down = value_get(&run->argv[0], "down"), *up = value_get(&run->argv[0], "up");
		struct call *c = call_new(CALL_LIMITS);
		if (c != NULL) {
			c->opts.down = down != NULL ? (uint64_t)down->integer : UINT64_MAX;
			c->opts.up = up != NULL ? (uint64_t)up->integer : UINT64_MAX;
		}
		return cmd_ask(run, c, e);
	}
	if (answered->error.code != SHOAL_OK) {
		*e = answered->error;
		return e->code;
	}
	run->result = value_table();
	value_set(&run->result, "down", value_int((int64_t)answered->opts.down));
	value_set(&run->result, "up", value_int((int64_t)answered->opts.up));
	return SHOAL_OK;
}

static const struct cmd_opt synced_opts[] = {
	{ "trackers", ARG_COUNT, .help = "how many others, or \"all\", which is usual" },
	{ "timeout", ARG_SECONDS, .help = "5 s is usual" },
	{ 0 },
};
static const struct cmd_opt limit_opts[] = {
	{ "down", ARG_SIZE, .help = "what this client takes" }, { "up", ARG_SIZE, .help = "what it gives" }, { 0 },
};

const struct cmd cmd_tracker_table[] = {
	{ .name = "trackers",
	  .summary = "The trackers, and how far each is behind.",
	  .gives = "{{id, addr, state, behind, contact, clock, version, rows, why}, ...}",
	  .example = "trackers()",
	  .since = "0.1",
	  .run = run_trackers },
	{ .name = "use_tracker",
	  .spaced = "use tracker",
	  .summary = "Talk to that tracker from now on.",
	  .gives = "stamp",
	  .example = "use_tracker(2)",
	  .since = "0.1",
	  .args = { { "id", ARG_INT } },
	  .run = run_use_tracker },
	{ .name = "wait_synced",
	  .summary = "Wait until the other trackers have what a stamp names; true when they have.",
	  .gives = "true",
	  .example = "wait_synced(create_group(\"team\"), {trackers=\"all\", timeout=5})",
	  .since = "0.1",
	  .args = { { "stamp", ARG_STAMP }, { "opts", ARG_OPTS, .optional = true, .opts = synced_opts } },
	  .run = run_wait_synced },
	{ .name = "list_conflicts",
	  .spaced = "list conflicts",
	  .summary = "Names that two people claimed at once, and what became of them.",
	  .gives = "{{kind, name, shown, text, at}, ...}",
	  .example = "list_conflicts",
	  .since = "0.1",
	  .flags = CMD_NEEDS_LOGIN,
	  .run = run_list_conflicts },
	{ .name = "limits",
	  .summary = "Limits of this client in bytes a second; 0 is none.",
	  .gives = "{down, up}",
	  .example = "limits{down=\"20M\"}",
	  .since = "0.1",
	  .args = { { "limits", ARG_OPTS, .optional = true, .opts = limit_opts } },
	  .run = run_limits },
	{ 0 },
};
