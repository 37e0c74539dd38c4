/* tests/fuzz/fuzz_known.c - the file known_trackers, whatever is in it: who was met is remembered, and somebody else
 * who shows up there is refused, now and after a restart. */
#include <fcntl.h>
#include <unistd.h>

#include "client/known_trackers.h"
#include "core/base/fs.h"
#include "tests/fuzz/fuzz.h"

static void write_file(const char *path, const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && fs_write_all(fd, data, size));
	close(fd);
}

/* A first contact that is accepted binds. */
static void check_contact(struct known_trackers *k, const char *path, const struct tracker_info *info)
{
	struct id32 met = { { 0xab, 0xcd } }, other = { { 0xef } };
	struct error e;
	bool first;

	if (known_trackers_check(k, &info->trackers[0].addr, &met, &first, &e) != SHOAL_OK)
		return;
	CHECK_INT(known_trackers_check(k, &info->trackers[0].addr, &met, &first, &e), ==, SHOAL_OK);
	CHECK(!first);
	CHECK_INT(known_trackers_check(k, &info->trackers[0].addr, &other, &first, &e), ==, SHOAL_EDENIED);
	CHECK_INT(known_trackers_check(k, &info->trackers[1].addr, &other, &first, &e), ==, SHOAL_EDENIED);
	struct known_trackers *later = known_trackers_open(path, info, NULL, &e);
	CHECK(later != NULL);
	CHECK_INT(known_trackers_check(later, &info->trackers[1].addr, &other, &first, &e), ==, SHOAL_EDENIED);
	CHECK_INT(known_trackers_check(later, &info->trackers[0].addr, &met, &first, &e), ==, SHOAL_OK);
	CHECK(!first);
	known_trackers_close(later);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tracker_line lines[2] = { { .addr = { .host = "127.0.0.1", .port = 4000 }, .id = 1 },
		                         { .addr = { .host = "::1", .port = 4001 }, .id = 2 } };
	struct tracker_info info = { .trackers = lines, .n = 2 };
	struct error e = { 0 };
	char path[96];

	snprintf(path, sizeof(path), "%s/known_trackers", fuzz_folder());
	write_file(path, data, size);
	struct known_trackers *k = known_trackers_open(path, &info, NULL, &e);
	if (k != NULL)
		check_contact(k, path, &info);
	else
		CHECK(e.message[0] != '\0');
	known_trackers_close(k);
	return 0;
}
