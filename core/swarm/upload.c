/* core/swarm/upload.c - docs/swarm.md, "The serving side": who is served next. */
#include "core/swarm/upload.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

#define MS UINT64_C(1000)
#define WINDOW_US (100 * MS)        /* rates are taken over this */
#define UNKNOWN_US (50 * MS)        /* the slow lane's patience before any rate is known */
#define PATIENCE_MAX_US (2000 * MS) /* a slow first receiver must not pass for a slow uplink for long */
#define LEAD_US UINT64_C(500)       /* what is left takes less: the next may start */
#define STALLED_US (1000 * MS)      /* no byte for so long: does not count among the four */
#define LAPSE_MAX 5000u             /* windows after which what was once the best has lapsed */

enum {
	TRANSFERS_MAX = 4, /* that move */
	PIPELINE_MAX = 2,  /* on one connection, while nobody else waits */
	CHANNELS_MAX = UINT16_MAX,
};

struct upload_file {
	uint64_t size;
	uint32_t piece_size, npieces;
	uint16_t *sent;     /* piece -> how often it was sent, or is being sent */
	uint16_t *first_to; /* piece -> id of the channel it was sent to first; 0: nobody, or others have announced it */
	struct upload_channel **channels; /* id - 1 -> channel, or NULL */
	uint32_t nslots;
};

struct upload_conn {
	uint32_t waiting, active;
};

struct upload_channel {
	struct upload_file *file;
	struct upload_conn *conn;
	void *owner;
	uint16_t id;
	uint32_t unspread; /* pieces sent first to it that no third peer has announced since */
	uint32_t have;     /* pieces it has */
	uint32_t waiting[UPLOAD_WAITING_MAX];
	uint32_t nwaiting;
	uint32_t busy_at;  /* index in upload.busy if nwaiting > 0 */
	uint64_t bytes;
};

struct transfer {
	struct upload_channel *channel;
	uint32_t piece, left;
	uint64_t started_us, moved_us;
	bool slow;   /* in the slow lane: has given up the slot */
	bool stalled; /* and nothing has moved for long: does not count among the four */
	bool behind; /* begins when the other of its connection has ended */
};

struct upload {
	uint64_t (*random)(void *ctx);
	void *random_ctx;
	struct upload_channel **busy; /* those with waiting requests; room for all channels */
	uint32_t nbusy, nchannels, channels_cap;
	uint32_t waiting;
	struct transfer *transfers; /* stalled ones come on top of TRANSFERS_MAX: at most two a connection */
	uint32_t ntransfers, transfers_cap;
	uint64_t limit, best, rate;
	uint64_t window_us, window_bytes;
	uint64_t bytes, pieces, slow;
};

struct upload *upload_new(uint64_t (*random)(void *ctx), void *random_ctx)
{
	struct upload *up = try_alloc(sizeof(*up));
	if (up != NULL) {
		up->random = random;
		up->random_ctx = random_ctx;
	}
	return up;
}

void upload_free(struct upload *up)
{
	if (up == NULL)
		return;
	assert(up->nchannels == 0);
	free(up->busy);
	free(up->transfers);
	free(up);
}

void upload_set_limit(struct upload *up, uint64_t bytes_per_s)
{
	up->limit = bytes_per_s;
}

/* -- Files, connections, channels */

struct upload_file *upload_file_add(struct upload *up, uint64_t size, uint32_t piece_size)
{
	(void)up;
	struct upload_file *file = try_alloc(sizeof(*file));
	if (file == NULL)
		return NULL;
	file->size = size;
	file->piece_size = piece_size;
	file->npieces = (uint32_t)((size + piece_size - 1) / piece_size);
	file->sent = try_alloc(file->npieces * sizeof(*file->sent));
	file->first_to = try_alloc(file->npieces * sizeof(*file->first_to));
	if (file->sent == NULL || file->first_to == NULL) {
		upload_file_remove(up, file);
		return NULL;
	}
	return file;
}

void upload_file_remove(struct upload *up, struct upload_file *file)
{
	(void)up;
	if (file == NULL)
		return;
	free(file->sent);
	free(file->first_to);
	free(file->channels);
	free(file);
}

struct upload_conn *upload_conn_add(struct upload *up)
{
	(void)up;
	return try_alloc(sizeof(struct upload_conn));
}

void upload_conn_remove(struct upload *up, struct upload_conn *conn)
{
	(void)up;
	assert(conn == NULL || (conn->waiting == 0 && conn->active == 0));
	free(conn);
}

/* The lowest free id of the file, 0 if there is none or no memory. */
static uint16_t channel_id(struct upload_file *file)
{
	uint32_t i = 0;
	while (i < file->nslots && file->channels[i] != NULL)
		i++;
	if (i < file->nslots)
		return (uint16_t)(i + 1);
	if (i >= CHANNELS_MAX)
		return 0;
	uint32_t n = file->nslots != 0 ? file->nslots * 2 : 8;
	if (n > CHANNELS_MAX)
		n = CHANNELS_MAX;
	struct upload_channel **more = try_realloc(file->channels, n * sizeof(struct upload_channel *));
	if (more == NULL)
		return 0;
	memset(more + file->nslots, 0, (n - file->nslots) * sizeof(struct upload_channel *));
	file->channels = more;
	file->nslots = n;
	return (uint16_t)(i + 1);
}

