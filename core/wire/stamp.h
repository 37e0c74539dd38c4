/* core/wire/stamp.h - the name and time of an operation; plain values.
 *
 * A dot (log id, seq) is unique by construction: one log per tracker process start. A stamp is a dot with the hybrid
 * time and the tracker: unique and totally ordered by (hlc, tracker, log, seq). hlc: 48 bits of milliseconds, 16 bits
 * of counter. A zero stamp (hlc 0) means "none". To a client a stamp is opaque. */
#ifndef SHOAL_WIRE_STAMP_H
#define SHOAL_WIRE_STAMP_H
#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/wire/cursor.h"

struct dot {
	uint64_t log;
	uint64_t seq;
};

struct stamp {
	uint64_t hlc;
	uint16_t tracker;
	struct dot dot;
};

#define STAMP_WIRE_SIZE 26
#define STAMP_TEXT_SIZE 64

bool dot_eq(struct dot a, struct dot b);
int dot_cmp(struct dot a, struct dot b);
int stamp_cmp(const struct stamp *a, const struct stamp *b);
bool stamp_is_zero(const struct stamp *s);
uint64_t stamp_wall_ms(const struct stamp *s);
void stamp_put(struct buf *b, const struct stamp *s);
struct stamp get_stamp(struct cursor *c);
/* The text that scripts carry about, and back. */
char *stamp_format(const struct stamp *s, char out[STAMP_TEXT_SIZE]);
bool stamp_parse(const char *text, struct stamp *out);
#endif
