/* tests/fuzz/fuzz_frame.c - bytes of a stream, cut where the fuzzer likes, through the door of tracker links and on
 * into the decoders of what comes out. */
#include "core/wire/cmd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct frame_reader r;
	size_t step = data[1] + 1;
	frame_reader_init(&r, (enum frame_phase)(data[0] % 4));
	for (size_t at = 2; at < size; at += step) {
		struct slice in = slice_of(data + at, step < size - at ? step : size - at);
		struct frame f;
		struct error e;
		while (frame_read(&r, &in, &f, &e) == SHOAL_OK) {
			struct buf text = { 0 };
			struct cursor c = cursor_of(f.body.data, f.body.len);
			struct rply_head h;
			cmd_check(f.body);
			evnt_check(f.body);
			cmd_print(&text, f.body);
			evnt_print(&text, f.body);
			rply_head_get(&c, &h);
			buf_free(&text);
		}
	}
	frame_reader_fini(&r);
	return 0;
}
