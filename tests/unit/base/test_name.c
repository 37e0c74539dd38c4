/* tests/unit/base/test_name.c */
#include "core/base/name.h"
#include "tests/unit/check.h"

static enum shoal_err file_name(const char *s)
{
	return name_check(NAME_FILE, s, strlen(s), NULL);
}

static void ordinary_names_pass(void)
{
	static const char *const good[] = { "a", "report.pdf", "with space.txt", "-dash", "ünïcödé.mp3", "日本語", ".hidden",
		                            "CON", "a~b", "x~abc", "tilde~1234567.txt", "..." };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CHECK_INT(file_name(good[i]), ==, SHOAL_OK);
}

static void dangerous_names_are_refused(void)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "/", "../x", " a", "a ", "a\nb", "a\x1b[31m", "a\x7f",
		                           "\xc3", "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc2\x85",
		                           "plan~abcdef.pdf", "plan~abc234", "name.tar~abcdef" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error e = { 0 };
		CHECK_INT(name_check(NAME_FILE, bad[i], strlen(bad[i]), &e), ==, SHOAL_EUSAGE);
		CHECK(e.message[0] != '\0');
	}
	CHECK_INT(name_check(NAME_FILE, "a\0b", 3, NULL), ==, SHOAL_EUSAGE);
}

static void lengths_are_limited(void)
{
	char name[300];
	memset(name, 'x', sizeof(name));
	CHECK_INT(name_check(NAME_FILE, name, NAME_FILE_MAX, NULL), ==, SHOAL_OK);
	CHECK_INT(name_check(NAME_FILE, name, NAME_FILE_MAX + 1, NULL), ==, SHOAL_EUSAGE);
	CHECK_INT(name_check(NAME_USER, name, NAME_SHORT_MAX, NULL), ==, SHOAL_OK);
	CHECK_INT(name_check(NAME_GROUP, name, NAME_SHORT_MAX + 1, NULL), ==, SHOAL_EUSAGE);
}

static void aliases_are_made_and_split(void)
{
	static const uint8_t id[4] = { 0x12, 0x34, 0x56, 0x78 };
	char shown[NAME_SHOWN_MAX], plain[NAME_SHOWN_MAX], tail[7];
	name_alias(NAME_USER, "ann", id, shown);
	CHECK_INT(strlen(shown), ==, 10);
	CHECK(name_split_alias(NAME_USER, shown, plain, tail));
	CHECK_STR(plain, "ann");
	name_alias(NAME_FILE, "plan.tar.gz", id, shown);
	CHECK(name_split_alias(NAME_FILE, shown, plain, tail));
	CHECK_STR(plain, "plan.tar.gz");
	CHECK(strncmp(shown, "plan.tar~", 9) == 0 && strcmp(shown + strlen(shown) - 3, ".gz") == 0);
	CHECK_INT(name_check(NAME_FILE, shown, strlen(shown), NULL), ==, SHOAL_EUSAGE);
	CHECK_INT(name_check_lookup(NAME_FILE, shown, strlen(shown), NULL), ==, SHOAL_OK);
	CHECK(!name_split_alias(NAME_USER, "ann", plain, tail));
	CHECK(!name_split_alias(NAME_USER, "~abcdef", plain, tail));
}

static void what_passes_is_safe_whatever_the_bytes(void)
{
	for (int i = 0; i < 200000; i++) {
		char name[12];
		size_t len = check_random(sizeof(name));
		check_random_bytes(name, len);
		if (name_check(NAME_FILE, name, len, NULL) != SHOAL_OK)
			continue;
		CHECK(len > 0 && memchr(name, '/', len) == NULL && memchr(name, 0, len) == NULL);
		CHECK(utf8_valid(name, len));
		for (size_t j = 0; j < len; j++)
			CHECK((unsigned char)name[j] >= 0x20 && name[j] != 0x7f);
	}
}

static void escaped_text_is_harmless_and_fits(void)
{
	char out[40];
	CHECK_STR(text_escape("a\x1b[2Jb", 6, out, sizeof(out)), "a\\x1b[2Jb");
	CHECK_STR(text_escape("\xff", 1, out, sizeof(out)), "\\xff");
	CHECK_STR(text_escape("ü", 2, out, sizeof(out)), "ü");
	for (int i = 0; i < 20000; i++) {
		uint8_t raw[64];
		size_t len = check_random(sizeof(raw)), size = 8 + check_random(sizeof(out) - 8);
		check_random_bytes(raw, len);
		text_escape(raw, len, out, size);
		CHECK(strlen(out) < size && utf8_valid(out, strlen(out)));
		for (char *p = out; *p != '\0'; p++)
			CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
	}
}

static const struct CMUnitTest tests[] = {
	TEST(ordinary_names_pass), TEST(dangerous_names_are_refused), TEST(lengths_are_limited),
	TEST(aliases_are_made_and_split), TEST(what_passes_is_safe_whatever_the_bytes),
	TEST(escaped_text_is_harmless_and_fits),
};
CHECK_MAIN(tests)
