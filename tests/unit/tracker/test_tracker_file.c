/* tests/unit/tracker/test_tracker_file.c - files, swarms and tickets through frames. */
#include "core/base/hash.h"
#include "tests/unit/tracker/rig.h"

struct people {
	struct rig *r;
	struct rig_conn *ann, *bob, *cho; /* members; cho is a stranger */
	struct id16 gid;
};

static struct people start(void)
{
	struct people p = { .r = rig_new() };
	p.ann = rig_login(p.r, "ann", 1);
	p.bob = rig_login(p.r, "bob", 2);
	p.cho = rig_login(p.r, "cho", 3);
	REPLY(rep_gid, g, CALL(p.r, p.ann, CREATE_GROUP, req_group, .group = S("team")));
	p.gid = g.gid;
	CHECK_INT(CODE(p.r, p.bob, JOIN_GROUP, req_group, .group = S("team")), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.ann, ACCEPT_REQUEST, req_group_user, .group = S("team"), .user = S("bob")), ==, SHOAL_OK);
	rig_forget_events(p.ann);
	rig_forget_events(p.bob);
	return p;
}

/* A file that does not exist: hash of piece i of file `seed`. */
static void piece_hash(uint8_t seed, uint32_t i, uint8_t out[32])
{
	uint8_t text[5] = { seed, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
	struct id32 id;
	sha256_of(text, sizeof(text), &id);
	memcpy(out, id.b, 32);
}

struct fake_file {
	uint8_t seed;
	uint64_t size;
	uint32_t pieces;
	struct id32 hash, content;
	struct buf hashes;
};

/* The content id that its size and its first n hashes give. */
static void content_of(struct fake_file *f, uint32_t n)
{
	struct content_hash ch;
	content_hash_begin(&ch, f->size, &f->hash);
	for (uint32_t i = 0; i < n; i++)
		content_hash_add(&ch, f->hashes.data + (size_t)i * 32, 32);
	content_hash_end(&ch, &f->content);
}

static struct fake_file make_file(uint8_t seed, uint32_t pieces)
{
	struct fake_file f = { .seed = seed,
		               .pieces = pieces,
		               .size = pieces == 0 ? 0 : (uint64_t)pieces * PIECE_SIZE - 17 };
	uint8_t hash[32];
	sha256_of(&seed, pieces != 0, &f.hash);
	for (uint32_t i = 0; i < pieces; i++) {
		piece_hash(seed, i, hash);
		buf_put(&f.hashes, hash, 32);
	}
	content_of(&f, pieces);
	return f;
}

static enum shoal_err put_hashes(struct people *p, struct rig_conn *c, const struct fake_file *f, uint32_t first,
                                 uint32_t n)
{
	return CODE(p->r, c, PUT_HASHES, req_put_hashes, .content = f->content, .size = f->size, .first = first,
	            .hashes = slice_of(f->hashes.data + (size_t)first * 32, (size_t)n * 32));
}

static struct rig_reply upload(struct people *p, struct rig_conn *c, const char *name, const struct fake_file *f)
{
	for (uint32_t first = 0; first < f->pieces; first += HASHES_PER_CHUNK) {
		uint32_t n = f->pieces - first < HASHES_PER_CHUNK ? f->pieces - first : HASHES_PER_CHUNK;
		CHECK_INT(put_hashes(p, c, f, first, n), ==, SHOAL_OK);
	}
	return CALL(p->r, c, UPLOAD_FILE_DATA, req_upload_file_data, .gid = p->gid, .name = S(name), .size = f->size,
	            .piece_size = PIECE_SIZE, .file_hash = f->hash, .content = f->content);
}

static unsigned count_files(struct people *p, struct rig_conn *c, bool all, struct row_file *row)
{
	struct rig_reply list = CALL(p->r, c, LIST_FILES, req_list_files, .group = S("team"), .all = all);
	struct rep_gid gid;
	struct row_file ignored;
	CHECK_INT(list.head.code, ==, SHOAL_OK);
	rep_gid_get(&list.fields, &gid);
	unsigned n = get_u16(&list.fields);
	for (unsigned i = 0; i < n; i++)
		row_file_get(&list.fields, i == 0 && row != NULL ? row : &ignored);
	CHECK_INT(cursor_end(&list.fields), ==, SHOAL_OK);
	return n;
}

static struct rig_reply find(struct people *p, struct rig_conn *c, const char *name, struct rep_find *rep)
{
	struct rig_reply found = CALL(p->r, c, FIND, req_file, .group = S("team"), .file = S(name));
	if (found.head.code == SHOAL_OK)
		rep_find_get(&found.fields, rep);
	return found;
}

static void a_file_is_uploaded_listed_and_found(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 2500); /* three chunks, the last one short */
	struct row_file row;
	struct rep_find rep;
	REPLY(rep_upload_check, check,
	      CALL(p.r, p.ann, UPLOAD_CHECK, req_upload_check, .group = S("team"), .name = S("a.iso"), .size = f.size));
	CHECK(id16_eq(&check.gid, &p.gid) && !check.exists);
	REPLY(rep_upload_file_data, up, upload(&p, p.ann, "a.iso", &f));
	CHECK(!up.joined && slice_eq_str(up.name, "a.iso"));
	struct id16 fid = up.fid;
	EVENT(ev_file_added, added, p.bob, FILE_ADDED);
	CHECK(slice_eq_str(added.file, "a.iso") && slice_eq_str(added.user, "ann") && id16_eq(&added.fid, &fid));

	CHECK_INT(count_files(&p, p.bob, false, &row), ==, 1);
	CHECK(slice_eq_str(row.name, "a.iso") && slice_eq_str(row.owner, "ann") && slice_eq_str(row.state, "ok"));
	CHECK_INT(row.seeders, ==, 1);
	CHECK_INT(row.size, ==, f.size);
	CHECK(id32_eq(&row.hash, &f.hash));
	CHECK_INT(CODE(p.r, p.cho, LIST_FILES, req_list_files, .group = S("team")), ==, SHOAL_EDENIED);

	struct rig_reply found = find(&p, p.bob, "a.iso", &rep);
	struct row_peer peer;
	struct ticket ticket;
	CHECK_INT(found.head.code, ==, SHOAL_OK);
	CHECK(id32_eq(&rep.content, &f.content) && slice_eq_str(rep.state, "ok"));
	CHECK_INT(ticket_open(rep.ticket, p.r->ticket_key, &ticket), ==, SHOAL_OK);
	CHECK(ticket_valid(&ticket, &p.bob->device, p.r->wall + p.r->now) && id16_eq(&ticket.gid, &p.gid));
	CHECK(!ticket_valid(&ticket, &p.ann->device, p.r->wall + p.r->now));
	CHECK_INT(get_u16(&found.fields), ==, 1);
	row_peer_get(&found.fields, &peer);
	CHECK(slice_eq_str(peer.user, "ann") && slice_eq_str(peer.address, "127.0.0.9:5000") && peer.complete);
	CHECK(id32_eq(&peer.identity, &p.ann->device));
	found = find(&p, p.ann, "a.iso", &rep); /* never the asker itself */
	CHECK_INT(get_u16(&found.fields), ==, 0);
	CHECK_INT(find(&p, p.cho, "a.iso", &rep).head.code, ==, SHOAL_EDENIED);
	CHECK_INT(find(&p, p.bob, "none", &rep).head.code, ==, SHOAL_ENOTFOUND);

	for (uint32_t chunk = 0; chunk < 3; chunk++) {
		REPLY(rep_hashes, h,
		      CALL(p.r, p.bob, GET_HASHES, req_get_hashes, .gid = p.gid, .fid = fid, .chunk = chunk));
		CHECK_INT(h.hashes.len, ==, chunk < 2 ? 1024 * 32 : (2500 - 2048) * 32);
		CHECK(memcmp(h.hashes.data, f.hashes.data + (size_t)chunk * 1024 * 32, h.hashes.len) == 0);
	}
	CHECK_INT(CODE(p.r, p.bob, GET_HASHES, req_get_hashes, .gid = p.gid, .fid = fid, .chunk = 3), ==, SHOAL_EUSAGE);
	CHECK_INT(CODE(p.r, p.cho, GET_HASHES, req_get_hashes, .gid = p.gid, .fid = fid), ==, SHOAL_EDENIED);
	buf_free(&f.hashes);
	rig_free(p.r);
}

