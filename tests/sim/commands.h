/* tests/sim/commands.h - what users do: random commands of all ten kinds on one site, noted in a history. */
#ifndef SHOAL_TESTS_COMMANDS_H
#define SHOAL_TESTS_COMMANDS_H
#include "tests/sim/history.h"
#include "tests/sim/site.h"

struct command_counts {
	uint64_t tried, refused_busy, refused_full, made, acked, failed, aliases_used, retries_elsewhere;
};

/* One command on that site, if it is up and takes changes. */
void command_random(struct site *site, struct history *h, struct command_counts *counts);
/* The contents that users upload: every site that lists one must hold it in the end. may_be_lost: unless nobody does. */
bool commands_content_everywhere(const struct site *sites, size_t n, bool may_be_lost, char *why, size_t size);
#endif
