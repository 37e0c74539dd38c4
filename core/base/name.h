/* core/base/name.h - which names are allowed, and how a stranger's text is shown.
 *
 * Names are UTF-8 without control bytes, direction marks, line separators and what has no width (but for the joiners
 * U+200C and U+200D); files 1 to 240 bytes, without '/', not "." or ".."; users and groups 1 to 64;
 * no space at either end; none that ends like an alias ("~" and six base-32 characters, for files before the
 * extension). Nothing that came from outside becomes a file name or a row before it has passed name_check(). */
#ifndef SHOAL_BASE_NAME_H
#define SHOAL_BASE_NAME_H
#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"
#include "core/base/error.h"

enum name_kind { NAME_USER, NAME_GROUP, NAME_FILE };

#define NAME_SHORT_MAX 64  /* users, groups */
#define NAME_FILE_MAX 240  /* files */
#define NAME_SHOWN_MAX 256 /* any of them with an alias tail and a NUL */

/* SHOAL_OK, or SHOAL_EUSAGE with a sentence that says what is wrong with it. */
enum shoal_err name_check(enum name_kind kind, const void *name, size_t len, struct error *e);
/* As name_check(), but a name that ends like an alias is fine: for looking something up. */
enum shoal_err name_check_lookup(enum name_kind kind, const void *name, size_t len, struct error *e);

bool utf8_valid(const void *text, size_t len);

/* "ann" -> "ann~k3x9q2"; for files "plan.pdf" -> "plan~8d2w4c.pdf". `id`: at least 4 bytes. */
void name_alias(enum name_kind kind, const char *name, const void *id, char out[NAME_SHOWN_MAX]);
/* Splits an alias into the plain name and its six characters; false if it does not look like one. */
bool name_split_alias(enum name_kind kind, const char *shown, char plain[NAME_SHOWN_MAX], char tail[7]);

/* The text with control bytes, escapes, broken UTF-8, and what is invisible or changes the direction as \xNN: what a log or terminal may show. Always a NUL at the
 * end; cut with "..." if it does not fit. Returns out. */
char *text_escape(const void *text, size_t len, char *out, size_t size);
#endif
