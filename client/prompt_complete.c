/* client/prompt_complete.c - Tab: names of commands, dot commands, option keys of the command being typed, local paths.
 *
 * Nothing is asked of the engine: it takes microseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <readline/readline.h>

#include "client/prompt.h"
#include "client/typed.h"

/* Candidates are given out one after the other; which one is next is kept by readline's `state` and this. */
static const struct cmd *next_cmd;
static const struct cmd_opt *next_opt;
static unsigned next_dot;

static char *command_names(const char *text, int state)
{
	size_t len = strlen(text);
	if (state == 0)
		next_cmd = NULL;
	while ((next_cmd = cmd_next(next_cmd)) != NULL)
		if ((next_cmd->flags & (CMD_METHOD | CMD_MODULE | CMD_HIDDEN)) == 0 && strncmp(next_cmd->name, text, len) == 0)
			return strdup(next_cmd->name);
	return NULL;
}

static char *dot_names(const char *text, int state)
{
	static const char *const dots[] = { ".help", ".jobs", ".trackers", ".history", ".quit" };
	if (state == 0)
		next_dot = 0;
	while (next_dot < sizeof(dots) / sizeof(dots[0])) {
		const char *dot = dots[next_dot++];
		if (strncmp(dot, text, strlen(text)) == 0)
			return strdup(dot);
	}
	return NULL;
}

static char *option_keys(const char *text, int state)
{
	(void)state;
	while (next_opt != NULL && next_opt->name != NULL) {
		const struct cmd_opt *o = next_opt++;
		char *key = NULL;
		if (strncmp(o->name, text, strlen(text)) == 0 && asprintf(&key, "%s=", o->name) > 0)
			return key;
	}
	return NULL;
}

static const struct cmd_opt *options_of(const struct cmd *cmd)
{
	for (unsigned i = 0; i < cmd_count_args(cmd); i++)
		if (cmd->args[i].opts != NULL)
			return cmd->args[i].opts;
	return NULL;
}

char **prompt_complete(const char *text, int start, int end)
{
	const char *rest;
	(void)end;
	char *before = strndup(rl_line_buffer, (size_t)start);
	bool first = before != NULL && before[strspn(before, " \t")] == '\0';
	bool help = before != NULL && (strcmp(before, ".help ") == 0 || strcmp(before, "help ") == 0);
	const struct cmd *cmd = before != NULL ? typed_verb(before, &rest) : NULL;
	free(before);
	if (first && text[0] == '.') {
		rl_attempted_completion_over = 1;
		return rl_completion_matches(text, dot_names);
	}
	if (first || help) {
		rl_attempted_completion_over = 1;
		return rl_completion_matches(text, command_names);
	}
	next_opt = cmd != NULL ? options_of(cmd) : NULL;
	if (next_opt != NULL) {
		char **found = rl_completion_matches(text, option_keys);
		if (found != NULL) {
			rl_completion_append_character = '\0';
			return found;
		}
	}
	/* Inside Lua a name may be a command; else it is a local path, which is readline's own. */
	return cmd == NULL && text[0] != '/' && text[0] != '.' && strchr("\"'", rl_line_buffer[start > 0 ? start - 1 : 0]) == NULL
	               ? rl_completion_matches(text, command_names)
	               : NULL;
}
