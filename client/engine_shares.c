/* client/engine_shares.c - what this device shares, compared with what the tracker lists.
 *
 * After each login, and when a heartbeat says that the two differ, MY_SHARES is asked:
 * - listed for this device: served, if the file is still the one that was shared;
 * - listed for another device of the user only: shared again with UPDATE_FILE_INFO, and served;
 * - not listed: dropped, with a note, unless it was shared since the login (the tracker may not have heard yet);
 * - listed for this device but not in our list: a note, once; nobody here knows where the file is. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/engine_impl.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"

void engine_shares_changed(struct engine *en)
{
	link_set_shares(en->link, en->shares != NULL ? shares_count(en->shares) : 0,
	                en->shares != NULL ? shares_digest(en->shares) : 0);
}

static void ignore_reply(void *arg, const struct link_reply *reply)
{
	struct engine *en = arg;

	if (reply->code != SHOAL_OK && reply->code != SHOAL_ECANCELLED)
		log_line(en->log, LOG_WARN, "shares", "the tracker could not be told about a share: %s", reply->message);
}

static void unserve(struct engine *en, struct share *share)
{
	if (share->served && en->transfers != NULL)
		transfers_unserve(en->transfers, &share->info.gid, &share->info.fid);
	share->served = false;
}

void engine_forget_share(struct engine *en, const struct id16 *gid, const struct id16 *fid)
{
	struct share *share = en->shares != NULL ? shares_find(en->shares, gid, fid) : NULL;

	if (en->transfers != NULL)
		transfers_unserve(en->transfers, gid, fid);
	if (share == NULL)
		return;
	shares_remove(en->shares, gid, fid);
	engine_shares_changed(en);
}

/* The tracker has it no longer: not served, not shown, but not deleted either. */
static void drop(struct engine *en, struct share *share, const char *why)
{
	unserve(en, share);
	if (share->dropped)
		return;
	engine_tell_share(en, "file.removed", share, why);
	shares_set_dropped(en->shares, share, true);
}

void engine_share_removed(struct engine *en, const struct id16 *gid, const struct id16 *fid, const char *why)
{
	struct share *share = en->shares != NULL ? shares_find(en->shares, gid, fid) : NULL;

	if (share == NULL || engine_stops_share(en, share->info.group, share->info.file))
		return;
	drop(en, share, why);
	engine_shares_changed(en);
}

/* The file on disk is another one now: nobody gets it from us, and the tracker is told so. */
static void give_up_changed(struct engine *en, struct share *share, const char *why)
{
	struct buf fields = { 0 };
	struct req_file req = { .group = slice_str(share->info.group), .file = slice_str(share->info.file) };

	engine_tell_share(en, "file.changed", share, why);
	req_file_put(&fields, &req);
	link_call(en->link, VERB_STOP_SHARE, &fields, 0, ignore_reply, en);
	buf_free(&fields);
	unserve(en, share);
	shares_remove(en->shares, &share->info.gid, &share->info.fid);
	engine_shares_changed(en);
}

/* -- from the transfers */

static void run_kept(struct work *work)
{
	(void)work; /* that it is its turn says it all */
}

void engine_take_kept(void *arg, struct queue_node *nodes)
{
	struct engine *en = arg;

	for (struct queue_node *next; nodes != NULL; nodes = next) {
		next = nodes->next;
		struct engine_kept *kept = container_of(container_of(nodes, struct work, node), struct engine_kept, work);
		if (en->transfers != NULL)
			transfers_kept(en->transfers, kept->job);
		free(kept);
	}
}

/* The job is done when its share is on the disk, so that a client that is killed then goes on sharing it. */
static void keep(struct engine *en, uint64_t job)
{
	struct engine_kept *kept = try_alloc(sizeof(*kept));

	if (kept == NULL) {
		transfers_kept(en->transfers, job);
		return;
	}
	kept->work = (struct work){ .run = run_kept, .done = en->kept };
	kept->job = job;
	shares_after_writing(en->shares, &kept->work);
}

void engine_on_shared(void *owner, const struct share_info *info, const struct id32 *content, uint64_t job)
{
	struct engine *en = owner;
	struct share_info absolute = *info;
	char folder[4096], *path = NULL;

	if (en->shares == NULL) {
		log_line(en->log, LOG_WARN, "shares", "'%s' was finished after the logout and is not kept", info->file);
		transfers_kept(en->transfers, job);
		return;
	}
	if (info->path[0] != '/' && getcwd(folder, sizeof(folder)) != NULL)
		absolute.path = path = str_printf("%s/%s", folder, info->path);
	if (shares_put(en->shares, &absolute, content) != SHOAL_OK)
		log_line(en->log, LOG_ERROR, "shares", "'%s' will not be shared after a restart: out of memory", info->file);
	struct share *share = shares_find(en->shares, &info->gid, &info->fid);
	if (share != NULL)
		share->served = true; /* the transfers serve it from here on by themselves */
	free(path);
	engine_shares_changed(en);
	keep(en, job);
}

