/* client/prompt.h - the prompt: readline in the shell's loop, so that downloads run while a line is being typed.
 *
 * Prompt thread only; one at a time in a process, because readline is one. */
#ifndef SHOAL_CLIENT_PROMPT_H
#define SHOAL_CLIENT_PROMPT_H
#include "client/session.h"

struct prompt_config {
	struct session *session;
	const char *history; /* the file, or NULL: none is kept; borrowed */
	bool quiet;          /* no notes */
	bool (*stopped)(void *owner); /* somebody asked the program to end: a quit call on the control socket */
	void *owner;
};

/* Until the user leaves. The exit code: 0, or 130 after two Ctrl-C, or 128 + the signal that ended it. */
int prompt_run(const struct prompt_config *config);

/* "alice@t1 2v 1^> ", or as long "...> " while a statement goes on. */
enum { PROMPT_TEXT_MAX = 160 };
void prompt_text(const struct shell_state *st, bool continued, char out[PROMPT_TEXT_MAX]);

/* -- prompt_history.c */
void history_load(const char *path);
/* Keeps the line, unless it is a repetition, begins with a space or may hold a secret; writes the file (0600). */
void history_keep(const char *path, const char *line);
bool history_may_keep(const char *line);

/* -- prompt_complete.c: readline's hook for Tab */
char **prompt_complete(const char *text, int start, int end);

/* -- notes.c: news that are printed above the line */
struct notes;
struct notes *notes_new(struct shell *sh);
void notes_free(struct notes *n);
/* The next line to print (caller: free()), NULL: none is due. At most one a second and kind; the rest is summed. */
char *notes_take(struct notes *n);
int notes_timeout(const struct notes *n); /* milliseconds until a sum is due, -1: none */
#endif
