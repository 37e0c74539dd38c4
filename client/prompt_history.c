/* client/prompt_history.c - the lines that were typed, without secrets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <readline/history.h>

#include "client/prompt.h"
#include "client/typed.h"
#include "core/base/fs.h"

enum { HISTORY_LINES = 2000, HISTORY_BYTES = 4 << 20 };

/* A verb that takes a password, anywhere in the line and in any spelling, is reason enough. */
bool history_may_keep(const char *line)
{
	const struct cmd *cmd = NULL;
	if (line[0] == ' ' || line[strspn(line, " \t\r\n")] == '\0')
		return false;
	while ((cmd = cmd_next(cmd)) != NULL)
		if ((cmd->flags & CMD_SECRET) != 0 &&
		    (strstr(line, cmd->name) != NULL || (cmd->spaced != NULL && strstr(line, cmd->spaced) != NULL)))
			return false;
	const char *rest;
	cmd = typed_verb(line, &rest); /* also with several blanks in between */
	return strcasestr(line, "password") == NULL && (cmd == NULL || (cmd->flags & CMD_SECRET) == 0);
}

void history_load(const char *path)
{
	struct buf text = { 0 };
	struct error e;
	using_history();
	stifle_history(HISTORY_LINES);
	if (path == NULL || fs_read_file(path, HISTORY_BYTES, &text, &e) != SHOAL_OK) {
		buf_free(&text);
		return;
	}
	char *all = buf_steal_str(&text), *rest = all, *line;
	while (all != NULL && (line = strsep(&rest, "\n")) != NULL)
		if (line[0] != '\0')
			add_history(line);
	free(all);
}

static void forget_same(const char *line)
{
	for (int i = history_length - 1; i >= 0; i--) {
		HIST_ENTRY *entry = history_get(history_base + i);
		if (entry != NULL && strcmp(entry->line, line) == 0)
			free_history_entry(remove_history(i));
	}
}

static void save(const char *path)
{
	struct buf b = { 0 };
	struct error e;
	char *folder = fs_dirname(path);
	for (int i = 0; i < history_length; i++) {
		HIST_ENTRY *entry = history_get(history_base + i);
		if (entry != NULL)
			buf_printf(&b, "%s\n", entry->line);
	}
	/* Without a history one can live: a full disk or a foreign folder is no reason to stop. */
	if (!b.failed && fs_mkdirs(folder, 0700, &e) == SHOAL_OK)
		fs_write_file(path, b.data, b.len, 0600, &e);
	free(folder);
	buf_free(&b);
}

void history_keep(const char *path, const char *line)
{
	if (!history_may_keep(line))
		return;
	char *one = str_printf("%s", line);
	for (char *p = one; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' '; /* a statement of several lines is one entry */
	for (size_t n = strlen(one); n > 0 && one[n - 1] == ' '; n--)
		one[n - 1] = '\0';
	forget_same(one);
	add_history(one);
	free(one);
	if (path != NULL)
		save(path);
}
