/* tests/unit/registry/test_registry.c - one state whatever the order; undone without a trace; the rules about dots. */
#include <time.h>

#include "core/registry/store_mem.h"
#include "tests/unit/registry/random_ops.h"

/* -- what a registry holds, in one number: rows, digests, vector, indexes, views */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
	return h * 0xff51afd7ed558ccdu;
}

static uint64_t text_hash(const char *s)
{
	uint64_t h = 1;
	for (; *s != '\0'; s++)
		h = mix(h, (uint8_t)*s);
	return h;
}

static uint64_t views_of(const struct registry *reg)
{
	struct registry_iter it = registry_all(reg, TABLE_USER);
	const struct user_row *user;
	const struct group_row *group;
	char shown[NAME_SHOWN_MAX];
	uint64_t sum = 0;

	while ((user = registry_next(&it)) != NULL) {
		struct registry_iter mine = registry_by(reg, INDEX_USER_SESSIONS, user->uid.b, 16, NULL, 0);
		while (registry_next(&mine) != NULL)
			sum++;
		sum += text_hash(user_shown(reg, &user->uid, shown));
	}
	it = registry_all(reg, TABLE_GROUP);
	while ((group = registry_next(&it)) != NULL) {
		struct id16 owner = { { 0 } };
		group_owner(reg, &group->gid, &owner);
		sum += mix(text_hash(group_shown(reg, &group->gid, shown)), owner.b[3]);
		sum += mix(group_member_count(reg, &group->gid), group_asked_count(reg, &group->gid));
		sum += mix(3, file_count(reg, &group->gid, NULL));
	}
	return sum;
}

static uint64_t state_of(const struct registry *reg)
{
	struct registry_cut *cut = registry_cut_new(reg);
	uint64_t sum = 0;

	CHECK(cut != NULL);
	for (size_t i = 0; i < cut->n; i++)
		sum += mix(7, row_hash(cut->rows[i]));
	sum = mix(sum, cut->n);
	sum = mix(sum, vvec_hash(&cut->vector));
	for (unsigned t = 1; t < TABLE_END; t++) {
		struct digest d = registry_digest(reg, t);
		sum = mix(mix(sum, d.count), d.sum);
	}
	registry_cut_free(cut);
	return mix(sum, views_of(reg));
}

/* Trackers that worked together and apart for a while, and now have all. */
struct crew {
	struct lab *labs[3];
};

static struct crew crew_new(int steps)
{
	struct crew c;

	for (uint16_t i = 0; i < 3; i++)
		c.labs[i] = lab_new((uint16_t)(i + 1));
	for (int step = 0; step < steps; step++) {
		struct lab *lab = c.labs[check_random(3)], *other = c.labs[check_random(3)];
		random_op(lab);
		if (check_random(12) == 0 && lab != other)
			lab_ship(other, lab);
	}
	for (int round = 0; round < 4; round++)
		for (int i = 0; i < 3; i++)
			for (int k = 0; k < 3; k++)
				if (i != k)
					lab_ship(c.labs[i], c.labs[k]);
	return c;
}

static void crew_free(struct crew *c)
{
	for (int i = 0; i < 3; i++)
		lab_free(c->labs[i]);
}

static void trackers_that_have_the_same_ops_are_equal(void)
{
	size_t ops = 0;

	for (int round = 0; round < 25; round++) {
		struct crew c = crew_new(150);
		for (int i = 1; i < 3; i++) {
			CHECK(vvec_eq(registry_vector(c.labs[0]->reg), registry_vector(c.labs[i]->reg)));
			CHECK(lab_same(c.labs[0], c.labs[i]));
			CHECK(state_of(c.labs[0]->reg) == state_of(c.labs[i]->reg));
		}
		ops += c.labs[0]->n;
		crew_free(&c);
	}
	CHECK(ops > 25 * 40); /* the commands are not all refused */
}

/* All records, each log in its order but the logs mixed at random: worse than what links do. Some twice. */
static struct registry *taken_in_any_order(const struct lab *from)
{
	struct registry *reg = registry_new(9, 0x9009);
	size_t left = from->n;

