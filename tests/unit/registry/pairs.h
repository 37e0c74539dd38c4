/* tests/unit/registry/pairs.h - two operations on two sides of a partition: the cells of docs/sync.md's table.
 *
 * Both sides know ann, bob and cho, the group 'team' of ann's with the member bob and cho's request, and the file
 * 'plan' that ann shares there. Then they are cut off; `before` may do something on the left only; `left` happens on tracker
 * 1, `right` on tracker 2, four times: either may be the earlier by the clock, and either may be heard of first. A third
 * tracker hears of both in the same order. All must end up the same, and as `expect` says. */
#ifndef SHOAL_TESTS_REGISTRY_PAIRS_H
#define SHOAL_TESTS_REGISTRY_PAIRS_H
#include "tests/unit/registry/lab.h"

#define PAIRS __attribute__((unused)) static

struct world {
	struct lab *a, *b, *c;
	struct id16 ann, bob, cho, gid, fid;
	bool left_first; /* the left side has the earlier stamps */
	struct id16 left, right;         /* what the two made: users, groups, files */
	struct id16 left_gid;            /* groups made by `before` */
	struct id16 zoe;                 /* user made by `before` */
	struct dot left_dot, right_dot, before_dot; /* sessions */
	char told[256];
};

typedef void step_fn(struct world *w, struct lab *on);
typedef void expect_fn(struct world *w, struct lab *t);

enum { ANN_DEVICE = 1, BOB_DEVICE = 2, CHO_DEVICE = 3, ZOE_DEVICE = 4 };

PAIRS struct world world_new(void)
{
	struct world w = { .a = lab_new(1), .b = lab_new(2), .c = lab_new(3) };
	bool joined;

	w.ann = lab_user(w.a, "ann");
	w.bob = lab_user(w.a, "bob");
	w.cho = lab_user(w.a, "cho");
	w.gid = lab_group(w.a, &w.ann, "team");
	lab_member(w.a, &w.ann, &w.gid, &w.bob);
	CHECK_INT(lab_join(w.a, &w.cho, &w.gid), ==, SHOAL_OK);
	CHECK_INT(lab_upload(w.a, &w.ann, ANN_DEVICE, &w.gid, "plan", 1, &w.fid, &joined), ==, SHOAL_OK);
	return w;
}

PAIRS void world_free(struct world *w)
{
	lab_free(w->a);
	lab_free(w->b);
	lab_free(w->c);
}

/* Everybody hears of everything; the first exchange between the two sides goes that way. */
PAIRS void world_heal(struct world *w, bool left_heard_first)
{
	struct lab *first = left_heard_first ? w->a : w->b, *second = left_heard_first ? w->b : w->a;

	lab_ship(first, w->c);
	lab_ship(second, w->c);
	lab_ship(first, second);
	for (int round = 0; round < 2; round++) {
		lab_meet(w->a, w->b);
		lab_meet(w->b, w->c);
		lab_meet(w->c, w->a);
	}
	CHECK(vvec_eq(registry_vector(w->a->reg), registry_vector(w->b->reg)));
	CHECK(lab_same(w->a, w->b));
	CHECK(lab_same(w->b, w->c));
}

struct pair {
	step_fn *shared;  /* what both sides know beside the usual; may be NULL */
	step_fn *before;  /* on the left only; may be NULL */
	step_fn *left, *right;
	expect_fn *expect;
};

PAIRS void pair_run(const struct pair *p)
{
	for (int variant = 0; variant < 4; variant++) {
		struct world w = world_new();
		w.left_first = (variant & 1) != 0;
		if (p->shared != NULL)
			p->shared(&w, w.a);
		lab_ship(w.a, w.b);
		w.b->wall_ms = w.a->wall_ms;
		(w.left_first ? w.b : w.a)->wall_ms += 100000;
		if (p->before != NULL)
			p->before(&w, w.a);
		p->left(&w, w.a);
		p->right(&w, w.b);
		world_heal(&w, (variant & 2) != 0);
		p->expect(&w, w.a);
		p->expect(&w, w.b);
		p->expect(&w, w.c);
		world_free(&w);
	}
}

/* PAIR(a, b, .left = .., ..): the test of that cell. */
#define PAIR(first, second, ...)                                    \
	static void first##_and_##second(void)                      \
	{                                                           \
		pair_run(&(const struct pair){ __VA_ARGS__ });      \
	}

/* -- what is said of the outcome */
#define TOLD(w, t, uid, kinds) CHECK_STR(lab_notices(t, uid, (w)->told, sizeof((w)->told)), kinds)

PAIRS void nobody_told(struct world *w, struct lab *t)
{
	TOLD(w, t, &w->ann, "");
	TOLD(w, t, &w->bob, "");
	TOLD(w, t, &w->cho, "");
}

/* Of two users of one name the first has it; the other has an alias that resolves to him and is told. */
PAIRS void user_name_went_to(struct world *w, struct lab *t, const char *name, const struct id16 *first,
                             const struct id16 *second)
{
	char shown[NAME_SHOWN_MAX], alias[NAME_SHOWN_MAX];

	CHECK_STR(user_shown(t->reg, first, shown), name);
	CHECK(id16_eq(&user_find(t->reg, slice_str(name))->uid, first));
	name_alias(NAME_USER, name, second->b, alias);
	CHECK_STR(user_shown(t->reg, second, shown), alias);
	CHECK(id16_eq(&user_find(t->reg, slice_str(alias))->uid, second));
	name_alias(NAME_USER, name, first->b, alias);
	CHECK(id16_eq(&user_find(t->reg, slice_str(alias))->uid, first));
	CHECK(strstr(lab_notices(t, second, w->told, sizeof(w->told)), "name-lost-user") != NULL);
	CHECK(strstr(lab_notices(t, first, w->told, sizeof(w->told)), "name-lost-user") == NULL);
}

