/* client/meta.h - the metainfo of a file to be downloaded: from the cache, or in chunks from the tracker.
 *
 * Engine thread. Nothing is handed out before its content id is verified. Loading, verifying and saving happen on the
 * pool. */
#ifndef SHOAL_CLIENT_META_H
#define SHOAL_CLIENT_META_H
#include "client/transfer_impl.h"

struct meta_fetch;

struct meta_wanted {
	struct id16 gid, fid;
	uint64_t size;
	uint32_t piece_size;
	struct id32 file_hash, content;
};

/* Called once, never from within meta_fetch_start(): *meta is the callee's to free, or NULL with the reason in e. */
typedef void meta_fn(void *arg, struct metainfo *meta, const struct error *e);

/* NULL and *e set: refused (size, piece size) or no memory. */
struct meta_fetch *meta_fetch_start(struct transfers *t, const struct meta_wanted *wanted, meta_fn *fn, void *arg,
                                    struct error *e);
/* fn is not called any more. It frees itself when nothing of it is out. NULL is fine. */
void meta_fetch_cancel(struct meta_fetch *mf);
/* Chunks that have come, for job:explain(). */
uint32_t meta_fetch_have(const struct meta_fetch *mf, uint32_t *of);
#endif