static void metadata_must_fit_together(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 3), g = make_file(2, 3);
	CHECK_INT(put_hashes(&p, p.ann, &f, 0, 2), ==, SHOAL_OK);
	struct rig_reply some =
		upload(&p, p.ann, "x", &(struct fake_file){ .size = f.size, .hash = f.hash, .content = f.content });
	CHECK_INT(some.head.code, ==, SHOAL_ECONFLICT); /* one hash is missing */
	f.content = g.content;
	CHECK_INT(upload(&p, p.ann, "x", &f).head.code, ==, SHOAL_EINTEGRITY);
	CHECK_INT(count_files(&p, p.ann, true, NULL), ==, 0);
	CHECK_INT(upload(&p, p.ann, "x", &g).head.code, ==, SHOAL_OK);
	g.hash.b[0] ^= 1; /* the hashes are here, the file hash is a lie */
	CHECK_INT(upload(&p, p.bob, "y", &g).head.code, ==, SHOAL_EINTEGRITY);
	g.hash.b[0] ^= 1;
	CHECK_INT(upload(&p, p.bob, "y", &g).head.code, ==, SHOAL_OK); /* which hurts nobody else */
	buf_free(&f.hashes);
	buf_free(&g.hashes);
	rig_free(p.r);
}

static void uploads_are_checked(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 1), other = make_file(2, 1);
	CHECK_INT(CODE(p.r, p.cho, UPLOAD_CHECK, req_upload_check, .group = S("team"), .name = S("x"), .size = 1), ==,
	          SHOAL_EDENIED);
	CHECK_INT(CODE(p.r, p.ann, UPLOAD_CHECK, req_upload_check, .group = S("team"), .name = S("../x"), .size = 1),
	          ==, SHOAL_EUSAGE);
	CHECK_INT(CODE(p.r, p.ann, UPLOAD_CHECK, req_upload_check, .group = S("none"), .name = S("x"), .size = 1), ==,
	          SHOAL_ENOTFOUND);
	CHECK_INT(CODE(p.r, p.ann, UPLOAD_CHECK, req_upload_check, .group = S("team"), .name = S("x"),
	               .size = UINT64_MAX),
	          ==, SHOAL_EUSAGE);
	CHECK_INT(CODE(p.r, p.ann, PUT_HASHES, req_put_hashes, .content = f.content, .size = f.size, .first = 1,
	               .hashes = slice_of(f.hashes.data, 32)), ==, SHOAL_EUSAGE);
	CHECK_INT(CODE(p.r, p.ann, PUT_HASHES, req_put_hashes, .content = f.content, .size = f.size,
	               .hashes = slice_of(f.hashes.data, 31)), ==, SHOAL_EUSAGE);
	CHECK_INT(upload(&p, p.cho, "x", &f).head.code, ==, SHOAL_EDENIED);
	CHECK_INT(upload(&p, p.ann, "x/y", &f).head.code, ==, SHOAL_EUSAGE);
	CHECK_INT(upload(&p, p.ann, "x", &f).head.code, ==, SHOAL_OK);
	CHECK_INT(upload(&p, p.bob, "x", &other).head.code, ==, SHOAL_EEXISTS);
	REPLY(rep_upload_file_data, same, upload(&p, p.bob, "x", &f));
	CHECK(same.joined);
	REPLY(rep_upload_check, check,
	      CALL(p.r, p.ann, UPLOAD_CHECK, req_upload_check, .group = S("team"), .name = S("x"), .size = f.size));
	CHECK(check.exists && id32_eq(&check.content, &f.content));
	buf_free(&f.hashes);
	buf_free(&other.hashes);
	rig_free(p.r);
}

