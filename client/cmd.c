/* client/cmd.c */
#include "client/cmd.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/shell.h"
#include "client/suggest.h"
#include "core/base/mem.h"
#include "core/base/name.h"
#include "core/base/units.h"

static const struct cmd *const tables[] = { cmd_user_table,  cmd_group_table, cmd_file_table,
	                                    cmd_batch_table, cmd_job_table,   cmd_tracker_table };

const struct cmd *cmd_next(const struct cmd *cmd)
{
	if (cmd == NULL)
		return tables[0];
	if (cmd[1].name != NULL)
		return cmd + 1;
	for (size_t t = 0; t + 1 < COUNT_OF(tables); t++) {
		const struct cmd *last = tables[t];
		while (last->name != NULL && last != cmd)
			last++;
		if (last == cmd)
			return tables[t + 1];
	}
	return NULL;
}

const struct cmd *cmd_find(const char *name)
{
	const struct cmd *cmd = NULL;
	while ((cmd = cmd_next(cmd)) != NULL)
		if (strcmp(cmd->name, name) == 0)
			return cmd;
	return NULL;
}

const char *cmd_suggest(const char *name)
{
	struct suggestion s = { .word = name };
	const struct cmd *cmd = NULL;
	while ((cmd = cmd_next(cmd)) != NULL)
		if ((cmd->flags & (CMD_MODULE | CMD_METHOD | CMD_HIDDEN)) == 0)
			suggest_try(&s, cmd->name);
	return s.best;
}

unsigned cmd_count_args(const struct cmd *cmd)
{
	unsigned n = 0;
	while (n < CMD_MAX_ARGS && cmd->args[n].name != NULL)
		n++;
	return n;
}

void cmd_usage(const struct cmd *cmd, struct buf *out)
{
	unsigned n = cmd_count_args(cmd), first = 0, open = 0;
	if ((cmd->flags & CMD_METHOD) != 0) {
		buf_printf(out, "job:%s(", cmd->name + strlen("job_"));
		first = 1;
	} else {
		buf_printf(out, "%s%s(", (cmd->flags & CMD_MODULE) != 0 ? "shoal." : "", cmd->name);
	}
	for (unsigned i = first; i < n; i++) {
		if (cmd->args[i].optional) {
			buf_printf(out, i > first ? " [" : "[");
			open++;
		}
		buf_printf(out, i > first ? ", %s" : "%s", cmd->args[i].name);
	}
	while (open-- != 0)
		buf_printf(out, "]");
	buf_printf(out, ")");
}

void cmd_usage_typed(const struct cmd *cmd, struct buf *out)
{
	buf_printf(out, "%s", cmd->name);
	for (unsigned i = 0; i < cmd_count_args(cmd); i++) {
		const struct cmd_arg *arg = &cmd->args[i];
		if (arg->kind == ARG_OPTS)
			continue; /* key=value words: .help tells which */
		buf_printf(out, arg->optional ? " [" : " ");
		for (const char *p = arg->name; *p != '\0'; p++)
			buf_put_u8(out, (uint8_t)toupper((unsigned char)*p));
		buf_printf(out, arg->optional ? "]" : "");
	}
}

struct cmd_run *cmd_run_new(const struct cmd *cmd)
{
	struct cmd_run *run = try_alloc(sizeof(*run));
	if (run != NULL)
		run->cmd = cmd;
	return run;
}

void cmd_run_free(struct cmd_run *run)
{
	if (run == NULL)
		return;
	for (unsigned i = 0; i < CMD_MAX_ARGS; i++)
		value_free(&run->argv[i]);
	value_free(&run->scratch);
	value_free(&run->result);
	value_free(&run->details);
	free(run);
}

/* -- arguments */

static bool to_bytes(struct value *v)
{
	uint64_t n;
	if (v->type == VALUE_INT)
		return v->integer >= 0;
	if (v->type == VALUE_NUMBER && v->number >= 0 && v->number < 9e18) {
		*v = value_int((int64_t)v->number);
		return true;
	}
	if (v->type != VALUE_STR || !units_parse_bytes(value_text(v, ""), &n))
		return false;
	value_free(v);
	*v = value_int((int64_t)n);
	return true;
}

/* Becomes a number of milliseconds. */
static bool to_ms(struct value *v)
{
	uint64_t ms;
	if (v->type == VALUE_INT && v->integer >= 0 && v->integer < 4000000) {
		v->integer *= 1000;
		return true;
	}
	if (v->type == VALUE_NUMBER && v->number >= 0 && v->number < 4e6) {
		*v = value_int((int64_t)ceil(v->number * 1000));
		return true;
	}
	if (v->type != VALUE_STR || !units_parse_ms(value_text(v, ""), &ms) || ms > 4000000000u)
		return false;
	value_free(v);
	*v = value_int((int64_t)ms);
	return true;
}