	while (left != 0) {
		const struct buf *b = from->records[check_random((uint32_t)from->n)];
		struct undo *undo = NULL;
		enum shoal_err rc = registry_apply(reg, slice_of(b->data, b->len), 1, NULL, &undo);
		CHECK(rc == SHOAL_OK || rc == SHOAL_EEXISTS || rc == SHOAL_ECONFLICT);
		CHECK((rc == SHOAL_OK) == (undo != NULL));
		if (rc == SHOAL_OK) {
			registry_commit_done(reg, undo);
			left--;
		}
	}
	return reg;
}

static void any_order_gives_the_same_state(void)
{
	for (int round = 0; round < 6; round++) {
		struct crew c = crew_new(120);
		for (int again = 0; again < 3; again++) {
			struct registry *reg = taken_in_any_order(c.labs[0]);
			for (unsigned t = 1; t < TABLE_END; t++)
				CHECK(digest_eq(registry_digest(reg, t), registry_digest(c.labs[0]->reg, t)));
			CHECK(vvec_eq(registry_vector(reg), registry_vector(c.labs[0]->reg)));
			CHECK(state_of(reg) == state_of(c.labs[0]->reg)); /* no closed row is left either */
			registry_free(reg);
		}
		crew_free(&c);
	}
}

/* A plain fold of all rows of all records, without indexes, dots, undo: what is not closed must be the state. */
static void the_state_is_the_fold_of_all_ops(void)
{
	for (int round = 0; round < 6; round++) {
		struct crew c = crew_new(120);
		struct row *rows[8192];
		size_t n = 0;
		struct digest sums[TABLE_END] = { { 0, 0 } };

		for (size_t i = 0; i < c.labs[0]->n; i++) {
			struct record rec;
			CHECK_INT(record_get(slice_of(c.labs[0]->records[i]->data, c.labs[0]->records[i]->len), &rec), ==, SHOAL_OK);
			struct cursor cur = cursor_of(rec.rows.data, rec.rows.len);
			while (cursor_left(&cur) != 0) {
				struct wire_row wire;
				struct row *row = NULL;
				size_t k = 0;
				wire_row_get(&cur, &wire);
				CHECK_INT(row_new(&wire, &row), ==, SHOAL_OK);
				while (k < n && (rows[k]->table != row->table || !slice_eq(row_key(rows[k]), row_key(row))))
					k++;
				if (k == n) {
					CHECK(n < COUNT_OF(rows));
					rows[n++] = row;
					continue;
				}
				struct row *both = row_merge(rows[k], row);
				row_unref(rows[k]);
				row_unref(row);
				rows[k] = both;
			}
		}
		for (size_t k = 0; k < n; k++) {
			if (!row_closed(rows[k])) {
				sums[rows[k]->table].count++;
				sums[rows[k]->table].sum += row_hash(rows[k]);
			}
			row_unref(rows[k]);
		}
		for (unsigned t = 1; t < TABLE_END; t++)
			CHECK(digest_eq(sums[t], registry_digest(c.labs[0]->reg, t)));
		crew_free(&c);
	}
}

/* -- undo */

static void undone_it_never_was(void)
{
	struct crew c = crew_new(80);
	struct lab *ahead = c.labs[0], *behind = c.labs[1];

	for (int i = 0; i < 60; i++)
		random_op(ahead);
	for (int round = 0; round < 40; round++) {
		uint64_t before = state_of(behind->reg);
		struct undo *undos[4] = { NULL };
		size_t at = 0;
		int n = 1 + (int)check_random(4);

		/* n transactions of several foreign records each */
		for (int u = 0; u < n; u++) {
			int wanted = 1 + (int)check_random(8);
			while (wanted > 0 && at < ahead->n) {
				const struct buf *b = ahead->records[at++];
				if (registry_apply(behind->reg, slice_of(b->data, b->len), 1, NULL, &undos[u]) == SHOAL_OK)
					wanted--;
			}
		}
		CHECK(at == ahead->n || state_of(behind->reg) != before);
		int durable = (int)check_random((uint32_t)n + 1);
		if (round % 2 == 0)
			durable = 0;
		for (int u = 0; u < durable; u++)
			registry_commit_done(behind->reg, undos[u]);
		uint64_t kept = durable == 0 ? before : 0;
		for (int u = n - 1; u >= durable; u--)
			registry_undo(behind->reg, undos[u]);
		CHECK_INT(registry_pending(behind->reg), ==, 0);
		CHECK(registry_made(behind->reg) == registry_durable(behind->reg));
		CHECK(vvec_eq(registry_vector(behind->reg), registry_durable_vector(behind->reg)));
		if (kept != 0)
			CHECK(state_of(behind->reg) == before);
	}
	crew_free(&c);
}

