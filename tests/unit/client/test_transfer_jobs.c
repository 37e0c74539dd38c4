/* tests/unit/client/test_transfer_jobs.c - jobs: what is there already, places, cancelling, being late, a full disk. */
#include <sched.h>
#include <sys/mount.h>

#include "client/meta.h"
#include "tests/unit/client/transfer_world.h"

/* What is there already, or empty, comes over no connection; it is served to the next one all the same. */
static void what_was_there_already_is_served(void)
{
	struct world *w = world_new(3, false);
	char *empty = upload_done(w, 0, "empty", 0), *song = upload_done(w, 0, "song", 3 * PIECE_SIZE + 5);

	snprintf(w->clients[1].path, sizeof(w->clients[1].path), "%s/here", w->clients[1].folder);
	char *command = str_printf("cp '%s' '%s'", song, w->clients[1].path);
	CHECK_INT(system(command), ==, 0);
	wait_and_expect(w, 1, download_to(w, 1, "song", w->clients[1].path, defaults));
	CHECK_INT(w->clients[1].nshared, ==, 1);
	client_stop(w, 0);
	wait_and_expect(w, 2, download(w, 2, "song", (struct call_opts){ .timeout_ms = 5000 }));
	same_bytes(song, w->clients[2].path);
	wait_and_expect(w, 2, download(w, 2, "empty", defaults));
	free(command);
	free(empty);
	free(song);
	world_free(w);
}

/* The client stops when the file has its name and the tracker has not heard of it. */
static void a_published_file_is_shared_by_the_next_try(void)
{
	struct world *w = world_new(3, true);
	char *song = upload_done(w, 0, "song", 4 * PIECE_SIZE), *dest;

	w->deaf = VERB_UPDATE_FILE_INFO;
	download(w, 1, "song", defaults);
	dest = xstrdup(w->clients[1].path);
	run_until(w, deaf_was_asked);
	CHECK(access(dest, F_OK) == 0);
	client_stop(w, 1);
	CHECK_INT(w->clients[1].nshared, ==, 0);
	w->deaf = NOT_DEAF;
	client_start(w, 1);
	uint64_t again = download_to(w, 1, "song", dest, defaults);
	wait_and_expect(w, 1, again);
	CHECK_INT(job_of(w, 1, again).resumed, ==, 4 * PIECE_SIZE);
	CHECK_INT(w->clients[1].nshared, ==, 1);
	client_stop(w, 0);
	wait_and_expect(w, 2, download(w, 2, "song", defaults));
	same_bytes(song, w->clients[2].path);
	free(dest);
	free(song);
	world_free(w);
}

static void our_own_share_is_copied(void)
{
	struct world *w = world_new(2, true);
	char *song = upload_done(w, 0, "song", 70 * PIECE_SIZE + 9), *inner;
	struct call_opts again = { .on_exists = EXISTS_REPLACE };

	wait_and_expect(w, 0, download(w, 0, "song", defaults));
	same_bytes(song, w->clients[0].path);
	CHECK_INT(w->clients[0].nshared, ==, 1); /* the first one goes on being the one that is shared */
	inner = str_printf("%s.part", w->clients[0].path);
	CHECK(access(inner, F_OK) != 0);
	CHECK_INT(unlink(w->clients[0].path), ==, 0);
	/* over itself: afterwards the new one is served */
	wait_and_expect(w, 0, download_to(w, 0, "song", song, again));
	CHECK_INT(w->clients[0].nshared, ==, 2);
	wait_and_expect(w, 1, download(w, 1, "song", defaults));
	same_bytes(song, w->clients[1].path);
	CHECK_INT(w->clients[0].nunshared, ==, 0);
	free(inner);
	free(song);
	world_free(w);
}

/* Damaged in place, its marks set back: only what is right is taken, the rest comes from others. */
static void a_damaged_share_of_ours_is_not_copied(void)
{
	struct world *w = world_new(2, true);
	char *song = upload_done(w, 0, "song", 6 * PIECE_SIZE);
	struct stat st;

	wait_and_expect(w, 1, download(w, 1, "song", defaults));
	int fd = open(w->clients[1].path, O_WRONLY | O_CLOEXEC);
	CHECK_INT(fstat(fd, &st), ==, 0);
	CHECK(lseek(fd, 2 * PIECE_SIZE + 7, SEEK_SET) > 0);
	CHECK_INT(write(fd, "damaged", 7), ==, 7);
	struct timespec times[2] = { st.st_atim, st.st_mtim };
	CHECK_INT(futimens(fd, times), ==, 0);
	close(fd);
	char *copy = str_printf("%s/copy", w->clients[1].folder);
	uint64_t job = download_to(w, 1, "song", copy, defaults);
	wait_and_expect(w, 1, job);
	same_bytes(song, copy);
	CHECK_INT(job_of(w, 1, job).sources, ==, 1);
	CHECK_INT(w->clients[1].nshared, ==, 2); /* the good one is shared from now on */
	free(copy);
	free(song);
	world_free(w);
}

