/* core/wire/frame.c */
#include "core/wire/frame.h"

#include <string.h>

#include "core/base/name.h"
#include "core/base/planted.h"
#include "core/wire/cursor.h"

enum { HEAD = 8, LENGTH_WORD = 4 };

static const char tags[][5] = { [TAG_NONE] = "    ", [TAG_CMD] = "CMD ", [TAG_RPLY] = "RPLY", [TAG_EVNT] = "EVNT",
	                        [TAG_SYNC] = "SYNC" };

static const struct {
	uint32_t max;
	unsigned allowed; /* bit set of tags */
} phases[] = {
	[FRAMES_STRANGER] = { FRAME_STRANGER_MAX, 1u << TAG_CMD },
	[FRAMES_CLIENT] = { FRAME_CMD_MAX, 1u << TAG_CMD },
	[FRAMES_TRACKER] = { FRAME_MAX, 1u << TAG_RPLY | 1u << TAG_EVNT },
	[FRAMES_SYNC] = { FRAME_MAX, 1u << TAG_SYNC },
};

void frame_reader_init(struct frame_reader *r, enum frame_phase phase)
{
	*r = (struct frame_reader){ .phase = phase };
}

void frame_reader_fini(struct frame_reader *r)
{
	buf_free(&r->held);
}

static enum frame_tag find_tag(const uint8_t *p)
{
	for (unsigned t = TAG_CMD; t <= TAG_SYNC; t++)
		if (memcmp(p, tags[t], 4) == 0)
			return (enum frame_tag)t;
	return TAG_NONE;
}

/* Checks the eight bytes of the head; *total is the whole frame with its length word. */
static enum shoal_err check_head(const struct frame_reader *r, const uint8_t *p, size_t *total, enum frame_tag *tag,
                                 struct error *e)
{
	struct cursor c = cursor_of(p, LENGTH_WORD);
	uint32_t length = get_u32(&c);
	char shown[24];

	*tag = find_tag(p + LENGTH_WORD);
	if (*tag == TAG_NONE || (phases[r->phase].allowed & 1u << *tag) == 0)
		return error_set(e, SHOAL_EPROTO, "unexpected frame tag '%s'",
		                 text_escape(p + LENGTH_WORD, 4, shown, sizeof(shown)));
	if ((length < 4 && !PLANTED(frame_empty)) || length > phases[r->phase].max)
		return error_set(e, SHOAL_EPROTO, "a frame of %u bytes, at most %u are allowed here", length,
		                 phases[r->phase].max);
	*total = LENGTH_WORD + (size_t)length;
	return SHOAL_OK;
}

/* Moves up to `want` bytes in all from *in into the held frame. */
static bool hold(struct frame_reader *r, struct slice *in, size_t want)
{
	size_t n = want > r->held.len ? want - r->held.len : 0;
	if (n > in->len)
		n = in->len;
	buf_put(&r->held, in->data, n);
	in->data += n;
	in->len -= n;
	return !r->held.failed;
}

static enum shoal_err bad(struct frame_reader *r, enum shoal_err rc)
{
	r->bad = true;
	buf_free(&r->held);
	return rc;
}

/* A whole frame that lies in the bytes given is not copied. */
static enum shoal_err read_in_place(struct frame_reader *r, struct slice *in, struct frame *out, struct error *e)
{
	size_t total;
	enum shoal_err rc = check_head(r, in->data, &total, &out->tag, e);
	if (rc != SHOAL_OK)
		return bad(r, rc);
	if (in->len < total)
		return SHOAL_ENOTFOUND;
	out->body = slice_of(in->data + HEAD, total - HEAD);
	in->data += total;
	in->len -= total;
	return SHOAL_OK;
}

enum shoal_err frame_read(struct frame_reader *r, struct slice *in, struct frame *out, struct error *e)
{
	size_t total = 0;
	enum shoal_err rc;

	if (r->bad)
		return error_set(e, SHOAL_EPROTO, "bytes after a broken frame");
	if (r->held.len >= HEAD) { /* the frame handed out last time may still lie here */
		rc = check_head(r, r->held.data, &total, &out->tag, e);
		if (rc == SHOAL_OK && r->held.len == total)
			buf_free(&r->held);
	}
	if (in->len == 0)
		return SHOAL_ENOTFOUND;
	if (r->held.len == 0 && in->len >= HEAD) {
		rc = read_in_place(r, in, out, e);
		if (rc != SHOAL_ENOTFOUND)
			return rc;
	}
	if (!hold(r, in, HEAD))
		return bad(r, error_set(e, SHOAL_EBUSY, "out of memory for a frame"));
	if (r->held.len < HEAD)
		return SHOAL_ENOTFOUND;
	rc = check_head(r, r->held.data, &total, &out->tag, e);
	if (rc != SHOAL_OK)
		return bad(r, rc);
	if (!hold(r, in, total))
		return bad(r, error_set(e, SHOAL_EBUSY, "out of memory for a frame"));
	if (r->held.len < total)
		return SHOAL_ENOTFOUND;
	out->body = slice_of(r->held.data + HEAD, total - HEAD);
	return SHOAL_OK;
}

size_t frame_begin(struct buf *b, enum frame_tag tag)
{
	size_t start = b->len;
	buf_put_u32(b, 0);
	buf_put(b, tags[tag], 4);
	return start;
}

enum shoal_err frame_end(struct buf *b, size_t start)
{
	if (b->failed)
		return SHOAL_EBUSY;
	size_t length = b->len - start - LENGTH_WORD;
	if (length > FRAME_MAX)
		return SHOAL_EINTERNAL;
	buf_set_u32(b, start, (uint32_t)length);
	return SHOAL_OK;
}