static void an_own_op_is_undone_with_its_request(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), gid;
	struct stamp stamp;
	struct undo *one = NULL, *two = NULL;
	uint64_t before = state_of(t->reg);

	lab_begin(t, OP_CREATE_GROUP);
	struct id16 request = t->op.request;
	CHECK_INT(group_create(t->reg, &t->op, &ann, slice_str("g"), &gid, &t->e), ==, SHOAL_OK);
	CHECK_INT(registry_apply_op(t->reg, &t->op, NULL, &one), ==, SHOAL_OK);
	CHECK(registry_known_request(t->reg, &request, &stamp));
	CHECK(group_is_owner(t->reg, &gid, &ann)); /* seen before it is durable */
	CHECK(!vvec_eq(registry_vector(t->reg), registry_durable_vector(t->reg)));
	lab_begin(t, OP_LEAVE_GROUP);
	CHECK_INT(group_leave(t->reg, &t->op, &ann, &gid, NULL, &t->e), ==, SHOAL_OK);
	CHECK_INT(registry_apply_op(t->reg, &t->op, NULL, &two), ==, SHOAL_OK);
	CHECK_INT(registry_pending(t->reg), ==, 2);
	registry_undo(t->reg, two);
	CHECK(group_is_owner(t->reg, &gid, &ann));
	registry_undo(t->reg, one);
	CHECK(!registry_known_request(t->reg, &request, &stamp));
	CHECK(state_of(t->reg) == before);
	lab_group(t, &ann, "g"); /* the same number again: nobody has seen the other */
	CHECK_INT(vvec_get(registry_vector(t->reg), registry_log(t->reg)), ==, 2);
	lab_free(t);
}

struct seen {
	size_t made, changed, gone;
	bool closed;
};

static void count_change(void *ctx, const struct row *before, const struct row *after)
{
	struct seen *seen = ctx;
	seen->made += before == NULL;
	seen->gone += after == NULL;
	seen->changed += before != NULL && after != NULL;
	seen->closed = seen->closed || (after != NULL && row_closed(after));
}

static void a_change_can_be_walked_through(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), gid = lab_group(t, &ann, "g");
	struct undo *undo = NULL;
	struct seen seen = { 0 };

	lab_begin(t, OP_LEAVE_GROUP);
	CHECK_INT(group_leave(t->reg, &t->op, &ann, &gid, NULL, &t->e), ==, SHOAL_OK);
	CHECK_INT(registry_apply_op(t->reg, &t->op, NULL, &undo), ==, SHOAL_OK);
	undo_each(undo, count_change, &seen);
	CHECK(seen.made == 0 && seen.changed == 1 && seen.gone == 0 && seen.closed); /* why it closed can be read */
	CHECK_INT(registry_count(t->reg, TABLE_MEM), ==, 0);
	registry_commit_done(t->reg, undo);
	lab_free(t);
}

/* -- without memory */

static void without_memory_nothing_happens(void)
{
	struct crew c = crew_new(60);
	struct lab *ahead = c.labs[0], *behind = c.labs[1];
	size_t failures = 0;

	for (size_t enough = ahead->n + 25; ahead->n < enough;) /* most random commands are refused */
		random_op(ahead);
	for (size_t at = 0; at < ahead->n; at++) {
		struct slice bytes = slice_of(ahead->records[at]->data, ahead->records[at]->len);
		enum shoal_err rc = SHOAL_EBUSY;
		struct undo *undo = NULL;
		struct record rec;
		CHECK_INT(record_get(bytes, &rec), ==, SHOAL_OK);
		if (vvec_covers(registry_vector(behind->reg), rec.stamp.dot))
			continue;
		for (unsigned n = 1; rc == SHOAL_EBUSY; n++) {
			uint64_t before = state_of(behind->reg);
			struct store_txn *txn = store_txn_new();
			mem_fail_after(n);
			rc = registry_apply(behind->reg, bytes, 1, txn, &undo);
			mem_fail_after(0);
			if (rc == SHOAL_EBUSY) {
				failures++;
				CHECK(undo == NULL && registry_pending(behind->reg) == 0);
				CHECK(txn->rows.len == 0 && txn->records.len == 0 && txn->vector.n == 0 && store_txn_ok(txn));
				CHECK(state_of(behind->reg) == before);
				CHECK(registry_made(behind->reg) == registry_durable(behind->reg));
			}
			store_txn_free(txn);
			CHECK(n < 10000);
		}
		CHECK_INT(rc, ==, SHOAL_OK);
		registry_commit_done(behind->reg, undo);
	}
	CHECK(failures > 100);
	CHECK(vvec_covers_all(registry_vector(behind->reg), registry_vector(ahead->reg)));
	crew_free(&c);
}

