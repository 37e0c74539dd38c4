/* client/session.c */
#include "client/session.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "client/dots.h"
#include "client/interrupt.h"
#include "client/prompt.h"
#include "client/suggest.h"
#include "client/typed.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/name.h"

void session_print(struct buf *b)
{
	if (b->data != NULL)
		fwrite(b->data, 1, b->len, stdout);
	fflush(stdout);
	buf_free(b);
}

void session_complain(struct session *s, int code, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX + 100], shown[2 * sizeof(text)], where[40] = "";
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (s->piped)
		snprintf(where, sizeof(where), "stdin:%u: ", s->first);
	fprintf(stderr, "%serror: %s\n", where, text_escape(text, strlen(text), shown, sizeof(shown)));
	s->code = exit_code_join(s->code, code);
}

/* -- results */

static void print_value(struct session *s, int index)
{
	lua_State *L = lua_host_state(s->host);
	struct buf b = { 0 };
	struct value v = lua_to_value(L, index);
	if (v.failed) { /* a function, or a table that holds one */
		char shown[1024];
		size_t len;
		const char *text = luaL_tolstring(L, index, &len);
		buf_printf(&b, "%s\n", text_escape(text, len, shown, sizeof(shown)));
		lua_pop(L, 1);
	} else {
		format_value(&b, &v, &s->format);
	}
	value_free(&v);
	session_print(&b);
}

static void print_failure(struct session *s, int index)
{
	struct value v = lua_err_value(lua_host_state(s->host), index);
	const char *code = value_get_text(&v, "code", "internal");
	session_complain(s, error_exit_code(error_from_word(code)), "%s (%s)", value_get_text(&v, "message", "?"), code);
	value_free(&v);
}

/* A global without asking whether it was declared: nothing here may raise. */
static int raw_global(lua_State *L, const char *name)
{
	lua_pushglobaltable(L);
	lua_pushstring(L, name);
	int type = lua_rawget(L, -2);
	lua_remove(L, -2);
	return type;
}

/* `_` and out[n]. */
static void remember(struct session *s, int index)
{
	lua_State *L = lua_host_state(s->host);
	lua_pushglobaltable(L);
	lua_pushliteral(L, "_");
	lua_pushvalue(L, index);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	if (raw_global(L, "out") == LUA_TTABLE) {
		lua_pushvalue(L, index);
		lua_rawseti(L, -2, (lua_Integer)++s->nout);
	}
	lua_pop(L, 1);
}

static void show_results(struct session *s, int n, bool *failed)
{
	lua_State *L = lua_host_state(s->host);
	int first = lua_gettop(L) - n + 1;
	*failed = n >= 2 && lua_isnil(L, first) && lua_is_err(L, first + 1);
	if (n >= 2 && lua_isnil(L, first) && lua_is_err(L, first + 1)) {
		print_failure(s, first + 1);
	} else if (n > 0) {
		for (int i = first; i < first + n; i++)
			print_value(s, i);
		remember(s, first);
	}
	lua_pop(L, n);
}

/* The function and its arguments lie on the stack. False: it failed. */
static bool call(struct session *s, int nargs)
{
	int n = 0, code = 0;
	bool failed = true;
	uint64_t began = clock_mono_us();
	fflush(stdout);
	if (lua_host_call(s->host, nargs, &n, &code))
		show_results(s, n, &failed);
	else
		s->code = exit_code_join(s->code, code);
	if (s->timing)
		printf("%.3f s\n", (double)(clock_mono_us() - began) / 1e6);
	fflush(stdout);
	return !failed;
}

/* -- typed forms */

/* The first argument that must be there and is not. */
static const char *missing_word(const struct typed *t)
{
	for (unsigned i = 0; i < cmd_count_args(t->cmd); i++)
		if (!t->cmd->args[i].optional && t->argv[i].type == VALUE_NIL && !t->argv[i].failed)
			return t->cmd->args[i].name;
	return NULL;
}

