/* tests/unit/registry/test_triples.c - three operations on three sides of a partition: all of them, in every order and
 * every grouping.
 *
 * Three trackers know the same (pairs.h); each then does one of STEPS, the first at the earliest time. All ordered triples
 * are tried. What must be the same: registries that hear the three records in each of the six orders, and registries to
 * which two trackers' sum comes as a snapshot, whichever two. What must hold, asked without the code that merges: who
 * left is out, who was accepted and did not withdraw is in, what was made is there, a name shows one thing. */
#include "tests/unit/registry/pairs.h"

/* -- the steps; each is allowed in the world as it is */

static enum shoal_err step_create_user(struct world *w, struct lab *on)
{
	struct id16 uid;
	(void)w;
	return RUN(on, OP_CREATE_USER, user_create(on->reg, &on->op, slice_str("zoe"), slice_str("p"), &uid, &on->e));
}

static enum shoal_err step_login(struct world *w, struct lab *on)
{
	struct id32 device = device_of(BOB_DEVICE);
	return RUN(on, OP_LOGIN, user_login(on->reg, &on->op, &w->bob, &device, 8, &on->e));
}

static enum shoal_err step_logout(struct world *w, struct lab *on)
{
	return RUN(on, OP_LOGOUT, user_logout(on->reg, &on->op, &w->bob, w->before_dot, &on->e));
}

static enum shoal_err step_change_password(struct world *w, struct lab *on)
{
	struct id32 device = device_of(BOB_DEVICE);
	return RUN(on, OP_CHANGE_PASSWORD,
	           user_change_password(on->reg, &on->op, &w->bob, &device, slice_str("q"), &on->e));
}

static enum shoal_err make_club(struct lab *on, const struct id16 *uid)
{
	struct id16 gid;
	return RUN(on, OP_CREATE_GROUP, group_create(on->reg, &on->op, uid, slice_str("club"), &gid, &on->e));
}

static enum shoal_err step_create_group(struct world *w, struct lab *on) { return make_club(on, &w->ann); }
static enum shoal_err step_join(struct world *w, struct lab *on) { return lab_join(on, &w->zoe, &w->gid); }
static enum shoal_err step_accept(struct world *w, struct lab *on) { return lab_accept(on, &w->ann, &w->gid, &w->cho); }
static enum shoal_err step_withdraw(struct world *w, struct lab *on) { return lab_leave(on, &w->cho, &w->gid); }
static enum shoal_err step_reject(struct world *w, struct lab *on)
{
	return RUN(on, OP_REJECT_REQUEST,
	           group_reject(on->reg, &on->op, &w->ann, &w->gid, &w->cho, slice_str("no"), &on->e));
}
static enum shoal_err step_member_leaves(struct world *w, struct lab *on) { return lab_leave(on, &w->bob, &w->gid); }
static enum shoal_err step_owner_leaves(struct world *w, struct lab *on) { return lab_leave(on, &w->ann, &w->gid); }
static enum shoal_err step_remove(struct world *w, struct lab *on)
{
	return RUN(on, OP_REMOVE_MEMBER,
	           group_remove_member(on->reg, &on->op, &w->ann, &w->gid, &w->bob, slice_str(""), &on->e));
}
static enum shoal_err step_transfer(struct world *w, struct lab *on)
{
	return RUN(on, OP_TRANSFER_GROUP, group_transfer(on->reg, &on->op, &w->ann, &w->gid, &w->bob, &on->e));
}
static enum shoal_err step_give_role(struct world *w, struct lab *on)
{
	return RUN(on, OP_SET_ROLE, group_set_role(on->reg, &on->op, &w->ann, &w->gid, &w->bob, ROLE_ADMIN, &on->e));
}
static enum shoal_err step_delete(struct world *w, struct lab *on)
{
	return RUN(on, OP_DELETE_GROUP, group_delete(on->reg, &on->op, &w->ann, &w->gid, &on->e));
}

static enum shoal_err upload(struct world *w, struct lab *on, const struct id16 *uid, unsigned device, unsigned content)
{
	struct id16 fid;
	bool joined;
	return lab_upload(on, uid, device, &w->gid, "draft", content, &fid, &joined);
}

static enum shoal_err step_upload(struct world *w, struct lab *on) { return upload(w, on, &w->ann, ANN_DEVICE, 3); }
static enum shoal_err step_upload_other(struct world *w, struct lab *on) { return upload(w, on, &w->bob, BOB_DEVICE, 4); }
static enum shoal_err step_share(struct world *w, struct lab *on)
{
	return do_share(on, &w->bob, 9, &w->gid, &w->fid);
}
static enum shoal_err step_stop(struct world *w, struct lab *on)
{
	return do_stop(on, &w->ann, &w->gid, &w->fid, everybody);
}
static enum shoal_err step_stop_as_the_last(struct world *w, struct lab *on)
{
	return do_stop(on, &w->bob, &w->gid, &w->fid, nobody);
}