static void commands_without_memory_change_nothing(void)
{
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), gid = { { 0 } };
	enum shoal_err rc = SHOAL_EBUSY;

	for (unsigned n = 1; rc == SHOAL_EBUSY; n++) {
		uint64_t before = state_of(t->reg);
		struct undo *undo = NULL;
		lab_begin(t, OP_CREATE_GROUP);
		mem_fail_after(n);
		CHECK_INT(group_create(t->reg, &t->op, &ann, slice_str("g"), &gid, &t->e), ==, SHOAL_OK);
		rc = registry_apply_op(t->reg, &t->op, NULL, &undo);
		mem_fail_after(0);
		if (rc == SHOAL_OK)
			registry_commit_done(t->reg, undo);
		else
			CHECK(rc == SHOAL_EBUSY && undo == NULL && state_of(t->reg) == before);
	}
	CHECK_INT(rc, ==, SHOAL_OK);
	CHECK(group_is_owner(t->reg, &gid, &ann));
	lab_free(t);
}

/* -- dots */

static enum shoal_err apply_bytes(struct registry *reg, const struct buf *b)
{
	struct undo *undo = NULL;
	enum shoal_err rc = registry_apply(reg, slice_of(b->data, b->len), 1, NULL, &undo);
	registry_commit_done(reg, undo);
	return rc;
}

static void a_gap_is_noticed_and_a_double_is_nothing(void)
{
	struct lab *t = lab_new(1);
	struct registry *reg = registry_new(2, 2);

	lab_user(t, "ann");
	lab_user(t, "bob");
	CHECK_INT(apply_bytes(reg, t->records[1]), ==, SHOAL_ECONFLICT);
	CHECK_INT(registry_count(reg, TABLE_USER), ==, 0);
	CHECK_INT(apply_bytes(reg, t->records[0]), ==, SHOAL_OK);
	CHECK_INT(apply_bytes(reg, t->records[0]), ==, SHOAL_EEXISTS);
	CHECK_INT(apply_bytes(reg, t->records[1]), ==, SHOAL_OK);
	t->records[1]->data[60] ^= 1;
	CHECK_INT(apply_bytes(reg, t->records[1]), ==, SHOAL_EINTEGRITY);
	registry_free(reg);
	lab_free(t);
}

/* Rule (a): what was closed and dropped does not come back with an older delta that took another way. */
static void a_dropped_row_stays_away(void)
{
	struct lab *a = lab_new(1), *b = lab_new(2), *c = lab_new(3);
	struct id16 ann = lab_user(a, "ann"), bob = lab_user(a, "bob"), gid = lab_group(a, &ann, "g");

	CHECK_INT(lab_join(a, &bob, &gid), ==, SHOAL_OK);
	lab_ship(a, b);
	lab_ship(a, c);
	CHECK_INT(lab_accept(b, &ann, &gid, &bob), ==, SHOAL_OK); /* there */
	CHECK_INT(lab_leave(c, &bob, &gid), ==, SHOAL_OK);        /* meanwhile here */
	lab_ship(c, a);
	CHECK_INT(registry_count(a->reg, TABLE_MEM), ==, 1); /* the request is closed and dropped */
	lab_ship(b, a);
	CHECK(!group_is_member(a->reg, &gid, &bob));
	lab_ship(a, b);
	lab_ship(a, c);
	lab_ship(b, c);
	CHECK(!group_is_member(b->reg, &gid, &bob) && !group_is_member(c->reg, &gid, &bob));
	lab_free(a);
	lab_free(b);
	lab_free(c);
}

