/* tests/unit/client/test_shares.c - the list of shares: kept, locked, dropped and taken up again. */
#include <unistd.h>

#include "client/shares.h"
#include "core/base/fs.h"
#include "core/base/hash.h"
#include "tests/unit/check.h"

static char *folder_of(const char *user)
{
	struct id32 cluster = { .b = { 0xde, 0xad, 0xbe, 0xef, 0x55 } };
	return shares_folder(check_folder(), &cluster, user);
}

static struct shares *open_for(const char *user)
{
	char *folder = folder_of(user);
	struct error e = { 0 };
	struct shares *s = shares_open(folder, user, NULL, &e);
	if (s == NULL)
		fprintf(stderr, "%s\n", e.message);
	CHECK(s != NULL);
	free(folder);
	return s;
}

static char *make_file(const char *name, const char *text)
{
	char *path = str_printf("%s/%s", check_folder(), name);
	CHECK_INT(fs_write_file(path, text, strlen(text), 0600, NULL), ==, SHOAL_OK);
	return path;
}

static struct share_info info_of(uint8_t number, const char *name, char *path)
{
	struct share_info info = { .gid.b = { 1 }, .fid.b = { number }, .group = "band", .path = path, .size = 5 };
	snprintf(info.file, sizeof(info.file), "%s", name);
	return info;
}

static void a_share_is_remembered(void)
{
	struct shares *s = open_for("ann");
	char *path = make_file("song with\nspace", "12345");
	struct share_info info = info_of(7, "song", path);
	struct id32 content = { .b = { 0xcc } };
	CHECK_INT(shares_put(s, &info, &content), ==, SHOAL_OK);
	CHECK(shares_find(s, &info.gid, &info.fid)->fresh);
	shares_close(s);
	s = open_for("ann");
	struct share *share = shares_find(s, &info.gid, &info.fid);
	CHECK(share != NULL && shares_next(s, NULL) == share && shares_next(s, share) == NULL);
	CHECK_STR(share->info.path, path);
	CHECK_STR(share->info.group, "band");
	CHECK_STR(share->info.file, "song");
	CHECK_INT(share->info.size, ==, 5);
	CHECK(share->info.inode != 0 && share->info.mtime_ns != 0);
	CHECK(id32_eq(&share->content, &content));
	CHECK(!share->fresh && !share->dropped);
	CHECK_INT(share->state, ==, SHARE_SAME);
	shares_remove(s, &info.gid, &info.fid);
	CHECK_INT(shares_count(s), ==, 0);
	shares_close(s);
	s = open_for("ann");
	CHECK(shares_next(s, NULL) == NULL);
	shares_close(s);
	free(path);
}

static void nothing(struct work *work)
{
	(void)work;
}

/* What a client that is killed at that moment leaves behind. */
static void after_writing_it_survives_a_kill(void)
{
	struct shares *s = open_for("gus");
	char *folder = folder_of("gus"), *left = folder_of("hal"), *path = make_file("y", "12345"), *command;
	struct share_info info = info_of(4, "y", path);
	struct id32 content = { 0 };
	struct queue *done = queue_new();
	struct work work = { .run = nothing, .done = done };
	for (uint8_t i = 0; i < 50; i++) {
		info.fid.b[0] = i;
		CHECK_INT(shares_put(s, &info, &content), ==, SHOAL_OK);
	}
	shares_after_writing(s, &work);
	CHECK(queue_wait(done, 10000));
	CHECK(queue_take_all(done) == &work.node);
	command = str_printf("mkdir -p '%s' && cp '%s'/shares.db* '%s'", left, folder, left);
	CHECK_INT(system(command), ==, 0);
	shares_close(s);
	s = open_for("hal");
	CHECK_INT(shares_count(s), ==, 50);
	shares_close(s);
	queue_free(done);
	free(command);
	free(left);
	free(folder);
	free(path);
}

static void a_changed_file_is_noticed(void)
{
	struct shares *s = open_for("bea");
	char *kept = make_file("kept", "12345"), *changed = make_file("changed", "12345"), *gone = make_file("gone", "12345");
	struct share_info infos[] = { info_of(1, "kept", kept), info_of(2, "changed", changed), info_of(3, "gone", gone) };
	struct id32 content = { 0 };
	for (size_t i = 0; i < 3; i++)
		CHECK_INT(shares_put(s, &infos[i], &content), ==, SHOAL_OK);
	shares_close(s);
	free(make_file("changed", "54321")); /* as long as before */
	CHECK_INT(unlink(gone), ==, 0);
	s = open_for("bea");
	CHECK_INT(shares_find(s, &infos[0].gid, &infos[0].fid)->state, ==, SHARE_SAME);
	CHECK_INT(shares_find(s, &infos[1].gid, &infos[1].fid)->state, ==, SHARE_CHANGED);
	CHECK_INT(shares_find(s, &infos[2].gid, &infos[2].fid)->state, ==, SHARE_MISSING);
	shares_close(s);
	free(kept);
	free(changed);
	free(gone);
}

