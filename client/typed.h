/* client/typed.h - command lines as SPEC.md writes them: a verb, then words.
 *
 * Words are split as in a shell: quotes, backslash, ~ at the beginning; nothing else is expanded. Words of the form
 * key=value go into the command's options if it has an option of that name. Plain values. */
#ifndef SHOAL_CLIENT_TYPED_H
#define SHOAL_CLIENT_TYPED_H
#include "client/cmd.h"

enum { TYPED_MAX_WORDS = 64 };

struct typed {
	const struct cmd *cmd;
	struct value argv[CMD_MAX_ARGS];
	unsigned n;
};

/* Does the line begin with a verb, spaced or not, that stands alone or is followed by a space? */
const struct cmd *typed_verb(const char *line, const char **rest);
/* Splits what comes behind the verb into out->argv. A mistake is SHOAL_EUSAGE. The caller: typed_free(). */
enum shoal_err typed_parse(const char *line, struct typed *out, struct error *e);
/* The text as one word of a typed form, quoted if it has to be. */
void typed_quote(struct buf *out, const char *text);
void typed_free(struct typed *t);
#endif
