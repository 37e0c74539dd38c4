/* tests/unit/base/test_memory_limit.c */
#include "core/base/memory_limit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "tests/unit/check.h"

static void put_file(const char *folder, const char *name, const char *text)
{
	char *path = str_printf("%s/%s", folder, name);
	struct error e;
	CHECK_INT(fs_mkdirs(folder, 0700, &e), ==, SHOAL_OK);
	CHECK_INT(fs_write_file(path, text, strlen(text), 0600, &e), ==, SHOAL_OK);
	free(path);
}

static void the_smallest_limit_on_the_way_up_counts(void)
{
	char *root = str_printf("%s/cgroup", check_folder()), *slice = str_printf("%s/system.slice", root);
	char *unit = str_printf("%s/shoal.service", slice), *self = str_printf("%s/self", check_folder());
	put_file(unit, "memory.max", "max\n");
	put_file(check_folder(), "self", "0::/system.slice/shoal.service\n");
	CHECK_INT(memory_limit_of_cgroup(root, self), ==, UINT64_MAX);
	put_file(slice, "memory.max", "3000000\n");
	CHECK_INT(memory_limit_of_cgroup(root, self), ==, 3000000);
	put_file(unit, "memory.max", "2000000\n");
	CHECK_INT(memory_limit_of_cgroup(root, self), ==, 2000000);
	put_file(root, "memory.max", "1000000\n");
	CHECK_INT(memory_limit_of_cgroup(root, self), ==, 1000000);
	put_file(check_folder(), "self", "12:memory:/old\n0::/\n");
	CHECK_INT(memory_limit_of_cgroup(root, self), ==, 1000000);
	put_file(check_folder(), "self", "12:memory:/old\n");
	CHECK_INT(memory_limit_of_cgroup(root, self), ==, UINT64_MAX);
	put_file(root, "memory.max", "nonsense\n");
	put_file(check_folder(), "self", "0::/\n");
	CHECK_INT(memory_limit_of_cgroup(root, self), ==, UINT64_MAX);
	CHECK_INT(memory_limit_of_cgroup("/no/such", "/no/such"), ==, UINT64_MAX);
	free(root);
	free(slice);
	free(unit);
	free(self);
}

static void it_is_near_when_that_much_is_in_use(void)
{
	struct memory_limit m = { .resident_most = UINT64_MAX, .space_most = UINT64_MAX };
	CHECK(!memory_limit_near(&m, 1));
	m.resident_most = 4096; /* no program does with that */
	CHECK(memory_limit_near(&m, 1));
	m.resident_most = (uint64_t)1 << 50;
	CHECK(memory_limit_near(&m, 20)); /* not looked again yet */
	CHECK(!memory_limit_near(&m, 21));
	m.space_most = 1024;
	CHECK(memory_limit_near(&m, 41));
}

static const struct CMUnitTest tests[] = {
	TEST(the_smallest_limit_on_the_way_up_counts),
	TEST(it_is_near_when_that_much_is_in_use),
};
CHECK_MAIN(tests)