void engine_on_unshared(void *owner, const struct id16 *gid, const struct id16 *fid, const char *why)
{
	struct engine *en = owner;
	struct share *share = en->shares != NULL ? shares_find(en->shares, gid, fid) : NULL;

	if (share == NULL)
		return;
	share->served = false;
	if (share_look(share) == SHARE_MISSING) /* it may come back: a disk that is not mounted */
		engine_tell_share(en, "file.missing", share, why);
	else
		give_up_changed(en, share, why);
}

/* -- comparing */

static void begin_marks(struct engine *en)
{
	struct share *share = NULL;

	while ((share = shares_next(en->shares, share)) != NULL)
		share->listed = share->elsewhere = false;
}

/* One row of MY_SHARES. */
static void mark_row(struct engine *en, const struct row_share *row)
{
	struct share *share = shares_find(en->shares, &row->gid, &row->fid);
	bool ours = id32_eq(&row->device, &en->identity->id);

	if (share != NULL) {
		share->listed = share->listed || ours;
		share->elsewhere = share->elsewhere || !ours;
		slice_to_str(row->group, share->info.group, sizeof(share->info.group));
		slice_to_str(row->file, share->info.file, sizeof(share->info.file));
	} else if (ours && !en->compared) {
		struct share unknown = { .info = { .gid = row->gid, .fid = row->fid } };
		slice_to_str(row->group, unknown.info.group, sizeof(unknown.info.group));
		slice_to_str(row->file, unknown.info.file, sizeof(unknown.info.file));
		engine_tell_share(en, "file.unknown", &unknown,
		                  "the tracker lists it as shared by this device, which does not know where it is: "
		                  "upload it again, or stop_share it");
	}
}

static void share_again(struct engine *en, const struct share *share)
{
	struct buf fields = { 0 };
	struct req_fid req = { .gid = share->info.gid, .fid = share->info.fid };

	req_fid_put(&fields, &req);
	link_call(en->link, VERB_UPDATE_FILE_INFO, &fields, 0, ignore_reply, en);
	buf_free(&fields);
}

static void settle(struct engine *en, struct share *share)
{
	if (!share->listed && !share->elsewhere) {
		if (!share->fresh)
			drop(en, share, "it is no longer in the group's list");
		return;
	}
	shares_set_dropped(en->shares, share, false);
	if (share->served)
		return;
	if (share->state == SHARE_CHANGED) {
		give_up_changed(en, share, "it was changed on disk");
		return;
	}
	if (share->state == SHARE_MISSING)
		engine_tell_share(en, "file.missing", share, "it is not where it was");
	if (!share->listed)
		share_again(en, share);
	transfers_serve(en->transfers, &share->info, &share->content);
	share->served = true;
}

static void settle_all(struct engine *en)
{
	struct share *share, *next;

	for (share = shares_next(en->shares, NULL); share != NULL; share = next) {
		next = shares_next(en->shares, share);
		settle(en, share);
	}
	engine_shares_changed(en);
}

static bool mark_rows(struct engine *en, struct slice fields)
{
	struct cursor c = cursor_of(fields.data, fields.len);
	struct rep_none head;
	struct row_share row;

	rep_none_get(&c, &head);
	for (unsigned left = get_u16(&c); left > 0 && !c.bad; left--) {
		row_share_get(&c, &row);
		if (!c.bad)
			mark_row(en, &row);
	}
	return cursor_end(&c) == SHOAL_OK;
}

static void on_my_shares(void *arg, const struct link_reply *reply)
{
	struct engine *en = arg;
	bool good = reply->code == SHOAL_OK && en->shares != NULL && mark_rows(en, reply->fields);

	en->compare_bad = en->compare_bad || !good;
	if (reply->more)
		return;
	en->comparing = 0;
	if (en->shares == NULL || en->transfers == NULL || reply->code == SHOAL_ECANCELLED)
		return;
	if (en->compare_bad || en->compare_stale)
		loop_timer_set_ms(en->compare_timer, en->compare_bad ? ENGINE_COMPARE_AGAIN_MS : 0);
	if (!en->compare_bad) {
		settle_all(en);
		en->compared = true;
	}
}

void engine_compare_shares(struct engine *en)
{
	if (en->shares == NULL || en->transfers == NULL)
		return;
	if (en->comparing != 0) {
		en->compare_stale = true;
		return;
	}
	en->compare_stale = en->compare_bad = false;
	en->compared_ms = clock_mono_ms();
	begin_marks(en);
	en->comparing = link_call(en->link, VERB_MY_SHARES, NULL, 0, on_my_shares, en);
}

/* Not at every heartbeat: a difference may stay, as that of a file.unknown does. */
void engine_on_differ(struct engine *en)
{
	if (en->compared_ms == 0 || clock_mono_ms() - en->compared_ms >= ENGINE_DIFFER_MS)
		engine_compare_shares(en);
}

void engine_compare_on_time(void *arg)
{
	struct engine *en = arg;
	engine_compare_shares(en);
}
