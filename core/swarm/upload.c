/* core/swarm/upload.c - docs/swarm.md, "The serving side": files, connections, channels, and what they ask for. */
#include "core/swarm/upload_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

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

void upload_drop_waiting(struct upload *up, struct upload_channel *ch, uint32_t at)
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

struct transfer *upload_find_transfer(struct upload *up, const struct upload_channel *ch, uint32_t piece)
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
		upload_drop_waiting(up, ch, ch->nwaiting - 1);
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
	if (find_waiting(ch, piece) < ch->nwaiting || upload_find_transfer(up, ch, piece) != NULL)
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
		upload_drop_waiting(up, ch, at);
		return UPLOAD_FORGOTTEN;
	}
	return upload_find_transfer(up, ch, piece) != NULL ? UPLOAD_BEGUN : UPLOAD_UNKNOWN;
}
