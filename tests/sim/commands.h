/* tests/sim/commands.h - what users do: random commands on one site, noted in a history; and the same command, with the
 * same request id, once more on another site, as a client does that had no answer. */
#ifndef SHOAL_TESTS_COMMANDS_H
#define SHOAL_TESTS_COMMANDS_H
#include "tests/sim/history.h"
#include "tests/sim/site.h"

#define INTENTS_KEPT 16

/* What somebody wants, with all names resolved: can be asked of any site. */
struct intent {
	enum op_kind kind;
	struct id16 request;
	struct id16 uid, gid, who, fid; /* who acts, on which group, whom, which file */
	struct id32 device;
	struct dot session;
	char name[16];
	unsigned content;
	bool successor;                 /* leave_group: `who` is to own it */
	enum member_role role;
};

struct commands {
	struct sim *sim;
	struct history *history;
	struct verdict *verdict;
	uint32_t reply_ms_max;          /* no answer may take longer, whatever the other trackers do */
	uint32_t read_ms_max;           /* but for that, for each portion of a snapshot merged meanwhile */
	struct intent kept[INTENTS_KEPT];
	size_t n_kept;
	uint64_t tried, refused_busy, refused_clock, refused_full, made, aliases_used, login_as_loser, name_reused;
	uint64_t retries_known, retries_again; /* a retry elsewhere: recognised; not yet known there, so done again */
};

/* One command on that site, if it is up and takes changes. */
void command_random(struct commands *c, struct site *site);
/* One of the last commands again, there. */
void command_retry(struct commands *c, struct site *site);
#endif
