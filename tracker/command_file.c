/* tracker/command_file.c - files: upload, share, stop, list.
 *
 * An upload is: upload_check, put_hashes as often as it takes, upload_file_data. The piece hashes go to the store as
 * they come, so that no connection holds more than a few chunks; the op commits when the store has recomputed the content id
 * from them. An upload that nobody goes on with is forgotten after an hour. */
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "tracker/core.h"
#include "tracker/memo.h"

static enum shoal_err no_memory(struct error *e)
{
	return error_set(e, SHOAL_EBUSY, "the tracker is out of memory, try again");
}

static enum shoal_err find_group(struct command *cmd, struct slice group, struct id16 *gid, struct error *e)
{
	enum shoal_err rc = group_lookup(cmd->t->reg, group, gid, e);
	return rc == SHOAL_OK ? group_check_member(cmd->t->reg, gid, &cmd->uid, e) : rc;
}

static enum shoal_err check_upload(struct slice name, uint64_t size, struct error *e)
{
	enum shoal_err rc = name_check(NAME_FILE, name.data, name.len, e);
	if (rc == SHOAL_OK && size > CONTENT_SIZE_MAX)
		rc = error_set(e, SHOAL_EUSAGE, "a file of more than 8 TiB cannot be shared");
	return rc;
}

enum shoal_err command_upload_check(struct command *cmd, struct error *e)
{
	struct req_upload_check r;
	struct rep_upload_check rep = { 0 };

	req_upload_check_get(&cmd->fields, &r);
	enum shoal_err rc = find_group(cmd, r.group, &rep.gid, e);
	if (rc == SHOAL_OK)
		rc = group_check_share(cmd->t->reg, &rep.gid, &cmd->uid, e);
	if (rc == SHOAL_OK)
		rc = check_upload(r.name, r.size, e);
	if (rc != SHOAL_OK)
		return rc;
	const struct file_row *f = file_find(cmd->t->reg, &rep.gid, r.name);
	if (f != NULL && file_has_seeder(cmd->t->reg, &rep.gid, &f->fid)) {
		rep.exists = 1;
		rep.content = f->content;
	}
	rep_upload_check_put(&cmd->reply, &rep);
	return SHOAL_OK;
}

/* -- hashes on their way */
static enum shoal_err note_upload(struct command *cmd, const struct id32 *content, struct error *e)
{
	struct tracker *t = cmd->t;
	struct upload_node *u;
	unsigned mine = 0;

	HASH_FIND(hh, t->uploads, content, sizeof(*content), u);
	if (u != NULL) {
		u->used_ms = tracker_now(t);
		return SHOAL_OK;
	}
	for (u = t->uploads; u != NULL; u = u->hh.next)
		mine += id16_eq(&u->uid, &cmd->uid);
	if (mine >= UPLOADS_PER_USER)
		return error_set(e, SHOAL_EBUSY, "you have %u unfinished uploads already: finish one, or wait an hour",
		                 mine);
	u = try_alloc(sizeof(*u));
	if (u == NULL)
		return no_memory(e);
	u->content = *content;
	u->uid = cmd->uid;
	u->used_ms = tracker_now(t);
	HASH_ADD(hh, t->uploads, content, sizeof(u->content), u);
	if (u->hh.tbl == NULL) {
		free(u);
		return no_memory(e);
	}
	return SHOAL_OK;
}

static void forget_upload(struct tracker *t, const struct id32 *content)
{
	struct upload_node *u;
	HASH_FIND(hh, t->uploads, content, sizeof(*content), u);
	if (u == NULL)
		return;
	HASH_DEL(t->uploads, u);
	free(u);
}

/* What the store could not do, as a sentence for the client. */
static enum shoal_err store_error(enum shoal_err rc, struct error *e)
{
	return error_set(e, rc, "the tracker's store: %s", error_default(rc));
}

static void on_put(struct command *cmd, const struct env_event *ev)
{
	struct error e = { 0 };
	struct rep_put_hashes rep = { .have = ev->content->have };

	if (ev->result == SHOAL_OK)
		rep_put_hashes_put(&cmd->reply, &rep);
	else
		store_error(ev->result, &e);
	content_op_free(ev->content);
	command_finish(cmd, ev->result, &e);
}

