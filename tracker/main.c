/* tracker/main.c - shoal-tracker [options] TRACKER_INFO ID, or one of the tasks of tools.h */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tracker/options.h"
#include "tracker/server.h"
#include "tracker/tools.h"

/* Passwords and keys pass through this process: no core files, nothing readable by others, no more rights than now. */
static void harden(void)
{
	const struct rlimit none = { 0, 0 };
	umask(077);
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTIN, SIG_IGN); /* in the background the console simply has no input */
}

int main(int argc, char **argv)
{
	struct options o;
	struct error e;
	int code = 0;

	if (options_parse(argc, argv, &o, &e) != SHOAL_OK) {
		fprintf(stderr, "shoal-tracker: %s\n", e.message);
		code = error_exit_code(SHOAL_EUSAGE);
	} else if (o.help) {
		fputs(options_help, stdout);
	} else if (o.version) {
		puts("shoal-tracker " SHOAL_VERSION);
	} else {
		harden();
		code = o.task == TASK_RUN ? server_main(&o) : tools_main(&o);
	}
	options_free(&o);
	return code;
}
