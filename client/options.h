/* client/options.h - the command line of shoal, and what environment and config.lua add to it.
 *
 * Order: option, environment, config, default. Texts point into argv, the environment or `settings`. */
#ifndef SHOAL_CLIENT_OPTIONS_H
#define SHOAL_CLIENT_OPTIONS_H
#include "client/link.h"
#include "client/value.h"

enum { OPTION_LIST_MAX = 32, THREADS_LEAST = 2, THREADS_MOST = 10 };

enum progress_mode { PROGRESS_AUTO, PROGRESS_LINE, PROGRESS_JSON, PROGRESS_NONE };

struct options {
	const char *listen, *trackers; /* the two positionals */
	const char *script;
	char *const *args; /* of the script */
	int nargs;
	const char *code[OPTION_LIST_MAX]; /* -e */
	unsigned ncode;
	const char *modules[OPTION_LIST_MAX]; /* -l */
	unsigned nmodules;
	const char *test, *batch, *control, *data, *announce, *cluster, *log_file, *history, *rc;
	const char *password_file;
	int password_fd; /* -1: none */
	bool daemon, attach;
	bool interactive, no_input, plaintext, strict, no_wait, quiet, verbose, json, plain, no_rc, help, version;
	bool fail_if_empty, sandbox;
	unsigned threads, max_active;
	uint64_t timeout_ms; /* 0: none */
	int auto_login;      /* enum auto_login, or -1: as the terminal says */
	enum progress_mode progress;
	const char *color;
	struct value settings; /* config.lua */
};

/* SHOAL_EUSAGE with one line that says what is wrong, with a suggestion. The caller: options_free(). */
enum shoal_err options_parse(struct options *o, int argc, char *const *argv, struct error *e);
void options_free(struct options *o);
char *options_help(void); /* the caller frees it */

/* One option as --help shows it; a name or a letter may be missing. False: there are no more. */
struct option_text {
	const char *name, *letter, *value, *help;
};
bool options_text(size_t i, struct option_text *out);
#endif
