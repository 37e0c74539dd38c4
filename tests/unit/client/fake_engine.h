/* tests/unit/client/fake_engine.h - a shell whose engine answers on the spot, as a script of the test says.
 *
 * Each posted call is handed to `answer`, which fills it in, and comes back through the queue. Header only: the unit
 * tests of the client's face share it. */
#ifndef SHOAL_TESTS_FAKE_ENGINE_H
#define SHOAL_TESTS_FAKE_ENGINE_H
#include "client/shell.h"
#include "core/base/mem.h"

struct fake_engine {
	struct queue *events;
	void (*answer)(struct fake_engine *fake, struct call *c); /* may set hold: not answered now */
	bool hold;
	struct call *held[8];
	unsigned nheld, ncalls;
	enum call_kind last_kind;
	enum cmd_verb last_verb;
	struct buf last_fields;
	struct job_info job; /* what jobs look like */
};

static inline void fake_event(struct fake_engine *fake, struct client_event ev)
{
	struct client_event *copy = xalloc(sizeof(*copy));
	*copy = ev;
	queue_post(fake->events, &copy->node);
}

static inline void fake_release(struct fake_engine *fake)
{
	for (unsigned i = 0; i < fake->nheld; i++)
		fake_event(fake, (struct client_event){ .type = EVENT_ANSWER, .call = fake->held[i] });
	fake->nheld = 0;
}

static inline void fake_give_job(struct fake_engine *fake, struct call *c)
{
	c->jobs = malloc(sizeof(fake->job)); /* not the failing kind: the fake is not under test */
	memcpy(c->jobs, &fake->job, sizeof(fake->job));
	c->jobs[0].id = c->job != 0 ? c->job : fake->job.id;
	c->n = 1;
}

static inline struct buf *fake_frame(struct call *c)
{
	c->frames = realloc(c->frames, (c->nframes + 1) * sizeof(*c->frames));
	c->frames[c->nframes] = (struct buf){ 0 };
	return &c->frames[c->nframes++];
}

static inline void fake_post(struct engine *engine, struct call *c)
{
	struct fake_engine *fake = (struct fake_engine *)(void *)engine;
	fake->ncalls++;
	fake->last_kind = c->kind;
	fake->last_verb = c->verb;
	buf_reset(&fake->last_fields);
	buf_put(&fake->last_fields, c->fields.data, c->fields.len);
	fake->hold = false;
	if (fake->answer != NULL)
		fake->answer(fake, c);
	if (fake->hold)
		fake->held[fake->nheld++] = c;
	else
		fake_event(fake, (struct client_event){ .type = EVENT_ANSWER, .call = c });
}

static inline struct shell *fake_shell(struct fake_engine *fake)
{
	fake->events = queue_new();
	return shell_new(&(struct shell_config){ .engine = (struct engine *)(void *)fake, .post = fake_post,
	                                         .events = fake->events });
}

static inline void fake_close(struct fake_engine *fake, struct shell *sh)
{
	fake_release(fake);
	shell_step(sh, 0);
	shell_free(sh);
	struct queue_node *node = queue_take_all(fake->events);
	while (node != NULL) {
		struct client_event *ev = container_of(node, struct client_event, node);
		node = node->next;
		if (ev->call != NULL)
			call_free(ev->call);
		client_event_free(ev);
	}
	queue_free(fake->events);
	buf_free(&fake->last_fields);
}
#endif
