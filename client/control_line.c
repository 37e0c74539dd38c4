/* client/control_line.c - lines that a visitor types, each in its turn. */
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "client/control_impl.h"
#include "client/prompt.h"
#include "core/base/mem.h"

static void on_printed(void *arg, const void *text, size_t len, bool note)
{
	struct value shown = value_strn(text, len);
	json_t *line = json_object();
	json_object_set_new(line, note ? "note" : "out", value_to_json(&shown));
	value_free(&shown);
	control_say(arg, line);
}

/* {"call": "line", "args": [text]}: it has its turn in the next pump. */
void control_queue_line(struct visitor *v, json_t *id, const json_t *args)
{
	const char *text = json_string_value(json_array_get(args, 0));
	struct typed_line *line = text != NULL && v->control->config.host != NULL ? try_alloc(sizeof(*line)) : NULL;
	struct error e;
	if (line != NULL && v->console == NULL)
		v->console = console_new(v->control->config.host, v->control->shell, v->json, on_printed, v);
	if (line != NULL)
		line->text = try_strdup(text);
	if (line == NULL || line->text == NULL || v->console == NULL) {
		if (line != NULL)
			free(line->text);
		free(line);
		error_set(&e, text == NULL ? SHOAL_EUSAGE : SHOAL_EBUSY, text == NULL ? "line needs a text" : "lines cannot be run now");
		control_refuse(v, json_incref(id), "line", &e);
		return;
	}
	line->visitor = v;
	line->id = json_incref(id);
	v->requests++;
	TAILQ_INSERT_TAIL(&v->control->lines, line, link);
}

static void line_free(struct typed_line *line)
{
	struct visitor *v = line->visitor;
	json_decref(line->id);
	OPENSSL_cleanse(line->text, strlen(line->text)); /* there may be a password in it */
	free(line->text);
	free(line);
	control_release(v);
}

/* What the one who typed it shows next: the prompt, and whether the statement goes on. */
static json_t *line_json(const struct visitor *v, enum session_result r)
{
	char prompt[PROMPT_TEXT_MAX];
	prompt_text(shell_state(v->control->shell), r == SESSION_MORE, prompt);
	return json_pack("{ss sb sb si}", "prompt", prompt, "more", r == SESSION_MORE, "quit", r == SESSION_QUIT, "code",
	                 console_code(v->console));
}

/* In each pump: the next line, and what the others have to be told. A line that waits runs the pump itself. */
void control_idle(void *arg)
{
	struct control *c = arg;
	struct visitor *v;
	TAILQ_FOREACH(v, &c->visitors, link)
		if (v->console != NULL && !v->gone)
			console_flush(v->console);
	struct typed_line *line = TAILQ_FIRST(&c->lines);
	while (line != NULL && console_running(line->visitor->console))
		line = TAILQ_NEXT(line, link);
	if (line == NULL)
		return;
	TAILQ_REMOVE(&c->lines, line, link);
	v = line->visitor;
	if (!v->gone)
		control_answer(v, json_incref(line->id), "value", line_json(v, console_line(v->console, line->text)));
	line_free(line);
}

void control_drop_lines(struct control *c)
{
	struct typed_line *line;
	while ((line = TAILQ_FIRST(&c->lines)) != NULL) {
		TAILQ_REMOVE(&c->lines, line, link);
		line->visitor->requests++; /* so that he is freed by whoever drops the lines, not here */
		line_free(line);
	}
}