static void an_empty_file_needs_no_hashes(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 0);
	struct row_file row;
	CHECK_INT(upload(&p, p.ann, "empty", &f).head.code, ==, SHOAL_OK);
	CHECK_INT(count_files(&p, p.bob, false, &row), ==, 1);
	CHECK_INT(row.size, ==, 0);
	CHECK(slice_eq_str(row.state, "ok"));
	struct fake_file liar = make_file(1, 1); /* nothing, and the hash of something */
	liar.size = liar.pieces = 0;
	content_of(&liar, 0);
	CHECK_INT(upload(&p, p.ann, "liar", &liar).head.code, ==, SHOAL_EINTEGRITY);
	buf_free(&liar.hashes);
	rig_free(p.r);
}

static void an_upload_retried_is_the_same(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 2);
	struct id16 id = rig_request();
	CHECK_INT(put_hashes(&p, p.ann, &f, 0, 2), ==, SHOAL_OK);
	struct id16 fids[2];
	struct stamp stamps[2];
	for (int i = 0; i < 2; i++) {
		REPLY(rep_upload_file_data, up,
		      CALL_AS(p.r, p.ann, &id, UPLOAD_FILE_DATA, req_upload_file_data, .gid = p.gid, .name = S("x"),
		              .size = f.size, .piece_size = PIECE_SIZE, .file_hash = f.hash, .content = f.content));
		fids[i] = up.fid;
		stamps[i] = up_reply.head.stamp;
	}
	CHECK(id16_eq(&fids[0], &fids[1]) && stamp_cmp(&stamps[0], &stamps[1]) == 0);
	buf_free(&f.hashes);
	rig_free(p.r);
}

