/* client/notes.c - what the prompt tells by itself. */
#include <stdlib.h>
#include <string.h>

#include "client/event_value.h"
#include "client/format.h"
#include "client/prompt.h"
#include "client/typed.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/name.h"
#include "core/base/units.h"

enum { KIND_MS = 1000, KINDS = 32, RESUMED = 64 };

struct kind {
	char name[EVENT_NAME_MAX];
	uint64_t told_ms;
	unsigned held; /* since then */
};

struct note {
	char *text;
	TAILQ_ENTRY(note) link;
};

struct notes {
	struct shell *shell;
	unsigned listener;
	bool was_up;
	struct kind kinds[KINDS];
	unsigned nkinds;
	uint64_t resumed[RESUMED]; /* the last jobs of which it was told, a ring */
	unsigned nresumed;
	TAILQ_HEAD(, note) ready;
};

static void say(struct notes *n, char *text)
{
	struct note *note = text != NULL ? try_alloc(sizeof(*note)) : NULL;
	if (note == NULL) {
		free(text);
		return;
	}
	note->text = text;
	TAILQ_INSERT_TAIL(&n->ready, note, link);
}

static struct kind *kind_of(struct notes *n, const char *name)
{
	for (unsigned i = 0; i < n->nkinds; i++)
		if (strcmp(n->kinds[i].name, name) == 0)
			return &n->kinds[i];
	if (n->nkinds == KINDS)
		return &n->kinds[0];
	struct kind *k = &n->kinds[n->nkinds++];
	snprintf(k->name, sizeof(k->name), "%s", name);
	return k;
}

static bool first_time(struct notes *n, uint64_t id)
{
	for (unsigned i = 0; i < RESUMED; i++)
		if (n->resumed[i] == id)
			return false;
	n->resumed[n->nresumed++ % RESUMED] = id;
	return true;
}

/* The end of a job, or that it goes on where an earlier one stopped: told once, when its part file has been read. */
static char *job_text(struct notes *n, const struct job_info *job)
{
	struct buf b = { 0 };
	bool ended = job_state_final(job->state);
	bool resumed = job->state == JOB_STATE_DOWNLOADING && job->resumed != 0 && job->resumed < job->total;
	if (!ended && (!resumed || !first_time(n, job->id)))
		return NULL;
	if (ended && job->kind == JOB_UPLOAD && job->state == JOB_STATE_DONE) {
		char group[200], file[600], size[UNITS_TEXT];
		return str_printf("shared: %s in %s, %s", text_escape(job->file, strlen(job->file), file, sizeof(file)),
		                  text_escape(job->group, strlen(job->group), group, sizeof(group)),
		                  units_bytes(job->total, size));
	}
	format_job(&b, job);
	if (b.len != 0)
		b.len--; /* the newline */
	return buf_steal_str(&b);
}

/* With the command that lets them in, to be pasted as it stands. */
static char *request_text(const struct client_event *ev)
{
	struct buf b = { 0 };
	char shown[2400];
	buf_printf(&b, "%s asks to join %s: accept_request ", ev->user, ev->group);
	typed_quote(&b, ev->group);
	buf_put_u8(&b, ' ');
	typed_quote(&b, ev->user);
	char *text = b.failed ? NULL : str_printf("%s", text_escape(b.data, b.len, shown, sizeof(shown)));
	buf_free(&b);
	return text;
}