void session_typed(struct session *s, const char *line)
{
	lua_State *L = lua_host_state(s->host);
	struct typed t;
	struct error e;
	if (typed_parse(line, &t, &e) != SHOAL_OK) {
		session_complain(s, error_exit_code(SHOAL_EUSAGE), "%s", e.message);
		return;
	}
	struct cmd_run *run = cmd_run_new(t.cmd); /* only to check: the line itself goes through Lua like any other */
	bool ok = run != NULL;
	for (unsigned i = 0; ok && i < t.n; i++)
		run->argv[i] = value_copy(&t.argv[i]);
	const char *lacks = ok ? missing_word(&t) : NULL;
	if (lacks != NULL) {
		struct buf usage = { 0 };
		cmd_usage_typed(t.cmd, &usage);
		session_complain(s, error_exit_code(SHOAL_EUSAGE), "%s needs %s %s: %.*s", t.cmd->name,
		         strchr("aeio", lacks[0]) != NULL ? "an" : "a", lacks, (int)usage.len,
		         usage.data != NULL ? (const char *)usage.data : "");
		buf_free(&usage);
		ok = false;
	} else if (ok && cmd_check_args(run, t.n, &e) != SHOAL_OK) {
		session_complain(s, error_exit_code(SHOAL_EUSAGE), "%s: %s", t.cmd->name, e.message);
		ok = false;
	}
	cmd_run_free(run);
	if (ok) {
		unsigned given = t.n;
		bool upload = s->piped && strcmp(t.cmd->name, "upload_file") == 0;
		lua_getglobal(L, t.cmd->name);
		for (unsigned i = 0; i < t.n; i++)
			lua_push_value(L, &t.argv[i]);
		if (upload) {
			while (t.n < 2 + 1u)
				lua_pushnil(L), t.n++;
			if (!lua_istable(L, -1)) {
				lua_pop(L, 1);
				lua_createtable(L, 0, 1);
			}
			lua_pushboolean(L, 1);
			lua_setfield(L, -2, "wait");
		}
		bool good = call(s, (int)t.n);
		record_typed(s, t.cmd, t.argv, given, !good);
	}
	typed_free(&t);
}

static bool compiles(struct session *s, const char *line, const char *more)
{
	bool expression;
	struct error e;
	char *code = str_printf("%s%s", line, more);
	bool ok = lua_host_compile(s->host, "=typed", code, &expression, &e) == LINE_OK;
	free(code);
	if (ok)
		lua_pop(lua_host_state(s->host), 1);
	return ok;
}

/* "my file" team: Lua reads that as a call and the next statement, but nobody writes two without a sign between them. */
static bool two_words(const char *rest)
{
	rest += strspn(rest, " \t");
	const char *close = rest[0] == '"' || rest[0] == '\'' ? strchr(rest + 1, rest[0]) : NULL;
	if (close == NULL || close[-1] == '\\' || (close[1] != ' ' && close[1] != '\t'))
		return false;
	close += 1 + strspn(close + 1, " \t");
	size_t len = strspn(close, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/~\"'");
	bool operator = (len == 2 && strncmp(close, "or", 2) == 0) || (len == 3 && strncmp(close, "and", 3) == 0);
	return len != 0 && !operator;
}

/* A verb in front, and no Lua: it does not compile. An unfinished statement counts as Lua, unless all it lacks is to be
 * a statement at all: upload_file "a b.txt" team */
static bool is_typed(struct session *s, const char *line)
{
	const char *rest;
	bool expression;
	struct error e;
	if (typed_verb(line, &rest) == NULL)
		return false;
	if (rest[strspn(rest, " \t")] == '\0')
		return true; /* a lone verb calls it */
	if (two_words(rest))
		return true;
	switch (lua_host_compile(s->host, "=typed", line, &expression, &e)) {
	case LINE_OK: lua_pop(lua_host_state(s->host), 1); return false;
	case LINE_INCOMPLETE: return compiles(s, line, "()");
	case LINE_BAD: return true;
	}
	return false;
}

/* -- lines */

static bool is_word(const char *line, const char *word)
{
	size_t len = strlen(word);
	return strncmp(line, word, len) == 0 && line[len + strspn(line + len, " \t\r")] == '\0';
}

static bool is_global(struct session *s, const char *name)
{
	lua_State *L = lua_host_state(s->host);
	bool known = raw_global(L, name) != LUA_TNIL;
	lua_pop(L, 1);
	return known;
}

/* `foo bar`, where foo is nothing: in no language a statement, but in the typed form of a command that does not exist. */
static bool no_command(struct session *s, const char *line)
{
	static const char *const lua_words[] = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function",
		                                 "goto", "if", "in", "local", "nil", "not", "or", "repeat", "return", "then",
		                                 "true", "until", "while" };
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	char word[40], second[40], both[80];
	size_t len = strspn(line, letters), blanks = strspn(line + len, " \t");
	const char *next = line + len + blanks;
	if (blanks == 0 || isdigit((unsigned char)line[0]) || !slice_to_str(slice_of(line, len), word, sizeof(word)) || is_global(s, word) ||
	    (strspn(next, letters) == 0 && strchr("\"'/", next[0]) == NULL) || next[0] == '\0')
		return false;
	if (!slice_to_str(slice_of(next, strspn(next, letters)), second, sizeof(second)))
		second[0] = '\0';
	for (size_t i = 0; i < COUNT_OF(lua_words); i++)
		if (strcmp(word, lua_words[i]) == 0 || strcmp(second, lua_words[i]) == 0)
			return false;
	snprintf(both, sizeof(both), "%s_%s", word, second);
	const char *near = cmd_suggest(word);
	near = near != NULL ? near : cmd_suggest(both);
	session_complain(s, error_exit_code(SHOAL_EUSAGE), near != NULL ? "no command '%s': did you mean '%s'?" : "no command '%s'", word,
	         near);
	return true;
}

