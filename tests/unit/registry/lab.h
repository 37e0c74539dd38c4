/* tests/unit/registry/lab.h - trackers in a test: a registry, a clock, and records that travel by hand. */
#ifndef SHOAL_TESTS_REGISTRY_LAB_H
#define SHOAL_TESTS_REGISTRY_LAB_H
#include "core/base/mem.h"
#include "core/registry/file_manager.h"
#include "core/registry/group_manager.h"
#include "core/registry/notice.h"
#include "core/registry/registry.h"
#include "core/registry/user_manager.h"
#include "tests/unit/check.h"

#define LOG_MAX 4096

/* A tracker: everything it applied, in order, as records. */
struct lab {
	struct registry *reg;
	uint64_t wall_ms;
	struct buf *records[LOG_MAX];
	size_t n;
	struct op op;
	struct error e;
	uint64_t requests;
};

static inline struct lab *lab_new(uint16_t tracker)
{
	struct lab *lab = xalloc(sizeof(*lab));
	lab->reg = registry_new(tracker, 0x1000u + tracker);
	lab->wall_ms = 1000000;
	return lab;
}

static inline void lab_free(struct lab *lab)
{
	for (size_t i = 0; i < lab->n; i++) {
		buf_free(lab->records[i]);
		free(lab->records[i]);
	}
	registry_free(lab->reg);
	free(lab);
}

static inline struct op *lab_begin(struct lab *lab, enum op_kind kind)
{
	struct id16 request = { { 0 } };
	uint64_t r = ++lab->requests << 16 | registry_tracker(lab->reg);
	memcpy(request.b, &r, sizeof(r));
	op_begin(lab->reg, kind, &request, ++lab->wall_ms, &lab->op);
	return &lab->op;
}

static inline void lab_keep(struct lab *lab, struct slice bytes)
{
	struct buf *b = xalloc(sizeof(*b));
	buf_put(b, bytes.data, bytes.len);
	CHECK(!b->failed && lab->n < LOG_MAX);
	lab->records[lab->n++] = b;
}

/* Applies the begun op, keeps its record; the change is durable at once. */
static inline void lab_apply_one(struct lab *lab)
{
	struct store_txn *txn = store_txn_new();
	struct undo *undo = NULL;
	struct slice bytes;

	CHECK_INT(registry_apply_op(lab->reg, &lab->op, txn, &undo), ==, SHOAL_OK);
	struct cursor c = cursor_of(txn->records.data, txn->records.len);
	CHECK(store_txn_next_record(&c, &bytes));
	lab_keep(lab, bytes);
	store_txn_free(txn);
	registry_commit_done(lab->reg, undo);
}

/* What the last change did to others is written down too. The stamp in lab->op stays the command's. */
static inline void lab_tell(struct lab *lab)
{
	struct op command = lab->op;
	lab_begin(lab, OP_NOTICE);
	if (registry_take_notices(lab->reg, &lab->op))
		lab_apply_one(lab);
	else
		op_fini(&lab->op);
	lab->op = command;
}

static inline void lab_apply(struct lab *lab)
{
	lab_apply_one(lab);
	lab_tell(lab);
}

/* rc of a command whose op was begun: applied if it is OK. */
static inline enum shoal_err lab_end(struct lab *lab, enum shoal_err rc)
{
	if (rc == SHOAL_OK && !op_is_empty(&lab->op))
		lab_apply(lab);
	else
		op_fini(&lab->op);
	return rc;
}
#define RUN(lab, kind, call) lab_end(lab, (lab_begin(lab, kind), call))

static inline void lab_take(struct lab *lab, const struct buf *record)
{
	struct slice bytes = slice_of(record->data, record->len);
	struct undo *undo = NULL;
	enum shoal_err rc = registry_apply(lab->reg, bytes, ++lab->wall_ms, NULL, &undo);

	CHECK(rc == SHOAL_OK || rc == SHOAL_EEXISTS);
	if (rc == SHOAL_OK) {
		lab_keep(lab, bytes);
		registry_commit_done(lab->reg, undo);
		lab_tell(lab);
	}
}

/* Everything that `from` has and `to` lacks, in from's order. */
static inline void lab_ship(const struct lab *from, struct lab *to)
{
	for (size_t i = 0, n = from->n; i < n; i++)
		lab_take(to, from->records[i]);
}