static void unfinished_uploads_are_bounded_and_forgotten(void)
{
	struct people p = start();
	struct fake_file f[17];
	for (uint8_t i = 0; i < 17; i++) {
		f[i] = make_file((uint8_t)(i + 1), 2);
		CHECK_INT(put_hashes(&p, p.ann, &f[i], 0, 1), ==, i < 16 ? SHOAL_OK : SHOAL_EBUSY);
	}
	for (int i = 0; i < 366; i++) {
		rig_pass(p.r, 10000);
		CHECK_INT(CODE(p.r, p.ann, HEARTBEAT, req_heartbeat, 0), ==, SHOAL_OK);
	}
	CHECK_INT(put_hashes(&p, p.ann, &f[16], 0, 2), ==, SHOAL_OK);
	REPLY(rep_put_hashes, have,
	      CALL(p.r, p.ann, PUT_HASHES, req_put_hashes, .content = f[0].content, .size = f[0].size, .first = 1,
	           .hashes = slice_of(f[0].hashes.data + 32, 32)));
	CHECK_INT(have.have, ==, 0); /* the first hash, put an hour ago, is gone */
	for (uint8_t i = 0; i < 17; i++)
		buf_free(&f[i].hashes);
	rig_free(p.r);
}

static void only_files_with_an_online_seeder_are_listed(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 2);
	struct row_file row;
	struct buf token = { 0 };
	CHECK_INT(upload(&p, p.ann, "x", &f).head.code, ==, SHOAL_OK);
	CHECK_INT(count_files(&p, p.bob, false, NULL), ==, 1);
	CHECK_INT(CODE(p.r, p.ann, LOGOUT, req_none), ==, SHOAL_OK);
	CHECK_INT(count_files(&p, p.bob, false, NULL), ==, 0);
	CHECK_INT(count_files(&p, p.bob, true, &row), ==, 1);
	CHECK_INT(row.seeders, ==, 0);
	/* logged in again from the same device: everything shared before is there again */
	CHECK_INT(CODE(p.r, p.ann, LOGIN, req_user_password, .user = S("ann"), .password = S("ann-pw")), ==, SHOAL_OK);
	CHECK_INT(count_files(&p, p.bob, false, NULL), ==, 1);
	rig_break(p.r, p.ann); /* a dead connection: after the grace it is as good as logged out */
	rig_pass(p.r, 3100);
	CHECK_INT(count_files(&p, p.bob, false, NULL), ==, 0);
	struct rig_conn *elsewhere = rig_login(p.r, "ann", 9); /* another device does not have the file */
	CHECK_INT(count_files(&p, p.bob, false, NULL), ==, 0);
	REPLY(rep_upload_file_data, up, upload(&p, elsewhere, "x", &f));
	CHECK(up.joined);
	CHECK_INT(count_files(&p, p.bob, false, &row), ==, 1);
	CHECK_INT(row.seeders, ==, 1);
	buf_free(&token);
	buf_free(&f.hashes);
	rig_free(p.r);
}

