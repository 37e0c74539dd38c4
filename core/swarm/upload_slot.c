/* core/swarm/upload_slot.c - docs/swarm.md, "The serving side": the slot, the slow lane, who is served next. */
#include "core/swarm/upload_internal.h"

static uint64_t best_rate(const struct upload *up)
{
	return up->limit != 0 ? up->limit : up->best;
}

/* How long a transfer may hold the slot: a quarter more than a piece takes at the best rate. */
static uint64_t patience_us(const struct upload *up, const struct transfer *t)
{
	uint64_t best = best_rate(up);
	uint64_t us = best != 0 ? (uint64_t)t->channel->file->piece_size * 1250000 / best : UNKNOWN_US;
	return us < PATIENCE_MAX_US ? us : PATIENCE_MAX_US;
}

static bool nearly_done(const struct upload *up, const struct transfer *t)
{
	return (uint64_t)t->left * 1000000 <= LEAD_US * best_rate(up);
}

/* Into the slow lane, and with it the one that is to follow on the same connection. */
static void slow_down(struct upload *up, struct transfer *t)
{
	up->slow++;
	t->slow = true;
	for (uint32_t i = 0; i < up->ntransfers; i++)
		if (up->transfers[i].behind && up->transfers[i].channel->conn == t->channel->conn)
			up->transfers[i].slow = true;
}

/* Sends those that take too long to the slow lane; whether another transfer may begin. */
static bool slot_free(struct upload *up, uint64_t now_us)
{
	uint32_t moving = 0;
	bool taken = false;

	for (uint32_t i = 0; i < up->ntransfers; i++) {
		struct transfer *t = &up->transfers[i];
		if (!t->slow && !t->behind && now_us - t->started_us >= patience_us(up, t))
			slow_down(up, t);
		t->stalled = t->slow && now_us - t->moved_us >= STALLED_US;
		moving += !t->stalled && !t->behind;
	}
	for (uint32_t i = 0; i < up->ntransfers; i++) {
		const struct transfer *t = &up->transfers[i];
		taken = taken || (!t->slow && (t->behind || !nearly_done(up, t)));
	}
	return !taken && moving < TRANSFERS_MAX;
}

/* Rule 2.4: less is served first; equal ones by lot. */
struct candidate {
	struct upload_channel *channel;
	uint32_t at; /* in its waiting list */
	uint32_t sent, unspread, have;
};

static int compare(const struct candidate *a, const struct candidate *b)
{
	if (a->sent != b->sent)
		return a->sent < b->sent ? -1 : 1;
	if (a->unspread != b->unspread)
		return a->unspread < b->unspread ? -1 : 1;
	if (a->have != b->have)
		return a->have < b->have ? -1 : 1;
	return 0;
}

static bool choose(struct upload *up, uint32_t active, struct candidate *best)
{
	uint64_t equals = 0;

	for (uint32_t c = 0; c < up->nbusy; c++) {
		struct upload_channel *ch = up->busy[c];
		if (ch->conn->active != active)
			continue;
		for (uint32_t i = 0; i < ch->nwaiting; i++) {
			struct candidate now = { ch, i, ch->file->sent[ch->waiting[i]], ch->unspread, ch->have };
			int less = equals == 0 ? -1 : compare(&now, best);
			equals = less < 0 ? 1 : equals + (less == 0);
			if (less < 0 || (less == 0 && up->random(up->random_ctx) % equals == 0))
				*best = now;
		}
	}
	return equals != 0;
}

/* One connection, one transfer, and nobody else waits: its next piece is handed out ahead. */
static bool alone(const struct upload *up)
{
	if (up->ntransfers != 1 || up->waiting == 0 || up->transfers[0].slow)
		return false;
	const struct upload_conn *conn = up->transfers[0].channel->conn;
	return conn->active == 1 && conn->waiting == up->waiting;
}

static uint32_t piece_len(const struct upload_file *file, uint32_t piece)
{
	uint64_t rest = file->size - (uint64_t)piece * file->piece_size;
	return rest < file->piece_size ? (uint32_t)rest : file->piece_size;
}

