/* client/download_run.c - pieces: what the swarm decides is carried out, what the peers bring is told to it. */
#include <stdlib.h>
#include <string.h>

#include "client/download.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

static struct download *of_channel(const struct channel *ch)
{
	return ch->file == NULL ? NULL : ch->file->download;
}

enum shoal_err download_make_swarm(struct download *dl, struct error *e)
{
	static const enum swarm_order orders[] = {
		[ORDER_DEFAULT] = SWARM_RAREST, [ORDER_RAREST] = SWARM_RAREST, [ORDER_SEQUENTIAL] = SWARM_SEQUENTIAL,
		[ORDER_RANDOM] = SWARM_RANDOM,
	};
	struct swarm_config config = {
		.size = dl->wanted.size, .piece_size = PIECE_SIZE, .order = orders[dl->job.opts.order],
		.have = storage_bitfield(dl->st), .random = transfers_random,
	};

	dl->swarm = swarm_new(&config);
	if (dl->swarm == NULL)
		return error_set(e, SHOAL_EBUSY, "out of memory");
	dl->swarm_due = true;
	download_hold(dl);
	return SHOAL_OK;
}

/* -- actions */

static void request(struct download *dl, struct channel *ch, uint32_t piece)
{
	struct piece_ask *ask = try_alloc(sizeof(*ask));

	if (ask == NULL) { /* the request is lost, and with it the connection: its pieces are free again */
		peer_close(ch->peer, "out of memory");
		return;
	}
	ask->channel = ch;
	ask->ch = ch->number;
	ask->piece = piece;
	ask->length = metainfo_piece_len(dl->meta, piece);
	ask->sink = &dl->sink;
	ch->out++;
	dl->asks++;
	peer_conn_ask(ch->peer->conn, ask);
}

static void drop(struct download *dl, struct channel *ch, enum swarm_reason reason)
{
	struct source *src = download_source_of(dl, ch);
	char text[ADDRESS_MAX];

	log_line(dl->job.t->log, LOG_WARN, "download", "%s: dropping %s (%s): %s", dl->job.info.file,
	         address_format(&ch->peer->addr, text), src != NULL ? src->user : "", swarm_reason_text(reason));
	if (src != NULL)
		src->last = swarm_reason_text(reason);
	channel_close(ch, CHANNEL_TELL, reason == SWARM_SILENT ? SHOAL_ETIMEOUT : SHOAL_EPROTO);
}

static void carry_out(struct download *dl, uint64_t now_us)
{
	size_t n;

	download_limit_fill(dl, now_us);
	const struct swarm_action *a = swarm_run(dl->swarm, now_us, &n, &dl->swarm_at_us);

	for (size_t i = 0; i < n; i++) {
		struct channel *ch = a[i].owner;
		switch (a[i].type) {
		case SWARM_REQUEST: request(dl, ch, a[i].piece); break;
		case SWARM_CANCEL: peer_conn_cancel(ch->peer->conn, ch->number, a[i].piece); break;
		case SWARM_DROP: drop(dl, ch, a[i].reason); break;
		case SWARM_NONE: break;
		}
	}
	download_limit_wait(dl, now_us);
}

/* Every piece is there: nothing more is received into the part file. */
static void begin_drain(struct download *dl)
{
	struct channel *ch;

	dl->phase = PHASE_DRAIN;
	job_set_state(&dl->job, JOB_STATE_VERIFYING);
	if (dl->file != NULL)
		TAILQ_FOREACH(ch, &dl->file->channels, in_file)
			if (ch->source != NULL && ch->peer->state == PEER_STATE_READY)
				peer_conn_stop_asks(ch->peer->conn, ch->number);
}

