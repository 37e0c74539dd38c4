/* core/base/error.h - what went wrong: a kind, and a sentence.
 *
 * The kind is a number on the wire, a fixed word in Lua (err.code) and an exit code of the program; all three stand
 * in the one list below and are never renumbered. The sentence lives in a struct error on the caller's stack and is
 * never freed. It names the thing concerned and what to do; whoever can show it shows it, exactly once. */
#ifndef SHOAL_BASE_ERROR_H
#define SHOAL_BASE_ERROR_H
#include <stdbool.h>
#include <stddef.h>

#define SHOAL_ERRORS(X) /* number on the wire, NAME, word in Lua, exit code, default sentence */ \
	X(0, OK, "ok", 0, "ok")                                                                  \
	X(1, EAUTH, "auth", 4, "not logged in")                                                  \
	X(2, EDENIED, "denied", 5, "not allowed")                                                \
	X(3, ENOTFOUND, "not_found", 6, "not found")                                             \
	X(4, EEXISTS, "exists", 12, "exists already")                                            \
	X(5, EOFFLINE, "offline", 7, "no tracker can be reached")                                \
	X(6, ENOSEEDER, "no_seeder", 8, "nobody who is online has it")                           \
	X(7, ESTALLED, "stalled", 8, "nothing arrives")                                          \
	X(8, ETIMEOUT, "timeout", 11, "time is over")                                            \
	X(9, EDISKFULL, "disk_full", 9, "no space left on the disk")                             \
	X(10, EQUOTA, "quota", 9, "over quota")                                                  \
	X(11, EINTEGRITY, "integrity", 10, "the data is damaged")                                \
	X(12, ECANCELLED, "cancelled", 14, "cancelled")                                          \
	X(13, EIO, "io", 13, "cannot read or write")                                             \
	X(14, ECONFLICT, "conflict", 12, "changed meanwhile")                                    \
	X(15, EBUSY, "busy", 7, "busy, try again")                                               \
	X(16, EPROTO, "protocol", 1, "the other side broke the protocol")                        \
	X(17, EINTERNAL, "internal", 1, "internal error")                                        \
	X(18, EUSAGE, "usage", 2, "wrong arguments")

enum shoal_err {
#define X(num, name, word, code, text) SHOAL_##name = num,
	SHOAL_ERRORS(X)
#undef X
	SHOAL_ERR_COUNT
};

#define ERROR_TEXT_MAX 480

struct error {
	enum shoal_err code;
	char message[ERROR_TEXT_MAX];
};

/* The word of a kind ("not_found"), its default sentence, its exit code. An unknown number reads as EINTERNAL. */
const char *error_word(enum shoal_err code);
const char *error_default(enum shoal_err code);
int error_exit_code(enum shoal_err code);
/* The kind with that word; SHOAL_EINTERNAL if there is none. */
enum shoal_err error_from_word(const char *word);
/* The kind with that number on the wire; SHOAL_EINTERNAL if it is unknown here. */
enum shoal_err error_from_wire(unsigned number);

/* Fills *e (which may be NULL) and returns `code`, so that a function can `return error_set(e, ...)`. */
enum shoal_err error_set(struct error *e, enum shoal_err code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same with ": <text of errno>" behind it; the kind follows errno: ENOSPC and EDQUOT are disk_full,
 * ENOENT not_found, EACCES and EPERM denied, EEXIST exists, the rest io. */
enum shoal_err error_errno(struct error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#ifdef __clang_analyzer__ /* it sees one file at a time: what is returned here is not OK */
#define error_set(e, code, ...) ((error_set)(e, code, __VA_ARGS__), code)
#define error_errno(e, ...) ((error_errno)(e, __VA_ARGS__), SHOAL_EIO)
#endif
#endif