static uint64_t over(struct world *w, const char *dest, enum on_exists policy)
{
	uint64_t job = download_to(w, 1, "song", dest, (struct call_opts){ .on_exists = policy });

	run_until(w, all_ended);
	return job;
}

static void every_policy_about_a_file_that_is_there(void)
{
	struct world *w = world_new(2, false);
	char *song = upload_done(w, 0, "song", PIECE_SIZE + 3), *other = make_file(w, 1, "other", PIECE_SIZE + 3);
	char *dest = str_printf("%s/dest", w->clients[1].folder), *renamed = str_printf("%s.1", dest);
	char *command = str_printf("cp '%s' '%s'", other, dest);

	CHECK_INT(system(command), ==, 0);
	uint64_t fail = over(w, dest, EXISTS_FAIL), resume = over(w, dest, EXISTS_RESUME);
	CHECK_INT(job_of(w, 1, fail).error.code, ==, SHOAL_EEXISTS);
	CHECK(strstr(job_of(w, 1, fail).error.message, dest) != NULL);
	CHECK_INT(job_of(w, 1, resume).error.code, ==, SHOAL_EEXISTS);
	same_bytes(other, dest);
	expect_done(w, 1, over(w, dest, EXISTS_SKIP));
	same_bytes(other, dest);
	CHECK_INT(w->clients[1].nshared, ==, 0); /* nobody knows what it is */
	uint64_t rename = over(w, dest, EXISTS_RENAME);
	expect_done(w, 1, rename);
	CHECK_STR(job_of(w, 1, rename).path, renamed);
	same_bytes(other, dest);
	same_bytes(song, renamed);
	expect_done(w, 1, over(w, dest, EXISTS_REPLACE));
	same_bytes(song, dest);
	uint64_t same = over(w, dest, EXISTS_RESUME);
	expect_done(w, 1, same);
	CHECK_INT(job_of(w, 1, same).resumed, ==, PIECE_SIZE + 3);
	CHECK_INT(job_of(w, 1, over(w, dest, EXISTS_FAIL)).error.code, ==, SHOAL_EEXISTS);
	free(command);
	free(renamed);
	free(dest);
	free(other);
	free(song);
	world_free(w);
}

static bool second_moves(struct world *w)
{
	return job_of(w, 1, 2).bytes > 0;
}

static bool third_done(struct world *w)
{
	return job_of(w, 1, 3).state == JOB_STATE_DONE;
}

static void a_paused_job_gives_its_place(void)
{
	struct world *w = world_new(1, true);
	char *a = upload_done(w, 0, "a", 8 * PIECE_SIZE), *b = upload_done(w, 0, "b", 8 * PIECE_SIZE);
	char *c = upload_done(w, 0, "c", PIECE_SIZE);
	struct call_opts slow = { .limit = 2u << 20 };

	w->clients[1].config.max_active = 1;
	client_start(w, 1);
	uint64_t first = download(w, 1, "a", slow), second = download(w, 1, "b", slow), third = download(w, 1, "c", defaults);
	run_until(w, half_there);
	CHECK_INT(job_of(w, 1, second).state, ==, JOB_STATE_QUEUED);
	command(w, 1, CALL_JOB_PAUSE, first, defaults);
	run_until(w, second_moves);
	CHECK_INT(job_of(w, 1, first).state, ==, JOB_STATE_PAUSED);
	command(w, 1, CALL_JOB_RESUME, first, defaults); /* there is no place for it */
	CHECK_INT(job_of(w, 1, first).state, ==, JOB_STATE_QUEUED);
	command(w, 1, CALL_JOB_PAUSE, first, defaults);
	command(w, 1, CALL_JOB_PAUSE, third, defaults); /* before it was ever started */
	command(w, 1, CALL_JOB_RESUME, third, defaults);
	command(w, 1, CALL_JOB_CANCEL, second, defaults);
	run_until(w, third_done);
	CHECK_INT(job_of(w, 1, first).state, ==, JOB_STATE_PAUSED);
	command(w, 1, CALL_JOB_LIMIT, first, defaults);
	command(w, 1, CALL_JOB_RESUME, first, defaults);
	wait_and_expect(w, 1, first);
	same_bytes(a, job_of(w, 1, first).path);
	free(a);
	free(b);
	free(c);
	world_free(w);
}

