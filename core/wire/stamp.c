/* core/wire/stamp.c */
#include "core/wire/stamp.h"

#include <inttypes.h>
#include <stdio.h>

bool dot_eq(struct dot a, struct dot b)
{
	return a.log == b.log && a.seq == b.seq;
}

static int cmp_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

int dot_cmp(struct dot a, struct dot b)
{
	int order = cmp_u64(a.log, b.log);
	return order != 0 ? order : cmp_u64(a.seq, b.seq);
}

int stamp_cmp(const struct stamp *a, const struct stamp *b)
{
	int order = cmp_u64(a->hlc, b->hlc);
	if (order == 0)
		order = cmp_u64(a->tracker, b->tracker);
	return order != 0 ? order : dot_cmp(a->dot, b->dot);
}

bool stamp_is_zero(const struct stamp *s)
{
	return s->hlc == 0;
}

uint64_t stamp_wall_ms(const struct stamp *s)
{
	return s->hlc >> 16;
}

void stamp_put(struct buf *b, const struct stamp *s)
{
	buf_put_u64(b, s->hlc);
	buf_put_u16(b, s->tracker);
	buf_put_u64(b, s->dot.log);
	buf_put_u64(b, s->dot.seq);
}

struct stamp get_stamp(struct cursor *c)
{
	struct stamp s;
	s.hlc = get_u64(c);
	s.tracker = get_u16(c);
	s.dot.log = get_u64(c);
	s.dot.seq = get_u64(c);
	return s;
}

char *stamp_format(const struct stamp *s, char out[STAMP_TEXT_SIZE])
{
	snprintf(out, STAMP_TEXT_SIZE, "%" PRIx64 ".%x.%" PRIx64 ".%" PRIx64, s->hlc, s->tracker, s->dot.log, s->dot.seq);
	return out;
}

bool stamp_parse(const char *text, struct stamp *out)
{
	unsigned tracker;
	int end = 0;
	if (sscanf(text, "%16" SCNx64 ".%4x.%16" SCNx64 ".%16" SCNx64 "%n", &out->hlc, &tracker, &out->dot.log,
	           &out->dot.seq, &end) != 4 ||
	    text[end] != '\0')
		return false;
	out->tracker = (uint16_t)tracker;
	return true;
}
