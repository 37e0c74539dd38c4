/* tests/unit/check.c */
#include "tests/unit/check.h"

#include <ftw.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed, state;
static char folder[256];

static void need_seed(void)
{
	if (state != 0)
		return;
	const char *given = getenv("CHECK_SEED");
	seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
	state = seed | 1;
}

void check_that(bool ok, const char *text, const char *file, int line)
{
	if (ok)
		return;
	if (state != 0)
		fprintf(stderr, "CHECK_SEED=%llu\n", (unsigned long long)seed);
	_assert_true(0, text, file, line);
}

uint32_t check_random(uint32_t below)
{
	need_seed();
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return below != 0 ? (uint32_t)((state >> 16) % below) : 0;
}

void check_random_bytes(void *out, size_t len)
{
	uint8_t *p = out;
	while (len-- != 0)
		*p++ = (uint8_t)check_random(256);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void remove_folder(void)
{
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *check_folder(void)
{
	if (folder[0] == '\0') {
		const char *tmp = getenv("TMPDIR");
		snprintf(folder, sizeof(folder), "%s/shoal-unit.XXXXXX", tmp != NULL ? tmp : "/tmp");
		if (mkdtemp(folder) == NULL)
			abort();
		atexit(remove_folder);
	}
	return folder;
}

void check_run(void **test_state)
{
	void (*fn)(void) = (void (*)(void)) * test_state;
	fn();
}