/* Both have everything, the notices that this gave too. */
static inline void lab_meet(struct lab *a, struct lab *b)
{
	for (int i = 0; i < 3; i++) {
		lab_ship(a, b);
		lab_ship(b, a);
	}
	CHECK(vvec_eq(registry_vector(a->reg), registry_vector(b->reg)));
}

static inline bool lab_same(const struct lab *a, const struct lab *b)
{
	for (unsigned t = TABLE_USER; t < TABLE_END; t++)
		if (!digest_eq(registry_digest(a->reg, t), registry_digest(b->reg, t)))
			return false;
	return true;
}

static inline struct id32 device_of(unsigned n)
{
	struct id32 d = { { (uint8_t)n, (uint8_t)(n >> 8), 0xde } };
	return d;
}

static inline struct id16 lab_user(struct lab *lab, const char *name)
{
	struct id16 uid = { { 0 } };
	CHECK_INT(RUN(lab, OP_CREATE_USER,
	              user_create(lab->reg, &lab->op, slice_str(name), slice_str("$scrypt$x"), &uid, &lab->e)),
	          ==, SHOAL_OK);
	return uid;
}

static inline struct dot lab_login(struct lab *lab, const struct id16 *uid, unsigned device)
{
	struct id32 d = device_of(device);
	CHECK_INT(RUN(lab, OP_LOGIN, user_login(lab->reg, &lab->op, uid, &d, 8, &lab->e)), ==, SHOAL_OK);
	return lab->op.stamp.dot;
}

static inline struct id16 lab_group(struct lab *lab, const struct id16 *uid, const char *name)
{
	struct id16 gid = { { 0 } };
	CHECK_INT(RUN(lab, OP_CREATE_GROUP, group_create(lab->reg, &lab->op, uid, slice_str(name), &gid, &lab->e)), ==,
	          SHOAL_OK);
	return gid;
}

static inline enum shoal_err lab_join(struct lab *lab, const struct id16 *uid, const struct id16 *gid)
{
	return RUN(lab, OP_JOIN_GROUP, group_join(lab->reg, &lab->op, uid, gid, &lab->e));
}

static inline enum shoal_err lab_accept(struct lab *lab, const struct id16 *owner, const struct id16 *gid,
                                        const struct id16 *who)
{
	return RUN(lab, OP_ACCEPT_REQUEST, group_accept(lab->reg, &lab->op, owner, gid, who, &lab->e));
}

static inline void lab_member(struct lab *lab, const struct id16 *owner, const struct id16 *gid, const struct id16 *who)
{
	CHECK_INT(lab_join(lab, who, gid), ==, SHOAL_OK);
	CHECK_INT(lab_accept(lab, owner, gid, who), ==, SHOAL_OK);
}

static inline enum shoal_err lab_leave(struct lab *lab, const struct id16 *uid, const struct id16 *gid)
{
	return RUN(lab, OP_LEAVE_GROUP, group_leave(lab->reg, &lab->op, uid, gid, NULL, &lab->e));
}

static inline struct upload lab_upload_of(const char *name, unsigned content)
{
	struct upload up = { .name = slice_str(name), .size = 1000 + content, .piece_size = 524288 };
	up.content.b[0] = up.file_hash.b[0] = (uint8_t)content;
	return up;
}

static inline enum shoal_err lab_upload(struct lab *lab, const struct id16 *uid, unsigned device,
                                        const struct id16 *gid, const char *name, unsigned content, struct id16 *fid,
                                        bool *joined)
{
	struct upload up = lab_upload_of(name, content);
	struct id32 d = device_of(device);
	return RUN(lab, OP_UPLOAD_FILE_DATA, file_upload(lab->reg, &lab->op, uid, &d, gid, &up, fid, joined, &lab->e));
}

static inline bool everybody(void *ctx, const struct id16 *uid, const struct id32 *device)
{
	(void)ctx, (void)uid, (void)device;
	return true;
}
static inline bool nobody(void *ctx, const struct id16 *uid, const struct id32 *device)
{
	(void)ctx, (void)uid, (void)device;
	return false;
}

/* The kinds of the unseen notices of a user, in order, with a space between. */
static inline const char *lab_notices(const struct lab *lab, const struct id16 *uid, char *out, size_t size)
{
	const struct notice_row **list;
	size_t n, used = 0;

	CHECK_INT(notice_list(lab->reg, uid, &list, &n), ==, SHOAL_OK);
	out[0] = '\0';
	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%.*s", i != 0 ? " " : "", (int)list[i]->kind.len,
		                         (const char *)list[i]->kind.data);
	free(list);
	return out;
}
#endif
