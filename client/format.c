/* client/format.c */
#include "client/format.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/name.h"
#include "core/base/units.h"

enum { COLUMNS_MAX = 24, CELL_MAX = 512, SHORT_HASH = 12 };

/* What people look for first comes first; names that are not here follow in the order of the rows. */
static const char *const column_order[] = {
	"id",    "name",    "user",  "kind",    "group",  "file",    "shown", "owner", "role",   "state",  "addr",
	"address", "size",  "bytes", "total",   "rate",   "members", "files", "pending", "seeders", "peers",
	"pieces", "have",   "online", "complete", "current", "behind", "added", "since", "asked_at", "contact", "at",
	"device", "hash",   "version",
};

static bool is_one_of(const char *key, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], key) == 0)
			return true;
	return false;
}

static bool is_time(const char *key)
{
	static const char *const words[] = { "added", "since", "asked_at", "at", "started", "expires" };
	return is_one_of(key, words, COUNT_OF(words));
}

static bool is_bytes(const char *key)
{
	static const char *const words[] = { "size", "bytes", "total", "down", "up", "resumed", "twice", "piece_size" };
	return is_one_of(key, words, COUNT_OF(words));
}

static bool is_hash(const char *key)
{
	static const char *const words[] = { "hash", "device", "content" };
	return is_one_of(key, words, COUNT_OF(words));
}

static void put_time(struct buf *out, int64_t at)
{
	char text[32];
	time_t t = (time_t)at;
	struct tm tm;
	if (at <= 0 || localtime_r(&t, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm) == 0)
		buf_printf(out, "-");
	else
		buf_printf(out, "%s", text);
}

/* Of what is watched by the second: "0 s ago", "12 min ago", and older ones in full. */
static void put_age(struct buf *out, int64_t at)
{
	int64_t age = (int64_t)(clock_wall_ms() / 1000) - at;

	if (at <= 0 || age >= 86400)
		put_time(out, at);
	else if (age < 60)
		buf_printf(out, "%d s ago", age > 0 ? (int)age : 0);
	else
		buf_printf(out, "%d %s ago", (int)(age < 3600 ? age / 60 : age / 3600), age < 3600 ? "min" : "h");
}

static void put_text(struct buf *out, const char *data, size_t len)
{
	char shown[CELL_MAX];
	for (size_t at = 0; at < len || at == 0;) { /* in runs, so that long text is not cut */
		size_t run = len - at < CELL_MAX / 4 - 4 ? len - at : CELL_MAX / 4 - 4;
		while (at + run < len && run > 1 && ((unsigned char)data[at + run] & 0xc0) == 0x80)
			run--;
		buf_printf(out, "%s", text_escape(data + at, run, shown, sizeof(shown)));
		at += run;
		if (run == 0)
			break;
	}
}

static void put_cell(struct buf *out, const char *key, const struct value *v, const struct format_opts *opts)
{
	char text[UNITS_TEXT];
	switch (v->type) {
	case VALUE_NIL: return;
	case VALUE_BOOL: buf_printf(out, "%s", v->boolean ? "yes" : "no"); return;
	case VALUE_INT:
		if (strcmp(key, "contact") == 0)
			put_age(out, v->integer);
		else if (is_time(key))
			put_time(out, v->integer);
		else if (is_bytes(key) && v->integer >= 0)
			buf_printf(out, "%s", units_bytes((uint64_t)v->integer, text));
		else if (strcmp(key, "rate") == 0 && v->integer >= 0)
			buf_printf(out, "%s/s", units_bytes((uint64_t)v->integer, text));
		else
			buf_printf(out, "%lld", (long long)v->integer);
		return;
	case VALUE_NUMBER: buf_printf(out, "%.6g", v->number); return;
	case VALUE_STR:
		put_text(out, v->str.data, is_hash(key) && !opts->full && v->str.len > SHORT_HASH ? SHORT_HASH : v->str.len);
		return;
	case VALUE_STAMP: buf_printf(out, "ok"); return;
	case VALUE_JOB: buf_printf(out, "job %llu", (unsigned long long)v->job); return;
	case VALUE_LIST:
		for (size_t i = 0; i < v->table.n; i++) {
			buf_printf(out, i != 0 ? ", " : "");
			put_cell(out, "", &v->table.items[i], opts);
		}
		return;
	case VALUE_TABLE:
		for (size_t i = 0; i < v->table.n; i++) {
			buf_printf(out, "%s%s=", i != 0 ? " " : "", v->table.keys[i]);
			put_cell(out, v->table.keys[i], &v->table.items[i], opts);
		}
		return;
	}
}

