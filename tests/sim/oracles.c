/* tests/sim/oracles.c */
#include "tests/sim/oracles.h"

#include "tests/sim/effects.h"
#include "tests/sim/model.h"

bool oracles_digests(const struct site *sites, size_t n, struct verdict *v)
{
	for (size_t i = 1; i < n; i++)
		for (unsigned table = TABLE_USER; table < TABLE_END; table++) {
			struct digest a = registry_digest(sites[0].reg, table), b = registry_digest(sites[i].reg, table);
			if (!digest_eq(a, b))
				return verdict_fail(v, "agreement", "table %s of trackers 1 and %u differs (%llu and %llu rows) "
				                    "at equal vectors", table_word(table), sites[i].id,
				                    (unsigned long long)a.count, (unsigned long long)b.count);
		}
	return true;
}

bool oracles_model(const struct site *sites, size_t n, const struct history *h, struct verdict *v)
{
	struct model m = { 0 };
	bool ok = true;

	model_fold(&m, h, registry_durable_vector(sites[0].reg), v);
	for (size_t i = 0; i < n && ok; i++)
		ok = model_check_rows(&m, sites[i].reg, sites[i].id, v) &&
		     model_check_views(&m, sites[i].reg, sites[i].id, v) &&
		     effects_check_names(sites[i].reg, sites[i].id, v);
	model_free(&m);
	return ok && v->oracle == NULL;
}
