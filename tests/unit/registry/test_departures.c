/* tests/unit/registry/test_departures.c - who leaves with more shares than one record holds leaves with all of them. */
#include "tests/unit/registry/lab.h"

enum { MANY = 3000 }; /* a record holds about 1,900 */

struct office {
	struct lab *t;
	struct id16 ann, bob, gid;
};

static struct office office_new(void)
{
	struct office o = { .t = lab_new(1) };
	o.ann = lab_user(o.t, "ann");
	o.bob = lab_user(o.t, "bob");
	o.gid = lab_group(o.t, &o.ann, "team");
	lab_member(o.t, &o.ann, &o.gid, &o.bob);
	return o;
}

static void share_many(struct office *o, const struct id16 *uid, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct id16 fid;
		char name[16];
		bool joined;
		snprintf(name, sizeof(name), "f%u", i);
		CHECK_INT(lab_upload(o->t, uid, 2, &o->gid, name, 1, &fid, &joined), ==, SHOAL_OK);
	}
}

/* Another tracker that hears of everything has the same. */
static void check_shipped(const struct office *o)
{
	struct lab *other = lab_new(2);
	lab_ship(o->t, other);
	CHECK(lab_same(o->t, other));
	lab_free(other);
}

static size_t stop_shares(struct office *o, enum op_kind kind, const struct id16 *by, const struct id16 *who)
{
	size_t records = 0;
	for (;;) {
		lab_begin(o->t, kind);
		group_stop_shares(o->t->reg, &o->t->op, by, &o->gid, who);
		if (op_is_empty(&o->t->op))
			break;
		CHECK(group_is_member(o->t->reg, &o->gid, who)); /* until all are closed */
		lab_apply(o->t);
		records++;
	}
	op_fini(&o->t->op);
	return records;
}

static void who_leaves_leaves_nothing(void)
{
	struct office o = office_new();

	share_many(&o, &o.bob, MANY);
	CHECK_INT(registry_count(o.t->reg, TABLE_SHARE), ==, MANY);
	CHECK_INT(stop_shares(&o, OP_LEAVE_GROUP, &o.bob, &o.bob), >=, 1);
	CHECK_INT(registry_count(o.t->reg, TABLE_SHARE), <=, 1000);
	CHECK_INT(lab_leave(o.t, &o.bob, &o.gid), ==, SHOAL_OK);
	CHECK_INT(registry_count(o.t->reg, TABLE_SHARE), ==, 0);
	lab_member(o.t, &o.ann, &o.gid, &o.bob); /* he comes back with empty hands */
	CHECK_INT(file_count(o.t->reg, &o.gid, NULL), ==, 0);
	check_shipped(&o);
	lab_free(o.t);
}

static void who_is_removed_leaves_nothing(void)
{
	struct office o = office_new();

	share_many(&o, &o.bob, MANY);
	stop_shares(&o, OP_REMOVE_MEMBER, &o.ann, &o.bob);
	CHECK_INT(RUN(o.t, OP_REMOVE_MEMBER,
	              group_remove_member(o.t->reg, &o.t->op, &o.ann, &o.gid, &o.bob, slice_str(""), &o.t->e)),
	          ==, SHOAL_OK);
	CHECK_INT(registry_count(o.t->reg, TABLE_SHARE), ==, 0);
	check_shipped(&o);
	lab_free(o.t);
}

static void few_shares_need_one_record(void)
{
	struct office o = office_new();

	share_many(&o, &o.bob, 900);
	CHECK_INT(stop_shares(&o, OP_LEAVE_GROUP, &o.bob, &o.bob), ==, 0);
	CHECK_INT(lab_leave(o.t, &o.bob, &o.gid), ==, SHOAL_OK);
	CHECK_INT(registry_count(o.t->reg, TABLE_SHARE), ==, 0);
	lab_free(o.t);
}