void download_run(struct download *dl, uint64_t *next_us)
{
	uint64_t now_us = clock_mono_us();

	if (dl->phase == PHASE_RUN) {
		if (dl->swarm_due || now_us >= dl->swarm_at_us) {
			dl->swarm_due = false;
			carry_out(dl, now_us);
		}
		if (!dl->swarm_due && dl->swarm_at_us < *next_us)
			*next_us = dl->swarm_at_us;
		if (dl->swarm_due)
			*next_us = now_us;
		if (swarm_done(dl->swarm))
			begin_drain(dl);
		download_connect(dl, now_us / 1000);
	}
	if (dl->phase == PHASE_DRAIN || dl->phase == PHASE_CLOSE)
		download_settle(dl);
}

/* -- what peers bring */

void download_channel_open(struct channel *ch)
{
	struct download *dl = of_channel(ch);

	if (dl == NULL || dl->phase != PHASE_RUN || ch->source != NULL)
		return;
	ch->source = swarm_peer_add(dl->swarm, &ch->peer->identity, ch, clock_mono_us());
	if (ch->source == NULL)
		return;
	dl->met = true;
	dl->nchannels++;
	dl->swarm_due = true;
	if (dl->paused)
		swarm_on_pause(dl->swarm, ch->source, true, clock_mono_us());
	download_attach(dl, ch);
}

void download_channel_gone(struct channel *ch, enum shoal_err code)
{
	struct download *dl = of_channel(ch);

	if (dl == NULL)
		return;
	struct source *src = download_source_of(dl, ch);
	if (src != NULL) {
		src->channel = NULL;
		src->trying = false;
		src->retry_at_ms = clock_mono_ms() + (code == SHOAL_OK ? 0 : RETRY_LEAST_MS << (src->fails < 5 ? src->fails++ : 5));
		src->last = code == SHOAL_OK ? NULL : download_why_lost(code, true);
	}
	if (ch->source != NULL && dl->swarm != NULL) {
		swarm_peer_remove(dl->swarm, ch->source, clock_mono_us());
		dl->nchannels--;
		dl->swarm_due = true;
	}
	ch->source = NULL;
}

void download_on_bitfield(struct channel *ch, const struct peer_bitfield *m)
{
	struct download *dl = of_channel(ch);

	swarm_on_bitfield(dl->swarm, ch->source, m->first, m->bits.data, m->bits.len);
	dl->swarm_due = true;
}

void download_on_have(struct channel *ch, uint32_t piece)
{
	struct download *dl = of_channel(ch);

	swarm_on_have(dl->swarm, ch->source, piece);
	dl->swarm_due = true;
}

void download_on_reject(struct channel *ch, const struct peer_reject *m)
{
	struct download *dl = of_channel(ch);

	if (ch->source == NULL || m->piece >= ch->file->npieces)
		return;
	peer_conn_rejected(ch->peer->conn, ch->number, m->piece);
	enum swarm_reject why = SWARM_REJECT_IO;
	switch (error_from_wire(m->code)) {
	case SHOAL_ENOTFOUND: why = SWARM_REJECT_GONE; break;
	case SHOAL_EDENIED: why = SWARM_REJECT_DENIED; break;
	case SHOAL_EBUSY: why = SWARM_REJECT_BUSY; break;
	default: break;
	}
	swarm_on_reject(dl->swarm, ch->source, m->piece, why, clock_mono_us());
	dl->swarm_due = true;
}

void download_on_begin(struct channel *ch, uint32_t piece, uint16_t waiting)
{
	struct download *dl = of_channel(ch);

	if (ch->source == NULL)
		return;
	swarm_on_piece_begin(dl->swarm, ch->source, piece, waiting, clock_mono_us());
	dl->swarm_due = true;
}

void download_on_bytes(struct channel *ch, uint32_t piece, uint32_t n)
{
	struct download *dl = of_channel(ch);

	if (ch->source != NULL)
		swarm_on_piece_bytes(dl->swarm, ch->source, piece, n, clock_mono_us());
}

void download_offence(struct channel *ch)
{
	struct download *dl = of_channel(ch);

	if (dl == NULL || ch->source == NULL || dl->phase != PHASE_RUN)
		return;
	swarm_on_violation(dl->swarm, ch->source);
	carry_out(dl, clock_mono_us()); /* at once, while the channel is there: its DROP is what keeps it away */
	dl->swarm_due = true;
}

