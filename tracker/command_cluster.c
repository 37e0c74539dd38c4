/* tracker/command_cluster.c - the trackers, and what merges did: trackers, list_conflicts. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "tracker/core.h"

static void put_fact(struct command *cmd, const struct tracker_fact *f)
{
	char address[ADDRESS_MAX];
	struct buf *b = command_row(cmd);

	if (b == NULL)
		return;
	struct row_tracker row = { .id = f->id,
		                   .addr = slice_str(address_format(&f->addr, address)),
		                   .state = slice_str(f->state),
		                   .behind = f->behind,
		                   .contact_ms = f->contact_ms,
		                   .version = slice_str(f->version),
		                   .clock_known = f->clock_known,
		                   .clock_offset_ms = (uint64_t)f->clock_offset_ms,
		                   .rows = slice_str(f->rows != NULL ? f->rows : ""),
		                   .reason = slice_str(f->reason) };
	row_tracker_put(b, &row);
	command_row_done(cmd);
}

enum shoal_err command_trackers(struct command *cmd, struct error *e)
{
	size_t n = 0;
	struct tracker_fact *facts = tracker_facts(cmd->t, &n);

	if (facts == NULL)
		return error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
	for (size_t i = 0; i < n; i++)
		put_fact(cmd, &facts[i]);
	free(facts);
	return SHOAL_OK;
}

/* -- conflicts */
static void put_row(struct command *cmd, const struct row_conflict *row)
{
	struct buf *b = command_row(cmd);
	if (b == NULL)
		return;
	row_conflict_put(b, row);
	command_row_done(cmd);
}

static void put_conflict(struct command *cmd, const struct conflict *c)
{
	static const char *const kinds[] = { [NAME_USER] = "user", [NAME_GROUP] = "group", [NAME_FILE] = "file" };
	char text[3 * NAME_SHOWN_MAX];

	snprintf(text, sizeof(text), "%s '%s'%s%s%s %s", kinds[c->kind], c->name, c->group[0] != '\0' ? " in '" : "",
	         c->group, c->group[0] != '\0' ? "'" : "",
	         c->has_name ? "was claimed more than once; this is the first claim"
	                     : "was claimed earlier by somebody else");
	struct row_conflict row = { .kind = slice_str(kinds[c->kind]), .name = slice_str(c->name),
		                    .shown = slice_str(c->shown), .text = slice_str(text),
		                    .at_ms = stamp_wall_ms(&c->claim) };
	put_row(cmd, &row);
}

static void put_notice(struct command *cmd, const struct notice_row *n)
{
	char text[NOTICE_TEXT_MAX];
	struct row_conflict row = { .kind = n->kind, .name = n->subject, .shown = n->group,
		                    .text = slice_str(notice_text(n, text)), .at_ms = stamp_wall_ms(&n->at) };
	put_row(cmd, &row);
}

/* What was listed counts as seen; if that cannot be written now it is told once more. */
static void mark_seen(struct command *cmd, const struct notice_row *const *notices, size_t n)
{
	struct op op;
	if (n == 0 || sync_check_writable(cmd->t->sync, NULL) != SHOAL_OK)
		return;
	op_begin(cmd->t->reg, OP_NOTICE, NULL, tracker_wall(cmd->t), &op);
	notice_put_seen(&op, notices, n);
	(void)commit_op(cmd->t->commit, &op, NULL, NULL);
}

enum shoal_err command_list_conflicts(struct command *cmd, struct error *e)
{
	struct conflict *conflicts;
	const struct notice_row **notices;
	size_t n, n_notices;

	if (conflict_list(cmd->t->reg, &cmd->uid, &conflicts, &n) != SHOAL_OK)
		return error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
	for (size_t i = 0; i < n; i++)
		put_conflict(cmd, &conflicts[i]);
	free(conflicts);
	if (notice_list(cmd->t->reg, &cmd->uid, &notices, &n_notices) != SHOAL_OK)
		return error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
	for (size_t i = 0; i < n_notices; i++)
		put_notice(cmd, notices[i]);
	mark_seen(cmd, notices, n_notices);
	free(notices);
	return SHOAL_OK;
}
