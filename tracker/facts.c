/* tracker/facts.c - how the trackers are, as this one sees them: for trackers(), the console and --status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/name.h"
#include "tracker/core.h"

static struct tracker_fact own_fact(struct tracker *t)
{
	struct tracker_fact f = { .id = t->config.self, .addr = t->addr, .state = "self", .clock_known = true };
	struct error e = { 0 };

	snprintf(f.version, sizeof(f.version), "%s", t->config.version);
	if (sync_joining(t->sync)) {
		f.state = "joining";
	} else if (sync_check_writable(t->sync, &e) != SHOAL_OK || commit_check_writable(t->commit, &e) != SHOAL_OK) {
		f.state = "read-only";
		snprintf(f.reason, sizeof(f.reason), "%.*s", (int)sizeof(f.reason) - 1, e.message);
	}
	return f;
}

static struct tracker_fact other_fact(const struct sync_status *st)
{
	static const char *const words[] = { [SYNC_DIGEST_UNKNOWN] = "", [SYNC_DIGEST_EQUAL] = "equal",
		                             [SYNC_DIGEST_DIFFERS] = "differ" };
	struct tracker_fact f = { .id = st->id,
		                  .addr = st->addr,
		                  .state = st->state,
		                  .behind = st->behind,
		                  .contact_ms = st->contact_ms,
		                  .clock_known = st->clock_known,
		                  .clock_offset_ms = st->clock_offset_ms,
		                  .rows = words[st->digests] };

	memcpy(f.version, st->version, sizeof(f.version));
	memcpy(f.reason, st->reason, sizeof(f.reason));
	return f;
}

static int by_id(const void *a, const void *b)
{
	const struct tracker_fact *x = a, *y = b;
	return (x->id > y->id) - (x->id < y->id);
}

struct tracker_fact *tracker_facts(struct tracker *t, size_t *n)
{
	size_t others = sync_peer_count(t->sync);
	struct sync_status *status = try_alloc((others + 1) * sizeof(*status));
	struct tracker_fact *facts = try_alloc((others + 1) * sizeof(*facts));

	if (status == NULL || facts == NULL) {
		free(status);
		free(facts);
		return NULL;
	}
	others = sync_status(t->sync, status, others);
	facts[0] = own_fact(t);
	for (size_t i = 0; i < others; i++)
		facts[i + 1] = other_fact(&status[i]);
	free(status);
	qsort(facts + 1, others, sizeof(*facts), by_id);
	*n = others + 1;
	return facts;
}

void tracker_fact_print(struct buf *out, const struct tracker_fact *f)
{
	char address[ADDRESS_MAX], reason[2 * sizeof(f->reason)];

	buf_printf(out, "tracker %u at %s: %s", f->id, address_format(&f->addr, address), f->state);
	if (strcmp(f->state, "self") != 0 && f->contact_ms == UINT64_MAX)
		buf_printf(out, ", never heard");
	else if (f->contact_ms != 0)
		buf_printf(out, ", %llu operations behind, heard %.1f s ago", (unsigned long long)f->behind,
		           (double)f->contact_ms / 1000);
	if (f->contact_ms != 0 && f->clock_known)
		buf_printf(out, ", its clock %+.3f s", (double)f->clock_offset_ms / 1000);
	if (f->rows != NULL && f->rows[0] != '\0')
		buf_printf(out, ", its rows %s", f->rows);
	if (f->reason[0] != '\0')
		buf_printf(out, ": %s", text_escape(f->reason, strlen(f->reason), reason, sizeof(reason)));
	buf_printf(out, "\n");
}
