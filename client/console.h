/* client/console.h - lines that somebody types into a running client from elsewhere: `shoal --attach`.
 *
 * Each visitor of the control socket who sends a line has a console: a session of his own in the one Lua state. What a
 * line prints, on standard output or standard error, goes to him while it runs. Lines run inside lua_host_pump(), so
 * that a script of the program may wait below them; one line at a time, and one that waits holds up those behind it.
 * Prompt thread only. */
#ifndef SHOAL_CLIENT_CONSOLE_H
#define SHOAL_CLIENT_CONSOLE_H
#include "client/session.h"

struct console;

/* What was printed; news that the prompt tells by itself (`note`). */
typedef void console_out_fn(void *arg, const void *text, size_t len, bool note);

struct console *console_new(struct lua_host *host, struct shell *sh, bool json, console_out_fn *out, void *arg);
void console_free(struct console *c); /* NULL is fine; not while a line runs */

/* Runs the line to its end. SESSION_MORE: the statement goes on in the next one. */
enum session_result console_line(struct console *c, const char *line);
void console_drop_pending(struct console *c);
/* Stops what runs, as Ctrl-C does at the prompt. */
void console_interrupt(struct console *c);
bool console_running(const struct console *c);
int console_code(const struct console *c); /* of what has failed so far */
/* Sends on what has been printed and what is to be told since the last time. */
void console_flush(struct console *c);
#endif
