/* client/cmd_file.c - files: sharing, fetching, listing. */
#include "client/cmd.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

/* -- upload_file, download_file: the engine gives a job at once; opts.wait waits for its end */

static enum shoal_err job_given(struct cmd_run *run, const struct value *opts, struct call *answered, struct error *e)
{
	if (answered->kind == CALL_JOB_WAIT) /* however it ended: the job tells */
		return SHOAL_OK;
	if (answered->error.code != SHOAL_OK) {
		*e = answered->error;
		return e->code;
	}
	run->result = value_job(answered->job);
	if (!value_get_bool(opts, "wait", false))
		return SHOAL_OK;
	struct call *c = call_new(CALL_JOB_WAIT);
	if (c != NULL)
		c->job = answered->job;
	return cmd_ask(run, c, e);
}

static bool is_readable_file(const char *path, uint64_t *size)
{
	struct stat st;
	bool yes = stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, R_OK) == 0;
	*size = yes ? (uint64_t)st.st_size : 0;
	return yes;
}

static bool copy_name(char out[JOB_NAME_MAX], const char *from)
{
	return slice_to_str(slice_str(from), out, JOB_NAME_MAX);
}

/* Takes the half-made call over. */
static enum shoal_err too_long(struct call *c, const char *what, struct error *e)
{
	call_free(c);
	return error_set(e, SHOAL_EUSAGE, "the %s is too long", what);
}

static enum shoal_err ask_upload(struct cmd_run *run, struct error *e)
{
	const char *path = cmd_arg_text(run, 0, ""), *group = cmd_arg_text(run, 1, "");
	uint64_t size, other;
	if (!is_readable_file(path, &size) && is_readable_file(group, &other))
		return error_set(e, SHOAL_EUSAGE,
		                 "the path comes first, then the group: upload_file(\"%.120s\", \"%.80s\")", group, path);
	struct call *c = call_new(CALL_UPLOAD);
	if (c == NULL)
		return cmd_ask(run, c, e);
	if (!copy_name(c->group, group))
		return too_long(c, "group's name", e);
	if (!copy_name(c->opts.name, value_get_text(&run->argv[2], "name", "")))
		return too_long(c, "option 'name'", e);
	c->path = try_strdup(path);
	c->opts.size = size;
	c->fields.failed |= c->path == NULL;
	return cmd_ask(run, c, e);
}

static enum shoal_err run_upload_file(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? ask_upload(run, e) : job_given(run, &run->argv[2], answered, e);
}

static enum download_order order_of(const char *word)
{
	static const char *const words[] = { [ORDER_RAREST] = "rarest", [ORDER_SEQUENTIAL] = "sequential",
		                             [ORDER_RANDOM] = "random" };
	for (unsigned i = 1; i < COUNT_OF(words); i++)
		if (strcmp(words[i], word) == 0)
			return (enum download_order)i;
	return ORDER_DEFAULT;
}

static enum on_exists on_exists_of(const char *word)
{
	static const char *const words[] = { [EXISTS_RESUME] = "resume", [EXISTS_SKIP] = "skip",
		                             [EXISTS_REPLACE] = "replace", [EXISTS_RENAME] = "rename",
		                             [EXISTS_FAIL] = "fail" };
	for (unsigned i = 0; i < COUNT_OF(words); i++)
		if (strcmp(words[i], word) == 0)
			return (enum on_exists)i;
	return EXISTS_RESUME;
}

static enum shoal_err ask_download(struct cmd_run *run, struct error *e)
{
	const struct value *opts = &run->argv[3];
	struct call *c = call_new(CALL_DOWNLOAD);
	if (c == NULL)
		return cmd_ask(run, c, e);
	if (!copy_name(c->group, cmd_arg_text(run, 0, "")))
		return too_long(c, "group's name", e);
	if (!copy_name(c->file, cmd_arg_text(run, 1, "")))
		return too_long(c, "file's name", e);
	c->path = try_strdup(cmd_arg_text(run, 2, "."));
	c->fields.failed |= c->path == NULL;
	c->opts.order = order_of(value_get_text(opts, "order", ""));
	c->opts.on_exists = on_exists_of(value_get_text(opts, "on_exists", ""));
	c->opts.limit = (uint64_t)value_get_int(opts, "limit", 0);
	c->opts.timeout_ms = (uint32_t)value_get_int(opts, "timeout", 0);
	c->opts.wait_for_seeder_ms = (uint32_t)value_get_int(opts, "wait_for_seeder", 0);
	c->opts.pieces_only = strcmp(value_get_text(opts, "verify", ""), "pieces") == 0;
	c->opts.no_share = !value_get_bool(opts, "keep_sharing", true);
	return cmd_ask(run, c, e);
}

