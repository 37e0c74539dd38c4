/* core/registry/deltas.h - rows that more than one manager appends to an op. For the managers only. */
#ifndef SHOAL_REGISTRY_DELTAS_H
#define SHOAL_REGISTRY_DELTAS_H
#include "core/registry/registry.h"

/* Whether another share and a notice about it still fit into the op's record, or a membership. */
bool delta_has_room(const struct op *op);
/* Stops for all shares of a user in a group, or as many as fit; false: there are more. */
bool delta_put_member_stops(const struct registry *reg, struct op *op, const struct id16 *gid, const struct id16 *uid,
                            const struct id16 *by, enum close_reason reason);
void delta_put_share_stop(struct op *op, const struct share_row *s, const struct id16 *by, enum close_reason reason);
#endif