/* A close that comes before what it closes: kept until the op that made the row has come, then dropped. */
static void a_close_may_come_first(void)
{
	struct lab *a = lab_new(1), *b = lab_new(2);
	struct registry *reg = registry_new(3, 3);
	struct id16 ann = lab_user(a, "ann"), gid = lab_group(a, &ann, "g");

	lab_ship(a, b);
	CHECK_INT(lab_leave(b, &ann, &gid), ==, SHOAL_OK);
	CHECK_INT(apply_bytes(reg, b->records[b->n - 1]), ==, SHOAL_OK);
	CHECK_INT(registry_count(reg, TABLE_MEM), ==, 0);
	struct registry_cut *cut = registry_cut_new(reg);
	CHECK_INT(cut->n, ==, 1); /* the closed row waits */
	registry_cut_free(cut);
	CHECK_INT(apply_bytes(reg, a->records[0]), ==, SHOAL_OK);
	CHECK_INT(apply_bytes(reg, a->records[1]), ==, SHOAL_OK);
	cut = registry_cut_new(reg);
	CHECK_INT(cut->n, ==, 2); /* user and group */
	registry_cut_free(cut);
	CHECK(!group_lives(reg, &gid));
	registry_free(reg);
	lab_free(a);
	lab_free(b);
}

/* -- snapshots */

static enum shoal_err take_snapshot(struct lab *to, const struct lab *from)
{
	struct registry_cut *cut = registry_cut_new(from->reg);
	struct undo *undo = NULL;
	for (size_t i = cut->n; i > 1; i--) { /* any order */
		size_t k = check_random((uint32_t)i);
		struct row *row = cut->rows[k];
		cut->rows[k] = cut->rows[i - 1];
		cut->rows[i - 1] = row;
	}
	enum shoal_err rc = registry_apply_snapshot(to->reg, cut->rows, cut->n, &cut->vector, cut->hlc, to->wall_ms, NULL,
	                                            &undo);
	registry_commit_done(to->reg, undo);
	registry_cut_free(cut);
	return rc;
}

static void snapshots_do_what_records_do(void)
{
	for (int round = 0; round < 20; round++) {
		struct crew c = crew_new(60);
		struct lab *a = c.labs[0], *b = c.labs[1];
		for (int i = 0; i < 40; i++) {
			random_op(a);
			random_op(b);
		}
		CHECK_INT(take_snapshot(b, a), ==, SHOAL_OK); /* b has changes of its own */
		CHECK(vvec_covers_all(registry_vector(b->reg), registry_vector(a->reg)));
		CHECK_INT(take_snapshot(a, b), ==, SHOAL_OK);
		CHECK(vvec_eq(registry_vector(a->reg), registry_vector(b->reg)));
		for (unsigned t = 1; t < TABLE_END; t++)
			CHECK(digest_eq(registry_digest(a->reg, t), registry_digest(b->reg, t)));
		CHECK(state_of(a->reg) == state_of(b->reg));
		crew_free(&c);
	}
}

/* Rule (b): what the sender has known and has no more is gone; what it never knew stays. */
static void a_snapshot_takes_away_what_was_closed_there(void)
{
	struct lab *a = lab_new(1), *b = lab_new(2);
	struct id16 ann = lab_user(a, "ann"), bob = lab_user(a, "bob"), gid = lab_group(a, &ann, "g");

	lab_member(a, &ann, &gid, &bob);
	lab_ship(a, b);
	struct dot mine = lab_login(b, &ann, 1); /* a does not know it */
	CHECK_INT(lab_leave(a, &bob, &gid), ==, SHOAL_OK);
	CHECK(group_is_member(b->reg, &gid, &bob));
	CHECK_INT(take_snapshot(b, a), ==, SHOAL_OK);
	CHECK(!group_is_member(b->reg, &gid, &bob));
	CHECK_INT(user_session_state(b->reg, &ann, mine), ==, SESSION_OPEN);
	lab_free(a);
	lab_free(b);
}

