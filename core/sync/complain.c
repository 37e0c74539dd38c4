/* core/sync/complain.c - what is wrong with those who connect and are no tracker of ours: said when it begins or changes,
 * then at most once a minute for each address. They come again every two seconds, for days. */
#include <stdio.h>
#include <string.h>

#include "core/sync/sync_state.h"

/* The one about that host and that reason, or the place of the oldest: several may be wrong with one host. */
static struct complaint *find(struct sync *s, const char *host, const char *why)
{
	struct complaint *oldest = &s->complaints[0];

	for (size_t i = 0; i < SYNC_COMPLAINTS; i++) {
		struct complaint *c = &s->complaints[i];
		if (c->why[0] != '\0' && strcmp(c->host, host) == 0 && strcmp(c->why, why) == 0)
			return c;
		if (c->at < oldest->at)
			oldest = c;
	}
	*oldest = (struct complaint){ 0 };
	snprintf(oldest->host, sizeof(oldest->host), "%s", host);
	return oldest;
}

void sync_complain(struct sync *s, enum log_level level, const char *host, const char *why)
{
	struct complaint *c = find(s, host, why);
	bool same = c->why[0] != '\0';

	if (same && s->now < c->at + SYNC_COMPLAIN_MS) {
		c->more++;
		return;
	}
	if (same && c->more > 0)
		log_line(s->env->log, level, "sync", "a connection was closed: %s (and %u more times)", why, c->more);
	else
		log_line(s->env->log, level, "sync", "a connection was closed: %s", why);
	snprintf(c->why, sizeof(c->why), "%s", why);
	c->at = s->now;
	c->more = 0;
}
