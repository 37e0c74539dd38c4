/* core/registry/registry_request.c - which commands were carried out already: a retry is applied once. */
#include <string.h>

#include "core/registry/registry_internal.h"

static struct request *find(const struct registry *reg, const struct id16 *id)
{
	struct request *r = NULL;
	HASH_FIND(hh, reg->requests, id->b, sizeof(id->b), r);
	return r;
}

static void forget(struct registry *reg, struct request *r)
{
	HASH_DEL(reg->requests, r);
	free(r);
}

enum shoal_err request_add(struct registry *reg, const struct id16 *id, const struct stamp *stamp, uint64_t now_ms,
                           bool *added)
{
	*added = false;
	if (id16_is_zero(id) || find(reg, id) != NULL)
		return SHOAL_OK;
	struct request *r = try_alloc(sizeof(*r));
	if (r == NULL)
		return SHOAL_EBUSY;
	r->id = *id;
	r->stamp = *stamp;
	r->seen_ms = now_ms;
	HASH_ADD(hh, reg->requests, id, sizeof(r->id), r);
	if (r->hh.tbl == NULL) {
		free(r);
		return SHOAL_EBUSY;
	}
	*added = true;
	if (HASH_COUNT(reg->requests) > REQUESTS_MAX)
		forget(reg, reg->requests);
	return SHOAL_OK;
}

void request_remove(struct registry *reg, const struct id16 *id)
{
	struct request *r = find(reg, id);
	if (r != NULL)
		forget(reg, r);
}

bool registry_known_request(const struct registry *reg, const struct id16 *request, struct stamp *stamp)
{
	const struct request *r = find(reg, request);
	if (r == NULL)
		return false;
	*stamp = r->stamp;
	return true;
}

enum shoal_err registry_load_request(struct registry *reg, const struct record *rec)
{
	bool added;
	return request_add(reg, &rec->request, &rec->stamp, stamp_wall_ms(&rec->stamp), &added);
}

void registry_expire(struct registry *reg, uint64_t wall_ms)
{
	while (reg->requests != NULL && reg->requests->seen_ms + REQUEST_MEMORY_MS <= wall_ms)
		forget(reg, reg->requests);
}

void registry_free_requests(struct registry *reg)
{
	while (reg->requests != NULL)
		forget(reg, reg->requests);
}