enum shoal_err command_put_hashes(struct command *cmd, struct error *e)
{
	struct req_put_hashes r;
	req_put_hashes_get(&cmd->fields, &r);
	unsigned long long n = r.hashes.len / 32, pieces = r.size <= CONTENT_SIZE_MAX ? content_pieces(r.size) : 0;

	if (r.hashes.len % 32 != 0 || n == 0 || n > HASHES_PER_CHUNK || r.first > pieces || n > pieces - r.first)
		return error_set(e, SHOAL_EUSAGE, "put_hashes: %llu hashes from piece %u on, of %llu pieces, do not fit", n,
		                 r.first, pieces);
	enum shoal_err rc = note_upload(cmd, &r.content, e);
	if (rc != SHOAL_OK)
		return rc;
	struct content_op *op = content_op_new(CONTENT_PUT);
	if (op == NULL)
		return no_memory(e);
	op->id = r.content;
	op->size = r.size;
	op->first = r.first;
	buf_put(&op->data, r.hashes.data, r.hashes.len);
	if (op->data.failed) {
		content_op_free(op);
		return no_memory(e);
	}
	return command_await_content(cmd, op, on_put, e);
}

/* -- upload_file_data */
static void put_upload_reply(struct command *cmd, const struct id16 *gid, const struct id16 *fid, bool joined)
{
	char name[NAME_SHOWN_MAX];
	struct rep_upload_file_data rep = { .fid = *fid, .joined = joined,
		                            .name = slice_str(file_shown(cmd->t->reg, gid, fid, name)) };
	rep_upload_file_data_put(&cmd->reply, &rep);
}

static enum shoal_err commit_upload(struct command *cmd, const struct req_upload_file_data *r, struct error *e)
{
	struct tracker *t = cmd->t;
	struct upload up = { .name = r->name, .size = r->size, .piece_size = r->piece_size, .file_hash = r->file_hash,
		             .content = r->content };
	struct id16 fid;
	struct op op;
	bool joined = false;

	if (registry_known_request(t->reg, &cmd->head.request, &cmd->stamp)) {
		fid_of(&r->gid, r->name, &r->content, &fid);
		put_upload_reply(cmd, &r->gid, &fid, false);
		return SHOAL_OK;
	}
	if (cmd->c == NULL || !cmd->c->logged_in || !id16_eq(&cmd->c->uid, &cmd->uid))
		return error_set(e, SHOAL_EAUTH, "logged out meanwhile");
	command_op_begin(cmd, OP_UPLOAD_FILE_DATA, &op);
	enum shoal_err rc = file_upload(t->reg, &op, &cmd->uid, &cmd->c->device, &r->gid, &up, &fid, &joined, e);
	if (rc != SHOAL_OK) {
		op_fini(&op);
		return rc;
	}
	rc = command_commit(cmd, &op, e);
	if (rc != SHOAL_OK)
		return rc;
	(void)registry_set_held(t->reg, &r->content, true); /* the row is there: the op made it, or an earlier one */
	forget_upload(t, &r->content);
	put_upload_reply(cmd, &r->gid, &fid, joined);
	return SHOAL_OK;
}

static void on_checked(struct command *cmd, const struct env_event *ev)
{
	struct req_upload_file_data r;
	struct cursor fields = cmd->fields;
	struct error e = { 0 };
	enum shoal_err rc = ev->result;
	uint64_t have = ev->content->have;

	content_op_free(ev->content);
	req_upload_file_data_get(&fields, &r);
	if (rc == SHOAL_OK)
		rc = commit_upload(cmd, &r, &e);
	else if (rc == SHOAL_ENOTFOUND)
		rc = error_set(&e, SHOAL_ECONFLICT, "only %llu of %llu piece hashes are here: put the rest first",
		               (unsigned long long)have, (unsigned long long)content_pieces(r.size));
	else if (rc == SHOAL_EINTEGRITY)
		error_set(&e, rc, "size, file hash and piece hashes do not give that content id");
	else
		store_error(rc, &e);
	if (ev->result == SHOAL_EINTEGRITY)
		forget_upload(cmd->t, &r.content);
	command_finish(cmd, rc, &e);
}

enum shoal_err command_upload_file_data(struct command *cmd, struct error *e)
{
	struct req_upload_file_data r;
	struct cursor fields = cmd->fields;

