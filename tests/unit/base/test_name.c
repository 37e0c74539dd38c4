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

/* U+NNNN between two letters, as UTF-8. */
static const char *around(uint32_t c, char out[8])
{
	size_t n = 0;
	out[n++] = 'a';
	if (c < 0x800) {
		out[n++] = (char)(0xc0 | c >> 6);
	} else {
		out[n++] = (char)(0xe0 | c >> 12);
		out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	}
	out[n++] = (char)(0x80 | (c & 0x3f));
	out[n++] = 'b';
	out[n] = '\0';
	return out;
}

static void what_hides_or_turns_text_is_refused_and_escaped(void)
{
	static const uint32_t bad[] = { 0x61c, 0x200b, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e,
		                        0x2060, 0x2066, 0x2067, 0x2068, 0x2069, 0xfeff };
	static const uint32_t neighbours[] = { 0x61b, 0x61d, 0x200a, 0x2010, 0x2027, 0x202f, 0x205f, 0x2061, 0x2065, 0x206a,
		                               0xfefe, 0xff00 };
	char name[8], out[40];
	struct error e;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		around(bad[i], name);
		for (int kind = NAME_USER; kind <= NAME_FILE; kind++)
			CHECK_INT(name_check((enum name_kind)kind, name, strlen(name), &e), ==, SHOAL_EUSAGE);
		CHECK(strstr(e.message, "invisible") != NULL);
		text_escape(name, strlen(name), out, sizeof(out));
		CHECK_INT(strlen(out), ==, 2 + 4 * (strlen(name) - 2));
		CHECK(strncmp(out, "a\\x", 3) == 0);
	}
	for (size_t i = 0; i < sizeof(neighbours) / sizeof(neighbours[0]); i++) {
		around(neighbours[i], name);
		CHECK_INT(file_name(name), ==, SHOAL_OK);
		CHECK_STR(text_escape(name, strlen(name), out, sizeof(out)), name);
	}
	for (uint32_t c = 0x200c; c <= 0x200d; c++) { /* joiners: part of names, but shown as what they are */
		CHECK_INT(file_name(around(c, name)), ==, SHOAL_OK);
		CHECK_STR(text_escape(name, strlen(name), out, sizeof(out)), c == 0x200c ? "a\\xe2\\x80\\x8cb" : "a\\xe2\\x80\\x8db");
	}
	CHECK_INT(file_name("gpj.\xe2\x80\xae" "exe"), ==, SHOAL_EUSAGE);
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
	TEST(what_hides_or_turns_text_is_refused_and_escaped),
	TEST(aliases_are_made_and_split), TEST(what_passes_is_safe_whatever_the_bytes),
	TEST(escaped_text_is_harmless_and_fits),
};
CHECK_MAIN(tests)
