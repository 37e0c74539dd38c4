/* client/event_value.c */
#include "client/event_value.h"

#include <stdio.h>
#include <string.h>

const char *client_event_name(const struct client_event *ev, char out[EVENT_NAME_MAX])
{
	const char *name = NULL;
	switch (ev->type) {
	case EVENT_ANSWER: return NULL;
	case EVENT_TRACKER_UP: name = "tracker.connected"; break;
	case EVENT_TRACKER_LOST: name = "tracker.lost"; break;
	case EVENT_TRACKER_REFUSED: name = "tracker.refused"; break;
	case EVENT_TRACKER_LACKS: name = "tracker.lacks"; break;
	case EVENT_LOGGED_IN: name = "session.started"; break;
	case EVENT_LOGGED_OUT: name = "session.ended"; break;
	case EVENT_ASK_LOGIN: name = "session.ask"; break;
	case EVENT_JOB:
	case EVENT_TRACKER:
	case EVENT_SHARE: name = ev->word; break;
	}
	if (name == NULL)
		return NULL;
	snprintf(out, EVENT_NAME_MAX, "%s", name);
	char *dash = strchr(out, '_'); /* the wire's member_requested is member.requested here */
	if (dash != NULL && strchr(out, '.') == NULL)
		*dash = '.';
	return out;
}

static void set_text(struct value *t, const char *key, const char *text)
{
	if (text[0] != '\0')
		value_set(t, key, value_str(text));
}

struct value client_event_value(const struct client_event *ev)
{
	char name[EVENT_NAME_MAX];
	struct value t = value_table();
	value_set(&t, "event", value_str(client_event_name(ev, name)));
	value_set(&t, "time", value_number((double)ev->wall_ms / 1000));
	set_text(&t, "group", ev->group);
	set_text(&t, "file", ev->file);
	set_text(&t, "user", ev->user);
	set_text(&t, "text", ev->text);
	set_text(&t, "kind", ev->kind);
	if (ev->tracker != 0)
		value_set(&t, "tracker", value_int(ev->tracker));
	if (ev->job == NULL)
		return t;
	value_set(&t, "job", value_job(ev->job->id));
	value_set(&t, "kind", value_str(ev->job->kind == JOB_UPLOAD ? "upload" : "download"));
	value_set(&t, "state", value_str(job_state_word(ev->job->state)));
	value_set(&t, "group", value_str(ev->job->group));
	value_set(&t, "file", value_str(ev->job->file));
	value_set(&t, "bytes", value_int((int64_t)ev->job->bytes));
	value_set(&t, "total", value_int((int64_t)ev->job->total));
	value_set(&t, "rate", value_int((int64_t)ev->job->rate));
	if (ev->job->error.code != SHOAL_OK) {
		value_set(&t, "code", value_str(error_word(ev->job->error.code)));
		value_set(&t, "text", value_str(ev->job->error.message));
	}
	return t;
}