	req_upload_file_data_get(&fields, &r);
	if (cmd->replay)
		return commit_upload(cmd, &r, e);
	enum shoal_err rc = group_check_share(cmd->t->reg, &r.gid, &cmd->uid, e);
	if (rc == SHOAL_OK)
		rc = check_upload(r.name, r.size, e);
	if (rc == SHOAL_OK && r.piece_size != PIECE_SIZE)
		rc = error_set(e, SHOAL_EUSAGE, "the piece size is %u, not %u", PIECE_SIZE, r.piece_size);
	struct id32 of_nothing;
	sha256_of("", 0, &of_nothing);
	if (rc == SHOAL_OK && r.size == 0 && !id32_eq(&r.file_hash, &of_nothing))
		rc = error_set(e, SHOAL_EINTEGRITY, "an empty file does not have that hash");
	if (rc != SHOAL_OK)
		return rc;
	struct content_op *op = content_op_new(CONTENT_CHECK);
	if (op == NULL)
		return no_memory(e);
	op->id = r.content;
	op->size = r.size;
	op->file_hash = r.file_hash;
	return command_await_content(cmd, op, on_checked, e);
}

/* -- sharing, and no longer */
enum shoal_err command_update_file_info(struct command *cmd, struct error *e)
{
	struct req_fid r;
	struct op op;

	if (cmd->replay)
		return SHOAL_OK;
	req_fid_get(&cmd->fields, &r);
	command_op_begin(cmd, OP_UPDATE_FILE_INFO, &op);
	enum shoal_err rc = file_share(cmd->t->reg, &op, &cmd->uid, &cmd->c->device, &r.gid, &r.fid, e);
	if (rc != SHOAL_OK) {
		op_fini(&op);
		return rc;
	}
	return command_commit(cmd, &op, e);
}

/* Others' shares that do not fit beside the stop, in records before it. */
static enum shoal_err stop_others(struct command *cmd, const struct rep_stop_share *rep, const struct presence *online,
                                  struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	for (bool more = true; more && rc == SHOAL_OK;) {
		struct op op;
		command_op_begin_part(cmd, OP_STOP_SHARE, &op);
		file_stop_others(cmd->t->reg, &op, &cmd->uid, &rep->gid, &rep->fid, online);
		more = !op_is_empty(&op);
		rc = command_commit(cmd, &op, e);
	}
	return rc;
}

/* A file that was removed has its name no longer: the last that had it is what a repeated command was about. */
static void find_removed(struct command *cmd, const struct req_file *r, struct rep_stop_share *rep)
{
	struct registry_iter it = registry_by(cmd->t->reg, INDEX_FILES_NAMED, rep->gid.b, sizeof(rep->gid.b), r->file.data,
	                                      r->file.len);
	const struct file_row *f, *last = NULL;

	while ((f = registry_next(&it)) != NULL)
		if (last == NULL || stamp_cmp(&f->claim, &last->claim) > 0)
			last = f;
	if (last != NULL)
		rep->fid = last->fid;
}

enum shoal_err command_stop_share(struct command *cmd, struct error *e)
{
	struct tracker *t = cmd->t;
	struct req_file r;
	struct rep_stop_share rep = { 0 };
	struct presence online = tracker_presence(t);
	struct op op;
	bool removed = false;

	req_file_get(&cmd->fields, &r);
	enum shoal_err rc = group_lookup(t->reg, r.group, &rep.gid, e);
	if (rc == SHOAL_OK)
		rc = file_lookup(t->reg, &rep.gid, r.file, &rep.fid, e);
	if (cmd->replay) {
		if (rc != SHOAL_OK)
			find_removed(cmd, &r, &rep);
		rep.removed = rc != SHOAL_OK || !file_has_seeder(t->reg, &rep.gid, &rep.fid);
		rep_stop_share_put(&cmd->reply, &rep);
		return SHOAL_OK;
	}
	if (rc != SHOAL_OK)
		return rc;
	command_op_begin_part(cmd, OP_STOP_SHARE, &op); /* only to ask whether he may */
	rc = file_stop(t->reg, &op, &cmd->uid, &rep.gid, &rep.fid, &online, &removed, e);
	op_fini(&op);
	if (rc == SHOAL_OK)
		rc = stop_others(cmd, &rep, &online, e);
	if (rc != SHOAL_OK)
		return rc;
	command_op_begin(cmd, OP_STOP_SHARE, &op);
	rc = file_stop(t->reg, &op, &cmd->uid, &rep.gid, &rep.fid, &online, &removed, e);
	if (rc != SHOAL_OK) {
		op_fini(&op);
		return rc;
	}
	rc = command_commit(cmd, &op, e);
	if (rc != SHOAL_OK)
		return rc;
	rep.removed = removed;
	rep_stop_share_put(&cmd->reply, &rep);
	return SHOAL_OK;
}

