/* core/registry/deltas.c */
#include "core/registry/deltas.h"

enum { ROOM_FOR_ONE = 1200 }; /* a share's stop (130 bytes) and a notice with two names, generously */

bool delta_has_room(const struct op *op)
{
	return op->rows.len + ROOM_FOR_ONE <= RECORD_ROWS_MAX;
}

bool delta_put_member_stops(const struct registry *reg, struct op *op, const struct id16 *gid, const struct id16 *uid,
                            const struct id16 *by, enum close_reason reason)
{
	struct registry_iter shares = registry_by(reg, INDEX_MEMBER_SHARES, gid->b, 16, uid->b, 16);
	const struct share_row *s;

	while ((s = registry_next(&shares)) != NULL) {
		if (!delta_has_room(op))
			return false;
		delta_put_share_stop(op, s, by, reason);
	}
	return true;
}

void delta_put_share_stop(struct op *op, const struct share_row *s, const struct id16 *by, enum close_reason reason)
{
	struct closing stop = { .at = op->stamp, .by = *by, .reason = reason };
	uint8_t packed[SHARE_KEY_SIZE];
	struct row_build rb;

	share_key_pack(&s->key, packed);
	row_begin(&rb, &op->rows, TABLE_SHARE, packed, sizeof(packed));
	row_put_u8(&rb, SHARE_PHASE, PHASE_CLOSED);
	row_put_closing(&rb, SHARE_STOP, &stop);
	row_end(&rb);
}
