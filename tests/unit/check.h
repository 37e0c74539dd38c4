/* tests/unit/check.h - what every unit test uses: cmocka, and random numbers whose seed is printed on failure. */
#ifndef SHOAL_TESTS_CHECK_H
#define SHOAL_TESTS_CHECK_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* CHECK(cond), CHECK_INT(a, ==, b), CHECK_STR(a, b): stop the test, saying file, line and values. */
#define CHECK(cond) check_that((cond), #cond, __FILE__, __LINE__)
#define CHECK_INT(a, op, b)                                                                                          \
	do {                                                                                                         \
		long long a_ = (long long)(a), b_ = (long long)(b);                                                  \
		char text_[256];                                                                                     \
		snprintf(text_, sizeof(text_), "%s %s %s (%lld, %lld)", #a, #op, #b, a_, b_);                        \
		check_that(a_ op b_, text_, __FILE__, __LINE__);                                                     \
	} while (0)
#define CHECK_STR(a, b)                                                                                              \
	do {                                                                                                         \
		const char *a_ = (a), *b_ = (b);                                                                     \
		char text_[512];                                                                                     \
		snprintf(text_, sizeof(text_), "%s is '%.200s', not '%.200s'", #a, a_ ? a_ : "NULL", b_ ? b_ : "NULL"); \
		check_that(a_ != NULL && b_ != NULL && strcmp(a_, b_) == 0, text_, __FILE__, __LINE__);              \
	} while (0)

void check_that(bool ok, const char *text, const char *file, int line);
/* 0 .. below-1. The seed comes from $CHECK_SEED or the system; it is printed when a check fails. */
uint32_t check_random(uint32_t below);
void check_random_bytes(void *out, size_t len);
/* A fresh folder under $TMPDIR, removed at exit if the program ends well. */
const char *check_folder(void);

/* One test a line: static void name(void) { ... } and TEST(name) in the table. */
#define TEST(fn) { #fn, check_run, NULL, NULL, (void *)(fn) }
void check_run(void **state);
#define CHECK_MAIN(tests) \
	int main(void) { return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL); }
#endif
