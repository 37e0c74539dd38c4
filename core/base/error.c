/* core/base/error.c */
#include "core/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *word, *text;
	int exit_code;
} kinds[SHOAL_ERR_COUNT] = {
#define X(num, name, word_, code_, text_) [num] = { .word = word_, .text = text_, .exit_code = code_ },
	SHOAL_ERRORS(X)
#undef X
};

static enum shoal_err known(enum shoal_err code)
{
	return (unsigned)code < SHOAL_ERR_COUNT ? code : SHOAL_EINTERNAL;
}

const char *error_word(enum shoal_err code)
{
	return kinds[known(code)].word;
}

const char *error_default(enum shoal_err code)
{
	return kinds[known(code)].text;
}

int error_exit_code(enum shoal_err code)
{
	return kinds[known(code)].exit_code;
}

enum shoal_err error_from_word(const char *word)
{
	for (unsigned i = 0; i < SHOAL_ERR_COUNT; i++)
		if (strcmp(kinds[i].word, word) == 0)
			return (enum shoal_err)i;
	return SHOAL_EINTERNAL;
}

enum shoal_err error_from_wire(unsigned number)
{
	return number < SHOAL_ERR_COUNT ? (enum shoal_err)number : SHOAL_EINTERNAL;
}

enum shoal_err (error_set)(struct error *e, enum shoal_err code, const char *fmt, ...)
{
	if (e != NULL) {
		va_list ap;
		va_start(ap, fmt);
		e->code = code;
		vsnprintf(e->message, sizeof(e->message), fmt, ap);
		va_end(ap);
	}
	return code;
}

static enum shoal_err kind_of_errno(int number)
{
	switch (number) {
	case ENOSPC:
	case EDQUOT: return SHOAL_EDISKFULL;
	case ENOENT:
	case ENOTDIR: return SHOAL_ENOTFOUND;
	case EACCES:
	case EPERM:
	case EROFS: return SHOAL_EDENIED;
	case EEXIST: return SHOAL_EEXISTS;
	default: return SHOAL_EIO;
	}
}

enum shoal_err (error_errno)(struct error *e, const char *fmt, ...)
{
	int number = errno;
	enum shoal_err code = kind_of_errno(number);

	if (e != NULL) {
		va_list ap;
		va_start(ap, fmt);
		e->code = code;
		vsnprintf(e->message, sizeof(e->message), fmt, ap);
		va_end(ap);
		size_t n = strlen(e->message);
		snprintf(e->message + n, sizeof(e->message) - n, ": %s", strerror(number));
	}
	errno = number;
	return code;
}