#define STEPS(X)                                                                                                \
	X(create_user) X(login) X(logout) X(change_password) X(create_group) X(join) X(accept) X(withdraw)      \
	X(reject) X(member_leaves) X(owner_leaves) X(remove) X(transfer) X(delete) X(upload) X(upload_other)    \
	X(share) X(stop) X(stop_as_the_last) X(give_role)

enum {
#define X(name) STEP_##name,
	STEPS(X)
#undef X
	N_STEPS
};

static const struct {
	const char *name;
	enum shoal_err (*run)(struct world *w, struct lab *on);
} steps[] = {
#define X(name) { #name, step_##name },
	STEPS(X)
#undef X
};

/* -- one triple */

struct triple {
	unsigned step[3];
	const struct buf *rec[3];
};

static void apply(struct registry *reg, const struct buf *record)
{
	struct undo *undo = NULL;
	CHECK_INT(registry_apply(reg, slice_of(record->data, record->len), 1, NULL, &undo), ==, SHOAL_OK);
	registry_commit_done(reg, undo);
	CHECK_INT(registry_apply(reg, slice_of(record->data, record->len), 1, NULL, &undo), ==, SHOAL_EEXISTS);
}

static struct registry *registry_with(const struct world *w, const struct triple *t, const unsigned *which, size_t n)
{
	struct registry *reg = registry_new(9, 0x9009);
	for (size_t i = 0; i < w->a->n; i++) {
		struct undo *undo = NULL;
		CHECK_INT(registry_apply(reg, slice_of(w->a->records[i]->data, w->a->records[i]->len), 1, NULL, &undo), ==,
		          SHOAL_OK);
		registry_commit_done(reg, undo);
	}
	for (size_t i = 0; i < n; i++)
		apply(reg, t->rec[which[i]]);
	return reg;
}

static bool same_state(const struct registry *a, const struct registry *b)
{
	for (unsigned table = TABLE_USER; table < TABLE_END; table++)
		if (table != TABLE_NOTICE && !digest_eq(registry_digest(a, table), registry_digest(b, table)))
			return false;
	return vvec_eq(registry_vector(a), registry_vector(b));
}

static bool did(const struct triple *t, unsigned step)
{
	return t->step[0] == step || t->step[1] == step || t->step[2] == step;
}

/* Exactly one of those that live under a name shows as the name itself. */
static void check_names(const struct registry *reg)
{
	struct registry_iter it = registry_all(reg, TABLE_USER);
	char shown[NAME_SHOWN_MAX];
	const struct user_row *user;
	const struct group_row *group;
	unsigned plain = 0, lives = 0;

	while ((user = registry_next(&it)) != NULL) {
		plain += slice_eq_str(user->name, "zoe") && strcmp(user_shown(reg, &user->uid, shown), "zoe") == 0;
		lives += slice_eq_str(user->name, "zoe");
		CHECK(id16_eq(&user_find(reg, slice_str(user_shown(reg, &user->uid, shown)))->uid, &user->uid));
	}
	CHECK_INT(plain, ==, lives != 0);
	it = registry_all(reg, TABLE_GROUP);
	for (plain = lives = 0; (group = registry_next(&it)) != NULL;) {
		bool club = slice_eq_str(group->name, "club") && group_lives(reg, &group->gid);
		plain += club && strcmp(group_shown(reg, &group->gid, shown), "club") == 0;
		lives += club;
	}
	CHECK_INT(plain, ==, lives != 0);
}

/* Says which triple it was, when it fails. */
#define HOLDS(t, condition)                                                                                         \
	do {                                                                                                        \
		if (!(condition)) {                                                                                 \
			char text_[300];                                                                            \
			snprintf(text_, sizeof(text_), "%s: after %s, %s, %s", #condition, steps[(t)->step[0]].name, \
			         steps[(t)->step[1]].name, steps[(t)->step[2]].name);                               \
			check_that(false, text_, __FILE__, __LINE__);                                              \
		}                                                                                                   \
	} while (0)

