/* core/net/answers.h - what other threads have to tell a net_env: computations done, commits, bulk data.
 *
 * Loop thread only, except answers_post(). */
#ifndef SHOAL_NET_ANSWERS_H
#define SHOAL_NET_ANSWERS_H
#include <stdint.h>

#include "core/base/env.h"
#include "core/base/error.h"
#include "core/base/workers.h"
#include "core/net/loop.h"

struct answers;

typedef void answers_fn(void *arg, const struct env_event *ev); /* on the loop thread; borrowed for the call */

/* NULL: no memory. `workers` may be NULL: answers_work() then refuses. */
struct answers *answers_new(struct loop *loop, struct workers *workers, answers_fn *fn, void *arg);
/* Nothing may be under way any more. content_free: for what nobody has received; NULL if nothing is ever read. */
void answers_free(struct answers *a, void (*content_free)(struct content_op *op)); /* NULL is fine */

/* As env->work: takes over what the job holds if SHOAL_OK. Content is verified by the store, not here: EUSAGE. */
enum shoal_err answers_work(struct answers *a, const struct env_work *job, uint64_t cookie);
/* Any thread. Aborts the program when there is no memory. `op` is handed on. */
void answers_post(struct answers *a, enum env_event_type type, uint64_t cookie, enum shoal_err result,
                  struct content_op *op);
#endif