static enum shoal_err run_download_file(struct cmd_run *run, struct call *answered, struct error *e)
{
	return answered == NULL ? ask_download(run, e) : job_given(run, &run->argv[3], answered, e);
}

/* -- list_files: the tracker's list, and what this device shares, which fills `have` */

static void head_gid(struct cursor *c)
{
	struct rep_gid m;
	rep_gid_get(c, &m);
}

static void row_a_file(struct cmd_run *run, struct cursor *c)
{
	struct row_file m;
	row_file_get(c, &m);
	char fid[HEX16_SIZE];
	hex_encode(m.fid.b, sizeof(m.fid.b), fid);
	struct value t = value_table();
	value_set(&t, "name", value_slice(m.name));
	value_set(&t, "size", value_int((int64_t)m.size));
	value_set(&t, "hash", value_hex(m.hash.b, sizeof(m.hash.b)));
	value_set(&t, "seeders", value_int(m.seeders));
	value_set(&t, "peers", value_int(m.peers));
	value_set(&t, "owner", value_slice(m.owner));
	value_set(&t, "added", value_int((int64_t)(m.added_ms / 1000)));
	value_set(&t, "state", value_slice(m.state));
	value_set(&t, "have", value_bool(false));
	value_set(&t, "fid", value_str(fid)); /* for the join with the shares; taken out again */
	value_add(&run->result, t);
}

static enum shoal_err ask_files(struct cmd_run *run, bool all, struct error *e)
{
	struct call *c = cmd_verb_call(VERB_LIST_FILES);
	if (c != NULL)
		req_list_files_put(&c->fields, &(struct req_list_files){ .group = cmd_arg_slice(run, 0), .all = all });
	enum shoal_err rc = cmd_ask(run, c, e);
	run->scratch = value_table();
	return rc == SHOAL_OK ? cmd_ask(run, call_new(CALL_HAVE), e) : rc;
}

static void remember_shares(struct cmd_run *run, const struct call *c)
{
	for (size_t i = 0; c->error.code == SHOAL_OK && i < c->n; i++) {
		char fid[HEX16_SIZE];
		hex_encode(c->shares[i].fid.b, sizeof(c->shares[i].fid.b), fid);
		value_set(&run->scratch, fid, value_bool(true));
	}
}

/* Turns fid into have. */
static void mark_ours(struct cmd_run *run)
{
	for (size_t i = 0; i < run->result.table.n; i++) {
		struct value *row = &run->result.table.items[i];
		const char *fid = value_get_text(row, "fid", "");
		value_set(row, "have", value_bool(value_get_bool(&run->scratch, fid, false)));
		size_t last = --row->table.n; /* fid was set last */
		free(row->table.keys[last]);
		value_free(&row->table.items[last]);
	}
}

static bool row_wanted(const struct cmd_run *run, const struct value *row)
{
	const char *glob = value_get_text(&run->argv[1], "glob", NULL);
	return glob == NULL || fnmatch(glob, value_get_text(row, "name", ""), 0) == 0;
}

static void keep_wanted(struct cmd_run *run)
{
	size_t kept = 0;
	for (size_t i = 0; i < run->result.table.n; i++) {
		struct value *row = &run->result.table.items[i];
		if (row_wanted(run, row))
			run->result.table.items[kept++] = *row;
		else
			value_free(row);
	}
	run->result.table.n = kept;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(value_get_text(a, "name", ""), value_get_text(b, "name", ""));
}

/* The largest, newest, most shared first. */
static int by_number(const void *a, const void *b, void *key)
{
	int64_t x = value_get_int(a, key, 0), y = value_get_int(b, key, 0);
	return x != y ? (x < y ? 1 : -1) : by_name(a, b);
}

static void sort_rows(struct cmd_run *run)
{
	const char *key = value_get_text(&run->argv[1], "sort", "name");
	char copy[16];
	snprintf(copy, sizeof(copy), "%s", key);
	if (run->result.table.n == 0)
		return;
	if (strcmp(key, "name") == 0)
		qsort(run->result.table.items, run->result.table.n, sizeof(struct value), by_name);
	else
		qsort_r(run->result.table.items, run->result.table.n, sizeof(struct value), by_number, copy);
}

