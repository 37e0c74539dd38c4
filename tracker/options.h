/* tracker/options.h - the command line of shoal-tracker. Start-up only. */
#ifndef SHOAL_TRACKER_OPTIONS_H
#define SHOAL_TRACKER_OPTIONS_H
#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/log.h"

enum options_task { TASK_RUN, TASK_STATUS, TASK_BACKUP, TASK_CHECK, TASK_NEW_KEY, TASK_SHOW_IDENTITY };

struct options {
	bool help, version;   /* nothing else is set then */
	enum options_task task; /* not TASK_RUN: only what the task needs is set: `data`, `backup_file`, `cluster_key` */
	const char *backup_file; /* TASK_BACKUP: where to; points into argv */
	const char *info_path; /* points into argv */
	uint16_t id;
	char *data;           /* malloc'ed, as the next two */
	char *cluster_key;
	char *log_file;
	unsigned scrypt_ln;
	unsigned ticket_life_s;
	unsigned sessions;    /* of a user at once */
	unsigned min_sync;    /* other trackers that a change's reply waits for */
	unsigned login_rate, create_rate; /* a minute and address; 0: no limit */
	unsigned strangers;   /* connections of one address that are not logged in */
	bool plaintext;
	enum log_level console, file;
};

/* Fills *out; a mistake is SHOAL_EUSAGE with a sentence that names the argument. Caller: options_free(), also then. */
enum shoal_err options_parse(int argc, char **argv, struct options *out, struct error *e);
void options_free(struct options *o);

extern const char options_help[]; /* what --help prints */
#endif
