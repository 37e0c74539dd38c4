/* tracker/options.c */
#include "tracker/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/name.h"
#include "tracker/cluster_key.h"
#include "tracker/limits.h"

const char options_help[] =
	"Usage: shoal-tracker [options] TRACKER_INFO ID\n"
	"       shoal-tracker --status DIR | --backup DIR FILE | --check DIR\n"
	"       shoal-tracker --new-cluster-key | --show-identity [--cluster-key FILE]\n"
	"\n"
	"TRACKER_INFO lists the trackers of the cluster, one 'HOST:PORT  ID' a line; ID says which of them this one is.\n"
	"\n"
	"  --data DIR           where it keeps its data (default $XDG_STATE_HOME/shoal/tracker-ID)\n"
	"  --cluster-key FILE   the secret that all trackers of the cluster share; made if it is not there\n"
	"                       (default $XDG_STATE_HOME/shoal/cluster.key)\n"
	"  --scrypt-ln N        cost of password hashes, 10 to 20: log2 of scrypt's N (default 15)\n"
	"  --ticket-life SECONDS  how long a ticket lets a member fetch pieces, 5 to 86400 (default 300)\n"
	"  --sessions N         devices of a user that may be logged in at once, 1 to 64 (default 8)\n"
	"  --min-sync N         the answer to a change waits, for at most 1 s, until N other trackers have it, 0 to 64 (default 0)\n"
	"  --login-rate N       tries to log in per minute and address, 0: no limit (default 20)\n"
	"  --create-rate N      accounts made per minute and address, 0: no limit (default 10)\n"
	"  --strangers N        connections of one address that are not logged in, at once (default 64)\n"
	"  --plaintext          lets peers send pieces to each other unencrypted; the same on all trackers\n"
	"  --log-file FILE      (default tracker.log in the data folder)\n"
	"  -v, --verbose        log more; -q, --quiet: warnings and errors only\n"
	"\n"
	"  --status DIR         how the tracker with that data folder is, and how it sees the others\n"
	"  --backup DIR FILE    copies the database of the tracker with that data folder, while it runs\n"
	"  --check DIR          reads all that a stopped tracker has kept, and says whether it is whole\n"
	"  --new-cluster-key    makes the file of --cluster-key, which must not be there yet, and shows its identity\n"
	"  --show-identity      the identity that the trackers with that cluster key show: what clients pin\n"
	"\n"
	"  -h, --help           this text\n"
	"  -V, --version        the version\n"
	"\n"
	"Console commands on standard input: users groups files sync quit help.\n"
	"Signals: TERM and INT stop it cleanly, HUP reads TRACKER_INFO again and opens the log file anew.\n"
	"Exit codes: 0 clean, 1 internal, 2 arguments or tracker file, 7 cannot listen, 13 data folder.\n";

enum {
	OPT_DATA = 256,
	OPT_STATUS,
	OPT_BACKUP,
	OPT_CHECK,
	OPT_NEW_KEY,
	OPT_SHOW_IDENTITY,
	OPT_CLUSTER_KEY,
	OPT_SCRYPT_LN,
	OPT_TICKET_LIFE,
	OPT_SESSIONS,
	OPT_MIN_SYNC,
	OPT_LOGIN_RATE,
	OPT_CREATE_RATE,
	OPT_STRANGERS,
	OPT_PLAINTEXT,
	OPT_LOG_FILE,
};

