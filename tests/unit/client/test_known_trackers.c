/* tests/unit/client/test_known_trackers.c - which identities are trusted, and the device keys. */
#include <sys/stat.h>
#include <unistd.h>

#include "client/device.h"
#include "client/known_trackers.h"
#include "core/base/fs.h"
#include "tests/unit/check.h"

static struct tracker_line lines[] = { { .addr = { "10.0.0.1", 5001 }, .id = 1 }, { .addr = { "::1", 5002 }, .id = 2 } };
static const struct tracker_info two = { .trackers = lines, .n = 2 };

static struct id32 identity(uint8_t fill)
{
	struct id32 id;
	memset(id.b, fill, sizeof(id.b));
	return id;
}

static char *fresh_path(const char *name)
{
	char *folder = str_printf("%s/%s", check_folder(), name);
	CHECK_INT(fs_mkdirs(folder, 0700, NULL), ==, SHOAL_OK);
	char *path = str_printf("%s/known_trackers", folder);
	free(folder);
	return path;
}

static void write_text(const char *path, const char *text)
{
	CHECK_INT(fs_write_file(path, text, strlen(text), 0600, NULL), ==, SHOAL_OK);
}

static void the_first_contact_counts(void)
{
	char *path = fresh_path("first");
	struct id32 good = identity(0xab), bad = identity(0xcd), got;
	struct error e = { 0 };
	bool first = false;
	struct known_trackers *k = known_trackers_open(path, &two, NULL, &e);

	CHECK(k != NULL && !known_trackers_cluster(k, &got));
	CHECK_INT(known_trackers_check(k, &lines[0].addr, &good, &first, &e), ==, SHOAL_OK);
	CHECK(first && known_trackers_cluster(k, &got) && id32_eq(&got, &good));
	CHECK_INT(known_trackers_check(k, &lines[0].addr, &good, &first, &e), ==, SHOAL_OK);
	CHECK(!first);
	known_trackers_close(k);

	k = known_trackers_open(path, &two, NULL, &e); /* the next run */
	CHECK(known_trackers_cluster(k, &got) && id32_eq(&got, &good));
	CHECK_INT(known_trackers_check(k, &lines[0].addr, &bad, &first, &e), ==, SHOAL_EDENIED);
	CHECK(strstr(e.message, "sha256:abababab") != NULL && strstr(e.message, "sha256:cdcdcdcd") != NULL);
	CHECK(strstr(e.message, path) != NULL && strstr(e.message, "10.0.0.1:5001") != NULL);
	CHECK_INT(known_trackers_check(k, &lines[1].addr, &bad, &first, &e), ==, SHOAL_EDENIED); /* another cluster */
	CHECK(!first);
	CHECK_INT(known_trackers_check(k, &lines[1].addr, &good, &first, &e), ==, SHOAL_OK);
	CHECK(!first); /* the cluster is known already: no news for anybody */
	known_trackers_close(k);

	struct buf text = { 0 };
	struct stat st;
	CHECK_INT(fs_read_file(path, 4096, &text, &e), ==, SHOAL_OK);
	buf_put_u8(&text, 0);
	CHECK_STR((char *)text.data,
	          "10.0.0.1:5001 sha256:abababababababababababababababababababababababababababababababab\n"
	          "[::1]:5002 sha256:abababababababababababababababababababababababababababababababab\n");
	CHECK_INT(stat(path, &st), ==, 0);
	CHECK_INT(st.st_mode & 0777, ==, 0600);
	buf_free(&text);
	free(path);
}

static void a_pinned_cluster_trusts_nothing_else(void)
{
	char *path = fresh_path("pinned");
	struct id32 pin = identity(1), other = identity(2);
	struct error e = { 0 };
	bool first = true;
	write_text(path, "10.0.0.1:5001 sha256:0202020202020202020202020202020202020202020202020202020202020202\n");
	struct known_trackers *k = known_trackers_open(path, &two, &pin, &e);
	CHECK_INT(known_trackers_check(k, &lines[0].addr, &pin, &first, &e), ==, SHOAL_OK);
	CHECK(!first);
	CHECK_INT(known_trackers_check(k, &lines[0].addr, &other, &first, &e), ==, SHOAL_EDENIED);
	known_trackers_close(k);
	free(path);
}

