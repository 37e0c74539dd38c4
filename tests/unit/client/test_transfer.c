/* tests/unit/client/test_transfer.c - downloads between whole clients: the stories of a user's day. */
#include "tests/unit/client/transfer_world.h"

static void one_to_one(bool plain, size_t size)
{
	struct world *w = world_new(2, plain);
	char *path = upload_done(w, 0, "song", size);
	uint64_t job = download(w, 1, "song", defaults);

	run_until(w, all_ended);
	expect_done(w, 1, job);
	same_bytes(path, w->clients[1].path);
	CHECK_INT(job_of(w, 1, job).bytes, ==, size);
	CHECK_INT(w->clients[1].nshared, ==, 1);
	free(path);
	world_free(w);
}

static void a_file_goes_from_one_to_another(void)
{
	one_to_one(false, 5 * PIECE_SIZE + 17);
	one_to_one(true, 20 * PIECE_SIZE);
}

static void odd_sizes_arrive(void)
{
	static const size_t sizes[] = { 0, 1, PIECE_SIZE - 1, PIECE_SIZE, PIECE_SIZE + 1 };

	for (size_t i = 0; i < COUNT_OF(sizes); i++)
		one_to_one(i % 2 == 0, sizes[i]);
}

static void leechers_serve_each_other(void)
{
	struct world *w = world_new(4, false);
	char *path = upload_done(w, 0, "film", 24 * PIECE_SIZE + 5);
	uint64_t jobs[4] = { 0 };

	for (unsigned i = 1; i < 4; i++)
		jobs[i] = download(w, i, "film", defaults);
	run_until(w, all_ended);
	uint32_t relayed = 0;
	for (unsigned i = 1; i < 4; i++) {
		expect_done(w, i, jobs[i]);
		same_bytes(path, w->clients[i].path);
		relayed += job_of(w, i, jobs[i]).sources > 1;
	}
	CHECK_INT(relayed, >, 0);
	free(path);
	world_free(w);
}

static void who_has_finished_serves_the_next(void)
{
	struct world *w = world_new(3, true);
	char *path = upload_done(w, 0, "song", 3 * PIECE_SIZE + 17);
	uint64_t first = download(w, 1, "song", defaults);

	run_until(w, all_ended);
	expect_done(w, 1, first);
	client_stop(w, 0);
	uint64_t second = download(w, 2, "song", defaults);
	run_until(w, all_ended);
	expect_done(w, 2, second);
	same_bytes(path, w->clients[2].path);
	free(path);
	world_free(w);
}

static void many_files_share_one_connection(void)
{
	struct world *w = world_new(2, false);
	char *paths[30], name[16];
	uint64_t jobs[30];

	for (unsigned i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		paths[i] = upload_done(w, 0, name, 1 + check_random(2 * PIECE_SIZE));
	}
	for (unsigned i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		jobs[i] = download(w, 1, name, defaults);
	}
	run_until(w, all_ended);
	for (unsigned i = 0; i < 30; i++) {
		expect_done(w, 1, jobs[i]);
		same_bytes(paths[i], job_of(w, 1, jobs[i]).path);
		free(paths[i]);
	}
	world_free(w);
}

static void a_dead_seeder_is_replaced(void)
{
	struct world *w = world_new(3, true);
	char *path = upload_done(w, 0, "film", 16 * PIECE_SIZE);
	uint64_t copy = download(w, 2, "film", defaults);

	run_until(w, all_ended);
	expect_done(w, 2, copy);
	uint64_t job = download(w, 1, "film", (struct call_opts){ .limit = 8u << 20 });
	run_until(w, half_there);
	client_stop(w, 0);
	run_until(w, all_ended);
	expect_done(w, 1, job);
	same_bytes(path, w->clients[1].path);
	free(path);
	world_free(w);
}

static bool stalled(struct world *w)
{
	return w->clients[1].nstalled > 0;
}

static void it_waits_for_a_seeder_and_goes_on(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", 3 * PIECE_SIZE);

	w->clients[0].offline = true;
	uint64_t job = download(w, 1, "song", defaults);
	run_until(w, stalled);
	CHECK_INT(w->clients[1].stall, ==, SHOAL_ENOSEEDER);
	w->clients[0].offline = false;
	run_until(w, all_ended);
	expect_done(w, 1, job);
	free(path);
	world_free(w);
}

static void without_a_seeder_it_fails_in_time(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", 3 * PIECE_SIZE);

	w->clients[0].offline = true;
	uint64_t job = download(w, 1, "song", (struct call_opts){ .wait_for_seeder_ms = 4000 });
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 1, job).error.code, ==, SHOAL_ENOSEEDER);
	free(path);
	world_free(w);
}