static enum shoal_err run_list_files(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered == NULL)
		return ask_files(run, value_get_bool(&run->argv[1], "all", false), e);
	if (answered->kind == CALL_HAVE) {
		remember_shares(run, answered);
	} else {
		enum shoal_err rc = cmd_read_rows(run, answered, head_gid, row_a_file, e);
		if (rc != SHOAL_OK)
			return rc;
	}
	if (run->outstanding == 0 && !run->result.failed) {
		mark_ours(run);
		keep_wanted(run);
		sort_rows(run);
	}
	return SHOAL_OK;
}

/* -- file_info: the row of list_files, and what FIND knows of who has it */

static void find_peers(struct cmd_run *run, struct cursor *c)
{
	struct value seeders = value_list();
	for (unsigned n = get_u16(c); n != 0 && !c->bad; n--) {
		struct row_peer m;
		row_peer_get(c, &m);
		struct value t = value_table();
		value_set(&t, "user", value_slice(m.user));
		value_set(&t, "address", value_slice(m.address));
		value_set(&t, "complete", value_bool(m.complete != 0));
		value_add(&seeders, t);
	}
	value_set(&run->scratch, "seeders", seeders);
}

static enum shoal_err read_find(struct cmd_run *run, const struct call *c, struct error *e)
{
	if (c->error.code == SHOAL_ENOSEEDER) {
		value_set(&run->scratch, "seeders", value_list());
		return SHOAL_OK;
	}
	if (c->error.code != SHOAL_OK || c->nframes == 0) {
		*e = c->error;
		return e->code != SHOAL_OK ? e->code : error_set(e, SHOAL_EPROTO, "file_info: an empty answer");
	}
	struct cursor cur = cursor_of(c->frames[0].data, c->frames[0].len);
	struct rep_find m;
	rep_find_get(&cur, &m);
	value_set(&run->scratch, "piece_size", value_int(m.piece_size));
	value_set(&run->scratch, "pieces", value_int(m.piece_size != 0 ? (int64_t)((m.size + m.piece_size - 1) / m.piece_size) : 0));
	value_set(&run->scratch, "content", value_hex(m.content.b, sizeof(m.content.b)));
	find_peers(run, &cur);
	return cursor_end(&cur) == SHOAL_OK ? SHOAL_OK : error_set(e, SHOAL_EPROTO, "file_info: the answer cannot be read");
}

static enum shoal_err finish_info(struct cmd_run *run, struct error *e)
{
	static const char *const added[] = { "piece_size", "pieces", "content", "seeders" };
	const char *name = cmd_arg_text(run, 1, "");
	struct value found = { 0 };
	mark_ours(run);
	for (size_t i = 0; i < run->result.table.n && found.type == VALUE_NIL; i++)
		if (strcmp(value_get_text(&run->result.table.items[i], "name", ""), name) == 0)
			found = value_take(&run->result.table.items[i]);
	value_free(&run->result);
	if (found.type == VALUE_NIL)
		return error_set(e, SHOAL_ENOTFOUND, "no file '%s' in group '%s'", name, cmd_arg_text(run, 0, ""));
	for (size_t i = 0; i < COUNT_OF(added); i++) {
		const struct value *v = value_get(&run->scratch, added[i]);
		if (v != NULL)
			value_set(&found, added[i], value_copy(v));
	}
	run->result = found;
	return SHOAL_OK;
}

static enum shoal_err run_file_info(struct cmd_run *run, struct call *answered, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	if (answered == NULL) {
		rc = ask_files(run, true, e);
		struct call *c = rc == SHOAL_OK ? cmd_verb_call(VERB_FIND) : NULL;
		if (c != NULL)
			req_file_put(&c->fields,
			             &(struct req_file){ .group = cmd_arg_slice(run, 0), .file = cmd_arg_slice(run, 1) });
		return rc == SHOAL_OK ? cmd_ask(run, c, e) : rc;
	}
	if (answered->kind == CALL_HAVE)
		remember_shares(run, answered);
	else if (answered->verb == VERB_FIND)
		rc = read_find(run, answered, e);
	else
		rc = cmd_read_rows(run, answered, head_gid, row_a_file, e);
	return rc == SHOAL_OK && run->outstanding == 0 && !run->result.failed ? finish_info(run, e) : rc;
}