/* A first word that is nothing, but nearly a command: says so. */
static bool misspelt(struct session *s, const char *line)
{
	char word[40];
	size_t len = strspn(line, "abcdefghijklmnopqrstuvwxyz_");
	if (len < 3 || (line[len] != '\0' && line[len] != ' ') || !slice_to_str(slice_of(line, len), word, sizeof(word)))
		return false;
	const char *near = is_global(s, word) ? NULL : cmd_suggest(word);
	if (near != NULL)
		session_complain(s, error_exit_code(SHOAL_EUSAGE), "no command '%s': did you mean '%s'?", word, near);
	return near != NULL;
}

/* "stdin:3: unexpected symbol ...": in a statement of several lines the number is that of the line at fault. */
static void complain_of_syntax(struct session *s, const char *why)
{
	const char *text = strncmp(why, "stdin:", 6) == 0 || strncmp(why, "prompt:", 7) == 0 ? strstr(why, ": ") : NULL;
	unsigned line = text != NULL ? (unsigned)strtoul(strchr(why, ':') + 1, NULL, 10) : 0;
	if (line != 0)
		s->first = line;
	session_complain(s, error_exit_code(SHOAL_EUSAGE), "%s", text != NULL ? text + 2 : why);
}

static char *numbered_code(const struct session *s, const char *code)
{
	unsigned lines = 0;
	for (const char *p = code; *p != '\0'; p++)
		lines += *p == '\n';
	unsigned before = s->line > lines ? s->line - lines - 1 : 0;
	char *out = xalloc(before + strlen(code) + 1);
	memset(out, '\n', before);
	memcpy(out + before, code, strlen(code));
	return out;
}

static enum session_result run_lua(struct session *s, const char *code)
{
	bool expression;
	struct error e;
	/* Newlines in front make the numbers of a statement's lines those of the input. */
	char *numbered = s->piped ? numbered_code(s, code) : str_printf("%s", code);
	enum line_state state = lua_host_compile(s->host, s->piped ? "=stdin" : "=prompt", numbered, &expression, &e);
	free(numbered);
	switch (state) {
	case LINE_OK:
		lua_host_keep_locals(s->host);
		record_lua(s, code, !call(s, 0));
		break;
	case LINE_INCOMPLETE: return SESSION_MORE;
	case LINE_BAD:
		if (!misspelt(s, code))
			complain_of_syntax(s, e.message);
		break;
	}
	return SESSION_DONE;
}

enum session_result session_line(struct session *s, const char *line)
{
	s->line++;
	if (s->pending.len == 0) {
		s->first = s->line;
		line += strspn(line, " \t\r");
		if (line[0] == '\0')
			return SESSION_DONE;
		if ((line[0] == '.' && line[1] != '.') || line[0] == '\\')
			return dot_run(s, line + 1);
		if (is_word(line, "exit") || is_word(line, "quit"))
			return SESSION_QUIT;
		if (is_word(line, "help") || strncmp(line, "help ", 5) == 0)
			return dot_run(s, line);
		if (is_typed(s, line)) {
			session_typed(s, line);
			return SESSION_DONE;
		}
		if (no_command(s, line) || (strchr(line, ' ') == NULL && misspelt(s, line)))
			return SESSION_DONE;
	} else {
		buf_put(&s->pending, "\n", 1);
	}
	buf_put(&s->pending, line, strlen(line));
	char *code = buf_steal_str(&s->pending);
	enum session_result r = code != NULL ? run_lua(s, code) : SESSION_DONE;
	if (r == SESSION_MORE)
		buf_put(&s->pending, code, strlen(code));
	free(code);
	return r;
}

void session_end(struct session *s)
{
	if (s->pending.len != 0)
		session_complain(s, error_exit_code(SHOAL_EUSAGE), "the input ends in the middle of a statement");
	session_drop_pending(s);
}

void session_drop_pending(struct session *s)
{
	buf_reset(&s->pending);
}

bool session_holds_secret(const char *line)
{
	return !history_may_keep(line);
}

void session_free(struct session *s)
{
	if (s->record != NULL)
		fclose(s->record);
	buf_free(&s->pending);
}
