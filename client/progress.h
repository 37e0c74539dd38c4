/* client/progress.h - progress of jobs on standard error. Prompt thread only.
 *
 * LINE: a line at the start of a job, at each 10 % or 30 s, and at its end; JSON: the same as objects; at a terminal
 * (AUTO) one line that is drawn anew. */
#ifndef SHOAL_CLIENT_PROGRESS_H
#define SHOAL_CLIENT_PROGRESS_H
#include "client/options.h"
#include "client/shell.h"

struct progress;
/* NULL if nothing is to be shown. */
struct progress *progress_new(struct shell *sh, enum progress_mode mode, bool terminal);
void progress_free(struct progress *p); /* NULL is fine */
void progress_clear(struct progress *p); /* before something else is printed; NULL is fine */
#endif