/* -- pieces that are complete */

/* Announced at once, before anything else is written: others may ask for it from now on. */
static void tell_everybody(struct download *dl, uint32_t piece)
{
	struct channel *ch;

	TAILQ_FOREACH(ch, &dl->file->channels, in_file)
		if (ch->source == NULL || !swarm_peer_has(ch->source, piece))
			channel_send_have(ch, piece);
}

static void on_piece_ok(struct download *dl, struct channel *ch, uint32_t piece)
{
	struct source *src = download_source_of(dl, ch);
	bool fresh = !bitfield_has(storage_bitfield(dl->st), piece);

	swarm_on_piece_done(dl->swarm, ch->source, piece, SWARM_OK, clock_mono_us());
	if (src != NULL) {
		dl->job.info.sources += src->pieces++ == 0;
		src->fails = 0;
	}
	if (!fresh)
		return;
	storage_mark_verified(dl->st, piece);
	tell_everybody(dl, piece);
	dl->moved_ms = clock_mono_ms();
	job_count(&dl->job, storage_verified_bytes(dl->st));
	if (dl->disk_full) {
		dl->disk_full = false;
		dl->rate_at_us = 0; /* the budget was that of a try */
		download_hold(dl);
	}
	if (dl->job.info.state == JOB_STATE_STALLED)
		job_set_state(&dl->job, JOB_STATE_DOWNLOADING);
	download_kick_disk(dl);
}

static void on_piece_bad(struct download *dl, struct channel *ch, uint32_t piece)
{
	struct source *src = download_source_of(dl, ch);
	char text[ADDRESS_MAX];

	dl->job.info.bad_pieces++;
	if (src != NULL)
		src->bad_pieces++;
	log_line(dl->job.t->log, LOG_WARN, "download", "%s: piece %u from %s (%s) is damaged", dl->job.info.file, piece,
	         address_format(&ch->peer->addr, text), src != NULL ? src->user : "");
	swarm_on_piece_done(dl->swarm, ch->source, piece, SWARM_BAD, clock_mono_us());
	job_emit(&dl->job, "piece.bad");
}

static void on_disk_error(struct download *dl, struct channel *ch, const struct piece_ask *ask)
{
	swarm_on_piece_done(dl->swarm, ch->source, ask->piece, SWARM_UNKEPT, clock_mono_us());
	if (ask->error.code != SHOAL_EDISKFULL) {
		download_fail(dl, &ask->error);
		return;
	}
	dl->disk_full = true;
	dl->disk_retry_ms = clock_mono_ms() + DISK_RETRY_MS;
	download_hold(dl);
	job_stall(&dl->job, SHOAL_EDISKFULL, ask->error.message);
}

static void on_piece_lost(struct download *dl, struct channel *ch, const struct piece_ask *ask)
{
	if (ask->cancelled && !ask->begun)
		return; /* nobody counts on it */
	if (ask->begun)
		swarm_on_piece_done(dl->swarm, ch->source, ask->piece, SWARM_LOST, clock_mono_us());
	else
		swarm_on_reject(dl->swarm, ch->source, ask->piece, SWARM_REJECT_IO, clock_mono_us());
}

void download_ask_done(struct channel *ch, struct piece_ask *ask)
{
	struct download *dl = container_of(ask->sink, struct download, sink);

	dl->asks--;
	if (dl->phase == PHASE_RUN && ch->source != NULL) {
		switch (ask->result) {
		case ASK_OK: on_piece_ok(dl, ch, ask->piece); break;
		case ASK_BAD: on_piece_bad(dl, ch, ask->piece); break;
		case ASK_DISK: on_disk_error(dl, ch, ask); break;
		case ASK_LOST: on_piece_lost(dl, ch, ask); break;
		}
		dl->swarm_due = true;
	}
	free(ask);
	channel_out_done(ch);
}
