/* client/dots.c */
#include "client/dots.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/interrupt.h"
#include "client/suggest.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/name.h"
#include "core/base/units.h"

enum { FOLLOW_MS = 250 };

static enum session_result usage(struct session *s, const char *name)
{
	const struct dot_cmd *d = dot_table;
	while (d->name != NULL && strcmp(d->name, name) != 0)
		d++;
	session_complain(s, error_exit_code(SHOAL_EUSAGE), "it is .%s %s", name, d->args);
	return SESSION_DONE;
}

static enum session_result dot_help(struct session *s, const char *arg)
{
	struct buf b = { 0 };
	if (!help_print(arg[0] != '\0' ? arg : NULL, &b)) {
		const char *near = cmd_suggest(arg);
		session_complain(s, error_exit_code(SHOAL_EUSAGE), near != NULL ? "no command '%s': did you mean '%s'?" : "no command '%s'",
		                 arg, near);
	}
	session_print(&b);
	return SESSION_DONE;
}

static enum session_result dot_jobs(struct session *s, const char *arg)
{
	struct job_info *jobs;
	struct buf b = { 0 };
	(void)arg;
	size_t n = shell_jobs(s->shell, &jobs);
	for (size_t i = 0; i < n; i++) {
		buf_printf(&b, "%3llu  ", (unsigned long long)jobs[i].id);
		format_job(&b, &jobs[i]);
	}
	if (n == 0)
		buf_printf(&b, "(none)\n");
	free(jobs);
	session_print(&b);
	return SESSION_DONE;
}

static enum session_result dot_trackers(struct session *s, const char *arg)
{
	(void)arg;
	session_typed(s, "trackers");
	return SESSION_DONE;
}

static enum session_result dot_history(struct session *s, const char *arg)
{
	if (s->show_history != NULL)
		s->show_history(s->owner, (unsigned)strtoul(arg, NULL, 10));
	return SESSION_DONE;
}

/* Waits, with all else going on; false: Ctrl-C, or the program is to end. */
static bool pause_ms(struct session *s, uint64_t ms)
{
	uint64_t until = clock_mono_ms() + ms, now;
	while (interrupt_pending() == 0 && (now = clock_mono_ms()) < until) {
		lua_host_pump(s->host);
		int due = lua_host_timeout(s->host), left = (int)(until - now);
		shell_step(s->shell, due >= 0 && due < left ? due : left);
	}
	if (interrupt_pending() == 0)
		return true;
	if (interrupt_pending() == SIGINT)
		interrupt_take();
	return false;
}

/* One line that is drawn anew on a terminal, one at the end elsewhere. */
static void show_job(const struct job_info *job, bool over)
{
	struct buf b = { 0 };
	bool terminal = isatty(STDOUT_FILENO);
	if (!terminal && !over)
		return;
	format_job(&b, job);
	size_t len = b.len != 0 && !over ? b.len - 1 : b.len;
	printf("%s%.*s", terminal ? "\r\033[K" : "", (int)len, b.data != NULL ? (const char *)b.data : "");
	fflush(stdout);
	buf_free(&b);
}

static enum session_result dot_fg(struct session *s, const char *arg)
{
	char *end;
	struct job_info job;
	uint64_t id = strtoull(arg, &end, 10);
	if (end == arg || *end != '\0')
		return usage(s, "fg");
	if (!shell_job(s->shell, id, &job)) {
		session_complain(s, error_exit_code(SHOAL_ENOTFOUND), "no job %llu: .jobs lists them", (unsigned long long)id);
		return SESSION_DONE;
	}
	bool there = true, stay = true;
	while (there && stay && !job_state_final(job.state)) {
		show_job(&job, false);
		stay = pause_ms(s, FOLLOW_MS);
		there = shell_job(s->shell, id, &job);
	}
	if (there && job_state_final(job.state))
		show_job(&job, true);
	else
		printf("\njob %llu goes on\n", (unsigned long long)id);
	lua_host_looked(s->host, id);
	return SESSION_DONE;
}

static enum session_result dot_mode(struct session *s, const char *arg)
{
	static const char *const words[] = { [FORMAT_TABLE] = "table", [FORMAT_CSV] = "csv", [FORMAT_TSV] = "tsv" };
	bool json = strcmp(arg, "json") == 0;
	for (unsigned i = 0; i < COUNT_OF(words); i++)
		if (json || strcmp(words[i], arg) == 0) {
			s->format.json = json;
			s->format.rows = json ? FORMAT_TABLE : (enum format_rows)i;
			return SESSION_DONE;
		}
	return usage(s, "mode");
}

static enum session_result dot_time(struct session *s, const char *arg)
{
	bool on = strcmp(arg, "on") == 0;
	if (!on && strcmp(arg, "off") != 0)
		return usage(s, "time");
	s->timing = on;
	return SESSION_DONE;
}