/* Room for one channel more in every list, so that requests and starts cannot fail. */
static bool make_room(struct upload *up)
{
	if (up->nchannels < up->channels_cap)
		return true;
	uint32_t cap = up->channels_cap * 2 + 16;
	struct upload_channel **busy = try_realloc(up->busy, cap * sizeof(struct upload_channel *));
	if (busy == NULL)
		return false;
	up->busy = busy;
	struct transfer *transfers = try_realloc(up->transfers, (size_t)cap * PIPELINE_MAX * sizeof(*transfers));
	if (transfers == NULL)
		return false;
	up->transfers = transfers;
	up->channels_cap = cap;
	return true;
}

struct upload_channel *upload_channel_add(struct upload *up, struct upload_file *file, struct upload_conn *conn,
                                          void *owner)
{
	uint16_t id = make_room(up) ? channel_id(file) : 0;
	struct upload_channel *ch = id != 0 ? try_alloc(sizeof(*ch)) : NULL;
	if (ch == NULL)
		return NULL;
	ch->file = file;
	ch->conn = conn;
	ch->owner = owner;
	ch->id = id;
	file->channels[id - 1] = ch;
	up->nchannels++;
	return ch;
}

static void drop_waiting(struct upload *up, struct upload_channel *ch, uint32_t at)
{
	ch->waiting[at] = ch->waiting[--ch->nwaiting];
	ch->conn->waiting--;
	up->waiting--;
	if (ch->nwaiting != 0)
		return;
	struct upload_channel *last = up->busy[--up->nbusy];
	up->busy[ch->busy_at] = last;
	last->busy_at = ch->busy_at;
}

static struct transfer *find_transfer(struct upload *up, const struct upload_channel *ch, uint32_t piece)
{
	for (uint32_t i = 0; i < up->ntransfers; i++)
		if (up->transfers[i].channel == ch && up->transfers[i].piece == piece)
			return &up->transfers[i];
	return NULL;
}

static uint32_t find_waiting(const struct upload_channel *ch, uint32_t piece)
{
	uint32_t i = 0;
	while (i < ch->nwaiting && ch->waiting[i] != piece)
		i++;
	return i;
}

void upload_channel_remove(struct upload *up, struct upload_channel *ch, uint64_t now_us)
{
	if (ch == NULL)
		return;
	while (ch->nwaiting != 0)
		drop_waiting(up, ch, ch->nwaiting - 1);
	for (uint32_t i = 0; i < up->ntransfers;)
		if (up->transfers[i].channel == ch)
			upload_finished(up, ch, up->transfers[i].piece, false, now_us);
		else
			i++;
	for (uint32_t i = 0; i < ch->file->npieces && ch->unspread != 0; i++)
		if (ch->file->first_to[i] == ch->id) {
			ch->file->first_to[i] = 0;
			ch->unspread--;
		}
	ch->file->channels[ch->id - 1] = NULL;
	up->nchannels--;
	free(ch);
}

/* -- What the other side says */

void upload_on_bitfield(struct upload_channel *ch, uint32_t have)
{
	ch->have = have;
}

void upload_on_have(struct upload *up, struct upload_channel *ch, uint32_t piece)
{
	(void)up;
	struct upload_file *file = ch->file;

	if (piece >= file->npieces)
		return;
	ch->have++;
	uint16_t first = file->first_to[piece];
	if (first == 0 || first == ch->id)
		return;
	file->first_to[piece] = 0; /* passed on: whoever got it from us has done its part */
	file->channels[first - 1]->unspread--;
}

enum shoal_err upload_request(struct upload *up, struct upload_channel *ch, uint32_t piece)
{
	if (piece >= ch->file->npieces)
		return SHOAL_EPROTO;
	if (find_waiting(ch, piece) < ch->nwaiting || find_transfer(up, ch, piece) != NULL)
		return SHOAL_OK;
	if (ch->nwaiting == UPLOAD_WAITING_MAX)
		return SHOAL_EBUSY;
	if (ch->nwaiting == 0) {
		ch->busy_at = up->nbusy;
		up->busy[up->nbusy++] = ch;
	}
	ch->waiting[ch->nwaiting++] = piece;
	ch->conn->waiting++;
	up->waiting++;
	return SHOAL_OK;
}

enum upload_cancelled upload_cancel(struct upload *up, struct upload_channel *ch, uint32_t piece)
{
	uint32_t at = find_waiting(ch, piece);

	if (at < ch->nwaiting) {
		drop_waiting(up, ch, at);
		return UPLOAD_FORGOTTEN;
	}
	return find_transfer(up, ch, piece) != NULL ? UPLOAD_BEGUN : UPLOAD_UNKNOWN;
}

/* -- The slot */

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
	drop_waiting(up, ch, c.at);
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
	struct transfer *t = find_transfer(up, ch, piece);

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
	struct transfer *t = find_transfer(up, ch, piece);
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
