/* core/piece/metainfo_cache.c - a metainfo in a file: head, then the piece hashes as they are.
 *
 * "SHOALMI1" | size u64 | piece size u32 | pieces u32 | file hash | content id | hashes. No checksum of its own: the
 * content id covers every field. */
#include "core/piece/metainfo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/fs.h"
#include "core/base/planted.h"
#include "core/piece/file_reader.h"

#define MAGIC "SHOALMI1"
#define HEAD_LEN (8u + 8 + 4 + 4 + 32 + 32)

static uint64_t get_be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;
	while (n-- != 0)
		v = v << 8 | *p++;
	return v;
}

enum shoal_err metainfo_save(const struct metainfo *mi, const char *path, struct error *e)
{
	enum shoal_err rc = metainfo_verify(mi, e);
	struct buf b = { 0 };
	size_t hashes = (size_t)mi->npieces * sizeof(*mi->hashes);

	if (rc != SHOAL_OK)
		return rc;
	buf_reserve(&b, HEAD_LEN + hashes);
	buf_put(&b, MAGIC, 8);
	buf_put_u64(&b, mi->size);
	buf_put_u32(&b, mi->piece_size);
	buf_put_u32(&b, mi->npieces);
	buf_put(&b, mi->file_hash.b, 32);
	buf_put(&b, mi->content_id.b, 32);
	buf_put(&b, mi->hashes, hashes);
	if (b.failed)
		rc = error_set(e, SHOAL_EBUSY, "out of memory writing '%s'", path);
	else
		rc = fs_write_file(path, b.data, b.len, 0600, e);
	buf_free(&b);
	return rc;
}

static enum shoal_err damaged(const char *path, struct error *e)
{
	return error_set(e, SHOAL_EINTEGRITY, "'%s' is damaged or not a file of piece hashes", path);
}

/* The head at the front of the file, and that the file is exactly as long as it says. */
static enum shoal_err load_head(struct file_reader *r, uint64_t file_len, const char *path, struct metainfo **out,
                                struct error *e)
{
	uint8_t head[HEAD_LEN];
	struct id32 file_hash, content_id;

	if (file_len < HEAD_LEN)
		return damaged(path, e);
	enum shoal_err rc = file_reader_read(r, 0, head, sizeof(head), e);
	if (rc != SHOAL_OK)
		return rc;
	uint64_t size = get_be(head + 8, 8), piece_size = get_be(head + 16, 4), npieces = get_be(head + 20, 4);
	if (memcmp(head, MAGIC, 8) != 0 || size > METAINFO_SIZE_MAX || piece_size != PIECE_SIZE ||
	    npieces != metainfo_pieces_of(size) || file_len != HEAD_LEN + npieces * sizeof(struct id32))
		return damaged(path, e);
	memcpy(file_hash.b, head + 24, 32);
	memcpy(content_id.b, head + 56, 32);
	return metainfo_new(size, (uint32_t)piece_size, &file_hash, &content_id, out, e);
}

enum shoal_err metainfo_load(const char *path, const struct id32 *content_id, struct metainfo **out, struct error *e)
{
	struct metainfo *mi = NULL;
	struct file_stamp stamp;
	struct file_reader r = { .fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) };
	enum shoal_err rc;

	if (r.fd < 0)
		return error_errno(e, "cannot open '%s'", path);
	rc = file_stamp_of(r.fd, path, &stamp, e);
	if (rc == SHOAL_OK)
		rc = load_head(&r, stamp.size, path, &mi, e);
	if (rc == SHOAL_OK)
		rc = file_reader_read(&r, HEAD_LEN, mi->hashes, (size_t)mi->npieces * sizeof(*mi->hashes), e);
	file_reader_close(&r);
	if (rc == SHOAL_OK) {
		struct id32 said = mi->content_id;
		metainfo_seal(mi);
		if ((!id32_eq(&said, &mi->content_id) && !PLANTED(metainfo_any)) || (content_id != NULL && !id32_eq(&said, content_id)))
			rc = damaged(path, e);
	}
	if (rc != SHOAL_OK) {
		metainfo_free(mi);
		return rc;
	}
	*out = mi;
	return SHOAL_OK;
}
