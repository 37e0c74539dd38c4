/* core/wire/cmd.c */
#include "core/wire/cmd.h"

#include <string.h>

#include "core/base/mem.h"

CMD_REQUESTS(CODEC_DEFINE)
CMD_REPLIES(CODEC_DEFINE)
#define X(num, NAME, word, fields) CODEC_DEFINE(ev_##word, fields)
CMD_EVENTS(X)
#undef X

/* Skips or prints the fields of one request or event without knowing its type. */
typedef void fields_fn(struct cursor *c, struct buf *print);

#define FIELDS_WALKER(type, FIELDS)                                       \
	static void walk_##type(struct cursor *c, struct buf *print)      \
	{                                                                 \
		struct type m;                                            \
		type##_get(c, &m);                                        \
		if (print != NULL)                                        \
			type##_print(print, &m);                          \
	}
CMD_REQUESTS(FIELDS_WALKER)
#define X(num, NAME, word, fields) FIELDS_WALKER(ev_##word, fields)
CMD_EVENTS(X)
#undef X

static const struct verb_info {
	uint16_t number;
	const char *word;
	fields_fn *walk;
	bool needs_login, changes;
} verbs[] = {
#define X(num, NAME, word_, req, rep, row, login_, change_) \
	{ .number = num, .word = #word_, .walk = walk_##req, .needs_login = login_, .changes = change_ },
	CMD_VERBS(X)
#undef X
};

static const struct event_info {
	uint16_t number;
	const char *word;
	fields_fn *walk;
} events[] = {
#define X(num, NAME, word_, fields) { .number = num, .word = #word_, .walk = walk_ev_##word_ },
	CMD_EVENTS(X)
#undef X
};

static const struct verb_info *find_verb(unsigned verb)
{
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (verbs[i].number == verb)
			return &verbs[i];
	return NULL;
}

static const struct event_info *find_event(unsigned kind)
{
	for (size_t i = 0; i < COUNT_OF(events); i++)
		if (events[i].number == kind)
			return &events[i];
	return NULL;
}

const char *verb_word(unsigned verb)
{
	const struct verb_info *v = find_verb(verb);
	return v != NULL ? v->word : NULL;
}

bool verb_needs_login(unsigned verb)
{
	const struct verb_info *v = find_verb(verb);
	return v == NULL || v->needs_login;
}

bool verb_changes(unsigned verb)
{
	const struct verb_info *v = find_verb(verb);
	return v != NULL && v->changes;
}

const char *event_word(unsigned kind)
{
	const struct event_info *ev = find_event(kind);
	return ev != NULL ? ev->word : NULL;
}

void cmd_head_put(struct buf *b, const struct cmd_head *h)
{
	buf_put_u32(b, h->serial);
	buf_put(b, h->request.b, sizeof(h->request.b));
	buf_put_u16(b, h->verb);
}

void cmd_head_get(struct cursor *c, struct cmd_head *h)
{
	h->serial = get_u32(c);
	h->request = get_id16(c);
	h->verb = get_u16(c);
}

void rply_head_put(struct buf *b, const struct rply_head *h)
{
	buf_put_u32(b, h->serial);
	buf_put_u8(b, h->flags);
	buf_put_u16(b, (uint16_t)h->code);
	buf_put_str(b, h->message.data, h->message.len);
	if ((h->flags & RPLY_STAMP) != 0)
		stamp_put(b, &h->stamp);
	if ((h->flags & RPLY_SYNCED) != 0)
		buf_put_u16(b, h->synced);
}

void rply_head_get(struct cursor *c, struct rply_head *h)
{
	*h = (struct rply_head){ 0 };
	h->serial = get_u32(c);
	h->flags = get_u8(c);
	h->code = error_from_wire(get_u16(c));
	h->message = get_str(c);
	if ((h->flags & RPLY_STAMP) != 0)
		h->stamp = get_stamp(c);
	if ((h->flags & RPLY_SYNCED) != 0)
		h->synced = get_u16(c);
}

void cmd_print(struct buf *b, struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct cmd_head h;
	cmd_head_get(&c, &h);
	const struct verb_info *v = find_verb(h.verb);
	if (v == NULL) {
		buf_printf(b, "verb %u", h.verb);
		return;
	}
	buf_printf(b, "%s ", v->word);
	v->walk(&c, b);
}

void evnt_print(struct buf *b, struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	unsigned kind = get_u16(&c);
	const struct event_info *ev = find_event(kind);
	if (ev == NULL) {
		buf_printf(b, "event %u", kind);
		return;
	}
	buf_printf(b, "%s ", ev->word);
	ev->walk(&c, b);
}

enum shoal_err cmd_check(struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	struct cmd_head h;
	cmd_head_get(&c, &h);
	const struct verb_info *v = find_verb(h.verb);
	if (c.bad || v == NULL)
		return SHOAL_EPROTO;
	v->walk(&c, NULL);
	return cursor_end(&c);
}

enum shoal_err evnt_check(struct slice body)
{
	struct cursor c = cursor_of(body.data, body.len);
	const struct event_info *ev = find_event(get_u16(&c));
	if (c.bad || ev == NULL)
		return SHOAL_EPROTO;
	ev->walk(&c, NULL);
	return cursor_end(&c);
}
