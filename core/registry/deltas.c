/* core/registry/deltas.c */
#include "core/registry/deltas.h"

enum { ROOM_FOR_ONE = 1200 }; /* a share's stop (130 bytes) and a notice with two names, generously */

bool delta_has_room(const struct op *op)
{
	return op->rows.len + ROOM_FOR_ONE <= RECORD_ROWS_MAX;
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