static void what_is_dropped_is_not_forgotten(void)
{
	struct shares *s = open_for("cho");
	char *path = make_file("x", "12345");
	struct share_info info = info_of(9, "x", path);
	struct id32 content = { 0 };
	CHECK_INT(shares_put(s, &info, &content), ==, SHOAL_OK);
	shares_set_dropped(s, shares_find(s, &info.gid, &info.fid), true);
	CHECK_INT(shares_count(s), ==, 0);
	CHECK_INT(shares_digest(s), ==, 0);
	shares_close(s);
	s = open_for("cho");
	CHECK(shares_find(s, &info.gid, &info.fid)->dropped);
	CHECK_INT(shares_count(s), ==, 0);
	shares_set_dropped(s, shares_find(s, &info.gid, &info.fid), false);
	CHECK_INT(shares_count(s), ==, 1);
	shares_close(s);
	free(path);
}

/* As core/wire/cmd.h defines it: naively. */
static uint64_t naive_digest(const bool *in, size_t n)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t both[32] = { 1, [16] = (uint8_t)i };
		struct id32 hash;
		uint64_t head = 0;
		sha256_of(both, sizeof(both), &hash);
		for (size_t j = 0; j < 8; j++)
			head = head << 8 | hash.b[j];
		sum += in[i] ? head : 0;
	}
	return sum;
}

static void count_and_digest_follow_every_change(void)
{
	enum { FILES = 20 };
	bool in[FILES] = { false }, there[FILES] = { false };
	struct shares *s = open_for("dan");
	char *path = make_file("many", "12345");
	struct id32 content = { 0 };
	for (unsigned step = 0; step < 500; step++) {
		uint8_t i = (uint8_t)check_random(FILES);
		struct share_info info = info_of(i, "many", path);
		switch (check_random(3)) {
		case 0:
			CHECK_INT(shares_put(s, &info, &content), ==, SHOAL_OK);
			in[i] = there[i] = true;
			break;
		case 1:
			shares_remove(s, &info.gid, &info.fid);
			in[i] = there[i] = false;
			break;
		default:
			if (there[i]) {
				in[i] = check_random(2) == 0;
				shares_set_dropped(s, shares_find(s, &info.gid, &info.fid), !in[i]);
			}
		}
		unsigned count = 0;
		for (unsigned j = 0; j < FILES; j++)
			count += in[j];
		CHECK_INT(shares_count(s), ==, count);
		CHECK(shares_digest(s) == naive_digest(in, FILES));
	}
	uint64_t digest = shares_digest(s);
	shares_close(s);
	s = open_for("dan");
	CHECK(shares_digest(s) == digest);
	shares_close(s);
	free(path);
}

static void a_second_process_is_told_who_has_it(void)
{
	struct shares *s = open_for("eve");
	char *folder = folder_of("eve"), expected[64];
	snprintf(expected, sizeof(expected), "eve is logged in by pid %ld", (long)getpid());
	struct error e = { 0 };
	CHECK(shares_open(folder, "eve", NULL, &e) == NULL); /* flock knows open files, not processes */
	CHECK_INT(e.code, ==, SHOAL_EBUSY);
	CHECK_STR(e.message, expected);
	shares_close(s);
	shares_close(open_for("eve"));
	free(folder);
}

static void names_make_safe_folders(void)
{
	static const char *const names[][2] = { { "ann", "ann" },        { "..", "%2E%2E" },   { "a/b", "a%2Fb" },
		                                { "\xc3\xa9", "%C3%A9" }, { "a%2Fb", "a%252Fb" }, { "a b~c", "a%20b%7Ec" } };
	struct id32 cluster = { .b = { 0xde, 0xad, 0xbe, 0xef } };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *folder = shares_folder("/state", &cluster, names[i][0]);
		char *expected = str_printf("/state/deadbeef/%s", names[i][1]);
		CHECK_STR(folder, expected);
		free(folder);
		free(expected);
	}
}

static void a_damaged_list_is_set_aside(void)
{
	char *folder = folder_of("fay"), *path = str_printf("%s/shares.db", folder);
	uint8_t noise[8192];
	CHECK_INT(fs_mkdirs(folder, 0700, NULL), ==, SHOAL_OK);
	check_random_bytes(noise, sizeof(noise));
	CHECK_INT(fs_write_file(path, noise, sizeof(noise), 0600, NULL), ==, SHOAL_OK);
	struct shares *s = open_for("fay");
	CHECK_INT(shares_count(s), ==, 0);
	shares_close(s);
	char *command = str_printf("test $(ls '%s' | grep -c '^shares.db.damaged-') = 1", folder);
	CHECK_INT(system(command), ==, 0);
	free(command);
	free(folder);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_share_is_remembered), TEST(after_writing_it_survives_a_kill), TEST(a_changed_file_is_noticed),
		TEST(what_is_dropped_is_not_forgotten),
		TEST(count_and_digest_follow_every_change), TEST(a_second_process_is_told_who_has_it),
		TEST(names_make_safe_folders), TEST(a_damaged_list_is_set_aside),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
