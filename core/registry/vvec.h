/* core/registry/vvec.h - a version vector: how far each log is known, without gaps.
 *
 * Log id -> the largest seq up to which all operations of that log have been seen. A log that is not in it counts as 0.
 * Kept sorted by log id, so that equal vectors have equal bytes and hashes. Zero-initialised is empty; vvec_fini()
 * frees. Not thread-safe: hand a copy over. */
#ifndef SHOAL_REGISTRY_VVEC_H
#define SHOAL_REGISTRY_VVEC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/wire/stamp.h"

#define VVEC_LOGS_MAX 32768u /* what a peer may send: 512 KiB */

struct vvec {
	struct dot *entries; /* .seq: contiguous up to there, never 0 */
	size_t n, cap;
};

void vvec_fini(struct vvec *v); /* empty again, and usable */
uint64_t vvec_get(const struct vvec *v, uint64_t log);
bool vvec_covers(const struct vvec *v, struct dot dot);              /* dot.seq <= what is known of its log */
bool vvec_covers_all(const struct vvec *v, const struct vvec *other); /* v >= other in every log */
bool vvec_eq(const struct vvec *a, const struct vvec *b);
/* Operations that v has and other lacks, counted. */
uint64_t vvec_ahead(const struct vvec *v, const struct vvec *other);

/* The larger of what is there and `seq`. SHOAL_EBUSY: no memory, nothing changed. */
enum shoal_err vvec_raise(struct vvec *v, uint64_t log, uint64_t seq);
/* Room for that many logs more: raising them cannot fail then. */
enum shoal_err vvec_reserve(struct vvec *v, size_t more);
/* Sets an entry back, for undo: never fails, never makes an entry; seq 0 removes it. */
void vvec_lower(struct vvec *v, uint64_t log, uint64_t seq);
/* The larger of both in every log. SHOAL_EBUSY: nothing changed. */
enum shoal_err vvec_merge(struct vvec *v, const struct vvec *other);
enum shoal_err vvec_copy(struct vvec *out, const struct vvec *v); /* out: what it held is freed */

/* u32 n, then n times u64 log, u64 seq, rising. */
void vvec_put(struct buf *b, const struct vvec *v);
/* SHOAL_EPROTO: not rising, a zero, more than VVEC_LOGS_MAX; SHOAL_EBUSY: no memory. *out (zeroed or finished by the
 * caller) is filled only with SHOAL_OK. */
enum shoal_err vvec_read(struct cursor *c, struct vvec *out);
uint64_t vvec_hash(const struct vvec *v); /* first 8 bytes of the SHA-256 of its wire form */
#endif
