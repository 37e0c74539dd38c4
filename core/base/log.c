/* core/base/log.c */
#include "core/base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/name.h"

enum { LINE_MAX_BYTES = 2048 };

struct log {
	/* -- immutable */
	int fd; /* -1: no file; log_reopen() puts another file behind the same number */
	char *path; /* NULL: no file */
	enum log_level console_level, file_level;
	/* -- protected by lock */
	pthread_mutex_t lock;
	bool console;
};

static const char *const level_words[] = { "debug", "info", "warn", "error" };

struct log *log_open(const char *path, enum log_level console_level, enum log_level file_level, struct error *e)
{
	struct log *log = xalloc(sizeof(*log));
	log->fd = -1;
	log->console_level = console_level;
	log->file_level = file_level;
	log->console = true;
	pthread_mutex_init(&log->lock, NULL);
	if (path != NULL) {
		log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (log->fd < 0) {
			error_errno(e, "cannot open the log file '%s'", path);
			log_close(log);
			return NULL;
		}
		log->path = xstrdup(path);
	}
	return log;
}

enum shoal_err log_reopen(struct log *log, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	if (log->path == NULL)
		return SHOAL_OK;
	int fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || dup3(fd, log->fd, O_CLOEXEC) < 0)
		rc = error_errno(e, "cannot open the log file '%s' again", log->path);
	if (fd >= 0)
		close(fd);
	return rc;
}

void log_close(struct log *log)
{
	if (log == NULL)
		return;
	if (log->fd >= 0)
		close(log->fd);
	pthread_mutex_destroy(&log->lock);
	free(log->path);
	free(log);
}

void log_console(struct log *log, bool on)
{
	pthread_mutex_lock(&log->lock);
	log->console = on;
	pthread_mutex_unlock(&log->lock);
}

static size_t format_head(char *out, size_t size, enum log_level level, const char *component)
{
	struct timeval now;
	struct tm tm;
	char date[32], zone[16];

	gettimeofday(&now, NULL);
	localtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	int n = snprintf(out, size, "%s.%03d%.3s:%s %s %s: ", date, (int)(now.tv_usec / 1000), zone, zone + 3,
	                 level_words[level], component);
	return n > 0 ? (size_t)n : 0;
}

/* A log that cannot be written has nowhere to say so: the one place where a failed write is passed over. */
static void write_line(int fd, const char *line, size_t len)
{
	ssize_t n = write(fd, line, len);
	(void)n;
}

bool log_wants(const struct log *log, enum log_level level)
{
	return log != NULL && (level >= log->console_level || (log->fd >= 0 && level >= log->file_level));
}

void log_line(struct log *log, enum log_level level, const char *component, const char *fmt, ...)
{
	if (!log_wants(log, level))
		return;
	char text[LINE_MAX_BYTES / 2], line[LINE_MAX_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);

	size_t n = format_head(line, sizeof(line) - 8, level, component);
	text_escape(text, strlen(text), line + n, sizeof(line) - n - 2);
	n = strlen(line);
	line[n++] = '\n';

	pthread_mutex_lock(&log->lock);
	if (log->fd >= 0 && level >= log->file_level)
		write_line(log->fd, line, n);
	if (log->console && level >= log->console_level)
		write_line(STDERR_FILENO, line, n);
	pthread_mutex_unlock(&log->lock);
}

bool log_level_parse(const char *word, enum log_level *out)
{
	for (unsigned i = 0; i < COUNT_OF(level_words); i++)
		if (strcmp(word, level_words[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	return false;
}