static void a_snapshot_without_memory_leaves_nothing(void)
{
	struct crew c = crew_new(60);
	struct lab *a = c.labs[0], *b = c.labs[1];
	enum shoal_err rc = SHOAL_EBUSY;

	for (int i = 0; i < 30; i++) {
		random_op(a);
		random_op(b);
	}
	struct registry_cut *cut = registry_cut_new(a->reg);
	for (unsigned n = 1; rc == SHOAL_EBUSY; n++) {
		uint64_t before = state_of(b->reg);
		struct store_txn *txn = store_txn_new();
		struct undo *undo = NULL;
		mem_fail_after(n);
		rc = registry_apply_snapshot(b->reg, cut->rows, cut->n, &cut->vector, cut->hlc, 1, txn, &undo);
		mem_fail_after(0);
		if (rc == SHOAL_EBUSY) {
			CHECK(undo == NULL && state_of(b->reg) == before);
			CHECK(txn->rows.len == 0 && txn->vector.n == 0 && txn->floor.n == 0);
		} else {
			CHECK(vvec_eq(&txn->floor, &cut->vector)); /* its ops are not in the log here */
			registry_undo(b->reg, undo);
			CHECK(state_of(b->reg) == before);
		}
		store_txn_free(txn);
	}
	CHECK_INT(rc, ==, SHOAL_OK);
	registry_cut_free(cut);
	crew_free(&c);
}

/* -- clock, requests */

static void the_clock_goes_on_and_is_not_dragged_far(void)
{
	struct lab *t = lab_new(1), *ahead = lab_new(2);
	struct stamp last = { 0 };
	struct op op;

	for (int i = 0; i < 5; i++) { /* the same millisecond, then one that goes back */
		op_begin(t->reg, OP_LOGIN, NULL, i < 3 ? 5000 : 10, &op);
		CHECK(op.stamp.hlc > last.hlc);
		last = op.stamp;
		op_fini(&op);
	}
	CHECK_INT(stamp_wall_ms(&last), ==, 5000);
	ahead->wall_ms = 10000000;
	lab_user(ahead, "ann");
	t->wall_ms = 20000;
	lab_ship(ahead, t);
	CHECK_INT(registry_hlc(t->reg) >> 16, >=, 20000 + HLC_AHEAD_MAX_MS);
	CHECK_INT(registry_hlc(t->reg) >> 16, <=, 20100 + HLC_AHEAD_MAX_MS);
	CHECK_INT(registry_count(t->reg, TABLE_USER), ==, 1); /* applied all the same */
	lab_free(t);
	lab_free(ahead);
}

static void a_request_is_known_for_an_hour_everywhere(void)
{
	struct lab *a = lab_new(1), *b = lab_new(2);
	struct stamp stamp = { 0 };

	lab_user(a, "ann");
	struct id16 request = a->op.request, other = { { 1 } };
	struct stamp made = a->op.stamp;
	CHECK(registry_known_request(a->reg, &request, &stamp) && stamp_cmp(&stamp, &made) == 0);
	CHECK(!registry_known_request(b->reg, &request, &stamp));
	lab_ship(a, b);
	CHECK(registry_known_request(b->reg, &request, &stamp) && stamp_cmp(&stamp, &made) == 0);
	CHECK(!registry_known_request(b->reg, &other, &stamp));
	registry_expire(b->reg, b->wall_ms + REQUEST_MEMORY_MS - 10);
	CHECK(registry_known_request(b->reg, &request, &stamp));
	registry_expire(b->reg, b->wall_ms + REQUEST_MEMORY_MS);
	CHECK(!registry_known_request(b->reg, &request, &stamp));
	lab_free(a);
	lab_free(b);
}

/* -- to the store and back */

struct into {
	struct registry *reg;
	struct registry_loader *loader; /* NULL: each row by itself */
	unsigned broken;                /* the row with that number is none; 0: all are */
	unsigned come;
};

static enum shoal_err to_row(void *ctx, const struct wire_row *row)
{
	struct into *into = ctx;
	struct wire_row bad = *row;

	if (into->loader == NULL)
		return registry_load(into->reg, row);
	bad.key.len = 3;
	return registry_loader_add(into->loader, ++into->come == into->broken ? &bad : row);
}
static enum shoal_err to_vector(void *ctx, uint64_t log, uint64_t seq)
{
	return registry_load_vector(((struct into *)ctx)->reg, log, seq);
}
static enum shoal_err to_floor(void *ctx, uint64_t log, uint64_t seq)
{
	(void)ctx, (void)log, (void)seq;
	return SHOAL_OK;
}
static enum shoal_err to_hlc(void *ctx, uint64_t hlc)
{
	registry_load_hlc(((struct into *)ctx)->reg, hlc);
	return SHOAL_OK;
}
static enum shoal_err to_content(void *ctx, const struct id32 *id)
{
	struct into *into = ctx;

	return into->loader != NULL ? SHOAL_OK : registry_set_held(into->reg, id, true);
}

