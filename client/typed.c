/* client/typed.c */
#include "client/typed.h"

#include "core/base/planted.h"

#include <stdlib.h>
#include <string.h>

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t");
}

/* Where the text goes on behind `words`, in which one space matches any number; NULL if it does not begin so. */
static const char *behind(const char *line, const char *words)
{
	for (; *words != '\0'; words++)
		if (*words == ' ') {
			if (*line != ' ' && *line != '\t')
				return NULL;
			line = skip_blanks(line);
		} else if (*line++ != *words) {
			return NULL;
		}
	return *line == '\0' || *line == ' ' || *line == '\t' ? line : NULL;
}

const struct cmd *typed_verb(const char *line, const char **rest)
{
	const struct cmd *cmd = NULL;
	line = skip_blanks(line);
	while ((cmd = cmd_next(cmd)) != NULL) {
		if ((cmd->flags & (CMD_MODULE | CMD_METHOD | CMD_HIDDEN)) != 0)
			continue;
		*rest = behind(line, cmd->name);
		if (*rest == NULL && cmd->spaced != NULL)
			*rest = behind(line, cmd->spaced);
		if (*rest != NULL)
			return cmd;
	}
	return NULL;
}

/* One word; *p moves behind it. False: a quote is not closed. */
static bool next_word(const char **p, struct buf *out)
{
	char quote = '\0';
	const char *c = *p;
	if (c[0] == '~' && (c[1] == '/' || c[1] == '\0' || c[1] == ' ') && getenv("HOME") != NULL) {
		buf_printf(out, "%s", getenv("HOME"));
		c++;
	}
	for (; *c != '\0'; c++) {
		if (quote == '\0' && (*c == ' ' || *c == '\t'))
			break;
		if (*c == quote) {
			quote = '\0';
		} else if (quote == '\0' && (*c == '"' || *c == '\'')) {
			quote = *c;
		} else {
			bool escapes = quote == '\0' || (quote == '"' && (c[1] == '"' || (c[1] == '\\' && !PLANTED(typed_escape))));
			if (*c == '\\' && escapes && c[1] != '\0')
				c++;
			buf_put_u8(out, (uint8_t)*c);
		}
	}
	*p = c;
	return quote == '\0';
}

/* The argument that takes key=value words, -1 if there is none. */
static int opts_place(const struct cmd *cmd)
{
	for (int i = 0; i < CMD_MAX_ARGS && cmd->args[i].name != NULL; i++)
		if (cmd->args[i].kind == ARG_OPTS || cmd->args[i].kind == ARG_FILTER)
			return i;
	return -1;
}

static bool take_option(struct typed *t, const char *word)
{
	int at = opts_place(t->cmd);
	const char *eq = strchr(word, '=');
	char key[32];
	if (at < 0 || eq == NULL || !slice_to_str(slice_of(word, (size_t)(eq - word)), key, sizeof(key)))
		return false;
	const struct cmd_opt *o = t->cmd->args[at].opts;
	while (o != NULL && o->name != NULL && strcmp(o->name, key) != 0)
		o++;
	if (o == NULL || o->name == NULL)
		return false;
	if (t->argv[at].type != VALUE_TABLE)
		t->argv[at] = value_table();
	value_set(&t->argv[at], key, value_str(eq + 1));
	if ((unsigned)at + 1 > t->n)
		t->n = (unsigned)at + 1;
	return true;
}

/* The next argument that takes a word of its own. */
static unsigned next_place(const struct typed *t, unsigned at)
{
	while (at < CMD_MAX_ARGS && t->cmd->args[at].name != NULL && t->cmd->args[at].kind == ARG_OPTS)
		at++;
	return at;
}

static enum shoal_err take_words(struct typed *t, const char *p, struct error *e)
{
	unsigned at = 0, max = cmd_count_args(t->cmd);
	for (p = skip_blanks(p); *p != '\0'; p = skip_blanks(p)) {
		struct buf b = { 0 };
		bool closed = next_word(&p, &b);
		char *word = buf_steal_str(&b);
		if (!closed || word == NULL) {
			free(word);
			return error_set(e, SHOAL_EUSAGE, closed ? "out of memory" : "a quote is not closed");
		}
		if (!take_option(t, word)) {
			at = next_place(t, at);
			if (at >= max) {
				struct buf usage = { 0 };
				cmd_usage_typed(t->cmd, &usage);
				error_set(e, SHOAL_EUSAGE, "%s: one word too many: '%.80s'; it is %.*s (quote names with spaces)",
				          t->cmd->name, word, (int)usage.len, usage.data != NULL ? (char *)usage.data : "");
				buf_free(&usage);
				free(word);
				return SHOAL_EUSAGE;
			}
			t->argv[at] = value_str(word);
			t->n = at + 1 > t->n ? at + 1 : t->n;
			at++;
		}
		free(word);
	}
	return SHOAL_OK;
}

enum shoal_err typed_parse(const char *line, struct typed *out, struct error *e)
{
	const char *rest;
	*out = (struct typed){ 0 };
	out->cmd = typed_verb(line, &rest);
	if (out->cmd == NULL)
		return error_set(e, SHOAL_EUSAGE, "this is no command");
	enum shoal_err rc = take_words(out, rest, e);
	if (rc != SHOAL_OK)
		typed_free(out);
	return rc;
}

void typed_quote(struct buf *out, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.+@%,:";
	bool quote = text[0] == '\0' || strspn(text, plain) != strlen(text);
	buf_printf(out, quote ? "\"" : "");
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			buf_put_u8(out, '\\');
		buf_put_u8(out, (uint8_t)*p);
	}
	buf_printf(out, quote ? "\"" : "");
}

void typed_free(struct typed *t)
{
	for (unsigned i = 0; i < CMD_MAX_ARGS; i++)
		value_free(&t->argv[i]);
}