static enum shoal_err run_stop_share(struct cmd_run *run, struct call *answered, struct error *e)
{
	if (answered != NULL)
		return cmd_give_stamp(run, answered, e);
	struct call *c = call_new(CALL_STOP_SHARE);
	if (c == NULL)
		return cmd_ask(run, c, e);
	if (!copy_name(c->group, cmd_arg_text(run, 0, "")))
		return too_long(c, "group's name", e);
	if (!copy_name(c->file, cmd_arg_text(run, 1, "")))
		return too_long(c, "file's name", e);
	return cmd_ask(run, c, e);
}

static const struct cmd_opt upload_opts[] = {
	{ "name", ARG_STRING, .help = "another name in the group" },
	{ "wait", ARG_BOOL, .help = "give the result instead of a job" },
	{ 0 },
};
static const struct cmd_opt download_opts[] = {
	{ "wait", ARG_BOOL, .help = "give the result instead of a job" },
	{ "order", ARG_STRING, "rarest|sequential|random", "of the pieces; rarest is usual" },
	{ "limit", ARG_SIZE, .help = "bytes a second" },
	{ "on_exists", ARG_STRING, "resume|skip|replace|rename|fail",
	  "the destination is there already: resume is usual (done if it has this content, else exists), rename takes name.1.ext" },
	{ "timeout", ARG_SECONDS, .help = "from the start; then timeout, or no_seeder if nobody was there" },
	{ "wait_for_seeder", ARG_SECONDS, .help = "how long to wait for the first seeder (30 s), then no_seeder" },
	{ "keep_sharing", ARG_BOOL, .help = "false: does not become a seeder" },
	{ "verify", ARG_STRING, "all|pieces", "all is usual: each piece, and then the whole file's hash; pieces leaves out the latter, and is quicker" },
	{ 0 },
};
static const struct cmd_opt list_opts[] = {
	{ "all", ARG_BOOL, .help = "also what nobody online has" },
	{ "glob", ARG_STRING, .help = "only names that match, such as *.tar" },
	{ "sort", ARG_STRING, "name|size|added|seeders|peers", "name is usual; the others begin with the most" },
	{ 0 },
};

const struct cmd cmd_file_table[] = {
	{ .name = "upload_file",
	  .spaced = "upload file",
	  .summary = "Share a file with a group; it stays where it is.",
	  .gives = "job",
	  .example = "upload_file document.pdf team",
	  .since = "0.1",
	  .args = { { "path", ARG_PATH }, { "group", ARG_GROUP }, { "opts", ARG_OPTS, .optional = true, .opts = upload_opts } },
	  .flags = CMD_NEEDS_LOGIN,
	  .run = run_upload_file },
	{ .name = "download_file",
	  .spaced = "download file",
	  .summary = "Fetch a file of a group from everybody who has it; gives a job at once.",
	  .gives = "job",
	  .example = "download_file team document.pdf ./downloads/",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP },
	            { "file", ARG_FILE },
	            { "dest", ARG_PATH, .optional = true },
	            { "opts", ARG_OPTS, .optional = true, .opts = download_opts } },
	  .flags = CMD_NEEDS_LOGIN,
	  .run = run_download_file },
	{ .name = "list_files",
	  .spaced = "list files",
	  .summary = "The files of a group that somebody online has; all=true lists the others too.",
	  .gives = "{{name, size, hash, seeders, peers, owner, added, state, have}, ...}",
	  .example = "list_files team",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP }, { "opts", ARG_OPTS, .optional = true, .opts = list_opts } },
	  .flags = CMD_NEEDS_LOGIN,
	  .run = run_list_files },
	{ .name = "file_info",
	  .spaced = "file info",
	  .summary = "All that is known of one file, with who has it.",
	  .gives = "{name, size, hash, ..., piece_size, pieces, content, seeders = {{user, address, complete}, ...}}",
	  .example = "file_info team document.pdf",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP }, { "file", ARG_FILE } },
	  .flags = CMD_NEEDS_LOGIN,
	  .run = run_file_info },
	{ .name = "stop_share",
	  .spaced = "stop share",
	  .summary = "Share a file no longer; it leaves the group with its last active seeder.",
	  .gives = "stamp",
	  .example = "stop_share team document.pdf",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP }, { "file", ARG_FILE } },
	  .flags = CMD_NEEDS_LOGIN | CMD_CHANGES,
	  .run = run_stop_share },
	{ 0 },
};
