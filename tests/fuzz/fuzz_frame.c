/* tests/fuzz/fuzz_frame.c - bytes of a stream through the door of tracker links and on into the decoders of what comes
 * out. Cut where the fuzzer likes or in one piece: the same frames come out. */
#include "core/wire/cmd.h"
#include "tests/fuzz/fuzz.h"

static void decode(struct slice body)
{
	struct buf text = { 0 };
	struct cursor c = cursor_of(body.data, body.len);
	struct rply_head h;
	cmd_check(body);
	evnt_check(body);
	cmd_print(&text, body);
	evnt_print(&text, body);
	fuzz_check_printable(&text);
	rply_head_get(&c, &h);
	buf_free(&text);
}

/* The frames one after the other, and whether the reader had enough of it. */
static bool read_frames(enum frame_phase phase, struct slice all, size_t step, struct buf *out)
{
	struct frame_reader r;
	struct frame f;
	struct error e;
	frame_reader_init(&r, phase);
	for (size_t at = 0; at < all.len; at += step) {
		struct slice part = slice_of(all.data + at, step < all.len - at ? step : all.len - at);
		uint8_t *copy = fuzz_copy(part);
		struct slice in = slice_of(copy, part.len);
		while (frame_read(&r, &in, &f, &e) == SHOAL_OK) {
			buf_put_u8(out, (uint8_t)f.tag);
			buf_put_blob(out, f.body.data, f.body.len);
			decode(f.body);
		}
		free(copy);
	}
	bool bad = r.bad;
	frame_reader_fini(&r);
	return bad;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf cut = { 0 }, whole = { 0 };
	if (size < 3)
		return 0;
	enum frame_phase phase = (enum frame_phase)(data[0] % 4);
	struct slice all = slice_of(data + 2, size - 2);
	bool bad_cut = read_frames(phase, all, data[1] + 1u, &cut), bad_whole = read_frames(phase, all, all.len, &whole);
	CHECK(bad_cut == bad_whole);
	CHECK(slice_eq(slice_of(cut.data, cut.len), slice_of(whole.data, whole.len)));
	buf_free(&cut);
	buf_free(&whole);
	return 0;
}