static void stop_share_removes_with_the_last_online_seeder(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 2);
	CHECK_INT(upload(&p, p.ann, "x", &f).head.code, ==, SHOAL_OK);
	REPLY(rep_upload_file_data, up, upload(&p, p.bob, "x", &f));
	struct id16 fid = up.fid;
	CHECK_INT(CODE(p.r, p.cho, STOP_SHARE, req_file, .group = S("team"), .file = S("x")), !=, SHOAL_OK);
	REPLY(rep_stop_share, one, CALL(p.r, p.ann, STOP_SHARE, req_file, .group = S("team"), .file = S("x")));
	CHECK(!one.removed && id16_eq(&one.fid, &fid));
	NO_EVENT(p.bob, FILE_REMOVED);
	CHECK_INT(count_files(&p, p.bob, false, NULL), ==, 1);
	CHECK_INT(CODE(p.r, p.ann, STOP_SHARE, req_file, .group = S("team"), .file = S("x")), ==, SHOAL_ENOTFOUND);
	REPLY(rep_stop_share, two, CALL(p.r, p.bob, STOP_SHARE, req_file, .group = S("team"), .file = S("x")));
	CHECK(two.removed);
	EVENT(ev_file_removed, gone, p.ann, FILE_REMOVED);
	CHECK(id16_eq(&gone.fid, &fid));
	CHECK_INT(count_files(&p, p.bob, true, NULL), ==, 0);
	buf_free(&f.hashes);
	rig_free(p.r);
}

/* An offline seeder loses its share with the removal, and learns of it from the digest at its next login. */
static void the_heartbeat_tells_that_shares_differ(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 2);
	uint8_t both[32];
	struct id32 hash;
	uint64_t digest = 0;
	REPLY(rep_upload_file_data, up, upload(&p, p.ann, "x", &f));
	memcpy(both, p.gid.b, 16);
	memcpy(both + 16, up.fid.b, 16);
	sha256_of(both, 32, &hash);
	for (int i = 0; i < 8; i++)
		digest = digest << 8 | hash.b[i];
	REPLY(rep_heartbeat, same, CALL(p.r, p.ann, HEARTBEAT, req_heartbeat, .shares = 1, .shares_digest = digest));
	CHECK(!same.differ);
	REPLY(rep_heartbeat, other,
	      CALL(p.r, p.ann, HEARTBEAT, req_heartbeat, .shares = 1, .shares_digest = digest + 1));
	CHECK(other.differ);
	struct rig_reply mine = CALL(p.r, p.ann, MY_SHARES, req_none);
	struct row_share row;
	CHECK_INT(get_u16(&mine.fields), ==, 1);
	row_share_get(&mine.fields, &row);
	CHECK(slice_eq_str(row.group, "team") && slice_eq_str(row.file, "x") && id32_eq(&row.device, &p.ann->device));

	CHECK_INT(upload(&p, p.bob, "x", &f).head.code, ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.ann, LOGOUT, req_none), ==, SHOAL_OK);
	REPLY(rep_stop_share, stop, CALL(p.r, p.bob, STOP_SHARE, req_file, .group = S("team"), .file = S("x")));
	CHECK(stop.removed);
	CHECK_INT(CODE(p.r, p.ann, LOGIN, req_user_password, .user = S("ann"), .password = S("ann-pw")), ==, SHOAL_OK);
	REPLY(rep_heartbeat, gone, CALL(p.r, p.ann, HEARTBEAT, req_heartbeat, .shares = 1, .shares_digest = digest));
	CHECK(gone.differ);
	buf_free(&f.hashes);
	rig_free(p.r);
}

