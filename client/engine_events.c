/* client/engine_events.c - news for the prompt thread, in order.
 *
 * Progress is merged: a job's newest figures are kept back until 250 ms after the last ones, and as long as the prompt
 * has not taken what waits already. Any other event of the job goes out at once and overtakes nothing, since it carries
 * the newer figures itself. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "client/engine_impl.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/table.h"

/* A job whose progress was told lately. */
struct progress {
	uint64_t id;
	uint64_t told_ms;
	struct job_info *kept; /* newest figures, not told yet; NULL: none */
	UT_hash_handle hh;
};

/* Answers and news must not get lost: without memory for them the program ends (mem.h). */
struct client_event *engine_event(struct engine *en, enum client_event_type type)
{
	struct client_event *ev = xalloc(sizeof(*ev));

	(void)en;
	ev->type = type;
	ev->word = "";
	ev->wall_ms = clock_wall_ms();
	return ev;
}

void engine_tell(struct engine *en, struct client_event *ev)
{
	queue_post(en->events, &ev->node);
}

void engine_tell_share(struct engine *en, const char *word, const struct share *share, const char *text)
{
	struct client_event *ev = engine_event(en, EVENT_SHARE);

	ev->word = word;
	memcpy(ev->group, share->info.group, sizeof(ev->group));
	memcpy(ev->file, share->info.file, sizeof(ev->file));
	snprintf(ev->text, sizeof(ev->text), "%s", text);
	engine_tell(en, ev);
}

/* -- jobs */

static void tell_job(struct engine *en, const char *word, struct job_info *owned)
{
	struct client_event *ev = engine_event(en, EVENT_JOB);

	ev->word = word;
	ev->job = owned;
	engine_tell(en, ev);
}

static void forget_progress(struct engine *en, struct progress *p)
{
	HASH_DEL(en->progress, p);
	free(p->kept);
	free(p);
}

/* True if nothing was kept before: the timer is to be set. */
static bool keep_progress(struct engine *en, const struct job_info *job)
{
	struct progress *p = NULL;

	HASH_FIND(hh, en->progress, &job->id, sizeof(job->id), p);
	if (p == NULL) {
		p = try_alloc(sizeof(*p));
		if (p == NULL)
			return false; /* the next one will do */
		p->id = job->id;
		HASH_ADD(hh, en->progress, id, sizeof(p->id), p);
		if (p->hh.tbl == NULL) {
			free(p);
			return false;
		}
	}
	bool first = p->kept == NULL;
	if (first)
		p->kept = try_alloc(sizeof(*p->kept));
	if (p->kept != NULL)
		*p->kept = *job;
	return first;
}

void engine_progress_on_time(void *arg)
{
	struct engine *en = arg;
	uint64_t now = clock_mono_ms(), wait = UINT64_MAX;
	struct pollfd waiting = { .fd = queue_fd(en->events), .events = POLLIN };
	bool idle = poll(&waiting, 1, 0) == 0; /* the prompt has taken everything */
	struct progress *p, *next;

	HASH_ITER(hh, en->progress, p, next) {
		uint64_t due = p->told_ms == 0 ? now : p->told_ms + ENGINE_PROGRESS_MS;
		if (p->kept != NULL && idle && now >= due) {
			tell_job(en, "job.progress", p->kept);
			p->kept = NULL;
			p->told_ms = now;
		} else if (p->kept != NULL) {
			uint64_t left = now >= due ? ENGINE_PROGRESS_MS : due - now;
			wait = left < wait ? left : wait;
		}
	}
	if (wait != UINT64_MAX)
		loop_timer_set_ms(en->progress_timer, wait);
}

void engine_on_job_event(void *owner, const char *word, const struct job_info *job)
{
	struct engine *en = owner;
	struct progress *p = NULL;

	if (strcmp(word, "job.progress") == 0) {
		if (keep_progress(en, job))
			engine_progress_on_time(en);
		return;
	}
	HASH_FIND(hh, en->progress, &job->id, sizeof(job->id), p);
	if (p != NULL) {
		free(p->kept);
		p->kept = NULL;
		if (job_state_final(job->state))
			forget_progress(en, p);
	}
	struct job_info *copy = xalloc(sizeof(*copy));
	*copy = *job;
	tell_job(en, word, copy);
	engine_waits_on_job(en, job);
}

