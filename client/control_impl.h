/* client/control_impl.h - what the client/control*.c files share. Nobody else includes it. */
#ifndef SHOAL_CLIENT_CONTROL_IMPL_H
#define SHOAL_CLIENT_CONTROL_IMPL_H
#include "client/console.h"
#include "client/control.h"

struct visitor {
	struct control *control;
	int fd;
	unsigned watch, listener;
	struct buf in, out;
	bool gone; /* freed when its last request has come back, at the latest */
	unsigned requests;
	struct console *console; /* once he has typed a line */
	bool json;               /* and wants values as JSON */
	TAILQ_ENTRY(visitor) link;
};

struct request {
	struct visitor *visitor;
	json_t *id;
	struct cmd_run *run;       /* one of the two */
	struct lua_remote *remote;
	const struct cmd *cmd;
	TAILQ_ENTRY(request) link;
};

/* A line of a console that waits for its turn. */
struct typed_line {
	struct visitor *visitor;
	json_t *id;
	char *text;
	TAILQ_ENTRY(typed_line) link;
};

struct control {
	struct control_config config;
	struct shell *shell;
	char *path;
	int fd;
	unsigned watch;
	TAILQ_HEAD(, visitor) visitors;
	TAILQ_HEAD(, request) requests;
	TAILQ_HEAD(, typed_line) lines;
};

/* control.c. Both take `id` and what goes with it over. */
void control_answer(struct visitor *v, json_t *id, const char *key, json_t *what);
void control_refuse(struct visitor *v, json_t *id, const char *op, const struct error *e);
void control_say(struct visitor *v, json_t *line);
/* One thing less that keeps the visitor: when nothing does and he has left, he is freed. */
void control_release(struct visitor *v);

/* control_line.c: {"call": "line"}, what `shoal --attach` is made of. */
void control_queue_line(struct visitor *v, json_t *id, const json_t *args);
void control_idle(void *arg); /* struct control; in each pump of the Lua host */
void control_drop_lines(struct control *c);
#endif