/* -- lists */
static void put_file_row(struct tracker *t, struct buf *b, const struct id16 *gid, const struct shown_file *f)
{
	char owner[NAME_SHOWN_MAX];
	struct row_file row = {
		.name = slice_str(f->name), .fid = f->file->fid, .size = f->file->size, .hash = f->file->hash,
		.content = f->file->content, .seeders = f->seeders,
		.peers = f->seeders + (uint32_t)presence_leechers(t->presence, gid, &f->file->fid),
		.owner = slice_str(user_shown(t->reg, &f->file->uploader, owner)),
		.added_ms = stamp_wall_ms(&f->file->claim),
		.state = slice_str(f->syncing ? "syncing" : "ok"),
	};
	row_file_put(b, &row);
}

/* All of them, in as many pages as it takes. */
static void put_pages(struct command *cmd, const struct id16 *gid, const struct shown_file *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf *b = command_row(cmd);
		if (b == NULL)
			return;
		put_file_row(cmd->t, b, gid, &files[i]);
		command_row_done(cmd);
	}
}

/* A list of one page is kept for the next who asks. */
static void keep_rows(struct command *cmd, struct slice key)
{
	const struct page *p = TAILQ_FIRST(&cmd->pages);
	struct memo_answer a = { 0 };

	if (p == NULL || TAILQ_NEXT(p, link) != NULL || cmd->reply.failed)
		return;
	a.n = p->n;
	buf_put(&a.bytes, p->rows.data, p->rows.len);
	(void)memo_keep(tracker_memo(cmd->t), MEMO_FILES, key, &a, tracker_now(cmd->t));
}

enum shoal_err command_list_files(struct command *cmd, struct error *e)
{
	struct tracker *t = cmd->t;
	struct req_list_files r;
	struct rep_gid rep;
	struct shown_file *files;
	struct presence online = tracker_presence(t);
	uint8_t bytes[17];
	size_t n;

	req_list_files_get(&cmd->fields, &r);
	enum shoal_err rc = find_group(cmd, r.group, &rep.gid, e);
	if (rc != SHOAL_OK)
		return rc;
	memcpy(bytes, rep.gid.b, 16);
	bytes[16] = r.all != 0;
	struct slice key = slice_of(bytes, sizeof(bytes));
	rep_gid_put(&cmd->reply, &rep);
	const struct memo_answer *known = memo_find(tracker_memo(t), MEMO_FILES, key, tracker_now(t));
	if (known != NULL) {
		command_rows(cmd, slice_of(known->bytes.data, known->bytes.len), (uint16_t)known->n);
		return SHOAL_OK;
	}
	if (file_list(t->reg, &rep.gid, &online, r.all != 0, &files, &n) != SHOAL_OK)
		return no_memory(e);
	put_pages(cmd, &rep.gid, files, n);
	free(files);
	keep_rows(cmd, key);
	return SHOAL_OK;
}

enum shoal_err command_my_shares(struct command *cmd, struct error *e)
{
	struct tracker *t = cmd->t;
	struct my_share *shares;
	char group[NAME_SHOWN_MAX], file[NAME_SHOWN_MAX];
	size_t n;

	if (file_shares_of(t->reg, &cmd->uid, NULL, &shares, &n) != SHOAL_OK)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		const struct file_row *f = shares[i].file;
		struct row_share row = { .gid = f->gid,
			                 .fid = f->fid,
			                 .content = f->content,
			                 .device = shares[i].device,
			                 .group = slice_str(group_shown(t->reg, &f->gid, group)),
			                 .file = slice_str(file_shown(t->reg, &f->gid, &f->fid, file)) };
		struct buf *b = command_row(cmd);
		if (b == NULL)
			break;
		row_share_put(b, &row);
		command_row_done(cmd);
	}
	free(shares);
	return SHOAL_OK;
}
