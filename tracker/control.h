/* tracker/control.h - DIR/control, the unix socket (0600) through which a running tracker is asked things.
 *
 * A question is one line, the answer is lines until the end: "ok", or "error WORD SENTENCE"; then what was asked for.
 * Whoever can open the data folder may ask. Loop thread only. The client's side is control_ask(): blocking. */
#ifndef SHOAL_TRACKER_CONTROL_H
#define SHOAL_TRACKER_CONTROL_H
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/error.h"

struct loop;
struct control;

enum { CONTROL_LINE_MAX = 4200 }; /* a word and a path */

/* A line came. It is answered by control_answer(), now or later; at most once. */
typedef void control_fn(void *owner, uint64_t question, const char *line);

/* Makes the socket in that folder, which must be locked by the caller: an old one is replaced. NULL and *e: cannot. */
struct control *control_new(struct loop *loop, const char *folder, control_fn *fn, void *owner, struct error *e);
void control_free(struct control *c); /* NULL is fine; the socket goes */

/* SHOAL_OK: "ok" and the text; else the error. Nobody waits for it any more: nothing happens. */
void control_answer(struct control *c, uint64_t question, enum shoal_err rc, const char *sentence, struct slice text);

/* Asks the tracker of that data folder; its text is appended to *out. SHOAL_EOFFLINE: none runs there. What it refuses
 * comes back as that error. No deadline: a backup takes as long as it takes, and who asks can be interrupted. */
enum shoal_err control_ask(const char *folder, const char *line, struct buf *out, struct error *e);
#endif