static bool first_client_hashes(struct world *w)
{
	for (uint64_t n = 1; n < 10; n++) {
		struct job_info info;
		if (transfers_job_info(w->clients[0].t, n, &info) && info.state == JOB_STATE_HASHING)
			return true;
	}
	return all_ended(w);
}

static void an_upload_can_be_cancelled_and_be_late(void)
{
	struct world *w = world_new(1, false);
	char *path = make_file(w, 0, "song", 64 * PIECE_SIZE);
	uint64_t cancelled = upload(w, 0, path);

	w->deaf = VERB_UPLOAD_CHECK;
	run_until(w, deaf_was_asked);
	command(w, 0, CALL_JOB_CANCEL, cancelled, defaults);
	CHECK_INT(job_of(w, 0, cancelled).state, ==, JOB_STATE_CANCELLED);
	w->deaf_asked = false;
	struct call c = { .kind = CALL_UPLOAD, .group = "g", .path = path, .opts.timeout_ms = 300 };
	uint64_t late = transfers_upload(w->clients[0].t, &c);
	run_until(w, all_ended);
	CHECK(w->deaf_asked);
	CHECK_INT(job_of(w, 0, late).state, ==, JOB_STATE_FAILED);
	CHECK_INT(job_of(w, 0, late).error.code, ==, SHOAL_ETIMEOUT);
	w->deaf = NOT_DEAF;
	uint64_t hashing = upload(w, 0, path);
	run_until(w, first_client_hashes);
	command(w, 0, CALL_JOB_CANCEL, hashing, defaults);
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 0, hashing).state, ==, JOB_STATE_CANCELLED);
	CHECK_INT(w->clients[0].nshared, ==, 0);
	free(path);
	world_free(w);
}

static bool something_to_keep(struct world *w)
{
	return w->clients[0].to_keep != 0 || w->clients[1].to_keep != 0;
}

/* Whoever is told "done" may be killed the next moment, and shares the file after his next start. */
static void nothing_is_done_before_it_is_kept(void)
{
	struct world *w = world_new(2, true);
	char *path = make_file(w, 0, "song", 2 * PIECE_SIZE);
	struct call cancel = { .kind = CALL_JOB_CANCEL };

	w->clients[0].slow_disk = w->clients[1].slow_disk = true;
	uint64_t up = upload(w, 0, path);
	run_until(w, something_to_keep);
	CHECK(!job_state_final(job_of(w, 0, up).state));
	cancel.job = up;
	transfers_answer(w->clients[0].t, &cancel); /* too late: everybody knows of it */
	CHECK(!job_state_final(job_of(w, 0, up).state));
	transfers_kept(w->clients[0].t, up);
	CHECK_INT(job_of(w, 0, up).state, ==, JOB_STATE_DONE);
	w->clients[0].to_keep = 0;

	uint64_t down = download(w, 1, "song", defaults);
	run_until(w, something_to_keep);
	CHECK(!job_state_final(job_of(w, 1, down).state));
	transfers_kept(w->clients[1].t, down);
	run_until(w, all_ended);
	expect_done(w, 1, down);
	free(path);
	world_free(w);
}

/* -- a full disk */

/* A file system of that size of our own, seen by nobody else. False: one has to be root for it. */
static bool small_disk(const char *path, const char *options)
{
	return mkdir(path, 0700) == 0 && unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("tmpfs", path, "tmpfs", 0, options) == 0;
}

static void fill(const char *path, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK_INT(posix_fallocate(fd, 0, (off_t)size), ==, 0);
	close(fd);
}

static bool both_stalled(struct world *w)
{
	return w->clients[1].nstalled == 2;
}

