/* tests/fuzz/snapshot_lab.h - one tracker with a store that answers late, in small portions, fails or is killed, and a
 * SQLite store beside it that must say the same. For fuzz_snapshot.c alone, whose statics these are. */
#ifndef SHOAL_TESTS_SNAPSHOT_LAB_H
#define SHOAL_TESTS_SNAPSHOT_LAB_H
#include <unistd.h>

#include "core/base/fs.h"
#include "tests/fuzz/fuzz_step.h"
#include "tests/fuzz/tracker_world.h"
#include "tracker/store_sqlite.h"

enum { PEERS = 2, HELD_MAX = 64 };

/* Another tracker, and what it has said of its last snapshot. */
struct peer {
	size_t conn;           /* SIZE_MAX: not connected */
	conn_id id;
	bool begun;
	uint32_t serial;
	unsigned tables;
	uint64_t announced, n;
	struct sha256 hash;
	struct buf vector, rows;
};

struct lab {
	struct world w;        /* first: the env's ctx */
	struct peer peers[PEERS];
	uint32_t last_serial;
	uint64_t hlc;          /* of the next snapshot */
	struct buf allowed;    /* rows that may be here */
	struct vvec known;     /* what the vector may have */
	struct vvec promised;  /* what it must have, unless something went wrong */
	unsigned names;        /* used up by SNAP_OP_OP */
	bool disturbed, forgetful; /* something failed; memory did */
	uint8_t portion;
	bool hold;             /* the store's answers to questions wait */
	struct env_event held[HELD_MAX];
	size_t n_held;
	struct store *mirror;  /* NULL: there is none */
	char path[128];
};

/* -- the store */

static bool is_stage(const struct content_op *op)
{
	return op->kind == CONTENT_STAGE_PUT || op->kind == CONTENT_STAGE_READ || op->kind == CONTENT_STAGE_DROP;
}

static struct content_op *copy_op(const struct content_op *op)
{
	struct content_op *copy = content_op_new(op->kind);
	CHECK(copy != NULL);
	copy->stage = op->stage;
	copy->limit = op->limit;
	buf_put(&copy->data, op->data.data, op->data.len);
	return copy;
}

/* The other store is asked the same, and says the same. A drop may take it several turns. */
static void ask_mirror(struct lab *lab, struct content_op *copy, const struct content_op *op, enum shoal_err rc)
{
	struct error e = { 0 };
	enum shoal_err mirrored = store_content(&store_sqlite_ops, lab->mirror, copy, &e);

	CHECK_INT(mirrored, ==, rc);
	while (op->kind == CONTENT_STAGE_DROP && !op->more && copy->more)
		CHECK_INT(store_content(&store_sqlite_ops, lab->mirror, copy, &e), ==, SHOAL_OK);
	if (op->kind == CONTENT_STAGE_READ) {
		CHECK(slice_eq(slice_of(copy->data.data, copy->data.len), slice_of(op->data.data, op->data.len)));
		CHECK_INT(copy->more, ==, op->more);
	}
}

static void lab_content(void *ctx, struct content_op *op, uint64_t cookie)
{
	struct lab *lab = ctx;
	struct rig *r = &lab->w.rig;
	struct env_event ev = { .type = ENV_CONTENT, .cookie = cookie, .content = op };
	struct error e = { 0 };

	mem_fail_after(0);
	if (op->kind == CONTENT_STAGE_READ && lab->portion != 0)
		op->limit = lab->portion;
	struct content_op *copy = lab->mirror != NULL && is_stage(op) ? copy_op(op) : NULL;
	ev.result = store_content(&store_mem_ops, r->store, op, &e);
	if (copy != NULL)
		ask_mirror(lab, copy, op, ev.result);
	content_op_free(copy);
	if (lab->hold && lab->n_held < HELD_MAX)
		lab->held[lab->n_held++] = ev;
	else
		rig_push(r, &ev);
}

static void drop_mirror(struct lab *lab)
{
	static const char *const ends[] = { "", "-wal", "-journal" };

	if (lab->mirror != NULL)
		store_sqlite_ops.close(lab->mirror);
	lab->mirror = NULL;
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		char *path = str_printf("%s%s", lab->path, ends[i]);
		unlink(path);
		free(path);
	}
}

/* What fails in one store only would tell them apart: the mirror is given up then. */
static void lab_commit(void *ctx, struct store_txn *txn, uint64_t cookie)
{
	struct lab *lab = ctx;
	struct rig *r = &lab->w.rig;
	struct error e = { 0 };

	mem_fail_after(0);
	if (lab->disturbed)
		drop_mirror(lab);
	if (lab->mirror != NULL)
		CHECK_INT(store_sqlite_ops.commit(lab->mirror, &txn, 1, &e), ==, SHOAL_OK);
	rig_env_commit(r, txn, cookie);
}

static void let_answers_come(struct lab *lab)
{
	const struct env_event tick = { .type = ENV_TICK };

	lab->hold = false;
	for (size_t i = 0; i < lab->n_held; i++)
		rig_push(&lab->w.rig, &lab->held[i]);
	lab->n_held = 0;
	step(&lab->w, &tick);
}

/* What the other store gives, loaded, is what is here. */
static void check_mirror(struct lab *lab)
{
	struct registry *reg = lab->w.rig.reg, *other = registry_new(1, 999);
	struct rig as = { .reg = other };
	struct store_sink sink = { .ctx = &as, .row = rig_load_row, .vector = rig_load_vector, .floor = rig_load_floor,
		                   .hlc = rig_load_hlc, .content = rig_load_content };
	struct error e = { 0 };

	if (lab->mirror != NULL && !lab->disturbed) {
		CHECK_INT(store_sqlite_ops.load(lab->mirror, &sink, &e), ==, SHOAL_OK);
		for (unsigned t = TABLE_USER; t < TABLE_END; t++)
			CHECK(digest_eq(registry_digest(reg, (enum table)t), registry_digest(other, (enum table)t)));
		CHECK(vvec_eq(registry_vector(reg), registry_vector(other)));
	}
	registry_free(other);
	drop_mirror(lab);
}
#endif
