/* client/prompt_history.c - the lines that were typed, without secrets. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <readline/history.h>

#include "client/prompt.h"
#include "client/suggest.h"
#include "client/typed.h"
#include "core/base/fs.h"
#include "core/base/name.h"

enum { HISTORY_LINES = 2000, HISTORY_BYTES = 4 << 20 };

/* The line's first one or two words as one name in small letters: "Create  Usr ann" gives create_usr. */
static void first_words(const char *line, unsigned n, char out[NAME_SHOWN_MAX])
{
	size_t len = 0;
	line += strcspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	while (n-- != 0) {
		for (; (isalpha((unsigned char)*line) || *line == '_' || *line == '-') && len + 2 < NAME_SHOWN_MAX; line++)
			out[len++] = (char)tolower((unsigned char)*line);
		line += strspn(line, " \t");
		if (n != 0)
			out[len++] = '_';
	}
	out[len] = '\0';
}

/* A slip of the keys in a verb that takes a password is followed by the password all the same. */
static bool nearly_secret(const char *line)
{
	const struct cmd *cmd = NULL;
	char words[2][NAME_SHOWN_MAX];
	enum { NEAR = 2 };
	first_words(line, 1, words[0]);
	first_words(line, 2, words[1]);
	if (cmd_find(words[0]) != NULL || cmd_find(words[1]) != NULL)
		return false; /* another command, spelt as it should be */
	while ((cmd = cmd_next(cmd)) != NULL)
		for (unsigned i = 0; i < 2 && (cmd->flags & CMD_SECRET) != 0; i++)
			if (suggest_distance(words[i], cmd->name) <= NEAR)
				return true;
	return false;
}

/* A verb that takes a password, anywhere in the line and in any spelling, is reason enough. */
bool history_may_keep(const char *line)
{
	const struct cmd *cmd = NULL;
	if (line[0] == ' ' || line[strspn(line, " \t\r\n")] == '\0')
		return false;
	while ((cmd = cmd_next(cmd)) != NULL)
		if ((cmd->flags & CMD_SECRET) != 0 &&
		    (strcasestr(line, cmd->name) != NULL || (cmd->spaced != NULL && strcasestr(line, cmd->spaced) != NULL)))
			return false;
	if (strcasestr(line, "password") != NULL)
		return false;
	const char *rest;
	for (const char *p = line; p != NULL; p = strchr(p, '\n')) { /* each line of the statement */
		p += *p == '\n';
		cmd = typed_verb(p, &rest); /* also with several blanks in between */
		if (cmd != NULL ? (cmd->flags & CMD_SECRET) != 0 : nearly_secret(p))
			return false;
	}
	return true;
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