void engine_progress_free(struct engine *en)
{
	while (en->progress != NULL)
		forget_progress(en, en->progress);
}

/* -- the tracker's events */

static void on_dial(struct engine *en, struct cursor *c)
{
	struct ev_dial dial;
	struct address addr;
	char text[ADDRESS_MAX];

	ev_dial_get(c, &dial);
	if (en->transfers != NULL && slice_to_str(dial.address, text, sizeof(text)) &&
	    address_parse(text, false, &addr, NULL) == SHOAL_OK)
		transfers_on_dial(en->transfers, &dial.fid, &addr, &dial.identity);
}

static void on_revoke(struct engine *en, struct cursor *c)
{
	struct ev_revoke revoke;
	struct link_status status;

	ev_revoke_get(c, &revoke);
	if (en->transfers != NULL)
		transfers_on_revoke(en->transfers, &revoke.gid, &revoke.uid);
	link_status(en->link, &status);
	if (id16_eq(&revoke.uid, &status.uid))
		engine_compare_shares(en); /* no longer a member: what was shared there goes */
}

static void on_member(struct engine *en, struct client_event *ev, struct cursor *c)
{
	struct ev_member_joined member; /* the three events of members have the same fields */

	ev_member_joined_get(c, &member);
	slice_to_str(member.group, ev->group, sizeof(ev->group));
	slice_to_str(member.user, ev->user, sizeof(ev->user));
	if (strcmp(ev->word, event_word(EVENT_MEMBER_JOINED)) == 0 && en->transfers != NULL)
		transfers_on_joined(en->transfers, &member.gid, member.user);
}

static void on_file(struct engine *en, struct client_event *ev, struct cursor *c)
{
	struct ev_file_removed file;

	ev_file_removed_get(c, &file);
	slice_to_str(file.group, ev->group, sizeof(ev->group));
	slice_to_str(file.file, ev->file, sizeof(ev->file));
	slice_to_str(file.user, ev->user, sizeof(ev->user));
	if (strcmp(ev->word, event_word(EVENT_FILE_REMOVED)) == 0)
		engine_share_removed(en, &file.gid, &file.fid, "it was removed from the group");
}

static void copy_text(struct slice text, char *out, size_t size)
{
	size_t len = text.len < size ? text.len : size - 1;

	memcpy(out, len > 0 ? (const char *)text.data : "", len);
	out[len] = '\0';
}

static void on_note(struct client_event *ev, struct cursor *c)
{
	struct ev_note note;

	ev_note_get(c, &note);
	copy_text(note.text, ev->text, sizeof(ev->text));
	copy_text(note.kind, ev->kind, sizeof(ev->kind));
	if (strcmp(ev->kind, "rejected") != 0 && strcmp(ev->kind, "role") != 0) /* these are no notices: docs/protocol.md, 2.3 */
		ev->word = "conflict";
}

static void on_reason(struct client_event *ev, struct cursor *c)
{
	struct ev_leaving leaving; /* so have the two with a reason */

	ev_leaving_get(c, &leaving);
	copy_text(leaving.reason, ev->text, sizeof(ev->text));
}

void engine_on_tracker_event(struct engine *en, const struct link_news *news)
{
	struct client_event *ev = engine_event(en, EVENT_TRACKER);
	struct cursor c = cursor_of(news->body.data, news->body.len);

	ev->word = event_word(news->kind);
	ev->tracker = news->tracker;
	switch (news->kind) {
	case EVENT_DIAL: on_dial(en, &c); break;
	case EVENT_REVOKE: on_revoke(en, &c); break;
	case EVENT_MEMBER_REQUESTED:
	case EVENT_MEMBER_JOINED:
	case EVENT_MEMBER_LEFT: on_member(en, ev, &c); break;
	case EVENT_FILE_ADDED:
	case EVENT_FILE_REMOVED: on_file(en, ev, &c); break;
	case EVENT_NOTE:
		on_note(ev, &c);
		if (strcmp(ev->kind, "role") == 0) /* what we share there counts no longer, or again */
			engine_compare_shares(en);
		break;
	case EVENT_SESSION_ENDED:
	case EVENT_LEAVING: on_reason(ev, &c); break;
	}
	engine_tell(en, ev);
}
