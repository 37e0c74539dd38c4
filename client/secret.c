/* client/secret.c */
#include "client/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "client/interrupt.h"
#include "core/base/fs.h"

enum { SECRET_MAX = PASSWORD_MAX };

/* The first line of what the descriptor gives. */
static enum shoal_err read_line(int fd, const char *name, struct value *out, struct error *e)
{
	char text[SECRET_MAX + 2];
	size_t n = 0;
	ssize_t got = 1;
	while (n < sizeof(text) - 1 && memchr(text, '\n', n) == NULL) {
		got = read(fd, text + n, fd > 2 ? 1 : sizeof(text) - 1 - n);
		if (got < 0 && errno == EINTR && interrupt_pending() == 0)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	size_t len = n;
	for (size_t i = 0; i < n; i++)
		if (text[i] == '\n' || (text[i] == '\r' && i + 1 < n && text[i + 1] == '\n')) {
			len = i;
			break;
		}
	enum shoal_err rc = SHOAL_OK;
	if (len > SECRET_MAX)
		rc = error_set(e, SHOAL_EUSAGE, "the password from %s is too long", name);
	else if (got < 0 && n == 0)
		rc = error_set(e, SHOAL_EAUTH, "no password could be read from %s", name);
	else if (len == 0)
		rc = error_set(e, SHOAL_EAUTH, "the password from %s is empty", name);
	else
		*out = value_strn(text, len);
	OPENSSL_cleanse(text, sizeof(text));
	return rc;
}

static enum shoal_err from_file(const char *path, struct value *out, struct error *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, "cannot open the password file '%s'", path);
	enum shoal_err rc = read_line(fd, path, out, e);
	close(fd);
	return rc;
}

static enum shoal_err ask_once(int tty, const char *question, struct value *out, struct error *e)
{
	struct termios old, quiet;
	if (tcgetattr(tty, &old) != 0)
		return error_set(e, SHOAL_EAUTH, "no password, and no terminal to ask at");
	quiet = old;
	quiet.c_lflag = (quiet.c_lflag & ~(tcflag_t)ECHO) | ICANON | ISIG;
	quiet.c_iflag |= ICRNL;
	tcsetattr(tty, TCSAFLUSH, &quiet);
	dprintf(tty, "%s: ", question);
	enum shoal_err rc = read_line(tty, "the terminal", out, e);
	tcsetattr(tty, TCSAFLUSH, &old);
	dprintf(tty, "\n");
	return rc;
}

static enum shoal_err at_terminal(const struct secret_question *q, struct value *out, struct error *e)
{
	struct value again = { 0 };
	char text[160];
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (tty < 0)
		return error_set(e, SHOAL_EAUTH, "no %s was given, and there is no terminal to ask at: use --password-file", q->text);
	enum shoal_err rc = ask_once(tty, q->text, out, e);
	if (rc == SHOAL_OK && q->twice) {
		snprintf(text, sizeof(text), "%s, again", q->text);
		rc = ask_once(tty, text, &again, e);
		if (rc == SHOAL_OK && strcmp(value_text(out, ""), value_text(&again, "")) != 0)
			rc = error_set(e, SHOAL_EAUTH, "the two passwords differ");
	}
	if (rc != SHOAL_OK)
		value_free(out);
	value_free(&again);
	close(tty);
	return rc;
}

enum shoal_err secret_get(struct secret_source *s, const struct secret_question *q, struct value *out, struct error *e)
{
	enum shoal_err rc = SHOAL_OK;
	if (s->fd >= 0 && s->known.type == VALUE_NIL)
		rc = read_line(s->fd, "--password-fd", &s->known, e);
	if (rc == SHOAL_OK && s->known.type == VALUE_STR)
		*out = value_copy(&s->known);
	else if (rc == SHOAL_OK && s->file != NULL)
		rc = from_file(s->file, out, e);
	else if (rc == SHOAL_OK && s->terminal && q->terminal)
		rc = at_terminal(q, out, e);
	else if (rc == SHOAL_OK)
		rc = error_set(e, SHOAL_EAUTH, "no %s was given: pass it, or use --password-file or --password-fd", q->text);
	return rc;
}

bool secret_confirm(const char *question)
{
	char answer[16] = "";
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (tty < 0)
		return false;
	dprintf(tty, "%s [y/N] ", question);
	ssize_t n = read(tty, answer, sizeof(answer) - 1);
	close(tty);
	return n > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}
