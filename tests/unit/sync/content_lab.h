/* tests/unit/sync/content_lab.h - a file that a node of the lab holds. */
#ifndef SHOAL_TESTS_CONTENT_LAB_H
#define SHOAL_TESTS_CONTENT_LAB_H
#include "core/registry/file_manager.h"
#include "tests/unit/sync/sync_lab.h"

/* A file of 1100 pieces (two chunks of hashes) in a group, held by `n`. */
static inline void content_lab_upload(struct lab_node *n, struct id32 *content)
{
	struct upload up = { .name = slice_str("big"), .size = 1100 * (uint64_t)CONTENT_PIECE_SIZE,
		             .piece_size = CONTENT_PIECE_SIZE };
	struct buf hashes = { 0 };
	struct content_hash ch;
	struct id16 uid, gid, fid;
	struct id32 device = { { 3 } };
	struct op op;
	struct error e;
	bool joined;

	for (int i = 0; i < 1100 * 32; i++)
		buf_put_u8(&hashes, (uint8_t)(i * 7));
	content_hash_begin(&ch, up.size, &up.file_hash);
	content_hash_add(&ch, hashes.data, hashes.len);
	content_hash_end(&ch, &up.content);
	for (uint32_t first = 0; first < 1100; first += CONTENT_CHUNK) {
		struct content_op *put = content_op_new(CONTENT_PUT);
		put->id = up.content;
		put->size = up.size;
		put->first = first;
		buf_put(&put->data, hashes.data + first * 32, (first == 0 ? CONTENT_CHUNK : 1100 - CONTENT_CHUNK) * 32);
		CHECK_INT(store_content(&store_mem_ops, n->store, put, &e), ==, SHOAL_OK);
		content_op_free(put);
	}
	op_begin(n->reg, OP_CREATE_USER, NULL, lab_wall(n), &op);
	CHECK_INT(user_create(n->reg, &op, slice_str("ann"), slice_str("r"), &uid, &e), ==, SHOAL_OK);
	CHECK_INT(commit_op(n->commit, &op, NULL, &e), ==, SHOAL_OK);
	op_begin(n->reg, OP_CREATE_GROUP, NULL, lab_wall(n), &op);
	CHECK_INT(group_create(n->reg, &op, &uid, slice_str("team"), &gid, &e), ==, SHOAL_OK);
	CHECK_INT(commit_op(n->commit, &op, NULL, &e), ==, SHOAL_OK);
	op_begin(n->reg, OP_UPLOAD_FILE_DATA, NULL, lab_wall(n), &op);
	CHECK_INT(file_upload(n->reg, &op, &uid, &device, &gid, &up, &fid, &joined, &e), ==, SHOAL_OK);
	CHECK_INT(commit_op(n->commit, &op, NULL, &e), ==, SHOAL_OK);
	CHECK_INT(registry_set_held(n->reg, &up.content, true), ==, SHOAL_OK);
	*content = up.content;
	buf_free(&hashes);
}

static inline bool content_lab_holds(const struct lab_node *n, const struct id32 *content)
{
	const struct content_row *row = registry_content(n->reg, content);
	return row != NULL && row->held;
}
#endif
