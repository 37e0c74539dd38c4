/* client/dots.h - dot commands: what one says to the prompt, not to shoal. One table for running, help, suggestions, Tab.
 *
 * Prompt thread only. */
#ifndef SHOAL_CLIENT_DOTS_H
#define SHOAL_CLIENT_DOTS_H
#include "client/session.h"

struct dot_cmd {
	const char *name; /* without the dot */
	const char *args;
	const char *summary;
	enum session_result (*run)(struct session *s, const char *arg);
};

/* Ends with an entry without a name. */
extern const struct dot_cmd dot_table[];

/* A line without its dot. */
enum session_result dot_run(struct session *s, const char *line);

/* -- .record: what was typed becomes a script. Both do nothing when none is being written. */
void record_lua(struct session *s, const char *code, bool failed);
void record_typed(struct session *s, const struct cmd *cmd, const struct value *argv, unsigned n, bool failed);
#endif
