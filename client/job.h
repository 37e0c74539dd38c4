/* client/job.h - what the rest of the program may know about a download or an upload: plain values, copied.
 *
 * A job is known by its number; the thing itself lives in the engine (client/download.h, client/upload_job.h) and may be
 * gone before whoever asks: then the answer is SHOAL_ENOTFOUND. */
#ifndef SHOAL_CLIENT_JOB_H
#define SHOAL_CLIENT_JOB_H
#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/id.h"

enum job_kind { JOB_DOWNLOAD, JOB_UPLOAD };

#define JOB_STATES(X)                                    \
	X(QUEUED, "queued")                              \
	X(STARTING, "starting")   /* asks the tracker, fetches the metainfo, opens the destination */ \
	X(HASHING, "hashing")     /* upload */           \
	X(DOWNLOADING, "downloading")                    \
	X(VERIFYING, "verifying") /* the rest of the whole-file hash */ \
	X(PAUSED, "paused")                              \
	X(STALLED, "stalled")     /* error says why */   \
	X(DONE, "done")                                  \
	X(FAILED, "failed")                              \
	X(CANCELLED, "cancelled")

enum job_state {
#define X(name, word) JOB_STATE_##name,
	JOB_STATES(X)
#undef X
};
const char *job_state_word(enum job_state state);
bool job_state_final(enum job_state state); /* done, failed, cancelled */

#define JOB_NAME_MAX 256

struct job_info {
	uint64_t id;
	enum job_kind kind;
	enum job_state state;
	char group[JOB_NAME_MAX], file[JOB_NAME_MAX];
	char path[4096];      /* of the finished file, or the file being shared */
	uint64_t bytes;       /* verified (download) or hashed (upload) so far */
	uint64_t total;
	uint64_t rate;        /* bytes a second, exponential average, time constant 5 s */
	int64_t eta;          /* seconds; -1 unknown */
	uint32_t pieces, pieces_total, bad_pieces;
	uint32_t sources;     /* peers that gave at least one piece */
	uint32_t peers;       /* connected now */
	uint64_t resumed;     /* bytes that were there already */
	uint64_t twice;       /* bytes fetched more than once */
	uint64_t started_ms;  /* wall clock; 0: not yet */
	uint64_t took_ms;     /* from start to end or now */
	struct error error;   /* why stalled or failed */
};

struct job_peer {
	char user[72];
	char address[264];
	char state[16];       /* connecting, handshake, idle, asking, snubbed, dropped */
	uint64_t rate;
	uint32_t pieces, bad_pieces, strikes;
};
#endif
