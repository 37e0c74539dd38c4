/* core/registry/deltas.h - rows that more than one manager appends to an op. For the managers only. */
#ifndef SHOAL_REGISTRY_DELTAS_H
#define SHOAL_REGISTRY_DELTAS_H
#include "core/registry/registry.h"

/* Whether another share and a notice about it still fit into the op's record. */
bool delta_has_room(const struct op *op);
void delta_put_share_stop(struct op *op, const struct share_row *s, const struct id16 *by, enum close_reason reason);
#endif
