/* core/swarm/upload_internal.h - what the parts of the serving side share. Others include
 * core/swarm/upload.h.
 *
 *	upload.c       files, connections, channels, and what they ask for
 *	upload_slot.c  whose turn it is */
#ifndef SHOAL_SWARM_UPLOAD_INTERNAL_H
#define SHOAL_SWARM_UPLOAD_INTERNAL_H
#include "core/swarm/upload.h"

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

/* -- upload.c */
struct transfer *upload_find_transfer(struct upload *up, const struct upload_channel *ch, uint32_t piece);
void upload_drop_waiting(struct upload *up, struct upload_channel *ch, uint32_t at); /* its at-th waiting request */
#endif
