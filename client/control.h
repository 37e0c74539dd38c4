/* client/control.h - the control socket: JSON lines that drive a running client.
 *
 *	{"id": 1, "call": "create_group", "args": ["team"]}
 *	{"id": 1, "value": {"$stamp": "..."}}  or  {"id": 1, "job": {"$job": 3}}  or  {"id": 1, "err": {"code": ..., "message": ...}}
 *
 * Calls are the commands, job_wait, job_info, job_cancel and the like, `status`, `events` (from then on lines
 * {"event": ...} come too) and `quit`. Answers come in any order; any number of connections. Whoever may open the
 * socket (mode 0600) is the user. Prompt thread only. */
#ifndef SHOAL_CLIENT_CONTROL_H
#define SHOAL_CLIENT_CONTROL_H
#include "client/lua_host.h"

struct control;

struct control_config {
	const char *path;
	struct address listen; /* told by `status` */
	struct lua_host *host; /* runs what is written in Lua; NULL: refused */
	void (*quit)(void *owner);
	void *owner;
};

/* Binds the socket; a stale one is replaced, a living one is SHOAL_EBUSY. Nothing is served before control_serve().
 * Call it before other threads are started: it changes the umask for a moment. */
struct control *control_open(const char *path, struct error *e);
void control_serve(struct control *c, struct shell *sh, const struct control_config *config);
void control_close(struct control *c); /* removes the socket; NULL is fine */
#endif