static enum session_result dot_watch(struct session *s, const char *arg)
{
	char period[32];
	uint64_t ms;
	size_t len = strcspn(arg, " \t");
	const char *line = arg + len + strspn(arg + len, " \t");
	if (!slice_to_str(slice_of(arg, len), period, sizeof(period)) || !units_parse_ms(period, &ms) || line[0] == '\0' || line[0] == '.')
		return usage(s, "watch");
	do {
		if (isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		if (session_line(s, line) == SESSION_MORE) {
			session_drop_pending(s);
			return usage(s, "watch");
		}
	} while (pause_ms(s, ms < FOLLOW_MS ? FOLLOW_MS : ms));
	return SESSION_DONE;
}

static enum session_result dot_load(struct session *s, const char *arg)
{
	if (arg[0] == '\0')
		return usage(s, "load");
	int code = lua_host_script(s->host, arg);
	s->code = exit_code_join(s->code, code);
	return SESSION_DONE;
}

static enum session_result dot_clear(struct session *s, const char *arg)
{
	(void)s;
	(void)arg;
	if (isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	fflush(stdout);
	return SESSION_DONE;
}

static enum session_result dot_quit(struct session *s, const char *arg)
{
	(void)s;
	(void)arg;
	return SESSION_QUIT;
}

/* -- .record */

static enum session_result dot_record(struct session *s, const char *arg)
{
	if (arg[0] == '\0')
		return usage(s, "record");
	if (s->record != NULL && fclose(s->record) != 0)
		session_complain(s, error_exit_code(SHOAL_EIO), "the script could not be written: %s", strerror(errno));
	s->record = NULL;
	if (strcmp(arg, "stop") == 0)
		return SESSION_DONE;
	s->record = fopen(arg, "wxe");
	if (s->record == NULL)
		session_complain(s, error_exit_code(SHOAL_EIO), "cannot make '%s': %s", arg, strerror(errno));
	else
		fprintf(s->record, "-- what was typed into shoal; passwords are asked for\n");
	return SESSION_DONE;
}

void record_lua(struct session *s, const char *code, bool failed)
{
	if (s->record == NULL)
		return;
	if (session_holds_secret(code)) {
		fputs("-- a line that may hold a password was left out\n", s->record);
		return;
	}
	for (const char *p = code; *p != '\0';) {
		size_t len = strcspn(p, "\n");
		fprintf(s->record, "%s%.*s\n", failed ? "-- " : "", (int)len, p);
		p += len + (p[len] == '\n');
	}
	fflush(s->record);
}

static void put_lua_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
		if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			fprintf(out, "\\%03u", *p);
		else
			fputc(*p, out);
	fputc('"', out);
}

void record_typed(struct session *s, const struct cmd *cmd, const struct value *argv, unsigned n, bool failed)
{
	if (s->record == NULL)
		return;
	while (n > 0 && (argv[n - 1].type == VALUE_NIL || cmd->args[n - 1].kind == ARG_SECRET))
		n--; /* asked for when the script runs */
	fprintf(s->record, "%sassert(%s(", failed ? "-- " : "", cmd->name);
	for (unsigned i = 0; i < n; i++) {
		if (i != 0)
			fputs(", ", s->record);
		if (argv[i].type == VALUE_STR && cmd->args[i].kind != ARG_SECRET) {
			put_lua_text(s->record, value_text(&argv[i], ""));
		} else if (argv[i].type == VALUE_TABLE) {
			fputc('{', s->record);
			for (size_t k = 0; k < argv[i].table.n; k++) {
				fprintf(s->record, "%s%s = ", k != 0 ? ", " : "", argv[i].table.keys[k]);
				put_lua_text(s->record, value_text(&argv[i].table.items[k], ""));
			}
			fputc('}', s->record);
		} else {
			fputs("nil", s->record);
		}
	}
	fputs("))\n", s->record);
	fflush(s->record);
}

/* -- the table */

const struct dot_cmd dot_table[] = {
	{ "help", "[NAME]", "all commands, or one", dot_help },
	{ "jobs", "", "what runs and ran, with the numbers of jobs", dot_jobs },
	{ "fg", "ID", "follow a job; Ctrl-C leaves it running", dot_fg },
	{ "trackers", "", "the trackers", dot_trackers },
	{ "mode", "table|json|csv|tsv", "how values are printed", dot_mode },
	{ "watch", "SECONDS LINE", "the line again and again, until Ctrl-C", dot_watch },
	{ "time", "on|off", "how long each line took", dot_time },
	{ "load", "FILE", "run a script", dot_load },
	{ "record", "FILE|stop", "write what is typed as a script that runs", dot_record },
	{ "history", "[N]", "the last lines", dot_history },
	{ "clear", "", "an empty screen", dot_clear },
	{ "quit", "", "leave", dot_quit },
	{ 0 },
};

enum session_result dot_run(struct session *s, const char *line)
{
	char word[32];
	size_t len = strcspn(line, " \t");
	const char *arg = line + len + strspn(line + len, " \t");
	if (!slice_to_str(slice_of(line, len), word, sizeof(word)))
		word[0] = '\0';
	struct suggestion near = { .word = word };
	for (const struct dot_cmd *d = dot_table; d->name != NULL; d++) {
		if (strcmp(d->name, word) == 0)
			return d->run(s, arg);
		suggest_try(&near, d->name);
	}
	session_complain(s, error_exit_code(SHOAL_EUSAGE), near.best != NULL ? "no command '.%s': did you mean '.%s'?" : "no command '.%s'",
	                 word, near.best);
	return SESSION_DONE;
}
