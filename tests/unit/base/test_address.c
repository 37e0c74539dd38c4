/* tests/unit/base/test_address.c - addresses, the tracker file, sizes and times */
#include "core/base/address.h"
#include "core/base/units.h"
#include "tests/unit/check.h"

static void addresses_are_read_and_written(void)
{
	static const char *const good[] = { "127.0.0.1:5000", "[::1]:65535", "host.example-1:1" };
	static const char *const bad[] = { "", "127.0.0.1", "127.0.0.1:", ":5000", "127.0.0.1:65536", "127.0.0.1:0",
		                           "::1:5000", "[::1]5000", "[::1", "a b:1", "h:1x", "h:-1", "[1.2.3.4]:5", "h:00x" };
	struct address a;
	char text[ADDRESS_MAX];
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK_INT(address_parse(good[i], false, &a, NULL), ==, SHOAL_OK);
		CHECK_STR(address_format(&a, text), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error e = { 0 };
		CHECK_INT(address_parse(bad[i], false, &a, &e), ==, SHOAL_EUSAGE);
		CHECK(e.message[0] == '\'');
	}
	static const char *const bare[] = { "127.0.0.1", "127.0.0.1:", "tracker.example", "[::1]" };
	for (size_t i = 0; i < sizeof(bare) / sizeof(bare[0]); i++) {
		struct error e = { 0 };
		CHECK_INT(address_parse(bare[i], false, &a, &e), ==, SHOAL_EUSAGE);
		CHECK(strstr(e.message, "the port is missing") != NULL);
	}
	CHECK_INT(address_parse("0.0.0.0:0", true, &a, NULL), ==, SHOAL_OK);
	CHECK(address_looks_like("127.0.0.1:5000") && !address_looks_like("job.lua") && !address_looks_like("a:b"));
}

static void the_tracker_file_is_read(void)
{
	struct tracker_info ti;
	struct error e = { 0 };
	const char *text = "# ours\n127.0.0.1:9998    2\n\n[::1]:9999\t1  # second\r\ntracker.example:7000 300\n"
			   "cluster sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";
	CHECK_INT(tracker_info_parse("t.txt", text, &ti, &e), ==, SHOAL_OK);
	CHECK_INT(ti.n, ==, 3);
	CHECK_INT(ti.trackers[0].id, ==, 2);
	CHECK_STR(tracker_info_find(&ti, 1)->addr.host, "::1");
	CHECK(tracker_info_find(&ti, 9) == NULL);
	CHECK(ti.pinned && ti.cluster.b[1] == 0x11);
	tracker_info_free(&ti);
}

static void mistakes_in_it_name_the_line(void)
{
	static const struct {
		const char *text, *where;
	} bad[] = { { "127.0.0.1:1 1\nnonsense\n", "t.txt:2:" },
		    { "127.0.0.1:1 1\n127.0.0.1:2 1\n", "t.txt:2:" },
		    { "127.0.0.1:1\n", "t.txt:1:" },
		    { "127.0.0.1:1 0\n", "t.txt:1:" },
		    { "127.0.0.1:1 1 x\n", "t.txt:1:" },
		    { "127.0.0.1:1 70000\n", "t.txt:1:" },
		    { "127.0.0.1:1 1\ncluster sha256:00\n", "t.txt:2:" },
		    { "# nothing\n", "t.txt:" } };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tracker_info ti;
		struct error e = { 0 };
		CHECK_INT(tracker_info_parse("t.txt", bad[i].text, &ti, &e), ==, SHOAL_EUSAGE);
		CHECK(strncmp(e.message, bad[i].where, strlen(bad[i].where)) == 0);
		CHECK(ti.trackers == NULL);
	}
	struct tracker_info ti;
	struct error e = { 0 };
	CHECK_INT(tracker_info_parse("file", "127.0.0.1:9000 1\n127.0.0.1:9000 2\n", &ti, &e), ==, SHOAL_EUSAGE);
	CHECK_STR(e.message, "file:2: 127.0.0.1:9000 is there twice");
	CHECK_INT(tracker_info_parse("file", "Host:9000 1\nhost:9000 2\n", &ti, &e), ==, SHOAL_EUSAGE);
	CHECK_INT(tracker_info_parse("file", "127.0.0.1:9000 1\n127.0.0.2:9000 2\n127.0.0.1:9001 3\n", &ti, &e), ==, SHOAL_OK);
	tracker_info_free(&ti);
	CHECK_INT(tracker_info_read("/nonexistent/t.txt", &ti, &e), ==, SHOAL_ENOTFOUND);
	CHECK(strstr(e.message, "/nonexistent/t.txt") != NULL);
}

static void sizes_and_times(void)
{
	uint64_t v;
	char text[UNITS_TEXT];
	CHECK(units_parse_bytes("20M", &v) && v == 20u << 20);
	CHECK(units_parse_bytes("1.5K", &v) && v == 1536);
	CHECK(units_parse_bytes("64 KiB", &v) && v == 65536);
	CHECK(units_parse_bytes("7", &v) && v == 7);
	CHECK(!units_parse_bytes("", &v) && !units_parse_bytes("-1", &v) && !units_parse_bytes("1Q", &v));
	CHECK(!units_parse_bytes("0x10", &v) && !units_parse_bytes("1e30", &v) && !units_parse_bytes("M", &v));
	CHECK(units_parse_ms("5", &v) && v == 5000);
	CHECK(units_parse_ms("200ms", &v) && v == 200);
	CHECK(!units_parse_ms("5 parsecs", &v));
	CHECK_STR(units_bytes(17, text), "17 B");
	CHECK_STR(units_bytes(3u << 30, text), "3.0 GiB");
	CHECK_STR(units_time(3, text), "0:03");
	CHECK_STR(units_time(3900, text), "1h05");
}

static const struct CMUnitTest tests[] = {
	TEST(addresses_are_read_and_written), TEST(the_tracker_file_is_read), TEST(mistakes_in_it_name_the_line),
	TEST(sizes_and_times),
};
CHECK_MAIN(tests)
