/* client/download_limit.c - a download's own rate limit: what may not be received yet is not asked for.
 *
 * A connection that is not read for the sake of one download keeps the others on it waiting, and whatever the other side
 * has to say. So the limit is kept by asking: the swarm has a budget that fills with time and pays for whole pieces. Only
 * where nobody else uses our connections are they also read no faster than that, so that a piece comes evenly. */
#include "client/download.h"

enum { READ_LEAST = 128 << 10 }; /* bytes a second: slower, and a peer that delivers would pass for a silent one */

void download_limit_set(struct download *dl, uint64_t bytes_per_s)
{
	dl->rate_limit = bytes_per_s;
	dl->rate_at_us = 0;
	dl->swarm_due = true;
}

/* Whether somebody else's pieces come, or may come, over a connection of ours. */
static bool shares_connection(const struct download *dl)
{
	const struct channel *ch;

	if (dl->file == NULL)
		return false;
	TAILQ_FOREACH(ch, &dl->file->channels, in_file)
		if (ch->source != NULL && (TAILQ_FIRST(&ch->peer->channels) != ch || TAILQ_NEXT(ch, in_peer) != NULL))
			return true;
	return false;
}

static void set_reading(struct download *dl, bool shared)
{
	uint64_t wanted = dl->rate_limit == 0 || shared ? 0 : dl->rate_limit < READ_LEAST ? READ_LEAST : dl->rate_limit;

	if (peer_rate_get(&dl->limit) != wanted)
		peer_rate_set(&dl->limit, wanted);
}

void download_limit_fill(struct download *dl, uint64_t now_us)
{
	bool shared = shares_connection(dl);
	uint64_t budget = swarm_budget(dl->swarm);

	set_reading(dl, shared);
	if (dl->disk_full)
		return; /* one piece at a time is tried */
	if (dl->rate_limit == 0) {
		swarm_set_budget(dl->swarm, UINT64_MAX);
		return;
	}
	if (dl->rate_at_us == 0 || budget == UINT64_MAX) /* where reading is slowed, one piece may be asked for ahead */
		budget = shared ? 0 : PIECE_SIZE;
	else
		budget += (uint64_t)((double)(now_us - dl->rate_at_us) * (double)dl->rate_limit / 1e6);
	uint64_t most = PIECE_SIZE + dl->rate_limit / 10;
	swarm_set_budget(dl->swarm, budget < most ? budget : most);
	dl->rate_at_us = now_us;
}

void download_limit_try(struct download *dl)
{
	swarm_set_budget(dl->swarm, PIECE_SIZE);
	swarm_hold(dl->swarm, dl->paused);
	dl->swarm_due = true;
}

void download_limit_wait(struct download *dl, uint64_t now_us)
{
	uint64_t budget = swarm_budget(dl->swarm), piece = dl->wanted.size < PIECE_SIZE ? dl->wanted.size : PIECE_SIZE;

	if (dl->rate_limit == 0 || dl->disk_full || budget >= piece)
		return;
	uint64_t at_us = now_us + (uint64_t)((double)(piece - budget) * 1e6 / (double)dl->rate_limit) + 1;
	if (at_us < dl->swarm_at_us)
		dl->swarm_at_us = at_us;
}