static void leechers_meet_and_become_seeders(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 8);
	struct row_peer peer;
	struct rep_announce rep;
	REPLY(rep_upload_file_data, up, upload(&p, p.ann, "x", &f));
	struct id16 fid = up.fid;
	struct rig_conn *bob2 = rig_login(p.r, "bob", 7);
	struct rig_reply a = CALL(p.r, p.bob, ANNOUNCE, req_announce, .gid = p.gid, .fid = fid, .pieces = 3);
	CHECK_INT(a.head.code, ==, SHOAL_OK);
	rep_announce_get(&a.fields, &rep);
	CHECK_INT(get_u16(&a.fields), ==, 1); /* ann */
	a = CALL(p.r, bob2, ANNOUNCE, req_announce, .gid = p.gid, .fid = fid, .pieces = 1);
	rep_announce_get(&a.fields, &rep);
	CHECK_INT(get_u16(&a.fields), ==, 2); /* ann, and bob's other device */
	unsigned complete = 0;
	for (int i = 0; i < 2; i++) {
		row_peer_get(&a.fields, &peer);
		complete += peer.complete;
	}
	CHECK_INT(complete, ==, 1);
	CHECK_INT(CODE(p.r, p.cho, ANNOUNCE, req_announce, .gid = p.gid, .fid = fid), ==, SHOAL_EDENIED);
	CHECK_INT(CODE(p.r, p.bob, ANNOUNCE, req_announce, .gid = p.gid, .fid = fid, .pieces = 9), ==, SHOAL_EUSAGE);

	CHECK_INT(CODE(p.r, p.bob, UPDATE_FILE_INFO, req_fid, .gid = p.gid, .fid = fid), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.cho, UPDATE_FILE_INFO, req_fid, .gid = p.gid, .fid = fid), ==, SHOAL_EDENIED);
	a = CALL(p.r, bob2, ANNOUNCE, req_announce, .gid = p.gid, .fid = fid, .pieces = 2);
	rep_announce_get(&a.fields, &rep);
	CHECK_INT(get_u16(&a.fields), ==, 2);
	for (int i = 0; i < 2; i++) {
		row_peer_get(&a.fields, &peer);
		CHECK(peer.complete);
	}
	CHECK_INT(CODE(p.r, bob2, ANNOUNCE, req_announce, .gid = p.gid, .fid = fid, .stopped = 1), ==, SHOAL_OK);
	struct rep_find rf;
	struct rig_reply found = find(&p, p.ann, "x", &rf);
	CHECK_INT(get_u16(&found.fields), ==, 1);
	buf_free(&f.hashes);
	rig_free(p.r);
}