/* NULL: not worth a line. */
static char *text_of(struct notes *n, const struct client_event *ev, const char *name)
{
	char group[200], file[600], user[200], text[1000];
	text_escape(ev->group, strlen(ev->group), group, sizeof(group));
	text_escape(ev->file, strlen(ev->file), file, sizeof(file));
	text_escape(ev->user, strlen(ev->user), user, sizeof(user));
	text_escape(ev->text, strlen(ev->text), text, sizeof(text));
	if (ev->type == EVENT_JOB)
		return ev->job != NULL ? job_text(n, ev->job) : NULL;
	if (ev->type == EVENT_TRACKER_LOST)
		return str_printf("tracker %u is lost: %s", ev->tracker, text);
	if (ev->type == EVENT_TRACKER_REFUSED)
		return str_printf("tracker %u is refused: %s", ev->tracker, text);
	if (ev->type == EVENT_TRACKER_LACKS)
		return str_printf("%s", text);
	if (ev->type == EVENT_TRACKER_UP) {
		bool again = n->was_up;
		n->was_up = true;
		return again ? str_printf("connected to tracker %u", ev->tracker) : NULL;
	}
	if (ev->type == EVENT_LOGGED_OUT)
		return text[0] != '\0' ? str_printf("logged out: %s", text) : NULL;
	if (strcmp(name, "member.requested") == 0)
		return request_text(ev);
	if (strcmp(name, "member.joined") == 0)
		return str_printf("%s is now a member of %s", user, group);
	if (strcmp(name, "member.left") == 0)
		return str_printf("%s has left %s", user, group);
	if (strcmp(name, "file.added") == 0)
		return str_printf("%s shares '%s' in %s", user[0] != '\0' ? user : "somebody", file, group);
	if (ev->type == EVENT_SHARE)
		return str_printf("'%s' in %s is no longer shared: %s", file, group, text);
	return strcmp(name, "note") == 0 || strcmp(name, "conflict") == 0 ? str_printf("%s", text) : NULL;
}

static void on_event(void *arg, const struct client_event *ev)
{
	struct notes *n = arg;
	char name[EVENT_NAME_MAX];
	if (client_event_name(ev, name) == NULL)
		return;
	const struct shell_state *st = shell_state(n->shell);
	bool own = ev->type == EVENT_TRACKER && st->logged_in && strcmp(ev->user, st->user) == 0; /* one knows what one did */
	char *text = own ? NULL : text_of(n, ev, name);
	if (text == NULL)
		return;
	struct kind *k = kind_of(n, name);
	uint64_t now = clock_mono_ms();
	if (ev->type != EVENT_JOB && k->told_ms != 0 && now - k->told_ms < KIND_MS) {
		k->held++;
		free(text);
		return;
	}
	k->told_ms = now;
	say(n, text);
}

struct notes *notes_new(struct shell *sh)
{
	struct notes *n = xalloc(sizeof(*n));
	n->shell = sh;
	n->was_up = shell_state(sh)->up;
	TAILQ_INIT(&n->ready);
	n->listener = shell_listen(sh, on_event, n);
	return n;
}

void notes_free(struct notes *n)
{
	struct note *note;
	shell_drop(n->shell, n->listener);
	while ((note = TAILQ_FIRST(&n->ready)) != NULL) {
		TAILQ_REMOVE(&n->ready, note, link);
		free(note->text);
		free(note);
	}
	free(n);
}

static void release_held(struct notes *n)
{
	uint64_t now = clock_mono_ms();
	for (unsigned i = 0; i < n->nkinds; i++) {
		struct kind *k = &n->kinds[i];
		if (k->held == 0 || now - k->told_ms < KIND_MS)
			continue;
		say(n, str_printf("and %u more of these: %s", k->held, k->name));
		k->held = 0;
		k->told_ms = now;
	}
}

char *notes_take(struct notes *n)
{
	release_held(n);
	struct note *note = TAILQ_FIRST(&n->ready);
	if (note == NULL)
		return NULL;
	char *text = note->text;
	TAILQ_REMOVE(&n->ready, note, link);
	free(note);
	return text;
}

int notes_timeout(const struct notes *n)
{
	uint64_t now = clock_mono_ms();
	int timeout = -1;
	for (unsigned i = 0; i < n->nkinds; i++)
		if (n->kinds[i].held != 0) {
			uint64_t age = now - n->kinds[i].told_ms;
			int left = age < KIND_MS ? (int)(KIND_MS - age) : 0;
			timeout = timeout < 0 || left < timeout ? left : timeout;
		}
	return timeout;
}
