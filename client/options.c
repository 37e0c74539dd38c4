/* client/options.c */
#include "client/options.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/config.h"
#include "client/suggest.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/units.h"

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_LIST, OPTION_NUMBER, OPTION_TIME, OPTION_WORD };

/* What an option without a value sets; the text behind it is for --help. */
struct option_entry {
	const char *name, *letter, *value, *help;
	enum option_kind kind;
	size_t offset;  /* in struct options */
	size_t counter; /* OPTION_LIST */
};

#define AT(field) offsetof(struct options, field)
static const struct option_entry table[] = {
	{ NULL, "-e", "CODE", "run a line of Lua (may be repeated)", OPTION_LIST, AT(code), AT(ncode) },
	{ NULL, "-l", "MODULE", "require it first (may be repeated)", OPTION_LIST, AT(modules), AT(nmodules) },
	{ NULL, "-i", NULL, "prompt afterwards, even without a terminal", OPTION_FLAG, AT(interactive) },
	{ "--batch", NULL, "FILE|-", "one download a line: GROUP <tab> FILE <tab> DEST [<tab> key=value ...]", OPTION_TEXT, AT(batch) },
	{ "--test", NULL, "FILE|DIR", "run scenarios; TAP on standard output", OPTION_TEXT, AT(test) },
	{ "--control", NULL, "PATH", "serve a control socket there", OPTION_TEXT, AT(control) },
	{ "--daemon", NULL, NULL, "no terminal: share and serve the control socket until SIGTERM", OPTION_FLAG, AT(daemon) },
	{ "--attach", NULL, NULL, "a prompt on the daemon that runs; no address is needed", OPTION_FLAG, AT(attach) },
	{ "--password-file", NULL, "FILE", "where a password that is asked for stands", OPTION_TEXT, AT(password_file) },
	{ "--password-fd", NULL, "N", "the same from a descriptor", OPTION_NUMBER, AT(password_fd) },
	{ "--no-input", NULL, NULL, "never read standard input, never ask", OPTION_FLAG, AT(no_input) },
	{ "--data", NULL, "DIR", "keep everything there instead of the XDG folders", OPTION_TEXT, AT(data) },
	{ "--auto-login", NULL, "yes|no|ask", "log in again by itself after a failover", OPTION_WORD, AT(auto_login) },
	{ "--announce", NULL, "HOST:PORT", "the address that others shall dial", OPTION_TEXT, AT(announce) },
	{ "--cluster", NULL, "sha256:HEX", "the trackers' identity", OPTION_TEXT, AT(cluster) },
	{ "--plaintext", NULL, NULL, "links between peers in the clear, where the cluster allows it", OPTION_FLAG, AT(plaintext) },
	{ "--threads", NULL, "N", "transfer threads (2 to 10, as there are cores)", OPTION_NUMBER, AT(threads) },
	{ "--strict", NULL, NULL, "failing commands throw", OPTION_FLAG, AT(strict) },
	{ "--sandbox", NULL, NULL, "scripts of others: no programs, no files but below the working directory, an end to memory and computing",
	  OPTION_FLAG, AT(sandbox) },
	{ "--no-wait", NULL, NULL, "do not wait for running jobs at the end", OPTION_FLAG, AT(no_wait) },
	{ "--timeout", NULL, "DURATION", "end with code 11 after that time", OPTION_TIME, AT(timeout_ms) },
	{ "--progress", NULL, "auto|line|json|none", "how progress is shown, on standard error", OPTION_WORD, AT(progress) },
	{ "--no-progress", NULL, NULL, "the same as --progress=none", OPTION_WORD, AT(progress) },
	{ "--fail-if-empty", NULL, NULL, "code 15 if --batch had nothing to do", OPTION_FLAG, AT(fail_if_empty) },
	{ "--json", NULL, NULL, "values are printed as JSON", OPTION_FLAG, AT(json) },
	{ "--plain", NULL, NULL, "values are printed in full, without shortening", OPTION_FLAG, AT(plain) },
	{ "--quiet", "-q", NULL, "no progress, no notes", OPTION_FLAG, AT(quiet) },
	{ "--verbose", "-v", NULL, "whole tracebacks, log lines on standard error", OPTION_FLAG, AT(verbose) },
	{ "--log-file", NULL, "FILE", "write the log there", OPTION_TEXT, AT(log_file) },
	{ "--color", NULL, "auto|always|never", "colours at the prompt", OPTION_WORD, AT(color) },
	{ "--rc", NULL, "FILE", "run it before the prompt instead of rc.lua", OPTION_TEXT, AT(rc) },
	{ "--no-rc", NULL, NULL, "run no rc.lua", OPTION_FLAG, AT(no_rc) },
	{ "--help", "-h", NULL, "this text", OPTION_FLAG, AT(help) },
	{ "--version", "-V", NULL, "the version", OPTION_FLAG, AT(version) },
};

