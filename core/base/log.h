/* core/base/log.h - one line per event, to the console (stderr) and to a file.
 *
 * "2026-11-22T15:04:05.123+01:00 info sync: tracker 2 is up". Every line goes through text_escape(), so that a user
 * name cannot forge one. Any thread: one leaf lock per log. Passwords, keys and tokens are never handed in. */
#ifndef SHOAL_BASE_LOG_H
#define SHOAL_BASE_LOG_H
#include <stdbool.h>

#include "core/base/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log;

/* console_level, file_level: what is less than that is dropped there. path NULL: no file. The file is opened for
 * appending with mode 0600. NULL and *e set if it cannot be. */
struct log *log_open(const char *path, enum log_level console_level, enum log_level file_level, struct error *e);
void log_close(struct log *log);
/* After a rotation: the file of that name anew. On failure the old one stays in use. */
enum shoal_err log_reopen(struct log *log, struct error *e);
void log_console(struct log *log, bool on); /* the prompt switches it off while a line is being typed */

/* Whether a line of that level would go anywhere: before building one that costs something. */
bool log_wants(const struct log *log, enum log_level level);
/* component: "sync", "link", ... A NULL log drops everything (tests). */
void log_line(struct log *log, enum log_level level, const char *component, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
bool log_level_parse(const char *word, enum log_level *out);
#endif
