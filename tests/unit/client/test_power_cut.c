/* tests/unit/client/test_power_cut.c - the power fails while a client makes its key, or writes down whom it met. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/device.h"
#include "client/known_trackers.h"
#include "core/base/fs.h"
#include "tests/unit/check.h"
#include "tests/unit/power.h"

enum { MET = 3 };

static char *folder_new(const char *name)
{
	char *folder = str_printf("%s/%s-%08x", check_folder(), name, check_random(1u << 31));
	CHECK_INT(mkdir(folder, 0700), ==, 0);
	return folder;
}

static void a_key_is_whole_or_made_anew(void)
{
	char *folder = folder_new("disk"), *cut = folder_new("cut");
	uint8_t seed[SEED_SIZE];
	unsigned looked = 0;
	struct error e;

	power_record(folder);
	struct device *d = device_open(folder, &e);
	power_stop();
	CHECK(d != NULL);
	memcpy(seed, device_seed(d), sizeof(seed));
	device_close(d);
	for (size_t n = 0; n <= power_calls(); n++)
		for (unsigned s = 0, states = power_states(n); s < states; s++, looked++) {
			power_rebuild(cut, n, s);
			d = device_open(cut, &e);
			CHECK(d != NULL);
			/* who was told that it is made keeps it */
			CHECK(n < power_calls() || memcmp(seed, device_seed(d), sizeof(seed)) == 0);
			device_close(d);
		}
	printf("# %u states of %zu calls\n", looked, power_calls());
	CHECK_INT(looked, >=, 20);
	free(cut);
	free(folder);
}

static struct known_trackers *known(const char *folder, const struct tracker_info *list)
{
	char *path = str_printf("%s/known_trackers", folder);
	struct error e = { 0 };
	struct known_trackers *k = known_trackers_open(path, list, NULL, &e);

	check_that(k != NULL, e.message, __FILE__, __LINE__);
	free(path);
	return k;
}

/* Meets each tracker of the list, all of one cluster; `met`: the calls after which each was written down. */
static void meet(struct known_trackers *k, const struct tracker_info *list, const struct id32 *cluster, size_t met[MET])
{
	bool first;
	for (size_t i = 0; i < MET; i++) {
		CHECK_INT(known_trackers_check(k, &list->trackers[i].addr, cluster, &first, NULL), ==, SHOAL_OK);
		CHECK(first == (i == 0));
		met[i] = power_calls();
	}
}

static void whom_one_met_stays_known(void)
{
	char *folder = folder_new("disk"), *cut = folder_new("cut");
	struct tracker_info list;
	struct id32 cluster, other;
	size_t met[MET];
	unsigned looked = 0;
	bool first;

	CHECK_INT(tracker_info_parse("list", "10.0.0.1:7000 1\n10.0.0.2:7000 2\n10.0.0.3:7000 3\n", &list, NULL), ==, SHOAL_OK);
	check_random_bytes(&cluster, sizeof(cluster));
	check_random_bytes(&other, sizeof(other));
	power_record(folder);
	struct known_trackers *k = known(folder, &list);
	meet(k, &list, &cluster, met);
	power_stop();
	known_trackers_close(k);
	for (size_t n = 0; n <= power_calls(); n++)
		for (unsigned s = 0, states = power_states(n); s < states; s++, looked++) {
			power_rebuild(cut, n, s);
			k = known(cut, &list);
			for (size_t i = 0; i < MET && met[i] <= n; i++)
				CHECK_INT(known_trackers_check(k, &list.trackers[i].addr, &other, &first, NULL), ==, SHOAL_EDENIED);
			for (size_t i = 0; i < MET; i++)
				CHECK_INT(known_trackers_check(k, &list.trackers[i].addr, &cluster, &first, NULL), ==, SHOAL_OK);
			known_trackers_close(k);
		}
	printf("# %u states of %zu calls\n", looked, power_calls());
	CHECK_INT(looked, >=, 60);
	tracker_info_free(&list);
	free(cut);
	free(folder);
}

/* The nth call fails: nothing is made up, and once the disk is well the key is made and the tracker known. */
static void a_failing_disk_is_told(void)
{
	struct tracker_info list;
	struct id32 cluster;
	unsigned told = 0;
	bool first, failed = true;

	CHECK_INT(tracker_info_parse("list", "10.0.0.1:7000 1\n", &list, NULL), ==, SHOAL_OK);
	check_random_bytes(&cluster, sizeof(cluster));
	for (size_t nth = 1; failed; nth++) {
		char *folder = folder_new("disk");
		struct known_trackers *k = known(folder, &list);
		struct error e = { 0 };

		power_fail(folder, nth, nth % 2 != 0 ? ENOSPC : EIO, false);
		struct device *d = device_open(folder, &e);
		enum shoal_err rc = known_trackers_check(k, &list.trackers[0].addr, &cluster, &first, &e);
		power_stop();
		failed = power_failed();
		CHECK(failed || (d != NULL && rc == SHOAL_OK));
		told += d == NULL || rc != SHOAL_OK;
		CHECK((d != NULL && rc == SHOAL_OK) || e.message[0] != '\0');
		device_close(d);
		d = device_open(folder, &e);
		CHECK(d != NULL);
		CHECK_INT(known_trackers_check(k, &list.trackers[0].addr, &cluster, &first, &e), ==, SHOAL_OK);
		device_close(d);
		known_trackers_close(k);
		free(folder);
	}
	CHECK_INT(told, >=, 6);
	tracker_info_free(&list);
}

static const struct CMUnitTest tests[] = {
	TEST(a_key_is_whole_or_made_anew),
	TEST(whom_one_met_stays_known),
	TEST(a_failing_disk_is_told),
};

CHECK_MAIN(tests)
