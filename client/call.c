/* client/call.c - calls and events: made on one thread, freed on another. */
#include <openssl/crypto.h>

#include "client/engine.h"
#include "core/base/mem.h"

struct call *call_new(enum call_kind kind)
{
	struct call *c = try_alloc(sizeof(*c));

	if (c == NULL)
		return NULL;
	c->kind = kind;
	c->opts.down = c->opts.up = UINT64_MAX;
	return c;
}

void call_free(struct call *c)
{
	if (c == NULL)
		return;
	if (c->fields.data != NULL)
		OPENSSL_cleanse(c->fields.data, c->fields.cap);
	buf_free(&c->fields);
	for (size_t i = 0; i < c->nframes; i++)
		buf_free(&c->frames[i]);
	free(c->frames);
	if (c->shares != NULL)
		for (size_t i = 0; i < c->n; i++)
			free(c->shares[i].path);
	free(c->shares);
	free(c->jobs);
	free(c->peers);
	free(c->text);
	free(c->path);
	free(c);
}

void client_event_free(struct client_event *ev)
{
	if (ev == NULL)
		return;
	free(ev->job);
	free(ev);
}
