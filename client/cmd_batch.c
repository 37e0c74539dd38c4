/* client/cmd_batch.c - many files at once: lists, folders, and groups that are watched. The work is done in Lua, by
 * lua/shoal/batch.lua and lua/shoal/folder.lua, with the commands that fetch and share one file. */
#include "client/cmd.h"

static const struct cmd_opt batch_opts[] = {
	{ "jobs", ARG_INT, .help = "how many files at a time; 8 is usual" },
	{ "retries", ARG_INT, .help = "how often a file that failed for a passing reason is tried again; 3 is usual" },
	{ "wait_for_seeder", ARG_SECONDS, .help = "as in download_file, for each file" },
	{ "limit", ARG_SIZE, .help = "bytes a second of each file" },
	{ "on_exists", ARG_STRING, "resume|skip|replace|rename|fail", "as in download_file" },
	{ "report", ARG_PATH, .help = "a file that gets the report as JSON" },
	{ 0 },
};
static const struct cmd_opt up_opts[] = {
	{ "name", ARG_STRING, .help = "another name in the group" },
	{ "include", ARG_GLOBS, .help = "only files whose path or name matches" },
	{ "exclude", ARG_GLOBS, .help = "none whose path or name matches, nor folders" },
	{ "wait", ARG_BOOL, .help = "give the result instead of a set of jobs" },
	{ 0 },
};
static const struct cmd_opt down_opts[] = {
	{ "jobs", ARG_INT, .help = "how many files at a time; 8 is usual" },
	{ "retries", ARG_INT, .help = "as in download_batch" },
	{ "wait_for_seeder", ARG_SECONDS, .help = "as in download_file, for each file" },
	{ "include", ARG_GLOBS, .help = "only files whose path or name matches" },
	{ "exclude", ARG_GLOBS, .help = "none whose path or name matches, nor folders" },
	{ "report", ARG_PATH, .help = "a file that gets the report as JSON" },
	{ "wait", ARG_BOOL, .help = "give the result instead of a set of jobs" },
	{ 0 },
};
static const struct cmd_opt watch_opts[] = {
	{ "dest", ARG_PATH, .help = "the folder; the current one if left out" },
	{ "filter", ARG_GLOBS, .help = "only names that match" },
	{ "limit", ARG_SIZE, .help = "bytes a second of each file" },
	{ 0 },
};

const struct cmd cmd_batch_table[] = {
	{ .name = "download_batch",
	  .spaced = "download batch",
	  .summary = "Fetch a list of files, some at a time, with new tries; what is complete is skipped.",
	  .gives = "set",
	  .example = "download_batch({{group=\"team\", file=\"document.pdf\", dest=\"dl/\"}}, {retries=5}):wait()",
	  .since = "0.1",
	  .args = { { "items", ARG_LIST }, { "opts", ARG_OPTS, .optional = true, .opts = batch_opts } },
	  .flags = CMD_NEEDS_LOGIN,
	  .module = "shoal.batch" },
	{ .name = "upload_dir",
	  .spaced = "upload dir",
	  .summary = "Share a folder: each file, and a list of them with modes, links and empty folders.",
	  .gives = "set",
	  .example = "upload_dir photos team exclude=*.tmp",
	  .since = "0.1",
	  .args = { { "path", ARG_PATH }, { "group", ARG_GROUP }, { "opts", ARG_OPTS, .optional = true, .opts = up_opts } },
	  .flags = CMD_NEEDS_LOGIN,
	  .module = "shoal.folder" },
	{ .name = "download_dir",
	  .spaced = "download dir",
	  .summary = "Fetch a shared folder by its name, or all files whose names match a pattern.",
	  .gives = "set",
	  .example = "download_dir team photos dl/",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP },
	            { "pattern", ARG_STRING },
	            { "dest", ARG_PATH, .optional = true },
	            { "opts", ARG_OPTS, .optional = true, .opts = down_opts } },
	  .flags = CMD_NEEDS_LOGIN,
	  .module = "shoal.folder" },
	{ .name = "watch_group",
	  .spaced = "watch group",
	  .summary = "Fetch what a group has and whatever is added to it, until it is stopped.",
	  .gives = "watch",
	  .example = "watch = watch_group(\"team\", {dest=\"dl/\", filter=\"*.pdf\"})",
	  .since = "0.1",
	  .args = { { "group", ARG_GROUP }, { "opts", ARG_OPTS, .optional = true, .opts = watch_opts } },
	  .flags = CMD_NEEDS_LOGIN,
	  .module = "shoal.batch" },
	{ 0 },
};