static void check_effects(const struct world *w, const struct triple *t, const struct registry *reg)
{
	struct id16 owner;
	unsigned n = 0;
	bool bob_out = did(t, STEP_member_leaves) || did(t, STEP_remove);
	bool cho_in = did(t, STEP_accept) && !did(t, STEP_withdraw) && !did(t, STEP_reject);
	bool ended = did(t, STEP_delete) || (did(t, STEP_owner_leaves) && bob_out && !cho_in);

	for (unsigned i = 0; i < 3; i++)
		n += t->step[i] == STEP_create_user;
	HOLDS(t, (registry_count(reg, TABLE_USER)) == (4 + n));
	HOLDS(t, (group_lives(reg, &w->gid)) == (!ended));
	HOLDS(t, (group_is_member(reg, &w->gid, &w->bob)) == (!bob_out && !did(t, STEP_delete)));
	HOLDS(t, (group_is_member(reg, &w->gid, &w->cho)) == (cho_in && !did(t, STEP_delete)));
	HOLDS(t, (group_is_member(reg, &w->gid, &w->ann)) == (!did(t, STEP_owner_leaves) && !did(t, STEP_delete)));
	if (group_owner(reg, &w->gid, &owner)) {
		HOLDS(t, group_is_member(reg, &w->gid, &owner));
		if (!bob_out && (did(t, STEP_transfer) || did(t, STEP_owner_leaves)))
			HOLDS(t, id16_eq(&owner, &w->bob));
		else if (!did(t, STEP_owner_leaves))
			HOLDS(t, id16_eq(&owner, &w->ann));
	}
	if (did(t, STEP_give_role) && !bob_out && !did(t, STEP_delete))
		HOLDS(t, group_is_admin(reg, &w->gid, &w->bob));
	if (did(t, STEP_login) && !did(t, STEP_change_password))
		HOLDS(t, (registry_count(reg, TABLE_SESS)) >= (1));
	if (did(t, STEP_join) && !did(t, STEP_delete) && !ended)
		HOLDS(t, group_has_asked(reg, &w->gid, &w->zoe));
	if (did(t, STEP_upload) && !ended && !did(t, STEP_owner_leaves))
		HOLDS(t, file_find(reg, &w->gid, slice_str("draft")) != NULL);
	if (did(t, STEP_share) && !ended && !bob_out) {
		struct id32 device = device_of(9);
		HOLDS(t, file_shared_by(reg, &w->gid, &w->fid, &w->bob, &device));
	}
	check_names(reg);
}

static void check_orders(const struct world *w, const struct triple *t)
{
	static const unsigned orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	struct registry *first = registry_with(w, t, orders[0], 3);

	check_effects(w, t, first);
	for (size_t i = 1; i < COUNT_OF(orders); i++) {
		struct registry *reg = registry_with(w, t, orders[i], 3);
		HOLDS(t, same_state(first, reg));
		registry_free(reg);
	}
	/* Groupings: two of them first, then their sum as a snapshot to the third; and the third's to theirs. */
	for (size_t i = 0; i < 3; i++) {
		const unsigned two[2] = { (unsigned)(i + 1) % 3, (unsigned)(i + 2) % 3 }, one[1] = { (unsigned)i };
		for (int way = 0; way < 2; way++) {
			struct registry *from = way == 0 ? registry_with(w, t, two, 2) : registry_with(w, t, one, 1);
			struct registry *to = way == 0 ? registry_with(w, t, one, 1) : registry_with(w, t, two, 2);
			struct registry_cut *cut = registry_cut_new(from);
			struct undo *undo = NULL;
			HOLDS(t, registry_apply_snapshot(to, cut->rows, cut->n, &cut->vector, cut->hlc, 1, NULL, &undo) == SHOAL_OK);
			registry_commit_done(to, undo);
			HOLDS(t, same_state(first, to));
			registry_cut_free(cut);
			registry_free(from);
			registry_free(to);
		}
	}
	registry_free(first);
}

static struct world world_of_triples(void)
{
	struct world w = world_new();
	w.before_dot = lab_login(w.a, &w.bob, BOB_DEVICE);
	w.zoe = lab_user(w.a, "dan");
	OK(do_share(w.a, &w.bob, BOB_DEVICE, &w.gid, &w.fid));
	return w;
}

static void run_triple(struct world *w, struct triple *t)
{
	struct lab *sides[3];

	for (unsigned i = 0; i < 3; i++) {
		sides[i] = lab_new((uint16_t)(10 + i));
		lab_ship(w->a, sides[i]);
		size_t known = sides[i]->n;
		sides[i]->wall_ms = w->a->wall_ms + 1000 * (i + 1);
		CHECK_INT(steps[t->step[i]].run(w, sides[i]), ==, SHOAL_OK);
		CHECK_INT(sides[i]->n, >=, known + 1);
		t->rec[i] = sides[i]->records[known];
	}
	check_orders(w, t);
	for (unsigned i = 0; i < 3; i++)
		lab_free(sides[i]);
}

static void all_triples_in_all_orders_and_groupings(void)
{
	struct world w = world_of_triples();
	unsigned n = 0;

	for (unsigned i = 0; i < N_STEPS; i++)
		for (unsigned j = 0; j < N_STEPS; j++)
			for (unsigned k = 0; k < N_STEPS; k++, n++) {
				struct triple t = { .step = { i, j, k } };
				run_triple(&w, &t);
			}
	printf("# %u triples, 6 orders and 6 groupings each\n", n);
	CHECK_INT(n, ==, N_STEPS * N_STEPS * N_STEPS);
	world_free(&w);
}

static const struct CMUnitTest tests[] = {
	TEST(all_triples_in_all_orders_and_groupings),
};
CHECK_MAIN(tests)