static void an_announce_lasts_a_minute(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 8);
	struct rep_find rf;
	REPLY(rep_upload_file_data, up, upload(&p, p.ann, "x", &f));
	CHECK_INT(CODE(p.r, p.bob, ANNOUNCE, req_announce, .gid = p.gid, .fid = up.fid, .pieces = 3), ==, SHOAL_OK);
	for (int i = 0; i < 7; i++) {
		struct rig_reply found = find(&p, p.ann, "x", &rf);
		CHECK_INT(get_u16(&found.fields), ==, i < 6);
		CHECK_INT(CODE(p.r, p.bob, HEARTBEAT, req_heartbeat, 0), ==, SHOAL_OK);
		rig_pass(p.r, 10500);
	}
	buf_free(&f.hashes);
	rig_free(p.r);
}

static void the_unreachable_is_asked_to_dial(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 8);
	REPLY(rep_upload_file_data, up, upload(&p, p.ann, "x", &f));
	struct id16 fid = up.fid;
	CHECK_INT(CODE(p.r, p.bob, UNREACHABLE, req_unreachable, .fid = fid, .peer = p.ann->device), ==, SHOAL_OK);
	EVENT(ev_dial, dial, p.ann, DIAL);
	CHECK(id16_eq(&dial.fid, &fid) && id32_eq(&dial.identity, &p.bob->device));
	CHECK(slice_eq_str(dial.address, "127.0.0.9:5000"));
	CHECK_INT(CODE(p.r, p.cho, UNREACHABLE, req_unreachable, .fid = fid, .peer = p.ann->device), ==, SHOAL_OK);
	NO_EVENT(p.ann, DIAL); /* no group in common: nobody is made to dial */
	buf_free(&f.hashes);
	rig_free(p.r);
}

static void who_cannot_be_reached_and_says_nothing_is_gone(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 8);
	REPLY(rep_upload_file_data, up, upload(&p, p.ann, "x", &f));
	struct id16 fid = up.fid;
	CHECK_INT(CODE(p.r, p.bob, UNREACHABLE, req_unreachable, .fid = fid, .peer = p.ann->device), ==, SHOAL_OK);
	CHECK_INT(CODE(p.r, p.ann, HEARTBEAT, req_heartbeat, 0), ==, SHOAL_OK); /* she is there */
	rig_pass(p.r, 4000);
	CHECK(!p.ann->closed);
	CHECK_INT(CODE(p.r, p.bob, UNREACHABLE, req_unreachable, .fid = fid, .peer = p.ann->device), ==, SHOAL_OK);
	rig_pass(p.r, 1500);
	CHECK(!p.ann->closed);
	rig_pass(p.r, 2000);
	CHECK(p.ann->closed);
	rig_pass(p.r, 3500); /* the grace for a reconnect */
	REPLY(rep_find, found, CALL(p.r, p.bob, FIND, req_file, .group = S("team"), .file = S("x")));
	CHECK_INT(get_u16(&found_reply.fields), ==, 0); /* nobody who could be asked */
	buf_free(&f.hashes);
	rig_free(p.r);
}

static void reports_of_unreachable_peers_are_limited(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 8);
	REPLY(rep_upload_file_data, up, upload(&p, p.ann, "x", &f));
	struct id16 fid = up.fid;
	unsigned taken = 0;
	for (int i = 0; i < 200; i++) {
		enum shoal_err rc = CODE(p.r, p.bob, UNREACHABLE, req_unreachable, .fid = fid, .peer = p.ann->device);
		CHECK(rc == SHOAL_OK || rc == SHOAL_EQUOTA);
		taken += rc == SHOAL_OK;
		rig_forget_events(p.ann);
	}
	CHECK_INT(taken, ==, 64);
	CHECK_INT(CODE(p.r, p.ann, UNREACHABLE, req_unreachable, .fid = fid, .peer = p.bob->device), ==, SHOAL_OK); /* his only */
	rig_pass(p.r, 1000);
	CHECK_INT(CODE(p.r, p.bob, UNREACHABLE, req_unreachable, .fid = fid, .peer = p.ann->device), ==, SHOAL_OK);
	buf_free(&f.hashes);
	rig_free(p.r);
}

