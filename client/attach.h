/* client/attach.h - `shoal --attach`: a prompt on a client that runs elsewhere on this machine, through its control socket.
 *
 * The process has neither engine nor Lua of its own: lines go there, what they print comes back. Prompt thread only. */
#ifndef SHOAL_CLIENT_ATTACH_H
#define SHOAL_CLIENT_ATTACH_H
#include "client/options.h"

/* Runs the -e lines, then (without any, or with -i) a prompt, or standard input that is no terminal. The exit code: that
 * of what failed; 7 if nobody serves the socket. */
int attach_run(const struct options *o);

/* Where --daemon serves and --attach looks when --control does not say: malloc'ed; NULL: no such folder. */
char *attach_path(const struct options *o);
#endif