static bool to_int(struct value *v)
{
	char *end;
	if (v->type == VALUE_NUMBER && v->number == floor(v->number) && fabs(v->number) < 9e18) {
		*v = value_int((int64_t)v->number);
	} else if (v->type == VALUE_STR && v->str.len != 0) {
		long long n = strtoll(v->str.data, &end, 10);
		if (*end != '\0')
			return false;
		value_free(v);
		*v = value_int(n);
	}
	return v->type == VALUE_INT;
}

static bool to_job(struct value *v)
{
	if (v->type == VALUE_JOB)
		return true;
	if (!to_int(v) || v->integer < 1)
		return false;
	*v = value_job((uint64_t)v->integer);
	return true;
}

static bool to_bool(struct value *v)
{
	const char *text = value_text(v, "");
	bool yes = strcmp(text, "true") == 0 || strcmp(text, "yes") == 0;
	if (!yes && strcmp(text, "false") != 0 && strcmp(text, "no") != 0)
		return v->type == VALUE_BOOL;
	value_free(v);
	*v = value_bool(yes);
	return true;
}

static bool to_stamp(struct value *v)
{
	struct stamp s;
	if (v->type == VALUE_LIST) {
		for (size_t i = 0; i < v->table.n; i++)
			if (v->table.items[i].type == VALUE_LIST || !to_stamp(&v->table.items[i]))
				return false;
		return v->table.n != 0 && v->table.n <= 256;
	}
	if (v->type == VALUE_STR && stamp_parse(value_text(v, ""), &s)) {
		value_free(v);
		*v = value_stamp(&s);
	}
	return v->type == VALUE_STAMP;
}

static bool to_jobs(struct value *v)
{
	if (v->type == VALUE_TABLE && v->table.n == 0)
		v->type = VALUE_LIST;
	if (v->type != VALUE_LIST)
		return false;
	for (size_t i = 0; i < v->table.n; i++)
		if (!to_job(&v->table.items[i]))
			return false;
	return true;
}

static bool is_list_of(struct value *v, enum value_type type)
{
	if (v->type == VALUE_TABLE && v->table.n == 0)
		v->type = VALUE_LIST;
	for (size_t i = 0; v->type == VALUE_LIST && i < v->table.n; i++)
		if (v->table.items[i].type != type)
			return false;
	return v->type == VALUE_LIST;
}

const char *cmd_kind_word(enum arg_kind kind)
{
	static const char *const words[] = {
		[ARG_USER] = "a string",     [ARG_GROUP] = "a string",   [ARG_FILE] = "a string",
		[ARG_PATH] = "a string",     [ARG_STRING] = "a string",  [ARG_SECRET] = "a string",
		[ARG_INT] = "a number",      [ARG_SIZE] = "a number of bytes or text such as \"20M\"",
		[ARG_SECONDS] = "a number of seconds or text such as \"200ms\"",
		[ARG_BOOL] = "true or false", [ARG_STAMP] = "a stamp",   [ARG_JOB] = "a job",
		[ARG_JOBS] = "a list of jobs", [ARG_OPTS] = "a table",   [ARG_FILTER] = "a string or a table",
		[ARG_COUNT] = "\"all\" or a number", [ARG_LIST] = "a list of tables",
		[ARG_GLOBS] = "a pattern or a list of them",
	};
	return words[kind];
}

static bool to_kind(struct value *v, enum arg_kind kind)
{
	switch (kind) {
	case ARG_NONE: return true;
	case ARG_USER:
	case ARG_GROUP:
	case ARG_FILE:
	case ARG_PATH:
	case ARG_STRING:
	case ARG_SECRET: return v->type == VALUE_STR;
	case ARG_INT: return to_int(v);
	case ARG_SIZE: return to_bytes(v);
	case ARG_SECONDS: return to_ms(v);
	case ARG_BOOL: return to_bool(v);
	case ARG_STAMP: return to_stamp(v);
	case ARG_JOB: return to_job(v);
	case ARG_JOBS: return to_jobs(v);
	case ARG_FILTER:
		if (v->type == VALUE_STR)
			return true;
		/* fall through */
	case ARG_OPTS:
		if (v->type == VALUE_LIST && v->table.n == 0)
			v->type = VALUE_TABLE;
		return v->type == VALUE_TABLE;
	case ARG_COUNT: return strcmp(value_text(v, ""), "all") == 0 || to_int(v);
	case ARG_LIST: return is_list_of(v, VALUE_TABLE);
	case ARG_GLOBS: return v->type == VALUE_STR || is_list_of(v, VALUE_STR);
	}
	return false;
}