static void a_full_disk_is_waited_for(void)
{
	char *disk = str_printf("%s/disk", check_folder()), *filler = str_printf("%s/filler", disk);
	char *dest = str_printf("%s/song", disk), *part = str_printf("%s.part", dest);
	char *second = str_printf("%s/second", disk);

	if (!small_disk(disk, "size=8m"))
		skip();
	struct world *w = world_new(2, true);
	char *song = upload_done(w, 0, "song", 10 * PIECE_SIZE + 1);
	fill(filler, 4 << 20);
	uint64_t job = download_to(w, 1, "song", dest, defaults), other = download_to(w, 1, "song", second, defaults);
	run_until(w, both_stalled);
	CHECK_INT(job_of(w, 1, job).state, ==, JOB_STATE_STALLED);
	CHECK_INT(job_of(w, 1, job).error.code, ==, SHOAL_EDISKFULL);
	command(w, 1, CALL_JOB_CANCEL, other, defaults); /* one that waits for room can be cancelled */
	CHECK_INT(unlink(filler), ==, 0);
	wait_and_expect(w, 1, job);
	CHECK_INT(job_of(w, 1, other).state, ==, JOB_STATE_CANCELLED);
	same_bytes(song, dest);
	CHECK(access(part, F_OK) != 0);
	world_free(w);
	CHECK_INT(umount2(disk, MNT_DETACH), ==, 0);
	free(song);
	free(second);
	free(part);
	free(dest);
	free(filler);
	free(disk);
}

/* -- many pieces */

struct got_meta {
	struct metainfo *meta;
	enum shoal_err code;
};

static struct got_meta *fetched(struct world *w)
{
	return w->scratch;
}

static void on_fetched(void *arg, struct metainfo *meta, const struct error *e)
{
	*(struct got_meta *)arg = (struct got_meta){ .meta = meta, .code = e->code };
}

static bool meta_is_there(struct world *w)
{
	return fetched(w)->meta != NULL || fetched(w)->code != SHOAL_OK;
}

static void fetch_meta(struct world *w, enum shoal_err code)
{
	const struct req_upload_file_data *head = &w->files[0].head;
	struct meta_wanted wanted = { .gid = w->gid, .fid = w->files[0].fid, .size = head->size,
		                      .piece_size = head->piece_size, .file_hash = head->file_hash, .content = head->content };
	struct error e = { 0 };

	*fetched(w) = (struct got_meta){ 0 };
	CHECK(meta_fetch_start(w->clients[1].t, &wanted, on_fetched, fetched(w), &e) != NULL);
	run_until(w, meta_is_there);
	CHECK_INT(fetched(w)->code, ==, code);
}

/* 1030 pieces are two chunks of hashes, on their way up and down again, and once more out of the cache. */
static void more_hashes_than_one_chunk(void)
{
	struct world *w = world_new(2, true);
	struct got_meta got = { 0 };
	char *path = str_printf("%s/sparse", w->clients[0].folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	uint32_t n = METAINFO_CHUNK + 6;

	CHECK(lseek(fd, (off_t)(n - 1) * PIECE_SIZE, SEEK_SET) > 0);
	CHECK_INT(write(fd, "end", 3), ==, 3);
	close(fd);
	w->scratch = &got;
	uint64_t job = upload(w, 0, path);
	wait_and_expect(w, 0, job);
	CHECK_INT(job_of(w, 0, job).pieces_total, ==, n);
	CHECK_INT(w->staged.n, ==, n);

	w->files[0].hashes[METAINFO_CHUNK + 2].b[0] ^= 1; /* a tracker that lies is found out */
	fetch_meta(w, SHOAL_EINTEGRITY);
	w->files[0].hashes[METAINFO_CHUNK + 2].b[0] ^= 1;
	fetch_meta(w, SHOAL_OK);
	CHECK_INT(fetched(w)->meta->npieces, ==, n);
	for (uint32_t chunk = 0; chunk < 2; chunk++) {
		uint32_t len;
		const struct id32 *hashes = metainfo_get_chunk(fetched(w)->meta, chunk, &len);
		CHECK_INT(len, ==, chunk == 0 ? METAINFO_CHUNK : 6);
		CHECK_INT(memcmp(hashes, w->files[0].hashes + chunk * METAINFO_CHUNK, len * sizeof(*hashes)), ==, 0);
	}
	metainfo_free(fetched(w)->meta);
	w->deaf = VERB_GET_HASHES;
	fetch_meta(w, SHOAL_OK);
	CHECK(!w->deaf_asked);
	metainfo_free(fetched(w)->meta);
	free(path);
	world_free(w);
}

static const struct CMUnitTest tests[] = {
	TEST(what_was_there_already_is_served),
	TEST(a_published_file_is_shared_by_the_next_try),
	TEST(our_own_share_is_copied),
	TEST(a_damaged_share_of_ours_is_not_copied),
	TEST(every_policy_about_a_file_that_is_there),
	TEST(a_paused_job_gives_its_place),
	TEST(an_upload_can_be_cancelled_and_be_late),
	TEST(nothing_is_done_before_it_is_kept),
	TEST(a_full_disk_is_waited_for),
	TEST(more_hashes_than_one_chunk),
};
CHECK_MAIN(tests)