static void lines_that_cannot_be_are_refused(void)
{
	static const char *const bad[] = { "10.0.0.1:5001\n", "10.0.0.1 sha256:00\n", "x\n",
		                           "# fine\n\n10.0.0.1:5001 sha256:zz\n" };
	char *path = fresh_path("bad");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error e = { 0 };
		write_text(path, bad[i]);
		CHECK(known_trackers_open(path, &two, NULL, &e) == NULL);
		CHECK_INT(e.code, ==, SHOAL_EUSAGE);
		CHECK(strstr(e.message, i == 3 ? "known_trackers:3" : "known_trackers:1") != NULL);
	}
	struct error e = { 0 };
	write_text(path, "10.0.0.1:5001 sha256:0101010101010101010101010101010101010101010101010101010101010101\n"
	                 "[::1]:5002 sha256:0202020202020202020202020202020202020202020202020202020202020202\n");
	CHECK(known_trackers_open(path, &two, NULL, &e) == NULL); /* two clusters in one list */
	CHECK_INT(e.code, ==, SHOAL_EDENIED);
	write_text(path, "# who was met\n  other.example:1 sha256:"
	                 "0101010101010101010101010101010101010101010101010101010101010101  # not ours\n");
	struct known_trackers *k = known_trackers_open(path, &two, NULL, &e);
	struct id32 got;
	CHECK(k != NULL && !known_trackers_cluster(k, &got));
	known_trackers_close(k);
	free(path);
}

/* Found by fuzz_known: what was behind a zero byte was not seen, so a first contact bound nobody. */
static void a_zero_byte_is_damage(void)
{
	static const char text[] = "# who was met\n\0\n10.0.0.1:5001 sha256:"
	                           "0101010101010101010101010101010101010101010101010101010101010101\n";
	char *path = fresh_path("zero");
	struct error e = { 0 };
	CHECK_INT(fs_write_file(path, text, sizeof(text) - 1, 0600, NULL), ==, SHOAL_OK);
	CHECK(known_trackers_open(path, &two, NULL, &e) == NULL);
	CHECK_INT(e.code, ==, SHOAL_EUSAGE);
	CHECK(strstr(e.message, "zero byte") != NULL);
	free(path);
}

/* Found by fuzz_known: the new line became a part of an edited file's last one, and no client could start any more. */
static void a_last_line_without_an_end_is_left_alone(void)
{
	char *path = fresh_path("unended");
	struct id32 good = identity(1);
	struct error e = { 0 };
	bool first;
	write_text(path, "10.0.0.1:5001 sha256:0101010101010101010101010101010101010101010101010101010101010101");
	struct known_trackers *k = known_trackers_open(path, &two, NULL, &e);
	CHECK_INT(known_trackers_check(k, &lines[1].addr, &good, &first, &e), ==, SHOAL_OK);
	CHECK(!first);
	known_trackers_close(k);
	k = known_trackers_open(path, &two, NULL, &e);
	CHECK(k != NULL);
	for (size_t i = 0; i < 2; i++) {
		CHECK_INT(known_trackers_check(k, &lines[i].addr, &good, &first, &e), ==, SHOAL_OK);
		CHECK(!first);
	}
	known_trackers_close(k);
	free(path);
}

static void each_running_client_has_a_key_of_its_own(void)
{
	char *folder = str_printf("%s/keys/data", check_folder());
	struct error e = { 0 };
	struct stat st;
	struct device *a = device_open(folder, &e), *b = device_open(folder, &e);
	uint8_t seed[SEED_SIZE];

	CHECK(a != NULL && b != NULL);
	CHECK_STR(fs_basename(device_path(a)), "device.key");
	CHECK_STR(fs_basename(device_path(b)), "device-2.key");
	CHECK(memcmp(device_seed(a), device_seed(b), SEED_SIZE) != 0);
	CHECK_INT(stat(device_path(a), &st), ==, 0);
	CHECK_INT(st.st_mode & 0777, ==, 0600);
	CHECK_INT(st.st_size, ==, SEED_SIZE);
	memcpy(seed, device_seed(a), SEED_SIZE);
	device_close(a);
	a = device_open(folder, &e); /* free again: the same one */
	CHECK_STR(fs_basename(device_path(a)), "device.key");
	CHECK(memcmp(device_seed(a), seed, SEED_SIZE) == 0);
	CHECK_INT(chmod(device_path(a), 0644), ==, 0);
	char *path = str_printf("%s", device_path(a));
	device_close(a);
	CHECK(device_open(folder, &e) == NULL); /* others could read it: not passed over in silence */
	CHECK_INT(e.code, ==, SHOAL_EIO);
	CHECK(strstr(e.message, path) != NULL);
	device_close(b);
	free(path);
	free(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_contact_counts), TEST(a_pinned_cluster_trusts_nothing_else),
		TEST(lines_that_cannot_be_are_refused), TEST(a_zero_byte_is_damage),
		TEST(a_last_line_without_an_end_is_left_alone), TEST(each_running_client_has_a_key_of_its_own),
	};
	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
