/* client/help.c - .help: made from the table of commands. */
#include <string.h>

#include "client/dots.h"

static void print_one(const struct cmd *cmd, struct buf *out)
{
	cmd_usage(cmd, out);
	buf_printf(out, "\n    %s\n", cmd->summary);
	if (cmd->spaced != NULL)
		buf_printf(out, "    also typed: %s ...\n", cmd->spaced);
	for (unsigned i = 0; i < cmd_count_args(cmd); i++)
		for (const struct cmd_opt *o = cmd->args[i].opts; o != NULL && o->name != NULL; o++)
			buf_printf(out, "    %s.%s%s%s: %s\n", cmd->args[i].name, o->name, o->choices != NULL ? " = " : "",
			           o->choices != NULL ? o->choices : "", o->help != NULL ? o->help : cmd_kind_word(o->kind));
	buf_printf(out, "    gives: %s\n", cmd->gives);
	buf_printf(out, "    example: %s\n    since %s%s\n", cmd->example, cmd->since,
	           (cmd->flags & CMD_NEEDS_LOGIN) != 0 ? ", needs a login" : "");
}

bool help_print(const char *name, struct buf *out)
{
	const struct cmd *cmd = NULL;
	bool found = false;
	if (name == NULL) {
		buf_printf(out, "Type a command (download_file team big.iso dl/) or Lua (download_file(\"team\", \"big.iso\", \"dl/\")).\n");
		while ((cmd = cmd_next(cmd)) != NULL)
			if ((cmd->flags & (CMD_HIDDEN | CMD_METHOD | CMD_MODULE)) == 0)
				buf_printf(out, "  %-16s %s\n", cmd->name, cmd->summary);
		for (const struct dot_cmd *d = dot_table; d->name != NULL; d++) {
			char line[60];
			snprintf(line, sizeof(line), ".%s %s", d->name, d->args);
			buf_printf(out, "  %-16s %s\n", line, d->summary);
		}
		buf_printf(out, "Jobs: job:wait() job:pause() job:resume() job:cancel() job:limit(\"5M\") job:explain()\n");
		return true;
	}
	while ((cmd = cmd_next(cmd)) != NULL) {
		bool method = (cmd->flags & CMD_METHOD) != 0 && strcmp(cmd->name + strlen("job_"), name) == 0;
		bool spaced = cmd->spaced != NULL && strcmp(cmd->spaced, name) == 0;
		if ((cmd->flags & CMD_HIDDEN) == 0 && (strcmp(cmd->name, name) == 0 || method || spaced)) {
			print_one(cmd, out);
			found = true;
		}
	}
	return found;
}
