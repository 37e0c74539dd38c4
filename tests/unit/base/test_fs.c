/* tests/unit/base/test_fs.c - the program's own files, errors and the log */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/base/log.h"
#include "tests/unit/check.h"

static void a_file_is_replaced_whole(void)
{
	char *path = str_printf("%s/state", check_folder());
	struct buf b = { 0 };
	CHECK_INT(fs_write_file(path, "one", 3, 0600, NULL), ==, SHOAL_OK);
	CHECK_INT(fs_write_file(path, "three", 5, 0600, NULL), ==, SHOAL_OK);
	CHECK_INT(fs_read_file(path, 100, &b, NULL), ==, SHOAL_OK);
	CHECK(slice_eq_str(slice_of(b.data, b.len), "three"));
	CHECK_INT(fs_read_file(path, 4, &b, NULL), ==, SHOAL_EUSAGE);
	buf_free(&b);
	free(path);
}

static void only_the_first_creates(void)
{
	char *path = str_printf("%s/key", check_folder());
	CHECK_INT(fs_create_file(path, "first", 5, 0600, NULL), ==, SHOAL_OK);
	CHECK_INT(fs_create_file(path, "other", 5, 0600, NULL), ==, SHOAL_EEXISTS);
	char got[5];
	CHECK_INT(fs_read_secret(path, got, 5, NULL), ==, SHOAL_OK);
	CHECK(memcmp(got, "first", 5) == 0);
	free(path);
}

static void a_secret_others_can_read_is_refused(void)
{
	char *path = str_printf("%s/loose", check_folder());
	char got[4];
	struct error e;
	CHECK_INT(fs_write_file(path, "abcd", 4, 0600, NULL), ==, SHOAL_OK);
	CHECK(chmod(path, 0640) == 0);
	CHECK_INT(fs_read_secret(path, got, 4, &e), ==, SHOAL_EDENIED);
	CHECK(strstr(e.message, "chmod 600") != NULL);
	CHECK(chmod(path, 0600) == 0);
	CHECK_INT(fs_read_secret(path, got, 3, &e), ==, SHOAL_EUSAGE);
	free(path);
}

static void folders_are_made(void)
{
	char *path = str_printf("%s/a/b/c", check_folder());
	struct stat st;
	CHECK_INT(fs_mkdirs(path, 0700, NULL), ==, SHOAL_OK);
	CHECK_INT(fs_mkdirs(path, 0700, NULL), ==, SHOAL_OK);
	CHECK(stat(path, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 077) == 0);
	free(path);
	char *dir = fs_dirname("/x");
	CHECK_STR(dir, "/");
	free(dir);
	dir = fs_dirname("x");
	CHECK_STR(dir, ".");
	free(dir);
	CHECK_STR(fs_basename("/a/b"), "b");
}

static void errno_becomes_a_kind_and_a_sentence(void)
{
	struct error e;
	errno = ENOSPC;
	CHECK_INT(error_errno(&e, "cannot write '%s'", "x"), ==, SHOAL_EDISKFULL);
	CHECK_STR(e.message, "cannot write 'x': No space left on device");
	CHECK_STR(error_word(e.code), "disk_full");
	CHECK_INT(error_exit_code(e.code), ==, 9);
	CHECK_INT(error_from_word("no_seeder"), ==, SHOAL_ENOSEEDER);
	CHECK_INT(error_from_wire(9999), ==, SHOAL_EINTERNAL);
}

static void a_log_line_cannot_be_forged(void)
{
	char *path = str_printf("%s/log", check_folder());
	struct buf b = { 0 };
	struct log *log = log_open(path, LOG_ERROR, LOG_INFO, NULL);
	log_line(log, LOG_INFO, "t", "user %s", "ann\n2026-01-01 error forged");
	log_line(log, LOG_DEBUG, "t", "too fine");
	log_close(log);
	CHECK_INT(fs_read_file(path, 4096, &b, NULL), ==, SHOAL_OK);
	unsigned lines = 0;
	for (size_t i = 0; i < b.len; i++)
		lines += b.data[i] == '\n';
	CHECK_INT(lines, ==, 1);
	buf_free(&b);
	free(path);
}

static const struct CMUnitTest tests[] = {
	TEST(a_file_is_replaced_whole), TEST(only_the_first_creates), TEST(a_secret_others_can_read_is_refused),
	TEST(folders_are_made), TEST(errno_becomes_a_kind_and_a_sentence), TEST(a_log_line_cannot_be_forged),
};
CHECK_MAIN(tests)