bool upload_next(struct upload *up, uint64_t now_us, struct upload_start *out)
{
	struct candidate c;
	bool is_free = slot_free(up, now_us); /* first, since it moves slow ones out of the way */
	bool behind = false;

	if (!(is_free && choose(up, 0, &c))) {
		behind = alone(up) && choose(up, 1, &c);
		if (!behind)
			return false;
	}
	struct upload_channel *ch = c.channel;
	uint32_t piece = ch->waiting[c.at], others = up->waiting - ch->conn->waiting;
	upload_drop_waiting(up, ch, c.at);
	up->transfers[up->ntransfers++] = (struct transfer){ .channel = ch,
		                                             .piece = piece,
		                                             .left = piece_len(ch->file, piece),
		                                             .started_us = now_us,
		                                             .moved_us = now_us,
		                                             .behind = behind };
	ch->conn->active++;
	up->pieces++;
	if (ch->file->sent[piece] < UINT16_MAX)
		ch->file->sent[piece]++;
	*out = (struct upload_start){ .channel = ch,
		                      .owner = ch->owner,
		                      .piece = piece,
		                      .waiting = others < UINT16_MAX ? (uint16_t)others : UINT16_MAX,
		                      .behind = behind };
	return true;
}

uint64_t upload_deadline(const struct upload *up)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < up->ntransfers && up->waiting != 0; i++) {
		const struct transfer *t = &up->transfers[i];
		if (t->behind || t->stalled)
			continue;
		uint64_t at = t->slow ? t->moved_us + STALLED_US : t->started_us + patience_us(up, t);
		if (at < next)
			next = at;
	}
	return next;
}

/* -- Progress */

static void end_window(struct upload *up, uint64_t now_us)
{
	uint64_t took = now_us - up->window_us, windows = took / WINDOW_US;

	up->rate = up->window_bytes * 1000000 / took;
	if (windows >= LAPSE_MAX)
		up->best = 0;
	for (uint64_t i = 0; i < windows && up->best != 0; i++)
		up->best -= up->best / 1000;
	if (up->rate > up->best)
		up->best = up->rate;
	up->window_us = now_us;
	up->window_bytes = 0;
}

void upload_progress(struct upload *up, struct upload_channel *ch, uint32_t piece, uint32_t n, uint64_t now_us)
{
	struct transfer *t = upload_find_transfer(up, ch, piece);

	if (up->window_us == 0)
		up->window_us = now_us;
	if (now_us - up->window_us >= WINDOW_US)
		end_window(up, now_us);
	up->window_bytes += n;
	up->bytes += n;
	ch->bytes += n;
	if (t == NULL)
		return;
	t->left -= n < t->left ? n : t->left;
	t->moved_us = now_us;
	t->stalled = false;
}

void upload_finished(struct upload *up, struct upload_channel *ch, uint32_t piece, bool whole, uint64_t now_us)
{
	struct transfer *t = upload_find_transfer(up, ch, piece);
	struct upload_file *file = ch->file;

	if (t == NULL)
		return;
	bool was_behind = t->behind;
	*t = up->transfers[--up->ntransfers];
	ch->conn->active--;
	if (!whole && file->sent[piece] < UINT16_MAX) {
		file->sent[piece]--;
	} else if (whole && file->sent[piece] == 1 && file->first_to[piece] == 0) {
		file->first_to[piece] = ch->id;
		ch->unspread++;
	}
	for (uint32_t i = 0; i < up->ntransfers && !was_behind; i++) {
		struct transfer *next = &up->transfers[i];
		if (next->behind && next->channel->conn == ch->conn) {
			next->behind = false;
			next->started_us = next->moved_us = now_us;
		}
	}
}

void upload_stats(const struct upload *up, struct upload_stats *out)
{
	*out = (struct upload_stats){
		.bytes = up->bytes,
		.rate = up->rate,
		.best = best_rate(up),
		.waiting = up->waiting,
		.active = up->ntransfers,
		.pieces = up->pieces,
		.slow = up->slow,
	};
}

uint64_t upload_channel_bytes(const struct upload_channel *ch)
{
	return ch->bytes;
}