static void everything_is_there_after_a_restart(void)
{
	struct people p = start();
	struct fake_file f = make_file(1, 1500);
	struct row_file row;
	CHECK_INT(upload(&p, p.ann, "x", &f).head.code, ==, SHOAL_OK);
	rig_stop(p.r);
	rig_start(p.r);
	struct rig_conn *bob = rig_login(p.r, "bob", 2);
	CHECK_INT(count_files(&p, bob, false, NULL), ==, 0); /* nobody is online who has not spoken */
	CHECK_INT(count_files(&p, bob, true, &row), ==, 1);
	CHECK(slice_eq_str(row.state, "ok"));
	rig_login(p.r, "ann", 1);
	CHECK_INT(count_files(&p, bob, false, NULL), ==, 1);
	REPLY(rep_hashes, h, CALL(p.r, bob, GET_HASHES, req_get_hashes, .gid = p.gid, .fid = row.fid, .chunk = 1));
	CHECK_INT(h.hashes.len, ==, (1500 - 1024) * 32);
	buf_free(&f.hashes);
	rig_free(p.r);
}

static void alone_everything_is_synced(void)
{
	struct people p = start();
	struct rig_reply made = CALL(p.r, p.ann, CREATE_GROUP, req_group, .group = S("other"));
	struct buf stamps = { 0 };
	stamp_put(&stamps, &made.head.stamp);
	struct slice s = slice_of(stamps.data, stamps.len);
	REPLY(rep_wait_synced, w, CALL(p.r, p.ann, WAIT_SYNCED, req_wait_synced, .stamps = s));
	CHECK_INT(w.trackers, ==, 0);
	CHECK_INT(w.ids.len, ==, 2); /* itself */
	CHECK_INT(w.ids.data[1], ==, 1);
	CHECK_INT(CODE(p.r, p.ann, WAIT_SYNCED, req_wait_synced, .stamps = s, .count = 1), ==, SHOAL_EUSAGE);
	CHECK_INT(CODE(p.r, p.ann, WAIT_SYNCED, req_wait_synced, .stamps = slice_of(stamps.data, 5)), ==, SHOAL_EUSAGE);
	buf_reset(&stamps);
	struct stamp unknown = { .hlc = 1, .tracker = 2, .dot = { .log = 5, .seq = 5 } };
	stamp_put(&stamps, &unknown);
	struct buf fields = { 0 };
	struct rig_reply reply;
	struct req_wait_synced q = { .stamps = slice_of(stamps.data, stamps.len), .timeout_ms = 3000 };
	req_wait_synced_put(&fields, &q);
	uint32_t serial = rig_post(p.r, p.ann, VERB_WAIT_SYNCED, &(struct id16){ { 0 } }, &fields);
	rig_pass(p.r, 2900);
	CHECK(!rig_take(p.ann, serial, &reply));
	rig_pass(p.r, 200);
	CHECK(rig_take(p.ann, serial, &reply));
	CHECK_INT(reply.head.code, ==, SHOAL_ETIMEOUT);
	buf_free(&stamps);
	rig_free(p.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_uploaded_listed_and_found), TEST(metadata_must_fit_together), TEST(uploads_are_checked),
		TEST(an_empty_file_needs_no_hashes), TEST(an_upload_retried_is_the_same),
		TEST(unfinished_uploads_are_bounded_and_forgotten), TEST(only_files_with_an_online_seeder_are_listed),
		TEST(stop_share_removes_with_the_last_online_seeder), TEST(the_heartbeat_tells_that_shares_differ),
		TEST(leechers_meet_and_become_seeders), TEST(an_announce_lasts_a_minute),
		TEST(the_unreachable_is_asked_to_dial), TEST(who_cannot_be_reached_and_says_nothing_is_gone),
		TEST(reports_of_unreachable_peers_are_limited), TEST(everything_is_there_after_a_restart),
		TEST(alone_everything_is_synced),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
