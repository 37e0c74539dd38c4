/* tests/unit/wire/test_frame.c - the door: any cut of the bytes gives the same frames, and nothing wrong gets in */
#include "core/base/mem.h"
#include "core/wire/cmd.h"
#include "core/wire/frame.h"
#include "tests/unit/check.h"

static void put_frame(struct buf *b, enum frame_tag tag, size_t body)
{
	size_t start = frame_begin(b, tag);
	for (size_t i = 0; i < body; i++)
		buf_put_u8(b, (uint8_t)(i * 7 + body));
	CHECK_INT(frame_end(b, start), ==, SHOAL_OK);
}

static void any_cut_gives_the_same_frames(void)
{
	for (int round = 0; round < 300; round++) {
		struct buf all = { 0 };
		size_t sizes[12], n = 1 + check_random(12), seen = 0;
		for (size_t i = 0; i < n; i++) {
			sizes[i] = check_random(4) == 0 ? 0 : check_random(900);
			put_frame(&all, i % 2 ? TAG_RPLY : TAG_EVNT, sizes[i]);
		}
		struct frame_reader r;
		frame_reader_init(&r, FRAMES_TRACKER);
		for (size_t at = 0; at < all.len;) {
			size_t part = 1 + check_random(check_random(2) ? 12 : 2000);
			part = part < all.len - at ? part : all.len - at;
			struct slice in = slice_of(all.data + at, part);
			struct frame f;
			enum shoal_err rc;
			while ((rc = frame_read(&r, &in, &f, NULL)) == SHOAL_OK) {
				CHECK_INT(f.tag, ==, seen % 2 ? TAG_RPLY : TAG_EVNT);
				CHECK_INT(f.body.len, ==, sizes[seen]);
				for (size_t i = 0; i < f.body.len; i++)
					CHECK_INT(f.body.data[i], ==, (uint8_t)(i * 7 + sizes[seen]));
				seen++;
			}
			CHECK_INT(rc, ==, SHOAL_ENOTFOUND);
			CHECK_INT(in.len, ==, 0);
			at += part;
		}
		CHECK_INT(seen, ==, n);
		CHECK_INT(r.held.len, ==, 0);
		frame_reader_fini(&r);
		buf_free(&all);
	}
}

/* The head alone must be enough to refuse: not one byte of body is waited for. */
static enum shoal_err head_is(enum frame_phase phase, uint32_t length, const char *tag)
{
	struct buf b = { 0 };
	struct frame_reader r;
	struct frame f;
	struct error e = { 0 };
	buf_put_u32(&b, length);
	buf_put(&b, tag, 4);
	frame_reader_init(&r, phase);
	struct slice in = slice_of(b.data, b.len);
	enum shoal_err rc = frame_read(&r, &in, &f, &e);
	if (rc == SHOAL_EPROTO) {
		CHECK(e.message[0] != '\0');
		in = slice_of(b.data, b.len);
		CHECK_INT(frame_read(&r, &in, &f, &e), ==, SHOAL_EPROTO); /* stays bad */
		CHECK_INT(r.held.cap, ==, 0);
	}
	frame_reader_fini(&r);
	buf_free(&b);
	return rc;
}

static void lengths_and_tags_meet_their_limit_first(void)
{
	CHECK_INT(head_is(FRAMES_STRANGER, FRAME_STRANGER_MAX, "CMD "), ==, SHOAL_ENOTFOUND);
	CHECK_INT(head_is(FRAMES_STRANGER, FRAME_STRANGER_MAX + 1, "CMD "), ==, SHOAL_EPROTO);
	CHECK_INT(head_is(FRAMES_CLIENT, FRAME_CMD_MAX, "CMD "), ==, SHOAL_ENOTFOUND);
	CHECK_INT(head_is(FRAMES_CLIENT, FRAME_CMD_MAX + 1, "CMD "), ==, SHOAL_EPROTO);
	CHECK_INT(head_is(FRAMES_TRACKER, FRAME_MAX, "RPLY"), ==, SHOAL_ENOTFOUND);
	CHECK_INT(head_is(FRAMES_TRACKER, FRAME_MAX + 1, "EVNT"), ==, SHOAL_EPROTO);
	CHECK_INT(head_is(FRAMES_SYNC, FRAME_MAX, "SYNC"), ==, SHOAL_ENOTFOUND);
	CHECK_INT(head_is(FRAMES_CLIENT, 3, "CMD "), ==, SHOAL_EPROTO);
	CHECK_INT(head_is(FRAMES_CLIENT, UINT32_MAX, "CMD "), ==, SHOAL_EPROTO);
	CHECK_INT(head_is(FRAMES_CLIENT, 10, "SYNC"), ==, SHOAL_EPROTO);
	CHECK_INT(head_is(FRAMES_STRANGER, 10, "RPLY"), ==, SHOAL_EPROTO);
	CHECK_INT(head_is(FRAMES_TRACKER, 10, "CMD "), ==, SHOAL_EPROTO);
	CHECK_INT(head_is(FRAMES_SYNC, 10, "GET "), ==, SHOAL_EPROTO);
}

static void a_failed_allocation_is_busy(void)
{
	struct buf all = { 0 };
	struct frame_reader r;
	struct frame f;
	put_frame(&all, TAG_CMD, 300);
	frame_reader_init(&r, FRAMES_CLIENT);
	struct slice in = slice_of(all.data, 100);
	mem_fail_after(1);
	CHECK_INT(frame_read(&r, &in, &f, NULL), ==, SHOAL_EBUSY);
	mem_fail_after(0);
	frame_reader_fini(&r);
	buf_free(&all);
}

static const struct CMUnitTest tests[] = {
	TEST(any_cut_gives_the_same_frames), TEST(lengths_and_tags_meet_their_limit_first), TEST(a_failed_allocation_is_busy),
};
CHECK_MAIN(tests)