static enum shoal_err set_word(struct options *o, const struct option_entry *t, const char *text, struct error *e)
{
	static const char *const modes[] = { [PROGRESS_AUTO] = "auto", [PROGRESS_LINE] = "line", [PROGRESS_JSON] = "json",
		                             [PROGRESS_NONE] = "none" };
	if (strcmp(t->name, "--no-progress") == 0) {
		o->progress = PROGRESS_NONE;
		return SHOAL_OK;
	}
	if (t->offset == AT(progress)) {
		for (unsigned i = 0; i < COUNT_OF(modes); i++)
			if (strcmp(modes[i], text) == 0) {
				o->progress = (enum progress_mode)i;
				return SHOAL_OK;
			}
	} else if (t->offset == AT(auto_login)) {
		bool yes = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
		bool no = strcmp(text, "no") == 0 || strcmp(text, "false") == 0;
		o->auto_login = yes ? AUTO_LOGIN_YES : no ? AUTO_LOGIN_NO : AUTO_LOGIN_ASK;
		if (yes || no || strcmp(text, "ask") == 0)
			return SHOAL_OK;
	} else if (strcmp(text, "auto") == 0 || strcmp(text, "always") == 0 || strcmp(text, "never") == 0) {
		o->color = text;
		return SHOAL_OK;
	}
	return error_set(e, SHOAL_EUSAGE, "%s must be one of %s, not '%.60s'", t->name, t->value, text);
}

static enum shoal_err set_list(struct options *o, const struct option_entry *t, const char *text, struct error *e)
{
	const char **list = (const char **)(void *)((char *)o + t->offset);
	unsigned *n = (unsigned *)(void *)((char *)o + t->counter);
	if (*n == OPTION_LIST_MAX)
		return error_set(e, SHOAL_EUSAGE, "%s may be given %d times", t->letter, OPTION_LIST_MAX);
	list[(*n)++] = text;
	return SHOAL_OK;
}

static enum shoal_err set_number(struct options *o, const struct option_entry *t, const char *text, struct error *e)
{
	char *end;
	assert(text != NULL); /* whoever has no word for it has told so */
	unsigned long n = strtoul(text, &end, 10);
	bool threads = t->offset == AT(threads), number = text[0] >= '0' && text[0] <= '9' && *end == '\0';
	if (threads && (!number || n < THREADS_LEAST || n > THREADS_MOST))
		return error_set(e, SHOAL_EUSAGE, "%s needs a number from %d to %d, not '%.60s'", t->name, THREADS_LEAST,
		                 THREADS_MOST, text);
	if (!number || n > 4096)
		return error_set(e, SHOAL_EUSAGE, "%s needs a number, not '%.60s'", t->name, text);
	if (threads)
		o->threads = (unsigned)n;
	else
		o->password_fd = (int)n;
	return SHOAL_OK;
}

static enum shoal_err set(struct options *o, const struct option_entry *t, const char *text, struct error *e)
{
	switch (t->kind) {
	case OPTION_FLAG: *(bool *)(void *)((char *)o + t->offset) = true; return SHOAL_OK;
	case OPTION_TEXT: *(const char **)(void *)((char *)o + t->offset) = text; return SHOAL_OK;
	case OPTION_LIST: return set_list(o, t, text, e);
	case OPTION_NUMBER: return set_number(o, t, text, e);
	case OPTION_WORD: return set_word(o, t, text, e);
	case OPTION_TIME: break;
	}
	return units_parse_ms(text, &o->timeout_ms)
	               ? SHOAL_OK
	               : error_set(e, SHOAL_EUSAGE, "%s needs a time such as 90s or 5m, not '%.60s'", t->name, text);
}

static const struct option_entry *find(const char *word, size_t len)
{
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if ((table[i].name != NULL && strlen(table[i].name) == len && strncmp(table[i].name, word, len) == 0) ||
		    (table[i].letter != NULL && strlen(table[i].letter) == len && strncmp(table[i].letter, word, len) == 0))
			return &table[i];
	return NULL;
}

static enum shoal_err unknown(const char *word, struct error *e)
{
	struct suggestion s = { .word = word };
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (table[i].name != NULL)
			suggest_try(&s, table[i].name);
	return s.best != NULL ? error_set(e, SHOAL_EUSAGE, "no option '%.60s': did you mean '%s'?", word, s.best)
	                      : error_set(e, SHOAL_EUSAGE, "no option '%.60s': see shoal --help", word);
}