PAIRS void group_name_went_to(struct world *w, struct lab *t, const char *name, const struct id16 *first,
                              const struct id16 *second)
{
	char shown[NAME_SHOWN_MAX], alias[NAME_SHOWN_MAX];
	struct id16 owner;

	CHECK_STR(group_shown(t->reg, first, shown), name);
	CHECK(id16_eq(&group_find(t->reg, slice_str(name))->gid, first));
	name_alias(NAME_GROUP, name, second->b, alias);
	CHECK_STR(group_shown(t->reg, second, shown), alias);
	CHECK(id16_eq(&group_find(t->reg, slice_str(alias))->gid, second));
	name_alias(NAME_GROUP, name, first->b, alias);
	CHECK(id16_eq(&group_find(t->reg, slice_str(alias))->gid, first));
	CHECK(group_owner(t->reg, second, &owner));
	CHECK(strstr(lab_notices(t, &owner, w->told, sizeof(w->told)), "name-lost-group") != NULL);
}

PAIRS unsigned seeders_of(struct lab *t, const struct id16 *gid, const struct id16 *fid)
{
	struct seeder *list;
	size_t n;
	CHECK_INT(file_seeders(t->reg, gid, fid, NULL, &list, &n), ==, SHOAL_OK);
	free(list);
	return (unsigned)n;
}

/* Everything of 'team' and 'plan' is as it was. */
PAIRS void team_is_untouched(struct world *w, struct lab *t)
{
	CHECK(group_is_owner(t->reg, &w->gid, &w->ann));
	CHECK(group_is_member(t->reg, &w->gid, &w->bob));
	CHECK(group_has_asked(t->reg, &w->gid, &w->cho));
	CHECK_INT(seeders_of(t, &w->gid, &w->fid), ==, 1);
}

/* -- steps */
PAIRS enum shoal_err do_stop(struct lab *on, const struct id16 *uid, const struct id16 *gid, const struct id16 *fid,
                             bool (*online)(void *ctx, const struct id16 *uid, const struct id32 *device))
{
	struct presence presence = { online, NULL };
	bool removed;
	return RUN(on, OP_STOP_SHARE, file_stop(on->reg, &on->op, uid, gid, fid, &presence, &removed, &on->e));
}

PAIRS enum shoal_err do_share(struct lab *on, const struct id16 *uid, unsigned device, const struct id16 *gid,
                              const struct id16 *fid)
{
	struct id32 d = device_of(device);
	return RUN(on, OP_UPDATE_FILE_INFO, file_share(on->reg, &on->op, uid, &d, gid, fid, &on->e));
}

PAIRS struct id16 do_upload(struct lab *on, const struct id16 *uid, unsigned device, const struct id16 *gid,
                            const char *name, unsigned content)
{
	struct id16 fid;
	bool joined;
	CHECK_INT(lab_upload(on, uid, device, gid, name, content, &fid, &joined), ==, SHOAL_OK);
	return fid;
}

#define OK(call) CHECK_INT(call, ==, SHOAL_OK)

PAIRS void ann_logs_in(struct world *w, struct lab *on) { w->left_dot = lab_login(on, &w->ann, ANN_DEVICE); }
PAIRS void bob_logs_in(struct world *w, struct lab *on) { w->right_dot = lab_login(on, &w->bob, BOB_DEVICE); }
PAIRS void bob_was_logged_in(struct world *w, struct lab *on) { w->before_dot = lab_login(on, &w->bob, BOB_DEVICE); }
PAIRS void bob_logs_out(struct world *w, struct lab *on)
{
	OK(RUN(on, OP_LOGOUT, user_logout(on->reg, &on->op, &w->bob, w->before_dot, &on->e)));
}
PAIRS void cho_accepted(struct world *w, struct lab *on) { OK(lab_accept(on, &w->ann, &w->gid, &w->cho)); }
PAIRS void cho_withdraws(struct world *w, struct lab *on) { OK(lab_leave(on, &w->cho, &w->gid)); }
PAIRS void bob_leaves(struct world *w, struct lab *on) { OK(lab_leave(on, &w->bob, &w->gid)); }
PAIRS void ann_leaves(struct world *w, struct lab *on) { OK(lab_leave(on, &w->ann, &w->gid)); }
PAIRS void bob_shares(struct world *w, struct lab *on) { OK(do_share(on, &w->bob, BOB_DEVICE, &w->gid, &w->fid)); }
PAIRS void ann_stops(struct world *w, struct lab *on) { OK(do_stop(on, &w->ann, &w->gid, &w->fid, everybody)); }
PAIRS void bob_stops(struct world *w, struct lab *on) { OK(do_stop(on, &w->bob, &w->gid, &w->fid, everybody)); }
/* A second group, for what the pair does beside 'team'. */
PAIRS void bob_makes_club(struct world *w, struct lab *on) { w->right = lab_group(on, &w->bob, "club"); }
PAIRS void bob_uploads_notes(struct world *w, struct lab *on)
{
	w->right = do_upload(on, &w->bob, BOB_DEVICE, &w->gid, "notes", 7);
}
#endif
