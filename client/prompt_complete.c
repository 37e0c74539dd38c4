/* client/prompt_complete.c - Tab: names of commands, dot commands, option keys of the command being typed, local paths.
 *
 * Nothing is asked of the engine: it takes microseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <readline/readline.h>

#include "client/dots.h"
#include "client/prompt.h"
#include "client/typed.h"
#include "core/base/mem.h"

/* What readline wants: the common beginning of all, then all, then NULL; it frees the list and the texts. */
struct matches {
	char **list;
	size_t n;
};

static void add(struct matches *m, const char *name, const char *tail)
{
	char *text = try_alloc(strlen(name) + strlen(tail) + 1);
	char **more = text != NULL ? try_realloc(m->list, (m->n + 3) * sizeof(*more)) : NULL;
	if (more == NULL) { /* a candidate less */
		free(text);
		return;
	}
	memcpy(text, name, strlen(name));
	memcpy(text + strlen(name), tail, strlen(tail) + 1);
	m->list = more;
	m->list[++m->n] = text;
}

/* NULL: nothing fits, and readline may try its own. */
static char **finish(struct matches *m)
{
	if (m->n == 0)
		return NULL;
	size_t common = strlen(m->list[1]);
	for (size_t i = 2; i <= m->n; i++)
		for (size_t k = 0; k < common; k++)
			if (m->list[i][k] != m->list[1][k])
				common = k;
	char *start = m->n == 1 ? m->list[1] : try_strndup(m->list[1], common);
	if (start == NULL) {
		for (size_t i = 1; i <= m->n; i++)
			free(m->list[i]);
		free(m->list);
		return NULL;
	}
	m->list[0] = start;
	m->list[m->n == 1 ? 1 : m->n + 1] = NULL; /* a single one is its own beginning */
	return m->list;
}

static bool begins(const char *name, const char *text)
{
	return strncmp(name, text, strlen(text)) == 0;
}

static char **command_names(const char *text)
{
	struct matches m = { 0 };
	const struct cmd *cmd = NULL;
	while ((cmd = cmd_next(cmd)) != NULL)
		if ((cmd->flags & (CMD_METHOD | CMD_MODULE | CMD_HIDDEN)) == 0 && begins(cmd->name, text))
			add(&m, cmd->name, "");
	return finish(&m);
}

static char **dot_names(const char *text)
{
	struct matches m = { 0 };
	for (const struct dot_cmd *d = dot_table; d->name != NULL; d++) {
		char name[32];
		snprintf(name, sizeof(name), ".%s", d->name);
		if (begins(name, text))
			add(&m, name, "");
	}
	return finish(&m);
}

static char **option_keys(const struct cmd *cmd, const char *text)
{
	struct matches m = { 0 };
	for (unsigned i = 0; i < cmd_count_args(cmd); i++)
		for (const struct cmd_opt *o = cmd->args[i].opts; o != NULL && o->name != NULL; o++)
			if (begins(o->name, text))
				add(&m, o->name, "=");
	return finish(&m);
}

char **prompt_complete(const char *text, int start, int end)
{
	const char *rest;
	(void)end;
	char *before = try_strndup(rl_line_buffer, (size_t)start);
	bool first = before != NULL && before[strspn(before, " \t")] == '\0';
	bool help = before != NULL && (strcmp(before, ".help ") == 0 || strcmp(before, "help ") == 0);
	const struct cmd *cmd = before != NULL ? typed_verb(before, &rest) : NULL;
	free(before);
	if (first || help) {
		rl_attempted_completion_over = 1;
		return first && text[0] == '.' ? dot_names(text) : command_names(text);
	}
	char **found = cmd != NULL ? option_keys(cmd, text) : NULL;
	if (found != NULL) {
		rl_completion_append_character = '\0';
		return found;
	}
	/* Inside Lua a name may be a command; else it is a local path, which is readline's own. */
	char last = rl_line_buffer[start > 0 ? start - 1 : 0];
	bool path = cmd != NULL || text[0] == '/' || text[0] == '.' || last == '"' || last == '\'';
	return path ? NULL : command_names(text);
}