static const struct option long_options[] = {
	{ "data", required_argument, NULL, OPT_DATA },
	{ "cluster-key", required_argument, NULL, OPT_CLUSTER_KEY },
	{ "scrypt-ln", required_argument, NULL, OPT_SCRYPT_LN },
	{ "ticket-life", required_argument, NULL, OPT_TICKET_LIFE },
	{ "min-sync", required_argument, NULL, OPT_MIN_SYNC },
	{ "sessions", required_argument, NULL, OPT_SESSIONS },
	{ "login-rate", required_argument, NULL, OPT_LOGIN_RATE },
	{ "create-rate", required_argument, NULL, OPT_CREATE_RATE },
	{ "strangers", required_argument, NULL, OPT_STRANGERS },
	{ "plaintext", no_argument, NULL, OPT_PLAINTEXT },
	{ "log-file", required_argument, NULL, OPT_LOG_FILE },
	{ "verbose", no_argument, NULL, 'v' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "status", required_argument, NULL, OPT_STATUS },
	{ "backup", required_argument, NULL, OPT_BACKUP },
	{ "check", required_argument, NULL, OPT_CHECK },
	{ "new-cluster-key", no_argument, NULL, OPT_NEW_KEY },
	{ "show-identity", no_argument, NULL, OPT_SHOW_IDENTITY },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

static enum shoal_err parse_count(const char *what, const char *text, unsigned min, unsigned max, unsigned *out,
                                  struct error *e)
{
	char shown[64], *end;
	unsigned long v = 0;

	errno = 0;
	bool ok = isdigit((unsigned char)text[0]);
	if (ok)
		v = strtoul(text, &end, 10);
	if (!ok || errno != 0 || *end != '\0' || v < min || v > max)
		return error_set(e, SHOAL_EUSAGE, "%s must be a number from %u to %u, not '%s'", what, min, max,
		                 text_escape(text, strlen(text), shown, sizeof(shown)));
	*out = (unsigned)v;
	return SHOAL_OK;
}

static enum shoal_err set_text(char **field, const char *what, const char *value, struct error *e)
{
	if (value[0] == '\0')
		return error_set(e, SHOAL_EUSAGE, "%s needs a name, not an empty one", what);
	free(*field);
	*field = xstrdup(value);
	return SHOAL_OK;
}

static enum shoal_err set_task(struct options *o, enum options_task task, const char *word, struct error *e)
{
	if (o->task != TASK_RUN)
		return error_set(e, SHOAL_EUSAGE, "only one of --status, --backup, --check, --new-cluster-key and "
		                 "--show-identity");
	o->task = task;
	return optarg != NULL ? set_text(&o->data, word, optarg, e) : SHOAL_OK;
}

static enum shoal_err set_option(struct options *o, int option, char **argv, struct error *e)
{
	char shown[128];
	switch (option) {
	case OPT_DATA: return set_text(&o->data, "--data", optarg, e);
	case OPT_STATUS: return set_task(o, TASK_STATUS, "--status", e);
	case OPT_BACKUP: return set_task(o, TASK_BACKUP, "--backup", e);
	case OPT_CHECK: return set_task(o, TASK_CHECK, "--check", e);
	case OPT_NEW_KEY: return set_task(o, TASK_NEW_KEY, "--new-cluster-key", e);
	case OPT_SHOW_IDENTITY: return set_task(o, TASK_SHOW_IDENTITY, "--show-identity", e);
	case OPT_CLUSTER_KEY: return set_text(&o->cluster_key, "--cluster-key", optarg, e);
	case OPT_LOG_FILE: return set_text(&o->log_file, "--log-file", optarg, e);
	case OPT_SCRYPT_LN: return parse_count("--scrypt-ln", optarg, 10, 20, &o->scrypt_ln, e);
	case OPT_TICKET_LIFE: return parse_count("--ticket-life", optarg, 5, 86400, &o->ticket_life_s, e);
	case OPT_MIN_SYNC: return parse_count("--min-sync", optarg, 0, 64, &o->min_sync, e);
	case OPT_SESSIONS: return parse_count("--sessions", optarg, 1, 64, &o->sessions, e);
	case OPT_LOGIN_RATE: return parse_count("--login-rate", optarg, 0, 60000, &o->login_rate, e);
	case OPT_CREATE_RATE: return parse_count("--create-rate", optarg, 0, 60000, &o->create_rate, e);
	case OPT_STRANGERS: return parse_count("--strangers", optarg, 1, 60000, &o->strangers, e);
	case OPT_PLAINTEXT: o->plaintext = true; return SHOAL_OK;
	case 'v': o->console = o->file = LOG_DEBUG; return SHOAL_OK;
	case 'q': o->console = o->file = LOG_WARN; return SHOAL_OK;
	case 'h': o->help = true; return SHOAL_OK;
	case 'V': o->version = true; return SHOAL_OK;
	default: break;
	}
	const char *word = argv[optind - 1];
	text_escape(word, strlen(word), shown, sizeof(shown));
	return option == ':' ? error_set(e, SHOAL_EUSAGE, "'%s' needs a value; see --help", shown)
	                     : error_set(e, SHOAL_EUSAGE, "unknown option '%s'; see --help", shown);
}

static enum shoal_err set_positionals(struct options *o, int argc, char **argv, struct error *e)
{
	unsigned id = 0;
	if (argc != 2)
		return error_set(e, SHOAL_EUSAGE, "%s; write shoal-tracker [options] TRACKER_INFO ID, or see --help",
		                 argc < 2 ? "the tracker file and the id are missing" : "too many arguments");
	enum shoal_err rc = parse_count("the tracker's ID", argv[1], 1, UINT16_MAX, &id, e);
	o->info_path = argv[0];
	o->id = rc == SHOAL_OK ? (uint16_t)id : 0;
	return rc;
}

static enum shoal_err set_task_words(struct options *o, int argc, char **argv, struct error *e)
{
	if (o->task == TASK_BACKUP && argc != 1)
		return error_set(e, SHOAL_EUSAGE, "write shoal-tracker --backup DIR FILE");
	if (o->task != TASK_BACKUP && argc != 0)
		return error_set(e, SHOAL_EUSAGE, "too many arguments; see --help");
	o->backup_file = argc != 0 ? argv[0] : NULL;
	if (o->task != TASK_NEW_KEY && o->task != TASK_SHOW_IDENTITY)
		return SHOAL_OK;
	if (o->cluster_key == NULL)
		o->cluster_key = cluster_key_default_path();
	return o->cluster_key != NULL ? SHOAL_OK : error_set(e, SHOAL_EUSAGE, "HOME is not set: give --cluster-key");
}

static enum shoal_err set_default_paths(struct options *o, struct error *e)
{
	char *state = fs_xdg(XDG_STATE, NULL);
	if (o->data == NULL && state != NULL)
		o->data = str_printf("%s/tracker-%u", state, o->id);
	free(state);
	if (o->cluster_key == NULL)
		o->cluster_key = cluster_key_default_path();
	if (o->data == NULL || o->cluster_key == NULL)
		return error_set(e, SHOAL_EUSAGE, "HOME is not set: give --data and --cluster-key");
	if (o->log_file == NULL)
		o->log_file = str_printf("%s/tracker.log", o->data);
	return SHOAL_OK;
}

enum shoal_err options_parse(int argc, char **argv, struct options *out, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	int option;

	*out = (struct options){ .scrypt_ln = 15, .ticket_life_s = 300, .sessions = 8, .strangers = 64, .login_rate = LOGIN_PER_MINUTE,
		                 .create_rate = CREATE_USER_PER_MINUTE, .console = LOG_INFO, .file = LOG_INFO };
	optind = 0; /* start anew, also when called twice */
	while (rc == SHOAL_OK && (option = getopt_long(argc, argv, ":vqhV", long_options, NULL)) != -1)
		rc = set_option(out, option, argv, e);
	if (rc != SHOAL_OK || out->help || out->version)
		return rc;
	if (out->task != TASK_RUN)
		return set_task_words(out, argc - optind, argv + optind, e);
	rc = set_positionals(out, argc - optind, argv + optind, e);
	return rc == SHOAL_OK ? set_default_paths(out, e) : rc;
}

void options_free(struct options *o)
{
	free(o->data);
	free(o->cluster_key);
	free(o->log_file);
}