static void damaged_pieces_are_refused_and_found_elsewhere(void)
{
	struct world *w = world_new(3, true);
	char *path = upload_done(w, 0, "song", 24 * PIECE_SIZE);
	char *other = make_file(w, 1, "song", 24 * PIECE_SIZE); /* the same size, other bytes */
	struct share_info share = { .gid = w->gid, .fid = w->files[0].fid, .path = other, .size = 24 * PIECE_SIZE };

	transfers_serve(w->clients[1].t, &share, &w->files[0].head.content);
	w->files[0].shares[1] = true;
	uint64_t job = download(w, 2, "song", (struct call_opts){ .limit = 8u << 20 });
	run_until(w, all_ended);
	expect_done(w, 2, job);
	CHECK_INT(job_of(w, 2, job).bad_pieces, >, 0);
	CHECK_INT(job_of(w, 2, job).bad_pieces, <=, 2);
	same_bytes(path, w->clients[2].path);
	free(path);
	free(other);
	world_free(w);
}

static bool third_stalled(struct world *w)
{
	return w->clients[2].nstalled > 0;
}

/* Nobody else has it: it is said who is at fault, and the download goes on when another one comes. */
static void a_sole_seeder_with_damaged_pieces_is_named(void)
{
	struct world *w = world_new(3, true);
	char *path = upload_done(w, 0, "song", 6 * PIECE_SIZE);
	char *other = make_file(w, 1, "song", 6 * PIECE_SIZE);
	struct share_info share = { .gid = w->gid, .fid = w->files[0].fid, .path = other, .size = 6 * PIECE_SIZE };

	transfers_serve(w->clients[1].t, &share, &w->files[0].head.content);
	w->files[0].shares[1] = true;
	w->clients[0].offline = true;
	uint64_t job = download(w, 2, "song", defaults);
	run_until(w, third_stalled);
	CHECK_INT(w->clients[2].stall, ==, SHOAL_ENOSEEDER);
	CHECK(strstr(job_of(w, 2, job).error.message, "sent two damaged pieces, and is not asked again for") != NULL);
	w->clients[0].offline = false;
	run_until(w, all_ended);
	expect_done(w, 2, job);
	same_bytes(path, w->clients[2].path);
	free(path);
	free(other);
	world_free(w);
}

static void a_changed_file_is_not_served(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", 2 * PIECE_SIZE);
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	CHECK_INT(write(fd, "x", 1), ==, 1);
	close(fd);
	uint64_t job = download(w, 1, "song", (struct call_opts){ .timeout_ms = 1500 });
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 1, job).state, ==, JOB_STATE_FAILED);
	CHECK_INT(w->clients[0].nunshared, ==, 1);
	free(path);
	world_free(w);
}

static void a_stranger_is_not_served(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", 2 * PIECE_SIZE);
	uint8_t seed[SEED_SIZE] = { 98 };
	EVP_PKEY *right = w->key;

	w->key = key_from_seed(seed); /* tickets that no tracker of ours has signed */
	uint64_t job = download(w, 1, "song", (struct call_opts){ .timeout_ms = 1500 });
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 1, job).state, ==, JOB_STATE_FAILED);
	CHECK_INT(job_of(w, 1, job).pieces, ==, 0);
	EVP_PKEY_free(w->key);
	w->key = right;
	free(path);
	world_free(w);
}

/* What was found right once, on this connection, vouches for nothing else. */
static void a_forged_ticket_after_a_good_one_is_refused(void)
{
	struct world *w = world_new(2, false);
	char *path = upload_done(w, 0, "song", 2 * PIECE_SIZE);
	uint8_t seed[SEED_SIZE] = { 97 };
	EVP_PKEY *right = w->key;
	struct call_opts opts = { .timeout_ms = 1500, .no_share = true, .on_exists = EXISTS_RENAME };

	for (int i = 0; i < 2; i++) { /* the same ticket twice */
		uint64_t good = download(w, 1, "song", opts);
		run_until(w, all_ended);
		CHECK_INT(job_of(w, 1, good).state, ==, JOB_STATE_DONE);
	}
	w->key = key_from_seed(seed);
	uint64_t job = download(w, 1, "song", opts);
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 1, job).state, ==, JOB_STATE_FAILED);
	CHECK_INT(job_of(w, 1, job).pieces, ==, 0);
	EVP_PKEY_free(w->key);
	w->key = right;
	free(path);
	world_free(w);
}

static void short_tickets_are_renewed_in_time(void)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, 0, "song", 8 * PIECE_SIZE);

	w->ticket_ms = 900;
	uint64_t job = download(w, 1, "song", (struct call_opts){ .limit = 2u << 20 }); /* takes 2 s */
	run_until(w, all_ended);
	expect_done(w, 1, job);
	CHECK_INT(job_of(w, 1, job).took_ms, >, 1500);
	free(path);
	world_free(w);
}