/* Options up to the first word that is none; *at moves behind them. */
static enum shoal_err take_options(struct options *o, int argc, char *const *argv, int *at, struct error *e)
{
	while (*at < argc && argv[*at][0] == '-' && argv[*at][1] != '\0') {
		const char *word = argv[(*at)++], *eq = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
		if (strcmp(word, "--") == 0)
			return SHOAL_OK;
		const struct option_entry *t = find(word, eq != NULL ? (size_t)(eq - word) : strlen(word));
		if (t == NULL)
			return unknown(word, e);
		const char *text = eq != NULL ? eq + 1 : NULL;
		if (t->value == NULL && text != NULL)
			return error_set(e, SHOAL_EUSAGE, "%s takes no value", t->name);
		if (t->value != NULL && text == NULL) {
			if (*at == argc)
				return error_set(e, SHOAL_EUSAGE, "%s needs a value: %s", word, t->value);
			text = argv[(*at)++];
		}
		enum shoal_err rc = set(o, t, text, e);
		if (rc != SHOAL_OK)
			return rc;
	}
	return SHOAL_OK;
}

static const char *first(const char *a, const char *b, const char *c)
{
	return a != NULL ? a : b != NULL && b[0] != '\0' ? b : c;
}

static enum shoal_err load_settings(struct options *o, struct error *e)
{
	const char *path = getenv("SHOAL_CONFIG");
	char *folder = path == NULL ? fs_xdg(XDG_CONFIG, o->data) : NULL;
	char *standard = folder != NULL ? str_printf("%s/config.lua", folder) : NULL;
	enum shoal_err rc = SHOAL_OK;
	o->settings = value_table();
	if (path != NULL ? path[0] != '\0' : standard != NULL)
		rc = config_load(path != NULL ? path : standard, path != NULL, &o->settings, e);
	free(standard);
	free(folder);
	return rc;
}

/* Environment, then config, for what no option has said. */
static enum shoal_err fill(struct options *o, bool progress_given, struct error *e)
{
	const struct value *s = &o->settings;
	const char *progress = first(getenv("SHOAL_PROGRESS"), NULL, value_get_text(s, "progress", "auto"));
	const char *history = getenv("SHOAL_HISTORY");
	o->log_file = first(o->log_file, getenv("SHOAL_LOG"), value_get_text(s, "log_file", NULL));
	o->password_file = first(o->password_file, getenv("SHOAL_PASSWORD_FILE"), value_get_text(s, "password_file", NULL));
	o->announce = first(o->announce, NULL, value_get_text(s, "announce", NULL));
	o->cluster = first(o->cluster, NULL, value_get_text(s, "cluster", NULL));
	o->history = history != NULL ? history : value_get_text(s, "history", NULL);
	o->color = first(o->color, NULL, value_get_text(s, "color", "auto"));
	o->strict |= value_get_bool(s, "strict", false);
	o->plaintext |= value_get_bool(s, "plaintext", false);
	int64_t threads = value_get_int(s, "threads", o->threads != 0 ? o->threads : THREADS_LEAST);
	if (threads < THREADS_LEAST || threads > THREADS_MOST)
		return error_set(e, SHOAL_EUSAGE, "the setting 'threads' must be from %d to %d, not %lld", THREADS_LEAST,
		                 THREADS_MOST, (long long)threads);
	o->threads = o->threads != 0 ? o->threads : (unsigned)value_get_int(s, "threads", 0);
	o->max_active = (unsigned)value_get_int(s, "max_active", 0);
	o->timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : (uint64_t)value_get_int(s, "timeout", 0);
	if (o->auto_login < 0 && value_get(s, "auto_login") != NULL)
		o->auto_login = value_get_bool(s, "auto_login", false) ? AUTO_LOGIN_YES : AUTO_LOGIN_NO;
	return progress_given ? SHOAL_OK : set_word(o, find("--progress", strlen("--progress")), progress, e);
}

/* The first word should be IP:PORT. It may be all but the port: no file has that name, and with a port it were one. */
static enum shoal_err no_address(const char *word, struct error *e)
{
	bool v6 = word[0] != '[' && strchr(word, ':') != NULL && strspn(word, "0123456789abcdefABCDEF:.") == strlen(word);
	char *whole = str_printf(v6 ? "[%s]:0" : "%s:0", word);
	if (address_looks_like(whole) && access(word, F_OK) != 0 && strstr(word, ".lua") == NULL)
		error_set(e, SHOAL_EUSAGE, "'%.100s': the port is missing: write %.120s for any free one", word, whole);
	else
		error_set(e, SHOAL_EUSAGE, "'%.100s' is not an address; write shoal [options] IP:PORT TRACKER_FILE [SCRIPT]", word);
	free(whole);
	return SHOAL_EUSAGE;
}