static bool is_choice(const char *choices, const char *word)
{
	size_t len = strlen(word);
	for (const char *p = choices; p != NULL; p = strchr(p, '|')) {
		p += *p == '|';
		if (strncmp(p, word, len) == 0 && (p[len] == '|' || p[len] == '\0') && len != 0)
			return true;
	}
	return false;
}

/* What was given, for a message: "'abc'" or "a table". */
static const char *shown(const struct value *v, char *out, size_t size)
{
	if (v->type != VALUE_STR)
		return value_type_word(v->type);
	out[0] = '\'';
	text_escape(v->str.data, v->str.len < 60 ? v->str.len : 60, out + 1, size - 2);
	size_t n = strlen(out);
	out[n] = '\'';
	out[n + 1] = '\0';
	return out;
}

static enum shoal_err check_opt(const struct cmd_opt *opts, const char *key, struct value *v, struct error *e)
{
	const struct cmd_opt *o = opts;
	char text[80];
	while (o != NULL && o->name != NULL && strcmp(o->name, key) != 0)
		o++;
	if (o == NULL || o->name == NULL) {
		struct suggestion s = { .word = key };
		for (o = opts; o != NULL && o->name != NULL; o++)
			suggest_try(&s, o->name);
		text_escape(key, strlen(key), text, sizeof(text));
		return error_set(e, SHOAL_EUSAGE, s.best != NULL ? "no option '%s': did you mean '%s'?" : "no option '%s'", text,
		                 s.best);
	}
	if (!to_kind(v, o->kind))
		return error_set(e, SHOAL_EUSAGE, "option '%s' must be %s, got %s", key, cmd_kind_word(o->kind),
		                 shown(v, text, sizeof(text)));
	if (o->choices != NULL && v->type == VALUE_STR && !is_choice(o->choices, value_text(v, "")))
		return error_set(e, SHOAL_EUSAGE, "option '%s' must be one of %s, got %s", key, o->choices,
		                 shown(v, text, sizeof(text)));
	return SHOAL_OK;
}

enum shoal_err cmd_check_table(const struct cmd_opt *opts, struct value *table, struct error *e)
{
	for (size_t i = 0; i < table->table.n; i++)
		if (check_opt(opts, table->table.keys[i], &table->table.items[i], e) != SHOAL_OK)
			return SHOAL_EUSAGE;
	return SHOAL_OK;
}

static enum shoal_err check_arg(const struct cmd_arg *arg, unsigned number, struct value *v, struct error *e)
{
	char text[80];
	if (v->type == VALUE_NIL && arg->optional)
		return SHOAL_OK;
	const char *which = arg->kind == ARG_SECRET ? value_type_word(v->type) : shown(v, text, sizeof(text));
	bool wrong_text = v->type == VALUE_STR; /* to_kind() may have replaced it */
	if (!to_kind(v, arg->kind))
		return error_set(e, SHOAL_EUSAGE, "argument %u '%s' must be %s, got %s", number, arg->name, cmd_kind_word(arg->kind),
		                 wrong_text ? which : value_type_word(v->type));
	if (v->type == VALUE_STR && arg->kind != ARG_SECRET && arg->kind != ARG_FILTER &&
	    (v->str.len == 0 || memchr(v->str.data, '\0', v->str.len) != NULL))
		return error_set(e, SHOAL_EUSAGE, "argument %u '%s' %s", number, arg->name,
		                 v->str.len == 0 ? "is empty" : "holds a NUL byte");
	if (v->type == VALUE_TABLE && (arg->kind == ARG_OPTS || arg->kind == ARG_FILTER))
		return cmd_check_table(arg->opts, v, e);
	return SHOAL_OK;
}

enum shoal_err cmd_check_args(struct cmd_run *run, unsigned n, struct error *e)
{
	const struct cmd *cmd = run->cmd;
	unsigned max = cmd_count_args(cmd), first = (cmd->flags & CMD_METHOD) != 0;
	if (n > max) {
		struct buf usage = { 0 };
		cmd_usage(cmd, &usage);
		error_set(e, SHOAL_EUSAGE, "takes at most %u argument%s, got %u: %.*s", max - first, max - first == 1 ? "" : "s",
		          n - first, (int)usage.len, usage.data != NULL ? (char *)usage.data : "");
		buf_free(&usage);
		return SHOAL_EUSAGE;
	}
	for (unsigned i = 0; i < max; i++) {
		if (run->argv[i].failed)
			return error_set(e, SHOAL_EBUSY, "out of memory");
		enum shoal_err rc = check_arg(&cmd->args[i], i + 1 - (i != 0 ? first : 0), &run->argv[i], e);
		if (rc != SHOAL_OK)
			return rc;
	}
	return SHOAL_OK;
}