static void pause_resume_cancel(void)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, 0, "song", 16 * PIECE_SIZE), *part;
	uint64_t job = download(w, 1, "song", (struct call_opts){ .limit = 4u << 20 });

	run_until(w, half_there);
	command(w, 1, CALL_JOB_PAUSE, job, defaults);
	CHECK_INT(job_of(w, 1, job).state, ==, JOB_STATE_PAUSED);
	run_until(w, all_ended); /* a paused job does not run */
	command(w, 1, CALL_JOB_LIMIT, job, defaults);
	command(w, 1, CALL_JOB_RESUME, job, defaults);
	run_until(w, all_ended);
	expect_done(w, 1, job);
	same_bytes(path, w->clients[1].path);

	snprintf(w->clients[1].path, sizeof(w->clients[1].path), "%s/second", w->clients[1].folder);
	uint64_t again = download_to(w, 1, "song", w->clients[1].path, (struct call_opts){ .limit = 1u << 20 });
	command(w, 1, CALL_JOB_PEERS, again, defaults);
	command(w, 1, CALL_JOB_CANCEL, again, defaults);
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 1, again).state, ==, JOB_STATE_CANCELLED);
	part = str_printf("%s.part", w->clients[1].path);
	CHECK(access(part, F_OK) != 0);
	free(part);
	free(path);
	world_free(w);
}

static void a_stopped_download_goes_on_where_it_was(void)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, 0, "song", 16 * PIECE_SIZE), *dest;

	download(w, 1, "song", (struct call_opts){ .limit = 6u << 20 });
	dest = xstrdup(w->clients[1].path);
	run_until(w, half_there);
	client_stop(w, 1);
	client_start(w, 1);
	uint64_t job = download_to(w, 1, "song", dest, defaults);
	run_until(w, all_ended);
	expect_done(w, 1, job);
	CHECK_INT(job_of(w, 1, job).resumed, >=, 3 * PIECE_SIZE);
	same_bytes(path, dest);
	free(dest);
	free(path);
	world_free(w);
}

static void the_tracker_goes_and_the_transfer_goes_on(void)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, 0, "song", 16 * PIECE_SIZE);
	uint64_t job = download(w, 1, "song", (struct call_opts){ .limit = 6u << 20 });

	run_until(w, half_there);
	w->clients[0].offline = w->clients[1].offline = true;
	run_until(w, all_ended);
	expect_done(w, 1, job);
	free(path);
	world_free(w);
}

static void a_former_member_is_cut_off(void)
{
	struct world *w = world_new(2, true);
	char *path = upload_done(w, 0, "song", 16 * PIECE_SIZE);
	uint64_t job = download(w, 1, "song", (struct call_opts){ .limit = 3u << 20, .timeout_ms = 8000 });

	run_until(w, half_there);
	transfers_on_revoke(w->clients[0].t, &w->gid, &w->clients[1].uid);
	transfers_on_revoke(w->clients[1].t, &w->gid, &w->clients[1].uid);
	run_until(w, all_ended);
	CHECK_INT(job_of(w, 1, job).error.code, ==, SHOAL_EDENIED);
	free(path);
	world_free(w);
}

static void refusals_say_why(void)
{
	struct world *w = world_new(1, false);
	uint64_t folder = upload(w, 0, w->clients[0].folder), nothing = upload(w, 0, "/no/such/file");
	uint64_t unknown = download(w, 0, "nobody has this", defaults);

	run_until(w, all_ended);
	CHECK_INT(job_of(w, 0, folder).error.code, ==, SHOAL_EUSAGE);
	CHECK_INT(job_of(w, 0, nothing).error.code, ==, SHOAL_EIO);
	CHECK(strstr(job_of(w, 0, nothing).error.message, "/no/such/file") != NULL);
	CHECK_INT(job_of(w, 0, unknown).error.code, ==, SHOAL_ENOTFOUND);
	world_free(w);
}

static const struct CMUnitTest tests[] = {
	TEST(a_file_goes_from_one_to_another),
	TEST(odd_sizes_arrive),
	TEST(leechers_serve_each_other),
	TEST(who_has_finished_serves_the_next),
	TEST(many_files_share_one_connection),
	TEST(a_dead_seeder_is_replaced),
	TEST(it_waits_for_a_seeder_and_goes_on),
	TEST(without_a_seeder_it_fails_in_time),
	TEST(damaged_pieces_are_refused_and_found_elsewhere),
	TEST(a_sole_seeder_with_damaged_pieces_is_named),
	TEST(a_changed_file_is_not_served),
	TEST(a_stranger_is_not_served),
	TEST(a_forged_ticket_after_a_good_one_is_refused),
	TEST(short_tickets_are_renewed_in_time),
	TEST(pause_resume_cancel),
	TEST(a_stopped_download_goes_on_where_it_was),
	TEST(the_tracker_goes_and_the_transfer_goes_on),
	TEST(a_former_member_is_cut_off),
	TEST(refusals_say_why),
};
CHECK_MAIN(tests)
