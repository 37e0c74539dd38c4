/* client/event_value.h - an event of the engine as scripts and the control socket see it. Plain values. */
#ifndef SHOAL_CLIENT_EVENT_VALUE_H
#define SHOAL_CLIENT_EVENT_VALUE_H
#include "client/engine.h"
#include "client/value.h"

#define EVENT_NAME_MAX 48

/* "job.done", "member.requested", "tracker.lost", ...; NULL for what is no news (an answer). Returns out. */
const char *client_event_name(const struct client_event *ev, char out[EVENT_NAME_MAX]);
/* {event, time, job, group, file, user, text, tracker, ...} as far as they are known. */
struct value client_event_value(const struct client_event *ev);
#endif
