/* client/session.h - lines as they are typed, at the prompt and on piped standard input: Lua, typed forms, dot commands.
 *
 * Prompt thread only. */
#ifndef SHOAL_CLIENT_SESSION_H
#define SHOAL_CLIENT_SESSION_H
#include "client/format.h"
#include "client/lua_host.h"

struct session {
	struct lua_host *host;
	struct shell *shell;
	struct format_opts format;
	bool piped;         /* a typed upload_file is waited for: the next line may want the file */
	struct buf pending; /* a statement that is not finished */
	unsigned line;      /* number of the line, for messages */
	unsigned first;     /* that of the first line of its statement */
	unsigned nout;
	int code;           /* exit code of what has failed so far */
	bool timing;        /* .time on */
	FILE *record;       /* .record: the script that is being written, or NULL */
	/* The prompt's: .history; NULL: there is none. */
	void (*show_history)(void *owner, unsigned n);
	void *owner;
};

enum session_result { SESSION_DONE, SESSION_MORE, SESSION_QUIT };

/* One line. SESSION_MORE: the statement goes on in the next one. Results and errors have been printed. */
enum session_result session_line(struct session *s, const char *line);
/* The input has ended in the middle of a statement? Says so. */
void session_end(struct session *s);
void session_drop_pending(struct session *s); /* Ctrl-C */
void session_free(struct session *s);

/* -- for the dot commands */
/* Does the line, in any spelling, name a command that takes a password? */
bool session_holds_secret(const char *line);
void session_typed(struct session *s, const char *line);
void session_print(struct buf *b); /* and frees it */
void session_complain(struct session *s, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* -- help.c */
/* All commands, or one; false if there is none of that name. */
bool help_print(const char *name, struct buf *out);
#endif