/* IP:PORT TRACKER_FILE, which environment and config may give, then SCRIPT ARG... */
static enum shoal_err take_positionals(struct options *o, int argc, char *const *argv, int at, struct error *e)
{
	if (o->daemon) { /* it never reads the terminal, whatever that is */
		o->no_input = true;
		o->interactive = false;
	}
	if (o->test == NULL && !o->attach && at < argc && address_looks_like(argv[at])) {
		o->listen = argv[at++];
		if (at == argc && getenv("SHOAL_TRACKERS") == NULL && value_get(&o->settings, "trackers") == NULL)
			return error_set(e, SHOAL_EUSAGE, "the tracker file is missing: shoal [options] IP:PORT TRACKER_FILE [SCRIPT]");
		if (at < argc)
			o->trackers = argv[at++];
	}
	/* Options may also stand between the tracker file and the script. */
	if (o->test == NULL) {
		enum shoal_err rc = take_options(o, argc, argv, &at, e);
		if (rc != SHOAL_OK)
			return rc;
	}
	o->listen = first(o->listen, getenv("SHOAL_LISTEN"), value_get_text(&o->settings, "listen", NULL));
	o->trackers = first(o->trackers, getenv("SHOAL_TRACKERS"), value_get_text(&o->settings, "trackers", NULL));
	if (o->attach && at < argc)
		return error_set(e, SHOAL_EUSAGE, "--attach takes no address, no tracker file and no script: '%.100s'", argv[at]);
	if (o->test == NULL && !o->attach && (o->listen == NULL || o->trackers == NULL))
		return at < argc && o->listen == NULL
		               ? no_address(argv[at], e)
		               : error_set(e, SHOAL_EUSAGE, "write shoal [options] IP:PORT TRACKER_FILE [SCRIPT [ARG...]]; see --help");
	if (o->test == NULL && at < argc && o->ncode == 0)
		o->script = argv[at++];
	if (at < argc && o->test != NULL && strcmp(argv[at], "--") == 0)
		at++;
	o->args = argv + at;
	o->nargs = argc - at;
	return SHOAL_OK;
}

enum shoal_err options_parse(struct options *o, int argc, char *const *argv, struct error *e)
{
	int at = 1;
	*o = (struct options){ .password_fd = -1, .auto_login = -1, .progress = (enum progress_mode)-1 };
	enum shoal_err rc = take_options(o, argc, argv, &at, e);
	if (rc != SHOAL_OK || o->help || o->version)
		return rc;
	rc = load_settings(o, e);
	if (rc == SHOAL_OK)
		rc = take_positionals(o, argc, argv, at, e);
	if (rc == SHOAL_OK && o->sandbox && (o->test != NULL || o->batch != NULL))
		rc = error_set(e, SHOAL_EUSAGE, "--sandbox goes with neither --test nor --batch");
	if (rc == SHOAL_OK && !o->help && !o->version)
		rc = fill(o, (int)o->progress >= 0, e);
	if (rc != SHOAL_OK)
		options_free(o);
	return rc;
}

void options_free(struct options *o)
{
	value_free(&o->settings);
}

bool options_text(size_t i, struct option_text *out)
{
	if (i >= COUNT_OF(table))
		return false;
	*out = (struct option_text){ table[i].name, table[i].letter, table[i].value, table[i].help };
	return true;
}

char *options_help(void)
{
	struct buf b = { 0 };
	buf_printf(&b, "usage: shoal [options] IP:PORT TRACKER_FILE [SCRIPT [ARG...]]\n"
	               "       shoal --test FILE|DIR [-- ARG...]\n\n");
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		const struct option_entry *t = &table[i];
		char left[80];
		snprintf(left, sizeof(left), "%s%s%s%s%s", t->letter != NULL ? t->letter : "",
		         t->letter != NULL && t->name != NULL ? ", " : "", t->name != NULL ? t->name : "",
		         t->value != NULL ? " " : "", t->value != NULL ? t->value : "");
		buf_printf(&b, "  %-32s %s\n", left, t->help);
	}
	buf_printf(&b, "\nPort 0 is any free port. At the prompt, .help lists the commands.\n");
	return buf_steal_str(&b);
}