static void a_deleted_group_leaves_nothing(void)
{
	struct office o = office_new();
	struct id16 cho = lab_user(o.t, "cho"), dan = lab_user(o.t, "dan");
	size_t records = 0;

	share_many(&o, &o.bob, MANY);
	lab_member(o.t, &o.ann, &o.gid, &cho);
	CHECK_INT(lab_join(o.t, &dan, &o.gid), ==, SHOAL_OK);
	lab_begin(o.t, OP_DELETE_GROUP);
	group_sweep(o.t->reg, &o.t->op, &o.ann, &o.gid); /* not deleted yet: nothing to sweep */
	CHECK(op_is_empty(&o.t->op));
	op_fini(&o.t->op);
	CHECK_INT(RUN(o.t, OP_DELETE_GROUP, group_delete(o.t->reg, &o.t->op, &o.ann, &o.gid, &o.t->e)), ==, SHOAL_OK);
	CHECK(!group_lives(o.t->reg, &o.gid));
	for (;; records++) {
		lab_begin(o.t, OP_DELETE_GROUP);
		group_sweep(o.t->reg, &o.t->op, &o.ann, &o.gid);
		if (op_is_empty(&o.t->op))
			break;
		lab_apply(o.t);
	}
	op_fini(&o.t->op);
	CHECK_INT(records, >=, 1);
	CHECK_INT(registry_count(o.t->reg, TABLE_SHARE), ==, 0);
	CHECK_INT(registry_count(o.t->reg, TABLE_MEM), ==, 0);
	check_shipped(&o);
	lab_free(o.t);
}

static void a_file_is_taken_from_all_its_seeders_and_all_are_told(void)
{
	enum { SEEDERS = 700 };
	static struct id16 seeders[SEEDERS];
	struct office o = office_new();
	struct presence presence = { nobody, NULL };
	struct id16 fid;
	char name[16], told[64];
	bool flag;
	size_t records = 0;

	CHECK_INT(lab_upload(o.t, &o.bob, 2, &o.gid, "f", 1, &fid, &flag), ==, SHOAL_OK);
	for (unsigned i = 0; i < SEEDERS; i++) {
		struct id32 device = device_of(100 + i);
		snprintf(name, sizeof(name), "u%u", i);
		seeders[i] = lab_user(o.t, name);
		lab_member(o.t, &o.ann, &o.gid, &seeders[i]);
		CHECK_INT(RUN(o.t, OP_UPDATE_FILE_INFO,
		              file_share(o.t->reg, &o.t->op, &seeders[i], &device, &o.gid, &fid, &o.t->e)),
		          ==, SHOAL_OK);
	}
	for (;; records++) {
		lab_begin(o.t, OP_STOP_SHARE);
		file_stop_others(o.t->reg, &o.t->op, &o.bob, &o.gid, &fid, &presence);
		if (op_is_empty(&o.t->op))
			break;
		lab_apply(o.t);
	}
	op_fini(&o.t->op);
	CHECK_INT(records, >=, 1);
	CHECK_INT(RUN(o.t, OP_STOP_SHARE,
	              file_stop(o.t->reg, &o.t->op, &o.bob, &o.gid, &fid, &presence, &flag, &o.t->e)),
	          ==, SHOAL_OK);
	CHECK(flag);
	CHECK_INT(registry_count(o.t->reg, TABLE_SHARE), ==, 0);
	for (unsigned i = 0; i < SEEDERS; i++)
		CHECK_STR(lab_notices(o.t, &seeders[i], told, sizeof(told)), "share-removed");
	lab_free(o.t);
}

static const struct CMUnitTest tests[] = {
	TEST(who_leaves_leaves_nothing), TEST(who_is_removed_leaves_nothing), TEST(few_shares_need_one_record),
	TEST(a_deleted_group_leaves_nothing), TEST(a_file_is_taken_from_all_its_seeders_and_all_are_told),
};
CHECK_MAIN(tests)