/* Columns on a terminal: bytes that begin a character. */
static size_t width(const char *s)
{
	size_t n = 0;
	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

struct grid {
	const char *keys[COLUMNS_MAX];
	size_t widths[COLUMNS_MAX];
	bool numeric[COLUMNS_MAX];
	size_t n;
};

static void add_column(struct grid *g, const char *key)
{
	if (g->n < COLUMNS_MAX && !is_one_of(key, g->keys, g->n))
		g->keys[g->n++] = key;
}

static void find_columns(struct grid *g, const struct value *list)
{
	for (size_t c = 0; c < COUNT_OF(column_order); c++)
		for (size_t i = 0; i < list->table.n; i++)
			if (value_get(&list->table.items[i], column_order[c]) != NULL) {
				add_column(g, column_order[c]);
				break;
			}
	for (size_t i = 0; i < list->table.n; i++)
		for (size_t k = 0; k < list->table.items[i].table.n; k++)
			add_column(g, list->table.items[i].table.keys[k]);
}

static char *cell_text(const struct grid *g, const struct value *row, size_t column, const struct format_opts *opts)
{
	const struct value *v = value_get(row, g->keys[column]);
	struct buf b = { 0 };
	if (v != NULL)
		put_cell(&b, g->keys[column], v, opts);
	return buf_steal_str(&b);
}

static void put_padded(struct buf *out, const char *text, size_t columns, bool right, bool last)
{
	size_t pad = width(text) < columns ? columns - width(text) : 0;
	if (right)
		buf_printf(out, "%*s%s", (int)pad, "", text);
	else
		buf_printf(out, "%s%*s", text, last ? 0 : (int)pad, "");
	buf_printf(out, last ? "\n" : "  ");
}

void format_rows(struct buf *out, const struct value *list, const struct format_opts *opts)
{
	struct grid g = { 0 };
	find_columns(&g, list);
	size_t ncells = list->table.n * g.n;
	char **cells = try_alloc(ncells * sizeof(*cells) + 1);
	if (cells == NULL) {
		out->failed = true;
		return;
	}
	for (size_t c = 0; c < g.n; c++) {
		g.widths[c] = width(g.keys[c]);
		g.numeric[c] = true;
		for (size_t i = 0; i < list->table.n; i++) {
			const struct value *v = value_get(&list->table.items[i], g.keys[c]);
			char *text = cells[i * g.n + c] = cell_text(&g, &list->table.items[i], c, opts);
			size_t w = text != NULL ? width(text) : 0;
			g.widths[c] = w > g.widths[c] ? w : g.widths[c];
			g.numeric[c] &= v == NULL || v->type == VALUE_INT || v->type == VALUE_NUMBER;
		}
	}
	for (size_t c = 0; c < g.n; c++)
		put_padded(out, g.keys[c], g.widths[c], g.numeric[c], c + 1 == g.n);
	for (size_t i = 0; i < list->table.n; i++)
		for (size_t c = 0; c < g.n; c++) {
			char *text = cells[i * g.n + c];
			put_padded(out, text != NULL ? text : "", g.widths[c], g.numeric[c], c + 1 == g.n);
			free(text);
		}
	free(cells);
}

/* A value as it is, not as people read it: for other programs. */
static void put_plain(struct buf *out, const struct value *v, const struct format_opts *opts)
{
	struct buf b = { 0 };
	if (v != NULL)
		put_cell(&b, "", v, &(struct format_opts){ .full = true, .job = opts->job, .owner = opts->owner });
	char *text = buf_steal_str(&b);
	bool quote = opts->rows == FORMAT_CSV && text != NULL && strpbrk(text, ",\"\r\n") != NULL;
	buf_printf(out, quote ? "\"" : "");
	for (const char *p = text; p != NULL && *p != '\0'; p++) {
		if (quote && *p == '"')
			buf_put_u8(out, '"');
		buf_put_u8(out, opts->rows == FORMAT_TSV && (*p == '\t' || *p == '\n') ? ' ' : (uint8_t)*p);
	}
	buf_printf(out, quote ? "\"" : "");
	free(text);
}

/* With a line of names first. */
static void format_separated(struct buf *out, const struct value *list, const struct format_opts *opts)
{
	const char *mark = opts->rows == FORMAT_CSV ? "," : "\t";
	struct grid g = { 0 };
	find_columns(&g, list);
	for (size_t c = 0; c < g.n; c++)
		buf_printf(out, "%s%s", c != 0 ? mark : "", g.keys[c]);
	buf_printf(out, "\n");
	for (size_t i = 0; i < list->table.n; i++) {
		for (size_t c = 0; c < g.n; c++) {
			buf_printf(out, "%s", c != 0 ? mark : "");
			put_plain(out, value_get(&list->table.items[i], g.keys[c]), opts);
		}
		buf_printf(out, "\n");
	}
}

static void format_table(struct buf *out, const struct value *v, const struct format_opts *opts)
{
	struct value one = value_list();
	struct grid g = { 0 };
	size_t widest = 0;
	if (v->table.n == 0) {
		buf_printf(out, "(none)\n");
		return;
	}
	value_add(&one, *v); /* lent: find_columns() wants a list */
	if (!one.failed)
		find_columns(&g, &one);
	free(one.table.items);
	for (size_t c = 0; c < g.n; c++)
		widest = width(g.keys[c]) > widest ? width(g.keys[c]) : widest;
	for (size_t c = 0; c < g.n; c++) {
		put_padded(out, g.keys[c], widest, false, false);
		struct format_opts full = *opts;
		full.full = true;
		put_cell(out, g.keys[c], value_get(v, g.keys[c]), &full);
		buf_printf(out, "\n");
	}
}

static void format_one_job(struct buf *out, uint64_t id, const struct format_opts *opts)
{
	struct job_info job;
	if (opts->job != NULL && opts->job(opts->owner, id, &job))
		format_job(out, &job);
	else
		buf_printf(out, "job %llu\n", (unsigned long long)id);
}

static bool all_tables(const struct value *list)
{
	for (size_t i = 0; i < list->table.n; i++)
		if (list->table.items[i].type != VALUE_TABLE)
			return false;
	return true;
}

static void format_json(struct buf *out, const struct value *v)
{
	json_t *j = value_to_json(v);
	char *text = j != NULL ? json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	out->failed |= text == NULL;
	if (text != NULL) {
		buf_put(out, text, strlen(text));
		buf_put(out, "\n", 1);
	}
	free(text);
	json_decref(j);
}

void format_value(struct buf *out, const struct value *v, const struct format_opts *opts)
{
	if (opts->json) {
		format_json(out, v);
	} else if (v->type == VALUE_LIST && v->table.n == 0) {
		buf_printf(out, "(none)\n");
	} else if (v->type == VALUE_LIST && all_tables(v) && opts->rows != FORMAT_TABLE) {
		format_separated(out, v, opts);
	} else if (v->type == VALUE_LIST && all_tables(v)) {
		format_rows(out, v, opts);
	} else if (v->type == VALUE_LIST) {
		for (size_t i = 0; i < v->table.n; i++)
			format_value(out, &v->table.items[i], opts);
	} else if (v->type == VALUE_TABLE) {
		format_table(out, v, opts);
	} else if (v->type == VALUE_JOB) {
		format_one_job(out, v->job, opts);
	} else if (v->type == VALUE_NIL) {
		buf_printf(out, "nil\n");
	} else if (v->type == VALUE_BOOL) {
		buf_printf(out, "%s\n", v->boolean ? "true" : "false");
	} else {
		put_cell(out, "", v, opts);
		buf_printf(out, "\n");
	}
}

/* -- jobs */

void format_rate(uint64_t rate, char *out, size_t size)
{
	char text[UNITS_TEXT];
	snprintf(out, size, "%s/s", units_bytes(rate, text));
}

void format_eta(const struct job_info *job, char *out, size_t size)
{
	char text[UNITS_TEXT];
	if (job->state == JOB_STATE_STALLED)
		snprintf(out, size, "stalled");
	else if (job->eta < 0)
		snprintf(out, size, "-:--");
	else
		snprintf(out, size, "%s", units_time((uint64_t)job->eta, text));
}

unsigned format_percent(const struct job_info *job)
{
	if (job->total == 0)
		return job->state == JOB_STATE_DONE ? 100 : 0;
	unsigned p = (unsigned)((double)job->bytes * 100 / (double)job->total);
	return p >= 100 && job->state != JOB_STATE_DONE ? 99 : p; /* 100 only when the whole file is verified */
}

void format_resumed(struct buf *out, const struct job_info *job)
{
	if (job->resumed != 0 && job->resumed < job->total)
		buf_printf(out, "  resumed at %u%%", (unsigned)((double)job->resumed * 100 / (double)job->total));
}

void format_job(struct buf *out, const struct job_info *job)
{
	char done[UNITS_TEXT], total[UNITS_TEXT], rate[UNITS_TEXT + 4], eta[UNITS_TEXT];
	bool ended = job_state_final(job->state), up = job->kind == JOB_UPLOAD;
	bool failed = ended && job->state != JOB_STATE_DONE;
	buf_printf(out, "[%s] [", failed ? "F" : ended ? "C" : up ? "U" : "D");
	put_text(out, job->group, strlen(job->group));
	buf_printf(out, "] ");
	put_text(out, job->file, strlen(job->file));
	if (failed || job->state == JOB_STATE_STALLED) {
		buf_printf(out, ": ");
		const char *why = job->error.code != SHOAL_OK ? job->error.message : job_state_word(job->state);
		put_text(out, why, strlen(why));
	}
	if (job->state == JOB_STATE_QUEUED || job->state == JOB_STATE_STARTING) {
		if (job->total != 0)
			buf_printf(out, "  %s", units_bytes(job->total, total));
		buf_printf(out, "  %s", job_state_word(job->state));
	} else if (!ended) {
		format_rate(job->rate, rate, sizeof(rate));
		format_eta(job, eta, sizeof(eta));
		buf_printf(out, "  %u%%  %s of %s  %s  %s", format_percent(job), units_bytes(job->bytes, done),
		           units_bytes(job->total, total), job->state == JOB_STATE_DOWNLOADING ? rate : job_state_word(job->state),
		           eta);
		format_resumed(out, job);
	}
	buf_printf(out, "\n");
}

void format_job_line(struct buf *out, const struct job_info *job)
{
	buf_printf(out, "job=%llu state=%s file=", (unsigned long long)job->id, job_state_word(job->state));
	bool quote = strpbrk(job->file, " \"=") != NULL;
	buf_printf(out, quote ? "\"" : "");
	put_text(out, job->file, strlen(job->file));
	buf_printf(out, quote ? "\"" : "");
	buf_printf(out, " bytes=%llu total=%llu rate=%llu", (unsigned long long)job->bytes, (unsigned long long)job->total,
	           (unsigned long long)job->rate);
	if (job->eta >= 0 && !job_state_final(job->state))
		buf_printf(out, " eta=%lld", (long long)job->eta);
	buf_printf(out, " peers=%u bad=%u", job->peers, job->bad_pieces);
	if (job->resumed != 0)
		buf_printf(out, " resumed=%llu", (unsigned long long)job->resumed);
	if (job->error.code != SHOAL_OK) {
		buf_printf(out, " error=%s reason=\"", error_word(job->error.code));
		put_text(out, job->error.message, strlen(job->error.message));
		buf_printf(out, "\"");
	}
	buf_printf(out, "\n");
}