/* Everything again, into a registry of its own. */
static void load_and_compare(struct store *store, const struct registry *live, bool many)
{
	struct into into = { .reg = registry_new(9, 100) };
	struct store_sink sink = { &into, to_row, to_vector, to_floor, to_hlc, to_content };
	struct error e;

	into.loader = many ? registry_loader_new(into.reg) : NULL;
	CHECK_INT(store_mem_ops.load(store, &sink, &e), ==, SHOAL_OK);
	CHECK_INT(registry_loader_end(into.loader), ==, SHOAL_OK);
	CHECK(state_of(live) == state_of(into.reg));
	CHECK(vvec_eq(registry_durable_vector(into.reg), registry_vector(live)));
	CHECK(registry_hlc(into.reg) >= registry_hlc(live));
	registry_free(into.reg);
}

/* What is no row is told at once; what waits is in its place or given back, and nothing leaks. */
static void load_what_is_broken(struct store *store)
{
	struct into into = { .reg = registry_new(9, 100), .broken = 9 };
	struct store_sink sink = { &into, to_row, to_vector, to_floor, to_hlc, to_content };
	struct error e;

	into.loader = registry_loader_new(into.reg);
	CHECK_INT(store_mem_ops.load(store, &sink, &e), ==, SHOAL_EPROTO);
	registry_loader_end(into.loader);
	registry_free(into.reg);
}

/* A row that did not find its place among the last is told, though those behind it do. */
static void a_row_that_was_not_loaded_is_told(void)
{
	struct registry *reg = registry_new(1, 1);
	struct registry_loader *loader = registry_loader_new(reg);
	uint8_t key[16] = { 0 };

	for (; key[0] < 3; key[0]++) {
		struct wire_row row = { .table = TABLE_USER, .key = slice_of(key, sizeof(key)) };
		CHECK_INT(registry_loader_add(loader, &row), ==, SHOAL_OK);
	}
	mem_fail_after(1);
	CHECK_INT(registry_loader_end(loader), ==, SHOAL_EBUSY);
	mem_fail_after(0);
	CHECK_INT(registry_count(reg, TABLE_USER), ==, 2);
	registry_free(reg);
}

/* So that who gets it writes each page of its tree once: of a large table. */
static void a_cut_is_in_the_order_of_keys(void)
{
	enum { ROWS = 20000 };
	struct registry *reg = registry_new(1, 1);

	for (int i = 0; i < ROWS; i++) {
		uint8_t key[32];
		check_random_bytes(key, sizeof(key));
		struct wire_row row = { .table = i % 2 == 0 ? TABLE_USER : TABLE_FILE, .key = slice_of(key, i % 2 == 0 ? 16 : 32) };
		CHECK_INT(registry_load(reg, &row), ==, SHOAL_OK);
	}
	struct registry_cut *cut = registry_cut_new(reg);
	CHECK_INT(cut->n, ==, ROWS);
	for (size_t i = 1; i < cut->n; i++) {
		const struct row *a = cut->rows[i - 1], *b = cut->rows[i];
		CHECK(a->table < b->table || (a->table == b->table && memcmp(row_key(a).data, row_key(b).data, 2) <= 0));
	}
	registry_cut_free(cut);
	registry_free(reg);
}

static void what_is_stored_is_what_comes_back(void)
{
	struct crew c = crew_new(150);
	struct lab *from = c.labs[0];
	struct registry *live = registry_new(9, 99);
	struct mem_disk *disk = mem_disk_new();
	struct store *store;
	struct error e;

	CHECK_INT(store_mem_ops.open(mem_disk_where(disk), &store, &e), ==, SHOAL_OK);
	for (size_t at = 0; at < from->n;) {
		struct store_txn *txn = store_txn_new();
		struct undo *undo = NULL;
		for (int i = 0; i < 7 && at < from->n; i++, at++)
			CHECK_INT(registry_apply(live, slice_of(from->records[at]->data, from->records[at]->len), 1, txn, &undo), ==,
			          SHOAL_OK);
		CHECK_INT(store_mem_ops.commit(store, &txn, 1, &e), ==, SHOAL_OK);
		registry_commit_done(live, undo);
		store_txn_free(txn);
	}
	CHECK_INT(mem_disk_records(disk), ==, from->n);
	store_mem_ops.close(store);
	CHECK_INT(store_mem_ops.open(mem_disk_where(disk), &store, &e), ==, SHOAL_OK);
	load_and_compare(store, live, false);
	load_and_compare(store, live, true);
	load_what_is_broken(store);
	store_mem_ops.close(store);
	mem_disk_free(disk);
	registry_free(live);
	crew_free(&c);
}

