/* core/swarm/swarm_record.c - what is remembered of identities with strikes, and who is banned. */
#include "core/base/mem.h"
#include "core/swarm/swarm_internal.h"

struct record *record_find(const struct swarm *sw, const struct id32 *identity)
{
	for (uint32_t i = 0; i < sw->nrecords; i++)
		if (id32_eq(&sw->records[i].identity, identity))
			return &sw->records[i];
	return NULL;
}

void record_keep(struct swarm *sw, const struct swarm_peer *peer, uint64_t banned_until_us)
{
	struct record *r = record_find(sw, &peer->identity);

	if (r == NULL && sw->nrecords == sw->records_cap && sw->records_cap < RECORDS_MAX) {
		uint32_t cap = sw->records_cap != 0 ? sw->records_cap * 2 : 16;
		struct record *more = try_realloc(sw->records, cap * sizeof(*more));
		if (more != NULL) {
			sw->records = more;
			sw->records_cap = cap;
		}
	}
	if (r == NULL && sw->nrecords < sw->records_cap)
		r = &sw->records[sw->nrecords++];
	else if (r == NULL && sw->nrecords != 0)
		r = &sw->records[sw->records_next++ % sw->nrecords];
	if (r == NULL)
		return; /* no memory: forgiven */
	*r = (struct record){ .identity = peer->identity,
		              .silences = peer->silences,
		              .bad = peer->bad,
		              .banned_until_us = banned_until_us,
		              .reason = peer->drop };
}

enum swarm_reason swarm_banned(const struct swarm *sw, const struct id32 *identity, uint64_t now_us, uint64_t *until_us)
{
	const struct record *r = record_find(sw, identity);

	if (r == NULL || now_us >= r->banned_until_us)
		return SWARM_FINE;
	if (until_us != NULL)
		*until_us = r->banned_until_us;
	return r->reason;
}
