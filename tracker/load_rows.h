/* tracker/load_rows.h - a store into a registry, on two threads: one reads, checks and makes the rows, the one that asks
 * puts them in their places. Start-up only, blocking. */
#ifndef SHOAL_TRACKER_LOAD_ROWS_H
#define SHOAL_TRACKER_LOAD_ROWS_H
#include "core/registry/registry.h"
#include "core/registry/store.h"

/* All rows of the store. What else it has goes to `rest`, whose functions are called on the other thread and must leave
 * the registry alone; its `row` is not used. The other thread has ended when this returns. */
enum shoal_err load_rows(const struct store_ops *ops, struct store *store, const struct store_sink *rest,
                         struct registry *reg, struct error *e);
#endif
