/* tracker/console.c - the commands on the tracker's standard input. Names are escaped: they may hold anything. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/units.h"
#include "tracker/core.h"

enum { ESCAPED_MAX = 4 * NAME_SHOWN_MAX };

static const char *escaped(const char *name, char out[ESCAPED_MAX])
{
	return text_escape(name, strlen(name), out, ESCAPED_MAX);
}

static void console_users(struct tracker *t, struct buf *out)
{
	struct registry_iter it = registry_all(t->reg, TABLE_USER);
	char name[NAME_SHOWN_MAX], text[ESCAPED_MAX];
	const struct user_row *u;
	size_t n = 0;

	while ((u = registry_next(&it)) != NULL) {
		bool online = presence_user_online(t->presence, &u->uid);
		buf_printf(out, "%s%s\n", escaped(user_shown(t->reg, &u->uid, name), text), online ? "  online" : "");
		n++;
	}
	buf_printf(out, "%zu users, %zu sessions online\n", n, presence_count(t->presence));
}

static void console_groups(struct tracker *t, struct buf *out)
{
	struct shown_group *groups;
	char owner[NAME_SHOWN_MAX] = "?", text[ESCAPED_MAX], text2[ESCAPED_MAX];
	struct id16 uid;
	size_t n;

	if (group_list(t->reg, &groups, &n) != SHOAL_OK)
		return;
	for (size_t i = 0; i < n; i++) {
		const struct id16 *gid = &groups[i].group->gid;
		if (group_owner(t->reg, gid, &uid))
			user_shown(t->reg, &uid, owner);
		buf_printf(out, "%s  owner %s, %u members, %u requests\n", escaped(groups[i].name, text),
		           escaped(owner, text2), group_member_count(t->reg, gid), group_asked_count(t->reg, gid));
	}
	buf_printf(out, "%zu groups\n", n);
	free(groups);
}

static void put_files(struct tracker *t, const struct shown_group *g, struct buf *out)
{
	struct presence online = tracker_presence(t);
	struct shown_file *files;
	char group[ESCAPED_MAX], file[ESCAPED_MAX], size[UNITS_TEXT];
	size_t n;

	if (file_list(t->reg, &g->group->gid, &online, true, &files, &n) != SHOAL_OK)
		return;
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "[%s] %s  %s, %u seeders online%s\n", escaped(g->name, group),
		           escaped(files[i].name, file), units_bytes(files[i].file->size, size), files[i].seeders,
		           files[i].syncing ? ", syncing" : "");
	free(files);
}

static void console_files(struct tracker *t, struct buf *out)
{
	struct shown_group *groups;
	size_t n;

	if (group_list(t->reg, &groups, &n) != SHOAL_OK)
		return;
	for (size_t i = 0; i < n; i++)
		put_files(t, &groups[i], out);
	free(groups);
	buf_printf(out, "%zu files known\n", registry_count(t->reg, TABLE_FILE));
}

static void console_sync(struct tracker *t, struct buf *out)
{
	size_t n = 0;

	sync_now(t->sync);
	struct tracker_fact *facts = tracker_facts(t, &n);
	for (size_t i = 1; i < n; i++)
		tracker_fact_print(out, &facts[i]);
	if (n > 0)
		buf_printf(out, "%zu other trackers%s\n", n - 1,
		           sync_joining(t->sync) ? "; joining: changes are refused for now" : "");
	free(facts);
}

static const struct console_command {
	const char *name, *help;
	void (*run)(struct tracker *t, struct buf *out); /* NULL: quit */
} console_commands[] = {
	{ "users", "the accounts, and who is online", console_users },
	{ "groups", "the groups, their owners and sizes", console_groups },
	{ "files", "the files that are shared", console_files },
	{ "sync", "the other trackers; exchanges with them at once", console_sync },
	{ "quit", "stops this tracker", NULL },
};

static void console_help(struct buf *out)
{
	for (size_t i = 0; i < COUNT_OF(console_commands); i++)
		buf_printf(out, "%-8s %s\n", console_commands[i].name, console_commands[i].help);
}

bool tracker_console(struct tracker *t, const char *line, struct buf *out)
{
	char text[64];
	if (line[0] == '\0')
		return true;
	for (size_t i = 0; i < COUNT_OF(console_commands); i++) {
		if (strcmp(line, console_commands[i].name) != 0)
			continue;
		if (console_commands[i].run == NULL)
			return false;
		console_commands[i].run(t, out);
		return true;
	}
	if (strcmp(line, "exit") == 0)
		return false;
	if (strcmp(line, "help") != 0)
		buf_printf(out, "no command '%s'; there are:\n", text_escape(line, strlen(line), text, sizeof(text)));
	console_help(out);
	return true;
}
