/* client/format.h - values as people read them: what the prompt prints.
 *
 * Text that came from others is escaped: a name cannot drive the terminal. */
#ifndef SHOAL_CLIENT_FORMAT_H
#define SHOAL_CLIENT_FORMAT_H
#include "client/value.h"

enum format_rows { FORMAT_TABLE, FORMAT_CSV, FORMAT_TSV };

struct format_opts {
	bool json; /* one line of JSON */
	enum format_rows rows; /* how a list of tables is shown */
	bool full; /* long hashes are not shortened */
	/* The job as it is now; false if it is gone. */
	bool (*job)(void *owner, uint64_t id, struct job_info *out);
	void *owner;
};

/* Ends with a newline, unless nothing is to be shown. */
void format_value(struct buf *out, const struct value *v, const struct format_opts *opts);
/* A list of tables of equal kind as an aligned table; columns in the order in which people look for them. */
void format_rows(struct buf *out, const struct value *list, const struct format_opts *opts);
/* "[D] [team] big.iso  62%  2.2 GiB of 3.6 GiB  412 MiB/s  0:03"; before anything moves "[U] [team] big.iso  3.6 GiB  queued" */
void format_job(struct buf *out, const struct job_info *job);
/* "job=3 state=downloading file=big.iso bytes=... total=... rate=... eta=3 peers=4 bad=0" */
void format_job_line(struct buf *out, const struct job_info *job);
/* "  resumed at 41%", or nothing if it began with nothing or was all there. */
void format_resumed(struct buf *out, const struct job_info *job);
void format_rate(uint64_t rate, char *out, size_t size); /* "412 MiB/s" */
unsigned format_percent(const struct job_info *job); /* 100 only when all is there and verified */
/* "0:03", "-:--", "stalled" */
void format_eta(const struct job_info *job, char *out, size_t size);
#endif
