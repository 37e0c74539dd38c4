/* core/wire/frame.h - the one door: bytes from a stream become frames here, and nowhere else.
 *
 * Two kinds of link. Tracker links: u32 length | 4-byte tag | body, length counts tag and body. Peer links: u32 length |
 * u8 type | body, length counts type and body. Length and type are checked before a byte of body is kept: against the
 * limits of tracker_frame_limit() by phase, or the table in peer_msg.h. What does not fit is SHOAL_EPROTO and the reader
 * stays bad. Not thread-safe; one reader per connection. */
#ifndef SHOAL_WIRE_FRAME_H
#define SHOAL_WIRE_FRAME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/error.h"

enum frame_tag { TAG_NONE, TAG_CMD, TAG_RPLY, TAG_EVNT, TAG_SYNC };

/* What may come in on this connection; set by its owner, may be changed between frames. */
enum frame_phase {
	FRAMES_STRANGER, /* a tracker reads a client that is not logged in: CMD up to 4 KiB */
	FRAMES_CLIENT,   /* a tracker reads a logged-in client: CMD up to 64 KiB */
	FRAMES_TRACKER,  /* a client reads a tracker: RPLY, EVNT up to 1 MiB */
	FRAMES_SYNC,     /* a tracker reads a tracker: SYNC up to 1 MiB */
};

#define FRAME_STRANGER_MAX 4096
#define FRAME_CMD_MAX 65536
#define FRAME_MAX (1u << 20)

struct frame_reader {
	enum frame_phase phase;
	struct buf held; /* an unfinished frame, length word included; empty most of the time */
	bool bad;
};

struct frame {
	enum frame_tag tag;
	struct slice body; /* points into the reader or into the bytes given; valid until the next call */
};

void frame_reader_init(struct frame_reader *r, enum frame_phase phase);
void frame_reader_fini(struct frame_reader *r);
/* Takes one frame from *in (advancing it past what was used). SHOAL_OK: *out is a frame; SHOAL_ENOTFOUND: no whole frame
 * yet, everything was kept; SHOAL_EPROTO: close the connection (the reason is in e); SHOAL_EBUSY: no memory.
 * Call in a loop until ENOTFOUND. */
enum shoal_err frame_read(struct frame_reader *r, struct slice *in, struct frame *out, struct error *e);

/* Building: frame_begin() puts length and tag, the caller puts the body, frame_end() fills the length in.
 * frame_end() is SHOAL_EBUSY if the buffer failed, SHOAL_EINTERNAL if the frame is over FRAME_MAX. */
size_t frame_begin(struct buf *b, enum frame_tag tag);
enum shoal_err frame_end(struct buf *b, size_t start);
#endif