/* -- lengths */

static size_t longest(enum arg_kind kind)
{
	enum { ALIAS_TAIL = 7, OTHER_TEXT_MAX = 4096 };
	switch (kind) {
	case ARG_USER:
	case ARG_GROUP: return NAME_SHORT_MAX + ALIAS_TAIL;
	case ARG_FILE: return NAME_FILE_MAX + ALIAS_TAIL;
	case ARG_SECRET: return PASSWORD_MAX;
	default: return OTHER_TEXT_MAX;
	}
}

static enum shoal_err check_length(const char *name, enum arg_kind kind, const struct value *v, struct error *e)
{
	static const char *const words[] = { [ARG_USER] = "name of the user", [ARG_GROUP] = "name of the group",
		                             [ARG_FILE] = "name of the file", [ARG_SECRET] = "password", [ARG_COUNT] = NULL };
	if (v->type != VALUE_STR || v->str.len <= longest(kind))
		return SHOAL_OK;
	return error_set(e, SHOAL_EUSAGE, "the %s is too long: %zu bytes, at most %zu", words[kind] != NULL ? words[kind] : name,
	                 v->str.len, longest(kind));
}

enum shoal_err cmd_check_lengths(const struct cmd_run *run, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	for (unsigned i = 0; i < cmd_count_args(run->cmd) && rc == SHOAL_OK; i++) {
		const struct cmd_arg *arg = &run->cmd->args[i];
		rc = check_length(arg->name, arg->kind, &run->argv[i], e);
		for (const struct cmd_opt *o = arg->opts; o != NULL && o->name != NULL && rc == SHOAL_OK; o++) {
			const struct value *v = value_get(&run->argv[i], o->name);
			rc = v != NULL ? check_length(o->name, o->kind, v, e) : SHOAL_OK;
		}
	}
	return rc;
}

/* -- for the commands */

struct call *cmd_verb_call(enum cmd_verb verb)
{
	struct call *c = call_new(CALL_VERB);
	if (c != NULL)
		c->verb = verb;
	return c;
}

const char *cmd_arg_text(const struct cmd_run *run, unsigned i, const char *otherwise)
{
	return value_text(&run->argv[i], otherwise);
}

struct slice cmd_arg_slice(const struct cmd_run *run, unsigned i)
{
	const struct value *v = &run->argv[i];
	return v->type == VALUE_STR ? slice_of(v->str.data, v->str.len) : slice_str("");
}

enum shoal_err cmd_read_rows(struct cmd_run *run, const struct call *c, void (*head)(struct cursor *c), cmd_row_fn *row,
                             struct error *e)
{
	if (c->error.code != SHOAL_OK) {
		*e = c->error;
		return c->error.code;
	}
	if (run->result.type != VALUE_LIST) {
		value_free(&run->result);
		run->result = value_list();
	}
	for (size_t i = 0; i < c->nframes; i++) {
		struct cursor cur = cursor_of(c->frames[i].data, c->frames[i].len);
		if (head != NULL)
			head(&cur);
		for (unsigned n = get_u16(&cur); n != 0 && !cur.bad; n--)
			row(run, &cur);
		if (cursor_end(&cur) != SHOAL_OK)
			return error_set(e, SHOAL_EPROTO, "%s: the tracker's answer cannot be read", run->cmd->name);
	}
	return SHOAL_OK;
}

enum shoal_err cmd_give_stamp(struct cmd_run *run, const struct call *c, struct error *e)
{
	if (c->error.code != SHOAL_OK) {
		*e = c->error;
		return c->error.code;
	}
	run->result = value_stamp(&c->stamp);
	run->result.synced = c->synced;
	return SHOAL_OK;
}

enum shoal_err cmd_need_secret(struct cmd_run *run, unsigned i, const char *question, bool twice, struct error *e)
{
	const struct shell_config *sc = shell_config(run->shell);
	if (run->argv[i].type == VALUE_STR)
		return SHOAL_OK;
	if (sc->ask_secret == NULL)
		return error_set(e, SHOAL_EAUTH, "no password was given for %s", run->cmd->name);
	struct secret_question q = { .text = question, .twice = twice, .terminal = run->asking != ASK_NOTHING };
	return sc->ask_secret(sc->owner, &q, &run->argv[i], e);
}