static void rows_from_the_future_are_kept_and_passed_on(void)
{
	struct registry *reg = registry_new(1, 1);
	struct buf rows = { 0 }, columns = { 0 };
	struct undo *undo = NULL;

	for (int i = 0; i < 2; i++) { /* max of 5 and 3 in a column and a table that nobody here knows */
		struct wire_column col = { 40, JOIN_MAX, slice_of(i == 0 ? "\5" : "\3", 1) };
		buf_reset(&columns);
		wire_column_put(&columns, &col);
		struct wire_row row = { 500, slice_str("key"), slice_of(columns.data, columns.len) };
		wire_row_put(&rows, &row);
	}
	CHECK_INT(registry_merge(reg, slice_of(rows.data, rows.len), NULL, &undo), ==, SHOAL_OK);
	registry_commit_done(reg, undo);
	const struct row *row = registry_find_row(reg, 500, slice_str("key"));
	CHECK(row != NULL && slice_eq(row_column(row, 40), slice_of("\5", 1)));
	struct registry_cut *cut = registry_cut_new(reg);
	CHECK(cut->n == 1 && cut->rows[0]->table == 500);
	registry_cut_free(cut);
	buf_free(&rows);
	buf_free(&columns);
	registry_free(reg);
}

/* -- size */

static double seconds(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void a_hundred_thousand_rows_are_no_burden(void)
{
	enum { FILES = 33000 }; /* three rows each: file, content, share */
	struct lab *t = lab_new(1);
	struct id16 ann = lab_user(t, "ann"), gid = lab_group(t, &ann, "g"), fid = { { 0 } };
	struct id32 device = device_of(1);
	double start = seconds();
	bool joined;

	for (int i = 0; i < FILES; i++) {
		char name[32];
		struct undo *undo = NULL;
		snprintf(name, sizeof(name), "file %d.bin", i);
		struct upload up = lab_upload_of(name, 1);
		memcpy(up.content.b, &i, sizeof(i));
		lab_begin(t, OP_UPLOAD_FILE_DATA);
		CHECK_INT(file_upload(t->reg, &t->op, &ann, &device, &gid, &up, &fid, &joined, &t->e), ==, SHOAL_OK);
		CHECK_INT(registry_apply_op(t->reg, &t->op, NULL, &undo), ==, SHOAL_OK);
		registry_commit_done(t->reg, undo);
	}
	CHECK_INT(registry_count(t->reg, TABLE_SHARE), ==, FILES);
	CHECK(seconds() - start < 20); /* 0.3 s here; a scan in a view would make it minutes */
	start = seconds();
	for (int i = 0; i < 100000; i++) {
		CHECK(file_find(t->reg, &gid, slice_str("file 77.bin")) != NULL);
		CHECK(group_is_owner(t->reg, &gid, &ann));
	}
	CHECK(seconds() - start < 10);
	lab_free(t);
}

static const struct CMUnitTest tests[] = {
	TEST(trackers_that_have_the_same_ops_are_equal), TEST(any_order_gives_the_same_state),
	TEST(the_state_is_the_fold_of_all_ops), TEST(undone_it_never_was), TEST(an_own_op_is_undone_with_its_request),
	TEST(a_change_can_be_walked_through), TEST(without_memory_nothing_happens),
	TEST(commands_without_memory_change_nothing), TEST(a_gap_is_noticed_and_a_double_is_nothing),
	TEST(a_dropped_row_stays_away), TEST(a_close_may_come_first), TEST(snapshots_do_what_records_do),
	TEST(a_snapshot_takes_away_what_was_closed_there), TEST(a_snapshot_without_memory_leaves_nothing),
	TEST(the_clock_goes_on_and_is_not_dragged_far), TEST(a_request_is_known_for_an_hour_everywhere),
	TEST(a_row_that_was_not_loaded_is_told), TEST(a_cut_is_in_the_order_of_keys),
	TEST(what_is_stored_is_what_comes_back),
	TEST(rows_from_the_future_are_kept_and_passed_on),
	TEST(a_hundred_thousand_rows_are_no_burden),
};
CHECK_MAIN(tests)
